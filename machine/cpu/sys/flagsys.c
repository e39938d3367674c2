/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that change system flags: POPF, PUSHF, CLI, STI, CLAC, STAC. SDM 3A "System Flags and Fields in the
 * EFLAGS Register".
 */
#include "machine/cpu/sys/priv.h"

#define FLAGS_ALWAYS (EFLAGS_ARITHMETIC | EFLAGS_TF | EFLAGS_DF | EFLAGS_NT | EFLAGS_AC | EFLAGS_ID)

void flags_load(struct cpu *c, u64 v)
{
	cpu_set_rflags(c, (v & ~(EFLAGS_RESERVED_0 | EFLAGS_VIF | EFLAGS_VIP)) | EFLAGS_ONE);
}

/* In virtual-8086 mode without VME, PUSHF, POPF, INT n and IRET need IOPL 3. */
static void need_v86_iopl(struct cpu *c, const struct op *o)
{
	if (in_v86(c) && iopl(c) < 3)
		raise_gp0(c, o);
}

const struct op *op_pushf(struct cpu *c, const struct op *o)
{
	struct stack s;

	cpu_sync(c, o);
	need_v86_iopl(c, o);
	s = stack_current(c);
	stack_push(c, o, &s, o->size, cpu_rflags(c) & ~(EFLAGS_VM | EFLAGS_RF));
	c->gpr[RSP] = s.rsp;
	OP_NEXT(c, o);
}

const struct op *op_popf(struct cpu *c, const struct op *o)
{
	u64 old, v, mask = FLAGS_ALWAYS;
	struct stack s;

	cpu_sync(c, o);
	need_v86_iopl(c, o);
	s = stack_current(c);
	v = stack_peek(c, o, &s, 0, o->size);
	if (c->cpl <= iopl(c))
		mask |= EFLAGS_IF;
	if (!c->cpl)
		mask |= EFLAGS_IOPL;
	if (o->size == 2)
		mask &= 0xffff;
	old = cpu_rflags(c) & ~(o->size == 2 ? 0 : EFLAGS_RF);
	stack_add(&s, o->size);
	c->gpr[RSP] = s.rsp;
	flags_load(c, (old & ~mask) | (v & mask));
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

const struct op *op_cli(struct cpu *c, const struct op *o)
{
	if (unlikely(c->cpl > iopl(c)))
		cpu_raise_err(c, o, VEC_GP, 0);
	c->eflags &= ~EFLAGS_IF;
	OP_NEXT(c, o);
}

const struct op *op_sti(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	if (unlikely(c->cpl > iopl(c)))
		cpu_raise_err(c, o, VEC_GP, 0);
	if (!(c->eflags & EFLAGS_IF) && !c->inhibit)
		c->inhibit = INHIBIT_STI;
	c->eflags |= EFLAGS_IF;
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

static const struct op *set_ac(struct cpu *c, const struct op *o, u64 ac)
{
	if (unlikely(c->cpl))
		cpu_raise(c, o, VEC_UD);
	c->eflags = (c->eflags & ~EFLAGS_AC) | ac;
	mmu_update_mode(c);
	OP_NEXT(c, o);
}

const struct op *op_clac(struct cpu *c, const struct op *o)
{
	return set_ac(c, o, 0);
}

const struct op *op_stac(struct cpu *c, const struct op *o)
{
	return set_ac(c, o, EFLAGS_AC);
}
