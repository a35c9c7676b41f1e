/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The usual switch: from one fiber to another that is in the processor's own queues. switch.c
 * says how switches work, and has all others.
 */
#ifndef KF_SWITCH_H
#define KF_SWITCH_H

#include "internal.h"
#include "queue.h"

/* The worker runs the fiber @name from now on. Return: its block. */
static __always_inline struct kfiber_fiber_block *
kf_run_critical(struct kf_worker *w, struct kfiber_processor_block *p, kf_fiber_t name)
{
	struct kfiber_fiber_block *f = &w->fibers[name & KFIBER_INDEX_MASK];

	w->current = f;
	w->block->fiber = name;
	f->processor = kf_read32(&w->block->processor);
	kf_count(&p->switches);
	return f;
}

/* The caller goes; what is to be done for it when nobody is on its stack any more? */
static __always_inline void kf_note_after(struct kf_worker *w, enum kf_after after)
{
	w->after = after;
	if (after == KF_AFTER_YIELD)
		w->left_name = w->block->fiber;
	else
		w->left = w->current;
}

/* PARKING -> PARKED, or what came meanwhile. Return: false if the fiber is to go on. */
static __always_inline bool kf_publish(struct kfiber_fiber_block *f)
{
	_Atomic uint64_t *word = kf_atomic64(&f->word);
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
	uint64_t new;
	bool woken;

	do {
		woken = kf_unlikely(old & (KFIBER_PERMIT | KFIBER_WAKE | KFIBER_TIMEDOUT)) &&
			kf_is_woken(old);
		new = old - KFIBER_PARKING + KFIBER_PARKED;
		if (woken)
			new = (old & ~(KFIBER_STATE_MASK | KFIBER_WAITS_WAKE)) | KFIBER_ACTIVE;
		kf_delay(KF_DELAY_PUBLISH);
	} while (kf_unlikely(!atomic_compare_exchange_weak_explicit(word, &old, new,
								    memory_order_acq_rel,
								    memory_order_relaxed)));
	kf_delay(KF_DELAY_PUBLISHED);
	return !woken;
}

/* Nobody is on the fiber's stack: it may be resumed, by others or right away. */
static __always_inline void kf_publish_parked_critical(struct kf_worker *w,
						       struct kfiber_fiber_block *f)
{
	kf_count(&kf_processor_block(w)->parks);
	if (kf_unlikely(!kf_publish(f)))
		kf_woken_critical(w, f);
}

/* Does that. The most frequent come first. */
static __always_inline void kf_do_after_critical(struct kf_worker *w)
{
	if (w->after == KF_AFTER_PARK)
		kf_publish_parked_critical(w, w->left);
	else if (w->after == KF_AFTER_YIELD)
		kf_push_last_critical(w, w->left_name);
	else if (w->after == KF_AFTER_EXIT)
		kf_fiber_ended_critical(w, w->left);
	else if (w->after == KF_AFTER_YIELD_APART)
		kf_push_apart_critical(w, w->left);
}

/* Is it a sample? See latency.c. Who has the name from a queue sees what was stored before. */
static __always_inline bool kf_is_stamped(struct kf_worker *w, kf_fiber_t name)
{
	return w->fibers[name & KFIBER_INDEX_MASK].wait_since & KFIBER_RUNNABLE;
}

/**
 * kf_switch_usual_critical() - let something else run
 * @w: the caller's worker; kf_worker.unusual and kf_worker.arm are 0
 * @after: what is to be done for the caller: KF_AFTER_PARK, or KF_AFTER_YIELD of one that
 *	is not KF_APART
 *
 * Returns as kf_switch_critical() does.
 */
static __always_inline void kf_switch_usual_critical(struct kf_worker *w, enum kf_after after)
{
	struct kfiber_processor_block *p = kf_processor_block(w);
	struct kfiber_fiber_block *self, *to;
	kf_fiber_t name;
	int saved;

	if (kf_unlikely(!kf_pick_usual_critical(p, &name))) {
		kf_switch_critical(w, after);
		return;
	}
	if (kf_unlikely(kf_is_stamped(w, name))) {
		kf_switch_stamped_critical(w, after, name);
		return;
	}
	kf_delay(KF_DELAY_PICKED);
	saved = *w->errno_place;
	self = w->current;
	kf_note_after(w, after);
	to = kf_run_critical(w, p, name);
	kf_context_switch(&self->sp, to->sp);
	w = kf_worker_self();
	kf_delay(KF_DELAY_ARRIVE);
	kf_do_after_critical(w);
	kf_leave(w);
	*w->errno_place = saved;
}

#endif /* KF_SWITCH_H */
