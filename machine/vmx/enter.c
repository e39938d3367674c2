/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM entry after the checks of controls and host state: SDM 3C "Loading Guest State" (27.3.2), "Loading MSRs"
 * (27.4), "Event Injection" (27.6), "Special Features of VM Entry" (27.7).
 */
#include "arch/x86.h"
#include "arch/paging.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/sys.h"
#include "machine/debug/trace.h"
#include "machine/dev/apic.h"
#include "machine/vmx/caps.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/layout.h"
#include "machine/vmx/virt_apic.h"
#include "machine/vmx/vmx.h"

/* SDM 3C 27.3.2.1: bits of CR0 that neither entry nor exit changes: ET, NW, CD and the reserved ones. */
#define CR0_KEPT (CR0_ET | CR0_NW | CR0_CD | BITS(63, 32) | BITS(28, 19) | BIT64(17) | BITS(15, 6))

static void load_control_registers(struct cpu *c)
{
	c->cr0 = (VMCS(c, GUEST_CR0) & ~CR0_KEPT) | (c->cr0 & CR0_KEPT);
	c->cr3 = VMCS(c, GUEST_CR3);
	c->cr4 = VMCS(c, GUEST_CR4);
}

static void load_debug_controls(struct cpu *c)
{
	if (!vmx_entry_ctl(c, VMENTRY_LOAD_DEBUG_CONTROLS))
		return;
	sys_load_dr7(c, VMCS(c, GUEST_DR7));
	c->debugctl = VMCS(c, GUEST_IA32_DEBUGCTL);
}

static void load_efer(struct cpu *c)
{
	u64 ia32e = vmx_entry_ctl(c, VMENTRY_IA32E_GUEST);

	if (vmx_entry_ctl(c, VMENTRY_LOAD_EFER)) {
		c->efer = VMCS(c, GUEST_IA32_EFER);
		return;
	}
	c->efer = (c->efer & ~EFER_LMA) | (ia32e ? EFER_LMA : 0);
	if (c->cr0 & CR0_PG)
		c->efer = (c->efer & ~EFER_LME) | (ia32e ? EFER_LME : 0);
}

static void load_msrs(struct cpu *c)
{
	c->sysenter_cs = VMCS(c, GUEST_IA32_SYSENTER_CS);
	c->sysenter_esp = VMCS(c, GUEST_IA32_SYSENTER_ESP);
	c->sysenter_eip = VMCS(c, GUEST_IA32_SYSENTER_EIP);
	load_efer(c);
	if (vmx_entry_ctl(c, VMENTRY_LOAD_PAT))
		c->pat = VMCS(c, GUEST_IA32_PAT);
}

static void load_segments(struct cpu *c)
{
	for (unsigned s = 0; s < SEG_FIELDS; s++) {
		struct segment *seg = vmx_segment(c, s);

		seg->sel = (u16)VMCS_SEG(c, s, SELECTOR);
		seg->base = VMCS_SEG(c, s, BASE);
		seg->limit = (u32)VMCS_SEG(c, s, LIMIT);
		seg->ar = (u32)VMCS_SEG(c, s, AR);
	}
	c->gdtr.base = VMCS(c, GUEST_GDTR_BASE);
	c->gdtr.limit = (u16)VMCS(c, GUEST_GDTR_LIMIT);
	c->idtr.base = VMCS(c, GUEST_IDTR_BASE);
	c->idtr.limit = (u16)VMCS(c, GUEST_IDTR_LIMIT);
}

/* 27.7.1: with "virtual NMIs" the field's bit is virtual-NMI blocking, and NMIs themselves are not blocked. */
static void load_interruptibility(struct cpu *c)
{
	u64 v = VMCS(c, GUEST_INTERRUPTIBILITY);
	bool nmi = v & INTERRUPTIBILITY_NMI;

	c->inhibit = v & INTERRUPTIBILITY_STI ? INHIBIT_STI : v & INTERRUPTIBILITY_MOV_SS ? INHIBIT_MOVSS : 0;
	c->vmx.vnmi_blocked = vmx_pin(c, PIN_VIRTUAL_NMIS) && nmi;
	c->nmi_blocked = !vmx_pin(c, PIN_VIRTUAL_NMIS) && nmi;
	c->vmx.iret_unblocked = false;
	c->vmx.paused = false;
}

/*
 * 27.7.3: an event that is injected takes the place of pending debug exceptions, but for software interrupts and
 * exceptions in the shadow of MOV SS: those are as the instruction after a MOV SS with a debug trap.
 */
static bool entry_keeps_traps(const struct cpu *c)
{
	u32 info = (u32)VMCS(c, ENTRY_INTR_INFO);

	if (!(info & INTR_INFO_VALID) || bits(info, 10, 8) == INTR_TYPE_OTHER)
		return VMCS(c, GUEST_ACTIVITY) <= ACTIVITY_HLT;
	if (bits(info, 10, 8) == INTR_TYPE_SW_INTERRUPT || bits(info, 10, 8) == INTR_TYPE_SW_EXCEPTION)
		return VMCS(c, GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_MOV_SS;
	return false;
}

static void load_pending_debug(struct cpu *c)
{
	u64 v = entry_keeps_traps(c) ? VMCS(c, GUEST_PENDING_DEBUG) : 0;

	c->pending_dbg = v & (PENDING_DEBUG_B | PENDING_DEBUG_BS);
	c->pending &= ~(u32)PEND_TRAP;
	if (v & (PENDING_DEBUG_BS | PENDING_DEBUG_ENABLED))
		cpu_kick(c, PEND_TRAP);
}

static void load_activity(struct cpu *c)
{
	u64 info = VMCS(c, ENTRY_INTR_INFO);
	bool wakes = (info & INTR_INFO_VALID) && bits(info, 10, 8) != INTR_TYPE_OTHER;

	c->activity = wakes ? ACTIVE : (enum activity)VMCS(c, GUEST_ACTIVITY);
	c->mwait = false;
	if (c->activity != ACTIVE)
		c->halt_since = cpu_now(c);
}

static void load_paging(struct cpu *c)
{
	vmx_load_ept(c);
	c->vmx.apic_page = vmx_proc2(c, PROC2_VIRT_APIC_ACCESSES) ? VMCS(c, APIC_ACCESS_ADDR) : VMX_NO_POINTER;
	c->vmx.vpid = vmx_proc2(c, PROC2_ENABLE_VPID) ? (u16)VMCS(c, VPID) : 0;
	for (unsigned i = 0; i < 4; i++) {
		if (c->vmx.ept)
			c->pdpte[i] = c->vmx.vmcs->f[VF_GUEST_PDPTE0 + i];
		else if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LMA))
			c->pdpte[i] = vmx_phys_read(c, (c->cr3 & CR3_PAE_ADDRESS) + 8 * i, 8);
	}
}

void vmx_load_guest_state(struct cpu *c)
{
	load_control_registers(c);
	load_msrs(c);
	load_segments(c);
	c->gpr[RSP] = VMCS(c, GUEST_RSP);
	c->rip = VMCS(c, GUEST_RIP);
	c->vmx.nonroot = true;
	load_paging(c);
	cpu_set_rflags(c, VMCS(c, GUEST_RFLAGS));
	cpu_update_code_mode(c);
	c->cpl = (u8)bits(c->seg[SS].ar, 6, 5);
	mmu_update_mode(c);
	load_debug_controls(c);
	if (c->vmx.vpid == 0)
		mmu_flush_vpid0(c);
	load_interruptibility(c);
	load_pending_debug(c);
	load_activity(c);
	monitor_disarm(c); /* 27.3.3 "Clearing Address-Range Monitoring" */
}

/* The time of an exit ends with the entry that follows it. */
static void account(struct cpu *c)
{
	stat_add(c->m, STAT_VMENTRIES, 1);
	if (c->vmx.timed_exit)
		c->m->exit_cycles[c->vmx.exit_reason] += cpu_now(c) - c->vmx.exit_at;
	if (c->vmx.timed_exit && c->vmx.exit_reason == EXIT_EXCEPTION_NMI)
		c->m->vector_cycles[c->vmx.exit_vector % VECTOR_SLOTS] += cpu_now(c) - c->vmx.exit_at;
	c->vmx.timed_exit = false;
	c->vmx.entered_at = cpu_now(c);
	trace_entry(c);
}

_Noreturn void vmx_enter(struct cpu *c, bool launch)
{
	u64 qual;
	unsigned bad;

	c->vmx.failed_rule = vmx_check_guest(c, &qual);
	if (c->vmx.failed_rule)
		vmx_entry_failure(c, EXIT_ENTRY_GUEST_STATE, qual);
	vmx_load_guest_state(c);
	bad = vmx_msr_load(c, VMCS(c, ENTRY_MSR_LOAD_ADDR), (u32)VMCS(c, ENTRY_MSR_LOAD_COUNT));
	if (bad) {
		c->vmx.failed_rule = "VM-entry MSR-load area";
		vmx_entry_failure(c, EXIT_ENTRY_MSR_LOADING, bad);
	}
	if (launch)
		c->vmx.vmcs->launched = 1;
	account(c);
	vmx_timer_start(c);
	cpu_kick(c, PEND_VMX);
	vmx_apic_enter(c);
	vmx_inject(c);
	cpu_unwind(c, UNWIND_RESUME);
}

/*
 * SDM 3C "Monitor Trap Flag" (26.5.2): pending at once after an injected event's delivery, else after one
 * instruction.
 */
static void arm_mtf(struct cpu *c)
{
	u64 info = VMCS(c, ENTRY_INTR_INFO);

	c->vmx.mtf = MTF_OFF;
	if ((info & INTR_INFO_VALID) && bits(info, 10, 8) == INTR_TYPE_OTHER)
		c->vmx.mtf = MTF_PENDING;
	else if (vmx_proc(c, PROC_MONITOR_TRAP_FLAG))
		c->vmx.mtf = info & INTR_INFO_VALID ? MTF_PENDING : MTF_AFTER_INSTRUCTION;
}

/* 27.6.1 "Vectored-Event Injection"; 27.6.2 "Injection of Pending MTF VM Exits": type 7 delivers nothing. */
void vmx_inject(struct cpu *c)
{
	u32 info = (u32)VMCS(c, ENTRY_INTR_INFO);
	struct event e = {
		.vector = (u8)(info & INTR_INFO_VECTOR),
		.type = (u8)bits(info, 10, 8),
		.has_error = info & INTR_INFO_ERROR_VALID,
		.error = (u32)VMCS(c, ENTRY_INTR_ERROR),
		.insn_len = (u8)VMCS(c, ENTRY_INSTRUCTION_LENGTH),
	};

	arm_mtf(c);
	if (!(info & INTR_INFO_VALID) || bits(info, 10, 8) == INTR_TYPE_OTHER)
		return;
	if (e.type == EV_NMI && vmx_pin(c, PIN_VIRTUAL_NMIS))
		c->vmx.vnmi_blocked = true;
	sys_deliver_injected(c, &e);
	if (vmx_pin(c, PIN_VIRTUAL_NMIS))
		c->nmi_blocked = false; /* delivery of an NMI blocked virtual ones only */
}

static void timer_fired(void *arg, u64 now)
{
	struct cpu *c = arg;

	c->vmx.timer_expired = true;
	cpu_kick(c, PEND_VMX);
}

void vmx_timer_bind(struct cpu *c)
{
	c->vmx.timer.name = "vmx-preemption";
	c->vmx.timer.fire = timer_fired;
	c->vmx.timer.arg = c;
}

/* It counts when bit VMX_TIMER_SHIFT of the TSC changes; a write to the TSC meanwhile is no such change. */
void vmx_timer_start(struct cpu *c)
{
	u64 tsc = cpu_rdtsc(c), end = (tsc >> VMX_TIMER_SHIFT) + VMCS(c, PREEMPTION_TIMER_VALUE);

	c->vmx.timer_expired = false;
	c->vmx.timer_on = vmx_pin(c, PIN_PREEMPTION_TIMER);
	if (!c->vmx.timer_on)
		return;
	if (VMCS(c, PREEMPTION_TIMER_VALUE) == 0)
		c->vmx.timer_expired = true;
	else
		timer_set(c->m, &c->vmx.timer, cpu_now(c) + (end << VMX_TIMER_SHIFT) - tsc);
}

u32 vmx_timer_left(struct cpu *c)
{
	u64 now = cpu_now(c), when = c->vmx.timer.when;

	return now >= when ? 0 : (u32)((when - now + BITS(VMX_TIMER_SHIFT - 1, 0)) >> VMX_TIMER_SHIFT);
}

void vmx_timer_stop(struct cpu *c)
{
	if (c->vmx.timer_on)
		timer_cancel(c->m, &c->vmx.timer);
	c->vmx.timer_on = c->vmx.timer_expired = false;
}
