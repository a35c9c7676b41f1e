// SPDX-License-Identifier: GPL-2.0
/* Stacks of ended fibers are used again, and no more of them are kept than may be. */
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "deep.h"
#include "file.h"
#include "run.h"
#include "slow.h"

#define KIB 1024ul
#define PAGE 4096ul
#define TRIM_AFTER "/sys/module/kfiber/parameters/trim_after_ms"
/* The library's and the module's own bounds. */
#define POOL_STACKS 64u
#define POOL_STACK_PAGES 16u
#define POOL_PAGES 4096u

static struct kf_stats now(void)
{
	struct kf_stats s = { .size = sizeof(s) };

	kf_stats(&s);
	return s;
}

/* Nothing of this may go with age while it is looked at. */
FIXTURE(pool) {
	char trim_after[16];
};

FIXTURE_SETUP(pool)
{
	FILE *f = fopen(TRIM_AFTER, "r");

	ASSERT_NE(NULL, f);
	ASSERT_NE(NULL, fgets(self->trim_after, sizeof(self->trim_after), f));
	fclose(f);
	ASSERT_TRUE(write_file(TRIM_AFTER, "0"));
}

FIXTURE_TEARDOWN(pool)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, self->trim_after));
}

/* --- short fibers ------------------------------------------------------------- */

static void *return_arg(void *arg)
{
	return arg;
}

static int spawn_and_join(int n)
{
	kf_fiber_t fiber;

	while (n--)
		if (kf_spawn(&fiber, NULL, return_arg, NULL) || kf_join(fiber, NULL))
			return -1;
	return 0;
}

static int many_short(void *arg)
{
	struct kf_stats before, after;
	unsigned int n = (unsigned int)slowly(100000);

	if (spawn_and_join(100))
		return -1;
	before = now();
	if (spawn_and_join(n))
		return -2;
	after = now();
	if (after.fibers_spawned != before.fibers_spawned + n ||
	    after.pool_local != before.pool_local + n)
		return -3;
	if (after.stack_faults != before.stack_faults ||
	    after.stack_grown != before.stack_grown ||
	    after.stack_starts != before.stack_starts ||
	    after.fibers_allocated != before.fibers_allocated)
		return -4;
	/* Nor a system call, unless something makes the thread itself wait, or its slice is over. */
	return after.calls - before.calls <
		       n / 100 + 2 * ((after.time - before.time) / (10 * MS)) ? 0 : -5;
}

TEST_F_TIMEOUT(pool, short_fibers_touch_no_new_page_and_call_nobody, 300)
{
	ASSERT_EQ(0, run(1, or_exit, many_short));
}

/* --- bounds --------------------------------------------------------------------- */

static int spawn_parked(kf_fiber_t *fibers, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		/* Two pages. */
		if (kf_spawn(&fibers[i], NULL, deep_then_park, (void *)(5 * KIB)))
			return -1;
		kf_yield();
	}
	return 0;
}

static int join_parked(kf_fiber_t *fibers, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		if (kf_unpark(fibers[i]) || kf_join(fibers[i], NULL))
			return -1;
	return 0;
}

/*
 * With one processor: what the module's pool has is told, what the processor's has
 * is all that is neither there nor live. Stacks that are trimmed leave the pool first, and
 * their pages are counted when they are free.
 */
static bool is_bounded(unsigned int stacks, uint64_t pages)
{
	struct kf_stats s = now();

	return s.fibers_allocated - s.fibers_live <= stacks &&
	       s.stack_pages - s.pool_pages <= (stacks + 1) * POOL_STACK_PAGES &&
	       s.pool_pages <= pages && s.stack_grown - s.stack_trimmed == s.stack_pages;
}

static int wait_until_bounded(unsigned int stacks, uint64_t pages)
{
	uint64_t end = kf_after(100000 * MS);

	while (!is_bounded(stacks, pages)) {
		if (kf_now() > end)
			return -1;
		kf_sleep(10 * MS);
	}
	return 0;
}

struct bounds {
	struct kf_config config;
	unsigned int fibers, stacks, pages;
};

static int burst(void *arg)
{
	static kf_fiber_t fibers[10000];
	const struct bounds *b = arg;
	unsigned int again = b->pages / 2 + 800;
	struct kf_stats s;
	uint64_t end;

	if (spawn_parked(fibers, b->fibers))
		return -1;
	for (end = kf_after(20000 * MS); s = now(), s.stack_pages < 2 * b->fibers && kf_now() < end;)
		kf_sleep(MS);
	if (s.stack_pages < 2 * b->fibers || s.stack_pages - 2 * b->fibers > 100)
		return -2;
	if (join_parked(fibers, b->fibers) || wait_until_bounded(b->stacks, b->pages))
		return -3;
	s = now();
	/* They are kept, though: as many as may be. */
	if (s.pool_pages < b->pages - 2 || s.fibers_allocated < b->stacks / 2)
		return -4;
	if (s.stack_dropped)
		return -5;
	/* What is warm comes first; what is not has to grow again. */
	if (spawn_parked(fibers, again) || join_parked(fibers, again))
		return -6;
	/* They are asked for by 16, which may be more than there were. */
	if (now().pool_warm - s.pool_warm < b->pages / 2 - POOL_STACKS ||
	    now().pool_made - s.pool_made > 16 || now().pool_cold == s.pool_cold)
		return -7;
	/* And with age all of it goes. */
	if (!write_file(TRIM_AFTER, "50") || spawn_parked(fibers, 200) ||
	    join_parked(fibers, 200))
		return -8;
	return wait_until_bounded(b->stacks, 0) ? -9 : 0;
}

TEST_F_TIMEOUT(pool, no_more_is_kept_than_the_bounds, 300)
{
	struct bounds b = {
		.config = { .size = sizeof(b.config), .processors = 1 },
		.fibers = 10000, .stacks = POOL_STACKS, .pages = POOL_PAGES,
	};

	if (slowly(b.fibers) < b.fibers)
		SKIP(return, "too many fibers for this kernel: the_bounds_can_be_set has fewer");
	ASSERT_EQ(0, kf_run(&b.config, burst, &b));
}

TEST_F(pool, the_bounds_can_be_set)
{
	struct bounds b = {
		.config = { .size = sizeof(b.config), .processors = 1, .pool_stacks = 10,
			    .pool_bytes = 800 * KIB },
		.fibers = 1000, .stacks = 10, .pages = 200,
	};

	ASSERT_EQ(0, kf_run(&b.config, burst, &b));
}

/* --- deep ones -------------------------------------------------------------------- */

#define DEEP 20u

static int deep_ones(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .stack_size = 2048 * KIB };
	kf_fiber_t fibers[DEEP];
	struct kf_stats s;
	unsigned int i;

	for (i = 0; i < DEEP; i++) {
		if (kf_spawn(&fibers[i], &attr, deep_then_park, (void *)(900 * KIB)))
			return -1;
		kf_yield();
	}
	if (join_parked(fibers, DEEP))
		return -2;
	s = now();
	/* 17 MiB and more: 4 of them at most with the processor. */
	return s.stack_pages - s.pool_pages <= (POOL_STACKS + 1) * POOL_STACK_PAGES ? 0 : -3;
}

TEST_F(pool, a_processor_does_not_keep_much_memory)
{
	ASSERT_EQ(0, run(1, or_exit, deep_ones));
}

/* --- a forked child ------------------------------------------------------------------ */

static int burst_with_child(void *arg)
{
	static kf_fiber_t fibers[1000];
	int gate[2];
	pid_t child;

	if (pipe(gate) || spawn_parked(fibers, 1000))
		return -1;
	child = fork();
	if (!child)
		_exit(read(gate[0], fibers, 1) == 1);
	if (join_parked(fibers, 1000))
		return -2;
	/* Nothing can be trimmed: the pools are too large, and nothing spins for it. */
	kf_sleep(300 * MS);
	if (is_bounded(POOL_STACKS, 256) || now().stack_trimmed)
		return -3;
	if (write(gate[1], fibers, 1) != 1 || wait_for(child) != 1 << 8)
		return -4;
	/* Who gives back the next one makes it tried again. */
	if (spawn_parked(fibers, 200) || join_parked(fibers, 200))
		return -5;
	return wait_until_bounded(POOL_STACKS, 256) ? -6 : 0;
}

TEST_F(pool, not_while_a_forked_child_has_a_copy)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 1, .pool_bytes = 256 * PAGE,
	};

	ASSERT_EQ(0, kf_run(&config, or_exit, burst_with_child));
}

TEST_HARNESS_MAIN
