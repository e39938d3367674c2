// SPDX-License-Identifier: GPL-2.0-or-later
/* Flag instructions, BCD, NOPs, fences, and the handlers of what cannot run. */
#include "arch/x86.h"
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

const struct op *op_nop(struct cpu *c, const struct op *o)
{
	OP_NEXT(c, o);
}

const struct op *op_undefined(struct cpu *c, const struct op *o)
{
	cpu_raise(c, o, VEC_UD);
}

const struct op *op_gp0(struct cpu *c, const struct op *o)
{
	cpu_raise_err(c, o, VEC_GP, 0);
}

const struct op *op_unimplemented(struct cpu *c, const struct op *o)
{
	machine_unimplemented(c, o, "instruction %s", ZydisMnemonicGetString((ZydisMnemonic)o->mnem));
}

/* CLFLUSH, CLFLUSHOPT, CLWB: caches are not modelled, but the address is checked as that of a byte load. SDM 2A "CLFLUSH". */
static const struct op *op_clflush(struct cpu *c, const struct op *o)
{
	ld8(c, o, op_lin(c, o, 1, ACCESS_READ));
	OP_NEXT(c, o);
}

static const struct op *op_clc(struct cpu *c, const struct op *o)
{
	cc_replace(c, CC_CF, 0);
	OP_NEXT(c, o);
}

static const struct op *op_stc(struct cpu *c, const struct op *o)
{
	cc_replace(c, CC_CF, CC_CF);
	OP_NEXT(c, o);
}

static const struct op *op_cmc(struct cpu *c, const struct op *o)
{
	cc_replace(c, CC_CF, !cc_cf(c));
	OP_NEXT(c, o);
}

static const struct op *op_cld(struct cpu *c, const struct op *o)
{
	c->eflags &= ~(u64)EFLAGS_DF;
	OP_NEXT(c, o);
}

static const struct op *op_std(struct cpu *c, const struct op *o)
{
	c->eflags |= EFLAGS_DF;
	OP_NEXT(c, o);
}

#define AH_FLAGS (CC_CF | CC_PF | CC_AF | CC_ZF | CC_SF)

static const struct op *op_lahf(struct cpu *c, const struct op *o)
{
	set_reg8(c, RAX * 8 + 1, (u8)((cc_all(c) & AH_FLAGS) | EFLAGS_ONE));
	OP_NEXT(c, o);
}

static const struct op *op_sahf(struct cpu *c, const struct op *o)
{
	u32 ah = reg8(c, RAX * 8 + 1);

	cc_set_all(c, (cc_all(c) & CC_OF) | (ah & AH_FLAGS));
	OP_NEXT(c, o);
}

static const struct op *op_salc(struct cpu *c, const struct op *o)
{
	set_reg8(c, 0, cc_cf(c) ? 0xff : 0);
	OP_NEXT(c, o);
}

/* BCD: SDM 2A "AAA" … "DAS". OF is undefined; CPUs clear it. */
static u32 szp(u8 v)
{
	return (v & 0x80 ? CC_SF : 0) | (v ? 0 : CC_ZF) | (cc_parity(v) ? CC_PF : 0);
}

/* aux: subtract (AAS). */
static const struct op *op_aaa(struct cpu *c, const struct op *o)
{
	bool adjust = (reg8(c, 0) & 15) > 9 || (cc_all(c) & CC_AF);
	u16 ax = reg16(c, RAX);

	if (adjust)
		ax = (u16)(o->aux ? ax - 0x106 : ax + 0x106);
	ax &= 0xff0f;
	set_reg16(c, RAX, ax);
	cc_set_all(c, szp((u8)ax) | (adjust ? CC_CF | CC_AF : 0));
	OP_NEXT(c, o);
}

static const struct op *op_aam(struct cpu *c, const struct op *o)
{
	u8 base = (u8)o->imm, al = reg8(c, 0);

	if (base == 0)
		cpu_raise(c, o, VEC_DE);
	set_reg16(c, RAX, (u16)(al / base << 8 | al % base));
	cc_set_all(c, szp(al % base));
	OP_NEXT(c, o);
}

static const struct op *op_aad(struct cpu *c, const struct op *o)
{
	u8 al = (u8)(reg8(c, 0) + reg8(c, 1) * (u8)o->imm);

	set_reg16(c, RAX, al);
	cc_set_all(c, szp(al));
	OP_NEXT(c, o);
}

/* aux: subtract (DAS). */
static const struct op *op_daa(struct cpu *c, const struct op *o)
{
	u32 old = cc_all(c), af = 0, cf = 0;
	u8 al = reg8(c, 0), before = al;

	if ((al & 15) > 9 || (old & CC_AF)) {
		cf = (old & CC_CF) || (o->aux ? before < 6 : before > 0xf9) ? CC_CF : 0;
		al = (u8)(o->aux ? al - 6 : al + 6);
		af = CC_AF;
	}
	if (before > 0x99 || (old & CC_CF)) {
		al = (u8)(o->aux ? al - 0x60 : al + 0x60);
		cf = CC_CF;
	} else if (!o->aux) {
		cf = 0;
	}
	set_reg8(c, 0, al);
	cc_set_all(c, szp(al) | af | cf);
	OP_NEXT(c, o);
}

static bool set_fn(struct lower *l, op_fn *fn, u8 aux)
{
	l->op->aux = aux;
	l->op->fn = fn;
	return true;
}

static bool lower_undefined(struct lower *l)
{
	l->op->flags |= OP_END;
	return set_fn(l, op_undefined, 0);
}

bool misc_lower(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_NOP:
	case ZYDIS_MNEMONIC_ENDBR32:
	case ZYDIS_MNEMONIC_ENDBR64:
	case ZYDIS_MNEMONIC_PREFETCH:
	case ZYDIS_MNEMONIC_PREFETCHNTA:
	case ZYDIS_MNEMONIC_PREFETCHT0:
	case ZYDIS_MNEMONIC_PREFETCHT1:
	case ZYDIS_MNEMONIC_PREFETCHT2:
	case ZYDIS_MNEMONIC_PREFETCHW:
	case ZYDIS_MNEMONIC_PREFETCHWT1:
	case ZYDIS_MNEMONIC_LFENCE:
	case ZYDIS_MNEMONIC_MFENCE:
	case ZYDIS_MNEMONIC_SFENCE:  return set_fn(l, op_nop, 0);
	case ZYDIS_MNEMONIC_CLFLUSH:
	case ZYDIS_MNEMONIC_CLFLUSHOPT:
	case ZYDIS_MNEMONIC_CLWB: return set_fn(l, op_clflush, 0);
	case ZYDIS_MNEMONIC_UD0:
	case ZYDIS_MNEMONIC_UD1:
	case ZYDIS_MNEMONIC_UD2:     return lower_undefined(l);
	case ZYDIS_MNEMONIC_CLC:     return set_fn(l, op_clc, 0);
	case ZYDIS_MNEMONIC_STC:     return set_fn(l, op_stc, 0);
	case ZYDIS_MNEMONIC_CMC:     return set_fn(l, op_cmc, 0);
	case ZYDIS_MNEMONIC_CLD:     return set_fn(l, op_cld, 0);
	case ZYDIS_MNEMONIC_STD:     return set_fn(l, op_std, 0);
	case ZYDIS_MNEMONIC_LAHF:    return set_fn(l, op_lahf, 0);
	case ZYDIS_MNEMONIC_SAHF:    return set_fn(l, op_sahf, 0);
	case ZYDIS_MNEMONIC_SALC:    return set_fn(l, op_salc, 0);
	case ZYDIS_MNEMONIC_AAA:     return set_fn(l, op_aaa, 0);
	case ZYDIS_MNEMONIC_AAS:     return set_fn(l, op_aaa, 1);
	case ZYDIS_MNEMONIC_AAM:     return set_fn(l, op_aam, 0);
	case ZYDIS_MNEMONIC_AAD:     return set_fn(l, op_aad, 0);
	case ZYDIS_MNEMONIC_DAA:     return set_fn(l, op_daa, 0);
	case ZYDIS_MNEMONIC_DAS:     return set_fn(l, op_daa, 1);
	default:                     return false;
	}
}
