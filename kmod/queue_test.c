// SPDX-License-Identifier: GPL-2.0
/* KUnit: what there is to run and in which order it is taken, queue.h. */
#include <kunit/test.h>

#include "fixture.h"
#include "queue.h"

#define PROCESSORS 3u
#define FIBERS 400u

struct queue {
	struct kf_domain *d;
	struct kf_processor *p, *other;
	struct kf_worker *holder;
	struct kf_fiber *fibers;
};

static int queue_init(struct kunit *test)
{
	struct queue *q = kunit_kzalloc(test, sizeof(*q), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, q);
	q->d = kf_fixture_domain(test, PROCESSORS);
	q->p = &q->d->processors[0];
	q->other = &q->d->processors[1];
	q->holder = kunit_kzalloc(test, sizeof(*q->holder), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q->holder);
	q->fibers = kunit_kcalloc(test, FIBERS, sizeof(*q->fibers), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, q->fibers);
	test->priv = q;
	return 0;
}

static void push_local(struct kf_processor *p, u64 name)
{
	struct kf_ring local = kf_ring_local(p->block);

	kf_ring_push(&local, name);
}

static void push_inbox(struct kf_processor *p, u64 name)
{
	struct kf_ring inbox = kf_ring_inbox(p->block);

	kf_ring_push(&inbox, name);
}

/* Names count from 1. */
static void push_global(struct queue *q, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++)
		kf_global_push_locked(q->d, &q->fibers[i], i + 1);
}

static void queue_sees_what_is_there(struct kunit *test)
{
	struct queue *q = test->priv;
	struct kfiber_processor_block *b = q->p->block;

	KUNIT_EXPECT_FALSE(test, kf_queue_has_queued(b));
	KUNIT_EXPECT_FALSE(test, kf_queue_has_work(b));
	b->next = 1;
	KUNIT_EXPECT_FALSE(test, kf_queue_has_queued(b));
	KUNIT_EXPECT_TRUE(test, kf_queue_has_work(b));
	b->next = 0;
	push_local(q->p, 1);
	KUNIT_EXPECT_TRUE(test, kf_queue_has_queued(b));
	KUNIT_EXPECT_TRUE(test, kf_queue_has_work(b));
	KUNIT_EXPECT_EQ(test, kf_queue_pop_own(b), 1);
	push_inbox(q->p, 1);
	KUNIT_EXPECT_TRUE(test, kf_queue_has_queued(b));
	KUNIT_EXPECT_TRUE(test, kf_queue_has_work(b));
	KUNIT_EXPECT_EQ(test, kf_queue_pop_inbox(b), 1);
	KUNIT_EXPECT_FALSE(test, kf_queue_has_work(b));
}

static void queue_own_is_next_then_ring(struct kunit *test)
{
	struct queue *q = test->priv;
	struct kfiber_processor_block *b = q->p->block;

	push_local(q->p, 1);
	push_local(q->p, 2);
	push_inbox(q->p, 3);
	b->next = 4;
	KUNIT_EXPECT_EQ(test, kf_queue_pop_own(b), 4);
	KUNIT_EXPECT_EQ(test, b->next, 0);
	KUNIT_EXPECT_EQ(test, kf_queue_pop_own(b), 1);
	KUNIT_EXPECT_EQ(test, kf_queue_pop_own(b), 2);
	KUNIT_EXPECT_EQ(test, kf_queue_pop_own(b), 0);
	KUNIT_EXPECT_EQ(test, kf_queue_pop_inbox(b), 3);
	KUNIT_EXPECT_EQ(test, kf_queue_pop_inbox(b), 0);
}

static void queue_thief_takes_ring_then_inbox(struct kunit *test)
{
	struct queue *q = test->priv;
	u32 stolen;

	q->other->block->next = 9;
	push_inbox(q->other, 5);
	push_inbox(q->other, 6);
	push_inbox(q->other, 7);
	push_local(q->other, 1);
	push_local(q->other, 2);
	push_local(q->other, 3);
	KUNIT_EXPECT_EQ(test, kf_queue_steal(q->other->block, q->p->block, &stolen), 1);
	KUNIT_EXPECT_EQ(test, stolen, 2);
	KUNIT_EXPECT_EQ(test, kf_queue_steal(q->other->block, q->p->block, &stolen), 3);
	KUNIT_EXPECT_EQ(test, stolen, 1);
	KUNIT_EXPECT_EQ(test, kf_queue_steal(q->other->block, q->p->block, &stolen), 5);
	KUNIT_EXPECT_EQ(test, stolen, 2);
	KUNIT_EXPECT_EQ(test, kf_queue_steal(q->other->block, q->p->block, &stolen), 7);
	KUNIT_EXPECT_EQ(test, stolen, 1);
	/* "next" is left to its processor. */
	KUNIT_EXPECT_EQ(test, kf_queue_steal(q->other->block, q->p->block, &stolen), 0);
	KUNIT_EXPECT_EQ(test, stolen, 0);
	KUNIT_EXPECT_EQ(test, q->other->block->next, 9);
	/* The loot is in the thief's ring, whichever it came from. */
	KUNIT_EXPECT_EQ(test, kf_queue_pop_own(q->p->block), 2);
	KUNIT_EXPECT_EQ(test, kf_queue_pop_own(q->p->block), 6);
	KUNIT_EXPECT_FALSE(test, kf_queue_has_work(q->p->block));
}

/* All others, each once, and the one behind the thief first. */
static void queue_victims(struct kunit *test)
{
	struct queue *q = test->priv;
	struct kf_processor *last = &q->d->processors[PROCESSORS - 1];

	KUNIT_EXPECT_EQ(test, kf_queue_victim(q->d, q->p, 1, PROCESSORS)->index, 1);
	KUNIT_EXPECT_EQ(test, kf_queue_victim(q->d, q->p, 2, PROCESSORS)->index, 2);
	KUNIT_EXPECT_EQ(test, kf_queue_victim(q->d, q->p, PROCESSORS, PROCESSORS)->index, 0);
	KUNIT_EXPECT_EQ(test, kf_queue_victim(q->d, last, 1, PROCESSORS)->index, 0);
	KUNIT_EXPECT_EQ(test, kf_queue_victim(q->d, last, 2, PROCESSORS)->index, 1);
}

static void queue_watch_takes_what_stands_still(struct kunit *test)
{
	struct queue *q = test->priv;
	struct kf_watch watch = { };

	kf_watch_move_on(q->d, q->p, &watch);
	KUNIT_EXPECT_NULL(test, watch.processor);
	q->p->block->next = 1;
	q->other->block->next = 5;
	q->other->block->ticks = 7;
	/* What is in the caller's own "next" is no business of this. */
	kf_watch_move_on(q->d, q->p, &watch);
	KUNIT_ASSERT_PTR_EQ(test, watch.processor, q->other);
	/* It has dispatched: its time begins again, though there is no other. */
	q->other->block->ticks = 8;
	KUNIT_EXPECT_EQ(test, kf_watch_take(&watch), 0);
	kf_watch_move_on(q->d, q->p, &watch);
	KUNIT_ASSERT_PTR_EQ(test, watch.processor, q->other);
	KUNIT_EXPECT_EQ(test, kf_watch_take(&watch), 5);
	KUNIT_EXPECT_EQ(test, q->other->block->next, 0);
	KUNIT_EXPECT_EQ(test, kf_watch_take(&watch), 0);
	kf_watch_move_on(q->d, q->p, &watch);
	KUNIT_EXPECT_NULL(test, watch.processor);
}

/* One that dispatches between any two looks does not hide one that is stuck. */
static void queue_watch_goes_round(struct kunit *test)
{
	struct queue *q = test->priv;
	struct kf_processor *stuck = &q->d->processors[2];
	struct kf_watch watch = { };
	int looks;
	u64 name;

	q->other->block->next = 5;
	stuck->block->next = 6;
	for (looks = 1; looks <= 2 * PROCESSORS; looks++) {
		name = watch.processor ? kf_watch_take(&watch) : 0;
		if (name)
			break;
		kf_watch_move_on(q->d, q->p, &watch);
		q->other->block->ticks++;
	}
	KUNIT_EXPECT_EQ(test, name, 6);
	KUNIT_EXPECT_EQ(test, looks, 3);
}

static void queue_global_is_first_in_first_out(struct kunit *test)
{
	struct queue *q = test->priv;
	u64 i;

	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 0);
	push_global(q, 3);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, 3);
	for (i = 1; i <= 3; i++)
		KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), i);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, 0);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 0);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, 0);
	/* From the beginning, whatever was last in it before. */
	push_global(q, 2);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 1);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 2);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 0);
}

/* READY of a fiber that is there: user space may say it as often as it likes. */
static void queue_global_holds_a_fiber_once(struct kunit *test)
{
	struct queue *q = test->priv;

	push_global(q, 2);
	kf_global_push_locked(q->d, &q->fibers[0], 77);
	kf_global_push_locked(q->d, &q->fibers[1], 78);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, 2);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 1);
	kf_global_push_locked(q->d, &q->fibers[0], 77);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 2);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 77);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 0);
}

static void queue_global_is_shared_fairly(struct kunit *test)
{
	struct queue *q = test->priv;
	u64 i;

	KUNIT_EXPECT_EQ(test, kf_global_take_locked(q->d, q->p), 0);
	/* One to run; of the nine that remain a third each. */
	push_global(q, 10);
	KUNIT_EXPECT_EQ(test, kf_global_take_locked(q->d, q->p), 1);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, 6);
	for (i = 2; i <= 4; i++)
		KUNIT_EXPECT_EQ(test, kf_queue_pop_own(q->p->block), i);
	KUNIT_EXPECT_EQ(test, kf_queue_pop_own(q->p->block), 0);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 5);
}

static void queue_global_share_is_bounded(struct kunit *test)
{
	struct queue *q = test->priv;
	u32 i;

	q->d->nr_used = 1;
	push_global(q, FIBERS);
	KUNIT_EXPECT_EQ(test, kf_global_take_locked(q->d, q->p), 1);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, FIBERS - 1 - KFIBER_LOCAL_SLOTS / 2);
	/* Without room in the ring they stay where they are. */
	for (i = 0; i < KFIBER_LOCAL_SLOTS / 2 - 1; i++)
		push_local(q->p, 1000);
	KUNIT_EXPECT_EQ(test, kf_global_take_locked(q->d, q->p), 2 + KFIBER_LOCAL_SLOTS / 2);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, FIBERS - 3 - KFIBER_LOCAL_SLOTS / 2);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 4 + KFIBER_LOCAL_SLOTS / 2);
}

/* Three queues, but a fiber is in one of them at most. */
static void queue_apart(struct kunit *test)
{
	struct queue *q = test->priv;

	kf_apart_push_locked(q->d, &q->fibers[0], 1, KFIBER_INTERACTIVE);
	kf_apart_push_locked(q->d, &q->fibers[1], 2, KFIBER_BACKGROUND);
	kf_apart_push_locked(q->d, &q->fibers[0], 3, KFIBER_BACKGROUND);
	kf_global_push_locked(q->d, &q->fibers[1], 4);
	KUNIT_EXPECT_EQ(test, q->d->nr_front, 1);
	KUNIT_EXPECT_EQ(test, q->d->nr_back, 1);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, 0);
	KUNIT_EXPECT_EQ(test, kf_front_pop_locked(q->d), 1);
	KUNIT_EXPECT_EQ(test, kf_front_pop_locked(q->d), 0);
	KUNIT_EXPECT_EQ(test, q->d->nr_front, 0);
	KUNIT_EXPECT_EQ(test, kf_back_pop_locked(q->d), 2);
	KUNIT_EXPECT_EQ(test, kf_back_pop_locked(q->d), 0);
	KUNIT_EXPECT_EQ(test, q->d->nr_back, 0);
	KUNIT_EXPECT_EQ(test, q->d->back_taken, 1);
}

/* What timers make runnable runs in the order in which they fired. */
static void queue_ready_in_order(struct kunit *test)
{
	struct queue *q = test->priv;
	u32 i;

	kf_fixture_hold(q->d, q->p, q->holder);
	for (i = 0; i < KFIBER_INBOX_SLOTS + 2; i++)
		kf_queue_ready_locked(q->d, q->p, &q->fibers[i], i + 1);
	KUNIT_EXPECT_EQ(test, q->d->nr_global, 2);
	for (i = 0; i < KFIBER_INBOX_SLOTS; i++)
		KUNIT_EXPECT_EQ(test, kf_queue_pop_inbox(q->p->block), i + 1);
	KUNIT_EXPECT_EQ(test, kf_queue_pop_inbox(q->p->block), 0);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), KFIBER_INBOX_SLOTS + 1);
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), KFIBER_INBOX_SLOTS + 2);
}

/* With all workers blocked, who runs next must find it, on any processor. */
static void queue_ready_for_nobody(struct kunit *test)
{
	struct queue *q = test->priv;

	kf_queue_ready_locked(q->d, q->p, &q->fibers[0], 1);
	KUNIT_EXPECT_FALSE(test, kf_queue_has_work(q->p->block));
	KUNIT_EXPECT_EQ(test, kf_global_pop_locked(q->d), 1);
}

/* To look at all is more than anything else, and the newest of the others is what is told. */
static void queue_offers(struct kunit *test)
{
	struct queue *q = test->priv;
	struct kfiber_processor_block *b = q->p->block;

	kf_queue_offer(b, KFIBER_OFFER_OWN);
	KUNIT_EXPECT_EQ(test, b->offer, KFIBER_OFFER_OWN);
	kf_queue_offer(b, KFIBER_OFFER_FRONT);
	KUNIT_EXPECT_EQ(test, b->offer, KFIBER_OFFER_FRONT);
	kf_queue_offer(b, KFIBER_OFFER_ALL);
	kf_queue_offer(b, KFIBER_OFFER_OWN);
	KUNIT_EXPECT_EQ(test, b->offer, KFIBER_OFFER_ALL);
	kf_queue_offer(b, KFIBER_OFFER_FRONT);
	KUNIT_EXPECT_EQ(test, b->offer, KFIBER_OFFER_ALL);
}

static struct kunit_case queue_cases[] = {
	KUNIT_CASE(queue_sees_what_is_there),
	KUNIT_CASE(queue_own_is_next_then_ring),
	KUNIT_CASE(queue_thief_takes_ring_then_inbox),
	KUNIT_CASE(queue_victims),
	KUNIT_CASE(queue_watch_takes_what_stands_still),
	KUNIT_CASE(queue_watch_goes_round),
	KUNIT_CASE(queue_global_is_first_in_first_out),
	KUNIT_CASE(queue_global_holds_a_fiber_once),
	KUNIT_CASE(queue_global_is_shared_fairly),
	KUNIT_CASE(queue_global_share_is_bounded),
	KUNIT_CASE(queue_apart),
	KUNIT_CASE(queue_ready_in_order),
	KUNIT_CASE(queue_ready_for_nobody),
	KUNIT_CASE(queue_offers),
	{ }
};

static struct kunit_suite queue_suite = {
	.name = "kfiber_queue",
	.init = queue_init,
	.test_cases = queue_cases,
};
kunit_test_suite(queue_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's queues");
MODULE_LICENSE("GPL");
