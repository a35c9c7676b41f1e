// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * What a program's checkers must be told: the sanitizers that are linked into it
 * and the valgrind that runs it. They follow stacks, and take ours for one that
 * goes wild. This is the ordinary library: the sanitizers' functions are weak
 * and there only if the program has them, valgrind's requests are instructions
 * without effect to a processor.
 *
 *   ASan      the bounds of the stack that is entered, at each switch; that the
 *             red zones of frames which nobody returned from are void; for its
 *             search for leaks, the stacks that nobody is on
 *   TSan      a context for each fiber, changed at each switch; what happens
 *             before what, because it does not see the library's own atomics
 *   memcheck  the bounds of all stacks, once; what an ioctl has written
 *
 * In TSan's eyes a switch orders nothing: two fibers that ran one after the
 * other on one thread may run at once the next time. Ordered are
 *
 *   kf_spawn   before the fiber's beginning    by making its context
 *   kf_unpark  before kf_park's return         at the block's "word"
 *   the end    before kf_join's return         at the block
 *   the end    before kf_run's return          at the domain
 *   the end    before the beginning of the     at the block
 *              next fiber on the same stack
 *   unlock     before lock's return            at the mutex
 *   and so on  of the other objects            at the object; of a lock for
 *              readers and writers             readers at its queue
 *   send       before recv's return, and the   at the waiter, or at the value's
 *              other way round                 place in the channel
 *
 * The last is no promise to anybody, but without it two fibers that use the same
 * stack in turn would race for it.
 */
#include <errno.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#include <sanitizer/tsan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/memcheck.h>

#include "internal.h"

#pragma weak __sanitizer_start_switch_fiber
#pragma weak __sanitizer_finish_switch_fiber
#pragma weak __asan_unpoison_memory_region
#pragma weak __lsan_register_root_region
#pragma weak __tsan_get_current_fiber
#pragma weak __tsan_create_fiber
#pragma weak __tsan_destroy_fiber
#pragma weak __tsan_switch_to_fiber
#pragma weak __tsan_set_fiber_name
#pragma weak __tsan_acquire
#pragma weak __tsan_release

enum {
	KF_ASAN = 1,
	KF_TSAN = 2,
	KF_VALGRIND = 4,
};

/**
 * struct kf_checked - what checkers know of a fiber
 * @context: TSan's, while the fiber lives
 * @stack: valgrind's number for its stack, once @registered
 * @registered: for good, as the stack is the block's for good
 * @lives: its stack may have red zones
 *
 * Used by whoever has the fiber's block.
 */
struct kf_checked {
	void *context;
	unsigned int stack;
	bool registered;
	bool lives;
};

unsigned int kf_checkers;

static struct kf_checked *kf_checked(struct kf_domain *d, struct kfiber_fiber_block *f)
{
	return &d->checked[f - d->fiber_blocks];
}

/* The part of a slot that has memory. */
static struct kf_stack kf_stack_of(struct kf_domain *d, struct kfiber_fiber_block *f)
{
	uintptr_t slot = kf_arena_base(d, f->stack_shift) + ((uintptr_t)f->slot << f->stack_shift);
	size_t guard = kfiber_guard_bytes(f->stack_shift);

	return (struct kf_stack){
		.bottom = (void *)(slot + guard),
		.size = ((size_t)1 << f->stack_shift) - guard,
	};
}

/* A stack that is left may know memory, from its stack pointer upwards. */
static void kf_show_stack(struct kf_stack stack, __u64 sp)
{
	uintptr_t bottom = (uintptr_t)stack.bottom;

	if (sp - bottom < stack.size)
		__lsan_register_root_region((void *)(uintptr_t)sp, stack.size - (sp - bottom));
}

/*
 * A fiber has called exit(), and others are parked; or kf_run()'s thread is on
 * some fiber's stack. LeakSanitizer looks only where threads are, after this: it
 * was there first, and exit() calls the last one first.
 */
static void kf_show_stacks(void)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	unsigned int i;

	if (!d)
		return;
	for (i = 0; i < d->fibers_end; i++) {
		struct kfiber_fiber_block *f = &d->fiber_blocks[i];

		if (!d->checked[i].lives)
			continue;
		kf_show_stack(kf_stack_of(d, f), f->sp);
		__lsan_register_root_region(&f->link, sizeof(f->link));
	}
	kf_show_stack(d->caller.stack, d->caller.sp);
}

/* Once in a process, before there is a domain. */
void kf_check_find(void)
{
	if (__sanitizer_start_switch_fiber && __sanitizer_finish_switch_fiber &&
	    __asan_unpoison_memory_region)
		kf_checkers |= KF_ASAN;
	if (kf_checkers & KF_ASAN && __lsan_register_root_region)
		atexit(kf_show_stacks);
	if (__tsan_create_fiber && __tsan_acquire)
		kf_checkers |= KF_TSAN;
	if (RUNNING_ON_VALGRIND)
		kf_checkers |= KF_VALGRIND;
}

/*
 * The default for a program that asks for no number. TSan dies of more than 8128
 * threads and fibers together, and valgrind has no room for more than some tens of
 * GiB of stacks.
 */
unsigned int kf_check_max_fibers(unsigned int usual)
{
	if (kf_checkers & KF_TSAN)
		return 8000;
	return kf_checkers & KF_VALGRIND ? 1u << 15 : usual;
}

/*
 * Valgrind runs one thread at a time, under a lock. A thread that the module holds
 * back on its return from a call has that lock. Sanitizers have spinning locks in
 * what they are told by critical sections; a thread that is held back, or whose slice
 * is over, may have one, and whoever spins there keeps the processor.
 */
uint32_t kf_check_setup_flags(void)
{
	return kf_checkers ? KFIBER_SETUP_NO_HOLD : 0;
}

int kf_check_open(struct kf_domain *d)
{
	if (!kf_checkers)
		return 0;
	d->checked = calloc(d->max_fibers, sizeof(*d->checked));
	return d->checked ? 0 : -ENOMEM;
}

static void kf_create_context(struct kf_checked *c, struct kfiber_fiber_block *f)
{
	char name[sizeof(f->name) + 1] = "";

	memcpy(name, f->name, sizeof(f->name));
	c->context = __tsan_create_fiber(0);
	__tsan_set_fiber_name(c->context, name);
}

/* From @dirty upwards there are frames that nobody returns from. */
static void kf_end_life(struct kf_checked *c, struct kf_stack stack, uintptr_t dirty)
{
	uintptr_t top = (uintptr_t)stack.bottom + stack.size;

	c->lives = false;
	if (kf_checkers & KF_ASAN)
		__asan_unpoison_memory_region((void *)dirty, top - dirty);
	if (c->context)
		__tsan_destroy_fiber(c->context);
	c->context = NULL;
}

/* A fiber that died with its thread: nobody knows how deep it was. */
static void kf_bury(struct kf_checked *c, struct kf_stack stack)
{
	kf_end_life(c, stack, (uintptr_t)stack.bottom);
}

/* A fiber is made. */
void kf_check_spawn(struct kf_domain *d, struct kfiber_fiber_block *f)
{
	struct kf_checked *c = kf_checked(d, f);
	struct kf_stack stack = kf_stack_of(d, f);

	if (c->lives)
		kf_bury(c, stack);
	c->lives = true;
	if (kf_checkers & KF_TSAN)
		kf_create_context(c, f);
	if (kf_checkers & KF_VALGRIND && !c->registered) {
		c->stack = VALGRIND_STACK_REGISTER(stack.bottom,
						   (char *)stack.bottom + stack.size - 1);
		c->registered = true;
	}
}

/* A fiber has left its stack for good. */
void kf_check_end(struct kf_domain *d, struct kfiber_fiber_block *f)
{
	kf_end_life(kf_checked(d, f), kf_stack_of(d, f), f->sp);
}

/* Context: nothing of the domain runs any more; its arenas are still mapped. */
void kf_check_close(struct kf_domain *d)
{
	unsigned int i;

	if (!d->checked)
		return;
	for (i = 0; i < d->fibers_end; i++) {
		struct kf_checked *c = &d->checked[i];

		if (c->lives)
			kf_bury(c, kf_stack_of(d, &d->fiber_blocks[i]));
		if (c->registered)
			VALGRIND_STACK_DEREGISTER(c->stack);
	}
	free(d->checked);
	d->checked = NULL;
}

/* The calling thread becomes a worker. */
void kf_check_worker(struct kf_worker *w)
{
	if (kf_checkers & KF_TSAN)
		w->context = __tsan_get_current_fiber();
}

static void kf_leave_stack(struct kf_worker *w, struct kfiber_fiber_block *to, void **fake)
{
	struct kf_domain *d = w->domain;

	if (kf_checkers & KF_ASAN) {
		struct kf_stack stack = to ? kf_stack_of(d, to) : w->stack;

		__sanitizer_start_switch_fiber(fake, stack.bottom, stack.size);
	}
	if (kf_checkers & KF_TSAN)
		__tsan_switch_to_fiber(to ? kf_checked(d, to)->context : w->context,
				       __tsan_switch_to_fiber_no_sync);
}

/**
 * kf_check_arrive() - right after a switch
 * @fake: the arrived's other stack, on which ASan keeps variables; NULL at a
 *	fiber's beginning
 *
 * A worker's first switch is from its own stack: that is how its bounds are known.
 */
void kf_check_arrive(void *fake)
{
	struct kf_stack left;
	struct kf_worker *w;

	if (!(kf_checkers & KF_ASAN))
		return;
	__sanitizer_finish_switch_fiber(fake, &left.bottom, &left.size);
	w = kf_worker_self();
	if (!w->stack.size)
		w->stack = left;
}

/* kf_jump() with all that checkers want to hear. */
void kf_check_switch(struct kf_worker *w, struct kfiber_fiber_block *to, __u64 *save,
		     uint64_t load, bool for_good)
{
	void *fake = NULL;

	kf_leave_stack(w, to, for_good ? NULL : &fake);
	kf_context_switch(save, load);
	kf_check_arrive(fake);
}

void kf_check_release(void *at)
{
	if (kf_checkers & KF_TSAN)
		__tsan_release(at);
}

void kf_check_acquire(void *at)
{
	if (kf_checkers & KF_TSAN)
		__tsan_acquire(at);
}

/* An ioctl that valgrind does not know has written there. */
void kf_check_written(void *at, size_t size)
{
	VALGRIND_MAKE_MEM_DEFINED(at, size);
}
