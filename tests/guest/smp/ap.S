/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a start-up message sends a processor: copied to a page below 1 MiB; from there to 64-bit mode. */
	.text
	.code16
	.globl ap_code, ap_code_end
ap_code:
	cli
	mov %cs, %ax
	mov %ax, %ds
	lgdtl ap_gdtr - ap_code
	mov $0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov %eax, %cr4
	mov $boot_pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x901, %eax			/* SCE, LME, NXE */
	wrmsr
	mov $0x80010023, %eax		/* PG, WP, NE, MP, PE */
	mov %eax, %cr0
	ljmpl $8, $ap_entry
	.align 8
ap_gdtr:
	.word 64 * 8 - 1
	.long gdt
ap_code_end:

	.code64
ap_entry:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $0xfee00020, %ebx
	mov (%rbx), %edi
	shr $24, %edi			/* the APIC ID */
	lea 1(%rdi), %eax
	shl $12, %eax
	lea ap_stacks(%rax), %rsp
	xor %ebp, %ebp
	call ap_main
1:	hlt
	jmp 1b

	.bss
	.align 4096
ap_stacks: .skip 8 * 4096
	.section .note.GNU-stack, "", @progbits
