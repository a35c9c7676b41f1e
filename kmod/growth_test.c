// SPDX-License-Identifier: GPL-2.0
/* KUnit: slots, guards and growth, growth.h. */
#include <kunit/test.h>

#include "growth.h"

static void growth_classes(struct kunit *test)
{
	u32 shift;

	for (shift = KFIBER_STACK_SHIFT_MIN; shift <= KFIBER_STACK_SHIFT_MAX; shift++) {
		u32 pages = kf_stack_pages(shift), guard = kf_guard_pages(shift);

		KUNIT_EXPECT_EQ(test, (u64)pages << PAGE_SHIFT, 1ull << shift);
		KUNIT_EXPECT_GE(test, guard, 1);
		KUNIT_EXPECT_LE(test, guard, 16);
		KUNIT_EXPECT_LE(test, guard * 4, pages);
		KUNIT_EXPECT_LE(test, (u64)kfiber_arena_slots(shift, KFIBER_FIBERS_MAX) << shift,
				1ull << KFIBER_ARENA_SHIFT_MAX);
		KUNIT_EXPECT_EQ(test, kfiber_arena_slots(shift, 1), 1);
	}
	KUNIT_EXPECT_EQ(test, kf_guard_pages(18), 16);
	KUNIT_EXPECT_EQ(test, kf_guard_pages(14), 1);
}

static void growth_places(struct kunit *test)
{
	struct kf_place place = kf_place(0, 18);

	KUNIT_EXPECT_EQ(test, place.slot, 0);
	KUNIT_EXPECT_EQ(test, place.page, 0);
	place = kf_place(64 * 5 + 63, 18);
	KUNIT_EXPECT_EQ(test, place.slot, 5);
	KUNIT_EXPECT_EQ(test, place.page, 63);
	place = kf_place((1ull << (42 - PAGE_SHIFT)) - 1, 30);
	KUNIT_EXPECT_EQ(test, place.slot, 4095);
	KUNIT_EXPECT_EQ(test, place.page, (1 << 18) - 1);
}

/* A stack that grows page by page, as recursion does; returns the faults. */
static u32 grow_to(struct kunit *test, u32 shift, u32 pages)
{
	u32 total = kf_stack_pages(shift), guard = kf_guard_pages(shift);
	u32 low = total, have = 0, faults = 0;

	while (total - low < pages) {
		struct kf_growth g = kf_growth(low - 1, low, kf_growth_want(have, 0, 0), guard);

		KUNIT_ASSERT_EQ(test, g.first + g.count, low);
		KUNIT_ASSERT_GE(test, g.first, guard);
		KUNIT_ASSERT_GE(test, g.count, 1);
		KUNIT_ASSERT_LE(test, g.count, KF_GROW_PAGES_MAX);
		low = g.first;
		have += g.count;
		faults++;
	}
	return faults;
}

static void growth_doubles(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, grow_to(test, 18, 1), 1);
	KUNIT_EXPECT_EQ(test, grow_to(test, 18, 2), 2);
	KUNIT_EXPECT_EQ(test, grow_to(test, 18, 16), 5);	/* 64 KiB */
	KUNIT_EXPECT_EQ(test, grow_to(test, 21, 256), 9);	/* 1 MiB */
	/* All of it: down to the guard and not into it. */
	KUNIT_EXPECT_EQ(test, grow_to(test, 18, 48), 7);
	KUNIT_EXPECT_EQ(test, grow_to(test, 14, 3), 3);
	/* Not beyond 512 KiB in one fault. */
	KUNIT_EXPECT_EQ(test, grow_to(test, 22, 257), 10);
	KUNIT_EXPECT_EQ(test, grow_to(test, 22, 640), 12);
}

static void growth_after_a_jump(struct kunit *test)
{
	/* Pages 60 to 63 are there; 20 is touched: as much again, from there. */
	struct kf_growth g = kf_growth(20, 60, 4, 16);

	KUNIT_EXPECT_EQ(test, g.first, 17);
	KUNIT_EXPECT_EQ(test, g.count, 4);
	/* Just above the guard there is room for one. */
	g = kf_growth(16, 60, 4, 16);
	KUNIT_EXPECT_EQ(test, g.first, 16);
	KUNIT_EXPECT_EQ(test, g.count, 1);
	/* The lowest page, given back by its owner, is put in alone. */
	g = kf_growth(17, 17, 8, 16);
	KUNIT_EXPECT_EQ(test, g.first, 17);
	KUNIT_EXPECT_EQ(test, g.count, 1);
	/* A hole between is filled page by page. */
	g = kf_growth(40, 17, 8, 16);
	KUNIT_EXPECT_EQ(test, g.first, 40);
	KUNIT_EXPECT_EQ(test, g.count, 1);
}

/* A mapping that begins within a slot is given nothing below its begin. */
static void growth_clips(struct kunit *test)
{
	const struct kf_growth whole = { .first = 20, .count = 8 };
	struct kf_growth g = kf_growth_clip(whole, 0);

	KUNIT_EXPECT_EQ(test, g.first, 20);
	KUNIT_EXPECT_EQ(test, g.count, 8);
	g = kf_growth_clip(whole, 20);
	KUNIT_EXPECT_EQ(test, g.first, 20);
	KUNIT_EXPECT_EQ(test, g.count, 8);
	g = kf_growth_clip(whole, 23);
	KUNIT_EXPECT_EQ(test, g.first, 23);
	KUNIT_EXPECT_EQ(test, g.count, 5);
	/* The page that was touched is in the mapping. */
	g = kf_growth_clip(whole, 27);
	KUNIT_EXPECT_EQ(test, g.first, 27);
	KUNIT_EXPECT_EQ(test, g.count, 1);
}

static void growth_starts_as_wished(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_growth_want(0, 0, 0), 1);
	KUNIT_EXPECT_EQ(test, kf_growth_want(0, 0, 5), 5);
	KUNIT_EXPECT_EQ(test, kf_growth_want(0, 0, U32_MAX), KF_GROW_PAGES_MAX);
	/* A wish is for the begin, history for what follows. */
	KUNIT_EXPECT_EQ(test, kf_growth_want(3, 0, 100), 3);
	KUNIT_EXPECT_EQ(test, kf_growth_want(0, 100, 0), 1);
	KUNIT_EXPECT_EQ(test, kf_growth_want(3, 100, 0), 100);
	KUNIT_EXPECT_EQ(test, kf_growth_want(200, 100, 0), KF_GROW_PAGES_MAX);
	KUNIT_EXPECT_EQ(test, kf_growth_want(200, KF_GROW_PAGES_MAX, 0), 200);
	KUNIT_EXPECT_EQ(test, kf_growth_want(1, U32_MAX, 0), KF_GROW_PAGES_DEEP);
}

static void growth_history_fades(struct kunit *test)
{
	u32 history = kf_growth_history(0, 1024);
	int i;

	KUNIT_EXPECT_EQ(test, history, 256);
	for (i = 0; i < 9; i++)
		history = kf_growth_history(history, 1);
	KUNIT_EXPECT_EQ(test, history, 0);
	KUNIT_EXPECT_EQ(test, kf_growth_history(8, 400), 100);
}

static void growth_floors(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_growth_floor(18, 16, 0), 16);
	KUNIT_EXPECT_EQ(test, kf_growth_floor(18, 16, 4), 60);
	KUNIT_EXPECT_EQ(test, kf_growth_floor(18, 16, 63), 16);
	KUNIT_EXPECT_EQ(test, kf_growth_floor(18, 16, 64), 16);
	KUNIT_EXPECT_EQ(test, kf_growth_floor(18, 16, U32_MAX), 16);
}

static void growth_guards(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_guard(18, 0), 16);
	KUNIT_EXPECT_EQ(test, kf_guard(18, 1), 1);
	KUNIT_EXPECT_EQ(test, kf_guard(18, PAGE_SIZE + 1), 2);
	KUNIT_EXPECT_EQ(test, kf_guard(18, U64_MAX), 32);
	KUNIT_EXPECT_EQ(test, kf_guard(14, 1 << 20), 2);
}

/* What a parked fiber needs: the page of its stack pointer's red zone and up. */
static void growth_keeps(struct kunit *test)
{
	const u64 slot = 1 << 18;

	KUNIT_EXPECT_EQ(test, kf_growth_keep(slot, 18), 63);
	KUNIT_EXPECT_EQ(test, kf_growth_keep(slot - PAGE_SIZE + KF_RED_ZONE, 18), 63);
	KUNIT_EXPECT_EQ(test, kf_growth_keep(slot - PAGE_SIZE + KF_RED_ZONE - 1, 18), 62);
	KUNIT_EXPECT_EQ(test, kf_growth_keep(20 * PAGE_SIZE + 1000, 18), 20);
	/* A stack pointer that is elsewhere takes nothing away. */
	KUNIT_EXPECT_EQ(test, kf_growth_keep(slot + 1, 18), 0);
	KUNIT_EXPECT_EQ(test, kf_growth_keep(0, 18), 0);
	KUNIT_EXPECT_EQ(test, kf_growth_keep(KF_RED_ZONE - 1, 18), 0);
	KUNIT_EXPECT_EQ(test, kf_growth_keep(-8ull, 18), 0);
}

static void growth_uses(struct kunit *test)
{
	const u64 slot = 1 << 18;

	KUNIT_EXPECT_EQ(test, kf_growth_used(slot, 18, 1), 0);
	KUNIT_EXPECT_EQ(test, kf_growth_used(slot - 100, 18, 1), 100);
	KUNIT_EXPECT_EQ(test, kf_growth_used(slot - 100, 18, 0), 0);
	KUNIT_EXPECT_EQ(test, kf_growth_used(slot - 3 * PAGE_SIZE, 18, 3), 3 * PAGE_SIZE);
	/* What is not there is not in use. */
	KUNIT_EXPECT_EQ(test, kf_growth_used(slot - 3 * PAGE_SIZE, 18, 2), 2 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, kf_growth_used(0, 18, 48), 48 * PAGE_SIZE);
	/* A stack pointer that is elsewhere tells nothing. */
	KUNIT_EXPECT_EQ(test, kf_growth_used(slot + 1, 18, 5), 5 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, kf_growth_used(-8ull, 18, 5), 5 * PAGE_SIZE);
}

static void growth_offsets(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_slot_offset(14, 0), 0x010e000000000000ull);
	KUNIT_EXPECT_EQ(test, kf_slot_offset(18, 3), 0x01120000000c0000ull);
	KUNIT_EXPECT_EQ(test, kf_slot_offset(30, 4095), 0x011e03ffc0000000ull);
}

static struct kunit_case growth_cases[] = {
	KUNIT_CASE(growth_starts_as_wished),
	KUNIT_CASE(growth_history_fades),
	KUNIT_CASE(growth_floors),
	KUNIT_CASE(growth_guards),
	KUNIT_CASE(growth_keeps),
	KUNIT_CASE(growth_uses),
	KUNIT_CASE(growth_offsets),
	KUNIT_CASE(growth_classes),
	KUNIT_CASE(growth_places),
	KUNIT_CASE(growth_doubles),
	KUNIT_CASE(growth_after_a_jump),
	KUNIT_CASE(growth_clips),
	{ }
};

static struct kunit_suite growth_suite = {
	.name = "kfiber_growth",
	.test_cases = growth_cases,
};
kunit_test_suite(growth_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's stack growth");
MODULE_LICENSE("GPL");
