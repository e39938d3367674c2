/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wires between the local APICs and the chips around them. */
#ifndef OOH_MACHINE_DEV_APIC_WIRES_H
#define OOH_MACHINE_DEV_APIC_WIRES_H

#include "machine/core/types.h"

struct machine;

/* The 8259's INT output goes to LINT0 of the first processor and to pin 0 of the I/O APIC. */
void apic_pic_output(struct machine *m, bool level);

#endif
