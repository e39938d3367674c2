/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source: VIRTIO 1.2, 5.1 "Network Device". */
#include "machine/dev/vnet.h"

#include <string.h>

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"

#define MAC_BYTES 6
#define NUM_BUFFERS_AT 10 /* in the header before each frame */

static const u8 mac[MAC_BYTES] = { 0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

static u64 later(const struct vnet *n)
{
	return machine_now(n->v.m) + n->v.m->costs->cycles[COST_NET_FRAME];
}

static void start_rx(struct vnet *n)
{
	struct virtq_chain c;

	if (!n->rx.armed && n->r.waiting && virtq_peek(&n->v, VIRTIO_NET_RX, &c))
		timer_set(n->v.m, &n->rx, later(n));
}

static void start_tx(struct vnet *n)
{
	struct virtq_chain c;

	if (!n->tx.armed && virtq_peek(&n->v, VIRTIO_NET_TX, &c))
		timer_set(n->v.m, &n->tx, later(n));
}

/* A place for a frame that comes in, NULL if all are taken. */
static struct net_frame *place(struct vnet *n)
{
	return n->r.waiting < VNET_WAITING ? &n->r.frame[(n->r.first + n->r.waiting) % VNET_WAITING] : NULL;
}

static void arrived(struct vnet *n)
{
	n->r.waiting++;
	start_rx(n);
}

static void sent(struct vnet *n, struct net_frame *f)
{
	struct net_frame *to;

	if (n->linked) {
		net_link_send(&n->link, f);
		return;
	}
	to = place(n);
	if (!to || !net_peer_answer(f))
		return;
	*to = *f;
	arrived(n);
}

static void transmit(void *arg, u64 now)
{
	struct vnet *n = arg;
	struct virtq_chain c;
	struct net_frame f = { 0 };
	u64 bytes;

	(void)now;
	if (!virtq_peek(&n->v, VIRTIO_NET_TX, &c))
		return;
	bytes = virtq_out_bytes(&c);
	if (bytes < VIRTIO_NET_HEADER) {
		virtio_broken(&n->v);
		return;
	}
	f.n = bytes - VIRTIO_NET_HEADER <= NET_FRAME_MAX ? (u32)(bytes - VIRTIO_NET_HEADER) : 0;
	if (!virtq_read(&n->v, &c, VIRTIO_NET_HEADER, f.bytes, f.n))
		return;
	virtq_used(&n->v, VIRTIO_NET_TX, &c, 0);
	if (f.n >= NET_FRAME_MIN) /* a frame that is too long is nobody's */
		sent(n, &f);
	start_tx(n);
}

/* The frame goes to the driver's buffer; one that does not fit is lost. */
static void receive(void *arg, u64 now)
{
	struct vnet *n = arg;
	const struct net_frame *f = &n->r.frame[n->r.first];
	u8 header[VIRTIO_NET_HEADER] = { [NUM_BUFFERS_AT] = 1 };
	struct virtq_chain c;

	(void)now;
	if (!n->r.waiting || !virtq_peek(&n->v, VIRTIO_NET_RX, &c))
		return;
	n->r.first = (n->r.first + 1) % VNET_WAITING;
	n->r.waiting--;
	if (virtq_in_bytes(&c) >= sizeof(header) + f->n && virtq_write(&n->v, &c, 0, header, sizeof(header)) &&
	    virtq_write(&n->v, &c, sizeof(header), f->bytes, f->n))
		virtq_used(&n->v, VIRTIO_NET_RX, &c, (u32)sizeof(header) + f->n);
	start_rx(n);
}

void vnet_poll(struct vnet *n)
{
	struct net_frame *to;

	if (!n->linked)
		return;
	while ((to = place(n)) && net_link_receive(&n->link, to))
		arrived(n);
}

static void notify(struct virtio *v, unsigned queue)
{
	if (queue == VIRTIO_NET_TX)
		start_tx((struct vnet *)v);
	else
		start_rx((struct vnet *)v);
}

static void reset(struct virtio *v)
{
	struct vnet *n = (struct vnet *)v;

	timer_cancel(v->m, &n->rx);
	timer_cancel(v->m, &n->tx);
	memset(&n->r, 0, sizeof(n->r));
}

static const struct virtio_class vnet_class = {
	.type = VIRTIO_NET, .pci_class = 0x020000, .queues = 2, .config_bytes = VIRTIO_NET_CONFIG_BYTES,
	.features = VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS, .notify = notify, .reset = reset,
};
_Static_assert(offsetof(struct vnet, v) == 0, "the device is found by its transport");

bool vnet_init(struct vnet *n, struct pci *p, unsigned slot, const char *where)
{
	n->link.fd = -1;
	n->linked = strncmp(where, "unix:", 5) == 0;
	if (n->linked && !net_link_open(&n->link, where + 5))
		return false;
	n->rx = (struct timer){ .fire = receive, .arg = n, .name = "net rx" };
	n->tx = (struct timer){ .fire = transmit, .arg = n, .name = "net tx" };
	memcpy(n->v.config, mac, MAC_BYTES);
	n->v.config[MAC_BYTES] = VIRTIO_NET_LINK_UP;
	virtio_init(&n->v, p, slot, &vnet_class, 0);
	return true;
}

void vnet_close(struct vnet *n)
{
	net_link_close(&n->link);
}

void vnet_snap(struct vnet *n, struct snap *s)
{
	virtio_snap(&n->v, s);
	timer_snap(n->v.m, s, "net.rx", &n->rx);
	timer_snap(n->v.m, s, "net.tx", &n->tx);
	snap_var(s, "net.frames", n->r);
}
