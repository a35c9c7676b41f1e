// SPDX-License-Identifier: GPL-2.0
/* Fiber-local values: each fiber has its own, and they are destroyed at its end. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"

static atomic_int destroyed;

static void count_and_free(void *value)
{
	atomic_fetch_add(&destroyed, 1);
	kf_yield();
	free(value);
}

static int misuse(void *arg)
{
	kf_key_t key;

	if (kf_getspecific(12345) || kf_setspecific(12345, NULL) != -EINVAL)
		return 1;
	if (kf_key_create(&key, NULL) || kf_setspecific(key + 1, &key) != -EINVAL)
		return 2;
	/* Nothing is there, and nothing is set. */
	if (kf_getspecific(key) || kf_setspecific(key, NULL) || kf_getspecific(key))
		return 3;
	return 0;
}

TEST(misuse_is_refused)
{
	kf_key_t key;

	ASSERT_EQ(0, run(1, misuse, NULL));
	ASSERT_EQ(0, kf_key_create(&key, NULL));
	ASSERT_EQ(-EPERM, kf_setspecific(key, &key));
	ASSERT_EQ(NULL, kf_getspecific(key));
}

/* More keys than a first table has, made while others use theirs. */
enum { KEYS = 100, FIBERS = 20 };

struct keys {
	kf_key_t key[KEYS];
	atomic_int failed;
};

static void *use_values(void *arg)
{
	struct keys *k = arg;
	uintptr_t base = (uintptr_t)kf_self();
	kf_key_t own;
	int i, round;

	for (i = 0; i < KEYS; i++) {
		if (kf_getspecific(k->key[i]))
			return (void *)1;
		if (kf_setspecific(k->key[i], (void *)(base + (uintptr_t)i)))
			return (void *)2;
		if (i % 10 == 0)
			kf_yield();
	}
	if (kf_key_create(&own, NULL) || kf_getspecific(own) || kf_setspecific(own, k))
		return (void *)3;
	for (round = 0; round < 3; round++, kf_sleep(MS / 10))
		for (i = 0; i < KEYS; i++)
			if (kf_getspecific(k->key[i]) != (void *)(base + (uintptr_t)i))
				return (void *)4;
	return kf_getspecific(own) == k ? NULL : (void *)5;
}

/* Twice: the second ones have the control blocks of the first. */
TEST_F(processors, each_has_its_own)
{
	struct keys k = { 0 };
	struct mixed m = { variant->n, FIBERS, 0, use_values, &k };
	int i;

	for (i = 0; i < KEYS; i++)
		ASSERT_EQ(0, kf_key_create(&k.key[i], NULL));
	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_EQ(0, run_mixed(&m));
}

static kf_key_t freed, chained, endless;

/* Sets what has been looked at already. */
static void set_another(void *value)
{
	atomic_fetch_add(&destroyed, 1);
	kf_setspecific(freed, malloc(10));
}

static void set_again(void *value)
{
	atomic_fetch_add(&destroyed, 1);
	kf_setspecific(endless, value);
}

static void *end_with_value(void *arg)
{
	kf_setspecific(freed, malloc(10));
	if (arg)
		kf_exit(NULL);
	return NULL;
}

static void *end_with_chain(void *arg)
{
	kf_setspecific(chained, arg);
	return NULL;
}

static void *end_endlessly(void *arg)
{
	kf_setspecific(endless, arg);
	return NULL;
}

static int count_destroyed(void *(*fn)(void *), void *arg)
{
	kf_fiber_t fiber;

	atomic_store(&destroyed, 0);
	if (kf_spawn(&fiber, NULL, fn, arg) || kf_join(fiber, NULL))
		return -1;
	return atomic_load(&destroyed);
}

static int end_with_values(void *arg)
{
	if (kf_key_create(&freed, count_and_free) || kf_key_create(&chained, set_another) ||
	    kf_key_create(&endless, set_again))
		return 1;
	if (count_destroyed(end_with_value, NULL) != 1)
		return 2;
	if (count_destroyed(end_with_value, arg) != 1)
		return 3;
	if (count_destroyed(end_with_chain, arg) != 2)
		return 4;
	if (count_destroyed(end_endlessly, arg) != KF_DESTROY_ROUNDS)
		return 5;
	/* What is replaced is not destroyed, nor what is NULL. */
	kf_setspecific(chained, arg);
	kf_setspecific(chained, NULL);
	atomic_store(&destroyed, 0);
	return 0;
}

TEST_F(processors, values_are_destroyed_at_the_end)
{
	ASSERT_EQ(0, run(variant->n, end_with_values, &variant));
	ASSERT_EQ(0, atomic_load(&destroyed));
}

static int first_has_value(void *arg)
{
	return kf_setspecific(freed, malloc(10));
}

TEST(the_first_fiber_too)
{
	ASSERT_EQ(0, kf_key_create(&freed, count_and_free));
	ASSERT_EQ(0, run(1, first_has_value, NULL));
	ASSERT_EQ(1, atomic_load(&destroyed));
}

TEST_HARNESS_MAIN
