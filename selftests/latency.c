// SPDX-License-Identifier: GPL-2.0
/* kf_latencies(): what is counted is counted once. How long it took is printed, not tested. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "processors.h"
#include "run.h"

static struct kf_latencies read_latencies(void)
{
	struct kf_latencies latencies = { .size = sizeof(latencies) };

	kf_latencies(&latencies);
	return latencies;
}

static uint64_t sum(const uint64_t *buckets)
{
	uint64_t all = 0;
	int i;

	for (i = 0; i < KF_LATENCY_BUCKETS; i++)
		all += buckets[i];
	return all;
}

/* The bucket in which the n-th is, from the shortest. */
static int bucket_of(const uint64_t *buckets, uint64_t n)
{
	int i = 0;

	while (i < KF_LATENCY_BUCKETS - 1 && n >= buckets[i])
		n -= buckets[i++];
	return i;
}

static void print_latency(const char *name, const uint64_t *buckets)
{
	uint64_t all = sum(buckets);

	if (!all)
		return;
	printf("# %s: %llu; median below %.1f us, worst below %.1f us\n", name,
	       (unsigned long long)all, (double)(2ull << bucket_of(buckets, all / 2)) / 1000,
	       (double)(2ull << bucket_of(buckets, all - 1)) / 1000);
}

static int pipes[2][2];
enum { ROUNDS = 300 };

/* Each waits for the other in the kernel. */
static void *pass_on(void *arg)
{
	long i, me = (long)arg;
	char byte = 0;

	for (i = 0; i < ROUNDS; i++)
		if (read(pipes[me][0], &byte, 1) != 1 || write(pipes[!me][1], &byte, 1) != 1)
			return (void *)1;
	return NULL;
}

static atomic_bool stop;

/* There is always somebody who wants the processor of who blocks. */
static void *yield_until_stopped(void *arg)
{
	while (!atomic_load(&stop))
		kf_yield();
	return NULL;
}

/*
 * Noted is who goes on; counted, who is to. So what is missing are workers that have not
 * come so far yet, if any.
 */
static int compare(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };
	struct kf_latencies l = read_latencies();
	uint64_t all = sum(l.handover);

	kf_stats(&stats);
	print_latency("hand-over", l.handover);
	print_latency("wake-up", l.wakeup);
	print_latency("wait for a processor", l.wait);
	/* With several processors it may be that nobody wants one whenever somebody blocks. */
	if ((!stats.handovers && stats.processors == 1) || all > stats.handovers ||
	    all + stats.workers_peak < stats.handovers) {
		printf("# %llu hand-overs, %llu noted\n", (unsigned long long)stats.handovers,
		       (unsigned long long)all);
		return -EPROTO;
	}
	return 0;
}

static int block_in_turn(void *arg)
{
	kf_fiber_t fibers[2], other;
	void *failed = NULL;
	char byte = 0;
	long i;

	atomic_store(&stop, false);
	if (pipe(pipes[0]) || pipe(pipes[1]))
		return -errno;
	kf_spawn(&other, NULL, yield_until_stopped, NULL);
	for (i = 0; i < 2; i++)
		kf_spawn(&fibers[i], NULL, pass_on, (void *)i);
	if (write(pipes[0][1], &byte, 1) != 1)
		return -errno;
	for (i = 0; i < 2 && !failed; i++)
		kf_join(fibers[i], &failed);
	atomic_store(&stop, true);
	kf_join(other, NULL);
	for (i = 0; i < 4; i++)
		close(pipes[i / 2][i % 2]);
	return failed ? -EIO : compare();
}

TEST_F(processors, each_handover_once)
{
	ASSERT_EQ(0, run(variant->n, block_in_turn, NULL));
}

static int sleep_often(void *arg)
{
	int i;

	if (sum(read_latencies().wakeup))
		return -EPROTO;
	for (i = 0; i < 20; i++)
		kf_sleep(2 * MS);
	return (int)sum(read_latencies().wakeup);
}

/* A timer that ends the sleep of the only fiber wakes a thread. */
TEST_F(processors, wakeups)
{
	ASSERT_LE(1, run(variant->n, sleep_often, NULL));
}

static void *block_and_stop(void *arg)
{
	usleep(1000);
	atomic_store(&stop, true);
	return NULL;
}

/* The one processor is not idle when it comes back, unless the spare's CPU stood still. */
static int come_back(void *arg)
{
	kf_fiber_t fiber;
	int i;

	for (i = 0; i < 50 && !sum(read_latencies().wait); i++) {
		atomic_store(&stop, false);
		kf_spawn(&fiber, NULL, block_and_stop, NULL);
		yield_until_stopped(NULL);
		kf_join(fiber, NULL);
	}
	return (int)sum(read_latencies().wait);
}

TEST(who_comes_back_waits)
{
	/* A page fault that sleeps counts as well. */
	ASSERT_LE(1, run(1, come_back, NULL));
}

/* --- how long fibers are runnable before they run ------------------------------------ */

/* What the library and the module say of themselves: one in so many is a sample. */
enum { SAMPLE = 2501, SAMPLES = 4 };

/* As kf_latencies() has it: how many took at least that long? */
static uint64_t at_least(const uint64_t *buckets, uint64_t ns)
{
	uint64_t all = 0;
	int i;

	for (i = 0; i < KF_LATENCY_BUCKETS; i++)
		if (1ull << i >= ns)
			all += buckets[i];
	return all;
}

/* More than of @n cannot be samples; nor can less, but for who was just before one. */
static int compare_samples(const char *of, uint64_t n)
{
	struct kf_latencies l = read_latencies();
	uint64_t samples = sum(l.run_queue);

	print_latency(of, l.run_queue);
	if (samples >= SAMPLES && samples <= n / SAMPLE + SAMPLES)
		return 0;
	printf("# %llu samples of %llu %s\n", (unsigned long long)samples, (unsigned long long)n,
	       of);
	return 1;
}

static struct kf_stats read_stats(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	kf_stats(&stats);
	return stats;
}

static void *yield_often(void *arg)
{
	int i;

	for (i = 0; i < SAMPLES * SAMPLE; i++)
		kf_yield();
	return NULL;
}

static int yield_in_turn(void *arg)
{
	uint64_t began = kf_now();
	kf_fiber_t other;
	int err;

	kf_spawn(&other, NULL, yield_often, NULL);
	yield_often(NULL);
	kf_join(other, NULL);
	err = compare_samples("yields", read_stats().switches);
	if (at_least(read_latencies().run_queue, kf_now() - began))
		return 2;
	return err;
}

/* One processor, or each could have one for itself, and yield to nobody. */
TEST(yields)
{
	ASSERT_EQ(0, run(1, yield_in_turn, NULL));
}

static void *be_woken(void *arg)
{
	int i;

	for (i = 0; i < SAMPLES * SAMPLE; i++) {
		kf_park(KF_FOREVER);
		kf_unpark(*(kf_fiber_t *)arg);
	}
	return NULL;
}

static int wake_in_turn(void *arg)
{
	kf_fiber_t self = kf_self(), other;
	int i;

	kf_spawn(&other, NULL, be_woken, &self);
	/* It is to wait for each of them, rather than find it there. */
	kf_yield();
	for (i = 0; i < SAMPLES * SAMPLE; i++) {
		kf_unpark(other);
		kf_park(KF_FOREVER);
	}
	kf_join(other, NULL);
	return compare_samples("wake-ups", read_stats().unparks);
}

/* Each finds the other parked. */
TEST(wakes)
{
	ASSERT_EQ(0, run(1, wake_in_turn, NULL));
}

static void *end(void *arg)
{
	return NULL;
}

static int spawn_often(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .priority = (uintptr_t)arg };
	kf_fiber_t fiber;
	int i;

	for (i = 0; i < SAMPLES * SAMPLE; i++) {
		kf_spawn(&fiber, &attr, end, NULL);
		kf_join(fiber, NULL);
	}
	/* Two for each: its own, and that which the end of its join is. */
	return compare_samples("spawns", 2 * SAMPLES * SAMPLE);
}

TEST(spawns)
{
	ASSERT_EQ(0, run(1, spawn_often, NULL));
}

/* These are queued by the module. */
TEST(spawns_in_the_background)
{
	ASSERT_EQ(0, run(1, spawn_often, (void *)(uintptr_t)KF_PRIORITY_BACKGROUND));
}

static void compute_for(uint64_t ns)
{
	uint64_t until = kf_now() + ns;

	while (kf_now() < until)
		;
}

enum { LONG_NS = 50 * MS };

/*
 * Who computes may sleep for memory just then, and others run: another time it does not. That it
 * always does is a time-out.
 */
static void run_until_one_waits(int (*fn)(void *))
{
	while (run_without_slices(1, fn, NULL) != 1)
		;
}

/* All of these wait for as long as their spawner computes; one is a sample. */
static int compute_before_spawned(void *arg)
{
	kf_fiber_t fibers[SAMPLE];
	int i;

	for (i = 0; i < SAMPLE; i++)
		kf_spawn(&fibers[i], NULL, end, NULL);
	compute_for(LONG_NS);
	for (i = 0; i < SAMPLE; i++)
		kf_join(fibers[i], NULL);
	return (int)at_least(read_latencies().run_queue, LONG_NS / 2);
}

TEST(who_is_spawned_waits)
{
	run_until_one_waits(compute_before_spawned);
}

static void *sleep_shortly(void *arg)
{
	kf_sleep(1 * MS);
	return NULL;
}

/* The first that the module makes runnable is a sample: it waits behind one that computes. */
static int compute_before_sleeper(void *arg)
{
	uint64_t until = kf_after(1000 * MS);
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, sleep_shortly, NULL);
	kf_yield();
	/* If it slept for memory before it came so far, it waits for this processor. */
	while (!read_stats().timers && kf_now() < until)
		;
	compute_for(LONG_NS);
	kf_join(fiber, NULL);
	return (int)at_least(read_latencies().run_queue, LONG_NS / 2);
}

TEST(who_has_slept_waits)
{
	run_until_one_waits(compute_before_sleeper);
}

static void *wait_for_byte(void *arg)
{
	char byte;

	return (void *)(intptr_t)kf_read(pipes[0][0], &byte, 1, KF_FOREVER);
}

/* Likewise, but a file wakes it. */
static int compute_before_reader(void *arg)
{
	kf_fiber_t fiber;
	void *got;

	if (pipe(pipes[0]))
		return -errno;
	kf_spawn(&fiber, NULL, wait_for_byte, NULL);
	kf_yield();
	if (write(pipes[0][1], "", 1) != 1)
		return -errno;
	compute_for(LONG_NS);
	kf_join(fiber, &got);
	close(pipes[0][0]);
	close(pipes[0][1]);
	return got == (void *)1 ? (int)at_least(read_latencies().run_queue, LONG_NS / 2) : -EIO;
}

TEST(who_has_read_waits)
{
	run_until_one_waits(compute_before_reader);
}

static int read_with_sizes(void *arg)
{
	struct kf_latencies l;

	memset(&l, 0x55, sizeof(l));
	l.size = 8;
	if (kf_latencies(&l) != -EINVAL)
		return 1;
	l.size = offsetof(struct kf_latencies, wakeup);
	if (kf_latencies(&l) || l.handover[31] || l.wakeup[0] != 0x5555555555555555)
		return 2;
	l.size = sizeof(l);
	return kf_latencies(&l) || l.wait[31] || l.run_queue[31] || l.size != sizeof(l) ? 3 : 0;
}

TEST(sizes)
{
	struct kf_latencies l = { .size = sizeof(l) };

	ASSERT_EQ(0, run(1, read_with_sizes, NULL));
	ASSERT_EQ(-ESRCH, kf_latencies(&l));
}

TEST_HARNESS_MAIN
