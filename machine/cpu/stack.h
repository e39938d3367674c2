/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stack in any mode: SS applies outside 64-bit mode, and SP, ESP or RSP by its size. */
#ifndef OOH_MACHINE_CPU_STACK_H
#define OOH_MACHINE_CPU_STACK_H

#include "machine/cpu/operand.h"

static inline u64 stack_linear(struct cpu *c, const struct op *o, u64 sp, unsigned size, enum mmu_access a)
{
	sp &= c->stack_mask;
	return c->code_size == 64 ? sp : seg_linear(c, o, SS, sp, size, a);
}

static inline void stack_set(struct cpu *c, u64 sp)
{
	c->gpr[RSP] = (c->gpr[RSP] & ~c->stack_mask) | (sp & c->stack_mask);
}

static inline void stack_adjust(struct cpu *c, s64 n)
{
	stack_set(c, c->gpr[RSP] + (u64)n);
}

/* The value `at` bytes above the top. */
static inline u64 stack_peek(struct cpu *c, const struct op *o, unsigned at, unsigned size)
{
	return mem_get(c, o, stack_linear(c, o, c->gpr[RSP] + at, size, ACCESS_READ), size);
}

static inline void stack_push(struct cpu *c, const struct op *o, unsigned size, u64 v)
{
	u64 sp = c->gpr[RSP] - size;

	mem_set(c, o, stack_linear(c, o, sp, size, ACCESS_WRITE), size, v);
	stack_set(c, sp);
}

#endif
