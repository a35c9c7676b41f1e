// SPDX-License-Identifier: GPL-2.0
/* One processor: how long who is ready waits for one who blocks, or who computes. */
#include <unistd.h>

#include "works.h"

static unsigned long n, done;
static uint64_t since;
static uint64_t *late;

static void *waits(void *arg)
{
	for (; done < n; done++) {
		kf_park(KF_FOREVER);
		late[done] = bench_now() - since;
	}
	return NULL;
}

static int handover_main(void *arg)
{
	unsigned long busy = bench_parameter("busy"), ms = bench_parameter("ms"), i;
	kf_fiber_t other;

	if (kf_spawn(&other, NULL, waits, NULL))
		bench_die("kf_spawn");
	kf_yield();
	for (i = 1; i <= n; i++) {
		since = bench_now();
		kf_unpark(other);
		if (busy)
			bench_spin(since + ms * BENCH_MS);
		else
			usleep((useconds_t)ms * 1000);
		while (done < i)
			kf_yield();
	}
	kf_join(other, NULL);
	return 0;
}

void bench_handover(void)
{
	n = bench_parameter("n");
	late = bench_alloc(n, sizeof(*late));
	bench_run(1, 0, handover_main);
	bench_late(late, n);
}
