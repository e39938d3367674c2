/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control device of abi/machine.h. */
#ifndef OOH_MACHINE_DEV_CTL_H
#define OOH_MACHINE_DEV_CTL_H

#include "machine/core/types.h"

struct machine;
struct snap;

struct ctl {
	struct machine *m;
	u64 block; /* physical address of the command block */
};

void ctl_init(struct ctl *d, struct machine *m);
void ctl_snap(struct ctl *d, struct snap *s);
/* On the resumed machine: tells the guest in the block that asked for the snapshot. */
void ctl_resumed(struct machine *m, u64 block);

#endif
