/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Conversions between SSE floating point and general or MMX registers. */
#include "machine/fpu/rows.h"
#include "machine/fpu/sse_fp.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* Integer to scalar. A sign-extended 32-bit source converts as the 64-bit one of the same value. */
#define DEFINE_FROM_GPR(name)                                                                                          \
	static inline vec128 name##_core(vec128 d, vec128 s, unsigned imm)                                             \
	{                                                                                                              \
		asm volatile(#name "q %1, %0" : "+x"(d) : "r"(s[0]));                                                   \
		return d;                                                                                              \
	}                                                                                                              \
	HANDLER(name##_xg)                                                                                             \
	{                                                                                                              \
		union xmm *d = xmm_dst(c, o);                                                                          \
		u64 v = o->aux2 == 8 ? c->gpr[o->src] : (u64)(s32)c->gpr[o->src];                                       \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		d->v = fp_op(c, o, d->v, (vec128){ v, 0 }, 0, name##_core, FP_PLAIN);                                    \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_xm)                                                                                             \
	{                                                                                                              \
		union xmm *d = xmm_dst(c, o);                                                                          \
		u64 v;                                                                                                 \
                                                                                                                       \
		sse_check(c, o);                                                                                       \
		if (o->aux2 == 8)                                                                                      \
			v = ld64(c, o, op_lin(c, o, 8, ACCESS_READ));                                                   \
		else                                                                                                   \
			v = (u64)(s32)ld32(c, o, op_lin(c, o, 4, ACCESS_READ));                                         \
		d->v = fp_op(c, o, d->v, (vec128){ v, 0 }, 0, name##_core, FP_PLAIN);                                    \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_FROM_GPR(CVTSI2SS)
DEFINE_FROM_GPR(CVTSI2SD)

/* Scalar to integer of 32 or 64 bits: what does not fit is different for each. */
#define DEFINE_TO_GPR(name, n)                                                                                         \
	static inline vec128 name##_core32(vec128 d, vec128 s, unsigned imm)                                           \
	{                                                                                                              \
		u32 r;                                                                                                 \
                                                                                                                       \
		asm volatile(#name " %1, %0" : "=r"(r) : "x"(s));                                                       \
		return (vec128){ r, 0 };                                                                               \
	}                                                                                                              \
	static inline vec128 name##_core64(vec128 d, vec128 s, unsigned imm)                                           \
	{                                                                                                              \
		u64 r;                                                                                                 \
                                                                                                                       \
		asm volatile(#name " %1, %0" : "=r"(r) : "x"(s));                                                       \
		return (vec128){ r, 0 };                                                                               \
	}                                                                                                              \
	static inline void name##_to(struct cpu *c, const struct op *o, vec128 s)                                      \
	{                                                                                                              \
		if (o->aux2 == 8)                                                                                      \
			c->gpr[o->dst] = fp_op(c, o, s, s, 0, name##_core64, FP_PLAIN)[0];                               \
		else                                                                                                   \
			c->gpr[o->dst] = fp_op(c, o, s, s, 0, name##_core32, FP_PLAIN)[0];                               \
	}                                                                                                              \
	HANDLER(name##_gx)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		name##_to(c, o, xmm_src(c, o)->v);                                                                     \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_gm)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		name##_to(c, o, sse_ld(c, o, n));                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_TO_GPR(CVTSS2SI, 4)
DEFINE_TO_GPR(CVTTSS2SI, 4)
DEFINE_TO_GPR(CVTSD2SI, 8)
DEFINE_TO_GPR(CVTTSD2SI, 8)

/*
 * MMX source. With a memory operand they leave the x87 state alone. Elsewhere the transition to MMX comes first:
 * it is there even if the conversion then raises an exception.
 */
#define DEFINE_FROM_MMX_CORE(name)                                                                                     \
	static vec128 name##_core(vec128 d, vec128 s, unsigned imm)                                                    \
	{                                                                                                              \
		asm volatile("movq %1, %%mm0\n\t" #name " %%mm0, %0\n\temms" : "+x"(d) : "r"(s[0]) : "mm0");            \
		return d;                                                                                              \
	}
DEFINE_FROM_MMX_CORE(CVTPI2PS)
DEFINE_FROM_MMX_CORE(CVTPI2PD)

static void from_mmx(struct cpu *c, const struct op *o, u64 v, fp_core *core)
{
	union xmm *d = xmm_dst(c, o);

	d->v = fp_slow(c, o, d->v, (vec128){ v, 0 }, 0, core, FP_PLAIN);
}

HANDLER(cvtpi2ps_xy)
{
	sse_check(c, o);
	mmx_check(c, o);
	mmx_enter(c);
	from_mmx(c, o, mmx_get(c, o->src), CVTPI2PS_core);
	OP_NEXT(c, o);
}

HANDLER(cvtpi2ps_xm)
{
	sse_check(c, o);
	from_mmx(c, o, mmx_ld(c, o), CVTPI2PS_core);
	OP_NEXT(c, o);
}

HANDLER(cvtpi2pd_xy)
{
	sse_check(c, o);
	mmx_check(c, o);
	mmx_enter(c);
	from_mmx(c, o, mmx_get(c, o->src), CVTPI2PD_core);
	OP_NEXT(c, o);
}

HANDLER(cvtpi2pd_xm)
{
	sse_check(c, o);
	from_mmx(c, o, mmx_ld(c, o), CVTPI2PD_core);
	OP_NEXT(c, o);
}

/* MMX destination. */
#define DEFINE_TO_MMX(name, n)                                                                                         \
	static vec128 name##_core(vec128 d, vec128 s, unsigned imm)                                                    \
	{                                                                                                              \
		u64 r;                                                                                                 \
                                                                                                                       \
		asm volatile(#name " %1, %%mm0\n\tmovq %%mm0, %0\n\temms" : "=r"(r) : "x"(s) : "mm0");                  \
		return (vec128){ r, 0 };                                                                               \
	}                                                                                                              \
	static void name##_to(struct cpu *c, const struct op *o, vec128 s)                                             \
	{                                                                                                              \
		mmx_enter(c);                                                                                          \
		mmx_set(c, o->dst, fp_slow(c, o, s, s, 0, name##_core, FP_PLAIN)[0]);                                    \
	}                                                                                                              \
	HANDLER(name##_yx)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		mmx_check(c, o);                                                                                       \
		name##_to(c, o, xmm_src(c, o)->v);                                                                     \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_ym)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		mmx_check(c, o);                                                                                       \
		name##_to(c, o, sse_ld(c, o, n));                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_TO_MMX(CVTPS2PI, 8)
DEFINE_TO_MMX(CVTTPS2PI, 8)
DEFINE_TO_MMX(CVTPD2PI, 16)
DEFINE_TO_MMX(CVTTPD2PI, 16)

#define ROWS_FROM_GPR(name) ROW(name, SHAPE(X, G), name##_xg), ROW(name, SHAPE(X, M), name##_xm)
#define ROWS_TO_GPR(name)   ROW(name, SHAPE(G, X), name##_gx), ROW(name, SHAPE(G, M), name##_gm)
#define ROWS_TO_MMX(name)   ROW(name, SHAPE(Y, X), name##_yx), ROW(name, SHAPE(Y, M), name##_ym)

const struct fpu_row fpu_rows_convert[] = {
	ROWS_FROM_GPR(CVTSI2SS),
	ROWS_FROM_GPR(CVTSI2SD),
	ROWS_TO_GPR(CVTSS2SI),
	ROWS_TO_GPR(CVTTSS2SI),
	ROWS_TO_GPR(CVTSD2SI),
	ROWS_TO_GPR(CVTTSD2SI),
	ROW(CVTPI2PS, SHAPE(X, Y), cvtpi2ps_xy),
	ROW(CVTPI2PS, SHAPE(X, M), cvtpi2ps_xm),
	ROW(CVTPI2PD, SHAPE(X, Y), cvtpi2pd_xy),
	ROW(CVTPI2PD, SHAPE(X, M), cvtpi2pd_xm),
	ROWS_TO_MMX(CVTPS2PI),
	ROWS_TO_MMX(CVTTPS2PI),
	ROWS_TO_MMX(CVTPD2PI),
	ROWS_TO_MMX(CVTTPD2PI),
	ROW_END
};
