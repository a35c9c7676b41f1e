/* SPDX-License-Identifier: GPL-2.0 */
/* What trim.c and trim_pool.c tell each other. */
#ifndef KF_TRIM_H
#define KF_TRIM_H

#include "internal.h"

/**
 * struct kf_trim - a pass over the fibers of a domain
 * @d: the domain
 * @mm: its memory, alive
 * @why: KF_TRIM_AGE: only what the previous pass has seen the same way
 * @later: out: another pass may find more
 * @held: out: a parked fiber was held, so that it did not seem to be parked
 * @locked: it has fiber_mutex
 * @unmaps: since then, how often it has unmapped something
 * @most: the most of these
 * @fibers: out: how many were looked at
 * @pages: out: how many were freed
 * @hand: fibers that it has taken out of the module's pool
 */
struct kf_trim {
	struct kf_domain *d;
	struct mm_struct *mm;
	enum kf_trim_why why;
	bool later;
	bool held;
	bool locked;
	u32 unmaps;
	u32 most;
	u32 fibers;
	u64 pages;
	struct list_head hand;
};

/**
 * struct kf_trim_count - what is there in a slot
 * @end: where what is to be kept begins
 * @doomed: pages below @end
 * @kept: pages from there on
 * @pinned: somebody else has a reference to one below @end
 */
struct kf_trim_count {
	unsigned long end;
	u32 doomed;
	u32 kept;
	bool pinned;
};

/* trim.c */
bool kf_trim_begin(struct kf_trim *t, struct kf_domain *d, enum kf_trim_why why);
void kf_trim_finish(struct kf_trim *t);
void kf_trim_begin_locked(struct kf_trim *t);
void kf_trim_end_locked(struct kf_trim *t);
bool kf_trim_look(struct kf_trim *t, struct kf_fiber *f, u32 keep, struct kf_trim_count *count);
bool kf_trim_unmap(struct kf_trim *t, u64 offset, u64 bytes);
void kf_trim_done(struct kf_trim *t, struct kf_fiber *f, u32 keep,
		  const struct kf_trim_count *count);

/* trim_pool.c */
void kf_hand_take_locked(struct kf_trim *t, struct kf_fiber *f);
void kf_hand_trim(struct kf_trim *t);
void kf_hand_trim_locked(struct kf_trim *t);
void kf_trim_pool_init(struct kf_domain *d);

#endif /* KF_TRIM_H */
