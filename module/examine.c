// SPDX-License-Identifier: GPL-2.0-only
/*
 * Unknown pages become known: the page-table entries of pages that faulted, or whose mapping the notifier said would
 * change, are compared with the frames that were armed. Everything here runs with tracker->mutex and the write-locked
 * mm held.
 *
 * The rule: a page is clean if the frame armed for it was not logged and the page can have had no other frame in
 * between. So another frame, or the same one after an invalidation *and* a fault, is dirty; the same frame after only
 * one of them is not. What a migration moves away and back is copied into the armed frame, and logged.
 *
 * The page table moves under us (reclaim, migration). The marks of a page are taken before its entry is read, and
 * when the notifier announced anything meanwhile, or an announced change is not finished, the page stays marked for
 * the next round.
 */
#include <linux/sched/signal.h>

#include "ooh_mod.h"

struct block {
	struct ooh_tracker *t;
	unsigned long first;      /* of the block */
	unsigned long lo, hi;     /* pages to be examined */
	bool all;                 /* all of them, else those in want */
	bool fresh;               /* START: what is present is clean */
	unsigned long cut_lo, cut_hi; /* pages that existed in this round, even if nothing is there now */
	DECLARE_BITMAP(want, OOH_BLOCK_PAGES);
	unsigned int gone, new;   /* entries in the tracker's batch: frames to untag; fresh ones to arm */
};

/* ---- frames that stand for nothing any more ---- */

static void untag_batch(struct ooh_tracker *t, unsigned int nr)
{
	unsigned int i, last = 0;

	if (!nr)
		return;
	mutex_lock(&ooh_hv_mutex);
	for (i = 0; i < nr; i++)
		if (ooh_frame_untag(t->batch_pfn[i], t->id, t->batch_vpn[i]))
			t->batch_pfn[last++] = t->batch_pfn[i];
	ooh_disarm(t->batch_pfn, last);
	mutex_unlock(&ooh_hv_mutex);
}

/* Works off what a block has put into the batch. */
static void flush_batch(struct block *b)
{
	if (b->fresh)
		ooh_arm_batch(b->t, b->new);
	else
		untag_batch(b->t, b->gone);
	b->new = 0;
	b->gone = 0;
}

static void gone(struct block *b, unsigned long vpn, unsigned long e)
{
	struct ooh_tracker *t = b->t;

	if (!(e & E_FRAME) || !(e & E_TAGGED))
		return;
	t->batch_vpn[b->gone] = vpn;
	t->batch_pfn[b->gone++] = e_pfn(e);
}

/* Takes the entries in [lo, hi) out, with their frames. */
void ooh_forget(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	XA_STATE(xas, &t->pages, lo);
	struct block b = { .t = t };
	void *old;

	do {
		b.gone = 0;
		xas_lock(&xas);
		xas_for_each(&xas, old, hi - 1) {
			gone(&b, xas.xa_index, xa_to_value(old));
			ooh_page_erase(t, &xas);
			if (b.gone == OOH_LIST_MAX)
				break;
		}
		xas_pause(&xas);
		xas_unlock(&xas);
		untag_batch(t, b.gone);
		cond_resched();
	} while (b.gone == OOH_LIST_MAX);
}

/* ---- arming ---- */

static void set_tagged(struct ooh_tracker *t, unsigned long vpn, unsigned long flags, bool dirty)
{
	XA_STATE(xas, &t->pages, vpn);
	void *old;

	xas_lock(&xas);
	old = xas_load(&xas);
	if (old) {
		ooh_page_set(t, &xas, xa_to_value(old) | flags);
		if (dirty)
			ooh_page_mark_dirty(t, &xas);
	}
	xas_unlock(&xas);
}

/* What cannot be tagged or armed is dirty, until arming it succeeds in a later round. */
static void cannot_arm(struct ooh_tracker *t, unsigned long vpn)
{
	set_tagged(t, vpn, E_UNTRACK, true);
}

/* Some of the batch could not be armed: find out which, one by one. H is held. */
static void arm_singly(struct ooh_tracker *t, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++)
		if (ooh_arm(&t->batch_pfn[i], 1))
			cannot_arm(t, t->batch_vpn[i]);
}

static void tag_batch(struct ooh_tracker *t, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (!(t->batch_vpn[i] & BATCH_TAG))
			continue;
		t->batch_vpn[i] &= ~BATCH_TAG;
		if (ooh_frame_tag(t->batch_pfn[i], t->id, t->batch_vpn[i]))
			cannot_arm(t, t->batch_vpn[i]);
		else
			set_tagged(t, t->batch_vpn[i], E_TAGGED, false);
	}
}

/*
 * Arms the frames in batch_pfn for the pages in batch_vpn, first tagging those that are not. The caller flushes.
 * Returns nr.
 */
unsigned int ooh_arm_batch(struct ooh_tracker *t, unsigned int nr)
{
	int err;

	if (!nr)
		return 0;
	mutex_lock(&ooh_hv_mutex);
	tag_batch(t, nr);
	err = ooh_arm(t->batch_pfn, nr);
	if (err == OOH_HC_ENOSYS || err == OOH_HC_ENORING)
		WRITE_ONCE(t->overflow, true); /* the hypervisor was restarted: in the next round all begins anew */
	else if (err)
		arm_singly(t, nr);
	mutex_unlock(&ooh_hv_mutex);
	t->stats.armed_total += nr;
	return nr;
}

/* ---- verdicts ---- */

/* What the entry becomes. 0: no entry (nothing known, nothing to report). *check: look again in the next round. */
static unsigned long on_frame(unsigned long e, unsigned long pfn, bool had, bool *dirty)
{
	const unsigned long seen = e & E_SEEN & ~(E_ABSENT | E_SWAPPED);

	if (!had || e_pfn(e) != pfn) {
		*dirty = true;
		return e_frame(pfn, seen | E_MAPPED);
	}
	if ((e & E_FAULT) && (e & E_INVAL)) {
		*dirty = true;
		e |= E_MAPPED;
	}
	return e & ~(E_FAULT | E_INVAL | E_LEAVING | E_ABSENT | E_SWAPPED);
}

/*
 * Swapped out and not seen to come back: the frame's log tells all. But a store just before may be in a CPU's log
 * still, so the frame keeps its tag for one round more. What is left says that there is something to lose.
 */
static unsigned long on_swap(unsigned long e, bool had, bool *dirty, bool *check)
{
	if (had && !(e & (E_FAULT | E_SEEN))) {
		*check = !(e & E_LEAVING);
		return *check ? e | E_LEAVING : E_LEAVING;
	}
	*dirty = had || (e & (E_FAULT | E_SEEN));
	return *dirty ? (e & E_SEEN) | E_SWAPPED : E_LEAVING;
}

static unsigned long on_nothing(unsigned long e, bool had, bool zero, bool *dirty)
{
	/* Reading first, which gives the zero page, changes nothing; but what was stored to may have gone before that. */
	const bool touched = (e & E_FAULT) && (!zero || (e & E_INVAL));

	*dirty = had || touched || (e & (E_SEEN | E_LEAVING));
	return *dirty ? (e & E_SEEN) | (zero ? E_MAPPED : E_ABSENT) : 0;
}

static unsigned long verdict(unsigned long e, u64 pte, bool writable, bool *dirty, bool *check)
{
	const bool had = e & E_FRAME;

	switch (pte & OOH_PTE_KIND) {
	case OOH_PTE_FRAME:
		return on_frame(e, pte >> OOH_PTE_SHIFT, had, dirty);
	case OOH_PTE_MOVING:
		*check = true; /* as it is: nobody can write meanwhile, and the end of the move is silent */
		return e | E_FAULT;
	case OOH_PTE_SWAP:
		return on_swap(e, had, dirty, check);
	case OOH_PTE_SPECIAL:
		*dirty = *check = writable;
		return writable ? (e & E_SEEN) | E_UNTRACK : 0;
	default:
		return on_nothing(e, had, (pte & OOH_PTE_KIND) == OOH_PTE_ZERO, dirty);
	}
}

/* START and ADD_RANGE: what is present is clean, what moves is looked at in the next round. */
static unsigned long fresh_verdict(u64 pte, bool writable, bool *dirty, bool *check)
{
	switch (pte & OOH_PTE_KIND) {
	case OOH_PTE_FRAME:
		return e_frame(pte >> OOH_PTE_SHIFT, 0);
	case OOH_PTE_MOVING:
		*check = true;
		return E_FAULT;
	case OOH_PTE_SPECIAL:
		*dirty = *check = writable;
		return writable ? E_UNTRACK : 0;
	case OOH_PTE_SWAP:
		return E_LEAVING;
	default:
		return 0;
	}
}

/* Stores what became of one page. false: no memory. */
static bool settle(struct block *b, struct xa_state *xas, u64 pte, bool writable)
{
	struct ooh_tracker *t = b->t;
	const unsigned long vpn = xas->xa_index;
	void *old = xas_load(xas);
	unsigned long e = old ? xa_to_value(old) : 0, new;
	bool dirty = false, check = false;

	if (b->fresh && old)
		return true;
	if (b->all && (e & E_INVAL))
		e |= E_FAULT;
	if (vpn >= b->cut_lo && vpn < b->cut_hi)
		e |= E_FAULT | E_INVAL;
	if (b->fresh)
		new = fresh_verdict(pte, writable, &dirty, &check);
	else
		new = verdict(e, pte, writable, &dirty, &check);
	if ((e & E_FRAME) && (!(new & E_FRAME) || e_pfn(new) != e_pfn(e)))
		gone(b, vpn, e);
	if (!new && !check) {
		ooh_page_erase(t, xas);
		return true;
	}
	if (!(new & E_FRAME) || e_pfn(new) != e_pfn(e))
		new &= ~E_TAGGED;
	ooh_page_set(t, xas, new);
	if (xas_error(xas))
		return false;
	if (dirty)
		ooh_page_mark_dirty(t, xas);
	if (check)
		xas_set_mark(xas, PG_CHECK);
	if (b->fresh && (new & E_FRAME)) {
		t->batch_vpn[b->new] = vpn | BATCH_TAG;
		t->batch_pfn[b->new++] = e_pfn(new);
	}
	return true;
}

static int settle_page(struct block *b, unsigned long vpn, u64 pte, bool writable)
{
	XA_STATE(xas, &b->t->pages, vpn);

	do {
		xas_lock(&xas);
		settle(b, &xas, pte, writable);
		xas_unlock(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL));
	return xas_error(&xas);
}

/* ---- one block ---- */

static bool wanted(const struct block *b, unsigned long vpn)
{
	return b->all ? ooh_in_ranges(b->t, vpn) : test_bit(vpn - b->first, b->want);
}

/* Pages [lo, hi) of one mapping, or of none. */
static int settle_span(struct block *b, struct vm_area_struct *vma, unsigned long lo, unsigned long hi)
{
	const bool writable = vma && (vma->vm_flags & VM_MAYWRITE);
	struct ooh_tracker *t = b->t;
	unsigned long vpn;
	int err = 0;

	if (vma && ooh_vma_untracked(vma)) {
		flush_batch(b); /* forgetting uses the batch too */
		ooh_forget(t, lo, hi); /* reported as a whole */
		return 0;
	}
	if (vma)
		ooh_walk(t->mm, vma, lo, hi - lo, t->snap);
	else
		memset(t->snap, 0, (hi - lo) * sizeof(*t->snap));
	for (vpn = lo; vpn < hi && !err; vpn++) {
		if (!wanted(b, vpn))
			continue;
		t->stats.examined++;
		err = settle_page(b, vpn, t->snap[vpn - lo], writable);
	}
	return err;
}

static int settle_block(struct block *b)
{
	unsigned long vpn = b->lo, end;
	int err = 0;

	while (vpn < b->hi && !err) {
		struct vm_area_struct *vma = find_vma(b->t->mm, vpn << PAGE_SHIFT);

		if (vma && vma->vm_start >> PAGE_SHIFT <= vpn) {
			end = min(b->hi, vma->vm_end >> PAGE_SHIFT);
		} else {
			end = vma ? min(b->hi, vma->vm_start >> PAGE_SHIFT) : b->hi;
			vma = NULL;
		}
		err = settle_span(b, vma, vpn, end);
		vpn = end;
	}
	return err;
}

/* Collects and takes the PG_CHECK marks of the block, or of the part to be examined. Returns whether there were any. */
static bool take_marks(struct block *b)
{
	XA_STATE(xas, &b->t->pages, b->all ? b->lo : b->first);
	unsigned long lo = ULONG_MAX, hi = 0;
	void *old;

	bitmap_zero(b->want, OOH_BLOCK_PAGES);
	xas_lock(&xas);
	xas_for_each_marked(&xas, old, (b->all ? b->hi : b->first + OOH_BLOCK_PAGES) - 1, PG_CHECK) {
		xas_clear_mark(&xas, PG_CHECK);
		__set_bit(xas.xa_index - b->first, b->want);
		lo = min(lo, xas.xa_index);
		hi = xas.xa_index + 1;
	}
	xas_unlock(&xas);
	if (!b->all) {
		b->lo = lo;
		b->hi = hi;
	}
	return hi;
}

/* The notifier spoke meanwhile: what was stored here may be out of date. */
static void mark_again(struct block *b)
{
	XA_STATE(xas, &b->t->pages, b->lo);
	void *old;

	xas_lock(&xas);
	xas_for_each(&xas, old, b->hi - 1) {
		if (!wanted(b, xas.xa_index))
			continue;
		ooh_page_set(b->t, &xas, xa_to_value(old) | E_INVAL);
		xas_set_mark(&xas, PG_CHECK);
	}
	xas_unlock(&xas);
}

static int do_block(struct block *b)
{
	bool active_before, active_after;
	unsigned long seq;
	int err;

	if (!b->fresh && !take_marks(b) && !b->all)
		return 0;
	seq = ooh_inval_seq(b->t, &active_before);
	b->gone = 0;
	b->new = 0;
	err = settle_block(b);
	if (ooh_inval_seq(b->t, &active_after) != seq || active_before || active_after)
		mark_again(b);
	flush_batch(b);
	if (err)
		WRITE_ONCE(b->t->lost, true);
	cond_resched();
	return err;
}

/* The block was recorded as a whole. */
static int do_recorded_block(struct ooh_tracker *t, unsigned long blk, unsigned long record)
{
	struct block b = { .t = t, .first = blk << OOH_BLOCK_SHIFT, .all = true };

	b.lo = b.first;
	b.hi = b.first + OOH_BLOCK_PAGES;
	if (record & BLK_HUGE) {
		b.cut_lo = b.first + BLK_LO(record);
		b.cut_hi = b.first + BLK_HI(record);
	}
	return do_block(&b);
}

/* ---- many blocks ---- */

/* The record stays until the block has been walked: what reclaim takes meanwhile is noted in it, or by it. */
static int examine_block(struct ooh_tracker *t, unsigned long blk, void *record)
{
	void *seen;
	int err;

	do {
		seen = record;
		err = do_recorded_block(t, blk, xa_to_value(seen));
		record = xa_cmpxchg(&t->blocks, blk, seen, NULL, GFP_KERNEL);
	} while (!err && record != seen);
	return err;
}

static int examine_recorded(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	unsigned long blk;
	void *record;
	int err = 0;

	xa_for_each_range(&t->blocks, blk, record, lo >> OOH_BLOCK_SHIFT, (hi - 1) >> OOH_BLOCK_SHIFT) {
		err = examine_block(t, blk, record);
		if (err)
			break;
	}
	return err;
}

static int examine_marked(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	unsigned long vpn = round_down(lo, OOH_BLOCK_PAGES);
	struct block b = { .t = t };
	int err = 0;

	while (!err && vpn < hi && xa_find(&t->pages, &vpn, hi - 1, PG_CHECK)) {
		b.first = round_down(vpn, OOH_BLOCK_PAGES);
		err = do_block(&b);
		vpn = b.first + OOH_BLOCK_PAGES;
	}
	return err;
}

/* Examines every unknown page of the blocks that [lo, hi) touches. -ENOMEM: the tracker is to be rescanned. */
int ooh_examine(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	int err = examine_recorded(t, lo, hi);

	return err ? err : examine_marked(t, lo, hi);
}

/* Walks the mappings of [lo, hi), block by block. */
static int scan(struct ooh_tracker *t, unsigned long lo, unsigned long hi, bool fresh)
{
	struct block b = { .t = t, .all = true, .fresh = fresh };
	struct vm_area_struct *vma;
	int err = 0;

	while (!err && lo < hi) {
		vma = find_vma(t->mm, lo << PAGE_SHIFT);
		if (!vma || vma->vm_start >> PAGE_SHIFT >= hi)
			break;
		if (fatal_signal_pending(current))
			return -EINTR;
		lo = max(lo, vma->vm_start >> PAGE_SHIFT);
		b.first = round_down(lo, OOH_BLOCK_PAGES);
		b.lo = lo;
		b.hi = min(hi, b.first + OOH_BLOCK_PAGES);
		err = do_block(&b);
		lo = b.hi;
	}
	return err;
}

/* START and ADD_RANGE: arms what is present. */
int ooh_scan_new(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	return scan(t, lo, hi, true);
}

/* Events were lost: everything that is mapped, and everything that is known. */
int ooh_rescan(struct ooh_tracker *t)
{
	const struct ooh_ranges *r = rcu_dereference_protected(t->ranges, lockdep_is_held(&t->mutex));
	unsigned int i;
	int err = 0;

	ooh_pages_mark(t, 0, OOH_MAX_VPN, E_FAULT, PG_CHECK);
	for (i = 0; r && i < r->nr && !err; i++)
		err = scan(t, r->span[i].lo, r->span[i].hi, false);
	return err ? err : ooh_examine(t, 0, OOH_MAX_VPN);
}

/* ---- devices ---- */

/* Pages of one huge page share a count, and explaining it takes a look at all of them: the last answer is kept. */
struct refs {
	struct page *head;
	enum ooh_refs refs;
};

static enum ooh_refs refs_of(struct refs *last, unsigned long pfn)
{
	struct page *head = compound_head(pfn_to_page(pfn));

	if (head != last->head) {
		last->head = head;
		last->refs = ooh_page_refs(head);
	}
	return last->refs;
}

/* The usual page: small, each reference a mapping, and nothing else was ever found. */
static bool is_plain(struct xa_state *xas, unsigned long e)
{
	struct page *page = pfn_to_page(e_pfn(e));
	int before, maps;

	if (!(e & E_FRAME) || (e & E_HELD) || ooh_page_marked(xas, PG_WATCH) || PageCompound(page))
		return false;
	before = page_ref_count(page);
	maps = page_mapcount(page);
	return max(before, page_ref_count(page)) <= maps;
}

/* Returns whether references were found that were not there at the end of the round before. */
static bool check_refs(struct ooh_tracker *t, struct xa_state *xas, unsigned long e, struct refs *last, bool end)
{
	enum ooh_refs refs = e & E_FRAME ? refs_of(last, e_pfn(e)) : OOH_REFS_KNOWN;

	if (refs == OOH_REFS_KNOWN && ooh_page_marked(xas, PG_WATCH))
		xas_clear_mark(xas, PG_WATCH);
	if (refs == OOH_REFS_MORE)
		xas_set_mark(xas, PG_WATCH);
	if (refs != OOH_REFS_ODD) {
		if (e & E_HELD)
			ooh_page_set(t, xas, e & ~E_HELD);
		return false;
	}
	ooh_page_set(t, xas, e | E_IO | (end ? E_HELD : 0));
	ooh_page_mark_dirty(t, xas);
	return !(e & E_HELD);
}

/* Looks again, and takes back what was said of pages whose references are gone, if nothing else is known of them. */
static void recheck_refs(struct ooh_tracker *t, struct xa_state *xas, unsigned long e, struct refs *last)
{
	if ((e & E_REPORT) != E_IO || !(e & E_HELD) || refs_of(last, e_pfn(e)) == OOH_REFS_ODD)
		return;
	ooh_page_set(t, xas, e & ~(E_IO | E_HELD));
	ooh_page_mark_clean(t, xas);
}

/*
 * After the flush that ends a round, for the pages armed in it: a device that holds a reference may write at any
 * time. References taken after the tag was set are seen by the hook; those taken before are seen here. Returns
 * whether any are new.
 */
bool ooh_check_pins(struct ooh_tracker *t, unsigned long lo, unsigned long hi, bool again)
{
	XA_STATE(xas, &t->pages, lo);
	struct refs last = { .head = NULL };
	unsigned int n = 0;
	bool new = false;
	void *old;

	xas_lock(&xas);
	xas_for_each(&xas, old, hi - 1) {
		if (likely(is_plain(&xas, xa_to_value(old))))
			;
		else if (again)
			recheck_refs(t, &xas, xa_to_value(old), &last);
		else
			new |= check_refs(t, &xas, xa_to_value(old), &last, true);
		if (++n % OOH_LIST_MAX)
			continue;
		xas_pause(&xas);
		xas_unlock(&xas);
		cond_resched();
		xas_lock(&xas);
	}
	xas_unlock(&xas);
	return new;
}

/*
 * At the start of a round, for pages whose references were not beyond doubt at the end of the last. What is odd now
 * may have been a device's all the time, and is not taken back.
 */
void ooh_check_watched(struct ooh_tracker *t, unsigned long lo, unsigned long hi)
{
	XA_STATE(xas, &t->pages, lo);
	struct refs last = { .head = NULL };
	void *old;

	xas_lock(&xas);
	xas_for_each_marked(&xas, old, hi - 1, PG_WATCH)
		check_refs(t, &xas, xa_to_value(old), &last, false);
	xas_unlock(&xas);
}
