// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks shrink. What lies below the stack pointer of a parked fiber is dead, as
 * is all of a stack in the module's pool: on request (KFIBER_IOC_TRIM), when a
 * fiber stays parked, and when memory is short, those pages are unmapped, and
 * being referred to by nothing else they are freed. Next growth finds clean ones.
 * Those of the pool also go when they are more than SETUP allows.
 *
 * A parked fiber can be made to run at any moment, in user space, without a
 * call. Were it to run and grow its stack while we unmap, what it has written
 * would be gone. So its stack is first taken, by the state word:
 *
 *   trims (here)                         wakes (user space, timer)
 *   PARKED -> PARKING   [kf_word_hold]   PARKING -> + PERMIT: and no more
 *   unmap
 *   PARKING -> PARKED, or if woken:      or before: PARKED -> ACTIVE, and then
 *   ACTIVE, and queue it                 the hold fails: the stack is left alone
 *
 * PARKING is what the word says of a fiber that has not left its stack yet;
 * everybody who wakes leaves it to the one who publishes PARKED. Here that is the
 * module, and the rule is the same. The hold is a few microseconds long.
 *
 * Stacks in the module's pool are taken out of it meanwhile: trim_pool.c. In the pools of
 * processors, which are user space's, a stack is had by who clears POOLED in its word:
 *
 *   trims (here)                         spawns (userlib/src/fiber.c)
 *   POOLED -> 0       [kf_word_take]     POOLED -> 0, and then the take fails: left alone
 *   unmap                                or it finds 0: takes another block
 *   0 -> POOLED       [kf_word_give]
 *
 * As it holds fiber_mutex, a trimmer has one such stack at a time in a domain, and ALLOC
 * and FREE, which clear the flag, never meet one that is taken. selftests/models/kept.pml
 * has it.
 *
 * To unmap is slow: other CPUs are interrupted. Who frees or makes fibers would wait for
 * that with fiber_mutex, so a pass has it for some fibers at a time, and for fewer where
 * there was something to unmap. Where it goes on is an index, and fibers never go.
 *
 * Who else touches the pages meanwhile? Another thread that writes below the
 * parked fiber's stack pointer: the fault is refused (kf_arena_fault). A device
 * that does I/O to a buffer there: pages with a reference beyond the page
 * table's are left alone. A forked child that has a copy of the slot at the same
 * offset of the same file, which would be unmapped too: while there is such a
 * mapping nothing is trimmed. fork() announces it by nr_forked, under zap_lock.
 *
 * Unmapping goes by file offset (unmap_mapping_range), the counting before it by
 * address: a slot that is not where the arena's base says is left alone.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pgtable.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>

#include "chunk.h"
#include "compat.h"
#include "delay.h"
#include "growth.h"
#include "internal.h"
#include "trace.h"
#include "trim.h"
#include "word.h"

/*
 * Fibers that are looked at before the locks are let go, and stacks that are
 * trimmed: unmapping takes a hundred times as long as looking, and who frees or
 * makes fibers waits for it.
 */
#define KF_TRIM_BATCH 64u
#define KF_TRIM_STACKS 4u

/* Likewise in reclaim, where what comes from the module's pool is unmapped before that. */
#define KF_TRIM_TRY_BATCH 8u

/* Pages that make room for a while where a limit is reached. */
#define KF_TRIM_ENOUGH 256u

/* Marks a stack in the pool as seen; no stack pointer is this. */
#define KF_SEEN_POOLED (~0ull)

/* And one in a processor's pool, with its generation: it may have been used since. */
#define KF_SEEN_KEPT (~0ull << 32)

static unsigned int trim_after_ms = 2000;
module_param(trim_after_ms, uint, 0644);
MODULE_PARM_DESC(trim_after_ms,
		 "Milliseconds after which a parked fiber's unused stack goes back; it may take twice as long (default 2000; 0: never by age)");

static LIST_HEAD(kf_domains);
static DEFINE_MUTEX(kf_trim_lock);

/* Context: page-table lock. */
static int kf_trim_count_page(pte_t *pte, unsigned long addr, void *data)
{
	struct kf_trim_count *count = data;
	pte_t entry = ptep_get(pte);

	if (!pte_present(entry))
		return 0;
	if (addr >= count->end) {
		count->kept++;
		return 0;
	}
	count->doomed++;
	/* The page table's reference is the only one, but for pins. */
	count->pinned |= page_ref_count(pte_page(entry)) > 1;
	return 0;
}

/**
 * kf_trim_begin_locked() - fiber_mutex has been taken for some fibers
 * @t: the pass
 */
void kf_trim_begin_locked(struct kf_trim *t)
{
	t->locked = true;
	t->unmaps = 0;
}

/* It is let go. */
void kf_trim_end_locked(struct kf_trim *t)
{
	t->locked = false;
	t->most = max(t->most, t->unmaps);
}

/**
 * kf_trim_unmap() - free the pages of a range of an arena
 * @t: the pass
 * @offset: where it begins, in the file
 * @bytes: how long it is
 *
 * Context: mmap_lock; the stacks there are the caller's.
 * Return: false if nothing was done, because a forked child has a copy.
 */
bool kf_trim_unmap(struct kf_trim *t, u64 offset, u64 bytes)
{
	struct kf_domain *d = t->d;
	bool alone;

	down_read(&d->zap_lock);
	alone = !d->nr_forked;
	if (alone)
		unmap_mapping_range(&d->mapping, offset, bytes, 1);
	up_read(&d->zap_lock);
	t->unmaps += t->locked;
	t->later |= !alone;
	return alone;
}

/**
 * kf_trim_look() - count what is in a slot
 * @t: the pass
 * @f: the fiber
 * @keep: the lowest page that is to stay
 * @count: out
 *
 * Whoever gave pages back behind the module's back is counted right again. Others may put
 * pages in meanwhile, which are counted when they are there: what the stack was thought to
 * have is read before it is looked at, and only what had gone by then is taken off. To have
 * too many counted for a while is the next pass's to mend; too few, and a limit would not hold.
 *
 * Context: mmap_lock; the stack is the caller's.
 * Return: false if it cannot be trimmed: it is not where it should be.
 */
bool kf_trim_look(struct kf_trim *t, struct kf_fiber *f, u32 keep, struct kf_trim_count *count)
{
	struct kf_domain *d = t->d;
	unsigned long start = kf_slot_address(d, f);
	unsigned long guard = (unsigned long)kf_guard(f->stack_shift, d->guard_bytes) << PAGE_SHIFT;
	u32 gone, pages = atomic_read(&f->pages);

	*count = (struct kf_trim_count){ .end = start + ((unsigned long)keep << PAGE_SHIFT) };
	if (count->end <= start + guard || !kf_arena_maps(d, t->mm, f))
		return false;
	apply_to_existing_page_range(t->mm, start + guard, (1ul << f->stack_shift) - guard,
				     kf_trim_count_page, count);
	gone = pages - min(pages, count->doomed + count->kept);
	if (gone) {
		atomic64_add(gone, &d->stack_dropped);
		kf_arena_uncharge(f, gone);
	}
	return true;
}

/**
 * kf_trim_done() - note that the pages of a slot below @keep have been unmapped
 * @t: the pass
 * @f: the fiber
 * @keep: the lowest page that was to stay
 * @count: what there was
 */
void kf_trim_done(struct kf_trim *t, struct kf_fiber *f, u32 keep,
		  const struct kf_trim_count *count)
{
	u32 pages = atomic_read(&f->pages);
	/* One that is just being put in may have been seen, and be counted only now. */
	u32 freed = min(count->doomed, pages);

	WRITE_ONCE(f->history, kf_growth_history(f->history, count->doomed + count->kept));
	WRITE_ONCE(f->low_page, keep);
	t->pages += freed;
	if (freed)
		kf_arena_uncharge(f, freed);
}

/*
 * Frees the pages of a slot below page @keep.
 * Context: mmap_lock; the stack is the caller's.
 */
static void kf_trim_slot(struct kf_trim *t, struct kf_fiber *f, u32 keep)
{
	u32 guard = kf_guard(f->stack_shift, t->d->guard_bytes);
	struct kf_trim_count count;

	if (!kf_trim_look(t, f, keep, &count) || !count.doomed || count.pinned)
		return;
	if (kf_trim_unmap(t, kf_slot_offset(f->stack_shift, f->slot) + ((u64)guard << PAGE_SHIFT),
			  (u64)(keep - guard) << PAGE_SHIFT))
		kf_trim_done(t, f, keep, &count);
}

/* The lowest page that a fiber needs whose stack pointer is @sp. */
static u32 kf_trim_keep(const struct kf_fiber *f, u64 sp)
{
	return kf_growth_keep(sp - kf_slot_address(f->domain, f), f->stack_shift);
}

/* Has the pass before seen it like this? Then it is aged, now. */
static bool kf_trim_is_aged(struct kf_trim *t, struct kf_fiber *f, u64 seen)
{
	if (t->why != KF_TRIM_AGE || f->seen_sp == seen)
		return true;
	f->seen_sp = seen;
	t->later = true;
	return false;
}

/* Context: mmap_lock, fiber_mutex. */
static void kf_trim_kept_locked(struct kf_trim *t, struct kf_fiber *f)
{
	struct kfiber_fiber_block *block = kf_fiber_block(f);
	u64 word = READ_ONCE(block->word);

	if (!kf_word_is_pooled(word) ||
	    !kf_trim_is_aged(t, f, KF_SEEN_KEPT | kf_name_generation(word)))
		return;
	if (!kf_word_take(&block->word))
		return;
	WRITE_ONCE(f->kept, true);
	kf_delay_sleep(KF_DELAY_KEPT_TAKEN);
	kf_trim_slot(t, f, kf_stack_pages(f->stack_shift));
	WRITE_ONCE(f->kept, false);
	kf_word_give(&block->word);
}

static void kf_trim_parked(struct kf_trim *t, struct kf_fiber *f)
{
	struct kfiber_fiber_block *block = kf_fiber_block(f);
	u64 sp = READ_ONCE(block->sp);
	u32 generation;

	if (kf_word_state(READ_ONCE(block->word)) != KFIBER_PARKED ||
	    READ_ONCE(f->low_page) >= kf_trim_keep(f, sp) || !kf_trim_is_aged(t, f, sp))
		return;
	WRITE_ONCE(f->held, true);
	if (kf_word_hold(&block->word)) {
		t->held = true;
		/* It may have run since; now it does not. */
		kf_trim_slot(t, f, kf_trim_keep(f, READ_ONCE(block->sp)));
		generation = kf_word_publish(&block->word);
		if (generation)
			kf_sched_ready(t->d, f, kf_name(generation, f->index),
				       KF_BY_MODULE);
	}
	WRITE_ONCE(f->held, false);
}

/* Context: mmap_lock, fiber_mutex. */
static void kf_trim_fiber_locked(struct kf_trim *t, struct kf_fiber *f)
{
	if (!atomic_read(&f->pages))
		return;
	if (f->allocated) {
		kf_trim_parked(t, f);
		kf_trim_kept_locked(t, f);
	} else if (!f->in_hand && kf_trim_is_aged(t, f, KF_SEEN_POOLED)) {
		kf_hand_take_locked(t, f);
	}
}

/*
 * Fibers @first up to @end, or until @stacks have been trimmed; what is in the module's pool
 * is taken in hand.
 * Context: mmap_lock, fiber_mutex. Return: where it stopped.
 */
static u32 kf_trim_batch_locked(struct kf_trim *t, u32 first, u32 end, u32 stacks)
{
	u32 i;

	kf_sched_set_held(t->d, true);
	for (i = first; i < end && stacks; i++) {
		struct kf_fiber_chunk *chunk = xa_load(&t->d->chunks, kf_chunk_number(i));
		u64 before = t->pages;

		kf_trim_fiber_locked(t, kf_chunk_fiber(chunk, i));
		if (t->pages != before)
			stacks--;
	}
	kf_sched_set_held(t->d, false);
	t->fibers += i - first;
	return i;
}

/**
 * kf_trim_begin() - begin a pass
 * @t: the pass
 * @d: a domain that is set up
 * @why: what for
 *
 * Return: false if its memory is gone.
 */
bool kf_trim_begin(struct kf_trim *t, struct kf_domain *d, enum kf_trim_why why)
{
	*t = (struct kf_trim){ .d = d, .mm = d->mm, .why = why };
	INIT_LIST_HEAD(&t->hand);
	return mmget_not_zero(d->mm);
}

/* Ends it, and tells of it. */
void kf_trim_finish(struct kf_trim *t)
{
	atomic64_add(t->pages, &t->d->stack_trimmed);
	t->later |= kf_account_look(t->d);
	if (t->held)
		kf_deadlock_stir(t->d);
	mmput_async(t->mm);
	trace_kfiber_stack_trim(t->d, t->why, t->fibers, t->pages, t->most);
}

/*
 * Fibers from @first on. @end: out: how many there are.
 * Context: mmap_lock. Return: where the next begins.
 */
static u32 kf_trim_some(struct kf_trim *t, u32 first, u32 *end)
{
	struct kf_domain *d = t->d;
	u32 next;

	mutex_lock(&d->fiber_mutex);
	kf_trim_begin_locked(t);
	*end = d->nr_fibers;
	next = kf_trim_batch_locked(t, first, min(first + KF_TRIM_BATCH, *end), KF_TRIM_STACKS);
	kf_trim_end_locked(t);
	mutex_unlock(&d->fiber_mutex);
	kf_hand_trim(t);
	cond_resched();
	return next;
}

/* Context: may sleep. Return: see kf_trim_domain(). */
static u64 kf_trim_all(struct kf_domain *d, enum kf_trim_why why)
{
	struct kf_trim t;
	u32 i = 0, nr;

	if (!kf_trim_begin(&t, d, why))
		return 0;
	do {
		mmap_read_lock(t.mm);
		i = kf_trim_some(&t, i, &nr);
		mmap_read_unlock(t.mm);
	} while (i < nr);
	kf_trim_finish(&t);
	if (why == KF_TRIM_AGE && t.later)
		kf_trim_grown(d);
	return t.pages;
}

/**
 * kf_trim_domain() - free what the stacks of a domain do not need
 * @d: a domain that is set up
 *
 * Context: may sleep.
 * Return: how many pages were freed.
 */
u64 kf_trim_domain(struct kf_domain *d)
{
	return kf_trim_all(d, KF_TRIM_ASKED);
}

/* --- limits ----------------------------------------------------------------- */

/* Context: mmap_lock. */
static void kf_trim_enough(struct kf_trim *t)
{
	struct kf_domain *d = t->d;
	u32 nr = READ_ONCE(d->nr_fibers), first;

	while (t->fibers < nr && t->pages < KF_TRIM_ENOUGH) {
		first = READ_ONCE(d->shrink_cursor);
		WRITE_ONCE(d->shrink_cursor, kf_trim_some(t, first < nr ? first : 0, &nr));
	}
}

/**
 * kf_trim_limit() - something is about to be refused: is there what nobody needs?
 * @d: a domain that is set up
 *
 * Frees some pages, if there are any; a pass that finds none is not repeated before eight
 * times as long has passed, or who asks again and again at a limit would do nothing else.
 *
 * Context: mmap_lock of the domain's mm, for reading; may sleep; takes fiber_mutex.
 * Return: true if pages were freed.
 */
bool kf_trim_limit(struct kf_domain *d)
{
	u64 begin = ktime_get_ns(), end;
	struct kf_trim t;

	if (begin < READ_ONCE(d->limit_next) || !kf_trim_begin(&t, d, KF_TRIM_LIMIT))
		return false;
	kf_trim_enough(&t);
	end = ktime_get_ns();
	if (!t.pages)
		WRITE_ONCE(d->limit_next, end + 8 * (end - begin));
	kf_trim_finish(&t);
	return t.pages;
}

/* --- memory ----------------------------------------------------------------- */

/*
 * The next fibers, @nr at most. The locks may be held by the one that waits for memory, or by
 * one who waits for reclaim: they are tried, and what was taken in hand goes back before they
 * are let go.
 * Return: false if they are not to be had.
 */
static bool kf_trim_try_batch(struct kf_trim *t, u32 nr)
{
	struct kf_domain *d = t->d;
	u32 first, end;
	bool held;

	if (!mmap_read_trylock(t->mm))
		return false;
	held = mutex_trylock(&d->fiber_mutex);
	if (held) {
		kf_trim_begin_locked(t);
		first = READ_ONCE(d->shrink_cursor);
		first = first < d->nr_fibers ? first : 0;
		end = min(first + min(nr, KF_TRIM_TRY_BATCH), d->nr_fibers);
		WRITE_ONCE(d->shrink_cursor, kf_trim_batch_locked(t, first, end, KF_TRIM_STACKS));
		kf_hand_trim_locked(t);
		kf_trim_end_locked(t);
		mutex_unlock(&d->fiber_mutex);
	}
	mmap_read_unlock(t->mm);
	return held;
}

/* Looks at the next @nr fibers, or at each of them once. Return: false: nobody is there. */
static bool kf_trim_try_some(struct kf_trim *t, struct kf_domain *d, enum kf_trim_why why,
			     unsigned long nr)
{
	if (!kf_trim_begin(t, d, why))
		return false;
	nr = min_t(unsigned long, nr, READ_ONCE(d->nr_fibers));
	while (t->fibers < nr && kf_trim_try_batch(t, nr - t->fibers))
		cond_resched();
	kf_trim_finish(t);
	return true;
}

/**
 * kf_trim_try() - the same for a stack that is to grow where memory is short
 * @d: a domain that is set up
 * @why: KF_TRIM_TIGHT, KF_TRIM_SHORT
 *
 * Context: page fault; does not wait for the locks that others may hold.
 * Return: true if pages were freed.
 */
bool kf_trim_try(struct kf_domain *d, enum kf_trim_why why)
{
	struct kf_trim t;

	return kf_trim_try_some(&t, d, why, ULONG_MAX) && t.pages;
}

/* --- age -------------------------------------------------------------------- */

static void kf_trim_age_work(struct work_struct *work)
{
	struct kf_domain *d = container_of(to_delayed_work(work), struct kf_domain, age_work);

	/* Who grows a stack from here on arms again. */
	xchg(&d->age_armed, false);
	kf_trim_all(d, KF_TRIM_AGE);
}

/**
 * kf_trim_grown() - say that a stack has grown, and may be too large one day
 * @d: the domain
 *
 * A domain whose stacks do not grow is not looked at.
 *
 * Context: any; the domain's file is open, or its age_work runs.
 */
void kf_trim_grown(struct kf_domain *d)
{
	unsigned int after = READ_ONCE(trim_after_ms);

	if (!after || READ_ONCE(d->age_armed) || xchg(&d->age_armed, true))
		return;
	queue_delayed_work(kf_workqueue, &d->age_work, msecs_to_jiffies(after));
}

/* --- pressure --------------------------------------------------------------- */

/*
 * An object of the shrinker is a fiber that is looked at; what is freed is
 * counted in pages.
 */
static unsigned long kf_trim_shrink_count(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long count = 0;
	struct kf_domain *d;

	if (!mutex_trylock(&kf_trim_lock))
		return 0;
	list_for_each_entry(d, &kf_domains, domains_link)
		count += READ_ONCE(d->nr_fibers);
	mutex_unlock(&kf_trim_lock);
	return count ?: SHRINK_EMPTY;
}

static unsigned long kf_trim_shrink_scan(struct shrinker *s, struct shrink_control *sc)
{
	unsigned long left = sc->nr_to_scan, freed = 0;
	struct kf_domain *d;

	if (!mutex_trylock(&kf_trim_lock))
		return SHRINK_STOP;
	list_for_each_entry(d, &kf_domains, domains_link) {
		struct kf_trim t;

		if (!kf_trim_try_some(&t, d, KF_TRIM_SHRINKER, left))
			continue;
		left -= t.fibers;
		freed += t.pages;
		if (!left)
			break;
	}
	/* The next time another domain is the first. */
	if (!list_empty(&kf_domains))
		list_rotate_left(&kf_domains);
	mutex_unlock(&kf_trim_lock);
	sc->nr_scanned = sc->nr_to_scan - left;
	return sc->nr_scanned ? freed : SHRINK_STOP;
}

static struct shrinker *kf_shrinker;

int kf_trim_init(void)
{
	kf_shrinker = kf_shrinker_register(kf_trim_shrink_count, kf_trim_shrink_scan);
	return IS_ERR(kf_shrinker) ? PTR_ERR(kf_shrinker) : 0;
}

void kf_trim_exit(void)
{
	kf_shrinker_unregister(kf_shrinker);
}

/* --- a domain's life -------------------------------------------------------- */

/**
 * kf_trim_domain_init() - make a domain's stacks findable
 * @d: the domain
 * @inode: of the file that opened it, which lives as long as the file
 *
 * Drivers that share one inode need a mapping for each open: else they could not
 * unmap one domain's pages by offset without those of all others.
 */
void kf_trim_domain_init(struct kf_domain *d, struct inode *inode)
{
	address_space_init_once(&d->mapping);
	d->mapping.host = inode;
	d->mapping.a_ops = &empty_aops;
	d->mapping.gfp_mask = inode->i_mapping->gfp_mask;
	init_rwsem(&d->zap_lock);
	INIT_DELAYED_WORK(&d->age_work, kf_trim_age_work);
	kf_trim_pool_init(d);
	init_waitqueue_head(&d->hand_wait);
	mutex_lock(&kf_trim_lock);
	list_add_tail(&d->domains_link, &kf_domains);
	mutex_unlock(&kf_trim_lock);
}

/* Context: may sleep; nobody can grow a stack any more. */
void kf_trim_domain_exit(struct kf_domain *d)
{
	mutex_lock(&kf_trim_lock);
	list_del(&d->domains_link);
	mutex_unlock(&kf_trim_lock);
	cancel_delayed_work_sync(&d->age_work);
	cancel_delayed_work_sync(&d->pool_work);
}
