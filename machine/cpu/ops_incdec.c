// SPDX-License-Identifier: GPL-2.0-or-later
/* INC DEC NEG NOT. */
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

/* INC and DEC keep CF. */
static inline u64 kept_carry(const struct cpu *c)
{
	if (c->cc_op == CC_INC || c->cc_op == CC_DEC)
		return c->cc_src;
	return cc_cf(c);
}

#define INCDEC_HANDLERS(bits, name, sign, cc)                                                                          \
	static const struct op *name##bits##_r(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		u##bits a = reg##bits(c, o->dst), r = (u##bits)(a sign 1);                                             \
                                                                                                                       \
		cc_set(c, cc, SX##bits(r), kept_carry(c), SX##bits(a));                                                \
		set_reg##bits(c, o->dst, r);                                                                           \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *name##bits##_m(struct cpu *c, const struct op *o)                                      \
	{                                                                                                              \
		u64 lin = op_lin(c, o, bits / 8, ACCESS_WRITE);                                                        \
		u##bits a = ld##bits##_rmw(c, o, lin), r = (u##bits)(a sign 1);                                        \
                                                                                                                       \
		st##bits(c, o, lin, r);                                                                                \
		cc_set(c, cc, SX##bits(r), kept_carry(c), SX##bits(a));                                                \
		OP_NEXT(c, o);                                                                                         \
	}
#define INCDEC_SIZE(bits) INCDEC_HANDLERS(bits, inc, +, CC_INC) INCDEC_HANDLERS(bits, dec, -, CC_DEC)
INCDEC_SIZE(8)
INCDEC_SIZE(16)
INCDEC_SIZE(32)
INCDEC_SIZE(64)

#define INCDEC_ROW(bits) { { inc##bits##_r, inc##bits##_m }, { dec##bits##_r, dec##bits##_m } }
static op_fn *const incdec_handler[4][2][2] = { INCDEC_ROW(8), INCDEC_ROW(16), INCDEC_ROW(32), INCDEC_ROW(64) };

static const struct op *op_neg(struct cpu *c, const struct op *o)
{
	struct place p;
	u64 a = sign_extend(place_read(c, o, &p, o->dst), o->size), r = sign_extend(-a, o->size);

	place_write(c, o, &p, r);
	cc_set(c, CC_SUB, r, 0, a);
	OP_NEXT(c, o);
}

static const struct op *op_not(struct cpu *c, const struct op *o)
{
	struct place p;
	u64 a = place_read(c, o, &p, o->dst);

	place_write(c, o, &p, ~a);
	OP_NEXT(c, o);
}

bool incdec_lower(struct lower *l)
{
	struct op *o = l->op;
	bool mem = lower_kind(l, 1) == KIND_M;

	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_INC: o->fn = incdec_handler[size_index(o->size)][0][mem]; return true;
	case ZYDIS_MNEMONIC_DEC: o->fn = incdec_handler[size_index(o->size)][1][mem]; return true;
	case ZYDIS_MNEMONIC_NEG: o->fn = op_neg; return true;
	case ZYDIS_MNEMONIC_NOT: o->fn = op_not; return true;
	default:                 return false;
	}
}
