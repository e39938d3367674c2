/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ooh.ko inside: the structures its files share. The lock order stands at the top of main.c; the letter behind a field
 * names the lock that guards it:
 *   c  constant after creation      G  ooh_gate (rwsem)         T  tracker->mutex
 *   H  ooh_hv_mutex                 F  frames_lock              P  tracker->pages.xa_lock
 *   B  tracker->blocks.xa_lock      E  tracker->events          a  atomic, or a figure that may be read torn
 *   L  ooh_list_lock, read under RCU
 */
#ifndef OOH_MODULE_OOH_MOD_H
#define OOH_MODULE_OOH_MOD_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/xarray.h>

#include "../abi/hypercall.h"
#include "../abi/ooh.h"

/* A virtual page number and a frame number are both unsigned long: names end in vpn and pfn. */
#define OOH_BLOCK_SHIFT (PMD_SHIFT - PAGE_SHIFT)
#define OOH_BLOCK_PAGES (1ul << OOH_BLOCK_SHIFT)
#define OOH_MAX_VPN     (TASK_SIZE_MAX >> PAGE_SHIFT)
#define BATCH_TAG       BIT(63) /* the frame has no tag yet */
#define OOH_LIST_MAX    512u /* frames in one ARM or DISARM */

/* ---- what is known of one virtual page: the value stored in tracker->pages ---- */

#define E_FRAME    BIT(0)  /* the bits above E_SHIFT are a frame number */
#define E_TAGGED   BIT(1)  /* the frame has our tag, and was armed after the tag was set */
#define E_FAULT    BIT(2)  /* a fault (or another way to install a mapping) was seen since the page was last examined */
#define E_INVAL    BIT(3)  /* the notifier announced a change since the page was last examined */
#define E_LEAVING  BIT(4)  /* swapped out clean. With a frame: its tag goes in the next round if no late log entry came */
#define E_HELD     BIT(5)  /* odd references were found at the end of the last round, too */
/* What will be reported: the categories of abi/ooh.h, shifted. */
#define E_CATEGORY 6
#define E_WRITTEN  ((unsigned long)OOH_PAGE_WRITTEN << E_CATEGORY)   /* logged since reset */
#define E_MAPPED   ((unsigned long)OOH_PAGE_MAPPED << E_CATEGORY)    /* examined: not the mapping of the last round */
#define E_IO       ((unsigned long)OOH_PAGE_PINNED << E_CATEGORY)    /* a device may write to the frame */
#define E_ABSENT   ((unsigned long)OOH_PAGE_ABSENT << E_CATEGORY)    /* examined: nothing mapped */
#define E_SWAPPED  ((unsigned long)OOH_PAGE_SWAPPED << E_CATEGORY)   /* examined: a swap or migration entry */
#define E_OVERFLOW ((unsigned long)OOH_PAGE_OVERFLOW << E_CATEGORY)  /* log entries were lost */
#define E_UNTRACK  ((unsigned long)OOH_PAGE_UNTRACKED << E_CATEGORY) /* cannot be armed: dirty every round */
#define E_REPORT   (E_WRITTEN | E_MAPPED | E_IO | E_ABSENT | E_SWAPPED | E_OVERFLOW | E_UNTRACK)
#define E_SEEN     (E_REPORT & ~E_UNTRACK)
#define E_SHIFT    13

#define PG_DIRTY XA_MARK_0 /* to be reported */
#define PG_CHECK XA_MARK_1 /* the page-table entry must be looked at */
#define PG_WATCH XA_MARK_2 /* the reference count must be looked at once more */

static inline unsigned long e_pfn(unsigned long e)
{
	return e >> E_SHIFT;
}

static inline unsigned long e_frame(unsigned long pfn, unsigned long flags)
{
	return pfn << E_SHIFT | E_FRAME | flags;
}

/* ---- what is known of one 2 MiB block: the value stored in tracker->blocks ---- */

#define BLK_HUGE     BIT(0) /* a huge mapping made in this round was cut: pages [lo, hi) existed */
#define BLK_LO(b)    (((b) >> 1) & 0x3ff)
#define BLK_HI(b)    (((b) >> 11) & 0x3ff)
#define BLK(lo, hi)  (BLK_HUGE | (unsigned long)(lo) << 1 | (unsigned long)(hi) << 11)
#define BLK_PLAIN    BIT(30) /* only: examine every page (a value of 0 would not be stored as a mark) */

/* Sorted, disjoint, not touching, in page numbers. Replaced as a whole. */
struct ooh_ranges {
	struct rcu_head rcu;
	unsigned int nr;
	struct ooh_span {
		unsigned long lo, hi;
	} span[];
};

#define OOH_INVAL_MAX 64

struct ooh_tracker {
	struct hlist_node node;  /* L */
	struct rcu_head rcu;
	unsigned int id;         /* c: 1 .. OOH_MAX_TRACKERS */
	kuid_t owner;            /* c */
	struct mm_struct *mm;    /* c: grabbed (the structure), its users are not */
	struct mmu_notifier mn;
	unsigned int threshold;  /* c */

	struct mutex mutex;
	struct ooh_ranges __rcu *ranges; /* T to write, RCU to read; NULL: none */
	struct ooh_ranges *whole; /* T: mappings reported as a whole, when last looked for. NULL: none */
	struct ooh_region *buf;  /* T */
	size_t buf_len;          /* T: regions */
	unsigned long missed;    /* T: hook calls missed, as of the last round */
	unsigned long *batch_vpn; /* T: OOH_LIST_MAX virtual pages whose frames are being armed, or | BATCH_TAG */
	u64 *batch_pfn;          /* T */
	u64 *snap;               /* T: OOH_BLOCK_PAGES page-table entries */

	struct xarray pages;     /* P: virtual page -> E_* */
	struct xarray blocks;    /* B: block -> BLK_* */
	bool started;            /* P to write */
	unsigned long dirty;     /* P: entries with PG_DIRTY */
	unsigned long present;   /* P: entries with E_TAGGED */

	spinlock_t events;
	struct ooh_span inval[OOH_INVAL_MAX]; /* E: large invalidated ranges not yet applied */
	unsigned int nr_inval;   /* E */
	unsigned int inval_active; /* E: invalidations announced but not finished */
	unsigned long inval_seq; /* E: announcements */
	unsigned int nr_going;   /* E: of those not finished, with faults of others in the range meanwhile */
	struct ooh_span going;   /* E: what encloses these ranges, while there are any */

	bool lost;               /* a: an event could not be recorded: walk everything */
	bool overflow;           /* a: log entries were lost: everything is dirty */
	bool gone;               /* a: the address space is being torn down */
	bool revoked;            /* G */
	wait_queue_head_t wait;

	struct ooh_tracker_stats stats; /* T, but faults, invalidations and pins: a */
};

/* ---- main.c ---- */
extern struct rw_semaphore ooh_gate;
extern atomic_t ooh_started;
int ooh_copy_in(void *to, size_t ksize, size_t min, void __user *from);
int ooh_copy_out(void __user *to, void *from, size_t ksize);

/* ---- hv.c: the hypervisor and the ring ---- */
extern struct mutex ooh_hv_mutex;
int ooh_hv_get(void);
void ooh_hv_put(void);
int ooh_hv_switch(bool on);
bool ooh_hv_is_active(void);
int ooh_ring_open(void);
void ooh_ring_close(void);
int ooh_drain(bool flush);
int ooh_arm(const u64 *pfn, unsigned int nr);
void ooh_disarm(const u64 *pfn, unsigned int nr);
void ooh_hv_status(struct ooh_status *st);
u64 ooh_hypercalls(void);

/* ---- frames.c: frame -> (tracker, virtual page) ---- */
typedef void (*ooh_frame_fn)(struct ooh_tracker *t, unsigned long vpn, unsigned long pfn, void *arg);
int ooh_frame_tag(unsigned long pfn, unsigned int id, unsigned long vpn);
bool ooh_frame_untag(unsigned long pfn, unsigned int id, unsigned long vpn);
unsigned int ooh_frames_for_each(const u64 *pfn, unsigned int nr, ooh_frame_fn fn, void *arg);
bool ooh_frame_tagged(unsigned long pfn);
u64 ooh_frames_count(void);
void ooh_frames_free(void);

/* ---- pages.c: virtual page -> what is known ---- */
int ooh_page_or(struct ooh_tracker *t, unsigned long vpn, unsigned long flags, xa_mark_t mark, gfp_t gfp);
struct ooh_logger {
	struct ooh_tracker *t; /* whose pages are locked; NULL: none */
	struct xa_state xas;
};
void ooh_page_logged(struct ooh_tracker *t, unsigned long vpn, unsigned long pfn, void *logger);
void ooh_logger_end(struct ooh_logger *l);
void ooh_page_grabbed(struct ooh_tracker *t, unsigned long vpn, unsigned long pfn, void *unused);
void ooh_page_fault(struct ooh_tracker *t, unsigned long vpn);
void ooh_block_cut(struct ooh_tracker *t, unsigned long blk, unsigned long lo, unsigned long hi);
void ooh_block_fault(struct ooh_tracker *t, unsigned long vpn);
void ooh_pages_inval_begin(struct ooh_tracker *t, unsigned long lo, unsigned long hi, bool beside);
void ooh_pages_inval_end(struct ooh_tracker *t, bool beside);
void ooh_pages_mark(struct ooh_tracker *t, unsigned long lo, unsigned long hi, unsigned long flags, xa_mark_t mark);
unsigned long ooh_inval_seq(struct ooh_tracker *t, bool *active);
void ooh_inval_apply(struct ooh_tracker *t);
void ooh_page_set(struct ooh_tracker *t, struct xa_state *xas, unsigned long e);
void ooh_page_erase(struct ooh_tracker *t, struct xa_state *xas);

/*
 * What a round does to each dirty page, without calls: each of these costs as much as the work itself. xas has been
 * loaded, and an entry is there.
 */

/* As xas_get_mark(). */
static inline bool ooh_page_marked(const struct xa_state *xas, xa_mark_t mark)
{
	if (unlikely(!xas_is_node(xas)))
		return xas_get_mark(xas, mark);
	return test_bit(xas->xa_offset, xas->xa_node->marks[(__force unsigned int)mark]);
}

/* Replaces the value by one with the same E_TAGGED. */
static inline void ooh_page_flags(struct ooh_tracker *t, struct xa_state *xas, unsigned long e)
{
	if (likely(xas_is_node(xas)))
		rcu_assign_pointer(xas->xa_node->slots[xas->xa_offset], xa_mk_value(e));
	else
		ooh_page_set(t, xas, e);
}

static inline void ooh_page_mark_dirty(struct ooh_tracker *t, struct xa_state *xas)
{
	if (ooh_page_marked(xas, PG_DIRTY))
		return;
	xas_set_mark(xas, PG_DIRTY);
	t->dirty++;
}

static inline void ooh_page_mark_clean(struct ooh_tracker *t, struct xa_state *xas)
{
	if (!ooh_page_marked(xas, PG_DIRTY))
		return;
	xas_clear_mark(xas, PG_DIRTY);
	t->dirty--;
}

/* ---- ranges.c ---- */
bool ooh_in_ranges(struct ooh_tracker *t, unsigned long vpn);
bool ooh_ranges_overlap(struct ooh_tracker *t, unsigned long lo, unsigned long hi);
struct ooh_ranges *ooh_ranges_add(const struct ooh_ranges *old, unsigned long lo, unsigned long hi);
struct ooh_ranges *ooh_ranges_del(const struct ooh_ranges *old, unsigned long lo, unsigned long hi);
struct ooh_ranges *ooh_ranges_alloc(unsigned int nr);
void ooh_ranges_push(struct ooh_ranges *r, unsigned long lo, unsigned long hi);
struct ooh_span ooh_ranges_next(const struct ooh_ranges *r, unsigned long vpn, unsigned long hi);

/* ---- whole.c: mappings that are reported as a whole ---- */
int ooh_whole_look(struct ooh_tracker *t, unsigned long lo, unsigned long hi);
void ooh_whole_fault(struct ooh_tracker *t, unsigned long lo, unsigned long hi);

/* ---- walk.c: the page table of the tracked process ---- */
enum ooh_pte {
	OOH_PTE_NONE = 0,
	OOH_PTE_FRAME,   /* frame number in the bits above OOH_PTE_SHIFT */
	OOH_PTE_ZERO,    /* the shared zero page: read-only for ever */
	OOH_PTE_SWAP,
	OOH_PTE_MOVING,  /* migration entry: becomes present again without a fault */
	OOH_PTE_SPECIAL, /* present, but not a page that could be tracked */
};
#define OOH_PTE_SHIFT 4
#define OOH_PTE_KIND  0xful
void ooh_walk(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long vpn, unsigned long nr, u64 *out);
void ooh_walk_small(struct mm_struct *mm, unsigned long vpn, unsigned long nr, unsigned long *present);
bool ooh_walk_huge_or_none(struct mm_struct *mm, unsigned long addr);
bool ooh_walk_is_huge(struct mm_struct *mm, unsigned long addr);
bool ooh_vma_untracked(const struct vm_area_struct *vma);

enum ooh_refs { OOH_REFS_KNOWN = 0, OOH_REFS_ODD, OOH_REFS_MORE };
enum ooh_refs ooh_page_refs(struct page *head);

/* ---- examine.c: unknown pages become known ---- */
int ooh_examine(struct ooh_tracker *t, unsigned long lo, unsigned long hi);
int ooh_rescan(struct ooh_tracker *t);
int ooh_scan_new(struct ooh_tracker *t, unsigned long lo, unsigned long hi);
unsigned int ooh_arm_batch(struct ooh_tracker *t, unsigned int nr);
void ooh_forget(struct ooh_tracker *t, unsigned long lo, unsigned long hi);
bool ooh_check_pins(struct ooh_tracker *t, unsigned long lo, unsigned long hi, bool again);
void ooh_check_watched(struct ooh_tracker *t, unsigned long lo, unsigned long hi);

/* ---- collect.c ---- */
int ooh_collect(struct ooh_tracker *t, struct ooh_collect *c, void __user *to_user);

/* ---- tracker.c ---- */
int ooh_tracker_create(const struct ooh_tracker_create *arg);
void ooh_trackers_of(struct mm_struct *mm, void (*fn)(struct ooh_tracker *t, void *arg), void *arg);
void ooh_trackers_revoke(void);
unsigned int ooh_trackers_open(void);
void ooh_trackers_overflow(void);
struct ooh_tracker *ooh_tracker_by_id(unsigned int id);
void ooh_trackers_exit(void);
int ooh_mm_lock(struct ooh_tracker *t);
void ooh_mm_unlock(struct ooh_tracker *t);

/* ---- hooks.c ---- */
extern const struct mmu_notifier_ops ooh_notifier_ops;
int ooh_hooks_resolve(void);
bool ooh_hooks_ok(void);
int ooh_hooks_get(void);
void ooh_hooks_put(void);
void ooh_hooks_exit(void);
unsigned long ooh_hooks_missed(void);
struct pid *ooh_pidfd_pid(int fd);
void ooh_settle_lru(void);
bool ooh_may_attach(struct task_struct *task);

#endif
