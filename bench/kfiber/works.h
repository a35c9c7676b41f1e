/* SPDX-License-Identifier: GPL-2.0 */
/* What the peer "kfiber" can do. */
#ifndef BENCH_KFIBER_WORKS_H
#define BENCH_KFIBER_WORKS_H

#include <kfiber/kfiber.h>

#include "../bench.h"

/* Runs @fn as the first fiber of a domain. */
static inline void bench_run_with(unsigned int processors, size_t stack_size, int (*fn)(void *),
				  void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .stack_size = stack_size,
		.max_fibers = 1100000,
	};

	if (kf_run(&config, fn, arg))
		bench_die("kf_run");
}

static inline void bench_run(unsigned int processors, size_t stack_size, int (*fn)(void *))
{
	bench_run_with(processors, stack_size, fn, NULL);
}

void bench_growth(void);
void bench_deep(void);
void bench_parked(void);
void bench_blocking(void);
void bench_sleeps(void);
void bench_reads_blocking(void);
void bench_reads(void);
void bench_handover(void);
void bench_sleeping(void);
void bench_paths(void);
void bench_yield(void);
void bench_unpark(void);
void bench_channel(void);
void bench_spawn(void);
void bench_mutex(void);
void bench_crowd(void);
void bench_ring(void);
void bench_skynet(void);
void bench_sieve(void);
void bench_producers(void);

#endif /* BENCH_KFIBER_WORKS_H */
