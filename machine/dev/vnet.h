/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A virtio network device: one pair of queues, no offloads. */
#ifndef OOH_MACHINE_DEV_VNET_H
#define OOH_MACHINE_DEV_VNET_H

#include "machine/dev/net.h"
#include "machine/dev/virtio.h"

#define VNET_WAITING 64 /* frames that have come in and have no buffer yet; more are dropped */

struct vnet {
	struct virtio v;
	struct timer rx, tx; /* armed: the next frame is under way */
	struct net_link link; /* fd -1: the other end is the peer */
	bool linked;
	struct {
		u32 first, waiting;
		struct net_frame frame[VNET_WAITING];
	} r;
};

/* where: "peer" or "unix:PATH". False with one line on stderr. */
bool vnet_init(struct vnet *n, struct pci *p, unsigned slot, const char *where);
void vnet_close(struct vnet *n);
void vnet_snap(struct vnet *n, struct snap *s);
/* Takes what the host has. */
void vnet_poll(struct vnet *n);

#endif
