/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source: Intel 82093AA data sheet (290566-001); version 20H adds the EOI register. */
#include "machine/dev/ioapic.h"

#include "arch/apic.h"
#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/dev/apic.h"

#define REDIR_VECTOR 0xffu
#define REDIR_READ_ONLY (REDIR_REMOTE_IRR | REDIR_PENDING)
#define REDIR_WRITABLE_LOW 0x1afffu /* vector .. polarity, trigger mode, mask */
#define WINDOW_VERSION ((IOAPIC_PINS - 1) << 16 | 0x20)

/*
 * SDM 3A "Delivery mode": lowest priority, NMI etc. go out as they stand. The polarity bit is not looked at: lines
 * are logical.
 */
static void send(struct ioapic *io, unsigned pin)
{
	u64 e = io->r.redir[pin];
	unsigned mode = e & DELIVERY_MODE;
	bool level = e & REDIR_LEVEL;

	if (level && (mode == DELIVERY_FIXED || mode == DELIVERY_LOWEST))
		io->r.redir[pin] |= REDIR_REMOTE_IRR;
	apic_bus_message(io->m, (u32)(e >> REDIR_DEST_SHIFT), e & REDIR_LOGICAL, e & REDIR_VECTOR, mode >> 8, level);
}

/* A level-triggered pin sends while its line is up and no earlier message of it is in service. */
static void service_level(struct ioapic *io, unsigned pin)
{
	u64 e = io->r.redir[pin];

	if ((e & REDIR_LEVEL) && !(e & (REDIR_MASKED | REDIR_REMOTE_IRR)) && (io->r.line >> pin & 1))
		send(io, pin);
}

void ioapic_set(struct ioapic *io, unsigned pin, bool level)
{
	bool rises = level && !(io->r.line >> pin & 1);

	io->r.line = level ? io->r.line | 1u << pin : io->r.line & ~(1u << pin);
	if (io->r.redir[pin] & REDIR_LEVEL)
		service_level(io, pin);
	else if (rises && !(io->r.redir[pin] & REDIR_MASKED))
		send(io, pin);
}

void ioapic_eoi(struct ioapic *io, unsigned vector)
{
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++) {
		u64 *e = &io->r.redir[pin];

		if (!(*e & REDIR_REMOTE_IRR) || (*e & REDIR_VECTOR) != vector)
			continue;
		*e &= ~(u64)REDIR_REMOTE_IRR;
		service_level(io, pin);
	}
}

static u32 read_window(const struct ioapic *io)
{
	unsigned i = io->r.select;

	switch (i) {
	case IOAPIC_ID:
	case IOAPIC_ARB:
		return (u32)io->r.id << 24;
	case IOAPIC_VERSION:
		return WINDOW_VERSION;
	}
	if (i < IOAPIC_REDIR || i >= IOAPIC_REDIR + 2 * IOAPIC_PINS)
		return 0;
	i -= IOAPIC_REDIR;
	return (u32)(io->r.redir[i / 2] >> (i & 1 ? 32 : 0));
}

static void write_redir(struct ioapic *io, unsigned pin, bool high, u32 v)
{
	u64 *e = &io->r.redir[pin];

	if (high) {
		*e = (u32)*e | (u64)(v & 0xff000000) << 32;
		return;
	}
	*e = (*e & ~0xffffffffull) | (*e & REDIR_READ_ONLY) | (v & REDIR_WRITABLE_LOW);
	if (!(*e & REDIR_LEVEL)) /* switching to edge clears it: how Linux recovers a lost EOI */
		*e &= ~(u64)REDIR_REMOTE_IRR;
	service_level(io, pin);
}

static void write_window(struct ioapic *io, u32 v)
{
	unsigned i = io->r.select;

	if (i == IOAPIC_ID)
		io->r.id = v >> 24 & 15;
	else if (i >= IOAPIC_REDIR && i < IOAPIC_REDIR + 2 * IOAPIC_PINS)
		write_redir(io, (i - IOAPIC_REDIR) / 2, i & 1, v);
}

static u64 ioapic_read(void *dev, struct cpu *cpu, u64 offset, unsigned size)
{
	const struct ioapic *io = dev;

	switch (offset & 0xff) {
	case IOAPIC_REGSEL:
		return io->r.select;
	case IOAPIC_WINDOW:
		return read_window(io);
	}
	return 0;
}

static void ioapic_write(void *dev, struct cpu *cpu, u64 offset, unsigned size, u64 value)
{
	struct ioapic *io = dev;

	switch (offset & 0xff) {
	case IOAPIC_REGSEL:
		io->r.select = (u8)value;
		break;
	case IOAPIC_WINDOW:
		write_window(io, (u32)value);
		break;
	case IOAPIC_EOI:
		ioapic_eoi(io, (u8)value);
	}
}

void ioapic_init(struct ioapic *io, struct machine *m)
{
	io->m = m;
	io->r.id = IOAPIC_APIC_ID;
	for (unsigned pin = 0; pin < IOAPIC_PINS; pin++)
		io->r.redir[pin] = REDIR_MASKED;
	bus_add_mmio(m, IOAPIC_BASE_DEFAULT, 0x1000, ioapic_read, ioapic_write, io, "I/O APIC");
}

bool ioapic_masked(const struct ioapic *io, unsigned pin)
{
	return io->r.redir[pin] & REDIR_MASKED;
}

void ioapic_snap(struct ioapic *io, struct snap *s)
{
	snap_var(s, "ioapic", io->r);
}
