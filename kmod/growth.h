/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Slots, guards, and how much a stack grows in one fault: pure arithmetic, in
 * pages.
 */
#ifndef KF_GROWTH_H
#define KF_GROWTH_H

#include <linux/kfiber.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/types.h>

/* One fault puts in at most this many pages: 512 KiB, some 100 us of zeroing. */
#define KF_GROW_PAGES_MAX 128u

/**
 * struct kf_place - a page of an arena
 * @slot: which slot
 * @page: which page of it, 0 is the lowest
 */
struct kf_place {
	u32 slot;
	u32 page;
};

static inline u32 kf_stack_pages(u32 stack_shift)
{
	return 1u << (stack_shift - PAGE_SHIFT);
}

static inline u32 kf_guard_pages(u32 stack_shift)
{
	return max_t(u64, kfiber_guard_bytes(stack_shift) >> PAGE_SHIFT, 1);
}

/* @pgoff: pages from the arena's begin */
static inline struct kf_place kf_place(u64 pgoff, u32 stack_shift)
{
	return (struct kf_place){
		.slot = pgoff >> (stack_shift - PAGE_SHIFT),
		.page = pgoff & (kf_stack_pages(stack_shift) - 1),
	};
}

/**
 * struct kf_growth - the pages of a slot that one fault puts in
 * @first: the lowest
 * @count: how many; the topmost is the one that was touched
 */
struct kf_growth {
	u32 first;
	u32 count;
};

/**
 * kf_growth() - decide what to put in for a touched page
 * @page: the page touched, above the guard
 * @low: the lowest page there is, or the slot's length if there is none
 * @have: how many pages the slot has
 * @guard: pages of guard
 *
 * A stack that reaches below what it has gets as much again: few faults for
 * deep stacks, no waste beyond half for shallow ones. A page missing above @low
 * was jumped over by a large frame, or given back by the owner's madvise: it is
 * put in alone.
 */
static inline struct kf_growth kf_growth(u32 page, u32 low, u32 have, u32 guard)
{
	u32 want = page < low ? clamp(have, 1u, KF_GROW_PAGES_MAX) : 1;
	u32 count = min(want, page - guard + 1);

	return (struct kf_growth){ .first = page - count + 1, .count = count };
}

/* A mapping may begin with page @first of a slot: nothing is put in below that. */
static inline struct kf_growth kf_growth_clip(struct kf_growth g, u32 first)
{
	u32 below = first > g.first ? first - g.first : 0;

	return (struct kf_growth){ .first = g.first + below, .count = g.count - below };
}

#endif /* KF_GROWTH_H */
