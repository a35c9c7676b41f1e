// SPDX-License-Identifier: GPL-2.0
/* Threads that sleep and read. */
#include <pthread.h>
#include <stdlib.h>

#include "../blocking.h"
#include "works.h"

static pthread_t *create_all(void *(*fn)(void *))
{
	pthread_t *threads = bench_alloc(tasks, sizeof(*threads));
	unsigned long i;

	for (i = 0; i < tasks; i++)
		if (pthread_create(&threads[i], NULL, fn, (void *)i))
			bench_die("pthread_create");
	return threads;
}

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

void bench_blocking(void)
{
	bench_tasks("sleeps");
	begin = bench_now();
	join_all(create_all(bench_sleeps_in_call));
}

void bench_reads_blocking(void)
{
	pthread_t *threads;

	bench_tasks("reads");
	threads = create_all(bench_reads_in_call);
	begin = bench_ready(tasks);
	join_all(threads);
}
