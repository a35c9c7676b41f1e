// SPDX-License-Identifier: GPL-2.0
/*
 * Deadlocks are found when nothing can go on any more, said with all that is known, and
 * never before.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "death.h"
#include "parked.h"
#include "processors.h"
#include "run.h"

static struct death death;

/**
 * struct deadly - what is run in a child
 * @fn: the first fiber's function
 * @processors: of its domain
 * @result: what kf_run() is to return
 */
struct deadly {
	int (*fn)(void *arg);
	unsigned int processors;
	int result;
};

static int run_deadly(void *arg)
{
	const struct deadly *deadly = arg;
	int result = run(deadly->processors, deadly->fn, NULL);

	if (result != deadly->result)
		fprintf(stderr, "kf_run: %d\n", result);
	return result != deadly->result;
}

static void run_in_child(int (*fn)(void *), unsigned int processors, int result)
{
	struct deadly deadly = { fn, processors, result };

	die(&death, run_deadly, &deadly);
}

#define TITLE "kfiber: deadlock: fibers wait, and nothing can wake them\n"

/* --- deadlocks ------------------------------------------------------------------------ */

static int park_alone(void *arg)
{
	return kf_park(KF_FOREVER);
}

TEST_F(processors, one_that_parks)
{
	run_in_child(park_alone, variant->n, -EDEADLK);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, TITLE);
	ASSERT_SAID(&death, "\"main\": waiting for an unpark");
}

static kf_mutex_t locks[2];
static kf_waitgroup_t both_hold = KF_WAITGROUP_INIT;

static void *lock_both(void *arg)
{
	kf_mutex_t *first = arg, *second = &locks[first == locks];

	kf_mutex_lock(first);
	kf_waitgroup_done(&both_hold);
	kf_waitgroup_wait(&both_hold);
	kf_mutex_lock(second);
	return NULL;
}

/* The classic: two locks in two orders; and others that wait for who waits. */
static int lock_crosswise(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr) };
	kf_fiber_t fibers[2];

	kf_waitgroup_add(&both_hold, 2);
	attr.name = "one";
	kf_spawn(&fibers[0], &attr, lock_both, &locks[0]);
	attr.name = "other";
	kf_spawn(&fibers[1], &attr, lock_both, &locks[1]);
	kf_join(fibers[0], NULL);
	return 0;
}

static bool said_in_line(const char *begin, const char *what)
{
	const char *line = strstr(death.text, begin), *found;

	if (!line)
		return false;
	found = strstr(line, what);
	return found && found < strchrnul(line, '\n');
}

TEST_F(processors, two_that_hold_what_the_other_wants)
{
	run_in_child(lock_crosswise, variant->n, -EDEADLK);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, TITLE);
	ASSERT_TRUE(said_in_line("\"one\": waiting for mutex ", "generation 1) \"other\""));
	ASSERT_TRUE(said_in_line("\"other\": waiting for mutex ", "generation 1) \"one\""));
	ASSERT_TRUE(said_in_line("\"main\": waiting for the end of ", "\"one\""));
}

static void *pin_and_park(void *arg)
{
	kf_pin();
	kf_park(KF_FOREVER);
	return NULL;
}

static int park_pinned(void *arg)
{
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, pin_and_park, NULL);
	kf_pin();
	kf_join(fiber, NULL);
	return 0;
}

TEST_F(processors, pinned_ones)
{
	run_in_child(park_pinned, variant->n, -EDEADLK);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, "pinned to its thread");
}

static void *work_and_end(void *arg)
{
	usleep(20000);
	return NULL;
}

/* Only when the last thread that could wake somebody has ended. */
static int outlive_thread(void *arg)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, work_and_end, NULL))
		return 1;
	kf_park(KF_FOREVER);
	return 0;
}

TEST_F(processors, a_thread_that_ends)
{
	run_in_child(outlive_thread, variant->n, -EDEADLK);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, TITLE);
}

/* The process is as it was: another domain can be run. */
static int end_at_once(void *arg)
{
	return 7;
}

static int run_twice(void *arg)
{
	return run(2, park_alone, NULL) != -EDEADLK || run(2, end_at_once, NULL) != 7;
}

TEST(the_next_domain_runs)
{
	die(&death, run_twice, NULL);
	ASSERT_EXITED(&death);
}

/* --- none ----------------------------------------------------------------------------- */

static kf_fiber_t main_fiber;

static void *unpark_later(void *arg)
{
	usleep(100000);
	kf_unpark(main_fiber);
	return NULL;
}

static int wait_for_thread(void *arg)
{
	pthread_t thread;

	main_fiber = kf_self();
	if (pthread_create(&thread, NULL, unpark_later, NULL))
		return 1;
	kf_park(KF_FOREVER);
	return pthread_join(thread, NULL);
}

TEST_F(processors, no_alarm_while_a_thread_is_there)
{
	run_in_child(wait_for_thread, variant->n, 0);
	ASSERT_EXITED(&death);
	ASSERT_SILENT(&death);
}

static void *unpark_it(void *arg)
{
	kf_sleep(50 * MS);
	kf_unpark(main_fiber);
	return NULL;
}

static int wait_for_sleeper(void *arg)
{
	kf_fiber_t fiber;
	int i;

	main_fiber = kf_self();
	for (i = 0; i < 5; i++) {
		if (kf_spawn(&fiber, NULL, unpark_it, NULL))
			return 1;
		kf_park(KF_FOREVER);
		if (kf_join(fiber, NULL) || kf_park(kf_after(5 * MS)) != -ETIMEDOUT)
			return 2;
	}
	return 0;
}

TEST_F(processors, no_alarm_while_a_timer_runs)
{
	run_in_child(wait_for_sleeper, variant->n, 0);
	ASSERT_EXITED(&death);
	ASSERT_SILENT(&death);
}

static void *read_and_unpark(void *arg)
{
	int *fds = arg;
	char byte;

	if (read(fds[0], &byte, 1) == 1)
		kf_unpark(main_fiber);
	return NULL;
}

static int wait_for_reader(void *arg)
{
	kf_fiber_t fiber;
	int fds[2];

	main_fiber = kf_self();
	if (pipe(fds))
		return 1;
	/* Another process writes: none of this one's threads does anything. */
	if (!fork()) {
		usleep(100000);
		_exit(write(fds[1], "", 1) != 1);
	}
	if (kf_spawn(&fiber, NULL, read_and_unpark, fds))
		return 2;
	kf_park(KF_FOREVER);
	return kf_join(fiber, NULL);
}

TEST_F(processors, no_alarm_while_a_thread_blocks)
{
	run_in_child(wait_for_reader, variant->n, 0);
	ASSERT_EXITED(&death);
	ASSERT_SILENT(&death);
}

static void unpark_main(int signal)
{
	kf_unpark(main_fiber);
}

static int wait_for_signal(void *arg)
{
	struct sigaction action = { .sa_handler = unpark_main };

	main_fiber = kf_self();
	sigaction(SIGUSR1, &action, NULL);
	if (!fork()) {
		usleep(100000);
		_exit(kill(getppid(), SIGUSR1));
	}
	return kf_park(KF_FOREVER);
}

TEST_F(processors, no_alarm_while_a_handler_is_there)
{
	run_in_child(wait_for_signal, variant->n, 0);
	ASSERT_EXITED(&death);
	ASSERT_SILENT(&death);
}

static void *relay(void *arg)
{
	kf_fiber_t *next = arg;
	int i;

	for (i = 0; i < 300; i++) {
		kf_park(KF_FOREVER);
		kf_unpark(*next);
	}
	return NULL;
}

/* One token in a ring: all but one wait, all the time, and processors come and go. */
static int pass_token(void *arg)
{
	kf_fiber_t ring[5];
	int i;

	for (i = 0; i < 5; i++)
		if (kf_spawn(&ring[i], NULL, relay, &ring[(i + 1) % 5]))
			return 1;
	kf_unpark(ring[0]);
	for (i = 0; i < 5; i++)
		if (kf_join(ring[i], NULL))
			return 2;
	return 0;
}

TEST_F(processors, no_alarm_while_one_goes_on)
{
	run_in_child(pass_token, variant->n, 0);
	ASSERT_EXITED(&death);
	ASSERT_SILENT(&death);
}

/* --- what else could have gone on has gone ------------------------------------------------ */

static int wait_fds[2];

static int device_fd(void)
{
	char path[64], target[64];
	ssize_t n;
	int fd;

	for (fd = 3; fd < 64; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0 && !strncmp(target, "/dev/kfiber", (size_t)n))
			return fd;
	}
	return -1;
}

static void wait_until_all_sleep(unsigned int awake)
{
	const struct kfiber_domain_block *block = shared_at(KFIBER_MAP_DOMAIN);
	struct kf_stats stats = { .size = sizeof(stats) };

	do {
		usleep(1000);
		kf_stats(&stats);
	} while (__atomic_load_n(&block->spares, __ATOMIC_RELAXED) + awake < stats.workers);
	/* The last one looks for a deadlock just now, maybe. */
	usleep(20000);
}

static void *forget(void *arg)
{
	struct kfiber_fibers args = {
		.size = sizeof(args), .count = 1, .fibers = (uintptr_t)&main_fiber,
	};

	while ((block_of(main_fiber)->word & KFIBER_STATE_MASK) != KFIBER_PARKED)
		usleep(1000);
	wait_until_all_sleep(0);
	if (ioctl(device_fd(), KFIBER_IOC_FORGET, &args))
		perror("FORGET");
	return NULL;
}

static int wait_for_what_is_forgotten(void *arg)
{
	pthread_t thread;
	char byte;

	main_fiber = kf_self();
	if (pipe(wait_fds) || pthread_create(&thread, NULL, forget, NULL))
		return 1;
	return (int)kf_read(wait_fds[0], &byte, 1, KF_FOREVER);
}

TEST_F(processors, a_wait_for_a_file_is_forgotten)
{
	run_in_child(wait_for_what_is_forgotten, variant->n, -EDEADLK);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, TITLE);
}

static void *end_its_thread(void *arg)
{
	while ((block_of(main_fiber)->word & KFIBER_STATE_MASK) != KFIBER_PARKED)
		usleep(1000);
	/* This one, and that of the first fiber, which is pinned. */
	wait_until_all_sleep(2);
	syscall(SYS_exit, 0);
	return NULL;
}

/* The thread of kf_run() has to stay: its fiber is pinned. */
static int wait_beside_who_dies(void *arg)
{
	kf_fiber_t fiber;

	main_fiber = kf_self();
	if (kf_pin() || kf_spawn(&fiber, NULL, end_its_thread, NULL))
		return 1;
	return kf_park(KF_FOREVER);
}

TEST_F(processors, the_last_one_awake_dies)
{
	run_in_child(wait_beside_who_dies, variant->n, -EDEADLK);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, TITLE);
}

TEST_HARNESS_MAIN
