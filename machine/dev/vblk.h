/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio block device: one queue, one request at a time. */
#ifndef OOH_MACHINE_DEV_VBLK_H
#define OOH_MACHINE_DEV_VBLK_H

#include "machine/dev/disk.h"
#include "machine/dev/virtio.h"

struct vblk {
	struct virtio v;
	struct disk disk;
	struct timer done; /* armed: the next request is under way */
	unsigned number;
};

/* False with one line on stderr. */
bool vblk_init(struct vblk *b, struct pci *p, unsigned slot, unsigned number, const char *spec);
void vblk_snap(struct vblk *b, struct snap *s);

#endif
