// SPDX-License-Identifier: GPL-2.0
/* KUnit: what a domain may have, limits.h. */
#include <kunit/test.h>

#include "limits.h"

static const struct {
	const char *what;
	struct kfiber_setup args;
	bool valid;
} limits_setups[] = {
	{ "the least", { .processors = 1, .max_workers = 1, .max_fibers = 1 }, true },
	{ "the most", { .processors = KFIBER_PROCESSORS_MAX, .max_workers = KFIBER_WORKERS_MAX,
			.max_fibers = KFIBER_FIBERS_MAX, .stack_bytes_max = U64_MAX }, true },
	{ "no processors", { .max_workers = 1, .max_fibers = 1 }, false },
	{ "no workers", { .processors = 1, .max_fibers = 1 }, false },
	{ "no fibers", { .processors = 1, .max_workers = 1 }, false },
	{ "too many processors", { .processors = KFIBER_PROCESSORS_MAX + 1, .max_workers = 1,
				   .max_fibers = 1 }, false },
	{ "the most processors", { .processors = 1, .processors_max = KFIBER_PROCESSORS_MAX,
				   .max_workers = 1, .max_fibers = 1 }, true },
	{ "too many at most", { .processors = 1, .processors_max = KFIBER_PROCESSORS_MAX + 1,
				.max_workers = 1, .max_fibers = 1 }, false },
	{ "fewer at most", { .processors = 2, .processors_max = 1, .max_workers = 1,
			     .max_fibers = 1 }, false },
	{ "too many workers", { .processors = 1, .max_workers = KFIBER_WORKERS_MAX + 1,
				.max_fibers = 1 }, false },
	{ "too many fibers", { .processors = 1, .max_workers = 1,
			       .max_fibers = KFIBER_FIBERS_MAX + 1 }, false },
	{ "one page of stack", { .processors = 1, .max_workers = 1, .max_fibers = 1,
				 .stack_bytes_max = PAGE_SIZE }, true },
	{ "less than a page", { .processors = 1, .max_workers = 1, .max_fibers = 1,
				.stack_bytes_max = PAGE_SIZE - 1 }, false },
	{ "the most slack", { .processors = 1, .max_workers = 1, .max_fibers = 1,
			      .slack_ns = KFIBER_SLACK_MAX }, true },
	{ "no slack", { .processors = 1, .max_workers = 1, .max_fibers = 1,
			.slack_ns = KFIBER_SLACK_NONE }, true },
	{ "too much slack", { .processors = 1, .max_workers = 1, .max_fibers = 1,
			      .slack_ns = KFIBER_SLACK_MAX + 1 }, false },
};

static void limits_idle(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, kf_idle_valid(0));
	KUNIT_EXPECT_TRUE(test, kf_idle_valid(KFIBER_IDLE_MIN));
	KUNIT_EXPECT_TRUE(test, kf_idle_valid(KFIBER_IDLE_MAX));
	KUNIT_EXPECT_TRUE(test, kf_idle_valid(KFIBER_IDLE_NEVER));
	KUNIT_EXPECT_FALSE(test, kf_idle_valid(KFIBER_IDLE_MIN - 1));
	KUNIT_EXPECT_FALSE(test, kf_idle_valid(KFIBER_IDLE_MAX + 1));
	KUNIT_EXPECT_EQ(test, kf_idle_ns(0), KFIBER_IDLE_DEFAULT);
	KUNIT_EXPECT_EQ(test, kf_idle_ns(KFIBER_IDLE_NEVER), 0);
	KUNIT_EXPECT_EQ(test, kf_idle_ns(KFIBER_IDLE_MIN), KFIBER_IDLE_MIN);
}

static void limits_of_setup(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(limits_setups); i++)
		KUNIT_EXPECT_EQ_MSG(test, kf_limits_valid(&limits_setups[i].args),
				    limits_setups[i].valid, "%s", limits_setups[i].what);
}

static void limits_stack_pages(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_limit_stack_pages(0), LONG_MAX);
	KUNIT_EXPECT_EQ(test, kf_limit_stack_pages(PAGE_SIZE), 1);
	KUNIT_EXPECT_EQ(test, kf_limit_stack_pages(3 * PAGE_SIZE - 1), 2);
	KUNIT_EXPECT_EQ(test, kf_limit_stack_pages(U64_MAX), (long)(U64_MAX >> PAGE_SHIFT));
}

static void limits_slack(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_slack_ns(0, 50000), 50000);
	KUNIT_EXPECT_EQ(test, kf_slack_ns(0, U64_MAX), KFIBER_SLACK_MAX);
	KUNIT_EXPECT_EQ(test, kf_slack_ns(1, 50000), 1);
	KUNIT_EXPECT_EQ(test, kf_slack_ns(KFIBER_SLACK_NONE, 50000), 0);
}

static void limits_fibers(struct kunit *test)
{
	u32 slots = 1u << (KFIBER_ARENA_SHIFT_MAX - 30);

	KUNIT_EXPECT_TRUE(test, kf_limit_allows_fiber(0, 1, 0, 18));
	KUNIT_EXPECT_FALSE(test, kf_limit_allows_fiber(1, 1, 0, 18));
	KUNIT_EXPECT_TRUE(test, kf_limit_allows_fiber(9, 10, 9, 18));
	KUNIT_EXPECT_FALSE(test, kf_limit_allows_fiber(10, 10, 9, 18));
	/* The arena of a large class is full before there are too many fibers. */
	KUNIT_EXPECT_TRUE(test, kf_limit_allows_fiber(slots - 1, KFIBER_FIBERS_MAX, slots - 1, 30));
	KUNIT_EXPECT_FALSE(test, kf_limit_allows_fiber(slots, KFIBER_FIBERS_MAX, slots, 30));
	KUNIT_EXPECT_TRUE(test, kf_limit_allows_fiber(slots, KFIBER_FIBERS_MAX, slots, 29));
}

static void limits_spares(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, kf_limit_wants_spare(0, 0, 3, 4));
	KUNIT_EXPECT_FALSE(test, kf_limit_wants_spare(0, 0, 4, 4));
	KUNIT_EXPECT_FALSE(test, kf_limit_wants_spare(1, 0, 3, 4));
	KUNIT_EXPECT_FALSE(test, kf_limit_wants_spare(0, 1, 3, 4));
	KUNIT_EXPECT_EQ(test, kf_limit_spare_answered(2), 1);
	KUNIT_EXPECT_EQ(test, kf_limit_spare_answered(1), 0);
	KUNIT_EXPECT_EQ(test, kf_limit_spare_answered(0), 0);
}

static void limits_charge(struct kunit *test)
{
	atomic_long_t count = ATOMIC_LONG_INIT(0);

	KUNIT_EXPECT_TRUE(test, kf_charge(&count, 10, 4));
	KUNIT_EXPECT_TRUE(test, kf_charge(&count, 10, 6));
	KUNIT_EXPECT_FALSE(test, kf_charge(&count, 10, 1));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&count), 10);
	/* What does not fit as a whole leaves room for less. */
	atomic_long_set(&count, 9);
	KUNIT_EXPECT_FALSE(test, kf_charge(&count, 10, 16));
	KUNIT_EXPECT_TRUE(test, kf_charge(&count, 10, 1));
	KUNIT_EXPECT_TRUE(test, kf_charge(&count, LONG_MAX, 16));
	KUNIT_EXPECT_EQ(test, atomic_long_read(&count), 26);
}

static struct kunit_case limits_cases[] = {
	KUNIT_CASE(limits_of_setup),
	KUNIT_CASE(limits_idle),
	KUNIT_CASE(limits_stack_pages),
	KUNIT_CASE(limits_slack),
	KUNIT_CASE(limits_fibers),
	KUNIT_CASE(limits_spares),
	KUNIT_CASE(limits_charge),
	{ }
};

static struct kunit_suite limits_suite = {
	.name = "kfiber_limits",
	.test_cases = limits_cases,
};
kunit_test_suite(limits_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's limits");
MODULE_LICENSE("GPL");
