// SPDX-License-Identifier: GPL-2.0
/* kf_waitgroup_t: waits end at 0 and not before; what cannot be is reported. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"

static bool is_fresh(const kf_waitgroup_t *g)
{
	return !g->word && is_unused(&g->queue);
}

TEST(misuse_is_reported)
{
	kf_waitgroup_t g = KF_WAITGROUP_INIT;

	ASSERT_EQ(-EINVAL, kf_waitgroup_done(&g));
	ASSERT_EQ(-EINVAL, kf_waitgroup_add(&g, INT_MIN));
	ASSERT_EQ(0, kf_waitgroup_add(&g, 2));
	ASSERT_EQ(-EINVAL, kf_waitgroup_add(&g, -3));
	ASSERT_EQ(-EOVERFLOW, kf_waitgroup_add(&g, INT_MAX));
	/* It is what it was. */
	ASSERT_EQ(0, kf_waitgroup_done(&g));
	ASSERT_EQ(-ETIMEDOUT, kf_waitgroup_wait_until(&g, 0));
	ASSERT_EQ(0, kf_waitgroup_done(&g));
	ASSERT_EQ(0, kf_waitgroup_wait(&g));
	ASSERT_TRUE(is_fresh(&g));
}

struct work {
	kf_waitgroup_t g;
	atomic_int done;
};

static void *work(void *arg)
{
	struct work *w = arg;
	int i;

	for (i = 0; i < 3; i++)
		kf_yield();
	atomic_fetch_add(&w->done, 1);
	return (void *)(long)kf_waitgroup_done(&w->g);
}

static void *wait_for_work(void *arg)
{
	struct work *w = arg;
	int err = kf_waitgroup_wait(&w->g);

	return (void *)(long)(err ? err : atomic_load(&w->done) % 20);
}

static int wait_many_times(void *arg)
{
	enum { WORKERS = 20, WAITERS = 3, ROUNDS = 300 };
	kf_fiber_t workers[WORKERS], waiters[WAITERS];
	struct work w = { .g = KF_WAITGROUP_INIT };
	int round, i;
	void *value;

	for (round = 1; round <= ROUNDS; round++) {
		kf_waitgroup_add(&w.g, WORKERS);
		for (i = 0; i < WAITERS; i++)
			kf_spawn(&waiters[i], NULL, wait_for_work, &w);
		for (i = 0; i < WORKERS; i++)
			if (kf_spawn(&workers[i], NULL, work, &w))
				return 1;
		if (kf_waitgroup_wait(&w.g) || atomic_load(&w.done) != round * WORKERS)
			return 2;
		for (i = 0; i < WAITERS; i++)
			if (kf_join(waiters[i], &value) || value)
				return 3;
		for (i = 0; i < WORKERS; i++)
			if (kf_join(workers[i], &value) || value)
				return 4;
	}
	return is_fresh(&w.g) && sleeps_soundly() ? 0 : 5;
}

TEST_F(processors, all_wait_for_all)
{
	ASSERT_EQ(0, run(variant->n, wait_many_times, NULL));
}

/* Who waits frees it: a page of its own, so that a touch afterwards is a fault. */
static void *done_only(void *g)
{
	return (void *)(long)kf_waitgroup_done(g);
}

static int free_after_wait(void *arg)
{
	enum { WORKERS = 3 };
	kf_fiber_t workers[WORKERS];
	int round, i;

	for (round = 0; round < 1500; round++) {
		kf_waitgroup_t *g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		kf_waitgroup_add(g, WORKERS);
		for (i = 0; i < WORKERS; i++)
			if (kf_spawn(&workers[i], NULL, done_only, g))
				return 1;
		/* In the queue, or on the way into it, or late. */
		for (i = 0; i < round % 4; i++)
			kf_yield();
		kf_waitgroup_wait(g);
		munmap(g, sizeof(*g));
		for (i = 0; i < WORKERS; i++)
			kf_join(workers[i], NULL);
	}
	return 0;
}

TEST_F(processors, the_wait_may_be_followed_by_free)
{
	ASSERT_EQ(0, run(variant->n, free_after_wait, NULL));
}

/* Plain threads count, fibers wait, and the other way round. */
struct both {
	kf_waitgroup_t threads, fibers;
	atomic_int counted;
};

static void *count_and_wait(void *arg)
{
	struct both *b = arg;
	kf_waitgroup_t *mine = kf_self() ? &b->fibers : &b->threads;
	kf_waitgroup_t *other = kf_self() ? &b->threads : &b->fibers;

	atomic_fetch_add(&b->counted, 1);
	if (kf_waitgroup_done(mine) || kf_waitgroup_wait(other) || kf_waitgroup_wait(mine))
		return (void *)1;
	return atomic_load(&b->counted) == 7 ? NULL : (void *)2;
}

TEST_F(processors, threads_and_fibers_wait_for_each_other)
{
	struct both b = { KF_WAITGROUP_INIT, KF_WAITGROUP_INIT, 0 };
	struct mixed m = { variant->n, 4, 3, count_and_wait, &b };

	kf_waitgroup_add(&b.fibers, 4);
	kf_waitgroup_add(&b.threads, 3);
	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_TRUE(is_fresh(&b.threads));
	ASSERT_TRUE(is_fresh(&b.fibers));
}

static int time_out(void *arg)
{
	kf_waitgroup_t g = KF_WAITGROUP_INIT;
	uint64_t begin = kf_now();

	kf_waitgroup_add(&g, 1);
	if (kf_waitgroup_wait_until(&g, begin + 9 * MS) != -ETIMEDOUT || kf_now() < begin + 9 * MS)
		return 1;
	if (kf_waitgroup_done(&g) || kf_waitgroup_wait_until(&g, 0))
		return 2;
	return is_fresh(&g) ? 0 : 3;
}

TEST_F(processors, a_deadline_ends_the_wait)
{
	ASSERT_EQ(0, run(variant->n, time_out, NULL));
}

TEST_HARNESS_MAIN
