/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The x87 register stack and environment, as its instructions and FXSAVE see them. */
#ifndef OOH_MACHINE_FPU_X87_H
#define OOH_MACHINE_FPU_X87_H

#include "machine/fpu/access.h"

#define X87_FOP_MASK 0x07ffu
#define FCW_ONE      0x0040u /* reads as 1 */
#define FCW_WRITABLE 0x1f3fu

static inline unsigned x87_top(const struct cpu *c)
{
	return c->fpu.fsw >> FSW_TOP_SHIFT & 7;
}

/* ST(i). */
static inline struct x87_reg *x87_st(struct cpu *c, unsigned i)
{
	return &c->fpu.st[(x87_top(c) + i) & 7];
}

static inline bool x87_empty(const struct cpu *c, unsigned i)
{
	return !(c->fpu.ftw >> ((x87_top(c) + i) & 7) & 1);
}

/* Ten bytes in memory. */
static inline void x87_put(void *p, const struct x87_reg *r)
{
	memcpy(p, &r->mant, 8);
	memcpy((char *)p + 8, &r->se, 2);
}

static inline void x87_get(const void *p, struct x87_reg *r)
{
	memcpy(&r->mant, p, 8);
	memcpy(&r->se, (const char *)p + 8, 2);
}

/* ES and B follow from the flags and their masks. */
static inline void x87_summarize(struct cpu *c)
{
	struct fpu_state *f = &c->fpu;

	f->fsw &= ~(FSW_ES | FSW_B);
	if (f->fsw & ~f->fcw & FSW_FLAGS)
		f->fsw |= FSW_ES | FSW_B;
}

/* Control word, status word and abridged tags as loaded from memory. */
static inline void x87_set_env(struct cpu *c, u16 fcw, u16 fsw, u8 ftw)
{
	c->fpu.fcw = (fcw & FCW_WRITABLE) | FCW_ONE;
	c->fpu.fsw = fsw;
	c->fpu.ftw = ftw;
	x87_summarize(c);
}

/* The last non-control instruction's address. */
static inline void x87_note_ip(struct cpu *c, const struct op *o)
{
	c->fpu.fip = c->gpr[REG_BLOCK] + o->off;
}

/* The manual's two-bit tags from the abridged ones and the registers' contents, and back. */
u16 x87_full_tags(const struct cpu *c);
u8 x87_abridge(u16 tags);

#endif
