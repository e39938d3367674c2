/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operands of integer instructions, for the files that emit those. */
#ifndef OOH_MACHINE_JIT_OPERAND_H
#define OOH_MACHINE_JIT_OPERAND_H

#include "machine/jit/state.h"

static const struct lazy no_lazy = { .kind = LAZY_NONE };

static inline bool is_mem(const struct tr *t, unsigned i)
{
	return t->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

static inline bool is_imm(const struct tr *t, unsigned i)
{
	return t->ops[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

/* Number of a general register operand as the handlers have it; 8-bit ones are byte offsets there. */
static inline unsigned number(unsigned r, unsigned size)
{
	return size == 1 ? r >> 3 : r;
}

static inline bool high_byte(unsigned r, unsigned size)
{
	return size == 1 && (r & 1);
}

/* The host register that holds guest register g: its home, or `scratch` loaded with it. */
static inline unsigned in_register(struct tr *t, unsigned g, unsigned scratch)
{
	if (jit_home[g] >= 0)
		return (unsigned)jit_home[g];
	x_load(&t->a, 8, scratch, guest_mem(g));
	return scratch;
}

/* Where an op of this size may put its result for g: its home; memory if no upper half is to be cleared; or T0. */
static inline struct rm target(unsigned g, unsigned size)
{
	return jit_home[g] < 0 && size == 4 ? rm_reg(T0) : guest(g);
}

static inline void target_load(struct tr *t, unsigned g, struct rm to)
{
	if (to.reg == T0)
		x_load(&t->a, 4, T0, guest_mem(g));
}

static inline void target_keep(struct tr *t, unsigned g, struct rm to)
{
	if (to.reg == T0)
		x_store(&t->a, 8, guest_mem(g), T0);
}

static inline bool can_memory(const struct tr *t)
{
	return !(t->o->flags & OP_MEM) || mem_supported(t);
}

#endif
