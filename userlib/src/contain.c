// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Containment: a fault ends a fiber, not the process.
 *
 * The fiber is left where it is, as a thread is by a pthread_cancel() that is
 * asynchronous: nothing that it holds is released. What others need must not be
 * among that. What the library can know of it, it looks at:
 *
 * - Is the library in the middle of something? It says so itself: by "critical",
 *   and by "busy" while it holds a lock.
 * - Is the C library, which locks its heap, its streams, its loader? The stack
 *   tells. The innermost function alone may be libc's: strlen() of a bad pointer
 *   holds nothing. In a static program libc is not to be told from the program;
 *   there only the heap's functions are known.
 * - Is a signal handler running? The stack tells that too. What it interrupted is
 *   anything at all.
 *
 * A stack that does not tell, because a function has no unwind table, is reason
 * enough to end the process.
 *
 * The handler does not switch. It returns, and what it returns to is
 * kf_fiber_killed(), at the top of the fiber's own stack: nobody needs that any
 * more, and there is room. From there the fiber ends as every fiber does.
 */
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"

/* Is this fault one that the fiber has caused, and wants to be contained? */
bool kf_contain_asked(const struct kf_fault *fault)
{
	uint64_t word;

	if (!fault->fiber)
		return false;
	/* Memory that failed elsewhere: somebody is told, anybody. */
	if (fault->signal == SIGBUS && fault->info->si_code == BUS_MCEERR_AO)
		return false;
	word = atomic_load_explicit(kf_atomic64(&fault->fiber->word), memory_order_relaxed);
	return word & KFIBER_CONTAINED;
}

/* The program itself, or a library; NULL if it is neither. */
static const struct link_map *kf_object(uintptr_t address)
{
	struct dl_find_object found;

	return _dl_find_object((void *)address, &found) ? NULL : found.dlfo_link_map;
}

/* Is the function in the same library as another one? In the program proper, it is not. */
static bool kf_is_beside(uintptr_t function, const void *other)
{
	const struct link_map *object = kf_object((uintptr_t)other);

	return object && object->l_name && *object->l_name && kf_object(function) == object;
}

static bool kf_is_libc(uintptr_t ip)
{
	return kf_is_beside(ip, abort) || kf_is_beside(ip, malloc) ||
	       kf_is_beside(ip, _dl_find_object);
}

static bool kf_is_heap(uintptr_t function)
{
	return function == (uintptr_t)malloc || function == (uintptr_t)free ||
	       function == (uintptr_t)calloc || function == (uintptr_t)realloc ||
	       function == (uintptr_t)memalign || function == (uintptr_t)aligned_alloc ||
	       function == (uintptr_t)posix_memalign;
}

/**
 * struct kf_seen - what the fiber was doing
 * @frames: functions seen
 * @signals: of them, interrupted ones: the first by the fault itself
 * @libc: of them, the C library's, the innermost one not counted
 * @heap: of them, the heap's
 */
struct kf_seen {
	unsigned int frames;
	unsigned int signals;
	unsigned int libc;
	unsigned int heap;
};

static void kf_contain_look(const struct kf_frame *frame, void *arg)
{
	struct kf_seen *seen = arg;

	seen->signals += frame->interrupted;
	seen->heap += kf_is_heap(frame->function);
	seen->libc += seen->frames && kf_is_libc(frame->ip);
	seen->frames++;
}

/**
 * kf_contain_refusal() - may the fiber be ended where it is?
 * @fault: of a fiber
 *
 * Return: NULL, or why not.
 */
const char *kf_contain_refusal(const struct kf_fault *fault)
{
	struct kf_seen seen = { 0 };
	bool complete;

	if (kf_read32(&fault->worker->block->critical))
		return "the library was in a critical section";
	if (fault->worker->busy)
		return "the library held a lock";
	complete = kf_walk(fault, kf_contain_look, &seen);
	if (seen.signals > 1)
		return "a signal handler was running";
	if (seen.heap)
		return "the heap may be locked";
	if (seen.libc)
		return "the C library may hold a lock";
	return complete ? NULL : "its stack cannot be walked to its end";
}

/* Ends the fiber when the signal handler returns. */
void kf_contain(const struct kf_fault *fault)
{
	const struct kfiber_fiber_block *f = fault->fiber;
	uintptr_t arena = kf_arena_base(fault->domain, f->stack_shift);

	/* The kernel's mask is shorter than libc's; behind it are other things. */
	memcpy(&fault->context->uc_sigmask, &fault->domain->sigmask, _NSIG / 8);
	kf_context_redirect(fault->context, arena + (((uintptr_t)f->slot + 1) << f->stack_shift),
			    kf_fiber_killed);
}
