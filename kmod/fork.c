// SPDX-License-Identifier: GPL-2.0
/*
 * fork() in a fiber. The child is one thread, the forking one, and goes on with
 * the same stack pointer: it needs that one stack, as a copy, and no other.
 *
 * The arena is shared memory, so the kernel would let the child write to its
 * parent's stacks. VM_WIPEONFORK makes the child's mapping empty instead; then
 * vm_ops->open() is called for it, with the parent's mmap_lock held, and copies
 * what lies above the forking thread's stack pointer.
 *
 * In the child a stack grows only under the stack pointer of who touches it:
 * there are no other stacks. Its pages are its own, and not counted for the
 * domain, which it is no part of.
 */
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>

#include "delay.h"
#include "growth.h"
#include "internal.h"

/* Pages that are looked up under the page-table lock at a time. */
#define KF_FORK_BATCH 16u

/**
 * struct kf_fork_batch - pages of the parent
 * @start: where the first would be
 * @pages: what there is, a reference to each; NULL where there is none
 */
struct kf_fork_batch {
	unsigned long start;
	struct page *pages[KF_FORK_BATCH];
};

/* Context: page-table lock. */
static int kf_fork_collect(pte_t *pte, unsigned long addr, void *data)
{
	struct kf_fork_batch *batch = data;
	pte_t entry = ptep_get(pte);

	if (pte_present(entry)) {
		struct page *page = pte_page(entry);

		get_page(page);
		batch->pages[(addr - batch->start) >> PAGE_SHIFT] = page;
	}
	return 0;
}

/* A page that cannot be copied is missing in the child, which then faults. */
static void kf_fork_copy_page(struct vm_area_struct *child, unsigned long addr, struct page *from)
{
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT);

	if (!page)
		return;
	copy_highpage(page, from);
	vm_insert_page(child, addr, page);
	put_page(page);
}

static void kf_fork_copy_batch(struct vm_area_struct *child, unsigned long start, u32 n)
{
	struct kf_fork_batch batch = { .start = start };
	u32 i;

	apply_to_existing_page_range(current->mm, start, n * PAGE_SIZE, kf_fork_collect, &batch);
	kf_delay_sleep(KF_DELAY_FORK);
	for (i = 0; i < n; i++) {
		if (!batch.pages[i])
			continue;
		kf_fork_copy_page(child, start + i * PAGE_SIZE, batch.pages[i]);
		put_page(batch.pages[i]);
	}
}

/* Where the slot lies in which @addr, of @vma, is. */
static unsigned long kf_slot_start(const struct vm_area_struct *vma, unsigned long addr,
				   u32 stack_shift)
{
	u64 pgoff = vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);

	return (addr & PAGE_MASK) - kf_place(pgoff, stack_shift).page * PAGE_SIZE;
}

/**
 * kf_fork_copy_stack() - give a forked child the stack that it runs on
 * @child: its mapping of the arena, empty
 * @stack_shift: the arena's class
 *
 * Context: in fork(), by the parent; both mms are locked for writing.
 */
void kf_fork_copy_stack(struct vm_area_struct *child, u32 stack_shift)
{
	unsigned long sp = user_stack_pointer(current_pt_regs()) - KF_RED_ZONE;
	unsigned long addr, end;

	if (sp < child->vm_start || sp >= child->vm_end)
		return;
	end = min(kf_slot_start(child, sp, stack_shift) + (1ul << stack_shift), child->vm_end);
	for (addr = sp & PAGE_MASK; addr < end; addr += KF_FORK_BATCH * PAGE_SIZE) {
		u32 n = min_t(unsigned long, KF_FORK_BATCH, (end - addr) >> PAGE_SHIFT);

		kf_fork_copy_batch(child, addr, n);
		cond_resched();
	}
}

/**
 * kf_fork_fault() - a fault in the arena of a forked child
 * @vmf: the fault
 * @stack_shift: the arena's class
 *
 * Context: page fault.
 * Return: as a fault handler.
 */
vm_fault_t kf_fork_fault(struct vm_fault *vmf, u32 stack_shift)
{
	struct vm_area_struct *vma = vmf->vma;
	unsigned long slot = kf_slot_start(vma, vmf->address, stack_shift);
	unsigned long sp = user_stack_pointer(current_pt_regs());
	struct kf_domain *d = vma->vm_private_data;
	unsigned long bottom = slot + kf_guard(stack_shift, d->guard_bytes) * PAGE_SIZE;
	struct page *page;
	int err;

	if (vmf->address < bottom || sp < bottom || sp > slot + (1ul << stack_shift))
		return VM_FAULT_SIGSEGV;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return VM_FAULT_OOM;
	err = vm_insert_page(vma, vmf->address & PAGE_MASK, page);
	put_page(page);
	if (err == -ENOMEM)
		return VM_FAULT_OOM;
	return err && err != -EBUSY ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}
