// SPDX-License-Identifier: GPL-2.0
/* kf_ticker_t and kf_timer_t: in time, counted, ended by whoever stops them. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"

static void *wait_for_others(void *arg)
{
	return (void *)(long)kf_ticker_wait(arg);
}

static int misuse(void *arg)
{
	kf_ticker_t ticker, none = { 0 };
	kf_timer_t timer;
	kf_fiber_t other;
	void *value;

	if (kf_ticker_start(&ticker, 0) != -EINVAL || kf_ticker_wait(&none) != -EPERM)
		return 1;
	/* What was in its memory is nothing to it. */
	memset(&ticker, 0x5a, sizeof(ticker));
	memset(&timer, 0x5a, sizeof(timer));
	if (kf_ticker_start(&ticker, MS) || kf_timer_start(&timer, 0))
		return 2;
	if (kf_spawn(&other, NULL, wait_for_others, &ticker) || kf_join(other, &value) ||
	    (long)value != -EPERM)
		return 3;
	if (kf_timer_wait(&timer) || kf_timer_wait(&timer) != -EPIPE)
		return 4;
	if (kf_timer_stop(&timer) || kf_timer_stop(&timer) || kf_timer_wait(&timer) != -EPIPE)
		return 5;
	if (kf_ticker_wait(&ticker) < 0 || kf_ticker_stop(&ticker) || kf_ticker_stop(&ticker) ||
	    kf_ticker_wait(&ticker) != -EPIPE)
		return 6;
	/* And again. */
	if (kf_timer_start(&timer, MS) || kf_timer_wait(&timer) || kf_ticker_start(&ticker, MS) ||
	    kf_ticker_wait(&ticker) < 0)
		return 7;
	return 0;
}

TEST(misuse_is_refused)
{
	kf_ticker_t ticker = { 0 };
	kf_timer_t timer = { 0 };

	ASSERT_EQ(-EPERM, kf_ticker_start(&ticker, MS));
	ASSERT_EQ(-EPERM, kf_timer_start(&timer, MS));
	ASSERT_EQ(-EPERM, kf_ticker_wait(&ticker));
	ASSERT_EQ(-EPERM, kf_timer_wait(&timer));
	ASSERT_EQ(0, run(1, misuse, NULL));
}

/* --- in time, without drift --------------------------------------------------- */

/*
 * Takes @ticks of them, and is late for some. All the ticks that have come are those
 * taken and those dropped: at each, as many as periods have passed.
 */
static int follow(uint64_t period, int ticks, unsigned int dawdle_us)
{
	uint64_t before = kf_now(), after, total = 0;
	unsigned int seed = (unsigned int)before;
	kf_ticker_t t;

	if (kf_ticker_start(&t, period))
		return -1;
	after = kf_now();
	while (ticks--) {
		uint64_t passed = (kf_now() - after) / period, least = total + 1;
		int dropped = kf_ticker_wait(&t);

		if (dropped < 0)
			return -2;
		total += 1 + (uint64_t)dropped;
		if (total < least || total < passed)
			return -3;
		/* Not early. */
		if (total > (kf_now() - before) / period)
			return -4;
		if (dawdle_us && pick(&seed, 4) == 0)
			kf_sleep(pick(&seed, dawdle_us) * 1000);
	}
	return 0;
}

static int keep_time(void *arg)
{
	int err = follow(2 * MS, 40, 0);

	if (!err)
		err = follow(MS, 40, 5000);
	/* So short that it is always late. */
	if (!err)
		err = follow(1, 1000, 10);
	return err;
}

TEST_F(processors, ticks_do_not_drift)
{
	ASSERT_EQ(0, run(variant->n, keep_time, NULL));
}

static int come_once(void *arg)
{
	unsigned int seed = 1;
	int i;

	for (i = 0; i < 50; i++) {
		uint64_t ns = pick(&seed, 2000) * 1000, begin = kf_now();
		kf_timer_t t;

		if (kf_timer_start(&t, ns))
			return -1;
		if (pick(&seed, 4) == 0)
			kf_sleep(pick(&seed, 2000) * 1000);
		if (kf_timer_wait(&t) || kf_now() - begin < ns || kf_timer_wait(&t) != -EPIPE)
			return -2;
	}
	return 0;
}

TEST_F(processors, timers_come_once)
{
	ASSERT_EQ(0, run(variant->n, come_once, NULL));
}

/* --- stopped -------------------------------------------------------------------- */

/* So far away that only a stop ends the wait; the last is beyond the end of time. */
static const uint64_t far_away[] = { 3600000 * MS, KF_FOREVER - 1, KF_FOREVER };

struct stopped {
	kf_ticker_t ticker;
	kf_timer_t timer;
	kf_fiber_t owner;
};

static void *stop_both(void *arg)
{
	struct stopped *s = arg;

	kf_sleep(MS);
	kf_ticker_stop(&s->ticker);
	kf_sleep(MS);
	kf_timer_stop(&s->timer);
	return NULL;
}

/* In a plain thread there is nothing but time to sleep by. */
static void *stop_both_from_outside(void *arg)
{
	struct stopped *s = arg;

	usleep(1000);
	/* An unpark is for kf_park(). */
	kf_unpark(s->owner);
	usleep(1000);
	kf_ticker_stop(&s->ticker);
	usleep(1000);
	kf_timer_stop(&s->timer);
	return NULL;
}

static int wait_for_stop(struct stopped *s)
{
	int err = kf_ticker_wait(&s->ticker);

	if (err != -EPIPE || !is_unused(&s->ticker.alarm.queue))
		return -10;
	err = kf_timer_wait(&s->timer);
	if (err != -EPIPE || !is_unused(&s->timer.alarm.queue))
		return -11;
	return 0;
}

static int be_stopped(void *arg)
{
	struct stopped s = { .owner = kf_self() };
	pthread_t thread;
	kf_fiber_t other;
	size_t i;

	for (i = 0; i < sizeof(far_away) / sizeof(far_away[0]); i++) {
		if (kf_ticker_start(&s.ticker, far_away[i]) ||
		    kf_timer_start(&s.timer, far_away[i]))
			return -1;
		if (kf_spawn(&other, NULL, stop_both, &s) || wait_for_stop(&s) ||
		    kf_join(other, NULL))
			return -2;
		if (kf_ticker_start(&s.ticker, far_away[i]) ||
		    kf_timer_start(&s.timer, far_away[i]))
			return -3;
		if (pthread_create(&thread, NULL, stop_both_from_outside, &s) ||
		    wait_for_stop(&s) || pthread_join(thread, NULL) || kf_park(0))
			return -4;
	}
	return sleeps_soundly() ? 0 : -5;
}

TEST_F(processors, a_stop_ends_a_wait)
{
	ASSERT_EQ(0, run(variant->n, be_stopped, NULL));
}

/*
 * Stops that come just when the tick does: the wait ends by the one or by the other,
 * the next one by the stop, and no wake-up is left over.
 */
struct contest {
	kf_ticker_t ticker;
	kf_sem_t started, stopped;
	bool over;
};

static void *stop_again_and_again(void *arg)
{
	struct contest *c = arg;
	unsigned int seed = 2;

	for (;;) {
		kf_sem_wait(&c->started);
		if (c->over)
			return NULL;
		kf_sleep(pick(&seed, 100) * 1000);
		kf_ticker_stop(&c->ticker);
		kf_sem_post(&c->stopped);
	}
}

static int compete(void *arg)
{
	struct contest c = { .started = KF_SEM_INIT(0), .stopped = KF_SEM_INIT(0) };
	unsigned int seed = 1;
	kf_fiber_t other;
	int i, ticks = 0;

	if (kf_spawn(&other, NULL, stop_again_and_again, &c))
		return -1;
	for (i = 0; i < 2000; i++) {
		int err;

		kf_ticker_start(&c.ticker, 1 + pick(&seed, 100) * 1000);
		kf_sem_post(&c.started);
		while ((err = kf_ticker_wait(&c.ticker)) >= 0)
			ticks++;
		if (err != -EPIPE)
			return -2;
		kf_sem_wait(&c.stopped);
		if (!is_unused(&c.ticker.alarm.queue))
			return -3;
	}
	c.over = true;
	kf_sem_post(&c.started);
	if (kf_join(other, NULL) || !ticks)
		return -4;
	return sleeps_soundly() ? 0 : -5;
}

TEST_F(processors, stops_and_ticks_at_once)
{
	ASSERT_EQ(0, run(variant->n, compete, NULL));
}

/* --- nothing but a deadline ----------------------------------------------------- */

enum { OWNERS = 500 };

static void *leave_it_running(void *arg)
{
	kf_ticker_t *t = malloc(sizeof(*t));
	bool fine;

	if (!t)
		return (void *)1;
	fine = !kf_ticker_start(t, 3 * MS) && kf_ticker_wait(t) >= 0 && kf_ticker_wait(t) >= 0;
	free(t);
	return (void *)(long)!fine;
}

static int leave_them_running(void *arg)
{
	static kf_fiber_t owners[OWNERS];
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	void *value;
	int i;

	for (i = 0; i < OWNERS; i++)
		if (kf_spawn(&owners[i], NULL, leave_it_running, NULL))
			return -1;
	for (i = 0; i < OWNERS; i++)
		if (kf_join(owners[i], &value) || value)
			return -2;
	kf_stats(&before);
	/* Who waits holds no thread; a few had to wait for memory, or were preempted. */
	if (before.workers_peak > OWNERS / 5)
		return -3;
	/* Ticks that nobody waits for wake nobody: this sleep is all there is. */
	kf_sleep(20 * MS);
	kf_stats(&after);
	return after.timers - before.timers <= 1 ? 0 : -4;
}

TEST_F(processors, nothing_is_left_of_those_that_run)
{
	ASSERT_EQ(0, run(variant->n, leave_them_running, NULL));
}

TEST_HARNESS_MAIN
