/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 8254 timer at 40H (channels 0 and 2; channel 1 counts, connected to nothing) and port 61H. */
#ifndef OOH_MACHINE_DEV_PIT_H
#define OOH_MACHINE_DEV_PIT_H

#include "machine/core/clock.h"
#include "machine/core/types.h"

#define PIT_HZ 1193182ull

struct machine;
struct snap;

struct pit_channel {
	u64 start;      /* cycle when the count was loaded (or the gate triggered) */
	u32 reload;     /* 1..65536; 0: no count yet */
	u64 held;       /* ticks that had gone by when the gate stopped it */
	u16 latched;
	u8 control;     /* mode and access bits as written */
	u8 status;      /* latched status */
	u8 write_low;
	bool gate, counting;
	bool write_high_next, read_high_next, count_latched, status_latched;
};

struct pit {
	struct machine *m;
	struct pit_channel channel[3];
	struct timer timer; /* the next rising edge of channel 0 */
	bool speaker;       /* port 61H bit 1 */
};

void pit_init(struct pit *p, struct machine *m);
/* Channel 0 counts down from 65536 for ever, as a square wave. */
void pit_tick(struct pit *p);
/* Channel 0 stands still. */
void pit_stop(struct pit *p);
void pit_snap(struct pit *p, struct snap *s);

#endif
