// SPDX-License-Identifier: GPL-2.0
/*
 * The shared pages: the domain's header, and the tables of processors, workers
 * and fibers. The module allocates them and keeps them until the domain is
 * freed, so the kernel can use its own addresses of them at any time; a mapping
 * holds a reference of its own. Tables grow, so their pages are put in when
 * they are touched; a page that does not exist yet is a SIGBUS.
 */
#include <linux/mm.h>

#include "compat.h"
#include "fault.h"
#include "internal.h"
#include "map.h"

/* Context: RCU or anything that keeps the domain. Pages are never taken away. */
static void *kf_shared_page(struct kf_domain *d, u64 offset)
{
	struct kf_region region = kf_map_region(offset);
	struct kf_fiber_chunk *chunk;

	switch (region.base) {
	case KFIBER_MAP_DOMAIN:
		return region.page ? NULL : d->block;
	case KFIBER_MAP_PROCESSORS:
		if (region.page >= d->nr_processors)
			return NULL;
		return d->processors[region.page].block;
	case KFIBER_MAP_WORKERS:
		return xa_load(&d->worker_pages, region.page);
	case KFIBER_MAP_FIBERS:
		chunk = xa_load(&d->chunks, region.page);
		return chunk ? chunk->blocks : NULL;
	}
	return NULL;
}

static vm_fault_t kf_shared_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct kf_domain *d = vma->vm_private_data;
	void *page = kf_shared_page(d, (u64)vmf->pgoff << PAGE_SHIFT);

	if (!page || kf_fault_is_marked(vmf))
		return VM_FAULT_SIGBUS;
	return kf_fault_result(vm_insert_page(vma, vmf->address & PAGE_MASK, virt_to_page(page)));
}

/* What has a name is in core dumps: without the tables no debugger finds a fiber. */
static const char *kf_shared_name(struct vm_area_struct *vma)
{
	return kf_core_name(vma, "[kfiber]");
}

static const struct vm_operations_struct kf_shared_vm_ops = {
	.fault = kf_shared_fault,
	.name = kf_shared_name,
};

/**
 * kf_shared_mmap() - map a header or table
 * @d: a domain that is set up
 * @vma: a shared mapping, of the domain's own mm
 * @offset: KFIBER_MAP_*, and where in it
 *
 * A forked child gets nothing of it: it has no domain.
 *
 * Return: 0, -EINVAL.
 */
int kf_shared_mmap(struct kf_domain *d, struct vm_area_struct *vma, u64 offset)
{
	if (!kf_map_is_shared(offset, vma->vm_end - vma->vm_start))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EINVAL;
	vm_flags_set(vma, VM_MIXEDMAP | VM_DONTEXPAND | VM_DONTCOPY);
	vm_flags_clear(vma, VM_MAYEXEC);
	vma->vm_private_data = d;
	vma->vm_ops = &kf_shared_vm_ops;
	return 0;
}
