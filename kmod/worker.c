// SPDX-License-Identifier: GPL-2.0
/*
 * Workers: threads of the process that have entered the module. ATTACH makes
 * one, NEXT is where it asks for something to run and where it sleeps.
 */
#include <linux/freezer.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>

#include "balance.h"
#include "delay.h"
#include "internal.h"
#include "priority.h"

/*
 * How long a worker with nothing to run looks around before it sleeps. About
 * the cost of going to sleep and being woken (2.3 us a futex round trip on one
 * CPU, 11 us across two, on the machines this was made on), so that at worst
 * it costs twice what the better choice would have.
 */
#define KF_SPIN_NS 20000ull

/*
 * How long a watcher sleeps (sched.c): at first, and at most; it doubles while
 * all that it finds is processors that dispatch. So a fiber in "next" behind one
 * that computes waits for 8 ms at worst, and for 8 ms more for each processor whose
 * "next" is looked at before; watching two fibers that wake each other costs 125
 * looks a second.
 */
#define KF_WATCH_NS (1 * NSEC_PER_MSEC)
#define KF_WATCH_NS_MAX (8 * NSEC_PER_MSEC)

/* When to look for a deadlock again at first, see deadlock.c. */
#define KF_LOOK_NS (1 * NSEC_PER_MSEC)

/* Makes the page of worker blocks that an index lies in. */
static struct kfiber_worker_block *kf_worker_block(struct kf_domain *d, u32 index)
{
	u32 page = index / KF_WORKERS_PER_PAGE;
	struct kfiber_worker_block *blocks = xa_load(&d->worker_pages, page);
	struct kfiber_worker_block *seen;

	if (!blocks) {
		blocks = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!blocks)
			return NULL;
		seen = xa_cmpxchg(&d->worker_pages, page, NULL, blocks, GFP_KERNEL);
		if (seen)
			free_page((unsigned long)blocks);
		if (xa_is_err(seen))
			return NULL;
		blocks = seen ?: blocks;
	}
	return &blocks[index % KF_WORKERS_PER_PAGE];
}

/*
 * The caller's worker. Context: the thread itself keeps it from being freed.
 * An index is not believed: the worker must be the caller's.
 */
static struct kf_worker *kf_worker_find(struct kf_domain *d, u32 index)
{
	struct kf_worker *w;

	rcu_read_lock();
	w = xa_load(&d->workers, index);
	if (w && w->task != current)
		w = NULL;
	rcu_read_unlock();
	return w;
}

static void kf_worker_free(struct rcu_head *rcu)
{
	struct kf_worker *w = container_of(rcu, struct kf_worker, rcu);

	put_task_struct(w->task);
	kf_domain_put(w->domain);
	kfree(w);
}

/**
 * kf_worker_attach() - make the calling thread a worker
 * @d: the domain
 * @index: out: its number
 *
 * Context: may sleep.
 * Return: 0, -EAGAIN (max_workers), -EINVAL (is one), -ENOMEM, -ESHUTDOWN.
 */
int kf_worker_attach(struct kf_domain *d, u32 *index)
{
	struct kf_worker *w;
	int err;

	if (READ_ONCE(d->shutdown))
		return -ESHUTDOWN;
	if (kf_handover_self(d))
		return -EINVAL;
	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return -ENOMEM;
	w->domain = d;
	w->task = current;
	INIT_LIST_HEAD(&w->link);
	kf_interrupt_init(w);
	err = xa_alloc(&d->workers, &w->index, NULL, XA_LIMIT(0, d->max_workers - 1),
		       GFP_KERNEL);
	if (err) {
		err = err == -EBUSY ? -EAGAIN : err;
		goto free_worker;
	}
	w->block = kf_worker_block(d, w->index);
	if (!w->block) {
		err = -ENOMEM;
		goto free_index;
	}
	memset(w->block, 0, sizeof(*w->block));
	WRITE_ONCE(w->block->processor, KFIBER_NO_PROCESSOR);
	get_task_struct(w->task);
	kref_get(&d->ref);
	kf_sched_attach(w);
	*index = w->index;
	xa_store(&d->workers, w->index, w, GFP_KERNEL);	/* reserved: cannot fail */
	kf_delay_sleep(KF_DELAY_ATTACH);
	kf_handover_attach(w);
	return 0;

free_index:
	xa_erase(&d->workers, w->index);
free_worker:
	kfree(w);
	return err;
}

/**
 * kf_worker_forget() - forget a worker whose notifier will not be called again
 * @w: the worker, detached by kf_sched_detach(); freed after a grace period
 *
 * Context: may sleep.
 */
void kf_worker_forget(struct kf_worker *w)
{
	kf_delay_sleep(KF_DELAY_GONE);
	kf_interrupt_exit(w);
	xa_erase(&w->domain->workers, w->index);
	call_rcu(&w->rcu, kf_worker_free);
}

int kf_worker_detach(struct kf_domain *d, u32 index)
{
	struct kf_worker *w = kf_worker_find(d, index);

	if (!w)
		return -ENOENT;
	kf_handover_leave(w);
	return 0;
}

/* Return: whether it is a deadlock. @again_ns: how long to sleep before the next look, or 0 */
static bool kf_worker_look(struct kf_worker *w, u64 *again_ns)
{
	enum kf_verdict verdict = kf_deadlock_look(w->domain);

	*again_ns = verdict == KF_THREADS ? *again_ns * 2 : 0;
	return verdict == KF_DEADLOCK;
}

/* Context: the task's state is set. Return: 0 if nobody woke the caller. */
static int kf_worker_doze(u64 ns)
{
	ktime_t timeout = ktime_add_ns(ktime_get(), ns);

	return schedule_hrtimeout_range(&timeout, ns / 8, HRTIMER_MODE_ABS);
}

/*
 * Sleeps until there is a processor: the sleeping half of kf_worker_wait(). Who looks for
 * deadlocks is in its list by then: of several the last one sees them all there.
 */
int kf_worker_sleep(struct kf_worker *w, u64 watch_ns)
{
	ktime_t timeout = ktime_add_ns(ktime_get(), watch_ns);
	u64 look_ns = w->looks && !watch_ns ? KF_LOOK_NS : 0;
	int err = 0;

	if (look_ns && kf_worker_look(w, &look_ns))
		return -EDEADLK;
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		kf_delay(KF_DELAY_WAIT_STATE);
		if (READ_ONCE(w->processor))
			break;
		if (!watch_ns && w->looks && xchg(&w->stirred, false)) {
			__set_current_state(TASK_RUNNING);
			look_ns = KF_LOOK_NS;
			if (kf_worker_look(w, &look_ns))
				return -EDEADLK;
			continue;
		}
		if (READ_ONCE(w->surplus))
			err = -ETIME;
		else if (READ_ONCE(w->domain->shutdown))
			err = -ESHUTDOWN;
		else if (signal_pending(current))
			err = -EINTR;
		if (err)
			break;
		kf_delay(KF_DELAY_WAIT_SCHEDULE);
		if (watch_ns) {
			if (!schedule_hrtimeout_range(&timeout, watch_ns / 8, HRTIMER_MODE_ABS))
				return READ_ONCE(w->processor) ? 0 : -ETIME;
		} else if (!look_ns) {
			schedule();
		} else if (!kf_worker_doze(look_ns) && kf_worker_look(w, &look_ns)) {
			return -EDEADLK;
		}
	}
	__set_current_state(TASK_RUNNING);
	return err;
}

/**
 * kf_worker_wait() - sleep until somebody gives the caller a processor
 * @w: the caller
 * @sleep: as what
 * @watch_ns: for how long at most, 0 for any time; spares only
 *
 * Shutdown and sleeper cannot miss each other: the flag is set before the lists
 * are emptied, and looked at after the list is entered.
 *
 * Return: 0 with a processor; -EINTR, -ESHUTDOWN, -EDEADLK or -ETIME without one.
 */
int kf_worker_wait(struct kf_worker *w, enum kf_sleep sleep, u64 watch_ns)
{
	int err;

	kf_sched_sleep(w, sleep, watch_ns);
	kf_delay_sleep(KF_DELAY_WAIT);
	err = kf_worker_sleep(w, watch_ns);
	if (err)
		kf_sched_wake_up(w);
	if (!w->processor)
		return err;
	kf_sched_goes_on(w);
	return 0;
}

/* Looks around for a while. Return: a fiber's name, or 0. */
static u64 kf_worker_spin(struct kf_worker *w, struct kf_watch *watch)
{
	struct kf_domain *d = w->domain;
	u64 name;
	u64 end;

	if (READ_ONCE(d->nr_looked) == 1 || !kf_sched_search(w))
		return 0;
	name = kf_sched_steal_next(d, w->processor, watch);
	end = local_clock() + KF_SPIN_NS;
	while (!name && local_clock() < end) {
		if (need_resched() || signal_pending(current) || READ_ONCE(d->shutdown) ||
		    READ_ONCE(d->nr_waiters) || READ_ONCE(d->preempted_turn))
			break;
		cpu_relax();
		name = kf_sched_find(d, w->processor);
	}
	return name ?: kf_sched_steal_next(d, w->processor, watch);
}

/* Return: 0 with a processor and a fiber; -EINTR, -ESHUTDOWN, -EDEADLK, -ETIME: surplus. */
static int kf_worker_find_work(struct kf_worker *w, u64 *name, bool offer)
{
	struct kf_domain *d = w->domain;
	struct kf_watch watch = { };
	u64 watch_ns = KF_WATCH_NS;
	int err;

	for (;;) {
		if (READ_ONCE(d->shutdown))
			return -ESHUTDOWN;
		if (w->processor && !offer) {
			*name = kf_sched_find(d, w->processor);
			if (!*name)
				*name = kf_worker_spin(w, &watch);
			if (*name || w->quiet)
				return 0;
		}
		offer = false;
		err = kf_worker_wait(w, KF_SPARE, watch.processor ? watch_ns : 0);
		if (err == -ETIME && w->surplus)
			return err;
		if (err == -ETIME && kf_sched_look_again(w))
			watch_ns = min_t(u64, watch_ns * 2, KF_WATCH_NS_MAX);
		else if (err == -ETIME)
			watch.processor = NULL;
		else if (err)
			return err;
		/* Queues that are written to all the time could keep us here. */
		if (signal_pending(current) && !w->quiet)
			return -EINTR;
		cond_resched();
	}
}

/*
 * Does anybody go before what the caller would find? Without the lock: a glance. Those in
 * front go before those who wait, but not without end.
 */
static bool kf_offers(const struct kf_domain *d, const struct kf_worker *w)
{
	const struct kf_processor *p = w->processor;

	if (READ_ONCE(d->preempted_turn))
		return true;
	return READ_ONCE(d->nr_waiters) &&
	       (READ_ONCE(d->waiters_turn) || !READ_ONCE(d->nr_front) ||
		(p && p->front_run >= KF_FRONT_RUN));
}

/**
 * kf_worker_next() - KFIBER_IOC_NEXT
 * @d: the domain
 * @args: in and out
 *
 * Context: may sleep for as long as there is nothing to do.
 * Return: 0, with a fiber or, if that is to be told, with none when all wait; -ENOENT
 * (not the caller's worker; no such fiber), -EINTR, -ESHUTDOWN, -EDEADLK.
 */
int kf_worker_next(struct kf_domain *d, struct kfiber_next *args)
{
	struct kf_worker *w = kf_worker_find(d, args->worker);
	bool offer;
	int err;

	if (!w)
		return -ENOENT;
	offer = args->flags & KFIBER_NEXT_OFFER && kf_offers(d, w);
	offer |= w->processor && kf_is_surplus(d, w->processor);
	if (args->arm) {
		err = kf_timer_arm(d, args->arm);
		if (err)
			return err;
	}
	atomic64_inc(&d->next_calls);
	kf_delay_sleep(KF_DELAY_NEXT_ENTER);
	w->in_module = true;
	w->lost = false;
	w->looks = args->flags & KFIBER_NEXT_DEADLOCK;
	w->may_end = args->flags & KFIBER_NEXT_SURPLUS;
	w->surplus = false;
	WRITE_ONCE(w->stirred, false);
	w->quiet = false;
	if (args->flags & KFIBER_NEXT_ONLY)
		err = kf_pin_next(w, args->fiber, args->flags & KFIBER_NEXT_OFFER);
	else
		err = kf_worker_find_work(w, &args->fiber, offer);
	w->looks = false;
	w->may_end = false;
	w->surplus = false;
	args->flags = 0;
	if (err || !args->fiber)
		kf_sched_interrupted(w);
	else
		args->flags = kf_sched_found(w);
	w->in_module = false;
	kf_delay_sleep(KF_DELAY_NEXT_LEAVE);
	if (err != -ETIME)
		return err;
	args->fiber = 0;
	args->flags = KFIBER_NEXT_SURPLUS;
	return 0;
}

/**
 * kf_worker_acquire() - KFIBER_IOC_ACQUIRE
 * @d: the domain
 * @index: the caller's number
 *
 * Who has a processor may have been told that its slice was over while it was in
 * a critical section: see preempt.c.
 *
 * Return: 0 with a processor, -ENOENT, -EINTR, -ESHUTDOWN.
 */
int kf_worker_acquire(struct kf_domain *d, u32 index)
{
	struct kf_worker *w = kf_worker_find(d, index);
	int err;

	if (!w)
		return -ENOENT;
	if (w->processor) {
		WRITE_ONCE(w->block->preempt, 0);
		kf_preempt_self(w);
		return w->processor ? 0 : -EINTR;
	}
	kf_delay_sleep(KF_DELAY_ACQUIRE);
	w->in_module = true;
	err = kf_worker_wait(w, KF_WAITER, 0);
	w->lost = err;
	w->in_module = false;
	return err;
}

/* Context: nobody else has the domain any more. */
void kf_workers_destroy(struct kf_domain *d)
{
	unsigned long index;
	void *page;

	xa_for_each(&d->worker_pages, index, page)
		free_page((unsigned long)page);
	xa_destroy(&d->worker_pages);
	xa_destroy(&d->workers);
}
