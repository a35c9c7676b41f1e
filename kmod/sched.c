// SPDX-License-Identifier: GPL-2.0
/*
 * Processors: who holds which, who waits for one, what there is to run.
 *
 * A processor is held by one worker or idle. A worker holds one processor or
 * none, and without one either sleeps in the module or is on its way there:
 *
 *               NEXT finds nothing                     grant
 *   HOLDS  -------------------------->  SPARE   ------------------>  HOLDS
 *   HOLDS  --- sleeps elsewhere ----->  BLOCKED (handover.c)
 *   BLOCKED -- is switched in ------->  HOLDS   if a processor is idle
 *                                       WAITER  else  --- grant -->  HOLDS
 *   HOLDS  --- had its slice -------->  PREEMPTED --- grant ---->  HOLDS
 *   would be WAITER or PREEMPTED,
 *   with a fiber in the background -->  BEHIND  --- aged ------->  WAITER
 *                                               --- grant ------>  HOLDS
 *   HOLDS  --- its fiber is pinned
 *              and parks ------------>  PINNED  --- READY ---->  HOLDS or WAITER (pin.c)
 *   any    --- dies, detaches ------->  gone
 *
 * Only a thread itself gives its processor away; others only give one to a
 * thread that sleeps in the module (SPARE, WAITER, PREEMPTED, BEHIND, PINNED). So a thread that
 * runs knows what it holds without a lock.
 *
 * Work is never left while a processor is idle and a worker sleeps. Local
 * queues are filled in user space without the lock, so the last worker to go to
 * sleep and the one that queues must see each other:
 *
 *   queues (user space)                 sleeps (kf_sched_sleep)
 *   slot, tail                          idle + 1, searching - 1
 *   full fence                    [D]   full fence                   [D]
 *   if (idle && !searching) KICK        if (any queue has work) dispatch
 *
 * [D] If the left one does not see the idle processor, the right one sees the
 * work. Somebody searching will come by the right side himself, or leaves NEXT
 * and lets another one look (kf_leave_next_locked). selftests/models/idle.pml is
 * a model of this.
 *
 * "next" is special. Two fibers that wake each other in turn are best left on one
 * processor, so what is in the "next" of a processor that dispatches is left to
 * it. But its fiber may compute for long, and the one in "next" would wait. Who
 * searches and finds only such fibers goes to sleep as a watcher: it wakes by
 * itself after a while, and takes the fiber if that processor has dispatched
 * nothing since; if it has, it watches the next one that has such a fiber. While
 * there is a watcher, "next" is no reason to wake anybody; nor, in user space, to
 * call [E]:
 *
 *   queues (user space)                 watcher
 *   next                                watching - 1
 *   full fence                    [E]   full fence                   [E]
 *   if (!watching) KICK                 look at all "next"
 *
 * [E] If the left one sees the watcher counted, the right one sees the fiber: when
 * it looks, or in the scan [D] if it then goes to sleep and does not watch. A
 * watcher that is taken from the list for something else, or leaves for a signal,
 * lets another one look when it leaves NEXT. selftests/models/watch.pml is a model
 * of this.
 *
 * Nothing is left to happen when every worker is a spare, or asleep with its pinned
 * fiber, nothing is queued or held by a trimmer, and no file is waited for. All this is
 * looked at under the lock, each time a worker has entered a list or left the domain, and
 * when the last wait for a file has ended, so the last of them is seen by somebody
 * (KFIBER_SETUP_QUIET). selftests/models/quiet.pml is a model of this.
 *
 * A processor that is given up in sched_out goes the same way by irq_work,
 * unless it is the only busy one: then nobody is there who could queue without
 * the lock.
 */
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "balance.h"
#include "chunk.h"
#include "delay.h"
#include "internal.h"
#include "latency.h"
#include "limits.h"
#include "priority.h"
#include "queue.h"

/* Tells user space; it decides by these whether to call at all. */
void kf_publish_locked(struct kf_domain *d)
{
	WRITE_ONCE(d->block->used, d->nr_used);
	WRITE_ONCE(d->block->idle, d->nr_idle);
	WRITE_ONCE(d->block->searching, d->nr_searching);
	WRITE_ONCE(d->block->global, d->nr_global);
	WRITE_ONCE(d->block->waiters, d->nr_waiters);
	WRITE_ONCE(d->block->spares, d->nr_spares);
	WRITE_ONCE(d->block->watching, d->nr_watching);
	WRITE_ONCE(d->block->front, d->nr_front);
}

void kf_assign_locked(struct kf_processor *p, struct kf_worker *w)
{
	struct kf_domain *d = w->domain;

	list_del_init(&p->idle_link);
	d->nr_idle--;
	if (p->handed && p->handed != w) {
		d->handovers++;
		w->handed_since = p->handed_since;
	}
	p->handed = NULL;
	w->granted = w->task == current ? 0 : kf_latency_now();
	p->worker = w;
	w->last = p;
	WRITE_ONCE(w->processor, p);
	WRITE_ONCE(w->block->processor, p->index);
	/* Whoever runs now may run for long. */
	if (kf_is_awaited_locked(d, p))
		kf_tick_start_locked(d);
}

/* A worker goes on with the processor that it has: how long did that take? */
static void kf_note_latencies_locked(struct kf_worker *w)
{
	struct kfiber_domain_block *b = w->domain->block;
	u64 now;

	if (!w->granted && !w->handed_since && !w->waits_since)
		return;
	now = kf_latency_now();
	if (w->granted)
		kf_latency_note_locked(b->wakeup, w->granted, now);
	if (w->handed_since)
		kf_latency_note_locked(b->handover, w->handed_since, now);
	if (w->waits_since)
		kf_latency_note_locked(b->wait, w->waits_since, now);
	w->granted = 0;
	w->handed_since = 0;
	w->waits_since = 0;
}

void kf_unassign_locked(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	struct kf_processor *p = w->processor;

	WRITE_ONCE(w->processor, NULL);
	WRITE_ONCE(w->block->processor, KFIBER_NO_PROCESSOR);
	p->worker = NULL;
	if (kf_is_surplus(d, p)) {
		d->nr_leaving--;
		return;
	}
	list_add(&p->idle_link, &d->idle);
	d->nr_idle++;
}

void kf_unlist_locked(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;

	if (w->sleep == KF_SPARE)
		d->spares_low = min(d->spares_low, --d->nr_spares);
	else if (w->sleep == KF_WAITER)
		d->nr_waiters--;
	else if (w->sleep == KF_PREEMPTED && !--d->nr_preempted)
		d->preempted_turn = false;
	else if (w->sleep == KF_BEHIND)
		d->nr_behind--;
	else if (w->sleep == KF_PINNED)
		d->nr_pinned--;
	w->sleep = KF_AWAKE;
	d->risen++;
	d->nr_watching -= w->watching;
	w->watching = false;
	list_del_init(&w->link);
}

/*
 * Is it making the worker that was asked for? Then nothing that is queued is run before it
 * has done so, and it goes before all that wait; but not for longer.
 */
bool kf_makes_spare_locked(const struct kf_worker *w)
{
	return w->domain->spares_pending && w->domain->spare_maker == w;
}

/**
 * kf_wait_locked() - enter the list of those who want to go on with their fiber
 * @w: without a processor
 * @sleep: KF_WAITER or KF_PREEMPTED; the background waits behind both, and who makes a
 *	spare is the first of all waiters
 *
 * Context: domain.lock; not below a run-queue lock.
 */
void kf_wait_locked(struct kf_worker *w, enum kf_sleep sleep)
{
	u64 priority = kf_worker_priority(w);
	struct kf_domain *d = w->domain;

	w->sleep = priority & KFIBER_BACKGROUND ? KF_BEHIND : sleep;
	if (kf_makes_spare_locked(w)) {
		w->sleep = KF_WAITER;
		list_add(&w->link, &d->waiters_front);
		d->nr_waiters++;
		d->waiters_turn = true;
	} else if (w->sleep == KF_BEHIND) {
		list_add_tail(&w->link, &d->behind);
		d->nr_behind++;
	} else if (sleep == KF_PREEMPTED) {
		list_add_tail(&w->link, &d->preempted);
		d->nr_preempted++;
	} else if (priority) {
		list_add_tail(&w->link, &d->waiters_front);
		d->nr_waiters++;
		d->waiters_turn = true;
	} else {
		list_add_tail(&w->link, &d->waiters);
		d->nr_waiters++;
	}
	kf_tick_start_locked(d);
}

static struct kf_worker *kf_first_waiter_locked(struct kf_domain *d)
{
	bool front = kf_front_goes(&d->front_run, !list_empty(&d->waiters_front),
				   !list_empty(&d->waiters));

	return list_first_entry(front ? &d->waiters_front : &d->waiters, struct kf_worker, link);
}

static void kf_set_searching_locked(struct kf_worker *w, bool searching)
{
	if (w->searching == searching)
		return;
	w->searching = searching;
	w->domain->nr_searching += searching ? 1 : -1;
}

/*
 * The last one that came is told when all sleep, if anybody wants to know: it is the
 * first in the list. Return: as kf_pair_locked().
 */
static struct kf_worker *kf_tell_quiet_locked(struct kf_domain *d)
{
	struct kf_worker *w;

	if (!d->tells_quiet || !kf_is_quiet_locked(d))
		return NULL;
	d->quiet_switches = kf_switches_locked(d);
	w = list_first_entry(&d->spares, struct kf_worker, link);
	kf_unlist_locked(w);
	kf_assign_locked(kf_choose_idle_locked(d, w->last), w);
	w->quiet = true;
	kf_publish_locked(d);
	return w;
}

/*
 * Finds an idle processor and a worker that should have it, and joins them.
 * @kicked: user space says that there is work.
 *
 * Return: the worker to be woken once the lock is dropped, or NULL.
 */
static struct kf_worker *kf_pair_locked(struct kf_domain *d, bool kicked)
{
	struct kf_worker *w;

	switch (kf_turn_locked(d, kicked)) {
	case KF_TURN_WAITER:
		w = kf_first_waiter_locked(d);
		kf_unlist_locked(w);
		kf_assign_locked(kf_choose_idle_locked(d, w->last), w);
		d->waiters_turn = false;
		d->returns++;
		break;
	case KF_TURN_SPARE:
		w = list_first_entry(&d->spares, struct kf_worker, link);
		kf_unlist_locked(w);
		kf_assign_locked(kf_choose_busy_idle_locked(d), w);
		kf_set_searching_locked(w, true);
		d->waiters_turn = true;
		d->wakeups++;
		break;
	case KF_TURN_PREEMPTED:
		w = list_first_entry(&d->preempted, struct kf_worker, link);
		kf_unlist_locked(w);
		kf_assign_locked(kf_choose_idle_locked(d, w->last), w);
		d->preempted_turn = false;
		d->resumed++;
		break;
	case KF_TURN_BEHIND:
		w = list_first_entry(&d->behind, struct kf_worker, link);
		kf_unlist_locked(w);
		kf_assign_locked(kf_choose_idle_locked(d, w->last), w);
		d->behind_taken++;
		d->returns++;
		break;
	default:
		return kf_tell_quiet_locked(d);
	}
	kf_publish_locked(d);
	return w;
}

static void kf_pair_all(struct kf_domain *d, bool kicked)
{
	struct kf_worker *w;
	unsigned long flags;
	bool more;

	rcu_read_lock();
	do {
		kf_delay(KF_DELAY_PAIR_LOCK);
		raw_spin_lock_irqsave(&d->lock, flags);
		smp_mb__after_spinlock();			/* [D] */
		more = kf_processors_drain_locked(d);
		w = kf_pair_locked(d, kicked);
		if (kicked)
			kf_tick_start_locked(d);
		raw_spin_unlock_irqrestore(&d->lock, flags);
		kf_delay(KF_DELAY_PAIR_WAKE);
		if (w)
			wake_up_process(w->task);
		kicked = false;
	} while (w || more);
	rcu_read_unlock();
}

/**
 * kf_sched_dispatch() - let nobody sleep who could work
 * @d: the domain
 *
 * Context: any but below a run-queue lock; takes domain.lock.
 */
void kf_sched_dispatch(struct kf_domain *d)
{
	kf_pair_all(d, false);
}

/**
 * kf_sched_kick() - the same, because user space has queued something
 * @d: the domain
 *
 * Context: as kf_sched_dispatch().
 */
void kf_sched_kick(struct kf_domain *d)
{
	kf_pair_all(d, true);
}

/* An interactive fiber is queued: whoever dispatches next is to ask for it. */
static void kf_offer_front_locked(struct kf_domain *d)
{
	u32 i;

	kf_publish_locked(d);
	/* Who takes the offer looks at "front", and must find it there. */
	smp_wmb();
	for (i = 0; i < d->nr_looked; i++)
		kf_queue_offer(d->processors[i].block, KFIBER_OFFER_FRONT);
}

/*
 * Where a fiber goes that the kernel makes runnable: to an idle processor if
 * somebody is there to take it, else to the one it ran on, else to all. Those that go
 * before others, or after them, wait in queues of their own.
 */
static struct kf_worker *kf_place_locked(struct kf_domain *d, struct kf_fiber *f, u64 name)
{
	u32 hint = READ_ONCE(kf_fiber_block(f)->processor) % d->nr_processors;
	struct kf_processor *p = &d->processors[hint];
	u64 word = READ_ONCE(kf_fiber_block(f)->word), priority = kf_word_priority(word);
	struct kf_worker *w = NULL;

	if (word & KFIBER_PINNED)
		return kf_pin_ready_locked(d, f, name);
	if (d->nr_idle && d->nr_spares && kf_may_take_idle_locked(d)) {
		p = kf_choose_idle_locked(d, p);
		w = list_first_entry(&d->spares, struct kf_worker, link);
		kf_unlist_locked(w);
		kf_assign_locked(p, w);
		d->wakeups++;
	}
	if (priority)
		kf_apart_push_locked(d, f, name, priority);
	else
		kf_queue_ready_locked(d, p, f, name);
	if (!w) {
		kf_tick_start_locked(d);
		if (priority & KFIBER_INTERACTIVE)
			kf_offer_front_locked(d);
	}
	kf_publish_locked(d);
	return w;
}

/**
 * kf_sched_ready() - queue a fiber and see to it that somebody runs it
 * @d: the domain
 * @f: the fiber
 * @name: under which it was made runnable
 * @by: whom
 *
 * Context: any but below a run-queue lock; takes domain.lock.
 */
void kf_sched_ready(struct kf_domain *d, struct kf_fiber *f, u64 name, enum kf_waker by)
{
	bool watched, unwatched;
	struct kf_worker *w;
	unsigned long flags;

	rcu_read_lock();
	kf_delay(KF_DELAY_READY_LOCK);
	raw_spin_lock_irqsave(&d->lock, flags);
	if (by == KF_BY_TIMER)
		d->timers++;
	if (by != KF_BY_USER)
		kf_latency_stamp_locked(&d->woken, kf_fiber_block(f));
	watched = d->nr_watching;
	w = kf_place_locked(d, f, name);
	unwatched = watched && !d->nr_watching;
	raw_spin_unlock_irqrestore(&d->lock, flags);
	kf_delay(KF_DELAY_READY_WAKE);
	if (w)
		wake_up_process(w->task);
	rcu_read_unlock();
	/* The watcher has other work now: somebody else is to watch. */
	if (unwatched)
		kf_sched_dispatch(d);
}

/**
 * kf_sched_set_held() - say that fibers are held that may be woken meanwhile
 * @d: the domain
 * @held: from now on, or no longer
 *
 * Context: fiber_mutex, so only one at a time; takes domain.lock.
 */
void kf_sched_set_held(struct kf_domain *d, bool held)
{
	lockdep_assert_held(&d->fiber_mutex);
	if (!d->tells_quiet)
		return;
	raw_spin_lock_irq(&d->lock);
	d->held = held;
	raw_spin_unlock_irq(&d->lock);
	if (!held)
		kf_sched_dispatch(d);
}

static u64 kf_find_global(struct kf_domain *d, struct kf_processor *p)
{
	unsigned long flags;
	u64 name;

	if (!READ_ONCE(d->nr_global))
		return 0;
	kf_delay_sleep(KF_DELAY_GLOBAL_LOCK);
	raw_spin_lock_irqsave(&d->lock, flags);
	name = kf_global_take_locked(d, p);
	kf_publish_locked(d);
	raw_spin_unlock_irqrestore(&d->lock, flags);
	return name;
}

static u64 kf_find_apart(struct kf_domain *d, u64 (*pop_locked)(struct kf_domain *d))
{
	unsigned long flags;
	u64 name;

	kf_delay_sleep(KF_DELAY_GLOBAL_LOCK);
	raw_spin_lock_irqsave(&d->lock, flags);
	name = pop_locked(d);
	kf_publish_locked(d);
	raw_spin_unlock_irqrestore(&d->lock, flags);
	return name;
}

static u64 kf_find_front(struct kf_domain *d, struct kf_processor *p)
{
	bool others = READ_ONCE(d->nr_global) || READ_ONCE(d->nr_waiters) ||
		      kf_queue_has_work(p->block);

	return kf_front_goes(&p->front_run, READ_ONCE(d->nr_front), others) ?
	       kf_find_apart(d, kf_front_pop_locked) : 0;
}

static u64 kf_find_back(struct kf_domain *d)
{
	return READ_ONCE(d->nr_back) ? kf_find_apart(d, kf_back_pop_locked) : 0;
}

static u64 kf_find_steal(struct kf_domain *d, struct kf_processor *p)
{
	unsigned long flags;
	u32 i, stolen, n = READ_ONCE(d->nr_looked);

	for (i = 1; i < n; i++) {
		struct kf_processor *victim = kf_queue_victim(d, p, i, n);
		u64 name = kf_queue_steal(victim->block, p->block, &stolen);

		if (!name)
			continue;
		raw_spin_lock_irqsave(&d->lock, flags);
		d->steals += stolen;
		raw_spin_unlock_irqrestore(&d->lock, flags);
		return name;
	}
	return 0;
}

/**
 * kf_sched_find() - look for something to run
 * @d: the domain
 * @p: the caller's processor
 *
 * What others have for their next dispatch is left to them, see
 * kf_sched_steal_next().
 *
 * Context: the holder of @p, so the only producer of its local queue.
 * Return: a fiber's name, or 0.
 */
u64 kf_sched_find(struct kf_domain *d, struct kf_processor *p)
{
	u64 name = kf_find_front(d, p);

	if (!name)
		name = kf_queue_pop_inbox(p->block);
	if (!name)
		name = kf_find_global(d, p);
	if (!name)
		name = kf_queue_pop_own(p->block);
	if (!name)
		name = kf_find_steal(d, p);
	if (!name)
		name = kf_find_back(d);
	/* What was queued while there were some already was said to nobody. */
	if (READ_ONCE(d->nr_front))
		kf_queue_offer(p->block, KFIBER_OFFER_FRONT);
	return name;
}

/**
 * kf_sched_steal_next() - take the fiber that another would run next
 * @d: the domain
 * @p: the caller's processor
 * @watch: in, out: which processor was looked at before, NULL for none, and how
 *	many dispatches it had counted then
 *
 * Return: a fiber's name, or 0.
 */
u64 kf_sched_steal_next(struct kf_domain *d, struct kf_processor *p, struct kf_watch *watch)
{
	u64 name = 0;

	if (watch->processor && watch->processor != p)
		name = kf_watch_take(watch);
	if (!name)
		kf_watch_move_on(d, p, watch);
	return name;
}

/**
 * kf_sched_search() - count the caller among those who look for work
 * @w: the caller
 *
 * Context: takes domain.lock.
 * Return: false if enough others do: half of the processors.
 */
bool kf_sched_search(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	bool may;

	raw_spin_lock_irq(&d->lock);
	may = w->searching || kf_may_search_locked(d);
	if (may) {
		kf_set_searching_locked(w, true);
		kf_publish_locked(d);
	}
	raw_spin_unlock_irq(&d->lock);
	kf_delay_sleep(KF_DELAY_SEARCH);
	return may;
}

/*
 * The caller leaves NEXT. Return: whether somebody else has to look in its place:
 * others relied on it while it was counted, and what it was stealing was in no
 * queue for a moment, whether it was counted or not (selftests/models/idle.pml:
 * WRONG_UNCOUNTED_THIEF, WRONG_EINTR_SEARCHES).
 */
static bool kf_leave_next_locked(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;

	kf_set_searching_locked(w, false);
	return kf_needs_searcher_locked(d);
}

/**
 * kf_sched_interrupted() - leave NEXT without anything to run
 * @w: the caller; it may have a processor, and that something in its queues
 */
void kf_sched_interrupted(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	bool dispatch;

	kf_delay_sleep(KF_DELAY_INTERRUPTED);
	raw_spin_lock_irq(&d->lock);
	dispatch = kf_leave_next_locked(w);
	kf_publish_locked(d);
	raw_spin_unlock_irq(&d->lock);
	if (dispatch)
		kf_sched_dispatch(d);
}

/**
 * kf_sched_found() - leave NEXT with something to run
 * @w: the caller
 *
 * Return: flags for struct kfiber_next: whether a spare should be made.
 */
u32 kf_sched_found(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	bool dispatch;
	u32 flags = 0;

	kf_delay_sleep(KF_DELAY_FOUND);
	raw_spin_lock_irq(&d->lock);
	dispatch = kf_leave_next_locked(w);
	if (kf_limit_wants_spare(d->nr_spares, d->spares_pending, d->nr_workers, d->max_workers)) {
		d->spares_pending++;
		d->spare_maker = w;
		flags |= KFIBER_NEXT_NEED_SPARE;
	}
	kf_publish_locked(d);
	raw_spin_unlock_irq(&d->lock);
	if (dispatch)
		kf_sched_dispatch(d);
	return flags;
}

void kf_sched_spare_failed(struct kf_domain *d)
{
	raw_spin_lock_irq(&d->lock);
	d->spares_pending = kf_limit_spare_answered(d->spares_pending);
	raw_spin_unlock_irq(&d->lock);
}

/**
 * kf_sched_sleep() - enter a list to be given a processor
 * @w: the caller
 * @sleep: as what
 * @watching: the caller will wake up by itself and look again; spares only
 *
 * Gives up the processor that the caller has, to whoever waits, or to nobody. A
 * waiter takes an idle processor at once, unless others wait already.
 *
 * Context: may be given a processor, and be woken, before this returns.
 */
void kf_sched_sleep(struct kf_worker *w, enum kf_sleep sleep, bool watching)
{
	struct kf_domain *d = w->domain;
	struct kf_processor *p = NULL;
	bool arm = false;

	raw_spin_lock_irq(&d->lock);
	kf_set_searching_locked(w, false);
	/* A wait that a signal ended is not part of this one. */
	w->waits_since = 0;
	if (w->processor) {
		/* It ran what was queued: those who are back come first now. */
		if (sleep == KF_SPARE)
			d->waiters_turn = true;
		kf_unassign_locked(w);
	}
	if (sleep == KF_WAITER && kf_may_take_idle_locked(d))
		p = kf_choose_idle_locked(d, w->last);
	if (p) {
		kf_assign_locked(p, w);
		d->returns++;
	} else if (sleep != KF_SPARE) {
		kf_wait_locked(w, sleep);
		if (sleep == KF_WAITER)
			w->waits_since = kf_latency_now();
	} else {
		w->sleep = sleep;
		w->watching = watching;
		list_add(&w->link, &d->spares);
		d->nr_spares++;
		d->nr_watching += watching;
		d->sleeps++;
		arm = kf_surplus_arm_locked(d);
	}
	kf_publish_locked(d);
	raw_spin_unlock_irq(&d->lock);
	if (arm)
		kf_surplus_start(d);
	kf_delay_sleep(KF_DELAY_SLEEP_LOOK);
	kf_sched_dispatch(d);					/* [D] */
}

/* Leaves the list, if nobody has taken the caller from it. */
void kf_sched_wake_up(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;

	kf_delay_sleep(KF_DELAY_TAKEN_OFF);
	raw_spin_lock_irq(&d->lock);
	if (w->sleep != KF_AWAKE) {
		kf_unlist_locked(w);
		kf_publish_locked(d);
	}
	raw_spin_unlock_irq(&d->lock);
}

/**
 * kf_sched_goes_on() - the caller was given a processor, and is awake
 * @w: the caller
 *
 * Context: takes domain.lock.
 */
void kf_sched_goes_on(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;

	raw_spin_lock_irq(&d->lock);
	kf_note_latencies_locked(w);
	raw_spin_unlock_irq(&d->lock);
}

/**
 * kf_sched_take_idle() - take an idle processor if there is one
 * @w: the caller, who has none
 *
 * Context: sched_in; takes domain.lock.
 */
bool kf_sched_take_idle(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	struct kf_processor *p;
	unsigned long flags;

	kf_delay(KF_DELAY_TAKE_IDLE);
	raw_spin_lock_irqsave(&d->lock, flags);
	p = kf_may_take_idle_locked(d) ? kf_choose_idle_locked(d, w->last) : NULL;
	if (p) {
		kf_assign_locked(p, w);
		kf_note_latencies_locked(w);
		d->returns++;
		kf_publish_locked(d);
	}
	raw_spin_unlock_irqrestore(&d->lock, flags);
	return p;
}

/**
 * kf_sched_look_again() - a watcher's time is over: may it look?
 * @w: the caller, awake, without a processor
 *
 * Return: true with an idle processor; false if there is none: then nobody has
 * to look.
 */
bool kf_sched_look_again(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	struct kf_processor *p;

	raw_spin_lock_irq(&d->lock);
	p = kf_choose_idle_locked(d, w->last);
	if (p) {
		kf_assign_locked(p, w);
		kf_note_latencies_locked(w);
		kf_set_searching_locked(w, true);
		kf_publish_locked(d);
	}
	raw_spin_unlock_irq(&d->lock);
	smp_mb();						/* [E] */
	kf_delay_sleep(KF_DELAY_LOOK_AGAIN);
	return p;
}

/**
 * kf_sched_release() - give up the caller's processor because it sleeps
 * @w: the caller, who has one
 *
 * Context: sched_out, below the run-queue lock: wakes nobody.
 * Return: whether the processor is for somebody else: then the caller has
 * kf_sched_dispatch() called where that may be.
 */
bool kf_sched_release(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	struct kf_processor *p;
	unsigned long flags;
	bool wanted;

	kf_delay(KF_DELAY_RELEASE);
	raw_spin_lock_irqsave(&d->lock, flags);
	p = w->processor;
	p->handed = w;
	p->handed_since = kf_latency_now();
	kf_set_searching_locked(w, false);
	kf_unassign_locked(w);
	wanted = kf_is_wanted_locked(d, p);
	kf_publish_locked(d);
	raw_spin_unlock_irqrestore(&d->lock, flags);
	kf_delay(KF_DELAY_RELEASED);
	return wanted;
}

void kf_sched_attach(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;

	raw_spin_lock_irq(&d->lock);
	d->nr_workers++;
	d->workers_peak = max(d->workers_peak, d->nr_workers);
	d->spares_pending = kf_limit_spare_answered(d->spares_pending);
	raw_spin_unlock_irq(&d->lock);
}

/* Context: any but below a run-queue lock. The worker never comes back. */
void kf_sched_detach(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;

	kf_delay_sleep(KF_DELAY_DETACH);
	raw_spin_lock_irq(&d->lock);
	kf_set_searching_locked(w, false);
	if (w->sleep != KF_AWAKE)
		kf_unlist_locked(w);
	if (w->processor)
		kf_unassign_locked(w);
	d->nr_workers--;
	/* It may have made the spare, which has not come yet: then there is one too many. */
	if (d->spare_maker == w && d->spares_pending) {
		d->spares_pending = kf_limit_spare_answered(d->spares_pending);
		d->spare_maker = NULL;
	}
	kf_publish_locked(d);
	raw_spin_unlock_irq(&d->lock);
	kf_sched_dispatch(d);
	kf_deadlock_stir(d);
}

/**
 * kf_sched_shutdown() - end the domain: everybody is woken and told
 * @d: a domain that is set up
 *
 * Context: may sleep.
 */
void kf_sched_shutdown(struct kf_domain *d)
{
	struct kf_worker *w;

	raw_spin_lock_irq(&d->lock);
	WRITE_ONCE(d->shutdown, true);
	WRITE_ONCE(d->block->shutdown, 1);
	raw_spin_unlock_irq(&d->lock);
	kf_delay_sleep(KF_DELAY_SHUTDOWN_FLAG);

	/* Nobody enters the lists for good any more: see kf_worker_wait(). */
	rcu_read_lock();
	do {
		raw_spin_lock_irq(&d->lock);
		w = list_first_entry_or_null(&d->spares, struct kf_worker, link);
		if (!w)
			w = list_first_entry_or_null(&d->waiters, struct kf_worker, link);
		if (!w)
			w = list_first_entry_or_null(&d->waiters_front, struct kf_worker, link);
		if (!w)
			w = list_first_entry_or_null(&d->preempted, struct kf_worker, link);
		if (!w)
			w = list_first_entry_or_null(&d->behind, struct kf_worker, link);
		if (!w)
			w = list_first_entry_or_null(&d->pinned, struct kf_worker, link);
		if (w)
			kf_unlist_locked(w);
		raw_spin_unlock_irq(&d->lock);
		kf_delay(KF_DELAY_SHUTDOWN_WAKE);
		if (w)
			wake_up_process(w->task);
	} while (w);
	rcu_read_unlock();
	wake_up_all(&d->aside);
	kf_file_drop_all(d);
}

/**
 * kf_sched_setup() - make the header and the processors, all idle
 * @d: a domain with its sizes; not in use yet
 *
 * Return: 0, -ENOMEM: then nothing is left.
 */
int kf_sched_setup(struct kf_domain *d)
{
	u32 i;

	d->processors = kvcalloc(d->nr_processors, sizeof(*d->processors), GFP_KERNEL_ACCOUNT);
	d->block = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!d->processors || !d->block)
		goto fail;
	for (i = 0; i < d->nr_processors; i++) {
		struct kf_processor *p = &d->processors[i];

		p->index = i;
		p->block = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
		if (!p->block)
			goto fail;
		INIT_LIST_HEAD(&p->idle_link);
	}
	for (i = 0; i < d->nr_used; i++)
		list_add_tail(&d->processors[i].idle_link, &d->idle);
	d->nr_looked = d->nr_used;
	d->nr_idle = d->nr_used;
	d->block->abi = KFIBER_ABI_VERSION;
	d->block->processors = d->nr_processors;
	kf_publish_locked(d);
	kf_preempt_setup(d);
	return 0;

fail:
	kf_sched_destroy(d);
	return -ENOMEM;
}

/* Context: nobody else has the domain. May be called when setup failed. */
void kf_sched_destroy(struct kf_domain *d)
{
	u32 i;

	for (i = 0; d->processors && i < d->nr_processors; i++)
		free_page((unsigned long)d->processors[i].block);
	kvfree(d->processors);
	free_page((unsigned long)d->block);
	d->processors = NULL;
	d->block = NULL;
}
