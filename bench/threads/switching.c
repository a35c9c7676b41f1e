// SPDX-License-Identifier: GPL-2.0
/* From one thread to another and back. */
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../bench.h"
#include "works.h"

static unsigned long n, turns;
static atomic_bool over;

void bench_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		bench_die("sched_setaffinity");
}

static pthread_t create(void *(*fn)(void *))
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, BENCH_STACK);
	if (pthread_create(&thread, &attr, fn, NULL))
		bench_die("pthread_create");
	return thread;
}

static void *yields(void *arg)
{
	for (; !over; sched_yield())
		turns++;
	return NULL;
}

/* The scheduler may let one go on: its turns are counted, not the calls. */
void bench_yield(void)
{
	uint64_t start;
	pthread_t other;

	n = bench_parameter("n");
	bench_one_cpu();
	other = create(yields);
	sched_yield();
	turns = 0;
	start = bench_now();
	while (*(volatile unsigned long *)&turns < n)
		sched_yield();
	bench_each(start, 2 * turns);
	over = true;
	pthread_join(other, NULL);
}

/* --- there and back by futexes ----------------------------------------------------- */

static long futex(atomic_uint *word, int op, unsigned int value)
{
	return syscall(SYS_futex, word, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void post(atomic_uint *word)
{
	atomic_store(word, 1);
	futex(word, FUTEX_WAKE, 1);
}

static void await(atomic_uint *word)
{
	while (!atomic_exchange(word, 0))
		futex(word, FUTEX_WAIT, 0);
}

static atomic_uint there, back;

static void *unparks(void *arg)
{
	for (;;) {
		await(&there);
		if (over)
			return NULL;
		turns++;
		post(&back);
	}
}

/* Nanoseconds of a round. */
static double rounds(void)
{
	pthread_t other;
	uint64_t start;
	unsigned long i;
	double all;

	turns = 0;
	over = false;
	other = create(unparks);
	start = bench_now();
	for (i = 0; i < n; i++) {
		post(&there);
		await(&back);
	}
	all = (double)(bench_now() - start);
	bench_counted(turns, n);
	over = true;
	post(&there);
	pthread_join(other, NULL);
	return all / (double)n;
}

/* A futex each way. */
void bench_unpark(void)
{
	n = bench_parameter("n");
	bench_one_cpu();
	bench_sample("ns", rounds());
}

/* What nobody can do without: a system call, waking somebody. */
void bench_floor(void)
{
	uint64_t start;
	unsigned long i;

	n = bench_parameter("n");
	start = bench_now();
	for (i = 0; i < n; i++)
		syscall(SYS_getppid);
	bench_sample("call", (double)(bench_now() - start) / (double)n);
	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		bench_sample("two", rounds());
	bench_one_cpu();
	bench_sample("one", rounds());
}

/* --- one processor: who is ready while another blocks, or computes ------------------- */

static uint64_t since;
static uint64_t *late;

static void *waits(void *arg)
{
	for (; turns < n; turns++) {
		await(&there);
		late[turns] = bench_now() - since;
		post(&back);
	}
	return NULL;
}

void bench_handover(void)
{
	unsigned long busy = bench_parameter("busy"), ms = bench_parameter("ms"), i;
	pthread_t other;

	n = bench_parameter("n");
	late = bench_alloc(n, sizeof(*late));
	bench_one_cpu();
	other = create(waits);
	for (i = 0; i < n; i++) {
		since = bench_now();
		post(&there);
		if (busy)
			bench_spin(since + ms * BENCH_MS);
		else
			usleep((useconds_t)ms * 1000);
		await(&back);
	}
	pthread_join(other, NULL);
	bench_late(late, n);
}

static int to[2], from[2];

static void *echoes(void *arg)
{
	unsigned long value;

	while (read(to[0], &value, sizeof(value)) == sizeof(value)) {
		turns++;
		if (write(from[1], &value, sizeof(value)) != sizeof(value))
			bench_die("write");
	}
	return NULL;
}

/* What threads have in the place of channels: a pipe each way. */
void bench_channel(void)
{
	unsigned long i, value;
	pthread_t other;
	uint64_t start;

	n = bench_parameter("n");
	if (bench_parameter("processors") == 1)
		bench_one_cpu();
	if (pipe(to) || pipe(from))
		bench_die("pipe");
	other = create(echoes);
	start = bench_now();
	for (i = 0; i < n; i++) {
		if (write(to[1], &i, sizeof(i)) != sizeof(i) ||
		    read(from[0], &value, sizeof(value)) != sizeof(value))
			bench_die("pipe");
		bench_counted(value, i);
	}
	bench_each(start, n);
	close(to[1]);
	pthread_join(other, NULL);
	bench_counted(turns, n);
}

static void *count(void *arg)
{
	turns++;
	return NULL;
}

void bench_spawn(void)
{
	uint64_t start;
	unsigned long i;

	n = bench_parameter("n");
	bench_one_cpu();
	start = bench_now();
	for (i = 0; i < n; i++)
		pthread_join(create(count), NULL);
	bench_each(start, n);
	bench_counted(turns, n);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *locks(void *arg)
{
	unsigned long i;

	for (i = 0; i < n; i++) {
		pthread_mutex_lock(&mutex);
		turns++;
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

void bench_mutex(void)
{
	unsigned long tasks = bench_parameter("tasks"), i;
	pthread_t *all = bench_alloc(tasks, sizeof(*all));
	uint64_t start = bench_now();

	n = bench_parameter("n");
	for (i = 0; i < tasks; i++)
		all[i] = create(locks);
	for (i = 0; i < tasks; i++)
		pthread_join(all[i], NULL);
	bench_each(start, 1);
	bench_counted(turns, tasks * n);
	free(all);
}
