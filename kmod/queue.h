/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What there is to run, and in which order it is taken. No locks here; those of
 * the global queue's caller are in its functions' names.
 *
 * A worker in NEXT looks (kf_sched_find) in
 *
 *	its inbox		timers and late wake-ups, so that they are not
 *				behind fibers that queue each other
 *	the global queue	which belongs to nobody who would look there
 *	its "next", its ring	left over, or put there while it looked
 *	others' rings, inboxes	but not their "next", see sched.c
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
		kf_delay_sleep(KF_DELAY_FIND_NEXT);
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

static inline void kf_global_push_locked(struct kf_domain *d, struct kf_fiber *f, u64 name)
{
	if (f->queue_name)
		return;
	f->queue_name = name;
	f->queue_next = NULL;
	if (d->global_head)
		d->global_tail->queue_next = f;
	else
		d->global_head = f;
	d->global_tail = f;
	d->nr_global++;
}

static inline u64 kf_global_pop_locked(struct kf_domain *d)
{
	struct kf_fiber *f = d->global_head;
	u64 name;

	if (!f)
		return 0;
	d->global_head = f->queue_next;
	name = f->queue_name;
	f->queue_name = 0;
	d->nr_global--;
	d->global_taken++;
	return name;
}

/* One from the global queue, and a fair share of it into the ring of @p. */
static inline u64 kf_global_take_locked(struct kf_domain *d, struct kf_processor *p)
{
	struct kf_ring local = kf_ring_local(p->block);
	u64 name = kf_global_pop_locked(d);
	u32 n = min(d->nr_global / d->nr_used, KFIBER_LOCAL_SLOTS / 2);

	while (n-- && d->global_head) {
		if (!kf_ring_push(&local, d->global_head->queue_name))
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
