/* SPDX-License-Identifier: GPL-2.0 */
/* Running programs, from the outside: children that must all come to an end. */
#ifndef FUZZ_RUN_H
#define FUZZ_RUN_H

#include <stdbool.h>

#include "program.h"

/*
 * How long a program may run without a call; for how long it is left alone, and how often
 * then those that sleep are sent a signal; and how long its processes may take to die.
 */
#define RUN_MS 2000
#define PROD_AFTER_MS 50
#define PROD_MS 10
#define DEATH_MS 30000

/* Return: whether programs can be run. */
bool run_init(void);

/**
 * run_program() - run a program, all of its processes included
 * @p: the program
 *
 * Return: whether all processes ended, if need be by being killed. If not, they
 * have been shown.
 */
bool run_program(const struct program *p);

/* Did the last program get to this call? */
bool run_was_made(unsigned int at);

/* What programs did so far: calls, faults survived, programs that were killed. */
struct run_counts {
	unsigned long calls;
	unsigned long faults;
	unsigned long killed;
};

extern struct run_counts run_counts;

#endif /* FUZZ_RUN_H */
