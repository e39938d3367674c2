/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio devices over PCI, of version 1 only (no legacy registers), with split queues. What a device does is in its own
 * file; here is what all share: registers, queues, interrupts.
 *
 * A driver that breaks the rules (indices out of range, chains that loop, addresses outside RAM) gets
 * VIRTIO_NEEDS_RESET and a configuration interrupt; the device does nothing more until it is reset.
 */
#ifndef OOH_MACHINE_DEV_VIRTIO_H
#define OOH_MACHINE_DEV_VIRTIO_H

#include "machine/core/clock.h"
#include "machine/dev/pci.h"
#include "machine/dev/virtio_abi.h"

#define VIRTIO_QUEUES_MAX 2
#define VIRTQ_SIZE 256
#define VIRTIO_CONFIG_MAX 64

struct virtio;

struct virtio_class {
	u16 type;        /* VIRTIO_NET … */
	u32 pci_class;
	u64 features;    /* besides those that every device has */
	unsigned queues, config_bytes;
	/* There may be new buffers in a queue. Called within an instruction: memory is to be written by a timer. */
	void (*notify)(struct virtio *v, unsigned queue);
	/* Forget what is under way. */
	void (*reset)(struct virtio *v);
};

struct virtq {
	u64 desc, driver, device;
	u16 size, vector, enabled;
	u16 taken; /* available entries that have been taken */
	u16 used;  /* used entries that have been given */
	u16 pad[3];
};

struct virtio {
	struct pci_function f;
	struct machine *m;
	const struct virtio_class *class;
	u64 offered;
	u8 config[VIRTIO_CONFIG_MAX]; /* the device's own configuration: the driver reads it */
	struct {
		u64 accepted;
		u32 device_select, driver_select;
		u16 config_vector, queue_select;
		u8 status, isr, pad[2];
		struct virtq q[VIRTIO_QUEUES_MAX];
	} r;
};

struct virtq_part {
	u64 at;
	u32 n;
};

/* A chain of buffers: first those that the device reads, then those that it writes. */
struct virtq_chain {
	u16 head;
	unsigned outs, ins;
	struct virtq_part part[VIRTQ_SIZE];
};

/* Whatever more the device has is initialised before. v->config is filled in by the device. */
void virtio_init(struct virtio *v, struct pci *p, unsigned slot, const struct virtio_class *class, u64 features);
void virtio_snap(struct virtio *v, struct snap *s);
/* Breaks off: see above. Returns false. */
bool virtio_broken(struct virtio *v);

/* virtqueue.c */
/* Looks at the next available chain, without taking it. False: there is none (or the device is broken, or not ready). */
bool virtq_peek(struct virtio *v, unsigned queue, struct virtq_chain *c);
/* The same chain is used now: n bytes have been written to it. Interrupts the driver if it wants. */
void virtq_used(struct virtio *v, unsigned queue, const struct virtq_chain *c, u32 n);
u64 virtq_out_bytes(const struct virtq_chain *c);
u64 virtq_in_bytes(const struct virtq_chain *c);
/* n bytes from byte `at` of what the device reads (writes). False: broken, memory is not RAM or the chain is shorter. */
bool virtq_read(struct virtio *v, const struct virtq_chain *c, u64 at, void *buf, u64 n);
bool virtq_write(struct virtio *v, const struct virtq_chain *c, u64 at, const void *buf, u64 n);

/* For virtqueue.c: the interrupt of a queue. */
void virtio_interrupt(struct virtio *v, u16 vector, u8 isr);
/* The driver has said that it is ready, and the device can reach memory. */
bool virtio_live(const struct virtio *v);

#endif
