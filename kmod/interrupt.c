// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupting the system call in which a fiber blocks, because the fiber is cancelled or
 * its time is up. To the call it is a signal: it ends its sleep and returns EINTR, or what
 * it has done so far. But there is no signal and no handler; a task work is queued that
 * wakes the thread as a signal would (TWA_SIGNAL), and sees to it that the call is not
 * begun again.
 *
 * User space says what is to be interrupted: INTERRUPT in the fiber's word, or a deadline
 * in the block of one that runs. Both stay, so each call that blocks from then on is
 * interrupted, and nothing can come too early: who says it and who goes to sleep see each
 * other.
 *
 *   cancels (user space, ioctl)        thread of the fiber, in a system call
 *   word |= INTERRUPT                  sched_out: fiber.sleeper = worker
 *   full barrier                [H]    full barrier                        [H]
 *   fiber.sleeper? send                word, deadline? have a timer send
 *
 * [H] One of the two sees what the other stored. Both may, and then both send: the
 * second finds the task work queued, or the thread awake.
 *
 * A thread is woken for its fiber only. Were it woken for one that it ran before, the call
 * of another would end: poll() begins again by itself, epoll_wait() does not, and
 * write() returns less than it might. So a sleep has a name, the fiber's, from sched_out to
 * sched_in, and who sends holds a lock that sched_in takes to end it:
 *
 *   sends                              thread
 *   lock
 *   worker.asleep is that fiber?       woken by what it waited for
 *   masked?                            sched_in: waits for the lock
 *   task_work_add()
 *   unlock                             asleep = 0
 *                                      ...
 *                                      on its way to user mode: the task work
 *
 * The task work runs before the thread is in user mode, where alone it can turn to
 * another fiber. What is sent within a system call thus has its effect in that call: at
 * its next sleep, if the one that was meant is over. A sleep that is not interruptible
 * goes on to its end.
 *
 * The task work makes EINTR of a result that would begin the call again; but for
 * ERESTARTNOINTR, which no signal makes an error either. It may come too late: a real
 * signal came before it and has had the call begun again. Then the next sleep is seen by
 * sched_out like any other. Whoever is not in a system call, because the sleep was that of a page
 * fault, is left alone.
 *
 * What cannot sleep (sched_out, below the run-queue lock) wakes nobody: an irq_work sets
 * the timer, and that is a soft one for the same reasons as the tick is (preempt.c).
 *
 * The mask, too, is looked at under the lock, while the thread that alone writes it sleeps.
 * selftests/models/interrupt.pml is a model of all this.
 */
#include <asm/syscall.h>
#include <linux/errno.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/ktime.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/task_work.h>

#include "chunk.h"
#include "compat.h"
#include "delay.h"
#include "internal.h"
#include "interrupt.h"

/*
 * From when on the worker's sleep is to be interrupted. Context: its own thread, or
 * interrupt_lock. Return: KFIBER_NEVER also if it does not sleep.
 */
static u64 kf_interrupt_look(const struct kf_worker *w)
{
	u64 name = smp_load_acquire(&w->asleep);	/* pairs with kf_interrupt_sleeps() */
	struct kfiber_fiber_block *block;

	if (!name)
		return KFIBER_NEVER;
	block = kf_fiber_block(w->sleeps_for);
	return kf_interrupt_at(READ_ONCE(block->word), name, READ_ONCE(block->masked),
			       READ_ONCE(block->deadline));
}

/**
 * kf_interrupt_sleeps() - the caller goes to sleep in user space's name
 * @w: the caller
 *
 * Context: sched_out, below the run-queue lock.
 */
void kf_interrupt_sleeps(struct kf_worker *w)
{
	u64 name = READ_ONCE(w->block->fiber);
	struct kf_fiber *f;

	if (!name)
		return;
	f = kf_fiber_find(w->domain, kf_name_index(name));
	if (!f)
		return;
	w->sleeps_for = f;
	smp_store_release(&w->asleep, name);	/* pairs with kf_interrupt_look() */
	kf_delay(KF_DELAY_INTERRUPT_ASLEEP);
	smp_store_release(&f->sleeper, w);	/* pairs with kf_interrupt() */
	smp_mb();						/* [H] */
	kf_delay(KF_DELAY_INTERRUPT_LOOK);
	if (kf_interrupt_look(w) != KFIBER_NEVER)
		irq_work_queue(&w->interrupt_irq);
}

/**
 * kf_interrupt_wakes() - the caller has slept
 * @w: the caller
 *
 * Afterwards nobody sends for the fiber in whose name it slept, and the worker is in no
 * fiber: it may go.
 *
 * Context: sched_in.
 */
void kf_interrupt_wakes(struct kf_worker *w)
{
	unsigned long flags;

	if (!w->asleep)
		return;
	kf_delay(KF_DELAY_INTERRUPT_AWAKE);
	raw_spin_lock_irqsave(&w->interrupt_lock, flags);
	WRITE_ONCE(w->asleep, 0);
	raw_spin_unlock_irqrestore(&w->interrupt_lock, flags);
	/* A block that says of two threads that they run one fiber: it may be the other's. */
	cmpxchg(&w->sleeps_for->sleeper, w, NULL);
}

/* Context: interrupt_lock. */
static u32 kf_interrupted_before_locked(const struct kf_worker *w)
{
	return w->interrupted == w->asleep ? w->interrupts : 0;
}

/*
 * Interrupts the worker if it sleeps and that is due. Context: interrupt_lock, without which
 * the sleep, if there is one, does not end.
 */
static void kf_interrupt_send_locked(struct kf_worker *w)
{
	if (kf_interrupt_look(w) > ktime_get_ns())
		return;
	if (atomic_xchg(&w->interrupt_queued, 1))
		return;
	w->interrupts = min_t(u32, kf_interrupted_before_locked(w), U8_MAX - 1) + 1;
	w->interrupted = w->asleep;
	if (kf_task_interrupt(w->task, &w->interrupt))
		atomic_set(&w->interrupt_queued, 0);
	else
		atomic64_inc(&w->domain->interrupts);
}

/* When the worker's timer is to fire. Context: interrupt_lock. Return: KFIBER_NEVER: not at all */
static u64 kf_interrupt_next_locked(struct kf_worker *w)
{
	u64 pause = kf_interrupt_pause(kf_interrupted_before_locked(w));
	u64 at = kf_interrupt_look(w);

	return at == KFIBER_NEVER ? at : max(at, ktime_get_ns() + pause);
}

/*
 * The timer is set under the lock: this may run on two CPUs at once, for two sleeps one after
 * the other, and whoever is later knows the later one.
 *
 * Context: hard interrupt, after sched_out. The thread may sleep, still or again, or run.
 */
static void kf_interrupt_irq(struct irq_work *work)
{
	struct kf_worker *w = container_of(work, struct kf_worker, interrupt_irq);
	unsigned long flags;
	u64 at;

	kf_delay(KF_DELAY_INTERRUPT_IRQ);
	raw_spin_lock_irqsave(&w->interrupt_lock, flags);
	at = kf_interrupt_next_locked(w);
	if (at != KFIBER_NEVER)
		hrtimer_start_range_ns(&w->interrupt_timer, ns_to_ktime(at), w->domain->slack_ns,
				       HRTIMER_MODE_ABS_SOFT);
	raw_spin_unlock_irqrestore(&w->interrupt_lock, flags);
}

static enum hrtimer_restart kf_interrupt_fired(struct hrtimer *timer)
{
	struct kf_worker *w = container_of(timer, struct kf_worker, interrupt_timer);
	unsigned long flags;

	kf_delay(KF_DELAY_INTERRUPT_FIRED);
	raw_spin_lock_irqsave(&w->interrupt_lock, flags);
	kf_interrupt_send_locked(w);
	raw_spin_unlock_irqrestore(&w->interrupt_lock, flags);
	return HRTIMER_NORESTART;
}

/**
 * kf_interrupt() - KFIBER_IOC_INTERRUPT: interrupt a fiber's system call, if it is to be
 * @d: the domain
 * @name: the fiber
 *
 * Context: may sleep, though it does not.
 * Return: 0, also if it does not sleep; -ENOENT.
 */
int kf_interrupt(struct kf_domain *d, u64 name)
{
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));
	struct kf_worker *w;
	unsigned long flags;

	if (!f || !kf_name_generation(name))
		return -ENOENT;
	smp_mb();						/* [H] */
	rcu_read_lock();
	w = smp_load_acquire(&f->sleeper);	/* pairs with kf_interrupt_sleeps() */
	kf_delay(KF_DELAY_INTERRUPT_FOUND);
	if (w) {
		raw_spin_lock_irqsave(&w->interrupt_lock, flags);
		/* It is said anew: that is no reason to wait. */
		w->interrupts = 0;
		if (w->asleep == name)
			kf_interrupt_send_locked(w);
		raw_spin_unlock_irqrestore(&w->interrupt_lock, flags);
	}
	rcu_read_unlock();
	return 0;
}

/* On the way back to user mode, or out of the world. */
static void kf_interrupt_work(struct callback_head *head)
{
	struct kf_worker *w = container_of(head, struct kf_worker, interrupt);
	struct pt_regs *regs = task_pt_regs(current);

	if (atomic_xchg(&w->interrupt_queued, 0) == KF_WORK_LEAVES) {
		kf_handover_left(w);
		return;
	}
	if (current->flags & PF_EXITING || syscall_get_nr(current, regs) == -1)
		return;
	switch (syscall_get_error(current, regs)) {
	case -ERESTARTSYS:
	case -ERESTARTNOHAND:
	case -ERESTART_RESTARTBLOCK:
		syscall_set_return_value(current, regs, -EINTR, 0);
	}
}

void kf_interrupt_init(struct kf_worker *w)
{
	raw_spin_lock_init(&w->interrupt_lock);
	init_task_work(&w->interrupt, kf_interrupt_work);
	w->interrupt_irq = IRQ_WORK_INIT_HARD(kf_interrupt_irq);
	hrtimer_init(&w->interrupt_timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_SOFT);
	w->interrupt_timer.function = kf_interrupt_fired;
}

/* Context: may sleep; the worker's notifier is not called any more. */
void kf_interrupt_exit(struct kf_worker *w)
{
	irq_work_sync(&w->interrupt_irq);
	hrtimer_cancel(&w->interrupt_timer);
}
