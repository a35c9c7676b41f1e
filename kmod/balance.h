/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Who gets an idle processor, and whether anybody is to be called: decisions
 * that change nothing. sched.c says why they are right.
 */
#ifndef KF_BALANCE_H
#define KF_BALANCE_H

#include <linux/list.h>
#include <linux/types.h>

#include "internal.h"
#include "priority.h"
#include "queue.h"

/* Who is to have an idle processor. */
enum kf_turn {
	KF_TURN_NOBODY,
	KF_TURN_WAITER,
	KF_TURN_SPARE,
	KF_TURN_PREEMPTED,
	KF_TURN_BEHIND,
};

/* Is there anything for a spare to do, but in the background? A few cache lines each. */
static inline bool kf_queued_locked(struct kf_domain *d)
{
	u32 i;

	if (d->nr_front || d->nr_global)
		return true;
	for (i = 0; i < d->nr_looked; i++) {
		struct kf_processor *p = &d->processors[i];

		if (kf_queue_has_queued(p->block))
			return true;
		if (READ_ONCE(p->block->next) && !(p->worker && d->nr_watching))
			return true;
	}
	return false;
}

/* Is there anything at all? */
static inline bool kf_visible_locked(struct kf_domain *d)
{
	return d->nr_back || kf_queued_locked(d);
}

/* Does any worker want to go on with its fiber? */
static inline bool kf_any_waits_locked(const struct kf_domain *d)
{
	return d->nr_waiters || d->nr_preempted;
}

/*
 * Waiters and spares take turns, so that neither blocked fibers that are back
 * nor queued ones are held up by the others; the preempted come when there is
 * neither, or they have waited for long; and after all these what is in the
 * background. @kicked: user space says that there is work.
 */
static inline enum kf_turn kf_turn_locked(struct kf_domain *d, bool kicked)
{
	bool able = d->nr_spares && !d->nr_searching;
	bool spare;

	if (!d->nr_idle || !(kf_any_waits_locked(d) || d->nr_behind || d->nr_spares))
		return KF_TURN_NOBODY;
	if (d->nr_preempted && d->preempted_turn)
		return KF_TURN_PREEMPTED;
	spare = able && (kicked || kf_queued_locked(d));
	if (d->nr_waiters && (d->waiters_turn || !spare))
		return KF_TURN_WAITER;
	if (spare)
		return KF_TURN_SPARE;
	if (d->nr_preempted)
		return KF_TURN_PREEMPTED;
	if (d->nr_behind)
		return KF_TURN_BEHIND;
	return able && d->nr_back ? KF_TURN_SPARE : KF_TURN_NOBODY;
}

/* An idle processor for a worker: its last one if it can be. */
static inline struct kf_processor *kf_choose_idle_locked(struct kf_domain *d,
							 struct kf_processor *last)
{
	if (last && !list_empty(&last->idle_link))
		return last;
	return list_first_entry_or_null(&d->idle, struct kf_processor, idle_link);
}

/*
 * May who comes just now have an idle processor? Between the loss of a processor and the look
 * that follows it those who wait are still in their lists: it is theirs.
 */
static inline bool kf_may_take_idle_locked(const struct kf_domain *d)
{
	return !d->nr_waiters && !(d->nr_preempted && d->preempted_turn);
}

/* An idle processor for a spare: one with work of its own if there is one. */
static inline struct kf_processor *kf_choose_busy_idle_locked(struct kf_domain *d)
{
	struct kf_processor *p;

	list_for_each_entry(p, &d->idle, idle_link)
		if (kf_queue_has_work(p->block))
			return p;
	return list_first_entry_or_null(&d->idle, struct kf_processor, idle_link);
}

/* May one more look for work? Half of the processors are enough. */
static inline bool kf_may_search_locked(const struct kf_domain *d)
{
	return d->nr_searching < d->nr_used / 2;
}

/* Does anybody want a processor but who has it, and need not wait until it is idle? */
static inline bool kf_is_awaited_locked(const struct kf_domain *d, const struct kf_processor *p)
{
	return kf_any_waits_locked(d) || d->nr_front || d->nr_global ||
	       kf_queue_has_work(p->block);
}

/* Is anybody to look in the place of one who has stopped searching? */
static inline bool kf_needs_searcher_locked(const struct kf_domain *d)
{
	return d->nr_idle && !d->nr_searching &&
	       (d->nr_spares || d->nr_behind || kf_any_waits_locked(d));
}

/*
 * Is @p, just given up, for somebody else? When it was the only busy one, then
 * only for what is visible already.
 */
static inline bool kf_is_wanted_locked(const struct kf_domain *d, const struct kf_processor *p)
{
	return kf_is_awaited_locked(d, p) || kf_back_waits_locked(d) ||
	       d->nr_idle < d->nr_used + d->nr_leaving;
}

/* Is it out of use, and to be left by whoever holds it? */
static inline bool kf_is_surplus(const struct kf_domain *d, const struct kf_processor *p)
{
	return p->index >= READ_ONCE(d->nr_used);
}

/* All that processors have switched: whether it has changed is what matters. */
static inline u64 kf_switches_locked(const struct kf_domain *d)
{
	u64 switches = 0;
	u32 i;

	for (i = 0; i < d->nr_processors; i++)
		switches += READ_ONCE(d->processors[i].block->switches);
	return switches;
}

/* Is every worker asleep, a spare or pinned: none runs, blocks elsewhere or wants to go on? */
static inline bool kf_all_sleep_locked(struct kf_domain *d)
{
	return d->nr_spares + d->nr_pinned == d->nr_workers && !kf_visible_locked(d);
}

/* Workers that neither hold a processor nor sleep in the module. */
static inline u32 kf_elsewhere_locked(const struct kf_domain *d)
{
	u32 busy = d->nr_used + d->nr_leaving - d->nr_idle;

	return d->nr_workers - busy - d->nr_spares - d->nr_waiters - d->nr_preempted -
	       d->nr_behind - d->nr_pinned;
}

/* Has it been told that all sleep, and has no fiber run since? */
static inline bool kf_quiet_is_told_locked(const struct kf_domain *d)
{
	return kf_switches_locked(d) == d->quiet_switches;
}

/*
 * Does nothing happen any more, and has that not been told yet? All sleep, with one that
 * can be told; so nothing is queued either, unless by a trimmer, who does that in the end
 * (kf_word_hold()). And nothing is waited for outside of the domain.
 */
static inline bool kf_is_quiet_locked(struct kf_domain *d)
{
	return d->nr_spares && kf_all_sleep_locked(d) && !d->held && !atomic_read(&d->nr_file_waits) &&
	       !kf_quiet_is_told_locked(d);
}

#endif /* KF_BALANCE_H */
