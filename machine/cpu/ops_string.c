// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * MOVS STOS LODS CMPS SCAS. Repeated ones end their block: after each chunk the registers are architectural, so that
 * a fault or an event finds the instruction restartable. SDM 2B "REP/REPE/REPZ/REPNE/REPNZ".
 */
#include "arch/x86.h"
#include "machine/cpu/block.h"
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

/* Cycles of n bytes moved in a chunk, and of one element where the instruction goes element by element. */
static void charge_bytes(struct cpu *c, u64 n)
{
	c->budget -= (s64)((n + 31) / 32 * c->m->costs->cycles[COST_REP_CHUNK]);
}

static s64 step_of(const struct cpu *c, const struct op *o)
{
	return c->eflags & EFLAGS_DF ? -(s64)o->size : o->size;
}

static u64 address(const struct cpu *c, const struct op *o, unsigned reg)
{
	return c->gpr[reg] & size_mask(o->asize);
}

static void advance(struct cpu *c, const struct op *o, unsigned reg, s64 n)
{
	u64 v = c->gpr[reg] + (u64)n;

	if (o->asize == 2)
		set_reg16(c, reg, (u16)v);
	else
		c->gpr[reg] = v & size_mask(o->asize);
}

static u64 source_linear(struct cpu *c, const struct op *o)
{
	u64 ea = address(c, o, RSI);

	return o->flags & OP_FLAT ? ea : seg_linear(c, o, (enum sreg)o->seg, ea, o->size, ACCESS_READ);
}

/* ES:rDI, which no prefix overrides; ES is flat in 64-bit mode. */
static u64 dest_linear(struct cpu *c, const struct op *o, enum mmu_access a)
{
	u64 ea = address(c, o, RDI);

	return c->code_size == 64 ? ea : seg_linear(c, o, ES, ea, o->size, a);
}

static void movs_one(struct cpu *c, const struct op *o)
{
	s64 step = step_of(c, o);
	u64 v = mem_get(c, o, source_linear(c, o), o->size);

	mem_set(c, o, dest_linear(c, o, ACCESS_WRITE), o->size, v);
	advance(c, o, RSI, step);
	advance(c, o, RDI, step);
}

static void stos_one(struct cpu *c, const struct op *o)
{
	mem_set(c, o, dest_linear(c, o, ACCESS_WRITE), o->size, c->gpr[RAX]);
	advance(c, o, RDI, step_of(c, o));
}

static void lods_one(struct cpu *c, const struct op *o)
{
	u64 v = mem_get(c, o, source_linear(c, o), o->size);

	reg_set(c, o->size == 1 ? 0 : RAX, o->size, v);
	advance(c, o, RSI, step_of(c, o));
}

/* One comparison; its flags are returned, not set. */
struct compared {
	u64 a, b;
};

static struct compared cmps_one(struct cpu *c, const struct op *o)
{
	struct compared r;

	/* CPUs read ES:rDI first, which shows if both fault. */
	r.b = sign_extend(mem_get(c, o, dest_linear(c, o, ACCESS_READ), o->size), o->size);
	r.a = sign_extend(mem_get(c, o, source_linear(c, o), o->size), o->size);
	advance(c, o, RSI, step_of(c, o));
	advance(c, o, RDI, step_of(c, o));
	return r;
}

static struct compared scas_one(struct cpu *c, const struct op *o)
{
	struct compared r;

	r.a = sign_extend(c->gpr[RAX], o->size);
	r.b = sign_extend(mem_get(c, o, dest_linear(c, o, ACCESS_READ), o->size), o->size);
	advance(c, o, RDI, step_of(c, o));
	return r;
}

static void set_compared(struct cpu *c, const struct op *o, struct compared r)
{
	cc_set(c, CC_SUB, sign_extend(r.a - r.b, o->size), r.a, r.b);
}

#define ONE_HANDLER(name)                                                                                              \
	static const struct op *op_##name(struct cpu *c, const struct op *o)                                           \
	{                                                                                                              \
		name##_one(c, o);                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
ONE_HANDLER(movs)
ONE_HANDLER(stos)
ONE_HANDLER(lods)
#define ONE_COMPARE(name)                                                                                              \
	static const struct op *op_##name(struct cpu *c, const struct op *o)                                           \
	{                                                                                                              \
		set_compared(c, o, name##_one(c, o));                                                                  \
		OP_NEXT(c, o);                                                                                         \
	}
ONE_COMPARE(cmps)
ONE_COMPARE(scas)

/* The instruction is done: on to the next block. */
static const struct op *rep_done(struct cpu *c, const struct op *o)
{
	return block_follow(c, 0, cpu_next_rip(c, o));
}

/* An event comes between two iterations: the instruction is begun again afterwards, and is not retired yet. */
static const struct op *rep_leave(struct cpu *c, const struct op *o)
{
	u64 rip = c->gpr[REG_BLOCK] + o->off;

	c->rip = c->code_size == 64 ? rip : (u32)rip;
	*c->insns -= 1;
	return op_leave(c);
}

static bool rep_interrupted(const struct cpu *c)
{
	return c->budget <= 0 || (c->pending & ~PEND_LEAVE) || (c->eflags & EFLAGS_TF);
}

/* Elements that one chunk of the fast path may take; 0 where it does not apply. */
static u64 chunk_limit(const struct cpu *c, const struct op *o, u64 count)
{
	if (c->code_size != 64 || o->asize != 8 || (c->eflags & (EFLAGS_DF | EFLAGS_TF)))
		return 0;
	return count;
}

static u64 min_u64(u64 a, u64 b)
{
	return a < b ? a : b;
}

/* Bytes that STOS may write at once: all elements up to the page's end. */
static u64 stos_chunk(struct cpu *c, const struct op *o, u64 count)
{
	u64 v = c->gpr[RAX] & size_mask(o->size), n = chunk_limit(c, o, count);
	unsigned avail;
	u8 *p;

	if (!n)
		return 0;
	p = mmu_host(c, o, c->gpr[RDI], ACCESS_WRITE, &avail);
	if (!p)
		return 0;
	n = min_u64(n, avail / o->size);
	if (o->size == 1 || v == 0)
		memset(p, (int)v, n * o->size);
	else
		for (u64 i = 0; i < n; i++)
			memcpy(p + i * o->size, &v, o->size);
	if (n)
		mmu_host_wrote(c, o, c->gpr[RDI], p, (unsigned)(n * o->size));
	c->gpr[RDI] += n * o->size;
	return n;
}

/* A forward copy onto bytes that it has yet to read repeats them: memmove would not. */
static void copy_forward(u8 *to, const u8 *from, u64 n, unsigned size)
{
	if (to <= from || to >= from + n) {
		memmove(to, from, n);
		return;
	}
	for (u64 i = 0; i < n; i += size) {
		u64 v = 0;

		memcpy(&v, from + i, size);
		memcpy(to + i, &v, size);
	}
}

static u64 movs_chunk(struct cpu *c, const struct op *o, u64 count)
{
	u64 n = chunk_limit(c, o, count);
	unsigned from_avail, to_avail;
	const u8 *from;
	u8 *to;

	if (!n)
		return 0;
	from = mmu_host(c, o, source_linear(c, o), ACCESS_READ, &from_avail);
	if (!from)
		return 0;
	to = mmu_host(c, o, c->gpr[RDI], ACCESS_WRITE, &to_avail);
	if (!to)
		return 0;
	n = min_u64(n, min_u64(from_avail, to_avail) / o->size);
	copy_forward(to, from, n * o->size, o->size);
	if (n)
		mmu_host_wrote(c, o, c->gpr[RDI], to, (unsigned)(n * o->size));
	c->gpr[RSI] += n * o->size;
	c->gpr[RDI] += n * o->size;
	return n;
}

static void rep_begin(struct cpu *c, const struct op *o)
{
	if (address(c, o, RCX))
		c->budget -= c->m->costs->cycles[COST_REP_START];
}

#define REP_HANDLER(name, chunk)                                                                                       \
	static const struct op *rep_##name(struct cpu *c, const struct op *o)                                          \
	{                                                                                                              \
		u64 count, n;                                                                                          \
                                                                                                                       \
		rep_begin(c, o);                                                                                       \
		while ((count = address(c, o, RCX)) != 0) {                                                            \
			n = chunk;                                                                                     \
			if (n == 0) {                                                                                  \
				name##_one(c, o);                                                                      \
				n = 1;                                                                                 \
			}                                                                                              \
			advance(c, o, RCX, -(s64)n);                                                                   \
			charge_bytes(c, n * o->size);                                                                  \
			if (count != n && rep_interrupted(c))                                                          \
				return rep_leave(c, o);                                                                \
		}                                                                                                      \
		return rep_done(c, o);                                                                                 \
	}
REP_HANDLER(movs, movs_chunk(c, o, count))
REP_HANDLER(stos, stos_chunk(c, o, count))
REP_HANDLER(lods, 0)

/* Flags change only when the repetition ends: a page fault in between leaves those from before. */
#define REP_COMPARE(name)                                                                                              \
	static const struct op *rep_##name(struct cpu *c, const struct op *o)                                          \
	{                                                                                                              \
		bool while_equal = o->flags & OP_REP;                                                                  \
		u64 count = address(c, o, RCX);                                                                        \
		struct compared r;                                                                                     \
                                                                                                                       \
		rep_begin(c, o);                                                                                       \
		if (!count)                                                                                            \
			return rep_done(c, o);                                                                         \
		for (;;) {                                                                                             \
			r = name##_one(c, o);                                                                          \
			advance(c, o, RCX, -1);                                                                        \
			charge_bytes(c, 1);                                                                            \
			if (--count == 0 || (r.a == r.b) != while_equal)                                               \
				break;                                                                                 \
			if (rep_interrupted(c)) {                                                                      \
				set_compared(c, o, r);                                                                 \
				return rep_leave(c, o);                                                                \
			}                                                                                              \
		}                                                                                                      \
		set_compared(c, o, r);                                                                                 \
		return rep_done(c, o);                                                                                 \
	}
REP_COMPARE(cmps)
REP_COMPARE(scas)

static bool lower_one_string(struct lower *l, unsigned size, op_fn *once, op_fn *rep)
{
	const ZydisDecodedInstruction *in = l->insn;
	struct op *o = l->op;

	o->size = (u8)size;
	o->seg = DS;
	o->flags &= (u8)~(OP_MEM | OP_FLAT);
	for (unsigned i = 0; i < in->operand_count; i++) {
		const ZydisDecodedOperandMem *mem = &l->ops[i].mem;

		if (l->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY && lower_gpr(mem->base) == RSI)
			o->seg = lower_segment(mem->segment);
	}
	if (l->code_size == 64 && o->seg != FS && o->seg != GS)
		o->flags |= OP_FLAT;
	o->fn = once;
	if (o->flags & (OP_REP | OP_REPNE)) {
		o->fn = rep;
		o->flags |= OP_END;
	}
	return true;
}

#define SIZES(name, once, rep)                                                                                         \
	case ZYDIS_MNEMONIC_##name##B: return lower_one_string(l, 1, once, rep);                                       \
	case ZYDIS_MNEMONIC_##name##W: return lower_one_string(l, 2, once, rep);                                       \
	case ZYDIS_MNEMONIC_##name##Q: return lower_one_string(l, 8, once, rep);

bool string_lower(struct lower *l)
{
	/* MOVSD and CMPSD are SSE2 instructions too. */
	if (l->insn->meta.category != ZYDIS_CATEGORY_STRINGOP)
		return false;
	switch (l->insn->mnemonic) {
	SIZES(MOVS, op_movs, rep_movs)
	SIZES(STOS, op_stos, rep_stos)
	SIZES(LODS, op_lods, rep_lods)
	SIZES(CMPS, op_cmps, rep_cmps)
	SIZES(SCAS, op_scas, rep_scas)
	case ZYDIS_MNEMONIC_MOVSD: return lower_one_string(l, 4, op_movs, rep_movs);
	case ZYDIS_MNEMONIC_STOSD: return lower_one_string(l, 4, op_stos, rep_stos);
	case ZYDIS_MNEMONIC_LODSD: return lower_one_string(l, 4, op_lods, rep_lods);
	case ZYDIS_MNEMONIC_CMPSD: return lower_one_string(l, 4, op_cmps, rep_cmps);
	case ZYDIS_MNEMONIC_SCASD: return lower_one_string(l, 4, op_scas, rep_scas);
	default:                   return false;
	}
}
