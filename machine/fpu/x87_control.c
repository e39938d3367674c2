/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 control instructions: control and status words, the environment, saving and restoring. SDM 1 "x87 FPU
 * Control Instructions".
 */
#include "machine/fpu/rows.h"
#include "machine/fpu/x87.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

static void x87_init(struct cpu *c)
{
	struct fpu_state *f = &c->fpu;

	f->fcw = FCW_INIT;
	f->fsw = 0;
	f->ftw = 0;
	f->fop = 0;
	f->fip = f->fdp = 0;
	f->fcs = f->fds = 0;
}

/* SDM 1 "x87 FPU Tag Word": 0 valid, 1 zero, 2 special, 3 empty. */
static unsigned tag_of(const struct x87_reg *r)
{
	unsigned exp = r->se & 0x7fff;

	if (exp == 0)
		return r->mant == 0 ? 1 : 2;
	return exp == 0x7fff || !(r->mant >> 63) ? 2 : 0;
}

u16 x87_full_tags(const struct cpu *c)
{
	u16 tags = 0;

	for (unsigned i = 0; i < 8; i++)
		tags |= (c->fpu.ftw >> i & 1 ? tag_of(&c->fpu.st[i]) : 3) << (2 * i);
	return tags;
}

u8 x87_abridge(u16 tags)
{
	u8 r = 0;

	for (unsigned i = 0; i < 8; i++)
		r |= ((tags >> (2 * i) & 3) != 3) << i;
	return r;
}

/*
 * The environment's four formats: SDM 1 "Protected Mode x87 FPU State Image in Memory, 32-Bit Format" and the
 * three after it.
 */
#define ENV_MAX 28

static bool real_format(const struct cpu *c)
{
	return !(c->cr0 & CR0_PE) || (c->eflags & EFLAGS_VM);
}

static unsigned env_size(const struct op *o)
{
	return o->aux2 == 2 ? 14 : 28;
}

static void put32(u8 *p, unsigned i, u32 v)
{
	memcpy(p + 4 * i, &v, 4);
}

static void put16(u8 *p, unsigned i, u16 v)
{
	memcpy(p + 2 * i, &v, 2);
}

/* The reserved upper halves are written as ones. */
static void env_put32(const struct cpu *c, u8 *p)
{
	const struct fpu_state *f = &c->fpu;
	bool real = real_format(c);

	put32(p, 0, f->fcw | 0xffff0000u);
	put32(p, 1, f->fsw | 0xffff0000u);
	put32(p, 2, x87_full_tags(c) | 0xffff0000u);
	if (real) {
		put32(p, 3, (u16)f->fip | 0xffff0000u);
		put32(p, 4, ((u32)f->fip >> 16) << 12 | f->fop);
		put32(p, 5, (u16)f->fdp | 0xffff0000u);
		put32(p, 6, ((u32)f->fdp >> 16) << 12);
	} else {
		put32(p, 3, (u32)f->fip);
		put32(p, 4, f->fcs | (u32)f->fop << 16);
		put32(p, 5, (u32)f->fdp);
		put32(p, 6, f->fds | 0xffff0000u);
	}
}

static void env_put16(const struct cpu *c, u8 *p)
{
	const struct fpu_state *f = &c->fpu;
	bool real = real_format(c);

	put16(p, 0, f->fcw);
	put16(p, 1, f->fsw);
	put16(p, 2, x87_full_tags(c));
	put16(p, 3, (u16)f->fip);
	put16(p, 4, real ? (u16)(f->fip >> 16 << 12) | f->fop : f->fcs);
	put16(p, 5, (u16)f->fdp);
	put16(p, 6, real ? (u16)(f->fdp >> 16 << 12) : f->fds);
}

static void env_put(const struct cpu *c, const struct op *o, u8 *p)
{
	if (env_size(o) == 14)
		env_put16(c, p);
	else
		env_put32(c, p);
}

static u32 word_at(const u8 *p, unsigned i, unsigned size)
{
	u32 v = 0;

	memcpy(&v, p + size * i, size);
	return v;
}

/* Pointers of a real-mode image are linear, in two pieces. */
static void env_get_pointers(struct cpu *c, const u8 *p, unsigned size)
{
	struct fpu_state *f = &c->fpu;

	f->fip = word_at(p, 3, size);
	f->fdp = word_at(p, 5, size);
	if (real_format(c)) {
		f->fip = (u16)f->fip | (u64)(word_at(p, 4, size) >> 12 & 0xffff) << 16;
		f->fdp = (u16)f->fdp | (u64)(word_at(p, 6, size) >> 12 & 0xffff) << 16;
		f->fop = word_at(p, 4, size) & X87_FOP_MASK;
	} else {
		f->fop = size == 4 ? word_at(p, 4, size) >> 16 & X87_FOP_MASK : 0; /* the 16-bit format has no opcode */
	}
}

static void env_get(struct cpu *c, const struct op *o, const u8 *p)
{
	unsigned size = env_size(o) == 14 ? 2 : 4;

	env_get_pointers(c, p, size);
	x87_set_env(c, (u16)word_at(p, 0, size), (u16)word_at(p, 1, size), x87_abridge((u16)word_at(p, 2, size)));
}

static void fnstenv_to(struct cpu *c, const struct op *o)
{
	u8 buf[ENV_MAX];

	env_put(c, o, buf);
	st_buf(c, o, op_lin(c, o, env_size(o), ACCESS_WRITE), buf, env_size(o));
	c->fpu.fcw |= FSW_FLAGS;
	x87_summarize(c);
}

static void fldenv_from(struct cpu *c, const struct op *o)
{
	u8 buf[ENV_MAX];

	ld_buf(c, o, op_lin(c, o, env_size(o), ACCESS_READ), buf, env_size(o));
	env_get(c, o, buf);
}

static void fnsave_to(struct cpu *c, const struct op *o)
{
	unsigned n = env_size(o);
	u8 buf[ENV_MAX + 80];

	env_put(c, o, buf);
	for (unsigned i = 0; i < 8; i++)
		x87_put(buf + n + 10 * i, x87_st(c, i));
	st_buf(c, o, op_lin(c, o, n + 80, ACCESS_WRITE), buf, n + 80);
	x87_init(c);
}

static void frstor_from(struct cpu *c, const struct op *o)
{
	unsigned n = env_size(o);
	u8 buf[ENV_MAX + 80];

	ld_buf(c, o, op_lin(c, o, n + 80, ACCESS_READ), buf, n + 80);
	env_get(c, o, buf);
	for (unsigned i = 0; i < 8; i++)
		x87_get(buf + n + 10 * i, x87_st(c, i));
}

HANDLER(fnstenv)
{
	x87_check_nowait(c, o);
	fnstenv_to(c, o);
	OP_NEXT(c, o);
}

HANDLER(fldenv)
{
	x87_check(c, o);
	fldenv_from(c, o);
	OP_NEXT(c, o);
}

HANDLER(fnsave)
{
	x87_check_nowait(c, o);
	fnsave_to(c, o);
	OP_NEXT(c, o);
}

HANDLER(frstor)
{
	x87_check(c, o);
	frstor_from(c, o);
	OP_NEXT(c, o);
}

HANDLER(fninit)
{
	x87_check_nowait(c, o);
	x87_init(c);
	OP_NEXT(c, o);
}

HANDLER(fnclex)
{
	x87_check_nowait(c, o);
	c->fpu.fsw &= ~(FSW_FLAGS | FSW_SF | FSW_ES | FSW_B);
	OP_NEXT(c, o);
}

HANDLER(fnstcw)
{
	x87_check_nowait(c, o);
	st16(c, o, op_lin(c, o, 2, ACCESS_WRITE), c->fpu.fcw);
	OP_NEXT(c, o);
}

HANDLER(fldcw)
{
	x87_check(c, o);
	c->fpu.fcw = (ld16(c, o, op_lin(c, o, 2, ACCESS_READ)) & FCW_WRITABLE) | FCW_ONE;
	x87_summarize(c);
	OP_NEXT(c, o);
}

HANDLER(fnstsw_m)
{
	x87_check_nowait(c, o);
	st16(c, o, op_lin(c, o, 2, ACCESS_WRITE), c->fpu.fsw);
	OP_NEXT(c, o);
}

HANDLER(fnstsw_ax)
{
	x87_check_nowait(c, o);
	c->gpr[RAX] = (c->gpr[RAX] & ~0xffffull) | c->fpu.fsw;
	OP_NEXT(c, o);
}

/* SDM 2 "WAIT/FWAIT": CR0.MP lets CR0.TS apply to it; CR0.EM does not. */
HANDLER(fwait)
{
	if (unlikely((c->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)))
		cpu_raise(c, o, VEC_NM);
	if (unlikely(x87_pending(c))) {
		/* x87_refuse would take CR0.TS without CR0.MP for #NM. */
		if (!(c->cr0 & CR0_NE))
			machine_unimplemented(c, o, "x87 error with CR0.NE clear");
		cpu_raise(c, o, VEC_MF);
	}
	OP_NEXT(c, o);
}

HANDLER(fnop)
{
	x87_check(c, o);
	x87_note_ip(c, o);
	OP_NEXT(c, o);
}

/* FNENI, FNDISI, FNSETPM: instructions of the 8087 and 80287 that do nothing now. */
HANDLER(nop_8087)
{
	x87_check_nowait(c, o);
	OP_NEXT(c, o);
}

HANDLER(ffree)
{
	x87_check(c, o);
	c->fpu.ftw &= ~(1u << ((x87_top(c) + o->dst) & 7));
	c->fpu.fsw &= ~FSW_C1;
	x87_note_ip(c, o);
	OP_NEXT(c, o);
}

static inline void rotate(struct cpu *c, unsigned by)
{
	unsigned top = (x87_top(c) + by) & 7;

	c->fpu.fsw = (c->fpu.fsw & ~(FSW_TOP | FSW_C1)) | top << FSW_TOP_SHIFT;
}

HANDLER(fincstp)
{
	x87_check(c, o);
	rotate(c, 1);
	x87_note_ip(c, o);
	OP_NEXT(c, o);
}

HANDLER(fdecstp)
{
	x87_check(c, o);
	rotate(c, 7);
	x87_note_ip(c, o);
	OP_NEXT(c, o);
}

const struct fpu_row fpu_rows_control[] = {
	ROW(FNSTENV, SHAPE1(M), fnstenv),
	ROW(FLDENV, SHAPE1(M), fldenv),
	ROW(FNSAVE, SHAPE1(M), fnsave),
	ROW(FRSTOR, SHAPE1(M), frstor),
	ROW(FNINIT, SHAPE0, fninit),
	ROW(FNCLEX, SHAPE0, fnclex),
	ROW(FNSTCW, SHAPE1(M), fnstcw),
	ROW(FLDCW, SHAPE1(M), fldcw),
	ROW(FNSTSW, SHAPE1(M), fnstsw_m),
	ROW(FNSTSW, SHAPE1(G), fnstsw_ax),
	ROW(FWAIT, SHAPE0, fwait),
	ROW(FNOP, SHAPE0, fnop),
	ROW(FENI8087_NOP, SHAPE0, nop_8087),
	ROW(FDISI8087_NOP, SHAPE0, nop_8087),
	ROW(FSETPM287_NOP, SHAPE0, nop_8087),
	ROW(FFREE, SHAPE1(S), ffree),
	ROW(FINCSTP, SHAPE0, fincstp),
	ROW(FDECSTP, SHAPE0, fdecstp),
	ROW_END
};
