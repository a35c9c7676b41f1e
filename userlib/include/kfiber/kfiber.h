/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkfiber: lightweight tasks for C on Linux.
 *
 * A fiber is a task with a stack of its own that grows as it is used. Fibers
 * run on a few threads (workers), of which at most as many run at once as there
 * are processors; when a fiber blocks in any system call, the kernel module
 * gives its processor to another worker at once. Fibers are switched in user
 * space, without a system call.
 *
 * Results: 0 or a positive count on success, a negative errno on failure. errno
 * itself belongs to the fiber and is left alone. Deadlines are absolute
 * nanoseconds of CLOCK_MONOTONIC.
 *
 * Unless a function says otherwise it is called by a fiber. A plain thread, one
 * that is not running a fiber, gets -EPERM from those. Signal handlers may call
 * kf_self(), kf_unpark() and kf_cancel() and nothing else of this library.
 *
 * Calls that wait end with -ECANCELED when their fiber is cancelled: <kfiber/cancel.h>.
 */
#ifndef KFIBER_KFIBER_H
#define KFIBER_KFIBER_H

#include <kfiber/cancel.h>
#include <kfiber/chan.h>
#include <kfiber/ctx.h>
#include <kfiber/file.h>
#include <kfiber/key.h>
#include <kfiber/leaks.h>
#include <kfiber/scope.h>
#include <kfiber/sync.h>
#include <kfiber/timer.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library hides all else. */
#pragma GCC visibility push(default)

/** KF_FOREVER - the deadline that never comes */
#define KF_FOREVER UINT64_MAX

/**
 * struct kf_config - how a domain is set up
 * @size: sizeof(struct kf_config): lets the struct grow at its end
 * @processors: how many fibers run at once; 0: as many as this thread may run on CPUs, or as
 *	its control groups give time for (cpu.max, rounded up, at least 2), and that is
 *	followed when it changes
 * @max_workers: bound on threads; 0: 10000, as Go's
 * @max_fibers: bound on fibers alive at once; 0: 1048576, or what a sanitizer or
 *	valgrind has room for
 * @stack_bytes_max: bound on the memory of all stacks together; 0: none
 * @stack_size: addresses for a fiber's stack, guard included, a power of two
 *	from 16 KiB to 1 GiB; 0: 256 KiB. Memory is taken as it is used, in
 *	pages.
 * @flags: KF_CONTAIN_FAULTS, for all fibers; KF_NO_FAULT_HANDLER; KF_TEST_CLOCK;
 *	KF_REPORT_LEAKS; KF_CPU_TIME
 * @guard_size: addresses at the bottom of each stack that are never backed by
 *	memory, rounded up to pages, at most half of the stack; 0: a quarter of
 *	the stack, at most 64 KiB. A frame larger than this can jump over it
 * @pool_bytes: bound on the memory of ended fibers' stacks that the domain keeps
 *	for the next ones; what is more goes back within a moment; 0: 16 MiB
 * @pool_stacks: how many ended fibers' stacks, of each size, a processor keeps for
 *	its next ones, of 64 KiB of memory each on average at most; 0: 64
 * @slice_ns: how long a fiber may run while others wait for its processor, in
 *	nanoseconds, from 1 ms; 0: 10 ms, as Go's; or KF_SLICE_NEVER. Then it waits
 *	for its turn where it is, on its thread, even in a library that knows nothing
 *	of fibers
 * @slack_ns: how late a deadline may be, to be met together with others, at most 1 s;
 *	0: as a thread's, that is what the thread that calls kf_run() has (50 us unless
 *	it has said otherwise, see PR_SET_TIMERSLACK); or KF_SLACK_NONE
 * @seed: with KF_TEST_CLOCK only: of the fibers that can run one is drawn, from a
 *	sequence that this number stands for; 0: the usual order
 * @processors_max: how many kf_set_processors() may ask for, @processors at least, 1024 at
 *	most; 0: @processors or all the machine's CPUs, whichever is more
 * @idle_ns: how long threads are kept that were made because fibers blocked, and are not
 *	needed any more, from 1 ms to an hour; 0: 5 s, as io_uring's; or KF_IDLE_NEVER
 *
 * A field that is 0 takes its default.
 */
struct kf_config {
	size_t size;
	unsigned int processors;
	unsigned int max_workers;
	unsigned int max_fibers;
	size_t stack_bytes_max;
	size_t stack_size;
	unsigned int flags;
	size_t guard_size;
	size_t pool_bytes;
	size_t pool_stacks;
	uint64_t slice_ns;
	uint64_t slack_ns;
	uint64_t seed;
	unsigned int processors_max;
	uint64_t idle_ns;
};

/** KF_IDLE_NEVER - kf_config.idle_ns: threads stay */
#define KF_IDLE_NEVER UINT64_MAX

/** KF_SLICE_NEVER - kf_config.slice_ns: fibers are not preempted */
#define KF_SLICE_NEVER UINT64_MAX

/** KF_SLICE_MIN - the least of kf_config.slice_ns but 0 */
#define KF_SLICE_MIN 1000000ull

/** KF_SLACK_NONE - kf_config.slack_ns: each deadline is met by itself */
#define KF_SLACK_NONE UINT64_MAX

/**
 * KF_CONTAIN_FAULTS - kf_attr.flags, kf_config.flags: a fault ends only its fiber
 *
 * A SIGSEGV, SIGBUS, SIGFPE or SIGILL that a fiber's own code causes ends that
 * fiber; kf_join() of it gives -EFAULT, and the rest goes on. What the fiber held
 * is not released: memory, locks, files, the claim on a fiber that it was
 * joining. Fibers that share a lock or a data structure must not be contained, or
 * must be able to do without one another.
 *
 * It is not contained, and ends the process as ever,
 *
 * - while the library is in a critical section or holds a lock: a stack that
 *   overflows in a call of this library may be one;
 * - beneath a function of the C library, which may hold a lock: in malloc(), in
 *   qsort()'s comparison. Only the innermost function may be libc's: memcpy() to
 *   a bad pointer is contained. In a static program, where libc is not a file of
 *   its own, only malloc() and its family are known;
 * - in a signal handler, in a child of vfork(), in a plain thread;
 * - when the stack has a function without an unwind table.
 *
 * It needs the handler that kf_run() installs: see there.
 */
#define KF_CONTAIN_FAULTS 2u

/**
 * KF_TEST_CLOCK - kf_config.flags: time is the domain's own, for tests
 *
 * kf_now() and all deadlines of its fibers go by a clock that stands still while any
 * of them runs, can run, blocks in a system call or waits for a file (whose deadline
 * does not come, therefore). When all others are parked it jumps to the earliest deadline. So what sleeps for an hour takes no time, and takes exactly
 * an hour by kf_now(). The clock begins at KF_TEST_CLOCK_START.
 *
 * There is one processor, and no slice unless kf_config.slice_ns says so: what runs
 * goes on until it parks, yields or blocks, and the order is the same each time as
 * long as nothing blocks in the kernel for longer or shorter. kf_config.seed gives
 * another order.
 *
 * A fiber that waits for something from outside, by kf_park() and a plain thread that
 * unparks it, is parked like any other: time does not wait for that thread. Plain
 * threads, and whatever asks the kernel, have the real time. Who loops until a time
 * has come must sleep: while it yields it stands still.
 */
#define KF_TEST_CLOCK 16u

/** KF_TEST_CLOCK_START - what kf_now() is at first in a domain with KF_TEST_CLOCK */
#define KF_TEST_CLOCK_START 1000000000000ull

/** KF_NO_FAULT_HANDLER - kf_config.flags: leave the signals of faults alone */
#define KF_NO_FAULT_HANDLER 4u

/**
 * KF_REPORT_LEAKS - kf_config.flags: say what the first fiber leaves behind
 *
 * When it ends, others have a second to do so too. Then those that wait without an end, or
 * were never joined, are printed on stderr as by kf_leaks(); and kf_run() waits for
 * them as ever. What goes on until a deadline or for a file is nobody's leak.
 */
#define KF_REPORT_LEAKS 2048u

/**
 * KF_CPU_TIME - kf_config.flags: count the CPU time of each fiber
 *
 * For kf_cpu_time() and kf_dump(). Each switch reads a clock of the kernel's then, which is a
 * system call and makes it several times as dear.
 */
#define KF_CPU_TIME 32u

/** KF_DETACHED - kf_attr.flags: nobody joins this fiber */
#define KF_DETACHED 1u

/** KF_PRIORITY_BACKGROUND - runs when nobody else wants to, or has waited for ten slices */
#define KF_PRIORITY_BACKGROUND 1u

/** KF_PRIORITY_NORMAL - the first fiber's */
#define KF_PRIORITY_NORMAL 2u

/** KF_PRIORITY_INTERACTIVE - goes before others, fifteen times in a row at most */
#define KF_PRIORITY_INTERACTIVE 3u

/**
 * struct kf_attr - how a fiber is made
 * @size: sizeof(struct kf_attr)
 * @name: at most 15 bytes are kept; NULL: its spawner's
 * @stack_size: as kf_config.stack_size; 0: the domain's
 * @flags: KF_DETACHED, KF_CONTAIN_FAULTS
 * @stack_limit: bytes of memory that its stack may have, rounded up to pages; 0:
 *	all of @stack_size but the guard
 * @priority: KF_PRIORITY_*; 0: its spawner's
 */
struct kf_attr {
	size_t size;
	const char *name;
	size_t stack_size;
	unsigned int flags;
	size_t stack_limit;
	unsigned int priority;
};

/**
 * kf_run() - open a domain, run a function as its first fiber, wait for all
 * @config: NULL or all zero for the defaults
 * @fn: the first fiber's function
 * @arg: its argument
 *
 * Context: a plain thread. It becomes a worker until kf_run() returns, which is
 * when the last fiber has ended. One domain at a time in a process.
 *
 * Meanwhile SIGSEGV, SIGBUS, SIGFPE and SIGILL have a handler of the library's,
 * and workers an alternate signal stack if they have none. It reports a fault in
 * a stack on stderr, ends a fiber that has KF_CONTAIN_FAULTS, and passes
 * everything else, and what it has reported, to the handler that was there
 * before, or to the default action. A handler that the program installs later
 * replaces it. KF_NO_FAULT_HANDLER keeps it out.
 *
 * Return: what @fn returned; when nothing was run -EINVAL or -E2BIG (@config),
 * -EBUSY (a domain runs), -EPERM (called by a fiber), -ENOENT (no /dev/kfiber:
 * the module is not loaded), -EACCES, -EPROTONOSUPPORT (another version of the
 * module), -ENOMEM. -ESHUTDOWN when the domain was ended under its fibers,
 * by closing its descriptor; -EDEADLK when fibers waited and nothing could wake one any
 * more: all of them are printed on stderr then, with what they waited for; -EFAULT when the first fiber's thread died, or it
 * had a fault that was contained.
 */
int kf_run(const struct kf_config *config, int (*fn)(void *), void *arg);

/**
 * kf_spawn() - make a fiber that will run fn(arg)
 * @out: NULL or where its name goes
 * @attr: NULL or all zero for the defaults
 * @fn: its function; what this returns is its value
 * @arg: the function's argument
 *
 * A fiber that is not detached must be joined, or its stack is kept.
 * Return: 0, -EAGAIN (max_fibers reached), -EINVAL, -E2BIG, -ENOMEM, -EPERM.
 * KF_CONTAIN_FAULTS in a domain with KF_NO_FAULT_HANDLER is -EINVAL.
 */
int kf_spawn(kf_fiber_t *out, const struct kf_attr *attr, void *(*fn)(void *), void *arg);

/**
 * kf_join() - wait for a fiber's end and take its value
 * @fiber: not detached, and joined by nobody else
 * @value: NULL or where its value goes
 *
 * Return: 0; -EDEADLK (oneself), -EINVAL (detached, or another joins it),
 * -ESRCH (gone), -EFAULT (it died with its thread or by a contained fault and has
 * no value), -ECANCELED (the caller was cancelled; @fiber can still be joined), -EPERM.
 */
int kf_join(kf_fiber_t fiber, void **value);

/**
 * kf_detach() - declare that nobody will join a fiber
 * @fiber: any fiber, oneself included
 *
 * Return: 0, -EINVAL (detached already, or being joined), -ESRCH, -EPERM.
 */
int kf_detach(kf_fiber_t fiber);

/**
 * kf_exit() - end the calling fiber
 * @value: for its joiner
 *
 * In the first fiber the int in @value is what kf_run() returns. In a plain
 * thread, which has no end of this kind, it traps.
 */
void kf_exit(void *value) __attribute__((noreturn));

/**
 * kf_self() - the calling fiber
 *
 * Context: anywhere; signal handlers too.
 * Return: its name; 0 in a plain thread.
 */
kf_fiber_t kf_self(void);

/**
 * kf_yield() - let the other runnable fibers of this processor go first
 *
 * No system call while the processor has runnable fibers, or nothing to do.
 */
void kf_yield(void);

/**
 * kf_sleep() - let time pass
 * @ns: nanoseconds, at least
 *
 * A kernel timer: no thread waits. An unpark does not end it; it is there for
 * the next kf_park().
 * Return: 0, -ECANCELED, -EPERM.
 */
int kf_sleep(uint64_t ns);

/**
 * kf_park() - wait for a permit
 * @deadline: absolute, or KF_FOREVER
 *
 * One permit is kept: an unpark that came first makes this return at once.
 * Return: 0 (a permit was taken), -ETIMEDOUT, -ECANCELED, -EPERM.
 */
int kf_park(uint64_t deadline);

/**
 * kf_unpark() - give a fiber its permit
 * @fiber: any fiber of this process
 *
 * Context: any fiber, plain thread or signal handler of the process. What the
 * caller wrote before is seen by the fiber after its park.
 * Return: 0 (also when it had one), -ESRCH (it has ended).
 */
int kf_unpark(kf_fiber_t fiber);

/**
 * kf_pin() - stay on this thread
 *
 * From here to kf_unpin() the calling fiber runs on the thread that it is on now, and
 * no other fiber does: thread-local variables (errno is the fiber's own anyway), the
 * signal mask, credentials, scheduling policy and the like are its alone. Others run on
 * other threads meanwhile; one is made if need be. Pins are counted.
 *
 * While it waits its thread sleeps, so each switch from and to it takes a system call
 * or two and costs as much as those of threads do.
 *
 * A fiber that ends while it is pinned takes its thread with it: whatever it did to that
 * is seen by nobody. (The thread that called kf_run() just runs no more fibers. When no
 * other thread can be made, it goes on as it is.) If a thread ends under a fiber that is
 * pinned to it, even one that waits, so does the fiber; if it waited for an object, that
 * must not be used any more, nor time in a domain with KF_TEST_CLOCK.
 *
 * Return: 0; -EAGAIN: kf_config.max_workers would leave no thread for fibers that are not
 * pinned; -EPERM.
 */
int kf_pin(void);

/**
 * kf_unpin() - take back one kf_pin()
 *
 * With the last one the thread is for other fibers again: what they should not see of it
 * has to be put back before.
 *
 * Return: 0, -EINVAL (not pinned), -EPERM.
 */
int kf_unpin(void);

/**
 * kf_set_priority() - go before others from now on, or after them, or neither
 * @priority: KF_PRIORITY_*; 0 to leave it
 *
 * Of the calling fiber. It counts whenever it becomes runnable, and for those that it
 * spawns. Waking one that is not KF_PRIORITY_NORMAL, and its yield, is a system call; the
 * yield of one that is interactive only if somebody else could run. Who is interactive runs
 * next where somebody parks, yields or ends first, and after a quarter of a slice where
 * nobody does. In a domain with KF_SLICE_NEVER the background may wait for ever.
 *
 * A lock knows nothing of this: who holds one in the background, and has lost its processor,
 * keeps others waiting for as long as it waits itself.
 *
 * Return: what it was; -EINVAL, -EPERM.
 */
int kf_set_priority(unsigned int priority);

/**
 * kf_setname() - name the calling fiber
 * @name: at most 15 bytes are kept; it is copied
 *
 * Return: 0, -EINVAL (NULL), -EPERM.
 */
int kf_setname(const char *name);

/**
 * kf_now() - the time that deadlines are measured by
 *
 * Return: CLOCK_MONOTONIC in nanoseconds; for fibers of a domain with KF_TEST_CLOCK its
 * own time.
 */
uint64_t kf_now(void);

/**
 * kf_after() - a deadline from a duration
 * @ns: nanoseconds from now
 *
 * Return: now + @ns; KF_FOREVER when that is beyond the end of time.
 */
uint64_t kf_after(uint64_t ns);

/**
 * struct kf_stats - a domain's counters
 * @size: sizeof(struct kf_stats), set by the caller; what is beyond the size
 *	that the library knows is left alone
 * @fibers_live: fibers that have not ended
 * @fibers_spawned: fibers made since the start
 * @fibers_allocated: fiber control blocks, each with its stack; pooled included
 * @switches: switches from one fiber to another, all without a system call
 * @parks: times a fiber gave up its worker to wait
 * @unparks: parked fibers made runnable by other fibers and threads
 * @timers: parked fibers made runnable by the kernel's timers
 * @handovers: processors that the kernel took from a blocked worker
 * @returns: workers that came back from blocking and got a processor
 * @steals: fibers taken from another processor's queue
 * @sleeps: times a worker found nothing to run and slept
 * @wakeups: workers woken because there was something to run
 * @calls: calls of the module made by the library for scheduling
 * @stack_faults: page faults that grew a stack
 * @stack_pages: pages that stacks hold now
 * @stack_refused: faults that were refused: guards, limits
 * @processors: as set up
 * @workers: threads now
 * @workers_peak: most threads at once
 * @spares: of @workers, asleep with nothing to do
 * @stack_trimmed: pages taken from stacks that did not need them
 * @stack_grown: pages put into stacks since the start
 * @stack_starts: fibers spawned on a stack that had too little memory: they were given
 *	what their spawn site needs, without a fault
 * @stack_dropped: pages that the program took from stacks itself (madvise, munmap), as
 *	far as it has been noticed; @stack_pages is @stack_grown less @stack_trimmed
 *	and @stack_dropped
 * @pool_local: fibers spawned on a stack that their processor had kept
 * @pool_warm: stacks that processors were given out of the domain's, with memory
 * @pool_cold: likewise, but without: it comes from the kernel anew
 * @pool_made: stacks that were made because none were left
 * @pool_pages: pages of the stacks that the domain keeps, without the processors'
 * @time: when all this was so; kf_now()'s. The difference of two readings is what
 *	happened in a time
 * @preemptions: times a fiber lost its processor because its slice was over
 * @interrupts: times a system call was interrupted in which a fiber blocked that was
 *	cancelled, or whose context's time was up
 * @file_waits: times a fiber waited for a file: what it wanted was not there
 * @file_wakes: of these, those that the file ended; the others end by a deadline or a cancel
 * @file_waiting: fibers that wait for one
 */
struct kf_stats {
	size_t size;
	uint64_t fibers_live;
	uint64_t fibers_spawned;
	uint64_t fibers_allocated;
	uint64_t switches;
	uint64_t parks;
	uint64_t unparks;
	uint64_t timers;
	uint64_t handovers;
	uint64_t returns;
	uint64_t steals;
	uint64_t sleeps;
	uint64_t wakeups;
	uint64_t calls;
	uint64_t stack_faults;
	uint64_t stack_pages;
	uint64_t stack_refused;
	uint32_t processors;
	uint32_t workers;
	uint32_t workers_peak;
	uint32_t spares;
	uint64_t stack_trimmed;
	uint64_t stack_grown;
	uint64_t stack_starts;
	uint64_t stack_dropped;
	uint64_t pool_local;
	uint64_t pool_warm;
	uint64_t pool_cold;
	uint64_t pool_made;
	uint64_t pool_pages;
	uint64_t time;
	uint64_t preemptions;
	uint64_t interrupts;
	uint64_t file_waits;
	uint64_t file_wakes;
	uint64_t file_waiting;
};

/**
 * kf_stats() - read the domain's counters
 * @stats: @stats->size set; filled up to that
 *
 * Context: any fiber or plain thread while a domain runs.
 * Return: 0, -EINVAL (size too small), -ESRCH (no domain runs).
 */
int kf_stats(struct kf_stats *stats);

/** KF_LATENCY_BUCKETS - of each histogram in struct kf_latencies */
#define KF_LATENCY_BUCKETS 32

/**
 * struct kf_latencies - how long things took since the domain began
 * @size: sizeof(struct kf_latencies), set by the caller; what is beyond the size
 *	that the library knows is left alone
 * @handover: from the moment that a fiber blocks in the kernel to that in which another
 *	thread goes on with its processor. What nobody else took is not counted
 * @wakeup: from the decision that a sleeping thread is to go on, to its going on
 * @wait: of a fiber that is back from blocking and finds no processor, until it has one
 * @run_queue: from a fiber's becoming runnable (by its spawn, its yield, whoever or whatever
 *	woke it) to its running, of about one in 2501
 *
 * [n] counts what took from 2^n to 2^(n+1) nanoseconds, [0] also what took none, the last
 * also all that is longer. It is always counted: the first three by the module, where threads
 * sleep and wake up; the last with readings of the clock for the samples only.
 */
struct kf_latencies {
	size_t size;
	uint64_t handover[KF_LATENCY_BUCKETS];
	uint64_t wakeup[KF_LATENCY_BUCKETS];
	uint64_t wait[KF_LATENCY_BUCKETS];
	uint64_t run_queue[KF_LATENCY_BUCKETS];
};

/**
 * kf_latencies() - read how long things took
 * @latencies: @latencies->size set; filled up to that
 *
 * Context: any fiber or plain thread while a domain runs. Makes no system call.
 * Return: 0, -EINVAL (size too small), -ESRCH (no domain runs).
 */
int kf_latencies(struct kf_latencies *latencies);

/**
 * kf_cpu_time() - read how long a fiber was on a CPU
 * @fiber: any fiber that has not been joined
 * @ns: nanoseconds
 *
 * By the clocks of the threads that it ran on (CLOCK_THREAD_CPUTIME_ID): in its own code and in
 * the kernel on its behalf, but not while it was parked, blocked, queued or preempted. All
 * fibers together have at most what the process has (CLOCK_PROCESS_CPUTIME_ID). Of one whose
 * thread was killed under it, its last turn is not counted.
 *
 * Context: any fiber or plain thread while a domain runs.
 * Return: 0, -EINVAL (@ns is NULL), -ESRCH, -EOPNOTSUPP (a domain without KF_CPU_TIME).
 */
int kf_cpu_time(kf_fiber_t fiber, uint64_t *ns);

/**
 * kf_dump() - print all fibers
 * @fd: where to
 *
 * For people, in no fixed form: each fiber's name, what it does or what it waits for, how
 * long it has waited and will wait at most, its CPU time with KF_CPU_TIME, and where it was
 * spawned. They go on meanwhile.
 *
 * Context: any fiber or plain thread while a domain runs. Not a signal handler: have one
 * wake a fiber that does it.
 * Return: 0, -ESRCH (no domain runs), or why it could not be written.
 */
int kf_dump(int fd);

/**
 * struct kf_stack_usage - what the memory of all stacks is used for
 * @size: sizeof(struct kf_stack_usage), set by the caller; what is beyond the size
 *	that the library knows is left alone
 * @resident: bytes of memory that stacks have
 * @used: of these, what lies between the stack pointers of live fibers and the tops of
 *	their stacks; of a fiber that runs, or blocks in a system call, all that its
 *	stack has
 * @idle: of these, what ended fibers have left for the next ones
 *
 * The waste is @resident - @used. What of it is not @idle, live fibers had in use once
 * and do not now, or ended ones that nobody has joined.
 */
struct kf_stack_usage {
	size_t size;
	uint64_t resident;
	uint64_t used;
	uint64_t idle;
};

/**
 * kf_stack_usage() - sum up what the memory of all stacks is used for
 * @usage: @usage->size set; filled up to that
 *
 * Looks at each fiber that there is, some 10 ns each. They go on meanwhile, so the sum
 * is of what each had in use when it was looked at.
 *
 * Context: any fiber or plain thread while a domain runs.
 * Return: 0, -EINVAL (size too small), -ESRCH (no domain runs).
 */
int kf_stack_usage(struct kf_stack_usage *usage);

/**
 * kf_trim() - give back the memory that stacks do not need
 *
 * What lies below the stack pointers of parked fibers, and the stacks of ended
 * ones but for those that other processors keep warm. The module does this by
 * itself for fibers that stay parked for some seconds, and when memory is short.
 *
 * Context: any fiber or plain thread while a domain runs.
 * Return: bytes freed; -ESRCH (no domain runs).
 */
int64_t kf_trim(void);

/**
 * struct kf_stack_stats - a fiber's stack
 * @size: sizeof(struct kf_stack_stats), set by the caller; what is beyond the
 *	size that the library knows is left alone
 * @limit: bytes of memory that it may have
 * @committed: bytes that it has
 * @high_water: the most that it had in this fiber's life
 * @guard: bytes below it that are never backed
 * @faults: page faults that grew it, since it came from the module's pool
 * @refused: page faults that were refused, likewise
 */
struct kf_stack_stats {
	size_t size;
	uint64_t limit;
	uint64_t committed;
	uint64_t high_water;
	uint64_t guard;
	uint32_t faults;
	uint32_t refused;
};

/**
 * kf_stack_stats() - read what is known of a fiber's stack
 * @fiber: any fiber that has not been joined
 * @stats: @stats->size set; filled up to that
 *
 * Context: any fiber or plain thread while a domain runs.
 * Return: 0, -EINVAL (size too small), -ESRCH.
 */
int kf_stack_stats(kf_fiber_t fiber, struct kf_stack_stats *stats);

/**
 * struct kf_spawn_site - the fibers that were spawned at one place
 * @address: in the program, after the call of kf_spawn()
 * @spawned: how many
 * @high_water: bytes of the deepest stack that any of those had, live ones too. What
 *	was there when it began does not count, but for a page: an earlier owner
 *	may have needed it
 * @start: bytes that the next one begins with
 */
struct kf_spawn_site {
	void *address;
	uint64_t spawned;
	uint64_t high_water;
	uint64_t start;
};

/**
 * kf_spawn_sites() - read what is known of all places where fibers are spawned
 * @sites: where it goes
 * @n: how many there is room for
 *
 * Context: any fiber or plain thread while a domain runs.
 * Return: how many sites there are, which may be more than @n; -ESRCH.
 */
int kf_spawn_sites(struct kf_spawn_site *sites, int n);

/**
 * kf_set_processors() - change how many fibers run at once
 * @n: from 1 to kf_config.processors_max; 0 to leave it as it is. Once it is said it does
 *	not follow the CPUs any more
 *
 * Who runs on a processor that is taken away continues on another one when its turn comes.
 * That is asked for when the call returns, and has come about when what runs there has
 * left the library, if it was in one of its calls.
 *
 * Context: any fiber or plain thread while a domain runs.
 * Return: how many there were; -EINVAL (beyond the maximum), -ESRCH (no domain runs).
 */
int kf_set_processors(unsigned int n);

/** KF_WATCH_DEFAULT - the share of a limit at which a server had better shed load */
#define KF_WATCH_DEFAULT 85

/**
 * kf_watch_memory() - be told before a memory limit is reached
 * @eventfd: an eventfd that is told each time pressure begins, or -1 for none;
 *	it may be closed afterwards
 * @percent: the share of a limit, 1 to 100; 0, with @eventfd -1, to stop
 *
 * The limits are kf_config.stack_bytes_max, what the module allows an
 * unprivileged user, and those of the memory cgroup. Replaces an earlier watch.
 *
 * Context: any fiber or plain thread while a domain runs.
 * Return: 0, -EINVAL, -EBADF (no such descriptor), -ESRCH (no domain runs).
 */
int kf_watch_memory(int eventfd, unsigned int percent);

/**
 * kf_memory_pressure() - is a memory limit nearly reached?
 *
 * Costs a load. Pressure ends a little below where it begins.
 *
 * Context: any.
 * Return: 1 while a watched limit is used to its share or more; else 0.
 */
int kf_memory_pressure(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_KFIBER_H */
