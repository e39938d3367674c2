// SPDX-License-Identifier: GPL-2.0-or-later
/* Near branches, and how blocks go on to the next one. */
#include "arch/x86.h"
#include "machine/cpu/branch.h"
#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"
#include "machine/cpu/stack.h"

const struct op *op_block_end(struct cpu *c, const struct op *o)
{
	u64 rip = c->gpr[REG_BLOCK] + o->off;

	return block_follow(c, 0, c->code_size == 64 ? rip : (u32)rip);
}

/* SDM 2A "JMP": a target outside the segment, or not canonical, is #GP(0) of the branch. */
static void check_target(struct cpu *c, const struct op *o, u64 rip)
{
	if (c->code_size == 64 ? !branch_canonical(c, rip) : rip > c->seg[CS].limit)
		cpu_raise_err(c, o, VEC_GP, 0);
}

const struct op *branch_unlinked(struct cpu *c, const struct op *o, u64 rip)
{
	check_target(c, o, rip);
	return block_link(c, 1, rip);
}

static const struct op *branch_legacy(struct cpu *c, const struct op *o)
{
	u64 rip = (c->gpr[REG_BLOCK] + o->imm) & size_mask(o->size == 2 ? 2 : 4);

	check_target(c, o, rip);
	return block_follow(c, 1, rip);
}

static const struct op *fall_legacy(struct cpu *c, const struct op *o)
{
	return block_follow(c, 0, (u32)branch_next(c, o));
}

static const struct op *jmp64_direct(struct cpu *c, const struct op *o)
{
	return branch_taken(c, o);
}

#define JCC_HANDLERS(n)                                                                                                \
	static const struct op *jcc##n##_64(struct cpu *c, const struct op *o)                                         \
	{                                                                                                              \
		return branch_if(c, o, cc_cond(c, (enum cond)(n)));                                                    \
	}                                                                                                              \
	static const struct op *jcc##n##_legacy(struct cpu *c, const struct op *o)                                     \
	{                                                                                                              \
		return cc_cond(c, (enum cond)(n)) ? branch_legacy(c, o) : fall_legacy(c, o);                           \
	}
#define ALL_CONDITIONS(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
ALL_CONDITIONS(JCC_HANDLERS)
#define JCC_ROW(n) { jcc##n##_64, jcc##n##_legacy },
static op_fn *const jcc_handler[16][2] = { ALL_CONDITIONS(JCC_ROW) };

int branch_condition(const struct op *o)
{
	for (int i = 0; i < 16; i++)
		if (o->fn == jcc_handler[i][0])
			return i;
	return -1;
}

/* LOOP LOOPE LOOPNE (aux 2: whatever ZF, else ZF must be aux) and JCXZ. The counter has the address size. */
static const struct op *branch_any(struct cpu *c, const struct op *o, bool taken)
{
	if (c->code_size != 64)
		return taken ? branch_legacy(c, o) : fall_legacy(c, o);
	return branch_if(c, o, taken);
}

static const struct op *op_loop(struct cpu *c, const struct op *o)
{
	u64 count = (c->gpr[RCX] - 1) & size_mask(o->asize);
	bool taken = count != 0 && (o->aux == 2 || cc_zf(c) == o->aux);
	u64 old = c->gpr[RCX];

	if (taken)
		check_target(c, o, c->code_size == 64 ? c->gpr[REG_BLOCK] + o->imm :
			     (c->gpr[REG_BLOCK] + o->imm) & size_mask(o->size == 2 ? 2 : 4));
	c->gpr[RCX] = o->asize == 2 ? (old & ~0xffffull) | count : count;
	return branch_any(c, o, taken);
}

static const struct op *op_jcxz(struct cpu *c, const struct op *o)
{
	return branch_any(c, o, !(c->gpr[RCX] & size_mask(o->asize)));
}

static inline u64 branch_size_mask(const struct op *o)
{
	return size_mask(o->size);
}

/* An indirect branch in 64-bit mode. What the jump cache knows is canonical. */
INLINE const struct op *branch_indirect(struct cpu *c, const struct op *o, u64 rip)
{
	if (unlikely(!branch_canonical(c, rip)))
		cpu_raise_err(c, o, VEC_GP, 0);
	return block_jump(c, rip);
}

static const struct op *jmp64_r(struct cpu *c, const struct op *o)
{
	return branch_indirect(c, o, c->gpr[o->dst]);
}

static const struct op *jmp64_m(struct cpu *c, const struct op *o)
{
	return branch_indirect(c, o, ld64(c, o, op_lin(c, o, 8, ACCESS_READ)));
}

static const struct op *jmp_rm(struct cpu *c, const struct op *o)
{
	u64 rip = source_read(c, o, o->dst, o->size);

	check_target(c, o, rip);
	return block_jump(c, rip);
}

static const struct op *jmp_legacy(struct cpu *c, const struct op *o)
{
	return branch_legacy(c, o);
}

static const struct op *call64_any(struct cpu *c, const struct op *o)
{
	u64 rip = c->gpr[REG_BLOCK] + o->imm, sp = c->gpr[RSP] - 8;

	check_target(c, o, rip);
	st64(c, o, sp, branch_next(c, o));
	c->gpr[RSP] = sp;
	return block_follow(c, 1, rip);
}

static const struct op *call64_direct(struct cpu *c, const struct op *o)
{
	u64 sp = c->gpr[RSP] - 8, next = branch_next(c, o), rip = c->gpr[REG_BLOCK] + o->imm;
	const struct tlb_fast *t = &c->tlb[tlb_index(sp)];

	if (unlikely(!tlb_hit(t->tag_w, sp, c->ctx, 8)) || unlikely(!branch_canonical(c, rip)))
		return call64_any(c, o);
	memcpy((void *)(t->addend + sp), &next, 8);
	c->gpr[RSP] = sp;
	return block_follow(c, 1, rip);
}

static const struct op *call64_rm(struct cpu *c, const struct op *o)
{
	u64 rip = source_read(c, o, o->dst, 8), sp = c->gpr[RSP] - 8;

	check_target(c, o, rip);
	st64(c, o, sp, branch_next(c, o));
	c->gpr[RSP] = sp;
	return block_jump(c, rip);
}

static const struct op *call_legacy_direct(struct cpu *c, const struct op *o)
{
	u64 rip = (c->gpr[REG_BLOCK] + o->imm) & branch_size_mask(o);

	check_target(c, o, rip);
	stack_push(c, o, o->size, branch_next(c, o));
	return block_follow(c, 1, rip);
}

static const struct op *call_legacy_rm(struct cpu *c, const struct op *o)
{
	u64 rip = source_read(c, o, o->dst, o->size);

	check_target(c, o, rip);
	stack_push(c, o, o->size, branch_next(c, o));
	return block_jump(c, rip);
}

static const struct op *ret64_any(struct cpu *c, const struct op *o)
{
	u64 sp = c->gpr[RSP], rip = ld64(c, o, sp);

	check_target(c, o, rip);
	c->gpr[RSP] = sp + 8 + o->imm;
	return block_jump(c, rip);
}

static const struct op *ret64(struct cpu *c, const struct op *o)
{
	u64 sp = c->gpr[RSP], rip;
	const struct tlb_fast *t = &c->tlb[tlb_index(sp)];

	if (unlikely(!tlb_hit(t->tag_r, sp, c->ctx, 8)))
		return ret64_any(c, o);
	memcpy(&rip, (const void *)(t->addend + sp), 8);
	if (unlikely(!branch_canonical(c, rip)))
		return ret64_any(c, o);
	c->gpr[RSP] = sp + 8 + o->imm;
	return block_jump(c, rip);
}

static const struct op *ret_legacy(struct cpu *c, const struct op *o)
{
	u64 rip = stack_peek(c, o, 0, o->size);

	check_target(c, o, rip);
	stack_adjust(c, (s64)(o->size + o->imm));
	return block_jump(c, rip);
}

static bool lower_direct(struct lower *l, op_fn *fn64, op_fn *legacy)
{
	l->op->fn = l->code_size == 64 ? fn64 : legacy;
	return true;
}

static bool lower_indirect(struct lower *l, bool call)
{
	bool reg = lower_kind(l, 1) == KIND_R;
	struct op *o = l->op;

	if (l->code_size != 64)
		o->fn = call ? call_legacy_rm : jmp_rm;
	else if (call)
		o->fn = call64_rm;
	else
		o->fn = reg ? jmp64_r : jmp64_m;
	return true;
}

static bool lower_near(struct lower *l, bool call)
{
	ZydisBranchType type = l->insn->meta.branch_type;

	if (type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (l->ops[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return lower_indirect(l, call);
	return call ? lower_direct(l, call64_direct, call_legacy_direct) : lower_direct(l, jmp64_direct, jmp_legacy);
}

static bool lower_jcc(struct lower *l)
{
	return lower_direct(l, jcc_handler[lower_cond(l)][0], jcc_handler[lower_cond(l)][1]);
}

static bool lower_loop(struct lower *l, u8 zf)
{
	l->op->aux = zf;
	l->op->fn = op_loop;
	return true;
}

static bool lower_branch(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_JMP:    return lower_near(l, false);
	case ZYDIS_MNEMONIC_CALL:   return lower_near(l, true);
	case ZYDIS_MNEMONIC_RET:
		if (l->insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
			return false;
		return lower_direct(l, ret64, ret_legacy);
	case ZYDIS_MNEMONIC_LOOP:   return lower_loop(l, 2);
	case ZYDIS_MNEMONIC_LOOPE:  return lower_loop(l, 1);
	case ZYDIS_MNEMONIC_LOOPNE: return lower_loop(l, 0);
	case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ:  l->op->fn = op_jcxz; return true;
	case ZYDIS_MNEMONIC_JKNZD:
	case ZYDIS_MNEMONIC_JKZD:   return false;
	default:                    break;
	}
	if (l->insn->meta.category != ZYDIS_CATEGORY_COND_BR)
		return false;
	return lower_jcc(l);
}

bool branch_lower(struct lower *l)
{
	if (!lower_branch(l))
		return false;
	l->op->flags |= OP_END;
	return true;
}
