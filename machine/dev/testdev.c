/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/dev/testdev.h"

#include <string.h>

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"

#define BANK 4      /* ports of each copy of the register */
#define BANKS 3     /* the register, the port without effect, the register again */
#define NO_EFFECT 1

/* Of a processor's accesses only aligned parts reach a device; whoever else asks gets no further than the end. */
static unsigned within(u64 offset, unsigned size)
{
	return offset + size <= TESTDEV_SIZE ? size : (unsigned)(TESTDEV_SIZE - offset);
}

static u64 memory_read(void *dev, struct cpu *c, u64 offset, unsigned size)
{
	const struct testdev *t = dev;
	u64 v = 0;

	memcpy(&v, t->memory + offset, within(offset, size));
	return v;
}

static void memory_write(void *dev, struct cpu *c, u64 offset, unsigned size, u64 value)
{
	struct testdev *t = dev;

	memcpy(t->memory + offset, &value, within(offset, size));
}

static unsigned bank_of(u16 port)
{
	return (unsigned)(port - TESTDEV_PORTS) / BANK;
}

/* An access that begins within the register wraps around in it. */
static u32 port_read(void *dev, struct cpu *c, u16 port, unsigned size)
{
	const struct testdev *t = dev;
	u32 v = 0;

	for (unsigned i = 0; i < size && bank_of(port) != NO_EFFECT; i++)
		v |= (u32)t->port[(port + i) % BANK] << 8 * i;
	return v;
}

static void port_write(void *dev, struct cpu *c, u16 port, unsigned size, u32 value)
{
	struct testdev *t = dev;

	for (unsigned i = 0; i < size && bank_of(port) != NO_EFFECT; i++)
		t->port[(port + i) % BANK] = (u8)(value >> 8 * i);
}

void testdev_init(struct testdev *t, struct machine *m)
{
	bus_add_mmio(m, TESTDEV_MEMORY, TESTDEV_SIZE, memory_read, memory_write, t, "test memory");
	bus_add_pio(m, TESTDEV_PORTS, BANKS * BANK, port_read, port_write, t, "test register");
}

void testdev_snap(struct testdev *t, struct snap *s)
{
	snap_var(s, "test.memory", t->memory);
	snap_var(s, "test.port", t->port);
}
