/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Translations for debuggers, dumps and the oracle: 4-level and 5-level paging, without any effect. */
#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/mmu/phys.h"
#include "machine/mmu/state.h"

static bool to_host(struct machine *m, u64 ept, u64 gpa, hpa_t *out)
{
	if (ept)
		return ept_peek(m, ept, (gpa_t){ gpa }, out);
	out->v = gpa;
	return true;
}

unsigned mmu_levels(const struct cpu *c)
{
	return c->cr4 & CR4_LA57 ? 5 : 4;
}

bool mmu_peek(struct machine *m, u64 cr3, unsigned levels, u64 ept, u64 lin, hpa_t *out, u64 *pte)
{
	u64 table = cr3 & CR3_ADDRESS & CPU_PHYS_MASK;

	for (unsigned level = levels; level > 0; level--) {
		u64 in_page = (1ull << PAGE_LEVEL_SHIFT(level)) - 1, e;
		hpa_t at;

		if (!to_host(m, ept, table + PAGE_LEVEL_INDEX(lin, level) * 8, &at))
			return false;
		e = phys_read(bus_ram(&m->bus, at), 8);
		if (!(e & PTE_P) || (level >= 4 && (e & PTE_PS)))
			return false;
		table = e & PTE_ADDRESS & CPU_PHYS_MASK;
		if (level > 1 && !(e & PTE_PS))
			continue;
		if (pte)
			*pte = e;
		return to_host(m, ept, (table & ~in_page) | (lin & in_page), out);
	}
	return false;
}
