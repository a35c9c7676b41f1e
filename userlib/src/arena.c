// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Where stacks are. The addresses for all slots of a class are reserved at once,
 * so that a stack's follows from its number. The device is mapped there piece by
 * piece, as slots are given out: whoever walks through all that is mapped, as a
 * core dump does page by page, finds no more than twice what was used. Each
 * piece is as large as those before it together, so a million stacks are 17
 * mappings.
 *
 * The lock is taken only where there are no workers yet or in critical sections:
 * whoever has it keeps its processor, so that others may wait for it with theirs.
 */
#include <errno.h>
#include <sys/mman.h>

#include "internal.h"

/* Slots of the first piece: what a pool gets at a time. */
#define KF_ARENA_FIRST KF_POOL_REFILL

static uint32_t kf_arena_slots(const struct kf_domain *d, unsigned int shift)
{
	return kfiber_arena_slots(shift, d->max_fibers);
}

/* Of all slots of a class, mapped or not. */
size_t kf_arena_bytes(const struct kf_domain *d, unsigned int shift)
{
	return (size_t)kf_arena_slots(d, shift) << shift;
}

static int kf_arena_reserve(struct kf_domain *d, struct kf_arena *arena, unsigned int shift)
{
	void *base = mmap(NULL, kf_arena_bytes(d, shift), PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -ENOMEM;
	atomic_store_explicit(&arena->base, (uintptr_t)base, memory_order_relaxed);
	return 0;
}

/* Maps the next piece. */
static int kf_arena_extend(struct kf_domain *d, struct kf_arena *arena, unsigned int shift)
{
	uint32_t first = atomic_load_explicit(&arena->mapped, memory_order_relaxed);
	uint32_t end = first ? 2 * first : KF_ARENA_FIRST;
	uint64_t offset = KFIBER_MAP_STACKS | (uint64_t)shift << KFIBER_MAP_STACKS_SHIFT |
			  (uint64_t)first << shift;
	void *at = (void *)(arena->base + ((uintptr_t)first << shift));

	if (end > kf_arena_slots(d, shift))
		end = kf_arena_slots(d, shift);
	if (mmap(at, (size_t)(end - first) << shift, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_FIXED, d->fd, (off_t)offset) == MAP_FAILED)
		return -ENOMEM;
	atomic_store_explicit(&arena->mapped, end, memory_order_release);
	return 0;
}

/**
 * kf_arena_reach() - make sure that a slot is mapped
 * @d: the domain
 * @shift: the stack's class
 * @slot: which; the module has given it out
 *
 * Context: a critical section, or no workers.
 * Return: 0, -ENOMEM.
 */
int kf_arena_reach(struct kf_domain *d, unsigned int shift, uint32_t slot)
{
	struct kf_arena *arena = &d->arenas[shift - KFIBER_STACK_SHIFT_MIN];
	int err = 0;

	if (slot < atomic_load_explicit(&arena->mapped, memory_order_acquire))
		return 0;
	pthread_mutex_lock(&d->arena_lock);
	if (!arena->base)
		err = kf_arena_reserve(d, arena, shift);
	while (!err && slot >= atomic_load_explicit(&arena->mapped, memory_order_relaxed))
		err = kf_arena_extend(d, arena, shift);
	pthread_mutex_unlock(&d->arena_lock);
	return err;
}

void kf_arenas_unmap(struct kf_domain *d)
{
	unsigned int i;

	for (i = 0; i < KF_STACK_CLASSES; i++)
		if (d->arenas[i].base)
			munmap((void *)d->arenas[i].base,
			       kf_arena_bytes(d, i + KFIBER_STACK_SHIFT_MIN));
}
