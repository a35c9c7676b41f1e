/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The map of the module: its objects, who guards what, and what each file
 * offers to the others.
 *
 *   device.c     the character device, the table of ioctls
 *   domain.c     a domain's life
 *   shared.c     the pages that user space maps
 *   fiber.c      control blocks, names, pools
 *   timer.c      deadlines
 *   file.c       fibers that wait for files
 *   sched.c      processors: who holds which; the scheduling lock
 *   worker.c     threads that enter the module; NEXT
 *   handover.c   what happens when a worker sleeps, wakes up, or dies
 *   interrupt.c  system calls that are to end
 *   preempt.c    who computes while others wait
 *   processors.c how many processors are in use
 *   surplus.c    workers that are not needed any more
 *   pin.c        fibers that stay on their thread
 *   deadlock.c   nobody can go on
 *   aside.c      threads that only look on
 *   account.c    what memory is counted against; pressure
 *   arena.c      stacks and their page faults
 *   trim.c       pages that stacks do not need go back
 *   trim_pool.c  likewise, from stacks in the module's pool
 *   usage.c      how much of its stacks a domain uses
 *   fork.c       the one stack that a forked child gets
 *   trace.c      trace points: trace.h
 *   delay.c      delay points, in test builds only
 *
 * What can be computed or decided without taking a lock is in headers, inline,
 * with a KUnit test beside each: word.h, ring.h, queue.h, balance.h, deadline.h,
 * limits.h, slice.h, chunk.h, map.h, growth.h, ready.h, interrupt.h, latency.h, priority.h.
 * fault.h is what mappings have in common.
 *
 * Lock order, outermost first. Locks in one line are never held together.
 *
 *   kf_trim_lock                 the list of domains; tried only, in reclaim
 *   mmap_lock or per-VMA lock    page faults and mmap; tried only, in reclaim
 *   domain.setup_mutex           SETUP, close
 *   domain.fiber_mutex           ALLOC and FREE; tried only, in reclaim
 *   kf_users_lock                who pays
 *   domain.zap_lock              pages taken away, against fork()
 *   domain.mapping.i_mmap_rwsem  (core) where they are mapped
 *   domain.watch_lock            who is told of pressure
 *   a wait queue's lock          (core) held around file.c's wake-up
 *   fiber.timer_lock             (raw) the decision when a timer looks again
 *   worker.interrupt_lock        (raw) who interrupts it, and its waking up; wakes it
 *   run-queue lock               (core) held around sched_out
 *   domain.lock                  (raw) scheduling state; innermost
 *
 * domain.lock is taken in sched_out, below a run-queue lock, and from hard
 * interrupts. So nothing is woken under it: a function that takes it says in
 * its name (_locked) that its caller holds it, and hands the worker to be woken
 * to its caller. Workers are freed by RCU, which keeps such a worker, and its
 * task, until the wake-up is done.
 *
 * Blocks that user space can write are named "block" throughout. They are read
 * once, with READ_ONCE() or an atomic operation, and believed in nothing.
 */
#ifndef KF_INTERNAL_H
#define KF_INTERNAL_H

#include <linux/fs.h>
#include <linux/hrtimer.h>
#include <linux/irq_work.h>
#include <linux/kfiber.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mm_types.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "slice.h"

struct eventfd_ctx;
struct file;
struct vm_area_struct;
struct kf_domain;
struct kf_file_wait;
struct kf_processor;
struct kf_user;

#define KF_STACK_CLASSES (KFIBER_STACK_SHIFT_MAX - KFIBER_STACK_SHIFT_MIN + 1)

/* Blocks to a page. */
#define KF_FIBERS_PER_PAGE	(PAGE_SIZE / sizeof(struct kfiber_fiber_block))
#define KF_WORKERS_PER_PAGE	(PAGE_SIZE / sizeof(struct kfiber_worker_block))

/**
 * struct kf_fiber - the private part of a fiber
 * @timer: looks at the block's deadline
 * @timer_lock: guards @timer and @rearms
 * @rearms: times in a row that @timer found a later deadline
 * @index: immutable
 * @domain: immutable
 * @pool_link: in the pool of its class while it is not allocated; domain.fiber_mutex. Or
 *	in the hand of one who trims: his
 * @pooled: pages that it counts for in domain.pool_pages; likewise. In hand: those that
 *	were found in it
 * @queue_next: next in the same one of the domain's queues; domain.lock
 * @queue_name: the name that is in one of them, 0 if it is in none; domain.lock
 * @pages: how many pages its stack has
 * @low_page: the lowest of them; a hint for growth, written without a lock
 * @history: how deep earlier owners of the stack went, in pages, fading; a hint
 * @faults: page faults that grew the stack; may miss one in a race
 * @refused: page faults that were refused; likewise
 * @refused_page: the page of the last of them
 * @seen_sp: its stack pointer when ageing last saw it parked; domain.age_work
 * @pinned_to: the worker that sleeps until it is runnable, and nobody else is to run
 *	it; domain.lock
 * @pinned_ready: the name under which it was made runnable for that worker, 0 if it
 *	was not; domain.lock
 * @slot: immutable
 * @stack_shift: immutable
 * @refusal: why the last fault was refused: KFIBER_REFUSED_*
 * @allocated: user space has it; written under domain.fiber_mutex
 * @in_hand: it was taken out of the pool to be trimmed; domain.fiber_mutex
 * @held: its stack is being trimmed: nobody may grow it below what stays
 * @kept: likewise, in a processor's pool: nothing stays
 * @file_wait: its wait for a file; whoever exchanges it for NULL owns it
 * @sleeper: the worker that sleeps in a system call of it, NULL if none does; that one
 *	writes, RCU
 *
 * Lives as long as its domain, as do its block and its slot.
 */
struct kf_fiber {
	struct hrtimer timer;
	raw_spinlock_t timer_lock;
	u32 index;
	struct kf_domain *domain;
	struct list_head pool_link;
	struct kf_fiber *queue_next;
	u64 queue_name;
	atomic_t pages;
	u32 low_page;
	u32 history;
	u32 faults;
	u32 refused;
	u32 refused_page;
	u64 seen_sp;
	struct kf_worker *pinned_to;
	u64 pinned_ready;
	u32 pooled;
	u32 slot;
	u8 stack_shift;
	u8 rearms;
	u8 refusal;
	bool allocated;
	bool in_hand;
	bool held;
	bool kept;
	struct kf_file_wait *file_wait;
	struct kf_worker *sleeper;
};

/**
 * struct kf_fiber_chunk - the fibers whose blocks share a page
 * @blocks: that page
 * @fibers: their private parts
 */
struct kf_fiber_chunk {
	struct kfiber_fiber_block *blocks;
	struct kf_fiber fibers[KF_FIBERS_PER_PAGE];
};

/**
 * struct kf_fifo - fibers in the order they came in; domain.lock
 * @head: linked by queue_next; NULL if empty
 * @tail: the last one
 */
struct kf_fifo {
	struct kf_fiber *head;
	struct kf_fiber *tail;
};

/**
 * struct kf_arena - the stacks of one class
 * @slots: fiber by slot number; read under RCU in page faults
 * @warm: fibers of this class that user space gave back with memory in their
 *	stacks, last come first; domain.fiber_mutex
 * @cold: those that have none; domain.fiber_mutex
 * @in_hand: those that are being trimmed; domain.fiber_mutex
 * @nr_slots: slots ever used; domain.fiber_mutex
 * @base: where slot 0 is mapped, or would be, as the last growth saw it; a hint
 *	that whoever uses it checks
 */
struct kf_arena {
	struct xarray slots;
	struct list_head warm;
	struct list_head cold;
	u32 in_hand;
	u32 nr_slots;
	unsigned long base;
};

/**
 * struct kf_processor - the right to run fibers
 * @block: shared; its queues
 * @index: immutable
 * @worker: who holds it, NULL when idle; domain.lock
 * @handed: who held it and sleeps, while it has not been given on; an identity, never
 *	followed; domain.lock
 * @handed_since: since when; domain.lock
 * @slice: who runs on it, since when; domain.lock, as the next two
 * @local_age: how long the first in its ring waits
 * @inbox_age: likewise, in its inbox
 * @front_run: interactive fibers that it was given in a row
 * @idle_link: in domain.idle when nobody holds it and it is in use; domain.lock
 * @drain: out of use, how many more fibers are taken from its queues; domain.lock
 */
struct kf_processor {
	struct kfiber_processor_block *block;
	u32 index;
	struct kf_worker *worker;
	const struct kf_worker *handed;
	u64 handed_since;
	struct kf_slice slice;
	struct kf_queue_age local_age;
	struct kf_queue_age inbox_age;
	u32 front_run;
	struct list_head idle_link;
	u32 drain;
};

/**
 * struct kf_watch - what a thief remembers of the last processor it looked at
 * @processor: which
 * @ticks: how many dispatches it had counted
 */
struct kf_watch {
	struct kf_processor *processor;
	u64 ticks;
};

/* What a worker that sleeps in the module waits for. */
enum kf_sleep {
	KF_AWAKE,
	KF_SPARE,	/* a processor with something to run */
	KF_WAITER,	/* a processor to go on with its fiber */
	KF_PREEMPTED,	/* the same, after others */
	KF_BEHIND,	/* the same, after all others: its fiber is in the background */
	KF_PINNED,	/* its one fiber to be runnable */
};

/* kf_worker.work_queued: 0, 1, or this: it is queued and is to forget the worker. */
#define KF_WORK_LEAVES	2

/**
 * struct kf_worker - a thread that is attached to the domain
 * @domain: holds a reference
 * @task: holds a reference, until RCU lets go of the worker
 * @block: shared; in a page of the domain
 * @index: immutable
 * @processor: what it holds. Written under domain.lock: by the thread itself,
 *	and by others only while it sleeps in the module. So the thread reads it
 *	without the lock
 * @last: the processor it had before; a preference, domain.lock
 * @sleep: which list it is in; domain.lock
 * @link: in domain.spares, waiters, waiters_front, preempted, behind or pinned; domain.lock
 * @only: in NEXT, the one fiber it may run; domain.lock
 * @looks: in NEXT, it wants to know of a deadlock; only this thread
 * @may_end: in NEXT, its thread may be told to end; domain.lock
 * @surplus: it was taken from the list to be told that; as @may_end
 * @stirred: it is to look for a deadlock again; set by others under domain.lock
 * @searching: counted in domain.nr_searching; domain.lock
 * @watching: counted in domain.nr_watching; domain.lock
 * @quiet: it is to be told that nothing happens any more; domain.lock, then only
 *	this thread
 * @in_module: its switches are the module's own; only this thread
 * @lost: it lost @processor and wants one before it goes on; only this thread
 * @left: it has detached itself; only this thread, then the reaper
 * @preempt: its slice is over; set by the tick under domain.lock
 * @preempt_dispatches: how many its processor had counted then; domain.lock
 * @granted: when others gave it @processor, 0 if that has been noted; domain.lock, as
 *	the next two
 * @handed_since: when somebody was blocked and lost that processor, likewise
 * @waits_since: when it began to wait for one with its fiber, likewise
 * @work_queued: @work is queued, or about to be
 * @work: runs on the way back to user mode
 * @notifier: tells of its switches
 * @asleep: the name of the fiber in whose system call it sleeps, or 0; only this thread
 *	writes, 0 under @interrupt_lock
 * @sleeps_for: that fiber; only this thread
 * @interrupt_lock: held while it is woken for @asleep
 * @interrupted: the fiber whose sleep was interrupted last, by name; @interrupt_lock
 * @interrupts: how often in a row; @interrupt_lock
 * @interrupt_queued: @interrupt is queued; as @work_queued
 * @interrupt: runs on the way back to user mode
 * @interrupt_irq: sets @interrupt_timer, out of sched_out's reach
 * @interrupt_timer: interrupts it
 * @dead_node: in domain.dead, from the last switch of its task on
 * @rcu: frees it
 */
struct kf_worker {
	struct kf_domain *domain;
	struct task_struct *task;
	struct kfiber_worker_block *block;
	u32 index;
	struct kf_processor *processor;
	struct kf_processor *last;
	enum kf_sleep sleep;
	struct list_head link;
	u64 only;
	bool looks;
	bool may_end;
	bool surplus;
	bool stirred;
	bool searching;
	bool watching;
	bool quiet;
	bool in_module;
	bool lost;
	bool left;
	bool preempt;
	u64 preempt_dispatches;
	u64 granted;
	u64 handed_since;
	u64 waits_since;
	atomic_t work_queued;
	struct callback_head work;
	struct preempt_notifier notifier;
	u64 asleep;
	struct kf_fiber *sleeps_for;
	raw_spinlock_t interrupt_lock;
	u64 interrupted;
	u32 interrupts;
	atomic_t interrupt_queued;
	struct callback_head interrupt;
	struct irq_work interrupt_irq;
	struct hrtimer interrupt_timer;
	struct llist_node dead_node;
	struct rcu_head rcu;
};

/* Why stacks are trimmed; trace.h has what it is called. */
enum kf_trim_why {
	KF_TRIM_ASKED,		/* KFIBER_IOC_TRIM */
	KF_TRIM_AGE,		/* what was seen before, and is the same still */
	KF_TRIM_SHRINKER,	/* the machine is short of memory */
	KF_TRIM_TIGHT,		/* the cgroup is nearly full */
	KF_TRIM_SHORT,		/* a stack found no memory to grow */
	KF_TRIM_POOL,		/* the pools hold more than they may */
	KF_TRIM_LIMIT,		/* something would be refused because of a limit */
};

/**
 * struct kf_domain - one open of the device
 * @ref: the file's, and one for each worker
 * @mm: whose domain this is; held with mmgrab, so the pointer stays unique
 * @files: the file table that opened it: closing there ends the domain; an
 *	identity, never followed
 * @owner: process id of who opened it, for trace points only
 * @setup_mutex: serialises SETUP, and guards @closed
 * @closed: its owner has closed it
 * @ready: SETUP is done; store-release, load-acquire. What follows is immutable
 *	after it unless something else is said
 * @nr_processors: how many there can be
 * @max_workers: bound on @nr_workers
 * @max_fibers: bound on @nr_fibers
 * @no_hold: KFIBER_SETUP_NO_HOLD
 * @tells_quiet: KFIBER_SETUP_QUIET
 * @slice_ns: how long a fiber may run while others wait; 0: for ever
 * @slack_ns: how late timers may be, to be merged with others
 * @idle_ns: how long spares are kept that are not needed; 0: for ever
 * @stack_pages_max: bound on @stack_pages; LONG_MAX for none
 * @guard_bytes: as asked for, see kf_guard()
 * @pool_pages_max: what @pool_pages is brought down to
 * @block: shared header
 * @processors: array
 * @workers: by index
 * @worker_pages: pages of worker blocks, by page number; only grows
 * @fiber_mutex: guards down to @pool_made, and every arena's pool
 * @chunks: fibers, 32 to an entry; only grows; read under RCU
 * @nr_fibers: control blocks that exist
 * @nr_allocated: of those, what user space has
 * @fibers_peak: most at once
 * @pool_pages: that the stacks in the arenas' pools have
 * @hand_puts: how many stacks that were being trimmed are in their pools again; also read
 *	without the mutex
 * @pool_warm: see struct kfiber_stats
 * @pool_cold: see there
 * @pool_made: see there
 * @arenas: by stack class
 * @lock: the scheduling state; guards all down to @risen
 * @idle: processors nobody holds, last used first
 * @spares: workers to be woken, last asleep first
 * @waiters: workers that want to go on, first come first
 * @waiters_front: of these, those whose fibers are interactive, and first who makes a spare
 * @preempted: likewise, when others have had their turn
 * @behind: likewise, whose fibers are in the background: when there is nobody else
 * @pinned: workers that sleep until their one fiber is runnable
 * @global: the global queue
 * @front: interactive fibers
 * @back: those in the background
 * @nr_used: processors in use, those with lower indexes; mirrored in @block, also read
 *	without the lock
 * @nr_leaving: others that are held still
 * @nr_looked: processors from this one on have empty queues; never less than @nr_used;
 *	also read without the lock
 * @nr_idle: length of @idle; mirrored in @block, as the next five are
 * @nr_spares: length of @spares
 * @nr_waiters: length of @waiters and @waiters_front
 * @nr_preempted: length of @preempted; not mirrored
 * @nr_pinned: length of @pinned; not mirrored
 * @nr_behind: length of @behind; not mirrored
 * @nr_global: length of the global queue
 * @nr_front: length of @front; mirrored
 * @nr_back: length of @back; not mirrored
 * @nr_searching: workers that look for work: they will see what is queued, so
 *	nobody else is woken
 * @nr_watching: spares that wake up by themselves to look at "next" again
 * @nr_workers: attached
 * @workers_peak: most at once
 * @spares_pending: spares that were asked for and have not come
 * @spare_maker: the worker that was asked last; compared, never followed
 * @spares_low: fewest spares since surplus_work looked
 * @surplus_armed: surplus_work is queued, or about to be
 * @held: some fibers' stacks are being trimmed: they may have been woken, and be in no
 *	queue yet; written only if @tells_quiet
 * @quiet_switches: all that processors had counted when that was last told
 * @waiters_turn: who is next when both a waiter and a spare could go on
 * @preempted_turn: the first in @preempted has waited for long
 * @front_run: waiters that were interactive in a row
 * @tick_armed: @tick will look again
 * @quiet_looks: in a row, at which @tick found nobody
 * @ticking: and whoever queues something need not call; mirrored in @block
 * @waiters_age: how long the first in @waiters waits
 * @preempted_age: likewise, in @preempted
 * @resumed: workers taken from there
 * @returns_seen: @returns when @tick looked last
 * @global_age: likewise, in the global queue
 * @global_taken: times that something was taken from it
 * @back_age: how long the first in @back waits
 * @back_taken: times that something was taken from it
 * @behind_age: likewise, in @behind
 * @behind_taken: workers taken from there
 * @tick: looks for who has had its slice
 * @shutdown: it has ended; also read without the lock
 * @handovers: see struct kfiber_stats
 * @returns: see there
 * @steals: see there
 * @sleeps: see there
 * @wakeups: see there
 * @timers: see there
 * @woken: fibers that the module itself has made runnable; wraps
 * @deaths: see there
 * @preemptions: see there
 * @risen: workers taken from a list in which they slept
 * @mapping: what maps the domain's pages: the file's, in the place of the
 *	device's own, so that stacks can be found to be unmapped
 * @zap_lock: held for reading while pages are unmapped, for writing while
 *	@nr_forked changes
 * @nr_forked: mappings of stacks in forked children
 * @age_work: takes pages from fibers that stay parked
 * @age_armed: it is queued, or about to be
 * @pool_work: takes pages from what is too much in the pools
 * @hand_wait: who needs a stack, and all are being trimmed
 * @shrink_cursor: the fiber that reclaim looks at next; a hint
 * @limit_next: when a limit is worth another pass, CLOCK_MONOTONIC; written without a lock
 * @domains_link: in the list of all domains; kf_trim_lock
 * @user: who pays; NULL for the privileged; immutable
 * @table_pages: pages for control blocks that are counted; fiber_mutex
 * @watch_lock: guards the next three, which are also read without it
 * @watch_percent: of a limit, when the domain is pressed; 0: nobody wants to know
 * @watch_eventfd: who is told, or NULL
 * @pressed: mirrored in @block
 * @tight_next: when to look again whether the cgroup is nearly full, in
 *	@stack_grown; written without a lock
 * @released: the file is gone
 * @stack_pages: pages that stacks have
 * @stack_faults: see struct kfiber_stats
 * @stack_refused: see there
 * @stack_trimmed: see there
 * @stack_grown: see there
 * @stack_starts: see there
 * @stack_dropped: see there
 * @next_calls: see there
 * @deadline_hint: a fiber that had a deadline when it was looked at, by index; a hint
 * @nr_file_waits: fibers whose @file_wait is set, or about to be: counted before one is parked,
 *	and until it has been made runnable
 * @nr_aside: threads that sleep in @aside and make nothing runnable; @lock
 * @aside: they are woken when the domain ends
 * @interrupts: see struct kfiber_stats
 * @file_waits: see there
 * @file_wakes: see there
 * @surplus_work: has workers end that are not needed
 * @dispatch_work: pairs idle processors with workers, out of sched_out's reach
 * @dead: workers whose task has ended
 * @reap_work: clears @dead
 * @free_work: frees the domain
 */
struct kf_domain {
	struct kref ref;
	struct mm_struct *mm;
	void *files;
	pid_t owner;
	struct mutex setup_mutex;	/* SETUP, close */
	bool closed;
	bool ready;

	u32 nr_processors;
	u32 max_workers;
	u32 max_fibers;
	bool no_hold;
	bool tells_quiet;
	u64 slice_ns;
	u64 slack_ns;
	u64 idle_ns;
	long stack_pages_max;
	u64 guard_bytes;
	u64 pool_pages_max;
	struct kfiber_domain_block *block;
	struct kf_processor *processors;

	struct xarray workers;
	struct xarray worker_pages;

	struct mutex fiber_mutex;	/* ALLOC, FREE */
	struct xarray chunks;
	u32 nr_fibers;
	u32 nr_allocated;
	u32 fibers_peak;
	u64 pool_pages;
	u32 hand_puts;
	u64 pool_warm;
	u64 pool_cold;
	u64 pool_made;
	struct kf_arena arenas[KF_STACK_CLASSES];

	raw_spinlock_t lock;
	struct list_head idle;
	struct list_head spares;
	struct list_head waiters;
	struct list_head waiters_front;
	struct list_head preempted;
	struct list_head behind;
	struct list_head pinned;
	struct kf_fifo global;
	struct kf_fifo front;
	struct kf_fifo back;
	u32 nr_used;
	u32 nr_leaving;
	u32 nr_looked;
	u32 nr_idle;
	u32 nr_spares;
	u32 nr_waiters;
	u32 nr_preempted;
	u32 nr_pinned;
	u32 nr_behind;
	u32 nr_global;
	u32 nr_front;
	u32 nr_back;
	u32 nr_searching;
	u32 nr_watching;
	u32 nr_workers;
	u32 workers_peak;
	u32 spares_pending;
	const struct kf_worker *spare_maker;
	u32 spares_low;
	bool surplus_armed;
	bool held;
	u64 quiet_switches;
	bool waiters_turn;
	bool preempted_turn;
	u32 front_run;
	bool tick_armed;
	bool ticking;
	u32 quiet_looks;
	struct kf_queue_age waiters_age;
	struct kf_queue_age preempted_age;
	u64 resumed;
	u64 returns_seen;
	struct kf_queue_age global_age;
	u64 global_taken;
	struct kf_queue_age back_age;
	u64 back_taken;
	struct kf_queue_age behind_age;
	u64 behind_taken;
	struct hrtimer tick;
	bool shutdown;
	u64 handovers;
	u64 returns;
	u64 steals;
	u64 sleeps;
	u64 wakeups;
	u64 timers;
	u32 woken;
	u64 deaths;
	u64 preemptions;
	u64 risen;

	struct address_space mapping;
	struct rw_semaphore zap_lock;
	u32 nr_forked;
	struct delayed_work age_work;
	bool age_armed;
	struct delayed_work pool_work;
	wait_queue_head_t hand_wait;
	u32 shrink_cursor;
	u64 limit_next;
	struct list_head domains_link;

	struct kf_user *user;
	u32 table_pages;
	spinlock_t watch_lock;
	u32 watch_percent;
	struct eventfd_ctx *watch_eventfd;
	bool pressed;
	u64 tight_next;

	bool released;
	atomic_long_t stack_pages;
	atomic64_t stack_faults;
	atomic64_t stack_refused;
	atomic64_t stack_trimmed;
	atomic64_t stack_grown;
	atomic64_t stack_starts;
	atomic64_t stack_dropped;
	atomic64_t next_calls;
	u32 deadline_hint;
	atomic_t nr_file_waits;
	atomic64_t interrupts;
	atomic64_t file_waits;
	atomic64_t file_wakes;

	u32 nr_aside;
	wait_queue_head_t aside;

	struct delayed_work surplus_work;
	struct irq_work dispatch_work;
	struct llist_head dead;
	struct work_struct reap_work;
	struct work_struct free_work;
};

/* Where a fiber's slot is mapped, if it is mapped with the rest of its arena. */
static inline unsigned long kf_slot_address(const struct kf_domain *d, const struct kf_fiber *f)
{
	const struct kf_arena *arena = &d->arenas[f->stack_shift - KFIBER_STACK_SHIFT_MIN];

	return READ_ONCE(arena->base) + ((unsigned long)f->slot << f->stack_shift);
}

/* device.c */
int kf_device_init(void);
void kf_device_exit(void);

/* domain.c */
extern struct workqueue_struct *kf_workqueue;
struct kf_domain *kf_domain_create(struct inode *inode);
int kf_domain_setup(struct kf_domain *d, const struct kfiber_setup *args);
void kf_domain_put(struct kf_domain *d);
void kf_domain_close(struct kf_domain *d);
void kf_domain_release(struct kf_domain *d);
void kf_domain_stats(struct kf_domain *d, struct kfiber_stats *args);

/* shared.c */
int kf_shared_mmap(struct kf_domain *d, struct vm_area_struct *vma, u64 offset);

/* fiber.c */
int kf_fiber_init(void);
void kf_fiber_exit(void);
struct kf_fiber *kf_fiber_find(struct kf_domain *d, u32 index);
int kf_fibers_alloc(struct kf_domain *d, u32 stack_shift, u64 *names, u32 count);
u32 kf_fibers_free(struct kf_domain *d, const u64 *names, u32 count);
void kf_fiber_kill(struct kf_domain *d, u64 name);
void kf_fiber_pool_take_locked(struct kf_domain *d, struct kf_fiber *f);
void kf_fiber_pool_return_locked(struct kf_domain *d, struct kf_fiber *f);
void kf_fibers_destroy(struct kf_domain *d);

/* timer.c */
void kf_timer_init(struct kf_fiber *f);
void kf_timer_arm_by(struct kf_fiber *f, u64 deadline);
int kf_timer_arm(struct kf_domain *d, u64 name);
void kf_timer_cancel(struct kf_fiber *f);

/* file.c */
int kf_file(struct kf_domain *d, struct kfiber_file *args);
int kf_file_forget(struct kf_domain *d, u64 name);
void kf_file_drop(struct kf_fiber *f);
void kf_file_drop_all(struct kf_domain *d);

/* sched.c */
enum kf_waker {
	KF_BY_USER,	/* who has stamped it, if it was to be */
	KF_BY_MODULE,
	KF_BY_TIMER,	/* likewise, and counted */
};

void kf_publish_locked(struct kf_domain *d);
void kf_assign_locked(struct kf_processor *p, struct kf_worker *w);
void kf_unassign_locked(struct kf_worker *w);
void kf_unlist_locked(struct kf_worker *w);
bool kf_makes_spare_locked(const struct kf_worker *w);
void kf_wait_locked(struct kf_worker *w, enum kf_sleep sleep);
int kf_sched_setup(struct kf_domain *d);
void kf_sched_destroy(struct kf_domain *d);
u64 kf_sched_find(struct kf_domain *d, struct kf_processor *p);
void kf_sched_dispatch(struct kf_domain *d);
void kf_sched_kick(struct kf_domain *d);
void kf_sched_ready(struct kf_domain *d, struct kf_fiber *f, u64 name, enum kf_waker by);
u64 kf_sched_steal_next(struct kf_domain *d, struct kf_processor *p, struct kf_watch *watch);
void kf_sched_set_held(struct kf_domain *d, bool held);
void kf_sched_shutdown(struct kf_domain *d);
void kf_sched_attach(struct kf_worker *w);
void kf_sched_detach(struct kf_worker *w);
bool kf_sched_take_idle(struct kf_worker *w);
bool kf_sched_look_again(struct kf_worker *w);
bool kf_sched_release(struct kf_worker *w);
void kf_sched_sleep(struct kf_worker *w, enum kf_sleep sleep, bool watching);
void kf_sched_wake_up(struct kf_worker *w);
void kf_sched_goes_on(struct kf_worker *w);
bool kf_sched_search(struct kf_worker *w);
u32 kf_sched_found(struct kf_worker *w);
void kf_sched_interrupted(struct kf_worker *w);
void kf_sched_spare_failed(struct kf_domain *d);

/* worker.c */
int kf_worker_attach(struct kf_domain *d, u32 *index);
int kf_worker_detach(struct kf_domain *d, u32 index);
int kf_worker_next(struct kf_domain *d, struct kfiber_next *args);
int kf_worker_acquire(struct kf_domain *d, u32 index);
int kf_worker_sleep(struct kf_worker *w, u64 watch_ns);
int kf_worker_wait(struct kf_worker *w, enum kf_sleep sleep, u64 watch_ns);
void kf_worker_forget(struct kf_worker *w);
void kf_workers_destroy(struct kf_domain *d);

/* handover.c */
void kf_handover_queue(struct kf_worker *w);
struct kf_worker *kf_handover_self(struct kf_domain *d);
void kf_handover_attach(struct kf_worker *w);
void kf_handover_leave(struct kf_worker *w);
void kf_handover_left(struct kf_worker *w);
void kf_handover_init(struct kf_domain *d);
void kf_handover_flush(struct kf_domain *d);

/* interrupt.c */
void kf_interrupt_init(struct kf_worker *w);
void kf_interrupt_exit(struct kf_worker *w);
void kf_interrupt_sleeps(struct kf_worker *w);
void kf_interrupt_wakes(struct kf_worker *w);
int kf_interrupt(struct kf_domain *d, u64 name);

/* preempt.c */
void kf_tick_start_locked(struct kf_domain *d);
struct kf_worker *kf_preempt_tell_locked(struct kf_worker *w, u64 dispatches);
void kf_preempt_self(struct kf_worker *w);
void kf_preempt_init(struct kf_domain *d);
void kf_preempt_setup(struct kf_domain *d);
void kf_preempt_exit(struct kf_domain *d);

/* processors.c */
int kf_processors_set(struct kf_domain *d, struct kfiber_processors *args);
bool kf_processors_drain_locked(struct kf_domain *d);

/* surplus.c */
bool kf_surplus_arm_locked(struct kf_domain *d);
void kf_surplus_start(struct kf_domain *d);
void kf_surplus_init(struct kf_domain *d);
void kf_surplus_exit(struct kf_domain *d);

/* pin.c */
struct kf_worker *kf_pin_ready_locked(struct kf_domain *d, struct kf_fiber *f, u64 name);
int kf_pin_next(struct kf_worker *w, u64 name, bool yields);

/* deadlock.c */
enum kf_verdict {
	KF_GOES_ON,	/* somebody can go on, and will look when it goes to sleep */
	KF_THREADS,	/* only plain threads could wake somebody: look again later */
	KF_DEADLOCK,
};

enum kf_verdict kf_deadlock_look(struct kf_domain *d);
void kf_deadlock_stir(struct kf_domain *d);

/* aside.c */
int kf_aside(struct kf_domain *d, u64 until);

/* account.c */
int kf_account_open(struct kf_domain *d);
void kf_account_release(struct kf_domain *d);
void kf_account_close(struct kf_domain *d);
int kf_account_tables(struct kf_domain *d, u32 pages);
void kf_unaccount_tables(struct kf_domain *d, u32 pages);
u32 kf_account_stack(struct kf_domain *d, u32 pages);
void kf_unaccount_stack(struct kf_domain *d, long pages);
bool kf_account_look(struct kf_domain *d);
bool kf_account_tight(struct kf_domain *d);
int kf_account_watch(struct kf_domain *d, const struct kfiber_watch *args);

/* arena.c */
int kf_arena_mmap(struct kf_domain *d, struct vm_area_struct *vma, u64 offset);
bool kf_arena_maps(struct kf_domain *d, struct mm_struct *mm, const struct kf_fiber *f);
void kf_arena_uncharge(struct kf_fiber *f, u32 pages);
int kf_arena_start(struct kf_domain *d, struct kfiber_start *args);
int kf_arena_query(struct kf_domain *d, struct kfiber_stack *args);

/* trim.c */
int kf_trim_init(void);
void kf_trim_exit(void);
void kf_trim_domain_init(struct kf_domain *d, struct inode *inode);
void kf_trim_domain_exit(struct kf_domain *d);
u64 kf_trim_domain(struct kf_domain *d);
bool kf_trim_try(struct kf_domain *d, enum kf_trim_why why);
bool kf_trim_limit(struct kf_domain *d);
void kf_trim_grown(struct kf_domain *d);

/* trim_pool.c */
void kf_trim_pool(struct kf_domain *d);

/* usage.c */
void kf_usage(struct kf_domain *d, struct kfiber_stats *args);

/* fork.c */
void kf_fork_empty(struct vm_area_struct *child);
void kf_fork_copy_stack(struct vm_area_struct *child, u32 stack_shift);
vm_fault_t kf_fork_fault(struct vm_fault *vmf, u32 stack_shift);

#endif /* KF_INTERNAL_H */
