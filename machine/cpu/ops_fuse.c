// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * CMP, TEST, SUB and AND with the conditional branch after them: one dispatch, and the condition straight from the
 * operands. Both ops stay in the block; the first one's handler does the work of the second. Flags are left as by the
 * two.
 */
#include "machine/cpu/alu.h"
#include "machine/cpu/branch.h"

#define SUBTRACTS(k) ((k) == CMP || (k) == SUB)

/* The condition after r = a op b. Not for O and P. */
#define FUSED_CONDITION(bits)                                                                                          \
	INLINE bool holds##bits(enum alu k, unsigned cond, u##bits a, u##bits b, u##bits r)                            \
	{                                                                                                              \
		bool v;                                                                                                \
                                                                                                                       \
		switch (cond >> 1) {                                                                                   \
		case COND_Z >> 1:  v = r == 0; break;                                                                  \
		case COND_S >> 1:  v = (s##bits)r < 0; break;                                                          \
		case COND_B >> 1:  v = SUBTRACTS(k) && a < b; break;                                                   \
		case COND_BE >> 1: v = SUBTRACTS(k) ? a <= b : r == 0; break;                                          \
		case COND_L >> 1:  v = SUBTRACTS(k) ? (s##bits)a < (s##bits)b : (s##bits)r < 0; break;                 \
		default:           v = SUBTRACTS(k) ? (s##bits)a <= (s##bits)b : (s##bits)r <= 0; break;               \
		}                                                                                                      \
		return v ^ (cond & 1);                                                                                 \
	}
FUSED_CONDITION(8)
FUSED_CONDITION(32)
FUSED_CONDITION(64)

#define FUSED_REGISTER(k, bits, kind, n, operand)                                                                      \
	static const struct op *k##bits##kind##n(struct cpu *c, const struct op *o)                                    \
	{                                                                                                              \
		u##bits a = reg##bits(c, o->dst), b = operand, r = alu##bits(c, k, a, b);                              \
                                                                                                                       \
		if (ALU_WRITES(k))                                                                                     \
			set_reg##bits(c, o->dst, r);                                                                   \
		return branch_if(c, o + 1, holds##bits(k, n, a, b, r));                                                \
	}
/* Comparisons with memory: kind names the operand in memory, first and second the two in order. */
#define FUSED_MEMORY(k, bits, kind, n, KIND, first, second)                                                            \
	static const struct op *k##bits##kind##n(struct cpu *c, const struct op *o)                                    \
	{                                                                                                              \
		u64 lin = ea_flat(c, o);                                                                               \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
		u##bits m, a, b, r;                                                                                    \
                                                                                                                       \
		if (unlikely(!tlb_hit(t->tag_r, lin, c->ctx, bits / 8)))                                               \
			return alu_find_general(k, bits / 8, KIND)(c, o);                                              \
		memcpy(&m, (const void *)(t->addend + lin), sizeof(m));                                                \
		a = first;                                                                                             \
		b = second;                                                                                            \
		r = alu##bits(c, k, a, b);                                                                             \
		return branch_if(c, o + 1, holds##bits(k, n, a, b, r));                                                \
	}

#define RR(k, bits, n) FUSED_REGISTER(k, bits, rr, n, reg##bits(c, o->src))
#define RI(k, bits, n) FUSED_REGISTER(k, bits, ri, n, (u##bits)o->imm)
#define RM(k, bits, n) FUSED_MEMORY(k, bits, rm, n, KIND_RM, reg##bits(c, o->dst), m)
#define MR(k, bits, n) FUSED_MEMORY(k, bits, mr, n, KIND_MR, m, reg##bits(c, o->src))
#define MI(k, bits, n) FUSED_MEMORY(k, bits, mi, n, KIND_MI, m, (u##bits)o->imm)

/* Every fusible condition: COND_O, NO, P and NP are rare. */
#define CONDITIONS(X, k, bits)                                                                                         \
	X(k, bits, 2) X(k, bits, 3) X(k, bits, 4) X(k, bits, 5) X(k, bits, 6) X(k, bits, 7) X(k, bits, 8)              \
	X(k, bits, 9) X(k, bits, 12) X(k, bits, 13) X(k, bits, 14) X(k, bits, 15)
#define SIZES(X, k) CONDITIONS(X, k, 8) CONDITIONS(X, k, 32) CONDITIONS(X, k, 64)
SIZES(RR, CMP)
SIZES(RI, CMP)
SIZES(RM, CMP)
SIZES(MR, CMP)
SIZES(MI, CMP)
SIZES(RR, TEST)
SIZES(RI, TEST)
SIZES(MR, TEST)
SIZES(MI, TEST)
SIZES(RR, SUB)
SIZES(RI, SUB)
SIZES(RR, AND)
SIZES(RI, AND)

#define NAMES(k, bits, kind)                                                                                           \
	{ NULL, NULL, k##bits##kind##2, k##bits##kind##3, k##bits##kind##4, k##bits##kind##5, k##bits##kind##6,        \
	  k##bits##kind##7, k##bits##kind##8, k##bits##kind##9, NULL, NULL, k##bits##kind##12, k##bits##kind##13,      \
	  k##bits##kind##14, k##bits##kind##15 }
#define ROW(k, kind) { NAMES(k, 8, kind), { NULL }, NAMES(k, 32, kind), NAMES(k, 64, kind) }
/* [operation][kind][size][condition] */
static op_fn *const fused[ALU_COUNT][5][4][16] = {
	[CMP] = { ROW(CMP, rr), ROW(CMP, ri), ROW(CMP, rm), ROW(CMP, mr), ROW(CMP, mi) },
	[TEST] = { ROW(TEST, rr), ROW(TEST, ri), { { NULL } }, ROW(TEST, mr), ROW(TEST, mi) },
	[SUB] = { ROW(SUB, rr), ROW(SUB, ri) },
	[AND] = { ROW(AND, rr), ROW(AND, ri) },
};

void fuse_branch(struct op *first)
{
	int k = alu_number((ZydisMnemonic)first->mnem), cond = branch_condition(first + 1);

	if (k < 0 || cond < 0)
		return;
	for (unsigned kind = KIND_RR; kind <= KIND_MI; kind++) {
		op_fn *fn = fused[k][kind][size_index(first->size)][cond];

		if (fn && first->fn == alu_find((enum alu)k, first->size, (enum kind)kind)) {
			first->fn = fn;
			return;
		}
	}
}
