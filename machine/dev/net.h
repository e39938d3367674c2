/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of the network cable. `peer`: a station inside the machine, deterministic: it answers ARP, ICMP echo, DHCP
 * and UDP echo (port 7). `unix:PATH`: a UNIX stream socket of the host, each frame behind its length as four bytes, big
 * end first (QEMU's `-netdev stream`, passt); frames then come in the host's time.
 */
#ifndef OOH_MACHINE_DEV_NET_H
#define OOH_MACHINE_DEV_NET_H

#include "machine/core/types.h"

#define NET_FRAME_MAX 1514u /* Ethernet, without the checksum */
#define NET_FRAME_MIN 14u

struct net_frame {
	u32 n;
	u8 bytes[NET_FRAME_MAX + 2];
};

/* The station answers f in place; false: it says nothing. */
bool net_peer_answer(struct net_frame *f);

struct net_link {
	int fd;       /* -1: none */
	u32 have;     /* bytes of the frame that is coming in, its length included */
	u8 in[4 + NET_FRAME_MAX];
};

/* False with one line on stderr. */
bool net_link_open(struct net_link *l, const char *path);
void net_link_close(struct net_link *l);
/* What the host does not take is lost, as on any network. */
void net_link_send(struct net_link *l, const struct net_frame *f);
/* The next frame, if it is all there. */
bool net_link_receive(struct net_link *l, struct net_frame *f);

#endif
