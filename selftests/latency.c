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
	return kf_latencies(&l) || l.wait[31] || l.size != sizeof(l) ? 3 : 0;
}

TEST(sizes)
{
	struct kf_latencies l = { .size = sizeof(l) };

	ASSERT_EQ(0, run(1, read_with_sizes, NULL));
	ASSERT_EQ(-ESRCH, kf_latencies(&l));
}

TEST_HARNESS_MAIN
