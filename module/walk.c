// SPDX-License-Identifier: GPL-2.0-only
/*
 * The page table of the tracked process, read. The kernel's own walkers are not exported; this one reads at most one
 * 2 MiB block at a time into an array, under the lock of that table, and leaves the thinking to the caller.
 */
#include <linux/hugetlb.h>
#include <linux/page-flags.h>
#include <linux/swapops.h>

#include "ooh_mod.h"

/*
 * Mappings that cannot be tracked: their pages have no struct page (so nothing says when they go), or are not where
 * faults are seen. Those that the process can never write (the clock pages, [vvar]) are not reported: it cannot have
 * written them.
 */
bool ooh_vma_untracked(const struct vm_area_struct *vma)
{
	if (vma->vm_flags & VM_HUGETLB)
		return true;
	return (vma->vm_flags & (VM_PFNMAP | VM_MIXEDMAP | VM_IO)) && (vma->vm_flags & VM_MAYWRITE);
}

static u64 pte_of_frame(unsigned long pfn)
{
	if (is_zero_pfn(pfn))
		return OOH_PTE_ZERO;
	return pfn_valid(pfn) ? (u64)pfn << OOH_PTE_SHIFT | OOH_PTE_FRAME : OOH_PTE_SPECIAL;
}

static u64 pte_of_swap(swp_entry_t entry)
{
	if (is_migration_entry(entry))
		return OOH_PTE_MOVING;
	if (is_pte_marker_entry(entry))
		return OOH_PTE_NONE;
	return non_swap_entry(entry) ? OOH_PTE_SPECIAL : OOH_PTE_SWAP;
}

static u64 pte_kind(pte_t pte)
{
	if (pte_none(pte))
		return OOH_PTE_NONE;
	if (!pte_present(pte))
		return pte_of_swap(pte_to_swp_entry(pte));
	if (pte_devmap(pte))
		return OOH_PTE_SPECIAL;
	if (pte_special(pte))
		return is_zero_pfn(pte_pfn(pte)) ? OOH_PTE_ZERO : OOH_PTE_SPECIAL;
	return pte_of_frame(pte_pfn(pte));
}

static void fill(u64 *out, unsigned long nr, u64 value)
{
	while (nr--)
		*out++ = value;
}

/* A huge mapping whose page is neither anonymous nor of a file, in memory without a file: the huge zero page. */
static bool is_huge_zero(struct vm_area_struct *vma, struct page *page)
{
	return vma_is_anonymous(vma) && !PageAnon(page);
}

static void walk_huge(struct vm_area_struct *vma, pmd_t pmd, unsigned long vpn, unsigned long nr, u64 *out)
{
	unsigned long pfn = pmd_pfn(pmd) + (vpn & (OOH_BLOCK_PAGES - 1)), i;

	if (pmd_devmap(pmd) || !pfn_valid(pfn))
		return fill(out, nr, OOH_PTE_SPECIAL);
	if (is_huge_zero(vma, pfn_to_page(pmd_pfn(pmd))))
		return fill(out, nr, OOH_PTE_ZERO);
	for (i = 0; i < nr; i++)
		out[i] = (u64)(pfn + i) << OOH_PTE_SHIFT | OOH_PTE_FRAME;
}

static void walk_ptes(struct mm_struct *mm, pmd_t *pmd, unsigned long vpn, unsigned long nr, u64 *out)
{
	spinlock_t *ptl;
	unsigned long i;
	pte_t *pte;

	pte = pte_offset_map_lock(mm, pmd, vpn << PAGE_SHIFT, &ptl);
	for (i = 0; i < nr; i++)
		out[i] = pte_kind(pte[i]);
	pte_unmap_unlock(pte, ptl);
}

/* Returns NULL when a table above is missing (*special false) or is a leaf of 1 GiB (*special true). */
static pmd_t *find_pmd(struct mm_struct *mm, unsigned long addr, bool *special)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	*special = false;
	if (pgd_none(READ_ONCE(*pgd)))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(READ_ONCE(*p4d)))
		return NULL;
	pud = pud_offset(p4d, addr);
	if (pud_none(READ_ONCE(*pud)))
		return NULL;
	*special = pud_large(READ_ONCE(*pud)) || !pud_present(READ_ONCE(*pud));
	return *special ? NULL : pmd_offset(pud, addr);
}

static bool pmd_leaf_or_gone(pmd_t pmd)
{
	return pmd_none(pmd) || !pmd_present(pmd) || pmd_trans_huge(pmd) || pmd_devmap(pmd);
}

static void walk_pmd(struct vm_area_struct *vma, pmd_t *pmdp, unsigned long vpn, unsigned long nr, u64 *out)
{
	spinlock_t *ptl;
	pmd_t pmd = READ_ONCE(*pmdp);

	/* A table cannot become a leaf again: that takes the mmap_lock, which is ours. */
	if (!pmd_leaf_or_gone(pmd))
		return walk_ptes(vma->vm_mm, pmdp, vpn, nr, out);
	ptl = pmd_lock(vma->vm_mm, pmdp);
	pmd = *pmdp;
	if (pmd_none(pmd))
		fill(out, nr, OOH_PTE_NONE);
	else if (!pmd_present(pmd))
		fill(out, nr, is_pmd_migration_entry(pmd) ? OOH_PTE_MOVING : OOH_PTE_SPECIAL);
	else if (pmd_trans_huge(pmd) || pmd_devmap(pmd))
		walk_huge(vma, pmd, vpn, nr, out);
	else
		goto table;
	spin_unlock(ptl);
	return;

table:
	spin_unlock(ptl);
	walk_ptes(vma->vm_mm, pmdp, vpn, nr, out);
}

/*
 * Reads the entries of pages [vpn, vpn + nr), all in one 2 MiB block and in vma, into out: OOH_PTE_* kinds, with the
 * frame number above OOH_PTE_SHIFT. The mm is locked for write, so no fault installs anything; reclaim and migration
 * still take away.
 */
void ooh_walk(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long vpn, unsigned long nr, u64 *out)
{
	bool special;
	pmd_t *pmd = find_pmd(mm, vpn << PAGE_SHIFT, &special);

	if (pmd)
		walk_pmd(vma, pmd, vpn, nr, out);
	else
		fill(out, nr, special ? OOH_PTE_SPECIAL : OOH_PTE_NONE);
}

/*
 * Interrupts off keep page tables from being freed, as for the kernel's own lockless walkers, so that the next two
 * can be asked from hooks.
 */
static pmd_t peek_pmd(struct mm_struct *mm, unsigned long addr)
{
	pmd_t pmd = __pmd(0);
	unsigned long flags;
	bool special;
	pmd_t *p;

	local_irq_save(flags);
	p = find_pmd(mm, addr, &special);
	if (p)
		pmd = READ_ONCE(*p);
	local_irq_restore(flags);
	return pmd;
}

/*
 * Sets the bits, by their place in the block, of those of the nr pages from vpn on that a table of small pages maps. For
 * the notifier: who announces a change holds what keeps the table where it is (the mmap_lock, or locks of the rmap).
 */
void ooh_walk_small(struct mm_struct *mm, unsigned long vpn, unsigned long nr, unsigned long *present)
{
	bool special;
	pmd_t *pmd = find_pmd(mm, vpn << PAGE_SHIFT, &special);
	spinlock_t *ptl;
	unsigned long i;
	pte_t *pte;

	if (!pmd || pmd_leaf_or_gone(READ_ONCE(*pmd)))
		return;
	pte = pte_offset_map_lock(mm, pmd, vpn << PAGE_SHIFT, &ptl);
	for (i = 0; i < nr; i++)
		if (pte_present(pte[i]))
			__set_bit((vpn + i) % OOH_BLOCK_PAGES, present);
	pte_unmap_unlock(pte, ptl);
}

/* Whether a fault at addr could install more than one page: no table of small pages is there yet. */
bool ooh_walk_huge_or_none(struct mm_struct *mm, unsigned long addr)
{
	return pmd_leaf_or_gone(peek_pmd(mm, addr));
}

bool ooh_walk_is_huge(struct mm_struct *mm, unsigned long addr)
{
	pmd_t pmd = peek_pmd(mm, addr);

	return !pmd_none(pmd) && pmd_leaf_or_gone(pmd);
}

/* ---- references ---- */

/* How many times the pages of the compound are mapped: each mapping holds one reference on its head. */
static int compound_maps(struct page *head)
{
	const unsigned int nr = compound_nr(head);
	const int whole = compound_mapcount(head);
	int maps = whole;
	unsigned int i;

	for (i = 0; i < nr; i++)
		maps += atomic_read(&head[i]._mapcount) + 1;
	if (!PageAnon(head))
		return maps - whole * nr;
	return PageDoubleMap(head) ? maps - nr : maps;
}

static int explained_refs(struct page *head)
{
	int refs = PageCompound(head) ? compound_maps(head) : page_mapcount(head);

	if (PageAnon(head)) {
		if (PageSwapCache(head))
			refs += compound_nr(head);
	} else if (READ_ONCE(head->mapping)) {
		refs += compound_nr(head) + !!page_has_private(head);
	}
	return refs;
}

/*
 * Whether somebody holds references on a page (its head, if compound) that mappings and caches do not explain: a
 * device may be writing to it. OOH_REFS_MORE: none, if the one reference that a page off the LRU lists has (a CPU's
 * batch of pages on their way to a list, or whoever isolated it) is indeed of that kind; the caller asks again in the
 * next round. Counts are read around the maps, because both move in pages shared with others.
 */
enum ooh_refs ooh_page_refs(struct page *head)
{
	int before, after, explained;

	if (PageReserved(head))
		return OOH_REFS_KNOWN; /* the kernel's image: [vdso] */
	before = page_ref_count(head);
	explained = explained_refs(head);
	after = page_ref_count(head);
	if (max(before, after) <= explained)
		return OOH_REFS_KNOWN;
	if (!PageLRU(head) && (PageAnon(head) || READ_ONCE(head->mapping)) && max(before, after) == explained + 1)
		return OOH_REFS_MORE;
	return OOH_REFS_ODD;
}
