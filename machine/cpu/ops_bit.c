// SPDX-License-Identifier: GPL-2.0-or-later
/* BT BTS BTR BTC BSF BSR LZCNT TZCNT POPCNT CRC32. */
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

enum bit_op { BT, BTS, BTR, BTC };

static u64 change_bit(enum bit_op k, u64 v, unsigned n)
{
	u64 bit = 1ull << n;

	switch (k) {
	case BTS: return v | bit;
	case BTR: return v & ~bit;
	case BTC: return v ^ bit;
	default:  return v;
	}
}

/* In memory a register names a bit anywhere in the string of bits that begins at the operand. SDM 2A "BT". */
static u64 bit_string_ea(const struct cpu *c, const struct op *o, s64 n)
{
	unsigned log = size_index(o->size) + 3;
	u64 ea = c->gpr[o->base] + (c->gpr[o->index] << o->scale) + (s64)o->disp + (u64)(n >> log) * o->size;

	return ea & size_mask(o->asize);
}

/* aux: enum bit_op; aux2: the bit number is in a register, else imm. */
static const struct op *op_bit_memory(struct cpu *c, const struct op *o)
{
	s64 n = (s64)(o->aux2 ? sign_extend(reg_get(c, o->src, o->size), o->size) : o->imm & (8u * o->size - 1));
	u64 ea = bit_string_ea(c, o, n), lin = ea, v;
	bool write = o->aux != BT;

	if (!(o->flags & OP_FLAT))
		lin = seg_linear(c, o, (enum sreg)o->seg, ea, o->size, write ? ACCESS_WRITE : ACCESS_READ);
	v = write ? mem_get_rmw(c, o, lin, o->size) : mem_get(c, o, lin, o->size);
	n &= 8 * o->size - 1;
	if (write)
		mem_set(c, o, lin, o->size, change_bit((enum bit_op)o->aux, v, (unsigned)n));
	cc_replace(c, CC_CF, (v >> n) & 1);
	OP_NEXT(c, o);
}

static const struct op *op_bit_register(struct cpu *c, const struct op *o)
{
	unsigned n = (unsigned)(o->aux2 ? c->gpr[o->src] : o->imm) & (8u * o->size - 1);
	u64 v = reg_get(c, o->dst, o->size);

	if (o->aux != BT)
		reg_set(c, o->dst, o->size, change_bit((enum bit_op)o->aux, v, n));
	cc_replace(c, CC_CF, (v >> n) & 1);
	OP_NEXT(c, o);
}

static bool lower_bit(struct lower *l, enum bit_op k)
{
	enum kind kind = lower_kind(l, 2);
	struct op *o = l->op;

	o->aux = (u8)k;
	o->aux2 = kind == KIND_RR || kind == KIND_MR;
	o->fn = o->flags & OP_MEM ? op_bit_memory : op_bit_register;
	return true;
}

static unsigned leading_zeros(u64 v, unsigned size)
{
	return v ? (unsigned)__builtin_clzll(v) - (64 - 8 * size) : 8 * size;
}

static unsigned trailing_zeros(u64 v, unsigned size)
{
	return v ? (unsigned)__builtin_ctzll(v) : 8 * size;
}

/* aux: from above. A source of 0 sets ZF and leaves the destination. */
static const struct op *op_bit_scan(struct cpu *c, const struct op *o)
{
	u64 v = source_read(c, o, o->src, o->size), r;

	if (v == 0) {
		cc_set_all(c, CC_ZF | CC_PF);
		OP_NEXT(c, o);
	}
	r = o->aux ? 63u - (unsigned)__builtin_clzll(v) : (unsigned)__builtin_ctzll(v);
	reg_set(c, o->dst, o->size, r);
	cc_set_all(c, cc_parity(r) ? CC_PF : 0);
	OP_NEXT(c, o);
}

static const struct op *op_count_zeros(struct cpu *c, const struct op *o)
{
	u64 v = source_read(c, o, o->src, o->size);
	unsigned r = o->aux ? leading_zeros(v, o->size) : trailing_zeros(v, o->size);

	reg_set(c, o->dst, o->size, r);
	cc_set_all(c, (v ? 0 : CC_CF) | (r ? 0 : CC_ZF));
	OP_NEXT(c, o);
}

static const struct op *op_popcnt(struct cpu *c, const struct op *o)
{
	u64 v = source_read(c, o, o->src, o->size);

	reg_set(c, o->dst, o->size, (u64)__builtin_popcountll(v));
	cc_set_all(c, v ? 0 : CC_ZF);
	OP_NEXT(c, o);
}

/* CRC-32C (polynomial 11EDC6F41H), bit-reflected, a byte at a time. aux: source size. */
static const struct op *op_crc32(struct cpu *c, const struct op *o)
{
	u64 v = source_read(c, o, o->src, o->aux);
	u32 crc = reg32(c, o->dst);

	for (unsigned i = 0; i < o->aux; i++, v >>= 8) {
		crc ^= (u8)v;
		for (unsigned k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
	}
	c->gpr[o->dst] = crc;
	OP_NEXT(c, o);
}

static bool lower_crc32(struct lower *l)
{
	enum kind kind = lower_kind(l, 2);

	l->op->aux = (u8)(l->ops[1].size / 8);
	l->op->fn = op_crc32;
	return kind == KIND_RR || kind == KIND_RM;
}

static bool lower_scan(struct lower *l, op_fn *fn, u8 aux)
{
	lower_kind(l, 2);
	l->op->aux = aux;
	l->op->fn = fn;
	return true;
}

bool bit_lower(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_BT:     return lower_bit(l, BT);
	case ZYDIS_MNEMONIC_BTS:    return lower_bit(l, BTS);
	case ZYDIS_MNEMONIC_BTR:    return lower_bit(l, BTR);
	case ZYDIS_MNEMONIC_BTC:    return lower_bit(l, BTC);
	case ZYDIS_MNEMONIC_BSF:    return lower_scan(l, op_bit_scan, 0);
	case ZYDIS_MNEMONIC_BSR:    return lower_scan(l, op_bit_scan, 1);
	case ZYDIS_MNEMONIC_TZCNT:  return lower_scan(l, op_count_zeros, 0);
	case ZYDIS_MNEMONIC_LZCNT:  return lower_scan(l, op_count_zeros, 1);
	case ZYDIS_MNEMONIC_POPCNT: return lower_scan(l, op_popcnt, 0);
	case ZYDIS_MNEMONIC_CRC32:  return lower_crc32(l);
	default:                    return false;
	}
}
