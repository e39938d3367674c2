/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * enum exit_reason { EXIT_CPUID = 10, ... } from exit_reasons.def, and the layout of the exit-reason field.
 * Source: SDM 3C "Basic VM-Exit Information" (25.9.1), table 25-15 "Format of Exit Reason".
 */
#ifndef OOH_ARCH_EXIT_REASONS_H
#define OOH_ARCH_EXIT_REASONS_H

#include "arch/bits.h"

#define EXIT_REASON_BASIC         BITS(15, 0)
#define EXIT_REASON_ENCLAVE       BIT32(27)
#define EXIT_REASON_PENDING_MTF   BIT32(28)
#define EXIT_REASON_FROM_ROOT     BIT32(29)
#define EXIT_REASON_ENTRY_FAILURE BIT32(31)

#ifdef __ASSEMBLER__

#define EXIT_REASON(name, number, text) .set EXIT_##name, number;
#include "arch/exit_reasons.def"
#undef EXIT_REASON

#else

enum exit_reason {
#define EXIT_REASON(name, number, text) EXIT_##name = number,
#include "arch/exit_reasons.def"
#undef EXIT_REASON
	EXIT_REASON_COUNT = 72 /* size of an array indexed by basic exit reason */
};

#define EXIT_REASON(name, number, text) _Static_assert(number >= 0 && number < EXIT_REASON_COUNT, #name);
#include "arch/exit_reasons.def"
#undef EXIT_REASON

/*
 * Name without the EXIT_ prefix ("CPUID"), or "?" if the number is not in the table. Takes the basic reason (bits
 * 15:0).
 */
static inline const char *exit_reason_name(unsigned int basic)
{
	switch (basic) {
#define EXIT_REASON(name, number, text) case number: return #name;
#include "arch/exit_reasons.def"
#undef EXIT_REASON
	}
	return "?";
}

/* Of the vector that an exit for EXIT_EXCEPTION_NMI reports: "#PF", "NMI"; "?" for one that no exception has. */
static inline const char *exception_name(unsigned int vector)
{
	static const char *const names[] = { "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "?", "#TS", "#NP",
					     "#SS", "#GP", "#PF", "?", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP" };

	return vector < sizeof(names) / sizeof(names[0]) ? names[vector] : "?";
}

#endif /* __ASSEMBLER__ */

#endif
