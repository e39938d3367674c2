// SPDX-License-Identifier: GPL-2.0-or-later
/* PUSH POP PUSHA POPA ENTER LEAVE. */
#include "machine/cpu/lower.h"
#include "machine/cpu/stack.h"

static const struct op *push_any(struct cpu *c, const struct op *o)
{
	stack_push(c, o, o->size, o->flags & OP_MEM ? source_read(c, o, 0, o->size) : reg_get(c, o->dst, o->size));
	OP_NEXT(c, o);
}

static const struct op *push_imm(struct cpu *c, const struct op *o)
{
	stack_push(c, o, o->size, o->imm);
	OP_NEXT(c, o);
}

static const struct op *push64_r(struct cpu *c, const struct op *o)
{
	u64 sp = c->gpr[RSP] - 8;
	const struct tlb_fast *t = &c->tlb[tlb_index(sp)];

	if (unlikely(!tlb_hit(t->tag_w, sp, c->ctx, 8)))
		return push_any(c, o);
	memcpy((void *)(t->addend + sp), &c->gpr[o->dst], 8);
	c->gpr[RSP] = sp;
	OP_NEXT(c, o);
}

/* POP to a register: RSP is incremented first, so that POP RSP gets the value read. */
static const struct op *pop_r(struct cpu *c, const struct op *o)
{
	u64 v = stack_peek(c, o, 0, o->size);

	stack_adjust(c, o->size);
	reg_set(c, o->dst, o->size, v);
	OP_NEXT(c, o);
}

static const struct op *pop64_r(struct cpu *c, const struct op *o)
{
	u64 sp = c->gpr[RSP];
	const struct tlb_fast *t = &c->tlb[tlb_index(sp)];

	if (unlikely(!tlb_hit(t->tag_r, sp, c->ctx, 8)))
		return pop_r(c, o);
	c->gpr[RSP] = sp + 8;
	memcpy(&c->gpr[o->dst], (const void *)(t->addend + sp), 8);
	OP_NEXT(c, o);
}

/* POP to memory: an address that uses RSP sees it incremented. SDM 2B "POP". */
static const struct op *pop_m(struct cpu *c, const struct op *o)
{
	u64 v = stack_peek(c, o, 0, o->size), old = c->gpr[RSP], sp, lin;

	stack_adjust(c, o->size);
	sp = c->gpr[RSP];
	lin = op_ea(c, o);
	c->gpr[RSP] = old; /* a fault leaves it as it was */
	if (!(o->flags & OP_FLAT))
		lin = seg_linear(c, o, (enum sreg)o->seg, lin, o->size, ACCESS_WRITE);
	mem_set(c, o, lin, o->size, v);
	c->gpr[RSP] = sp;
	OP_NEXT(c, o);
}

/* What has been pushed stays in memory when a later push faults; the registers do not change. */
static const struct op *op_pusha(struct cpu *c, const struct op *o)
{
	u64 sp = c->gpr[RSP];
	unsigned n = o->size;

	for (unsigned i = 0; i < 8; i++)
		mem_set(c, o, stack_linear(c, o, sp - (i + 1) * n, n, ACCESS_WRITE), n, i == RSP ? sp : c->gpr[i]);
	stack_adjust(c, -(s64)(8 * n));
	OP_NEXT(c, o);
}

static const struct op *op_popa(struct cpu *c, const struct op *o)
{
	unsigned n = o->size;
	u64 v[8];

	for (unsigned i = 0; i < 8; i++)
		v[7 - i] = stack_peek(c, o, i * n, n);
	stack_adjust(c, 8 * n);
	for (unsigned i = 0; i < 8; i++)
		if (i != RSP)
			reg_set(c, i, n, v[i]);
	OP_NEXT(c, o);
}

/*
 * imm: bytes of locals; aux: nesting level. SDM 2A "ENTER": the pushes are done, then the new top of the stack is
 * touched.
 */
static const struct op *op_enter(struct cpu *c, const struct op *o)
{
	unsigned n = o->size, level = o->aux & 31;
	u64 frame = c->gpr[RSP] - n, bp = c->gpr[RBP], top = frame - level * n - o->imm;

	mem_set(c, o, stack_linear(c, o, frame, n, ACCESS_WRITE), n, bp);
	for (unsigned i = 1; i < level; i++) {
		u64 link = mem_get(c, o, stack_linear(c, o, bp - i * n, n, ACCESS_READ), n);

		mem_set(c, o, stack_linear(c, o, frame - i * n, n, ACCESS_WRITE), n, link);
	}
	if (level)
		mem_set(c, o, stack_linear(c, o, frame - level * n, n, ACCESS_WRITE), n, frame);
	mmu_probe(c, o, stack_linear(c, o, top, n, ACCESS_WRITE), 1, ACCESS_WRITE);
	reg_set(c, RBP, n, (bp & ~c->stack_mask) | (frame & c->stack_mask));
	stack_set(c, top);
	OP_NEXT(c, o);
}

static const struct op *op_leave_frame(struct cpu *c, const struct op *o)
{
	u64 bp = c->gpr[RBP], v = mem_get(c, o, stack_linear(c, o, bp, o->size, ACCESS_READ), o->size);

	stack_set(c, bp + o->size);
	reg_set(c, RBP, o->size, v);
	OP_NEXT(c, o);
}

static bool lower_push(struct lower *l)
{
	struct op *o = l->op;

	switch (lower_kind(l, 1)) {
	case KIND_R: o->fn = l->code_size == 64 && o->size == 8 ? push64_r : push_any; return true;
	case KIND_M: o->fn = push_any; return true;
	case KIND_I:
		o->imm = sign_extend(o->imm, l->ops[0].size / 8 < o->size ? l->ops[0].size / 8 : o->size);
		o->fn = push_imm;
		return true;
	default: return false;
	}
}

static bool lower_pop(struct lower *l)
{
	struct op *o = l->op;

	switch (lower_kind(l, 1)) {
	case KIND_R: o->fn = l->code_size == 64 && o->size == 8 ? pop64_r : pop_r; return true;
	case KIND_M: o->fn = pop_m; return true;
	default:     return false;
	}
}

static bool lower_enter(struct lower *l)
{
	l->op->imm = (u16)l->ops[0].imm.value.u;
	l->op->aux = (u8)l->ops[1].imm.value.u;
	l->op->fn = op_enter;
	return true;
}

static bool set_fn(struct lower *l, op_fn *fn)
{
	l->op->fn = fn;
	return true;
}

bool stack_lower(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:   return lower_push(l);
	case ZYDIS_MNEMONIC_POP:    return lower_pop(l);
	case ZYDIS_MNEMONIC_PUSHA:
	case ZYDIS_MNEMONIC_PUSHAD: return set_fn(l, op_pusha);
	case ZYDIS_MNEMONIC_POPA:
	case ZYDIS_MNEMONIC_POPAD:  return set_fn(l, op_popa);
	case ZYDIS_MNEMONIC_ENTER:  return lower_enter(l);
	case ZYDIS_MNEMONIC_LEAVE:  return set_fn(l, op_leave_frame);
	default:                    return false;
	}
}
