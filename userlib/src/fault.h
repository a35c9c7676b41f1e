/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fault that is being handled: what fault.c, contain.c, turn.c and report.c tell
 * each other. All of it is called by a signal handler: nothing here allocates, locks
 * or uses stdio.
 */
#ifndef KF_FAULT_H
#define KF_FAULT_H

#include <link.h>
#include <stdint.h>
#include <ucontext.h>

#include "internal.h"

/**
 * struct kf_fault - a fault
 * @signal: SIGSEGV, SIGBUS, SIGFPE, SIGILL
 * @info: what the kernel says of it
 * @context: where it happened
 * @domain: the domain that runs, or NULL
 * @worker: the thread, if it is one of the domain's, or NULL
 * @fiber: the fiber that runs on it, or NULL
 * @missed: contained faults before it that were not reported, if this one is
 * @reported: it was, and its thread has the turn to report still
 * @on_stack: the address lies in a stack arena
 * @stack_shift: then: of which class
 * @offset: and where in it
 */
struct kf_fault {
	int signal;
	siginfo_t *info;
	ucontext_t *context;
	struct kf_domain *domain;
	struct kf_worker *worker;
	struct kfiber_fiber_block *fiber;
	uint32_t missed;
	bool reported;
	bool on_stack;
	unsigned int stack_shift;
	uint64_t offset;
};

/* contain.c */
bool kf_contain_asked(const struct kf_fault *fault);
const char *kf_contain_refusal(const struct kf_fault *fault);
void kf_contain(const struct kf_fault *fault);

/* turn.c */
void kf_turn_take(struct kf_worker *w);
void kf_turn_give(void);

/* report.c */
bool kf_report_is_due(struct kf_domain *d, uint32_t *missed);
void kf_report_end(struct kf_domain *d);
void kf_report_fault(const struct kf_fault *fault);
void kf_report_backtrace(const struct kf_fault *fault);
void kf_report_outcome(const struct kf_fault *fault, bool asked, const char *refusal);

/**
 * struct kf_frame - a function that was running when the fault came
 * @ip: in it, or behind its call
 * @interrupted: @ip is the very instruction that was interrupted: by the fault,
 *	or by another signal
 * @function: its begin
 */
struct kf_frame {
	uintptr_t ip;
	bool interrupted;
	uintptr_t function;
};

/* walk.c */
void kf_walk_prepare(void);
bool kf_walk(const struct kf_fault *fault,
	     void (*visit)(const struct kf_frame *frame, void *arg), void *arg);

/**
 * struct kf_symbol - a name for an address
 * @object: the file's name without its directories; empty if it is not known
 * @object_offset: the address in that file: what addr2line(1) wants
 * @name: the function's, empty if it is not known
 * @name_offset: how far in it
 */
struct kf_symbol {
	char object[64];
	uintptr_t object_offset;
	char name[64];
	uintptr_t name_offset;
};

/**
 * struct kf_symbols - the file that was looked at last
 * @object: the loader's name for it; NULL: none
 * @fd: open, if there is an @object; or negative
 * @symbol: its symbol that was found last; st_size is 0 if none was
 * @name: that one's name
 */
struct kf_symbols {
	const struct link_map *object;
	int fd;
	Elf64_Sym symbol;
	char name[64];
};

/* symbol.c */
void kf_symbol_find(struct kf_symbols *symbols, uintptr_t address, struct kf_symbol *symbol);
void kf_symbols_close(struct kf_symbols *symbols);

/* arch */
void kf_context_uncall(ucontext_t *context, uintptr_t address);
void kf_context_redirect(ucontext_t *context, uintptr_t stack_top, void (*fn)(void));

#endif /* KF_FAULT_H */
