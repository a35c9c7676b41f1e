/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a fiber waits for, in one word of its control block: an address, and in the
 * highest byte, which user space's addresses do not use, what lies there.
 */
#ifndef KF_OBJECT_H
#define KF_OBJECT_H

#include <stdint.h>

#define KF_OBJECT_SHIFT 56

enum kf_object_kind {
	KF_OBJECT_FIBER,	/* the control block of one that is joined */
	KF_OBJECT_MUTEX,
	KF_OBJECT_RWLOCK,
	KF_OBJECT_COND,
	KF_OBJECT_SEM,
	KF_OBJECT_WAITGROUP,
	KF_OBJECT_ONCE,
	KF_OBJECT_CHAN,
	KF_OBJECT_SELECT,
	KF_OBJECT_TIMER,
	KF_OBJECT_CTX,
	KF_OBJECT_FILE,		/* a descriptor's number */
	KF_OBJECT_LATCH,	/* a queue of one of these, for a moment */
};

static inline uint64_t kf_object(enum kf_object_kind kind, const void *at)
{
	return (uint64_t)kind << KF_OBJECT_SHIFT | (uintptr_t)at;
}

static inline enum kf_object_kind kf_object_kind(uint64_t object)
{
	return (enum kf_object_kind)(object >> KF_OBJECT_SHIFT);
}

static inline uint64_t kf_object_address(uint64_t object)
{
	return object & ((1ull << KF_OBJECT_SHIFT) - 1);
}

#endif /* KF_OBJECT_H */
