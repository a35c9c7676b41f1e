/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long somebody has run while others wait, as a tick sees it: decisions
 * without a lock. preempt.c says what is made of them.
 */
#ifndef KF_SLICE_H
#define KF_SLICE_H

#include <linux/kfiber.h>
#include <linux/math64.h>
#include <linux/types.h>

/* Looks to a slice: how much longer than a slice it may be before it is seen. */
#define KF_LOOKS_PER_SLICE	8u

/*
 * Dispatches from one look to the next that mean "fibers come and go", even if
 * none waits in the moment of the look.
 */
#define KF_DISPATCHES_BUSY	16u

/**
 * struct kf_slice - what the tick remembers of a processor
 * @holder: who had it; an identity, never followed
 * @dispatches: how many it had counted
 * @since: when that began
 */
struct kf_slice {
	const void *holder;
	u64 dispatches;
	u64 since;
};

/**
 * struct kf_queue_age - what the tick remembers of a queue
 * @taken: how often something had been taken from it
 * @since: when that began, or when it was seen empty; what does not count is left out
 * @looked: when it was looked at last
 */
struct kf_queue_age {
	u64 taken;
	u64 since;
	u64 looked;
};

enum kf_look {
	KF_LOOK_QUIET,	/* nobody waits */
	KF_LOOK_BUSY,	/* somebody may be waiting: look again */
	KF_LOOK_OVER,	/* what runs has had its slice */
};

static inline bool kf_slice_valid(u64 ns)
{
	return !ns || ns >= KFIBER_SLICE_MIN;
}

/* @ns: as user space says it. Return: 0 for no preemption. */
static inline u64 kf_slice_ns(u64 ns)
{
	if (ns == KFIBER_SLICE_NEVER)
		return 0;
	return ns ?: KFIBER_SLICE_DEFAULT;
}

static inline u64 kf_look_ns(u64 slice)
{
	return div_u64(slice, KF_LOOKS_PER_SLICE);
}

/*
 * A look at a processor that @holder has, with @dispatches counted. @waits:
 * somebody wants it. While nobody does, whoever runs goes on, and that counts.
 */
static inline enum kf_look kf_slice_look(struct kf_slice *s, const void *holder, u64 dispatches,
					 bool waits, u64 now, u64 slice)
{
	u64 dispatched = dispatches - s->dispatches;

	if (holder != s->holder || dispatched) {
		s->holder = holder;
		s->dispatches = dispatches;
		s->since = now;
		return waits || dispatched >= KF_DISPATCHES_BUSY ? KF_LOOK_BUSY : KF_LOOK_QUIET;
	}
	if (!waits)
		return KF_LOOK_QUIET;
	if (now - s->since < slice)
		return KF_LOOK_BUSY;
	/* It may be in a critical section and not hear of it. */
	s->since = now;
	return KF_LOOK_OVER;
}

/*
 * Has what is first in a queue waited for longer than a slice while others went on, that is,
 * were @dispatched or let in? Then that begins anew. Behind one that computes it waits for
 * the end of that one's slice, which is another matter: that time is not counted.
 */
static inline bool kf_queue_waits_long(struct kf_queue_age *q, bool empty, u64 taken,
				       bool dispatched, u64 now, u64 slice)
{
	bool over;

	if (empty || taken != q->taken) {
		q->taken = taken;
		q->since = now;
	} else if (!dispatched) {
		q->since += now - q->looked;
	}
	q->looked = now;
	over = now - q->since >= slice;
	if (over)
		q->since = now;
	return over;
}

#endif /* KF_SLICE_H */
