// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a contained fault does to the registers. */
#include "fault.h"

/* The direction flag must be clear in a function; the trap flag goes as well. */
#define KF_EFLAGS_DF_TF 0x500

/* As a new process has them: nothing unmasked, nothing pending. */
#define KF_X87_CONTROL 0x37f
#define KF_MXCSR 0x1f80

/**
 * kf_context_uncall() - undo a call to where there is no code
 * @context: what the handler was given
 * @address: that of the fault; if the instruction itself was there, its caller
 *	becomes the one that was interrupted
 */
void kf_context_uncall(ucontext_t *context, uintptr_t address)
{
	greg_t *regs = context->uc_mcontext.gregs;

	if ((uintptr_t)regs[REG_RIP] != address)
		return;
	regs[REG_RIP] = *(greg_t *)(uintptr_t)regs[REG_RSP];
	regs[REG_RSP] += (greg_t)sizeof(greg_t);
}

/**
 * kf_context_redirect() - make a signal handler return into a function
 * @context: what the handler was given
 * @stack_top: 16-byte aligned; the function's stack is below
 * @fn: the function; must not return
 *
 * A floating-point exception that is pending would come again at the next
 * instruction that waits for it, in another fiber.
 */
void kf_context_redirect(ucontext_t *context, uintptr_t stack_top, void (*fn)(void))
{
	greg_t *regs = context->uc_mcontext.gregs;
	fpregset_t fp = context->uc_mcontext.fpregs;
	uint64_t *sp = (uint64_t *)stack_top - 3;

	/* As if called, by nobody. */
	*sp = 0;
	regs[REG_RSP] = (greg_t)(uintptr_t)sp;
	regs[REG_RBP] = 0;
	regs[REG_RIP] = (greg_t)(uintptr_t)fn;
	regs[REG_EFL] &= ~(greg_t)KF_EFLAGS_DF_TF;
	if (fp) {
		fp->cwd = KF_X87_CONTROL;
		fp->swd = 0;
		fp->mxcsr = KF_MXCSR;
	}
}
