// SPDX-License-Identifier: GPL-2.0
/* Threads, processes, signals, time. */
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "call.h"

/* In the order of the words in calls.c, as are the signals. */
static const unsigned long kind_flags[] = {
	CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
	SIGCHLD,
	CLONE_VM | SIGCHLD,
	CLONE_FILES | SIGCHLD,
	CLONE_VM | CLONE_FILES | SIGCHLD,
	CLONE_VM | CLONE_VFORK | SIGCHLD,
};

static const int signals[] = { SIGUSR1, SIGSTOP, SIGCONT, SIGSEGV, SIGTERM, SIGKILL };

void call_start(struct track *t, const uint64_t *args)
{
	track_start(args[0] % TRACKS, kind_flags[args[1] % ARRAY_LENGTH(kind_flags)]);
}

void call_exit(struct track *t, const uint64_t *args)
{
	if (args[0] & 1)
		syscall(SYS_exit_group, 0);
	track_end();
}

void call_exec(struct track *t, const uint64_t *args)
{
	static char *const argv[] = { "fuzz", "--after-exec", NULL };
	static char *const envp[] = { NULL };

	execve("/proc/self/exe", argv, envp);
}

/* To the thread, or to its process. Never to the fuzzer: 0 and -1 are many. */
void call_signal(struct track *t, const uint64_t *args)
{
	struct track_report *to = &shared->tracks[args[0] % TRACKS];
	int number = signals[args[1] % ARRAY_LENGTH(signals)];
	pid_t pid = __atomic_load_n(&to->pid, __ATOMIC_RELAXED);
	pid_t tid = __atomic_load_n(&to->tid, __ATOMIC_RELAXED);

	if (pid <= 0 || tid <= 0)
		return;
	if (args[2] & 1)
		kill(pid, number);
	else
		syscall(SYS_tgkill, pid, tid, number);
}

void call_sleep(struct track *t, const uint64_t *args)
{
	uint64_t us = args[0] % 1000000;
	struct timespec time = { .tv_nsec = us * 1000 };

	nanosleep(&time, NULL);
}

void call_spin(struct track *t, const uint64_t *args)
{
	uint64_t end = now() + args[0] % 1000000 * 1000;

	while (now() < end)
		;
}

void call_yield(struct track *t, const uint64_t *args)
{
	sched_yield();
}

/* All on one processor, or each where it likes. */
void call_pin(struct track *t, const uint64_t *args)
{
	unsigned long mask = args[0] & 1 ? 1 : ~0ul;

	syscall(SYS_sched_setaffinity, 0, sizeof(mask), &mask);
}

void call_unshare(struct track *t, const uint64_t *args)
{
	unshare(CLONE_FILES);
}
