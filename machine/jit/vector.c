// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * SSE and AVX instructions that are one host instruction on the same operands: the instruction itself, on host
 * registers of the same numbers. A guest register is loaded where a block first needs it and stored where the block
 * ends or C is called. What looks at MXCSR runs with the guest's, as long as that has the default controls.
 */
#include "arch/x86.h"
#include "machine/fpu/access.h"
#include "machine/fpu/vex_list.h"
#include "machine/jit/state.h"

#define MOVAPS_LOAD  (MAP_0F | 0x28)
#define MOVAPS_STORE (MAP_0F | 0x29)
#define MOVUPS_LOAD  (MAP_0F | 0x10)
#define MOVUPS_STORE (MAP_0F | 0x11)
#define CLEAR        (MAP_0F | 0x57)
#define LDMXCSR      (MAP_0F | 0xae)
#define LDMXCSR_EXT  2
#define STMXCSR_EXT  3

static bool is_mem(const struct tr *t, unsigned i)
{
	return t->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

/* Number of a vector register operand, or -1. */
static int vector(const struct tr *t, unsigned i)
{
	unsigned r = t->ops[i].reg.value;

	if (t->ops[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
		return -1;
	if (r >= ZYDIS_REGISTER_XMM0 && r <= ZYDIS_REGISTER_XMM15)
		return (int)(r - ZYDIS_REGISTER_XMM0);
	return r >= ZYDIS_REGISTER_YMM0 && r <= ZYDIS_REGISTER_YMM15 ? (int)(r - ZYDIS_REGISTER_YMM0) : -1;
}

static bool is_vex(const struct tr *t)
{
	return t->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
}

static struct rm home(unsigned n, unsigned byte)
{
	return rm_mem(HCPU, (s32)(offsetof(struct cpu, fpu.ymm) + n * sizeof(struct ymm) + byte) - CPU_BIAS);
}

/* --- which guest registers are in the host's --- */

static void load(struct asm_buf *a, unsigned n, bool wide)
{
	if (wide)
		x_vex(a, MOVUPS_LOAD, false, true, 0, n, home(n, 0));
	else
		x_op(a, MOVAPS_LOAD, 4, n, home(n, 0));
}

static void store(struct asm_buf *a, unsigned n, bool wide)
{
	if (wide)
		x_vex(a, MOVUPS_STORE, false, true, 0, n, home(n, 0));
	else
		x_op(a, MOVAPS_STORE, 4, n, home(n, 0));
}

void vector_out(struct asm_buf *a, const struct vectors_at *v)
{
	for (unsigned n = 0; n < 16; n++)
		if (v->dirty >> n & 1)
			store(a, n, v->wide >> n & 1);
	if (v->upper)
		x_vzeroupper(a);
	if (v->mxcsr)
		x_op(a, LDMXCSR, 4, STMXCSR_EXT, CPU(fpu.mxcsr));
}

void vector_in(struct asm_buf *a, const struct vectors_at *v)
{
	for (unsigned n = 0; n < 16; n++)
		if (v->cached >> n & 1)
			load(a, n, v->wide >> n & 1);
	if (v->mxcsr)
		x_op(a, LDMXCSR, 4, LDMXCSR_EXT, CPU(fpu.mxcsr));
}

void vector_flush(struct tr *t)
{
	vector_out(&t->a, &t->vec);
	t->vec = (struct vectors_at){ 0 };
}

static void use(struct tr *t, unsigned n, bool wide)
{
	struct vectors_at *v = &t->vec;
	u16 bit = (u16)(1u << n);

	if ((v->cached & bit) && (!wide || (v->wide & bit)))
		return;
	if (v->dirty & bit)
		store(&t->a, n, false);
	load(&t->a, n, wide);
	v->cached |= bit;
	v->dirty &= (u16)~bit;
	if (wide) {
		v->wide |= bit;
		v->upper = true;
	}
}

/* All of it has been written, or its low half by an instruction that knows no other. */
static void written(struct tr *t, unsigned n, bool vex)
{
	u16 bit = (u16)(1u << n);

	t->vec.cached |= bit;
	t->vec.dirty |= bit;
	if (vex)
		t->vec.wide |= bit;
}

/* --- may it run at all: asked once a block, and after each handler, which might change control registers --- */

static struct cold *refuse(struct tr *t, unsigned cond)
{
	return cold_add(t, COLD_CALL, x_jcc(&t->a, cond), NULL, 0);
}

/* As sse_check(). */
static void ready_sse(struct tr *t)
{
	if (t->sse_checked)
		return;
	flags_clobber(t);
	x_test_imm(&t->a, 1, CPU(cr0), CR0_EM | CR0_TS);
	refuse(t, CC_X_NE);
	x_test_imm(&t->a, 4, CPU(cr4), CR4_OSFXSR);
	refuse(t, CC_X_E);
	t->sse_checked = true;
}

/* As avx_check(). */
static void ready_avx(struct tr *t)
{
	struct asm_buf *a = &t->a;

	if (t->avx_checked)
		return;
	flags_clobber(t);
	x_test_imm(a, 1, CPU(cr0), CR0_TS);
	refuse(t, CC_X_NE);
	x_test_imm(a, 4, CPU(cr4), CR4_OSXSAVE);
	refuse(t, CC_X_E);
	x_load(a, 4, T0, CPU(xcr0));
	x_alu_imm(a, X_AND, 4, rm_reg(T0), XCR0_SSE | XCR0_AVX);
	x_alu_imm(a, X_CMP, 4, rm_reg(T0), XCR0_SSE | XCR0_AVX);
	refuse(t, CC_X_NE);
	t->avx_checked = true;
}

static void ready(struct tr *t)
{
	if (is_vex(t))
		ready_avx(t);
	else
		ready_sse(t);
}

static void ready_float(struct tr *t)
{
	struct asm_buf *a = &t->a;

	if (t->vec.mxcsr)
		return;
	flags_clobber(t);
	x_load(a, 4, T0, CPU(fpu.mxcsr));
	x_alu_imm(a, X_AND, 4, rm_reg(T0), ~(s32)MXCSR_FLAGS);
	x_alu_imm(a, X_CMP, 4, rm_reg(T0), MXCSR_DEFAULT);
	refuse(t, CC_X_NE)->rest = true;
	x_op(a, LDMXCSR, 4, LDMXCSR_EXT, CPU(fpu.mxcsr));
	t->vec.mxcsr = true;
}

/* --- the instruction --- */

/* Aligned to its size, or #GP: of legacy instructions all 16-byte operands but these. */
static bool must_be_aligned(const struct tr *t)
{
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_LDDQU:
		return false;
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return true;
	default:
		return !is_vex(t);
	}
}

static void operand(struct tr *t, unsigned i)
{
	unsigned size = t->ops[i].size / 8;

	mem_address(t, T1);
	mem_segment(t);
	if (size >= 16 && must_be_aligned(t)) {
		flags_clobber(t);
		x_test_imm(&t->a, 1, rm_reg(T1), (s32)size - 1);
		refuse(t, CC_X_NE);
	}
	mem_lookup(t, size, t->ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
}

/* Loads and stores that are hints otherwise. */
static u32 plain_opcode(const struct tr *t)
{
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOVNTDQ:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
		return MOVUPS_STORE;
	case ZYDIS_MNEMONIC_MOVNTDQA:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return MOVUPS_LOAD;
	default:
		return 0;
	}
}

/* The instruction's own opcode, with map and mandatory prefix. */
static u32 own_opcode(const struct tr *t)
{
	static const u32 pp[] = { 0, PFX_66, PFX_F3, PFX_F2 };
	u32 map = t->insn->opcode_map == ZYDIS_OPCODE_MAP_0F38 ? MAP_0F38 : t->insn->opcode_map == ZYDIS_OPCODE_MAP_0F3A ?
		  MAP_0F3A : MAP_0F;
	u32 plain = plain_opcode(t);

	if (plain)
		return plain;
	if (is_vex(t))
		return map | t->insn->opcode | pp[t->insn->raw.vex.pp];
	for (unsigned i = 0; i < t->insn->raw.prefix_count; i++)
		if (t->insn->raw.prefixes[i].type == ZYDIS_PREFIX_TYPE_MANDATORY)
			return map | t->insn->opcode | (u32)t->insn->raw.prefixes[i].value << 16;
	return map | t->insn->opcode;
}

/* Where the operands go in the encoding. */
struct places {
	unsigned reg, vvvv;
	struct rm rm;
	bool byte;    /* an immediate byte follows: */
	u8 imm;
	int gpr;      /* the guest's general register that is written by way of T0, or -1 */
};

static void place(struct places *p, const ZydisDecodedOperand *d, struct rm at)
{
	switch (d->encoding) {
	case ZYDIS_OPERAND_ENCODING_MODRM_REG: p->reg = (unsigned)at.reg; break;
	case ZYDIS_OPERAND_ENCODING_MODRM_RM:  p->rm = at; break;
	case ZYDIS_OPERAND_ENCODING_NDSNDD:    p->vvvv = (unsigned)at.reg; break;
	case ZYDIS_OPERAND_ENCODING_IS4:
		p->byte = true;
		p->imm = (u8)(at.reg << 4);
		break;
	default:
		break; /* XMM0 of the old blends */
	}
}

/* Host register for general register operand i. */
static unsigned general(struct tr *t, unsigned i, struct places *p)
{
	unsigned g = (unsigned)lower_gpr(t->ops[i].reg.value);

	if (jit_home[g] >= 0)
		return (unsigned)jit_home[g];
	if (t->ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) {
		p->gpr = (int)g;
		return T0;
	}
	x_load(&t->a, 8, T2, guest_mem(g));
	return T2;
}

/* Legacy instructions that write all 16 bytes of their destination, or 0 where they write no more of them. */
static bool replaces(const struct tr *t)
{
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVDQU:
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVUPS:
	case ZYDIS_MNEMONIC_MOVUPD:
	case ZYDIS_MNEMONIC_LDDQU:
	case ZYDIS_MNEMONIC_MOVD:
	case ZYDIS_MNEMONIC_MOVQ:
	case ZYDIS_MNEMONIC_PSHUFD:
		return true;
	case ZYDIS_MNEMONIC_MOVSS:
	case ZYDIS_MNEMONIC_MOVSD:
		return is_mem(t, 1);
	default:
		return false;
	}
}

static void place_all(struct tr *t, struct places *p)
{
	for (unsigned i = 0; i < t->insn->operand_count; i++) {
		const ZydisDecodedOperand *d = &t->ops[i];
		int v = vector(t, i);

		if (v >= 0) {
			if ((d->actions & ZYDIS_OPERAND_ACTION_MASK_READ) || (!is_vex(t) && !replaces(t)))
				use(t, (unsigned)v, d->reg.value >= ZYDIS_REGISTER_YMM0);
			place(p, d, rm_reg((unsigned)v));
		} else if (d->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			p->byte = true;
			p->imm = (u8)d->imm.value.u;
		} else if (d->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			p->rm = rm_mem(T1, 0);
		} else if (d->type == ZYDIS_OPERAND_TYPE_REGISTER && lower_gpr(d->reg.value) >= 0 &&
			   d->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT) {
			place(p, d, rm_reg(general(t, i, p)));
		}
	}
}

static void note_written(struct tr *t, const struct places *p)
{
	if (p->gpr >= 0)
		x_store(&t->a, 8, guest_mem((unsigned)p->gpr), T0);
	for (unsigned i = 0; i < t->insn->operand_count; i++)
		if (vector(t, i) >= 0 && (t->ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			written(t, (unsigned)vector(t, i), is_vex(t));
}

static void encode(struct tr *t, const struct places *p)
{
	struct asm_buf *a = &t->a;
	bool wide = t->insn->attributes & ZYDIS_ATTRIB_HAS_REX ? t->insn->raw.rex.W : false;

	if (is_vex(t)) {
		x_vex(a, own_opcode(t), t->insn->raw.vex.W, t->insn->raw.vex.L, p->vvvv, p->reg, p->rm);
		t->vec.upper |= t->insn->raw.vex.L;
	} else {
		x_op(a, own_opcode(t), wide ? 8 : 4, p->reg, p->rm);
	}
	if (p->byte)
		x_u8(a, p->imm);
}

static void emit(struct tr *t)
{
	struct places p = { .reg = t->insn->raw.modrm.reg, .gpr = -1 };

	ready(t);
	for (unsigned i = 0; i < t->insn->operand_count_visible; i++)
		if (is_mem(t, i))
			operand(t, i);
	if (!(t->o->flags & OP_MEM))
		flags_before_write(t);
	place_all(t, &p);
	encode(t, &p);
	note_written(t, &p);
}

static void emit_float(struct tr *t)
{
	ready(t);
	ready_float(t);
	emit(t);
}

static void emit_test(struct tr *t)
{
	emit(t);
	flags_produced(t, (struct lazy){ .kind = LAZY_NONE });
}

static void emit_float_test(struct tr *t)
{
	emit_float(t);
	flags_produced(t, (struct lazy){ .kind = LAZY_NONE });
}

static void emit_zeroupper(struct tr *t)
{
	ready(t);
	vector_flush(t);
	x_op(&t->a, CLEAR, 4, 0, rm_reg(0));
	for (unsigned n = 0; n < 16; n++)
		x_op(&t->a, MOVAPS_STORE, 4, 0, home(n, sizeof(union xmm)));
}

static bool is_general(ZydisRegister r)
{
	return (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D) || (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15);
}

/* MMX registers have the same mnemonics, and so have some string instructions. */
static bool can(const struct tr *t)
{
	for (unsigned i = 0; i < t->insn->operand_count_visible; i++)
		if (t->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && vector(t, i) < 0 && !is_general(t->ops[i].reg.value))
			return false;
	if (!is_vex(t) && (t->insn->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
			   t->insn->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT))
		return false;
	return !(t->o->flags & OP_MEM) || mem_supported(t);
}

/* All may fault where SSE is off. */
#define ROW(name, more, emit) { ZYDIS_MNEMONIC_##name, EFFECT_SEEN | (more), can, emit },
#define INT(name)      ROW(name, 0, emit)
#define INT2(name, n)  ROW(name, 0, emit)
#define INT3(name, n, r) ROW(name, 0, emit)
#define FP(name)       ROW(name, 0, emit_float)
#define FP2(name, n)   ROW(name, 0, emit_float)
#define FP3(name, x, y) ROW(name, 0, emit_float)
#define TEST_INT(name) ROW(name, EFFECT_KILLS, emit_test)
#define TEST_FP(name)  ROW(name, EFFECT_KILLS, emit_float_test)

static const struct emitter table[] = {
	INT(MOVDQA) INT(MOVAPS) INT(MOVAPD) INT(MOVNTDQ) INT(MOVNTPS) INT(MOVNTPD) INT(MOVNTDQA) INT(MOVDQU) INT(MOVUPS)
	INT(MOVUPD) INT(LDDQU) INT(MOVD) INT(MOVQ) INT(MOVSS) INT(MOVSD) INT(MOVLPS) INT(MOVLPD) INT(MOVHPS) INT(MOVHPD)
	INT(MOVHLPS) INT(MOVLHPS) INT(MOVSHDUP) INT(MOVSLDUP) INT(MOVDDUP)
	INT(PMOVMSKB) INT(MOVMSKPS) INT(MOVMSKPD)
	INT(PSLLW) INT(PSLLD) INT(PSLLQ) INT(PSRLW) INT(PSRLD) INT(PSRLQ) INT(PSRAW) INT(PSRAD) INT(PSLLDQ) INT(PSRLDQ)
	INT(PXOR) INT(POR) INT(PAND) INT(PANDN) INT(XORPS) INT(XORPD) INT(ORPS) INT(ORPD) INT(ANDPS) INT(ANDPD)
	INT(ANDNPS) INT(ANDNPD)
	INT(PADDB) INT(PADDW) INT(PADDD) INT(PADDQ) INT(PSUBB) INT(PSUBW) INT(PSUBD) INT(PSUBQ)
	INT(PADDSB) INT(PADDSW) INT(PADDUSB) INT(PADDUSW) INT(PSUBSB) INT(PSUBSW) INT(PSUBUSB) INT(PSUBUSW)
	INT(PCMPEQB) INT(PCMPEQW) INT(PCMPEQD) INT(PCMPEQQ) INT(PCMPGTB) INT(PCMPGTW) INT(PCMPGTD) INT(PCMPGTQ)
	INT(PMINUB) INT(PMINUW) INT(PMINUD) INT(PMINSB) INT(PMINSW) INT(PMINSD)
	INT(PMAXUB) INT(PMAXUW) INT(PMAXUD) INT(PMAXSB) INT(PMAXSW) INT(PMAXSD)
	INT(PMULLW) INT(PMULHW) INT(PMULHUW) INT(PMULUDQ) INT(PMULDQ) INT(PMULLD) INT(PMULHRSW) INT(PMADDWD) INT(PMADDUBSW)
	INT(PAVGB) INT(PAVGW) INT(PSADBW) INT(PABSB) INT(PABSW) INT(PABSD) INT(PSIGNB) INT(PSIGNW) INT(PSIGND)
	INT(PHADDW) INT(PHADDD) INT(PHADDSW) INT(PHSUBW) INT(PHSUBD) INT(PHSUBSW)
	INT(PUNPCKLBW) INT(PUNPCKLWD) INT(PUNPCKLDQ) INT(PUNPCKLQDQ) INT(PUNPCKHBW) INT(PUNPCKHWD) INT(PUNPCKHDQ)
	INT(PUNPCKHQDQ) INT(PACKSSWB) INT(PACKSSDW) INT(PACKUSWB) INT(PACKUSDW)
	INT(PSHUFD) INT(PSHUFLW) INT(PSHUFHW) INT(SHUFPS) INT(SHUFPD) INT(UNPCKLPS) INT(UNPCKLPD) INT(UNPCKHPS) INT(UNPCKHPD)
	INT(PSHUFB) INT(PALIGNR) INT(PBLENDW) INT(BLENDPS) INT(BLENDPD)
	INT(PMOVSXBW) INT(PMOVSXBD) INT(PMOVSXBQ) INT(PMOVSXWD) INT(PMOVSXWQ) INT(PMOVSXDQ)
	INT(PMOVZXBW) INT(PMOVZXBD) INT(PMOVZXBQ) INT(PMOVZXWD) INT(PMOVZXWQ) INT(PMOVZXDQ)
	INT(PINSRB) INT(PINSRW) INT(PINSRD) INT(PINSRQ) INT(PEXTRB) INT(PEXTRW) INT(PEXTRD) INT(PEXTRQ)
	INT(PCLMULQDQ) INT(AESENC) INT(AESENCLAST) INT(AESDEC) INT(AESDECLAST) INT(AESIMC) INT(AESKEYGENASSIST)
	INT(SHA1MSG1) INT(SHA1MSG2) INT(SHA1NEXTE) INT(SHA1RNDS4) INT(SHA256MSG1) INT(SHA256MSG2) INT(SHA256RNDS2)
	INT(PBLENDVB) INT(BLENDVPS) INT(BLENDVPD)
	TEST_INT(PTEST)
	FP(ADDSS) FP(ADDSD) FP(ADDPS) FP(ADDPD) FP(SUBSS) FP(SUBSD) FP(SUBPS) FP(SUBPD) FP(MULSS) FP(MULSD) FP(MULPS)
	FP(MULPD) FP(DIVSS) FP(DIVSD) FP(DIVPS) FP(DIVPD) FP(MINSS) FP(MINSD) FP(MINPS) FP(MINPD) FP(MAXSS) FP(MAXSD)
	FP(MAXPS) FP(MAXPD) FP(SQRTSS) FP(SQRTSD) FP(SQRTPS) FP(SQRTPD) FP(CMPSS) FP(CMPSD) FP(CMPPS) FP(CMPPD)
	FP(CVTSI2SS) FP(CVTSI2SD) FP(CVTSS2SI) FP(CVTSD2SI) FP(CVTTSS2SI) FP(CVTTSD2SI) FP(CVTSS2SD) FP(CVTSD2SS)
	FP(VCVTSI2SS) FP(VCVTSI2SD) FP(VCVTSS2SI) FP(VCVTSD2SI) FP(VCVTTSS2SI) FP(VCVTTSD2SI)
	FP(CVTDQ2PS) FP(CVTPS2DQ) FP(CVTTPS2DQ) FP(CVTPS2PD) FP(CVTPD2PS) FP(CVTPD2DQ) FP(CVTTPD2DQ) FP(CVTDQ2PD)
	FP(ROUNDSS) FP(ROUNDSD) FP(ROUNDPS) FP(ROUNDPD)
	TEST_FP(COMISS) TEST_FP(COMISD) TEST_FP(UCOMISS) TEST_FP(UCOMISD)

	INT(VMOVDQA) INT(VMOVAPS) INT(VMOVAPD) INT(VMOVDQU) INT(VMOVUPS) INT(VMOVUPD) INT(VLDDQU) INT(VMOVNTDQ) INT(VMOVNTPS)
	INT(VMOVNTPD) INT(VMOVNTDQA) INT(VMOVD) INT(VMOVQ) INT(VMOVSS) INT(VMOVSD) INT(VMOVLPS) INT(VMOVLPD) INT(VMOVHPS)
	INT(VMOVHPD) INT(VMOVHLPS) INT(VMOVLHPS)
	ROW(VZEROUPPER, 0, emit_zeroupper)
	VEX_AB_BOTH(INT, FP) VEX_SHIFT_BOTH(INT) VEX_AB_256(INT) VEX_AB_LIG(INT, FP) VEX_DAB_BOTH(FP) VEX_DAB_LIG(FP)
	VEX_ABC_BOTH(INT) VEX_B_BOTH(INT, FP) VEX_B_128(INT) VEX_B_256(INT) VEX_HALF(FP3)
	VEX_ABI_BOTH(INT2, FP2) VEX_ABI_128(INT2, FP2) VEX_ABI_256(INT2) VEX_ABI_LIG(FP2)
	VEX_BI_BOTH(INT2, FP2) VEX_BI_128(INT2) VEX_BI_256(INT2) VEX_RI_BOTH(INT2) VEX_XI_BOTH(FP2) VEX_XI_256(INT2)
	VEX_GI_128(INT3) VEX_G_BOTH(INT) VEX_T_BOTH(TEST_INT) VEX_T_LIG(TEST_FP)
};

bool vector_float(const struct tr *t)
{
	void (*how)(struct tr *) = t->plan[t->i].emitter->emit;

	return how == emit_float || how == emit_float_test;
}

bool vector_may_refuse(const struct tr *t)
{
	for (unsigned i = 0; i < t->insn->operand_count_visible; i++)
		if (is_mem(t, i) && t->ops[i].size >= 128)
			return must_be_aligned(t);
	return false;
}

/* By mnemonic, made at the first use: the table is long. */
static const struct emitter *by_mnemonic[ZYDIS_MNEMONIC_MAX_VALUE + 1];

const struct emitter *vector_find(const struct tr *t)
{
	static bool ready_made;

	if (!ready_made) {
		for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			by_mnemonic[table[i].mnem] = &table[i];
		ready_made = true;
	}
	return by_mnemonic[t->insn->mnemonic];
}
