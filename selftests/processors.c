// SPDX-License-Identifier: GPL-2.0
/*
 * The number of processors changes while fibers run on them, wait in their queues,
 * and block. Nothing gets lost, and none is held any more that is out of use.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "parked.h"
#include "run.h"
#include "slow.h"

#define PROCESSORS	4

static int run_up_to(unsigned int processors, unsigned int max, int (*fn)(void *))
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .processors_max = max,
	};

	return kf_run(&config, or_exit, fn);
}

/* --- what it says ------------------------------------------------------------------ */

static void *call_from_thread(void *arg)
{
	return (void *)(intptr_t)kf_set_processors(2);
}

static int change_number(void *arg)
{
	pthread_t thread;
	void *result;

	if (kf_set_processors(0) != 2 || kf_set_processors(3) != 2 || processors_used() != 3)
		return -1;
	if (kf_set_processors(4) != -EINVAL || processors_used() != 3)
		return -2;
	if (pthread_create(&thread, NULL, call_from_thread, NULL) || pthread_join(thread, &result))
		return -3;
	if ((intptr_t)result != 3 || processors_used() != 2)
		return -4;
	return kf_set_processors(1) == 2 && kf_set_processors(0) == 1 ? 0 : -5;
}

TEST(the_number_is_set)
{
	EXPECT_EQ(-ESRCH, kf_set_processors(1));
	EXPECT_EQ(0, run_up_to(2, 3, change_number));
	EXPECT_EQ(-EINVAL, run_up_to(2, 1, change_number));
	EXPECT_EQ(-EINVAL, run_up_to(2, KFIBER_PROCESSORS_MAX + 1, change_number));
}

static int no_more_than_configured(void *arg)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	unsigned int most = cpus > 3 ? (unsigned int)cpus : 3;

	if (kf_set_processors(most) != 3 || kf_set_processors(most + 1) != -EINVAL)
		return -1;
	return 0;
}

TEST(all_cpus_may_be_used_by_default)
{
	EXPECT_EQ(0, run_up_to(3, 0, no_more_than_configured));
}

/* --- fibers that compute ------------------------------------------------------------ */

static atomic_bool stop;
static atomic_ulong turns[2 * PROCESSORS];

static void *compute(void *turn)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		atomic_fetch_add_explicit((atomic_ulong *)turn, 1, memory_order_relaxed);
	return NULL;
}

/* How many workers have a processor, and whether one has one from @end on. */
static unsigned int count_holders(unsigned int end, bool *beyond)
{
	const struct kfiber_worker_block *workers = shared_at(KFIBER_MAP_WORKERS);
	struct kf_stats stats = { .size = sizeof(stats) };
	unsigned int i, n = 0;

	*beyond = false;
	kf_stats(&stats);
	for (i = 0; i < stats.workers_peak; i++) {
		unsigned int held = __atomic_load_n(&workers[i].processor, __ATOMIC_RELAXED);

		n += held != KFIBER_NO_PROCESSOR;
		*beyond |= held != KFIBER_NO_PROCESSOR && held >= end;
	}
	return n;
}

/* Returns when @n are held and no others. Blocks of threads that have gone say nothing. */
static void wait_until_held(unsigned int n)
{
	bool beyond;

	while (count_holders(n, &beyond) != n || beyond)
		kf_sleep(MS);
}

/* Returns when each of @n fibers has computed. */
static void wait_for_turns(unsigned int n)
{
	unsigned long before[2 * PROCESSORS];
	unsigned int i;

	for (i = 0; i < n; i++)
		before[i] = atomic_load(&turns[i]);
	for (i = 0; i < n; i++)
		while (atomic_load(&turns[i]) == before[i])
			kf_sleep(MS);
}

static int change_while_computing(void *arg)
{
	static const unsigned int numbers[] = { 1, 4, 2, 3, 1, 2, 4 };
	kf_fiber_t fibers[2 * PROCESSORS];
	unsigned int i;

	atomic_store(&stop, false);
	for (i = 0; i < 2 * PROCESSORS; i++)
		if (kf_spawn(&fibers[i], NULL, compute, &turns[i]))
			return -1;
	wait_until_held(PROCESSORS);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (kf_set_processors(numbers[i]) < 0)
			return -2;
		wait_until_held(numbers[i]);
		wait_for_turns(2 * PROCESSORS);
	}
	atomic_store(&stop, true);
	for (i = 0; i < 2 * PROCESSORS; i++)
		if (kf_join(fibers[i], NULL))
			return -3;
	return 0;
}

TEST(who_computes_leaves_and_goes_on)
{
	EXPECT_EQ(0, run_up_to(PROCESSORS, 0, change_while_computing));
}

/* --- what is queued ------------------------------------------------------------------ */

#define QUEUED	600

static atomic_uint ran, together;

static void *count_one(void *arg)
{
	atomic_fetch_add(&ran, 1);
	return NULL;
}

/* Two of these hold both processors, and fill both rings; then one is taken. */
static void *queue_many(void *takes)
{
	struct kf_attr attr = { .size = sizeof(attr), .flags = KF_DETACHED };
	int i;

	atomic_fetch_add(&together, 1);
	while (atomic_load(&together) < 2)
		;
	for (i = 0; i < QUEUED; i++)
		if (kf_spawn(NULL, &attr, count_one, NULL))
			return (void *)1;
	atomic_fetch_add(&together, 1);
	while (atomic_load(&together) < 4)
		;
	return (void *)(intptr_t)(takes && kf_set_processors(1) != 2);
}

static int queue_and_take(void *arg)
{
	kf_fiber_t fibers[2];
	void *failed;
	int i, round;

	for (round = 0; round < 10; round++) {
		atomic_store(&ran, 0);
		atomic_store(&together, 0);
		kf_set_processors(2);
		for (i = 0; i < 2; i++)
			if (kf_spawn(&fibers[i], NULL, queue_many, i == round % 2 ? &ran : NULL))
				return -1;
		for (i = 0; i < 2; i++)
			if (kf_join(fibers[i], &failed) || failed)
				return -2;
		while (atomic_load(&ran) < 2 * QUEUED)
			kf_sleep(MS);
	}
	return 0;
}

TEST(what_is_queued_goes_on)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 2, .slice_ns = KF_SLICE_NEVER,
	};

	/* Without slices nobody but the module's own look brings them elsewhere. */
	EXPECT_EQ(0, kf_run(&config, or_exit, queue_and_take));
	EXPECT_EQ(0, run_up_to(2, 0, queue_and_take));
}

/* --- all at once --------------------------------------------------------------------- */

static void *yields(void *arg)
{
	while (!atomic_load(&stop))
		kf_yield();
	return NULL;
}

static void *sleeps(void *arg)
{
	while (!atomic_load(&stop))
		kf_sleep(100000);
	return NULL;
}

static void *blocks(void *arg)
{
	while (!atomic_load(&stop))
		usleep(100);
	return NULL;
}

static void *pinned(void *arg)
{
	while (!atomic_load(&stop)) {
		kf_pin();
		kf_sleep(100000);
		kf_yield();
		kf_unpin();
	}
	return NULL;
}

static kf_chan_t *there, *back;

static void *echo(void *arg)
{
	int value;

	while (!kf_chan_recv(there, &value))
		kf_chan_send(back, &value);
	return NULL;
}

static void *ping(void *arg)
{
	intptr_t wrong = 0;
	int i, value;

	for (i = 0; !atomic_load(&stop); i++)
		if (kf_chan_send(there, &i) || kf_chan_recv(back, &value) || value != i)
			wrong++;
	kf_chan_close(there);
	return (void *)wrong;
}

static int change_all_the_time(void *arg)
{
	static void *(*const kinds[])(void *) = {
		yields, sleeps, blocks, pinned, echo, ping, compute, yields,
	};
	const int n = sizeof(kinds) / sizeof(kinds[0]);
	unsigned int seed = 1;
	kf_fiber_t fibers[8];
	void *wrong;
	int i;

	atomic_store(&stop, false);
	there = kf_chan_create(sizeof(int), 0);
	back = kf_chan_create(sizeof(int), 0);
	for (i = 0; i < n; i++)
		if (kf_spawn(&fibers[i], NULL, kinds[i], &turns[0]))
			return -1;
	for (i = 0; i < slowly(500); i++) {
		if (kf_set_processors(1 + rand_r(&seed) % PROCESSORS) < 1)
			return -2;
		kf_sleep(rand_r(&seed) % 4 * MS / 2);
	}
	atomic_store(&stop, true);
	for (i = 0; i < n; i++)
		if (kf_join(fibers[i], &wrong) || wrong)
			return -3;
	kf_chan_destroy(there);
	kf_chan_destroy(back);
	return 0;
}

TEST(nothing_is_lost)
{
	EXPECT_EQ(0, run_up_to(1, PROCESSORS, change_all_the_time));
}

TEST_HARNESS_MAIN
