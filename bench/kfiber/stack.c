// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks: their first growth, and their memory. All fibers are alive at the same
 * time, so that none begins with a stack that another has left, or with what has
 * been learnt of another.
 */
#include <linux/kfiber.h>
#include <stdlib.h>

#include "works.h"

static struct bench_growth growth;
static kf_fiber_t *fibers;
static unsigned long stacks;

static void spawn_all(void *(*fn)(void *))
{
	unsigned long i;

	fibers = bench_alloc(stacks, sizeof(*fibers));
	for (i = 0; i < stacks; i++) {
		if (kf_spawn(&fibers[i], NULL, fn, NULL))
			bench_die("kf_spawn");
		kf_yield();
	}
}

static void join_all(void)
{
	unsigned long i;

	for (i = 0; i < stacks; i++) {
		kf_unpark(fibers[i]);
		if (kf_join(fibers[i], NULL))
			bench_die("kf_join");
	}
	free(fibers);
}

static void *grow_and_park(void *arg)
{
	bench_grow(&growth);
	kf_park(KF_FOREVER);
	return NULL;
}

static int growth_main(void *arg)
{
	spawn_all(grow_and_park);
	join_all();
	return 0;
}

void bench_growth(void)
{
	growth.pages = bench_parameter("pages");
	stacks = bench_parameter("stacks");
	bench_run(1, bench_stack_size(growth.pages), growth_main);
	bench_grown(&growth, stacks);
}

static void *go_deep_and_park(void *arg)
{
	bench_go_deep(growth.pages - 1);
	kf_park(KF_FOREVER);
	return NULL;
}

static int deep_main(void *arg)
{
	bench_phase("before");
	spawn_all(go_deep_and_park);
	bench_phase("deep");
	kf_sleep(bench_parameter("idle_ms") * BENCH_MS);
	bench_phase("idle");
	bench_sample("trimmed_bytes", (double)kf_trim() / (double)stacks);
	bench_phase("trimmed");
	join_all();
	return 0;
}

void bench_deep(void)
{
	growth.pages = bench_parameter("pages");
	stacks = bench_parameter("stacks");
	bench_run(2, BENCH_STACK, deep_main);
}

static void *park(void *arg)
{
	kf_park(KF_FOREVER);
	return NULL;
}

static int parked_main(void *arg)
{
	uint64_t begin, made;
	struct kf_stats stats = { .size = sizeof(stats) };

	bench_phase("before");
	begin = bench_now();
	spawn_all(park);
	made = bench_now();
	kf_stats(&stats);
	bench_sample("stack_bytes", (double)stats.stack_pages * BENCH_PAGE / (double)stacks);
	bench_sample("block_bytes", (double)stats.fibers_allocated *
		     sizeof(struct kfiber_fiber_block) / (double)stacks);
	bench_phase("parked");
	bench_sample("spawn_and_park", (double)(made - begin) / (double)stacks);
	begin = bench_now();
	join_all();
	bench_sample("unpark_and_join", (double)(bench_now() - begin) / (double)stacks);
	return 0;
}

void bench_parked(void)
{
	stacks = bench_parameter("stacks");
	bench_run(1, 0, parked_main);
}
