/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fibers that are left: what stuck.c finds out and leaks.c prints. */
#ifndef KF_LEAKS_H
#define KF_LEAKS_H

#include "internal.h"

#define KF_ON_NOBODY UINT32_MAX

/* What a fiber is doing, as far as it matters to who waits for its end. */
enum kf_left {
	KF_LEFT_NOT,		/* there is none, or it is about to be joined */
	KF_LEFT_ENDLESS,	/* waits for what may never come */
	KF_LEFT_ENDED,		/* and nobody has joined it */
	KF_LEFT_RUNS,
	KF_LEFT_TIME,		/* waits for a deadline as well, or only for that */
	KF_LEFT_FILE,
	KF_NR_LEFT,
};

/* Why nothing will come. */
enum kf_stuck {
	KF_STUCK_NOT,		/* who knows? */
	KF_STUCK_ENDED,
	KF_STUCK_STACK,
	KF_STUCK_CIRCLE,
	KF_STUCK_BEHIND,
	KF_NR_STUCK,
};

/**
 * struct kf_left_fiber - what was seen of a fiber
 * @left: what it does
 * @why: of KF_LEFT_ENDLESS
 * @sends: to the channel that it waits for; or it receives
 * @on: the fiber that it waits for, by index; or KF_ON_NOBODY
 * @seen: not 0: it has been judged, or is about to be
 * @word: its state
 * @object: what it waits for
 * @since: since when
 */
struct kf_left_fiber {
	enum kf_left left;
	enum kf_stuck why;
	bool sends;
	uint32_t on;
	uint32_t seen;
	uint64_t word;
	uint64_t object;
	uint64_t since;
};

/* stuck.c */
struct kf_left_fiber *kf_left_find(struct kf_domain *d, uint32_t *n);
bool kf_left_hold(struct kfiber_fiber_block *f, const struct kf_left_fiber *l,
		  struct kf_worker **w);

#endif /* KF_LEAKS_H */
