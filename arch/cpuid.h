/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * CPUID flags from cpuid.def: CPUID_VMX etc. is the 32-bit mask of the flag in its register. Which leaf and
 * register that is stands in the row; code that needs it by name includes cpuid.def with a macro of its own.
 */
#ifndef OOH_ARCH_CPUID_H
#define OOH_ARCH_CPUID_H

#include "arch/bits.h"

#ifdef __ASSEMBLER__

#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, text) .set CPUID_##name, 1 << bit;
#include "arch/cpuid.def"
#undef CPUID_FEATURE

#else

#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, text) enum { CPUID_##name = BIT32(bit) };
#include "arch/cpuid.def"
#undef CPUID_FEATURE

/* Order of the registers in tables of CPUID results. */
enum cpuid_register { CPUID_REG_EAX, CPUID_REG_EBX, CPUID_REG_ECX, CPUID_REG_EDX };

#endif /* __ASSEMBLER__ */

#endif
