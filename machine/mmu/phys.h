/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The walker's own accesses to physical memory. */
#ifndef OOH_MACHINE_MMU_PHYS_H
#define OOH_MACHINE_MMU_PHYS_H

#include <string.h>

#include "machine/core/machine.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/sys/monitor.h"

/* An entry of 4 or 8 bytes. Where there is no RAM, all ones are read, as from a hole of the bus. */
static inline u64 phys_read(const u8 *p, unsigned size)
{
	u32 low;
	u64 v;

	if (unlikely(!p))
		return size == 4 ? 0xffffffffull : ~0ull;
	if (likely(size == 8)) {
		memcpy(&v, p, sizeof(v));
		return v;
	}
	memcpy(&low, p, sizeof(low));
	return low;
}

/*
 * Sets bits of a paging-structure entry. No store for the oracle, but one for code that was decoded from the same
 * bytes, and for MONITOR.
 */
static inline void phys_or(struct cpu *c, u8 *p, u64 set, unsigned size)
{
	struct machine *m = c->m;
	u64 v, frame, off;

	if (unlikely(!p))
		return;
	v = phys_read(p, size) | set;
	memcpy(p, &v, size);
	frame = bus_frame(&m->bus, p);
	off = (u64)(p - m->bus.ram) & PAGE_OFFSET_MASK;
	if (unlikely(m->bus.frame_flags[frame] & FRAME_CODE))
		code_written(m, frame, (unsigned)off, size);
	if (unlikely(m->bus.frame_flags[frame] & FRAME_MONITOR))
		monitor_stored_by(c, NULL, frame, (unsigned)off, size);
}

#endif
