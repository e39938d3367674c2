/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * Trackers that learn what was written by reading /proc/PID/pagemap (soft-dirty, userfaultfd). A sweep holds the process still,
 * reads the page map of all ranges, arms everything again, and lets it go on; what it found waits in `pending` until
 * it is handed over, so a window can be collected although the kernel only resets the whole. A page that was there and is gone
 * leaves no mark in the page map, so what was there is remembered, and reported as ABSENT when it is missing.
 *
 * Who shares the address space without being a thread of the process (clone(2) with CLONE_VM alone) is not held still: a store
 * of his during a sweep can be lost.
 */
#ifndef OOH_LIB_SCAN_H
#define OOH_LIB_SCAN_H

#include "process.h"
#include "tracker.h"

struct scan;

struct scan_kind {
	/* The categories of one page by its page-map entry; 0: clean. */
	uint32_t (*classify)(const struct scan *s, const struct vma *vma, uint64_t entry);
	/*
	 * NULL, or: is the zero page mapped here? Then nothing is there, and a page that was there is gone. (Where the backend's
	 * own mark tells, it needs not say.)
	 */
	bool (*zero)(struct scan *s, const struct vma *vma, uint64_t va, uint64_t entry);
	/* NULL, or looks before a sweep at what makes classify() trust less (the process is frozen). */
	int (*prepare)(struct scan *s, struct vmas *vmas);
	/* Arms all tracked pages again; the process is frozen. vmas: its mappings now. */
	int (*reset)(struct scan *s, const struct vmas *vmas);
};

struct scan {
	const struct scan_kind *kind;
	struct process proc;
	struct regions ranges;  /* what to track (categories 0) */
	struct regions pending; /* found, not handed over yet */
	struct regions there;   /* pages in memory or swap at the last sweep, without zero pages (categories 0) */
	struct ooh_stats stats;
	uint64_t *buf;          /* page-map entries */
	void *priv;             /* of the backend */
};

int scan_open(struct ooh_tracker *t, const struct scan_kind *kind);
void scan_close(struct ooh_tracker *t);
int scan_add(struct ooh_tracker *t, uint64_t start, uint64_t end);
int scan_del(struct ooh_tracker *t, uint64_t start, uint64_t end);
int scan_start(struct ooh_tracker *t);
int scan_stop(struct ooh_tracker *t);
int scan_collect(struct ooh_tracker *t, uint64_t start, uint64_t end, struct ooh_region *vec, size_t n,
		 struct ooh_round *round);
int scan_stats(struct ooh_tracker *t, struct ooh_stats *out);

static inline struct scan *scan_of(const struct ooh_tracker *t)
{
	return t->priv;
}

/* Calls fn for each piece of a mapping that is tracked. */
int scan_each(struct scan *s, const struct vmas *vmas,
	      int (*fn)(struct scan *s, const struct vma *vma, uint64_t start, uint64_t end, void *arg), void *arg);

#endif
