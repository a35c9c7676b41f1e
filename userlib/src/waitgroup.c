// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The wait group. Its word is a count, with WAITERS beside it.
 *
 *   counts                             waits
 *   without WAITERS: compare-and-      0, and the latch free: done
 *   exchange of the word               else with the latch: 0: done, or
 *   with WAITERS: the same with the    + WAITERS, queues itself, waits
 *   latch; at 0: - WAITERS, wakes all
 *
 * Who waits may free the memory when it sees 0. If it does not come from the queue
 * it looks at the latch as well, after the count: whoever has just made that 0 with
 * WAITERS took the latch before, and is done with the memory when it is free again.
 */
#include <errno.h>

#include "wait.h"

#define KF_WAITGROUP_WAITERS 0x80000000u

static _Atomic uint32_t *kf_waitgroup_word(kf_waitgroup_t *g)
{
	return kf_atomic32(&g->word);
}

/* Return: the new count; -EINVAL below 0, -EOVERFLOW above what there is room for. */
static int64_t kf_waitgroup_sum(uint32_t word, int n)
{
	int64_t count = (int64_t)(word & ~KF_WAITGROUP_WAITERS) + n;

	if (count < 0)
		return -EINVAL;
	return count < KF_WAITGROUP_WAITERS ? count : -EOVERFLOW;
}

/* Return: false if @word is not what it is any more; then it is read again. */
static bool kf_waitgroup_move(kf_waitgroup_t *g, uint32_t *word, int64_t count)
{
	uint32_t waiters = count ? *word & KF_WAITGROUP_WAITERS : 0;

	return atomic_compare_exchange_strong_explicit(kf_waitgroup_word(g), word,
						       (uint32_t)count | waiters,
						       memory_order_acq_rel,
						       memory_order_relaxed);
}

static int64_t kf_waitgroup_add_latched(kf_waitgroup_t *g, int n, struct kf_wakes *wakes)
{
	uint32_t old = atomic_load_explicit(kf_waitgroup_word(g), memory_order_relaxed);
	int64_t count;

	do {
		count = kf_waitgroup_sum(old, n);
		if (count < 0)
			return count;
	} while (!kf_waitgroup_move(g, &old, count));
	if (!count)
		kf_claim_all_latched(&g->queue, wakes);
	return count;
}

int kf_waitgroup_add(kf_waitgroup_t *g, int n)
{
	uint32_t old = atomic_load_explicit(kf_waitgroup_word(g), memory_order_relaxed);
	struct kf_wakes wakes;
	struct kf_worker *w;
	int64_t count;

	if (kf_is_checked())
		kf_check_release(g);
	while (!(old & KF_WAITGROUP_WAITERS)) {
		count = kf_waitgroup_sum(old, n);
		if (count < 0)
			return (int)count;
		if (kf_waitgroup_move(g, &old, count))
			return 0;
	}
	kf_wakes_init(&wakes);
	w = kf_latch(&g->queue);
	count = kf_waitgroup_add_latched(g, n, &wakes);
	kf_unlatch_and_wake(w, &g->queue, &wakes);
	return count < 0 ? (int)count : 0;
}

int kf_waitgroup_done(kf_waitgroup_t *g)
{
	return kf_waitgroup_add(g, -1);
}

/* Return: false if there is nothing to wait for. */
static bool kf_waitgroup_expect_latched(kf_waitgroup_t *g)
{
	uint32_t old = atomic_load_explicit(kf_waitgroup_word(g), memory_order_acquire);

	while (old && !(old & KF_WAITGROUP_WAITERS))
		if (atomic_compare_exchange_weak_explicit(kf_waitgroup_word(g), &old,
							  old | KF_WAITGROUP_WAITERS,
							  memory_order_acquire,
							  memory_order_acquire))
			return true;
	return old;
}

static int kf_waitgroup_wait_slowly(kf_waitgroup_t *g, uint64_t deadline)
{
	struct kf_wait_queue *q = &g->queue;
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me };
	struct kf_worker *w = kf_latch(q);
	int err;

	if (!kf_waitgroup_expect_latched(g)) {
		kf_unlatch(w, q);
		return 0;
	}
	kf_waiter_init(&me);
	kf_queue_last_latched(q, &place);
	kf_unlatch(w, q);
	err = kf_await(&me, kf_object(KF_OBJECT_WAITGROUP, g), deadline);
	if (err) {
		w = kf_latch(q);
		kf_queue_leave_latched(q, &place);
		kf_queue_left_latched(q, &g->word, KF_WAITGROUP_WAITERS);
		kf_unlatch(w, q);
	}
	return err;
}

int kf_waitgroup_wait_until(kf_waitgroup_t *g, uint64_t deadline)
{
	int err = 0;

	if (atomic_load_explicit(kf_waitgroup_word(g), memory_order_acquire) ||
	    !kf_queue_is_unused(&g->queue))
		err = kf_waitgroup_wait_slowly(g, deadline);
	if (!err && kf_is_checked())
		kf_check_acquire(g);
	return err;
}

int kf_waitgroup_wait(kf_waitgroup_t *g)
{
	return kf_waitgroup_wait_until(g, KF_FOREVER);
}
