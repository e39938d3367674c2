/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One logical processor: its architectural state, and what the engines keep beside it. */
#ifndef OOH_MACHINE_CPU_CPU_H
#define OOH_MACHINE_CPU_CPU_H

#include <setjmp.h>

#include "arch/msrs.h"
#include "machine/core/machine.h"
#include "machine/core/types.h"
#include "machine/cpu/op.h"
#include "machine/fpu/fpu.h"
#include "machine/mmu/mmu.h"
#include "machine/vmx/state.h"

enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };
enum sreg { ES, CS, SS, DS, FS, GS, SREG_COUNT };

/* A segment register with its hidden part. ar: as in the VMCS (type, S, DPL, P, AVL, L, D/B, G; bit 16 unusable). */
struct segment {
	u64 base;
	u32 limit; /* in bytes, granularity applied */
	u32 ar;
	u16 sel;
};
#define SEG_UNUSABLE 0x10000u

struct table_reg {
	u64 base;
	u16 limit;
};

enum activity { ACTIVE, HALTED, SHUTDOWN, WAIT_SIPI }; /* VMCS guest activity state */

/* Why a CPU leaves translated or interpreted code at the next boundary: bits of cpu.pending. */
#define PEND_INTR  0x01 /* the local APIC (or the 8259 in virtual wire) has an interrupt to deliver */
#define PEND_NMI   0x02
#define PEND_INIT  0x04
#define PEND_SIPI  0x08
#define PEND_TRAP  0x10 /* debug trap: c->pending_dbg holds the DR6 bits */
#define PEND_VMX   0x20 /* interrupt or NMI window, preemption timer, … : vmx_boundary() decides */
#define PEND_STOP  0x40 /* machine_stop, snapshot, debugger */
#define PEND_WAKE  0x100 /* a store has ended MWAIT */
#define PEND_LEAVE 0x80 /* the run loop's own: leave after the running block, whatever it chains to */

/* How the run loop is re-entered by longjmp. */
enum unwind {
	UNWIND_NONE,
	UNWIND_FAULT,   /* c->exc is to be delivered */
	UNWIND_RESUME,  /* state is complete (a VM exit or entry, machine_stop): go on at c->rip */
	UNWIND_SINGLE,  /* run the instruction at c->rip again, alone in its block (device access, own code written) */
};

/*
 * An event on its way through the IDT. SDM 3A "Exception and Interrupt Reference"; types as in VM-entry interruption
 * info.
 */
enum event_type { EV_EXTINT = 0, EV_NMI = 2, EV_HW_EXCEPTION = 3, EV_SOFT_INT = 4, EV_PRIV_SW_EXCEPTION = 5,
		  EV_SW_EXCEPTION = 6 };
struct event {
	u8 vector;
	u8 type; /* enum event_type */
	bool has_error;
	u32 error;
	u64 cr2_or_dr6; /* page fault: linear address; debug: DR6 bits to set */
	u8 insn_len; /* of INT n, INT3, INTO, INT1 */
	bool injected; /* by a VM entry */
};

#define JIT_ADDENDS 8

struct block;
struct apic;

struct cpu {
	/* Hot: registers, flags, budget, TLB. */
	u64 gpr[REG_COUNT]; /* [REG_ZERO] is 0, [REG_BLOCK] the running block's RIP */
	u64 cc_res, cc_src, cc_src2; /* lazily kept status flags: see flags.h */
	u32 cc_op;
	u32 pending;        /* PEND_* */
	u32 ctx, ctx_zero;  /* low 12 bits of every valid TLB tag now; 0 */
	s64 budget;         /* cycles left before deadline, already reduced by the whole running block */
	struct tlb_fast *tlb; /* tlb_of[mode] */
	struct block *block;
	struct jump_entry *jumps; /* RIP to block: see block.h */
	u64 jump_tag;       /* generation, context and mode that a valid jump entry has */
	u64 *insns;         /* &m->stat[STAT_INSNS] */
	u64 page_rip;       /* in translated code: RIP of the running block's page */
	s64 surplus;        /* … cycles less instructions of the blocks entered since `counted` */
	u64 rip;            /* exact at block boundaries and after cpu_sync() */
	u64 eflags;         /* all flags but the lazily kept OSZAPC */
	u64 deadline;       /* cycle of the next timer event */
	u64 unspent;        /* cycles of the running block that are not executed yet (set by cpu_sync) */
	u64 code_base;      /* CS.base as instruction fetch uses it: 0 in 64-bit mode */
	u8 cpl, mmu_mode;
	u8 code_size;       /* 16, 32, 64: CS.D, CS.L and EFER.LMA */
	u8 inhibit;         /* instructions left in an interrupt shadow (1 after STI, MOV SS, POP SS); see INHIBIT_* */
	u64 stack_mask;     /* of RSP by SS.B or 64-bit mode */

	struct segment seg[SREG_COUNT], ldtr, tr;
	struct table_reg gdtr, idtr;
	u64 cr0, cr2, cr3, cr4, xcr0, dr[8], efer;
	u64 star, lstar, cstar, fmask, kernel_gs_base, tsc_aux, pat;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 misc_enable, perf_ctl, feature_control, tsc_adjust, debugctl, spec_ctrl, xss;
	u64 lbr_from[LASTBRANCH_DEPTH], lbr_to[LASTBRANCH_DEPTH], lbr_top;
	u32 pkru;
	u64 mtrr_def, mtrr_fix[11], mtrr_var[20];
	/* TSC = cpu_now() + tsc_offset (IA32_TSC writes, TSC_ADJUST); VMX offsetting comes on top */
	u64 tsc_offset;
	u64 pdpte[4];       /* PAE */
	enum activity activity;
	u64 pending_dbg;
	bool nmi_blocked;
	bool mwait;         /* HALTED is MWAIT's waiting, … */
	bool mwait_intr;    /* … which masked interrupts end, too */
	u64 monitor;        /* line that MONITOR has armed, by its offset in RAM; MONITOR_NONE */
	struct fpu_state fpu;
	struct vmx_state vmx;

	/* Beside the architecture. */
	struct machine *m;
	unsigned id;        /* 0-based; APIC ID */
	struct apic *apic;
	u64 apic_mmio;      /* page of the memory-mapped local APIC; ~0: it has no registers in memory */
	struct mmu_state *mmu;
	struct tlb_fast *tlb_of[MMU_MODES];
	struct code_cache *code; /* decoded blocks: cpu room */
	struct jit *jit;    /* translations; NULL: this machine interprets */
	s64 counted;        /* the budget when translated code was last entered: up to it insns is exact */
	s64 held;           /* taken from the budget while translated code runs, so that it leaves at the block's end */
	struct jump_entry *jit_target; /* of a call on its way through a look-up */
	u64 jit_value;      /* to be pushed, likewise */
	/* Of pages that a running translation has looked up; base and limit only in loops: see machine/jit/memory.c. */
	u64 jit_addend[JIT_ADDENDS], jit_base[JIT_ADDENDS], jit_limit[JIT_ADDENDS];
	jmp_buf unwind;
	struct event exc;   /* for UNWIND_FAULT */
	/* valid while an event is being delivered (double faults, IDT-vectoring information) */
	struct event delivering;
	bool is_delivering;
	bool single;        /* next block is one instruction */
	u8 dbg_hits;        /* data and I/O breakpoints that the running instruction met: DR6 bits (sys/debug.c) */
	bool trace;         /* print every instruction on stderr before it runs */
	u8 code_key;        /* what decoding depends on: KEY_* in block.h */
	u32 unretired;      /* instructions of the running block not executed yet (set by cpu_sync) */
	struct block **patch; /* link to set to the next block that is looked up, or NULL */
	u64 halt_since;

	/* Of machines with several CPUs: machine/core/smp.c. */
	bool asleep;        /* not ACTIVE, and nothing pending that it has not looked at: its time stands still */
	u8 turns;           /* how often the instruction at rip has given way to a CPU further behind */
	u64 retired, halted_cycles; /* its part of the machine's counters */
};

#define INHIBIT_STI   1
#define INHIBIT_MOVSS 2

/* The cycle now, exact to the instruction inside slow paths and handlers that called cpu_sync(). */
static inline u64 cpu_now(const struct cpu *c)
{
	return c->deadline - (u64)c->budget - c->unspent;
}

static inline void cpu_charge(struct cpu *c, enum cost k)
{
	c->budget -= c->m->costs->cycles[k];
}

/*
 * Makes c->rip and cpu_now() exact for the running op o (no-op for NULL). Every slow path and system handler begins
 * with it.
 */
void cpu_sync(struct cpu *c, const struct op *o);

/*
 * Raising an exception from within instruction o (NULL: c->rip is exact). Nothing of the instruction may have been
 * committed, except what the manual says. They do not return.
 */
_Noreturn void cpu_raise(struct cpu *c, const struct op *o, unsigned vector);
_Noreturn void cpu_raise_err(struct cpu *c, const struct op *o, unsigned vector, u32 error);
_Noreturn void cpu_raise_pf(struct cpu *c, const struct op *o, u64 lin, u32 error);
_Noreturn void cpu_raise_event(struct cpu *c, const struct op *o, const struct event *e);
/* Leaves the running instruction for the run loop; state must be complete. */
_Noreturn void cpu_unwind(struct cpu *c, enum unwind how);

/* For handlers with OP_END: c->rip is set; ends the block, charging nothing more. */
static inline const struct op *op_leave(struct cpu *c)
{
	(void)c;
	return NULL;
}
/*
 * For handlers with OP_END that just fall through: c->rip = address of the next instruction (wrapped to the code
 * size).
 */
u64 cpu_next_rip(const struct cpu *c, const struct op *o);

/* Something became pending: the running block is left at its end. Callable from devices. */
void cpu_kick(struct cpu *c, u32 pend);

u64 cpu_rflags(const struct cpu *c);            /* all flags, lazily kept ones computed */
void cpu_set_rflags(struct cpu *c, u64 v);      /* all flags; also AC/TF/IF side effects (mmu mode, pending) */
void cpu_set_status(struct cpu *c, u32 oszapc); /* the six status flags as in EFLAGS, others untouched */

/* Execution. */
struct cpu *cpu_new(struct machine *m, unsigned id);
void cpu_reset(struct cpu *c);                  /* SDM 3A "Processor State After Reset" */
void cpu_stop(struct cpu *c);                   /* waits for INIT or a start-up message */
void cpu_run(struct cpu *c);                    /* until the machine stops or the deadline's timers are due */
void cpu_step(struct cpu *c);                   /* one instruction or event at most, for debuggers */
void cpu_update_code_mode(struct cpu *c);       /* CS, EFER or CR0.PE changed: code_size, stack_mask, cpl, mmu mode */
u64 cpu_rdtsc(struct cpu *c);                   /* without VMX offsetting */
/* Decoded code depends on this frame no more (store of n bytes at offset off of RAM frame). */
void code_written(struct machine *m, u64 frame, unsigned off, unsigned n);
/* True if o's own block has code in the bytes to be written and o is not its last op: the store must run alone. */
bool code_hits_running(struct cpu *c, const struct op *o, u64 frame, unsigned off, unsigned n);
void code_flush_all(struct cpu *c);
void code_tlb_changed(struct cpu *c);           /* linear-to-block lookups may be stale (called by the mmu's flushes) */

struct snap;
void cpu_snap(struct cpu *c, struct snap *s);   /* calls the vmx and fpu rooms' parts too */

/* MSRs and CPUID (system room). Return false for #GP. */
bool msr_read(struct cpu *c, u32 index, u64 *value);
bool msr_write(struct cpu *c, u32 index, u64 value);
void cpuid_query(struct cpu *c, u32 leaf, u32 subleaf, u32 out[4]); /* EAX EBX ECX EDX */
/* Delivers through the IDT (system room); nested faults, double and triple fault included. */
void cpu_deliver(struct cpu *c, const struct event *e);

#endif
