// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks that a handler of SIGSEGV makes grow by mprotect(), doubling, as
 * libsigsegv's users do it. Memory comes by a fault for each page nevertheless.
 */
#include <signal.h>
#include <stddef.h>

#include "../region.h"

static char *region;
static size_t stride;

static void grow(int sig, siginfo_t *info, void *context)
{
	size_t offset = (size_t)((char *)info->si_addr - region) & ~(BENCH_PAGE - 1);
	char *page = region + offset;
	size_t have = stride - offset % stride - BENCH_PAGE;
	size_t more = have ? have : BENCH_PAGE;

	if (more > offset % stride)
		more = offset % stride + BENCH_PAGE;
	if (mprotect(page + BENCH_PAGE - more, more, PROT_READ | PROT_WRITE))
		bench_die("mprotect");
}

static void bench_growth(void)
{
	struct sigaction action = { .sa_sigaction = grow, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct bench_growth growth = { .pages = bench_parameter("pages") };
	unsigned long stacks = bench_parameter("stacks");
	static char stack[65536];

	stride = bench_stack_size(growth.pages);
	region = bench_region(stacks * stride, PROT_NONE);
	if (sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL) ||
	    sigaction(SIGSEGV, &action, NULL))
		bench_die("sigaction");
	bench_grow_region(region, stride, stacks, &growth);
}

static const struct bench_work works[] = {
	{ "growth", bench_growth },
	{ 0 }
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
