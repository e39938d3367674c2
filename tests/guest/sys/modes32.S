/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From 64-bit mode down to real mode and back, with stops on the way. The code between low_begin and low_end runs at
 * LOW; it writes what it finds into modes_result (see modes.c).
 */
	.set LOW, 0x8000
	.set SEL_CODE32, 0x18
	.set SEL_DATA, 0x20
	.set SEL_CODE16, 0xf0
	.set SEL_DATA16, 0xf8
	.set SEL_TSS_A, 0x100
	.set SEL_TSS_B, 0x108
	.set SEL_GATE, 0x110
#define AT(label) (LOW + label - low_begin)
/* result slots */
	.set R_EFER_OFF, 0
	.set R_CR0_REAL, 4
	.set R_INT, 8
	.set R_FLAGS, 12
	.set R_UNREAL, 16
	.set R_DIV, 20
	.set R_FAR, 24
	.set R_SP, 28
	.set R_PAE, 32
	.set R_PSE, 36
	.set R_TASK, 40
	.set R_TASK_FLAGS, 44
	.set R_TASK_TR, 48
	.set R_TASK_CR0, 52
	.set R_V86_VECTOR, 56
	.set R_V86_FLAGS, 60
	.set R_V86_DS, 64
	.set R_V86_AX, 68
	.set R_GATE32, 72
	.set R_EFER_ON, 76
	.set R_VME_GP, 80
	.set R_TICKS, 84

	.text
	.code64
	.globl modes_excursion
modes_excursion:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	sidt saved_idtr
	mov %rsp, saved_rsp
	mov %cr3, %rax
	mov %rax, saved_cr3
	mov $modes_result, %edi
	push $SEL_CODE32
	push $AT(compat)
	lretq
back64:	mov saved_rsp, %rsp
	lidt saved_idtr
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

	.code32
	.globl low_begin, low_end
low_begin:
compat:	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x7000, %esp
	mov %cr0, %eax			/* paging off: long mode is left */
	and $0x7fffffff, %eax
	mov %eax, %cr0
	mov $0xc0000080, %ecx
	rdmsr
	mov %eax, R_EFER_OFF(%edi)
	and $~0x100, %eax
	wrmsr
	ljmp $SEL_CODE16, $code16 - low_begin

	.code16
code16:	mov $SEL_DATA16, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	lidtl AT(real_idtr)
	mov %cr0, %eax
	and $~1, %eax
	mov %eax, %cr0
	ljmp $LOW >> 4, $real - low_begin
real:	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x7000, %sp
	mov %cr0, %eax
	mov %eax, %es:AT(low_result) + R_CR0_REAL
	movw $int21 - low_begin, 0x21 * 4
	movw $LOW >> 4, 0x21 * 4 + 2
	movw $div0 - low_begin, 0
	movw $LOW >> 4, 2
	sti
	stc
	int $0x21
	pushf
	pop %ax
	mov %ax, AT(low_result) + R_FLAGS
	cli
	xor %cx, %cx
	div %cx
after_div:
	lcall $LOW >> 4, $far_real - low_begin
	mov %sp, AT(low_result) + R_SP
	/* the timer of the BIOS, which left the 8259 at vectors 8 and 70H: it counts at 0040:006C */
	mov $0xfe, %al
	out %al, $0x21
	mov 0x46c, %edx
	sti
	hlt
	cli
	mov 0x46c, %eax
	sub %edx, %eax
	mov %eax, AT(low_result) + R_TICKS
	mov $0xff, %al
	out %al, $0x21
	/* protected mode again, 32-bit */
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $SEL_CODE32, $AT(prot32)
int21:	pushf
	pop %ax
	mov %ax, AT(low_result) + R_INT
	iret
div0:	push %bp
	mov %sp, %bp
	mov 2(%bp), %ax			/* the fault's IP */
	sub $after_div - 2 - low_begin, %ax
	mov %ax, AT(low_result) + R_DIV
	addw $2, 2(%bp)
	pop %bp
	iret
far_real:
	movw $0x4321, AT(low_result) + R_FAR
	lret

	.code32
prot32:	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x7000, %esp
	lidt AT(idtr32)
	/* an interrupt through a 32-bit gate */
	int $0x22
	/* PAE paging */
	mov $modes_pae_pdpt, %eax
	mov %eax, %cr3
	mov %cr0, %eax
	or $0x80000000, %eax
	mov %eax, %cr0
	mov 0x40000000 + modes_probe, %eax
	mov %eax, R_PAE(%edi)
	mov %cr0, %eax
	and $0x7fffffff, %eax
	mov %eax, %cr0
	/* 32-bit paging with 4 MiB pages */
	mov %cr4, %edx
	and $~0x20, %edx
	or $0x10, %edx
	mov %edx, %cr4
	mov $modes_pd32, %eax
	mov %eax, %cr3
	mov %cr0, %eax
	or $0x80000000, %eax
	mov %eax, %cr0
	mov 0x80000000 + modes_probe, %eax
	mov %eax, R_PSE(%edi)
	/* tasks: here is A, B is called and returns by IRET */
	mov $SEL_TSS_A, %eax
	ltr %ax
	lcall $SEL_TSS_B, $0
	str %eax
	mov %eax, R_TASK_TR(%edi)
	mov %cr0, %eax
	mov %eax, R_TASK_CR0(%edi)
	clts
	/* virtual-8086 mode: segments from the frame; INT3 comes back through a gate */
	mov %esp, AT(low_esp)
	push $0x11			/* GS FS DS ES */
	push $0x22
	push $LOW >> 4
	push $0x44
	push $0			/* SS:ESP */
	push $0x6f00
	push $0x23002			/* VM, IOPL 3 */
	push $LOW >> 4
	push $v86 - low_begin
	iret
v86_back:
	mov AT(low_esp), %esp
	/* with VME: IOPL 0, IOPL 3, and IOPL 0 with a virtual interrupt pending */
	mov $1, %eax
	cpuid
	test $2, %edx
	jz home
	mov %cr4, %eax
	or $1, %eax
	mov %eax, %cr4
	movl $((LOW >> 4) << 16) + vme_handler - low_begin, 0x40 * 4
	movl $AT(vme_back), AT(bp_next)
	movl $0x20002, AT(vme_eflags)
vme_again:
	push $0x11
	push $0x22
	push $LOW >> 4
	push $0x44
	push $LOW >> 4			/* SS:ESP */
	push $0xf00
	push AT(vme_eflags)
	push $LOW >> 4
	push $vme - low_begin
	iret
vme_back:
	mov $SEL_DATA, %ecx
	mov %ecx, %ds
	mov %ecx, %es
	mov AT(low_esp), %esp
	addl $2 * VME_RUN, AT(vme_at)
	xorl $0x3000, AT(vme_eflags)
	cmpl $0x20002, AT(vme_eflags)
	jne 1f
	orl $0x100000, AT(vme_eflags)
1:	cmpl $0x123002, AT(vme_eflags)
	jne vme_again
	mov %cr4, %eax
	and $~1, %eax
	mov %eax, %cr4
home:	/* and home */
	mov %cr0, %eax
	and $0x7fffffff, %eax
	mov %eax, %cr0
	mov %cr4, %eax
	and $~0x10, %eax
	or $0x20, %eax
	mov %eax, %cr4
	mov saved_cr3, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov %cr0, %eax
	or $0x80000000, %eax
	mov %eax, %cr0
	mov $0xc0000080, %ecx
	rdmsr
	mov %eax, R_EFER_ON(%edi)
	ljmp $8, $back64

gate22:	mov (%esp), %eax
	sub $AT(prot32), %eax
	mov %eax, R_GATE32(%edi)
	iret
/* Task B: its flags have NT, its IRET goes back to A. */
	.globl task_b
task_b:	movl $0x1234, modes_result + R_TASK
	pushf
	popl modes_result + R_TASK_FLAGS
	iret
/* INT3 from virtual-8086 mode: GS FS DS ES SS ESP EFLAGS CS EIP are on the stack of ring 0. */
from_v86:
	jmp *%ss:AT(bp_next)
v86_note:
	mov $SEL_DATA, %ecx
	mov %ds, %edx
	mov %ecx, %ds
	mov %ecx, %es
	mov %edx, R_V86_DS(%edi)
	movzwl %ax, %eax
	mov %eax, R_V86_AX(%edi)
	mov 8(%esp), %eax
	mov %eax, R_V86_FLAGS(%edi)
	mov (%esp), %eax
	mov %eax, R_V86_VECTOR(%edi)
	jmp v86_back
/* #GP from virtual-8086 mode: counted; execution goes on two bytes further. */
gp_v86:	incl %ss:modes_result + R_VME_GP
	addl $2, 4(%esp)
	add $4, %esp
	iret
	.code16
	.set VME_RUN, 5
	.macro note_flags
	pushf
	pop %ax
	mov %ax, (%bx)
	add $2, %bx
	.endm
vme:	mov vme_at - low_begin, %bx
	add $vme_flags - low_begin, %bx
	note_flags
	sti
	nop
	note_flags
	int $0x40
	note_flags
	cli
	note_flags
	int $0x41
	int3
vme_handler:
	note_flags
	iret
v86:	mov v86_word - low_begin, %ax
	int3
v86_end:
v86_word: .word 0x5678
	.align 8
	.globl low_result, low_esp
low_result: .skip 128
low_esp: .long 0
	.globl vme_flags
vme_flags: .skip 2 * 3 * VME_RUN
	.align 4
vme_at:	.long 0
vme_eflags: .long 0
bp_next: .long AT(v86_note)
real_idtr: .word 0x3ff
	.long 0
idtr32:	.word 0x23 * 8 - 1
	.long modes_idt32
low_end:

	.globl modes_gate22, modes_from_v86, modes_task_b, modes_v86_ip, modes_low_result, modes_gp_v86, modes_vme_flags
	.set modes_gp_v86, AT(gp_v86)
	.set modes_vme_flags, AT(vme_flags)
	.set modes_gate22, AT(gate22)
	.set modes_from_v86, AT(from_v86)
	.set modes_task_b, AT(task_b)
	.set modes_v86_ip, v86_end - low_begin
	.set modes_low_result, AT(low_result)

	.bss
	.align 8
saved_rsp: .quad 0
saved_cr3: .quad 0
saved_idtr: .skip 16
	.section .note.GNU-stack, "", @progbits
