// SPDX-License-Identifier: GPL-2.0
/* kf_leaks() and kf_leaks_check(): who is left behind, why, and who is not. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "parked.h"
#include "run.h"

static char text[64 << 10];

/* Reads what was written to @fd and closes it. */
static void take_text(int fd)
{
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
}

static int leaks(void)
{
	int fd = memfd_create("leaks", 0);
	int n = kf_leaks(fd);

	take_text(fd);
	return n;
}

static int check(const struct kf_leaks_options *options)
{
	int fd = memfd_create("leaks", 0);
	int n = kf_leaks_check(fd, options);

	take_text(fd);
	return n;
}

/* Return: how often @what is printed. */
static int said(const char *what)
{
	const char *at = text;
	int n = 0;

	while ((at = strstr(at, what))) {
		at += strlen(what);
		n++;
	}
	return n;
}

/* Return: 0 if each is said so often, else the number of the one that is not. */
struct line {
	const char *what;
	int n;
};

static int all_said(const struct line *lines)
{
	int i;

	for (i = 0; lines[i].what; i++) {
		if (said(lines[i].what) == lines[i].n)
			continue;
		printf("# not %d times \"%s\" in:\n%s", lines[i].n, lines[i].what, text);
		return i + 1;
	}
	return 0;
}

static void end(kf_fiber_t fiber)
{
	kf_cancel(fiber);
	kf_join(fiber, NULL);
}

/* --- groups ---------------------------------------------------------------------- */

#define RECEIVERS 17

static __attribute__((noipa)) void receive(kf_chan_t *c)
{
	int value;

	kf_chan_recv(c, &value);
}

static void *do_receive(void *c)
{
	receive(c);
	return NULL;
}

static void *do_park(void *arg)
{
	kf_park(KF_FOREVER);
	return NULL;
}

static __attribute__((noipa)) void spawn_receivers(kf_fiber_t *fibers, int n, kf_chan_t *c)
{
	struct kf_attr attr = { .size = sizeof(attr), .name = "receiver" };
	int i;

	for (i = 0; i < n; i++)
		if (kf_spawn(&fibers[i], &attr, do_receive, c))
			abort();
	for (i = 0; i < n; i++)
		wait_until_parked(fibers[i]);
}

static int group_receivers(void *arg)
{
	static const struct line lines[] = {
		{ "kfiber: fibers that wait without an end, or were never joined: 18\n", 1 },
		{ "17 fibers, the oldest for ", 1 },
		{ ": waiting to receive from channel 0x", 1 },
		{ " or the like\n    at receive+", 1 },
		{ "    at do_receive+", 1 },
		{ "    spawned at spawn_receivers+", 1 },
		{ "    the first is fiber 0x", 1 },
		{ "\"receiver\"\n", 1 },
		{ "1 fiber, for ", 1 },
		{ ": waiting for an unpark\n    at do_park+", 1 },
		{ "    it is fiber 0x", 1 },
		{ "kf_fiber_start", 0 },
		{ "for ever", 0 },
		{ NULL, 0 },
	};
	kf_chan_t *c = kf_chan_create(sizeof(int), 0);
	kf_fiber_t fibers[RECEIVERS], parked;
	int n, bad;

	spawn_receivers(fibers, RECEIVERS, c);
	if (kf_spawn(&parked, NULL, do_park, NULL))
		return 1;
	wait_until_parked(parked);
	n = leaks();
	bad = all_said(lines);
	kf_chan_close(c);
	for (int i = 0; i < RECEIVERS; i++)
		kf_join(fibers[i], NULL);
	end(parked);
	kf_chan_destroy(c);
	if (leaks() != 0)
		return 2;
	return n == RECEIVERS + 1 ? bad : 3;
}

TEST(those_alike_are_one_group)
{
	ASSERT_EQ(0, run(2, group_receivers, NULL));
}

static void *do_end(void *arg)
{
	return NULL;
}

static int leave_unjoined(void *arg)
{
	kf_fiber_t fiber;
	int n, bad;

	if (kf_spawn(&fiber, NULL, do_end, NULL))
		return 1;
	wait_until_ended(fiber);
	n = leaks();
	bad = !said("1 fiber: ended, not joined\n    spawned at leave_unjoined+");
	kf_join(fiber, NULL);
	return n == 1 ? bad : 2;
}

TEST(one_that_is_never_joined)
{
	ASSERT_EQ(0, run(2, leave_unjoined, NULL));
}

/* --- who waits well ------------------------------------------------------------------ */

static int pipe_fds[2];

static void *do_sleep(void *arg)
{
	kf_sleep(3600 * 1000 * MS);
	return NULL;
}

static void *do_park_until(void *arg)
{
	kf_park(kf_after(3600 * 1000 * MS));
	return NULL;
}

static void *do_kf_read(void *arg)
{
	char byte;

	kf_read(pipe_fds[0], &byte, 1, KF_FOREVER);
	return NULL;
}

static void *do_timer(void *arg)
{
	kf_timer_t t;

	kf_timer_start(&t, 3600 * 1000 * MS);
	kf_timer_wait(&t);
	return NULL;
}

static void *do_yield(void *stop)
{
	while (!atomic_load((atomic_int *)stop))
		kf_yield();
	return NULL;
}

static void *(*const waits_well[])(void *) = { do_sleep, do_park_until, do_kf_read, do_timer };

#define NR_WELL (sizeof(waits_well) / sizeof(waits_well[0]))

static int wait_well(void *arg)
{
	kf_fiber_t fibers[NR_WELL], yields;
	atomic_int stop = 0;
	size_t i;
	int n;

	if (pipe(pipe_fds) || kf_spawn(&yields, NULL, do_yield, &stop))
		return 1;
	for (i = 0; i < NR_WELL; i++) {
		if (kf_spawn(&fibers[i], NULL, waits_well[i], NULL))
			return 2;
		wait_until_parked(fibers[i]);
	}
	n = leaks();
	atomic_store(&stop, 1);
	kf_join(yields, NULL);
	for (i = 0; i < NR_WELL; i++)
		end(fibers[i]);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return n;
}

TEST(time_and_files_are_no_leaks)
{
	ASSERT_EQ(0, run(2, wait_well, NULL));
}

/* --- why it has no end ------------------------------------------------------------------ */

static void *do_lock(void *m)
{
	kf_mutex_lock(m);
	return NULL;
}

static void *do_lock_and_unlock(void *m)
{
	if (!kf_mutex_lock(m))
		kf_mutex_unlock(m);
	return NULL;
}

static const char held_by_dead[] = "    for ever: it is held by a fiber that has ended\n";

/* Held by one that lives, by a thread that said nothing, and by one that ended. */
static int end_with_mutex(void *arg)
{
	kf_mutex_t m = KF_MUTEX_INIT;
	kf_fiber_t holder, waiter, next;
	int living, dead;

	kf_mutex_lock(&m);
	if (kf_spawn(&waiter, NULL, do_lock_and_unlock, &m))
		return 1;
	wait_until_parked(waiter);
	living = leaks() != 1 || said("for ever");
	kf_mutex_unlock(&m);
	kf_join(waiter, NULL);

	if (kf_spawn(&holder, NULL, do_lock, &m))
		return 2;
	kf_join(holder, NULL);
	if (kf_spawn(&waiter, NULL, do_lock_and_unlock, &m))
		return 3;
	wait_until_parked(waiter);
	/* It may have the block of the one that has ended; this one, too. */
	if (kf_spawn(&next, NULL, do_park, NULL))
		return 4;
	wait_until_parked(next);
	dead = leaks() != 2 || said(held_by_dead) != 1;
	if (dead)
		printf("%s", text);
	end(next);
	kf_mutex_unlock(&m);
	kf_join(waiter, NULL);
	return living ? 5 : dead ? 6 : 0;
}

TEST(a_mutex_of_one_that_has_ended)
{
	ASSERT_EQ(0, run(1, end_with_mutex, NULL));
	ASSERT_EQ(0, run(2, end_with_mutex, NULL));
}

static kf_mutex_t pair[2];
static kf_waitgroup_t both;

static void *do_lock_both(void *arg)
{
	intptr_t first = (intptr_t)arg;

	kf_mutex_lock(&pair[first]);
	kf_waitgroup_done(&both);
	kf_waitgroup_wait(&both);
	if (!kf_mutex_lock(&pair[!first]))
		kf_mutex_unlock(&pair[!first]);
	kf_mutex_unlock(&pair[first]);
	return NULL;
}

static void *do_join(void *fiber)
{
	kf_join(*(kf_fiber_t *)fiber, NULL);
	return NULL;
}

/* Each has what the other wants; one more waits for the end of one, and one for that one's. */
static int lock_in_a_circle(void *arg)
{
	static const struct line lines[] = {
		{ "    for ever: they wait for one another\n", 2 },
		{ "    for ever: what they wait for is stuck itself\n", 2 },
		{ "waiting for mutex 0x", 2 },
		{ "waiting for the end of fiber 0x", 2 },
		{ NULL, 0 },
	};
	kf_fiber_t fibers[2], behind[2];
	int n, bad, i;

	kf_waitgroup_add(&both, 2);
	for (i = 0; i < 2; i++)
		if (kf_spawn(&fibers[i], NULL, do_lock_both, (void *)(intptr_t)i))
			return 1;
	for (i = 0; i < 2; i++)
		while (!block_of(fibers[i])->wait_object ||
		       block_of(fibers[i])->wait_object >> 56 != 1)
			kf_sleep(MS / 10);
	for (i = 0; i < 2; i++)
		wait_until_parked(fibers[i]);
	if (kf_spawn(&behind[0], NULL, do_join, &fibers[0]) ||
	    kf_spawn(&behind[1], NULL, do_join, &behind[0]))
		return 2;
	wait_until_parked(behind[0]);
	wait_until_parked(behind[1]);
	n = leaks();
	bad = all_said(lines);
	kf_cancel(fibers[0]);
	kf_join(behind[1], NULL);
	kf_join(fibers[1], NULL);
	return n == 4 ? bad : 10;
}

TEST(who_waits_in_a_circle)
{
	ASSERT_EQ(0, run(2, lock_in_a_circle, NULL));
}

/* The name is stored when the fiber may run already. */
static void *do_join_when_there(void *fiber)
{
	while (!__atomic_load_n((kf_fiber_t *)fiber, __ATOMIC_RELAXED))
		kf_yield();
	return do_join(fiber);
}

static int join_each_other(void *arg)
{
	kf_fiber_t fibers[2] = { 0 };
	int n, bad;

	if (kf_spawn(&fibers[0], NULL, do_join_when_there, &fibers[1]) ||
	    kf_spawn(&fibers[1], NULL, do_join, &fibers[0]))
		return 1;
	wait_until_parked(fibers[0]);
	wait_until_parked(fibers[1]);
	n = leaks();
	bad = said("    for ever: they wait for one another\n") != 2;
	if (bad)
		printf("%s", text);
	kf_cancel(fibers[0]);
	while (kf_join(fibers[1], NULL) == -EINVAL)
		kf_sleep(MS);
	return n == 2 ? bad : 2;
}

TEST(who_joins_in_a_circle)
{
	ASSERT_EQ(0, run(1, join_each_other, NULL));
}

static void *do_sem(void *sem)
{
	kf_sem_wait(sem);
	return NULL;
}

static const char on_dead_stack[] =
	"    for ever: it lies on a stack, in a part that is not in use any more\n";

static __attribute__((noipa)) void spawn_waiter(kf_fiber_t *child)
{
	kf_sem_t sem = KF_SEM_INIT(0);

	if (kf_spawn(child, NULL, do_sem, &sem))
		abort();
	wait_until_parked(*child);
}

/*
 * The semaphore is gone with its function; its memory is still there, so far below that
 * what the caller does next does not write to it.
 */
static __attribute__((noipa)) void spawn_and_return(kf_fiber_t *child)
{
	char room[4096];

	memset(room, 0, sizeof(room));
	__asm__ volatile("" : : "r"(room) : "memory");
	spawn_waiter(child);
	__asm__ volatile("" : : "r"(room) : "memory");
}

static atomic_bool has_returned;

static void *do_spawn_and_return(void *child)
{
	spawn_and_return(child);
	atomic_store(&has_returned, true);
	kf_park(KF_FOREVER);
	return NULL;
}

static void *do_spawn_and_stay(void *child)
{
	kf_sem_t sem = KF_SEM_INIT(0);

	if (kf_spawn(child, NULL, do_sem, &sem))
		abort();
	kf_park(KF_FOREVER);
	kf_join(*(kf_fiber_t *)child, NULL);
	return NULL;
}

static int wait_on_stacks(void *arg)
{
	kf_fiber_t returned, stays, children[2] = { 0 };
	int n, bad;

	atomic_store(&has_returned, false);
	if (kf_spawn(&stays, NULL, do_spawn_and_stay, &children[1]))
		return 1;
	wait_until_parked(stays);
	wait_until_parked(children[1]);
	n = leaks();
	if (n != 2 || said(on_dead_stack))
		return printf("%s", text), 2;
	if (kf_spawn(&returned, NULL, do_spawn_and_return, &children[0]))
		return 3;
	while (!atomic_load(&has_returned))
		kf_sleep(MS);
	wait_until_parked(returned);
	n = leaks();
	bad = said(on_dead_stack) != 1;
	if (bad)
		printf("%s", text);
	end(children[0]);
	end(returned);
	kf_cancel(children[1]);
	kf_unpark(stays);
	kf_join(stays, NULL);
	return n == 4 ? bad : 4;
}

TEST(an_object_whose_function_has_returned)
{
	ASSERT_EQ(0, run(2, wait_on_stacks, NULL));
}

/* --- whose stack is being looked after -------------------------------------------------------- */

#define HELD_LOOKS 50

struct keeper {
	kf_fiber_t fiber;
	atomic_bool stop;
	atomic_int holds;
};

/* What the module's trimming does to a parked fiber's word, again and again. */
static void *hold_again_and_again(void *arg)
{
	struct keeper *k = arg;
	uint64_t *word = (uint64_t *)(uintptr_t)&block_of(k->fiber)->word;

	while (!atomic_load(&k->stop)) {
		uint64_t parked = __atomic_load_n(word, __ATOMIC_ACQUIRE), held;

		held = (parked & ~KFIBER_STATE_MASK) | KFIBER_PARKING;
		if ((parked & KFIBER_STATE_MASK) == KFIBER_PARKED &&
		    __atomic_compare_exchange_n(word, &parked, held, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED)) {
			usleep(100);
			__atomic_store_n(word, parked, __ATOMIC_RELEASE);
			atomic_fetch_add(&k->holds, 1);
		}
		usleep(100);
	}
	return NULL;
}

/* Each look finds it, and where it waits, whether it is held or not. */
static int look_while_held(void *arg)
{
	static const struct line lines[] = {
		{ "1 fiber, for ", 1 },
		{ ": waiting for mutex 0x", 1 },
		{ held_by_dead, 1 },
		{ "    at do_lock_and_unlock+", 1 },
		{ NULL, 0 },
	};
	struct keeper k = { .holds = 0 };
	kf_mutex_t m = KF_MUTEX_INIT;
	kf_fiber_t holder;
	int i, bad = 0;
	pthread_t thread;

	if (kf_spawn(&holder, NULL, do_lock, &m) || kf_join(holder, NULL) ||
	    kf_spawn(&k.fiber, NULL, do_lock_and_unlock, &m))
		return 1;
	wait_until_parked(k.fiber);
	if (pthread_create(&thread, NULL, hold_again_and_again, &k))
		return 2;
	while (!atomic_load(&k.holds))
		kf_sleep(MS);
	for (i = 0; i < HELD_LOOKS && !bad; i++) {
		int n = leaks();

		bad = n != 1 ? 10 + n : all_said(lines) ? 4 : 0;
	}
	atomic_store(&k.stop, true);
	pthread_join(thread, NULL);
	kf_mutex_unlock(&m);
	kf_join(k.fiber, NULL);
	return bad;
}

TEST(one_whose_stack_is_just_being_trimmed)
{
	ASSERT_EQ(0, run(2, look_while_held, NULL));
}

/* --- nobody is left ------------------------------------------------------------------------ */

static void *do_sleep_a_little(void *arg)
{
	kf_sleep(50 * MS);
	return NULL;
}

static __attribute__((noipa)) int spawn_service(kf_fiber_t *fiber, const char *name)
{
	struct kf_attr attr = { .size = sizeof(attr), .name = name };
	int err = kf_spawn(fiber, &attr, do_park, NULL);

	__asm__ volatile("" : : : "memory");
	return err;
}

static int check_options(void *arg)
{
	static const char *const names[] = { "other", "service-with-a-long-name", NULL };
	static const char *const spawners[] = { "main", "spawn_service", NULL };
	struct kf_leaks_options o = { .size = sizeof(o), .settle_ns = 20 * MS };
	struct kf_attr detached = { .size = sizeof(detached), .flags = KF_DETACHED };
	kf_fiber_t service;

	if (check(NULL) || text[0])
		return 1;
	if (kf_spawn(NULL, &detached, do_sleep_a_little, NULL) || check(NULL))
		return 2;
	if (spawn_service(&service, "service-with-a-long-name"))
		return 3;
	wait_until_parked(service);
	if (check(&o) != 1 || !said("kfiber: fibers that are left: 1\n") ||
	    !said("spawned at spawn_service+"))
		return 4;
	o.ignore_names = names;
	if (check(&o))
		return 5;
	o.ignore_names = NULL;
	o.ignore_spawners = spawners;
	if (check(&o))
		return 6;
	o.size--;
	if (check(&o) != -EINVAL)
		return 7;
	end(service);
	return 0;
}

TEST(a_test_may_ask_that_nobody_is_left)
{
	struct kf_config clock = { .size = sizeof(clock), .flags = KF_TEST_CLOCK };

	ASSERT_EQ(0, run(2, check_options, NULL));
	ASSERT_EQ(0, kf_run(&clock, check_options, NULL));
	ASSERT_EQ(-ESRCH, kf_leaks(STDERR_FILENO));
	ASSERT_EQ(-EPERM, kf_leaks_check(STDERR_FILENO, NULL));
}

static int leave_sleeper(void *arg)
{
	struct kf_leaks_options o = { .size = sizeof(o), .settle_ns = MS };
	kf_fiber_t fiber;
	int n;

	if (kf_spawn(&fiber, NULL, do_sleep, NULL))
		return 1;
	n = check(&o);
	end(fiber);
	return n == 1 ? 0 : 2;
}

TEST(one_that_sleeps_is_left_too)
{
	ASSERT_EQ(0, run(2, leave_sleeper, NULL));
}

/* --- at the end ------------------------------------------------------------------------------ */

static int leave_receiver(void *c)
{
	struct kf_attr attr = { .size = sizeof(attr), .flags = KF_DETACHED, .name = "left" };

	return kf_spawn(NULL, &attr, do_receive, c);
}

static int leave_nobody(void *c)
{
	struct kf_attr attr = { .size = sizeof(attr), .flags = KF_DETACHED };

	return kf_spawn(NULL, &attr, do_sleep_a_little, NULL);
}

/* Return: what kf_run() did; what it wrote to stderr is in text. */
static int run_to_the_end(int (*fn)(void *), unsigned int flags)
{
	struct kf_config config = { .size = sizeof(config), .processors = 2, .flags = flags };
	int fd = memfd_create("stderr", 0), saved = dup(STDERR_FILENO), ret;
	kf_chan_t *c = kf_chan_create(sizeof(int), 0);

	dup2(fd, STDERR_FILENO);
	ret = kf_run(&config, fn, c);
	dup2(saved, STDERR_FILENO);
	close(saved);
	take_text(fd);
	/* It has waiters for good; nobody destroys it. */
	return ret;
}

TEST(the_first_fiber_ends)
{
	EXPECT_EQ(-EDEADLK, run_to_the_end(leave_receiver, KF_REPORT_LEAKS));
	EXPECT_EQ(1, said("kfiber: fibers that wait without an end, or were never joined: 1\n"));
	EXPECT_EQ(1, said("\n    at receive+"));
	EXPECT_EQ(-EDEADLK, run_to_the_end(leave_receiver, 0));
	EXPECT_EQ(0, said("without an end"));
	EXPECT_EQ(0, run_to_the_end(leave_nobody, KF_REPORT_LEAKS));
	EXPECT_EQ(0, (int)text[0]);
}

static const struct {
	const char *setting;
	int reports;
} settings[] = {
	{ "leaks", 1 },
	{ "leaks=1", 1 },
	{ "leaks,leaks=0", 0 },
	{ "", 0 },
};

TEST(the_environment_asks_for_leaks)
{
	size_t i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
		ASSERT_EQ(0, setenv("KFIBER_DEBUG", settings[i].setting, 1));
		EXPECT_EQ(-EDEADLK, run_to_the_end(leave_receiver, 0));
		EXPECT_EQ(settings[i].reports, said("wait without an end, or were never joined: "));
		EXPECT_EQ(settings[i].reports, said("\n    at receive+"));
		EXPECT_EQ(0, said("KFIBER_DEBUG"));
	}
	ASSERT_EQ(0, setenv("KFIBER_DEBUG", "leaks", 1));
	EXPECT_EQ(0, run_to_the_end(leave_nobody, 0));
	EXPECT_EQ(0, (int)text[0]);
	unsetenv("KFIBER_DEBUG");
}

/* --- while others go on ---------------------------------------------------------- */

#define LOOKS 16
#define PAIRS 3

static atomic_int going, enough;

/* Nothing that they wait for stays for long. */
static void *come_and_go(void *arg)
{
	while (!atomic_load(&enough)) {
		kf_mutex_t *m = calloc(1, sizeof(*m));
		kf_fiber_t fiber;

		kf_mutex_lock(m);
		if (kf_spawn(&fiber, NULL, do_lock_and_unlock, m))
			abort();
		kf_yield();
		kf_mutex_unlock(m);
		kf_join(fiber, NULL);
		free(m);
	}
	atomic_fetch_sub(&going, 1);
	return NULL;
}

struct two {
	kf_fiber_t fibers[2];
	atomic_int ready;
};

/* A wake-up that is lost while a stack is looked at leaves both parked. */
static void *play(void *arg)
{
	struct two *two = arg;
	int me = atomic_fetch_add(&two->ready, 1);

	two->fibers[me] = kf_self();
	while (atomic_load(&two->ready) < 2 || !two->fibers[!me])
		kf_yield();
	while (!atomic_load(&enough)) {
		kf_unpark(two->fibers[!me]);
		kf_park(KF_FOREVER);
	}
	kf_unpark(two->fibers[!me]);
	atomic_fetch_sub(&going, 1);
	return NULL;
}

static void *look_from_thread(void *failed)
{
	int fd = memfd_create("leaks", 0);

	while (atomic_load(&going)) {
		if (kf_leaks(fd) < 0)
			atomic_store((atomic_int *)failed, 1);
		if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
			break;
	}
	close(fd);
	return NULL;
}

static int look_at_those_who_go_on(void *arg)
{
	struct kf_attr detached = { .size = sizeof(detached), .flags = KF_DETACHED };
	struct two twos[PAIRS] = { 0 };
	atomic_int failed = 0;
	pthread_t thread;
	int i;

	atomic_store(&going, 3 * PAIRS);
	for (i = 0; i < PAIRS; i++)
		if (kf_spawn(NULL, &detached, play, &twos[i]) ||
		    kf_spawn(NULL, &detached, play, &twos[i]) ||
		    kf_spawn(NULL, &detached, come_and_go, NULL))
			return 1;
	if (pthread_create(&thread, NULL, look_from_thread, &failed))
		return 2;
	for (i = 0; i < LOOKS && !atomic_load(&failed); i++) {
		if (leaks() < 0)
			atomic_store(&failed, 1);
		if (said("for ever"))
			atomic_store(&failed, 2);
		kf_yield();
	}
	atomic_store(&enough, 1);
	while (atomic_load(&going))
		kf_sleep(MS);
	pthread_join(thread, NULL);
	return atomic_load(&failed);
}

TEST(others_go_on_meanwhile)
{
	ASSERT_EQ(0, run(3, look_at_those_who_go_on, NULL));
}

TEST_HARNESS_MAIN
