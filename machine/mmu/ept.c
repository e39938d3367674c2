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

#define EPT_LEVELS 4
#define EPT_SHIFT(level) (PAGE_SHIFT + 9 * (level)) /* level 0: PTE */

enum ept_end { EPT_MAPPED, EPT_ABSENT, EPT_BAD };

/* A descent: the entries read, and where it ended. */
struct ept_walk {
	u64 table;      /* where to go on; after the descent, that of the last entry */
	unsigned top, level;
	u8 *host[EPT_LEVELS];
	u64 entry[EPT_LEVELS];
	u8 rwx;         /* permissions of all entries used, ANDed */
};

/*
 * SDM 3C "EPT Misconfigurations": settings of a present entry that the manual reserves. `cap` is IA32_VMX_EPT_VPID_CAP.
 */
static bool misconfigured(u64 e, unsigned level, bool leaf, u64 cap)
{
	u64 mt = (e & EPT_MT) >> EPT_MT_SHIFT;

	if ((e & (EPT_R | EPT_W)) == EPT_W)
		return true; /* writable, not readable */
	if ((e & EPT_RWX) == EPT_X && !(cap & EPT_CAP_EXECUTE_ONLY))
		return true;
	if (e & BITS(51, CPU_PHYS_BITS))
		return true;
	if (!leaf)
		return e & (level == 3 ? EPT_TABLE_RESERVED : EPT_TABLE_RESERVED & ~EPT_PS);
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

/* From w->top at w->table down; no effect but on *w. An EPT_PS that the CPU does not support is a reserved bit. */
static enum ept_end descend(struct machine *m, u64 gpa, u64 cap, struct ept_walk *w)
{
	for (w->level = w->top;; w->level--) {
		u64 index = (gpa >> EPT_SHIFT(w->level)) & (PAGE_TABLE_ENTRIES - 1);
		u8 *p = bus_ram(&m->bus, (hpa_t){ w->table + index * 8 });
		u64 e = phys_read(p, 8);
		bool leaf;

		w->host[w->level] = p;
		w->entry[w->level] = e;
		w->rwx &= e;
		if (!(e & EPT_RWX))
			return EPT_ABSENT;
		leaf = is_leaf(e, w->level, cap);
		if (misconfigured(e, w->level, leaf, cap) || (!leaf && (e & EPT_PS)))
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

bool ept_peek(struct machine *m, u64 eptp, gpa_t gpa, hpa_t *out)
{
	struct ept_walk w = { .table = eptp & EPTP_ADDRESS, .top = EPT_LEVELS - 1, .rwx = EPT_RWX };

	if (gpa.v >> 48 || descend(m, gpa.v, ~0ull, &w) != EPT_MAPPED)
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

static struct ept_entry *slot_4k(struct mmu_state *s, u64 gpa)
{
	return &s->ept[(gpa >> PAGE_SHIFT) % EPT_TLB];
}

static struct ept_entry *slot_large(struct mmu_state *s, u64 gpa)
{
	return &s->ept_large[(gpa >> PAGE_SHIFT_2M) % EPT_TLB_LARGE];
}

static struct ept_entry *slot_table(struct mmu_state *s, u64 gpa)
{
	return &s->ept_pde[(gpa >> PAGE_SHIFT_2M) % EPT_PDE_CACHE];
}

static bool covers(const struct ept_entry *e, u64 root, u64 gpa, unsigned shift)
{
	return e->root == root && e->gpa == gpa >> shift << shift;
}

static const struct ept_entry *cached(struct mmu_state *s, u64 root, u64 gpa, u8 rwx)
{
	const struct ept_entry *found[2] = { slot_4k(s, gpa), slot_large(s, gpa) };

	for (unsigned i = 0; i < 2; i++) {
		const struct ept_entry *e = found[i];

		if (covers(e, root, gpa, i ? PAGE_SHIFT_2M : PAGE_SHIFT) && (e->rwx & rwx) == rwx &&
		    (e->dirty || !(rwx & EPT_W)))
			return e;
	}
	return NULL;
}

static void start(struct cpu *c, u64 root, u64 gpa, struct ept_walk *w)
{
	const struct ept_entry *t = slot_table(c->mmu, gpa);

	if (covers(t, root, gpa, PAGE_SHIFT_2M))
		*w = (struct ept_walk){ .table = t->hpa, .top = 0, .rwx = t->rwx };
	else
		*w = (struct ept_walk){ .table = c->vmx.eptp & EPTP_ADDRESS, .top = EPT_LEVELS - 1, .rwx = EPT_RWX };
}

static _Noreturn void violation(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a, u8 perms)
{
	struct ept_fault f = { .gpa = gpa, .lin = a->lin, .lin_valid = a->lin_valid, .translated = a->translated,
			       .access = a->rwx, .perms = perms };

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
	phys_or(c->m, w->host[level], missing, 8);
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

static void fill(struct cpu *c, const struct ept_walk *w, u64 root, u64 gpa)
{
	struct mmu_state *s = c->mmu;
	unsigned shift = w->level ? PAGE_SHIFT_2M : PAGE_SHIFT;
	u64 base = gpa >> shift << shift;

	*(w->level ? slot_large(s, gpa) : slot_4k(s, gpa)) = (struct ept_entry){
		.gpa = base, .hpa = mapped_address(w, base), .root = root, .rwx = w->rwx, .shift = EPT_SHIFT(w->level),
		.dirty = !c->vmx.ept_ad || (w->entry[w->level] & EPT_D),
	};
	if (w->level == 0 && w->top > 0)
		*slot_table(s, gpa) = (struct ept_entry){
			.gpa = gpa >> PAGE_SHIFT_2M << PAGE_SHIFT_2M, .hpa = w->table, .root = root,
			.rwx = (u8)(w->entry[1] & w->entry[2] & w->entry[3] & EPT_RWX),
		};
}

static void walk(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a, struct ept_walk *w)
{
	u64 root = ept_root_id(c->vmx.eptp);
	enum ept_end end = EPT_ABSENT;

	w->rwx = 0;
	if (!(gpa.v >> 48)) { /* beyond what four levels translate: SDM 3C "EPT Translation Mechanism" */
		start(c, root, gpa.v, w);
		end = descend(c->m, gpa.v, capabilities(c), w);
		stat_add(c->m, STAT_WALK_REFS_EPT, w->top - w->level + 1);
		c->budget -= (s64)c->m->costs->cycles[COST_WALK_REF_EPT] * (w->top - w->level + 1);
	}
	if (end == EPT_BAD) {
		ept_forget(c->mmu, root, gpa.v);
		vmx_exit_ept_misconfig(c, o, gpa);
	}
	if (end == EPT_ABSENT || (a->rwx & ~w->rwx))
		violation(c, o, gpa, a, end == EPT_ABSENT ? 0 : w->rwx & EPT_RWX);
	if (c->vmx.ept_ad)
		set_accessed_dirty(c, o, w, gpa, a->rwx & EPT_W);
	fill(c, w, root, gpa.v);
}

void ept_translate(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a, struct ept_result *r)
{
	const struct ept_entry *e = cached(c->mmu, ept_root_id(c->vmx.eptp), gpa.v, a->rwx);
	struct ept_walk w;

	if (e) {
		unsigned shift = e->shift == PAGE_SHIFT ? PAGE_SHIFT : PAGE_SHIFT_2M;

		*r = (struct ept_result){ e->hpa | (gpa.v & ((1ull << shift) - 1)), e->rwx, e->shift, e->dirty };
		return;
	}
	walk(c, o, gpa, a, &w);
	*r = (struct ept_result){ mapped_address(&w, gpa.v), w.rwx, EPT_SHIFT(w.level),
				  !c->vmx.ept_ad || (w.entry[w.level] & EPT_D) };
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
	if (covers(slot_4k(s, gpa), root, gpa, PAGE_SHIFT))
		slot_4k(s, gpa)->root = 0;
	if (covers(slot_large(s, gpa), root, gpa, PAGE_SHIFT_2M))
		slot_large(s, gpa)->root = 0;
	if (covers(slot_table(s, gpa), root, gpa, PAGE_SHIFT_2M))
		slot_table(s, gpa)->root = 0;
}
