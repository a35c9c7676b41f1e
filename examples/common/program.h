/* SPDX-License-Identifier: GPL-2.0 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <kfiber/kfiber.h>
#include <stdint.h>

#define NSEC_PER_SEC	1000000000ull
#define NSEC_PER_MSEC	1000000ull

/* The most that kf_config.processors may ask for. */
#define MAX_PROCESSORS	4096
/* A day: longer than any time-out that means something. */
#define MAX_SECONDS	86400

struct argp_state;

/* Return: a deadline. */
static inline uint64_t seconds_from_now(unsigned int seconds)
{
	return kf_after(seconds * NSEC_PER_SEC);
}

/**
 * parse_number() - the value of an option
 * @state: of the parser; ends the program with a message if @text is no such number
 * @text: decimal
 * @min: least
 * @max: most
 */
unsigned int parse_number(struct argp_state *state, const char *text, unsigned int min,
			  unsigned int max);

/* As many descriptors as the process may have: the soft limit is often 1024. */
void raise_file_limit(void);

/* Says what has failed, and why: @err is a negative errno. Return: EXIT_FAILURE. */
int fail(const char *what, int err);

/* The same for kf_run(). */
int fail_to_run(int err);

#endif
