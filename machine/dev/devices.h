/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All chips of the board, in one struct: for dev.c and those chips that are wired to each other. */
#ifndef OOH_MACHINE_DEV_DEVICES_H
#define OOH_MACHINE_DEV_DEVICES_H

#include "machine/dev/board.h"
#include "machine/dev/chardev.h"
#include "machine/dev/ctl.h"
#include "machine/dev/fwcfg.h"
#include "machine/dev/ioapic.h"
#include "machine/dev/pci.h"
#include "machine/dev/pic.h"
#include "machine/dev/pit.h"
#include "machine/dev/pm.h"
#include "machine/dev/rtc.h"
#include "machine/dev/testdev.h"
#include "machine/dev/uart.h"
#include "machine/dev/vblk.h"
#include "machine/dev/vnet.h"
#include "machine/dev/vrng.h"

#define SERIALS 2
#define DISKS 4

/* Slots of the PCI bus. */
#define SLOT_DISK 1 /* and those that follow */
#define SLOT_NET  (SLOT_DISK + DISKS)
#define SLOT_RNG  (SLOT_NET + 1)

struct devices {
	struct machine *m;
	struct pic_pair pic;
	struct ioapic ioapic;
	struct pit pit;
	struct rtc rtc;
	struct chardev chardev[SERIALS];
	struct uart uart[SERIALS];
	struct fwcfg fwcfg;
	struct pm pm;
	struct pci pci;
	struct vblk disk[DISKS];
	unsigned disks;
	struct vnet net;
	struct vrng rng;
	bool has_net, has_rng, has_testdev;
	struct testdev testdev;
	struct ctl ctl;
	struct board board;
	bool ready; /* dev_init got to its end */
};

#endif
