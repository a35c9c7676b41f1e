// SPDX-License-Identifier: GPL-2.0
/*
 * Fibers that compute while others wait: they lose the processor, the others go
 * on, and nobody is kept waiting by anybody. Most tests here end only if that is
 * so, and fail by their time-out.
 */
#include <dirent.h>
#include <errno.h>
#include <kfiber/kfiber.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"
#include "slow.h"
#include "syscalls.h"

static atomic_bool stop;

static int run_with(unsigned int processors, uint64_t slice, unsigned int workers,
		    int (*fn)(void *), void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .slice_ns = slice,
		.max_workers = workers,
	};

	return kf_run(&config, fn, arg);
}

static uint64_t preemptions(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	kf_stats(&stats);
	return stats.preemptions;
}

static void *compute(void *arg)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		;
	return NULL;
}

static void *end_it(void *arg)
{
	atomic_store(&stop, true);
	return NULL;
}

/* Fibers that compute until @fn, a fiber that is spawned after them, ends it. */
static int run_beside(int hogs, void *(*fn)(void *))
{
	kf_fiber_t fibers[8];
	int i;

	atomic_store(&stop, false);
	for (i = 0; i < hogs; i++)
		if (kf_spawn(&fibers[i], NULL, compute, NULL))
			return 1;
	if (kf_spawn(&fibers[hogs], NULL, fn, NULL))
		return 1;
	for (i = 0; i <= hogs; i++)
		if (kf_join(fibers[i], NULL))
			return 2;
	return 0;
}

/* --- one that computes, one that waits ---------------------------------------------- */

static int compute_before(void *arg)
{
	return run_beside(1, end_it);
}

TEST(a_neighbour_of_an_endless_loop_runs)
{
	ASSERT_EQ(0, run_with(1, 0, 0, compute_before, NULL));
}

static int compute_itself(void *arg)
{
	kf_fiber_t other;

	/* Again if it had to wait for a page meanwhile: then a spare has run the other. */
	do {
		atomic_store(&stop, false);
		if (kf_spawn(&other, NULL, end_it, NULL))
			return 1;
		compute(NULL);
		if (kf_join(other, NULL))
			return 2;
	} while (!preemptions());
	return 0;
}

TEST(who_queues_another_and_computes_is_preempted)
{
	ASSERT_EQ(0, run_with(1, 0, 0, compute_itself, NULL));
	ASSERT_EQ(0, run_with(1, KF_SLICE_MIN, 0, compute_itself, NULL));
}

static void *sleep_and_end(void *arg)
{
	kf_sleep(20 * MS);
	return end_it(NULL);
}

/* What the kernel makes runnable is seen by the tick without a call. */
static int compute_beside_sleeper(void *arg)
{
	kf_fiber_t other;

	atomic_store(&stop, false);
	if (kf_spawn(&other, NULL, sleep_and_end, NULL))
		return 1;
	kf_yield();
	/* Nobody waits now: the tick has stopped before the timer fires. */
	compute(NULL);
	return kf_join(other, NULL);
}

TEST(a_timer_gets_the_processor_of_an_endless_loop)
{
	ASSERT_EQ(0, run_with(1, 0, 0, compute_beside_sleeper, NULL));
}

static void *block_and_end(void *arg)
{
	struct timespec ms = { .tv_nsec = MS };
	int i;

	for (i = 0; i < 20; i++)
		nanosleep(&ms, NULL);
	return end_it(NULL);
}

static int compute_beside_blocked(void *arg)
{
	return run_beside(2, block_and_end);
}

TEST(who_comes_back_from_blocking_is_let_in)
{
	ASSERT_EQ(0, run_with(1, 0, 0, compute_beside_blocked, NULL));
	ASSERT_EQ(0, run_with(2, 0, 0, compute_beside_blocked, NULL));
}

/* How long a fiber that becomes runnable waits behind one that computes. */
static int measure_waits(void *arg)
{
	uint64_t waited, worst = 0, sum = 0;
	kf_fiber_t hog;
	int i, n = 20;

	atomic_store(&stop, false);
	if (kf_spawn(&hog, NULL, compute, NULL))
		return 1;
	for (i = 0; i < n; i++) {
		uint64_t end = kf_after(15 * MS);

		kf_sleep(15 * MS);
		waited = kf_now() - end;
		worst = waited > worst ? waited : worst;
		sum += waited;
	}
	atomic_store(&stop, true);
	printf("# waited %llu us, at worst %llu us, with slices of 10 ms\n",
	       (unsigned long long)sum / n / 1000, (unsigned long long)worst / 1000);
	return kf_join(hog, NULL) || preemptions() < 10;
}

TEST(a_sleeper_waits_for_a_slice)
{
	ASSERT_EQ(0, run_with(1, 0, 0, measure_waits, NULL));
}

/* --- fairness -------------------------------------------------------------------------- */

enum { HOGS = 5 };

static atomic_long turns[HOGS];
static atomic_int last_turn;

/* Counts how often it has come after another one. */
static void *count_turns(void *arg)
{
	int self = (int)(long)arg;

	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		if (atomic_exchange(&last_turn, self) != self)
			atomic_fetch_add(&turns[self], 1);
	return NULL;
}

static int compute_in_turn(void *arg)
{
	kf_fiber_t hogs[HOGS];
	long i;

	atomic_store(&stop, false);
	for (i = 0; i < HOGS; i++) {
		atomic_store(&turns[i], 0);
		if (kf_spawn(&hogs[i], NULL, count_turns, (void *)i))
			return 1;
	}
	for (i = 0; i < HOGS; i++)
		while (atomic_load(&turns[i]) < 5)
			kf_sleep(20 * MS);
	atomic_store(&stop, true);
	for (i = 0; i < HOGS; i++)
		if (kf_join(hogs[i], NULL))
			return 2;
	return 0;
}

TEST(those_who_compute_take_turns)
{
	ASSERT_EQ(0, run_with(1, 2 * MS, 0, compute_in_turn, NULL));
	ASSERT_EQ(0, run_with(2, 2 * MS, 0, compute_in_turn, NULL));
}

static void *come_and_go(void *arg)
{
	while (!atomic_load_explicit(&stop, memory_order_relaxed))
		kf_yield();
	return NULL;
}

/* Its turns end when the slices of it and of the others do. */
static void *compute_for_turns(void *arg)
{
	uint64_t before = preemptions();

	while (preemptions() < before + 5)
		;
	return end_it(NULL);
}

static int compute_among_short(void *arg)
{
	kf_fiber_t hog, others[10];
	int i;

	atomic_store(&stop, false);
	for (i = 0; i < 10; i++)
		if (kf_spawn(&others[i], NULL, come_and_go, NULL))
			return 1;
	if (kf_spawn(&hog, NULL, compute_for_turns, NULL) || kf_join(hog, NULL))
		return 2;
	for (i = 0; i < 10; i++)
		if (kf_join(others[i], NULL))
			return 3;
	return 0;
}

TEST(who_computes_goes_on_among_those_who_do_not)
{
	ASSERT_EQ(0, run_with(1, 0, 0, compute_among_short, NULL));
	ASSERT_EQ(0, run_with(2, 0, 0, compute_among_short, NULL));
}

static uint64_t returns(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	kf_stats(&stats);
	return stats.returns;
}

/*
 * One of these waits at any time for a processor, but none is ever queued. Of each that is let
 * in a millisecond has passed, so ten of them are a slice.
 */
static void *block_now_and_then(void *arg)
{
	while (!atomic_load(&stop)) {
		uint64_t end = kf_after(MS);

		while (kf_now() < end)
			;
		usleep(1);
	}
	return NULL;
}

static int compute_among_those_who_block(void *arg)
{
	kf_fiber_t hog, others[10];
	uint64_t before, let_in;
	int i;

	atomic_store(&stop, false);
	for (i = 0; i < 10; i++)
		if (kf_spawn(&others[i], NULL, block_now_and_then, NULL))
			return 1;
	before = returns();
	if (kf_spawn(&hog, NULL, compute_for_turns, NULL) || kf_join(hog, NULL))
		return 2;
	let_in = returns() - before;
	for (i = 0; i < 10; i++)
		if (kf_join(others[i], NULL))
			return 3;
	printf("# 5 turns of who computes, %ju of others\n", (uintmax_t)let_in);
	return let_in < 5 * 50 ? 0 : 4;
}

TEST(who_computes_goes_on_among_those_who_block)
{
	ASSERT_EQ(0, run_with(1, 0, 0, compute_among_those_who_block, NULL));
	ASSERT_EQ(0, run_with(2, 0, 0, compute_among_those_who_block, NULL));
}

/* Two that wake each other, and one that is behind them in the ring. */
static void *ping(void *arg)
{
	kf_fiber_t *other = arg;

	while (!atomic_load(&stop)) {
		uint64_t end = kf_after(MS);

		while (kf_now() < end)
			;
		kf_unpark(*other);
		kf_park(kf_after(100 * MS));
	}
	kf_unpark(*other);
	return NULL;
}

static int starve_the_ring(void *arg)
{
	kf_fiber_t pair[2], other;

	atomic_store(&stop, false);
	if (kf_spawn(&pair[0], NULL, ping, &pair[1]) ||
	    kf_spawn(&pair[1], NULL, ping, &pair[0]) ||
	    kf_spawn(&other, NULL, end_it, NULL))
		return 1;
	return kf_join(other, NULL) || kf_join(pair[0], NULL) || kf_join(pair[1], NULL);
}

TEST(a_ring_is_not_starved_by_next)
{
	ASSERT_EQ(0, run_with(1, 0, 0, starve_the_ring, NULL));
}

/* --- what a preempted fiber keeps -------------------------------------------------------- */

static __thread int of_this_thread;

/* Locks, thread-local state and vector registers, all in use when it happens. */
static void *keep_state(void *arg)
{
	pid_t tid = (pid_t)syscall(SYS_gettid);
	double sum = 0;
	long i, n = 0;

	of_this_thread = tid;
	while (preemptions() < 12) {
		char *p = malloc(100 + n % 5000);

		if (!p)
			return (void *)1;
		memset(p, (int)n, 100);
		for (i = 0, sum = 0; i < 1000; i++)
			sum += sqrt((double)i * (double)i);
		if (p[99] != (char)n || sum != 499500.0)
			return (void *)2;
		free(p);
		n++;
		if (of_this_thread != tid || syscall(SYS_gettid) != tid)
			return (void *)3;
	}
	return NULL;
}

static int keep_state_all(void *arg)
{
	kf_fiber_t fibers[4];

	return spawn_each(fibers, 4, keep_state) ? -1 : join_each(fibers, 4);
}

TEST(a_preempted_fiber_stays_where_it_is)
{
	ASSERT_EQ(0, run_with(1, KF_SLICE_MIN, 0, keep_state_all, NULL));
	ASSERT_EQ(0, run_with(2, KF_SLICE_MIN, 0, keep_state_all, NULL));
}

static void on_signal(int number)
{
	compute(NULL);
}

static int compute_in_handler(void *arg)
{
	kf_fiber_t other;

	atomic_store(&stop, false);
	if (kf_spawn(&other, NULL, end_it, NULL))
		return 1;
	raise(SIGUSR1);
	return kf_join(other, NULL);
}

TEST(a_signal_handler_is_preempted)
{
	signal(SIGUSR1, on_signal);
	ASSERT_EQ(0, run_with(1, 0, 0, compute_in_handler, NULL));
}

/* A signal gets a preempted fiber out of its wait; it is still one of many after it. */
static atomic_int interrupted;

static void on_interrupt(int number)
{
	atomic_fetch_add(&interrupted, 1);
}

static void *interrupt_process(void *arg)
{
	int i;

	for (i = 0; i < 200; i++) {
		kill(getpid(), SIGUSR2);
		kf_sleep(MS / 4);
	}
	return end_it(NULL);
}

static int compute_interrupted(void *arg)
{
	return run_beside(3, interrupt_process);
}

TEST(signals_come_to_those_who_are_preempted)
{
	signal(SIGUSR2, on_interrupt);
	ASSERT_EQ(0, run_with(2, KF_SLICE_MIN, 0, compute_interrupted, NULL));
	ASSERT_LT(0, atomic_load(&interrupted));
}

/* --- limits --------------------------------------------------------------------------------- */

/* Nobody is left to run what waits: it waits until one of them ends. */
static int compute_without_spare(void *arg)
{
	uint64_t end = kf_after(100 * MS);
	kf_fiber_t other;

	atomic_store(&stop, false);
	if (kf_spawn(&other, NULL, end_it, NULL))
		return 1;
	while (kf_now() < end)
		;
	return kf_join(other, NULL) || !atomic_load(&stop);
}

TEST(without_a_spare_it_goes_on)
{
	ASSERT_EQ(0, run_with(1, 0, 1, compute_without_spare, NULL));
}

/*
 * A spare that a signal wakes while it is given a processor has been taken as any other: one
 * more is needed, or who blocks next takes the last worker but the one that computes.
 */
enum { BLOCKERS = 100 };

static int blockers_pipe[2];
static atomic_uint blocked;
static atomic_bool storm_over;

static void *block_in_read(void *arg)
{
	char c;

	atomic_fetch_add(&blocked, 1);
	while (read(blockers_pipe[0], &c, 1) != 1)
		;
	return NULL;
}

/* A plain thread. */
static void *signal_all_threads(void *arg)
{
	const int self = (int)syscall(SYS_gettid);

	while (!atomic_load(&storm_over)) {
		DIR *threads = opendir("/proc/self/task");
		struct dirent *entry;

		while (threads && (entry = readdir(threads)))
			if (atoi(entry->d_name) && atoi(entry->d_name) != self)
				syscall(SYS_tgkill, getpid(), atoi(entry->d_name), SIGUSR1);
		if (threads)
			closedir(threads);
	}
	return NULL;
}

static int block_in_a_storm(void *arg)
{
	kf_fiber_t hog, fibers[BLOCKERS];
	char go[BLOCKERS] = "";
	unsigned int i, n = (unsigned int)slowly(BLOCKERS);
	int bad = 0;

	atomic_store(&stop, false);
	if (kf_spawn(&hog, NULL, compute, NULL))
		return 1;
	for (i = 0; i < n; i++) {
		if (kf_spawn(&fibers[i], NULL, block_in_read, NULL))
			return 2;
		while (atomic_load(&blocked) == i)
			kf_yield();
	}
	atomic_store(&stop, true);
	bad += write(blockers_pipe[1], go, n) != n;
	while (i--)
		bad += kf_join(fibers[i], NULL);
	return bad + kf_join(hog, NULL);
}

static void ignore(int signal)
{
}

TEST(signals_cost_no_spares)
{
	struct sigaction action = { .sa_handler = ignore };
	pthread_t storm;
	int result;

	ASSERT_EQ(0, pipe(blockers_pipe));
	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_EQ(0, pthread_create(&storm, NULL, signal_all_threads, NULL));
	result = run_with(2, 0, 0, block_in_a_storm, NULL);
	atomic_store(&storm_over, true);
	ASSERT_EQ(0, pthread_join(storm, NULL));
	ASSERT_EQ(0, result);
}

static int compute_unpreempted(void *arg)
{
	kf_fiber_t other;
	uint64_t end;

	/* Nothing may have it wait for a page. */
	wait_for_spare();
	if (preemptions())
		return 1;
	atomic_store(&stop, false);
	end = kf_after(100 * MS);
	if (kf_spawn(&other, NULL, end_it, NULL))
		return 1;
	while (kf_now() < end)
		if (atomic_load(&stop))
			return 2;
	return kf_join(other, NULL) || preemptions();
}

TEST(slices_may_have_no_end)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_with(1, KF_SLICE_NEVER, 0, compute_unpreempted, NULL));
	ASSERT_EQ(-EINVAL, run_with(1, KF_SLICE_MIN - 1, 0, compute_unpreempted, NULL));
	ASSERT_EQ(-EINVAL, run_with(1, 1, 0, compute_unpreempted, NULL));
}

/* --- no tick while nobody waits ----------------------------------------------------------------- */

static bool tick_is_set(void)
{
	FILE *file = fopen("/proc/timer_list", "r");
	bool found = false;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		found |= strstr(line, "kf_tick") != NULL;
	if (file)
		fclose(file);
	return found;
}

static int look_for_tick(void *arg)
{
	bool while_waiting = false;
	kf_fiber_t other;
	int i;

	/* Again if it was just about to be set, or had to wait for a page: then the other ran. */
	for (i = 0; i < 50 && !while_waiting; i++) {
		atomic_store(&stop, false);
		if (kf_spawn(&other, NULL, end_it, NULL))
			return 1;
		/* Runs alone at first: it has just queued somebody. */
		while_waiting = tick_is_set();
		if (kf_join(other, NULL))
			return 2;
	}
	if (!while_waiting)
		return 3;
	/*
	 * Alone, computing: nobody to be preempted for. It is the tick that sees so, and on a
	 * machine that stands still it is late; if it never does, this does not end.
	 */
	while (tick_is_set())
		;
	/* Idle. */
	while (tick_is_set())
		kf_sleep(100 * MS);
	return 0;
}

TEST(no_tick_while_nobody_waits)
{
	FILE *file = fopen("/proc/timer_list", "r");

	if (!file)
		SKIP(return, "the kernel does not list its timers");
	fclose(file);
	ASSERT_EQ(0, run_with(1, 0, 0, look_for_tick, NULL));
	/* Gone with the domain. */
	while (tick_is_set())
		usleep(1000);
}

TEST_HARNESS_MAIN
