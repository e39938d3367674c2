// SPDX-License-Identifier: GPL-2.0-or-later
/* BMI1, BMI2, ADX: three operands, encoded with VEX (but ADCX and ADOX). Sizes 4 and 8 only. */
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

static const struct op *op_andn(struct cpu *c, const struct op *o)
{
	u64 r = ~c->gpr[o->aux] & source_read(c, o, o->src, o->size);

	reg_set(c, o->dst, o->size, r);
	cc_set_logic(c, sign_extend(r, o->size));
	OP_NEXT(c, o);
}

static const struct op *op_bls(struct cpu *c, const struct op *o)
{
	u64 a = source_read(c, o, o->src, o->size), r;
	bool cf;

	switch (o->aux2) {
	case 0:  r = a & -a; cf = a != 0; break;      /* BLSI */
	case 1:  r = a ^ (a - 1); cf = a == 0; break; /* BLSMSK */
	default: r = a & (a - 1); cf = a == 0; break; /* BLSR */
	}
	reg_set(c, o->dst, o->size, r);
	cc_set_res(c, sign_extend(r, o->size), cf ? CC_CF : 0);
	OP_NEXT(c, o);
}

static const struct op *op_bextr(struct cpu *c, const struct op *o)
{
	u64 a = source_read(c, o, o->src, o->size), control = c->gpr[o->aux];
	unsigned start = (u8)control, len = (u8)(control >> 8);
	u64 r = start < 64 ? a >> start : 0;

	if (len < 64)
		r &= (1ull << len) - 1;
	reg_set(c, o->dst, o->size, r);
	cc_set_res(c, sign_extend(r, o->size), 0);
	OP_NEXT(c, o);
}

static const struct op *op_bzhi(struct cpu *c, const struct op *o)
{
	u64 r = source_read(c, o, o->src, o->size);
	unsigned n = (u8)c->gpr[o->aux];

	if (n < 8u * o->size)
		r &= (1ull << n) - 1;
	reg_set(c, o->dst, o->size, r);
	cc_set_res(c, sign_extend(r, o->size), n >= 8u * o->size ? CC_CF : 0);
	OP_NEXT(c, o);
}

static u64 deposit(u64 v, u64 mask)
{
	u64 r = 0;

	for (; mask; mask &= mask - 1, v >>= 1)
		if (v & 1)
			r |= mask & -mask;
	return r;
}

static u64 extract(u64 v, u64 mask)
{
	u64 r = 0;

	for (unsigned n = 0; mask; mask &= mask - 1, n++)
		if (v & mask & -mask)
			r |= 1ull << n;
	return r;
}

static const struct op *op_pdep(struct cpu *c, const struct op *o)
{
	u64 mask = source_read(c, o, o->src, o->size);

	reg_set(c, o->dst, o->size, deposit(reg_get(c, o->aux, o->size), mask));
	OP_NEXT(c, o);
}

static const struct op *op_pext(struct cpu *c, const struct op *o)
{
	u64 mask = source_read(c, o, o->src, o->size);

	reg_set(c, o->dst, o->size, extract(reg_get(c, o->aux, o->size), mask));
	OP_NEXT(c, o);
}

/* dst: high half, aux: low half; if they are the same register it gets the high half. */
static const struct op *op_mulx(struct cpu *c, const struct op *o)
{
	u64 b = source_read(c, o, o->src, o->size);
	unsigned __int128 r = (unsigned __int128)reg_get(c, RDX, o->size) * b;

	reg_set(c, o->aux, o->size, (u64)r);
	reg_set(c, o->dst, o->size, (u64)(r >> (8 * o->size)));
	OP_NEXT(c, o);
}

static const struct op *op_rorx(struct cpu *c, const struct op *o)
{
	unsigned width = 8u * o->size, n = (unsigned)o->imm & (width - 1);
	u64 a = source_read(c, o, o->src, o->size);

	reg_set(c, o->dst, o->size, n ? a >> n | a << (width - n) : a);
	OP_NEXT(c, o);
}

/* SHLX SHRX SARX: aux2 0, 1, 2. */
static const struct op *op_shiftx(struct cpu *c, const struct op *o)
{
	u64 a = source_read(c, o, o->src, o->size);
	unsigned n = (unsigned)c->gpr[o->aux] & (8u * o->size - 1);

	if (o->aux2 == 0)
		a <<= n;
	else if (o->aux2 == 1)
		a >>= n;
	else
		a = (u64)((s64)sign_extend(a, o->size) >> n);
	reg_set(c, o->dst, o->size, a);
	OP_NEXT(c, o);
}

/* ADCX: carry in and out is CF; ADOX: OF. aux2: the flag. */
static const struct op *op_adx(struct cpu *c, const struct op *o)
{
	u64 b = source_read(c, o, o->src, o->size);
	u32 flag = o->aux2 ? CC_OF : CC_CF;
	bool carry = o->aux2 ? cc_overflow(c) : cc_cf(c);
	unsigned __int128 r = (unsigned __int128)reg_get(c, o->dst, o->size) + b + carry;

	reg_set(c, o->dst, o->size, (u64)r);
	cc_replace(c, flag, (u64)(r >> (8 * o->size)) ? flag : 0);
	OP_NEXT(c, o);
}

/* dst, vvvv, r/m: dst, aux, src. */
static bool lower_vvvv_second(struct lower *l, op_fn *fn)
{
	struct op *o = l->op;

	o->dst = (u8)lower_gpr(l->ops[0].reg.value);
	o->aux = (u8)lower_gpr(l->ops[1].reg.value);
	o->src = l->ops[2].type == ZYDIS_OPERAND_TYPE_REGISTER ? (u8)lower_gpr(l->ops[2].reg.value) : 0;
	o->fn = fn;
	return true;
}

/* dst, r/m, vvvv or immediate: dst, src, aux. */
static bool lower_vvvv_third(struct lower *l, op_fn *fn, u8 aux2)
{
	struct op *o = l->op;

	o->dst = (u8)lower_gpr(l->ops[0].reg.value);
	o->src = l->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER ? (u8)lower_gpr(l->ops[1].reg.value) : 0;
	if (l->insn->operand_count_visible > 2 && l->ops[2].type == ZYDIS_OPERAND_TYPE_REGISTER)
		o->aux = (u8)lower_gpr(l->ops[2].reg.value);
	o->aux2 = aux2;
	o->fn = fn;
	return true;
}

bool bmi_lower(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_ANDN:   return lower_vvvv_second(l, op_andn);
	case ZYDIS_MNEMONIC_PDEP:   return lower_vvvv_second(l, op_pdep);
	case ZYDIS_MNEMONIC_PEXT:   return lower_vvvv_second(l, op_pext);
	case ZYDIS_MNEMONIC_MULX:   return lower_vvvv_second(l, op_mulx);
	case ZYDIS_MNEMONIC_BLSI:   return lower_vvvv_third(l, op_bls, 0);
	case ZYDIS_MNEMONIC_BLSMSK: return lower_vvvv_third(l, op_bls, 1);
	case ZYDIS_MNEMONIC_BLSR:   return lower_vvvv_third(l, op_bls, 2);
	case ZYDIS_MNEMONIC_BEXTR:  return lower_vvvv_third(l, op_bextr, 0);
	case ZYDIS_MNEMONIC_BZHI:   return lower_vvvv_third(l, op_bzhi, 0);
	case ZYDIS_MNEMONIC_RORX:   return lower_vvvv_third(l, op_rorx, 0);
	case ZYDIS_MNEMONIC_SHLX:   return lower_vvvv_third(l, op_shiftx, 0);
	case ZYDIS_MNEMONIC_SHRX:   return lower_vvvv_third(l, op_shiftx, 1);
	case ZYDIS_MNEMONIC_SARX:   return lower_vvvv_third(l, op_shiftx, 2);
	case ZYDIS_MNEMONIC_ADCX:   return lower_vvvv_third(l, op_adx, 0);
	case ZYDIS_MNEMONIC_ADOX:   return lower_vvvv_third(l, op_adx, 1);
	default:                    return false;
	}
}
