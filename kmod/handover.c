// SPDX-License-Identifier: GPL-2.0
/*
 * Handover: what happens to a worker's processor when its thread sleeps, comes
 * back, or dies. The idea is that of scheduler activations (Anderson et al.,
 * 1991): the kernel knows when a thread blocks, and says so.
 *
 * A worker's preempt notifier is called in the thread's own context each time
 * it is switched out or in.
 *
 * sched_out, asleep (not preempted), with a processor, not in a critical
 * section, not in one of the module's own sleeps: gives the processor up. The
 * run-queue lock is held, nothing can be woken here, so an irq_work does the
 * rest once interrupts are on: it joins idle processors to workers.
 *
 * sched_in, having lost its processor: takes an idle one, its last if it can.
 * Otherwise a task work holds the thread before it returns to user mode, until
 * it is given one. So user code runs with a processor, and what the thread
 * does in the kernel meanwhile it does without one.
 *
 *   thread                 irq_work               another worker
 *   read() sleeps
 *   sched_out: release
 *                          spare gets processor
 *                                                 runs fibers
 *   data comes, sched_in:
 *   no idle processor,
 *   queue task work
 *   task work: WAITER                             parks, nothing to run:
 *                                                 kf_sched_sleep gives it to
 *   returns to user mode                          the first waiter
 *
 * Only the thread gives its processor up, so there is no race with its own user
 * code: a processor is there for as long as "critical" is not 0, even when the
 * thread sleeps on a page fault within.
 *
 * A signal ends the wait in the task work, and the handler runs without a
 * processor; the next switch or call of the library waits again. Waiting on
 * would keep stop signals and debuggers waiting too. With KFIBER_SETUP_NO_HOLD no
 * thread is held: under valgrind it would wait with the one lock without which the
 * thread that has the processor cannot run, and so cannot give it up.
 *
 * The task work is also how a worker is preempted, see preempt.c: then others queue
 * it.
 *
 * Death: do_exit() ends with a last switch in state TASK_DEAD. The task is
 * never switched again, so the notifier is not called again; it is still in the
 * list that is being walked, so the worker goes after a grace period (the walk
 * has interrupts off). exec() keeps the thread and its notifiers but not the
 * mm: the worker takes itself off at the next sched_in.
 */
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include "compat.h"
#include "delay.h"
#include "internal.h"

static struct kf_worker *kf_notifier_worker(struct preempt_notifier *n)
{
	return container_of(n, struct kf_worker, notifier);
}

/* The thread is no longer one of the domain's process, or the domain is gone. */
static bool kf_worker_is_stray(const struct kf_worker *w)
{
	return current->mm != w->domain->mm || READ_ONCE(w->domain->released);
}

static void kf_worker_queue_work(struct kf_worker *w)
{
	/* Fails only when the task exits; then nothing needs to be done. */
	if (!atomic_xchg(&w->work_queued, 1) && task_work_add(current, &w->work, TWA_RESUME))
		atomic_set(&w->work_queued, 0);
}

/**
 * kf_handover_queue() - have a worker do what is to be done on its way to user mode
 * @w: whoever calls this has moved its "work_queued" from 0 to 1
 *
 * When the task has ended meanwhile, having left the domain before, nobody else
 * is there any more who could forget the worker.
 *
 * Context: RCU; any but hard interrupts and under a raw lock.
 */
void kf_handover_queue(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;

	if (!task_work_add(w->task, &w->work, TWA_RESUME))
		return;
	/* Pairs with kf_handover_leave(): one of the two sees what the other did. */
	if (atomic_xchg(&w->work_queued, 0) == KF_WORK_LEAVES) {
		llist_add(&w->dead_node, &d->dead);
		queue_work(kf_workqueue, &d->reap_work);
	}
}

static void kf_switched_in(struct preempt_notifier *n, int cpu)
{
	struct kf_worker *w = kf_notifier_worker(n);

	if (current->flags & PF_EXITING)
		return;
	kf_interrupt_wakes(w);
	if (kf_worker_is_stray(w)) {
		kf_worker_queue_work(w);
		return;
	}
	if (w->in_module || !w->lost)
		return;
	if (kf_sched_take_idle(w))
		w->lost = false;
	else if (!w->domain->no_hold)
		kf_worker_queue_work(w);
}

/*
 * Does the switch leave a processor that others could use? A thread that exits
 * needs none, even while it is preempted.
 */
static bool kf_should_release(const struct kf_worker *w, bool blocks)
{
	return w->processor && (blocks || current->flags & PF_EXITING || kf_worker_is_stray(w));
}

/* Is it user space that sleeps, outside of critical sections? */
static bool kf_blocks(const struct kf_worker *w)
{
	return !w->in_module && !kf_task_preempted(current) && !READ_ONCE(w->block->critical) &&
	       !(current->flags & PF_EXITING) && !kf_worker_is_stray(w);
}

static void kf_switched_out(struct preempt_notifier *n, struct task_struct *next)
{
	struct kf_worker *w = kf_notifier_worker(n);
	struct kf_domain *d = w->domain;
	bool blocks = kf_blocks(w);
	bool dispatch = false;

	if (blocks)
		kf_interrupt_sleeps(w);
	if (kf_should_release(w, blocks)) {
		w->lost = true;
		dispatch = kf_sched_release(w);
		kf_delay(KF_DELAY_SWITCHED_OUT);
	}
	if (READ_ONCE(current->__state) == TASK_DEAD) {
		kf_delay(KF_DELAY_SWITCHED_DEAD);
		llist_add(&w->dead_node, &d->dead);
		dispatch = true;
	}
	if (dispatch)
		irq_work_queue(&d->dispatch_work);
}

static struct preempt_ops kf_preempt_ops = {
	.sched_in = kf_switched_in,
	.sched_out = kf_switched_out,
};

/* On the way back to user mode, or out of the world. */
static void kf_task_work(struct callback_head *head)
{
	struct kf_worker *w = container_of(head, struct kf_worker, work);
	bool leaves = atomic_xchg(&w->work_queued, 0) == KF_WORK_LEAVES;

	kf_delay_sleep(KF_DELAY_TASK_WORK);
	if (leaves) {
		kf_worker_forget(w);
		return;
	}
	if (current->flags & PF_EXITING)
		return;
	if (kf_worker_is_stray(w)) {
		kf_handover_leave(w);
		return;
	}
	if (w->processor)
		kf_preempt_self(w);
	if (w->processor || !w->lost)
		return;
	w->in_module = true;
	if (!kf_worker_wait(w, KF_WAITER, 0))
		w->lost = false;
	w->in_module = false;
}

static void kf_dispatch_work(struct irq_work *work)
{
	struct kf_domain *d = container_of(work, struct kf_domain, dispatch_work);

	kf_delay(KF_DELAY_DISPATCH_WORK);
	if (!llist_empty(&d->dead))
		queue_work(kf_workqueue, &d->reap_work);
	kf_sched_dispatch(d);
}

/*
 * The last reference to the domain may be a dead worker's: reading what is in
 * the block comes before letting go of it.
 */
static void kf_reap_work(struct work_struct *work)
{
	struct kf_domain *d = container_of(work, struct kf_domain, reap_work);
	struct kf_worker *w, *next;

	llist_for_each_entry_safe(w, next, llist_del_all(&d->dead), dead_node) {
		kf_delay_sleep(KF_DELAY_REAP);
		if (!w->left) {
			kf_fiber_kill(d, READ_ONCE(w->block->fiber));
			kf_fiber_kill(d, READ_ONCE(w->block->pinned));
			kf_sched_detach(w);
		}
		kf_worker_forget(w);
	}
}

void kf_handover_init(struct kf_domain *d)
{
	init_llist_head(&d->dead);
	INIT_WORK(&d->reap_work, kf_reap_work);
	d->dispatch_work = IRQ_WORK_INIT_HARD(kf_dispatch_work);
}

/* Context: may sleep; no worker is left. */
void kf_handover_flush(struct kf_domain *d)
{
	irq_work_sync(&d->dispatch_work);
	flush_work(&d->reap_work);
}

/* Return: the calling thread as a worker of this domain, NULL if it is none. */
struct kf_worker *kf_handover_self(struct kf_domain *d)
{
	struct kf_worker *self = NULL;
	struct preempt_notifier *n;

	preempt_disable();
	hlist_for_each_entry(n, &current->preempt_notifiers, link)
		if (n->ops == &kf_preempt_ops && kf_notifier_worker(n)->domain == d)
			self = kf_notifier_worker(n);
	preempt_enable();
	return self;
}

/* Context: the worker's own thread. */
void kf_handover_attach(struct kf_worker *w)
{
	init_task_work(&w->work, kf_task_work);
	preempt_notifier_init(&w->notifier, &kf_preempt_ops);
	preempt_disable();
	preempt_notifier_register(&w->notifier);
	preempt_enable();
}

/**
 * kf_handover_leave() - make the calling thread a plain one again
 * @w: its worker; gone afterwards
 *
 * A task work that is queued cannot be taken back, so it does the rest when it
 * runs: before the thread is in user mode again.
 *
 * Context: may sleep.
 */
void kf_handover_leave(struct kf_worker *w)
{
	preempt_disable();
	preempt_notifier_unregister(&w->notifier);
	preempt_enable();
	kf_delay_sleep(KF_DELAY_LEAVE);
	/* From here on it has no processor, so no tick queues its work any more. */
	kf_sched_detach(w);
	w->left = true;
	kf_handover_left(w);
}

/**
 * kf_handover_left() - forget the calling thread's worker, when none of its works is queued
 * @w: the worker, which has left
 *
 * Context: may sleep; the thread's own, from leaving and from a work that is the last.
 */
void kf_handover_left(struct kf_worker *w)
{
	if (!atomic_cmpxchg(&w->interrupt_queued, 1, KF_WORK_LEAVES) &&
	    !atomic_cmpxchg(&w->work_queued, 1, KF_WORK_LEAVES))
		kf_worker_forget(w);
}
