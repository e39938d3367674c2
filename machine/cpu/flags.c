// SPDX-License-Identifier: GPL-2.0-or-later
/* The less frequent questions to the lazily kept status flags. */
#include "machine/cpu/flags.h"

/* CC_HOST as in EFLAGS. */
static u32 host_flags(const struct cpu *c)
{
	return ((u32)(c->cc_src >> 8) & CC_ALL & 0xff) | (u32)(c->cc_src & 1) << 11;
}

bool cc_carry_slow(const struct cpu *c)
{
	u64 a = c->cc_src, b = c->cc_src2, r = c->cc_res;

	switch ((enum cc_op)c->cc_op) {
	case CC_SUB:
		return a < b;
	case CC_ADD:
		return r < a;
	case CC_SBB:
		return ((~a & b) | ((~a | b) & r)) >> 63;
	case CC_ADC:
		return ((a & b) | ((a | b) & ~r)) >> 63;
	case CC_LOGIC:
		return false;
	case CC_HOST:
		return host_flags(c) & CC_CF;
	case CC_EXPLICIT:
	case CC_RES:
	case CC_INC:
	case CC_DEC:
		break;
	}
	return a & CC_CF;
}

bool cc_overflow(const struct cpu *c)
{
	u64 a = c->cc_src, b = c->cc_src2, r = c->cc_res;

	switch ((enum cc_op)c->cc_op) {
	case CC_SUB:
	case CC_SBB:
		return ((a ^ b) & (a ^ r)) >> 63;
	case CC_ADD:
	case CC_ADC:
		return ((a ^ r) & (b ^ r)) >> 63;
	case CC_INC:
		return (~b & r) >> 63;
	case CC_DEC:
		return (b & ~r) >> 63;
	case CC_LOGIC:
		return false;
	case CC_HOST:
		return host_flags(c) & CC_OF;
	case CC_EXPLICIT:
	case CC_RES:
		break;
	}
	return a & CC_OF;
}

static bool cc_adjust(const struct cpu *c)
{
	switch ((enum cc_op)c->cc_op) {
	case CC_SUB:
	case CC_SBB:
	case CC_ADD:
	case CC_ADC:
		return (c->cc_src ^ c->cc_src2 ^ c->cc_res) & CC_AF;
	case CC_INC:
	case CC_DEC:
		return (c->cc_src2 ^ c->cc_res) & CC_AF;
	case CC_LOGIC:
		return false;
	case CC_HOST:
	case CC_EXPLICIT:
	case CC_RES:
		break;
	}
	return c->cc_src & CC_AF;
}

u32 cc_all(const struct cpu *c)
{
	if (c->cc_op == CC_EXPLICIT)
		return (u32)c->cc_src;
	if (c->cc_op == CC_HOST)
		return host_flags(c);
	return (cc_cf(c) ? CC_CF : 0) | (cc_pf(c) ? CC_PF : 0) | (cc_adjust(c) ? CC_AF : 0) | (cc_zf(c) ? CC_ZF : 0) |
	       (cc_sf(c) ? CC_SF : 0) | (cc_overflow(c) ? CC_OF : 0);
}

void cc_replace(struct cpu *c, u32 mask, u32 values)
{
	u32 keep = 0;

	if (c->cc_op == CC_HOST)
		cc_set_all(c, host_flags(c));
	if (c->cc_op <= CC_RES) {
		c->cc_src = (c->cc_src & ~(u64)mask) | values;
		return;
	}
	if (c->cc_op != CC_LOGIC) {
		keep = cc_adjust(c) ? CC_AF : 0;
		if (!(mask & CC_CF))
			keep |= cc_cf(c) ? CC_CF : 0;
		if (!(mask & CC_OF))
			keep |= cc_overflow(c) ? CC_OF : 0;
	}
	cc_set_res(c, c->cc_res, keep | values);
}

u64 cpu_rflags(const struct cpu *c)
{
	return (c->eflags & ~(u64)CC_ALL) | cc_all(c) | EFLAGS_ONE;
}

void cpu_set_status(struct cpu *c, u32 oszapc)
{
	cc_set_all(c, oszapc);
}

void cpu_set_rflags(struct cpu *c, u64 v)
{
	u64 changed = c->eflags ^ v;

	cc_set_all(c, (u32)v);
	c->eflags = (v & ~(u64)CC_ALL) | EFLAGS_ONE;
	if (changed & EFLAGS_AC)
		mmu_update_mode(c);
	if (changed & EFLAGS_VM)
		cpu_update_code_mode(c);
}
