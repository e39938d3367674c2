// SPDX-License-Identifier: GPL-2.0-or-later
/* Instructions that need CPL 0, and PUSHF. Anywhere else the handler raises what is due. */
#include "arch/x86.h"
#include "machine/jit/state.h"

static bool always(const struct tr *t)
{
	(void)t;
	return true;
}

static void need_cpl0(struct tr *t)
{
	flags_clobber(t);
	x_alu_imm(&t->a, X_CMP, 1, CPU(cpl), 0);
	cold_add(t, COLD_CALL, x_jcc(&t->a, CC_X_NE), NULL, 0);
}

/* Without interrupts nothing becomes due. */
static void emit_cli(struct tr *t)
{
	need_cpl0(t);
	x_alu_imm(&t->a, X_AND, 8, CPU(eflags), ~(s32)EFLAGS_IF);
}

static void emit_swapgs(struct tr *t)
{
	need_cpl0(t);
	x_load(&t->a, 8, T1, CPU(seg[GS].base));
	x_load(&t->a, 8, T2, CPU(kernel_gs_base));
	x_store(&t->a, 8, CPU(kernel_gs_base), T1);
	x_store(&t->a, 8, CPU(seg[GS].base), T2);
}

static bool can_pushf(const struct tr *t)
{
	return t->o->size == 8;
}

static void emit_pushf(struct tr *t)
{
	unsigned sp = (unsigned)jit_home[RSP];
	struct asm_buf *a = &t->a;

	flags_in_ax(t);
	x_load(a, 4, T2, rm_reg(T0));
	x_alu_imm(a, X_AND, 4, rm_reg(T2), 1);
	x_shift_imm(a, 4, 4, rm_reg(T2), 11);
	x_shift_imm(a, 5, 4, rm_reg(T0), 8);
	x_alu_imm(a, X_AND, 4, rm_reg(T0), CC_ALL & 0xff);
	x_alu(a, X_OR, 4, T0, rm_reg(T2));
	x_load(a, 8, T2, CPU(eflags));
	x_alu_imm(a, X_AND, 8, rm_reg(T2), ~(s32)(CC_ALL | EFLAGS_VM | EFLAGS_RF));
	x_alu(a, X_OR, 8, T0, rm_reg(T2));
	x_alu_imm(a, X_OR, 8, rm_reg(T0), EFLAGS_ONE);
	x_store(a, 8, CPU(jit_value), T0);
	x_lea(a, 8, T1, (int)sp, -1, 0, -8);
	mem_lookup(t, 8, true);
	x_load(a, 8, T0, CPU(jit_value));
	x_store(a, 8, rm_mem(T1, 0), T0);
	x_lea(a, 8, sp, (int)sp, -1, 0, -8);
}

const struct emitter *system_find(const struct tr *t)
{
	static const struct emitter table[] = {
		{ ZYDIS_MNEMONIC_CLI, EFFECT_SEEN, always, emit_cli },
		{ ZYDIS_MNEMONIC_SWAPGS, EFFECT_SEEN, always, emit_swapgs },
		{ ZYDIS_MNEMONIC_PUSHFQ, EFFECT_READS | EFFECT_SEEN, can_pushf, emit_pushf },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].mnem == t->insn->mnemonic)
			return &table[i];
	return NULL;
}
