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

#endif /* KF_LATENCY_H */
