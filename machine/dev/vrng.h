/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio entropy device. What it gives comes from the machine's seed: it is for determinism, not for secrets. */
#ifndef OOH_MACHINE_DEV_VRNG_H
#define OOH_MACHINE_DEV_VRNG_H

#include "machine/dev/virtio.h"

struct vrng {
	struct virtio v;
	struct timer done;
};

void vrng_init(struct vrng *r, struct pci *p, unsigned slot);
void vrng_snap(struct vrng *r, struct snap *s);

#endif
