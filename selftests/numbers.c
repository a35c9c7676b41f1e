// SPDX-License-Identifier: GPL-2.0
/* What a program can learn about its stacks: of each fiber, spawn site, and of all. */
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "harness.h"
#include "deep.h"
#include "parked.h"
#include "run.h"

#define KIB 1024ul
#define PAGE 4096ul
/* Deeper than any path through the library: of what is not exact. */
#define SLACK (8 * KIB)

/* The same, but parks where it is deep. */
static __attribute__((noinline)) void park_deep(size_t bytes)
{
	volatile char *frame = __builtin_alloca(bytes);

	for (size_t i = bytes; i; i -= i < 512 ? i : 512)
		frame[i - 1] = 1;
	kf_park(KF_FOREVER);
	frame[0] = 2;
}

static void *parks_deep(void *arg)
{
	park_deep((size_t)arg);
	return NULL;
}

static bool near(uint64_t value, uint64_t from, uint64_t to)
{
	return value >= from && value <= to;
}

/* --- of all stacks ---------------------------------------------------------------- */

static struct kf_stack_usage usage(void)
{
	struct kf_stack_usage u = { .size = sizeof(u) };

	kf_stack_usage(&u);
	return u;
}

static int used_and_wasted(void *arg)
{
	struct kf_stack_usage before = usage(), u;
	kf_fiber_t shallow, deep, ended;

	/* The first fiber alone: it runs, so all that it has counts. */
	if (!before.resident || before.used != before.resident || before.idle)
		return -1;
	if (kf_spawn(&shallow, NULL, deep_then_park, (void *)(100 * KIB)) ||
	    kf_spawn(&deep, NULL, parks_deep, (void *)(100 * KIB)))
		return -2;
	wait_until_parked(shallow);
	wait_until_parked(deep);
	u = usage();
	if (!near(u.resident - before.resident, 200 * KIB, 2 * 128 * KIB))
		return -3;
	if (!near(u.used - before.used, 100 * KIB, 100 * KIB + 2 * SLACK) || u.idle)
		return -4;
	/* What is not used can be trimmed, what is can not. */
	if (kf_trim() < (int64_t)(90 * KIB))
		return -5;
	before = u;
	u = usage();
	if (u.used != before.used || u.resident - u.used > 40 * KIB)
		return -6;
	/* An ended fiber uses nothing; its stack is for others once it is joined. */
	if (kf_spawn(&ended, NULL, parks_deep, (void *)(60 * KIB)))
		return -7;
	wait_until_parked(ended);
	kf_unpark(ended);
	wait_until_ended(ended);
	before = u;
	u = usage();
	if (u.used != before.used || u.resident < before.resident + 60 * KIB || u.idle)
		return -8;
	if (kf_join(ended, NULL))
		return -9;
	u = usage();
	if (u.used != before.used || u.idle < 60 * KIB)
		return -10;
	kf_unpark(shallow);
	kf_unpark(deep);
	return kf_join(shallow, NULL) || kf_join(deep, NULL) ? -11 : 0;
}

TEST(memory_that_is_used)
{
	ASSERT_EQ(0, run(1, or_exit, used_and_wasted));
}

static int deep_in_a_call(void *arg)
{
	volatile char frame[50 * KIB];
	struct kf_stack_usage u;

	for (size_t i = sizeof(frame); i; i -= 512)
		frame[i - 1] = 1;
	kf_sleep(MS);					/* with a stack pointer far down */
	u = usage();
	if (u.used != u.resident || u.used < sizeof(frame))
		return -1;
	u.size = sizeof(u.size);
	if (kf_stack_usage(&u) != -EINVAL)
		return -2;
	/* Older programs have less room. */
	u.size = offsetof(struct kf_stack_usage, used);
	u.used = 77;
	return kf_stack_usage(&u) || u.used != 77 || !u.resident ? -3 : 0;
}

TEST(a_fiber_that_runs_uses_what_it_has)
{
	ASSERT_EQ(0, run(1, or_exit, deep_in_a_call));
}

TEST(no_domain_no_usage)
{
	struct kf_stack_usage u = { .size = sizeof(u) };

	ASSERT_EQ(-ESRCH, kf_stack_usage(&u));
}

/* --- how fast they grow ------------------------------------------------------------- */

static int rates(void *arg)
{
	struct kf_stats s = { .size = sizeof(s) }, t = s;
	kf_fiber_t fibers[10];
	uint64_t before = kf_now();

	kf_stats(&s);
	for (int i = 0; i < 10; i++)
		if (kf_spawn(&fibers[i], NULL, deep_then_park, (void *)(40 * KIB)))
			return -1;
	for (int i = 0; i < 10; i++)
		wait_until_parked(fibers[i]);
	kf_sleep(20 * MS);
	kf_stats(&t);
	if (s.time < before || t.time < s.time + 20 * MS || t.time > kf_now())
		return -2;
	/* 11 pages are 1 + 1 + 2 + 4 + 8: the first by kf_spawn, the others by faults. */
	if (t.stack_grown - s.stack_grown != 160 || t.stack_starts - s.stack_starts != 10 ||
	    t.stack_faults - s.stack_faults != 40)
		return -3;
	kf_trim();
	kf_stats(&t);
	if (t.stack_pages != t.stack_grown - t.stack_trimmed || !t.stack_trimmed)
		return -4;
	for (int i = 0; i < 10; i++)
		if (kf_unpark(fibers[i]) || kf_join(fibers[i], NULL))
			return -5;
	return 0;
}

TEST(growth_is_counted_and_timed)
{
	ASSERT_EQ(0, run(1, or_exit, rates));
}

/* --- of one stack --------------------------------------------------------------------- */

struct reach {
	int fd;
	int refused;
};

/* The kernel writes below what it may have: that is refused, and counted. */
static void *reach_too_far(void *arg)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	struct reach *r = arg;

	r->refused = read(r->fd, (void *)(here - 40 * KIB), 1) != 1;
	r->refused += read(r->fd, (void *)(here - 60 * KIB), 1) != 1;
	kf_park(KF_FOREVER);
	return NULL;
}

static int refusals(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .stack_limit = 32 * KIB };
	struct kf_stack_stats s = { .size = sizeof(s) };
	struct reach r = { .fd = open("/dev/zero", O_RDONLY) };
	struct kf_stats all = { .size = sizeof(all) };
	kf_fiber_t fiber;

	if (kf_spawn(&fiber, &attr, reach_too_far, &r))
		return -1;
	wait_until_parked(fiber);
	if (r.refused != 2 || kf_stack_stats(fiber, &s) || s.refused != 2)
		return -2;
	if (s.limit != 32 * KIB || s.committed > 32 * KIB || s.high_water != s.committed)
		return -3;
	kf_stats(&all);
	close(r.fd);
	kf_unpark(fiber);
	return all.stack_refused != 2 || kf_join(fiber, NULL) ? -4 : 0;
}

TEST(refused_growth_is_counted)
{
	ASSERT_EQ(0, run(1, or_exit, refusals));
}

/* --- of a spawn site -------------------------------------------------------------------- */

/* Always the same place in the program: no copies for different arguments. */
static __attribute__((noipa)) int spawn_here(kf_fiber_t *fiber, size_t bytes)
{
	int err = kf_spawn(fiber, NULL, deep_then_park, (void *)bytes);

	__asm__ volatile("");				/* no tail call */
	return err;
}

static __attribute__((noipa)) int spawn_there(kf_fiber_t *fiber, size_t bytes)
{
	int err = kf_spawn(fiber, NULL, deep_then_park, (void *)bytes);

	__asm__ volatile("");
	return err;
}

static uint64_t high_water_of(uint64_t spawned)
{
	struct kf_spawn_site sites[4];
	int n = kf_spawn_sites(sites, 4);

	for (int i = 0; i < n && i < 4; i++)
		if (sites[i].spawned == spawned)
			return sites[i].high_water;
	return 0;
}

/* Two sites, told apart by how many they spawned. */
static int high_waters(void *arg)
{
	kf_fiber_t fibers[3];

	if (spawn_here(&fibers[0], 100) || spawn_here(&fibers[1], 20 * KIB) ||
	    spawn_there(&fibers[2], 100))
		return -1;
	for (int i = 0; i < 3; i++)
		wait_until_parked(fibers[i]);
	/* They live, and are counted. */
	if (!near(high_water_of(2), 20 * KIB, 32 * KIB) || high_water_of(1) != PAGE)
		return -2;
	for (int i = 0; i < 3; i++)
		if (kf_unpark(fibers[i]) || kf_join(fibers[i], NULL))
			return -3;
	if (spawn_here(&fibers[0], 100 * KIB))
		return -4;
	wait_until_parked(fibers[0]);
	if (!near(high_water_of(3), 100 * KIB, 192 * KIB) || high_water_of(1) != PAGE)
		return -5;
	/* What a stack gives back does not lower it. */
	kf_trim();
	kf_unpark(fibers[0]);
	if (kf_join(fibers[0], NULL))
		return -6;
	return near(high_water_of(3), 100 * KIB, 192 * KIB) ? 0 : -7;
}

TEST(high_water_of_a_spawn_site)
{
	ASSERT_EQ(0, run(1, or_exit, high_waters));
}

TEST_HARNESS_MAIN
