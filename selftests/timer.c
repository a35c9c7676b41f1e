// SPDX-License-Identifier: GPL-2.0
/* Deadlines: never early, never lost, whatever else wakes the fiber. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "harness.h"
#include "run.h"

FIXTURE(processors)
{
};

FIXTURE_VARIANT(processors)
{
	unsigned int n;
};

FIXTURE_VARIANT_ADD(processors, one)
{
	.n = 1,
};

FIXTURE_VARIANT_ADD(processors, two)
{
	.n = 2,
};

FIXTURE_SETUP(processors)
{
}

FIXTURE_TEARDOWN(processors)
{
}

static void *sleep_a_while(void *arg)
{
	unsigned int seed = (unsigned int)(long)arg;
	int i;

	for (i = 0; i < 10; i++) {
		uint64_t ns = rand_r(&seed) % (20 * MS);
		uint64_t begin = kf_now();

		if (kf_sleep(ns) || kf_now() - begin < ns)
			return (void *)1;
	}
	return NULL;
}

static int many_sleepers(void *arg)
{
	enum { FIBERS = 2000 };
	static kf_fiber_t fibers[FIBERS];
	struct kf_stats stats = { .size = sizeof(stats) };
	int bad;

	if (spawn_each(fibers, FIBERS, sleep_a_while))
		return -1;
	bad = join_each(fibers, FIBERS);
	kf_stats(&stats);
	if (stats.timers < FIBERS)
		return -2;
	/* Who sleeps holds no thread; a few had to wait for memory, or were preempted. */
	if (stats.workers_peak > FIBERS / 5)
		return -3;
	return bad;
}

TEST_F(processors, two_thousand_sleepers)
{
	ASSERT_EQ(0, run(variant->n, many_sleepers, NULL));
}

static int park_times_out(void *arg)
{
	uint64_t deadline = kf_after(5 * MS);

	if (kf_park(deadline) != -ETIMEDOUT || kf_now() < deadline)
		return 1;
	if (kf_park(kf_now() - 1) != -ETIMEDOUT || kf_park(0) != -ETIMEDOUT)
		return 2;
	kf_unpark(kf_self());
	if (kf_park(0))					/* a permit beats the deadline */
		return 3;
	return kf_after(KF_FOREVER) == KF_FOREVER ? 0 : 4;
}

TEST_F(processors, park_times_out)
{
	ASSERT_EQ(0, run(variant->n, park_times_out, NULL));
}

/*
 * A fiber waits with a far deadline and is unparked, again and again, and then
 * with a near one: timers of earlier waits must neither end this one early nor
 * keep it from ending.
 */
static _Atomic int stop;

static void *unpark_until_stopped(void *arg)
{
	while (!atomic_load(&stop)) {
		kf_unpark(*(kf_fiber_t *)arg);
		kf_yield();
	}
	return NULL;
}

static int many_deadlines(void *arg)
{
	kf_fiber_t self = kf_self(), other;
	unsigned int seed = 1;
	int i, late = 0;

	if (kf_spawn(&other, NULL, unpark_until_stopped, &self))
		return -1;
	for (i = 0; i < 20000; i++)
		if (kf_park(kf_after(rand_r(&seed) % (2 * MS))) == -ETIMEDOUT)
			late++;
	atomic_store(&stop, 1);
	if (kf_join(other, NULL))
		return -2;
	while (!kf_park(0))
		;
	for (i = 0; i < 200; i++) {
		uint64_t deadline = kf_after(rand_r(&seed) % (2 * MS));

		if (kf_park(deadline) != -ETIMEDOUT || kf_now() < deadline)
			return -3;
	}
	return late < 20000 ? 0 : -4;
}

TEST_F(processors, stale_timers_harm_nothing)
{
	ASSERT_EQ(0, run(variant->n, many_deadlines, NULL));
}

static int repeated_timeouts(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	kf_fiber_t self = kf_self(), other;
	int i;

	atomic_store(&stop, 0);
	if (kf_spawn(&other, NULL, unpark_until_stopped, &self))
		return -1;
	/* Until the timer is set, and the spare thread, which makes calls too, sleeps. */
	do {
		kf_park(kf_after(60000 * MS));
		kf_stats(&before);
	} while (!before.spares);
	for (i = 0; i < 10000; i++)
		if (kf_park(kf_after(60000 * MS)))
			return -2;
	kf_stats(&after);
	atomic_store(&stop, 1);
	if (kf_join(other, NULL))
		return -3;
	return after.calls - before.calls;
}

/* The timer is set once a time-out, not once a wait. */
TEST(waits_with_a_far_deadline_make_no_call)
{
	/* A page of this program that has to be read blocks, and that is a call. */
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_without_slices(1, repeated_timeouts, NULL));
}

TEST_HARNESS_MAIN
