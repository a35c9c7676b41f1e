/* SPDX-License-Identifier: GPL-2.0 */
/* Is the module in order for others, whatever a program did to itself? */
#ifndef FUZZ_HEALTH_H
#define FUZZ_HEALTH_H

/* Each returns NULL, or what is wrong. No program is running. */

/* The device can be opened, and answers. */
const char *health_open(void);

/* A process with one fiber gets it to run, and its stack. */
const char *health_run(void);

/*
 * Every domain is gone: nobody holds the module who did not at the start, when
 * health_init() was called.
 */
void health_init(void);
const char *health_idle(void);

#endif /* FUZZ_HEALTH_H */
