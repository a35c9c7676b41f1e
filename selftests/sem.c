// SPDX-License-Identifier: GPL-2.0
/* kf_sem_t: units are neither lost nor made, and go to who has waited longest. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"
#include "syscalls.h"

TEST(misuse_is_refused)
{
	kf_sem_t s = KF_SEM_INIT(KF_SEM_MAX - 1);

	ASSERT_EQ(0, kf_sem_post(&s));
	ASSERT_EQ(-EOVERFLOW, kf_sem_post(&s));
	ASSERT_EQ(KF_SEM_MAX, s.word);
	ASSERT_EQ(0, kf_sem_trywait(&s));
	ASSERT_EQ(KF_SEM_MAX - 1, s.word);
}

TEST(plain_threads_need_no_domain)
{
	kf_sem_t s = KF_SEM_INIT(1);

	ASSERT_EQ(0, kf_sem_wait_until(&s, 0));
	ASSERT_EQ(-EAGAIN, kf_sem_trywait(&s));
	ASSERT_EQ(-ETIMEDOUT, kf_sem_wait_until(&s, kf_after(3 * MS)));
	ASSERT_EQ(0, kf_sem_post(&s));
	ASSERT_EQ(0, kf_sem_wait(&s));
	ASSERT_EQ(0, s.word);
	ASSERT_TRUE(is_unused(&s.queue));
}

/* --- as many inside as there are units ---------------------------------------- */

enum { UNITS = 3, ROUNDS = 3000 };

struct room {
	kf_sem_t s;
	atomic_int inside;
	atomic_int most;
	atomic_uint seeds;
	atomic_long timeouts;
	bool impatient;
};

static void *enter_room(void *arg)
{
	struct room *r = arg;
	unsigned int seed = atomic_fetch_add(&r->seeds, 1);
	int i = 0;

	while (i < ROUNDS) {
		uint64_t patience = r->impatient ? pick(&seed, 200) * 1000ull : KF_FOREVER;
		int err = kf_sem_wait_until(&r->s, kf_after(patience));

		if (err == -ETIMEDOUT && r->impatient) {
			atomic_fetch_add(&r->timeouts, 1);
			continue;
		}
		if (err || atomic_fetch_add(&r->inside, 1) >= UNITS)
			return (void *)1;
		if (pick(&seed, 4) == 0)
			kf_yield();
		atomic_fetch_sub(&r->inside, 1);
		if (kf_sem_post(&r->s))
			return (void *)2;
		i++;
	}
	return sleeps_soundly() ? NULL : (void *)3;
}

TEST_F(processors, units_are_kept)
{
	struct room r = { .s = KF_SEM_INIT(UNITS) };
	struct mixed m = { variant->n, 8, 2, enter_room, &r };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_EQ(UNITS, r.s.word);
	ASSERT_TRUE(is_unused(&r.s.queue));
}

TEST_F(processors, units_are_kept_beside_timeouts)
{
	struct room r = { .s = KF_SEM_INIT(UNITS), .impatient = true };
	struct mixed m = { variant->n, 8, 2, enter_room, &r };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_EQ(UNITS, r.s.word);
	ASSERT_TRUE(is_unused(&r.s.queue));
}

/* --- order ---------------------------------------------------------------------- */

enum { WAITERS = 6 };

struct line {
	kf_sem_t s;
	atomic_int begun;
	atomic_int ended;
	int order[WAITERS];
};

static void *stand_in_line(void *arg)
{
	struct line *l = arg;
	int number = atomic_fetch_add(&l->begun, 1);

	if (kf_sem_wait(&l->s))
		return (void *)1;
	l->order[atomic_fetch_add(&l->ended, 1)] = number;
	return NULL;
}

static int post_in_order(void *arg)
{
	struct line l = { .s = KF_SEM_INIT(0) };
	kf_fiber_t fibers[WAITERS];
	void *value;
	int i;

	for (i = 0; i < WAITERS; i++) {
		void *last = l.s.queue.last;

		if (kf_spawn(&fibers[i], NULL, stand_in_line, &l))
			return 1;
		/* Until it waits: the queue's end is another. */
		while (((volatile kf_sem_t *)&l.s)->queue.last == last)
			kf_yield();
	}
	for (i = 0; i < WAITERS; i++) {
		kf_sem_post(&l.s);
		/* It is another's already. */
		if (kf_sem_trywait(&l.s) != -EAGAIN)
			return 2;
		while (atomic_load(&l.ended) <= i)
			kf_yield();
		if (l.order[i] != i)
			return 3;
	}
	for (i = 0; i < WAITERS; i++)
		if (kf_join(fibers[i], &value) || value)
			return 4;
	return l.s.word == 0 && is_unused(&l.s.queue) ? 0 : 5;
}

TEST_F(processors, units_go_to_who_has_waited_longest)
{
	ASSERT_EQ(0, run(variant->n, post_in_order, NULL));
}

static int time_out(void *arg)
{
	kf_sem_t s = KF_SEM_INIT(0);
	uint64_t begin = kf_now();

	if (kf_sem_wait_until(&s, begin + 10 * MS) != -ETIMEDOUT || kf_now() < begin + 10 * MS)
		return 1;
	if (s.word || !is_unused(&s.queue))
		return 2;
	/* No unit goes to the one that left. */
	return kf_sem_post(&s) || kf_sem_trywait(&s) ? 3 : 0;
}

TEST_F(processors, a_deadline_ends_the_wait)
{
	ASSERT_EQ(0, run(variant->n, time_out, NULL));
}

/* --- system calls ----------------------------------------------------------------- */

struct two { kf_sem_t ping, pong; };

static void *answer(void *arg)
{
	struct two *t = arg;
	int i;

	for (i = 0; i < 50000; i++)
		if (kf_sem_wait(&t->ping) || kf_sem_post(&t->pong))
			return (void *)1;
	return NULL;
}

static int call(void *arg)
{
	struct two t = { KF_SEM_INIT(0), KF_SEM_INIT(0) };
	kf_fiber_t other;
	void *value;
	int i, bad = 0;

	if (kf_spawn(&other, NULL, answer, &t))
		return -1;
	wait_for_spare();
	if (forbid_system_calls(1))
		return -2;
	for (i = 0; i < 50000; i++)
		bad += !!kf_sem_post(&t.ping) + !!kf_sem_wait(&t.pong);
	if (forbid_system_calls(0))
		return -3;
	return kf_join(other, &value) || value ? -4 : bad;
}

TEST(a_unit_to_and_fro_on_one_processor_takes_no_system_call)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_without_slices(1, call, NULL));
}

TEST_HARNESS_MAIN
