/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus. Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 "Software Generation of Configuration Transactions" and
 * chapter 6.
 */
#include "machine/dev/pci.h"

#include "arch/pci.h"
#include "machine/core/machine.h"
#include "machine/core/snapshot.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_RESET   0xcf9 /* byte access only */
#define CONFIG_DATA    0xcfc
#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_SLOT(a) ((a) >> 11 & 31)
#define ECAM_SLOT(offset) ((offset) >> 15 & 31)
#define NOT_FUNCTION_0 0x700u   /* of an address in CF8H */
#define NOT_FUNCTION_0_ECAM 0x7000u

/* Intel; a bridge for virtual machines, without quirks in any system. */
static const struct pci_identity host_bridge = { .vendor = 0x8086, .device = 0x0d57, .class_code = 0x060000 };

/* The function that CF8H addresses, NULL if there is none. */
static struct pci_function *selected(const struct pci *p)
{
	u32 a = p->r.address;

	if (!(a & ADDRESS_ENABLE) || (a & (0xff0000 | NOT_FUNCTION_0)))
		return NULL;
	return p->slot[ADDRESS_SLOT(a)];
}

static struct pci_function *ecam_function(const struct pci *p, u64 offset)
{
	return offset & NOT_FUNCTION_0_ECAM ? NULL : p->slot[ECAM_SLOT(offset)];
}

/* A function's 4 KiB of memory-mapped configuration space; what is absent reads as ones. */
static u64 ecam_read(void *dev, struct cpu *cpu, u64 offset, unsigned size)
{
	struct pci_function *f = ecam_function(dev, offset);
	unsigned reg = offset & 0xfff;

	if (!f)
		return ~0ull;
	if (size == 8) /* configuration space knows no more than four bytes at a time */
		return ecam_read(dev, cpu, offset, 4) | ecam_read(dev, cpu, offset + 4, 4) << 32;
	return reg < PCI_CONFIG_SIZE ? pci_config_read(f, cpu, reg, size) : 0; /* no extended capabilities */
}

static void ecam_write(void *dev, struct cpu *cpu, u64 offset, unsigned size, u64 value)
{
	struct pci_function *f = ecam_function(dev, offset);
	unsigned reg = offset & 0xfff;

	if (size == 8) {
		ecam_write(dev, cpu, offset, 4, (u32)value);
		ecam_write(dev, cpu, offset + 4, 4, value >> 32);
	} else if (f && reg < PCI_CONFIG_SIZE) {
		pci_config_write(f, cpu, reg, size, (u32)value);
	}
}

/* Bit 2 rising resets the processor, "hard" or not. */
static void write_reset(struct pci *p, u8 v)
{
	if ((v & 4) && !(p->r.reset & 4))
		machine_stop(p->m, STATUS_RESET, "reset by port 0xcf9");
	p->r.reset = v & 0x0e;
}

static u32 pci_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	struct pci *p = dev;
	struct pci_function *f = selected(p);

	if (port >= CONFIG_DATA)
		return f ? pci_config_read(f, cpu, (p->r.address & 0xfc) + (port & 3), size) : ~0u;
	if (port == CONFIG_ADDRESS && size == 4)
		return p->r.address;
	return port == CONFIG_RESET && size == 1 ? p->r.reset : ~0u;
}

static void pci_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct pci *p = dev;
	struct pci_function *f = selected(p);

	if (port >= CONFIG_DATA && f)
		pci_config_write(f, cpu, (p->r.address & 0xfc) + (port & 3), size, value);
	else if (port == CONFIG_ADDRESS && size == 4)
		p->r.address = value & ~0x7f000003u;
	else if (port == CONFIG_RESET && size == 1)
		write_reset(p, (u8)value);
}

/* The function whose BAR covers an address of the hole; *offset becomes that within the BAR. */
static const struct pci_function *decode(const struct pci *p, u64 *offset)
{
	u64 a = PCI_HOLE_BASE + *offset;

	for (unsigned i = 0; i < PCI_SLOTS; i++) {
		const struct pci_function *f = p->slot[i];
		u32 base;

		if (!f || !f->bar_size || !(pci_config_get(f, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY))
			continue;
		base = pci_config_get(f, PCI_BAR0, 4);
		if (a - base >= f->bar_size)
			continue;
		*offset = a - base;
		return f;
	}
	return NULL;
}

static u64 hole_read(void *dev, struct cpu *c, u64 offset, unsigned size)
{
	const struct pci_function *f = decode(dev, &offset);

	return f ? f->ops->read(f->dev, c, offset, size) : ~0ull;
}

static void hole_write(void *dev, struct cpu *c, u64 offset, unsigned size, u64 value)
{
	const struct pci_function *f = decode(dev, &offset);

	if (f)
		f->ops->write(f->dev, c, offset, size, value);
}

void pci_init(struct pci *p, struct machine *m)
{
	p->m = m;
	pci_function_init(p, &p->bridge, 0, &host_bridge, 0);
	bus_add_pio(m, CONFIG_ADDRESS, 8, pci_read, pci_write, p, "PCI configuration");
	bus_add_mmio(m, PCI_ECAM_BASE, PCI_ECAM_SIZE, ecam_read, ecam_write, p, "PCI memory-mapped configuration");
	bus_add_mmio(m, PCI_HOLE_BASE, PCI_HOLE_SIZE, hole_read, hole_write, p, "PCI memory");
}

void pci_snap(struct pci *p, struct snap *s)
{
	snap_var(s, "pci.address", p->r.address);
	snap_var(s, "pci.reset", p->r.reset);
	pci_function_snap(&p->bridge, s);
}
