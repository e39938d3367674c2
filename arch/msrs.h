/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * enum msr_index { IA32_VMX_BASIC = 0x480, ... } from msrs.def, and the bits of MSRs that are not VT-x's
 * (those: arch/vmx.h).
 * Source: SDM 4, table 2-2.
 */
#ifndef OOH_ARCH_MSRS_H
#define OOH_ARCH_MSRS_H

#include "arch/bits.h"

#ifdef __ASSEMBLER__

#define MSR(name, index, text) .set name, index;
#define MSR_MODEL(name, index, text) .set name, index;
#include "arch/msrs.def"
#undef MSR
#undef MSR_MODEL

#else

enum msr_index {
#define MSR(name, index, text) name = index,
#ifdef __KERNEL__
#define MSR_MODEL(name, index, text)
#else
#define MSR_MODEL(name, index, text) name = index,
#endif
#include "arch/msrs.def"
#undef MSR
#undef MSR_MODEL
};

/* Name of an MSR ("IA32_EFER"), or "?" for an index that is not in the table. */
static inline const char *msr_name(unsigned int index)
{
	switch (index) {
#define MSR(name, number, text) case number: return #name;
#define MSR_MODEL(name, number, text) case number: return #name;
#include "arch/msrs.def"
#undef MSR
#undef MSR_MODEL
	}
	return "?";
}

#endif /* __ASSEMBLER__ */

/* IA32_APIC_BASE */
#define APIC_BASE_BSP     BIT64(8)
#define APIC_BASE_X2APIC  BIT64(10)
#define APIC_BASE_ENABLE  BIT64(11)
#define APIC_BASE_ADDRESS BITS(51, 12)
#define APIC_BASE_DEFAULT 0xfee00000

/* IA32_MISC_ENABLE */
#define MISC_ENABLE_FAST_STRINGS BIT64(0)
#define MISC_ENABLE_THERMAL      BIT64(3)  /* automatic thermal control circuit */
#define MISC_ENABLE_PERFMON      BIT64(7)
#define MISC_ENABLE_NO_BTS       BIT64(11)
#define MISC_ENABLE_NO_PEBS      BIT64(12)
#define MISC_ENABLE_SPEEDSTEP    BIT64(16)
#define MISC_ENABLE_MONITOR      BIT64(18)
#define MISC_ENABLE_LIMIT_CPUID  BIT64(22)
#define MISC_ENABLE_NO_XTPR      BIT64(23)
#define MISC_ENABLE_XD_DISABLE   BIT64(34)

/* IA32_MTRRCAP, IA32_MTRR_DEF_TYPE, IA32_MTRR_PHYSMASKn */
#define MTRRCAP_VCNT     BITS(7, 0)
#define MTRRCAP_FIX      BIT64(8)
#define MTRRCAP_WC       BIT64(10)
#define MTRRCAP_SMRR     BIT64(11)
#define MTRR_DEF_TYPE    BITS(7, 0)
#define MTRR_DEF_FE      BIT64(10)
#define MTRR_DEF_E       BIT64(11)
#define MTRR_PHYSMASK_V  BIT64(11)

/* Memory types, as in MTRRs, PAT entries and EPT. SDM 3A table 12-8 "MTRR memory types" and 12-10 "PAT encodings". */
#define MEMTYPE_UC       0
#define MEMTYPE_WC       1
#define MEMTYPE_WT       4
#define MEMTYPE_WP       5
#define MEMTYPE_WB       6
#define MEMTYPE_UC_MINUS 7 /* PAT only */
#define PAT_RESET        0x0007040600070406 /* value of IA32_PAT after reset */

/* IA32_DEBUGCTL */
#define DEBUGCTL_LBR     BIT64(0)
#define DEBUGCTL_BTF     BIT64(1)
#define LASTBRANCH_DEPTH 16 /* entries of the last-branch stack, Nehalem to Broadwell */
#define DEBUGCTL_RESERVED (BITS(5, 2) | BIT64(13) | BITS(63, 16))

#endif
