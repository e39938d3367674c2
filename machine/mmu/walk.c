/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page walker. One descent, driven by a table of levels, serves 32-bit, PAE, 4-level and 5-level paging, with and without
 * EPT below it. SDM 3A chapter "Paging"; SDM 3C "The Extended Page Table Mechanism (EPT)".
 */
#include <string.h>

#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/mmu/format.h"
#include "machine/mmu/phys.h"
#include "machine/mmu/state.h"
#include "machine/vmx/vmx.h"

#define ABOVE_PHYS(hi) BITS(hi, CPU_PHYS_BITS)

const struct pt_format pt_32bit = {
	.levels = 2, .entry = 4, .level = {
		{ 12, 10, LEAF_ALWAYS, 0, 0 },
		{ 22, 10, LEAF_NEVER, 0, 0 },
	},
};

/* SDM 3A table 4-4: PSE-36 makes bits 20:13 of a 4 MiB page's entry address bits 39:32, and all of them count here. */
const struct pt_format pt_32bit_pse = {
	.levels = 2, .entry = 4, .level = {
		{ 12, 10, LEAF_ALWAYS, 0, 0 },
		{ 22, 10, LEAF_BY_PS, 0, BIT64(21) },
	},
};

const struct pt_format pt_pae = {
	.levels = 2, .entry = 8, .pae = true, .level = {
		{ 12, 9, LEAF_ALWAYS, 0, ABOVE_PHYS(62) },
		{ 21, 9, LEAF_BY_PS, ABOVE_PHYS(62), ABOVE_PHYS(62) | BITS(20, 13) },
	},
};

const struct pt_format pt_4level = {
	.levels = 4, .entry = 8, .level = {
		{ 12, 9, LEAF_ALWAYS, 0, ABOVE_PHYS(51) },
		{ 21, 9, LEAF_BY_PS, ABOVE_PHYS(51), ABOVE_PHYS(51) | BITS(20, 13) },
		{ 30, 9, LEAF_BY_PS, ABOVE_PHYS(51), ABOVE_PHYS(51) | BITS(29, 13) },
		{ 39, 9, LEAF_NEVER, ABOVE_PHYS(51) | PTE_PS, 0 },
	},
};

const struct pt_format pt_5level = {
	.levels = 5, .entry = 8, .level = {
		{ 12, 9, LEAF_ALWAYS, 0, ABOVE_PHYS(51) },
		{ 21, 9, LEAF_BY_PS, ABOVE_PHYS(51), ABOVE_PHYS(51) | BITS(20, 13) },
		{ 30, 9, LEAF_BY_PS, ABOVE_PHYS(51), ABOVE_PHYS(51) | BITS(29, 13) },
		{ 39, 9, LEAF_NEVER, ABOVE_PHYS(51) | PTE_PS, 0 },
		{ 48, 9, LEAF_NEVER, ABOVE_PHYS(51) | PTE_PS, 0 },
	},
};

/* One walk under way. */
struct walker {
	struct cpu *c;
	const struct op *o;
	const struct pt_format *fmt;
	u64 lin;
	unsigned n;        /* bytes accessed */
	enum mmu_access access;
	enum mmu_mode mode;
	bool nxe;
	unsigned top;      /* the level the descent started at */
	unsigned level;    /* the level of the last entry read */
	u64 table[PT_LEVELS];      /* guest-physical address of the table of each level */
	u8 above[PT_LEVELS];       /* permissions from the entries above the table */
	gpa_t gpa[PT_LEVELS];      /* of the entry read at each level */
	u64 entry[PT_LEVELS];
	u8 *host[PT_LEVELS];       /* NULL: not RAM */
};

/* SDM 3A "Protection Keys" (4.6.2): data at user-mode addresses, in IA-32e mode; the key is the leaf's. */
static u16 key_perm(const struct walker *k, u16 perm)
{
	bool keyed = (perm & TP_U) && k->fmt->levels >= 4;

	return keyed ? (u16)((1 + ((k->entry[k->level] & PTE_PKEY) >> PTE_PKEY_SHIFT)) << TP_KEY_SHIFT) : 0;
}

static _Noreturn void page_fault(struct walker *k, u32 present_bits)
{
	struct cpu *c = k->c;
	u32 err = present_bits;

	if (k->access == ACCESS_WRITE)
		err |= PFEC_W;
	if (k->mode == MMU_USER)
		err |= PFEC_U;
	/* SDM 3A "Page-Fault Exceptions": I/D is set only if NX or SMEP can make a fetch differ from a read. */
	if (k->access == ACCESS_EXEC && ((k->nxe && (c->cr4 & CR4_PAE)) || (c->cr4 & CR4_SMEP)))
		err |= PFEC_I;
	mmu_forget_faulting(c, k->lin);
	cpu_raise_pf(c, k->o, k->lin, err);
}

/*
 * SDM 3C "Accessed and Dirty Flags for EPT": with them enabled, accesses to guest paging-structure entries are writes
 * as far as EPT violations and EPT's dirty flag are concerned.
 */
static hpa_t entry_address(struct walker *k, gpa_t gpa, bool write)
{
	struct ept_access a = { .rwx = EPT_R, .lin_valid = true, .lin = k->lin };
	struct ept_result r;

	if (!k->c->vmx.ept)
		return (hpa_t){ gpa.v };
	if (write || k->c->vmx.ept_ad)
		a.rwx |= EPT_W;
	ept_translate(k->c, k->o, gpa, &a, &r);
	if (vmx_on_apic_page(k->c, r.hpa))
		vmx_apic_guest_physical(k->c, k->o);
	return (hpa_t){ r.hpa };
}

static u64 read_entry(struct walker *k, unsigned level, u64 table)
{
	const struct pt_level *l = &k->fmt->level[level];
	struct machine *m = k->c->m;
	gpa_t gpa = { table + ((k->lin >> l->shift) & ((1u << l->index_bits) - 1)) * k->fmt->entry };
	u8 *p = bus_ram(&m->bus, entry_address(k, gpa, false));

	if (k->c->vmx.ept) {
		stat_add(m, STAT_WALK_REFS_GUEST, 1);
		cpu_charge(k->c, COST_WALK_REF_GUEST);
	} else {
		stat_add(m, STAT_WALK_REFS_1D, 1);
		cpu_charge(k->c, COST_WALK_REF_1D);
	}
	k->gpa[level] = gpa;
	k->host[level] = p;
	k->entry[level] = phys_read(p, k->fmt->entry);
	return k->entry[level];
}

static u8 entry_perm(const struct walker *k, u64 e)
{
	return ((e & PTE_US) ? TP_U : 0) | ((e & PTE_RW) ? TP_W : 0) | ((k->nxe && (e & PTE_NX)) ? 0 : TP_X);
}

static bool is_leaf(const struct pt_level *l, u64 e)
{
	return l->leaf == LEAF_ALWAYS || (l->leaf == LEAF_BY_PS && (e & PTE_PS));
}

/* Checks the entry at k->level: present, no reserved bit. Returns true for a leaf. */
static bool check_entry(struct walker *k, u64 e)
{
	const struct pt_level *l = &k->fmt->level[k->level];
	bool leaf = is_leaf(l, e);
	u64 reserved = leaf ? l->leaf_reserved : l->table_reserved;

	if (!(e & PTE_P))
		page_fault(k, 0);
	if (!k->nxe && k->fmt->entry == 8)
		reserved |= PTE_NX;
	if (e & reserved)
		page_fault(k, PFEC_P | PFEC_RSVD);
	return leaf;
}

static unsigned psc_find(struct walker *k)
{
	struct mmu_state *s = k->c->mmu;

	for (unsigned level = 0; level + 1 < k->fmt->levels && level < 2; level++) {
		const struct psc_entry *p = psc_slot(s, k->fmt, level, k->lin);

		if (p->key == s->cur->psc_key && p->tag == k->lin >> k->fmt->level[level + 1].shift) {
			k->table[level] = p->table;
			k->above[level] = p->perm;
			return level;
		}
	}
	return k->fmt->levels;
}

static void start_at_root(struct walker *k)
{
	struct cpu *c = k->c;

	k->top = k->fmt->levels - 1;
	k->above[k->top] = TP_U | TP_W | TP_X;
	if (!k->fmt->pae) {
		k->table[k->top] = c->cr3 & (k->fmt->entry == 4 ? 0xfffff000ull : CR3_ADDRESS & CPU_PHYS_MASK);
		return;
	}
	if (!(c->pdpte[bits(k->lin, 31, 30)] & PTE_P))
		page_fault(k, 0);
	k->table[k->top] = c->pdpte[bits(k->lin, 31, 30)] & PTE_ADDRESS & CPU_PHYS_MASK;
}

/* Down to the leaf; on return k->level is the leaf's. */
static void descend(struct walker *k)
{
	u64 e;

	k->top = psc_find(k);
	if (k->top >= k->fmt->levels)
		start_at_root(k);
	for (k->level = k->top;; k->level--) {
		e = read_entry(k, k->level, k->table[k->level]);
		if (check_entry(k, e))
			return;
		k->table[k->level - 1] = e & PTE_ADDRESS;
		k->above[k->level - 1] = k->above[k->level] & entry_perm(k, e);
	}
}

static void set_flags(struct walker *k, unsigned level, u64 flags)
{
	u64 missing = flags & ~k->entry[level];

	if (!missing)
		return;
	if (k->c->vmx.ept && !k->c->vmx.ept_ad)
		entry_address(k, k->gpa[level], true);
	k->entry[level] |= missing;
	phys_or(k->c, k->host[level], missing, k->fmt->entry);
	stat_add(k->c->m, STAT_PT_AD_SETS, 1);
	cpu_charge(k->c, COST_PT_AD_SET);
}

/*
 * Flags are set only when the walk is known to succeed, from the root down; the entries above a cached one have theirs.
 */
static void set_accessed_dirty(struct walker *k)
{
	for (unsigned level = k->top + 1; level-- > k->level + 1;)
		set_flags(k, level, PTE_A);
	set_flags(k, k->level, k->access == ACCESS_WRITE ? PTE_A | PTE_D : PTE_A);
}

static void psc_fill(struct walker *k)
{
	for (unsigned level = k->level; level < k->top && level < 2; level++) {
		struct psc_entry *p = psc_slot(k->c->mmu, k->fmt, level, k->lin);

		p->tag = k->lin >> k->fmt->level[level + 1].shift;
		p->table = k->table[level];
		p->perm = k->above[level];
		p->key = k->c->mmu->cur->psc_key;
	}
}

static u64 leaf_address(const struct walker *k)
{
	const struct pt_level *l = &k->fmt->level[k->level];
	u64 e = k->entry[k->level], in_page = (1ull << l->shift) - 1;
	u64 base = e & PTE_ADDRESS & ~in_page;

	if (k->fmt->entry == 4 && k->level == 1) /* PSE-36: bits 20:13 are address bits 39:32 */
		base = (e & 0xffc00000u) | bits(e, 20, 13) << 32;
	return base + (k->lin & in_page & ~PAGE_OFFSET_MASK);
}

/* The final step under EPT: the access to the page itself. */
static void translate_page(struct walker *k, u64 gpa, struct walk *w)
{
	static const u8 wants[] = { [ACCESS_READ] = EPT_R, [ACCESS_WRITE] = EPT_W, [ACCESS_EXEC] = EPT_X };
	struct ept_access a = { .rwx = wants[k->access], .lin_valid = true, .translated = true, .lin = k->lin,
				.guest = w->perm & (TP_U | TP_W | TP_X), .n = k->n };
	struct ept_result r;

	if (!k->c->vmx.ept) {
		w->hpa = gpa;
		w->perm |= TP_EPT_ALL;
		return;
	}
	/* The offset matters for the guest-physical address that a violation reports. */
	ept_translate(k->c, k->o, (gpa_t){ gpa | (k->lin & PAGE_OFFSET_MASK) }, &a, &r);
	w->hpa = r.hpa & ~PAGE_OFFSET_MASK;
	w->perm |= ((r.perms & EPT_R) ? TP_ER : 0) | ((r.perms & EPT_W) ? TP_EW : 0) |
		   ((r.perms & ept_fetch_right(k->c, a.guest)) ? TP_EX : 0) | (r.dirty ? TP_ED : 0) |
		   (r.spp ? TP_SPP : 0);
	w->spp_writable = r.spp_writable;
	if (r.shift < w->shift)
		w->shift = r.shift;
}

static void walk_paging(struct walker *k, struct walk *w)
{
	struct mmu_state *s = k->c->mmu;
	struct rights guest = s->rights[k->mode][k->access];
	u64 leaf;

	descend(k);
	leaf = k->entry[k->level];
	w->perm = k->above[k->level] & entry_perm(k, leaf);
	w->perm |= key_perm(k, w->perm);
	guest.need &= TP_U | TP_W | TP_X;
	if (!perm_ok(w->perm, &guest))
		page_fault(k, PFEC_P | (guest.keys >> (w->perm >> TP_KEY_SHIFT) & 1 ? PFEC_PK : 0));
	set_accessed_dirty(k);
	psc_fill(k);
	if (k->entry[k->level] & PTE_D)
		w->perm |= TP_D;
	w->gshift = w->shift = k->fmt->level[k->level].shift;
	w->global = (leaf & PTE_G) && (k->c->cr4 & CR4_PGE);
	translate_page(k, leaf_address(k), w);
}

void walk_linear(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a, enum mmu_mode mode,
		 struct walk *w)
{
	struct walker k; /* the arrays are filled as far as the walk goes: zeroing them would cost as much as a walk */

	k.c = c;
	k.o = o;
	k.fmt = c->mmu->fmt;
	k.lin = lin;
	k.n = n;
	k.access = a;
	k.mode = mode;
	k.nxe = c->efer & EFER_NXE;

	if (k.fmt || c->vmx.ept)
		stat_add(c->m, STAT_TLB_MISSES, 1);
	if (k.fmt) {
		walk_paging(&k, w);
		return;
	}
	/* CR0.PG = 0: linear addresses are guest-physical. SDM 3A "Paging Modes and Control Bits". */
	*w = (struct walk){ .perm = TP_U | TP_W | TP_X | TP_D, .gshift = PAGE_SHIFT, .shift = PAGE_SHIFT };
	translate_page(&k, lin & ~PAGE_OFFSET_MASK, w);
}
