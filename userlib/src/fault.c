// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The signals of faults, while a domain runs.
 *
 * A fault that has nothing to do with fibers goes where it would have gone: to
 * the handler that the program had installed before, or to the default action.
 * So does, once it is reported, one in a stack arena, and, once it is known to
 * be impossible, one that should have been contained. Of several that come at once each is
 * reported after the other, and none after the one that ends the process: turn.c.
 *
 * An overflow leaves no room for a handler on the fiber's stack, so each worker
 * has an alternate one.
 */
#include <errno.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"

/* For a handler of the program's as well; what is not used has no memory. */
#define KF_ALT_STACK (64u << 10)

/**
 * struct kf_handler - a signal of ours
 * @signal: its number
 * @installed: the handler is there, or was, and another has been put on top of
 *	it, which may still call it
 * @before: what was there before
 *
 * Changed by kf_run() only, one at a time.
 */
static struct kf_handler {
	int signal;
	bool installed;
	struct sigaction before;
} kf_handlers[] = {
	{ .signal = SIGSEGV },
	{ .signal = SIGBUS },
	{ .signal = SIGFPE },
	{ .signal = SIGILL },
};

#define KF_NR_HANDLERS (sizeof(kf_handlers) / sizeof(kf_handlers[0]))

/* --- what it is ------------------------------------------------------------- */

/* A child of vfork() is not the worker that it looks like. */
static struct kf_worker *kf_fault_worker(const struct kf_domain *d)
{
	struct kf_worker *w = kf_worker_self();

	return w && w->domain == d && d->pid == getpid() ? w : NULL;
}

/* Is the address one of a stack? Others have none, or one that means nothing. */
static void kf_fault_place(struct kf_fault *fault)
{
	uintptr_t address = (uintptr_t)fault->info->si_addr;
	struct kf_domain *d = fault->domain;
	unsigned int shift;

	if (fault->signal != SIGSEGV && fault->signal != SIGBUS)
		return;
	for (shift = KFIBER_STACK_SHIFT_MIN; shift <= KFIBER_STACK_SHIFT_MAX; shift++) {
		uintptr_t base = kf_arena_base(d, shift);

		if (!base || address - base >= kf_arena_bytes(d, shift))
			continue;
		fault->on_stack = true;
		fault->stack_shift = shift;
		fault->offset = address - base;
	}
}

static struct kf_fault kf_fault_read(int signal, siginfo_t *info, void *context)
{
	struct kf_fault fault = {
		.signal = signal,
		.info = info,
		.context = context,
		.domain = atomic_load_explicit(&kf_domain, memory_order_acquire),
	};

	/* Sent by somebody: there is no fault. */
	if (!fault.domain || info->si_code <= 0)
		return fault;
	fault.worker = kf_fault_worker(fault.domain);
	fault.fiber = fault.worker ? fault.worker->current : NULL;
	kf_fault_place(&fault);
	return fault;
}

/* --- where else it goes ----------------------------------------------------- */

/*
 * The default action. The signal is sent anew, as it was, and waits until the
 * handler has returned: a core dump shows the thread where it faulted. To fault
 * again would do too, were it sure that it does.
 */
static void kf_fault_default(int signal, siginfo_t *info)
{
	struct sigaction action = { .sa_handler = SIG_DFL };

	sigaction(signal, &action, NULL);
	syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), signal, info);
}

/* Signals are blocked as if the program's handler had been called by the kernel. */
static void kf_fault_mask(int signal, const struct sigaction *action, const ucontext_t *context)
{
	sigset_t mask;

	sigorset(&mask, &context->uc_sigmask, &action->sa_mask);
	if (!(action->sa_flags & SA_NODEFER))
		sigaddset(&mask, signal);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

/* Is the action on a fault the end of the process? */
static bool kf_is_the_end(const struct sigaction *action)
{
	return !(action->sa_flags & SA_SIGINFO) &&
	       (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN);
}

/* To whom it would have gone without us. */
static void kf_fault_pass(struct sigaction *before, int signal, siginfo_t *info, void *context)
{
	struct sigaction action = *before;

	if (kf_is_the_end(&action)) {
		/* Who ignores a fault is not asked again. */
		if (action.sa_handler == SIG_DFL || info->si_code > 0)
			kf_fault_default(signal, info);
		return;
	}
	if (action.sa_flags & SA_RESETHAND)
		*before = (struct sigaction){ .sa_handler = SIG_DFL };
	kf_fault_mask(signal, &action, context);
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(signal, info, context);
	else
		action.sa_handler(signal);
}

static struct kf_handler *kf_handler_of(int signal)
{
	struct kf_handler *h = kf_handlers;

	while (h->signal != signal)
		h++;
	return h;
}

/* Return: true if that was all. */
static bool kf_fault_handle(struct kf_fault *fault)
{
	bool asked = kf_contain_asked(fault);
	const char *refusal = NULL;

	if (!fault->on_stack && !asked)
		return false;
	if (asked && !kf_report_is_due(fault->domain, &fault->missed) &&
	    !kf_contain_refusal(fault)) {
		kf_contain(fault);
		return true;
	}
	kf_turn_take(fault->worker);
	fault->reported = true;
	kf_report_fault(fault);
	if (asked)
		refusal = kf_contain_refusal(fault);
	kf_report_backtrace(fault);
	kf_report_outcome(fault, asked, refusal);
	if (!asked || refusal)
		return false;
	kf_turn_give();
	kf_contain(fault);
	return true;
}

static void kf_on_fault(int signal, siginfo_t *info, void *context)
{
	struct kf_fault fault = kf_fault_read(signal, info, context);
	struct kf_handler *h = kf_handler_of(signal);
	int saved = errno;

	if (!kf_fault_handle(&fault)) {
		if (fault.reported && !kf_is_the_end(&h->before))
			kf_turn_give();
		kf_fault_pass(&h->before, signal, info, context);
	}
	errno = saved;
}

/* --- the handlers ----------------------------------------------------------- */

static bool kf_handler_is_ours(int signal)
{
	struct sigaction now;

	return !sigaction(signal, NULL, &now) && now.sa_flags & SA_SIGINFO &&
	       now.sa_sigaction == kf_on_fault;
}

/* Ours or the program's. */
static bool kf_handler_is_one(int signal)
{
	struct sigaction now;

	return !sigaction(signal, NULL, &now) &&
	       (now.sa_flags & SA_SIGINFO ||
		(now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN));
}

/*
 * A handler that was put on top of ours stays there: it may call ours, and ours
 * must not call it. A forked child that opens a domain finds ours in place.
 */
static void kf_handler_install(struct kf_handler *h)
{
	struct sigaction action = {
		.sa_sigaction = kf_on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	if (h->installed && kf_handler_is_one(h->signal))
		return;
	sigfillset(&action.sa_mask);
	h->installed = !sigaction(h->signal, NULL, &h->before) &&
		       !sigaction(h->signal, &action, NULL);
}

static void kf_handler_restore(struct kf_handler *h)
{
	if (h->installed && kf_handler_is_ours(h->signal))
		h->installed = sigaction(h->signal, &h->before, NULL);
}

/**
 * kf_faults_begin() - handle faults from now on
 *
 * Context: kf_run(), before there is a fiber.
 */
void kf_faults_begin(void)
{
	unsigned int i;

	kf_walk_prepare();
	for (i = 0; i < KF_NR_HANDLERS; i++)
		kf_handler_install(&kf_handlers[i]);
}

/**
 * kf_faults_end() - handle no more faults
 * @d: the domain that ends
 *
 * What was there before is there again, unless the program has installed
 * something else meanwhile.
 *
 * Context: kf_run(), when no fiber is left.
 */
void kf_faults_end(struct kf_domain *d)
{
	unsigned int i;

	kf_report_end(d);
	for (i = 0; i < KF_NR_HANDLERS; i++)
		kf_handler_restore(&kf_handlers[i]);
}

/* --- alternate stacks ------------------------------------------------------- */

/* A page below it that cannot be touched, and what the largest signal frame takes. */
static size_t kf_alt_stack_bytes(size_t page)
{
	size_t bytes = page + KF_ALT_STACK + getauxval(AT_MINSIGSTKSZ);

	return (bytes + page - 1) & ~(page - 1);
}

/**
 * kf_alt_stack_give() - give the calling thread an alternate signal stack
 * @w: its worker
 *
 * One that the thread has is left there. Without memory for one an overflow is a
 * SIGSEGV that cannot be handled.
 */
void kf_alt_stack_give(struct kf_worker *w)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = kf_alt_stack_bytes(page);
	stack_t stack;
	char *map;

	if (sigaltstack(NULL, &stack) || !(stack.ss_flags & SS_DISABLE))
		return;
	map = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (map == MAP_FAILED)
		return;
	stack = (stack_t){ .ss_sp = map + page, .ss_size = bytes - page };
	if (mprotect(stack.ss_sp, stack.ss_size, PROT_READ | PROT_WRITE) ||
	    sigaltstack(&stack, NULL)) {
		munmap(map, bytes);
		return;
	}
	w->alt_stack = map;
}

/**
 * kf_alt_stack_take() - take back what kf_alt_stack_give() gave
 * @w: the calling thread's worker
 */
void kf_alt_stack_take(struct kf_worker *w)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	stack_t stack;

	if (!w->alt_stack)
		return;
	if (!sigaltstack(NULL, &stack) && stack.ss_sp == w->alt_stack + page) {
		stack = (stack_t){ .ss_flags = SS_DISABLE };
		sigaltstack(&stack, NULL);
	}
	kf_alt_stack_free(w);
}

/* Context: the thread has ended, or has another one. */
void kf_alt_stack_free(struct kf_worker *w)
{
	if (w->alt_stack)
		munmap(w->alt_stack, kf_alt_stack_bytes((size_t)sysconf(_SC_PAGESIZE)));
	w->alt_stack = NULL;
}
