// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ADD OR ADC SBB AND SUB XOR CMP TEST: a handler for each operation, size and kind of operands. Those with memory
 * come twice: the fast one for flat addresses that hit the TLB, which calls nothing and so needs no stack frame, and
 * the general one behind it.
 */
#include "machine/cpu/alu.h"
#include "machine/cpu/lower.h"

#define WRITES ALU_WRITES

#define ALU_SIZE(bits)                                                                                                 \
	/* Operand 1 in memory, general path. */                                                                       \
	INLINE void alu_store##bits(struct cpu *c, const struct op *o, enum alu k, u##bits b)                          \
	{                                                                                                              \
		bool carry = (k == ADC || k == SBB) && cc_cf(c);                                                       \
		u64 lin = op_lin(c, o, bits / 8, WRITES(k) ? ACCESS_WRITE : ACCESS_READ);                              \
		u##bits a = WRITES(k) ? ld##bits##_rmw(c, o, lin) : ld##bits(c, o, lin);                               \
		u##bits r = alu_result##bits(k, a, b, carry);                                                          \
                                                                                                                       \
		if (WRITES(k))                                                                                         \
			st##bits(c, o, lin, r);                                                                        \
		alu_flags##bits(c, k, a, b, r);                                                                        \
	}                                                                                                              \
	/* The same where a flat address hits the TLB. False: use the general path. */                                 \
	INLINE bool alu_store_fast##bits(struct cpu *c, const struct op *o, enum alu k, u##bits b)                     \
	{                                                                                                              \
		u64 lin = ea_flat(c, o);                                                                               \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
		u##bits a, r;                                                                                          \
                                                                                                                       \
		if (unlikely(!tlb_hit(WRITES(k) ? t->tag_w : t->tag_r, lin, c->ctx, bits / 8)))                        \
			return false;                                                                                  \
		memcpy(&a, (const void *)(t->addend + lin), sizeof(a));                                                \
		r = alu##bits(c, k, a, b);                                                                             \
		if (WRITES(k))                                                                                         \
			memcpy((void *)(t->addend + lin), &r, sizeof(r));                                              \
		return true;                                                                                           \
	}
ALU_SIZE(8)
ALU_SIZE(16)
ALU_SIZE(32)
ALU_SIZE(64)

#define ALU_HANDLERS(k, bits)                                                                                          \
	static const struct op *k##bits##_rr(struct cpu *c, const struct op *o)                                        \
	{                                                                                                              \
		u##bits r = alu##bits(c, k, reg##bits(c, o->dst), reg##bits(c, o->src));                               \
                                                                                                                       \
		if (WRITES(k))                                                                                         \
			set_reg##bits(c, o->dst, r);                                                                   \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *k##bits##_ri(struct cpu *c, const struct op *o)                                        \
	{                                                                                                              \
		u##bits r = alu##bits(c, k, reg##bits(c, o->dst), (u##bits)o->imm);                                    \
                                                                                                                       \
		if (WRITES(k))                                                                                         \
			set_reg##bits(c, o->dst, r);                                                                   \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *k##bits##_rm_any(struct cpu *c, const struct op *o)                                    \
	{                                                                                                              \
		u##bits b = ld##bits(c, o, op_lin(c, o, bits / 8, ACCESS_READ));                                       \
		u##bits r = alu##bits(c, k, reg##bits(c, o->dst), b);                                                  \
                                                                                                                       \
		if (WRITES(k))                                                                                         \
			set_reg##bits(c, o->dst, r);                                                                   \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *k##bits##_rm(struct cpu *c, const struct op *o)                                        \
	{                                                                                                              \
		u64 lin = ea_flat(c, o);                                                                               \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
		u##bits b, r;                                                                                          \
                                                                                                                       \
		if (unlikely(!tlb_hit(t->tag_r, lin, c->ctx, bits / 8)))                                               \
			return k##bits##_rm_any(c, o);                                                                 \
		memcpy(&b, (const void *)(t->addend + lin), sizeof(b));                                                \
		r = alu##bits(c, k, reg##bits(c, o->dst), b);                                                          \
		if (WRITES(k))                                                                                         \
			set_reg##bits(c, o->dst, r);                                                                   \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *k##bits##_mr_any(struct cpu *c, const struct op *o)                                    \
	{                                                                                                              \
		alu_store##bits(c, o, k, reg##bits(c, o->src));                                                        \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *k##bits##_mr(struct cpu *c, const struct op *o)                                        \
	{                                                                                                              \
		if (unlikely(!alu_store_fast##bits(c, o, k, reg##bits(c, o->src))))                                    \
			return k##bits##_mr_any(c, o);                                                                 \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *k##bits##_mi_any(struct cpu *c, const struct op *o)                                    \
	{                                                                                                              \
		alu_store##bits(c, o, k, (u##bits)o->imm);                                                             \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *k##bits##_mi(struct cpu *c, const struct op *o)                                        \
	{                                                                                                              \
		if (unlikely(!alu_store_fast##bits(c, o, k, (u##bits)o->imm)))                                         \
			return k##bits##_mi_any(c, o);                                                                 \
		OP_NEXT(c, o);                                                                                         \
	}

#define ALU_ALL_SIZES(k) ALU_HANDLERS(k, 8) ALU_HANDLERS(k, 16) ALU_HANDLERS(k, 32) ALU_HANDLERS(k, 64)
ALU_ALL_SIZES(ADD)
ALU_ALL_SIZES(OR)
ALU_ALL_SIZES(ADC)
ALU_ALL_SIZES(SBB)
ALU_ALL_SIZES(AND)
ALU_ALL_SIZES(SUB)
ALU_ALL_SIZES(XOR)
ALU_ALL_SIZES(CMP)
ALU_ALL_SIZES(TEST)

/* By size, then by kind: RR, RI, RM, MR, MI and the general forms of the last three. */
#define ROW(k, bits)                                                                                                   \
	{ k##bits##_rr, k##bits##_ri, k##bits##_rm, k##bits##_mr, k##bits##_mi, k##bits##_rm_any, k##bits##_mr_any,    \
	  k##bits##_mi_any }
#define TABLE(k) [k] = { ROW(k, 8), ROW(k, 16), ROW(k, 32), ROW(k, 64) }
static op_fn *const alu_handler[ALU_COUNT][4][8] = { TABLE(ADD), TABLE(OR),  TABLE(ADC), TABLE(SBB), TABLE(AND),
						     TABLE(SUB), TABLE(XOR), TABLE(CMP), TABLE(TEST) };

/* XOR r, r and SUB r, r: the result is known. */
static const struct op *zero_register(struct cpu *c, const struct op *o)
{
	c->gpr[o->dst] = 0;
	cc_set_logic(c, 0);
	OP_NEXT(c, o);
}

op_fn *alu_find(enum alu k, unsigned size, enum kind kind)
{
	return alu_handler[k][size_index(size)][kind];
}

op_fn *alu_find_general(enum alu k, unsigned size, enum kind kind)
{
	return alu_handler[k][size_index(size)][kind + 3];
}

int alu_number(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_ADD:  return ADD;
	case ZYDIS_MNEMONIC_OR:   return OR;
	case ZYDIS_MNEMONIC_ADC:  return ADC;
	case ZYDIS_MNEMONIC_SBB:  return SBB;
	case ZYDIS_MNEMONIC_AND:  return AND;
	case ZYDIS_MNEMONIC_SUB:  return SUB;
	case ZYDIS_MNEMONIC_XOR:  return XOR;
	case ZYDIS_MNEMONIC_CMP:  return CMP;
	case ZYDIS_MNEMONIC_TEST: return TEST;
	default:                  return -1;
	}
}

bool alu_lower(struct lower *l)
{
	int k = alu_number(l->insn->mnemonic);
	struct op *o = l->op;
	enum kind kind;

	if (k < 0)
		return false;
	kind = lower_kind(l, 2);
	if (kind > KIND_MI)
		return false;
	if (kind == KIND_RI || kind == KIND_MI)
		lower_imm(o);
	if (kind >= KIND_RM && !lower_flat(l))
		kind += 3;
	o->fn = alu_handler[k][size_index(o->size)][kind];
	if ((k == XOR || k == SUB) && kind == KIND_RR && o->dst == o->src && o->size >= 4)
		o->fn = zero_register;
	return true;
}
