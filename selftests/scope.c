// SPDX-License-Identifier: GPL-2.0
/* Scopes: all end before it does, and the first failure ends the rest. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <string.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"

static atomic_int live, cancelled;

static int returns(void *arg)
{
	return (int)(long)arg;
}

static int takes_its_time(void *arg)
{
	int err;

	atomic_fetch_add(&live, 1);
	err = kf_sleep((uint64_t)(uintptr_t)arg);
	if (err == -ECANCELED)
		atomic_fetch_add(&cancelled, 1);
	/* Cleaning up takes time, too. */
	kf_cancel_disable();
	kf_sleep(MS);
	kf_cancel_enable();
	atomic_fetch_sub(&live, 1);
	return err;
}

#define LONG ((void *)(uintptr_t)(3600000 * MS))

TEST(a_plain_thread_has_none)
{
	kf_scope_t s;

	ASSERT_EQ(-EPERM, kf_scope_init(&s));
}

static int waits_for_all(void *arg)
{
	kf_scope_t s;
	int i;

	(void)arg;
	if (kf_scope_init(&s) || kf_scope_spawn(&s, NULL, NULL, NULL) != -EINVAL)
		return -1;
	if (kf_scope_wait(&s) || kf_scope_init(&s))
		return -2;
	for (i = 0; i < 50; i++)
		if (kf_scope_spawn(&s, NULL, takes_its_time, (void *)(uintptr_t)(i * 100000)))
			return -3;
	if (kf_scope_spawn(&s, NULL, returns, (void *)5) || kf_scope_wait(&s))
		return -4;
	return atomic_load(&live) || atomic_load(&cancelled) ? -5 : 0;
}

TEST_F(processors, waits_for_all_of_them)
{
	atomic_store(&cancelled, 0);
	ASSERT_EQ(0, run(variant->n, waits_for_all, NULL));
}

static int fails(void *arg)
{
	kf_scope_t s;
	int i;

	(void)arg;
	if (kf_scope_init(&s))
		return -1;
	for (i = 0; i < 50; i++)
		if (kf_scope_spawn(&s, NULL, i == 20 ? returns : takes_its_time,
				   i == 20 ? (void *)-EPROTO : LONG))
			return -2;
	if (kf_scope_wait(&s) != -EPROTO)
		return -3;
	if (atomic_load(&live) || kf_cancelled())
		return -4;
	/* Those that began later did not even sleep. */
	return atomic_load(&cancelled) == 49 ? 0 : -5;
}

TEST_F(processors, the_first_failure_ends_the_rest)
{
	atomic_store(&cancelled, 0);
	ASSERT_EQ(0, run(variant->n, fails, NULL));
}

static int cancels_early(void *arg)
{
	kf_scope_t s;

	(void)arg;
	if (kf_scope_init(&s) || kf_scope_spawn(&s, NULL, takes_its_time, LONG) ||
	    kf_scope_cancel(&s) || kf_scope_spawn(&s, NULL, takes_its_time, LONG))
		return -1;
	return kf_scope_wait(&s) == -ECANCELED && !atomic_load(&live) ? 0 : -2;
}

TEST(it_can_be_cancelled)
{
	ASSERT_EQ(0, run(1, cancels_early, NULL));
}

/* A scope in a scope, of one that is cancelled. */
static int nests(void *arg)
{
	kf_scope_t s;
	int err, depth = (int)(long)arg;

	if (kf_scope_init(&s))
		return -1;
	err = kf_scope_spawn(&s, NULL, takes_its_time, LONG);
	if (!err)
		err = depth ? kf_scope_spawn(&s, NULL, nests, (void *)(long)(depth - 1)) :
			      kf_scope_spawn(&s, NULL, takes_its_time, LONG);
	if (err)
		kf_scope_cancel(&s);
	return kf_scope_wait(&s) ?: err;
}

static void *nests_in_a_fiber(void *arg)
{
	return (void *)(long)nests(arg);
}

static int cancels_the_owner(void *arg)
{
	kf_fiber_t fiber;
	void *value;

	(void)arg;
	if (kf_spawn(&fiber, NULL, nests_in_a_fiber, (void *)3))
		return -1;
	while (atomic_load(&live) < 5)
		kf_yield();
	if (kf_cancel(fiber) || kf_join(fiber, &value))
		return -2;
	if (atomic_load(&live) || atomic_load(&cancelled) != 5)
		return -3;
	return (long)value == -ECANCELED ? 0 : -4;
}

TEST_F(processors, an_owner_that_is_cancelled_waits_all_the_same)
{
	atomic_store(&cancelled, 0);
	ASSERT_EQ(0, run(variant->n, cancels_the_owner, NULL));
}

/* It may put itself under another context: it belongs to its scope as before. */
static int goes_elsewhere(void *arg)
{
	if (kf_ctx_set_current(kf_ctx_background()))
		return -1;
	atomic_fetch_add(&live, 1);
	kf_sleep(20 * MS);
	atomic_fetch_sub(&live, 1);
	return arg ? -EPROTO : 0;
}

static int exits(void *arg)
{
	kf_exit(arg);
}

static int faults(void *arg)
{
	volatile char *nowhere = arg;

	goes_elsewhere(NULL);
	return *nowhere;
}

static int odd_ends(void *arg)
{
	struct kf_attr contained = { .size = sizeof(contained), .flags = KF_CONTAIN_FAULTS };
	kf_scope_t s;

	(void)arg;
	if (kf_scope_init(&s) || kf_scope_spawn(&s, NULL, goes_elsewhere, &s) ||
	    kf_scope_cancel(&s) || kf_scope_wait(&s) != -EPROTO || atomic_load(&live))
		return -1;
	if (kf_scope_init(&s) || kf_scope_spawn(&s, NULL, takes_its_time, LONG) ||
	    kf_scope_spawn(&s, NULL, exits, (void *)-ENOTTY) || kf_scope_wait(&s) != -ENOTTY)
		return -2;
	if (kf_scope_init(&s) || kf_scope_spawn(&s, NULL, takes_its_time, LONG) ||
	    kf_scope_spawn(&s, &contained, faults, NULL) || kf_scope_wait(&s) != -EFAULT)
		return -3;
	return atomic_load(&live) ? -4 : 0;
}

TEST(however_a_fiber_ends)
{
	ASSERT_EQ(0, run(1, odd_ends, NULL));
}

/* Fibers of a scope spawn others in it, until there is a failure somewhere. */
struct tree {
	kf_scope_t s;
	atomic_int budget;
};

static int grows(void *arg)
{
	struct tree *t = arg;
	int left = atomic_fetch_sub(&t->budget, 1), i, err = 0;

	if (!left)
		return -EPROTO;
	atomic_fetch_add(&live, 1);
	for (i = 0; i < 3 && !err && left > 0; i++) {
		err = kf_scope_spawn(&t->s, NULL, grows, t);
		if (kf_cancelled())
			err = -ECANCELED;
	}
	if (!err)
		err = kf_sleep((uint64_t)(left < 0 ? 1000 : left) * 1000);
	atomic_fetch_sub(&live, 1);
	return err;
}

static int tree(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 20; i++) {
		struct tree t = { .budget = 300 };

		if (kf_scope_init(&t.s) || kf_scope_spawn(&t.s, NULL, grows, &t))
			return -1;
		if (kf_scope_wait(&t.s) != -EPROTO || atomic_load(&live))
			return -2;
		memset(&t, 0x55, sizeof(t));
	}
	return 0;
}

TEST_F(processors, fibers_of_it_spawn_more)
{
	ASSERT_EQ(0, run(variant->n, tree, NULL));
}

TEST_HARNESS_MAIN
