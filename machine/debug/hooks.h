/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the mmu room tells of accesses while there are watchpoints; machine.watch is NULL while there are none. */
#ifndef OOH_MACHINE_DEBUG_HOOKS_H
#define OOH_MACHINE_DEBUG_HOOKS_H

#include "machine/cpu/cpu.h"

struct watch_hooks {
	/*
	 * Before an access of n bytes at lin by op o (NULL: none, as in the delivery of an event). May unwind, so that
	 * the instruction runs alone.
	 */
	void (*access)(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a);
	/* Is anything in lin's page watched? Then it must have no fast tags. */
	bool (*page)(const struct cpu *c, u64 lin);
};

static inline void watch_access(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a)
{
	if (unlikely(c->m->watch))
		c->m->watch->access(c, o, lin, n, a);
}

static inline bool watch_page(const struct cpu *c, u64 lin)
{
	return unlikely(c->m->watch) && c->m->watch->page(c, lin);
}

#endif
