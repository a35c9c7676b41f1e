// SPDX-License-Identifier: GPL-2.0
/* Threads of the C library. */
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../bench.h"
#include "works.h"

static struct bench_growth growth;
static pthread_t *threads;
static unsigned long stacks;
static sem_t ready, end;

static void create_all(void *(*fn)(void *), size_t stack_size)
{
	pthread_attr_t attr;
	unsigned long i;

	sem_init(&ready, 0, 0);
	sem_init(&end, 0, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, stack_size);
	threads = bench_alloc(stacks, sizeof(*threads));
	for (i = 0; i < stacks; i++) {
		if (pthread_create(&threads[i], &attr, fn, NULL))
			bench_die("pthread_create");
		while (sem_wait(&ready))
			;
	}
}

static void join_all(void)
{
	unsigned long i;

	for (i = 0; i < stacks; i++)
		sem_post(&end);
	for (i = 0; i < stacks; i++)
		pthread_join(threads[i], NULL);
}

static void park(void)
{
	sem_post(&ready);
	while (sem_wait(&end))
		;
}

static void *grow_and_park(void *arg)
{
	bench_grow(&growth);
	park();
	return NULL;
}

static void bench_growth(void)
{
	growth.pages = bench_parameter("pages");
	stacks = bench_parameter("stacks");
	create_all(grow_and_park, bench_stack_size(growth.pages));
	join_all();
	bench_grown(&growth, stacks);
}

static void *go_deep_and_park(void *arg)
{
	bench_go_deep(growth.pages - 1);
	park();
	return NULL;
}

static void bench_deep(void)
{
	growth.pages = bench_parameter("pages");
	stacks = bench_parameter("stacks");
	bench_phase("before");
	create_all(go_deep_and_park, BENCH_STACK);
	bench_phase("deep");
	usleep(bench_parameter("idle_ms") * 1000);
	bench_phase("idle");
	malloc_trim(0);
	bench_phase("trimmed");
	join_all();
}

static void *park_thread(void *arg)
{
	park();
	return NULL;
}

static void bench_parked(void)
{
	uint64_t begin;

	stacks = bench_parameter("stacks");
	bench_phase("before");
	begin = bench_now();
	create_all(park_thread, BENCH_STACK);
	bench_sample("spawn_and_park", (double)(bench_now() - begin) / (double)stacks);
	bench_phase("parked");
	join_all();
}

static uint64_t begin, interval;
static uint64_t *late;
static unsigned long next;

static void *sleep_once(void *arg)
{
	/* They are created one after the other. */
	unsigned long mine = next++;
	uint64_t deadline;
	struct timespec until;

	park();
	deadline = begin + mine * interval;
	until.tv_sec = (time_t)(deadline / 1000000000);
	until.tv_nsec = (long)(deadline % 1000000000);
	if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		bench_die("clock_nanosleep");
	late[mine] = bench_now() - deadline;
	return NULL;
}

static void bench_sleeping(void)
{
	uint64_t start = bench_now();

	stacks = bench_parameter("tasks");
	interval = 1000 * BENCH_MS / bench_parameter("per_second");
	late = bench_alloc(stacks, sizeof(*late));
	create_all(sleep_once, BENCH_STACK);
	begin = bench_begin(start);
	join_all();
	bench_late(late, stacks);
}

static const struct bench_work works[] = {
	{ "growth", bench_growth },
	{ "deep", bench_deep },
	{ "parked", bench_parked },
	{ "blocking", bench_blocking },
	{ "reads-blocking", bench_reads_blocking },
	{ "handover", bench_handover },
	{ "httpd", bench_httpd },
	{ "sleeping", bench_sleeping },
	{ "yield", bench_yield },
	{ "unpark", bench_unpark },
	{ "channel", bench_channel },
	{ "spawn", bench_spawn },
	{ "mutex", bench_mutex },
	{ "floor", bench_floor },
	{ 0 }
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
