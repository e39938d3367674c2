/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration by mechanism 1 (CF8H/CFCH) and memory-mapped (bus 0 only), with a host bridge alone on the bus;
 * and the reset register CF9H.
 */
#ifndef OOH_MACHINE_DEV_PCI_H
#define OOH_MACHINE_DEV_PCI_H

#include "machine/core/types.h"

#define PCI_ECAM_BASE 0xe0000000u
#define PCI_ECAM_SIZE 0x100000u

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
