/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XSAVE, XSAVEC, XSAVEOPT, XSAVES, XRSTOR, XRSTORS: SDM 1 "Managing State Using the XSAVE Feature Set" (13.7 to 13.12).
 * The init optimization is exact: a component is in use unless it has the value that the manual calls initial. There is
 * no modified optimization, which would make what XSAVEOPT writes depend on the past.
 */
#include "machine/fpu/xsave.h"

#include "arch/exit_reasons.h"
#include "machine/cpu/sys/sys.h"
#include "machine/fpu/fxsave.h"
#include "machine/fpu/rows.h"
#include "machine/vmx/vmx.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)
#define XCOMP_COMPACTED BIT64(63)
#define FIRST_EXTENDED 2
#define COMPONENTS 10
#define AREA_MAX 1024

static const struct xsave_component component[COMPONENTS] = { [2] = { 576, 256 }, [9] = { 832, 8 } };

struct header {
	u64 bv, comp, reserved[6];
};
_Static_assert(sizeof(struct header) == XSAVE_HEADER, "the manual's layout");

enum form { STANDARD, OPTIMIZED, COMPACTED, SUPERVISOR };

const struct xsave_component *xsave_component(unsigned i)
{
	static const struct xsave_component none;

	return i < COMPONENTS ? &component[i] : &none;
}

unsigned xsave_size(u64 components)
{
	unsigned n = XSAVE_FIRST;

	for (unsigned i = FIRST_EXTENDED; i < COMPONENTS; i++)
		if ((components >> i & 1) && component[i].offset + component[i].size > n)
			n = component[i].offset + component[i].size;
	return n;
}

/* Where component i is in a compacted area with these components; none needs an alignment. */
static unsigned compacted_offset(u64 components, unsigned i)
{
	unsigned at = XSAVE_FIRST;

	for (unsigned k = FIRST_EXTENDED; k < i; k++)
		if (components >> k & 1)
			at += component[k].size;
	return at;
}

unsigned xsave_size_compacted(u64 components)
{
	return compacted_offset(components, COMPONENTS);
}

/* --- initial state --- */

static bool x87_in_use(const struct fpu_state *f)
{
	if (f->fcw != FCW_INIT || f->fsw || f->ftw || f->fop || f->fip || f->fdp || f->fcs || f->fds)
		return true;
	for (unsigned i = 0; i < 8; i++)
		if (f->st[i].mant || f->st[i].se)
			return true;
	return false;
}

static bool any_bit(vec128 v)
{
	return v[0] | v[1];
}

static u64 in_use(const struct cpu *c)
{
	vec128 lo = { 0, 0 }, hi = { 0, 0 };

	for (unsigned i = 0; i < 16; i++) {
		lo |= c->fpu.ymm[i].lo.v;
		hi |= c->fpu.ymm[i].hi.v;
	}
	return (x87_in_use(&c->fpu) ? XCR0_X87 : 0) | (any_bit(lo) ? XCR0_SSE : 0) | (any_bit(hi) ? XCR0_AVX : 0) |
	       (c->pkru ? XCR0_PKRU : 0);
}

/* Intel's CPUs count MXCSR here, other than in what XSAVE and XSAVEOPT do. */
u64 xsave_shown(const struct cpu *c)
{
	return in_use(c) | (c->fpu.mxcsr != MXCSR_DEFAULT ? XCR0_SSE : 0);
}

/* --- extended components, to and from their bytes --- */

static void put_extended(const struct cpu *c, unsigned i, u8 *p)
{
	if (i == 2) {
		for (unsigned k = 0; k < fx_xmms(c); k++)
			memcpy(p + 16 * k, &c->fpu.ymm[k].hi, 16);
	} else {
		u64 pkru = c->pkru; /* the component's upper four bytes are written as 0 */

		memcpy(p, &pkru, sizeof(pkru));
	}
}

/* p: NULL: the initial state. */
static void get_extended(struct cpu *c, unsigned i, const u8 *p)
{
	u32 v = 0;

	if (i == 2) {
		for (unsigned k = 0; k < fx_xmms(c); k++)
			c->fpu.ymm[k].hi.v = p ? *(const vec128_mem *)(p + 16 * k) : (vec128){ 0, 0 };
		return;
	}
	if (p)
		memcpy(&v, p, 4);
	sys_load_pkru(c, v);
}

static unsigned extended_written(const struct cpu *c, unsigned i)
{
	return i == 2 ? 16 * fx_xmms(c) : component[i].size;
}

/* --- what all begin with --- */

static u64 mask_operand(const struct cpu *c)
{
	return (u32)c->gpr[RAX] | c->gpr[RDX] << 32;
}

/* Checks; returns the linear address. */
static u64 begin(struct cpu *c, const struct op *o, enum mmu_access a, bool supervisor)
{
	u64 lin;

	cpu_sync(c, o);
	if (!(c->cr4 & CR4_OSXSAVE))
		cpu_raise(c, o, VEC_UD);
	if (supervisor) {
		if (c->cpl)
			cpu_raise_err(c, o, VEC_GP, 0);
		vmx_intercept_xsaves(c, o, a == ACCESS_WRITE ? EXIT_XSAVES : EXIT_XRSTORS, mask_operand(c));
	}
	if (c->cr0 & CR0_TS)
		cpu_raise(c, o, VEC_NM);
	lin = op_lin(c, o, XSAVE_FIRST, a);
	if (lin & 63)
		cpu_raise_err(c, o, VEC_GP, 0);
	return lin;
}

/* --- saving --- */

static void put(struct cpu *c, const struct op *o, u64 lin, const u8 *area, unsigned at, unsigned n)
{
	st_buf(c, o, lin + at, area + at, n);
}

static void save_legacy(struct cpu *c, const struct op *o, u64 lin, u64 what, bool mxcsr, bool wide)
{
	u8 buf[XSAVE_LEGACY];

	if (what & XCR0_X87) {
		fx_put_x87(c, buf, wide);
		put(c, o, lin, buf, 0, FX_MXCSR);
		put(c, o, lin, buf, FX_ST, FX_XMM - FX_ST);
	}
	if (mxcsr) {
		fx_put_mxcsr(c, buf);
		put(c, o, lin, buf, FX_MXCSR, 8);
	}
	if (what & XCR0_SSE) {
		fx_put_xmm(c, buf);
		put(c, o, lin, buf, FX_XMM, 16 * fx_xmms(c));
	}
}

static __attribute__((noinline)) void save(struct cpu *c, const struct op *o, enum form form, bool wide)
{
	u64 lin = begin(c, o, ACCESS_WRITE, form == SUPERVISOR);
	u64 rfbm = mask_operand(c) & (c->xcr0 | (form == SUPERVISOR ? c->xss : 0)), used = in_use(c), what;
	bool compacted = form >= COMPACTED;
	struct header h = { 0 };
	u8 buf[256];

	if (compacted && c->fpu.mxcsr != MXCSR_DEFAULT)
		used |= XCR0_SSE;
	what = form == STANDARD ? rfbm : rfbm & used;
	/* All or nothing: what a fault would leave is not the manual's matter, but that it restarts is. */
	mmu_probe(c, o, lin, compacted ? xsave_size_compacted(rfbm) : xsave_size(rfbm), ACCESS_WRITE);
	save_legacy(c, o, lin, what, compacted ? what & XCR0_SSE : rfbm & (XCR0_SSE | XCR0_AVX), wide);
	for (unsigned i = FIRST_EXTENDED; i < COMPONENTS; i++) {
		if (!(what >> i & 1))
			continue;
		put_extended(c, i, buf);
		st_buf(c, o, lin + (compacted ? compacted_offset(rfbm, i) : component[i].offset), buf,
		       extended_written(c, i));
	}
	if (compacted) {
		h.bv = rfbm & used;
		h.comp = rfbm | XCOMP_COMPACTED;
		st_buf(c, o, lin + XSAVE_LEGACY, &h, 16);
	} else {
		h.bv = (ld64(c, o, lin + XSAVE_LEGACY) & ~rfbm) | (rfbm & used);
		st64(c, o, lin + XSAVE_LEGACY, h.bv);
	}
}

/* --- restoring --- */

static bool all_zero(const u64 *v, unsigned n)
{
	u64 any = 0;

	for (unsigned i = 0; i < n; i++)
		any |= v[i];
	return !any;
}

/* SDM 1 13.8.1, 13.8.2 and 13.12: what of the header is #GP. */
static bool header_ok(const struct cpu *c, const struct header *h, bool supervisor)
{
	u64 enabled = c->xcr0 | (supervisor ? c->xss : 0);

	if (h->comp & XCOMP_COMPACTED)
		return !(h->comp & ~XCOMP_COMPACTED & ~enabled) && !(h->bv & ~h->comp) && all_zero(h->reserved, 6) &&
		       cpuid_has(c, FEAT_XSAVEC);
	return !supervisor && !(h->bv & ~enabled) && !h->comp && !h->reserved[0];
}

static void restore_mxcsr(struct cpu *c, const struct op *o, const u8 *area)
{
	u32 v;

	memcpy(&v, area + FX_MXCSR, 4);
	if (v & ~MXCSR_VALID)
		cpu_raise_err(c, o, VEC_GP, 0);
	c->fpu.mxcsr = v;
}

static __attribute__((noinline)) void restore(struct cpu *c, const struct op *o, bool supervisor, bool wide)
{
	u64 lin = begin(c, o, ACCESS_READ, supervisor), rfbm = mask_operand(c) & (c->xcr0 | (supervisor ? c->xss : 0));
	u8 area[AREA_MAX];
	struct header h;
	bool compacted;
	unsigned size;

	ld_buf(c, o, lin + XSAVE_LEGACY, &h, sizeof(h));
	if (!header_ok(c, &h, supervisor))
		cpu_raise_err(c, o, VEC_GP, 0);
	compacted = h.comp & XCOMP_COMPACTED;
	size = compacted ? xsave_size_compacted(h.comp) : xsave_size(h.bv & rfbm);
	ld_buf(c, o, lin, area, size);
	if (rfbm & (compacted ? XCR0_SSE & h.bv : XCR0_SSE | XCR0_AVX))
		restore_mxcsr(c, o, area);
	else if (rfbm & XCR0_SSE)
		c->fpu.mxcsr = MXCSR_DEFAULT;
	if (rfbm & h.bv & XCR0_X87)
		fx_get_x87(c, area, wide);
	else if (rfbm & XCR0_X87)
		fx_init_x87(c);
	if ((rfbm & XCR0_SSE) && !(h.bv & XCR0_SSE))
		memset(area + FX_XMM, 0, 256);
	if (rfbm & XCR0_SSE)
		fx_get_xmm(c, area);
	for (unsigned i = FIRST_EXTENDED; i < COMPONENTS; i++)
		if (rfbm >> i & 1)
			get_extended(c, i, !(h.bv >> i & 1) ? NULL :
				     area + (compacted ? compacted_offset(h.comp, i) : component[i].offset));
}

#define SAVE(name, form, wide)                                                                                         \
	HANDLER(name)                                                                                                  \
	{                                                                                                              \
		save(c, o, form, wide);                                                                                \
		OP_NEXT(c, o);                                                                                         \
	}
#define RESTORE(name, supervisor, wide)                                                                                \
	HANDLER(name)                                                                                                  \
	{                                                                                                              \
		restore(c, o, supervisor, wide);                                                                       \
		OP_NEXT(c, o);                                                                                         \
	}
SAVE(xsave, STANDARD, false)
SAVE(xsave64, STANDARD, true)
SAVE(xsaveopt, OPTIMIZED, false)
SAVE(xsaveopt64, OPTIMIZED, true)
SAVE(xsavec, COMPACTED, false)
SAVE(xsavec64, COMPACTED, true)
SAVE(xsaves, SUPERVISOR, false)
SAVE(xsaves64, SUPERVISOR, true)
RESTORE(xrstor, false, false)
RESTORE(xrstor64, false, true)
RESTORE(xrstors, true, false)
RESTORE(xrstors64, true, true)

const struct fpu_row fpu_rows_xsave[] = {
	ROW(XSAVE, SHAPE1(M), xsave), ROW(XSAVE64, SHAPE1(M), xsave64),
	ROW(XSAVEOPT, SHAPE1(M), xsaveopt), ROW(XSAVEOPT64, SHAPE1(M), xsaveopt64),
	ROW(XSAVEC, SHAPE1(M), xsavec), ROW(XSAVEC64, SHAPE1(M), xsavec64),
	ROW(XSAVES, SHAPE1(M), xsaves), ROW(XSAVES64, SHAPE1(M), xsaves64),
	ROW(XRSTOR, SHAPE1(M), xrstor), ROW(XRSTOR64, SHAPE1(M), xrstor64),
	ROW(XRSTORS, SHAPE1(M), xrstors), ROW(XRSTORS64, SHAPE1(M), xrstors64),
	ROW_END
};
