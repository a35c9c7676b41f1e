// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The condition: a queue and nothing else.
 *
 *   waits (has m)                      signals
 *   takes the latch                    has had m after the waiter unlocked it, so
 *   unlocks m                          finds the latch held or the place queued
 *   queues its place                   takes the latch, claims the first
 *   releases the latch, waits          releases the latch, wakes it
 *   locks m
 *
 * The order of latches is the condition's, then the mutex's.
 */
#include "wait.h"

int kf_cond_wait_until(kf_cond_t *c, kf_mutex_t *m, uint64_t deadline)
{
	struct kf_wait_queue *q = &c->queue;
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me };
	struct kf_worker *w;
	int err;

	/* With the latch held it may have to park, which it must not do with its place queued. */
	kf_latch(q);
	err = kf_mutex_unlock_latched(m);
	w = kf_fiber_worker();
	if (err) {
		kf_unlatch(w, q);
		return err;
	}
	kf_waiter_init(&me);
	kf_queue_last_latched(q, &place);
	kf_unlatch(w, q);
	err = kf_await(&me, kf_object(KF_OBJECT_COND, c), deadline);
	if (err) {
		w = kf_latch(q);
		kf_queue_leave_latched(q, &place);
		kf_unlatch(w, q);
	}
	kf_mutex_lock_again(m);
	return err;
}

int kf_cond_wait(kf_cond_t *c, kf_mutex_t *m)
{
	return kf_cond_wait_until(c, m, KF_FOREVER);
}

int kf_cond_signal(kf_cond_t *c)
{
	struct kf_wait_queue *q = &c->queue;
	struct kf_wakes wakes;
	struct kf_worker *w;
	struct kf_place *p;

	if (kf_queue_is_unused(q))
		return 0;
	kf_wakes_init(&wakes);
	w = kf_latch(q);
	p = kf_claim_first_latched(q);
	if (p)
		kf_wakes_add(&wakes, p->waiter);
	kf_unlatch_and_wake(w, q, &wakes);
	return 0;
}

int kf_cond_broadcast(kf_cond_t *c)
{
	struct kf_wait_queue *q = &c->queue;
	struct kf_wakes wakes;
	struct kf_worker *w;

	if (kf_queue_is_unused(q))
		return 0;
	kf_wakes_init(&wakes);
	w = kf_latch(q);
	kf_claim_all_latched(q, &wakes);
	kf_unlatch_and_wake(w, q, &wakes);
	return 0;
}
