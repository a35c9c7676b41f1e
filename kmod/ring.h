/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The queues of a processor: bounded rings in memory that user space shares.
 * Pure logic, no locks.
 *
 * One producer, any number of consumers, as Go's local run queue:
 *
 *   producer                            consumer
 *   h = load-acquire(head)        [A]   h = load-acquire(head)
 *   t = tail                            t = load-acquire(tail)       [B]
 *   full if t - h == slots              empty if t == h
 *   slot[t] = v                         v = slot[h]
 *   store-release(tail, t + 1)    [B]   cmpxchg(head, h, h + n)      [A]
 *
 * [B] the slot is written before it can be seen; [A] it is read before it can
 * be written again. A consumer that read a slot too late loses the exchange.
 *
 * Head and tail are anybody's to write, so a length beyond the ring's own
 * counts as empty, indexes are masked, and retries are bounded.
 */
#ifndef KF_RING_H
#define KF_RING_H

#include <linux/atomic.h>
#include <linux/kfiber.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include "delay.h"
#include "word.h"

/**
 * struct kf_ring - where a ring's parts are
 * @head: where consumers take
 * @tail: where the producer puts
 * @slot: the places
 * @slots: how many, a power of two
 */
struct kf_ring {
	u32 *head;
	u32 *tail;
	u64 *slot;
	u32 slots;
};

static inline struct kf_ring kf_ring_local(struct kfiber_processor_block *b)
{
	return (struct kf_ring){ &b->local_head, &b->local_tail, b->local, KFIBER_LOCAL_SLOTS };
}

static inline struct kf_ring kf_ring_inbox(struct kfiber_processor_block *b)
{
	return (struct kf_ring){ &b->inbox_head, &b->inbox_tail, b->inbox, KFIBER_INBOX_SLOTS };
}

static inline u32 kf_ring_length(u32 head, u32 tail, u32 slots)
{
	u32 length = tail - head;

	return length > slots ? 0 : length;
}

static inline bool kf_ring_empty(const struct kf_ring *r)
{
	return !kf_ring_length(READ_ONCE(*r->head), READ_ONCE(*r->tail), r->slots);
}

/* Return: the fiber taken, 0 if there is none. */
static inline u64 kf_ring_pop(const struct kf_ring *r)
{
	int tries;

	for (tries = 0; tries < KF_TRIES; tries++) {
		u32 head = smp_load_acquire(r->head);		/* [A] */
		u32 tail = smp_load_acquire(r->tail);		/* [B] */
		u64 fiber;

		if (!kf_ring_length(head, tail, r->slots))
			return 0;
		fiber = READ_ONCE(r->slot[head & (r->slots - 1)]);
		kf_delay(KF_DELAY_RING_POP);
		if (cmpxchg(r->head, head, head + 1) == head)	/* [A] */
			return fiber;
	}
	return 0;
}

/* Context: the only producer. Return: false when the ring is full. */
static inline bool kf_ring_push(const struct kf_ring *r, u64 fiber)
{
	u32 head = smp_load_acquire(r->head);			/* [A] */
	u32 tail = READ_ONCE(*r->tail);

	if (tail - head >= r->slots)
		return false;
	WRITE_ONCE(r->slot[tail & (r->slots - 1)], fiber);
	kf_delay(KF_DELAY_RING_PUSH);
	smp_store_release(r->tail, tail + 1);			/* [B] */
	return true;
}

/**
 * kf_ring_steal() - take half of a ring
 * @from: whose
 * @to: where all but one of them go; the caller is its only producer
 * @stolen: how many, for the counters
 *
 * Return: the one fiber that does not go to @to, 0 if nothing was taken.
 */
static inline u64 kf_ring_steal(const struct kf_ring *from, const struct kf_ring *to, u32 *stolen)
{
	int tries;

	*stolen = 0;
	for (tries = 0; tries < KF_TRIES; tries++) {
		u32 head = smp_load_acquire(from->head);	/* [A] */
		u32 tail = smp_load_acquire(from->tail);	/* [B] */
		u32 to_tail = READ_ONCE(*to->tail);
		u32 to_used = to_tail - smp_load_acquire(to->head);	/* [A] */
		u32 length = kf_ring_length(head, tail, from->slots);
		u32 room = to_used < to->slots ? to->slots - to_used : 0;
		u32 n = min(length - length / 2, room + 1);
		u64 fiber;
		u32 i;

		if (!n)
			return 0;
		fiber = READ_ONCE(from->slot[head & (from->slots - 1)]);
		for (i = 1; i < n; i++)
			WRITE_ONCE(to->slot[(to_tail + i - 1) & (to->slots - 1)],
				   READ_ONCE(from->slot[(head + i) & (from->slots - 1)]));
		kf_delay(KF_DELAY_RING_STEAL);
		if (cmpxchg(from->head, head, head + n) == head) {	/* [A] */
			kf_delay(KF_DELAY_RING_STOLEN);
			smp_store_release(to->tail, to_tail + n - 1);	/* [B] */
			*stolen = n;
			return fiber;
		}
	}
	return 0;
}

#endif /* KF_RING_H */
