// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Which fibers wait without an end, and of which it is known why that is so.
 *
 * Nothing is stopped. Each fiber is looked at twice; between the two looks lies the
 * moment for which all that is said is true:
 *
 *   looks 1st           looks 2nd
 *   A waits for B ..... still                     both waited at the moment between:
 *         B waits for A ..... still               the circle was there, and who is in it
 *                                                 cannot leave it by itself
 *
 * A wait is the same one if the fiber's word, what it waits for and since when have not
 * changed: a fiber that went on and waits anew, within a tick of the kernel's clock, or of
 * the module's, for the same object, has that state again, and waits as it did.
 *
 * What is waited for may be freed as soon as the waiter goes on. So an object is looked into
 * while its waiter is held (kf_hold()): who has claimed its wait may have woken it, but it
 * has not returned from the call, and until then the object is there.
 *
 *   why                     what is looked at
 *   KF_STUCK_ENDED          a mutex whose holder's name is not that of a live fiber
 *   KF_STUCK_STACK          an object in a slot of an arena: whose it is, if that one has
 *                           ended, or is parked with its stack pointer above
 *   KF_STUCK_CIRCLE         joins and mutexes: each waits for one other
 *   KF_STUCK_BEHIND         the same, at whose end is one of the above
 *
 * PARKING says less than the other states: a fiber that has not left its stack yet, whose
 * deadline may not be stored; or one that is parked and held for a moment, by the module's
 * trimming or by another that looks. Which it is cannot be seen, and neither lasts:
 *
 *   looks                               trims, or looks as well
 *                                       PARKED -> PARKING
 *   PARKING, nothing has come:
 *   sleeps a little, looks again        PARKING -> PARKED
 *   PARKED
 *   holds it, fails: another was
 *   first; sleeps, looks, tries again
 *
 * So one that waits without an end is not missed because its stack was just looked after.
 * If it is still PARKING after a second, its thread is stopped, and it counts as running.
 *
 * Any of them could still be cancelled, and another fiber could unlock the mutex: that
 * takes one who knows of it.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "chan.h"
#include "leaks.h"

/* Sleeps until a fiber is not PARKING any more: longer each time up to this, and so many. */
#define KF_PARKING_SLEEP_NS 1000000l
#define KF_PARKING_SLEEPS 1024

static uint64_t kf_peek(__u64 *field)
{
	return atomic_load_explicit(kf_atomic64(field), memory_order_relaxed);
}

static uint64_t kf_peek_word(struct kfiber_fiber_block *f)
{
	return atomic_load_explicit(kf_atomic64(&f->word), memory_order_acquire);
}

/* The word once it says what the fiber does, or after a second. May block, writes errno. */
static uint64_t kf_settled_word(struct kfiber_fiber_block *f)
{
	struct timespec ts = { .tv_nsec = 1000 };
	uint64_t word = kf_peek_word(f);
	int i;

	for (i = 0; i < KF_PARKING_SLEEPS; i++) {
		if (kf_state(word) != KFIBER_PARKING || kf_is_woken(word))
			break;
		nanosleep(&ts, NULL);
		if (ts.tv_nsec < KF_PARKING_SLEEP_NS)
			ts.tv_nsec *= 2;
		word = kf_peek_word(f);
	}
	return word;
}

static enum kf_left kf_left_of_parked(uint64_t word, uint64_t object, uint64_t deadline)
{
	if (object && kf_object_kind(object) == KF_OBJECT_FILE)
		return KF_LEFT_FILE;
	if (deadline != KFIBER_NEVER)
		return KF_LEFT_TIME;
	/* A latch is given back by whoever runs; for WAKE without an object there is time. */
	if (object ? kf_object_kind(object) == KF_OBJECT_LATCH : word & KFIBER_WAITS_WAKE)
		return KF_LEFT_RUNS;
	return KF_LEFT_ENDLESS;
}

/* The first look. */
static void kf_left_look(struct kfiber_fiber_block *f, struct kf_left_fiber *l)
{
	*l = (struct kf_left_fiber){ .word = kf_settled_word(f), .on = KF_ON_NOBODY };
	switch (kf_state(l->word)) {
	case KFIBER_FREE:
		return;
	case KFIBER_DEAD:
		l->left = kf_peek(&f->joiner) == KFIBER_JOIN_ENDED ? KF_LEFT_ENDED : KF_LEFT_NOT;
		return;
	case KFIBER_PARKED:
		l->object = kf_peek(&f->wait_object);
		l->since = kf_peek(&f->wait_since);
		l->left = kf_left_of_parked(l->word, l->object, kf_peek(&f->deadline));
		return;
	}
	l->left = KF_LEFT_RUNS;
}

/* Is a fiber still in the wait that was seen? */
static bool kf_left_is_same(struct kfiber_fiber_block *f, const struct kf_left_fiber *l)
{
	return kf_settled_word(f) == l->word && kf_peek(&f->wait_object) == l->object &&
	       kf_peek(&f->wait_since) == l->since;
}

/**
 * kf_left_hold() - keep a fiber in the wait that was seen
 * @f: the fiber; not pinned
 * @l: what was seen
 * @w: out: the caller's worker, for kf_let_go() and then kf_hold_end()
 *
 * Whoever else holds it is waited for, outside of the critical section.
 *
 * Return: false if it has gone on; then there is nothing to be given back.
 */
bool kf_left_hold(struct kfiber_fiber_block *f, const struct kf_left_fiber *l,
		  struct kf_worker **w)
{
	if (kf_state(l->word) != KFIBER_PARKED)
		return false;
	do {
		*w = kf_hold_begin();
		if (kf_hold(f, l->word))
			return true;
		kf_hold_end(*w);
	} while (kf_settled_word(f) == l->word);
	return false;
}

/* Is that address of a stack in use? Also when nobody can tell. */
static bool kf_stack_is_used(struct kf_domain *d, uint64_t address)
{
	struct kfiber_fiber_block *owner;
	struct kfiber_stack stack;
	unsigned int shift;
	uint64_t word, sp;

	for (shift = KFIBER_STACK_SHIFT_MIN; shift <= KFIBER_STACK_SHIFT_MAX; shift++) {
		uintptr_t base = kf_arena_base(d, shift);

		if (!base || address - base >= kf_arena_bytes(d, shift))
			continue;
		if (kf_call_stack(d, shift, address - base, &stack))
			return true;
		owner = kf_block(d, stack.fiber);
		word = owner ? kf_peek_word(owner) : KFIBER_ACTIVE;
		sp = owner ? kf_peek(&owner->sp) : 0;
		if (kf_state(word) == KFIBER_FREE || kf_state(word) == KFIBER_DEAD)
			return false;
		return kf_state(word) != KFIBER_PARKED || address >= sp ||
		       kf_peek_word(owner) != word;
	}
	return true;
}

/* Context: the fiber is held. */
static void kf_left_look_into(struct kf_domain *d, struct kf_left_fiber *l)
{
	uint64_t address = kf_object_address(l->object);
	const kf_chan_t *chan = (const kf_chan_t *)address;
	struct kfiber_fiber_block *holder;

	if (!l->object)
		return;
	if (kf_object_kind(l->object) == KF_OBJECT_FIBER) {
		l->on = (uint32_t)((struct kfiber_fiber_block *)address - d->fiber_blocks);
		return;
	}
	if (!kf_stack_is_used(d, address)) {
		l->why = KF_STUCK_STACK;
		return;
	}
	if (kf_object_kind(l->object) == KF_OBJECT_CHAN)
		l->sends = __atomic_load_n(&chan->senders.first, __ATOMIC_RELAXED);
	if (kf_object_kind(l->object) != KF_OBJECT_MUTEX)
		return;
	switch (kf_mutex_holder(d, (const kf_mutex_t *)address, &holder)) {
	case KF_HOLDER_FIBER:
		l->on = (uint32_t)(holder - d->fiber_blocks);
		break;
	case KF_HOLDER_ENDED:
		l->why = KF_STUCK_ENDED;
		break;
	default:
		break;
	}
}

/* What each waits for in turn. A fiber that is pinned belongs to its thread, and is not held. */
static void kf_left_look_further(struct kf_domain *d, struct kfiber_fiber_block *f,
				 struct kf_left_fiber *l)
{
	struct kf_worker *w;

	if (l->left != KF_LEFT_ENDLESS || l->word & KFIBER_PINNED)
		return;
	if (!kf_left_hold(f, l, &w))
		return;
	kf_left_look_into(d, l);
	kf_let_go(d, w, f);
	kf_hold_end(w);
}

/*
 * Follows who waits for whom from @i, and marks them. Return: where it ends: at one that
 * waits for no fiber or has been judged, or the first with the same mark that is met again.
 */
static uint32_t kf_left_follow(struct kf_left_fiber *all, uint32_t n, uint32_t i, uint32_t mark)
{
	while (all[i].left == KF_LEFT_ENDLESS && !all[i].why && !all[i].seen && all[i].on < n) {
		all[i].seen = mark;
		i = all[i].on;
	}
	return i;
}

static void kf_left_judge(struct kf_left_fiber *all, uint32_t n, uint32_t i)
{
	uint32_t end, at;
	bool circle;

	if (all[i].seen)
		return;
	end = kf_left_follow(all, n, i, i + 1);
	circle = !all[end].why && all[end].seen == i + 1;
	for (at = end; circle && !all[at].why; at = all[at].on)
		all[at].why = KF_STUCK_CIRCLE;
	if (!all[end].why)
		return;
	for (at = i; at != end && !all[at].why; at = all[at].on)
		all[at].why = KF_STUCK_BEHIND;
}

/**
 * kf_left_find() - look at all fibers
 * @d: the domain
 * @n: out: how many there are
 *
 * Return: what each does, by index, to be freed; NULL: no memory.
 */
struct kf_left_fiber *kf_left_find(struct kf_domain *d, uint32_t *n)
{
	uint32_t i, end = atomic_load_explicit(&d->fibers_end, memory_order_acquire);
	struct kf_left_fiber *all = calloc(end, sizeof(*all));

	*n = end;
	if (!all)
		return NULL;
	for (i = 0; i < end; i++)
		kf_left_look(&d->fiber_blocks[i], &all[i]);
	for (i = 0; i < end; i++)
		kf_left_look_further(d, &d->fiber_blocks[i], &all[i]);
	for (i = 0; i < end; i++)
		if (all[i].left == KF_LEFT_ENDLESS &&
		    !kf_left_is_same(&d->fiber_blocks[i], &all[i]))
			all[i] = (struct kf_left_fiber){ .left = KF_LEFT_RUNS };
	for (i = 0; i < end; i++)
		if (all[i].left == KF_LEFT_ENDLESS)
			kf_left_judge(all, end, i);
	return all;
}
