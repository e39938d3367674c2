/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the image share among themselves. Root mode only: the loader does not include this.
 */
#ifndef OOH_HV_ROOT_H
#define OOH_HV_ROOT_H

#include "arch/vmcs.h"
#include "core/hv.h"
#include "core/vmx_insn.h"

/* Saved by the exit stub; indexed by the CPU's own register numbers (REG_RAX ...). The slot of RSP is not used. */
struct hv_regs {
	uint64_t r[16];
};

/* Pushed by the exception stubs. */
struct hv_frame {
	struct hv_regs regs;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};

/* What a handler of an exit wants done. */
enum hv_action {
	HV_RESUME,  /* as it is; an event whose delivery was interrupted is delivered again */
	HV_ADVANCE, /* the instruction was emulated: behind it */
	HV_UD,      /* the instruction raises #UD */
	HV_GP,      /* ... #GP(0) */
	HV_DF,      /* delivery of an event failed: #DF */
	HV_STOP     /* report, and stop this CPU */
};

extern struct hv hv;

/* The area of the CPU whose stack this is. */
static inline struct hv_cpu *hv_this_cpu(void)
{
	return (struct hv_cpu *)((uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(HV_CPU_AREA - 1));
}

/* host.c */
void hv_lock(uint32_t *lock);
void hv_unlock(uint32_t *lock);
/* As the instructions; false if they raise #GP. */
bool hv_rdmsr(uint32_t msr, uint64_t *value);
bool hv_wrmsr(uint32_t msr, uint64_t value);
bool hv_xsetbv(uint32_t index, uint64_t value);
void hv_exception(struct hv_frame *frame);

/* dump.c */
/* Reports and stops this CPU for ever, with interrupts off. regs may be NULL. */
__attribute__((noreturn)) void hv_stop(const char *why, const char *what, const struct hv_regs *regs);
/* The same for an exception of our own. */
__attribute__((noreturn)) void hv_stop_at(const struct hv_frame *frame);

/* exit.c */
uint64_t hv_read(enum vmcs_field field);
void hv_write(enum vmcs_field field, uint64_t value);
/*
 * Requests an NMI for the guest as soon as it can take one; safe at any point of root mode, also inside our NMI
 * handler.
 */
void hv_request_nmi(void);
void hv_exit(struct hv_regs *regs);
__attribute__((noreturn)) void hv_resume_failed(struct hv_regs *regs);

/* pml.c */
/* Moves this CPU's log to the ring. Returns the number of entries. */
unsigned int hv_pml_drain(struct hv_cpu *cpu);
/* Drops this CPU's cached translations: writes after it see the dirty flags as they are now. */
void hv_flush(struct hv_cpu *cpu);
/* Sets the ring, or removes it (gpa 0). Returns 0 or OOH_HC_E*. */
int64_t hv_ring_set(hv_gpa gpa);

/* The handlers: emulate.c, memory.c, hypercall.c. */
enum hv_action hv_do_cpuid(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_rdmsr(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_wrmsr(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_xsetbv(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_invd(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_nmi(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_nmi_window(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_ept_violation(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_pml_full(struct hv_cpu *cpu, struct hv_regs *regs);
enum hv_action hv_do_vmcall(struct hv_cpu *cpu, struct hv_regs *regs);

#endif
