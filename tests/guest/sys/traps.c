// SPDX-License-Identifier: GPL-2.0-or-later
/* Exceptions and their error codes, stacks and flags. SDM 3A "Exception and Interrupt Reference" (6.15). */
#include "tests/guest/sys/expect.h"

static u8 own_stack[4096] __attribute__((aligned(16)));

static void test_simple(void)
{
	try_rax = 5, try_rdx = 0;
	expect(TRY("xor %%ecx, %%ecx; div %%ecx"), VEC_DE, 0, "#DE by division by 0");
	try_rax = 0, try_rdx = 5, try_rcx = 2;
	expect(TRY("div %%ecx"), VEC_DE, 0, "#DE by overflow");
	expect(TRY("ud2"), VEC_UD, 0, "UD2");
	expect(TRY("int3"), VEC_BP, 0, "INT3");
	tcg_differs();
	expect(TRY(".byte 0xf1"), VEC_DB, 0, "INT1");
	expect(TRY("int $0x80"), 0x80, 0, "INT 80H");
	expect(TRY("lock; .byte 0x01, 0xc0"), VEC_UD, 0, "LOCK on a register");
	expect(TRY("nop"), NO_TRAP, 0, "nothing");
}

static void test_return_address(void)
{
	u64 here;

	TRY("lea 1f(%%rip), %%rax; 1: ud2");
	here = try_rax;
	check_eq(trap.f.rip, here, "a fault returns to the instruction");
	TRY("lea 1f(%%rip), %%rax; int3; 1:");
	check_eq(trap.f.rip, try_rax, "INT3 returns after itself");
	TRY("lea 1f(%%rip), %%rax; int $0x30; 1:");
	check_eq(trap.f.rip, try_rax, "INT n returns after itself");
	check_eq(trap.f.cs, SEL_CODE64, "CS in the frame");
	check_eq(trap.f.ss, SEL_DATA, "SS in the frame");
	check_eq(trap.handler_rsp & 15, 0, "the frame is aligned: 22 words below a multiple of 16");
}

static void test_flags(void)
{
	TRY("stc; std; push $0x47; popfq; ud2");
	tcg_differs();
	check_eq(trap.f.rflags, EFLAGS_RF | 0x47, "a fault pushes RF = 1");
	TRY("push $0x47; popfq; int $0x30");
	check_eq(trap.f.rflags, 0x47, "INT n pushes the flags");
	gate_set(0x31, ((u64)idt[0x30].offset_mid << 16) + idt[0x30].offset_low, SYS_TYPE_TRAP, 0, 0);
	TRY("sti; int $0x30");
	check_eq(trap.f.rflags & EFLAGS_IF, EFLAGS_IF, "IF is pushed");
	trap_gate_default(0x31);
}

static void test_gp(void)
{
	try_rax = 0x8000000000000000ull;
	expect(TRY("mov (%%rax), %%rcx"), VEC_GP, 0, "#GP by a non-canonical address");
	tss.ist[0] = (u64)(own_stack + sizeof(own_stack));
	idt[VEC_SS].ist = idt[VEC_GP].ist = 1;
	try_rax = 0x8000000000000000ull;
	tcg_differs();
	expect(TRY("mov %%rax, %%rsp; push %%rcx"), VEC_SS, 0, "#SS by a non-canonical stack");
	trap_gate_default(VEC_SS);
	trap_gate_default(VEC_GP);
	try_rax = 0x7fffffffffffull;
	tcg_differs();
	expect(TRY("mov %%rax, %%rbp; mov 1(%%rbp), %%rcx"), VEC_SS, 0, "#SS by a non-canonical address with RBP");
	try_rax = 0x8000000000000000ull;
	expect(TRY("jmp *%%rax"), VEC_GP, 0, "#GP by a non-canonical jump");
	try_rax = 0x58;
	expect(TRY("mov %%eax, %%ds"), VEC_GP, 0x58, "#GP(selector) by an empty descriptor");
	try_rax = 0x1000;
	expect(TRY("mov %%eax, %%ds"), VEC_GP, 0x1000, "#GP(selector) outside the GDT");
	try_rax = 0x1003;
	expect(TRY("mov %%eax, %%es"), VEC_GP, 0x1000, "the error code has no RPL");
	try_rax = 0x1004;
	expect(TRY("mov %%eax, %%fs"), VEC_GP, 0x1004, "#GP(selector) without an LDT");
	gdt_set(SEL_FREE, 0, 0xfffff, 0x13, 0xc);
	try_rax = SEL_FREE;
	expect(TRY("mov %%eax, %%gs"), VEC_NP, SEL_FREE, "#NP(selector) by an absent segment");
	expect(TRY("mov %%eax, %%ss"), VEC_SS, SEL_FREE, "#SS(selector) by an absent stack segment");
	try_rax = 0x13;
	expect(TRY("mov %%eax, %%ss"), VEC_GP, 0x10, "#GP by SS with RPL 3 at CPL 0");
	try_rax = SEL_CODE64;
	expect(TRY("mov %%eax, %%ss"), VEC_GP, SEL_CODE64, "#GP by SS with a code segment");
	expect(TRY("mov %%eax, %%ds; mov $0x10, %%eax; mov %%eax, %%ds"), NO_TRAP, 0,
	       "DS takes a readable code segment");
}

static void test_idt(void)
{
	idt[0x40].type &= 0x7f;
	tcg_differs();
	expect(TRY("int $0x40"), VEC_NP, 0x40 * 8 + 2, "#NP by an absent gate");
	gate_set(0x40, 0, 5, 0, 0);
	tcg_differs();
	expect(TRY("int $0x40"), VEC_GP, 0x40 * 8 + 2, "#GP by a gate of another type");
	trap_gate_default(0x40);
	idt[0x40].selector = 0;
	expect(TRY("int $0x40"), VEC_GP, 0, "#GP by a gate with a null selector");
	idt[0x40].selector = SEL_CODE32;
	expect(TRY("int $0x40"), VEC_GP, SEL_CODE32, "#GP by a gate to 32-bit code");
	idt[0x40].selector = SEL_DATA;
	expect(TRY("int $0x40"), VEC_GP, SEL_DATA, "#GP by a gate to a data segment");
	trap_gate_default(0x40);
	idt[0x40].offset_high = 0x80000000;
	expect(TRY("int $0x40"), VEC_GP, 0, "#GP by a gate to a non-canonical address");
	trap_gate_default(0x40);
	idt[VEC_UD].selector = SEL_DATA;
	tcg_differs();
	expect(TRY("ud2"), VEC_GP, SEL_DATA | ERROR_EXT, "EXT is set for a fault during an exception");
	trap_gate_default(VEC_UD);
	idt[VEC_UD].type &= 0x7f;
	tcg_differs();
	expect(TRY("ud2"), VEC_NP, VEC_UD * 8 + 3, "EXT and IDT");
	trap_gate_default(VEC_UD);
	idt[0x41].type &= 0x7f;
	tcg_differs();
	expect(TRY("int $0x41"), VEC_NP, 0x41 * 8 + 2, "no EXT for INT n");
	trap_gate_default(0x41);
}

static void test_double_fault(void)
{
	idt[VEC_GP].type &= 0x7f;
	try_rax = 0x1000;
	expect(TRY("mov %%eax, %%ds"), VEC_DF, 0, "#NP while #GP is delivered is #DF");
	trap_gate_default(VEC_GP);
	idt[VEC_PF].type &= 0x7f;
	try_rax = 0x4000000000ull * 100;
	expect(TRY("mov (%%rax), %%eax"), VEC_DF, 0, "#NP while #PF is delivered is #DF");
	trap_gate_default(VEC_PF);
	idt[VEC_BP].type &= 0x7f;
	tcg_differs();
	expect(TRY("int3"), VEC_NP, VEC_BP * 8 + 2, "#NP while #BP is delivered is #NP");
	trap_gate_default(VEC_BP);
	idt[VEC_DE].type &= 0x7f;
	expect(TRY("xor %%ecx, %%ecx; div %%ecx"), VEC_DF, 0, "#NP while #DE is delivered is #DF");
	trap_gate_default(VEC_DE);
}

static void test_ist(void)
{
	u64 top = (u64)(own_stack + sizeof(own_stack));

	tss.ist[2] = top;
	idt[VEC_UD].ist = 3;
	TRY("ud2");
	check_eq(trap.handler_rsp + sizeof(struct frame), top, "IST 3 is the stack");
	tss.ist[2] = top - 5;
	TRY("ud2");
	check_eq(trap.handler_rsp + sizeof(struct frame), top - 16, "an IST stack is aligned down to 16");
	tss.ist[2] = 0x8000000000000000ull;
	tcg_differs();
	expect(TRY("ud2"), VEC_SS, 1, "#SS(EXT) by a non-canonical IST");
	trap_gate_default(VEC_UD);
	tss.ist[0] = top;
	idt[VEC_DF].ist = 1;
	try_rax = 0x8000000000000000ull;
	expect(TRY("mov %%rax, %%rsp; push %%rcx"), VEC_DF, 0, "#SS with a bad stack is #DF, on its IST");
	check_eq(trap.f.rsp, 0x8000000000000000ull, "RSP in the frame of #DF");
	trap_gate_default(VEC_DF);
}

static void test_page_fault(void)
{
	u64 bad = 0x123456789000ull;

	try_rax = bad + 0x123;
	expect(TRY("mov (%%rax), %%eax"), VEC_PF, 0, "#PF by a read");
	check_eq(trap.cr2, bad + 0x123, "CR2");
	try_rax = bad;
	expect(TRY("mov %%eax, (%%rax)"), VEC_PF, 2, "#PF by a write");
	try_rax = bad;
	expect(TRY("jmp *%%rax"), VEC_PF, 0x10, "#PF by a fetch");
	check_eq(trap.f.rip, bad, "RIP of a fetch that faults");
}

static void test_single_step(void)
{
	TRY("pushfq; orl $0x100, (%%rsp); popfq; lea 1f(%%rip), %%rax; 1: nop; nop");
	check_eq(trap.f.vector, VEC_DB, "TF traps");
	check_eq(trap.f.rip, try_rax, "after the instruction that follows POPF");
	check(trap.dr6 & DR6_BS, "DR6.BS");
	check_eq(trap.f.rflags & EFLAGS_RF, 0, "a trap pushes RF = 0");
	TRY("mov %%ss, %%ecx; pushfq; orl $0x100, (%%rsp); popfq; mov %%ecx, %%ss; lea 1f(%%rip), %%rax; 1: nop; nop");
	check_eq(trap.f.rip, try_rax, "MOV SS holds the trap off");
}

static void test_hook_resumes(void)
{
	u64 v = 0;

	__asm__ volatile("mov $1, %0; nop; add $1, %0" : "+r"(v));
	check_eq(v, 2, "arithmetic goes on");
}

static void test_alignment(void)
{
	static u64 word[2];

	write_cr0(read_cr0() | CR0_AM);
	try_rax = (u64)word + 1;
	expect(TRY("pushfq; orl $0x40000, (%%rsp); popfq; mov (%%rax), %%ecx"), NO_TRAP, 0, "no #AC at CPL 0");
	TRY("push $2; popfq");
	write_cr0(read_cr0() & ~CR0_AM);
}

void guest_main(void)
{
	test_simple();
	test_return_address();
	test_flags();
	test_gp();
	test_idt();
	test_double_fault();
	test_ist();
	test_page_fault();
	test_single_step();
	test_alignment();
	test_hook_resumes();
}
