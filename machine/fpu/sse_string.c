/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SSE4.2: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM, and CRC32. */
#include "machine/fpu/access.h"
#include "machine/fpu/rows.h"
#include "machine/fpu/vex.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* What a comparison yields: the index in ECX or the mask in XMM0, and the flags. */
struct string_result {
	vec128 mask;
	u32 index;
	u32 ax; /* AH: SF, ZF, AF, PF, CF as LAHF; AL: OF */
};

static u32 status_of(u32 ax)
{
	return (ax >> 8 & (EFLAGS_SF | EFLAGS_ZF | EFLAGS_AF | EFLAGS_PF | EFLAGS_CF)) | (ax & 1 ? EFLAGS_OF : 0);
}

/*
 * The immediate is part of the instruction: one host instruction for each of its 128 values. Bit 7 is reserved and
 * has no effect.
 */
#define CASE(i) case i: STRING_ASM(i); break;
#define CASES_4(i)   CASE(i) CASE(i + 1) CASE(i + 2) CASE(i + 3)
#define CASES_16(i)  CASES_4(i) CASES_4(i + 4) CASES_4(i + 8) CASES_4(i + 12)
#define CASES_64(i)  CASES_16(i) CASES_16(i + 16) CASES_16(i + 32) CASES_16(i + 48)
#define CASES        CASES_64(0) CASES_64(64)
#define FLAGS_TO_AX "\n\tlahf\n\tseto %%al"

/* Lengths are in EAX and EDX, which the flags then overwrite. */
static struct string_result explicit_index(vec128 d, vec128 s, u32 ld, u32 ls, unsigned imm)
{
	struct string_result r = { 0 };

#define STRING_ASM(i)                                                                                                  \
	asm("pcmpestri %4, %3, %2" FLAGS_TO_AX : "=c"(r.index), "+a"(ld) : "x"(d), "x"(s), "i"(i), "d"(ls) : "cc")
	switch (imm & 127) { CASES }
#undef STRING_ASM
	r.ax = ld;
	return r;
}

static struct string_result explicit_mask(vec128 d, vec128 s, u32 ld, u32 ls, unsigned imm)
{
	struct string_result r = { 0 };

#define STRING_ASM(i)                                                                                                  \
	asm("pcmpestrm %4, %3, %2" FLAGS_TO_AX : "=Yz"(r.mask), "+a"(ld) : "x"(d), "x"(s), "i"(i), "d"(ls) : "cc")
	switch (imm & 127) { CASES }
#undef STRING_ASM
	r.ax = ld;
	return r;
}

static struct string_result implicit_index(vec128 d, vec128 s, unsigned imm)
{
	struct string_result r = { 0 };

#define STRING_ASM(i)                                                                                                  \
	asm("pcmpistri %4, %3, %2" FLAGS_TO_AX : "=c"(r.index), "=a"(r.ax) : "x"(d), "x"(s), "i"(i) : "cc")
	switch (imm & 127) { CASES }
#undef STRING_ASM
	return r;
}

static struct string_result implicit_mask(vec128 d, vec128 s, unsigned imm)
{
	struct string_result r = { 0 };

#define STRING_ASM(i)                                                                                                  \
	asm("pcmpistrm %4, %3, %2" FLAGS_TO_AX : "=Yz"(r.mask), "=a"(r.ax) : "x"(d), "x"(s), "i"(i) : "cc")
	switch (imm & 127) { CASES }
#undef STRING_ASM
	return r;
}

/* The absolute value of the length, at most 16: what exceeds the vector counts as the vector. */
static u32 string_length(u64 reg, unsigned size)
{
	s64 n = size == 8 ? (s64)reg : (s32)reg;

	return n > 16 || n < -16 ? 16 : (u32)(n < 0 ? -n : n);
}

static void pcmpestri(struct cpu *c, const struct op *o, vec128 s)
{
	struct string_result r = explicit_index(xmm_dst(c, o)->v, s, string_length(c->gpr[RAX], o->aux2),
						string_length(c->gpr[RDX], o->aux2), o->aux);

	gpr_set32(c, RCX, r.index);
	cpu_set_status(c, status_of(r.ax));
}

static void pcmpestrm(struct cpu *c, const struct op *o, vec128 s)
{
	struct string_result r = explicit_mask(xmm_dst(c, o)->v, s, string_length(c->gpr[RAX], o->aux2),
					       string_length(c->gpr[RDX], o->aux2), o->aux);

	c->fpu.ymm[0].lo.v = r.mask;
	cpu_set_status(c, status_of(r.ax));
}

static void pcmpistri(struct cpu *c, const struct op *o, vec128 s)
{
	struct string_result r = implicit_index(xmm_dst(c, o)->v, s, o->aux);

	gpr_set32(c, RCX, r.index);
	cpu_set_status(c, status_of(r.ax));
}

static void pcmpistrm(struct cpu *c, const struct op *o, vec128 s)
{
	struct string_result r = implicit_mask(xmm_dst(c, o)->v, s, o->aux);

	c->fpu.ymm[0].lo.v = r.mask;
	cpu_set_status(c, status_of(r.ax));
}

/* The VEX forms of those that yield a mask clear the upper half of its register. */
static void vpcmpestrm(struct cpu *c, const struct op *o, vec128 s)
{
	pcmpestrm(c, o, s);
	c->fpu.ymm[0].hi.v = (vec128){ 0, 0 };
}

static void vpcmpistrm(struct cpu *c, const struct op *o, vec128 s)
{
	pcmpistrm(c, o, s);
	c->fpu.ymm[0].hi.v = (vec128){ 0, 0 };
}

/* Their memory operand need not be aligned. */
#define DEFINE(name, check, work)                                                                                      \
	HANDLER(name##_xx)                                                                                             \
	{                                                                                                              \
		check(c, o);                                                                                           \
		work(c, o, xmm_src(c, o)->v);                                                                          \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##_xm)                                                                                             \
	{                                                                                                              \
		check(c, o);                                                                                           \
		work(c, o, sse_ldu128(c, o));                                                                          \
		OP_NEXT(c, o);                                                                                         \
	}
DEFINE(pcmpestri, sse_check, pcmpestri)
DEFINE(pcmpestrm, sse_check, pcmpestrm)
DEFINE(pcmpistri, sse_check, pcmpistri)
DEFINE(pcmpistrm, sse_check, pcmpistrm)
DEFINE(vpcmpestri, avx_check, pcmpestri)
DEFINE(vpcmpestrm, avx_check, vpcmpestrm)
DEFINE(vpcmpistri, avx_check, pcmpistri)
DEFINE(vpcmpistrm, avx_check, vpcmpistrm)

/* CRC32 works on general registers: none of this room's checks apply. */
static u64 crc32_step(u64 crc, u64 v, unsigned size)
{
	u32 r = (u32)crc;

	switch (size) {
	case 1: asm("crc32b %b1, %0" : "+r"(r) : "q"(v)); break;
	case 2: asm("crc32w %w1, %0" : "+r"(r) : "r"(v)); break;
	case 4: asm("crc32l %k1, %0" : "+r"(r) : "r"(v)); break;
	default:
		crc = r;
		asm("crc32q %1, %0" : "+r"(crc) : "r"(v));
		return crc;
	}
	return r;
}

HANDLER(crc32_gg)
{
	u64 v = c->gpr[o->src];

	if (o->flags & OP_HIGH8_SRC)
		v = c->gpr[o->src & 3] >> 8;
	c->gpr[o->dst] = crc32_step(c->gpr[o->dst], v, o->aux2);
	OP_NEXT(c, o);
}

HANDLER(crc32_gm)
{
	u64 lin = op_lin(c, o, o->aux2, ACCESS_READ), v;

	switch (o->aux2) {
	case 1:  v = ld8(c, o, lin); break;
	case 2:  v = ld16(c, o, lin); break;
	case 4:  v = ld32(c, o, lin); break;
	default: v = ld64(c, o, lin); break;
	}
	c->gpr[o->dst] = crc32_step(c->gpr[o->dst], v, o->aux2);
	OP_NEXT(c, o);
}

#define ROWS(NAME, name) ROW(NAME, SHAPE(X, X), name##_xx), ROW(NAME, SHAPE(X, M), name##_xm)

const struct fpu_row fpu_rows_string[] = {
	ROWS(PCMPESTRI, pcmpestri),
	ROWS(PCMPESTRM, pcmpestrm),
	ROWS(PCMPISTRI, pcmpistri),
	ROWS(PCMPISTRM, pcmpistrm),
	ROWS(VPCMPESTRI, vpcmpestri),
	ROWS(VPCMPESTRM, vpcmpestrm),
	ROWS(VPCMPISTRI, vpcmpistri),
	ROWS(VPCMPISTRM, vpcmpistrm),
	ROW(CRC32, SHAPE(G, G), crc32_gg),
	ROW(CRC32, SHAPE(G, M), crc32_gm),
	ROW_END
};
