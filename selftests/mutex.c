// SPDX-License-Identifier: GPL-2.0
/* kf_mutex_t: one at a time, nobody starves, no system call but to wake a thread. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"
#include "syscalls.h"

/* As it was made: nothing is left of whoever waited. */
static bool is_fresh(const kf_mutex_t *m)
{
	return !m->word && is_unused(&m->queue);
}

TEST(misuse_is_refused)
{
	kf_mutex_t m = KF_MUTEX_INIT;

	ASSERT_EQ(-EPERM, kf_mutex_unlock(&m));
	ASSERT_EQ(0, kf_mutex_lock(&m));
	ASSERT_EQ(-EBUSY, kf_mutex_trylock(&m));
	ASSERT_EQ(0, kf_mutex_unlock(&m));
	ASSERT_EQ(-EPERM, kf_mutex_unlock(&m));
	ASSERT_TRUE(is_fresh(&m));
}

TEST(plain_threads_need_no_domain)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	uint64_t begin = kf_now();

	ASSERT_EQ(0, kf_mutex_trylock(&m));
	errno = 77;
	ASSERT_EQ(-ETIMEDOUT, kf_mutex_lock_until(&m, 0));
	ASSERT_EQ(-ETIMEDOUT, kf_mutex_lock_until(&m, kf_after(5 * MS)));
	ASSERT_EQ(77, errno);
	ASSERT_LE(5 * MS, kf_now() - begin);
	ASSERT_EQ(0, kf_mutex_unlock(&m));
	ASSERT_EQ(0, kf_mutex_lock_until(&m, 0));
	ASSERT_EQ(0, kf_mutex_unlock(&m));
	ASSERT_TRUE(is_fresh(&m));
}

/* --- one at a time ------------------------------------------------------------ */

enum { ROUNDS = 4000 };

struct counted {
	kf_mutex_t m;
	long count;
	atomic_int inside;
	atomic_uint seeds;
	atomic_long timeouts;
};

/* What a race would lose: read, let others run, write. */
static bool count_inside(struct counted *c, bool wait)
{
	long count = c->count;
	bool alone = atomic_fetch_add(&c->inside, 1) == 0;

	if (wait)
		kf_yield();
	c->count = count + 1;
	return atomic_fetch_sub(&c->inside, 1) == 1 && alone;
}

static void *count_locked(void *arg)
{
	struct counted *c = arg;
	unsigned int seed = atomic_fetch_add(&c->seeds, 1);
	int i;

	for (i = 0; i < ROUNDS; i++) {
		bool alone;

		if (kf_mutex_lock(&c->m))
			return (void *)1;
		alone = count_inside(c, pick(&seed, 8) == 0);
		if (kf_mutex_unlock(&c->m) || !alone)
			return (void *)2;
	}
	return sleeps_soundly() ? NULL : (void *)3;
}

TEST_F(processors, one_at_a_time)
{
	struct counted c = { .m = KF_MUTEX_INIT };
	struct mixed m = { variant->n, 8, 0, count_locked, &c };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_EQ(8 * ROUNDS, c.count);
	ASSERT_TRUE(is_fresh(&c.m));
}

TEST_F(processors, one_at_a_time_with_threads)
{
	struct counted c = { .m = KF_MUTEX_INIT };
	struct mixed m = { variant->n, 4, 3, count_locked, &c };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_EQ(7 * ROUNDS, c.count);
	ASSERT_TRUE(is_fresh(&c.m));
}

/* Deadlines that come at any moment of a wait. */
static void *count_until(void *arg)
{
	struct counted *c = arg;
	unsigned int seed = atomic_fetch_add(&c->seeds, 1);
	int i, got = 0;

	while (got < ROUNDS / 8) {
		int err = kf_mutex_lock_until(&c->m, kf_after(pick(&seed, 300) * 1000ull));

		if (err && err != -ETIMEDOUT)
			return (void *)1;
		if (err) {
			atomic_fetch_add(&c->timeouts, 1);
			continue;
		}
		got++;
		if (!count_inside(c, pick(&seed, 2) == 0))
			return (void *)2;
		/* Long enough for others to lose patience. */
		for (i = pick(&seed, 64) ? 0 : 20; i > 0; i--)
			kf_yield();
		if (kf_mutex_unlock(&c->m))
			return (void *)3;
	}
	return sleeps_soundly() ? NULL : (void *)4;
}

TEST_F(processors, who_times_out_leaves_nothing)
{
	struct counted c = { .m = KF_MUTEX_INIT };
	struct mixed m = { variant->n, 8, 2, count_until, &c };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_EQ(10 * (ROUNDS / 8), c.count);
	ASSERT_LT(0, atomic_load(&c.timeouts));
	ASSERT_TRUE(is_fresh(&c.m));
}

/* --- deadlines ---------------------------------------------------------------- */

static int time_out(void *arg)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	uint64_t begin = kf_now();

	if (kf_mutex_lock(&m) || kf_mutex_lock_until(&m, 0) != -ETIMEDOUT)
		return 1;
	if (kf_mutex_lock_until(&m, begin + 20 * MS) != -ETIMEDOUT)
		return 2;
	if (kf_now() - begin < 20 * MS)
		return 3;
	if (kf_mutex_unlock(&m) || !is_fresh(&m))
		return 4;
	/* It is free: no matter that the deadline has passed. */
	return kf_mutex_lock_until(&m, 1) ? 5 : 0;
}

TEST_F(processors, a_deadline_ends_the_wait)
{
	ASSERT_EQ(0, run(variant->n, time_out, NULL));
}

/* A permit is the user's: it neither ends the wait for a lock nor is lost by it. */
static void *lock_with_permit(void *arg)
{
	kf_mutex_t *m = arg;

	if (kf_mutex_lock(m) || kf_mutex_unlock(m))
		return (void *)1;
	return (void *)(long)kf_park(0);
}

static int unpark_who_waits(void *arg)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	kf_fiber_t waiter;
	void *value;

	kf_mutex_lock(&m);
	if (kf_spawn(&waiter, NULL, lock_with_permit, &m))
		return 1;
	while (!__atomic_load_n(&m.queue.first, __ATOMIC_ACQUIRE))
		kf_sleep(MS);
	if (kf_unpark(waiter))
		return 2;
	kf_sleep(5 * MS);
	if (!m.queue.first)
		return 3;
	kf_mutex_unlock(&m);
	return kf_join(waiter, &value) || value ? 4 : 0;
}

TEST_F(processors, a_permit_is_another_thing)
{
	ASSERT_EQ(0, run(variant->n, unpark_who_waits, NULL));
}

/* --- nobody starves ------------------------------------------------------------- */

static atomic_bool enough;

/* It has the lock whenever another runs, and asks again at once. */
static void *hog(void *arg)
{
	kf_mutex_t *m = arg;

	while (!atomic_load(&enough)) {
		kf_mutex_lock(m);
		kf_yield();
		kf_mutex_unlock(m);
	}
	return NULL;
}

static int ask_beside_hog(void *arg)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	kf_fiber_t other;
	int i, err = 0;

	atomic_store(&enough, false);
	if (kf_spawn(&other, NULL, hog, &m))
		return 1;
	kf_yield();
	for (i = 0; i < 20 && !err; i++) {
		err = kf_mutex_lock_until(&m, kf_after(10000 * MS));
		if (!err)
			kf_mutex_unlock(&m);
		kf_yield();
	}
	atomic_store(&enough, true);
	if (err)
		return 2;
	return kf_join(other, NULL);
}

TEST_F(processors, who_waits_is_handed_the_lock)
{
	ASSERT_EQ(0, run(variant->n, ask_beside_hog, NULL));
}

enum { CONVOY = 30, CONVOY_ROUNDS = 30 };

static void *lock_in_convoy(void *arg)
{
	kf_mutex_t *m = arg;
	int i;

	for (i = 0; i < CONVOY_ROUNDS; i++) {
		uint64_t end;

		kf_mutex_lock(m);
		/* So long that once round the queue is more than a millisecond. */
		for (end = kf_after(MS / 10); kf_now() < end;)
			;
		kf_mutex_unlock(m);
	}
	return NULL;
}

/* Return: how often who had waited for long, or came behind such, had to wait again. */
static int wait_in_convoy(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	kf_mutex_t m = KF_MUTEX_INIT;
	kf_fiber_t fibers[CONVOY];
	int i;

	kf_mutex_lock(&m);
	for (i = 0; i < CONVOY; i++)
		if (kf_spawn(&fibers[i], NULL, lock_in_convoy, &m))
			return -1;
	kf_sleep(5 * MS);
	kf_stats(&before);
	kf_mutex_unlock(&m);
	for (i = 0; i < CONVOY; i++)
		kf_join(fibers[i], NULL);
	kf_stats(&after);
	return (int)(after.parks - before.parks);
}

/*
 * Each of a long queue has waited for more than a millisecond. Were it handed the lock for that,
 * whoever runs would find it locked, each time, by one that does not run yet.
 */
TEST(a_long_queue_is_no_convoy)
{
	int parks = run_without_slices(1, wait_in_convoy, NULL);

	ASSERT_LE(0, parks);
	ASSERT_GT(CONVOY * CONVOY_ROUNDS / 10, parks);
}

/* --- system calls --------------------------------------------------------------- */

/* The lock is held while others run: each lock waits. */
static void *pass_round(void *arg)
{
	struct counted *c = arg;
	int i;

	for (i = 0; i < 50000; i++) {
		kf_mutex_lock(&c->m);
		count_inside(c, true);
		kf_mutex_unlock(&c->m);
	}
	return NULL;
}

static int pass_without_calls(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct counted c = { .m = KF_MUTEX_INIT };
	kf_fiber_t other;

	kf_mutex_lock(&c.m);
	if (kf_spawn(&other, NULL, pass_round, &c))
		return -1;
	wait_for_spare();
	kf_stats(&before);
	if (forbid_system_calls(1))
		return -2;
	kf_mutex_unlock(&c.m);
	pass_round(&c);
	if (forbid_system_calls(0))
		return -3;
	kf_stats(&after);
	if (kf_join(other, NULL))
		return -4;
	/* Nothing is shown by those that did not wait. */
	if (after.parks - before.parks < 1000)
		return -5;
	return after.calls - before.calls;
}

TEST(waiting_on_one_processor_makes_no_system_call)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_without_slices(1, pass_without_calls, NULL));
}

static int lock_without_calls(void *arg)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	int i, bad = 0;

	if (forbid_system_calls(1))
		return -1;
	for (i = 0; i < 100000; i++)
		bad += kf_mutex_lock(&m) + kf_mutex_unlock(&m);
	return forbid_system_calls(0) ? -2 : bad;
}

TEST_F(processors, a_free_lock_takes_no_system_call)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run(variant->n, lock_without_calls, NULL));
	/* And in a plain thread. */
	ASSERT_EQ(0, lock_without_calls(NULL));
}

/* --- the end of a mutex --------------------------------------------------------- */

/* Who unlocks last frees it. A page of its own: a touch afterwards is a fault. */
struct shared {
	kf_mutex_t m;
	int users;
};

static void *use_and_drop(void *arg)
{
	struct shared *s = arg;
	int i, left;

	for (i = 0; i < 3; i++) {
		kf_mutex_lock(&s->m);
		if (i == 1)
			kf_yield();
		kf_mutex_unlock(&s->m);
	}
	kf_mutex_lock(&s->m);
	left = --s->users;
	kf_mutex_unlock(&s->m);
	if (!left)
		munmap(s, sizeof(*s));
	return NULL;
}

static int drop_many(void *arg)
{
	enum { USERS = 4 };
	kf_fiber_t fibers[USERS];
	int round, i;

	for (round = 0; round < 1000; round++) {
		struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
					MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		s->users = USERS;
		for (i = 0; i < USERS; i++)
			if (kf_spawn(&fibers[i], NULL, use_and_drop, s))
				return 1;
		for (i = 0; i < USERS; i++)
			kf_join(fibers[i], NULL);
	}
	return 0;
}

TEST_F(processors, the_last_unlock_may_be_followed_by_free)
{
	ASSERT_EQ(0, run(variant->n, drop_many, NULL));
}

TEST_HARNESS_MAIN
