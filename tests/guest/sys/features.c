// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What comes with a feature is not there without it, and IA32_MISC_ENABLE takes features away. Runs on CPUs with all
 * features and with few. SDM 4 table 2-2 "IA-32 Architectural MSRs"; SDM 2A "CPUID".
 */
#include "arch/msrs.h"
#include "tests/guest/sys/expect.h"

#define WRITE_FAULTS(index, v, name) expect(try_wrmsr(index, v), VEC_GP, 0, name)

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

static bool has(u32 leaf, unsigned reg, unsigned bit)
{
	u32 r[4];

	cpuid(leaf, 0, r);
	return r[reg] >> bit & 1;
}

/* --- IA32_MISC_ENABLE --- */

static void check_bit(u64 bit, bool there, const char *name)
{
	u64 old = rdmsr(IA32_MISC_ENABLE);

	if (!there)
		tcg_differs();
	expect(try_wrmsr(IA32_MISC_ENABLE, old ^ bit), there ? NO_TRAP : VEC_GP, 0, name);
	if (!there)
		tcg_differs();
	check_eq(rdmsr(IA32_MISC_ENABLE), there ? old ^ bit : old, name);
	wrmsr(IA32_MISC_ENABLE, old);
}

static void test_bits(void)
{
	bool nx = has(0x80000001, 3, 20);

	check_bit(MISC_ENABLE_FAST_STRINGS, true, "fast strings");
	check_bit(MISC_ENABLE_THERMAL, true, "automatic thermal control");
	check_bit(MISC_ENABLE_LIMIT_CPUID, true, "limit of CPUID");
	check_bit(MISC_ENABLE_SPEEDSTEP, has(1, 2, 7), "enhanced SpeedStep");
	check_bit(MISC_ENABLE_MONITOR, has(1, 2, 3), "MONITOR");
	check_bit(MISC_ENABLE_NO_XTPR, has(1, 2, 14), "xTPR messages");
	check_bit(MISC_ENABLE_XD_DISABLE, nx, "execute-disable off");
	check_bit(BIT64(1), false, "a reserved bit of IA32_MISC_ENABLE");
	check_bit(BIT64(63), false, "another");
}

static void test_cpuid_limit(void)
{
	u64 old = rdmsr(IA32_MISC_ENABLE);
	u32 all[4], limited[4], two[4], seven[4];

	cpuid(0, 0, all);
	wrmsr(IA32_MISC_ENABLE, old | MISC_ENABLE_LIMIT_CPUID);
	cpuid(0, 0, limited);
	cpuid(2, 0, two);
	cpuid(7, 0, seven);
	wrmsr(IA32_MISC_ENABLE, old);
	tcg_differs();
	check_eq(limited[0], 2, "the highest leaf is limited to 2");
	check_eq(limited[1], all[1], "the vendor is not");
	tcg_differs();
	check(seven[0] == two[0] && seven[1] == two[1] && seven[2] == two[2] && seven[3] == two[3], "leaf 7 reads as leaf 2");
	cpuid(0, 0, limited);
	check_eq(limited[0], all[0], "the limit can be lifted");
}

static void test_execute_disable(void)
{
	u64 old = rdmsr(IA32_MISC_ENABLE), efer = rdmsr(IA32_EFER);

	if (on_tcg)
		return;
	if (!has(0x80000001, 3, 20)) {
		WRITE_FAULTS(IA32_EFER, efer | EFER_NXE, "EFER.NXE without NX");
		return;
	}
	wrmsr(IA32_EFER, efer | EFER_NXE);
	wrmsr(IA32_MISC_ENABLE, old | MISC_ENABLE_XD_DISABLE);
	check(!has(0x80000001, 3, 20), "CPUID does not have NX while it is disabled");
	check_eq(rdmsr(IA32_EFER) & EFER_NXE, 0, "EFER.NXE goes with it");
	WRITE_FAULTS(IA32_EFER, efer | EFER_NXE, "… and is reserved");
	wrmsr(IA32_MISC_ENABLE, old);
	check(has(0x80000001, 3, 20), "CPUID has it again");
	expect(try_wrmsr(IA32_EFER, efer | EFER_NXE), NO_TRAP, 0, "EFER.NXE can be set again");
	wrmsr(IA32_EFER, efer);
}

static void test_performance_state(void)
{
	if (!has(1, 2, 7)) {
		tcg_differs();
		expect(try_rdmsr(IA32_PERF_CTL), VEC_GP, 0, "no IA32_PERF_CTL without SpeedStep");
		return;
	}
	check((rdmsr(IA32_PERF_STATUS) & 0xffff) != 0, "a performance state");
	WRITE_FAULTS(IA32_PERF_STATUS, 0, "IA32_PERF_STATUS is read-only");
	wrmsr(IA32_PERF_CTL, 0x1200);
	check_eq(rdmsr(IA32_PERF_CTL), 0x1200, "IA32_PERF_CTL keeps the target");
	WRITE_FAULTS(IA32_PERF_CTL, 0x10000, "a reserved bit of IA32_PERF_CTL");
}

/* --- registers --- */

static void test_x2apic(void)
{
	u64 base = rdmsr(IA32_APIC_BASE);

	if (has(1, 2, 21)) {
		wrmsr(IA32_APIC_BASE, base | APIC_BASE_X2APIC);
		check_eq(rdmsr(IA32_APIC_BASE), base | APIC_BASE_X2APIC, "x2APIC mode");
		wrmsr(IA32_APIC_BASE, base & ~(u64)APIC_BASE_ENABLE);
		wrmsr(IA32_APIC_BASE, base);
		return;
	}
	tcg_differs();
	WRITE_FAULTS(IA32_APIC_BASE, base | APIC_BASE_X2APIC, "no x2APIC mode without x2APIC");
}

static void present(u32 index, bool there, const char *name)
{
	if (!there)
		tcg_differs();
	expect(try_rdmsr(index), there ? NO_TRAP : VEC_GP, 0, name);
}

static void command(u32 index, bool there, const char *name)
{
	tcg_differs();
	expect(try_rdmsr(index), VEC_GP, 0, name);
	tcg_differs();
	expect(try_wrmsr(index, 1), there ? NO_TRAP : VEC_GP, 0, name);
}

static void test_registers(void)
{
	bool any = has(7, 3, 26) || has(7, 3, 27) || has(7, 3, 31);

	test_x2apic();
	present(IA32_TSC_DEADLINE, has(1, 2, 24), "IA32_TSC_DEADLINE");
	present(IA32_TSC_ADJUST, has(7, 1, 1), "IA32_TSC_ADJUST");
	present(IA32_TSC_AUX, has(0x80000001, 3, 27), "IA32_TSC_AUX");
	present(IA32_ARCH_CAPABILITIES, has(7, 3, 29), "IA32_ARCH_CAPABILITIES");
	command(IA32_PRED_CMD, has(7, 3, 26), "IA32_PRED_CMD");
	command(IA32_FLUSH_CMD, has(7, 3, 28), "IA32_FLUSH_CMD");
	present(IA32_SPEC_CTRL, any, "IA32_SPEC_CTRL");
	for (unsigned i = 0; i < 3 && any && !on_tcg; i++)
		expect(try_wrmsr(IA32_SPEC_CTRL, 1 << i), has(7, 3, (const u8[]){ 26, 27, 31 }[i]) ? NO_TRAP : VEC_GP, 0, "a bit of IA32_SPEC_CTRL");
	if (any)
		wrmsr(IA32_SPEC_CTRL, 0);
}

void guest_main(void)
{
	test_bits();
	test_cpuid_limit();
	test_execute_disable();
	test_performance_state();
	test_registers();
}
