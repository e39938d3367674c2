/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moves: between registers, memory and general registers, whole or in part, with masks and non-temporal hints
 * (which have no effect).
 */
#include "machine/fpu/access.h"
#include "machine/fpu/rows.h"
#include "machine/fpu/vex.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* Whole registers. */
HANDLER(mov128_xx)
{
	sse_check(c, o);
	xmm_dst(c, o)->v = xmm_src(c, o)->v;
	OP_NEXT(c, o);
}

HANDLER(mova_xm)
{
	sse_check(c, o);
	xmm_dst(c, o)->v = sse_ld128(c, o);
	OP_NEXT(c, o);
}

HANDLER(movu_xm)
{
	sse_check(c, o);
	xmm_dst(c, o)->v = sse_ldu128(c, o);
	OP_NEXT(c, o);
}

HANDLER(mova_mx)
{
	sse_check(c, o);
	sse_st128(c, o, xmm_src(c, o));
	OP_NEXT(c, o);
}

HANDLER(movu_mx)
{
	sse_check(c, o);
	sse_stu128(c, o, xmm_src(c, o));
	OP_NEXT(c, o);
}

/* Scalars: loads clear the rest of the register, moves between registers keep it. */
HANDLER(movss_xx)
{
	sse_check(c, o);
	xmm_dst(c, o)->d[0] = xmm_src(c, o)->d[0];
	OP_NEXT(c, o);
}

HANDLER(movsd_xx)
{
	sse_check(c, o);
	xmm_dst(c, o)->q[0] = xmm_src(c, o)->q[0];
	OP_NEXT(c, o);
}

HANDLER(mov32_xm)
{
	sse_check(c, o);
	xmm_dst(c, o)->v = sse_ld32(c, o);
	OP_NEXT(c, o);
}

HANDLER(mov64_xm)
{
	sse_check(c, o);
	xmm_dst(c, o)->v = sse_ld64(c, o);
	OP_NEXT(c, o);
}

HANDLER(mov32_mx)
{
	sse_check(c, o);
	st32(c, o, op_lin(c, o, 4, ACCESS_WRITE), xmm_src(c, o)->d[0]);
	OP_NEXT(c, o);
}

HANDLER(mov64_mx)
{
	sse_check(c, o);
	st64(c, o, op_lin(c, o, 8, ACCESS_WRITE), xmm_src(c, o)->q[0]);
	OP_NEXT(c, o);
}

HANDLER(movq_xx)
{
	sse_check(c, o);
	xmm_dst(c, o)->v = (vec128){ xmm_src(c, o)->q[0], 0 };
	OP_NEXT(c, o);
}

/* Halves. */
HANDLER(movlow_xm)
{
	sse_check(c, o);
	xmm_dst(c, o)->q[0] = ld64(c, o, op_lin(c, o, 8, ACCESS_READ));
	OP_NEXT(c, o);
}

HANDLER(movhigh_xm)
{
	sse_check(c, o);
	xmm_dst(c, o)->q[1] = ld64(c, o, op_lin(c, o, 8, ACCESS_READ));
	OP_NEXT(c, o);
}

HANDLER(movhigh_mx)
{
	sse_check(c, o);
	st64(c, o, op_lin(c, o, 8, ACCESS_WRITE), xmm_src(c, o)->q[1]);
	OP_NEXT(c, o);
}

HANDLER(movhlps_xx)
{
	sse_check(c, o);
	xmm_dst(c, o)->q[0] = xmm_src(c, o)->q[1];
	OP_NEXT(c, o);
}

HANDLER(movlhps_xx)
{
	sse_check(c, o);
	xmm_dst(c, o)->q[1] = xmm_src(c, o)->q[0];
	OP_NEXT(c, o);
}

/* General registers and XMM. */
HANDLER(movd_xg)
{
	sse_check(c, o);
	xmm_dst(c, o)->v = (vec128){ (u32)c->gpr[o->src], 0 };
	OP_NEXT(c, o);
}

HANDLER(movq_xg)
{
	sse_check(c, o);
	xmm_dst(c, o)->v = (vec128){ c->gpr[o->src], 0 };
	OP_NEXT(c, o);
}

HANDLER(movd_gx)
{
	sse_check(c, o);
	gpr_set32(c, o->dst, xmm_src(c, o)->d[0]);
	OP_NEXT(c, o);
}

HANDLER(movq_gx)
{
	sse_check(c, o);
	c->gpr[o->dst] = xmm_src(c, o)->q[0];
	OP_NEXT(c, o);
}

/* MMX. */
HANDLER(movq_yy)
{
	mmx_check(c, o);
	mmx_enter(c);
	mmx_set(c, o->dst, mmx_get(c, o->src));
	OP_NEXT(c, o);
}

HANDLER(movq_ym)
{
	u64 v;

	mmx_check(c, o);
	v = mmx_ld(c, o);
	mmx_enter(c);
	mmx_set(c, o->dst, v);
	OP_NEXT(c, o);
}

HANDLER(movd_ym)
{
	u32 v;

	mmx_check(c, o);
	v = ld32(c, o, op_lin(c, o, 4, ACCESS_READ));
	mmx_enter(c);
	mmx_set(c, o->dst, v);
	OP_NEXT(c, o);
}

HANDLER(movq_my)
{
	mmx_check(c, o);
	st64(c, o, op_lin(c, o, 8, ACCESS_WRITE), mmx_get(c, o->src));
	mmx_enter(c);
	OP_NEXT(c, o);
}

HANDLER(movd_my)
{
	mmx_check(c, o);
	st32(c, o, op_lin(c, o, 4, ACCESS_WRITE), (u32)mmx_get(c, o->src));
	mmx_enter(c);
	OP_NEXT(c, o);
}

HANDLER(movd_yg)
{
	mmx_check(c, o);
	mmx_enter(c);
	mmx_set(c, o->dst, (u32)c->gpr[o->src]);
	OP_NEXT(c, o);
}

HANDLER(movq_yg)
{
	mmx_check(c, o);
	mmx_enter(c);
	mmx_set(c, o->dst, c->gpr[o->src]);
	OP_NEXT(c, o);
}

HANDLER(movd_gy)
{
	mmx_check(c, o);
	mmx_enter(c);
	gpr_set32(c, o->dst, (u32)mmx_get(c, o->src));
	OP_NEXT(c, o);
}

HANDLER(movq_gy)
{
	mmx_check(c, o);
	mmx_enter(c);
	c->gpr[o->dst] = mmx_get(c, o->src);
	OP_NEXT(c, o);
}

HANDLER(movq2dq)
{
	sse_check(c, o);
	mmx_check(c, o);
	mmx_enter(c);
	xmm_dst(c, o)->v = (vec128){ mmx_get(c, o->src), 0 };
	OP_NEXT(c, o);
}

HANDLER(movdq2q)
{
	sse_check(c, o);
	mmx_check(c, o);
	mmx_enter(c);
	mmx_set(c, o->dst, xmm_src(c, o)->q[0]);
	OP_NEXT(c, o);
}

/* MOVNTI moves a general register: none of this room's checks apply. */
HANDLER(movnti32)
{
	st32(c, o, op_lin(c, o, 4, ACCESS_WRITE), (u32)c->gpr[o->src]);
	OP_NEXT(c, o);
}

HANDLER(movnti64)
{
	st64(c, o, op_lin(c, o, 8, ACCESS_WRITE), c->gpr[o->src]);
	OP_NEXT(c, o);
}

/* Sign bits to a general register. */
static inline u32 movmsk(u64 lo, u64 hi, unsigned bits)
{
	u32 r = 0, n = 64 / bits;

	for (unsigned i = 0; i < n; i++) {
		r |= (u32)(lo >> (bits * i + bits - 1) & 1) << i;
		r |= (u32)(hi >> (bits * i + bits - 1) & 1) << (i + n);
	}
	return r;
}

HANDLER(movmskps)
{
	sse_check(c, o);
	gpr_set32(c, o->dst, movmsk(xmm_src(c, o)->q[0], xmm_src(c, o)->q[1], 32));
	OP_NEXT(c, o);
}

HANDLER(movmskpd)
{
	sse_check(c, o);
	gpr_set32(c, o->dst, movmsk(xmm_src(c, o)->q[0], xmm_src(c, o)->q[1], 64));
	OP_NEXT(c, o);
}

HANDLER(pmovmskb_gx)
{
	u32 r;

	sse_check(c, o);
	asm("pmovmskb %1, %0" : "=r"(r) : "x"(xmm_src(c, o)->v));
	gpr_set32(c, o->dst, r);
	OP_NEXT(c, o);
}

HANDLER(pmovmskb_gy)
{
	mmx_check(c, o);
	mmx_enter(c);
	gpr_set32(c, o->dst, movmsk(mmx_get(c, o->src), 0, 8));
	OP_NEXT(c, o);
}

/*
 * MASKMOVQ, MASKMOVDQU: bytes of src whose mask has the sign bit go to [rDI]. Bytes that are not selected are not
 * touched, and all that are can be written before the first one is.
 */
static void store_masked(struct cpu *c, const struct op *o, const u8 *src, const u8 *mask, unsigned n)
{
	u64 lin;
	int first = -1, last = -1;

	for (unsigned i = 0; i < n; i++) {
		if (!(mask[i] & 0x80))
			continue;
		if (first < 0)
			first = (int)i;
		last = (int)i;
	}
	if (first < 0)
		return;
	lin = op_lin(c, o, n, ACCESS_WRITE);
	mmu_probe(c, o, lin + (unsigned)first, 1, ACCESS_WRITE);
	mmu_probe(c, o, lin + (unsigned)last, 1, ACCESS_WRITE);
	for (int i = first; i <= last; i++)
		if (mask[i] & 0x80)
			st8(c, o, lin + (unsigned)i, src[i]);
}

HANDLER(maskmovdqu)
{
	sse_check(c, o);
	store_masked(c, o, xmm_dst(c, o)->b, xmm_src(c, o)->b, 16);
	OP_NEXT(c, o);
}

HANDLER(vmaskmovdqu)
{
	avx_check(c, o);
	store_masked(c, o, xmm_dst(c, o)->b, xmm_src(c, o)->b, 16);
	OP_NEXT(c, o);
}

HANDLER(maskmovq)
{
	mmx_check(c, o);
	store_masked(c, o, (const u8 *)&c->fpu.st[o->dst & 7].mant, (const u8 *)&c->fpu.st[o->src & 7].mant, 8);
	mmx_enter(c);
	OP_NEXT(c, o);
}

/* SDM 2 "EMMS": waits like any other MMX instruction, and empties the register file. */
HANDLER(emms)
{
	mmx_check(c, o);
	c->fpu.fsw &= ~FSW_TOP;
	c->fpu.ftw = 0;
	OP_NEXT(c, o);
}

#define ROWS_WHOLE(name, load, store)                                                                                  \
	ROW(name, SHAPE(X, X), mov128_xx), ROW(name, SHAPE(X, M), load), ROW(name, SHAPE(M, X), store)

const struct fpu_row fpu_rows_move[] = {
	ROWS_WHOLE(MOVAPS, mova_xm, mova_mx),
	ROWS_WHOLE(MOVAPD, mova_xm, mova_mx),
	ROWS_WHOLE(MOVDQA, mova_xm, mova_mx),
	ROWS_WHOLE(MOVUPS, movu_xm, movu_mx),
	ROWS_WHOLE(MOVUPD, movu_xm, movu_mx),
	ROWS_WHOLE(MOVDQU, movu_xm, movu_mx),
	ROW(LDDQU, SHAPE(X, M), movu_xm),
	ROW(MOVNTDQA, SHAPE(X, M), mova_xm),
	ROW(MOVNTPS, SHAPE(M, X), mova_mx),
	ROW(MOVNTPD, SHAPE(M, X), mova_mx),
	ROW(MOVNTDQ, SHAPE(M, X), mova_mx),
	ROW(MOVNTQ, SHAPE(M, Y), movq_my),
	ROW_SIZED(MOVNTI, SHAPE(M, G), 4, movnti32),
	ROW_SIZED(MOVNTI, SHAPE(M, G), 8, movnti64),
	ROW(MOVSS, SHAPE(X, X), movss_xx),
	ROW(MOVSS, SHAPE(X, M), mov32_xm),
	ROW(MOVSS, SHAPE(M, X), mov32_mx),
	ROW(MOVSD, SHAPE(X, X), movsd_xx),
	ROW(MOVSD, SHAPE(X, M), mov64_xm),
	ROW(MOVSD, SHAPE(M, X), mov64_mx),
	ROW(MOVLPS, SHAPE(X, M), movlow_xm),
	ROW(MOVLPS, SHAPE(M, X), mov64_mx),
	ROW(MOVLPD, SHAPE(X, M), movlow_xm),
	ROW(MOVLPD, SHAPE(M, X), mov64_mx),
	ROW(MOVHPS, SHAPE(X, M), movhigh_xm),
	ROW(MOVHPS, SHAPE(M, X), movhigh_mx),
	ROW(MOVHPD, SHAPE(X, M), movhigh_xm),
	ROW(MOVHPD, SHAPE(M, X), movhigh_mx),
	ROW(MOVHLPS, SHAPE(X, X), movhlps_xx),
	ROW(MOVLHPS, SHAPE(X, X), movlhps_xx),
	ROW(MOVQ, SHAPE(X, X), movq_xx),
	ROW(MOVQ, SHAPE(X, M), mov64_xm),
	ROW(MOVQ, SHAPE(M, X), mov64_mx),
	ROW(MOVQ, SHAPE(X, G), movq_xg),
	ROW(MOVQ, SHAPE(G, X), movq_gx),
	ROW(MOVQ, SHAPE(Y, Y), movq_yy),
	ROW(MOVQ, SHAPE(Y, M), movq_ym),
	ROW(MOVQ, SHAPE(M, Y), movq_my),
	ROW(MOVQ, SHAPE(Y, G), movq_yg),
	ROW(MOVQ, SHAPE(G, Y), movq_gy),
	ROW(MOVD, SHAPE(X, G), movd_xg),
	ROW(MOVD, SHAPE(X, M), mov32_xm),
	ROW(MOVD, SHAPE(G, X), movd_gx),
	ROW(MOVD, SHAPE(M, X), mov32_mx),
	ROW(MOVD, SHAPE(Y, G), movd_yg),
	ROW(MOVD, SHAPE(Y, M), movd_ym),
	ROW(MOVD, SHAPE(G, Y), movd_gy),
	ROW(MOVD, SHAPE(M, Y), movd_my),
	ROW(MOVQ2DQ, SHAPE(X, Y), movq2dq),
	ROW(MOVDQ2Q, SHAPE(Y, X), movdq2q),
	ROW(MOVMSKPS, SHAPE(G, X), movmskps),
	ROW(MOVMSKPD, SHAPE(G, X), movmskpd),
	ROW(PMOVMSKB, SHAPE(G, X), pmovmskb_gx),
	ROW(PMOVMSKB, SHAPE(G, Y), pmovmskb_gy),
	ROW(MASKMOVDQU, SHAPE(X, X), maskmovdqu),
	ROW(VMASKMOVDQU, SHAPE(X, X), vmaskmovdqu),
	ROW(MASKMOVQ, SHAPE(Y, Y), maskmovq),
	ROW(EMMS, SHAPE0, emms),
	ROW_END
};
