// SPDX-License-Identifier: GPL-2.0
/* Stacks shrink: on request, with age, under pressure, and never under a fiber. */
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "file.h"
#include "parked.h"
#include "run.h"

#define KIB 1024ul
#define PAGE 4096ul
#define DEEP (100 * KIB)
#define TRIM_AFTER "/sys/module/kfiber/parameters/trim_after_ms"

static void pattern(unsigned char *p, size_t n, unsigned int seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(seed + i * 7);
}

static long differs(const unsigned char *p, size_t n, unsigned int seed)
{
	long bad = 0;

	for (size_t i = 0; i < n; i++)
		bad += p[i] != (unsigned char)(seed + i * 7);
	return bad;
}

/* Fills and checks a frame of this size, and returns. */
static __attribute__((noinline)) long deep(size_t bytes, unsigned int seed)
{
	volatile unsigned char *frame = __builtin_alloca(bytes);

	/* From the top down, as calls would do. */
	for (size_t i = bytes; i; i -= i < 512 ? i : 512)
		frame[i - 1] = 1;
	pattern((unsigned char *)frame, bytes, seed);
	kf_yield();
	return differs((const unsigned char *)frame, bytes, seed);
}

static uint64_t committed(kf_fiber_t fiber)
{
	struct kf_stack_stats s = { .size = sizeof(s) };

	return kf_stack_stats(fiber, &s) ? 0 : s.committed;
}

/* Goes deep, comes back, parks with something on its stack; goes deep again. */
static void *deep_then_park(void *arg)
{
	unsigned char keep[3000];
	long bad = deep(DEEP, 1);

	pattern(keep, sizeof(keep), 77);
	kf_park(KF_FOREVER);
	bad += differs(keep, sizeof(keep), 77);
	bad += deep(DEEP, 3);
	return (void *)bad;
}

/* With a trim that was made to happen, all that was parked must be whole. */
static int trims(int (*make_trim)(kf_fiber_t fiber))
{
	kf_fiber_t fiber;
	void *bad;
	int err;

	if (kf_spawn(&fiber, NULL, deep_then_park, NULL))
		return -1;
	wait_until_parked(fiber);
	err = make_trim(fiber);
	if (kf_unpark(fiber) || kf_join(fiber, &bad))
		return -2;
	return err ? err : bad ? -3 : 0;
}

static int by_request(kf_fiber_t fiber)
{
	int64_t freed = kf_trim();

	if (freed < (int64_t)(DEEP - 4 * KIB))
		return -10;
	/* Where it parked, the keep[] above, and the frames of both. */
	return committed(fiber) <= 8 * KIB ? 0 : -11;
}

static int trims_on_request(void *arg)
{
	return trims(by_request);
}

TEST(trim_frees_what_a_parked_fiber_does_not_need)
{
	ASSERT_EQ(0, run(2, trims_on_request, NULL));
}

/* Until the module has done it by itself. */
static int by_itself(kf_fiber_t fiber)
{
	uint64_t end = kf_after(20000 * MS);

	while (committed(fiber) > 8 * KIB && kf_now() < end)
		kf_sleep(20 * MS);
	return committed(fiber) <= 8 * KIB ? 0 : -20;
}

static int trims_by_itself(void *arg)
{
	return trims(by_itself);
}

FIXTURE(age) {
	char before[16];
};

FIXTURE_SETUP(age)
{
	FILE *f = fopen(TRIM_AFTER, "r");

	ASSERT_NE(NULL, f);
	ASSERT_NE(NULL, fgets(self->before, sizeof(self->before), f));
	fclose(f);
}

FIXTURE_TEARDOWN(age)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, self->before));
}

TEST_F(age, a_fiber_that_stays_parked_is_trimmed)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "100"));
	ASSERT_EQ(0, run(2, trims_by_itself, NULL));
}

static int not_by_itself(kf_fiber_t fiber)
{
	kf_sleep(600 * MS);
	return committed(fiber) >= DEEP ? 0 : -30;
}

static int never_by_itself(void *arg)
{
	return trims(not_by_itself);
}

TEST_F(age, not_when_it_is_switched_off)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "0"));
	ASSERT_EQ(0, run(2, never_by_itself, NULL));
}

/* Makes the kernel ask all its shrinkers, as reclaim does. */
static int by_pressure(kf_fiber_t fiber)
{
	uint64_t end = kf_after(20000 * MS);

	while (committed(fiber) > 8 * KIB && kf_now() < end)
		if (!write_file("/proc/sys/vm/drop_caches", "2"))
			return -40;
	return committed(fiber) <= 8 * KIB ? 0 : -41;
}

static int trims_under_pressure(void *arg)
{
	return trims(by_pressure);
}

TEST_F(age, pressure_trims_too)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "0"));
	ASSERT_EQ(0, run(2, trims_under_pressure, NULL));
}

static void *deep_fiber(void *arg)
{
	return (void *)deep(DEEP, 5);
}

static void *short_fiber(void *kib)
{
	return (void *)deep(((uintptr_t)kib + 1) * KIB, (unsigned int)(uintptr_t)kib);
}

static int ended_fibers(void *arg)
{
	struct kf_stats s = { .size = sizeof(s) };
	uint64_t end = kf_after(60000 * MS);
	kf_fiber_t fibers[200];
	void *bad;

	for (int i = 0; i < 200; i++)
		if (kf_spawn(&fibers[i], NULL, deep_fiber, NULL))
			return -1;
	for (int i = 0; i < 200; i++)
		if (kf_join(fibers[i], &bad) || bad)
			return -2;
	if (kf_trim() < 0)
		return -3;
	/*
	 * One processor: nothing is left but this fiber's own. A few the module's pool may just
	 * have had in hand, because there were more than it keeps.
	 */
	while (kf_stats(&s), s.stack_pages > 8) {
		if (kf_now() > end)
			return -4;
		kf_sleep(10 * MS);
	}
	return s.stack_trimmed * PAGE >= 100 * DEEP ? 0 : -5;
}

TEST_F(age, pooled_stacks_are_trimmed)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "0"));
	ASSERT_EQ(0, run(1, or_exit, ended_fibers));
}

/* 20 fibers of more than 100 KiB end; their processor keeps all of their stacks. */
static int fill_a_processors_pool(void)
{
	struct kf_stats s = { .size = sizeof(s) };
	kf_fiber_t fibers[20];
	void *bad;

	for (int i = 0; i < 20; i++)
		if (kf_spawn(&fibers[i], NULL, deep_fiber, NULL))
			return -1;
	for (int i = 0; i < 20; i++)
		if (kf_join(fibers[i], &bad) || bad)
			return -2;
	kf_stats(&s);
	return s.stack_pages - s.pool_pages >= 20 * DEEP / PAGE ? 0 : -3;
}

/* But for the first fiber's own. */
static bool nothing_is_left(void)
{
	struct kf_stats s = { .size = sizeof(s) };

	kf_stats(&s);
	return s.stack_pages <= 8;
}

static void *trim_once(void *freed)
{
	*(int64_t *)freed = kf_trim();
	return NULL;
}

/* Who asks has no processor: the pool is not his to empty. */
static int processors_pool(void *arg)
{
	int64_t freed = 0;
	pthread_t thread;
	int err = fill_a_processors_pool();

	if (err)
		return err;
	if (pthread_create(&thread, NULL, trim_once, &freed) || pthread_join(thread, NULL))
		return -10;
	if (freed < (int64_t)(20 * DEEP) || !nothing_is_left())
		return -11;
	/* They are used again, from the same pool. */
	return fill_a_processors_pool();
}

TEST_F(age, what_processors_keep_is_trimmed)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "0"));
	ASSERT_EQ(0, run(1, or_exit, processors_pool));
}

static int processors_pool_ages(void *arg)
{
	uint64_t end = kf_after(20000 * MS);
	int err = fill_a_processors_pool();

	while (!err && !nothing_is_left()) {
		if (kf_now() > end)
			return -10;
		kf_sleep(20 * MS);
	}
	return err;
}

TEST_F(age, what_processors_keep_is_trimmed_with_age)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "100"));
	ASSERT_EQ(0, run(1, or_exit, processors_pool_ages));
}

/* --- trimming against waking -------------------------------------------------- */

#define SWIMMERS 24

static atomic_bool stop_race;
static atomic_long lost;

static void *swimmer(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	while (!atomic_load(&stop_race)) {
		unsigned char keep[600];

		pattern(keep, sizeof(keep), seed);
		atomic_fetch_add(&lost, deep((seed % 13 + 1) * 4 * KIB, seed));
		kf_park(kf_after(seed % 3 ? 200000 : 50000));
		atomic_fetch_add(&lost, differs(keep, sizeof(keep), seed));
		seed = seed * 1103515245 + 12345;
	}
	return NULL;
}

static void *trimmer(void *arg)
{
	long *freed = arg;

	while (!atomic_load(&stop_race)) {
		int64_t n = kf_trim();

		if (n > 0)
			*freed += n;
	}
	return NULL;
}

static int race(void *arg)
{
	kf_fiber_t fibers[SWIMMERS];
	uint64_t end = kf_after(4000 * MS);
	pthread_t thread;
	long freed = 0;

	atomic_store(&stop_race, false);
	for (uintptr_t i = 0; i < SWIMMERS; i++)
		if (kf_spawn(&fibers[i], NULL, swimmer, (void *)(i * 7919 + 1)))
			return -1;
	if (pthread_create(&thread, NULL, trimmer, &freed))
		return -2;
	/* Wake them as they are being trimmed. */
	while (kf_now() < end) {
		for (int i = 0; i < SWIMMERS; i++)
			kf_unpark(fibers[i]);
		kf_sleep(100000);
	}
	atomic_store(&stop_race, true);
	for (int i = 0; i < SWIMMERS; i++) {
		kf_unpark(fibers[i]);
		if (kf_join(fibers[i], NULL))
			return -3;
	}
	pthread_join(thread, NULL);
	if (atomic_load(&lost))
		return -4;
	return freed > 0 ? 0 : -5;
}

TEST_F(age, nothing_is_lost_when_fibers_wake_meanwhile)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "1"));
	ASSERT_EQ(0, run(2, race, NULL));
}

/* --- trimming against spawning ------------------------------------------------ */

static void *spawner(void *arg)
{
	uintptr_t seed = (uintptr_t)arg;

	while (!atomic_load(&stop_race)) {
		kf_fiber_t fibers[6];
		void *bad = NULL;

		for (int i = 0; i < 6; i++)
			if (kf_spawn(&fibers[i], NULL, short_fiber, (void *)(seed++ % 20)))
				return (void *)1;
		for (int i = 0; i < 6; i++)
			if (kf_join(fibers[i], &bad) || bad)
				atomic_fetch_add(&lost, 1);
	}
	return NULL;
}

/* Stacks are taken from the processors' pools as they are being trimmed there. */
static int race_for_pools(void *arg)
{
	kf_fiber_t fibers[4];
	pthread_t thread;
	long freed = 0;

	atomic_store(&stop_race, false);
	if (pthread_create(&thread, NULL, trimmer, &freed))
		return -1;
	for (uintptr_t i = 0; i < 4; i++)
		if (kf_spawn(&fibers[i], NULL, spawner, (void *)(i * 5)))
			return -2;
	kf_sleep(3000 * MS);
	atomic_store(&stop_race, true);
	for (int i = 0; i < 4; i++) {
		void *bad = NULL;

		if (kf_join(fibers[i], &bad) || bad)
			return -3;
	}
	pthread_join(thread, NULL);
	if (atomic_load(&lost))
		return -4;
	return freed > 0 ? 0 : -5;
}

TEST_F(age, nothing_is_lost_when_stacks_are_used_again_meanwhile)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "1"));
	ASSERT_EQ(0, run(2, race_for_pools, NULL));
}

/* --- fork --------------------------------------------------------------------- */

static int child_stack[2], child_go[2];

/* Forks deep down; the child looks whether its copy of the stack stays. */
static __attribute__((noinline)) pid_t fork_deep(void)
{
	unsigned char frame[40 * KIB];
	pid_t pid;
	char c;

	pattern(frame, sizeof(frame), 9);
	pid = fork();
	if (pid)
		return pid;
	c = 'r';
	if (write(child_stack[1], &c, 1) != 1 || read(child_go[0], &c, 1) != 1)
		_exit(2);
	_exit(differs(frame, sizeof(frame), 9) || deep(60 * KIB, 4) ? 1 : 0);
}

static void *forker(void *arg)
{
	pid_t *pid = arg;

	*pid = fork_deep();
	kf_park(KF_FOREVER);
	return NULL;
}

static int trim_with_child(void *arg)
{
	kf_fiber_t fiber;
	pid_t pid = 0;
	int status;
	char c = 'g';

	if (pipe(child_stack) || pipe(child_go))
		return -1;
	if (kf_spawn(&fiber, NULL, forker, &pid) || read(child_stack[0], &c, 1) != 1)
		return -2;
	wait_until_parked(fiber);
	if (kf_trim() != 0)
		return -3;
	if (write(child_go[1], &c, 1) != 1 || waitpid(pid, &status, 0) != pid)
		return -4;
	if (status)
		return -5;
	/* The child is gone: now the 40 KiB go. */
	if (kf_trim() < (int64_t)(36 * KIB))
		return -6;
	kf_unpark(fiber);
	return kf_join(fiber, NULL) ? -7 : 0;
}

TEST(not_while_a_forked_child_has_a_copy)
{
	ASSERT_EQ(0, run(2, trim_with_child, NULL));
}

/* --- counting ------------------------------------------------------------------ */

static int stats_of_a_stack(void *arg)
{
	struct kf_stack_stats s = { .size = sizeof(s) };
	kf_fiber_t fiber;
	void *bad;

	if (kf_stack_stats(0, &s) != -ESRCH)
		return -1;
	s.size = 8;
	if (kf_stack_stats(kf_self(), &s) != -EINVAL)
		return -2;
	s.size = sizeof(s);
	if (kf_spawn(&fiber, NULL, deep_then_park, NULL))
		return -3;
	wait_until_parked(fiber);
	if (kf_trim() <= 0 || kf_stack_stats(fiber, &s))
		return -4;
	if (s.guard != 64 * KIB || s.limit != 192 * KIB || s.faults < 4 || s.refused)
		return -5;
	if (s.high_water < DEEP || s.committed > 8 * KIB)
		return -6;
	kf_unpark(fiber);
	return kf_join(fiber, &bad) || bad ? -7 : 0;
}

TEST(what_is_told_of_a_stack)
{
	ASSERT_EQ(0, run(2, stats_of_a_stack, NULL));
}

/* --- starting where the others ended ------------------------------------------ */

static void *as_deep_as(void *arg)
{
	return (void *)deep((size_t)arg, 6);
}

/* Always the same place in the program. */
static __attribute__((noinline)) int spawn_deep(kf_fiber_t *fiber, size_t bytes)
{
	int err = kf_spawn(fiber, NULL, as_deep_as, (void *)bytes);

	__asm__ volatile("");				/* no tail call */
	return err;
}

static uint32_t faults_of_a_fresh_one(size_t bytes)
{
	struct kf_stats before = { .size = sizeof(before) }, after = before;
	kf_fiber_t fiber;

	kf_trim();					/* no warm stack */
	kf_stats(&before);
	if (spawn_deep(&fiber, bytes) || kf_join(fiber, NULL))
		return 9999;
	kf_stats(&after);
	return (uint32_t)(after.stack_faults - before.stack_faults);
}

static int learns_from_the_site(void *arg)
{
	struct kf_spawn_site sites[8];
	uint32_t first, later;
	int i, n;

	if (kf_spawn_sites(sites, 8) != 0)
		return -1;
	first = faults_of_a_fresh_one(60 * KIB);
	for (i = 0; i < 20; i++)
		later = faults_of_a_fresh_one(60 * KIB);
	n = kf_spawn_sites(sites, 8);
	if (n != 1 || kf_spawn_sites(NULL, 0) != 1)
		return -2;
	if (sites[0].spawned != 21 || sites[0].high_water < 60 * KIB)
		return -3;
	if (sites[0].start < 56 * KIB || sites[0].start > 128 * KIB)
		return -4;
	/* Doubling takes some faults; who begins with it takes one at most. */
	if (first < 3 || later > 1)
		return -5;
	/* Shallow ones at the same place make it fade. */
	for (i = 0; i < 64 * 8; i++)
		faults_of_a_fresh_one(100);
	kf_spawn_sites(sites, 1);
	return sites[0].start == 4 * KIB ? 0 : -6;
}

TEST(fibers_of_a_site_start_with_what_it_needs)
{
	ASSERT_EQ(0, run(1, learns_from_the_site, NULL));
}

TEST(no_domain_no_trim)
{
	struct kf_stack_stats s = { .size = sizeof(s) };

	ASSERT_EQ(-ESRCH, kf_trim());
	ASSERT_EQ(-ESRCH, kf_stack_stats(1, &s));
}

TEST_HARNESS_MAIN
