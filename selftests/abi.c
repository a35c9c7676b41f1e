// SPDX-License-Identifier: GPL-2.0
/*
 * The interface as the kernel sees it: ioctls and mappings without the library.
 * Malformed input first, then each call's own errors, then what they do.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kfiber.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

#define DEVICE "/dev/kfiber"
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define MS 1000000ull

/* What a program was compiled with must stay what it is. */
_Static_assert(sizeof(struct kfiber_domain_block) == 960, "domain block");
_Static_assert(sizeof(struct kfiber_processor_block) == 4096, "processor block");
_Static_assert(sizeof(struct kfiber_worker_block) == 64, "worker block");
_Static_assert(sizeof(struct kfiber_fiber_block) == 128, "fiber block");
_Static_assert(sizeof(struct kfiber_query) == 24, "query");
_Static_assert(sizeof(struct kfiber_setup) == 72, "setup");
_Static_assert(sizeof(struct kfiber_simple) == 16, "simple");
_Static_assert(sizeof(struct kfiber_next) == 32, "next");
_Static_assert(sizeof(struct kfiber_kick) == 8, "kick");
_Static_assert(sizeof(struct kfiber_fibers) == 24, "fibers");
_Static_assert(sizeof(struct kfiber_stats) == 272, "stats");
_Static_assert(sizeof(struct kfiber_trim) == 16, "trim");
_Static_assert(sizeof(struct kfiber_stack) == 64, "stack");
_Static_assert(sizeof(struct kfiber_watch) == 16, "watch");
_Static_assert(sizeof(struct kfiber_processors) == 16, "processors");
_Static_assert(sizeof(struct kfiber_file) == 80, "file");
_Static_assert(sizeof(struct kfiber_aside) == 16, "aside");
_Static_assert(offsetof(struct kfiber_domain_block, idle) == 64, "idle");
_Static_assert(offsetof(struct kfiber_domain_block, live) == 128, "live");
_Static_assert(offsetof(struct kfiber_processor_block, local_head) == 64, "local_head");
_Static_assert(offsetof(struct kfiber_processor_block, local_tail) == 128, "local_tail");
_Static_assert(offsetof(struct kfiber_processor_block, inbox_head) == 192, "inbox_head");
_Static_assert(offsetof(struct kfiber_processor_block, inbox_tail) == 256, "inbox_tail");
_Static_assert(offsetof(struct kfiber_processor_block, local) == 320, "local");
_Static_assert(offsetof(struct kfiber_processor_block, inbox) == 2368, "inbox");
_Static_assert(offsetof(struct kfiber_fiber_block, processor) == 96, "processor");
_Static_assert(offsetof(struct kfiber_fiber_block, slot) == 104, "slot");
_Static_assert(offsetof(struct kfiber_stats, deaths) == 112, "deaths");

union args {
	__u32 words[2];				/* size and flags, in all of them */
	struct kfiber_query query;
	struct kfiber_setup setup;
	struct kfiber_simple simple;
	struct kfiber_next next;
	struct kfiber_kick kick;
	struct kfiber_fibers fibers;
	struct kfiber_stats stats;
	struct kfiber_trim trim;
	struct kfiber_stack stack;
	struct kfiber_watch watch;
	struct kfiber_processors processors;
	struct kfiber_start start;
	struct kfiber_file file;
	struct kfiber_aside aside;
};

/* Names of a generation that is never given out. */
static __u64 nobody[KFIBER_BATCH_MAX];

#define FIBERS(shift) \
	.fibers = { .size = sizeof(struct kfiber_fibers), .count = 1, .stack_shift = (shift), \
		    .fibers = (uintptr_t)nobody }

/* The begin of an arena. */
#define STACKS(shift) (KFIBER_MAP_STACKS | (__u64)(shift) << KFIBER_MAP_STACKS_SHIFT)

/*
 * struct command - one ioctl
 * @size: of its struct; @min_size: up to the last field that must be there
 * @any_time: also before SETUP and for anybody
 * @flags: that it knows
 * @good: a well-formed argument
 * @result: of that, in a new domain without workers and fibers
 */
struct command {
	const char *name;
	unsigned int number;
	size_t size;
	size_t min_size;
	bool any_time;
	__u32 flags;
	union args good;
	int result;
};

#define COMMAND_MIN(NAME, type, min) \
	.name = #NAME, .number = KFIBER_IOC_##NAME, .size = sizeof(struct type), .min_size = (min)
#define COMMAND(NAME, type) COMMAND_MIN(NAME, type, sizeof(struct type))
#define SIMPLE .simple = { .size = sizeof(struct kfiber_simple) }

static const struct command commands[] = {
	{ COMMAND(QUERY, kfiber_query), .any_time = true,
	  .good = { .query = { .size = sizeof(struct kfiber_query) } } },
	{ COMMAND_MIN(SETUP, kfiber_setup, offsetof(struct kfiber_setup, guard_bytes)),
	  .flags = KFIBER_SETUP_NO_HOLD | KFIBER_SETUP_QUIET,
	  .good = { .setup = { .size = sizeof(struct kfiber_setup), .processors = 2,
			       .max_workers = 4, .max_fibers = 64 } } },
	{ COMMAND(SHUTDOWN, kfiber_simple), .good = { SIMPLE } },
	{ COMMAND_MIN(STATS, kfiber_stats, 8), .flags = KFIBER_STATS_USED,
	  .good = { .stats = { .size = sizeof(struct kfiber_stats) } } },
	{ COMMAND(ATTACH, kfiber_simple), .good = { SIMPLE } },
	{ COMMAND(DETACH, kfiber_simple), .good = { SIMPLE }, .result = -ENOENT },
	{ COMMAND(NEXT, kfiber_next), .flags = KFIBER_NEXT_OFFER | KFIBER_NEXT_ONLY | KFIBER_NEXT_DEADLOCK |
				       KFIBER_NEXT_SURPLUS,
	  .good = { .next = { .size = sizeof(struct kfiber_next) } }, .result = -ENOENT },
	{ COMMAND(ACQUIRE, kfiber_simple), .good = { SIMPLE }, .result = -ENOENT },
	{ COMMAND(KICK, kfiber_kick), .flags = KFIBER_KICK_NO_SPARE,
	  .good = { .kick = { .size = sizeof(struct kfiber_kick) } } },
	{ COMMAND(READY, kfiber_fibers), .good = { FIBERS(0) }, .result = -ENOENT },
	{ COMMAND(ARM, kfiber_fibers), .good = { FIBERS(0) }, .result = -ENOENT },
	{ COMMAND(ALLOC, kfiber_fibers), .good = { FIBERS(16) } },
	{ COMMAND(FREE, kfiber_fibers), .good = { FIBERS(0) }, .result = -ENOENT },
	{ COMMAND_MIN(TRIM, kfiber_trim, 8),
	  .good = { .trim = { .size = sizeof(struct kfiber_trim) } } },
	{ COMMAND_MIN(STACK, kfiber_stack, offsetof(struct kfiber_stack, stack_shift)),
	  .good = { .stack = { .size = sizeof(struct kfiber_stack), .offset = STACKS(16) } },
	  .result = -ENOENT },
	{ COMMAND(WATCH, kfiber_watch),
	  .good = { .watch = { .size = sizeof(struct kfiber_watch), .fd = -1, .percent = 85 } } },
	{ COMMAND(START, kfiber_start),
	  .good = { .start = { .size = sizeof(struct kfiber_start), .pages = 1 } },
	  .result = -ENOENT },
	{ COMMAND(FILE, kfiber_file),
	  .good = { .file = { .size = sizeof(struct kfiber_file), .fd = -1 } },
	  .result = -EBADF },
	{ COMMAND(FORGET, kfiber_fibers), .good = { FIBERS(0) }, .result = -ENOENT },
	{ COMMAND(PROCESSORS, kfiber_processors),
	  .good = { .processors = { .size = sizeof(struct kfiber_processors), .count = 1 } } },
	{ COMMAND(ASIDE, kfiber_aside),
	  .good = { .aside = { .size = sizeof(struct kfiber_aside) } } },
	{ COMMAND(INTERRUPT, kfiber_fibers), .good = { FIBERS(0) }, .result = -ENOENT },
};

#define for_each_command(c) \
	for (c = commands; c < commands + ARRAY_LENGTH(commands); c++)

/* Return: NULL for a number that is no command's. */
static const struct command *command_of(unsigned int number)
{
	const struct command *c;

	for_each_command(c)
		if (c->number == number)
			return c;
	return NULL;
}

static int call(int fd, unsigned int command, const void *args)
{
	return ioctl(fd, command, args) ? -errno : 0;
}

static __u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void sleep_ms(unsigned int ms)
{
	usleep(ms * 1000);
}

static int setup(int fd, __u32 processors, __u32 workers, __u32 fibers)
{
	struct kfiber_setup args = {
		.size = sizeof(args), .processors = processors, .max_workers = workers,
		.max_fibers = fibers,
	};

	return call(fd, KFIBER_IOC_SETUP, &args);
}

/* A new domain in the state in which @c can be called. */
static int open_for(struct __test_metadata *_metadata, const struct command *c)
{
	int fd = open(DEVICE, O_RDWR);

	ASSERT_GE(fd, 0);
	if (!c->any_time && c->number != KFIBER_IOC_SETUP)
		ASSERT_EQ(0, setup(fd, 2, 4, 64));
	return fd;
}

/* A page that ends where nothing is mapped; holds @c's good argument at its begin. */
static char *page_with(struct __test_metadata *_metadata, const struct command *c)
{
	static char *page;
	long size = sysconf(_SC_PAGESIZE);

	if (!page) {
		page = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
		ASSERT_NE(MAP_FAILED, page);
		ASSERT_EQ(0, mprotect(page + size, size, PROT_NONE));
	}
	memset(page, 0, size);
	memcpy(page, &c->good, c->size);
	return page;
}

/* @c's good argument with one word changed, in a new domain. */
static void expect_with(struct __test_metadata *_metadata, const struct command *c,
			size_t offset, __u32 value, int expected)
{
	char *page = page_with(_metadata, c);
	int fd = open_for(_metadata, c);

	memcpy(page + offset, &value, sizeof(value));
	EXPECT_EQ(expected, call(fd, c->number, page))
		TH_LOG("%s with %#x at %zu", c->name, value, offset);
	close(fd);
}

TEST(good_arguments_are_good)
{
	const struct command *c;

	for_each_command(c)
		expect_with(_metadata, c, 0, c->size, c->result);
}

/* The VFS has commands of its own, but none of these. */
TEST(unknown_commands)
{
	static const __u8 types[] = { 0xE6, 0xE8, 0x67, 0xFF };
	unsigned int set_up, i, nr;
	int fd;

	for (set_up = 0; set_up < 2; set_up++) {
		fd = open_for(_metadata, &commands[set_up ? 2 : 0]);
		for (nr = 0; nr < 256; nr++)
			if (!command_of(_IO(KFIBER_IOC_TYPE, nr)))
				EXPECT_EQ(-ENOTTY, call(fd, _IO(KFIBER_IOC_TYPE, nr), NULL));
		for (i = 0; i < ARRAY_LENGTH(types); i++)
			for (nr = 0; nr < ARRAY_LENGTH(commands); nr++)
				EXPECT_EQ(-ENOTTY, call(fd, _IO(types[i], nr), NULL));
		close(fd);
	}
}

TEST(wrong_directions)
{
	const struct command *c;
	unsigned int dir;
	int fd;

	for_each_command(c) {
		fd = open_for(_metadata, c);
		for (dir = 0; dir < 4; dir++)
			EXPECT_EQ(-ENOTTY, call(fd, _IOC(dir, KFIBER_IOC_TYPE, _IOC_NR(c->number),
							 c->size), &c->good));
		EXPECT_EQ(-ENOTTY, call(fd, c->number | _IOC_READ << _IOC_DIRSHIFT, &c->good));
		close(fd);
	}
}

TEST(sizes_that_are_too_small)
{
	const struct command *c;
	__u32 size;

	for_each_command(c)
		for (size = 0; size < c->min_size; size++)
			expect_with(_metadata, c, 0, size, -EINVAL);
}

TEST(sizes_of_tomorrow)
{
	const __u32 page = sysconf(_SC_PAGESIZE);
	const struct command *c;

	for_each_command(c) {
		expect_with(_metadata, c, 0, c->size + 1, c->result);
		expect_with(_metadata, c, 0, c->size + 8, c->result);
		expect_with(_metadata, c, 0, page, c->result);
		expect_with(_metadata, c, 0, page + 1, -E2BIG);
		expect_with(_metadata, c, 0, ~0u, -E2BIG);
	}
}

static void expect_tail(struct __test_metadata *_metadata, const struct command *c,
			size_t size, size_t offset)
{
	char *page = page_with(_metadata, c);
	int fd = open_for(_metadata, c);

	((union args *)page)->words[0] = size;
	page[offset] = 1;
	EXPECT_EQ(-E2BIG, call(fd, c->number, page)) TH_LOG("%s at %zu", c->name, offset);
	/* Nothing was done: what comes once can still be done. */
	page[offset] = 0;
	EXPECT_EQ(c->result, call(fd, c->number, page)) TH_LOG("%s afterwards", c->name);
	close(fd);
}

TEST(fields_of_tomorrow)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	const struct command *c;

	for_each_command(c) {
		expect_tail(_metadata, c, c->size + 1, c->size);
		expect_tail(_metadata, c, page, c->size);
		expect_tail(_metadata, c, page, page - 1);
	}
}

TEST(unknown_flags)
{
	const struct command *c;
	unsigned int bit;

	for_each_command(c)
		for (bit = 0; bit < 32; bit++)
			if (!(c->flags & 1u << bit))
				expect_with(_metadata, c, 4, 1u << bit, -EOPNOTSUPP);
}

TEST(known_flags)
{
	const struct command *c;

	for_each_command(c)
		if (c->flags)
			expect_with(_metadata, c, 4, c->flags, c->result);
}

TEST(what_must_be_zero)
{
	static const struct {
		unsigned int command;
		size_t offset;
	} fields[] = {
		{ KFIBER_IOC_QUERY, offsetof(struct kfiber_query, reserved) },
		{ KFIBER_IOC_SHUTDOWN, offsetof(struct kfiber_simple, reserved) },
		{ KFIBER_IOC_SHUTDOWN, offsetof(struct kfiber_simple, worker) },
		{ KFIBER_IOC_ATTACH, offsetof(struct kfiber_simple, reserved) },
		{ KFIBER_IOC_DETACH, offsetof(struct kfiber_simple, reserved) },
		{ KFIBER_IOC_ACQUIRE, offsetof(struct kfiber_simple, reserved) },
		{ KFIBER_IOC_NEXT, offsetof(struct kfiber_next, reserved) },
		{ KFIBER_IOC_READY, offsetof(struct kfiber_fibers, stack_shift) },
		{ KFIBER_IOC_ARM, offsetof(struct kfiber_fibers, stack_shift) },
		{ KFIBER_IOC_FREE, offsetof(struct kfiber_fibers, stack_shift) },
		{ KFIBER_IOC_START, offsetof(struct kfiber_start, reserved) },
		{ KFIBER_IOC_FILE, offsetof(struct kfiber_file, address) },
		{ KFIBER_IOC_FILE, offsetof(struct kfiber_file, address_length) },
		{ KFIBER_IOC_FILE, offsetof(struct kfiber_file, events) },
		{ KFIBER_IOC_FORGET, offsetof(struct kfiber_fibers, stack_shift) },
		{ KFIBER_IOC_INTERRUPT, offsetof(struct kfiber_fibers, stack_shift) },
	};
	unsigned int i, bit;

	for (i = 0; i < ARRAY_LENGTH(fields); i++)
		for (bit = 0; bit < 32; bit += 5)
			expect_with(_metadata, command_of(fields[i].command), fields[i].offset,
				    1u << bit, -EINVAL);
}

TEST(pointers_to_nowhere)
{
	static const uintptr_t nowhere[] = {
		0, 8, 1ul << 47, 1ul << 63, 0xffff888000000000ul, 0xffffffff81000000ul, -4ul, -1ul,
	};
	const struct command *c;
	unsigned int i;
	int fd;

	for_each_command(c) {
		fd = open_for(_metadata, c);
		for (i = 0; i < ARRAY_LENGTH(nowhere); i++)
			EXPECT_EQ(-EFAULT, call(fd, c->number, (void *)nowhere[i]))
				/* cppcheck-suppress arrayIndexOutOfBounds ; the macro is a loop too */
				TH_LOG("%s at %#lx", c->name, nowhere[i]);
		close(fd);
	}
}

TEST(structs_that_are_mapped_in_part)
{
	const size_t page_size = sysconf(_SC_PAGESIZE);
	const struct command *c;
	size_t part;

	for_each_command(c) {
		int fd = open_for(_metadata, c);

		for (part = 1; part < c->size; part++) {
			char *end = page_with(_metadata, c) + page_size;

			memcpy(end - part, &c->good, part);
			EXPECT_EQ(-EFAULT, call(fd, c->number, end - part))
				TH_LOG("%s, %zu bytes", c->name, part);
		}
		/* Up to the end it is good. */
		memcpy(page_with(_metadata, c) + page_size - c->size, &c->good, c->size);
		EXPECT_EQ(c->result, call(fd, c->number, page_with(_metadata, c)));
		close(fd);
	}
}

/* The thread would be a worker and not know which. */
TEST(attach_that_cannot_tell_is_undone)
{
	const struct command *c = command_of(KFIBER_IOC_ATTACH);
	const size_t size = sysconf(_SC_PAGESIZE);
	char *page = page_with(_metadata, c);
	struct kfiber_stats stats = { .size = sizeof(stats) };
	int fd = open_for(_metadata, c);

	ASSERT_EQ(0, mprotect(page, size, PROT_READ));
	ASSERT_EQ(-EFAULT, call(fd, c->number, page));
	ASSERT_EQ(0, mprotect(page, size, PROT_READ | PROT_WRITE));
	ASSERT_EQ(0, call(fd, KFIBER_IOC_STATS, &stats));
	ASSERT_EQ(0, stats.workers);
	ASSERT_EQ(1, stats.workers_peak);
	ASSERT_EQ(0, call(fd, c->number, page));
}

TEST(nothing_before_setup)
{
	const struct command *c;
	int fd = open(DEVICE, O_RDWR);

	ASSERT_GE(fd, 0);
	for_each_command(c)
		if (!c->any_time && c->number != KFIBER_IOC_SETUP)
			EXPECT_EQ(-EBADFD, call(fd, c->number, page_with(_metadata, c)))
				TH_LOG("command %u", _IOC_NR(c->number));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, KFIBER_MAP_DOMAIN));
	EXPECT_EQ(EBADFD, errno);
	EXPECT_EQ(0, setup(fd, 1, 1, 1));
}

TEST(query_tells)
{
	struct kfiber_query query = { .size = sizeof(query) };
	int fd = open(DEVICE, O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, call(fd, KFIBER_IOC_QUERY, &query));
	EXPECT_EQ(KFIBER_ABI_VERSION, query.abi);
	EXPECT_EQ(sizeof(query), query.size);
	EXPECT_EQ(KFIBER_FEATURE_HANDOVER | KFIBER_FEATURE_TIMERS | KFIBER_FEATURE_STACKS |
		  KFIBER_FEATURE_TRIM, query.features);
}

TEST(setup_values)
{
	static const struct {
		size_t offset;
		__u32 max;
	} fields[] = {
		{ offsetof(struct kfiber_setup, processors), KFIBER_PROCESSORS_MAX },
		{ offsetof(struct kfiber_setup, max_workers), KFIBER_WORKERS_MAX },
		{ offsetof(struct kfiber_setup, max_fibers), KFIBER_FIBERS_MAX },
	};
	const struct command *c = command_of(KFIBER_IOC_SETUP);
	unsigned int i;

	for (i = 0; i < ARRAY_LENGTH(fields); i++) {
		expect_with(_metadata, c, fields[i].offset, 0, -EINVAL);
		expect_with(_metadata, c, fields[i].offset, 1, 0);
		expect_with(_metadata, c, fields[i].offset, fields[i].max, 0);
		expect_with(_metadata, c, fields[i].offset, fields[i].max + 1, -EINVAL);
		expect_with(_metadata, c, fields[i].offset, ~0u, -EINVAL);
	}
	/* As many as are in use, if nothing is said. */
	expect_with(_metadata, c, offsetof(struct kfiber_setup, processors_max), 1, -EINVAL);
	expect_with(_metadata, c, offsetof(struct kfiber_setup, processors_max), 2, 0);
	expect_with(_metadata, c, offsetof(struct kfiber_setup, processors_max),
		    KFIBER_PROCESSORS_MAX, 0);
	expect_with(_metadata, c, offsetof(struct kfiber_setup, processors_max),
		    KFIBER_PROCESSORS_MAX + 1, -EINVAL);
	/* Long enough that threads do not come and go, and not so long that it wraps. */
	expect_with(_metadata, c, offsetof(struct kfiber_setup, idle_ns), 1, -EINVAL);
	expect_with(_metadata, c, offsetof(struct kfiber_setup, idle_ns), KFIBER_IDLE_MIN, 0);
	/* A limit below one page would be none or all. */
	expect_with(_metadata, c, offsetof(struct kfiber_setup, stack_bytes_max), 1, -EINVAL);
	expect_with(_metadata, c, offsetof(struct kfiber_setup, stack_bytes_max), 4096, 0);
}

TEST(setup_comes_once)
{
	int fd = open(DEVICE, O_RDWR);

	ASSERT_GE(fd, 0);
	EXPECT_EQ(-EINVAL, setup(fd, 0, 1, 1));
	EXPECT_EQ(0, setup(fd, 1, 1, 1));
	EXPECT_EQ(-EBADFD, setup(fd, 1, 1, 1));
	EXPECT_EQ(-EBADFD, setup(fd, 0, 0, 0));
}

/* A fault where it can be gone on from. */
static sigjmp_buf fault_jump;

static void on_fault(int signal)
{
	siglongjmp(fault_jump, signal);
}

/* Return: the signal that reading, or writing back, a byte ended with; 0. */
static __attribute__((noinline)) int touch(const void *address, bool write)
{
	struct sigaction action = { .sa_handler = on_fault };
	volatile char *byte = (volatile char *)address;
	int signal;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	signal = sigsetjmp(fault_jump, 1);
	if (signal)
		return signal;
	if (write)
		*byte = 1;
	else
		(void)*byte;
	return 0;
}

#define MAX_FIBERS 1000

/* A domain with what most tests look at. */
FIXTURE(domain)
{
	int fd;
	long page;
	struct kfiber_domain_block *header;
	struct kfiber_processor_block *processors;
	struct kfiber_worker_block *workers;
	struct kfiber_fiber_block *fibers;
};

static void *map(int fd, size_t size, __u64 offset)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

/* Tables longer than what exists. */
FIXTURE_SETUP(domain)
{
	self->page = sysconf(_SC_PAGESIZE);
	self->fd = open(DEVICE, O_RDWR);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, setup(self->fd, 1, 4, MAX_FIBERS));
	self->header = map(self->fd, 2 * self->page, KFIBER_MAP_DOMAIN);
	ASSERT_NE(MAP_FAILED, self->header);
	self->processors = map(self->fd, 4 * self->page, KFIBER_MAP_PROCESSORS);
	ASSERT_NE(MAP_FAILED, self->processors);
	self->workers = map(self->fd, 4 * self->page, KFIBER_MAP_WORKERS);
	ASSERT_NE(MAP_FAILED, self->workers);
	self->fibers = map(self->fd, MAX_FIBERS * 128, KFIBER_MAP_FIBERS);
	ASSERT_NE(MAP_FAILED, self->fibers);
}

FIXTURE_TEARDOWN(domain)
{
	close(self->fd);
}

static int fibers_call(int fd, unsigned int command, __u32 *count, __u32 shift, __u64 *names)
{
	struct kfiber_fibers args = {
		.size = sizeof(args), .count = *count, .stack_shift = shift,
		.fibers = (uintptr_t)names,
	};
	int err = call(fd, command, &args);

	*count = args.count;
	return err;
}

/* Return: how many, or an error. */
static int alloc_fibers(int fd, __u32 shift, __u64 *names, __u32 count)
{
	int err = fibers_call(fd, KFIBER_IOC_ALLOC, &count, shift, names);

	return err ? err : (int)count;
}

/* READY, ARM or FREE of one. */
static int one_fiber(int fd, unsigned int command, __u64 name)
{
	__u32 count = 1;

	return fibers_call(fd, command, &count, 0, &name);
}

static int simple(int fd, unsigned int command, __u32 *worker)
{
	struct kfiber_simple args = { .size = sizeof(args), .worker = *worker };
	int err = call(fd, command, &args);

	*worker = args.worker;
	return err;
}

static int attach(int fd, __u32 *worker)
{
	*worker = 0;
	return simple(fd, KFIBER_IOC_ATTACH, worker);
}

static int detach(int fd, __u32 worker)
{
	return simple(fd, KFIBER_IOC_DETACH, &worker);
}

static int acquire(int fd, __u32 worker)
{
	return simple(fd, KFIBER_IOC_ACQUIRE, &worker);
}

static int shut_down(int fd)
{
	__u32 worker = 0;

	return simple(fd, KFIBER_IOC_SHUTDOWN, &worker);
}

static int next_arm(int fd, __u32 worker, __u64 arm, __u64 *name)
{
	struct kfiber_next args = { .size = sizeof(args), .worker = worker, .arm = arm };
	int err = call(fd, KFIBER_IOC_NEXT, &args);

	*name = args.fiber;
	return err;
}

static int next(int fd, __u32 worker, __u64 *name)
{
	return next_arm(fd, worker, 0, name);
}

static struct kfiber_stats read_stats(int fd)
{
	struct kfiber_stats stats = { .size = sizeof(stats) };

	if (call(fd, KFIBER_IOC_STATS, &stats))
		memset(&stats, 0xff, sizeof(stats));
	return stats;
}

static __u32 generation_of(__u64 word)
{
	return word >> KFIBER_GENERATION_SHIFT;
}

static __u64 named(__u32 generation, __u32 index)
{
	return (__u64)generation << KFIBER_GENERATION_SHIFT | index;
}

static struct kfiber_fiber_block *block_of(struct kfiber_fiber_block *blocks, __u64 name)
{
	return &blocks[name & KFIBER_INDEX_MASK];
}

/* Moves a fiber to @state; keeps its generation. */
static void set_state(struct kfiber_fiber_block *block, __u64 state)
{
	__u64 word = __atomic_load_n(&block->word, __ATOMIC_SEQ_CST);

	__atomic_store_n(&block->word, named(generation_of(word), 0) | state, __ATOMIC_SEQ_CST);
}

static const unsigned int fibers_commands[] = {
	KFIBER_IOC_READY, KFIBER_IOC_ARM, KFIBER_IOC_ALLOC, KFIBER_IOC_FREE,
};

TEST(counts)
{
	static const __u32 counts[] = { 0, KFIBER_BATCH_MAX + 1, 1u << 16, 1u << 31, ~0u };
	const size_t offset = offsetof(struct kfiber_fibers, count);
	unsigned int i, j;

	for (i = 0; i < ARRAY_LENGTH(fibers_commands); i++) {
		const struct command *c = command_of(fibers_commands[i]);

		for (j = 0; j < ARRAY_LENGTH(counts); j++)
			expect_with(_metadata, c, offset, counts[j], -EINVAL);
	}
	expect_with(_metadata, command_of(KFIBER_IOC_ALLOC), offset, KFIBER_BATCH_MAX, 0);
	/* That wrote names into it. */
	memset(nobody, 0, sizeof(nobody));
}

TEST(stack_classes)
{
	static const __u32 bad[] = {
		0, 1, KFIBER_STACK_SHIFT_MIN - 1, KFIBER_STACK_SHIFT_MAX + 1, 32, 63, 64, 1u << 31,
		~0u,
	};
	const struct command *c = command_of(KFIBER_IOC_ALLOC);
	const size_t offset = offsetof(struct kfiber_fibers, stack_shift);
	__u32 i;

	for (i = 0; i < ARRAY_LENGTH(bad); i++)
		expect_with(_metadata, c, offset, bad[i], -EINVAL);
	for (i = KFIBER_STACK_SHIFT_MIN; i <= KFIBER_STACK_SHIFT_MAX; i++)
		expect_with(_metadata, c, offset, i, 0);
}

/* What was made but cannot be told is taken back. */
TEST_F(domain, names_in_nowhere)
{
	__u64 *nowhere[] = { NULL, (__u64 *)0xffff888000000000ul, (__u64 *)-8l };
	unsigned int i, j;

	for (i = 0; i < ARRAY_LENGTH(fibers_commands); i++)
		for (j = 0; j < ARRAY_LENGTH(nowhere); j++) {
			bool class = fibers_commands[i] == KFIBER_IOC_ALLOC;
			__u32 count = 2;

			EXPECT_EQ(-EFAULT, fibers_call(self->fd, fibers_commands[i], &count,
						       class ? 16 : 0, nowhere[j]));
		}
	EXPECT_EQ(0, read_stats(self->fd).fibers);
	EXPECT_EQ(2, read_stats(self->fd).fibers_peak);
}

TEST_F(domain, names_that_are_mapped_in_part)
{
	char *page = page_with(_metadata, &commands[0]);
	__u64 *last = (__u64 *)(page + self->page) - 1;
	__u32 count = 2;

	ASSERT_EQ(-EFAULT, fibers_call(self->fd, KFIBER_IOC_ALLOC, &count, 16, last));
	ASSERT_EQ(0, read_stats(self->fd).fibers);
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, last, 1));
	/* The first is done, and the count tells. */
	count = 2;
	ASSERT_EQ(0, fibers_call(self->fd, KFIBER_IOC_ARM, &count, 0, last));
	ASSERT_EQ(1, count);
	count = 2;
	ASSERT_EQ(0, fibers_call(self->fd, KFIBER_IOC_READY, &count, 0, last));
	ASSERT_EQ(1, count);
	count = 2;
	ASSERT_EQ(-EFAULT, fibers_call(self->fd, KFIBER_IOC_FREE, &count, 0, last));
	ASSERT_EQ(1, read_stats(self->fd).fibers);
}

/* A thread that attaches, says so, and goes when it is told. */
struct holder {
	pthread_t thread;
	int fd;
	int result;
	__u32 worker;
	bool detaches;
	pthread_barrier_t barrier;
};

static void *hold(void *arg)
{
	struct holder *h = arg;

	h->result = attach(h->fd, &h->worker);
	pthread_barrier_wait(&h->barrier);
	pthread_barrier_wait(&h->barrier);
	if (h->detaches)
		detach(h->fd, h->worker);
	return NULL;
}

static int holder_start(struct holder *h, int fd, bool detaches)
{
	h->fd = fd;
	h->detaches = detaches;
	pthread_barrier_init(&h->barrier, NULL, 2);
	if (pthread_create(&h->thread, NULL, hold, h))
		return -1;
	pthread_barrier_wait(&h->barrier);
	return h->result;
}

static void holder_end(struct holder *h)
{
	pthread_barrier_wait(&h->barrier);
	pthread_join(h->thread, NULL);
}

static void expect_no_worker(struct __test_metadata *_metadata, int fd, __u32 worker)
{
	__u64 name;

	EXPECT_EQ(-ENOENT, next(fd, worker, &name)) TH_LOG("NEXT %u", worker);
	EXPECT_EQ(-ENOENT, acquire(fd, worker)) TH_LOG("ACQUIRE %u", worker);
	EXPECT_EQ(-ENOENT, detach(fd, worker)) TH_LOG("DETACH %u", worker);
}

TEST_F(domain, workers_of_others)
{
	struct holder other;
	__u32 own;

	ASSERT_EQ(0, holder_start(&other, self->fd, true));
	expect_no_worker(_metadata, self->fd, other.worker);
	ASSERT_EQ(0, attach(self->fd, &own));
	ASSERT_NE(own, other.worker);
	expect_no_worker(_metadata, self->fd, other.worker);
	expect_no_worker(_metadata, self->fd, 3);		/* never used */
	expect_no_worker(_metadata, self->fd, 4);		/* beyond max_workers */
	expect_no_worker(_metadata, self->fd, KFIBER_WORKERS_MAX);
	expect_no_worker(_metadata, self->fd, 1u << 31);
	expect_no_worker(_metadata, self->fd, ~0u);
	ASSERT_EQ(2, read_stats(self->fd).workers);		/* nobody was detached */
	ASSERT_EQ(0, detach(self->fd, own));
	expect_no_worker(_metadata, self->fd, own);
	holder_end(&other);
	ASSERT_EQ(0, read_stats(self->fd).workers);
}

TEST_F(domain, attach_comes_once)
{
	__u32 first, again;

	ASSERT_EQ(0, attach(self->fd, &first));
	ASSERT_EQ(-EINVAL, attach(self->fd, &again));
	ASSERT_EQ(1, read_stats(self->fd).workers);
	ASSERT_EQ(0, detach(self->fd, first));
	ASSERT_EQ(0, attach(self->fd, &again));
}

/* One thread, two domains. */
TEST_F(domain, attach_to_another_too)
{
	int other = open(DEVICE, O_RDWR);
	__u32 first, second;

	ASSERT_EQ(0, setup(other, 1, 1, 1));
	ASSERT_EQ(0, attach(self->fd, &first));
	ASSERT_EQ(0, attach(other, &second));
	ASSERT_EQ(0, detach(self->fd, first));
	ASSERT_EQ(0, detach(other, second));
}

TEST_F(domain, worker_blocks_begin_without_a_processor)
{
	__u32 worker;

	ASSERT_EQ(0, attach(self->fd, &worker));
	ASSERT_EQ(KFIBER_NO_PROCESSOR, self->workers[worker].processor);
	ASSERT_EQ(0, self->workers[worker].critical);
	ASSERT_EQ(0, self->workers[worker].fiber);
	ASSERT_EQ(0, acquire(self->fd, worker));
	ASSERT_EQ(0, self->workers[worker].processor);
	ASSERT_EQ(0, self->header->idle);
	ASSERT_EQ(0, detach(self->fd, worker));
	ASSERT_EQ(1, self->header->idle);
}

/* Return: attach()'s result once it is not "no more"; waits for it a while. */
static int attach_at_last(int fd, __u32 *worker)
{
	int err, ms;

	for (ms = 0; ms < 5000; ms++) {
		err = attach(fd, worker);
		if (err != -EAGAIN)
			return err;
		sleep_ms(1);
	}
	return err;
}

TEST(max_workers)
{
	struct holder first, second;
	int fd = open(DEVICE, O_RDWR);
	__u32 worker;

	ASSERT_EQ(0, setup(fd, 1, 2, 1));
	ASSERT_EQ(0, holder_start(&first, fd, true));
	ASSERT_EQ(0, holder_start(&second, fd, false));
	ASSERT_EQ(-EAGAIN, attach(fd, &worker));
	holder_end(&first);
	ASSERT_EQ(0, attach(fd, &worker));
	ASSERT_EQ(first.worker, worker);
	ASSERT_EQ(0, detach(fd, worker));
	/* A thread that ends without a word leaves its number too. */
	ASSERT_EQ(0, holder_start(&first, fd, true));
	ASSERT_EQ(-EAGAIN, attach(fd, &worker));
	holder_end(&second);
	ASSERT_EQ(0, attach_at_last(fd, &worker));
	ASSERT_EQ(second.worker, worker);
	holder_end(&first);
}

TEST(max_fibers)
{
	int fd = open(DEVICE, O_RDWR);
	__u64 names[16];

	ASSERT_EQ(0, setup(fd, 1, 1, 10));
	ASSERT_EQ(8, alloc_fibers(fd, 16, names, 8));
	ASSERT_EQ(2, alloc_fibers(fd, 16, names + 8, 8));
	ASSERT_EQ(-EAGAIN, alloc_fibers(fd, 16, names + 10, 1));
	/* The limit is for all classes together. */
	ASSERT_EQ(-EAGAIN, alloc_fibers(fd, 18, names + 10, 1));
	ASSERT_EQ(0, one_fiber(fd, KFIBER_IOC_FREE, names[3]));
	ASSERT_EQ(1, alloc_fibers(fd, 16, names + 10, 3));
	ASSERT_EQ(names[3], names[10]);
	ASSERT_EQ(-EAGAIN, alloc_fibers(fd, 16, names + 10, 1));
	ASSERT_EQ(10, read_stats(fd).fibers_peak);
}

static bool all_different(const __u64 *names, unsigned int count)
{
	unsigned int i, j;

	for (i = 0; i < count; i++)
		for (j = 0; j < i; j++)
			if (names[i] == names[j])
				return false;
	return true;
}

TEST_F(domain, new_fibers)
{
	static __u64 names[600];
	unsigned int i;

	ASSERT_EQ(256, alloc_fibers(self->fd, 16, names, 256));
	ASSERT_EQ(256, alloc_fibers(self->fd, 18, names + 256, 256));
	ASSERT_EQ(88, alloc_fibers(self->fd, 16, names + 512, 88));
	ASSERT_TRUE(all_different(names, 600));
	for (i = 0; i < 600; i++) {
		struct kfiber_fiber_block *block = block_of(self->fibers, names[i]);
		bool large = i >= 256 && i < 512;

		ASSERT_EQ(1, generation_of(names[i]));
		ASSERT_EQ(named(1, 0) | KFIBER_FREE, block->word);
		ASSERT_EQ(KFIBER_NEVER, block->deadline);
		ASSERT_EQ(KFIBER_NEVER, block->armed);
		ASSERT_EQ(large ? 18 : 16, block->stack_shift);
		ASSERT_EQ(i < 256 ? i : i - 256, block->slot);
	}
	ASSERT_EQ(600, read_stats(self->fd).fibers);
}

TEST_F(domain, only_free_fibers_are_freed)
{
	static const __u64 states[] = {
		KFIBER_ACTIVE, KFIBER_PARKING, KFIBER_PARKED, KFIBER_DEAD, 0x77, 0xff,
	};
	struct kfiber_fiber_block *block;
	__u64 name;
	unsigned int i;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	block = block_of(self->fibers, name);
	for (i = 0; i < ARRAY_LENGTH(states); i++) {
		set_state(block, states[i]);
		EXPECT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_FREE, name));
	}
	set_state(block, KFIBER_FREE);
	ASSERT_EQ(1, read_stats(self->fd).fibers);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, name));
	ASSERT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_FREE, name));
	ASSERT_EQ(0, read_stats(self->fd).fibers);
	ASSERT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_READY, name));
	ASSERT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_ARM, name));
}

TEST_F(domain, names_of_earlier_generations)
{
	struct kfiber_fiber_block *block;
	__u64 old, renewed, again;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &old, 1));
	block = block_of(self->fibers, old);
	renewed = named(2, old & KFIBER_INDEX_MASK);
	__atomic_store_n(&block->word, named(2, 0) | KFIBER_FREE, __ATOMIC_SEQ_CST);
	ASSERT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_FREE, old));
	ASSERT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_FREE, named(3, old)));
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, renewed));
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &again, 1));
	ASSERT_EQ(renewed, again);
}

/* What user space has kept, and gave back, is nobody's to trim but as the module's. */
TEST_F(domain, a_block_that_is_given_out_is_in_no_pool)
{
	struct kfiber_fiber_block *block;
	__u64 name, again;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	block = block_of(self->fibers, name);
	__atomic_fetch_or(&block->word, KFIBER_POOLED, __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, name));
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &again, 1));
	ASSERT_EQ(name, again);
	ASSERT_EQ(named(1, 0) | KFIBER_FREE, block->word);
}

TEST_F(domain, free_stops_at_the_first_that_is_not_free)
{
	__u64 names[3];
	__u32 count = 3;

	ASSERT_EQ(3, alloc_fibers(self->fd, 16, names, 3));
	set_state(block_of(self->fibers, names[1]), KFIBER_ACTIVE);
	ASSERT_EQ(0, fibers_call(self->fd, KFIBER_IOC_FREE, &count, 0, names));
	ASSERT_EQ(1, count);
	ASSERT_EQ(2, read_stats(self->fd).fibers);
	/* The same name twice in one call. */
	names[0] = names[2];
	names[1] = names[2];
	count = 2;
	ASSERT_EQ(0, fibers_call(self->fd, KFIBER_IOC_FREE, &count, 0, names));
	ASSERT_EQ(1, count);
	ASSERT_EQ(1, read_stats(self->fd).fibers);
}

TEST_F(domain, fibers_that_never_were)
{
	static const __u32 indexes[] = { 1, 31, 32, MAX_FIBERS, KFIBER_FIBERS_MAX, 1u << 31, ~0u };
	__u64 name, found;
	__u32 worker;
	unsigned int i;

	ASSERT_EQ(0, attach(self->fd, &worker));
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	ASSERT_EQ(0, name & KFIBER_INDEX_MASK);
	for (i = 0; i < ARRAY_LENGTH(indexes); i++) {
		__u64 bad = named(1, indexes[i]);

		EXPECT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_READY, bad));
		EXPECT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_ARM, bad));
		EXPECT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_FREE, bad));
		EXPECT_EQ(-ENOENT, next_arm(self->fd, worker, bad, &found));
	}
	/* The index is there, but this name is the one that means "no fiber". */
	EXPECT_EQ(-ENOENT, one_fiber(self->fd, KFIBER_IOC_READY, named(0, 0)));
}

TEST_F(domain, ready_stops_at_the_first_that_is_not_there)
{
	__u64 names[3], found;
	__u32 worker, count = 3;

	ASSERT_EQ(2, alloc_fibers(self->fd, 16, names, 2));
	names[2] = names[1];
	names[1] = named(1, 500);
	ASSERT_EQ(0, fibers_call(self->fd, KFIBER_IOC_READY, &count, 0, names));
	ASSERT_EQ(1, count);
	ASSERT_EQ(0, attach(self->fd, &worker));
	ASSERT_EQ(0, next(self->fd, worker, &found));
	ASSERT_EQ(names[0], found);
	ASSERT_EQ(0, self->header->global);
}

TEST_F(domain, ready_then_next)
{
	__u64 name, found;
	__u32 worker;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	set_state(block_of(self->fibers, name), KFIBER_ACTIVE);
	ASSERT_EQ(0, attach(self->fd, &worker));
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_READY, name));
	ASSERT_EQ(0, next(self->fd, worker, &found));
	ASSERT_EQ(name, found);
	ASSERT_EQ(0, self->workers[worker].processor);
}

/*
 * The test holds the processor; in a critical section it keeps it also while it
 * sleeps, and others wait.
 */
static int hold_processor(int fd, struct kfiber_worker_block *workers, __u32 *worker)
{
	int err = attach(fd, worker);

	if (err)
		return err;
	__atomic_store_n(&workers[*worker].critical, 1, __ATOMIC_SEQ_CST);
	return acquire(fd, *worker);
}

/* More than the inbox holds: the rest goes through the global queue. */
TEST_F(domain, many_ready_then_next)
{
	static __u64 names[KFIBER_BATCH_MAX], found[KFIBER_BATCH_MAX];
	__u32 worker, i, count = KFIBER_BATCH_MAX;

	ASSERT_EQ(count, alloc_fibers(self->fd, 16, names, count));
	ASSERT_EQ(0, hold_processor(self->fd, self->workers, &worker));
	ASSERT_EQ(0, fibers_call(self->fd, KFIBER_IOC_READY, &count, 0, names));
	ASSERT_EQ(KFIBER_BATCH_MAX, count);
	ASSERT_EQ(KFIBER_BATCH_MAX - KFIBER_INBOX_SLOTS, self->header->global);
	for (i = 0; i < count; i++)
		ASSERT_EQ(0, next(self->fd, worker, &found[i]));
	ASSERT_TRUE(all_different(found, count));
	for (i = 0; i < count; i++)
		ASSERT_LT(found[i] & KFIBER_INDEX_MASK, count);
	ASSERT_EQ(0, self->header->global);
}

/* What user space queues itself is found as well. */
TEST_F(domain, local_queue_then_next)
{
	struct kfiber_processor_block *p = self->processors;
	__u64 found;
	__u32 worker;

	p->local[5] = named(7, 0);
	p->local_head = 5;
	p->local_tail = 6;
	p->next = named(8, 0);
	ASSERT_EQ(0, attach(self->fd, &worker));
	ASSERT_EQ(0, next(self->fd, worker, &found));
	ASSERT_EQ(named(8, 0), found);
	ASSERT_EQ(0, p->next);
	ASSERT_EQ(0, next(self->fd, worker, &found));
	ASSERT_EQ(named(7, 0), found);
	ASSERT_EQ(6, p->local_head);
}

/* A fiber parked until @deadline, as user space does it. */
static void park_until(struct kfiber_fiber_block *block, __u64 deadline)
{
	__atomic_store_n(&block->deadline, deadline, __ATOMIC_SEQ_CST);
	set_state(block, KFIBER_PARKED);
}

static void expect_timed_out(struct __test_metadata *_metadata, struct kfiber_fiber_block *block,
			     __u64 deadline)
{
	EXPECT_GE(now(), deadline);
	EXPECT_EQ(named(1, 0) | KFIBER_ACTIVE | KFIBER_TIMEDOUT, block->word);
	EXPECT_EQ(KFIBER_NEVER, block->armed);
}

TEST_F(domain, timers)
{
	struct kfiber_fiber_block *block;
	__u64 name, found, deadline;
	__u32 worker;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	ASSERT_EQ(0, attach(self->fd, &worker));
	block = block_of(self->fibers, name);
	deadline = now() + 50 * MS;
	park_until(block, deadline);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_ARM, name));
	ASSERT_EQ(deadline, block->armed);
	ASSERT_EQ(0, next(self->fd, worker, &found));
	ASSERT_EQ(name, found);
	expect_timed_out(_metadata, block, deadline);
	ASSERT_EQ(1, read_stats(self->fd).timers);
}

TEST_F(domain, next_arms_timers)
{
	struct kfiber_fiber_block *block;
	__u64 name, found, deadline;
	__u32 worker;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	ASSERT_EQ(0, attach(self->fd, &worker));
	block = block_of(self->fibers, name);
	deadline = now() + 50 * MS;
	park_until(block, deadline);
	ASSERT_EQ(0, next_arm(self->fd, worker, name, &found));
	ASSERT_EQ(name, found);
	expect_timed_out(_metadata, block, deadline);
}

/* A later deadline is found by the timer itself, an earlier one needs ARM. */
TEST_F(domain, timers_look_at_the_deadline_of_now)
{
	struct kfiber_fiber_block *block;
	__u64 name, found, deadline;
	__u32 worker;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	ASSERT_EQ(0, attach(self->fd, &worker));
	block = block_of(self->fibers, name);
	park_until(block, now() + 3600000 * MS);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_ARM, name));
	park_until(block, now() + 500 * MS);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_ARM, name));
	deadline = now() + 600 * MS;
	park_until(block, deadline);
	ASSERT_EQ(0, next(self->fd, worker, &found));
	ASSERT_EQ(name, found);
	expect_timed_out(_metadata, block, deadline);
}

/* A timer that is late finds a fiber that does not wait, and leaves it. */
TEST_F(domain, timers_leave_others_alone)
{
	static const __u64 states[] = { KFIBER_FREE, KFIBER_ACTIVE, KFIBER_DEAD, 0x55 };
	__u64 names[ARRAY_LENGTH(states)];
	__u32 count = ARRAY_LENGTH(states);
	unsigned int i;

	ASSERT_EQ(count, alloc_fibers(self->fd, 16, names, count));
	for (i = 0; i < count; i++) {
		block_of(self->fibers, names[i])->deadline = now() + 10 * MS;
		set_state(block_of(self->fibers, names[i]), states[i]);
	}
	ASSERT_EQ(0, fibers_call(self->fd, KFIBER_IOC_ARM, &count, 0, names));
	ASSERT_EQ(ARRAY_LENGTH(states), count);
	for (i = 0; i < count; i++)
		while (__atomic_load_n(&block_of(self->fibers, names[i])->armed, __ATOMIC_ACQUIRE) !=
		       KFIBER_NEVER)
			sleep_ms(1);
	sleep_ms(100);
	for (i = 0; i < count; i++) {
		ASSERT_EQ(named(1, 0) | states[i], block_of(self->fibers, names[i])->word);
		ASSERT_EQ(KFIBER_NEVER, block_of(self->fibers, names[i])->armed);
	}
	ASSERT_EQ(0, read_stats(self->fd).timers);
	ASSERT_EQ(0, self->header->global);
}

TEST_F(domain, after_shutdown)
{
	__u64 name, found;
	__u32 worker, other;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	ASSERT_EQ(0, attach(self->fd, &worker));
	ASSERT_EQ(0, self->header->shutdown);
	ASSERT_EQ(0, shut_down(self->fd));
	ASSERT_EQ(1, self->header->shutdown);
	ASSERT_EQ(-ESHUTDOWN, next(self->fd, worker, &found));
	/* Not even when there is something to run. */
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_READY, name));
	ASSERT_EQ(-ESHUTDOWN, next(self->fd, worker, &found));
	ASSERT_EQ(0, shut_down(self->fd));
	ASSERT_EQ(0, detach(self->fd, worker));
	ASSERT_EQ(-ESHUTDOWN, attach(self->fd, &other));
}

/* The tick has its last look then, and must not leave a time behind that stands still. */
TEST_F(domain, the_time_is_told_until_the_end)
{
	struct kfiber_kick kick = { .size = sizeof(kick) };
	int ms;

	ASSERT_EQ(0, self->header->now);
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_KICK, &kick));
	ASSERT_NE(0, self->header->now);
	ASSERT_EQ(0, shut_down(self->fd));
	for (ms = 0; ms < 10000 && *(volatile __u64 *)&self->header->now; ms++)
		usleep(1000);
	EXPECT_EQ(0, self->header->now);
}

/* A thread in NEXT or ACQUIRE, and what it came back with. */
struct sleeper {
	pthread_t thread;
	int fd;
	bool acquires;
	int result;
	__u64 name;
};

static void *sleep_in_call(void *arg)
{
	struct sleeper *s = arg;
	__u32 worker;

	s->result = attach(s->fd, &worker);
	if (!s->result)
		s->result = s->acquires ? acquire(s->fd, worker) : next(s->fd, worker, &s->name);
	return NULL;
}

/* Return: whether it sleeps. */
static bool sleeper_start(struct sleeper *s, const struct kfiber_domain_block *header, int fd,
			  bool acquires)
{
	const __u32 *sleeping = acquires ? &header->waiters : &header->spares;
	int ms;

	s->fd = fd;
	s->acquires = acquires;
	if (pthread_create(&s->thread, NULL, sleep_in_call, s))
		return false;
	for (ms = 0; ms < 5000; ms++) {
		if (__atomic_load_n(sleeping, __ATOMIC_SEQ_CST) == 1)
			return true;
		sleep_ms(1);
	}
	return false;
}

TEST_F(domain, shutdown_wakes)
{
	struct sleeper s;

	ASSERT_TRUE(sleeper_start(&s, self->header, self->fd, false));
	ASSERT_EQ(0, shut_down(self->fd));
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	ASSERT_EQ(-ESHUTDOWN, s.result);
}

/* The sleeper's call holds the file: it is not the last reference that counts. */
TEST_F(domain, close_wakes)
{
	struct sleeper s;

	ASSERT_TRUE(sleeper_start(&s, self->header, self->fd, false));
	ASSERT_EQ(0, close(self->fd));
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	ASSERT_EQ(-ESHUTDOWN, s.result);
	ASSERT_EQ(1, self->header->shutdown);
}

TEST_F(domain, ready_wakes)
{
	struct sleeper s;
	__u64 name;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	ASSERT_TRUE(sleeper_start(&s, self->header, self->fd, false));
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_READY, name));
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	ASSERT_EQ(0, s.result);
	ASSERT_EQ(name, s.name);
}

/* The queue is filled without the kernel; KICK tells it. */
TEST_F(domain, kick_wakes)
{
	struct kfiber_kick kick = { .size = sizeof(kick) };
	struct sleeper s;

	ASSERT_TRUE(sleeper_start(&s, self->header, self->fd, false));
	__atomic_store_n(&self->processors->next, named(9, 9), __ATOMIC_SEQ_CST);
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_KICK, &kick));
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	ASSERT_EQ(0, s.result);
	ASSERT_EQ(named(9, 9), s.name);
}

static void on_signal(int signal)
{
}

TEST_F(domain, signals_interrupt_next)
{
	struct sigaction action = { .sa_handler = on_signal };
	unsigned int restart;

	for (restart = 0; restart < 2; restart++) {
		struct sleeper s;

		action.sa_flags = restart ? SA_RESTART : 0;
		ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
		ASSERT_TRUE(sleeper_start(&s, self->header, self->fd, false));
		ASSERT_EQ(0, pthread_kill(s.thread, SIGUSR1));
		ASSERT_EQ(0, pthread_join(s.thread, NULL));
		ASSERT_EQ(-EINTR, s.result);
	}
}

TEST_F(domain, signals_interrupt_acquire)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct sleeper s;
	__u32 worker;
	int ms;

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_EQ(0, hold_processor(self->fd, self->workers, &worker));
	/* Or whenever we sleep it gets the processor that it waits for. */
	self->workers[worker].critical = 1;
	ASSERT_TRUE(sleeper_start(&s, self->header, self->fd, true));
	ASSERT_EQ(0, pthread_kill(s.thread, SIGUSR1));
	for (ms = 0; ms < 1000 && __atomic_load_n(&s.result, __ATOMIC_SEQ_CST) != -EINTR; ms++)
		sleep_ms(1);
	ASSERT_EQ(0, self->workers[worker].processor);
	/*
	 * A thread that is switched out on its way from the call is held for want of a
	 * processor, before it can say how the call ended.
	 */
	self->workers[worker].critical = 0;
	sleep_ms(1);
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	ASSERT_EQ(-EINTR, s.result);
}

TEST_F(domain, shutdown_wakes_acquire)
{
	struct sleeper s;
	__u32 worker;

	ASSERT_EQ(0, hold_processor(self->fd, self->workers, &worker));
	ASSERT_TRUE(sleeper_start(&s, self->header, self->fd, true));
	ASSERT_EQ(0, shut_down(self->fd));
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	ASSERT_EQ(-ESHUTDOWN, s.result);
}

TEST_F(domain, detach_wakes_acquire)
{
	struct sleeper s;
	__u32 worker;

	ASSERT_EQ(0, hold_processor(self->fd, self->workers, &worker));
	ASSERT_TRUE(sleeper_start(&s, self->header, self->fd, true));
	ASSERT_EQ(0, detach(self->fd, worker));
	ASSERT_EQ(0, pthread_join(s.thread, NULL));
	ASSERT_EQ(0, s.result);
}

/* In a process that did not open it. Return: how many calls went wrong. */
static int wrong_as_foreigner(int fd)
{
	static const __u64 offsets[] = {
		KFIBER_MAP_DOMAIN, KFIBER_MAP_PROCESSORS, KFIBER_MAP_WORKERS, KFIBER_MAP_FIBERS,
		KFIBER_MAP_STACKS | 16ull << KFIBER_MAP_STACKS_SHIFT,
	};
	const struct command *c;
	unsigned int i;
	int wrong = 0;

	for_each_command(c) {
		union args args = c->good;

		wrong += call(fd, c->number, &args) != (c->any_time ? c->result : -EPERM);
	}
	for (i = 0; i < ARRAY_LENGTH(offsets); i++)
		wrong += map(fd, 4096, offsets[i]) != MAP_FAILED || errno != EPERM;
	return wrong;
}

static void expect_child(struct __test_metadata *_metadata, pid_t child, int status)
{
	int seen;

	ASSERT_EQ(child, waitpid(child, &seen, 0));
	ASSERT_TRUE(WIFEXITED(seen));
	ASSERT_EQ(status, WEXITSTATUS(seen));
}

TEST_F(domain, a_forked_child_has_nothing)
{
	pid_t child = fork();
	__u32 worker;

	if (!child) {
		int wrong = wrong_as_foreigner(self->fd);

		/* Nor has it the mappings. */
		wrong += touch(self->header, false) != SIGSEGV;
		wrong += touch(self->processors, false) != SIGSEGV;
		close(self->fd);
		_exit(wrong);
	}
	expect_child(_metadata, child, 0);
	/* Its close() and its end are not the domain's. */
	ASSERT_EQ(0, self->header->shutdown);
	ASSERT_EQ(0, attach(self->fd, &worker));
}

/* SETUP by a child of the opener. */
TEST(a_forked_child_cannot_set_up)
{
	int fd = open(DEVICE, O_RDWR);
	pid_t child;

	ASSERT_GE(fd, 0);
	child = fork();
	if (!child)
		_exit(wrong_as_foreigner(fd));
	expect_child(_metadata, child, 0);
	ASSERT_EQ(0, setup(fd, 1, 1, 1));
}

/* Has a file table of its own, where the device stays open. */
static void *sets_up_elsewhere(void *arg)
{
	int *pipes = arg;
	char c;

	if (unshare(CLONE_FILES) || write(pipes[1], "x", 1) != 1 || read(pipes[2], &c, 1) != 1)
		return (void *)1;
	return (void *)(long)(setup(pipes[4], 1, 1, 1) == -ESHUTDOWN ? 0 : 2);
}

/* Who closes a domain is to end it, and this one could be ended by nobody else. */
TEST(closed_before_it_is_set_up)
{
	pthread_t thread;
	void *value;
	int fds[5];
	char c;

	fds[4] = open(DEVICE, O_RDWR);
	ASSERT_GE(fds[4], 0);
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, pipe(fds + 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, sets_up_elsewhere, (int[]){
		fds[0], fds[1], fds[2], fds[3], fds[4] }));
	ASSERT_EQ(1, read(fds[0], &c, 1));
	ASSERT_EQ(0, close(fds[4]));
	ASSERT_EQ(1, write(fds[3], "x", 1));
	ASSERT_EQ(0, pthread_join(thread, &value));
	ASSERT_EQ(NULL, value);
}

union control {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr header;
};

static int send_fd(int socket, int fd)
{
	struct iovec byte = { .iov_base = "", .iov_len = 1 };
	union control control = {
		.header = { .cmsg_len = CMSG_LEN(sizeof(fd)), .cmsg_level = SOL_SOCKET,
			    .cmsg_type = SCM_RIGHTS },
	};
	struct msghdr message = {
		.msg_iov = &byte, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

static int receive_fd(int socket)
{
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union control control;
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(socket, &message, 0) != 1 || !CMSG_FIRSTHDR(&message))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

TEST(a_descriptor_that_was_sent)
{
	struct kfiber_stats stats;
	int sockets[2], fd;
	pid_t child;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	child = fork();
	if (!child) {
		close(sockets[0]);			/* or it would wait for itself */
		fd = receive_fd(sockets[1]);
		_exit(fd < 0 ? 100 : wrong_as_foreigner(fd));
	}
	fd = open(DEVICE, O_RDWR);
	ASSERT_EQ(0, setup(fd, 1, 1, 1));
	ASSERT_EQ(0, send_fd(sockets[0], fd));
	expect_child(_metadata, child, 0);
	stats = read_stats(fd);
	ASSERT_EQ(1, stats.processors);
	ASSERT_EQ(0, stats.workers + stats.fibers);
}

#define TABLES KFIBER_MAP_PROCESSORS		/* the distance of two tables */

static const __u64 good_offsets[] = {
	KFIBER_MAP_DOMAIN, KFIBER_MAP_PROCESSORS, KFIBER_MAP_WORKERS, KFIBER_MAP_FIBERS,
	STACKS(KFIBER_STACK_SHIFT_MIN), STACKS(16), STACKS(KFIBER_STACK_SHIFT_MAX),
};

static int map_error(int fd, size_t size, int prot, int flags, __u64 offset)
{
	void *where = mmap(NULL, size, prot, flags, fd, offset);

	if (where == MAP_FAILED)
		return -errno;
	munmap(where, size);
	return 0;
}

TEST_F(domain, mappings_are_shared)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LENGTH(good_offsets); i++) {
		EXPECT_EQ(0, map_error(self->fd, 4096, PROT_READ, MAP_SHARED, good_offsets[i]));
		EXPECT_EQ(-EINVAL, map_error(self->fd, 4096, PROT_READ, MAP_PRIVATE,
					     good_offsets[i]));
		EXPECT_EQ(-EINVAL, map_error(self->fd, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE,
					     good_offsets[i]));
	}
}

TEST_F(domain, tables_are_no_code)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		EXPECT_EQ(-EINVAL, map_error(self->fd, 4096, PROT_READ | PROT_EXEC, MAP_SHARED,
					     good_offsets[i]));
	EXPECT_EQ(-1, mprotect(self->header, 4096, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(domain, mappings_of_no_one_thing)
{
	static const struct {
		__u64 offset;
		size_t size;
	} bad[] = {
		{ TABLES - 4096, 8192 }, { 0, TABLES / 4 + TABLES },	/* across two */
		{ 2 * TABLES - 4096, 8192 }, { 3 * TABLES - 4096, 8192 },
		{ 4 * TABLES - 4096, 8192 }, { 4 * TABLES, 4096 },	/* beyond the last */
		{ 0x00ffull << 48, 4096 }, { 0x00ffull << 48 | (TABLES - 4096), 8192 },
		{ STACKS(0), 4096 }, { STACKS(KFIBER_STACK_SHIFT_MIN - 1), 4096 },
		{ STACKS(KFIBER_STACK_SHIFT_MAX + 1), 4096 }, { STACKS(256), 4096 },
		{ STACKS(64), 4096 }, { 1ull << 62, 4096 }, { 1ull << 63, 4096 },
		{ STACKS(16) + (1ull << KFIBER_ARENA_SHIFT_MAX), 4096 },
		{ STACKS(16) + (1ull << KFIBER_ARENA_SHIFT_MAX) - 4096, 8192 },
		{ STACKS(16) - 4096, 8192 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_LENGTH(bad); i++) {
		int err = map_error(self->fd, bad[i].size, PROT_READ, MAP_SHARED, bad[i].offset);

		/* More than there are addresses for is refused earlier. */
		EXPECT_EQ(bad[i].size > 1ull << 46 ? -ENOMEM : -EINVAL, err)
			TH_LOG("%zu bytes at %#llx", bad[i].size, bad[i].offset);
	}
	EXPECT_EQ(0, map_error(self->fd, 4096, PROT_READ, MAP_SHARED, TABLES - 4096));
	EXPECT_EQ(0, map_error(self->fd, 4096, PROT_READ, MAP_SHARED,
			       STACKS(16) + (1ull << KFIBER_ARENA_SHIFT_MAX) - 4096));
}

static void expect_touch(struct __test_metadata *_metadata, const void *address, int expected)
{
	EXPECT_EQ(expected, touch(address, false)) TH_LOG("read");
	EXPECT_EQ(expected, touch(address, true)) TH_LOG("write");
}

TEST_F(domain, table_pages_come_with_what_they_hold)
{
	const char *workers = (char *)self->workers, *fibers = (char *)self->fibers;
	__u64 names[33];
	__u32 worker;

	expect_touch(_metadata, (char *)self->header + 4095, 0);
	expect_touch(_metadata, (char *)self->header + self->page, SIGBUS);
	expect_touch(_metadata, (char *)self->processors + 4095, 0);
	expect_touch(_metadata, (char *)self->processors + self->page, SIGBUS);
	expect_touch(_metadata, workers, SIGBUS);
	ASSERT_EQ(0, attach(self->fd, &worker));
	expect_touch(_metadata, workers + 4095, 0);
	expect_touch(_metadata, workers + self->page, SIGBUS);
	expect_touch(_metadata, fibers, SIGBUS);
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, names, 1));
	expect_touch(_metadata, fibers + 4095, 0);
	expect_touch(_metadata, fibers + self->page, SIGBUS);
	ASSERT_EQ(32, alloc_fibers(self->fd, 16, names, 32));
	expect_touch(_metadata, fibers + self->page, 0);
	expect_touch(_metadata, fibers + 2 * self->page, SIGBUS);
}

/* What the kernel says when it is to write @size bytes there. */
static ssize_t kernel_writes(void *where, size_t size)
{
	int zero = open("/dev/zero", O_RDONLY);
	ssize_t done = read(zero, where, size);
	int err = errno;

	close(zero);
	return done < 0 ? -err : done;
}

TEST_F(domain, tables_that_do_not_exist_are_efault)
{
	__u64 name;

	ASSERT_EQ(-EFAULT, kernel_writes(self->fibers, 8));
	ASSERT_EQ(-EFAULT, call(self->fd, KFIBER_IOC_QUERY, self->fibers));
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	ASSERT_EQ(8, kernel_writes(self->fibers, 8));
}

static bool all_zero(const char *bytes, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

TEST_F(domain, stacks)
{
	const size_t slot = 1ul << 16, guard = kfiber_guard_bytes(16);
	char *arena = map(self->fd, MAX_FIBERS * slot, STACKS(16));
	struct kfiber_stats stats;
	__u64 names[2];

	ASSERT_NE(MAP_FAILED, arena);
	expect_touch(_metadata, arena + slot - 1, SIGSEGV);	/* not allocated */
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, names, 1));
	ASSERT_TRUE(all_zero(arena + guard, slot - guard));
	memset(arena + guard, 0x5a, slot - guard);
	ASSERT_EQ(0x5a, arena[guard]);
	expect_touch(_metadata, arena, SIGSEGV);
	expect_touch(_metadata, arena + guard - 1, SIGSEGV);
	expect_touch(_metadata, arena + slot, SIGSEGV);		/* the next one's guard */
	expect_touch(_metadata, arena + 2 * slot - 1, SIGSEGV);
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, names + 1, 1));
	ASSERT_TRUE(all_zero(arena + slot + guard, slot - guard));
	stats = read_stats(self->fd);
	ASSERT_EQ(2 * (slot - guard) / self->page, stats.stack_pages);
	ASSERT_EQ(10, stats.stack_refused);
	ASSERT_GE(stats.stack_pages, stats.stack_faults);
}

TEST_F(domain, what_is_told_of_a_slot)
{
	static const __u64 wrong[] = {
		0, KFIBER_MAP_FIBERS, KFIBER_MAP_STACKS, STACKS(13), STACKS(31), STACKS(16) | 1ull << 42,
		~0ull,
	};
	const size_t slot = 1ul << 16, guard = kfiber_guard_bytes(16);
	struct kfiber_stack stack = { .size = sizeof(stack) };
	char *arena = map(self->fd, MAX_FIBERS * slot, STACKS(16));
	__u64 names[2];
	size_t i;

	ASSERT_NE(MAP_FAILED, arena);
	for (i = 0; i < ARRAY_LENGTH(wrong); i++) {
		stack.offset = wrong[i];
		EXPECT_EQ(-EINVAL, call(self->fd, KFIBER_IOC_STACK, &stack));
	}
	stack.offset = STACKS(16) + slot;
	ASSERT_EQ(-ENOENT, call(self->fd, KFIBER_IOC_STACK, &stack));
	ASSERT_EQ(2, alloc_fibers(self->fd, 16, names, 2));
	arena[2 * slot - 1] = 1;
	arena[slot + guard] = 1;
	expect_touch(_metadata, arena + slot + 5, SIGSEGV);
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_STACK, &stack));
	EXPECT_EQ(names[1], stack.fiber);
	EXPECT_EQ(16, stack.stack_shift);
	EXPECT_EQ(1, stack.slot);
	EXPECT_EQ(guard / self->page, stack.guard);
	EXPECT_EQ((slot - guard) / self->page, stack.limit);
	EXPECT_EQ(2, stack.pages);
	EXPECT_EQ(2, stack.faults);
	EXPECT_GE(stack.refused, 1);
	EXPECT_EQ(KFIBER_REFUSED_GUARD, stack.reason);
	EXPECT_EQ(STACKS(16) + slot, stack.refused_offset);
}

/* A block's own words bound its stack, whatever they are. */
TEST_F(domain, limits_and_starts_of_a_stack)
{
	const size_t slot = 1ul << 18;
	char *arena = map(self->fd, MAX_FIBERS * slot, STACKS(18));
	struct kfiber_fiber_block *block;
	__u64 names[3];

	ASSERT_EQ(3, alloc_fibers(self->fd, 18, names, 3));
	block = &self->fibers[(names[0] & KFIBER_INDEX_MASK)];
	block->stack_limit = 4;
	block->stack_start = 3;
	arena[slot - 1] = 1;
	EXPECT_EQ(3, block->stack_pages);
	EXPECT_EQ(3, block->stack_high);
	expect_touch(_metadata, arena + slot - 4 * self->page, 0);
	expect_touch(_metadata, arena + slot - 4 * self->page - 1, SIGSEGV);
	EXPECT_EQ(4, block->stack_pages);
	block->stack_limit = ~0u;
	expect_touch(_metadata, arena + slot - 4 * self->page - 1, 0);
	/* As much as there is, and no more. */
	block = &self->fibers[(names[1] & KFIBER_INDEX_MASK)];
	block->stack_start = ~0u;
	arena[2 * slot - 1] = 1;
	EXPECT_EQ((slot - kfiber_guard_bytes(18)) / self->page, block->stack_pages);
	expect_touch(_metadata, arena + slot + kfiber_guard_bytes(18) - 1, SIGSEGV);
}

TEST_F(domain, processors)
{
	static const struct {
		__u32 count;
		int result;
		__u32 before;
	} steps[] = {
		{ 0, 0, 1 }, { 4, 0, 1 }, { 5, -EINVAL, 4 }, { ~0u, -EINVAL, 4 }, { 1, 0, 4 },
		{ 1, 0, 1 }, { 3, 0, 1 }, { 0, 0, 3 },
	};
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .processors_max = 4, .max_workers = 1,
		.max_fibers = 1,
	};
	struct kfiber_processors p = { .size = sizeof(p) };
	struct kfiber_domain_block *b;
	unsigned int i;
	int fd = open(DEVICE, O_RDWR);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, call(fd, KFIBER_IOC_SETUP, &setup));
	b = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, KFIBER_MAP_DOMAIN);
	ASSERT_NE(MAP_FAILED, b);
	EXPECT_EQ(4, b->processors);
	for (i = 0; i < ARRAY_LENGTH(steps); i++) {
		p.count = steps[i].count;
		EXPECT_EQ(steps[i].result, call(fd, KFIBER_IOC_PROCESSORS, &p)) TH_LOG("step %u", i);
		if (steps[i].result)
			continue;
		EXPECT_EQ(steps[i].before, p.count) TH_LOG("step %u", i);
		EXPECT_EQ(4, p.max);
		if (steps[i].count)
			EXPECT_EQ(steps[i].count, b->used);
		EXPECT_EQ(b->used, b->idle);
	}
	munmap(b, 4096);
	close(fd);
}

TEST_F(domain, watches)
{
	static const struct {
		int fd;
		__u32 percent;
		int result;
	} watches[] = {
		{ -1, 0, 0 }, { -1, 100, 0 }, { -1, 101, -EINVAL }, { -1, ~0u, -EINVAL },
		{ -2, 50, -EINVAL }, { 999, 50, -EBADF }, { 0, 0, -EINVAL },
	};
	struct kfiber_watch watch = { .size = sizeof(watch) };
	size_t i;

	for (i = 0; i < ARRAY_LENGTH(watches); i++) {
		watch.fd = watches[i].fd;
		watch.percent = watches[i].percent;
		EXPECT_EQ(watches[i].result, call(self->fd, KFIBER_IOC_WATCH, &watch))
			TH_LOG("%d %u", watch.fd, watch.percent);
	}
	/* A descriptor of another kind. */
	watch.fd = self->fd;
	watch.percent = 50;
	EXPECT_EQ(-EINVAL, call(self->fd, KFIBER_IOC_WATCH, &watch));
}

TEST_F(domain, stacks_that_are_started)
{
	const size_t slot = 1ul << 18;
	struct kfiber_start start = { .size = sizeof(start), .pages = 3 };
	struct kfiber_fiber_block *block;
	__u64 names[2];
	char *arena;

	ASSERT_EQ(2, alloc_fibers(self->fd, 18, names, 2));
	block = &self->fibers[names[0] & KFIBER_INDEX_MASK];
	start.fiber = names[0];
	ASSERT_EQ(-ENXIO, call(self->fd, KFIBER_IOC_START, &start));
	arena = map(self->fd, MAX_FIBERS * slot, STACKS(18));
	ASSERT_NE(MAP_FAILED, arena);
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_START, &start));
	EXPECT_EQ(3, start.pages);
	EXPECT_EQ(3, block->stack_pages);
	EXPECT_EQ(0, read_stats(self->fd).stack_faults);
	EXPECT_TRUE(all_zero(arena + slot - 3 * self->page, 3 * self->page));
	EXPECT_EQ(0, read_stats(self->fd).stack_faults);
	/* What is there stays, and is enough. */
	start.pages = 2;
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_START, &start));
	EXPECT_EQ(3, start.pages);
	/* Not beyond the slot, nor the fiber's own limit. */
	start.pages = KFIBER_START_MAX;
	block->stack_limit = 10;
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_START, &start));
	EXPECT_EQ(10, start.pages);
	block->stack_limit = 0;
	start.pages = KFIBER_START_MAX;
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_START, &start));
	EXPECT_EQ((slot - kfiber_guard_bytes(18)) / self->page, start.pages);
	start.pages = 0;
	EXPECT_EQ(-EINVAL, call(self->fd, KFIBER_IOC_START, &start));
	start.pages = KFIBER_START_MAX + 1;
	EXPECT_EQ(-EINVAL, call(self->fd, KFIBER_IOC_START, &start));
	/* Only one that has not begun. */
	start.pages = 1;
	start.fiber = names[1];
	set_state(&self->fibers[names[1] & KFIBER_INDEX_MASK], KFIBER_ACTIVE);
	EXPECT_EQ(-ENOENT, call(self->fd, KFIBER_IOC_START, &start));
	set_state(&self->fibers[names[1] & KFIBER_INDEX_MASK], KFIBER_FREE);
	start.fiber += 1ull << KFIBER_GENERATION_SHIFT;
	EXPECT_EQ(-ENOENT, call(self->fd, KFIBER_IOC_START, &start));
	start.fiber = names[1];
	EXPECT_EQ(0, call(self->fd, KFIBER_IOC_START, &start));
}

TEST(guards_that_are_asked_for)
{
	struct kfiber_setup args = {
		.size = sizeof(args), .processors = 1, .max_workers = 1, .max_fibers = 64,
	};
	static const struct {
		__u64 asked, guard;
	} guards[] = {
		{ 0, 16 }, { 1, 1 }, { 4096, 1 }, { 4097, 2 }, { 100 << 10, 25 }, { 1 << 17, 32 },
		{ 1 << 18, 32 }, { 1ull << 40, 32 }, { ~0ull, 32 },
	};
	struct kfiber_stack stack = { .size = sizeof(stack), .offset = STACKS(18) };
	const long page = sysconf(_SC_PAGESIZE);
	__u64 name;
	size_t i;

	for (i = 0; i < ARRAY_LENGTH(guards); i++) {
		int fd = open(DEVICE, O_RDWR);
		char *arena;

		args.guard_bytes = guards[i].asked;
		ASSERT_EQ(0, call(fd, KFIBER_IOC_SETUP, &args));
		arena = map(fd, 1ul << 18, STACKS(18));
		ASSERT_NE(MAP_FAILED, arena);
		ASSERT_EQ(1, alloc_fibers(fd, 18, &name, 1));
		ASSERT_EQ(0, call(fd, KFIBER_IOC_STACK, &stack));
		EXPECT_EQ(guards[i].guard, stack.guard);
		expect_touch(_metadata, arena + guards[i].guard * page - 1, SIGSEGV);
		expect_touch(_metadata, arena + guards[i].guard * page, 0);
		munmap(arena, 1ul << 18);
		close(fd);
	}
}

/* What is not there yet does not come into a stack that was given back. */
TEST_F(domain, stacks_that_were_freed)
{
	const size_t slot = 1ul << 16;
	char *arena = map(self->fd, slot, STACKS(16));
	__u64 name;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	expect_touch(_metadata, arena + slot - 1, 0);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, name));
	expect_touch(_metadata, arena + slot / 2, SIGSEGV);
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	expect_touch(_metadata, arena + slot / 2, 0);
}

TEST_F(domain, guards_of_all_classes)
{
	__u32 shift;

	for (shift = KFIBER_STACK_SHIFT_MIN; shift <= KFIBER_STACK_SHIFT_MAX; shift++) {
		const size_t slot = 1ul << shift, guard = kfiber_guard_bytes(shift);
		char *arena = map(self->fd, slot, STACKS(shift));
		__u64 name;

		ASSERT_NE(MAP_FAILED, arena);
		ASSERT_EQ(1, alloc_fibers(self->fd, shift, &name, 1));
		expect_touch(_metadata, arena, SIGSEGV);
		expect_touch(_metadata, arena + guard - 1, SIGSEGV);
		expect_touch(_metadata, arena + guard, 0);
		expect_touch(_metadata, arena + slot - 1, 0);
		munmap(arena, slot);
	}
}

/* Growth must not go below the mapping. */
TEST_F(domain, a_mapping_may_begin_within_a_stack)
{
	const size_t slot = 1ul << 16, half = slot / 2;
	char *arena, *below;
	size_t at;
	__u64 name;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	below = mmap(NULL, slot, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	arena = mmap(below + half, half, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, self->fd,
		     STACKS(16) + half);
	ASSERT_EQ(below + half, arena);
	for (at = half; at; at -= self->page)
		expect_touch(_metadata, arena + at - self->page, 0);
	ASSERT_EQ(half / self->page, read_stats(self->fd).stack_pages);
	expect_touch(_metadata, arena - 1, SIGSEGV);
}

TEST_F(domain, the_kernel_meets_guards_too)
{
	const size_t slot = 1ul << 16, guard = kfiber_guard_bytes(16);
	char *arena = map(self->fd, slot, STACKS(16));
	__u64 name;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	ASSERT_EQ(-EFAULT, kernel_writes(arena + guard - 8, 8));
	ASSERT_EQ(slot - guard, kernel_writes(arena + guard, slot - guard));
}

TEST_F(domain, stats)
{
	__u64 names[4], found, before = now();
	struct kfiber_stats stats = read_stats(self->fd);
	__u32 worker;

	ASSERT_EQ(sizeof(stats), stats.size);
	ASSERT_EQ(1, stats.processors);
	ASSERT_EQ(1, stats.idle);
	ASSERT_GE(stats.time, before);
	ASSERT_LE(stats.time, now());
	stats.processors = 0;
	stats.idle = 0;
	stats.time = 0;
	stats.size = 0;
	ASSERT_TRUE(all_zero((char *)&stats, sizeof(stats)));

	ASSERT_EQ(0, attach(self->fd, &worker));
	ASSERT_EQ(1, read_stats(self->fd).blocked);
	ASSERT_EQ(4, alloc_fibers(self->fd, 16, names, 4));
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, names[0]));
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_READY, names[1]));
	ASSERT_EQ(1, read_stats(self->fd).global);
	ASSERT_EQ(0, next(self->fd, worker, &found));
	stats = read_stats(self->fd);
	ASSERT_EQ(0, stats.idle);
	ASSERT_EQ(0, stats.global);
	ASSERT_EQ(0, stats.blocked);
	ASSERT_EQ(1, stats.workers);
	ASSERT_EQ(1, stats.workers_peak);
	ASSERT_EQ(0, stats.spares);
	ASSERT_EQ(3, stats.fibers);
	ASSERT_EQ(4, stats.fibers_peak);
	ASSERT_EQ(1, stats.next_calls);
	ASSERT_EQ(0, stats.deaths);
	ASSERT_EQ(0, detach(self->fd, worker));
	stats = read_stats(self->fd);
	ASSERT_EQ(0, stats.workers);
	ASSERT_EQ(1, stats.workers_peak);
}

/* Each slot's @n top pages are written to. */
static void write_tops(char *arena, unsigned int slots, unsigned int n)
{
	for (unsigned int i = 0; i < slots; i++)
		for (unsigned int page = 0; page < n; page++)
			arena[(i + 1) * (1ul << 16) - page * 4096 - 1] = 1;
}

TEST_F(domain, growth_is_counted)
{
	struct kfiber_trim trim = { .size = sizeof(trim) };
	struct kfiber_start start = { .size = sizeof(start), .pages = 5 };
	char *arena = map(self->fd, MAX_FIBERS << 16, STACKS(16));
	struct kfiber_stats stats;
	__u64 names[3];

	ASSERT_NE(MAP_FAILED, arena);
	ASSERT_EQ(3, alloc_fibers(self->fd, 16, names, 3));
	write_tops(arena, 2, 4);				/* 1, 2, 4 pages */
	stats = read_stats(self->fd);
	ASSERT_EQ(6, stats.stack_faults);
	ASSERT_EQ(8, stats.stack_grown);
	ASSERT_EQ(0, stats.stack_starts);
	start.fiber = names[2];
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_START, &start));
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_START, &start));	/* they are there */
	stats = read_stats(self->fd);
	ASSERT_EQ(6, stats.stack_faults);
	ASSERT_EQ(13, stats.stack_grown);
	ASSERT_EQ(1, stats.stack_starts);
	ASSERT_EQ(13, stats.stack_pages);
	/* What its owner has thrown away is found missing. */
	ASSERT_EQ(0, madvise(arena + (1ul << 16) - 3 * 4096, 2 * 4096, MADV_DONTNEED));
	ASSERT_EQ(13, read_stats(self->fd).stack_pages);
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, names[i]));
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_TRIM, &trim));
	ASSERT_EQ(6, trim.pages);
	stats = read_stats(self->fd);
	ASSERT_EQ(6, stats.stack_trimmed);
	ASSERT_EQ(2, stats.stack_dropped);
	ASSERT_EQ(5, stats.stack_pages);
}

TEST_F(domain, the_pool_is_counted)
{
	struct kfiber_trim trim = { .size = sizeof(trim) };
	char *arena = map(self->fd, MAX_FIBERS << 16, STACKS(16));
	struct kfiber_stats stats;
	__u64 names[4], again[4];
	int i;

	ASSERT_NE(MAP_FAILED, arena);
	ASSERT_EQ(3, alloc_fibers(self->fd, 16, names, 3));
	write_tops(arena, 2, 1);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, names[i]));
	stats = read_stats(self->fd);
	ASSERT_EQ(2, stats.pool_pages);
	ASSERT_EQ(3, stats.pool_made);
	/* What has memory comes first, of that the last one given back. */
	ASSERT_EQ(2, alloc_fibers(self->fd, 16, again, 2));
	ASSERT_EQ(names[1], again[0]);
	ASSERT_EQ(names[0], again[1]);
	stats = read_stats(self->fd);
	ASSERT_EQ(0, stats.pool_pages);
	ASSERT_EQ(2, stats.pool_warm);
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, names[i]));
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_TRIM, &trim));
	ASSERT_EQ(2, trim.pages);
	ASSERT_EQ(0, read_stats(self->fd).pool_pages);
	ASSERT_EQ(4, alloc_fibers(self->fd, 16, names, 4));
	stats = read_stats(self->fd);
	ASSERT_EQ(2, stats.pool_warm);
	ASSERT_EQ(3, stats.pool_cold);
	ASSERT_EQ(4, stats.pool_made);
	/* Another class has other stacks. */
	ASSERT_EQ(1, alloc_fibers(self->fd, 17, again, 1));
	ASSERT_EQ(5, read_stats(self->fd).pool_made);
}

/* The memory that the pool keeps: of those that were given back last. */
TEST(the_pool_has_a_bound)
{
	struct kfiber_setup args = {
		.size = sizeof(args), .processors = 1, .max_workers = 1, .max_fibers = 8,
		.pool_bytes = 3 * 4096,
	};
	int fd = open(DEVICE, O_RDWR), i;
	__u64 names[8], again[3];
	char *arena;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(0, call(fd, KFIBER_IOC_SETUP, &args));
	arena = map(fd, 8 << 16, STACKS(16));
	ASSERT_NE(MAP_FAILED, arena);
	ASSERT_EQ(8, alloc_fibers(fd, 16, names, 8));
	write_tops(arena, 8, 1);
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, one_fiber(fd, KFIBER_IOC_FREE, names[i]));
	/* They leave the pool first, and are counted when their pages are free. */
	for (i = 0; i < 500 && read_stats(fd).stack_trimmed < 5; i++)
		sleep_ms(10);
	ASSERT_EQ(3, read_stats(fd).pool_pages);
	ASSERT_EQ(3, read_stats(fd).stack_pages);
	ASSERT_EQ(5, read_stats(fd).stack_trimmed);
	ASSERT_EQ(3, alloc_fibers(fd, 16, again, 3));
	for (i = 0; i < 3; i++)
		ASSERT_EQ(names[7 - i], again[i]);
	close(fd);
}

TEST_F(domain, usage)
{
	struct kfiber_stats stats = { .size = sizeof(stats), .flags = KFIBER_STATS_USED };
	const size_t slot = 1ul << 16;
	char *arena = map(self->fd, MAX_FIBERS * slot, STACKS(16));
	__u64 names[7];
	__u32 worker;
	int i;

	ASSERT_NE(MAP_FAILED, arena);
	ASSERT_EQ(7, alloc_fibers(self->fd, 16, names, 7));
	write_tops(arena, 7, 4);
	for (i = 0; i < 7; i++)
		self->fibers[i].sp = (uintptr_t)arena + (i + 1) * slot - 6000;
	self->fibers[0].word |= KFIBER_PARKED;			/* 6000 */
	self->fibers[1].word |= KFIBER_ACTIVE;			/* 6000 */
	self->fibers[2].word |= KFIBER_ACTIVE;			/* all of it: somewhere else */
	self->fibers[2].sp = 0;
	self->fibers[3].word |= KFIBER_ACTIVE;			/* all of it: it runs */
	ASSERT_EQ(0, attach(self->fd, &worker));
	self->workers[worker].fiber = names[3];
	self->fibers[4].word |= KFIBER_DEAD;			/* neither */
	/* 5 is idle, and so is 6. */
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_FREE, names[6]));
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_STATS, &stats));
	ASSERT_EQ(7 * 4, stats.stack_pages);
	ASSERT_EQ(2 * 6000 + 2 * 4 * 4096, stats.stack_used);
	ASSERT_EQ(2 * 4 * 4096, stats.stack_idle);
	/* No more is in use than is there. */
	self->fibers[0].sp = (uintptr_t)arena + 4096;
	self->workers[worker].fiber = names[4];
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_STATS, &stats));
	ASSERT_EQ(2 * 6000 + 2 * 4 * 4096, stats.stack_used);
	stats.flags = 0;
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_STATS, &stats));
	ASSERT_EQ(0, stats.stack_used);
	ASSERT_EQ(0, stats.stack_idle);
	ASSERT_EQ(0, detach(self->fd, worker));
}

/* Programs of before a field was there have no room for it. */
TEST_F(domain, short_stats)
{
	struct kfiber_stats stats;

	memset(&stats, 0xaa, sizeof(stats));
	stats.size = 16;
	stats.flags = 0;
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_STATS, &stats));
	ASSERT_EQ(1, stats.processors);
	ASSERT_EQ(0, stats.workers);
	ASSERT_EQ(0xaaaaaaaa, stats.workers_peak);
	ASSERT_EQ(0xaaaaaaaaaaaaaaaaull, stats.deaths);
}

/* A worker that says that it runs @name, and ends. */
struct mortal {
	int fd;
	struct kfiber_worker_block *workers;
	__u64 name;
	int result;
};

static void *die_as_worker(void *arg)
{
	struct mortal *m = arg;
	__u32 worker;

	m->result = attach(m->fd, &worker);
	if (!m->result)
		__atomic_store_n(&m->workers[worker].fiber, m->name, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Return: false if the worker is still there after a while. */
static bool worker_dies(struct mortal *m)
{
	pthread_t thread;
	int ms;

	if (pthread_create(&thread, NULL, die_as_worker, m) || pthread_join(thread, NULL))
		return false;
	for (ms = 0; ms < 5000 && read_stats(m->fd).workers; ms++)
		sleep_ms(1);
	return !m->result && !read_stats(m->fd).workers;
}

TEST_F(domain, a_fiber_dies_with_its_thread)
{
	struct mortal mortal = { .fd = self->fd, .workers = self->workers };
	struct kfiber_fiber_block *block;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &mortal.name, 1));
	block = block_of(self->fibers, mortal.name);
	set_state(block, KFIBER_ACTIVE);
	self->header->live = 2;
	ASSERT_TRUE(worker_dies(&mortal));
	ASSERT_EQ(named(1, 0) | KFIBER_DEAD | KFIBER_KILLED, block->word);
	ASSERT_EQ(KFIBER_JOIN_ENDED, block->joiner);
	ASSERT_EQ(1, self->header->live);
	ASSERT_EQ(1, read_stats(self->fd).deaths);
	ASSERT_EQ(0, self->header->shutdown);
	/* The last one ends the domain. */
	set_state(block, KFIBER_ACTIVE);
	ASSERT_TRUE(worker_dies(&mortal));
	ASSERT_EQ(0, self->header->live);
	ASSERT_EQ(1, self->header->shutdown);
}

/* What a thread says that it runs is not believed. */
TEST_F(domain, a_worker_that_lies_kills_nobody)
{
	struct mortal mortal = { .fd = self->fd, .workers = self->workers };
	struct kfiber_fiber_block *block;
	__u64 name;
	unsigned int i;

	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	block = block_of(self->fibers, name);
	self->header->live = 1;
	set_state(block, KFIBER_ACTIVE);
	for (i = 0; i < 4; i++) {
		const __u64 lies[] = { 0, named(2, 0), named(1, 1), ~0ull };

		mortal.name = lies[i];
		ASSERT_TRUE(worker_dies(&mortal));
	}
	ASSERT_EQ(named(1, 0) | KFIBER_ACTIVE, block->word);
	set_state(block, KFIBER_PARKED);
	mortal.name = name;
	ASSERT_TRUE(worker_dies(&mortal));
	ASSERT_EQ(named(1, 0) | KFIBER_PARKED, block->word);
	ASSERT_EQ(0, read_stats(self->fd).deaths);
	ASSERT_EQ(1, self->header->live);
}

/* --- files --------------------------------------------------------------------- */

/* Return: does nobody hold the other end open any more? */
static bool has_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

FIXTURE(file)
{
	int fd;
	int ends[2];
	__u64 fiber;
	struct kfiber_file args;
};

static int file_fiber(int fd, __u64 *fiber)
{
	struct kfiber_fibers alloc = {
		.size = sizeof(alloc), .count = 1, .stack_shift = 16, .fibers = (uintptr_t)fiber,
	};

	return call(fd, KFIBER_IOC_ALLOC, &alloc);
}

FIXTURE_SETUP(file)
{
	self->fd = open(DEVICE, O_RDWR);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, setup(self->fd, 2, 4, 64));
	ASSERT_EQ(0, file_fiber(self->fd, &self->fiber));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->ends));
	self->args = (struct kfiber_file){
		.size = sizeof(self->args), .fd = self->ends[0], .fiber = self->fiber,
		.deadline = KFIBER_NEVER, .buffer = (uintptr_t)nobody, .length = 1,
	};
}

FIXTURE_TEARDOWN(file)
{
	close(self->fd);
	close(self->ends[0]);
	close(self->ends[1]);
}

static int call_with_fiber(int fd, unsigned int command, __u64 fiber)
{
	struct kfiber_fibers args = {
		.size = sizeof(args), .count = 1, .fibers = (uintptr_t)&fiber,
	};

	return call(fd, command, &args);
}

TEST_F(file, states)
{
	struct kfiber_file *args = &self->args;

	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_FILE, args));
	EXPECT_EQ(KFIBER_FILE_WAITS, args->state);
	args->fiber = 0;
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_FILE, args));
	EXPECT_EQ(KFIBER_FILE_WAITS, args->state);
	ASSERT_EQ(1, write(self->ends[1], "x", 1));
	args->fiber = self->fiber;
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_FILE, args));
	EXPECT_EQ(KFIBER_FILE_DONE, args->state);
	EXPECT_EQ(1, args->result);
	args->fd = open("/", O_RDONLY | O_DIRECTORY);
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_FILE, args));
	EXPECT_EQ(KFIBER_FILE_BLOCKS, args->state);
	close(args->fd);
}

TEST_F(file, bad_values)
{
	struct kfiber_file *args = &self->args;
	__u64 other;

	args->operation = KFIBER_FILE_OPERATIONS;
	EXPECT_EQ(-EINVAL, call(self->fd, KFIBER_IOC_FILE, args));
	args->operation = KFIBER_FILE_POLL;		/* it has no buffer */
	EXPECT_EQ(-EINVAL, call(self->fd, KFIBER_IOC_FILE, args));
	args->buffer = 0;
	args->length = 0;
	args->events = 0x10000;
	EXPECT_EQ(-EINVAL, call(self->fd, KFIBER_IOC_FILE, args));
	args->events = POLLIN;
	EXPECT_EQ(0, call(self->fd, KFIBER_IOC_FILE, args));
	args->message_flags = MSG_PEEK;
	EXPECT_EQ(-EINVAL, call(self->fd, KFIBER_IOC_FILE, args));
	args->events = 0;
	args->operation = KFIBER_FILE_RECV;
	args->message_flags = 1u << 31;			/* MSG_CMSG_COMPAT: the kernel's own */
	EXPECT_EQ(-EOPNOTSUPP, call(self->fd, KFIBER_IOC_FILE, args));
	args->message_flags = 0;
	ASSERT_EQ(0, file_fiber(self->fd, &other));
	args->fiber = other & KFIBER_INDEX_MASK;	/* generation 0 */
	EXPECT_EQ(-ENOENT, call(self->fd, KFIBER_IOC_FILE, args));
	args->fiber = other + 1;			/* never given out */
	EXPECT_EQ(-ENOENT, call(self->fd, KFIBER_IOC_FILE, args));
	EXPECT_EQ(-ENOENT, call_with_fiber(self->fd, KFIBER_IOC_FORGET, other + 1));
	EXPECT_EQ(0, call_with_fiber(self->fd, KFIBER_IOC_FORGET, self->fiber));
}

/* While the fiber waits the file is open; then it is not, whatever ended that. */
TEST_F(file, a_wait_holds_the_file)
{
	struct kfiber_simple simple = { .size = sizeof(simple) };
	struct kfiber_file other = self->args;
	unsigned int how;

	other.fd = self->fd;
	for (how = 0; how < 4; how++) {
		self->args.fd = self->ends[0];
		self->args.fiber = self->fiber;
		ASSERT_EQ(0, call(self->fd, KFIBER_IOC_FILE, &self->args));
		ASSERT_EQ(KFIBER_FILE_WAITS, self->args.state);
		close(self->ends[0]);
		EXPECT_FALSE(has_hung_up(self->ends[1]));
		switch (how) {
		case 0:
			EXPECT_EQ(0, call_with_fiber(self->fd, KFIBER_IOC_FORGET, self->fiber));
			break;
		case 1:
			EXPECT_EQ(-EBADF, call(self->fd, KFIBER_IOC_FILE, &other));
			break;
		case 2:
			EXPECT_EQ(0, call_with_fiber(self->fd, KFIBER_IOC_FREE, self->fiber));
			ASSERT_EQ(0, file_fiber(self->fd, &self->fiber));
			break;
		default:
			EXPECT_EQ(0, call(self->fd, KFIBER_IOC_SHUTDOWN, &simple));
		}
		EXPECT_TRUE(has_hung_up(self->ends[1])) TH_LOG("%u", how);
		close(self->ends[1]);
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, self->ends));
	}
	/* Nobody waits in a domain that has ended. */
	self->args.fd = self->ends[0];
	EXPECT_EQ(-ESHUTDOWN, call(self->fd, KFIBER_IOC_FILE, &self->args));
}

TEST_F(file, closing_the_device_ends_waits)
{
	ASSERT_EQ(0, call(self->fd, KFIBER_IOC_FILE, &self->args));
	close(self->ends[0]);
	EXPECT_FALSE(has_hung_up(self->ends[1]));
	close(self->fd);
	EXPECT_TRUE(has_hung_up(self->ends[1]));
}

/*
 * The queue of a signalfd is the process's that polled. One that shares memory and files with
 * us, and no more, has a fiber wait and goes, and with it the queue: not the file, nor the wait.
 */
static int poller_device;

static int poll_and_exit(void *arg)
{
	struct kfiber_file *args = arg;

	_exit(call(poller_device, KFIBER_IOC_FILE, args) || args->state != KFIBER_FILE_WAITS);
}

TEST_F(file, a_queue_goes_before_its_file)
{
	static char stack[65536] __attribute__((aligned(16)));
	sigset_t none;
	int status, i;
	pid_t child;

	sigemptyset(&none);
	for (i = 0; i < 10; i++) {
		self->args = (struct kfiber_file){
			.size = sizeof(self->args), .fd = signalfd(-1, &none, 0),
			.fiber = self->fiber, .deadline = KFIBER_NEVER,
			.operation = KFIBER_FILE_POLL, .events = POLLIN,
		};
		poller_device = self->fd;
		child = clone(poll_and_exit, stack + sizeof(stack),
			      CLONE_VM | CLONE_FILES | SIGCHLD, &self->args);
		ASSERT_LE(0, child);
		ASSERT_EQ(child, waitpid(child, &status, 0));
		ASSERT_EQ(0, status);
		EXPECT_EQ(i + 1, read_stats(self->fd).file_waits);
		EXPECT_EQ(i + 1, read_stats(self->fd).file_wakes);
		EXPECT_EQ(0, call_with_fiber(self->fd, KFIBER_IOC_FREE, self->fiber));
		close(self->args.fd);
		ASSERT_EQ(0, file_fiber(self->fd, &self->fiber));
	}
}

TEST_F(file, a_wait_that_cannot_be_told_is_undone)
{
	const struct command *c = command_of(KFIBER_IOC_FILE);
	const size_t size = sysconf(_SC_PAGESIZE);
	char *page = page_with(_metadata, c);

	memcpy(page, &self->args, sizeof(self->args));
	ASSERT_EQ(0, mprotect(page, size, PROT_READ));
	EXPECT_EQ(-EFAULT, call(self->fd, KFIBER_IOC_FILE, page));
	ASSERT_EQ(0, mprotect(page, size, PROT_READ | PROT_WRITE));
	close(self->ends[0]);
	EXPECT_TRUE(has_hung_up(self->ends[1]));
}

/* --- threads that look on -------------------------------------------------------------- */

static int stand_aside(int fd, __u64 until)
{
	struct kfiber_aside args = { .size = sizeof(args), .until = until };

	return call(fd, KFIBER_IOC_ASIDE, &args);
}

TEST_F(domain, aside_until_its_time)
{
	__u64 until = now() + 10 * MS;

	EXPECT_EQ(0, stand_aside(self->fd, until));
	EXPECT_LE(until, now());
	EXPECT_EQ(0, stand_aside(self->fd, 0));
}

static void *stand_aside_for_ever(void *arg)
{
	return (void *)(long)stand_aside(*(int *)arg, KFIBER_NEVER);
}

TEST_F(domain, aside_until_the_end)
{
	pthread_t thread;
	void *result;

	ASSERT_EQ(0, pthread_create(&thread, NULL, stand_aside_for_ever, &self->fd));
	usleep(20000);
	ASSERT_EQ(0, shut_down(self->fd));
	ASSERT_EQ(0, pthread_join(thread, &result));
	EXPECT_EQ(-ESHUTDOWN, (long)result);
	EXPECT_EQ(-ESHUTDOWN, stand_aside(self->fd, KFIBER_NEVER));
}

TEST_F(domain, a_worker_is_not_aside)
{
	__u32 worker;

	ASSERT_EQ(0, attach(self->fd, &worker));
	EXPECT_EQ(-EINVAL, stand_aside(self->fd, 0));
}

/* --- who is asked for a spare ------------------------------------------------------ */

static __u32 next_flags(int fd, __u32 worker)
{
	struct kfiber_next args = { .size = sizeof(args), .worker = worker };

	return call(fd, KFIBER_IOC_NEXT, &args) ? 0 : args.flags;
}

static __u32 asked;

static void *die_when_asked(void *arg)
{
	int fd = (int)(intptr_t)arg;
	__u32 worker;

	if (!attach(fd, &worker))
		asked = next_flags(fd, worker);
	return NULL;
}

TEST_F(domain, who_was_asked_for_a_spare_dies)
{
	__u64 names[2];
	pthread_t thread;
	__u32 worker;

	ASSERT_EQ(0, attach(self->fd, &worker));
	ASSERT_EQ(2, alloc_fibers(self->fd, 16, names, 2));
	set_state(block_of(self->fibers, names[0]), KFIBER_ACTIVE);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_READY, names[0]));
	ASSERT_EQ(0, pthread_create(&thread, NULL, die_when_asked, (void *)(intptr_t)self->fd));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	ASSERT_EQ(KFIBER_NEXT_NEED_SPARE, asked);
	while (read_stats(self->fd).workers > 1)
		sleep_ms(1);
	set_state(block_of(self->fibers, names[1]), KFIBER_ACTIVE);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_READY, names[1]));
	ASSERT_EQ(KFIBER_NEXT_NEED_SPARE, next_flags(self->fd, worker));
}

/*
 * Who makes a spare: while it does, nothing that is queued is run. Others are workers
 * before it is asked, as each that comes is taken for the spare.
 */
struct maker {
	int fd, pipe[2];
	pthread_barrier_t attached;
	atomic_bool was_asked, ends;
	atomic_int first;
};

enum { NOBODY, MAKER, WAITER };

static void note_first(struct maker *m, int who)
{
	int nobody = NOBODY;

	atomic_compare_exchange_strong(&m->first, &nobody, who);
}

static void *wait_for_processor(void *arg)
{
	struct maker *m = arg;
	__u32 worker;
	int err;

	err = attach(m->fd, &worker);
	pthread_barrier_wait(&m->attached);
	pthread_barrier_wait(&m->attached);
	if (!err)
		err = acquire(m->fd, worker);
	note_first(m, WAITER);
	return (void *)(long)err;
}

static void *block_before_the_spare_is_made(void *arg)
{
	struct maker *m = arg;
	__u32 worker;
	char c;

	if (attach(m->fd, &worker) || next_flags(m->fd, worker) != KFIBER_NEXT_NEED_SPARE)
		return (void *)1;
	atomic_store(&m->was_asked, true);
	if (read(m->pipe[0], &c, 1) != 1)
		return (void *)2;
	note_first(m, MAKER);
	return NULL;
}

static void wait_for_waiters(const struct kfiber_domain_block *header, __u32 n)
{
	while (__atomic_load_n(&header->waiters, __ATOMIC_SEQ_CST) != n)
		sleep_ms(1);
}

TEST_F(domain, who_makes_a_spare_goes_before_others_that_are_back)
{
	struct maker m = { .fd = self->fd };
	pthread_t waiter, maker;
	void *result;
	__u64 name;
	__u32 self_index;

	ASSERT_EQ(0, pipe(m.pipe));
	ASSERT_EQ(0, pthread_barrier_init(&m.attached, NULL, 2));
	ASSERT_EQ(0, pthread_create(&waiter, NULL, wait_for_processor, &m));
	pthread_barrier_wait(&m.attached);
	ASSERT_EQ(0, attach(self->fd, &self_index));
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	set_state(block_of(self->fibers, name), KFIBER_ACTIVE);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_READY, name));
	ASSERT_EQ(0, pthread_create(&maker, NULL, block_before_the_spare_is_made, &m));
	while (!atomic_load(&m.was_asked) || !*(volatile __u32 *)&self->header->idle)
		sleep_ms(1);
	ASSERT_EQ(0, acquire(self->fd, self_index));
	self->workers[self_index].critical = 1;
	pthread_barrier_wait(&m.attached);
	wait_for_waiters(self->header, 1);
	ASSERT_EQ(1, write(m.pipe[1], "x", 1));
	wait_for_waiters(self->header, 2);
	ASSERT_EQ(NOBODY, atomic_load(&m.first));
	self->workers[self_index].critical = 0;
	ASSERT_EQ(0, simple(self->fd, KFIBER_IOC_DETACH, &self_index));
	ASSERT_EQ(0, pthread_join(maker, &result));
	EXPECT_EQ(NULL, result);
	ASSERT_EQ(0, pthread_join(waiter, &result));
	EXPECT_EQ(NULL, result);
	EXPECT_EQ(MAKER, atomic_load(&m.first));
}

static void *compute_before_the_spare_is_made(void *arg)
{
	struct maker *m = arg;
	__u32 worker;

	if (attach(m->fd, &worker) || next_flags(m->fd, worker) != KFIBER_NEXT_NEED_SPARE)
		return (void *)1;
	atomic_store(&m->was_asked, true);
	while (!atomic_load(&m->ends))
		;
	return NULL;
}

TEST_F(domain, who_makes_a_spare_is_not_preempted)
{
	struct maker m = { .fd = self->fd };
	pthread_t waiter, maker;
	__u32 spare;
	__u64 name;

	ASSERT_EQ(0, pthread_barrier_init(&m.attached, NULL, 2));
	ASSERT_EQ(0, pthread_create(&waiter, NULL, wait_for_processor, &m));
	pthread_barrier_wait(&m.attached);
	ASSERT_EQ(1, alloc_fibers(self->fd, 16, &name, 1));
	set_state(block_of(self->fibers, name), KFIBER_ACTIVE);
	ASSERT_EQ(0, one_fiber(self->fd, KFIBER_IOC_READY, name));
	ASSERT_EQ(0, pthread_create(&maker, NULL, compute_before_the_spare_is_made, &m));
	while (!atomic_load(&m.was_asked))
		sleep_ms(1);
	pthread_barrier_wait(&m.attached);
	wait_for_waiters(self->header, 1);
	/* Ten slices: long enough for the wrong version, and for no other. */
	sleep_ms(100);
	EXPECT_EQ(0, read_stats(self->fd).preemptions);
	ASSERT_EQ(0, attach(self->fd, &spare));
	while (!read_stats(self->fd).preemptions)
		sleep_ms(1);
	atomic_store(&m.ends, true);
	ASSERT_EQ(0, pthread_join(waiter, NULL));
	ASSERT_EQ(0, pthread_join(maker, NULL));
}

TEST_HARNESS_MAIN
