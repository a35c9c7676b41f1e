// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Park and unpark, and what is nothing but those: sleep, and waiting for
 * something of the library's own. The state word is described in
 * <linux/kfiber.h>.
 *
 *   parks                               unparks
 *   ACTIVE -> PARKING, or take PERMIT   PARKED  -> ACTIVE, then queue it
 *   (deadline)                          PARKING -> + PERMIT
 *   switch away                         ACTIVE  -> + PERMIT
 *   somebody else, on the same thread:
 *   PARKING -> PARKED, or if PERMIT
 *   came: -> ACTIVE, then queue it
 *
 * All are compare-and-exchange on one word, so for any order of the two sides
 * exactly one of them queues the fiber, and only once its stack is left.
 *
 * Between ACTIVE and the queue it is nobody's but the waker's: a waker that lost its processor
 * there, or its stack to an overflow that is contained, would keep it from running. So the
 * waker is in a critical section from before the one to behind the other (kf_wake_begin).
 *
 * Cancelling is another way to unpark:
 *
 *   waits                               cancels (all with + CANCELLED)
 *   CANCELLED, not masked: -ECANCELED   PARKED  -> ACTIVE + TIMEDOUT, then queue it
 *   ACTIVE -> PARKING; with LOOK it     PARKING -> + TIMEDOUT
 *   only takes that, and looks again    ACTIVE  -> + LOOK
 *   ...
 *   resumed by TIMEDOUT: looks again
 *
 * So a cancel that falls between the look and PARKING is seen. Whether this wait may
 * be cut short only the fiber itself knows; one that is masked was resumed for
 * nothing, once. What it waits for goes before: a fiber that was given it and has not
 * run yet is ACTIVE, and TIMEDOUT there would say that nothing came. It returns with
 * it, and the next wait sees CANCELLED, which stays. A context that ends tells its fibers
 * in the same way, without CANCELLED: they look at the context (ctx.c).
 *
 * A fiber that is ACTIVE may be in a system call that blocks. Only the module knows, and
 * what is to be interrupted it is told by INTERRUPT in the word, before it is asked to
 * look: see its interrupt.c.
 */
#include <errno.h>
#include <sched.h>

#include "ctx.h"
#include "switch.h"

/* What a fiber with that word waits for. */
static uint64_t kf_awaited_flag(uint64_t word)
{
	return word & KFIBER_WAITS_WAKE ? KFIBER_WAKE : KFIBER_PERMIT;
}

/* Something has come for one that is PARKING: does it end the wait? */
bool kf_is_woken(uint64_t word)
{
	return word & (kf_awaited_flag(word) | KFIBER_TIMEDOUT);
}

/* Nobody is on the fiber's stack, and it is to go on. */
KF_RARELY void kf_woken_critical(struct kf_worker *w, struct kfiber_fiber_block *f)
{
	if (kf_unlikely(kf_read64(&f->word) & KF_APART))
		kf_push_apart_critical(w, f);
	else
		kf_push_last_critical(w, kf_name(w->domain, f));
}

/* The state of a fiber that is about to wait, or waits, with the flag for what. */
static __always_inline uint64_t kf_waiting(uint64_t state, uint64_t awaited)
{
	return state | (awaited == KFIBER_WAKE ? KFIBER_WAITS_WAKE : 0);
}

enum kf_begun {
	KF_WAITS,
	KF_TAKEN,	/* what it waits for had come */
	KF_LOOK_AGAIN,	/* something else had, that may end the wait */
};

/* Says that the fiber is about to wait. */
static __always_inline enum kf_begun kf_begin_wait(struct kfiber_fiber_block *self,
						   uint64_t awaited)
{
	_Atomic uint64_t *word = kf_atomic64(&self->word);
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
	uint64_t new;

	do {
		if (kf_unlikely(old & awaited))
			new = old & ~awaited;
		else if (kf_unlikely(old & KFIBER_LOOK))
			new = old & ~KFIBER_LOOK;
		else
			new = old - KFIBER_ACTIVE + kf_waiting(KFIBER_PARKING, awaited);
		kf_delay(KF_DELAY_BEGIN_WAIT);
	} while (kf_unlikely(!atomic_compare_exchange_weak_explicit(word, &old, new,
								    memory_order_acq_rel,
								    memory_order_relaxed)));
	if (kf_unlikely(old & awaited))
		return KF_TAKEN;
	return kf_unlikely(old & KFIBER_LOOK) ? KF_LOOK_AGAIN : KF_WAITS;
}

/* Return: 0 if what was awaited came, -ETIMEDOUT if it is to look again. */
static __always_inline int kf_end_wait(struct kfiber_fiber_block *self, uint64_t awaited)
{
	_Atomic uint64_t *word = kf_atomic64(&self->word);
	uint64_t flags = awaited | KFIBER_TIMEDOUT, old;

	/* Who is resumed while parked by what it awaits finds no flag. */
	if (kf_likely(!(atomic_load_explicit(word, memory_order_acquire) & flags)))
		return 0;
	old = atomic_fetch_and_explicit(word, ~flags, memory_order_acq_rel);
	return old & KFIBER_TIMEDOUT && !(old & awaited) ? -ETIMEDOUT : 0;
}

static void kf_store_deadline(struct kfiber_fiber_block *self, uint64_t deadline)
{
	atomic_store_explicit(kf_atomic64(&self->deadline), deadline, memory_order_relaxed);
}

/*
 * Stores the deadline; the timer that does not look early enough is to be set. @s: for a
 * clock of the domain's own, which is told in the place of the timer
 */
static void kf_set_deadline(struct kf_worker *w, struct kfiber_fiber_block *self,
			    struct kf_sleeper *s, uint64_t deadline)
{
	kf_store_deadline(self, deadline);
	if (kf_has_test_clock(w->domain)) {
		kf_clock_sleep_critical(w, s, deadline);
		return;
	}
	atomic_thread_fence(memory_order_seq_cst);		/* [C] of the module's timer.c */
	kf_delay(KF_DELAY_DEADLINE);
	if (atomic_load_explicit(kf_atomic64(&self->armed), memory_order_relaxed) > deadline)
		w->arm = kf_name(w->domain, self);
}

/* While it runs it has one, too: for its system calls. */
static void kf_clear_deadline(struct kfiber_fiber_block *self, struct kf_sleeper *s)
{
	if (s && kf_has_test_clock(kf_worker_self()->domain))
		kf_clock_leave(s);
	kf_store_deadline(self, self->value ? kf_member_deadline(self) : KFIBER_NEVER);
}

/*
 * One wait. @usual: there is no deadline and no context, and nothing unusual about the worker;
 * a constant. Return: 0, -ETIMEDOUT to look again whether it is over.
 */
static __always_inline int kf_wait_once(struct kf_worker *w, uint64_t awaited,
					uint64_t deadline, bool usual)
{
	struct kfiber_fiber_block *self = w->current;
	struct kf_sleeper sleeper;
	enum kf_begun begun;

	kf_enter(w);
	begun = kf_begin_wait(self, awaited);
	if (kf_unlikely(begun != KF_WAITS)) {
		kf_leave(w);
		return begun == KF_TAKEN ? 0 : -ETIMEDOUT;
	}
	kf_delay(KF_DELAY_PARKING);
	atomic_store_explicit(kf_atomic64(&self->wait_since), kf_since(w, usual),
			      memory_order_relaxed);
	if (usual) {
		kf_switch_usual_critical(w, KF_AFTER_PARK);
	} else {
		if (deadline != KF_FOREVER)
			kf_set_deadline(w, self, &sleeper, deadline);
		else if (self->value)
			kf_store_deadline(self, KFIBER_NEVER);
		kf_switch_critical(w, KF_AFTER_PARK);
	}
	kf_delay(KF_DELAY_END_WAIT);
	if (!usual && deadline != KF_FOREVER)
		kf_clear_deadline(self, &sleeper);
	else if (!usual && self->value)
		kf_clear_deadline(self, NULL);
	return kf_end_wait(self, awaited);
}

/* A context has one, too; a masked wait it does not end. */
static uint64_t kf_soonest(struct kfiber_fiber_block *self, uint64_t deadline)
{
	if (__builtin_expect(!self->value, 1) || self->masked)
		return deadline;
	return kf_ctx_sooner(kf_member(self)->ctx, deadline);
}

/* Why a wait for what has not come is over. Return: 0 if it is not. */
static int kf_wait_is_over(struct kfiber_fiber_block *self, uint64_t word, uint64_t deadline)
{
	if (kf_is_cancelled(self, word)) {
		if (kf_is_checked())
			kf_check_acquire(&self->word);
		return -ECANCELED;
	}
	return deadline != KF_FOREVER && kf_now() >= deadline ? -ETIMEDOUT : 0;
}

static KF_RARELY int kf_wait_unusual(struct kf_worker *w, uint64_t awaited, uint64_t deadline)
{
	for (;;) {
		struct kfiber_fiber_block *self = w->current;
		/* What a canceller wrote before is seen. */
		uint64_t word = atomic_load_explicit(kf_atomic64(&self->word),
						     memory_order_acquire);
		int err = word & awaited ? 0 : kf_wait_is_over(self, word, deadline);

		if (err)
			return err;
		kf_delay(KF_DELAY_LOOKED);
		if (!kf_wait_once(w, awaited, kf_soonest(self, deadline), false))
			return 0;
		w = kf_worker_self();
	}
}

/**
 * kf_wait() - wait until something comes, a deadline passes or the fiber is cancelled
 * @w: the caller's worker
 * @awaited: KFIBER_PERMIT or KFIBER_WAKE
 * @deadline: absolute, or KF_FOREVER
 *
 * What has come already is taken, even when the deadline has passed.
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED.
 */
int kf_wait(struct kf_worker *w, uint64_t awaited, uint64_t deadline)
{
	struct kfiber_fiber_block *self = w->current;

	if (kf_likely(deadline == KF_FOREVER && !self->value && !w->unusual &&
		      !(kf_read64(&self->word) & KFIBER_CANCELLED))) {
		kf_delay(KF_DELAY_LOOKED);
		if (kf_likely(!kf_wait_once(w, awaited, KF_FOREVER, true)))
			return 0;
		w = kf_worker_self();
	}
	return kf_wait_unusual(w, awaited, deadline);
}

/**
 * kf_wait_masked() - wait until something comes that is sure to
 * @w: the caller's worker
 * @awaited: KFIBER_PERMIT or KFIBER_WAKE
 *
 * For what must have come before the caller can go on, or it would end another wait.
 */
void kf_wait_masked(struct kf_worker *w, uint64_t awaited)
{
	while (kf_wait_once(w, awaited, KF_FOREVER, false))
		w = kf_worker_self();
}

static KF_RARELY void kf_push_stamped_critical(struct kf_worker *w,
					       struct kfiber_processor_block *p, kf_fiber_t name)
{
	kf_latency_stamp(kf_block(w->domain, name));
	kf_push_next_critical(w, p, name);
}

/*
 * From before a fiber is made ACTIVE until it is queued. Return: the caller's worker, in a
 * critical section; NULL in a plain thread, and in a signal handler within such a section.
 */
static __always_inline struct kf_worker *kf_wake_begin(void)
{
	struct kf_worker *w = kf_fiber_worker();

	if (kf_unlikely(!w || kf_read32(&w->block->critical)))
		return NULL;
	/* Not kf_enter(): without a processor it would wait for one. */
	atomic_store_explicit(kf_atomic32(&w->block->critical), 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	return w;
}

static __always_inline void kf_wake_end(struct kf_worker *w)
{
	if (kf_likely(w))
		kf_leave(w);
}

/* The module queues it. Of these, too, one in so many is stamped. */
static KF_RARELY void kf_queue_by_module(struct kf_domain *d, struct kf_worker *w,
					 kf_fiber_t name)
{
	if (w && kf_read32(&w->block->processor) != KFIBER_NO_PROCESSOR)
		kf_count(&kf_processor_block(w)->calls);
	if (kf_is_sampled(atomic_fetch_add_explicit(&d->told, 1, memory_order_relaxed)))
		kf_latency_stamp(kf_block(d, name));
	kf_call_ready(d, &name, 1);
}

/*
 * Queues a fiber that was just made runnable. @w: as kf_wake_begin() gave it. Without one, and
 * without a processor, there is no queue to put it in: the module does. So it does for one that
 * goes before or after others, as @word has it, and of one that is pinned it tells its thread.
 */
static __always_inline void kf_queue_woken(struct kf_domain *d, struct kf_worker *w,
					   kf_fiber_t name, uint64_t word)
{
	struct kfiber_processor_block *p;

	if (kf_unlikely(word & KF_APART || !w ||
			kf_read32(&w->block->processor) == KFIBER_NO_PROCESSOR)) {
		kf_queue_by_module(d, w, name);
		return;
	}
	p = kf_processor_block(w);
	kf_count(&p->unparks);
	if (kf_unlikely(kf_is_sampled(p->unparks)))
		kf_push_stamped_critical(w, p, name);
	else
		kf_push_next_critical(w, p, name);
}

static KF_RARELY void kf_queue_told(struct kf_domain *d, struct kf_worker *w,
				    kf_fiber_t name, uint64_t word)
{
	kf_queue_woken(d, w, name, word);
}

/*
 * Who wants to look at a parked fiber's stack holds it, as the module's trimming does and by
 * the same rule: PARKED -> PARKING, and then nobody resumes it but who published PARKED,
 * which is what lets go of it. One who wakes it leaves that in the word. The holder, if it
 * is a fiber, keeps its processor meanwhile.
 */

/* Return: the caller's worker, from here to kf_hold_end() in a critical section, or NULL. */
struct kf_worker *kf_hold_begin(void)
{
	struct kf_worker *w = kf_fiber_worker();

	if (w)
		kf_enter(w);
	return w;
}

void kf_hold_end(struct kf_worker *w)
{
	if (w)
		kf_leave(w);
}

/**
 * kf_hold() - keep a fiber parked
 * @f: not pinned: what is woken of those is told to their threads
 * @word: its word, with PARKED
 *
 * Return: false if that is not its word any more.
 */
bool kf_hold(struct kfiber_fiber_block *f, uint64_t word)
{
	return kf_state(word) == KFIBER_PARKED &&
	       atomic_compare_exchange_strong_explicit(kf_atomic64(&f->word), &word,
						       (word & ~KFIBER_STATE_MASK) | KFIBER_PARKING,
						       memory_order_acq_rel, memory_order_relaxed);
}

/* @w: as kf_hold_begin() gave it. */
void kf_let_go(struct kf_domain *d, struct kf_worker *w, struct kfiber_fiber_block *f)
{
	kf_fiber_t name = kf_name(d, f);

	if (!kf_publish(f))
		kf_queue_told(d, w, name, kf_read64(&f->word));
}

/* Is this the word of the fiber of that name, and has it not ended? */
static bool kf_word_lives(uint64_t word, kf_fiber_t name)
{
	return kf_generation(word) == kf_generation(name) && kf_state(word) != KFIBER_FREE &&
	       kf_state(word) != KFIBER_DEAD;
}

/**
 * kf_wake() - tell a fiber that something came for it
 * @d: the domain
 * @w: the caller's worker, in a critical section; NULL in a plain thread, and in a signal
 *	handler within such a section
 * @name: the fiber
 * @flag: KFIBER_PERMIT or KFIBER_WAKE
 *
 * Return: 0, -ESRCH.
 */
__always_inline int kf_wake(struct kf_domain *d, struct kf_worker *w, kf_fiber_t name,
			    uint64_t flag)
{
	uint64_t parked = kf_waiting(KFIBER_PARKED, flag);
	struct kfiber_fiber_block *f = kf_block(d, name);
	_Atomic uint64_t *word;
	uint64_t old, new;
	bool queue;

	if (!f)
		return -ESRCH;
	word = kf_atomic64(&f->word);
	old = atomic_load_explicit(word, memory_order_relaxed);
	do {
		if (kf_unlikely(!kf_word_lives(old, name)))
			return -ESRCH;
		queue = (old & (KFIBER_STATE_MASK | KFIBER_WAITS_WAKE)) == parked;
		new = kf_likely(queue) ? old - parked + KFIBER_ACTIVE : old | flag;
		kf_delay(KF_DELAY_WAKE);
	} while (kf_unlikely(!atomic_compare_exchange_weak_explicit(word, &old, new,
								    memory_order_acq_rel,
								    memory_order_relaxed)));
	kf_delay(KF_DELAY_WOKEN);
	if (kf_likely(queue))
		kf_queue_woken(d, w, name, old);
	return 0;
}

static uint64_t kf_word_told(uint64_t old)
{
	switch (kf_state(old)) {
	case KFIBER_PARKED:
		return (old & ~(KFIBER_STATE_MASK | KFIBER_WAITS_WAKE)) | KFIBER_ACTIVE |
		       KFIBER_TIMEDOUT;
	case KFIBER_PARKING:
		return old | KFIBER_TIMEDOUT;
	}
	return old | KFIBER_LOOK;
}

/**
 * kf_tell() - have a fiber look whether something else ends its wait, or its next one
 * @d: the domain
 * @name: the fiber
 * @flag: what it is to see in its word from now on, or 0
 *
 * Return: 0, -ESRCH.
 */
int kf_tell(struct kf_domain *d, kf_fiber_t name, uint64_t flag)
{
	struct kfiber_fiber_block *f = kf_block(d, name);
	_Atomic uint64_t *word;
	struct kf_worker *w;
	uint64_t old;
	bool lives;

	if (!f)
		return -ESRCH;
	w = kf_wake_begin();
	word = kf_atomic64(&f->word);
	old = atomic_load_explicit(word, memory_order_relaxed);
	do {
		lives = kf_word_lives(old, name);
		kf_delay(KF_DELAY_WAKE);
	} while (lives && !atomic_compare_exchange_weak_explicit(word, &old,
								 kf_word_told(old) | flag,
								 memory_order_acq_rel,
								 memory_order_relaxed));
	if (lives) {
		kf_delay(KF_DELAY_WOKEN);
		if (kf_state(old) == KFIBER_PARKED)
			kf_queue_told(d, w, name, old);
	}
	kf_wake_end(w);
	if (!lives)
		return -ESRCH;
	if (kf_state(old) == KFIBER_ACTIVE && (old | flag) & KFIBER_INTERRUPT && name != kf_self())
		kf_call_interrupt(d, name);
	return 0;
}

/**
 * kf_set_interrupt() - have a fiber's system calls end with EINTR from now on
 * @d: the domain
 * @name: the fiber; nothing if it has ended
 *
 * One that blocks already is for kf_tell().
 */
void kf_set_interrupt(struct kf_domain *d, kf_fiber_t name)
{
	struct kfiber_fiber_block *f = kf_block(d, name);
	_Atomic uint64_t *word;
	uint64_t old;

	if (!f)
		return;
	word = kf_atomic64(&f->word);
	old = atomic_load_explicit(word, memory_order_relaxed);
	while (kf_word_lives(old, name) &&
	       !atomic_compare_exchange_weak_explicit(word, &old, old | KFIBER_INTERRUPT,
						      memory_order_acq_rel, memory_order_relaxed))
		;
}

/* The calling fiber's system calls may block again, unless it is cancelled itself. */
void kf_clear_interrupt(struct kfiber_fiber_block *self)
{
	_Atomic uint64_t *word = kf_atomic64(&self->word);
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);

	while (!(old & KFIBER_CANCELLED) &&
	       !atomic_compare_exchange_weak_explicit(word, &old, old & ~KFIBER_INTERRUPT,
						      memory_order_acq_rel, memory_order_relaxed))
		;
}

static KF_RARELY int kf_park_checked(struct kf_worker *w, uint64_t deadline)
{
	struct kfiber_fiber_block *self = w->current;
	int err = kf_wait(w, KFIBER_PERMIT, deadline);

	if (!err)
		kf_check_acquire(&self->word);
	return err;
}

int kf_park(uint64_t deadline)
{
	struct kf_worker *w = kf_fiber_worker();

	if (!w)
		return -EPERM;
	return kf_is_checked() ? kf_park_checked(w, deadline) :
				 kf_wait(w, KFIBER_PERMIT, deadline);
}

int kf_unpark(kf_fiber_t fiber)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	struct kf_worker *w;
	int err;

	if (!d)
		return -ESRCH;
	if (kf_is_checked() && kf_block(d, fiber))
		kf_check_release(&kf_block(d, fiber)->word);
	w = kf_wake_begin();
	err = kf_wake(d, w, fiber, KFIBER_PERMIT);
	kf_wake_end(w);
	return err;
}

int kf_sleep(uint64_t ns)
{
	struct kf_worker *w = kf_fiber_worker();

	if (!w)
		return -EPERM;
	/* Nobody sends a WAKE for this: the deadline ends it. */
	return kf_wait(w, KFIBER_WAKE, kf_after(ns)) == -ECANCELED ? -ECANCELED : 0;
}

void kf_yield(void)
{
	struct kf_worker *w = kf_fiber_worker();

	if (!w) {
		sched_yield();
		return;
	}
	kf_enter(w);
	if (kf_likely(!w->unusual && !(kf_read64(&w->current->word) & KF_APART)))
		kf_switch_usual_critical(w, KF_AFTER_YIELD);
	else
		kf_switch_critical(w, KF_AFTER_YIELD);
}
