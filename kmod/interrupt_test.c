// SPDX-License-Identifier: GPL-2.0
/* KUnit: when a fiber's system call is interrupted, interrupt.h. */
#include <kunit/test.h>

#include "interrupt.h"

static const struct {
	const char *what;
	u64 word, deadline;
	u32 masked, generation;
	u64 at;
} interrupt_looks[] = {
	{ "nothing is the matter", KFIBER_ACTIVE, KFIBER_NEVER, 0, 3, KFIBER_NEVER },
	{ "at once", KFIBER_ACTIVE | KFIBER_INTERRUPT, KFIBER_NEVER, 0, 3, 0 },
	{ "the deadline has no say then", KFIBER_ACTIVE | KFIBER_INTERRUPT, 1000, 0, 3, 0 },
	{ "at the deadline", KFIBER_ACTIVE, 1000, 0, 3, 1000 },
	{ "the last that can be counted", KFIBER_ACTIVE, KTIME_MAX - 1, 0, 3, KTIME_MAX - 1 },
	{ "the first that cannot", KFIBER_ACTIVE, KTIME_MAX, 0, 3, KFIBER_NEVER },
	{ "masked", KFIBER_ACTIVE | KFIBER_INTERRUPT, 1000, 1, 3, KFIBER_NEVER },
	{ "masked more than once", KFIBER_ACTIVE, 1000, U32_MAX, 3, KFIBER_NEVER },
	{ "another fiber's word", KFIBER_ACTIVE | KFIBER_INTERRUPT, 1000, 0, 4, KFIBER_NEVER },
	{ "who is parked blocks in nothing",
	  KFIBER_PARKED | KFIBER_INTERRUPT, 1000, 0, 3, KFIBER_NEVER },
	{ "cancelled, for its waits only",
	  KFIBER_ACTIVE | KFIBER_CANCELLED | KFIBER_LOOK, KFIBER_NEVER, 0, 3, KFIBER_NEVER },
};

static void interrupt_is_due(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(interrupt_looks); i++)
		KUNIT_EXPECT_EQ_MSG(test, interrupt_looks[i].at,
				    kf_interrupt_at(kf_name(3, 0) | interrupt_looks[i].word,
						    kf_name(interrupt_looks[i].generation, 7),
						    interrupt_looks[i].masked,
						    interrupt_looks[i].deadline),
				    "%s", interrupt_looks[i].what);
}

static void interrupt_pauses_double(struct kunit *test)
{
	u32 i;

	KUNIT_EXPECT_EQ(test, 0, kf_interrupt_pause(0));
	for (i = 0; i < KF_INTERRUPT_DOUBLINGS; i++)
		KUNIT_EXPECT_EQ(test, KF_INTERRUPT_NS << i, kf_interrupt_pause(i + 1));
	KUNIT_EXPECT_EQ(test, 64ull * NSEC_PER_MSEC, kf_interrupt_pause(i + 1));
	KUNIT_EXPECT_EQ(test, 64ull * NSEC_PER_MSEC, kf_interrupt_pause(U32_MAX));
}

static struct kunit_case interrupt_cases[] = {
	KUNIT_CASE(interrupt_is_due),
	KUNIT_CASE(interrupt_pauses_double),
	{ }
};

static struct kunit_suite interrupt_suite = {
	.name = "kfiber_interrupt",
	.test_cases = interrupt_cases,
};
kunit_test_suite(interrupt_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's interrupts of system calls");
MODULE_LICENSE("GPL");
