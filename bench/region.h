/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a growing stack is measured against where there is only memory: a region
 * of as many stacks, touched from the top of each downwards. Its first page has
 * been touched, as a stack's has.
 */
#ifndef BENCH_REGION_H
#define BENCH_REGION_H

#include <sys/mman.h>

#include "bench.h"

/* All of it at one's own pace: no huge pages. */
static inline char *bench_region(size_t size, int prot)
{
	char *region = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (region == MAP_FAILED || madvise(region, size, MADV_NOHUGEPAGE))
		bench_die("mmap");
	return region;
}

static inline void bench_touch(char *top, unsigned long from, unsigned long to)
{
	unsigned long i;

	for (i = from; i <= to; i++)
		*(volatile char *)(top - i * BENCH_PAGE) = 1;
}

static inline void bench_grow_region(char *region, size_t stride, unsigned long stacks,
				     struct bench_growth *g)
{
	unsigned long i;

	for (i = 1; i <= stacks; i++) {
		char *top = region + i * stride;
		uint64_t begin, between;

		bench_touch(top, 1, 1);
		begin = bench_now();
		bench_touch(top, 2, g->pages);
		between = bench_now();
		bench_touch(top, 2, g->pages);
		g->first += between - begin;
		g->second += bench_now() - between;
	}
	bench_grown(g, stacks);
}

#endif /* BENCH_REGION_H */
