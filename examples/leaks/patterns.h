/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Five patterns by which tasks are left behind at a channel, as Saioc, Shirchenko and Chabbi
 * found them most often in a large body of Go ("Unveiling and Vanquishing Goroutine Leaks in
 * Enterprise Microservices", CGO 2024; there "premature function return", "timeout", "NCast",
 * "double send" and "unclosed range"), and what they are like in C. Each is a file, with its mend.
 */
#ifndef LEAKS_PATTERNS_H
#define LEAKS_PATTERNS_H

#include <kfiber/kfiber.h>
#include <stdio.h>
#include <stdlib.h>

#define MS 1000000ull

void early_return(void);
void early_return_mended(void);
void timeout(void);
void timeout_mended(void);
void first_of_many(void);
void first_of_many_mended(void);
void double_send(void);
void double_send_mended(void);
void never_closed(void);
void never_closed_mended(void);

/* A fiber that nobody joins. */
static inline void spawn(void *(*fn)(void *), void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .flags = KF_DETACHED };

	if (kf_spawn(NULL, &attr, fn, arg)) {
		perror("kf_spawn");
		exit(2);
	}
}

static inline kf_chan_t *channel(size_t elem, size_t capacity)
{
	kf_chan_t *c = kf_chan_create(elem, capacity);

	if (!c) {
		perror("kf_chan_create");
		exit(2);
	}
	return c;
}

#endif /* LEAKS_PATTERNS_H */
