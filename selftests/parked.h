/* SPDX-License-Identifier: GPL-2.0 */
/* Whether a fiber waits by now: to sleep for that instead is right on quick machines only. */
#ifndef KF_SELFTESTS_PARKED_H
#define KF_SELFTESTS_PARKED_H

#include <inttypes.h>
#include <kfiber/kfiber.h>
#include <linux/kfiber.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is @at of the device, found as a debugger finds it: by where that is mapped. */
static const void *shared_at(uint64_t at)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	uint64_t begin, end, offset;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "/dev/kfiber") ||
		    sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64, &begin, &end, &offset) != 3 ||
		    at < offset || at - offset >= end - begin)
			continue;
		fclose(maps);
		return (const void *)(uintptr_t)(begin + (at - offset));
	}
	fprintf(stderr, "%" PRIx64 " of the device is not mapped\n", at);
	abort();
}

/* The control block of @fiber. */
static inline const struct kfiber_fiber_block *block_of(kf_fiber_t fiber)
{
	return shared_at(KFIBER_MAP_FIBERS +
			 (fiber & KFIBER_INDEX_MASK) * sizeof(struct kfiber_fiber_block));
}

static inline void wait_until_state(kf_fiber_t fiber, uint64_t state)
{
	const struct kfiber_fiber_block *f = block_of(fiber);

	while ((__atomic_load_n(&f->word, __ATOMIC_ACQUIRE) & KFIBER_STATE_MASK) != state)
		kf_sleep(100000);
}

/* Returns when @fiber, which begins no wait before the one that is meant, is in it. */
static inline void wait_until_parked(kf_fiber_t fiber)
{
	wait_until_state(fiber, KFIBER_PARKED);
}

/* Returns when @fiber, which nobody has joined, has ended. */
static inline void wait_until_ended(kf_fiber_t fiber)
{
	wait_until_state(fiber, KFIBER_DEAD);
}

#endif /* KF_SELFTESTS_PARKED_H */
