/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The architectural TLB's arrays: look up, fill, drop. */
#include <string.h>

#include "arch/paging.h"
#include "machine/mmu/format.h"
#include "machine/mmu/state.h"
#include "machine/vmx/vmx.h"

static bool key_matches(u32 key, u32 own, u32 global)
{
	return key == own || key == global;
}

struct tlb_entry *tlb_find(struct mmu_state *s, u64 page)
{
	struct tlb_entry *e = &s->tlb[tlb_index(page)];

	return e->page == page && key_matches(e->key, s->key, s->gkey) ? e : NULL;
}

/* Slots by the size that is translated: 2 MiB and 4 MiB pages share theirs with 1 GiB pages. */
static struct tlb_entry *large_slot(struct mmu_state *s, u64 lin, unsigned shift)
{
	return &s->large[(lin >> shift) % TLB_LARGE];
}

struct tlb_entry *tlb_find_large(struct mmu_state *s, u64 lin, const struct rights *r)
{
	static const u8 shifts[] = { 21, 30, 22 };

	for (unsigned i = 0; i < sizeof(shifts); i++) {
		struct tlb_entry *e = large_slot(s, lin, shifts[i]);

		if (e->key && e->shift == shifts[i] && (e->page ^ lin) >> shifts[i] == 0 &&
		    key_matches(e->key, s->key, s->gkey) && perm_ok(e->perm, r))
			return e;
	}
	return NULL;
}

static unsigned spp_index(u64 page)
{
	return (unsigned)(page >> PAGE_SHIFT) % SPP_CACHE;
}

bool tlb_spp_allows(const struct mmu_state *s, const struct tlb_entry *e, u64 lin, unsigned n, const struct rights *r)
{
	const struct spp_entry *p = &s->spp[spp_index(e->page)];

	if (!(e->perm & TP_SPP) || !perm_ok(e->perm | TP_EW, r))
		return false;
	return p->key == e->key && p->page == e->page && !(spp_touched(lin, n) & ~p->writable);
}

/* What a walk has not looked up is not known any more, as if nothing could be written: the next store looks. */
static void spp_install(struct mmu_state *s, const struct tlb_entry *e, const struct walk *w)
{
	if (e->perm & TP_SPP)
		s->spp[spp_index(e->page)] = (struct spp_entry){ e->page, e->key, w->spp_writable };
}

/*
 * INVLPG has to find all 4 KiB pieces of a larger page. They are counted by the address of the page, so that the usual
 * INVLPG, of a small page, need not look.
 */
static u16 *piece_counter(struct mmu_state *s, u64 lin, unsigned gshift)
{
	return &s->pieces[gshift == 21 ? 0 : gshift == 22 ? 1 : 2][(lin >> gshift) % 64];
}

static void forget_entry(struct mmu_state *s, struct tlb_entry *e)
{
	if (e->key && e->gshift > PAGE_SHIFT)
		--*piece_counter(s, e->page, e->gshift);
	e->key = 0;
}

static void drop_fast_index(struct cpu *c, unsigned i)
{
	for (unsigned mode = 0; mode < MMU_MODES; mode++)
		if (c->mmu->filled[i] >> mode & 1)
			c->tlb_of[mode][i].tag_r = c->tlb_of[mode][i].tag_w = c->tlb_of[mode][i].tag_x = ~0ull;
	c->mmu->filled[i] = 0;
}

void tlb_fast_drop(struct cpu *c, u64 page)
{
	drop_fast_index(c, tlb_index(page));
}

/* Where APICs are reached there may be RAM below. */
static u8 *host_of(struct cpu *c, u64 hpa)
{
	bool apic = vmx_on_apic_page(c, hpa) || (hpa & ~PAGE_OFFSET_MASK) == c->apic_mmio;

	return apic ? NULL : bus_ram(&c->m->bus, (hpa_t){ hpa });
}

/*
 * Page and hpa of lin's piece have a new entry, whose members the caller stores one by one: a copy of a whole entry made
 * just before would wait for all of its stores.
 */
static struct tlb_entry *put(struct cpu *c, u64 lin, u64 hpa, unsigned gshift)
{
	struct mmu_state *s = c->mmu;
	unsigned i = tlb_index(lin);
	struct tlb_entry *e = &s->tlb[i];

	forget_entry(s, e);
	e->page = lin & ~PAGE_OFFSET_MASK;
	e->hpa = hpa;
	e->host = host_of(c, hpa);
	e->gshift = (u8)gshift;
	if (gshift > PAGE_SHIFT)
		++*piece_counter(s, lin, gshift);
	drop_fast_index(c, i);
	return e;
}

struct tlb_entry *tlb_install_piece(struct cpu *c, const struct tlb_entry *large, u64 lin)
{
	struct tlb_entry *e = put(c, lin, large->hpa + ((lin & ~PAGE_OFFSET_MASK) - large->page), large->gshift);

	e->key = large->key;
	e->perm = large->perm;
	e->shift = large->shift;
	return e;
}

struct tlb_entry *tlb_install(struct cpu *c, u64 lin, const struct walk *w)
{
	struct mmu_state *s = c->mmu;
	struct tlb_entry *e = put(c, lin, w->hpa, w->gshift);

	e->key = w->global ? s->gkey : s->key;
	e->perm = w->perm;
	e->shift = w->shift;
	if (w->shift > PAGE_SHIFT) {
		struct tlb_entry *l = large_slot(s, lin, w->shift);
		u64 in_page = (1ull << w->shift) - 1;

		*l = *e;
		l->page = lin & ~in_page;
		l->hpa = w->hpa - (e->page & in_page);
	}
	spp_install(s, e, w);
	return e;
}

static void drop_piece(struct cpu *c, unsigned i, u64 lin, unsigned gshift, u32 key, u32 gkey)
{
	struct tlb_entry *e = &c->mmu->tlb[i];

	if (!e->key || e->gshift != gshift || (e->page ^ lin) >> gshift || !key_matches(e->key, key, gkey))
		return;
	forget_entry(c->mmu, e);
	drop_fast_index(c, i);
}

static void drop_pieces(struct cpu *c, u64 lin, unsigned gshift, u32 key, u32 gkey)
{
	unsigned n = gshift - PAGE_SHIFT > TLB_BITS ? TLB_SIZE : 1u << (gshift - PAGE_SHIFT);
	unsigned first = tlb_index(lin >> gshift << gshift);

	if (!*piece_counter(c->mmu, lin, gshift))
		return;
	for (unsigned i = 0; i < n; i++)
		drop_piece(c, (first + i) % TLB_SIZE, lin, gshift, key, gkey);
}

/* All that is cached for the page around lin, whatever its size; gkey 0 keeps global translations. */
void tlb_drop_address(struct cpu *c, u64 lin, u32 key, u32 gkey)
{
	struct mmu_state *s = c->mmu;
	struct tlb_entry *e = &s->tlb[tlb_index(lin)];

	if (e->key && e->page == (lin & ~PAGE_OFFSET_MASK) && key_matches(e->key, key, gkey)) {
		forget_entry(s, e);
		tlb_fast_drop(c, lin);
	}
	for (unsigned i = 0; i < TLB_LARGE; i++) {
		struct tlb_entry *l = &s->large[i];

		if (l->key && (l->page ^ lin) >> l->gshift == 0 && key_matches(l->key, key, gkey))
			l->key = 0;
	}
	drop_pieces(c, lin, 21, key, gkey);
	drop_pieces(c, lin, 22, key, gkey);
	drop_pieces(c, lin, 30, key, gkey);
}

static unsigned fetch_hash(u64 lin, unsigned gshift)
{
	return (unsigned)(((lin >> gshift) * 64 + gshift) * 0x9e3779b97f4a7c15ull >> 52) % FETCH_HASHES;
}

void tlb_note_fetch(struct mmu_state *s, const struct tlb_entry *e)
{
	unsigned h = fetch_hash(e->page, e->gshift);

	s->fetched[h / 64] |= 1ull << (h % 64);
}

void tlb_fetch_stale(struct cpu *c, u64 lin)
{
	static const u8 sizes[] = { 12, 21, 22, 30 };
	struct mmu_state *s = c->mmu;

	for (unsigned i = 0; i < sizeof(sizes); i++) {
		unsigned h = fetch_hash(lin, sizes[i]);

		if (!(s->fetched[h / 64] >> (h % 64) & 1))
			continue;
		memset(s->fetched, 0, sizeof(s->fetched));
		code_tlb_changed(c);
		return;
	}
}
