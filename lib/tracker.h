/* SPDX-License-Identifier: LGPL-2.1-only */
/* Inside libooh: what a backend is made of. */
#ifndef OOH_LIB_TRACKER_H
#define OOH_LIB_TRACKER_H

#include <stdbool.h>

#include "ooh.h"
#include "regions.h"

#define PAGE 4096ull
#define USER_END 0x00007ffffffff000ull

/* One row of operations a backend. All get a tracker whose pid is resolved; all return 0 or a negative errno. */
struct backend_ops {
	struct ooh_backend info;
	int (*probe)(char *why, size_t n); /* tried on the calling process; why: one line */
	int (*open)(struct ooh_tracker *t);
	void (*close)(struct ooh_tracker *t);
	int (*add)(struct ooh_tracker *t, uint64_t start, uint64_t end); /* 0, USER_END: all */
	int (*del)(struct ooh_tracker *t, uint64_t start, uint64_t end);
	int (*start)(struct ooh_tracker *t);
	int (*stop)(struct ooh_tracker *t);
	int (*collect)(struct ooh_tracker *t, uint64_t start, uint64_t end, struct ooh_region *vec, size_t n,
		       struct ooh_round *round);
	int (*stats)(struct ooh_tracker *t, struct ooh_stats *out);
};

struct ooh_tracker {
	const struct backend_ops *ops;
	pid_t pid;
	bool self;    /* pid is the calling process */
	bool started;
	void *priv;   /* of the backend */
};

extern const struct backend_ops backend_pml, backend_soft_dirty, backend_userfaultfd;

/* Puts one line into why (of n bytes, may be NULL) and returns err. */
int probe_says(char *why, size_t n, int err, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
