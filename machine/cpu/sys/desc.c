/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Segment and system descriptors in the GDT and the LDT. SDM 3A "Segment Descriptors" (3.4.5), "System Descriptor
 * Types" (3.5).
 */
#include "machine/cpu/sys/priv.h"

void desc_decode(struct desc *d, u32 lo, u32 hi, u64 lin)
{
	u32 limit = (lo & 0xffff) | (hi & 0xf0000);

	d->lo = lo;
	d->hi = hi;
	d->lin = lin;
	d->ar = hi >> 8 & 0xf0ff;
	d->limit = d->ar & DESC_G ? limit << 12 | 0xfff : limit;
	d->base = lo >> 16 | (hi & 0xff) << 16 | (hi & 0xff000000);
}

/* False if n bytes from the selector's descriptor do not lie in its table. */
static bool desc_locate(const struct cpu *c, u16 sel, unsigned n, u64 *lin)
{
	u64 base = c->gdtr.base, limit = c->gdtr.limit;

	if (sel & SELECTOR_TI) {
		if (c->ldtr.ar & SEG_UNUSABLE)
			return false;
		base = c->ldtr.base;
		limit = c->ldtr.limit;
	}
	if ((u64)(sel & SELECTOR_INDEX) + n - 1 > limit)
		return false;
	*lin = base + (sel & SELECTOR_INDEX);
	if (!in_long_mode(c))
		*lin = (u32)*lin;
	return true;
}

bool desc_read(struct cpu *c, const struct op *o, u16 sel, struct desc *d)
{
	u64 lin, v;

	if (!desc_locate(c, sel, 8, &lin))
		return false;
	v = mmu_ld_sys(c, o, lin, 8);
	desc_decode(d, (u32)v, (u32)(v >> 32), lin);
	return true;
}

void desc_need(struct cpu *c, const struct op *o, u16 sel, struct desc *d, unsigned vector)
{
	if (sel_is_null(sel) || !desc_read(c, o, sel, d))
		raise_sel(c, o, vector, sel);
}

bool desc_read_high(struct cpu *c, const struct op *o, u16 sel, struct desc *d)
{
	u64 lin, v;

	if (!desc_locate(c, sel, 16, &lin))
		return false;
	v = mmu_ld_sys(c, o, lin + 8, 8);
	if (bits(v, 44, 40))
		return false;
	d->base |= v << 32;
	return true;
}

void desc_set_accessed(struct cpu *c, const struct op *o, struct desc *d)
{
	if (d->ar & SEG_TYPE_A)
		return;
	d->ar |= SEG_TYPE_A;
	d->hi |= SEG_TYPE_A << 8;
	mmu_st_sys(c, o, d->lin + 5, 1, (u8)(d->hi >> 8));
}

struct segment desc_segment(const struct desc *d, u16 sel)
{
	return (struct segment){ .base = d->base, .limit = d->limit, .ar = d->ar, .sel = sel };
}
