// SPDX-License-Identifier: GPL-2.0-or-later
/* Bit scans and counts, BMI. Flags that the manual leaves undefined are made as the reference has them. */
#include "machine/jit/operand.h"

static unsigned general(const struct tr *t, unsigned i)
{
	return (unsigned)lower_gpr(t->ops[i].reg.value);
}

static bool can(const struct tr *t)
{
	return t->o->size >= 4 && can_memory(t);
}

/* The operand in a register or memory. */
static struct rm source(struct tr *t, unsigned i)
{
	if (!is_mem(t, i))
		return guest(general(t, i));
	mem_operand(t, t->o->size, false);
	return rm_mem(T1, 0);
}

/* Host register for the result, and where it goes from there. */
static unsigned result(const struct tr *t)
{
	int home = jit_home[general(t, 0)];

	return home >= 0 ? (unsigned)home : T0;
}

static void keep(struct tr *t, unsigned reg)
{
	if (reg == T0)
		x_store(&t->a, 8, guest_mem(general(t, 0)), T0);
}

/* AH of the host's flags but for those in `mask`; OF is 0. */
static void flags_masked(struct tr *t, unsigned mask)
{
	x_u8(&t->a, 0x9f); /* LAHF */
	x_alu_imm(&t->a, X_AND, 4, rm_reg(T0), (s32)(mask << 8));
	flags_from_ax(t);
}

static u32 opcode(const struct tr *t)
{
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_TZCNT:  return MAP_0F | PFX_F3 | 0xbc;
	case ZYDIS_MNEMONIC_LZCNT:  return MAP_0F | PFX_F3 | 0xbd;
	case ZYDIS_MNEMONIC_POPCNT: return MAP_0F | PFX_F3 | 0xb8;
	case ZYDIS_MNEMONIC_BSF:    return MAP_0F | 0xbc;
	default:                    return MAP_0F | 0xbd;
	}
}

static void emit_count(struct tr *t)
{
	struct rm src = source(t, 1);
	unsigned reg = result(t);

	x_op(&t->a, opcode(t), t->o->size, reg, src);
	keep(t, reg);
	if (t->insn->mnemonic != ZYDIS_MNEMONIC_POPCNT && flags_wanted(t))
		flags_masked(t, CC_CF | CC_ZF);
	else
		flags_produced(t, no_lazy);
}

/* A source of 0 leaves the destination; ZF and PF are set. Else PF follows the result. */
static void emit_scan(struct tr *t)
{
	struct asm_buf *a = &t->a;
	struct rm src = source(t, 1);
	u8 *zero, *done;

	x_op(a, opcode(t), t->o->size, T2, src);
	zero = x_jcc(a, CC_X_E);
	x_store(a, 8, guest(general(t, 0)), T2);
	x_test(a, 1, rm_reg(T2), T2);
	x_u8(a, 0x9f); /* LAHF */
	x_alu_imm(a, X_AND, 4, rm_reg(T0), CC_PF << 8);
	done = x_jmp(a);
	x_patch(zero, a->p);
	x_mov_imm(a, T0, (CC_ZF | CC_PF) << 8);
	x_patch(done, a->p);
	if (flags_wanted(t))
		flags_from_ax(t);
	else
		flags_produced(t, no_lazy);
}

/* --- VEX: reg and vvvv are what the encoding says --- */

static void encode(struct tr *t, unsigned reg, unsigned vvvv, struct rm src)
{
	static const u32 pp[] = { 0, PFX_66, PFX_F3, PFX_F2 };
	u32 map = t->insn->opcode_map == ZYDIS_OPCODE_MAP_0F3A ? MAP_0F3A : MAP_0F38;

	x_vex(&t->a, map | t->insn->opcode | pp[t->insn->raw.vex.pp], t->insn->raw.vex.W, false, vvvv, reg, src);
	if (map == MAP_0F3A)
		x_u8(&t->a, (u8)t->ops[2].imm.value.u);
}

static unsigned loaded(struct tr *t, unsigned i)
{
	unsigned g = general(t, i);

	if (jit_home[g] >= 0)
		return (unsigned)jit_home[g];
	x_load(&t->a, 8, T2, guest_mem(g));
	return T2;
}

/* dst = vvvv op r/m, or r/m op vvvv, or RORX */
static unsigned three(struct tr *t, unsigned vvvv_at, unsigned rm_at)
{
	struct rm src = source(t, rm_at);
	unsigned reg = result(t);

	encode(t, reg, t->ops[vvvv_at].type == ZYDIS_OPERAND_TYPE_REGISTER ? loaded(t, vvvv_at) : 0, src);
	keep(t, reg);
	return reg;
}

static void emit_second(struct tr *t) /* PDEP PEXT */
{
	three(t, 1, 2);
}

static void emit_third(struct tr *t) /* SHLX SHRX SARX RORX */
{
	three(t, 2, 1);
}

static void logic_flags(struct tr *t, unsigned reg)
{
	if (flags_wanted(t))
		x_test(&t->a, t->o->size, rm_reg(reg), reg);
	flags_produced(t, no_lazy);
}

static void emit_andn(struct tr *t)
{
	logic_flags(t, three(t, 1, 2));
}

static void emit_bextr(struct tr *t)
{
	logic_flags(t, three(t, 2, 1));
}

/* CF is the instruction's, SF, ZF and PF are the result's. */
static void carry_flags(struct tr *t, unsigned reg)
{
	struct asm_buf *a = &t->a;

	if (!flags_wanted(t)) {
		flags_produced(t, no_lazy);
		return;
	}
	x_op(a, MAP_0F | 0x92 | RM_BYTE, 1, 0, rm_reg(T2)); /* SETC */
	x_test(a, t->o->size, rm_reg(reg), reg);
	x_u8(a, 0x9f); /* LAHF */
	x_op(a, MAP_0F | 0xb6 | RM_BYTE, 4, T2, rm_reg(T2));
	x_alu_imm(a, X_AND, 4, rm_reg(T0), (CC_SF | CC_ZF | CC_PF) << 8);
	x_shift_imm(a, 4, 4, rm_reg(T2), 8);
	x_alu(a, X_OR, 4, T0, rm_reg(T2));
	flags_from_ax(t);
}

static void emit_bzhi(struct tr *t)
{
	carry_flags(t, three(t, 2, 1));
}

/* BLSI BLSMSK BLSR: the destination is in vvvv. */
static void emit_lowest(struct tr *t)
{
	struct rm src = source(t, 1);
	unsigned reg = result(t);

	encode(t, t->insn->raw.modrm.reg, reg, src);
	keep(t, reg);
	carry_flags(t, reg);
}

/* High half, low half, both written; the guest's RDX is the host's. */
static bool can_mulx(const struct tr *t)
{
	return can(t) && jit_home[general(t, 0)] >= 0 && jit_home[general(t, 1)] >= 0;
}

static void emit_mulx(struct tr *t)
{
	struct rm src = source(t, 2);

	encode(t, (unsigned)jit_home[general(t, 0)], (unsigned)jit_home[general(t, 1)], src);
}

static const struct emitter table[] = {
	{ ZYDIS_MNEMONIC_TZCNT, EFFECT_KILLS, can, emit_count },
	{ ZYDIS_MNEMONIC_LZCNT, EFFECT_KILLS, can, emit_count },
	{ ZYDIS_MNEMONIC_POPCNT, EFFECT_KILLS, can, emit_count },
	{ ZYDIS_MNEMONIC_BSF, EFFECT_KILLS, can, emit_scan },
	{ ZYDIS_MNEMONIC_BSR, EFFECT_KILLS, can, emit_scan },
	{ ZYDIS_MNEMONIC_PDEP, 0, can, emit_second },
	{ ZYDIS_MNEMONIC_PEXT, 0, can, emit_second },
	{ ZYDIS_MNEMONIC_SHLX, 0, can, emit_third },
	{ ZYDIS_MNEMONIC_SHRX, 0, can, emit_third },
	{ ZYDIS_MNEMONIC_SARX, 0, can, emit_third },
	{ ZYDIS_MNEMONIC_RORX, 0, can, emit_third },
	{ ZYDIS_MNEMONIC_MULX, 0, can_mulx, emit_mulx },
	{ ZYDIS_MNEMONIC_ANDN, EFFECT_KILLS, can, emit_andn },
	{ ZYDIS_MNEMONIC_BEXTR, EFFECT_KILLS, can, emit_bextr },
	{ ZYDIS_MNEMONIC_BZHI, EFFECT_KILLS, can, emit_bzhi },
	{ ZYDIS_MNEMONIC_BLSI, EFFECT_KILLS, can, emit_lowest },
	{ ZYDIS_MNEMONIC_BLSMSK, EFFECT_KILLS, can, emit_lowest },
	{ ZYDIS_MNEMONIC_BLSR, EFFECT_KILLS, can, emit_lowest },
};

const struct emitter *bits_find(const struct tr *t)
{
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].mnem == t->insn->mnemonic)
			return &table[i];
	return NULL;
}
