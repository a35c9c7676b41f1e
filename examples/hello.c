// SPDX-License-Identifier: GPL-2.0
/* Ten thousand fibers sleep at the same time, on a handful of threads. */
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <stdio.h>

#define FIBERS	10000

static void *sleeper(void *slept)
{
	kf_sleep(10 * 1000 * 1000ull);
	atomic_fetch_add((atomic_int *)slept, 1);
	return NULL;
}

static int first(void *slept)
{
	kf_fiber_t fibers[FIBERS];

	for (int i = 0; i < FIBERS; i++)
		if (kf_spawn(&fibers[i], NULL, sleeper, slept))
			return 1;
	for (int i = 0; i < FIBERS; i++)
		kf_join(fibers[i], NULL);
	return 0;
}

int main(void)
{
	atomic_int slept = 0;
	int ret = kf_run(NULL, first, &slept);

	printf("%d fibers slept 10 ms\n", slept);
	return ret ? 1 : 0;
}
