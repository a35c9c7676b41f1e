// SPDX-License-Identifier: GPL-2.0
/*
 * KF_TEST_CLOCK: time that jumps when all wait, and not before; and an order that is
 * the same each time.
 */
#include <errno.h>
#include <inttypes.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "deep.h"
#include "mixed.h"
#include "slow.h"

#define SECOND (1000 * MS)
#define HOUR (3600 * SECOND)

static int run_test(uint64_t seed, int (*fn)(void *), void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .flags = KF_TEST_CLOCK, .seed = seed,
	};

	return kf_run(&config, fn, arg);
}

static uint64_t real_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static int nothing(void *arg)
{
	return 0;
}

TEST(misuse_is_refused)
{
	struct kf_config config = {
		.size = sizeof(config), .flags = KF_TEST_CLOCK, .processors = 2,
	};

	ASSERT_EQ(-EINVAL, kf_run(&config, nothing, NULL));
	config.processors = 1;
	ASSERT_EQ(0, kf_run(&config, nothing, NULL));
	config.flags = 0;
	config.seed = 1;
	ASSERT_EQ(-EINVAL, kf_run(&config, nothing, NULL));
}

/* --- time ------------------------------------------------------------------------- */

static void *never_stored(void *arg)
{
	return arg;
}

static int sleep_exactly(void *arg)
{
	uint64_t begin = kf_now();
	kf_fiber_t other;
	kf_ticker_t t;
	int i;

	if (begin != KF_TEST_CLOCK_START || kf_sleep(24 * HOUR) || kf_now() != begin + 24 * HOUR)
		return -1;
	/* It does not go on by itself, nor while somebody can run. */
	begin = kf_now();
	if (kf_spawn(&other, NULL, never_stored, NULL) || kf_join(other, NULL) || usleep(2000))
		return -2;
	kf_yield();
	if (kf_now() != begin)
		return -3;
	if (kf_park(kf_after(1)) != -ETIMEDOUT || kf_now() != begin + 1)
		return -4;
	if (kf_park(begin) != -ETIMEDOUT || kf_now() != begin + 1)
		return -5;
	begin = kf_now();
	if (kf_ticker_start(&t, HOUR))
		return -6;
	for (i = 1; i <= 10; i++)
		if (kf_ticker_wait(&t) || kf_now() != begin + (uint64_t)i * HOUR)
			return -7;
	if (kf_sleep(3 * HOUR + 1) || kf_ticker_wait(&t) != 2)
		return -8;
	return 0;
}

TEST(time_jumps_to_deadlines)
{
	uint64_t begin = real_now();

	ASSERT_EQ(0, run_test(0, sleep_exactly, NULL));
	ASSERT_EQ(0, run_test(1, sleep_exactly, NULL));
	/* Outside it is as it was. */
	ASSERT_LT(real_now() - begin, HOUR);
	ASSERT_GE(kf_now(), begin);
	ASSERT_LE(kf_now(), real_now());
}

/* Sleepers in a heap, some of whom are woken early: all at their time, in its order. */
enum { SLEEPERS = 2000 };

struct sleeper {
	uint64_t deadline;
	uint64_t woke;
	kf_fiber_t fiber;
	bool early;
};

static struct sleeper sleepers[SLEEPERS];
static uint64_t last_woke;
static int out_of_order;

static void *sleep_until(void *arg)
{
	struct sleeper *s = arg;
	int err = kf_park(s->deadline);

	s->woke = kf_now();
	out_of_order += s->woke < last_woke;
	last_woke = s->woke;
	return (void *)(long)(err != (s->early ? 0 : -ETIMEDOUT));
}

static int sleep_in_order(void *arg)
{
	unsigned int seed = *(unsigned int *)arg;
	uint64_t begin = kf_now();
	long i, n = slowly(SLEEPERS);
	void *value;

	last_woke = 0;
	for (i = 0; i < n; i++) {
		struct sleeper *s = &sleepers[i];

		s->deadline = begin + SECOND + pick(&seed, 1000) * MS;
		s->early = pick(&seed, 3) == 0;
		if (kf_spawn(&s->fiber, NULL, sleep_until, s))
			return -1;
		if (pick(&seed, 8) == 0)
			kf_yield();
	}
	/* All are in their park when that returns: it was quiet. */
	kf_sleep(1);
	for (i = 0; i < n; i++)
		if (sleepers[i].early && kf_unpark(sleepers[i].fiber))
			return -2;
	for (i = 0; i < n; i++) {
		struct sleeper *s = &sleepers[i];

		if (kf_join(s->fiber, &value) || value)
			return -3;
		if (s->woke != (s->early ? begin + 1 : s->deadline))
			return -4;
	}
	return out_of_order ? -5 : 0;
}

TEST(sleepers_wake_in_order)
{
	unsigned int seed;

	for (seed = 0; seed < 4; seed++)
		ASSERT_EQ(0, run_test(seed, sleep_in_order, &seed));
}

/* --- who is not waited for, and who is ----------------------------------------------- */

static int ends[2];

static void *read_a_byte(void *arg)
{
	char c;
	uint64_t begin = kf_now();

	if (read(ends[0], &c, 1) != 1)
		return (void *)1;
	/* While this was in the kernel an hour of sleep was not over. */
	if (kf_now() != begin)
		return (void *)2;
	kf_sleep(SECOND);
	return (void *)(long)(kf_now() != begin + SECOND ? 3 : 0);
}

/* In the kernel, for some time, and then for others. */
static void *write_a_byte(void *arg)
{
	usleep(20000);
	return (void *)(long)(write(ends[1], "", 1) != 1);
}

static void *sleep_for_an_hour(void *arg)
{
	uint64_t begin = kf_now();

	kf_sleep(HOUR);
	return (void *)(long)(kf_now() != begin + HOUR);
}

static int block_in_calls(void *arg)
{
	kf_fiber_t fibers[3];
	void *value;
	int i;

	if (pipe(ends) || kf_spawn(&fibers[0], NULL, sleep_for_an_hour, NULL) ||
	    kf_spawn(&fibers[1], NULL, read_a_byte, NULL) ||
	    kf_spawn(&fibers[2], NULL, write_a_byte, NULL))
		return -1;
	for (i = 0; i < 3; i++)
		if (kf_join(fibers[i], &value) || value)
			return -2 - i;
	close(ends[0]);
	close(ends[1]);
	return 0;
}

TEST(time_waits_for_system_calls)
{
	int i;

	for (i = 0; i < 20; i++)
		ASSERT_EQ(0, run_test((uint64_t)i, block_in_calls, NULL));
}

/* A thread ends in a system call, and with it the last that time was waiting for. */
static void *die(void *arg)
{
	usleep(10000);
	syscall(SYS_exit, 0);
	__builtin_unreachable();
}

static int outlive(void *arg)
{
	struct kf_attr detached = { .size = sizeof(detached), .flags = KF_DETACHED };
	uint64_t begin = kf_now();
	kf_fiber_t sleeper;

	if (kf_spawn(&sleeper, NULL, sleep_for_an_hour, NULL) ||
	    kf_spawn(NULL, &detached, die, NULL))
		return -1;
	if (kf_join(sleeper, NULL))
		return -2;
	return kf_now() == begin + HOUR ? 0 : -3;
}

TEST(time_goes_on_when_a_thread_dies)
{
	ASSERT_EQ(0, run_test(0, outlive, NULL));
}

/* Nobody has a deadline: what comes from outside is waited for as ever. */
static void *unpark_later(void *arg)
{
	usleep(20000);
	kf_unpark(*(kf_fiber_t *)arg);
	return NULL;
}

static atomic_bool time_has_gone_on;

static void *unpark_when_time_has_gone_on(void *arg)
{
	while (!atomic_load(&time_has_gone_on))
		usleep(1000);
	kf_unpark(*(kf_fiber_t *)arg);
	return NULL;
}

static int wait_for_outside(void *arg)
{
	kf_fiber_t self = kf_self();
	uint64_t begin = kf_now();
	pthread_t thread;

	if (pthread_create(&thread, NULL, unpark_later, &self))
		return -1;
	if (kf_park(KF_FOREVER) || kf_now() != begin || pthread_join(thread, NULL))
		return -2;
	/* And with one it is not. */
	atomic_store(&time_has_gone_on, false);
	if (pthread_create(&thread, NULL, unpark_when_time_has_gone_on, &self))
		return -3;
	if (kf_park(kf_after(HOUR)) != -ETIMEDOUT || kf_now() != begin + HOUR)
		return -4;
	atomic_store(&time_has_gone_on, true);
	if (pthread_join(thread, NULL) || kf_park(KF_FOREVER))
		return -5;
	return 0;
}

TEST(time_does_not_wait_for_threads)
{
	int i;

	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, run_test(0, wait_for_outside, NULL));
}

/*
 * A fiber whose stack is being trimmed is queued later by whoever trims: until then
 * nothing can be seen of it, and yet it is about to run.
 */
enum { TURNS = 3000 };

static kf_fiber_t players[2];
static atomic_bool playing;

static void *trim_all_the_time(void *arg)
{
	while (atomic_load(&playing))
		kf_trim();
	return NULL;
}

static void *play(void *arg)
{
	kf_fiber_t *other = arg;
	uint64_t begin = kf_now();
	int i;

	for (i = 0; i < TURNS; i++) {
		go_deep(32 << 10);
		kf_unpark(*other);
		if (kf_park(KF_FOREVER))
			return (void *)1;
	}
	kf_unpark(*other);
	return (void *)(long)(kf_now() != begin);
}

static int play_and_trim(void *arg)
{
	kf_fiber_t sleeper;
	pthread_t thread;
	void *value;
	int i;

	atomic_store(&playing, true);
	if (kf_spawn(&sleeper, NULL, sleep_for_an_hour, NULL) ||
	    kf_spawn(&players[0], NULL, play, &players[1]) ||
	    kf_spawn(&players[1], NULL, play, &players[0]) ||
	    pthread_create(&thread, NULL, trim_all_the_time, NULL))
		return -1;
	for (i = 0; i < 2; i++)
		if (kf_join(players[i], &value) || value)
			return -2;
	atomic_store(&playing, false);
	if (pthread_join(thread, NULL) || kf_join(sleeper, &value) || value)
		return -3;
	return 0;
}

TEST(time_waits_for_those_that_are_trimmed)
{
	ASSERT_EQ(0, run_test(0, play_and_trim, NULL));
}

/* Time stands still while this one always has the lock when another looks. */
struct greedy {
	kf_mutex_t lock;
	bool served;
};

static void *be_greedy(void *arg)
{
	struct greedy *g = arg;
	bool served;

	do {
		kf_mutex_lock(&g->lock);
		kf_yield();
		served = g->served;
		kf_mutex_unlock(&g->lock);
	} while (!served);
	return NULL;
}

static int share_a_lock(void *arg)
{
	struct greedy g = { .lock = KF_MUTEX_INIT };
	kf_fiber_t other;

	if (kf_spawn(&other, NULL, be_greedy, &g))
		return -1;
	kf_yield();
	kf_mutex_lock(&g.lock);
	g.served = true;
	kf_mutex_unlock(&g.lock);
	return kf_join(other, NULL);
}

TEST(nobody_starves_while_time_stands_still)
{
	ASSERT_EQ(0, run_test(0, share_a_lock, NULL));
	ASSERT_EQ(0, run_test(3, share_a_lock, NULL));
}

/* --- the order ---------------------------------------------------------------------- */

enum { FIBERS = 6, STEPS = 40 };

struct trace {
	char order[FIBERS * STEPS + 1];
	int n;
	kf_mutex_t lock;
	kf_chan_t *chan;
};

static struct trace trace;

static void *take_steps(void *arg)
{
	char me = (char)('a' + (long)arg);
	char got;
	int i;

	for (i = 0; i < STEPS; i++) {
		struct kf_case cases[] = {
			KF_RECV(trace.chan, &got), KF_SEND(trace.chan, &me),
		};

		trace.order[trace.n++] = me;
		kf_mutex_lock(&trace.lock);
		if (i % 3 == 0)
			kf_yield();
		kf_mutex_unlock(&trace.lock);
		if (i % 5 == 0)
			kf_sleep(MS);
		kf_select(cases, 2, kf_after(MS));
	}
	return NULL;
}

static int take_all_steps(void *arg)
{
	kf_fiber_t fibers[FIBERS];
	long i;

	trace = (struct trace){ .lock = KF_MUTEX_INIT, .chan = kf_chan_create(1, 1) };
	for (i = 0; i < FIBERS; i++)
		if (kf_spawn(&fibers[i], NULL, take_steps, (void *)i))
			return -1;
	for (i = 0; i < FIBERS; i++)
		if (kf_join(fibers[i], NULL))
			return -2;
	kf_chan_destroy(trace.chan);
	return trace.n == FIBERS * STEPS ? 0 : -3;
}

TEST(a_seed_is_an_order)
{
	static char first[8][sizeof(trace.order)];
	unsigned int seed, other, round, different = 0;

	/* Nothing of this program is to be read in while it runs. */
	ASSERT_EQ(0, run_test(0, take_all_steps, NULL));
	for (round = 0; round < 3; round++) {
		for (seed = 0; seed < 8; seed++) {
			ASSERT_EQ(0, run_test(seed, take_all_steps, NULL));
			if (!round)
				memcpy(first[seed], trace.order, sizeof(trace.order));
			else
				ASSERT_STREQ(first[seed], trace.order);
		}
	}
	for (seed = 0; seed < 8; seed++)
		for (other = 0; other < seed; other++)
			different += !!strcmp(first[seed], first[other]);
	ASSERT_EQ(8 * 7 / 2, different);
}

/* More than a ring has room for, all at the same time. */
enum { CROWD = 1000 };

static int woken;

static void *wake_in_a_crowd(void *arg)
{
	kf_sleep(HOUR);
	woken++;
	kf_sleep(HOUR);
	woken++;
	return NULL;
}

static int crowd(void *arg)
{
	static kf_fiber_t fibers[CROWD];
	uint64_t begin = kf_now();
	int i;

	woken = 0;
	for (i = 0; i < CROWD; i++)
		if (kf_spawn(&fibers[i], NULL, wake_in_a_crowd, NULL))
			return -1;
	for (i = 0; i < CROWD; i++)
		if (kf_join(fibers[i], NULL))
			return -2;
	return woken == 2 * CROWD && kf_now() == begin + 2 * HOUR ? 0 : -3;
}

TEST(none_is_lost_in_a_crowd)
{
	ASSERT_EQ(0, run_test(0, crowd, NULL));
	ASSERT_EQ(0, run_test(7, crowd, NULL));
}

/* --- when time can do nothing either ------------------------------------------------ */

static void *sleep_then_park(void *arg)
{
	return kf_sleep(3 * HOUR) ? arg : (void *)(long)kf_park(KF_FOREVER);
}

static int deadlock_after_hours(void *arg)
{
	kf_fiber_t fiber;

	return kf_spawn(&fiber, NULL, sleep_then_park, NULL) || kf_sleep(HOUR) ? 1 :
	       kf_join(fiber, NULL);
}

/* Not while somebody sleeps, however long, and not later than that. */
TEST(deadlocks_are_found_when_nobody_sleeps)
{
	uint64_t begin = real_now();

	ASSERT_EQ(-EDEADLK, run_test(1, deadlock_after_hours, NULL));
	ASSERT_GT(begin + 60 * SECOND, real_now());
}

/* A pinned fiber's thread sleeps elsewhere, but it sleeps. */
static int sleep_while_pinned(void *arg)
{
	uint64_t begin = kf_now();
	int err = kf_pin();

	err = err ?: kf_sleep(HOUR);
	err = err ?: kf_unpin();
	return err ?: kf_now() == begin + HOUR ? 0 : 1;
}

TEST(time_jumps_for_the_pinned)
{
	ASSERT_EQ(0, run_test(1, sleep_while_pinned, NULL));
}

TEST_HARNESS_MAIN
