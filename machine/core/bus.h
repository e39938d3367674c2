/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Physical memory and I/O ports. */
#ifndef OOH_MACHINE_CORE_BUS_H
#define OOH_MACHINE_CORE_BUS_H

#include "machine/core/types.h"

#define RAM_LOW_MAX 0xC0000000ull  /* RAM above this continues at 4 GiB */
#define RAM_HIGH_BASE 0x100000000ull
#define BUS_MAX_MMIO 32
#define BUS_MAX_PIO 64

struct machine;
struct cpu;

/* Why a store to a frame must take the slow path, and what is known of it; one byte per RAM frame (bus.frame_flags). */
#define FRAME_CODE   0x01 /* decoded instructions come from this frame */
#define FRAME_ORACLE 0x02 /* the oracle wants to see the next store */
#define FRAME_MONITOR 0x04 /* MONITOR has armed a line of it */
#define FRAME_SLOW   (FRAME_CODE | FRAME_ORACLE | FRAME_MONITOR)

/* size: 1, 2, 4 or 8 bytes; offset from the region's base. */
typedef u64 mmio_read_fn(void *dev, struct cpu *c, u64 offset, unsigned size);
typedef void mmio_write_fn(void *dev, struct cpu *c, u64 offset, unsigned size, u64 value);
/* port: absolute. size: 1, 2 or 4. */
typedef u32 pio_read_fn(void *dev, struct cpu *c, u16 port, unsigned size);
typedef void pio_write_fn(void *dev, struct cpu *c, u16 port, unsigned size, u32 value);

struct mmio_region {
	u64 base, size;
	mmio_read_fn *read;
	mmio_write_fn *write;
	void *dev;
	const char *name;
};

struct pio_region {
	u16 base, count;
	pio_read_fn *read;
	pio_write_fn *write;
	void *dev;
	const char *name;
};

struct bus {
	u8 *ram;          /* host mapping of all RAM; low part first, then the part above 4 GiB */
	u64 ram_size;     /* bytes, a multiple of 2 MiB */
	u64 ram_low;      /* bytes below RAM_LOW_MAX */
	u8 *frame_flags;  /* FRAME_*, one per RAM frame, indexed by ram offset >> 12 */
	u16 *fast_writes; /* per RAM frame, where fast write tags to it may be: mmu room */
	struct mmio_region local; /* the memory-mapped local APIC: for each CPU at its own c->apic_mmio, before all else */
	struct mmio_region mmio[BUS_MAX_MMIO];
	struct pio_region pio[BUS_MAX_PIO];
	unsigned nmmio, npio;
};

/* Host pointer to RAM at a, or NULL where there is no RAM. Valid to the end of a's 4 KiB page. */
static inline u8 *bus_ram(const struct bus *b, hpa_t a)
{
	if (likely(a.v < b->ram_low))
		return b->ram + a.v;
	if (a.v - RAM_HIGH_BASE < b->ram_size - b->ram_low)
		return b->ram + b->ram_low + (a.v - RAM_HIGH_BASE);
	return NULL;
}

/* The index of a RAM pointer's frame in frame_flags. */
static inline u64 bus_frame(const struct bus *b, const u8 *p)
{
	return (u64)(p - b->ram) >> PAGE_SHIFT;
}

/* size: bytes of RAM; maps host memory (lazily zero). Returns false with errno set where the host refuses. */
bool bus_init(struct machine *m, u64 size);
/* Replaces the contents of RAM by a private (copy-on-write) mapping of fd from offset on. False with errno set. */
bool bus_map_ram(struct machine *m, int fd, u64 offset);
void bus_add_mmio(struct machine *m, u64 base, u64 size, mmio_read_fn *rd, mmio_write_fn *wr, void *dev,
		  const char *name);
void bus_add_pio(struct machine *m, u16 base, u16 count, pio_read_fn *rd, pio_write_fn *wr, void *dev,
		 const char *name);

/* Device access; a hole reads as all ones and swallows writes, as on a PC. Counts, and charges COST_IO/COST_MMIO. */
u64 bus_mmio_read(struct machine *m, struct cpu *c, hpa_t a, unsigned size);
void bus_mmio_write(struct machine *m, struct cpu *c, hpa_t a, unsigned size, u64 value);
u32 bus_pio_read(struct machine *m, struct cpu *c, u16 port, unsigned size);
void bus_pio_write(struct machine *m, struct cpu *c, u16 port, unsigned size, u32 value);

/*
 * Physical access of devices and of the loader ("DMA"): ranges may cross pages; false if any byte is not RAM. Writes
 * are seen by the oracle and drop decoded code; they set no dirty flag and are not logged by PML, as on a real machine.
 */
bool bus_dma_read(struct machine *m, hpa_t a, void *buf, u64 n);
bool bus_dma_write(struct machine *m, hpa_t a, const void *buf, u64 n);

#endif
