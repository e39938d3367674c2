/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot entry of the VT-x test images: 32-bit protected mode to 64-bit mode with the first 4 GiB mapped one to one, an IDT
 * whose handlers record what happened, and calls that run a guest or survive an exception.
 */
#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/vmcs.h"
#include "arch/x86.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define STACK_SIZE      16384

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_MAGIC, 0, -MULTIBOOT_MAGIC

	.section .bss
	.balign 4096
	.globl boot_pml4
boot_pml4:
	.skip 4096
boot_pdpt:
	.skip 4096
boot_pd:
	.skip 4 * 4096
	.skip STACK_SIZE
stack_top:

	.data
	.balign 16
	.globl gdt
gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 08: 64-bit code */
	.quad 0x00cf93000000ffff /* 10: data */
	.quad 0x00cf9b000000ffff /* 18: 32-bit code */
	.quad 0x0000890000000067, 0 /* 20: TSS, base filled in at run time */
	.quad 0x00affb000000ffff /* 30: 64-bit code, DPL 3 */
	.quad 0x00cff3000000ffff /* 38: data, DPL 3 */
gdt_end:
gdtr:
	.word gdt_end - gdt - 1
	.quad gdt

	.text
	.code32
	.globl _start
_start:
	cli
	cld
	movl $stack_top, %esp
	movl $boot_pdpt + (PTE_P | PTE_RW | PTE_US), boot_pml4
	movl $boot_pd + (PTE_P | PTE_RW | PTE_US), %eax
	movl $boot_pdpt, %edi
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b
	movl $(PTE_P | PTE_RW | PTE_US | PTE_PS), %eax
	movl $boot_pd, %edi
	movl $2048, %ecx
2:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 2b
	movl $boot_pml4, %eax
	movl %eax, %cr3
	movl $(CR4_PAE | CR4_PGE | CR4_OSFXSR), %eax
	movl %eax, %cr4
	movl $IA32_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl $(CR0_PE | CR0_MP | CR0_NE | CR0_WP | CR0_PG), %eax
	movl %eax, %cr0
	lgdt gdtr
	ljmp $0x08, $in64

	.code64
in64:
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	call setup_tables
	call main
	movzbl %al, %edi
	call finish

/* void load_gdt(void): again after TR's descriptor is filled in */
	.globl load_gdt
load_gdt:
	lgdt gdtr
	ret

/*
 * int guest_run(bool launch): 0 after a VM exit, 1 VMfailValid, 2 VMfailInvalid. Guest registers other than RSP are those of
 * struct registers at regs (RAX RCX RDX RBX - RBP RSI RDI R8-R15), before and after.
 */
	.globl guest_run
guest_run:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	pushf
	cli
	movl $VMCS_HOST_RSP, %eax
	vmwrite %rsp, %rax
	movl $VMCS_HOST_RIP, %eax
	lea exited(%rip), %rdx
	xor host_rip_flip(%rip), %rdx
	vmwrite %rdx, %rax
	test %edi, %edi
	mov regs(%rip), %rax
	mov regs+8(%rip), %rcx
	mov regs+16(%rip), %rdx
	mov regs+24(%rip), %rbx
	mov regs+40(%rip), %rbp
	mov regs+48(%rip), %rsi
	mov regs+64(%rip), %r8
	mov regs+72(%rip), %r9
	mov regs+80(%rip), %r10
	mov regs+88(%rip), %r11
	mov regs+96(%rip), %r12
	mov regs+104(%rip), %r13
	mov regs+112(%rip), %r14
	mov regs+120(%rip), %r15
	jz 1f
	mov regs+56(%rip), %rdi
	vmlaunch
	jmp 2f
1:	mov regs+56(%rip), %rdi
	vmresume
2:	movl $1, %eax
	movl $2, %ecx
	cmovc %ecx, %eax
	jmp restored
exited:
	mov %rax, regs(%rip)
	mov %rcx, regs+8(%rip)
	mov %rdx, regs+16(%rip)
	mov %rbx, regs+24(%rip)
	mov %rbp, regs+40(%rip)
	mov %rsi, regs+48(%rip)
	mov %rdi, regs+56(%rip)
	mov %r8, regs+64(%rip)
	mov %r9, regs+72(%rip)
	mov %r10, regs+80(%rip)
	mov %r11, regs+88(%rip)
	mov %r12, regs+96(%rip)
	mov %r13, regs+104(%rip)
	mov %r14, regs+112(%rip)
	mov %r15, regs+120(%rip)
	xorl %eax, %eax
restored:
	popf
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

/*
 * int launch_in_shadow(void): VMLAUNCH in the shadow of MOV SS; 1 VMfailValid, 2 VMfailInvalid, 0 if it went on (an exit would
 * return to guest_run's host state, so only failing launches may be tried).
 */
	.globl launch_in_shadow
launch_in_shadow:
	movl %ss, %edx
	movl %edx, %ss
	vmlaunch
	movl $1, %eax
	movl $2, %ecx
	cmovc %ecx, %eax
	ret

/* unsigned survive(void (*fn)(void)): vector of the exception in fn, or 256. Error code in last_error. */
	.globl survive
survive:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, survive_rsp(%rip)
	call *%rdi
	movl $256, %eax
survived:
	movq $0, survive_rsp(%rip)
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

/* Exception and interrupt handlers. Stack: vector, error code, frame. */
	.macro handler n, has_error
	.balign 16
	.if \has_error == 0
	push $0
	.endif
	push $\n
	jmp handle
	.endm

	.balign 16
	.globl handlers
handlers:
	.altmacro
	.set i, 0
	.rept 64
	.if (i == 8) || (i >= 10 && i <= 14) || (i == 17)
	handler %i, 1
	.else
	handler %i, 0
	.endif
	.set i, i + 1
	.endr
	.noaltmacro

handle:
	push %rax
	incl events(%rip)
	mov 8(%rsp), %rax
	mov %eax, last_vector(%rip)
	mov 16(%rsp), %rax
	mov %eax, last_error(%rip)
	mov 24(%rsp), %rax
	mov %rax, last_rip(%rip)
	mov 40(%rsp), %rax
	mov %rax, last_rflags(%rip)
	cmpl $32, 8(%rsp)
	jae 1f
	cmpl $2, 8(%rsp)
	je 1f
	cmpq $0, survive_rsp(%rip)
	jne recover
	cmpb $0, handler_returns(%rip)
	jne 1f
	mov 8(%rsp), %rdi
	mov 16(%rsp), %rsi
	mov 24(%rsp), %rdx
	call unexpected
1:	pop %rax
	add $16, %rsp
	iretq
recover:
	mov 8(%rsp), %rax
	mov survive_rsp(%rip), %rsp
	jmp survived

	.section .bss
	.balign 8
	.globl host_rip_flip
host_rip_flip:
	.skip 8
	.globl regs, last_vector, last_error, last_rip, last_rflags, events, survive_rsp, handler_returns
regs:
	.skip 128
last_rip:
	.skip 8
last_rflags:
	.skip 8
survive_rsp:
	.skip 8
last_vector:
	.skip 4
last_error:
	.skip 4
events:
	.skip 4
handler_returns:
	.skip 4

	.section .note.GNU-stack, "", @progbits
