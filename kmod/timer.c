// SPDX-License-Identifier: GPL-2.0
/*
 * Deadlines. A fiber's timer does not carry a deadline, it looks at the one in
 * the fiber's block when it fires. So nothing is cancelled when a fiber is
 * unparked early, and a fiber that waits again and again with a time-out has its
 * timer set once a time-out, not once a wait.
 *
 *   fiber (user space)               timer
 *   word = PARKING
 *   deadline = D                     armed = NEVER
 *   full fence                [C]    full fence                  [C]
 *   if (armed > D) ARM               if (deadline is set) look at it
 *
 * [C] One of the two sees the other's store: either the fiber arms, or the
 * timer sees the new deadline and sets itself again. The fiber stores its
 * deadline after PARKING, so a timer that sees it sees a fiber that waits, or
 * one that has been woken since.
 *
 * Every expiry looks, whatever else has set the timer since. So "armed" may say
 * NEVER while the timer is set, which costs an ARM, and never the other way
 * round. (selftests/models/park.pml: WRONG_FIRED_SKIPS.)
 *
 * A timer can fire for a wait that has ended while another has begun: the fiber
 * looks at the clock when it is told that time is up.
 *
 * What it makes of a deadline that it finds is in deadline.h.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>

#include "chunk.h"
#include "deadline.h"
#include "delay.h"
#include "internal.h"
#include "word.h"

/* Context: timer_lock. */
static void kf_timer_set_locked(struct kf_fiber *f, u64 when)
{
	WRITE_ONCE(kf_fiber_block(f)->armed, when);
	hrtimer_start_range_ns(&f->timer, ns_to_ktime(when), f->domain->slack_ns,
			       HRTIMER_MODE_ABS_HARD);
}

/*
 * Decides what to do when the timer fired. Return: true if time is up.
 * Context: timer_lock.
 */
static bool kf_timer_look_locked(struct kf_fiber *f, u64 now)
{
	struct kfiber_fiber_block *block = kf_fiber_block(f);
	enum kf_due due;
	u64 deadline;

	WRITE_ONCE(block->armed, KFIBER_NEVER);
	smp_mb();						/* [C] */
	kf_delay(KF_DELAY_TIMER_ARMED);
	deadline = READ_ONCE(block->deadline);
	kf_delay(KF_DELAY_TIMER_LOOKED);
	due = kf_deadline_due(deadline, now, READ_ONCE(block->word));
	if (due == KF_DUE_LATER)
		kf_timer_set_locked(f, kf_deadline_look_again(deadline, now, &f->rearms));
	return due == KF_DUE_NOW;
}

static enum hrtimer_restart kf_timer_fired(struct hrtimer *timer)
{
	struct kf_fiber *f = container_of(timer, struct kf_fiber, timer);
	struct kf_domain *d = f->domain;
	unsigned long flags;
	u32 generation;
	bool due;

	/*
	 * Also when an ARM has set the timer again meanwhile: it may have been
	 * for an earlier wait, whose deadline it had read before the lock.
	 */
	kf_delay(KF_DELAY_TIMER_FIRED);
	raw_spin_lock_irqsave(&f->timer_lock, flags);
	due = kf_timer_look_locked(f, ktime_get_ns());
	raw_spin_unlock_irqrestore(&f->timer_lock, flags);

	if (due) {
		kf_delay(KF_DELAY_TIMER_DUE);
		generation = kf_word_wake(&kf_fiber_block(f)->word, 0, KFIBER_TIMEDOUT);
		if (generation)
			kf_sched_ready(d, f, kf_name(generation, f->index), KF_BY_TIMER);
	}
	return HRTIMER_NORESTART;
}

void kf_timer_init(struct kf_fiber *f)
{
	raw_spin_lock_init(&f->timer_lock);
	hrtimer_init(&f->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	f->timer.function = kf_timer_fired;
}

/**
 * kf_timer_arm_by() - see to it that a fiber's deadline is looked at in time
 * @f: the fiber
 * @deadline: what it is, or will be when the fiber parks
 *
 * Context: may sleep, though it does not.
 */
void kf_timer_arm_by(struct kf_fiber *f, u64 deadline)
{
	unsigned long flags;

	if (deadline >= KF_TIME_MAX)
		return;
	kf_delay_sleep(KF_DELAY_ARM);
	raw_spin_lock_irqsave(&f->timer_lock, flags);
	f->rearms = 0;
	if (kf_deadline_needs_set(deadline, hrtimer_is_queued(&f->timer),
				  ktime_to_ns(hrtimer_get_softexpires(&f->timer))))
		kf_timer_set_locked(f, deadline);
	raw_spin_unlock_irqrestore(&f->timer_lock, flags);
}

/**
 * kf_timer_arm() - the same for the deadline in the fiber's block
 * @d: the domain
 * @name: the fiber
 *
 * Context: may sleep, though it does not.
 * Return: 0, -ENOENT.
 */
int kf_timer_arm(struct kf_domain *d, u64 name)
{
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));

	if (!f)
		return -ENOENT;
	kf_timer_arm_by(f, READ_ONCE(kf_fiber_block(f)->deadline));
	return 0;
}

void kf_timer_cancel(struct kf_fiber *f)
{
	hrtimer_cancel(&f->timer);
}
