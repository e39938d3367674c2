/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One stub a vector; all lead to guest_trap(struct frame *). */
	.text
	.altmacro
	.macro stub n
vector_\n:
	.if (\n == 8) || (\n == 10) || (\n == 11) || (\n == 12) || (\n == 13) || (\n == 14) || (\n == 17) || (\n == 21)
	.else
	push $0
	.endif
	push $\n
	jmp common
	.pushsection .data
	.quad vector_\n
	.popsection
	.endm

	.data
	.align 8
	.globl vector_stubs
vector_stubs:
	.text
	.set i, 0
	.rept 256
	stub %i
	.set i, i + 1
	.endr

common:
	cld
	push %r15
	push %r14
	push %r13
	push %r12
	push %r11
	push %r10
	push %r9
	push %r8
	push %rbp
	push %rdi
	push %rsi
	push %rdx
	push %rcx
	push %rbx
	push %rax
	mov %rsp, %rdi
	call guest_trap
	pop %rax
	pop %rbx
	pop %rcx
	pop %rdx
	pop %rsi
	pop %rdi
	pop %rbp
	pop %r8
	pop %r9
	pop %r10
	pop %r11
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	add $16, %rsp
	iretq
	.section .note.GNU-stack, "", @progbits
