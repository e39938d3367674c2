/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM exits: SDM 3C "Recording VM-Exit Information and Updating VM-Entry Control Fields" (28.2), "Saving Guest
 * State" (28.3), "Loading Host State" (28.5), "VMX Aborts" (28.7).
 */
#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/sys.h"
#include "machine/debug/trace.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/layout.h"
#include "machine/vmx/virt_apic.h"
#include "machine/vmx/vmx.h"

#define CR0_KEPT (CR0_ET | CR0_NW | CR0_CD | BITS(63, 32) | BITS(28, 19) | BIT64(17) | BITS(15, 6))

static void save_registers(struct cpu *c)
{
	VMCS(c, GUEST_CR0) = c->cr0;
	VMCS(c, GUEST_CR3) = c->cr3;
	VMCS(c, GUEST_CR4) = c->cr4;
	VMCS(c, GUEST_IA32_SYSENTER_CS) = c->sysenter_cs;
	VMCS(c, GUEST_IA32_SYSENTER_ESP) = c->sysenter_esp;
	VMCS(c, GUEST_IA32_SYSENTER_EIP) = c->sysenter_eip;
	if (vmx_exit_ctl(c, VMEXIT_SAVE_DEBUG_CONTROLS)) {
		VMCS(c, GUEST_DR7) = c->dr[7];
		VMCS(c, GUEST_IA32_DEBUGCTL) = c->debugctl;
	}
	if (vmx_exit_ctl(c, VMEXIT_SAVE_PAT))
		VMCS(c, GUEST_IA32_PAT) = c->pat;
	if (vmx_exit_ctl(c, VMEXIT_SAVE_EFER))
		VMCS(c, GUEST_IA32_EFER) = c->efer;
}

static void save_segments(struct cpu *c)
{
	for (unsigned s = 0; s < SEG_FIELDS; s++) {
		const struct segment *seg = vmx_segment(c, s);

		VMCS_SEG(c, s, SELECTOR) = seg->sel;
		VMCS_SEG(c, s, BASE) = seg->base;
		VMCS_SEG(c, s, LIMIT) = seg->limit;
		VMCS_SEG(c, s, AR) = seg->ar;
	}
	/* 28.3.2: CPL is saved as SS.DPL, also where SS is unusable. */
	VMCS_SEG(c, SS, AR) = (VMCS_SEG(c, SS, AR) & ~VMX_AR_DPL) | (u64)c->cpl << VMX_AR_DPL_SHIFT;
	VMCS(c, GUEST_GDTR_BASE) = c->gdtr.base;
	VMCS(c, GUEST_GDTR_LIMIT) = c->gdtr.limit;
	VMCS(c, GUEST_IDTR_BASE) = c->idtr.base;
	VMCS(c, GUEST_IDTR_LIMIT) = c->idtr.limit;
}

static u32 interruptibility(const struct cpu *c)
{
	bool nmi = vmx_pin(c, PIN_VIRTUAL_NMIS) ? c->vmx.vnmi_blocked : c->nmi_blocked;
	u32 v = nmi ? INTERRUPTIBILITY_NMI : 0;

	if (c->inhibit == INHIBIT_STI)
		v |= INTERRUPTIBILITY_STI;
	if (c->inhibit == INHIBIT_MOVSS)
		v |= INTERRUPTIBILITY_MOV_SS;
	return v;
}

static u64 pending_debug(const struct cpu *c)
{
	u64 v = c->pending & PEND_TRAP ? c->pending_dbg & (PENDING_DEBUG_B | PENDING_DEBUG_BS) : 0;

	return v & PENDING_DEBUG_B ? v | PENDING_DEBUG_ENABLED : v;
}

static void save_state(struct cpu *c, bool rf)
{
	u64 rflags = cpu_rflags(c);

	save_registers(c);
	save_segments(c);
	VMCS(c, GUEST_RIP) = c->rip;
	VMCS(c, GUEST_RSP) = c->gpr[RSP];
	VMCS(c, GUEST_RFLAGS) = rf ? rflags | EFLAGS_RF : rflags;
	VMCS(c, GUEST_ACTIVITY) = monitor_waits(c) ? ACTIVE : c->activity; /* 25.4.2: MWAIT's waiting is no activity state */
	VMCS(c, GUEST_INTERRUPTIBILITY) = interruptibility(c);
	VMCS(c, GUEST_PENDING_DEBUG) = pending_debug(c);
	if (c->vmx.ept)
		for (unsigned i = 0; i < 4; i++)
			c->vmx.vmcs->f[VF_GUEST_PDPTE0 + i] = c->pdpte[i];
	/* 28.2: IA32_VMX_MISC bit 5; needed by unrestricted guests, which can change EFER.LMA themselves. */
	VMCS(c, ENTRY_CONTROLS) &= ~(u64)VMENTRY_IA32E_GUEST;
	if (c->efer & EFER_LMA)
		VMCS(c, ENTRY_CONTROLS) |= VMENTRY_IA32E_GUEST;
	if (c->vmx.timer_on && vmx_exit_ctl(c, VMEXIT_SAVE_PREEMPTION_TIMER))
		VMCS(c, PREEMPTION_TIMER_VALUE) = c->vmx.timer_expired ? 0 : vmx_timer_left(c);
}

/* 28.2.4: the event whose delivery the exit interrupted; the length of the instruction that caused it, if one did. */
static void record_vectoring(struct cpu *c, const struct vmexit *x)
{
	const struct event *e = &c->delivering;

	VMCS(c, IDT_VECTORING_INFO) = 0;
	if (!c->is_delivering || x->no_vectoring)
		return;
	VMCS(c, IDT_VECTORING_INFO) = INTR_INFO_VALID | (u32)e->type << INTR_INFO_TYPE_SHIFT | e->vector;
	if (e->has_error) {
		VMCS(c, IDT_VECTORING_INFO) |= INTR_INFO_ERROR_VALID;
		VMCS(c, IDT_VECTORING_ERROR) = e->error;
	}
	if (e->type >= EV_SOFT_INT)
		VMCS(c, EXIT_INSTRUCTION_LENGTH) = e->insn_len;
}

static void record(struct cpu *c, const struct vmexit *x)
{
	VMCS(c, EXIT_REASON) = x->reason;
	VMCS(c, EXIT_QUALIFICATION) = x->qual;
	VMCS(c, EXIT_INTR_INFO) = x->intr_info;
	VMCS(c, EXIT_INTR_ERROR) = x->intr_error;
	VMCS(c, EXIT_INSTRUCTION_LENGTH) = x->insn_len;
	VMCS(c, EXIT_INSTRUCTION_INFO) = x->insn_info;
	VMCS(c, GUEST_LINEAR_ADDRESS) = x->gla;
	VMCS(c, GUEST_PHYSICAL_ADDRESS) = x->gpa;
	record_vectoring(c, x);
	VMCS(c, ENTRY_INTR_INFO) &= ~(u64)INTR_INFO_VALID;
}

/* 28.7: the VMM's own state cannot be trusted any more: the CPU shuts down, which ends the machine. */
static _Noreturn void vmx_abort(struct cpu *c, unsigned indicator)
{
	static const char *const why[] = {
		[VMX_ABORT_SAVE_MSR] = "VMX abort: MSR-store area",
		[VMX_ABORT_HOST_PDPTE] = "VMX abort: host PDPTEs",
		[VMX_ABORT_LOAD_MSR] = "VMX abort: MSR-load area of VM exits",
		[VMX_ABORT_HOST_NOT_64] = "VMX abort: exit from IA-32e mode to a 32-bit host",
	};

	vmx_phys_write(c, c->vmx.vmcs_ptr + VMCS_REGION_ABORT, 4, indicator);
	c->vmx.vmcs->abort = indicator;
	c->activity = SHUTDOWN;
	machine_stop(c->m, STATUS_TRIPLE_FAULT, why[indicator]);
	cpu_unwind(c, UNWIND_RESUME);
}

static void host_segment(struct cpu *c, enum sreg s, u64 sel, u64 base)
{
	struct segment *seg = &c->seg[s];

	seg->sel = (u16)sel;
	seg->base = base;
	seg->limit = 0xffffffff;
	seg->ar = SEG_TYPE_W | SEG_TYPE_A | DESC_S | DESC_P | DESC_DB | DESC_G;
	if (!sel)
		seg->ar = SEG_UNUSABLE;
}

/* 28.5.2 */
static void load_host_segments(struct cpu *c)
{
	bool host64 = vmx_exit_ctl(c, VMEXIT_HOST_64);

	for (unsigned s = 0; s < SREG_COUNT; s++)
		host_segment(c, s, c->vmx.vmcs->f[VF_HOST_ES_SELECTOR + s], 0);
	c->seg[CS].ar = SEG_TYPE_CODE | SEG_TYPE_R | SEG_TYPE_A | DESC_S | DESC_P | DESC_G | (host64 ? DESC_L : DESC_DB);
	c->seg[FS].base = VMCS(c, HOST_FS_BASE);
	c->seg[GS].base = VMCS(c, HOST_GS_BASE);
	c->tr = (struct segment){ .base = VMCS(c, HOST_TR_BASE), .limit = 0x67, .ar = SYS_TYPE_TSS_BUSY | DESC_P,
				  .sel = (u16)VMCS(c, HOST_TR_SELECTOR) };
	c->ldtr = (struct segment){ .ar = SEG_UNUSABLE };
	c->gdtr = (struct table_reg){ VMCS(c, HOST_GDTR_BASE), 0xffff };
	c->idtr = (struct table_reg){ VMCS(c, HOST_IDTR_BASE), 0xffff };
}

/* 28.5.1 */
static void load_host_registers(struct cpu *c)
{
	bool host64 = vmx_exit_ctl(c, VMEXIT_HOST_64);
	u64 size_bits = host64 ? EFER_LME | EFER_LMA : 0;

	c->cr0 = (VMCS(c, HOST_CR0) & ~CR0_KEPT) | (c->cr0 & CR0_KEPT);
	c->cr3 = VMCS(c, HOST_CR3);
	c->cr4 = host64 ? VMCS(c, HOST_CR4) | CR4_PAE : VMCS(c, HOST_CR4) & ~(u64)CR4_PCIDE;
	c->debugctl = 0;
	c->sysenter_cs = VMCS(c, HOST_IA32_SYSENTER_CS);
	c->sysenter_esp = VMCS(c, HOST_IA32_SYSENTER_ESP);
	c->sysenter_eip = VMCS(c, HOST_IA32_SYSENTER_EIP);
	c->efer = (c->efer & ~(EFER_LME | EFER_LMA)) | size_bits;
	if (vmx_exit_ctl(c, VMEXIT_LOAD_EFER))
		c->efer = VMCS(c, HOST_IA32_EFER);
	if (vmx_exit_ctl(c, VMEXIT_LOAD_PAT))
		c->pat = VMCS(c, HOST_IA32_PAT);
}

/* 28.5.4: PAE paging of a 32-bit host reads its PDPTEs again. */
static void load_host_pdptes(struct cpu *c)
{
	if (vmx_exit_ctl(c, VMEXIT_HOST_64) || !(c->cr4 & CR4_PAE))
		return;
	if (!sys_read_pdptes(c, NULL, c->cr3, c->pdpte))
		vmx_abort(c, VMX_ABORT_HOST_PDPTE);
}

static void load_host_state(struct cpu *c)
{
	bool own_tlb = c->vmx.vpid != 0;

	c->vmx.nonroot = false;
	monitor_disarm(c); /* 28.5.6 "Clearing Address-Range Monitoring" */
	vmx_leave_ept(c);
	c->vmx.vpid = 0;
	vmx_apic_leave(c);
	load_host_registers(c);
	load_host_segments(c);
	c->gpr[RSP] = VMCS(c, HOST_RSP);
	c->rip = VMCS(c, HOST_RIP);
	c->activity = ACTIVE;
	c->inhibit = 0;
	c->pending_dbg = 0;
	c->vmx.mtf = MTF_OFF;
	c->pending &= ~(u32)(PEND_TRAP | PEND_VMX);
	c->is_delivering = false;
	cpu_set_rflags(c, EFLAGS_ONE);
	cpu_update_code_mode(c);
	c->cpl = 0;
	mmu_update_mode(c);
	sys_load_dr7(c, DR7_INIT);
	if (!own_tlb)
		mmu_flush_vpid0(c);
	load_host_pdptes(c);
	if (vmx_msr_load(c, VMCS(c, EXIT_MSR_LOAD_ADDR), (u32)VMCS(c, EXIT_MSR_LOAD_COUNT)))
		vmx_abort(c, VMX_ABORT_LOAD_MSR);
}

static enum cost exit_cost(const struct vmexit *x)
{
	switch (x->reason) {
	case EXIT_VMCALL: return COST_EXIT_VMCALL;
	case EXIT_CPUID: return COST_EXIT_CPUID;
	case EXIT_IO: return COST_EXIT_IO;
	case EXIT_EPT_VIOLATION:
	case EXIT_EPT_MISCONFIG:
	case EXIT_SPP_EVENT:
	case EXIT_PML_FULL: return COST_EXIT_EPT;
	case EXIT_EXCEPTION_NMI:
		return (x->intr_info & INTR_INFO_VECTOR) == VEC_PF ? COST_EXIT_PF : COST_EXIT_OTHER;
	}
	return COST_EXIT_OTHER;
}

static void account(struct cpu *c, const struct vmexit *x)
{
	stat_add(c->m, STAT_VMEXITS, 1);
	c->m->exits[x->reason]++;
	c->vmx.exit_at = cpu_now(c);
	if (c->vmx.entered_at != CYCLES_NONE)
		stat_add(c->m, STAT_NONROOT_CYCLES, c->vmx.exit_at - c->vmx.entered_at);
	c->vmx.entered_at = CYCLES_NONE;
	c->vmx.exit_reason = x->reason;
	c->vmx.exit_vector = x->intr_info & INTR_INFO_VECTOR;
	if (x->reason == EXIT_EXCEPTION_NMI)
		c->m->vector_exits[c->vmx.exit_vector % VECTOR_SLOTS]++;
	c->vmx.timed_exit = true;
	cpu_charge(c, exit_cost(x));
}

void vmx_exit_commit(struct cpu *c, const struct vmexit *x)
{
	bool vnmis = vmx_pin(c, PIN_VIRTUAL_NMIS);

	account(c, x);
	trace_exit(c, x->reason, x->qual);
	record(c, x);
	save_state(c, x->rf);
	vmx_timer_stop(c);
	if (vmx_msr_store(c, VMCS(c, EXIT_MSR_STORE_ADDR), (u32)VMCS(c, EXIT_MSR_STORE_COUNT)))
		vmx_abort(c, VMX_ABORT_SAVE_MSR);
	if ((c->efer & EFER_LMA) && !vmx_exit_ctl(c, VMEXIT_HOST_64))
		vmx_abort(c, VMX_ABORT_HOST_NOT_64);
	load_host_state(c);
	if (vnmis)
		c->nmi_blocked = false; /* NMIs were not blocked in the guest; only an NMI exit blocks them */
	if (x->reason == EXIT_EXCEPTION_NMI && bits(x->intr_info, 10, 8) == INTR_TYPE_NMI)
		c->nmi_blocked = true;
}

_Noreturn void vmx_exit(struct cpu *c, const struct vmexit *x)
{
	vmx_exit_commit(c, x);
	cpu_unwind(c, UNWIND_RESUME);
}

_Noreturn void vmx_exit_instruction(struct cpu *c, const struct op *o, unsigned reason, u64 qual, u32 info)
{
	struct vmexit x = { .reason = reason, .qual = qual, .insn_len = o->len, .insn_info = info };

	cpu_sync(c, o);
	vmx_exit(c, &x);
}

/* 27.8: as an exit, but the guest-state area, most information fields and the injected event stay as they are. */
_Noreturn void vmx_entry_failure(struct cpu *c, unsigned reason, u64 qual)
{
	bool blocked = c->nmi_blocked;

	VMCS(c, EXIT_REASON) = reason | EXIT_REASON_ENTRY_FAILURE;
	VMCS(c, EXIT_QUALIFICATION) = qual;
	account(c, &(struct vmexit){ .reason = reason });
	trace_exit(c, reason | EXIT_REASON_ENTRY_FAILURE, qual);
	load_host_state(c);
	c->nmi_blocked = blocked;
	cpu_unwind(c, UNWIND_RESUME);
}
