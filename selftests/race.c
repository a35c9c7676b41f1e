// SPDX-License-Identifier: GPL-2.0
/*
 * Races, provoked: the module and the library are held up at the steps of their
 * protocols (kmod/delay.h, userlib/src/delay.h) while fibers park, time out,
 * block, are stolen, end, fork, and die. Each scenario counts exactly, or checks
 * who runs, so that a wake-up that is lost or a fiber that runs twice is seen;
 * if nothing goes on any more, everything is printed.
 *
 * Of the module's points it has those of a build with DELAY=1, if that one is
 * loaded. At the end every point must have been reached.
 *
 *   KFIBER_SEED     where all decisions come from (default: 1)
 *   KFIBER_SECONDS  for all scenarios together (default: 30; 12 if the module has
 *                   no delay points)
 *   KFIBER_ROUND    begin with this round: one that failed (default: 0)
 *   KFIBER_STALL    seconds without any progress that are a failure (default: 60)
 *   KFIBER_DELAY    0: hold nothing up, only count
 */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <linux/kfiber.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "harness.h"
#include "delay.h"
#include "run.h"
#include "state.h"

#define US 1000ull
#define SCENARIOS 20
/* The harness ends what takes longer; here the watchdog does, by progress. */
#define NO_TIMEOUT 1000000

/**
 * struct task - a fiber of a scenario
 * @name: its fiber
 * @index: in @tasks
 * @running: 1 while it runs: set and cleared by itself, around what blocks it,
 *	if its work has an end
 * @random: state of its generator
 * @box: messages for it; or that it waits to be woken
 * @sent: permits that it was given, at most
 * @taken: what it took: messages or permits
 */
struct task {
	_Atomic kf_fiber_t name;
	unsigned int index;
	atomic_int running;
	uint32_t random;
	_Atomic long box;
	_Atomic long sent;
	_Atomic long taken;
};

enum { MAX_TASKS = 64 };

static struct task tasks[MAX_TASKS];
static uint32_t seed, round_number;
static unsigned int processors;
static const char *scenario;
static _Atomic long progress;
static atomic_int inside;
static atomic_bool stop;
static _Atomic unsigned int *finished;

/* --- what all need -------------------------------------------------------- */

/* Prints why, and everything else that is known, and ends the test. */
static _Noreturn void __attribute__((format(printf, 1, 2))) broken(const char *format, ...)
{
	va_list args;

	printf("# %s: ", scenario);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n# KFIBER_SEED=%u KFIBER_ROUND=%u, %u processors\n", seed, round_number,
	       processors);
	state_print();
	fflush(stdout);
	_exit(1);
}

static uint32_t mix(uint32_t x)
{
	x = (x ^ x >> 16) * 0x7feb352du;
	x = (x ^ x >> 15) * 0x846ca68bu;
	return x ^ x >> 16;
}

static uint32_t pick(uint32_t *state, uint32_t n)
{
	*state += 0x9e3779b9u;
	return mix(*state) % n;
}

static uint64_t environment(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* Of one that goes on for as long as others do: that is no progress. */
static void enter_beside(struct task *t)
{
	if (atomic_exchange(&t->running, 1))
		broken("fiber %u runs twice", t->index);
}

static void enter(struct task *t)
{
	enter_beside(t);
	atomic_fetch_add(&progress, 1);
}

static void leave(struct task *t)
{
	if (!atomic_exchange(&t->running, 0))
		broken("fiber %u runs, and another on its stack has stopped", t->index);
}

static int park(struct task *t, uint64_t deadline)
{
	int err;

	leave(t);
	err = kf_park(deadline);
	enter(t);
	return err;
}

static void yield(struct task *t)
{
	leave(t);
	kf_yield();
	enter(t);
}

static void sleep_for(struct task *t, uint64_t ns)
{
	uint64_t end = kf_after(ns);

	leave(t);
	kf_sleep(ns);
	enter(t);
	if (kf_now() < end)
		broken("fiber %u woke too early", t->index);
}

static void block_for(struct task *t, uint64_t ns)
{
	struct timespec pause = { .tv_nsec = (long)ns };

	leave(t);
	nanosleep(&pause, NULL);
	enter(t);
}

/*
 * User code runs with a processor, so no more than those run at once. Nothing in
 * here may fault: a thread that sleeps in a fault has given its processor away.
 */
static void __attribute__((noinline)) compute(int steps)
{
	int n = atomic_fetch_add(&inside, 1) + 1;

	if (n > (int)processors)
		broken("%d fibers run on %u processors", n, processors);
	while (steps-- > 0)
		__asm__ volatile("" ::: "memory");
	atomic_fetch_sub(&inside, 1);
}

static void task_init(struct task *t)
{
	t->index = (unsigned int)(t - tasks);
	t->random = mix(seed + mix(round_number + mix(t->index)));
	atomic_store(&t->name, 0);
	atomic_store(&t->running, 0);
	atomic_store(&t->box, 0);
	atomic_store(&t->sent, 0);
	atomic_store(&t->taken, 0);
}

static void spawn(struct task *t, void *(*fn)(void *))
{
	kf_fiber_t name;
	int err;

	task_init(t);
	err = kf_spawn(&name, NULL, fn, t);
	if (err)
		broken("kf_spawn: %s", strerror(-err));
	atomic_store(&t->name, name);
}

static void spawn_all(unsigned int first, unsigned int n, void *(*fn)(void *))
{
	unsigned int i;

	for (i = first; i < first + n; i++)
		spawn(&tasks[i], fn);
}

static void join(struct task *t)
{
	int err = kf_join(atomic_load(&t->name), NULL);

	if (err)
		broken("joining fiber %u: %s", t->index, strerror(-err));
	atomic_fetch_add(&progress, 1);
}

static void join_all(unsigned int first, unsigned int n)
{
	unsigned int i;

	for (i = first; i < first + n; i++)
		join(&tasks[i]);
}

/*
 * Who spawned the task may be back from blocking, with the name not yet stored, and wait for
 * the caller's processor: without slices only the caller can give it away.
 */
static void unpark(struct task *t)
{
	kf_fiber_t name;

	while (!(name = atomic_load(&t->name)))
		kf_yield();
	kf_unpark(name);
}

static pthread_t start_thread(void *(*fn)(void *), void *arg)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, fn, arg);

	if (err)
		broken("pthread_create: %s", strerror(err));
	return thread;
}

static void run_domain_with(uint64_t slice, int (*fn)(void *))
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .slice_ns = slice,
		.idle_ns = 10000000,
	};
	int err = kf_run(&config, fn, NULL);

	if (err)
		broken("kf_run: %d", err);
}

/* Who is preempted in compute() would be counted as one that runs. */
static void run_domain(int (*fn)(void *))
{
	run_domain_with(KF_SLICE_NEVER, fn);
}

/* --- park and unpark ------------------------------------------------------- */

enum { PAIRS = 4, BOUNCES = 150 };

static struct {
	atomic_int turn;
	long count;		/* only who has the turn */
} pairs[PAIRS];

static void *bounce(void *arg)
{
	struct task *t = arg, *peer = &tasks[t->index ^ 1];
	int side = (int)t->index & 1;
	int i;

	enter(t);
	for (i = 0; i < BOUNCES; i++) {
		while (atomic_load(&pairs[t->index / 2].turn) != side)
			park(t, KF_FOREVER);
		compute((int)pick(&t->random, 500));
		pairs[t->index / 2].count++;
		atomic_store(&pairs[t->index / 2].turn, !side);
		unpark(peer);
	}
	leave(t);
	return NULL;
}

static int ping_pong_main(void *arg)
{
	int i;

	memset(pairs, 0, sizeof(pairs));
	spawn_all(0, 2 * PAIRS, bounce);
	join_all(0, 2 * PAIRS);
	for (i = 0; i < PAIRS; i++)
		if (pairs[i].count != 2 * BOUNCES)
			broken("pair %d: %ld turns", i, pairs[i].count);
	return 0;
}

static void ping_pong(void)
{
	run_domain(ping_pong_main);
}

/* Many to many, by fibers and plain threads. No message may stay in a box. */
enum { RECEIVERS = 5, SENDERS = 4, THREADS = 2, MESSAGES = 200 };

static void send_messages(uint32_t *random)
{
	int i;

	for (i = 0; i < MESSAGES; i++) {
		struct task *t = &tasks[pick(random, RECEIVERS)];

		atomic_fetch_add(&t->box, 1);
		unpark(t);
		atomic_fetch_add(&progress, 1);
	}
}

static void *send_by_fiber(void *arg)
{
	struct task *t = arg;

	enter(t);
	send_messages(&t->random);
	leave(t);
	return NULL;
}

static void *send_by_thread(void *arg)
{
	uint32_t random = mix(seed + round_number + (uint32_t)(uintptr_t)arg);

	send_messages(&random);
	return NULL;
}

static void *receive(void *arg)
{
	struct task *t = arg;
	bool last;

	enter(t);
	do {
		last = atomic_load(&stop);
		atomic_fetch_add(&t->taken, atomic_exchange(&t->box, 0));
		if (!last)
			park(t, KF_FOREVER);
	} while (!last);
	leave(t);
	return NULL;
}

static int storm_main(void *arg)
{
	pthread_t threads[THREADS];
	long taken = 0;
	int i;

	atomic_store(&stop, false);
	spawn_all(0, RECEIVERS, receive);
	spawn_all(RECEIVERS, SENDERS, send_by_fiber);
	for (i = 0; i < THREADS; i++)
		threads[i] = start_thread(send_by_thread, (void *)(long)i);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	join_all(RECEIVERS, SENDERS);
	/* What was sent is taken without a push from here. */
	for (i = 0; i < RECEIVERS; i++)
		while (atomic_load(&tasks[i].box))
			kf_sleep(20 * US);
	atomic_store(&stop, true);
	for (i = 0; i < RECEIVERS; i++)
		unpark(&tasks[i]);
	join_all(0, RECEIVERS);
	for (i = 0; i < RECEIVERS; i++)
		taken += atomic_load(&tasks[i].taken);
	if (taken != (SENDERS + THREADS) * MESSAGES)
		broken("%ld messages came of %d", taken, (SENDERS + THREADS) * MESSAGES);
	return 0;
}

static void storm(void)
{
	run_domain(storm_main);
}

/*
 * Who computes keeps nobody waiting: others take what is in its ring and, after
 * a while, its "next". Nobody else queues anything that would wake them again.
 */
enum { WATCHED = 3, LOOKS = 20 };

static void *be_seen(void *arg)
{
	struct task *t = arg;
	int i;

	enter(t);
	for (i = 1; i <= LOOKS; i++) {
		while (atomic_load(&t->sent) < i)
			park(t, KF_FOREVER);
		atomic_store(&t->taken, i);
	}
	leave(t);
	return NULL;
}

static int watched_main(void *arg)
{
	uint64_t busy;
	int i, k;

	spawn_all(0, WATCHED, be_seen);
	for (i = 1; i <= LOOKS; i++) {
		for (k = 0; k < WATCHED; k++) {
			atomic_fetch_add(&tasks[k].sent, 1);
			unpark(&tasks[k]);
		}
		for (k = 0; k < WATCHED; k++)
			while (atomic_load(&tasks[k].taken) < i)
				;
		/* Others have time to fall asleep, or not. */
		busy = kf_after(i % 4 * 10 * US);
		while (kf_now() < busy)
			;
		atomic_fetch_add(&progress, 1);
	}
	join_all(0, WATCHED);
	return 0;
}

static void watched(void)
{
	processors += processors == 1;
	run_domain(watched_main);
}

/* --- preemption ------------------------------------------------------------- */

/*
 * Fibers that compute and never dispatch take turns, with each other and with short
 * ones that they spawn: which is done in a critical section, where a slice may end
 * as well. When all but one have ended nobody is left to take turns with, so they
 * end at a number for all.
 */
enum { HOGS = 4, TURNS = 40, SHORT_ONES = 20 };

static atomic_int turns, last_turn, short_ones;

static void *be_short(void *arg)
{
	atomic_fetch_sub(&short_ones, 1);
	return NULL;
}

static void *take_turns(void *arg)
{
	struct kf_attr detached = { .size = sizeof(detached), .flags = KF_DETACHED };
	struct task *t = arg;
	int self;

	enter(t);
	self = (int)t->index;
	while (atomic_load(&turns) < TURNS) {
		if (atomic_exchange(&last_turn, self) != self) {
			atomic_fetch_add(&turns, 1);
			atomic_fetch_add(&progress, 1);
		}
		if (atomic_load(&short_ones) < SHORT_ONES) {
			atomic_fetch_add(&short_ones, 1);
			if (kf_spawn(NULL, &detached, be_short, NULL))
				broken("kf_spawn failed");
		}
		if (t->running != 1)
			broken("fiber %u runs twice", t->index);
	}
	leave(t);
	return NULL;
}

static int preempts_main(void *arg)
{
	atomic_store(&turns, 0);
	atomic_store(&short_ones, 0);
	spawn_all(0, HOGS, take_turns);
	join_all(0, HOGS);
	return 0;
}

static void preempts(void)
{
	processors = 1 + processors % 2;
	run_domain_with(KF_SLICE_MIN, preempts_main);
}

/* --- deadlines ------------------------------------------------------------- */

enum { SLEEPERS = 8, WAITS = 40 };

/* Later than this is missed, on any machine. */
#define LATE (10000 * MS)

static void wait_with_deadline(struct task *t, uint64_t deadline)
{
	int err = park(t, deadline);
	uint64_t now = kf_now();

	if (err == -ETIMEDOUT && now < deadline)
		broken("fiber %u timed out too early", t->index);
	else if (err && err != -ETIMEDOUT)
		broken("kf_park: %s", strerror(-err));
	if (!err && atomic_fetch_add(&t->taken, 1) >= atomic_load(&t->sent))
		broken("fiber %u took a permit that nobody gave", t->index);
	if (now > deadline && now - deadline > LATE)
		broken("the timer of fiber %u came late", t->index);
}

/*
 * Far deadlines, which somebody else sees to, and near ones, which nobody does:
 * there the timer must not stand where an earlier wait has put it.
 */
static void *wait_with_deadlines(void *arg)
{
	struct task *t = arg;
	int i;

	enter(t);
	for (i = 0; i < WAITS; i++) {
		uint64_t near = (20 + pick(&t->random, 1000)) * US;

		switch (pick(&t->random, 4)) {
		case 0:
			sleep_for(t, near / 2);
			break;
		case 1:
			wait_with_deadline(t, kf_after(near));
			break;
		default:
			atomic_store(&t->box, 1);
			wait_with_deadline(t, kf_after(i % 2 ? near : 3 * LATE));
			atomic_store(&t->box, 0);
		}
	}
	leave(t);
	return NULL;
}

/* For as long as others wait, so it is no progress that this one goes on. */
static void *wake_early(void *arg)
{
	struct task *t = arg;

	while (!atomic_load(&stop)) {
		struct task *other = &tasks[pick(&t->random, SLEEPERS)];

		if (atomic_load(&other->box)) {
			atomic_fetch_add(&other->sent, 1);
			unpark(other);
		}
		kf_sleep(pick(&t->random, 100) * US);
	}
	return NULL;
}

static int wait_beside_wakers(void *(*fn)(void *))
{
	atomic_store(&stop, false);
	spawn_all(0, SLEEPERS, fn);
	spawn_all(SLEEPERS, 2, wake_early);
	join_all(0, SLEEPERS);
	atomic_store(&stop, true);
	join_all(SLEEPERS, 2);
	return 0;
}

static int timers_main(void *arg)
{
	return wait_beside_wakers(wait_with_deadlines);
}

static void timers(void)
{
	run_domain(timers_main);
}

/* The same waits, by fibers that now and then stay on their thread. */
static void *wait_pinned(void *arg)
{
	struct task *t = arg;
	int i;

	enter(t);
	for (i = 0; i < WAITS; i++) {
		uint64_t near = (20 + pick(&t->random, 1000)) * US;
		bool pinned = pick(&t->random, 2) && !kf_pin();
		pid_t thread = gettid();

		if (i % 8 == 7)
			yield(t);
		atomic_store(&t->box, 1);
		wait_with_deadline(t, kf_after(i % 2 ? near : 3 * LATE));
		atomic_store(&t->box, 0);
		if (pinned && gettid() != thread)
			broken("fiber %u has left its thread", t->index);
		if (pinned && kf_unpin())
			broken("fiber %u is not pinned any more", t->index);
	}
	leave(t);
	return NULL;
}

static int pins_main(void *arg)
{
	return wait_beside_wakers(wait_pinned);
}

static void pins(void)
{
	run_domain(pins_main);
}

/* A lost timer is seen at once when nobody wakes the fiber by other means. */
static void *only_sleep(void *arg)
{
	struct task *t = arg;
	int i;

	enter(t);
	for (i = 0; i < WAITS; i++)
		sleep_for(t, pick(&t->random, i % 8 ? 100 : 2000) * US);
	leave(t);
	return NULL;
}

static int sleep_main(void *arg)
{
	spawn_all(0, SLEEPERS, only_sleep);
	join_all(0, SLEEPERS);
	return 0;
}

static void sleeps(void)
{
	run_domain(sleep_main);
}

/* --- blocking -------------------------------------------------------------- */

enum { PIPES = 4, BYTES = 60 };

static int pipes[PIPES][2];

static void *read_bytes(void *arg)
{
	struct task *t = arg;
	unsigned char c;
	ssize_t n;
	int i;

	enter(t);
	for (i = 0; i < BYTES; i++) {
		leave(t);
		n = read(pipes[t->index / 2][0], &c, 1);
		enter(t);
		if (n != 1 || c != i)
			broken("byte %d of pipe %u is lost", i, t->index / 2);
		compute((int)pick(&t->random, 20000));
	}
	leave(t);
	return NULL;
}

static void *write_bytes(void *arg)
{
	struct task *t = arg;
	unsigned char c;

	enter(t);
	for (c = 0; c < BYTES; c++) {
		switch (pick(&t->random, 4)) {
		case 0:
			block_for(t, pick(&t->random, 100) * US);
			break;
		case 1:
			sleep_for(t, pick(&t->random, 100) * US);
			break;
		case 2:
			compute((int)pick(&t->random, 20000));
			break;
		}
		if (write(pipes[t->index / 2][1], &c, 1) != 1)
			broken("write: %s", strerror(errno));
	}
	leave(t);
	return NULL;
}

static int blocking_main(void *arg)
{
	unsigned int i;

	for (i = 0; i < 2 * PIPES; i++)
		spawn(&tasks[i], i % 2 ? write_bytes : read_bytes);
	join_all(0, 2 * PIPES);
	return 0;
}

static void blocking(void)
{
	int i;

	for (i = 0; i < PIPES; i++)
		if (pipe(pipes[i]))
			broken("pipe: %s", strerror(errno));
	run_domain(blocking_main);
	for (i = 0; i < PIPES; i++) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
}

/* --- queues, spawn, exit --------------------------------------------------- */

/* More than a ring holds, so some go by the global queue. */
enum { SHORT = 400 };

static atomic_int times_run[SHORT];
static _Atomic int still_to_run;

static void *run_once(void *arg)
{
	int i = (int)(long)arg;

	if (atomic_fetch_add(&times_run[i], 1))
		broken("a fiber ran twice");
	if (i % 3 == 0)
		kf_yield();
	compute(i % 7 * 100);
	atomic_fetch_add(&progress, 1);
	if (atomic_fetch_sub(&still_to_run, 1) == 1)
		unpark(&tasks[0]);
	return NULL;
}

static int steal_main(void *arg)
{
	struct kf_attr detached = { .size = sizeof(detached), .flags = KF_DETACHED };
	int i, err;

	task_init(&tasks[0]);
	atomic_store(&tasks[0].name, kf_self());
	memset(times_run, 0, sizeof(times_run));
	atomic_store(&still_to_run, SHORT);
	for (i = 0; i < SHORT; i++) {
		err = kf_spawn(NULL, &detached, run_once, (void *)(long)i);
		if (err)
			broken("kf_spawn: %s", strerror(-err));
	}
	while (atomic_load(&still_to_run))
		kf_park(KF_FOREVER);
	for (i = 0; i < SHORT; i++)
		if (atomic_load(&times_run[i]) != 1)
			broken("fiber %d ran %d times", i, atomic_load(&times_run[i]));
	return 0;
}

static void steal(void)
{
	/* Nobody empties the ring while it is filled: for sure it overflows. */
	if (round_number % 4 == 0)
		processors = 1;
	run_domain(steal_main);
}

/*
 * Blocks are used again at once, while others still use the names that are gone:
 * those must reach nobody.
 */
enum { PARENTS = 4, CHILDREN = 60 };

static _Atomic kf_fiber_t gone[PARENTS];

static void *child_waits(void *arg)
{
	/* Nobody knows this fiber's name but who joins it. */
	if (!kf_park(kf_after(50 * US)))
		broken("a permit for a fiber that has ended came to its successor");
	return arg;
}

static void *child_ends(void *arg)
{
	return arg;
}

static void *bring_up_children(void *arg)
{
	struct task *t = arg;
	long i;

	enter(t);
	for (i = 1; i <= CHILDREN; i++) {
		unsigned int how = pick(&t->random, 4);
		kf_fiber_t child, late;
		void *value = NULL;
		int err;

		err = kf_spawn(&child, NULL, how & 1 ? child_waits : child_ends, (void *)i);
		if (err)
			broken("kf_spawn: %s", strerror(-err));
		if (how & 2)
			yield(t);
		leave(t);
		err = kf_join(child, &value);
		enter(t);
		if (err || value != (void *)i)
			broken("join: %d, value %ld of %ld", err, (long)value, i);
		atomic_store(&gone[t->index], child);
		late = atomic_load(&gone[pick(&t->random, PARENTS)]);
		if (late && kf_unpark(late) != -ESRCH)
			broken("a fiber that was joined is still there");
		if (!kf_spawn(&child, NULL, child_waits, NULL) && kf_detach(child))
			broken("kf_detach failed");
	}
	leave(t);
	return NULL;
}

static int churn_main(void *arg)
{
	unsigned int i;

	for (i = 0; i < PARENTS; i++)
		atomic_store(&gone[i], 0);
	spawn_all(0, PARENTS, bring_up_children);
	join_all(0, PARENTS);
	return 0;
}

static void churn(void)
{
	run_domain(churn_main);
}

/*
 * Stacks are trimmed in the pools, of processors and of the module, while others are taken
 * from there: what a fiber has on its stack stays.
 */
enum { SPAWNERS = 4, ROUNDS_OF_SHORT = 20, SHORT_AT_ONCE = 6 };

static atomic_bool trimming;

static void *trim_always(void *arg)
{
	while (atomic_load(&trimming)) {
		int64_t freed = kf_trim();

		if (freed < 0)
			broken("kf_trim: %s", strerror((int)-freed));
	}
	return NULL;
}

static void *uses_its_stack(void *arg)
{
	volatile unsigned char used[3 * 4096];
	unsigned int with = (unsigned int)(uintptr_t)arg;

	for (size_t i = 0; i < sizeof(used); i++)
		used[i] = (unsigned char)(i + with);
	kf_yield();
	for (size_t i = 0; i < sizeof(used); i++)
		if (used[i] != (unsigned char)(i + with))
			broken("a stack lost what was written to it");
	return arg;
}

static void *spawn_short_ones(void *arg)
{
	struct task *t = arg;
	unsigned int i, round;

	for (round = 0; round < ROUNDS_OF_SHORT; round++) {
		kf_fiber_t fibers[SHORT_AT_ONCE];
		unsigned int n = 1 + pick(&t->random, SHORT_AT_ONCE);

		for (i = 0; i < n; i++) {
			uintptr_t with = pick(&t->random, 256);
			int err = kf_spawn(&fibers[i], NULL, uses_its_stack, (void *)with);

			if (err)
				broken("kf_spawn: %s", strerror(-err));
		}
		for (i = 0; i < n; i++)
			if (kf_join(fibers[i], NULL))
				broken("a short fiber cannot be joined");
		atomic_fetch_add(&progress, 1);
	}
	return NULL;
}

static int pools_main(void *arg)
{
	pthread_t thread;

	atomic_store(&trimming, true);
	thread = start_thread(trim_always, NULL);
	spawn_all(0, SPAWNERS, spawn_short_ones);
	join_all(0, SPAWNERS);
	atomic_store(&trimming, false);
	pthread_join(thread, NULL);
	return 0;
}

/* With small pools, so that stacks come from the module and go there. */
static void pools(void)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .pool_stacks = 4,
	};
	int err = kf_run(&config, pools_main, NULL);

	if (err)
		broken("kf_run: %d", err);
}

/* --- fork ------------------------------------------------------------------ */

static void fill(volatile unsigned char *bytes, size_t size, unsigned int with)
{
	size_t i;

	for (i = 0; i < size; i++)
		bytes[i] = (unsigned char)(i * 7 + with);
}

static int differs(volatile unsigned char *bytes, size_t size, unsigned int from)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i] != (unsigned char)(i * 7 + from))
			return 1;
	return 0;
}

static void *fork_children(void *arg)
{
	volatile unsigned char bytes[6000];
	struct task *t = arg;
	int i, status;
	pid_t child;

	enter(t);
	for (i = 0; i < 3; i++) {
		fill(bytes, sizeof(bytes), t->index);
		child = fork();
		if (!child)
			_exit(differs(bytes, sizeof(bytes), t->index) ? 3 : 42);
		if (child < 0)
			broken("fork: %s", strerror(errno));
		leave(t);
		status = wait_for(child);
		enter(t);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
			broken("a forked child ended with %x", status);
		if (differs(bytes, sizeof(bytes), t->index))
			broken("a fiber that has forked has another stack");
	}
	leave(t);
	return NULL;
}

static int forks_main(void *arg)
{
	memset(pairs, 0, sizeof(pairs));
	spawn_all(0, 2, only_sleep);
	spawn_all(2, 3, fork_children);
	join_all(0, 5);
	return 0;
}

static void forks(void)
{
	run_domain(forks_main);
}

/* --- death ----------------------------------------------------------------- */

/*
 * The thread that called kf_run() is held in a system call: it must not die. That
 * goes on until the others are done, and is no progress. Who is alone may never come
 * to that thread, so this does not insist.
 */
static void *hold_first_thread(void *arg)
{
	while (syscall(SYS_gettid) != getpid() && !atomic_load(&stop))
		kf_sleep(50 * US);
	while (!atomic_load(&stop))
		usleep(500);
	return NULL;
}

static void *end_thread(void *arg)
{
	unsigned long times = (unsigned long)arg % 4;

	while (times--)
		kf_yield();
	/* Who is alone may come back to that thread for ever. */
	while (syscall(SYS_gettid) == getpid()) {
		if (atomic_load(&stop))
			return NULL;
		kf_sleep(50 * US);
	}
	syscall(SYS_exit, 0);
	return NULL;
}

static int deaths_main(void *arg)
{
	struct kf_attr detached = { .size = sizeof(detached), .flags = KF_DETACHED };
	enum { DYING = 6 };
	kf_fiber_t dying[DYING];
	long i;
	int err;

	atomic_store(&stop, false);
	spawn(&tasks[0], hold_first_thread);
	spawn_all(1, 2, only_sleep);
	for (i = 0; i < DYING; i++)
		if (kf_spawn(&dying[i], NULL, end_thread, (void *)i) ||
		    kf_spawn(NULL, &detached, end_thread, (void *)i))
			broken("kf_spawn failed");
	for (i = 0; i < DYING; i++) {
		err = kf_join(dying[i], NULL);
		if (err != -EFAULT)
			broken("joining a fiber whose thread has ended: %d", err);
		atomic_fetch_add(&progress, 1);
	}
	join_all(1, 2);
	atomic_store(&stop, true);
	join(&tasks[0]);
	return 0;
}

static void deaths(void)
{
	run_domain(deaths_main);
}

/* --- signals --------------------------------------------------------------- */

enum { TARGETS = 6 };

static _Atomic pid_t threads_of[TARGETS];

static void on_signal(int number)
{
	struct task *t = &tasks[0];

	atomic_fetch_add(&t->sent, 1);
	kf_unpark(atomic_load(&t->name));
}

static void *be_shot_at(void *arg)
{
	struct task *t = arg;
	int i;

	enter(t);
	for (i = 0; i < WAITS; i++) {
		atomic_store(&threads_of[t->index], (pid_t)syscall(SYS_gettid));
		switch (pick(&t->random, 4)) {
		case 0:
			park(t, kf_after(pick(&t->random, 200) * US));
			break;
		case 1:
			sleep_for(t, pick(&t->random, 200) * US);
			break;
		case 2:
			block_for(t, pick(&t->random, 200) * US);
			break;
		default:
			yield(t);
		}
	}
	leave(t);
	return NULL;
}

static void *shoot(void *arg)
{
	struct timespec pause = { .tv_nsec = 50000 };
	uint32_t random = mix(seed + round_number);

	while (!atomic_load(&stop)) {
		pid_t thread = atomic_load(&threads_of[pick(&random, TARGETS)]);

		if (thread)
			syscall(SYS_tgkill, getpid(), thread, SIGUSR1);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static int signals_main(void *arg)
{
	spawn_all(0, TARGETS, be_shot_at);
	join_all(0, TARGETS);
	return 0;
}

static void signals(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t shooter;
	int i;

	for (i = 0; i < TARGETS; i++)
		atomic_store(&threads_of[i], 0);
	sigaction(SIGUSR1, &action, NULL);
	atomic_store(&stop, false);
	shooter = start_thread(shoot, NULL);
	run_domain(signals_main);
	atomic_store(&stop, true);
	pthread_join(shooter, NULL);
}

/* --- files ----------------------------------------------------------------- */

enum { FILES = 3, TOKENS = 60 };

static int file_ends[FILES][2];
static _Atomic long tokens_taken[FILES];

/*
 * Two read from one socket, with deadlines that often come first. What a wait leaves over
 * would end the sleep after it too early; what is lost is waited for in vain.
 */
static void *take_tokens(void *arg)
{
	struct task *t = arg;
	unsigned int n = t->index % FILES;

	enter(t);
	while (atomic_load(&tokens_taken[n]) < TOKENS) {
		uint64_t deadline = kf_after(pick(&t->random, 200) * US);
		ssize_t got;
		char c;

		leave(t);
		got = kf_read(file_ends[n][0], &c, 1, deadline);
		enter(t);
		if (got == 1)
			atomic_fetch_add(&tokens_taken[n], 1);
		else if (got != -ETIMEDOUT || kf_now() < deadline)
			broken("kf_read: %zd", got);
		if (!pick(&t->random, 4))
			sleep_for(t, pick(&t->random, 50) * US);
	}
	leave(t);
	return NULL;
}

static void *send_tokens(void *arg)
{
	struct task *t = arg;
	int i;

	enter(t);
	for (i = 0; i < TOKENS; i++) {
		if (kf_write(file_ends[t->index % FILES][1], "x", 1, KF_FOREVER) != 1)
			broken("kf_write");
		if (pick(&t->random, 2))
			sleep_for(t, pick(&t->random, 200) * US);
	}
	leave(t);
	return NULL;
}

static int files_main(void *arg)
{
	spawn_all(0, 2 * FILES, take_tokens);
	spawn_all(2 * FILES, FILES, send_tokens);
	join_all(0, 3 * FILES);
	return 0;
}

static void files(void)
{
	int i;

	for (i = 0; i < FILES; i++) {
		atomic_store(&tokens_taken[i], 0);
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, file_ends[i]))
			broken("socketpair: %s", strerror(errno));
	}
	run_domain(files_main);
	for (i = 0; i < FILES; i++) {
		close(file_ends[i][0]);
		close(file_ends[i][1]);
	}
}

/* --- interrupted system calls ---------------------------------------------- */

enum { BYSTANDERS = 4, CANCELLED = 5, CANCELS = 10 };

static int silent[2], silent_epoll;

/* A wait that does not begin again by itself when its thread is woken for somebody else. */
static void *is_a_bystander(void *arg)
{
	struct task *t = arg;
	struct epoll_event e;
	int n;

	enter(t);
	while (!atomic_load(&stop)) {
		leave(t);
		n = epoll_wait(silent_epoll, &e, 1, 1);
		if (n)
			broken("fiber %u is not cancelled: %s", t->index, strerror(errno));
		enter_beside(t);
		compute((int)pick(&t->random, 500));
	}
	leave(t);
	return NULL;
}

static void *is_cancelled(void *arg)
{
	struct task *t = arg;
	char c;

	enter(t);
	while (!kf_cancelled())
		block_for(t, pick(&t->random, 60) * US);
	leave(t);
	if (read(silent[0], &c, 1) != -1 || errno != EINTR)
		broken("fiber %u is cancelled: %s", t->index, strerror(errno));
	return NULL;
}

static void cancel_all(unsigned int first, unsigned int n)
{
	unsigned int i;

	for (i = first; i < first + n; i++) {
		if (pick(&tasks[first].random, 2))
			kf_sleep(pick(&tasks[first].random, 100) * US);
		if (kf_cancel(atomic_load(&tasks[i].name)))
			broken("fiber %u is not there", i);
	}
}

static int interrupts_main(void *arg)
{
	int i;

	silent_epoll = epoll_create1(0);
	if (pipe(silent) || silent_epoll < 0)
		broken("pipe: %s", strerror(errno));
	atomic_store(&stop, false);
	spawn_all(CANCELLED, BYSTANDERS, is_a_bystander);
	for (i = 0; i < CANCELS; i++) {
		spawn_all(0, CANCELLED, is_cancelled);
		cancel_all(0, CANCELLED);
		join_all(0, CANCELLED);
	}
	atomic_store(&stop, true);
	join_all(CANCELLED, BYSTANDERS);
	close(silent_epoll);
	close(silent[0]);
	close(silent[1]);
	return 0;
}

static void interrupts(void)
{
	run_domain(interrupts_main);
}

/*
 * Two threads say that they are the same fiber, which a program may not do and the kernel
 * survives: each finds the other's wait, or has its own taken by it, by a third that says
 * FORGET, or by the end of the domain.
 */
static int claimed_fd;
static __u64 claimed_fiber;

static void *wait_as_another(void *arg)
{
	char c;
	struct kfiber_file args = {
		.size = sizeof(args), .fd = file_ends[0][0], .operation = KFIBER_FILE_READ,
		.fiber = claimed_fiber, .deadline = KFIBER_NEVER, .buffer = (uintptr_t)&c,
		.length = 1,
	};

	while (!ioctl(claimed_fd, KFIBER_IOC_FILE, &args) || errno == EINVAL)
		atomic_fetch_add(&progress, 1);
	return (void *)(long)errno;
}

static void *forget_another(void *arg)
{
	struct kfiber_fibers args = {
		.size = sizeof(args), .count = 1, .fibers = (uintptr_t)&claimed_fiber,
	};
	uint32_t random = mix(seed + round_number);

	while (!atomic_load(&stop)) {
		if (ioctl(claimed_fd, KFIBER_IOC_FORGET, &args))
			broken("FORGET: %s", strerror(errno));
		usleep(pick(&random, 50));
	}
	return NULL;
}

static void claimed_setup(void)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .max_workers = 4, .max_fibers = 64,
	};
	struct kfiber_fibers alloc = {
		.size = sizeof(alloc), .count = 1, .stack_shift = 16,
		.fibers = (uintptr_t)&claimed_fiber,
	};

	claimed_fd = open("/dev/kfiber", O_RDWR);
	if (claimed_fd < 0 || ioctl(claimed_fd, KFIBER_IOC_SETUP, &setup) ||
	    ioctl(claimed_fd, KFIBER_IOC_ALLOC, &alloc))
		broken("a domain without the library: %s", strerror(errno));
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, file_ends[0]))
		broken("socketpair: %s", strerror(errno));
}

static void claimed_twice(void)
{
	struct kfiber_simple shutdown = { .size = sizeof(shutdown) };
	uint32_t random = mix(seed + round_number);
	pthread_t threads[2], forgetter;
	void *why;
	int i;

	claimed_setup();
	atomic_store(&stop, false);
	for (i = 0; i < 2; i++)
		threads[i] = start_thread(wait_as_another, NULL);
	forgetter = start_thread(forget_another, NULL);
	for (i = 0; i < 5; i++) {
		usleep(pick(&random, 500));
		if (write(file_ends[0][1], "x", 1) != 1)
			broken("write: %s", strerror(errno));
	}
	if (ioctl(claimed_fd, KFIBER_IOC_SHUTDOWN, &shutdown))
		broken("SHUTDOWN: %s", strerror(errno));
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], &why);
		if ((long)why != ESHUTDOWN)
			broken("FILE: %s", strerror((int)(long)why));
	}
	atomic_store(&stop, true);
	pthread_join(forgetter, NULL);
	close(claimed_fd);
	close(file_ends[0][0]);
	close(file_ends[0][1]);
}

/* --- objects --------------------------------------------------------------- */

/*
 * Fibers and plain threads use a lock, a condition, a semaphore and two channels, most
 * with deadlines that come while they are granted what they wait for; and some fibers
 * are cancelled at any moment. What is granted to who has left, or never, would leave a
 * lock that is held by nobody, or a sum that is wrong.
 */
enum { USERS = 5, DOOMED = 8, USES = 60, PERMITS = 2 };

static struct {
	kf_mutex_t mutex;
	kf_cond_t cond;
	kf_sem_t sem;
	kf_chan_t *chans[2];
	atomic_int lockers, permitted;
	_Atomic long sent, received;
} objects_of_all;

static uint64_t some_deadline(uint32_t *random)
{
	return kf_after(pick(random, 200) * US);
}

/* Return: whether it has what it waited for. */
static bool is_granted(int err, uint64_t deadline)
{
	if (err == -ETIMEDOUT ? kf_now() < deadline : err && err != -ECANCELED)
		broken("a wait ended with %d", err);
	if (err == -ECANCELED && !(kf_self() && kf_cancelled()))
		broken("nobody has cancelled it");
	return !err;
}

static void hold(atomic_int *holders, int limit, uint32_t *random)
{
	struct timespec pause = { .tv_nsec = (long)(pick(random, 50) * US) };

	if (atomic_fetch_add(holders, 1) >= limit)
		broken("more than %d have it", limit);
	if (!pick(random, 4))
		nanosleep(&pause, NULL);
	atomic_fetch_sub(holders, 1);
}

static void use_lock(uint32_t *random)
{
	uint64_t deadline = pick(random, 3) ? some_deadline(random) : KF_FOREVER;

	if (!is_granted(kf_mutex_lock_until(&objects_of_all.mutex, deadline), deadline))
		return;
	hold(&objects_of_all.lockers, 1, random);
	switch (pick(random, 4)) {
	case 0:
		kf_cond_signal(&objects_of_all.cond);
		break;
	case 1:
		kf_cond_broadcast(&objects_of_all.cond);
		break;
	case 2:
		deadline = some_deadline(random);
		is_granted(kf_cond_wait_until(&objects_of_all.cond, &objects_of_all.mutex,
					      deadline), deadline);
		hold(&objects_of_all.lockers, 1, random);
	}
	if (kf_mutex_unlock(&objects_of_all.mutex))
		broken("kf_mutex_unlock");
}

static void use_permit(uint32_t *random)
{
	uint64_t deadline = pick(random, 3) ? some_deadline(random) : KF_FOREVER;

	if (!is_granted(kf_sem_wait_until(&objects_of_all.sem, deadline), deadline))
		return;
	hold(&objects_of_all.permitted, PERMITS, random);
	kf_sem_post(&objects_of_all.sem);
}

static void use_channels(uint32_t *random)
{
	uint64_t deadline = some_deadline(random);
	long out = (long)pick(random, 1000), in = 0;
	unsigned int first = pick(random, 2);
	struct kf_case cases[] = {
		KF_SEND(objects_of_all.chans[first], &out),
		KF_RECV(objects_of_all.chans[!first], &in),
	};
	int n = kf_select(cases, 2, deadline);

	is_granted(n < 0 ? n : 0, deadline);
	if (!n)
		atomic_fetch_add(&objects_of_all.sent, out);
	if (n == 1)
		atomic_fetch_add(&objects_of_all.received, in);
}

static void use_something(uint32_t *random)
{
	static void (*const uses[])(uint32_t *random) = { use_lock, use_permit, use_channels };

	uses[pick(random, 3)](random);
	atomic_fetch_add(&progress, 1);
}

static void *use_often(void *arg)
{
	struct task *t = arg;
	int i;

	for (i = 0; i < USES; i++)
		use_something(&t->random);
	return NULL;
}

static void *use_until_cancelled(void *arg)
{
	struct task *t = arg;

	while (!kf_cancelled())
		use_something(&t->random);
	return NULL;
}

static int objects_main(void *arg)
{
	struct task *doomed = &tasks[USERS + THREADS];
	uint32_t random = mix(seed + round_number);
	pthread_t threads[THREADS];
	int i;

	spawn_all(0, USERS, use_often);
	for (i = 0; i < THREADS; i++) {
		task_init(&tasks[USERS + i]);
		threads[i] = start_thread(use_often, &tasks[USERS + i]);
	}
	for (i = 0; i < DOOMED; i++) {
		spawn(doomed, use_until_cancelled);
		kf_sleep(pick(&random, 1000) * US);
		if (kf_cancel(atomic_load(&doomed->name)))
			broken("kf_cancel");
		join(doomed);
	}
	join_all(0, USERS);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	return 0;
}

static void objects(void)
{
	int i, n = 0;

	objects_of_all.mutex = (kf_mutex_t)KF_MUTEX_INIT;
	objects_of_all.cond = (kf_cond_t)KF_COND_INIT;
	objects_of_all.sem = (kf_sem_t)KF_SEM_INIT(PERMITS);
	atomic_store(&objects_of_all.lockers, 0);
	atomic_store(&objects_of_all.permitted, 0);
	atomic_store(&objects_of_all.sent, 0);
	atomic_store(&objects_of_all.received, 0);
	for (i = 0; i < 2; i++) {
		objects_of_all.chans[i] = kf_chan_create(sizeof(long), 0);
		if (!objects_of_all.chans[i])
			broken("kf_chan_create");
	}
	run_domain(objects_main);
	while (!kf_sem_trywait(&objects_of_all.sem))
		n++;
	if (n != PERMITS)
		broken("%d permits are left of %d", n, PERMITS);
	if (kf_mutex_trylock(&objects_of_all.mutex))
		broken("nobody is there, and the lock is held");
	if (atomic_load(&objects_of_all.sent) != atomic_load(&objects_of_all.received))
		broken("%ld were sent, %ld came", atomic_load(&objects_of_all.sent),
		       atomic_load(&objects_of_all.received));
	for (i = 0; i < 2; i++)
		kf_chan_destroy(objects_of_all.chans[i]);
}

/* --- the end at any moment ------------------------------------------------- */

/* All that fibers do, for ever, and nothing that is checked. */
static void *sleeps_in_the_kernel(void *arg)
{
	usleep(1000000);
	return NULL;
}

static void *do_anything(void *arg)
{
	uint32_t random = mix(seed + round_number) + (uint32_t)(long)arg;
	kf_fiber_t other;
	char c;

	for (;;) {
		switch (pick(&random, 9)) {
		case 0:
			kf_park(kf_after(pick(&random, 200) * US));
			break;
		case 1:
			usleep(pick(&random, 200));
			break;
		case 2:
			kf_yield();
			break;
		case 3:
			if (!kf_spawn(&other, NULL, child_ends, NULL))
				kf_join(other, NULL);
			break;
		case 4:
			if (!kf_spawn(&other, NULL, child_ends, NULL))
				kf_detach(other);
			break;
		case 5:
			kf_read(file_ends[0][0], &c, 1, kf_after(pick(&random, 200) * US));
			break;
		case 6:
			if (!kf_spawn(&other, NULL, sleeps_in_the_kernel, NULL)) {
				kf_cancel(other);
				kf_join(other, NULL);
			}
			break;
		case 7:
			kf_write(file_ends[0][1], "x", 1, kf_after(pick(&random, 200) * US));
			break;
		default:
			/* What has ended is noticed where the module is called. */
			kf_sleep(pick(&random, 200) * US);
			kf_unpark(tasks[0].name);
		}
	}
	return NULL;
}

static atomic_bool runs;

static int anything_main(void *arg)
{
	long i;

	atomic_store(&tasks[0].name, kf_self());
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, file_ends[0]))
		return -1;
	for (i = 1; i < 10; i++)
		if (kf_spawn(NULL, NULL, do_anything, (void *)i))
			return -1;
	atomic_store(&runs, true);
	do_anything(NULL);
	return 0;
}

static void *close_device(void *arg)
{
	struct timespec pause = { .tv_nsec = (long)(uintptr_t)arg };

	/* What is closed while it is still being opened is another error. */
	while (!atomic_load(&runs))
		sched_yield();
	nanosleep(&pause, NULL);
	close(atomic_load(&kf_domain)->fd);
	return NULL;
}

/* The descriptor is closed under the fibers: kf_run() says so. */
static _Noreturn void end_by_closing(uint32_t ns)
{
	atomic_store(&runs, false);
	start_thread(close_device, (void *)(uintptr_t)ns);
	_exit(run(processors, anything_main, NULL) == -ESHUTDOWN ? 0 : 1);
}

static uint64_t few_points(uint32_t *random, uint32_t n)
{
	uint64_t points = 0;
	int i;

	for (i = 0; i < 4; i++)
		points |= 1ull << pick(random, n);
	return points;
}

static void delays_of_round(uint32_t *random, bool may_kill)
{
	static const uint32_t periods[] = { 2, 5, 20, 100, 1000 };
	struct delays d = {
		.seed = pick(random, ~0u),
		.period = periods[pick(random, 5)],
		.kinds = KF_DELAY_BY_SPIN | KF_DELAY_BY_YIELD | KF_DELAY_BY_SLEEP,
		.points = ~0ull,
		.library_points = ~0ull,
		.spin_ns = 1000u << pick(random, 8),
		.sleep_ns = 10000u << pick(random, 6),
	};

	/* Half of the time a few points only: then what they open is opened wide. */
	if (pick(random, 2)) {
		d.points = few_points(random, 64);
		d.library_points = few_points(random, KF_DELAY_NR);
		d.spin_ns *= 8;
		d.sleep_ns *= 4;
	}
	if (may_kill)
		d.kinds |= KF_DELAY_BY_KILL;
	if (!environment("KFIBER_DELAY", 1))
		d.period = 0;
	delays_set(&d);
}

/*
 * The whole process, killed from outside, or from within at a delay point, or
 * its descriptor closed. The kernel stays sane and a new domain works.
 */
static void ends(void)
{
	uint32_t random = mix(seed + mix(round_number));
	static const struct delays none;
	bool closes = pick(&random, 2);
	struct timespec pause;
	int status;
	pid_t child;

	delays_of_round(&random, !closes);
	pause = (struct timespec){ .tv_nsec = (long)(pick(&random, 20000) * US) };
	fflush(stdout);
	child = fork();
	if (child < 0)
		broken("fork: %s", strerror(errno));
	if (!child) {
		if (closes)
			end_by_closing((uint32_t)pause.tv_nsec);
		_exit(run(processors, anything_main, NULL) ? 1 : 0);
	}
	if (!closes) {
		nanosleep(&pause, NULL);
		kill(child, SIGKILL);
	}
	status = wait_for(child);
	if (closes ? status : !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		broken("a child that was to be %s ended with %x", closes ? "closed" : "killed",
		       status);
	delays_set(&none);
	run_domain(churn_main);
}

/*
 * The number of processors changes all the time, and where fibers are queued goes out of use.
 * All of them end all the same. Nothing is counted by compute(): who loses its processor there
 * goes on with another one.
 */
enum { NUMBERED = 12, NUMBERED_STEPS = 100 };

static void *use_any_number(void *arg)
{
	struct task *t = arg;
	int i;

	enter(t);
	for (i = 0; i < NUMBERED_STEPS; i++) {
		switch (pick(&t->random, 4)) {
		case 0:
			block_for(t, pick(&t->random, 50) * US);
			break;
		case 1:
			sleep_for(t, pick(&t->random, 50) * US);
			break;
		case 2:
			unpark(&tasks[pick(&t->random, NUMBERED)]);
			park(t, kf_after(pick(&t->random, 1000) * US));
			break;
		default:
			yield(t);
		}
	}
	leave(t);
	return NULL;
}

static void *change_number(void *arg)
{
	uint32_t random = mix(seed + round_number);

	while (!atomic_load(&stop)) {
		struct timespec pause = { .tv_nsec = (long)(pick(&random, 500) * US) };
		int err = kf_set_processors(1 + pick(&random, processors));

		if (err < 0)
			broken("kf_set_processors: %s", strerror(-err));
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static int numbers_main(void *arg)
{
	pthread_t changer;

	atomic_store(&stop, false);
	changer = start_thread(change_number, NULL);
	spawn_all(0, NUMBERED, use_any_number);
	join_all(0, NUMBERED);
	atomic_store(&stop, true);
	pthread_join(changer, NULL);
	return 0;
}

static void numbers(void)
{
	processors += processors == 1;
	run_domain(numbers_main);
}

/* --- rounds ---------------------------------------------------------------- */

/* Ends the test when nothing has happened for long, and says where all are. */
static void *watch_progress(void *arg)
{
	uint64_t patience = environment("KFIBER_STALL", 60);
	long before = -1;
	uint64_t still = 0;

	while (still < patience) {
		long now = atomic_load(&progress);

		still = now == before ? still + 1 : 0;
		before = now;
		sleep(1);
	}
	broken("nothing has happened for %llu s", (unsigned long long)patience);
}

FIXTURE(race)
{
};

FIXTURE_VARIANT(race)
{
	const char *name;
	void (*round)(void);
};

#define SCENARIO(fn) FIXTURE_VARIANT_ADD(race, fn) { .name = #fn, .round = fn }

SCENARIO(ping_pong);
SCENARIO(storm);
SCENARIO(watched);
SCENARIO(preempts);
SCENARIO(timers);
SCENARIO(pins);
SCENARIO(sleeps);
SCENARIO(blocking);
SCENARIO(steal);
SCENARIO(numbers);
SCENARIO(churn);
SCENARIO(pools);
SCENARIO(forks);
SCENARIO(deaths);
SCENARIO(signals);
SCENARIO(files);
SCENARIO(interrupts);
SCENARIO(claimed_twice);
SCENARIO(objects);
SCENARIO(ends);

FIXTURE_SETUP(race)
{
	seed = (uint32_t)environment("KFIBER_SEED", 1);
	scenario = variant->name;
	/* What computes must not fault: compute() says why. */
	mlockall(MCL_CURRENT);
}

FIXTURE_TEARDOWN(race)
{
}

TEST_F_TIMEOUT(race, holds, NO_TIMEOUT)
{
	static const struct delays none;
	uint64_t seconds = environment("KFIBER_SECONDS", delays_in_module() ? 30 : 12);
	uint64_t end = kf_after(seconds * 1000 * MS / SCENARIOS);
	uint32_t first = (uint32_t)environment("KFIBER_ROUND", 0), random;
	/* On a slow machine too so many that all delay points are reached, if there are any. */
	uint32_t least = getenv("KFIBER_ROUND") ? 1 : delays_in_module() ? 8 : 2;
	pthread_t watchdog = start_thread(watch_progress, NULL);

	for (round_number = first; round_number - first < least || kf_now() < end; round_number++) {
		random = mix(seed + mix(round_number + 1));
		processors = 1 + pick(&random, 4);
		atomic_store(&inside, 0);
		delays_of_round(&random, false);
		variant->round();
		atomic_fetch_add(&progress, 1);
	}
	delays_set(&none);
	pthread_cancel(watchdog);
	TH_LOG("%u rounds with seed %u", round_number - first, seed);
	atomic_fetch_add(finished, 1);
}

/* Before main(), so that all children share it. */
static void __attribute__((constructor)) share_finished(void)
{
	finished = mmap(NULL, sizeof(*finished), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* A fixture of its own, so that these come last. */
FIXTURE(points)
{
};

FIXTURE_SETUP(points)
{
}

FIXTURE_TEARDOWN(points)
{
}

TEST_F(points, of_the_library_are_all_reached)
{
	int missed;

	if (atomic_load(finished) < SCENARIOS)
		SKIP(return, "not all scenarios have been run");
	missed = delays_missed_in_library();
	if (missed < 0)
		SKIP(return, "the library has no delay points");
	ASSERT_EQ(0, missed);
}

TEST_F(points, of_the_module_are_all_reached)
{
	if (!delays_in_module())
		SKIP(return, "the module has no delay points");
	if (atomic_load(finished) < SCENARIOS)
		SKIP(return, "not all scenarios have been run");
	ASSERT_EQ(0, delays_missed_in_module());
}

TEST_HARNESS_MAIN
