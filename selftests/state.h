/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Prints what a domain's shared blocks say: who is where when nothing goes on.
 * For a program that is built with the library's own headers.
 */
#ifndef KF_SELFTESTS_STATE_H
#define KF_SELFTESTS_STATE_H

#include <stdio.h>
#include <sys/ioctl.h>

#include "internal.h"

static inline void state_print_processors(struct kf_domain *d)
{
	unsigned int i;

	for (i = 0; i < d->nr_processors; i++) {
		struct kfiber_processor_block *p = d->processors[i].block;

		printf("# processor %u: next %llx, local %u to %u, inbox %u to %u, ticks %llu\n",
		       i, p->next, p->local_head, p->local_tail, p->inbox_head, p->inbox_tail,
		       p->ticks);
	}
}

static inline void state_print_workers(struct kf_domain *d, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct kfiber_worker_block *w = &d->worker_blocks[i];

		printf("# worker %u: processor %d, critical %u, fiber %llx\n", i,
		       (int)w->processor, w->critical, w->fiber);
	}
}

static inline void state_print_fibers(struct kf_domain *d)
{
	static const char *const states[] = { "free", "active", "parking", "parked", "dead" };
	unsigned int i, end = atomic_load(&d->fibers_end);

	for (i = 0; i < end; i++) {
		struct kfiber_fiber_block *f = &d->fiber_blocks[i];
		unsigned int state = kf_state(f->word);

		if (state == KFIBER_FREE)
			continue;
		printf("# fiber %u: %s%s%s%s%s, generation %u, deadline %lld, armed %lld, joiner %llx, last on %u\n",
		       i, state < 5 ? states[state] : "?", f->word & KFIBER_PERMIT ? " permit" : "",
		       f->word & KFIBER_WAKE ? " wake" : "",
		       f->word & KFIBER_TIMEDOUT ? " timedout" : "",
		       f->word & KFIBER_WAITS_WAKE ? " waits-wake" : "", kf_generation(f->word),
		       f->deadline, f->armed, f->joiner, f->processor);
	}
}

/* Everything, of the domain that runs. Reads without locks: a picture, no proof. */
static inline void state_print(void)
{
	struct kfiber_stats stats = { .size = sizeof(stats) };
	struct kf_domain *d = atomic_load(&kf_domain);
	struct kfiber_domain_block *b;

	if (!d) {
		printf("# no domain runs\n");
		return;
	}
	b = d->block;
	printf("# now %llu; idle %u, searching %u, global %u, waiters %u, spares %u, watching %u, shutdown %u, live %llu\n",
	       (unsigned long long)kf_now(), b->idle, b->searching, b->global, b->waiters,
	       b->spares, b->watching, b->shutdown, b->live);
	if (!ioctl(d->fd, KFIBER_IOC_STATS, &stats))
		printf("# workers %u, handovers %llu, returns %llu, steals %llu, sleeps %llu, wakeups %llu, timers %llu, deaths %llu\n",
		       stats.workers, stats.handovers, stats.returns, stats.steals, stats.sleeps,
		       stats.wakeups, stats.timers, stats.deaths);
	state_print_processors(d);
	state_print_workers(d, stats.workers);
	state_print_fibers(d);
}

#endif /* KF_SELFTESTS_STATE_H */
