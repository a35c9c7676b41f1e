/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a mapping of the device shows: pure arithmetic on its offset, which is
 * anybody's to choose.
 */
#ifndef KF_MAP_H
#define KF_MAP_H

#include <linux/kfiber.h>
#include <linux/mm.h>
#include <linux/types.h>

#define KF_MAP_MASK ((1ull << KFIBER_MAP_STACKS_SHIFT) - 1)

/**
 * struct kf_region - what lies at an offset
 * @base: KFIBER_MAP_*
 * @page: which page of it
 */
struct kf_region {
	u64 base;
	u64 page;
};

static inline struct kf_region kf_map_region(u64 offset)
{
	return (struct kf_region){
		.base = offset & ~KF_MAP_MASK,
		.page = (offset & KF_MAP_MASK) >> PAGE_SHIFT,
	};
}

/* The class of the arena at an offset that lies in one. */
static inline u32 kf_map_stack_shift(u64 offset)
{
	return (offset - KFIBER_MAP_STACKS) >> KFIBER_MAP_STACKS_SHIFT;
}

/* Is this a part of the header, or of one table? @length: not 0 */
static inline bool kf_map_is_shared(u64 offset, u64 length)
{
	u64 base = kf_map_region(offset).base;

	return base == kf_map_region(offset + length - 1).base && base <= KFIBER_MAP_FIBERS;
}

/* Is this a part of one arena? */
static inline bool kf_map_is_arena(u64 offset, u64 length)
{
	u32 shift;

	if (offset < KFIBER_MAP_STACKS)
		return false;
	shift = kf_map_stack_shift(offset);
	if (shift < KFIBER_STACK_SHIFT_MIN || shift > KFIBER_STACK_SHIFT_MAX)
		return false;
	return (offset & KF_MAP_MASK) + length <= 1ull << KFIBER_ARENA_SHIFT_MAX;
}

#endif /* KF_MAP_H */
