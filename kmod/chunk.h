/* SPDX-License-Identifier: GPL-2.0 */
/* From a fiber's index to its parts, and from one part to the other. */
#ifndef KF_CHUNK_H
#define KF_CHUNK_H

#include <linux/container_of.h>

#include "internal.h"
#include "word.h"

/* Where in domain.chunks the fiber is. */
static inline u32 kf_chunk_number(u32 index)
{
	return index / KF_FIBERS_PER_PAGE;
}

static inline struct kf_fiber *kf_chunk_fiber(struct kf_fiber_chunk *chunk, u32 index)
{
	return &chunk->fibers[index % KF_FIBERS_PER_PAGE];
}

static inline struct kfiber_fiber_block *kf_fiber_block(struct kf_fiber *f)
{
	u32 i = f->index % KF_FIBERS_PER_PAGE;
	struct kf_fiber_chunk *chunk = container_of(f - i, struct kf_fiber_chunk, fibers[0]);

	return &chunk->blocks[i];
}

/* What a fiber's block says that it is called now. */
static inline u64 kf_fiber_name(struct kf_fiber *f)
{
	return kf_name(kf_name_generation(READ_ONCE(kf_fiber_block(f)->word)), f->index);
}

#endif /* KF_CHUNK_H */
