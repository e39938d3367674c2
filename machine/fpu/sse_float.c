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

/* Bit set of the lanes that do; lanes of doubles count as one. */
static unsigned tiny_lanes(vec128 v, enum fp_tiny tiny)
{
	union xmm r = { .v = v };

	switch (tiny & TINY_LANES) {
	case TINY_SS: return tiny_f(r.d[0]);
	case TINY_SD: return tiny_d(r.q[0]);
	case TINY_PS: return tiny_f(r.d[0]) | tiny_f(r.d[1]) << 1 | tiny_f(r.d[2]) << 2 | tiny_f(r.d[3]) << 3;
	case TINY_PD: return tiny_d(r.q[0]) | tiny_d(r.q[1]) << 1;
	default:      return 0;
	}
}

/*
 * Is a product, quotient or narrowed number inexact when its exponent has no bounds? The x87 unit, whose exponent is wide enough,
 * answers with the precision of the format and the guest's rounding.
 */
static bool inexact_unbounded(vec128 d, vec128 s, unsigned lane, u32 guest, enum fp_tiny tiny)
{
	union xmm a = { .v = d }, b = { .v = s };
	bool dbl = (tiny & TINY_LANES) == TINY_PD || (tiny & TINY_LANES) == TINY_SD;
	const u16 calm = FCW_INIT;
	u16 fcw = (u16)(0x003f | (dbl ? 0x0200 : 0) | (guest >> 13 & 3) << 10), fsw;

	asm volatile("fnclex\n\tfldcw %0" : : "m"(fcw));
	if (tiny & TINY_NARROW)
		asm volatile("fldl %0\n\tfld1\n\tfmulp" : : "m"(b.q[lane]));
	else if (dbl)
		asm volatile("fldl %0\n\tfldl %1" : : "m"(a.q[lane]), "m"(b.q[lane]));
	else
		asm volatile("flds %0\n\tflds %1" : : "m"(a.d[lane]), "m"(b.d[lane]));
	if (tiny & TINY_MUL)
		asm volatile("fmulp");
	else if (tiny & TINY_DIV)
		asm volatile(".byte 0xde, 0xf9"); /* ST(1) / ST(0) */
	asm volatile("fnstsw %0\n\tfstp %%st(0)\n\tfnclex\n\tfldcw %1" : "=a"(fsw) : "m"(calm));
	return fsw & FPU_PE;
}

/* The flags of one lane alone: it is repeated in all of them. */
static u32 lane_flags(vec128 d, vec128 s, unsigned lane, unsigned imm, u32 run, fp_core *core, enum fp_tiny tiny)
{
	const u32 calm = MXCSR_DEFAULT;
	union xmm a = { .v = d }, b = { .v = s };
	u32 out;

	for (unsigned i = 0; i < 4; i++) {
		unsigned from = (tiny & TINY_LANES) == TINY_PD || (tiny & TINY_NARROW) ? 2 * lane + (i & 1) : lane;

		a.d[i] = ((const u32 *)&d)[from];
		b.d[i] = ((const u32 *)&s)[from];
	}
	asm volatile("ldmxcsr %0" : : "m"(run));
	core(a.v, b.v, imm);
	asm volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(out) : "m"(calm));
	return out & MXCSR_FLAGS;
}

/* One operation of the slow way. */
struct fp_run {
	vec128 d, s;
	unsigned imm;
	fp_core *core;
	enum fp_tiny tiny;
	u32 guest, run; /* MXCSR: the guest's, and the one to run with */
};

/* PE where underflow is unmasked: a tiny lane is inexact only if it were so without bounds of the exponent. */
static u32 precision_flag(const struct fp_run *p, unsigned tiny)
{
	static const u8 lanes[] = { [TINY_PS] = 4, [TINY_PD] = 2, [TINY_SS] = 1, [TINY_SD] = 1 };
	unsigned n = p->tiny & TINY_NARROW && (p->tiny & TINY_LANES) == TINY_PS ? 2 : lanes[p->tiny & TINY_LANES];
	u32 flags = 0;

	for (unsigned i = 0; i < n; i++) {
		if (tiny & 1u << i)
			flags |= inexact_unbounded(p->d, p->s, i, p->guest, p->tiny) ? FPU_PE : 0;
		else
			flags |= lane_flags(p->d, p->s, i, p->imm, p->run, p->core, p->tiny) & FPU_PE;
	}
	return flags;
}

/*
 * What the masked run does not show: an unmasked underflow is signalled for an exact tiny result too, ignores FTZ, and its result
 * is not denormalized; and an unmasked exception found before the computation leaves the flags of those found after it alone.
 * SDM 1 "SIMD Floating-Point Exception Conditions" and "Flush-To-Zero".
 */
static u32 raised_flags(const struct fp_run *p, u32 out, vec128 r)
{
	u32 unmasked = ~(p->guest >> MXCSR_MASKS_SHIFT) & MXCSR_FLAGS;
	u32 raised = out & MXCSR_FLAGS;
	unsigned tiny = unmasked & FPU_UE ? tiny_lanes(r, p->tiny) : 0;

	if (tiny)
		raised |= FPU_UE;
	if (raised & unmasked & (FPU_IE | FPU_DE | FPU_ZE))
		return raised & (FPU_IE | FPU_DE | FPU_ZE);
	if (tiny && (raised & FPU_PE) && (p->tiny & ~TINY_LANES))
		raised = (raised & ~FPU_PE) | precision_flag(p, tiny);
	return raised;
}

vec128 fp_slow(struct cpu *c, const struct op *o, vec128 d, vec128 s, unsigned imm, fp_core *core, enum fp_tiny tiny)
{
	const u32 calm = MXCSR_DEFAULT;
	u32 guest = c->fpu.mxcsr, out, raised;
	struct fp_run p = { d, s, imm, core, tiny, guest, (guest | MXCSR_MASKS) & ~MXCSR_FLAGS };
	vec128 r;

	if (!(guest & FPU_UE << MXCSR_MASKS_SHIFT))
		p.run &= ~MXCSR_FTZ;
	asm volatile("ldmxcsr %0" : : "m"(p.run));
	r = core(d, s, imm);
	asm volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(out) : "m"(calm));
	raised = raised_flags(&p, out, r);
	c->fpu.mxcsr = guest | raised;
	if (raised & ~(guest >> MXCSR_MASKS_SHIFT))
		cpu_raise(c, o, c->cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD);
	return r;
}

/* The mnemonic, bytes of a memory operand, lanes that can underflow. */
#define FP_OPS(_)                                                                                                      \
	_(ADDPS, 16, TINY_PS) _(ADDPD, 16, TINY_PD) _(ADDSS, 4, TINY_SS) _(ADDSD, 8, TINY_SD)                           \
	_(SUBPS, 16, TINY_PS) _(SUBPD, 16, TINY_PD) _(SUBSS, 4, TINY_SS) _(SUBSD, 8, TINY_SD)                           \
	_(MULPS, 16, TINY_PS | TINY_MUL) _(MULPD, 16, TINY_PD | TINY_MUL) _(MULSS, 4, TINY_SS | TINY_MUL) _(MULSD, 8, TINY_SD | TINY_MUL)                           \
	_(DIVPS, 16, TINY_PS | TINY_DIV) _(DIVPD, 16, TINY_PD | TINY_DIV) _(DIVSS, 4, TINY_SS | TINY_DIV) _(DIVSD, 8, TINY_SD | TINY_DIV)                           \
	_(MINPS, 16, TINY_NO) _(MINPD, 16, TINY_NO) _(MINSS, 4, TINY_NO) _(MINSD, 8, TINY_NO)                           \
	_(MAXPS, 16, TINY_NO) _(MAXPD, 16, TINY_NO) _(MAXSS, 4, TINY_NO) _(MAXSD, 8, TINY_NO)                           \
	_(SQRTPS, 16, TINY_NO) _(SQRTPD, 16, TINY_NO) _(SQRTSS, 4, TINY_NO) _(SQRTSD, 8, TINY_NO)                       \
	_(ADDSUBPS, 16, TINY_PS) _(ADDSUBPD, 16, TINY_PD)                                                               \
	_(HADDPS, 16, TINY_PS) _(HADDPD, 16, TINY_PD) _(HSUBPS, 16, TINY_PS) _(HSUBPD, 16, TINY_PD)                     \
	_(CVTDQ2PS, 16, TINY_NO) _(CVTPS2DQ, 16, TINY_NO) _(CVTTPS2DQ, 16, TINY_NO)                                     \
	_(CVTPD2DQ, 16, TINY_NO) _(CVTTPD2DQ, 16, TINY_NO) _(CVTPS2PD, 8, TINY_NO) _(CVTPD2PS, 16, TINY_PS | TINY_NARROW)             \
	_(CVTSS2SD, 4, TINY_NO) _(CVTSD2SS, 8, TINY_SS | TINY_NARROW)

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
