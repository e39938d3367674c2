/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Multiboot entry of the image whose host is 32-bit code with PAE paging. */
#define MULTIBOOT_MAGIC 0x1badb002

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

	.bss
	.balign 16
	.skip 8192
stack_top:

	.text
	.code32
	.globl _start
_start:
	cli
	cld
	movl $stack_top, %esp
	pushl %ebx /* Multiboot information */
	call setup
	lgdt gdtr
	ljmp $0x08, $1f
1:	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movl $0x18, %eax
	ltr %ax
	call main
	movzbl %al, %eax
	outb %al, $0xf4
2:	hlt
	jmp 2b

	.globl guest_vmcall, guest_to_long_mode
guest_vmcall:
	vmcall
	jmp guest_vmcall
guest_to_long_mode:
	movl %cr0, %eax
	orl $0x80000000, %eax
	movl %eax, %cr0
	vmcall
	jmp guest_vmcall

	.globl guest_jmp, guest_call, guest_iret, guest_int3, guest_gate
guest_jmp:
	ljmp $0x20, $0
guest_call:
	lcall $0x20, $0
guest_iret:
	iretl
guest_int3:
	int3
guest_gate:
	lcall $0x28, $0

	.section .note.GNU-stack, "", @progbits
