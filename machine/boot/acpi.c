/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ACPI tables. Source: ACPI 6.5, chapter 5.2 "ACPI System Description Tables". */
#include <string.h>

#include "arch/apic.h"
#include "machine/boot/aml.h"
#include "machine/boot/image.h"
#include "machine/core/machine.h"
#include "machine/dev/ioapic.h"
#include "machine/dev/pci.h"
#include "machine/dev/pm.h"

#define HEADER 36
#define FADT_REVISION 5
#define FADT_SIZE 268
#define MADT_REVISION 4
#define FACS_SIZE 64
#define RESET_PORT 0xcf9
#define RESET_VALUE 6

#define FADT_WBINVD         (1u << 0)
#define FADT_NO_PWR_BUTTON  (1u << 4)
#define FADT_NO_SLP_BUTTON  (1u << 5)
#define FADT_NO_FIXED_RTC   (1u << 6)
#define FADT_TMR_32BIT      (1u << 8)
#define FADT_RESET_REG      (1u << 10)
#define FADT_FLAGS \
	(FADT_WBINVD | FADT_NO_PWR_BUTTON | FADT_NO_SLP_BUTTON | FADT_NO_FIXED_RTC | FADT_TMR_32BIT | FADT_RESET_REG)
#define BOOT_LEGACY_DEVICES (1u << 0)
#define BOOT_NO_VGA         (1u << 2)
#define BOOT_NO_ASPM        (1u << 4)
#define LATENCY_NONE 0xfff /* of C2 and C3: there are none */


struct table {
	u8 bytes[AML_MAX + HEADER];
	unsigned n;
};

static void put(struct table *t, u64 v, unsigned n)
{
	memcpy(t->bytes + t->n, &v, n);
	t->n += n;
}

static void set(struct table *t, unsigned off, u64 v, unsigned n)
{
	memcpy(t->bytes + off, &v, n);
}

static u8 checksum(const u8 *p, unsigned n)
{
	u8 sum = 0;

	while (n--)
		sum += *p++;
	return (u8)-sum;
}

static void begin(struct table *t, const char *signature, u8 revision)
{
	memset(t, 0, sizeof(*t));
	memcpy(t->bytes, signature, 4);
	t->bytes[8] = revision;
	memcpy(t->bytes + 10, "OOH   OOHMACH ", 14);
	set(t, 24, 1, 4);
	memcpy(t->bytes + 28, "OOH ", 4);
	set(t, 32, 1, 4);
	t->n = HEADER;
}

/* Closes a table and writes it at *at, which moves on. Returns the table's address. */
static u64 finish(struct machine *m, struct table *t, u64 *at)
{
	u64 here = *at;

	set(t, 4, t->n, 4);
	t->bytes[9] = 0;
	t->bytes[9] = checksum(t->bytes, t->n);
	guest_put(m, here, t->bytes, t->n);
	*at = (here + t->n + 63) & ~63ull;
	return here;
}

static void device_id(struct aml *a, const char *id, unsigned uid)
{
	aml_name(a, "_HID");
	aml_eisa_id(a, id);
	aml_name(a, "_UID");
	aml_integer(a, uid);
}

static void legacy_device(struct aml *a, const char *name, const char *id, unsigned uid, u16 port, u8 ports,
			  unsigned irq)
{
	unsigned device = aml_device(a, name), crs;

	device_id(a, id, uid);
	crs = aml_resources(a);
	aml_io(a, port, ports);
	aml_irq(a, irq);
	aml_resources_close(a, crs);
	aml_close(a, device);
}

/* _PRT: INTA# of each slot has a pin of the I/O APIC of its own, level-triggered and active low. */
static void interrupt_routing(struct aml *a)
{
	unsigned table, mark;

	aml_name(a, "_PRT");
	table = aml_package(a, PCI_SLOTS_WIRED);
	for (unsigned slot = 1; slot <= PCI_SLOTS_WIRED; slot++) {
		mark = aml_package(a, 4);
		aml_integer(a, slot << 16 | 0xffff); /* any function */
		aml_integer(a, 0);
		aml_integer(a, 0);
		aml_integer(a, PCI_PIN(slot));
		aml_close(a, mark);
	}
	aml_close(a, table);
}

static void pci_root(struct aml *a)
{
	unsigned device = aml_device(a, "PCI0"), mark;

	device_id(a, "PNP0A03", 0);
	aml_name(a, "_BBN");
	aml_integer(a, 0);
	mark = aml_resources(a);
	aml_bus_range(a, 0, 0);
	aml_io(a, 0xcf8, 8);
	aml_io_window(a, 0, 0xcf7);
	aml_io_window(a, 0xd00, 0xffff);
	aml_memory_window(a, PCI_HOLE_BASE, PCI_HOLE_BASE + PCI_HOLE_SIZE - 1);
	aml_resources_close(a, mark);
	interrupt_routing(a);
	aml_close(a, device);
}

/* Linux uses memory-mapped configuration only where the board reserves it. */
static void board_resources(struct aml *a)
{
	unsigned device = aml_device(a, "MBRD"), crs;

	device_id(a, "PNP0C02", 0);
	crs = aml_resources(a);
	aml_memory(a, PCI_ECAM_BASE, PCI_ECAM_SIZE);
	aml_resources_close(a, crs);
	aml_close(a, device);
}

static void sleep_state(struct aml *a, const char *name, unsigned type)
{
	unsigned mark;

	aml_name(a, name);
	mark = aml_package(a, 4);
	aml_integer(a, type);
	aml_integer(a, type);
	aml_integer(a, 0);
	aml_integer(a, 0);
	aml_close(a, mark);
}

static u64 write_dsdt(struct machine *m, bool bios, u64 *at)
{
	struct aml a = { .n = 0 };
	struct table t;
	unsigned mark;

	if (bios)
		sleep_state(&a, "\\_S3_", SLEEP_TYPE_S3);
	sleep_state(&a, "\\_S5_", SLEEP_TYPE_S5);
	mark = aml_scope(&a, "\\_SB_");
	pci_root(&a);
	board_resources(&a);
	legacy_device(&a, "COM1", "PNP0501", 1, 0x3f8, 8, 4);
	legacy_device(&a, "COM2", "PNP0501", 2, 0x2f8, 8, 3);
	legacy_device(&a, "RTC_", "PNP0B00", 0, 0x70, 2, 8);
	aml_close(&a, mark);

	begin(&t, "DSDT", 2);
	memcpy(t.bytes + HEADER, a.bytes, a.n);
	t.n += a.n;
	return finish(m, &t, at);
}

static u64 write_facs(struct machine *m, u64 *at)
{
	u8 facs[FACS_SIZE] = "FACS";
	u64 here = *at;

	facs[4] = FACS_SIZE;
	facs[32] = 2; /* version */
	guest_put(m, here, facs, sizeof(facs));
	*at += FACS_SIZE;
	return here;
}

/* Generic address structure: an I/O port. */
static void set_gas(struct table *t, unsigned off, u16 port, unsigned bits)
{
	set(t, off, 1, 1);
	set(t, off + 1, bits, 1);
	set(t, off + 3, bits == 32 ? 3 : bits == 16 ? 2 : 1, 1);
	set(t, off + 4, port, 8);
}

/* Offsets by table 5.9 "FADT Format". SMI_CMD is 0: the machine is always in ACPI mode. */
static u64 write_fadt(struct machine *m, bool bios, u64 dsdt, u64 facs, u64 *at)
{
	struct table t;

	begin(&t, "FACP", FADT_REVISION);
	t.n = FADT_SIZE;
	set(&t, 36, facs, 4);
	set(&t, 40, dsdt, 4);
	set(&t, 46, SCI_IRQ, 2);
	set(&t, 56, PM1A_EVENT, 4);
	set(&t, 64, PM1A_CONTROL, 4);
	set(&t, 76, PM_TIMER, 4);
	set(&t, 88, 4, 1);
	set(&t, 89, 2, 1);
	set(&t, 91, 4, 1);
	set(&t, 96, LATENCY_NONE, 2);
	set(&t, 98, LATENCY_NONE, 2);
	set(&t, 108, 0x32, 1); /* the RTC's century register */
	set(&t, 109, BOOT_LEGACY_DEVICES | BOOT_NO_VGA | BOOT_NO_ASPM, 2);
	set(&t, 112, bios ? FADT_FLAGS & ~FADT_NO_FIXED_RTC : FADT_FLAGS, 4);
	set_gas(&t, 116, RESET_PORT, 8);
	set(&t, 128, RESET_VALUE, 1);
	set(&t, 140, dsdt, 8);
	set_gas(&t, 148, PM1A_EVENT, 32);
	set_gas(&t, 172, PM1A_CONTROL, 16);
	set_gas(&t, 208, PM_TIMER, 32);
	return finish(m, &t, at);
}

/* irq_set wires the PIT to pin 2; the SCI is level-triggered, active high. */
static void interrupt_overrides(struct table *t)
{
	put(t, 0x0a02, 2);
	put(t, 0, 2);
	put(t, 2, 4);
	put(t, 0, 2);
	put(t, 0x0a02, 2);
	put(t, SCI_IRQ << 8, 2);
	put(t, SCI_IRQ, 4);
	put(t, 0x000d, 2);
}

static u64 write_madt(struct machine *m, u64 *at)
{
	struct table t;

	begin(&t, "APIC", MADT_REVISION);
	put(&t, MSI_ADDRESS_BASE, 4);
	put(&t, 1, 4); /* there are 8259s too */
	for (unsigned i = 0; i < m->ncpus; i++) {
		put(&t, 0x0800, 2);
		put(&t, i | i << 8, 2);
		put(&t, 1, 4); /* enabled */
	}
	put(&t, 0x0c01, 2);
	put(&t, IOAPIC_APIC_ID, 2);
	put(&t, IOAPIC_BASE_DEFAULT, 4);
	put(&t, 0, 4);
	interrupt_overrides(&t);
	put(&t, 0x0604, 2);
	put(&t, 0xff, 1); /* every processor: NMI on LINT1 */
	put(&t, 0, 2);
	put(&t, 1, 1);
	return finish(m, &t, at);
}

static u64 write_mcfg(struct machine *m, u64 *at)
{
	struct table t;

	begin(&t, "MCFG", 1);
	put(&t, 0, 8);
	put(&t, PCI_ECAM_BASE, 8);
	put(&t, 0, 8); /* segment 0, buses 0 to 0 */
	return finish(m, &t, at);
}

static void write_rsdp(struct machine *m, u64 at, u64 xsdt)
{
	u8 rsdp[36] = "RSD PTR ";

	memcpy(rsdp + 9, "OOH   ", 6);
	rsdp[15] = 2;
	memcpy(rsdp + 20, &(u32){ sizeof(rsdp) }, 4);
	memcpy(rsdp + 24, &xsdt, 8);
	rsdp[8] = checksum(rsdp, 20);
	rsdp[32] = checksum(rsdp, sizeof(rsdp));
	guest_put(m, at, rsdp, sizeof(rsdp));
}

u64 acpi_build(struct machine *m, bool bios)
{
	u64 at = FACS_AT, facs = write_facs(m, &at), dsdt = write_dsdt(m, bios, &at);
	u64 fadt = write_fadt(m, bios, dsdt, facs, &at), madt = write_madt(m, &at);
	u64 mcfg = write_mcfg(m, &at);
	struct table t;

	begin(&t, "XSDT", 1);
	put(&t, fadt, 8);
	put(&t, madt, 8);
	put(&t, mcfg, 8);
	write_rsdp(m, BIOS_BASE, finish(m, &t, &at));
	return BIOS_BASE;
}
