/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Digests: hashes of all state that a snapshot would keep, and of the TLBs, so that two runs (of the two engines, of
 * two builds) can be compared while they go on. One line a point, `CYCLE INSTRUCTIONS HASH`; at the end `end CYCLE
 * INSTRUCTIONS HASH RAM` and one line a record, `record NUMBER NAME VALUE-OR-HASH`.
 *
 * A point is the first boundary of the run loop at or after its cycle: where a timer fires, where input is polled (each
 * millisecond at the latest), between the quanta of several CPUs. So a digest has no influence on the run. Exact points
 * (one CPU) end the budget at their cycle. Then blocks begin where they would not have, and the fetch that begins a
 * block may miss a TLB: such runs can only be compared with runs that have the same points.
 */
#ifndef OOH_MACHINE_CORE_DIGEST_H
#define OOH_MACHINE_CORE_DIGEST_H

#include "machine/core/machine.h"

struct digest {
	u64 next; /* cycle of the next point */
	bool exact; /* the CPU stops there */
	void *file;
};

/* STATUS_OK, or a status with a line on stderr. */
int digest_open(struct machine *m, const struct machine_config *cfg);
/* Between two instructions, at cycle now. */
void digest_take(struct machine *m, u64 now);
/* The end of the run. */
void digest_close(struct machine *m);

static inline void digest_boundary(struct machine *m, u64 now)
{
	if (unlikely(m->digest != NULL) && now >= m->digest->next)
		digest_take(m, now);
}

/* The cycle at which the CPU has to stop, `limit` at the latest. */
static inline u64 digest_limit(const struct machine *m, u64 limit)
{
	return unlikely(m->digest != NULL) && m->digest->exact && m->digest->next < limit ? m->digest->next : limit;
}

#endif
