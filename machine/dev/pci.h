/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI: bus 0 alone, by mechanism 1 (CF8H/CFCH) and memory-mapped; the reset register CF9H; and what its functions share:
 * configuration space, one memory BAR, one interrupt line, MSI-X.
 */
#ifndef OOH_MACHINE_DEV_PCI_H
#define OOH_MACHINE_DEV_PCI_H

#include "machine/core/bus.h"

#define PCI_ECAM_BASE 0xe0000000u
#define PCI_ECAM_SIZE 0x100000u
#define PCI_HOLE_BASE 0xc0000000u /* where BARs are decoded; memory-mapped configuration follows */
#define PCI_HOLE_SIZE 0x20000000u
#define PCI_SLOTS 32
#define PCI_CONFIG_SIZE 0x100
#define PCI_MSIX_MAX 4
/* Each slot has a pin of the I/O APIC of its own for INTA#: none is shared. */
#define PCI_SLOTS_WIRED 8
#define PCI_PIN(slot) (15 + (slot)) /* slots 1 to 8: pins 16 to 23 */

struct machine;
struct snap;
struct pci_function;

/* What a function does about accesses to its BAR and, after the bytes are written, to its configuration space. */
struct pci_ops {
	mmio_read_fn *read;
	mmio_write_fn *write;
	/* Both may be NULL. reg, size: what is about to be read, or has been written. */
	void (*config_read)(struct pci_function *f, struct cpu *c, unsigned reg, unsigned size);
	void (*config_written)(struct pci_function *f, struct cpu *c, unsigned reg, unsigned size);
};

struct pci_identity {
	u16 vendor, device, subsystem;
	u32 class_code; /* class, subclass, interface */
	u8 revision;
};

struct pci_function {
	struct machine *m;
	const struct pci_ops *ops; /* NULL: no BAR */
	void *dev;                 /* given to ops->read and write */
	unsigned slot;
	u32 bar_size;
	u8 cap_end, cap_last; /* while capabilities are added */
	u8 msix;              /* offset of the MSI-X capability; 0: none */
	unsigned vectors;
	u8 writable[PCI_CONFIG_SIZE]; /* bits that software can write */
	struct {
		u8 config[PCI_CONFIG_SIZE];
		struct { u32 address, address_high, data, control; } msix[PCI_MSIX_MAX];
		u32 msix_pending;
		u32 line; /* the function asserts INTA# */
	} r;
};

struct pci {
	struct machine *m;
	struct pci_function bridge;
	struct pci_function *slot[PCI_SLOTS];
	struct {
		u32 address;
		u8 reset;
	} r;
};

void pci_init(struct pci *p, struct machine *m);
void pci_snap(struct pci *p, struct snap *s);

/* A function without capabilities at a slot. bar_size: a power of two; 0: none. The firmware's address is set. */
void pci_function_init(struct pci *p, struct pci_function *f, unsigned slot, const struct pci_identity *id, u32 bar_size);
/* Adds a capability of n bytes, its two first set; returns its offset. */
unsigned pci_add_capability(struct pci_function *f, u8 id, unsigned n);
/* MSI-X with n vectors, table and pending bits at these offsets of the BAR. */
void pci_add_msix(struct pci_function *f, unsigned n, u32 table, u32 pending);
void pci_function_snap(struct pci_function *f, struct snap *s);

u32 pci_config_get(const struct pci_function *f, unsigned reg, unsigned size);
void pci_config_put(struct pci_function *f, unsigned reg, unsigned size, u32 v);
/* Configuration accesses as software makes them. */
u32 pci_config_read(struct pci_function *f, struct cpu *c, unsigned reg, unsigned size);
void pci_config_write(struct pci_function *f, struct cpu *c, unsigned reg, unsigned size, u32 v);

/* The function may read and write memory (bus master enable). */
bool pci_master(const struct pci_function *f);
bool pci_msix_enabled(const struct pci_function *f);
/* Sends vector i, or notes that it is pending. */
void pci_msix_send(struct pci_function *f, unsigned i);
u64 pci_msix_read(const struct pci_function *f, u64 offset, unsigned size);
void pci_msix_write(struct pci_function *f, u64 offset, unsigned size, u64 v);
u64 pci_msix_pending(const struct pci_function *f, u64 offset);
/* INTA#: what the function wants; shown on the pin unless it is disabled or MSI-X is in use. */
void pci_line(struct pci_function *f, bool level);

#endif
