// SPDX-License-Identifier: GPL-2.0
#include <kunit/test.h>
#include <linux/limits.h>
#include <linux/module.h>

#include "latency.h"

static void latency_buckets(struct kunit *test)
{
	u32 i;

	KUNIT_EXPECT_EQ(test, 0, kf_latency_bucket(0));
	for (i = 0; i < KFIBER_LATENCY_BUCKETS; i++) {
		KUNIT_EXPECT_EQ(test, i, kf_latency_bucket(1ull << i));
		KUNIT_EXPECT_EQ(test, i, kf_latency_bucket((2ull << i) - 1));
	}
	KUNIT_EXPECT_EQ(test, KFIBER_LATENCY_BUCKETS - 1,
			kf_latency_bucket(1ull << KFIBER_LATENCY_BUCKETS));
	KUNIT_EXPECT_EQ(test, KFIBER_LATENCY_BUCKETS - 1, kf_latency_bucket(U64_MAX));
}

static void latency_notes(struct kunit *test)
{
	__u64 buckets[KFIBER_LATENCY_BUCKETS] = { };

	kf_latency_note_locked(buckets, 1000, 1000 + 4096);
	kf_latency_note_locked(buckets, 1000, 1000 + 8191);
	KUNIT_EXPECT_EQ(test, 2, buckets[12]);
	/* A clock that stepped back. */
	kf_latency_note_locked(buckets, 1000, 999);
	KUNIT_EXPECT_EQ(test, 1, buckets[0]);
}

static void latency_samples(struct kunit *test)
{
	struct kfiber_fiber_block fiber = { };
	u32 i, woken = 0, samples = 0;

	for (i = 0; i < 2 * KF_LATENCY_SAMPLE + 1; i++) {
		fiber.wait_since = 0;
		kf_latency_stamp_locked(&woken, &fiber);
		samples += !!(fiber.wait_since & KFIBER_RUNNABLE);
	}
	KUNIT_EXPECT_EQ(test, 3, samples);
	KUNIT_EXPECT_LE(test, fiber.wait_since & ~KFIBER_RUNNABLE, kf_latency_now());
}

static struct kunit_case latency_cases[] = {
	KUNIT_CASE(latency_buckets),
	KUNIT_CASE(latency_notes),
	KUNIT_CASE(latency_samples),
	{ }
};

static struct kunit_suite latency_suite = {
	.name = "kfiber_latency",
	.test_cases = latency_cases,
};
kunit_test_suite(latency_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of kfiber's latencies");
