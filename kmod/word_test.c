// SPDX-License-Identifier: GPL-2.0
/* KUnit: names and state words of word.h. */
#include <kunit/test.h>

#include "word.h"

#define GENERATION 7ull
#define WORD(bits) (GENERATION << KFIBER_GENERATION_SHIFT | (bits))

static void word_names(struct kunit *test)
{
	u64 name = kf_name(0xfffffffe, 0x123456);

	KUNIT_EXPECT_EQ(test, kf_name_generation(name), 0xfffffffe);
	KUNIT_EXPECT_EQ(test, kf_name_index(name), 0x123456);
	KUNIT_EXPECT_EQ(test, name, 0xfffffffe00123456);
	KUNIT_EXPECT_EQ(test, kf_name_index(U64_MAX), U32_MAX);
	KUNIT_EXPECT_EQ(test, kf_word_with_state(WORD(0xffff), KFIBER_DEAD), WORD(KFIBER_DEAD));
}

static void word_generations(struct kunit *test)
{
	u64 name = kf_name(GENERATION, 3);

	KUNIT_EXPECT_EQ(test, kf_next_generation(1), 2);
	KUNIT_EXPECT_EQ(test, kf_next_generation(U32_MAX - 1), U32_MAX);
	/* 0 is no fiber's. */
	KUNIT_EXPECT_EQ(test, kf_next_generation(U32_MAX), 1);
	KUNIT_EXPECT_TRUE(test, kf_word_is(WORD(KFIBER_DEAD | KFIBER_KILLED), name, KFIBER_DEAD));
	KUNIT_EXPECT_FALSE(test, kf_word_is(WORD(KFIBER_DEAD), name, KFIBER_FREE));
	KUNIT_EXPECT_FALSE(test, kf_word_is(WORD(KFIBER_FREE), kf_name(GENERATION + 1, 3),
					    KFIBER_FREE));
}

/* Its thread has died: only a fiber that ran there can have died with it. */
static void word_kill(struct kunit *test)
{
	static const struct {
		u64 old;
		bool dies;
	} words[] = {
		{ KFIBER_ACTIVE, true },
		{ KFIBER_ACTIVE | KFIBER_PERMIT | KFIBER_WAKE, true },
		{ KFIBER_PARKING | KFIBER_WAITS_WAKE, true },
		{ KFIBER_PARKED, false },
		{ KFIBER_PARKED | KFIBER_PINNED | KFIBER_WAITS_WAKE, true },
		{ KFIBER_DEAD | KFIBER_PINNED, false },
		{ KFIBER_FREE, false },
		{ KFIBER_DEAD, false },
		{ 0x77, false },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		u64 word = WORD(words[i].old);

		KUNIT_EXPECT_FALSE(test, kf_word_kill(&word, kf_name(GENERATION - 1, 3)));
		KUNIT_EXPECT_EQ(test, word, WORD(words[i].old));
		KUNIT_EXPECT_EQ(test, kf_word_kill(&word, kf_name(GENERATION, 3)), words[i].dies);
		KUNIT_EXPECT_EQ(test, word,
				WORD(words[i].dies ? KFIBER_DEAD | KFIBER_KILLED : words[i].old));
	}
}

/* What comes, to which word, and what becomes of it. */
static const struct {
	const char *what;
	u64 old, flag, new;
} word_moves[] = {
	{ "a permit ends the wait for one",
	  KFIBER_PARKED, KFIBER_PERMIT, KFIBER_ACTIVE },
	{ "a wake-up is kept for later",
	  KFIBER_PARKED, KFIBER_WAKE, KFIBER_PARKED | KFIBER_WAKE },
	{ "a wake-up ends the wait for one",
	  KFIBER_PARKED | KFIBER_WAITS_WAKE, KFIBER_WAKE, KFIBER_ACTIVE },
	{ "a permit is kept for later",
	  KFIBER_PARKED | KFIBER_WAITS_WAKE, KFIBER_PERMIT,
	  KFIBER_PARKED | KFIBER_WAITS_WAKE | KFIBER_PERMIT },
	{ "what was kept stays when the wait ends",
	  KFIBER_PARKED | KFIBER_WAITS_WAKE | KFIBER_PERMIT, KFIBER_WAKE,
	  KFIBER_ACTIVE | KFIBER_PERMIT },
	{ "time ends any wait, and says so",
	  KFIBER_PARKED, KFIBER_TIMEDOUT, KFIBER_ACTIVE | KFIBER_TIMEDOUT },
	{ "time ends the other wait too",
	  KFIBER_PARKED | KFIBER_WAITS_WAKE, KFIBER_TIMEDOUT, KFIBER_ACTIVE | KFIBER_TIMEDOUT },
	{ "while parking, a permit is left for the publisher",
	  KFIBER_PARKING, KFIBER_PERMIT, KFIBER_PARKING | KFIBER_PERMIT },
	{ "while parking, so is the time",
	  KFIBER_PARKING, KFIBER_TIMEDOUT, KFIBER_PARKING | KFIBER_TIMEDOUT },
	{ "an active fiber keeps its permit",
	  KFIBER_ACTIVE, KFIBER_PERMIT, KFIBER_ACTIVE | KFIBER_PERMIT },
	{ "one permit is as good as two",
	  KFIBER_ACTIVE | KFIBER_PERMIT, KFIBER_PERMIT, KFIBER_ACTIVE | KFIBER_PERMIT },
	{ "a late timer does nothing to an active fiber",
	  KFIBER_ACTIVE, KFIBER_TIMEDOUT, KFIBER_ACTIVE },
	{ "nothing wakes the dead", KFIBER_DEAD, KFIBER_WAKE, KFIBER_DEAD },
	{ "nor those to come", KFIBER_FREE, KFIBER_PERMIT, KFIBER_FREE },
	{ "nor what is no state", 0x77, KFIBER_PERMIT, 0x77 },
};

static void word_woken(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(word_moves); i++)
		KUNIT_EXPECT_EQ_MSG(test, WORD(word_moves[i].new),
				    kf_word_woken(WORD(word_moves[i].old), word_moves[i].flag),
				    "%s", word_moves[i].what);
}

static void word_wake_queues_once(struct kunit *test)
{
	u64 word = WORD(KFIBER_PARKED), name = kf_name(GENERATION, 3);

	KUNIT_EXPECT_EQ(test, kf_word_wake(&word, name, KFIBER_PERMIT), GENERATION);
	KUNIT_EXPECT_EQ(test, kf_word_wake(&word, name, KFIBER_PERMIT), 0);
	KUNIT_EXPECT_EQ(test, word, WORD(KFIBER_ACTIVE | KFIBER_PERMIT));
}

static void word_wake_wants_the_generation(struct kunit *test)
{
	u64 word = WORD(KFIBER_PARKED);

	KUNIT_EXPECT_EQ(test, kf_word_wake(&word, kf_name(GENERATION + 1, 3), KFIBER_PERMIT), 0);
	KUNIT_EXPECT_EQ(test, word, WORD(KFIBER_PARKED));
	/* A timer asks for nobody in particular. */
	KUNIT_EXPECT_EQ(test, kf_word_wake(&word, 0, KFIBER_TIMEDOUT), GENERATION);
}

/* A hostile word without a generation is never put in a queue. */
static void word_wake_without_generation(struct kunit *test)
{
	u64 word = KFIBER_PARKED;

	KUNIT_EXPECT_EQ(test, kf_word_wake(&word, 0, KFIBER_TIMEDOUT), 0);
}

/* Of a stack that is taken: its fiber's word, what comes meanwhile, the end. */
static const struct {
	const char *what;
	u64 old, comes, new;
	bool queues;
} word_holds[] = {
	{ "nothing came", KFIBER_PARKED, 0, KFIBER_PARKED, false },
	{ "what it waits for", KFIBER_PARKED, KFIBER_PERMIT, KFIBER_ACTIVE | KFIBER_PERMIT, true },
	{ "what it does not wait for", KFIBER_PARKED, KFIBER_WAKE,
	  KFIBER_PARKED | KFIBER_WAKE, false },
	{ "a wake-up that it waits for", KFIBER_PARKED | KFIBER_WAITS_WAKE, KFIBER_WAKE,
	  KFIBER_ACTIVE | KFIBER_WAKE, true },
	{ "another permit", KFIBER_PARKED | KFIBER_WAITS_WAKE, KFIBER_PERMIT,
	  KFIBER_PARKED | KFIBER_WAITS_WAKE | KFIBER_PERMIT, false },
	{ "its time", KFIBER_PARKED | KFIBER_WAITS_WAKE, KFIBER_TIMEDOUT,
	  KFIBER_ACTIVE | KFIBER_TIMEDOUT, true },
};

static void word_holds_and_publishes(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(word_holds); i++) {
		u64 word = WORD(word_holds[i].old), name = kf_name(GENERATION, 3);

		KUNIT_EXPECT_TRUE_MSG(test, kf_word_hold(&word), "%s", word_holds[i].what);
		KUNIT_EXPECT_EQ(test, kf_word_state(word), KFIBER_PARKING);
		/* It is the holder who queues. */
		if (word_holds[i].comes)
			KUNIT_EXPECT_EQ(test, kf_word_wake(&word, name, word_holds[i].comes), 0);
		KUNIT_EXPECT_EQ_MSG(test, kf_word_publish(&word),
				    word_holds[i].queues ? GENERATION : 0, "%s", word_holds[i].what);
		KUNIT_EXPECT_EQ_MSG(test, word, WORD(word_holds[i].new), "%s", word_holds[i].what);
	}
}

static void word_holds_only_the_parked(struct kunit *test)
{
	static const u64 states[] = { KFIBER_FREE, KFIBER_ACTIVE, KFIBER_PARKING, KFIBER_DEAD, 0x77 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(states); i++) {
		u64 word = WORD(states[i]);

		KUNIT_EXPECT_FALSE(test, kf_word_hold(&word));
		KUNIT_EXPECT_EQ(test, word, WORD(states[i]));
		/* Nor is what somebody made of it meanwhile published. */
		if (states[i] != KFIBER_PARKING)
			KUNIT_EXPECT_EQ(test, kf_word_publish(&word), 0);
		KUNIT_EXPECT_EQ(test, word, states[i] == KFIBER_PARKING ? word : WORD(states[i]));
	}
}

static void word_takes_only_the_pooled(struct kunit *test)
{
	static const u64 others[] = {
		KFIBER_FREE, KFIBER_ACTIVE | KFIBER_POOLED, KFIBER_PARKED | KFIBER_POOLED,
		KFIBER_DEAD | KFIBER_POOLED,
	};
	u64 word = WORD(KFIBER_FREE | KFIBER_POOLED);
	size_t i;

	KUNIT_EXPECT_TRUE(test, kf_word_take(&word));
	KUNIT_EXPECT_EQ(test, word, WORD(KFIBER_FREE));
	KUNIT_EXPECT_FALSE(test, kf_word_take(&word));
	kf_word_give(&word);
	KUNIT_EXPECT_EQ(test, word, WORD(KFIBER_FREE | KFIBER_POOLED));
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		word = WORD(others[i]);
		KUNIT_EXPECT_FALSE(test, kf_word_take(&word));
		KUNIT_EXPECT_EQ(test, word, WORD(others[i]));
	}
	/* What somebody made of it meanwhile is left so. */
	word = WORD(KFIBER_ACTIVE);
	kf_word_give(&word);
	KUNIT_EXPECT_EQ(test, word, WORD(KFIBER_ACTIVE));
}

static struct kunit_case word_cases[] = {
	KUNIT_CASE(word_takes_only_the_pooled),
	KUNIT_CASE(word_holds_and_publishes),
	KUNIT_CASE(word_holds_only_the_parked),
	KUNIT_CASE(word_names),
	KUNIT_CASE(word_generations),
	KUNIT_CASE(word_kill),
	KUNIT_CASE(word_woken),
	KUNIT_CASE(word_wake_queues_once),
	KUNIT_CASE(word_wake_wants_the_generation),
	KUNIT_CASE(word_wake_without_generation),
	{ }
};

static struct kunit_suite word_suite = {
	.name = "kfiber_word",
	.test_cases = word_cases,
};
kunit_test_suite(word_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's state words");
MODULE_LICENSE("GPL");
