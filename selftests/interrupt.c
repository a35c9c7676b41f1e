// SPDX-License-Identifier: GPL-2.0
/*
 * System calls that block end with EINTR when their fiber is cancelled, whenever that is: at
 * once or when they begin to block. Nobody else's do.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <kfiber/kfiber.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"
#include "slow.h"

#define FAILED(line) ((void *)(long)(line))
#define HOUR_S 3600

/* What is blocked for: nothing ever comes. */
static struct {
	int pipe[2], full[2], pair[2], listener, busy, epoll, lock[2], queue;
	struct sockaddr_un name;
	uint32_t futex;
	pid_t child;
} never;

static void fill(int fd)
{
	char block[4096] = { 0 };

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, block, sizeof(block)) > 0)
		;
	fcntl(fd, F_SETFL, 0);
}

static void child_waits(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static int busy_listener(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	int client = socket(AF_UNIX, SOCK_STREAM, 0);

	never.name.sun_family = AF_UNIX;
	snprintf(never.name.sun_path + 1, sizeof(never.name.sun_path) - 1, "kfiber-%d", getpid());
	if (bind(fd, (struct sockaddr *)&never.name, sizeof(never.name)) || listen(fd, 0) ||
	    connect(client, (struct sockaddr *)&never.name, sizeof(never.name)))
		return -1;
	return fd;
}

static void never_begin(void)
{
	struct sockaddr_un any = { .sun_family = AF_UNIX };
	char path[] = "/tmp/interrupt-XXXXXX";

	never.lock[0] = mkstemp(path);
	never.lock[1] = open(path, O_RDWR);
	unlink(path);
	never.listener = socket(AF_UNIX, SOCK_STREAM, 0);
	never.busy = busy_listener();
	never.epoll = epoll_create1(0);
	never.queue = msgget(IPC_PRIVATE, 0600);
	if (never.lock[1] < 0 || flock(never.lock[0], LOCK_EX) || never.busy < 0 ||
	    pipe(never.pipe) || pipe(never.full) || never.queue < 0 ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, never.pair) || never.epoll < 0 ||
	    bind(never.listener, (struct sockaddr *)&any, sizeof(sa_family_t)) ||
	    listen(never.listener, 1))
		abort();
	fill(never.full[1]);
	never.child = fork();
	if (!never.child)
		child_waits();
}

static void never_end(void)
{
	kill(never.child, SIGKILL);
	waitpid(never.child, NULL, 0);
	msgctl(never.queue, IPC_RMID, NULL);
}

/* Return: what @fn gives back, with all that never comes there. */
static int run_beside_never(unsigned int processors, int (*fn)(void *))
{
	int result;

	never_begin();
	result = run(processors, fn, NULL);
	never_end();
	return result;
}

/* --- every call --------------------------------------------------------------------- */

static long do_read(void)
{
	char c;

	return read(never.pipe[0], &c, 1);
}

static long do_write(void)
{
	return write(never.full[1], "x", 1);
}

static long do_recv(void)
{
	char c;

	return recv(never.pair[0], &c, 1, 0);
}

static long do_nanosleep(void)
{
	struct timespec hour = { .tv_sec = HOUR_S };

	return nanosleep(&hour, NULL);
}

static long do_sleep_until(void)
{
	struct timespec at;
	int err;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += HOUR_S;
	err = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	errno = err;
	return err ? -1 : 0;
}

static long do_futex(void)
{
	return syscall(SYS_futex, &never.futex, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static long do_futex_until(void)
{
	struct timespec hour = { .tv_sec = HOUR_S };

	return syscall(SYS_futex, &never.futex, FUTEX_WAIT, 0, &hour, NULL, 0);
}

static long do_poll(void)
{
	struct pollfd p = { .fd = never.pipe[0], .events = POLLIN };

	return poll(&p, 1, -1);
}

/* With a mask of its own, which is put back. */
static long do_ppoll(void)
{
	struct pollfd p = { .fd = never.pipe[0], .events = POLLIN };
	struct timespec hour = { .tv_sec = HOUR_S };
	sigset_t all, before, after;
	long ret;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	ret = ppoll(&p, 1, &hour, &all);
	err = errno;
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	errno = memcmp(&before, &after, 8) ? EIO : err;
	return ret;
}

static long do_epoll(void)
{
	struct epoll_event e;

	return epoll_wait(never.epoll, &e, 1, -1);
}

static long do_accept(void)
{
	return accept(never.listener, NULL, NULL);
}

static long do_connect(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	long ret = connect(fd, (struct sockaddr *)&never.name, sizeof(never.name));
	int err = errno;

	close(fd);
	errno = err;
	return ret;
}

static long do_flock(void)
{
	return flock(never.lock[1], LOCK_EX);
}

static long do_fcntl(void)
{
	struct flock all = { .l_type = F_WRLCK };
	int fd = open("/proc/self/fd/0", O_RDONLY), err;
	long ret;

	if (fd >= 0)
		close(fd);
	fcntl(never.lock[0], F_OFD_SETLK, &all);
	ret = fcntl(never.lock[1], F_OFD_SETLKW, &all);
	err = errno;
	all.l_type = F_UNLCK;
	fcntl(never.lock[0], F_OFD_SETLK, &all);
	errno = err;
	return ret;
}

static long do_wait(void)
{
	return wait4(never.child, NULL, 0, NULL);
}

static long do_msgrcv(void)
{
	struct { long type; char text[8]; } m;

	return msgrcv(never.queue, &m, sizeof(m.text), 0, 0);
}

static long do_sigwait(void)
{
	sigset_t none;

	sigemptyset(&none);
	return sigwaitinfo(&none, NULL);
}

static long do_pause(void)
{
	return pause();
}

static const struct blocking {
	const char *name;
	long (*call)(void);
	long number;
} blocking[] = {
	{ "read", do_read, SYS_read },
	{ "write", do_write, SYS_write },
	{ "recv", do_recv, SYS_recvfrom },
	{ "nanosleep", do_nanosleep, SYS_clock_nanosleep },
	{ "clock_nanosleep, absolute", do_sleep_until, SYS_clock_nanosleep },
	{ "futex", do_futex, SYS_futex },
	{ "futex with a time-out", do_futex_until, SYS_futex },
	{ "poll", do_poll, SYS_poll },
	{ "ppoll", do_ppoll, SYS_ppoll },
	{ "epoll_wait", do_epoll, SYS_epoll_wait },
	{ "accept", do_accept, SYS_accept },
	{ "connect", do_connect, SYS_connect },
	{ "flock", do_flock, SYS_flock },
	{ "fcntl", do_fcntl, SYS_fcntl },
	{ "wait4", do_wait, SYS_wait4 },
	{ "msgrcv", do_msgrcv, SYS_msgrcv },
	{ "sigwaitinfo", do_sigwait, SYS_rt_sigtimedwait },
	{ "pause", do_pause, SYS_pause },
};

enum { CALLS = sizeof(blocking) / sizeof(blocking[0]) };

/* Who blocks, and on which thread. */
struct blocked {
	const struct blocking *what;
	atomic_int tid;
	kf_fiber_t fiber;
};

/* Return: whether it ended as it should; says so if not. */
static bool is_interrupted(const struct blocking *what)
{
	long ret = what->call();
	int err = errno;

	if (ret == -1 && err == EINTR)
		return true;
	fprintf(stderr, "%s: %ld, %s\n", what->name, ret, strerror(err));
	return false;
}

/* More than once: it stays cancelled. */
static void *blocks(void *arg)
{
	struct blocked *b = arg;
	int i;

	atomic_store(&b->tid, gettid());
	for (i = 0; i < 3; i++)
		if (!is_interrupted(b->what))
			return FAILED(1);
	return FAILED(kf_cancelled() ? 0 : 2);
}

/* Returns when the thread sleeps in that system call. */
static void wait_until_blocked(struct blocked *b)
{
	char path[64], state[32];

	while (!atomic_load(&b->tid))
		kf_sleep(100000);
	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", atomic_load(&b->tid));
	for (;;) {
		FILE *f = fopen(path, "re");
		bool is = f && fgets(state, sizeof(state), f) && state[0] != 'r' &&
			  atol(state) == b->what->number;

		if (f)
			fclose(f);
		if (is)
			return;
		kf_sleep(100000);
	}
}

static int cancelled_while_it_blocks(void *arg)
{
	struct blocked b[CALLS] = { 0 };
	int i, bad = 0;
	void *value;

	(void)arg;
	for (i = 0; i < CALLS; i++) {
		b[i].what = &blocking[i];
		if (kf_spawn(&b[i].fiber, NULL, blocks, &b[i]))
			return -1;
	}
	for (i = 0; i < CALLS; i++)
		wait_until_blocked(&b[i]);
	for (i = 0; i < CALLS; i++)
		bad += !!kf_cancel(b[i].fiber);
	for (i = 0; i < CALLS; i++)
		bad += kf_join(b[i].fiber, &value) || value;
	return bad;
}

TEST_F(processors, a_call_that_blocks_is_interrupted)
{
	EXPECT_EQ(0, run_beside_never(variant->n, cancelled_while_it_blocks));
}

static void *blocks_cancelled(void *arg)
{
	kf_cancel(kf_self());
	return blocks(arg);
}

static int cancelled_before(void *arg)
{
	struct blocked b[CALLS] = { 0 };
	int i, bad = 0;
	void *value;

	(void)arg;
	for (i = 0; i < CALLS; i++) {
		b[i].what = &blocking[i];
		if (kf_spawn(&b[i].fiber, NULL, blocks_cancelled, &b[i]))
			return -1;
	}
	for (i = 0; i < CALLS; i++)
		bad += kf_join(b[i].fiber, &value) || value;
	return bad;
}

TEST_F(processors, a_call_that_comes_after_the_cancel_is_interrupted)
{
	EXPECT_EQ(0, run_beside_never(variant->n, cancelled_before));
}

/* --- what is not interrupted ------------------------------------------------------- */

static int what_is_there(void *arg)
{
	int fds[2];
	char c;

	(void)arg;
	if (pipe(fds) || write(fds[1], "x", 1) != 1 || kf_cancel(kf_self()))
		return -1;
	return read(fds[0], &c, 1) == 1 && getppid() ? 0 : -2;
}

TEST(a_call_that_need_not_block_is_as_ever)
{
	ASSERT_EQ(0, run(1, what_is_there, NULL));
}

static void *reads_masked(void *arg)
{
	struct blocked *b = arg;
	uint64_t begin;
	char c;

	kf_cancel_disable();
	atomic_store(&b->tid, gettid());
	if (read(never.pipe[0], &c, 1) != 1)
		return FAILED(1);
	/* It is cancelled by now. */
	begin = kf_now();
	if (usleep(2000) || kf_now() - begin < 2 * MS)
		return FAILED(2);
	kf_cancel_enable();
	return FAILED(is_interrupted(b->what) ? 0 : 3);
}

static int masks(void *arg)
{
	struct blocked b = { .what = &blocking[0] };
	struct kf_stats stats = { .size = sizeof(stats) };
	void *value;

	(void)arg;
	if (kf_spawn(&b.fiber, NULL, reads_masked, &b))
		return -1;
	wait_until_blocked(&b);
	if (kf_cancel(b.fiber) || kf_stats(&stats) || stats.interrupts)
		return -2;
	if (write(never.pipe[1], "x", 1) != 1 || kf_join(b.fiber, &value))
		return -3;
	if (value)
		return (int)(long)value;
	return kf_stats(&stats) || !stats.interrupts ? -4 : 0;
}

TEST_F(processors, what_is_masked_is_not)
{
	EXPECT_EQ(0, run_beside_never(variant->n, masks));
}

/* Begins again after EINTR, as a lock of libc's does: it may not spin. */
static void *does_not_give_up(void *arg)
{
	struct blocked *b = arg;
	long ret, interrupted = 0;
	char c;

	atomic_store(&b->tid, gettid());
	while ((ret = read(never.pipe[0], &c, 1)) < 0 && errno == EINTR)
		interrupted++;
	return FAILED(ret == 1 ? interrupted : -1);
}

static int is_disturbed_now_and_then(void *arg)
{
	struct blocked b = { .what = &blocking[0] };
	uint64_t begin;
	void *value;
	long most;

	(void)arg;
	if (kf_spawn(&b.fiber, NULL, does_not_give_up, &b))
		return -1;
	wait_until_blocked(&b);
	begin = kf_now();
	if (kf_cancel(b.fiber))
		return -2;
	kf_sleep(300 * MS);
	if (write(never.pipe[1], "x", 1) != 1)
		return -3;
	/* At 0, 1, 3, 7, 15, 31, 63 ms, and each 64 from there. */
	most = 7 + (long)((kf_now() - begin) / (64 * MS)) + 1;
	if (kf_join(b.fiber, &value))
		return -4;
	return (long)value >= 2 && (long)value <= most ? 0 : (int)(long)value;
}

TEST(who_begins_again_sleeps_most_of_the_time)
{
	EXPECT_EQ(0, run_beside_never(2, is_disturbed_now_and_then));
}

/* --- contexts ----------------------------------------------------------------------- */

static int context_ends(void *arg)
{
	kf_ctx_t *ctx = kf_ctx_with_cancel(kf_ctx_background());
	struct blocked b = { .what = &blocking[0] };
	void *value;
	int err;

	(void)arg;
	if (kf_ctx_set_current(ctx) || kf_spawn(&b.fiber, NULL, blocks, &b))
		return -1;
	if (kf_ctx_set_current(kf_ctx_background()))
		return -2;
	wait_until_blocked(&b);
	kf_ctx_cancel(ctx);
	err = kf_join(b.fiber, &value) || value ? -3 : 0;
	/* Whoever enters it now finds it so. */
	if (!err && (kf_ctx_set_current(ctx) || !is_interrupted(&blocking[0])))
		err = -4;
	/* And is free again when it leaves it. */
	if (!err && (kf_ctx_set_current(kf_ctx_background()) || usleep(2000)))
		err = -5;
	kf_ctx_free(ctx);
	return err;
}

TEST_F(processors, a_context_that_ends_interrupts)
{
	EXPECT_EQ(0, run_beside_never(variant->n, context_ends));
}

/* Waits that a context with a deadline that has not come leaves as they are. */
static bool waits_as_ever(kf_ctx_t *ctx)
{
	kf_mutex_t mutex = KF_MUTEX_INIT;

	return !kf_ctx_set_current(ctx) && !kf_sleep(1) && !kf_mutex_lock(&mutex) &&
	       kf_mutex_lock_until(&mutex, kf_after(1)) == -ETIMEDOUT;
}

/* The deadline is there all the time, in spite of other waits in between. */
static int context_deadline(void *arg)
{
	uint64_t ns = 20 * MS, deadline;
	kf_ctx_t *ctx;
	int err = 0;

	(void)arg;
	for (;;) {
		deadline = kf_after(ns);
		ctx = kf_ctx_with_deadline(kf_ctx_background(), deadline);
		if (waits_as_ever(ctx))
			break;
		kf_ctx_set_current(kf_ctx_background());
		kf_ctx_free(ctx);
		/* A machine that stands still for so long shows nothing. */
		if (kf_now() < deadline)
			return -1;
		ns *= 2;
	}
	if (kf_now() < deadline && usleep(1) && kf_now() < deadline)
		err = -2;
	if (!err && (!is_interrupted(&blocking[0]) || kf_now() < deadline))
		err = -3;
	if (!err && (!is_interrupted(&blocking[7]) || !kf_cancelled()))
		err = -4;
	kf_ctx_set_current(kf_ctx_background());
	if (!err && usleep(2000))
		err = -5;
	kf_ctx_free(ctx);
	return err;
}

TEST_F(processors, a_contexts_deadline_interrupts)
{
	EXPECT_EQ(0, run_beside_never(variant->n, context_deadline));
}

static int fails_soon(void *arg)
{
	wait_until_blocked(arg);
	return -EPIPE;
}

static int blocks_in_scope(void *arg)
{
	return blocks(arg) ? -EIO : 0;
}

static int scope_fails(void *arg)
{
	struct blocked b = { .what = &blocking[0] };
	kf_scope_t scope;

	(void)arg;
	if (kf_scope_init(&scope) || kf_scope_spawn(&scope, NULL, blocks_in_scope, &b) ||
	    kf_scope_spawn(&scope, NULL, fails_soon, &b))
		return -1;
	return kf_scope_wait(&scope) == -EPIPE ? 0 : -2;
}

TEST_F(processors, a_scope_that_fails_interrupts)
{
	EXPECT_EQ(0, run_beside_never(variant->n, scope_fails));
}

/* --- many at once ------------------------------------------------------------------ */

enum { INNOCENTS = 6, VICTIMS = 4, ROUNDS = 150 };

static atomic_int disturbed, ended;

/* Calls that do not begin again by themselves, or that give less than was asked for. */
static void *is_innocent(void *arg)
{
	struct epoll_event e;
	char block[8192];
	int fds[2];

	(void)arg;
	if (pipe(fds))
		return FAILED(1);
	while (!atomic_load(&ended)) {
		char *memory = malloc(3000);

		memset(memory, 1, 3000);
		if (epoll_wait(never.epoll, &e, 1, 1) < 0)
			atomic_fetch_add(&disturbed, 1);
		if (usleep(50))
			atomic_fetch_add(&disturbed, 1);
		if (write(fds[1], block, sizeof(block)) != sizeof(block) ||
		    read(fds[0], block, sizeof(block)) != sizeof(block))
			atomic_fetch_add(&disturbed, 1);
		free(memory);
	}
	close(fds[0]);
	close(fds[1]);
	return NULL;
}

/* Blocks shortly and is cancelled at any time; no cancel is lost, or this does not return. */
static void *is_cancelled_soon(void *arg)
{
	struct timespec moment = { .tv_nsec = 20000 };
	char c;

	(void)arg;
	while (!nanosleep(&moment, NULL)) {
		free(malloc(2000));
		if (kf_cancelled())
			break;
	}
	return FAILED(read(never.pipe[0], &c, 1) == -1 && errno == EINTR ? 0 : 1);
}

static int storm(void *arg)
{
	kf_fiber_t innocents[INNOCENTS], victims[VICTIMS];
	int i, round, bad = 0;
	void *value;

	(void)arg;
	atomic_store(&disturbed, 0);
	atomic_store(&ended, 0);
	for (i = 0; i < INNOCENTS; i++)
		if (kf_spawn(&innocents[i], NULL, is_innocent, NULL))
			return -1;
	for (round = 0; round < slowly(ROUNDS); round++) {
		for (i = 0; i < VICTIMS; i++)
			bad += !!kf_spawn(&victims[i], NULL, is_cancelled_soon, NULL);
		if (round % 3)
			usleep((useconds_t)(round * 7 % 200));
		for (i = 0; i < VICTIMS; i++) {
			bad += !!kf_cancel(victims[i]);
			/* It may have ended. */
			kf_cancel(victims[i]);
		}
		for (i = 0; i < VICTIMS; i++)
			bad += kf_join(victims[i], &value) || value;
	}
	atomic_store(&ended, 1);
	for (i = 0; i < INNOCENTS; i++)
		bad += kf_join(innocents[i], &value) || value;
	return bad * 1000 + atomic_load(&disturbed);
}

TEST_F(processors, a_storm_of_cancels_disturbs_nobody_else)
{
	EXPECT_EQ(0, run_beside_never(variant->n, storm));
}

/* Its process dies in the middle of it; what is left is for KASAN and kmemleak to say. */
TEST(a_storm_may_end_at_any_time)
{
	unsigned int seed = 1;
	int i;

	never_begin();
	for (i = 0; i < 10; i++) {
		pid_t child = fork();

		if (!child)
			for (;;)
				run(3, storm, NULL);
		usleep(3000 + pick(&seed, 30) * 1000);
		kill(child, SIGKILL);
		ASSERT_EQ(child, waitpid(child, NULL, 0));
	}
	never_end();
}

/* --- signals ------------------------------------------------------------------------ */

static atomic_int handled;

static void count_signal(int signal)
{
	(void)signal;
	atomic_fetch_add(&handled, 1);
}

/* A signal that would have the call begun again comes at about the same time. */
static int cancel_and_signal(void *arg)
{
	struct sigaction count = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	int i, bad = 0;
	void *value;

	(void)arg;
	sigaction(SIGUSR1, &count, NULL);
	for (i = 0; i < 100; i++) {
		struct blocked b = { .what = &blocking[i % 2 ? 0 : 5] };

		if (kf_spawn(&b.fiber, NULL, blocks, &b))
			return -1;
		wait_until_blocked(&b);
		if (i & 2)
			bad += !!tgkill(getpid(), atomic_load(&b.tid), SIGUSR1);
		bad += !!kf_cancel(b.fiber);
		if (!(i & 2))
			bad += !!tgkill(getpid(), atomic_load(&b.tid), SIGUSR1);
		bad += kf_join(b.fiber, &value) || value;
	}
	return bad;
}

TEST_F(processors, a_signal_that_restarts_calls_loses_no_cancel)
{
	EXPECT_EQ(0, run_beside_never(variant->n, cancel_and_signal));
}

TEST_HARNESS_MAIN
