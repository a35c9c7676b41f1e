// SPDX-License-Identifier: GPL-2.0
/* Counters: the server's own and the domain's. */
#include <kfiber/kfiber.h>
#include <stdio.h>

#include "httpd.h"

static void print_one(const char *name, uint64_t value)
{
	printf("%-18s %14llu\n", name, (unsigned long long)value);
}

static void print_server(void)
{
	print_one("requests", atomic_load(&counters.requests));
	print_one("connections", atomic_load(&counters.connections));
	print_one("refused", atomic_load(&counters.refused));
	print_one("shed", atomic_load(&counters.shed));
	print_one("pressed", atomic_load(&counters.pressed));
	print_one("aborted", atomic_load(&counters.aborted));
	print_one("bytes", atomic_load(&counters.bytes));
	print_one("errors", atomic_load(&counters.errors));
}

static void print_domain(const struct kf_stats *stats)
{
	print_one("fibers_spawned", stats->fibers_spawned);
	print_one("fibers_allocated", stats->fibers_allocated);
	print_one("switches", stats->switches);
	print_one("parks", stats->parks);
	print_one("unparks", stats->unparks);
	print_one("timers", stats->timers);
	print_one("handovers", stats->handovers);
	print_one("returns", stats->returns);
	print_one("steals", stats->steals);
	print_one("sleeps", stats->sleeps);
	print_one("wakeups", stats->wakeups);
	print_one("calls", stats->calls);
	print_one("stack_faults", stats->stack_faults);
	print_one("stack_pages", stats->stack_pages);
	print_one("stack_refused", stats->stack_refused);
	print_one("stack_trimmed", stats->stack_trimmed);
	print_one("processors", stats->processors);
	print_one("workers", stats->workers);
	print_one("workers_peak", stats->workers_peak);
}

void stats_print(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	print_server();
	if (!kf_stats(&stats))
		print_domain(&stats);
	fflush(stdout);
}
