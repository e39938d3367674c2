/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SDM 3C "Checks on Host Control Registers, MSRs, and SSP" (27.2.2), "Checks on Host Segment and Descriptor-Table
 * Registers" (27.2.3), "Checks Related to Address-Space Size" (27.2.4). Each rule that is broken makes the entry
 * fail with VMfail 8.
 */
#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/vmx/caps.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/vmcs.h"

static bool host_64(const struct cpu *c)
{
	return vmx_exit_ctl(c, VMEXIT_HOST_64);
}

static bool cr0(const struct cpu *c, unsigned arg)
{
	u64 v = VMCS(c, HOST_CR0);

	return (v & VMX_CR0_FIXED0) == VMX_CR0_FIXED0 && !(v >> 32);
}

static bool cr4(const struct cpu *c, unsigned arg)
{
	u64 v = VMCS(c, HOST_CR4);

	return (v & VMX_CR4_FIXED0) == VMX_CR4_FIXED0 && !(v & ~(u64)CR4_IMPLEMENTED);
}

static bool cr3(const struct cpu *c, unsigned arg)
{
	return !(VMCS(c, HOST_CR3) & ~CPU_PHYS_MASK);
}

/* arg: row of the field */
static bool canonical(const struct cpu *c, unsigned row)
{
	return sys_base_valid(c->vmx.vmcs->f[row]);
}

static bool pat(const struct cpu *c, unsigned arg)
{
	return !vmx_exit_ctl(c, VMEXIT_LOAD_PAT) || sys_pat_valid(VMCS(c, HOST_IA32_PAT));
}

static bool efer(const struct cpu *c, unsigned arg)
{
	u64 v = VMCS(c, HOST_IA32_EFER);

	if (!vmx_exit_ctl(c, VMEXIT_LOAD_EFER))
		return true;
	return sys_efer_valid(c, v) && !!(v & EFER_LMA) == host_64(c) && !!(v & EFER_LME) == host_64(c);
}

/* arg: row of the selector */
static bool selector_rpl_ti(const struct cpu *c, unsigned row)
{
	return !(c->vmx.vmcs->f[row] & (SELECTOR_RPL | SELECTOR_TI));
}

static bool selector_not_null(const struct cpu *c, unsigned row)
{
	return c->vmx.vmcs->f[row] != 0;
}

static bool ss_not_null(const struct cpu *c, unsigned arg)
{
	return host_64(c) || VMCS(c, HOST_SS_SELECTOR) != 0;
}

/* The host's address-space size is that of the CPU now: an exit cannot change it. */
static bool size_matches_mode(const struct cpu *c, unsigned arg)
{
	return host_64(c) == !!(c->efer & EFER_LMA);
}

static bool guest_64_needs_host_64(const struct cpu *c, unsigned arg)
{
	return host_64(c) || !vmx_entry_ctl(c, VMENTRY_IA32E_GUEST);
}

static bool cr4_fits_size(const struct cpu *c, unsigned arg)
{
	return host_64(c) ? VMCS(c, HOST_CR4) & CR4_PAE : !(VMCS(c, HOST_CR4) & CR4_PCIDE);
}

static bool rip_fits_size(const struct cpu *c, unsigned arg)
{
	return host_64(c) ? is_canonical(VMCS(c, HOST_RIP), VMCS(c, HOST_CR4) & CR4_LA57) : !(VMCS(c, HOST_RIP) >> 32);
}

static const struct vmx_rule host_rules[] = {
	{ cr0, 0, "host CR0: fixed bits" },
	{ cr4, 0, "host CR4: fixed and reserved bits" },
	{ cr3, 0, "host CR3: beyond the physical-address width" },
	{ canonical, VF_HOST_IA32_SYSENTER_ESP, "host IA32_SYSENTER_ESP: canonical" },
	{ canonical, VF_HOST_IA32_SYSENTER_EIP, "host IA32_SYSENTER_EIP: canonical" },
	{ pat, 0, "host IA32_PAT" },
	{ efer, 0, "host IA32_EFER" },
	{ selector_rpl_ti, VF_HOST_ES_SELECTOR, "host ES: RPL and TI" },
	{ selector_rpl_ti, VF_HOST_CS_SELECTOR, "host CS: RPL and TI" },
	{ selector_rpl_ti, VF_HOST_SS_SELECTOR, "host SS: RPL and TI" },
	{ selector_rpl_ti, VF_HOST_DS_SELECTOR, "host DS: RPL and TI" },
	{ selector_rpl_ti, VF_HOST_FS_SELECTOR, "host FS: RPL and TI" },
	{ selector_rpl_ti, VF_HOST_GS_SELECTOR, "host GS: RPL and TI" },
	{ selector_rpl_ti, VF_HOST_TR_SELECTOR, "host TR: RPL and TI" },
	{ selector_not_null, VF_HOST_CS_SELECTOR, "host CS: not null" },
	{ selector_not_null, VF_HOST_TR_SELECTOR, "host TR: not null" },
	{ ss_not_null, 0, "host SS: not null" },
	{ canonical, VF_HOST_FS_BASE, "host FS base: canonical" },
	{ canonical, VF_HOST_GS_BASE, "host GS base: canonical" },
	{ canonical, VF_HOST_GDTR_BASE, "host GDTR base: canonical" },
	{ canonical, VF_HOST_IDTR_BASE, "host IDTR base: canonical" },
	{ canonical, VF_HOST_TR_BASE, "host TR base: canonical" },
	{ size_matches_mode, 0, "host address-space size: as EFER.LMA now" },
	{ guest_64_needs_host_64, 0, "IA-32e mode guest: needs a 64-bit host" },
	{ cr4_fits_size, 0, "host CR4: PAE or PCIDE against address-space size" },
	{ rip_fits_size, 0, "host RIP: against address-space size" },
};

const char *vmx_check_host(const struct cpu *c)
{
	return vmx_broken_rule(c, host_rules, sizeof(host_rules) / sizeof(host_rules[0]));
}

enum vmx_error vmx_check_controls_and_host(struct cpu *c)
{
	c->vmx.failed_rule = vmx_check_controls(c);
	if (c->vmx.failed_rule)
		return VMXERR_ENTRY_BAD_CONTROLS;
	c->vmx.failed_rule = vmx_check_host(c);
	if (c->vmx.failed_rule)
		return VMXERR_ENTRY_BAD_HOST_STATE;
	return VMXERR_NONE;
}
