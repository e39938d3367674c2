/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 "Software Generation of Configuration Transactions" and chapter
 * 6.
 */
#include "machine/dev/pci.h"

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_RESET   0xcf9 /* byte access only */
#define CONFIG_DATA    0xcfc
#define ADDRESS_ENABLE 0x80000000u
#define HOST_BRIDGE_ID 0x0d578086u /* Intel; a bridge for virtual machines, without quirks in any system */
#define HOST_BRIDGE_CLASS 0x06000000u
#define COMMAND_WRITABLE 0x0547
#define REG_ID 0x00
#define REG_COMMAND 0x04
#define REG_CLASS 0x08
#define REG_LATENCY 0x0c
#define REG_LINE 0x3c

/* Registers of the host bridge, by dword. */
static u32 bridge_read(const struct pci *p, unsigned reg)
{
	switch (reg) {
	case REG_ID: return HOST_BRIDGE_ID;
	case REG_COMMAND: return p->r.command;
	case REG_CLASS: return HOST_BRIDGE_CLASS;
	case REG_LATENCY: return (u32)p->r.latency << 8;
	case REG_LINE: return p->r.line;
	}
	return 0;
}

/* size bytes at reg + byte. */
static void bridge_write(struct pci *p, unsigned reg, unsigned byte, unsigned size, u32 value)
{
	u32 mask = (size >= 4 ? ~0u : (1u << size * 8) - 1) << byte * 8;
	u32 v = (bridge_read(p, reg) & ~mask) | (value << byte * 8 & mask);

	switch (reg) {
	case REG_COMMAND: p->r.command = v & COMMAND_WRITABLE; break;
	case REG_LATENCY: p->r.latency = (u8)(v >> 8); break;
	case REG_LINE: p->r.line = (u8)v; break;
	}
}

/* Bus, device and function 0 is all there is. */
static bool selected(const struct pci *p)
{
	return (p->r.address & ADDRESS_ENABLE) && !(p->r.address & 0xffff00);
}

/* A function's 4 KiB of memory-mapped configuration space; what is absent reads as ones. */
static u64 ecam_read(void *dev, struct cpu *cpu, u64 offset, unsigned size)
{
	const struct pci *p = dev;

	if (offset >= 0x100)
		return offset < 0x1000 ? 0 : ~0ull; /* no extended capabilities */
	return bridge_read(p, offset & 0xfc) >> (offset & 3) * 8;
}

static void ecam_write(void *dev, struct cpu *cpu, u64 offset, unsigned size, u64 value)
{
	struct pci *p = dev;

	if (offset < 0x100)
		bridge_write(p, offset & 0xfc, offset & 3, size, (u32)value);
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
	const struct pci *p = dev;

	if (port >= CONFIG_DATA)
		return selected(p) ? bridge_read(p, p->r.address & 0xfc) >> (port & 3) * 8 : ~0u;
	if (port == CONFIG_ADDRESS && size == 4)
		return p->r.address;
	return port == CONFIG_RESET && size == 1 ? p->r.reset : ~0u;
}

static void pci_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct pci *p = dev;

	if (port >= CONFIG_DATA && selected(p))
		bridge_write(p, p->r.address & 0xfc, port & 3, size, value);
	else if (port == CONFIG_ADDRESS && size == 4)
		p->r.address = value & ~0x7f000003u;
	else if (port == CONFIG_RESET && size == 1)
		write_reset(p, (u8)value);
}

void pci_init(struct pci *p, struct machine *m)
{
	p->m = m;
	bus_add_pio(m, CONFIG_ADDRESS, 8, pci_read, pci_write, p, "PCI configuration");
	bus_add_mmio(m, PCI_ECAM_BASE, PCI_ECAM_SIZE, ecam_read, ecam_write, p, "PCI memory-mapped configuration");
}

void pci_snap(struct pci *p, struct snap *s)
{
	snap_var(s, "pci.address", p->r.address);
	snap_var(s, "pci.command", p->r.command);
	snap_var(s, "pci.latency", p->r.latency);
	snap_var(s, "pci.reset", p->r.reset);
	snap_var(s, "pci.line", p->r.line);
}
