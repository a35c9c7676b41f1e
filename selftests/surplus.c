// SPDX-License-Identifier: GPL-2.0
/*
 * Fibers that block take threads. When these are not needed any more they end, while
 * others block and come back.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"
#include "slow.h"

#define BLOCKED	24

static int run_idle(unsigned int processors, uint64_t idle_ns, int (*fn)(void *))
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .idle_ns = idle_ns,
	};

	return kf_run(&config, or_exit, fn);
}

static unsigned int count_workers(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	return kf_stats(&stats) ? 0 : (unsigned int)stats.workers;
}

/* As the kernel counts them: also those that are workers no more. */
static unsigned int count_threads(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned int threads = 0;
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "Threads: %u", &threads) == 1)
			break;
	if (status)
		fclose(status);
	return threads;
}

static int pipe_fds[2];

static void *block(void *arg)
{
	char byte;

	return (void *)(intptr_t)(read(pipe_fds[0], &byte, 1) != 1);
}

/* Return: 0 when as many threads blocked at once, and all went on. */
static int block_many(void *(*fn)(void *))
{
	kf_fiber_t fibers[BLOCKED];
	char bytes[BLOCKED] = "";
	void *failed;
	int i;

	for (i = 0; i < BLOCKED; i++)
		if (kf_spawn(&fibers[i], NULL, fn, NULL))
			return -1;
	while (count_workers() <= BLOCKED)
		kf_sleep(MS);
	if (write(pipe_fds[1], bytes, BLOCKED) != BLOCKED)
		return -2;
	for (i = 0; i < BLOCKED; i++)
		if (kf_join(fibers[i], &failed) || failed)
			return -3;
	return 0;
}

/* Those that run, one spare, and the thread of kf_run(), which has to stay. */
static int block_again(void *arg)
{
	int i, err;

	for (i = 0; i < 2; i++) {
		err = block_many(block);
		if (err)
			return err;
		while (count_workers() > 4 || count_threads() > 5)
			kf_sleep(10 * MS);
	}
	return 0;
}

TEST(threads_end_and_are_made_again)
{
	ASSERT_EQ(0, pipe(pipe_fds));
	ASSERT_EQ(0, run_idle(2, 20 * MS, block_again));
	ASSERT_EQ(0, run_idle(1, 20 * MS, block_again));
}

static pthread_key_t slow_key;
static atomic_uint slow_ends;
static sem_t gate;

/* A thread-local variable of the program's, whose destructor takes its time. */
static void end_slowly(void *value)
{
	atomic_fetch_add(&slow_ends, 1);
	sem_wait(&gate);
	sem_post(&gate);
}

static void *set_and_block(void *arg)
{
	pthread_setspecific(slow_key, &gate);
	return block(arg);
}

static int block_beside_slow_ends(void *arg)
{
	int err = block_many(set_and_block);

	while (!err && !atomic_load(&slow_ends))
		kf_sleep(MS);
	/* Spares are made for these, while a thread that has left cannot be joined. */
	if (!err)
		err = block_many(block);
	sem_post(&gate);
	return err;
}

TEST(nobody_waits_for_a_thread_that_ends)
{
	ASSERT_EQ(0, pipe(pipe_fds));
	ASSERT_EQ(0, sem_init(&gate, 0, 0));
	ASSERT_EQ(0, pthread_key_create(&slow_key, end_slowly));
	ASSERT_EQ(0, run_idle(2, 20 * MS, block_beside_slow_ends));
	ASSERT_LE(1, atomic_load(&slow_ends));
}

/* Nothing says when something does not happen: this would be ten times as long as it takes. */
static int block_once(void *arg)
{
	int err = block_many(block);

	kf_sleep(200 * MS);
	return err ? err : count_workers() > BLOCKED ? 0 : -10;
}

TEST(they_stay_if_wanted)
{
	ASSERT_EQ(0, pipe(pipe_fds));
	ASSERT_EQ(0, run_idle(2, KF_IDLE_NEVER, block_once));
	ASSERT_EQ(-EINVAL, run_idle(2, MS - 1, block_once));
}

static atomic_bool stop;

static void *block_now_and_then(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	while (!atomic_load(&stop)) {
		usleep(rand_r(&seed) % 3000);
		kf_sleep(rand_r(&seed) % 3000 * 1000ull);
	}
	return NULL;
}

/* Bursts as long as what a thread is kept: who is told to end is wanted just then. */
static int block_by_chance(void *arg)
{
	kf_fiber_t fibers[BLOCKED];
	uintptr_t i;

	atomic_store(&stop, false);
	for (i = 0; i < BLOCKED; i++)
		if (kf_spawn(&fibers[i], NULL, block_now_and_then, (void *)(i + 1)))
			return -1;
	kf_sleep(slowly(3000) * MS);
	atomic_store(&stop, true);
	for (i = 0; i < BLOCKED; i++)
		if (kf_join(fibers[i], NULL))
			return -2;
	return 0;
}

TEST(they_come_and_go)
{
	ASSERT_EQ(0, run_idle(2, MS, block_by_chance));
}

TEST_HARNESS_MAIN
