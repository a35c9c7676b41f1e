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

/* In a slot whose owners go deep: 2 MiB. */
#define KF_GROW_PAGES_DEEP 512u

/* Below the stack pointer that a function may use without moving it: x86-64. */
#define KF_RED_ZONE 128u

/*
 * And that the kernel may write to when it makes a signal frame: with all of
 * AVX-512 and AMX it is 12 KiB.
 */
#define KF_SIGNAL_FRAME (16u << 10)

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

/**
 * kf_guard() - the guard of a class in a domain
 * @stack_shift: the class
 * @asked: bytes that SETUP asked for; 0: the default
 *
 * Return: pages, at least one and at most half of the slot.
 */
static inline u32 kf_guard(u32 stack_shift, u64 asked)
{
	if (!asked)
		return kf_guard_pages(stack_shift);
	asked = min(asked, 1ull << (stack_shift - 1));
	return (asked + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* Where in a file a slot is. */
static inline u64 kf_slot_offset(u32 stack_shift, u32 slot)
{
	return KFIBER_MAP_STACKS | (u64)stack_shift << KFIBER_MAP_STACKS_SHIFT |
	       (u64)slot << stack_shift;
}

/* The lowest page that a stack may have; @limit: pages, 0 for no limit but the guard */
static inline u32 kf_growth_floor(u32 stack_shift, u32 guard, u32 limit)
{
	u32 pages = kf_stack_pages(stack_shift);

	return limit && limit < pages ? max(guard, pages - limit) : guard;
}

/*
 * The lowest page that is needed by a fiber that is parked with its stack
 * pointer @sp bytes above its slot's begin; 0 when that is not in its slot.
 */
static inline u32 kf_growth_keep(u64 sp, u32 stack_shift)
{
	if (sp < KF_RED_ZONE || sp > 1ull << stack_shift)
		return 0;
	return (sp - KF_RED_ZONE) >> PAGE_SHIFT;
}

/*
 * The bytes in use of a stack with @pages, of a fiber whose stack pointer is @sp bytes
 * above its slot's begin: what is not there is not in use. Where its stack pointer is
 * elsewhere, nobody knows.
 */
static inline u64 kf_growth_used(u64 sp, u32 stack_shift, u32 pages)
{
	u64 there = (u64)pages << PAGE_SHIFT;

	return sp <= 1ull << stack_shift ? min(there, (1ull << stack_shift) - sp) : there;
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
 * kf_growth_want() - how much a stack grows by
 * @have: how many pages it has
 * @history: how many its earlier owners left, see kf_growth_history()
 * @start: how many its owner wishes to begin with; 0: no wish
 *
 * As much again as it has: few faults for deep stacks, no waste beyond half for
 * shallow ones. A stack that was deep before and was trimmed gets there faster.
 */
static inline u32 kf_growth_want(u32 have, u32 history, u32 start)
{
	u32 most = history >= KF_GROW_PAGES_MAX ? KF_GROW_PAGES_DEEP : KF_GROW_PAGES_MAX;

	if (!have)
		return clamp(start, 1u, KF_GROW_PAGES_MAX);
	return clamp(max(have, history), 1u, most);
}

/*
 * What is remembered of a stack that had @pages when it was trimmed: a quarter,
 * so that the next owner gets there in three faults, or wastes no more than that;
 * and half of what was remembered, so that it fades.
 */
static inline u32 kf_growth_history(u32 history, u32 pages)
{
	return max(history / 2, pages / 4);
}

/**
 * kf_growth() - decide what to put in for a touched page
 * @page: the page touched, not below @floor
 * @low: the lowest page there is, or the slot's length if there is none
 * @want: how much to grow by
 * @floor: the lowest page that there may be
 *
 * A stack grows when it reaches below what it has. A page missing above @low
 * was jumped over by a large frame, or given back by the owner's madvise: it is
 * put in alone.
 */
static inline struct kf_growth kf_growth(u32 page, u32 low, u32 want, u32 floor)
{
	u32 count = min(page < low ? want : 1, page - floor + 1);

	return (struct kf_growth){ .first = page - count + 1, .count = count };
}

/* A mapping may begin with page @first of a slot: nothing is put in below that. */
static inline struct kf_growth kf_growth_clip(struct kf_growth g, u32 first)
{
	u32 below = first > g.first ? first - g.first : 0;

	return (struct kf_growth){ .first = g.first + below, .count = g.count - below };
}

#endif /* KF_GROWTH_H */
