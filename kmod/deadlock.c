// SPDX-License-Identifier: GPL-2.0
/*
 * Deadlocks: fibers are parked, and nothing can make one runnable.
 *
 * Somebody who could is one of these:
 *
 *   a fiber that runs, or blocks in the     its worker is not asleep in the module
 *   kernel
 *   a fiber that is in a queue              seen by kf_visible_locked()
 *   a fiber that is about to be queued      its word says ACTIVE
 *   a plain thread                          the process has more threads than workers;
 *                                           one that was made to be a worker counts
 *                                           until it is one; one that looks on, while it
 *                                           does not sleep in aside.c
 *   a deadline                              in the block of a parked fiber, and there
 *                                           until it runs again
 *   a file that is waited for (file.c)      domain.nr_file_waits
 *   who has a stack in hand (trim.c)        its word says PARKING
 *   user space's own clock                  KFIBER_SETUP_QUIET: until it was told that all sleep,
 *                                           and had nobody to wake
 *   a signal handler                        the process has one, of a signal that is not
 *                                           made by a fault
 *
 * Who goes to sleep looks for these when it is in its list, so of several the last one
 * finds all others asleep. The words and deadlines of all fibers cannot be looked at
 * under the lock. So that is done between two looks at the rest, and means nothing if
 * any worker was taken from its list meanwhile: then that one will look when it goes to
 * sleep.
 *
 * The first deadline that is found ends the look, and is where the next one begins: so
 * who waits for time most of the time, as programs do, pays for a glance.
 *
 * All may be asleep already when the last of the rest goes, and then nobody would look: the
 * last worker awake dies or leaves; FORGET ends the last wait for a file, and its
 * caller is a plain thread; a trimmer lets go of a stack. So these have one of the
 * sleepers look again:
 *
 *   goes to sleep                          is the last of the rest to go
 *   in the list, under the lock            nr_file_waits - 1; nr_workers - 1, under
 *                                          the lock; publishes PARKED
 *   full fence                      [H]    full fence                      [H]
 *   looks at the rest                      all in lists: wakes one
 *
 * A plain thread that ends tells nobody here. While there are any, the one that went to sleep
 * last looks again: after a millisecond, and then after twice the time, each time
 * (kf_worker_sleep()). So that costs nothing in the long run, and a deadlock that begins
 * when the last thread ends is seen when it is twice as old as it was then. There are no
 * false alarms.
 */
#include <linux/sched/signal.h>

#include "balance.h"
#include "chunk.h"
#include "internal.h"
#include "word.h"

/* Made by what a fiber does itself, or the C library's own: thread cancellation, set*id(). */
#define KF_SIGNALS_OWN (sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGFPE) | sigmask(SIGILL) | \
			sigmask(SIGTRAP) | sigmask(SIGABRT) | sigmask(SIGSYS) |		\
			sigmask(SIGRTMIN) | sigmask(SIGRTMIN + 1))

static bool kf_catches_signals(void)
{
	struct sighand_struct *sighand = rcu_dereference_protected(current->sighand, true);
	bool found = false;
	int i;

	spin_lock_irq(&sighand->siglock);
	for (i = 1; i <= _NSIG && !found; i++) {
		unsigned long handler =
			(__force unsigned long)sighand->action[i - 1].sa.sa_handler;

		found = handler != (__force unsigned long)SIG_DFL &&
			handler != (__force unsigned long)SIG_IGN &&
			!(KF_SIGNALS_OWN & sigmask(i));
	}
	spin_unlock_irq(&sighand->siglock);
	return found;
}

/* Is every worker in a list? Without the lock: one may have just come, or gone. */
static bool kf_all_seem_asleep(const struct kf_domain *d)
{
	return READ_ONCE(d->nr_spares) + READ_ONCE(d->nr_pinned) >= READ_ONCE(d->nr_workers);
}

/**
 * kf_deadlock_stir() - something has gone that could have made a fiber runnable
 * @d: the domain
 *
 * Context: any but below a run-queue lock; takes domain.lock.
 */
void kf_deadlock_stir(struct kf_domain *d)
{
	struct kf_worker *w = NULL;
	unsigned long flags;

	smp_mb();						/* [H] */
	if (!kf_all_seem_asleep(d))
		return;
	rcu_read_lock();
	raw_spin_lock_irqsave(&d->lock, flags);
	if (kf_all_sleep_locked(d)) {
		w = list_first_entry_or_null(&d->spares, struct kf_worker, link);
		if (!w)
			w = list_first_entry_or_null(&d->pinned, struct kf_worker, link);
	}
	if (w)
		WRITE_ONCE(w->stirred, true);
	raw_spin_unlock_irqrestore(&d->lock, flags);
	if (w)
		wake_up_process(w->task);
	rcu_read_unlock();
}

/* Is every worker asleep? @risen: out: changes when one is not any more. */
static enum kf_verdict kf_look_at_workers(struct kf_domain *d, u64 *risen)
{
	enum kf_verdict verdict = KF_GOES_ON;

	raw_spin_lock_irq(&d->lock);
	*risen = d->risen;
	if (kf_all_sleep_locked(d) && !d->shutdown &&
	    !(d->tells_quiet && !kf_quiet_is_told_locked(d)))
		verdict = get_nr_threads(current) > d->nr_workers + d->nr_aside ? KF_THREADS :
										  KF_DEADLOCK;
	raw_spin_unlock_irq(&d->lock);
	smp_mb();						/* [H] */
	return atomic_read(&d->nr_file_waits) ? KF_GOES_ON : verdict;
}

enum kf_wait {
	KF_WAIT_NOT,	/* it runs, will, or waits for time */
	KF_WAIT_EVER,
	KF_WAIT_NOBODY,	/* no fiber, or one that has ended */
};

static enum kf_wait kf_fiber_wait(struct kf_fiber *f)
{
	struct kfiber_fiber_block *block = kf_fiber_block(f);

	if (!READ_ONCE(f->allocated))
		return KF_WAIT_NOBODY;
	switch (kf_word_state(READ_ONCE(block->word))) {
	case KFIBER_FREE:
	case KFIBER_DEAD:
		return KF_WAIT_NOBODY;
	case KFIBER_PARKED:
		return READ_ONCE(block->deadline) == KFIBER_NEVER ? KF_WAIT_EVER : KF_WAIT_NOT;
	}
	return KF_WAIT_NOT;
}

/* Does the one wait for time that did so the last time? */
static bool kf_hint_waits(struct kf_domain *d)
{
	struct kf_fiber *f = kf_fiber_find(d, READ_ONCE(d->deadline_hint));

	return f && kf_fiber_wait(f) == KF_WAIT_NOT;
}

/* Is there a fiber that is parked, and none that can go on by itself? */
static bool kf_all_wait(struct kf_domain *d)
{
	struct kf_fiber_chunk *chunk;
	unsigned long number;
	bool any = false;
	u32 i;

	if (kf_hint_waits(d))
		return false;
	xa_for_each(&d->chunks, number, chunk) {
		for (i = 0; i < KF_FIBERS_PER_PAGE; i++) {
			struct kf_fiber *f = &chunk->fibers[i];
			enum kf_wait wait = kf_fiber_wait(f);

			if (wait == KF_WAIT_NOT) {
				WRITE_ONCE(d->deadline_hint, f->index);
				return false;
			}
			any |= wait == KF_WAIT_EVER;
		}
		cond_resched();
	}
	return any;
}

/**
 * kf_deadlock_look() - can no fiber ever run again?
 * @d: the domain
 *
 * Context: a worker in NEXT, in its list; may sleep.
 */
enum kf_verdict kf_deadlock_look(struct kf_domain *d)
{
	enum kf_verdict verdict;
	u64 before, after;

	verdict = kf_look_at_workers(d, &before);
	if (verdict != KF_DEADLOCK)
		return verdict;
	if (kf_catches_signals() || !kf_all_wait(d))
		return KF_GOES_ON;
	verdict = kf_look_at_workers(d, &after);
	return before == after ? verdict : KF_GOES_ON;
}
