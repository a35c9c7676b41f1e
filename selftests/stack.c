// SPDX-License-Identifier: GPL-2.0
/* Stacks grow by page faults and end at their guard. */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "parked.h"

#define MS 1000000ull

#define KIB 1024ul

static int run(size_t stack_bytes_max, int (*fn)(void *), void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 2, .stack_bytes_max = stack_bytes_max,
	};

	return kf_run(&config, fn, arg);
}

/* Recurses until @bytes of stack are used; checks them all on the way back. */
static __attribute__((noinline)) long go_deep(uintptr_t top, size_t bytes)
{
	volatile unsigned char frame[512];
	long bad = 0;
	size_t i;

	for (i = 0; i < sizeof(frame); i++)
		frame[i] = (unsigned char)(bytes + i);
	if (top - (uintptr_t)frame < bytes)
		bad = go_deep(top, bytes);
	for (i = 0; i < sizeof(frame); i++)
		bad += frame[i] != (unsigned char)(bytes + i);
	return bad;
}

static void *deep_fiber(void *arg)
{
	size_t bytes = (size_t)arg;

	return (void *)go_deep((uintptr_t)__builtin_frame_address(0), bytes);
}

static int deep_once(size_t stack_size, size_t bytes)
{
	struct kf_attr attr = { .size = sizeof(attr), .stack_size = stack_size };
	kf_fiber_t fiber;
	void *value;

	if (kf_spawn(&fiber, &attr, deep_fiber, (void *)bytes) || kf_join(fiber, &value))
		return -1;
	return value ? -2 : 0;
}

static int deep_200k(void *arg)
{
	return deep_once(0, 190 * KIB);			/* 192 KiB is all there is */
}

TEST(recursion_through_the_default_stack)
{
	ASSERT_EQ(0, run(0, deep_200k, NULL));
}

static int deep_larger(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	int err;

	kf_stats(&before);
	err = deep_once(1024 * KIB, 900 * KIB);
	kf_stats(&after);
	if (err)
		return err;
	/* Doubling: 225 pages, and nowhere near as many faults. */
	return after.stack_faults - before.stack_faults;
}

TEST(growth_doubles)
{
	int faults = run(0, deep_larger, NULL);

	ASSERT_GE(faults, 1);
	ASSERT_LE(faults, 12);
}

/*
 * How many faults a new stack's growth to @bytes takes; its first page is there. In a class of
 * its own, so that nobody has been there before.
 */
static void *counts_faults(void *arg)
{
	struct kf_stack_stats s = { .size = sizeof(s) };
	size_t bytes = (size_t)arg;

	/* What is above has a part of the first page. */
	if (go_deep(((uintptr_t)__builtin_frame_address(0) + 4095) & ~4095ul, bytes - 1024) ||
	    kf_stack_stats(kf_self(), &s) || s.committed < bytes)
		return (void *)1000l;
	return (void *)(long)s.faults;
}

static int faults_to(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .stack_size = 4096 * KIB };
	kf_fiber_t fiber;
	void *faults;

	if (kf_spawn(&fiber, &attr, counts_faults, arg) || kf_join(fiber, &faults))
		return -1;
	return (int)(long)faults;
}

TEST(first_growth_takes_few_faults)
{
	int to_64k = run(0, faults_to, (void *)(64 * KIB));
	int to_1m = run(0, faults_to, (void *)(1024 * KIB));

	/* 2, 4, 8, 16 pages; 256. */
	EXPECT_LE(1, to_64k);
	EXPECT_GE(5, to_64k);
	EXPECT_LT(to_64k, to_1m);
	EXPECT_GE(9, to_1m);
}

static int deep_many(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .stack_size = 512 * KIB };
	kf_fiber_t fibers[200];
	void *value;
	long i, bad = 0;

	for (i = 0; i < 200; i++)
		if (kf_spawn(&fibers[i], &attr, deep_fiber, (void *)(i * 2 * KIB)))
			return -1;
	for (i = 0; i < 200; i++)
		bad += kf_join(fibers[i], &value) || value;
	return bad;
}

TEST(many_stacks_of_different_depth)
{
	ASSERT_EQ(0, run(0, deep_many, NULL));
}

/* The kernel writes to a stack that has not been touched there yet. */
static int read_into_stack(void *arg)
{
	volatile unsigned char buffer[100 * KIB];
	int fd = open("/dev/zero", O_RDONLY);
	size_t i;

	if (read(fd, (void *)buffer, sizeof(buffer)) != sizeof(buffer))
		return 1;
	close(fd);
	for (i = 0; i < sizeof(buffer); i++)
		if (buffer[i])
			return 2;
	return 0;
}

TEST(the_kernel_grows_stacks_too)
{
	ASSERT_EQ(0, run(0, read_into_stack, NULL));
}

/* A signal frame on a stack with one page: most of it lies below. */
static void on_signal(int signal)
{
	volatile char frame[3000];

	memset((void *)frame, signal, sizeof(frame));
}

static int signal_on_stack(void *arg)
{
	signal(SIGUSR1, on_signal);
	return raise(SIGUSR1);
}

TEST(signal_frames_grow_stacks)
{
	ASSERT_EQ(0, run(0, signal_on_stack, NULL));
}

/* What the child found out about its end, for the parent. */
struct report {
	uintptr_t stack;
	uintptr_t address;
	int code;
	int signal;
};

static struct report *report;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	report->signal = signal;
	report->code = info->si_code;
	report->address = (uintptr_t)info->si_addr;
	_exit(0);
}

static void catch_faults(void)
{
	static char stack[64 << 10];
	stack_t alternate = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction action = {
		.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	sigaltstack(&alternate, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static int overflow(void *arg)
{
	catch_faults();
	report->stack = (uintptr_t)__builtin_frame_address(0);
	return (int)go_deep(report->stack, 1ul << 30);
}

/* Runs @fn in a child that ends by a fault. */
static void run_to_fault(struct __test_metadata *_metadata, size_t max, int (*fn)(void *))
{
	int status;
	pid_t child;

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, report);
	child = fork();
	if (!child)
		_exit(run(max, fn, NULL) ? 1 : 2);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(0, WEXITSTATUS(status));
}

TEST(overflow_is_a_segv_in_the_guard)
{
	uintptr_t top;

	run_to_fault(_metadata, 0, overflow);
	ASSERT_EQ(SIGSEGV, report->signal);
	ASSERT_EQ(SEGV_MAPERR, report->code);
	/* 192 KiB below the top, which is less than a page above the first frame. */
	top = (report->stack + 4095) & ~4095ul;
	ASSERT_LT(report->address, top - 192 * KIB);
	ASSERT_GE(report->address, top - 256 * KIB);
}

TEST(the_stack_limit_is_a_sigbus)
{
	run_to_fault(_metadata, 64 * KIB, overflow);
	ASSERT_EQ(SIGBUS, report->signal);
}

/* --- growth that the owner does not explain --------------------------------- */

static char *victim_frame;

static void *victim(void *arg)
{
	char frame[64];

	victim_frame = frame;
	kf_park(KF_FOREVER);
	return NULL;
}

/* A frame so large that it ends in the slot below, beyond the guard. */
static __attribute__((noinline)) int frame_into(char *target)
{
	volatile char *frame = __builtin_alloca((size_t)((char *)&target - target));

	frame[0] = 1;
	return frame[0];
}

static void *jumper(void *arg)
{
	catch_faults();					/* on this thread */
	report->stack = (uintptr_t)victim_frame - 60 * KIB;
	frame_into((char *)report->stack);
	return NULL;
}

/* The victim's slot is the one below the jumper's: they are given out in order. */
static int jump(void *arg)
{
	kf_fiber_t fibers[2];

	kf_spawn(&fibers[0], NULL, victim, NULL);
	wait_until_parked(fibers[0]);
	kf_spawn(&fibers[1], NULL, jumper, NULL);
	kf_join(fibers[1], NULL);
	return 0;
}

TEST(a_frame_that_jumps_the_guard_is_caught)
{
	run_to_fault(_metadata, 0, jump);
	ASSERT_EQ(SIGSEGV, report->signal);
	/* The frame's lowest byte, or what is pushed for it. */
	ASSERT_LT(report->address, report->stack + 64);
	ASSERT_GT(report->address, report->stack - 64);
}

/* Another thread below a parked fiber's stack pointer. */
static int scribble(void *arg)
{
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, victim, NULL);
	wait_until_parked(fiber);
	catch_faults();					/* on this thread */
	report->stack = (uintptr_t)victim_frame - 20 * KIB;
	*(volatile char *)report->stack = 1;
	return 0;
}

TEST(nobody_grows_the_stack_of_a_parked_fiber)
{
	run_to_fault(_metadata, 0, scribble);
	ASSERT_EQ(SIGSEGV, report->signal);
	ASSERT_EQ(report->stack, report->address);
}

/* A buffer that its owner has not touched yet, filled by others while it waits. */
static void *lender(void *arg)
{
	volatile char buffer[80 * KIB];
	const volatile char *filled;
	char *volatile *lent = arg;
	long bad = 0;
	size_t i;

	*lent = (char *)buffer;
	kf_park(KF_FOREVER);
	filled = buffer;
	__asm__ volatile("" : "+r" (filled) : : "memory");
	for (i = 0; i < sizeof(buffer); i++)
		/* cppcheck-suppress uninitvar */
		bad += filled[i] != 'x';
	return (void *)bad;
}

static int lend(void *arg)
{
	char *volatile lent = NULL;
	kf_fiber_t fiber;
	void *bad;

	kf_spawn(&fiber, NULL, lender, (void *)&lent);
	wait_until_parked(fiber);
	memset(lent, 'x', 80 * KIB);
	kf_unpark(fiber);
	return kf_join(fiber, &bad) || bad;
}

TEST(others_may_fill_a_buffer_on_a_stack)
{
	ASSERT_EQ(0, run(0, lend, NULL));
}

/* --- a fiber's own limit ------------------------------------------------------ */

static int limited(size_t limit, size_t bytes)
{
	struct kf_attr attr = { .size = sizeof(attr), .stack_limit = limit };
	kf_fiber_t fiber;
	void *value;

	if (kf_spawn(&fiber, &attr, deep_fiber, (void *)bytes) || kf_join(fiber, &value))
		return -1;
	return value ? -2 : 0;
}

static int within_the_limit(void *arg)
{
	return limited(64 * KIB, 58 * KIB);
}

static void *overflow_fiber(void *arg)
{
	catch_faults();
	return (void *)go_deep((uintptr_t)__builtin_frame_address(0), 1ul << 30);
}

static int overflow_the_limit(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .stack_limit = 64 * KIB };
	kf_fiber_t fiber;

	kf_spawn(&fiber, &attr, overflow_fiber, NULL);
	return kf_join(fiber, NULL);
}

TEST(a_fiber_has_its_own_limit)
{
	ASSERT_EQ(0, run(0, within_the_limit, NULL));
	run_to_fault(_metadata, 0, overflow_the_limit);
	ASSERT_EQ(SIGSEGV, report->signal);
}

TEST_HARNESS_MAIN
