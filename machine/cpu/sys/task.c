/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Task switches by 32-bit and 16-bit TSSs. SDM 3A "Task Switching" (8.3), table 8-1. */
#include "machine/cpu/sys/priv.h"
#include "machine/vmx/vmx.h"

/* Where a TSS keeps what. */
struct layout {
	u8 word, size_min, cr3, ip, flags, gpr, seg, nsegs, ldt;
};
static const struct layout tss32 = { 4, 0x67, 0x1c, 0x20, 0x24, 0x28, 0x48, 6, 0x60 };
static const struct layout tss16 = { 2, 0x2b, 0, 0x0e, 0x10, 0x12, 0x22, 4, 0x2a };
#define TSS32_TRAP 0x64

struct image {
	u32 cr3, ip, flags, gpr[8];
	u16 seg[6], ldt;
	bool trap;
};

static const struct layout *layout_of(u32 ar)
{
	return ar & 8 ? &tss32 : &tss16;
}

/* The TSS descriptor: type, presence, limit. IRET needs a busy one. */
static void check_tss(struct cpu *c, const struct op *o, u16 sel, enum task_source src, struct desc *d)
{
	unsigned bad = src == TASK_IRET ? VEC_TS : VEC_GP,
		want = src == TASK_IRET ? SYS_TYPE_TSS16_BUSY : SYS_TYPE_TSS16_AVAIL;

	if (sel & SELECTOR_TI)
		raise_sel(c, o, bad, sel);
	desc_need(c, o, sel, d, bad);
	if ((d->ar & DESC_S) || (desc_type(d) & ~8u) != want)
		raise_sel(c, o, bad, sel);
	if (!desc_present(d))
		raise_sel(c, o, VEC_NP, sel);
	if (d->limit < layout_of(d->ar)->size_min)
		raise_sel(c, o, VEC_TS, sel);
}

static u32 tss_get(struct cpu *c, const struct op *o, u64 base, unsigned off, unsigned size)
{
	return (u32)mmu_ld_sys(c, o, (u32)(base + off), size);
}

static void read_image(struct cpu *c, const struct op *o, const struct desc *d, struct image *n)
{
	const struct layout *l = layout_of(d->ar);

	memset(n, 0, sizeof(*n));
	if (l->cr3)
		n->cr3 = tss_get(c, o, d->base, l->cr3, 4);
	n->ip = tss_get(c, o, d->base, l->ip, l->word);
	n->flags = tss_get(c, o, d->base, l->flags, l->word);
	for (unsigned i = 0; i < 8; i++)
		n->gpr[i] = tss_get(c, o, d->base, l->gpr + l->word * i, l->word) | (l->word == 2 ? 0xffff0000 : 0);
	for (unsigned i = 0; i < l->nsegs; i++)
		n->seg[i] = (u16)tss_get(c, o, d->base, l->seg + l->word * i, 2);
	n->ldt = (u16)tss_get(c, o, d->base, l->ldt, 2);
	n->trap = l->word == 4 && (tss_get(c, o, d->base, TSS32_TRAP, 2) & 1);
}

static void save_old(struct cpu *c, const struct op *o, u32 flags, u64 rip)
{
	const struct layout *l = layout_of(c->tr.ar);
	u64 base = c->tr.base;

	mmu_st_sys(c, o, (u32)(base + l->ip), l->word, rip);
	mmu_st_sys(c, o, (u32)(base + l->flags), l->word, flags);
	for (unsigned i = 0; i < 8; i++)
		mmu_st_sys(c, o, (u32)(base + l->gpr + l->word * i), l->word, c->gpr[i]);
	for (unsigned i = 0; i < l->nsegs; i++)
		mmu_st_sys(c, o, (u32)(base + l->seg + l->word * i), 2, c->seg[i].sel);
}

static void set_busy(struct cpu *c, const struct op *o, u16 sel, bool busy)
{
	u64 lin = (u32)(c->gdtr.base + (sel & SELECTOR_INDEX) + 5);
	u8 v = (u8)mmu_ld_sys(c, o, lin, 1);

	mmu_st_sys(c, o, lin, 1, busy ? v | 2 : v & ~2u);
}

/* --- in the new task: faults are reported there, and name the selector with #TS --- */

static void load_ldt(struct cpu *c, u16 sel)
{
	struct desc d;

	c->ldtr = (struct segment){ .sel = sel, .ar = SEG_UNUSABLE };
	if (sel_is_null(sel))
		return;
	if (sel & SELECTOR_TI)
		raise_sel(c, NULL, VEC_TS, sel);
	desc_need(c, NULL, sel, &d, VEC_TS);
	if ((d.ar & DESC_S) || desc_type(&d) != SYS_TYPE_LDT || !desc_present(&d))
		raise_sel(c, NULL, VEC_TS, sel);
	c->ldtr = desc_segment(&d, sel);
}

static void load_cs(struct cpu *c, u16 sel)
{
	unsigned rpl = sel & SELECTOR_RPL;
	struct desc d;

	desc_need(c, NULL, sel, &d, VEC_TS);
	if (!desc_is_code(&d) || (desc_is_conforming(&d) ? desc_dpl(&d) > rpl : desc_dpl(&d) != rpl))
		raise_sel(c, NULL, VEC_TS, sel);
	if (!desc_present(&d))
		raise_sel(c, NULL, VEC_NP, sel);
	desc_set_accessed(c, NULL, &d);
	c->seg[CS] = desc_segment(&d, sel);
}

static void load_ss(struct cpu *c, u16 sel)
{
	struct desc d;

	desc_need(c, NULL, sel, &d, VEC_TS);
	if (!desc_is_writable_data(&d) || desc_dpl(&d) != c->cpl || (sel & SELECTOR_RPL) != c->cpl)
		raise_sel(c, NULL, VEC_TS, sel);
	if (!desc_present(&d))
		raise_sel(c, NULL, VEC_SS, sel);
	desc_set_accessed(c, NULL, &d);
	c->seg[SS] = desc_segment(&d, sel);
}

static void load_data(struct cpu *c, enum sreg s, u16 sel)
{
	struct desc d;

	if (sel_is_null(sel))
		return;
	desc_need(c, NULL, sel, &d, VEC_TS);
	if (!(d.ar & DESC_S) || (desc_is_code(&d) && !(d.ar & SEG_TYPE_R)) ||
	    (!desc_is_conforming(&d) && (desc_dpl(&d) < c->cpl || desc_dpl(&d) < (sel & SELECTOR_RPL))))
		raise_sel(c, NULL, VEC_TS, sel);
	if (!desc_present(&d))
		raise_sel(c, NULL, VEC_NP, sel);
	desc_set_accessed(c, NULL, &d);
	c->seg[s] = desc_segment(&d, sel);
}

static void load_segments(struct cpu *c, const struct image *n)
{
	static const enum sreg data[] = { DS, ES, FS, GS };

	load_ldt(c, n->ldt);
	load_cs(c, n->seg[CS]);
	load_ss(c, n->seg[SS]);
	for (unsigned i = 0; i < 4; i++)
		load_data(c, data[i], n->seg[data[i]]);
}

/* Registers and selectors; the hidden parts are still to come. */
static void load_registers(struct cpu *c, const struct image *n, u32 flags)
{
	for (unsigned i = 0; i < 8; i++)
		c->gpr[i] = n->gpr[i];
	c->rip = n->ip;
	cpu_set_rflags(c, (flags & ~(EFLAGS_RESERVED_0 | EFLAGS_RF)) | EFLAGS_ONE);
	for (unsigned i = 0; i < SREG_COUNT; i++) {
		if (in_v86(c))
			seg_load_v86(c, (enum sreg)i, n->seg[i]);
		else
			c->seg[i] = (struct segment){ .sel = n->seg[i], .ar = SEG_UNUSABLE };
	}
	if (!in_v86(c))
		c->seg[SS].ar |= (n->seg[CS] & SELECTOR_RPL) << DESC_DPL_SHIFT;
	c->cr0 |= CR0_TS;
	cpu_update_code_mode(c);
}

static void load_cr3(struct cpu *c, const struct op *o, u32 cr3)
{
	if (!(c->cr0 & CR0_PG) || cr3 == c->cr3)
		return;
	if ((c->cr4 & CR4_PAE) && !sys_read_pdptes(c, o, cr3, c->pdpte))
		raise_gp0(c, o);
	c->cr3 = cr3;
	mmu_cr3_written(c, false);
}

static void push_error(struct cpu *c, u32 error, unsigned word)
{
	struct stack s = stack_current(c);

	stack_push(c, NULL, &s, word, error);
	c->gpr[RSP] = s.rsp;
}

void task_switch(struct cpu *c, const struct op *o, const struct task *t)
{
	u32 old_flags = (u32)cpu_rflags(c);
	bool nests = t->source == TASK_CALL || t->source == TASK_GATE;
	struct image n;
	struct desc d;

	check_tss(c, o, t->sel, t->source, &d);
	vmx_task_switch(c, o, t->sel, t->source);
	read_image(c, o, &d, &n);
	save_old(c, o, t->source == TASK_IRET ? old_flags & ~(u32)EFLAGS_NT : old_flags, t->next_rip);
	if (!nests)
		set_busy(c, o, c->tr.sel, false);
	if (t->source != TASK_IRET)
		set_busy(c, o, t->sel, true);
	if (nests)
		mmu_st_sys(c, o, (u32)d.base, 2, c->tr.sel);
	if (layout_of(d.ar)->cr3)
		load_cr3(c, o, n.cr3);
	c->tr = desc_segment(&d, t->sel);
	c->tr.ar |= 2;
	load_registers(c, &n, nests ? n.flags | (u32)EFLAGS_NT : n.flags);
	sys_load_dr7(c, c->dr[7] & ~0x55ull); /* no local enables */
	cpu_charge(c, COST_TASK_SWITCH);
	if (!in_v86(c))
		load_segments(c, &n);
	else
		load_ldt(c, n.ldt);
	cpu_update_code_mode(c);
	if (t->has_error)
		push_error(c, t->error, layout_of(d.ar)->word);
	if (c->rip > c->seg[CS].limit)
		raise_gp0(c, NULL);
	if (n.trap) {
		c->pending_dbg |= DR6_BT;
		cpu_kick(c, PEND_TRAP);
	}
}

void task_enter(struct cpu *c, const struct op *o, u16 sel, struct desc *d, enum task_source src)
{
	struct task t = { .sel = sel, .source = src, .next_rip = cpu_next_rip(c, o) };

	if (desc_dpl(d) < c->cpl || desc_dpl(d) < (sel & SELECTOR_RPL))
		raise_sel(c, o, VEC_GP, sel);
	if (desc_type(d) == SYS_TYPE_TASK_GATE) {
		if (!desc_present(d))
			raise_sel(c, o, VEC_NP, sel);
		t.sel = (u16)(d->lo >> 16);
	}
	task_switch(c, o, &t);
}
