// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static char **parameters;

void bench_die(const char *what)
{
	perror(what);
	exit(1);
}

void *bench_alloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		bench_die("calloc");
	return p;
}

void bench_parameters(char **all)
{
	parameters = all;
}

unsigned long bench_parameter(const char *name)
{
	size_t len = strlen(name);
	char **p;

	for (p = parameters; *p; p++)
		if (!strncmp(*p, name, len) && (*p)[len] == '=')
			return strtoul(*p + len + 1, NULL, 10);
	fprintf(stderr, "no %s=\n", name);
	exit(2);
}

uint64_t bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void bench_sample(const char *metric, double value)
{
	printf("sample %s %.17g\n", metric, value);
	fflush(stdout);
}

void bench_each(uint64_t start, unsigned long n)
{
	bench_sample("ns", (double)(bench_now() - start) / (double)n);
}

void bench_counted(unsigned long counted, unsigned long wanted)
{
	if (counted == wanted)
		return;
	fprintf(stderr, "%lu, not %lu\n", counted, wanted);
	exit(1);
}

void bench_phase(const char *name)
{
	int c;

	printf("phase %s\n", name);
	fflush(stdout);
	do {
		c = getchar();
	} while (c != '\n' && c != EOF);
}

size_t bench_stack_size(unsigned long pages)
{
	size_t size = BENCH_STACK;

	while (size / 2 < pages * BENCH_PAGE)
		size *= 2;
	return size;
}

/* Not inlined, so that its frame is gone when it returns. */
__attribute__((noinline)) void bench_go_deep(unsigned long pages)
{
	uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
	uintptr_t top = frame & ~(BENCH_PAGE - 1), low = top - pages * BENCH_PAGE;
	char *room = __builtin_alloca(frame - low);
	unsigned long i;

	/* Somebody may look at it: the stack pointer is really moved. */
	__asm__ volatile("" : : "r"(room) : "memory");
	for (i = 1; i <= pages; i++)
		*(volatile char *)(top - i * BENCH_PAGE) = 1;
}

void bench_grow(struct bench_growth *g)
{
	uint64_t begin = bench_now(), between;

	bench_go_deep(g->pages - 1);
	between = bench_now();
	bench_go_deep(g->pages - 1);
	g->first += between - begin;
	g->second += bench_now() - between;
}

void bench_grown(const struct bench_growth *g, unsigned long stacks)
{
	bench_sample("first", (double)g->first / (double)stacks);
	bench_sample("second", (double)g->second / (double)stacks);
}

uint64_t bench_begin(uint64_t start)
{
	uint64_t now = bench_now();

	return now + (now - start) + 1000 * BENCH_MS;
}

void bench_threads(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	unsigned long threads = 0;
	char line[256];

	if (!status)
		bench_die("/proc/self/status");
	while (!threads && fgets(line, sizeof(line), status))
		sscanf(line, "Threads: %lu", &threads);
	fclose(status);
	bench_sample("threads", (double)threads);
}

void bench_many_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		bench_die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		bench_die("setrlimit");
}

uint64_t bench_ready(unsigned long tasks)
{
	uint64_t now = bench_now();

	if (write(BENCH_READY(tasks), "", 1) != 1)
		bench_die("nobody feeds");
	return now;
}

void bench_spin(uint64_t until)
{
	while (bench_now() < until)
		;
}

static int bench_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

void bench_late(uint64_t *late, unsigned long n)
{
	qsort(late, n, sizeof(*late), bench_compare);
	bench_sample("p50", (double)late[n / 2]);
	bench_sample("p99", (double)late[n - 1 - n / 100]);
	bench_sample("worst", (double)late[n - 1]);
}

int bench_main(int argc, char **argv, const struct bench_work *works)
{
	const struct bench_work *work;

	if (argc >= 2) {
		bench_parameters(argv + 2);
		for (work = works; work->name; work++) {
			if (strcmp(work->name, argv[1]))
				continue;
			work->run();
			return 0;
		}
	}
	fprintf(stderr, "Usage: %s WORK [PARAMETER=VALUE]...\nWorks:", argv[0]);
	for (work = works; work->name; work++)
		fprintf(stderr, " %s", work->name);
	fprintf(stderr, "\n");
	return 2;
}
