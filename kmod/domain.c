// SPDX-License-Identifier: GPL-2.0
/*
 * A domain's life.
 *
 *   open     created: it has an owner and nothing else
 *   SETUP    has its processors; everything can still fail; "ready" comes last
 *   ...      used
 *   end      SHUTDOWN, close() in the owner, or the last fiber's end: workers
 *            leave NEXT with ESHUTDOWN; nothing is freed
 *   release  the last descriptor and mapping are gone: nobody can call or fault
 *   free     and the last worker is gone: nobody can be switched, no timer is
 *            set by anybody
 *
 * A worker outlives the file when its thread runs on after closing and
 * unmapping everything. Nobody but the thread itself can take its preempt
 * notifier off, so it does that the next time it is switched in (handover.c),
 * or dies.
 */
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "balance.h"
#include "delay.h"
#include "internal.h"
#include "limits.h"

static void kf_domain_free(struct work_struct *work)
{
	struct kf_domain *d = container_of(work, struct kf_domain, free_work);
	int i;

	kf_trim_domain_exit(d);
	kf_surplus_exit(d);
	kf_handover_flush(d);
	kf_delay_sleep(KF_DELAY_DOMAIN_FREE);
	kf_account_close(d);
	kf_fibers_destroy(d);
	kf_workers_destroy(d);
	kf_preempt_exit(d);
	kf_sched_destroy(d);
	for (i = 0; i < KF_STACK_CLASSES; i++)
		xa_destroy(&d->arenas[i].slots);
	mutex_destroy(&d->fiber_mutex);
	mutex_destroy(&d->setup_mutex);
	mmdrop(d->mm);
	kfree(d);
	module_put(THIS_MODULE);
}

struct kf_domain *kf_domain_create(struct inode *inode)
{
	struct kf_domain *d;
	int i, err;

	if (!current->mm)
		return ERR_PTR(-EPERM);
	d = kzalloc(sizeof(*d), GFP_KERNEL_ACCOUNT);
	if (!d)
		return ERR_PTR(-ENOMEM);
	err = kf_account_open(d);
	if (err) {
		kfree(d);
		return ERR_PTR(err);
	}
	kref_init(&d->ref);
	mmgrab(current->mm);
	d->mm = current->mm;
	d->files = current->files;
	d->owner = task_tgid_nr(current);
	mutex_init(&d->setup_mutex);
	mutex_init(&d->fiber_mutex);
	xa_init_flags(&d->workers, XA_FLAGS_ALLOC | XA_FLAGS_ACCOUNT);
	xa_init_flags(&d->worker_pages, XA_FLAGS_ACCOUNT);
	xa_init_flags(&d->chunks, XA_FLAGS_ACCOUNT);
	for (i = 0; i < KF_STACK_CLASSES; i++) {
		xa_init_flags(&d->arenas[i].slots, XA_FLAGS_ACCOUNT);
		INIT_LIST_HEAD(&d->arenas[i].warm);
		INIT_LIST_HEAD(&d->arenas[i].cold);
	}
	raw_spin_lock_init(&d->lock);
	INIT_LIST_HEAD(&d->idle);
	INIT_LIST_HEAD(&d->spares);
	INIT_LIST_HEAD(&d->waiters);
	INIT_LIST_HEAD(&d->waiters_front);
	INIT_LIST_HEAD(&d->preempted);
	INIT_LIST_HEAD(&d->behind);
	INIT_LIST_HEAD(&d->pinned);
	init_waitqueue_head(&d->aside);
	kf_preempt_init(d);
	kf_surplus_init(d);
	kf_handover_init(d);
	INIT_WORK(&d->free_work, kf_domain_free);
	kf_trim_domain_init(d, inode);
	__module_get(THIS_MODULE);
	return d;
}

/**
 * kf_domain_setup() - give a domain its sizes
 * @d: the domain
 * @args: as user space gave them
 *
 * Context: may sleep; takes setup_mutex.
 * Return: 0, -EINVAL, -EBADFD (done already), -ESHUTDOWN, -ENOMEM: then it can be
 * tried again.
 */
int kf_domain_setup(struct kf_domain *d, const struct kfiber_setup *args)
{
	int err = 0;

	if (!kf_limits_valid(args))
		return -EINVAL;
	mutex_lock(&d->setup_mutex);
	if (d->ready)
		err = -EBADFD;
	else if (d->closed)
		err = -ESHUTDOWN;
	if (err)
		goto out;
	d->nr_processors = args->processors_max ?: args->processors;
	d->nr_used = args->processors;
	d->max_workers = args->max_workers;
	d->max_fibers = args->max_fibers;
	d->guard_bytes = args->guard_bytes;
	d->pool_pages_max = (args->pool_bytes ?: KFIBER_POOL_BYTES) >> PAGE_SHIFT;
	d->stack_pages_max = kf_limit_stack_pages(args->stack_bytes_max);
	d->no_hold = args->flags & KFIBER_SETUP_NO_HOLD;
	d->tells_quiet = args->flags & KFIBER_SETUP_QUIET;
	d->slice_ns = d->no_hold ? 0 : kf_slice_ns(args->slice_ns);
	d->idle_ns = kf_idle_ns(args->idle_ns);
	d->slack_ns = kf_slack_ns(args->slack_ns, current->timer_slack_ns);
	err = kf_sched_setup(d);
	if (!err)
		smp_store_release(&d->ready, true);	/* pairs with kf_is_ready() */
out:
	mutex_unlock(&d->setup_mutex);
	return err;
}

static void kf_domain_unref(struct kref *ref)
{
	struct kf_domain *d = container_of(ref, struct kf_domain, ref);

	queue_work(kf_workqueue, &d->free_work);
}

/* Context: any. The free itself waits for a work item, it sleeps. */
void kf_domain_put(struct kf_domain *d)
{
	kref_put(&d->ref, kf_domain_unref);
}

/**
 * kf_domain_close() - end a domain, or one that is not set up yet for good
 * @d: the domain
 *
 * Context: may sleep; takes setup_mutex.
 */
void kf_domain_close(struct kf_domain *d)
{
	bool ready;

	mutex_lock(&d->setup_mutex);
	d->closed = true;
	ready = d->ready;
	mutex_unlock(&d->setup_mutex);
	if (ready)
		kf_sched_shutdown(d);
}

/* The last descriptor and the last mapping are gone. */
void kf_domain_release(struct kf_domain *d)
{
	if (d->ready)
		kf_sched_shutdown(d);
	kf_delay_sleep(KF_DELAY_DOMAIN_RELEASE);
	kf_account_release(d);
	WRITE_ONCE(d->released, true);
	kf_domain_put(d);
}

void kf_domain_stats(struct kf_domain *d, struct kfiber_stats *args)
{
	mutex_lock(&d->fiber_mutex);
	args->fibers = d->nr_allocated;
	args->fibers_peak = d->fibers_peak;
	args->pool_pages = d->pool_pages;
	args->pool_warm = d->pool_warm;
	args->pool_cold = d->pool_cold;
	args->pool_made = d->pool_made;
	mutex_unlock(&d->fiber_mutex);

	raw_spin_lock_irq(&d->lock);
	args->processors = d->nr_used;
	args->workers = d->nr_workers;
	args->workers_peak = d->workers_peak;
	args->spares = d->nr_spares;
	args->handovers = d->handovers;
	args->returns = d->returns;
	args->steals = d->steals;
	args->sleeps = d->sleeps;
	args->wakeups = d->wakeups;
	args->timers = d->timers;
	args->deaths = d->deaths;
	args->preemptions = d->preemptions;
	args->idle = d->nr_idle;
	args->global = d->nr_global;
	args->waiters = d->nr_waiters;
	args->preempted = d->nr_preempted + d->nr_behind;
	args->pinned = d->nr_pinned;
	args->blocked = kf_elsewhere_locked(d);
	raw_spin_unlock_irq(&d->lock);

	args->stack_pages = atomic_long_read(&d->stack_pages);
	args->stack_faults = atomic64_read(&d->stack_faults);
	args->stack_refused = atomic64_read(&d->stack_refused);
	args->stack_trimmed = atomic64_read(&d->stack_trimmed);
	args->stack_grown = atomic64_read(&d->stack_grown);
	args->stack_starts = atomic64_read(&d->stack_starts);
	args->stack_dropped = atomic64_read(&d->stack_dropped);
	args->next_calls = atomic64_read(&d->next_calls);
	args->interrupts = atomic64_read(&d->interrupts);
	args->file_wakes = atomic64_read(&d->file_wakes);
	/* Each was a wait before it was ended. */
	smp_rmb();
	args->file_waits = atomic64_read(&d->file_waits);
	args->file_waiting = atomic_read(&d->nr_file_waits);
	args->time = ktime_get_ns();
}
