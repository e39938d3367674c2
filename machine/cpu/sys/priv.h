/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the system room share: modes, descriptors, stacks. No other room includes this. */
#ifndef OOH_MACHINE_CPU_SYS_PRIV_H
#define OOH_MACHINE_CPU_SYS_PRIV_H

#include "arch/exit_reasons.h"
#include "arch/x86.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/dispatch.h"
#include "machine/cpu/mem.h"
#include "machine/cpu/sys/sys.h"

static inline bool in_long_mode(const struct cpu *c)
{
	return c->efer & EFER_LMA;
}

static inline bool in_64bit(const struct cpu *c)
{
	return c->code_size == 64;
}

static inline bool in_v86(const struct cpu *c)
{
	return c->eflags & EFLAGS_VM;
}

/* Segment registers are selectors with descriptors: not real mode, not virtual-8086 mode. */
static inline bool in_protected(const struct cpu *c)
{
	return (c->cr0 & CR0_PE) && !in_v86(c);
}

static inline unsigned iopl(const struct cpu *c)
{
	return (unsigned)bits(c->eflags, 13, 12);
}

/* The EXT bit of error codes: the fault happened while an event that software did not ask for was being delivered. */
static inline u32 ext_bit(const struct cpu *c)
{
	return c->is_delivering && c->delivering.type != EV_SOFT_INT && c->delivering.type != EV_SW_EXCEPTION;
}

/* A fault whose error code names a selector. */
_Noreturn static inline void raise_sel(struct cpu *c, const struct op *o, unsigned vector, u16 sel)
{
	cpu_raise_err(c, o, vector, (sel & ~SELECTOR_RPL) | ext_bit(c));
}

_Noreturn static inline void raise_gp0(struct cpu *c, const struct op *o)
{
	cpu_raise_err(c, o, VEC_GP, ext_bit(c));
}

static inline void need_cpl0(struct cpu *c, const struct op *o)
{
	if (c->cpl)
		raise_gp0(c, o);
}

/* SDM 3A "User-Mode Instruction Prevention": SGDT, SIDT, SLDT, SMSW, STR. Before any VM exit. */
void need_no_umip(struct cpu *c, const struct op *o);

/* --- descriptors: desc.c --- */

struct desc {
	u64 base;
	u64 lin;   /* where the descriptor is */
	u32 limit; /* in bytes */
	u32 ar;    /* as in struct segment */
	u32 lo, hi;
};

static inline unsigned desc_type(const struct desc *d)
{
	return d->ar & DESC_TYPE;
}

static inline unsigned desc_dpl(const struct desc *d)
{
	return (unsigned)bits(d->ar, 6, 5);
}

static inline bool desc_present(const struct desc *d)
{
	return d->ar & DESC_P;
}

static inline bool desc_is_code(const struct desc *d)
{
	return (d->ar & (DESC_S | SEG_TYPE_CODE)) == (DESC_S | SEG_TYPE_CODE);
}

static inline bool desc_is_conforming(const struct desc *d)
{
	return desc_is_code(d) && (d->ar & SEG_TYPE_C);
}

static inline bool desc_is_writable_data(const struct desc *d)
{
	return (d->ar & (DESC_S | SEG_TYPE_CODE | SEG_TYPE_W)) == (DESC_S | SEG_TYPE_W);
}

static inline bool sel_is_null(u16 sel)
{
	return !(sel & ~SELECTOR_RPL);
}

void desc_decode(struct desc *d, u32 lo, u32 hi, u64 lin);
/*
 * Reads the descriptor of a selector; false if it lies outside its table (or there is no LDT). Page faults are raised.
 */
bool desc_read(struct cpu *c, const struct op *o, u16 sel, struct desc *d);
/* The same, but a fault with that vector and the selector when outside the table or null. */
void desc_need(struct cpu *c, const struct op *o, u16 sel, struct desc *d, unsigned vector);
/*
 * Bits 63:32 of a system descriptor's base in IA-32e mode; false if outside the table or bits 12:8 of the last word are
 * not 0.
 */
bool desc_read_high(struct cpu *c, const struct op *o, u16 sel, struct desc *d);
void desc_set_accessed(struct cpu *c, const struct op *o, struct desc *d);
struct segment desc_segment(const struct desc *d, u16 sel);

/* --- segments: seg.c --- */

/* Loads ES, SS, DS, FS or GS by the rules of the current mode; commits or raises. */
void seg_load(struct cpu *c, const struct op *o, enum sreg s, u16 sel);
void seg_load_real(struct cpu *c, enum sreg s, u16 sel);
void seg_load_v86(struct cpu *c, enum sreg s, u16 sel);
void seg_set_null(struct cpu *c, enum sreg s, u16 sel);
/* After a return to an outer level: data segments that CPL may no longer use become null. SDM 2B "RET". */
void seg_drop_privileged(struct cpu *c, unsigned new_cpl);
bool seg_limit_ok(const struct segment *s, u64 off, unsigned size);
/* Linear address without any check: what INVLPG and the like use. */
u64 seg_linear_unchecked(const struct cpu *c, enum sreg s, u64 ea);

/* --- stacks: stack.c --- */

struct stack {
	struct segment ss;
	u64 rsp, mask;
	u32 error; /* of #SS */
	bool flat; /* 64-bit: no limit, canonical addresses */
	bool sys;  /* written with supervisor rights whatever the present CPL: the stack of an inner level */
};

struct stack stack_current(const struct cpu *c);
void stack_push(struct cpu *c, const struct op *o, struct stack *s, unsigned size, u64 v);
/* Reads at s->rsp + disp, moving nothing. */
u64 stack_peek(struct cpu *c, const struct op *o, const struct stack *s, unsigned disp, unsigned size);
/* s->rsp moves by n, within the mask. */
void stack_add(struct stack *s, u64 n);
/* SS:RSP for a privilege level from the TSS, all checks of SS made. Long mode: null SS. */
struct stack stack_inner(struct cpu *c, const struct op *o, unsigned cpl);
struct stack stack_ist(struct cpu *c, const struct op *o, unsigned slot, bool inner, unsigned cpl);

/* --- control transfers: far.c, gate.c, iret.c, task.c --- */

/* A checked code segment and target, ready to be committed. */
struct target {
	struct segment cs;
	u64 rip;
	unsigned cpl;
};

/* Checks an offset against a code segment (limit, or canonical in 64-bit code): #GP(EXT). */
void target_check_rip(struct cpu *c, const struct op *o, const struct target *t);
bool code_is_64(const struct cpu *c, const struct segment *cs);
/* Makes t the running code; CS.RPL = cpl; SS.DPL must be committed before. */
void target_commit(struct cpu *c, const struct target *t);
/* Makes s the running stack; SS.DPL = cpl. */
void stack_commit(struct cpu *c, const struct stack *s, unsigned cpl);

/* The code segment and the stack that a far return or IRET goes to, all checks made. */
struct target return_target(struct cpu *c, const struct op *o, u16 sel, u64 rip);
struct stack return_stack(struct cpu *c, const struct op *o, const struct target *t, u16 sel, u64 rsp);

enum task_source { TASK_CALL, TASK_IRET, TASK_JMP, TASK_GATE }; /* as in the exit qualification */
/* JMP or CALL to a TSS or task gate: the checks of the descriptor d of sel, then the switch. */
void task_enter(struct cpu *c, const struct op *o, u16 sel, struct desc *d, enum task_source src);
struct task {
	u16 sel;      /* of the TSS */
	bool has_error;
	u32 error;    /* pushed on the new task's stack */
	u64 next_rip; /* where the old task goes on */
	enum task_source source;
};
/* Switches tasks: returns with the new task's state loaded. */
void task_switch(struct cpu *c, const struct op *o, const struct task *t);

/* All flags at once, with the mmu mode if AC changed. */
void flags_load(struct cpu *c, u64 v);

/*
 * PUSHF, POPF, INT n and IRET in virtual-8086 mode with IOPL below 3: true if VME makes them act on VIF instead of IF;
 * #GP without VME or with a 32-bit operand. The images that such a stack holds, and the flags that one gives.
 */
bool v86_virtual_flags(struct cpu *c, const struct op *o);
u64 v86_pushed_flags(const struct cpu *c);
u64 v86_popped_flags(struct cpu *c, const struct op *o, u64 image);

/* --- handlers, one room table in lower.c --- */
#define SYS_HANDLER(name) op_fn op_##name;
#include "machine/cpu/sys/handlers.def"
#undef SYS_HANDLER

#endif
