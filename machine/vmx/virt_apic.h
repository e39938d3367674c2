/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * APIC virtualization and virtual interrupts: SDM 3C chapter 30. What the other rooms call is in vmx.h; here is what
 * VM entries, exits and boundaries need.
 */
#ifndef OOH_MACHINE_VMX_VIRT_APIC_H
#define OOH_MACHINE_VMX_VIRT_APIC_H

#include "machine/cpu/cpu.h"

/* The rules of VM entry about it: NULL, or the broken one's text. */
const char *vmx_check_virt_apic(const struct cpu *c);

/* The guest's state is loaded: priorities are computed, pending virtual interrupts and the TPR threshold looked at. */
void vmx_apic_enter(struct cpu *c);
/* The guest is left. What was recognized or due is so no longer; RVI and SVI stay in the VMCS, where they live. */
void vmx_apic_leave(struct cpu *c);

/*
 * The local APIC was acknowledged with this vector. True if it was the notification of posted interrupts: it is dealt
 * with, and there is no VM exit.
 */
bool vmx_posted_interrupt(struct cpu *c, unsigned vector);

/* Bits 3:0 of what MOV from CR8 returns with "use TPR shadow". */
u64 vmx_virtual_cr8(struct cpu *c);

/* A 32-bit register on the virtual-APIC page, by its offset as in arch/apic.h. */
u32 vmx_vapic(struct cpu *c, unsigned offset);

#endif
