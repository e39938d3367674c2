// SPDX-License-Identifier: GPL-2.0-or-later
/* XCHG XADD CMPXCHG CMPXCHG8B CMPXCHG16B. */
#include "arch/x86.h"
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

static const struct op *op_xchg(struct cpu *c, const struct op *o)
{
	struct place p;
	u64 a = place_read(c, o, &p, o->dst), b = reg_get(c, o->src, o->size);

	place_write(c, o, &p, b);
	reg_set(c, o->src, o->size, a);
	OP_NEXT(c, o);
}

static const struct op *op_xadd(struct cpu *c, const struct op *o)
{
	struct place p;
	u64 a = place_read(c, o, &p, o->dst), b = reg_get(c, o->src, o->size), r = sign_extend(a + b, o->size);

	if (p.mem) {
		place_write(c, o, &p, r);
		reg_set(c, o->src, o->size, a);
	} else { /* XADD r, r: the sum wins */
		reg_set(c, o->src, o->size, a);
		place_write(c, o, &p, r);
	}
	cc_set(c, CC_ADD, r, sign_extend(a, o->size), sign_extend(b, o->size));
	OP_NEXT(c, o);
}

/* The memory operand is always written, the destination's own value if the comparison fails. SDM 2A "CMPXCHG". */
static const struct op *op_cmpxchg(struct cpu *c, const struct op *o)
{
	struct place p;
	u64 a = sign_extend(reg_get(c, o->size == 1 ? 0 : RAX, o->size), o->size);
	u64 b = sign_extend(place_read(c, o, &p, o->dst), o->size), r = sign_extend(a - b, o->size);

	if (a == b) {
		place_write(c, o, &p, reg_get(c, o->src, o->size));
	} else {
		if (p.mem) /* a register keeps its upper half too */
			place_write(c, o, &p, b);
		reg_set(c, o->size == 1 ? 0 : RAX, o->size, b);
	}
	cc_set(c, CC_SUB, r, a, b);
	OP_NEXT(c, o);
}

static void set_zf(struct cpu *c, bool zf)
{
	cc_set_all(c, (cc_all(c) & ~CC_ZF) | (zf ? CC_ZF : 0));
}

static const struct op *op_cmpxchg8b(struct cpu *c, const struct op *o)
{
	u64 lin = op_lin(c, o, 8, ACCESS_WRITE), v = ld64_rmw(c, o, lin);
	bool equal = v == ((c->gpr[RDX] << 32) | reg32(c, RAX));

	st64(c, o, lin, equal ? (c->gpr[RCX] << 32) | reg32(c, RBX) : v);
	if (!equal) {
		c->gpr[RAX] = (u32)v;
		c->gpr[RDX] = v >> 32;
	}
	set_zf(c, equal);
	OP_NEXT(c, o);
}

static const struct op *op_cmpxchg16b(struct cpu *c, const struct op *o)
{
	u64 lin = op_lin(c, o, 16, ACCESS_WRITE), v[2], n[2];
	bool equal;

	if (lin & 15)
		cpu_raise_err(c, o, VEC_GP, 0);
	v[0] = ld64_rmw(c, o, lin);
	v[1] = ld64_rmw(c, o, lin + 8);
	equal = v[0] == c->gpr[RAX] && v[1] == c->gpr[RDX];
	n[0] = equal ? c->gpr[RBX] : v[0];
	n[1] = equal ? c->gpr[RCX] : v[1];
	st_buf(c, o, lin, n, sizeof(n));
	c->gpr[RAX] = v[0];
	c->gpr[RDX] = v[1];
	set_zf(c, equal);
	OP_NEXT(c, o);
}

static bool lower_xchg(struct lower *l, op_fn *fn)
{
	struct op *o = l->op;

	/* XCHG r, m names its operands in either order. */
	if (lower_kind(l, 2) == KIND_RM)
		o->src = o->dst;
	o->fn = fn;
	return true;
}

bool xchg_lower(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_XCHG:       return lower_xchg(l, op_xchg);
	case ZYDIS_MNEMONIC_XADD:       return lower_xchg(l, op_xadd);
	case ZYDIS_MNEMONIC_CMPXCHG:    return lower_xchg(l, op_cmpxchg);
	case ZYDIS_MNEMONIC_CMPXCHG8B:  l->op->fn = op_cmpxchg8b; return true;
	case ZYDIS_MNEMONIC_CMPXCHG16B: l->op->fn = op_cmpxchg16b; return true;
	default:                        return false;
	}
}
