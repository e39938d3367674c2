/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The six status flags, kept lazily. An operation leaves its operands and result, sign-extended to 64 bits, so that
 * one formula serves all operand sizes: the sign is bit 63, unsigned order is kept, and the carry out of the
 * operation's top bit equals the carry that the extended operands have at bit 63.
 */
#ifndef OOH_MACHINE_CPU_FLAGS_H
#define OOH_MACHINE_CPU_FLAGS_H

#include "arch/x86.h"
#include "machine/cpu/cpu.h"

enum cc_op {
	CC_EXPLICIT, /* all six in cc_src, as in EFLAGS */
	CC_HOST,     /* all six in cc_src's low word, as translated code has them: LAHF's byte above SETO's */
	CC_RES,      /* SF, ZF, PF of cc_res; CF, AF, OF in cc_src as in EFLAGS */
	CC_LOGIC,    /* SF, ZF, PF of cc_res; the others 0 */
	CC_SUB,      /* cc_res = cc_src - cc_src2 */
	CC_ADD,      /* cc_res = cc_src + cc_src2 */
	CC_SBB,      /* the same with a borrow */
	CC_ADC,
	CC_INC,      /* cc_res = cc_src2 + 1; CF in cc_src */
	CC_DEC,
};

#define CC_CF 0x001u
#define CC_PF 0x004u
#define CC_AF 0x010u
#define CC_ZF 0x040u
#define CC_SF 0x080u
#define CC_OF 0x800u
#define CC_ALL (CC_CF | CC_PF | CC_AF | CC_ZF | CC_SF | CC_OF)

/* Condition codes as in the low nibble of the opcode. */
enum cond { COND_O, COND_NO, COND_B, COND_NB, COND_Z, COND_NZ, COND_BE, COND_NBE, COND_S, COND_NS, COND_P, COND_NP,
	    COND_L, COND_NL, COND_LE, COND_NLE };

u32 cc_all(const struct cpu *c); /* the six flags as in EFLAGS */
bool cc_carry_slow(const struct cpu *c);
bool cc_overflow(const struct cpu *c);
/* Gives CF, OF or both (mask) new values, as in EFLAGS, and leaves the other flags as they are. */
void cc_replace(struct cpu *c, u32 mask, u32 values);

static inline void cc_set(struct cpu *c, enum cc_op op, u64 res, u64 src, u64 src2)
{
	c->cc_op = op;
	c->cc_res = res;
	c->cc_src = src;
	c->cc_src2 = src2;
}

static inline void cc_set_logic(struct cpu *c, u64 res)
{
	c->cc_op = CC_LOGIC;
	c->cc_res = res;
}

/* SF, ZF, PF by the result, CF, AF, OF given. */
static inline void cc_set_res(struct cpu *c, u64 res, u32 cao)
{
	c->cc_op = CC_RES;
	c->cc_res = res;
	c->cc_src = cao;
}

static inline void cc_set_all(struct cpu *c, u32 flags)
{
	c->cc_op = CC_EXPLICIT;
	c->cc_src = flags & CC_ALL;
}

static inline bool cc_cf(const struct cpu *c)
{
	if (c->cc_op == CC_SUB)
		return c->cc_src < c->cc_src2;
	if (c->cc_op == CC_LOGIC)
		return false;
	if (c->cc_op == CC_ADD)
		return c->cc_res < c->cc_src;
	return cc_carry_slow(c);
}

static inline bool cc_zf(const struct cpu *c)
{
	return likely(c->cc_op > CC_HOST) ? c->cc_res == 0 : cc_all(c) & CC_ZF;
}

static inline bool cc_sf(const struct cpu *c)
{
	return likely(c->cc_op > CC_HOST) ? c->cc_res >> 63 : (cc_all(c) & CC_SF) != 0;
}

static inline bool cc_parity(u64 res)
{
	return !__builtin_parity((u8)res);
}

static inline bool cc_pf(const struct cpu *c)
{
	return likely(c->cc_op > CC_HOST) ? cc_parity(c->cc_res) : cc_all(c) & CC_PF;
}

static inline bool cc_below_equal(const struct cpu *c)
{
	if (c->cc_op == CC_SUB)
		return c->cc_src <= c->cc_src2;
	return cc_cf(c) || cc_zf(c);
}

static inline bool cc_less(const struct cpu *c)
{
	if (c->cc_op == CC_SUB)
		return (s64)c->cc_src < (s64)c->cc_src2;
	if (c->cc_op == CC_LOGIC)
		return c->cc_res >> 63;
	return cc_sf(c) != cc_overflow(c);
}

static inline bool cc_less_equal(const struct cpu *c)
{
	if (c->cc_op == CC_SUB)
		return (s64)c->cc_src <= (s64)c->cc_src2;
	return cc_less(c) || cc_zf(c);
}

/* True if the condition holds. */
static inline bool cc_cond(const struct cpu *c, enum cond cond)
{
	bool v;

	switch (cond >> 1) {
	case COND_O >> 1:  v = cc_overflow(c); break;
	case COND_B >> 1:  v = cc_cf(c); break;
	case COND_Z >> 1:  v = cc_zf(c); break;
	case COND_BE >> 1: v = cc_below_equal(c); break;
	case COND_S >> 1:  v = cc_sf(c); break;
	case COND_P >> 1:  v = cc_pf(c); break;
	case COND_L >> 1:  v = cc_less(c); break;
	default:           v = cc_less_equal(c); break;
	}
	return v ^ (cond & 1);
}

#endif
