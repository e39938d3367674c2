/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions about descriptor tables and descriptors: LGDT … STR, LAR, LSL, VERR, VERW, ARPL. */
#include "machine/cpu/sys/priv.h"
#include "machine/vmx/vmx.h"

static const struct op *table_done(struct cpu *c, const struct op *o)
{
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

static struct table_reg table_operand(struct cpu *c, const struct op *o)
{
	unsigned n = in_64bit(c) ? 10 : 6;
	struct table_reg t = { 0 };
	u8 buf[10];

	ld_buf(c, o, op_lin(c, o, n, ACCESS_READ), buf, n);
	memcpy(&t.limit, buf, 2);
	memcpy(&t.base, buf + 2, n - 2);
	if (!in_64bit(c) && o->size == 2)
		t.base &= 0xffffff;
	if (!sys_base_valid(t.base))
		cpu_raise_err(c, o, VEC_GP, 0);
	return t;
}

static void table_store(struct cpu *c, const struct op *o, struct table_reg t)
{
	unsigned n = in_64bit(c) ? 10 : 6;
	u8 buf[10];

	memcpy(buf, &t.limit, 2);
	memcpy(buf + 2, &t.base, 8);
	st_buf(c, o, op_lin(c, o, n, ACCESS_WRITE), buf, n);
}

const struct op *op_lgdt(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept_info(c, o, EXIT_GDTR_IDTR);
	c->gdtr = table_operand(c, o);
	return table_done(c, o);
}

const struct op *op_lidt(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept_info(c, o, EXIT_GDTR_IDTR);
	c->idtr = table_operand(c, o);
	return table_done(c, o);
}

const struct op *op_sgdt(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_no_umip(c, o);
	vmx_intercept_info(c, o, EXIT_GDTR_IDTR);
	table_store(c, o, c->gdtr);
	return table_done(c, o);
}

const struct op *op_sidt(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_no_umip(c, o);
	vmx_intercept_info(c, o, EXIT_GDTR_IDTR);
	table_store(c, o, c->idtr);
	return table_done(c, o);
}

static u16 sel_operand(struct cpu *c, const struct op *o, unsigned reg)
{
	if (o->flags & OP_MEM)
		return ld16(c, o, op_lin(c, o, 2, ACCESS_READ));
	return (u16)c->gpr[reg];
}

static void need_protected(struct cpu *c, const struct op *o)
{
	if (!in_protected(c))
		cpu_raise(c, o, VEC_UD);
}

/* A system descriptor in the GDT, of 16 bytes in IA-32e mode: #GP(selector) otherwise. */
static void need_system_desc(struct cpu *c, const struct op *o, u16 sel, struct desc *d)
{
	if (sel & SELECTOR_TI)
		raise_sel(c, o, VEC_GP, sel);
	desc_need(c, o, sel, d, VEC_GP);
	if ((d->ar & DESC_S) || (in_long_mode(c) && (!desc_read_high(c, o, sel, d) || !sys_base_valid(d->base))))
		raise_sel(c, o, VEC_GP, sel);
}

const struct op *op_lldt(struct cpu *c, const struct op *o)
{
	struct desc d;
	u16 sel;

	cpu_sync(c, o);
	need_protected(c, o);
	need_cpl0(c, o);
	vmx_intercept_info(c, o, EXIT_LDTR_TR);
	sel = sel_operand(c, o, o->src);
	if (sel_is_null(sel)) {
		c->ldtr = (struct segment){ .sel = sel, .ar = SEG_UNUSABLE };
		return table_done(c, o);
	}
	need_system_desc(c, o, sel, &d);
	if (desc_type(&d) != SYS_TYPE_LDT)
		raise_sel(c, o, VEC_GP, sel);
	if (!desc_present(&d))
		raise_sel(c, o, VEC_NP, sel);
	c->ldtr = desc_segment(&d, sel);
	return table_done(c, o);
}

const struct op *op_ltr(struct cpu *c, const struct op *o)
{
	struct desc d;
	u16 sel;

	cpu_sync(c, o);
	need_protected(c, o);
	need_cpl0(c, o);
	vmx_intercept_info(c, o, EXIT_LDTR_TR);
	sel = sel_operand(c, o, o->src);
	if (sel_is_null(sel))
		raise_gp0(c, o);
	need_system_desc(c, o, sel, &d);
	if (desc_type(&d) != SYS_TYPE_TSS_AVAIL && (in_long_mode(c) || desc_type(&d) != SYS_TYPE_TSS16_AVAIL))
		raise_sel(c, o, VEC_GP, sel);
	if (!desc_present(&d))
		raise_sel(c, o, VEC_NP, sel);
	d.ar |= 2; /* busy */
	mmu_st_sys(c, o, d.lin + 5, 1, (u8)d.ar);
	c->tr = desc_segment(&d, sel);
	return table_done(c, o);
}

static const struct op *store_sel(struct cpu *c, const struct op *o, u16 sel)
{
	if (o->flags & OP_MEM)
		st16(c, o, op_lin(c, o, 2, ACCESS_WRITE), sel);
	else if (o->size == 2)
		c->gpr[o->dst] = (c->gpr[o->dst] & ~0xffffull) | sel;
	else
		c->gpr[o->dst] = sel;
	return table_done(c, o);
}

const struct op *op_sldt(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_protected(c, o);
	need_no_umip(c, o);
	vmx_intercept_info(c, o, EXIT_LDTR_TR);
	return store_sel(c, o, c->ldtr.sel);
}

const struct op *op_str(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_protected(c, o);
	need_no_umip(c, o);
	vmx_intercept_info(c, o, EXIT_LDTR_TR);
	return store_sel(c, o, c->tr.sel);
}

static void set_zf(struct cpu *c, bool zf)
{
	u64 f = cpu_rflags(c) & EFLAGS_ARITHMETIC;

	cpu_set_status(c, (u32)(zf ? f | EFLAGS_ZF : f & ~EFLAGS_ZF));
}

/* Reads a descriptor that the present level may look at (LAR, LSL, VERR, VERW never fault for that). */
static bool visible_desc(struct cpu *c, const struct op *o, u16 sel, struct desc *d)
{
	if (sel_is_null(sel) || !desc_read(c, o, sel, d))
		return false;
	return desc_is_conforming(d) || (desc_dpl(d) >= c->cpl && desc_dpl(d) >= (sel & SELECTOR_RPL));
}

/* System types that LAR and LSL accept; IA-32e mode has no 16-bit ones. SDM 2A tables 3-52 and 3-65. */
static bool lar_type_ok(const struct cpu *c, const struct desc *d)
{
	u32 legacy = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 11 | 1u << 12;
	u32 ia32e = 1u << 2 | 1u << 9 | 1u << 11 | 1u << 12;

	return (d->ar & DESC_S) || ((in_long_mode(c) ? ia32e : legacy) >> desc_type(d) & 1);
}

static bool lsl_type_ok(const struct cpu *c, const struct desc *d)
{
	u32 legacy = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 11;
	u32 ia32e = 1u << 2 | 1u << 9 | 1u << 11;

	return (d->ar & DESC_S) || ((in_long_mode(c) ? ia32e : legacy) >> desc_type(d) & 1);
}

static void put_result(struct cpu *c, const struct op *o, u32 v)
{
	if (o->size == 2)
		c->gpr[o->dst] = (c->gpr[o->dst] & ~0xffffull) | (u16)v;
	else
		c->gpr[o->dst] = v;
}

const struct op *op_lar(struct cpu *c, const struct op *o)
{
	struct desc d;
	bool ok;
	u16 sel;

	cpu_sync(c, o);
	need_protected(c, o);
	sel = sel_operand(c, o, o->src);
	ok = visible_desc(c, o, sel, &d) && lar_type_ok(c, &d);
	if (ok)
		put_result(c, o, d.hi & 0x00ffff00);
	set_zf(c, ok);
	OP_NEXT(c, o);
}

const struct op *op_lsl(struct cpu *c, const struct op *o)
{
	struct desc d;
	bool ok;
	u16 sel;

	cpu_sync(c, o);
	need_protected(c, o);
	sel = sel_operand(c, o, o->src);
	ok = visible_desc(c, o, sel, &d) && lsl_type_ok(c, &d);
	if (ok)
		put_result(c, o, d.limit);
	set_zf(c, ok);
	OP_NEXT(c, o);
}

const struct op *op_verr(struct cpu *c, const struct op *o)
{
	struct desc d;
	u16 sel;

	cpu_sync(c, o);
	need_protected(c, o);
	sel = sel_operand(c, o, o->dst);
	set_zf(c, visible_desc(c, o, sel, &d) && (d.ar & DESC_S) && (!desc_is_code(&d) || (d.ar & SEG_TYPE_R)));
	OP_NEXT(c, o);
}

const struct op *op_verw(struct cpu *c, const struct op *o)
{
	struct desc d;
	u16 sel;

	cpu_sync(c, o);
	need_protected(c, o);
	sel = sel_operand(c, o, o->dst);
	set_zf(c, visible_desc(c, o, sel, &d) && desc_is_writable_data(&d));
	OP_NEXT(c, o);
}

const struct op *op_arpl(struct cpu *c, const struct op *o)
{
	u16 rpl = (u16)(c->gpr[o->src] & SELECTOR_RPL), dst;
	u64 lin = 0;

	cpu_sync(c, o);
	need_protected(c, o);
	if (o->flags & OP_MEM) {
		lin = op_lin(c, o, 2, ACCESS_WRITE);
		dst = ld16_rmw(c, o, lin);
	} else {
		dst = (u16)c->gpr[o->dst];
	}
	if ((dst & SELECTOR_RPL) < rpl) {
		u16 v = (dst & ~SELECTOR_RPL) | rpl;

		if (o->flags & OP_MEM)
			st16(c, o, lin, v);
		else
			c->gpr[o->dst] = (c->gpr[o->dst] & ~0xffffull) | v;
		set_zf(c, true);
	} else {
		set_zf(c, false);
	}
	OP_NEXT(c, o);
}
