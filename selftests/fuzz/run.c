// SPDX-License-Identifier: GPL-2.0
/*
 * A program is a process group below a child of ours, and we are the reaper of
 * all that lose their parents. So a program has ended when we have no child, and
 * can be ended by killing its group.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cover.h"
#include "run.h"
#include "track.h"

struct run_counts run_counts;

static sigset_t child_signal;

bool run_init(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	sigemptyset(&child_signal);
	sigaddset(&child_signal, SIGCHLD);
	return shared != MAP_FAILED && !sigprocmask(SIG_BLOCK, &child_signal, NULL) &&
	       !prctl(PR_SET_CHILD_SUBREAPER, 1);
}

/*
 * Reaps children. Return: whether @first has ended, or nobody is left; 0: only
 * that counts.
 */
static bool reap(pid_t first)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG | __WALL)) > 0)
		if (pid == first)
			return true;
	return pid < 0 && errno == ECHILD;
}

/* Not only for SIGCHLD: who shares memory with its parent may end without one. */
static void wait_for_child(long ms)
{
	struct timespec timeout = { .tv_nsec = ms * 1000000 };

	sigtimedwait(&child_signal, NULL, &timeout);
}

/* Whoever sleeps is to come out of it. */
static void prod(void)
{
	unsigned int i;

	for (i = 0; i < TRACKS; i++) {
		const struct track_report *report = &shared->tracks[i];

		if (report->state == TRACK_STARTED && report->pid > 0 && report->tid > 0)
			syscall(SYS_tgkill, report->pid, report->tid, SIGUSR1);
	}
}

/*
 * What it comes to must not depend on how fast the machine is: a program that makes its calls,
 * however slowly, goes on. Return: whether it came to its end.
 */
static bool wait_for_program(pid_t child)
{
	long start = now_ms(), last = start, now, spent;
	uint64_t before = 0, calls;

	while (!reap(child)) {
		now = now_ms();
		calls = __atomic_load_n(&shared->calls, __ATOMIC_RELAXED);
		if (calls != before) {
			before = calls;
			last = now;
		}
		if (now - last >= RUN_MS)
			return false;
		spent = now - start;
		if (spent >= PROD_AFTER_MS)
			prod();
		wait_for_child(spent < PROD_AFTER_MS ? PROD_AFTER_MS - spent : PROD_MS);
	}
	return true;
}

/* Return: whether all processes are gone. */
static bool wait_for_death(void)
{
	long end = now_ms() + DEATH_MS;

	while (!reap(0)) {
		if (now_ms() >= end)
			return false;
		wait_for_child(100);
	}
	return true;
}

static void show_file(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return;
	text[n] = 0;
	printf("# %s:\n# ", path);
	for (char *c = text; *c; c++) {
		putchar(*c);
		if (*c == '\n' && c[1])
			printf("# ");
	}
	if (text[n - 1] != '\n')
		putchar('\n');
}

/* Where the threads of a process are: the kernel says so to root. */
static void show_threads(const char *pid)
{
	char path[64 + 2 * 20];
	struct dirent *entry;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%.20s/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%.20s/task/%.20s/stat", pid, entry->d_name);
		show_file(path);
		snprintf(path, sizeof(path), "/proc/%.20s/task/%.20s/stack", pid, entry->d_name);
		show_file(path);
	}
	if (tasks)
		closedir(tasks);
}

static bool is_in_group(const char *pid, pid_t group)
{
	return getpgid(atoi(pid)) == group;
}

static void show_stuck(pid_t group)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;
	unsigned int i;

	for (i = 0; i < TRACKS; i++) {
		const struct track_report *report = &shared->tracks[i];

		if (report->state == TRACK_STARTED)
			printf("# track %u: process %d, thread %d, call %u\n", i, report->pid,
			       report->tid, report->call + 1);
	}
	while (processes && (entry = readdir(processes)))
		if (isdigit((unsigned char)entry->d_name[0]) && is_in_group(entry->d_name, group))
			show_threads(entry->d_name);
	if (processes)
		closedir(processes);
	fflush(stdout);
}

static void forget_last(const struct program *p)
{
	memset(shared, 0, sizeof(*shared));
	shared->program = *p;
	cover_begin();
}

bool run_was_made(unsigned int at)
{
	unsigned int track = shared->program.calls[at].track;

	return shared->tracks[track].state != TRACK_IDLE && at <= shared->tracks[track].call;
}

bool run_program(const struct program *p)
{
	pid_t child;
	bool ended;

	forget_last(p);
	fflush(stdout);
	child = fork();
	if (!child) {
		setpgid(0, 0);
		sigprocmask(SIG_UNBLOCK, &child_signal, NULL);
		track_run_program();
	}
	if (child < 0) {
		perror("fuzz: fork");
		exit(2);
	}
	setpgid(child, child);			/* whoever is first: it must be done now */
	if (!wait_for_program(child))
		run_counts.killed++;
	kill(-child, SIGKILL);
	ended = wait_for_death();
	if (!ended)
		show_stuck(child);
	cover_end();
	run_counts.calls += shared->calls;
	run_counts.faults += shared->faults;
	return ended;
}
