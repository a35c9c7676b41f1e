// SPDX-License-Identifier: GPL-2.0
/* Many fibers that sleep, each until a time of its own. */
#include "works.h"

static unsigned long tasks;
static uint64_t begin, interval;
static uint64_t *late;

static void *sleep_once(void *arg)
{
	uint64_t *mine = arg, deadline;

	kf_park(KF_FOREVER);
	deadline = begin + (uint64_t)(mine - late) * interval;
	kf_park(deadline);
	*mine = bench_now() - deadline;
	return NULL;
}

static int sleeping_main(void *arg)
{
	kf_fiber_t *fibers = bench_alloc(tasks, sizeof(*fibers));
	uint64_t start = bench_now();
	unsigned long i;

	for (i = 0; i < tasks; i++)
		if (kf_spawn(&fibers[i], NULL, sleep_once, &late[i]))
			bench_die("kf_spawn");
	begin = bench_begin(start);
	for (i = 0; i < tasks; i++)
		kf_unpark(fibers[i]);
	for (i = 0; i < tasks; i++)
		if (kf_join(fibers[i], NULL))
			bench_die("kf_join");
	return 0;
}

void bench_sleeping(void)
{
	tasks = bench_parameter("tasks");
	interval = 1000 * BENCH_MS / bench_parameter("per_second");
	late = bench_alloc(tasks, sizeof(*late));
	bench_run(2, 0, sleeping_main);
	bench_late(late, tasks);
}
