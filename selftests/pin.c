// SPDX-License-Identifier: GPL-2.0
/*
 * Pinned fibers: after whatever they do they are on their own thread, and nobody
 * else has been there.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "processors.h"
#include "run.h"
#include "slow.h"

/* What a pinned fiber does to its thread. */
static __thread kf_fiber_t owner;

/* Read and written by functions of their own: the thread may change between two calls. */
static __attribute__((noipa)) kf_fiber_t get_owner(void)
{
	return owner;
}

static __attribute__((noipa)) void set_owner(kf_fiber_t fiber)
{
	owner = fiber;
}

static pid_t this_thread(void)
{
	return (pid_t)syscall(SYS_gettid);
}

static bool is_blocked(int signal)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return sigismember(&mask, signal);
}

static void block(int how, int signal)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, signal);
	pthread_sigmask(how, &mask, NULL);
}

static int run_with(unsigned int processors, unsigned int workers, int (*fn)(void *), void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .max_workers = workers,
	};

	return kf_run(&config, fn, arg);
}

/* A test function fails with the number of its line, negative. */
#define CHECK(condition)			\
	do {					\
		if (!(condition))		\
			return -__LINE__;	\
	} while (0)

/* --- the calls ------------------------------------------------------------------------ */

static int misuse(void *arg)
{
	CHECK(kf_unpin() == -EINVAL);
	CHECK(kf_pin() == 0);
	CHECK(kf_pin() == 0);
	CHECK(kf_unpin() == 0);
	CHECK(kf_unpin() == 0);
	CHECK(kf_unpin() == -EINVAL);
	return 0;
}

TEST(pins_are_counted)
{
	ASSERT_EQ(-EPERM, kf_pin());
	ASSERT_EQ(-EPERM, kf_unpin());
	ASSERT_EQ(0, run(1, misuse, NULL));
}

static atomic_int pinned;

static void *pin_once(void *arg)
{
	intptr_t result = kf_pin();

	atomic_fetch_add(&pinned, 1);
	kf_park(KF_FOREVER);
	return (void *)result;
}

static void wait_for_count(atomic_int *count, int n)
{
	while (atomic_load(count) < n)
		kf_sleep(MS);
}

/* Three workers: two may be pinned, and not a third fiber; then there is room again. */
static int pin_at_limit(void *arg)
{
	kf_fiber_t fibers[2];
	void *value;
	int i;

	for (i = 0; i < 2; i++) {
		CHECK(kf_spawn(&fibers[i], NULL, pin_once, NULL) == 0);
		wait_for_count(&pinned, i + 1);
	}
	CHECK(kf_pin() == -EAGAIN);
	CHECK(kf_unpin() == -EINVAL);
	for (i = 0; i < 2; i++) {
		CHECK(kf_unpark(fibers[i]) == 0);
		CHECK(kf_join(fibers[i], &value) == 0 && !value);
	}
	CHECK(kf_pin() == 0);
	CHECK(kf_unpin() == 0);
	return 0;
}

static int pin_the_only(void *arg)
{
	return kf_pin() == -EAGAIN ? 0 : -1;
}

TEST(one_worker_is_left_for_others)
{
	EXPECT_EQ(0, run_with(2, 3, pin_at_limit, NULL));
	EXPECT_EQ(0, run_with(1, 1, pin_the_only, NULL));
}

/* --- what stays ----------------------------------------------------------------------- */

static atomic_int strays;
static atomic_bool stop;

/* Everybody else: nothing of a pinned fiber is to be seen. */
static void *passer_by(void *arg)
{
	while (!atomic_load(&stop)) {
		if (get_owner() || is_blocked(SIGUSR2))
			atomic_fetch_add(&strays, 1);
		kf_yield();
		if (get_owner())
			atomic_fetch_add(&strays, 1);
		kf_sleep(MS / 10);
	}
	return NULL;
}

/* What a pinned fiber and the one that wakes it have in common. */
struct lot {
	kf_mutex_t lock;
	kf_sem_t permits;
	int pipe[2];
	kf_fiber_t pinned;
	unsigned int seed;
	atomic_bool done;
};

static void *partner(void *arg)
{
	struct lot *lot = arg;

	while (!atomic_load(&lot->done)) {
		kf_unpark(lot->pinned);
		kf_sem_post(&lot->permits);
		kf_mutex_lock(&lot->lock);
		kf_yield();
		kf_mutex_unlock(&lot->lock);
		kf_sleep(MS / 5);
	}
	return NULL;
}

static void *return_it(void *arg)
{
	return arg;
}

static int join_one(void)
{
	kf_fiber_t child;
	void *value;

	CHECK(kf_spawn(&child, NULL, return_it, &child) == 0);
	CHECK(kf_join(child, &value) == 0);
	CHECK(value == &child);
	return 0;
}

static int lock_for_long(kf_mutex_t *lock)
{
	CHECK(kf_mutex_lock(lock) == 0);
	kf_sleep(MS / 10);
	CHECK(kf_mutex_unlock(lock) == 0);
	return 0;
}

static int do_something(struct lot *lot)
{
	char byte = 0;

	switch (rand_r(&lot->seed) % 9) {
	case 0:
		kf_yield();
		return 0;
	case 1:
		return kf_sleep(MS / 10);
	case 2:
		return kf_park(KF_FOREVER);
	case 3:
		kf_park(kf_after(MS / 10));
		return 0;
	case 4:
		usleep(100);
		return 0;
	case 5:
		return kf_sem_wait(&lot->permits);
	case 6:
		return lock_for_long(&lot->lock);
	case 7:
		return join_one();
	}
	CHECK(write(lot->pipe[1], &byte, 1) == 1);
	CHECK(read(lot->pipe[0], &byte, 1) == 1);
	return 0;
}

static int stay(struct lot *lot, long rounds)
{
	kf_fiber_t self = kf_self();
	pid_t thread;

	CHECK(kf_pin() == 0);
	CHECK(!get_owner());
	thread = this_thread();
	set_owner(self);
	block(SIG_BLOCK, SIGUSR2);
	while (rounds--) {
		CHECK(do_something(lot) == 0);
		CHECK(this_thread() == thread);
		CHECK(get_owner() == self);
		CHECK(is_blocked(SIGUSR2));
	}
	block(SIG_UNBLOCK, SIGUSR2);
	set_owner(0);
	CHECK(kf_unpin() == 0);
	return 0;
}

/* Now and then it is not pinned, and may be anywhere. */
static void *stay_and_go(void *arg)
{
	struct lot lot = { .pinned = kf_self(), .seed = (unsigned int)(uintptr_t)arg };
	kf_fiber_t other;
	intptr_t err = 0;
	int i;

	if (pipe(lot.pipe) || kf_spawn(&other, NULL, partner, &lot))
		return (void *)-1;
	for (i = 0; i < 3 && !err; i++) {
		err = stay(&lot, slowly(50));
		kf_yield();
	}
	atomic_store(&lot.done, true);
	kf_join(other, NULL);
	close(lot.pipe[0]);
	close(lot.pipe[1]);
	return (void *)err;
}

#define NR_PINNED 6
#define NR_PASSERS 4

/* Runs NR_PINNED fibers beside passers-by. Return: what the first gave that failed. */
static int beside_passers(void *(*fn)(void *))
{
	kf_fiber_t others[NR_PASSERS], pinned[NR_PINNED];
	int i, result = 0;
	void *value;

	atomic_store(&stop, false);
	atomic_store(&strays, 0);
	for (i = 0; i < NR_PASSERS; i++)
		CHECK(kf_spawn(&others[i], NULL, passer_by, NULL) == 0);
	for (i = 0; i < NR_PINNED; i++)
		CHECK(kf_spawn(&pinned[i], NULL, fn, (void *)(intptr_t)(i + 1)) == 0);
	for (i = 0; i < NR_PINNED; i++) {
		CHECK(kf_join(pinned[i], &value) == 0);
		if (!result)
			result = (int)(intptr_t)value;
	}
	atomic_store(&stop, true);
	for (i = 0; i < NR_PASSERS; i++)
		CHECK(kf_join(others[i], NULL) == 0);
	CHECK(atomic_load(&strays) == 0);
	return result;
}

static int stay_beside_others(void *arg)
{
	return beside_passers(stay_and_go);
}

TEST_F(processors, it_stays_whatever_it_does)
{
	ASSERT_EQ(0, run(variant->n, stay_beside_others, NULL));
}

/* As few workers as may be: each but one has a pinned fiber. */
TEST_F(processors, few_workers_do)
{
	ASSERT_EQ(0, run_with(variant->n, NR_PINNED + 1, stay_beside_others, NULL));
}

/* --- signals -------------------------------------------------------------------------- */

static atomic_int handled;

static void count_signal(int signal)
{
	atomic_fetch_add(&handled, 1);
}

/* Sends the process signals, which any thread takes: most of them sleep in the module. */
static void *send_signals(void *arg)
{
	sigset_t mask;

	sigfillset(&mask);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	while (!atomic_load(&stop)) {
		kill(getpid(), SIGUSR1);
		usleep(50);
	}
	return NULL;
}

static int stay_under_signals(void *arg)
{
	struct sigaction action = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	pthread_t sender;
	int result;

	sigaction(SIGUSR1, &action, NULL);
	atomic_store(&stop, false);
	CHECK(pthread_create(&sender, NULL, send_signals, NULL) == 0);
	result = beside_passers(stay_and_go);
	pthread_join(sender, NULL);
	return result;
}

TEST_F(processors, signals_lose_no_wake_up)
{
	ASSERT_EQ(0, run(variant->n, stay_under_signals, NULL));
	ASSERT_GT(atomic_load(&handled), 0);
}

/* --- others go on --------------------------------------------------------------------- */

static void *pin_and_spin(void *arg)
{
	atomic_bool *seen = arg;

	if (kf_pin())
		return (void *)-1;
	atomic_fetch_add(&pinned, 1);
	while (!atomic_load(seen))
		kf_yield();
	return NULL;
}

static void *see(void *arg)
{
	atomic_store((atomic_bool *)arg, true);
	return NULL;
}

/* One that yields all the time waits for one that is queued. */
static int yield_to(void *arg)
{
	atomic_bool seen = false;
	kf_fiber_t spins, sees;
	void *value;

	atomic_store(&pinned, 0);
	CHECK(kf_spawn(&spins, NULL, pin_and_spin, &seen) == 0);
	wait_for_count(&pinned, 1);
	CHECK(kf_spawn(&sees, NULL, see, &seen) == 0);
	CHECK(kf_join(sees, NULL) == 0);
	CHECK(kf_join(spins, &value) == 0 && !value);
	return 0;
}

static int yield_to_while_pinned(void *arg)
{
	CHECK(kf_pin() == 0);
	CHECK(yield_to(NULL) == 0);
	return kf_unpin();
}

TEST_F(processors, a_yield_lets_others_go_first)
{
	ASSERT_EQ(0, run(variant->n, yield_to, NULL));
	ASSERT_EQ(0, run(variant->n, yield_to_while_pinned, NULL));
}

static atomic_int turns;

static void *ping(void *arg)
{
	kf_fiber_t *to = arg;
	long rounds = slowly(500);

	if (kf_pin())
		return (void *)-1;
	while (rounds--) {
		while (kf_unpark(*to))
			kf_yield();
		kf_park(KF_FOREVER);
		atomic_fetch_add(&turns, 1);
	}
	kf_unpark(*to);
	return NULL;
}

/* Two that are pinned wake each other; a permit that comes early is not lost. */
static int ping_pong(void *arg)
{
	kf_fiber_t fibers[2] = { 0 };
	void *value;
	int i;

	CHECK(kf_spawn(&fibers[0], NULL, ping, &fibers[1]) == 0);
	CHECK(kf_spawn(&fibers[1], NULL, ping, &fibers[0]) == 0);
	for (i = 0; i < 2; i++)
		CHECK(kf_join(fibers[i], &value) == 0 && !value);
	return 0;
}

TEST_F(processors, two_wake_each_other)
{
	atomic_store(&turns, 0);
	ASSERT_EQ(0, run(variant->n, ping_pong, NULL));
	ASSERT_EQ(2 * slowly(500), atomic_load(&turns));
}

/* --- the end -------------------------------------------------------------------------- */

static void *end_pinned(void *arg)
{
	if (get_owner() || is_blocked(SIGUSR2))
		return (void *)-1;
	if (kf_pin() || kf_pin())
		return (void *)-2;
	set_owner(kf_self());
	block(SIG_BLOCK, SIGUSR2);
	kf_sleep(MS / 10);
	return NULL;
}

static int end_many(void *arg)
{
	struct kf_stats stats = { .size = sizeof(stats) };
	long i;

	for (i = 0; i < slowly(60); i++)
		CHECK(beside_passers(end_pinned) == 0);
	CHECK(kf_stats(&stats) == 0);
	/* Theirs, one for each processor, spares: of those of all rounds most are gone. */
	CHECK(stats.workers_peak <= NR_PINNED * slowly(60) / 2);
	CHECK(stats.workers <= NR_PINNED * slowly(60) / 2);
	return 0;
}

TEST_F(processors, its_thread_ends_with_it)
{
	ASSERT_EQ(0, run(variant->n, end_many, NULL));
}

static void *outlive(void *arg)
{
	kf_sleep(20 * MS);
	return join_one() ? NULL : arg;
}

static int end_first(void *arg)
{
	static const struct kf_attr detached = { .size = sizeof(detached), .flags = KF_DETACHED };

	CHECK(kf_spawn(NULL, &detached, outlive, NULL) == 0);
	CHECK(kf_spawn(NULL, &detached, see, arg) == 0);
	CHECK(kf_pin() == 0);
	return 42;
}

/* The thread of kf_run() cannot end: it waits for the others. */
TEST_F(processors, the_first_fiber_may_end_pinned)
{
	atomic_bool seen = false;

	ASSERT_EQ(42, run(variant->n, end_first, &seen));
	ASSERT_TRUE(atomic_load(&seen));
	seen = false;
	ASSERT_EQ(42, run_with(variant->n, 2, end_first, &seen));
	ASSERT_TRUE(atomic_load(&seen));
	/* And it is a plain thread as before. */
	ASSERT_EQ(0, get_owner());
	ASSERT_EQ(-EPERM, kf_pin());
}

static void end_thread(int signal)
{
	syscall(SYS_exit, 0);
}

static atomic_int victim;

static void *pin_and_park(void *arg)
{
	if (kf_pin())
		return (void *)-1;
	atomic_store(&victim, this_thread());
	kf_park(KF_FOREVER);
	return NULL;
}

/* The thread ends while its fiber is parked: whoever joins that is told. */
static int lose_thread(void *arg)
{
	struct sigaction action = { .sa_handler = end_thread };
	kf_fiber_t fiber;
	int i;

	sigaction(SIGUSR1, &action, NULL);
	for (i = 0; i < 3; i++) {
		/* Not on the thread of kf_run(), which has to be there at the end. */
		CHECK(kf_pin() == 0);
		atomic_store(&victim, 0);
		CHECK(kf_spawn(&fiber, NULL, pin_and_park, NULL) == 0);
		wait_for_count(&victim, 1);
		CHECK(syscall(SYS_tgkill, getpid(), atomic_load(&victim), SIGUSR1) == 0);
		CHECK(kf_join(fiber, NULL) == -EFAULT);
		CHECK(kf_unpin() == 0);
	}
	/* They are not counted any more: one of three workers may be pinned again, and two. */
	CHECK(kf_pin() == 0);
	atomic_store(&pinned, 0);
	CHECK(kf_spawn(&fiber, NULL, pin_once, NULL) == 0);
	wait_for_count(&pinned, 1);
	CHECK(kf_unpark(fiber) == 0);
	CHECK(kf_join(fiber, NULL) == 0);
	return kf_unpin();
}

TEST_F(processors, it_dies_with_its_thread)
{
	ASSERT_EQ(0, run_with(variant->n, 3, lose_thread, NULL));
}

TEST_HARNESS_MAIN
