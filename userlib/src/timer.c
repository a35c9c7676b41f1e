// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Timers and tickers: a deadline and a queue, in which the owner is while it waits.
 * Its deadline is that of any other wait; who stops it claims the owner's place, as
 * wait.c has it.
 */
#include <errno.h>
#include <limits.h>

#include "wait.h"

static int kf_alarm_start(struct kf_alarm *a, uint64_t ns)
{
	kf_fiber_t self = kf_self();

	if (!self)
		return -EPERM;
	*a = (struct kf_alarm){ .owner = self, .deadline = kf_after(ns), .runs = true };
	return 0;
}

/* @once: it runs no more afterwards */
static int kf_alarm_wait(struct kf_alarm *a, bool once)
{
	struct kf_wait_queue *q = &a->queue;
	kf_fiber_t self = kf_self();
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me };
	struct kf_worker *w;
	int err;

	if (!self || self != a->owner)
		return -EPERM;
	w = kf_latch(q);
	if (!a->runs) {
		kf_unlatch(w, q);
		return -EPIPE;
	}
	/* What has come already is there for who is cancelled, too. */
	if (kf_now() >= a->deadline) {
		a->runs = !once;
		kf_unlatch(w, q);
		return 0;
	}
	kf_waiter_init(&me);
	kf_queue_last_latched(q, &place);
	kf_unlatch(w, q);
	err = kf_await(&me, kf_object(KF_OBJECT_TIMER, a), a->deadline);
	if (!err)
		return -EPIPE;
	w = kf_latch(q);
	kf_queue_leave_latched(q, &place);
	if (err == -ETIMEDOUT && once)
		a->runs = false;
	kf_unlatch(w, q);
	return err == -ETIMEDOUT ? 0 : err;
}

static void kf_alarm_stop(struct kf_alarm *a)
{
	struct kf_wait_queue *q = &a->queue;
	struct kf_worker *w = kf_latch(q);
	struct kf_wakes wakes;

	kf_wakes_init(&wakes);
	a->runs = false;
	kf_claim_all_latched(q, &wakes);
	kf_unlatch_and_wake(w, q, &wakes);
}

int kf_ticker_start(kf_ticker_t *t, uint64_t period_ns)
{
	if (!period_ns)
		return -EINVAL;
	t->period = period_ns;
	return kf_alarm_start(&t->alarm, period_ns);
}

/* A tick was taken. Sets the next one; return: how many of them that leaves out. */
static int kf_ticker_advance(kf_ticker_t *t)
{
	uint64_t *deadline = &t->alarm.deadline;
	uint64_t missed = (kf_now() - *deadline) / t->period;

	*deadline += missed * t->period;
	*deadline = t->period < KF_FOREVER - *deadline ? *deadline + t->period : KF_FOREVER;
	return missed < INT_MAX ? (int)missed : INT_MAX;
}

int kf_ticker_wait(kf_ticker_t *t)
{
	int err = kf_alarm_wait(&t->alarm, false);

	if (!err)
		return kf_ticker_advance(t);
	if (err == -EPIPE && kf_is_checked())
		kf_check_acquire(t);
	return err;
}

int kf_ticker_stop(kf_ticker_t *t)
{
	if (kf_is_checked())
		kf_check_release(t);
	kf_alarm_stop(&t->alarm);
	return 0;
}

int kf_timer_start(kf_timer_t *t, uint64_t ns)
{
	return kf_alarm_start(&t->alarm, ns);
}

int kf_timer_wait(kf_timer_t *t)
{
	int err = kf_alarm_wait(&t->alarm, true);

	if (err == -EPIPE && kf_is_checked())
		kf_check_acquire(t);
	return err;
}

int kf_timer_stop(kf_timer_t *t)
{
	if (kf_is_checked())
		kf_check_release(t);
	kf_alarm_stop(&t->alarm);
	return 0;
}
