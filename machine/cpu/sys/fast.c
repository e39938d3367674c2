/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SYSCALL, SYSRET, SYSENTER, SYSEXIT, and the instructions that raise an event on purpose. SDM 2B, SDM 3A 5.8.7 and
 * 5.8.8.
 */
#include "machine/cpu/block.h"
#include "machine/cpu/sys/priv.h"

#define AR_CODE (DESC_G | DESC_P | DESC_S | SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_A)
#define AR_DATA (DESC_G | DESC_DB | DESC_P | DESC_S | SEG_TYPE_W | SEG_TYPE_A)

/* These instructions load flat segments without looking at descriptors. */
static void flat_segments(struct cpu *c, u16 cs, u16 ss, unsigned cpl, bool is64)
{
	u32 dpl = cpl << DESC_DPL_SHIFT;

	c->seg[CS] = (struct segment){ .sel = cs, .limit = 0xffffffff,
				      .ar = AR_CODE | dpl | (is64 ? DESC_L : DESC_DB) };
	c->seg[SS] = (struct segment){ .sel = ss, .limit = 0xffffffff, .ar = AR_DATA | dpl };
}

/* A SYSCALL that clears TF is not followed by a single-step trap: leaves the instruction past the run loop's check. */
_Noreturn static void leave_untrapped(struct cpu *c)
{
	c->inhibit = 0;
	c->unspent = 0;
	c->unretired = 0;
	cpu_unwind(c, UNWIND_RESUME);
}

const struct op *op_syscall(struct cpu *c, const struct op *o)
{
	u16 cs = (u16)(c->star >> 32) & ~SELECTOR_RPL;
	u64 flags;

	cpu_sync(c, o);
	if (!in_64bit(c) || !(c->efer & EFER_SCE))
		cpu_raise(c, o, VEC_UD);
	flags = cpu_rflags(c) & ~EFLAGS_RF;
	c->gpr[RCX] = cpu_next_rip(c, o);
	c->gpr[R11] = flags;
	flat_segments(c, cs, cs + 8, 0, true);
	flags_load(c, flags & ~c->fmask);
	c->rip = c->lstar;
	cpu_update_code_mode(c);
	stat_add(c->m, STAT_SYSCALLS, 1);
	cpu_charge(c, COST_SYSCALL);
	if (unlikely((flags & EFLAGS_TF) && !(c->eflags & EFLAGS_TF)))
		leave_untrapped(c);
	return block_go(c);
}

const struct op *op_sysret(struct cpu *c, const struct op *o)
{
	u16 sel = (u16)(c->star >> 48);
	bool is64 = o->size == 8;

	cpu_sync(c, o);
	if (!in_64bit(c) || !(c->efer & EFER_SCE))
		cpu_raise(c, o, VEC_UD);
	need_cpl0(c, o);
	if (is64 && !sys_canonical(c, c->gpr[RCX]))
		raise_gp0(c, o);
	c->rip = is64 ? c->gpr[RCX] : (u32)c->gpr[RCX];
	flat_segments(c, (u16)(sel + (is64 ? 16 : 0)) | 3, (u16)(sel + 8) | 3, 3, is64);
	flags_load(c, c->gpr[R11] & 0x3c7fd7 & ~EFLAGS_RF);
	cpu_update_code_mode(c);
	cpu_charge(c, COST_SYSRET);
	return block_go(c);
}

const struct op *op_sysenter(struct cpu *c, const struct op *o)
{
	u16 cs = (u16)c->sysenter_cs & ~SELECTOR_RPL;
	bool is64 = in_long_mode(c);

	cpu_sync(c, o);
	if (!(c->cr0 & CR0_PE) || !cs)
		raise_gp0(c, o);
	c->eflags &= ~(EFLAGS_VM | EFLAGS_IF | EFLAGS_RF);
	flat_segments(c, cs, cs + 8, 0, is64);
	c->gpr[RSP] = is64 ? c->sysenter_esp : (u32)c->sysenter_esp;
	c->rip = is64 ? c->sysenter_eip : (u32)c->sysenter_eip;
	cpu_update_code_mode(c);
	stat_add(c->m, STAT_SYSCALLS, 1);
	cpu_charge(c, COST_SYSCALL);
	return op_leave(c);
}

const struct op *op_sysexit(struct cpu *c, const struct op *o)
{
	u16 cs = (u16)c->sysenter_cs & ~SELECTOR_RPL;
	bool is64 = o->size == 8;

	cpu_sync(c, o);
	if (!(c->cr0 & CR0_PE) || !cs || c->cpl)
		raise_gp0(c, o);
	if (is64 && (!sys_canonical(c, c->gpr[RCX]) || !sys_canonical(c, c->gpr[RDX])))
		raise_gp0(c, o);
	flat_segments(c, (u16)(cs + (is64 ? 32 : 16)) | 3, (u16)(cs + (is64 ? 40 : 24)) | 3, 3, is64);
	c->gpr[RSP] = is64 ? c->gpr[RCX] : (u32)c->gpr[RCX];
	c->rip = is64 ? c->gpr[RDX] : (u32)c->gpr[RDX];
	cpu_update_code_mode(c);
	cpu_charge(c, COST_SYSRET);
	return op_leave(c);
}

_Noreturn static void raise_soft(struct cpu *c, const struct op *o, unsigned vector, enum event_type type)
{
	const struct event e = { .vector = (u8)vector, .type = (u8)type, .insn_len = o->len };

	cpu_raise_event(c, o, &e);
}

const struct op *op_int_n(struct cpu *c, const struct op *o)
{
	if (in_v86(c) && iopl(c) < 3 && !(c->cr4 & CR4_VME)) /* with VME: deliver.c */
		cpu_raise_err(c, o, VEC_GP, 0);
	raise_soft(c, o, (u8)o->imm, EV_SOFT_INT);
}

const struct op *op_int1(struct cpu *c, const struct op *o)
{
	raise_soft(c, o, VEC_DB, EV_PRIV_SW_EXCEPTION);
}

const struct op *op_int3(struct cpu *c, const struct op *o)
{
	raise_soft(c, o, VEC_BP, EV_SW_EXCEPTION);
}

const struct op *op_into(struct cpu *c, const struct op *o)
{
	if (cpu_rflags(c) & EFLAGS_OF)
		raise_soft(c, o, VEC_OF, EV_SW_EXCEPTION);
	OP_NEXT(c, o);
}

const struct op *op_bound(struct cpu *c, const struct op *o)
{
	u64 lin = op_lin(c, o, 2u * o->size, ACCESS_READ);
	s32 lower, upper, index;

	if (o->size == 2) {
		lower = (s16)ld16(c, o, lin);
		upper = (s16)ld16(c, o, (u32)(lin + 2));
		index = (s16)c->gpr[o->dst];
	} else {
		lower = (s32)ld32(c, o, lin);
		upper = (s32)ld32(c, o, (u32)(lin + 4));
		index = (s32)c->gpr[o->dst];
	}
	if (index < lower || index > upper)
		cpu_raise(c, o, VEC_BR);
	OP_NEXT(c, o);
}

const struct op *op_ud(struct cpu *c, const struct op *o)
{
	cpu_raise(c, o, VEC_UD);
}
