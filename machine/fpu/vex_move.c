/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VEX-encoded moves, and what else has no thunk. Non-temporal hints have no effect. */
#include "machine/fpu/rows.h"
#include "machine/fpu/vex.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* --- whole registers --- */

HANDLER(mov128_xx)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), ymm_src(c, o)->lo.v);
	OP_NEXT(c, o);
}

HANDLER(mov256_xx)
{
	avx_check(c, o);
	*ymm_dst(c, o) = *ymm_src(c, o);
	OP_NEXT(c, o);
}

HANDLER(movu128_xm)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), sse_ldu128(c, o));
	OP_NEXT(c, o);
}

HANDLER(mova128_xm)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), sse_ld128(c, o));
	OP_NEXT(c, o);
}

HANDLER(movu256_xm)
{
	avx_check(c, o);
	memcpy(ymm_dst(c, o), vex_ld(c, o, 32), 32);
	OP_NEXT(c, o);
}

static inline u64 lin256_aligned(struct cpu *c, const struct op *o, enum mmu_access a)
{
	u64 lin = op_lin(c, o, 32, a);

	if (unlikely(lin & 31))
		sse_misaligned(c, o);
	return lin;
}

HANDLER(mova256_xm)
{
	avx_check(c, o);
	lin256_aligned(c, o, ACCESS_READ);
	memcpy(ymm_dst(c, o), vex_ld(c, o, 32), 32);
	OP_NEXT(c, o);
}

/* The first register is the source of a store: op.dst. */
HANDLER(movu128_mx)
{
	avx_check(c, o);
	sse_stu128(c, o, xmm_dst(c, o));
	OP_NEXT(c, o);
}

HANDLER(mova128_mx)
{
	avx_check(c, o);
	sse_st128(c, o, xmm_dst(c, o));
	OP_NEXT(c, o);
}

HANDLER(movu256_mx)
{
	avx_check(c, o);
	st_buf(c, o, op_lin(c, o, 32, ACCESS_WRITE), ymm_dst(c, o), 32);
	OP_NEXT(c, o);
}

HANDLER(mova256_mx)
{
	avx_check(c, o);
	st_buf(c, o, lin256_aligned(c, o, ACCESS_WRITE), ymm_dst(c, o), 32);
	OP_NEXT(c, o);
}

/* --- parts: what is not moved comes from the second operand, or is 0 after a load --- */

HANDLER(movss_xxx)
{
	union xmm v;

	avx_check(c, o);
	v = *xmm_src(c, o);
	v.d[0] = c->fpu.ymm[o->aux].lo.d[0];
	ymm_set128(ymm_dst(c, o), v.v);
	OP_NEXT(c, o);
}

HANDLER(movsd_xxx)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), (vec128){ c->fpu.ymm[o->aux].lo.q[0], xmm_src(c, o)->q[1] });
	OP_NEXT(c, o);
}

HANDLER(mov32_xm)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), sse_ld32(c, o));
	OP_NEXT(c, o);
}

HANDLER(mov64_xm)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), sse_ld64(c, o));
	OP_NEXT(c, o);
}

HANDLER(mov32_mx)
{
	avx_check(c, o);
	st32(c, o, op_lin(c, o, 4, ACCESS_WRITE), xmm_dst(c, o)->d[0]);
	OP_NEXT(c, o);
}

HANDLER(mov64_mx)
{
	avx_check(c, o);
	st64(c, o, op_lin(c, o, 8, ACCESS_WRITE), xmm_dst(c, o)->q[0]);
	OP_NEXT(c, o);
}

HANDLER(movhigh_mx)
{
	avx_check(c, o);
	st64(c, o, op_lin(c, o, 8, ACCESS_WRITE), xmm_dst(c, o)->q[1]);
	OP_NEXT(c, o);
}

HANDLER(movlow_xxm)
{
	u64 v;

	avx_check(c, o);
	v = ld64(c, o, op_lin(c, o, 8, ACCESS_READ));
	ymm_set128(ymm_dst(c, o), (vec128){ v, xmm_src(c, o)->q[1] });
	OP_NEXT(c, o);
}

HANDLER(movhigh_xxm)
{
	u64 v;

	avx_check(c, o);
	v = ld64(c, o, op_lin(c, o, 8, ACCESS_READ));
	ymm_set128(ymm_dst(c, o), (vec128){ xmm_src(c, o)->q[0], v });
	OP_NEXT(c, o);
}

HANDLER(movhlps_xxx)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), (vec128){ c->fpu.ymm[o->aux].lo.q[1], xmm_src(c, o)->q[1] });
	OP_NEXT(c, o);
}

HANDLER(movlhps_xxx)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), (vec128){ xmm_src(c, o)->q[0], c->fpu.ymm[o->aux].lo.q[0] });
	OP_NEXT(c, o);
}

HANDLER(movq_xx)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), (vec128){ xmm_src(c, o)->q[0], 0 });
	OP_NEXT(c, o);
}

HANDLER(movd_xg)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), (vec128){ (u32)c->gpr[o->src], 0 });
	OP_NEXT(c, o);
}

HANDLER(movq_xg)
{
	avx_check(c, o);
	ymm_set128(ymm_dst(c, o), (vec128){ c->gpr[o->src], 0 });
	OP_NEXT(c, o);
}

HANDLER(movd_gx)
{
	avx_check(c, o);
	gpr_set32(c, o->dst, xmm_src(c, o)->d[0]);
	OP_NEXT(c, o);
}

HANDLER(movq_gx)
{
	avx_check(c, o);
	c->gpr[o->dst] = xmm_src(c, o)->q[0];
	OP_NEXT(c, o);
}

/* SDM 2B "INSERTPS": of a register, the immediate chooses the element; a memory operand is one element. */
HANDLER(insertps)
{
	union xmm v;
	u32 e;

	avx_check(c, o);
	if (o->flags & OP_MEM)
		e = ld32(c, o, op_lin(c, o, 4, ACCESS_READ));
	else
		e = c->fpu.ymm[o->aux].lo.d[o->aux2 >> 6];
	v = *xmm_src(c, o);
	v.d[o->aux2 >> 4 & 3] = e;
	for (unsigned i = 0; i < 4; i++)
		if (o->aux2 >> i & 1)
			v.d[i] = 0;
	ymm_set128(ymm_dst(c, o), v.v);
	OP_NEXT(c, o);
}

/* --- all registers: eight of them outside 64-bit mode --- */

static inline unsigned registers(const struct cpu *c)
{
	return c->code_size == 64 ? 16 : 8;
}

HANDLER(zeroupper)
{
	avx_check(c, o);
	for (unsigned i = 0; i < registers(c); i++)
		c->fpu.ymm[i].hi.v = (vec128){ 0, 0 };
	OP_NEXT(c, o);
}

HANDLER(zeroall)
{
	avx_check(c, o);
	for (unsigned i = 0; i < registers(c); i++)
		ymm_set128(&c->fpu.ymm[i], (vec128){ 0, 0 });
	OP_NEXT(c, o);
}

HANDLER(ldmxcsr)
{
	avx_check(c, o);
	mxcsr_load(c, o);
	OP_NEXT(c, o);
}

HANDLER(stmxcsr)
{
	avx_check(c, o);
	st32(c, o, op_lin(c, o, 4, ACCESS_WRITE), c->fpu.mxcsr);
	OP_NEXT(c, o);
}

#define MOVE(name, shape, n, f128, f256) { ZYDIS_MNEMONIC_##name, shape, n, { f128, f256 } }
#define MOVES(name, kind)                                                                                              \
	MOVE(name, SHAPE(X, X), 2, mov128_xx, mov256_xx), MOVE(name, SHAPE(X, M), 2, kind##128_xm, kind##256_xm),        \
	MOVE(name, SHAPE(M, X), 2, kind##128_mx, kind##256_mx)

const struct vex_move vex_moves[] = {
	MOVES(VMOVAPS, mova), MOVES(VMOVAPD, mova), MOVES(VMOVDQA, mova),
	MOVES(VMOVUPS, movu), MOVES(VMOVUPD, movu), MOVES(VMOVDQU, movu),
	MOVE(VLDDQU, SHAPE(X, M), 2, movu128_xm, movu256_xm),
	MOVE(VMOVNTDQA, SHAPE(X, M), 2, mova128_xm, mova256_xm),
	MOVE(VMOVNTPS, SHAPE(M, X), 2, mova128_mx, mova256_mx),
	MOVE(VMOVNTPD, SHAPE(M, X), 2, mova128_mx, mova256_mx),
	MOVE(VMOVNTDQ, SHAPE(M, X), 2, mova128_mx, mova256_mx),
	MOVE(VMOVSS, SHAPE(X, X), 3, movss_xxx, movss_xxx),
	MOVE(VMOVSS, SHAPE(X, M), 2, mov32_xm, mov32_xm),
	MOVE(VMOVSS, SHAPE(M, X), 2, mov32_mx, mov32_mx),
	MOVE(VMOVSD, SHAPE(X, X), 3, movsd_xxx, movsd_xxx),
	MOVE(VMOVSD, SHAPE(X, M), 2, mov64_xm, mov64_xm),
	MOVE(VMOVSD, SHAPE(M, X), 2, mov64_mx, mov64_mx),
	MOVE(VMOVLPS, SHAPE(X, X), 3, movlow_xxm, NULL),
	MOVE(VMOVLPD, SHAPE(X, X), 3, movlow_xxm, NULL),
	MOVE(VMOVLPS, SHAPE(M, X), 2, mov64_mx, NULL),
	MOVE(VMOVLPD, SHAPE(M, X), 2, mov64_mx, NULL),
	MOVE(VMOVHPS, SHAPE(X, X), 3, movhigh_xxm, NULL),
	MOVE(VMOVHPD, SHAPE(X, X), 3, movhigh_xxm, NULL),
	MOVE(VMOVHPS, SHAPE(M, X), 2, movhigh_mx, NULL),
	MOVE(VMOVHPD, SHAPE(M, X), 2, movhigh_mx, NULL),
	MOVE(VMOVHLPS, SHAPE(X, X), 3, movhlps_xxx, NULL),
	MOVE(VMOVLHPS, SHAPE(X, X), 3, movlhps_xxx, NULL),
	MOVE(VMOVD, SHAPE(X, G), 2, movd_xg, NULL),
	MOVE(VMOVD, SHAPE(X, M), 2, mov32_xm, NULL),
	MOVE(VMOVD, SHAPE(G, X), 2, movd_gx, NULL),
	MOVE(VMOVD, SHAPE(M, X), 2, mov32_mx, NULL),
	MOVE(VMOVQ, SHAPE(X, X), 2, movq_xx, NULL),
	MOVE(VMOVQ, SHAPE(X, M), 2, mov64_xm, NULL),
	MOVE(VMOVQ, SHAPE(M, X), 2, mov64_mx, NULL),
	MOVE(VMOVQ, SHAPE(X, G), 2, movq_xg, NULL),
	MOVE(VMOVQ, SHAPE(G, X), 2, movq_gx, NULL),
	MOVE(VINSERTPS, SHAPE(X, X), 4, insertps, NULL),
	MOVE(VZEROUPPER, SHAPE0, 0, zeroupper, NULL),
	MOVE(VZEROALL, SHAPE0, 0, NULL, zeroall),
	MOVE(VLDMXCSR, SHAPE1(M), 1, ldmxcsr, NULL),
	MOVE(VSTMXCSR, SHAPE1(M), 1, stmxcsr, NULL),
	MOVE(INVALID, 0, 0, NULL, NULL)
};
