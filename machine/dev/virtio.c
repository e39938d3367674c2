/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The transport. Source: VIRTIO 1.2, 4.1 "Virtio Over PCI Bus". */
#include "machine/dev/virtio.h"

#include <assert.h>
#include <string.h>

#include "arch/pci.h"
#include "machine/core/machine.h"
#include "machine/core/snapshot.h"

#define EVERYBODY (VIRTIO_F_VERSION_1 | VIRTIO_F_INDIRECT | VIRTIO_F_EVENT_IDX)

/* The BAR. */
#define BAR_SIZE    0x8000u
#define AT_COMMON   0x0000u
#define AT_ISR      0x1000u
#define AT_DEVICE   0x2000u
#define AT_NOTIFY   0x3000u
#define AT_MSIX     0x4000u
#define AT_PENDING  0x5000u
#define PART(offset) ((offset) & ~0xfffull)
#define NOTIFY_STRIDE 4u

/* Of the capability that gives access through configuration space: 4.1.4.9. */
#define CAP_BAR    4
#define CAP_OFFSET 8
#define CAP_LENGTH 12
#define CAP_MORE   16 /* multiplier, or data */

bool virtio_live(const struct virtio *v)
{
	return (v->r.status & (VIRTIO_DRIVER_OK | VIRTIO_NEEDS_RESET)) == VIRTIO_DRIVER_OK && pci_master(&v->f);
}

void virtio_interrupt(struct virtio *v, u16 vector, u8 isr)
{
	if (pci_msix_enabled(&v->f)) {
		pci_msix_send(&v->f, vector);
		return;
	}
	v->r.isr |= isr;
	pci_line(&v->f, true);
}

bool virtio_broken(struct virtio *v)
{
	if (v->r.status & VIRTIO_NEEDS_RESET)
		return false;
	v->r.status |= VIRTIO_NEEDS_RESET;
	if (v->r.status & VIRTIO_DRIVER_OK)
		virtio_interrupt(v, v->r.config_vector, VIRTIO_ISR_CONFIG);
	return false;
}

static void reset(struct virtio *v)
{
	v->class->reset(v);
	memset(&v->r, 0, sizeof(v->r));
	v->r.config_vector = VIRTIO_NO_VECTOR;
	for (unsigned i = 0; i < v->class->queues; i++)
		v->r.q[i] = (struct virtq){ .size = VIRTQ_SIZE, .vector = VIRTIO_NO_VECTOR };
	pci_line(&v->f, false);
}

static struct virtq *selected(struct virtio *v)
{
	return v->r.queue_select < v->class->queues ? &v->r.q[v->r.queue_select] : NULL;
}

/* The common configuration as it reads now. */
static void common_image(struct virtio *v, u8 *image)
{
	static const struct virtq none;
	const struct virtq *q = selected(v) ? selected(v) : &none;
	const struct { unsigned at, n; u64 v; } fields[] = {
		{ VIRTIO_DEVICE_FEATURE_SELECT, 4, v->r.device_select },
		{ VIRTIO_DEVICE_FEATURE, 4, v->r.device_select < 2 ? (u32)(v->offered >> 32 * v->r.device_select) : 0 },
		{ VIRTIO_DRIVER_FEATURE_SELECT, 4, v->r.driver_select },
		{ VIRTIO_DRIVER_FEATURE, 4, v->r.driver_select < 2 ? (u32)(v->r.accepted >> 32 * v->r.driver_select) : 0 },
		{ VIRTIO_CONFIG_VECTOR, 2, v->r.config_vector }, { VIRTIO_QUEUES, 2, v->class->queues },
		{ VIRTIO_STATUS, 1, v->r.status },               { VIRTIO_QUEUE_SELECT, 2, v->r.queue_select },
		{ VIRTIO_QUEUE_SIZE, 2, q->size },               { VIRTIO_QUEUE_VECTOR, 2, q->vector },
		{ VIRTIO_QUEUE_ENABLE, 2, q->enabled },          { VIRTIO_QUEUE_NOTIFY, 2, v->r.queue_select },
		{ VIRTIO_QUEUE_DESC, 8, q->desc },               { VIRTIO_QUEUE_DRIVER, 8, q->driver },
		{ VIRTIO_QUEUE_DEVICE, 8, q->device },
	};

	memset(image, 0, VIRTIO_COMMON_BYTES);
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		memcpy(image + fields[i].at, &fields[i].v, fields[i].n);
}

static u16 known_vector(const struct virtio *v, u64 value)
{
	return value < v->f.vectors ? (u16)value : VIRTIO_NO_VECTOR;
}

/* 3.1.1: the device may refuse the features at FEATURES_OK: without VERSION_1, or with what it has not offered. */
static void write_status(struct virtio *v, u8 status)
{
	bool was_ok = v->r.status & VIRTIO_DRIVER_OK;

	if (!status) {
		reset(v);
		return;
	}
	if (!(v->r.accepted & VIRTIO_F_VERSION_1) || (v->r.accepted & ~v->offered))
		status &= (u8)~(VIRTIO_FEATURES_OK | VIRTIO_DRIVER_OK);
	v->r.status = status | (v->r.status & VIRTIO_NEEDS_RESET);
	for (unsigned i = 0; !was_ok && i < v->class->queues; i++)
		v->class->notify(v, i);
}

static void write_feature(struct virtio *v, u32 value)
{
	unsigned shift = 32 * v->r.driver_select;

	if (v->r.driver_select < 2 && !(v->r.status & VIRTIO_FEATURES_OK))
		v->r.accepted = (v->r.accepted & ~(0xffffffffull << shift)) | (u64)value << shift;
}

static void set_half(u64 *p, bool high, u32 value)
{
	*p = high ? (u32)*p | (u64)value << 32 : (*p & ~0xffffffffull) | value;
}

/* Where the queue's parts lie: fixed once it is enabled. */
static void write_address(struct virtio *v, unsigned at, u32 value)
{
	struct virtq *q = selected(v);

	if (!q || q->enabled)
		return;
	switch (at & ~7u) {
	case VIRTIO_QUEUE_DESC: set_half(&q->desc, at & 4, value); break;
	case VIRTIO_QUEUE_DRIVER: set_half(&q->driver, at & 4, value); break;
	case VIRTIO_QUEUE_DEVICE: set_half(&q->device, at & 4, value); break;
	}
}

static void write_queue(struct virtio *v, unsigned at, u16 value)
{
	struct virtq *q = selected(v);

	if (!q)
		return;
	switch (at) {
	case VIRTIO_QUEUE_SIZE:
		if (value && value <= VIRTQ_SIZE && !(value & (value - 1)) && !q->enabled)
			q->size = value;
		break;
	case VIRTIO_QUEUE_VECTOR: q->vector = known_vector(v, value); break;
	case VIRTIO_QUEUE_ENABLE: q->enabled |= value == 1; break; /* only a reset disables it */
	}
}

/* 4.1.3.1: each field is written by its own width, 64-bit ones by halves. */
static void write_common(struct virtio *v, unsigned at, unsigned size, u64 value)
{
	if (size == 4 && at >= VIRTIO_QUEUE_DESC) {
		write_address(v, at, (u32)value);
	} else if (size == 4) {
		switch (at) {
		case VIRTIO_DEVICE_FEATURE_SELECT: v->r.device_select = (u32)value; break;
		case VIRTIO_DRIVER_FEATURE_SELECT: v->r.driver_select = (u32)value; break;
		case VIRTIO_DRIVER_FEATURE: write_feature(v, (u32)value); break;
		}
	} else if (size == 2 && at == VIRTIO_CONFIG_VECTOR) {
		v->r.config_vector = known_vector(v, value);
	} else if (size == 2 && at == VIRTIO_QUEUE_SELECT) {
		v->r.queue_select = (u16)value;
	} else if (size == 2) {
		write_queue(v, at, (u16)value);
	} else if (size == 1 && at == VIRTIO_STATUS) {
		write_status(v, (u8)value);
	} else if (size == 8 && at >= VIRTIO_QUEUE_DESC) {
		write_address(v, at, (u32)value);
		write_address(v, at + 4, (u32)(value >> 32));
	}
}

static u64 some_bytes(const u8 *p, unsigned bytes, u64 at, unsigned size)
{
	u64 v = 0;

	if (at < bytes)
		memcpy(&v, p + at, at + size <= bytes ? size : bytes - at);
	return v;
}

static u64 read_common(struct virtio *v, u64 at, unsigned size)
{
	u8 image[VIRTIO_COMMON_BYTES];

	common_image(v, image);
	return some_bytes(image, sizeof(image), at, size);
}

static u64 read_isr(struct virtio *v)
{
	u8 isr = v->r.isr;

	v->r.isr = 0;
	pci_line(&v->f, false);
	return isr;
}

static u64 bar_read(void *dev, struct cpu *c, u64 offset, unsigned size)
{
	struct virtio *v = dev;
	u64 at = offset & 0xfff;

	switch (PART(offset)) {
	case AT_COMMON: return read_common(v, at, size);
	case AT_ISR: return at ? 0 : read_isr(v);
	case AT_DEVICE: return some_bytes(v->config, v->class->config_bytes, at, size);
	case AT_MSIX: return pci_msix_read(&v->f, at, size);
	case AT_PENDING: return pci_msix_pending(&v->f, at);
	}
	return 0;
}

static void bar_write(void *dev, struct cpu *c, u64 offset, unsigned size, u64 value)
{
	struct virtio *v = dev;
	u64 at = offset & 0xfff;

	switch (PART(offset)) {
	case AT_COMMON:
		write_common(v, (unsigned)at, size, value);
		break;
	case AT_NOTIFY:
		if (at / NOTIFY_STRIDE < v->class->queues && virtio_live(v))
			v->class->notify(v, (unsigned)(at / NOTIFY_STRIDE));
		break;
	case AT_MSIX:
		pci_msix_write(&v->f, at, size, value);
	}
}

/* The window in configuration space: where it points to, and whether it may. */
static bool window(const struct pci_function *f, unsigned reg, unsigned *offset, unsigned *size)
{
	unsigned cap = f->cap_last;

	*offset = pci_config_get(f, cap + CAP_OFFSET, 4);
	*size = pci_config_get(f, cap + CAP_LENGTH, 4);
	return reg == cap + CAP_MORE && !pci_config_get(f, cap + CAP_BAR, 1) && (*size == 1 || *size == 2 || *size == 4) &&
	       *offset % *size == 0 && *offset < BAR_SIZE;
}

static void config_read(struct pci_function *f, struct cpu *c, unsigned reg, unsigned n)
{
	unsigned offset, size;

	if (window(f, reg, &offset, &size))
		pci_config_put(f, reg, size, (u32)bar_read(f->dev, c, offset, size));
}

static void config_written(struct pci_function *f, struct cpu *c, unsigned reg, unsigned n)
{
	unsigned offset, size;

	if (window(f, reg, &offset, &size))
		bar_write(f->dev, c, offset, size, pci_config_get(f, reg, size));
}

static const struct pci_ops virtio_pci_ops = {
	.read = bar_read, .write = bar_write, .config_read = config_read, .config_written = config_written,
};

static unsigned add_structure(struct pci_function *f, u8 type, u32 offset, u32 length, unsigned bytes)
{
	unsigned cap = pci_add_capability(f, PCI_CAP_VENDOR, bytes);

	pci_config_put(f, cap + 2, 1, bytes);
	pci_config_put(f, cap + 3, 1, type);
	pci_config_put(f, cap + CAP_OFFSET, 4, offset);
	pci_config_put(f, cap + CAP_LENGTH, 4, length);
	return cap;
}

/* The window's capability comes last: f->cap_last. */
static void add_structures(struct virtio *v)
{
	struct pci_function *f = &v->f;
	unsigned cap;

	pci_add_msix(f, v->class->queues + 1, AT_MSIX, AT_PENDING);
	add_structure(f, VIRTIO_CAP_COMMON, AT_COMMON, VIRTIO_COMMON_BYTES, VIRTIO_CAP_BYTES);
	add_structure(f, VIRTIO_CAP_ISR, AT_ISR, 1, VIRTIO_CAP_BYTES);
	if (v->class->config_bytes)
		add_structure(f, VIRTIO_CAP_DEVICE, AT_DEVICE, v->class->config_bytes, VIRTIO_CAP_BYTES);
	cap = add_structure(f, VIRTIO_CAP_NOTIFY, AT_NOTIFY, v->class->queues * NOTIFY_STRIDE, VIRTIO_CAP_BYTES + 4);
	pci_config_put(f, cap + CAP_MORE, 4, NOTIFY_STRIDE);
	cap = add_structure(f, VIRTIO_CAP_PCI, 0, 0, VIRTIO_CAP_BYTES + 4);
	f->writable[cap + CAP_BAR] = 0xff;
	memset(f->writable + cap + CAP_OFFSET, 0xff, 12);
}

void virtio_init(struct virtio *v, struct pci *p, unsigned slot, const struct virtio_class *class, u64 features)
{
	struct pci_identity id = { .vendor = VIRTIO_VENDOR, .device = VIRTIO_DEVICE(class->type), .subsystem = 0x1100,
		.class_code = class->pci_class, .revision = 1 };

	assert(class->queues <= VIRTIO_QUEUES_MAX && slot >= 1 && slot <= PCI_SLOTS_WIRED);
	v->m = p->m;
	v->class = class;
	v->offered = EVERYBODY | class->features | features;
	v->f.ops = &virtio_pci_ops;
	v->f.dev = v;
	pci_function_init(p, &v->f, slot, &id, BAR_SIZE);
	add_structures(v);
	reset(v);
}

void virtio_snap(struct virtio *v, struct snap *s)
{
	pci_function_snap(&v->f, s);
	snap_var(s, "virtio", v->r);
}
