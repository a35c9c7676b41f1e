// SPDX-License-Identifier: GPL-2.0
/* Tasks that sleep in usleep(), a call that blocks its thread. */
#include <stdlib.h>
#include <unistd.h>

#include "works.h"

static void *task(void *arg)
{
	unsigned long sleeps = bench_parameter("sleeps"), i;

	for (i = 0; i < sleeps; i++)
		if (usleep(10000))
			bench_die("usleep");
	return arg;
}

static int first(void *arg)
{
	unsigned long tasks = bench_parameter("tasks"), i;
	kf_fiber_t *fibers = bench_alloc(tasks, sizeof(*fibers));
	struct kf_stats stats = { .size = sizeof(stats) };
	uint64_t begin = bench_now();
	void *done;

	for (i = 0; i < tasks; i++)
		if (kf_spawn(&fibers[i], NULL, task, fibers))
			bench_die("kf_spawn");
	for (i = 0; i < tasks; i++)
		if (kf_join(fibers[i], &done) || done != fibers)
			bench_die("kf_join");
	bench_sample("ns", (double)(bench_now() - begin));
	kf_stats(&stats);
	bench_sample("threads", stats.workers_peak);
	free(fibers);
	return 0;
}

void bench_blocking(void)
{
	bench_run(2, 0, first);
}
