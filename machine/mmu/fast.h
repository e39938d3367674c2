/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filling fast tags. */
#ifndef OOH_MACHINE_MMU_FAST_H
#define OOH_MACHINE_MMU_FAST_H

#include "machine/mmu/state.h"

/* The fast tags of mode at e's slot say what e allows now; nothing for a page that is not RAM. */
void fast_fill(struct cpu *c, const struct tlb_entry *e, enum mmu_mode mode);

#endif
