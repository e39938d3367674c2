// SPDX-License-Identifier: GPL-2.0-only
/*
 * One round. With the mm locked for write, so that no fault is in flight:
 *   1. every CPU's log is drained and its entries become marks;
 *   2. the page-table entries of unknown pages are looked at;
 *   3. dirty pages are handed over and their frames armed again, and no others;
 *   4. every CPU drops its cached translations, so that stores from here on are logged;
 *   5. references that devices hold on those frames are looked for.
 * A store before 4 to a page handed over belongs to this round: the caller reads the page after it. A store to a page
 * that is not handed over finds its dirty flag clear, and is logged.
 */
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/timex.h>
#include <linux/uaccess.h>

#include "ooh_mod.h"

#define REGIONS_MAX   65536u /* in one call; more end it early, as a small vector does */
#define REGIONS_FIRST 256u

struct round {
	struct ooh_tracker *t;
	struct ooh_collect *c;
	unsigned long lo, hi;    /* window */
	unsigned long at;        /* everything below is handed over */
	struct ooh_span untracked; /* the next mapping that is reported as a whole */
	bool peek, count_only, full;
	size_t nr;               /* regions in the tracker's buffer */
	unsigned int batch;      /* frames to be armed */
	struct ooh_region last;  /* when only counting */
};

static u32 categories(unsigned long e)
{
	return (e & E_REPORT) >> E_CATEGORY;
}

static unsigned long entry_flags(u32 c)
{
	return ((unsigned long)c << E_CATEGORY) & E_SEEN;
}

/* ---- regions ---- */

/* Room for one more region, without sleeping or with. false: there is none. */
static bool room(struct round *r)
{
	return r->count_only || r->nr < r->t->buf_len;
}

static int grow(struct round *r)
{
	struct ooh_tracker *t = r->t;
	const size_t len = t->buf_len ? 2 * t->buf_len : REGIONS_FIRST;
	struct ooh_region *buf;

	buf = kvmalloc_array(len, sizeof(*buf), GFP_KERNEL_ACCOUNT);
	if (!buf)
		return -ENOMEM;
	if (r->nr)
		memcpy(buf, t->buf, r->nr * sizeof(*buf));
	kvfree(t->buf);
	t->buf = buf;
	t->buf_len = len;
	return 0;
}

static struct ooh_region *last_region(struct round *r)
{
	if (r->count_only)
		return &r->last;
	return r->nr ? &r->t->buf[r->nr - 1] : NULL;
}

/* Hands [lo, hi) over. false: the caller's vector, or the buffer, is full (r->full tells which). */
static bool hand_over(struct round *r, unsigned long lo, unsigned long hi, u32 c)
{
	struct ooh_region *last = last_region(r);
	const u64 start = (u64)lo << PAGE_SHIFT, end = (u64)hi << PAGE_SHIFT;

	if (last && last->end == start && last->categories == c) {
		last->end = end;
	} else {
		r->full = !r->count_only && r->nr == min_t(u64, r->c->vec_len, REGIONS_MAX);
		if (r->full || !room(r))
			return false;
		last = r->count_only ? &r->last : &r->t->buf[r->nr];
		*last = (struct ooh_region){ .start = start, .end = end, .categories = c };
		r->nr++;
	}
	r->c->pages += hi - lo;
	if (!(c & OOH_PAGE_WRITTEN))
		r->c->extra += hi - lo;
	r->at = hi;
	return true;
}

/* ---- mappings that are reported as a whole ---- */

static bool emit_untracked(struct round *r)
{
	const struct ooh_span u = r->untracked;

	if (!hand_over(r, u.lo, u.hi, OOH_PAGE_UNTRACKED))
		return false;
	r->untracked = ooh_ranges_next(r->t->whole, u.hi, r->hi);
	return true;
}

/* ---- pages ---- */

/* Resets the entry and puts its frame into the batch. */
static void reset(struct round *r, struct xa_state *xas, unsigned long e)
{
	/* What is in swap can be dropped from there, and that is to be reported too. */
	const bool in_swap = !(e & (E_FRAME | E_ABSENT)) && (e & (E_SWAPPED | E_LEAVING));
	struct ooh_tracker *t = r->t;

	if ((e & E_UNTRACK) && !(e & E_FRAME)) { /* stays dirty */
		ooh_page_set(t, xas, e & ~E_SEEN);
		return;
	}
	if (!(e & E_FRAME) && !ooh_page_marked(xas, PG_CHECK) && !in_swap) {
		ooh_page_erase(t, xas);
		return;
	}
	ooh_page_mark_clean(t, xas);
	ooh_page_flags(t, xas, (e & ~E_REPORT) | (in_swap ? E_LEAVING : 0));
	if (e & E_FRAME) {
		t->batch_vpn[r->batch] = xas->xa_index | (e & E_TAGGED ? 0 : BATCH_TAG);
		t->batch_pfn[r->batch++] = e_pfn(e);
	}
}

enum step { STEP_DONE, STEP_AGAIN, STEP_ROOM, STEP_UNTRACKED };

/* Hands over dirty pages from r->at on, until something has to be done without the lock. */
static enum step emit_some(struct round *r)
{
	XA_STATE(xas, &r->t->pages, r->at);
	enum step step = STEP_DONE;
	unsigned int n = 0;
	void *old;

	xas_lock(&xas);
	xas_for_each_marked(&xas, old, r->hi - 1, PG_DIRTY) {
		const unsigned long e = xa_to_value(old), vpn = xas.xa_index;

		if (r->untracked.lo <= vpn) {
			step = STEP_UNTRACKED;
			break;
		}
		if (!hand_over(r, vpn, vpn + 1, categories(e))) {
			r->at = vpn;
			step = STEP_ROOM;
			break;
		}
		if (!r->peek)
			reset(r, &xas, e);
		if (++n == OOH_LIST_MAX) {
			step = STEP_AGAIN;
			break;
		}
	}
	xas_unlock(&xas);
	if (step == STEP_DONE && r->untracked.lo < r->hi)
		step = STEP_UNTRACKED;
	return step;
}

static void arm(struct round *r)
{
	r->c->armed += ooh_arm_batch(r->t, r->batch);
	r->batch = 0;
}

/* Steps 2 and 3 for what is dirty. */
static void emit(struct round *r)
{
	enum step step;

	r->at = r->lo;
	r->untracked = ooh_ranges_next(r->t->whole, r->lo, r->hi);
	do {
		step = emit_some(r);
		arm(r);
		if (step == STEP_UNTRACKED && !emit_untracked(r)) {
			r->at = r->untracked.lo;
			step = STEP_ROOM;
		}
		if (step == STEP_ROOM && !r->full && grow(r))
			r->full = true;
		cond_resched();
	} while (step != STEP_DONE && !r->full);
	if (!r->full)
		r->at = r->hi;
}

static bool check_pins_once(struct round *r, bool again)
{
	bool new = false;
	size_t i;

	for (i = 0; i < r->nr; i++) {
		const struct ooh_region *g = &r->t->buf[i];

		if (g->categories != OOH_PAGE_UNTRACKED)
			new |= ooh_check_pins(r->t, g->start >> PAGE_SHIFT, g->end >> PAGE_SHIFT, again);
	}
	return new;
}

/* Step 5. Pages on their way to an LRU list are referenced too: those are sent on, and looked at again. */
static void check_pins(struct round *r)
{
	if (!check_pins_once(r, false))
		return;
	ooh_settle_lru();
	check_pins_once(r, true);
}

/* ---- the round ---- */

/* A kernel hook did not run when it should have, or the log lost entries. */
static void take_losses(struct round *r)
{
	struct ooh_tracker *t = r->t;
	const unsigned long missed = ooh_hooks_missed();

	if (missed != t->missed) {
		t->missed = missed;
		WRITE_ONCE(t->overflow, true);
		WRITE_ONCE(t->lost, true);
	}
	if (!xchg(&t->overflow, false))
		return;
	t->stats.overflows++;
	r->c->result |= OOH_COLLECTED_OVERFLOW;
	ooh_pages_mark(t, 0, OOH_MAX_VPN, E_OVERFLOW, PG_DIRTY);
}

static int examine(struct round *r)
{
	struct ooh_tracker *t = r->t;
	int err = ooh_whole_look(t, r->lo, r->hi);

	if (err)
		return err;
	ooh_inval_apply(t);
	if (!xchg(&t->lost, false))
		return ooh_examine(t, r->lo, r->hi);
	t->stats.rescans++;
	r->c->result |= OOH_COLLECTED_RESCAN;
	return ooh_rescan(t);
}

static int round_locked(struct round *r)
{
	const u64 examined = r->t->stats.examined;
	int err = ooh_drain(false);

	if (err)
		return err;
	r->c->hypercalls += num_online_cpus();
	take_losses(r);
	err = examine(r);
	r->c->examined = r->t->stats.examined - examined;
	if (err) {
		WRITE_ONCE(r->t->lost, true);
		return err;
	}
	ooh_check_watched(r->t, r->lo, r->hi);
	emit(r);
	if (r->c->armed) {
		r->c->hypercalls += DIV_ROUND_UP(r->c->armed, OOH_LIST_MAX) + num_online_cpus();
		/*
		 * Should the hypervisor be gone, then what was handed over is true, and the next round says the rest.
		 */
		ooh_drain(true);
		check_pins(r);
	}
	return 0;
}

/*
 * The regions could not be delivered: their pages are dirty again. What cannot even be noted makes the tracker
 * useless, and it says so.
 */
static void give_back(struct round *r)
{
	struct ooh_tracker *t = r->t;
	unsigned long vpn;
	size_t i;

	for (i = 0; i < r->nr && !r->peek; i++) {
		const struct ooh_region *g = &t->buf[i];

		if (g->categories & OOH_PAGE_UNTRACKED) { /* mappings reported as a whole have no entries */
			ooh_pages_mark(t, g->start >> PAGE_SHIFT, g->end >> PAGE_SHIFT, E_MAPPED, PG_DIRTY);
			continue;
		}
		for (vpn = g->start >> PAGE_SHIFT; vpn < g->end >> PAGE_SHIFT; vpn++)
			if (ooh_page_or(t, vpn, entry_flags(g->categories), PG_DIRTY, GFP_KERNEL))
				WRITE_ONCE(t->revoked, true);
	}
}

static int deliver(struct round *r)
{
	struct ooh_collect *c = r->c;

	if (r->count_only || !r->nr)
		return 0;
	if (copy_to_user(u64_to_user_ptr(c->vec), r->t->buf, r->nr * sizeof(struct ooh_region)))
		return -EFAULT;
	return 0;
}

static void account(struct round *r, u64 began)
{
	struct ooh_tracker_stats *s = &r->t->stats;
	struct ooh_collect *c = r->c;

	c->regions = r->count_only ? 0 : r->nr;
	c->walk_end = r->full ? (u64)r->at << PAGE_SHIFT : c->end;
	c->result |= r->full ? OOH_COLLECTED_PARTIAL : 0;
	c->cycles = get_cycles() - began;
	s->cycles_collect += c->cycles;
	s->hypercalls += c->hypercalls;
	if (r->peek)
		return;
	s->rounds++;
	s->reported += c->pages;
	s->extra += c->extra;
}

/*
 * The window and the vector are checked. T is held and the tracker started. When to_user cannot be written after the
 * round, the pages are dirty again.
 */
int ooh_collect(struct ooh_tracker *t, struct ooh_collect *c, void __user *to_user)
{
	const u64 began = get_cycles();
	struct round r = { .t = t, .c = c, .lo = c->start >> PAGE_SHIFT, .hi = c->end >> PAGE_SHIFT };
	int err;

	r.count_only = !c->vec_len;
	r.peek = r.count_only || (c->flags & OOH_COLLECT_PEEK);
	err = ooh_mm_lock(t);
	if (err)
		return err;
	err = round_locked(&r);
	ooh_mm_unlock(t);
	if (err)
		return err;
	account(&r, began);
	err = deliver(&r);
	if (!err)
		err = ooh_copy_out(to_user, c, sizeof(*c));
	if (err)
		give_back(&r);
	return err;
}
