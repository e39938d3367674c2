/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IRET in all modes. SDM 2A "IRET/IRETD/IRETQ". */
#include "machine/cpu/block.h"
#include "machine/cpu/sys/priv.h"
#include "machine/vmx/vmx.h"

struct frame {
	u64 rip, flags;
	u16 cs;
};

static struct frame pop_frame(struct cpu *c, const struct op *o, struct stack *s)
{
	struct frame f;

	f.rip = stack_peek(c, o, s, 0, o->size);
	f.cs = (u16)stack_peek(c, o, s, o->size, o->size);
	f.flags = stack_peek(c, o, s, 2 * o->size, o->size);
	return f;
}

/* The flags that IRET takes from the image at the present level. */
static u64 iret_flags(const struct cpu *c, const struct op *o, u64 image)
{
	u64 mask = EFLAGS_ARITHMETIC | EFLAGS_TF | EFLAGS_DF | EFLAGS_NT | EFLAGS_AC | EFLAGS_ID;

	if (!(c->cr0 & CR0_PE) || c->cpl <= iopl(c))
		mask |= EFLAGS_IF;
	if (!c->cpl)
		mask |= EFLAGS_IOPL;
	if (!c->cpl && (c->cr0 & CR0_PE))
		mask |= EFLAGS_VIF | EFLAGS_VIP;
	if (sys_breakpoints(c))
		mask |= EFLAGS_RF; /* otherwise nothing can tell whether it was set */
	if (o->size == 2)
		mask &= 0xffff;
	return (cpu_rflags(c) & ~(mask | EFLAGS_RF)) | (image & mask);
}

static void iret_real(struct cpu *c, const struct op *o)
{
	struct stack s = stack_current(c);
	bool virtual = v86_virtual_flags(c, o);
	struct frame f;
	u64 flags;

	f = pop_frame(c, o, &s);
	if (f.rip > c->seg[CS].limit)
		raise_gp0(c, o);
	flags = virtual ? v86_popped_flags(c, o, f.flags) : iret_flags(c, o, f.flags);
	stack_add(&s, 3 * o->size);
	c->gpr[RSP] = s.rsp;
	if (in_v86(c))
		seg_load_v86(c, CS, f.cs);
	else
		seg_load_real(c, CS, f.cs);
	c->rip = f.rip;
	flags_load(c, flags);
	cpu_update_code_mode(c);
}

/* Return to virtual-8086 mode: the frame holds all segments. */
static void iret_to_v86(struct cpu *c, const struct op *o, const struct stack *s, const struct frame *f)
{
	static const enum sreg order[] = { SS, ES, DS, FS, GS };
	u64 esp = stack_peek(c, o, s, 12, 4);
	u16 sel[5];

	if (f->rip > 0xffff)
		raise_gp0(c, o);
	for (unsigned i = 0; i < 5; i++)
		sel[i] = (u16)stack_peek(c, o, s, 16 + 4 * i, 4);
	seg_load_v86(c, CS, f->cs);
	for (unsigned i = 0; i < 5; i++)
		seg_load_v86(c, order[i], sel[i]);
	c->gpr[RSP] = esp;
	c->rip = f->rip;
	flags_load(c, f->flags & ~EFLAGS_RF);
	cpu_update_code_mode(c);
}

static void iret_task(struct cpu *c, const struct op *o)
{
	struct task t = { .source = TASK_IRET, .next_rip = cpu_next_rip(c, o) };

	t.sel = (u16)mmu_ld_sys(c, o, c->tr.base, 2);
	task_switch(c, o, &t);
}

/* In 64-bit mode SS:RSP is always popped, otherwise only by a return to an outer level. */
static void iret_protected(struct cpu *c, const struct op *o)
{
	struct stack s = stack_current(c), next = s;
	struct frame f = pop_frame(c, o, &s);
	unsigned old_cpl = c->cpl;
	struct target t;
	u64 flags;

	if ((f.flags & EFLAGS_VM) && !c->cpl && o->size == 4 && !in_long_mode(c)) {
		iret_to_v86(c, o, &s, &f);
		return;
	}
	t = return_target(c, o, f.cs, f.rip);
	flags = iret_flags(c, o, f.flags);
	if (in_64bit(c) || t.cpl > c->cpl) {
		u64 rsp = stack_peek(c, o, &s, 3 * o->size, o->size);

		next = return_stack(c, o, &t, (u16)stack_peek(c, o, &s, 4 * o->size, o->size), rsp);
		stack_commit(c, &next, t.cpl);
	} else {
		stack_add(&s, 3 * o->size);
		c->gpr[RSP] = s.rsp;
	}
	flags_load(c, flags);
	target_commit(c, &t);
	if (t.cpl > old_cpl)
		seg_drop_privileged(c, t.cpl);
}

/* NMIs are unblocked even if the IRET then faults. SDM 3A "Handling Multiple NMIs". */
static void unblock_nmi(struct cpu *c)
{
	if (vmx_nonroot(c))
		vmx_iret(c);
	else
		c->nmi_blocked = false;
}

const struct op *op_iret(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	unblock_nmi(c);
	if (!in_protected(c)) {
		iret_real(c, o);
	} else if (c->eflags & EFLAGS_NT) {
		if (in_long_mode(c))
			raise_gp0(c, o);
		iret_task(c, o);
	} else {
		iret_protected(c, o);
	}
	cpu_charge(c, COST_IRET);
	return block_go(c);
}
