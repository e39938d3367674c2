// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Memory operands: the look-up in the fast TLB, as machine/cpu/mem.h does it. The host address comes from the entry's
 * addend alone; a miss runs the op's handler.
 */
#include "machine/jit/state.h"

#define ENTRY_SHIFT 5
_Static_assert(sizeof(struct tlb_fast) == 1u << ENTRY_SHIFT, "index of a TLB entry");
_Static_assert(offsetof(struct cpu, ctx_zero) == offsetof(struct cpu, ctx) + 4, "ctx is read as 64 bits");

static s64 displacement(const struct tr *t)
{
	const struct op *o = t->o;

	return (s64)o->disp + (o->base == REG_BLOCK ? (s64)block_offset(t) : 0);
}

bool mem_supported(const struct tr *t)
{
	return t->o->asize >= 4 && displacement(t) == (s32)displacement(t);
}

static int base_register(struct tr *t, unsigned to)
{
	const struct op *o = t->o;

	if (o->base == REG_ZERO)
		return -1;
	if (o->base == REG_BLOCK)
		x_load(&t->a, 8, to, CPU(page_rip));
	else if (jit_home[o->base] >= 0)
		return jit_home[o->base];
	else
		x_load(&t->a, 8, to, guest_mem(o->base));
	return (int)to;
}

static int index_register(struct tr *t)
{
	const struct op *o = t->o;

	if (o->index == REG_ZERO)
		return -1;
	if (jit_home[o->index] >= 0)
		return jit_home[o->index];
	x_load(&t->a, 8, T2, guest_mem(o->index));
	return T2;
}

/* LEA: flags stay. */
void mem_address(struct tr *t, unsigned to)
{
	const struct op *o = t->o;
	int base = base_register(t, to == T0 ? T0 : T1), index = index_register(t);
	s32 disp = (s32)displacement(t);

	if (base < 0 && index < 0)
		x_mov_imm(&t->a, to, o->asize == 4 ? (u32)disp : (u64)(s64)disp);
	else
		x_lea(&t->a, o->asize, to, base, index, o->scale, disp);
}

static struct rm addend_of(unsigned group)
{
	return rm_mem(HCPU, (s32)(offsetof(struct cpu, jit_addend) + 8 * group) - CPU_BIAS);
}

/* Looked up before: flags stay. */
static void resolve(struct tr *t)
{
	x_load(&t->a, 8, T2, addend_of(t->plan[t->i].group));
	x_lea(&t->a, 8, T1, T1, T2, 0, 0);
}

static u8 *lookup(struct tr *t, unsigned size, bool write)
{
	const struct plan *p = &t->plan[t->i];
	s32 lo = p->leads ? p->lo : 0, last = (p->leads ? p->hi : (s32)size) - 1;
	struct asm_buf *a = &t->a;
	u8 *miss;

	write |= p->leads && p->write;
	if (last)
		x_lea(a, 8, T0, T1, -1, 0, last);
	else
		x_load(a, 8, T0, rm_reg(T1));
	if (lo)
		x_lea(a, 4, T2, T1, -1, 0, lo);
	else
		x_load(a, 4, T2, rm_reg(T1));
	x_shift_imm(a, 5, 4, rm_reg(T2), PAGE_SHIFT - ENTRY_SHIFT);
	x_alu_imm(a, X_AND, 4, rm_reg(T2), (TLB_SIZE - 1) << ENTRY_SHIFT);
	x_alu_imm(a, X_AND, 8, rm_reg(T0), ~(s32)PAGE_OFFSET_MASK);
	x_alu(a, X_OR, 8, T0, CPU(ctx));
	x_alu(a, X_ADD, 8, T2, CPU(tlb));
	x_alu(a, X_CMP, 8, T0, rm_mem(T2, write ? offsetof(struct tlb_fast, tag_w) : offsetof(struct tlb_fast, tag_r)));
	miss = x_jcc(a, CC_X_NE);
	if (p->leads) {
		x_load(a, 8, T0, rm_mem(T2, offsetof(struct tlb_fast, addend)));
		x_store(a, 8, addend_of(p->group), T0);
		x_alu(a, X_ADD, 8, T1, rm_reg(T0));
	} else {
		x_alu(a, X_ADD, 8, T1, rm_mem(T2, offsetof(struct tlb_fast, addend)));
	}
	return miss;
}

void mem_lookup(struct tr *t, unsigned size, bool write)
{
	if (t->plan[t->i].follows) {
		resolve(t);
	} else {
		flags_clobber(t);
		cold_add(t, COLD_CALL, lookup(t, size, write), NULL, 0);
	}
	flags_before_write(t);
}

void mem_lookup_tail(struct tr *t, unsigned size, bool write)
{
	if (t->plan[t->i].follows)
		resolve(t);
	else
		cold_add(t, COLD_TAIL, lookup(t, size, write), NULL, 0);
}

void mem_segment(struct tr *t)
{
	unsigned seg = t->o->seg;

	if (t->o->flags & OP_FLAT)
		return;
	x_load(&t->a, 8, T2, CPU(seg[seg].base));
	x_lea(&t->a, 8, T1, T1, T2, 0, 0);
}

void mem_operand(struct tr *t, unsigned size, bool write)
{
	mem_address(t, T1);
	mem_segment(t);
	mem_lookup(t, size, write);
}
