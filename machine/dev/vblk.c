/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source: VIRTIO 1.2, 5.2 "Block Device". A request takes its time from when the device comes to it; all of its accesses
 * to memory are made at the end.
 */
#include "machine/dev/vblk.h"

#include <stdio.h>
#include <string.h>

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"

#define SEGMENTS 126 /* and a header and a status: half of the queue */
#define CHUNK 65536u

struct header {
	u32 type, reserved;
	u64 sector;
};
_Static_assert(sizeof(struct header) == VIRTIO_BLK_HEADER, "as it lies in memory");

/* The device comes to the next request, if there is one. */
static void start(struct vblk *b)
{
	const u32 *cost = b->v.m->costs->cycles;
	u64 bytes, all = b->disk.sectors * DISK_SECTOR;
	struct virtq_chain c;

	if (b->done.armed || !virtq_peek(&b->v, 0, &c))
		return;
	bytes = virtq_out_bytes(&c) + virtq_in_bytes(&c);
	if (bytes > all)
		bytes = all; /* it will be refused */
	timer_set(b->v.m, &b->done, machine_now(b->v.m) + cost[COST_DISK] + bytes / DISK_SECTOR * cost[COST_DISK_SECTOR]);
}

/* n bytes of data between the image and the chain; false: the image refused (or the device is broken). */
static bool move(struct vblk *b, const struct virtq_chain *c, bool in, u64 sector, u64 n)
{
	static u8 buf[CHUNK];

	for (u64 at = 0; at < n; at += CHUNK) {
		u64 some = n - at < CHUNK ? n - at : CHUNK, here = sector + at / DISK_SECTOR;

		if (in ? !disk_read(&b->disk, here, buf, some) || !virtq_write(&b->v, c, at, buf, some)
		       : !virtq_read(&b->v, c, VIRTIO_BLK_HEADER + at, buf, some) ||
			 !disk_write(&b->disk, here, buf, some))
			return false;
	}
	return true;
}

static bool in_range(const struct vblk *b, u64 sector, u64 n)
{
	return n % DISK_SECTOR == 0 && sector <= b->disk.sectors && n / DISK_SECTOR <= b->disk.sectors - sector;
}

static u8 transfer(struct vblk *b, const struct virtq_chain *c, bool in, u64 sector, u64 n)
{
	if (!in_range(b, sector, n) || (!in && b->disk.read_only))
		return VIRTIO_BLK_IOERR;
	return move(b, c, in, sector, n) ? VIRTIO_BLK_OK : VIRTIO_BLK_IOERR;
}

static u8 give_id(struct vblk *b, const struct virtq_chain *c, u64 room)
{
	char id[VIRTIO_BLK_ID_BYTES] = "";

	snprintf(id, sizeof(id), "ooh-%u", b->number);
	return virtq_write(&b->v, c, 0, id, room < sizeof(id) ? room : sizeof(id)) ? VIRTIO_BLK_OK : VIRTIO_BLK_IOERR;
}

/* Carries a request out. *n: bytes of data that the driver has room for; of data written to it afterwards. */
static u8 carry_out(struct vblk *b, const struct virtq_chain *c, const struct header *h, u64 *n)
{
	u64 room = *n;

	switch (h->type) {
	case VIRTIO_BLK_IN:
		return transfer(b, c, true, h->sector, room);
	case VIRTIO_BLK_OUT:
		*n = 0;
		return transfer(b, c, false, h->sector, virtq_out_bytes(c) - VIRTIO_BLK_HEADER);
	case VIRTIO_BLK_FLUSH:
		*n = 0;
		return disk_flush(&b->disk) ? VIRTIO_BLK_OK : VIRTIO_BLK_IOERR;
	case VIRTIO_BLK_GET_ID:
		*n = room < VIRTIO_BLK_ID_BYTES ? room : VIRTIO_BLK_ID_BYTES;
		return give_id(b, c, room);
	}
	*n = 0;
	return VIRTIO_BLK_UNSUPPORTED;
}

static void finish(struct vblk *b, const struct virtq_chain *c)
{
	u64 room = virtq_in_bytes(c), n;
	struct header h;
	u8 status;

	if (!room) {
		virtio_broken(&b->v); /* no place for the status */
		return;
	}
	if (!virtq_read(&b->v, c, 0, &h, sizeof(h)))
		return;
	n = room - 1;
	status = carry_out(b, c, &h, &n);
	if (virtq_write(&b->v, c, room - 1, &status, 1))
		virtq_used(&b->v, 0, c, (u32)n + 1);
}

static void fire(void *arg, u64 now)
{
	struct vblk *b = arg;
	struct virtq_chain c;

	(void)now;
	if (virtq_peek(&b->v, 0, &c))
		finish(b, &c);
	start(b);
}

static void notify(struct virtio *v, unsigned queue)
{
	start((struct vblk *)v);
}

static void reset(struct virtio *v)
{
	timer_cancel(v->m, &((struct vblk *)v)->done);
}

static const struct virtio_class vblk_class = {
	.type = VIRTIO_BLOCK, .pci_class = 0x018000, .queues = 1, .config_bytes = VIRTIO_BLK_CONFIG_BYTES,
	.features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH, .notify = notify, .reset = reset,
};
_Static_assert(offsetof(struct vblk, v) == 0, "the device is found by its transport");

bool vblk_init(struct vblk *b, struct pci *p, unsigned slot, unsigned number, const char *spec)
{
	if (!disk_open(&b->disk, spec))
		return false;
	b->number = number;
	b->done = (struct timer){ .fire = fire, .arg = b, .name = "disk" };
	memcpy(b->v.config, &b->disk.sectors, 8);
	memcpy(b->v.config + VIRTIO_BLK_SEG_MAX_AT, &(u32){ SEGMENTS }, 4);
	memcpy(b->v.config + VIRTIO_BLK_SIZE_AT, &(u32){ DISK_SECTOR }, 4);
	virtio_init(&b->v, p, slot, &vblk_class, b->disk.read_only ? VIRTIO_BLK_F_RO : 0);
	return true;
}

void vblk_snap(struct vblk *b, struct snap *s)
{
	virtio_snap(&b->v, s);
	timer_snap(b->v.m, s, "disk.done", &b->done);
	disk_snap(&b->disk, s);
}
