// SPDX-License-Identifier: GPL-2.0
/*
 * Preemption: who computes for longer than a slice while others wait loses the
 * processor, wherever the code is, and goes on later on the same thread. So
 * thread-local state, registers and locks of libraries stay as they are.
 *
 * A timer of the domain, the tick, looks at all processors eight times a slice.
 * The count of dispatches says whether the fiber is still the same. Only a thread
 * itself gives its processor away (sched.c), so the tick has the thread do that:
 *
 *   tick                          thread, in user mode     others
 *   same fiber for a slice,
 *   and somebody waits:
 *   task work, interrupt the CPU
 *                                 task work: still so?
 *                                 PREEMPTED, the last one
 *                                 processor given on       run what waited
 *                                 ...
 *                                 its turn: HOLDS          sleep, or are preempted
 *                                 back to user mode
 *
 * In a critical section the processor stays: its queues are being changed. The
 * task work leaves a mark in the worker's block instead, and the library, which
 * looks there after each critical section, calls ACQUIRE. Both are steps of the
 * one thread, so the mark cannot fall between its store to "critical" and its
 * look.
 *
 * Who was asked for a spare keeps the processor until it has come, however long that takes
 * it, and goes before all others if it has to block meanwhile: there is nobody else who would
 * run what is queued.
 *
 * Who waits, in this order (kf_turn_locked)
 *
 * - workers that are back from blocking (WAITER) and fibers in queues: in turn;
 * - workers that were preempted. They have had a slice; if they came before, or in
 *   turn with, fibers that are short, most of the time would be theirs;
 * - the background, see Documentation/priorities.rst: when there is nobody else, or it
 *   has waited for ten slices.
 *
 * Fibers that come and go could keep others waiting that the usual order takes
 * late: those in the inbox, in the global queue, behind a "next" to and fro,
 * waiters. Every 61st dispatch thinks of them. But 61 dispatches may be long, and
 * the preempted come last: so what has waited for a slice while others were
 * dispatched, or came back and were let in, is next. "offer" in the processor's
 * block tells the library.
 *
 * No tick while nobody waits
 *
 * Fibers are queued in user space, where the kernel does not see it. "ticking" in
 * the header says whether the tick runs; who queues something while it does not
 * calls KICK, and the tick begins.
 *
 *   queues (user space)                 tick, finds nobody for a slice
 *   slot, tail                          ticking = 0
 *   if (!ticking) KICK                  one period later: look again; if
 *                                       there is somebody: ticking = 1,
 *                                       else stop
 *
 * There is no fence on the left: a processor may load "ticking" before its store
 * to the queue is seen by others. But not by a whole period: 125 us at least,
 * where a store leaves its buffer in less than one, or with the next interrupt.
 * A fence would be a third of the time of a switch.
 *
 * So the tick runs for as long as it finds somebody waiting, or fibers that come
 * and go, and for a slice more: it costs a call at most every slice. The kernel's
 * own ways to wait (timers, waiters) start it under domain.lock. So does whoever is
 * given a processor while somebody waits: between two holders a processor is
 * nobody's, and a tick that looks just then finds nobody. selftests/models/tick.pml
 * is a model of this.
 *
 * Who holds what, with preemption, is in selftests/models/processor.pml too.
 *
 * The tick keeps the time, too: "now" in the header is when it looked last, for whoever
 * wants to know when roughly something was, and would have to ask the clock a million
 * times a second. It is 0 while the tick does not run, or runs too seldom for that.
 *
 * The tick is a soft timer: task_work_add() may allocate (KASAN notes who called
 * it), so it is not for hard interrupts nor for under a raw lock. Between the
 * decision, under domain.lock, and the call the worker may leave:
 *
 *   tick                               thread
 *   lock: it holds p; work_queued = 1
 *                                      leave: loses p, under the lock: from here
 *                                      on no tick finds it; work_queued is 1, so
 *                                      the work is to finish it
 *   task_work_add()                    runs it: gone
 *   or: fails, the task has ended      reaped, see kf_handover_queue()
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>

#include "balance.h"
#include "delay.h"
#include "internal.h"
#include "priority.h"
#include "queue.h"
#include "slice.h"

/* The longest that "now" may be old: a tick of a kernel with HZ=100. */
#define KF_NOW_NS	(10 * NSEC_PER_MSEC)

/* Tells user space whether it has to call. */
static void kf_set_ticking_locked(struct kf_domain *d, bool ticking)
{
	d->ticking = ticking;
	WRITE_ONCE(d->block->ticking, ticking);
}

/* Tells user space the time, as long as the tick runs. */
static void kf_show_now_locked(struct kf_domain *d, u64 now)
{
	WRITE_ONCE(d->block->now,
		   d->ticking && kf_look_ns(d->slice_ns) <= KF_NOW_NS ? now : 0);
}

/**
 * kf_tick_start_locked() - somebody waits: have an eye on who runs
 * @d: the domain
 *
 * Context: domain.lock; not below a run-queue lock.
 */
void kf_tick_start_locked(struct kf_domain *d)
{
	u64 now;

	if (d->ticking || d->shutdown)
		return;
	now = ktime_get_ns();
	kf_set_ticking_locked(d, true);
	kf_show_now_locked(d, now);
	/* Nobody was in the background until now: the tick would have gone on. */
	d->back_age.since = now;
	d->behind_age.since = now;
	d->quiet_looks = 0;
	if (d->tick_armed)
		return;
	d->tick_armed = true;
	hrtimer_start(&d->tick, ns_to_ktime(kf_look_ns(d->slice_ns)), HRTIMER_MODE_REL_SOFT);
}

/**
 * struct kf_tick_look - one look at all processors
 * @now: when
 * @busy: somebody may be waiting
 * @dispatched: some processor has dispatched since the look before
 */
struct kf_tick_look {
	u64 now;
	bool busy;
	bool dispatched;
};

/* The next dispatch is to be a fair one, if somebody has waited for long. */
static void kf_offer_locked(struct kf_domain *d, struct kf_processor *p, bool dispatched, u64 now)
{
	struct kfiber_processor_block *b = p->block;
	struct kf_ring local = kf_ring_local(b);
	struct kf_ring inbox = kf_ring_inbox(b);
	bool offer;

	offer = kf_queue_waits_long(&p->local_age, kf_ring_empty(&local),
				    READ_ONCE(b->local_head), dispatched, now, d->slice_ns);
	offer |= kf_queue_waits_long(&p->inbox_age, kf_ring_empty(&inbox),
				     READ_ONCE(b->inbox_head), dispatched, now, d->slice_ns);
	/* Who is interactive goes before these too. */
	if (offer && !d->nr_front)
		kf_queue_offer(b, KFIBER_OFFER_OWN);
}

/*
 * The first one in the background that has waited for long is from here on as any other
 * that waits. Who computes all the time dispatches nothing, and is nobody's turn: so
 * this does not depend on dispatches. Return: whether there was one.
 */
static bool kf_age_back_locked(struct kf_domain *d, u64 now)
{
	u64 bound = d->slice_ns * KF_BACK_SLICES;
	bool aged = false;
	struct kf_worker *w;
	struct kf_fiber *f;

	if (kf_queue_waits_long(&d->back_age, !d->nr_back, d->back_taken, true, now, bound)) {
		f = d->back.head;
		kf_global_push_locked(d, f, kf_back_pop_locked(d));
		aged = true;
	}
	if (kf_queue_waits_long(&d->behind_age, !d->nr_behind, d->behind_taken, true, now, bound)) {
		w = list_first_entry(&d->behind, struct kf_worker, link);
		d->nr_behind--;
		d->nr_waiters++;
		d->behind_taken++;
		w->sleep = KF_WAITER;
		list_move_tail(&w->link, &d->waiters);
		d->waiters_turn = true;
		aged = true;
	}
	if (aged)
		kf_publish_locked(d);
	return aged;
}

/* Those of the whole domain: all processors are to think of them, one will have them. */
static void kf_offer_all_locked(struct kf_domain *d, const struct kf_tick_look *look)
{
	bool gone_on = look->dispatched || d->returns != d->returns_seen;
	bool offer;
	u32 i;

	d->returns_seen = d->returns;
	offer = kf_age_back_locked(d, look->now);
	offer |= kf_queue_waits_long(&d->global_age, !d->nr_global, d->global_taken,
				     look->dispatched, look->now, d->slice_ns);
	if (kf_queue_waits_long(&d->waiters_age, !d->nr_waiters, d->returns, look->dispatched,
				look->now, d->slice_ns)) {
		d->waiters_turn = true;
		offer = true;
	}
	if (kf_queue_waits_long(&d->preempted_age, !d->nr_preempted, d->resumed, gone_on,
				look->now, d->slice_ns)) {
		d->preempted_turn = true;
		offer = true;
	}
	for (i = 0; offer && i < d->nr_looked; i++)
		WRITE_ONCE(d->processors[i].block->offer, KFIBER_OFFER_ALL);
}

/**
 * kf_preempt_tell_locked() - have a worker look whether it may keep its processor
 * @w: who holds it
 * @dispatches: as its processor counts them, with which its slice is over
 *
 * Context: domain.lock.
 * Return: @w, if kf_handover_queue() is to be called for it once the lock is dropped.
 */
struct kf_worker *kf_preempt_tell_locked(struct kf_worker *w, u64 dispatches)
{
	WRITE_ONCE(w->preempt, true);
	w->preempt_dispatches = dispatches;
	return atomic_xchg(&w->work_queued, 1) ? NULL : w;
}

static u64 kf_allowed_ns_locked(const struct kf_domain *d, const struct kf_worker *w)
{
	return kf_allowed_ns(kf_worker_priority(w), kf_front_waits_locked(d), d->slice_ns);
}

/* Return: the worker that is to be told that it has had its slice, or NULL. */
static struct kf_worker *kf_tick_processor_locked(struct kf_domain *d, struct kf_processor *p,
						  struct kf_tick_look *look)
{
	u64 dispatches = READ_ONCE(p->block->ticks);
	bool dispatched = dispatches != p->slice.dispatches;
	struct kf_worker *w = p->worker;
	enum kf_look found;
	bool waits;

	if (!w)
		return NULL;
	look->dispatched |= dispatched;
	kf_offer_locked(d, p, dispatched, look->now);
	waits = kf_is_awaited_locked(d, p);
	found = kf_slice_look(&p->slice, w, dispatches, waits, look->now,
			      waits ? kf_allowed_ns_locked(d, w) : d->slice_ns);
	look->busy |= found != KF_LOOK_QUIET;
	if (found != KF_LOOK_OVER)
		return NULL;
	return kf_preempt_tell_locked(w, dispatches);
}

static void kf_tick_processor(struct kf_domain *d, struct kf_processor *p,
			      struct kf_tick_look *look)
{
	struct kf_worker *w;
	unsigned long flags;

	raw_spin_lock_irqsave(&d->lock, flags);
	w = kf_tick_processor_locked(d, p, look);
	raw_spin_unlock_irqrestore(&d->lock, flags);
	if (!w)
		return;
	kf_delay(KF_DELAY_PREEMPT_QUEUE);
	kf_handover_queue(w);
}

/* Return: whether to go on. */
static bool kf_tick_again(struct kf_domain *d, const struct kf_tick_look *look)
{
	unsigned long flags;
	bool ticking, again;

	raw_spin_lock_irqsave(&d->lock, flags);
	kf_offer_all_locked(d, look);
	d->quiet_looks = look->busy || kf_back_waits_locked(d) ? 0 : d->quiet_looks + 1;
	ticking = d->quiet_looks < KF_LOOKS_PER_SLICE;
	again = !d->shutdown && (ticking || d->ticking);
	if (d->ticking != ticking)
		kf_set_ticking_locked(d, ticking);
	kf_show_now_locked(d, again ? ktime_get_ns() : 0);
	d->tick_armed = again;
	raw_spin_unlock_irqrestore(&d->lock, flags);
	return again;
}

static enum hrtimer_restart kf_tick(struct hrtimer *timer)
{
	struct kf_domain *d = container_of(timer, struct kf_domain, tick);
	struct kf_tick_look look = { .now = ktime_get_ns() };
	u32 i;

	/* Keeps workers, see kf_handover_queue(). */
	rcu_read_lock();
	for (i = 0; i < READ_ONCE(d->nr_looked); i++)
		if (READ_ONCE(d->processors[i].worker))
			kf_tick_processor(d, &d->processors[i], &look);
	rcu_read_unlock();
	if (!kf_tick_again(d, &look))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(kf_look_ns(d->slice_ns)));
	return HRTIMER_RESTART;
}

/* A dispatch ends a slice, and what waited may have been taken by others. */
static bool kf_slice_is_over_locked(const struct kf_worker *w)
{
	return READ_ONCE(w->processor->block->ticks) == w->preempt_dispatches &&
	       kf_is_awaited_locked(w->domain, w->processor);
}

/*
 * Is it still true? In a critical section the answer is kept for its end.
 * Return: as what to wait, KF_AWAKE for not at all. Who has to leave a processor that is out of
 * use has not had its slice.
 */
static enum kf_sleep kf_preempt_is_due(struct kf_worker *w, bool critical)
{
	struct kf_domain *d = w->domain;
	enum kf_sleep sleep = KF_AWAKE;

	raw_spin_lock_irq(&d->lock);
	if (w->preempt && w->processor) {
		if (kf_is_surplus(d, w->processor))
			sleep = KF_WAITER;
		else if (kf_slice_is_over_locked(w) && !kf_makes_spare_locked(w))
			sleep = KF_PREEMPTED;
	}
	WRITE_ONCE(w->preempt, sleep && critical);
	if (sleep == KF_PREEMPTED && !critical)
		d->preemptions++;
	raw_spin_unlock_irq(&d->lock);
	return sleep;
}

/**
 * kf_preempt_self() - give the processor to those who wait, and wait for one
 * @w: the caller, if its slice is over; else nothing is done
 *
 * Context: the worker's own thread, outside of all else; may sleep. A signal ends
 * the wait: then the caller has lost its processor.
 */
void kf_preempt_self(struct kf_worker *w)
{
	bool critical = READ_ONCE(w->block->critical);
	enum kf_sleep sleep;

	if (!READ_ONCE(w->preempt))
		return;
	kf_delay_sleep(KF_DELAY_PREEMPT);
	sleep = kf_preempt_is_due(w, critical);
	if (!sleep)
		return;
	WRITE_ONCE(w->block->preempt, critical);
	if (critical)
		return;
	w->in_module = true;
	w->lost = kf_worker_wait(w, sleep, 0);
	w->in_module = false;
}

void kf_preempt_init(struct kf_domain *d)
{
	hrtimer_init(&d->tick, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	d->tick.function = kf_tick;
}

/* Context: SETUP; the header is there. Without slices nobody ever has to call. */
void kf_preempt_setup(struct kf_domain *d)
{
	if (!d->slice_ns)
		kf_set_ticking_locked(d, true);
}

/* Context: may sleep; the domain has ended. */
void kf_preempt_exit(struct kf_domain *d)
{
	hrtimer_cancel(&d->tick);
}
