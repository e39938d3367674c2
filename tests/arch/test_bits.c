/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second list of single bits and numbers: names as arch/ has them, values typed again as the manual draws them
 * (hexadecimal words where arch/ counts bits). SDM 3A, 3C, 3D, 4 as cited in arch/.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arch/apic.h"
#include "arch/cpuid.h"
#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/vmx.h"
#include "arch/x86.h"

struct value {
	const char *name;
	uint64_t is, typed;
};

#define V(name, typed) { #name, (uint64_t)(name), typed }

static const struct value x86_values[] = {
	V(CR0_PE, 0x1), V(CR0_MP, 0x2), V(CR0_EM, 0x4), V(CR0_TS, 0x8), V(CR0_ET, 0x10), V(CR0_NE, 0x20), V(CR0_WP, 0x10000),
	V(CR0_AM, 0x40000), V(CR0_NW, 0x20000000), V(CR0_CD, 0x40000000), V(CR0_PG, 0x80000000),
	V(CR4_VME, 0x1), V(CR4_PVI, 0x2), V(CR4_TSD, 0x4), V(CR4_DE, 0x8), V(CR4_PSE, 0x10), V(CR4_PAE, 0x20), V(CR4_MCE, 0x40),
	V(CR4_PGE, 0x80), V(CR4_PCE, 0x100), V(CR4_OSFXSR, 0x200), V(CR4_OSXMMEXCPT, 0x400), V(CR4_UMIP, 0x800),
	V(CR4_LA57, 0x1000), V(CR4_VMXE, 0x2000), V(CR4_SMXE, 0x4000), V(CR4_FSGSBASE, 0x10000), V(CR4_PCIDE, 0x20000),
	V(CR4_OSXSAVE, 0x40000), V(CR4_SMEP, 0x100000), V(CR4_SMAP, 0x200000), V(CR4_PKE, 0x400000), V(CR4_CET, 0x800000),
	V(EFER_SCE, 0x1), V(EFER_LME, 0x100), V(EFER_LMA, 0x400), V(EFER_NXE, 0x800),
	V(EFLAGS_CF, 0x1), V(EFLAGS_ONE, 0x2), V(EFLAGS_PF, 0x4), V(EFLAGS_AF, 0x10), V(EFLAGS_ZF, 0x40), V(EFLAGS_SF, 0x80),
	V(EFLAGS_TF, 0x100), V(EFLAGS_IF, 0x200), V(EFLAGS_DF, 0x400), V(EFLAGS_OF, 0x800), V(EFLAGS_IOPL, 0x3000),
	V(EFLAGS_NT, 0x4000), V(EFLAGS_RF, 0x10000), V(EFLAGS_VM, 0x20000), V(EFLAGS_AC, 0x40000), V(EFLAGS_VIF, 0x80000),
	V(EFLAGS_VIP, 0x100000), V(EFLAGS_ID, 0x200000), V(EFLAGS_RESERVED_0, 0xffffffffffc08028),
	V(EFLAGS_ARITHMETIC, 0x8d5),
	V(DR6_INIT, 0xffff0ff0), V(DR6_WRITABLE, 0xe00f), V(DR7_INIT, 0x400), V(DR7_GD, 0x2000), V(DR7_FIXED0, 0xd000),
	V(DR7_L(3), 0x40), V(DR7_G(3), 0x80), V(DR7_RW(0x00030000, 0), 3), V(DR7_LEN(0xc0000000u, 3), 3),
	V(VEC_ERROR_CODE_MASK, 0x227d00), V(VEC_GP, 13), V(VEC_PF, 14), V(VEC_MF, 16), V(VEC_XM, 19),
	V(SELECTOR_RPL, 3), V(SELECTOR_TI, 4), V(SELECTOR_INDEX, 0xfff8),
	V(DESC_S, 0x10), V(DESC_DPL, 0x60), V(DESC_P, 0x80), V(DESC_AVL, 0x1000), V(DESC_L, 0x2000), V(DESC_DB, 0x4000),
	V(DESC_G, 0x8000), V(SYS_TYPE_LDT, 2), V(SYS_TYPE_TSS_AVAIL, 9), V(SYS_TYPE_TSS_BUSY, 0xb), V(SYS_TYPE_CALL, 0xc),
	V(SYS_TYPE_INTR, 0xe), V(SYS_TYPE_TRAP, 0xf), V(SYS_TYPE_TASK_GATE, 5), V(TSS64_RSP0, 4), V(TSS64_IST1, 0x24),
	V(TSS64_IOPB, 0x66), V(TSS64_SIZE, 0x68),
};

static const struct value paging_values[] = {
	V(PTE_P, 0x1), V(PTE_RW, 0x2), V(PTE_US, 0x4), V(PTE_PWT, 0x8), V(PTE_PCD, 0x10), V(PTE_A, 0x20), V(PTE_D, 0x40),
	V(PTE_PS, 0x80), V(PTE_G, 0x100), V(PTE_PAT_LARGE, 0x1000), V(PTE_ADDRESS, 0x000ffffffffff000),
	V(PTE_ADDRESS_2M, 0x000fffffffe00000), V(PTE_ADDRESS_1G, 0x000fffffc0000000), V(PTE_NX, 0x8000000000000000),
	V(CR3_PCID, 0xfff), V(CR3_KEEP_TLB, 0x8000000000000000), V(PAE_PDPTE_RESERVED, 0xfff00000000001e6),
	V(PFEC_P, 1), V(PFEC_W, 2), V(PFEC_U, 4), V(PFEC_RSVD, 8), V(PFEC_I, 0x10), V(PFEC_PK, 0x20),
	V(EPT_R, 1), V(EPT_W, 2), V(EPT_X, 4), V(EPT_RWX, 7), V(EPT_MT, 0x38), V(EPT_IPAT, 0x40), V(EPT_PS, 0x80), V(EPT_A, 0x100),
	V(EPT_D, 0x200), V(EPT_UX, 0x400), V(EPT_SPP, 0x2000000000000000), V(EPT_SVE, 0x8000000000000000),
	V(EPTP_MT, 7), V(EPTP_WALK, 0x38), V(EPTP_WALK_4, 0x18), V(EPTP_AD, 0x40),
	V(SPP_WRITE(31), 0x4000000000000000), V(PAGE_LEVEL_SHIFT(4), 39), V(PAGE_LEVEL_INDEX(0xffffff8000000000, 4), 511),
};

static const struct value vmx_values[] = {
	V(INTR_INFO_VECTOR, 0xff), V(INTR_INFO_TYPE, 0x700), V(INTR_INFO_ERROR_VALID, 0x800), V(INTR_INFO_NMI_UNBLOCK, 0x1000),
	V(INTR_INFO_VALID, 0x80000000), V(INTR_INFO_ENTRY_RESERVED, 0x7ffff000), V(INTR_TYPE_NMI, 2), V(INTR_TYPE_HW_EXCEPTION, 3),
	V(INTR_TYPE_SW_INTERRUPT, 4), V(INTR_TYPE_PRIV_SW, 5), V(INTR_TYPE_SW_EXCEPTION, 6),
	V(INTERRUPTIBILITY_STI, 1), V(INTERRUPTIBILITY_MOV_SS, 2), V(INTERRUPTIBILITY_SMI, 4), V(INTERRUPTIBILITY_NMI, 8),
	V(INTERRUPTIBILITY_ENCLAVE, 16), V(PENDING_DEBUG_ENABLED, 0x1000), V(PENDING_DEBUG_BS, 0x4000), V(PENDING_DEBUG_RTM, 0x10000),
	V(PENDING_DEBUG_RESERVED, 0xfffffffffffeaff0), V(VMX_AR_UNUSABLE, 0x10000), V(VMX_AR_RESERVED, 0xfffe0f00),
	V(QUAL_TASK_SOURCE, 0xc0000000), V(QUAL_CR_ACCESS, 0x30), V(QUAL_CR_LMSW_MEMORY, 0x40), V(QUAL_CR_GPR, 0xf00),
	V(QUAL_CR_LMSW_SOURCE, 0xffff0000), V(QUAL_DR_FROM, 0x10), V(QUAL_IO_IN, 8), V(QUAL_IO_STRING, 0x10), V(QUAL_IO_REP, 0x20),
	V(QUAL_IO_IMMEDIATE, 0x40), V(QUAL_IO_PORT, 0xffff0000), V(QUAL_EPT_PERM_R, 8), V(QUAL_EPT_PERM_W, 0x10),
	V(QUAL_APIC_OFFSET, 0xfff), V(QUAL_APIC_TYPE, 0xf000), V(QUAL_APIC_READ, 0), V(QUAL_APIC_WRITE, 1), V(QUAL_APIC_FETCH, 2),
	V(QUAL_APIC_EVENT, 3), V(QUAL_APIC_GUEST_PHYSICAL_EVENT, 10), V(QUAL_APIC_GUEST_PHYSICAL, 15), V(QUAL_EOI_VECTOR, 0xff),
	V(INTR_STATUS_RVI, 0xff), V(INTR_STATUS_SVI, 0xff00), V(TPR_THRESHOLD_CLASS, 0xf), V(TPR_THRESHOLD_RESERVED, 0xfffffff0),
	V(POSTED_DESC_SIZE, 64), V(POSTED_DESC_PIR, 0), V(POSTED_DESC_ON, 32),
	V(QUAL_EPT_PERM_X, 0x20), V(QUAL_EPT_GLA_VALID, 0x80), V(QUAL_EPT_TRANSLATION, 0x100), V(QUAL_EPT_NMI_UNBLOCK, 0x1000),
	V(INSN_INFO_REGISTER, 0x400), V(INSN_INFO_NO_INDEX, 0x400000), V(INSN_INFO_NO_BASE, 0x8000000),
	V(VMX_BASIC_SIZE, 0x00001fff00000000), V(VMX_BASIC_INS_OUTS, 0x0040000000000000), V(VMX_BASIC_TRUE_MSRS, 0x0080000000000000),
	V(VMX_MISC_SAVES_LMA, 0x20), V(VMX_MISC_ACTIVITY_HLT, 0x40), V(VMX_MISC_CR3_TARGETS, 0x1ff0000),
	V(VMX_MISC_VMWRITE_RO, 0x20000000), V(VMX_MISC_INJECT_LENGTH_0, 0x40000000),
	V(EPT_CAP_EXECUTE_ONLY, 1), V(EPT_CAP_WALK_4, 0x40), V(EPT_CAP_UC, 0x100), V(EPT_CAP_WB, 0x4000), V(EPT_CAP_2M, 0x10000),
	V(EPT_CAP_1G, 0x20000), V(EPT_CAP_INVEPT, 0x100000), V(EPT_CAP_AD, 0x200000), V(EPT_CAP_INVEPT_SINGLE, 0x2000000),
	V(EPT_CAP_INVEPT_ALL, 0x4000000), V(VPID_CAP_INVVPID, 0x100000000), V(VPID_CAP_INVVPID_ADDRESS, 0x10000000000),
	V(VPID_CAP_INVVPID_SINGLE, 0x20000000000), V(VPID_CAP_INVVPID_ALL, 0x40000000000),
	V(VPID_CAP_INVVPID_SINGLE_NONGLOBAL, 0x80000000000), V(FEATURE_CONTROL_LOCK, 1), V(FEATURE_CONTROL_VMX, 4),
};

static const struct value apic_values[] = {
	V(LAPIC_ID, 0x20), V(LAPIC_VERSION, 0x30), V(LAPIC_TPR, 0x80), V(LAPIC_PPR, 0xa0), V(LAPIC_EOI, 0xb0), V(LAPIC_LDR, 0xd0),
	V(LAPIC_DFR, 0xe0), V(LAPIC_SVR, 0xf0), V(LAPIC_ISR, 0x100), V(LAPIC_TMR, 0x180), V(LAPIC_IRR, 0x200), V(LAPIC_ESR, 0x280),
	V(LAPIC_ICR_LOW, 0x300), V(LAPIC_ICR_HIGH, 0x310), V(LAPIC_LVT_TIMER, 0x320), V(LAPIC_LVT_THERMAL, 0x330),
	V(LAPIC_LVT_PMI, 0x340), V(LAPIC_LVT_LINT0, 0x350), V(LAPIC_LVT_LINT1, 0x360), V(LAPIC_LVT_ERROR, 0x370),
	V(LAPIC_TIMER_INITIAL, 0x380), V(LAPIC_TIMER_CURRENT, 0x390), V(LAPIC_TIMER_DIVIDE, 0x3e0), V(SVR_ENABLE, 0x100),
	V(DELIVERY_NMI, 0x400), V(DELIVERY_INIT, 0x500), V(DELIVERY_SIPI, 0x600), V(DELIVERY_EXTINT, 0x700), V(ICR_LOGICAL, 0x800),
	V(ICR_ASSERT, 0x4000), V(ICR_LEVEL, 0x8000), V(ICR_TO_SELF, 0x40000), V(ICR_TO_ALL, 0x80000), V(ICR_TO_OTHERS, 0xc0000),
	V(LVT_LEVEL, 0x8000), V(LVT_MASKED, 0x10000), V(LVT_TIMER_PERIODIC, 0x20000), V(LVT_TIMER_DEADLINE, 0x40000),
	V(REDIR_MASKED, 0x10000), V(REDIR_LEVEL, 0x8000), V(REDIR_REMOTE_IRR, 0x4000), V(REDIR_ACTIVE_LOW, 0x2000),
};

static const struct value msr_values[] = {
	V(IA32_TIME_STAMP_COUNTER, 0x10), V(IA32_APIC_BASE, 0x1b), V(IA32_FEATURE_CONTROL, 0x3a), V(IA32_TSC_ADJUST, 0x3b),
	V(IA32_SPEC_CTRL, 0x48), V(IA32_PRED_CMD, 0x49), V(IA32_BIOS_SIGN_ID, 0x8b), V(IA32_SMM_MONITOR_CTL, 0x9b),
	V(IA32_MTRRCAP, 0xfe), V(IA32_ARCH_CAPABILITIES, 0x10a), V(IA32_SYSENTER_CS, 0x174), V(IA32_SYSENTER_ESP, 0x175),
	V(IA32_SYSENTER_EIP, 0x176), V(IA32_MCG_CAP, 0x179), V(IA32_MISC_ENABLE, 0x1a0), V(IA32_DEBUGCTL, 0x1d9),
	V(IA32_MTRR_PHYSBASE0, 0x200), V(IA32_MTRR_FIX64K_00000, 0x250), V(IA32_PAT, 0x277), V(IA32_MTRR_DEF_TYPE, 0x2ff),
	V(IA32_PERF_GLOBAL_CTRL, 0x38f), V(IA32_VMX_BASIC, 0x480), V(IA32_VMX_PINBASED_CTLS, 0x481),
	V(IA32_VMX_PROCBASED_CTLS, 0x482), V(IA32_VMX_EXIT_CTLS, 0x483), V(IA32_VMX_ENTRY_CTLS, 0x484), V(IA32_VMX_MISC, 0x485),
	V(IA32_VMX_CR0_FIXED0, 0x486), V(IA32_VMX_CR0_FIXED1, 0x487), V(IA32_VMX_CR4_FIXED0, 0x488), V(IA32_VMX_CR4_FIXED1, 0x489),
	V(IA32_VMX_VMCS_ENUM, 0x48a), V(IA32_VMX_PROCBASED_CTLS2, 0x48b), V(IA32_VMX_EPT_VPID_CAP, 0x48c),
	V(IA32_VMX_TRUE_PINBASED_CTLS, 0x48d), V(IA32_VMX_TRUE_PROCBASED_CTLS, 0x48e), V(IA32_VMX_TRUE_EXIT_CTLS, 0x48f),
	V(IA32_VMX_TRUE_ENTRY_CTLS, 0x490), V(IA32_VMX_VMFUNC, 0x491), V(IA32_TSC_DEADLINE, 0x6e0), V(IA32_X2APIC_APICID, 0x802),
	V(IA32_X2APIC_ICR, 0x830), V(IA32_XSS, 0xda0), V(IA32_EFER, 0xc0000080), V(IA32_STAR, 0xc0000081), V(IA32_LSTAR, 0xc0000082),
	V(IA32_CSTAR, 0xc0000083), V(IA32_FMASK, 0xc0000084), V(IA32_FS_BASE, 0xc0000100), V(IA32_GS_BASE, 0xc0000101),
	V(IA32_KERNEL_GS_BASE, 0xc0000102), V(IA32_TSC_AUX, 0xc0000103), V(PAT_RESET, 0x0007040600070406),
	V(MEMTYPE_WB, 6), V(APIC_BASE_BSP, 0x100), V(APIC_BASE_X2APIC, 0x400), V(APIC_BASE_ENABLE, 0x800),
};

static void check(const struct value *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (v[i].is != v[i].typed)
			print_error("%s\n", v[i].name);
		assert_int_equal(v[i].is, v[i].typed);
	}
}

#define CHECK(name)                                                            \
	static void test_##name(void **state)                                  \
	{                                                                      \
		check(name##_values, sizeof(name##_values) / sizeof(name##_values[0])); \
	}
CHECK(x86)
CHECK(paging)
CHECK(vmx)
CHECK(apic)
CHECK(msr)

struct flag {
	const char *name;
	uint32_t leaf, subleaf;
	const char *reg;
	unsigned bit;
};

static const struct flag flags[] = {
#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, text) { #name, leaf, subleaf, #reg, bit },
#include "arch/cpuid.def"
#undef CPUID_FEATURE
};

/* No two rows name the same bit, nor two bits the same name. */
static void test_cpuid_unique(void **state)
{
	size_t n = sizeof(flags) / sizeof(flags[0]);

	for (size_t i = 0; i < n; i++) {
		assert_in_range(flags[i].bit, 0, 31);
		for (size_t j = i + 1; j < n; j++) {
			assert_string_not_equal(flags[i].name, flags[j].name);
			if (flags[i].leaf == flags[j].leaf && flags[i].subleaf == flags[j].subleaf && flags[i].bit == flags[j].bit)
				assert_string_not_equal(flags[i].reg, flags[j].reg);
		}
	}
}

static void test_cpuid_bits(void **state)
{
	static const struct value v[] = {
		V(CPUID_VMX, 0x20), V(CPUID_PCID, 0x20000), V(CPUID_X2APIC, 0x200000), V(CPUID_TSC_DEADLINE, 0x1000000),
		V(CPUID_XSAVE, 0x4000000), V(CPUID_HYPERVISOR, 0x80000000), V(CPUID_APIC, 0x200), V(CPUID_SEP, 0x800),
		V(CPUID_PGE, 0x2000), V(CPUID_PAT, 0x10000), V(CPUID_FXSR, 0x1000000), V(CPUID_SSE2, 0x4000000),
		V(CPUID_SMEP, 0x80), V(CPUID_ERMS, 0x200), V(CPUID_INVPCID, 0x400), V(CPUID_SMAP, 0x100000), V(CPUID_FSRM, 0x10),
		V(CPUID_SYSCALL, 0x800), V(CPUID_NX, 0x100000), V(CPUID_PAGE_1G, 0x4000000), V(CPUID_RDTSCP, 0x8000000),
		V(CPUID_LM, 0x20000000), V(CPUID_INVARIANT_TSC, 0x100),
	};

	check(v, sizeof(v) / sizeof(v[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x86),  cmocka_unit_test(test_paging), cmocka_unit_test(test_vmx),
		cmocka_unit_test(test_apic), cmocka_unit_test(test_msr),    cmocka_unit_test(test_cpuid_unique),
		cmocka_unit_test(test_cpuid_bits),
	};

	return cmocka_run_group_tests_name("arch: bits", tests, NULL, NULL);
}
