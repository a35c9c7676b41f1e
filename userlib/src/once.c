// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Once. Its word goes 0 -> RUNNING -> DONE, with WAITERS beside RUNNING.
 *
 * Who sees DONE may free the memory. So who has run the function takes those who wait
 * out of the queue, and says DONE when the latch has been released; if others came in
 * between, those as well. Then it wakes them all.
 */
#include <errno.h>

#include "wait.h"

#define KF_ONCE_RUNNING 1u
#define KF_ONCE_WAITERS 2u
#define KF_ONCE_DONE 4u

/* Who runs it: a fiber's name, or for a thread what no generation comes to. */
static uint64_t kf_once_caller(void)
{
	kf_fiber_t self = kf_self();

	return self ? self : ~(uint64_t)pthread_self();
}

static _Atomic uint64_t *kf_once_runner(kf_once_t *o)
{
	return (_Atomic uint64_t *)&o->runner;
}

static void kf_once_end(kf_once_t *o)
{
	_Atomic uint32_t *word = kf_atomic32(&o->word);
	uint32_t running = KF_ONCE_RUNNING;
	struct kf_wakes wakes;
	struct kf_worker *w;

	kf_wakes_init(&wakes);
	while (!atomic_compare_exchange_strong_explicit(word, &running, KF_ONCE_DONE,
							memory_order_release,
							memory_order_relaxed)) {
		w = kf_latch(&o->queue);
		kf_claim_all_latched(&o->queue, &wakes);
		kf_queue_left_latched(&o->queue, &o->word, KF_ONCE_WAITERS);
		kf_unlatch(w, &o->queue);
		running = KF_ONCE_RUNNING;
	}
	w = kf_hold_begin();
	kf_wakes_send(w, &wakes);
	kf_hold_end(w);
}

/* Return: false if it is not RUNNING any more. */
static bool kf_once_expect_latched(kf_once_t *o)
{
	_Atomic uint32_t *word = kf_atomic32(&o->word);
	uint32_t running = KF_ONCE_RUNNING;

	return atomic_compare_exchange_strong_explicit(word, &running,
						       KF_ONCE_RUNNING | KF_ONCE_WAITERS,
						       memory_order_acquire,
						       memory_order_acquire) ||
	       running & KF_ONCE_WAITERS;
}

static int kf_once_wait(kf_once_t *o)
{
	struct kf_wait_queue *q = &o->queue;
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me };
	struct kf_worker *w = kf_latch(q);
	int err = 0;

	if (!kf_once_expect_latched(o)) {
		kf_unlatch(w, q);
		return 0;
	}
	kf_waiter_init(&me);
	kf_queue_last_latched(q, &place);
	kf_unlatch(w, q);
	err = kf_await(&me, kf_object(KF_OBJECT_ONCE, o), KF_FOREVER);
	if (err) {
		w = kf_latch(q);
		kf_queue_leave_latched(q, &place);
		kf_queue_left_latched(q, &o->word, KF_ONCE_WAITERS);
		kf_unlatch(w, q);
	}
	return err;
}

int kf_once(kf_once_t *o, void (*fn)(void))
{
	_Atomic uint32_t *word = kf_atomic32(&o->word);
	uint32_t fresh = atomic_load_explicit(word, memory_order_acquire);
	int err = 0;

	if (!fn)
		return -EINVAL;
	if (!fresh && atomic_compare_exchange_strong_explicit(word, &fresh, KF_ONCE_RUNNING,
							      memory_order_acquire,
							      memory_order_acquire)) {
		atomic_store_explicit(kf_once_runner(o), kf_once_caller(), memory_order_relaxed);
		fn();
		if (kf_is_checked())
			kf_check_release(o);
		kf_once_end(o);
		return 0;
	}
	if (fresh != KF_ONCE_DONE) {
		if (atomic_load_explicit(kf_once_runner(o), memory_order_relaxed) ==
		    kf_once_caller())
			return -EDEADLK;
		err = kf_once_wait(o);
	}
	if (!err && kf_is_checked())
		kf_check_acquire(o);
	return err;
}
