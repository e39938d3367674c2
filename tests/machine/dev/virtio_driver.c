/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/machine/dev/virtio_driver.h"

u32 config_read(struct pc *pc, unsigned slot, unsigned reg)
{
	out32(pc, 0xcf8, CONFIG(slot, reg & 0xfc));
	return in32(pc, 0xcfc);
}

void config_write(struct pc *pc, unsigned slot, unsigned reg, u32 v)
{
	out32(pc, 0xcf8, CONFIG(slot, reg & 0xfc));
	out32(pc, 0xcfc, v);
}

void put(struct pc *pc, u64 at, const void *p, size_t n)
{
	assert_true(bus_dma_write(&pc->m, (hpa_t){ at }, p, n));
}

void get(struct pc *pc, u64 at, void *p, size_t n)
{
	assert_true(bus_dma_read(&pc->m, (hpa_t){ at }, p, n));
}

u64 reg_read(struct vdev *d, unsigned at, unsigned n)
{
	return bus_mmio_read(&d->pc->m, d->pc->c, (hpa_t){ d->bar + at }, n);
}

void reg_write(struct vdev *d, unsigned at, unsigned n, u64 v)
{
	bus_mmio_write(&d->pc->m, d->pc->c, (hpa_t){ d->bar + at }, n, v);
}

u8 status(struct vdev *d)
{
	return (u8)reg_read(d, 20, 1);
}

static void start_queue(struct vdev *d, unsigned q)
{
	const u64 at[3] = { DESC_AT(q), DRIVER_AT(q), DEVICE_AT(q) };

	reg_write(d, 22, 2, q);
	reg_write(d, 24, 2, d->size);
	for (unsigned i = 0; i < 3; i++) {
		reg_write(d, 32 + 8 * i, 4, (u32)at[i]);
		reg_write(d, 36 + 8 * i, 4, at[i] >> 32);
	}
	reg_write(d, 28, 2, 1);
	d->avail[q] = 0;
	memset(d->pc->m.bus.ram + DESC_AT(q), 0, 0x8000);
}

void driver_init(struct vdev *d, unsigned queues, u32 features)
{
	reg_write(d, 20, 1, 0);
	reg_write(d, 20, 1, 1);
	reg_write(d, 20, 1, 3);
	for (u32 i = 0; i < 2; i++) {
		reg_write(d, 8, 4, i);
		reg_write(d, 12, 4, i ? 1 : features);
	}
	reg_write(d, 20, 1, 0x0b);
	assert_int_equal(status(d), 0x0b);
	for (unsigned q = 0; q < queues; q++)
		start_queue(d, q);
	reg_write(d, 20, 1, 0x0f);
}

struct vdev driver_start(struct pc *pc, unsigned slot, unsigned size, u32 features)
{
	struct vdev d = { .pc = pc, .slot = slot, .size = size };

	config_write(pc, slot, 4, 0x6); /* memory, master */
	d.bar = config_read(pc, slot, 0x10) & ~15u;
	driver_init(&d, (unsigned)reg_read(&d, 18, 2), features);
	return d;
}

void driver_msix(struct vdev *d, unsigned vector_0)
{
	unsigned cap = config_read(d->pc, d->slot, 0x34) & 0xff;

	for (unsigned i = 0; i < 3; i++) {
		reg_write(d, 0x4000 + 16 * i, 4, 0xfee00000);
		reg_write(d, 0x4004 + 16 * i, 4, 0);
		reg_write(d, 0x4008 + 16 * i, 4, vector_0 + i);
		reg_write(d, 0x400c + 16 * i, 4, 0);
	}
	assert_int_equal(config_read(d->pc, d->slot, cap) & 0xff, 0x11);
	config_write(d->pc, d->slot, cap, 0x80000000);
	reg_write(d, 16, 2, 0);
	for (unsigned q = 0; q < reg_read(d, 18, 2); q++) {
		reg_write(d, 22, 2, q);
		reg_write(d, 26, 2, q + 1);
	}
}

void set_desc(struct vdev *d, unsigned q, unsigned i, u64 at, u32 n, u16 flags, u16 next)
{
	struct { u64 at; u32 n; u16 flags, next; } e = { at, n, flags, next };

	put(d->pc, DESC_AT(q) + 16 * i, &e, sizeof(e));
}

void offer(struct vdev *d, unsigned q, u16 head)
{
	put(d->pc, DRIVER_AT(q) + 4 + 2 * (d->avail[q] % d->size), &head, 2);
	d->avail[q]++;
	put(d->pc, DRIVER_AT(q) + 2, &d->avail[q], 2);
	reg_write(d, 0x3000 + 4 * q, 2, q);
}

void request(struct vdev *d, unsigned q, const struct part *p, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		set_desc(d, q, i, p[i].at, p[i].n, (u16)(p[i].flags | (i + 1 < n ? NEXT : 0)), (u16)(i + 1));
	offer(d, q, 0);
}

u16 used_index(struct vdev *d, unsigned q)
{
	u16 v;

	get(d->pc, DEVICE_AT(q) + 2, &v, 2);
	return v;
}

void used_entry(struct vdev *d, unsigned q, unsigned i, u32 *head, u32 *n)
{
	get(d->pc, DEVICE_AT(q) + 4 + 8 * (i % d->size), head, 4);
	get(d->pc, DEVICE_AT(q) + 8 + 8 * (i % d->size), n, 4);
}
