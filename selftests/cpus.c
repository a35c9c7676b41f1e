// SPDX-License-Identifier: GPL-2.0
/*
 * How many processors a domain has for which nobody has said a number: as many as
 * there are CPUs for it, now and when that changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "harness.h"
#include "run.h"

/* --- what control groups say --------------------------------------------------------- */

static char top[64];

/* Writes @text to a file below @top, for which it makes the directories. */
static int put(const char *path, const char *text)
{
	char full[PATH_MAX];
	char *slash;
	FILE *file;

	snprintf(full, sizeof(full), "%s/%s", top, path);
	for (slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
	file = fopen(full, "we");
	if (!file)
		return -errno;
	fputs(text, file);
	return fclose(file);
}

/* A process in @group, with @root of its namespace mounted. */
static unsigned int quota_of(const char *group, const char *root)
{
	char text[PATH_MAX];

	snprintf(text, sizeof(text), "1:memory:/elsewhere\n0::%s\n", group);
	if (put("proc/cgroup", text))
		return 0;
	snprintf(text, sizeof(text),
		 "21 20 0:5 / /dev rw - tmpfs none rw\n"
		 "24 20 0:21 %s %s/groups rw,nosuid - cgroup2 cgroup2 rw\n", root, top);
	if (put("proc/mountinfo", text))
		return 0;
	snprintf(text, sizeof(text), "%s/proc", top);
	return kf_cpus_quota(text);
}

TEST(quotas)
{
	static const struct {
		const char *text;
		unsigned int cpus;
	} quotas[] = {
		{ "max 100000\n", UINT_MAX }, { "300000 100000\n", 3 }, { "300001 100000\n", 4 },
		{ "399999 100000\n", 4 }, { "50000 100000\n", 2 }, { "100000 100000\n", 2 },
		{ "1000 100000\n", 2 }, { "800000 50000\n", 16 }, { "", UINT_MAX },
		{ "18446744073709551615 1\n", UINT_MAX }, { "5 0\n", UINT_MAX },
	};
	unsigned int i;

	snprintf(top, sizeof(top), "/tmp/kfiber-quotas-%d", getpid());
	for (i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++) {
		ASSERT_EQ(0, put("groups/a/cpu.max", quotas[i].text));
		EXPECT_EQ(quotas[i].cpus, quota_of("/a", "/")) TH_LOG("%s", quotas[i].text);
	}
}

TEST(the_tightest_group_counts)
{
	snprintf(top, sizeof(top), "/tmp/kfiber-groups-%d", getpid());
	ASSERT_EQ(0, put("groups/a/cpu.max", "500000 100000\n"));
	ASSERT_EQ(0, put("groups/a/b/cpu.max", "max 100000\n"));
	ASSERT_EQ(0, put("groups/a/b/c/cpu.max", "900000 100000\n"));
	ASSERT_EQ(0, put("groups/d/cpu.max", "300000 100000\n"));
	EXPECT_EQ(5, quota_of("/a/b/c", "/"));
	EXPECT_EQ(5, quota_of("/a/b", "/"));
	EXPECT_EQ(3, quota_of("/d", "/"));
	/* The root has no cpu.max; neither has what is not there. */
	EXPECT_EQ(UINT_MAX, quota_of("/", "/"));
	EXPECT_EQ(3, quota_of("/d/e", "/"));
	/* Of the namespace's groups only a part may be mounted. */
	EXPECT_EQ(5, quota_of("/pod/a/b", "/pod"));
	EXPECT_EQ(UINT_MAX, quota_of("/other/a/b", "/pod"));
	EXPECT_EQ(UINT_MAX, quota_of("/pods/a/b", "/pod"));
	ASSERT_EQ(0, put("groups/cpu.max", "200000 100000\n"));
	EXPECT_EQ(2, quota_of("/pod/a/b", "/pod"));
	EXPECT_EQ(2, quota_of("/pod", "/pod"));
}

/* --- what the process may run on ------------------------------------------------------- */

static pid_t main_thread;

static int run_on(unsigned int cpus)
{
	cpu_set_t set;
	unsigned int i;

	CPU_ZERO(&set);
	for (i = 0; i < cpus; i++)
		CPU_SET(i, &set);
	return sched_setaffinity(main_thread, sizeof(set), &set) ? -errno : 0;
}

static void wait_until_used(unsigned int n)
{
	while (processors_used() != n)
		kf_sleep(20 * MS);
}

static int follow(void *arg)
{
	if (processors_used() != 1)
		return -1;
	if (run_on(2))
		return -2;
	wait_until_used(2);
	if (run_on(1))
		return -3;
	wait_until_used(1);
	/* What was said is kept: for longer than it takes to look. */
	if (kf_set_processors(2) != 1)
		return -4;
	kf_sleep(1500 * MS);
	return processors_used() == 2 ? 0 : -5;
}

/* Those who never sleep in the module come by as well. */
static void *yield_for_ever(void *stop)
{
	while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED))
		kf_yield();
	return NULL;
}

static int follow_while_yielding(void *arg)
{
	bool stop = false;
	kf_fiber_t fibers[4];
	int i;

	for (i = 0; i < 4; i++)
		if (kf_spawn(&fibers[i], NULL, yield_for_ever, &stop))
			return -1;
	if (run_on(2))
		return -2;
	while (processors_used() != 2)
		kf_yield();
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 4; i++)
		kf_join(fibers[i], NULL);
	return 0;
}

static int stay(void *arg)
{
	if (processors_used() != 3 || run_on(1))
		return -1;
	kf_sleep(1500 * MS);
	return processors_used() == 3 ? 0 : -2;
}

TEST(affinity)
{
	struct kf_config config = { .size = sizeof(config) };

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "needs two CPUs");
	main_thread = gettid();
	ASSERT_EQ(0, run_on(1));
	EXPECT_EQ(0, kf_run(&config, or_exit, follow));
	ASSERT_EQ(0, run_on(1));
	EXPECT_EQ(0, kf_run(NULL, or_exit, follow_while_yielding));
	/* Whoever says a number gets it. */
	config.processors = 3;
	EXPECT_EQ(0, kf_run(&config, or_exit, stay));
}

TEST_HARNESS_MAIN
