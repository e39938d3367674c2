/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The privileged half of the CPU: segments, descriptor tables, control transfers between privilege levels, event
 * delivery, control registers, MSRs, CPUID, port I/O. cpu.h and mem.h name what the other rooms call of it (cpu_reset,
 * cpu_deliver, seg_linear, msr_*, cpuid_query, cpu_update_code_mode, cpu_snap); here is the rest.
 */
#ifndef OOH_MACHINE_CPU_SYS_SYS_H
#define OOH_MACHINE_CPU_SYS_SYS_H

#include "arch/x86.h"
#include "machine/core/types.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/op.h"

/*
 * Fills l->op for the mnemonics of this room; false if the instruction is not this room's. The room's are:
 *   MOV, PUSH, POP with a segment, control or debug register; LDS LES LSS LFS LGS; LGDT LIDT SGDT SIDT LLDT SLDT LTR
 *   STR;
 *   LAR LSL VERR VERW ARPL; SWAPGS, RD/WR FS/GSBASE; LMSW SMSW CLTS; INVLPG INVPCID INVD WBINVD; HLT PAUSE;
 *   RDTSC RDTSCP RDPMC RDMSR WRMSR RDRAND RDSEED CPUID; IN OUT INS OUTS; STI CLI POPF* PUSHF* STAC CLAC;
 *   far JMP, CALL and RET; INT n, INT1, INT3, INTO, BOUND; IRET*; SYSCALL SYSRET SYSENTER SYSEXIT; RSM.
 * (near branches, CLC … CLD, LAHF, SAHF, UD* are the core's.) It sets OP_END where control, mode or interruptibility
 * may change. Reads l->insn and l->ops itself; what the core prefilled in l->op (memory operand, size, asize, len,
 * flags, imm) is kept.
 */
bool sys_lower(struct lower *l);

/*
 * False if CPUID does not enumerate the instruction: the core then makes it #UD. The decoder is to be used with
 * ZYDIS_DECODER_MODE_MPX, _CET, _CLDEMOTE, _WBNOINVD and _KNC off, so that their encodings decode as what they were
 * before (NOP, WBINVD).
 */
bool sys_enumerated(const ZydisDecodedInstruction *insn);

/* Every row of arch/cpuid.def; features.def says which of them this CPU has, unless --cpu does. */
enum cpu_feature {
#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, text) FEAT_##name,
#include "arch/cpuid.def"
#undef CPUID_FEATURE
	FEAT_COUNT
};
/* Of a CPU, as its IA32_MISC_ENABLE has it now; NULL: of all of them, as made. */
bool cpuid_has(const struct cpu *c, enum cpu_feature f);
/*
 * Before the first CPU is made: "-NAME" leaves a feature out, with what needs it, "+NAME" puts one in; separated by
 * commas. Returns where a mistake is, or NULL.
 */
const char *cpuid_choose(const char *list);
/* The bits that XCR0 can have. */
u64 cpuid_xcr0(const struct cpu *c);
/* PKRU as WRPKRU and XRSTOR load it. */
void sys_load_pkru(struct cpu *c, u32 v);

#define CPU_PHYS_BITS 46 /* MAXPHYADDR: CPUID 80000008H */
#define CPU_PHYS_MASK ((1ull << CPU_PHYS_BITS) - 1)

/*
 * Interrupt shadows: cpu.inhibit is set by STI (when IF was 0), MOV SS and POP SS to INHIBIT_STI or INHIBIT_MOVSS. The
 * run loop runs the next instruction alone and then clears the value it had found, unless that instruction set another
 * one (a VM exit inside the shadow sees it set). MOV SS in the shadow of a MOV SS sets none.
 */

/*
 * Breakpoints of the debug registers. While one is enabled, the run loop runs single instructions, each between
 * sys_break_before (which may raise #DB) and sys_break_after, and the MMU reports every access of data.
 */
static inline bool sys_breakpoints(const struct cpu *c)
{
	return unlikely(c->dr[7] & DR7_ENABLES);
}
void sys_break_before(struct cpu *c);
void sys_break_after(struct cpu *c, bool repeats);
void sys_break_data(struct cpu *c, u64 lin, unsigned n, bool write);
void sys_break_io(struct cpu *c, u16 port, unsigned n);
/*
 * IA32_DEBUGCTL has LBR and BTF. While LBR is set the run loop runs single instructions and reports each taken branch;
 * event delivery reports itself. SDM 3B "Last Branch, Interrupt, and Exception Recording" (18.4).
 */
#define DEBUGCTL_IMPLEMENTED (DEBUGCTL_LBR | DEBUGCTL_BTF)
static inline bool sys_records_branches(const struct cpu *c)
{
	return unlikely(c->debugctl & DEBUGCTL_LBR);
}
/* A branch or an event at address from has led to c->rip. */
void sys_branch_taken(struct cpu *c, u64 from);
/* DR7 as MOV and VM entries load it: reserved bits are made what they are, the MMU learns of it. */
void sys_load_dr7(struct cpu *c, u64 v);

/*
 * VM-entry event injection: delivers without looking at the exception bitmap, leaving CR2, DR6 and the pushed RF as
 * they are (SDM 3C "Vectored-Event Injection"). A fault inside unwinds with c->delivering set, as for any event.
 */
void sys_deliver_injected(struct cpu *c, const struct event *e);
/* The RFLAGS image that is pushed has RF set whatever RFLAGS.RF: faults that nobody injected. */
bool sys_event_sets_rf(const struct event *e);
/*
 * INIT: like cpu_reset(), but MSRs, FPU, TSC and caches stay. SDM 3A table 10-1. The CPU then waits for a SIPI unless
 * it is the BSP.
 */
void sys_init(struct cpu *c);
/* Start-up IPI: CS:IP = vector * 100H : 0, active. */
void sys_sipi(struct cpu *c, u8 vector);

/*
 * PAE: reads the four PDPTEs that cr3 points to; false if a present one has reserved bits set (#GP for a MOV, failed VM
 * entry).
 */
bool sys_read_pdptes(struct cpu *c, const struct op *o, u64 cr3, u64 pdpte[4]);

/* CR0 and CR4 bits that exist on this CPU (reserved ones #GP; VM entries check them too). */
#define CR4_IMPLEMENTED cpuid_cr4()
u64 cpuid_cr4(void);
bool sys_cr0_valid(u64 v);               /* PG without PE, NW without CD, reserved bits */
bool sys_efer_valid(const struct cpu *c, u64 v); /* only SCE, LME, LMA, NXE */
/*
 * SDM 1 "Canonical Addressing": an address has 48 bits, or 57 with CR4.LA57; the rest repeat the highest. What is loaded
 * into registers of the system (MSRs, bases of tables, INVPCID's and INVVPID's addresses, fields of a VMCS) may have 57
 * wherever the CPU knows 5-level paging, whether it is in use or not.
 */
static inline bool sys_canonical(const struct cpu *c, u64 lin)
{
	return is_canonical(lin, c->cr4 & CR4_LA57);
}
bool sys_base_valid(u64 v);
bool sys_pat_valid(u64 v);

#endif
