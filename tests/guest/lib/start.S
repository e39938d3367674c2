/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot-1 entry to 64-bit mode. Linear addresses: 0 to 2 GiB and 3 to 4 GiB are mapped one to one for the
 * supervisor; 2 to 3 GiB map physical 0 to 1 GiB again, for user mode too (USER() in guest.h).
 */
	.section .multiboot, "a"
	.align 4
	.long 0x1badb002, 0, -0x1badb002

	.text
	.code32
	.globl start
start:
	cli
	mov %eax, boot_magic
	mov %ebx, boot_info
	mov $stack_top, %esp
	/* PDs: four of 512 large pages */
	xor %ecx, %ecx
1:	mov %ecx, %eax
	shl $21, %eax
	mov $0x83, %edx
	cmp $1024, %ecx
	jb 2f
	cmp $1536, %ecx
	jae 2f
	sub $0x80000000, %eax
	mov $0x87, %edx
2:	or %edx, %eax
	mov %eax, boot_pd(,%ecx,8)
	movl $0, boot_pd+4(,%ecx,8)
	inc %ecx
	cmp $2048, %ecx
	jne 1b
	movl $boot_pd + 0x0007, boot_pdpt
	movl $boot_pd + 0x1007, boot_pdpt + 8
	movl $boot_pd + 0x2007, boot_pdpt + 16
	movl $boot_pd + 0x3007, boot_pdpt + 24
	movl $boot_pdpt + 7, boot_pml4
	mov $0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov %eax, %cr4
	mov $boot_pml4, %eax
	mov %eax, %cr3
	mov $0x80000001, %eax
	cpuid
	shr $9, %edx			/* NX, at the place of EFER.NXE */
	and $0x800, %edx
	mov %edx, %esi
	mov $0xc0000080, %ecx
	rdmsr
	or $0x101, %eax			/* SCE, LME */
	or %esi, %eax
	wrmsr
	mov %cr0, %eax
	and $~0x6000000c, %eax		/* CD, NW, TS, EM off */
	or $0x80010023, %eax		/* PG, WP, NE, MP, PE */
	mov %eax, %cr0
	lgdt boot_gdtr
	ljmp $8, $3f
	.code64
3:	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %eax, %fs
	mov %eax, %gs
	mov $stack_top, %rsp
	xor %ebp, %ebp
	call guest_start

	.data
	.align 16
	.globl gdt, boot_gdtr
gdt:	.quad 0
	.quad 0x00af9b000000ffff	/* 08 kernel code, 64-bit */
	.quad 0x00cf93000000ffff	/* 10 kernel data */
	.quad 0x00cf9b000000ffff	/* 18 kernel code, 32-bit */
	.quad 0x00cf93000000ffff	/* 20 kernel data */
	.quad 0x00cffb000000ffff	/* 28 user code, 32-bit */
	.quad 0x00cff3000000ffff	/* 30 user data */
	.quad 0x00affb000000ffff	/* 38 user code, 64-bit */
	.fill 56, 8, 0			/* 40 TSS, from 50 on free */
gdt_end:
boot_gdtr:
	.word gdt_end - gdt - 1
	.quad gdt
	.globl boot_magic, boot_info
boot_magic: .long 0
boot_info: .long 0

	.bss
	.align 4096
	.globl boot_pml4, boot_pdpt, boot_pd
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd: .skip 4 * 4096
	.skip 32768
	.globl stack_top
stack_top:
	.section .note.GNU-stack, "", @progbits
