/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MONITOR and MWAIT. SDM 2B "MONITOR", "MWAIT"; */
#include "machine/cpu/sys/monitor.h"

#include "arch/vmx.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/sys/priv.h"
#include "machine/dev/apic.h"
#include "machine/vmx/vmx.h"

#define MWAIT_INTERRUPTS 1u /* ECX: interrupts end it, masked or not */

static u64 frame_of(const struct cpu *c)
{
	return c->monitor >> PAGE_SHIFT;
}

static bool watched(const struct machine *m, u64 frame)
{
	for (unsigned i = 0; i < m->ncpus; i++)
		if (m->cpu[i]->monitor != MONITOR_NONE && frame_of(m->cpu[i]) == frame)
			return true;
	return false;
}

void monitor_drop(struct cpu *c)
{
	u64 frame = frame_of(c);

	c->monitor = MONITOR_NONE;
	if (!watched(c->m, frame))
		c->m->bus.frame_flags[frame] &= (u8)~FRAME_MONITOR;
}

/* line: offset in RAM of any byte of it. */
static void arm(struct cpu *c, u64 line)
{
	u8 *flags;

	monitor_disarm(c);
	c->monitor = line & ~(u64)(MONITOR_LINE - 1);
	flags = &c->m->bus.frame_flags[frame_of(c)];
	if (*flags & FRAME_MONITOR)
		return;
	*flags |= FRAME_MONITOR;
	mmu_frame_slow(c->m, frame_of(c));
}

static void trigger(struct cpu *c)
{
	monitor_drop(c);
	if (!monitor_waits(c))
		return;
	cpu_kick(c, PEND_WAKE); /* first: its sleep is accounted for while it sleeps */
	c->activity = ACTIVE;
}

void monitor_stored(struct machine *m, u64 frame, unsigned off, unsigned n)
{
	u64 first = (frame << PAGE_SHIFT) + off, last = first + n - 1;

	for (unsigned i = 0; i < m->ncpus; i++) {
		struct cpu *c = m->cpu[i];

		if (c->monitor != MONITOR_NONE && first < c->monitor + MONITOR_LINE && last >= c->monitor)
			trigger(c);
	}
}

/* Whoever wakes does so at the time of the store; the storing instruction may have been exact, or not, and stays so. */
void monitor_stored_by(struct cpu *c, const struct op *o, u64 frame, unsigned off, unsigned n)
{
	u64 rip = c->rip, unspent = c->unspent;
	u32 unretired = c->unretired;

	cpu_sync(c, o);
	monitor_stored(c->m, frame, off, n);
	c->rip = rip;
	c->unspent = unspent;
	c->unretired = unretired;
}

bool monitor_interrupted(struct cpu *c)
{
	if (!monitor_waits(c) || !c->mwait_intr)
		return false;
	return ((c->pending & PEND_INTR) && apic_pending(c->apic) >= 0) || vmx_virtual_interrupt(c);
}

/* --- instructions --- */

static const struct op *done(struct cpu *c, const struct op *o)
{
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

static u64 whole(const struct cpu *c, unsigned r)
{
	return c->code_size == 64 ? c->gpr[r] : (u32)c->gpr[r];
}

/* Not enumerated, or switched off by IA32_MISC_ENABLE; other than for most instructions, a wrong CPL is #UD. */
static void need_monitor(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	if (c->cpl || !cpuid_has(c, FEAT_MONITOR))
		cpu_raise(c, o, VEC_UD);
}

const struct op *op_monitor(struct cpu *c, const struct op *o)
{
	u64 ea = o->asize == 8 ? c->gpr[RAX] : o->asize == 4 ? (u32)c->gpr[RAX] : (u16)c->gpr[RAX];
	const u8 *p;

	need_monitor(c, o);
	vmx_intercept(c, o, EXIT_MONITOR, 0);
	if (whole(c, RCX)) /* there are no extensions */
		raise_gp0(c, o);
	p = mmu_touch(c, o, seg_linear(c, o, (enum sreg)o->seg, ea, 1, ACCESS_READ));
	if (p)
		arm(c, (u64)(p - c->m->bus.ram));
	else
		monitor_disarm(c); /* "The address range must use memory of the write-back type." */
	return done(c, o);
}

/* The hints in EAX ask for deeper sleep: there is one kind here. */
const struct op *op_mwait(struct cpu *c, const struct op *o)
{
	u64 extensions = whole(c, RCX);

	need_monitor(c, o);
	vmx_intercept(c, o, EXIT_MWAIT, c->monitor != MONITOR_NONE);
	if (extensions & ~(u64)MWAIT_INTERRUPTS)
		raise_gp0(c, o);
	if (c->monitor != MONITOR_NONE && !(extensions && vmx_keeps_awake(c))) {
		c->activity = HALTED;
		c->mwait = true;
		c->mwait_intr = extensions & MWAIT_INTERRUPTS;
		c->halt_since = cpu_now(c);
	}
	return done(c, o);
}

void monitor_snap(struct cpu *c, struct snap *s)
{
	snap_var(s, "monitor", c->monitor);
	snap_var(s, "mwait", c->mwait);
	snap_var(s, "mwait.intr", c->mwait_intr);
	if (snap_restoring(s) && c->monitor != MONITOR_NONE)
		c->m->bus.frame_flags[frame_of(c)] |= FRAME_MONITOR;
}
