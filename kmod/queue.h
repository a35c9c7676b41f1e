/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What there is to run, and in which order it is taken. No locks here; those of
 * the global queue's caller are in its functions' names.
 *
 * A worker in NEXT looks (kf_sched_find) in
 *
 *	the front		interactive fibers; but not always, see priority.h
 *	its inbox		timers and late wake-ups, so that they are not
 *				behind fibers that queue each other
 *	the global queue	which belongs to nobody who would look there
 *	its "next", its ring	left over, or put there while it looked
 *	others' rings, inboxes	but not their "next", see sched.c
 *	the back		fibers in the background
 */
#ifndef KF_QUEUE_H
#define KF_QUEUE_H

#include <linux/atomic.h>
#include <linux/kfiber.h>
#include <linux/minmax.h>
#include <linux/types.h>

#include "delay.h"
#include "internal.h"
#include "ring.h"

static inline bool kf_queue_has_queued(struct kfiber_processor_block *b)
{
	struct kf_ring local = kf_ring_local(b);
	struct kf_ring inbox = kf_ring_inbox(b);

	return !kf_ring_empty(&local) || !kf_ring_empty(&inbox);
}

static inline bool kf_queue_has_work(struct kfiber_processor_block *b)
{
	return READ_ONCE(b->next) || kf_queue_has_queued(b);
}

/*
 * The next dispatch is to look further. To look at all is more than that, and stays. Who
 * takes an offer does so by exchange, at any time: it finds this one, the one before, or all.
 */
static inline void kf_queue_offer(struct kfiber_processor_block *b, u64 offer)
{
	if (xchg(&b->offer, offer) == KFIBER_OFFER_ALL)
		WRITE_ONCE(b->offer, KFIBER_OFFER_ALL);
}

static inline u64 kf_queue_pop_inbox(struct kfiber_processor_block *b)
{
	struct kf_ring inbox = kf_ring_inbox(b);

	return kf_ring_pop(&inbox);
}

/* What the holder has put there itself. */
static inline u64 kf_queue_pop_own(struct kfiber_processor_block *b)
{
	struct kf_ring local = kf_ring_local(b);
	u64 name = 0;

	if (READ_ONCE(b->next)) {
		kf_delay(KF_DELAY_FIND_NEXT);
		name = xchg(&b->next, 0);
	}
	return name ?: kf_ring_pop(&local);
}

/* Context: the holder of @to. Return: a fiber's name, or 0. */
static inline u64 kf_queue_steal(struct kfiber_processor_block *victim,
				 struct kfiber_processor_block *to, u32 *stolen)
{
	struct kf_ring local = kf_ring_local(to);
	struct kf_ring from = kf_ring_local(victim);
	u64 name = kf_ring_steal(&from, &local, stolen);

	if (name)
		return name;
	from = kf_ring_inbox(victim);
	return kf_ring_steal(&from, &local, stolen);
}

/* The one of @n that is looked at after @i - 1 others, from @p on; itself comes last. */
static inline struct kf_processor *kf_queue_victim(struct kf_domain *d, struct kf_processor *p,
						   u32 i, u32 n)
{
	return &d->processors[(p->index + i) % n];
}

/* The fiber in the "next" that is watched, if its processor has dispatched nothing. */
static inline u64 kf_watch_take(const struct kf_watch *watch)
{
	struct kfiber_processor_block *b = watch->processor->block;
	u64 next = READ_ONCE(b->next);

	if (!next || READ_ONCE(b->ticks) != watch->ticks)
		return 0;
	kf_delay_sleep(KF_DELAY_STEAL_NEXT);
	return cmpxchg(&b->next, next, 0) == next ? next : 0;
}

/*
 * Remembers the first processor with something in "next" that comes after the one
 * remembered: one that dispatches all the time hides no other. @p: the caller's
 */
static inline void kf_watch_move_on(struct kf_domain *d, struct kf_processor *p,
				    struct kf_watch *watch)
{
	struct kf_processor *from = watch->processor ?: p;
	u32 i, n = READ_ONCE(d->nr_looked);

	watch->processor = NULL;
	for (i = 1; i <= n; i++) {
		struct kf_processor *victim = kf_queue_victim(d, from, i, n);

		if (victim == p || !READ_ONCE(victim->block->next))
			continue;
		watch->processor = victim;
		watch->ticks = READ_ONCE(victim->block->ticks);
		return;
	}
}

/* Return: false if it is in one of the domain's queues already: it stays there. */
static inline bool kf_fifo_push_locked(struct kf_fifo *q, struct kf_fiber *f, u64 name)
{
	if (f->queue_name)
		return false;
	f->queue_name = name;
	f->queue_next = NULL;
	if (q->head)
		q->tail->queue_next = f;
	else
		q->head = f;
	q->tail = f;
	return true;
}

/* Return: a fiber's name, or 0. */
static inline u64 kf_fifo_pop_locked(struct kf_fifo *q)
{
	struct kf_fiber *f = q->head;
	u64 name;

	if (!f)
		return 0;
	q->head = f->queue_next;
	name = f->queue_name;
	f->queue_name = 0;
	return name;
}

static inline void kf_global_push_locked(struct kf_domain *d, struct kf_fiber *f, u64 name)
{
	d->nr_global += kf_fifo_push_locked(&d->global, f, name);
}

static inline u64 kf_global_pop_locked(struct kf_domain *d)
{
	u64 name = kf_fifo_pop_locked(&d->global);

	if (name) {
		d->nr_global--;
		d->global_taken++;
	}
	return name;
}

/* The front and the back have no place in a ring: there they would be as all others. */
static inline void kf_apart_push_locked(struct kf_domain *d, struct kf_fiber *f, u64 name,
					u64 priority)
{
	if (priority & KFIBER_INTERACTIVE)
		d->nr_front += kf_fifo_push_locked(&d->front, f, name);
	else
		d->nr_back += kf_fifo_push_locked(&d->back, f, name);
}

static inline u64 kf_front_pop_locked(struct kf_domain *d)
{
	u64 name = kf_fifo_pop_locked(&d->front);

	d->nr_front -= !!name;
	return name;
}

static inline u64 kf_back_pop_locked(struct kf_domain *d)
{
	u64 name = kf_fifo_pop_locked(&d->back);

	if (name) {
		d->nr_back--;
		d->back_taken++;
	}
	return name;
}

/* One from the global queue, and a fair share of it into the ring of @p. */
static inline u64 kf_global_take_locked(struct kf_domain *d, struct kf_processor *p)
{
	struct kf_ring local = kf_ring_local(p->block);
	u64 name = kf_global_pop_locked(d);
	u32 n = min(d->nr_global / d->nr_used, KFIBER_LOCAL_SLOTS / 2);

	while (n-- && d->global.head) {
		if (!kf_ring_push(&local, d->global.head->queue_name))
			break;
		kf_global_pop_locked(d);
	}
	return name;
}

/*
 * Queues a fiber for a processor, or for all: with nobody to look into its
 * inbox, or no room there.
 */
static inline void kf_queue_ready_locked(struct kf_domain *d, struct kf_processor *p,
					 struct kf_fiber *f, u64 name)
{
	struct kf_ring inbox = kf_ring_inbox(p->block);

	if (!p->worker || !kf_ring_push(&inbox, name))
		kf_global_push_locked(d, f, name);
}

#endif /* KF_QUEUE_H */
