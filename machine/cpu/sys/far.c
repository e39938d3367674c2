/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Far JMP, CALL and RET, directly and through call gates. SDM 2A "JMP", "CALL", SDM 2B "RET", SDM 3A "Calling a Code
 * Segment" (5.8).
 */
#include "machine/cpu/sys/priv.h"

struct pointer {
	u16 sel;
	u64 off;
};

bool code_is_64(const struct cpu *c, const struct segment *cs)
{
	return in_long_mode(c) && (cs->ar & DESC_L);
}

void target_check_rip(struct cpu *c, const struct op *o, const struct target *t)
{
	bool ok = code_is_64(c, &t->cs) ? sys_canonical(c, t->rip) : t->rip <= t->cs.limit;

	if (!ok)
		raise_gp0(c, o);
}

void target_commit(struct cpu *c, const struct target *t)
{
	c->seg[CS] = t->cs;
	c->seg[CS].sel = (t->cs.sel & ~SELECTOR_RPL) | (u16)t->cpl;
	c->rip = t->rip;
	cpu_update_code_mode(c);
}

/* The pointer operand: immediate (op.imm: offset, selector from bit 32) or m16:16, m16:32, m16:64. */
static struct pointer far_operand(struct cpu *c, const struct op *o)
{
	struct pointer p = { .sel = (u16)(o->imm >> 32), .off = (u32)o->imm };
	u8 buf[10];

	if (!(o->flags & OP_MEM))
		return p;
	p.off = 0;
	ld_buf(c, o, op_lin(c, o, o->size + 2, ACCESS_READ), buf, o->size + 2);
	memcpy(&p.off, buf, o->size);
	memcpy(&p.sel, buf + o->size, 2);
	return p;
}

/* Real-address and virtual-8086 mode: no descriptors. */
static struct target real_target(struct cpu *c, const struct op *o, struct pointer p)
{
	struct target t = { .rip = p.off, .cpl = c->cpl };

	if (p.off > c->seg[CS].limit)
		raise_gp0(c, o);
	return t;
}

static void real_commit(struct cpu *c, const struct target *t, u16 sel)
{
	if (in_v86(c))
		seg_load_v86(c, CS, sel);
	else
		seg_load_real(c, CS, sel);
	c->rip = t->rip;
	cpu_update_code_mode(c);
}

/* A code segment named by a far pointer. */
static struct target direct_target(struct cpu *c, const struct op *o, struct pointer p, struct desc *d)
{
	struct target t = { .rip = p.off, .cpl = c->cpl };
	bool ok = desc_is_conforming(d) ? desc_dpl(d) <= c->cpl
					: desc_dpl(d) == c->cpl && (p.sel & SELECTOR_RPL) <= c->cpl;

	if (!ok || (in_long_mode(c) && (d->ar & DESC_L) && (d->ar & DESC_DB)))
		raise_sel(c, o, VEC_GP, p.sel);
	if (!desc_present(d))
		raise_sel(c, o, VEC_NP, p.sel);
	desc_set_accessed(c, o, d);
	t.cs = desc_segment(d, p.sel);
	target_check_rip(c, o, &t);
	return t;
}

struct gate {
	unsigned word;   /* bytes of each push */
	unsigned params; /* to copy to an inner stack */
	struct target t;
};

/* What a call gate leads to. inner: a call may go to a more privileged non-conforming segment. */
static struct gate read_gate(struct cpu *c, const struct op *o, u16 sel, struct desc *g, bool call)
{
	struct gate gate = { .params = g->hi & 31 };
	u16 csel = (u16)(g->lo >> 16);
	struct desc d;

	if (desc_dpl(g) < c->cpl || desc_dpl(g) < (sel & SELECTOR_RPL) ||
	    (in_long_mode(c) && !desc_read_high(c, o, sel, g)))
		raise_sel(c, o, VEC_GP, sel);
	if (!desc_present(g))
		raise_sel(c, o, VEC_NP, sel);
	desc_need(c, o, csel, &d, VEC_GP);
	if (!desc_is_code(&d) || desc_dpl(&d) > c->cpl || (!call && !desc_is_conforming(&d) && desc_dpl(&d) != c->cpl))
		raise_sel(c, o, VEC_GP, csel);
	if (in_long_mode(c) && (!(d.ar & DESC_L) || (d.ar & DESC_DB)))
		raise_sel(c, o, VEC_GP, csel);
	if (!desc_present(&d))
		raise_sel(c, o, VEC_NP, csel);
	desc_set_accessed(c, o, &d);
	gate.t.cs = desc_segment(&d, csel);
	gate.t.cpl = desc_is_conforming(&d) ? c->cpl : desc_dpl(&d);
	gate.t.rip = (g->lo & 0xffff) | (g->hi & 0xffff0000);
	gate.word = 4;
	if (desc_type(g) == SYS_TYPE_CALL16) {
		gate.t.rip &= 0xffff;
		gate.word = 2;
	} else if (in_long_mode(c)) {
		gate.t.rip |= g->base & ~0xffffffffull;
		gate.word = 8;
		gate.params = 0;
	}
	target_check_rip(c, o, &gate.t);
	return gate;
}

static void jump_system(struct cpu *c, const struct op *o, u16 sel, struct desc *d)
{
	unsigned type = desc_type(d);
	struct gate g;

	if (type == SYS_TYPE_CALL || (type == SYS_TYPE_CALL16 && !in_long_mode(c))) {
		g = read_gate(c, o, sel, d, false);
		target_commit(c, &g.t);
		return;
	}
	if (in_long_mode(c) || (type != SYS_TYPE_TSS_AVAIL && type != SYS_TYPE_TSS16_AVAIL &&
				type != SYS_TYPE_TASK_GATE))
		raise_sel(c, o, VEC_GP, sel);
	task_enter(c, o, sel, d, TASK_JMP);
}

const struct op *op_jmp_far(struct cpu *c, const struct op *o)
{
	struct pointer p;
	struct target t;
	struct desc d;

	cpu_sync(c, o);
	p = far_operand(c, o);
	if (!in_protected(c)) {
		t = real_target(c, o, p);
		real_commit(c, &t, p.sel);
		return op_leave(c);
	}
	desc_need(c, o, p.sel, &d, VEC_GP);
	if (desc_is_code(&d)) {
		t = direct_target(c, o, p, &d);
		target_commit(c, &t);
	} else if (d.ar & DESC_S) {
		raise_sel(c, o, VEC_GP, p.sel);
	} else {
		jump_system(c, o, p.sel, &d);
	}
	return op_leave(c);
}

static void push_return(struct cpu *c, const struct op *o, struct stack *s, unsigned word)
{
	stack_push(c, o, s, word, c->seg[CS].sel);
	stack_push(c, o, s, word, cpu_next_rip(c, o));
}

/* Old stack pointer and parameters go to the new stack. */
static struct stack gate_stack(struct cpu *c, const struct op *o, const struct gate *g)
{
	struct stack old = stack_current(c), s = stack_inner(c, o, g->t.cpl);

	stack_push(c, o, &s, g->word, c->seg[SS].sel);
	stack_push(c, o, &s, g->word, c->gpr[RSP]);
	for (unsigned i = g->params; i-- > 0;)
		stack_push(c, o, &s, g->word, stack_peek(c, o, &old, i * g->word, g->word));
	return s;
}

static void call_gate(struct cpu *c, const struct op *o, u16 sel, struct desc *d)
{
	struct gate g = read_gate(c, o, sel, d, true);
	bool inner = g.t.cpl < c->cpl;
	struct stack s = inner ? gate_stack(c, o, &g) : stack_current(c);

	push_return(c, o, &s, g.word);
	if (inner)
		stack_commit(c, &s, g.t.cpl);
	else
		c->gpr[RSP] = s.rsp;
	target_commit(c, &g.t);
}

static void call_system(struct cpu *c, const struct op *o, u16 sel, struct desc *d)
{
	unsigned type = desc_type(d);

	if (type == SYS_TYPE_CALL || (type == SYS_TYPE_CALL16 && !in_long_mode(c))) {
		call_gate(c, o, sel, d);
		return;
	}
	if (in_long_mode(c) || (type != SYS_TYPE_TSS_AVAIL && type != SYS_TYPE_TSS16_AVAIL &&
				type != SYS_TYPE_TASK_GATE))
		raise_sel(c, o, VEC_GP, sel);
	task_enter(c, o, sel, d, TASK_CALL);
}

static void call_real(struct cpu *c, const struct op *o, struct pointer p)
{
	struct target t = real_target(c, o, p);
	struct stack s = stack_current(c);

	push_return(c, o, &s, o->size);
	c->gpr[RSP] = s.rsp;
	real_commit(c, &t, p.sel);
}

const struct op *op_call_far(struct cpu *c, const struct op *o)
{
	struct pointer p;
	struct target t;
	struct stack s;
	struct desc d;

	cpu_sync(c, o);
	p = far_operand(c, o);
	if (!in_protected(c)) {
		call_real(c, o, p);
		return op_leave(c);
	}
	desc_need(c, o, p.sel, &d, VEC_GP);
	if (desc_is_code(&d)) {
		t = direct_target(c, o, p, &d);
		s = stack_current(c);
		push_return(c, o, &s, o->size);
		c->gpr[RSP] = s.rsp;
		target_commit(c, &t);
	} else if (d.ar & DESC_S) {
		raise_sel(c, o, VEC_GP, p.sel);
	} else {
		call_system(c, o, p.sel, &d);
	}
	return op_leave(c);
}

/* --- returns, shared with IRET --- */

struct target return_target(struct cpu *c, const struct op *o, u16 sel, u64 rip)
{
	struct target t = { .rip = rip, .cpl = sel & SELECTOR_RPL };
	struct desc d;

	if (sel_is_null(sel))
		raise_gp0(c, o);
	desc_need(c, o, sel, &d, VEC_GP);
	if (t.cpl < c->cpl || !desc_is_code(&d) ||
	    (desc_is_conforming(&d) ? desc_dpl(&d) > t.cpl : desc_dpl(&d) != t.cpl) ||
	    (in_long_mode(c) && (d.ar & DESC_L) && (d.ar & DESC_DB)))
		raise_sel(c, o, VEC_GP, sel);
	if (!desc_present(&d))
		raise_sel(c, o, VEC_NP, sel);
	desc_set_accessed(c, o, &d);
	t.cs = desc_segment(&d, sel);
	target_check_rip(c, o, &t);
	return t;
}

struct stack return_stack(struct cpu *c, const struct op *o, const struct target *t, u16 sel, u64 rsp)
{
	struct stack s = { .rsp = rsp, .mask = ~0ull };
	struct desc d;

	if (sel_is_null(sel)) {
		if (!code_is_64(c, &t->cs) || t->cpl == 3 || (sel & SELECTOR_RPL) != t->cpl)
			raise_gp0(c, o);
		s.ss = (struct segment){ .sel = sel, .ar = SEG_UNUSABLE };
		return s;
	}
	desc_need(c, o, sel, &d, VEC_GP);
	if ((sel & SELECTOR_RPL) != t->cpl || !desc_is_writable_data(&d) || desc_dpl(&d) != t->cpl)
		raise_sel(c, o, VEC_GP, sel);
	if (!desc_present(&d))
		raise_sel(c, o, VEC_SS, sel);
	desc_set_accessed(c, o, &d);
	s.ss = desc_segment(&d, sel);
	if (!code_is_64(c, &t->cs))
		s.mask = d.ar & DESC_DB ? 0xffffffff : 0xffff;
	/* A 16-bit stack takes SP alone: the upper half of ESP stays what it was. */
	s.rsp = s.mask == 0xffff ? (c->gpr[RSP] & ~0xffffull) | (rsp & 0xffff) : rsp & s.mask;
	return s;
}

static void ret_real(struct cpu *c, const struct op *o)
{
	struct stack s = stack_current(c);
	struct pointer p = { .off = stack_peek(c, o, &s, 0, o->size),
			    .sel = (u16)stack_peek(c, o, &s, o->size, o->size) };
	struct target t = real_target(c, o, p);

	stack_add(&s, 2 * o->size + (u16)o->imm);
	c->gpr[RSP] = s.rsp;
	real_commit(c, &t, p.sel);
}

static void ret_outer(struct cpu *c, const struct op *o, const struct stack *s, const struct target *t)
{
	unsigned at = 2 * o->size + (u16)o->imm;
	u64 rsp = stack_peek(c, o, s, at, o->size);
	u16 sel = (u16)stack_peek(c, o, s, at + o->size, o->size);
	struct stack outer = return_stack(c, o, t, sel, rsp);

	stack_add(&outer, (u16)o->imm);
	stack_commit(c, &outer, t->cpl);
	target_commit(c, t);
	seg_drop_privileged(c, t->cpl);
}

const struct op *op_ret_far(struct cpu *c, const struct op *o)
{
	struct target t;
	struct stack s;

	cpu_sync(c, o);
	if (!in_protected(c)) {
		ret_real(c, o);
		return op_leave(c);
	}
	s = stack_current(c);
	t = return_target(c, o, (u16)stack_peek(c, o, &s, o->size, o->size), stack_peek(c, o, &s, 0, o->size));
	if (t.cpl > c->cpl) {
		ret_outer(c, o, &s, &t);
		return op_leave(c);
	}
	stack_add(&s, 2 * o->size + (u16)o->imm);
	c->gpr[RSP] = s.rsp;
	target_commit(c, &t);
	return op_leave(c);
}
