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

/* Whose turn it is, by what there is. */
static const struct {
	const char *what;
	u32 idle, waiters, spares, searching;
	bool waiters_turn, kicked, work;
	enum kf_turn turn;
} balance_turns[] = {
	{ "no processor is idle", 0, 1, 1, 0, true, true, true, KF_TURN_NOBODY },
	{ "nobody sleeps", 1, 0, 0, 0, true, true, true, KF_TURN_NOBODY },
	{ "a waiter", 1, 1, 0, 0, false, false, false, KF_TURN_WAITER },
	{ "a waiter, whatever there is", 1, 1, 0, 0, false, true, true, KF_TURN_WAITER },
	{ "a waiter, and a spare without work", 1, 1, 1, 0, false, false, false, KF_TURN_WAITER },
	{ "a spare without work", 1, 0, 1, 0, false, false, false, KF_TURN_NOBODY },
	{ "a spare with work", 1, 0, 1, 0, false, false, true, KF_TURN_SPARE },
	{ "a spare that user space called", 1, 0, 1, 0, false, true, false, KF_TURN_SPARE },
	{ "somebody searching will find it", 1, 0, 1, 1, false, true, true, KF_TURN_NOBODY },
	{ "a waiter does not care who searches", 1, 1, 1, 1, false, true, true, KF_TURN_WAITER },
	{ "both, the waiter had the last", 1, 1, 1, 0, false, false, true, KF_TURN_SPARE },
	{ "both, the spare had the last", 1, 1, 1, 0, true, false, true, KF_TURN_WAITER },
	{ "the turn of waiters, but there is none", 1, 0, 1, 0, true, false, true, KF_TURN_SPARE },
};

static void balance_takes_turns(struct kunit *test)
{
	struct balance *b = test->priv;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(balance_turns); i++) {
		b->d->nr_idle = balance_turns[i].idle;
		b->d->nr_waiters = balance_turns[i].waiters;
		b->d->nr_spares = balance_turns[i].spares;
		b->d->nr_searching = balance_turns[i].searching;
		b->d->waiters_turn = balance_turns[i].waiters_turn;
		b->d->nr_global = balance_turns[i].work;
		KUNIT_EXPECT_EQ_MSG(test, kf_turn_locked(b->d, balance_turns[i].kicked),
				    balance_turns[i].turn, "%s", balance_turns[i].what);
	}
}

/* The preempted are the last, but for a turn of their own. */
static const struct {
	const char *what;
	u32 waiters, spares, preempted;
	bool preempted_turn, work;
	enum kf_turn turn;
} balance_preempted[] = {
	{ "nobody else", 0, 0, 1, false, false, KF_TURN_PREEMPTED },
	{ "nobody to run what is queued", 0, 0, 1, false, true, KF_TURN_PREEMPTED },
	{ "nothing is queued", 0, 1, 1, false, false, KF_TURN_PREEMPTED },
	{ "a spare with work", 0, 1, 1, false, true, KF_TURN_SPARE },
	{ "a waiter", 1, 0, 1, false, false, KF_TURN_WAITER },
	{ "it has waited longer than the work", 0, 1, 1, true, true, KF_TURN_PREEMPTED },
	{ "it has waited longer than the waiter", 1, 0, 1, true, false, KF_TURN_PREEMPTED },
	{ "its turn, but there is none", 1, 0, 0, true, false, KF_TURN_WAITER },
};

static void balance_preempted_come_last(struct kunit *test)
{
	struct balance *b = test->priv;
	size_t i;

	b->d->nr_idle = 1;
	b->d->waiters_turn = true;
	for (i = 0; i < ARRAY_SIZE(balance_preempted); i++) {
		b->d->nr_waiters = balance_preempted[i].waiters;
		b->d->nr_spares = balance_preempted[i].spares;
		b->d->nr_preempted = balance_preempted[i].preempted;
		b->d->preempted_turn = balance_preempted[i].preempted_turn;
		b->d->nr_global = balance_preempted[i].work;
		KUNIT_EXPECT_EQ_MSG(test, kf_turn_locked(b->d, false), balance_preempted[i].turn,
				    "%s", balance_preempted[i].what);
	}
}

/* The background comes after the preempted; what is interactive is work as any other. */
static const struct {
	const char *what;
	u32 preempted, behind, spares, searching, front, back;
	enum kf_turn turn;
} balance_apart[] = {
	{ "behind, alone", 0, 1, 0, 0, 0, 0, KF_TURN_BEHIND },
	{ "behind one that was preempted", 1, 1, 0, 0, 0, 0, KF_TURN_PREEMPTED },
	{ "behind, and a spare with work", 0, 1, 1, 0, 1, 0, KF_TURN_SPARE },
	{ "behind, and a fiber in the back", 0, 1, 1, 0, 0, 1, KF_TURN_BEHIND },
	{ "a fiber in the back, and a spare", 0, 0, 1, 0, 0, 1, KF_TURN_SPARE },
	{ "it waits for the preempted", 1, 0, 1, 0, 0, 1, KF_TURN_PREEMPTED },
	{ "somebody searching will find it", 0, 0, 1, 1, 0, 1, KF_TURN_NOBODY },
	{ "an interactive one goes before", 1, 1, 1, 0, 1, 1, KF_TURN_SPARE },
};

static void balance_background_is_last(struct kunit *test)
{
	struct balance *b = test->priv;
	size_t i;

	b->d->nr_idle = 1;
	for (i = 0; i < ARRAY_SIZE(balance_apart); i++) {
		b->d->nr_preempted = balance_apart[i].preempted;
		b->d->nr_behind = balance_apart[i].behind;
		b->d->nr_spares = balance_apart[i].spares;
		b->d->nr_searching = balance_apart[i].searching;
		b->d->nr_front = balance_apart[i].front;
		b->d->nr_back = balance_apart[i].back;
		KUNIT_EXPECT_EQ_MSG(test, kf_turn_locked(b->d, false), balance_apart[i].turn,
				    "%s", balance_apart[i].what);
	}
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
