/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Address-range monitoring: MONITOR arms it for one line of memory, a store to the line by any CPU or device disarms it and
 * ends the MWAIT that waits for it. SDM 3A "MONITOR/MWAIT Instruction" (10.10.4). An armed line makes its frame's stores take
 * the slow path (FRAME_MONITOR), where nothing is armed nothing is looked at.
 */
#ifndef OOH_MACHINE_CPU_SYS_MONITOR_H
#define OOH_MACHINE_CPU_SYS_MONITOR_H

#include "machine/cpu/cpu.h"

#define MONITOR_LINE 64u
#define MONITOR_NONE (~0ull)

/* n bytes at off of a RAM frame with FRAME_MONITOR have been written. */
void monitor_stored(struct machine *m, u64 frame, unsigned off, unsigned n);
/* The same by instruction o of c, in the middle of its block (o may be NULL). */
void monitor_stored_by(struct cpu *c, const struct op *o, u64 frame, unsigned off, unsigned n);
void monitor_drop(struct cpu *c);

/* What ends monitoring besides stores: events, VM entries and exits, writes to control registers. */
static inline void monitor_disarm(struct cpu *c)
{
	if (unlikely(c->monitor != MONITOR_NONE))
		monitor_drop(c);
}

/* In MWAIT, not in HLT. */
static inline bool monitor_waits(const struct cpu *c)
{
	return c->activity == HALTED && c->mwait;
}

/* c waits, masked interrupts end that, and there is one. */
bool monitor_interrupted(struct cpu *c);

struct snap;
void monitor_snap(struct cpu *c, struct snap *s);

#endif
