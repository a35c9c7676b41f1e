/* SPDX-License-Identifier: GPL-2.0 */
/* What our mappings have in common: page faults, and what is in a core dump. */
#ifndef KF_FAULT_H
#define KF_FAULT_H

#include <linux/mm.h>

/*
 * Where no page is, userfaultfd may have left a marker (write protection, on
 * kernels that allow it for any mapping). Nothing can be put in there, and the
 * fault would be taken for ever.
 */
static inline bool kf_fault_is_marked(const struct vm_fault *vmf)
{
	return vmf->flags & FAULT_FLAG_ORIG_PTE_VALID && !pte_none(vmf->orig_pte);
}

/* The answer of a handler to what became of its page: vm_insert_page()'s. */
static inline vm_fault_t kf_fault_result(int err)
{
	if (err == -ENOMEM)
		return VM_FAULT_OOM;
	/* -EBUSY: another thread was first. */
	return err && err != -EBUSY ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
}

/*
 * A mapping of a file is in a core dump when it has a name, and only then, if
 * /proc/PID/coredump_filter does not say otherwise. (/proc/PID/maps shows the
 * file's.) With one it would also be there against its owner's MADV_DONTDUMP.
 */
static inline const char *kf_core_name(const struct vm_area_struct *vma, const char *name)
{
	return vma->vm_flags & VM_DONTDUMP ? NULL : name;
}

#endif /* KF_FAULT_H */
