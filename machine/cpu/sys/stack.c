/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stacks of control transfers: pushes and pops with checks before anything is committed, and stack switches by the TSS.
 */
#include "machine/cpu/sys/priv.h"

struct stack stack_current(const struct cpu *c)
{
	return (struct stack){ .ss = c->seg[SS], .rsp = c->gpr[RSP], .mask = c->stack_mask, .error = ext_bit(c),
			      .flat = in_64bit(c) };
}

static u64 stack_linear(struct cpu *c, const struct op *o, const struct stack *s, u64 off, unsigned size)
{
	if (s->flat) {
		if (!sys_canonical(c, off) || !sys_canonical(c, off + size - 1))
			cpu_raise_err(c, o, VEC_SS, s->error);
		return off;
	}
	if ((s->ss.ar & SEG_UNUSABLE) || !seg_limit_ok(&s->ss, off, size))
		cpu_raise_err(c, o, VEC_SS, s->error);
	return (u32)(s->ss.base + off);
}

void stack_add(struct stack *s, u64 n)
{
	u64 off = (s->rsp + n) & s->mask;

	s->rsp = s->mask == 0xffff ? (s->rsp & ~0xffffull) | off : off;
}

void stack_push(struct cpu *c, const struct op *o, struct stack *s, unsigned size, u64 v)
{
	u64 lin;

	stack_add(s, -(u64)size);
	lin = stack_linear(c, o, s, s->rsp & s->mask, size);
	if (s->sys)
		mmu_st_sys(c, o, lin, size, v);
	else
		mmu_st(c, o, lin, size, v);
}

u64 stack_peek(struct cpu *c, const struct op *o, const struct stack *s, unsigned disp, unsigned size)
{
	return mmu_ld(c, o, stack_linear(c, o, s, (s->rsp + disp) & s->mask, size), size);
}

static u64 tss_load(struct cpu *c, const struct op *o, unsigned off, unsigned size)
{
	return mmu_ld_sys(c, o, c->tr.base + off, size);
}

/* RSP0..2 or an IST entry of the 64-bit TSS. SDM 3A "64-Bit Mode Stack Behavior", "Interrupt Stack Table". */
static u64 tss64_rsp(struct cpu *c, const struct op *o, unsigned off)
{
	u64 rsp;

	if (off + 7 > c->tr.limit)
		raise_sel(c, o, VEC_TS, c->tr.sel);
	rsp = tss_load(c, o, off, 8);
	if (!sys_canonical(c, rsp))
		cpu_raise_err(c, o, VEC_SS, ext_bit(c));
	return rsp;
}

static struct stack stack_flat(struct cpu *c, u64 rsp, unsigned cpl)
{
	return (struct stack){
		.ss = { .sel = (u16)cpl, .ar = SEG_UNUSABLE | cpl << DESC_DPL_SHIFT },
		.rsp = rsp, .mask = ~0ull, .error = ext_bit(c), .flat = true, .sys = true,
	};
}

/*
 * The stack segment of an inner level: SDM 2A "CALL", "INT n": #TS with its selector for all but absence, which is #SS.
 */
static void check_inner_ss(struct cpu *c, const struct op *o, u16 sel, unsigned cpl, struct desc *d)
{
	desc_need(c, o, sel, d, VEC_TS);
	if ((sel & SELECTOR_RPL) != cpl || desc_dpl(d) != cpl || !desc_is_writable_data(d))
		raise_sel(c, o, VEC_TS, sel);
	if (!desc_present(d))
		raise_sel(c, o, VEC_SS, sel);
}

static struct stack stack_inner_legacy(struct cpu *c, const struct op *o, unsigned cpl)
{
	bool tss32 = c->tr.ar & 8;
	unsigned off = tss32 ? 4 + 8 * cpl : 2 + 4 * cpl, word = tss32 ? 4 : 2;
	struct stack s = { .sys = true };
	struct desc d;
	u16 sel;

	if (off + word + 1 > c->tr.limit)
		raise_sel(c, o, VEC_TS, c->tr.sel);
	s.rsp = tss_load(c, o, off, word);
	sel = (u16)tss_load(c, o, off + word, 2);
	check_inner_ss(c, o, sel, cpl, &d);
	desc_set_accessed(c, o, &d);
	s.ss = desc_segment(&d, sel);
	s.mask = d.ar & DESC_DB ? 0xffffffff : 0xffff;
	s.error = (sel & ~SELECTOR_RPL) | ext_bit(c);
	return s;
}

struct stack stack_inner(struct cpu *c, const struct op *o, unsigned cpl)
{
	if (!in_long_mode(c))
		return stack_inner_legacy(c, o, cpl);
	return stack_flat(c, tss64_rsp(c, o, TSS64_RSP0 + 8 * cpl), cpl);
}

struct stack stack_ist(struct cpu *c, const struct op *o, unsigned slot, bool inner, unsigned cpl)
{
	struct stack s = stack_flat(c, tss64_rsp(c, o, TSS64_IST1 + 8 * (slot - 1)), cpl);

	if (!inner) {
		s.ss = c->seg[SS];
		s.sys = false;
	}
	return s;
}

void stack_commit(struct cpu *c, const struct stack *s, unsigned cpl)
{
	c->seg[SS] = s->ss;
	c->seg[SS].ar = (s->ss.ar & ~DESC_DPL) | cpl << DESC_DPL_SHIFT;
	c->gpr[RSP] = s->rsp;
}
