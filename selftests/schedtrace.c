// SPDX-License-Identifier: GPL-2.0
/*
 * KFIBER_DEBUG=schedtrace: what it prints is so, and nothing else changes by it: not
 * when a domain ends, nor what is a deadlock, nor what time a test domain has.
 */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "death.h"
#include "processors.h"
#include "run.h"

static struct death death;

/* --- what it prints ------------------------------------------------------------------- */

/* The end of stderr that can be read. */
static FILE *trace;

/* From here on a fiber of the child reads what is printed. */
static int trace_to_self(const char *setting)
{
	int pipe_fds[2];

	if (setenv("KFIBER_DEBUG", setting, 1) || pipe(pipe_fds))
		return 1;
	dup2(pipe_fds[1], STDERR_FILENO);
	close(pipe_fds[1]);
	trace = fdopen(pipe_fds[0], "r");
	return !trace;
}

/*
 * Blocks until a line has all of these, each after the one before. Each line tells of a
 * moment, so that the first do not is to be expected; that none ever does is a time-out.
 */
static void read_until(const char *const *pieces)
{
	char line[4096];

	while (fgets(line, sizeof(line), trace)) {
		const char *at = line;
		int i;

		for (i = 0; at && pieces[i]; i++)
			at = strstr(at, pieces[i]);
		if (at)
			return;
	}
	_exit(2);
}

#define READ_UNTIL(...) read_until((const char *const []){ __VA_ARGS__, NULL })

static void *park(void *arg)
{
	kf_setname("parker");
	kf_park(KF_FOREVER);
	return NULL;
}

static void *end(void *arg)
{
	return NULL;
}

/* Three that park, one that has ended, and who reads is blocked in the kernel. */
static int read_counts(void *arg)
{
	kf_fiber_t parked[3], ended;
	int i;

	for (i = 0; i < 3; i++)
		kf_spawn(&parked[i], NULL, park, NULL);
	kf_spawn(&ended, NULL, end, NULL);
	READ_UNTIL("kfiber: sched ", " ms: ", " idle=", " queued=0 [0", ", workers: ",
		   " blocked=1 waiters=0 preempted=0 pinned=0, ",
		   "running=0 blocked=1 runnable=0 interactive=0 background=0 waiting=3 ended=1\n");
	for (i = 0; i < 3; i++) {
		kf_unpark(parked[i]);
		kf_join(parked[i], NULL);
	}
	return kf_join(ended, NULL);
}

static int count(void *arg)
{
	unsigned int processors = *(unsigned int *)arg;

	return trace_to_self("schedtrace=20") || run(processors, read_counts, NULL);
}

TEST_F(processors, counts)
{
	unsigned int n = variant->n;

	die(&death, count, &n);
	ASSERT_EXITED(&death);
}

static int read_detail(void *arg)
{
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, park, NULL);
	READ_UNTIL("fibers: running=0 blocked=1 runnable=0 ", " waiting=1 ");
	READ_UNTIL("  processor 0: idle next=0 local=0 inbox=0 dispatches=");
	READ_UNTIL("  worker 0: no processor fiber=0x");
	READ_UNTIL("\"main\": blocked in the kernel");
	READ_UNTIL("\"parker\": waiting for an unpark");
	kf_unpark(fiber);
	return kf_join(fiber, NULL);
}

static int detail(void *arg)
{
	return trace_to_self("schedtrace=20,scheddetail=1") || run(1, read_detail, NULL);
}

TEST(details)
{
	die(&death, detail, NULL);
	ASSERT_EXITED(&death);
}

static atomic_bool stop;

static void *compute(void *arg)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		;
	return NULL;
}

/* The only processor is always taken: by those that compute, and lose it to each other. */
static int read_while_busy(void *arg)
{
	kf_fiber_t fibers[2];
	int i;

	for (i = 0; i < 2; i++)
		kf_spawn(&fibers[i], NULL, compute, NULL);
	READ_UNTIL(" idle=0 ", ", since then: handovers=", " running=1 blocked=", " runnable=0 ");
	READ_UNTIL(" idle=0 ", " preempted=1 ");
	atomic_store(&stop, true);
	for (i = 0; i < 2; i++)
		kf_join(fibers[i], NULL);
	return 0;
}

static int busy(void *arg)
{
	return trace_to_self("schedtrace=20") || run(1, read_while_busy, NULL);
}

TEST(while_all_compute)
{
	die(&death, busy, NULL);
	ASSERT_EXITED(&death);
}

static void *read_priorities(void *arg)
{
	READ_UNTIL(" runnable=6 interactive=1 background=3 waiting=0 ");
	atomic_store(&stop, true);
	return NULL;
}

#define NR_PRIORITIES 6

/*
 * The only processor's fiber computes and has no slice that ends. A thread reads, for a fiber
 * that does would be counted, and have others run meanwhile.
 */
static int leave_others_waiting(void *arg)
{
	static const unsigned int priorities[NR_PRIORITIES] = {
		KF_PRIORITY_BACKGROUND, KF_PRIORITY_NORMAL, KF_PRIORITY_INTERACTIVE,
		KF_PRIORITY_BACKGROUND, KF_PRIORITY_BACKGROUND, KF_PRIORITY_NORMAL,
	};
	kf_fiber_t fibers[NR_PRIORITIES];
	pthread_t reader;
	unsigned int i;

	for (i = 0; i < NR_PRIORITIES; i++) {
		struct kf_attr attr = { .size = sizeof(attr), .priority = priorities[i] };

		if (kf_spawn(&fibers[i], &attr, end, NULL))
			return 1;
	}
	if (pthread_create(&reader, NULL, read_priorities, NULL))
		return 2;
	compute(NULL);
	pthread_join(reader, NULL);
	for (i = 0; i < NR_PRIORITIES; i++)
		kf_join(fibers[i], NULL);
	return 0;
}

static int wait_by_priority(void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 1, .slice_ns = KF_SLICE_NEVER,
	};

	return trace_to_self("schedtrace=20") || kf_run(&config, leave_others_waiting, NULL);
}

TEST(priorities_of_who_waits)
{
	die(&death, wait_by_priority, NULL);
	ASSERT_EXITED(&death);
}

/* --- what it does not change ---------------------------------------------------------- */

static int end_at_once(void *arg)
{
	return 7;
}

static int outlast(void *arg)
{
	setenv("KFIBER_DEBUG", "schedtrace=86400000", 1);
	return run(2, end_at_once, NULL) != 7 || run(2, end_at_once, NULL) != 7;
}

TEST(the_domain_ends_before_the_first_line)
{
	die(&death, outlast, NULL);
	ASSERT_EXITED(&death);
	ASSERT_SILENT(&death);
}

static int park_alone(void *arg)
{
	return kf_park(KF_FOREVER);
}

static int deadlock(void *arg)
{
	unsigned int processors = *(unsigned int *)arg;

	return run(processors, park_alone, NULL) != -EDEADLK;
}

static int deadlock_traced(void *arg)
{
	setenv("KFIBER_DEBUG", "schedtrace=1", 1);
	return deadlock(arg);
}

/* Also when it is awake each time that somebody might look. */
TEST_F(processors, a_deadlock_is_seen)
{
	unsigned int n = variant->n;

	die(&death, deadlock_traced, &n);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, "\"main\": waiting for an unpark");
}

static int deadlock_untold(void *arg)
{
	setenv("KFIBER_DEBUG", "schedtrace=86400000", 1);
	return deadlock(arg);
}

/* And at once, not when the next line is due. */
TEST_F(processors, a_deadlock_between_two_lines)
{
	unsigned int n = variant->n;

	die(&death, deadlock_untold, &n);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, "\"main\": waiting for an unpark");
}

static void *unpark_later(void *arg)
{
	usleep(100000);
	kf_unpark(*(kf_fiber_t *)arg);
	return NULL;
}

static int wait_for_thread(void *arg)
{
	kf_fiber_t self = kf_self();
	pthread_t thread;

	if (pthread_create(&thread, NULL, unpark_later, &self))
		return 1;
	return kf_park(KF_FOREVER) || pthread_join(thread, NULL);
}

static int wait_traced(void *arg)
{
	unsigned int processors = *(unsigned int *)arg;

	setenv("KFIBER_DEBUG", "schedtrace=5", 1);
	return run(processors, wait_for_thread, NULL);
}

TEST_F(processors, no_alarm_while_another_thread_is_there)
{
	unsigned int n = variant->n;

	die(&death, wait_traced, &n);
	ASSERT_EXITED(&death);
	ASSERT_EQ(NULL, strstr(death.text, "deadlock"));
}

static int sleep_for_hours(void *arg)
{
	int i;

	for (i = 0; i < 50; i++)
		kf_sleep(3600 * 1000 * MS);
	return kf_now() != KF_TEST_CLOCK_START + 50 * 3600 * 1000 * MS;
}

static int test_clock(void *arg)
{
	struct kf_config config = { .size = sizeof(config), .flags = KF_TEST_CLOCK };

	setenv("KFIBER_DEBUG", "schedtrace=1", 1);
	return kf_run(&config, sleep_for_hours, NULL);
}

TEST(the_test_clock_is_exact)
{
	die(&death, test_clock, NULL);
	ASSERT_EXITED(&death);
}

static int read_one_line(void *arg)
{
	READ_UNTIL("kfiber: sched ");
	kf_sleep(20 * MS);
	return 0;
}

/* Nobody reads any more, and there is no room: whoever waited there would stay. */
static int fill(void *arg)
{
	char byte = 0;

	READ_UNTIL("kfiber: sched ");
	fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
	while (write(STDERR_FILENO, &byte, 1) == 1)
		;
	fcntl(STDERR_FILENO, F_SETFL, 0);
	kf_sleep(50 * MS);
	return 0;
}

static int unread(void *arg)
{
	return trace_to_self("schedtrace=1,scheddetail=1") || run(2, read_one_line, NULL) ||
	       run(2, fill, NULL);
}

TEST(nobody_reads_it)
{
	die(&death, unread, NULL);
	ASSERT_EXITED(&death);
}

/* --- what makes no sense -------------------------------------------------------------- */

#define IGNORED(what) "kfiber: KFIBER_DEBUG: ignored " what
#define MILLISECONDS ": a number from 0 to 86400000 is wanted\n"

static const struct {
	const char *setting;
	const char *said;
} malformed[] = {
	{ "schedtrace", IGNORED("\"schedtrace\"") MILLISECONDS },
	{ "schedtrace=", IGNORED("\"schedtrace=\"") MILLISECONDS },
	{ "schedtrace=-1", IGNORED("\"schedtrace=-1\"") MILLISECONDS },
	{ "schedtrace=1s", IGNORED("\"schedtrace=1s\"") MILLISECONDS },
	{ "schedtrace=86400001", IGNORED("\"schedtrace=86400001\"") MILLISECONDS },
	{ "schedtrace=18446744073709551617",
	  IGNORED("\"schedtrace=18446744073709551617\"") MILLISECONDS },
	{ "scheddetail=2", IGNORED("\"scheddetail=2\"") ": a number from 0 to 1 is wanted\n" },
	{ "leaks=2", IGNORED("\"leaks=2\"") ": a number from 0 to 1 is wanted\n" },
	{ "sched=1", IGNORED("\"sched=1\"") ": there is no such setting\n" },
	{ ",,\n=,", IGNORED("\"?=\"") ": there is no such setting\n" },
	{ "", "" },
	{ "schedtrace=0,scheddetail=1", "" },
};

static int run_with_setting(void *arg)
{
	setenv("KFIBER_DEBUG", arg, 1);
	return run(2, end_at_once, NULL) != 7;
}

TEST(malformed_settings)
{
	unsigned int i;

	for (i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		die(&death, run_with_setting, (void *)malformed[i].setting);
		ASSERT_EXITED(&death);
		ASSERT_STREQ(malformed[i].said, death.text);
	}
}

TEST_HARNESS_MAIN
