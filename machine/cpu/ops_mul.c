// SPDX-License-Identifier: GPL-2.0-or-later
/* MUL IMUL DIV IDIV. */
#include "arch/x86.h"
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

typedef unsigned __int128 u128;
typedef __int128 s128;

/*
 * CF and OF: the product does not fit in the lower half. SF and PF follow the lower half (but of 0), ZF is clear:
 * undefined in the manual.
 */
static inline void mul_flags(struct cpu *c, u64 low, bool over)
{
	cc_set_res(c, low | (low == 0), over ? CC_CF | CC_OF : 0);
}

static void write_product(struct cpu *c, unsigned size, u64 low, u64 high)
{
	if (size == 1) {
		set_reg16(c, RAX, (u16)((u8)low | (u16)(high << 8)));
		return;
	}
	reg_set(c, RAX, size, low);
	reg_set(c, RDX, size, high);
}

static const struct op *op_mul(struct cpu *c, const struct op *o)
{
	u64 b = source_read(c, o, o->dst, o->size), low, high;
	u128 r = (u128)reg_get(c, o->size == 1 ? 0 : RAX, o->size) * b;

	low = (u64)r & size_mask(o->size);
	high = (u64)(r >> (8 * o->size));
	write_product(c, o->size, low, high);
	mul_flags(c, sign_extend(low, o->size), high != 0);
	OP_NEXT(c, o);
}

static const struct op *op_imul1(struct cpu *c, const struct op *o)
{
	s64 b = (s64)sign_extend(source_read(c, o, o->dst, o->size), o->size);
	s64 a = (s64)sign_extend(c->gpr[RAX], o->size);
	s128 r = (s128)a * b;
	u64 low = sign_extend((u64)r, o->size);

	write_product(c, o->size, low, (u64)(r >> (8 * o->size)));
	mul_flags(c, low, r != (s64)low);
	OP_NEXT(c, o);
}

INLINE void imul_set(struct cpu *c, const struct op *o, u64 a, u64 b)
{
	s128 r = (s128)(s64)sign_extend(a, o->size) * (s64)sign_extend(b, o->size);
	u64 low = sign_extend((u64)r, o->size);

	reg_set(c, o->dst, o->size, low);
	mul_flags(c, low, r != (s64)low);
}

static const struct op *op_imul2(struct cpu *c, const struct op *o)
{
	u64 b = source_read(c, o, o->src, o->size);

	imul_set(c, o, c->gpr[o->dst], b);
	OP_NEXT(c, o);
}

static const struct op *op_imul3(struct cpu *c, const struct op *o)
{
	u64 b = source_read(c, o, o->src, o->size);

	imul_set(c, o, b, o->imm);
	OP_NEXT(c, o);
}

/* The frequent ones: 32 and 64 bits. */
#define IMUL_HANDLERS(bits, wide)                                                                                      \
	INLINE void imul##bits(struct cpu *c, const struct op *o, u##bits a, u##bits b)                                \
	{                                                                                                              \
		wide r = (wide)(s##bits)a * (s##bits)b;                                                                \
                                                                                                                       \
		set_reg##bits(c, o->dst, (u##bits)r);                                                                  \
		mul_flags(c, SX##bits(r), r != (s##bits)r);                                                            \
	}                                                                                                              \
	static const struct op *imul##bits##_rr(struct cpu *c, const struct op *o)                                     \
	{                                                                                                              \
		imul##bits(c, o, reg##bits(c, o->dst), reg##bits(c, o->src));                                          \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *imul##bits##_rm(struct cpu *c, const struct op *o)                                     \
	{                                                                                                              \
		imul##bits(c, o, reg##bits(c, o->dst), ld##bits(c, o, op_lin(c, o, bits / 8, ACCESS_READ)));           \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *imul##bits##_rri(struct cpu *c, const struct op *o)                                    \
	{                                                                                                              \
		imul##bits(c, o, reg##bits(c, o->src), (u##bits)o->imm);                                               \
		OP_NEXT(c, o);                                                                                         \
	}
IMUL_HANDLERS(32, s64)
IMUL_HANDLERS(64, s128)

static const struct op *mul64_r(struct cpu *c, const struct op *o)
{
	u128 r = (u128)c->gpr[RAX] * c->gpr[o->dst];

	c->gpr[RAX] = (u64)r;
	c->gpr[RDX] = (u64)(r >> 64);
	mul_flags(c, (u64)r, (u64)(r >> 64) != 0);
	OP_NEXT(c, o);
}

static u128 dividend(const struct cpu *c, unsigned size)
{
	if (size == 1)
		return reg16(c, RAX);
	return (u128)reg_get(c, RDX, size) << (8 * size) | reg_get(c, RAX, size);
}

static void write_quotient(struct cpu *c, unsigned size, u64 quotient, u64 remainder)
{
	if (size == 1) {
		set_reg16(c, RAX, (u16)((u8)quotient | (u16)(remainder << 8)));
		return;
	}
	reg_set(c, RAX, size, quotient);
	reg_set(c, RDX, size, remainder);
}

static const struct op *op_div(struct cpu *c, const struct op *o)
{
	u64 b = source_read(c, o, o->dst, o->size);
	u128 a = dividend(c, o->size);

	if (b == 0 || (u64)(a >> (8 * o->size)) >= b)
		cpu_raise(c, o, VEC_DE);
	if (!(u64)(a >> 64))
		write_quotient(c, o->size, (u64)a / b, (u64)a % b);
	else
		write_quotient(c, o->size, (u64)(a / b), (u64)(a % b));
	OP_NEXT(c, o);
}

static s128 signed_dividend(const struct cpu *c, unsigned size)
{
	unsigned shift = 128 - 16 * size;

	return (s128)(dividend(c, size) << shift) >> shift;
}

static const struct op *op_idiv(struct cpu *c, const struct op *o)
{
	s64 b = (s64)sign_extend(source_read(c, o, o->dst, o->size), o->size);
	s128 a = signed_dividend(c, o->size), q;

	if (b == 0)
		cpu_raise(c, o, VEC_DE);
	/* The most negative dividend by -1 does not fit, and would trap the host for 128 bits. */
	if (b == -1 && a == (s128)((u128)1 << 127))
		cpu_raise(c, o, VEC_DE);
	q = a / b;
	if (q != (s128)(s64)sign_extend((u64)q, o->size))
		cpu_raise(c, o, VEC_DE);
	write_quotient(c, o->size, (u64)q, (u64)(a % b));
	OP_NEXT(c, o);
}

static op_fn *fast_imul(unsigned operands, enum kind kind, bool wide)
{
	if (operands == 2 && kind == KIND_RR)
		return wide ? imul64_rr : imul32_rr;
	if (operands == 2 && kind == KIND_RM)
		return wide ? imul64_rm : imul32_rm;
	if (operands == 3 && kind == KIND_RR)
		return wide ? imul64_rri : imul32_rri;
	return NULL;
}

static bool lower_imul(struct lower *l)
{
	static op_fn *const form[] = { op_imul1, op_imul1, op_imul2, op_imul3 };
	unsigned n = l->insn->operand_count_visible;
	enum kind kind = lower_kind(l, 3);
	op_fn *fast = l->op->size >= 4 ? fast_imul(n, kind, l->op->size == 8) : NULL;

	if (n == 3)
		lower_imm(l->op);
	l->op->fn = fast ? fast : form[n];
	return true;
}

static bool lower_mul(struct lower *l)
{
	enum kind kind = lower_kind(l, 1);

	l->op->fn = kind == KIND_R && l->op->size == 8 ? mul64_r : op_mul;
	return true;
}

static bool lower_divide(struct lower *l, op_fn *fn)
{
	lower_kind(l, 1);
	l->op->cost = (u16)l->cpu->m->costs->cycles[l->op->size == 8 ? COST_DIV64 : COST_DIV];
	l->op->fn = fn;
	return true;
}

bool mul_lower(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MUL:  return lower_mul(l);
	case ZYDIS_MNEMONIC_IMUL: return lower_imul(l);
	case ZYDIS_MNEMONIC_DIV:  return lower_divide(l, op_div);
	case ZYDIS_MNEMONIC_IDIV: return lower_divide(l, op_idiv);
	default:                  return false;
	}
}
