// SPDX-License-Identifier: GPL-2.0
/* Who pays for stacks: the domain, the user, the memory cgroup; and who is told. */
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <kfiber/sync.h>
#include <linux/kfiber.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "deep.h"
#include "file.h"
#include "run.h"

#define KIB 1024ul
#define MIB (1024 * KIB)
#define PARAMETER "/sys/module/kfiber/parameters/"
#define CGROUP "/sys/fs/cgroup/kfiber-limits"
#define NOBODY 65534

static void read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, text, size - 1) : -1;

	text[n > 0 ? n : 0] = 0;
	if (fd >= 0)
		close(fd);
}

/* The caller's frame is what a parked fiber needs: no trimming gives it back. */
static __attribute__((noinline)) void *park_deep(void *arg)
{
	volatile char frame[100 * KIB];

	for (size_t i = sizeof(frame); i; i -= i < 512 ? i : 512)
		frame[i - 1] = 1;
	kf_park(KF_FOREVER);
	return (void *)(uintptr_t)(frame[sizeof(frame) - 1] != 1);
}

static int spawn_all(kf_fiber_t *fibers, int n, void *(*fn)(void *), size_t bytes)
{
	for (int i = 0; i < n; i++) {
		int err = kf_spawn(&fibers[i], NULL, fn, (void *)bytes);

		if (err)
			return err;
		kf_yield();
	}
	return 0;
}

static int join_all(kf_fiber_t *fibers, int n)
{
	int bad = 0;
	void *value;

	for (int i = 0; i < n; i++) {
		kf_unpark(fibers[i]);
		bad += kf_join(fibers[i], &value) || value;
	}
	return bad;
}

static kf_sem_t may_go_deep = KF_SEM_INIT(0);

static void *wait_then_deep(void *arg)
{
	kf_sem_wait(&may_go_deep);
	return park_deep(arg);
}

/*
 * @n fibers that all begin, and all go deep after that. Were one deep before the last is
 * spawned, spawning it could be what is refused, and nobody would wake the others.
 */
static int begin_then_all_deep(kf_fiber_t *fibers, int n)
{
	if (spawn_all(fibers, n, wait_then_deep, 0))
		return 3;
	for (int i = 0; i < n; i++)
		kf_sem_post(&may_go_deep);
	return join_all(fibers, n) ? 4 : 5;
}

/* --- the domain's limit -------------------------------------------------------- */

static bool told(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	return poll(&p, 1, 0) == 1 && read(fd, &n, sizeof(n)) == sizeof(n);
}

static int pressure_comes_and_goes(void *arg)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	kf_fiber_t fibers[40];

	if (kf_watch_memory(fd, 50) || kf_memory_pressure() || told(fd))
		return -1;
	/* 10 x 100 KiB of 4 MiB are not half of it. */
	if (spawn_all(fibers, 10, deep_then_park, 100 * KIB) || kf_memory_pressure() || told(fd))
		return -2;
	if (spawn_all(fibers + 10, 15, deep_then_park, 100 * KIB))
		return -3;
	if (!kf_memory_pressure() || !told(fd) || told(fd))
		return -4;
	kf_sleep(20 * MS);
	if (kf_trim() <= 0 || kf_memory_pressure())
		return -5;
	/* And again: what was trimmed grows again. */
	if (join_all(fibers, 25) || spawn_all(fibers, 25, deep_then_park, 100 * KIB))
		return -6;
	if (!kf_memory_pressure() || !told(fd))
		return -7;
	/* Who begins to watch is told of what is there. */
	if (kf_watch_memory(-1, 0) || kf_memory_pressure() || told(fd))
		return -8;
	if (kf_watch_memory(fd, 95) || kf_memory_pressure() || told(fd))
		return -9;
	if (kf_watch_memory(fd, 50) || !kf_memory_pressure() || !told(fd))
		return -10;
	close(fd);
	return join_all(fibers, 25);
}

static int run_limited(size_t bytes, int (*fn)(void *))
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 1, .stack_bytes_max = bytes,
	};

	return kf_run(&config, or_exit, fn);
}

TEST(pressure_is_told_before_the_limit)
{
	ASSERT_EQ(0, run_limited(4 * MIB, pressure_comes_and_goes));
}

TEST(no_domain_no_pressure)
{
	ASSERT_EQ(0, kf_memory_pressure());
	ASSERT_EQ(-ESRCH, kf_watch_memory(-1, 50));
}

/* --- the user's limit ------------------------------------------------------------ */

FIXTURE(user) {
	char before[32];
};

FIXTURE_SETUP(user)
{
	if (geteuid())
		SKIP(return, "needs root, to become somebody else");
	read_file(PARAMETER "unprivileged_bytes_max", self->before, sizeof(self->before));
	ASSERT_NE(0, self->before[0]);
	ASSERT_TRUE(write_file(PARAMETER "unprivileged_bytes_max", "4194304"));
}

FIXTURE_TEARDOWN(user)
{
	ASSERT_TRUE(write_file(PARAMETER "unprivileged_bytes_max", self->before));
}

static int many_deep(void *arg)
{
	static kf_fiber_t fibers[60];

	return begin_then_all_deep(fibers, 60);
}

/* Runs @fn in a child that is somebody else. Return: as waitpid(). */
static int as_user(uid_t uid, int (*fn)(void *))
{
	pid_t child = fork();

	if (!child) {
		if (uid && (setgid(uid) || setuid(uid)))
			_exit(99);
		_exit(run(1, fn, NULL));
	}
	return wait_for(child);
}

TEST_F(user, an_unprivileged_user_cannot_pin_more)
{
	int status = as_user(NOBODY, many_deep);

	ASSERT_TRUE(WIFSIGNALED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(SIGBUS, WTERMSIG(status));
	/* What it held is given back with it. */
	status = as_user(NOBODY, many_deep);
	ASSERT_EQ(SIGBUS, WTERMSIG(status));
	ASSERT_TRUE(write_file(PARAMETER "unprivileged_bytes_max", "16777216"));
	status = as_user(NOBODY, many_deep);
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(5, WEXITSTATUS(status));
}

TEST_F(user, root_is_not_bound)
{
	int status = as_user(0, many_deep);

	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(5, WEXITSTATUS(status));
}

static void *parks(void *arg)
{
	kf_park(KF_FOREVER);
	return NULL;
}

/* Control blocks count too: with no stacks to speak of, spawn says it. */
static int many_shallow(void *arg)
{
	int err = 0;
	long n;

	for (n = 0; !err && n < 100000; n++)
		err = kf_spawn(NULL, &(struct kf_attr){ .size = sizeof(struct kf_attr),
							.flags = KF_DETACHED }, parks, NULL);
	_exit(err == -EAGAIN && n > 100 ? 7 : 8);
}

TEST_F(user, control_blocks_count_too)
{
	int status = as_user(NOBODY, many_shallow);

	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(7, WEXITSTATUS(status));
}

/* --- the memory cgroup ------------------------------------------------------------- */

FIXTURE(cgroup) {
	char trim_after[32];
};

FIXTURE_SETUP(cgroup)
{
	if (mkdir(CGROUP, 0755) || access(CGROUP "/memory.max", W_OK))
		SKIP(return, "no memory cgroup");
	/* Nothing but need trims. */
	read_file(PARAMETER "trim_after_ms", self->trim_after, sizeof(self->trim_after));
	ASSERT_TRUE(write_file(PARAMETER "trim_after_ms", "0"));
}

FIXTURE_TEARDOWN(cgroup)
{
	if (self->trim_after[0])
		ASSERT_TRUE(write_file(PARAMETER "trim_after_ms", self->trim_after));
	ASSERT_EQ(0, rmdir(CGROUP));
}

static int in_cgroup(int (*fn)(void *))
{
	pid_t child = fork();

	if (!child) {
		if (!write_file(CGROUP "/cgroup.procs", "0"))
			_exit(99);
		_exit(run(1, fn, NULL));
	}
	return wait_for(child);
}

static long events(const char *name)
{
	char text[512], *at;

	read_file(CGROUP "/memory.events", text, sizeof(text));
	at = strstr(text, name);
	return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

/* 60 MiB have been touched when they park; what they need is 2.4. */
static int six_hundred_deep(void *arg)
{
	static kf_fiber_t fibers[600];

	if (spawn_all(fibers, 600, deep_then_park, 100 * KIB))
		return 3;
	return join_all(fibers, 600) ? 4 : 5;
}

TEST_F(cgroup, stacks_are_trimmed_before_anybody_is_killed)
{
	int status;

	ASSERT_TRUE(write_file(CGROUP "/memory.max", "25165824"));
	status = in_cgroup(six_hundred_deep);
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(5, WEXITSTATUS(status));
	ASSERT_EQ(0, events("oom_kill "));
}

/*
 * The same without a fault: each begins with 40 pages, and parks with one in use. 94 MiB
 * were there in the end.
 */
static void six_hundred_begin_deep(void)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .max_workers = 1, .max_fibers = 600,
	};
	struct kfiber_start start = { .size = sizeof(start) };
	struct kfiber_fibers alloc = {
		.size = sizeof(alloc), .stack_shift = 18, .fibers = (uintptr_t)&start.fiber,
	};
	struct kfiber_fiber_block *blocks, *f;
	int fd = open("/dev/kfiber", O_RDWR);
	char *stacks;

	if (fd < 0 || ioctl(fd, KFIBER_IOC_SETUP, &setup))
		_exit(1);
	stacks = mmap(NULL, 600ul << 18, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      (off_t)(KFIBER_MAP_STACKS | 18ull << KFIBER_MAP_STACKS_SHIFT));
	blocks = mmap(NULL, 600 * sizeof(*blocks), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      KFIBER_MAP_FIBERS);
	if (stacks == MAP_FAILED || blocks == MAP_FAILED)
		_exit(2);
	for (f = blocks; f < blocks + 600; f++) {
		alloc.count = 1;
		start.pages = 40;
		if (ioctl(fd, KFIBER_IOC_ALLOC, &alloc) || ioctl(fd, KFIBER_IOC_START, &start))
			_exit(3);
		if (start.pages != 40)
			_exit(4);
		f->sp = (uintptr_t)stacks + ((f->slot + 1ul) << 18) - 200;
		f->word |= KFIBER_PARKED;
	}
	_exit(5);
}

TEST_F(cgroup, stacks_that_begin_deep_are_trimmed_too)
{
	pid_t child;
	int status;

	ASSERT_TRUE(write_file(CGROUP "/memory.max", "25165824"));
	child = fork();
	if (!child) {
		if (!write_file(CGROUP "/cgroup.procs", "0"))
			_exit(99);
		six_hundred_begin_deep();
	}
	status = wait_for(child);
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(5, WEXITSTATUS(status));
	ASSERT_EQ(0, events("oom_kill "));
}

static int really_deep(void *arg)
{
	static kf_fiber_t fibers[600];

	return begin_then_all_deep(fibers, 600);
}

/* What is needed does not fit: the limit holds, and nothing stays. */
TEST_F(cgroup, the_limit_holds)
{
	char current[32];
	int status, tries;

	ASSERT_TRUE(write_file(CGROUP "/memory.max", "25165824"));
	write_file(CGROUP "/memory.swap.max", "0");
	status = in_cgroup(really_deep);
	ASSERT_TRUE(WIFSIGNALED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(SIGKILL, WTERMSIG(status));
	ASSERT_LE(1, events("oom_kill "));
	/* The domain is freed by a work item, memory is uncharged in batches. */
	for (tries = 0; tries < 100; tries++) {
		read_file(CGROUP "/memory.current", current, sizeof(current));
		if (strtoul(current, NULL, 10) < 2 * MIB)
			break;
		usleep(100000);
	}
	EXPECT_GT(2 * MIB, strtoul(current, NULL, 10));
}

static int told_of_the_cgroup(void *arg)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	kf_fiber_t fibers[250];

	if (kf_watch_memory(fd, KF_WATCH_DEFAULT) || kf_memory_pressure())
		return 3;
	for (int i = 0; i < 250; i++) {
		if (spawn_all(fibers + i, 1, park_deep, 0))
			return 4;
		if (kf_memory_pressure())
			return told(fd) && join_all(fibers, i + 1) == 0 ? 5 : 6;
	}
	return 7;
}

TEST_F(cgroup, pressure_is_told_before_the_limit)
{
	int status;

	ASSERT_TRUE(write_file(CGROUP "/memory.max", "25165824"));
	status = in_cgroup(told_of_the_cgroup);
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(5, WEXITSTATUS(status));
	ASSERT_EQ(0, events("oom_kill "));
}

TEST_HARNESS_MAIN
