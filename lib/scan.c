/* SPDX-License-Identifier: LGPL-2.1-only */
#include "scan.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW 16384u /* page-map entries read at once: 128 KiB for 64 MiB of memory */

int scan_open(struct ooh_tracker *t, const struct scan_kind *kind)
{
	struct scan *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->kind = kind;
	s->buf = malloc(WINDOW * sizeof(*s->buf));
	err = s->buf ? process_open(&s->proc, t->pid, t->self) : -ENOMEM;
	if (err) {
		free(s->buf);
		free(s);
		return err;
	}
	t->priv = s;
	return 0;
}

void scan_close(struct ooh_tracker *t)
{
	struct scan *s = scan_of(t);

	process_close(&s->proc);
	regions_free(&s->ranges);
	regions_free(&s->pending);
	free(s->buf);
	free(s);
}

int scan_each(struct scan *s, const struct vmas *vmas,
	      int (*fn)(struct scan *, const struct vma *, uint64_t, uint64_t, void *), void *arg)
{
	for (size_t i = 0; i < vmas->n; i++) {
		const struct vma *vma = &vmas->v[i];

		if (vma->kernel)
			continue;
		for (size_t k = regions_find(&s->ranges, vma->start); k < s->ranges.n; k++) {
			const struct ooh_region *r = &s->ranges.v[k];
			uint64_t start = r->start > vma->start ? r->start : vma->start;
			uint64_t end = r->end < vma->end ? r->end : vma->end;
			int err;

			if (r->start >= vma->end)
				break;
			err = fn(s, vma, start, end, arg);
			if (err)
				return err;
		}
	}
	return 0;
}

static int scan_piece(struct scan *s, const struct vma *vma, uint64_t start, uint64_t end, void *arg)
{
	struct regions *found = arg;

	while (start < end) {
		size_t n = (end - start) / PAGE < WINDOW ? (end - start) / PAGE : WINDOW;
		int err = process_pagemap(&s->proc, start, s->buf, n);

		if (err)
			return err;
		s->stats.entries += n;
		for (size_t i = 0; i < n; i++, start += PAGE) {
			uint32_t categories = s->kind->classify(s, vma, s->buf[i]);

			if (categories && !regions_append(found, start, start + PAGE, categories))
				return -ENOMEM;
		}
	}
	return 0;
}

/*
 * One sweep of a frozen process. Found pages are in `pending` before anything is reset: an error can make a page be reported
 * twice, never lose it.
 */
static int sweep_frozen(struct scan *s, bool look)
{
	struct regions found = { 0 };
	struct vmas vmas;
	int err = process_vmas(&s->proc, &vmas);

	if (err)
		return err;
	if (look)
		err = scan_each(s, &vmas, scan_piece, &found);
	if (!err && !regions_merge(&s->pending, &found))
		err = -ENOMEM;
	if (!err)
		err = s->kind->reset(s, &vmas);
	regions_free(&found);
	free(vmas.v);
	return err;
}

static int sweep(struct scan *s, bool look)
{
	int err = process_freeze(&s->proc);

	if (err)
		return err;
	err = sweep_frozen(s, look);
	process_thaw(&s->proc);
	return err;
}

int scan_add(struct ooh_tracker *t, uint64_t start, uint64_t end)
{
	struct scan *s = scan_of(t);
	struct ooh_region one = { .start = start, .end = end };
	struct regions add = { .v = &one, .n = 1 };
	int err = t->started ? sweep(s, true) : 0; /* the reset below would forget what was written until now */

	if (err)
		return err;
	if (!regions_merge(&s->ranges, &add))
		return -ENOMEM;
	return t->started ? sweep(s, false) : 0;
}

int scan_del(struct ooh_tracker *t, uint64_t start, uint64_t end)
{
	struct scan *s = scan_of(t);

	if (!regions_cut(&s->ranges, start, end) || !regions_cut(&s->pending, start, end))
		return -ENOMEM;
	return 0;
}

int scan_start(struct ooh_tracker *t)
{
	struct scan *s = scan_of(t);

	regions_free(&s->pending);
	return sweep(s, false);
}

int scan_stop(struct ooh_tracker *t)
{
	regions_free(&scan_of(t)->pending);
	return 0;
}

/* Copies what lies in [start, end) to vec; returns where it stopped. */
static uint64_t emit(const struct scan *s, uint64_t start, uint64_t end, struct ooh_region *vec, size_t n,
		     struct ooh_round *round)
{
	for (size_t i = regions_find(&s->pending, start); i < s->pending.n; i++) {
		struct ooh_region r = s->pending.v[i];

		if (r.start >= end)
			break;
		if (r.start < start)
			r.start = start;
		if (r.end > end)
			r.end = end;
		if (n && round->regions == n) {
			round->partial = 1;
			return r.start;
		}
		round->pages += (r.end - r.start) / PAGE;
		if (!(r.categories & OOH_PAGE_WRITTEN))
			round->extra += (r.end - r.start) / PAGE;
		if (n)
			vec[round->regions++] = r;
	}
	return end;
}

int scan_collect(struct ooh_tracker *t, uint64_t start, uint64_t end, struct ooh_region *vec, size_t n,
		 struct ooh_round *round)
{
	struct scan *s = scan_of(t);
	int err = sweep(s, true);

	if (err)
		return err;
	round->walk_end = emit(s, start, end, vec, n, round);
	if (!n) /* only counted */
		return 0;
	if (!regions_cut(&s->pending, start, round->walk_end))
		return -ENOMEM;
	s->stats.rounds++;
	s->stats.pages += round->pages;
	s->stats.extra += round->extra;
	return 0;
}

int scan_stats(struct ooh_tracker *t, struct ooh_stats *out)
{
	*out = scan_of(t)->stats;
	return 0;
}
