/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * libooh: which pages of a process were written.
 *
 *	struct ooh_tracker *t;
 *	struct ooh_round round;
 *	struct ooh_region vec[256];
 *
 *	ooh_tracker_open(&t, pid, NULL, 0);         // NULL: the best backend there is
 *	ooh_tracker_add(t, start, end);             // or ooh_tracker_add_all(t)
 *	ooh_tracker_start(t);
 *	for (;;) {
 *		…
 *		ooh_tracker_collect(t, 0, 0, vec, 256, &round);   // what was written since; and reset
 *	}
 *	ooh_tracker_close(t);
 *
 * Every function that returns int gives 0, or a negative errno named at its prototype. The library never prints and never exits.
 * A tracker may be used by one thread at a time. Addresses are bytes, multiples of 4096; ranges are half-open.
 *
 * The promise, whatever the backend: a page of a tracked range whose content may have changed since it was last handed over (or
 * since ooh_tracker_start) is handed over. Where a backend cannot know, it says so by the categories of the region.
 */
#ifndef OOH_H
#define OOH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ooh-abi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ooh_tracker;

/* What a backend can do. */
#define OOH_CAP_OTHER      0x01u /* can track another process */
#define OOH_CAP_RANGE      0x02u /* resetting a window costs nothing for the pages outside it */
#define OOH_CAP_RUNNING    0x04u /* collects without stopping the process */
#define OOH_CAP_SHARED     0x08u /* sees stores of other processes into shared memory */
#define OOH_CAP_NO_FAULT   0x10u /* the first store to a page does not fault */
#define OOH_CAP_EXACT      0x20u /* tells stores from new mappings (OOH_PAGE_WRITTEN against OOH_PAGE_MAPPED) */

struct ooh_backend {
	const char *name;    /* "pml", "soft-dirty", "userfaultfd" */
	const char *summary; /* one line */
	uint32_t caps;       /* OOH_CAP_* */
};

/* The backends, best first; NULL after the last. Static. */
const struct ooh_backend *ooh_backend_get(unsigned i);

/*
 * Can this backend track here, now? Each is tried on the calling process, once per process lifetime.
 * why: NULL or a buffer of n bytes for one line that says what is missing ("" if nothing).
 * -ENOENT: no such backend. Others: it is not available.
 */
int ooh_backend_probe(const char *name, char *why, size_t n);

/*
 * A tracker of process pid (0: the caller). backend: a name, or NULL for the first that is available and can do it.
 * flags: 0. On success *out is owned by the caller: ooh_tracker_close().
 * -ENOENT: no such backend. -ENODEV: the backend (or every backend) is not available here. -ESRCH: no such process.
 * -EPERM: tracking another process needs what ptrace needs; userfaultfd may need privilege (vm.unprivileged_userfaultfd).
 * -EBUSY: soft-dirty: the process has such a tracker already; userfaultfd: see ooh_tracker_collect().
 * -EINVAL: flags. -ENOMEM, -EMFILE.
 */
int ooh_tracker_open(struct ooh_tracker **out, pid_t pid, const char *backend, uint32_t flags);

/* Stops and frees; t may be NULL. The process goes on unharmed. */
void ooh_tracker_close(struct ooh_tracker *t);

const struct ooh_backend *ooh_tracker_backend(const struct ooh_tracker *t);

/*
 * Ranges may be added and removed at any time; what is added while started is clean from then on. _all: the whole address space,
 * what is mapped now and later. -EINVAL: not aligned, or empty. -ENOSPC: too many pieces. -ESRCH: the process is gone.
 */
int ooh_tracker_add(struct ooh_tracker *t, uint64_t start, uint64_t end);
int ooh_tracker_add_all(struct ooh_tracker *t);
int ooh_tracker_del(struct ooh_tracker *t, uint64_t start, uint64_t end);

/* From the return of start on, every store to a tracked page is found. -EALREADY: is started. -ESRCH. */
int ooh_tracker_start(struct ooh_tracker *t);
/* Forgets all; ranges stay. -EALREADY: is not started. */
int ooh_tracker_stop(struct ooh_tracker *t);

/* A round, as collect reports it. */
struct ooh_round {
	size_t regions;      /* in vec */
	uint64_t pages;      /* 4 KiB pages in these regions */
	uint64_t extra;      /* of these, not known to have been stored to (categories without OOH_PAGE_WRITTEN) */
	uint64_t walk_end;   /* where to go on when partial; else the end of the window */
	int partial;         /* vec was too small: what lies from walk_end on is as it was */
	int overflow;        /* entries were lost; what was not known is in the round, as OOH_PAGE_OVERFLOW */
};

/*
 * Hands over the pages written in [start, end) (0, 0: all tracked ranges) and resets them, in one step: a store during the call
 * is in this round or in the next. Regions ascend. struct ooh_region and OOH_PAGE_*: <ooh-abi.h>.
 * -ENOTCONN: not started. -EINVAL: the window. -ESRCH: the process has exited or executed another program.
 * -ENODEV: the backend was taken away; what is known is not complete. -ENOMEM. After an error nothing is reset.
 * -EBUSY: soft-dirty and userfaultfd hold the process still: somebody else traces it, or it is the caller's and has other threads;
 * userfaultfd: another userfaultfd has a part of the ranges. The same for start and add.
 */
int ooh_tracker_collect(struct ooh_tracker *t, uint64_t start, uint64_t end, struct ooh_region *vec, size_t n,
			struct ooh_round *round);

/* Counters since start; those that a backend does not have are 0. */
struct ooh_stats {
	uint64_t rounds, pages, extra;
	uint64_t faults;     /* page faults served or seen for the tracking's sake */
	uint64_t hypercalls;
	uint64_t entries;    /* page-table entries examined */
};
int ooh_tracker_stats(struct ooh_tracker *t, struct ooh_stats *out);

/* "0.1.0" */
const char *ooh_version(void);

#ifdef __cplusplus
}
#endif
#endif
