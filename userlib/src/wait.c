// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Waiting for objects: their queues, what guards these, and the wait itself.
 *
 * The latch
 *
 * Each object has a queue, and with the queue a latch: a lock of one word, held for
 * some tens of instructions. Its holder is in a critical section, so that the kernel
 * leaves it the processor when it sleeps on a page fault; the kernel may still take
 * its CPU away. So nobody spins until a latch is free: who finds it held looks a
 * few times more, then puts itself in a list that hangs from the word, and parks.
 *
 *   word      means                 takes: 0 -> HELD
 *   0         free                  waits: HELD -> itself, or other -> itself,
 *   HELD      held, nobody waits             which points to the other
 *   address   held; the last one    releases: exchanges 0, wakes all that it got
 *             of those who wait
 *
 * They are all woken, for each will hold it for a moment only, and ask again.
 * The exchange is the last that the holder does with the object's memory: the next
 * may free it. So who is to be woken because of what was done is woken after it.
 *
 * The wait
 *
 * A waiter is on the stack of who waits, with a place in one queue, or one for each
 * case of a select. It ends by whoever is the first to move its state:
 *
 *   waits                              wakes (holds the latch of a queue)
 *   takes the latch, queues its
 *   place, releases the latch
 *   parks                              takes the first place out of the queue,
 *                                      moves WAITS -> CLAIMED, writes what its
 *   the deadline comes, or the         waiter wants to know, releases the latch,
 *   fiber is cancelled:                sends WAKE: once, for it alone can
 *   moves WAITS -> GAVE_UP, takes
 *   the latch, takes its place out
 *
 *   or it finds CLAIMED: takes WAKE,
 *   which has come or will
 *
 * - A waker that finds GAVE_UP takes the next place: no grant goes to one who has left.
 * - A WAKE is sent exactly once for a CLAIMED, and taken before the wait returns. So
 *   none is left over to end another wait of the fiber's (a join, a sleep, the next
 *   lock), and the waiter is there until its waker has done with it.
 * - A place lies in a queue only while its owner is in the call. Who touches it holds
 *   the latch, which the owner has to take before it leaves with the place queued.
 * - Nobody waits for a latch while it has a place in a queue and may be claimed: then
 *   a WAKE could end the wrong wait. kf_cond_wait() unlocks before it queues, and
 *   select takes all latches before it queues the first place.
 *
 * selftests/models/wait.pml and select.pml have all of it.
 *
 * A plain thread waits for a futex in its waiter instead of WAKE. The waker's
 * FUTEX_WAKE comes after the store that lets the thread go: it may find nobody, or
 * wake another that uses this address by then, which looks again as all must.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "delay.h"
#include "wait.h"

/* Looks at a held latch before parking: its holder, if it runs, needs less than that. */
#define KF_LATCH_LOOKS 40

/* More than all calls between a waiter that is queued and the switch have on the stack. */
#define KF_WAIT_ROOM 1024

/* --- plain threads ---------------------------------------------------------- */

/* errno belongs to the caller. Context: any, signal handlers included. */
long kf_futex(atomic_uint *word, int op, uint32_t value, const struct timespec *until)
{
	int saved = errno;
	long ret = syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, until, NULL,
			   FUTEX_BITSET_MATCH_ANY);

	if (ret < 0) {
		ret = -errno;
		errno = saved;
	}
	return ret;
}

static int kf_await_futex(struct kf_waiter *me, uint64_t deadline)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline / KF_NS_PER_S),
		.tv_nsec = (long)(deadline % KF_NS_PER_S),
	};

	while (!atomic_load_explicit(&me->woken, memory_order_acquire)) {
		long ret = kf_futex(&me->woken, FUTEX_WAIT_BITSET, 0,
				    deadline == KF_FOREVER ? NULL : &until);

		if (ret == -ETIMEDOUT)
			return -ETIMEDOUT;
	}
	return 0;
}

static void kf_wake_futex(struct kf_waiter *waiter)
{
	atomic_uint *woken = &waiter->woken;

	atomic_store_explicit(woken, 1, memory_order_release);
	kf_delay(KF_DELAY_AWAIT_FUTEX);
	kf_futex(woken, FUTEX_WAKE, INT_MAX, NULL);
}

/* --- one wait ----------------------------------------------------------------- */

/*
 * Touches the stack that a wait needs. A frame it must have: the module takes a touch far
 * below the stack pointer for a wild one.
 */
static __attribute__((noinline)) void kf_make_room(void)
{
	char room[KF_WAIT_ROOM];

	*(volatile char *)room = 0;
	/* Or the compiler would see that nobody wants it, and jump here. */
	__asm__ volatile("" : : "r" (room) : "memory");
}

/*
 * With the latch held by who queues a place. A stack that overflows here does so in a critical
 * section, which is not contained; one that overflowed with its place queued would be, and
 * leave the place to who uses the memory next. Who is about to wait for a latch is in none, and
 * in no list yet.
 */
void kf_waiter_init(struct kf_waiter *me)
{
	struct kf_worker *w = kf_fiber_worker();

	kf_make_room();
	me->fiber = w ? w->block->fiber : 0;
	atomic_store_explicit(&me->state, KF_WAITER_WAITS, memory_order_relaxed);
	atomic_store_explicit(&me->woken, 0, memory_order_relaxed);
	me->place = NULL;
	me->result = 0;
	/* What the caller wrote is there for whoever finds it in a queue. */
	if (kf_is_checked())
		kf_check_release(me);
}

/* Return: false if another was first. */
static bool kf_settle(struct kf_waiter *waiter, uint32_t state)
{
	uint32_t waits = KF_WAITER_WAITS;

	return atomic_compare_exchange_strong_explicit(&waiter->state, &waits, state,
						       memory_order_acq_rel,
						       memory_order_relaxed);
}

/* Return: 0 when the wake-up came and is taken, -ETIMEDOUT, -ECANCELED. */
static int kf_await_wake(struct kf_waiter *me, uint64_t object, uint64_t deadline)
{
	struct kfiber_fiber_block *self;
	struct kf_worker *w;
	int err;

	if (!me->fiber)
		return kf_await_futex(me, deadline);
	w = kf_fiber_worker();
	self = w->current;
	self->wait_object = object;
	err = kf_wait(w, KFIBER_WAKE, deadline);
	self->wait_object = 0;
	return err;
}

/* Returns when the wake-up came, which it will, and is taken. */
static void kf_await_wake_masked(struct kf_waiter *me, uint64_t object)
{
	struct kfiber_fiber_block *self;
	struct kf_worker *w;

	if (!me->fiber) {
		kf_await_futex(me, KF_FOREVER);
		return;
	}
	w = kf_fiber_worker();
	self = w->current;
	self->wait_object = object;
	kf_wait_masked(w, KFIBER_WAKE);
	self->wait_object = 0;
}

/**
 * kf_await() - wait until somebody claims a waiter
 * @me: the caller's; its places are queued
 * @object: what is waited for, as kf_object() makes it
 * @deadline: absolute, or KF_FOREVER
 *
 * This is where all waits for objects end: a cancel makes kf_wait() return an error,
 * and the rest is as for a deadline.
 *
 * Return: 0 (claimed: @me->place and @me->result say what for), or why it gave up:
 * then places that are still queued are the caller's to take out.
 */
int kf_await(struct kf_waiter *me, uint64_t object, uint64_t deadline)
{
	int err;

	err = kf_await_wake(me, object, deadline);
	if (err) {
		kf_delay(KF_DELAY_AWAIT_OVER);
		if (kf_settle(me, KF_WAITER_GAVE_UP)) {
			kf_delay(KF_DELAY_AWAIT_GAVE_UP);
			return err;
		}
		kf_delay(KF_DELAY_AWAIT_CLAIMED);
		kf_await_wake_masked(me, object);
	}
	if (kf_is_checked())
		kf_check_acquire(me);
	return 0;
}

/* @w: the caller's worker if it is in a critical section. @waiter may be gone afterwards. */
static void kf_wake_waiter(struct kf_worker *w, struct kf_waiter *waiter)
{
	if (kf_is_checked())
		kf_check_release(waiter);
	if (waiter->fiber)
		kf_wake(atomic_load_explicit(&kf_domain, memory_order_acquire), w, waiter->fiber,
			KFIBER_WAKE);
	else
		kf_wake_futex(waiter);
}

/* --- the latch ---------------------------------------------------------------- */

/* Tells the CPU that nothing is lost by running its other thread for a moment. */
static inline void kf_relax(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

static bool kf_latch_look(_Atomic uintptr_t *latch)
{
	int i;

	for (i = 0; i < KF_LATCH_LOOKS; i++) {
		if (!atomic_load_explicit(latch, memory_order_relaxed) && kf_latch_try(latch))
			return true;
		kf_relax();
	}
	return false;
}

/* Returns when the latch was released, or is free. */
static void kf_latch_wait(struct kf_wait_queue *q)
{
	_Atomic uintptr_t *latch = kf_latch_word(q);
	uintptr_t old = atomic_load_explicit(latch, memory_order_relaxed);
	struct kf_waiter me;

	kf_waiter_init(&me);
	kf_delay(KF_DELAY_LATCH_FULL);
	do {
		if (!old)
			return;
		me.next = old == KF_LATCH_HELD ? NULL : (struct kf_waiter *)old;
	} while (!atomic_compare_exchange_weak_explicit(latch, &old, (uintptr_t)&me,
							memory_order_release,
							memory_order_relaxed));
	kf_delay(KF_DELAY_LATCH_LISTED);
	/* Not kf_await(): who holds a latch gives it back, so nothing else ends this. */
	kf_await_wake_masked(&me, kf_object(KF_OBJECT_LATCH, q));
}

/**
 * kf_latch_slowly() - take a latch that is held
 * @w: the caller's worker, in a critical section; NULL in a plain thread
 * @q: its queue
 *
 * Return: as kf_latch().
 */
KF_RARELY struct kf_worker *kf_latch_slowly(struct kf_worker *w, struct kf_wait_queue *q)
{
	while (!kf_latch_look(kf_latch_word(q))) {
		if (w)
			kf_leave(w);
		kf_latch_wait(q);
		w = kf_latched_again();
	}
	return w;
}

/* From the last to the first: turned round, so that they are woken in their order. */
static struct kf_waiter *kf_latch_order(struct kf_waiter *last)
{
	struct kf_waiter *list = NULL;

	while (last) {
		struct kf_waiter *next = last->next;

		last->next = list;
		list = last;
		last = next;
	}
	return list;
}

static void kf_wake_all(struct kf_worker *w, struct kf_waiter *list)
{
	while (list) {
		struct kf_waiter *next = list->next;

		kf_wake_waiter(w, list);
		list = next;
	}
}

/* @last: what the word of a latch was that was released: wakes those in its list. */
KF_RARELY void kf_latch_wake(struct kf_worker *w, uintptr_t last)
{
	kf_wake_all(w, kf_latch_order((struct kf_waiter *)last));
}

/**
 * kf_wakes_send() - wake those who were claimed
 * @w: the caller's worker if it is in a critical section, else NULL
 * @wakes: the latches with which they were claimed are released
 */
void kf_wakes_send(struct kf_worker *w, struct kf_wakes *wakes)
{
	kf_wake_all(w, wakes->first);
}

/* --- the queue ---------------------------------------------------------------- */

/* The pointers are written under the latch and, in kf_queue_is_unused(), read without. */
static void kf_queue_set(void **end, struct kf_place *p)
{
	__atomic_store_n(end, p, __ATOMIC_RELAXED);
}

/**
 * kf_queue_is_unused() - does nobody wait, and nobody begin to?
 * @q: the queue
 *
 * Who queued a place before the caller locked what that one had unlocked is seen:
 * it held the latch then, or has released it since, after it was in the queue.
 */
bool kf_queue_is_unused(struct kf_wait_queue *q)
{
	return !atomic_load_explicit(kf_latch_word(q), memory_order_acquire) &&
	       !__atomic_load_n(&q->first, __ATOMIC_RELAXED);
}

void kf_queue_last_latched(struct kf_wait_queue *q, struct kf_place *p)
{
	p->next = NULL;
	p->previous = q->last;
	if (p->previous)
		p->previous->next = p;
	else
		kf_queue_set(&q->first, p);
	kf_queue_set(&q->last, p);
	p->queued = true;
}

/* For who was first already. */
void kf_queue_first_again_latched(struct kf_wait_queue *q, struct kf_place *p)
{
	p->next = q->first;
	p->previous = NULL;
	if (p->next)
		p->next->previous = p;
	else
		kf_queue_set(&q->last, p);
	kf_queue_set(&q->first, p);
	p->queued = true;
}

/* Nothing, if somebody has taken it out. */
void kf_queue_leave_latched(struct kf_wait_queue *q, struct kf_place *p)
{
	if (!p->queued)
		return;
	p->queued = false;
	if (p->previous)
		p->previous->next = p->next;
	else
		kf_queue_set(&q->first, p->next);
	if (p->next)
		p->next->previous = p->previous;
	else
		kf_queue_set(&q->last, p->previous);
}

/**
 * kf_claim_latched() - end a wait, if nobody did
 * @q: the queue
 * @p: a place in it; it is taken out in any case
 *
 * Return: true if the waiter is the caller's now: it must be woken, once.
 */
bool kf_claim_latched(struct kf_wait_queue *q, struct kf_place *p)
{
	kf_queue_leave_latched(q, p);
	if (!kf_settle(p->waiter, KF_WAITER_CLAIMED))
		return false;
	kf_delay(KF_DELAY_GRANT);
	if (kf_is_checked())
		kf_check_acquire(p->waiter);
	p->waiter->place = p;
	return true;
}

/**
 * kf_claim_first_latched() - end the wait of the first who still waits
 * @q: the queue
 *
 * Return: its place; NULL if there is nobody. It must be woken, once.
 */
struct kf_place *kf_claim_first_latched(struct kf_wait_queue *q)
{
	struct kf_place *p;

	while ((p = q->first))
		if (kf_claim_latched(q, p))
			return p;
	return NULL;
}

/* Ends the waits of all who still wait. */
void kf_claim_all_latched(struct kf_wait_queue *q, struct kf_wakes *wakes)
{
	struct kf_place *p;

	while ((p = kf_claim_first_latched(q)))
		kf_wakes_add(wakes, p->waiter);
}
