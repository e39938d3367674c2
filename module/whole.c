// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings whose pages cannot be tracked (see ooh_vma_untracked()) are handed over as a whole in every round while they
 * are there. Where they were is remembered from look to look: what went is gone, and is reported as absent. So is what
 * faulted and went between two looks; the hooks record its blocks.
 */
#include <linux/mm.h>
#include <linux/slab.h>

#include "ooh_mod.h"

/* The first piece above vpn of an untrackable mapping in [vpn, hi). None: ULONG_MAX. */
static struct ooh_span next_piece(struct ooh_tracker *t, unsigned long vpn, unsigned long hi)
{
	struct vm_area_struct *vma;

	while (vpn < hi) {
		vma = find_vma(t->mm, vpn << PAGE_SHIFT);
		if (!vma || vma->vm_start >> PAGE_SHIFT >= hi)
			break;
		if (ooh_vma_untracked(vma))
			return (struct ooh_span){ max(vpn, vma->vm_start >> PAGE_SHIFT), min(hi, vma->vm_end >> PAGE_SHIFT) };
		vpn = vma->vm_end >> PAGE_SHIFT;
	}
	return (struct ooh_span){ ULONG_MAX, ULONG_MAX };
}

/* The first span in [vpn, hi) and the ranges, of mappings that touch. */
static struct ooh_span next_whole(struct ooh_tracker *t, unsigned long vpn, unsigned long hi)
{
	const struct ooh_ranges *ranges = rcu_dereference_protected(t->ranges, lockdep_is_held(&t->mutex));
	struct ooh_span in, s, more;

	for (in = ooh_ranges_next(ranges, vpn, hi); in.lo < hi; in = ooh_ranges_next(ranges, in.hi, hi)) {
		s = next_piece(t, in.lo, in.hi);
		if (s.lo >= in.hi)
			continue;
		while (s.hi < in.hi) {
			more = next_piece(t, s.hi, in.hi);
			if (more.lo != s.hi)
				break;
			s.hi = more.hi;
		}
		return s;
	}
	return (struct ooh_span){ ULONG_MAX, ULONG_MAX };
}

/* How many there are in [lo, hi), and whether all are as they were. */
static unsigned int count(struct ooh_tracker *t, unsigned long lo, unsigned long hi, bool *same)
{
	struct ooh_span is, was;
	unsigned int n = 0;

	*same = true;
	for (;;) {
		is = next_whole(t, lo, hi);
		was = ooh_ranges_next(t->whole, lo, hi);
		*same &= is.lo == was.lo && is.hi == was.hi;
		if (is.lo >= hi)
			return n;
		lo = is.hi;
		n++;
	}
}

/* What was known outside [lo, hi), and what is there now. */
static void fill(struct ooh_tracker *t, struct ooh_ranges *new, unsigned long lo, unsigned long hi)
{
	struct ooh_span s;

	new->nr = 0;
	for (s = ooh_ranges_next(t->whole, 0, lo); s.lo < lo; s = ooh_ranges_next(t->whole, s.hi, lo))
		ooh_ranges_push(new, s.lo, s.hi);
	for (s = next_whole(t, lo, hi); s.lo < hi; s = next_whole(t, s.hi, hi))
		ooh_ranges_push(new, s.lo, s.hi);
	for (s = ooh_ranges_next(t->whole, hi, OOH_MAX_VPN); s.lo < OOH_MAX_VPN; s = ooh_ranges_next(t->whole, s.hi, OOH_MAX_VPN))
		ooh_ranges_push(new, s.lo, s.hi);
}

/* Such a mapping was there in [lo, hi), or a fault in one is about to put a page there. */
void ooh_whole_fault(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	unsigned long blk;

	if (!READ_ONCE(t->started) || !ooh_ranges_overlap(t, lo, hi))
		return;
	for (blk = lo >> OOH_BLOCK_SHIFT; blk << OOH_BLOCK_SHIFT < hi; blk++)
		ooh_block_cut(t, blk, lo, hi);
}

static void gone(struct ooh_tracker *t, const struct ooh_ranges *now, struct ooh_span was)
{
	struct ooh_span is;

	for (; was.lo < was.hi; was.lo = is.hi) {
		is = ooh_ranges_next(now, was.lo, was.hi);
		if (was.lo < min(is.lo, was.hi))
			ooh_whole_fault(t, was.lo, min(is.lo, was.hi));
	}
}

/* Looks where they are in [lo, hi) now. The mm is locked. -ENOMEM: nothing is changed. */
int ooh_whole_look(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	struct ooh_ranges *new;
	struct ooh_span was;
	unsigned int n;
	bool same;

	n = count(t, lo, hi, &same);
	if (same)
		return 0;
	new = ooh_ranges_alloc(n + (t->whole ? t->whole->nr : 0) + 1);
	if (!new)
		return -ENOMEM;
	fill(t, new, lo, hi);
	for (was = ooh_ranges_next(t->whole, lo, hi); was.lo < hi; was = ooh_ranges_next(t->whole, was.hi, hi))
		gone(t, new, was);
	kvfree(t->whole);
	t->whole = new;
	return 0;
}
