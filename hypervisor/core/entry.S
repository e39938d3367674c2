/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the CPU enters root mode: VM exits and exceptions.
 */
#include "core/layout.h"

	.macro save_regs
	push	%r15
	push	%r14
	push	%r13
	push	%r12
	push	%r11
	push	%r10
	push	%r9
	push	%r8
	push	%rdi
	push	%rsi
	push	%rbp
	push	$0		/* RSP: in the VMCS or in the exception frame */
	push	%rbx
	push	%rdx
	push	%rcx
	push	%rax
	.endm

	.macro restore_regs
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rbx
	lea	8(%rsp), %rsp	/* no flags changed, unlike ADD */
	pop	%rbp
	pop	%rsi
	pop	%rdi
	pop	%r8
	pop	%r9
	pop	%r10
	pop	%r11
	pop	%r12
	pop	%r13
	pop	%r14
	pop	%r15
	.endm

	.text
/*
 * HOST_RIP. RSP is the top of this CPU's stack; interrupts are off, RFLAGS is 2, every general register is the
 * guest's.
 */
	.globl	hv_exit_entry
hv_exit_entry:
	save_regs
	mov	%rsp, %rdi
	call	hv_exit
	restore_regs
	vmresume
	save_regs		/* VMRESUME failed: the registers are the guest's still */
	mov	%rsp, %rdi
	call	hv_resume_failed
	ud2

/* Exception stubs, HV_STUB_STRIDE bytes each. The CPU pushes an error code for 8, 10 to 14, 17 and 21. */
	.balign	HV_STUB_STRIDE
	.globl	hv_stubs
hv_stubs:
	.set	vector, 0
	.rept	HV_IDT_VECTORS
	.balign	HV_STUB_STRIDE
	.if	(0x00227d00 >> vector) & 1
	nop
	.else
	push	$0
	.endif
	push	$vector
	jmp	exception
	.set	vector, vector + 1
	.endr

/* Stack: vector, error code, RIP, CS, RFLAGS, RSP, SS; see struct hv_frame. */
exception:
	save_regs
	mov	%rsp, %rdi
	call	hv_exception
	restore_regs
	add	$16, %rsp
	iretq

	.section .note.GNU-stack, "", @progbits
