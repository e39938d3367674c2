/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef OOH_MACHINE_CPU_SYS_MSR_H
#define OOH_MACHINE_CPU_SYS_MSR_H

struct cpu;

void msr_reset_mtrrs(struct cpu *c);

#endif
