// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How long things took. The module counts what its threads do (its latency.h); how long fibers
 * are runnable before they run is counted here.
 *
 * A reading of the clock costs as much as a switch. So one in KF_SAMPLE_TICKS of those that are
 * made runnable is stamped with the time, in its block, where else it says since when it waits;
 * and who runs it finds that in one look at a line that a switch writes to anyway.
 *
 *   made runnable by              stamped                      one in so many
 *   the fiber's yield             kf_switch_critical()         dispatches of its processor
 *   a spawn                       kf_spawn_under()             spawns of its processor
 *   a fiber that wakes it         kf_queue_woken()             unparks of its processor
 *   a thread, a signal handler,   kf_queue_by_module()         such calls in the domain
 *   or it goes before others
 *   a timer, a file               kf_sched_ready() (module)    those in the domain
 *
 * A yield is stamped only if something else runs. Which one it is costs nothing to find out:
 * each 61st dispatch takes the long way as it is. No factor is a power of two, or of eight that
 * yield in turn it would always be the same one.
 *
 * Who moves a fiber's word to ACTIVE puts it in a queue, and stamps it before. Until somebody
 * has taken it from there nobody else writes to the stamp; and who takes it has seen it, as he
 * sees the rest of the block. A fiber that is woken before it has left its stack is queued
 * at once by who left it, and is no sample.
 */
#include <errno.h>
#include <string.h>

#include "queue.h"

/* @f is ACTIVE, in no queue, and about to be put in one by the caller. */
KF_RARELY void kf_latency_stamp(struct kfiber_fiber_block *f)
{
	atomic_store_explicit(kf_atomic64(&f->wait_since), KFIBER_RUNNABLE | kf_real_now(),
			      memory_order_relaxed);
}

/* As the module's kf_latency_bucket(). */
static unsigned int kf_latency_bucket(uint64_t ns)
{
	unsigned int bucket = ns ? 63u - (unsigned int)__builtin_clzll(ns) : 0;

	return bucket < KFIBER_LATENCY_BUCKETS ? bucket : KFIBER_LATENCY_BUCKETS - 1;
}

/* @f has a stamp, and runs now. */
KF_RARELY void kf_latency_note_critical(struct kfiber_processor_block *p,
					struct kfiber_fiber_block *f)
{
	uint64_t since = kf_read64(&f->wait_since) & ~KFIBER_RUNNABLE, now = kf_real_now();

	atomic_store_explicit(kf_atomic64(&f->wait_since), 0, memory_order_relaxed);
	/* The module's clock may be a little ahead of ours. */
	kf_count(&p->run_queue[kf_latency_bucket(now > since ? now - since : 0)]);
}

static void kf_add_buckets(uint64_t *to, __u64 *from)
{
	unsigned int i;

	for (i = 0; i < KF_LATENCY_BUCKETS; i++)
		to[i] += kf_read64(&from[i]);
}

int kf_latencies(struct kf_latencies *latencies)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	struct kf_latencies all = { .size = latencies->size };
	unsigned int i;

	_Static_assert(KF_LATENCY_BUCKETS == KFIBER_LATENCY_BUCKETS, "the module's");
	if (all.size < sizeof(all.size) + sizeof(all.handover))
		return -EINVAL;
	if (!d)
		return -ESRCH;
	kf_add_buckets(all.handover, d->block->handover);
	kf_add_buckets(all.wakeup, d->block->wakeup);
	kf_add_buckets(all.wait, d->block->wait);
	for (i = 0; i < d->nr_processors; i++)
		kf_add_buckets(all.run_queue, d->processor_blocks[i].run_queue);
	memcpy(latencies, &all, all.size < sizeof(all) ? all.size : sizeof(all));
	return 0;
}
