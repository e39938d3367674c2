// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Shifts, rotates, double shifts. SDM 2B "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR", "SHLD", "SHRD". OF is defined for
 * counts of 1; for others the same formula is used.
 */
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

enum shift { SHL, SHR, SAR, ROL, ROR, RCL, RCR };

#define CF_OF(cf, of) (((cf) ? CC_CF : 0) | ((of) ? CC_OF : 0))

/* SHL, SHR, SAR by an immediate of 1 or more: the frequent ones. */
#define SHIFT_HANDLERS(bits)                                                                                           \
	static const struct op *shl##bits##_ri(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		u##bits a = reg##bits(c, o->dst), r = a << o->aux;                                                     \
		unsigned cf = (a >> (bits - o->aux)) & 1;                                                              \
                                                                                                                       \
		set_reg##bits(c, o->dst, r);                                                                           \
		cc_set_res(c, SX##bits(r), cf | ((u32)(r >> (bits - 1)) ^ cf) << 11);                                  \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *shr##bits##_ri(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		u##bits a = reg##bits(c, o->dst), r = a >> o->aux;                                                     \
                                                                                                                       \
		set_reg##bits(c, o->dst, r);                                                                           \
		cc_set_res(c, SX##bits(r), ((a >> (o->aux - 1)) & 1) | (u32)((r ^ r << 1) >> (bits - 1)) << 11);       \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *sar##bits##_ri(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		s##bits a = (s##bits)reg##bits(c, o->dst), r = a >> o->aux;                                            \
                                                                                                                       \
		set_reg##bits(c, o->dst, (u##bits)r);                                                                  \
		cc_set_res(c, SX##bits(r), (a >> (o->aux - 1)) & 1);                                                   \
		OP_NEXT(c, o);                                                                                         \
	}
SHIFT_HANDLERS(32)
SHIFT_HANDLERS(64)

/* ROL and ROR of a register by an immediate of 1 or more. */
#define ROTATE_HANDLERS(bits)                                                                                          \
	static const struct op *rol##bits##_ri(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		u##bits a = reg##bits(c, o->dst), r = a << o->aux | a >> (bits - o->aux);                              \
		u32 cf = r & 1;                                                                                        \
                                                                                                                       \
		set_reg##bits(c, o->dst, r);                                                                           \
		cc_replace(c, CC_CF | CC_OF, cf | ((u32)(r >> (bits - 1)) ^ cf) << 11);                                \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *ror##bits##_ri(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		u##bits a = reg##bits(c, o->dst), r = a >> o->aux | a << (bits - o->aux);                              \
                                                                                                                       \
		set_reg##bits(c, o->dst, r);                                                                           \
		cc_replace(c, CC_CF | CC_OF, (u32)(r >> (bits - 1)) | (u32)((r ^ r << 1) >> (bits - 1)) << 11);        \
		OP_NEXT(c, o);                                                                                         \
	}
ROTATE_HANDLERS(32)
ROTATE_HANDLERS(64)

/* SHL, SHR, SAR of a register by CL. */
#define SHIFT_CL_HANDLERS(bits, name, left, right, result)                                                             \
	static const struct op *name##bits##_cl(struct cpu *c, const struct op *o)                                     \
	{                                                                                                              \
		unsigned n = reg8(c, RCX * 8) & (bits - 1);                                                            \
		u##bits a = reg##bits(c, o->dst), r = (u##bits)(result);                                               \
		u32 cf, of;                                                                                            \
                                                                                                                       \
		set_reg##bits(c, o->dst, r);                                                                           \
		if (n) {                                                                                               \
			cf = (u32)(left ? a >> (bits - n) : (u##bits)((s##bits)a >> (n - 1))) & 1;                     \
			of = left ? (u32)(r >> (bits - 1)) ^ cf : right ? (u32)((r ^ r << 1) >> (bits - 1)) : 0;       \
			cc_set_res(c, SX##bits(r), cf | of << 11);                                                     \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
#define SHIFTS_CL(bits)                                                                                                \
	SHIFT_CL_HANDLERS(bits, shl, 1, 0, a << n)                                                                     \
	SHIFT_CL_HANDLERS(bits, shr, 0, 1, a >> n)                                                                     \
	SHIFT_CL_HANDLERS(bits, sar, 0, 0, (s##bits)a >> n)
SHIFTS_CL(32)
SHIFTS_CL(64)

static u64 shift_left(u64 a, unsigned n, unsigned width, u32 *cao)
{
	u64 r = a << n;
	bool cf = n <= width && ((a >> (width - n)) & 1);

	*cao = CF_OF(cf, ((r >> (width - 1)) & 1) ^ cf);
	return r;
}

static u64 shift_right(u64 a, unsigned n, unsigned width, u32 *cao)
{
	u64 r = a >> n;

	*cao = CF_OF((a >> (n - 1)) & 1, ((r ^ r << 1) >> (width - 1)) & 1);
	return r;
}

static u64 shift_arithmetic(u64 a, unsigned n, unsigned size, u32 *cao)
{
	s64 wide = (s64)sign_extend(a, size);

	*cao = CF_OF((wide >> (n - 1)) & 1, 0);
	return (u64)(wide >> n);
}

static void do_shift(struct cpu *c, const struct op *o, enum shift k, struct place *p, u64 a, unsigned n)
{
	unsigned width = 8u * o->size;
	u32 cao;
	u64 r;

	if (k == SHL)
		r = shift_left(a, n, width, &cao);
	else if (k == SHR)
		r = shift_right(a, n, width, &cao);
	else
		r = shift_arithmetic(a, n, o->size, &cao);
	place_write(c, o, p, r);
	cc_set_res(c, sign_extend(r, o->size), cao);
}

static void do_rotate(struct cpu *c, const struct op *o, bool left, struct place *p, u64 a, unsigned n)
{
	unsigned width = 8u * o->size, k = n & (width - 1);
	u64 r = a;
	bool cf, of;

	if (k)
		r = left ? a << k | a >> (width - k) : a >> k | a << (width - k);
	r &= size_mask(o->size);
	cf = left ? r & 1 : r >> (width - 1);
	of = left ? (r >> (width - 1)) ^ cf : ((r ^ r << 1) >> (width - 1)) & 1;
	place_write(c, o, p, r);
	cc_replace(c, CC_CF | CC_OF, CF_OF(cf, of));
}

static u64 rotate_carry_left(u64 a, unsigned n, unsigned width, bool *cf)
{
	u64 r = n == 64 ? 0 : a << n;

	r |= (u64)*cf << (n - 1);
	if (n > 1)
		r |= a >> (width + 1 - n);
	*cf = (a >> (width - n)) & 1;
	return r;
}

static u64 rotate_carry_right(u64 a, unsigned n, unsigned width, bool *cf)
{
	u64 r = n == 64 ? 0 : a >> n;

	r |= (u64)*cf << (width - n); /* NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): n is 1 to width */
	if (n > 1)
		r |= a << (width + 1 - n);
	*cf = (a >> (n - 1)) & 1;
	return r;
}

static void do_rotate_carry(struct cpu *c, const struct op *o, bool left, struct place *p, u64 a, unsigned n)
{
	unsigned width = 8u * o->size;
	bool cf = cc_cf(c), of;
	u64 r = a;

	if (width < 32)
		n %= width + 1;
	if (n)
		r = left ? rotate_carry_left(a, n, width, &cf) : rotate_carry_right(a, n, width, &cf);
	r &= size_mask(o->size);
	of = left ? (r >> (width - 1)) ^ cf : ((r ^ r << 1) >> (width - 1)) & 1;
	place_write(c, o, p, r);
	if (n)
		cc_replace(c, CC_CF | CC_OF, CF_OF(cf, of));
}

/* aux: enum shift; aux2: the count is in CL, else imm. */
static const struct op *op_shift(struct cpu *c, const struct op *o)
{
	unsigned n = (o->aux2 ? reg8(c, RCX * 8) : (u8)o->imm) & (o->size == 8 ? 63 : 31);
	enum shift k = (enum shift)o->aux;
	struct place p;
	u64 a = place_read(c, o, &p, o->dst);

	if (n == 0)
		place_write(c, o, &p, a); /* clears the upper half of a 32-bit register; flags stay */
	else if (k <= SAR)
		do_shift(c, o, k, &p, a, n);
	else if (k <= ROR)
		do_rotate(c, o, k == ROL, &p, a, n);
	else
		do_rotate_carry(c, o, k == RCL, &p, a, n);
	OP_NEXT(c, o);
}

/*
 * The 2 * width bits of both operands shifted; for 16 bits counts above 16 go on into the first operand again, as
 * CPUs do.
 */
static u64 double_left(u64 a, u64 b, unsigned n, unsigned width, bool *cf)
{
	if (width == 16) {
		u64 wide = (a << 32) | (b << 16) | a;

		*cf = (wide >> (48 - n)) & 1;
		return (wide << n) >> 32;
	}
	*cf = (a >> (width - n)) & 1;
	return a << n | b >> (width - n);
}

static u64 double_right(u64 a, u64 b, unsigned n, unsigned width, bool *cf)
{
	*cf = (a >> (n - 1)) & 1;
	if (width == 16) {
		u64 wide = (a << 32) | (b << 16) | a;

		*cf = (wide >> (n - 1)) & 1;
		return wide >> n;
	}
	return a >> n | b << (width - n);
}

/* aux: right; aux2: count in CL. */
static const struct op *op_double_shift(struct cpu *c, const struct op *o)
{
	unsigned width = 8u * o->size, n = (o->aux2 ? reg8(c, RCX * 8) : (u8)o->imm) & (o->size == 8 ? 63 : 31);
	struct place p;
	u64 a = place_read(c, o, &p, o->dst), b = reg_get(c, o->src, o->size), r;
	bool cf;

	if (n == 0) {
		place_write(c, o, &p, a);
		OP_NEXT(c, o);
	}
	r = (o->aux ? double_right(a, b, n, width, &cf) : double_left(a, b, n, width, &cf)) & size_mask(o->size);
	place_write(c, o, &p, r);
	cc_set_res(c, sign_extend(r, o->size), CF_OF(cf, ((r ^ a) >> (width - 1)) & 1));
	OP_NEXT(c, o);
}

/* Registers of 32 and 64 bits have handlers of their own. */
static op_fn *fast_shift(enum shift k, enum kind kind, bool wide, unsigned n)
{
	static op_fn *const by_imm[5][2] = { { shl32_ri, shl64_ri }, { shr32_ri, shr64_ri }, { sar32_ri, sar64_ri },
					     { rol32_ri, rol64_ri }, { ror32_ri, ror64_ri } };
	static op_fn *const by_cl[3][2] = { { shl32_cl, shl64_cl }, { shr32_cl, shr64_cl }, { sar32_cl, sar64_cl } };

	if (kind == KIND_RI && k <= ROR && n)
		return by_imm[k][wide];
	return kind == KIND_RR && k <= SAR ? by_cl[k][wide] : NULL;
}

static bool lower_shift(struct lower *l, enum shift k)
{
	enum kind kind = lower_kind(l, 2);
	struct op *o = l->op;
	unsigned n = (unsigned)o->imm & (o->size == 8 ? 63 : 31);
	op_fn *fast = o->size >= 4 ? fast_shift(k, kind, o->size == 8, n) : NULL;

	o->aux = fast ? (u8)n : (u8)k;
	o->aux2 = kind == KIND_RR || kind == KIND_MR;
	o->fn = fast ? fast : op_shift;
	return true;
}

static bool lower_double(struct lower *l, bool right)
{
	struct op *o = l->op;

	if (lower_kind(l, 3) == KIND_MR)
		o->dst = 0;
	o->aux = right;
	o->aux2 = l->ops[2].type == ZYDIS_OPERAND_TYPE_REGISTER;
	o->fn = op_double_shift;
	return true;
}

bool shift_lower(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_SHL:  return lower_shift(l, SHL);
	case ZYDIS_MNEMONIC_SHR:  return lower_shift(l, SHR);
	case ZYDIS_MNEMONIC_SAR:  return lower_shift(l, SAR);
	case ZYDIS_MNEMONIC_ROL:  return lower_shift(l, ROL);
	case ZYDIS_MNEMONIC_ROR:  return lower_shift(l, ROR);
	case ZYDIS_MNEMONIC_RCL:  return lower_shift(l, RCL);
	case ZYDIS_MNEMONIC_RCR:  return lower_shift(l, RCR);
	case ZYDIS_MNEMONIC_SHLD: return lower_double(l, false);
	case ZYDIS_MNEMONIC_SHRD: return lower_double(l, true);
	default:                  return false;
	}
}
