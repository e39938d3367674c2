// SPDX-License-Identifier: GPL-2.0-or-later
/* MOV MOVZX MOVSX MOVSXD LEA CMOVcc SETcc MOVBE MOVNTI BSWAP XLAT and the sign extensions of the accumulator. */
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

/* Linear address of a memory offset (opcodes A0..A3), which is in imm. */
static inline u64 offset_linear(struct cpu *c, const struct op *o, unsigned size, enum mmu_access a)
{
	return o->flags & OP_FLAT ? o->imm : seg_linear(c, o, (enum sreg)o->seg, o->imm, size, a);
}

#define MOVE_HANDLERS(bits)                                                                                            \
	static const struct op *mov##bits##_rr(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		set_reg##bits(c, o->dst, reg##bits(c, o->src));                                                        \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *mov##bits##_ri(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		set_reg##bits(c, o->dst, (u##bits)o->imm);                                                             \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *mov##bits##_rm_any(struct cpu *c, const struct op *o)                                  \
	{                                                                                                              \
		set_reg##bits(c, o->dst, ld##bits(c, o, op_lin(c, o, bits / 8, ACCESS_READ)));                         \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *mov##bits##_rm(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		u64 lin = ea_flat(c, o);                                                                               \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
		u##bits v;                                                                                             \
                                                                                                                       \
		if (unlikely(!tlb_hit(t->tag_r, lin, c->ctx, bits / 8)))                                               \
			return mov##bits##_rm_any(c, o);                                                               \
		memcpy(&v, (const void *)(t->addend + lin), sizeof(v));                                                \
		set_reg##bits(c, o->dst, v);                                                                           \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *mov##bits##_mr_any(struct cpu *c, const struct op *o)                                  \
	{                                                                                                              \
		st##bits(c, o, op_lin(c, o, bits / 8, ACCESS_WRITE), reg##bits(c, o->src));                            \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *mov##bits##_mi_any(struct cpu *c, const struct op *o)                                  \
	{                                                                                                              \
		st##bits(c, o, op_lin(c, o, bits / 8, ACCESS_WRITE), (u##bits)o->imm);                                 \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	INLINE bool mov##bits##_store(struct cpu *c, const struct op *o, u##bits v)                                    \
	{                                                                                                              \
		u64 lin = ea_flat(c, o);                                                                               \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
                                                                                                                       \
		if (unlikely(!tlb_hit(t->tag_w, lin, c->ctx, bits / 8)))                                               \
			return false;                                                                                  \
		memcpy((void *)(t->addend + lin), &v, sizeof(v));                                                      \
		return true;                                                                                           \
	}                                                                                                              \
	static const struct op *mov##bits##_mr(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		if (unlikely(!mov##bits##_store(c, o, reg##bits(c, o->src))))                                          \
			return mov##bits##_mr_any(c, o);                                                               \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *mov##bits##_mi(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		if (unlikely(!mov##bits##_store(c, o, (u##bits)o->imm)))                                               \
			return mov##bits##_mi_any(c, o);                                                               \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *mov##bits##_load_offset(struct cpu *c, const struct op *o)                             \
	{                                                                                                              \
		u64 lin = offset_linear(c, o, bits / 8, ACCESS_READ);                                                  \
                                                                                                                       \
		set_reg##bits(c, o->dst, ld##bits(c, o, lin));                                                         \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *mov##bits##_store_offset(struct cpu *c, const struct op *o)                            \
	{                                                                                                              \
		u64 lin = offset_linear(c, o, bits / 8, ACCESS_WRITE);                                                 \
                                                                                                                       \
		st##bits(c, o, lin, reg##bits(c, o->src));                                                             \
		OP_NEXT(c, o);                                                                                         \
	}
MOVE_HANDLERS(8)
MOVE_HANDLERS(16)
MOVE_HANDLERS(32)
MOVE_HANDLERS(64)

#define MOVE_ROW(bits)                                                                                                 \
	{ mov##bits##_rr, mov##bits##_ri, mov##bits##_rm, mov##bits##_mr, mov##bits##_mi, mov##bits##_rm_any,          \
	  mov##bits##_mr_any, mov##bits##_mi_any }
static op_fn *const move_handler[4][8] = { MOVE_ROW(8), MOVE_ROW(16), MOVE_ROW(32), MOVE_ROW(64) };
static op_fn *const offset_handler[4][2] = {
	{ mov8_load_offset, mov8_store_offset }, { mov16_load_offset, mov16_store_offset },
	{ mov32_load_offset, mov32_store_offset }, { mov64_load_offset, mov64_store_offset },
};

/* The forms with a 64-bit absolute address that op.disp cannot hold. */
static bool lower_offset(struct lower *l, enum kind kind)
{
	const ZydisDecodedOperandMem *mem;

	if (kind != KIND_RM && kind != KIND_MR)
		return false;
	mem = &l->ops[kind == KIND_MR ? 0 : 1].mem;
	if (mem->disp.value == (s32)mem->disp.value || l->op->asize != 8)
		return false;
	l->op->imm = (u64)mem->disp.value;
	l->op->fn = offset_handler[size_index(l->op->size)][kind == KIND_MR];
	return true;
}

static bool lower_mov(struct lower *l)
{
	enum kind kind = lower_kind(l, 2);
	struct op *o = l->op;

	if (kind > KIND_MI)
		return false;
	if (lower_offset(l, kind))
		return true;
	if (kind == KIND_RI || kind == KIND_MI)
		lower_imm(o);
	if (kind >= KIND_RM && !lower_flat(l))
		kind += 3;
	o->fn = move_handler[size_index(o->size)][kind];
	return true;
}

/* MOVZX and MOVSX: to (16, 32, 64 bits) from 8, 16 or 32. */
#define EXTEND_HANDLERS(to, from, name, cast)                                                                          \
	static const struct op *name##to##_##from##_rr(struct cpu *c, const struct op *o)                              \
	{                                                                                                              \
		set_reg##to(c, o->dst, (u##to)(cast)reg##from(c, o->src));                                             \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *name##to##_##from##_rm_any(struct cpu *c, const struct op *o)                          \
	{                                                                                                              \
		set_reg##to(c, o->dst, (u##to)(cast)ld##from(c, o, op_lin(c, o, from / 8, ACCESS_READ)));              \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *name##to##_##from##_rm(struct cpu *c, const struct op *o)                              \
	{                                                                                                              \
		u64 lin = ea_flat(c, o);                                                                               \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
		u##from v;                                                                                             \
                                                                                                                       \
		if (unlikely(!tlb_hit(t->tag_r, lin, c->ctx, from / 8)))                                               \
			return name##to##_##from##_rm_any(c, o);                                                       \
		memcpy(&v, (const void *)(t->addend + lin), sizeof(v));                                                \
		set_reg##to(c, o->dst, (u##to)(cast)v);                                                                \
		OP_NEXT(c, o);                                                                                         \
	}
#define EXTEND_FROM(to, from) EXTEND_HANDLERS(to, from, movzx, u##from) EXTEND_HANDLERS(to, from, movsx, s##from)
EXTEND_FROM(16, 8)
EXTEND_FROM(32, 8)
EXTEND_FROM(64, 8)
EXTEND_FROM(16, 16)
EXTEND_FROM(32, 16)
EXTEND_FROM(64, 16)
EXTEND_FROM(32, 32)
EXTEND_FROM(64, 32)

#define EXTEND_ROW(to, from)                                                                                           \
	{ { movzx##to##_##from##_rr, movzx##to##_##from##_rm, movzx##to##_##from##_rm_any },                           \
	  { movsx##to##_##from##_rr, movsx##to##_##from##_rm, movsx##to##_##from##_rm_any } }
/* [operand size 16, 32, 64][source 8, 16, 32][signed][RR, RM flat, RM] */
static op_fn *const extend_handler[3][3][2][3] = {
	{ EXTEND_ROW(16, 8), EXTEND_ROW(16, 16) },
	{ EXTEND_ROW(32, 8), EXTEND_ROW(32, 16), EXTEND_ROW(32, 32) },
	{ EXTEND_ROW(64, 8), EXTEND_ROW(64, 16), EXTEND_ROW(64, 32) },
};

static bool lower_extend(struct lower *l, bool is_signed)
{
	enum kind kind = lower_kind(l, 2);
	struct op *o = l->op;
	unsigned from = l->ops[1].size / 8, form = kind == KIND_RR ? 0 : lower_flat(l) ? 1 : 2;

	if (kind != KIND_RR && kind != KIND_RM)
		return false;
	/* MOVSXD with a 16-bit operand reads 16 bits: SDM 2B "MOVSX/MOVSXD". */
	if (from > o->size)
		from = o->size;
	o->fn = extend_handler[size_index(o->size) - 1][size_index(from)][is_signed][form];
	return o->fn != NULL;
}

static const struct op *lea64(struct cpu *c, const struct op *o)
{
	c->gpr[o->dst] = ea_flat(c, o);
	OP_NEXT(c, o);
}

static const struct op *lea64_disp(struct cpu *c, const struct op *o)
{
	c->gpr[o->dst] = c->gpr[o->base] + (s64)o->disp;
	OP_NEXT(c, o);
}

static const struct op *lea32(struct cpu *c, const struct op *o)
{
	c->gpr[o->dst] = (u32)op_ea(c, o);
	OP_NEXT(c, o);
}

static const struct op *lea_any(struct cpu *c, const struct op *o)
{
	reg_set(c, o->dst, o->size, op_ea(c, o));
	OP_NEXT(c, o);
}

static bool lower_lea(struct lower *l)
{
	struct op *o = l->op;

	lower_kind(l, 2);
	if (o->size == 8 && o->asize == 8)
		o->fn = o->index == REG_ZERO ? lea64_disp : lea64;
	else
		o->fn = o->size == 4 ? lea32 : lea_any;
	return true;
}

/* CMOVcc always reads its source, and a 32-bit one always clears the upper half. */
#define CMOV_HANDLERS(n)                                                                                               \
	static const struct op *cmov##n##_64rr(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		if (cc_cond(c, (enum cond)(n)))                                                                        \
			c->gpr[o->dst] = c->gpr[o->src];                                                               \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *cmov##n##_32rr(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		c->gpr[o->dst] = (u32)(cc_cond(c, (enum cond)(n)) ? c->gpr[o->src] : c->gpr[o->dst]);                  \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *cmov##n##_any(struct cpu *c, const struct op *o)                                       \
	{                                                                                                              \
		u64 v = source_read(c, o, o->src, o->size);                                                            \
                                                                                                                       \
		reg_set(c, o->dst, o->size, cc_cond(c, (enum cond)(n)) ? v : reg_get(c, o->dst, o->size));             \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *set##n##_r(struct cpu *c, const struct op *o)                                          \
	{                                                                                                              \
		set_reg8(c, o->dst, cc_cond(c, (enum cond)(n)));                                                       \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *set##n##_m(struct cpu *c, const struct op *o)                                          \
	{                                                                                                              \
		st8(c, o, op_lin(c, o, 1, ACCESS_WRITE), cc_cond(c, (enum cond)(n)));                                  \
		OP_NEXT(c, o);                                                                                         \
	}
#define ALL_CONDITIONS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
ALL_CONDITIONS(CMOV_HANDLERS)

#define CMOV_ROW(n) { cmov##n##_64rr, cmov##n##_32rr, cmov##n##_any, set##n##_r, set##n##_m },
static op_fn *const cmov_handler[16][5] = { ALL_CONDITIONS(CMOV_ROW) };

static bool lower_cmov(struct lower *l)
{
	enum kind kind = lower_kind(l, 2);
	struct op *o = l->op;

	o->fn = cmov_handler[lower_cond(l)][kind != KIND_RR || o->size == 2 ? 2 : o->size == 8 ? 0 : 1];
	return true;
}

static bool lower_setcc(struct lower *l)
{
	l->op->fn = cmov_handler[lower_cond(l)][lower_kind(l, 1) == KIND_R ? 3 : 4];
	return true;
}

static u64 swap_bytes(u64 v, unsigned size)
{
	return __builtin_bswap64(v) >> (64 - 8 * size);
}

static const struct op *op_bswap(struct cpu *c, const struct op *o)
{
	/* 16-bit BSWAP is undefined in the manual; CPUs clear the word. */
	reg_set(c, o->dst, o->size, o->size == 2 ? 0 : swap_bytes(c->gpr[o->dst], o->size));
	OP_NEXT(c, o);
}

static const struct op *op_movbe_load(struct cpu *c, const struct op *o)
{
	reg_set(c, o->dst, o->size, swap_bytes(source_read(c, o, 0, o->size), o->size));
	OP_NEXT(c, o);
}

static const struct op *op_movbe_store(struct cpu *c, const struct op *o)
{
	u64 lin = op_lin(c, o, o->size, ACCESS_WRITE);

	mem_set(c, o, lin, o->size, swap_bytes(reg_get(c, o->src, o->size), o->size));
	OP_NEXT(c, o);
}

static const struct op *op_xlat(struct cpu *c, const struct op *o)
{
	u64 ea = c->gpr[RBX] + reg8(c, 0), lin;

	ea &= size_mask(o->asize);
	lin = o->flags & OP_FLAT ? ea : seg_linear(c, o, (enum sreg)o->seg, ea, 1, ACCESS_READ);
	set_reg8(c, 0, ld8(c, o, lin));
	OP_NEXT(c, o);
}

/* CBW CWDE CDQE, by the size of the result. */
static const struct op *op_extend_acc(struct cpu *c, const struct op *o)
{
	reg_set(c, RAX, o->size, sign_extend(c->gpr[RAX], o->size / 2));
	OP_NEXT(c, o);
}

/* CWD CDQ CQO. */
static const struct op *op_extend_to_dx(struct cpu *c, const struct op *o)
{
	reg_set(c, RDX, o->size, (u64)((s64)sign_extend(c->gpr[RAX], o->size) >> 63));
	OP_NEXT(c, o);
}

static bool lower_movbe(struct lower *l)
{
	l->op->fn = lower_kind(l, 2) == KIND_RM ? op_movbe_load : op_movbe_store;
	return true;
}

static bool lower_xlat(struct lower *l)
{
	const ZydisDecodedInstruction *in = l->insn;
	struct op *o = l->op;

	o->flags &= (u8)~(OP_MEM | OP_FLAT);
	o->seg = DS;
	for (unsigned i = 0; i < in->operand_count; i++)
		if (l->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			o->seg = lower_segment(l->ops[i].mem.segment);
	if (l->code_size == 64 && o->seg != FS && o->seg != GS)
		o->flags |= OP_FLAT;
	o->fn = op_xlat;
	return true;
}

static bool set_fn(struct lower *l, op_fn *fn)
{
	lower_kind(l, 2);
	l->op->fn = fn;
	return true;
}

static bool lower_accumulator(struct lower *l)
{
	struct op *o = l->op;

	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_CBW:  o->size = 2; break;
	case ZYDIS_MNEMONIC_CWDE: o->size = 4; break;
	case ZYDIS_MNEMONIC_CDQE: o->size = 8; break;
	case ZYDIS_MNEMONIC_CWD:  o->size = 2; break;
	case ZYDIS_MNEMONIC_CDQ:  o->size = 4; break;
	case ZYDIS_MNEMONIC_CQO:  o->size = 8; break;
	default:                  return false;
	}
	o->fn = l->insn->opcode == 0x98 ? op_extend_acc : op_extend_to_dx;
	return true;
}

bool move_lower(struct lower *l)
{
	ZydisMnemonic m = l->insn->mnemonic;

	switch (m) {
	case ZYDIS_MNEMONIC_MOV:
	case ZYDIS_MNEMONIC_MOVNTI: return lower_mov(l);
	case ZYDIS_MNEMONIC_MOVZX:  return lower_extend(l, false);
	case ZYDIS_MNEMONIC_MOVSX:
	case ZYDIS_MNEMONIC_MOVSXD: return lower_extend(l, true);
	case ZYDIS_MNEMONIC_LEA:    return lower_lea(l);
	case ZYDIS_MNEMONIC_BSWAP:  return set_fn(l, op_bswap);
	case ZYDIS_MNEMONIC_MOVBE:  return lower_movbe(l);
	case ZYDIS_MNEMONIC_XLAT:   return lower_xlat(l);
	default:                    break;
	}
	if (m >= ZYDIS_MNEMONIC_CMOVB && m <= ZYDIS_MNEMONIC_CMOVZ)
		return lower_cmov(l);
	if (m >= ZYDIS_MNEMONIC_SETB && m <= ZYDIS_MNEMONIC_SETZ && m != ZYDIS_MNEMONIC_SETSSBSY)
		return lower_setcc(l);
	return lower_accumulator(l);
}
