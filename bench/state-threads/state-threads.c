// SPDX-License-Identifier: GPL-2.0
/* State Threads: one processor; no channels. */
#include <stdbool.h>
#include <st.h>
#include <stdlib.h>

#include "../bench.h"

static unsigned long n, turns;
static bool over;

static st_thread_t create(void *(*fn)(void *))
{
	st_thread_t thread = st_thread_create(fn, NULL, 1, BENCH_STACK);

	if (!thread)
		bench_die("st_thread_create");
	return thread;
}

static void begin(void)
{
	n = bench_parameter("n");
	if (st_init())
		bench_die("st_init");
}

static void *yields(void *arg)
{
	for (; !over; st_usleep(0))
		turns++;
	return NULL;
}

/*
 * Sleeping for no time is how it yields, and comes back to the caller now and then: the
 * turns that were made are counted.
 */
static void run_yield(void)
{
	unsigned long done;
	st_thread_t other;
	uint64_t start;

	begin();
	other = create(yields);
	st_usleep(0);
	turns = 0;
	start = bench_now();
	while (turns < n)
		st_usleep(0);
	done = turns;
	bench_each(start, 2 * n);
	bench_counted(done, n);
	over = true;
	st_thread_join(other, NULL);
}

static st_cond_t there, back;

static void *unparks(void *arg)
{
	while (!st_cond_wait(there) && !over) {
		turns++;
		st_cond_signal(back);
	}
	return NULL;
}

static void run_unpark(void)
{
	st_thread_t other;
	unsigned long i;
	uint64_t start;

	begin();
	there = st_cond_new();
	back = st_cond_new();
	other = create(unparks);
	st_usleep(0);
	start = bench_now();
	for (i = 0; i < n; i++) {
		st_cond_signal(there);
		st_cond_wait(back);
	}
	bench_each(start, n);
	bench_counted(turns, n);
	over = true;
	st_cond_signal(there);
	st_thread_join(other, NULL);
}

static void *count(void *arg)
{
	turns++;
	return NULL;
}

static void run_spawn(void)
{
	unsigned long i;
	uint64_t start;

	begin();
	start = bench_now();
	for (i = 0; i < n; i++)
		st_thread_join(create(count), NULL);
	bench_each(start, n);
	bench_counted(turns, n);
}

static st_mutex_t mutex;

static void *locks(void *arg)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		st_mutex_lock(mutex);
		turns++;
		st_mutex_unlock(mutex);
	}
	return NULL;
}

static void run_mutex(void)
{
	unsigned long tasks = bench_parameter("tasks"), i;
	st_thread_t *all = bench_alloc(tasks, sizeof(*all));
	uint64_t start;

	begin();
	mutex = st_mutex_new();
	start = bench_now();
	for (i = 0; i < tasks; i++)
		all[i] = create(locks);
	for (i = 0; i < tasks; i++)
		st_thread_join(all[i], NULL);
	bench_each(start, 1);
	bench_counted(turns, tasks * n);
	free(all);
}

static const struct bench_work works[] = {
	{ "yield", run_yield },
	{ "unpark", run_unpark },
	{ "spawn", run_spawn },
	{ "mutex", run_mutex },
	{ 0 }
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
