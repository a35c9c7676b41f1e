// SPDX-License-Identifier: GPL-2.0
/*
 * Planted bugs: warnings, oopses, tasks that make others wait, and races.
 *
 * The patience of the detectors is made short by user space (run), for the one
 * bug; how long these keep at it follows from that.
 */
#include <linux/bug.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/panic.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/workqueue.h>

#include "planted.h"

static void nothing(void)
{
}

static void warning(void)
{
	WARN_ON(1);
}

static void bug(void)
{
	BUG();
}

/* Hidden, or the compiler takes what follows for unreachable. */
static void null_pointer(void)
{
	int *p = NULL;

	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(*p, 1);
}

static void wild_pointer(void)
{
	int *p = (int *)0x1234567812345678;

	OPTIMIZER_HIDE_VAR(p);
	WRITE_ONCE(*p, 1);
}

/* The detector looks every second, and wants to see the same thing twice. */
static void hung_task(void)
{
	schedule_timeout_uninterruptible(5 * HZ);
}

/* The detector looks every two fifths of a second, and taints the kernel. */
static void soft_lockup(void)
{
	unsigned long deadline = jiffies + 20 * HZ;

	preempt_disable();
	while (!test_taint(TAINT_SOFTLOCKUP) && time_before(jiffies, deadline))
		cpu_relax();
	preempt_enable();
}

static void wait_for_readers(struct work_struct *work)
{
	synchronize_rcu();
}

static void wait_for_readers_expedited(struct work_struct *work)
{
	synchronize_rcu_expedited();
}

/* Reads for that long while somebody waits for the readers. */
static void stall(work_func_t waiter, unsigned long duration)
{
	unsigned long deadline;
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, waiter);
	rcu_read_lock();
	queue_work(system_unbound_wq, &work);
	deadline = jiffies + duration;
	while (time_before(jiffies, deadline))
		cpu_relax();
	rcu_read_unlock();
	flush_work(&work);
	destroy_work_on_stack(&work);
}

/*
 * Three seconds are the least that RCU can be told, and its proofs add five. A grace
 * period that began before it was told keeps its patience: let it end.
 */
static void rcu_stall(void)
{
	synchronize_rcu();
	stall(wait_for_readers, (IS_ENABLED(CONFIG_PROVE_RCU) ? 10 : 5) * HZ);
}

static void rcu_stall_expedited(void)
{
	stall(wait_for_readers_expedited, 2 * HZ);
}

static unsigned long racy;

static void count(struct work_struct *work)
{
	unsigned long deadline = jiffies + 4 * HZ;

	while (time_before(jiffies, deadline)) {
		racy++;
		barrier();
	}
}

static void race(void)
{
	struct work_struct work;

	INIT_WORK_ONSTACK(&work, count);
	queue_work(system_unbound_wq, &work);
	count(NULL);
	flush_work(&work);
	destroy_work_on_stack(&work);
}

static void taint(void)
{
	add_taint(TAINT_USER, LOCKDEP_STILL_OK);
}

/* Nobody will ever close it. */
static void hold_module(void)
{
	struct file *file = filp_open("/dev/kfiber", O_RDWR, 0);

	WARN_ON(IS_ERR(file));
}

static void planted_panic(void)
{
	panic("planted");
}

const struct planted planted_tasks[] = {
	{ "nothing", AT_ONCE, EVERY_KERNEL,
	  "", nothing },
	{ "race", AT_ONCE, NEEDS(KCSAN),
	  "BUG: KCSAN: data-race", race },
	{ "hung-task", AT_ONCE, NEEDS(DETECT_HUNG_TASK),
	  "task .* blocked for more than", hung_task },
	{ "soft-lockup", AT_ONCE, NEEDS(SOFTLOCKUP_DETECTOR),
	  "BUG: soft lockup", soft_lockup },
	{ "rcu-stall", AT_ONCE, EVERY_KERNEL,
	  "(self-)?detected stall", rcu_stall },
	{ "rcu-stall-expedited", AT_ONCE, EVERY_KERNEL,
	  "detected expedited stalls", rcu_stall_expedited },
	{ "warning", AT_ONCE, EVERY_KERNEL,
	  "WARNING: .* warning\\+", warning },
	{ "bug", AT_ONCE, EVERY_KERNEL,
	  "kernel BUG at ", bug },
	{ "null-pointer", AT_ONCE, EVERY_KERNEL,
	  "BUG: kernel NULL pointer dereference|KASAN: null-ptr-deref", null_pointer },
	{ "wild-pointer", AT_ONCE, EVERY_KERNEL,
	  "general protection fault", wild_pointer },
	{ "taint", LAST, EVERY_KERNEL,
	  "SPLAT: the kernel is tainted", taint },
	{ "hold-module", LAST, EVERY_KERNEL,
	  "SPLAT: rmmod: ", hold_module },
	{ "panic", LAST, EVERY_KERNEL,
	  "Kernel panic - not syncing: planted", planted_panic },
	{ }
};
