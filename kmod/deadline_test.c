// SPDX-License-Identifier: GPL-2.0
/* KUnit: what a timer makes of a deadline, deadline.h. */
#include <kunit/test.h>

#include "deadline.h"

static const struct {
	const char *what;
	u64 deadline, now, state;
	enum kf_due due;
} deadline_looks[] = {
	{ "who parks waits", 1001, 1000, KFIBER_PARKING, KF_DUE_LATER },
	{ "who is parked waits", 1001, 1000, KFIBER_PARKED, KF_DUE_LATER },
	{ "who is active may wait again with the same timer",
	  1001, 1000, KFIBER_ACTIVE, KF_DUE_LATER },
	{ "on the stroke", 1000, 1000, KFIBER_PARKED, KF_DUE_NOW },
	{ "long ago", 0, 1000, KFIBER_PARKED, KF_DUE_NOW },
	{ "no deadline", KFIBER_NEVER, 1000, KFIBER_PARKED, KF_DUE_NEVER },
	{ "the first that cannot be counted", KTIME_MAX, 1000, KFIBER_PARKED, KF_DUE_NEVER },
	{ "the last that can", KTIME_MAX - 1, 1000, KFIBER_PARKED, KF_DUE_LATER },
	{ "whoever is free left it there", 1001, 1000, KFIBER_FREE, KF_DUE_NEVER },
};

static void deadline_is_judged(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(deadline_looks); i++) {
		u64 word = kf_name(3, 0) | KFIBER_PERMIT | deadline_looks[i].state;

		KUNIT_EXPECT_EQ_MSG(test, deadline_looks[i].due,
				    kf_deadline_due(deadline_looks[i].deadline,
						    deadline_looks[i].now, word),
				    "%s", deadline_looks[i].what);
	}
}

static void deadline_far_ahead_is_kept(struct kunit *test)
{
	u8 rearms = 3;

	KUNIT_EXPECT_EQ(test, kf_deadline_look_again(1000 * NSEC_PER_SEC, NSEC_PER_SEC, &rearms),
			1000 * NSEC_PER_SEC);
	KUNIT_EXPECT_EQ(test, rearms, 4);
}

/* A deadline that is always just ahead: fewer and fewer looks, but some. */
static void deadline_just_ahead_slows_down(struct kunit *test)
{
	u64 now = NSEC_PER_SEC, distance = 20000;
	u8 rearms = 0;
	int i;

	for (i = 0; i < 20; i++) {
		u64 when = kf_deadline_look_again(now + 1, now, &rearms);

		KUNIT_ASSERT_EQ(test, when - now, distance);
		if (i < 10)
			distance *= 2;
		now = when;
	}
	KUNIT_EXPECT_EQ(test, distance, 20480000);
	KUNIT_EXPECT_EQ(test, rearms, 10);
}

static void deadline_earliest_wins(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, kf_deadline_needs_set(1000, false, 0));
	KUNIT_EXPECT_TRUE(test, kf_deadline_needs_set(999, true, 1000));
	KUNIT_EXPECT_FALSE(test, kf_deadline_needs_set(1000, true, 1000));
	KUNIT_EXPECT_FALSE(test, kf_deadline_needs_set(1001, true, 1000));
}

static struct kunit_case deadline_cases[] = {
	KUNIT_CASE(deadline_is_judged),
	KUNIT_CASE(deadline_far_ahead_is_kept),
	KUNIT_CASE(deadline_just_ahead_slows_down),
	KUNIT_CASE(deadline_earliest_wins),
	{ }
};

static struct kunit_suite deadline_suite = {
	.name = "kfiber_deadline",
	.test_cases = deadline_cases,
};
kunit_test_suite(deadline_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's deadlines");
MODULE_LICENSE("GPL");
