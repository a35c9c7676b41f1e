// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A processor's queues, from the side of its holder: "next", then the local
 * ring, then the inbox that the kernel fills. The module's ring.h has the other
 * side and says why the order of loads and stores is right.
 */
#include "queue.h"

/* Return: 0 if the ring is empty. */
static kf_fiber_t kf_ring_pop(__u32 *head, __u32 *tail, __u64 *slots, uint32_t mask)
{
	kf_fiber_t name;

	while (kf_read32(head) != kf_read32(tail))
		if (kf_ring_try_pop(head, tail, slots, mask, &name))
			return name;
	return 0;
}

static kf_fiber_t kf_pop_local(struct kfiber_processor_block *p)
{
	return kf_ring_pop(&p->local_head, &p->local_tail, p->local, KFIBER_LOCAL_SLOTS - 1);
}

static kf_fiber_t kf_pop_inbox(struct kfiber_processor_block *p)
{
	return kf_ring_pop(&p->inbox_head, &p->inbox_tail, p->inbox, KFIBER_INBOX_SLOTS - 1);
}

/* The ring is full: half of it, and @name, go to where all processors look. */
KF_RARELY void kf_overflow_critical(struct kf_worker *w, struct kfiber_processor_block *p,
				    kf_fiber_t name)
{
	kf_fiber_t names[KFIBER_LOCAL_SLOTS / 2 + 1];
	unsigned int n = 0;

	while (n < KFIBER_LOCAL_SLOTS / 2) {
		names[n] = kf_pop_local(p);
		if (!names[n])
			break;
		n++;
	}
	names[n++] = name;
	kf_delay(KF_DELAY_OVERFLOW);
	kf_count(&p->calls);
	kf_call_ready(w->domain, names, n);
}

KF_RARELY void kf_kick_critical(struct kf_worker *w, struct kfiber_processor_block *p)
{
	kf_delay(KF_DELAY_KICK);
	kf_count(&p->calls);
	kf_call_kick(w->domain, 0);
}

/* One that is queued nowhere here: its thread has it, or the module (priority.c). */
KF_RARELY void kf_push_apart_critical(struct kf_worker *w, struct kfiber_fiber_block *f)
{
	kf_fiber_t name = kf_name(w->domain, f);

	if (kf_read64(&f->word) & KFIBER_PINNED) {
		w->pinned_woken = true;
		return;
	}
	kf_count(&kf_processor_block(w)->calls);
	kf_call_ready(w->domain, &name, 1);
}

/*
 * Of those in "next" and in the ring, one by chance. With one processor nobody else
 * takes anything, so what is in the ring may change places.
 */
static KF_RARELY kf_fiber_t kf_pop_any(struct kf_clock *c, struct kfiber_processor_block *p)
{
	uint32_t h = kf_read32(&p->local_head), n = kf_read32(&p->local_tail) - h;
	bool next = kf_read64(&p->next);
	uint32_t i = n + next ? (uint32_t)(kf_mix(&c->random) % (n + next)) : 0;
	__u64 *first = &p->local[h & (KFIBER_LOCAL_SLOTS - 1)];
	__u64 *chosen = &p->local[(h + i) & (KFIBER_LOCAL_SLOTS - 1)];
	kf_fiber_t name;

	if (i == n)
		return kf_pop_next(p);
	name = kf_read64(chosen);
	atomic_store_explicit(kf_atomic64(chosen), kf_read64(first), memory_order_relaxed);
	atomic_store_explicit(kf_atomic64(first), name, memory_order_relaxed);
	return kf_pop_local(p);
}

/*
 * Every 61st time: those that the usual order could keep waiting for ever. What
 * only the module can get at, it is asked for.
 */
static KF_RARELY enum kf_pick kf_pick_fairly(struct kf_worker *w,
					     struct kfiber_processor_block *p,
					     uint64_t offer, kf_fiber_t *name)
{
	struct kfiber_domain_block *b = w->domain->block;

	/* There the CPUs are counted again. */
	if (kf_cpus_are_due(w->domain))
		return KF_PICK_ASK;
	if (offer == KFIBER_OFFER_ALL || kf_read32(&b->front) || kf_read32(&b->global) ||
	    kf_read32(&b->waiters)) {
		w->offer = true;
		return KF_PICK_ASK;
	}
	/* In turn: either could be filled as fast as it is emptied. */
	*name = p->ticks & 1 ? kf_pop_inbox(p) : kf_pop_local(p);
	if (!*name)
		*name = p->ticks & 1 ? kf_pop_local(p) : kf_pop_inbox(p);
	return *name ? KF_PICKED : KF_PICK_NONE;
}

/* Has the module seen somebody who has waited for long? */
static uint64_t kf_take_offer(struct kfiber_processor_block *p)
{
	_Atomic uint64_t *field = kf_atomic64(&p->offer);
	uint64_t offer = atomic_load_explicit(field, memory_order_relaxed);

	/* It may be another one by now. What it is about was published before. */
	return offer ? atomic_exchange_explicit(field, 0, memory_order_acquire) : 0;
}

/* Is there anybody who would run if the caller did not? */
bool kf_is_anything_queued_critical(struct kf_worker *w)
{
	struct kfiber_processor_block *p = kf_processor_block(w);
	struct kfiber_domain_block *b = w->domain->block;

	return atomic_load_explicit(kf_atomic64(&p->next), memory_order_relaxed) ||
	       kf_read32(&p->local_head) != kf_read32(&p->local_tail) ||
	       kf_read32(&p->inbox_head) != kf_read32(&p->inbox_tail) ||
	       kf_read32(&b->front) || kf_read32(&b->global) || kf_read32(&b->waiters) ||
	       kf_take_offer(p);
}

/* Takes the fiber that should run now. */
enum kf_pick kf_pick_critical(struct kf_worker *w, kf_fiber_t *name)
{
	struct kfiber_processor_block *p = kf_processor_block(w);
	uint64_t offer = kf_take_offer(p);
	enum kf_pick pick;

	kf_count(&p->ticks);
	if (kf_unlikely(offer || kf_is_fair_turn(p->ticks))) {
		pick = kf_pick_fairly(w, p, offer, name);
		if (pick != KF_PICK_NONE)
			return pick;
	}
	if (kf_unlikely(w->domain->clock.shuffles))
		*name = kf_pop_any(&w->domain->clock, p);
	else
		*name = kf_pop_next(p);
	if (!*name)
		*name = kf_pop_local(p);
	if (!*name)
		*name = kf_pop_inbox(p);
	return *name ? KF_PICKED : KF_PICK_NONE;
}
