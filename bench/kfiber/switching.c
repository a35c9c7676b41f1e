// SPDX-License-Identifier: GPL-2.0
/* From one fiber to another and back, in all the ways there are. */
#include <stdbool.h>

#include "works.h"

static unsigned long n, turns;
static kf_fiber_t first, second;
static bool over;
static const char *metric = "ns";

static void sample_each(uint64_t start, unsigned long each)
{
	bench_sample(metric, (double)(bench_now() - start) / (double)each);
}

static void *yields(void *arg)
{
	for (; !over; kf_yield())
		turns++;
	return NULL;
}

/* Two that yield to each other: each turn of the other one is two yields. */
static int yield_main(void *arg)
{
	uint64_t start;
	unsigned long i;

	if (kf_spawn(&second, NULL, yields, NULL))
		bench_die("kf_spawn");
	kf_yield();
	start = bench_now();
	for (i = 0; i < n; i++)
		kf_yield();
	sample_each(start, 2 * n);
	bench_counted(turns, n + 1);
	over = true;
	kf_join(second, NULL);
	return 0;
}

void bench_yield(void)
{
	n = bench_parameter("n");
	bench_run(1, 0, yield_main);
}

static void *unparks(void *arg)
{
	while (!kf_park(KF_FOREVER) && !over) {
		turns++;
		kf_unpark(first);
	}
	return NULL;
}

static int unpark_main(void *arg)
{
	uint64_t start;
	unsigned long i;

	first = kf_self();
	if (kf_spawn(&second, NULL, unparks, NULL))
		bench_die("kf_spawn");
	kf_yield();
	start = bench_now();
	for (i = 0; i < n; i++) {
		kf_unpark(second);
		if (kf_park(KF_FOREVER))
			bench_die("kf_park");
	}
	sample_each(start, n);
	bench_counted(turns, n);
	over = true;
	kf_unpark(second);
	kf_join(second, NULL);
	return 0;
}

void bench_unpark(void)
{
	n = bench_parameter("n");
	bench_run(1, 0, unpark_main);
}

static kf_chan_t *there, *back;

static void *echoes(void *arg)
{
	unsigned long value;

	while (!kf_chan_recv(there, &value)) {
		turns++;
		kf_chan_send(back, &value);
	}
	return NULL;
}

static int channel_main(void *arg)
{
	unsigned long i, value;
	uint64_t start;

	there = kf_chan_create(sizeof(value), 0);
	back = kf_chan_create(sizeof(value), 0);
	if (kf_spawn(&second, NULL, echoes, NULL))
		bench_die("kf_spawn");
	kf_yield();
	start = bench_now();
	for (i = 0; i < n; i++) {
		if (kf_chan_send(there, &i) || kf_chan_recv(back, &value))
			bench_die("kf_chan_recv");
		bench_counted(value, i);
	}
	sample_each(start, n);
	kf_chan_close(there);
	kf_join(second, NULL);
	bench_counted(turns, n);
	kf_chan_destroy(there);
	kf_chan_destroy(back);
	return 0;
}

void bench_channel(void)
{
	n = bench_parameter("n");
	bench_run((unsigned int)bench_parameter("processors"), 0, channel_main);
}

static void *count(void *arg)
{
	turns++;
	return NULL;
}

static int spawn_main(void *arg)
{
	uint64_t start = bench_now();
	unsigned long i;

	for (i = 0; i < n; i++)
		if (kf_spawn(&second, NULL, count, NULL) || kf_join(second, NULL))
			bench_die("kf_spawn");
	sample_each(start, n);
	bench_counted(turns, n);
	return 0;
}

void bench_spawn(void)
{
	n = bench_parameter("n");
	bench_run(1, 0, spawn_main);
}

static kf_mutex_t mutex = KF_MUTEX_INIT;

static void *locks(void *arg)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		kf_mutex_lock(&mutex);
		turns++;
		kf_mutex_unlock(&mutex);
	}
	return NULL;
}

static int mutex_main(void *arg)
{
	unsigned long tasks = bench_parameter("tasks"), i;
	kf_fiber_t *fibers = bench_alloc(tasks, sizeof(*fibers));
	uint64_t start = bench_now();

	for (i = 0; i < tasks; i++)
		if (kf_spawn(&fibers[i], NULL, locks, NULL))
			bench_die("kf_spawn");
	for (i = 0; i < tasks; i++)
		kf_join(fibers[i], NULL);
	bench_each(start, 1);
	bench_counted(turns, tasks * n);
	return 0;
}

void bench_mutex(void)
{
	n = bench_parameter("n");
	bench_run(2, 0, mutex_main);
}

/* --- all of them while many others wait ---------------------------------------------- */

static void *waits(void *arg)
{
	turns++;
	kf_park(KF_FOREVER);
	return NULL;
}

static int crowd_main(void *arg)
{
	static const struct {
		const char *name;
		int (*fn)(void *);
	} works[] = {
		{ "yield", yield_main }, { "unpark", unpark_main },
		{ "channel", channel_main }, { "spawn", spawn_main },
	};
	unsigned long tasks = bench_parameter("tasks"), i;
	kf_fiber_t *crowd = bench_alloc(tasks, sizeof(*crowd));

	for (i = 0; i < tasks; i++) {
		if (kf_spawn(&crowd[i], NULL, waits, NULL))
			bench_die("kf_spawn");
		kf_yield();
	}
	bench_counted(turns, tasks);
	for (i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
		turns = 0;
		over = false;
		metric = works[i].name;
		works[i].fn(NULL);
	}
	for (i = 0; i < tasks; i++) {
		kf_unpark(crowd[i]);
		kf_join(crowd[i], NULL);
	}
	return 0;
}

void bench_crowd(void)
{
	n = bench_parameter("n");
	bench_run(1, 0, crowd_main);
}
