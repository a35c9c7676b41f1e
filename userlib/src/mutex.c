// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The mutex. Its word says whether it is locked, whether anybody is in its queue,
 * and whether somebody was woken to take it and has not been here yet.
 *
 *   lock                               unlock
 *   0 -> LOCKED, and that is all       LOCKED -> 0, and that is all
 *
 *   otherwise, with the latch:         with WAITERS, with the latch:
 *   not LOCKED: takes it               the first was woken in vain, and has waited for
 *   LOCKED -> + WAITERS, queues        1 ms: hands it over: it stays LOCKED
 *   itself, waits                      somebody is WOKEN: - LOCKED
 *   was handed it: done                else wakes the first: - LOCKED, + WOKEN
 *   was woken: - WOKEN with the same   nobody is there after all: - WAITERS,
 *   exchange that takes the lock or    releases the latch, starts again
 *   finds it LOCKED; then queues
 *   itself before all others
 *
 * No wake-up is lost: WOKEN is there only while somebody is on its way who will take
 * the lock if it is free, and if it is not takes WOKEN away before the unlock that
 * ends that.
 *
 * Nobody starves: who was woken and came too late is the first again, with the time
 * at which it began to wait. So 1 ms after that the next unlock is its own. Who was not woken
 * yet is handed nothing, however long that is (so it is in Go): with thousands in the queue all
 * have waited for long, and each unlock would be a switch while nobody has the lock for its own.
 *
 * Who unlocks last may find the mutex's memory gone. So LOCKED goes away when the
 * latch has been released; or, with the latch, when there is one WOKEN, who has to
 * take that latch before it can be done with the mutex, and nobody may free a mutex
 * that somebody still wants.
 */
#include <errno.h>

#include "wait.h"

#define KF_MUTEX_LOCKED 1u
#define KF_MUTEX_WAITERS 2u
#define KF_MUTEX_WOKEN 4u

/* kf_place.kind of who was woken and came too late. */
#define KF_MUTEX_TRIED 1u

/* kf_waiter.result of who was woken: the lock is its own, or it may try. */
enum {
	KF_MUTEX_HANDED,
	KF_MUTEX_TRY,
};

static _Atomic uint32_t *kf_mutex_word(kf_mutex_t *m)
{
	return kf_atomic32(&m->word);
}

static bool kf_mutex_try(kf_mutex_t *m)
{
	_Atomic uint32_t *word = kf_mutex_word(m);
	uint32_t old = atomic_load_explicit(word, memory_order_relaxed);

	while (!(old & KF_MUTEX_LOCKED))
		if (atomic_compare_exchange_weak_explicit(word, &old, old | KF_MUTEX_LOCKED,
							  memory_order_acquire,
							  memory_order_relaxed))
			return true;
	return false;
}

/* Takes the mutex, or sees to it that the next unlock looks into the queue. */
static bool kf_mutex_take_latched(kf_mutex_t *m, bool woken)
{
	_Atomic uint32_t *word = kf_mutex_word(m);
	uint32_t old = atomic_load_explicit(word, memory_order_relaxed);
	uint32_t new;

	do {
		new = old | (old & KF_MUTEX_LOCKED ? KF_MUTEX_WAITERS : KF_MUTEX_LOCKED);
		if (woken)
			new &= ~KF_MUTEX_WOKEN;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, new, memory_order_acquire,
							memory_order_relaxed));
	return !(old & KF_MUTEX_LOCKED);
}

/*
 * Since when somebody waits who begins now. By a test clock for ever: that one stands
 * still while others lock and unlock, so there the mutex is handed over at once.
 */
static uint64_t kf_mutex_since(void)
{
	struct kf_worker *w = kf_fiber_worker();

	return w && kf_has_test_clock(w->domain) ? 0 : kf_now();
}

/* Out of line, so that taking a free lock saves no registers. */
static __attribute__((noinline)) int kf_mutex_lock_slowly(kf_mutex_t *m, uint64_t deadline)
{
	struct kf_wait_queue *q = &m->queue;
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me, .since = kf_mutex_since() };
	bool woken = false;
	int err;

	for (;;) {
		struct kf_worker *w = kf_latch(q);

		if (kf_mutex_take_latched(m, woken)) {
			kf_unlatch(w, q);
			return 0;
		}
		kf_waiter_init(&me);
		if (woken) {
			place.kind = KF_MUTEX_TRIED;
			kf_queue_first_again_latched(q, &place);
		} else {
			kf_queue_last_latched(q, &place);
		}
		kf_unlatch(w, q);
		err = kf_await(&me, kf_object(KF_OBJECT_MUTEX, m), deadline);
		if (err) {
			w = kf_latch(q);
			kf_queue_leave_latched(q, &place);
			kf_queue_left_latched(q, &m->word, KF_MUTEX_WAITERS);
			kf_unlatch(w, q);
			return err;
		}
		if (me.result == KF_MUTEX_HANDED)
			return 0;
		woken = true;
	}
}

/*
 * For reports: who has it, as an index and some bits of the generation; 0: a thread, or who
 * has not said so yet. Written after the lock and taken away before the unlock, so it is
 * never that of who had it before.
 */
#define KF_HOLDER_IS_FIBER 0x80000000u
#define KF_HOLDER_GENERATION 0x7f000000u
#define KF_HOLDER_INDEX 0x00ffffffu

_Static_assert(KFIBER_FIBERS_MAX - 1 <= KF_HOLDER_INDEX, "an index has too many bits");

static uint32_t kf_holder_generation(uint64_t name)
{
	return (uint32_t)(name >> KFIBER_GENERATION_SHIFT << 24) & KF_HOLDER_GENERATION;
}

static void kf_mutex_set_holder(kf_mutex_t *m, uint32_t holder)
{
	atomic_store_explicit(kf_atomic32(&m->holder), holder, memory_order_relaxed);
}

static void kf_mutex_note_holder(kf_mutex_t *m)
{
	struct kf_worker *w = kf_fiber_worker();
	kf_fiber_t name = w ? w->block->fiber : 0;

	kf_mutex_set_holder(m, w ? KF_HOLDER_IS_FIBER | kf_holder_generation(name) |
			       (uint32_t)(name & KF_HOLDER_INDEX) : 0);
}

/**
 * kf_mutex_holder() - who has a mutex?
 * @d: the domain
 * @m: its memory is there, and may change
 * @holder: out: the fiber, with KF_HOLDER_FIBER
 *
 * One fiber in 128 that follows on the one that has ended is taken for it.
 */
enum kf_holder kf_mutex_holder(struct kf_domain *d, const kf_mutex_t *m,
			       struct kfiber_fiber_block **holder)
{
	uint32_t noted = kf_read32((__u32 *)&m->holder);
	uint64_t word;

	if (!(kf_read32((__u32 *)&m->word) & KF_MUTEX_LOCKED))
		return KF_HOLDER_NOBODY;
	*holder = noted ? kf_block(d, noted & KF_HOLDER_INDEX) : NULL;
	if (!*holder)
		return KF_HOLDER_THREAD;
	word = atomic_load_explicit(kf_atomic64(&(*holder)->word), memory_order_acquire);
	if (kf_holder_generation(word) != (noted & KF_HOLDER_GENERATION) ||
	    kf_state(word) == KFIBER_FREE || kf_state(word) == KFIBER_DEAD)
		return KF_HOLDER_ENDED;
	return KF_HOLDER_FIBER;
}

int kf_mutex_lock_until(kf_mutex_t *m, uint64_t deadline)
{
	int err = 0;

	if (!kf_mutex_try(m))
		err = kf_mutex_lock_slowly(m, deadline);
	if (!err)
		kf_mutex_note_holder(m);
	if (!err && kf_is_checked())
		kf_check_acquire(m);
	return err;
}

int kf_mutex_lock(kf_mutex_t *m)
{
	return kf_mutex_lock_until(m, KF_FOREVER);
}

/* For who must have it: nothing may end this wait. */
void kf_mutex_lock_again(kf_mutex_t *m)
{
	if (!kf_mutex_try(m)) {
		kf_cancel_disable();
		kf_mutex_lock_slowly(m, KF_FOREVER);
		kf_cancel_enable();
	}
	kf_mutex_note_holder(m);
	if (kf_is_checked())
		kf_check_acquire(m);
}

int kf_mutex_trylock(kf_mutex_t *m)
{
	if (!kf_mutex_try(m))
		return -EBUSY;
	kf_mutex_note_holder(m);
	if (kf_is_checked())
		kf_check_acquire(m);
	return 0;
}

/* Hands the mutex over, or wakes who may try. Return: false if nobody was there. */
static bool kf_mutex_pass_latched(kf_mutex_t *m, struct kf_wakes *wakes)
{
	_Atomic uint32_t *word = kf_mutex_word(m);
	struct kf_wait_queue *q = &m->queue;
	struct kf_place *p = kf_queue_first_latched(q);
	bool starves = p && p->kind == KF_MUTEX_TRIED && kf_now() - p->since >= KF_STARVING_NS;

	if (p && !starves && atomic_load_explicit(word, memory_order_relaxed) & KF_MUTEX_WOKEN) {
		atomic_fetch_and_explicit(word, ~KF_MUTEX_LOCKED, memory_order_release);
		return true;
	}
	p = kf_claim_first_latched(q);
	kf_queue_left_latched(q, &m->word, KF_MUTEX_WAITERS);
	if (!p)
		return false;
	p->waiter->result = starves ? KF_MUTEX_HANDED : KF_MUTEX_TRY;
	kf_wakes_add(wakes, p->waiter);
	/* Others only add and take WAITERS, with the latch: this takes one and adds the other. */
	if (!starves)
		atomic_fetch_add_explicit(word, KF_MUTEX_WOKEN - KF_MUTEX_LOCKED,
					  memory_order_release);
	return true;
}

/* @latched: the caller has another latch, and so stays in its critical section */
static bool kf_mutex_pass(kf_mutex_t *m, bool latched)
{
	struct kf_worker *w = kf_latch(&m->queue);
	struct kf_wakes wakes;
	bool passed;

	kf_wakes_init(&wakes);
	passed = kf_mutex_pass_latched(m, &wakes);
	kf_unlatch_only(w, &m->queue);
	kf_wakes_send(w, &wakes);
	if (w && !latched)
		kf_leave(w);
	return passed;
}

static __attribute__((noinline)) int kf_mutex_unlock_slowly(kf_mutex_t *m, bool latched)
{
	_Atomic uint32_t *word = kf_mutex_word(m);
	uint32_t old = atomic_load_explicit(word, memory_order_relaxed);

	do {
		while (old & KF_MUTEX_LOCKED && old & KF_MUTEX_WAITERS) {
			if (kf_mutex_pass(m, latched))
				return 0;
			old = atomic_load_explicit(word, memory_order_relaxed);
		}
		if (!(old & KF_MUTEX_LOCKED))
			return -EPERM;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, old & ~KF_MUTEX_LOCKED,
							memory_order_release,
							memory_order_relaxed));
	return 0;
}

static inline int kf_mutex_release(kf_mutex_t *m, bool latched)
{
	uint32_t locked = KF_MUTEX_LOCKED;

	if (kf_is_checked())
		kf_check_release(m);
	kf_mutex_set_holder(m, 0);
	if (atomic_compare_exchange_strong_explicit(kf_mutex_word(m), &locked, 0,
						    memory_order_release, memory_order_relaxed))
		return 0;
	return kf_mutex_unlock_slowly(m, latched);
}

int kf_mutex_unlock(kf_mutex_t *m)
{
	return kf_mutex_release(m, false);
}

/**
 * kf_mutex_unlock_latched() - unlock a mutex with a latch held
 * @m: the mutex
 *
 * Context: the critical section of another queue's latch, and the caller still is in one
 * afterwards, of whichever worker it is then: it parks if the mutex's latch is held for long.
 *
 * Return: 0, -EPERM.
 */
int kf_mutex_unlock_latched(kf_mutex_t *m)
{
	return kf_mutex_release(m, true);
}
