// SPDX-License-Identifier: GPL-2.0
/*
 * Fibers that go before others, or after them. Most of what is asserted here is an order, or
 * ends only if somebody has run; where it is a time, it is one that the wrong rule misses by
 * far: slices are made long.
 */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "parked.h"
#include "run.h"
#include "slow.h"
#include "syscalls.h"

#define LONG_SLICE (400 * MS)

static atomic_bool stop;
static int pipes[2];

static int run_with(unsigned int processors, uint64_t slice, int (*fn)(void *))
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .slice_ns = slice,
	};

	atomic_store(&stop, false);
	return kf_run(&config, fn, NULL);
}

static int spawn(kf_fiber_t *out, unsigned int priority, void *(*fn)(void *), void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .priority = priority };

	return kf_spawn(out, &attr, fn, arg);
}

static bool stopped(void)
{
	return atomic_load_explicit(&stop, memory_order_relaxed);
}

static void *end_it(void *arg)
{
	atomic_store(&stop, true);
	return NULL;
}

static void *compute(void *arg)
{
	while (!stopped())
		;
	return NULL;
}

static void *yield(void *arg)
{
	while (!stopped())
		kf_yield();
	return NULL;
}

/* --- what can be said ----------------------------------------------------------------- */

static void *own_priority(void *arg)
{
	return (void *)(intptr_t)kf_set_priority(0);
}

static int priority_of_child(unsigned int priority)
{
	kf_fiber_t child;
	void *value;

	if (spawn(&child, priority, own_priority, NULL) || kf_join(child, &value))
		return -1;
	return (int)(intptr_t)value;
}

static int set_and_inherit(void *arg)
{
	if (kf_set_priority(0) != KF_PRIORITY_NORMAL ||
	    kf_set_priority(KF_PRIORITY_INTERACTIVE + 1) != -EINVAL)
		return 1;
	if (spawn(NULL, KF_PRIORITY_INTERACTIVE + 1, own_priority, NULL) != -EINVAL)
		return 2;
	if (priority_of_child(0) != KF_PRIORITY_NORMAL ||
	    priority_of_child(KF_PRIORITY_BACKGROUND) != KF_PRIORITY_BACKGROUND)
		return 3;
	if (kf_set_priority(KF_PRIORITY_INTERACTIVE) != KF_PRIORITY_NORMAL ||
	    priority_of_child(0) != KF_PRIORITY_INTERACTIVE ||
	    priority_of_child(KF_PRIORITY_NORMAL) != KF_PRIORITY_NORMAL)
		return 4;
	/* A new fiber in an old block. */
	if (kf_set_priority(KF_PRIORITY_NORMAL) != KF_PRIORITY_INTERACTIVE ||
	    priority_of_child(0) != KF_PRIORITY_NORMAL)
		return 5;
	return 0;
}

TEST(priority_is_set_and_inherited)
{
	ASSERT_EQ(-EPERM, kf_set_priority(KF_PRIORITY_NORMAL));
	ASSERT_EQ(0, run_with(1, 0, set_and_inherit));
}

static uint64_t calls(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	return kf_stats(&stats) ? 0 : stats.calls;
}

static void *park(void *arg)
{
	kf_park(KF_FOREVER);
	return NULL;
}

/* The first finds the pool empty, and that calls the module too; nothing is to run meanwhile. */
static int count_calls(void *arg)
{
	kf_fiber_t fibers[2];
	uint64_t before;
	int i;

	if (spawn(&fibers[0], KF_PRIORITY_BACKGROUND, park, NULL))
		return 1;
	before = calls();
	if (spawn(&fibers[1], KF_PRIORITY_BACKGROUND, park, NULL) || calls() == before)
		return 2;
	for (i = 0; i < 2; i++) {
		wait_until_parked(fibers[i]);
		before = calls();
		if (kf_unpark(fibers[i]) || calls() == before)
			return 3;
	}
	return kf_join(fibers[0], NULL) || kf_join(fibers[1], NULL);
}

TEST(calls_for_those_apart_are_counted)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, count_calls));
}

/* A program that was made before there were priorities says nothing of them. */
static int spawn_with_old_attr(void *arg)
{
	struct kf_attr attr = {
		.size = offsetof(struct kf_attr, priority), .priority = 77,
	};
	kf_fiber_t child;

	return kf_spawn(&child, &attr, own_priority, NULL) || kf_join(child, NULL);
}

TEST(shorter_attr_has_no_priority)
{
	ASSERT_EQ(0, run_with(1, 0, spawn_with_old_attr));
}

static int dump_background(void *arg)
{
	char text[4096];
	ssize_t n;

	kf_set_priority(KF_PRIORITY_BACKGROUND);
	if (kf_dump(pipes[1]))
		return 1;
	n = read(pipes[0], text, sizeof(text) - 1);
	if (n <= 0)
		return 2;
	text[n] = '\0';
	return !strstr(text, "in the background");
}

TEST(dump_tells_the_priority)
{
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, run_with(1, 0, dump_background));
}

/* --- the order ------------------------------------------------------------------------ */

static char order[16];
static atomic_int nr_ordered;

static void *note(void *letter)
{
	order[atomic_fetch_add(&nr_ordered, 1)] = (char)(intptr_t)letter;
	return NULL;
}

static void *note_woken(void *letter)
{
	kf_park(KF_FOREVER);
	return note(letter);
}

static const struct {
	char letter;
	unsigned int priority;
} ordered[] = {
	{ 'b', KF_PRIORITY_BACKGROUND }, { 'n', KF_PRIORITY_NORMAL },
	{ 'i', KF_PRIORITY_INTERACTIVE }, { 'n', KF_PRIORITY_NORMAL },
	{ 'b', KF_PRIORITY_BACKGROUND }, { 'i', KF_PRIORITY_INTERACTIVE },
};

#define ORDERED (sizeof(ordered) / sizeof(ordered[0]))

static int all_at_once(void *(*fn)(void *), bool park)
{
	kf_fiber_t fibers[ORDERED];
	size_t i;

	atomic_store(&nr_ordered, 0);
	memset(order, 0, sizeof(order));
	wait_for_spare();
	for (i = 0; i < ORDERED; i++)
		if (spawn(&fibers[i], ordered[i].priority, fn,
			  (void *)(intptr_t)ordered[i].letter))
			return 1;
	if (park)
		kf_sleep(20 * MS);
	for (i = 0; park && i < ORDERED; i++)
		kf_unpark(fibers[i]);
	for (i = 0; i < ORDERED; i++)
		if (kf_join(fibers[i], NULL))
			return 2;
	return strcmp(order, "iinnbb");
}

static int spawned_at_once(void *arg)
{
	return all_at_once(note, false);
}

static int woken_at_once(void *arg)
{
	return all_at_once(note_woken, true);
}

/* They go to sleep in the table's order: none has a priority before it runs. */
static void *note_slept(void *number)
{
	uintptr_t i = (uintptr_t)number;

	kf_set_priority(ordered[i].priority);
	kf_sleep(MS);
	return note((void *)(intptr_t)ordered[i].letter);
}

static int timed_out_at_once(void *arg)
{
	kf_fiber_t fibers[ORDERED];
	uintptr_t i;

	for (i = 0; i < ORDERED; i++)
		if (spawn(&fibers[i], KF_PRIORITY_NORMAL, note_slept, (void *)i))
			return 1;
	for (i = 0; i < ORDERED; i++)
		if (kf_join(fibers[i], NULL))
			return 2;
	return strcmp(order, "iinnbb");
}

/* One that has to wait for a page while it spawns gives its processor to who is queued so far. */
TEST(spawned_fibers_run_in_order_of_priority)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, spawned_at_once));
}

TEST(woken_fibers_run_in_order_of_priority)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, woken_at_once));
}

/* All of them at the same moment, which only the domain's own clock can do. */
TEST(fibers_that_slept_run_in_order_of_priority)
{
	struct kf_config config = {
		.size = sizeof(config), .flags = KF_TEST_CLOCK, .processors = 1,
		.slice_ns = KF_SLICE_NEVER,
	};

	ASSERT_EQ(0, kf_run(&config, timed_out_at_once, NULL));
}

/* --- the background ------------------------------------------------------------------- */

#define YIELDS 20000

static atomic_int background_runs;

static void *count_run(void *arg)
{
	atomic_fetch_add(&background_runs, 1);
	return NULL;
}

static void *yield_often(void *arg)
{
	int i;

	for (i = 0; i < YIELDS; i++)
		kf_yield();
	return (void *)(intptr_t)atomic_load(&background_runs);
}

/* Two that yield to each other, while @fn waits in the background. */
static int yield_before(void *(*fn)(void *), bool blocked)
{
	kf_fiber_t background, others[2];
	void *runs = NULL;
	int i, result = 0;

	atomic_store(&background_runs, 0);
	wait_for_spare();
	if (spawn(&background, KF_PRIORITY_BACKGROUND, fn, NULL))
		return 1;
	if (blocked)
		kf_sleep(20 * MS);
	for (i = 0; i < 2; i++)
		if (spawn(&others[i], 0, yield_often, NULL))
			return 1;
	if (blocked && write(pipes[1], "", 1) != 1)
		return 1;
	for (i = 0; i < 2; i++)
		result |= kf_join(others[i], &runs) || runs;
	return result || kf_join(background, NULL) || atomic_load(&background_runs) != 1;
}

static int yield_before_queued(void *arg)
{
	return yield_before(count_run, false);
}

/* Every 61st dispatch thinks of others, but not of these. */
TEST(background_waits_while_others_yield)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, yield_before_queued));
}

static void *block_and_count(void *arg)
{
	char byte;

	return read(pipes[0], &byte, 1) == 1 ? count_run(NULL) : NULL;
}

static int yield_before_blocked(void *arg)
{
	return yield_before(block_and_count, true);
}

TEST(background_that_was_blocked_waits_too)
{
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, yield_before_blocked));
}

/* They can end only if each lets the other run, and nobody takes a processor away. */
static int background_pair(void *arg)
{
	kf_fiber_t fibers[2];

	if (spawn(&fibers[0], KF_PRIORITY_BACKGROUND, yield, NULL) ||
	    spawn(&fibers[1], KF_PRIORITY_BACKGROUND, end_it, NULL))
		return 1;
	return kf_join(fibers[0], NULL) || kf_join(fibers[1], NULL);
}

TEST(background_yields_to_background)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, background_pair));
}

static int end_in_background(void *(*others)(void *), int n)
{
	kf_fiber_t fibers[4];
	uint64_t since = kf_now();
	int i;

	if (spawn(&fibers[n], KF_PRIORITY_BACKGROUND, end_it, NULL))
		return 1;
	for (i = 0; i < n; i++)
		if (spawn(&fibers[i], 0, others, NULL))
			return 1;
	for (i = 0; i <= n; i++)
		if (kf_join(fibers[i], NULL))
			return 2;
	printf("# the background waited for %llu us\n",
	       (unsigned long long)(kf_now() - since) / 1000);
	return 0;
}

static int age_beside_yields(void *arg)
{
	return end_in_background(yield, 3);
}

static int age_beside_computing(void *arg)
{
	return end_in_background(compute, 3);
}

static int age_beside_interactive(void *arg)
{
	kf_set_priority(KF_PRIORITY_INTERACTIVE);
	return end_in_background(yield, 2);
}

/* These end only if it gets its turn. */
TEST(background_is_not_starved_by_yields)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_MIN, age_beside_yields));
	ASSERT_EQ(0, run_with(2, KF_SLICE_MIN, age_beside_yields));
}

TEST(background_is_not_starved_by_who_computes)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_MIN, age_beside_computing));
	ASSERT_EQ(0, run_with(2, KF_SLICE_MIN, age_beside_computing));
}

TEST(background_is_not_starved_by_the_interactive)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_MIN, age_beside_interactive));
}

static atomic_int rounds;

/* Loses its processor again and again, and gets it again each time. */
static void *count_rounds(void *arg)
{
	while (atomic_load(&rounds) < 5) {
		uint64_t since = kf_now();

		/* So long in one go only who was elsewhere. */
		while (kf_now() - since < 2 * MS)
			;
		atomic_fetch_add(&rounds, 1);
	}
	return end_it(NULL);
}

static int preempt_background(void *arg)
{
	kf_fiber_t background, other;

	atomic_store(&rounds, 0);
	return spawn(&background, KF_PRIORITY_BACKGROUND, count_rounds, NULL) ||
	       spawn(&other, 0, compute, NULL) || kf_join(background, NULL) ||
	       kf_join(other, NULL);
}

TEST(background_that_is_preempted_goes_on)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_MIN, preempt_background));
}

/* --- what others wait for ------------------------------------------------------------- */

static uint64_t least, worst;

/* Its lateness, when it sleeps beside one that computes. */
static void *sleep_and_measure(void *arg)
{
	uint64_t due, late;
	int i;

	worst = 0;
	least = KF_FOREVER;
	for (i = 0; i < 5; i++) {
		due = kf_after(10 * MS);
		kf_sleep(10 * MS);
		late = kf_now() - due;
		worst = late > worst ? late : worst;
		least = late < least ? late : least;
	}
	return end_it(NULL);
}

static int measure_beside(unsigned int hog, unsigned int sleeper)
{
	kf_fiber_t fibers[2];

	if (spawn(&fibers[0], hog, compute, NULL) ||
	    spawn(&fibers[1], sleeper, sleep_and_measure, NULL) ||
	    kf_join(fibers[0], NULL) || kf_join(fibers[1], NULL))
		return 1;
	printf("# late by %llu us at most, with slices of %llu us\n",
	       (unsigned long long)worst / 1000, LONG_SLICE / 1000);
	/* The machine may be late, too; a slice that is waited for is waited for each time. */
	return least > LONG_SLICE * 3 / 4;
}

static int interactive_beside_computing(void *arg)
{
	return measure_beside(KF_PRIORITY_NORMAL, KF_PRIORITY_INTERACTIVE);
}

static int normal_beside_background(void *arg)
{
	return measure_beside(KF_PRIORITY_BACKGROUND, KF_PRIORITY_NORMAL);
}

TEST(interactive_does_not_wait_for_a_slice)
{
	ASSERT_EQ(0, run_with(1, LONG_SLICE, interactive_beside_computing));
}

TEST(background_gives_up_before_its_slice_is_over)
{
	ASSERT_EQ(0, run_with(1, LONG_SLICE, normal_beside_background));
}

/* --- interactive ones that are too many ----------------------------------------------- */

static kf_fiber_t partners[2];

static void *wake_partner(void *number)
{
	while (!stopped()) {
		kf_unpark(partners[!number]);
		kf_park(KF_FOREVER);
	}
	kf_unpark(partners[!number]);
	return NULL;
}

static int end_beside_partners(void *arg)
{
	kf_fiber_t other;

	if (spawn(&partners[0], KF_PRIORITY_INTERACTIVE, wake_partner, NULL) ||
	    spawn(&partners[1], KF_PRIORITY_INTERACTIVE, wake_partner, (void *)1) ||
	    spawn(&other, 0, end_it, NULL))
		return 1;
	return kf_join(other, NULL) || kf_join(partners[0], NULL) || kf_join(partners[1], NULL);
}

TEST(others_are_not_starved_by_the_interactive)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, end_beside_partners));
	ASSERT_EQ(0, run_with(1, 0, end_beside_partners));
	ASSERT_EQ(0, run_with(2, 0, end_beside_partners));
}

static atomic_int readers_back;

static void *read_and_end(void *arg)
{
	char byte;

	if (read(pipes[0], &byte, 1) != 1 || atomic_fetch_add(&readers_back, 1) == 1)
		end_it(NULL);
	return NULL;
}

/* Two come back from the kernel at once, where nobody's slice is ever over. */
static int come_back_beside_partners(void *arg)
{
	kf_fiber_t readers[2];
	int i;

	atomic_store(&readers_back, 0);
	for (i = 0; i < 2; i++)
		if (spawn(&readers[i], 0, read_and_end, NULL))
			return 1;
	kf_sleep(10 * MS);
	if (spawn(&partners[0], KF_PRIORITY_INTERACTIVE, wake_partner, NULL) ||
	    spawn(&partners[1], KF_PRIORITY_INTERACTIVE, wake_partner, (void *)1) ||
	    write(pipes[1], "xx", 2) != 2)
		return 2;
	for (i = 0; i < 2; i++)
		if (kf_join(readers[i], NULL) || kf_join(partners[i], NULL))
			return 3;
	return 0;
}

TEST(who_comes_back_is_not_starved_by_the_interactive)
{
	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, come_back_beside_partners));
}

/* --- all of it at once ---------------------------------------------------------------- */

#define MIXED 60

static kf_mutex_t mutex = KF_MUTEX_INIT;

static void *mix(void *number)
{
	unsigned int i, n = (unsigned int)(uintptr_t)number, rounds = (unsigned int)slowly(200);

	for (i = 0; i < rounds; i++) {
		switch ((n + i) % 7) {
		case 0:
			kf_sleep(MS / 10);
			break;
		case 1:
			usleep(100);
			break;
		case 2:
			kf_set_priority(1 + (n + i) % 3);
			break;
		case 3:
			kf_mutex_lock(&mutex);
			kf_yield();
			kf_mutex_unlock(&mutex);
			break;
		case 4:
			if (kf_pin())
				break;
			kf_yield();
			kf_sleep(MS / 10);
			kf_unpin();
			break;
		default:
			kf_yield();
		}
	}
	return NULL;
}

static int mix_all(void *arg)
{
	kf_fiber_t fibers[MIXED];
	uintptr_t i;

	for (i = 0; i < MIXED; i++)
		if (spawn(&fibers[i], 1 + i % 3, mix, (void *)i))
			return 1;
	for (i = 0; i < MIXED; i++)
		if (kf_join(fibers[i], NULL))
			return 2;
	return 0;
}

TEST(all_come_to_their_end)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_MIN, mix_all));
	ASSERT_EQ(0, run_with(2, KF_SLICE_MIN, mix_all));
	ASSERT_EQ(0, run_with(7, 0, mix_all));
}

TEST_HARNESS_MAIN
