/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints of the debug registers. While any is enabled the run loop runs single instructions and the MMU takes its
 * slow path, so that nothing else has to know of them. SDM 3B "Debug Registers" (18.2), "Debug Exceptions" (18.3).
 */
#include "machine/cpu/sys/priv.h"

enum { BREAK_EXEC = 1 << 0, BREAK_WRITE = 1 << 1, BREAK_IO = 1 << 2, BREAK_ACCESS = 1 << 3 }; /* by DR7.RWn */

/* The B bits of DR6 for an access of n bytes at a by the breakpoints of the given kinds. */
static u8 hits(const struct cpu *c, u64 a, unsigned n, unsigned kinds)
{
	static const u8 length[4] = { 1, 2, 8, 4 };
	u64 dr7 = c->dr[7];
	u8 b = 0;

	for (unsigned i = 0; i < 4; i++) {
		unsigned len = length[DR7_LEN(dr7, i)];
		u64 first = c->dr[i] & ~(u64)(len - 1);

		if ((dr7 & (DR7_L(i) | DR7_G(i))) && (kinds >> DR7_RW(dr7, i) & 1) && a < first + len && a + n > first)
			b |= (u8)(1 << i);
	}
	return b;
}

/* A fault, before the instruction; RF lets one instruction through, as MOV SS does. */
void sys_break_before(struct cpu *c)
{
	struct event e = { .vector = VEC_DB, .type = EV_HW_EXCEPTION };
	bool let_through = (c->eflags & EFLAGS_RF) || c->inhibit == INHIBIT_MOVSS;

	c->dbg_hits = 0;
	if (let_through)
		return;
	e.cr2_or_dr6 = hits(c, in_64bit(c) ? c->rip : (u32)(c->seg[CS].base + c->rip), 1, BREAK_EXEC);
	if (e.cr2_or_dr6)
		cpu_raise_event(c, NULL, &e);
}

/* Data and I/O breakpoints trap after the instruction. repeats: a string instruction that will go on. */
void sys_break_after(struct cpu *c, bool repeats)
{
	if (repeats)
		c->eflags |= EFLAGS_RF;
	if (!c->dbg_hits)
		return;
	c->pending_dbg |= c->dbg_hits;
	cpu_kick(c, PEND_TRAP);
}

void sys_break_data(struct cpu *c, u64 lin, unsigned n, bool write)
{
	c->dbg_hits |= hits(c, lin, n, write ? BREAK_WRITE | BREAK_ACCESS : BREAK_ACCESS);
}

void sys_break_io(struct cpu *c, u16 port, unsigned n)
{
	if (c->cr4 & CR4_DE)
		c->dbg_hits |= hits(c, port, n, BREAK_IO);
}

void sys_branch_taken(struct cpu *c, u64 from)
{
	if (!sys_records_branches(c))
		return;
	c->lbr_top = (c->lbr_top + 1) % LASTBRANCH_DEPTH;
	c->lbr_from[c->lbr_top] = from;
	c->lbr_to[c->lbr_top] = c->rip;
}

void sys_load_dr7(struct cpu *c, u64 v)
{
	bool before = sys_breakpoints(c);

	c->dr[7] = (v & ~(DR7_FIXED0 | DR7_RTM) & 0xffffffff) | DR7_FIXED1;
	if (sys_breakpoints(c) != before)
		mmu_update_mode(c);
}
