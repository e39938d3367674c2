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

/* T2 = the TLB's entry for the bytes from T1 + lo on to T1 + last, which are on one page. Returns where to patch a miss. */
static u8 *find_entry(struct asm_buf *a, s32 lo, s32 last, bool write)
{
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
	return x_jcc(a, CC_X_NE);
}

/* T0 = the addend of entry T2, kept under a number, too. */
static void keep_addend(struct asm_buf *a, unsigned n)
{
	x_load(a, 8, T0, rm_mem(T2, offsetof(struct tlb_fast, addend)));
	x_store(a, 8, addend_of(n), T0);
}

static u8 *lookup(struct tr *t, unsigned size, bool write)
{
	const struct plan *p = &t->plan[t->i];
	struct asm_buf *a = &t->a;
	u8 *miss = find_entry(a, p->leads ? p->lo : 0, (p->leads ? p->hi : (s32)size) - 1, write || (p->leads && p->write));

	if (p->leads) {
		keep_addend(a, p->group);
		x_alu(a, X_ADD, 8, T1, rm_reg(T0));
	} else {
		x_alu(a, X_ADD, 8, T1, rm_mem(T2, offsetof(struct tlb_fast, addend)));
	}
	return miss;
}

/* --- loops: the page of the last time, from jit_base on; the access's first byte is below jit_limit in it --- */

static struct rm base_of(unsigned site)
{
	return rm_mem(HCPU, (s32)(offsetof(struct cpu, jit_base) + 8 * site) - CPU_BIAS);
}

static struct rm limit_of(unsigned site)
{
	return rm_mem(HCPU, (s32)(offsetof(struct cpu, jit_limit) + 8 * site) - CPU_BIAS);
}

void mem_forget(struct tr *t)
{
	for (unsigned n = 0; n < t->sites; n++)
		x_store_imm(&t->a, 8, limit_of(n), 0);
}

static void same_page(struct tr *t, unsigned size, bool write)
{
	struct plan *p = &t->plan[t->i];
	unsigned site = (unsigned)p->site;
	struct asm_buf *a = &t->a;
	u8 *other;

	if (!p->leads) {
		p->lo = 0;
		p->hi = (s16)size;
		p->write = write;
	}
	x_lea(a, 8, T2, T1, -1, 0, p->lo);
	x_alu(a, X_SUB, 8, T2, base_of(site));
	x_alu(a, X_CMP, 8, T2, limit_of(site));
	other = x_jcc(a, CC_X_AE);
	cold_add(t, COLD_PAGE, other, a->p, 0);
	cold_add(t, COLD_CALL, NULL, NULL, 0);
	x_alu(a, X_ADD, 8, T1, addend_of(site));
}

void mem_page(struct tr *t, struct cold *x)
{
	const struct plan *p = &t->plan[x->op];
	unsigned site = (unsigned)p->site;
	struct asm_buf *a = &t->a;

	x[1].from = find_entry(a, p->lo, p->hi - 1, p->write);
	keep_addend(a, site);
	x_lea(a, 8, T0, T1, -1, 0, p->lo);
	x_alu_imm(a, X_AND, 8, rm_reg(T0), ~(s32)PAGE_OFFSET_MASK);
	x_store(a, 8, base_of(site), T0);
	x_store_imm(a, 8, limit_of(site), (s32)PAGE_SIZE - (p->hi - p->lo) + 1);
	x_jmp_to(a, x->resume);
}

void mem_lookup(struct tr *t, unsigned size, bool write)
{
	if (t->plan[t->i].follows) {
		resolve(t);
	} else if (t->plan[t->i].site >= 0) {
		flags_clobber(t);
		same_page(t, size, write);
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
