/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SSE arithmetic and comparisons. */
#include "machine/fpu/rows.h"
#include "machine/fpu/sse_fp.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* The mnemonic, bytes of a memory operand, what can over- or underflow. */
#define FP_OPS(_)                                                                                                      \
	_(ADDPS, 16, FP_ADD | FP_PS) _(ADDPD, 16, FP_ADD | FP_PD) _(ADDSS, 4, FP_ADD | FP_SS) _(ADDSD, 8, FP_ADD | FP_SD) \
	_(SUBPS, 16, FP_SUB | FP_PS) _(SUBPD, 16, FP_SUB | FP_PD) _(SUBSS, 4, FP_SUB | FP_SS) _(SUBSD, 8, FP_SUB | FP_SD) \
	_(MULPS, 16, FP_MUL | FP_PS) _(MULPD, 16, FP_MUL | FP_PD) _(MULSS, 4, FP_MUL | FP_SS) _(MULSD, 8, FP_MUL | FP_SD) \
	_(DIVPS, 16, FP_DIV | FP_PS) _(DIVPD, 16, FP_DIV | FP_PD) _(DIVSS, 4, FP_DIV | FP_SS) _(DIVSD, 8, FP_DIV | FP_SD) \
	_(MINPS, 16, FP_PLAIN) _(MINPD, 16, FP_PLAIN) _(MINSS, 4, FP_PLAIN) _(MINSD, 8, FP_PLAIN)                       \
	_(MAXPS, 16, FP_PLAIN) _(MAXPD, 16, FP_PLAIN) _(MAXSS, 4, FP_PLAIN) _(MAXSD, 8, FP_PLAIN)                       \
	_(SQRTPS, 16, FP_PLAIN) _(SQRTPD, 16, FP_PLAIN) _(SQRTSS, 4, FP_PLAIN) _(SQRTSD, 8, FP_PLAIN)                   \
	_(ADDSUBPS, 16, FP_ADDSUB | FP_PS) _(ADDSUBPD, 16, FP_ADDSUB | FP_PD)                                           \
	_(HADDPS, 16, FP_HADD | FP_PS) _(HADDPD, 16, FP_HADD | FP_PD)                                                   \
	_(HSUBPS, 16, FP_HSUB | FP_PS) _(HSUBPD, 16, FP_HSUB | FP_PD)                                                   \
	_(CVTDQ2PS, 16, FP_PLAIN) _(CVTPS2DQ, 16, FP_PLAIN) _(CVTTPS2DQ, 16, FP_PLAIN)                                  \
	_(CVTPD2DQ, 16, FP_PLAIN) _(CVTTPD2DQ, 16, FP_PLAIN) _(CVTPS2PD, 8, FP_PLAIN) _(CVTSS2SD, 4, FP_PLAIN)          \
	_(CVTPD2PS, 16, FP_NARROW | FP_PD) _(CVTSD2SS, 8, FP_NARROW | FP_SD)

#define DEFINE_CORE(name)                                                                                              \
	static inline vec128 name##_core(vec128 d, vec128 s, unsigned imm)                                             \
	{                                                                                                              \
		asm volatile(#name " %1, %0" : "+x"(d) : "x"(s));                                                       \
		return d;                                                                                              \
	}

#define DEFINE_HANDLERS(name, n, kind)                                                                                 \
	HANDLER(name##_xx)                                                                                             \
	{                                                                                                              \
		union xmm *d = xmm_dst(c, o);                                                                          \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		d->v = fp_op(c, o, d->v, xmm_src(c, o)->v, o->aux, name##_core, kind);                                  \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_xm)                                                                                             \
	{                                                                                                              \
		union xmm *d = xmm_dst(c, o);                                                                          \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		d->v = fp_op(c, o, d->v, sse_ld(c, o, n), o->aux, name##_core, kind);                                   \
		OP_NEXT(c, o);                                                                                         \
	}
#define DEFINE(name, n, kind) DEFINE_CORE(name) DEFINE_HANDLERS(name, n, kind)
FP_OPS(DEFINE)

/* An immediate is part of the instruction: one host instruction for each of its values. */
#define CASE(name, i) case i: asm volatile(#name " %2, %1, %0" : "+x"(d) : "x"(s), "i"(i)); break;
#define CASES_4(name, i)   CASE(name, i) CASE(name, i + 1) CASE(name, i + 2) CASE(name, i + 3)
#define CASES_16(name, i)  CASES_4(name, i) CASES_4(name, i + 4) CASES_4(name, i + 8) CASES_4(name, i + 12)
#define CASES_64(name, i)  CASES_16(name, i) CASES_16(name, i + 16) CASES_16(name, i + 32) CASES_16(name, i + 48)
#define CASES_256(name, i) CASES_64(name, i) CASES_64(name, i + 64) CASES_64(name, i + 128) CASES_64(name, i + 192)

#define DEFINE_IMM_CORE(name, used, cases)                                                                             \
	static vec128 name##_core(vec128 d, vec128 s, unsigned imm)                                                    \
	{                                                                                                              \
		switch (imm & (used)) {                                                                                \
		cases                                                                                                  \
		}                                                                                                      \
		return d;                                                                                              \
	}
#define COMPARE(name, n) DEFINE_IMM_CORE(name, 7, CASES_4(name, 0) CASES_4(name, 4)) DEFINE_HANDLERS(name, n, FP_PLAIN)
#define ROUND(name, n)   DEFINE_IMM_CORE(name, 15, CASES_16(name, 0)) DEFINE_HANDLERS(name, n, FP_PLAIN)
COMPARE(CMPPS, 16)
COMPARE(CMPPD, 16)
COMPARE(CMPSS, 4)
COMPARE(CMPSD, 8)
ROUND(ROUNDPS, 16)
ROUND(ROUNDPD, 16)
ROUND(ROUNDSS, 4)
ROUND(ROUNDSD, 8)
DEFINE_IMM_CORE(DPPS, 255, CASES_256(DPPS, 0))
DEFINE_IMM_CORE(DPPD, 255, CASES_256(DPPD, 0))
DEFINE_HANDLERS(DPPS, 16, FP_DOT | FP_PS)
DEFINE_HANDLERS(DPPD, 16, FP_DOT | FP_PD)

/* Comparisons into EFLAGS: ZF, PF, CF; OF, SF, AF are cleared. */
#define DEFINE_FLAGS(name, n)                                                                                          \
	static inline vec128 name##_core(vec128 d, vec128 s, unsigned imm)                                             \
	{                                                                                                              \
		u32 ax;                                                                                                \
                                                                                                                       \
		asm volatile(#name " %2, %1\n\tlahf" : "=a"(ax) : "x"(d), "x"(s) : "cc");                               \
		return (vec128){ ax >> 8 & (EFLAGS_ZF | EFLAGS_PF | EFLAGS_CF), 0 };                                    \
	}                                                                                                              \
	HANDLER(name##_xx)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		cpu_set_status(c, (u32)fp_op(c, o, xmm_dst(c, o)->v, xmm_src(c, o)->v, 0, name##_core, FP_PLAIN)[0]);     \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_xm)                                                                                             \
	{                                                                                                              \
		vec128 s;                                                                                              \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		s = sse_ld(c, o, n);                                                                                   \
		cpu_set_status(c, (u32)fp_op(c, o, xmm_dst(c, o)->v, s, 0, name##_core, FP_PLAIN)[0]);                    \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_FLAGS(COMISS, 4)
DEFINE_FLAGS(COMISD, 8)
DEFINE_FLAGS(UCOMISS, 4)
DEFINE_FLAGS(UCOMISD, 8)

#define ROWS(name) ROW(name, SHAPE(X, X), name##_xx), ROW(name, SHAPE(X, M), name##_xm),
#define ROWS_OP(name, n, kind) ROWS(name)

const struct fpu_row fpu_rows_float[] = {
	FP_OPS(ROWS_OP)
	ROWS(CMPPS) ROWS(CMPPD) ROWS(CMPSS) ROWS(CMPSD)
	ROWS(ROUNDPS) ROWS(ROUNDPD) ROWS(ROUNDSS) ROWS(ROUNDSD)
	ROWS(DPPS) ROWS(DPPD)
	ROWS(COMISS) ROWS(COMISD) ROWS(UCOMISS) ROWS(UCOMISD)
	ROW_END
};
