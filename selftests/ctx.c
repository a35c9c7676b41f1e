// SPDX-License-Identifier: GPL-2.0
/*
 * Contexts: their end reaches all fibers under them and all contexts below, and nobody
 * else; nothing is left when nobody holds one any more.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"

#define FAILED(line) ((void *)(long)(line))

/* --- the tree, without a domain ----------------------------------------------------- */

TEST(the_background_is_never_done)
{
	kf_ctx_t *root = kf_ctx_background();

	ASSERT_EQ(root, kf_ctx_current());
	ASSERT_EQ(root, kf_ctx_get(root));
	kf_ctx_free(root);
	kf_ctx_free(NULL);
	ASSERT_EQ(0, kf_ctx_err(root));
	ASSERT_EQ(-EINVAL, kf_ctx_cancel(root));
	ASSERT_EQ(-ETIMEDOUT, kf_ctx_wait_until(root, kf_after(MS)));
	ASSERT_EQ(-EPERM, kf_ctx_set_current(root));
	ASSERT_EQ(NULL, kf_ctx_value(root, root));
}

TEST(a_cancel_reaches_all_below)
{
	kf_ctx_t *a = kf_ctx_with_cancel(kf_ctx_background());
	kf_ctx_t *b = kf_ctx_with_cancel(a), *c = kf_ctx_with_value(b, a, b);
	kf_ctx_t *sister = kf_ctx_with_cancel(kf_ctx_background());
	kf_ctx_t *late;

	ASSERT_EQ(0, kf_ctx_err(c));
	/* The middle of the chain is held by what is below it alone. */
	kf_ctx_free(b);
	ASSERT_EQ(0, kf_ctx_cancel(a));
	ASSERT_EQ(0, kf_ctx_cancel(a));
	EXPECT_EQ(-ECANCELED, kf_ctx_err(a));
	EXPECT_EQ(-ECANCELED, kf_ctx_err(c));
	EXPECT_EQ(0, kf_ctx_err(sister));
	EXPECT_EQ(0, kf_ctx_wait(c));
	late = kf_ctx_with_deadline(c, KF_FOREVER);
	EXPECT_EQ(-ECANCELED, kf_ctx_err(late));
	kf_ctx_free(late);
	kf_ctx_free(c);
	kf_ctx_free(a);
	kf_ctx_free(sister);
}

TEST(a_cancel_reaches_nobody_above)
{
	kf_ctx_t *a = kf_ctx_with_cancel(kf_ctx_background());
	kf_ctx_t *b = kf_ctx_with_cancel(a), *c = kf_ctx_with_cancel(a);

	ASSERT_EQ(0, kf_ctx_cancel(b));
	EXPECT_EQ(0, kf_ctx_err(a));
	EXPECT_EQ(0, kf_ctx_err(c));
	kf_ctx_free(a);
	kf_ctx_free(b);
	kf_ctx_free(c);
}

TEST(values_are_found_from_below)
{
	static const char one, two;
	int x, y, z;
	kf_ctx_t *a = kf_ctx_with_value(kf_ctx_background(), &one, &x);
	kf_ctx_t *b = kf_ctx_with_value(a, &two, &y);
	kf_ctx_t *c = kf_ctx_with_value(b, &one, &z);

	EXPECT_EQ(&x, kf_ctx_value(b, &one));
	EXPECT_EQ(&y, kf_ctx_value(c, &two));
	EXPECT_EQ(&z, kf_ctx_value(c, &one));
	EXPECT_EQ(NULL, kf_ctx_value(a, &two));
	EXPECT_EQ(NULL, kf_ctx_value(c, NULL));
	kf_ctx_free(a);
	kf_ctx_free(b);
	kf_ctx_free(c);
}

TEST(a_deadline_is_the_soonest)
{
	uint64_t begin = kf_now();
	kf_ctx_t *a = kf_ctx_with_deadline(kf_ctx_background(), begin + 500 * MS);
	kf_ctx_t *b = kf_ctx_with_deadline(a, KF_FOREVER), *c = kf_ctx_with_deadline(a, begin);

	EXPECT_EQ(-ETIMEDOUT, kf_ctx_err(c));
	EXPECT_EQ(0, kf_ctx_wait(c));
	EXPECT_EQ(-ETIMEDOUT, kf_ctx_wait_until(b, kf_after(MS)));
	EXPECT_EQ(0, kf_ctx_wait(b));
	EXPECT_LE(begin + 500 * MS, kf_now());
	EXPECT_EQ(-ETIMEDOUT, kf_ctx_err(b));
	/* It was first. */
	EXPECT_EQ(0, kf_ctx_cancel(a));
	EXPECT_EQ(-ETIMEDOUT, kf_ctx_err(a));
	EXPECT_EQ(-ETIMEDOUT, kf_ctx_err(b));
	kf_ctx_free(a);
	kf_ctx_free(b);
	kf_ctx_free(c);
}

/* A chain this long would not fit on any stack. */
TEST(a_long_chain_is_cancelled_and_freed)
{
	kf_ctx_t *first = kf_ctx_with_cancel(kf_ctx_background()), *last = kf_ctx_get(first);
	size_t before;
	int i;

	before = mallinfo2().uordblks;
	for (i = 0; i < 200000; i++) {
		kf_ctx_t *next = kf_ctx_with_cancel(last);

		kf_ctx_free(last);
		last = next;
	}
	ASSERT_EQ(0, kf_ctx_cancel(first));
	EXPECT_EQ(-ECANCELED, kf_ctx_err(last));
	kf_ctx_free(last);
	/* But for a handful that malloc keeps at hand. */
	EXPECT_GE(before + 4096, mallinfo2().uordblks);
	kf_ctx_free(first);
}

/* --- fibers -------------------------------------------------------------------------- */

static void *is_cancelled(void *arg)
{
	(void)arg;
	if (kf_park(KF_FOREVER) != -ECANCELED || !kf_cancelled() || kf_sleep(MS) != -ECANCELED)
		return FAILED(__LINE__);
	if (kf_cancel_disable() || kf_cancelled() || kf_sleep(MS) || kf_cancel_enable())
		return FAILED(__LINE__);
	/* Somewhere else it can wait again. */
	if (kf_ctx_set_current(kf_ctx_background()) || kf_cancelled() || kf_sleep(MS))
		return FAILED(__LINE__);
	return NULL;
}

static void *is_cancelled_with_a_child(void *arg)
{
	kf_fiber_t child;
	void *value;

	if (kf_spawn(&child, NULL, is_cancelled, NULL))
		return FAILED(__LINE__);
	if (is_cancelled(arg) || kf_join(child, &value))
		return FAILED(__LINE__);
	return value;
}

static int reaches(void *arg)
{
	kf_ctx_t *ctx = kf_ctx_with_cancel(kf_ctx_background());
	kf_ctx_t *below = kf_ctx_with_value(ctx, ctx, ctx);
	kf_fiber_t one, two, other;
	void *a, *b;

	(void)arg;
	if (kf_ctx_set_current(ctx) || kf_ctx_current() != ctx ||
	    kf_spawn(&one, NULL, is_cancelled_with_a_child, NULL) || kf_ctx_set_current(below) ||
	    kf_spawn(&two, NULL, is_cancelled, NULL) ||
	    kf_ctx_set_current(kf_ctx_background()))
		return -1;
	kf_ctx_free(below);
	if (kf_spawn(&other, NULL, is_cancelled, NULL))
		return -2;
	kf_yield();
	if (kf_ctx_cancel(ctx))
		return -3;
	kf_ctx_free(ctx);
	if (kf_join(one, &a) || kf_join(two, &b) || a || b)
		return -4;
	/* Who is not under it waits on. */
	if (kf_ctx_current() != kf_ctx_background() || kf_sleep(MS) || kf_cancel(other))
		return -5;
	/* And one that was cancelled itself stays so wherever it goes. */
	return kf_join(other, &a) || !a ? -6 : 0;
}

TEST(all_fibers_under_it_are_cancelled)
{
	ASSERT_EQ(0, run(1, reaches, NULL));
}

static int deadlines(void *arg)
{
	uint64_t begin = kf_now();
	kf_ctx_t *ctx = kf_ctx_with_deadline(kf_ctx_background(), begin + 500 * MS);
	kf_mutex_t m = KF_MUTEX_INIT;

	(void)arg;
	if (kf_ctx_set_current(ctx) || kf_mutex_lock(&m))
		return -1;
	if (kf_mutex_lock_until(&m, begin + 5 * MS) != -ETIMEDOUT || kf_cancelled())
		return -2;
	if (kf_mutex_lock(&m) != -ECANCELED || kf_now() < begin + 500 * MS || !kf_cancelled())
		return -3;
	if (kf_ctx_err(ctx) != -ETIMEDOUT || kf_sleep(MS) != -ECANCELED)
		return -4;
	if (kf_mutex_unlock(&m) || m.word || !is_unused(&m.queue))
		return -5;
	if (kf_cancel_disable() || kf_sleep(MS) || kf_cancel_enable())
		return -6;
	kf_ctx_free(ctx);
	return 0;
}

TEST(a_deadline_ends_waits)
{
	ASSERT_EQ(0, run(1, deadlines, NULL));
}

static void *ends_the_context(void *arg)
{
	return FAILED(kf_ctx_cancel(arg));
}

static int waits_for_the_end(void *arg)
{
	kf_ctx_t *ctx = kf_ctx_with_cancel(kf_ctx_background());
	kf_fiber_t fiber;
	void *value;

	(void)arg;
	if (kf_spawn(&fiber, NULL, ends_the_context, ctx) || kf_ctx_wait(ctx) ||
	    kf_join(fiber, &value) || value)
		return -1;
	kf_ctx_free(ctx);
	if (kf_cancel(kf_self()))
		return -2;
	return kf_ctx_wait(kf_ctx_background()) == -ECANCELED ? 0 : -3;
}

TEST(the_end_can_be_waited_for)
{
	ASSERT_EQ(0, run(1, waits_for_the_end, NULL));
}

/* --- races ------------------------------------------------------------------------------ */

enum { ROUNDS = 400, FIBERS = 40 };

static void *lives_under_it(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg + (unsigned int)kf_self();
	kf_ctx_t *mine = NULL;
	kf_fiber_t child = 0;
	void *value = NULL;
	bool bad = false;

	if (!pick(&seed, 4)) {
		mine = kf_ctx_with_cancel(kf_ctx_current());
		bad = kf_ctx_set_current(mine);
		kf_ctx_free(mine);
	}
	if (arg && !pick(&seed, 4))
		bad |= kf_spawn(&child, NULL, lives_under_it, NULL);
	while (pick(&seed, 8))
		kf_yield();
	/* For what never comes. */
	bad |= kf_park(KF_FOREVER) != -ECANCELED;
	kf_cancel_disable();
	if (child)
		bad |= kf_join(child, &value) || value;
	if (!pick(&seed, 64))
		bad |= !sleeps_soundly();
	return FAILED(bad);
}

static void *cancels_it(void *arg)
{
	kf_ctx_cancel(arg);
	kf_ctx_free(arg);
	return NULL;
}

static int many_rounds(void *arg)
{
	kf_fiber_t fibers[FIBERS], canceller;
	unsigned int seed = 1;
	int i, round, bad = 0;
	void *value;

	(void)arg;
	for (round = 0; round < ROUNDS && !bad; round++) {
		kf_ctx_t *ctx = kf_ctx_with_cancel(kf_ctx_background());
		int when = (int)pick(&seed, FIBERS);

		for (i = 0; i < FIBERS; i++) {
			if (i == when && kf_spawn(&canceller, NULL, cancels_it, kf_ctx_get(ctx)))
				return -1;
			if (kf_ctx_set_current(ctx) ||
			    kf_spawn(&fibers[i], NULL, lives_under_it, ctx) ||
			    kf_ctx_set_current(kf_ctx_background()))
				return -2;
		}
		for (i = 0; i < FIBERS; i++)
			bad += kf_join(fibers[i], &value) || value;
		bad += !!kf_join(canceller, NULL);
		kf_ctx_free(ctx);
	}
	return bad;
}

TEST_F(processors, nobody_is_missed)
{
	ASSERT_EQ(0, run(variant->n, many_rounds, NULL));
}

TEST_HARNESS_MAIN
