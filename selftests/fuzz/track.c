// SPDX-License-Identifier: GPL-2.0
/*
 * Tracks: the threads and processes that run a program, from the inside.
 *
 * They are made by clone() alone: a thread library would have to agree with what
 * programs do to their threads (exit, kill, exec, fork from anywhere). So those
 * that share memory share the C library's thread-local data too, and nothing
 * here uses any: no malloc(), no stdio, no errno.
 *
 * Whoever faults goes on with its next call, and so does, because run.c sends a
 * signal, who sleeps in the kernel for long. When all tracks have made their calls
 * the program ends.
 */
#include <linux/futex.h>
#include <linux/kfiber.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "cover.h"
#include "inject.h"
#include "track.h"

#define STACK_SIZE (128ul << 10)
#define SIGNAL_STACK_SIZE (32ul << 10)

struct shared *shared;
struct process process;

static struct track tracks[TRACKS];
static char stacks[TRACKS][STACK_SIZE] __attribute__((aligned(64)));
static char signal_stacks[TRACKS][SIGNAL_STACK_SIZE] __attribute__((aligned(64)));

/* The track that the calling thread is; NULL: none, which cannot be. */
static struct track *track_self(void)
{
	pid_t tid = syscall(SYS_gettid);
	unsigned int i;

	for (i = 0; i < TRACKS; i++)
		if (__atomic_load_n(&shared->tracks[i].tid, __ATOMIC_RELAXED) == tid)
			return &tracks[i];
	return NULL;
}

static void on_fault(int number)
{
	struct track *t = track_self();

	if (!t)
		_exit(1);
	/* More than it has calls: it does not get on, its own stack is gone. */
	if (t->faults++ > CALLS_MAX)
		track_end();
	__atomic_add_fetch(&shared->faults, 1, __ATOMIC_RELAXED);
	siglongjmp(t->fault, 1);
}

static void on_prod(int number)
{
}

static void catch_signals(void)
{
	struct sigaction fault = {
		.sa_handler = on_fault, .sa_flags = SA_ONSTACK | SA_NODEFER,
	};
	struct sigaction prod = { .sa_handler = on_prod, .sa_flags = SA_ONSTACK };

	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	sigaction(SIGUSR1, &prod, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* --- one call ------------------------------------------------------------------- */

static void call_elsewhere(uint32_t number, uint32_t at)
{
	const struct call *call = &shared->program.calls[at];

	ops[call->op].fn(&tracks[number], call->args);
}

/*
 * Makes a call on a stack of the program's choice: what is there may be missing,
 * then making it ready is the fault.
 */
static void call_on_stack(struct track *t, uint32_t at, uintptr_t stack)
{
	ucontext_t context;

	getcontext(&context);
	context.uc_stack.ss_sp = (void *)(stack - STACK_SIZE);
	context.uc_stack.ss_size = STACK_SIZE;
	context.uc_link = &t->back;
	makecontext(&context, (void (*)(void))call_elsewhere, 2, t->number, at);
	swapcontext(&t->back, &context);
}

static void make_call(struct track *t, unsigned int at)
{
	const struct call *call = &shared->program.calls[at];
	const struct op *op = &ops[call->op];
	uintptr_t stack = t->stack;

	if (op->modifies_next) {
		op->fn(t, call->args);
		return;
	}
	t->stack = 0;
	__atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
	if (t->nth)
		inject_nth(t->nth);
	if (stack)
		call_on_stack(t, at, stack);
	else
		op->fn(t, call->args);
}

/* --- a track ---------------------------------------------------------------------- */

static void report_identity(struct track_report *report, pid_t pid, pid_t tid)
{
	__atomic_store_n(&report->pid, pid, __ATOMIC_RELAXED);
	__atomic_store_n(&report->tid, tid, __ATOMIC_RELAXED);
}

static void track_prepare(struct track *t)
{
	struct track_report *report = &shared->tracks[t->number];
	stack_t stack = { .ss_sp = signal_stacks[t->number], .ss_size = SIGNAL_STACK_SIZE };

	sigaltstack(&stack, NULL);
	mmap(track_pages(t->number), 2 * 4096, PROT_READ | PROT_WRITE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	t->worker = 0;
	t->faults = 0;
	t->stack = 0;
	t->nth = 0;
	report_identity(report, syscall(SYS_getpid), syscall(SYS_gettid));
	cover_enable(t->number);
}

/*
 * What a fault jumps back to stays valid for as long as the track lives: the
 * frame is that of this function, and the place in the program is in memory.
 */
static void track_run(unsigned int number)
{
	struct track *volatile t = &tracks[number];

	t->number = number;
	track_prepare(t);
	for (; shared->tracks[number].call < shared->program.count;
	     shared->tracks[number].call++) {
		unsigned int at = shared->tracks[number].call;
		const struct call *call = &shared->program.calls[at];

		if (call->track != number)
			continue;
		if (!sigsetjmp(t->fault, 0))
			make_call(t, at);
		if (t->nth && !ops[call->op].modifies_next) {
			t->nth = 0;
			inject_nth(0);
		}
		cover_collect(number);
	}
}

static void futex(int operation, uint32_t value, const struct timespec *timeout)
{
	syscall(SYS_futex, &shared->ended, operation, value, timeout, NULL, 0);
}

static void track_report_end(unsigned int number)
{
	__atomic_store_n(&shared->tracks[number].state, TRACK_DONE, __ATOMIC_RELAXED);
	__atomic_add_fetch(&shared->ended, 1, __ATOMIC_RELEASE);
	futex(FUTEX_WAKE, 1, NULL);
}

/* Of a process's last thread, the end is the process's. */
void track_end(void)
{
	struct track *t = track_self();

	if (t)
		track_report_end(t->number);
	for (;;)
		syscall(SYS_exit, 0);
}

static int track_main(void *number)
{
	track_run((uintptr_t)number);
	track_end();
}

void track_start(unsigned int number, unsigned long flags)
{
	int idle = TRACK_IDLE;
	long pid;

	if (!__atomic_compare_exchange_n(&shared->tracks[number].state, &idle, TRACK_STARTED, false,
					 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return;
	if (flags & CLONE_VM) {
		pid = clone(track_main, stacks[number] + STACK_SIZE, flags,
			    (void *)(uintptr_t)number);
	} else {
		/* The child goes on with the stack it is on: the module's, maybe. */
		pid = syscall(SYS_clone, flags, 0, 0, 0, 0);
		if (!pid)
			track_main((void *)(uintptr_t)number);
	}
	if (pid < 0) {
		track_report_end(number);
		return;
	}
	/* It says so itself, but may die before. */
	report_identity(&shared->tracks[number],
			flags & CLONE_THREAD ? (pid_t)syscall(SYS_getpid) : pid, pid);
}

/* --- the whole program --------------------------------------------------------------- */

/* Is a track there that has calls left? Those that were killed have none. */
static bool tracks_left(void)
{
	unsigned int i;

	while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
		;
	for (i = 1; i < TRACKS; i++) {
		struct track_report *report = &shared->tracks[i];

		if (__atomic_load_n(&report->state, __ATOMIC_RELAXED) != TRACK_STARTED)
			continue;
		/* It may not have got as far as to say who it is. */
		if (!report->tid || !syscall(SYS_tgkill, report->pid, report->tid, 0))
			return true;
	}
	return false;
}

/* Woken by each track's end; who is killed does not wake anybody. */
static void wait_for_tracks(void)
{
	struct timespec timeout = { .tv_nsec = 5000000 };

	for (;;) {
		uint32_t ended = __atomic_load_n(&shared->ended, __ATOMIC_ACQUIRE);

		if (!tracks_left())
			return;
		futex(FUTEX_WAIT, ended, &timeout);
	}
}

static unsigned int magnitude(uint64_t n)
{
	return n < 2 ? n : n < 16 ? 2 : 3;
}

/* What the module counts tells of work that KCOV does not see. */
static void collect_features(void)
{
	const size_t first = offsetof(struct kfiber_stats, handovers);
	struct kfiber_stats stats;
	const uint64_t *counts = (const uint64_t *)((const char *)&stats + first);
	unsigned int i;
	int fd;

	for (fd = 0; fd < FDS; fd++) {
		stats = (struct kfiber_stats){ .size = sizeof(stats) };
		if (ioctl(process.fds[fd], KFIBER_IOC_STATS, &stats))
			continue;
		for (i = 0; i < (sizeof(stats) - first) / sizeof(*counts); i++)
			cover_feature(i * 4 + magnitude(counts[i]));
	}
}

void track_run_program(void)
{
	unsigned int i;

	for (i = 0; i < FDS; i++)
		process.fds[i] = -1;
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, process.sockets))
		memset(process.sockets, -1, sizeof(process.sockets));
	catch_signals();
	shared->tracks[0].state = TRACK_STARTED;
	track_run(0);
	wait_for_tracks();
	collect_features();
	for (;;)
		syscall(SYS_exit_group, 0);
}

/* The descriptors are still there, but the domain is another process's. */
void track_after_exec(void)
{
	struct kfiber_next next = { .size = sizeof(next) };
	struct kfiber_simple simple = { .size = sizeof(simple) };
	struct timespec time = { .tv_nsec = 1000000 };
	int fd;

	nanosleep(&time, NULL);
	for (fd = 3; fd < 20; fd++) {
		ioctl(fd, KFIBER_IOC_ATTACH, &simple);
		ioctl(fd, KFIBER_IOC_NEXT, &next);
		ioctl(fd, KFIBER_IOC_DETACH, &simple);
	}
}
