/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VEX-encoded instructions that touch only some elements of memory: masked moves, gathers; and string comparisons. */
#include "machine/fpu/rows.h"
#include "machine/fpu/vex.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

static inline u64 get(const struct ymm *r, unsigned i, unsigned size)
{
	const u8 *p = (const u8 *)r + i * size;
	u64 v = 0;

	memcpy(&v, p, size);
	return v;
}

static inline void put(struct ymm *r, unsigned i, unsigned size, u64 v)
{
	memcpy((u8 *)r + i * size, &v, size);
}

static inline bool chosen(const struct ymm *mask, unsigned i, unsigned size)
{
	return get(mask, i, size) >> (8 * size - 1);
}

static inline u64 load(struct cpu *c, const struct op *o, u64 lin, unsigned size)
{
	return size == 4 ? ld32(c, o, lin) : ld64(c, o, lin);
}

static inline void clear_from(struct ymm *r, unsigned bytes)
{
	memset((u8 *)r + bytes, 0, sizeof(*r) - bytes);
}

/* The first and the last element that is chosen; false: none is. */
static bool chosen_span(const struct ymm *mask, unsigned n, unsigned size, unsigned *first, unsigned *last)
{
	bool any = false;

	for (unsigned i = 0; i < n; i++) {
		if (!chosen(mask, i, size))
			continue;
		if (!any)
			*first = i;
		*last = i;
		any = true;
	}
	return any;
}

/* SDM 2C "VMASKMOV", "VPMASKMOV": elements that are not chosen are not accessed, and read as 0. op.src is the mask. */
static void masked_load(struct cpu *c, const struct op *o, unsigned size)
{
	const struct ymm *mask = ymm_src(c, o);
	unsigned n = o->size / size;
	unsigned first = 0, last = 0;
	struct ymm v = { 0 };
	u64 lin;

	if (chosen_span(mask, n, size, &first, &last)) {
		lin = op_lin(c, o, o->size, ACCESS_READ);
		for (unsigned i = 0; i < n; i++)
			if (chosen(mask, i, size))
				put(&v, i, size, load(c, o, lin + i * size, size));
	}
	*ymm_dst(c, o) = v;
}

/*
 * All that is chosen can be written before the first is. A fault in the second of two pages names the last byte, as
 * Intel's CPUs do it. op.dst is the mask, op.src the source.
 */
static void masked_store(struct cpu *c, const struct op *o, unsigned size)
{
	const struct ymm *mask = ymm_dst(c, o), *v = ymm_src(c, o);
	unsigned n = o->size / size, first = 0, last = 0;
	u64 lin;

	if (!chosen_span(mask, n, size, &first, &last))
		return;
	lin = op_lin(c, o, o->size, ACCESS_WRITE);
	mmu_probe(c, o, lin + first * size, 1, ACCESS_WRITE);
	mmu_probe(c, o, lin + last * size + size - 1, 1, ACCESS_WRITE);
	for (unsigned i = 0; i < n; i++) {
		if (!chosen(mask, i, size))
			continue;
		if (size == 4)
			st32(c, o, lin + i * size, (u32)get(v, i, size));
		else
			st64(c, o, lin + i * size, get(v, i, size));
	}
}

#define MASKED(name, size)                                                                                             \
	HANDLER(name##size)                                                                                            \
	{                                                                                                              \
		avx_check(c, o);                                                                                       \
		name(c, o, size);                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
MASKED(masked_load, 4)
MASKED(masked_load, 8)
MASKED(masked_store, 4)
MASKED(masked_store, 8)

/* --- gathers: op.index is a vector register, whose elements have `isize` bytes --- */

static u64 gather_lin(struct cpu *c, const struct op *o, unsigned i, unsigned isize, unsigned size)
{
	u64 index = get(&c->fpu.ymm[o->aux2], i, isize), ea;

	if (isize == 4)
		index = (u64)(s64)(s32)index;
	ea = c->gpr[o->base] + (index << o->scale) + (u64)(s64)o->disp;
	if (o->asize != 8)
		ea = (u32)ea;
	return o->flags & OP_FLAT ? ea : seg_linear(c, o, (enum sreg)o->seg, ea, size, ACCESS_READ);
}

/*
 * SDM 2C "VGATHERDPD": elements with the mask's sign set are loaded in order, and their masks cleared, so that a fault
 * leaves what has been done. At the end the mask is 0 and the rest of the destination, too. What a fault leaves
 * beyond the elements is as Intel's CPUs do it. op.src is the mask; `bytes` is the vector length.
 */
static void gather(struct cpu *c, const struct op *o, unsigned isize, unsigned size, unsigned bytes)
{
	struct ymm *d = ymm_dst(c, o), *mask = ymm_src(c, o);
	unsigned n = bytes / (isize > size ? isize : size);

	for (unsigned i = 0; i < bytes / size; i++)
		put(mask, i, size, chosen(mask, i, size) ? ~0ull : 0);
	clear_from(mask, bytes);
	for (unsigned i = 0; i < n; i++) {
		if (!chosen(mask, i, size))
			continue;
		put(d, i, size, load(c, o, gather_lin(c, o, i, isize, size), size));
		put(mask, i, size, 0);
		clear_from(d, bytes);
	}
	clear_from(d, n * size);
	clear_from(mask, 0);
}

#define GATHER(isize, size, bytes)                                                                                     \
	HANDLER(gather_##isize##_##size##_##bytes)                                                                     \
	{                                                                                                              \
		avx_check(c, o);                                                                                       \
		gather(c, o, isize, size, bytes);                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
#define GATHERS(isize, size) GATHER(isize, size, 16) GATHER(isize, size, 32)
GATHERS(4, 4)
GATHERS(4, 8)
GATHERS(8, 4)
GATHERS(8, 8)

#define MEMORY(name, shape, n, f128, f256) { ZYDIS_MNEMONIC_##name, shape, n, { f128, f256 } }
#define MASKS(name, size)                                                                                              \
	MEMORY(name, SHAPE(X, X), 3, masked_load##size, masked_load##size),                                            \
	MEMORY(name, SHAPE(M, X), 3, masked_store##size, masked_store##size)
#define GATHER_ROW(name, isize, size) \
	MEMORY(name, SHAPE(X, M), 3, gather_##isize##_##size##_16, gather_##isize##_##size##_32)

const struct vex_move vex_memory[] = {
	MASKS(VMASKMOVPS, 4), MASKS(VMASKMOVPD, 8), MASKS(VPMASKMOVD, 4), MASKS(VPMASKMOVQ, 8),
	GATHER_ROW(VGATHERDPS, 4, 4), GATHER_ROW(VGATHERDPD, 4, 8), GATHER_ROW(VGATHERQPS, 8, 4),
	GATHER_ROW(VGATHERQPD, 8, 8), GATHER_ROW(VPGATHERDD, 4, 4), GATHER_ROW(VPGATHERDQ, 4, 8),
	GATHER_ROW(VPGATHERQD, 8, 4), GATHER_ROW(VPGATHERQQ, 8, 8),
	MEMORY(INVALID, 0, 0, NULL, NULL)
};
