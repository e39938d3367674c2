/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VM entries. SDM 3C chapter 27 "VM Entries". */
#ifndef OOH_MACHINE_VMX_ENTRY_H
#define OOH_MACHINE_VMX_ENTRY_H

#include "arch/vmx.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/sys/sys.h"

/* One rule of the manual: holds or not, for the current VMCS. arg: which segment, control word … */
struct vmx_rule {
	bool (*holds)(const struct cpu *c, unsigned arg);
	unsigned arg;
	const char *text;
};

/* The text of the first of n rules that does not hold, NULL if all do. */
const char *vmx_broken_rule(const struct cpu *c, const struct vmx_rule *rules, unsigned n);

/* VMXERR_NONE, or the error that VMLAUNCH and VMRESUME are to fail with. */
enum vmx_error vmx_check_controls_and_host(struct cpu *c);
const char *vmx_check_controls(const struct cpu *c);
const char *vmx_check_host(const struct cpu *c);
/* NULL, or the broken rule's text; then *qual is the exit qualification of the failed entry. */
const char *vmx_check_guest(struct cpu *c, u64 *qual);
const char *vmx_check_guest_segments(const struct cpu *c);
const char *vmx_check_guest_event_state(const struct cpu *c, u64 *qual);

bool vmx_eptp_valid(u64 eptp);

/* ept.c */
/* What EPT, PML, sub-page permissions and the like do until the next exit, from the current VMCS; and their end. */
void vmx_load_ept(struct cpu *c);
void vmx_leave_ept(struct cpu *c);
/* Another EPTP from now on; mmu_update_mode() has to follow. */
void vmx_use_eptp(struct cpu *c, u64 eptp);
const struct op *op_vmfunc(struct cpu *c, const struct op *o);

/* An address in a field: nothing beyond the physical-address width, and the low bits given are 0. */
static inline bool vmx_address_valid(u64 addr, u64 low_bits)
{
	return !(addr & low_bits) && !(addr & ~CPU_PHYS_MASK);
}

/* From here on the entry succeeds or fails as an exit: does not return. */
_Noreturn void vmx_enter(struct cpu *c, bool launch);
void vmx_load_guest_state(struct cpu *c);
/* Delivers the event of the VM-entry interruption-information field, if it is valid. */
void vmx_inject(struct cpu *c);

/* The VMX-preemption timer. SDM 3C "VMX-Preemption Timer" (26.5.1). */
/* Connects the timer to its CPU, once. */
void vmx_timer_bind(struct cpu *c);
void vmx_timer_start(struct cpu *c);
u32 vmx_timer_left(struct cpu *c);
void vmx_timer_stop(struct cpu *c);

#endif
