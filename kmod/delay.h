/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Delay points: places at which a test build of the module can be held up, so
 * that the races drawn at the tops of the files are lost often instead of once
 * in a month. The kernel's rseq tests do the same in user space.
 *
 * `make module DELAY=1` builds with them, in a directory of its own. In any
 * other build they are nothing: tools/check-delay compares the object code.
 *
 * A point says by its call what it bears. kf_delay() only ever spins: it may
 * stand under a raw lock, below a run-queue lock, or with the task's state set.
 * kf_delay_sleep() also yields, sleeps, and kills the process.
 */
#ifndef KF_DELAY_H
#define KF_DELAY_H

#include <linux/kernel.h>
#include <linux/types.h>

enum kf_delay_point {
#define KF_DELAY_POINT(name) KF_DELAY_##name,
#include "delay_points.h"
#undef KF_DELAY_POINT
	KF_DELAY_NR
};

#ifdef KFIBER_DELAY_POINTS

void kf_delay_hit(enum kf_delay_point point, bool may_sleep);
void kf_delay_init(void);
void kf_delay_exit(void);

/* Context: any. */
static inline void kf_delay(enum kf_delay_point point)
{
	kf_delay_hit(point, false);
}

/* Context: may sleep. */
static inline void kf_delay_sleep(enum kf_delay_point point)
{
	might_sleep();
	kf_delay_hit(point, true);
}

#else

static inline void kf_delay(enum kf_delay_point point)
{
}

static inline void kf_delay_sleep(enum kf_delay_point point)
{
}

static inline void kf_delay_init(void)
{
}

static inline void kf_delay_exit(void)
{
}

#endif /* KFIBER_DELAY_POINTS */
#endif /* KF_DELAY_H */
