// SPDX-License-Identifier: GPL-2.0
/*
 * What a parked fiber costs, page tables and the module's own memory included: at most
 * 5 KiB, of which 4 are the page of its stack.
 *
 * Counted by a memory cgroup, to which all of it is charged. With KFIBER_FIBERS there are
 * that many; a million want a machine of 8 GiB and a minute or some:
 *
 *	tools/vm --mem 8G --timeout 600 -- env KFIBER_FIBERS=1000000 build/selftests/million
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <linux/kfiber.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "file.h"
#include "run.h"
#include "slow.h"

#define CGROUP "/sys/fs/cgroup/kfiber-million"
#define PAGE 4096
#define FIBERS 20000
#define MOST_BYTES 5120

FIXTURE(cgroup) {
};

FIXTURE_SETUP(cgroup)
{
	if (mkdir(CGROUP, 0755) || access(CGROUP "/memory.stat", R_OK))
		SKIP(return, "no memory cgroup");
}

FIXTURE_TEARDOWN(cgroup)
{
	ASSERT_EQ(0, rmdir(CGROUP));
}

/* What the cgroup has of it, in bytes; @name: a line of memory.stat */
static double charged(const char *name)
{
	FILE *file = fopen(CGROUP "/memory.stat", "re");
	char line[128], found[64];
	double value, bytes = -1;

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %lf", found, &value) == 2 && !strcmp(found, name))
			bytes = value;
	if (file)
		fclose(file);
	return bytes;
}

static double charged_in_all(void)
{
	FILE *file = fopen(CGROUP "/memory.current", "re");
	double bytes = -1;

	if (!file || fscanf(file, "%lf", &bytes) != 1)
		bytes = -1;
	if (file)
		fclose(file);
	return bytes;
}

static void *parks(void *arg)
{
	kf_park(KF_FOREVER);
	return NULL;
}

static int spawn_all(kf_fiber_t *fibers, long from, long to)
{
	int err = 0;

	/* Each runs, and so touches its stack, before the next is there. */
	for (long i = from; i < to && !err; i++) {
		err = kf_spawn(&fibers[i], NULL, parks, NULL);
		kf_yield();
	}
	return err;
}

static void tell(long n, double all, double tables, double slab)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	kf_stats(&stats);
	printf("# %ld fibers: %.0f bytes each: %.0f of stack, %zu of control block, %.0f of page tables, %.0f of slab\n",
	       n, all / n, (double)stats.stack_pages * PAGE / n, sizeof(struct kfiber_fiber_block),
	       tables / n, slab / n);
	fflush(stdout);
}

static int costs_little(void *arg)
{
	long n = *(long *)arg;
	size_t bytes = (n + 1) * sizeof(kf_fiber_t);
	kf_fiber_t *fibers = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	double all, tables, slab;

	/* The first brings what there is once. */
	if (fibers == MAP_FAILED || spawn_all(fibers, 0, 1))
		return 2;
	all = charged_in_all();
	tables = charged("pagetables");
	slab = charged("slab");
	if (all < 0 || tables < 0 || slab < 0)
		return 3;
	if (spawn_all(fibers, 1, n + 1))
		return 4;
	all = charged_in_all() - all;
	tell(n, all, charged("pagetables") - tables, charged("slab") - slab);
	/* Or it is not what was counted. */
	if (all < (double)n * PAGE)
		return 5;
	if (all > (double)n * MOST_BYTES)
		return 6;
	for (long i = 0; i <= n; i++)
		if (kf_unpark(fibers[i]) || kf_join(fibers[i], NULL))
			return 7;
	return 0;
}

static void in_cgroup(long n)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 1, .max_fibers = (unsigned int)n + 64,
	};

	if (!write_file(CGROUP "/cgroup.procs", "0"))
		_exit(1);
	_exit(kf_run(&config, costs_little, &n));
}

static bool checks_each_access(void)
{
	FILE *symbols = fopen("/proc/kallsyms", "r");
	char line[512];
	bool found = false;

	while (symbols && !found && fgets(line, sizeof(line), symbols))
		found = strstr(line, " kasan_") || strstr(line, " kcsan_");
	if (symbols)
		fclose(symbols);
	return found;
}

TEST_F_TIMEOUT(cgroup, parked_fibers_cost_little, 1800)
{
	const char *asked = getenv("KFIBER_FIBERS");
	long n = asked ? strtol(asked, NULL, 10) : FIBERS;
	pid_t child;
	int status;

	if (slowly(2) < 2 || checks_each_access())
		SKIP(return, "with what this kernel adds to each object it is more");
	ASSERT_LT(0, n);
	child = fork();
	if (!child)
		in_cgroup(n);
	status = wait_for(child);
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
