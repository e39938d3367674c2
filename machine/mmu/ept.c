/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Extended page tables: guest-physical to host-physical. SDM 3C "The Extended Page Table Mechanism (EPT)", with
 * accessed and dirty flags and page-modification logging.
 */
#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/vmx.h"
#include "machine/cpu/sys/sys.h"
#include "machine/mmu/phys.h"
#include "machine/mmu/state.h"
#include "machine/vmx/vmx.h"

#define EPT_LEVELS 5
#define EPT_SHIFT(level) (PAGE_SHIFT + 9 * (level)) /* level 0: PTE */

enum ept_end { EPT_MAPPED, EPT_ABSENT, EPT_BAD };

/* What the meaning of entries depends on. */
struct ept_config {
	u64 cap;   /* IA32_VMX_EPT_VPID_CAP */
	bool mbec; /* mode-based execute control */
};

/* A descent: the entries read, and where it ended. */
struct ept_walk {
	u64 table;      /* where to go on; after the descent, that of the last entry */
	unsigned top, level;
	u8 *host[EPT_LEVELS];
	u64 entry[EPT_LEVELS];
	u8 perms;       /* EP_* of all entries used, ANDed */
};

/* Without mode-based execute control bit 10 is ignored: it never was the right to anything. */
static u8 entry_perms(u64 e, bool mbec)
{
	return (u8)((e & EPT_RWX) | (mbec && (e & EPT_UX) ? EP_UX : 0));
}

/* SDM 3C "EPT Misconfigurations": settings of a present entry that the manual reserves. */
static bool misconfigured(u64 e, unsigned level, bool leaf, const struct ept_config *k)
{
	u64 mt = (e & EPT_MT) >> EPT_MT_SHIFT;

	if ((e & (EPT_R | EPT_W)) == EPT_W)
		return true; /* writable, not readable */
	if (!(e & EPT_R) && entry_perms(e, k->mbec) && !(k->cap & EPT_CAP_EXECUTE_ONLY))
		return true;
	if (e & BITS(51, CPU_PHYS_BITS))
		return true;
	if (!leaf)
		return e & EPT_TABLE_RESERVED; /* EPT_PS where no page can be mapped, too */
	if (level && (e & BITS(EPT_SHIFT(level) - 1, PAGE_SHIFT)))
		return true;
	return mt == 2 || mt == 3 || mt == 7;
}

static bool is_leaf(u64 e, unsigned level, u64 cap)
{
	if (level == 0)
		return true;
	if (!(e & EPT_PS))
		return false;
	return (level == 1 && (cap & EPT_CAP_2M)) || (level == 2 && (cap & EPT_CAP_1G));
}

/* From w->top at w->table down; no effect but on *w. */
static enum ept_end descend(struct machine *m, u64 gpa, const struct ept_config *k, struct ept_walk *w)
{
	for (w->level = w->top;; w->level--) {
		u64 index = (gpa >> EPT_SHIFT(w->level)) & (PAGE_TABLE_ENTRIES - 1);
		u8 *p = bus_ram(&m->bus, (hpa_t){ w->table + index * 8 });
		u64 e = phys_read(p, 8);
		bool leaf;

		w->host[w->level] = p;
		w->entry[w->level] = e;
		w->perms &= entry_perms(e, k->mbec);
		if (!entry_perms(e, k->mbec))
			return EPT_ABSENT;
		leaf = is_leaf(e, w->level, k->cap);
		if (misconfigured(e, w->level, leaf, k))
			return EPT_BAD;
		if (leaf)
			return EPT_MAPPED;
		w->table = e & EPT_ADDRESS;
	}
}

static u64 mapped_address(const struct ept_walk *w, u64 gpa)
{
	u64 in_page = (1ull << EPT_SHIFT(w->level)) - 1;

	return (w->entry[w->level] & EPT_ADDRESS & ~in_page) | (gpa & in_page);
}

static unsigned top_level(u64 eptp)
{
	return (unsigned)((eptp & EPTP_WALK) >> EPTP_WALK_SHIFT);
}

/* SDM 3C "EPT Translation Mechanism": bits that the walk does not use must be 0. */
static bool within_width(u64 eptp, u64 gpa)
{
	return !(gpa >> EPT_SHIFT(top_level(eptp) + 1));
}

static struct ept_walk from_root(u64 eptp)
{
	return (struct ept_walk){ .table = eptp & EPTP_ADDRESS, .top = top_level(eptp), .perms = EPT_RWX | EP_UX };
}

bool ept_peek(struct machine *m, u64 eptp, gpa_t gpa, hpa_t *out)
{
	const struct ept_config any = { .cap = ~0ull, .mbec = true };
	struct ept_walk w = from_root(eptp);

	if (!within_width(eptp, gpa.v) || descend(m, gpa.v, &any, &w) != EPT_MAPPED)
		return false;
	out->v = mapped_address(&w, gpa.v);
	return true;
}

static u64 capabilities(struct cpu *c)
{
	struct mmu_state *s = c->mmu;

	if (!s->ept_cap && !vmx_msr_read(c, IA32_VMX_EPT_VPID_CAP, &s->ept_cap))
		machine_unimplemented(c, NULL, "EPT without IA32_VMX_EPT_VPID_CAP");
	return s->ept_cap;
}

static struct ept_entry *slot_table(struct mmu_state *s, u64 gpa)
{
	return &s->ept_pde[(gpa >> PAGE_SHIFT_2M) % EPT_PDE_CACHE];
}

static void start(struct cpu *c, u64 root, u64 gpa, struct ept_walk *w)
{
	const struct ept_entry *t = slot_table(c->mmu, gpa);

	if (ept_covers(t, root, gpa, PAGE_SHIFT_2M))
		*w = (struct ept_walk){ .table = t->hpa, .top = 0, .perms = t->perms };
	else
		*w = from_root(c->vmx.eptp);
}

/* `last`: the entry that the walk ended at. */
static _Noreturn void violation(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a, u8 perms,
				u64 last)
{
	struct ept_fault f = { .gpa = gpa, .lin = a->lin, .lin_valid = a->lin_valid, .translated = a->translated,
			       .access = a->rwx, .perms = perms, .suppress_ve = last & EPT_SVE,
			       .user = a->guest & TP_U, .writable = a->guest & TP_W, .no_execute = !(a->guest & TP_X) };

	ept_forget(c->mmu, ept_root_id(c->vmx.eptp), gpa.v);
	if (a->lin_valid)
		mmu_forget_faulting(c, a->lin);
	vmx_exit_ept_violation(c, o, &f);
}

static void set_entry(struct cpu *c, struct ept_walk *w, unsigned level, u64 flags, enum cost cost)
{
	u64 missing = flags & ~w->entry[level];

	if (!missing)
		return;
	w->entry[level] |= missing;
	phys_or(c, w->host[level], missing, 8);
	cpu_charge(c, cost);
}

/*
 * SDM 3C "Page-Modification Logging": the log entry comes first; when the log is full the CPU exits instead and no flag
 * changes. One entry a dirty flag: a large page is logged once, with the 4 KiB address that was written.
 */
static void set_accessed_dirty(struct cpu *c, const struct op *o, struct ept_walk *w, gpa_t gpa, bool write)
{
	bool dirties = write && !(w->entry[w->level] & EPT_D);

	if (dirties && c->vmx.pml) {
		vmx_pml_log(c, o, (gpa_t){ gpa.v & ~PAGE_OFFSET_MASK });
		stat_add(c->m, STAT_PML_ENTRIES, 1);
		cpu_charge(c, COST_PML_LOG);
	}
	for (unsigned level = w->top + 1; level-- > w->level + 1;)
		set_entry(c, w, level, EPT_A, COST_EPT_ACCESSED_SET);
	if (!dirties) {
		set_entry(c, w, w->level, EPT_A, COST_EPT_ACCESSED_SET);
		return;
	}
	stat_add(c->m, STAT_EPT_DIRTY_SETS, 1);
	set_entry(c, w, w->level, EPT_A | EPT_D, COST_EPT_DIRTY_SET);
}

static u8 table_perms(const struct ept_walk *w, bool mbec)
{
	u8 perms = EPT_RWX | EP_UX;

	for (unsigned level = 1; level <= w->top; level++)
		perms &= entry_perms(w->entry[level], mbec);
	return perms;
}

/* A page whose writes sub-page permissions may allow: SDM 3C "Sub-Page Write Permissions". */
static bool has_spp(const struct cpu *c, const struct ept_walk *w)
{
	return c->vmx.spp && w->level == 0 && (w->entry[0] & EPT_SPP) && (w->perms & (EPT_R | EPT_W)) == EPT_R;
}

static void fill(struct cpu *c, const struct ept_walk *w, u64 root, u64 gpa)
{
	struct mmu_state *s = c->mmu;
	unsigned shift = w->level ? PAGE_SHIFT_2M : PAGE_SHIFT;
	u64 base = gpa >> shift << shift;

	*(w->level ? ept_slot_large(s, gpa) : ept_slot_4k(s, gpa)) = (struct ept_entry){
		.gpa = base, .hpa = mapped_address(w, base), .root = root, .perms = w->perms,
		.shift = EPT_SHIFT(w->level), .spp = has_spp(c, w),
		.dirty = !c->vmx.ept_ad || (w->entry[w->level] & EPT_D),
	};
	if (w->level == 0 && w->top > 0)
		*slot_table(s, gpa) = (struct ept_entry){
			.gpa = gpa >> PAGE_SHIFT_2M << PAGE_SHIFT_2M, .hpa = w->table, .root = root,
			.perms = table_perms(w, c->vmx.mbec),
		};
}

/* The permissions that the access needs, as the entries' EP_*. */
static u8 needed(const struct cpu *c, const struct ept_access *a)
{
	return a->rwx & EPT_X ? ept_fetch_right(c, a->guest) : a->rwx;
}

static enum ept_end lookup(struct cpu *c, u64 root, u64 gpa, struct ept_walk *w)
{
	const struct ept_config k = { capabilities(c), c->vmx.mbec };
	enum ept_end end;

	if (!within_width(c->vmx.eptp, gpa))
		return EPT_ABSENT;
	start(c, root, gpa, w);
	end = descend(c->m, gpa, &k, w);
	stat_add(c->m, STAT_WALK_REFS_EPT, w->top - w->level + 1);
	c->budget -= (s64)c->m->costs->cycles[COST_WALK_REF_EPT] * (w->top - w->level + 1);
	return end;
}

/*
 * The access wants rights that the entries do not give. A write may still be allowed by the sub-page permissions of all
 * sub-pages that it touches; the walker's own updates of guest paging structures are not eligible. A violation is that
 * of the first byte that may not be written.
 */
static void check_subpages(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a,
			   const struct ept_walk *w, struct ept_result *r)
{
	struct ept_access denied = *a;
	u32 touched, bad;
	u64 skip;

	if (!(a->rwx & EPT_W) || !a->translated || !has_spp(c, w))
		violation(c, o, gpa, a, w->perms, w->entry[w->level]);
	r->spp_writable = spp_lookup(c, o, gpa, a);
	touched = spp_touched(gpa.v, a->n);
	bad = touched & ~r->spp_writable;
	if (!bad)
		return;
	skip = (gpa.v & ~PAGE_OFFSET_MASK) + ((u64)__builtin_ctz(bad) << SPP_SUBPAGE_SHIFT);
	skip = skip > gpa.v ? skip - gpa.v : 0;
	denied.lin += skip;
	violation(c, o, (gpa_t){ gpa.v + skip }, &denied, w->perms, w->entry[w->level]);
}

static void walk(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a, struct ept_result *r)
{
	u64 root = ept_root_id(c->vmx.eptp);
	struct ept_walk w = { .entry = { [0] = EPT_SVE } }; /* no entry, no #VE: beyond the width */
	enum ept_end end = lookup(c, root, gpa.v, &w);

	if (end == EPT_BAD) {
		ept_forget(c->mmu, root, gpa.v);
		vmx_exit_ept_misconfig(c, o, gpa);
	}
	if (end == EPT_ABSENT)
		violation(c, o, gpa, a, 0, w.entry[w.level]);
	*r = (struct ept_result){ .hpa = mapped_address(&w, gpa.v), .perms = w.perms, .shift = EPT_SHIFT(w.level),
				  .spp = has_spp(c, &w) };
	if (needed(c, a) & ~w.perms)
		check_subpages(c, o, gpa, a, &w, r);
	if (c->vmx.ept_ad)
		set_accessed_dirty(c, o, &w, gpa, a->rwx & EPT_W);
	r->dirty = !c->vmx.ept_ad || (w.entry[w.level] & EPT_D);
	fill(c, &w, root, gpa.v);
}

void ept_translate(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a, struct ept_result *r)
{
	const struct ept_entry *e = ept_cached(c->mmu, ept_root_id(c->vmx.eptp), gpa.v, needed(c, a));

	if (!e) {
		walk(c, o, gpa, a, r);
		return;
	}
	*r = (struct ept_result){ .hpa = ept_entry_address(e, gpa.v), .perms = e->perms, .shift = e->shift,
				  .dirty = e->dirty, .spp = e->spp };
}

static void drop_if(struct ept_entry *e, unsigned n, u64 root)
{
	for (unsigned i = 0; i < n; i++)
		if (!root || e[i].root == root)
			e[i].root = 0;
}

/* root 0: all. */
void ept_flush_root(struct mmu_state *s, u64 root)
{
	drop_if(s->ept, EPT_TLB, root);
	drop_if(s->ept_large, EPT_TLB_LARGE, root);
	drop_if(s->ept_pde, EPT_PDE_CACHE, root);
}

void ept_flush(struct mmu_state *s)
{
	ept_flush_root(s, 0);
}

void ept_forget(struct mmu_state *s, u64 root, u64 gpa)
{
	if (ept_covers(ept_slot_4k(s, gpa), root, gpa, PAGE_SHIFT))
		ept_slot_4k(s, gpa)->root = 0;
	if (ept_covers(ept_slot_large(s, gpa), root, gpa, PAGE_SHIFT_2M))
		ept_slot_large(s, gpa)->root = 0;
	if (ept_covers(slot_table(s, gpa), root, gpa, PAGE_SHIFT_2M))
		slot_table(s, gpa)->root = 0;
}
