/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the oracle knows. For each watch a copy of what its page tables map, kept exact by gating (FRAME_ORACLE) the
 * frames that hold the tables; and for each mapped frame the pages mapped to it. A frame is gated while a store to it
 * could tell something new: it holds a watched table, or a page mapped to it is not yet written in this round.
 */
#ifndef OOH_MACHINE_ORACLE_STATE_H
#define OOH_MACHINE_ORACLE_STATE_H

#include "machine/core/machine.h"
#include "machine/cpu/cpu.h"
#include "machine/oracle/oracle.h"

#define REGION_PAGES 512
#define ORACLE_MAX_REGIONS (1u << 17) /* of one watch: 256 GiB of tables */

/*
 * A use of a frame: a page that is mapped to it (level 0), or the paging structure of that level for the addresses from
 * lin on.
 */
struct use {
	u64 lin;
	u32 frame;
	u32 next, prev; /* uses of the same frame; 0: none. Of free ones: next */
	u32 stamp;      /* of the store that has been applied to it */
	u8 watch, level;
	bool gates;     /* counted in gate[frame] */
};

/* What one table maps: its span of the address space. Level 1: a page table, or a large page in its stead. */
struct region {
	u64 base;
	u8 level;
	u32 table;      /* use of the table's frame; 0: none */
	u32 page[REGION_PAGES];       /* level 1: use of the mapped frame; 0: not mapped */
	u64 written[REGION_PAGES / 64]; /* level 1: in this round */
};

struct watch {
	bool used, held;
	u64 cr3, start, end;
	struct region **hash; /* by base and level, open addressing */
	u32 slots, regions;   /* slots: a power of two */
	u64 *frozen, frozen_n;
};

struct oracle {
	unsigned watches; /* in use */
	struct watch watch[ORACLE_MAX_WATCHES];
	struct use *use;  /* [0] is not used */
	u32 uses, use_room, use_free;
	u32 *head;        /* by RAM frame: first use */
	u32 *gate;        /* by RAM frame: uses that gate it */
	u64 frames;
	u32 stamp;
	bool bulk;        /* many gates are being set: fast write tags are dropped at the end, all at once */
};

/* map.c */
struct region *oracle_region(struct watch *w, u64 lin, unsigned level);
struct region *oracle_make_region(struct machine *m, struct watch *w, u64 lin, unsigned level);
void oracle_scan(struct machine *m, struct watch *w);     /* learns the whole page table */
void oracle_forget(struct machine *m, struct watch *w);   /* and drops all of it */
void oracle_table_store(struct machine *m, u32 use, unsigned off, unsigned n);
void oracle_gate_use(struct machine *m, u32 use, bool gates);

static inline bool oracle_in(const struct watch *w, u64 lin)
{
	return lin >= w->start && lin < w->end;
}

static inline unsigned region_index(u64 lin)
{
	return (lin >> PAGE_SHIFT) % REGION_PAGES;
}

static inline bool region_written(const struct region *r, u64 lin)
{
	return r->written[region_index(lin) / 64] >> (region_index(lin) % 64) & 1;
}

bool oracle_wants(const struct cpu *c, u64 lin);

/* True if a store to lin in the current address space must be seen: then there is no fast write tag for it. */
static inline bool oracle_gates(const struct cpu *c, u64 lin)
{
	return unlikely(c->m->oracle->watches) && oracle_wants(c, lin);
}

#endif
