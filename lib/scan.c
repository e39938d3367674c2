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
	regions_free(&s->there);
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

struct sweep {
	struct regions found; /* written, or not known to be clean */
	struct regions there; /* in memory or swap */
};

static bool is_there(struct scan *s, const struct vma *vma, uint64_t va, uint64_t entry)
{
	if (!(entry & (PM_PRESENT | PM_SWAP)))
		return false;
	return !s->kind->zero || !s->kind->zero(s, vma, va, entry);
}

static int scan_piece(struct scan *s, const struct vma *vma, uint64_t start, uint64_t end, void *arg)
{
	struct sweep *w = arg;

	while (start < end) {
		size_t n = (end - start) / PAGE < WINDOW ? (end - start) / PAGE : WINDOW;
		int err = process_pagemap(&s->proc, start, s->buf, n);

		if (err)
			return err;
		s->stats.entries += n;
		for (size_t i = 0; i < n; i++, start += PAGE) {
			uint32_t categories = s->kind->classify(s, vma, s->buf[i]);

			if (categories && !regions_append(&w->found, start, start + PAGE, categories))
				return -ENOMEM;
			if (is_there(s, vma, start, s->buf[i]) && !regions_append(&w->there, start, start + PAGE, 0))
				return -ENOMEM;
		}
	}
	return 0;
}

/* What was there before and is not now, as ABSENT. */
static int find_vanished(const struct regions *before, const struct regions *now, struct regions *out)
{
	size_t k = 0;

	for (size_t i = 0; i < before->n; i++) {
		uint64_t at = before->v[i].start, end = before->v[i].end;

		while (at < end) {
			while (k < now->n && now->v[k].end <= at)
				k++;
			if (k < now->n && now->v[k].start <= at) {
				at = now->v[k].end;
				continue;
			}
			uint64_t stop = k < now->n && now->v[k].start < end ? now->v[k].start : end;

			if (!regions_append(out, at, stop, OOH_PAGE_ABSENT))
				return -ENOMEM;
			at = stop;
		}
	}
	return 0;
}

/* Puts what was found into `pending`, but what lies in `fresh`: that is clean from now on. */
static int keep_found(struct scan *s, struct sweep *w, const struct regions *fresh)
{
	struct regions vanished = { 0 };
	int err = find_vanished(&s->there, &w->there, &vanished);

	for (size_t i = 0; !err && fresh && i < fresh->n; i++)
		if (!regions_cut(&w->found, fresh->v[i].start, fresh->v[i].end))
			err = -ENOMEM;
	if (!err && (!regions_merge(&s->pending, &w->found) || !regions_merge(&s->pending, &vanished)))
		err = -ENOMEM;
	regions_free(&vanished);
	return err;
}

/*
 * One sweep of a frozen process. Found pages are in `pending` before anything is reset: an error can make a page be reported
 * twice, never lose it.
 */
static int sweep_frozen(struct scan *s, const struct regions *fresh)
{
	struct sweep w = { 0 };
	struct vmas vmas;
	int err = process_vmas(&s->proc, &vmas);

	if (err)
		return err;
	if (s->kind->prepare)
		err = s->kind->prepare(s, &vmas);
	if (!err)
		err = scan_each(s, &vmas, scan_piece, &w);
	if (!err)
		err = keep_found(s, &w, fresh);
	if (!err)
		err = s->kind->reset(s, &vmas);
	if (!err) {
		struct regions old = s->there;

		s->there = w.there;
		w.there = old;
	}
	regions_free(&w.found);
	regions_free(&w.there);
	free(vmas.v);
	return err;
}

static int sweep(struct scan *s, const struct regions *fresh)
{
	int err = process_freeze(&s->proc);

	if (err)
		return err;
	err = sweep_frozen(s, fresh);
	process_thaw(&s->proc);
	return err;
}

/* [start, end) without what is tracked already. */
static bool untracked_part(const struct scan *s, uint64_t start, uint64_t end, struct regions *out)
{
	if (!regions_append(out, start, end, 0))
		return false;
	for (size_t i = 0; i < s->ranges.n; i++)
		if (!regions_cut(out, s->ranges.v[i].start, s->ranges.v[i].end))
			return false;
	return true;
}

int scan_add(struct ooh_tracker *t, uint64_t start, uint64_t end)
{
	struct scan *s = scan_of(t);
	struct ooh_region one = { .start = start, .end = end };
	struct regions add = { .v = &one, .n = 1 }, fresh = { 0 };
	int err = 0;

	if (!untracked_part(s, start, end, &fresh) || !regions_merge(&s->ranges, &add))
		err = -ENOMEM;
	if (!err && t->started)
		err = sweep(s, &fresh);
	regions_free(&fresh);
	return err;
}

int scan_del(struct ooh_tracker *t, uint64_t start, uint64_t end)
{
	struct scan *s = scan_of(t);

	if (!regions_cut(&s->ranges, start, end) || !regions_cut(&s->pending, start, end) || !regions_cut(&s->there, start, end))
		return -ENOMEM;
	return 0;
}

static void forget(struct scan *s)
{
	regions_free(&s->pending);
	regions_free(&s->there);
}

int scan_start(struct ooh_tracker *t)
{
	struct scan *s = scan_of(t);

	forget(s);
	return sweep(s, &s->ranges);
}

int scan_stop(struct ooh_tracker *t)
{
	forget(scan_of(t));
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
	int err = sweep(s, NULL);

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
