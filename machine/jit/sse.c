// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * SSE instructions that neither read nor write MXCSR: moves, logic and integers. XMM registers stay in struct cpu; the
 * instruction itself runs on the host's XMM0. VEX encodings and everything else run by their handlers.
 */
#include "arch/x86.h"
#include "machine/jit/state.h"

#define X0 0 /* the host's scratch register */
#define MOVAPS_LOAD  (MAP_0F | 0x28)
#define MOVAPS_STORE (MAP_0F | 0x29)
#define MOVUPS_LOAD  (MAP_0F | 0x10)
#define MOVUPS_STORE (MAP_0F | 0x11)

static bool is_mem(const struct tr *t, unsigned i)
{
	return t->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

static bool is_xmm(const struct tr *t, unsigned i)
{
	return t->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && t->ops[i].reg.value >= ZYDIS_REGISTER_XMM0 &&
	       t->ops[i].reg.value <= ZYDIS_REGISTER_XMM15;
}

static bool is_gpr(const struct tr *t, unsigned i)
{
	return t->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && lower_gpr(t->ops[i].reg.value) >= 0;
}

static unsigned gpr_number(const struct tr *t, unsigned i)
{
	return (unsigned)lower_gpr(t->ops[i].reg.value);
}

static struct rm xmm_part(const struct tr *t, unsigned i, unsigned byte)
{
	unsigned n = t->ops[i].reg.value - ZYDIS_REGISTER_XMM0;

	return rm_mem(HCPU, (s32)(offsetof(struct cpu, fpu.ymm) + n * sizeof(struct ymm) + byte) - CPU_BIAS);
}

static struct rm xmm(const struct tr *t, unsigned i)
{
	return xmm_part(t, i, 0);
}

static bool legacy(const struct tr *t)
{
	return t->insn.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY && (!(t->o->flags & OP_MEM) || mem_supported(t));
}

/* As sse_check(): once a block, and after each handler, which might change CR0 or CR4. */
static void ready(struct tr *t)
{
	struct asm_buf *a = &t->a;

	if (t->sse_checked)
		return;
	flags_clobber(t);
	x_test_imm(a, 1, CPU(cr0), CR0_EM | CR0_TS);
	cold_add(t, COLD_CALL, x_jcc(a, CC_X_NE), NULL, 0);
	x_test_imm(a, 4, CPU(cr4), CR4_OSFXSR);
	cold_add(t, COLD_CALL, x_jcc(a, CC_X_E), NULL, 0);
	t->sse_checked = true;
}

static void operand(struct tr *t, unsigned size, bool write, bool aligned)
{
	flags_clobber(t);
	mem_address(t, T1);
	mem_segment(t);
	if (aligned) {
		x_test_imm(&t->a, 1, rm_reg(T1), 15);
		cold_add(t, COLD_CALL, x_jcc(&t->a, CC_X_NE), NULL, 0);
	}
	mem_lookup(t, size, write);
}

/* The instruction's own opcode, with map and mandatory prefix. */
static u32 own_opcode(const struct tr *t)
{
	u32 map = t->insn.opcode_map == ZYDIS_OPCODE_MAP_0F38 ? MAP_0F38 : t->insn.opcode_map == ZYDIS_OPCODE_MAP_0F3A ?
		  MAP_0F3A : MAP_0F;

	for (unsigned i = 0; i < t->insn.raw.prefix_count; i++)
		if (t->insn.raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			return map | t->insn.opcode | (u32)t->insn.raw.prefixes[i].value << 16;
	return map | t->insn.opcode;
}

/* xmm1 = f(xmm1, xmm2 or aligned m128 [, imm8]) */
static bool can_same(const struct tr *t)
{
	return legacy(t) && is_xmm(t, 0) && (is_xmm(t, 1) || (is_mem(t, 1) && t->ops[1].size == 128));
}

static void emit_same(struct tr *t)
{
	struct asm_buf *a = &t->a;
	struct rm src = rm_mem(T1, 0);

	ready(t);
	if (is_mem(t, 1))
		operand(t, 16, false, true);
	else
		src = xmm(t, 1);
	x_op(a, MOVAPS_LOAD, 4, X0, xmm(t, 0));
	x_op(a, own_opcode(t), 4, X0, src);
	if (t->ops[2].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && t->insn.operand_count_visible == 3)
		x_u8(a, (u8)t->ops[2].imm.value.u);
	x_op(a, MOVAPS_STORE, 4, X0, xmm(t, 0));
}

/* Shifts: by a constant the operation is in the ModRM byte. */
static bool can_shift(const struct tr *t)
{
	return can_same(t) || (legacy(t) && is_xmm(t, 0) && t->ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE);
}

static void emit_shift(struct tr *t)
{
	struct asm_buf *a = &t->a;

	if (t->ops[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		emit_same(t);
		return;
	}
	ready(t);
	x_op(a, MOVAPS_LOAD, 4, X0, xmm(t, 0));
	x_op(a, own_opcode(t), 4, t->insn.raw.modrm.reg, rm_reg(X0));
	x_u8(a, (u8)t->ops[1].imm.value.u);
	x_op(a, MOVAPS_STORE, 4, X0, xmm(t, 0));
}

/* 16 bytes to or from a register */
static bool can_move(const struct tr *t)
{
	return legacy(t) && (is_xmm(t, 0) || is_mem(t, 0)) && (is_xmm(t, 1) || is_mem(t, 1));
}

static void move(struct tr *t, bool aligned)
{
	struct asm_buf *a = &t->a;
	struct rm from = rm_mem(T1, 0), to = rm_mem(T1, 0);

	ready(t);
	if (is_mem(t, 0) || is_mem(t, 1))
		operand(t, 16, is_mem(t, 0), aligned);
	if (is_xmm(t, 0))
		to = xmm(t, 0);
	if (is_xmm(t, 1))
		from = xmm(t, 1);
	x_op(a, MOVUPS_LOAD, 4, X0, from);
	x_op(a, MOVUPS_STORE, 4, X0, to);
}

static void emit_move_aligned(struct tr *t)
{
	move(t, true);
}

static void emit_move(struct tr *t)
{
	move(t, false);
}

/* MOVD and MOVQ: the rest of an XMM destination becomes 0. */
static bool can_movq(const struct tr *t)
{
	if (!legacy(t) || !(is_xmm(t, 0) || is_xmm(t, 1)))
		return false;
	return (is_xmm(t, 0) || is_mem(t, 0) || is_gpr(t, 0)) && (is_xmm(t, 1) || is_mem(t, 1) || is_gpr(t, 1));
}

static void emit_movq(struct tr *t)
{
	struct asm_buf *a = &t->a;
	unsigned size = t->insn.mnemonic == ZYDIS_MNEMONIC_MOVD ? 4 : 8;
	struct rm from = rm_mem(T1, 0);

	ready(t);
	if (is_mem(t, 0) || is_mem(t, 1))
		operand(t, size, is_mem(t, 0), false);
	else
		flags_before_write(t);
	if (is_xmm(t, 1))
		from = xmm(t, 1);
	else if (is_gpr(t, 1))
		from = guest(gpr_number(t, 1));
	x_load(a, size, T0, from);
	if (is_mem(t, 0)) {
		x_store(a, size, rm_mem(T1, 0), T0);
	} else if (is_gpr(t, 0)) {
		x_store(a, 8, guest(gpr_number(t, 0)), T0);
	} else {
		x_store(a, 8, xmm_part(t, 0, 0), T0);
		x_store_imm(a, 8, xmm_part(t, 0, 8), 0);
	}
}

/* MOVSS and MOVSD: from memory the rest becomes 0, from a register it stays. */
static bool can_scalar(const struct tr *t)
{
	return can_move(t);
}

static void emit_scalar(struct tr *t)
{
	struct asm_buf *a = &t->a;
	unsigned size = t->insn.mnemonic == ZYDIS_MNEMONIC_MOVSS ? 4 : 8;

	ready(t);
	if (is_mem(t, 0) || is_mem(t, 1))
		operand(t, size, is_mem(t, 0), false);
	x_load(a, size, T0, is_xmm(t, 1) ? xmm(t, 1) : rm_mem(T1, 0));
	if (is_mem(t, 0)) {
		x_store(a, size, rm_mem(T1, 0), T0);
		return;
	}
	x_store(a, is_mem(t, 1) ? 8 : size, xmm(t, 0), T0);
	if (is_mem(t, 1))
		x_store_imm(a, 8, xmm_part(t, 0, 8), 0);
}

/* One half to or from memory */
static bool can_half(const struct tr *t)
{
	return legacy(t) && ((is_xmm(t, 0) && is_mem(t, 1)) || (is_mem(t, 0) && is_xmm(t, 1)));
}

static void half(struct tr *t, unsigned byte)
{
	struct asm_buf *a = &t->a;

	ready(t);
	operand(t, 8, is_mem(t, 0), false);
	x_load(a, 8, T0, is_mem(t, 1) ? rm_mem(T1, 0) : xmm_part(t, 1, byte));
	x_store(a, 8, is_mem(t, 0) ? rm_mem(T1, 0) : xmm_part(t, 0, byte), T0);
}

static void emit_low(struct tr *t)
{
	half(t, 0);
}

static void emit_high(struct tr *t)
{
	half(t, 8);
}

static bool can_mask(const struct tr *t)
{
	return legacy(t) && is_gpr(t, 0) && is_xmm(t, 1);
}

static void emit_mask(struct tr *t)
{
	ready(t);
	flags_before_write(t);
	x_op(&t->a, MOVAPS_LOAD, 4, X0, xmm(t, 1));
	x_op(&t->a, own_opcode(t), 4, T0, rm_reg(X0));
	x_store(&t->a, 8, guest(gpr_number(t, 0)), T0);
}

/* All may fault where SSE is off. */
#define ROW(name, can, emit) { ZYDIS_MNEMONIC_##name, EFFECT_SEEN, can, emit }
#define SAME(name) ROW(name, can_same, emit_same)
#define SHIFT(name) ROW(name, can_shift, emit_shift)

static const struct emitter table[] = {
	ROW(MOVDQA, can_move, emit_move_aligned), ROW(MOVAPS, can_move, emit_move_aligned),
	ROW(MOVAPD, can_move, emit_move_aligned), ROW(MOVNTDQ, can_move, emit_move_aligned),
	ROW(MOVNTPS, can_move, emit_move_aligned), ROW(MOVNTPD, can_move, emit_move_aligned),
	ROW(MOVDQU, can_move, emit_move), ROW(MOVUPS, can_move, emit_move), ROW(MOVUPD, can_move, emit_move),
	ROW(LDDQU, can_move, emit_move),
	ROW(MOVD, can_movq, emit_movq), ROW(MOVQ, can_movq, emit_movq),
	ROW(MOVSS, can_scalar, emit_scalar), ROW(MOVSD, can_scalar, emit_scalar),
	ROW(MOVLPS, can_half, emit_low), ROW(MOVLPD, can_half, emit_low),
	ROW(MOVHPS, can_half, emit_high), ROW(MOVHPD, can_half, emit_high),
	ROW(PMOVMSKB, can_mask, emit_mask), ROW(MOVMSKPS, can_mask, emit_mask), ROW(MOVMSKPD, can_mask, emit_mask),
	SHIFT(PSLLW), SHIFT(PSLLD), SHIFT(PSLLQ), SHIFT(PSRLW), SHIFT(PSRLD), SHIFT(PSRLQ), SHIFT(PSRAW), SHIFT(PSRAD),
	SHIFT(PSLLDQ), SHIFT(PSRLDQ),
	SAME(PXOR), SAME(POR), SAME(PAND), SAME(PANDN), SAME(XORPS), SAME(XORPD), SAME(ORPS), SAME(ORPD), SAME(ANDPS),
	SAME(ANDPD), SAME(ANDNPS), SAME(ANDNPD),
	SAME(PADDB), SAME(PADDW), SAME(PADDD), SAME(PADDQ), SAME(PSUBB), SAME(PSUBW), SAME(PSUBD), SAME(PSUBQ),
	SAME(PCMPEQB), SAME(PCMPEQW), SAME(PCMPEQD), SAME(PCMPGTB), SAME(PCMPGTW), SAME(PCMPGTD),
	SAME(PMINUB), SAME(PMAXUB), SAME(PMINSW), SAME(PMAXSW), SAME(PMULLW), SAME(PMULHW), SAME(PMULHUW), SAME(PMULUDQ),
	SAME(PUNPCKLBW), SAME(PUNPCKLWD), SAME(PUNPCKLDQ), SAME(PUNPCKLQDQ), SAME(PUNPCKHBW), SAME(PUNPCKHWD),
	SAME(PUNPCKHDQ), SAME(PUNPCKHQDQ), SAME(PACKSSWB), SAME(PACKSSDW), SAME(PACKUSWB), SAME(PSADBW), SAME(PMADDWD),
	SAME(PSHUFD), SAME(PSHUFLW), SAME(PSHUFHW), SAME(SHUFPS), SAME(SHUFPD), SAME(UNPCKLPS), SAME(UNPCKLPD),
	SAME(UNPCKHPS), SAME(UNPCKHPD), SAME(PSHUFB), SAME(PALIGNR),
};

const struct emitter *sse_find(const struct tr *t)
{
	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].mnem == t->insn.mnemonic)
			return &table[i];
	return NULL;
}
