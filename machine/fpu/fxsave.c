/* SPDX-License-Identifier: GPL-2.0-or-later */
/* FXSAVE, FXRSTOR, LDMXCSR, STMXCSR. */
#include "machine/fpu/fxsave.h"

#include "machine/fpu/rows.h"
#include "machine/fpu/x87.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* From byte 416 on nothing is written. */
#define FX_SIZE 512
#define FX_WRITTEN_64 (FX_XMM + 16 * 16)
#define FX_WRITTEN_32 (FX_XMM + 8 * 16)

struct fx_head {
	u16 fcw, fsw;
	u8 ftw, reserved;
	u16 fop;
	u64 fip, fdp;
};
_Static_assert(sizeof(struct fx_head) == FX_MXCSR, "the manual's layout");

/* The instruction pointer register has 48 bits. */
static u64 canonical(u64 v)
{
	return (u64)((s64)(v << 16) >> 16);
}

void fx_put_x87(const struct cpu *c, u8 *buf, bool wide)
{
	const struct fpu_state *f = &c->fpu;
	struct fx_head h = {
		.fcw = f->fcw, .fsw = f->fsw, .ftw = f->ftw, .fop = f->fop,
		.fip = wide ? f->fip : (u32)f->fip | (u64)f->fcs << 32,
		.fdp = wide ? f->fdp : (u32)f->fdp | (u64)f->fds << 32,
	};

	memcpy(buf, &h, sizeof(h));
	for (unsigned i = 0; i < 8; i++) {
		memset(buf + FX_ST + 16 * i, 0, 16);
		x87_put(buf + FX_ST + 16 * i, &f->st[(x87_top(c) + i) & 7]);
	}
}

void fx_get_x87(struct cpu *c, const u8 *buf, bool wide)
{
	struct fx_head h;

	memcpy(&h, buf, sizeof(h));
	c->fpu.fop = h.fop & X87_FOP_MASK;
	c->fpu.fip = wide ? canonical(h.fip) : (u32)h.fip;
	c->fpu.fdp = wide ? h.fdp : (u32)h.fdp;
	x87_set_env(c, h.fcw, h.fsw, h.ftw);
	for (unsigned i = 0; i < 8; i++)
		x87_get(buf + FX_ST + 16 * i, x87_st(c, i));
}

void fx_init_x87(struct cpu *c)
{
	struct fpu_state *f = &c->fpu;

	f->fcw = FCW_INIT;
	f->fsw = f->fop = f->fcs = f->fds = 0;
	f->ftw = 0;
	f->fip = f->fdp = 0;
	memset(f->st, 0, sizeof(f->st));
}

void fx_put_mxcsr(const struct cpu *c, u8 *buf)
{
	const u32 v[2] = { c->fpu.mxcsr, MXCSR_VALID };

	memcpy(buf + FX_MXCSR, v, sizeof(v));
}

void fx_put_xmm(const struct cpu *c, u8 *buf)
{
	for (unsigned i = 0; i < fx_xmms(c); i++)
		memcpy(buf + FX_XMM + 16 * i, &c->fpu.ymm[i].lo, 16);
}

void fx_get_xmm(struct cpu *c, const u8 *buf)
{
	for (unsigned i = 0; i < fx_xmms(c); i++)
		memcpy(&c->fpu.ymm[i].lo, buf + FX_XMM + 16 * i, 16);
}

static u64 fx_lin(struct cpu *c, const struct op *o, enum mmu_access a)
{
	u64 lin = op_lin(c, o, FX_SIZE, a);

	if (lin & 15)
		cpu_raise_err(c, o, VEC_GP, 0);
	return lin;
}

static void fxsave(struct cpu *c, const struct op *o, bool wide)
{
	u64 lin = fx_lin(c, o, ACCESS_WRITE);
	u8 buf[FX_WRITTEN_64];

	fx_put_x87(c, buf, wide);
	fx_put_mxcsr(c, buf);
	fx_put_xmm(c, buf);
	st_buf(c, o, lin, buf, fx_xmms(c) == 16 ? FX_WRITTEN_64 : FX_WRITTEN_32);
}

static void fxrstor(struct cpu *c, const struct op *o, bool wide)
{
	u8 buf[FX_WRITTEN_64];
	u32 mxcsr;

	ld_buf(c, o, fx_lin(c, o, ACCESS_READ), buf, fx_xmms(c) == 16 ? FX_WRITTEN_64 : FX_WRITTEN_32);
	memcpy(&mxcsr, buf + FX_MXCSR, sizeof(mxcsr));
	if (mxcsr & ~MXCSR_VALID)
		cpu_raise_err(c, o, VEC_GP, 0);
	c->fpu.mxcsr = mxcsr;
	fx_get_x87(c, buf, wide);
	fx_get_xmm(c, buf);
}

HANDLER(fxsave32)
{
	x87_check_nowait(c, o);
	fxsave(c, o, false);
	OP_NEXT(c, o);
}

HANDLER(fxsave64)
{
	x87_check_nowait(c, o);
	fxsave(c, o, true);
	OP_NEXT(c, o);
}

HANDLER(fxrstor32)
{
	x87_check_nowait(c, o);
	fxrstor(c, o, false);
	OP_NEXT(c, o);
}

HANDLER(fxrstor64)
{
	x87_check_nowait(c, o);
	fxrstor(c, o, true);
	OP_NEXT(c, o);
}

HANDLER(ldmxcsr)
{
	sse_check(c, o);
	mxcsr_load(c, o);
	OP_NEXT(c, o);
}

HANDLER(stmxcsr)
{
	sse_check(c, o);
	st32(c, o, op_lin(c, o, 4, ACCESS_WRITE), c->fpu.mxcsr);
	OP_NEXT(c, o);
}

const struct fpu_row fpu_rows_state[] = {
	ROW(FXSAVE, SHAPE1(M), fxsave32),
	ROW(FXSAVE64, SHAPE1(M), fxsave64),
	ROW(FXRSTOR, SHAPE1(M), fxrstor32),
	ROW(FXRSTOR64, SHAPE1(M), fxrstor64),
	ROW(LDMXCSR, SHAPE1(M), ldmxcsr),
	ROW(STMXCSR, SHAPE1(M), stmxcsr),
	ROW_END
};
