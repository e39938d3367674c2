/* SPDX-License-Identifier: LGPL-2.1-only */
#include "regions.h"

#include <stdlib.h>
#include <string.h>

void regions_free(struct regions *r)
{
	free(r->v);
	*r = (struct regions){ 0 };
}

static bool grow(struct regions *r)
{
	size_t cap = r->cap ? r->cap * 2 : 16;
	struct ooh_region *v = reallocarray(r->v, cap, sizeof(*v));

	if (!v)
		return false;
	r->v = v;
	r->cap = cap;
	return true;
}

bool regions_append(struct regions *r, uint64_t start, uint64_t end, uint32_t categories)
{
	struct ooh_region *last = r->n ? &r->v[r->n - 1] : NULL;

	if (start >= end)
		return true;
	if (last && last->end == start && last->categories == categories) {
		last->end = end;
		return true;
	}
	if (r->n == r->cap && !grow(r))
		return false;
	r->v[r->n++] = (struct ooh_region){ .start = start, .end = end, .categories = categories };
	return true;
}

/* The next piece of a sweep over two vectors: from *at to the next boundary of either. */
static bool sweep(const struct regions *a, const struct regions *b, struct regions *out)
{
	size_t i = 0, j = 0;
	uint64_t at = 0;

	while (i < a->n || j < b->n) {
		const struct ooh_region *x = i < a->n ? &a->v[i] : NULL, *y = j < b->n ? &b->v[j] : NULL;
		uint64_t xs = x ? (x->start > at ? x->start : at) : UINT64_MAX;
		uint64_t ys = y ? (y->start > at ? y->start : at) : UINT64_MAX;
		uint64_t from = xs < ys ? xs : ys, to = UINT64_MAX;
		uint32_t categories = 0;

		if (x && xs == from)
			categories |= x->categories, to = x->end;
		else if (x)
			to = xs;
		if (y && ys == from)
			categories |= y->categories, to = y->end < to ? y->end : to;
		else if (y)
			to = ys < to ? ys : to;
		if (!regions_append(out, from, to, categories))
			return false;
		at = to;
		if (x && x->end <= at)
			i++;
		if (y && y->end <= at)
			j++;
	}
	return true;
}

bool regions_merge(struct regions *into, const struct regions *add)
{
	struct regions out = { 0 };

	if (!add->n)
		return true;
	if (!sweep(into, add, &out)) {
		regions_free(&out);
		return false;
	}
	regions_free(into);
	*into = out;
	return true;
}

bool regions_cut(struct regions *r, uint64_t start, uint64_t end)
{
	size_t i = regions_find(r, start), tail;
	struct ooh_region last;

	if (i == r->n || r->v[i].start >= end)
		return true;
	if (r->n == r->cap && !grow(r)) /* a hole makes two of one */
		return false;
	for (tail = i; tail < r->n && r->v[tail].start < end; tail++)
		;
	last = r->v[tail - 1];
	if (r->v[i].start < start) {
		if (tail == i + 1 && last.end > end) { /* within one region */
			memmove(&r->v[i + 2], &r->v[i + 1], (r->n - i - 1) * sizeof(*r->v));
			r->v[i + 1] = last;
			r->v[i + 1].start = end;
			r->v[i].end = start;
			r->n++;
			return true;
		}
		r->v[i++].end = start;
	}
	if (last.end > end)
		r->v[--tail].start = end;
	memmove(&r->v[i], &r->v[tail], (r->n - tail) * sizeof(*r->v));
	r->n -= tail - i;
	return true;
}

uint64_t regions_pages(const struct regions *r)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < r->n; i++)
		pages += (r->v[i].end - r->v[i].start) / OOH_PAGE_SIZE;
	return pages;
}

size_t regions_find(const struct regions *r, uint64_t addr)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (r->v[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
