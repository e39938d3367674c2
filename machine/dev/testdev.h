/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A device for test suites (--test-device): memory that is reached as a device's registers are, FF000000H to FF00FFFFH, and
 * a 32-bit register at I/O ports E0H to E3H and again E8H to EBH. Both keep what is written. Addresses as those of QEMU's
 * pc-testdev, whose port E4H is there, too, without effect: it makes an emulator forget a page, which no guest can notice.
 */
#ifndef OOH_MACHINE_DEV_TESTDEV_H
#define OOH_MACHINE_DEV_TESTDEV_H

#include "machine/core/types.h"

#define TESTDEV_MEMORY 0xff000000ull
#define TESTDEV_SIZE   0x10000u
#define TESTDEV_PORTS  0xe0

struct machine;
struct snap;

struct testdev {
	u8 memory[TESTDEV_SIZE];
	u8 port[4];
};

void testdev_init(struct testdev *t, struct machine *m);
void testdev_snap(struct testdev *t, struct snap *s);

#endif
