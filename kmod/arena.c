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
 * decide; a process that gives pages back by madvise() is counted too high.
 *
 * Two threads may fault in the same slot, or in the same page; who is second
 * finds the page there (-EBUSY).
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "compat.h"
#include "delay.h"
#include "growth.h"
#include "internal.h"
#include "limits.h"
#include "map.h"

/* Pages that are allocated and put in together; bounds the kernel's stack. */
#define KF_GROW_BATCH 16u

static u32 kf_vma_stack_shift(const struct vm_area_struct *vma)
{
	return kf_map_stack_shift((u64)vma->vm_pgoff << PAGE_SHIFT);
}

static u32 kf_alloc_pages(struct page **pages, u32 n)
{
	u32 i;

	for (i = 0; i < n; i++) {
		pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO |
				      (i ? __GFP_NORETRY | __GFP_NOWARN : 0));
		if (!pages[i])
			break;
	}
	return i;
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
 * of the upper ones as there is memory for.
 */
static int kf_grow_batch(struct vm_area_struct *vma, unsigned long base, u32 top, u32 n)
{
	struct kf_domain *d = vma->vm_private_data;
	struct page *pages[KF_GROW_BATCH];
	u32 have;
	int done;

	if (!kf_charge(&d->stack_pages, d->stack_pages_max, n)) {
		n = 1;
		if (!kf_charge(&d->stack_pages, d->stack_pages_max, n))
			return -EDQUOT;
	}
	have = kf_alloc_pages(pages, n);
	kf_delay_sleep(KF_DELAY_GROW);
	done = have ? kf_insert_pages(vma, base + (top + 1 - have) * PAGE_SIZE, pages, have) :
		      -ENOMEM;
	atomic_long_sub(n - max(done, 0), &d->stack_pages);
	return done;
}

static void kf_count_growth(struct kf_fiber *f, u32 first, int pages)
{
	atomic_add(pages, &f->pages);
	if (first < READ_ONCE(f->low_page))
		WRITE_ONCE(f->low_page, first);
}

/* From the touched page downwards; what fails after the first batch is luxury. */
static vm_fault_t kf_grow(struct vm_area_struct *vma, unsigned long base, struct kf_fiber *f,
			  const struct kf_growth *g)
{
	u32 left = g->count;
	int done = 0;

	while (left) {
		u32 n = min(left, KF_GROW_BATCH);

		done = kf_grow_batch(vma, base, g->first + left - 1, n);
		if (done < 0)
			break;
		left -= n;
		kf_count_growth(f, g->first + left, done);
	}
	if (left < g->count || done >= 0)
		return VM_FAULT_NOPAGE;
	return done == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

static vm_fault_t kf_arena_refuse(struct kf_domain *d, vm_fault_t why)
{
	atomic64_inc(&d->stack_refused);
	return why;
}

static vm_fault_t kf_arena_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct kf_domain *d = vma->vm_private_data;
	u32 shift = kf_vma_stack_shift(vma);
	struct kf_place place = kf_place(kf_map_region((u64)vmf->pgoff << PAGE_SHIFT).page, shift);
	u32 guard = kf_guard_pages(shift);
	struct kf_growth g;
	struct kf_fiber *f;
	unsigned long base;
	vm_fault_t ret;

	if (vma->vm_mm != d->mm)
		return kf_fork_fault(vmf, shift);
	f = xa_load(&d->arenas[shift - KFIBER_STACK_SHIFT_MIN].slots, place.slot);
	if (place.page < guard || !f || !READ_ONCE(f->allocated))
		return kf_arena_refuse(d, VM_FAULT_SIGSEGV);

	g = kf_growth(place.page, READ_ONCE(f->low_page), atomic_read(&f->pages), guard);
	base = (vmf->address & PAGE_MASK) - place.page * PAGE_SIZE;
	if (base < vma->vm_start)
		g = kf_growth_clip(g, (vma->vm_start - base) >> PAGE_SHIFT);
	ret = kf_grow(vma, base, f, &g);
	if (ret != VM_FAULT_NOPAGE)
		return kf_arena_refuse(d, ret);
	atomic64_inc(&d->stack_faults);
	return ret;
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
	if (vma->vm_mm != current->mm)
		kf_fork_copy_stack(vma, kf_vma_stack_shift(vma));
}

static const struct vm_operations_struct kf_arena_vm_ops = {
	.open = kf_arena_open,
	.fault = kf_arena_fault,
	.map_pages = kf_arena_map_pages,
};

/**
 * kf_arena_mmap() - map an arena, or a part of one
 * @d: a domain that is set up
 * @vma: a shared mapping, of the domain's own mm
 * @offset: KFIBER_MAP_STACKS, the class, and where in it
 *
 * Shared, because private file pages go in read-only: each first write would
 * fault again and copy. A forked child's is empty but for one stack: fork.c.
 *
 * Return: 0, -EINVAL.
 */
int kf_arena_mmap(struct kf_domain *d, struct vm_area_struct *vma, u64 offset)
{
	if (!kf_map_is_arena(offset, vma->vm_end - vma->vm_start))
		return -EINVAL;
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_WIPEONFORK | VM_NOHUGEPAGE);
	vma->vm_private_data = d;
	vma->vm_ops = &kf_arena_vm_ops;
	return 0;
}
