/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the other rooms ask of VT-x. An instruction that may exit calls its vmx_intercept_* first: in root
 * operation, and when the controls do not ask for an exit, it returns; else it performs the VM exit and does not
 * return (unwinds to the run loop).
 */
#ifndef OOH_MACHINE_VMX_VMX_H
#define OOH_MACHINE_VMX_VMX_H

#include "machine/core/types.h"
#include "machine/cpu/cpu.h"

/*
 * Instructions that exit unconditionally or by one control bit: reason = EXIT_* (arch/exit_reasons.def). qual: exit
 * qualification. RDTSCP and INVPCID are #UD in non-root operation unless their secondary control is 1.
 */
void vmx_intercept(struct cpu *c, const struct op *o, unsigned reason, u64 qual);
static inline bool vmx_nonroot(const struct cpu *c)
{
	return unlikely(c->vmx.nonroot);
}

/* In non-root operation with "unrestricted guest" = 1: CR0.PE and CR0.PG may be 0. */
bool vmx_unrestricted(const struct cpu *c);

/* MOV to CRn: returns the value that the instruction is to load (masks applied by exiting or merging), or exits. */
u64 vmx_write_cr(struct cpu *c, const struct op *o, unsigned cr, u64 value, unsigned gpr);
/* MOV from CRn: the value to return (read shadow), or exits. */
u64 vmx_read_cr(struct cpu *c, const struct op *o, unsigned cr, u64 value, unsigned gpr);
void vmx_intercept_clts(struct cpu *c, const struct op *o); /* may turn CLTS into a no-op: see vmx_clts_allowed */
bool vmx_clts_allowed(struct cpu *c);
u64 vmx_lmsw(struct cpu *c, const struct op *o, u16 value, bool mem, u64 lin); /* the new CR0 low word, or exits */
void vmx_intercept_mov_dr(struct cpu *c, const struct op *o, unsigned dr, bool write, unsigned gpr);
/* port I/O; string: INS/OUTS, lin: its memory operand. */
void vmx_intercept_io(struct cpu *c, const struct op *o, u16 port, unsigned size, bool in, bool string, bool rep,
		      bool imm, u64 lin);
void vmx_intercept_msr(struct cpu *c, const struct op *o, u32 msr, bool write);
void vmx_intercept_invlpg(struct cpu *c, const struct op *o, u64 lin);
/* MWAIT that masked interrupts would end does not wait. */
bool vmx_keeps_awake(const struct cpu *c);
void vmx_intercept_pause(struct cpu *c, const struct op *o);
/* XSAVES or XRSTORS (reason: EXIT_*) of the state components in EDX:EAX = mask. */
void vmx_intercept_xsaves(struct cpu *c, const struct op *o, unsigned reason, u64 mask);
/* SGDT, LLDT …, INVPCID, RDRAND …: reasons with an instruction-information field. */
void vmx_intercept_info(struct cpu *c, const struct op *o, unsigned reason);
/* RDTSC and RDTSCP in non-root operation: adds the offset (after vmx_intercept). */
u64 vmx_tsc(struct cpu *c, u64 tsc);

/* An exception is about to be delivered: exits if the exception bitmap says so. Called before any change of state. */
void vmx_intercept_exception(struct cpu *c, const struct event *e);
void vmx_triple_fault(struct cpu *c); /* root: returns (the machine shuts down) */
void vmx_task_switch(struct cpu *c, const struct op *o, u16 sel, unsigned source); /* exits always in non-root */

/*
 * At an instruction boundary, before interrupts are looked at: preemption timer, NMI and interrupt windows,
 * external interrupts and NMIs that exit, MTF. Returns true if it exited (state changed; the run loop starts over).
 */
bool vmx_boundary(struct cpu *c, bool intr_deliverable, bool nmi_deliverable);
/*
 * A monitor-trap-flag exit is due: it comes before debug traps, which stay pending. SDM 3A "Priority Among
 * Concurrent Events".
 */
static inline bool vmx_mtf_due(const struct cpu *c)
{
	return unlikely(c->vmx.mtf == MTF_PENDING) && c->vmx.nonroot;
}
/* True if an external interrupt exits in non-root operation whatever EFLAGS.IF. */
bool vmx_extint_exits(const struct cpu *c);
/* Virtual NMIs and blocking by NMI: IRET in non-root operation. */
void vmx_iret(struct cpu *c);

/* Called by the mmu room. */
struct ept_fault {
	gpa_t gpa;
	u64 lin;
	bool lin_valid;   /* the access came from a linear address */
	bool translated;  /* the gpa is the final one, not a paging-structure entry's */
	u8 access;        /* bits 2:0 of the qualification: read, write, fetch */
	u8 perms;         /* bits 6:3: permissions of the EPT entries ANDed */
	bool user, writable, no_execute; /* translated: what guest paging says of the linear address */
	bool suppress_ve; /* the last EPT entry forbids a virtualization exception */
};
/* Exits, or raises a virtualization exception in the guest. */
_Noreturn void vmx_exit_ept_violation(struct cpu *c, const struct op *o, const struct ept_fault *f);
_Noreturn void vmx_exit_ept_misconfig(struct cpu *c, const struct op *o, gpa_t gpa);
/* The sub-page-permission table has no entry (missed) or a misconfigured one for a write to gpa. */
_Noreturn void vmx_exit_spp(struct cpu *c, const struct op *o, gpa_t gpa, u64 lin, bool missed);
/*
 * PML: logs gpa if the index allows, else exits with "page-modification log full" and does not return. To be called
 * before the dirty flag is set. SDM 3C "Page-Modification Logging".
 */
void vmx_pml_log(struct cpu *c, const struct op *o, gpa_t gpa);

/*
 * APIC virtualization: virt_apic.c, virt_apic_access.c. For the mmu: an address on the APIC-access page is accessed.
 * check returns if the access, of n bytes, is virtualized, and exits else; read and write then do it.
 */
static inline bool vmx_on_apic_page(const struct cpu *c, u64 hpa)
{
	return unlikely((hpa & ~PAGE_OFFSET_MASK) == c->vmx.apic_page);
}
void vmx_apic_check(struct cpu *c, const struct op *o, u64 hpa, unsigned n, bool write);
void vmx_apic_read(struct cpu *c, u64 hpa, void *to, unsigned n);
void vmx_apic_write(struct cpu *c, u64 hpa, const void *from, unsigned n);
_Noreturn void vmx_apic_fetch(struct cpu *c, u64 hpa);
/* By a guest-physical access: a guest's paging-structure entry under EPT. */
_Noreturn void vmx_apic_guest_physical(struct cpu *c, const struct op *o);
/* MOV to CR8. False: the local APIC's own TPR is meant. */
bool vmx_write_cr8(struct cpu *c, u64 value);
/* RDMSR and WRMSR of x2APIC registers. False, X2APIC_NOT_VIRTUAL: go on as always. X2APIC_FAULT: #GP(0). */
enum vmx_x2apic { X2APIC_NOT_VIRTUAL, X2APIC_DONE, X2APIC_FAULT };
bool vmx_x2apic_read(struct cpu *c, u32 index, u64 *value);
enum vmx_x2apic vmx_x2apic_write(struct cpu *c, u32 index, u64 value);
/* At a boundary, before anything else: what follows from a virtualized write. */
bool vmx_apic_emulate(struct cpu *c); /* true if it exited */
static inline bool vmx_apic_event(struct cpu *c)
{
	return unlikely(c->vmx.apic_due) && vmx_apic_emulate(c);
}
/* A virtual interrupt is to be delivered as soon as interrupts are open; taking it gives its vector. */
static inline bool vmx_virtual_interrupt(const struct cpu *c)
{
	return unlikely(c->vmx.vintr);
}
u8 vmx_take_virtual_interrupt(struct cpu *c);

/* Instructions of the room itself. */
bool vmx_lower(struct lower *l);
bool vmx_msr_read(struct cpu *c, u32 index, u64 *value);  /* capability MSRs; false: not mine or #GP */
bool vmx_cr_allowed(const struct cpu *c, unsigned cr, u64 value); /* fixed bits in VMX operation; CR4.VMXE */
void vmx_reset(struct cpu *c);
/*
 * For dumps, on stderr: pointers, the last exit, and the rule that made the last VM entry fail. Nothing outside VMX
 * operation.
 */
void vmx_print(const struct cpu *c);
struct snap;
void vmx_snap(struct cpu *c, struct snap *s);

#endif
