// SPDX-License-Identifier: GPL-2.0
/*
 * /burn?ms=N: an answer that takes N ms of a CPU, for who wants to see what becomes of
 * the others meanwhile.
 */
#include <kfiber/kfiber.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../common/program.h"
#include "httpd.h"

#define BURN_MAX_MS	10000u
/* Some 100 us between two looks at the clock. */
#define ROUNDS		100000u

bool burn_wanted(const struct request *req)
{
	return !strcmp(req->path, "burn");
}

/* Time that others take from this thread does not count. */
static uint64_t cpu_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec;
}

/* A fiber that makes no call of the library stays on its thread. */
static uint32_t compute(uint64_t ns)
{
	uint64_t end = cpu_time() + ns;
	uint32_t value = 1;
	unsigned int i;

	do {
		for (i = 0; i < ROUNDS; i++)
			value = value * 1664525u + 1013904223u;
	} while (cpu_time() < end && !kf_cancelled());
	return value;
}

/* Returns whether the query is "ms=N". */
static bool parse_query(struct slice query, unsigned int *ms)
{
	char text[16];
	int end = 0;

	if (!query.len || query.len >= sizeof(text))
		return false;
	memcpy(text, query.at, query.len);
	text[query.len] = '\0';
	return sscanf(text, "ms=%5u%n", ms, &end) == 1 && !text[end] && *ms <= BURN_MAX_MS;
}

void burn_serve(struct reply *reply)
{
	char text[64];
	unsigned int ms;
	int len;

	if (!parse_query(reply->req->query, &ms)) {
		reply_error(reply, 400, "");
		return;
	}
	len = snprintf(text, sizeof(text), "%u ms: %08x\n", ms, compute(ms * NSEC_PER_MSEC));
	reply_page(reply, text, len);
}
