/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Integer vector operations whose immediate (op.aux) chooses what they do: shifts, shuffles, blends, inserts and
 * extracts.
 */
#include "machine/fpu/access.h"
#include "machine/fpu/host_mmx.h"
#include "machine/fpu/rows.h"

typedef unsigned __int128 u128;
typedef u16 vec_u16 __attribute__((vector_size(16), may_alias));
typedef u32 vec_u32 __attribute__((vector_size(16), may_alias));

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* Shifts of lanes by an immediate, which may exceed the lane: as the forms with the count in a register. */
#define SHIFT_OPS(_) _(PSLLW) _(PSLLD) _(PSLLQ) _(PSRLW) _(PSRLD) _(PSRLQ) _(PSRAW) _(PSRAD)
#define DEFINE_SHIFT(name)                                                                                             \
	HANDLER(name##_xi)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		asm(#name " %1, %0" : "+x"(xmm_dst(c, o)->v) : "x"((vec128){ o->aux, 0 }));                             \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_yi)                                                                                             \
	{                                                                                                              \
		mmx_check(c, o);                                                                                       \
		mmx_enter(c);                                                                                          \
		mmx_set(c, o->dst, MMX_BINARY(#name, mmx_get(c, o->dst), o->aux));                                      \
		OP_NEXT(c, o);                                                                                         \
	}
SHIFT_OPS(DEFINE_SHIFT)

static inline u128 to_u128(vec128 v)
{
	return (u128)v[1] << 64 | v[0];
}

static inline vec128 from_u128(u128 v)
{
	return (vec128){ (u64)v, (u64)(v >> 64) };
}

HANDLER(pslldq)
{
	union xmm *d = xmm_dst(c, o);

	sse_check(c, o);
	d->v = o->aux < 16 ? from_u128(to_u128(d->v) << (8 * o->aux)) : (vec128){ 0, 0 };
	OP_NEXT(c, o);
}

HANDLER(psrldq)
{
	union xmm *d = xmm_dst(c, o);

	sse_check(c, o);
	d->v = o->aux < 16 ? from_u128(to_u128(d->v) >> (8 * o->aux)) : (vec128){ 0, 0 };
	OP_NEXT(c, o);
}

/* Operations of two vectors and an immediate, in C. */
static inline vec128 do_palignr(const union xmm *d, vec128 s, unsigned imm)
{
	unsigned n = 8 * imm;

	if (imm == 0)
		return s;
	if (imm < 16)
		return from_u128(to_u128(s) >> n | to_u128(d->v) << (128 - n));
	return imm < 32 ? from_u128(to_u128(d->v) >> (n - 128)) : (vec128){ 0, 0 };
}

static inline u64 pick_d(const u32 *v, unsigned imm)
{
	return v[imm & 3] | (u64)v[imm >> 2 & 3] << 32;
}

static inline u64 pick_w(const u16 *v, unsigned imm)
{
	return v[imm & 3] | (u64)v[imm >> 2 & 3] << 16 | (u64)v[imm >> 4 & 3] << 32 | (u64)v[imm >> 6 & 3] << 48;
}

static inline vec128 do_pshufd(const union xmm *d, vec128 s, unsigned imm)
{
	union xmm t = { .v = s };

	return (vec128){ pick_d(t.d, imm), pick_d(t.d, imm >> 4) };
}

static inline vec128 do_pshuflw(const union xmm *d, vec128 s, unsigned imm)
{
	union xmm t = { .v = s };

	return (vec128){ pick_w(t.w, imm), s[1] };
}

static inline vec128 do_pshufhw(const union xmm *d, vec128 s, unsigned imm)
{
	union xmm t = { .v = s };

	return (vec128){ s[0], pick_w(t.w + 4, imm) };
}

static inline vec128 do_shufps(const union xmm *d, vec128 s, unsigned imm)
{
	union xmm t = { .v = s };

	return (vec128){ pick_d(d->d, imm), pick_d(t.d, imm >> 4) };
}

static inline vec128 do_shufpd(const union xmm *d, vec128 s, unsigned imm)
{
	return (vec128){ d->q[imm & 1], imm & 2 ? s[1] : s[0] };
}

static inline vec128 select_by(vec128 mask, vec128 s, vec128 d)
{
	return (s & mask) | (d & ~mask);
}

static inline vec128 do_pblendw(const union xmm *d, vec128 s, unsigned imm)
{
	const vec_u16 bit = { 1, 2, 4, 8, 16, 32, 64, 128 };
	vec_u16 all = (vec_u16){ 0 } + (u16)imm;

	return select_by((vec128)((all & bit) == bit), s, d->v);
}

static inline vec128 do_blendps(const union xmm *d, vec128 s, unsigned imm)
{
	const vec_u32 bit = { 1, 2, 4, 8 };
	vec_u32 all = (vec_u32){ 0 } + (u32)imm;

	return select_by((vec128)((all & bit) == bit), s, d->v);
}

static inline vec128 do_blendpd(const union xmm *d, vec128 s, unsigned imm)
{
	return (vec128){ imm & 1 ? s[0] : d->q[0], imm & 2 ? s[1] : d->q[1] };
}

static vec128 do_mpsadbw(const union xmm *d, vec128 s, unsigned imm)
{
	vec128 r = d->v;

#define CASE(i) case i: asm("mpsadbw $" #i ", %1, %0" : "+x"(r) : "x"(s)); break;
	switch (imm & 7) {
	CASE(0) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7)
	}
#undef CASE
	return r;
}

static vec128 do_pclmulqdq(const union xmm *d, vec128 s, unsigned imm)
{
	vec128 r = (vec128){ d->q[imm & 1], 0 };
	vec128 t = (vec128){ imm & 0x10 ? s[1] : s[0], 0 };

	asm("pclmulqdq $0, %1, %0" : "+x"(r) : "x"(t));
	return r;
}

/* SDM 2 "AESKEYGENASSIST": the round constant is exclusive-ored into doublewords 1 and 3. */
static vec128 do_aeskeygenassist(const union xmm *d, vec128 s, unsigned imm)
{
	vec128 r;

	asm("aeskeygenassist $0, %1, %0" : "=x"(r) : "x"(s));
	return r ^ (vec128){ (u64)imm << 32, (u64)imm << 32 };
}

static vec128 insert_single(const union xmm *d, u32 value, unsigned imm)
{
	union xmm r = *d;

	r.d[imm >> 4 & 3] = value;
	for (unsigned i = 0; i < 4; i++)
		if (imm & 1u << i)
			r.d[i] = 0;
	return r.v;
}

static inline vec128 do_insertps(const union xmm *d, vec128 s, unsigned imm)
{
	union xmm t = { .v = s };

	return insert_single(d, t.d[imm >> 6 & 3], imm);
}

HANDLER(insertps_xm)
{
	u32 v;

	sse_check(c, o);
	v = ld32(c, o, op_lin(c, o, 4, ACCESS_READ));
	xmm_dst(c, o)->v = insert_single(xmm_dst(c, o), v, o->aux);
	OP_NEXT(c, o);
}

#define DEFINE_XX(name)                                                                                                \
	HANDLER(name##_xx)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		xmm_dst(c, o)->v = do_##name(xmm_dst(c, o), xmm_src(c, o)->v, o->aux);                                  \
		OP_NEXT(c, o);                                                                                         \
	}
#define DEFINE_XM(name)                                                                                                \
	HANDLER(name##_xm)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		xmm_dst(c, o)->v = do_##name(xmm_dst(c, o), sse_ld128(c, o), o->aux);                                   \
		OP_NEXT(c, o);                                                                                         \
	}
#define DEFINE(name) DEFINE_XX(name) DEFINE_XM(name)
DEFINE(palignr)
DEFINE(pshufd)
DEFINE(pshuflw)
DEFINE(pshufhw)
DEFINE(shufps)
DEFINE(shufpd)
DEFINE(pblendw)
DEFINE(blendps)
DEFINE(blendpd)
DEFINE(mpsadbw)
DEFINE(pclmulqdq)
DEFINE(aeskeygenassist)
DEFINE_XX(insertps)

/* MMX. */
static inline u64 mmx_palignr(u64 d, u64 s, unsigned imm)
{
	return imm < 16 ? (u64)(((u128)d << 64 | s) >> (8 * imm)) : 0;
}

static inline u64 mmx_pshufw(u64 d, u64 s, unsigned imm)
{
	u64 r = 0;

	for (unsigned i = 0; i < 4; i++)
		r |= (s >> (16 * (imm >> 2 * i & 3)) & 0xffff) << (16 * i);
	return r;
}

#define DEFINE_MMX(name)                                                                                               \
	HANDLER(name##_yy)                                                                                             \
	{                                                                                                              \
		mmx_check(c, o);                                                                                       \
		mmx_enter(c);                                                                                          \
		mmx_set(c, o->dst, mmx_##name(mmx_get(c, o->dst), mmx_get(c, o->src), o->aux));                         \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_ym)                                                                                             \
	{                                                                                                              \
		u64 s;                                                                                                 \
                                                                                                                       \
		mmx_check(c, o);                                                                                       \
		s = mmx_ld(c, o);                                                                                      \
		mmx_enter(c);                                                                                          \
		mmx_set(c, o->dst, mmx_##name(mmx_get(c, o->dst), s, o->aux));                                          \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_MMX(palignr)
DEFINE_MMX(pshufw)

/* Extracts: to a general register (upper part cleared) or to memory. */
#define DEFINE_EXTRACT(name, bits, lane)                                                                               \
	HANDLER(name##_gx)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		c->gpr[o->dst] = xmm_src(c, o)->lane;                                                                   \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_mx)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		st##bits(c, o, op_lin(c, o, bits / 8, ACCESS_WRITE), xmm_src(c, o)->lane);                              \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_EXTRACT(pextrb, 8, b[o->aux & 15])
DEFINE_EXTRACT(pextrw, 16, w[o->aux & 7])
DEFINE_EXTRACT(pextrd, 32, d[o->aux & 3])
DEFINE_EXTRACT(pextrq, 64, q[o->aux & 1])

/* Inserts: from a general register's low part or from memory. */
#define DEFINE_INSERT(name, bits, lane)                                                                                \
	HANDLER(name##_xg)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		xmm_dst(c, o)->lane = (u##bits)c->gpr[o->src];                                                          \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_xm)                                                                                             \
	{                                                                                                              \
		sse_check(c, o);                                                                                       \
		xmm_dst(c, o)->lane = ld##bits(c, o, op_lin(c, o, bits / 8, ACCESS_READ));                              \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE_INSERT(pinsrb, 8, b[o->aux & 15])
DEFINE_INSERT(pinsrw, 16, w[o->aux & 7])
DEFINE_INSERT(pinsrd, 32, d[o->aux & 3])
DEFINE_INSERT(pinsrq, 64, q[o->aux & 1])

HANDLER(pextrw_gy)
{
	mmx_check(c, o);
	mmx_enter(c);
	gpr_set32(c, o->dst, (u16)(mmx_get(c, o->src) >> (16 * (o->aux & 3))));
	OP_NEXT(c, o);
}

static void mmx_insert_word(struct cpu *c, const struct op *o, u16 v)
{
	unsigned n = 16 * (o->aux & 3);

	mmx_enter(c);
	mmx_set(c, o->dst, (mmx_get(c, o->dst) & ~(0xffffull << n)) | (u64)v << n);
}

HANDLER(pinsrw_yg)
{
	mmx_check(c, o);
	mmx_insert_word(c, o, (u16)c->gpr[o->src]);
	OP_NEXT(c, o);
}

HANDLER(pinsrw_ym)
{
	mmx_check(c, o);
	mmx_insert_word(c, o, ld16(c, o, op_lin(c, o, 2, ACCESS_READ)));
	OP_NEXT(c, o);
}

#define ROWS_SHIFT(name) ROW(name, SHAPE(X, I), name##_xi), ROW(name, SHAPE(Y, I), name##_yi),
#define ROWS(NAME, name) ROW(NAME, SHAPE(X, X), name##_xx), ROW(NAME, SHAPE(X, M), name##_xm)
#define ROWS_MMX(NAME, name) ROW(NAME, SHAPE(Y, Y), name##_yy), ROW(NAME, SHAPE(Y, M), name##_ym)
#define ROWS_EXTRACT(NAME, name) ROW(NAME, SHAPE(G, X), name##_gx), ROW(NAME, SHAPE(M, X), name##_mx)
#define ROWS_INSERT(NAME, name) ROW(NAME, SHAPE(X, G), name##_xg), ROW(NAME, SHAPE(X, M), name##_xm)

const struct fpu_row fpu_rows_imm[] = {
	SHIFT_OPS(ROWS_SHIFT)
	ROW(PSLLDQ, SHAPE(X, I), pslldq),
	ROW(PSRLDQ, SHAPE(X, I), psrldq),
	ROWS(PALIGNR, palignr),
	ROWS(PSHUFD, pshufd),
	ROWS(PSHUFLW, pshuflw),
	ROWS(PSHUFHW, pshufhw),
	ROWS(SHUFPS, shufps),
	ROWS(SHUFPD, shufpd),
	ROWS(PBLENDW, pblendw),
	ROWS(BLENDPS, blendps),
	ROWS(BLENDPD, blendpd),
	ROWS(MPSADBW, mpsadbw),
	ROWS(PCLMULQDQ, pclmulqdq),
	ROWS(AESKEYGENASSIST, aeskeygenassist),
	ROWS(INSERTPS, insertps),
	ROWS_MMX(PALIGNR, palignr),
	ROWS_MMX(PSHUFW, pshufw),
	ROWS_EXTRACT(PEXTRB, pextrb),
	ROWS_EXTRACT(PEXTRW, pextrw),
	ROWS_EXTRACT(PEXTRD, pextrd),
	ROWS_EXTRACT(PEXTRQ, pextrq),
	ROWS_EXTRACT(EXTRACTPS, pextrd),
	ROWS_INSERT(PINSRB, pinsrb),
	ROWS_INSERT(PINSRW, pinsrw),
	ROWS_INSERT(PINSRD, pinsrd),
	ROWS_INSERT(PINSRQ, pinsrq),
	ROW(PEXTRW, SHAPE(G, Y), pextrw_gy),
	ROW(PINSRW, SHAPE(Y, G), pinsrw_yg),
	ROW(PINSRW, SHAPE(Y, M), pinsrw_ym),
	ROW_END
};
