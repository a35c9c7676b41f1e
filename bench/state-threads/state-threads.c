// SPDX-License-Identifier: GPL-2.0
/* State Threads: one processor; no channels. */
#include <stdbool.h>
#include <st.h>
#include <stdlib.h>
#include <unistd.h>

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

/* --- many: select() looks at 1,024 files, of which bench/feeder gives the lowest ------ */

static unsigned long next;

static void *sleeps(void *arg)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		if (st_usleep(10000))
			bench_die("st_usleep");
	turns += i;
	return NULL;
}

static void *reads(void *arg)
{
	st_netfd_t file = st_netfd_open(BENCH_PIPE(next++));
	unsigned long i;
	char byte;

	if (!file)
		bench_die("st_netfd_open");
	for (i = 0; i < n; i++)
		if (st_read(file, &byte, 1, ST_UTIME_NO_TIMEOUT) != 1)
			bench_die("st_read");
	turns += i;
	return NULL;
}

static void run_many(void *(*fn)(void *), bool fed)
{
	unsigned long tasks = bench_parameter("tasks"), i;
	st_thread_t *all = bench_alloc(tasks, sizeof(*all));
	uint64_t start;

	n = bench_parameter(fed ? "reads" : "sleeps");
	if (st_init())
		bench_die("st_init");
	start = bench_now();
	for (i = 0; i < tasks; i++)
		all[i] = create(fn);
	if (fed)
		start = bench_ready(tasks);
	for (i = 0; i < tasks; i++)
		st_thread_join(all[i], NULL);
	bench_each(start, 1);
	bench_counted(turns, tasks * n);
	bench_threads();
	free(all);
}

static void run_sleeps(void)
{
	run_many(sleeps, false);
}

static void run_reads(void)
{
	run_many(reads, true);
}

/* --- who is ready while another blocks, or computes ----------------------------------- */

static uint64_t since;
static uint64_t *late;

static void *waits(void *arg)
{
	for (; turns < n; turns++) {
		st_cond_wait(there);
		late[turns] = bench_now() - since;
	}
	return NULL;
}

static void run_handover(void)
{
	unsigned long busy = bench_parameter("busy"), ms = bench_parameter("ms"), i;
	st_thread_t other;

	begin();
	late = bench_alloc(n, sizeof(*late));
	there = st_cond_new();
	other = create(waits);
	st_usleep(0);
	for (i = 1; i <= n; i++) {
		since = bench_now();
		st_cond_signal(there);
		if (busy)
			bench_spin(since + ms * BENCH_MS);
		else
			usleep((useconds_t)ms * 1000);
		while (turns < i)
			st_usleep(0);
	}
	st_thread_join(other, NULL);
	bench_late(late, n);
}

static const struct bench_work works[] = {
	{ "sleeps", run_sleeps },
	{ "reads", run_reads },
	{ "handover", run_handover },
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
