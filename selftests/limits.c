// SPDX-License-Identifier: GPL-2.0
/* Who pays for stacks: the domain, the user, the memory cgroup; and who is told. */
#include <errno.h>
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

#include "harness.h"
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

static kf_sem_t is_deep = KF_SEM_INIT(0);

/* The caller's frame is what a parked fiber needs: no trimming gives it back. */
static __attribute__((noinline)) void *park_deep(void *arg)
{
	volatile char frame[100 * KIB];

	for (size_t i = sizeof(frame); i; i -= i < 512 ? i : 512)
		frame[i - 1] = 1;
	kf_sem_post(&is_deep);
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
	/* All at a time: the stacks of those that have ended would make room. */
	for (int i = 0; i < n; i++)
		kf_sem_wait(&is_deep);
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

/* --- before anything is refused ---------------------------------------------------- */

FIXTURE(trimmed) {
	char trim_after[32];
	char user_bytes[32];
};

FIXTURE_SETUP(trimmed)
{
	if (geteuid())
		SKIP(return, "needs root");
	/* Nothing but need trims. */
	read_file(PARAMETER "trim_after_ms", self->trim_after, sizeof(self->trim_after));
	read_file(PARAMETER "unprivileged_bytes_max", self->user_bytes, sizeof(self->user_bytes));
	ASSERT_TRUE(write_file(PARAMETER "trim_after_ms", "0"));
}

FIXTURE_TEARDOWN(trimmed)
{
	ASSERT_TRUE(write_file(PARAMETER "trim_after_ms", self->trim_after));
	ASSERT_TRUE(write_file(PARAMETER "unprivileged_bytes_max", self->user_bytes));
}

/*
 * 200 that are deep one after the other touch 25 MiB; what they need is 2. The first is
 * refused growth; those that come after it begin with what it had, and it is their spawning
 * that would be refused.
 */
static int two_hundred_deep(void *arg)
{
	static kf_fiber_t fibers[200];
	struct kf_stats stats = { .size = sizeof(stats) };

	if (spawn_all(fibers, 200, deep_then_park, 100 * KIB))
		return -1;
	kf_stats(&stats);
	if (!stats.stack_trimmed || stats.stack_refused)
		return -2;
	return join_all(fibers, 200);
}

static void *go_deep_when_told(void *arg)
{
	kf_sem_wait(&may_go_deep);
	return deep_then_park(arg);
}

/* The same when all have begun before: nothing but faults asks. */
static int two_hundred_deep_later(void *arg)
{
	static kf_fiber_t fibers[200];
	struct kf_stats stats = { .size = sizeof(stats) };

	if (spawn_all(fibers, 200, go_deep_when_told, 100 * KIB))
		return -1;
	for (int i = 0; i < 200; i++) {
		kf_sem_post(&may_go_deep);
		kf_yield();
	}
	kf_stats(&stats);
	if (!stats.stack_trimmed || stats.stack_refused)
		return -2;
	return join_all(fibers, 200);
}

TEST_F(trimmed, stacks_before_a_spawn_is_refused)
{
	ASSERT_EQ(0, run_limited(4 * MIB, two_hundred_deep));
}

TEST_F(trimmed, stacks_before_growth_is_refused)
{
	ASSERT_EQ(0, run_limited(4 * MIB, two_hundred_deep_later));
}

static void *only_deep(void *bytes)
{
	go_deep((size_t)bytes);
	return NULL;
}

static int spawn_and_join_all(int n, size_t bytes)
{
	kf_fiber_t fibers[20];
	int err = spawn_all(fibers, n, deep_then_park, bytes);

	return err ? err : join_all(fibers, n);
}

/* Of 4 MiB a processor keeps 2.5; then one fiber needs 3. */
static int pool_then_deep(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .stack_size = 4 * MIB };
	kf_fiber_t deep;

	if (spawn_and_join_all(20, 100 * KIB))
		return -1;
	if (kf_spawn(&deep, &attr, only_deep, (void *)(3 * MIB)))
		return -2;
	return kf_join(deep, NULL);
}

TEST_F(trimmed, what_processors_keep_before_growth_is_refused)
{
	ASSERT_EQ(0, run_limited(4 * MIB, pool_then_deep));
}

static int checked_two_hundred_deep_later(void *arg)
{
	return or_exit(two_hundred_deep_later);
}

TEST_F(trimmed, stacks_before_the_users_limit_refuses)
{
	int status;

	ASSERT_TRUE(write_file(PARAMETER "unprivileged_bytes_max", "4194304"));
	status = as_user(NOBODY, checked_two_hundred_deep_later);
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(0, WEXITSTATUS(status));
}

/*
 * A domain by hand: @n fibers that begin with 40 pages, without a fault, and park with one in
 * use. Return: the device.
 */
static int begin_deep_and_park(unsigned int n)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .max_workers = 1, .max_fibers = 100000,
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
	stacks = mmap(NULL, (size_t)n << 18, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      (off_t)(KFIBER_MAP_STACKS | 18ull << KFIBER_MAP_STACKS_SHIFT));
	blocks = mmap(NULL, n * sizeof(*blocks), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      KFIBER_MAP_FIBERS);
	if (stacks == MAP_FAILED || blocks == MAP_FAILED)
		_exit(2);
	for (f = blocks; f < blocks + n; f++) {
		alloc.count = 1;
		start.pages = 40;
		if (ioctl(fd, KFIBER_IOC_ALLOC, &alloc) || ioctl(fd, KFIBER_IOC_START, &start))
			_exit(3);
		if (start.pages != 40)
			_exit(4);
		f->sp = (uintptr_t)stacks + ((f->slot + 1ul) << 18) - 200;
		f->word |= KFIBER_PARKED;
	}
	return fd;
}

/*
 * Stacks have 800 of the user's 1,024 pages, and need 20. 32 control blocks are three pages:
 * with what the stacks have there is room for 74 times that, and more than 300 times without.
 */
static int blocks_after_stacks(void)
{
	kf_fiber_t names[32];
	struct kfiber_fibers alloc = {
		.size = sizeof(alloc), .stack_shift = 18, .fibers = (uintptr_t)names,
	};
	int i, fd = begin_deep_and_park(20);

	for (i = 0; i < 1000; i++) {
		alloc.count = 32;
		if (ioctl(fd, KFIBER_IOC_ALLOC, &alloc))
			break;
	}
	if (errno != EAGAIN)
		return 5;
	return i > 200 && i < 1000 ? 0 : 6;
}

TEST_F(trimmed, stacks_before_control_blocks_are_refused)
{
	pid_t child;
	int status;

	ASSERT_TRUE(write_file(PARAMETER "unprivileged_bytes_max", "4194304"));
	child = fork();
	if (!child) {
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(99);
		_exit(blocks_after_stacks());
	}
	status = wait_for(child);
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(0, WEXITSTATUS(status));
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

/* The same without a fault: 94 MiB were there in the end. */
TEST_F(cgroup, stacks_that_begin_deep_are_trimmed_too)
{
	pid_t child;
	int status;

	ASSERT_TRUE(write_file(CGROUP "/memory.max", "25165824"));
	child = fork();
	if (!child) {
		if (!write_file(CGROUP "/cgroup.procs", "0"))
			_exit(99);
		begin_deep_and_park(600);
		_exit(5);
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
