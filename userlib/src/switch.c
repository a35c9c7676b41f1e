// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * From one fiber to another, or to the worker's own stack.
 *
 * A fiber that goes must not be seen by others before its stack pointer is
 * saved and its stack is left: another worker would run it while it still runs.
 * So what is to be done for it is noted in the worker and done by whoever comes
 * next on the thread (kf_arrive, and kf_switch_usual_critical of switch.h).
 */
#include "switch.h"

/*
 * Leaves the stack for that of @to or, without one, the worker's own; returns
 * when somebody comes back to it, unless @for_good.
 */
void kf_jump(struct kf_worker *w, struct kfiber_fiber_block *to, __u64 *save, bool for_good)
{
	uint64_t load = to ? to->sp : w->sp;

	if (kf_unlikely(w->domain->cpu_times))
		kf_cpu_switch(w, to);
	if (kf_is_checked())
		kf_check_switch(w, to, save, load, for_good);
	else
		kf_context_switch(save, load);
}

/* Enters the fiber @name; what runs now is saved at @save. */
void kf_resume_critical(struct kf_worker *w, kf_fiber_t name, __u64 *save, bool for_good)
{
	struct kfiber_processor_block *p = kf_processor_block(w);

	if (kf_unlikely(kf_is_stamped(w, name)))
		kf_latency_note_critical(p, kf_block(w->domain, name));
	kf_jump(w, kf_run_critical(w, p, name), save, for_good);
}

/* Does what the one that went wanted, and ends the critical section. */
void kf_arrive(void)
{
	struct kf_worker *w = kf_worker_self();

	kf_delay(KF_DELAY_ARRIVE);
	kf_do_after_critical(w);
	/* On its own stack the worker goes on to use the processor. */
	if (w->current)
		kf_leave(w);
}

/**
 * kf_switch_critical() - let something else run
 * @w: the caller's worker
 * @after: what is to be done for the caller
 *
 * Returns, perhaps on another thread and no longer in a critical section, when
 * the caller is resumed. After a yield with nothing else to run, at once, but for the
 * background, whose queue is the module's.
 */
void kf_switch_critical(struct kf_worker *w, enum kf_after after)
{
	struct kfiber_fiber_block *self = w->current;
	bool for_good = after == KF_AFTER_EXIT;
	int saved = *w->errno_place;
	enum kf_pick pick = KF_PICK_NONE;
	kf_fiber_t name = 0;

	if (!w->pins)
		pick = kf_pick_critical(w, &name);
	else if (after == KF_AFTER_YIELD && kf_is_anything_queued_critical(w))
		pick = KF_PICK_ASK;
	if (pick == KF_PICK_NONE && after == KF_AFTER_YIELD) {
		if (w->pins || !(kf_read64(&self->word) & KFIBER_BACKGROUND)) {
			kf_leave(w);
			return;
		}
		/* Only the module knows who else is in the background: READY puts it behind them. */
		pick = KF_PICK_ASK;
	}
	kf_delay(KF_DELAY_PICKED);
	if (after == KF_AFTER_YIELD && !w->pins && kf_is_sampled(kf_processor_block(w)->ticks))
		kf_latency_stamp(self);
	if (after == KF_AFTER_YIELD && kf_read64(&self->word) & KF_APART)
		kf_note_after(w, KF_AFTER_YIELD_APART);
	else
		kf_note_after(w, after);
	if (pick == KF_PICKED) {
		if (w->arm) {
			kf_delay(KF_DELAY_ARM);
			kf_call_arm(w->domain, w->arm);
			w->arm = 0;
		}
		kf_resume_critical(w, name, &self->sp, for_good);
	} else {
		w->current = NULL;
		w->block->fiber = 0;
		if (w->pins)
			kf_pin_stay_critical(w, self, after);
		kf_jump(w, NULL, &self->sp, for_good);
	}
	kf_arrive();
	*kf_worker_self()->errno_place = saved;
}

/* kf_switch_usual_critical() to a sample: a call in its midst would cost all others registers. */
KF_RARELY void kf_switch_stamped_critical(struct kf_worker *w, enum kf_after after, kf_fiber_t name)
{
	struct kfiber_fiber_block *self = w->current;
	int saved = *w->errno_place;

	kf_delay(KF_DELAY_PICKED);
	kf_note_after(w, after);
	kf_resume_critical(w, name, &self->sp, false);
	kf_arrive();
	*kf_worker_self()->errno_place = saved;
}

/* Makes a fiber begin with fn(arg) when it is resumed. */
void kf_stack_prepare(struct kf_domain *d, struct kfiber_fiber_block *f, void *(*fn)(void *),
		      void *arg)
{
	uintptr_t base = d->arenas[f->stack_shift - KFIBER_STACK_SHIFT_MIN].base;
	uintptr_t top = base + (((uintptr_t)f->slot + 1) << f->stack_shift);

	if (kf_is_checked())
		kf_check_spawn(d, f);
	f->sp = kf_context_prepare(top, fn, arg);
}
