// SPDX-License-Identifier: GPL-2.0
/*
 * What is done to a process with a busy domain, and to its machine: it is ended, frozen,
 * debugged, and loses a CPU. And what it costs when nothing happens.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"
#include "slow.h"

static int pipe_fds[2];

/* Shared with the child. */
static atomic_ulong *turns;

static void *yield_for_ever(void *arg)
{
	while (atomic_fetch_add(turns, 1) < ULONG_MAX)
		kf_yield();
	return NULL;
}

static void *compute_for_ever(void *arg)
{
	while (atomic_fetch_add(turns, 1) < ULONG_MAX)
		;
	return NULL;
}

static void *sleep_for_ever(void *arg)
{
	while (!kf_sleep(MS))
		;
	return NULL;
}

static void *park_for_ever(void *arg)
{
	while (!kf_park(KF_FOREVER))
		;
	return NULL;
}

static void *park_pinned(void *arg)
{
	kf_pin();
	return park_for_ever(NULL);
}

static void *block_for_ever(void *arg)
{
	char c;

	return (void *)read(pipe_fds[0], &c, 1);
}

static void *block_now_and_then(void *arg)
{
	while (!usleep(1000))
		;
	return NULL;
}

static void *wait_for_file(void *arg)
{
	char c;

	return (void *)kf_read(pipe_fds[0], &c, 1, KF_FOREVER);
}

static void *join_for_ever(void *fiber)
{
	return (void *)(intptr_t)kf_join((kf_fiber_t)(uintptr_t)fiber, NULL);
}

static int spawn_all(long each)
{
	static void *(*const kinds[])(void *) = {
		sleep_for_ever, park_for_ever, park_pinned, block_for_ever, block_now_and_then,
		wait_for_file, yield_for_ever, compute_for_ever,
	};
	const size_t n = sizeof(kinds) / sizeof(kinds[0]);
	kf_fiber_t fiber;
	size_t i;

	/* Who computes comes last: each slice that this one loses is one for all of them. */
	for (i = 0; i < n * each; i++)
		if (kf_spawn(&fiber, NULL, kinds[i / each], NULL) ||
		    (kinds[i / each] == park_for_ever &&
		     kf_spawn(&fiber, NULL, join_for_ever, (void *)(uintptr_t)fiber)))
			return -1;
	return 0;
}

static void share_turns(struct __test_metadata *_metadata)
{
	turns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, turns);
	ASSERT_EQ(0, pipe(pipe_fds));
}

/* --- the end ------------------------------------------------------------------------- */

static int exit_among_all(void *each)
{
	if (spawn_all((long)each))
		return 1;
	kf_sleep(20 * MS);
	exit(42);
}

/* Nine kinds: a thousand, in every state there is. */
TEST(exit_among_a_thousand_fibers)
{
	pid_t child;
	int status;

	share_turns(_metadata);
	child = fork();
	if (!child)
		_exit(run(2, exit_among_all, (void *)slowly(112)));
	status = wait_for(child);
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(42, WEXITSTATUS(status));
}

/* --- the freezer --------------------------------------------------------------------- */

static int run_all(void *each)
{
	if (spawn_all((long)each))
		return 1;
	kf_park(KF_FOREVER);
	return 2;
}

static int put(const char *directory, const char *file, const char *text)
{
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -EIO;
}

static bool is_frozen(const char *group)
{
	char path[128], text[128] = "";
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.events", group);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return false;
	close(fd);
	return strstr(text, "frozen 1");
}

/* Return: whether they have come, in less time than the harness gives a test. */
static bool wait_for_turns(unsigned long from)
{
	uint64_t end = kf_after(60000 * MS);

	while (atomic_load(turns) <= from && kf_now() < end)
		usleep(1000);
	return atomic_load(turns) > from;
}

TEST(frozen_and_thawed)
{
	unsigned long before;
	char group[64], text[32];
	pid_t child;
	int i;

	snprintf(group, sizeof(group), "/sys/fs/cgroup/kfiber-%d", getpid());
	if (mkdir(group, 0755))
		SKIP(return, "no control group can be made");
	share_turns(_metadata);
	child = fork();
	if (!child)
		_exit(run(2, run_all, (void *)4));
	snprintf(text, sizeof(text), "%d", child);
	ASSERT_EQ(0, put(group, "cgroup.procs", text));
	for (i = 0; i < 5; i++) {
		ASSERT_TRUE(wait_for_turns(atomic_load(turns) + 100));
		ASSERT_EQ(0, put(group, "cgroup.freeze", "1"));
		while (!is_frozen(group))
			usleep(1000);
		before = atomic_load(turns);
		usleep(50000);
		EXPECT_EQ(before, atomic_load(turns));
		ASSERT_EQ(0, put(group, "cgroup.freeze", "0"));
	}
	EXPECT_TRUE(wait_for_turns(atomic_load(turns) + 100));
	/* Killed while it is frozen: that ends it as well. */
	ASSERT_EQ(0, put(group, "cgroup.freeze", "1"));
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_TRUE(WIFSIGNALED(wait_for(child)));
	rmdir(group);
}

/* --- debuggers ------------------------------------------------------------------------- */

/* Calls @fn for each thread of a process. Return: for how many it returned true. */
static int each_thread(pid_t process, bool (*fn)(pid_t thread))
{
	struct dirent *entry;
	char path[64];
	DIR *threads;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", process);
	threads = opendir(path);
	if (!threads)
		return 0;
	while ((entry = readdir(threads)))
		n += atoi(entry->d_name) && fn(atoi(entry->d_name));
	closedir(threads);
	return n;
}

/* Return: false for one that is traced, or gone. */
static bool stop_thread(pid_t thread)
{
	return !ptrace(PTRACE_SEIZE, thread, 0, 0) && !ptrace(PTRACE_INTERRUPT, thread, 0, 0) &&
	       waitpid(thread, NULL, __WALL) == thread;
}

static bool let_go(pid_t thread)
{
	return !ptrace(PTRACE_DETACH, thread, 0, 0);
}

static bool trace_thread(pid_t thread)
{
	return !ptrace(PTRACE_SEIZE, thread, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD) &&
	       !ptrace(PTRACE_INTERRUPT, thread, 0, 0);
}

/* As gdb does: all threads stop, somebody looks, all go on. Return: whether they did. */
static bool stop_and_look(pid_t process)
{
	unsigned long before;
	int n = 0, stopped;

	/* Those that run may make new ones until none does. */
	while ((stopped = each_thread(process, stop_thread)))
		n += stopped;
	before = atomic_load(turns);
	usleep(20000);
	return n > 1 && atomic_load(turns) == before && each_thread(process, let_go) == n;
}

/* As strace does: @stops of any thread, at calls mostly; then the tracer is gone. */
static int trace_calls(pid_t process, long stops)
{
	int status, n = 0, traced;

	/* What a traced thread makes is traced; others may make new ones until all are. */
	while ((traced = each_thread(process, trace_thread)))
		n += traced;
	if (!n)
		return 1;
	while (stops--) {
		pid_t thread = waitpid(-1, &status, __WALL);
		int sig = WIFSTOPPED(status) && !(status >> 16) ? WSTOPSIG(status) : 0;

		if (thread < 0)
			return 2;
		ptrace(PTRACE_SYSCALL, thread, 0, sig == (SIGTRAP | 0x80) ? 0 : sig);
	}
	return 0;
}

static bool trace_for_a_while(pid_t process)
{
	pid_t tracer = fork();

	if (!tracer)
		_exit(trace_calls(process, slowly(100)));
	return !wait_for(tracer);
}

TEST(debugged)
{
	pid_t child, gone;
	int i, status;

	share_turns(_metadata);
	child = fork();
	if (!child)
		_exit(run(2, run_all, (void *)1));
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(wait_for_turns(atomic_load(turns) + 100));
		EXPECT_TRUE(stop_and_look(child));
		ASSERT_TRUE(wait_for_turns(atomic_load(turns) + 100));
		EXPECT_TRUE(trace_for_a_while(child));
	}
	EXPECT_TRUE(wait_for_turns(atomic_load(turns) + 100));
	/* Killed while it is stopped: that ends it as well. Its threads are ours to wait for. */
	while (each_thread(child, stop_thread))
		;
	ASSERT_EQ(0, kill(child, SIGKILL));
	do
		gone = waitpid(-1, &status, __WALL);
	while (gone > 0 && gone != child);
	ASSERT_EQ(child, gone);
	ASSERT_TRUE(WIFSIGNALED(status));
}

/* --- a CPU goes ------------------------------------------------------------------------ */

#define CPU "/sys/devices/system/cpu/cpu1"

TEST(a_cpu_is_unplugged)
{
	pid_t child;
	int i;

	if (geteuid() || access(CPU "/online", W_OK))
		SKIP(return, "no CPU can be unplugged");
	share_turns(_metadata);
	child = fork();
	if (!child)
		_exit(run(2, run_all, (void *)4));
	for (i = 0; i < 3; i++) {
		EXPECT_TRUE(wait_for_turns(atomic_load(turns) + 100));
		EXPECT_EQ(0, put(CPU, "online", "0"));
		EXPECT_TRUE(wait_for_turns(atomic_load(turns) + 100));
		EXPECT_EQ(0, put(CPU, "online", "1"));
	}
	EXPECT_TRUE(wait_for_turns(atomic_load(turns) + 100));
	kill(child, SIGKILL);
	wait_for(child);
}

/* --- nothing -------------------------------------------------------------------------- */

#define IDLE_MS	10000

static uint64_t cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One sleeps, others wait for it; threads of a burst are there still, and leave. */
static int do_nothing(void *arg)
{
	struct rusage before, after;
	kf_fiber_t fibers[20];
	uint64_t used;
	int i;

	for (i = 0; i < 10; i++)
		if (kf_spawn(&fibers[i], NULL, wait_for_file, NULL) ||
		    kf_spawn(&fibers[10 + i], NULL, block_for_ever, NULL))
			return -1;
	kf_sleep(100 * MS);
	getrusage(RUSAGE_SELF, &before);
	used = cpu_time();
	kf_sleep(IDLE_MS * MS);
	used = cpu_time() - used;
	getrusage(RUSAGE_SELF, &after);
	printf("# %d ms idle: %lu us of CPU time, %ld times switched\n", IDLE_MS,
	       (unsigned long)(used / 1000), after.ru_nvcsw - before.ru_nvcsw);
	/* Who spins uses all of it; an emulated CPU also counts what its host does meanwhile. */
	if (used > IDLE_MS * MS / 10 || after.ru_nvcsw - before.ru_nvcsw > 100)
		return -2;
	exit(0);
}

TEST(an_idle_domain_uses_no_cpu)
{
	pid_t child;

	ASSERT_EQ(0, pipe(pipe_fds));
	fflush(NULL);
	child = fork();
	if (!child)
		_exit(run(0, or_exit, (void *)do_nothing));
	ASSERT_EQ(0, wait_for(child));
}

TEST_HARNESS_MAIN
