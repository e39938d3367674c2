/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fast tags. They say nothing that the architectural TLB does not say, and their coming and going costs no virtual
 * time. For each RAM frame a hint says where fast write tags to it may be, so that a frame can be watched without a
 * search.
 */
#include "machine/mmu/fast.h"

#include "machine/debug/hooks.h"
#include "machine/oracle/state.h"

#define HINT_NONE 0
#define HINT_MANY 0xffff

static u16 hint_of(const struct cpu *c, unsigned mode, unsigned i)
{
	return (u16)(1 + (c->id * MMU_MODES + mode) * TLB_SIZE + i);
}

static struct tlb_fast *hinted(struct machine *m, u16 hint)
{
	unsigned n = hint - 1u;

	return &m->cpu[n / TLB_SIZE / MMU_MODES]->tlb_of[n / TLB_SIZE % MMU_MODES][n % TLB_SIZE];
}

static bool writes_to(const struct tlb_fast *t, const u8 *page)
{
	return t->tag_w != ~0ull && t->addend + (t->tag_w & ~PAGE_OFFSET_MASK) == (uintptr_t)page;
}

static void note_write_tag(struct cpu *c, u64 frame, unsigned mode, unsigned i)
{
	struct machine *m = c->m;
	u16 *hint = &m->bus.fast_writes[frame], mine = hint_of(c, mode, i);

	if (*hint == mine || *hint == HINT_MANY)
		return;
	if (*hint == HINT_NONE || !writes_to(hinted(m, *hint), m->bus.ram + (frame << PAGE_SHIFT)))
		*hint = mine;
	else
		*hint = HINT_MANY;
}

void fast_fill(struct cpu *c, const struct tlb_entry *e, enum mmu_mode mode)
{
	const struct mmu_state *s = c->mmu;
	unsigned i = tlb_index(e->page);
	struct tlb_fast *t = &c->tlb_of[mode][i];
	u64 tag = e->page | c->ctx, frame;
	const struct rights *r = s->rights[mode];

	if (!e->host || watch_page(c, e->page))
		return;
	c->mmu->filled[i] |= (u8)(1u << mode);
	t->tag_r = perm_ok(e->perm, &r[ACCESS_READ]) ? tag : ~0ull;
	t->tag_x = perm_ok(e->perm, &r[ACCESS_EXEC]) ? tag : ~0ull;
	t->tag_w = ~0ull;
	t->addend = (uintptr_t)e->host - e->page;
	if (!perm_ok(e->perm, &r[ACCESS_WRITE]))
		return;
	frame = bus_frame(&c->m->bus, e->host);
	if ((c->m->bus.frame_flags[frame] & FRAME_SLOW) || oracle_gates(c, e->page))
		return;
	note_write_tag(c, frame, mode, i);
	t->tag_w = tag;
}

static void drop_writes(struct cpu *c, const u8 *page)
{
	for (unsigned mode = 0; mode < MMU_MODES; mode++)
		for (unsigned i = 0; i < TLB_SIZE; i++) {
			struct tlb_fast *t = &c->tlb_of[mode][i];

			if (!page || writes_to(t, page))
				t->tag_w = ~0ull;
		}
}

void mmu_drop_fast_writes(struct machine *m)
{
	for (unsigned i = 0; i < m->ncpus; i++)
		drop_writes(m->cpu[i], NULL);
}

void mmu_frame_slow(struct machine *m, u64 frame)
{
	u8 *page = m->bus.ram + (frame << PAGE_SHIFT);
	u16 hint = m->bus.fast_writes[frame];

	m->bus.fast_writes[frame] = HINT_NONE;
	if (hint == HINT_NONE)
		return;
	if (hint != HINT_MANY) {
		if (writes_to(hinted(m, hint), page))
			hinted(m, hint)->tag_w = ~0ull;
		return;
	}
	for (unsigned i = 0; i < m->ncpus; i++)
		drop_writes(m->cpu[i], page);
}
