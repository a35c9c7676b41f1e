// SPDX-License-Identifier: GPL-2.0
/* What every program does at its start and its end. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "program.h"

unsigned int parse_number(struct argp_state *state, const char *text, unsigned int min,
			  unsigned int max)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < min || value > max)
		argp_error(state, "'%s' is not a number from %u to %u", text, min, max);
	return value;
}

void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int fail(const char *what, int err)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(-err));
	return EXIT_FAILURE;
}

int fail_to_run(int err)
{
	return fail(err == -ENOENT ? "/dev/kfiber (is the module loaded?)" : "cannot run fibers",
		    err);
}
