/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What invalidates cached translations. SDM 3A "Operations that Invalidate TLBs and Paging-Structure Caches"; SDM 3C
 * "Operations that Invalidate Cached Mappings".
 */
#include "arch/paging.h"
#include "arch/vmx.h"
#include "arch/x86.h"
#include "machine/mmu/format.h"
#include "machine/mmu/state.h"

/* Which contexts; ANY in a member matches all. */
struct which {
	u64 ept;
	u32 vpid, pcid;
	bool not_vpid0, with_ept;
};
#define ANY_EPT (~0ull)
#define ANY     (~0u)

static bool matches(const struct tlb_ctx *x, const struct which *w)
{
	if (!x->used || (w->not_vpid0 && x->id.vpid == 0) || (w->with_ept && !x->id.ept))
		return false;
	return (w->ept == ANY_EPT || w->ept == x->id.ept) && (w->vpid == ANY || w->vpid == x->id.vpid) &&
	       (w->pcid == ANY || w->pcid == x->id.pcid);
}

static void renew_group(struct cpu *c, const struct tlb_ctx *of)
{
	struct mmu_state *s = c->mmu;
	u32 gkey = mmu_new_key(c);

	for (unsigned i = 0; i < TLB_CONTEXTS; i++) {
		struct tlb_ctx *x = &s->ctx[i];

		if (x->used && x->id.vpid == of->id.vpid && x->id.ept == of->id.ept && x->id.apic == of->id.apic) {
			x->gkey = gkey;
			x->fast_epoch = s->fast_epoch - 1; /* fast tags to global pages go by a new number too */
		}
	}
}

static void flush(struct cpu *c, const struct which *w, bool globals)
{
	struct mmu_state *s = c->mmu;

	stat_add(c->m, STAT_TLB_FLUSHES, 1);
	for (unsigned i = 0; i < TLB_CONTEXTS; i++) {
		struct tlb_ctx *x = &s->ctx[i];

		if (!matches(x, w))
			continue;
		x->key = x->psc_key = mmu_new_key(c);
		x->fast_epoch = s->fast_epoch - 1;
		if (globals)
			renew_group(c, x);
	}
	mmu_activate(c);
}

static u64 current_ept(const struct cpu *c)
{
	return c->vmx.ept ? ept_root_id(c->vmx.eptp) : 0;
}

static void flush_here(struct cpu *c, u32 pcid, bool globals)
{
	const struct which w = { .ept = current_ept(c), .vpid = c->vmx.vpid, .pcid = pcid };

	flush(c, &w, globals);
}

void mmu_flush_all(struct cpu *c)
{
	mmu_update_mode(c);
	cpu_charge(c, COST_TLB_FLUSH);
	flush_here(c, ANY, true);
}

void mmu_flush_current(struct cpu *c, bool keep_global)
{
	mmu_update_mode(c);
	cpu_charge(c, COST_TLB_FLUSH);
	flush_here(c, c->mmu->cur->id.pcid, !keep_global);
}

void mmu_cr3_written(struct cpu *c, bool noflush)
{
	mmu_update_mode(c);
	if (noflush)
		return;
	cpu_charge(c, COST_TLB_FLUSH);
	flush_here(c, c->mmu->cur->id.pcid, false);
}

/*
 * The manual asks for linear and combined mappings. Guest-physical ones may go at any time (SDM 3C 29.4.3.1), and go
 * here too: a guest without a VPID finds nothing of its last stay, so that a dirty flag cleared meanwhile is seen.
 */
void mmu_flush_vpid0(struct cpu *c)
{
	const struct which w = { .ept = ANY_EPT, .vpid = 0, .pcid = ANY };

	ept_flush(c->mmu);
	flush(c, &w, true);
}

/* SDM 3A: all paging-structure-cache entries of the PCID go, whatever the address. */
void mmu_invlpg(struct cpu *c, u64 lin)
{
	struct mmu_state *s = c->mmu;

	stat_add(c->m, STAT_INVLPGS, 1);
	tlb_drop_address(c, lin, s->key, s->gkey);
	s->cur->psc_key = mmu_new_key(c);
	mmu_activate(c);
	tlb_fetch_stale(c, lin);
}

static void drop_address_in(struct cpu *c, const struct which *w, u64 lin, bool globals)
{
	struct mmu_state *s = c->mmu;

	stat_add(c->m, STAT_INVLPGS, 1);
	for (unsigned i = 0; i < TLB_CONTEXTS; i++) {
		struct tlb_ctx *x = &s->ctx[i];

		if (!matches(x, w))
			continue;
		tlb_drop_address(c, lin, x->key, globals ? x->gkey : 0);
		x->psc_key = mmu_new_key(c);
		x->fast_epoch = s->fast_epoch - 1; /* decoded code is found by it */
	}
	mmu_activate(c);
}

enum { INVPCID_ADDRESS, INVPCID_PCID, INVPCID_ALL, INVPCID_ALL_NONGLOBAL };

void mmu_invpcid(struct cpu *c, unsigned type, u16 pcid, u64 lin)
{
	const struct which w = { .ept = current_ept(c), .vpid = c->vmx.vpid, .pcid = pcid };

	if (type == INVPCID_ADDRESS) {
		drop_address_in(c, &w, lin, false);
		return;
	}
	cpu_charge(c, COST_TLB_FLUSH);
	flush_here(c, type == INVPCID_PCID ? pcid : ANY, type == INVPCID_ALL);
}

/* The instruction's own cost is charged by the vmx room. */
void mmu_invvpid(struct cpu *c, unsigned type, u16 vpid, u64 lin)
{
	struct which w = { .ept = ANY_EPT, .vpid = vpid, .pcid = ANY };

	if (type == INVVPID_ADDRESS) {
		drop_address_in(c, &w, lin, true);
		return;
	}
	if (type == INVVPID_ALL) {
		w.vpid = ANY;
		w.not_vpid0 = true;
	}
	flush(c, &w, type != INVVPID_SINGLE_NONGLOBAL);
}

/* SDM 3C "INVEPT": guest-physical and combined mappings of all VPIDs and PCIDs. */
void mmu_invept(struct cpu *c, unsigned type, u64 eptp)
{
	struct which w = { .ept = ept_root_id(eptp), .vpid = ANY, .pcid = ANY };

	if (type == INVEPT_ALL) {
		w.ept = ANY_EPT;
		w.with_ept = true;
		ept_flush(c->mmu);
	} else {
		ept_flush_root(c->mmu, w.ept);
	}
	flush(c, &w, true);
}

/*
 * SDM 3A: a page fault invalidates the translations of its address in the current PCID and the paging-structure-cache
 * entries that would be used for it. SDM 3C: so does an EPT violation with the combined mappings.
 */
void mmu_forget_faulting(struct cpu *c, u64 lin)
{
	struct mmu_state *s = c->mmu;

	tlb_fetch_stale(c, lin);
	tlb_drop_address(c, lin, s->key, s->gkey);
	if (!s->fmt)
		return;
	for (unsigned level = 0; level + 1 < s->fmt->levels && level < 2; level++) {
		struct psc_entry *p = psc_slot(s, s->fmt, level, lin);

		if (p->key == s->cur->psc_key && p->tag == lin >> s->fmt->level[level + 1].shift)
			p->key = 0;
	}
}
