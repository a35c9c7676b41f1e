// SPDX-License-Identifier: GPL-2.0
/*
 * Pinned fibers: those that run on one thread only, which runs nothing else
 * meanwhile. So what they do to its thread-local variables and its signal mask is
 * there when they go on, and nobody else sees it.
 *
 * A pinned fiber is never in a queue. So no thief, no pull from the inbox and no
 * dispatch can come across its name, and nobody has to pass it on to where it
 * belongs. KFIBER_PINNED in its state word sees to that. The fiber sets and clears
 * it while it runs, when its name is in no queue. Who makes a parked fiber runnable
 * does that by an exchange of the word, so it knows for certain: with the flag the
 * fiber is not queued but READY, here, which is for its thread.
 *
 *   pinned fiber's thread               who wakes it: fiber, thread, timer
 *   word = PARKING
 *   leaves the fiber's stack for its own
 *   word = PARKED, or goes on if it
 *   was woken
 *                                       word = ACTIVE, with PINNED: READY
 *   NEXT with ONLY (kf_pin_next)        (kf_pin_ready_locked)
 *
 *   lock                                lock
 *     pinned_ready == name:               pinned_ready = name
 *       keeps its processor, done         its thread sleeps (PINNED):
 *     else gives it up, PINNED              an idle processor, or WAITER
 *   unlock, sleep                       unlock, wake it if it has one
 *
 * Both are one step under domain.lock, and pinned_ready stays until the thread goes
 * on with a processor. So READY may come before NEXT, and a signal may send the
 * thread out of NEXT at any time, asleep as PINNED or as WAITER: when it comes back
 * it finds what it would have missed. selftests/models/pin.pml is a model of this.
 *
 * The thread that waits for its fiber holds no processor. The others are run by other
 * workers: it is replaced as one is that blocks in the kernel (sched.c). Ready, it
 * competes as one that comes back from there: WAITER, in turn with fibers in queues.
 *
 * A yield is ONLY with OFFER: the fiber is runnable and stays so, its thread goes
 * behind all waiters, and queued fibers have the first turn.
 *
 * When the thread dies its fiber does, whatever it waits for: kf_fiber_kill().
 */
#include <linux/kfiber.h>
#include <linux/list.h>

#include "balance.h"
#include "chunk.h"
#include "delay.h"
#include "internal.h"
#include "word.h"

/* Its fiber is runnable. Return: whether it got a processor; else it is a waiter. */
static bool kf_pin_resume_locked(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	struct kf_processor *p = kf_choose_idle_locked(d, w->last);

	if (p) {
		kf_assign_locked(p, w);
		d->returns++;
	} else {
		kf_wait_locked(w, KF_WAITER);
	}
	return p;
}

/**
 * kf_pin_ready_locked() - a pinned fiber was made runnable
 * @d: the domain
 * @f: the fiber
 * @name: under which
 *
 * Context: domain.lock; not below a run-queue lock.
 * Return: its worker, if that is to be woken.
 */
struct kf_worker *kf_pin_ready_locked(struct kf_domain *d, struct kf_fiber *f, u64 name)
{
	struct kf_worker *w = f->pinned_to;
	bool resumed;

	f->pinned_ready = name;
	if (!w || w->sleep != KF_PINNED || w->only != name)
		return NULL;
	kf_unlist_locked(w);
	resumed = kf_pin_resume_locked(w);
	kf_publish_locked(d);
	return resumed ? w : NULL;
}

/* The caller has a processor, or will be given one, or its fiber is not runnable. */
static void kf_pin_sleep_locked(struct kf_worker *w, struct kf_fiber *f, bool yields)
{
	struct kf_domain *d = w->domain;

	f->pinned_to = w;
	w->waits_since = 0;
	if (w->processor)
		kf_unassign_locked(w);
	if (yields) {
		/* It will find that, should a signal end its wait. */
		f->pinned_ready = w->only;
		kf_wait_locked(w, KF_WAITER);
		d->waiters_turn = false;
	} else if (f->pinned_ready == w->only) {
		kf_pin_resume_locked(w);
	} else {
		w->sleep = KF_PINNED;
		list_add_tail(&w->link, &d->pinned);
		d->nr_pinned++;
	}
}

/* Return: 0 to go to sleep, 1 to go on, -ENOENT: another waits for this fiber. */
static int kf_pin_enter(struct kf_worker *w, struct kf_fiber *f, u64 name, bool yields)
{
	struct kf_domain *d = w->domain;
	int result = 0;

	raw_spin_lock_irq(&d->lock);
	if (f->pinned_to) {
		result = -ENOENT;
	} else if (w->processor && !yields && f->pinned_ready == name) {
		f->pinned_ready = 0;
		result = 1;
	} else {
		w->only = name;
		kf_pin_sleep_locked(w, f, yields);
		kf_publish_locked(d);
	}
	raw_spin_unlock_irq(&d->lock);
	return result;
}

static void kf_pin_leave(struct kf_worker *w, struct kf_fiber *f)
{
	struct kf_domain *d = w->domain;

	raw_spin_lock_irq(&d->lock);
	if (w->sleep != KF_AWAKE) {
		kf_unlist_locked(w);
		kf_publish_locked(d);
	}
	f->pinned_to = NULL;
	w->only = 0;
	if (w->processor)
		f->pinned_ready = 0;
	raw_spin_unlock_irq(&d->lock);
}

/**
 * kf_pin_next() - NEXT for a worker whose fiber is pinned
 * @w: the caller
 * @name: the fiber
 * @yields: it is runnable, but others go first
 *
 * Context: may sleep.
 * Return: 0 with a processor, and the fiber is runnable; -ENOENT, -EINTR, -ESHUTDOWN.
 */
int kf_pin_next(struct kf_worker *w, u64 name, bool yields)
{
	struct kf_domain *d = w->domain;
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));
	int err;

	if (!f || !kf_name_generation(name))
		return -ENOENT;
	if (READ_ONCE(d->shutdown))
		return -ESHUTDOWN;
	err = kf_pin_enter(w, f, name, yields);
	if (err)
		return err < 0 ? err : 0;
	kf_delay_sleep(KF_DELAY_PIN_ENTERED);
	kf_sched_dispatch(d);					/* [D] of sched.c */
	err = kf_worker_sleep(w, 0);
	kf_delay_sleep(KF_DELAY_PIN_LEAVE);
	kf_pin_leave(w, f);
	if (!w->processor)
		return err;
	kf_sched_goes_on(w);
	return 0;
}
