/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Delay points: places at which a test build of the library can be held up, or
 * its process killed, so that races are lost often. The module has its own,
 * kmod/delay.h; selftests/race.c uses both. In any other build they are
 * nothing: tools/check-delay compares the object code.
 */
#ifndef KF_DELAY_H
#define KF_DELAY_H

#include <stdatomic.h>
#include <stdint.h>

enum kf_delay_point {
#define KF_DELAY_POINT(name) KF_DELAY_##name,
#include "delay_points.h"
#undef KF_DELAY_POINT
	KF_DELAY_NR
};

enum kf_delay_kind {
	KF_DELAY_BY_SPIN	= 1,
	KF_DELAY_BY_YIELD	= 2,
	KF_DELAY_BY_SLEEP	= 4,
	KF_DELAY_BY_KILL	= 8,	/* SIGKILL for the process */
};

#ifdef KFIBER_DELAY_POINTS

/**
 * struct kf_delay_state - what is done at the points; atomics, relaxed
 * @seed: with the point and the count of arrivals since @start, decides
 * @period: one arrival in so many is held up; 0: none
 * @points: a mask; the others are only counted
 * @kinds: a mask of enum kf_delay_kind
 * @spin_ns: the longest spin
 * @sleep_ns: the longest sleep
 * @hits: arrivals at each point
 * @start: what @hits were when the seed was set
 */
struct kf_delay_state {
	atomic_uint seed;
	atomic_uint period;
	atomic_ulong points;
	atomic_uint kinds;
	atomic_uint spin_ns;
	atomic_uint sleep_ns;
	atomic_ulong hits[KF_DELAY_NR];
	atomic_ulong start[KF_DELAY_NR];
};

/* Set by the test before any fiber runs; NULL: the points do nothing. */
extern struct kf_delay_state *kf_delay_state;

/* Context: any, signal handlers included. */
void kf_delay(enum kf_delay_point point);

#else

/*
 * A macro: with an empty inline function in its place gcc 12 exchanges the
 * operands of a comparison in park.c.
 */
#define kf_delay(point) ((void)(point))

#endif /* KFIBER_DELAY_POINTS */
#endif /* KF_DELAY_H */
