/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration mechanism 1 (CF8H/CFCH) with a host bridge alone on bus 0, and the reset register CF9H. */
#ifndef OOH_MACHINE_DEV_PCI_H
#define OOH_MACHINE_DEV_PCI_H

#include "machine/core/types.h"

struct machine;
struct snap;

struct pci {
	struct machine *m;
	struct {
		u32 address;
		u16 command;
		u8 latency, reset, line;
	} r;
};

void pci_init(struct pci *p, struct machine *m);
void pci_snap(struct pci *p, struct snap *s);

#endif
