// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's flags in a translation. They are left in the host's where the next op wants them; where only a fault
 * could see them they are described by what they were computed from, as long as registers still hold that; at a
 * block's end, and where nothing else helps, LAHF and SETO bring them to cpu.cc_src (CC_HOST).
 */
#include "machine/jit/state.h"

#define LAHF 0x9f
#define SAHF 0x9e

void flags_store_ax(struct asm_buf *a)
{
	x_store(a, 2, CPU(cc_src), T0);
	x_store_imm(a, 4, CPU(cc_op), CC_HOST);
}

static void capture(struct asm_buf *a)
{
	x_u8(a, LAHF);
	x_op(a, MAP_0F | 0x90, 1, 0, rm_reg(HAX)); /* SETO AL */
	flags_store_ax(a);
}

/* MOVSX RAX, rm: the result as cc_res keeps it. */
static void sign_extended(struct asm_buf *a, unsigned size, struct rm rm)
{
	static const u32 opcode[] = { [1] = MAP_0F | 0xbe | RM_BYTE, [2] = MAP_0F | 0xbf, [4] = 0x63 };

	if (size == 8)
		x_load(a, 8, T0, rm);
	else
		x_op(a, opcode[size], 8, T0, rm);
}

static void store_logic(struct asm_buf *a)
{
	x_store(a, 8, CPU(cc_res), T0);
	x_store_imm(a, 4, CPU(cc_op), CC_LOGIC);
}

static void two_operands(struct asm_buf *a, const struct lazy *l, enum x_alu k, struct rm first)
{
	if (l->b < 0)
		x_alu_imm(a, k, l->size, first, l->imm);
	else if (first.reg >= 0)
		x_alu(a, k, l->size, (unsigned)first.reg, guest((unsigned)l->b));
	else if (jit_home[l->b] >= 0)
		x_alu_to(a, k, l->size, first, (unsigned)jit_home[l->b]);
	else {
		x_load(a, l->size < 4 ? 4 : l->size, T0, first);
		x_alu(a, k, l->size, T0, guest((unsigned)l->b));
	}
}

/* The flags again, into the host's. Uses T0. */
static void execute_again(struct asm_buf *a, const struct lazy *l)
{
	struct rm first = guest(l->a);

	if (l->kind == LAZY_CMP) {
		two_operands(a, l, X_CMP, first);
		return;
	}
	x_load(a, 8, T0, first);
	if (l->kind == LAZY_TEST && l->b == (s8)l->a) {
		x_test(a, l->size, rm_reg(T0), T0);
	} else if (l->kind == LAZY_TEST) {
		two_operands(a, l, X_AND, rm_reg(T0));
	} else {
		two_operands(a, l, l->kind == LAZY_ADD ? X_SUB : X_ADD, rm_reg(T0));
		two_operands(a, l, l->kind == LAZY_ADD ? X_ADD : X_SUB, rm_reg(T0));
	}
}

/* Leaves the host's flags as they are, or as they would be. */
static void test_to_mem(struct asm_buf *a, const struct lazy *l)
{
	if (l->b == (s8)l->a) {
		sign_extended(a, l->size, guest(l->a));
	} else {
		execute_again(a, l);
		sign_extended(a, l->size, rm_reg(T0));
	}
	store_logic(a);
}

void flags_lazy_out(struct asm_buf *a, const struct lazy *l)
{
	if (l->kind == LAZY_TEST) {
		test_to_mem(a, l);
		return;
	}
	execute_again(a, l);
	capture(a);
}

void flags_to_mem(struct tr *t)
{
	struct flags_at *f = &t->fl;

	if (f->mem || (!f->host && f->lazy.kind == LAZY_NONE))
		return;
	f->mem = true;
	f->mem_host = f->lazy.kind != LAZY_TEST;
	if (f->lazy.kind == LAZY_TEST) {
		test_to_mem(&t->a, &f->lazy);
		return;
	}
	if (!f->host)
		execute_again(&t->a, &f->lazy);
	f->host = true;
	capture(&t->a);
}

void flags_to_host(struct tr *t)
{
	struct flags_at *f = &t->fl;
	struct asm_buf *a = &t->a;
	u8 *other;

	if (f->host)
		return;
	f->host = true;
	if (f->lazy.kind != LAZY_NONE) {
		execute_again(a, &f->lazy);
		return;
	}
	if (!f->mem_host) {
		x_alu_imm(a, X_CMP, 4, CPU(cc_op), CC_HOST);
		other = x_jcc(a, CC_X_NE);
		cold_add(t, COLD_FLAGS, other, a->p, 0);
	}
	x_op(a, MAP_0F | 0xb7, 4, T0, CPU(cc_src)); /* MOVZX EAX, word */
	x_alu_imm(a, X_ADD, 1, rm_reg(T0), 0x7f);
	x_u8(a, SAHF);
	f->mem_host = true;
}

static bool wanted_before(const struct tr *t)
{
	return t->i == 0 || t->need_read[t->i - 1] || t->need_seen[t->i - 1];
}

void flags_clobber(struct tr *t)
{
	struct flags_at *f = &t->fl;

	if (f->host && !f->mem && f->lazy.kind == LAZY_NONE && wanted_before(t))
		flags_to_mem(t);
	f->host = false;
}

void flags_produced(struct tr *t, struct lazy lazy)
{
	bool wanted = flags_wanted(t);

	op_done(t, wanted);
	t->fl = (struct flags_at){ .host = wanted, .lazy = wanted ? lazy : (struct lazy){ .kind = LAZY_NONE } };
}

void flags_logic(struct tr *t, unsigned size, struct rm result)
{
	bool wanted = flags_wanted(t);

	if (wanted) {
		sign_extended(&t->a, size, result);
		store_logic(&t->a);
	}
	op_done(t, wanted);
	t->fl = (struct flags_at){ .host = wanted, .mem = wanted };
}

void flags_only_mem(struct tr *t)
{
	t->fl = (struct flags_at){ .mem = true };
}

/* AH and AL have the flags now: cc_* and nothing else holds them. */
void flags_from_ax(struct tr *t)
{
	flags_store_ax(&t->a);
	op_done(t, false);
	flags_only_mem(t);
	t->fl.mem_host = !(t->o->flags & OP_MEM); /* a miss has left the reference's form */
}

void flags_in_ax(struct tr *t)
{
	flags_to_mem(t);
	t->fl.host = false;
	t->fl.lazy.kind = LAZY_NONE;
	flags_to_host(t); /* which makes them CC_HOST in memory */
	t->fl.host = false;
	x_op(&t->a, MAP_0F | 0xb7, 4, T0, CPU(cc_src)); /* MOVZX EAX, word */
}

u32 flags_registers_written(const struct tr *t)
{
	u32 set = 0;

	for (unsigned i = 0; i < t->insn->operand_count; i++) {
		const ZydisDecodedOperand *d = &t->ops[i];
		ZydisRegister r;

		if (d->type != ZYDIS_OPERAND_TYPE_REGISTER || !(d->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		r = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, d->reg.value);
		if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
			set |= 1u << (r - ZYDIS_REGISTER_RAX);
	}
	return set;
}

void flags_before_write(struct tr *t)
{
	struct flags_at *f = &t->fl;
	u32 set;

	if (f->lazy.kind == LAZY_NONE)
		return;
	set = flags_registers_written(t);
	if (!(set >> f->lazy.a & 1) && (f->lazy.b < 0 || !(set >> f->lazy.b & 1)))
		return;
	if (t->effect[t->i] & EFFECT_READS)
		flags_to_host(t);
	else if (!f->host && !f->mem && flags_wanted(t) && !(t->effect[t->i] & EFFECT_KILLS))
		flags_to_mem(t);
	f->lazy.kind = LAZY_NONE;
}
