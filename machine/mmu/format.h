/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paging modes as tables of levels. */
#ifndef OOH_MACHINE_MMU_FORMAT_H
#define OOH_MACHINE_MMU_FORMAT_H

#include "machine/core/types.h"
#include "machine/mmu/state.h"

#define PT_LEVELS 5

enum leaf { LEAF_NEVER, LEAF_BY_PS, LEAF_ALWAYS };

struct pt_level {
	u8 shift, index_bits;
	enum leaf leaf;
	u64 table_reserved; /* bits that must be 0 in an entry that points to a table; NX too while EFER.NXE is 0 */
	u64 leaf_reserved;
};

struct pt_format {
	u8 levels; /* that are read from memory; level 0 is the page table */
	u8 entry;  /* bytes */
	bool pae;  /* the root is the PDPTE registers */
	struct pt_level level[PT_LEVELS];
};

extern const struct pt_format pt_32bit, pt_32bit_pse, pt_pae, pt_4level, pt_5level;

/* Of the paging mode that these registers select, EFER.LMA included; NULL without paging. */
const struct pt_format *pt_format_of(u64 cr0, u64 cr4, u64 efer);

/* The cache slot that may hold the table of `level` for lin. */
static inline struct psc_entry *psc_slot(struct mmu_state *s, const struct pt_format *f, unsigned level, u64 lin)
{
	u64 n = lin >> f->level[level + 1].shift;

	return level == 0 ? &s->pde[n % PDE_CACHE] : &s->pdpte[n % PDPTE_CACHE];
}

#endif
