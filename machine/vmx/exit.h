/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VM exits. SDM 3C chapter 28 "VM Exits". */
#ifndef OOH_MACHINE_VMX_EXIT_H
#define OOH_MACHINE_VMX_EXIT_H

#include "arch/vmx.h"
#include "machine/cpu/cpu.h"

/* What the exit-information fields are to say. Zero where a field does not apply. */
struct vmexit {
	u32 reason;     /* basic reason */
	u64 qual;
	u32 intr_info, intr_error;
	u32 insn_len, insn_info;
	u64 gla, gpa;
	/*
	 * The RFLAGS image saved has RF set; else it is RFLAGS.RF, which is 0 from an instruction's beginning on. SDM 3C
	 * "Saving RIP, RSP, RFLAGS, and SSP" (28.3.3)
	 */
	bool rf;
	bool no_vectoring; /* the IDT-vectoring information is invalid although an event is being delivered */
};

/* Performs the exit: the CPU is in root operation afterwards, with the host's state. c->rip must be exact. */
void vmx_exit_commit(struct cpu *c, const struct vmexit *x);
/* The same from within an instruction: unwinds to the run loop. */
_Noreturn void vmx_exit(struct cpu *c, const struct vmexit *x);
/* An instruction exits. o: the instruction; fills in its length. */
_Noreturn void vmx_exit_instruction(struct cpu *c, const struct op *o, unsigned reason, u64 qual, u32 info);
/*
 * A VM entry failed after the checks of the host's state: SDM 3C "VM-Entry Failures During or After Loading Guest
 * State". reason: EXIT_ENTRY_*.
 */
_Noreturn void vmx_entry_failure(struct cpu *c, unsigned reason, u64 qual);

/* Fault-like exits that are not exceptions: RF of the saved RFLAGS, by what the CPU was doing. */
bool vmx_fault_rf(const struct cpu *c);

/* The instruction-information field for o, an instruction that reports one. */
u32 vmx_insn_info(const struct op *o);
/* The displacement that such an instruction's exit qualification holds. */
u64 vmx_insn_displacement(const struct cpu *c, const struct op *o);

/* Bit 12 of several information fields: the IRET that faults had already removed blocking by NMI. */
bool vmx_nmi_unblocked(const struct cpu *c);

/* MSR areas. load: number (from 1) of the entry that failed, 0 if all went well. */
unsigned vmx_msr_load(struct cpu *c, u64 addr, u32 count);
unsigned vmx_msr_store(struct cpu *c, u64 addr, u32 count);

#endif
