// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A processor's queues, from the side of its holder: "next", then the local
 * ring, then the inbox that the kernel fills. The module's ring.h has the other
 * side and says why the order of loads and stores is right.
 */
#include "internal.h"

/* Out of line: who does not come there saves no registers for it. */
#define KF_RARELY __attribute__((noinline))

/* Return: 0 if the ring is empty. */
static kf_fiber_t kf_ring_pop(__u32 *head_field, __u32 *tail_field, __u64 *slots, uint32_t mask)
{
	_Atomic uint32_t *head = kf_atomic32(head_field);
	uint32_t h = atomic_load_explicit(head, memory_order_acquire);

	for (;;) {
		uint32_t t = atomic_load_explicit(kf_atomic32(tail_field), memory_order_acquire);
		kf_fiber_t name;

		if (h == t)
			return 0;
		name = atomic_load_explicit(kf_atomic64(&slots[h & mask]), memory_order_relaxed);
		kf_delay(KF_DELAY_POP);
		if (atomic_compare_exchange_weak_explicit(head, &h, h + 1, memory_order_acq_rel,
							  memory_order_acquire))
			return name;
	}
}

static kf_fiber_t kf_pop_local(struct kfiber_processor_block *p)
{
	return kf_ring_pop(&p->local_head, &p->local_tail, p->local, KFIBER_LOCAL_SLOTS - 1);
}

static KF_RARELY kf_fiber_t kf_pop_inbox(struct kfiber_processor_block *p)
{
	return kf_ring_pop(&p->inbox_head, &p->inbox_tail, p->inbox, KFIBER_INBOX_SLOTS - 1);
}

static kf_fiber_t kf_pop_next(struct kfiber_processor_block *p)
{
	_Atomic uint64_t *next = kf_atomic64(&p->next);

	if (!atomic_load_explicit(next, memory_order_relaxed))
		return 0;
	kf_delay(KF_DELAY_POP_NEXT);
	return atomic_exchange_explicit(next, 0, memory_order_acquire);
}

static inline bool kf_push_local(struct kfiber_processor_block *p, kf_fiber_t name)
{
	uint32_t h = atomic_load_explicit(kf_atomic32(&p->local_head), memory_order_acquire);
	uint32_t t = kf_read32(&p->local_tail);

	if (t - h >= KFIBER_LOCAL_SLOTS)
		return false;
	atomic_store_explicit(kf_atomic64(&p->local[t & (KFIBER_LOCAL_SLOTS - 1)]), name,
			      memory_order_relaxed);
	kf_delay(KF_DELAY_PUSH);
	atomic_store_explicit(kf_atomic32(&p->local_tail), t + 1, memory_order_release);
	return true;
}

/* The ring is full: half of it, and @name, go to where all processors look. */
static KF_RARELY void kf_overflow(struct kf_domain *d, struct kfiber_processor_block *p,
				  kf_fiber_t name)
{
	kf_fiber_t names[KFIBER_LOCAL_SLOTS / 2 + 1];
	unsigned int n = 0;

	while (n < KFIBER_LOCAL_SLOTS / 2) {
		names[n] = kf_pop_local(p);
		if (!names[n])
			break;
		n++;
	}
	names[n++] = name;
	kf_delay(KF_DELAY_OVERFLOW);
	kf_count(&p->calls);
	kf_call_ready(d, names, n);
}

/* Is a processor idle, a worker asleep, and nobody looking for work already? */
static bool kf_should_kick(struct kf_domain *d)
{
	struct kfiber_domain_block *b = d->block;

	return kf_read32(&b->idle) && !kf_read32(&b->searching) && kf_read32(&b->spares);
}

static KF_RARELY void kf_kick_critical(struct kf_domain *d, struct kfiber_processor_block *p)
{
	kf_delay(KF_DELAY_KICK);
	kf_count(&p->calls);
	kf_call_kick(d, 0);
}

/*
 * Something was queued: wakes somebody who could run it. The fence is [D] and
 * [E] of the module's sched.c. With one processor, which the caller holds, none
 * is idle; when there are more, the module looks again (processors.c). What is only
 * in "next" will be run here unless the caller computes for long, and then a watcher
 * takes it, if there is one. That somebody computes for long is seen by the module's
 * tick, which takes no fence (preempt.c).
 */
static inline void kf_tell_critical(struct kf_domain *d, struct kfiber_processor_block *p,
				    bool only_next)
{
	bool kick = !kf_read32(&d->block->ticking);

	kf_delay(KF_DELAY_QUEUED);
	if (kf_read32(&d->block->used) > 1) {
		atomic_thread_fence(memory_order_seq_cst);
		kick |= kf_should_kick(d) && !(only_next && kf_read32(&d->block->watching));
	}
	if (__builtin_expect(kick, 0))
		kf_kick_critical(d, p);
}

/* Queues a fiber behind all others of the processor. */
void kf_push_last_critical(struct kf_worker *w, kf_fiber_t name)
{
	struct kfiber_processor_block *p = kf_processor_block(w);

	if (!kf_push_local(p, name))
		kf_overflow(w->domain, p, name);
	kf_tell_critical(w->domain, p, false);
}

/* One that is queued nowhere here: its thread has it, or the module (priority.c). */
static KF_RARELY void kf_push_apart_critical(struct kf_worker *w, kf_fiber_t name, uint64_t word)
{
	if (word & KFIBER_PINNED) {
		w->pinned_woken = true;
		return;
	}
	kf_count(&kf_processor_block(w)->calls);
	kf_call_ready(w->domain, &name, 1);
}

/* A fiber has left its stack, and can run. */
void kf_push_left_critical(struct kf_worker *w, struct kfiber_fiber_block *f)
{
	uint64_t word = atomic_load_explicit(kf_atomic64(&f->word), memory_order_relaxed);
	kf_fiber_t name = (word & ~KFIBER_INDEX_MASK) | (uint64_t)(f - w->domain->fiber_blocks);

	if (__builtin_expect(!!(word & KF_APART), 0))
		kf_push_apart_critical(w, name, word);
	else
		kf_push_last_critical(w, name);
}

/*
 * Queues a fiber before all others: it was made runnable by the one that runs,
 * and finds what that one wrote in the cache. Whoever was there goes behind.
 */
void kf_push_next_critical(struct kf_worker *w, kf_fiber_t name)
{
	struct kfiber_processor_block *p = kf_processor_block(w);
	kf_fiber_t other = atomic_exchange_explicit(kf_atomic64(&p->next), name,
						    memory_order_acq_rel);

	if (other && !kf_push_local(p, other))
		kf_overflow(w->domain, p, other);
	kf_tell_critical(w->domain, p, !other);
}

/*
 * Of those in "next" and in the ring, one by chance. With one processor nobody else
 * takes anything, so what is in the ring may change places.
 */
static KF_RARELY kf_fiber_t kf_pop_any(struct kf_clock *c, struct kfiber_processor_block *p)
{
	uint32_t h = kf_read32(&p->local_head), n = kf_read32(&p->local_tail) - h;
	bool next = atomic_load_explicit(kf_atomic64(&p->next), memory_order_relaxed);
	uint32_t i = n + next ? (uint32_t)(kf_mix(&c->random) % (n + next)) : 0;
	_Atomic uint64_t *first = kf_atomic64(&p->local[h & (KFIBER_LOCAL_SLOTS - 1)]);
	_Atomic uint64_t *chosen = kf_atomic64(&p->local[(h + i) & (KFIBER_LOCAL_SLOTS - 1)]);
	kf_fiber_t name;

	if (i == n)
		return kf_pop_next(p);
	name = atomic_load_explicit(chosen, memory_order_relaxed);
	atomic_store_explicit(chosen, atomic_load_explicit(first, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(first, name, memory_order_relaxed);
	return kf_pop_local(p);
}

/*
 * Every 61st time: those that the usual order could keep waiting for ever. What
 * only the module can get at, it is asked for.
 */
static KF_RARELY enum kf_pick kf_pick_fairly(struct kf_worker *w,
					     struct kfiber_processor_block *p,
					     uint64_t offer, kf_fiber_t *name)
{
	struct kfiber_domain_block *b = w->domain->block;

	/* There the CPUs are counted again. */
	if (kf_cpus_are_due(w->domain))
		return KF_PICK_ASK;
	if (offer == KFIBER_OFFER_ALL || kf_read32(&b->front) || kf_read32(&b->global) ||
	    kf_read32(&b->waiters)) {
		w->offer = true;
		return KF_PICK_ASK;
	}
	/* In turn: either could be filled as fast as it is emptied. */
	*name = p->ticks & 1 ? kf_pop_inbox(p) : kf_pop_local(p);
	if (!*name)
		*name = p->ticks & 1 ? kf_pop_local(p) : kf_pop_inbox(p);
	return *name ? KF_PICKED : KF_PICK_NONE;
}

/* Has the module seen somebody who has waited for long? */
static uint64_t kf_take_offer(struct kfiber_processor_block *p)
{
	_Atomic uint64_t *field = kf_atomic64(&p->offer);
	uint64_t offer = atomic_load_explicit(field, memory_order_relaxed);

	/* It may be another one by now. */
	return offer ? atomic_exchange_explicit(field, 0, memory_order_relaxed) : 0;
}

/* Is there anybody who would run if the caller did not? */
bool kf_is_anything_queued_critical(struct kf_worker *w)
{
	struct kfiber_processor_block *p = kf_processor_block(w);
	struct kfiber_domain_block *b = w->domain->block;

	return atomic_load_explicit(kf_atomic64(&p->next), memory_order_relaxed) ||
	       kf_read32(&p->local_head) != kf_read32(&p->local_tail) ||
	       kf_read32(&p->inbox_head) != kf_read32(&p->inbox_tail) ||
	       kf_read32(&b->front) || kf_read32(&b->global) || kf_read32(&b->waiters) ||
	       kf_take_offer(p);
}

/* Takes the fiber that should run now. */
enum kf_pick kf_pick_critical(struct kf_worker *w, kf_fiber_t *name)
{
	struct kfiber_processor_block *p = kf_processor_block(w);
	uint64_t offer = kf_take_offer(p);
	enum kf_pick pick;

	kf_count(&p->ticks);
	if (__builtin_expect(p->ticks % KF_FAIR_TICKS == 0 || offer, 0)) {
		pick = kf_pick_fairly(w, p, offer, name);
		if (pick != KF_PICK_NONE)
			return pick;
	}
	if (__builtin_expect(w->domain->clock.shuffles, 0))
		*name = kf_pop_any(&w->domain->clock, p);
	else
		*name = kf_pop_next(p);
	if (!*name)
		*name = kf_pop_local(p);
	if (!*name)
		*name = kf_pop_inbox(p);
	return *name ? KF_PICKED : KF_PICK_NONE;
}
