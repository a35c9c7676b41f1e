// SPDX-License-Identifier: GPL-2.0
/*
 * Each call of the module, and each of its page faults, with the n-th thing in
 * it failing that can: allocations and copies to and from user space; n = 1, 2,
 * ... until nothing is left to fail. Every failure must be a plain error, and
 * the same call must work right after it.
 *
 * Needs a kernel with fault injection: tools/vm --kernel debug.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kfiber.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "file.h"

#define PAGE 4096ul
#define SHIFT 18

static int nth_fd = -1;

/* From here on the @n-th failure point of this thread fails; 0: none. */
static int fail_nth(int n)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", n);
	return pwrite(nth_fd, text, strlen(text), 0) > 0 ? 0 : -1;
}

/* Ends that. Return: did it fail? */
static bool has_failed(void)
{
	char text[16] = "";
	bool failed;

	failed = pread(nth_fd, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;
	fail_nth(0);
	return failed;
}

/* Makes everything fail that can, not just what nobody would notice. */
static int prepare_injection(void)
{
	nth_fd = open("/proc/thread-self/fail-nth", O_RDWR);
	if (nth_fd < 0)
		return -1;
	if (!write_file("/sys/kernel/debug/failslab/ignore-gfp-wait", "N") ||
	    !write_file("/sys/kernel/debug/failslab/verbose", "0") ||
	    !write_file("/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N") ||
	    !write_file("/sys/kernel/debug/fail_page_alloc/min-order", "0") ||
	    !write_file("/sys/kernel/debug/fail_page_alloc/verbose", "0") ||
	    !write_file("/sys/kernel/debug/fail_usercopy/verbose", "0"))
		return -1;
	return 0;
}

FIXTURE(domain)
{
	int fd;
	__u32 worker;
	__u64 names[4];
	unsigned char *stacks;
	struct kfiber_fiber_block *blocks;
};

static int call(int fd, unsigned long command, void *args)
{
	return ioctl(fd, command, args) ? -errno : 0;
}

static int setup_domain(int fd)
{
	struct kfiber_setup args = {
		.size = sizeof(args), .processors = 2, .max_workers = 100, .max_fibers = 10000,
	};

	return call(fd, KFIBER_IOC_SETUP, &args);
}

static int call_worker(int fd, unsigned long command, __u32 *worker)
{
	struct kfiber_simple args = { .size = sizeof(args), .worker = *worker };
	int err = call(fd, command, &args);

	*worker = args.worker;
	return err;
}

static int call_fibers(int fd, unsigned long command, __u64 *names, __u32 count)
{
	struct kfiber_fibers args = {
		.size = sizeof(args), .count = count, .fibers = (unsigned long)names,
		.stack_shift = command == KFIBER_IOC_ALLOC ? SHIFT : 0,
	};
	int err = call(fd, command, &args);

	return err ? err : args.count == count ? 0 : -EAGAIN;
}

FIXTURE_SETUP(domain)
{
	if (prepare_injection())
		SKIP(return, "this kernel has no fault injection");
	self->fd = open("/dev/kfiber", O_RDWR | O_CLOEXEC);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, setup_domain(self->fd));
	self->stacks = mmap(NULL, 10000ul << SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd,
			    (off_t)(KFIBER_MAP_STACKS | (__u64)SHIFT << KFIBER_MAP_STACKS_SHIFT));
	ASSERT_NE(MAP_FAILED, (void *)self->stacks);
	self->blocks = mmap(NULL, 10000 * sizeof(*self->blocks) & ~(PAGE - 1),
			    PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, KFIBER_MAP_FIBERS);
	ASSERT_NE(MAP_FAILED, (void *)self->blocks);
	ASSERT_EQ(0, call_fibers(self->fd, KFIBER_IOC_ALLOC, self->names, 4));
	ASSERT_EQ(0, call_worker(self->fd, KFIBER_IOC_ATTACH, &self->worker));
}

FIXTURE_TEARDOWN(domain)
{
	close(self->fd);
	close(nth_fd);
}

#define DOMAIN FIXTURE_DATA(domain)

static int do_open(DOMAIN *d)
{
	int fd = open("/dev/kfiber", O_RDWR);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* A SETUP that fails can be tried again: on the same descriptor. */
static int setup_fd = -1;

static int do_setup(DOMAIN *d)
{
	int err;

	if (setup_fd < 0)
		setup_fd = open("/dev/kfiber", O_RDWR);
	if (setup_fd < 0)
		return -errno;
	err = setup_domain(setup_fd);
	/* The result was lost, not the work: there is nothing to undo. */
	if (err == -EBADFD)
		err = 0;
	if (!err) {
		close(setup_fd);
		setup_fd = -1;
	}
	return err;
}

static int do_query(DOMAIN *d)
{
	struct kfiber_query args = { .size = sizeof(args) };

	return call(d->fd, KFIBER_IOC_QUERY, &args);
}

static int do_stats(DOMAIN *d)
{
	struct kfiber_stats args = { .size = sizeof(args) };

	return call(d->fd, KFIBER_IOC_STATS, &args);
}

/* An ATTACH that fails has left no worker behind: the next one works. */
static int do_attach(DOMAIN *d)
{
	__u32 worker = d->worker;
	int err = call_worker(d->fd, KFIBER_IOC_DETACH, &worker);

	/* Detached, though it could not be told; or by an earlier round. */
	if (err && err != -ENOENT && err != -EFAULT)
		return err;
	worker = 0;
	err = call_worker(d->fd, KFIBER_IOC_ATTACH, &worker);
	if (err == -EINVAL)			/* the DETACH did not get there */
		return -EFAULT;
	if (!err)
		d->worker = worker;
	return err;
}

static int do_alloc(DOMAIN *d)
{
	__u64 names[8];
	int err = call_fibers(d->fd, KFIBER_IOC_ALLOC, names, 8);

	if (!err)
		err = call_fibers(d->fd, KFIBER_IOC_FREE, names, 8);
	return err == -EAGAIN ? 0 : err;
}

/* Enough for new chunks, and new nodes in the tables. */
static int do_alloc_many(DOMAIN *d)
{
	__u64 names[KFIBER_BATCH_MAX];

	return call_fibers(d->fd, KFIBER_IOC_ALLOC, names, 40);
}

static int do_arm(DOMAIN *d)
{
	return call_fibers(d->fd, KFIBER_IOC_ARM, d->names, 4);
}

static int do_ready_and_next(DOMAIN *d)
{
	struct kfiber_next next = { .size = sizeof(next), .worker = d->worker };
	int err = call_fibers(d->fd, KFIBER_IOC_READY, d->names, 1);

	return err ? err : call(d->fd, KFIBER_IOC_NEXT, &next);
}

/* A processor for a fiber that is runnable, after others. */
static int do_only(DOMAIN *d)
{
	struct kfiber_next next = {
		.size = sizeof(next), .worker = d->worker, .fiber = d->names[0],
		.flags = KFIBER_NEXT_ONLY | KFIBER_NEXT_OFFER,
	};

	return call(d->fd, KFIBER_IOC_NEXT, &next);
}

static int do_kick(DOMAIN *d)
{
	struct kfiber_kick args = { .size = sizeof(args) };

	return call(d->fd, KFIBER_IOC_KICK, &args);
}

static int do_usage(DOMAIN *d)
{
	struct kfiber_stats args = { .size = sizeof(args), .flags = KFIBER_STATS_USED };

	return call(d->fd, KFIBER_IOC_STATS, &args);
}

static int do_trim(DOMAIN *d)
{
	struct kfiber_trim args = { .size = sizeof(args) };

	return call(d->fd, KFIBER_IOC_TRIM, &args);
}

static int do_stack(DOMAIN *d)
{
	struct kfiber_stack args = {
		.size = sizeof(args),
		.offset = KFIBER_MAP_STACKS | (__u64)SHIFT << KFIBER_MAP_STACKS_SHIFT,
	};

	return call(d->fd, KFIBER_IOC_STACK, &args);
}

static int do_processors(DOMAIN *d)
{
	struct kfiber_processors args = { .size = sizeof(args), .count = 1 };

	return call(d->fd, KFIBER_IOC_PROCESSORS, &args);
}

static int do_watch(DOMAIN *d)
{
	struct kfiber_watch args = { .size = sizeof(args), .percent = 50 };
	int err;

	args.fd = eventfd(0, EFD_CLOEXEC);
	if (args.fd < 0)
		return -errno;
	err = call(d->fd, KFIBER_IOC_WATCH, &args);
	close(args.fd);
	return err;
}

/* A worker does not look on. */
static int do_aside(DOMAIN *d)
{
	struct kfiber_aside args = { .size = sizeof(args), .until = 1 };
	__u32 worker = d->worker;
	int err = call_worker(d->fd, KFIBER_IOC_DETACH, &worker), again;

	/* By an earlier round. */
	if (err && err != -ENOENT)
		return err;
	err = call(d->fd, KFIBER_IOC_ASIDE, &args);
	worker = 0;
	again = call_worker(d->fd, KFIBER_IOC_ATTACH, &worker);
	if (!again)
		d->worker = worker;
	return err ? err : again;
}

/* A fiber's first pages, each time anew: it goes to the pool, which is trimmed. */
static int do_start(DOMAIN *d)
{
	struct kfiber_start args = { .size = sizeof(args), .pages = 20 };
	int err = call_fibers(d->fd, KFIBER_IOC_ALLOC, &args.fiber, 1), freed;

	if (err)
		return err;
	err = call(d->fd, KFIBER_IOC_START, &args);
	/* The rest is a luxury. */
	if (!err && !args.pages)
		err = -EIO;
	freed = call_fibers(d->fd, KFIBER_IOC_FREE, &args.fiber, 1);
	if (!err)
		err = freed;
	return err ? err : do_trim(d);
}

/* A fiber begins to wait, and stops; then it need not wait. */
static int wait_for_file(int fd, struct kfiber_file *file, int peer)
{
	int err = call(fd, KFIBER_IOC_FILE, file);

	if (!err && file->state != KFIBER_FILE_WAITS)
		return -EIO;
	if (!err)
		err = call_fibers(fd, KFIBER_IOC_FORGET, &file->fiber, 1);
	if (err)
		return err;
	if (write(peer, "x", 1) != 1)
		return -errno;
	err = call(fd, KFIBER_IOC_FILE, file);
	return err ? err : file->state == KFIBER_FILE_DONE ? 0 : -EIO;
}

static int do_file(DOMAIN *d)
{
	char byte;
	struct kfiber_file file = {
		.size = sizeof(file), .operation = KFIBER_FILE_READ, .deadline = KFIBER_NEVER,
		.buffer = (__u64)(unsigned long)&byte, .length = 1,
	};
	int err = call_fibers(d->fd, KFIBER_IOC_ALLOC, &file.fiber, 1), freed, ends[2];

	if (err)
		return err;
	/* Its want of memory has names of its own (ENFILE, ENOBUFS), which are not ours to test. */
	err = socketpair(AF_UNIX, SOCK_STREAM, 0, ends) ? -ENOMEM : 0;
	if (!err) {
		file.fd = ends[0];
		err = wait_for_file(d->fd, &file, ends[1]);
		if (err == -ENOBUFS)
			err = -ENOMEM;
		close(ends[0]);
		close(ends[1]);
	}
	freed = call_fibers(d->fd, KFIBER_IOC_FREE, &file.fiber, 1);
	return err ? err : freed;
}

static int do_mmap(DOMAIN *d)
{
	void *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd,
			 KFIBER_MAP_DOMAIN);
	int read;

	if (map == MAP_FAILED)
		return -errno;
	read = *(volatile int *)map;		/* a fault in a table */
	munmap(map, PAGE);
	return read == KFIBER_ABI_VERSION ? 0 : -EIO;
}

/* A stack grows although memory is short: the fault is tried again. */
static int do_grow(DOMAIN *d)
{
	volatile unsigned char *top = d->stacks + (2ul << SHIFT);
	size_t i;

	for (i = 1; i <= 20; i++)
		top[-(long)(i * PAGE)] = (unsigned char)i;
	for (i = 1; i <= 20; i++)
		if (top[-(long)(i * PAGE)] != i)
			return -EIO;
	return madvise((void *)(top - 20 * PAGE), 20 * PAGE, MADV_DONTNEED) ? -errno : 0;
}

/* The kernel writes to a stack: that may fail, with EFAULT or less than asked. */
static int do_read_into_stack(DOMAIN *d)
{
	unsigned char *top = d->stacks + (3ul << SHIFT);
	int fd = open("/dev/zero", O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	madvise(top - 16 * PAGE, 16 * PAGE, MADV_DONTNEED);
	n = read(fd, top - 16 * PAGE, 16 * PAGE);
	if (n < 0)
		n = -errno;
	close(fd);
	return n < 0 ? (int)n : 0;
}

static const struct {
	const char *name;
	int (*fn)(DOMAIN *d);
} operations[] = {
	{ "open", do_open },
	{ "setup", do_setup },
	{ "query", do_query },
	{ "stats", do_stats },
	{ "attach", do_attach },
	{ "alloc", do_alloc },
	{ "alloc_many", do_alloc_many },
	{ "arm", do_arm },
	{ "ready_and_next", do_ready_and_next },
	{ "only", do_only },
	{ "kick", do_kick },
	{ "usage", do_usage },
	{ "trim", do_trim },
	{ "stack", do_stack },
	{ "watch", do_watch },
	{ "processors", do_processors },
	{ "aside", do_aside },
	{ "start", do_start },
	{ "file", do_file },
	{ "mmap", do_mmap },
	{ "grow", do_grow },
	{ "read_into_stack", do_read_into_stack },
};

/* Return: how many failure points there were, or -1 for a wrong outcome. */
static int sweep(struct __test_metadata *_metadata, DOMAIN *d, int (*fn)(DOMAIN *))
{
	int n;

	for (n = 1; n < 1000; n++) {
		bool failed;
		int err;

		fail_nth(n);
		err = fn(d);
		failed = has_failed();
		if (err && err != -ENOMEM && err != -EFAULT && err != -EAGAIN) {
			TH_LOG("failing the %dth: error %d", n, err);
			return -1;
		}
		if (err && !failed) {
			TH_LOG("error %d although nothing failed", err);
			return -1;
		}
		err = err ? fn(d) : 0;
		if (err) {
			TH_LOG("after failing the %dth it does not work any more: %d", n, err);
			return -1;
		}
		if (!failed)
			return n - 1;
	}
	TH_LOG("it never came to an end");
	return -1;
}

TEST_F_TIMEOUT(domain, every_failure_is_a_plain_error, 240)
{
	size_t i;

	for (i = 0; i < sizeof(operations) / sizeof(*operations); i++) {
		int points = sweep(_metadata, self, operations[i].fn);

		TH_LOG("%s: %d failure points", operations[i].name, points);
		EXPECT_GE(points, 1);
	}
}

TEST_HARNESS_MAIN
