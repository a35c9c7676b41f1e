// SPDX-License-Identifier: GPL-2.0
/* Tasks that sleep and read: by calls that block their thread, and by the library's own. */
#include <stdlib.h>

#include "../blocking.h"
#include "works.h"

static kf_fiber_t *spawn_all(void *(*fn)(void *))
{
	kf_fiber_t *fibers = bench_alloc(tasks, sizeof(*fibers));
	unsigned long i;

	for (i = 0; i < tasks; i++)
		if (kf_spawn(&fibers[i], NULL, fn, (void *)i))
			bench_die("kf_spawn");
	return fibers;
}

static void join_all(kf_fiber_t *fibers)
{
	struct kf_stats stats = { .size = sizeof(stats) };
	unsigned long i;
	void *done;

	for (i = 0; i < tasks; i++) {
		if (kf_join(fibers[i], &done))
			bench_die("kf_join");
		bench_counted((unsigned long)done, times);
	}
	bench_each(begin, 1);
	kf_stats(&stats);
	bench_sample("threads", stats.workers_peak);
	free(fibers);
}

static void *sleeps(void *arg)
{
	unsigned long i;

	for (i = 0; i < times; i++)
		if (kf_sleep(10 * BENCH_MS))
			bench_die("kf_sleep");
	return (void *)i;
}

static int sleeping_main(void *fn)
{
	begin = bench_now();
	join_all(spawn_all((void *(*)(void *))fn));
	return 0;
}

static void *reads(void *task)
{
	unsigned long i;
	char byte;

	for (i = 0; i < times; i++)
		if (kf_read(BENCH_PIPE((long)task), &byte, 1, KF_FOREVER) != 1)
			bench_die("kf_read");
	return (void *)i;
}

static int reading_main(void *fn)
{
	kf_fiber_t *fibers = spawn_all((void *(*)(void *))fn);

	begin = bench_ready(tasks);
	join_all(fibers);
	return 0;
}

static void run(const char *what, int (*fn)(void *), void *(*task)(void *))
{
	bench_tasks(what);
	bench_run_with(2, 0, fn, (void *)task);
}

void bench_blocking(void)
{
	run("sleeps", sleeping_main, bench_sleeps_in_call);
}

void bench_sleeps(void)
{
	run("sleeps", sleeping_main, sleeps);
}

void bench_reads_blocking(void)
{
	run("reads", reading_main, bench_reads_in_call);
}

void bench_reads(void)
{
	run("reads", reading_main, reads);
}
