// SPDX-License-Identifier: GPL-2.0
/* KUnit: offsets of mappings, map.h. */
#include <kunit/test.h>

#include "map.h"

#define MAX_BYTES (1ull << KFIBER_ARENA_SHIFT_MAX)
#define ARENA(shift) (KFIBER_MAP_STACKS | (u64)(shift) << KFIBER_MAP_STACKS_SHIFT)

static void map_regions(struct kunit *test)
{
	struct kf_region r = kf_map_region(KFIBER_MAP_DOMAIN);

	KUNIT_EXPECT_EQ(test, r.base, KFIBER_MAP_DOMAIN);
	KUNIT_EXPECT_EQ(test, r.page, 0);
	r = kf_map_region(KFIBER_MAP_WORKERS + 5 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, r.base, KFIBER_MAP_WORKERS);
	KUNIT_EXPECT_EQ(test, r.page, 5);
	r = kf_map_region(KFIBER_MAP_FIBERS - 1);
	KUNIT_EXPECT_EQ(test, r.base, KFIBER_MAP_WORKERS);
	KUNIT_EXPECT_EQ(test, r.page, (1ull << (48 - PAGE_SHIFT)) - 1);
	/* In an arena the page counts from the arena's begin. */
	r = kf_map_region(ARENA(18) + (7ull << 18) + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, r.base, ARENA(18));
	KUNIT_EXPECT_EQ(test, r.page, (7ull << (18 - PAGE_SHIFT)) + 1);
}

static void map_classes(struct kunit *test)
{
	u32 shift;

	for (shift = KFIBER_STACK_SHIFT_MIN; shift <= KFIBER_STACK_SHIFT_MAX; shift++) {
		KUNIT_EXPECT_EQ(test, kf_map_stack_shift(ARENA(shift)), shift);
		KUNIT_EXPECT_EQ(test, kf_map_stack_shift(ARENA(shift) + MAX_BYTES - 1), shift);
	}
}

static const struct {
	const char *what;
	u64 offset, length;
	bool shared, arena;
} map_ranges[] = {
	{ "the header", KFIBER_MAP_DOMAIN, PAGE_SIZE, true, false },
	{ "more than the header: its pages do not exist",
	  KFIBER_MAP_DOMAIN, 2 * PAGE_SIZE, true, false },
	{ "all processors", KFIBER_MAP_PROCESSORS, PAGE_SIZE << 10, true, false },
	{ "one of the workers' pages", KFIBER_MAP_WORKERS + PAGE_SIZE, PAGE_SIZE, true, false },
	{ "fibers", KFIBER_MAP_FIBERS, 1ull << 31, true, false },
	{ "the last page of a table", KFIBER_MAP_FIBERS - PAGE_SIZE, PAGE_SIZE, true, false },
	{ "the end of one table and the begin of the next",
	  KFIBER_MAP_FIBERS - PAGE_SIZE, 2 * PAGE_SIZE, false, false },
	{ "a table and all of the next",
	  KFIBER_MAP_WORKERS, 2ull << KFIBER_MAP_STACKS_SHIFT, false, false },
	{ "what comes behind the tables", 4ull << KFIBER_MAP_STACKS_SHIFT, PAGE_SIZE, false, false },
	{ "just before the arenas", KFIBER_MAP_STACKS - PAGE_SIZE, PAGE_SIZE, false, false },
	{ "no class", KFIBER_MAP_STACKS, PAGE_SIZE, false, false },
	{ "a class too small", ARENA(KFIBER_STACK_SHIFT_MIN - 1), PAGE_SIZE, false, false },
	{ "the smallest class", ARENA(KFIBER_STACK_SHIFT_MIN), PAGE_SIZE, false, true },
	{ "the largest class", ARENA(KFIBER_STACK_SHIFT_MAX), PAGE_SIZE, false, true },
	{ "a class too large", ARENA(KFIBER_STACK_SHIFT_MAX + 1), PAGE_SIZE, false, false },
	{ "a class and 256", ARENA(18) + (256ull << 48), PAGE_SIZE, false, false },
	{ "the last offset there is", -PAGE_SIZE, PAGE_SIZE, false, false },
	{ "a whole arena", ARENA(18), MAX_BYTES, false, true },
	{ "more than an arena", ARENA(18), MAX_BYTES + PAGE_SIZE, false, false },
	{ "the end of an arena", ARENA(18) + MAX_BYTES - PAGE_SIZE, PAGE_SIZE, false, true },
	{ "over the end", ARENA(18) + MAX_BYTES - PAGE_SIZE, 2 * PAGE_SIZE, false, false },
	{ "beyond it", ARENA(18) + MAX_BYTES, PAGE_SIZE, false, false },
};

static void map_ranges_are_checked(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(map_ranges); i++) {
		u64 offset = map_ranges[i].offset, length = map_ranges[i].length;

		KUNIT_EXPECT_EQ_MSG(test, kf_map_is_shared(offset, length), map_ranges[i].shared,
				    "%s", map_ranges[i].what);
		KUNIT_EXPECT_EQ_MSG(test, kf_map_is_arena(offset, length), map_ranges[i].arena,
				    "%s", map_ranges[i].what);
	}
}

static struct kunit_case map_cases[] = {
	KUNIT_CASE(map_regions),
	KUNIT_CASE(map_classes),
	KUNIT_CASE(map_ranges_are_checked),
	{ }
};

static struct kunit_suite map_suite = {
	.name = "kfiber_map",
	.test_cases = map_cases,
};
kunit_test_suite(map_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's mapping offsets");
MODULE_LICENSE("GPL");
