/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the objects of <kfiber/sync.h> and <kfiber/chan.h> are made of; wait.c says
 * how it works. Functions whose names end in _latched want the queue's latch held.
 */
#ifndef KF_WAIT_H
#define KF_WAIT_H

#include "internal.h"
#include "object.h"

/* The longest that an object lets one wait while others who ask later get it: Go's number. */
#define KF_STARVING_NS 1000000ull

enum kf_waiter_state {
	KF_WAITER_WAITS,
	KF_WAITER_CLAIMED,	/* by a waker: one wake-up comes, and only one */
	KF_WAITER_GAVE_UP,	/* by itself: none comes */
};

/**
 * struct kf_waiter - one wait of a fiber or a thread, on its stack
 * @fiber: 0: a plain thread
 * @state: enum kf_waiter_state; compare-and-exchange
 * @woken: a plain thread's futex
 * @place: by which it was claimed; the waker writes
 * @result: of the wait; the waker writes
 * @next: in a latch, then in a list of those to be woken
 */
struct kf_waiter {
	kf_fiber_t fiber;
	atomic_uint state;
	atomic_uint woken;
	struct kf_place *place;
	int result;
	struct kf_waiter *next;
};

/**
 * struct kf_place - a waiter's place in a queue
 * @waiter: whose
 * @next: the one behind; guarded by the latch, as is all below
 * @previous: the one before
 * @queued: it is in the queue
 * @kind: the object's own
 * @since: when the wait began, for who cares
 * @value: the object's own: what is sent, or where it goes
 */
struct kf_place {
	struct kf_waiter *waiter;
	struct kf_place *next;
	struct kf_place *previous;
	bool queued;
	unsigned int kind;
	uint64_t since;
	void *value;
};

/* Those who were claimed, until the latch is released and they can be woken. */
struct kf_wakes {
	struct kf_waiter *first;
	struct kf_waiter **end;
};

static inline void kf_wakes_init(struct kf_wakes *wakes)
{
	wakes->first = NULL;
	wakes->end = &wakes->first;
}

static inline void kf_wakes_add(struct kf_wakes *wakes, struct kf_waiter *waiter)
{
	waiter->next = NULL;
	*wakes->end = waiter;
	wakes->end = &waiter->next;
}

static inline struct kf_place *kf_queue_first_latched(struct kf_wait_queue *q)
{
	return q->first;
}

/* wait.c */
struct kf_worker *kf_latch_slowly(struct kf_worker *w, struct kf_wait_queue *q);
void kf_latch_wake(struct kf_worker *w, uintptr_t last);
void kf_wakes_send(struct kf_worker *w, struct kf_wakes *wakes);
bool kf_queue_is_unused(struct kf_wait_queue *q);
void kf_queue_last_latched(struct kf_wait_queue *q, struct kf_place *p);
void kf_queue_first_again_latched(struct kf_wait_queue *q, struct kf_place *p);
void kf_queue_leave_latched(struct kf_wait_queue *q, struct kf_place *p);
bool kf_claim_latched(struct kf_wait_queue *q, struct kf_place *p);
struct kf_place *kf_claim_first_latched(struct kf_wait_queue *q);
void kf_claim_all_latched(struct kf_wait_queue *q, struct kf_wakes *wakes);
void kf_waiter_init(struct kf_waiter *me);
int kf_await(struct kf_waiter *me, uint64_t object, uint64_t deadline);
long kf_futex(atomic_uint *word, int op, uint32_t value, const struct timespec *until);

/* --- the latch: what is done to one that nobody else wants ----------------------- */

#define KF_LATCH_HELD ((uintptr_t)1)

static inline _Atomic uintptr_t *kf_latch_word(struct kf_wait_queue *q)
{
	return (_Atomic uintptr_t *)&q->latch;
}

static inline bool kf_latch_try(_Atomic uintptr_t *latch)
{
	uintptr_t free = 0;

	return atomic_compare_exchange_strong_explicit(latch, &free, KF_LATCH_HELD,
						       memory_order_acquire,
						       memory_order_relaxed);
}

/**
 * kf_latched_again() - go back into the critical section that a latch needs
 *
 * For who holds one and has done what ends critical sections, or may have parked.
 *
 * Return: as kf_latch().
 */
static inline struct kf_worker *kf_latched_again(void)
{
	struct kf_worker *w = kf_fiber_worker();

	if (kf_likely(w))
		kf_enter(w);
	return w;
}

/**
 * kf_latch() - take the latch of a queue
 * @q: the queue
 *
 * A fiber is in a critical section from here to kf_unlatch().
 *
 * Return: the caller's worker, NULL in a plain thread.
 */
static inline struct kf_worker *kf_latch(struct kf_wait_queue *q)
{
	struct kf_worker *w = kf_latched_again();

	if (kf_likely(kf_latch_try(kf_latch_word(q))))
		return w;
	return kf_latch_slowly(w, q);
}

/* Releases a latch and stays in the critical section, for who has another one. */
static inline void kf_unlatch_only(struct kf_worker *w, struct kf_wait_queue *q)
{
	uintptr_t last;

	kf_delay(KF_DELAY_UNLATCH);
	last = atomic_exchange_explicit(kf_latch_word(q), 0, memory_order_acq_rel);
	kf_delay(KF_DELAY_UNLATCHED);
	if (kf_unlikely(last != KF_LATCH_HELD))
		kf_latch_wake(w, last);
}

static inline void kf_unlatch(struct kf_worker *w, struct kf_wait_queue *q)
{
	kf_unlatch_only(w, q);
	if (kf_likely(w))
		kf_leave(w);
}

/**
 * kf_unlatch_and_wake() - release a latch, then wake those who were claimed
 * @w: as kf_latch() gave it
 * @q: the queue; its memory may be gone once the latch is released
 * @wakes: whom to wake
 */
static inline void kf_unlatch_and_wake(struct kf_worker *w, struct kf_wait_queue *q,
				       struct kf_wakes *wakes)
{
	kf_unlatch_only(w, q);
	kf_wakes_send(w, wakes);
	if (kf_likely(w))
		kf_leave(w);
}

/* mutex.c */
void kf_mutex_lock_again(kf_mutex_t *m);
int kf_mutex_unlock_latched(kf_mutex_t *m);

/* What a word is while nobody waits says so in a bit: whoever ends that takes it away. */
static inline void kf_queue_left_latched(struct kf_wait_queue *q, uint32_t *word, uint32_t bit)
{
	if (!q->first)
		atomic_fetch_and_explicit(kf_atomic32(word), ~bit, memory_order_relaxed);
}

#endif /* KF_WAIT_H */
