// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The functions on a stack: of a fiber that is interrupted, seen from a signal handler; or
 * of a parked one, as if that had called the function that walks.
 *
 * The unwinder is GCC's, which every C program has in libgcc_s or libgcc_eh.
 * glibc's backtrace() is a loop around the same, but loads it with dlopen() and
 * fills an array of a size that one must know before. Called by its own name it
 * is bound when the program is loaded; what it makes once is made by
 * kf_walk_prepare(); and since glibc 2.35 it finds its tables without a lock
 * (_dl_find_object). Then it does no more than to read the stack and the tables.
 * libunwind would be one more library, and liblzma with it.
 */
#include <unwind.h>

#include "fault.h"

/**
 * struct kf_walk - a walk under way
 * @visit: is told each frame
 * @arg: its argument
 * @found: the frame that was interrupted by the signal has been reached
 * @complete: so has the begin of the fiber
 */
struct kf_walk {
	void (*visit)(const struct kf_frame *frame, void *arg);
	void *arg;
	bool found;
	bool complete;
};

static _Unwind_Reason_Code kf_walk_frame(struct _Unwind_Context *context, void *arg)
{
	struct kf_walk *walk = arg;
	struct kf_frame frame;
	int interrupted = 0;

	frame.ip = _Unwind_GetIPInfo(context, &interrupted);
	frame.interrupted = interrupted;
	frame.function = _Unwind_GetRegionStart(context);
	/* Those of the handler come first. */
	walk->found |= frame.interrupted;
	if (!walk->found || !frame.ip)
		return _URC_NO_REASON;
	if (frame.function == (uintptr_t)kf_context_start)
		walk->complete = true;
	else
		walk->visit(&frame, walk->arg);
	return _URC_NO_REASON;
}

/**
 * kf_walk() - visit the functions that a fault has interrupted
 * @fault: the fault
 * @visit: called for each, the innermost first
 * @arg: its argument
 *
 * A stack that was overwritten can make this fault. The signal is blocked then,
 * and the process ends by it.
 *
 * Context: a signal handler.
 * Return: true if all of a fiber's functions were seen.
 */
bool kf_walk(const struct kf_fault *fault,
	     void (*visit)(const struct kf_frame *frame, void *arg), void *arg)
{
	struct kf_walk walk = { .visit = visit, .arg = arg };
	mcontext_t saved = fault->context->uc_mcontext;

	/* Of a null pointer that was called nothing is known, but of its caller. */
	if (fault->signal == SIGSEGV)
		kf_context_uncall(fault->context, (uintptr_t)fault->info->si_addr);
	_Unwind_Backtrace(kf_walk_frame, &walk);
	fault->context->uc_mcontext = saved;
	return walk.complete;
}

/* The first walk makes what all others need. Context: may allocate. */
void kf_walk_prepare(void)
{
	struct kf_walk walk = { .found = false };

	_Unwind_Backtrace(kf_walk_frame, &walk);
}

/**
 * struct kf_parked_walk - a walk over the stack of a parked fiber
 * @ips: where return addresses go
 * @n: how many there is room for
 * @count: how many there are
 * @found: the fiber's stack has been reached
 */
struct kf_parked_walk {
	uintptr_t *ips;
	uint32_t n;
	uint32_t count;
	bool found;
};

static _Unwind_Reason_Code kf_walk_parked_frame(struct _Unwind_Context *context, void *arg)
{
	struct kf_parked_walk *walk = arg;
	uintptr_t function = _Unwind_GetRegionStart(context);

	if (function == (uintptr_t)kf_fiber_start || walk->count == walk->n)
		return _URC_END_OF_STACK;
	if (walk->found)
		walk->ips[walk->count++] = _Unwind_GetIP(context);
	/* Ours come first. */
	walk->found |= function == (uintptr_t)kf_context_visit;
	return _URC_NO_REASON;
}

static void kf_walk_from_here(void *walk)
{
	_Unwind_Backtrace(kf_walk_parked_frame, walk);
}

/**
 * kf_walk_parked() - find the functions on the stack of a parked fiber
 * @sp: its stack pointer; it is held
 * @ips: out: return addresses, the innermost first, the library's own too
 * @n: how many there is room for
 *
 * Return: how many there are, @n at most.
 */
uint32_t kf_walk_parked(uint64_t sp, uintptr_t *ips, uint32_t n)
{
	struct kf_parked_walk walk = { .ips = ips, .n = n };

	kf_context_visit(sp, kf_walk_from_here, &walk);
	return walk.count;
}
