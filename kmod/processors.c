// SPDX-License-Identifier: GPL-2.0
/*
 * How many processors are in use. There are as many as SETUP said there can be;
 * those with numbers below domain.nr_used are in use:
 *
 *            fewer                    its holder gives it up
 *   IDLE  ----------->  OUT   <---------------------------------  LEAVING
 *    ^  ^               | |                                        ^  |
 *    |  '-----<---------' '---> its queues are drained       fewer |  | more
 *    |       more                                                  |  v
 *    '----------------------- given up, given ------------------>  HELD
 *
 * IDLE is in domain.idle. OUT is in no list, so nobody is given it. LEAVING is held
 * for as long as its holder runs what it may not leave:
 *
 *   sleeps, or asks NEXT            gives it up as always; kf_unassign_locked() makes
 *                                   it OUT
 *   runs, in no critical section    a task work has it wait for another one, as a WAITER:
 *                                   it has not had its slice
 *   in a critical section           the task work leaves the mark of preempt.c: ACQUIRE
 *                                   at the section's end does the same
 *   is not to be held (NO_HOLD)     the next dispatch calls NEXT: "offer"
 *
 * All changes of state are made under domain.lock, and only a thread itself gives up
 * what it holds, as everywhere. So a holder that is told late, and has another
 * processor by then, finds one that is in use and keeps it.
 *
 * What is queued
 *
 * An OUT processor has no producers: its holder is gone, and the kernel puts nothing
 * into the inbox of one that nobody holds. So its queues only get shorter. Whoever pairs
 * workers next (kf_pair_all(), which follows each loss of a processor where there is
 * something to run) takes what is left, and puts it into the global queue, a few fibers
 * at a time, as the lock is held. Thieves may take some as well: heads are exchanged. User
 * space can scribble into the rings; so no more is taken from a processor than its rings hold.
 *
 * domain.nr_looked says up to where there may be anything to see or to steal: it falls
 * once the last of those beyond is empty, and then a domain of 2 processors that
 * could have 1,000 costs what one of 2 costs.
 *
 *   fewer                              holder, LEAVING          others
 *   used = 1, tells it
 *                                      queues into its ring
 *                                      blocks: OUT, irq_work
 *                                                               its ring to the global
 *                                                               queue, and a spare awake
 *
 * From one processor to more
 *
 * With one in use, user space queues without a fence and does not look whether another
 * is idle: kf_tell_critical() in the library's queue.c. When there are more, whoever
 * queued just then may have been seen by nobody. So all are looked at once more after
 * a grace period, when those stores have long been made.
 *
 * selftests/models/processors.pml is a model of all this.
 */
#include <linux/kfiber.h>
#include <linux/minmax.h>
#include <linux/rcupdate.h>

#include "balance.h"
#include "delay.h"
#include "internal.h"
#include "queue.h"
#include "word.h"

/* Fibers that are moved while the lock is held. */
#define KF_DRAIN_BATCH 32u

/* What a processor's queues hold at most: "next" and its rings. */
#define KF_DRAIN_MAX (1 + KFIBER_LOCAL_SLOTS + KFIBER_INBOX_SLOTS)

static void kf_use_locked(struct kf_domain *d, struct kf_processor *p)
{
	p->drain = 0;
	if (p->worker) {
		d->nr_leaving--;
		return;
	}
	p->handed = NULL;
	list_add_tail(&p->idle_link, &d->idle);
	d->nr_idle++;
}

static void kf_disuse_locked(struct kf_domain *d, struct kf_processor *p)
{
	p->drain = KF_DRAIN_MAX;
	WRITE_ONCE(p->block->offer, KFIBER_OFFER_ALL);
	if (p->worker) {
		d->nr_leaving++;
		return;
	}
	list_del_init(&p->idle_link);
	d->nr_idle--;
}

static void kf_set_used_locked(struct kf_domain *d, u32 count)
{
	u32 i;

	for (i = d->nr_used; i < count; i++)
		kf_use_locked(d, &d->processors[i]);
	for (i = count; i < d->nr_used; i++)
		kf_disuse_locked(d, &d->processors[i]);
	WRITE_ONCE(d->nr_used, count);
	WRITE_ONCE(d->nr_looked, max(d->nr_looked, count));
	kf_publish_locked(d);
}

static struct kf_worker *kf_leaver_locked(struct kf_domain *d, struct kf_processor *p)
{
	if (!p->worker || !kf_is_surplus(d, p) || d->no_hold)
		return NULL;
	/* It counts no more than that: no number of dispatches makes it keep it. */
	return kf_preempt_tell_locked(p->worker, U64_MAX);
}

/* Has those leave who hold what is out of use. */
static void kf_tell_leavers(struct kf_domain *d)
{
	u32 i;

	/* Keeps workers, see kf_handover_queue(). */
	rcu_read_lock();
	for (i = READ_ONCE(d->nr_used); i < d->nr_processors; i++) {
		struct kf_worker *w;

		raw_spin_lock_irq(&d->lock);
		w = kf_leaver_locked(d, &d->processors[i]);
		raw_spin_unlock_irq(&d->lock);
		kf_delay(KF_DELAY_PREEMPT_QUEUE);
		if (w)
			kf_handover_queue(w);
	}
	rcu_read_unlock();
}

/**
 * kf_processors_set() - KFIBER_IOC_PROCESSORS
 * @d: the domain
 * @args: in and out
 *
 * Context: may sleep; takes domain.lock.
 * Return: 0, -EINVAL.
 */
int kf_processors_set(struct kf_domain *d, struct kfiber_processors *args)
{
	u32 count = args->count;

	if (count > d->nr_processors)
		return -EINVAL;
	args->max = d->nr_processors;
	raw_spin_lock_irq(&d->lock);
	args->count = d->nr_used;
	if (count)
		kf_set_used_locked(d, count);
	raw_spin_unlock_irq(&d->lock);
	if (!count || count == args->count)
		return 0;
	kf_delay_sleep(KF_DELAY_NUMBER);
	if (count < args->count)
		kf_tell_leavers(d);
	else if (args->count == 1)
		synchronize_rcu();
	kf_sched_kick(d);
	return 0;
}

/* One that is out of use. Return: a fiber's name, or 0. */
static u64 kf_drain_one_locked(struct kf_processor *p)
{
	u64 name;

	if (!p->drain || !kf_queue_has_work(p->block))
		return 0;
	p->drain--;
	name = kf_queue_pop_own(p->block);
	return name ?: kf_queue_pop_inbox(p->block);
}

/* Return: how many of @most could be taken still. */
static u32 kf_drain_locked(struct kf_domain *d, struct kf_processor *p, u32 most)
{
	while (most) {
		u64 name = kf_drain_one_locked(p);
		struct kf_fiber *f = name ? kf_fiber_find(d, kf_name_index(name)) : NULL;

		/* It has nothing that can be taken, whatever user space says of it: not for long. */
		if (!name) {
			p->drain -= min(p->drain, KF_DRAIN_BATCH);
			break;
		}
		most--;
		if (f && kf_name_generation(name))
			kf_global_push_locked(d, f, name);
	}
	return most;
}

static bool kf_is_drained_locked(const struct kf_processor *p)
{
	return !p->worker && (!p->drain || !kf_queue_has_work(p->block));
}

/**
 * kf_processors_drain_locked() - take what is left in queues that are out of use
 * @d: the domain
 *
 * Context: domain.lock, RCU; not below a run-queue lock.
 * Return: whether there may be more: call it again, without the lock between.
 */
bool kf_processors_drain_locked(struct kf_domain *d)
{
	u32 i, room = KF_DRAIN_BATCH;

	if (d->nr_looked == d->nr_used)
		return false;
	for (i = d->nr_used; i < d->nr_looked; i++)
		if (!d->processors[i].worker)
			room = kf_drain_locked(d, &d->processors[i], room);
	if (d->nr_global)
		kf_tick_start_locked(d);
	kf_publish_locked(d);
	if (!room)
		return true;
	while (d->nr_looked > d->nr_used && kf_is_drained_locked(&d->processors[d->nr_looked - 1]))
		WRITE_ONCE(d->nr_looked, d->nr_looked - 1);
	/* Thieves may have been quicker, again and again, and left something. */
	return d->nr_looked > d->nr_used && !d->processors[d->nr_looked - 1].worker;
}
