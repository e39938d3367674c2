/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment registers: how they are loaded in each mode, and what they allow. SDM 3A "Segmentation" (chapter 3),
 * "Protection" (5).
 */
#include "machine/cpu/sys/priv.h"

bool sys_base_valid(u64 v)
{
	return is_canonical(v, cpuid_has(NULL, FEAT_LA57));
}

/* Expand-down data segments hold the offsets above the limit. SDM 3A "Limit Checking". */
bool seg_limit_ok(const struct segment *s, u64 off, unsigned size)
{
	u64 last = off + size - 1;

	if ((s->ar & (DESC_S | SEG_TYPE_CODE | SEG_TYPE_E)) == (DESC_S | SEG_TYPE_E))
		return off > s->limit && last <= (s->ar & DESC_DB ? 0xffffffffull : 0xffffull);
	/* At the end of a full segment CPUs go on at offset 0. */
	return last <= s->limit || s->limit == 0xffffffffu;
}

static bool seg_type_ok(const struct segment *s, enum mmu_access a)
{
	if (s->ar & SEG_TYPE_CODE)
		return a != ACCESS_WRITE && (s->ar & SEG_TYPE_R);
	return a != ACCESS_WRITE || (s->ar & SEG_TYPE_W);
}

u64 seg_linear(struct cpu *c, const struct op *o, enum sreg seg, u64 ea, unsigned size, enum mmu_access a)
{
	const struct segment *s = &c->seg[seg];
	unsigned vector = seg == SS ? VEC_SS : VEC_GP;

	if (in_64bit(c)) {
		u64 lin = seg >= FS ? s->base + ea : ea;

		if (unlikely(!sys_canonical(c, lin)))
			cpu_raise_err(c, o, vector, 0);
		return lin;
	}
	if ((s->ar & SEG_UNUSABLE) || !seg_limit_ok(s, ea, size) || (in_protected(c) && !seg_type_ok(s, a)))
		cpu_raise_err(c, o, vector, 0);
	return (u32)(s->base + ea);
}

u64 seg_linear_unchecked(const struct cpu *c, enum sreg s, u64 ea)
{
	if (in_64bit(c))
		return s >= FS ? c->seg[s].base + ea : ea;
	return (u32)(c->seg[s].base + ea);
}

/*
 * Real mode changes selector and base only: limit and rights stay what they were ("unreal mode" works). CS: SDM 3A
 * 22.1.1.
 */
void seg_load_real(struct cpu *c, enum sreg s, u16 sel)
{
	c->seg[s].sel = sel;
	c->seg[s].base = (u64)sel << 4;
	/*
	 * Limit and granularity stay ("unreal mode"); code becomes writable data, as VM entries of real-mode guests
	 * expect.
	 */
	if (c->seg[s].ar & SEG_UNUSABLE) {
		c->seg[s].limit = 0xffff;
		c->seg[s].ar = DESC_P | DESC_S | SEG_TYPE_W | SEG_TYPE_A;
	} else if (s == CS) {
		c->seg[s].ar = (c->seg[s].ar & DESC_G) | DESC_P | DESC_S | SEG_TYPE_W | SEG_TYPE_A;
	}
}

void seg_load_v86(struct cpu *c, enum sreg s, u16 sel)
{
	c->seg[s] = (struct segment){
		.base = (u64)sel << 4, .limit = 0xffff, .ar = DESC_P | DESC_S | DESC_DPL | SEG_TYPE_W | SEG_TYPE_A,
			.sel = sel,
	};
}

/* SS.DPL of an unusable SS still holds the CPL. */
void seg_set_null(struct cpu *c, enum sreg s, u16 sel)
{
	c->seg[s] = (struct segment){ .sel = sel, .ar = SEG_UNUSABLE | (s == SS ? (u32)c->cpl << DESC_DPL_SHIFT : 0) };
}

static void seg_load_ss(struct cpu *c, const struct op *o, u16 sel)
{
	struct desc d;

	if (sel_is_null(sel)) {
		if (!in_64bit(c) || c->cpl == 3 || (sel & SELECTOR_RPL) != c->cpl)
			raise_gp0(c, o);
		seg_set_null(c, SS, sel);
		return;
	}
	desc_need(c, o, sel, &d, VEC_GP);
	if ((sel & SELECTOR_RPL) != c->cpl || !desc_is_writable_data(&d) || desc_dpl(&d) != c->cpl)
		raise_sel(c, o, VEC_GP, sel);
	if (!desc_present(&d))
		raise_sel(c, o, VEC_SS, sel);
	desc_set_accessed(c, o, &d);
	c->seg[SS] = desc_segment(&d, sel);
}

static bool data_segment_allowed(const struct desc *d, unsigned cpl, unsigned rpl)
{
	return desc_is_conforming(d) || (cpl <= desc_dpl(d) && rpl <= desc_dpl(d));
}

static void seg_load_data(struct cpu *c, const struct op *o, enum sreg s, u16 sel)
{
	struct desc d;

	if (sel_is_null(sel)) {
		seg_set_null(c, s, sel);
		return;
	}
	desc_need(c, o, sel, &d, VEC_GP);
	if (!(d.ar & DESC_S) || (desc_is_code(&d) && !(d.ar & SEG_TYPE_R)) ||
	    !data_segment_allowed(&d, c->cpl, sel & SELECTOR_RPL))
		raise_sel(c, o, VEC_GP, sel);
	if (!desc_present(&d))
		raise_sel(c, o, VEC_NP, sel);
	desc_set_accessed(c, o, &d);
	c->seg[s] = desc_segment(&d, sel);
}

void seg_load(struct cpu *c, const struct op *o, enum sreg s, u16 sel)
{
	if (!(c->cr0 & CR0_PE))
		seg_load_real(c, s, sel);
	else if (in_v86(c))
		seg_load_v86(c, s, sel);
	else if (s == SS)
		seg_load_ss(c, o, sel);
	else
		seg_load_data(c, o, s, sel);
}

void seg_drop_privileged(struct cpu *c, unsigned new_cpl)
{
	static const enum sreg data[] = { ES, DS, FS, GS };

	for (unsigned i = 0; i < 4; i++) {
		struct segment *s = &c->seg[data[i]];
		bool conforming = (s->ar & (SEG_TYPE_CODE | SEG_TYPE_C)) == (SEG_TYPE_CODE | SEG_TYPE_C);

		if (!(s->ar & SEG_UNUSABLE) && !conforming && bits(s->ar, 6, 5) < new_cpl) {
			s->sel = 0; /* the base stays: 64-bit mode uses that of FS and GS */
			s->ar = SEG_UNUSABLE;
		}
	}
}
