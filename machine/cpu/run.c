// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The run loop. Asynchronous events are recognised at block boundaries, and exactly where the budget ends: a block
 * that does not fit in it is run one instruction at a time.
 */
#include <stdlib.h>
#include <string.h>

#include "arch/x86.h"
#include "machine/core/config.h"
#include "machine/core/smp.h"
#include "machine/cpu/block.h"
#include "machine/cpu/flags.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/sys.h"
#include "machine/cpu/trace.h"
#include "machine/dev/apic.h"
#include "machine/dev/dev.h"
#include "machine/jit/jit.h"
#include "machine/vmx/vmx.h"

struct cpu *cpu_new(struct machine *m, unsigned id)
{
	struct cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~(size_t)63);
	u64 cache;
	enum engine engine = config_engine(m->cfg, &cache);

	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	c->m = m;
	c->id = id;
	c->apic_mmio = ~0ull;
	c->monitor = MONITOR_NONE;
	c->insns = &m->stat[STAT_INSNS];
	c->jump_tag = JUMP_GENERATION;
	c->jumps = calloc(1u << JUMP_BITS, sizeof(*c->jumps));
	c->code = code_cache_new(m);
	if (m->cpu[0])
		c->jit = m->cpu[0]->jit;
	else if (engine != ENGINE_INTERPRET)
		c->jit = jit_new(engine == ENGINE_EAGER, cache);
	if (!c->jumps || !c->code) {
		free(c->jumps);
		free(c);
		return NULL;
	}
	mmu_init(c);
	return c;
}

void cpu_kick(struct cpu *c, u32 pend)
{
	c->pending |= pend;
	if (unlikely(c->asleep) && pend != PEND_STOP)
		smp_wake(c);
}

static u64 wrap_rip(const struct cpu *c, u64 rip)
{
	return c->code_size == 64 ? rip : (u32)rip;
}

void cpu_sync(struct cpu *c, const struct op *o)
{
	const struct block *b = c->block;

	if (!o)
		return;
	c->rip = wrap_rip(c, c->gpr[REG_BLOCK] + o->off);
	c->unspent = b->cycles - o->cyc;
	c->unretired = b->insns - (u32)(o - b->ops);
}

u64 cpu_next_rip(const struct cpu *c, const struct op *o)
{
	return wrap_rip(c, c->gpr[REG_BLOCK] + o->off + o->len);
}

void cpu_unwind(struct cpu *c, enum unwind how)
{
	longjmp(c->unwind, (int)how);
}

void cpu_raise_event(struct cpu *c, const struct op *o, const struct event *e)
{
	cpu_sync(c, o);
	c->exc = *e;
	cpu_unwind(c, UNWIND_FAULT);
}

void cpu_raise(struct cpu *c, const struct op *o, unsigned vector)
{
	const struct event e = { .vector = (u8)vector, .type = EV_HW_EXCEPTION };

	cpu_raise_event(c, o, &e);
}

void cpu_raise_err(struct cpu *c, const struct op *o, unsigned vector, u32 error)
{
	const struct event e = { .vector = (u8)vector, .type = EV_HW_EXCEPTION, .has_error = true, .error = error };

	cpu_raise_event(c, o, &e);
}

void cpu_raise_pf(struct cpu *c, const struct op *o, u64 lin, u32 error)
{
	const struct event e = { .vector = VEC_PF, .type = EV_HW_EXCEPTION, .has_error = true, .error = error,
				 .cr2_or_dr6 = lin };

	stat_add(c->m, STAT_PAGE_FAULTS, 1);
	cpu_raise_event(c, o, &e);
}

/* What the running block took in advance and did not use. */
static void refund(struct cpu *c)
{
	c->budget += (s64)c->unspent;
	*c->insns -= c->unretired;
	c->unspent = 0;
	c->unretired = 0;
}

static void deliver(struct cpu *c, const struct event *e)
{
	c->patch = NULL;
	cpu_deliver(c, e);
	c->inhibit = 0;
}

static void after_unwind(struct cpu *c, enum unwind how)
{
	refund(c);
	c->patch = NULL;
	c->pending &= ~PEND_LEAVE;
	if (how == UNWIND_SINGLE) {
		c->single = true;
	} else if (how == UNWIND_FAULT) {
		struct event e = c->exc; /* a fault during delivery overwrites it */

		deliver(c, &e);
	}
}

static const struct op *run_ops(struct cpu *c, const struct block *b)
{
	const struct op *o = b->ops;

	while (o)
		o = o->fn(c, o);
	return o;
}

static void enter(struct cpu *c, struct block *b)
{
	c->budget -= b->cycles;
	*c->insns += b->insns;
	c->block = b;
	c->gpr[REG_BLOCK] = c->rip;
	c->patch = NULL;
	run_ops(c, b);
	c->unspent = 0;
	c->unretired = 0;
}

/* One instruction: its interrupt shadow, its single-step trap. SDM 3A "Single-Step Exception Condition". */
static void run_single(struct cpu *c)
{
	bool trap = c->eflags & EFLAGS_TF, branches_only = c->debugctl & DEBUGCTL_BTF;
	bool breakpoints = sys_breakpoints(c), again, branch;
	u8 shadow = c->inhibit;
	u64 rip = c->rip, next;
	struct block *b;

	if (c->trace)
		trace_insn(c);
	if (breakpoints)
		sys_break_before(c);
	c->eflags &= ~EFLAGS_RF; /* from here on for the next instruction; a fault pushes it set anyway */
	b = block_find(c, true);
	next = wrap_rip(c, rip + b->ops[0].len);
	again = b->ops[0].flags & (OP_REP | OP_REPNE);
	c->single = false;
	c->pending |= PEND_LEAVE;
	enter(c, b);
	c->pending &= ~PEND_LEAVE;
	if (c->inhibit == shadow)
		c->inhibit = 0;
	again = again && c->rip == rip;
	branch = c->rip != next && !again;
	if (branch)
		sys_branch_taken(c, rip);
	if (breakpoints)
		sys_break_after(c, again);
	if (trap && (branch || !branches_only)) {
		c->pending |= PEND_TRAP;
		c->pending_dbg |= DR6_BS;
	}
}

bool block_must_run_single(const struct cpu *c)
{
	return c->single || c->inhibit || c->trace || (c->eflags & (EFLAGS_TF | EFLAGS_RF)) || sys_breakpoints(c) ||
	       sys_records_branches(c);
}

static void run_block(struct cpu *c)
{
	struct block *b;

	if (block_must_run_single(c)) {
		run_single(c);
		return;
	}
	b = block_find(c, false); /* may have charged a page walk */
	if (c->budget >= (s64)b->cycles)
		enter(c, b);
	else if (c->budget > 0)
		run_single(c);
}

static bool take_trap(struct cpu *c)
{
	struct event e = { .vector = VEC_DB, .type = EV_HW_EXCEPTION, .cr2_or_dr6 = c->pending_dbg };

	if (!(c->pending & PEND_TRAP) || c->inhibit == INHIBIT_MOVSS)
		return false;
	c->pending &= ~PEND_TRAP;
	c->pending_dbg = 0;
	c->activity = ACTIVE; /* a trap after HLT ends it */
	deliver(c, &e);
	return true;
}

static bool take_nmi(struct cpu *c)
{
	const struct event e = { .vector = VEC_NMI, .type = EV_NMI };

	c->pending &= ~PEND_NMI;
	apic_nmi_taken(c->apic);
	c->activity = ACTIVE;
	deliver(c, &e);
	return true;
}

static bool take_interrupt(struct cpu *c)
{
	struct event e = { .type = EV_EXTINT };

	e.vector = (u8)apic_ack(c->apic);
	if (apic_pending(c->apic) < 0)
		c->pending &= ~PEND_INTR;
	c->activity = ACTIVE;
	deliver(c, &e);
	return true;
}

/* SDM 3C "Virtual-Interrupt Delivery" (30.2.2): wakes as an external interrupt does. */
static bool take_virtual_interrupt(struct cpu *c)
{
	const struct event e = { .vector = vmx_take_virtual_interrupt(c), .type = EV_EXTINT };

	c->activity = ACTIVE;
	deliver(c, &e);
	return true;
}

/* SDM 3C "INIT": blocked in VMX root operation; in non-root operation vmx_boundary() has exited. */
static bool take_init(struct cpu *c)
{
	if (!(c->pending & PEND_INIT) || c->vmx.on)
		return false;
	c->pending &= ~PEND_INIT;
	if (c->id == 0)
		machine_stop(c->m, STATUS_RESET, "INIT of the boot processor");
	else
		sys_init(c);
	return true;
}

/* A processor that waits for a start-up message takes nothing else. SDM 3A "MP Initialization Protocol Algorithm". */
static bool take_sipi(struct cpu *c)
{
	if (vmx_nonroot(c))
		return vmx_boundary(c, false, false);
	if (take_init(c))
		return true;
	if (!(c->pending & PEND_SIPI))
		return false;
	c->pending &= ~PEND_SIPI;
	sys_sipi(c, apic_sipi_vector(c->apic));
	return true;
}

/* In the order of SDM 3A "Priority Among Concurrent Events". True: something happened, look again. */
static bool take_events(struct cpu *c)
{
	bool nmi_open = !c->nmi_blocked && !c->inhibit; /* SDM 3C table 25-3: STI may hold back NMIs too; here it does */
	bool intr_open = (c->eflags & EFLAGS_IF) && !c->inhibit && c->activity <= HALTED;

	c->pending &= ~(u32)PEND_WAKE;
	if ((c->pending & PEND_INTR) && apic_pending(c->apic) < 0)
		c->pending &= ~(u32)PEND_INTR; /* masked or withdrawn: with IF clear, every block would end here for it */
	if (c->activity == WAIT_SIPI)
		return take_sipi(c);
	if (c->activity <= HALTED && vmx_apic_event(c))
		return true;
	if (take_init(c))
		return true;
	if (c->activity <= HALTED && !vmx_mtf_due(c) && take_trap(c))
		return true;
	if (vmx_nonroot(c) && vmx_boundary(c, intr_open, nmi_open))
		return true;
	if ((c->pending & PEND_NMI) && nmi_open)
		return take_nmi(c);
	if (vmx_virtual_interrupt(c) && intr_open)
		return take_virtual_interrupt(c);
	if ((c->pending & PEND_INTR) && intr_open)
		return take_interrupt(c);
	if (monitor_interrupted(c)) { /* SDM 2B "MWAIT": control goes on behind it, nothing is delivered */
		c->activity = ACTIVE;
		monitor_disarm(c);
	}
	return false;
}

/* Nothing to run: time passes to the deadline at once. */
static void idle(struct cpu *c)
{
	u64 until = clock_next(c->m), end = c->m->cfg->max_cycles ? c->m->cfg->max_cycles : CYCLES_NONE;
	u32 before = c->pending;

	if (c->m->ncpus > 1) {
		c->asleep = true;
		c->pending |= PEND_STOP;
		return;
	}
	if (!dev_idle_wait(c->m, &until)) {
		machine_stop(c->m, STATUS_DEADLOCK, "halted, and nothing can wake the CPU");
		return;
	}
	/* The run loop's deadline is a short one, for polling: an idle CPU need not stop there. */
	if (!c->m->stop && until != CYCLES_NONE)
		clock_plan(c, until < end ? until : end);
	if (c->pending != before || c->budget <= 0)
		return;
	stat_add(c->m, STAT_HALTED_CYCLES, (u64)c->budget);
	c->budget = 0;
}

static void step(struct cpu *c)
{
	block_mode(c);
	if (unlikely(c->pending) || unlikely(vmx_nonroot(c))) {
		if (take_events(c))
			return;
	}
	if (likely(c->activity == ACTIVE))
		run_block(c);
	else
		idle(c);
}

void cpu_run(struct cpu *c)
{
	int how = setjmp(c->unwind);

	if (how)
		after_unwind(c, (enum unwind)how);
	if (unlikely(jit_full(c->jit)))
		code_translate_anew(c);
	while (c->budget > 0 && !(c->pending & PEND_STOP) && !c->m->stop)
		step(c);
	c->pending &= ~PEND_STOP;
}

void cpu_step(struct cpu *c)
{
	int how = setjmp(c->unwind);

	if (how) {
		after_unwind(c, (enum unwind)how);
	} else if (c->budget > 0 && !c->m->stop) {
		c->single = true;
		step(c);
	}
	c->pending &= ~PEND_STOP;
}
