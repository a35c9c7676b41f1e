/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Channels, as chan.c and select.c see them. */
#ifndef KF_CHAN_H
#define KF_CHAN_H

#include "wait.h"

/**
 * struct kf_chan - a channel
 * @receivers: who waits to receive; its latch guards all of the channel
 * @senders: who waits to send; its latch is not used
 * @elem: bytes of a value; immutable, as is @capacity
 * @capacity: values that there is room for
 * @count: values that are there
 * @head: where the first is
 * @closed: nothing is sent any more
 * @values: a ring of them
 *
 * At most one of these is so: receivers wait, and then there are no values; senders
 * wait, and then there is no room. When it is closed neither is.
 */
struct kf_chan {
	struct kf_wait_queue receivers;
	struct kf_wait_queue senders;
	size_t elem;
	size_t capacity;
	size_t count;
	size_t head;
	bool closed;
	char values[];
};

static inline struct kf_wait_queue *kf_chan_queue(kf_chan_t *c, enum kf_case_op op)
{
	return op == KF_CASE_SEND ? &c->senders : &c->receivers;
}

static inline struct kf_wait_queue *kf_chan_latch(kf_chan_t *c)
{
	return &c->receivers;
}

/* A value that is to be sent must be there. */
static inline bool kf_chan_is_valid(const kf_chan_t *c, enum kf_case_op op, const void *value)
{
	return value || op != KF_CASE_SEND || !c->elem;
}

int kf_chan_try_latched(kf_chan_t *c, enum kf_case_op op, void *value, struct kf_wakes *wakes);

#endif /* KF_CHAN_H */
