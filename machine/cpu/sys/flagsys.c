/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that change system flags: POPF, PUSHF, CLI, STI, CLAC, STAC. SDM 3A "System Flags and Fields in the
 * EFLAGS Register".
 */
#include "machine/cpu/sys/priv.h"

#define FLAGS_ALWAYS (EFLAGS_ARITHMETIC | EFLAGS_TF | EFLAGS_DF | EFLAGS_NT | EFLAGS_AC | EFLAGS_ID)

void flags_load(struct cpu *c, u64 v)
{
	cpu_set_rflags(c, (v & ~EFLAGS_RESERVED_0) | EFLAGS_ONE);
}

/*
 * CPL 3, whose IOPL forbids IF, has VIF instead: SDM 3B "Class 2—Maskable Hardware Interrupt Handling in Virtual-8086
 * Mode Using the Virtual Interrupt Mechanism", "Protected-Mode Virtual Interrupts".
 */
static bool virtual_if(const struct cpu *c)
{
	return c->cpl == 3 && iopl(c) < 3 && (c->cr4 & (in_v86(c) ? CR4_VME : CR4_PVI));
}

bool v86_virtual_flags(struct cpu *c, const struct op *o)
{
	if (!in_v86(c) || iopl(c) == 3)
		return false;
	if (!(c->cr4 & CR4_VME) || o->size != 2)
		raise_gp0(c, o);
	return true;
}

u64 v86_pushed_flags(const struct cpu *c)
{
	u64 v = cpu_rflags(c);

	if (iopl(c) == 3)
		return v;
	return (v & ~(u64)EFLAGS_IF) | EFLAGS_IOPL | (v & EFLAGS_VIF ? EFLAGS_IF : 0);
}

u64 v86_popped_flags(struct cpu *c, const struct op *o, u64 image)
{
	const u64 mask = FLAGS_ALWAYS & 0xffff;
	u64 old = cpu_rflags(c);

	if (((image & EFLAGS_IF) && (old & EFLAGS_VIP)) || (image & EFLAGS_TF))
		raise_gp0(c, o);
	return (old & ~(mask | EFLAGS_VIF)) | (image & mask) | (image & EFLAGS_IF ? EFLAGS_VIF : 0);
}

const struct op *op_pushf(struct cpu *c, const struct op *o)
{
	struct stack s;
	u64 v;

	cpu_sync(c, o);
	v = v86_virtual_flags(c, o) ? v86_pushed_flags(c) : cpu_rflags(c);
	s = stack_current(c);
	stack_push(c, o, &s, o->size, v & ~(EFLAGS_VM | EFLAGS_RF));
	c->gpr[RSP] = s.rsp;
	OP_NEXT(c, o);
}

/* At CPL 0 a POPF of 32 or 64 bits clears VIF and VIP: SDM 2B "POPF/POPFD/POPFQ", table "Effect of POPF/POPFD". */
static u64 popped_flags(const struct cpu *c, const struct op *o, u64 image)
{
	u64 mask = FLAGS_ALWAYS, clear = EFLAGS_RF;

	if (c->cpl <= iopl(c))
		mask |= EFLAGS_IF;
	if (!c->cpl) {
		mask |= EFLAGS_IOPL;
		clear |= EFLAGS_VIF | EFLAGS_VIP;
	}
	if (o->size == 2) {
		mask &= 0xffff;
		clear = 0;
	}
	return (cpu_rflags(c) & ~(mask | clear)) | (image & mask);
}

const struct op *op_popf(struct cpu *c, const struct op *o)
{
	struct stack s;
	bool virtual;
	u64 v;

	cpu_sync(c, o);
	virtual = v86_virtual_flags(c, o);
	s = stack_current(c);
	v = stack_peek(c, o, &s, 0, o->size);
	v = virtual ? v86_popped_flags(c, o, v) : popped_flags(c, o, v);
	stack_add(&s, o->size);
	c->gpr[RSP] = s.rsp;
	flags_load(c, v);
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

const struct op *op_cli(struct cpu *c, const struct op *o)
{
	if (unlikely(c->cpl > iopl(c))) {
		if (!virtual_if(c))
			cpu_raise_err(c, o, VEC_GP, 0);
		c->eflags &= ~EFLAGS_VIF;
	} else {
		c->eflags &= ~EFLAGS_IF;
	}
	OP_NEXT(c, o);
}

const struct op *op_sti(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	if (unlikely(c->cpl > iopl(c))) {
		if (!virtual_if(c) || (c->eflags & EFLAGS_VIP))
			cpu_raise_err(c, o, VEC_GP, 0);
		c->eflags |= EFLAGS_VIF;
	} else {
		if (!(c->eflags & EFLAGS_IF) && !c->inhibit)
			c->inhibit = INHIBIT_STI;
		c->eflags |= EFLAGS_IF;
	}
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
