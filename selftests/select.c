// SPDX-License-Identifier: GPL-2.0
/* kf_select: one case goes, any that can, and nothing is lost in the others. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"
#include "syscalls.h"

TEST(misuse_is_refused)
{
	kf_chan_t *c = kf_chan_create(sizeof(long), 1);
	long value = 3;
	struct kf_case good[] = { KF_RECV(c, &value) };
	struct kf_case no_value[] = { KF_RECV(c, &value), KF_SEND(c, NULL) };
	struct kf_case no_op[] = { KF_SEND(c, &value), { c, &value, 0, 0, { 0 } } };

	ASSERT_EQ(-EINVAL, kf_select(good, -1, KF_FOREVER));
	ASSERT_EQ(-EINVAL, kf_select(NULL, 1, KF_FOREVER));
	ASSERT_EQ(-EINVAL, kf_select(no_value, 2, KF_FOREVER));
	ASSERT_EQ(-EINVAL, kf_select(no_op, 2, KF_FOREVER));
	/* Nothing was done. */
	ASSERT_EQ(-EAGAIN, kf_chan_tryrecv(c, &value));
	ASSERT_EQ(0, kf_chan_destroy(c));
}

TEST(plain_threads_need_no_domain)
{
	kf_chan_t *a = kf_chan_create(sizeof(long), 1), *b = kf_chan_create(sizeof(long), 0);
	long value = 3, got = 0;
	struct kf_case none[] = { KF_RECV(a, &got), KF_SEND(b, &value), KF_RECV(NULL, NULL) };
	struct kf_case send[] = { KF_SEND(a, &value), KF_SEND(b, &value) };
	uint64_t begin = kf_now();

	ASSERT_EQ(-ETIMEDOUT, kf_select(none, 3, 0));
	ASSERT_EQ(-ETIMEDOUT, kf_select(none, 3, begin + 3 * MS));
	ASSERT_EQ(-ETIMEDOUT, kf_select(NULL, 0, begin + 6 * MS));
	ASSERT_EQ(-ETIMEDOUT, kf_select(&none[2], 1, begin + 9 * MS));
	ASSERT_LE(begin + 9 * MS, kf_now());
	ASSERT_EQ(0, kf_select(send, 2, 0));
	ASSERT_EQ(0, send[0].result);
	ASSERT_EQ(0, kf_select(none, 3, KF_FOREVER));
	ASSERT_EQ(3, got);
	ASSERT_EQ(0, kf_chan_close(b));
	ASSERT_EQ(1, kf_select(none, 2, KF_FOREVER));
	ASSERT_EQ(-EPIPE, none[1].result);
	ASSERT_EQ(0, kf_chan_destroy(a));
	ASSERT_EQ(0, kf_chan_destroy(b));
}

/* --- fairness --------------------------------------------------------------------- */

enum { CHANNELS = 4 };

TEST(of_those_that_can_go_each_does)
{
	kf_chan_t *c[CHANNELS];
	struct kf_case cases[CHANNELS];
	int count[CHANNELS] = { 0 };
	int i;

	for (i = 0; i < CHANNELS; i++) {
		c[i] = kf_chan_create(0, 1);
		cases[i] = (struct kf_case)KF_RECV(c[i], NULL);
		kf_chan_send(c[i], NULL);
	}
	for (i = 0; i < 4000; i++) {
		int went = kf_select(cases, CHANNELS, KF_FOREVER);

		ASSERT_LE(0, went);
		count[went]++;
		kf_chan_send(c[went], NULL);
	}
	for (i = 0; i < CHANNELS; i++) {
		/* 14 standard deviations. */
		ASSERT_LT(600, count[i]);
		ASSERT_EQ(0, kf_chan_destroy(c[i]));
	}
}

static void *send_on_and_on(void *arg)
{
	while (!kf_chan_send(arg, NULL))
		;
	return NULL;
}

static int serve_two(void *arg)
{
	kf_chan_t *c[2] = { kf_chan_create(0, 0), kf_chan_create(0, 0) };
	struct kf_case cases[] = { KF_RECV(c[0], NULL), KF_RECV(c[1], NULL) };
	long least = (long)arg;
	kf_fiber_t senders[2];
	int i, count[2] = { 0 };

	for (i = 0; i < 2; i++)
		if (kf_spawn(&senders[i], NULL, send_on_and_on, c[i]))
			return 1;
	/* With several processors it is the machine's as well which of the senders runs. */
	for (i = 0; i < 4000 || !count[0] || !count[1]; i++)
		count[kf_select(cases, 2, KF_FOREVER)]++;
	for (i = 0; i < 2; i++) {
		kf_chan_close(c[i]);
		kf_join(senders[i], NULL);
		if (kf_chan_destroy(c[i]))
			return 2;
	}
	return count[0] > least && count[1] > least ? 0 : 3;
}

TEST_F(processors, no_sender_starves)
{
	long least = variant->n == 1 ? 400 : 0;

	ASSERT_EQ(0, run(variant->n, serve_two, (void *)least));
}

/* --- selects that meet ---------------------------------------------------------------- */

enum { ROUNDS = 3000 };

struct pair {
	kf_chan_t *a, *b;
	long on_a[2], on_b[2];
};

/* Sends on the one or receives from the other. */
static void *meet(struct pair *p, int side)
{
	long sent = side + 1, got = 0;
	struct kf_case cases[] = {
		KF_SEND(side ? p->b : p->a, &sent),
		KF_RECV(side ? p->a : p->b, &got),
	};
	int i;

	for (i = 0; i < ROUNDS; i++) {
		int went = kf_select(cases, 2, KF_FOREVER);

		if (went < 0 || cases[went].result)
			return (void *)1;
		if (went == 1 && got != 2 - side)
			return (void *)2;
		if (went == side)
			p->on_a[side]++;
		else
			p->on_b[side]++;
	}
	return NULL;
}

static void *meet_from_left(void *arg)
{
	return meet(arg, 0);
}

static void *meet_from_right(void *arg)
{
	return meet(arg, 1);
}

static int meet_many_times(void *arg)
{
	struct pair p = {
		.a = kf_chan_create(sizeof(long), 0),
		.b = kf_chan_create(sizeof(long), 0),
	};
	kf_fiber_t left, right;
	void *value;

	if (kf_spawn(&left, NULL, meet_from_left, &p))
		return 1;
	if (kf_spawn(&right, NULL, meet_from_right, &p))
		return 1;
	if (kf_join(left, &value) || value || kf_join(right, &value) || value)
		return 2;
	if (p.on_a[0] != p.on_a[1] || p.on_b[0] != p.on_b[1])
		return 3;
	return kf_chan_destroy(p.a) || kf_chan_destroy(p.b) ? 4 : 0;
}

TEST_F(processors, selects_meet)
{
	ASSERT_EQ(0, run(variant->n, meet_many_times, NULL));
}

/* Both sides of one channel: never with oneself. */
static int exchange_with_oneself(void *arg)
{
	kf_chan_t *c = kf_chan_create(sizeof(long), 0);
	long sent = 1, got = 0;
	struct kf_case cases[] = { KF_SEND(c, &sent), KF_RECV(c, &got) };

	if (kf_select(cases, 2, kf_after(5 * MS)) != -ETIMEDOUT || got)
		return 1;
	return kf_chan_destroy(c) ? 2 : 0;
}

TEST_F(processors, a_select_does_not_meet_itself)
{
	ASSERT_EQ(0, run(variant->n, exchange_with_oneself, NULL));
}

/* --- nothing is lost and nothing is made -------------------------------------------- */

struct trade {
	kf_chan_t *c[CHANNELS];
	atomic_long sent[CHANNELS], received[CHANNELS];
	atomic_long timeouts;
	atomic_uint seeds;
};

static bool trade_once(struct trade *t, unsigned int *seed)
{
	long sent = 1 + pick(seed, 100), got[CHANNELS];
	struct kf_case cases[CHANNELS];
	unsigned int i, at, n = 1 + pick(seed, CHANNELS), first = pick(seed, CHANNELS);
	int went;

	for (i = 0; i < n; i++) {
		at = (first + i) % CHANNELS;
		if (pick(seed, 2))
			cases[i] = (struct kf_case)KF_SEND(t->c[at], &sent);
		else
			cases[i] = (struct kf_case)KF_RECV(t->c[at], &got[i]);
	}
	went = kf_select(cases, (int)n, kf_after(pick(seed, 200) * 1000ull));
	if (went == -ETIMEDOUT) {
		atomic_fetch_add(&t->timeouts, 1);
		return true;
	}
	if (went < 0 || cases[went].result)
		return false;
	at = (first + (unsigned int)went) % CHANNELS;
	if (cases[went].op == KF_CASE_SEND)
		atomic_fetch_add(&t->sent[at], sent);
	else
		atomic_fetch_add(&t->received[at], got[went]);
	return true;
}

static void *trade(void *arg)
{
	struct trade *t = arg;
	unsigned int seed = atomic_fetch_add(&t->seeds, 1);
	int i;

	for (i = 0; i < ROUNDS; i++)
		if (!trade_once(t, &seed))
			return (void *)1;
	return sleeps_soundly() ? NULL : (void *)2;
}

TEST_F(processors, the_books_balance)
{
	struct trade t = { 0 };
	struct mixed m = { variant->n, 8, 2, trade, &t };
	int i;

	for (i = 0; i < CHANNELS; i++)
		t.c[i] = kf_chan_create(sizeof(long), (size_t)i);
	ASSERT_EQ(0, run_mixed(&m));
	for (i = 0; i < CHANNELS; i++) {
		long value;

		while (!kf_chan_tryrecv(t.c[i], &value))
			atomic_fetch_add(&t.received[i], value);
		ASSERT_LT(0, atomic_load(&t.sent[i]));
		ASSERT_EQ(atomic_load(&t.sent[i]), atomic_load(&t.received[i]));
		ASSERT_EQ(0, kf_chan_destroy(t.c[i]));
	}
}

/* --- many cases, the end, and system calls --------------------------------------------- */

enum { MANY = 1000 };

static void *close_later(void *arg)
{
	kf_sleep(5 * MS);
	return (void *)(long)kf_chan_close(arg);
}

static int wait_for_many(void *arg)
{
	struct kf_case *cases = calloc(MANY, sizeof(*cases));
	kf_chan_t *c[MANY];
	kf_fiber_t closer;
	int i, went;

	for (i = 0; i < MANY; i++)
		c[i] = kf_chan_create(1, 0);
	/* Some of them more than once. */
	for (i = 0; i < MANY; i++)
		cases[i] = (struct kf_case)KF_RECV(c[i / 10 * 10 + i % 9], NULL);
	if (kf_spawn(&closer, NULL, close_later, c[505]))
		return 1;
	went = kf_select(cases, MANY, KF_FOREVER);
	if (went < 0 || cases[went].chan != c[505] || cases[went].result != -EPIPE ||
	    kf_join(closer, NULL))
		return 2;
	for (i = 0; i < MANY; i++)
		if (kf_chan_destroy(c[i]))
			return 3;
	free(cases);
	return 0;
}

TEST_F(processors, many_cases)
{
	ASSERT_EQ(0, run(variant->n, wait_for_many, NULL));
}

static void *feed(void *arg)
{
	kf_chan_t **c = arg;
	long i;

	for (i = 0; i < 40000; i++)
		if (kf_chan_send(c[i % 2], &i))
			return (void *)1;
	return NULL;
}

static int select_without_calls(void *arg)
{
	kf_chan_t *c[2] = { kf_chan_create(sizeof(long), 0), kf_chan_create(sizeof(long), 0) };
	long i, got = -1, bad = 0;
	struct kf_case cases[] = { KF_RECV(c[0], &got), KF_RECV(c[1], &got) };
	kf_fiber_t feeder;

	if (kf_spawn(&feeder, NULL, feed, c))
		return -1;
	wait_for_spare();
	if (forbid_system_calls(1))
		return -2;
	for (i = 0; i < 40000; i++)
		bad += kf_select(cases, 2, KF_FOREVER) != i % 2 || got != i;
	if (forbid_system_calls(0))
		return -3;
	return kf_join(feeder, NULL) ? -4 : (int)bad;
}

TEST(waiting_on_one_processor_makes_no_system_call)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_without_slices(1, select_without_calls, NULL));
}

TEST_HARNESS_MAIN
