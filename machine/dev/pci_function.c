/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A function of the bus. Source: PCI Local Bus Specification 3.0, chapter 6; MSI-X: 6.8. */
#include <assert.h>
#include <string.h>

#include "arch/apic.h"
#include "arch/pci.h"
#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/dev/apic.h"
#include "machine/dev/dev.h"
#include "machine/dev/pci.h"

#define BAR_STRIDE 0x100000u /* between the addresses that firmware gives out */
#define COMMAND_WRITABLE \
	(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_NO_INTX)
#define MSI_VECTOR 0xffu
#define MSI_LEVEL  0x8000u /* trigger mode, of the data word */
#define MSI_RANGE  0xfff00000u

static unsigned fit(unsigned reg, unsigned size)
{
	return reg + size > PCI_CONFIG_SIZE ? PCI_CONFIG_SIZE - reg : size;
}

u32 pci_config_get(const struct pci_function *f, unsigned reg, unsigned size)
{
	u32 v = 0;

	memcpy(&v, f->r.config + reg, fit(reg, size));
	return v;
}

void pci_config_put(struct pci_function *f, unsigned reg, unsigned size, u32 v)
{
	memcpy(f->r.config + reg, &v, fit(reg, size));
}

void pci_function_init(struct pci *p, struct pci_function *f, unsigned slot, const struct pci_identity *id, u32 bar_size)
{
	assert(slot < PCI_SLOTS && !p->slot[slot]);
	p->slot[slot] = f;
	f->m = p->m;
	f->slot = slot;
	f->bar_size = bar_size;
	f->cap_end = PCI_HEADER_END;
	pci_config_put(f, PCI_VENDOR, 2, id->vendor);
	pci_config_put(f, PCI_DEVICE, 2, id->device);
	pci_config_put(f, PCI_REVISION, 1, id->revision);
	pci_config_put(f, PCI_CLASS, 3, id->class_code);
	memcpy(f->writable + PCI_COMMAND, &(u16){ COMMAND_WRITABLE }, 2);
	f->writable[PCI_CACHE_LINE] = f->writable[PCI_LATENCY] = f->writable[PCI_INTERRUPT_LINE] = 0xff;
	if (!bar_size)
		return;
	memcpy(f->writable + PCI_BAR0, &(u32){ ~(bar_size - 1) }, 4);
	pci_config_put(f, PCI_BAR0, 4, PCI_HOLE_BASE + slot * BAR_STRIDE);
	pci_config_put(f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	pci_config_put(f, PCI_SUBSYSTEM_VENDOR, 2, id->vendor);
	pci_config_put(f, PCI_SUBSYSTEM, 2, id->subsystem);
	pci_config_put(f, PCI_INTERRUPT_PIN, 1, 1);
	pci_config_put(f, PCI_INTERRUPT_LINE, 1, PCI_PIN(slot));
}

unsigned pci_add_capability(struct pci_function *f, u8 id, unsigned n)
{
	unsigned at = f->cap_end;

	assert(at + n <= PCI_CONFIG_SIZE);
	pci_config_put(f, at, 1, id);
	pci_config_put(f, f->cap_last ? f->cap_last + 1u : PCI_CAPABILITIES, 1, at);
	pci_config_put(f, PCI_STATUS, 2, PCI_STATUS_CAPABILITIES);
	f->cap_last = (u8)at;
	f->cap_end = (u8)((at + n + 3) & ~3u);
	return at;
}

void pci_add_msix(struct pci_function *f, unsigned n, u32 table, u32 pending)
{
	assert(n <= PCI_MSIX_MAX);
	f->vectors = n;
	f->msix = (u8)pci_add_capability(f, PCI_CAP_MSIX, PCI_MSIX_BYTES);
	pci_config_put(f, f->msix + PCI_MSIX_CONTROL, 2, n - 1);
	pci_config_put(f, f->msix + PCI_MSIX_TABLE, 4, table);
	pci_config_put(f, f->msix + PCI_MSIX_PENDING, 4, pending);
	memcpy(f->writable + f->msix + PCI_MSIX_CONTROL, &(u16){ PCI_MSIX_ENABLE | PCI_MSIX_MASK }, 2);
	for (unsigned i = 0; i < n; i++)
		f->r.msix[i].control = PCI_MSIX_ENTRY_MASKED;
}

bool pci_master(const struct pci_function *f)
{
	return pci_config_get(f, PCI_COMMAND, 2) & PCI_COMMAND_MASTER;
}

static u32 msix_control(const struct pci_function *f)
{
	return f->msix ? pci_config_get(f, f->msix + PCI_MSIX_CONTROL, 2) : 0;
}

bool pci_msix_enabled(const struct pci_function *f)
{
	return msix_control(f) & PCI_MSIX_ENABLE;
}

static void show_line(struct pci_function *f)
{
	bool wanted = f->r.line, quiet = pci_config_get(f, PCI_COMMAND, 2) & PCI_COMMAND_NO_INTX;

	pci_config_put(f, PCI_STATUS, 2, PCI_STATUS_CAPABILITIES | (wanted ? PCI_STATUS_INTERRUPT : 0));
	irq_set(f->m, PCI_PIN(f->slot), wanted && !quiet && !pci_msix_enabled(f));
}

void pci_line(struct pci_function *f, bool level)
{
	f->r.line = level;
	show_line(f);
}

/* SDM 3A "Message Signalled Interrupts"; a message to any other address is a store. */
static void send_message(struct pci_function *f, unsigned i)
{
	u32 a = f->r.msix[i].address, data = f->r.msix[i].data;

	if (f->r.msix[i].address_high || (a & MSI_RANGE) != MSI_ADDRESS_BASE)
		bus_dma_write(f->m, (hpa_t){ a | (u64)f->r.msix[i].address_high << 32 }, &data, sizeof(data));
	else
		apic_bus_message(f->m, a >> MSI_DEST_SHIFT & 0xff, a & MSI_LOGICAL, data & MSI_VECTOR,
				 (data & DELIVERY_MODE) >> 8, data & MSI_LEVEL);
}

static bool may_send(const struct pci_function *f, unsigned i)
{
	return (msix_control(f) & (PCI_MSIX_ENABLE | PCI_MSIX_MASK)) == PCI_MSIX_ENABLE && pci_master(f) &&
	       !(f->r.msix[i].control & PCI_MSIX_ENTRY_MASKED);
}

static void send_pending(struct pci_function *f)
{
	for (unsigned i = 0; i < f->vectors; i++) {
		if (!(f->r.msix_pending >> i & 1) || !may_send(f, i))
			continue;
		f->r.msix_pending &= ~(1u << i);
		send_message(f, i);
	}
}

void pci_msix_send(struct pci_function *f, unsigned i)
{
	if (i >= f->vectors || !pci_msix_enabled(f))
		return;
	f->r.msix_pending |= 1u << i;
	send_pending(f);
}

/* offset: within the table. The BAR's accesses are of aligned double and quad words; others get what lies there. */
u64 pci_msix_read(const struct pci_function *f, u64 offset, unsigned size)
{
	u64 v = 0;

	if (offset + size <= f->vectors * PCI_MSIX_ENTRY)
		memcpy(&v, (const u8 *)f->r.msix + offset, size);
	return v;
}

void pci_msix_write(struct pci_function *f, u64 offset, unsigned size, u64 v)
{
	if (offset + size > f->vectors * PCI_MSIX_ENTRY)
		return;
	memcpy((u8 *)f->r.msix + offset, &v, size);
	for (unsigned i = 0; i < f->vectors; i++) {
		f->r.msix[i].address &= ~3u;
		f->r.msix[i].control &= PCI_MSIX_ENTRY_MASKED;
	}
	send_pending(f);
}

u64 pci_msix_pending(const struct pci_function *f, u64 offset)
{
	return offset < 8 ? (u64)f->r.msix_pending >> offset * 8 : 0;
}

u32 pci_config_read(struct pci_function *f, struct cpu *c, unsigned reg, unsigned size)
{
	if (f->ops && f->ops->config_read)
		f->ops->config_read(f, c, reg, size);
	return pci_config_get(f, reg, size);
}

void pci_config_write(struct pci_function *f, struct cpu *c, unsigned reg, unsigned size, u32 v)
{
	for (unsigned i = 0; i < fit(reg, size); i++) {
		u8 mask = f->writable[reg + i], *at = &f->r.config[reg + i];

		*at = (u8)((*at & ~mask) | (v >> i * 8 & mask));
	}
	if (f->slot)
		show_line(f);
	send_pending(f);
	if (f->ops && f->ops->config_written)
		f->ops->config_written(f, c, reg, size);
}

void pci_function_snap(struct pci_function *f, struct snap *s)
{
	snap_var(s, "pci.function", f->r);
}
