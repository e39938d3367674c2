/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A driver of virtio devices as small as it can be, for tests. Its numbers are typed from the specification again. */
#ifndef OOH_TESTS_MACHINE_DEV_VIRTIO_DRIVER_H
#define OOH_TESTS_MACHINE_DEV_VIRTIO_DRIVER_H

#include "tests/machine/dev/pc.h"

#define CONFIG(slot, reg) (0x80000000u | (slot) << 11 | (reg))

/* Where the tests' queues and buffers lie in guest memory. */
#define DESC_AT(q)   (0x100000u + (q) * 0x10000u)
#define DRIVER_AT(q) (DESC_AT(q) + 0x2000u)
#define DEVICE_AT(q) (DESC_AT(q) + 0x4000u)
#define BUFFERS_AT   0x200000u

#define NEXT     1u
#define WRITE    2u
#define INDIRECT 4u

struct vdev {
	struct pc *pc;
	unsigned slot, size;
	u32 bar;
	u16 avail[2]; /* by queue: the driver's index */
};

struct part {
	u64 at;
	u32 n;
	u16 flags; /* WRITE; NEXT is added */
};

u32 config_read(struct pc *pc, unsigned slot, unsigned reg);
void config_write(struct pc *pc, unsigned slot, unsigned reg, u32 v);
void put(struct pc *pc, u64 at, const void *p, size_t n);
void get(struct pc *pc, u64 at, void *p, size_t n);

u64 reg_read(struct vdev *d, unsigned at, unsigned n);
void reg_write(struct vdev *d, unsigned at, unsigned n, u64 v);
/* From reset to DRIVER_OK, with queues of `size` entries and these features besides VERSION_1. */
struct vdev driver_start(struct pc *pc, unsigned slot, unsigned size, u32 features);
void driver_init(struct vdev *d, unsigned queues, u32 features);
/* Vector i of MSI-X is this interrupt on CPU 0; queue 0 gets vector 1, queue 1 vector 2. */
void driver_msix(struct vdev *d, unsigned vector_0);

void set_desc(struct vdev *d, unsigned q, unsigned i, u64 at, u32 n, u16 flags, u16 next);
/* Makes the chain that starts at descriptor `head` available, and says so. */
void offer(struct vdev *d, unsigned q, u16 head);
/* A chain from descriptor 0 on. */
void request(struct vdev *d, unsigned q, const struct part *p, unsigned n);
u16 used_index(struct vdev *d, unsigned q);
/* Entry i of the used ring. */
void used_entry(struct vdev *d, unsigned q, unsigned i, u32 *head, u32 *n);
u8 status(struct vdev *d);

#endif
