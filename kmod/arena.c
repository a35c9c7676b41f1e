// SPDX-License-Identifier: GPL-2.0
/*
 * Stack arenas: one mapping for all the stacks of a class. The slot is found
 * from the offset; at its bottom lies the guard, which is never backed:
 *
 *   slot n          slot n + 1
 *   |guard|   stack |guard|   stack |
 *          <- grows        <- grows
 *
 * The fault handler is where stacks grow. Pages belong to the mapping alone: the
 * page tables hold the only reference, so unmapping frees them, whoever does it
 * and why, and the module keeps no list of them. What it counts, it counts to
 * decide; a process that gives pages back by madvise() is counted too high until
 * its stacks are trimmed.
 *
 * Two threads may fault in the same slot, or in the same page; who is second
 * finds the page there (-EBUSY).
 *
 * Not every fault makes a stack grow. A frame larger than the guard jumps over
 * it and lands in the slot below, another fiber's; a stray pointer or a debugger
 * that reads all memory would fill the arena. So growth, that is a page below
 * those that are there, must be explained by its owner:
 *
 *   the thread's stack pointer is    growth is refused
 *   in this slot                     below it, less the red zone (for the kernel:
 *                                    a signal frame); and always when the fiber
 *                                    that the thread runs has another slot
 *   elsewhere                        below the stack pointer of a parked fiber;
 *                                    of one that runs it is not known
 *   another process's                when it only reads
 *   that of a core dump              always: it writes what is there
 *
 * What user space says of itself here (the fiber a worker runs, a parked fiber's
 * stack pointer) it can say wrong only to its own harm: it may then write to
 * stacks of its own that it could write to anyway.
 */
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>

#include "chunk.h"
#include "compat.h"
#include "delay.h"
#include "fault.h"
#include "growth.h"
#include "internal.h"
#include "map.h"
#include "trace.h"
#include "word.h"

/* Pages that are put in together; bounds the kernel's stack. */
#define KF_GROW_BATCH 16u

/* Pages that are allocated together, as an order: what CPUs keep lists of. */
#define KF_ALLOC_ORDER 3u

static u32 kf_vma_stack_shift(const struct vm_area_struct *vma)
{
	return kf_map_stack_shift((u64)vma->vm_pgoff << PAGE_SHIFT);
}

/* How far to go for a page: fail rather than have somebody killed for it. */
#define KF_GFP_EASY (GFP_KERNEL_ACCOUNT | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN)

/*
 * The page that is needed, where no easy one was found. Before somebody is killed for it, in the cgroup or in
 * the machine, other stacks of the domain give what they do not need.
 */
static struct page *kf_alloc_first_page(struct kf_domain *d, bool touched)
{
	struct page *page = NULL;

	if (kf_trim_try(d, KF_TRIM_SHORT))
		page = alloc_page(KF_GFP_EASY);
	if (!page && touched)
		page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	return page;
}

/*
 * Allocates 2^@order pages in one go, which costs little more than one, and makes
 * pages of their own of them. Return: how many there are.
 */
static u32 kf_alloc_block(struct page **pages, u32 order)
{
	struct page *block = alloc_pages(KF_GFP_EASY, order);
	u32 i;

	if (!block)
		return 0;
	split_page(block, order);
	for (i = 0; i < 1u << order; i++)
		pages[i] = block + i;
	return i;
}

/*
 * Return: how many there are. One is needed, the others are luxury; where memory
 * is in pieces they come one by one.
 */
static u32 kf_alloc_pages(struct kf_domain *d, struct page **pages, u32 n, bool touched)
{
	u32 most = KF_ALLOC_ORDER, have = 0;

	while (have < n) {
		u32 order = min_t(u32, most, ilog2(n - have));
		u32 got = kf_alloc_block(pages + have, order);

		if (!got && !order)
			break;
		if (!got)
			most = 0;
		have += got;
	}
	if (have)
		return have;
	pages[0] = kf_alloc_first_page(d, touched);
	return pages[0] ? 1 : 0;
}

/*
 * Puts @n pages in at @addr upwards; steps over those that are there already.
 * Drops the caller's reference to each. Return: how many were put in, or an
 * error when the topmost could not be.
 */
static int kf_insert_pages(struct vm_area_struct *vma, unsigned long addr, struct page **pages,
			   u32 n)
{
	int err = 0, done = 0;
	u32 i = 0;

	while (i < n) {
		unsigned long left = n - i;

		err = vm_insert_pages(vma, addr + i * PAGE_SIZE, pages + i, &left);
		done += n - i - left;
		i = n - left;
		if (err && err != -EBUSY)
			break;
		if (err)
			i++;
	}
	for (i = 0; i < n; i++)
		put_page(pages[i]);
	return err && err != -EBUSY ? err : done;
}

/*
 * Puts in the @n pages that end with page @top of the slot at @base, or as many
 * of the upper ones as there is memory for. @why: out: whose limit was reached.
 * Return: how many, or an error.
 */
static int kf_grow_batch(struct vm_area_struct *vma, unsigned long base, u32 top, u32 n,
			 bool touched, u32 *why)
{
	struct kf_domain *d = vma->vm_private_data;
	struct page *pages[KF_GROW_BATCH];
	u32 have;
	int done;

	*why = kf_account_stack(d, n);
	if (*why && n > 1) {
		n = 1;
		*why = kf_account_stack(d, n);
	}
	if (*why)
		return -EDQUOT;
	have = kf_alloc_pages(d, pages, n, touched);
	kf_delay_sleep(KF_DELAY_GROW);
	done = have ? kf_insert_pages(vma, base + (top + 1 - have) * PAGE_SIZE, pages, have) :
		      -ENOMEM;
	kf_unaccount_stack(d, n - max(done, 0));
	if (done == -ENOMEM)
		*why = KFIBER_REFUSED_MEMORY;
	return done;
}

/* Tells user space how many pages a stack has. */
static void kf_publish_pages(struct kf_fiber *f, u32 pages)
{
	struct kfiber_fiber_block *block = kf_fiber_block(f);

	WRITE_ONCE(block->stack_pages, pages);
	if (pages > READ_ONCE(block->stack_high))
		WRITE_ONCE(block->stack_high, pages);
}

/* Return: how many pages the stack has now. */
static u32 kf_count_growth(struct kf_fiber *f, u32 first, int pages)
{
	u32 after = atomic_add_return(pages, &f->pages);

	kf_publish_pages(f, after);
	if (first < READ_ONCE(f->low_page))
		WRITE_ONCE(f->low_page, first);
	return after;
}

/* A stack has @pages less. */
void kf_arena_uncharge(struct kf_fiber *f, u32 pages)
{
	kf_unaccount_stack(f->domain, pages);
	kf_publish_pages(f, atomic_sub_return(pages, &f->pages));
}

/*
 * From the touched page downwards; what fails after the first batch is luxury.
 * @touched: where; somebody waits for the topmost and cannot be told that it is not
 * there. 0: nowhere.
 * Return: KFIBER_REFUSED_*.
 */
static u32 kf_grow(struct vm_area_struct *vma, unsigned long base, struct kf_fiber *f,
		   const struct kf_growth *g, unsigned long touched)
{
	u32 left = g->count, why = KFIBER_REFUSED_NONE, grown = 0, after = 0;
	int done = 0;

	while (left) {
		u32 n = min(left, KF_GROW_BATCH);

		done = kf_grow_batch(vma, base, g->first + left - 1, n, touched, &why);
		if (done < 0)
			break;
		left -= n;
		after = kf_count_growth(f, g->first + left, done);
		grown += done;
	}
	if (grown) {
		atomic64_add(grown, &f->domain->stack_grown);
		trace_kfiber_stack_grow(f, after - grown, after, touched);
	}
	if (left < g->count || done >= 0)
		return KFIBER_REFUSED_NONE;
	return why ?: KFIBER_REFUSED_MEMORY;
}

/**
 * struct kf_touch - a page that is not there was touched
 * @d: the domain
 * @f: whose slot it is in
 * @vmf: the fault
 * @place: where in the arena
 * @base: the slot's address
 * @floor: the lowest page that the stack may have
 */
struct kf_touch {
	struct kf_domain *d;
	struct kf_fiber *f;
	struct vm_fault *vmf;
	struct kf_place place;
	unsigned long base;
	u32 floor;
};

/* Does the calling thread run @f? It says so itself; while it switches it may. */
static bool kf_runs(struct kf_domain *d, const struct kf_fiber *f)
{
	const struct kf_worker *w = kf_handover_self(d);

	return !w || READ_ONCE(w->block->critical) ||
	       kf_name_index(READ_ONCE(w->block->fiber)) == f->index;
}

/* The last byte of the page that was touched: only whole pages are told apart. */
static unsigned long kf_touched_end(const struct kf_touch *t)
{
	return t->vmf->address | ~PAGE_MASK;
}

/* A thread whose stack pointer is in this slot. */
static bool kf_explained_by_thread(const struct kf_touch *t, unsigned long sp)
{
	unsigned long slack = t->vmf->flags & FAULT_FLAG_USER ? KF_RED_ZONE : KF_SIGNAL_FRAME;

	return kf_touched_end(t) + slack >= sp && kf_runs(t->d, t->f);
}

/* Somebody else: where may the owner's frames be? */
static bool kf_explained_by_owner(const struct kf_touch *t)
{
	struct kfiber_fiber_block *block = kf_fiber_block(t->f);
	u64 word = READ_ONCE(block->word);
	u64 sp = READ_ONCE(block->sp);

	if (kf_word_state(word) != KFIBER_PARKED && !READ_ONCE(t->f->held))
		return true;
	if (kf_touched_end(t) >= sp - KF_RED_ZONE)
		return true;
	/* Parked all the time that we looked? */
	return READ_ONCE(block->word) != word || READ_ONCE(block->sp) != sp;
}

static bool kf_explained(const struct kf_touch *t)
{
	unsigned long sp;

	if (t->place.page >= READ_ONCE(t->f->low_page))
		return true;
	if (current->mm != t->d->mm)
		return t->vmf->flags & FAULT_FLAG_WRITE && kf_explained_by_owner(t);
	sp = current->flags & PF_KTHREAD ? 0 : user_stack_pointer(current_pt_regs());
	if (sp > t->base && sp <= t->base + (1ul << t->f->stack_shift))
		return kf_explained_by_thread(t, sp);
	return kf_explained_by_owner(t);
}

/* Is it in a processor's pool? There a stack may be trimmed at any moment. */
static bool kf_is_kept(struct kf_fiber *f)
{
	u64 word = READ_ONCE(kf_fiber_block(f)->word);

	return kf_word_is_pooled(word) ||
	       (kf_word_state(word) == KFIBER_FREE && READ_ONCE(f->kept));
}

static u32 kf_refusal(const struct kf_touch *t)
{
	u32 guard = kf_guard(t->f->stack_shift, t->d->guard_bytes);

	if (!READ_ONCE(t->f->allocated) || kf_is_kept(t->f))
		return KFIBER_REFUSED_FREE;
	if (t->place.page < guard)
		return KFIBER_REFUSED_GUARD;
	if (t->place.page < t->floor)
		return KFIBER_REFUSED_LIMIT;
	return kf_explained(t) ? KFIBER_REFUSED_NONE : KFIBER_REFUSED_OWNER;
}

static vm_fault_t kf_refuse(const struct kf_touch *t, u32 why, vm_fault_t ret)
{
	struct kf_fiber *f = t->f;

	WRITE_ONCE(f->refused, f->refused + 1);
	WRITE_ONCE(f->refused_page, t->place.page);
	WRITE_ONCE(f->refusal, why);
	atomic64_inc(&t->d->stack_refused);
	trace_kfiber_stack_refuse(t->d, f, f->stack_shift, f->slot, why, t->vmf->real_address);
	return ret;
}

static void kf_note_base(struct kf_domain *d, u32 stack_shift, unsigned long base)
{
	WRITE_ONCE(d->arenas[stack_shift - KFIBER_STACK_SHIFT_MIN].base, base);
}

static struct kf_growth kf_touch_growth(const struct kf_touch *t)
{
	struct kfiber_fiber_block *block = kf_fiber_block(t->f);
	struct kf_fiber *f = t->f;
	struct kf_growth g;
	u32 want;

	want = kf_growth_want(atomic_read(&f->pages), READ_ONCE(f->history),
			      READ_ONCE(block->stack_start));
	g = kf_growth(t->place.page, READ_ONCE(f->low_page), want, t->floor);
	if (t->base < t->vmf->vma->vm_start)
		g = kf_growth_clip(g, (t->vmf->vma->vm_start - t->base) >> PAGE_SHIFT);
	return g;
}

static bool kf_is_limit(u32 why)
{
	return why == KFIBER_REFUSED_DOMAIN || why == KFIBER_REFUSED_USER;
}

static vm_fault_t kf_arena_grow(struct kf_touch *t)
{
	struct kf_growth g = kf_touch_growth(t);
	struct kf_fiber *f = t->f;
	u32 why;

	kf_note_base(t->d, f->stack_shift, t->base - ((unsigned long)f->slot << f->stack_shift));
	if (kf_account_tight(t->d))
		kf_trim_try(t->d, KF_TRIM_TIGHT);
	why = kf_grow(t->vmf->vma, t->base, f, &g, t->vmf->real_address);
	if (kf_is_limit(why) && kf_fault_drop_vma(t->vmf))
		return VM_FAULT_RETRY;
	if (kf_is_limit(why) && kf_trim_limit(t->d))
		why = kf_grow(t->vmf->vma, t->base, f, &g, t->vmf->real_address);
	kf_account_look(t->d);
	if (why)
		return kf_refuse(t, why, why == KFIBER_REFUSED_MEMORY ? VM_FAULT_OOM : VM_FAULT_SIGBUS);
	WRITE_ONCE(f->faults, f->faults + 1);
	atomic64_inc(&t->d->stack_faults);
	kf_trim_grown(t->d);
	return VM_FAULT_NOPAGE;
}

static vm_fault_t kf_arena_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct kf_touch t = { .d = vma->vm_private_data, .vmf = vmf };
	u32 shift = kf_vma_stack_shift(vma);
	u32 why;

	if (current->flags & PF_DUMPCORE || kf_fault_is_marked(vmf))
		return VM_FAULT_SIGBUS;
	if (vma->vm_mm != t.d->mm)
		return kf_fork_fault(vmf, shift);
	t.place = kf_place(kf_map_region((u64)vmf->pgoff << PAGE_SHIFT).page, shift);
	t.base = (vmf->address & PAGE_MASK) - t.place.page * PAGE_SIZE;
	t.f = xa_load(&t.d->arenas[shift - KFIBER_STACK_SHIFT_MIN].slots, t.place.slot);
	if (!t.f) {
		atomic64_inc(&t.d->stack_refused);
		trace_kfiber_stack_refuse(t.d, NULL, shift, t.place.slot, KFIBER_REFUSED_FREE,
					  vmf->real_address);
		return VM_FAULT_SIGSEGV;
	}
	t.floor = kf_growth_floor(shift, kf_guard(shift, t.d->guard_bytes),
				  READ_ONCE(kf_fiber_block(t.f)->stack_limit));
	why = kf_refusal(&t);
	return why ? kf_refuse(&t, why, VM_FAULT_SIGSEGV) : kf_arena_grow(&t);
}

/*
 * Maps nothing around a fault. Since 6.12 a handler is called under the per-VMA
 * lock only when this is there; else each fault takes the lock of the whole mm.
 */
static vm_fault_t kf_arena_map_pages(struct vm_fault *vmf, pgoff_t start, pgoff_t end)
{
	return 0;
}

/* Called for the copy of a mapping: when it is split or moved, and in fork(). */
static void kf_arena_open(struct vm_area_struct *vma)
{
	struct kf_domain *d = vma->vm_private_data;

	if (vma->vm_mm == d->mm)
		return;
	down_write(&d->zap_lock);
	d->nr_forked++;
	up_write(&d->zap_lock);
	if (vma->vm_mm == current->mm)
		return;
	kf_fork_empty(vma);
	kf_fork_copy_stack(vma, kf_vma_stack_shift(vma));
}

/* For each that was opened. */
static void kf_arena_close(struct vm_area_struct *vma)
{
	struct kf_domain *d = vma->vm_private_data;

	if (vma->vm_mm == d->mm)
		return;
	down_write(&d->zap_lock);
	d->nr_forked--;
	up_write(&d->zap_lock);
}

/* What has a name is in core dumps, as far as there are pages. */
static const char *kf_arena_name(struct vm_area_struct *vma)
{
	return kf_core_name(vma, "[kfiber stacks]");
}

static const struct vm_operations_struct kf_arena_vm_ops = {
	.open = kf_arena_open,
	.close = kf_arena_close,
	.fault = kf_arena_fault,
	.map_pages = kf_arena_map_pages,
	.name = kf_arena_name,
};

/*
 * Has the process mapped some of this already? Each mapping would have pages of its
 * own, and those of a stack are counted where it is mapped: in one place. What @vma
 * takes the place of may still be there.
 * Context: mmap_lock for writing.
 */
static bool kf_arena_is_mapped(struct kf_domain *d, struct vm_area_struct *vma)
{
	struct vm_area_struct *v;

	for (v = find_vma(d->mm, 0); v; v = find_vma(d->mm, v->vm_end)) {
		if (v->vm_ops != &kf_arena_vm_ops || v->vm_private_data != d)
			continue;
		if (v->vm_start < vma->vm_end && vma->vm_start < v->vm_end)
			continue;
		if (v->vm_pgoff < vma->vm_pgoff + vma_pages(vma) &&
		    vma->vm_pgoff < v->vm_pgoff + vma_pages(v))
			return true;
	}
	return false;
}

/**
 * kf_arena_mmap() - map an arena, or a part of one
 * @d: a domain that is set up
 * @vma: a shared mapping, of the domain's own mm
 * @offset: KFIBER_MAP_STACKS, the class, and where in it
 *
 * Shared, because private file pages go in read-only: each first write would
 * fault again and copy. A forked child's is empty but for one stack: fork.c.
 *
 * Return: 0, -EINVAL, -EBUSY (mapped already).
 */
int kf_arena_mmap(struct kf_domain *d, struct vm_area_struct *vma, u64 offset)
{
	if (!kf_map_is_arena(offset, vma->vm_end - vma->vm_start))
		return -EINVAL;
	if (kf_arena_is_mapped(d, vma))
		return -EBUSY;
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_WIPEONFORK | VM_NOHUGEPAGE);
	vma->vm_private_data = d;
	vma->vm_ops = &kf_arena_vm_ops;
	kf_note_base(d, kf_map_stack_shift(offset),
		     vma->vm_start - (kf_map_region(offset).page << PAGE_SHIFT));
	return 0;
}

static struct vm_area_struct *kf_arena_vma(struct kf_domain *d, struct mm_struct *mm,
					   const struct kf_fiber *f)
{
	unsigned long start = kf_slot_address(d, f);
	struct vm_area_struct *vma = find_vma(mm, start);
	u64 pgoff = kf_slot_offset(f->stack_shift, f->slot) >> PAGE_SHIFT;

	if (!vma || vma->vm_start > start || vma->vm_end - start < 1ul << f->stack_shift)
		return NULL;
	if (vma->vm_ops != &kf_arena_vm_ops || vma->vm_private_data != d)
		return NULL;
	return vma->vm_pgoff + ((start - vma->vm_start) >> PAGE_SHIFT) == pgoff ? vma : NULL;
}

/**
 * kf_arena_maps() - is a fiber's slot where its arena's base says?
 * @d: the domain
 * @mm: its memory
 * @f: the fiber
 *
 * Context: mmap_lock.
 */
bool kf_arena_maps(struct kf_domain *d, struct mm_struct *mm, const struct kf_fiber *f)
{
	return kf_arena_vma(d, mm, f);
}

/* Gives a fiber that does not run its first pages. Context: mmap_lock. */
static int kf_start_locked(struct kf_domain *d, struct kf_fiber *f, u32 pages)
{
	struct vm_area_struct *vma = kf_arena_vma(d, current->mm, f);
	u32 top = min(READ_ONCE(f->low_page), kf_stack_pages(f->stack_shift));
	u32 have = atomic_read(&f->pages);
	u32 floor = kf_growth_floor(f->stack_shift, kf_guard(f->stack_shift, d->guard_bytes),
				    READ_ONCE(kf_fiber_block(f)->stack_limit));
	struct kf_growth g;
	u32 why;

	if (!vma)
		return -ENXIO;
	if (!(vma->vm_flags & VM_WRITE) || have >= pages || top <= floor)
		return 0;
	g.count = min(pages - have, top - floor);
	g.first = top - g.count;
	why = kf_grow(vma, kf_slot_address(d, f), f, &g, 0);
	if (why && !have && kf_trim_limit(d))
		why = kf_grow(vma, kf_slot_address(d, f), f, &g, 0);
	if (!why)
		atomic64_inc(&d->stack_starts);
	if (!why || have)
		return 0;
	trace_kfiber_stack_refuse(d, f, f->stack_shift, f->slot, why, 0);
	return why == KFIBER_REFUSED_MEMORY ? -ENOMEM : -EAGAIN;
}

/**
 * kf_arena_start() - give a stack its first pages
 * @d: the domain
 * @args: as user space gave them; out: how many there are
 *
 * Context: may sleep; takes mmap_lock.
 * Return: 0, -ENOENT, -ENXIO, -EAGAIN, -ENOMEM.
 */
int kf_arena_start(struct kf_domain *d, struct kfiber_start *args)
{
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(args->fiber));
	int err;

	if (!f || !kf_word_is(READ_ONCE(kf_fiber_block(f)->word), args->fiber, KFIBER_FREE))
		return -ENOENT;
	if (kf_account_tight(d))
		kf_trim_try(d, KF_TRIM_TIGHT);
	mmap_read_lock(current->mm);
	err = kf_start_locked(d, f, args->pages);
	mmap_read_unlock(current->mm);
	args->pages = atomic_read(&f->pages);
	kf_account_look(d);
	if (!err)
		kf_trim_grown(d);
	return err;
}

/**
 * kf_arena_query() - tell of a slot
 * @d: the domain
 * @args: in: the offset; out: the rest
 *
 * Context: any.
 * Return: 0, -EINVAL (no arena's offset), -ENOENT.
 */
int kf_arena_query(struct kf_domain *d, struct kfiber_stack *args)
{
	struct kfiber_fiber_block *block;
	u32 shift, refused_page;
	struct kf_place place;
	struct kf_fiber *f;

	if (!kf_map_is_arena(args->offset, 1))
		return -EINVAL;
	shift = kf_map_stack_shift(args->offset);
	place = kf_place(kf_map_region(args->offset).page, shift);
	f = xa_load(&d->arenas[shift - KFIBER_STACK_SHIFT_MIN].slots, place.slot);
	if (!f)
		return -ENOENT;
	block = kf_fiber_block(f);
	args->fiber = kf_fiber_name(f);
	args->stack_shift = f->stack_shift;
	args->slot = f->slot;
	args->guard = kf_guard(f->stack_shift, d->guard_bytes);
	args->limit = kf_stack_pages(f->stack_shift) -
		      kf_growth_floor(f->stack_shift, args->guard, READ_ONCE(block->stack_limit));
	args->pages = atomic_read(&f->pages);
	args->faults = READ_ONCE(f->faults);
	args->refused = READ_ONCE(f->refused);
	args->reason = READ_ONCE(f->refusal);
	refused_page = READ_ONCE(f->refused_page);
	args->refused_offset = args->reason ? kf_slot_offset(f->stack_shift, f->slot) +
					      ((u64)refused_page << PAGE_SHIFT) : 0;
	return 0;
}
