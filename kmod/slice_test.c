// SPDX-License-Identifier: GPL-2.0
/* KUnit: who has had its slice, and who has waited for long, slice.h. */
#include <kunit/test.h>

#include "slice.h"

#define SLICE 8000ull

static int some_holder, another_holder;

static const struct {
	const char *what;
	const void *holder;
	u64 dispatches, now;
	bool waits;
	enum kf_look look;
} slice_looks[] = {
	{ "it has just begun", &some_holder, 5, 1000, true, KF_LOOK_BUSY },
	{ "it is within its slice", &some_holder, 5, 8999, true, KF_LOOK_BUSY },
	{ "nobody waits any more", &some_holder, 5, 8999, false, KF_LOOK_QUIET },
	{ "the slice is over, but for whom?", &some_holder, 5, 9500, false, KF_LOOK_QUIET },
	{ "now there is somebody", &some_holder, 5, 9600, true, KF_LOOK_OVER },
	{ "it was told, and gets time to obey", &some_holder, 5, 9700, true, KF_LOOK_BUSY },
	{ "it did not hear", &some_holder, 5, 17600, true, KF_LOOK_OVER },
	{ "another fiber", &some_holder, 6, 17700, true, KF_LOOK_BUSY },
	{ "a new slice", &some_holder, 6, 25699, true, KF_LOOK_BUSY },
	{ "another thread", &another_holder, 6, 25700, true, KF_LOOK_BUSY },
	{ "that has its own", &another_holder, 6, 33699, true, KF_LOOK_BUSY },
	{ "and no more", &another_holder, 6, 33700, true, KF_LOOK_OVER },
	{ "a few come and go", &another_holder, 6 + KF_DISPATCHES_BUSY - 1, 33800, false,
	  KF_LOOK_QUIET },
	{ "many do: one may be waiting", &another_holder, 6 + 2 * KF_DISPATCHES_BUSY, 33900, false,
	  KF_LOOK_BUSY },
	{ "the count goes back, whoever did that", &another_holder, 0, 50000, true, KF_LOOK_BUSY },
};

static void slice_ends_when_somebody_waits(struct kunit *test)
{
	struct kf_slice s = { };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(slice_looks); i++)
		KUNIT_EXPECT_EQ_MSG(test, slice_looks[i].look,
				    kf_slice_look(&s, slice_looks[i].holder,
						  slice_looks[i].dispatches, slice_looks[i].waits,
						  slice_looks[i].now, SLICE),
				    "%s", slice_looks[i].what);
}

static const struct {
	const char *what;
	bool empty, dispatched, waits_long;
	u64 taken, now;
} slice_ages[] = {
	{ "it has just come", false, true, false, 1, 1000 },
	{ "it waits", false, true, false, 1, 8999 },
	{ "for a slice", false, true, true, 1, 9000 },
	{ "said once", false, true, false, 1, 9001 },
	{ "and again after another", false, true, true, 1, 17000 },
	{ "the first has been taken", false, true, false, 2, 30000 },
	{ "the next waits", false, true, false, 2, 37999 },
	{ "behind one that computes", false, false, false, 2, 45998 },
	{ "which does not count", false, false, false, 2, 59999 },
	{ "but what was before it and comes after does", false, true, true, 2, 60000 },
	{ "nobody is there", true, true, false, 2, 90000 },
	{ "one came since", false, true, false, 2, 97999 },
	{ "and has waited", false, true, true, 2, 98000 },
};

static void slice_of_others_is_waited_for(struct kunit *test)
{
	struct kf_queue_age q = { };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(slice_ages); i++)
		KUNIT_EXPECT_EQ_MSG(test, slice_ages[i].waits_long,
				    kf_queue_waits_long(&q, slice_ages[i].empty,
							slice_ages[i].taken,
							slice_ages[i].dispatched,
							slice_ages[i].now, SLICE),
				    "%s", slice_ages[i].what);
}

static void slice_lengths(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, kf_slice_valid(0));
	KUNIT_EXPECT_FALSE(test, kf_slice_valid(1));
	KUNIT_EXPECT_FALSE(test, kf_slice_valid(KFIBER_SLICE_MIN - 1));
	KUNIT_EXPECT_TRUE(test, kf_slice_valid(KFIBER_SLICE_MIN));
	KUNIT_EXPECT_TRUE(test, kf_slice_valid(KFIBER_SLICE_NEVER));
	KUNIT_EXPECT_EQ(test, kf_slice_ns(0), KFIBER_SLICE_DEFAULT);
	KUNIT_EXPECT_EQ(test, kf_slice_ns(KFIBER_SLICE_MIN), KFIBER_SLICE_MIN);
	KUNIT_EXPECT_EQ(test, kf_slice_ns(KFIBER_SLICE_NEVER), 0);
	/* What can be asked for as a time can be: a look is never at once. */
	KUNIT_EXPECT_EQ(test, kf_look_ns(KFIBER_SLICE_MIN), KFIBER_SLICE_MIN / KF_LOOKS_PER_SLICE);
}

static struct kunit_case slice_cases[] = {
	KUNIT_CASE(slice_ends_when_somebody_waits),
	KUNIT_CASE(slice_of_others_is_waited_for),
	KUNIT_CASE(slice_lengths),
	{ }
};

static struct kunit_suite slice_suite = {
	.name = "kfiber_slice",
	.test_cases = slice_cases,
};
kunit_test_suite(slice_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of kfiber's slices");
