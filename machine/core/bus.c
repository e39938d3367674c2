/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical memory and I/O ports. */
#define _GNU_SOURCE
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "machine/core/bus.h"
#include "machine/core/machine.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/oracle/oracle.h"

static void *map_zeroes(u64 size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

bool bus_init(struct machine *m, u64 size)
{
	struct bus *b = &m->bus;

	b->ram = map_zeroes(size);
	if (!b->ram)
		return false;
	b->frame_flags = map_zeroes(size >> PAGE_SHIFT);
	b->fast_writes = map_zeroes((size >> PAGE_SHIFT) * sizeof(*b->fast_writes));
	if (!b->frame_flags || !b->fast_writes)
		return false; /* the program ends: nothing to give back */
	b->ram_size = size;
	b->ram_low = size < RAM_LOW_MAX ? size : RAM_LOW_MAX;
	return true;
}

bool bus_map_ram(struct machine *m, int fd, u64 offset)
{
	struct bus *b = &m->bus;
	const int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;

	/* Pages that the guest never writes stay shared with every other machine resumed from the same snapshot. */
	return mmap(b->ram, b->ram_size, PROT_READ | PROT_WRITE, flags, fd, (off_t)offset) != MAP_FAILED;
}

void bus_add_mmio(struct machine *m, u64 base, u64 size, mmio_read_fn *rd, mmio_write_fn *wr, void *dev,
		  const char *name)
{
	struct bus *b = &m->bus;

	assert(b->nmmio < BUS_MAX_MMIO);
	b->mmio[b->nmmio++] = (struct mmio_region){ base, size, rd, wr, dev, name };
}

void bus_add_pio(struct machine *m, u16 base, u16 count, pio_read_fn *rd, pio_write_fn *wr, void *dev, const char *name)
{
	struct bus *b = &m->bus;

	assert(b->npio < BUS_MAX_PIO);
	b->pio[b->npio++] = (struct pio_region){ base, count, rd, wr, dev, name };
}

static const struct mmio_region *find_mmio(const struct bus *b, const struct cpu *c, hpa_t a)
{
	if ((a.v & ~PAGE_OFFSET_MASK) == c->apic_mmio)
		return &b->local;
	for (unsigned i = 0; i < b->nmmio; i++)
		if (a.v - b->mmio[i].base < b->mmio[i].size)
			return &b->mmio[i];
	return NULL;
}

static u64 offset_in(const struct bus *b, const struct mmio_region *r, hpa_t a)
{
	return r == &b->local ? a.v & PAGE_OFFSET_MASK : a.v - r->base;
}

static const struct pio_region *find_pio(const struct bus *b, u16 port)
{
	for (unsigned i = 0; i < b->npio; i++)
		if ((u16)(port - b->pio[i].base) < b->pio[i].count)
			return &b->pio[i];
	return NULL;
}

static u64 low_bytes(u64 v, unsigned size)
{
	return size >= 8 ? v : v & ((1ull << (size * 8)) - 1);
}

u64 bus_mmio_read(struct machine *m, struct cpu *c, hpa_t a, unsigned size)
{
	const struct mmio_region *r = find_mmio(&m->bus, c, a);

	stat_add(m, STAT_MMIO_READS, 1);
	cpu_charge(c, COST_MMIO);
	if (!r || !r->read)
		return low_bytes(~0ull, size);
	return low_bytes(r->read(r->dev, c, offset_in(&m->bus, r, a), size), size);
}

void bus_mmio_write(struct machine *m, struct cpu *c, hpa_t a, unsigned size, u64 value)
{
	const struct mmio_region *r = find_mmio(&m->bus, c, a);

	stat_add(m, STAT_MMIO_WRITES, 1);
	cpu_charge(c, COST_MMIO);
	if (r && r->write)
		r->write(r->dev, c, offset_in(&m->bus, r, a), size, low_bytes(value, size));
}

u32 bus_pio_read(struct machine *m, struct cpu *c, u16 port, unsigned size)
{
	const struct pio_region *r = find_pio(&m->bus, port);

	stat_add(m, STAT_IO_READS, 1);
	cpu_charge(c, COST_IO);
	if (!r || !r->read)
		return (u32)low_bytes(~0ull, size);
	return (u32)low_bytes(r->read(r->dev, c, port, size), size);
}

void bus_pio_write(struct machine *m, struct cpu *c, u16 port, unsigned size, u32 value)
{
	const struct pio_region *r = find_pio(&m->bus, port);

	stat_add(m, STAT_IO_WRITES, 1);
	cpu_charge(c, COST_IO);
	if (r && r->write)
		r->write(r->dev, c, port, size, (u32)low_bytes(value, size));
}

/* Bytes from a to the end of its page, at most n. */
static u64 page_part(hpa_t a, u64 n)
{
	u64 left = PAGE_SIZE - (a.v & PAGE_OFFSET_MASK);

	return n < left ? n : left;
}

static bool all_ram(const struct bus *b, hpa_t a, u64 n)
{
	while (n) {
		u64 part = page_part(a, n);

		if (!bus_ram(b, a))
			return false;
		a.v += part;
		n -= part;
	}
	return true;
}

bool bus_dma_read(struct machine *m, hpa_t a, void *buf, u64 n)
{
	if (!all_ram(&m->bus, a, n))
		return false;
	for (u8 *to = buf; n;) {
		u64 part = page_part(a, n);

		memcpy(to, bus_ram(&m->bus, a), part);
		to += part;
		a.v += part;
		n -= part;
	}
	return true;
}

bool bus_dma_write(struct machine *m, hpa_t a, const void *buf, u64 n)
{
	if (!all_ram(&m->bus, a, n))
		return false;
	for (const u8 *from = buf; n;) {
		u64 part = page_part(a, n);
		u8 *to = bus_ram(&m->bus, a);
		u64 frame = bus_frame(&m->bus, to);

		memcpy(to, from, part);
		stat_add(m, STAT_DMA_PAGES, 1);
		if (m->bus.frame_flags[frame] & FRAME_CODE)
			code_written(m, frame, (unsigned)(a.v & PAGE_OFFSET_MASK), (unsigned)part);
		if (m->bus.frame_flags[frame] & FRAME_ORACLE)
			oracle_dma(m, frame);
		if (m->bus.frame_flags[frame] & FRAME_MONITOR)
			monitor_stored(m, frame, (unsigned)(a.v & PAGE_OFFSET_MASK), (unsigned)part);
		from += part;
		a.v += part;
		n -= part;
	}
	return true;
}
