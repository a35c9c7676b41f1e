/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map of the library.
 *
 *   domain.c    kf_run: opens the device, maps the shared blocks, waits for all
 *   arena.c     where stacks are mapped
 *   worker.c    threads: their loop, the making of spares
 *   cpus.c      how many CPUs there are for us
 *   queue.c     a processor's queues, and who is told about new work; queue.h is
 *               what each switch and each wake-up does to them
 *   switch.c    from fiber to fiber, and what is done for the one that was left;
 *               switch.h is the usual case
 *   fiber.c     spawn, exit, join, detach; pools of control blocks
 *   park.c      park, unpark, sleep, yield
 *   pin.c       fibers that stay on their thread
 *   priority.c  fibers that go before others, or after them
 *   clock.c     the time; in a test domain it is made here
 *   latency.c   how long things took
 *   cputime.c   and how much of their CPUs' time fibers took
 *   cancel.c    cancelling a fiber, masks
 *   ctx.c       contexts; ctx.h is what waits, spawns and ends have to do with them
 *   wait.c      waiting for objects, their queues; wait.h is the map of what is
 *               built on it: mutex.c, rwlock.c, cond.c, sem.c, waitgroup.c, once.c,
 *               chan.c, select.c, timer.c
 *   scope.c     scopes
 *   file.c      waiting for files
 *   key.c       fiber-local values
 *   stack.c     what is known of stacks, trimming
 *   dump.c      what is known of fibers; object.h and object.c, text.c
 *   leaks.c     which of them are left behind; stuck.c: and why they cannot go on
 *   site.c      what is known of the places where fibers are spawned
 *   fault.c     the signals of faults; fault.h is the map of what belongs to it:
 *               contain.c, turn.c, report.c, walk.c, symbol.c
 *   debug.c     what KFIBER_DEBUG asks for; schedtrace.c
 *   call.c      the module's ioctls
 *   sized.h     structs of programs that were compiled against another version
 *   delay.c     delay points, in test builds only
 *   checker.c   what sanitizers and valgrind must be told
 *   arch/       the context switch
 *
 * A fiber that touches its processor's block is in a critical section
 * (kf_enter, kf_leave): the kernel leaves its thread the processor even if it
 * sleeps on a page fault. Functions whose names end in _critical are called in
 * one. A switch begins in the critical section of the fiber that goes and ends
 * in the one of the fiber that comes.
 *
 * After a switch a fiber may be on another thread. So thread-local state is read
 * by kf_worker_self(), which the compiler takes for something new each time, and no
 * pointer to it is kept.
 *
 * The usual case of what a program does a million times a second is inline, in few
 * instructions: bench/count counts them. What is rare is in functions of its own
 * (KF_RARELY), and one look at kf_worker.unusual says that nothing of that is so of the worker.
 * A fiber's priority, context, deadline and CANCELLED are looks of their own.
 */
#ifndef KF_INTERNAL_H
#define KF_INTERNAL_H

#include <linux/kfiber.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <kfiber/kfiber.h>

#include "delay.h"

/* Never inlined, cloned or reasoned about: for what depends on the thread. */
#define KF_OUT_OF_LINE __attribute__((noipa))

/* Out of line: who does not come there saves no registers for it. */
#define KF_RARELY __attribute__((noinline, cold))

#define kf_likely(condition) __builtin_expect(!!(condition), 1)
#define kf_unlikely(condition) __builtin_expect(!!(condition), 0)

#define KF_NS_PER_S 1000000000ull

#define KF_STACK_CLASSES (KFIBER_STACK_SHIFT_MAX - KFIBER_STACK_SHIFT_MIN + 1)

/* Control blocks that a pool gets from the module at a time, and that go there. */
#define KF_POOL_REFILL 16u
#define KF_POOL_DRAIN 32u

/* That a pool keeps at most, unless it is configured; as Go's. */
#define KF_POOL_STACKS 64u

/* And how much memory, for each of these. */
#define KF_POOL_STACK_PAGES 16u

/* Go's number: a prime, so that no pattern of the program keeps step with it. */
#define KF_FAIR_TICKS 61u

/*
 * Each so many fair turns is a sample of how long fibers wait for theirs: where the two readings of
 * the clock are system calls, that is as much as half an instruction for each yield.
 */
#define KF_SAMPLE_TICKS (41 * KF_FAIR_TICKS)

/**
 * struct kf_pool - ended fibers of one stack class, for one processor
 * @first: linked by their blocks; NULL if empty
 * @count: how many
 * @pages: that their stacks had when they came
 *
 * Only the holder of the processor uses it, in a critical section.
 */
struct kf_pool {
	struct kfiber_fiber_block *first;
	unsigned int count;
	unsigned int pages;
};

/**
 * struct kf_processor - what the library keeps for a processor
 * @block: shared with the module
 * @refills: fibers spawned for which a pool had to ask the module; the holder writes
 * @pools: by stack class
 */
struct kf_processor {
	struct kfiber_processor_block *block;
	__u64 refills;
	struct kf_pool pools[KF_STACK_CLASSES];
};

/* Fibers that go before others, or after them. */
#define KF_PRIORITIES (KFIBER_INTERACTIVE | KFIBER_BACKGROUND)

/* In a fiber's word: it is in no queue of the library's. */
#define KF_APART (KFIBER_PINNED | KF_PRIORITIES)

/* What is done for a fiber once nobody is on its stack any more. */
enum kf_after {
	KF_AFTER_NOTHING,
	KF_AFTER_YIELD,
	KF_AFTER_YIELD_APART,	/* and is in no queue of ours */
	KF_AFTER_PARK,
	KF_AFTER_EXIT,
};

/* A stack, as checkers want to know it: from its lowest address. */
struct kf_stack {
	const void *bottom;
	size_t size;
};

/**
 * struct kf_worker - a thread that runs fibers
 * @domain: its domain
 * @block: shared with the module
 * @header: the domain's, as the next two: they are here for being at hand
 * @processors: table, by index
 * @fibers: table, by index
 * @unusual: there is a checker or a test clock, CPU time is counted, or @pins is not 0: switches
 *	and waits have more to do than is usual
 * @index: its number there
 * @thread: to be joined at the end; not the thread that called kf_run()
 * @next: in the list of all, domain.threads
 * @sp: the stack pointer of its own stack while it runs a fiber
 * @current: the fiber that it runs, NULL when it is on its own stack
 * @after: what to do for the fiber that was switched away from
 * @left: it
 * @left_name: its name, if that has yielded
 * @arm: a fiber whose timer the next call of the module sets; 0 for none
 * @offer: the next call lets others have the processor first
 * @pins: how often the fiber that it runs, or @pinned, has pinned itself; while that is
 *	not 0 it runs no other
 * @pinned: that fiber while it has left its stack; NULL while it runs
 * @pinned_woken: it need not wait for anything
 * @leaves: a fiber ended pinned: the thread is not for others
 * @surplus: the module does not need it any more
 * @busy: its fiber holds a lock of the library's, outside of critical sections
 * @alt_stack: its alternate signal stack, if that is ours
 * @errno_place: where the thread's errno is: the compiler would keep it across a switch
 * @charged: to whom the thread's CPU time goes; NULL: to nobody
 * @cpu_clock: of the thread, for others
 * @stack: its own stack, for ASan; empty before the first switch
 * @context: its own context, for TSan
 *
 * Only the thread itself uses it, but for @thread and @next.
 */
struct kf_worker {
	struct kf_domain *domain;
	struct kfiber_worker_block *block;
	struct kfiber_domain_block *header;
	struct kfiber_processor_block *processors;
	struct kfiber_fiber_block *fibers;
	struct kfiber_fiber_block *current;
	enum kf_after after;
	bool unusual;
	struct kfiber_fiber_block *left;
	kf_fiber_t left_name;
	uint32_t index;
	pthread_t thread;
	struct kf_worker *next;
	__u64 sp;
	kf_fiber_t arm;
	bool offer;
	unsigned int pins;
	struct kfiber_fiber_block *pinned;
	bool pinned_woken;
	bool leaves;
	bool surplus;
	atomic_bool busy;
	char *alt_stack;
	int *errno_place;
	struct kf_cpu_time *charged;
	clockid_t cpu_clock;
	struct kf_stack stack;
	void *context;
};

/* Buckets of the table of spawn sites: a program has some hundreds. */
#define KF_SITE_BITS 8
#define KF_SITE_BUCKETS (1u << KF_SITE_BITS)

/**
 * struct kf_site - a place where fibers are spawned
 * @next: in its bucket; immutable
 * @address: immutable
 * @spawned: how many
 * @start: pages that the next one's stack begins with
 * @high: pages of the deepest
 */
struct kf_site {
	struct kf_site *next;
	uintptr_t address;
	atomic_uint spawned;
	atomic_uint start;
	atomic_uint high;
};

/**
 * struct kf_arena - where the stacks of a class are mapped
 * @base: of slot 0; 0 if there are none yet
 * @mapped: slots that are mapped
 *
 * Both are written under domain.arena_lock and never go back.
 */
struct kf_arena {
	atomic_uintptr_t base;
	atomic_uint mapped;
};

/**
 * struct kf_sleeper - a fiber that waits for a time of the test clock, on its stack
 * @deadline: for when
 * @order: who began to wait first has the lower one
 * @fiber: who
 * @child: the first of those that come later, in a pairing heap
 * @next: the next one of the same parent
 * @link: what points to it; NULL: it is not in the heap
 *
 * Guarded as the clock is.
 */
struct kf_sleeper {
	uint64_t deadline;
	uint64_t order;
	kf_fiber_t fiber;
	struct kf_sleeper *child;
	struct kf_sleeper *next;
	struct kf_sleeper **link;
};

/**
 * struct kf_clock - the time of a test domain
 * @now: what it is; 0 in others, where it is the kernel's
 * @orders: sleepers so far
 * @first: the root of the heap of sleepers, who comes first
 * @random: the state of what chance there is
 * @shuffles: what runs next is left to that
 *
 * Guarded by the processor: whoever is in a critical section with it, there is but
 * one. @now is also read without.
 */
struct kf_clock {
	_Atomic uint64_t now;
	uint64_t orders;
	struct kf_sleeper *first;
	uint64_t random;
	bool shuffles;
};

/**
 * struct kf_debug - what KFIBER_DEBUG asks for
 * @schedtrace: print what the scheduler does each so many ms; 0: never
 * @scheddetail: and each processor, worker and fiber
 * @leaks: KF_REPORT_LEAKS, whatever the program says
 * @cputime: as KF_CPU_TIME
 */
struct kf_debug {
	unsigned int schedtrace;
	unsigned int scheddetail;
	unsigned int leaks;
	unsigned int cputime;
};

/**
 * struct kf_trace - who prints what the scheduler does
 * @prints: there is @thread
 * @thread: it
 * @since: when it began
 */
struct kf_trace {
	bool prints;
	pthread_t thread;
	uint64_t since;
};

struct kf_checked;

/**
 * struct kf_domain - the library's side of a domain
 * @fd: the device
 * @pid: the process
 * @caller_tid: the thread that called kf_run()
 * @cpus_look_at: when to look how many CPUs there are; UINT64_MAX: never
 * @cpus_lock: held while the number of processors is set
 * @flags: KF_NO_FAULT_HANDLER, KF_CONTAIN_FAULTS, KF_TEST_CLOCK, KF_REPORT_LEAKS, KF_CPU_TIME
 * @reports: of contained faults, see report.c
 * @nr_processors: how many there can be
 * @max_workers: as configured
 * @max_fibers: as configured
 * @stack_shift: the class of fibers that ask for none
 * @pool_stacks: that a processor's pool keeps at most
 * @block: shared header
 * @processors: array
 * @worker_blocks: table, by index
 * @fiber_blocks: table, by index
 * @fibers_end: beyond the highest index that the module has given out
 * @arenas: by stack class
 * @arena_lock: guards their mapping
 * @sites: hash table; only grows
 * @lock: guards what is added to @sites, @threads and @left
 * @threads: all workers that have a thread of ours
 * @left: of those, whose threads do no more than to end
 * @caller: the worker of the thread that called kf_run()
 * @sigmask: of the thread that called kf_run(); workers begin with it
 * @main_fn: the first fiber's function
 * @main_arg: its argument
 * @main_name: its name
 * @main_ended: it returned, or called kf_exit()
 * @main_value: with what
 * @deadlocked: nothing could go on any more
 * @told: fibers that were made runnable here, for the module to queue
 * @checked: what checkers know of each fiber, by index; NULL without a checker
 * @cpu_times: of each fiber, by index; NULL if they are not counted
 * @clock: see there
 * @debug: see there; immutable
 * @trace: see there; the thread that called kf_run()
 */
struct kf_domain {
	int fd;
	pid_t pid;
	pid_t caller_tid;
	atomic_uint_least64_t cpus_look_at;
	pthread_mutex_t cpus_lock;
	unsigned int flags;
	atomic_uint_least64_t reports;
	unsigned int nr_processors;
	unsigned int max_workers;
	unsigned int max_fibers;
	unsigned int stack_shift;
	unsigned int pool_stacks;
	struct kfiber_domain_block *block;
	struct kf_processor *processors;
	struct kfiber_processor_block *processor_blocks;
	struct kfiber_worker_block *worker_blocks;
	struct kfiber_fiber_block *fiber_blocks;
	atomic_uint fibers_end;
	struct kf_arena arenas[KF_STACK_CLASSES];
	pthread_mutex_t arena_lock;
	struct kf_site *_Atomic sites[KF_SITE_BUCKETS];
	pthread_mutex_t lock;
	struct kf_worker *threads;
	struct kf_worker *left;
	struct kf_worker caller;
	sigset_t sigmask;
	int (*main_fn)(void *arg);
	void *main_arg;
	kf_fiber_t main_name;
	bool main_ended;
	int main_value;
	atomic_bool deadlocked;
	atomic_uint told;
	struct kf_checked *checked;
	struct kf_cpu_time *cpu_times;
	struct kf_clock clock;
	struct kf_debug debug;
	struct kf_trace trace;
};

/*
 * Shared fields are plain integers in the ABI header; C11 wants atomics typed.
 * These are the only places where one is taken for the other.
 */
static inline _Atomic uint64_t *kf_atomic64(__u64 *field)
{
	return (_Atomic uint64_t *)field;
}

static inline _Atomic uint32_t *kf_atomic32(__u32 *field)
{
	return (_Atomic uint32_t *)field;
}

static inline uint32_t kf_read32(__u32 *field)
{
	return atomic_load_explicit(kf_atomic32(field), memory_order_relaxed);
}

static inline uint64_t kf_read64(__u64 *field)
{
	return atomic_load_explicit(kf_atomic64(field), memory_order_relaxed);
}

/* A counter with one writer at a time. */
static inline void kf_count(__u64 *field)
{
#ifdef __x86_64__
	/* Of C's atomics a compiler makes three instructions. */
	asm("incq %0" : "+m" (*field));
#else
	_Atomic uint64_t *counter = kf_atomic64(field);

	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
#endif
}

static inline uint32_t kf_generation(uint64_t word)
{
	return word >> KFIBER_GENERATION_SHIFT;
}

static inline uint64_t kf_state(uint64_t word)
{
	return word & KFIBER_STATE_MASK;
}

static inline struct kf_processor *kf_worker_processor(struct kf_worker *w)
{
	return &w->domain->processors[kf_read32(&w->block->processor)];
}

static inline struct kfiber_processor_block *kf_processor_block(struct kf_worker *w)
{
	return &w->processors[kf_read32(&w->block->processor)];
}

/* Is a memory limit nearly reached, as far as somebody watches? */
static inline bool kf_is_pressed(struct kf_domain *d)
{
	return kf_read32(&d->block->pressed);
}

/* The fiber that is written in a block now. */
static inline kf_fiber_t kf_name(struct kf_domain *d, struct kfiber_fiber_block *f)
{
	uint64_t word = atomic_load_explicit(kf_atomic64(&f->word), memory_order_relaxed);

	return (word & ~KFIBER_INDEX_MASK) | (uint64_t)(f - d->fiber_blocks);
}

/* The block of a name that a fiber has or had; NULL for one that never was. */
static inline struct kfiber_fiber_block *kf_block(struct kf_domain *d, kf_fiber_t name)
{
	uint64_t index = name & KFIBER_INDEX_MASK;

	if (index >= atomic_load_explicit(&d->fibers_end, memory_order_acquire))
		return NULL;
	return &d->fiber_blocks[index];
}

static inline bool kf_has_test_clock(const struct kf_domain *d)
{
	return d->flags & KF_TEST_CLOCK;
}

/* domain.c */
extern struct kf_domain *_Atomic kf_domain;

/*
 * Other programs pay the test of a variable: not 0 if there is a
 * checker, and that does not change.
 */
extern unsigned int kf_checkers __attribute__((visibility("hidden")));

static inline bool kf_is_checked(void)
{
	return __builtin_expect(kf_checkers, 0);
}

/* arena.c */
int kf_arena_reach(struct kf_domain *d, unsigned int shift, uint32_t slot);
size_t kf_arena_bytes(const struct kf_domain *d, unsigned int shift);
void kf_arenas_unmap(struct kf_domain *d);

/* Return: where a class's stacks are, 0 if there are none. */
static inline uintptr_t kf_arena_base(struct kf_domain *d, unsigned int shift)
{
	return atomic_load_explicit(&d->arenas[shift - KFIBER_STACK_SHIFT_MIN].base,
				    memory_order_acquire);
}

/* worker.c */
extern __thread struct kf_worker *kf_this_worker
	__attribute__((visibility("hidden"), tls_model("initial-exec")));

#ifdef __x86_64__
/*
 * Return: NULL in a plain thread. Not C: the compiler would keep the variable's address, or
 * its value, across a switch, after which the thread is another one.
 */
static inline struct kf_worker *kf_worker_self(void)
{
	struct kf_worker *w;

	asm volatile("movq kf_this_worker@gottpoff(%%rip), %0\n\t"
		     "movq %%fs:(%0), %0" : "=r" (w) : : "memory");
	return w;
}
#else
struct kf_worker *kf_worker_self(void);
#endif
int kf_worker_run(struct kf_worker *w);
void kf_workers_join(struct kf_domain *d);
void kf_worker_forget(void);

/* The caller's worker, if the caller is a fiber. */
static inline struct kf_worker *kf_fiber_worker(void)
{
	struct kf_worker *w = kf_worker_self();

	return w && w->current ? w : NULL;
}

/* critical sections: worker.c */
void kf_acquire(struct kf_worker *w);
_Noreturn void kf_abandon(struct kf_worker *w);
void kf_make_up_for_slice(struct kf_worker *w);

static inline void kf_enter(struct kf_worker *w)
{
	struct kfiber_worker_block *b = w->block;

	atomic_store_explicit(kf_atomic32(&b->critical), 1, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	kf_delay(KF_DELAY_ENTER);
	if (kf_unlikely(kf_read32(&b->processor) == KFIBER_NO_PROCESSOR))
		kf_acquire(w);
}

static inline void kf_leave(struct kf_worker *w)
{
	struct kfiber_worker_block *b = w->block;

	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(kf_atomic32(&b->critical), 0, memory_order_relaxed);
	kf_delay(KF_DELAY_LEAVE);
	if (kf_unlikely(kf_read32(&b->preempt)))
		kf_make_up_for_slice(w);
}

/* Whoever changes what it depends on says so here; see kf_worker.unusual. */
static inline void kf_note_unusual(struct kf_worker *w)
{
	w->unusual = w->pins || kf_is_checked() || kf_has_test_clock(w->domain) ||
		     w->domain->cpu_times;
}

/* queue.c */
enum kf_pick {
	KF_PICKED,	/* there is a fiber */
	KF_PICK_NONE,	/* nothing to run here */
	KF_PICK_ASK,	/* others wait: the module decides */
};

enum kf_pick kf_pick_critical(struct kf_worker *w, kf_fiber_t *name);
bool kf_is_anything_queued_critical(struct kf_worker *w);

/* switch.c */
void kf_jump(struct kf_worker *w, struct kfiber_fiber_block *to, __u64 *save, bool for_good);
void kf_resume_critical(struct kf_worker *w, kf_fiber_t name, __u64 *save, bool for_good);
void kf_switch_critical(struct kf_worker *w, enum kf_after after);
void kf_switch_stamped_critical(struct kf_worker *w, enum kf_after after, kf_fiber_t name);
void kf_arrive(void);
void kf_stack_prepare(struct kf_domain *d, struct kfiber_fiber_block *f, void *(*fn)(void *),
		      void *arg);

/* fiber.c */
int kf_fiber_first(struct kf_domain *d, void *(*fn)(void *));
void kf_fiber_ended_critical(struct kf_worker *w, struct kfiber_fiber_block *f);
int kf_shift_of(size_t stack_size);
struct kfiber_fiber_block *kf_find(struct kf_domain *d, kf_fiber_t name);
void kf_pools_drain_critical(struct kf_worker *w);
void kf_fiber_killed(void);

/* key.c */
void kf_locals_end(struct kfiber_fiber_block *self);
void kf_locals_drop(struct kfiber_fiber_block *f);

/* site.c */
uint32_t kf_site_spawns(struct kf_domain *d, uintptr_t address);
void kf_site_learn(struct kf_domain *d, const struct kfiber_fiber_block *f);
void kf_sites_free(struct kf_domain *d);

/* park.c */
int kf_wait(struct kf_worker *w, uint64_t awaited, uint64_t deadline);
void kf_wait_masked(struct kf_worker *w, uint64_t awaited);
int kf_wake(struct kf_domain *d, struct kf_worker *w, kf_fiber_t name, uint64_t flag);
int kf_tell(struct kf_domain *d, kf_fiber_t name, uint64_t flag);
void kf_set_interrupt(struct kf_domain *d, kf_fiber_t name);
void kf_clear_interrupt(struct kfiber_fiber_block *self);
bool kf_is_woken(uint64_t word);
void kf_woken_critical(struct kf_worker *w, struct kfiber_fiber_block *f);
struct kf_worker *kf_hold_begin(void);
bool kf_hold(struct kfiber_fiber_block *f, uint64_t word);
void kf_let_go(struct kf_domain *d, struct kf_worker *w, struct kfiber_fiber_block *f);
void kf_hold_end(struct kf_worker *w);

/* pin.c */
void kf_pin_stay_critical(struct kf_worker *w, struct kfiber_fiber_block *f, enum kf_after after);
bool kf_pin_pick_critical(struct kf_worker *w, kf_fiber_t *name);
void kf_pin_go_on_critical(struct kf_worker *w);

/* priority.c */
uint64_t kf_priority_flags(unsigned int priority);

/* clock.c */
void kf_clock_init(struct kf_domain *d, uint64_t seed);
void kf_clock_sleep_critical(struct kf_worker *w, struct kf_sleeper *s, uint64_t deadline);
void kf_clock_leave(struct kf_sleeper *s);
void kf_clock_jump_critical(struct kf_worker *w);
uint64_t kf_mix(uint64_t *state);
uint64_t kf_real_now(void);
uint64_t kf_now_coarse(void);
uint64_t kf_domain_now(const struct kf_domain *d);
uint64_t kf_ask_since(const struct kf_domain *d);

/*
 * What a wait that begins now is stamped with; it may be a tick too early, of the kernel's or
 * of the module's. @usual: the domain has no clock of its own.
 */
static inline uint64_t kf_since(const struct kf_worker *w, bool usual)
{
	uint64_t now = usual ? kf_read64(&w->header->now) : 0;

	return kf_likely(now) ? now : kf_ask_since(w->domain);
}

/* latency.c */
void kf_latency_stamp(struct kfiber_fiber_block *f);
void kf_latency_note_critical(struct kfiber_processor_block *p, struct kfiber_fiber_block *f);

/* cputime.c */
int kf_cpu_open(struct kf_domain *d);
void kf_cpu_close(struct kf_domain *d);
void kf_cpu_worker(struct kf_worker *w);
void kf_cpu_begin(struct kf_domain *d, struct kfiber_fiber_block *f);
void kf_cpu_switch(struct kf_worker *w, struct kfiber_fiber_block *to);
uint64_t kf_cpu_time_of(struct kf_domain *d, struct kfiber_fiber_block *f);

/* file.c */
void kf_file_turns_reset(void);

/* cpus.c */
unsigned int kf_cpus_quota(const char *proc);
unsigned int kf_cpus_count(pid_t thread);
void kf_cpus_follow(struct kf_domain *d, bool follows);
bool kf_cpus_are_due(struct kf_domain *d);
void kf_cpus_look(struct kf_domain *d);

/* call.c */
int kf_call_simple(struct kf_domain *d, unsigned long command, uint32_t *worker);
int kf_call_next(struct kf_worker *w, kf_fiber_t *name, uint32_t *flags);
void kf_call_kick(struct kf_domain *d, uint32_t flags);
void kf_call_ready(struct kf_domain *d, const kf_fiber_t *names, unsigned int count);
void kf_call_arm(struct kf_domain *d, kf_fiber_t name);
int kf_call_alloc(struct kf_domain *d, unsigned int stack_shift, kf_fiber_t *names,
		  unsigned int count);
void kf_call_free(struct kf_domain *d, const kf_fiber_t *names, unsigned int count);
int kf_call_processors(struct kf_domain *d, unsigned int *count);
int kf_call_start(struct kf_domain *d, kf_fiber_t name, uint32_t pages);
int kf_call_stats(struct kf_domain *d, uint32_t flags, struct kfiber_stats *stats);
int kf_call_trim(struct kf_domain *d, uint64_t *pages);
int kf_call_watch(struct kf_domain *d, int eventfd, unsigned int percent);
int kf_call_stack(struct kf_domain *d, unsigned int stack_shift, uint64_t offset,
		  struct kfiber_stack *stack);
int kf_call_file(struct kf_domain *d, struct kfiber_file *args);
int kf_call_forget(struct kf_domain *d, kf_fiber_t name);
int kf_call_aside(struct kf_domain *d, uint64_t until);
void kf_call_interrupt(struct kf_domain *d, kf_fiber_t name);

/* fault.c */
void kf_faults_begin(void);
void kf_faults_end(struct kf_domain *d);
void kf_alt_stack_give(struct kf_worker *w);
void kf_alt_stack_take(struct kf_worker *w);
void kf_alt_stack_free(struct kf_worker *w);

/* checker.c */
void kf_check_find(void);
unsigned int kf_check_max_fibers(unsigned int usual);
uint32_t kf_check_setup_flags(void);
int kf_check_open(struct kf_domain *d);
void kf_check_close(struct kf_domain *d);
void kf_check_worker(struct kf_worker *w);
void kf_check_spawn(struct kf_domain *d, struct kfiber_fiber_block *f);
void kf_check_end(struct kf_domain *d, struct kfiber_fiber_block *f);
void kf_check_switch(struct kf_worker *w, struct kfiber_fiber_block *to, __u64 *save,
		     uint64_t load, bool for_good);
void kf_check_arrive(void *fake);
void kf_check_release(void *at);
void kf_check_acquire(void *at);
void kf_check_written(void *at, size_t size);

/* dump.c */
enum kf_dump_how {
	KF_DUMP_MOVING,		/* fibers go on meanwhile */
	KF_DUMP_NO_WAIT,	/* likewise; and rather fail than wait for who reads it */
	KF_DUMP_STILL,		/* nothing moves any more */
};

int kf_dump_fibers(struct kf_domain *d, int fd, const char *title, enum kf_dump_how how);

/* debug.c */
void kf_debug_read(struct kf_debug *debug);

/* schedtrace.c */
void kf_trace_begin(struct kf_domain *d);
void kf_trace_end(struct kf_domain *d);

/* mutex.c */
enum kf_holder {
	KF_HOLDER_NOBODY,
	KF_HOLDER_THREAD,	/* or unknown */
	KF_HOLDER_FIBER,
	KF_HOLDER_ENDED,	/* a fiber that is not there any more */
};

enum kf_holder kf_mutex_holder(struct kf_domain *d, const kf_mutex_t *m,
			       struct kfiber_fiber_block **holder);

/* leaks.c */
void kf_leaks_at_end(struct kf_domain *d);

/* walk.c */
uint32_t kf_walk_parked(uint64_t sp, uintptr_t *ips, uint32_t n);

/* arch */
void kf_context_switch(__u64 *save, uint64_t load);
void kf_context_start(void);
void kf_context_visit(uint64_t sp, void (*fn)(void *arg), void *arg);
uint64_t kf_context_prepare(uintptr_t stack_top, void *(*fn)(void *), void *arg);

/* fiber.c; called by kf_context_start() */
_Noreturn void kf_fiber_start(void *(*fn)(void *), void *arg);

#endif /* KF_INTERNAL_H */
