// SPDX-License-Identifier: GPL-2.0
/*
 * Control blocks: made in batches, pooled by stack class, never freed before
 * their domain. A fiber keeps its index and its slot for life, so what looks
 * at either, a late timer or a page fault, finds something that is there.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "chunk.h"
#include "delay.h"
#include "growth.h"
#include "internal.h"
#include "limits.h"
#include "word.h"

/* Context: any. Return: NULL for an index that was never given out. */
struct kf_fiber *kf_fiber_find(struct kf_domain *d, u32 index)
{
	struct kf_fiber_chunk *chunk = xa_load(&d->chunks, kf_chunk_number(index));
	struct kf_fiber *f;

	if (!chunk)
		return NULL;
	f = kf_chunk_fiber(chunk, index);
	return READ_ONCE(f->allocated) ? f : NULL;
}

/* What a chunk costs, its blocks included. */
#define KF_CHUNK_PAGES (1 + DIV_ROUND_UP(sizeof(struct kf_fiber_chunk), PAGE_SIZE))

/* kmalloc() would round a chunk up to a power of two: with a million fibers 70 MB. */
static struct kmem_cache *kf_chunk_cache;

int kf_fiber_init(void)
{
	kf_chunk_cache = kmem_cache_create("kfiber_chunk", sizeof(struct kf_fiber_chunk), 0,
					   SLAB_ACCOUNT, NULL);
	return kf_chunk_cache ? 0 : -ENOMEM;
}

/* Context: all domains are freed. */
void kf_fiber_exit(void)
{
	kmem_cache_destroy(kf_chunk_cache);
}

/* Context: fiber_mutex. */
static struct kf_fiber_chunk *kf_chunk_create(struct kf_domain *d, u32 first)
{
	struct kf_fiber_chunk *chunk = kmem_cache_zalloc(kf_chunk_cache, GFP_KERNEL);
	int err = -ENOMEM;
	u32 i;

	if (!chunk)
		return ERR_PTR(err);
	chunk->blocks = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!chunk->blocks)
		goto free_chunk;
	err = kf_account_tables(d, KF_CHUNK_PAGES);
	if (err)
		goto free_blocks;
	for (i = 0; i < KF_FIBERS_PER_PAGE; i++) {
		chunk->fibers[i].index = first + i;
		chunk->fibers[i].domain = d;
		kf_timer_init(&chunk->fibers[i]);
	}
	if (xa_err(xa_store(&d->chunks, kf_chunk_number(first), chunk, GFP_KERNEL)))
		goto unaccount;
	return chunk;

unaccount:
	err = -ENOMEM;
	kf_unaccount_tables(d, KF_CHUNK_PAGES);
free_blocks:
	free_page((unsigned long)chunk->blocks);
free_chunk:
	kmem_cache_free(kf_chunk_cache, chunk);
	return ERR_PTR(err);
}

/*
 * A fiber that has never been, with a slot that has never been used.
 * Context: fiber_mutex.
 */
static struct kf_fiber *kf_fiber_create_locked(struct kf_domain *d, u32 stack_shift)
{
	struct kf_arena *arena = &d->arenas[stack_shift - KFIBER_STACK_SHIFT_MIN];
	u32 index = d->nr_fibers;
	struct kfiber_fiber_block *block;
	struct kf_fiber_chunk *chunk;
	struct kf_fiber *f;

	if (!kf_limit_allows_fiber(index, d->max_fibers, arena->nr_slots, stack_shift))
		return ERR_PTR(-EAGAIN);
	chunk = xa_load(&d->chunks, kf_chunk_number(index));
	if (!chunk)
		chunk = kf_chunk_create(d, index);
	if (IS_ERR(chunk))
		return ERR_CAST(chunk);
	f = kf_chunk_fiber(chunk, index);
	f->stack_shift = stack_shift;
	f->slot = arena->nr_slots;
	f->low_page = kf_stack_pages(stack_shift);

	block = kf_fiber_block(f);
	WRITE_ONCE(block->word, kf_name(1, 0) | KFIBER_FREE);
	WRITE_ONCE(block->armed, KFIBER_NEVER);
	WRITE_ONCE(block->deadline, KFIBER_NEVER);
	WRITE_ONCE(block->stack_shift, stack_shift);
	WRITE_ONCE(block->slot, f->slot);

	if (xa_err(xa_store(&arena->slots, f->slot, f, GFP_KERNEL)))
		return ERR_PTR(-ENOMEM);
	arena->nr_slots++;
	d->nr_fibers++;
	return f;
}

static struct kf_arena *kf_fiber_arena(struct kf_domain *d, const struct kf_fiber *f)
{
	return &d->arenas[f->stack_shift - KFIBER_STACK_SHIFT_MIN];
}

static void kf_pool_put_locked(struct kf_domain *d, struct kf_fiber *f)
{
	struct kf_arena *arena = kf_fiber_arena(d, f);

	f->pooled = atomic_read(&f->pages);
	d->pool_pages += f->pooled;
	list_add(&f->pool_link, f->pooled ? &arena->warm : &arena->cold);
}

static void kf_pool_remove_locked(struct kf_domain *d, struct kf_fiber *f)
{
	list_del(&f->pool_link);
	d->pool_pages -= f->pooled;
}

/* Takes what was used last, but what has memory before what has none. */
static struct kf_fiber *kf_pool_get_locked(struct kf_domain *d, struct kf_arena *arena)
{
	struct kf_fiber *f;

	if (!list_empty(&arena->warm)) {
		f = list_first_entry(&arena->warm, struct kf_fiber, pool_link);
		d->pool_warm++;
	} else if (!list_empty(&arena->cold)) {
		f = list_first_entry(&arena->cold, struct kf_fiber, pool_link);
		d->pool_cold++;
	} else {
		return NULL;
	}
	kf_pool_remove_locked(d, f);
	return f;
}

/**
 * kf_fiber_pool_take_locked() - take a stack out of the pool for a while, to trim it
 * @d: the domain
 * @f: a fiber that is not allocated
 *
 * Context: fiber_mutex. kf_fiber_pool_return_locked() must follow soon.
 */
void kf_fiber_pool_take_locked(struct kf_domain *d, struct kf_fiber *f)
{
	kf_pool_remove_locked(d, f);
	f->in_hand = true;
	kf_fiber_arena(d, f)->in_hand++;
}

/* It may have less memory than it had. Who waits for one is told by the caller. */
void kf_fiber_pool_return_locked(struct kf_domain *d, struct kf_fiber *f)
{
	f->in_hand = false;
	kf_fiber_arena(d, f)->in_hand--;
	kf_pool_put_locked(d, f);
	WRITE_ONCE(d->hand_puts, d->hand_puts + 1);
}

/* Return: -EBUSY: each that is free is being trimmed. */
static struct kf_fiber *kf_fiber_get_locked(struct kf_domain *d, u32 stack_shift)
{
	struct kf_arena *arena = &d->arenas[stack_shift - KFIBER_STACK_SHIFT_MIN];
	struct kf_fiber *f = kf_pool_get_locked(d, arena);

	if (!f && arena->in_hand)
		return ERR_PTR(-EBUSY);
	if (!f) {
		f = kf_fiber_create_locked(d, stack_shift);
		if (IS_ERR(f))
			return f;
		d->pool_made++;
	}
	f->seen_sp = 0;
	f->faults = 0;
	f->refused = 0;
	f->refusal = KFIBER_REFUSED_NONE;
	WRITE_ONCE(f->allocated, true);
	d->nr_allocated++;
	d->fibers_peak = max(d->fibers_peak, d->nr_allocated);
	return f;
}

static void kf_fiber_put_locked(struct kf_domain *d, struct kf_fiber *f)
{
	u64 *word = &kf_fiber_block(f)->word;

	WRITE_ONCE(f->allocated, false);
	smp_mb();						/* [G] of file.c */
	/* It is not in a pool of user space any more, and will be told from those when it is. */
	WRITE_ONCE(*word, READ_ONCE(*word) & ~KFIBER_POOLED);
	kf_file_drop(f);
	d->nr_allocated--;
	kf_pool_put_locked(d, f);
	if (f->pooled)
		kf_trim_grown(d);
	if (d->pool_pages > d->pool_pages_max)
		kf_trim_pool(d);
}

/*
 * @puts: out: domain.hand_puts.
 * Return: how many there are; -EAGAIN, -ENOMEM; -EBUSY: see kf_fiber_get_locked(); -EDQUOT: the
 * user has too much.
 */
static int kf_fibers_try_alloc(struct kf_domain *d, u32 stack_shift, u64 *names, u32 count,
			       u32 *puts)
{
	int err = 0;
	u32 done;

	mutex_lock(&d->fiber_mutex);
	for (done = 0; done < count; done++) {
		struct kf_fiber *f = kf_fiber_get_locked(d, stack_shift);

		if (IS_ERR(f)) {
			err = PTR_ERR(f);
			break;
		}
		names[done] = kf_fiber_name(f);
	}
	*puts = d->hand_puts;
	mutex_unlock(&d->fiber_mutex);
	return done ? done : err;
}

/* Likewise, when what is being trimmed is back. Return: also -EINTR: the thread is killed. */
static int kf_fibers_wait_alloc(struct kf_domain *d, u32 stack_shift, u64 *names, u32 count)
{
	int done;
	u32 puts;

	while ((done = kf_fibers_try_alloc(d, stack_shift, names, count, &puts)) == -EBUSY)
		if (wait_event_killable(d->hand_wait, READ_ONCE(d->hand_puts) != puts))
			return -EINTR;
	return done;
}

/**
 * kf_fibers_alloc() - take control blocks from the pool, or make them
 * @d: the domain
 * @stack_shift: the class of their stacks
 * @names: out: their names
 * @count: how many
 *
 * Context: may sleep; takes mmap_lock, fiber_mutex.
 * Return: how many there are, at least 1; -EAGAIN at a limit, -ENOMEM, -EINTR (killed).
 */
int kf_fibers_alloc(struct kf_domain *d, u32 stack_shift, u64 *names, u32 count)
{
	int done = kf_fibers_wait_alloc(d, stack_shift, names, count);
	bool trimmed;

	if (done != -EDQUOT)
		return done;
	mmap_read_lock(current->mm);
	trimmed = kf_trim_limit(d);
	mmap_read_unlock(current->mm);
	if (trimmed)
		done = kf_fibers_wait_alloc(d, stack_shift, names, count);
	return done == -EDQUOT ? -EAGAIN : done;
}

static bool kf_fiber_free_locked(struct kf_domain *d, u64 name)
{
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));

	if (!f || !kf_word_is(READ_ONCE(kf_fiber_block(f)->word), name, KFIBER_FREE))
		return false;
	kf_delay_sleep(KF_DELAY_FREE);
	kf_fiber_put_locked(d, f);
	return true;
}

/**
 * kf_fibers_free() - give control blocks back to the pool
 * @d: the domain
 * @names: their names
 * @count: how many
 *
 * Stops at the first that is not user space's to give.
 *
 * Context: may sleep; takes fiber_mutex.
 * Return: how many were taken.
 */
u32 kf_fibers_free(struct kf_domain *d, const u64 *names, u32 count)
{
	u32 done;

	mutex_lock(&d->fiber_mutex);
	for (done = 0; done < count; done++)
		if (!kf_fiber_free_locked(d, names[done]))
			break;
	mutex_unlock(&d->fiber_mutex);
	return done;
}

static void kf_fiber_wake(struct kf_domain *d, u64 name)
{
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));

	if (f && kf_word_wake(&kf_fiber_block(f)->word, name, KFIBER_WAKE))
		kf_sched_ready(d, f, name, KF_BY_MODULE);
}

/*
 * Nobody will join it: its next life begins here, in the kernel's pool.
 * Context: may sleep.
 */
static void kf_fiber_recycle(struct kf_domain *d, struct kf_fiber *f, u64 name)
{
	u32 generation = kf_next_generation(kf_name_generation(name));

	WRITE_ONCE(kf_fiber_block(f)->joiner, 0);
	WRITE_ONCE(kf_fiber_block(f)->word, kf_name(generation, 0) | KFIBER_FREE);
	kf_delay_sleep(KF_DELAY_RECYCLE);
	mutex_lock(&d->fiber_mutex);
	if (f->allocated)
		kf_fiber_put_locked(d, f);
	mutex_unlock(&d->fiber_mutex);
}

/**
 * kf_fiber_kill() - end a fiber whose thread has died under it
 * @d: the domain
 * @name: what the thread said that it ran; may be anything
 *
 * Does what the library does when a fiber returns: tells its joiner, counts it
 * out, and ends the domain with the last one.
 *
 * Context: may sleep.
 */
void kf_fiber_kill(struct kf_domain *d, u64 name)
{
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));
	struct kfiber_fiber_block *block;
	u64 joiner;
	bool pinned, killed;

	if (!name || !f)
		return;
	block = kf_fiber_block(f);
	/* A pinned one may be parked, and its stack in the hand of a trimmer, who has the mutex. */
	mutex_lock(&d->fiber_mutex);
	pinned = READ_ONCE(block->word) & KFIBER_PINNED;
	killed = kf_word_kill(&block->word, name);
	mutex_unlock(&d->fiber_mutex);
	if (!killed)
		return;
	/* Only the thread that is gone could have changed that. */
	if (pinned)
		atomic_dec((atomic_t *)&d->block->pinned);
	kf_file_drop(f);
	raw_spin_lock_irq(&d->lock);
	d->deaths++;
	raw_spin_unlock_irq(&d->lock);

	kf_delay_sleep(KF_DELAY_KILL);
	joiner = xchg(&block->joiner, KFIBER_JOIN_ENDED);
	if (joiner == KFIBER_JOIN_DETACHED)
		kf_fiber_recycle(d, f, name);
	else if (kf_name_generation(joiner))
		kf_fiber_wake(d, joiner);
	if (atomic64_dec_and_test((atomic64_t *)&d->block->live))
		kf_sched_shutdown(d);
}

/* Context: nobody else has the domain any more. */
void kf_fibers_destroy(struct kf_domain *d)
{
	struct kf_fiber_chunk *chunk;
	unsigned long page;
	u32 i;

	xa_for_each(&d->chunks, page, chunk) {
		for (i = 0; i < KF_FIBERS_PER_PAGE; i++) {
			WARN_ON_ONCE(chunk->fibers[i].file_wait);
			kf_timer_cancel(&chunk->fibers[i]);
		}
		free_page((unsigned long)chunk->blocks);
		kmem_cache_free(kf_chunk_cache, chunk);
		cond_resched();
	}
	xa_destroy(&d->chunks);
}
