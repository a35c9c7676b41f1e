// SPDX-License-Identifier: GPL-2.0
/* kf_once: the function is called once, and all come after it. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <unistd.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"

static kf_once_t recursive = KF_ONCE_INIT;
static int recursed;

static void call_itself(void)
{
	recursed = kf_once(&recursive, call_itself);
}

static int misuse(void *arg)
{
	kf_once_t o = KF_ONCE_INIT;

	recursive = o;
	recursed = 0;
	if (kf_once(&o, NULL) != -EINVAL || o.word)
		return 1;
	if (kf_once(&recursive, call_itself) || recursed != -EDEADLK)
		return 2;
	return kf_once(&recursive, call_itself) ? 3 : 0;
}

TEST(misuse_is_refused)
{
	ASSERT_EQ(0, misuse(NULL));
	ASSERT_EQ(0, run(1, misuse, NULL));
}

enum { TIMES = 100 };

static kf_once_t times[TIMES];
static atomic_int calls;
static atomic_int made;

/* Parks, blocks, or is quick. */
static void make(void)
{
	int n = atomic_fetch_add(&calls, 1);

	if (n % 3 == 0)
		kf_self() ? kf_sleep(MS / 4) : usleep(250);
	else if (n % 3 == 1)
		usleep(100);
	atomic_fetch_add(&made, 1);
}

static void *come(void *arg)
{
	int i;

	for (i = 0; i < TIMES; i++)
		if (kf_once(&times[i], make) || atomic_load(&made) <= i)
			return (void *)1;
	return sleeps_soundly() ? NULL : (void *)2;
}

TEST_F(processors, all_come_after_it)
{
	struct mixed m = { variant->n, 6, 3, come, NULL };
	int i;

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_EQ(TIMES, atomic_load(&calls));
	for (i = 0; i < TIMES; i++)
		ASSERT_TRUE(is_unused(&times[i].queue));
}

TEST_HARNESS_MAIN
