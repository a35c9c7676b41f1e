// SPDX-License-Identifier: GPL-2.0
/*
 * 100,000 fibers asleep at once: each wakes once, none too early, none is lost, and
 * none has a thread. Prints how late they were. And slack: who sets it has it.
 */
#include <inttypes.h>
#include <kfiber/kfiber.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "harness.h"
#include "run.h"
#include "slow.h"

enum { PER_SECOND = 5000 };

struct sleepers {
	long n;
	kf_fiber_t *fibers;
	uint64_t begin;
	uint64_t *late;
};

static struct sleepers sleepers;

static void *sleep_once(void *arg)
{
	uint64_t *late = arg, deadline;

	/* Until all are there. */
	if (kf_park(KF_FOREVER))
		return (void *)1;
	deadline = sleepers.begin + (uint64_t)(late - sleepers.late) * (1000 * MS / PER_SECOND);
	if (kf_park(deadline) != -ETIMEDOUT || kf_now() < deadline)
		return (void *)2;
	*late = kf_now() - deadline;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void print_lateness(void)
{
	uint64_t *late = sleepers.late;
	long n = sleepers.n;

	qsort(late, (size_t)n, sizeof(*late), compare);
	printf("# %ld sleepers were late: p50 %" PRIu64 " us, p99 %" PRIu64 " us, at most %" PRIu64
	       " us\n", n, late[n / 2] / 1000, late[n - 1 - n / 100] / 1000, late[n - 1] / 1000);
}

static int sleep_together(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	uint64_t begin = kf_now();
	void *value;
	long i;

	for (i = 0; i < sleepers.n; i++)
		if (kf_spawn(&sleepers.fibers[i], NULL, sleep_once, &sleepers.late[i]))
			return -1;
	/* To wake one and have it park takes less time than to make it. */
	sleepers.begin = kf_after(kf_now() - begin + 1000 * MS);
	kf_stats(&before);
	for (i = 0; i < sleepers.n; i++)
		if (kf_unpark(sleepers.fibers[i]))
			return -2;
	for (i = 0; i < sleepers.n; i++)
		if (kf_join(sleepers.fibers[i], &value) || value)
			return -3;
	kf_stats(&after);
	/* Whose deadline is over before it parks needs no timer. */
	if (after.timers - before.timers > (uint64_t)sleepers.n ||
	    after.timers - before.timers < (uint64_t)sleepers.n / 2)
		return -4;
	/* Who sleeps holds no thread; a few had to wait for memory, or were preempted. */
	if (after.workers_peak > (uint64_t)sleepers.n / 5)
		return -5;
	print_lateness();
	return 0;
}

FIXTURE(processors)
{
};

FIXTURE_VARIANT(processors)
{
	unsigned int n;
	long sleepers;
};

FIXTURE_VARIANT_ADD(processors, one)
{
	.n = 1,
	.sleepers = 10000,
};

FIXTURE_VARIANT_ADD(processors, two)
{
	.n = 2,
	.sleepers = 100000,
};

FIXTURE_SETUP(processors)
{
}

FIXTURE_TEARDOWN(processors)
{
}

TEST_F_TIMEOUT(processors, sleepers_cost_no_thread, 200)
{
	sleepers.n = slowly(variant->sleepers);
	sleepers.fibers = calloc((size_t)sleepers.n, sizeof(*sleepers.fibers));
	sleepers.late = calloc((size_t)sleepers.n, sizeof(*sleepers.late));
	ASSERT_NE(NULL, sleepers.fibers);
	ASSERT_NE(NULL, sleepers.late);
	ASSERT_EQ(0, run(variant->n, sleep_together, NULL));
	free(sleepers.fibers);
	free(sleepers.late);
}

/* --- slack ------------------------------------------------------------------------ */

/*
 * The kernel lists each timer with the first and the last time at which it may come.
 * Return: how far these are apart, of the fiber that sleeps until then; -1 if there is
 * none.
 */
static int64_t read_slack(uint64_t deadline)
{
	FILE *list = fopen("/proc/timer_list", "re");
	uint64_t soft, hard;
	bool ours = false;
	char line[256];

	if (!list)
		return -1;
	while (fgets(line, sizeof(line), list)) {
		if (ours && sscanf(line, " # expires at %" SCNu64 "-%" SCNu64, &soft, &hard) == 2 &&
		    soft == deadline) {
			fclose(list);
			return (int64_t)(hard - soft);
		}
		ours = strstr(line, "kf_timer_fired");
	}
	fclose(list);
	return -1;
}

static void *sleep_long(void *arg)
{
	kf_park(*(uint64_t *)arg);
	return NULL;
}

static int has_slack(void *arg)
{
	uint64_t deadline = kf_after(3600000 * MS);
	kf_fiber_t sleeper;
	int64_t slack;

	if (kf_spawn(&sleeper, NULL, sleep_long, &deadline))
		return -1;
	/* With one processor it has parked when this returns, and set its timer. */
	do {
		kf_yield();
		slack = read_slack(deadline);
	} while (slack < 0);
	kf_unpark(sleeper);
	if (kf_join(sleeper, NULL))
		return -2;
	return slack == *(int64_t *)arg ? 0 : (int)slack;
}

static int run_with_slack(uint64_t slack_ns, int64_t expected)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 1, .slack_ns = slack_ns,
	};

	return kf_run(&config, has_slack, &expected);
}

TEST(slack_is_as_asked_for)
{
	ASSERT_EQ(0, prctl(PR_SET_TIMERSLACK, 70000));
	ASSERT_EQ(0, run_with_slack(0, 70000));
	ASSERT_EQ(0, run_with_slack(KF_SLACK_NONE, 0));
	ASSERT_EQ(0, run_with_slack(1, 1));
	ASSERT_EQ(0, run_with_slack(1000 * MS, 1000 * MS));
	ASSERT_EQ(-EINVAL, run_with_slack(1000 * MS + 1, 0));
}

TEST_HARNESS_MAIN
