/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The I/O APIC at FEC00000H: 24 pins. */
#ifndef OOH_MACHINE_DEV_IOAPIC_H
#define OOH_MACHINE_DEV_IOAPIC_H

#include "machine/core/types.h"

#define IOAPIC_PINS 24
#define IOAPIC_APIC_ID 8 /* above every processor's, fits the 4-bit ID field */

struct machine;
struct snap;

struct ioapic {
	struct machine *m;
	struct {
		u64 redir[IOAPIC_PINS];
		u32 line; /* level of each pin */
		u8 select, id;
	} r;
};

void ioapic_init(struct ioapic *io, struct machine *m);
void ioapic_set(struct ioapic *io, unsigned pin, bool level);
/* A processor's end of interrupt for a level-triggered vector. */
void ioapic_eoi(struct ioapic *io, unsigned vector);
/* Whether a pin sends nothing. */
bool ioapic_masked(const struct ioapic *io, unsigned pin);
void ioapic_snap(struct ioapic *io, struct snap *s);

#endif
