/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Watches, rounds, and the stores that count. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/paging.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/cpu.h"
#include "machine/oracle/state.h"

static u32 *per_frame(u64 n)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	void *p = mmap(NULL, n * sizeof(u32), PROT_READ | PROT_WRITE, flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int oracle_init(struct machine *m)
{
	struct oracle *or = calloc(1, sizeof(*or));

	if (!or)
		return -1;
	or->frames = m->bus.ram_size >> PAGE_SHIFT;
	or->uses = 1;
	or->head = per_frame(or->frames);
	or->gate = per_frame(or->frames);
	m->oracle = or;
	return or->head && or->gate ? 0 : -1;
}

static struct watch *get(const struct machine *m, int id)
{
	if (id < 0 || id >= ORACLE_MAX_WATCHES || !m->oracle->watch[id].used)
		return NULL;
	return &m->oracle->watch[id];
}

bool oracle_exists(const struct machine *m, int id)
{
	return get(m, id) != NULL;
}

static void begin(struct machine *m, struct watch *w, u64 cr3, u64 start, u64 end)
{
	*w = (struct watch){ .used = true, .cr3 = cr3 & CR3_ADDRESS, .start = start & ~PAGE_OFFSET_MASK, .end = end };
	m->oracle->watches++;
	oracle_scan(m, w);
}

int oracle_watch(struct machine *m, u64 cr3, u64 start, u64 end)
{
	if (start >= end || mmu_levels(m->cpu[0]) != 4)
		return -1;
	for (int id = 0; id < ORACLE_MAX_WATCHES; id++)
		if (!m->oracle->watch[id].used) {
			begin(m, &m->oracle->watch[id], cr3, start, end);
			return id;
		}
	return -1;
}

bool oracle_unwatch(struct machine *m, int id)
{
	struct watch *w = get(m, id);

	if (!w)
		return false;
	oracle_forget(m, w);
	free(w->frozen);
	*w = (struct watch){ 0 };
	m->oracle->watches--;
	return true;
}

bool oracle_hold(struct machine *m, int id, bool hold)
{
	struct watch *w = get(m, id);

	if (w)
		w->held = hold;
	return w != NULL;
}

bool oracle_wants(const struct cpu *c, u64 lin)
{
	for (unsigned id = 0; id < ORACLE_MAX_WATCHES; id++) {
		struct watch *w = &c->m->oracle->watch[id];
		const struct region *r;

		if (!w->used || w->cr3 != (c->cr3 & CR3_ADDRESS) || !oracle_in(w, lin))
			continue;
		r = oracle_region(w, lin, 1);
		if (!r || !region_written(r, lin))
			return true;
	}
	return false;
}

static void mark(struct machine *m, struct watch *w, u64 lin)
{
	struct region *r = oracle_make_region(m, w, lin, 1);
	unsigned i = region_index(lin);

	r->written[i / 64] |= 1ull << (i % 64);
	if (r->page[i])
		oracle_gate_use(m, r->page[i], false);
}

/* Rule (b). */
static void mark_mapped(struct machine *m, u64 frame)
{
	struct oracle *or = m->oracle;

	for (u32 i = or->head[frame]; i; i = or->use[i].next) {
		struct watch *w = &or->watch[or->use[i].watch];

		if (or->use[i].level == 0 && !w->held)
			mark(m, w, or->use[i].lin);
	}
}

/* A store to tables: uses of the frame may come and go meanwhile, so each is stamped when it has been dealt with. */
static void update_tables(struct machine *m, u64 frame, unsigned off, unsigned n)
{
	struct oracle *or = m->oracle;
	u32 i, stamp = ++or->stamp;

	for (i = or->head[frame]; i;) {
		if (or->use[i].level == 0 || or->use[i].stamp == stamp) {
			i = or->use[i].next;
			continue;
		}
		or->use[i].stamp = stamp;
		oracle_table_store(m, i, off, n);
		i = or->head[frame];
	}
}

/* Rule (a). */
static void mark_linear(struct cpu *c, u64 lin)
{
	for (unsigned id = 0; id < ORACLE_MAX_WATCHES; id++) {
		struct watch *w = &c->m->oracle->watch[id];

		if (w->used && !w->held && w->cr3 == (c->cr3 & CR3_ADDRESS) && oracle_in(w, lin))
			mark(c->m, w, lin & ~PAGE_OFFSET_MASK);
	}
}

void oracle_store(struct cpu *c, u64 lin, u64 frame, unsigned off, unsigned n)
{
	mark_linear(c, lin);
	mark_mapped(c->m, frame);
	update_tables(c->m, frame, off, n);
}

void oracle_dma(struct machine *m, u64 frame)
{
	mark_mapped(m, frame);
	update_tables(m, frame, 0, PAGE_SIZE);
}

static unsigned count_written(const struct region *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < REGION_PAGES / 64; i++)
		n += (unsigned)__builtin_popcountll(r->written[i]);
	return n;
}

static int by_base(const void *a, const void *b)
{
	u64 x = (*(struct region *const *)a)->base, y = (*(struct region *const *)b)->base;

	return x < y ? -1 : x > y;
}

/* The regions with written pages, sorted; the caller frees. *pages: how many pages. */
static struct region **written_regions(const struct watch *w, u32 *n, u64 *pages)
{
	struct region **list = malloc((w->regions + 1) * sizeof(*list));

	*n = 0;
	*pages = 0;
	for (u32 i = 0; list && i < w->slots; i++) {
		unsigned k = w->hash[i] ? count_written(w->hash[i]) : 0;

		if (k)
			list[(*n)++] = w->hash[i];
		*pages += k;
	}
	if (list)
		qsort(list, *n, sizeof(*list), by_base);
	return list;
}

static u64 *list_pages(const struct region *r, u64 *out)
{
	for (unsigned i = 0; i < REGION_PAGES; i++)
		if (r->written[i / 64] >> (i % 64) & 1)
			*out++ = r->base + i * PAGE_SIZE;
	return out;
}

/* The pages of a region are to be seen again. */
static void rearm(struct machine *m, struct region *r)
{
	memset(r->written, 0, sizeof(r->written));
	for (unsigned i = 0; i < REGION_PAGES; i++)
		if (r->page[i])
			oracle_gate_use(m, r->page[i], true);
}

/* The sorted set of the round under way. */
static u64 *collect(const struct watch *w, struct region ***regions, u32 *n, u64 *pages)
{
	u64 *out, *end;

	*regions = written_regions(w, n, pages);
	out = malloc((*pages + 1) * sizeof(*out));
	if (!*regions || !out) {
		fprintf(stderr, "ooh-machine: oracle: out of memory\n");
		exit(STATUS_ENVIRONMENT);
	}
	end = out;
	for (u32 i = 0; i < *n; i++)
		end = list_pages((*regions)[i], end);
	return out;
}

u64 oracle_round(struct machine *m, int id)
{
	struct watch *w = get(m, id);
	struct region **regions;
	u32 n;

	if (!w)
		return 0;
	free(w->frozen);
	w->frozen = collect(w, &regions, &n, &w->frozen_n);
	m->oracle->bulk = true;
	for (u32 i = 0; i < n; i++)
		rearm(m, regions[i]);
	m->oracle->bulk = false;
	free(regions);
	mmu_drop_fast_writes(m);
	return w->frozen_n;
}

u64 oracle_read(struct machine *m, int id, u64 at, u64 *out, u64 n)
{
	const struct watch *w = get(m, id);

	if (!w || at >= w->frozen_n)
		return 0;
	if (n > w->frozen_n - at)
		n = w->frozen_n - at;
	memcpy(out, w->frozen + at, n * sizeof(*out));
	return n;
}

static void snap_pages(struct snap *s, const char *name, u64 **pages, u64 *n)
{
	snap_bytes(s, "oracle count", n, sizeof(*n));
	if (snap_restoring(s)) {
		free(*pages);
		*pages = calloc(*n + 1, sizeof(**pages));
		if (!*pages) {
			fprintf(stderr, "ooh-machine: oracle: out of memory\n");
			exit(STATUS_ENVIRONMENT);
		}
	}
	snap_bytes(s, name, *pages, *n * sizeof(**pages));
}

static void save_watch(struct watch *w, struct snap *s)
{
	struct region **regions;
	u64 *pages, n;
	u32 nregions;

	pages = collect(w, &regions, &nregions, &n);
	snap_pages(s, "oracle written", &pages, &n);
	snap_pages(s, "oracle frozen", &w->frozen, &w->frozen_n);
	free(regions);
	free(pages);
}

static void restore_watch(struct machine *m, struct watch *w, struct snap *s, const u64 what[3])
{
	u64 *pages = NULL, n = 0;

	begin(m, w, what[0], what[1], what[2]);
	snap_pages(s, "oracle written", &pages, &n);
	for (u64 i = 0; pages && i < n; i++)
		mark(m, w, pages[i]);
	free(pages);
	snap_pages(s, "oracle frozen", &w->frozen, &w->frozen_n);
}

static void snap_watch(struct machine *m, struct watch *w, struct snap *s)
{
	bool used = w->used, held = w->held;
	u64 what[3] = { w->cr3, w->start, w->end };

	snap_var(s, "oracle used", used);
	if (!used)
		return;
	snap_var(s, "oracle held", held);
	snap_var(s, "oracle range", what);
	if (snap_restoring(s))
		restore_watch(m, w, s, what);
	else
		save_watch(w, s);
	w->held = held;
}

void oracle_snap(struct machine *m, struct snap *s)
{
	for (int id = 0; id < ORACLE_MAX_WATCHES; id++) {
		if (snap_restoring(s))
			oracle_unwatch(m, id);
		snap_watch(m, &m->oracle->watch[id], s);
	}
}
