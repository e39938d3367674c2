/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exits that no instruction asks for: exceptions, interrupts, windows, the preemption timer, task switches.
 * SDM 3C "Other Causes of VM Exits" (26.2), "Exit Qualification" in 28.2.1.
 */
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/dev/apic.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/virt_apic.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

/* SDM 3C "Exception Bitmap" (25.6.3): for #PF the bit counts as it is if the error code matches, inverted if not. */
static bool exception_exits(const struct cpu *c, const struct event *e)
{
	bool bit = VMCS(c, EXCEPTION_BITMAP) >> e->vector & 1;

	if (e->vector != VEC_PF)
		return bit;
	return bit == ((e->error & VMCS(c, PF_ERROR_MASK)) == VMCS(c, PF_ERROR_MATCH));
}

static bool is_exception(const struct event *e)
{
	return e->type == EV_HW_EXCEPTION || e->type == EV_SW_EXCEPTION || e->type == EV_PRIV_SW_EXCEPTION;
}

bool vmx_nmi_unblocked(const struct cpu *c)
{
	return c->vmx.iret_unblocked && c->rip == c->vmx.iret_rip && !c->is_delivering;
}

static u32 intr_info(const struct cpu *c, const struct event *e)
{
	u32 v = INTR_INFO_VALID | (u32)e->type << INTR_INFO_TYPE_SHIFT | e->vector;

	if (e->has_error)
		v |= INTR_INFO_ERROR_VALID;
	if (e->vector != VEC_DF && vmx_nmi_unblocked(c))
		v |= INTR_INFO_NMI_UNBLOCK;
	return v;
}

/* SDM 3C "Saving RIP, RSP, RFLAGS, and SSP" (28.3.3): set, or as the event under way would have pushed it. */
bool vmx_fault_rf(const struct cpu *c)
{
	return !c->is_delivering || sys_event_sets_rf(&c->delivering);
}

void vmx_intercept_exception(struct cpu *c, const struct event *e)
{
	struct vmexit x = { .reason = EXIT_EXCEPTION_NMI };

	if (!vmx_nonroot(c) || !is_exception(e))
		return;
	if (!exception_exits(c, e))
		return;
	x.intr_info = intr_info(c, e);
	x.intr_error = e->has_error ? e->error : 0;
	if (e->vector == VEC_PF || e->vector == VEC_DB)
		x.qual = e->cr2_or_dr6;
	if (e->type != EV_HW_EXCEPTION)
		x.insn_len = e->insn_len;
	x.rf = sys_event_sets_rf(e);
	x.no_vectoring = e->vector == VEC_DF;
	vmx_exit(c, &x);
}

void vmx_triple_fault(struct cpu *c)
{
	if (vmx_nonroot(c))
		vmx_exit(c, &(struct vmexit){ .reason = EXIT_TRIPLE_FAULT, .no_vectoring = true });
}

void vmx_task_switch(struct cpu *c, const struct op *o, u16 sel, unsigned source)
{
	struct vmexit x = { .reason = EXIT_TASK_SWITCH, .qual = sel | (u64)source << QUAL_TASK_SOURCE_SHIFT };

	if (!vmx_nonroot(c))
		return;
	if (o)
		x.insn_len = o->len;
	cpu_sync(c, o);
	vmx_exit(c, &x);
}

/* The IRET at c->rip begins: SDM 3C 26.3 "IRET". */
void vmx_iret(struct cpu *c)
{
	bool *blocked = vmx_pin(c, PIN_VIRTUAL_NMIS) ? &c->vmx.vnmi_blocked : &c->nmi_blocked;

	if (!vmx_nonroot(c)) {
		c->nmi_blocked = false;
		return;
	}
	if (vmx_pin(c, PIN_NMI_EXITING) && !vmx_pin(c, PIN_VIRTUAL_NMIS))
		return;
	c->vmx.iret_unblocked = *blocked;
	c->vmx.iret_rip = c->rip;
	*blocked = false;
}

bool vmx_extint_exits(const struct cpu *c)
{
	return vmx_nonroot(c) && vmx_pin(c, PIN_EXTINT_EXITING);
}

static bool exit_now(struct cpu *c, const struct vmexit *x)
{
	vmx_exit_commit(c, x);
	return true;
}

static bool exit_nmi(struct cpu *c)
{
	const struct event nmi = { .vector = VEC_NMI, .type = EV_NMI };

	c->pending &= ~(u32)PEND_NMI;
	apic_nmi_taken(c->apic);
	return exit_now(c, &(struct vmexit){ .reason = EXIT_EXCEPTION_NMI, .intr_info = intr_info(c, &nmi) });
}

/*
 * "Acknowledge interrupt on exit" takes the vector from the APIC; else the interrupt stays pending there. The
 * notification of posted interrupts does not exit: the boundary is looked at again.
 */
static bool exit_interrupt(struct cpu *c)
{
	struct vmexit x = { .reason = EXIT_EXTERNAL_INTERRUPT };

	if (vmx_exit_ctl(c, VMEXIT_ACK_INTERRUPT)) {
		const struct event e = { .vector = (u8)apic_ack(c->apic), .type = EV_EXTINT };

		x.intr_info = intr_info(c, &e) & ~INTR_INFO_NMI_UNBLOCK;
		if (apic_pending(c->apic) < 0)
			c->pending &= ~(u32)PEND_INTR;
		if (vmx_posted_interrupt(c, e.vector))
			return true;
	}
	return exit_now(c, &x);
}

static bool exit_init(struct cpu *c)
{
	c->pending &= ~(u32)PEND_INIT;
	return exit_now(c, &(struct vmexit){ .reason = EXIT_INIT });
}

/* SDM 3C 26.2 "Start-up IPIs": they exit a guest that waits for one, and nothing else does. */
static bool exit_sipi(struct cpu *c)
{
	if (!(c->pending & PEND_SIPI))
		return false;
	c->pending &= ~(u32)PEND_SIPI;
	return exit_now(c, &(struct vmexit){ .reason = EXIT_SIPI, .qual = apic_sipi_vector(c->apic) });
}

/* Something may change what an exit at a boundary depends on: interrupts, NMIs, an open window, the timer. */
static bool boundary_concerns(const struct cpu *c)
{
	return c->pending & (PEND_VMX | PEND_INTR | PEND_NMI | PEND_INIT);
}

/* Windows need a look at every boundary, an expired timer until it has exited. */
static bool boundary_stays_interested(const struct cpu *c)
{
	return c->vmx.mtf || c->vmx.timer_expired || c->vmx.vintr || vmx_proc(c, PROC_INTR_WINDOW_EXITING | PROC_NMI_WINDOW_EXITING);
}

/* True if the exit is due now; else the next instruction is to run alone. */
static bool mtf_due(struct cpu *c)
{
	if (c->vmx.mtf == MTF_PENDING)
		return true;
	c->vmx.mtf = MTF_PENDING;
	c->single = true;
	return false;
}

/* In the order of SDM 3A table 6-2 and SDM 3C 26.2. */
bool vmx_boundary(struct cpu *c, bool intr_open, bool nmi_open)
{
	bool shadow_movss = c->inhibit == INHIBIT_MOVSS;
	bool awake = c->activity <= HALTED; /* in shutdown MTF exits and interrupts wait */

	if (unlikely(c->activity == WAIT_SIPI))
		return vmx_nonroot(c) && exit_sipi(c);
	if (likely(!boundary_concerns(c)) || !vmx_nonroot(c))
		return false;
	if (c->pending & PEND_INIT)
		return exit_init(c);
	if (c->vmx.mtf && awake && mtf_due(c))
		return exit_now(c, &(struct vmexit){ .reason = EXIT_MONITOR_TRAP_FLAG });
	if (c->vmx.timer_expired)
		return exit_now(c, &(struct vmexit){ .reason = EXIT_PREEMPTION_TIMER });
	if (vmx_proc(c, PROC_NMI_WINDOW_EXITING) && !c->vmx.vnmi_blocked && !shadow_movss)
		return exit_now(c, &(struct vmexit){ .reason = EXIT_NMI_WINDOW });
	if ((c->pending & PEND_NMI) && vmx_pin(c, PIN_NMI_EXITING) && nmi_open)
		return exit_nmi(c);
	if (vmx_proc(c, PROC_INTR_WINDOW_EXITING) && intr_open)
		return exit_now(c, &(struct vmexit){ .reason = EXIT_INTERRUPT_WINDOW });
	if (vmx_virtual_interrupt(c) && intr_open)
		return false; /* the run loop delivers it: SDM 3C 30.2.2, before external interrupts */
	if ((c->pending & PEND_INTR) && vmx_extint_exits(c) && awake && !c->inhibit && apic_pending(c->apic) >= 0)
		return exit_interrupt(c);
	if (!boundary_stays_interested(c))
		c->pending &= ~(u32)PEND_VMX;
	return false;
}
