// SPDX-License-Identifier: GPL-2.0-or-later
/* Control and debug registers, MSRs, CPUID, and instructions about time and interrupts. */
#include "arch/msrs.h"
#include "arch/vmx.h"
#include "tests/guest/sys/expect.h"

static u64 set_cr0(u64 v)
{
	try_rax = v;
	return TRY("mov %%rax, %%cr0");
}

static u64 set_cr3(u64 v)
{
	try_rax = v;
	return TRY("mov %%rax, %%cr3");
}

static u64 set_cr4(u64 v)
{
	try_rax = v;
	return TRY("mov %%rax, %%cr4");
}

static void test_cr(void)
{
	u64 cr0 = read_cr0(), cr3 = read_cr3(), cr4 = read_cr4();

	tcg_differs();
	expect(set_cr0(cr0 | 1ull << 32), VEC_GP, 0, "CR0 bit 32");
	tcg_differs();
	expect(set_cr0((cr0 | CR0_NW) & ~CR0_CD), VEC_GP, 0, "CR0.NW without CD");
	if (!on_tcg)
		expect(set_cr0(cr0 & ~CR0_PE), VEC_GP, 0, "CR0.PE = 0 with PG = 1");
	expect(set_cr0(cr0 & ~CR0_ET), NO_TRAP, 0, "CR0.ET = 0");
	check_eq(read_cr0(), cr0 | CR0_ET, "CR0.ET stays 1");
	if (!on_tcg)
		expect(set_cr3(cr3 | 1ull << 60), VEC_GP, 0, "CR3 above MAXPHYADDR");
	if (!on_tcg)
		expect(set_cr4(cr4 & ~CR4_PAE), VEC_GP, 0, "CR4.PAE = 0 in long mode");
	if (!on_tcg)
		expect(set_cr4(cr4 | 1ull << 31), VEC_GP, 0, "a reserved bit of CR4");
	try_rax = 16;
	tcg_differs();
	expect(TRY("mov %%rax, %%cr8"), VEC_GP, 0, "CR8 = 16");
	try_rax = 5;
	expect(TRY("mov %%rax, %%cr8; mov %%cr8, %%rcx; xor %%eax, %%eax; mov %%rax, %%cr8"), NO_TRAP, 0, "CR8 = 5");
	check_eq(try_rcx, 5, "CR8 reads back");
	expect(TRY(".byte 0x0f, 0x22, 0xc8"), VEC_UD, 0, "MOV to CR1");
	TRY("smsw %%eax; clts; lmsw %%ax");
	check_eq(read_cr0(), cr0, "LMSW of SMSW");
	TRY("smsw %%eax; and $0xfffe, %%eax; lmsw %%ax");
	check_eq(read_cr0() & CR0_PE, CR0_PE, "LMSW does not clear PE");
	write_cr0(cr0 | CR0_TS);
	TRY("clts");
	check_eq(read_cr0() & CR0_TS, 0, "CLTS");
}

static void test_dr(void)
{
	try_rax = 0x123456789a;
	expect(TRY("mov %%rax, %%dr0; mov %%dr0, %%rcx"), NO_TRAP, 0, "DR0");
	check_eq(try_rcx, 0x123456789a, "DR0 reads back");
	TRY("mov %%dr7, %%rax");
	check_eq(try_rax, DR7_INIT, "DR7 after reset");
	try_rax = 1ull << 32;
	expect(TRY("mov %%rax, %%dr7"), VEC_GP, 0, "DR7 bit 32");
	expect(TRY("mov %%rax, %%dr6"), VEC_GP, 0, "DR6 bit 32");
	try_rax = 0;
	TRY("mov %%rax, %%dr6; mov %%dr6, %%rcx");
	check_eq(try_rcx, DR6_INIT, "DR6 keeps its ones");
	write_cr4(read_cr4() | CR4_DE);
	expect(TRY("mov %%dr4, %%rax"), VEC_UD, 0, "DR4 with CR4.DE");
	write_cr4(read_cr4() & ~CR4_DE);
	expect(TRY("mov %%dr4, %%rax"), NO_TRAP, 0, "DR4 without");
	check_eq(try_rax, DR6_INIT, "is DR6");
	if (on_tcg)
		return;
	try_rax = DR7_INIT | DR7_GD;
	TRY("mov %%rax, %%dr7; mov %%dr6, %%rcx");
	check_eq(trap.f.vector, VEC_DB, "DR7.GD");
	check(trap.dr6 & DR6_BD, "DR6.BD");
	TRY("mov %%dr7, %%rax");
	check_eq(try_rax & DR7_GD, 0, "GD is clear in the handler");
}

static u64 try_rdmsr(u32 index)
{
	try_rcx = index;
	return TRY("rdmsr; shl $32, %%rdx; or %%rdx, %%rax");
}

static u64 try_wrmsr(u32 index, u64 v)
{
	try_rcx = index;
	try_rax = v;
	try_rdx = v >> 32;
	return TRY("wrmsr");
}

static void test_msr(void)
{
	u64 efer = rdmsr(IA32_EFER), pat = rdmsr(IA32_PAT);

	tcg_differs();
	expect(try_rdmsr(0x12345), VEC_GP, 0, "RDMSR of nothing");
	tcg_differs();
	expect(try_wrmsr(0x12345, 0), VEC_GP, 0, "WRMSR of nothing");
	tcg_differs();
	expect(try_wrmsr(IA32_DEBUGCTL, BIT64(6)), VEC_GP, 0, "a bit of IA32_DEBUGCTL that is not there");
	tcg_differs();
	expect(try_wrmsr(IA32_EFER, efer | 2), VEC_GP, 0, "a reserved bit of EFER");
	if (!on_tcg)
		expect(try_wrmsr(IA32_EFER, efer & ~EFER_LME), VEC_GP, 0, "EFER.LME = 0 with paging");
	expect(try_wrmsr(IA32_EFER, efer & ~EFER_LMA), NO_TRAP, 0, "EFER.LMA = 0");
	check_eq(rdmsr(IA32_EFER), efer, "… changes nothing");
	tcg_differs();
	expect(try_wrmsr(IA32_PAT, 0x0202020202020202), VEC_GP, 0, "a PAT type that does not exist");
	expect(try_wrmsr(IA32_PAT, 0x0007010600070106), NO_TRAP, 0, "PAT");
	wrmsr(IA32_PAT, pat);
	tcg_differs();
	expect(try_wrmsr(IA32_LSTAR, 0x8000000000000000), VEC_GP, 0, "a non-canonical LSTAR");
	tcg_differs();
	expect(try_wrmsr(IA32_SYSENTER_EIP, 0x8000000000000000), VEC_GP, 0, "a non-canonical SYSENTER_EIP");
	tcg_differs();
	expect(try_wrmsr(IA32_MTRRCAP, 0), VEC_GP, 0, "MTRRCAP is read-only");
	tcg_differs();
	expect(try_wrmsr(IA32_MTRR_PHYSBASE0, 2), VEC_GP, 0, "an MTRR type that does not exist");
	if (need_feature(1, 0, 2, 5, "VMX")) {
		check_eq(rdmsr(IA32_FEATURE_CONTROL) & 7, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX,
			 "FEATURE_CONTROL is locked with VMX");
		expect(try_wrmsr(IA32_FEATURE_CONTROL, 0), VEC_GP, 0, "… and cannot be written");
	}
}

static void test_tsc(void)
{
	u64 a = rdtsc(), b = rdtsc();

	check(b > a, "the TSC counts");
	wrmsr(IA32_TIME_STAMP_COUNTER, 0x123456789000);
	a = rdtsc();
	tcg_differs();
	check(a >= 0x123456789000 && a < 0x123466789000, "the TSC can be written");
	if (need_feature(0x80000001, 0, 3, 27, "RDTSCP")) {
		wrmsr(IA32_TSC_AUX, 0x77);
		TRY("rdtscp");
		check_eq(try_rcx, 0x77, "RDTSCP");
	}
	tcg_differs();
	expect(TRY("xor %%ecx, %%ecx; rdpmc"), VEC_GP, 0, "RDPMC without counters");
	if (need_feature(7, 0, 1, 1, "TSC_ADJUST")) {
		u64 adj = rdmsr(IA32_TSC_ADJUST);

		wrmsr(IA32_TSC_ADJUST, adj + 0x1000000000);
		check(rdtsc() >= a + 0x1000000000, "TSC_ADJUST moves the TSC");
	}
}

static void test_cpuid(void)
{
	u32 r[4], max[4], out[4];

	cpuid(0, 0, max);
	check(max[0] >= 0xb, "highest basic leaf %x", max[0]);
	check(max[1] == 0x756e6547 && max[3] == 0x49656e69 && max[2] == 0x6c65746e, "GenuineIntel");
	cpuid(max[0], 0, r);
	cpuid(0x3fffffff, 0, out);
	tcg_differs();
	check(r[0] == out[0] && r[1] == out[1] && r[3] == out[3], "a leaf out of range reads as the highest");
	cpuid(1, 0, r);
	check(r[3] & 1 << 6 && r[3] & 1 << 9 && r[3] & 1 << 25, "PAE, APIC, SSE");
	TRY("mov $0xffffffff00000001, %%rax; cpuid; shr $32, %%rax; shr $32, %%rdx");
	check(try_rax == 0 && try_rdx == 0, "CPUID clears the upper halves");
	cpuid(0x80000008, 0, r);
	check((r[0] & 0xff) >= 36 && (r[0] >> 8 & 0xff) >= 48, "address sizes");
}

static void test_absent(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	if (!(r[2] & 1 << 26))
		expect(TRY("xor %%ecx, %%ecx; xgetbv"), VEC_UD, 0, "XGETBV without XSAVE");
	if (!(r[2] & 1 << 28))
		expect(TRY("vpxor %%xmm0, %%xmm0, %%xmm0"), VEC_UD, 0, "AVX without AVX");
	if (!(r[2] & 1 << 3))
		expect(TRY("xor %%ecx, %%ecx; monitor"), VEC_UD, 0, "MONITOR without MONITOR");
	if (!(r[2] & 1 << 6))
		expect(TRY("xor %%eax, %%eax; getsec"), VEC_UD, 0, "GETSEC without SMX");
	expect(TRY("rsm"), VEC_UD, 0, "RSM outside SMM");
	if (need_feature(1, 0, 2, 5, "VMX")) {
		expect(TRY("vmcall"), VEC_UD, 0, "VMCALL outside VMX operation");
		expect(TRY("vmxoff"), VEC_UD, 0, "VMXOFF outside VMX operation");
	}
}

static volatile unsigned interrupts;
static bool count_interrupt(struct frame *f)
{
	interrupts++;
	trap.f.rip = f->rip;
	outb(0x20, 0x20);
	return true;
}

/* The 8254's channel 0 through the 8259, as after reset of a PC: one shot. */
static void test_interrupt(void)
{
	outb(0x20, 0x11), outb(0x21, 0x20), outb(0x21, 4), outb(0x21, 1);
	outb(0xa0, 0x11), outb(0xa1, 0x28), outb(0xa1, 2), outb(0xa1, 1);
	outb(0x21, 0xfe), outb(0xa1, 0xff);
	outb(0x43, 0x30), outb(0x40, 0x10), outb(0x40, 0);
	trap_hook = count_interrupt;
	__asm__ volatile("sti; hlt; cli" : : : "memory");
	check_eq(interrupts, 1, "HLT ends by an interrupt");
	interrupts = 0;
	outb(0x43, 0x30), outb(0x40, 0x10), outb(0x40, 0);
	for (unsigned i = 0; i < 100000 && !(outb(0x20, 0x0a), inb(0x20) & 1); i++)
		;
	u64 here, after;
	__asm__ volatile("lea 1f(%%rip), %0; lea 2f(%%rip), %1; sti; 1: nop; 2: nop; cli" : "=&r"(here),
			 "=&r"(after) : : "memory");
	check_eq(interrupts, 1, "STI lets a pending interrupt in");
	check_eq(trap.f.rip, after, "… after the next instruction");
	interrupts = 0;
	outb(0x43, 0x30), outb(0x40, 0x10), outb(0x40, 0);
	for (unsigned i = 0; i < 100000 && !(outb(0x20, 0x0a), inb(0x20) & 1); i++)
		;
	__asm__ volatile("mov %%ss, %%ecx; sti; cli; pushfq; orl $0x200, (%%rsp); popfq; 1: nop; cli; lea 1b(%%rip), %0"
			 : "=&r"(here) : : "memory", "rcx");
	check_eq(interrupts, 1, "STI and CLI let none in, POPF does at once");
	check_eq(trap.f.rip, here, "… before the next instruction");
	trap_hook = NULL;
}

void guest_main(void)
{
	test_cr();
	test_dr();
	test_msr();
	test_tsc();
	test_cpuid();
	test_absent();
	test_interrupt();
}
