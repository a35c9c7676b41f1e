// SPDX-License-Identifier: GPL-2.0
/*
 * How much of its stacks' memory a domain uses. The rest is what trimming may give
 * back, what a live fiber has above that but below its stack pointer, and what ended
 * fibers wait with to be joined or used again.
 *
 * Nothing is held up for it: it is a sum over fibers that go on meanwhile.
 */
#include <linux/sched.h>

#include "chunk.h"
#include "growth.h"
#include "internal.h"
#include "word.h"

/* Bytes in use of a stack with @pages, as far as the fiber's block tells. */
static u64 kf_usage_live(struct kf_domain *d, struct kf_fiber *f, u32 pages)
{
	u64 sp = READ_ONCE(kf_fiber_block(f)->sp);

	return kf_growth_used(sp - kf_slot_address(d, f), f->stack_shift, pages);
}

static void kf_usage_fiber(struct kf_domain *d, struct kf_fiber *f, struct kfiber_stats *args)
{
	u64 state = kf_word_state(READ_ONCE(kf_fiber_block(f)->word));
	u32 pages = atomic_read(&f->pages);

	if (!READ_ONCE(f->allocated) || state == KFIBER_FREE)
		args->stack_idle += (u64)pages << PAGE_SHIFT;
	else if (state != KFIBER_DEAD)
		args->stack_used += kf_usage_live(d, f, pages);
}

/*
 * The stack pointer in its block is that of the last time that it did not run.
 * Return: bytes to add for that.
 */
static u64 kf_usage_running(struct kf_domain *d, const struct kf_worker *w)
{
	u64 name = READ_ONCE(w->block->fiber);
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));
	u32 pages;

	if (!f || !kf_word_is(READ_ONCE(kf_fiber_block(f)->word), name, KFIBER_ACTIVE))
		return 0;
	pages = atomic_read(&f->pages);
	return ((u64)pages << PAGE_SHIFT) - kf_usage_live(d, f, pages);
}

/**
 * kf_usage() - sum up what stacks are used for
 * @d: the domain
 * @args: stack_used and stack_idle are added to
 *
 * Context: may sleep; takes no lock.
 */
void kf_usage(struct kf_domain *d, struct kfiber_stats *args)
{
	struct kf_fiber_chunk *chunk;
	unsigned long number;
	struct kf_worker *w;
	u32 i;

	xa_for_each(&d->chunks, number, chunk) {
		for (i = 0; i < KF_FIBERS_PER_PAGE; i++)
			if (atomic_read(&chunk->fibers[i].pages))
				kf_usage_fiber(d, &chunk->fibers[i], args);
		cond_resched();
	}
	rcu_read_lock();
	xa_for_each(&d->workers, number, w)
		args->stack_used += kf_usage_running(d, w);
	rcu_read_unlock();
}
