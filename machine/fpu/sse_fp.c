/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slow way of SSE arithmetic: any rounding, FTZ, DAZ, and unmasked exceptions. The operation runs on the host
 * with all exceptions masked. What such a run does not show is how an unmasked overflow or underflow is signalled:
 * SDM 1 "SIMD Floating-Point Exception Conditions", "Numeric Underflow Exception" and "Flush-To-Zero":
 *  - an unmasked underflow is signalled for an exact tiny result too, and ignores FTZ;
 *  - PE beside an unmasked overflow or underflow tells whether the result were inexact if its exponent had no
 *    bounds;
 *  - an unmasked exception found before the computation (IE, DE, ZE) leaves the flags found after it alone.
 * For that the lanes are computed again one by one, and the x87 unit, whose exponent is wide enough, answers for
 * PE.
 */
#include "machine/fpu/sse_fp.h"

#define FP_BEFORE (FPU_IE | FPU_DE | FPU_ZE)
#define FP_RANGE  (FPU_OE | FPU_UE)

static const u32 calm_mxcsr = MXCSR_DEFAULT;
static const u16 calm_fcw = FCW_INIT;

/* One operation of the slow way. */
struct fp_run {
	vec128 d, s;
	enum fp_kind kind;
	u32 guest;    /* MXCSR of the guest */
	u32 run;      /* and the one to run with */
	u32 unmasked; /* flags whose exceptions the guest wants */
};

static bool is_tiny(u64 v, bool dbl)
{
	u64 exponent = dbl ? 0x7ffull << 52 : 0xffull << 23, fraction = dbl ? (1ull << 52) - 1 : (1ull << 23) - 1;

	return !(v & exponent) && (v & fraction);
}

#define SCALAR(single, other)                                                                                          \
	do {                                                                                                           \
		if (dbl)                                                                                               \
			asm volatile(other " %1, %0" : "+x"(r) : "x"(y));                                               \
		else                                                                                                   \
			asm volatile(single " %1, %0" : "+x"(r) : "x"(y));                                              \
	} while (0)

static u64 scalar(u64 a, u64 b, enum fp_kind what, bool dbl)
{
	vec128 r = { a, 0 }, y = { b, 0 };

	switch (what) {
	case FP_ADD: SCALAR("addss", "addsd"); break;
	case FP_SUB: SCALAR("subss", "subsd"); break;
	case FP_MUL: SCALAR("mulss", "mulsd"); break;
	case FP_DIV: SCALAR("divss", "divsd"); break;
	default:     asm volatile("cvtsd2ss %1, %0" : "+x"(r) : "x"(y)); break;
	}
	return dbl && what != FP_NARROW ? r[0] : (u32)r[0];
}

/* Precision and rounding of the guest's format, all masked: is the result inexact whatever its exponent? */
static bool inexact_unbounded(const struct fp_run *p, u64 a, u64 b, enum fp_kind what, bool dbl)
{
	u16 fcw = (u16)(FSW_FLAGS | (dbl && what != FP_NARROW ? 0x0200 : 0) | (p->guest >> 13 & 3) << 10), fsw;

	asm volatile("fnclex\n\tfldcw %0" : : "m"(fcw));
	if (what == FP_NARROW)
		asm volatile("fld1\n\tfldl %0" : : "m"(b));
	else if (dbl)
		asm volatile("fldl %0\n\tfldl %1" : : "m"(a), "m"(b));
	else
		asm volatile("flds %0\n\tflds %1" : : "m"(a), "m"(b));
	/* ST(1) op ST(0); as bytes because assemblers disagree about FSUBP and FDIVP. */
	switch (what) {
	case FP_ADD: asm volatile(".byte 0xde, 0xc1"); break;
	case FP_SUB: asm volatile(".byte 0xde, 0xe9"); break;
	case FP_DIV: asm volatile(".byte 0xde, 0xf9"); break;
	default:     asm volatile(".byte 0xde, 0xc9"); break;
	}
	asm volatile("fnstsw %0\n\tfstp %%st(0)\n\tfnclex\n\tfldcw %1" : "=a"(fsw) : "m"(calm_fcw));
	return fsw & FPU_PE;
}

/* One lane: its result in *r, the flags that it raises. */
static u32 lane(const struct fp_run *p, u64 a, u64 b, enum fp_kind what, bool dbl, u64 *r)
{
	u32 flags;

	asm volatile("ldmxcsr %0" : : "m"(p->run));
	*r = scalar(a, b, what, dbl);
	asm volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(flags) : "m"(calm_mxcsr));
	flags &= MXCSR_FLAGS;
	if (is_tiny(*r, dbl && what != FP_NARROW))
		flags |= p->unmasked & FPU_UE;
	if (flags & p->unmasked & FP_RANGE)
		flags = (flags & ~FPU_PE) | (inexact_unbounded(p, a, b, what, dbl) ? FPU_PE : 0);
	return flags;
}

/* Operands of up to four lanes. */
struct lanes {
	u64 a[4], b[4], r[4];
	unsigned n;
};

static u32 step(const struct fp_run *p, struct lanes *l, enum fp_kind what)
{
	bool dbl = p->kind & FP_DOUBLE;
	u32 flags = 0;

	for (unsigned i = 0; i < l->n; i++) {
		enum fp_kind w = what != FP_ADDSUB ? what : i & 1 ? FP_ADD : FP_SUB;

		flags |= lane(p, l->a[i], l->b[i], w, dbl, &l->r[i]);
	}
	return flags & p->unmasked & FP_BEFORE ? flags & FP_BEFORE : flags;
}

static void get_lanes(const struct fp_run *p, struct lanes *l)
{
	union xmm d = { .v = p->d }, s = { .v = p->s };
	bool dbl = p->kind & FP_DOUBLE;

	l->n = !(p->kind & FP_PACKED) ? 1 : dbl ? 2 : 4;
	for (unsigned i = 0; i < l->n; i++) {
		l->a[i] = dbl ? d.q[i] : d.d[i];
		l->b[i] = dbl ? s.q[i] : s.d[i];
	}
}

/* Neighbours in one source become the two operands of a lane. */
static void pair_lanes(struct lanes *l)
{
	struct lanes in = *l;
	unsigned half = l->n / 2;

	for (unsigned i = 0; i < half; i++) {
		l->a[i] = in.a[2 * i];
		l->b[i] = in.a[2 * i + 1];
		l->a[half + i] = in.b[2 * i];
		l->b[half + i] = in.b[2 * i + 1];
	}
}

/* DPPS, DPPD: products, then sums of neighbours; a step with an unmasked exception is the last. */
static u32 dot_flags(const struct fp_run *p, struct lanes *l, unsigned imm)
{
	u32 flags;

	for (unsigned i = 0; i < l->n; i++)
		if (!(imm & 0x10u << i))
			l->a[i] = l->b[i] = 0;
	flags = step(p, l, FP_MUL);
	while (l->n > 1 && !(flags & p->unmasked)) {
		l->n /= 2;
		for (unsigned i = 0; i < l->n; i++) {
			l->a[i] = l->r[2 * i];
			l->b[i] = l->r[2 * i + 1];
		}
		flags |= step(p, l, FP_ADD);
	}
	return flags;
}

static u32 flags_by_lane(const struct fp_run *p, unsigned imm)
{
	enum fp_kind what = p->kind & FP_WHAT;
	struct lanes l;

	get_lanes(p, &l);
	if (what == FP_DOT)
		return dot_flags(p, &l, imm);
	if (what == FP_HADD || what == FP_HSUB) {
		pair_lanes(&l);
		what = what == FP_HADD ? FP_ADD : FP_SUB;
	}
	return step(p, &l, what);
}

vec128 fp_slow(struct cpu *c, const struct op *o, vec128 d, vec128 s, unsigned imm, fp_core *core, enum fp_kind kind)
{
	u32 guest = c->fpu.mxcsr, raised;
	struct fp_run p = { d, s, kind, guest, (guest | MXCSR_MASKS) & ~MXCSR_FLAGS,
			    ~(guest >> MXCSR_MASKS_SHIFT) & MXCSR_FLAGS };
	vec128 r;

	if (p.unmasked & FPU_UE)
		p.run &= ~MXCSR_FTZ;
	asm volatile("ldmxcsr %0" : : "m"(p.run));
	r = core(d, s, imm);
	asm volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(raised) : "m"(calm_mxcsr));
	raised &= MXCSR_FLAGS;
	if (kind != FP_PLAIN && (p.unmasked & ((kind & FP_WHAT) == FP_DOT ? MXCSR_FLAGS : FP_RANGE)))
		raised = flags_by_lane(&p, imm);
	else if (raised & p.unmasked & FP_BEFORE)
		raised &= FP_BEFORE;
	c->fpu.mxcsr = guest | raised;
	if (raised & p.unmasked)
		cpu_raise(c, o, c->cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD);
	return r;
}
