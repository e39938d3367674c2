/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ACPI fixed hardware: PM1a event and control registers (power-off) and the PM timer. The FADT names the same ports. */
#ifndef OOH_MACHINE_DEV_PM_H
#define OOH_MACHINE_DEV_PM_H

#include "machine/core/clock.h"
#include "machine/core/types.h"

#define PM1A_EVENT   0x600 /* status, enable: 16 bits each */
#define PM1A_CONTROL 0x604
#define PM_TIMER     0x608 /* 32 bits wide */
#define PM_TIMER_HZ  3579545ull
#define SCI_IRQ      9
#define SLEEP_TYPE_S3 1    /* SLP_TYP value of \_S3, … */
#define SLEEP_TYPE_S5 5    /* … of \_S5 */

struct machine;
struct snap;

struct pm {
	struct machine *m;
	struct {
		u16 status, enable, control;
		u8 bios;   /* there is a BIOS to come back to: S3 works */
		u8 asleep; /* in S3 */
	} r;
	struct timer timer; /* the PM timer's top bit changes: only while its interrupt is enabled */
};

void pm_init(struct pm *p, struct machine *m);
/* There is a BIOS that wakes the machine up (machine/boot/bios.c): S3 works. */
void pm_offer_sleep(struct pm *p);
/* The real-time clock's alarm, the one event that ends S3. */
void pm_rtc_alarm(struct pm *p);
void pm_snap(struct pm *p, struct snap *s);

#endif
