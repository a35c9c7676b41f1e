/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs of C and C++ have in common. Each is one peer, a directory
 * of bench/, and does the works that it knows, one in a run:
 *
 *	PEER WORK [PARAMETER=VALUE]...
 *
 * It writes what it has measured to stdout, a line for each number:
 *
 *	sample METRIC VALUE
 *
 * and where memory is to be looked at it writes "phase NAME" and waits for a line
 * on stdin. bench/run starts the programs, looks at memory, and keeps it all.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_PAGE	4096ul
/* Addresses of each stack, in all peers: what is measured has the same page tables. */
#define BENCH_STACK	(256ul << 10)
#define BENCH_MS	1000000ull

struct bench_work {
	const char *name;
	void (*run)(void);
};

/* Ends with an entry without a name. */
int bench_main(int argc, char **argv, const struct bench_work *works);

/* Of the command line; it must be there. */
unsigned long bench_parameter(const char *name);

/* Where they are, for who is not called by bench_main(). */
void bench_parameters(char **all);

uint64_t bench_now(void);
void bench_sample(const char *metric, double value);
void bench_phase(const char *name);

/* The sample "ns": what each of @n took that began at @start and are done now. */
void bench_each(uint64_t start, unsigned long n);

/* The work was done: as often as was counted, and no more. */
void bench_counted(unsigned long counted, unsigned long wanted);
void bench_die(const char *what) __attribute__((noreturn));
void *bench_alloc(size_t n, size_t size);

/* Addresses for a stack that goes @pages deep: a power of two with room for a guard. */
size_t bench_stack_size(unsigned long pages);

/*
 * Touches the @pages below the one that it is called in, from the top down, as
 * calls do.
 */
void bench_go_deep(unsigned long pages);

/**
 * struct bench_growth - how long stacks took to become deep
 * @pages: how deep, from the top
 * @first: nanoseconds, of all
 * @second: nanoseconds when they did it again
 */
struct bench_growth {
	unsigned long pages;
	uint64_t first;
	uint64_t second;
};

/* Called on each stack. Its first page is there: who makes a stack touches it. */
void bench_grow(struct bench_growth *g);
void bench_grown(const struct bench_growth *g, unsigned long stacks);

/*
 * Those who sleep are released when all are there, which took since @start. Return:
 * when the first is to wake: all have gone to sleep by then.
 */
uint64_t bench_begin(uint64_t start);

/* The sample "threads": how many the process has now. */
void bench_threads(void);

/* For who waits for files: as many as may be opened here. */
void bench_many_files(void);

/*
 * Files that bench/feeder gives to the work: the ends to read of as many pipes as there are
 * tasks, and one to which a byte is written when all are ready.
 */
#define BENCH_PIPE(task)	(3 + (int)(task))
#define BENCH_READY(tasks)	BENCH_PIPE((tasks) + 1)

/* Tells the feeder. Return: now. */
uint64_t bench_ready(unsigned long tasks);

/* Computes, and calls nobody, until it is @until. */
void bench_spin(uint64_t until);

/* How late each was, in nanoseconds; sorts them. */
void bench_late(uint64_t *late, unsigned long n);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_H */
