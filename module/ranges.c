// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ranges of a tracker: a sorted array of disjoint spans, replaced as a whole, so that hooks can search it under
 * RCU.
 */
#include <linux/slab.h>

#include "ooh_mod.h"

/* Index of the first span that ends above vpn. */
static unsigned int first_above(const struct ooh_ranges *r, unsigned long vpn)
{
	unsigned int lo = 0, hi = r->nr;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo) / 2;

		if (r->span[mid].hi > vpn)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* The part of the first span above vpn that lies in [vpn, hi). None: both ends are ULONG_MAX. */
struct ooh_span ooh_ranges_next(const struct ooh_ranges *r, unsigned long vpn, unsigned long hi)
{
	const unsigned int i = r ? first_above(r, vpn) : 0;

	if (!r || i == r->nr || r->span[i].lo >= hi)
		return (struct ooh_span){ ULONG_MAX, ULONG_MAX };
	return (struct ooh_span){ max(vpn, r->span[i].lo), min(hi, r->span[i].hi) };
}

bool ooh_ranges_overlap(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	const struct ooh_ranges *r;
	unsigned int i;
	bool yes = false;

	rcu_read_lock();
	r = rcu_dereference(t->ranges);
	if (r) {
		i = first_above(r, lo);
		yes = i < r->nr && r->span[i].lo < hi;
	}
	rcu_read_unlock();
	return yes;
}

bool ooh_in_ranges(struct ooh_tracker *t, unsigned long vpn)
{
	return ooh_ranges_overlap(t, vpn, vpn + 1);
}

/* With room for nr; how many there are is the caller's to set. */
struct ooh_ranges *ooh_ranges_alloc(unsigned int nr)
{
	return kvmalloc(struct_size((struct ooh_ranges *)NULL, span, nr), GFP_KERNEL_ACCOUNT);
}

/* Appends; spans that touch become one. */
void ooh_ranges_push(struct ooh_ranges *r, unsigned long lo, unsigned long hi)
{
	struct ooh_span *last = r->nr ? &r->span[r->nr - 1] : NULL;

	if (lo >= hi)
		return;
	if (last && last->hi >= lo)
		last->hi = max(last->hi, hi);
	else
		r->span[r->nr++] = (struct ooh_span){ lo, hi };
}

static struct ooh_ranges *checked(struct ooh_ranges *r)
{
	if (r->nr <= OOH_MAX_RANGES)
		return r;
	kvfree(r);
	return ERR_PTR(-ENOSPC);
}

/* Both return a new array or an ERR_PTR; old (which may be NULL) stays. */
struct ooh_ranges *ooh_ranges_add(const struct ooh_ranges *old, unsigned long lo, unsigned long hi)
{
	const unsigned int nr = old ? old->nr : 0;
	struct ooh_ranges *r = ooh_ranges_alloc(nr + 1);
	unsigned int i;

	if (!r)
		return ERR_PTR(-ENOMEM);
	r->nr = 0;
	for (i = 0; i < nr && old->span[i].lo <= lo; i++)
		ooh_ranges_push(r, old->span[i].lo, old->span[i].hi);
	ooh_ranges_push(r, lo, hi);
	for (; i < nr; i++)
		ooh_ranges_push(r, old->span[i].lo, old->span[i].hi);
	return checked(r);
}

struct ooh_ranges *ooh_ranges_del(const struct ooh_ranges *old, unsigned long lo, unsigned long hi)
{
	const unsigned int nr = old ? old->nr : 0;
	struct ooh_ranges *r = ooh_ranges_alloc(nr + 1);
	unsigned int i;

	if (!r)
		return ERR_PTR(-ENOMEM);
	r->nr = 0;
	for (i = 0; i < nr; i++) {
		ooh_ranges_push(r, old->span[i].lo, min(old->span[i].hi, lo));
		ooh_ranges_push(r, max(old->span[i].lo, hi), old->span[i].hi);
	}
	return checked(r);
}
