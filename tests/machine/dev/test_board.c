/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PCI configuration, fw_cfg, keyboard controller, resets and the exit port. */
#include "abi/machine.h"
#include "machine/dev/pci.h"
#include "tests/machine/dev/pc.h"

#define ADDRESS(dev, reg) (0x80000000u | (dev) << 11 | (reg))

static void both_mechanisms_show_one_host_bridge(void **state)
{
	struct pc *pc = pc_new("null");

	out32(pc, 0xcf8, ADDRESS(0, 0));
	assert_int_equal(in32(pc, 0xcf8), ADDRESS(0, 0));
	assert_int_equal(in32(pc, 0xcfc), 0x0d578086);
	assert_int_equal(in8(pc, 0xcfe), 0x57);
	assert_int_equal(read32(pc, PCI_ECAM_BASE), 0x0d578086);
	out32(pc, 0xcf8, ADDRESS(0, 8));
	assert_int_equal(in32(pc, 0xcfc), 0x06000000);
	for (unsigned dev = 1; dev < 32; dev++) {
		out32(pc, 0xcf8, ADDRESS(dev, 0));
		assert_int_equal(in32(pc, 0xcfc), 0xffffffff);
		assert_int_equal(read32(pc, PCI_ECAM_BASE + (dev << 15)), 0xffffffff);
	}
	out32(pc, 0xcf8, 0); /* not enabled */
	assert_int_equal(in32(pc, 0xcfc), 0xffffffff);
	pc_free(pc);
}

static void bars_and_ids_are_read_only(void **state)
{
	struct pc *pc = pc_new("null");

	for (unsigned reg = 0; reg < 0x40; reg += 4) {
		out32(pc, 0xcf8, ADDRESS(0, reg));
		out32(pc, 0xcfc, 0xffffffff);
		if (reg >= 0x10 && reg < 0x28) /* no base address registers */
			assert_int_equal(in32(pc, 0xcfc), 0);
	}
	out32(pc, 0xcf8, ADDRESS(0, 0));
	assert_int_equal(in32(pc, 0xcfc), 0x0d578086);
	out32(pc, 0xcf8, ADDRESS(0, 4));
	out8(pc, 0xcfd, 0); /* half of the command register */
	assert_int_equal(in32(pc, 0xcfc), 0x47);
	pc_free(pc);
}

static u64 fw_cfg(struct pc *pc, u16 key, unsigned n)
{
	u64 v = 0;

	bus_pio_write(&pc->m, pc->c, 0x510, 2, key);
	for (unsigned i = 0; i < n; i++)
		v |= (u64)in8(pc, 0x511) << 8 * i;
	return v;
}

static void fw_cfg_tells_memory_and_processors(void **state)
{
	struct pc *pc = pc_new("null");

	assert_int_equal(fw_cfg(pc, 0, 4), 0x554d4551); /* "QEMU" */
	assert_int_equal(fw_cfg(pc, 3, 8), pc->cfg.ram);
	assert_int_equal(fw_cfg(pc, 5, 2), 1);
	assert_int_equal(fw_cfg(pc, 0x19, 8), 0);
	assert_int_equal(fw_cfg(pc, 0x7777, 8), 0);
	pc_free(pc);
}

static void the_keyboard_controller_has_no_devices(void **state)
{
	struct pc *pc = pc_new("null");

	out8(pc, 0x64, 0xaa);
	assert_int_equal(in8(pc, 0x64) & 1, 1);
	assert_int_equal(in8(pc, 0x60), 0x55);
	assert_int_equal(in8(pc, 0x64) & 1, 0);
	out8(pc, 0x60, 0xff); /* reset the keyboard */
	assert_int_equal(in8(pc, 0x60), 0xfe);
	pc_free(pc);
}

static void stops_with(u16 port, u8 v, int status)
{
	struct pc *pc = pc_new("null");

	out8(pc, port, v);
	assert_true(pc->m.stop);
	assert_int_equal(pc->m.exit_status, status);
	assert_true(pc->c->pending & PEND_STOP);
	pc_free(pc);
}

static void resets_end_the_machine(void **state)
{
	stops_with(0x64, 0xfe, STATUS_RESET);
	stops_with(0xcf9, 0x06, STATUS_RESET);
	stops_with(0x92, 0x01, STATUS_RESET);
}

static void ports_set_interrupt_lines(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	out8(pc, 0x2005, 1);
	assert_int_equal(take(pc), -1); /* not without the option */
	pc_free(pc);
	pc = pc_new_with(&(struct machine_config){ .irq_ports = true });
	pic_setup(pc);
	out8(pc, 0x2005, 1);
	assert_int_equal(take(pc), 0x25);
	out8(pc, 0x2005, 0);
	out8(pc, 0x20, 0x20);
	assert_int_equal(take(pc), -1);
	pc_free(pc);
}

static void the_test_device_keeps_what_is_written(void **state)
{
	struct pc *pc = pc_new_with(&(struct machine_config){ .test_device = true });
	hpa_t end = { 0xff00fff8 };

	bus_mmio_write(&pc->m, pc->c, end, 8, 0x1122334455667788);
	bus_mmio_write(&pc->m, pc->c, (hpa_t){ end.v + 2 }, 2, 0xabcd);
	assert_int_equal(bus_mmio_read(&pc->m, pc->c, end, 8), 0x11223344abcd7788);
	assert_int_equal(read32(pc, 0xff010000), 0xffffffff); /* no further */
	out32(pc, 0xe0, 0x44332211);
	out8(pc, 0xe4, 0xee);
	out8(pc, 0xea, 0x99);
	assert_int_equal(in32(pc, 0xe8), 0x44992211);
	assert_int_equal(in8(pc, 0xe3), 0x44);
	pic_setup(pc);
	out32(pc, 0x2004, 0x100); /* as four bytes: line 5 rises */
	assert_int_equal(take(pc), 0x25);
	pc_free(pc);
}

static void the_exit_port_doubles_the_code(void **state)
{
	stops_with(MACHINE_EXIT_PORT, 0, 1);
	stops_with(MACHINE_EXIT_PORT, 3, 7);
	stops_with(MACHINE_EXIT_PORT, 0xff, 0xff);
}

static void the_first_reason_to_stop_counts(void **state)
{
	struct pc *pc = pc_new("null");

	out8(pc, MACHINE_EXIT_PORT, 1);
	out8(pc, 0xcf9, 6);
	assert_int_equal(pc->m.exit_status, 3);
	assert_string_equal(pc->m.stop_reason, "exit port");
	pc_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_mechanisms_show_one_host_bridge),
		cmocka_unit_test(bars_and_ids_are_read_only),
		cmocka_unit_test(fw_cfg_tells_memory_and_processors),
		cmocka_unit_test(the_keyboard_controller_has_no_devices),
		cmocka_unit_test(ports_set_interrupt_lines),
		cmocka_unit_test(the_test_device_keeps_what_is_written),
		cmocka_unit_test(resets_end_the_machine),
		cmocka_unit_test(the_exit_port_doubles_the_code),
		cmocka_unit_test(the_first_reason_to_stop_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
