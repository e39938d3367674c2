/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Out of 64-bit mode and back. Everything here lies below 4 GiB, mapped one to one. */
	.macro leave64
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	push $0x18
	lea 1f(%rip), %rax
	push %rax
	lretq
	.code32
1:
	.endm

	.macro enter64
	ljmp $8, $3f
	.code64
3:	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	mov flip_result(%rip), %eax
	ret
	.endm

	.text
	.code64
/* u32 call32(u32 code): calls code in compatibility mode; its EAX. */
	.globl call32
call32:
	leave64
	call *%edi
	mov %eax, flip_result
	enter64

/*
 * u32 call_unpaged(u32 code, u32 ecx, u64 cr4, u64 cr3): calls code (0: none) with paging off; its EDX. Paging is on again
 * with these CR4 and CR3.
 */
	.globl call_unpaged
call_unpaged:
	leave64
	mov %ecx, %ebp
	mov %edx, %ebx
	mov %esi, %ecx
	mov %cr0, %eax
	and $~0x80000000, %eax
	mov %eax, %cr0
	test %edi, %edi
	jz 2f
	call *%edi
	mov %edx, flip_result
2:	mov %ebx, %cr4
	mov %ebp, %cr3
	mov %cr0, %eax
	or $0x80000000, %eax
	mov %eax, %cr0
	enter64

	.bss
	.align 4
flip_result: .skip 4
	.section .note.GNU-stack, "", @progbits
