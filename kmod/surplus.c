// SPDX-License-Identifier: GPL-2.0
/*
 * Workers that are not needed any more. A burst of fibers that block leaves as many
 * spares behind as there were fibers. One is needed, for the next that blocks, and as many
 * as are taken again and again; the others are surplus, and their threads end.
 *
 * How many that is, is the least number of spares that there were at any time in a
 * period, less one: these were never needed in it. It is lowered where a spare is taken
 * (kf_unlist_locked()) and looked at by a work item once in idle_ns, while there is more
 * than one spare. So no spare that sleeps has a timer, the one that is needed again soon is
 * none of them (spares are taken from the head of the list, surplus ones from its tail), and
 * nothing runs in a domain that has been idle for two periods.
 *
 *   work, under domain.lock              spare, asleep            others
 *   tail of spares: unlisted, surplus
 *   wakes it                             NEXT: SURPLUS            take a spare: another
 *                                        DETACH, the thread ends
 *
 * A worker is in the list or it is surplus, and both change under the lock: who has been told
 * to end is given no processor, and who was given one is not told. One
 * spare stays listed. So nobody who takes it finds fewer than there were, and asks for
 * another as always (kf_sched_found()). A signal may come first: then NEXT is called
 * again, and the worker is a spare again, if it still needs to be one.
 */
#include <linux/jiffies.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "delay.h"
#include "internal.h"

/**
 * kf_surplus_arm_locked() - a spare has come
 * @d: the domain
 *
 * Context: domain.lock.
 * Return: whether kf_surplus_start() is to be called once the lock is dropped.
 */
bool kf_surplus_arm_locked(struct kf_domain *d)
{
	if (!d->idle_ns || d->nr_spares < 2 || d->surplus_armed || d->shutdown)
		return false;
	d->surplus_armed = true;
	d->spares_low = d->nr_spares;
	return true;
}

/* Context: any but under a raw lock. */
void kf_surplus_start(struct kf_domain *d)
{
	queue_delayed_work(kf_workqueue, &d->surplus_work, nsecs_to_jiffies(d->idle_ns) + 1);
}

/* The one that has slept longest. Watchers wake by themselves, and soon. */
static struct kf_worker *kf_surplus_pick_locked(struct kf_domain *d)
{
	struct kf_worker *w;

	list_for_each_entry_reverse(w, &d->spares, link)
		if (w->may_end && !w->watching)
			return w;
	return NULL;
}

/* Tells one worker. Return: whether there was one. */
static bool kf_surplus_end_one(struct kf_domain *d)
{
	struct kf_worker *w = NULL;

	rcu_read_lock();
	raw_spin_lock_irq(&d->lock);
	if (d->nr_spares > 1)
		w = kf_surplus_pick_locked(d);
	if (w) {
		kf_unlist_locked(w);
		WRITE_ONCE(w->surplus, true);
		kf_publish_locked(d);
	}
	raw_spin_unlock_irq(&d->lock);
	kf_delay(KF_DELAY_SURPLUS);
	if (w)
		wake_up_process(w->task);
	rcu_read_unlock();
	return w;
}

static void kf_surplus_work(struct work_struct *work)
{
	struct kf_domain *d = container_of(to_delayed_work(work), struct kf_domain, surplus_work);
	u32 surplus;
	bool again;

	raw_spin_lock_irq(&d->lock);
	surplus = d->spares_low ? d->spares_low - 1 : 0;
	raw_spin_unlock_irq(&d->lock);
	while (surplus && kf_surplus_end_one(d))
		surplus--;
	raw_spin_lock_irq(&d->lock);
	d->surplus_armed = false;
	again = kf_surplus_arm_locked(d);
	raw_spin_unlock_irq(&d->lock);
	if (again)
		kf_surplus_start(d);
}

void kf_surplus_init(struct kf_domain *d)
{
	INIT_DELAYED_WORK(&d->surplus_work, kf_surplus_work);
}

/* Context: may sleep; no worker is left. */
void kf_surplus_exit(struct kf_domain *d)
{
	cancel_delayed_work_sync(&d->surplus_work);
}
