// SPDX-License-Identifier: GPL-2.0-or-later
/* Near branches of 64-bit mode, and how a block goes on to the next one. */
#include "machine/jit/state.h"

static s64 target_offset(const struct tr *t)
{
	return (s64)block_offset(t) + (s64)t->o->imm;
}

static s64 next_offset(const struct tr *t)
{
	return (s64)block_offset(t) + t->o->off + t->o->len;
}

static bool in_page(s64 off)
{
	return off >= 0 && off < (s64)PAGE_SIZE;
}

/* T0 = RIP at an offset from the block's page. */
static void rip_at(struct tr *t, s64 off)
{
	x_load(&t->a, 8, T0, CPU(page_rip));
	x_alu_imm(&t->a, X_ADD, 8, rm_reg(T0), (s32)off);
}

/* T1 = the jump cache's entry of RIP T0. Misses are the caller's: two places to patch. */
static void jump_lookup(struct tr *t, u8 *miss[2])
{
	struct asm_buf *a = &t->a;

	_Static_assert(sizeof(struct jump_entry) == 32, "shift");
	x_load(a, 8, T1, rm_reg(T0));
	x_shift_imm(a, 5, 8, rm_reg(T1), JUMP_BITS);
	x_alu(a, X_XOR, 4, T1, rm_reg(T0));
	x_alu_imm(a, X_AND, 4, rm_reg(T1), (1 << JUMP_BITS) - 1);
	x_shift_imm(a, 4, 4, rm_reg(T1), 5);
	x_alu(a, X_ADD, 8, T1, CPU(jumps));
	x_load(a, 8, T2, CPU(jump_tag));
	x_alu(a, X_CMP, 8, T0, rm_mem(T1, offsetof(struct jump_entry, lin)));
	miss[0] = x_jcc(a, CC_X_NE);
	x_alu(a, X_CMP, 8, T2, rm_mem(T1, offsetof(struct jump_entry, tag)));
	miss[1] = x_jcc(a, CC_X_NE);
}

static struct cold *cold_both(struct tr *t, enum cold_kind kind, u8 *const miss[2], unsigned n)
{
	struct cold *x = cold_add(t, kind, miss[0], NULL, n);

	x->also = miss[1];
	return x;
}

/* Goes on at RIP T0, which the jump cache has in T1. */
static void jump_there(struct tr *t)
{
	x_load(&t->a, 8, T2, rm_mem(T1, offsetof(struct jump_entry, block)));
	x_alu_imm(&t->a, X_AND, 8, rm_reg(T0), ~(s32)PAGE_OFFSET_MASK);
	x_store(&t->a, 8, CPU(page_rip), T0);
	x_jmp_rm(&t->a, rm_mem(T1, offsetof(struct jump_entry, entry)));
}

void exit_far(struct tr *t, unsigned n, s64 off)
{
	u8 *miss[2];

	rip_at(t, off);
	jump_lookup(t, miss);
	cold_both(t, COLD_EXIT, miss, n);
	jump_there(t);
}

void exit_direct(struct tr *t, unsigned n, s64 off, u8 *from)
{
	if (!in_page(off)) {
		if (from)
			cold_add(t, COLD_FAR, from, NULL, n)->far = off;
		else
			exit_far(t, n, off);
		return;
	}
	if (!from)
		from = x_jmp(&t->a);
	t->t->site[n] = from;
	cold_add(t, COLD_LINK, from, NULL, n);
}

static bool can_direct(const struct tr *t)
{
	s64 off = target_offset(t);

	return t->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && t->insn->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR &&
	       off == (s32)off;
}

static void emit_jcc(struct tr *t)
{
	unsigned cond = t->insn->opcode & 15;

	flags_to_mem(t);
	flags_to_host(t);
	exit_direct(t, 1, target_offset(t), x_jcc(&t->a, cond));
	exit_direct(t, 0, next_offset(t), NULL);
}

/* Pushes the address of the next instruction; misses leave for the handler, and nothing has happened yet. */
static void push_return(struct tr *t)
{
	unsigned sp = (unsigned)jit_home[RSP];

	x_lea(&t->a, 8, T1, (int)sp, -1, 0, -8);
	mem_lookup_tail(t, 8, true);
	rip_at(t, next_offset(t));
	x_store(&t->a, 8, rm_mem(T1, 0), T0);
	x_lea(&t->a, 8, sp, (int)sp, -1, 0, -8);
}

/* T0 = where an indirect branch goes. */
static void indirect_target(struct tr *t)
{
	if (t->o->flags & OP_MEM) {
		mem_address(t, T1);
		mem_segment(t);
		mem_lookup_tail(t, 8, false);
		x_load(&t->a, 8, T0, rm_mem(T1, 0));
	} else {
		x_load(&t->a, 8, T0, guest(t->o->dst));
	}
}

/* The jump cache's entry of RIP T0 into cpu.jit_target: a look-up in the TLB follows. */
static void remember_target(struct tr *t)
{
	u8 *miss[2];

	jump_lookup(t, miss);
	cold_both(t, COLD_TAIL, miss, 0);
	x_store(&t->a, 8, CPU(jit_target), T1);
}

static void jump_remembered(struct tr *t)
{
	x_load(&t->a, 8, T1, CPU(jit_target));
	x_load(&t->a, 8, T0, rm_mem(T1, offsetof(struct jump_entry, lin)));
	jump_there(t);
}

static void emit_jmp(struct tr *t)
{
	u8 *miss[2];

	flags_to_mem(t);
	if (can_direct(t)) {
		exit_direct(t, 1, target_offset(t), NULL);
		return;
	}
	indirect_target(t);
	jump_lookup(t, miss);
	cold_both(t, COLD_JUMP, miss, 0);
	jump_there(t);
}

static void emit_call(struct tr *t)
{
	s64 off = target_offset(t);

	flags_to_mem(t);
	if (can_direct(t) && in_page(off)) {
		push_return(t);
		exit_direct(t, 1, off, NULL);
		return;
	}
	if (can_direct(t))
		rip_at(t, off);
	else
		indirect_target(t);
	remember_target(t);
	push_return(t);
	jump_remembered(t);
}

static void emit_ret(struct tr *t)
{
	unsigned sp = (unsigned)jit_home[RSP];
	u8 *miss[2];

	flags_to_mem(t);
	x_load(&t->a, 8, T1, rm_reg(sp));
	mem_lookup_tail(t, 8, false);
	x_load(&t->a, 8, T0, rm_mem(T1, 0));
	jump_lookup(t, miss);
	cold_both(t, COLD_JUMP, miss, 0)->far = (s64)(8 + t->o->imm);
	x_lea(&t->a, 8, sp, (int)sp, -1, 0, (s32)(8 + t->o->imm));
	jump_there(t);
}

static bool can_jump(const struct tr *t)
{
	if (t->insn->meta.branch_type == ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (t->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return can_direct(t);
	return t->o->size == 8 && (!(t->o->flags & OP_MEM) || mem_supported(t));
}

static bool can_ret(const struct tr *t)
{
	return t->insn->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR && t->o->size == 8;
}

static const struct emitter jcc = { 0, EFFECT_READS, can_direct, emit_jcc };

const struct emitter *branch_find(const struct tr *t)
{
	static const struct emitter table[] = {
		{ ZYDIS_MNEMONIC_JMP, EFFECT_SEEN, can_jump, emit_jmp },
		{ ZYDIS_MNEMONIC_CALL, EFFECT_SEEN, can_jump, emit_call },
		{ ZYDIS_MNEMONIC_RET, EFFECT_SEEN, can_ret, emit_ret },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].mnem == t->insn->mnemonic)
			return &table[i];
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_JCXZ:
	case ZYDIS_MNEMONIC_JECXZ:
	case ZYDIS_MNEMONIC_JRCXZ:
	case ZYDIS_MNEMONIC_LOOP:
	case ZYDIS_MNEMONIC_LOOPE:
	case ZYDIS_MNEMONIC_LOOPNE:
		return NULL;
	default:
		return t->insn->meta.category == ZYDIS_CATEGORY_COND_BR ? &jcc : NULL;
	}
}
