// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that only look on, as the one that prints the scheduler's trace does.
 *
 * A plain thread could wake a fiber at any time, so while there is one nothing is a
 * deadlock (deadlock.c). One that has said that it looks on cannot while it sleeps here,
 * and is not counted among those then. Outside it counts as any other, so nobody has to
 * be believed for longer than a sleep, and nothing is left behind by a thread that dies:
 *
 *   looks on                            goes to sleep last (kf_worker_sleep)
 *   aside - 1, prints
 *                                       a plain thread: look again in 1 ms, 2 ms, 4 ms
 *   aside + 1, sleeps
 *                                       it is aside: a deadlock
 *
 * It looks on for a small part of the time, so one of the next looks finds it asleep.
 */
#include <linux/ktime.h>
#include <linux/wait.h>

#include "internal.h"

static void kf_count_aside(struct kf_domain *d, int n)
{
	raw_spin_lock_irq(&d->lock);
	d->nr_aside += n;
	raw_spin_unlock_irq(&d->lock);
}

/**
 * kf_aside() - KFIBER_IOC_ASIDE
 * @d: the domain
 * @until: when to return; KFIBER_NEVER
 *
 * Context: may sleep.
 * Return: 0 at that time, -EINVAL (a worker), -EINTR, -ESHUTDOWN.
 */
int kf_aside(struct kf_domain *d, u64 until)
{
	u64 now = ktime_get_ns();
	ktime_t timeout = until >= KTIME_MAX ? KTIME_MAX : ns_to_ktime(until - min(until, now));
	int err;

	/* It is counted as such. */
	if (kf_handover_self(d))
		return -EINVAL;
	kf_count_aside(d, 1);
	err = wait_event_interruptible_hrtimeout(d->aside, READ_ONCE(d->shutdown), timeout);
	kf_count_aside(d, -1);
	if (!err)
		return -ESHUTDOWN;
	return err == -ETIME ? 0 : -EINTR;
}
