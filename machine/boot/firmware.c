/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a PC's firmware leaves to an operating system: memory types, interrupt wiring, tables. */
#include "machine/boot/image.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/sys/sys.h"
#include "machine/dev/apic.h"

#define MTRR_UC 0
#define MTRR_WP 5
#define MTRR_WB 6
#define MTRR_DEF_FIXED_ENABLE 0x400
#define MTRR_DEF_ENABLE 0x800
#define MTRR_MASK_VALID 0x800

#define ALL8(type) (0x0101010101010101ull * (type))

unsigned firmware_memory_map(const struct machine *m, struct memory_range out[MEMORY_RANGES])
{
	u64 low = m->bus.ram_low, high = m->bus.ram_size - low;
	unsigned n = 0;

	out[n++] = (struct memory_range){ 0, EBDA_BASE, E820_RAM };
	out[n++] = (struct memory_range){ EBDA_BASE, 0xa0000 - EBDA_BASE, E820_RESERVED };
	out[n++] = (struct memory_range){ BIOS_BASE, HIGH_BASE - BIOS_BASE, E820_RESERVED };
	out[n++] = (struct memory_range){ HIGH_BASE, low - HIGH_BASE, E820_RAM };
	if (high)
		out[n++] = (struct memory_range){ RAM_HIGH_BASE, high, E820_RAM };
	return n;
}

/* RAM is write-back, the hole of the devices below 4 GiB uncached. SDM 3A "Memory Type Range Registers". */
static void setup_mtrrs(struct cpu *c)
{
	u64 hole = RAM_HIGH_BASE - RAM_LOW_MAX;

	c->mtrr_fix[0] = c->mtrr_fix[1] = ALL8(MTRR_WB); /* 0-7FFFFH, 80000-9FFFFH */
	c->mtrr_fix[2] = ALL8(MTRR_UC);                  /* A0000H: where a VGA frame buffer would be */
	for (unsigned i = 3; i < 11; i++)
		c->mtrr_fix[i] = ALL8(MTRR_WP);
	c->mtrr_var[0] = RAM_LOW_MAX | MTRR_UC;
	c->mtrr_var[1] = (CPU_PHYS_MASK & ~(hole - 1)) | MTRR_MASK_VALID;
	c->mtrr_def = MTRR_WB | MTRR_DEF_FIXED_ENABLE | MTRR_DEF_ENABLE;
}

u64 firmware_setup(struct machine *m, bool bios)
{
	setup_mtrrs(m->cpu[0]);
	apic_virtual_wire(m->cpu[0]->apic);
	return acpi_build(m, bios);
}
