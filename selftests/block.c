// SPDX-License-Identifier: GPL-2.0
/* Fibers in blocking system calls: the others go on, nobody is lost. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "slow.h"

enum { FIBERS_MAX = 10000 };

static long nr_fibers(void)
{
	return slowly(FIBERS_MAX);
}

static int run(unsigned int processors, unsigned int workers, int (*fn)(void *), void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .max_workers = workers,
	};

	return kf_run(&config, fn, arg);
}

static int pipe_fds[2];
static _Atomic uint32_t futex_word;
static _Atomic long waiting, woken;

static void *block_in_nanosleep(void *arg)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	return (void *)(long)nanosleep(&ms, NULL);
}

static void *block_in_read(void *arg)
{
	char c;

	return (void *)(read(pipe_fds[0], &c, 1) - 1);
}

static void *block_in_futex(void *arg)
{
	uint32_t seen = atomic_load(&futex_word);

	atomic_fetch_add(&waiting, 1);
	while (atomic_load(&futex_word) == seen)
		syscall(SYS_futex, &futex_word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
	atomic_fetch_add(&woken, 1);
	return NULL;
}

static void *feed_pipe(void *arg)
{
	static const char bytes[16];
	int n;

	for (n = 0; n < nr_fibers(); n += sizeof(bytes))
		if (write(pipe_fds[1], bytes, sizeof(bytes)) != sizeof(bytes))
			return (void *)-1;
	return NULL;
}

/* Wakes whoever waits, until all have been woken. */
static void *feed_futex(void *arg)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	while (atomic_load(&woken) < nr_fibers()) {
		atomic_fetch_add(&futex_word, 1);
		syscall(SYS_futex, &futex_word, FUTEX_WAKE_PRIVATE, 64, NULL, NULL, 0);
		nanosleep(&ms, NULL);
	}
	return NULL;
}

static int spawn_and_join(void *arg)
{
	void *(*fn)(void *) = arg;
	static kf_fiber_t fibers[FIBERS_MAX];
	long i, bad = 0;
	void *value;

	for (i = 0; i < nr_fibers(); i++)
		if (kf_spawn(&fibers[i], NULL, fn, NULL))
			return -1;
	for (i = 0; i < nr_fibers(); i++)
		bad += kf_join(fibers[i], &value) || value;
	return bad;
}

FIXTURE(workers)
{
};

FIXTURE_VARIANT(workers)
{
	unsigned int max;
};

FIXTURE_VARIANT_ADD(workers, many)
{
	.max = 2000,
};

/* Fewer than would be wanted: blocked fibers hold up others, and no more. */
FIXTURE_VARIANT_ADD(workers, few)
{
	.max = 20,
};

FIXTURE_SETUP(workers)
{
	ASSERT_EQ(0, pipe(pipe_fds));
}

FIXTURE_TEARDOWN(workers)
{
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

TEST_F(workers, ten_thousand_in_nanosleep)
{
	ASSERT_EQ(0, run(2, variant->max, spawn_and_join, block_in_nanosleep));
}

TEST_F(workers, ten_thousand_in_read)
{
	pthread_t feeder;
	void *value;

	ASSERT_EQ(0, pthread_create(&feeder, NULL, feed_pipe, NULL));
	ASSERT_EQ(0, run(2, variant->max, spawn_and_join, block_in_read));
	ASSERT_EQ(0, pthread_join(feeder, &value));
	ASSERT_EQ(NULL, value);
}

TEST_F(workers, ten_thousand_in_futex)
{
	pthread_t feeder;

	ASSERT_EQ(0, pthread_create(&feeder, NULL, feed_futex, NULL));
	ASSERT_EQ(0, run(2, variant->max, spawn_and_join, block_in_futex));
	ASSERT_EQ(0, pthread_join(feeder, NULL));
	ASSERT_EQ(nr_fibers(), atomic_load(&waiting));
}

/*
 * One processor. A fiber blocks in read(); only another fiber of the same
 * processor can end that. It waits for the read(): it may be its turn before,
 * when the first is preempted on its way there.
 */
static void *answer(void *arg)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	while (!kf_stats(&stats) && !stats.handovers)
		kf_yield();
	return (void *)(write(pipe_fds[1], "x", 1) - 1);
}

static int ask(void *arg)
{
	struct kf_stats stats = { .size = sizeof(stats) };
	kf_fiber_t fiber;
	char c;

	if (kf_spawn(&fiber, NULL, answer, NULL) || read(pipe_fds[0], &c, 1) != 1)
		return 1;
	if (kf_join(fiber, NULL))
		return 2;
	kf_stats(&stats);
	return stats.handovers && stats.returns ? 0 : 3;
}

TEST_F(workers, a_blocked_fiber_gives_its_processor_away)
{
	ASSERT_EQ(0, run(1, variant->max, ask, NULL));
}

/* The thread that blocked goes on with its fiber: thread-locals stay. */
static __thread int thread_local_mark;

static void *mark_thread(void *arg)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	int i;

	for (i = 0; i < 20; i++) {
		thread_local_mark = (long)arg;
		nanosleep(&ms, NULL);
		if (thread_local_mark != (long)arg)
			return (void *)1;
	}
	return NULL;
}

static int mark_many(void *arg)
{
	kf_fiber_t fibers[40];
	void *value;
	long i, bad = 0;

	for (i = 0; i < 40; i++)
		if (kf_spawn(&fibers[i], NULL, mark_thread, (void *)(i + 1)))
			return -1;
	for (i = 0; i < 40; i++)
		bad += kf_join(fibers[i], &value) || value;
	return bad;
}

TEST_F(workers, a_blocked_fiber_stays_on_its_thread)
{
	ASSERT_EQ(0, run(2, variant->max, mark_many, NULL));
}

TEST_HARNESS_MAIN
