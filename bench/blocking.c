// SPDX-License-Identifier: GPL-2.0
/*
 * 1,000 tasks that each sleep 10 times 10 ms in usleep(), a call that blocks
 * its thread: as fibers on two processors, and as plain threads. The two take
 * turns in one run; what is compared is the ratio of their medians.
 */
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TASKS = 1000, SLEEPS = 10, SLEEP_US = 10000, ROUNDS = 5 };

static atomic_int done;

static void *task(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < SLEEPS; i++)
		if (!usleep(SLEEP_US))
			atomic_fetch_add(&done, 1);
	return NULL;
}

static void die(const char *what)
{
	fprintf(stderr, "blocking: %s failed\n", what);
	exit(1);
}

static int fibers_main(void *arg)
{
	struct kf_stats stats = { .size = sizeof(stats) };
	static kf_fiber_t fibers[TASKS];
	int i;

	for (i = 0; i < TASKS; i++)
		if (kf_spawn(&fibers[i], NULL, task, NULL))
			die("kf_spawn");
	for (i = 0; i < TASKS; i++)
		if (kf_join(fibers[i], NULL))
			die("kf_join");
	kf_stats(&stats);
	*(unsigned int *)arg = stats.workers_peak;
	return 0;
}

static unsigned int run_fibers(void)
{
	struct kf_config config = { .size = sizeof(config), .processors = 2 };
	unsigned int threads = 0;

	if (kf_run(&config, fibers_main, &threads))
		die("kf_run");
	return threads;
}

static unsigned int run_threads(void)
{
	static pthread_t threads[TASKS];
	int i;

	for (i = 0; i < TASKS; i++)
		if (pthread_create(&threads[i], NULL, task, NULL))
			die("pthread_create");
	for (i = 0; i < TASKS; i++)
		pthread_join(threads[i], NULL);
	return TASKS + 1;
}

/* Return: nanoseconds. */
static uint64_t measure(unsigned int (*run)(void), unsigned int *threads)
{
	uint64_t begin = kf_now();

	atomic_store(&done, 0);
	*threads = run();
	if (atomic_load(&done) != TASKS * SLEEPS)
		die("a sleep");
	return kf_now() - begin;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void print_row(const char *name, uint64_t *ns, unsigned int threads)
{
	qsort(ns, ROUNDS, sizeof(*ns), compare);
	printf("%-10s %8.1f %8.1f %8.1f %8u\n", name, ns[ROUNDS / 2] / 1e6, ns[0] / 1e6,
	       ns[ROUNDS - 1] / 1e6, threads);
}

int main(void)
{
	uint64_t fibers[ROUNDS], threads[ROUNDS];
	unsigned int nr_fiber_threads = 0, nr_threads = 0, peak = 0;
	int i;

	measure(run_threads, &nr_threads);		/* warm-up, of both */
	measure(run_fibers, &nr_fiber_threads);
	for (i = 0; i < ROUNDS; i++) {
		fibers[i] = measure(run_fibers, &nr_fiber_threads);
		if (nr_fiber_threads > peak)
			peak = nr_fiber_threads;
		threads[i] = measure(run_threads, &nr_threads);
	}
	printf("%d tasks x %d x usleep(%d us); ms\n", TASKS, SLEEPS, SLEEP_US);
	printf("%-10s %8s %8s %8s %8s\n", "", "median", "least", "most", "threads");
	print_row("fibers", fibers, peak);
	print_row("threads", threads, nr_threads);
	printf("fibers / threads: %.2f\n", (double)fibers[ROUNDS / 2] / threads[ROUNDS / 2]);
	return 0;
}
