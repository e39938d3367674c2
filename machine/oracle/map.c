/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The oracle's copy of watched page tables: learnt once, then kept by the stores to the tables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/paging.h"
#include "machine/oracle/state.h"

#define SPAN_SHIFT(level) PAGE_LEVEL_SHIFT((level) + 1) /* addresses that one table of the level serves */

static void *grown(void *p, size_t size)
{
	p = realloc(p, size);
	if (!p) {
		fprintf(stderr, "ooh-machine: oracle: out of memory\n");
		exit(STATUS_ENVIRONMENT);
	}
	return p;
}

/* The first address that entry i of r's table serves, in canonical form. */
static u64 entry_lin(const struct region *r, u64 i)
{
	u64 lin = r->base + (i << SPAN_SHIFT(r->level - 1u));

	return r->level == 4 ? (u64)((s64)(lin << 16) >> 16) : lin;
}

static u64 entry_of(struct machine *m, u64 frame, unsigned index)
{
	u64 e;

	memcpy(&e, m->bus.ram + (frame << PAGE_SHIFT) + index * 8, sizeof(e));
	return e;
}

/* RAM frame of a physical address; false if it is none. */
static bool frame_of(struct machine *m, u64 phys, u64 *frame)
{
	u8 *p = bus_ram(&m->bus, (hpa_t){ phys });

	if (p)
		*frame = bus_frame(&m->bus, p);
	return p != NULL;
}

/* Regions. */

static u32 region_slot(const struct watch *w, u64 base, unsigned level)
{
	u64 h = (base >> PAGE_SHIFT_2M ^ (u64)level << 40) * 0x9e3779b97f4a7c15ull;
	u32 i = (u32)(h >> 32) & (w->slots - 1);

	while (w->hash[i] && (w->hash[i]->base != base || w->hash[i]->level != level))
		i = (i + 1) & (w->slots - 1);
	return i;
}

static void grow_hash(struct watch *w)
{
	struct region **old = w->hash;
	u32 n = w->slots;

	w->slots = n ? n * 2 : 64;
	w->hash = grown(NULL, w->slots * sizeof(*w->hash));
	memset(w->hash, 0, w->slots * sizeof(*w->hash));
	for (u32 i = 0; i < n; i++)
		if (old[i])
			w->hash[region_slot(w, old[i]->base, old[i]->level)] = old[i];
	free(old);
}

struct region *oracle_region(struct watch *w, u64 lin, unsigned level)
{
	return w->hash[region_slot(w, lin >> SPAN_SHIFT(level) << SPAN_SHIFT(level), level)];
}

struct region *oracle_make_region(struct machine *m, struct watch *w, u64 lin, unsigned level)
{
	struct region *r = oracle_region(w, lin, level);

	if (r)
		return r;
	if (w->regions == ORACLE_MAX_REGIONS)
		machine_stop(m, STATUS_ENVIRONMENT, "oracle: a watched page table is too large to follow");
	if (w->regions * 2 >= w->slots)
		grow_hash(w);
	r = grown(NULL, sizeof(*r));
	memset(r, 0, sizeof(*r));
	r->base = lin >> SPAN_SHIFT(level) << SPAN_SHIFT(level);
	r->level = (u8)level;
	w->hash[region_slot(w, r->base, level)] = r;
	w->regions++;
	return r;
}

/* Uses of frames. */

void oracle_gate_use(struct machine *m, u32 use, bool gates)
{
	struct oracle *or = m->oracle;
	struct use *u = &or->use[use];
	u8 *flags = &m->bus.frame_flags[u->frame];

	if (u->gates == gates)
		return;
	u->gates = gates;
	if (gates && or->gate[u->frame]++ == 0) {
		*flags |= FRAME_ORACLE;
		if (!or->bulk)
			mmu_frame_slow(m, u->frame);
	} else if (!gates && --or->gate[u->frame] == 0) {
		*flags &= (u8)~FRAME_ORACLE;
	}
}

static u32 add_use(struct machine *m, const struct watch *w, u64 lin, unsigned level, u64 frame, bool gates)
{
	struct oracle *or = m->oracle;
	u32 i = or->use_free;

	if (i) {
		or->use_free = or->use[i].next;
	} else {
		if (or->uses >= or->use_room) {
			or->use_room = or->use_room ? or->use_room * 2 : 4096;
			or->use = grown(or->use, or->use_room * sizeof(*or->use));
		}
		i = or->uses++;
	}
	or->use[i] = (struct use){ .lin = lin, .frame = (u32)frame, .next = or->head[frame], .level = (u8)level,
				   .watch = (u8)(w - or->watch), .stamp = or->stamp };
	if (or->head[frame])
		or->use[or->head[frame]].prev = i;
	or->head[frame] = i;
	oracle_gate_use(m, i, gates);
	return i;
}

static void drop_use(struct machine *m, u32 i)
{
	struct oracle *or = m->oracle;
	struct use *u = &or->use[i];

	oracle_gate_use(m, i, false);
	if (u->next)
		or->use[u->next].prev = u->prev;
	if (u->prev)
		or->use[u->prev].next = u->next;
	else
		or->head[u->frame] = u->next;
	u->next = or->use_free;
	or->use_free = i;
}

/* Pages and tables. */

#define NOWHERE (~0ull)

/* Page lin is mapped to this physical address from now on, or to nothing. */
static void set_page(struct machine *m, struct watch *w, struct region *r, u64 lin, u64 phys)
{
	u32 *slot = &r->page[region_index(lin)];
	u64 frame = 0;
	bool mapped = phys != NOWHERE && frame_of(m, phys, &frame);

	if (!oracle_in(w, lin) || (*slot && mapped && m->oracle->use[*slot].frame == frame))
		return;
	if (*slot)
		drop_use(m, *slot);
	*slot = mapped ? add_use(m, w, lin, 0, frame, !region_written(r, lin)) : 0;
}

static void unmap_pages(struct machine *m, struct watch *w, struct region *r)
{
	for (unsigned i = 0; i < REGION_PAGES; i++)
		if (r->page[i])
			set_page(m, w, r, r->base + i * PAGE_SIZE, NOWHERE);
}

/* What the table of `level` around lin mapped is gone. */
static void drop_table(struct machine *m, struct watch *w, u64 lin, unsigned level)
{
	struct region *r = oracle_region(w, lin, level);

	if (!r)
		return;
	if (r->table)
		drop_use(m, r->table);
	r->table = 0;
	if (level == 1) {
		unmap_pages(m, w, r);
		return;
	}
	for (u64 i = 0; i < REGION_PAGES; i++)
		drop_table(m, w, entry_lin(r, i), level - 1);
}

static void map_large(struct machine *m, struct watch *w, u64 lin, unsigned level, u64 phys)
{
	for (u64 off = 0; off < 1ull << SPAN_SHIFT(level); off += PAGE_SIZE) {
		struct region *r;

		if (!oracle_in(w, lin + off))
			continue;
		r = oracle_make_region(m, w, lin + off, 1);
		if (r->table) { /* a page table that the large page replaces */
			drop_use(m, r->table);
			r->table = 0;
		}
		set_page(m, w, r, lin + off, phys + off);
	}
}

static void read_table(struct machine *m, struct watch *w, struct region *r, unsigned first, unsigned last);

static void set_table(struct machine *m, struct watch *w, u64 lin, unsigned level, u64 phys)
{
	struct region *r = oracle_region(w, lin, level);
	u64 frame;

	if (!frame_of(m, phys, &frame)) {
		drop_table(m, w, lin, level);
		return;
	}
	if (r && r->table && m->oracle->use[r->table].frame == frame)
		return;
	drop_table(m, w, lin, level);
	r = oracle_make_region(m, w, lin, level);
	r->table = add_use(m, w, r->base, level, frame, true);
	read_table(m, w, r, 0, REGION_PAGES - 1);
}

/* The entry for lin in a table of `level` says e. */
static void read_entry(struct machine *m, struct watch *w, struct region *r, u64 lin, u64 e)
{
	unsigned shift = SPAN_SHIFT(r->level - 1u);
	u64 phys = e & PTE_ADDRESS >> shift << shift;

	if (lin >= w->end || lin + ((1ull << shift) - 1) < w->start)
		return;
	if (r->level == 1)
		set_page(m, w, r, lin, (e & PTE_P) ? e & PTE_ADDRESS : NOWHERE);
	else if (!(e & PTE_P))
		drop_table(m, w, lin, r->level - 1u);
	else if ((e & PTE_PS) && r->level <= 3)
		map_large(m, w, lin, r->level - 1u, phys);
	else
		set_table(m, w, lin, r->level - 1u, e & PTE_ADDRESS);
}

static void read_table(struct machine *m, struct watch *w, struct region *r, unsigned first, unsigned last)
{
	u32 use = r->table;

	/* A table that maps itself may drop its own use under way. */
	for (unsigned i = first; i <= last && r->table == use; i++)
		read_entry(m, w, r, entry_lin(r, i), entry_of(m, m->oracle->use[use].frame, i));
}

void oracle_table_store(struct machine *m, u32 use, unsigned off, unsigned n)
{
	const struct use *u = &m->oracle->use[use];
	struct watch *w = &m->oracle->watch[u->watch];
	struct region *r = oracle_region(w, u->lin, u->level);

	read_table(m, w, r, off / 8, (off + n - 1) / 8);
}

void oracle_scan(struct machine *m, struct watch *w)
{
	grow_hash(w);
	m->oracle->bulk = true;
	set_table(m, w, 0, 4, w->cr3);
	m->oracle->bulk = false;
	mmu_drop_fast_writes(m);
}

void oracle_forget(struct machine *m, struct watch *w)
{
	for (u32 i = 0; i < w->slots; i++) {
		struct region *r = w->hash[i];

		if (!r)
			continue;
		if (r->table)
			drop_use(m, r->table);
		unmap_pages(m, w, r);
		free(r);
	}
	free(w->hash);
	w->hash = NULL;
	w->slots = w->regions = 0;
}
