// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The semaphore. Its word is the number of units, or WAITERS: then there are none,
 * and who posts one gives it to the first in the queue.
 *
 * Who posts may find the semaphore's memory gone once its unit was seen. So a unit
 * that nobody waits for after all is counted when the latch has been released.
 */
#include <errno.h>

#include "wait.h"

#define KF_SEM_WAITERS 0x80000000u

static bool kf_sem_try(kf_sem_t *s)
{
	_Atomic uint32_t *word = kf_atomic32(&s->word);
	uint32_t old = atomic_load_explicit(word, memory_order_relaxed);

	while (old && old != KF_SEM_WAITERS)
		if (atomic_compare_exchange_weak_explicit(word, &old, old - 1,
							  memory_order_acquire,
							  memory_order_relaxed))
			return true;
	return false;
}

/* Return: false if a unit has come meanwhile. */
static bool kf_sem_expect_latched(kf_sem_t *s)
{
	_Atomic uint32_t *word = kf_atomic32(&s->word);
	uint32_t old = 0;

	return atomic_compare_exchange_strong_explicit(word, &old, KF_SEM_WAITERS,
						       memory_order_relaxed,
						       memory_order_relaxed) ||
	       old == KF_SEM_WAITERS;
}

static int kf_sem_wait_slowly(kf_sem_t *s, uint64_t deadline)
{
	struct kf_wait_queue *q = &s->queue;
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me };
	struct kf_worker *w = kf_latch(q);
	int err;

	while (!kf_sem_expect_latched(s)) {
		if (kf_sem_try(s)) {
			kf_unlatch(w, q);
			return 0;
		}
	}
	kf_waiter_init(&me);
	kf_queue_last_latched(q, &place);
	kf_unlatch(w, q);
	err = kf_await(&me, kf_object(KF_OBJECT_SEM, s), deadline);
	if (err) {
		w = kf_latch(q);
		kf_queue_leave_latched(q, &place);
		kf_queue_left_latched(q, &s->word, KF_SEM_WAITERS);
		kf_unlatch(w, q);
	}
	return err;
}

int kf_sem_wait_until(kf_sem_t *s, uint64_t deadline)
{
	int err = 0;

	if (!kf_sem_try(s))
		err = kf_sem_wait_slowly(s, deadline);
	if (!err && kf_is_checked())
		kf_check_acquire(s);
	return err;
}

int kf_sem_wait(kf_sem_t *s)
{
	return kf_sem_wait_until(s, KF_FOREVER);
}

int kf_sem_trywait(kf_sem_t *s)
{
	if (!kf_sem_try(s))
		return -EAGAIN;
	if (kf_is_checked())
		kf_check_acquire(s);
	return 0;
}

/* Return: false if nobody waits any more. */
static bool kf_sem_give(kf_sem_t *s)
{
	struct kf_wait_queue *q = &s->queue;
	struct kf_worker *w = kf_latch(q);
	struct kf_place *p = kf_claim_first_latched(q);
	struct kf_wakes wakes;

	kf_wakes_init(&wakes);
	if (p)
		kf_wakes_add(&wakes, p->waiter);
	kf_queue_left_latched(q, &s->word, KF_SEM_WAITERS);
	kf_unlatch_and_wake(w, q, &wakes);
	return p;
}

int kf_sem_post(kf_sem_t *s)
{
	_Atomic uint32_t *word = kf_atomic32(&s->word);
	uint32_t old = atomic_load_explicit(word, memory_order_relaxed);

	if (kf_is_checked())
		kf_check_release(s);
	do {
		while (old == KF_SEM_WAITERS) {
			if (kf_sem_give(s))
				return 0;
			old = atomic_load_explicit(word, memory_order_relaxed);
		}
		if (old == KF_SEM_MAX)
			return -EOVERFLOW;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, old + 1, memory_order_release,
							memory_order_relaxed));
	return 0;
}
