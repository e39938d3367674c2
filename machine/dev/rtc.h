/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The MC146818 real-time clock and its CMOS memory at 70H. Its time is the configured epoch plus virtual time. */
#ifndef OOH_MACHINE_DEV_RTC_H
#define OOH_MACHINE_DEV_RTC_H

#include "machine/core/clock.h"
#include "machine/core/types.h"

struct machine;
struct snap;

struct rtc_regs {
	u8 index;       /* port 70H, without the NMI mask */
	u8 ram[128];    /* 0..13 hold only what is not computed: alarms, A, B, C */
	s64 offset;     /* clock seconds = virtual seconds + offset */
	u8 frozen[10];  /* time registers while register B's SET bit is on */
	u64 seen_second, seen_period; /* up to where update and periodic flags were accounted */
};

struct rtc {
	struct machine *m;
	struct rtc_regs r;
	struct timer timer; /* the next periodic or once-a-second event that interrupts */
};

/* epoch: seconds since 1970 at cycle 0. */
void rtc_init(struct rtc *r, struct machine *m, u64 epoch);
void rtc_snap(struct rtc *r, struct snap *s);

#endif
