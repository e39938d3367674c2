/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Direct branches in 64-bit mode, for the handlers that end in one. */
#ifndef OOH_MACHINE_CPU_BRANCH_H
#define OOH_MACHINE_CPU_BRANCH_H

#include "arch/x86.h"
#include "machine/cpu/block.h"
#include "machine/cpu/operand.h"

/* RIP of the instruction after o in 64-bit mode. */
INLINE u64 branch_next(const struct cpu *c, const struct op *o)
{
	return c->gpr[REG_BLOCK] + o->off + o->len;
}

INLINE bool branch_canonical(const struct cpu *c, u64 rip)
{
	return is_canonical(rip, c->cr4 & CR4_LA57);
}

/* Condition code of a Jcc lowered for 64-bit mode, -1 for any other op. */
int branch_condition(const struct op *o);

/* A taken branch whose link is not set yet: checks the target and looks it up. */
const struct op *branch_unlinked(struct cpu *c, const struct op *o, u64 rip);

INLINE const struct op *branch_taken(struct cpu *c, const struct op *o)
{
	u64 rip = c->gpr[REG_BLOCK] + o->imm;
	struct block *b = c->block->link[1];

	return likely(b != NULL) ? block_enter(c, b, rip) : branch_unlinked(c, o, rip);
}

INLINE const struct op *branch_not_taken(struct cpu *c, const struct op *o)
{
	return block_follow(c, 0, branch_next(c, o));
}

INLINE const struct op *branch_if(struct cpu *c, const struct op *o, bool taken)
{
	return taken ? branch_taken(c, o) : branch_not_taken(c, o);
}

#endif
