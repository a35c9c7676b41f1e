/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each switch and each wake-up does to a processor's queues. queue.c says how they
 * work and has what is rare.
 */
#ifndef KF_QUEUE_H
#define KF_QUEUE_H

#include "internal.h"

/* queue.c */
void kf_overflow_critical(struct kf_worker *w, struct kfiber_processor_block *p, kf_fiber_t name);
void kf_kick_critical(struct kf_worker *w, struct kfiber_processor_block *p);
void kf_push_apart_critical(struct kf_worker *w, struct kfiber_fiber_block *f);

/* Return: false if the ring is empty, or somebody else took the first just now. */
static __always_inline bool kf_ring_try_pop(__u32 *head_field, __u32 *tail_field,
					    __u64 *slots, uint32_t mask, kf_fiber_t *name)
{
	_Atomic uint32_t *head = kf_atomic32(head_field);
	uint32_t h = atomic_load_explicit(head, memory_order_acquire);
	uint32_t t = atomic_load_explicit(kf_atomic32(tail_field), memory_order_acquire);

	if (h == t)
		return false;
	*name = atomic_load_explicit(kf_atomic64(&slots[h & mask]), memory_order_relaxed);
	kf_delay(KF_DELAY_POP);
	return atomic_compare_exchange_strong_explicit(head, &h, h + 1, memory_order_acq_rel,
						       memory_order_relaxed);
}

static __always_inline bool kf_try_pop_local(struct kfiber_processor_block *p, kf_fiber_t *name)
{
	return kf_ring_try_pop(&p->local_head, &p->local_tail, p->local, KFIBER_LOCAL_SLOTS - 1,
			       name);
}

static inline kf_fiber_t kf_pop_next(struct kfiber_processor_block *p)
{
	_Atomic uint64_t *next = kf_atomic64(&p->next);

	if (!atomic_load_explicit(next, memory_order_relaxed))
		return 0;
	kf_delay(KF_DELAY_POP_NEXT);
	return atomic_exchange_explicit(next, 0, memory_order_acquire);
}

/* Of the count's low half: then no 64-bit constants are needed. */
static inline bool kf_is_fair_turn(uint64_t ticks)
{
	return (uint32_t)ticks % KF_FAIR_TICKS == 0;
}

/* Is the n-th of its kind to be stamped? Likewise. See latency.c. */
static inline bool kf_is_sampled(uint64_t n)
{
	return (uint32_t)n % KF_SAMPLE_TICKS == 0;
}

/* Who is to run now? Return: false: nothing has happened, kf_pick_critical() knows. */
static __always_inline bool kf_pick_usual_critical(struct kfiber_processor_block *p,
						   kf_fiber_t *name)
{
	if (kf_unlikely(kf_read64(&p->offer) ||
			kf_is_fair_turn(p->ticks + 1)))
		return false;
	*name = kf_pop_next(p);
	if (!*name && kf_unlikely(!kf_try_pop_local(p, name)))
		return false;
	kf_count(&p->ticks);
	return true;
}

static __always_inline bool kf_push_local(struct kfiber_processor_block *p, kf_fiber_t name)
{
	uint32_t h = atomic_load_explicit(kf_atomic32(&p->local_head), memory_order_acquire);
	uint32_t t = kf_read32(&p->local_tail);

	if (kf_unlikely(t - h >= KFIBER_LOCAL_SLOTS))
		return false;
	atomic_store_explicit(kf_atomic64(&p->local[t & (KFIBER_LOCAL_SLOTS - 1)]), name,
			      memory_order_relaxed);
	kf_delay(KF_DELAY_PUSH);
	atomic_store_explicit(kf_atomic32(&p->local_tail), t + 1, memory_order_release);
	return true;
}

/* Is a processor idle, a worker asleep, and nobody looking for work already? */
static inline bool kf_should_kick(struct kfiber_domain_block *b)
{
	return kf_read32(&b->idle) && !kf_read32(&b->searching) && kf_read32(&b->spares);
}

/*
 * Something was queued: wakes somebody who could run it. The fence is [D] and
 * [E] of the module's sched.c. With one processor, which the caller holds, none
 * is idle; when there are more, the module looks again (processors.c). What is only
 * in "next" will be run here unless the caller computes for long, and then a watcher
 * takes it, if there is one. That somebody computes for long is seen by the module's
 * tick, which takes no fence (preempt.c).
 */
static __always_inline void kf_tell_critical(struct kf_worker *w,
					     struct kfiber_processor_block *p, bool only_next)
{
	struct kfiber_domain_block *b = w->header;
	bool kick = !kf_read32(&b->ticking);

	kf_delay(KF_DELAY_QUEUED);
	if (kf_read32(&b->used) > 1) {
		atomic_thread_fence(memory_order_seq_cst);
		kick |= kf_should_kick(b) && !(only_next && kf_read32(&b->watching));
	}
	if (kf_unlikely(kick))
		kf_kick_critical(w, p);
}

/* Queues a fiber behind all others of the processor. */
static __always_inline void kf_push_last_critical(struct kf_worker *w, kf_fiber_t name)
{
	struct kfiber_processor_block *p = kf_processor_block(w);

	if (kf_unlikely(!kf_push_local(p, name)))
		kf_overflow_critical(w, p, name);
	kf_tell_critical(w, p, false);
}

/*
 * Queues a fiber before all others: it was made runnable by the one that runs,
 * and finds what that one wrote in the cache. Whoever was there goes behind.
 */
static __always_inline void kf_push_next_critical(struct kf_worker *w,
						  struct kfiber_processor_block *p,
						  kf_fiber_t name)
{
	kf_fiber_t other = atomic_exchange_explicit(kf_atomic64(&p->next), name,
						    memory_order_acq_rel);

	if (other && kf_unlikely(!kf_push_local(p, other)))
		kf_overflow_critical(w, p, other);
	kf_tell_critical(w, p, !other);
}

#endif /* KF_QUEUE_H */
