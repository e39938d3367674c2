// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/jit/operand.h"

/* Shifts. OF after a count above 1, and AF, are undefined in the manual, so the host's flags are not taken for them. */
static unsigned shift_count(const struct tr *t)
{
	return (unsigned)t->ops[1].imm.value.u & (t->o->size == 8 ? 63 : 31);
}

static bool rotates(const struct tr *t)
{
	return t->insn->mnemonic == ZYDIS_MNEMONIC_ROL || t->insn->mnemonic == ZYDIS_MNEMONIC_ROR;
}

static bool shifts_register(const struct tr *t)
{
	return !is_mem(t, 0) && t->o->size >= 4 && (!is_imm(t, 1) || shift_count(t) != 0);
}

static bool can_shift(const struct tr *t)
{
	return shifts_register(t) && (is_imm(t, 1) || t->o->dst != RCX);
}

/* AH and AL of the flags after a shift by an immediate, the host's flags being those of the shift. */
static void shift_flags(struct tr *t, unsigned n)
{
	struct asm_buf *a = &t->a;

	x_u8(a, 0x9f); /* LAHF */
	if (n == 1) {
		x_op(a, MAP_0F | 0x90, 1, 0, rm_reg(HAX));
	} else if (t->insn->mnemonic == ZYDIS_MNEMONIC_SHL) { /* OF = SF ^ CF */
		x_u8(a, 0x88), x_u8(a, 0xe0);      /* MOV AL, AH */
		x_shift_imm(a, 5, 1, rm_reg(HAX), 7);
		x_u8(a, 0x30), x_u8(a, 0xe0);      /* XOR AL, AH */
		x_alu_imm(a, X_AND, 4, rm_reg(HAX), 0xff01);
	} else {
		x_alu_imm(a, X_AND, 4, rm_reg(HAX), 0xff00);
	}
	x_alu_imm(a, X_AND, 4, rm_reg(HAX), 0xef01); /* AF = 0 */
	flags_from_ax(t);
}

/* The same after a rotation: CF is new, and OF by the result's top bits; the host's flags have all others. */
static void rotated_ax(struct tr *t, struct rm result)
{
	struct asm_buf *a = &t->a;
	unsigned top = 8u * t->o->size - 1;

	x_u8(a, 0x9f); /* LAHF */
	x_load(a, 8, T1, result);
	x_load(a, 8, T2, result);
	x_shift_imm(a, 5, t->o->size, rm_reg(T1), top);
	if (t->insn->mnemonic == ZYDIS_MNEMONIC_ROR)
		x_shift_imm(a, 5, t->o->size, rm_reg(T2), top - 1);
	x_alu(a, X_XOR, 4, T1, rm_reg(T2));
	x_alu_imm(a, X_AND, 4, rm_reg(T1), 1);
	x_alu_imm(a, X_AND, 4, rm_reg(HAX), 0xff00);
	x_alu(a, X_OR, 4, HAX, rm_reg(T1));
}

static void rotate_flags(struct tr *t, struct rm result)
{
	rotated_ax(t, result);
	flags_from_ax(t);
}

/* The same after a shift by CL. */
static void shifted_ax(struct tr *t, struct rm result)
{
	struct asm_buf *a = &t->a;
	ZydisMnemonic m = t->insn->mnemonic;

	x_u8(a, 0x9f); /* LAHF */
	if (m == ZYDIS_MNEMONIC_SHL) { /* OF = SF ^ CF */
		x_u8(a, 0x88), x_u8(a, 0xe0);      /* MOV AL, AH */
		x_shift_imm(a, 5, 1, rm_reg(HAX), 7);
		x_u8(a, 0x30), x_u8(a, 0xe0);      /* XOR AL, AH */
	} else if (m == ZYDIS_MNEMONIC_SHR) { /* the bit below the top: the top is 0 */
		x_load(a, 8, T1, result);
		x_shift_imm(a, 5, t->o->size, rm_reg(T1), 8u * t->o->size - 2);
		x_load(a, 1, HAX, rm_reg(T1));
	} else {
		x_store_imm(a, 1, rm_reg(HAX), 0);
	}
	x_alu_imm(a, X_AND, 4, rm_reg(HAX), 0xef01); /* AF = 0 */
}

/* A count of 0 leaves the flags, which are in cc_*, as they are. */
static void flags_unless_zero(struct tr *t)
{
	struct asm_buf *a = &t->a;
	u8 *zero;

	x_test_imm(a, 1, rm_reg(HCX), t->o->size == 8 ? 63 : 31);
	zero = x_jcc(a, CC_X_E);
	flags_store_ax(a);
	x_patch(zero, a->p);
	flags_only_mem(t);
}

static void shift_by_cl(struct tr *t, unsigned ext)
{
	const struct op *o = t->o;
	struct rm to = target(o->dst, o->size);
	bool wanted = flags_wanted(t);

	_Static_assert(HCX == 1, "the guest's CL is the host's");
	if (wanted) {
		flags_to_mem(t);
		if (rotates(t))
			flags_to_host(t);
	}
	target_load(t, o->dst, to);
	x_op(&t->a, 0xd3, o->size, ext, to);
	target_keep(t, o->dst, to);
	if (!wanted) {
		flags_produced(t, no_lazy);
		return;
	}
	if (rotates(t))
		rotated_ax(t, guest(o->dst));
	else
		shifted_ax(t, guest(o->dst));
	flags_unless_zero(t);
}

static unsigned shift_extension(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_ROL: return 0;
	case ZYDIS_MNEMONIC_ROR: return 1;
	case ZYDIS_MNEMONIC_SHL: return 4;
	case ZYDIS_MNEMONIC_SHR: return 5;
	default:                 return 7;
	}
}

static void emit_shift(struct tr *t)
{
	const struct op *o = t->o;
	unsigned ext = shift_extension(t->insn->mnemonic);
	bool wanted = flags_wanted(t);
	struct rm to = target(o->dst, o->size);

	if (!is_imm(t, 1)) {
		shift_by_cl(t, ext);
		return;
	}
	if (wanted && rotates(t))
		flags_to_host(t);
	target_load(t, o->dst, to);
	x_shift_imm(&t->a, ext, o->size, to, shift_count(t));
	target_keep(t, o->dst, to);
	if (wanted && rotates(t))
		rotate_flags(t, guest(o->dst));
	else if (wanted)
		shift_flags(t, shift_count(t));
	else
		flags_produced(t, no_lazy);
}

static const struct emitter table[] = {
	{ ZYDIS_MNEMONIC_SHL, EFFECT_PART, can_shift, emit_shift },
	{ ZYDIS_MNEMONIC_SHR, EFFECT_PART, can_shift, emit_shift },
	{ ZYDIS_MNEMONIC_SAR, EFFECT_PART, can_shift, emit_shift },
	{ ZYDIS_MNEMONIC_ROL, EFFECT_PART, can_shift, emit_shift },
	{ ZYDIS_MNEMONIC_ROR, EFFECT_PART, can_shift, emit_shift },
};

const struct emitter *shift_find(const struct tr *t)
{
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].mnem == t->insn->mnemonic)
			return &table[i];
	return NULL;
}

/* A shift by a constant sets all flags, if it is not 0; everything else may leave some or all. */
u8 shift_effect(const struct tr *t, u8 effect)
{
	if (t->plan[t->i].emitter->emit == emit_shift && is_imm(t, 1) && !rotates(t))
		return EFFECT_KILLS;
	return effect;
}
