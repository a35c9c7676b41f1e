// SPDX-License-Identifier: GPL-2.0
/*
 * The CPU time of fibers. The kernel's own clocks are what it is compared with: a fiber has what
 * its thread's clock says went by while it ran, and all together no more than the process. How
 * long anything takes is not looked at.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "death.h"
#include "processors.h"
#include "run.h"

static uint64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

static uint64_t thread_time(void)
{
	return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t process_time(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* Return: what its thread's clock says of it. */
static uint64_t compute(uint64_t ns)
{
	uint64_t began = thread_time(), now;

	do
		now = thread_time();
	while (now - began < ns);
	return now - began;
}

static uint64_t time_of(kf_fiber_t fiber)
{
	uint64_t ns = 0;
	int err = kf_cpu_time(fiber, &ns);

	if (err)
		printf("# kf_cpu_time(): %d\n", err);
	return ns;
}

/* With slices that are short, so that there are many, or without any. */
static int run_counted(unsigned int processors, uint64_t slice_ns, int (*fn)(void *), void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .slice_ns = slice_ns,
		.flags = KF_CPU_TIME,
	};

	return kf_run(&config, fn, arg);
}

/* --- one that runs ----------------------------------------------------------------------- */

/* Its thread's clock, read inside and outside of the two readings of its own. */
static int compare_with_thread(void *arg)
{
	uint64_t outer, mine, inner;

	outer = thread_time();
	mine = time_of(kf_self());
	inner = compute(20 * MS);
	mine = time_of(kf_self()) - mine;
	outer = thread_time() - outer;
	return mine < inner || mine > outer;
}

TEST(who_computes)
{
	ASSERT_EQ(0, run_counted(1, KF_SLICE_NEVER, compare_with_thread, NULL));
}

/* --- many, in each way that a fiber can leave its thread -------------------------------------- */

enum { STEPS = 6, STEP_NS = 1 * MS, ROUNDS = 2 };

static void leave_thread(int how, int *pipe_fds)
{
	char byte = 0;

	switch (how) {
	case 0:
		kf_yield();
		break;
	case 1:
		kf_sleep(STEP_NS);
		break;
	case 2:
		usleep(1000);
		break;
	case 3:
		kf_pin();
		kf_sleep(STEP_NS);
		kf_unpin();
		break;
	case 4:
		if (write(pipe_fds[1], &byte, 1) != 1 ||
		    kf_read(pipe_fds[0], &byte, 1, KF_FOREVER) != 1)
			exit(1);
		break;
	default:
		/* Or nothing: its slice ends. */
		compute(3 * STEP_NS);
	}
}

enum { FIBERS = 8 };

static uint64_t final[FIBERS];

/* What it knows of itself is less than all: not how it leaves. */
static void *compute_and_leave(void *arg)
{
	uint64_t mine = 0;
	int i, pipe_fds[2];

	if (pipe(pipe_fds))
		exit(1);
	for (i = 0; i < STEPS * ROUNDS; i++) {
		mine += compute(STEP_NS);
		leave_thread(i % STEPS, pipe_fds);
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	*(uint64_t *)arg = time_of(kf_self());
	return (void *)(uintptr_t)(*(uint64_t *)arg < mine);
}

/* @before: the process's time before there was a domain */
static int compare_with_process(void *before)
{
	kf_fiber_t fibers[FIBERS];
	void *less, *any = NULL;
	uint64_t sum, now;
	int i;

	for (i = 0; i < FIBERS; i++)
		kf_spawn(&fibers[i], NULL, compute_and_leave, &final[i]);
	/* That others ask makes no difference. */
	for (i = 0; i < 10 * FIBERS; i++) {
		now = time_of(fibers[i % FIBERS]);
		if (now > process_time() - *(uint64_t *)before)
			return 1;
		kf_sleep(STEP_NS);
	}
	for (i = 0; i < FIBERS; i++) {
		kf_join(fibers[i], &less);
		any = less ? less : any;
		if (kf_cpu_time(fibers[i], &now) != -ESRCH)
			return 2;
	}
	sum = time_of(kf_self());
	for (i = 0; i < FIBERS; i++)
		sum += final[i];
	now = process_time() - *(uint64_t *)before;
	printf("# all fibers: %llu us of the process's %llu us\n", (unsigned long long)sum / 1000,
	       (unsigned long long)now / 1000);
	return any || sum > now ? 3 : 0;
}

TEST_F(processors, all_together)
{
	uint64_t before = process_time();

	ASSERT_EQ(0, run_counted(variant->n, KF_SLICE_MIN, compare_with_process, &before));
}

/* --- those that do not run -------------------------------------------------------------- */

static void *park(void *arg)
{
	compute(2 * MS);
	kf_park(KF_FOREVER);
	return NULL;
}

/*
 * With one processor and no slices a fiber is left alone until its spawner yields, and is parked
 * when that goes on; unless one of them sleeps for memory. Another time it does not: that it
 * always does is a time-out.
 */
static void run_until_right(int (*fn)(void *))
{
	while (run_counted(1, KF_SLICE_NEVER, fn, NULL))
		;
}

static int compute_beside_parked(void *arg)
{
	uint64_t first, then, now;
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, park, NULL);
	first = time_of(fiber);
	kf_yield();
	then = time_of(fiber);
	compute(20 * MS);
	now = time_of(fiber);
	kf_unpark(fiber);
	kf_join(fiber, NULL);
	return first || then < 2 * MS || now != then;
}

TEST(who_is_parked)
{
	run_until_right(compute_beside_parked);
}

static int pipe_fds[2];

static void *block(void *arg)
{
	char byte;

	return (void *)(intptr_t)read(pipe_fds[0], &byte, 1);
}

/*
 * It may sleep for memory before it comes to its read(), and go on meanwhile: not for ever. If
 * it is charged with what others do, it goes on for ever.
 */
static int compute_beside_blocked(void *arg)
{
	uint64_t then, now;
	kf_fiber_t fiber;
	void *got;

	if (pipe(pipe_fds))
		return -errno;
	kf_spawn(&fiber, NULL, block, NULL);
	do {
		kf_yield();
		then = time_of(fiber);
		compute(10 * MS);
		now = time_of(fiber);
	} while (!then || now != then);
	if (write(pipe_fds[1], "", 1) != 1)
		return -errno;
	kf_join(fiber, &got);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return got != (void *)1;
}

TEST_F(processors, who_blocks)
{
	ASSERT_EQ(0, run_counted(variant->n, 0, compute_beside_blocked, NULL));
}

static void *end(void *arg)
{
	return NULL;
}

static void *compute_a_little(void *arg)
{
	compute(5 * MS);
	return NULL;
}

static void *die_with_thread(void *arg)
{
	compute(5 * MS);
	syscall(SYS_exit, 0);
	return NULL;
}

/* The next one has the block of who was there before, and nothing else of it. */
static int begin_anew(void *arg)
{
	void *(*const firsts[])(void *) = { compute_a_little, die_with_thread };
	kf_fiber_t first, second;
	uint64_t ns;
	int i;

	for (i = 0; i < 2; i++) {
		kf_spawn(&first, NULL, firsts[i], NULL);
		kf_join(first, NULL);
		kf_spawn(&second, NULL, end, NULL);
		if ((uint32_t)second != (uint32_t)first && !i)
			return 1;
		ns = time_of(second);
		kf_join(second, NULL);
		if (ns)
			return 2;
	}
	return 0;
}

TEST(who_begins)
{
	run_until_right(begin_anew);
}

/* --- how it is asked for ------------------------------------------------------------------ */

static int ask_without(void *arg)
{
	uint64_t ns = 7;

	return kf_cpu_time(kf_self(), &ns) != -EOPNOTSUPP || ns != 7;
}

static int ask_wrongly(void *arg)
{
	uint64_t ns;

	return kf_cpu_time(kf_self(), NULL) != -EINVAL || kf_cpu_time(0, &ns) != -ESRCH ||
	       kf_cpu_time(kf_self() + 1, &ns) != -ESRCH;
}

TEST(errors)
{
	uint64_t ns;

	ASSERT_EQ(-ESRCH, kf_cpu_time(1, &ns));
	ASSERT_EQ(0, run(1, ask_without, NULL));
	ASSERT_EQ(0, run_counted(1, 0, ask_wrongly, NULL));
}

static int dump(void *arg)
{
	compute(10 * MS);
	return kf_dump(STDERR_FILENO);
}

/* Nobody has to change a program for it. */
static int dump_with_setting(void *setting)
{
	setenv("KFIBER_DEBUG", setting, 1);
	return run(1, dump, NULL);
}

static struct death death;

TEST(dumps)
{
	const char *at;

	die(&death, dump_with_setting, "cputime=1");
	ASSERT_EXITED(&death);
	at = strstr(death.text, "\"main\": running on processor 0, worker 0, ");
	ASSERT_NE(NULL, at);
	ASSERT_NE(NULL, strstr(at, " s of CPU time"));
	ASSERT_EQ(NULL, strstr(at, ", 0.000 s of CPU time"));
	die(&death, dump_with_setting, "cputime=0");
	ASSERT_EXITED(&death);
	ASSERT_EQ(NULL, strstr(death.text, "CPU time"));
}

TEST_HARNESS_MAIN
