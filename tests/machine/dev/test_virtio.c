/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtio over PCI: configuration space, negotiation, interrupts, and drivers that break the rules. The entropy device serves. */
#include "machine/dev/pci.h"
#include "tests/machine/dev/virtio_driver.h"

#define SLOT 6 /* of the entropy device */
#define ROOM 64
#define NEEDS_RESET 0x40

static struct pc *pc_rng(void)
{
	return pc_new_with(&(struct machine_config){ .rng = true });
}

static struct vdev start_rng(unsigned size, u32 features)
{
	return driver_start(pc_rng(), SLOT, size, features);
}

static void ask(struct vdev *d)
{
	request(d, 0, &(struct part){ BUFFERS_AT, ROOM, WRITE }, 1);
}

static void capabilities_can_be_found(void **state)
{
	struct pc *pc = pc_rng();
	unsigned seen = 0, cap;

	assert_int_equal(config_read(pc, SLOT, 0), 0x10441af4);
	assert_int_equal(config_read(pc, SLOT, 8) >> 8, 0x00ff00);
	assert_int_equal(config_read(pc, SLOT, 8) & 0xff, 1);
	assert_int_equal(read32(pc, PCI_ECAM_BASE + (SLOT << 15)), 0x10441af4);
	assert_int_equal(read32(pc, PCI_ECAM_BASE + (SLOT << 15) + 0x1000), 0xffffffff); /* function 1 */
	assert_int_equal(config_read(pc, SLOT, 4) >> 20 & 1, 1);
	for (cap = config_read(pc, SLOT, 0x34) & 0xff; cap; cap = config_read(pc, SLOT, cap) >> 8 & 0xff) {
		u32 first = config_read(pc, SLOT, cap);

		if ((first & 0xff) == 0x11) {
			assert_int_equal(first >> 16 & 0x7ff, 1); /* two vectors */
			seen |= 1;
		} else {
			assert_int_equal(first & 0xff, 0x09);
			seen |= 1u << (first >> 24);
		}
	}
	assert_int_equal(seen, 1 | 1u << 1 | 1u << 2 | 1u << 3 | 1u << 5); /* this device has no configuration of its own */
	pc_free(pc);
}

static void a_bar_is_where_software_puts_it(void **state)
{
	struct vdev d = start_rng(8, 0);

	config_write(d.pc, SLOT, 0x10, 0xffffffff);
	assert_int_equal(config_read(d.pc, SLOT, 0x10), 0xffff8000);
	config_write(d.pc, SLOT, 0x10, 0xd0000000);
	assert_int_equal(reg_read(&d, 18, 2), 0xffff);
	d.bar = 0xd0000000;
	assert_int_equal(reg_read(&d, 18, 2), 1);
	assert_int_equal(reg_read(&d, 0x7ffe, 8), 0);
	config_write(d.pc, SLOT, 4, 4);
	assert_int_equal(reg_read(&d, 18, 2), 0xffff);
	pc_free(d.pc);
}

static void features_are_negotiated(void **state)
{
	struct vdev d = start_rng(8, 0);

	reg_write(&d, 0, 4, 1);
	assert_int_equal(reg_read(&d, 4, 4), 1); /* VERSION_1 */
	reg_write(&d, 0, 4, 0);
	assert_int_equal(reg_read(&d, 4, 4), 0x30000000);
	reg_write(&d, 0, 4, 2);
	assert_int_equal(reg_read(&d, 4, 4), 0);
	for (unsigned bad = 0; bad < 2; bad++) { /* not version 1; what was not offered */
		reg_write(&d, 20, 1, 0);
		reg_write(&d, 20, 1, 3);
		reg_write(&d, 8, 4, bad ? 0 : 1);
		reg_write(&d, 12, 4, bad ? 1 : 0);
		reg_write(&d, 20, 1, 0x0b);
		assert_int_equal(status(&d), 3);
	}
	pc_free(d.pc);
}

static void queues_are_fixed_once_enabled(void **state)
{
	struct vdev d = start_rng(8, 0);

	reg_write(&d, 24, 2, 16);
	assert_int_equal(reg_read(&d, 24, 2), 8);
	reg_write(&d, 32, 4, 0x5000);
	assert_int_equal(reg_read(&d, 32, 8), DESC_AT(0));
	reg_write(&d, 22, 2, 1); /* there is none */
	assert_int_equal(reg_read(&d, 24, 2), 0);
	reg_write(&d, 20, 1, 0);
	assert_int_equal(reg_read(&d, 24, 2), 256);
	reg_write(&d, 24, 2, 100);
	assert_int_equal(reg_read(&d, 24, 2), 256);
	reg_write(&d, 24, 2, 512);
	assert_int_equal(reg_read(&d, 24, 2), 256);
	reg_write(&d, 32, 8, 0x123456789abcdef0);
	assert_int_equal(reg_read(&d, 32, 8), 0x123456789abcdef0);
	pc_free(d.pc);
}

static void entropy_follows_from_the_seed(void **state)
{
	u8 a[ROOM], b[ROOM], zero[ROOM] = { 0 };

	for (unsigned i = 0; i < 2; i++) {
		struct vdev d = start_rng(8, 0);
		u32 head, n;

		ask(&d);
		to_next_timer(d.pc);
		used_entry(&d, 0, 0, &head, &n);
		assert_int_equal(n, ROOM);
		get(d.pc, BUFFERS_AT, i ? b : a, ROOM);
		pc_free(d.pc);
	}
	assert_memory_equal(a, b, ROOM);
	assert_true(memcmp(a, zero, ROOM) != 0);
}

static void msix_messages_go_to_the_apic(void **state)
{
	struct vdev d = start_rng(8, 0);

	write32(d.pc, 0xfee000f0, 0x1ff); /* the APIC is enabled */
	driver_msix(&d, 0x40);
	ask(&d);
	assert_int_equal(take(d.pc), -1);
	to_next_timer(d.pc);
	assert_int_equal(take(d.pc), 0x41);
	reg_write(&d, 0x401c, 4, 1); /* this vector is masked */
	offer(&d, 0, 0);
	to_next_timer(d.pc);
	assert_int_equal(take(d.pc), -1);
	assert_int_equal(reg_read(&d, 0x5000, 4), 2);
	write32(d.pc, 0xfee000b0, 0);
	reg_write(&d, 0x401c, 4, 0);
	assert_int_equal(take(d.pc), 0x41);
	assert_int_equal(reg_read(&d, 0x5000, 4), 0);
	write32(d.pc, 0xfee000b0, 0);
	reg_write(&d, 0x4010, 4, BUFFERS_AT + 0x800); /* an address that is memory */
	offer(&d, 0, 0);
	to_next_timer(d.pc);
	assert_int_equal(take(d.pc), -1);
	assert_int_equal(d.pc->m.bus.ram[BUFFERS_AT + 0x800], 0x41);
	pc_free(d.pc);
}

static void without_msix_there_is_a_line(void **state)
{
	struct vdev d = start_rng(8, 0);

	write32(d.pc, 0xfee000f0, 0x1ff);
	write32(d.pc, 0xfec00000, 0x10 + 2 * PCI_PIN(SLOT));
	write32(d.pc, 0xfec00010, 0xa000 | 0x51); /* level, active low */
	ask(&d);
	to_next_timer(d.pc);
	assert_int_equal(config_read(d.pc, SLOT, 4) >> 19 & 1, 1);
	assert_int_equal(take(d.pc), 0x51);
	assert_int_equal(reg_read(&d, 0x1000, 1), 1);
	assert_int_equal(reg_read(&d, 0x1000, 1), 0);
	assert_int_equal(config_read(d.pc, SLOT, 4) >> 19 & 1, 0);
	write32(d.pc, 0xfee000b0, 0);
	assert_int_equal(take(d.pc), -1);
	config_write(d.pc, SLOT, 4, 0x406); /* the line is disabled */
	offer(&d, 0, 0);
	to_next_timer(d.pc);
	assert_int_equal(take(d.pc), -1);
	config_write(d.pc, SLOT, 4, 0x006);
	assert_int_equal(take(d.pc), 0x51);
	pc_free(d.pc);
}

/* Interrupts after each of four requests, as bits. */
static unsigned interrupts(u32 features, u16 flags, u16 event)
{
	struct vdev d = start_rng(8, features);
	unsigned got = 0;

	put(d.pc, DRIVER_AT(0), &flags, 2);
	put(d.pc, DRIVER_AT(0) + 4 + 2 * 8, &event, 2);
	for (unsigned i = 0; i < 4; i++) {
		i ? offer(&d, 0, 0) : ask(&d);
		to_next_timer(d.pc);
		got |= (unsigned)(reg_read(&d, 0x1000, 1) & 1) << i;
	}
	pc_free(d.pc);
	return got;
}

static void interrupts_come_when_they_are_wanted(void **state)
{
	assert_int_equal(interrupts(0, 0, 0), 15);
	assert_int_equal(interrupts(0, 1, 0), 0);
	assert_int_equal(interrupts(1u << 29, 0, 0), 1);
	assert_int_equal(interrupts(1u << 29, 1, 2), 4);
	assert_int_equal(interrupts(1u << 29, 0, 100), 0);
}

static void the_event_index_says_where_the_device_is(void **state)
{
	struct vdev d = start_rng(8, 1u << 29);
	u16 v = 99;

	ask(&d);
	to_next_timer(d.pc);
	get(d.pc, DEVICE_AT(0) + 4 + 8 * 8, &v, 2);
	assert_int_equal(v, 1);
	pc_free(d.pc);
}

static void a_table_of_its_own_is_followed(void **state)
{
	struct { u64 at; u32 n; u16 flags, next; } table[3] = {
		{ BUFFERS_AT, 16, WRITE | NEXT, 2 }, { 0 }, { BUFFERS_AT + 16, ROOM - 16, WRITE, 0 },
	};
	struct vdev d = start_rng(8, 1u << 28);
	u32 head, n;

	put(d.pc, BUFFERS_AT + 0x1000, table, sizeof(table));
	set_desc(&d, 0, 5, BUFFERS_AT + 0x1000, sizeof(table), INDIRECT, 0);
	offer(&d, 0, 5);
	to_next_timer(d.pc);
	used_entry(&d, 0, 0, &head, &n);
	assert_int_equal(head, 5);
	assert_int_equal(n, ROOM);
	pc_free(d.pc);
}

static void configuration_space_has_a_window(void **state)
{
	struct vdev d = start_rng(8, 0);
	unsigned cap = 0x34, last = 0;

	for (cap = config_read(d.pc, SLOT, 0x34) & 0xff; cap; cap = config_read(d.pc, SLOT, cap) >> 8 & 0xff)
		last = cap;
	config_write(d.pc, SLOT, last + 8, 18);
	config_write(d.pc, SLOT, last + 12, 2);
	assert_int_equal(config_read(d.pc, SLOT, last + 16) & 0xffff, 1); /* number of queues */
	config_write(d.pc, SLOT, last + 8, 20);
	config_write(d.pc, SLOT, last + 12, 1);
	config_write(d.pc, SLOT, last + 16, 0);
	assert_int_equal(status(&d), 0);
	config_write(d.pc, SLOT, last + 8, 0xfffffffc); /* far outside */
	config_write(d.pc, SLOT, last + 12, 4);
	config_read(d.pc, SLOT, last + 16);
	pc_free(d.pc);
}

static void only_a_bus_master_reaches_memory(void **state)
{
	struct vdev d = start_rng(8, 0);

	config_write(d.pc, SLOT, 4, 2);
	ask(&d);
	pass(d.pc, 1000000);
	assert_int_equal(used_index(&d, 0), 0);
	pc_free(d.pc);
}

/* The driver has broken a rule: the device says so, does nothing more, and works again after a reset. */
static void is_broken(struct vdev *d)
{
	pass(d->pc, 1000000);
	assert_int_equal(status(d) & NEEDS_RESET, NEEDS_RESET);
	assert_int_equal(used_index(d, 0), 0);
	assert_int_equal(reg_read(d, 0x1000, 1), 2); /* the configuration has changed */
	driver_init(d, 1, 1u << 28);
	ask(d);
	to_next_timer(d->pc);
	assert_int_equal(used_index(d, 0), 1);
	assert_int_equal(status(d) & NEEDS_RESET, 0);
	pc_free(d->pc);
}

static void bad_descriptors_break_the_device(void **state)
{
	static const struct { u64 at; u32 n; u16 flags, next; } bad[] = {
		{ 0xc0000000, 16, WRITE, 0 },           /* not RAM */
		{ 0xfee00000, 16, WRITE, 0 },
		{ (16 << 20) - 8, 16, WRITE, 0 },       /* half of it */
		{ ~0ull, 16, WRITE, 0 },                /* wraps around */
		{ ~0ull - 4095, 0xffffffff, WRITE, 0 },
		{ BUFFERS_AT, 0, WRITE, 0 },            /* no bytes */
		{ BUFFERS_AT, 16, WRITE | NEXT, 0 },    /* a loop */
		{ BUFFERS_AT, 16, WRITE | NEXT, 8 },    /* outside the table */
		{ BUFFERS_AT, 16, WRITE | NEXT, 0xffff },
		{ BUFFERS_AT, 15, INDIRECT, 0 },        /* not whole entries */
		{ BUFFERS_AT, 0, INDIRECT, 0 },
		{ 0xc0000000, 16, INDIRECT, 0 },
		{ BUFFERS_AT, 16, INDIRECT | NEXT, 1 }, /* more behind a table of its own */
	};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vdev d = start_rng(8, 1u << 28);

		set_desc(&d, 0, 1, BUFFERS_AT, 16, WRITE, 0);
		set_desc(&d, 0, 0, bad[i].at, bad[i].n, bad[i].flags, bad[i].next);
		offer(&d, 0, 0);
		is_broken(&d);
	}
}

static void a_table_within_a_table_breaks_the_device(void **state)
{
	struct { u64 at; u32 n; u16 flags, next; } inner = { BUFFERS_AT, 16, INDIRECT, 0 };
	struct vdev d = start_rng(8, 1u << 28);

	put(d.pc, BUFFERS_AT, &inner, sizeof(inner));
	set_desc(&d, 0, 0, BUFFERS_AT, 16, INDIRECT, 0);
	offer(&d, 0, 0);
	is_broken(&d);
	d = start_rng(8, 0); /* not negotiated */
	set_desc(&d, 0, 0, BUFFERS_AT, 16, INDIRECT, 0);
	offer(&d, 0, 0);
	is_broken(&d);
}

static void bad_rings_break_the_device(void **state)
{
	struct vdev d = start_rng(8, 0);

	d.avail[0] = 8; /* nine at once in a queue of eight */
	ask(&d);
	is_broken(&d);
	d = start_rng(8, 0);
	offer(&d, 0, 8);
	is_broken(&d);
	d = start_rng(8, 0); /* what is read lies behind what is written */
	request(&d, 0, (struct part[2]){ { BUFFERS_AT, 16, WRITE }, { BUFFERS_AT, 16, 0 } }, 2);
	is_broken(&d);
}

static void queues_outside_memory_break_the_device(void **state)
{
	for (unsigned part = 0; part < 3; part++) {
		struct vdev d = start_rng(8, 0);

		reg_write(&d, 20, 1, 0);
		reg_write(&d, 8, 4, 1);
		reg_write(&d, 12, 4, 1);
		reg_write(&d, 20, 1, 0x0b);
		reg_write(&d, 24, 2, 8);
		for (unsigned i = 0; i < 3; i++)
			reg_write(&d, 32 + 8 * i, 8, i == part ? ~0xfffull : DESC_AT(0) + 0x2000 * i);
		reg_write(&d, 28, 2, 1);
		reg_write(&d, 20, 1, 0x0f);
		ask(&d);
		pass(d.pc, 1000000);
		assert_int_equal(status(&d) & NEEDS_RESET, NEEDS_RESET);
		pc_free(d.pc);
	}
}

static u64 random_state = 1;

static u64 rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* A value that may mean something: small, an address of the queues, or anything. */
static u64 value(void)
{
	switch (rnd() % 4) {
	case 0: return rnd() % 16;
	case 1: return DESC_AT(rnd() % 2) + (rnd() & 0x7ff8);
	case 2: return rnd() % (20u << 20);
	}
	return rnd();
}

/* Random accesses to registers, configuration space and queues: nothing outside the guest's memory is touched. */
static void nonsense_does_no_harm(void **state)
{
	struct pc *pc = pc_new_with(&(struct machine_config){ .rng = true, .net = "peer" });
	static const u8 sizes[] = { 1, 2, 4, 8 };

	for (unsigned i = 0; i < 60000; i++) {
		unsigned slot = 5 + rnd() % 2;
		struct vdev d = { .pc = pc, .slot = slot, .size = 8 };

		d.bar = config_read(pc, slot, 0x10);
		switch (rnd() % 8) {
		case 0:
			config_write(pc, SLOT - 1, 0x10, 0xd0000000);
			config_write(pc, SLOT, 0x10, 0xd0100000);
			driver_start(pc, slot, 8, (u32)rnd() & 0x30000000);
			break;
		case 1: config_write(pc, slot, rnd() % 256, (u32)value()); break;
		case 2: config_read(pc, slot, rnd() % 256); break;
		case 3: reg_write(&d, (rnd() % 6 << 12) + rnd() % 64, sizes[rnd() % 4], value()); break;
		case 4: reg_read(&d, rnd() % 0x8000, sizes[rnd() % 4]); break;
		case 5: pc->m.bus.ram[DESC_AT(rnd() % 2) + rnd() % 0x4200] = (u8)value(); break;
		case 6: set_desc(&d, rnd() % 2, rnd() % 8, value(), (u32)value(), rnd() % 8, rnd() % 9); break;
		case 7:
			d.avail[0] = d.avail[1] = (u16)(rnd() % 8);
			offer(&d, rnd() % 2, (u16)(rnd() % 9));
			pass(pc, rnd() % 10000);
		}
	}
	pc_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capabilities_can_be_found),
		cmocka_unit_test(a_bar_is_where_software_puts_it),
		cmocka_unit_test(features_are_negotiated),
		cmocka_unit_test(queues_are_fixed_once_enabled),
		cmocka_unit_test(entropy_follows_from_the_seed),
		cmocka_unit_test(msix_messages_go_to_the_apic),
		cmocka_unit_test(without_msix_there_is_a_line),
		cmocka_unit_test(interrupts_come_when_they_are_wanted),
		cmocka_unit_test(the_event_index_says_where_the_device_is),
		cmocka_unit_test(a_table_of_its_own_is_followed),
		cmocka_unit_test(configuration_space_has_a_window),
		cmocka_unit_test(only_a_bus_master_reaches_memory),
		cmocka_unit_test(bad_descriptors_break_the_device),
		cmocka_unit_test(a_table_within_a_table_breaks_the_device),
		cmocka_unit_test(bad_rings_break_the_device),
		cmocka_unit_test(queues_outside_memory_break_the_device),
		cmocka_unit_test(nonsense_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
