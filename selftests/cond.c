// SPDX-License-Identifier: GPL-2.0
/* kf_cond_t: no signal is missed, none goes to one who has left. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"

TEST(misuse_is_refused)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	kf_cond_t c = KF_COND_INIT;

	ASSERT_EQ(-EPERM, kf_cond_wait(&c, &m));
	ASSERT_EQ(-EPERM, kf_cond_wait_until(&c, &m, 0));
	ASSERT_TRUE(is_unused(&c.queue));
	/* Nobody is there: nothing is kept. */
	ASSERT_EQ(0, kf_cond_signal(&c));
	ASSERT_EQ(0, kf_cond_broadcast(&c));
	ASSERT_EQ(0, kf_mutex_lock(&m));
	ASSERT_EQ(-ETIMEDOUT, kf_cond_wait_until(&c, &m, kf_after(3 * MS)));
	ASSERT_EQ(-EBUSY, kf_mutex_trylock(&m));
	ASSERT_EQ(0, kf_mutex_unlock(&m));
	ASSERT_TRUE(is_unused(&c.queue));
}

/* --- a bounded buffer: every number comes once, in its producer's order ---------- */

enum { PRODUCERS = 3, CONSUMERS = 3, NUMBERS = 3000, ROOM = 4 };

struct buffer {
	kf_mutex_t m;
	kf_cond_t not_empty, not_full;
	long number[ROOM];
	unsigned int head, tail;
	atomic_uint who;
	long taken;
	long sum;
	bool impatient;
	atomic_long timeouts;
};

static int await_change(struct buffer *b, kf_cond_t *c, unsigned int *seed)
{
	uint64_t deadline = b->impatient ? kf_after(pick(seed, 200) * 1000ull) : KF_FOREVER;
	int err = kf_cond_wait_until(c, &b->m, deadline);

	if (err == -ETIMEDOUT)
		atomic_fetch_add(&b->timeouts, 1);
	return b->impatient && err == -ETIMEDOUT ? 0 : err;
}

static void *produce(struct buffer *b, unsigned int seed)
{
	long i;

	for (i = 1; i <= NUMBERS; i++) {
		kf_mutex_lock(&b->m);
		while (b->tail - b->head == ROOM)
			if (await_change(b, &b->not_full, &seed))
				return (void *)1;
		b->number[b->tail++ % ROOM] = i;
		kf_cond_signal(&b->not_empty);
		kf_mutex_unlock(&b->m);
	}
	return NULL;
}

static void *consume(struct buffer *b, unsigned int seed)
{
	for (;;) {
		kf_mutex_lock(&b->m);
		while (b->tail == b->head && b->taken < PRODUCERS * NUMBERS)
			if (await_change(b, &b->not_empty, &seed))
				return (void *)2;
		if (b->taken == PRODUCERS * NUMBERS)
			break;
		b->sum += b->number[b->head++ % ROOM];
		if (++b->taken == PRODUCERS * NUMBERS)
			kf_cond_broadcast(&b->not_empty);
		kf_cond_signal(&b->not_full);
		kf_mutex_unlock(&b->m);
		if (pick(&seed, 16) == 0)
			kf_yield();
	}
	kf_mutex_unlock(&b->m);
	return NULL;
}

static void *produce_or_consume(void *arg)
{
	struct buffer *b = arg;
	unsigned int who = atomic_fetch_add(&b->who, 1);
	void *err = who % 2 ? produce(b, who) : consume(b, who);

	return err || sleeps_soundly() ? err : (void *)3;
}

static bool all_came(struct buffer *b)
{
	return b->taken == PRODUCERS * NUMBERS &&
	       b->sum == PRODUCERS * (long)NUMBERS * (NUMBERS + 1) / 2 &&
	       is_unused(&b->not_empty.queue) && is_unused(&b->not_full.queue);
}

TEST_F(processors, every_signal_arrives)
{
	struct buffer b = { .m = KF_MUTEX_INIT };
	struct mixed m = { variant->n, PRODUCERS + CONSUMERS, 0, produce_or_consume, &b };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_TRUE(all_came(&b));
}

TEST_F(processors, every_signal_arrives_with_threads)
{
	struct buffer b = { .m = KF_MUTEX_INIT };
	struct mixed m = { variant->n, PRODUCERS, CONSUMERS, produce_or_consume, &b };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_TRUE(all_came(&b));
}

TEST_F(processors, every_signal_arrives_beside_timeouts)
{
	struct buffer b = { .m = KF_MUTEX_INIT, .impatient = true };
	struct mixed m = { variant->n, PRODUCERS, CONSUMERS, produce_or_consume, &b };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_TRUE(all_came(&b));
}

/* --- who is woken ----------------------------------------------------------------- */

enum { WAITERS = 5 };

struct line {
	kf_mutex_t m;
	kf_cond_t c;
	int waiting;
	int order[WAITERS];
	int woken;
};

static void *stand_in_line(void *arg)
{
	struct line *l = arg;
	int number;

	kf_mutex_lock(&l->m);
	number = l->waiting++;
	kf_cond_wait(&l->c, &l->m);
	l->order[l->woken++] = number;
	kf_mutex_unlock(&l->m);
	return NULL;
}

static int wake_in_order(void *broadcast)
{
	struct line l = { .m = KF_MUTEX_INIT };
	kf_fiber_t fibers[WAITERS];
	int i;

	for (i = 0; i < WAITERS; i++)
		if (kf_spawn(&fibers[i], NULL, stand_in_line, &l))
			return 1;
	for (i = 0; i < WAITERS; kf_yield()) {
		kf_mutex_lock(&l.m);
		i = l.waiting;
		kf_mutex_unlock(&l.m);
	}
	for (i = 0; i < WAITERS; i++) {
		int woken = 0;

		if (!broadcast || !i)
			(broadcast ? kf_cond_broadcast : kf_cond_signal)(&l.c);
		for (; woken <= i; kf_yield()) {
			kf_mutex_lock(&l.m);
			woken = l.woken;
			kf_mutex_unlock(&l.m);
		}
		/* One signal wakes one, and the one who has waited longest. */
		if (!broadcast && (woken != i + 1 || l.order[i] != i))
			return 2;
	}
	for (i = 0; i < WAITERS; i++)
		kf_join(fibers[i], NULL);
	return is_unused(&l.c.queue) ? 0 : 3;
}

TEST_F(processors, signal_wakes_who_has_waited_longest)
{
	ASSERT_EQ(0, run(variant->n, wake_in_order, NULL));
}

TEST_F(processors, broadcast_wakes_all)
{
	ASSERT_EQ(0, run(variant->n, wake_in_order, &variant));
}

/* A signal between a waiter's time-out and its return goes to the next one. */
static int pass_over_who_left(void *arg)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	kf_cond_t c = KF_COND_INIT;
	uint64_t begin = kf_now();

	kf_mutex_lock(&m);
	if (kf_cond_wait_until(&c, &m, begin + 10 * MS) != -ETIMEDOUT || kf_now() < begin + 10 * MS)
		return 1;
	if (kf_mutex_trylock(&m) != -EBUSY)
		return 2;
	return is_unused(&c.queue) ? 0 : 3;
}

TEST_F(processors, a_deadline_ends_the_wait)
{
	ASSERT_EQ(0, run(variant->n, pass_over_who_left, NULL));
}

TEST_HARNESS_MAIN
