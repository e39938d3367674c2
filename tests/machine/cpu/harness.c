/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "harness.h"

#include <string.h>

#include "arch/paging.h"
#include "machine/dev/apic.h"
#include "machine/oracle/oracle.h"
#include "machine/vmx/vmx.h"

#define PML4 0x1000u
#define PDPT 0x2000u
#define PD   0x3000u

struct machine machine;
struct cpu *cpu;
struct event delivered;
unsigned deliveries;

void __wrap_cpu_deliver(struct cpu *c, const struct event *e)
{
	delivered = *e;
	deliveries++;
	cpu_kick(c, PEND_STOP);
}

bool __wrap_dev_idle_wait(struct machine *m, u64 until)
{
	(void)m;
	(void)until;
	return true;
}

static void put64(unsigned at, uint64_t v)
{
	memcpy(machine.bus.ram + at, &v, 8);
}

static void make_tables(void)
{
	put64(PML4, PDPT | PTE_P | PTE_RW | PTE_US | PTE_A);
	put64(PDPT, PD | PTE_P | PTE_RW | PTE_US | PTE_A);
	for (unsigned i = 0; i < RAM_SIZE >> 21; i++)
		put64(PD + 8 * i, (uint64_t)i << 21 | PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_PS);
}

static void flat_segments(unsigned bits, unsigned cpl)
{
	const u32 common = DESC_P | DESC_S | DESC_G | SEG_TYPE_A | cpl << DESC_DPL_SHIFT;

	for (unsigned i = 0; i < SREG_COUNT; i++)
		cpu->seg[i] = (struct segment){ .limit = ~0u, .ar = common | DESC_DB | SEG_TYPE_W,
						.sel = (u16)(0x10 | cpl) };
	cpu->seg[CS].ar = common | (bits == 64 ? DESC_L : DESC_DB) | SEG_TYPE_CODE | SEG_TYPE_R;
	cpu->seg[CS].sel = (u16)(8 | cpl);
}

static void create(void)
{
	assert_true(bus_init(&machine, RAM_SIZE));
	machine.costs = cost_table_find("broadwell");
	assert_non_null(machine.costs);
	assert_int_equal(oracle_init(&machine), 0);
	cpu = cpu_new(&machine, 0);
	assert_non_null(cpu);
	machine.cpu[0] = cpu;
	machine.ncpus = 1;
	cpu->apic = apic_new(cpu);
	assert_non_null(cpu->apic);
}

static void clear_state(void)
{
	memset(cpu->gpr, 0, sizeof(cpu->gpr));
	memset(machine.stat, 0, sizeof(machine.stat));
	vmx_reset(cpu);
	fpu_reset(cpu);
	cpu->activity = ACTIVE;
	cpu->pending = cpu->inhibit = 0;
	cpu->pending_dbg = 0;
	cpu->nmi_blocked = cpu->single = false;
	cpu_set_rflags(cpu, EFLAGS_ONE);
	deliveries = 0;
	memset(&delivered, 0, sizeof(delivered));
}

int harness_setup(void **state)
{
	(void)state;
	if (!cpu)
		create();
	memset(machine.bus.ram, 0, RAM_SIZE);
	code_flush_all(cpu);
	make_tables();
	clear_state();
	cpu->gpr[RSP] = STACK;
	harness_mode(64, 0);
	return 0;
}

static void protected_mode(unsigned bits, unsigned cpl)
{
	cpu->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	cpu->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	cpu->efer = EFER_LME | EFER_LMA | EFER_NXE;
	cpu->cr3 = PML4;
	flat_segments(bits, cpl);
}

static void real_mode(void)
{
	cpu->cr0 = CR0_ET;
	cpu->cr4 = 0;
	cpu->efer = 0;
	for (unsigned i = 0; i < SREG_COUNT; i++)
		cpu->seg[i] = (struct segment){ .limit = 0xffff, .ar = DESC_P | DESC_S | SEG_TYPE_W | SEG_TYPE_A };
	cpu->gpr[RSP] = 0x8000;
}

void harness_mode(unsigned bits, unsigned cpl)
{
	cpu->pending = cpu->inhibit = 0;
	cpu->single = cpu->nmi_blocked = false;
	cpu->activity = ACTIVE;
	if (bits == 16)
		real_mode();
	else
		protected_mode(bits, cpl);
	cpu_update_code_mode(cpu);
	mmu_flush_all(cpu);
}

void harness_code(uint64_t at, const void *bytes, unsigned n)
{
	assert_true(bus_dma_write(&machine, (hpa_t){ at }, bytes, n));
}

bool harness_run(uint64_t rip, int64_t cycles)
{
	unsigned before = deliveries;

	cpu->rip = rip;
	cpu->deadline = (u64)cycles;
	cpu->budget = cycles;
	cpu_run(cpu);
	return deliveries != before;
}
