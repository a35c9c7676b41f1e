// SPDX-License-Identifier: GPL-2.0
/*
 * A process that ruins what it shares with the kernel harms itself only. Each
 * attack runs in a child, which may crash or hang: it must be possible to kill
 * and reap it, and afterwards others must find the module in order. That the
 * kernel is well is for the kernel's log to say; tools/vm reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <kfiber/kfiber.h>
#include <linux/kfiber.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "slow.h"

#define DEVICE "/dev/kfiber"
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define ATTACK_MS (300 + (int)slowly(1200))
#define BARE_MS (300 + (int)slowly(700))
#define ABUSE_MS 350
#define REAP_MS 10000

#define PAGE 4096ul

/* What the child did, for the parent to see that it did. */
struct report {
	uint64_t writes;		/* to shared pages */
	uint64_t calls;			/* that were to do harm */
	uint64_t fibers;		/* ended in the workload */
	uint64_t seen;			/* when a bystander ran last */
	uint64_t stuck;			/* what others did while it stood still */
	int wrong;			/* results that must not be */
};

static struct report *report;

static void report_create(struct __test_metadata *_metadata)
{
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, report);
}

static void count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

/* xorshift64*: small, and the same everywhere. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static uint64_t random_below(uint64_t *state, uint64_t bound)
{
	return (next_random(state) >> 16) % bound;
}

/* One of the kernel's objects in the child's address space. */
struct area {
	uintptr_t start;
	size_t size;
	size_t present;			/* bytes that can be touched; tables only */
	uint64_t offset;		/* KFIBER_MAP_* */
};

enum table { DOMAIN, PROCESSORS, WORKERS, FIBERS, TABLES };

#define ARENA TABLES			/* in a set of tables: the first arena */
#define SET(table) (1u << (table))
#define ALL_TABLES (SET(TABLES) - 1)

static struct area areas[TABLES + 1];

/* An arena is mapped in pieces, one behind the other. */
static void area_found(struct area *area, unsigned long start, unsigned long end,
		       unsigned long offset)
{
	if (area == &areas[ARENA] && area->size && start == area->start + area->size)
		area->size += end - start;
	else
		*area = (struct area){ .start = start, .size = end - start, .offset = offset };
}

/* The kernel's own view, whatever the library calls it. */
static void areas_find(void)
{
	unsigned long start, end, offset;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");

	areas[ARENA].size = 0;
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, DEVICE) &&
		    sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3)
			area_found(&areas[offset >= KFIBER_MAP_STACKS ?
					  ARENA : offset >> KFIBER_MAP_STACKS_SHIFT],
				   start, end, offset);
	if (maps)
		fclose(maps);
}

/* A read that fails instead of a SIGBUS. */
static bool can_read(uintptr_t address)
{
	uint64_t word;
	struct iovec to = { .iov_base = &word, .iov_len = sizeof(word) };
	struct iovec from = { .iov_base = (void *)address, .iov_len = sizeof(word) };

	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == sizeof(word);
}

/* Tables grow while they are used. */
static void areas_update(void)
{
	int i;

	for (i = 0; i < TABLES; i++)
		while (areas[i].present < areas[i].size &&
		       can_read(areas[i].start + areas[i].present))
			areas[i].present += PAGE;
}

/* Waits for the workload to begin. Return: whether it did. */
static bool areas_wait(unsigned int set)
{
	int ms, i;

	for (ms = 0; ms < 5000; ms++) {
		bool all = true;

		areas_find();
		areas_update();
		for (i = 0; i < TABLES; i++)
			all &= !(set & SET(i)) || areas[i].present;
		if (all && (!(set & SET(ARENA)) || areas[ARENA].size))
			return true;
		usleep(1000);
	}
	return false;
}

/* Values that are more harmful than most. */
static uint64_t harmful(uint64_t *seed)
{
	static const uint64_t values[] = {
		0, 1, 2, 3, ~0ull, 1ull << 63, 1ull << 32, (1ull << 32) - 1, 256, 257, 128, 129,
		0xffff888000000000ull, KFIBER_NEVER - 1, INT64_MAX,
	};
	uint64_t kind = random_below(seed, 4);

	if (kind == 0)
		return next_random(seed);
	if (kind == 1)
		return (1 + random_below(seed, 3)) << 32 | random_below(seed, 40);
	if (kind == 2)
		return random_below(seed, 300);
	return values[random_below(seed, ARRAY_LENGTH(values))];
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void store(void *where, uint64_t value)
{
	__atomic_store_n((uint64_t *)where, value, __ATOMIC_RELAXED);
	count(&report->writes);
}

static void store32(void *where, uint32_t value)
{
	__atomic_store_n((uint32_t *)where, value, __ATOMIC_RELAXED);
	count(&report->writes);
}

static void *area_at(enum table table, size_t offset)
{
	return (void *)(areas[table].start + offset);
}

/* Any word of what is there. */
static void scribble_word(enum table table, uint64_t *seed)
{
	uint64_t word = random_below(seed, areas[table].present / 8);

	store(area_at(table, word * 8), harmful(seed));
}

static void scribble_domain(uint64_t *seed)
{
	store(area_at(DOMAIN, random_below(seed, sizeof(struct kfiber_domain_block) / 8) * 8),
	      harmful(seed));
}

/* Heads and tails most: the slots are many more. */
static void scribble_processor(uint64_t *seed)
{
	static const size_t ends[] = {
		offsetof(struct kfiber_processor_block, local_head),
		offsetof(struct kfiber_processor_block, local_tail),
		offsetof(struct kfiber_processor_block, inbox_head),
		offsetof(struct kfiber_processor_block, inbox_tail),
	};
	size_t block = random_below(seed, areas[PROCESSORS].present / PAGE) * PAGE;
	size_t end = ends[random_below(seed, ARRAY_LENGTH(ends))];

	switch (random_below(seed, 4)) {
	case 0:
		store32(area_at(PROCESSORS, block + end), harmful(seed));
		return;
	case 1:						/* off by a few, so that it counts */
		store32(area_at(PROCESSORS, block + end),
			*(uint32_t *)area_at(PROCESSORS, block + end) + random_below(seed, 9) - 4);
		return;
	case 2:
		store(area_at(PROCESSORS, block), harmful(seed));	/* next */
		return;
	}
	store(area_at(PROCESSORS, block + 320 + random_below(seed, 384) * 8), harmful(seed));
}

/* Those that are likely to exist, of the 64 in a page. */
static void scribble_worker(uint64_t *seed)
{
	size_t block = random_below(seed, 8) * sizeof(struct kfiber_worker_block);

	store(area_at(WORKERS, block + random_below(seed, 8) * 8), harmful(seed));
}

static uint64_t random_word(uint64_t *seed)
{
	return random_below(seed, 4) << 32 | random_below(seed, 6) |
	       (next_random(seed) & 0x1f00);
}

static void scribble_fiber(uint64_t *seed)
{
	size_t index = random_below(seed, areas[FIBERS].present /
				    sizeof(struct kfiber_fiber_block));
	struct kfiber_fiber_block *f = area_at(FIBERS, index * sizeof(*f));

	switch (random_below(seed, 6)) {
	case 0:
	case 1:
		store(&f->word, random_word(seed));
		return;
	case 2:						/* a timer that has never done */
		store(&f->deadline, now() + random_below(seed, 100000));
		return;
	case 3:
		store(&f->joiner, harmful(seed));
		return;
	case 4:
		store(&f->armed, harmful(seed));
		return;
	}
	/* All but the stack pointer, which would end the process at once. */
	store((uint64_t *)f + 4 + random_below(seed, 12), harmful(seed));
}

static void scribble_everything(uint64_t *seed)
{
	scribble_word(random_below(seed, TABLES), seed);
}

static void scribble_live_zero(uint64_t *seed)
{
	store(&((struct kfiber_domain_block *)area_at(DOMAIN, 0))->live, 0);
}

static void scribble_live_huge(uint64_t *seed)
{
	store(&((struct kfiber_domain_block *)area_at(DOMAIN, 0))->live,
	      1ull << 62 | next_random(seed));
}

/*
 * struct attack - what the scribbling thread does
 * @pause_us: after some writes; 0: none. Slow attacks get further.
 * @stop: when to end, or NULL
 */
struct attack {
	void (*scribble)(uint64_t *seed);
	uint64_t seed;
	unsigned int pause_us;
	unsigned int tables;
	const bool *stop;
};

static void *scribble_thread(void *arg)
{
	struct attack *a = arg;
	uint64_t i;

	if (!areas_wait(a->tables)) {
		report->wrong = 1;
		return NULL;
	}
	for (i = 1; !a->stop || !__atomic_load_n(a->stop, __ATOMIC_RELAXED); i++) {
		a->scribble(&a->seed);
		if (i % 256 == 0)
			areas_update();
		if (a->pause_us && random_below(&a->seed, 8) == 0)
			usleep(random_below(&a->seed, a->pause_us));
	}
	return NULL;
}

/* Who crashes stays where it is, so that the others' play goes on. */
static void on_crash(int signal)
{
	for (;;)
		pause();
}

static void survive_crashes(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP };
	struct sigaction action = { .sa_handler = on_crash };
	unsigned int i;

	for (i = 0; i < ARRAY_LENGTH(signals); i++)
		sigaction(signals[i], &action, NULL);
}

/* The workload: everything that fibers do, for ever or once. */

static void *play_yield(void *arg)
{
	int i;

	for (i = 0; i < 20; i++)
		kf_yield();
	return arg;
}

static void *play_sleep(void *arg)
{
	kf_sleep(200000);
	kf_park(kf_after(100000));
	return arg;
}

static void *play_block(void *arg)
{
	usleep(200);
	return arg;
}

static void *play_park(void *arg)
{
	kf_park(kf_after(1000000000));
	return arg;
}

static void *play_spawn(void *arg)
{
	kf_fiber_t parked, child;
	void *value;

	if (kf_spawn(&parked, NULL, play_park, arg))
		return NULL;
	kf_yield();
	kf_unpark(parked);
	if (kf_spawn(&child, NULL, play_yield, arg) || kf_join(child, &value) || value != arg)
		return NULL;
	return kf_join(parked, &value) ? NULL : value;
}

#define PLAYERS 24

/* Return: how many fibers came to a wrong end. */
static int play_round(void)
{
	static void *(*const plays[])(void *) = { play_yield, play_sleep, play_block, play_spawn };
	kf_fiber_t fibers[PLAYERS] = { 0 };
	void *value;
	int i, wrong = 0;

	for (i = 0; i < PLAYERS; i++)
		wrong += kf_spawn(&fibers[i], NULL, plays[i % 4], &fibers[i]) != 0;
	for (i = 0; i < PLAYERS; i++) {
		wrong += kf_join(fibers[i], &value) || value != &fibers[i];
		count(&report->fibers);
	}
	return wrong;
}

static int play(void *arg)
{
	int wrong = 0;
	long i;

	for (i = 0; i < (long)arg; i++)
		wrong += play_round();
	return wrong;
}

static int run_workload(long rounds)
{
	struct kf_config config = { .size = sizeof(config), .processors = 2, .max_workers = 40 };

	return kf_run(&config, play, (void *)rounds);
}

#define FOR_EVER 1000000000l

static void run_under_attack(struct attack *attack)
{
	pthread_t thread;

	survive_crashes();
	if (pthread_create(&thread, NULL, scribble_thread, attack))
		_exit(1);
	run_workload(FOR_EVER);
	/* With live = 0 the domain ends early, and that is right. */
	_exit(0);
}

/* Return: whether @child ended within @ms. */
static bool reap(pid_t child, int ms, int *status)
{
	for (; ms > 0; ms -= 5) {
		if (waitpid(child, status, WNOHANG) == child)
			return true;
		usleep(5000);
	}
	return false;
}

/*
 * Lets @child go on for @ms, and longer if *@done is no more than @before by then; after that
 * it must be possible to end it. @done may be NULL.
 */
static void end_child(struct __test_metadata *_metadata, pid_t child, int ms,
		      const volatile uint64_t *done, uint64_t before)
{
	int status;

	ASSERT_GT(child, 0);
	if (reap(child, ms, &status))
		return;
	for (; done && *done == before && ms < REAP_MS; ms += 100)
		if (reap(child, 100, &status))
			return;
	ASSERT_EQ(0, kill(child, SIGKILL));
	ASSERT_TRUE(reap(child, REAP_MS, &status)) TH_LOG("it cannot be killed");
}

/* Somebody else's fibers, who has done nothing. */
static void expect_module_in_order(struct __test_metadata *_metadata)
{
	uint64_t before = report->fibers;
	int status = -1;
	pid_t child = fork();

	if (!child)
		_exit(run_workload(3) ? 1 : 42);
	if (!reap(child, 20000, &status)) {
		kill(child, SIGKILL);
		ASSERT_TRUE(false) TH_LOG("a well-behaved process hangs");
	}
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(42, WEXITSTATUS(status));
	ASSERT_EQ(before + 3 * PLAYERS, report->fibers);
}

FIXTURE(scribble)
{
};

FIXTURE_VARIANT(scribble)
{
	void (*scribble)(uint64_t *seed);
};

FIXTURE_VARIANT_ADD(scribble, domain)
{
	.scribble = scribble_domain,
};

FIXTURE_VARIANT_ADD(scribble, processors)
{
	.scribble = scribble_processor,
};

FIXTURE_VARIANT_ADD(scribble, workers)
{
	.scribble = scribble_worker,
};

FIXTURE_VARIANT_ADD(scribble, fibers)
{
	.scribble = scribble_fiber,
};

FIXTURE_VARIANT_ADD(scribble, everything)
{
	.scribble = scribble_everything,
};

FIXTURE_VARIANT_ADD(scribble, live_zero)
{
	.scribble = scribble_live_zero,
};

FIXTURE_VARIANT_ADD(scribble, live_huge)
{
	.scribble = scribble_live_huge,
};

FIXTURE_SETUP(scribble)
{
	report_create(_metadata);
}

FIXTURE_TEARDOWN(scribble)
{
}

/* One quick attack and one that leaves the victim time to act on it. */
TEST_F(scribble, under_the_library)
{
	uint64_t seed;
	pid_t child;

	for (seed = 1; seed <= 2; seed++) {
		struct attack attack = {
			.scribble = variant->scribble, .seed = seed * 0x9e3779b97f4a7c15ull,
			.pause_us = seed % 2 ? 0 : 1000, .tables = ALL_TABLES,
		};
		uint64_t writes = report->writes;

		child = fork();
		if (!child)
			run_under_attack(&attack);
		end_child(_metadata, child, ATTACK_MS, &report->writes, writes);
		TH_LOG("seed %" PRIu64 ": %" PRIu64 " writes, %" PRIu64 " fibers", seed,
		       report->writes - writes, report->fibers);
		ASSERT_EQ(0, report->wrong);
		ASSERT_LT(writes, report->writes);
		expect_module_in_order(_metadata);
	}
}

/*
 * The same against threads that call the kernel and never use what it answers:
 * they do not crash, so it is the kernel that has to live with it all.
 */
#define CALLERS 6
#define RAW_WORKERS 8
#define RAW_FIBERS 256

struct caller {
	pthread_t thread;
	uint64_t seed;
	int fd;
	uint32_t worker;
};

static bool callers_stop;

/* Names as the blocks have them now, so that calls get past the first checks. */
static uint64_t likely_name(uint64_t *seed)
{
	uint64_t index = random_below(seed, RAW_FIBERS);
	struct kfiber_fiber_block *f;

	if ((index + 1) * sizeof(*f) > areas[FIBERS].present)
		return harmful(seed);
	f = area_at(FIBERS, index * sizeof(*f));
	return (f->word & ~KFIBER_INDEX_MASK) | index;
}

static int call_fibers(struct caller *c, unsigned int command)
{
	uint64_t names[16];
	struct kfiber_fibers args = {
		.size = sizeof(args), .count = 1 + random_below(&c->seed, 16),
		.stack_shift = command == KFIBER_IOC_ALLOC ? 16 : 0, .fibers = (uintptr_t)names,
	};
	unsigned int i;

	for (i = 0; i < args.count; i++)
		names[i] = likely_name(&c->seed);
	return ioctl(c->fd, command, &args);
}

static int call_next(struct caller *c)
{
	struct kfiber_next args = {
		.size = sizeof(args), .worker = c->worker,
		.flags = random_below(&c->seed, 4) ? 0 : random_below(&c->seed, 2) ?
			 KFIBER_NEXT_OFFER : KFIBER_NEXT_ONLY,
		.fiber = likely_name(&c->seed),
		.arm = random_below(&c->seed, 2) ? likely_name(&c->seed) : 0,
	};

	return ioctl(c->fd, KFIBER_IOC_NEXT, &args);
}

static int call_kick(struct caller *c)
{
	struct kfiber_kick args = { .size = sizeof(args), .flags = random_below(&c->seed, 2) };

	return ioctl(c->fd, KFIBER_IOC_KICK, &args);
}

static int call_simple(struct caller *c, unsigned int command)
{
	struct kfiber_simple args = { .size = sizeof(args), .worker = c->worker };
	int err = ioctl(c->fd, command, &args);

	if (!err && command == KFIBER_IOC_ATTACH)
		c->worker = args.worker;
	return err;
}

static void call_something(struct caller *c)
{
	static const unsigned int commands[] = {
		KFIBER_IOC_READY, KFIBER_IOC_ARM, KFIBER_IOC_ALLOC, KFIBER_IOC_FREE,
	};

	switch (random_below(&c->seed, 8)) {
	case 0:
	case 1:
		call_next(c);
		break;
	case 2:
		call_kick(c);
		break;
	case 3:
		call_simple(c, KFIBER_IOC_ACQUIRE);
		break;
	case 4:						/* blocks: its processor goes */
		usleep(random_below(&c->seed, 200));
		break;
	case 5:
		call_simple(c, KFIBER_IOC_DETACH);
		call_simple(c, KFIBER_IOC_ATTACH);
		break;
	default:
		call_fibers(c, commands[random_below(&c->seed, ARRAY_LENGTH(commands))]);
	}
}

static void *call_kernel(void *arg)
{
	struct caller *c = arg;

	call_simple(c, KFIBER_IOC_ATTACH);
	while (!__atomic_load_n(&callers_stop, __ATOMIC_RELAXED)) {
		call_something(c);
		count(&report->calls);
	}
	return NULL;
}

static void *map_table(int fd, enum table table, size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (uint64_t)table << KFIBER_MAP_STACKS_SHIFT);
}

static int raw_domain(void)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 2, .max_workers = RAW_WORKERS,
		.max_fibers = RAW_FIBERS,
	};
	static const size_t sizes[TABLES] = {
		PAGE, 2 * PAGE, PAGE, RAW_FIBERS * sizeof(struct kfiber_fiber_block),
	};
	int fd = open(DEVICE, O_RDWR);
	int i;

	if (fd < 0 || ioctl(fd, KFIBER_IOC_SETUP, &setup))
		return -1;
	for (i = 0; i < TABLES; i++)
		if (map_table(fd, i, sizes[i]) == MAP_FAILED)
			return -1;
	return fd;
}

static void on_signal(int signal)
{
}

/* Most that NEXT finds is soon found: signals and READY get them out of it. */
static void prod(struct caller *callers, int fd)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct caller self = { .fd = fd, .seed = callers[0].seed ^ 0x55 };
	uint64_t end = now() + BARE_MS * 1000000ull;

	sigaction(SIGUSR1, &action, NULL);
	while (now() < end) {
		pthread_kill(callers[random_below(&self.seed, CALLERS)].thread, SIGUSR1);
		call_fibers(&self, KFIBER_IOC_READY);
		usleep(random_below(&self.seed, 100));
	}
}

/*
 * SHUTDOWN must get all threads out of the kernel, whatever is in the pages.
 * Return: the child's exit status.
 */
static int raw_calls(struct attack *attack)
{
	struct caller callers[CALLERS];
	struct kfiber_simple simple = { .size = sizeof(simple) };
	pthread_t scribbler;
	int fd = raw_domain();
	bool stop = false;
	int i;

	if (fd < 0)
		return 1;
	attack->stop = &stop;
	pthread_create(&scribbler, NULL, scribble_thread, attack);
	for (i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){ .fd = fd, .seed = attack->seed + i + 1 };
		pthread_create(&callers[i].thread, NULL, call_kernel, &callers[i]);
	}
	prod(callers, fd);
	__atomic_store_n(&callers_stop, true, __ATOMIC_RELAXED);
	if (ioctl(fd, KFIBER_IOC_SHUTDOWN, &simple))
		return 2;
	for (i = 0; i < CALLERS; i++)
		pthread_join(callers[i].thread, NULL);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(scribbler, NULL);
	return 42;
}

TEST_F(scribble, under_bare_calls)
{
	struct attack attack = {
		.scribble = variant->scribble, .seed = 0x5851f42d4c957f2dull, .pause_us = 200,
		.tables = ALL_TABLES,
	};
	pid_t child = fork();
	int status = -1;

	if (!child)
		_exit(raw_calls(&attack));
	if (!reap(child, BARE_MS + REAP_MS, &status)) {
		kill(child, SIGKILL);
		EXPECT_TRUE(false) TH_LOG("threads do not come out of the kernel");
		ASSERT_TRUE(reap(child, REAP_MS, &status)) TH_LOG("it cannot be killed");
	}
	TH_LOG("%" PRIu64 " writes, %" PRIu64 " calls", report->writes, report->calls);
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(42, WEXITSTATUS(status));
	ASSERT_EQ(0, report->wrong);
	ASSERT_LT(0, report->writes);
	/* How many more is the machine's speed. */
	ASSERT_LT(100, report->calls);
	expect_module_in_order(_metadata);
}

/*
 * A fiber that is always somebody's next and never anybody's: NEXT sees work,
 * may not take it, and looks again, for as long as it stays like that. The thread
 * must remain one among others: a kernel that does not preempt itself has to
 * offer its CPU.
 */
static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		_exit(3);
}

/*
 * As two fibers do that wake each other: it holds a processor and is busy. In a
 * critical section it keeps the processor.
 */
static void *be_busy(void *arg)
{
	struct caller *c = arg;
	struct kfiber_processor_block *p;
	struct kfiber_worker_block *w;
	uint64_t i;

	run_on(1);
	call_simple(c, KFIBER_IOC_ATTACH);
	if (!areas_wait(SET(PROCESSORS) | SET(WORKERS)))
		_exit(4);
	w = area_at(WORKERS, c->worker * sizeof(*w));
	w->critical = 1;
	if (call_simple(c, KFIBER_IOC_ACQUIRE) || w->processor > 1)
		_exit(5);
	p = area_at(PROCESSORS, w->processor * PAGE);
	for (i = 1;; i++) {
		store(&p->next, 1ull << 32);
		store(&p->ticks, i);
		/* The other one may have taken it after all, and sleep. */
		if (i % 1024 == 0)
			call_kick(c);
	}
	return NULL;
}

static void *call_next_for_ever(void *arg)
{
	struct caller *c = arg;

	run_on(0);
	call_simple(c, KFIBER_IOC_ATTACH);
	for (;;) {
		struct kfiber_next args = { .size = sizeof(args), .worker = c->worker };

		ioctl(c->fd, KFIBER_IOC_NEXT, &args);
	}
	return NULL;
}

/* Says when it ran last. */
static void *stand_by(void *arg)
{
	run_on(0);
	for (;;)
		__atomic_store_n(&report->seen, now(), __ATOMIC_RELAXED);
	return NULL;
}

static uint64_t read_seen(void)
{
	return __atomic_load_n(&report->seen, __ATOMIC_RELAXED);
}

static uint64_t read_rounds(int fd)
{
	struct kfiber_stats stats = { .size = sizeof(stats) };

	return ioctl(fd, KFIBER_IOC_STATS, &stats) ? 0 : stats.sleeps;
}

/*
 * From another CPU: a bystander that never runs again would not tell. Time is
 * no measure where the machine is one of many; how often the other one looked
 * for work while the bystander stood still is.
 */
static void watch_bystander(int fd)
{
	uint64_t seen = 0, base = 0;

	for (;; usleep(1000)) {
		if (read_seen() != seen) {
			seen = read_seen();
			base = read_rounds(fd);
			continue;
		}
		report->calls = read_rounds(fd);
		if (read_seen() == seen && report->calls - base > report->stuck)
			report->stuck = report->calls - base;
	}
}

static void lie_about_work(void)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 2, .max_workers = 4, .max_fibers = 4,
	};
	struct caller callers[2] = { { .fd = open(DEVICE, O_RDWR) } };
	pthread_t thread;

	callers[1] = callers[0];
	if (ioctl(callers[0].fd, KFIBER_IOC_SETUP, &setup) ||
	    map_table(callers[0].fd, PROCESSORS, 2 * PAGE) == MAP_FAILED ||
	    map_table(callers[0].fd, WORKERS, PAGE) == MAP_FAILED || !areas_wait(SET(PROCESSORS)))
		_exit(2);
	run_on(1);
	pthread_create(&thread, NULL, be_busy, &callers[0]);
	pthread_create(&thread, NULL, stand_by, NULL);
	usleep(100000);
	pthread_create(&thread, NULL, call_next_for_ever, &callers[1]);
	watch_bystander(callers[0].fd);
}

TEST(work_that_cannot_be_had)
{
	pid_t child;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "takes two CPUs");
	report_create(_metadata);
	child = fork();
	if (!child)
		lie_about_work();
	end_child(_metadata, child, 4000, NULL, 0);
	TH_LOG("%" PRIu64 " rounds, %" PRIu64 " of them in a row", report->calls, report->stuck);
	ASSERT_LT(0, report->writes);
	ASSERT_LT(0, report->calls);
	/* A round takes 20 us, unless somebody else ought to run: 40 ms. */
	ASSERT_GT(10000, report->stuck);
	expect_module_in_order(_metadata);
}

/*
 * Memory management over the mappings, by the process itself, while fibers run.
 * Each try_*() returns 0 or a negative errno; what must not succeed at all it
 * counts as wrong itself.
 */
struct stretch {
	void *start;
	size_t size;
};

/* Some pages of an area: tables where they exist, stacks where they are used. */
static struct stretch any_stretch(unsigned int set, uint64_t *seed)
{
	unsigned int i = random_below(seed, TABLES + 1);
	size_t size, first, pages;

	if (!(set & SET(i)))
		i = FIBERS;
	size = i == ARENA ? 64 << 18 : areas[i].size;
	if (size > areas[i].size)
		size = areas[i].size;
	first = random_below(seed, size / PAGE);
	pages = 1 + random_below(seed, size / PAGE - first);
	return (struct stretch){ area_at(i, first * PAGE), pages * PAGE };
}

static int result(int failed)
{
	return failed ? -errno : 0;
}

static int try_munmap(struct stretch s)
{
	return result(munmap(s.start, s.size));
}

static int try_mremap(struct stretch s)
{
	void *there = mmap(NULL, s.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	/* Away and back. */
	if (mremap(s.start, s.size, s.size, MREMAP_MAYMOVE | MREMAP_FIXED, there) == MAP_FAILED)
		return -errno;
	return result(mremap(there, s.size, s.size, MREMAP_MAYMOVE | MREMAP_FIXED, s.start) ==
		      MAP_FAILED);
}

/* It would be a table of two things, or a second mapping out of nothing. */
static int try_mremap_longer(struct stretch s)
{
	if (mremap(s.start, PAGE, 16 * PAGE, MREMAP_MAYMOVE) != MAP_FAILED)
		report->wrong++;
	if (mremap(s.start, 0, PAGE, MREMAP_MAYMOVE) != MAP_FAILED)
		report->wrong++;
	return 0;
}

static int try_mprotect(struct stretch s)
{
	int err = result(mprotect(s.start, s.size, PROT_NONE));

	usleep(100);
	return err ?: result(mprotect(s.start, s.size, PROT_READ | PROT_WRITE));
}

static int try_mprotect_for_good(struct stretch s)
{
	return result(mprotect(s.start, s.size, PROT_NONE));
}

static int try_dontneed(struct stretch s)
{
	return result(madvise(s.start, s.size, MADV_DONTNEED));
}

/* There is no file to punch a hole into. */
static int try_remove(struct stretch s)
{
	if (!madvise(s.start, s.size, MADV_REMOVE))
		report->wrong++;
	return 0;
}

static int try_hugepage(struct stretch s)
{
	madvise(s.start, s.size, MADV_HUGEPAGE);
	madvise(s.start, s.size, MADV_NOHUGEPAGE);
	madvise(s.start, s.size, MADV_MERGEABLE);
	madvise(s.start, s.size, MADV_FREE);
	return 0;
}

static int try_pageout(struct stretch s)
{
	madvise(s.start, s.size, MADV_COLD);
	madvise(s.start, s.size, MADV_PAGEOUT);
	madvise(s.start, s.size, MADV_WILLNEED);
	return 0;
}

static int try_mlock(struct stretch s)
{
	int err;

	/* Fails where a page cannot come; what counts is that it ends. */
	mlock(s.start, s.size);
	err = result(munlock(s.start, s.size));
	madvise(s.start, s.size, MADV_POPULATE_WRITE);
	return err;
}

/* A child of a process with threads: nothing but system calls. */
static int fork_and_look(struct stretch s, bool inherits)
{
	pid_t child = fork();
	int status;

	if (child < 0)
		return -errno;
	if (!child)
		_exit(!inherits && can_read((uintptr_t)s.start));
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		report->wrong++;
	return 0;
}

static int try_fork(struct stretch s)
{
	return fork_and_look(s, false);
}

static int try_dontfork(struct stretch s)
{
	int err = result(madvise(s.start, s.size, MADV_DONTFORK));

	return err ?: fork_and_look(s, false);
}

/* The child gets what it should not have, and faults in it. */
static int try_dofork(struct stretch s)
{
	int err = result(madvise(s.start, s.size, MADV_DOFORK));

	return err ?: fork_and_look(s, true);
}

static int open_memory(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/proc/self/mem", O_RDWR);
	return fd;
}

/* Reads and writes back: what changed in between is lost. */
static int try_proc_mem(struct stretch s)
{
	char bytes[256];
	ssize_t n = pread(open_memory(), bytes, sizeof(bytes), (off_t)(uintptr_t)s.start);

	if (n > 0)
		n = pwrite(open_memory(), bytes, n, (off_t)(uintptr_t)s.start);
	return n < 0 && errno != EIO ? -errno : 0;
}

static int try_vm_readv(struct stretch s)
{
	static char bytes[64 * PAGE];
	struct iovec to = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct iovec from = { .iov_base = s.start, .iov_len = s.size };
	ssize_t n;

	if (from.iov_len > sizeof(bytes))
		from.iov_len = sizeof(bytes);
	n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	return n < 0 && errno != EFAULT ? -errno : 0;
}

struct abuse {
	int (*call)(struct stretch s);
	unsigned int set;
	uint64_t seed;
};

static void *abuse_thread(void *arg)
{
	struct abuse *a = arg;
	int err;

	if (!areas_wait(ALL_TABLES | SET(ARENA)))
		report->wrong = 100;
	while (report->wrong < 100) {
		err = a->call(any_stretch(a->set, &a->seed));
		/* What was unmapped before is not there any more. */
		if (err && err != -ENOMEM && err != -EFAULT)
			report->wrong++;
		count(&report->calls);
		usleep(random_below(&a->seed, 300));
	}
	return NULL;
}

static void run_under_abuse(struct abuse *a)
{
	pthread_t thread;

	survive_crashes();
	if (pthread_create(&thread, NULL, abuse_thread, a))
		_exit(1);
	run_workload(FOR_EVER);
	_exit(0);
}

FIXTURE(memory)
{
};

FIXTURE_VARIANT(memory)
{
	int (*call)(struct stretch s);
};

#define MEMORY_CALL(name) \
	FIXTURE_VARIANT_ADD(memory, name) { .call = try_##name, }

MEMORY_CALL(munmap);
MEMORY_CALL(mremap);
MEMORY_CALL(mremap_longer);
MEMORY_CALL(mprotect);
MEMORY_CALL(mprotect_for_good);
MEMORY_CALL(dontneed);
MEMORY_CALL(remove);
MEMORY_CALL(hugepage);
MEMORY_CALL(pageout);
MEMORY_CALL(mlock);
MEMORY_CALL(fork);
MEMORY_CALL(dontfork);
MEMORY_CALL(dofork);
MEMORY_CALL(proc_mem);
MEMORY_CALL(vm_readv);

FIXTURE_SETUP(memory)
{
	report_create(_metadata);
}

FIXTURE_TEARDOWN(memory)
{
}

/* Tables alone, which mostly is survived, and the stacks with them. */
TEST_F(memory, calls)
{
	const unsigned int sets[] = { ALL_TABLES, ALL_TABLES | SET(ARENA) };
	unsigned int i;
	pid_t child;

	for (i = 0; i < ARRAY_LENGTH(sets); i++) {
		struct abuse abuse = {
			.call = variant->call, .set = sets[i], .seed = 0x9e3779b97f4a7c15ull + i,
		};
		uint64_t calls = report->calls;

		child = fork();
		if (!child)
			run_under_abuse(&abuse);
		end_child(_metadata, child, ABUSE_MS, &report->calls, calls);
		TH_LOG("seed %u: %" PRIu64 " calls", i, report->calls - calls);
		ASSERT_EQ(0, report->wrong);
		ASSERT_LT(calls, report->calls);
	}
	expect_module_in_order(_metadata);
}

TEST_HARNESS_MAIN
