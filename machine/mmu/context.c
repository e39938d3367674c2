/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Contexts: which cached translations belong to the running address space, and what accesses are allowed in each mode.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/block.h"
#include "machine/cpu/sys/sys.h"
#include "machine/mmu/format.h"
#include "machine/mmu/state.h"

/* Fast tags have 12 bits for the context; all ones is part of the empty tag. */
#define FAST_NUMBERS 0xfffu

static void clear_fast_array(struct tlb_fast *t)
{
	memset(t, 0xff, TLB_SIZE * sizeof(*t));
}

void tlb_fast_clear(struct cpu *c)
{
	for (unsigned mode = 0; mode < MMU_MODES; mode++)
		clear_fast_array(c->tlb_of[mode]);
}

u32 mmu_new_key(struct cpu *c)
{
	struct mmu_state *s = c->mmu;

	if (unlikely(++s->serial == 0)) {
		/*
		 * Keys start over: what the old ones marked has to go. Contexts get new ones when they are next used.
		 */
		memset(s->tlb, 0, sizeof(s->tlb));
		memset(s->large, 0, sizeof(s->large));
		memset(s->pde, 0, sizeof(s->pde));
		memset(s->pdpte, 0, sizeof(s->pdpte));
		memset(s->pieces, 0, sizeof(s->pieces));
		for (unsigned i = 0; i < TLB_CONTEXTS; i++)
			s->ctx[i].used = false;
		s->serial = 1;
	}
	return s->serial;
}

static u16 new_fast_number(struct cpu *c)
{
	struct mmu_state *s = c->mmu;

	if (s->fast_next == FAST_NUMBERS) {
		tlb_fast_clear(c);
		code_tlb_changed(c);
		s->fast_epoch++;
		s->fast_next = 0;
	}
	return s->fast_next++;
}

static bool same_id(const struct ctx_id *a, const struct ctx_id *b)
{
	return a->pcid == b->pcid && a->vpid == b->vpid && a->ept == b->ept && a->apic == b->apic && a->paging == b->paging;
}

static struct ctx_id current_id(const struct cpu *c)
{
	return (struct ctx_id){
		.ept = c->vmx.ept ? ept_root_id(c->vmx.eptp) : 0,
		.apic = c->vmx.apic_page,
		.vpid = c->vmx.vpid,
		.pcid = (c->cr4 & CR4_PCIDE) ? c->cr3 & CR3_PCID : 0,
		.paging = c->cr0 & CR0_PG,
	};
}

/* The key of global pages is shared by all contexts of one VPID and EPT (and one APIC-access page). */
static u32 group_key(struct cpu *c, const struct ctx_id *id)
{
	struct mmu_state *s = c->mmu;

	for (unsigned i = 0; i < TLB_CONTEXTS; i++)
		if (s->ctx[i].used && s->ctx[i].id.vpid == id->vpid && s->ctx[i].id.ept == id->ept &&
		    s->ctx[i].id.apic == id->apic)
			return s->ctx[i].gkey;
	return mmu_new_key(c);
}

static struct tlb_ctx *find_ctx(struct cpu *c, const struct ctx_id *id)
{
	struct mmu_state *s = c->mmu;
	struct tlb_ctx *x;
	u32 key, gkey;

	for (unsigned i = 0; i < TLB_CONTEXTS; i++)
		if (s->ctx[i].used && same_id(&s->ctx[i].id, id))
			return &s->ctx[i];
	key = mmu_new_key(c);
	gkey = group_key(c, id);
	x = &s->ctx[s->victim];
	s->victim = (s->victim + 1) % TLB_CONTEXTS;
	*x = (struct tlb_ctx){ .id = *id, .used = true, .key = key, .gkey = gkey, .psc_key = key, .fast_epoch = ~0u };
	return x;
}

void mmu_activate(struct cpu *c)
{
	struct mmu_state *s = c->mmu;
	struct ctx_id id = current_id(c);
	struct tlb_ctx *x = s->cur;

	if (!x || !x->used || !same_id(&x->id, &id))
		x = find_ctx(c, &id);
	s->cur = x;
	s->key = x->key;
	s->gkey = x->gkey;
	/*
	 * A new root under an old PCID: software keeps its translations, but the oracle tells address spaces apart by
	 * CR3.
	 */
	if (x->fast_epoch != s->fast_epoch || x->fast_cfg != s->cfg || x->root != (c->cr3 & CR3_ADDRESS)) {
		x->fast = new_fast_number(c);
		x->fast_epoch = s->fast_epoch;
		x->fast_cfg = s->cfg;
		x->root = c->cr3 & CR3_ADDRESS;
	}
	c->ctx = x->fast;
	c->jump_tag = (c->jump_tag & ~((JUMP_GENERATION - 1) & ~0xffull)) | (u64)c->ctx << JUMP_CONTEXT_SHIFT;
}

const struct pt_format *pt_format_of(u64 cr0, u64 cr4, u64 efer)
{
	if (!(cr0 & CR0_PG))
		return NULL;
	if (efer & EFER_LMA)
		return cr4 & CR4_LA57 ? &pt_5level : &pt_4level;
	if (cr4 & CR4_PAE)
		return &pt_pae;
	return (cr4 & CR4_PSE) ? &pt_32bit_pse : &pt_32bit;
}

/* PKRU counts in IA-32e mode with CR4.PKE. */
static u32 protection_keys(const struct cpu *c)
{
	return (c->cr4 & CR4_PKE) && (c->efer & EFER_LMA) && (c->cr0 & CR0_PG) ? c->pkru : 0;
}

static u64 permission_config(const struct cpu *c)
{
	return (u64)protection_keys(c) << 32 | ((c->cr0 & CR0_WP) ? CFG_WP : 0) | ((c->cr4 & CR4_SMEP) ? CFG_SMEP : 0) |
	       ((c->cr4 & CR4_SMAP) ? CFG_SMAP : 0) | ((c->cr0 & CR0_PG) ? CFG_PG : 0);
}

/* SDM 3A "Protection Keys": AD forbids data accesses, WD writes, those of supervisors only with CR0.WP. */
static void set_key_rights(struct mmu_state *s, u32 pkru)
{
	u32 no_access = 0, no_write = 0;

	for (unsigned key = 0; key < 16; key++) {
		no_access |= pkru & PKRU_AD(key) ? 2u << key : 0;
		no_write |= pkru & (PKRU_AD(key) | PKRU_WD(key)) ? 2u << key : 0;
	}
	for (unsigned mode = 0; mode < MMU_MODES; mode++) {
		s->rights[mode][ACCESS_READ].keys = no_access;
		s->rights[mode][ACCESS_WRITE].keys = mode == MMU_USER || (s->cfg & CFG_WP) ? no_write : no_access;
	}
}

/* SDM 3A "Determination of Access Rights". Rows: mode; columns: read, write, execute. */
static void set_access_rights(struct mmu_state *s)
{
	u8 wp = (s->cfg & CFG_WP) ? TP_W : 0;
	u8 smap = (s->cfg & CFG_PG) && (s->cfg & CFG_SMAP) ? TP_U : 0;
	u8 smep = (s->cfg & CFG_PG) && (s->cfg & CFG_SMEP) ? TP_U : 0;
	u16 write = TP_EW | TP_D | TP_ED, exec = TP_EX | TP_X;
	const struct rights rights[MMU_MODES][3] = {
		[MMU_USER] = { { TP_ER | TP_U, 0, 0 }, { write | TP_W | TP_U, 0, 0 }, { exec | TP_U, 0, 0 } },
		[MMU_SUPER] = { { TP_ER, smap, 0 }, { write | wp, smap, 0 }, { exec, smep, 0 } },
		[MMU_SUPER_AC] = { { TP_ER, 0, 0 }, { write | wp, 0, 0 }, { exec, smep, 0 } },
	};

	memcpy(s->rights, rights, sizeof(rights));
	set_key_rights(s, (u32)(s->cfg >> 32));
}

static bool unchanged(const struct cpu *c)
{
	const struct mmu_state *s = c->mmu;

	return s->cr3 == c->cr3 && s->cr0 == c->cr0 && s->cr4 == c->cr4 && s->efer == c->efer && s->cur &&
	       s->vpid == c->vmx.vpid && s->pkru == c->pkru && s->ept_on == c->vmx.ept && s->eptp == c->vmx.eptp &&
	       s->apic == c->vmx.apic_page;
}

static void reconfigure(struct cpu *c)
{
	struct mmu_state *s = c->mmu;

	s->cr0 = c->cr0;
	s->cr3 = c->cr3;
	s->cr4 = c->cr4;
	s->efer = c->efer;
	s->pkru = c->pkru;
	s->vpid = c->vmx.vpid;
	s->ept_on = c->vmx.ept;
	s->eptp = c->vmx.eptp;
	s->apic = c->vmx.apic_page;
	s->fmt = pt_format_of(c->cr0, c->cr4, c->efer);
	s->cfg = permission_config(c);
	set_access_rights(s);
	mmu_activate(c);
}

void mmu_update_mode(struct cpu *c)
{
	struct mmu_state *s = c->mmu;

	if (unlikely(!unchanged(c)))
		reconfigure(c);
	s->align_check = c->cpl == 3 && (c->cr0 & CR0_AM) && (c->eflags & EFLAGS_AC);
	if (c->cpl == 3)
		c->mmu_mode = MMU_USER;
	else
		c->mmu_mode = ((c->cr4 & CR4_SMAP) && !(c->eflags & EFLAGS_AC)) ? MMU_SUPER : MMU_SUPER_AC;
	c->tlb = s->align_check || sys_breakpoints(c) ? s->none : c->tlb_of[c->mmu_mode];
}

/* Contexts are numbered anew, so that a machine goes on alike whether it saved a snapshot or resumed from it. */
void mmu_clear(struct cpu *c)
{
	struct mmu_state *s = c->mmu;
	struct tlb_fast *none = s->none;

	memset(s, 0, sizeof(*s));
	s->none = none;
	tlb_fast_clear(c);
	code_tlb_changed(c);
	mmu_update_mode(c);
}

static void *allocate(size_t size)
{
	void *p = aligned_alloc(64, (size + 63) & ~(size_t)63);

	if (!p) {
		fprintf(stderr, "ooh-machine: mmu: out of memory\n");
		exit(STATUS_ENVIRONMENT);
	}
	return p;
}

void mmu_init(struct cpu *c)
{
	c->mmu = allocate(sizeof(*c->mmu));
	memset(c->mmu, 0, sizeof(*c->mmu));
	for (unsigned mode = 0; mode < MMU_MODES; mode++)
		c->tlb_of[mode] = allocate(TLB_SIZE * sizeof(struct tlb_fast));
	c->mmu->none = allocate(TLB_SIZE * sizeof(struct tlb_fast));
	clear_fast_array(c->mmu->none);
	mmu_clear(c);
}

static void look_tlb(struct snap *sn, const char *name, const struct tlb_entry *e, unsigned n)
{
	u64 v[TLB_SIZE][3];

	for (unsigned i = 0; i < n; i++) {
		v[i][0] = e[i].page;
		v[i][1] = e[i].hpa;
		v[i][2] = (u64)e[i].key << 32 | (u64)e[i].perm << 16 | (u64)e[i].gshift << 8 | e[i].shift;
	}
	snap_bytes(sn, name, v, n * sizeof(v[0]));
}

static void look_psc(struct snap *sn, const char *name, const struct psc_entry *e, unsigned n)
{
	u64 v[PDE_CACHE][3];

	for (unsigned i = 0; i < n; i++) {
		v[i][0] = e[i].tag;
		v[i][1] = e[i].table;
		v[i][2] = (u64)e[i].key << 32 | e[i].perm;
	}
	snap_bytes(sn, name, v, n * sizeof(v[0]));
}

static void look_ept(struct snap *sn, const char *name, const struct ept_entry *e, unsigned n)
{
	u64 v[EPT_TLB][4];

	for (unsigned i = 0; i < n; i++) {
		v[i][0] = e[i].gpa;
		v[i][1] = e[i].hpa;
		v[i][2] = e[i].root;
		v[i][3] = (u64)e[i].perms << 24 | (u64)e[i].spp << 16 | (u64)e[i].shift << 8 | e[i].dirty;
	}
	snap_bytes(sn, name, v, n * sizeof(v[0]));
}

/* What decides the cost of the next access. Not the fast TLB: each engine has its own shortcuts. */
static void look_caches(const struct mmu_state *s, struct snap *sn)
{
	look_tlb(sn, "tlb", s->tlb, TLB_SIZE);
	look_tlb(sn, "tlb.large", s->large, TLB_LARGE);
	look_psc(sn, "tlb.pde", s->pde, PDE_CACHE);
	look_psc(sn, "tlb.pdpte", s->pdpte, PDPTE_CACHE);
	look_ept(sn, "tlb.ept", s->ept, EPT_TLB);
	look_ept(sn, "tlb.ept_large", s->ept_large, EPT_TLB_LARGE);
	look_ept(sn, "tlb.ept_pde", s->ept_pde, EPT_PDE_CACHE);
}

/* What is cached is not state that a snapshot keeps: it is dropped on both sides. */
void mmu_snap(struct cpu *c, struct snap *sn)
{
	if (snap_looking(sn))
		look_caches(c->mmu, sn);
	else
		mmu_clear(c);
}
