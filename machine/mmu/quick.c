/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk that nearly every miss of the TLB needs, in 4-level paging: one entry of a page table to read, its flags set
 * already, and what EPT is asked for cached. It decides nothing that walk.c does not; what is unusual is left to that.
 */
#include <string.h>

#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/mmu/format.h"
#include "machine/mmu/state.h"
#include "machine/vmx/vmx.h"

/* The page-table entry of lin, and in *above what the entries above allow; 0: walk.c has to look. */
static u64 cached_leaf(struct cpu *c, u64 lin, u8 *above)
{
	struct mmu_state *s = c->mmu;
	const struct psc_entry *p = psc_slot(s, &pt_4level, 0, lin);
	u64 at = p->table + (lin >> PAGE_SHIFT & (PAGE_TABLE_ENTRIES - 1)) * 8, e;
	const u8 *host;

	if (p->key != s->cur->psc_key || p->tag != lin >> PAGE_SHIFT_2M)
		return 0;
	if (c->vmx.ept) {
		const struct ept_entry *t = ept_cached(s, ept_root_id(c->vmx.eptp), at, EPT_R | (c->vmx.ept_ad ? EPT_W : 0));

		if (!t || vmx_on_apic_page(c, ept_entry_address(t, at)))
			return 0;
		at = ept_entry_address(t, at);
	}
	host = bus_ram(&c->m->bus, (hpa_t){ at });
	if (!host)
		return 0;
	memcpy(&e, host, sizeof(e));
	*above = p->perm;
	return e;
}

/* The part of the permissions that is the guest's. */
static u16 guest_perm(const struct cpu *c, u64 e, u8 above)
{
	u16 perm = above & ((e & PTE_US ? TP_U : 0) | (e & PTE_RW ? TP_W : 0) | ((c->efer & EFER_NXE) && (e & PTE_NX) ? 0 : TP_X));

	if (perm & TP_U)
		perm |= (u16)((1 + ((e & PTE_PKEY) >> PTE_PKEY_SHIFT)) << TP_KEY_SHIFT);
	return perm | (e & PTE_D ? TP_D : 0);
}

/* The page under EPT: false where that has to be walked. */
static bool page_cached(struct cpu *c, u64 gpa, enum mmu_access a, struct walk *w)
{
	static const u8 wants[] = { [ACCESS_READ] = EPT_R, [ACCESS_WRITE] = EPT_W };
	u8 right = ept_fetch_right(c, w->perm & TP_U);
	const struct ept_entry *t;

	w->hpa = gpa;
	w->spp_writable = 0;
	if (!c->vmx.ept) {
		w->perm |= TP_EPT_ALL;
		return true;
	}
	t = ept_cached(c->mmu, ept_root_id(c->vmx.eptp), gpa, a == ACCESS_EXEC ? right : wants[a]);
	if (!t)
		return false;
	w->hpa = ept_entry_address(t, gpa);
	w->perm |= (t->perms & EPT_R ? TP_ER : 0) | (t->perms & EPT_W ? TP_EW : 0) | (t->perms & right ? TP_EX : 0) |
		   (t->dirty ? TP_ED : 0) | (t->spp ? TP_SPP : 0);
	return true;
}

static void charge(struct cpu *c)
{
	stat_add(c->m, STAT_TLB_MISSES, 1);
	stat_add(c->m, c->vmx.ept ? STAT_WALK_REFS_GUEST : STAT_WALK_REFS_1D, 1);
	cpu_charge(c, c->vmx.ept ? COST_WALK_REF_GUEST : COST_WALK_REF_1D);
}

struct tlb_entry *walk_quick(struct cpu *c, u64 lin, enum mmu_access a, enum mmu_mode mode)
{
	struct mmu_state *s = c->mmu;
	u64 flags = a == ACCESS_WRITE ? PTE_P | PTE_A | PTE_D : PTE_P | PTE_A, e;
	struct walk w = { .gshift = PAGE_SHIFT, .shift = PAGE_SHIFT };
	u8 above;

	if (s->fmt != &pt_4level)
		return NULL;
	e = cached_leaf(c, lin, &above);
	if ((e & flags) != flags || (e & pt_4level.level[0].leaf_reserved) || (!(c->efer & EFER_NXE) && (e & PTE_NX)))
		return NULL;
	w.perm = guest_perm(c, e, above);
	w.global = (e & PTE_G) && (c->cr4 & CR4_PGE);
	if (!page_cached(c, e & PTE_ADDRESS, a, &w) || !perm_ok(w.perm, &s->rights[mode][a]))
		return NULL;
	charge(c);
	return tlb_install(c, lin, &w);
}
