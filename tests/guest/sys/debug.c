// SPDX-License-Identifier: GPL-2.0-or-later
/* Breakpoints of the debug registers, single steps and what holds them off. SDM 3B chapter 18. */
#include "arch/msrs.h"
#include "tests/guest/sys/expect.h"

static u64 word[2] __attribute__((aligned(16)));
static u8 stack[1024] __attribute__((aligned(16)));

static void set_breakpoint(unsigned n, u64 address, unsigned rw, unsigned len)
{
	u64 dr7 = DR7_INIT | DR7_G(n) | (u64)(rw | len << 2) << (16 + 4 * n), zero = 0;

	__asm__ volatile("mov %0, %%dr6" : : "r"(zero));
	if (n == 0)
		__asm__ volatile("mov %0, %%dr0" : : "r"(address));
	else
		__asm__ volatile("mov %0, %%dr1" : : "r"(address));
	__asm__ volatile("mov %0, %%dr7" : : "r"(dr7));
}

static void clear_breakpoints(void)
{
	u64 off = DR7_INIT;

	__asm__ volatile("mov %0, %%dr7" : : "r"(off));
}

static void test_execute(void)
{
	extern u8 target[];
	u64 seen;

	set_breakpoint(0, (u64)target, 0, 0);
	TRY("nop; target: nop; mov $7, %%eax");
	clear_breakpoints();
	seen = trap.dr6;
	check_eq(trap.f.vector, VEC_DB, "an instruction breakpoint");
	check_eq(trap.f.rip, (u64)target, "is a fault");
	check_eq(seen & DR6_B, 1, "DR6.B0");
	check_eq(trap.f.rflags & EFLAGS_RF, 0, "pushes RF = 0");
}

/* The handler sets RF, so that the instruction runs. */
static unsigned hits;
static bool set_rf(struct frame *f)
{
	hits++;
	f->rflags |= EFLAGS_RF;
	return f->vector == VEC_DB;
}

static void test_rf(void)
{
	extern u8 loop_body[];

	trap_hook = set_rf;
	set_breakpoint(1, (u64)loop_body, 0, 0);
	__asm__ volatile("mov $3, %%ecx; loop_body: dec %%ecx; jnz loop_body" : : : "rcx");
	clear_breakpoints();
	check_eq(hits, 3, "RF lets one instruction through, three times");
	hits = 0;
	trap_hook = NULL;
}

static u64 touch_read(unsigned rw, unsigned len, u64 at)
{
	u64 v;

	set_breakpoint(0, (u64)word, rw, len);
	try_rcx = at;
	v = TRY("mov (%%rcx), %%al; lea 1f(%%rip), %%rdx; 1: nop");
	clear_breakpoints();
	return v;
}

static u64 touch_write(unsigned rw, unsigned len, u64 at)
{
	u64 v;

	set_breakpoint(0, (u64)word, rw, len);
	try_rcx = at;
	v = TRY("lea 1f(%%rip), %%rdx; movb $1, (%%rcx); 1: nop; nop");
	clear_breakpoints();
	return v;
}

static void test_data(void)
{
	expect(touch_write(1, 3, (u64)word + 3), VEC_DB, 0, "a write to the last of 4 bytes");
	check_eq(trap.dr6 & DR6_B, 1, "DR6.B0");
	check_eq(trap.f.rip, try_rdx, "is a trap");
	check_eq(word[0] >> 24, 1, "the write is done");
	expect(touch_write(1, 3, (u64)word + 4), NO_TRAP, 0, "a write behind the 4 bytes");
	expect(touch_write(1, 2, (u64)word + 7), VEC_DB, 0, "a write to the last of 8 bytes");
	expect(touch_read(1, 3, (u64)word), NO_TRAP, 0, "a read with a breakpoint on writes");
	expect(touch_read(3, 3, (u64)word), VEC_DB, 0, "a read with a breakpoint on both");
	set_breakpoint(0, (u64)stack + sizeof(stack) - 8, 1, 2);
	try_rcx = (u64)stack + sizeof(stack);
	TRY("mov %%rcx, %%rsp; push %%rax; nop");
	clear_breakpoints();
	check_eq(trap.f.vector, VEC_DB, "a PUSH");
}

static void test_movss(void)
{
	word[0] = SEL_DATA;
	set_breakpoint(0, (u64)word, 3, 1);
	try_rcx = (u64)word;
	TRY("lea 1f(%%rip), %%rdx; mov (%%rcx), %%ss; nop; 1: nop; nop");
	clear_breakpoints();
	check_eq(trap.f.vector, VEC_DB, "a breakpoint on the operand of MOV SS");
	tcg_differs();
	check_eq(trap.f.rip, try_rdx, "is held off for one instruction");
}

static void test_io(void)
{
	write_cr4(read_cr4() | CR4_DE);
	set_breakpoint(0, 0x80, 2, 0);
	expect(TRY("outb %%al, $0x80; nop"), VEC_DB, 0, "an I/O breakpoint");
	clear_breakpoints();
	write_cr4(read_cr4() & ~CR4_DE);
}

static void test_step_hlt(void)
{
	TRY("pushfq; orl $0x100, (%%rsp); popfq; lea 1f(%%rip), %%rax; 1: nop");
	check_eq(trap.f.vector, VEC_DB, "single step");
	check(trap.dr6 & DR6_BS, "DR6.BS");
}

/* Which bits of IA32_DEBUGCTL there are is the model's matter. Leaves the register 0. */
static bool has_debugctl(u64 bits, const char *name)
{
	bool has;

	try_rax = bits;
	try_rdx = 0;
	try_rcx = IA32_DEBUGCTL;
	has = TRY("wrmsr; xor %%eax, %%eax; wrmsr") == NO_TRAP;
	if (!has)
		put("skip %s: not there\n", name);
	return has;
}

static void test_step_branches(void)
{
	if (!has_debugctl(DEBUGCTL_BTF, "single step on branches"))
		return;
	wrmsr(IA32_DEBUGCTL, DEBUGCTL_BTF);
	TRY("lea 1f(%%rip), %%rdx; pushfq; orl $0x100, (%%rsp); popfq; nop; test %%eax, %%eax; jmp 1f; nop; 1: nop; nop");
	check_eq(trap.f.vector, VEC_DB, "single step on branches");
	tcg_differs();
	check_eq(trap.f.rip, try_rdx, "is after the branch");
	check_eq(rdmsr(IA32_DEBUGCTL), 0, "#DB clears BTF");
}

static bool recorded(u64 entry, u64 from, u64 to)
{
	entry %= LASTBRANCH_DEPTH;
	return rdmsr((u32)(MSR_LASTBRANCH_0_FROM_IP + entry)) == from && (!to || rdmsr((u32)(MSR_LASTBRANCH_0_TO_IP + entry)) == to);
}

/* Two jumps and the exception that ends the attempt, somewhere below the top of the stack: its handler branches too. */
static void test_branch_records(void)
{
	extern u8 lbr_first[], lbr_second[], lbr_third[];
	u64 first = (u64)lbr_first, second = (u64)lbr_second, third = (u64)lbr_third, top;
	bool found = false;

	if (!has_debugctl(DEBUGCTL_LBR, "branch records"))
		return;
	wrmsr(IA32_DEBUGCTL, DEBUGCTL_LBR);
	TRY("lbr_first: jmp lbr_second; nop; lbr_second: nop; jmp lbr_third; nop; lbr_third: ud2");
	wrmsr(IA32_DEBUGCTL, 0);
	top = rdmsr(MSR_LASTBRANCH_TOS);
	for (u64 i = top + 2; i < top + 2 + LASTBRANCH_DEPTH; i++)
		found |= recorded(i, third, 0) && recorded(i - 1, second + 1, third) && recorded(i - 2, first, second);
	tcg_differs();
	check(found, "branches and an exception are recorded");
	TRY("jmp 1f; nop; 1: ud2");
	check_eq(rdmsr(MSR_LASTBRANCH_TOS), top, "nothing is recorded with LBR = 0");
}

void guest_main(void)
{
	test_execute();
	test_rf();
	test_data();
	test_movss();
	test_io();
	test_step_hlt();
	test_step_branches();
	test_branch_records();
}
