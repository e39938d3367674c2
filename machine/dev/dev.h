/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PC around the CPUs: created together, by one list. */
#ifndef OOH_MACHINE_DEV_DEV_H
#define OOH_MACHINE_DEV_DEV_H

#include "machine/core/machine.h"

struct machine_config; /* machine/core/config.h */
struct snap;

/*
 * Creates all devices by the configuration and connects them to the bus. 0 or a negative errno with a line on stderr.
 */
int dev_init(struct machine *m, const struct machine_config *cfg);
void dev_snap(struct machine *m, struct snap *s);
/* Level of a legacy interrupt line 0..23 (goes to the 8259 pair and to the I/O APIC). */
void irq_set(struct machine *m, unsigned irq, bool level);
/*
 * Nothing will happen before cycle *until (CYCLES_NONE: no timer is armed): waits for host input if that can end the
 * wait. False: nothing ever will. *until becomes the cycle that time may go to now, no later than it was.
 */
bool dev_idle_wait(struct machine *m, u64 *until);
/* Called now and then from the run loop (host input). */
void dev_poll(struct machine *m);

/* Flushes the serial ports' output and gives the terminal back. Safe to call more than once and before dev_init. */
void dev_close(struct machine *m);

#endif
