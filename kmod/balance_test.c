// SPDX-License-Identifier: GPL-2.0
/* KUnit: who gets an idle processor, and who is called, balance.h. */
#include <kunit/test.h>

#include "balance.h"
#include "fixture.h"

#define PROCESSORS 4u

struct balance {
	struct kf_domain *d;
	struct kf_processor *p;
	struct kf_worker *holder;
};

static int balance_init(struct kunit *test)
{
	struct balance *b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, b);
	b->d = kf_fixture_domain(test, PROCESSORS);
	b->p = b->d->processors;
	b->holder = kunit_kzalloc(test, sizeof(*b->holder), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, b->holder);
	test->priv = b;
	return 0;
}

/*
 * What there is, and whose turn it then is. What a case does not name is not there. A processor
 * is idle unless all are busy; "kicked": user space has called.
 */
struct balance_case {
	const char *what;
	enum kf_turn turn;
	u32 waiters, spares, searching, preempted, behind, front, back;
	bool busy, kicked, work, waiters_turn, preempted_turn;
};

static void balance_expect(struct kunit *test, const struct balance_case *c, size_t n)
{
	struct balance *b = test->priv;

	for (; n; n--, c++) {
		b->d->nr_idle = !c->busy;
		b->d->nr_waiters = c->waiters;
		b->d->nr_spares = c->spares;
		b->d->nr_searching = c->searching;
		b->d->nr_preempted = c->preempted;
		b->d->nr_behind = c->behind;
		b->d->nr_front = c->front;
		b->d->nr_back = c->back;
		b->d->nr_global = c->work;
		b->d->waiters_turn = c->waiters_turn;
		b->d->preempted_turn = c->preempted_turn;
		KUNIT_EXPECT_EQ_MSG(test, kf_turn_locked(b->d, c->kicked), c->turn, "%s", c->what);
	}
}

static const struct balance_case balance_turns[] = {
	{ "no processor is idle", KF_TURN_NOBODY,
	  .busy = true, .waiters = 1, .spares = 1, .waiters_turn = true, .kicked = true,
	  .work = true },
	{ "nobody sleeps", KF_TURN_NOBODY, .waiters_turn = true, .kicked = true, .work = true },
	{ "a waiter", KF_TURN_WAITER, .waiters = 1 },
	{ "a waiter, whatever there is", KF_TURN_WAITER,
	  .waiters = 1, .kicked = true, .work = true },
	{ "a waiter, and a spare without work", KF_TURN_WAITER, .waiters = 1, .spares = 1 },
	{ "a spare without work", KF_TURN_NOBODY, .spares = 1 },
	{ "a spare with work", KF_TURN_SPARE, .spares = 1, .work = true },
	{ "a spare that user space called", KF_TURN_SPARE, .spares = 1, .kicked = true },
	{ "somebody searching will find it", KF_TURN_NOBODY,
	  .spares = 1, .searching = 1, .kicked = true, .work = true },
	{ "a waiter does not care who searches", KF_TURN_WAITER,
	  .waiters = 1, .spares = 1, .searching = 1, .kicked = true, .work = true },
	{ "both, the waiter had the last", KF_TURN_SPARE, .waiters = 1, .spares = 1, .work = true },
	{ "both, the spare had the last", KF_TURN_WAITER,
	  .waiters = 1, .spares = 1, .waiters_turn = true, .work = true },
	{ "the turn of waiters, but there is none", KF_TURN_SPARE,
	  .spares = 1, .waiters_turn = true, .work = true },
};

static void balance_takes_turns(struct kunit *test)
{
	balance_expect(test, balance_turns, ARRAY_SIZE(balance_turns));
}

/* The preempted are the last, but for a turn of their own. */
static const struct balance_case balance_preempted[] = {
	{ "nobody else", KF_TURN_PREEMPTED, .preempted = 1, .waiters_turn = true },
	{ "nobody to run what is queued", KF_TURN_PREEMPTED,
	  .preempted = 1, .work = true, .waiters_turn = true },
	{ "nothing is queued", KF_TURN_PREEMPTED,
	  .spares = 1, .preempted = 1, .waiters_turn = true },
	{ "a spare with work", KF_TURN_SPARE,
	  .spares = 1, .preempted = 1, .work = true, .waiters_turn = true },
	{ "a waiter", KF_TURN_WAITER, .waiters = 1, .preempted = 1, .waiters_turn = true },
	{ "it has waited longer than the work", KF_TURN_PREEMPTED,
	  .spares = 1, .preempted = 1, .preempted_turn = true, .work = true, .waiters_turn = true },
	{ "it has waited longer than the waiter", KF_TURN_PREEMPTED,
	  .waiters = 1, .preempted = 1, .preempted_turn = true, .waiters_turn = true },
	{ "its turn, but there is none", KF_TURN_WAITER,
	  .waiters = 1, .preempted_turn = true, .waiters_turn = true },
};

static void balance_preempted_come_last(struct kunit *test)
{
	balance_expect(test, balance_preempted, ARRAY_SIZE(balance_preempted));
}

/* The background comes after the preempted; what is interactive is work as any other. */
static const struct balance_case balance_apart[] = {
	{ "behind, alone", KF_TURN_BEHIND, .behind = 1 },
	{ "behind one that was preempted", KF_TURN_PREEMPTED, .preempted = 1, .behind = 1 },
	{ "behind, and a spare with work", KF_TURN_SPARE, .behind = 1, .spares = 1, .front = 1 },
	{ "behind, and a fiber in the back", KF_TURN_BEHIND, .behind = 1, .spares = 1, .back = 1 },
	{ "a fiber in the back, and a spare", KF_TURN_SPARE, .spares = 1, .back = 1 },
	{ "it waits for the preempted", KF_TURN_PREEMPTED, .preempted = 1, .spares = 1, .back = 1 },
	{ "somebody searching will find it", KF_TURN_NOBODY,
	  .spares = 1, .searching = 1, .back = 1 },
	{ "an interactive one goes before", KF_TURN_SPARE,
	  .preempted = 1, .behind = 1, .spares = 1, .front = 1, .back = 1 },
};

static void balance_background_is_last(struct kunit *test)
{
	balance_expect(test, balance_apart, ARRAY_SIZE(balance_apart));
}

/* Others are let in once after so many in a row, and no fewer. */
static void balance_front_is_bounded(struct kunit *test)
{
	u32 i, run = 0;

	for (i = 0; i < KF_FRONT_RUN; i++)
		KUNIT_EXPECT_TRUE(test, kf_front_goes(&run, true, true));
	KUNIT_EXPECT_FALSE(test, kf_front_goes(&run, true, true));
	KUNIT_EXPECT_TRUE(test, kf_front_goes(&run, true, true));
	KUNIT_EXPECT_FALSE(test, kf_front_goes(&run, false, true));
	for (i = 0; i < 2 * KF_FRONT_RUN; i++)
		KUNIT_EXPECT_TRUE(test, kf_front_goes(&run, true, false));
	KUNIT_EXPECT_FALSE(test, kf_front_goes(&run, true, true));
}

static void balance_slices_by_priority(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, kf_allowed_ns(0, false, 8), 8);
	KUNIT_EXPECT_EQ(test, kf_allowed_ns(0, true, 8), 0);
	KUNIT_EXPECT_EQ(test, kf_allowed_ns(KFIBER_INTERACTIVE, true, 8), 8);
	KUNIT_EXPECT_EQ(test, kf_allowed_ns(KFIBER_BACKGROUND, false, 8), 0);
	KUNIT_EXPECT_EQ(test, kf_word_priority(KFIBER_ACTIVE | KFIBER_PINNED), 0);
	KUNIT_EXPECT_EQ(test, kf_word_priority(KFIBER_INTERACTIVE | KFIBER_BACKGROUND),
			KFIBER_INTERACTIVE);
}

static void balance_sees_each_queue(struct kunit *test)
{
	struct balance *b = test->priv;
	u32 i;

	KUNIT_EXPECT_FALSE(test, kf_visible_locked(b->d));
	b->d->nr_global = 1;
	KUNIT_EXPECT_TRUE(test, kf_visible_locked(b->d));
	b->d->nr_global = 0;
	for (i = 0; i < PROCESSORS; i++) {
		b->p[i].block->local_tail = 1;
		KUNIT_EXPECT_TRUE(test, kf_visible_locked(b->d));
		b->p[i].block->local_head = 1;
		KUNIT_EXPECT_FALSE(test, kf_visible_locked(b->d));
		b->p[i].block->inbox_tail = 1;
		KUNIT_EXPECT_TRUE(test, kf_visible_locked(b->d));
		b->p[i].block->inbox_head = 1;
		KUNIT_EXPECT_FALSE(test, kf_visible_locked(b->d));
	}
}

/* What is in "next" is left to a processor that has a holder and a watcher. */
static void balance_leaves_next_to_a_watcher(struct kunit *test)
{
	struct balance *b = test->priv;

	b->p[1].block->next = 1;
	KUNIT_EXPECT_TRUE(test, kf_visible_locked(b->d));
	b->d->nr_watching = 1;
	KUNIT_EXPECT_TRUE(test, kf_visible_locked(b->d));
	kf_fixture_hold(b->d, &b->p[1], b->holder);
	KUNIT_EXPECT_FALSE(test, kf_visible_locked(b->d));
	b->d->nr_watching = 0;
	KUNIT_EXPECT_TRUE(test, kf_visible_locked(b->d));
	b->d->nr_watching = 1;
	b->p[3].block->next = 1;
	KUNIT_EXPECT_TRUE(test, kf_visible_locked(b->d));
	b->p[3].block->next = 0;
	b->p[1].block->local_tail = 1;
	KUNIT_EXPECT_TRUE(test, kf_visible_locked(b->d));
}

static void balance_prefers_the_last_processor(struct kunit *test)
{
	struct balance *b = test->priv;
	u32 i;

	KUNIT_EXPECT_PTR_EQ(test, kf_choose_idle_locked(b->d, NULL), &b->p[0]);
	KUNIT_EXPECT_PTR_EQ(test, kf_choose_idle_locked(b->d, &b->p[2]), &b->p[2]);
	kf_fixture_hold(b->d, &b->p[2], b->holder);
	KUNIT_EXPECT_PTR_EQ(test, kf_choose_idle_locked(b->d, &b->p[2]), &b->p[0]);
	kf_fixture_hold(b->d, &b->p[0], b->holder);
	KUNIT_EXPECT_PTR_EQ(test, kf_choose_idle_locked(b->d, &b->p[2]), &b->p[1]);
	for (i = 1; i < PROCESSORS; i += 2)
		kf_fixture_hold(b->d, &b->p[i], b->holder);
	KUNIT_EXPECT_NULL(test, kf_choose_idle_locked(b->d, &b->p[2]));
	KUNIT_EXPECT_NULL(test, kf_choose_idle_locked(b->d, NULL));
}

static void balance_spare_goes_where_work_is(struct kunit *test)
{
	struct balance *b = test->priv;

	KUNIT_EXPECT_PTR_EQ(test, kf_choose_busy_idle_locked(b->d), &b->p[0]);
	b->p[2].block->next = 1;
	b->p[3].block->inbox_tail = 1;
	KUNIT_EXPECT_PTR_EQ(test, kf_choose_busy_idle_locked(b->d), &b->p[2]);
	/* Its holder has it: no business of an idle one. */
	kf_fixture_hold(b->d, &b->p[2], b->holder);
	KUNIT_EXPECT_PTR_EQ(test, kf_choose_busy_idle_locked(b->d), &b->p[3]);
	kf_fixture_hold(b->d, &b->p[3], b->holder);
	KUNIT_EXPECT_PTR_EQ(test, kf_choose_busy_idle_locked(b->d), &b->p[0]);
	kf_fixture_hold(b->d, &b->p[0], b->holder);
	kf_fixture_hold(b->d, &b->p[1], b->holder);
	KUNIT_EXPECT_NULL(test, kf_choose_busy_idle_locked(b->d));
}

static void balance_half_may_search(struct kunit *test)
{
	struct balance *b = test->priv;

	KUNIT_EXPECT_TRUE(test, kf_may_search_locked(b->d));
	b->d->nr_searching = 1;
	KUNIT_EXPECT_TRUE(test, kf_may_search_locked(b->d));
	b->d->nr_searching = 2;
	KUNIT_EXPECT_FALSE(test, kf_may_search_locked(b->d));
	b->d->nr_searching = 0;
	b->d->nr_used = 1;
	KUNIT_EXPECT_FALSE(test, kf_may_search_locked(b->d));
}

static void balance_who_waits_is_not_overtaken(struct kunit *test)
{
	struct balance *b = test->priv;

	KUNIT_EXPECT_TRUE(test, kf_may_take_idle_locked(b->d));
	b->d->nr_preempted = 1;
	KUNIT_EXPECT_TRUE(test, kf_may_take_idle_locked(b->d));
	b->d->preempted_turn = true;
	KUNIT_EXPECT_FALSE(test, kf_may_take_idle_locked(b->d));
	b->d->nr_preempted = 0;
	b->d->nr_waiters = 1;
	KUNIT_EXPECT_FALSE(test, kf_may_take_idle_locked(b->d));
}

static void balance_last_searcher_is_replaced(struct kunit *test)
{
	struct balance *b = test->priv;

	KUNIT_EXPECT_FALSE(test, kf_needs_searcher_locked(b->d));
	b->d->nr_spares = 1;
	KUNIT_EXPECT_TRUE(test, kf_needs_searcher_locked(b->d));
	b->d->nr_searching = 1;
	KUNIT_EXPECT_FALSE(test, kf_needs_searcher_locked(b->d));
	b->d->nr_searching = 0;
	b->d->nr_idle = 0;
	KUNIT_EXPECT_FALSE(test, kf_needs_searcher_locked(b->d));
	b->d->nr_idle = 1;
	b->d->nr_spares = 0;
	b->d->nr_waiters = 1;
	KUNIT_EXPECT_TRUE(test, kf_needs_searcher_locked(b->d));
}

static void balance_given_up_processor(struct kunit *test)
{
	struct balance *b = test->priv;

	/* It was the only busy one, so nobody can be queueing anything. */
	KUNIT_EXPECT_FALSE(test, kf_is_wanted_locked(b->d, &b->p[1]));
	b->p[1].block->next = 1;
	KUNIT_EXPECT_TRUE(test, kf_is_wanted_locked(b->d, &b->p[1]));
	KUNIT_EXPECT_FALSE(test, kf_is_wanted_locked(b->d, &b->p[2]));
	b->d->nr_waiters = 1;
	KUNIT_EXPECT_TRUE(test, kf_is_wanted_locked(b->d, &b->p[2]));
	b->d->nr_waiters = 0;
	b->d->nr_global = 1;
	KUNIT_EXPECT_TRUE(test, kf_is_wanted_locked(b->d, &b->p[2]));
	b->d->nr_global = 0;
	kf_fixture_hold(b->d, &b->p[3], b->holder);
	KUNIT_EXPECT_TRUE(test, kf_is_wanted_locked(b->d, &b->p[2]));
}

/* All sleep, nothing is queued, and some fiber has run since that was last so. */
static void balance_is_quiet(struct kunit *test)
{
	struct balance *b = test->priv;
	struct kf_domain *d = b->d;

	b->p[1].block->switches = 1;
	KUNIT_EXPECT_FALSE(test, kf_is_quiet_locked(d));
	d->nr_workers = 2;
	d->nr_spares = 1;
	KUNIT_EXPECT_FALSE(test, kf_is_quiet_locked(d));
	d->nr_spares = 2;
	KUNIT_EXPECT_TRUE(test, kf_is_quiet_locked(d));
	d->held = true;
	KUNIT_EXPECT_FALSE(test, kf_is_quiet_locked(d));
	d->held = false;
	b->p[2].block->next = 1;
	KUNIT_EXPECT_FALSE(test, kf_is_quiet_locked(d));
	b->p[2].block->next = 0;
	d->nr_global = 1;
	KUNIT_EXPECT_FALSE(test, kf_is_quiet_locked(d));
	d->nr_global = 0;
	d->quiet_switches = kf_switches_locked(d);
	KUNIT_EXPECT_FALSE(test, kf_is_quiet_locked(d));
	b->p[3].block->switches = 1;
	KUNIT_EXPECT_TRUE(test, kf_is_quiet_locked(d));
}

static struct kunit_case balance_cases[] = {
	KUNIT_CASE(balance_takes_turns),
	KUNIT_CASE(balance_preempted_come_last),
	KUNIT_CASE(balance_background_is_last),
	KUNIT_CASE(balance_front_is_bounded),
	KUNIT_CASE(balance_slices_by_priority),
	KUNIT_CASE(balance_sees_each_queue),
	KUNIT_CASE(balance_leaves_next_to_a_watcher),
	KUNIT_CASE(balance_prefers_the_last_processor),
	KUNIT_CASE(balance_spare_goes_where_work_is),
	KUNIT_CASE(balance_half_may_search),
	KUNIT_CASE(balance_who_waits_is_not_overtaken),
	KUNIT_CASE(balance_last_searcher_is_replaced),
	KUNIT_CASE(balance_given_up_processor),
	KUNIT_CASE(balance_is_quiet),
	{ }
};

static struct kunit_suite balance_suite = {
	.name = "kfiber_balance",
	.init = balance_init,
	.test_cases = balance_cases,
};
kunit_test_suite(balance_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's decisions");
MODULE_LICENSE("GPL");
