// SPDX-License-Identifier: GPL-2.0
/*
 * Planted bugs: locks, interrupts and RCU.
 *
 * Lockdep switches itself off with its first report. To show more than one in a
 * boot it is switched on again, as lib/locking-selftest.c does. What was
 * locked or unlocked meanwhile it has not seen. The writer has unlocked what it
 * locked: its record is put back to what it was. Nobody else has done either: one
 * CPU is online, and it is not preempted from before the report until lockdep
 * is on again. Interrupts leave things as they found them.
 *
 * None of these is a deadlock: each lock is free when it is taken.
 */
#include <linux/debug_locks.h>
#include <linux/irq_work.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>

#include "planted.h"

#ifdef CONFIG_LOCKDEP
/* What the writer holds, in lockdep's eyes; one writes at a time. */
static struct {
	unsigned int depth;
	u64 chain_key;
} held;

static void begin(void)
{
	preempt_disable();
	held.depth = current->lockdep_depth;
	held.chain_key = current->curr_chain_key;
}

/*
 * An interrupt in which lockdep went off left it believing that interrupts are
 * off; enabling them, seen by it, corrects that.
 */
static void end(void)
{
	local_irq_disable();
	current->lockdep_depth = held.depth;
	current->curr_chain_key = held.chain_key;
	debug_locks = 1;
	local_irq_enable();
	preempt_enable();
}
#else
static void begin(void)
{
}

static void end(void)
{
}
#endif

static void take(raw_spinlock_t *lock)
{
	raw_spin_lock(lock);
	raw_spin_unlock(lock);
}

static void take_both(raw_spinlock_t *outer, raw_spinlock_t *inner)
{
	raw_spin_lock(outer);
	take(inner);
	raw_spin_unlock(outer);
}

static void take_both_irqs_off(raw_spinlock_t *outer, raw_spinlock_t *inner)
{
	unsigned long flags;

	local_irq_save(flags);
	take_both(outer, inner);
	local_irq_restore(flags);
}

struct in_irq {
	struct irq_work work;
	raw_spinlock_t *lock;
};

static void irq_takes_lock(struct irq_work *work)
{
	take(container_of(work, struct in_irq, work)->lock);
}

static void take_in_irq(raw_spinlock_t *lock)
{
	struct in_irq in_irq = {
		.work = IRQ_WORK_INIT_HARD(irq_takes_lock),
		.lock = lock,
	};

	irq_work_queue(&in_irq.work);
	/* It comes to this very CPU; irq_work_sync() would want to sleep. */
	while (irq_work_is_busy(&in_irq.work))
		cpu_relax();
}

static void abba(void)
{
	static DEFINE_RAW_SPINLOCK(a);
	static DEFINE_RAW_SPINLOCK(b);

	begin();
	take_both(&a, &b);
	take_both(&b, &a);
	end();
}

static void recursive(void)
{
	raw_spinlock_t locks[2];
	int i;

	/* Initialized by one statement, so of one class. */
	for (i = 0; i < ARRAY_SIZE(locks); i++)
		raw_spin_lock_init(&locks[i]);
	begin();
	take_both(&locks[0], &locks[1]);
	end();
}

static void irq_state(void)
{
	static DEFINE_RAW_SPINLOCK(lock);

	begin();
	take_in_irq(&lock);
	take(&lock);
	end();
}

static void irq_order(void)
{
	static DEFINE_RAW_SPINLOCK(safe);
	static DEFINE_RAW_SPINLOCK(unsafe);

	begin();
	take_in_irq(&safe);
	take(&unsafe);
	take_both_irqs_off(&safe, &unsafe);
	end();
}

/* The same the other way round: the interrupt comes last. */
static void irq_inversion(void)
{
	static DEFINE_RAW_SPINLOCK(safe);
	static DEFINE_RAW_SPINLOCK(unsafe);

	begin();
	take(&unsafe);
	take_both_irqs_off(&safe, &unsafe);
	take_in_irq(&safe);
	end();
}

static void unlock_twice(void)
{
	static raw_spinlock_t lock __maybe_unused = __RAW_SPIN_LOCK_UNLOCKED(lock);

	begin();
	/* Only for lockdep: the lock itself would not survive it. */
	lock_release(&lock.dep_map, _THIS_IP_);
	end();
}

static void freed_lock(void)
{
	static DEFINE_RAW_SPINLOCK(lock);

	begin();
	raw_spin_lock(&lock);
	/* What kfree() does first. */
	debug_check_no_locks_freed(&lock, sizeof(lock));
	raw_spin_unlock(&lock);
	end();
}

/* Nobody has initialized it. */
static void unknown_lock(void)
{
	raw_spinlock_t *lock = kzalloc(sizeof(*lock), GFP_KERNEL);

	if (!lock)
		return;
	begin();
	take(lock);
	end();
	kfree(lock);
}

static void rcu_unprotected(void)
{
	static int __rcu *pointer;

	(void)rcu_dereference(pointer);
}

/* Lockdep stays off, and this lock locked. */
static void lock_to_user(void)
{
	static DEFINE_MUTEX(lock);

	mutex_lock(&lock);
}

static void sleep_in_atomic(void)
{
	preempt_disable();
	might_sleep();
	preempt_enable();
}

static void sleep_in_rcu(void)
{
	rcu_read_lock();
	schedule_timeout_uninterruptible(1);
	rcu_read_unlock();
}

static void sleep_not_running(void)
{
	set_current_state(TASK_UNINTERRUPTIBLE);
	might_sleep();
	__set_current_state(TASK_RUNNING);
}

/* The scheduler mends the count, and says so. */
static void schedule_atomic(void)
{
	int count = preempt_count();

	preempt_disable();
	schedule_timeout_uninterruptible(1);
	preempt_count_set(count);
}

static void preemptible_cpu(void)
{
	(void)smp_processor_id();
}

const struct planted planted_locks[] = {
	{ "abba", ONE_CPU, NEEDS(PROVE_LOCKING),
	  "possible circular locking dependency", abba },
	{ "recursive-lock", ONE_CPU, NEEDS(PROVE_LOCKING),
	  "possible recursive locking", recursive },
	{ "irq-state", ONE_CPU, NEEDS(PROVE_LOCKING),
	  "inconsistent lock state", irq_state },
	{ "irq-order", ONE_CPU, NEEDS(PROVE_LOCKING),
	  "HARDIRQ-safe -> HARDIRQ-unsafe lock order", irq_order },
	{ "irq-inversion", ONE_CPU, NEEDS(PROVE_LOCKING),
	  "possible irq lock inversion", irq_inversion },
	{ "unlock-twice", ONE_CPU, NEEDS(PROVE_LOCKING),
	  "bad unlock balance", unlock_twice },
	{ "freed-lock", ONE_CPU, NEEDS(PROVE_LOCKING),
	  "held lock freed", freed_lock },
	{ "unknown-lock", ONE_CPU, NEEDS(PROVE_LOCKING),
	  "trying to register non-static key", unknown_lock },
	{ "rcu-unprotected", ONE_CPU, NEEDS(PROVE_RCU),
	  "suspicious RCU usage", rcu_unprotected },
	/* After this lockdep is off. */
	{ "lock-to-user", AT_ONCE, NEEDS(PROVE_LOCKING),
	  "lock held when returning to user space", lock_to_user },
	{ "sleep-in-atomic", AT_ONCE, NEEDS(DEBUG_ATOMIC_SLEEP),
	  "sleeping function called from invalid context", sleep_in_atomic },
	{ "sleep-in-rcu", AT_ONCE, NEEDS(PREEMPT_RCU),
	  "Voluntary context switch within RCU", sleep_in_rcu },
	{ "sleep-not-running", AT_ONCE, NEEDS(DEBUG_ATOMIC_SLEEP),
	  "do not call blocking ops when", sleep_not_running },
	{ "schedule-atomic", AT_ONCE, NEEDS(PREEMPT_COUNT),
	  "scheduling while atomic", schedule_atomic },
	{ "preemptible-cpu", AT_ONCE, NEEDS(DEBUG_PREEMPT),
	  "using smp_processor_id\\(\\) in preemptible", preemptible_cpu },
	{ }
};
