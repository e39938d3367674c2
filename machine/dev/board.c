/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/dev/board.h"

#include "abi/machine.h"
#include "machine/core/config.h"
#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/dev/dev.h"
#include "machine/dev/ioapic.h"

#define PORT92_A20   0x02
#define PORT92_RESET 0x01
#define IRQ_PORTS 0x2000
#define KBD_DATA 0x60
#define KBD_STATUS 0x64
#define KBD_STATUS_OUTPUT 0x01
#define KBD_STATUS_SELF_TEST 0x04
#define KBD_STATUS_UNLOCKED 0x10
#define KBD_MODE_DEFAULT 0x34 /* self-test passed, both devices disabled */
#define KBD_TIMEOUT 0xfe      /* what a port without a device answers */

/* A20 cannot be switched off: no guest of this machine runs real-mode code that wraps at 1 MiB. */
static u32 port92_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	const struct board *b = dev;

	return b->r.port92 | PORT92_A20;
}

static void port92_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct board *b = dev;

	if ((value & PORT92_RESET) && !(b->r.port92 & PORT92_RESET))
		machine_stop(b->m, STATUS_RESET, "reset by port 0x92");
	b->r.port92 = value & 0xff;
}

static void answer(struct board *b, u8 v)
{
	b->r.kbd_output = v;
	b->r.kbd_pending = 1;
}

static void kbd_command(struct board *b, u8 v)
{
	b->r.kbd_command = 0;
	if (v >= 0xf0) { /* pulse output lines that are 0; line 0 is the processor's reset */
		if (!(v & 1))
			machine_stop(b->m, STATUS_RESET, "reset by the keyboard controller");
		return;
	}
	switch (v) {
	case 0x20: answer(b, b->r.kbd_mode); break;
	case 0xa9: answer(b, 1); break;    /* test of the auxiliary port: clock line stuck, nothing there */
	case 0xaa: answer(b, 0x55); break; /* self-test */
	case 0xab: answer(b, 1); break;    /* test of the keyboard port */
	case 0xd0: answer(b, 0xcf); break; /* output port: A20 on, no reset */
	case 0x60: case 0xd1: case 0xd2: case 0xd3: case 0xd4:
		b->r.kbd_command = v;
	}
}

static void kbd_data(struct board *b, u8 v)
{
	u8 command = b->r.kbd_command;

	b->r.kbd_command = 0;
	switch (command) {
	case 0x60: b->r.kbd_mode = v; break;
	case 0xd1:
		if (!(v & 1))
			machine_stop(b->m, STATUS_RESET, "reset by the keyboard controller");
		break;
	case 0xd2: case 0xd3: answer(b, v); break;
	default: answer(b, KBD_TIMEOUT); /* to a device */
	}
}

static u32 kbd_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	struct board *b = dev;

	if (port == KBD_STATUS)
		return KBD_STATUS_SELF_TEST | KBD_STATUS_UNLOCKED | (b->r.kbd_pending ? KBD_STATUS_OUTPUT : 0);
	b->r.kbd_pending = 0;
	return b->r.kbd_output;
}

static void kbd_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct board *b = dev;

	if (port == KBD_STATUS)
		kbd_command(b, (u8)value);
	else
		kbd_data(b, (u8)value);
}

static u32 post_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	const struct board *b = dev;

	return b->r.post;
}

static void post_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct board *b = dev;

	b->r.post = (u8)value;
}

static void exit_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct board *b = dev;

	machine_stop(b->m, (int)((value * 2 + 1) & 0xff), "exit port");
}

static u32 exit_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	return 0;
}

static void irq_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct board *b = dev;

	/* A wider access goes to so many ports, as on the ISA bus. */
	for (unsigned i = 0; i < size && port - IRQ_PORTS + i < IOAPIC_PINS; i++)
		irq_set(b->m, port - IRQ_PORTS + i, value >> 8 * i & 0xff);
}

void board_init(struct board *b, struct machine *m)
{
	b->m = m;
	b->r.kbd_mode = KBD_MODE_DEFAULT;
	bus_add_pio(m, 0x92, 1, port92_read, port92_write, b, "port 92h");
	bus_add_pio(m, KBD_DATA, 1, kbd_read, kbd_write, b, "keyboard data");
	bus_add_pio(m, KBD_STATUS, 1, kbd_read, kbd_write, b, "keyboard controller");
	bus_add_pio(m, 0x80, 1, post_read, post_write, b, "POST code");
	bus_add_pio(m, MACHINE_EXIT_PORT, 4, exit_read, exit_write, b, "exit port");
	if (m->cfg && (m->cfg->irq_ports || m->cfg->test_device))
		bus_add_pio(m, IRQ_PORTS, IOAPIC_PINS, NULL, irq_write, b, "interrupt lines");
}

void board_snap(struct board *b, struct snap *s)
{
	snap_var(s, "board", b->r);
}
