/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a decoded instruction to its handler: finds the row for its mnemonic and the shape of its operands. */
#include "machine/cpu/cpu.h"
#include "machine/fpu/fpu.h"
#include "machine/fpu/rows.h"
#include "machine/fpu/vex.h"

static const struct fpu_row *const tables[] = {
	fpu_rows_int, fpu_rows_imm, fpu_rows_move, fpu_rows_float, fpu_rows_convert, fpu_rows_string, fpu_rows_state,
	fpu_rows_control, fpu_rows_x87, fpu_rows_xsave,
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

/*
 * By mnemonic, the table and index of its first row; a mnemonic's rows may be scattered, so the search goes on
 * from there.
 */
static const struct fpu_row *first_row[ZYDIS_MNEMONIC_MAX_VALUE + 1];
static u8 first_table[ZYDIS_MNEMONIC_MAX_VALUE + 1];

static void index_rows(void)
{
	for (unsigned t = 0; t < TABLES; t++) {
		for (const struct fpu_row *r = tables[t]; r->mnem; r++) {
			if (first_row[r->mnem])
				continue;
			first_row[r->mnem] = r;
			first_table[r->mnem] = (u8)t;
		}
	}
}

static const struct fpu_row *find_row(unsigned mnem, u8 shape, unsigned msize)
{
	const struct fpu_row *r;

	if (!first_row[ZYDIS_MNEMONIC_PXOR])
		index_rows();
	r = first_row[mnem];
	if (!r)
		return NULL;
	for (unsigned t = first_table[mnem];;) {
		for (; r->mnem; r++)
			if (r->mnem == mnem && r->shape == shape && (!r->msize || r->msize == msize))
				return r;
		if (++t == TABLES)
			return NULL;
		r = tables[t];
	}
}

unsigned fpu_mnemonic(unsigned i)
{
	if (!first_row[ZYDIS_MNEMONIC_PXOR])
		index_rows();
	for (unsigned m = 1; m <= ZYDIS_MNEMONIC_MAX_VALUE; m++)
		if (first_row[m] && i-- == 0)
			return m;
	return 0;
}

static unsigned kind_of(const ZydisDecodedOperand *z)
{
	switch (z->type) {
	case ZYDIS_OPERAND_TYPE_MEMORY:
		return K_M;
	case ZYDIS_OPERAND_TYPE_IMMEDIATE:
		return K_I;
	case ZYDIS_OPERAND_TYPE_REGISTER:
		switch (ZydisRegisterGetClass(z->reg.value)) {
		case ZYDIS_REGCLASS_XMM: return K_X;
		case ZYDIS_REGCLASS_MMX: return K_Y;
		case ZYDIS_REGCLASS_X87: return K_S;
		default:                 return K_G;
		}
	default:
		return K_NONE;
	}
}

static bool shown(const ZydisDecodedInstruction *i, const ZydisDecodedOperand *z, unsigned n)
{
	return n < i->operand_count && z[n].visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN;
}

/* (V)MASKMOVQ and MASKMOVDQU: [rDI] in a segment that may be overridden. */
static void hidden_memory(const struct lower *l)
{
	struct op *op = l->op;

	for (unsigned i = 0; i < l->insn->operand_count; i++) {
		const ZydisDecodedOperand *z = &l->ops[i];

		if (z->type != ZYDIS_OPERAND_TYPE_MEMORY || z->mem.type != ZYDIS_MEMOP_TYPE_MEM)
			continue;
		op->base = RDI;
		op->index = REG_ZERO;
		op->scale = 0;
		op->disp = 0;
		op->asize = l->insn->address_width / 8;
		op->seg = (u8)ZydisRegisterGetId(z->mem.segment);
		if (l->code_size == 64 && op->seg != FS && op->seg != GS)
			op->flags |= OP_FLAT;
		else
			op->flags &= ~OP_FLAT;
	}
}

/*
 * Register numbers, and the immediate in op.aux; op.aux2 is the operand size; op.imm the last-opcode register's
 * value (FOP).
 */
static void fill_operands(const struct lower *l)
{
	struct op *op = l->op;

	for (unsigned i = 0; i < 2; i++) {
		if (!shown(l->insn, l->ops, i) || l->ops[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
			continue;
		/* Byte registers (CRC32) are numbered with the flag for AH..BH, which the caller has done. */
		if (ZydisRegisterGetClass(l->ops[i].reg.value) == ZYDIS_REGCLASS_GPR8)
			continue;
		*(i ? &op->src : &op->dst) = (u8)ZydisRegisterGetId(l->ops[i].reg.value);
	}
	for (unsigned i = 0; shown(l->insn, l->ops, i); i++)
		if (l->ops[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			op->aux = (u8)l->ops[i].imm.value.u;
	op->aux2 = l->insn->operand_width / 8;
	if (op->mnem == ZYDIS_MNEMONIC_CRC32)
		op->aux2 = (u8)(l->ops[1].size / 8);
	if (op->mnem == ZYDIS_MNEMONIC_MASKMOVQ || op->mnem == ZYDIS_MNEMONIC_MASKMOVDQU ||
	    op->mnem == ZYDIS_MNEMONIC_VMASKMOVDQU)
		hidden_memory(l);
	if (l->insn->meta.category == ZYDIS_CATEGORY_X87_ALU || l->insn->meta.category == ZYDIS_CATEGORY_FCMOV)
		op->imm = (l->insn->opcode & 7u) << 8 | l->insn->raw.modrm.mod << 6 | l->insn->raw.modrm.reg << 3 |
			  l->insn->raw.modrm.rm;
}

/* What takes notably longer than others. */
static const struct {
	u16 mnem;
	u16 cost; /* enum cost */
} slow_ones[] = {
#define SLOW(name, k) { ZYDIS_MNEMONIC_##name, COST_##k },
	SLOW(DIVPS, FP_DIV) SLOW(DIVPD, FP_DIV) SLOW(DIVSS, FP_DIV) SLOW(DIVSD, FP_DIV)
	SLOW(SQRTPS, FP_DIV) SLOW(SQRTPD, FP_DIV) SLOW(SQRTSS, FP_DIV) SLOW(SQRTSD, FP_DIV)
	SLOW(VDIVPS, FP_DIV) SLOW(VDIVPD, FP_DIV) SLOW(VDIVSS, FP_DIV) SLOW(VDIVSD, FP_DIV)
	SLOW(VSQRTPS, FP_DIV) SLOW(VSQRTPD, FP_DIV) SLOW(VSQRTSS, FP_DIV) SLOW(VSQRTSD, FP_DIV)
	SLOW(FDIV, X87_DIV) SLOW(FDIVP, X87_DIV) SLOW(FDIVR, X87_DIV) SLOW(FDIVRP, X87_DIV) SLOW(FIDIV, X87_DIV)
	SLOW(FIDIVR, X87_DIV) SLOW(FSQRT, X87_DIV) SLOW(FPREM, X87_DIV) SLOW(FPREM1, X87_DIV)
	SLOW(F2XM1, X87_FUNCTION) SLOW(FYL2X, X87_FUNCTION) SLOW(FYL2XP1, X87_FUNCTION) SLOW(FSIN, X87_FUNCTION)
	SLOW(FCOS, X87_FUNCTION) SLOW(FSINCOS, X87_FUNCTION) SLOW(FPTAN, X87_FUNCTION) SLOW(FPATAN, X87_FUNCTION)
	SLOW(FBLD, X87_FUNCTION) SLOW(FBSTP, X87_FUNCTION)
	SLOW(FNSAVE, X87_ENV) SLOW(FRSTOR, X87_ENV) SLOW(FNSTENV, X87_ENV) SLOW(FLDENV, X87_ENV)
	SLOW(XSAVE, XSAVE) SLOW(XSAVE64, XSAVE) SLOW(XSAVEOPT, XSAVE) SLOW(XSAVEOPT64, XSAVE) SLOW(XSAVEC, XSAVE)
	SLOW(XSAVEC64, XSAVE) SLOW(XSAVES, XSAVE) SLOW(XSAVES64, XSAVE) SLOW(XRSTOR, XRSTOR) SLOW(XRSTOR64, XRSTOR)
	SLOW(XRSTORS, XRSTOR) SLOW(XRSTORS64, XRSTOR)
	SLOW(FXSAVE, FXSAVE) SLOW(FXSAVE64, FXSAVE) SLOW(FXRSTOR, FXSAVE) SLOW(FXRSTOR64, FXSAVE)
#undef SLOW
};

static void fill_cost(const struct lower *l)
{
	for (unsigned i = 0; i < sizeof(slow_ones) / sizeof(slow_ones[0]); i++)
		if (slow_ones[i].mnem == l->op->mnem)
			l->op->cost = (u16)l->cpu->m->costs->cycles[slow_ones[i].cost];
}

bool fpu_lower(struct lower *l)
{
	const ZydisDecodedOperand *z = l->ops;
	unsigned shape = 0, msize = 0;
	const struct fpu_row *r;

	/* MOVSD and CMPSD are string instructions too. */
	if (l->insn->meta.category == ZYDIS_CATEGORY_STRINGOP)
		return false;
	if (l->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX && vex_lower(l)) {
		fill_cost(l);
		return true;
	}
	/* Some VEX forms have rows beside their legacy ones; EVEX forms are not ours, whatever the mnemonic. */
	if (l->insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
	    l->insn->encoding != ZYDIS_INSTRUCTION_ENCODING_VEX)
		return false;
	for (unsigned i = 0; i < 2 && shown(l->insn, z, i); i++) {
		shape |= kind_of(&z[i]) << (i ? 0 : 4);
		if (z[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			msize = z[i].size / 8;
	}
	r = find_row(l->insn->mnemonic, (u8)shape, msize);
	if (!r)
		return false;
	fill_operands(l);
	fill_cost(l);
	l->op->fn = r->fn;
	return true;
}
