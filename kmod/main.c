// SPDX-License-Identifier: GPL-2.0
/* Loading and unloading. */
#include <linux/module.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>

#include "delay.h"
#include "internal.h"

struct workqueue_struct *kf_workqueue;

/*
 * Freezes what the ABI header promises: sizes, and that no struct has a hole
 * that the compiler fills as it likes.
 */
static inline void kf_check_abi(void)
{
	BUILD_BUG_ON(sizeof(struct kfiber_domain_block) != 960);
	BUILD_BUG_ON(sizeof(struct kfiber_processor_block) != 4096);
	BUILD_BUG_ON(offsetof(struct kfiber_processor_block, local_head) != 64);
	BUILD_BUG_ON(offsetof(struct kfiber_processor_block, inbox_head) != 192);
	BUILD_BUG_ON(offsetof(struct kfiber_processor_block, local) != 320);
	BUILD_BUG_ON(offsetof(struct kfiber_processor_block, inbox) != 2368);
	BUILD_BUG_ON(sizeof(struct kfiber_worker_block) != 64);
	BUILD_BUG_ON(sizeof(struct kfiber_fiber_block) != 128);
	BUILD_BUG_ON(offsetof(struct kfiber_fiber_block, name) != 80);
	BUILD_BUG_ON(offsetof(struct kfiber_fiber_block, stack_limit) != 108);
	BUILD_BUG_ON(sizeof(struct kfiber_query) != 24);
	BUILD_BUG_ON(sizeof(struct kfiber_setup) != 72);
	BUILD_BUG_ON(sizeof(struct kfiber_simple) != 16);
	BUILD_BUG_ON(sizeof(struct kfiber_next) != 32);
	BUILD_BUG_ON(sizeof(struct kfiber_kick) != 8);
	BUILD_BUG_ON(sizeof(struct kfiber_fibers) != 24);
	BUILD_BUG_ON(sizeof(struct kfiber_stats) != 272);
	BUILD_BUG_ON(sizeof(struct kfiber_trim) != 16);
	BUILD_BUG_ON(sizeof(struct kfiber_stack) != 64);
	BUILD_BUG_ON(sizeof(struct kfiber_watch) != 16);
	BUILD_BUG_ON(sizeof(struct kfiber_start) != 24);
	BUILD_BUG_ON(sizeof(struct kfiber_file) != 80);
	BUILD_BUG_ON(sizeof(struct kfiber_processors) != 16);
	BUILD_BUG_ON(sizeof(struct kfiber_aside) != 16);
}

/*
 * Preempt notifiers are switched on while the module is loaded, not while a
 * domain is open: it patches the scheduler's code on all CPUs, which is more of
 * a burden to others than the test of one pointer at each switch.
 */
static int __init kf_init(void)
{
	int err;

	kf_check_abi();
	kf_workqueue = alloc_workqueue("kfiber", WQ_UNBOUND, 0);
	if (!kf_workqueue)
		return -ENOMEM;
	err = kf_fiber_init();
	if (err)
		goto destroy_workqueue;
	err = kf_trim_init();
	if (err)
		goto exit_fiber;
	preempt_notifier_inc();
	kf_delay_init();
	err = kf_device_init();
	if (err)
		goto dec_notifiers;
	return 0;

dec_notifiers:
	kf_delay_exit();
	preempt_notifier_dec();
	kf_trim_exit();
exit_fiber:
	kf_fiber_exit();
destroy_workqueue:
	destroy_workqueue(kf_workqueue);
	return err;
}

/*
 * Every domain holds a reference to the module, which its last work item drops.
 * What can still run of our text is then: that item (the workqueue waits for
 * it), an RCU callback (the barrier), the last instructions of a wait queue's
 * function that has fired and left its queue (a grace period), and those of a task
 * work that was preempted (RCU-tasks waits for those).
 */
static void __exit kf_exit(void)
{
	kf_device_exit();
	kf_delay_exit();
	preempt_notifier_dec();
	kf_trim_exit();
	rcu_barrier();
	destroy_workqueue(kf_workqueue);
	kf_fiber_exit();
	synchronize_rcu();
	synchronize_rcu_tasks();
}

module_init(kf_init);
module_exit(kf_exit);
MODULE_DESCRIPTION("Lightweight tasks for user space");
MODULE_AUTHOR("The kfiber authors");
MODULE_LICENSE("GPL");
