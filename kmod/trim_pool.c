// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks in the module's pool shrink: those that nobody has used for long or that are more than
 * SETUP allows. All of such a stack goes.
 *
 * To unmap interrupts each CPU that the process runs on, and whoever frees or makes fibers
 * would wait for it. So stacks are taken out of the pool, are unmapped without fiber_mutex,
 * neighbours together, and put back:
 *
 *   trims (here)                         makes and frees fibers (fiber.c)
 *   mutex: out of the pool, in hand
 *   unmap                                FREE: puts others in
 *                                        ALLOC: takes another; if each is in
 *                                        somebody's hand, it waits [hand_puts]
 *   mutex: into the pool, hand_puts++    or finds it there
 *   wake
 *
 * Who waits has read hand_puts under the mutex, with a stack in hand, and waits for another
 * value: so for what comes after. Without that it would make a block that nobody needs, and
 * which stays, or be refused at max_fibers while there is one.
 *
 * What is in hand is not allocated: nobody may grow it, free it, or run it. Others who trim
 * see @in_hand and leave it. In reclaim fiber_mutex must not be waited for, so there it is
 * kept meanwhile, and less is taken at a time (trim.c).
 */
#include <linux/list_sort.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>

#include "delay.h"
#include "growth.h"
#include "trim.h"

/* Stacks that are taken from the pool at a time: who finds no other waits for them. */
#define KF_HAND 64u

/* How long pools may hold more than they may. */
#define KF_POOL_DELAY_MS 100u

/* --- in hand ---------------------------------------------------------------- */

/**
 * kf_hand_take_locked() - take a stack out of the module's pool, to trim it
 * @t: the pass
 * @f: its fiber, not allocated and in nobody's hand
 *
 * kf_hand_trim() follows.
 *
 * Context: fiber_mutex.
 */
void kf_hand_take_locked(struct kf_trim *t, struct kf_fiber *f)
{
	kf_fiber_pool_take_locked(t->d, f);
	list_add_tail(&f->pool_link, &t->hand);
}

static int kf_hand_compare(void *unused, const struct list_head *a, const struct list_head *b)
{
	const struct kf_fiber *f = list_entry(a, struct kf_fiber, pool_link);
	const struct kf_fiber *g = list_entry(b, struct kf_fiber, pool_link);

	if (f->stack_shift != g->stack_shift)
		return f->stack_shift > g->stack_shift ? 1 : -1;
	return f->slot > g->slot ? 1 : -1;
}

/**
 * struct kf_run - stacks that are unmapped together: they lie side by side
 * @first: the lowest, NULL: there is none
 * @last: the uppermost
 */
struct kf_run {
	struct kf_fiber *first;
	struct kf_fiber *last;
};

/* Unmaps them, and begins anew. @f->pooled: the pages that were found in each. */
static void kf_hand_unmap(struct kf_trim *t, struct kf_run *run)
{
	struct kf_fiber *f = run->first;
	u64 begin, end;
	bool unmapped;

	if (!f)
		return;
	begin = kf_slot_offset(f->stack_shift, f->slot) +
		((u64)kf_guard(f->stack_shift, t->d->guard_bytes) << PAGE_SHIFT);
	end = kf_slot_offset(f->stack_shift, run->last->slot) + (1ull << f->stack_shift);
	unmapped = kf_trim_unmap(t, begin, end - begin);
	list_for_each_entry_from(f, &t->hand, pool_link) {
		struct kf_trim_count count = { .doomed = f->pooled };

		if (unmapped)
			kf_trim_done(t, f, kf_stack_pages(f->stack_shift), &count);
		if (f == run->last)
			break;
	}
	*run = (struct kf_run){ 0 };
}

/* Context: mmap_lock. */
static void kf_hand_unmap_all(struct kf_trim *t)
{
	struct kf_run run = { 0 };
	struct kf_fiber *f;

	list_sort(NULL, &t->hand, kf_hand_compare);
	list_for_each_entry(f, &t->hand, pool_link) {
		u32 pages = kf_stack_pages(f->stack_shift);
		struct kf_trim_count count;

		if (!run.last || run.last->stack_shift != f->stack_shift ||
		    run.last->slot + 1 != f->slot)
			kf_hand_unmap(t, &run);
		if (!kf_trim_look(t, f, pages, &count) || !count.doomed || count.pinned)
			continue;
		f->pooled = count.doomed;
		run.last = f;
		run.first = run.first ?: f;
	}
	kf_hand_unmap(t, &run);
}

static void kf_hand_put_locked(struct kf_trim *t)
{
	struct kf_fiber *f, *next;

	list_for_each_entry_safe(f, next, &t->hand, pool_link)
		kf_fiber_pool_return_locked(t->d, f);
	INIT_LIST_HEAD(&t->hand);
	wake_up_all(&t->d->hand_wait);
}

/**
 * kf_hand_trim() - trim what is in hand, and put it back
 * @t: the pass
 *
 * Context: mmap_lock; may sleep; takes fiber_mutex.
 */
void kf_hand_trim(struct kf_trim *t)
{
	if (list_empty(&t->hand))
		return;
	kf_delay_sleep(KF_DELAY_HAND_TAKEN);
	kf_hand_unmap_all(t);
	kf_delay_sleep(KF_DELAY_HAND_EMPTY);
	mutex_lock(&t->d->fiber_mutex);
	kf_hand_put_locked(t);
	mutex_unlock(&t->d->fiber_mutex);
}

/* The same. Context: mmap_lock, fiber_mutex. */
void kf_hand_trim_locked(struct kf_trim *t)
{
	if (list_empty(&t->hand))
		return;
	kf_hand_unmap_all(t);
	kf_hand_put_locked(t);
}

/* --- too much in the pools -------------------------------------------------- */

/* Of all warm stacks the largest, of those the one that was given back first. */
static struct kf_fiber *kf_pool_coldest_locked(struct kf_domain *d)
{
	u32 i = KF_STACK_CLASSES;

	while (i--)
		if (!list_empty(&d->arenas[i].warm))
			return list_last_entry(&d->arenas[i].warm, struct kf_fiber, pool_link);
	return NULL;
}

/*
 * One that keeps its pages, because one is pinned, goes to the front of its list;
 * @most: no more are looked at than there can be, whatever they keep.
 * Context: fiber_mutex.
 * Return: false when nothing is left to do.
 */
static bool kf_pool_take_locked(struct kf_trim *t, u32 most)
{
	struct kf_domain *d = t->d;
	u32 i;

	for (i = 0; i < KF_HAND; i++) {
		struct kf_fiber *f = kf_pool_coldest_locked(d);

		/* "later": there is a forked child, and none can be trimmed. */
		if (!f || d->pool_pages <= d->pool_pages_max || t->later || t->fibers >= most)
			return false;
		kf_hand_take_locked(t, f);
		t->fibers++;
	}
	return true;
}

static void kf_trim_pool_work(struct work_struct *work)
{
	struct kf_domain *d = container_of(to_delayed_work(work), struct kf_domain, pool_work);
	u32 most = READ_ONCE(d->nr_fibers);
	struct kf_trim t;
	bool more;

	if (!kf_trim_begin(&t, d, KF_TRIM_POOL))
		return;
	do {
		mmap_read_lock(t.mm);
		mutex_lock(&d->fiber_mutex);
		kf_trim_begin_locked(&t);
		more = kf_pool_take_locked(&t, most);
		kf_trim_end_locked(&t);
		mutex_unlock(&d->fiber_mutex);
		kf_hand_trim(&t);
		mmap_read_unlock(t.mm);
		cond_resched();
	} while (more);
	kf_trim_finish(&t);
}

/**
 * kf_trim_pool() - say that the pools hold more than they may
 * @d: the domain
 *
 * A burst of fibers that ends and comes again at once finds its stacks warm.
 *
 * Context: fiber_mutex; the domain is not being freed.
 */
void kf_trim_pool(struct kf_domain *d)
{
	queue_delayed_work(kf_workqueue, &d->pool_work, msecs_to_jiffies(KF_POOL_DELAY_MS));
}

void kf_trim_pool_init(struct kf_domain *d)
{
	INIT_DELAYED_WORK(&d->pool_work, kf_trim_pool_work);
}
