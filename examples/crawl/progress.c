// SPDX-License-Identifier: GPL-2.0
/* How far it is: a line on stderr that is written anew ten times a second. */
#include <kfiber/kfiber.h>
#include <stdio.h>
#include <string.h>

#include "../common/program.h"
#include "crawl.h"

#define PERIOD_NS	(NSEC_PER_SEC / 10)
#define BAR_SIZE	30

struct counters counters;

static kf_fiber_t painter;

/* Until all directories have been read it may go back. */
static void paint(uint64_t start)
{
	unsigned long long found = atomic_load(&counters.found);
	unsigned long long done = atomic_load(&counters.done);
	unsigned long long bytes = atomic_load(&counters.bytes);
	double seconds = (double)(kf_now() - start) / NSEC_PER_SEC;
	int filled = found ? (int)(done * BAR_SIZE / found) : 0;
	char bar[BAR_SIZE + 1];

	if (filled > BAR_SIZE)
		filled = BAR_SIZE;
	memset(bar, '.', BAR_SIZE);
	memset(bar, '#', filled);
	bar[BAR_SIZE] = '\0';
	fprintf(stderr, "\r[%s] %llu of %llu files, %.1f MB, %.1f MB/s\33[K", bar, done, found,
		bytes / 1e6, seconds > 0 ? bytes / 1e6 / seconds : 0);
}

static void *paint_on(void *arg)
{
	kf_ticker_t ticker = { 0 };
	uint64_t start = kf_now();

	(void)arg;
	if (!kf_ticker_start(&ticker, PERIOD_NS))
		while (kf_ticker_wait(&ticker) >= 0)
			paint(start);
	kf_ticker_stop(&ticker);
	paint(start);
	fputc('\n', stderr);
	return NULL;
}

/* Return: 0, a negative errno. */
int progress_start(void)
{
	const struct kf_attr attr = { .size = sizeof(attr), .name = "progress" };

	return options.progress ? kf_spawn(&painter, &attr, paint_on, NULL) : 0;
}

void progress_stop(void)
{
	if (!options.progress)
		return;
	kf_cancel(painter);
	kf_join(painter, NULL);
}
