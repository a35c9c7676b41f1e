// SPDX-License-Identifier: GPL-2.0
/* KUnit: from an index to a fiber and to its block, chunk.h. */
#include <kunit/test.h>
#include <linux/mm.h>

#include "chunk.h"

#define CHUNKS 3u

static int chunk_init(struct kunit *test)
{
	struct kf_fiber_chunk **chunks = kunit_kcalloc(test, CHUNKS, sizeof(*chunks), GFP_KERNEL);
	u32 n, i;

	KUNIT_ASSERT_NOT_NULL(test, chunks);
	for (n = 0; n < CHUNKS; n++) {
		chunks[n] = kunit_kzalloc(test, sizeof(**chunks), GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, chunks[n]);
		chunks[n]->blocks = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, chunks[n]->blocks);
		for (i = 0; i < KF_FIBERS_PER_PAGE; i++)
			chunks[n]->fibers[i].index = n * KF_FIBERS_PER_PAGE + i;
	}
	test->priv = chunks;
	return 0;
}

/* User space finds block i at i * sizeof in the table: so does the kernel. */
static void chunk_index_is_place_in_table(struct kunit *test)
{
	struct kf_fiber_chunk **chunks = test->priv;
	u32 index;

	for (index = 0; index < CHUNKS * KF_FIBERS_PER_PAGE; index++) {
		u64 offset = (u64)index * sizeof(struct kfiber_fiber_block);
		struct kf_fiber_chunk *chunk = chunks[offset >> PAGE_SHIFT];
		struct kf_fiber *f = kf_chunk_fiber(chunk, index);

		KUNIT_ASSERT_EQ(test, kf_chunk_number(index), offset >> PAGE_SHIFT);
		KUNIT_ASSERT_EQ(test, f->index, index);
		KUNIT_ASSERT_PTR_EQ(test, (void *)kf_fiber_block(f),
				    (void *)chunk->blocks + offset_in_page(offset));
	}
}

static void chunk_fills_a_page(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, KF_FIBERS_PER_PAGE * sizeof(struct kfiber_fiber_block), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, KF_WORKERS_PER_PAGE * sizeof(struct kfiber_worker_block), PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, kf_chunk_number(U32_MAX), U32_MAX / 32);
}

static struct kunit_case chunk_cases[] = {
	KUNIT_CASE(chunk_index_is_place_in_table),
	KUNIT_CASE(chunk_fills_a_page),
	{ }
};

static struct kunit_suite chunk_suite = {
	.name = "kfiber_chunk",
	.init = chunk_init,
	.test_cases = chunk_cases,
};
kunit_test_suite(chunk_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's tables of fibers");
MODULE_LICENSE("GPL");
