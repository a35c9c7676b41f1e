/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels we build for, 6.1 to 6.12. */
#ifndef KF_COMPAT_H
#define KF_COMPAT_H

#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/shrinker.h>
#include <linux/task_work.h>
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

static inline void kf_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx, 1);
#else
	eventfd_signal(ctx);
#endif
}

/*
 * Gives up the lock of a single mapping, if that is what a fault came with. Return: true:
 * the handler is to say VM_FAULT_RETRY, and comes again with mmap_lock held.
 */
static inline bool kf_fault_drop_vma(struct vm_fault *vmf)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	return false;
#else
	if (!(vmf->flags & FAULT_FLAG_VMA_LOCK))
		return false;
	vma_end_read(vmf->vma);
	return true;
#endif
}

/*
 * Queues a task work and wakes the task for it as a signal would. Context: under a raw lock;
 * so KASAN is to note who called without allocating, where that can be said.
 */
static inline int kf_task_interrupt(struct task_struct *task, struct callback_head *work)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	return task_work_add(task, work, TWA_SIGNAL);
#else
	return task_work_add(task, work, TWA_SIGNAL | TWAF_NO_ALLOC);
#endif
}

typedef unsigned long (*kf_shrink_fn)(struct shrinker *s, struct shrink_control *sc);

/* The module has one shrinker. Return: it, or an error. */
static inline struct shrinker *kf_shrinker_register(kf_shrink_fn count, kf_shrink_fn scan)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	static struct shrinker shrinker = { .seeks = DEFAULT_SEEKS };
	struct shrinker *s = &shrinker;
	int err;

	s->count_objects = count;
	s->scan_objects = scan;
	err = register_shrinker(s, "kfiber");
	return err ? ERR_PTR(err) : s;
#else
	struct shrinker *s = shrinker_alloc(0, "kfiber");

	if (!s)
		return ERR_PTR(-ENOMEM);
	s->count_objects = count;
	s->scan_objects = scan;
	shrinker_register(s);
	return s;
#endif
}

static inline void kf_shrinker_unregister(struct shrinker *s)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 7, 0)
	unregister_shrinker(s);
#else
	shrinker_free(s);
#endif
}

#endif /* KF_COMPAT_H */
