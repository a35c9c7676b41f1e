// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The lock for many readers or one writer. Its word is the number of readers, or
 * WRITER; with WAITERS beside it nobody comes in but from the queue, so neither kind
 * starves: whoever queues waits for those inside and those before it only.
 *
 *   comes                              goes
 *   word lets it in: takes it          without WAITERS: that is all
 *   else with the latch, + WAITERS,    with WAITERS, with the latch: takes itself
 *   queues itself, waits               from the word, then lets in those who are
 *                                      first: a writer, or all readers up to the
 *   at its deadline: takes itself      next writer
 *   out, and lets in who is first:
 *   it may have been in their way      nobody left: - WAITERS
 *
 * Who goes with WAITERS and finds nobody in the queue may be the last who knows the
 * memory. So it takes WAITERS away, releases the latch, and goes as without.
 */
#include <errno.h>

#include "wait.h"

#define KF_RWLOCK_WRITER 0x40000000u
#define KF_RWLOCK_WAITERS 0x80000000u
#define KF_RWLOCK_READERS (KF_RWLOCK_WRITER - 1)

enum kf_rwlock_kind {
	KF_RWLOCK_READS,
	KF_RWLOCK_WRITES,
};

static _Atomic uint32_t *kf_rwlock_word(kf_rwlock_t *l)
{
	return kf_atomic32(&l->word);
}

/* What the word becomes when one of that kind comes in; the same if it cannot. */
static uint32_t kf_rwlock_with(uint32_t word, unsigned int kind)
{
	if (kind == KF_RWLOCK_WRITES)
		return word & ~KF_RWLOCK_WAITERS ? word : word | KF_RWLOCK_WRITER;
	if (word & KF_RWLOCK_WRITER || (word & KF_RWLOCK_READERS) == KF_RWLOCK_READERS)
		return word;
	return word + 1;
}

static bool kf_rwlock_try(kf_rwlock_t *l, unsigned int kind)
{
	uint32_t old = atomic_load_explicit(kf_rwlock_word(l), memory_order_relaxed);

	while (!(old & KF_RWLOCK_WAITERS)) {
		uint32_t new = kf_rwlock_with(old, kind);

		if (new == old)
			return false;
		if (atomic_compare_exchange_weak_explicit(kf_rwlock_word(l), &old, new,
							  memory_order_acquire,
							  memory_order_relaxed))
			return true;
	}
	return false;
}

/*
 * Lets in those at the head of the queue, as far as the word allows. There is
 * WAITERS, so others change the word only by going, and a reader goes with the
 * latch then: what was read stays.
 */
static void kf_rwlock_admit_latched(kf_rwlock_t *l, struct kf_wakes *wakes)
{
	uint32_t word = atomic_load_explicit(kf_rwlock_word(l), memory_order_relaxed);
	struct kf_place *p;

	while ((p = kf_queue_first_latched(&l->queue))) {
		uint32_t new = kf_rwlock_with(word, p->kind);

		if (new == word)
			break;
		if (!kf_claim_latched(&l->queue, p))
			continue;
		word = new;
		kf_wakes_add(wakes, p->waiter);
	}
	if (!kf_queue_first_latched(&l->queue))
		word &= ~KF_RWLOCK_WAITERS;
	atomic_store_explicit(kf_rwlock_word(l), word, memory_order_release);
}

/* Return: false if it was let in. */
static bool kf_rwlock_expect_latched(kf_rwlock_t *l, unsigned int kind)
{
	uint32_t old = atomic_load_explicit(kf_rwlock_word(l), memory_order_relaxed);
	uint32_t new;

	do {
		new = old & KF_RWLOCK_WAITERS ? old : kf_rwlock_with(old, kind);
		if (new == old)
			new = old | KF_RWLOCK_WAITERS;
	} while (!atomic_compare_exchange_weak_explicit(kf_rwlock_word(l), &old, new,
							memory_order_acquire,
							memory_order_relaxed));
	return new & KF_RWLOCK_WAITERS;
}

static int kf_rwlock_lock_slowly(kf_rwlock_t *l, unsigned int kind, uint64_t deadline)
{
	struct kf_wait_queue *q = &l->queue;
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me, .kind = kind };
	struct kf_worker *w = kf_latch(q);
	struct kf_wakes wakes;
	int err;

	if (!kf_rwlock_expect_latched(l, kind)) {
		kf_unlatch(w, q);
		return 0;
	}
	kf_waiter_init(&me);
	kf_queue_last_latched(q, &place);
	kf_unlatch(w, q);
	err = kf_await(&me, kf_object(KF_OBJECT_RWLOCK, l), deadline);
	if (!err)
		return 0;
	kf_wakes_init(&wakes);
	w = kf_latch(q);
	kf_queue_leave_latched(q, &place);
	/* Without WAITERS somebody has taken care of it, and others come and go. */
	if (atomic_load_explicit(kf_rwlock_word(l), memory_order_relaxed) & KF_RWLOCK_WAITERS)
		kf_rwlock_admit_latched(l, &wakes);
	kf_unlatch_and_wake(w, q, &wakes);
	return err;
}

/* For TSan: a reader is behind the writers before it, and not behind other readers. */
static void kf_rwlock_entered(kf_rwlock_t *l, unsigned int kind)
{
	if (!kf_is_checked())
		return;
	kf_check_acquire(&l->word);
	if (kind == KF_RWLOCK_WRITES)
		kf_check_acquire(&l->queue);
}

static int kf_rwlock_lock(kf_rwlock_t *l, unsigned int kind, uint64_t deadline)
{
	int err = 0;

	if (!kf_rwlock_try(l, kind))
		err = kf_rwlock_lock_slowly(l, kind, deadline);
	if (!err)
		kf_rwlock_entered(l, kind);
	return err;
}

int kf_rwlock_rdlock_until(kf_rwlock_t *l, uint64_t deadline)
{
	return kf_rwlock_lock(l, KF_RWLOCK_READS, deadline);
}

int kf_rwlock_rdlock(kf_rwlock_t *l)
{
	return kf_rwlock_lock(l, KF_RWLOCK_READS, KF_FOREVER);
}

int kf_rwlock_wrlock_until(kf_rwlock_t *l, uint64_t deadline)
{
	return kf_rwlock_lock(l, KF_RWLOCK_WRITES, deadline);
}

int kf_rwlock_wrlock(kf_rwlock_t *l)
{
	return kf_rwlock_lock(l, KF_RWLOCK_WRITES, KF_FOREVER);
}

static int kf_rwlock_trylock(kf_rwlock_t *l, unsigned int kind)
{
	if (!kf_rwlock_try(l, kind))
		return -EBUSY;
	kf_rwlock_entered(l, kind);
	return 0;
}

int kf_rwlock_tryrdlock(kf_rwlock_t *l)
{
	return kf_rwlock_trylock(l, KF_RWLOCK_READS);
}

int kf_rwlock_trywrlock(kf_rwlock_t *l)
{
	return kf_rwlock_trylock(l, KF_RWLOCK_WRITES);
}

/* The word when one has gone. */
static uint32_t kf_rwlock_without(uint32_t word)
{
	return word & KF_RWLOCK_WRITER ? word & ~KF_RWLOCK_WRITER : word - 1;
}

/* Return: false if there was nobody to let in, and nothing is done yet. */
static bool kf_rwlock_go_latched(kf_rwlock_t *l, struct kf_wakes *wakes)
{
	_Atomic uint32_t *word = kf_rwlock_word(l);

	if (!kf_queue_first_latched(&l->queue)) {
		atomic_fetch_and_explicit(word, ~KF_RWLOCK_WAITERS, memory_order_relaxed);
		return false;
	}
	atomic_store_explicit(word, kf_rwlock_without(atomic_load(word)), memory_order_release);
	kf_rwlock_admit_latched(l, wakes);
	return true;
}

static bool kf_rwlock_go(kf_rwlock_t *l)
{
	struct kf_worker *w = kf_latch(&l->queue);
	struct kf_wakes wakes;
	bool gone;

	kf_wakes_init(&wakes);
	gone = kf_rwlock_go_latched(l, &wakes);
	kf_unlatch_and_wake(w, &l->queue, &wakes);
	return gone;
}

int kf_rwlock_unlock(kf_rwlock_t *l)
{
	_Atomic uint32_t *word = kf_rwlock_word(l);
	uint32_t old = atomic_load_explicit(word, memory_order_relaxed);

	if (kf_is_checked())
		kf_check_release(old & KF_RWLOCK_WRITER ? (void *)&l->word : &l->queue);
	do {
		while (old & KF_RWLOCK_WAITERS) {
			if (kf_rwlock_go(l))
				return 0;
			old = atomic_load_explicit(word, memory_order_relaxed);
		}
		if (!old)
			return -EPERM;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, kf_rwlock_without(old),
							memory_order_release,
							memory_order_relaxed));
	return 0;
}
