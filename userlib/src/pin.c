// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fibers that stay on their thread, from the side of that thread; the module's pin.c
 * has the other side and says how they meet.
 *
 * A pinned fiber leaves its stack as any other does, but only for the worker's own.
 * There the worker asks the module for this one fiber, and gets it when somebody has
 * woken it. So the signal mask and thread-local variables of the thread are what the
 * fiber has made of them, and handlers run on the worker's stack.
 *
 *   kf_switch_critical()        the worker's own stack
 *   pins: picks nobody
 *   pinned = itself, jumps      kf_arrive(): publishes PARKED, or finds it woken
 *                               kf_worker_loop(): NEXT with ONLY, unless woken
 *                               pinned = NULL, jumps back
 *
 * A fiber that ends pinned leaves nothing for others: the worker leaves its loop, and
 * the thread ends (kf_worker_run()).
 */
#include <errno.h>
#include <limits.h>

#include "internal.h"

/* One worker must be left for those who are not pinned. */
static bool kf_pin_count(struct kf_domain *d)
{
	_Atomic uint32_t *pinned = kf_atomic32(&d->block->pinned);
	uint32_t old = atomic_load_explicit(pinned, memory_order_relaxed);

	do {
		if (old >= d->max_workers - 1)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(pinned, &old, old + 1,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void kf_pin_uncount(struct kf_domain *d)
{
	atomic_fetch_sub_explicit(kf_atomic32(&d->block->pinned), 1, memory_order_relaxed);
}

int kf_pin(void)
{
	struct kf_worker *w = kf_fiber_worker();

	if (!w)
		return -EPERM;
	if (w->pins == UINT_MAX || (!w->pins && !kf_pin_count(w->domain)))
		return -EAGAIN;
	if (!w->pins++) {
		atomic_fetch_or_explicit(kf_atomic64(&w->current->word), KFIBER_PINNED,
					 memory_order_relaxed);
		kf_note_unusual(w);
	}
	return 0;
}

int kf_unpin(void)
{
	struct kf_worker *w = kf_fiber_worker();

	if (!w)
		return -EPERM;
	if (!w->pins)
		return -EINVAL;
	if (!--w->pins) {
		atomic_fetch_and_explicit(kf_atomic64(&w->current->word), ~KFIBER_PINNED,
					  memory_order_relaxed);
		kf_pin_uncount(w->domain);
		kf_note_unusual(w);
	}
	return 0;
}

/**
 * kf_pin_stay_critical() - a pinned fiber is about to leave its stack
 * @w: its worker
 * @f: the fiber
 * @after: what is to be done for it
 */
void kf_pin_stay_critical(struct kf_worker *w, struct kfiber_fiber_block *f, enum kf_after after)
{
	if (after == KF_AFTER_EXIT) {
		w->pins = 0;
		kf_note_unusual(w);
		w->leaves = true;
		kf_pin_uncount(w->domain);
		return;
	}
	w->pinned = f;
	w->pinned_woken = false;
	w->offer = after == KF_AFTER_YIELD;
	/* Should the thread die now, its fiber does. */
	w->block->pinned = kf_name(w->domain, f);
}

/* Return: false if the module has to say when the pinned fiber goes on. */
bool kf_pin_pick_critical(struct kf_worker *w, kf_fiber_t *name)
{
	if (!w->pinned_woken || w->offer ||
	    kf_read32(&w->block->processor) == KFIBER_NO_PROCESSOR)
		return false;
	/* For a wait that has ended. */
	w->arm = 0;
	*name = kf_name(w->domain, w->pinned);
	return true;
}

void kf_pin_go_on_critical(struct kf_worker *w)
{
	w->pinned = NULL;
	w->block->pinned = 0;
}
