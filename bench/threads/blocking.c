// SPDX-License-Identifier: GPL-2.0
/* Threads that sleep and read. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "../bench.h"
#include "works.h"

static unsigned long tasks, times;
static uint64_t begin;

static pthread_t *create_all(void *(*fn)(void *))
{
	pthread_t *threads = bench_alloc(tasks, sizeof(*threads));
	unsigned long i;

	for (i = 0; i < tasks; i++)
		if (pthread_create(&threads[i], NULL, fn, (void *)i))
			bench_die("pthread_create");
	return threads;
}

/* Each says how often it has done what it was to do. */
static void join_all(pthread_t *threads)
{
	unsigned long i;
	void *done;

	for (i = 0; i < tasks; i++) {
		if (pthread_join(threads[i], &done))
			bench_die("pthread_join");
		bench_counted((unsigned long)done, times);
	}
	bench_each(begin, 1);
	bench_sample("threads", (double)tasks + 1);
	free(threads);
}

static void *sleeps(void *arg)
{
	unsigned long i;

	for (i = 0; i < times; i++)
		if (usleep(10000))
			bench_die("usleep");
	return (void *)i;
}

void bench_blocking(void)
{
	tasks = bench_parameter("tasks");
	times = bench_parameter("sleeps");
	begin = bench_now();
	join_all(create_all(sleeps));
}

static void *reads(void *task)
{
	unsigned long i;
	char byte;

	for (i = 0; i < times; i++)
		if (read(BENCH_PIPE((long)task), &byte, 1) != 1)
			bench_die("read");
	return (void *)i;
}

void bench_reads_blocking(void)
{
	pthread_t *threads;

	tasks = bench_parameter("tasks");
	times = bench_parameter("reads");
	threads = create_all(reads);
	begin = bench_ready(tasks);
	join_all(threads);
}
