/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sub-page permissions: which 128-byte pieces of a page that EPT makes read-only can be written all the same. SDM 3C
 * "Sub-Page Write Permissions" (29.3.4). The table has four levels, indexed as EPT's are; its last entry holds a bit
 * for each sub-page.
 */
#include "arch/paging.h"
#include "machine/cpu/sys/sys.h"
#include "machine/mmu/phys.h"
#include "machine/mmu/state.h"
#include "machine/vmx/vmx.h"

#define SPP_LEVELS 4
#define SPP_TABLE_RESERVED (BITS(63, CPU_PHYS_BITS) | BITS(11, 1))

/* Bit 2n of the last entry is sub-page n's. */
static u32 writable_subpages(u64 e)
{
	u32 v = 0;

	for (unsigned n = 0; n < 32; n++)
		v |= e & SPP_WRITE(n) ? 1u << n : 0;
	return v;
}

enum spp_end { SPP_FOUND, SPP_MISS, SPP_BAD };

/*
 * An entry whose valid bit is 0 is a miss, one with reserved bits set a misconfiguration. *e: the last entry read;
 * returns where the walk ended by *level.
 */
static enum spp_end descend(struct machine *m, u64 table, u64 gpa, u64 *e, unsigned *level)
{
	for (*level = SPP_LEVELS - 1;; --*level) {
		u64 index = gpa >> (PAGE_SHIFT + 9 * *level) & (PAGE_TABLE_ENTRIES - 1);

		*e = phys_read(bus_ram(&m->bus, (hpa_t){ table + index * 8 }), 8);
		if (*level == 0)
			return *e & SPP_LEAF_RESERVED ? SPP_BAD : SPP_FOUND;
		if (!(*e & SPP_VALID))
			return SPP_MISS;
		if (*e & SPP_TABLE_RESERVED)
			return SPP_BAD;
		table = *e & SPP_ADDRESS;
	}
}

u32 spp_lookup(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a)
{
	unsigned level;
	u64 e;
	enum spp_end end = descend(c->m, c->vmx.spptp, gpa.v, &e, &level);

	stat_add(c->m, STAT_WALK_REFS_EPT, SPP_LEVELS - level);
	c->budget -= (s64)c->m->costs->cycles[COST_WALK_REF_SPP] * (SPP_LEVELS - level);
	if (end != SPP_FOUND)
		vmx_exit_spp(c, o, gpa, a->lin, end == SPP_MISS);
	return writable_subpages(e);
}

bool spp_peek(struct machine *m, u64 spptp, gpa_t gpa, u32 *writable)
{
	unsigned level;
	u64 e;

	if (descend(m, spptp, gpa.v, &e, &level) != SPP_FOUND)
		return false;
	*writable = writable_subpages(e);
	return true;
}
