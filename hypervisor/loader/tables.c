// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the hypervisor must know of the machine (RAM, memory types), and the two sets of page tables.
 */
#include <linux/ioport.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>

#include "arch/msrs.h"
#include "arch/paging.h"
#include "core/ept.h"
#include "loader/loader.h"

/* ---- RAM ---- */

static void add_ram(struct hv *hv, u64 start, u64 end)
{
	if (hv->nr_ram && hv->ram[hv->nr_ram - 1].end == start)
		hv->ram[hv->nr_ram - 1].end = end;
	else if (hv->nr_ram < HV_MAX_RAM)
		hv->ram[hv->nr_ram++] = (struct hv_range){ start, end };
}

/* The children of iomem_resource are sorted and do not overlap. */
void ooh_read_ram(struct hv *hv)
{
	struct resource *r;

	hv->nr_ram = 0;
	for (r = iomem_resource.child; r; r = r->sibling)
		if ((r->flags & IORESOURCE_SYSTEM_RAM) == IORESOURCE_SYSTEM_RAM)
			add_ram(hv, PAGE_ALIGN(r->start), (r->end + 1) & PAGE_MASK);
}

/* The guest's memory is mapped eagerly up to here: RAM, and everything below 4 GiB; the rest when it is touched. */
u64 ooh_mapped_top(const struct hv *hv)
{
	u64 top = hv->nr_ram ? hv->ram[hv->nr_ram - 1].end : 0;

	return ALIGN(max_t(u64, top, 1ull << 32), 1ull << PAGE_SHIFT_1G);
}

/* ---- memory types: SDM 3A "Memory Type Range Registers (MTRRs)" ---- */

static void read_fixed(struct hv *hv, u32 msr, unsigned int first_page, unsigned int pages_each)
{
	u64 types = ooh_rdmsr(msr);
	unsigned int i;

	for (i = 0; i < 8 * pages_each; i++)
		hv->mtrr_fixed_type[first_page + i] = types >> (8 * (i / pages_each));
}

static void read_all_fixed(struct hv *hv)
{
	unsigned int i;

	read_fixed(hv, IA32_MTRR_FIX64K_00000, 0x00, 16);
	read_fixed(hv, IA32_MTRR_FIX16K_80000, 0x80, 4);
	read_fixed(hv, IA32_MTRR_FIX16K_A0000, 0xa0, 4);
	for (i = 0; i < 8; i++)
		read_fixed(hv, IA32_MTRR_FIX4K_C0000 + i, 0xc0 + 8 * i, 1);
	hv->mtrr_fixed = 1;
}

static void read_variable(struct hv *hv, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count && hv->nr_mtrrs < HV_MAX_MTRRS; i++) {
		u64 base = ooh_rdmsr(IA32_MTRR_PHYSBASE0 + 2 * i);
		u64 mask = ooh_rdmsr(IA32_MTRR_PHYSMASK0 + 2 * i);

		if (!(mask & MTRR_PHYSMASK_V))
			continue;
		mask &= PAGE_MASK & (hv->phys_limit - 1);
		hv->mtrrs[hv->nr_mtrrs++] = (struct hv_mtrr){ base & mask, mask, base & MTRR_DEF_TYPE };
	}
}

void ooh_read_mtrrs(struct hv *hv)
{
	u64 def, cap;

	hv->mtrr_enabled = hv->mtrr_fixed = hv->nr_mtrrs = 0;
	if (!(cpuid_edx(1) & BIT32(12)))
		return;
	cap = ooh_rdmsr(IA32_MTRRCAP);
	def = ooh_rdmsr(IA32_MTRR_DEF_TYPE);
	if (!(def & MTRR_DEF_E))
		return;
	hv->mtrr_enabled = 1;
	hv->mtrr_default = def & MTRR_DEF_TYPE;
	if ((cap & MTRRCAP_FIX) && (def & MTRR_DEF_FE))
		read_all_fixed(hv);
	read_variable(hv, cap & MTRRCAP_VCNT);
}

/* ---- root mode's page tables ---- */

#define TABLE_FLAGS (PTE_P | PTE_RW | PTE_A)
#define LEAF_FLAGS  (PTE_P | PTE_A | PTE_D)

/* Maps one page of the level's size. There is no NX: root mode runs with the guest's EFER, where NXE may be 0. */
static void map_host_page(struct ooh_setup *s, u64 va, u64 pa, int level, u64 flags)
{
	u64 *table = __va(s->hv->cr3);
	int at;

	for (at = 4; at > level; at--) {
		u64 *entry = &table[PAGE_LEVEL_INDEX(va, at)];

		if (!*entry)
			*entry = ooh_take_pages(s, 1) | TABLE_FLAGS;
		table = __va(*entry & PTE_ADDRESS);
	}
	table[PAGE_LEVEL_INDEX(va, level)] = pa | flags | (level == 2 ? PTE_PS : 0);
}

static void map_host_range(struct ooh_setup *s, u64 va, u64 pa, u64 pages, u64 flags)
{
	u64 i;

	for (i = 0; i < pages; i++)
		map_host_page(s, va + i * PAGE_SIZE, pa + i * PAGE_SIZE, 1, flags);
}

static void map_direct(struct ooh_setup *s, const struct hv_range *ram)
{
	u64 pa;

	for (pa = ALIGN_DOWN(ram->start, HV_BLOCK_SIZE); pa < ram->end; pa += HV_BLOCK_SIZE)
		map_host_page(s, HV_DIRECT_BASE + pa, pa, 2, LEAF_FLAGS | PTE_RW);
}

static void map_cpu(struct ooh_setup *s, const struct ooh_cpu *cpu)
{
	u64 va = (uintptr_t)hv_cpu_at(cpu->index);
	u64 nmi = ooh_take_pages(s, 1);
	u64 fault = ooh_take_pages(s, HV_CPU_FAULT_STACK_PAGES);
	u64 stack = ooh_take_pages(s, HV_CPU_STACK_PAGES);

	map_host_range(s, va, __pa(cpu->state), HV_CPU_STATE_PAGES, LEAF_FLAGS | PTE_RW);
	map_host_range(s, va + HV_CPU_STACK, stack, HV_CPU_STACK_PAGES, LEAF_FLAGS | PTE_RW);
	map_host_range(s, va + HV_CPU_NMI_STACK, nmi, 1, LEAF_FLAGS | PTE_RW);
	map_host_range(s, va + HV_CPU_FAULT_STACK, fault, HV_CPU_FAULT_STACK_PAGES, LEAF_FLAGS | PTE_RW);
}

void ooh_map_host(struct ooh_setup *s)
{
	const struct hv_image *image = &s->image;
	u64 pa = __pa(s->hv) - (image->state - image->start);
	u64 code = (image->data - image->start) / PAGE_SIZE;
	u64 data = (image->end - image->data) / PAGE_SIZE;
	unsigned int i;

	s->hv->cr3 = ooh_take_pages(s, 1);
	map_host_range(s, image->start, pa, code, LEAF_FLAGS);
	map_host_range(s, image->data, pa + code * PAGE_SIZE, data, LEAF_FLAGS | PTE_RW);
	for (i = 0; i < s->hv->nr_ram; i++)
		map_direct(s, &s->hv->ram[i]);
	for (i = 0; i < nr_cpu_ids; i++)
		if (s->cpu[i].state)
			map_cpu(s, &s->cpu[i]);
}

/* ---- the guest's ---- */

/* What the guest sees in place of our memory. */
static bool make_hole(struct hv *hv)
{
	u64 *table;
	int i;

	hv->hole_page = hv_page_alloc(hv, true);
	hv->hole_table = hv_page_alloc(hv, true);
	if (!hv->hole_page || !hv->hole_table)
		return false;
	memset(__va(hv->hole_page), 0xff, PAGE_SIZE);
	table = __va(hv->hole_table);
	for (i = 0; i < PAGE_TABLE_ENTRIES; i++)
		table[i] = hv->hole_page | EPT_R | EPT_A | (u64)MEMTYPE_WB << EPT_MT_SHIFT;
	return true;
}

int ooh_map_guest(struct hv *hv)
{
	u64 root = hv_page_alloc(hv, true), top = ooh_mapped_top(hv), gpa, size;

	if (!root || !make_hole(hv))
		return -ENOMEM;
	hv->eptp = root | MEMTYPE_WB | EPTP_WALK_4 | EPTP_AD;
	for (gpa = 0; gpa < top && gpa < hv->phys_limit; gpa += size) {
		size = hv_ept_map(hv, gpa);
		if (!size)
			return -ENOMEM;
	}
	return 0;
}
