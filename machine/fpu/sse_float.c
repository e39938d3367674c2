/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SSE arithmetic and comparisons. */
#include "machine/fpu/rows.h"
#include "machine/fpu/sse_fp.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* Does a lane of the result hold a denormal? */
static bool tiny_f(u32 v)
{
	return !(v & 0x7f800000u) && (v & 0x007fffffu);
}

static bool tiny_d(u64 v)
{
	return !(v & 0x7ff0000000000000ull) && (v & 0x000fffffffffffffull);
}

static bool tiny_result(vec128 v, enum fp_tiny tiny)
{
	union xmm r = { .v = v };

	switch (tiny) {
	case TINY_SS: return tiny_f(r.d[0]);
	case TINY_SD: return tiny_d(r.q[0]);
	case TINY_PS: return tiny_f(r.d[0]) || tiny_f(r.d[1]) || tiny_f(r.d[2]) || tiny_f(r.d[3]);
	case TINY_PD: return tiny_d(r.q[0]) || tiny_d(r.q[1]);
	default:      return false;
	}
}

/*
 * What the masked run does not show: an unmasked underflow is signalled for an exact tiny result too and ignores FTZ; and an
 * unmasked exception found before the computation leaves the flags of those found after it alone.
 * SDM 1 "SIMD Floating-Point Exception Conditions" and "Flush-To-Zero".
 */
static u32 raised_flags(u32 guest, u32 out, vec128 r, enum fp_tiny tiny)
{
	u32 unmasked = ~(guest >> MXCSR_MASKS_SHIFT) & MXCSR_FLAGS;
	u32 raised = out & MXCSR_FLAGS;

	if ((unmasked & FPU_UE) && tiny_result(r, tiny))
		raised |= FPU_UE;
	if (raised & unmasked & (FPU_IE | FPU_DE | FPU_ZE))
		raised &= FPU_IE | FPU_DE | FPU_ZE;
	return raised;
}

vec128 fp_slow(struct cpu *c, const struct op *o, vec128 d, vec128 s, unsigned imm, fp_core *core, enum fp_tiny tiny)
{
	const u32 calm = MXCSR_DEFAULT;
	u32 guest = c->fpu.mxcsr, run = (guest | MXCSR_MASKS) & ~MXCSR_FLAGS, out, raised;
	vec128 r;

	if (!(guest & FPU_UE << MXCSR_MASKS_SHIFT))
		run &= ~MXCSR_FTZ;
	asm volatile("ldmxcsr %0" : : "m"(run));
	r = core(d, s, imm);
	asm volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(out) : "m"(calm));
	raised = raised_flags(guest, out, r, tiny);
	c->fpu.mxcsr = guest | raised;
	if (raised & ~(guest >> MXCSR_MASKS_SHIFT))
		cpu_raise(c, o, c->cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD);
	return r;
}

/* The mnemonic, bytes of a memory operand, lanes that can underflow. */
#define FP_OPS(_)                                                                                                      \
	_(ADDPS, 16, TINY_PS) _(ADDPD, 16, TINY_PD) _(ADDSS, 4, TINY_SS) _(ADDSD, 8, TINY_SD)                           \
	_(SUBPS, 16, TINY_PS) _(SUBPD, 16, TINY_PD) _(SUBSS, 4, TINY_SS) _(SUBSD, 8, TINY_SD)                           \
	_(MULPS, 16, TINY_PS) _(MULPD, 16, TINY_PD) _(MULSS, 4, TINY_SS) _(MULSD, 8, TINY_SD)                           \
	_(DIVPS, 16, TINY_PS) _(DIVPD, 16, TINY_PD) _(DIVSS, 4, TINY_SS) _(DIVSD, 8, TINY_SD)                           \
	_(MINPS, 16, TINY_NO) _(MINPD, 16, TINY_NO) _(MINSS, 4, TINY_NO) _(MINSD, 8, TINY_NO)                           \
	_(MAXPS, 16, TINY_NO) _(MAXPD, 16, TINY_NO) _(MAXSS, 4, TINY_NO) _(MAXSD, 8, TINY_NO)                           \
	_(SQRTPS, 16, TINY_NO) _(SQRTPD, 16, TINY_NO) _(SQRTSS, 4, TINY_NO) _(SQRTSD, 8, TINY_NO)                       \
	_(ADDSUBPS, 16, TINY_PS) _(ADDSUBPD, 16, TINY_PD)                                                               \
	_(HADDPS, 16, TINY_PS) _(HADDPD, 16, TINY_PD) _(HSUBPS, 16, TINY_PS) _(HSUBPD, 16, TINY_PD)                     \
	_(CVTDQ2PS, 16, TINY_NO) _(CVTPS2DQ, 16, TINY_NO) _(CVTTPS2DQ, 16, TINY_NO)                                     \
	_(CVTPD2DQ, 16, TINY_NO) _(CVTTPD2DQ, 16, TINY_NO) _(CVTPS2PD, 8, TINY_NO) _(CVTPD2PS, 16, TINY_PS)             \
	_(CVTSS2SD, 4, TINY_NO) _(CVTSD2SS, 8, TINY_SS)

#define DEFINE_CORE(name)                                                                                              \
	static inline vec128 name##_core(vec128 d, vec128 s, unsigned imm)                                             \
	{                                                                                                              \
		asm volatile(#name " %1, %0" : "+x"(d) : "x"(s));                                                       \
		return d;                                                                                              \
	}

#define DEFINE_HANDLERS(name, n, tiny)                                                                                 \
	HANDLER(name##_xx)                                                                                             \
	{                                                                                                              \
		union xmm *d = xmm_dst(c, o);                                                                          \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		d->v = fp_op(c, o, d->v, xmm_src(c, o)->v, o->aux, name##_core, tiny);                                  \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_xm)                                                                                             \
	{                                                                                                              \
		union xmm *d = xmm_dst(c, o);                                                                          \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		d->v = fp_op(c, o, d->v, sse_ld(c, o, n), o->aux, name##_core, tiny);                                   \
		OP_NEXT(c, o);                                                                                         \
	}
#define DEFINE(name, n, tiny) DEFINE_CORE(name) DEFINE_HANDLERS(name, n, tiny)
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
#define COMPARE(name, n) DEFINE_IMM_CORE(name, 7, CASES_4(name, 0) CASES_4(name, 4)) DEFINE_HANDLERS(name, n, TINY_NO)
#define ROUND(name, n)   DEFINE_IMM_CORE(name, 15, CASES_16(name, 0)) DEFINE_HANDLERS(name, n, TINY_NO)
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
DEFINE_HANDLERS(DPPS, 16, TINY_PS)
DEFINE_HANDLERS(DPPD, 16, TINY_PD)

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
		cpu_set_status(c, (u32)fp_op(c, o, xmm_dst(c, o)->v, xmm_src(c, o)->v, 0, name##_core, TINY_NO)[0]);     \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_xm)                                                                                             \
	{                                                                                                              \
		vec128 s;                                                                                              \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		s = sse_ld(c, o, n);                                                                                   \
		cpu_set_status(c, (u32)fp_op(c, o, xmm_dst(c, o)->v, s, 0, name##_core, TINY_NO)[0]);                    \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_FLAGS(COMISS, 4)
DEFINE_FLAGS(COMISD, 8)
DEFINE_FLAGS(UCOMISS, 4)
DEFINE_FLAGS(UCOMISD, 8)

#define ROWS(name) ROW(name, SHAPE(X, X), name##_xx), ROW(name, SHAPE(X, M), name##_xm),
#define ROWS_OP(name, n, tiny) ROWS(name)

const struct fpu_row fpu_rows_float[] = {
	FP_OPS(ROWS_OP)
	ROWS(CMPPS) ROWS(CMPPD) ROWS(CMPSS) ROWS(CMPSD)
	ROWS(ROUNDPS) ROWS(ROUNDPD) ROWS(ROUNDSS) ROWS(ROUNDSD)
	ROWS(DPPS) ROWS(DPPD)
	ROWS(COMISS) ROWS(COMISD) ROWS(UCOMISS) ROWS(UCOMISD)
	ROW_END
};
