// SPDX-License-Identifier: GPL-2.0
#include "works.h"

static const struct bench_work works[] = {
	{ "growth", bench_growth },
	{ "deep", bench_deep },
	{ "parked", bench_parked },
	{ "blocking", bench_blocking },
	{ "sleeps", bench_sleeps },
	{ "reads-blocking", bench_reads_blocking },
	{ "reads", bench_reads },
	{ "handover", bench_handover },
	{ "sleeping", bench_sleeping },
	{ "paths", bench_paths },
	{ "yield", bench_yield },
	{ "unpark", bench_unpark },
	{ "channel", bench_channel },
	{ "spawn", bench_spawn },
	{ "mutex", bench_mutex },
	{ "crowd", bench_crowd },
	{ "ring", bench_ring },
	{ "skynet", bench_skynet },
	{ "sieve", bench_sieve },
	{ "producers", bench_producers },
	{ 0 }
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
