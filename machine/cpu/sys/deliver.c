/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events through the IDT. SDM 3A "Interrupt and Exception Handling" (chapter 6), SDM 2A "INT n". Whatever can fault
 * comes before the first change of state; a fault inside unwinds to the run loop and comes back here as a nested event.
 */
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/priv.h"
#include "machine/debug/trace.h"
#include "machine/vmx/vmx.h"

/* A gate of the IDT with the code that it leads to. */
struct entry {
	u32 error;     /* of faults about the gate itself */
	unsigned type; /* SYS_TYPE_* */
	unsigned word; /* bytes of each push */
	unsigned ist;
	u16 sel;
	struct target t;
};

/*
 * Raised by the instruction itself: the gate's DPL is checked, and the return address is after it. INT1 skips the
 * check.
 */
static bool is_software(const struct event *e)
{
	return e->type == EV_SOFT_INT || e->type == EV_SW_EXCEPTION;
}

static u64 return_rip(const struct cpu *c, const struct event *e)
{
	if (e->type < EV_SOFT_INT)
		return c->rip;
	return in_64bit(c) ? c->rip + e->insn_len : (u32)(c->rip + e->insn_len);
}

/*
 * Faults push RF = 1, so that an instruction breakpoint does not hit twice. SDM 3B "Instruction-Breakpoint Exception
 * Condition".
 */
bool sys_event_sets_rf(const struct event *e)
{
	return !e->injected && e->type == EV_HW_EXCEPTION && e->vector != VEC_DB;
}

static u64 pushed_flags(const struct cpu *c, const struct event *e)
{
	return cpu_rflags(c) | (sys_event_sets_rf(e) ? EFLAGS_RF : 0);
}

static void clear_flags(struct cpu *c, unsigned gate_type)
{
	u64 clear = EFLAGS_TF | EFLAGS_NT | EFLAGS_RF | EFLAGS_VM;

	if (gate_type == SYS_TYPE_INTR || gate_type == SYS_TYPE_INTR16)
		clear |= EFLAGS_IF;
	c->eflags &= ~clear;
}

/* --- IA-32e mode --- */

static struct entry gate64(struct cpu *c, const struct event *e)
{
	struct entry g = { .error = e->vector * 8u + ERROR_IDT + ext_bit(c), .word = 8 };
	u64 lin = c->idtr.base + e->vector * 16u, lo, hi;

	if (e->vector * 16u + 15 > c->idtr.limit)
		cpu_raise_err(c, NULL, VEC_GP, g.error);
	lo = mmu_ld_sys(c, NULL, lin, 8);
	hi = mmu_ld_sys(c, NULL, lin + 8, 8);
	g.type = (unsigned)bits(lo, 44, 40);
	if ((g.type != SYS_TYPE_INTR && g.type != SYS_TYPE_TRAP) || bits(hi, 44, 40))
		cpu_raise_err(c, NULL, VEC_GP, g.error);
	if (is_software(e) && bits(lo, 46, 45) < c->cpl)
		cpu_raise_err(c, NULL, VEC_GP, g.error);
	if (!bits(lo, 47, 47))
		cpu_raise_err(c, NULL, VEC_NP, g.error);
	g.ist = (unsigned)bits(lo, 34, 32);
	g.sel = (u16)(lo >> 16);
	g.t.rip = (lo & 0xffff) | (lo >> 32 & 0xffff0000) | hi << 32;
	return g;
}

static void gate_code(struct cpu *c, struct entry *g)
{
	struct desc d;

	desc_need(c, NULL, g->sel, &d, VEC_GP);
	if (!desc_is_code(&d) || desc_dpl(&d) > c->cpl)
		raise_sel(c, NULL, VEC_GP, g->sel);
	if (!desc_present(&d))
		raise_sel(c, NULL, VEC_NP, g->sel);
	if (in_long_mode(c) && (!(d.ar & DESC_L) || (d.ar & DESC_DB)))
		raise_sel(c, NULL, VEC_GP, g->sel);
	desc_set_accessed(c, NULL, &d);
	g->t.cs = desc_segment(&d, g->sel);
	g->t.cpl = desc_is_conforming(&d) ? c->cpl : desc_dpl(&d);
}

static struct stack entry_stack64(struct cpu *c, const struct entry *g)
{
	bool inner = g->t.cpl < c->cpl;
	struct stack s;

	if (g->ist) {
		s = stack_ist(c, NULL, g->ist, inner, g->t.cpl);
	} else if (inner) {
		s = stack_inner(c, NULL, g->t.cpl);
	} else {
		s = stack_current(c);
		s.flat = true; /* compatibility mode: the handler's stack is a 64-bit one */
		s.mask = ~0ull;
	}
	s.rsp &= ~15ull;
	return s;
}

static void deliver64(struct cpu *c, const struct event *e)
{
	struct entry g = gate64(c, e);
	struct stack s;

	gate_code(c, &g);
	s = entry_stack64(c, &g);
	target_check_rip(c, NULL, &g.t);
	stack_push(c, NULL, &s, 8, c->seg[SS].sel);
	stack_push(c, NULL, &s, 8, c->gpr[RSP]);
	stack_push(c, NULL, &s, 8, pushed_flags(c, e));
	stack_push(c, NULL, &s, 8, c->seg[CS].sel);
	stack_push(c, NULL, &s, 8, return_rip(c, e));
	if (e->has_error)
		stack_push(c, NULL, &s, 8, e->error);
	if (g.t.cpl < c->cpl)
		stack_commit(c, &s, g.t.cpl);
	else
		c->gpr[RSP] = s.rsp;
	clear_flags(c, g.type);
	target_commit(c, &g.t);
}

/* --- protected mode --- */

static struct entry gate32(struct cpu *c, const struct event *e)
{
	struct entry g = { .error = e->vector * 8u + ERROR_IDT + ext_bit(c) };
	u64 v;

	if (e->vector * 8u + 7 > c->idtr.limit)
		cpu_raise_err(c, NULL, VEC_GP, g.error);
	v = mmu_ld_sys(c, NULL, (u32)(c->idtr.base + e->vector * 8u), 8);
	g.type = (unsigned)bits(v, 44, 40);
	if (g.type != SYS_TYPE_TASK_GATE && (g.type & ~9u) != SYS_TYPE_INTR16)
		cpu_raise_err(c, NULL, VEC_GP, g.error);
	if (is_software(e) && bits(v, 46, 45) < c->cpl)
		cpu_raise_err(c, NULL, VEC_GP, g.error);
	if (!bits(v, 47, 47))
		cpu_raise_err(c, NULL, VEC_NP, g.error);
	g.sel = (u16)(v >> 16);
	g.word = g.type & 8 ? 4 : 2;
	g.t.rip = (v & 0xffff) | (g.word == 4 ? v >> 32 & 0xffff0000 : 0);
	return g;
}

static void push_v86_segments(struct cpu *c, struct stack *s, unsigned word)
{
	static const enum sreg order[] = { GS, FS, DS, ES };

	for (unsigned i = 0; i < 4; i++)
		stack_push(c, NULL, s, word, c->seg[order[i]].sel);
}

static struct stack entry_stack32(struct cpu *c, const struct entry *g)
{
	struct stack s;

	if (in_v86(c) && g->t.cpl)
		raise_sel(c, NULL, VEC_GP, g->sel);
	if (g->t.cpl == c->cpl)
		return stack_current(c);
	s = stack_inner(c, NULL, g->t.cpl);
	if (in_v86(c))
		push_v86_segments(c, &s, g->word);
	stack_push(c, NULL, &s, g->word, c->seg[SS].sel);
	stack_push(c, NULL, &s, g->word, c->gpr[RSP]);
	return s;
}

static void deliver_task(struct cpu *c, const struct event *e, u16 sel)
{
	const struct task t = { .sel = sel, .source = TASK_GATE, .has_error = e->has_error, .error = e->error,
			       .next_rip = return_rip(c, e) };

	task_switch(c, NULL, &t);
}

/* --- INT n in virtual-8086 mode with VME: SDM 3B "Class 3—Software Interrupt Handling in Virtual-8086 Mode" --- */

/* The bitmap is the 32 bytes before the I/O map; 1: the monitor's handler. Beyond the TSS's limit there is none. */
static bool goes_to_monitor(struct cpu *c, unsigned vector)
{
	unsigned at;

	if (c->tr.limit < TSS64_IOPB + 1)
		raise_gp0(c, NULL);
	at = (unsigned)mmu_ld_sys(c, NULL, c->tr.base + TSS64_IOPB, 2) - 32 + vector / 8;
	if (at > c->tr.limit)
		raise_gp0(c, NULL);
	return mmu_ld_sys(c, NULL, c->tr.base + at, 1) >> (vector & 7) & 1;
}

/* To the 8086 program's own handler, by its table at 0, as in real mode. */
static void deliver_v86(struct cpu *c, const struct event *e)
{
	struct stack s = stack_current(c);
	u32 v = (u32)mmu_ld(c, NULL, e->vector * 4u, 4);

	stack_push(c, NULL, &s, 2, v86_pushed_flags(c));
	stack_push(c, NULL, &s, 2, c->seg[CS].sel);
	stack_push(c, NULL, &s, 2, return_rip(c, e));
	c->gpr[RSP] = s.rsp;
	c->eflags &= ~(u64)(EFLAGS_TF | EFLAGS_RF | (iopl(c) == 3 ? EFLAGS_IF : EFLAGS_VIF));
	seg_load_v86(c, CS, (u16)(v >> 16));
	c->rip = v & 0xffff;
	cpu_update_code_mode(c);
}

static bool is_v86_interrupt(const struct cpu *c, const struct event *e)
{
	return in_v86(c) && e->type == EV_SOFT_INT && (c->cr4 & CR4_VME);
}

static void deliver32(struct cpu *c, const struct event *e)
{
	bool v86 = in_v86(c);
	struct entry g;
	struct stack s;

	if (is_v86_interrupt(c, e)) {
		if (!goes_to_monitor(c, e->vector)) {
			deliver_v86(c, e);
			return;
		}
		if (iopl(c) < 3)
			raise_gp0(c, NULL);
	}
	g = gate32(c, e);

	if (g.type == SYS_TYPE_TASK_GATE) {
		deliver_task(c, e, g.sel);
		return;
	}
	gate_code(c, &g);
	s = entry_stack32(c, &g);
	target_check_rip(c, NULL, &g.t);
	stack_push(c, NULL, &s, g.word, pushed_flags(c, e));
	stack_push(c, NULL, &s, g.word, c->seg[CS].sel);
	stack_push(c, NULL, &s, g.word, return_rip(c, e));
	if (e->has_error)
		stack_push(c, NULL, &s, g.word, e->error);
	if (g.t.cpl < c->cpl)
		stack_commit(c, &s, g.t.cpl);
	else
		c->gpr[RSP] = s.rsp;
	clear_flags(c, g.type);
	if (v86)
		for (unsigned i = 0; i < SREG_COUNT; i++)
			if (i != CS && i != SS)
				seg_set_null(c, (enum sreg)i, 0);
	target_commit(c, &g.t);
}

/* --- real-address mode: SDM 3A "Interrupt and Exception Handling" in real mode (21.1.4) --- */

static void deliver_real(struct cpu *c, const struct event *e)
{
	struct stack s = stack_current(c);
	u32 v;

	if (e->vector * 4u + 3 > c->idtr.limit)
		cpu_raise_err(c, NULL, VEC_GP, 0);
	v = (u32)mmu_ld_sys(c, NULL, c->idtr.base + e->vector * 4u, 4);
	stack_push(c, NULL, &s, 2, cpu_rflags(c));
	stack_push(c, NULL, &s, 2, c->seg[CS].sel);
	stack_push(c, NULL, &s, 2, return_rip(c, e));
	c->gpr[RSP] = s.rsp;
	c->eflags &= ~(EFLAGS_TF | EFLAGS_IF | EFLAGS_AC | EFLAGS_RF);
	seg_load_real(c, CS, (u16)(v >> 16));
	c->rip = v & 0xffff;
	cpu_update_code_mode(c);
}

/* --- nesting: SDM 3A table 6-5 "Conditions for Generating a Double Fault" --- */

enum severity { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum severity severity(const struct event *e)
{
	static const u32 contributory = BIT32(VEC_DE) | BIT32(VEC_TS) | BIT32(VEC_NP) | BIT32(VEC_SS) |
					BIT32(VEC_GP) | BIT32(VEC_CP);

	if (e->type != EV_HW_EXCEPTION)
		return BENIGN;
	if (e->vector == VEC_PF || e->vector == VEC_VE)
		return PAGE_FAULT;
	if (e->vector == VEC_DF)
		return DOUBLE_FAULT;
	return e->vector < 32 && (contributory >> e->vector & 1) ? CONTRIBUTORY : BENIGN;
}

static bool makes_double_fault(enum severity first, enum severity second)
{
	if (first == CONTRIBUTORY)
		return second == CONTRIBUTORY;
	return first == PAGE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT);
}

/* A fault while c->delivering was on its way. False: triple fault. */
static bool settle_nested(struct cpu *c, struct event *e)
{
	enum severity first = severity(&c->delivering), second = severity(e);

	/* SDM 3C "Exception Bitmap": the second fault may exit before it makes a double or a triple one. */
	vmx_intercept_exception(c, e);
	if (first == DOUBLE_FAULT && (second == CONTRIBUTORY || second == PAGE_FAULT))
		return false;
	c->is_delivering = false;
	if (!makes_double_fault(first, second))
		return true;
	*e = (struct event){ .vector = VEC_DF, .type = EV_HW_EXCEPTION, .has_error = (c->cr0 & CR0_PE) != 0 };
	vmx_intercept_exception(c, e);
	return true;
}

static void shut_down(struct cpu *c)
{
	vmx_triple_fault(c);
	c->is_delivering = false;
	c->activity = SHUTDOWN;
	machine_stop(c->m, STATUS_TRIPLE_FAULT, "triple fault");
}

/* Registers that tell the handler what happened: CR2, DR6. */
static void note_cause(struct cpu *c, const struct event *e)
{
	if (e->type != EV_HW_EXCEPTION)
		return;
	if (e->vector == VEC_PF)
		c->cr2 = e->cr2_or_dr6;
	if (e->vector == VEC_DB) {
		c->dr[6] = (c->dr[6] & ~DR6_B) | (e->cr2_or_dr6 & DR6_WRITABLE);
		c->dr[7] &= ~DR7_GD;
		c->debugctl &= ~(DEBUGCTL_LBR | DEBUGCTL_BTF); /* SDM 3B 18.4.4, 18.4.5 */
	}
}

static void count(struct cpu *c, const struct event *e)
{
	bool interrupt = e->type == EV_EXTINT || e->type == EV_NMI;

	stat_add(c->m, e->type == EV_EXTINT ? STAT_INTERRUPTS : e->type == EV_NMI ? STAT_NMIS : STAT_EXCEPTIONS, 1);
	cpu_charge(c, interrupt ? COST_INTERRUPT : COST_EXCEPTION);
}

/*
 * Debug traps that MOV SS holds off while the next instruction raises an event: a single-step trap is lost; data
 * breakpoints are reported with a #DB, after anything else.
 */
static void settle_held_traps(struct cpu *c, const struct event *e)
{
	if (c->inhibit != INHIBIT_MOVSS)
		return;
	c->pending_dbg &= ~DR6_BS;
	if (e->vector == VEC_DB && (e->type == EV_HW_EXCEPTION || e->type == EV_PRIV_SW_EXCEPTION)) {
		c->dr[6] |= c->pending_dbg & DR6_WRITABLE;
		c->pending_dbg = 0;
	}
	if (!c->pending_dbg)
		c->pending &= ~PEND_TRAP;
}

static void deliver(struct cpu *c, const struct event *e)
{
	u64 from = c->rip;

	settle_held_traps(c, e);
	c->delivering = *e;
	c->is_delivering = true;
	if (e->type == EV_NMI)
		c->nmi_blocked = true; /* also if the delivery faults or exits */
	trace_event(c, e, e->injected);
	count(c, e);
	if (!(c->cr0 & CR0_PE))
		deliver_real(c, e);
	else if (in_long_mode(c))
		deliver64(c, e);
	else
		deliver32(c, e);
	sys_branch_taken(c, from);
	c->is_delivering = false;
	c->inhibit = 0;
}

void cpu_deliver(struct cpu *c, const struct event *e)
{
	struct event ev = *e;

	monitor_disarm(c);
	if (!(c->cr0 & CR0_PE))
		ev.has_error = false;
	if (c->is_delivering) {
		if (!settle_nested(c, &ev)) {
			shut_down(c);
			return;
		}
	} else if (ev.type == EV_HW_EXCEPTION || ev.type == EV_SW_EXCEPTION || ev.type == EV_PRIV_SW_EXCEPTION) {
		vmx_intercept_exception(c, &ev);
	}
	note_cause(c, &ev);
	deliver(c, &ev);
}

void sys_deliver_injected(struct cpu *c, const struct event *e)
{
	struct event ev = *e;

	ev.injected = true;
	deliver(c, &ev);
}
