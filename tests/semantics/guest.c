// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The interpreter's side: a CPU in 64-bit mode at CPL 3 with page tables for the same pages; delivery of an event
 * ends the run.
 */
#include <stdio.h>
#include <string.h>

#include "arch/paging.h"
#include "arch/x86.h"
#include "guest.h"
#include "machine/cpu/cpu.h"
#include "machine/oracle/oracle.h"
#include "machine/vmx/vmx.h"
#include "sem.h"

#define RAM_SIZE  (4ull << 20)
#define PHYS_PML4 0x1000u
#define PHYS_PDPT 0x2000u
#define PHYS_PD   0x3000u
#define PHYS_PT   0x4000u /* two: of the code and of the data */
#define PHYS_CODE 0x10000u
#define PHYS_DATA 0x20000u
#define BUDGET    1000000

static struct machine machine;
static struct cpu *cpu;
static struct event event;
static bool ended;

/* The linker puts this in the place of cpu_deliver. */
void __wrap_cpu_deliver(struct cpu *c, const struct event *e)
{
	event = *e;
	ended = true;
	cpu_kick(c, PEND_STOP);
}

static void put_entry(unsigned table, unsigned index, uint64_t v)
{
	memcpy(machine.bus.ram + table + 8 * index, &v, 8);
}

static void map_page(uint64_t lin, uint64_t phys, uint64_t rights, unsigned pt)
{
	uint64_t table = PTE_P | PTE_RW | PTE_US | PTE_A;

	put_entry(PHYS_PML4, (lin >> 39) & 511, PHYS_PDPT | table);
	put_entry(PHYS_PDPT, (lin >> 30) & 511, PHYS_PD | table);
	put_entry(PHYS_PD, (lin >> 21) & 511, pt | table);
	put_entry(pt, (lin >> 12) & 511, phys | PTE_P | PTE_US | PTE_A | PTE_D | rights);
}

static void make_tables(void)
{
	map_page(SEM_CODE, PHYS_CODE, 0, PHYS_PT);
	for (unsigned i = 0; i < SEM_RW_PAGES; i++)
		map_page(SEM_DATA + i * SEM_PAGE, PHYS_DATA + i * SEM_PAGE, PTE_RW | PTE_NX, PHYS_PT + SEM_PAGE);
	for (unsigned i = SEM_RW_PAGES; i < SEM_RW_PAGES + SEM_RO_PAGES; i++)
		map_page(SEM_DATA + i * SEM_PAGE, PHYS_DATA + i * SEM_PAGE, PTE_NX, PHYS_PT + SEM_PAGE);
}

static void make_segments(struct cpu *c)
{
	const u32 common = DESC_P | DESC_S | DESC_DPL | DESC_G | SEG_TYPE_A;

	for (unsigned i = 0; i < SREG_COUNT; i++)
		c->seg[i] = (struct segment){ .limit = ~0u, .ar = common | DESC_DB | SEG_TYPE_W, .sel = 0x2b };
	c->seg[CS].ar = common | DESC_L | SEG_TYPE_CODE | SEG_TYPE_R;
	c->seg[CS].sel = 0x33;
}

static void set_code_size(struct cpu *c, unsigned bits)
{
	c->seg[CS].ar &= ~(u32)(DESC_L | DESC_DB);
	c->seg[CS].ar |= bits == 64 ? DESC_L : DESC_DB;
	cpu_update_code_mode(c);
}

static void enter_user_mode(struct cpu *c)
{
	c->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
	c->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	c->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	c->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	c->cr3 = PHYS_PML4;
	c->activity = ACTIVE;
	make_segments(c);
	cpu_update_code_mode(c);
	mmu_flush_all(c);
}

bool guest_init(void)
{
	if (!bus_init(&machine, RAM_SIZE))
		return false;
	machine.costs = cost_table_find("broadwell");
	if (!machine.costs || oracle_init(&machine))
		return false;
	cpu = cpu_new(&machine, 0);
	if (!cpu)
		return false;
	machine.cpu[0] = cpu;
	machine.ncpus = 1;
	vmx_reset(cpu);
	fpu_reset(cpu);
	make_tables();
	memset(machine.bus.ram + PHYS_CODE, 0xcc, SEM_PAGE);
	enter_user_mode(cpu);
	return true;
}

/* FXSAVE image to the CPU's own form and back. SDM 1 "FXSAVE Area". */
static void load_fpu(struct fpu_state *f, const uint8_t *fx)
{
	unsigned top;

	memcpy(&f->fcw, fx, 2);
	memcpy(&f->fsw, fx + 2, 2);
	f->ftw = fx[4];
	memcpy(&f->mxcsr, fx + 24, 4);
	top = (f->fsw >> 11) & 7;
	for (unsigned i = 0; i < 8; i++) {
		memcpy(&f->st[(top + i) & 7].mant, fx + 32 + 16 * i, 8);
		memcpy(&f->st[(top + i) & 7].se, fx + 40 + 16 * i, 2);
	}
	for (unsigned i = 0; i < 16; i++) {
		memcpy(&f->ymm[i].lo, fx + 160 + 16 * i, 16);
		memcpy(&f->ymm[i].hi, fx + SEM_XSAVE_HIGH + 16 * i, 16);
	}
}

static void save_fpu(const struct fpu_state *f, uint8_t *fx)
{
	unsigned top = (f->fsw >> 11) & 7;

	memset(fx, 0, SEM_XSAVE_SIZE);
	memcpy(fx, &f->fcw, 2);
	memcpy(fx + 2, &f->fsw, 2);
	fx[4] = f->ftw;
	memcpy(fx + 24, &f->mxcsr, 4);
	for (unsigned i = 0; i < 8; i++) {
		memcpy(fx + 32 + 16 * i, &f->st[(top + i) & 7].mant, 8);
		memcpy(fx + 40 + 16 * i, &f->st[(top + i) & 7].se, 2);
	}
	for (unsigned i = 0; i < 16; i++) {
		memcpy(fx + 160 + 16 * i, &f->ymm[i].lo, 16);
		memcpy(fx + SEM_XSAVE_HIGH + 16 * i, &f->ymm[i].hi, 16);
	}
}

static void load_memory(const struct sem_program *p, const uint8_t *data)
{
	if (memcmp(machine.bus.ram + PHYS_CODE, p->code, sizeof(p->code)))
		bus_dma_write(&machine, (hpa_t){ PHYS_CODE }, p->code, sizeof(p->code));
	memcpy(machine.bus.ram + PHYS_DATA, data, SEM_DATA_SIZE);
}

bool guest_run(const struct sem_program *p, const struct sem_state *in, struct sem_state *out, uint8_t *data)
{
	struct cpu *c = cpu;

	load_memory(p, data);
	memcpy(c->gpr, in->gpr, sizeof(in->gpr));
	load_fpu(&c->fpu, in->fx);
	cpu_set_rflags(c, in->rflags);
	if (c->code_size != p->bits)
		set_code_size(c, p->bits);
	c->rip = SEM_CODE;
	c->budget = BUDGET;
	c->deadline = BUDGET;
	ended = false;
	cpu_run(c);
	memcpy(out->gpr, c->gpr, sizeof(out->gpr));
	out->rip = c->rip;
	out->rflags = cpu_rflags(c);
	save_fpu(&c->fpu, out->fx);
	out->vector = event.vector;
	out->error = event.has_error ? event.error : 0;
	out->cr2 = event.cr2_or_dr6;
	memcpy(data, machine.bus.ram + PHYS_DATA, SEM_RW_PAGES * SEM_PAGE);
	return ended;
}
