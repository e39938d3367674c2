/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/machine/dev/pc.h"

#include "machine/oracle/oracle.h"

struct pc *pc_new(const char *serial)
{
	return pc_new_with(&(struct machine_config){ .serial = { serial, "null" } });
}

struct pc *pc_new_with(const struct machine_config *cfg)
{
	struct pc *pc = calloc(1, sizeof(*pc));

	pc->cfg = *cfg;
	pc->cfg.ram = 16 << 20;
	if (!pc->cfg.cpus)
		pc->cfg.cpus = 1;
	pc->cfg.costs = "broadwell";
	pc->cfg.seed = 1;
	pc->cfg.epoch = 1000000000;
	for (unsigned i = 0; i < MACHINE_SERIALS; i++)
		if (!pc->cfg.serial[i])
			pc->cfg.serial[i] = "null";
	pc->m.cfg = &pc->cfg;
	pc->m.costs = cost_table_find("broadwell");
	assert_true(bus_init(&pc->m, pc->cfg.ram));
	assert_int_equal(oracle_init(&pc->m), 0);
	for (unsigned i = 0; i < pc->cfg.cpus; i++)
		assert_non_null(pc->m.cpu[i] = cpu_new(&pc->m, i));
	pc->c = pc->m.cpu[0];
	pc->m.ncpus = pc->cfg.cpus;
	pc->m.running = pc->c;
	assert_int_equal(dev_init(&pc->m, &pc->cfg), 0);
	for (unsigned i = 0; i < pc->cfg.cpus; i++)
		cpu_reset(pc->m.cpu[i]);
	apic_virtual_wire(pc->c->apic);
	return pc;
}

void pc_free(struct pc *pc)
{
	dev_close(&pc->m);
	free(pc);
}

void out8(struct pc *pc, u16 port, u8 v)
{
	bus_pio_write(&pc->m, pc->c, port, 1, v);
}

u8 in8(struct pc *pc, u16 port)
{
	return (u8)bus_pio_read(&pc->m, pc->c, port, 1);
}

void out32(struct pc *pc, u16 port, u32 v)
{
	bus_pio_write(&pc->m, pc->c, port, 4, v);
}

u32 in32(struct pc *pc, u16 port)
{
	return bus_pio_read(&pc->m, pc->c, port, 4);
}

void write32(struct pc *pc, u64 at, u32 v)
{
	bus_mmio_write(&pc->m, pc->c, (hpa_t){ at }, 4, v);
}

u32 read32(struct pc *pc, u64 at)
{
	return (u32)bus_mmio_read(&pc->m, pc->c, (hpa_t){ at }, 4);
}

static void move_to(struct pc *pc, u64 cycle)
{
	pc->c->budget -= (s64)(cycle - cpu_now(pc->c));
	clock_run_due(&pc->m, cpu_now(pc->c));
}

void pass(struct pc *pc, u64 cycles)
{
	u64 end = cpu_now(pc->c) + cycles;

	while (clock_next(&pc->m) <= end)
		to_next_timer(pc);
	move_to(pc, end);
}

u64 to_next_timer(struct pc *pc)
{
	u64 next = clock_next(&pc->m);

	assert_true(next != CYCLES_NONE);
	move_to(pc, next > cpu_now(pc->c) ? next : cpu_now(pc->c));
	return next;
}

void pic_setup(struct pc *pc)
{
	static const struct { u16 port; u8 v; } steps[] = {
		{ 0x20, 0x11 }, { 0x21, 0x20 }, { 0x21, 0x04 }, { 0x21, 0x01 },
		{ 0xa0, 0x11 }, { 0xa1, 0x28 }, { 0xa1, 0x02 }, { 0xa1, 0x01 }, { 0x21, 0x00 }, { 0xa1, 0x00 },
	};

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		out8(pc, steps[i].port, steps[i].v);
}

int take(struct pc *pc)
{
	return apic_pending(pc->c->apic) < 0 ? -1 : (int)apic_ack(pc->c->apic);
}
