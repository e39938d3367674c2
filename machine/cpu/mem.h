/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operands in memory: effective and linear addresses, and the inlined fast paths of loads and stores. */
#ifndef OOH_MACHINE_CPU_MEM_H
#define OOH_MACHINE_CPU_MEM_H

#include <string.h>

#include "machine/cpu/cpu.h"

static inline u64 op_ea(const struct cpu *c, const struct op *o)
{
	u64 ea = c->gpr[o->base] + (c->gpr[o->index] << o->scale) + (s64)o->disp;

	if (likely(o->asize == 8))
		return ea;
	return o->asize == 4 ? (u32)ea : (u16)ea;
}

/* Segmentation outside the flat 64-bit case: base, limit and type checks; raises #GP or #SS. */
u64 seg_linear(struct cpu *c, const struct op *o, enum sreg seg, u64 ea, unsigned size, enum mmu_access a);

/* The linear address of the explicit memory operand. */
static inline u64 op_lin(struct cpu *c, const struct op *o, unsigned size, enum mmu_access a)
{
	u64 ea = op_ea(c, o);

	if (likely(o->flags & OP_FLAT))
		return ea;
	return seg_linear(c, o, (enum sreg)o->seg, ea, size, a);
}

static inline bool tlb_hit(u64 tag, u64 lin, u32 ctx, unsigned size)
{
	/*
	 * The tag is of the last byte's page, the entry was chosen by the first byte's: an access across pages never
	 * hits.
	 */
	return tag == (((lin + size - 1) & ~PAGE_OFFSET_MASK) | ctx);
}

#define MEM_ACCESSORS(bits)                                                                                            \
	static inline u##bits ld##bits(struct cpu *c, const struct op *o, u64 lin)                                     \
	{                                                                                                              \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
		u##bits v;                                                                                             \
                                                                                                                       \
		if (unlikely(!tlb_hit(t->tag_r, lin, c->ctx, bits / 8)))                                               \
			return (u##bits)mmu_ld(c, o, lin, bits / 8);                                                   \
		memcpy(&v, (const void *)(t->addend + lin), sizeof(v));                                                \
		return v;                                                                                              \
	}                                                                                                              \
	static inline void st##bits(struct cpu *c, const struct op *o, u64 lin, u##bits v)                             \
	{                                                                                                              \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
                                                                                                                       \
		if (unlikely(!tlb_hit(t->tag_w, lin, c->ctx, bits / 8)))                                               \
			mmu_st(c, o, lin, bits / 8, v);                                                                \
		else                                                                                                   \
			memcpy((void *)(t->addend + lin), &v, sizeof(v));                                              \
	}                                                                                                              \
	/* Load for read-modify-write: the st that follows cannot fault. */                                           \
	static inline u##bits ld##bits##_rmw(struct cpu *c, const struct op *o, u64 lin)                               \
	{                                                                                                              \
		const struct tlb_fast *t = &c->tlb[tlb_index(lin)];                                                    \
		u##bits v;                                                                                             \
                                                                                                                       \
		if (unlikely(!tlb_hit(t->tag_w, lin, c->ctx, bits / 8)))                                               \
			return (u##bits)mmu_ld_rmw(c, o, lin, bits / 8);                                               \
		memcpy(&v, (const void *)(t->addend + lin), sizeof(v));                                                \
		return v;                                                                                              \
	}
MEM_ACCESSORS(8)
MEM_ACCESSORS(16)
MEM_ACCESSORS(32)
MEM_ACCESSORS(64)

static inline void ld_buf(struct cpu *c, const struct op *o, u64 lin, void *buf, unsigned n)
{
	const struct tlb_fast *t = &c->tlb[tlb_index(lin)];

	if (unlikely(!tlb_hit(t->tag_r, lin, c->ctx, n)))
		mmu_ld_buf(c, o, lin, buf, n);
	else
		memcpy(buf, (const void *)(t->addend + lin), n);
}

static inline void st_buf(struct cpu *c, const struct op *o, u64 lin, const void *buf, unsigned n)
{
	const struct tlb_fast *t = &c->tlb[tlb_index(lin)];

	if (unlikely(!tlb_hit(t->tag_w, lin, c->ctx, n)))
		mmu_st_buf(c, o, lin, buf, n);
	else
		memcpy((void *)(t->addend + lin), buf, n);
}

#endif
