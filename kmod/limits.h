/* SPDX-License-Identifier: GPL-2.0 */
/* What a domain may have: pure arithmetic. */
#ifndef KF_LIMITS_H
#define KF_LIMITS_H

#include <linux/atomic.h>
#include <linux/kfiber.h>
#include <linux/limits.h>
#include <linux/math.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/types.h>

#include "slice.h"

static inline bool kf_slack_valid(u64 ns)
{
	return ns <= KFIBER_SLACK_MAX || ns == KFIBER_SLACK_NONE;
}

/* @ns: as user space says it; @usual: the calling thread's */
static inline u64 kf_slack_ns(u64 ns, u64 usual)
{
	if (ns == KFIBER_SLACK_NONE)
		return 0;
	return ns ?: min(usual, KFIBER_SLACK_MAX);
}

static inline bool kf_idle_valid(u64 ns)
{
	return !ns || ns == KFIBER_IDLE_NEVER || (ns >= KFIBER_IDLE_MIN && ns <= KFIBER_IDLE_MAX);
}

/* @ns: as user space says it. Return: 0 for ever */
static inline u64 kf_idle_ns(u64 ns)
{
	if (ns == KFIBER_IDLE_NEVER)
		return 0;
	return ns ?: KFIBER_IDLE_DEFAULT;
}

/* Can @processors of @max be in use? */
static inline bool kf_processors_valid(u32 processors, u32 max)
{
	return processors && processors <= max && max <= KFIBER_PROCESSORS_MAX;
}

/* Can a domain be made with these sizes? */
static inline bool kf_limits_valid(const struct kfiber_setup *args)
{
	if (!kf_processors_valid(args->processors, args->processors_max ?: args->processors))
		return false;
	if (!args->max_workers || args->max_workers > KFIBER_WORKERS_MAX)
		return false;
	if (!args->max_fibers || args->max_fibers > KFIBER_FIBERS_MAX)
		return false;
	if (!kf_slice_valid(args->slice_ns) || !kf_slack_valid(args->slack_ns) ||
	    !kf_idle_valid(args->idle_ns))
		return false;
	return !args->stack_bytes_max || args->stack_bytes_max >= PAGE_SIZE;
}

/* @bytes: as user space says it, 0 for no limit */
static inline long kf_limit_stack_pages(u64 bytes)
{
	return bytes ? min_t(u64, bytes >> PAGE_SHIFT, LONG_MAX) : LONG_MAX;
}

/* May there be a fiber that has never been, with a slot that has never been used? */
static inline bool kf_limit_allows_fiber(u32 nr_fibers, u32 max_fibers, u32 nr_slots,
					 u32 stack_shift)
{
	return nr_fibers < max_fibers && nr_slots < kfiber_arena_slots(stack_shift, max_fibers);
}

/* Is there no spare, none on its way, and room for one? */
static inline bool kf_limit_wants_spare(u32 nr_spares, u32 pending, u32 nr_workers,
					u32 max_workers)
{
	return !nr_spares && !pending && nr_workers < max_workers;
}

/* One has come, or could not be made. Nobody need have asked: user space says so. */
static inline u32 kf_limit_spare_answered(u32 pending)
{
	return pending ? pending - 1 : 0;
}

/* Counts @n more. Return: false when that is beyond the limit: then it counts nothing. */
static inline bool kf_charge(atomic_long_t *count, long limit, u32 n)
{
	if (atomic_long_add_return(n, count) <= limit)
		return true;
	atomic_long_sub(n, count);
	return false;
}

/* Is @used @percent or more of @max? */
static inline bool kf_reaches(unsigned long used, unsigned long max, u32 percent)
{
	return used >= mult_frac(max, percent, 100);
}

#endif /* KF_LIMITS_H */
