/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a timer makes of the deadline that it finds when it looks (timer.c): pure
 * arithmetic.
 *
 * The deadline is anybody's to write: one that always lies a little ahead would
 * keep the timer firing. Each time in a row that it has to set itself again it
 * doubles the least distance, up to KF_REARM_NS << KF_REARM_DOUBLINGS.
 */
#ifndef KF_DEADLINE_H
#define KF_DEADLINE_H

#include <linux/kfiber.h>
#include <linux/ktime.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include "word.h"

#define KF_REARM_NS		20000ull
#define KF_REARM_DOUBLINGS	10

/* Beyond this hrtimers cannot count; 292 years. */
#define KF_TIME_MAX		((u64)KTIME_MAX)

enum kf_due {
	KF_DUE_NEVER,	/* nobody waits for it */
	KF_DUE_NOW,
	KF_DUE_LATER,	/* look again then */
};

/* @word: the fiber's; who is FREE waits for nothing, whatever the deadline says */
static inline enum kf_due kf_deadline_due(u64 deadline, u64 now, u64 word)
{
	if (deadline >= KF_TIME_MAX)
		return KF_DUE_NEVER;
	if (deadline <= now)
		return KF_DUE_NOW;
	return kf_word_state(word) == KFIBER_FREE ? KF_DUE_NEVER : KF_DUE_LATER;
}

/**
 * kf_deadline_look_again() - when to look at a deadline that was later
 * @deadline: what it was
 * @now: the time
 * @rearms: in, out: how often this came out in a row
 */
static inline u64 kf_deadline_look_again(u64 deadline, u64 now, u8 *rearms)
{
	u64 when = max(deadline, now + (KF_REARM_NS << *rearms));

	if (*rearms < KF_REARM_DOUBLINGS)
		++*rearms;
	return when;
}

/* Would a timer look too late? @set: for @when */
static inline bool kf_deadline_needs_set(u64 deadline, bool set, u64 when)
{
	return !set || deadline < when;
}

#endif /* KF_DEADLINE_H */
