/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/machine/fpu/forms.h"
#include "tests/machine/fpu/double.h"
#include "tests/machine/fpu/random.h"

#define RSP_NUMBER 4

static const struct fpu_row *const tables[] = {
	fpu_rows_int, fpu_rows_imm, fpu_rows_move, fpu_rows_float, fpu_rows_convert, fpu_rows_string, fpu_rows_state,
	fpu_rows_control, fpu_rows_x87,
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))

const struct fpu_row *form_row(unsigned i)
{
	for (unsigned t = 0; t < TABLES; t++)
		for (const struct fpu_row *r = tables[t]; r->mnem; r++)
			if (ZydisMnemonicGetString(r->mnem)[0] != 'v' && i-- == 0) /* VEX: vex.c */
				return r;
	return NULL;
}

static ZydisRegister gpr_of(unsigned size, unsigned n)
{
	static const ZydisRegisterClass class[9] = {
		[1] = ZYDIS_REGCLASS_GPR8, [2] = ZYDIS_REGCLASS_GPR16, [4] = ZYDIS_REGCLASS_GPR32, [8] = ZYDIS_REGCLASS_GPR64,
	};

	/* Zydis numbers the low bytes AL..BL, AH..BH, SPL.. */
	if (size == 1)
		return n < 4 ? ZYDIS_REGISTER_AL + n : n < 8 ? ZYDIS_REGISTER_AH + n - 4 : ZYDIS_REGISTER_R8B + n - 8;
	return ZydisRegisterEncode(class[size], (u8)n);
}

static unsigned gpr_number(void)
{
	unsigned n;

	do
		n = rnd_below(16);
	while (n == RSP_NUMBER);
	return n;
}

static void fill_operand(ZydisEncoderOperand *e, unsigned kind, const struct form *f, bool second, bool st0)
{
	unsigned gsize = f->gsize;

	e->type = ZYDIS_OPERAND_TYPE_REGISTER;
	switch (kind) {
	case K_X:
		e->reg.value = ZYDIS_REGISTER_XMM0 + rnd_below(16);
		break;
	case K_Y:
		e->reg.value = ZYDIS_REGISTER_MM0 + rnd_below(8);
		break;
	case K_S:
		e->reg.value = ZYDIS_REGISTER_ST0 + (st0 ? 0 : rnd_below(8));
		break;
	case K_G:
		/* CRC32 has a wide destination whatever its source. */
		if (f->row->mnem == ZYDIS_MNEMONIC_CRC32 && !second)
			gsize = gsize == 8 || f->msize == 8 ? 8 : 4;
		e->reg.value = f->row->mnem == ZYDIS_MNEMONIC_FNSTSW ? ZYDIS_REGISTER_AX : gpr_of(gsize, gpr_number());
		break;
	case K_M:
		e->type = ZYDIS_OPERAND_TYPE_MEMORY;
		e->mem.base = gpr_of(8, gpr_number());
		e->mem.displacement = rnd_below(3) ? (s8)rnd() : (s32)rnd_below(100000);
		e->mem.size = f->msize;
		break;
	case K_I:
		e->type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
		e->imm.u = (u8)rnd();
		break;
	}
}

static bool encode(const struct form *f, u8 *code, unsigned *len)
{
	ZydisEncoderRequest q = { .machine_mode = ZYDIS_MACHINE_MODE_LONG_64, .mnemonic = f->row->mnem,
				  .allowed_encodings = ZYDIS_ENCODABLE_ENCODING_LEGACY };
	unsigned kinds[2] = { f->row->shape >> 4, f->row->shape & 15 };
	bool first_st0 = rnd() & 1;
	ZyanUSize n = ZYDIS_MAX_INSTRUCTION_LENGTH;

	for (unsigned i = 0; i < 2 && kinds[i]; i++, q.operand_count++) {
		/* x87: one of two registers is ST(0); which one may be the mnemonic's choice. */
		bool st0 = kinds[1] && (i == 0) == first_st0;

		fill_operand(&q.operands[i], kinds[i], f, i == 1, st0);
	}
	if (f->imm) {
		q.operands[q.operand_count].type = ZYDIS_OPERAND_TYPE_IMMEDIATE;
		q.operands[q.operand_count++].imm.u = (u8)rnd();
	}
	if (!ZYAN_SUCCESS(ZydisEncoderEncodeInstruction(&q, code, &n)))
		return false;
	*len = (unsigned)n;
	return true;
}

/* Of the explicit memory operand, in bytes: the encoder takes any for some instructions. */
static unsigned memory_size(const struct made *m)
{
	ZydisDecoder d;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand z[ZYDIS_MAX_OPERAND_COUNT];

	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&d, m->code, m->len, &insn, z)))
		return 0;
	for (unsigned i = 0; i < insn.operand_count_visible; i++)
		if (z[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			return z[i].size / 8;
	return 0;
}

bool form_make(struct cpu *c, const struct form *f, struct made *m)
{
	return encode(f, m->code, &m->len) && double_lower(c, m->code, m->len, &m->ops[0], &m->insn) &&
	       m->ops[0].fn == f->row->fn && memory_size(m) == f->msize;
}

static bool possible(struct cpu *c, const struct form *f)
{
	struct made m;

	for (unsigned i = 0; i < 40; i++)
		if (form_make(c, f, &m))
			return true;
	return false;
}

static bool has_kind(const struct fpu_row *row, unsigned kind)
{
	return row->shape >> 4 == kind || (row->shape & 15) == kind;
}

unsigned forms_of(struct cpu *c, const struct fpu_row *row, struct form *out)
{
	static const u16 sizes[] = { 1, 2, 4, 8, 10, 14, 16, 28, 94, 108, 512 };
	bool m = has_kind(row, K_M), g = has_kind(row, K_G);
	unsigned n = 0;

	for (unsigned i = 0; i < (m ? sizeof(sizes) / sizeof(sizes[0]) : 1); i++) {
		if (m && row->msize && row->msize != sizes[i])
			continue;
		for (unsigned gsize = g; gsize <= (g ? 8 : 0); gsize += g ? gsize : 1) {
			for (unsigned imm = 0; imm < 2; imm++) {
				struct form f = { row, m ? sizes[i] : 0, (u16)gsize, imm };

				if (n < FORMS_MAX && possible(c, &f))
					out[n++] = f;
			}
		}
	}
	return n;
}
