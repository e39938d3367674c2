// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hypervisor's memory: whole 2 MiB blocks taken from Linux, hidden from it by EPT while it is a guest. They hold
 * the image, the CPUs' pages, root mode's page tables; what is left is the pool of EPT tables.
 */
#define pr_fmt(fmt) "ooh_hv: " fmt

#include <linux/cpumask.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <asm/msr.h>

#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/vmx.h"
#include "core/ept.h"
#include "loader/loader.h"

#define BLOCK_ORDER    (PAGE_SHIFT_2M - PAGE_SHIFT)
#define PAGES_A_BLOCK  (1u << BLOCK_ORDER)
#define PAGES_A_CPU    (HV_CPU_STATE_PAGES + HV_CPU_STACK_PAGES + 1 + HV_CPU_FAULT_STACK_PAGES + 3)
#define LATE_MMIO_PAGES 64
#define FEW_PAGES      32 /* roots, bitmap, hole, the first tables of each kind */

/* ---- blocks and pages ---- */

static bool add_block(struct ooh_setup *s)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_RETRY_MAYFAIL | __GFP_NOWARN, BLOCK_ORDER);

	if (!page)
		return false;
	s->blocks[s->nr_blocks++] = page;
	return true;
}

static int alloc_blocks(struct ooh_setup *s, u64 pages)
{
	u64 count = DIV_ROUND_UP(pages, PAGES_A_BLOCK);

	if (count > HV_MAX_BLOCKS)
		return -E2BIG;
	s->blocks = kvcalloc(count, sizeof(*s->blocks), GFP_KERNEL);
	if (!s->blocks)
		return -ENOMEM;
	while (s->nr_blocks < count)
		if (!add_block(s))
			return -ENOMEM;
	return 0;
}

/* Zeroed, contiguous. The blocks were counted to suffice; running out is a mistake in pages_needed(). */
u64 ooh_take_pages(struct ooh_setup *s, unsigned int count)
{
	u64 pa;

	if (s->next + count > PAGES_A_BLOCK) {
		s->block++;
		s->next = 0;
	}
	BUG_ON(s->block >= s->nr_blocks);
	pa = page_to_phys(s->blocks[s->block]) + (u64)s->next * PAGE_SIZE;
	s->next += count;
	return pa;
}

static void rest_to_pool(struct ooh_setup *s)
{
	for (; s->block < s->nr_blocks; s->block++, s->next = 0)
		for (; s->next < PAGES_A_BLOCK; s->next++)
			hv_page_free(s->hv, page_to_phys(s->blocks[s->block]) + (u64)s->next * PAGE_SIZE);
	s->hv->pool.reserve = LATE_MMIO_PAGES;
}

/* Enough to split all RAM to 4 KiB leaves at once: about 1/512 of it. */
static u64 pages_needed(const struct ooh_setup *s, const struct hv *hv)
{
	u64 gigabytes = ooh_mapped_top(hv) >> PAGE_SHIFT_1G;
	u64 pages = FEW_PAGES + LATE_MMIO_PAGES + (s->image.end - s->image.start) / PAGE_SIZE;
	unsigned int i;

	pages += (u64)s->nr_cpus * PAGES_A_CPU + DIV_ROUND_UP(s->nr_cpus, 32);
	pages += 2 * gigabytes + 2 * DIV_ROUND_UP(gigabytes, PAGE_TABLE_ENTRIES);
	for (i = 0; i < hv->nr_ram; i++)
		pages += (hv->ram[i].end - hv->ram[i].start) / HV_BLOCK_SIZE + 2;
	return pages;
}

/* ---- contents ---- */

static int check_image(struct ooh_setup *s)
{
	size_t size = ooh_hv_image_end - ooh_hv_image_start;

	memcpy(&s->image, ooh_hv_image_start, sizeof(s->image));
	if (size < sizeof(s->image) || s->image.magic != HV_IMAGE_MAGIC || s->image.state_size != sizeof(struct hv) ||
	    s->image.end - s->image.start > HV_BLOCK_SIZE) {
		pr_err("cannot enable: the embedded image does not belong to this module\n");
		return -ENOEXEC;
	}
	return 0;
}

static void copy_image(struct ooh_setup *s)
{
	u64 pa = ooh_take_pages(s, (s->image.end - s->image.start) / PAGE_SIZE);

	memcpy(__va(pa), ooh_hv_image_start, ooh_hv_image_end - ooh_hv_image_start);
	s->hv = __va(pa + (s->image.state - s->image.start));
}

static int compare_blocks(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static void list_blocks(struct ooh_setup *s)
{
	unsigned int i;

	for (i = 0; i < s->nr_blocks; i++)
		s->hv->blocks[i] = page_to_phys(s->blocks[i]);
	s->hv->nr_blocks = s->nr_blocks;
	s->hv->memory = s->nr_blocks * HV_BLOCK_SIZE;
	sort(s->hv->blocks, s->nr_blocks, sizeof(u64), compare_blocks, NULL);
}

/* SDM 3A "Segment Descriptor Tables in IA-32e Mode": flat code and data, a TSS with two interrupt stacks. */
static void fill_cpu(struct ooh_cpu *cpu)
{
	struct hv_cpu *c = cpu->state;
	u64 va = (uintptr_t)hv_cpu_at(cpu->index), tss = va + offsetof(struct hv_cpu, tss);

	c->index = cpu->index;
	c->pml = (u64 *)(uintptr_t)(HV_DIRECT_BASE + cpu->pml);
	c->gdt[HV_SEL_CODE / 8] = 0x00209b0000000000;
	c->gdt[HV_SEL_DATA / 8] = 0x0000930000000000;
	c->gdt[HV_SEL_TSS / 8] = (sizeof(c->tss) - 1) | (tss & 0xffffff) << 16 | 0x8bull << 40 |
				 (tss >> 24 & 0xff) << 56;
	c->gdt[HV_SEL_TSS / 8 + 1] = tss >> 32;
	c->tss.ist[0] = va + HV_CPU_NMI_TOP;
	c->tss.ist[1] = va + HV_CPU_FAULT_TOP;
	c->tss.iopb = sizeof(c->tss);
}

static void make_cpus(struct ooh_setup *s)
{
	unsigned int cpu, index = 0;

	for_each_online_cpu(cpu) {
		struct ooh_cpu *c = &s->cpu[cpu];

		if (index == s->nr_cpus)
			break; /* came online since we counted: its launch will fail, and so the whole */
		c->index = index++;
		c->state = __va(ooh_take_pages(s, HV_CPU_STATE_PAGES));
		c->vmxon = ooh_take_pages(s, 1);
		c->vmcs = ooh_take_pages(s, 1);
		c->pml = ooh_take_pages(s, 1);
		fill_cpu(c);
	}
	s->hv->nr_cpus = index;
}

/* Vector 2 has a stack of its own; all others mean a stop, on another one. SDM 3A "Interrupt Stack Table". */
static void fill_idt(struct ooh_setup *s)
{
	unsigned int i;

	for (i = 0; i < HV_IDT_VECTORS; i++) {
		u64 stub = s->image.stubs + i * HV_STUB_STRIDE, ist = i == 2 ? 1 : 2;

		s->hv->idt[i].low = (stub & 0xffff) | HV_SEL_CODE << 16 | ist << 32 | 0x8eull << 40 |
				    (stub >> 16 & 0xffff) << 48;
		s->hv->idt[i].high = stub >> 32;
	}
}

/*
 * All MSRs go through but those that VMX itself is about; IA32_FEATURE_CONTROL may be read.
 */
static void fill_msr_bitmap(struct ooh_setup *s)
{
	u8 *bitmap;
	u32 msr;

	s->msr_bitmap = ooh_take_pages(s, 1);
	bitmap = __va(s->msr_bitmap);
	for (msr = IA32_VMX_BASIC; msr <= IA32_VMX_VMFUNC; msr++) {
		bitmap[MSR_BITMAP_READ_LOW + msr / 8] |= 1 << msr % 8;
		bitmap[MSR_BITMAP_WRITE_LOW + msr / 8] |= 1 << msr % 8;
	}
	bitmap[MSR_BITMAP_WRITE_LOW + IA32_FEATURE_CONTROL / 8] |= 1 << IA32_FEATURE_CONTROL % 8;
}

static void read_machine(struct hv *hv)
{
	hv->phys_limit = 1ull << min(cpuid_eax(0x80000008) & 0xff, 48u); /* what 4 levels of EPT reach */
	hv->has_1g = !!(ooh_rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_1G);
	ooh_read_ram(hv);
	ooh_read_mtrrs(hv);
}

/* Needs of the machine as it is now; in a scratch copy, because the real one lies in the memory to be allocated. */
static int count_and_alloc(struct ooh_setup *s)
{
	struct hv *scratch = kvzalloc(sizeof(*scratch), GFP_KERNEL);
	int ret = -ENOMEM;

	if (!scratch)
		return ret;
	read_machine(scratch);
	s->nr_cpus = num_online_cpus();
	if (ooh_mapped_top(scratch) > HV_DIRECT_SIZE || scratch->nr_ram == HV_MAX_RAM || s->nr_cpus > HV_MAX_CPUS)
		ret = -E2BIG;
	else
		ret = alloc_blocks(s, pages_needed(s, scratch));
	kvfree(scratch);
	return ret;
}

int ooh_memory_build(struct ooh_setup *s, void *dump, size_t dump_size)
{
	int ret = check_image(s);

	if (ret)
		return ret;
	s->cpu = kcalloc(nr_cpu_ids, sizeof(*s->cpu), GFP_KERNEL);
	ret = s->cpu ? count_and_alloc(s) : -ENOMEM;
	if (ret) {
		pr_err("cannot enable: no memory for it (%u blocks of 2 MiB were had)\n", s->nr_blocks);
		return ret;
	}
	copy_image(s);
	read_machine(s->hv);
	list_blocks(s);
	s->hv->direct_base = PAGE_OFFSET;
	s->hv->dump = __pa(dump);
	s->hv->dump_size = dump_size;
	s->hv->leave_rip = (uintptr_t)ooh_hv_leave_vmcall;
	make_cpus(s);
	fill_idt(s);
	fill_msr_bitmap(s);
	ooh_map_host(s);
	rest_to_pool(s);
	ret = ooh_map_guest(s->hv);
	s->hv->direct_base = HV_DIRECT_BASE; /* from here on the state speaks of root mode's addresses */
	return ret;
}

void ooh_memory_free(struct ooh_setup *s)
{
	unsigned int i;

	for (i = 0; i < s->nr_blocks; i++)
		__free_pages(s->blocks[i], BLOCK_ORDER);
	kvfree(s->blocks);
	kfree(s->cpu);
	memset(s, 0, sizeof(*s));
}
