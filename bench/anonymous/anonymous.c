// SPDX-License-Identifier: GPL-2.0
/* Plain anonymous memory: a fault for each page. */
#include "../region.h"

static void bench_growth(void)
{
	struct bench_growth growth = { .pages = bench_parameter("pages") };
	unsigned long stacks = bench_parameter("stacks");
	size_t stride = bench_stack_size(growth.pages);

	bench_grow_region(bench_region(stacks * stride, PROT_READ | PROT_WRITE), stride, stacks,
			  &growth);
}

static const struct bench_work works[] = {
	{ "growth", bench_growth },
	{ 0 }
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
