/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef OOH_MACHINE_CPU_SYS_MSR_H
#define OOH_MACHINE_CPU_SYS_MSR_H

#include "machine/core/types.h"

struct cpu;

u64 msr_misc_enable_reset(void);
void msr_reset_mtrrs(struct cpu *c);
/* The TSC and the local APIC: what other CPUs see, or what depends on the time. */
bool msr_is_timed(u32 index);

#endif
