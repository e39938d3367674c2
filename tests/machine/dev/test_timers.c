/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PIT, RTC and PM timer in virtual time. */
#include "arch/apic.h"
#include "arch/x86.h"
#include "machine/dev/devices.h"
#include "machine/dev/pit.h"
#include "machine/dev/pm.h"
#include "tests/machine/dev/pc.h"

/* Cycles of n PIT ticks, rounded up. */
static u64 pit_cycles(u64 n)
{
	return (n * TSC_HZ + PIT_HZ - 1) / PIT_HZ;
}

static void pit_load(struct pc *pc, u8 control, u16 port, u16 count)
{
	out8(pc, 0x43, control);
	out8(pc, port, (u8)count);
	out8(pc, port, (u8)(count >> 8));
}

static u16 pit_latch(struct pc *pc, unsigned channel)
{
	u16 v;

	out8(pc, 0x43, (u8)(channel << 6));
	v = in8(pc, (u16)(0x40 + channel));
	return (u16)(v | in8(pc, (u16)(0x40 + channel)) << 8);
}

static void periodic_interrupt_does_not_drift(void **state)
{
	struct pc *pc = pc_new("null");
	u64 start, first;

	pic_setup(pc);
	pit_load(pc, 0x34, 0x40, 11932); /* mode 2, 100 Hz */
	start = cpu_now(pc->c);
	first = to_next_timer(pc);
	assert_in_range(first, start - 20000 + pit_cycles(11932), start + pit_cycles(11932));
	assert_int_equal(take(pc), 0x20);
	out8(pc, 0x20, 0x20);
	for (u64 i = 1; i <= 1000; i++) {
		u64 at = to_next_timer(pc);

		assert_in_range(at - first, pit_cycles(11932 * i) - 1, pit_cycles(11932 * i) + 1);
		assert_int_equal(take(pc), 0x20);
		out8(pc, 0x20, 0x20);
	}
	pc_free(pc);
}

static void one_shot_fires_once(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	pit_load(pc, 0x30, 0x40, 1000);
	assert_int_equal(take(pc), -1);
	to_next_timer(pc);
	assert_int_equal(take(pc), 0x20);
	out8(pc, 0x20, 0x20);
	pass(pc, TSC_HZ);
	assert_int_equal(take(pc), -1);
	pc_free(pc);
}

static void channel_2_counts_while_its_gate_is_open(void **state)
{
	struct pc *pc = pc_new("null");
	u16 before;

	out8(pc, 0x61, 1);
	pit_load(pc, 0xb0, 0x42, 0xffff);
	pass(pc, pit_cycles(10000));
	before = pit_latch(pc, 2);
	assert_in_range(before, 0xffff - 10000 - 20, 0xffff - 10000);
	out8(pc, 0x61, 0);
	before = pit_latch(pc, 2);
	pass(pc, pit_cycles(30000));
	assert_int_equal(pit_latch(pc, 2), before);
	assert_int_equal(in8(pc, 0x61) & 0x20, 0);
	out8(pc, 0x61, 1);
	pass(pc, pit_cycles(0xffff));
	assert_int_equal(in8(pc, 0x61) & 0x20, 0x20);
	pc_free(pc);
}

static bool something_may_come(struct pc *pc)
{
	u64 until = clock_next(&pc->m);

	return dev_idle_wait(&pc->m, &until);
}

static void ticks_that_nobody_hears_wake_nobody(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	pit_load(pc, 0x36, 0x40, 0);
	pc->c->eflags |= EFLAGS_IF;
	assert_true(something_may_come(pc));
	pc->c->eflags &= ~(u64)EFLAGS_IF;
	assert_false(something_may_come(pc));
	pc->c->vmx.on = true; /* with external-interrupt exiting IF does not count */
	assert_true(something_may_come(pc));
	pc->c->vmx.on = false;
	pc->c->eflags |= EFLAGS_IF;
	out8(pc, 0x21, 1);
	assert_false(something_may_come(pc));
	write32(pc, IOAPIC_BASE_DEFAULT + IOAPIC_REGSEL, IOAPIC_REDIR + 2 * 2);
	write32(pc, IOAPIC_BASE_DEFAULT + IOAPIC_WINDOW, 0x30);
	assert_true(something_may_come(pc));
	pc_free(pc);
}

static void read_back_latches_status(void **state)
{
	struct pc *pc = pc_new("null");

	out8(pc, 0x43, 0xb0);
	out8(pc, 0x43, 0xe8); /* status of channel 2 */
	assert_int_equal(in8(pc, 0x42) & 0x7f, 0x70); /* null count, both bytes, mode 0 */
	pit_load(pc, 0xb0, 0x42, 1);
	out8(pc, 0x43, 0xe8);
	assert_int_equal(in8(pc, 0x42) & 0x40, 0);
	pc_free(pc);
}

static u8 cmos(struct pc *pc, u8 i)
{
	out8(pc, 0x70, i);
	return in8(pc, 0x71);
}

static void cmos_write(struct pc *pc, u8 i, u8 v)
{
	out8(pc, 0x70, i);
	out8(pc, 0x71, v);
}

static void rtc_starts_at_the_epoch(void **state)
{
	struct pc *pc = pc_new("null"); /* 2001-09-09 01:46:40, a Sunday */

	assert_int_equal(cmos(pc, 0), 0x40);
	assert_int_equal(cmos(pc, 2), 0x46);
	assert_int_equal(cmos(pc, 4), 0x01);
	assert_int_equal(cmos(pc, 6), 0x01);
	assert_int_equal(cmos(pc, 7), 0x09);
	assert_int_equal(cmos(pc, 8), 0x09);
	assert_int_equal(cmos(pc, 9), 0x01);
	assert_int_equal(cmos(pc, 0x32), 0x20);
	pass(pc, 25 * TSC_HZ);
	assert_int_equal(cmos(pc, 0), 0x05);
	assert_int_equal(cmos(pc, 2), 0x47);
	pc_free(pc);
}

static void rtc_can_be_set(void **state)
{
	struct pc *pc = pc_new("null");

	cmos_write(pc, 11, 0x82 | 0x04); /* SET, binary, 24 hours */
	cmos_write(pc, 0, 59);
	cmos_write(pc, 2, 59);
	cmos_write(pc, 4, 23);
	cmos_write(pc, 7, 28);
	cmos_write(pc, 8, 2);
	cmos_write(pc, 9, 4);
	cmos_write(pc, 11, 0x06);
	pass(pc, 2 * TSC_HZ);
	assert_in_range(cmos(pc, 0), 0, 1);
	assert_int_equal(cmos(pc, 7), 29); /* 2004 is a leap year */
	assert_int_equal(cmos(pc, 8), 2);
	pc_free(pc);
}

static void rtc_update_in_progress_is_seen_before_the_second(void **state)
{
	struct pc *pc = pc_new("null");

	pass(pc, TSC_HZ - cpu_now(pc->c) % TSC_HZ - 100000);
	assert_int_equal(cmos(pc, 10) & 0x80, 0x80);
	pass(pc, 200000);
	assert_int_equal(cmos(pc, 10) & 0x80, 0);
	pc_free(pc);
}

static void rtc_periodic_interrupt_waits_for_register_c(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	cmos_write(pc, 11, 0x42); /* PIE; 1024 Hz */
	pass(pc, TSC_HZ / 1000);
	assert_int_equal(take(pc), 0x28);
	out8(pc, 0xa0, 0x20);
	out8(pc, 0x20, 0x20);
	pass(pc, TSC_HZ);
	assert_int_equal(take(pc), -1);
	assert_int_equal(cmos(pc, 12) & 0xc0, 0xc0);
	assert_int_equal(cmos(pc, 12), 0);
	pass(pc, TSC_HZ / 1000);
	assert_int_equal(take(pc), 0x28);
	pc_free(pc);
}

static void rtc_alarm_interrupts_at_its_second(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	cmos_write(pc, 1, 0x43);
	cmos_write(pc, 3, 0xff);
	cmos_write(pc, 5, 0xff);
	cmos_write(pc, 11, 0x22);
	pass(pc, 2 * TSC_HZ + TSC_HZ / 2);
	assert_int_equal(take(pc), -1);
	pass(pc, TSC_HZ);
	assert_int_equal(take(pc), 0x28);
	assert_int_equal(cmos(pc, 12) & 0xa0, 0xa0);
	pc_free(pc);
}

static void pm_timer_runs_at_its_frequency(void **state)
{
	struct pc *pc = pc_new("null");
	u32 before = in32(pc, PM_TIMER);

	pass(pc, TSC_HZ);
	assert_in_range(in32(pc, PM_TIMER) - before, PM_TIMER_HZ, PM_TIMER_HZ + 20);
	pc_free(pc);
}

static void an_alarm_wakes_from_s3(void **state)
{
	const u32 vector = 0x12345;
	struct pc *pc = pc_new("null");

	bus_dma_write(&pc->m, (hpa_t){ 0xe0040 + 12 }, &vector, sizeof(vector));
	bus_pio_write(&pc->m, pc->c, PM1A_EVENT + 2, 2, 0x400);
	for (u8 reg = 1; reg <= 5; reg += 2)
		out8(pc, 0x70, reg), out8(pc, 0x71, 0xff);
	out8(pc, 0x70, 11), out8(pc, 0x71, 0x22);
	bus_pio_write(&pc->m, pc->c, PM1A_CONTROL, 2, 0x2400);
	assert_int_equal(pc->c->activity, ACTIVE); /* without a BIOS nothing can wake it: there is no S3 */
	pm_offer_sleep(&pc->m.dev->pm);
	pit_load(pc, 0x36, 0x40, 0);
	bus_pio_write(&pc->m, pc->c, PM1A_CONTROL, 2, 0x2400);
	assert_int_equal(pc->c->activity, WAIT_SIPI);
	pass(pc, TSC_HZ);
	assert_int_equal(pc->c->activity, ACTIVE);
	assert_int_equal(pc->c->seg[CS].sel, 0x1234);
	assert_int_equal(pc->c->seg[CS].base, 0x12340);
	assert_int_equal(pc->c->rip, 5);
	assert_int_equal(pc->c->cr0 & CR0_PE, 0);
	assert_int_equal(bus_pio_read(&pc->m, pc->c, PM1A_EVENT, 2) & 0x8400, 0x8400);
	pc_free(pc);
}

static void pm_control_powers_off(void **state)
{
	struct pc *pc = pc_new("null");

	bus_pio_write(&pc->m, pc->c, PM1A_CONTROL, 2, SLEEP_TYPE_S5 << 10);
	assert_false(pc->m.stop);
	bus_pio_write(&pc->m, pc->c, PM1A_CONTROL, 2, SLEEP_TYPE_S5 << 10 | 0x2000);
	assert_true(pc->m.stop);
	assert_int_equal(pc->m.exit_status, STATUS_OK);
	pc_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(periodic_interrupt_does_not_drift),
		cmocka_unit_test(one_shot_fires_once),
		cmocka_unit_test(channel_2_counts_while_its_gate_is_open),
		cmocka_unit_test(ticks_that_nobody_hears_wake_nobody),
		cmocka_unit_test(read_back_latches_status),
		cmocka_unit_test(rtc_starts_at_the_epoch),
		cmocka_unit_test(rtc_can_be_set),
		cmocka_unit_test(rtc_update_in_progress_is_seen_before_the_second),
		cmocka_unit_test(rtc_periodic_interrupt_waits_for_register_c),
		cmocka_unit_test(rtc_alarm_interrupts_at_its_second),
		cmocka_unit_test(pm_timer_runs_at_its_frequency),
		cmocka_unit_test(an_alarm_wakes_from_s3),
		cmocka_unit_test(pm_control_powers_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
