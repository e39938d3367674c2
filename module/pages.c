// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtual page -> what is known of it. tracker->pages holds an entry for each tracked page that has a frame, and for
 * each page of which something happened. Its marks are the sets that make a round cost O(dirty): PG_DIRTY, PG_CHECK,
 * PG_WATCH.
 *
 * Entries come and go only in the hands of the holder of tracker->mutex and the write-locked mm, but for
 * ooh_page_or(), which the hooks use to add an entry without a frame. Flags and marks are set from anywhere, under
 * the array's lock.
 */
#include "ooh_mod.h"

/* ---- under P ---- */

/*
 * Replaces the value, keeping the marks, and counts tagged frames. xas has just been loaded. Where there was a value,
 * the new one is put into the same slot; xas_store() would look for things that cannot be. May leave xas in error: no
 * memory for a new entry.
 */
void ooh_page_set(struct ooh_tracker *t, struct xa_state *xas, unsigned long e)
{
	void *old = NULL;

	if (xas_is_node(xas))
		old = xa_entry(&t->pages, xas->xa_node, xas->xa_offset);
	if (xa_is_value(old)) {
		rcu_assign_pointer(xas->xa_node->slots[xas->xa_offset], xa_mk_value(e));
		t->present -= !!(xa_to_value(old) & E_TAGGED);
	} else {
		xas_store(xas, xa_mk_value(e));
		if (xas_error(xas))
			return;
	}
	t->present += !!(e & E_TAGGED);
}

void ooh_page_erase(struct ooh_tracker *t, struct xa_state *xas)
{
	void *old = xas_load(xas);

	if (!old)
		return;
	ooh_page_mark_clean(t, xas);
	t->present -= !!(xa_to_value(old) & E_TAGGED);
	xas_store(xas, NULL);
}

static void set_mark(struct ooh_tracker *t, struct xa_state *xas, xa_mark_t mark)
{
	if (mark == PG_DIRTY)
		ooh_page_mark_dirty(t, xas);
	else
		xas_set_mark(xas, mark);
}

/* ---- from hooks, and others that hold nothing ---- */

/* Sets flags and a mark, adding the entry when there is none. Nothing is done while not started. -ENOMEM. */
int ooh_page_or(struct ooh_tracker *t, unsigned long vpn, unsigned long flags, xa_mark_t mark, gfp_t gfp)
{
	XA_STATE(xas, &t->pages, vpn);
	void *old;

	do {
		xas_lock(&xas);
		if (!t->started) {
			xas_unlock(&xas);
			return 0;
		}
		old = xas_load(&xas);
		ooh_page_set(t, &xas, flags | (old ? xa_to_value(old) : 0));
		if (!xas_error(&xas))
			set_mark(t, &xas, mark);
		xas_unlock(&xas);
	} while (xas_nomem(&xas, gfp));
	return xas_error(&xas);
}

/* Sets flags on the entry, if it stands for this frame. */
static void frame_or(struct ooh_tracker *t, struct xa_state *xas, void *old, unsigned long pfn, unsigned long flags)
{
	const unsigned long e = old ? xa_to_value(old) : 0;

	if (!(e & E_FRAME) || e_pfn(e) != pfn)
		return;
	if ((e & flags) != flags)
		ooh_page_flags(t, xas, e | flags);
	ooh_page_mark_dirty(t, xas);
}

/* Lets go of the tracker that the last entries were for. */
void ooh_logger_end(struct ooh_logger *l)
{
	struct ooh_tracker *t = l->t;

	if (!t)
		return;
	xas_unlock(&l->xas);
	l->t = NULL;
	if (t->threshold && READ_ONCE(t->dirty) >= t->threshold)
		wake_up_poll(&t->wait, EPOLLIN | EPOLLRDNORM);
}

/* Entries come in runs: mostly the next one is in the node at hand. */
static void *logger_load(struct ooh_logger *l, unsigned long vpn)
{
	struct xa_state *xas = &l->xas;

	if (xas_is_node(xas) && !xas->xa_node->shift && vpn >> XA_CHUNK_SHIFT == xas->xa_index >> XA_CHUNK_SHIFT) {
		xas->xa_index = vpn;
		xas->xa_offset = vpn & XA_CHUNK_MASK;
		return xa_entry(xas->xa, xas->xa_node, xas->xa_offset);
	}
	xas_set(xas, vpn);
	return xas_load(xas);
}

/* A log entry of the frame arrived. Keeps the tracker's pages locked until ooh_logger_end(). H is held. */
void ooh_page_logged(struct ooh_tracker *t, unsigned long vpn, unsigned long pfn, void *logger)
{
	struct ooh_logger *l = logger;

	if (l->t != t) {
		ooh_logger_end(l);
		l->t = t;
		l->xas = (struct xa_state)__XA_STATE(&t->pages, vpn, 0, 0);
		xas_lock(&l->xas);
	}
	frame_or(t, &l->xas, logger_load(l, vpn), pfn, E_WRITTEN);
}

/* Somebody took a reference on the frame to let a device write. Interrupts may be off. */
void ooh_page_grabbed(struct ooh_tracker *t, unsigned long vpn, unsigned long pfn, void *unused)
{
	XA_STATE(xas, &t->pages, vpn);

	xas_lock(&xas);
	t->stats.pins++;
	frame_or(t, &xas, xas_load(&xas), pfn, E_IO);
	xas_unlock(&xas);
}

/* A fault, or another way to install a mapping, is about to happen at this page. The mm is locked; no sleeping. */
void ooh_page_fault(struct ooh_tracker *t, unsigned long vpn)
{
	if (!READ_ONCE(t->started) || !ooh_in_ranges(t, vpn))
		return;
	t->stats.faults++;
	if (ooh_page_or(t, vpn, E_FAULT, PG_CHECK, GFP_NOWAIT | __GFP_NOWARN))
		WRITE_ONCE(t->lost, true);
}

/* Pages of the block that came in this round with others, without a fault of their own, get their entries now. */
static void came_with_others(struct ooh_tracker *t, unsigned long first, const unsigned long *pages)
{
	unsigned long i;

	for_each_set_bit(i, pages, OOH_BLOCK_PAGES) {
		void *old = xa_load(&t->pages, first + i);

		if ((!old || !(xa_to_value(old) & E_FRAME)) && ooh_in_ranges(t, first + i) &&
		    ooh_page_or(t, first + i, E_FAULT, PG_CHECK, GFP_NOWAIT | __GFP_NOWARN))
			WRITE_ONCE(t->lost, true);
	}
}

/*
 * Small pages in [lo, hi) are going from a block recorded in this round: those that are there have come with others.
 * all: a fault beside this may put more there, and they go unseen.
 */
static void block_small(struct ooh_tracker *t, unsigned long blk, unsigned long lo, unsigned long hi, bool all)
{
	const unsigned long first = blk << OOH_BLOCK_SHIFT;
	DECLARE_BITMAP(pages, OOH_BLOCK_PAGES);

	lo = max(lo, first);
	hi = min(hi, first + OOH_BLOCK_PAGES);
	if (lo >= hi)
		return;
	bitmap_zero(pages, OOH_BLOCK_PAGES);
	if (all)
		bitmap_set(pages, lo - first, hi - lo);
	else
		ooh_walk_small(t->mm, lo, hi - lo, pages);
	came_with_others(t, first, pages);
}

static struct ooh_span going(struct ooh_tracker *t)
{
	struct ooh_span s = { 0, 0 };

	spin_lock(&t->events);
	if (t->nr_going)
		s = t->going;
	spin_unlock(&t->events);
	return s;
}

static void block_record(struct ooh_tracker *t, unsigned long blk)
{
	if (xa_err(xa_cmpxchg(&t->blocks, blk, NULL, xa_mk_value(BLK_PLAIN), GFP_NOWAIT | __GFP_NOWARN)))
		WRITE_ONCE(t->lost, true);
}

/* The same for anything in the 2 MiB block of this page. */
void ooh_block_fault(struct ooh_tracker *t, unsigned long vpn)
{
	const unsigned long blk = vpn >> OOH_BLOCK_SHIFT, first = blk << OOH_BLOCK_SHIFT;
	struct ooh_span s;

	if (!READ_ONCE(t->started) || !ooh_ranges_overlap(t, first, first + OOH_BLOCK_PAGES))
		return;
	block_record(t, blk);
	s = going(t);
	block_small(t, blk, s.lo, s.hi, true);
}

/* ---- invalidations ---- */

#define MARK_STEP 1024

/* Sets flags and a mark on the entries there are in [lo, hi). Sleeps if there are more than MARK_STEP. */
void ooh_pages_mark(struct ooh_tracker *t, unsigned long lo, unsigned long hi, unsigned long flags, xa_mark_t mark)
{
	XA_STATE(xas, &t->pages, lo);
	unsigned int n = 0;
	void *old;

	xas_lock(&xas);
	xas_for_each(&xas, old, hi - 1) {
		ooh_page_set(t, &xas, xa_to_value(old) | flags);
		set_mark(t, &xas, mark);
		if (++n % MARK_STEP)
			continue;
		xas_pause(&xas);
		xas_unlock(&xas);
		cond_resched();
		xas_lock(&xas);
	}
	xas_unlock(&xas);
}

static void inval_add(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	struct ooh_span *s;
	unsigned int i;

	if (t->nr_inval == OOH_INVAL_MAX) {
		s = t->inval;
		for (i = 1; i < OOH_INVAL_MAX; i++) {
			s->lo = min(s->lo, t->inval[i].lo);
			s->hi = max(s->hi, t->inval[i].hi);
		}
		t->nr_inval = 1;
	}
	t->inval[t->nr_inval++] = (struct ooh_span){ lo, hi };
}

/*
 * A huge mapping that came in this round and is being cut or unmapped in it: its pages existed, though no round will
 * find them. The block was recorded as a whole (one fault, 512 pages), so say which pages there were. So with mappings
 * that are reported as a whole.
 */
void ooh_block_cut(struct ooh_tracker *t, unsigned long blk, unsigned long lo, unsigned long hi)
{
	const unsigned long first = blk << OOH_BLOCK_SHIFT;
	unsigned long b = xa_to_value(xa_load(&t->blocks, blk));

	lo = max(lo, first) - first;
	hi = min(hi, first + OOH_BLOCK_PAGES) - first;
	if (b & BLK_HUGE) {
		lo = min(lo, BLK_LO(b));
		hi = max(hi, BLK_HI(b));
	}
	if (xa_err(xa_store(&t->blocks, blk, xa_mk_value(BLK(lo, hi)), GFP_NOWAIT | __GFP_NOWARN)))
		WRITE_ONCE(t->lost, true);
}

static void blocks_going(struct ooh_tracker *t, unsigned long lo, unsigned long hi, bool all)
{
	unsigned long blk;
	void *old;

	xa_for_each_range(&t->blocks, blk, old, lo >> OOH_BLOCK_SHIFT, (hi - 1) >> OOH_BLOCK_SHIFT)
		if (ooh_walk_is_huge(t->mm, blk << PMD_SHIFT))
			ooh_block_cut(t, blk, lo, hi);
		else
			block_small(t, blk, lo, hi, all);
}

/*
 * A table of small pages is being taken away whole: if that is to put a huge page in its place, pages will be there
 * that nobody touched, and ready to be written.
 */
static bool may_fill_holes(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	return hi - lo == OOH_BLOCK_PAGES && IS_ALIGNED(lo, OOH_BLOCK_PAGES) &&
	       !ooh_walk_huge_or_none(t->mm, lo << PAGE_SHIFT);
}

/*
 * Faults beside it may put pages where they are taken away. A fault that can install many either recorded its block
 * before this (and blocks_going() finds the record) or finds the range here.
 */
static void going_add(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	if (!t->nr_going++) {
		t->going = (struct ooh_span){ lo, hi };
		return;
	}
	t->going.lo = min(t->going.lo, lo);
	t->going.hi = max(t->going.hi, hi);
}

/* Whether a fault that is not the caller's may be in flight in the address space. */
static bool others_fault(struct ooh_tracker *t)
{
	return current->mm != t->mm || atomic_read(&t->mm->mm_users) > 1;
}

/*
 * The kernel is about to change mappings in [lo, hi); until ooh_pages_inval_end() it may be doing so. The sequence
 * number moves before the marks are set: an examiner that stored an entry before the marks is marked, one that stores
 * it after sees the number moved.
 */
void ooh_pages_inval_begin(struct ooh_tracker *t, unsigned long lo, unsigned long hi, bool beside)
{
	const bool large = hi - lo > OOH_BLOCK_PAGES;

	spin_lock(&t->events);
	t->inval_active++;
	t->inval_seq++;
	if (beside)
		going_add(t, lo, hi);
	if (large && READ_ONCE(t->started))
		inval_add(t, lo, hi);
	spin_unlock(&t->events);
	if (!READ_ONCE(t->started) || !ooh_ranges_overlap(t, lo, hi))
		return;
	t->stats.invalidations++;
	if (!xa_empty(&t->blocks))
		blocks_going(t, lo, hi, beside && others_fault(t));
	if (may_fill_holes(t, lo, hi))
		block_record(t, lo >> OOH_BLOCK_SHIFT);
	if (!large)
		ooh_pages_mark(t, lo, hi, E_INVAL, PG_CHECK);
}

void ooh_pages_inval_end(struct ooh_tracker *t, bool beside)
{
	spin_lock(&t->events);
	if (beside)
		t->nr_going--;
	if (!WARN_ON_ONCE(!t->inval_active))
		t->inval_active--;
	spin_unlock(&t->events);
}

/* The number of announcements so far, and whether one is not finished. */
unsigned long ooh_inval_seq(struct ooh_tracker *t, bool *active)
{
	unsigned long seq;

	spin_lock(&t->events);
	seq = t->inval_seq;
	*active = t->inval_active;
	spin_unlock(&t->events);
	return seq;
}

/* Turns the large ranges into marks. T is held. */
void ooh_inval_apply(struct ooh_tracker *t)
{
	struct ooh_span s;

	for (;;) {
		spin_lock(&t->events);
		if (!t->nr_inval) {
			spin_unlock(&t->events);
			return;
		}
		s = t->inval[--t->nr_inval];
		spin_unlock(&t->events);
		ooh_pages_mark(t, s.lo, s.hi, E_INVAL, PG_CHECK);
	}
}
