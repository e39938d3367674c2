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

static u64 read_entry(struct cpu *c, u64 table, u64 gpa, unsigned level)
{
	u64 index = gpa >> (PAGE_SHIFT + 9 * level) & (PAGE_TABLE_ENTRIES - 1);

	stat_add(c->m, STAT_WALK_REFS_EPT, 1);
	cpu_charge(c, COST_WALK_REF_SPP);
	return phys_read(bus_ram(&c->m->bus, (hpa_t){ table + index * 8 }), 8);
}

/* An entry whose valid bit is 0 is a miss, one with reserved bits set a misconfiguration: both exit. */
u32 spp_lookup(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a)
{
	u64 table = c->vmx.spptp, e;

	for (unsigned level = SPP_LEVELS - 1; level > 0; level--) {
		e = read_entry(c, table, gpa.v, level);
		if (!(e & SPP_VALID))
			vmx_exit_spp(c, o, gpa, a->lin, true);
		if (e & SPP_TABLE_RESERVED)
			vmx_exit_spp(c, o, gpa, a->lin, false);
		table = e & SPP_ADDRESS;
	}
	e = read_entry(c, table, gpa.v, 0);
	if (e & SPP_LEAF_RESERVED)
		vmx_exit_spp(c, o, gpa, a->lin, false);
	return writable_subpages(e);
}
