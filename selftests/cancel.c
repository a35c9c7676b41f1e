// SPDX-License-Identifier: GPL-2.0
/*
 * Cancelling: every wait ends by it, at once or later; what was given first is kept;
 * what is masked goes on; and nothing is left over that would end another wait.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "mixed.h"
#include "parked.h"
#include "processors.h"

#define FAILED(line) ((void *)(long)(line))

/* --- who may be cancelled ------------------------------------------------------- */

TEST(a_plain_thread_is_no_fiber)
{
	ASSERT_EQ(-ESRCH, kf_cancel(0));
	ASSERT_EQ(-ESRCH, kf_cancel(1ull << 32));
	ASSERT_EQ(0, kf_cancelled());
	ASSERT_EQ(-EPERM, kf_cancel_disable());
	ASSERT_EQ(-EPERM, kf_cancel_enable());
}

static void *waits_for_a_permit(void *arg)
{
	int err = kf_park(KF_FOREVER);

	(void)arg;
	return FAILED(err == -ECANCELED && kf_park(KF_FOREVER) == err && kf_sleep(0) == err &&
		      kf_cancelled() ? 0 : __LINE__);
}

static void *is_not_cancelled(void *arg)
{
	(void)arg;
	if (kf_cancelled() || kf_sleep(1))
		return FAILED(__LINE__);
	return sleeps_soundly() ? NULL : FAILED(__LINE__);
}

static int names_of_ended_fibers(void *arg)
{
	kf_fiber_t first, next;
	void *value;

	(void)arg;
	if (kf_spawn(&first, NULL, waits_for_a_permit, NULL) || kf_cancel(first) ||
	    kf_cancel(first))
		return -1;
	kf_yield();
	/* It has ended, or not: that it is not known which is no error. */
	if (kf_cancel(first) && kf_cancel(first) != -ESRCH)
		return -2;
	if (kf_join(first, &value) || value)
		return -3;
	if (kf_cancel(first) != -ESRCH)
		return -4;
	if (kf_spawn(&next, NULL, is_not_cancelled, NULL))
		return -5;
	if ((uint32_t)next != (uint32_t)first || next == first)
		return -6;
	if (kf_cancel(first) != -ESRCH || kf_join(next, &value) || value)
		return -7;
	return kf_cancel(UINT64_MAX) == -ESRCH ? 0 : -8;
}

TEST(a_name_of_an_ended_fiber_cancels_nobody)
{
	ASSERT_EQ(0, run(1, names_of_ended_fibers, NULL));
}

static int cancels_itself(void *arg)
{
	(void)arg;
	if (kf_cancel_enable() != -EINVAL || kf_cancelled() || kf_cancel(kf_self()))
		return -1;
	if (!kf_cancelled() || kf_park(kf_after(MS)) != -ECANCELED ||
	    kf_sleep(MS) != -ECANCELED)
		return -2;
	/* The clock is not asked any more, nor is it waited for. */
	return kf_park(0) == -ECANCELED ? 0 : -3;
}

TEST(a_fiber_cancels_itself)
{
	ASSERT_EQ(0, run(1, cancels_itself, NULL));
}

static int is_cancelled_by_a_thread(void *arg)
{
	_Atomic kf_fiber_t *name = arg;

	atomic_store(name, kf_self());
	return kf_park(KF_FOREVER);
}

static void *cancels_soon(void *arg)
{
	_Atomic kf_fiber_t *name = arg;

	while (!atomic_load(name))
		sched_yield();
	return FAILED(kf_cancel(atomic_load(name)));
}

TEST(a_plain_thread_cancels)
{
	_Atomic kf_fiber_t name = 0;
	pthread_t thread;
	void *value;

	ASSERT_EQ(0, pthread_create(&thread, NULL, cancels_soon, &name));
	EXPECT_EQ(-ECANCELED, run(1, is_cancelled_by_a_thread, &name));
	ASSERT_EQ(0, pthread_join(thread, &value));
	ASSERT_EQ(NULL, value);
}

/* --- every wait ------------------------------------------------------------------- */

/* What is waited for; the test's own fiber has what others want. */
static struct {
	kf_mutex_t mutex, free_mutex;
	kf_rwlock_t read, written;
	kf_cond_t cond;
	kf_sem_t sem;
	kf_waitgroup_t group;
	kf_once_t once;
	kf_chan_t *empty, *full;
	kf_fiber_t joined;
	kf_ctx_t *ctx;
	int silent[2];
	atomic_int masked;		/* have come as far as once_fn() */
} all;

static void once_fn(void)
{
	atomic_fetch_add(&all.masked, 1);
	kf_cancel_disable();
	kf_park(KF_FOREVER);
	kf_cancel_enable();
}

static void *runs_once(void *arg)
{
	(void)arg;
	return FAILED(kf_once(&all.once, once_fn));
}

static void *parks_masked(void *arg)
{
	(void)arg;
	once_fn();
	return NULL;
}

static int wait_park(void)
{
	return kf_park(KF_FOREVER);
}

static int wait_park_until(void)
{
	return kf_park(kf_after(3600000 * MS));
}

static int wait_sleep(void)
{
	return kf_sleep(3600000 * MS);
}

static int wait_join(void)
{
	return kf_join(all.joined, NULL);
}

static int wait_mutex(void)
{
	return kf_mutex_lock(&all.mutex);
}

static int wait_rdlock(void)
{
	return kf_rwlock_rdlock(&all.written);
}

static int wait_wrlock(void)
{
	return kf_rwlock_wrlock_until(&all.read, kf_after(3600000 * MS));
}

/* With the mutex locked, whatever ended it. */
static int wait_cond(void)
{
	int err;

	if (kf_mutex_lock(&all.free_mutex))
		return -1;
	err = kf_cond_wait(&all.cond, &all.free_mutex);
	return kf_mutex_unlock(&all.free_mutex) ?: err;
}

static int wait_sem(void)
{
	return kf_sem_wait(&all.sem);
}

static int wait_group(void)
{
	return kf_waitgroup_wait(&all.group);
}

static int wait_once(void)
{
	return kf_once(&all.once, once_fn);
}

static int wait_recv(void)
{
	int value;

	return kf_chan_recv(all.empty, &value);
}

static int wait_send(void)
{
	int value = 1;

	return kf_chan_send(all.full, &value);
}

static int wait_select(void)
{
	int value = 1;
	struct kf_case c[] = { KF_RECV(all.empty, &value), KF_SEND(all.full, &value) };

	return kf_select(c, 2, KF_FOREVER);
}

static int wait_read(void)
{
	char c;

	return (int)kf_read(all.silent[0], &c, 1, KF_FOREVER);
}

static int wait_read_until(void)
{
	char c;

	return (int)kf_read(all.silent[0], &c, 1, kf_after(3600000 * MS));
}

static int wait_poll(void)
{
	return kf_poll(all.silent[0], POLLIN, KF_FOREVER);
}

static int wait_ticker(void)
{
	kf_ticker_t t;

	return kf_ticker_start(&t, 3600000 * MS) ?: kf_ticker_wait(&t);
}

static int wait_timer(void)
{
	kf_timer_t t;

	return kf_timer_start(&t, 3600000 * MS) ?: kf_timer_wait(&t);
}

static int wait_ctx(void)
{
	return kf_ctx_wait(all.ctx);
}

static int wait_background(void)
{
	return kf_ctx_wait(kf_ctx_background());
}

static int (*const waits[])(void) = {
	wait_park, wait_park_until, wait_sleep, wait_join, wait_mutex, wait_rdlock, wait_wrlock,
	wait_cond, wait_sem, wait_group, wait_once, wait_recv, wait_send, wait_select, wait_read,
	wait_read_until, wait_poll, wait_ticker, wait_timer, wait_ctx, wait_background,
};

enum { WAITS = sizeof(waits) / sizeof(waits[0]) };

static void *waits_for_it(void *arg)
{
	int err = waits[(long)arg]();

	/* The second time it does not even park; no wake-up is left that would end a third. */
	if (err != -ECANCELED || waits[(long)arg]() != err)
		return FAILED(1);
	kf_cancel_disable();
	err = kf_sleep(2 * MS);
	kf_cancel_enable();
	return FAILED(err);
}

/* On a thread of its own. */
static void *waits_pinned(void *arg)
{
	int err = kf_pin();
	void *value = waits_for_it(arg);

	return err || kf_unpin() ? FAILED(1) : value;
}

static bool all_begin(kf_fiber_t *once)
{
	int value = 0;

	atomic_store(&all.masked, 0);
	all.ctx = kf_ctx_with_cancel(kf_ctx_background());
	if (!all.ctx || pipe(all.silent))
		return false;
	all.empty = kf_chan_create(sizeof(int), 0);
	all.full = kf_chan_create(sizeof(int), 1);
	if (!all.empty || !all.full || kf_chan_send(all.full, &value) ||
	    kf_mutex_lock(&all.mutex) || kf_rwlock_rdlock(&all.read) ||
	    kf_rwlock_wrlock(&all.written) || kf_waitgroup_add(&all.group, 1) ||
	    kf_spawn(&all.joined, NULL, parks_masked, NULL) ||
	    kf_spawn(once, NULL, runs_once, NULL))
		return false;
	/* Or one of those who are to be cancelled would be the first to come to the once. */
	while (atomic_load(&all.masked) < 2)
		kf_yield();
	return true;
}

/* Everything is as if nobody had waited. */
static bool all_end(kf_fiber_t once)
{
	void *value;

	if (kf_unpark(all.joined) || kf_unpark(once) || kf_join(all.joined, NULL) ||
	    kf_join(once, &value) || value)
		return false;
	if (kf_mutex_unlock(&all.mutex) || kf_rwlock_unlock(&all.read) ||
	    kf_rwlock_unlock(&all.written) || kf_waitgroup_done(&all.group))
		return false;
	kf_ctx_free(all.ctx);
	close(all.silent[0]);
	close(all.silent[1]);
	if (all.mutex.word || all.free_mutex.word || all.read.word || all.written.word ||
	    all.sem.word || all.group.word)
		return false;
	return is_unused(&all.mutex.queue) && is_unused(&all.free_mutex.queue) &&
	       is_unused(&all.read.queue) && is_unused(&all.written.queue) &&
	       is_unused(&all.cond.queue) && is_unused(&all.sem.queue) &&
	       is_unused(&all.group.queue) && is_unused(&all.once.queue) &&
	       !kf_chan_destroy(all.empty) && !kf_chan_destroy(all.full);
}

/* Each is parked when it is cancelled, or has not begun; on one processor that is known. */
static int every_wait_of(void *(*fn)(void *), bool early)
{
	kf_fiber_t fibers[WAITS], once;
	long i, bad = 0;

	if (!all_begin(&once))
		return -1;
	for (i = 0; i < WAITS; i++)
		if (kf_spawn(&fibers[i], NULL, fn, (void *)i))
			return -2;
	if (!early)
		kf_yield();
	for (i = 0; i < WAITS; i++)
		if (kf_cancel(fibers[i]))
			return -3;
	for (i = 0; i < WAITS; i++) {
		void *value;

		if (kf_join(fibers[i], &value) || value) {
			printf("# wait %ld\n", i);
			bad++;
		}
	}
	return bad || !all_end(once) ? -4 : 0;
}

static int every_wait(void *arg)
{
	return every_wait_of(waits_for_it, arg);
}

static int every_pinned_wait(void *arg)
{
	return every_wait_of(waits_pinned, arg);
}

TEST(a_wait_ends)
{
	ASSERT_EQ(0, run(1, every_wait, NULL));
}

TEST(a_wait_ends_that_is_pinned)
{
	ASSERT_EQ(0, run(1, every_pinned_wait, NULL));
}

TEST(a_wait_does_not_begin)
{
	ASSERT_EQ(0, run(1, every_wait, (void *)1));
}

/* --- what need not wait ----------------------------------------------------------- */

static void *returns_its_argument(void *arg)
{
	return arg;
}

static int what_can_be_had(void *arg)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	kf_sem_t s = KF_SEM_INIT(1);
	kf_chan_t *c = kf_chan_create(sizeof(int), 1);
	kf_fiber_t ended;
	int value = 7, got = 0;
	void *result;

	(void)arg;
	if (!c || kf_spawn(&ended, NULL, returns_its_argument, &value))
		return -1;
	/* A yield may come back from a fiber that was preempted, or sleeps in a fault. */
	while (kf_unpark(ended) != -ESRCH)
		kf_yield();
	if (kf_unpark(kf_self()) || kf_cancel(kf_self()))
		return -2;
	if (kf_park(KF_FOREVER) || kf_park(KF_FOREVER) != -ECANCELED)
		return -3;
	if (kf_mutex_lock(&m) || kf_mutex_lock(&m) != -ECANCELED || kf_mutex_unlock(&m))
		return -4;
	if (kf_sem_wait(&s) || kf_sem_wait(&s) != -ECANCELED)
		return -5;
	if (kf_chan_send(c, &value) || kf_chan_send(c, &value) != -ECANCELED ||
	    kf_chan_recv(c, &got) || got != 7 || kf_chan_recv(c, &got) != -ECANCELED)
		return -6;
	if (kf_join(ended, &result) || result != &value)
		return -7;
	return kf_chan_destroy(c);
}

TEST(what_can_be_had_is_given)
{
	ASSERT_EQ(0, run(1, what_can_be_had, NULL));
}

/* A grant, then the cancel, before the waiter runs: it has the one, then sees the other. */
static void *is_granted(void *arg)
{
	kf_sem_t *s = arg;

	if (kf_sem_wait(s))
		return FAILED(__LINE__);
	return FAILED(kf_sem_wait(s) == -ECANCELED ? 0 : __LINE__);
}

static int grant_then_cancel(void *arg)
{
	kf_sem_t s = KF_SEM_INIT(0);
	kf_fiber_t fiber;
	void *value;

	(void)arg;
	if (kf_spawn(&fiber, NULL, is_granted, &s))
		return -1;
	kf_yield();
	if (kf_sem_post(&s) || kf_cancel(fiber) || kf_join(fiber, &value) || value)
		return -2;
	return s.word || !is_unused(&s.queue) ? -3 : 0;
}

TEST(a_grant_that_came_first_is_kept)
{
	ASSERT_EQ(0, run(1, grant_then_cancel, NULL));
}

/* --- masks ---------------------------------------------------------------------------- */

static void *cleans_up(void *arg)
{
	kf_sem_t *s = arg;

	if (kf_cancel_disable() || kf_cancel_disable())
		return FAILED(__LINE__);
	if (kf_sem_wait(s) || kf_cancelled() || kf_sleep(MS))
		return FAILED(__LINE__);
	if (kf_park(kf_after(MS)) != -ETIMEDOUT)
		return FAILED(__LINE__);
	if (kf_cancel_enable() || kf_sleep(MS) || kf_cancelled())
		return FAILED(__LINE__);
	if (kf_cancel_enable() || !kf_cancelled() || kf_sleep(MS) != -ECANCELED)
		return FAILED(__LINE__);
	return FAILED(kf_cancel_enable() == -EINVAL ? 0 : __LINE__);
}

static int masked(void *arg)
{
	kf_sem_t s = KF_SEM_INIT(0);
	kf_fiber_t fiber;
	void *value;
	int i;

	(void)arg;
	if (kf_spawn(&fiber, NULL, cleans_up, &s))
		return -1;
	wait_until_parked(fiber);
	for (i = 0; i < 10; i++) {
		if (kf_cancel(fiber))
			return -2;
		kf_yield();
	}
	if (is_unused(&s.queue))
		return -3;
	return kf_sem_post(&s) || kf_join(fiber, &value) || value ? -4 : 0;
}

TEST(what_is_masked_goes_on)
{
	ASSERT_EQ(0, run(1, masked, NULL));
}

/* The mutex is another's when the wait for the condition ends: it is waited for. */
static void *waits_with_a_mutex(void *arg)
{
	long *inside = arg;
	int err;

	if (kf_mutex_lock(&all.free_mutex))
		return FAILED(__LINE__);
	err = kf_cond_wait(&all.cond, &all.free_mutex);
	if (err != -ECANCELED || *inside)
		return FAILED(__LINE__);
	return FAILED(kf_mutex_unlock(&all.free_mutex) ? __LINE__ : 0);
}

static int cond_relocks(void *arg)
{
	kf_fiber_t fiber;
	long inside = 0;
	void *value;

	(void)arg;
	if (kf_spawn(&fiber, NULL, waits_with_a_mutex, &inside))
		return -1;
	wait_until_parked(fiber);
	if (kf_mutex_lock(&all.free_mutex))
		return -2;
	inside = 1;
	if (kf_cancel(fiber))
		return -3;
	kf_yield();
	kf_yield();
	inside = 0;
	if (kf_mutex_unlock(&all.free_mutex) || kf_join(fiber, &value))
		return -4;
	return (int)(long)value;
}

TEST(a_condition_gives_the_mutex_back)
{
	ASSERT_EQ(0, run(1, cond_relocks, NULL));
}

static atomic_int destroyed;

static void destroy_slowly(void *value)
{
	(void)value;
	if (!kf_sleep(MS))
		atomic_fetch_add(&destroyed, 1);
}

static void *has_a_value(void *arg)
{
	kf_key_t *key = arg;

	return FAILED(kf_setspecific(*key, key) || kf_park(KF_FOREVER) != -ECANCELED);
}

static int destructors(void *arg)
{
	kf_fiber_t fiber;
	kf_key_t key;
	void *value;

	(void)arg;
	if (kf_key_create(&key, destroy_slowly) || kf_spawn(&fiber, NULL, has_a_value, &key) ||
	    kf_cancel(fiber) || kf_join(fiber, &value) || value)
		return -1;
	return atomic_load(&destroyed) == 1 ? 0 : -2;
}

TEST(destructors_may_wait)
{
	ASSERT_EQ(0, run(1, destructors, NULL));
}

/* Who is joined is as before: another may join it. */
static void *joins(void *arg)
{
	kf_fiber_t *fiber = arg;

	return FAILED(kf_join(*fiber, NULL) == -ECANCELED ? 0 : __LINE__);
}

static int join_again(void *arg)
{
	kf_fiber_t child, joiner;
	void *value;

	(void)arg;
	if (kf_spawn(&child, NULL, parks_masked, NULL) ||
	    kf_spawn(&joiner, NULL, joins, &child))
		return -1;
	wait_until_parked(child);
	wait_until_parked(joiner);
	if (kf_join(child, NULL) != -EINVAL || kf_cancel(joiner) || kf_join(joiner, &value) ||
	    value)
		return -2;
	return kf_unpark(child) || kf_join(child, NULL) ? -3 : 0;
}

TEST(a_fiber_can_be_joined_after_a_join_that_was_cancelled)
{
	ASSERT_EQ(0, run(1, join_again, NULL));
}

/* --- races ---------------------------------------------------------------------------- */

enum { VICTIMS = 8, LIVES = 300 };

/**
 * struct race - fibers that are cancelled while they get what they wait for
 * @s: units
 * @c: values
 * @m: a lock, with @count
 * @posted: units and values that were given
 * @taken: that were taken
 * @victims: who is to be cancelled
 * @over: the lives of all are over
 * @seeds: for each who wants luck
 */
struct race {
	kf_sem_t s;
	kf_chan_t *c;
	kf_mutex_t m;
	long count;
	atomic_long posted, taken;
	atomic_long locked;
	_Atomic kf_fiber_t victims[VICTIMS];
	atomic_bool over;
	atomic_uint seeds;
};

static uint64_t some_deadline(unsigned int *seed)
{
	return pick(seed, 2) ? KF_FOREVER : kf_after(pick(seed, 400) * 1000ull);
}

/* One wait of any kind. Return: as the wait. */
static int wait_for_any(struct race *r, unsigned int *seed)
{
	struct kf_case c[] = { KF_RECV(r->c, NULL), KF_RECV(NULL, NULL) };
	int err;

	switch (pick(seed, 5)) {
	case 0:
		err = kf_sem_wait_until(&r->s, some_deadline(seed));
		break;
	case 1:
		err = kf_chan_recv_until(r->c, NULL, some_deadline(seed));
		break;
	case 2:
		err = kf_select(c, 2, some_deadline(seed));
		break;
	case 3:
		err = kf_sleep(pick(seed, 100) * 1000ull);
		return err;
	default:
		err = kf_mutex_lock_until(&r->m, some_deadline(seed));
		if (err)
			return err;
		r->count++;
		if (!pick(seed, 4))
			kf_yield();
		atomic_fetch_add(&r->locked, 1);
		return kf_mutex_unlock(&r->m);
	}
	if (!err)
		atomic_fetch_add(&r->taken, 1);
	return err;
}

/* Until it is cancelled; then nothing may be left over. */
static void *lives(void *arg)
{
	struct race *r = arg;
	unsigned int seed = atomic_fetch_add(&r->seeds, 1);
	int err;

	do {
		err = wait_for_any(r, &seed);
		if (err && err != -ETIMEDOUT && err != -ECANCELED)
			return FAILED(__LINE__);
	} while (err != -ECANCELED);
	if (!kf_cancelled() || kf_park(KF_FOREVER) != -ECANCELED || kf_cancel_disable())
		return FAILED(__LINE__);
	if (!pick(&seed, 16) && !sleeps_soundly())
		return FAILED(__LINE__);
	return NULL;
}

/* One life after the other, so that names are recycled while they are cancelled. */
static void *raises(void *arg)
{
	struct race *r = arg;
	static atomic_int next;
	int i, mine = atomic_fetch_add(&next, 1) % VICTIMS;
	kf_fiber_t fiber;
	void *value;

	for (i = 0; i < LIVES; i++) {
		if (kf_spawn(&fiber, NULL, lives, r))
			return FAILED(__LINE__);
		atomic_store(&r->victims[mine], fiber);
		if (kf_join(fiber, &value) || value)
			return value ? value : FAILED(__LINE__);
	}
	return NULL;
}

/* Gives to whoever waits, and ends waits, for as long as there are any. */
static void *gives_and_takes(void *arg)
{
	struct race *r = arg;
	unsigned int seed = atomic_fetch_add(&r->seeds, 1);

	while (!atomic_load(&r->over)) {
		kf_fiber_t victim = atomic_load(&r->victims[pick(&seed, VICTIMS)]);
		int err;

		switch (pick(&seed, 4)) {
		case 0:
			err = victim ? kf_cancel(victim) : 0;
			if (err && err != -ESRCH)
				return FAILED(__LINE__);
			break;
		case 1:
			if (!kf_chan_trysend(r->c, NULL))
				atomic_fetch_add(&r->posted, 1);
			break;
		case 2:
			if (kf_sem_post(&r->s))
				return FAILED(__LINE__);
			atomic_fetch_add(&r->posted, 1);
			break;
		default:
			if (!pick(&seed, 64))
				kf_trim();
			kf_yield();
		}
	}
	return NULL;
}

static int run_race(void *arg)
{
	struct race *r = arg;
	kf_fiber_t raisers[VICTIMS], givers[2];
	pthread_t thread;
	void *value;
	int i, bad = 0;

	for (i = 0; i < 2; i++)
		if (kf_spawn(&givers[i], NULL, gives_and_takes, r))
			return -1;
	for (i = 0; i < VICTIMS; i++)
		if (kf_spawn(&raisers[i], NULL, raises, r))
			return -2;
	if (pthread_create(&thread, NULL, gives_and_takes, r))
		return -3;
	for (i = 0; i < VICTIMS; i++)
		if (kf_join(raisers[i], &value) || value) {
			printf("# raiser %d: line %ld\n", i, (long)value);
			bad++;
		}
	atomic_store(&r->over, true);
	for (i = 0; i < 2; i++)
		bad += kf_join(givers[i], &value) || value;
	bad += pthread_join(thread, &value) || value;
	while (!kf_sem_trywait(&r->s))
		atomic_fetch_add(&r->taken, 1);
	return bad;
}

TEST_F(processors, every_wait_ends_once)
{
	struct race r = { .s = KF_SEM_INIT(0), .m = KF_MUTEX_INIT };

	r.c = kf_chan_create(0, 0);
	ASSERT_NE(NULL, r.c);
	ASSERT_EQ(0, run(variant->n, run_race, &r));
	EXPECT_EQ(atomic_load(&r.posted), atomic_load(&r.taken));
	EXPECT_EQ(atomic_load(&r.locked), r.count);
	EXPECT_TRUE(!r.m.word && is_unused(&r.m.queue) && is_unused(&r.s.queue));
	ASSERT_EQ(0, kf_chan_destroy(r.c));
}

/* --- a permit, a join, and a cancel at once ------------------------------------------------ */

enum { MEETINGS = 2000 };

/**
 * struct meeting - somebody waits; another wakes it, a third cancels it
 * @name: who waits
 * @cancel: one for each round: to be cancelled
 * @unpark: likewise
 * @over: that was the last round
 * @round: which time
 * @line: what went wrong
 */
struct meeting {
	_Atomic kf_fiber_t name;
	kf_sem_t cancel, unpark;
	atomic_bool over;
	atomic_int round;
	atomic_long line;
};

/* The permit is taken by the first wait or, if that was cancelled, by the one after it. */
static void *takes_a_permit(void *arg)
{
	struct meeting *m = arg;
	int err = kf_park(KF_FOREVER);

	kf_cancel_disable();
	if (err == -ECANCELED)
		err = kf_park(KF_FOREVER);
	if (err || kf_park(0) != -ETIMEDOUT)
		atomic_store(&m->line, __LINE__);
	kf_cancel_enable();
	/* The cancel may come after all. */
	return FAILED(kf_park(KF_FOREVER) != -ECANCELED);
}

static void *ends_soon(void *arg)
{
	unsigned int turns = (unsigned int)(long)arg;

	while (turns--)
		kf_yield();
	return (void *)77;
}

/* Likewise for the end of who is joined. */
static void *joins_one(void *arg)
{
	struct meeting *m = arg;
	void *value = NULL;
	kf_fiber_t child;
	int err;

	if (kf_spawn(&child, NULL, ends_soon, (void *)(long)(atomic_load(&m->round) % 5)))
		return FAILED(__LINE__);
	err = kf_join(child, &value);
	kf_cancel_disable();
	if (err == -ECANCELED)
		err = kf_join(child, &value);
	if (err || value != (void *)77 || kf_park(0) != -ETIMEDOUT)
		atomic_store(&m->line, __LINE__);
	/* No WAKE of the child's is left over. */
	if (!(atomic_load(&m->round) % 64) && !sleeps_soundly())
		atomic_store(&m->line, __LINE__);
	kf_cancel_enable();
	return FAILED(kf_park(KF_FOREVER) != -ECANCELED);
}

/* Once a round. */
static void *cancels_each(void *arg)
{
	struct meeting *m = arg;

	while (!kf_sem_wait(&m->cancel) && !atomic_load(&m->over))
		if (kf_cancel(atomic_load(&m->name)))
			atomic_store(&m->line, __LINE__);
	return NULL;
}

static void *unparks_each(void *arg)
{
	struct meeting *m = arg;

	while (!kf_sem_wait(&m->unpark) && !atomic_load(&m->over))
		if (kf_unpark(atomic_load(&m->name)))
			atomic_store(&m->line, __LINE__);
	return NULL;
}

static int meet(struct meeting *m, void *(*fn)(void *), void *(*wakes)(void *))
{
	kf_fiber_t name, canceller, waker = 0;
	void *value;
	int i;

	if (kf_spawn(&canceller, NULL, cancels_each, m) ||
	    (wakes && kf_spawn(&waker, NULL, wakes, m)))
		return -1;
	for (i = 0; i < MEETINGS && !atomic_load(&m->line); i++) {
		atomic_store(&m->round, i);
		if (kf_spawn(&name, NULL, fn, m))
			return -2;
		atomic_store(&m->name, name);
		if (kf_sem_post(&m->cancel) || kf_sem_post(&m->unpark) ||
		    kf_join(name, &value) || value)
			return -3;
	}
	atomic_store(&m->over, true);
	kf_sem_post(&m->cancel);
	kf_sem_post(&m->unpark);
	if (kf_join(canceller, NULL) || (waker && kf_join(waker, NULL)))
		return -4;
	return (int)atomic_load(&m->line);
}

static int meet_permits(void *arg)
{
	return meet(arg, takes_a_permit, unparks_each);
}

static int meet_joins(void *arg)
{
	return meet(arg, joins_one, NULL);
}

TEST_F(processors, a_permit_is_not_lost)
{
	struct meeting m = { 0 };

	ASSERT_EQ(0, run(variant->n, meet_permits, &m));
}

TEST_F(processors, an_end_is_not_lost)
{
	struct meeting m = { 0 };

	ASSERT_EQ(0, run(variant->n, meet_joins, &m));
}

TEST_HARNESS_MAIN
