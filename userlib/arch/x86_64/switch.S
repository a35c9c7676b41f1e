/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The context switch for x86-64, System V ABI: what a called function must
 * preserve is pushed on the stack that is left and popped from the one that is
 * entered. That includes the control words of the x87 and SSE units.
 *
 * From the stack pointer upwards:
 *    0  MXCSR, x87 control word
 *    8  r15, r14, r13, r12, rbx, rbp
 *   56  return address
 */
	.text

/* void kf_context_switch(__u64 *save, uint64_t load) */
	.globl	kf_context_switch
	.hidden	kf_context_switch
	.type	kf_context_switch, @function
	.balign	16
kf_context_switch:
	.cfi_startproc
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	ldmxcsr	(%rsp)
	fldcw	4(%rsp)
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	retq
	.cfi_endproc
	.size	kf_context_switch, . - kf_context_switch

/*
 * Where a new fiber begins: kf_context_prepare() left its function in r12 and
 * the argument in r13. Nobody called this, so unwinding ends here.
 */
	.globl	kf_context_start
	.hidden	kf_context_start
	.type	kf_context_start, @function
	.balign	16
kf_context_start:
	.cfi_startproc
	.cfi_undefined rip
	xorl	%ebp, %ebp
	movq	%r12, %rdi
	movq	%r13, %rsi
	call	kf_fiber_start
	ud2
	.cfi_endproc
	.size	kf_context_start, . - kf_context_start

/* uint64_t kf_context_prepare(uintptr_t stack_top, void *(*fn)(void *), void *arg) */
	.globl	kf_context_prepare
	.hidden	kf_context_prepare
	.type	kf_context_prepare, @function
	.balign	16
kf_context_prepare:
	.cfi_startproc
	leaq	-64(%rdi), %rax
	stmxcsr	(%rax)
	fnstcw	4(%rax)
	movq	%rdx, 24(%rax)			/* r13 */
	movq	%rsi, 32(%rax)			/* r12 */
	leaq	kf_context_start(%rip), %rcx
	movq	%rcx, 56(%rax)
	retq
	.cfi_endproc
	.size	kf_context_prepare, . - kf_context_prepare

/*
 * void kf_context_visit(uint64_t sp, void (*fn)(void *), void *arg)
 *
 * Calls fn(arg). Who unwinds from there finds as our caller the one of kf_context_switch()
 * that has saved @sp, with its registers.
 */
	.globl	kf_context_visit
	.hidden	kf_context_visit
	.type	kf_context_visit, @function
	.balign	16
kf_context_visit:
	.cfi_startproc
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	movq	%rdi, %rbx
	movq	%rdx, %rdi
	.cfi_remember_state
	.cfi_def_cfa rbx, 64
	.cfi_offset rbp, -16
	.cfi_offset rbx, -24
	.cfi_offset r12, -32
	.cfi_offset r13, -40
	.cfi_offset r14, -48
	.cfi_offset r15, -56
	call	*%rsi
	.cfi_restore_state
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	retq
	.cfi_endproc
	.size	kf_context_visit, . - kf_context_visit

	.section .note.GNU-stack, "", @progbits
