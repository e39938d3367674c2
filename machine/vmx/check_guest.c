/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SDM 3C "Checks on the Guest State Area" (27.3.1): control registers, debug registers, MSRs, descriptor tables,
 * RIP, RFLAGS and non-register state. Segments are in check_segments.c. A broken rule makes the entry fail with
 * exit reason 33.
 */
#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/vmx/caps.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/vmcs.h"

#define RULES(a) (sizeof(a) / sizeof((a)[0]))

static bool ia32e(const struct cpu *c)
{
	return vmx_entry_ctl(c, VMENTRY_IA32E_GUEST);
}

static bool unrestricted(const struct cpu *c)
{
	return vmx_proc2(c, PROC2_UNRESTRICTED_GUEST);
}

static bool cr0_fixed(const struct cpu *c, unsigned arg)
{
	u64 must = VMX_CR0_FIXED0;

	if (unrestricted(c))
		must &= ~(CR0_PE | CR0_PG);
	return (VMCS(c, GUEST_CR0) & must) == must && !(VMCS(c, GUEST_CR0) >> 32);
}

static bool cr0_paging(const struct cpu *c, unsigned arg)
{
	return !(VMCS(c, GUEST_CR0) & CR0_PG) || (VMCS(c, GUEST_CR0) & CR0_PE);
}

static bool cr4_fixed(const struct cpu *c, unsigned arg)
{
	u64 v = VMCS(c, GUEST_CR4);

	return (v & VMX_CR4_FIXED0) == VMX_CR4_FIXED0 && !(v & ~(u64)CR4_IMPLEMENTED);
}

static bool debugctl(const struct cpu *c, unsigned arg)
{
	return !vmx_entry_ctl(c, VMENTRY_LOAD_DEBUG_CONTROLS) ||
	       !(VMCS(c, GUEST_IA32_DEBUGCTL) & ~DEBUGCTL_IMPLEMENTED);
}

static bool ia32e_paging(const struct cpu *c, unsigned arg)
{
	return !ia32e(c) || ((VMCS(c, GUEST_CR0) & CR0_PG) && (VMCS(c, GUEST_CR4) & CR4_PAE));
}

static bool pcide(const struct cpu *c, unsigned arg)
{
	return ia32e(c) || !(VMCS(c, GUEST_CR4) & CR4_PCIDE);
}

static bool cr3(const struct cpu *c, unsigned arg)
{
	return !(VMCS(c, GUEST_CR3) & ~CPU_PHYS_MASK);
}

static bool dr7(const struct cpu *c, unsigned arg)
{
	return !vmx_entry_ctl(c, VMENTRY_LOAD_DEBUG_CONTROLS) || !(VMCS(c, GUEST_DR7) >> 32);
}

static bool canonical(const struct cpu *c, unsigned row)
{
	return sys_base_valid(c->vmx.vmcs->f[row]);
}

static bool pat(const struct cpu *c, unsigned arg)
{
	return !vmx_entry_ctl(c, VMENTRY_LOAD_PAT) || sys_pat_valid(VMCS(c, GUEST_IA32_PAT));
}

static bool efer_reserved(const struct cpu *c, unsigned arg)
{
	return !vmx_entry_ctl(c, VMENTRY_LOAD_EFER) || sys_efer_valid(c, VMCS(c, GUEST_IA32_EFER));
}

static bool efer_lma(const struct cpu *c, unsigned arg)
{
	return !vmx_entry_ctl(c, VMENTRY_LOAD_EFER) || !!(VMCS(c, GUEST_IA32_EFER) & EFER_LMA) == ia32e(c);
}

static bool efer_lme(const struct cpu *c, unsigned arg)
{
	u64 v = VMCS(c, GUEST_IA32_EFER);

	if (!vmx_entry_ctl(c, VMENTRY_LOAD_EFER) || !(VMCS(c, GUEST_CR0) & CR0_PG))
		return true;
	return !!(v & EFER_LMA) == !!(v & EFER_LME);
}

static bool table_limit(const struct cpu *c, unsigned row)
{
	return !(c->vmx.vmcs->f[row] >> 16);
}

/* 64-bit mode: bits 63:48 are equal, which bit 47 need not be: what is not canonical then faults at the first fetch. */
static bool rip(const struct cpu *c, unsigned arg)
{
	s64 high = (s64)VMCS(c, GUEST_RIP) >> 48;

	if (!ia32e(c) || !(VMCS(c, GUEST_CS_AR) & VMX_AR_L))
		return !(VMCS(c, GUEST_RIP) >> 32);
	return high == 0 || high == -1;
}

static bool rflags_reserved(const struct cpu *c, unsigned arg)
{
	return !(VMCS(c, GUEST_RFLAGS) & EFLAGS_RESERVED_0) && (VMCS(c, GUEST_RFLAGS) & EFLAGS_ONE);
}

static bool rflags_vm(const struct cpu *c, unsigned arg)
{
	return !(VMCS(c, GUEST_RFLAGS) & EFLAGS_VM) || (!ia32e(c) && (VMCS(c, GUEST_CR0) & CR0_PE));
}

static bool injects(const struct cpu *c, unsigned type)
{
	u64 info = VMCS(c, ENTRY_INTR_INFO);

	return (info & INTR_INFO_VALID) && bits(info, 10, 8) == type;
}

static bool rflags_if(const struct cpu *c, unsigned arg)
{
	return !injects(c, INTR_TYPE_EXTERNAL) || (VMCS(c, GUEST_RFLAGS) & EFLAGS_IF);
}

static const struct vmx_rule register_rules[] = {
	/* 27.3.1.1 Control registers, debug registers, MSRs */
	{ cr0_fixed, 0, "guest CR0: fixed bits" },
	{ cr0_paging, 0, "guest CR0: PG needs PE" },
	{ cr4_fixed, 0, "guest CR4: fixed and reserved bits" },
	{ debugctl, 0, "guest IA32_DEBUGCTL: reserved bits" },
	{ ia32e_paging, 0, "IA-32e mode guest: CR0.PG and CR4.PAE" },
	{ pcide, 0, "guest CR4.PCIDE: needs IA-32e mode" },
	{ cr3, 0, "guest CR3: beyond the physical-address width" },
	{ dr7, 0, "guest DR7: bits 63:32" },
	{ canonical, VF_GUEST_IA32_SYSENTER_ESP, "guest IA32_SYSENTER_ESP: canonical" },
	{ canonical, VF_GUEST_IA32_SYSENTER_EIP, "guest IA32_SYSENTER_EIP: canonical" },
	{ pat, 0, "guest IA32_PAT" },
	{ efer_reserved, 0, "guest IA32_EFER: reserved bits" },
	{ efer_lma, 0, "guest IA32_EFER.LMA: as IA-32e mode guest" },
	{ efer_lme, 0, "guest IA32_EFER.LME: as LMA" },
	/* 27.3.1.3 Descriptor-table registers */
	{ canonical, VF_GUEST_GDTR_BASE, "guest GDTR base: canonical" },
	{ canonical, VF_GUEST_IDTR_BASE, "guest IDTR base: canonical" },
	{ table_limit, VF_GUEST_GDTR_LIMIT, "guest GDTR limit: bits 31:16" },
	{ table_limit, VF_GUEST_IDTR_LIMIT, "guest IDTR limit: bits 31:16" },
	/* 27.3.1.4 RIP, RFLAGS */
	{ rip, 0, "guest RIP: bits 63:48 or 63:32" },
	{ rflags_reserved, 0, "guest RFLAGS: reserved bits" },
	{ rflags_vm, 0, "guest RFLAGS.VM: needs protected mode, not IA-32e" },
	{ rflags_if, 0, "guest RFLAGS.IF: for an external interrupt" },
};

static u64 shadow(const struct cpu *c)
{
	return VMCS(c, GUEST_INTERRUPTIBILITY) & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
}

/* IA32_VMX_MISC reports HLT, shutdown and wait-for-SIPI. */
static bool activity_known(const struct cpu *c, unsigned arg)
{
	return VMCS(c, GUEST_ACTIVITY) <= ACTIVITY_WAIT_SIPI;
}

static bool activity_ss_dpl(const struct cpu *c, unsigned arg)
{
	return VMCS(c, GUEST_ACTIVITY) != ACTIVITY_HLT || !(VMCS(c, GUEST_SS_AR) & VMX_AR_DPL);
}

static bool activity_shadow(const struct cpu *c, unsigned arg)
{
	return VMCS(c, GUEST_ACTIVITY) == ACTIVITY_ACTIVE || !shadow(c);
}

/*
 * What wakes the CPU may be injected: out of HLT interrupts, NMIs, #DB, #MC and a pending MTF exit; out of shutdown
 * NMIs and #MC; nothing while it waits for a SIPI.
 */
static bool activity_event(const struct cpu *c, unsigned arg)
{
	u64 info = VMCS(c, ENTRY_INTR_INFO), state = VMCS(c, GUEST_ACTIVITY);
	u64 vector = info & INTR_INFO_VECTOR;

	if (state == ACTIVITY_ACTIVE || !(info & INTR_INFO_VALID))
		return true;
	if (state == ACTIVITY_WAIT_SIPI)
		return false;
	if (injects(c, INTR_TYPE_NMI) || (injects(c, INTR_TYPE_HW_EXCEPTION) && vector == VEC_MC))
		return true;
	if (state == ACTIVITY_SHUTDOWN)
		return false;
	return injects(c, INTR_TYPE_EXTERNAL) || injects(c, INTR_TYPE_OTHER) ||
	       (injects(c, INTR_TYPE_HW_EXCEPTION) && vector == VEC_DB);
}

/* Also: blocking by SMI is possible in SMM only, and enclaves do not exist here. */
static bool interruptibility_reserved(const struct cpu *c, unsigned arg)
{
	u64 never = INTERRUPTIBILITY_RESERVED | INTERRUPTIBILITY_SMI | INTERRUPTIBILITY_ENCLAVE;

	return !(VMCS(c, GUEST_INTERRUPTIBILITY) & never);
}

static bool interruptibility_one_shadow(const struct cpu *c, unsigned arg)
{
	return shadow(c) != (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);
}

static bool interruptibility_sti_if(const struct cpu *c, unsigned arg)
{
	return !(shadow(c) & INTERRUPTIBILITY_STI) || (VMCS(c, GUEST_RFLAGS) & EFLAGS_IF);
}

static bool interruptibility_extint(const struct cpu *c, unsigned arg)
{
	return !injects(c, INTR_TYPE_EXTERNAL) || !shadow(c);
}

/* The manual lets a CPU refuse blocking by STI too, with a qualification of its own; this one does not. */
static bool interruptibility_nmi(const struct cpu *c, unsigned arg)
{
	return !injects(c, INTR_TYPE_NMI) || !(shadow(c) & INTERRUPTIBILITY_MOV_SS);
}

static bool interruptibility_vnmi(const struct cpu *c, unsigned arg)
{
	return !injects(c, INTR_TYPE_NMI) || !vmx_pin(c, PIN_VIRTUAL_NMIS) ||
	       !(VMCS(c, GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI);
}

static bool pending_debug_reserved(const struct cpu *c, unsigned arg)
{
	return !(VMCS(c, GUEST_PENDING_DEBUG) & (PENDING_DEBUG_RESERVED | PENDING_DEBUG_RTM));
}

/* In a shadow or in HLT, BS says whether a single-step trap is due: exactly with TF = 1 and BTF = 0. */
static bool pending_debug_step(const struct cpu *c, unsigned arg)
{
	bool step = (VMCS(c, GUEST_RFLAGS) & EFLAGS_TF) && !(VMCS(c, GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF);

	if (!shadow(c) && VMCS(c, GUEST_ACTIVITY) != ACTIVITY_HLT)
		return true;
	return step == !!(VMCS(c, GUEST_PENDING_DEBUG) & PENDING_DEBUG_BS);
}

static const struct vmx_rule event_rules[] = {
	/* 27.3.1.5 Non-register state */
	{ activity_known, 0, "guest activity state: supported" },
	{ activity_ss_dpl, 0, "guest activity state: HLT needs SS.DPL = 0" },
	{ activity_shadow, 0, "guest activity state: active in an interrupt shadow" },
	{ activity_event, 0, "guest activity state: event wakes it" },
	{ interruptibility_reserved, 0, "guest interruptibility: reserved bits" },
	{ interruptibility_one_shadow, 0, "guest interruptibility: STI and MOV SS" },
	{ interruptibility_sti_if, 0, "guest interruptibility: STI needs IF" },
	{ interruptibility_extint, 0, "guest interruptibility: blocks the injected interrupt" },
	{ interruptibility_nmi, 0, "guest interruptibility: blocks the injected NMI" },
	{ interruptibility_vnmi, 0, "guest interruptibility: virtual-NMI blocking" },
	{ pending_debug_reserved, 0, "guest pending debug exceptions: reserved bits" },
	{ pending_debug_step, 0, "guest pending debug exceptions: BS" },
};

const char *vmx_check_guest_event_state(const struct cpu *c, u64 *qual)
{
	*qual = QUAL_ENTRY_OTHER;
	return vmx_broken_rule(c, event_rules, RULES(event_rules));
}

/*
 * A link pointer other than ~0 must name a region with our revision that is not the current VMCS's: a shadow VMCS
 * exactly with "VMCS shadowing" = 1.
 */
static bool link_pointer(struct cpu *c)
{
	u32 shadow = vmx_proc2(c, PROC2_VMCS_SHADOWING) ? VMCS_REVISION_SHADOW : 0;
	u64 p = VMCS(c, LINK_POINTER);

	if (p == VMX_NO_POINTER)
		return true;
	return !(p & PAGE_OFFSET_MASK) && !(p & ~CPU_PHYS_MASK) && p != c->vmx.vmcs_ptr &&
	       vmx_phys_read(c, p, 4) == (VMX_REVISION | shadow);
}

static bool pae(const struct cpu *c)
{
	return (VMCS(c, GUEST_CR0) & CR0_PG) && (VMCS(c, GUEST_CR4) & CR4_PAE) && !ia32e(c);
}

static bool pdpte_valid(u64 pdpte)
{
	return !(pdpte & PTE_P) || !(pdpte & (PAE_PDPTE_RESERVED | (PTE_ADDRESS & ~CPU_PHYS_MASK)));
}

/* 27.3.1.6: with EPT the PDPTEs are fields of the VMCS, without it they are in memory. */
static bool pdptes(struct cpu *c)
{
	u64 table = VMCS(c, GUEST_CR3) & CR3_PAE_ADDRESS;

	if (!pae(c))
		return true;
	for (unsigned i = 0; i < 4; i++) {
		u64 v = vmx_proc2(c, PROC2_ENABLE_EPT) ? c->vmx.vmcs->f[VF_GUEST_PDPTE0 + i] : vmx_phys_read(c, table + 8 * i, 8);

		if (!pdpte_valid(v))
			return false;
	}
	return true;
}

const char *vmx_check_guest(struct cpu *c, u64 *qual)
{
	const char *broken = vmx_broken_rule(c, register_rules, RULES(register_rules));

	*qual = QUAL_ENTRY_OTHER;
	if (!broken)
		broken = vmx_check_guest_segments(c);
	if (!broken)
		broken = vmx_check_guest_event_state(c, qual);
	if (broken)
		return broken;
	if (!link_pointer(c)) {
		*qual = QUAL_ENTRY_LINK_POINTER;
		return "VMCS link pointer";
	}
	if (!pdptes(c)) {
		*qual = QUAL_ENTRY_PDPTE;
		return "guest PDPTEs";
	}
	return NULL;
}
