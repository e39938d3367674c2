/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC: priorities, modes, timer, IPIs. */
#include "arch/apic.h"
#include "arch/msrs.h"
#include "tests/machine/dev/pc.h"

#define X2(offset) (IA32_X2APIC_BASE + (offset) / 16)
#define TICK (TSC_HZ / CRYSTAL_HZ)

static u32 reg(struct pc *pc, unsigned offset)
{
	return read32(pc, MSI_ADDRESS_BASE + offset);
}

static void set_reg(struct pc *pc, unsigned offset, u32 v)
{
	write32(pc, MSI_ADDRESS_BASE + offset, v);
}

static void send(struct pc *pc, unsigned vector)
{
	apic_deliver(pc->c->apic, vector, DELIVERY_FIXED >> 8, false);
}

static void x2_on(struct pc *pc)
{
	u64 base = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | APIC_BASE_X2APIC | APIC_BASE_BSP;

	assert_true(apic_msr_write(pc->c->apic, IA32_APIC_BASE, base));
}

static u64 x2(struct pc *pc, unsigned offset)
{
	u64 v = 0;

	assert_true(apic_msr_read(pc->c->apic, X2(offset), &v));
	return v;
}

static void higher_classes_nest(void **state)
{
	struct pc *pc = pc_new("null");

	send(pc, 0x41);
	assert_int_equal(take(pc), 0x41);
	send(pc, 0x4f); /* same class: waits */
	assert_int_equal(take(pc), -1);
	assert_int_equal(reg(pc, LAPIC_PPR), 0x40);
	send(pc, 0x51);
	assert_int_equal(take(pc), 0x51);
	set_reg(pc, LAPIC_EOI, 0);
	assert_int_equal(take(pc), -1);
	set_reg(pc, LAPIC_EOI, 0);
	assert_int_equal(take(pc), 0x4f);
	pc_free(pc);
}

static void task_priority_holds_back_its_class(void **state)
{
	struct pc *pc = pc_new("null");

	apic_set_tpr(pc->c->apic, 5);
	assert_int_equal(reg(pc, LAPIC_TPR), 0x50);
	send(pc, 0x5f);
	assert_int_equal(take(pc), -1);
	send(pc, 0x60);
	assert_int_equal(take(pc), 0x60);
	set_reg(pc, LAPIC_EOI, 0);
	pc->c->pending = 0;
	apic_set_tpr(pc->c->apic, 4);
	assert_true(pc->c->pending & PEND_INTR); /* the CPU is told */
	assert_int_equal(take(pc), 0x5f);
	pc_free(pc);
}

static void the_timer_fires_at_its_cycle(void **state)
{
	struct pc *pc = pc_new("null");
	u64 start;

	set_reg(pc, LAPIC_TIMER_DIVIDE, 0xb); /* by 1 */
	set_reg(pc, LAPIC_LVT_TIMER, 0xec);
	start = cpu_now(pc->c);
	set_reg(pc, LAPIC_TIMER_INITIAL, 1000);
	start += pc->m.costs->cycles[COST_MMIO]; /* the access takes its time first */
	assert_int_equal(clock_next(&pc->m) - start, 1000 * TICK);
	pass(pc, 400 * TICK);
	assert_in_range(reg(pc, LAPIC_TIMER_CURRENT), 590, 600);
	assert_int_equal(take(pc), -1);
	pass(pc, 700 * TICK);
	assert_int_equal(take(pc), 0xec);
	assert_int_equal(reg(pc, LAPIC_TIMER_CURRENT), 0);
	assert_int_equal(clock_next(&pc->m), CYCLES_NONE);
	pc_free(pc);
}

static void the_periodic_timer_does_not_drift(void **state)
{
	struct pc *pc = pc_new("null");
	u64 first;

	set_reg(pc, LAPIC_TIMER_DIVIDE, 3); /* by 16 */
	set_reg(pc, LAPIC_LVT_TIMER, 0xec | LVT_TIMER_PERIODIC);
	set_reg(pc, LAPIC_TIMER_INITIAL, 100);
	first = to_next_timer(pc);
	for (u64 i = 1; i <= 100; i++) {
		assert_int_equal(take(pc), 0xec);
		set_reg(pc, LAPIC_EOI, 0);
		assert_int_equal(to_next_timer(pc), first + i * 1600 * TICK);
	}
	set_reg(pc, LAPIC_TIMER_INITIAL, 0);
	assert_int_equal(clock_next(&pc->m), CYCLES_NONE);
	pc_free(pc);
}

static void a_masked_timer_counts_silently(void **state)
{
	struct pc *pc = pc_new("null");

	set_reg(pc, LAPIC_TIMER_DIVIDE, 0xb);
	set_reg(pc, LAPIC_LVT_TIMER, 0xec | LVT_MASKED);
	set_reg(pc, LAPIC_TIMER_INITIAL, 1000);
	pass(pc, 2000 * TICK);
	assert_int_equal(take(pc), -1);
	pc_free(pc);
}

static void deadline_mode_fires_when_the_tsc_is_there(void **state)
{
	struct pc *pc = pc_new("null");
	struct apic *a = pc->c->apic;
	u64 v, target;

	assert_true(apic_msr_write(a, IA32_TSC_DEADLINE, 12345)); /* ignored in another mode */
	assert_int_equal(clock_next(&pc->m), CYCLES_NONE);
	set_reg(pc, LAPIC_LVT_TIMER, 0xec | LVT_TIMER_DEADLINE);
	pc->c->tsc_offset = 5000;
	target = cpu_now(pc->c) + 5000 + 777777;
	assert_true(apic_msr_write(a, IA32_TSC_DEADLINE, target));
	assert_int_equal(clock_next(&pc->m), target - 5000);
	assert_true(apic_msr_read(a, IA32_TSC_DEADLINE, &v));
	assert_int_equal(v, target);
	to_next_timer(pc);
	assert_int_equal(take(pc), 0xec);
	assert_true(apic_msr_read(a, IA32_TSC_DEADLINE, &v));
	assert_int_equal(v, 0);
	assert_true(apic_msr_write(a, IA32_TSC_DEADLINE, target)); /* in the past: at once */
	set_reg(pc, LAPIC_EOI, 0);
	to_next_timer(pc);
	assert_int_equal(take(pc), 0xec);
	assert_true(apic_msr_write(a, IA32_TSC_DEADLINE, target * 2));
	assert_true(apic_msr_write(a, IA32_TSC_DEADLINE, 0)); /* disarms */
	assert_int_equal(clock_next(&pc->m), CYCLES_NONE);
	pc_free(pc);
}

static void x2apic_has_its_own_registers(void **state)
{
	struct pc *pc = pc_new("null");
	u64 v;

	assert_false(apic_msr_read(pc->c->apic, X2(LAPIC_ID), &v)); /* #GP outside x2APIC mode */
	x2_on(pc);
	assert_int_equal(x2(pc, LAPIC_ID), 0);
	assert_int_equal(x2(pc, LAPIC_LDR), 1);
	assert_int_equal(reg(pc, LAPIC_VERSION), 0xffffffff); /* no memory-mapped registers any more */
	assert_false(apic_msr_read(pc->c->apic, X2(LAPIC_EOI), &v));
	assert_false(apic_msr_write(pc->c->apic, X2(LAPIC_EOI), 1));
	assert_false(apic_msr_write(pc->c->apic, X2(LAPIC_ID), 0));
	assert_false(apic_msr_write(pc->c->apic, X2(LAPIC_TPR), 0x100));
	assert_false(apic_msr_write(pc->c->apic, X2(LAPIC_DFR), 0));
	assert_false(apic_msr_write(pc->c->apic, X2(LAPIC_ICR_HIGH), 0));
	assert_false(apic_msr_write(pc->c->apic, X2(LAPIC_LVT_TIMER), 1ull << 32));
	pc_free(pc);
}

static void mode_changes_follow_the_state_diagram(void **state)
{
	struct pc *pc = pc_new("null");
	struct apic *a = pc->c->apic;
	u64 base = APIC_BASE_DEFAULT | APIC_BASE_BSP;

	assert_false(apic_msr_write(a, IA32_APIC_BASE, base | APIC_BASE_X2APIC));
	x2_on(pc);
	assert_false(apic_msr_write(a, IA32_APIC_BASE, base | APIC_BASE_ENABLE));
	assert_true(apic_msr_write(a, IA32_APIC_BASE, base));
	assert_false(apic_msr_write(a, IA32_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC));
	assert_true(apic_msr_write(a, IA32_APIC_BASE, base | APIC_BASE_ENABLE));
	assert_false(apic_msr_write(a, IA32_APIC_BASE, base | APIC_BASE_ENABLE | 1));
	pc_free(pc);
}

static void ipis_reach_self(void **state)
{
	struct pc *pc = pc_new("null");

	set_reg(pc, LAPIC_ICR_LOW, 0x61 | ICR_TO_SELF);
	assert_int_equal(take(pc), 0x61);
	set_reg(pc, LAPIC_EOI, 0);
	set_reg(pc, LAPIC_ICR_HIGH, 0);
	set_reg(pc, LAPIC_ICR_LOW, 0x62);
	assert_int_equal(take(pc), 0x62);
	set_reg(pc, LAPIC_EOI, 0);
	set_reg(pc, LAPIC_ICR_LOW, 0x63 | ICR_TO_OTHERS);
	assert_int_equal(take(pc), -1);
	x2_on(pc);
	assert_true(apic_msr_write(pc->c->apic, X2(LAPIC_SELF_IPI), 0x64));
	assert_int_equal(take(pc), 0x64);
	assert_true(apic_msr_write(pc->c->apic, X2(LAPIC_EOI), 0));
	assert_true(apic_msr_write(pc->c->apic, X2(LAPIC_ICR_LOW), 0x65 | ICR_LOGICAL | 1ull << 32));
	assert_int_equal(take(pc), 0x65);
	pc_free(pc);
}

static void illegal_vectors_are_errors(void **state)
{
	struct pc *pc = pc_new("null");

	set_reg(pc, LAPIC_LVT_ERROR, 0xfe);
	set_reg(pc, LAPIC_ICR_LOW, 5 | ICR_TO_SELF);
	assert_int_equal(take(pc), 0xfe);
	assert_int_equal(reg(pc, LAPIC_ESR), 0); /* latched by a write only */
	set_reg(pc, LAPIC_ESR, 0);
	assert_int_equal(reg(pc, LAPIC_ESR), ESR_SEND_ILLEGAL);
	set_reg(pc, LAPIC_ESR, 0);
	assert_int_equal(reg(pc, LAPIC_ESR), 0);
	pc_free(pc);
}

static void software_disabling_masks(void **state)
{
	struct pc *pc = pc_new("null");

	set_reg(pc, LAPIC_LVT_TIMER, 0xec);
	set_reg(pc, LAPIC_SVR, 0xff);
	assert_true(reg(pc, LAPIC_LVT_TIMER) & LVT_MASKED);
	set_reg(pc, LAPIC_LVT_TIMER, 0xec);
	assert_true(reg(pc, LAPIC_LVT_TIMER) & LVT_MASKED);
	send(pc, 0x70);
	assert_int_equal(take(pc), -1);
	apic_deliver(pc->c->apic, 0, DELIVERY_NMI >> 8, false);
	assert_true(pc->c->pending & PEND_NMI);
	pc_free(pc);
}

static void one_nmi_is_taken_and_one_latched(void **state)
{
	struct pc *pc = pc_new("null");

	for (unsigned i = 0; i < 3; i++)
		apic_deliver(pc->c->apic, 0, DELIVERY_NMI >> 8, false);
	pc->c->pending &= ~PEND_NMI;
	apic_nmi_taken(pc->c->apic);
	assert_true(pc->c->pending & PEND_NMI);
	pc->c->pending &= ~PEND_NMI;
	apic_nmi_taken(pc->c->apic);
	assert_false(pc->c->pending & PEND_NMI);
	pc->c->nmi_blocked = true; /* in its handler: one is latched */
	for (unsigned i = 0; i < 3; i++)
		apic_deliver(pc->c->apic, 0, DELIVERY_NMI >> 8, false);
	pc->c->pending &= ~PEND_NMI;
	apic_nmi_taken(pc->c->apic);
	assert_false(pc->c->pending & PEND_NMI);
	pc_free(pc);
}

static void set_base(struct pc *pc, u64 page)
{
	assert_true(apic_msr_write(pc->c->apic, IA32_APIC_BASE, page | APIC_BASE_ENABLE | APIC_BASE_BSP));
}

static void registers_move_with_the_base(void **state)
{
	static const u64 places[] = { 0xfed40000, 0x5000 }; /* nothing else there, and RAM */
	struct pc *pc = pc_new_with(&(struct machine_config){ .cpus = 2 });

	for (unsigned i = 0; i < 2; i++) {
		set_base(pc, places[i]);
		write32(pc, places[i] + LAPIC_TPR, 0x30 + i);
		assert_int_equal(reg(pc, LAPIC_TPR), 0xffffffff);
		assert_int_equal(apic_get_tpr(pc->c->apic), 3);
		assert_int_equal(read32(pc, places[i] + LAPIC_TPR), 0x30 + i);
		assert_int_equal(mmu_ld(pc->c, NULL, places[i] + LAPIC_TPR, 4), 0x30 + i);
	}
	assert_int_equal(mmu_ld(pc->m.cpu[1], NULL, 0x5000 + LAPIC_TPR, 4), 0); /* each CPU has its own base */
	set_base(pc, APIC_BASE_DEFAULT);
	assert_int_equal(reg(pc, LAPIC_TPR), 0x31);
	assert_int_equal(mmu_ld(pc->c, NULL, 0x5000 + LAPIC_TPR, 4), 0);
	assert_false(apic_msr_write(pc->c->apic, IA32_APIC_BASE, APIC_BASE_ENABLE | 1ull << 50));
	pc_free(pc);
}

/* CPUs that have the vector requested, as bits. */
static unsigned receivers(struct pc *pc, unsigned vector)
{
	unsigned set = 0;

	for (unsigned i = 0; i < pc->m.ncpus; i++)
		if (apic_pending(pc->m.cpu[i]->apic) == (int)vector && apic_ack(pc->m.cpu[i]->apic)) {
			apic_eoi(pc->m.cpu[i]->apic);
			set |= 1u << i;
		}
	return set;
}

static void messages_find_their_destinations(void **state)
{
	struct pc *pc = pc_new_with(&(struct machine_config){ .cpus = 4 });
	static const struct { u32 dest; bool logical; unsigned mode, receivers; } rows[] = {
		{ 2, false, DELIVERY_FIXED, 1 << 2 },
		{ 0xff, false, DELIVERY_FIXED, 0xf },
		{ 5, true, DELIVERY_FIXED, 1 << 0 | 1 << 2 },
		{ 0xff, true, DELIVERY_FIXED, 0xf },
		{ 7, true, DELIVERY_LOWEST, 1 << 1 }, /* the lowest task priority of three */
		{ 0xc, true, DELIVERY_LOWEST, 1 << 2 }, /* of equals the lowest number */
		{ 9, false, DELIVERY_FIXED, 0 },
	};

	for (unsigned i = 0; i < 4; i++) {
		bus_mmio_write(&pc->m, pc->m.cpu[i], (hpa_t){ MSI_ADDRESS_BASE + LAPIC_SVR }, 4, SVR_ENABLE | 0xff);
		bus_mmio_write(&pc->m, pc->m.cpu[i], (hpa_t){ MSI_ADDRESS_BASE + LAPIC_LDR }, 4, 1u << (24 + i));
		apic_set_tpr(pc->m.cpu[i]->apic, i == 1 ? 1 : 2);
	}
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		apic_bus_message(&pc->m, rows[i].dest, rows[i].logical, 0x70 + i, rows[i].mode >> 8, false);
		assert_int_equal(receivers(pc, 0x70 + i), rows[i].receivers);
	}
	pc_free(pc);
}

static void x2apic_broadcasts_have_32_bits(void **state)
{
	struct pc *pc = pc_new_with(&(struct machine_config){ .cpus = 2 });

	x2_on(pc);
	assert_true(apic_msr_write(pc->c->apic, X2(LAPIC_ICR_LOW), 0x71 | 0xffull << 32)); /* nobody's number */
	pass(pc, 10000);
	assert_int_equal(receivers(pc, 0x71), 0);
	bus_mmio_write(&pc->m, pc->m.cpu[1], (hpa_t){ MSI_ADDRESS_BASE + LAPIC_SVR }, 4, SVR_ENABLE | 0xff);
	assert_true(apic_msr_write(pc->c->apic, X2(LAPIC_ICR_LOW), 0x72 | 0xffffffffull << 32));
	pass(pc, 10000);
	assert_int_equal(receivers(pc, 0x72), 3);
	pc_free(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(higher_classes_nest),
		cmocka_unit_test(task_priority_holds_back_its_class),
		cmocka_unit_test(the_timer_fires_at_its_cycle),
		cmocka_unit_test(the_periodic_timer_does_not_drift),
		cmocka_unit_test(a_masked_timer_counts_silently),
		cmocka_unit_test(deadline_mode_fires_when_the_tsc_is_there),
		cmocka_unit_test(x2apic_has_its_own_registers),
		cmocka_unit_test(mode_changes_follow_the_state_diagram),
		cmocka_unit_test(ipis_reach_self),
		cmocka_unit_test(illegal_vectors_are_errors),
		cmocka_unit_test(software_disabling_masks),
		cmocka_unit_test(one_nmi_is_taken_and_one_latched),
		cmocka_unit_test(registers_move_with_the_base),
		cmocka_unit_test(messages_find_their_destinations),
		cmocka_unit_test(x2apic_broadcasts_have_32_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
