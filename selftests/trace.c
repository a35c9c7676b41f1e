// SPDX-License-Identifier: GPL-2.0
/* Trace points: what they say of a stack, or of a wait for a file, is what happened. */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <linux/kfiber.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "file.h"
#include "run.h"

#define KIB 1024ul
#define PAGE 4096ul
#define SHIFT 16
#define SLOT (1ul << SHIFT)
#define SLOTS 8
/* A quarter of the slot. */
#define GUARD (SLOT / 4)
#define TRACING "/sys/kernel/tracing"
/* A buffer of its own: nobody else's tracing is disturbed. */
#define INSTANCE TRACING "/instances/kfiber-selftest"
#define RECORD_CMD TRACING "/options/record-cmd"
#define TRIM_AFTER "/sys/module/kfiber/parameters/trim_after_ms"
#define CGROUP "/sys/fs/cgroup/kfiber-trace"

static bool read_line(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "r");
	bool ok = f && fgets(text, (int)size, f);

	if (f)
		fclose(f);
	return ok;
}

/* --- reading events -------------------------------------------------------------- */

struct event {
	char what[16];
	int owner;
	unsigned long long fiber;
	unsigned int shift, slot, before, after, pages, fibers, unmaps;
	char why[16];
	unsigned long address;
	int fd;
	unsigned int events, fired;
};

/* The number behind "name=" in a line. */
static unsigned long long number(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? strtoull(at + strlen(name), NULL, 0) : ~0ull;
}

static void word(const char *line, const char *name, char *to, size_t size)
{
	const char *at = strstr(line, name);

	snprintf(to, size, "%.*s", at ? (int)strcspn(at + strlen(name), " \n") : 0,
		 at ? at + strlen(name) : "");
}

static bool parse(const char *line, struct event *e)
{
	static const char stack[] = "stack_";
	const char *at = strstr(line, ": kfiber_");

	if (line[0] == '#' || !at)
		return false;
	*e = (struct event){
		.owner = (int)number(at, " owner="), .fiber = number(at, " fiber="),
		.shift = (unsigned int)number(at, " stack_shift="),
		.slot = (unsigned int)number(at, " slot="),
		.before = (unsigned int)number(at, " before="),
		.after = (unsigned int)number(at, " after="),
		.pages = (unsigned int)number(at, " pages="),
		.fibers = (unsigned int)number(at, " fibers="),
		.unmaps = (unsigned int)number(at, " unmaps="),
		.address = (unsigned long)number(at, " address="),
		.fd = (int)number(at, " fd="), .events = (unsigned int)number(at, " events="),
		.fired = (unsigned int)number(at, " fired="),
	};
	at += strlen(": kfiber_");
	if (!strncmp(at, stack, strlen(stack)))
		at += strlen(stack);
	snprintf(e->what, sizeof(e->what), "%.*s", (int)strcspn(at, ":"), at);
	word(at, strcmp(e->what, "trim") ? " reason=" : " why=", e->why, sizeof(e->why));
	return true;
}

/* What a process's domains have had since the buffer was cleared. Return: how many. */
static int read_events(const char *what, pid_t owner, struct event *events, int max)
{
	FILE *f = fopen(INSTANCE "/trace", "r");
	char line[512];
	struct event e;
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		if (parse(line, &e) && !strcmp(e.what, what) && e.owner == owner && n < max)
			events[n++] = e;
	fclose(f);
	return n;
}

static bool begin_tracing(void)
{
	return write_file(INSTANCE "/trace", "\n") &&
	       write_file(INSTANCE "/events/kfiber/enable", "1");
}

FIXTURE(tracing) {
	char trim_after[16];
	char record_cmd[4];
};

FIXTURE_SETUP(tracing)
{
	if (access(TRACING "/events", F_OK))
		SKIP(return, "no tracefs");
	ASSERT_EQ(0, access(TRACING "/events/kfiber", F_OK));
	/*
	 * The names of tasks need no recording. It would change the scheduler's code while
	 * both CPUs run it, and what an emulator makes of that may end the machine
	 * (tools/vm-init). An instance begins with the options of all.
	 */
	ASSERT_TRUE(read_line(RECORD_CMD, self->record_cmd, sizeof(self->record_cmd)));
	ASSERT_TRUE(write_file(RECORD_CMD, "0"));
	rmdir(INSTANCE);
	ASSERT_EQ(0, mkdir(INSTANCE, 0755));
	ASSERT_TRUE(read_line(TRIM_AFTER, self->trim_after, sizeof(self->trim_after)));
	ASSERT_TRUE(write_file(TRIM_AFTER, "0"));
}

FIXTURE_TEARDOWN(tracing)
{
	EXPECT_TRUE(write_file(TRIM_AFTER, self->trim_after));
	EXPECT_EQ(0, rmdir(INSTANCE));
	EXPECT_TRUE(write_file(RECORD_CMD, self->record_cmd));
}

/* --- a domain without the library ------------------------------------------------- */

struct raw {
	int fd, zero;
	uint64_t names[4];
	char *stacks;
	struct kfiber_fiber_block *blocks;
};

static int raw_call(int fd, unsigned long command, uint64_t *names, unsigned int count)
{
	struct kfiber_fibers args = {
		.size = sizeof(args), .count = count, .fibers = (uintptr_t)names,
		.stack_shift = command == KFIBER_IOC_ALLOC ? SHIFT : 0,
	};

	return ioctl(fd, command, &args) || args.count != count ? -errno : 0;
}

/* Four fibers in class SHIFT, in the slots 0 to 3. */
static int raw_open(struct raw *r)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .max_workers = 1, .max_fibers = SLOTS,
		.stack_bytes_max = 20 * PAGE,
	};

	r->zero = open("/dev/zero", O_RDONLY);
	r->fd = open("/dev/kfiber", O_RDWR | O_CLOEXEC);
	if (r->fd < 0 || r->zero < 0 || ioctl(r->fd, KFIBER_IOC_SETUP, &setup) ||
	    raw_call(r->fd, KFIBER_IOC_ALLOC, r->names, 4))
		return -1;
	r->stacks = mmap(NULL, SLOTS * SLOT, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
			 (off_t)(KFIBER_MAP_STACKS | (uint64_t)SHIFT << KFIBER_MAP_STACKS_SHIFT));
	r->blocks = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd,
			 KFIBER_MAP_FIBERS);
	return r->stacks == MAP_FAILED || r->blocks == MAP_FAILED ? -1 : 0;
}

static void raw_close(struct raw *r)
{
	munmap(r->stacks, SLOTS * SLOT);
	munmap(r->blocks, PAGE);
	close(r->fd);
	close(r->zero);
}

/* Page @n from the top of a slot, from 0. */
static char *page_of(struct raw *r, unsigned int slot, unsigned int n)
{
	return r->stacks + (slot + 1) * SLOT - (n + 1) * PAGE;
}

/* The kernel writes there: what is refused is an error and not a signal. */
static bool touch(struct raw *r, char *at)
{
	return read(r->zero, at, 1) == 1;
}

TEST_F(tracing, off_by_itself)
{
	struct raw r;
	struct event e[4];

	ASSERT_TRUE(write_file(INSTANCE "/trace", "\n"));
	ASSERT_EQ(0, raw_open(&r));
	EXPECT_TRUE(touch(&r, page_of(&r, 0, 0)));
	raw_close(&r);
	ASSERT_EQ(0, read_events("grow", getpid(), e, 4));
}

TEST_F(tracing, grow)
{
	struct kfiber_start start = { .size = sizeof(start), .pages = 3 };
	struct event e[8];
	struct raw r;

	ASSERT_TRUE(begin_tracing());
	ASSERT_EQ(0, raw_open(&r));
	EXPECT_TRUE(touch(&r, page_of(&r, 2, 0) + 123));
	EXPECT_TRUE(touch(&r, page_of(&r, 2, 0) + 123));
	EXPECT_TRUE(touch(&r, page_of(&r, 2, 1) + 5));
	EXPECT_TRUE(touch(&r, page_of(&r, 2, 2) + 6));
	start.fiber = r.names[1];
	EXPECT_EQ(0, ioctl(r.fd, KFIBER_IOC_START, &start));
	raw_close(&r);

	ASSERT_EQ(4, read_events("grow", getpid(), e, 8));
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(r.names[2], e[i].fiber);
		EXPECT_EQ(SHIFT, e[i].shift);
		EXPECT_EQ(2, e[i].slot);
	}
	/* One page, then as many as there are. */
	EXPECT_EQ(0, e[0].before);
	EXPECT_EQ(1, e[0].after);
	EXPECT_EQ(page_of(&r, 2, 0) + 123, (char *)e[0].address);
	EXPECT_EQ(1, e[1].before);
	EXPECT_EQ(2, e[1].after);
	EXPECT_EQ(page_of(&r, 2, 1) + 5, (char *)e[1].address);
	EXPECT_EQ(2, e[2].before);
	EXPECT_EQ(4, e[2].after);
	EXPECT_EQ(page_of(&r, 2, 2) + 6, (char *)e[2].address);
	/* Not by a fault. */
	EXPECT_EQ(r.names[1], e[3].fiber);
	EXPECT_EQ(1, e[3].slot);
	EXPECT_EQ(0, e[3].before);
	EXPECT_EQ(3, e[3].after);
	EXPECT_EQ(0, e[3].address);
}

TEST_F(tracing, refuse)
{
	struct kfiber_start start = { .size = sizeof(start), .pages = 7 };
	const struct {
		unsigned int slot;
		const char *reason;
		unsigned int pages;
	} want[] = {
		{ 0, "guard", 0 }, { 1, "limit", 1 }, { 2, "owner", 1 }, { 3, "free", 0 },
		{ 7, "free", 0 }, { 0, "domain", 0 }, { 0, "domain", 0 },
	};
	struct event e[8];
	char *at[7] = { 0 };
	struct raw r;
	int i;

	ASSERT_TRUE(begin_tracing());
	ASSERT_EQ(0, raw_open(&r));
	at[0] = r.stacks + GUARD - 1;
	r.blocks[1].stack_limit = 2;
	EXPECT_TRUE(touch(&r, page_of(&r, 1, 0)));
	at[1] = page_of(&r, 1, 2);
	EXPECT_TRUE(touch(&r, page_of(&r, 2, 0)));
	r.blocks[2].sp = (uintptr_t)page_of(&r, 2, 0) + 2048;
	r.blocks[2].word |= KFIBER_PARKED;
	at[2] = page_of(&r, 2, 1);
	EXPECT_EQ(0, raw_call(r.fd, KFIBER_IOC_FREE, &r.names[3], 1));
	at[3] = page_of(&r, 3, 0);
	at[4] = page_of(&r, 7, 0);
	for (i = 0; i < 5; i++)
		EXPECT_FALSE(touch(&r, at[i]));
	/* All that the domain may have: 12 pages in slot 1, one in slot 2, 7 in slot 3. */
	r.blocks[1].stack_limit = 0;
	for (i = 1; i < 12; i++)
		EXPECT_TRUE(touch(&r, page_of(&r, 1, i)));
	EXPECT_EQ(0, raw_call(r.fd, KFIBER_IOC_ALLOC, &r.names[3], 1));
	start.fiber = r.names[3];
	EXPECT_EQ(0, ioctl(r.fd, KFIBER_IOC_START, &start));
	EXPECT_EQ(7, start.pages);
	at[5] = page_of(&r, 0, 0);
	EXPECT_FALSE(touch(&r, at[5]));
	start.fiber = r.names[0];
	EXPECT_EQ(-1, ioctl(r.fd, KFIBER_IOC_START, &start));
	EXPECT_EQ(EAGAIN, errno);
	raw_close(&r);

	ASSERT_EQ(7, read_events("refuse", getpid(), e, 8));
	for (i = 0; i < 7; i++) {
		EXPECT_EQ(want[i].slot < 4 ? r.names[want[i].slot] : 0, e[i].fiber);
		EXPECT_EQ(SHIFT, e[i].shift);
		EXPECT_EQ(want[i].slot, e[i].slot);
		EXPECT_STREQ(want[i].reason, e[i].why);
		EXPECT_EQ(want[i].pages, e[i].pages);
		EXPECT_EQ(at[i], (char *)e[i].address);
	}
}

/* --- trimming --------------------------------------------------------------------- */

/* Touches @bytes of its stack, from the top down, as calls do. */
static __attribute__((noinline)) void go_deep(size_t bytes)
{
	volatile char *frame = __builtin_alloca(bytes);

	for (size_t i = bytes; i; i -= i < 512 ? i : 512)
		frame[i - 1] = 1;
}

static void *deep_then_park(void *arg)
{
	go_deep(100 * KIB);
	kf_park(KF_FOREVER);
	return NULL;
}

static uint64_t trimmed(void)
{
	struct kf_stats s = { .size = sizeof(s) };

	return kf_stats(&s) ? 0 : s.stack_trimmed;
}

/* Pages that were trimmed in all, as the module counts them. */
static uint64_t counted;

/* Two fibers have much to give: until they have given it. */
static int trim_two(void *make_trim)
{
	uint64_t end = kf_after(20000 * MS);
	kf_fiber_t fibers[2];

	for (int i = 0; i < 2; i++)
		if (kf_spawn(&fibers[i], NULL, deep_then_park, NULL))
			return -1;
	kf_sleep(20 * MS);				/* they park: nothing else to do */
	while (trimmed() < 2 * 96 * KIB / PAGE && kf_now() < end)
		if (!((bool (*)(void))make_trim)())
			return -2;
	counted = trimmed();
	for (int i = 0; i < 2; i++)
		if (kf_unpark(fibers[i]) || kf_join(fibers[i], NULL))
			return -3;
	return kf_now() < end ? 0 : -4;
}

static void expect_trims(struct __test_metadata *_metadata, bool (*make_trim)(void), const char *why)
{
	static struct event e[1000];
	uint64_t pages = 0;
	int n, i;

	ASSERT_TRUE(begin_tracing());
	ASSERT_EQ(0, run(1, trim_two, (void *)make_trim));
	n = read_events("trim", getpid(), e, 1000);
	ASSERT_LE(1, n);
	for (i = 0; i < n; i++) {
		EXPECT_STREQ(why, e[i].why);
		/* The two, the first one, and what the pool of the processor was given. */
		if (e[i].pages)
			EXPECT_LE(3, e[i].fibers);
		EXPECT_GE(64, e[i].fibers);
		pages += e[i].pages;
	}
	/* Another that is due by age may come after it was counted. */
	EXPECT_LE(counted, pages);
}

static bool ask(void)
{
	return kf_trim() >= 0;
}

TEST_F(tracing, trim_when_asked)
{
	expect_trims(_metadata, ask, "ioctl");
}

static bool wait_for_age(void)
{
	return !kf_sleep(10 * MS);
}

TEST_F(tracing, trim_by_age)
{
	ASSERT_TRUE(write_file(TRIM_AFTER, "50"));
	expect_trims(_metadata, wait_for_age, "age");
}

/* Makes the kernel ask all its shrinkers, as reclaim does. */
static bool drop_caches(void)
{
	return write_file("/proc/sys/vm/drop_caches", "2");
}

TEST_F(tracing, trim_by_the_shrinker)
{
	expect_trims(_metadata, drop_caches, "shrinker");
}

enum { MANY = 300 };

static uint64_t pooled_pages(void)
{
	struct kf_stats s = { .size = sizeof(s) };

	return kf_stats(&s) ? 0 : s.pool_pages;
}

/* Trims them when they are parked, then when they are in the module's pool. */
static int trim_many(void *make_trim)
{
	static kf_fiber_t fibers[MANY];
	uint64_t end = kf_after(100000 * MS);

	for (int i = 0; i < MANY; i++)
		if (kf_spawn(&fibers[i], NULL, deep_then_park, NULL))
			return -1;
	kf_sleep(20 * MS);
	while (trimmed() < MANY * 96 * KIB / PAGE)
		if (!((bool (*)(void))make_trim)() || kf_now() > end)
			return -2;
	for (int i = 0; i < MANY; i++)
		if (kf_unpark(fibers[i]) || kf_join(fibers[i], NULL))
			return -3;
	while (pooled_pages() > 16)
		if (kf_sleep(10 * MS) || kf_now() > end)
			return -4;
	return 0;
}

/*
 * Who frees fibers waits for the module's mutex, and each time that something is unmapped all
 * CPUs are interrupted: with the mutex it is done some times, then that is let go.
 */
static void expect_short_holds(struct __test_metadata *_metadata, bool (*make_trim)(void))
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 1, .pool_bytes = 16 * PAGE,
	};
	static struct event e[10000];
	uint64_t by_pool = 0, in_all = 0;
	int n;

	uint64_t end = kf_after(60000 * MS);

	ASSERT_TRUE(begin_tracing());
	ASSERT_EQ(0, kf_run(&config, trim_many, (void *)make_trim));
	/* They leave the pool first, and are traced when they are free. */
	do {
		in_all = 0;
		by_pool = 0;
		n = read_events("trim", getpid(), e, 10000);
		for (int i = 0; i < n; i++) {
			in_all += e[i].pages;
			by_pool += strcmp(e[i].why, "pool") ? 0 : e[i].pages;
		}
		/* The rest is in the processor's pool. */
	} while (by_pool < MANY - 64 - 16 && kf_now() < end && !usleep(10000));
	for (int i = 0; i < n; i++)
		EXPECT_GE(strcmp(e[i].why, "pool") ? 8 : 0, e[i].unmaps);
	EXPECT_LE(MANY * 24, in_all);
	EXPECT_LE(MANY - 64 - 16, by_pool);
}

TEST_F(tracing, trimming_many_holds_off_nobody)
{
	expect_short_holds(_metadata, ask);
}

TEST_F(tracing, the_shrinker_holds_off_nobody)
{
	expect_short_holds(_metadata, drop_caches);
}

/* 60 MiB have been touched when they park; what they need is 2.4. */
static int six_hundred_deep(void *arg)
{
	for (int i = 0; i < 600; i++) {
		if (kf_spawn(NULL, &(struct kf_attr){ .size = sizeof(struct kf_attr),
						      .flags = KF_DETACHED },
			     deep_then_park, NULL))
			_exit(1);
		kf_yield();
	}
	_exit(0);
}

TEST_F(tracing, trim_in_a_tight_cgroup)
{
	static struct event e[10000];
	uint64_t pages = 0;
	pid_t child;
	int n, status;

	if (mkdir(CGROUP, 0755) || !write_file(CGROUP "/memory.max", "25165824")) {
		rmdir(CGROUP);
		SKIP(return, "no memory cgroup");
	}
	ASSERT_TRUE(begin_tracing());
	child = fork();
	if (!child) {
		if (!write_file(CGROUP "/cgroup.procs", "0"))
			_exit(99);
		_exit(run(1, six_hundred_deep, NULL));
	}
	status = wait_for(child);
	rmdir(CGROUP);
	ASSERT_TRUE(WIFEXITED(status)) TH_LOG("status %#x", status);
	ASSERT_EQ(0, WEXITSTATUS(status));
	n = read_events("trim", child, e, 10000);
	for (int i = 0; i < n; i++)
		if (!strcmp(e[i].why, "tight"))
			pages += e[i].pages;
	EXPECT_LT(24ul << 20, pages * PAGE);
}

/* --- waits for files ---------------------------------------------------------------- */

struct waiting {
	int ends[2];
	kf_fiber_t fiber;
	struct kf_stats before, during, after;
};

static void *reads_three_times(void *arg)
{
	struct waiting *w = arg;
	char byte;

	if (kf_read(w->ends[0], &byte, 1, KF_FOREVER) != 1)	/* waits */
		return arg;
	if (kf_read(w->ends[0], &byte, 1, KF_FOREVER) != 1)	/* is there */
		return arg;
	if (kf_read(w->ends[0], &byte, 1, kf_after(MS)) != -ETIMEDOUT)
		return arg;
	return NULL;
}

static int wait_three_times(void *arg)
{
	struct waiting *w = arg;
	void *failed;

	w->before.size = sizeof(w->before);
	w->during.size = sizeof(w->during);
	w->after.size = sizeof(w->after);
	if (kf_stats(&w->before) || kf_spawn(&w->fiber, NULL, reads_three_times, w))
		return -1;
	do {
		kf_yield();
		if (kf_stats(&w->during))
			return -2;
	} while (!w->during.file_waits);
	/* Both at once: the second byte is there when it is read. */
	if (write(w->ends[1], "ab", 2) != 2 || kf_join(w->fiber, &failed) || failed)
		return -3;
	return kf_stats(&w->after);
}

TEST_F(tracing, waits_for_files)
{
	struct waiting w = { };
	struct event e[8];

	ASSERT_EQ(0, pipe(w.ends));
	ASSERT_TRUE(begin_tracing());
	ASSERT_EQ(0, run(1, wait_three_times, &w));
	EXPECT_EQ(0, w.before.file_waits);
	EXPECT_EQ(1, w.during.file_waiting);
	EXPECT_EQ(2, w.after.file_waits);
	EXPECT_EQ(1, w.after.file_wakes);
	EXPECT_EQ(0, w.after.file_waiting);
	ASSERT_EQ(2, read_events("file_wait", getpid(), e, 8));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(w.fiber, e[i].fiber);
		EXPECT_EQ(w.ends[0], e[i].fd);
		EXPECT_EQ(POLLIN, e[i].events & (POLLIN | POLLOUT));
	}
	ASSERT_EQ(1, read_events("file_wake", getpid(), e, 8));
	EXPECT_EQ(w.fiber, e[0].fiber);
	ASSERT_EQ(2, read_events("file_end", getpid(), e, 8));
	EXPECT_EQ(1, e[0].fired);
	EXPECT_EQ(0, e[1].fired);
	close(w.ends[0]);
	close(w.ends[1]);
}

/* Nobody waits in a domain that has ended: that is seen when all is done. */
TEST_F(tracing, refused_wait_has_an_end)
{
	int ends[2];
	char c;
	struct kfiber_file file = {
		.size = sizeof(file), .operation = KFIBER_FILE_READ, .buffer = (uintptr_t)&c,
		.length = 1,
	};
	struct kfiber_simple simple = { .size = sizeof(simple) };
	struct event e[4];
	struct raw r;

	ASSERT_EQ(0, pipe(ends));
	ASSERT_TRUE(begin_tracing());
	ASSERT_EQ(0, raw_open(&r));
	ASSERT_EQ(0, ioctl(r.fd, KFIBER_IOC_SHUTDOWN, &simple));
	file.fd = ends[0];
	file.fiber = r.names[3];
	ASSERT_EQ(-1, ioctl(r.fd, KFIBER_IOC_FILE, &file));
	ASSERT_EQ(ESHUTDOWN, errno);
	raw_close(&r);
	ASSERT_EQ(1, read_events("file_wait", getpid(), e, 4));
	ASSERT_EQ(1, read_events("file_end", getpid(), e, 4));
	EXPECT_EQ(r.names[3], e[0].fiber);
	EXPECT_EQ(0, e[0].fired);
	close(ends[0]);
	close(ends[1]);
}

TEST_HARNESS_MAIN
