// SPDX-License-Identifier: GPL-2.0
/*
 * No peer, but who feeds one: starts it with a pipe for each of its tasks, and when it says
 * that all are ready writes a byte to each of them, every interval until all is read.
 *
 *	feeder PROGRAM WORK tasks=N reads=N interval_ms=N nonblocking=N
 *
 * A process of its own, so that what it costs is the same for all.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../bench.h"

static unsigned long tasks;
static int *to;

/* The program's ends come first: State Threads' select() looks at 1,024 files. */
static void make_pipes(void)
{
	int flags = bench_parameter("nonblocking") ? O_NONBLOCK : 0;
	unsigned long i;
	int ends[2];

	to = bench_alloc(tasks, sizeof(*to));
	for (i = 0; i < tasks; i++) {
		if (pipe(ends) || ends[0] != BENCH_PIPE(i))
			bench_die("pipe");
		to[i] = fcntl(ends[1], F_DUPFD_CLOEXEC, BENCH_READY(tasks) + 1);
		if (to[i] < 0 || close(ends[1]) || fcntl(ends[0], F_SETFL, flags))
			bench_die("fcntl");
	}
}

static void sleep_until(uint64_t when)
{
	struct timespec until = {
		.tv_sec = (time_t)(when / 1000000000), .tv_nsec = (long)(when % 1000000000),
	};

	if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL))
		bench_die("clock_nanosleep");
}

/* Who is not there for the last byte has an exit status that says so. */
static void feed(void)
{
	unsigned long reads = bench_parameter("reads"), i, j;
	uint64_t interval = bench_parameter("interval_ms") * BENCH_MS, next = bench_now();

	for (i = 0; i < reads; i++) {
		next += interval;
		sleep_until(next);
		for (j = 0; j < tasks; j++)
			if (write(to[j], "", 1) != 1)
				bench_die("write");
	}
}

int main(int argc, char **argv)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	if (argc < 3) {
		fprintf(stderr, "Usage: feeder PROGRAM WORK [PARAMETER=VALUE]...\n");
		return 2;
	}
	bench_parameters(argv + 3);
	tasks = bench_parameter("tasks");
	bench_many_files();
	make_pipes();
	if (pipe(ready) || ready[1] != BENCH_READY(tasks))
		bench_die("pipe");
	pid = fork();
	if (!pid) {
		execv(argv[1], argv + 1);
		bench_die(argv[1]);
	}
	close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) == 1)
		feed();
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			bench_die("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
