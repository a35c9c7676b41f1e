/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels we build for, 6.1 to 6.12. */
#ifndef KF_COMPAT_H
#define KF_COMPAT_H

#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/*
 * Is the task that is being switched out still runnable, that is, preempted?
 * Since 6.12 a task that sleeps may stay on the run queue for a while (delayed
 * dequeue), so on_rq alone does not tell.
 */
static inline bool kf_task_preempted(struct task_struct *task)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	return task->on_rq;
#else
	return task_is_runnable(task);
#endif
}

#endif /* KF_COMPAT_H */
