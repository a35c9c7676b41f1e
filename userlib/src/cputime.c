// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The CPU time of each fiber, in domains with KF_CPU_TIME.
 *
 * A thread runs one fiber at a time, so a fiber's time is what its threads' CPU clocks went on
 * while they ran it: the kernel's own count, which stands while the thread sleeps, is preempted, or
 * waits for a processor. All that remains to be done is to read that clock when a thread goes from
 * one fiber to another. Nothing else is charged by anybody, so no time is charged twice:
 *
 *   parks, yields, ends       kf_jump(): charged; what runs next begins
 *   begins, goes on           kf_jump(): begins, with the clock of that thread
 *   blocks in the kernel      its thread's clock stands; the fiber that has its processor has
 *                             another thread, and that one's clock
 *   is preempted, waits for   likewise
 *   a processor
 *   goes on elsewhere         parked or queued in between: charged to the old thread's clock,
 *                             begins with the new one's
 *   is pinned                 as any other; its thread sleeps on its own stack
 *   its thread dies           its time since it began last is not counted: nobody has read the
 *                             clock, and that is gone
 *
 * What a worker does on its own stack, asking the module and making threads, is nobody's. The
 * sum of all fibers' times is so at most what the process has used.
 *
 * The clock is a system call for each switch (CLOCK_THREAD_CPUTIME_ID is not in the vDSO).
 * CLOCK_MONOTONIC is, and the module could count what a thread was off its CPU; but that is
 * another clock, which does not know of interrupts and does not add up to the process's.
 * Domains without KF_CPU_TIME do not pay: kf_worker.unusual takes switches here.
 *
 * Others may ask while the fiber runs. They read its thread's clock, and whether it still runs
 * there then:
 *
 *   thread                            who asks
 *   begins: base, clock               turns, odd
 *           turns + 1                 base, clock
 *   ...                               reads the clock
 *   goes:   reads its clock           turns are the same: it is the clock less "base"
 *           ns                        or not: "ns", as of when it went
 *           turns + 1
 *
 * "base" is where the clock would be if the fiber had used none before, so that it is
 * never added to an "ns" of another turn. If it ran when it was asked for and the turns have
 * gone on, it has gone since, and "ns" is from then: what it had at some moment of the call
 * in either case, and nobody tries again. But the clock may be read after the thread has done so,
 * and the turns before it says that the fiber goes: then that little is too much, and the next
 * reading less. What a fiber reads of itself, and of who does not run, is exact.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

/**
 * struct kf_cpu_time - what a fiber has used
 * @ns: when it went last
 * @base: while it runs, what the clock of its thread was, less @ns
 * @clock: that clock
 * @turns: odd while it runs
 *
 * Only the thread that runs the fiber writes, and whoever makes it.
 */
struct kf_cpu_time {
	_Atomic uint64_t ns;
	_Atomic uint64_t base;
	_Atomic clockid_t clock;
	atomic_uint turns;
};

static bool kf_read_clock(clockid_t clock, uint64_t *ns)
{
	struct timespec now;

	if (clock_gettime(clock, &now))
		return false;
	*ns = (uint64_t)now.tv_sec * KF_NS_PER_S + (uint64_t)now.tv_nsec;
	return true;
}

int kf_cpu_open(struct kf_domain *d)
{
	if (!(d->flags & KF_CPU_TIME) && !d->debug.cputime)
		return 0;
	d->cpu_times = calloc(d->max_fibers, sizeof(*d->cpu_times));
	return d->cpu_times ? 0 : -ENOMEM;
}

void kf_cpu_close(struct kf_domain *d)
{
	free(d->cpu_times);
}

/* Context: the thread itself, before it runs anything. */
void kf_cpu_worker(struct kf_worker *w)
{
	w->charged = NULL;
	/* Of a thread that is there it cannot fail. */
	pthread_getcpuclockid(pthread_self(), &w->cpu_clock);
}

/*
 * A new fiber has used nothing. Its block may have been that of one whose thread died; who
 * asks for that one finds another generation, if it finds this.
 */
void kf_cpu_begin(struct kf_domain *d, struct kfiber_fiber_block *f)
{
	struct kf_cpu_time *t = &d->cpu_times[f - d->fiber_blocks];
	unsigned int turns = atomic_load_explicit(&t->turns, memory_order_relaxed);

	atomic_store_explicit(&t->ns, 0, memory_order_release);
	atomic_store_explicit(&t->turns, turns + (turns & 1), memory_order_release);
}

static void kf_cpu_next_turn(struct kf_cpu_time *t)
{
	unsigned int turns = atomic_load_explicit(&t->turns, memory_order_relaxed);

	atomic_store_explicit(&t->turns, turns + 1, memory_order_release);
}

/**
 * kf_cpu_switch() - charge the fiber that goes, begin with the one that comes
 * @w: the worker
 * @to: the one that comes, NULL for the worker's own stack
 */
void kf_cpu_switch(struct kf_worker *w, struct kfiber_fiber_block *to)
{
	struct kf_cpu_time *t = w->charged;
	uint64_t now = 0;

	/* One's own is always there. */
	kf_read_clock(CLOCK_THREAD_CPUTIME_ID, &now);
	if (t) {
		atomic_store_explicit(&t->ns, now - t->base, memory_order_relaxed);
		kf_cpu_next_turn(t);
	}
	t = to ? &w->domain->cpu_times[to - w->domain->fiber_blocks] : NULL;
	w->charged = t;
	if (!t)
		return;
	/* Who sees any of these sees that the turn before is over. */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&t->base, now - t->ns, memory_order_relaxed);
	atomic_store_explicit(&t->clock, w->cpu_clock, memory_order_relaxed);
	kf_cpu_next_turn(t);
}

/* Context: KF_CPU_TIME. Of a fiber that is recycled meanwhile it may be another one's. */
uint64_t kf_cpu_time_of(struct kf_domain *d, struct kfiber_fiber_block *f)
{
	struct kf_cpu_time *t = &d->cpu_times[f - d->fiber_blocks];
	unsigned int turns = atomic_load_explicit(&t->turns, memory_order_acquire);
	uint64_t base, now;

	/* One that died with its thread has not gone, as far as its turns say. */
	if (turns & 1 && kf_state(kf_read64(&f->word)) != KFIBER_DEAD) {
		base = atomic_load_explicit(&t->base, memory_order_relaxed);
		if (kf_read_clock(atomic_load_explicit(&t->clock, memory_order_relaxed), &now)) {
			atomic_thread_fence(memory_order_acquire);
			if (atomic_load_explicit(&t->turns, memory_order_acquire) == turns)
				return now - base;
		}
	}
	return atomic_load_explicit(&t->ns, memory_order_relaxed);
}

int kf_cpu_time(kf_fiber_t fiber, uint64_t *ns)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	struct kfiber_fiber_block *f = d ? kf_find(d, fiber) : NULL;

	if (!ns)
		return -EINVAL;
	if (!f)
		return -ESRCH;
	if (!d->cpu_times)
		return -EOPNOTSUPP;
	*ns = kf_cpu_time_of(d, f);
	atomic_thread_fence(memory_order_acquire);
	return kf_find(d, fiber) ? 0 : -ESRCH;
}
