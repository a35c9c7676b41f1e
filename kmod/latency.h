/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long things take, in buckets. All are about threads that sleep and are woken, so
 * what is counted costs much more than counting it, and nothing is counted where user
 * space switches.
 *
 *   handover    sched_out takes the processor  ->  another worker goes on with it
 *   wakeup      a worker is given a processor  ->  it goes on
 *   wait        a worker is back and waits     ->  it goes on with a processor
 *
 * And how long fibers are in the queues of processors, which is another matter: they are put
 * there and taken from there in user space, where a reading of the clock would be more than all
 * the rest. So one in KF_LATENCY_SAMPLE of those that the module makes runnable is stamped, by
 * whoever moved its word to ACTIVE and before it is in a queue, where nobody else writes to the
 * stamp; the library stamps others, and notes the time when it runs one that is
 * (userlib/src/latency.c).
 *
 * A worker with a pinned fiber that is runnable again is not back: its wait is in none.
 *
 * So the time of a hand-over to a sleeping worker is also that of its wake-up, and what came
 * before: the irq_work, or others that had to sleep first.
 *
 * The clock is one that may be read below a run-queue lock. It may step back by a little
 * when it is adjusted; that counts as no time.
 */
#ifndef KF_LATENCY_H
#define KF_LATENCY_H

#include <linux/compiler.h>
#include <linux/kfiber.h>
#include <linux/log2.h>
#include <linux/minmax.h>
#include <linux/timekeeping.h>
#include <linux/types.h>

static inline u64 kf_latency_now(void)
{
	return ktime_get_mono_fast_ns();
}

/* As in the library: what is told of all has the same share of each kind. */
#define KF_LATENCY_SAMPLE	2501u

/* Bucket n has what took from 2^n to 2^(n+1) ns, the first also 0, the last also all above. */
static inline u32 kf_latency_bucket(u64 ns)
{
	return ns ? min_t(u32, ilog2(ns), KFIBER_LATENCY_BUCKETS - 1) : 0;
}

/* @buckets: in the domain's block */
static inline void kf_latency_note_locked(__u64 *buckets, u64 since, u64 now)
{
	__u64 *bucket = &buckets[kf_latency_bucket(now > since ? now - since : 0)];

	WRITE_ONCE(*bucket, READ_ONCE(*bucket) + 1);
}

/*
 * @woken: counts those that the module has made runnable, the caller's fiber too, which is in no
 * queue yet. The first is a sample.
 */
static inline void kf_latency_stamp_locked(u32 *woken, struct kfiber_fiber_block *fiber)
{
	if ((*woken)++ % KF_LATENCY_SAMPLE == 0)
		WRITE_ONCE(fiber->wait_since, KFIBER_RUNNABLE | kf_latency_now());
}

#endif /* KF_LATENCY_H */
