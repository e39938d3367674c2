/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed integers, bitwise logic, shuffles without an immediate, AES: all that is one host instruction "op src,
 * dst" without flags, rounding or exceptions. The mnemonic names the host instruction too.
 */
#include "machine/fpu/access.h"
#include "machine/fpu/host_mmx.h"
#include "machine/fpu/rows.h"

/* MMX and XMM forms. */
#define BOTH_OPS(_)                                                                                                    \
	_(PADDB) _(PADDW) _(PADDD) _(PADDQ) _(PADDSB) _(PADDSW) _(PADDUSB) _(PADDUSW)                                   \
	_(PSUBB) _(PSUBW) _(PSUBD) _(PSUBQ) _(PSUBSB) _(PSUBSW) _(PSUBUSB) _(PSUBUSW)                                   \
	_(PMULLW) _(PMULHW) _(PMULHUW) _(PMULUDQ) _(PMADDWD) _(PSADBW) _(PAVGB) _(PAVGW)                                \
	_(PMINUB) _(PMAXUB) _(PMINSW) _(PMAXSW) _(PAND) _(PANDN) _(POR) _(PXOR)                                         \
	_(PCMPEQB) _(PCMPEQW) _(PCMPEQD) _(PCMPGTB) _(PCMPGTW) _(PCMPGTD)                                               \
	_(PACKSSWB) _(PACKSSDW) _(PACKUSWB) _(PUNPCKHBW) _(PUNPCKHWD) _(PUNPCKHDQ)                                      \
	_(PSLLW) _(PSLLD) _(PSLLQ) _(PSRLW) _(PSRLD) _(PSRLQ) _(PSRAW) _(PSRAD)                                         \
	_(PSHUFB) _(PHADDW) _(PHADDD) _(PHADDSW) _(PHSUBW) _(PHSUBD) _(PHSUBSW)                                         \
	_(PMADDUBSW) _(PMULHRSW) _(PSIGNB) _(PSIGNW) _(PSIGND) _(PABSB) _(PABSW) _(PABSD)

/* The MMX forms of these read only 32 bits of a memory operand. */
#define UNPACK_LOW_OPS(_) _(PUNPCKLBW) _(PUNPCKLWD) _(PUNPCKLDQ)

/* XMM only; memory operand of 16 bytes, aligned. */
#define XMM_OPS(_)                                                                                                     \
	_(PUNPCKLQDQ) _(PUNPCKHQDQ) _(PCMPEQQ) _(PCMPGTQ) _(PACKUSDW) _(PMULDQ) _(PMULLD) _(PHMINPOSUW)                 \
	_(PMINSB) _(PMINSD) _(PMINUW) _(PMINUD) _(PMAXSB) _(PMAXSD) _(PMAXUW) _(PMAXUD)                                 \
	_(ANDPS) _(ANDPD) _(ANDNPS) _(ANDNPD) _(ORPS) _(ORPD) _(XORPS) _(XORPD)                                         \
	_(UNPCKLPS) _(UNPCKLPD) _(UNPCKHPS) _(UNPCKHPD) _(MOVSHDUP) _(MOVSLDUP)                                         \
	_(AESENC) _(AESENCLAST) _(AESDEC) _(AESDECLAST) _(AESIMC) _(RCPPS) _(RSQRTPS)

/* XMM only; a memory operand of fewer bytes, any alignment. */
#define PART_OPS(_)                                                                                                    \
	_(PMOVSXBW, 8) _(PMOVSXBD, 4) _(PMOVSXBQ, 2) _(PMOVSXWD, 8) _(PMOVSXWQ, 4) _(PMOVSXDQ, 8)                       \
	_(PMOVZXBW, 8) _(PMOVZXBD, 4) _(PMOVZXBQ, 2) _(PMOVZXWD, 8) _(PMOVZXWQ, 4) _(PMOVZXDQ, 8)                       \
	_(MOVDDUP, 8) _(RCPSS, 4) _(RSQRTSS, 4) _(CVTDQ2PD, 8)

#define XX(name)                                                                                                       \
	static const struct op *name##_xx(struct cpu *c, const struct op *o)                                           \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		asm(#name " %1, %0" : "+x"(xmm_dst(c, o)->v) : "x"(xmm_src(c, o)->v));                                  \
		OP_NEXT(c, o);                                                                                         \
	}

#define XM(name, n)                                                                                                    \
	static const struct op *name##_xm(struct cpu *c, const struct op *o)                                           \
	{                                                                                                              \
		vec128 src;                                                                                            \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		src = sse_ld(c, o, n);                                                                                 \
		asm(#name " %1, %0" : "+x"(xmm_dst(c, o)->v) : "x"(src));                                              \
		OP_NEXT(c, o);                                                                                         \
	}

#define YY(name)                                                                                                       \
	static const struct op *name##_yy(struct cpu *c, const struct op *o)                                           \
	{                                                                                                              \
		mmx_check(c, o);                                                                                       \
		mmx_enter(c);                                                                                          \
		mmx_set(c, o->dst, MMX_BINARY(#name, mmx_get(c, o->dst), mmx_get(c, o->src)));                          \
		OP_NEXT(c, o);                                                                                         \
	}

#define YM(name, load)                                                                                                 \
	static const struct op *name##_ym(struct cpu *c, const struct op *o)                                           \
	{                                                                                                              \
		u64 src;                                                                                               \
                                                                                                                       \
		mmx_check(c, o);                                                                                       \
		src = load(c, o);                                                                                      \
		mmx_enter(c);                                                                                          \
		mmx_set(c, o->dst, MMX_BINARY(#name, mmx_get(c, o->dst), src));                                         \
		OP_NEXT(c, o);                                                                                         \
	}

static inline u64 mmx_ld32(struct cpu *c, const struct op *o)
{
	return ld32(c, o, op_lin(c, o, 4, ACCESS_READ));
}

#define DEFINE_BOTH(name) XX(name) XM(name, 16) YY(name) YM(name, mmx_ld)
#define DEFINE_UNPACK_LOW(name) XX(name) XM(name, 16) YY(name) YM(name, mmx_ld32)
#define DEFINE_XMM(name) XX(name) XM(name, 16)
#define DEFINE_PART(name, n) XX(name) XM(name, n)
BOTH_OPS(DEFINE_BOTH)
UNPACK_LOW_OPS(DEFINE_UNPACK_LOW)
XMM_OPS(DEFINE_XMM)
PART_OPS(DEFINE_PART)

/* The third operand is XMM0. */
#define DEFINE_BLEND(name)                                                                                             \
	static const struct op *name##_xx(struct cpu *c, const struct op *o)                                           \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		asm(#name " %2, %1, %0" : "+x"(xmm_dst(c, o)->v) : "x"(xmm_src(c, o)->v), "Yz"(c->fpu.ymm[0].lo.v));       \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	static const struct op *name##_xm(struct cpu *c, const struct op *o)                                           \
	{                                                                                                              \
		vec128 src;                                                                                            \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		src = sse_ld128(c, o);                                                                                 \
		asm(#name " %2, %1, %0" : "+x"(xmm_dst(c, o)->v) : "x"(src), "Yz"(c->fpu.ymm[0].lo.v));                    \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_BLEND(PBLENDVB)
DEFINE_BLEND(BLENDVPS)
DEFINE_BLEND(BLENDVPD)

static void ptest(struct cpu *c, vec128 d, vec128 s)
{
	vec128 and = d & s, andn = ~d & s;

	cpu_set_status(c, ((and[0] | and[1]) ? 0 : EFLAGS_ZF) | ((andn[0] | andn[1]) ? 0 : EFLAGS_CF));
}

static const struct op *ptest_xx(struct cpu *c, const struct op *o)
{
	sse_check(c, o);
	ptest(c, xmm_dst(c, o)->v, xmm_src(c, o)->v);
	OP_NEXT(c, o);
}

static const struct op *ptest_xm(struct cpu *c, const struct op *o)
{
	sse_check(c, o);
	ptest(c, xmm_dst(c, o)->v, sse_ld128(c, o));
	OP_NEXT(c, o);
}

#define ROWS_XMM(name)  ROW(name, SHAPE(X, X), name##_xx), ROW(name, SHAPE(X, M), name##_xm),
#define ROWS_BOTH(name) ROWS_XMM(name) ROW(name, SHAPE(Y, Y), name##_yy), ROW(name, SHAPE(Y, M), name##_ym),
#define ROWS_PART(name, n) ROWS_XMM(name)

const struct fpu_row fpu_rows_int[] = {
	BOTH_OPS(ROWS_BOTH)
	UNPACK_LOW_OPS(ROWS_BOTH)
	XMM_OPS(ROWS_XMM)
	PART_OPS(ROWS_PART)
	ROWS_XMM(PBLENDVB)
	ROWS_XMM(BLENDVPS)
	ROWS_XMM(BLENDVPD)
	ROW(PTEST, SHAPE(X, X), ptest_xx),
	ROW(PTEST, SHAPE(X, M), ptest_xm),
	ROW_END
};
