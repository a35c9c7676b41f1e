// SPDX-License-Identifier: GPL-2.0
/* KUnit: the rings of ring.h. */
#include <kunit/test.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/slab.h>

#include "ring.h"

/* Two processors' blocks, with their local rings. */
struct rings {
	struct kfiber_processor_block *a, *b;
	struct kf_ring from, to;
};

static int ring_init(struct kunit *test)
{
	struct rings *r = kunit_kzalloc(test, sizeof(*r), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, r);
	r->a = kunit_kzalloc(test, sizeof(*r->a), GFP_KERNEL);
	r->b = kunit_kzalloc(test, sizeof(*r->b), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, r->a);
	KUNIT_ASSERT_NOT_NULL(test, r->b);
	r->from = kf_ring_local(r->a);
	r->to = kf_ring_local(r->b);
	test->priv = r;
	return 0;
}

static void ring_is_first_in_first_out(struct kunit *test)
{
	struct rings *r = test->priv;
	u64 i;

	KUNIT_EXPECT_TRUE(test, kf_ring_empty(&r->from));
	KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->from), 0);
	for (i = 1; i <= 5; i++)
		KUNIT_EXPECT_TRUE(test, kf_ring_push(&r->from, i));
	KUNIT_EXPECT_FALSE(test, kf_ring_empty(&r->from));
	for (i = 1; i <= 5; i++)
		KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->from), i);
	KUNIT_EXPECT_TRUE(test, kf_ring_empty(&r->from));
}

static void ring_holds_what_it_has_room_for(struct kunit *test)
{
	struct rings *r = test->priv;
	u64 i;

	for (i = 1; i <= KFIBER_LOCAL_SLOTS; i++)
		KUNIT_EXPECT_TRUE(test, kf_ring_push(&r->from, i));
	KUNIT_EXPECT_FALSE(test, kf_ring_push(&r->from, i));
	KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->from), 1);
	KUNIT_EXPECT_TRUE(test, kf_ring_push(&r->from, i));
	for (i = 2; i <= KFIBER_LOCAL_SLOTS + 1; i++)
		KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->from), i);
}

/* Indexes run freely: over the end of u32 too. */
static void ring_wraps(struct kunit *test)
{
	struct rings *r = test->priv;
	u64 i;

	r->a->local_head = -3u;
	r->a->local_tail = -3u;
	for (i = 1; i <= 10; i++)
		KUNIT_EXPECT_TRUE(test, kf_ring_push(&r->from, i));
	KUNIT_EXPECT_EQ(test, r->a->local_tail, 7);
	for (i = 1; i <= 10; i++)
		KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->from), i);
	KUNIT_EXPECT_TRUE(test, kf_ring_empty(&r->from));
}

static void ring_steal_takes_half(struct kunit *test)
{
	struct rings *r = test->priv;
	u32 stolen;
	u64 i;

	KUNIT_EXPECT_EQ(test, kf_ring_steal(&r->from, &r->to, &stolen), 0);
	KUNIT_EXPECT_EQ(test, stolen, 0);
	kf_ring_push(&r->from, 1);
	KUNIT_EXPECT_EQ(test, kf_ring_steal(&r->from, &r->to, &stolen), 1);
	KUNIT_EXPECT_EQ(test, stolen, 1);
	for (i = 1; i <= 9; i++)
		kf_ring_push(&r->from, i);
	KUNIT_EXPECT_EQ(test, kf_ring_steal(&r->from, &r->to, &stolen), 1);
	KUNIT_EXPECT_EQ(test, stolen, 5);
	for (i = 2; i <= 5; i++)
		KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->to), i);
	KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->to), 0);
	for (i = 6; i <= 9; i++)
		KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->from), i);
}

/* A thief takes no more than it has room for, and one it does not put in. */
static void ring_steal_into_a_full_ring(struct kunit *test)
{
	struct rings *r = test->priv;
	u32 stolen;
	u64 i;

	for (i = 1; i <= 100; i++)
		kf_ring_push(&r->from, i);
	for (i = 1; i <= KFIBER_LOCAL_SLOTS - 2; i++)
		kf_ring_push(&r->to, 1000 + i);
	KUNIT_EXPECT_EQ(test, kf_ring_steal(&r->from, &r->to, &stolen), 1);
	KUNIT_EXPECT_EQ(test, stolen, 3);
	KUNIT_EXPECT_EQ(test, kf_ring_steal(&r->from, &r->to, &stolen), 4);
	KUNIT_EXPECT_EQ(test, stolen, 1);
	KUNIT_EXPECT_FALSE(test, kf_ring_push(&r->to, 1));
}

/* A length that cannot be is none; there is nothing to take, nor room. */
static void ring_hostile_is_empty(struct kunit *test)
{
	static const struct { u32 head, tail; } wrong[] = {
		{ 0, KFIBER_LOCAL_SLOTS + 1 }, { 1, 0 }, { 0, 0x80000000 }, { 5, -5u },
		{ -1u, KFIBER_LOCAL_SLOTS },
	};
	struct rings *r = test->priv;
	u32 i, stolen;

	memset(r->a->local, 7, sizeof(r->a->local));
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		r->a->local_head = wrong[i].head;
		r->a->local_tail = wrong[i].tail;
		KUNIT_EXPECT_TRUE(test, kf_ring_empty(&r->from));
		KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->from), 0);
		KUNIT_EXPECT_EQ(test, kf_ring_steal(&r->from, &r->to, &stolen), 0);
		KUNIT_EXPECT_FALSE(test, kf_ring_push(&r->from, 1));
		KUNIT_EXPECT_EQ(test, r->a->local_head, wrong[i].head);
		KUNIT_EXPECT_EQ(test, r->a->local_tail, wrong[i].tail);
		KUNIT_EXPECT_EQ(test, r->b->local_tail, 0);
	}
	KUNIT_EXPECT_EQ(test, r->a->local[0], 0x0707070707070707);
}

/* Into such a ring a thief puts nothing. */
static void ring_steal_into_a_hostile_ring(struct kunit *test)
{
	struct rings *r = test->priv;
	u32 stolen;
	u64 i;

	for (i = 1; i <= 100; i++)
		kf_ring_push(&r->from, i);
	r->b->local_head = 1;
	KUNIT_EXPECT_EQ(test, kf_ring_steal(&r->from, &r->to, &stolen), 1);
	KUNIT_EXPECT_EQ(test, stolen, 1);
	KUNIT_EXPECT_EQ(test, r->b->local_tail, 0);
	KUNIT_EXPECT_FALSE(test, memchr_inv(r->b->local, 0, sizeof(r->b->local)));
}

/* Over the end of u32, over the end of the places, in both rings. */
static void ring_steal_wraps(struct kunit *test)
{
	struct rings *r = test->priv;
	u32 stolen;
	u64 i;

	r->a->local_head = -2u;
	r->a->local_tail = -2u;
	r->b->local_head = -1u;
	r->b->local_tail = -1u;
	for (i = 1; i <= KFIBER_LOCAL_SLOTS; i++)
		kf_ring_push(&r->from, i);
	KUNIT_EXPECT_EQ(test, kf_ring_steal(&r->from, &r->to, &stolen), 1);
	KUNIT_EXPECT_EQ(test, stolen, KFIBER_LOCAL_SLOTS / 2);
	for (i = 2; i <= KFIBER_LOCAL_SLOTS / 2; i++)
		KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->to), i);
	KUNIT_EXPECT_TRUE(test, kf_ring_empty(&r->to));
	for (; i <= KFIBER_LOCAL_SLOTS; i++)
		KUNIT_EXPECT_EQ(test, kf_ring_pop(&r->from), i);
}

/* Whatever the process writes there, the kernel stays within the ring. */
static void ring_hostile_indexes(struct kunit *test)
{
	static const u32 values[] = { 0, 1, 255, 256, 257, 0x7fffffff, 0x80000000, -1u, -256u };
	struct rings *r = test->priv;
	u32 i, j, stolen;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		for (j = 0; j < ARRAY_SIZE(values); j++) {
			u32 length = values[j] - values[i];

			r->a->local_head = values[i];
			r->a->local_tail = values[j];
			KUNIT_EXPECT_EQ(test, kf_ring_empty(&r->from),
					!length || length > KFIBER_LOCAL_SLOTS);
			kf_ring_pop(&r->from);
			kf_ring_push(&r->from, 1);
			kf_ring_steal(&r->from, &r->to, &stolen);
			KUNIT_EXPECT_LE(test, stolen, KFIBER_LOCAL_SLOTS / 2 + 1);
			r->b->local_head = values[j];
			r->b->local_tail = values[i];
			kf_ring_steal(&r->from, &r->to, &stolen);
			KUNIT_EXPECT_LE(test, stolen, KFIBER_LOCAL_SLOTS / 2 + 1);
		}
	}
	/* All accesses were to these slots: what lies behind them is as it was. */
	KUNIT_EXPECT_FALSE(test, memchr_inv(r->a->inbox, 0, sizeof(r->a->inbox)));
	KUNIT_EXPECT_FALSE(test, memchr_inv(r->b->inbox, 0, sizeof(r->b->inbox)));
}

/*
 * A producer and a thief at the same time: each fiber comes out once. With a ring
 * that is broken this could go on for ever: then it ends with too few.
 */
enum { RACE_ITEMS = 200000, RACE_SECONDS = 60 };

struct race {
	struct rings *r;
	struct completion done;
	unsigned long deadline;
	u64 sum;
	u32 count;
	bool end;
};

static bool race_is_over(const struct race *race)
{
	return time_after(jiffies, race->deadline);
}

static int race_thief(void *arg)
{
	struct race *race = arg;
	struct rings *r = race->r;
	bool end = false;

	while (!end) {
		u64 fiber;
		u32 stolen;

		end = smp_load_acquire(&race->end);	/* pairs with the producer's */
		while (!race_is_over(race) && (fiber = kf_ring_steal(&r->from, &r->to, &stolen))) {
			do {
				race->sum += fiber;
				race->count++;
			} while (!race_is_over(race) && (fiber = kf_ring_pop(&r->to)));
		}
		cond_resched();
	}
	complete(&race->done);
	return 0;
}

static void ring_steal_against_pop(struct kunit *test)
{
	struct race race = { .r = test->priv };
	struct task_struct *thief;
	u64 i, fiber, sum = 0;
	u32 count = 0;

	init_completion(&race.done);
	race.deadline = jiffies + RACE_SECONDS * HZ;
	thief = kthread_run(race_thief, &race, "kf_ring_thief");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thief));
	for (i = 1; i <= RACE_ITEMS; i++) {
		while (!kf_ring_push(&race.r->from, i) && !race_is_over(&race))
			cond_resched();
		if (i % 3)
			continue;
		fiber = kf_ring_pop(&race.r->from);
		sum += fiber;
		count += !!fiber;
	}
	smp_store_release(&race.end, true);	/* after the last push; pairs with the thief's */
	wait_for_completion(&race.done);
	KUNIT_EXPECT_EQ(test, count + race.count, RACE_ITEMS);
	KUNIT_EXPECT_EQ(test, sum + race.sum, (u64)RACE_ITEMS * (RACE_ITEMS + 1) / 2);
	KUNIT_EXPECT_GT(test, race.count, 0);
}

static struct kunit_case ring_cases[] = {
	KUNIT_CASE(ring_is_first_in_first_out),
	KUNIT_CASE(ring_holds_what_it_has_room_for),
	KUNIT_CASE(ring_wraps),
	KUNIT_CASE(ring_steal_takes_half),
	KUNIT_CASE(ring_steal_into_a_full_ring),
	KUNIT_CASE(ring_hostile_is_empty),
	KUNIT_CASE(ring_steal_into_a_hostile_ring),
	KUNIT_CASE(ring_steal_wraps),
	KUNIT_CASE(ring_hostile_indexes),
	KUNIT_CASE(ring_steal_against_pop),
	{ }
};

static struct kunit_suite ring_suite = {
	.name = "kfiber_ring",
	.init = ring_init,
	.test_cases = ring_cases,
};
kunit_test_suite(ring_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's rings");
MODULE_LICENSE("GPL");
