/* SPDX-License-Identifier: GPL-2.0 */
/* Fibers that use much of their stacks. */
#ifndef KF_SELFTESTS_DEEP_H
#define KF_SELFTESTS_DEEP_H

#include <kfiber/kfiber.h>

/* Touches @bytes of its stack, from the top down, as calls do. */
static __attribute__((noinline, unused)) void go_deep(size_t bytes)
{
	volatile char *frame = __builtin_alloca(bytes);

	for (size_t i = bytes; i; i -= i < 512 ? i : 512)
		frame[i - 1] = 1;
}

/* A fiber: deep, back again, and then it waits. */
static inline void *deep_then_park(void *arg)
{
	go_deep((size_t)arg);
	kf_park(KF_FOREVER);
	return NULL;
}

#endif /* KF_SELFTESTS_DEEP_H */
