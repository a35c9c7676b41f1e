// SPDX-License-Identifier: GPL-2.0
/*
 * fork() in a fiber. The child is one thread, the forking one, and goes on with
 * the same stack pointer: it needs that one stack, as a copy, and no other.
 *
 * The arena is shared memory, so the kernel would let the child write to its
 * parent's stacks. VM_WIPEONFORK makes the child's mapping empty instead; then
 * vm_ops->open() is called for it, with the parent's mmap_lock held, and copies
 * what lies above the forking thread's stack pointer. User space can clear the
 * flag (MADV_KEEPONFORK), and must not get at the parent's pages by that: open()
 * sets it again for the child.
 *
 * A mapping may also be split by somebody else's userfaultfd; then open() is
 * called by neither parent nor child. So what is copied is read by user
 * addresses, never in page tables whose lock may not be ours.
 *
 * In the child a stack grows only under the stack pointer of who touches it:
 * there are no other stacks. Its pages are its own, and not counted for the
 * domain, which it is no part of.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "delay.h"
#include "fault.h"
#include "growth.h"
#include "internal.h"

/**
 * kf_fork_empty() - leave nothing of the parent's in a child's mapping
 * @child: the mapping, in fork()
 *
 * Before 6.9 what is to be shared is there already when open() is called, from
 * then on it comes afterwards unless the flag is set.
 *
 * Context: both mms are locked for writing, nobody runs in the child's.
 */
void kf_fork_empty(struct vm_area_struct *child)
{
	if (child->vm_flags & VM_WIPEONFORK)
		return;
	vm_flags_set(child, VM_WIPEONFORK);
	/* It does nothing without VM_PFNMAP; what it does is the same for our pages. */
	vm_flags_set(child, VM_PFNMAP);
	zap_vma_ptes(child, child->vm_start, child->vm_end - child->vm_start);
	vm_flags_clear(child, VM_PFNMAP);
}

/*
 * A page of the parent's, which is who runs this, by way of its own addresses:
 * nothing is waited for, no lock is asked for, and what is not there or may not
 * be read is an error, as is a failed allocation. Then the page is missing in
 * the child, which faults.
 */
static void kf_fork_copy_page(struct vm_area_struct *child, unsigned long addr)
{
	struct page *page = alloc_page(GFP_KERNEL_ACCOUNT);

	if (!page)
		return;
	if (!copy_from_user_nofault(page_address(page), (void __user *)addr, PAGE_SIZE))
		vm_insert_page(child, addr, page);
	put_page(page);
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
	for (addr = sp & PAGE_MASK; addr < end; addr += PAGE_SIZE) {
		kf_delay_sleep(KF_DELAY_FORK);
		kf_fork_copy_page(child, addr);
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

	if (kf_fault_is_marked(vmf))
		return VM_FAULT_SIGBUS;
	if (vmf->address < bottom || sp < bottom || sp > slot + (1ul << stack_shift))
		return VM_FAULT_SIGSEGV;
	page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!page)
		return VM_FAULT_OOM;
	err = vm_insert_page(vma, vmf->address & PAGE_MASK, page);
	put_page(page);
	return kf_fault_result(err);
}
