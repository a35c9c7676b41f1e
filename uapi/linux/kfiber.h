/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * kfiber: lightweight tasks. What the module and user space share.
 *
 * A process opens /dev/kfiber and gets a domain. KFIBER_IOC_SETUP gives it its
 * sizes; then the shared blocks and the stack arenas can be mapped at the
 * KFIBER_MAP_* offsets. All multi-byte values are in the machine's byte order.
 *
 * Errors have one meaning each, in every call:
 *
 *   ENOTTY      unknown command
 *   EINVAL      a value is out of its range, or @size is too small
 *   E2BIG       @size is beyond what this kernel knows and the rest is not zero
 *   EOPNOTSUPP  an unknown flag
 *   EFAULT      a pointer cannot be read or written
 *   EPERM       the caller's memory is not that of the process that opened
 *   EBADFD      not set up yet, or set up twice
 *   ENOENT      no such worker or fiber, or not the caller's own
 *   ENXIO       nothing is mapped where it would have to be
 *   EAGAIN      a limit of the domain is reached
 *   ESHUTDOWN   the domain has ended; SETUP: its owner has closed it
 *   EINTR       a signal came
 *   EDEADLK     nothing can make a fiber runnable any more, see KFIBER_NEXT_DEADLOCK
 *
 * Every struct begins with its size and grows only at its end; a shorter one is
 * taken as if the rest were zero. Fields named "reserved" must be zero.
 */
#ifndef _UAPI_LINUX_KFIBER_H
#define _UAPI_LINUX_KFIBER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KFIBER_ABI_VERSION	1

/* What struct kfiber_query.features may tell. */
#define KFIBER_FEATURE_HANDOVER	(1ull << 0)	/* blocked workers lose their processor */
#define KFIBER_FEATURE_TIMERS	(1ull << 1)	/* deadlines in the fiber control block */
#define KFIBER_FEATURE_STACKS	(1ull << 2)	/* stacks grow by page faults */
#define KFIBER_FEATURE_TRIM	(1ull << 3)	/* and shrink: KFIBER_IOC_TRIM */

/*
 * A fiber's name is (generation << 32 | index). The generation is never 0, so
 * that 0 is no fiber. User space counts it up when it reuses a control block.
 */
#define KFIBER_INDEX_MASK	0xffffffffull
#define KFIBER_GENERATION_SHIFT	32

#define KFIBER_NO_PROCESSOR	0xffffffffu
#define KFIBER_NEVER		(~0ull)

/* Bounds that do not depend on configuration. */
#define KFIBER_PROCESSORS_MAX	1024u
#define KFIBER_WORKERS_MAX	65536u
#define KFIBER_FIBERS_MAX	(1u << 24)
#define KFIBER_STACK_SHIFT_MIN	14u
#define KFIBER_STACK_SHIFT_MAX	30u
#define KFIBER_BATCH_MAX	256u

/* The stretch at the bottom of each slot that is never backed, by default. */
#define KFIBER_GUARD_SHIFT_MAX	16u

/*
 * The guard of a slot of (1 << stack_shift) bytes: a quarter of it, at most
 * 64 KiB.
 */
static inline __u64 kfiber_guard_bytes(__u32 stack_shift)
{
	__u32 shift = stack_shift - 2;

	return 1ull << (shift < KFIBER_GUARD_SHIFT_MAX ? shift : KFIBER_GUARD_SHIFT_MAX);
}

/*
 * How many slots the arena of a class has: one for each fiber, as far as 4 TiB
 * of addresses go.
 */
#define KFIBER_ARENA_SHIFT_MAX	42u

static inline __u32 kfiber_arena_slots(__u32 stack_shift, __u32 max_fibers)
{
	__u32 slots = 1u << (KFIBER_ARENA_SHIFT_MAX - stack_shift);

	return max_fibers < slots ? max_fibers : slots;
}

/*
 * mmap offsets. The table of processors, workers and fibers is an array of
 * its blocks; a page of it can be touched once the objects in it exist. The
 * arena of a stack class holds slot n at n << stack_shift; a part of one can be
 * mapped only once at a time, or mmap() gives EBUSY.
 */
#define KFIBER_MAP_DOMAIN	0x0000000000000000ull
#define KFIBER_MAP_PROCESSORS	0x0001000000000000ull
#define KFIBER_MAP_WORKERS	0x0002000000000000ull
#define KFIBER_MAP_FIBERS	0x0003000000000000ull
#define KFIBER_MAP_STACKS	0x0100000000000000ull	/* | stack_shift << 48 */
#define KFIBER_MAP_STACKS_SHIFT	48

/* How long something took: bucket n counts what took from 2^n to 2^(n+1) ns. */
#define KFIBER_LATENCY_BUCKETS	32

/**
 * struct kfiber_domain_block - the domain's shared header
 * @abi: KFIBER_ABI_VERSION; kernel writes once
 * @processors: how many there can be; kernel writes once
 * @used: how many of them are in use: those with numbers below; see
 *	KFIBER_IOC_PROCESSORS; kernel writes
 * @now: CLOCK_MONOTONIC, about 10 ms ago at most; 0 while nobody keeps it, which is so while
 *	@ticking is 0; kernel writes
 * @idle: processors that nobody holds; kernel writes
 * @searching: workers that look for something to run; kernel writes
 * @global: fibers in the global queue; kernel writes
 * @waiters: workers that want to go on with their fiber and wait for a
 *	processor; kernel writes
 * @spares: workers asleep with nothing to do; kernel writes
 * @watching: of @spares, those that soon look again whether a fiber in some
 *	processor's "next" is kept waiting; kernel writes
 * @shutdown: not 0 when the domain has ended; kernel writes
 * @pressed: not 0 while a memory limit is nearly reached, see KFIBER_IOC_WATCH;
 *	kernel writes
 * @ticking: not 0 while the kernel looks for fibers that run for longer than a
 *	slice; kernel writes
 * @front: fibers in the queue of those that are interactive; kernel writes
 * @pinned: fibers that are pinned to their thread; user space counts, and so does the
 *	kernel when one dies with its thread
 * @live: fibers that have not ended; user space counts, and so does the kernel
 *	when a fiber dies with its thread; at 0 the domain is over
 * @handover: from a worker that blocks to another that goes on with its processor;
 *	kernel writes, as the next two. The first bucket has 0 too, the last all above
 * @wakeup: from a worker that is given a processor to its going on
 * @wait: from a worker that is back and waits for a processor to its going on
 *
 * A worker that made a fiber runnable stores it in its queue, then a full
 * fence, then loads @idle and @searching: with an idle processor and nobody
 * searching it calls KFIBER_IOC_KICK. The kernel counts @idle up, then a full
 * fence, then looks at all queues before it lets a worker sleep. Who stores only
 * in "next" need not call while somebody is watching. While @ticking is 0 whoever
 * queues anything calls KICK.
 */
struct kfiber_domain_block {
	__u32 abi;
	__u32 processors;
	__u32 used;
	__u32 reserved0[11];
	__u64 now;
	__u32 idle;
	__u32 searching;
	__u32 global;
	__u32 waiters;
	__u32 spares;
	__u32 watching;
	__u32 shutdown;
	__u32 pressed;
	__u32 ticking;
	__u32 front;
	__u32 reserved1[5];
	__u32 pinned;
	__u64 live;
	__u64 reserved2[7];
	__u64 handover[KFIBER_LATENCY_BUCKETS];
	__u64 wakeup[KFIBER_LATENCY_BUCKETS];
	__u64 wait[KFIBER_LATENCY_BUCKETS];
};

/* Queue lengths: powers of two, so that free-running indexes can wrap. */
#define KFIBER_LOCAL_SLOTS	256u
#define KFIBER_INBOX_SLOTS	128u

/* struct kfiber_processor_block.offer: who has waited for long. */
#define KFIBER_OFFER_OWN	1u	/* the first in its ring or inbox */
#define KFIBER_OFFER_ALL	2u	/* somebody NEXT knows of, with KFIBER_NEXT_OFFER */
#define KFIBER_OFFER_FRONT	3u	/* likewise, if "front" is not 0 still */

/**
 * struct kfiber_processor_block - one processor
 * @next: the fiber to run before those in the queue, 0 if none; exchanged
 *	by the holder and, when the queue is empty, by thieves
 * @ticks: dispatches; the holder writes. Every 61st looks at the inbox and the
 *	global queue first
 * @switches: see struct kf_stats; the holder writes, as all counters here
 * @parks: likewise
 * @unparks: likewise
 * @calls: likewise
 * @spawns: likewise
 * @offer: KFIBER_OFFER_*: somebody has waited for long; the next dispatch is to be as
 *	every 61st. The kernel sets it, the holder exchanges it for 0
 * @local_head: where the holder and thieves take, by compare-and-exchange
 * @local_tail: where the holder puts; it stores the slot first
 * @inbox_head: as local_head
 * @inbox_tail: where the kernel puts
 * @local: the local queue, at index & (KFIBER_LOCAL_SLOTS - 1)
 * @inbox: what the kernel made runnable
 * @run_queue: from a fiber's being made runnable to its running, of those that were stamped with
 *	KFIBER_RUNNABLE; the holder writes
 *
 * Head and tail run freely; the queue holds tail - head fibers. The kernel
 * takes a length beyond the queue's own for an empty queue.
 */
struct kfiber_processor_block {
	__u64 next;
	__u64 ticks;
	__u64 switches;
	__u64 parks;
	__u64 unparks;
	__u64 calls;
	__u64 spawns;
	__u64 offer;
	__u32 local_head;
	__u32 reserved1[15];
	__u32 local_tail;
	__u32 reserved2[15];
	__u32 inbox_head;
	__u32 reserved3[15];
	__u32 inbox_tail;
	__u32 reserved4[15];
	__u64 local[KFIBER_LOCAL_SLOTS];
	__u64 inbox[KFIBER_INBOX_SLOTS];
	__u64 run_queue[KFIBER_LATENCY_BUCKETS];
	__u64 reserved5[56];
};

/**
 * struct kfiber_worker_block - one worker
 * @critical: not 0 while the thread uses its processor's block: the kernel
 *	leaves it its processor even when it sleeps; the thread writes
 * @processor: the one it holds, or KFIBER_NO_PROCESSOR; kernel writes, only
 *	while the thread is in the kernel. Stable while @critical is not 0
 * @fiber: the fiber it runs, 0 if none; the thread writes
 * @preempt: not 0: the slice ended in a critical section; the thread calls ACQUIRE
 *	when @critical is 0 again; kernel writes
 * @pinned: the fiber that is pinned to the thread and does not run, 0 if none: it
 *	dies with the thread; the thread writes
 */
struct kfiber_worker_block {
	__u32 critical;
	__u32 processor;
	__u64 fiber;
	__u32 preempt;
	__u32 reserved0;
	__u64 reserved[4];
	__u64 pinned;
};

/*
 * A fiber's state word: its generation above, state and flags below. It is
 * moved by compare-and-exchange only.
 *
 *   FREE    -> ACTIVE            user: spawn
 *   ACTIVE  -> PARKING           its own thread, on its own stack
 *   PARKING -> PARKED            whoever runs next on that thread
 *   PARKED  -> ACTIVE            unpark (user), timer (kernel): then it is
 *                                put in a queue, by the one that moved it
 *   PARKED  -> PARKING           kernel: it works on the stack; and publishes
 *                                PARKED again
 *   ACTIVE  -> DEAD              whoever runs next; kernel: its thread died
 *   PARKED  -> DEAD              kernel, with PINNED: its thread died
 *   DEAD    -> FREE              user, with the next generation
 *
 * A fiber waits for one of two things: the user's permit, or, with WAITS_WAKE, a
 * wake-up of the library's own (a join, a lock). PERMIT and WAKE are kept when
 * they come while it does not wait for them; whoever publishes PARKED finds the
 * one it waits for, or TIMEDOUT, and makes the fiber runnable instead.
 *
 * A fiber with PINNED runs on one thread only. It is in no queue: who moves it to
 * ACTIVE calls READY, for its thread to hear of it, which is in NEXT with ONLY. The
 * flag comes and goes while the fiber runs.
 *
 * Nor is one with INTERACTIVE or BACKGROUND in a queue of user space's: who moves it to ACTIVE,
 * and who has it yield to another, calls READY, and NEXT gives it out, the interactive before
 * others and the background's after. These flags change only while the fiber runs.
 *
 * A FREE block that user space keeps for later has POOLED, and whoever clears that, by
 * compare-and-exchange, has its stack: user space to use the block, the kernel to take the
 * stack's pages, for some microseconds. The kernel gives it back in either case: a block of
 * ALLOC has none.
 *
 * TIMEDOUT says no more than that there is something to look at: whether the deadline
 * has passed, whether something else ends the wait. To an ACTIVE fiber that is said by
 * LOOK: it may have been given what it waits for, and not run yet.
 *
 * A system call in which an ACTIVE fiber blocks ends with EINTR, as by a signal whose
 * handler was installed without SA_RESTART, if the word has INTERRUPT or the deadline in
 * the block has passed, and the fiber is not masked: at once if it begins to block then, and
 * after INTERRUPT was called. If the same fiber blocks again it is interrupted again,
 * after a pause of 1 to 64 ms. What has been done (a part was written) is the call's result
 * instead. A page fault, and what is not interruptible, goes on.
 */
#define KFIBER_STATE_MASK	0x000000ffull
#define KFIBER_FREE		0x00ull
#define KFIBER_ACTIVE		0x01ull
#define KFIBER_PARKING		0x02ull
#define KFIBER_PARKED		0x03ull
#define KFIBER_DEAD		0x04ull
#define KFIBER_PERMIT		0x00000100ull	/* the user's unpark came */
#define KFIBER_WAKE		0x00000200ull	/* the library's wake-up came */
#define KFIBER_TIMEDOUT		0x00000400ull	/* the deadline passed; or look again */
#define KFIBER_WAITS_WAKE	0x00000800ull	/* with PARKING, PARKED: for WAKE */
#define KFIBER_KILLED		0x00001000ull	/* with DEAD: it has no value */
#define KFIBER_CONTAINED	0x00002000ull	/* user space's own: its faults end only it */
#define KFIBER_CANCELLED	0x00004000ull	/* user space's own: its waits are to end */
#define KFIBER_LOOK		0x00008000ull	/* user space's own: look before you wait */
#define KFIBER_INTERACTIVE	0x00010000ull	/* goes before others */
#define KFIBER_BACKGROUND	0x00020000ull	/* goes after them */
#define KFIBER_INTERRUPT	0x00040000ull	/* user space's: its system calls are not to block */
#define KFIBER_PINNED		0x00100000ull	/* runs on its thread only */
#define KFIBER_POOLED		0x00200000ull	/* with FREE: its stack may be trimmed */

/* In kfiber_fiber_block.wait_since: not when its wait began, but when that ended. */
#define KFIBER_RUNNABLE		(1ull << 63)

/* What kfiber_fiber_block.joiner holds when it is not a fiber's name. */
#define KFIBER_JOIN_DETACHED	1ull
#define KFIBER_JOIN_ENDED	2ull	/* its value is there to be taken */
#define KFIBER_JOIN_TAKEN	3ull

/**
 * struct kfiber_fiber_block - the shared part of a fiber: its control block
 * @word: generation, flags and state, see above
 * @sp: its stack pointer while it does not run; user space writes
 * @deadline: when to make it runnable, CLOCK_MONOTONIC; user space writes,
 *	after PARKING; KFIBER_NEVER when it waits for no time. While it is ACTIVE: from
 *	when on to interrupt its system calls, KFIBER_NEVER for not at all
 * @armed: when its timer will look at @deadline; kernel writes
 * @joiner: who waits for its end: KFIBER_JOIN_*, 0, or a fiber's name;
 *	compare-and-exchange
 * @value: what it returned; user space writes before DEAD, and until then its own
 * @link: user space's own: pools, fiber-local values
 * @wait_object: what it waits for: an address, and in the highest byte user space's own
 *	number of what that is; user space writes
 * @wait_since: when it was parked last, CLOCK_MONOTONIC, up to 10 ms too early; user
 *	space writes, after PARKING. With KFIBER_RUNNABLE: it is ACTIVE and in a queue, or about
 *	to be, since then exactly; whoever moved it there writes, and whoever runs it takes
 *	that away
 * @spawn_site: an address in its spawner; user space writes
 * @name: user space writes; not terminated when all 16 bytes are used
 * @processor: the one it ran on last, a hint; user space writes
 * @stack_shift: its stack's class; kernel writes once
 * @slot: its place in the arena of that class; kernel writes once
 * @stack_limit: pages that its stack may have, 0 for all of its slot; user space
 *	writes
 * @stack_start: pages to begin a stack with that has none; user space writes
 * @stack_pages: pages that its stack has; kernel writes
 * @stack_high: the most that it had; kernel writes, user space sets it back
 * @masked: while it is not 0 CANCELLED ends no wait, and no system call is interrupted;
 *	the fiber itself writes
 *
 * Timer and sleeper cannot miss each other: user space stores @deadline, then a
 * full fence, then loads @armed and calls KFIBER_IOC_ARM if that is later than
 * @deadline. The kernel stores @armed, then a full fence, then loads @deadline.
 */
struct kfiber_fiber_block {
	__u64 word;
	__u64 sp;
	__u64 deadline;
	__u64 armed;
	__u64 joiner;
	__u64 value;
	__u64 link;
	__u64 wait_object;
	__u64 wait_since;
	__u64 spawn_site;
	char name[16];
	__u32 processor;
	__u32 stack_shift;
	__u32 slot;
	__u32 stack_limit;
	__u32 stack_start;
	__u32 stack_pages;
	__u32 stack_high;
	__u32 masked;
};

/* Letter of our own; bare small numbers are taken by the VFS. */
#define KFIBER_IOC_TYPE		0xE7
#define KFIBER_IOC_QUERY	_IO(KFIBER_IOC_TYPE, 0)
#define KFIBER_IOC_SETUP	_IO(KFIBER_IOC_TYPE, 1)
#define KFIBER_IOC_SHUTDOWN	_IO(KFIBER_IOC_TYPE, 2)
#define KFIBER_IOC_STATS	_IO(KFIBER_IOC_TYPE, 3)
#define KFIBER_IOC_ATTACH	_IO(KFIBER_IOC_TYPE, 4)
#define KFIBER_IOC_DETACH	_IO(KFIBER_IOC_TYPE, 5)
#define KFIBER_IOC_NEXT		_IO(KFIBER_IOC_TYPE, 6)
#define KFIBER_IOC_ACQUIRE	_IO(KFIBER_IOC_TYPE, 7)
#define KFIBER_IOC_KICK		_IO(KFIBER_IOC_TYPE, 8)
#define KFIBER_IOC_READY	_IO(KFIBER_IOC_TYPE, 9)
#define KFIBER_IOC_ARM		_IO(KFIBER_IOC_TYPE, 10)
#define KFIBER_IOC_ALLOC	_IO(KFIBER_IOC_TYPE, 11)
#define KFIBER_IOC_FREE		_IO(KFIBER_IOC_TYPE, 12)
#define KFIBER_IOC_TRIM		_IO(KFIBER_IOC_TYPE, 13)
#define KFIBER_IOC_STACK	_IO(KFIBER_IOC_TYPE, 14)
#define KFIBER_IOC_WATCH	_IO(KFIBER_IOC_TYPE, 15)
#define KFIBER_IOC_START	_IO(KFIBER_IOC_TYPE, 16)
#define KFIBER_IOC_INTERRUPT	_IO(KFIBER_IOC_TYPE, 17)
#define KFIBER_IOC_FILE		_IO(KFIBER_IOC_TYPE, 18)
#define KFIBER_IOC_FORGET	_IO(KFIBER_IOC_TYPE, 19)
#define KFIBER_IOC_PROCESSORS	_IO(KFIBER_IOC_TYPE, 20)
#define KFIBER_IOC_ASIDE	_IO(KFIBER_IOC_TYPE, 21)

/**
 * struct kfiber_query - KFIBER_IOC_QUERY: what this module is
 * @size: sizeof(struct kfiber_query)
 * @flags: must be 0
 * @abi: out: KFIBER_ABI_VERSION
 * @reserved: must be zero
 * @features: out: KFIBER_FEATURE_*
 *
 * May be called before setup and by anybody who holds the file.
 */
struct kfiber_query {
	__u32 size;
	__u32 flags;
	__u32 abi;
	__u32 reserved;
	__u64 features;
};

/*
 * struct kfiber_setup.flags: a worker that has lost its processor goes on without
 * one when it comes back from its sleep, as after a signal. For processes whose
 * threads wait for each other before every instruction (valgrind), or spin for locks
 * of their own in critical sections (sanitizers): what holds up
 * one of them holds up those that have processors.
 */
#define KFIBER_SETUP_NO_HOLD	(1u << 0)

/*
 * struct kfiber_setup.flags: NEXT tells when nothing can happen any more but by who
 * makes the time, or from outside: every worker is in NEXT, nothing is queued and no fiber
 * waits for a file. Then the last one that came returns, with a processor and @fiber 0; once, until some
 * fiber has run.
 */
#define KFIBER_SETUP_QUIET	(1u << 4)

/**
 * struct kfiber_setup - KFIBER_IOC_SETUP: the domain's sizes, once
 * @size: sizeof(struct kfiber_setup)
 * @flags: KFIBER_SETUP_NO_HOLD, KFIBER_SETUP_QUIET
 * @processors: 1 to KFIBER_PROCESSORS_MAX
 * @max_workers: 1 to KFIBER_WORKERS_MAX
 * @max_fibers: 1 to KFIBER_FIBERS_MAX
 * @processors_max: how many processors KFIBER_IOC_PROCESSORS may have used, from
 *	@processors to KFIBER_PROCESSORS_MAX; 0: @processors
 * @stack_bytes_max: bound on the memory of all stacks together; 0: none
 * @guard_bytes: the stretch at the bottom of each slot that is never backed, in
 *	whole pages and at most half of the slot; 0: kfiber_guard_bytes()
 * @pool_bytes: the memory that the stacks of fibers that were given back may keep
 *	together, for the next that are asked for; 0: KFIBER_POOL_BYTES. What is
 *	beyond goes back soon, the rest with age or when memory is short
 * @slice_ns: how long a fiber may run while others wait for its processor, from
 *	KFIBER_SLICE_MIN; 0: KFIBER_SLICE_DEFAULT; KFIBER_SLICE_NEVER: as long as it
 *	likes
 * @slack_ns: how late a deadline may be, to be merged with others, at most
 *	KFIBER_SLACK_MAX; 0: as it is for the calling thread (PR_SET_TIMERSLACK);
 *	KFIBER_SLACK_NONE: not at all
 * @idle_ns: how long a worker is kept that is not needed, from KFIBER_IDLE_MIN to
 *	KFIBER_IDLE_MAX; 0: KFIBER_IDLE_DEFAULT; KFIBER_IDLE_NEVER: for ever
 */
struct kfiber_setup {
	__u32 size;
	__u32 flags;
	__u32 processors;
	__u32 max_workers;
	__u32 max_fibers;
	__u32 processors_max;
	__u64 stack_bytes_max;
	__u64 guard_bytes;
	__u64 pool_bytes;
	__u64 slice_ns;
	__u64 slack_ns;
	__u64 idle_ns;
};

/* 4096 stacks of a page each. */
#define KFIBER_POOL_BYTES	(16ull << 20)

/*
 * The default is Go's. The least is what the kernel itself gives a thread.
 */
#define KFIBER_SLICE_DEFAULT	10000000ull
#define KFIBER_SLICE_MIN	1000000ull
#define KFIBER_SLICE_NEVER	(~0ull)

/* As long as io_uring keeps its workers. Go keeps its threads for ever. */
#define KFIBER_IDLE_DEFAULT	5000000000ull
#define KFIBER_IDLE_MIN		1000000ull
#define KFIBER_IDLE_MAX		3600000000000ull
#define KFIBER_IDLE_NEVER	(~0ull)

#define KFIBER_SLACK_MAX	1000000000ull
#define KFIBER_SLACK_NONE	(~0ull)

/**
 * struct kfiber_simple - the calls that take nothing but a worker, or nothing
 * @size: sizeof(struct kfiber_simple)
 * @flags: must be 0
 * @worker: ATTACH: out: the caller's number; DETACH, ACQUIRE: the caller's
 *	number; SHUTDOWN: must be 0
 * @reserved: must be zero
 *
 * SHUTDOWN ends the domain: every worker gets ESHUTDOWN from NEXT.
 * ATTACH makes the calling thread a worker; it has no processor until NEXT.
 * DETACH makes it a plain thread again; its processor is for others.
 * ACQUIRE waits for a processor for a worker that has lost its own; one whose slice
 *	is over gives it to others first.
 */
struct kfiber_simple {
	__u32 size;
	__u32 flags;
	__u32 worker;
	__u32 reserved;
};

/* struct kfiber_next.flags, in: a processor with work, but others wait for one. */
#define KFIBER_NEXT_OFFER	(1u << 0)
/* struct kfiber_next.flags, out: make a thread that attaches and calls NEXT. */
#define KFIBER_NEXT_NEED_SPARE	(1u << 1)
/* struct kfiber_next.flags, in: run @fiber on this thread, and nothing else. */
#define KFIBER_NEXT_ONLY	(1u << 2)
/* struct kfiber_next.flags, in: rather than sleep for ever, EDEADLK. */
#define KFIBER_NEXT_DEADLOCK	(1u << 3)
/* struct kfiber_next.flags, in: the thread may end; out: it is not needed. */
#define KFIBER_NEXT_SURPLUS	(1u << 6)

/**
 * struct kfiber_next - KFIBER_IOC_NEXT: something to run, please
 * @size: sizeof(struct kfiber_next)
 * @flags: in: KFIBER_NEXT_OFFER, KFIBER_NEXT_ONLY, KFIBER_NEXT_DEADLOCK,
 *	KFIBER_NEXT_SURPLUS; out: KFIBER_NEXT_NEED_SPARE, KFIBER_NEXT_SURPLUS
 * @worker: the caller's number
 * @reserved: must be zero
 * @arm: a fiber whose timer to set, as KFIBER_IOC_ARM does; 0 for none
 * @fiber: out: what to run, 0: see KFIBER_SETUP_QUIET; in, with ONLY: likewise
 *
 * Sleeps until there is a fiber to run and a processor to run it on, and
 * returns with both. With OFFER the caller's processor goes first to a worker
 * that waits for one. On an error the caller may have no processor.
 *
 * With ONLY it sleeps until READY is called for @fiber, or finds that it was, and
 * others have the processor meanwhile. ONLY and OFFER: @fiber is runnable, and lets
 * those go first who wait now.
 *
 * With SURPLUS a worker that has been asleep for long beside others returns without a
 * processor and with @fiber 0: it may DETACH and end.
 *
 * With DEADLOCK the last worker that goes to sleep gets EDEADLK if fibers are parked and
 * nothing can make one runnable: every thread of the process is a worker that sleeps in
 * NEXT, or is in ASIDE, no parked fiber has a deadline, the kernel waits for nothing on a fiber's behalf,
 * and the process catches no signals but those of faults.
 */
struct kfiber_next {
	__u32 size;
	__u32 flags;
	__u32 worker;
	__u32 reserved;
	__u64 arm;
	__u64 fiber;
};

/* struct kfiber_kick.flags, in: the spare that was asked for could not be made. */
#define KFIBER_KICK_NO_SPARE	(1u << 0)

/**
 * struct kfiber_processors - KFIBER_IOC_PROCESSORS: how many are in use
 * @size: sizeof(struct kfiber_processors)
 * @flags: must be 0
 * @count: in: how many are to be, 1 to @max; 0 to leave it; out: how many there were
 * @max: out: how many there can be
 *
 * A processor that is taken out of use and is held stays with its worker until that
 * one sleeps, calls NEXT, or is interrupted outside of a critical section; it then waits for
 * another one. What is in its queues goes to the global queue.
 */
struct kfiber_processors {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 max;
};

/**
 * struct kfiber_kick - KFIBER_IOC_KICK: there is something in a queue
 * @size: sizeof(struct kfiber_kick)
 * @flags: in: KFIBER_KICK_NO_SPARE
 *
 * Wakes a spare for an idle processor, if there are both, and sees to it that what
 * is queued does not wait for longer than a slice. Does not sleep.
 */
struct kfiber_kick {
	__u32 size;
	__u32 flags;
};

/**
 * struct kfiber_fibers - READY, ARM, ALLOC, FREE, FORGET, INTERRUPT: calls on several fibers
 * @size: sizeof(struct kfiber_fibers)
 * @flags: must be 0
 * @count: how many, 1 to KFIBER_BATCH_MAX; out: how many were done
 * @stack_shift: ALLOC: the class of their stacks; else 0
 * @fibers: address of @count names; ALLOC writes them
 *
 * READY puts fibers in a queue and sees to it that somebody runs them: the
 *	caller has moved them to ACTIVE. A fiber that is in the global queue is
 *	left there.
 * ARM sees to it that each fiber's timer looks at its deadline in time.
 * ALLOC makes control blocks with a stack each, in state FREE. Names are of
 *	the current generation. Fewer than asked for when a limit is near, or
 *	stacks are just being trimmed.
 * FREE gives back control blocks in state FREE.
 * FORGET ends each fiber's wait for a file, see KFIBER_IOC_FILE. A wake-up that it
 *	sent before has been sent when the call returns, and none comes any more.
 * INTERRUPT looks whether the system call in which each fiber blocks is to be interrupted, see
 *	KFIBER_INTERRUPT, which the caller has stored.
 *
 * When some but not all could be done the result is 0 and @count tells.
 */
struct kfiber_fibers {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 stack_shift;
	__u64 fibers;
};

/* struct kfiber_stats.flags: also what takes a look at each fiber. */
#define KFIBER_STATS_USED	(1u << 0)

/**
 * struct kfiber_stats - KFIBER_IOC_STATS: the kernel's counters
 * @size: sizeof(struct kfiber_stats)
 * @flags: KFIBER_STATS_USED
 * @processors: in use
 * @workers: attached threads
 * @workers_peak: most at once
 * @spares: of @workers, asleep with nothing to do
 * @fibers: control blocks in use by user space, its pools included
 * @fibers_peak: most at once
 * @handovers: processors taken from a blocked worker and given to another
 * @returns: workers that came back from blocking, or were preempted, and got a
 *	processor
 * @steals: fibers taken from another processor's queues
 * @sleeps: times NEXT slept
 * @wakeups: workers woken for an idle processor
 * @timers: fibers made runnable by their timer
 * @stack_faults: page faults that grew a stack
 * @stack_pages: pages that stacks have
 * @stack_refused: faults refused: guards, limits, free slots
 * @next_calls: calls of NEXT
 * @deaths: fibers that died with their thread
 * @stack_trimmed: pages taken from stacks that did not need them
 * @stack_grown: pages put into stacks
 * @stack_starts: calls of START that put some in
 * @stack_dropped: pages that the process took away itself (madvise, munmap), as far
 *	as trims have found them missing
 * @stack_used: bytes of stacks that are in use: of each fiber from its stack pointer
 *	up to its stack's top, of one that a worker runs all that its stack has, of
 *	one that is FREE or DEAD none. 0 without KFIBER_STATS_USED
 * @stack_idle: bytes of stacks that are no fiber's: FREE, or given back. 0 without
 *	KFIBER_STATS_USED
 * @pool_pages: pages of stacks that were given back
 * @pool_warm: stacks that ALLOC found among those, with memory
 * @pool_cold: that it found without
 * @pool_made: that it had to make
 * @time: CLOCK_MONOTONIC when all this was so, in nanoseconds
 * @preemptions: times a worker lost its processor because its slice was over
 * @idle: processors that nobody holds
 * @global: fibers in the global queue
 * @waiters: of @workers, those that are back from blocking and wait for a processor
 * @preempted: likewise, whose slice was over, or whose fiber is in the background
 * @pinned: of @workers, those that sleep until their one fiber is runnable
 * @blocked: of @workers, those that have no processor and none of the above: they are
 *	in the kernel elsewhere
 * @interrupts: times a system call in which a fiber blocked was interrupted
 * @file_waits: times a call of FILE had a fiber wait
 * @file_wakes: of these, those that the file ended
 * @file_waiting: fibers whose wait is not over
 *
 * When nobody is just about to change them, @stack_pages is @stack_grown less
 * @stack_trimmed and @stack_dropped.
 */
struct kfiber_stats {
	__u32 size;
	__u32 flags;
	__u32 processors;
	__u32 workers;
	__u32 workers_peak;
	__u32 spares;
	__u32 fibers;
	__u32 fibers_peak;
	__u64 handovers;
	__u64 returns;
	__u64 steals;
	__u64 sleeps;
	__u64 wakeups;
	__u64 timers;
	__u64 stack_faults;
	__u64 stack_pages;
	__u64 stack_refused;
	__u64 next_calls;
	__u64 deaths;
	__u64 stack_trimmed;
	__u64 stack_grown;
	__u64 stack_starts;
	__u64 stack_dropped;
	__u64 stack_used;
	__u64 stack_idle;
	__u64 pool_pages;
	__u64 pool_warm;
	__u64 pool_cold;
	__u64 pool_made;
	__u64 time;
	__u64 preemptions;
	__u32 idle;
	__u32 global;
	__u32 waiters;
	__u32 preempted;
	__u32 pinned;
	__u32 blocked;
	__u64 interrupts;
	__u64 file_waits;
	__u64 file_wakes;
	__u64 file_waiting;
};

/**
 * struct kfiber_trim - KFIBER_IOC_TRIM: give back what stacks do not need
 * @size: sizeof(struct kfiber_trim)
 * @flags: must be 0
 * @pages: out: how many were freed
 *
 * Frees the pages below the stack pointer of every parked fiber, and all pages
 * of the stacks in pools. Frees none while a forked child has
 * a copy of the mapping, nor from a part of an arena that was moved (mremap).
 * The module does the same for fibers that stay parked, and when memory is
 * short.
 */
struct kfiber_trim {
	__u32 size;
	__u32 flags;
	__u64 pages;
};

/* Why a page fault in a slot was refused: struct kfiber_stack.reason. */
#define KFIBER_REFUSED_NONE	0u
#define KFIBER_REFUSED_GUARD	1u	/* in the guard: the stack is full */
#define KFIBER_REFUSED_LIMIT	2u	/* below the fiber's own limit */
#define KFIBER_REFUSED_OWNER	3u	/* not explained by the owner's stack pointer */
#define KFIBER_REFUSED_DOMAIN	4u	/* the domain's limit; SIGBUS */
#define KFIBER_REFUSED_USER	5u	/* the limit for the user's domains; SIGBUS */
#define KFIBER_REFUSED_MEMORY	6u	/* no memory */
#define KFIBER_REFUSED_FREE	7u	/* the slot is nobody's, or in a pool */

/**
 * struct kfiber_stack - KFIBER_IOC_STACK: what a slot holds
 * @size: sizeof(struct kfiber_stack)
 * @flags: must be 0
 * @offset: a page of an arena: an mmap offset from KFIBER_MAP_STACKS on
 * @fiber: out: the fiber whose slot it is
 * @stack_shift: out: the slot's class
 * @slot: out: its number there
 * @guard: out: pages at its bottom that are never backed
 * @limit: out: pages that the stack may have
 * @pages: out: pages that it has
 * @faults: out: page faults that grew it
 * @refused: out: page faults that were refused
 * @reason: out: why the last one was: KFIBER_REFUSED_*
 * @refused_offset: out: where it was, as @offset; 0 if there was none
 *
 * ENOENT: there has never been a fiber in this slot.
 */
struct kfiber_stack {
	__u32 size;
	__u32 flags;
	__u64 offset;
	__u64 fiber;
	__u32 stack_shift;
	__u32 slot;
	__u32 guard;
	__u32 limit;
	__u32 pages;
	__u32 faults;
	__u32 refused;
	__u32 reason;
	__u64 refused_offset;
};

/**
 * struct kfiber_start - KFIBER_IOC_START: give a stack its first pages
 * @size: sizeof(struct kfiber_start)
 * @flags: must be 0
 * @fiber: a fiber in state FREE
 * @pages: how many it shall have, 1 to KFIBER_START_MAX; out: how many it has
 * @reserved: must be zero
 *
 * Touching them would do the same; but here a limit that is reached is EAGAIN
 * and not a signal. What is there stays.
 *
 * ENXIO: its slot is not mapped, or not where the rest of its arena is.
 */
struct kfiber_start {
	__u32 size;
	__u32 flags;
	__u64 fiber;
	__u32 pages;
	__u32 reserved;
};

#define KFIBER_START_MAX	128u

/**
 * struct kfiber_watch - KFIBER_IOC_WATCH: say when memory gets short
 * @size: sizeof(struct kfiber_watch)
 * @flags: must be 0
 * @fd: an eventfd that is told, or -1 for none
 * @percent: of a limit, 1 to 100; 0, with @fd -1, to stop
 *
 * The limits are the domain's, its user's and its memory cgroup's. While one is
 * used to that share the header's "pressed" is not 0. Each time that begins, the
 * eventfd is told. A new call replaces the one before.
 */
struct kfiber_watch {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 percent;
};

/* struct kfiber_file.operation */
#define KFIBER_FILE_READ	0u	/* as read() */
#define KFIBER_FILE_WRITE	1u	/* as write() */
#define KFIBER_FILE_RECV	2u	/* as recvfrom() */
#define KFIBER_FILE_SEND	3u	/* as sendto() */
#define KFIBER_FILE_POLL	4u	/* nothing: is it ready? */
#define KFIBER_FILE_OPERATIONS	5u

/* struct kfiber_file.state, out */
#define KFIBER_FILE_DONE	0u	/* done; @result is what it came to */
#define KFIBER_FILE_WAITS	1u	/* it would block; @fiber is woken when it may not */
#define KFIBER_FILE_READY	2u	/* user space makes the call; it does not block */
#define KFIBER_FILE_BLOCKS	3u	/* user space makes the call; it may block */
#define KFIBER_FILE_BUSY	4u	/* it was ready and then was not, several times: ask later */

/**
 * struct kfiber_file - KFIBER_IOC_FILE: do it now, or say when it can be done
 * @size: sizeof(struct kfiber_file)
 * @flags: must be 0
 * @fd: the file; O_NONBLOCK makes no difference
 * @operation: KFIBER_FILE_*
 * @fiber: who waits if it would block; 0: nobody, and @state says whether it would
 * @deadline: WAITS: for which the fiber's timer is set, as ARM would for the one in its
 *	block once it parks; KFIBER_NEVER
 * @buffer: READ, WRITE, RECV, SEND: an address
 * @length: of it, in bytes
 * @address: RECV, SEND: a socket address is written, read there; 0: none
 * @address_length: RECV: room there; out: the address's own length. SEND: its length
 * @message_flags: RECV, SEND: MSG_*
 * @events: POLL: POLL*, 16 bits
 * @state: out: KFIBER_FILE_DONE to KFIBER_FILE_BUSY
 * @result: out: DONE: bytes, or POLL's events; READY: bytes that can be asked for
 *
 * Never waits for the file. What fails is an error of the call, as it is of the
 * ordinary one.
 *
 * With WAITS the fiber gets one KFIBER_WAKE, as the library's own wake-ups are, when
 * the file stirs: it parks, and calls again with the same file, fiber and operation.
 * The module holds the open file until that call, FORGET, the fiber's end or the
 * domain's. A call again that finds another open file at @fd has EBADF: it was closed
 * meanwhile.
 *
 * READY is for files that cannot be tried without the risk of blocking, which is so
 * if others read or write there as well. BLOCKS is for files that cannot be polled. BUSY is
 * for those that say they are ready and are not, because others are quicker or by mistake: nothing
 * tells when that ends, and the ordinary call would not look at a deadline.
 */
struct kfiber_file {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 operation;
	__u64 fiber;
	__u64 deadline;
	__u64 buffer;
	__u64 length;
	__u64 address;
	__u32 address_length;
	__u32 message_flags;
	__u32 events;
	__u32 state;
	__s64 result;
};

/**
 * struct kfiber_aside - KFIBER_IOC_ASIDE: sleep, and be nobody meanwhile
 * @size: sizeof(struct kfiber_aside)
 * @flags: must be 0
 * @until: CLOCK_MONOTONIC, or KFIBER_NEVER
 *
 * For a thread that only looks on. While it sleeps here it is not one of those that
 * could make a fiber runnable: see KFIBER_NEXT_DEADLOCK. ESHUTDOWN when the domain ends;
 * EINVAL for a worker.
 */
struct kfiber_aside {
	__u32 size;
	__u32 flags;
	__u64 until;
};

#endif /* _UAPI_LINUX_KFIBER_H */
