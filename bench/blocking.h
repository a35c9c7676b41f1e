/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tasks that sleep and read by calls that block their thread: it is one's own, or a fiber's
 * for that time.
 */
#ifndef BENCH_BLOCKING_H
#define BENCH_BLOCKING_H

#include <unistd.h>

#include "bench.h"

/* How many there are, how often each does what it is to do, and since when. */
static unsigned long tasks, times;
static uint64_t begin;

/* @what: the parameter that says how often */
static inline void bench_tasks(const char *what)
{
	tasks = bench_parameter("tasks");
	times = bench_parameter(what);
}

/* Each task says how often it has done it. */
static inline void *bench_sleeps_in_call(void *arg)
{
	unsigned long i;

	for (i = 0; i < times; i++)
		if (usleep(10000))
			bench_die("usleep");
	return (void *)i;
}

static inline void *bench_reads_in_call(void *task)
{
	unsigned long i;
	char byte;

	for (i = 0; i < times; i++)
		if (read(BENCH_PIPE((long)task), &byte, 1) != 1)
			bench_die("read");
	return (void *)i;
}

#endif /* BENCH_BLOCKING_H */
