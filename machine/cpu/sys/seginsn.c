/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that load and store segment registers, and the FS and GS bases. */
#include "machine/cpu/sys/priv.h"

static u16 sreg_source(struct cpu *c, const struct op *o)
{
	if (o->flags & OP_MEM)
		return ld16(c, o, op_lin(c, o, 2, ACCESS_READ));
	return (u16)c->gpr[o->src];
}

/*
 * MOV SS and POP SS hold off interrupts and debug traps for one instruction. SDM 3A "Masking Exceptions and Interrupts
 * When Switching Stacks".
 */
static void ss_shadow(struct cpu *c, bool in_shadow)
{
	if (!in_shadow)
		c->inhibit = INHIBIT_MOVSS;
}

/* Ends a load of a segment register: outside 64-bit mode every segment matters to how code is run. */
static const struct op *sreg_done(struct cpu *c, const struct op *o, enum sreg s)
{
	if (s == SS) {
		ss_shadow(c, c->inhibit == INHIBIT_MOVSS);
		cpu_update_code_mode(c);
	}
	if (!(o->flags & OP_END))
		OP_NEXT(c, o);
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

const struct op *op_mov_to_sreg(struct cpu *c, const struct op *o)
{
	u16 sel;

	cpu_sync(c, o);
	sel = sreg_source(c, o);
	seg_load(c, o, (enum sreg)o->dst, sel);
	return sreg_done(c, o, (enum sreg)o->dst);
}

const struct op *op_mov_from_sreg(struct cpu *c, const struct op *o)
{
	u16 sel = c->seg[o->src].sel;

	if (o->flags & OP_MEM)
		st16(c, o, op_lin(c, o, 2, ACCESS_WRITE), sel);
	else if (o->size == 2)
		c->gpr[o->dst] = (c->gpr[o->dst] & ~0xffffull) | sel;
	else
		c->gpr[o->dst] = sel;
	OP_NEXT(c, o);
}

const struct op *op_push_sreg(struct cpu *c, const struct op *o)
{
	struct stack s;

	cpu_sync(c, o);
	s = stack_current(c);
	stack_push(c, o, &s, o->size, c->seg[o->src].sel);
	c->gpr[RSP] = s.rsp;
	OP_NEXT(c, o);
}

const struct op *op_pop_sreg(struct cpu *c, const struct op *o)
{
	struct stack s;
	u16 sel;

	cpu_sync(c, o);
	s = stack_current(c);
	sel = (u16)stack_peek(c, o, &s, 0, o->size);
	seg_load(c, o, (enum sreg)o->dst, sel);
	stack_add(&s, o->size);
	c->gpr[RSP] = s.rsp;
	return sreg_done(c, o, (enum sreg)o->dst);
}

static void put_gpr(struct cpu *c, unsigned r, unsigned size, u64 v)
{
	if (size == 2)
		c->gpr[r] = (c->gpr[r] & ~0xffffull) | (v & 0xffff);
	else
		c->gpr[r] = size == 4 ? (u32)v : v;
}

/* LDS, LES, LSS, LFS, LGS: aux is the segment register. */
const struct op *op_load_far_pointer(struct cpu *c, const struct op *o)
{
	u8 buf[10];
	u64 off = 0;
	u16 sel;

	cpu_sync(c, o);
	ld_buf(c, o, op_lin(c, o, o->size + 2, ACCESS_READ), buf, o->size + 2);
	memcpy(&off, buf, o->size);
	memcpy(&sel, buf + o->size, 2);
	seg_load(c, o, (enum sreg)o->aux, sel);
	put_gpr(c, o->dst, o->size, off);
	if (o->aux == SS)
		cpu_update_code_mode(c);
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

const struct op *op_swapgs(struct cpu *c, const struct op *o)
{
	u64 base = c->seg[GS].base;

	cpu_sync(c, o);
	need_cpl0(c, o);
	c->seg[GS].base = c->kernel_gs_base;
	c->kernel_gs_base = base;
	OP_NEXT(c, o);
}

/* RDFSBASE, RDGSBASE, WRFSBASE, WRGSBASE: aux is the segment register. */
const struct op *op_rdbase(struct cpu *c, const struct op *o)
{
	if (!(c->cr4 & CR4_FSGSBASE))
		cpu_raise(c, o, VEC_UD);
	put_gpr(c, o->dst, o->size, c->seg[o->aux].base);
	OP_NEXT(c, o);
}

const struct op *op_wrbase(struct cpu *c, const struct op *o)
{
	u64 v = o->size == 4 ? (u32)c->gpr[o->dst] : c->gpr[o->dst];

	if (!(c->cr4 & CR4_FSGSBASE))
		cpu_raise(c, o, VEC_UD);
	if (!sys_canonical(c, v))
		cpu_raise_err(c, o, VEC_GP, 0);
	c->seg[o->aux].base = v;
	OP_NEXT(c, o);
}
