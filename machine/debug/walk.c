/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page walks for people: what is in memory now, level by level, in guest paging and EPT. Nothing is set, cached or
 * charged; the TLB may say otherwise. SDM 3A "Paging"; SDM 3C "The Extended Page Table Mechanism (EPT)".
 */
#include <inttypes.h>
#include <string.h>

#include "arch/paging.h"
#include "arch/vmx.h"
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/debug/state.h"
#include "machine/mmu/format.h"
#include "machine/mmu/phys.h"
#include "machine/vmx/vmcs.h"

#define EPT_LEVEL_SHIFT(level) (PAGE_SHIFT + 9 * (level)) /* level 0: page table */

struct flag {
	u64 bit;
	const char *name;
};

static const struct flag pte_flags[] = {
	{ PTE_P, "P" }, { PTE_RW, "RW" }, { PTE_US, "US" }, { PTE_PWT, "PWT" }, { PTE_PCD, "PCD" }, { PTE_A, "A" },
	{ PTE_NX, "NX" }, { 0, NULL },
};
static const struct flag leaf_flags[] = { { PTE_D, "D" }, { PTE_G, "G" }, { 0, NULL } };
static const struct flag ept_flags[] = {
	{ EPT_R, "R" }, { EPT_W, "W" }, { EPT_X, "X" }, { EPT_A, "A" }, { EPT_UX, "UX" }, { EPT_SPP, "SPP" },
	{ EPT_SVE, "SVE" }, { 0, NULL },
};
static const struct flag ept_leaf_flags[] = { { EPT_D, "D" }, { EPT_IPAT, "IPAT" }, { 0, NULL } };

static void print_flags(FILE *f, u64 e, const struct flag *flag)
{
	for (; flag->name; flag++)
		if (e & flag->bit)
			fprintf(f, " %s", flag->name);
}

static void print_size(FILE *f, unsigned shift)
{
	if (shift >= 30)
		fprintf(f, ", %u GiB page", 1u << (shift - 30));
	else if (shift >= 20)
		fprintf(f, ", %u MiB page", 1u << (shift - 20));
	else
		fprintf(f, ", %u KiB page", 1u << (shift - 10));
}

struct view view_now(const struct cpu *c)
{
	struct view v = { .fmt = c->mmu->fmt, .cr3 = c->cr3, .long_mode = c->efer & EFER_LMA };

	memcpy(v.pdpte, c->pdpte, sizeof(v.pdpte));
	v.eptp = c->vmx.nonroot && c->vmx.ept ? c->vmx.eptp : 0;
	return v;
}

struct view view_guest(const struct cpu *c)
{
	struct view v = { 0 };
	u64 efer = VMCS(c, ENTRY_CONTROLS) & VMENTRY_IA32E_GUEST ? EFER_LMA : 0;

	if (c->vmx.nonroot || !c->vmx.on || c->vmx.vmcs_ptr == VMX_NO_POINTER)
		return view_now(c);
	v.fmt = pt_format_of(VMCS(c, GUEST_CR0), VMCS(c, GUEST_CR4), efer);
	v.cr3 = VMCS(c, GUEST_CR3);
	v.long_mode = efer;
	for (unsigned i = 0; i < 4; i++)
		v.pdpte[i] = (&VMCS(c, GUEST_PDPTE0))[i];
	if ((VMCS(c, PROC_CONTROLS) & PROC_SECONDARY_CONTROLS) && (VMCS(c, PROC2_CONTROLS) & PROC2_ENABLE_EPT))
		v.eptp = VMCS(c, EPT_POINTER);
	return v;
}

/* --- EPT --- */

static const char *const ept_names[] = { "EPT PTE", "EPT PDE", "EPT PDPTE", "EPT PML4E", "EPT PML5E" };

/* With mode-based execute control the right to fetch from user-mode addresses alone makes an entry present. */
static bool ept_present(const struct cpu *c, u64 e)
{
	return e & (c->vmx.mbec ? EPT_RWX | EPT_UX : EPT_RWX);
}

static void print_spp(FILE *f, struct cpu *c, gpa_t gpa)
{
	u32 writable;

	if (spp_peek(c->m, c->vmx.spptp, gpa, &writable))
		fprintf(f, "    sub-pages that can be written: %08" PRIx32 " (bit n: bytes 128n on)\n", writable);
	else
		fputs("    sub-page permissions: missing or misconfigured\n", f);
}

static void print_ept(FILE *f, const struct cpu *c, unsigned level, hpa_t at, u64 e, bool leaf)
{
	fprintf(f, "    %-9s @%012" PRIx64 " = %016" PRIx64, ept_names[level], at.v, e);
	print_flags(f, e, ept_flags);
	if (!ept_present(c, e))
		fputs(" not present", f);
	if (leaf) {
		print_flags(f, e, ept_leaf_flags);
		fprintf(f, " MT=%u", (unsigned)((e & EPT_MT) >> EPT_MT_SHIFT));
		print_size(f, EPT_LEVEL_SHIFT(level));
	}
	fputc('\n', f);
}

static bool ept_leaf(u64 e, unsigned level)
{
	return level == 0 || (level <= 2 && (e & EPT_PS));
}

bool debug_walk_ept(struct cpu *c, const struct view *v, gpa_t gpa, hpa_t *out, FILE *f)
{
	u64 eptp = v->eptp, table = eptp & EPTP_ADDRESS, in_page, e;
	hpa_t at;

	out->v = gpa.v;
	if (!eptp)
		return true;
	for (unsigned level = (unsigned)((eptp & EPTP_WALK) >> EPTP_WALK_SHIFT);; level--) {
		at.v = table + (gpa.v >> EPT_LEVEL_SHIFT(level) & (PAGE_TABLE_ENTRIES - 1)) * 8;
		e = phys_read(bus_ram(&c->m->bus, at), 8);
		if (f)
			print_ept(f, c, level, at, e, ept_leaf(e, level));
		if (!ept_present(c, e))
			return false;
		table = e & EPT_ADDRESS;
		in_page = (1ull << EPT_LEVEL_SHIFT(level)) - 1;
		if (ept_leaf(e, level))
			break;
	}
	if (f && c->vmx.spp && in_page == PAGE_OFFSET_MASK && (e & EPT_SPP) && !(e & EPT_W))
		print_spp(f, c, gpa);
	out->v = (table & ~in_page) | (gpa.v & in_page);
	return true;
}

/* --- guest paging --- */

static const char *const level_names[] = { "PTE", "PDE", "PDPTE", "PML4E", "PML5E" };

static bool guest_leaf(const struct pt_level *l, u64 e)
{
	return l->leaf == LEAF_ALWAYS || (l->leaf == LEAF_BY_PS && (e & PTE_PS));
}

static void print_guest(FILE *f, unsigned level, gpa_t at, u64 e, const struct pt_level *l)
{
	fprintf(f, "%-9s @%012" PRIx64 " = %016" PRIx64, level_names[level], at.v, e);
	print_flags(f, e, pte_flags);
	if (!(e & PTE_P)) {
		fputs(" not present", f);
	} else if (guest_leaf(l, e)) {
		print_flags(f, e, leaf_flags);
		print_size(f, l->shift);
	}
	fputc('\n', f);
}

/* False: PAE paging has no table for the address. */
static bool root_table(const struct view *v, u64 lin, u64 *table, FILE *f)
{
	u64 e;

	if (!v->fmt->pae) {
		*table = v->cr3 & (v->fmt->entry == 4 ? 0xfffff000ull : CR3_ADDRESS);
		return true;
	}
	e = v->pdpte[bits(lin, 31, 30)];
	if (f)
		fprintf(f, "PDPTE%u register = %016" PRIx64 "%s\n", (unsigned)bits(lin, 31, 30), e,
			e & PTE_P ? " P" : " not present");
	*table = e & PTE_ADDRESS;
	return e & PTE_P;
}

static u64 page_base(const struct pt_format *fmt, unsigned level, u64 e)
{
	u64 in_page = (1ull << fmt->level[level].shift) - 1;

	if (fmt->entry == 4 && level == 1) /* PSE-36: bits 20:13 are address bits 39:32 */
		return (e & 0xffc00000u) | bits(e, 20, 13) << 32;
	return e & PTE_ADDRESS & ~in_page;
}

static unsigned top_bit(const struct pt_format *fmt)
{
	const struct pt_level *l = &fmt->level[fmt->levels - 1];

	return l->shift + l->index_bits - 1u;
}

bool debug_walk_linear(struct cpu *c, const struct view *v, u64 lin, gpa_t *out, FILE *f)
{
	const struct pt_format *fmt = v->fmt;
	u64 table, e;

	out->v = lin;
	if (!fmt)
		return true;
	if (v->long_mode && (u64)((s64)(lin << (63 - top_bit(fmt))) >> (63 - top_bit(fmt))) != lin)
		return false; /* not canonical */
	if (!root_table(v, lin, &table, f))
		return false;
	for (unsigned level = fmt->levels - 1u;; level--) {
		const struct pt_level *l = &fmt->level[level];
		gpa_t at = { table + (lin >> l->shift & ((1u << l->index_bits) - 1)) * fmt->entry };
		hpa_t host;

		if (!debug_walk_ept(c, v, at, &host, NULL)) {
			if (f)
				fprintf(f, "%-9s @%012" PRIx64 ": not mapped by EPT\n", level_names[level], at.v);
			return f ? debug_walk_ept(c, v, at, &host, f) : false;
		}
		e = phys_read(bus_ram(&c->m->bus, host), fmt->entry);
		if (f) {
			print_guest(f, level, at, e, l);
			debug_walk_ept(c, v, at, &host, f);
		}
		if (!(e & PTE_P))
			return false;
		if (guest_leaf(l, e)) {
			out->v = page_base(fmt, level, e) | (lin & ((1ull << l->shift) - 1));
			return true;
		}
		table = e & PTE_ADDRESS;
	}
}
