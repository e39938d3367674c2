/* SPDX-License-Identifier: GPL-2.0-or-later */
/* 8259 priorities and I/O APIC routing. */
#include "arch/apic.h"
#include "tests/machine/dev/pc.h"

#define OCW2_EOI 0x20

static void higher_inputs_win_and_block_lower_ones(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	irq_set(&pc->m, 6, true);
	irq_set(&pc->m, 5, true);
	assert_int_equal(take(pc), 0x25);
	assert_int_equal(take(pc), -1); /* 6 waits for the end of 5 */
	irq_set(&pc->m, 1, true);
	assert_int_equal(take(pc), 0x21); /* nested */
	out8(pc, 0x20, OCW2_EOI);
	assert_int_equal(take(pc), -1);
	out8(pc, 0x20, OCW2_EOI);
	assert_int_equal(take(pc), 0x26);
	pc_free(pc);
}

static void the_slave_comes_through_input_2(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	irq_set(&pc->m, 3, true);
	irq_set(&pc->m, 12, true);
	assert_int_equal(take(pc), 0x2c); /* the slave is at 2, above 3 */
	irq_set(&pc->m, 8, true);
	assert_int_equal(take(pc), -1); /* not in special fully nested mode: input 2 is in service */
	out8(pc, 0xa0, OCW2_EOI);
	out8(pc, 0x20, OCW2_EOI);
	assert_int_equal(take(pc), 0x28);
	out8(pc, 0xa0, OCW2_EOI);
	out8(pc, 0x20, OCW2_EOI);
	assert_int_equal(take(pc), 0x23);
	pc_free(pc);
}

static void a_mask_hides_and_keeps_a_request(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	out8(pc, 0x21, 0x10);
	irq_set(&pc->m, 4, true);
	assert_int_equal(take(pc), -1);
	out8(pc, 0x20, 0x0a);
	assert_int_equal(in8(pc, 0x20), 0x10);
	out8(pc, 0x21, 0);
	assert_int_equal(take(pc), 0x24);
	out8(pc, 0x20, 0x0b);
	assert_int_equal(in8(pc, 0x20), 0x10);
	pc_free(pc);
}

static void an_edge_counts_once_and_a_level_stays(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	out8(pc, 0x4d0, 0x20); /* input 5 by level */
	irq_set(&pc->m, 4, true);
	assert_int_equal(take(pc), 0x24);
	out8(pc, 0x20, OCW2_EOI);
	assert_int_equal(take(pc), -1);
	irq_set(&pc->m, 5, true);
	assert_int_equal(take(pc), 0x25);
	out8(pc, 0x20, OCW2_EOI);
	assert_int_equal(take(pc), 0x25);
	irq_set(&pc->m, 5, false);
	out8(pc, 0x20, OCW2_EOI);
	assert_int_equal(take(pc), -1);
	pc_free(pc);
}

static void rotation_moves_the_lowest_priority(void **state)
{
	struct pc *pc = pc_new("null");

	pic_setup(pc);
	out8(pc, 0x20, 0xc3); /* 3 is lowest: 4 is highest */
	irq_set(&pc->m, 0, true);
	irq_set(&pc->m, 4, true);
	assert_int_equal(take(pc), 0x24);
	out8(pc, 0x20, 0xa0); /* rotate on EOI: now 4 is lowest */
	irq_set(&pc->m, 4, false);
	irq_set(&pc->m, 4, true);
	assert_int_equal(take(pc), 0x20);
	pc_free(pc);
}

static void a_request_that_goes_away_is_spurious(void **state)
{
	struct pc *pc = pc_new("null");
	unsigned v;

	pic_setup(pc);
	irq_set(&pc->m, 4, true);
	assert_true(apic_pending(pc->c->apic) >= 0);
	irq_set(&pc->m, 4, false);
	assert_int_equal(apic_pending(pc->c->apic), -1);
	out8(pc, 0x20, 0x0c); /* poll: nothing there */
	v = in8(pc, 0x20);
	assert_int_equal(v, 0);
	pc_free(pc);
}

#define IO IOAPIC_BASE_DEFAULT

static void redirect(struct pc *pc, unsigned pin, u32 low, u32 dest)
{
	write32(pc, IO + IOAPIC_REGSEL, IOAPIC_REDIR + 2 * pin + 1);
	write32(pc, IO + IOAPIC_WINDOW, dest << 24);
	write32(pc, IO + IOAPIC_REGSEL, IOAPIC_REDIR + 2 * pin);
	write32(pc, IO + IOAPIC_WINDOW, low);
}

static u32 redirection(struct pc *pc, unsigned pin)
{
	write32(pc, IO + IOAPIC_REGSEL, IOAPIC_REDIR + 2 * pin);
	return read32(pc, IO + IOAPIC_WINDOW);
}

static void eoi(struct pc *pc)
{
	write32(pc, MSI_ADDRESS_BASE + LAPIC_EOI, 0);
}

static void io_apic_has_24_masked_pins(void **state)
{
	struct pc *pc = pc_new("null");

	write32(pc, IO + IOAPIC_REGSEL, IOAPIC_VERSION);
	assert_int_equal(read32(pc, IO + IOAPIC_WINDOW) >> 16, 23);
	for (unsigned i = 0; i < 24; i++)
		assert_int_equal(redirection(pc, i), REDIR_MASKED);
	pc_free(pc);
}

static void io_apic_edge_is_sent_once(void **state)
{
	struct pc *pc = pc_new("null");

	redirect(pc, 4, 0x41, 0);
	irq_set(&pc->m, 4, true);
	assert_int_equal(take(pc), 0x41);
	eoi(pc);
	assert_int_equal(take(pc), -1);
	irq_set(&pc->m, 4, false);
	irq_set(&pc->m, 4, true);
	assert_int_equal(take(pc), 0x41);
	pc_free(pc);
}

static void io_apic_level_is_sent_again_after_eoi(void **state)
{
	struct pc *pc = pc_new("null");

	redirect(pc, 9, 0x59 | REDIR_LEVEL, 0);
	irq_set(&pc->m, 9, true);
	assert_int_equal(take(pc), 0x59);
	assert_true(redirection(pc, 9) & REDIR_REMOTE_IRR);
	assert_int_equal(take(pc), -1);
	eoi(pc);
	assert_int_equal(take(pc), 0x59);
	irq_set(&pc->m, 9, false);
	eoi(pc);
	assert_int_equal(take(pc), -1);
	assert_false(redirection(pc, 9) & REDIR_REMOTE_IRR);
	pc_free(pc);
}

static void io_apic_level_waits_behind_a_mask(void **state)
{
	struct pc *pc = pc_new("null");

	redirect(pc, 9, 0x59 | REDIR_LEVEL | REDIR_MASKED, 0);
	irq_set(&pc->m, 9, true);
	assert_int_equal(take(pc), -1);
	redirect(pc, 9, 0x59 | REDIR_LEVEL, 0);
	assert_int_equal(take(pc), 0x59);
	pc_free(pc);
}

static void io_apic_goes_by_destination(void **state)
{
	struct pc *pc = pc_new("null");

	redirect(pc, 4, 0x41, 5); /* nobody has this ID */
	irq_set(&pc->m, 4, true);
	assert_int_equal(take(pc), -1);
	irq_set(&pc->m, 4, false);
	write32(pc, MSI_ADDRESS_BASE + LAPIC_LDR, 0x02000000);
	redirect(pc, 4, 0x42 | REDIR_LOGICAL, 3);
	irq_set(&pc->m, 4, true);
	assert_int_equal(take(pc), 0x42);
	pc_free(pc);
}

static void the_pit_is_at_pin_2(void **state)
{
	struct pc *pc = pc_new("null");

	redirect(pc, 2, 0x50, 0);
	irq_set(&pc->m, 0, true);
	assert_int_equal(take(pc), 0x50);
	pc_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(higher_inputs_win_and_block_lower_ones),
		cmocka_unit_test(the_slave_comes_through_input_2),
		cmocka_unit_test(a_mask_hides_and_keeps_a_request),
		cmocka_unit_test(an_edge_counts_once_and_a_level_stays),
		cmocka_unit_test(rotation_moves_the_lowest_priority),
		cmocka_unit_test(a_request_that_goes_away_is_spurious),
		cmocka_unit_test(io_apic_has_24_masked_pins),
		cmocka_unit_test(io_apic_edge_is_sent_once),
		cmocka_unit_test(io_apic_level_is_sent_again_after_eoi),
		cmocka_unit_test(io_apic_level_waits_behind_a_mask),
		cmocka_unit_test(io_apic_goes_by_destination),
		cmocka_unit_test(the_pit_is_at_pin_2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
