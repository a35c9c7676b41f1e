/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fibers that go before others, or after them: decisions. Where they are
 * queued, who takes them and what bounds a wait is in Documentation/priorities.rst.
 */
#ifndef KF_PRIORITY_H
#define KF_PRIORITY_H

#include <linux/kfiber.h>
#include <linux/types.h>

#include "chunk.h"
#include "internal.h"
#include "word.h"

/*
 * How many interactive ones go in a row while others wait. So these get a sixteenth of the
 * dispatches at least, even if whoever declares fibers interactive declares too many.
 */
#define KF_FRONT_RUN 15u

/*
 * For how many slices the first one in the background waits while others run. Each of them
 * then has its turn after the one before: a thousand that wait do not become a thousand
 * that are as good as all others, but share a small part of the time.
 */
#define KF_BACK_SLICES 10u

/* INTERACTIVE, BACKGROUND or 0. With both, which the library never writes, it goes before. */
static inline u64 kf_word_priority(u64 word)
{
	if (word & KFIBER_INTERACTIVE)
		return KFIBER_INTERACTIVE;
	return word & KFIBER_BACKGROUND;
}

/* Is it the turn of who goes before? @run: how often in a row it was, counted here. */
static inline bool kf_front_goes(u32 *run, bool front, bool others)
{
	if (front && !(others && *run >= KF_FRONT_RUN)) {
		++*run;
		return true;
	}
	*run = 0;
	return false;
}

/* Does anybody wait for the others to be done? */
static inline bool kf_back_waits_locked(const struct kf_domain *d)
{
	return d->nr_back || d->nr_behind;
}

static inline bool kf_front_waits_locked(const struct kf_domain *d)
{
	return d->nr_front || !list_empty(&d->waiters_front);
}

/* Of the fiber that a worker runs, or is to run. */
static inline u64 kf_worker_priority(const struct kf_worker *w)
{
	u64 name = w->only ?: READ_ONCE(w->block->fiber);
	struct kf_fiber *f = name ? kf_fiber_find(w->domain, kf_name_index(name)) : NULL;

	return f ? kf_word_priority(READ_ONCE(kf_fiber_block(f)->word)) : 0;
}

/*
 * How long a worker keeps a processor that others wait for. 0: until the tick has seen it
 * twice.
 */
static inline u64 kf_allowed_ns(u64 priority, bool front, u64 slice)
{
	if (priority & KFIBER_BACKGROUND || (front && !priority))
		return 0;
	return slice;
}

#endif /* KF_PRIORITY_H */
