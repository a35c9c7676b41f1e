// SPDX-License-Identifier: GPL-2.0
/*
 * How fibers are left behind, and how not: leaks PATTERN, leaks --mended PATTERN.
 *
 * Runs a pattern, then says which fibers are left. Exit status: 0 none, 1 some, 2 usage.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "patterns.h"

static const struct {
	const char *name;
	void (*leak)(void);
	void (*mended)(void);
} patterns[] = {
	{ "early-return", early_return, early_return_mended },
	{ "timeout", timeout, timeout_mended },
	{ "first-of-many", first_of_many, first_of_many_mended },
	{ "double-send", double_send, double_send_mended },
	{ "never-closed", never_closed, never_closed_mended },
};

#define NR_PATTERNS (sizeof(patterns) / sizeof(patterns[0]))

static int run_pattern(void *pattern)
{
	int left;

	((void (*)(void))pattern)();
	left = kf_leaks_check(STDOUT_FILENO, NULL);
	/* kf_run() would wait for those that are left. */
	exit(left ? 1 : 0);
}

static int usage(void)
{
	size_t i;

	fprintf(stderr, "usage: leaks [--mended] PATTERN, one of:");
	for (i = 0; i < NR_PATTERNS; i++)
		fprintf(stderr, " %s", patterns[i].name);
	fprintf(stderr, "\n");
	return 2;
}

int main(int argc, char **argv)
{
	bool mended = argc > 1 && !strcmp(argv[1], "--mended");
	size_t i;
	int err;

	if (argc != 2 + mended)
		return usage();
	for (i = 0; i < NR_PATTERNS; i++)
		if (!strcmp(argv[1 + mended], patterns[i].name))
			break;
	if (i == NR_PATTERNS)
		return usage();
	err = kf_run(NULL, run_pattern, mended ? patterns[i].mended : patterns[i].leak);
	fprintf(stderr, "leaks: kf_run: %s\n", strerror(-err));
	return 2;
}
