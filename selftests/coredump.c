// SPDX-License-Identifier: GPL-2.0
/*
 * Core dumps hold the stacks of fibers, their control blocks, and not the rest
 * of the arena. What crashes is this program itself, called otherwise:
 *
 *   coredump crash N   crashes with N fibers parked
 *   coredump stay N    waits for its standard input to end, with N fibers parked
 *
 * gdb.sh looks at what these leave.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "parked.h"
#include "run.h"

#define PATTERN "/proc/sys/kernel/core_pattern"
#define CORE "/tmp/kfiber-core"
#define MARK 64
#define MARKED 4
/* Patience for a slow machine: the whole arena would take hours there. */
#define DUMP_MS 60000

/**
 * struct report - what the one that crashed had
 * @stack_pages: pages in all its stacks
 * @marks: MARK bytes in frames of parked fibers
 * @dont_dump: wish: the stacks are not to be dumped
 */
struct report {
	uint64_t stack_pages;
	unsigned char *marks[MARKED];
	bool dont_dump;
};

static struct report *report;

/* --- what crashes ------------------------------------------------------------------ */

/* Names that gdb.sh looks for; what they do must not be moved into their callers. */
__attribute__((noinline)) static void inner_wait(unsigned char *mark)
{
	kf_park(KF_FOREVER);
	__asm__ volatile("" : : "r" (mark) : "memory");
}

__attribute__((noinline)) static void outer_wait(long number)
{
	unsigned char mark[MARK];

	memset(mark, (int)number + 1, sizeof(mark));
	if (report && number < MARKED)
		report->marks[number] = mark;
	inner_wait(mark);
	__asm__ volatile("" : : "r" (mark), "r" (number) : "memory");
}

static void *parked(void *number)
{
	outer_wait((long)number);
	return NULL;
}

static void *sleeping(void *arg)
{
	kf_sleep(3600 * 1000 * MS);
	return NULL;
}

static void *joining(void *fiber)
{
	kf_join((kf_fiber_t)(uintptr_t)fiber, NULL);
	return NULL;
}

static void *reading(void *fd)
{
	char c;

	return (void *)read((int)(long)fd, &c, 1);
}

static void *receiving(void *fd)
{
	char c;

	return (void *)kf_read((int)(long)fd, &c, 1, KF_FOREVER);
}

static void *locking(void *mutex)
{
	kf_mutex_lock(mutex);
	return NULL;
}

static void *never_run(void *arg)
{
	return arg;
}

static int spawn(kf_fiber_t *fiber, const char *name, void *(*fn)(void *), void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .name = name };

	return kf_spawn(fiber, &attr, fn, arg);
}

/* One of each, and that many that are parked. */
static int spawn_all(long count)
{
	static kf_mutex_t held = KF_MUTEX_INIT;
	kf_fiber_t *fibers = calloc((size_t)count + 4, sizeof(*fibers)), *other = fibers + count;
	char name[32];
	int fds[2];

	for (long i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "parked-%ld", i);
		if (spawn(&fibers[i], name, parked, (void *)i))
			return -1;
	}
	if (pipe(fds) || spawn(&other[0], "joins", joining, (void *)(uintptr_t)fibers[count - 1]) ||
	    spawn(&other[1], "sleeps", sleeping, NULL) ||
	    spawn(NULL, "reads", reading, (void *)(long)fds[0]) ||
	    spawn(&other[2], "receives", receiving, (void *)(long)fds[0]) ||
	    kf_mutex_lock(&held) || spawn(&other[3], "locks", locking, &held))
		return -1;
	/* One processor: the one that reads blocked before another could go where it waits. */
	for (long i = 0; i < count + 4; i++)
		wait_until_parked(fibers[i]);
	free(fibers);
	return spawn(NULL, "never", never_run, NULL);
}

__attribute__((noinline)) static void crash_here(void)
{
	raise(SIGSEGV);
}

static void advise_arena(void)
{
	unsigned long start, end, offset;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "/dev/kfiber") &&
		    sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 && offset >> 56)
			madvise((void *)start, end - start, MADV_DONTDUMP);
}

static int crash(void *arg)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	if (spawn_all((long)arg))
		return 1;
	kf_stats(&stats);
	if (report) {
		report->stack_pages = stats.stack_pages;
		if (report->dont_dump)
			advise_arena();
	}
	crash_here();
	return 1;
}

static int stay(void *arg)
{
	char c;

	if (spawn_all((long)arg) || write(STDOUT_FILENO, "ready\n", 6) != 6)
		return 1;
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	_exit(0);
}

/*
 * With a thread for the fiber that reads and one for the rest nobody is there to run what is
 * new, should this one block on its way to the end.
 */
static int run_two(int (*fn)(void *), long count)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 1, .max_workers = 2,
		.slice_ns = KF_SLICE_NEVER,
	};

	return kf_run(&config, fn, (void *)count);
}

static int crash_with(long count)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_CORE, &all);
	signal(SIGSEGV, SIG_DFL);
	return run_two(crash, count);
}

/* --- what is left of it ------------------------------------------------------------ */

FIXTURE(core) {
	char before[256];
	int fd;
	Elf64_Ehdr header;
	Elf64_Phdr *segments;
};

FIXTURE_SETUP(core)
{
	int fd = open(PATTERN, O_RDWR);
	ssize_t length = read(fd, self->before, sizeof(self->before) - 1);

	if (length < 0)
		SKIP(return, "the kernel makes no core dumps");
	ASSERT_EQ(sizeof(CORE) - 1, pwrite(fd, CORE, sizeof(CORE) - 1, 0));
	close(fd);
	self->fd = -1;
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, report);
}

FIXTURE_TEARDOWN(core)
{
	int fd = open(PATTERN, O_WRONLY);

	ASSERT_LT(0, write(fd, self->before, strlen(self->before)));
	close(fd);
	close(self->fd);
	free(self->segments);
	unlink(CORE);
}

static void make_core(struct __test_metadata *_metadata, FIXTURE_DATA(core) *self, long count)
{
	uint64_t start = kf_now();
	pid_t child = fork();
	size_t size;
	int status;

	if (!child)
		_exit(crash_with(count));
	status = wait_for(child);
	ASSERT_TRUE(WIFSIGNALED(status));
	ASSERT_EQ(SIGSEGV, WTERMSIG(status));
	ASSERT_TRUE(WCOREDUMP(status));
	ASSERT_LT(kf_now() - start, DUMP_MS * MS);

	self->fd = open(CORE, O_RDONLY);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(sizeof(self->header), read(self->fd, &self->header, sizeof(self->header)));
	ASSERT_EQ(0, memcmp(self->header.e_ident, ELFMAG, SELFMAG));
	ASSERT_EQ(ET_CORE, self->header.e_type);
	size = self->header.e_phnum * sizeof(Elf64_Phdr);
	self->segments = malloc(size);
	ASSERT_EQ((ssize_t)size,
		  pread(self->fd, self->segments, size, (off_t)self->header.e_phoff));
}

/* Return: whether that much of the memory at @address is in the core. */
static bool read_core(FIXTURE_DATA(core) *self, const void *address, void *to, size_t size)
{
	uintptr_t a = (uintptr_t)address;

	for (int i = 0; i < self->header.e_phnum; i++) {
		const Elf64_Phdr *s = &self->segments[i];

		if (s->p_type == PT_LOAD && a >= s->p_vaddr && a + size <= s->p_vaddr + s->p_filesz)
			return pread(self->fd, to, size, (off_t)(s->p_offset + a - s->p_vaddr)) ==
			       (ssize_t)size;
	}
	return false;
}

TEST_F(core, holds_the_stacks_and_nothing_else)
{
	unsigned char mark[MARK];
	struct stat st;

	make_core(_metadata, self, 1000);
	ASSERT_EQ(0, fstat(self->fd, &st));
	for (int i = 0; i < self->header.e_phnum; i++)
		ASSERT_LE(self->segments[i].p_offset + self->segments[i].p_filesz,
			  (uint64_t)st.st_size);
	for (int i = 0; i < MARKED; i++) {
		ASSERT_TRUE(read_core(self, report->marks[i], mark, MARK));
		for (int j = 0; j < MARK; j++)
			ASSERT_EQ(i + 1, mark[j]);
	}
	ASSERT_LE(1000, report->stack_pages);
	/* The rest: blocks of fibers and processors, threads' stacks, the program. */
	ASSERT_LE(st.st_blocks * 512, report->stack_pages * 4096 + (4l << 20));
	ASSERT_GE(st.st_blocks * 512, report->stack_pages * 4096);
	TH_LOG("%ld KiB on disk for %ld KiB of stacks", (long)(st.st_blocks / 2),
	       (long)(report->stack_pages * 4));
}

TEST_F(core, leaves_out_stacks_that_are_not_to_be_dumped)
{
	unsigned char mark[MARK];

	report->dont_dump = true;
	make_core(_metadata, self, 10);
	ASSERT_FALSE(read_core(self, report->marks[0], mark, MARK));
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "crash"))
		return crash_with(atol(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "stay"))
		return run_two(stay, atol(argv[2]));
	return test_harness_run(argc, argv);
}
