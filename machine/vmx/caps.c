/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "arch/msrs.h"
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/vmx/caps.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

static const bool supported[VMX_CAP_ALWAYS + 1] = {
#define HAS(control) [VMX_CAP_##control] = true,
#include "machine/vmx/supported.def"
#undef HAS
	[VMX_CAP_ALWAYS] = true,
};

u32 vmx_control_must(unsigned kind)
{
	/* The default1 bits, except those that the TRUE capability MSRs allow to be 0. */
	switch (kind) {
	case VMX_KIND_PIN:
		return PIN_DEFAULT1;
	case VMX_KIND_PROC:
		return PROC_DEFAULT1 & ~(PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING);
	case VMX_KIND_VMEXIT:
		return VMEXIT_DEFAULT1 & ~VMEXIT_SAVE_DEBUG_CONTROLS;
	case VMX_KIND_VMENTRY:
		return VMENTRY_DEFAULT1 & ~VMENTRY_LOAD_DEBUG_CONTROLS;
	}
	return 0;
}

u32 vmx_control_may(unsigned kind)
{
	u32 mask = vmx_control_must(kind);

	for (unsigned bit = 0; bit < 32; bit++)
		if (supported[kind << 5 | bit])
			mask |= BIT32(bit);
	return mask;
}

bool vmx_supported(unsigned cap)
{
	return supported[cap];
}

u64 vmx_ept_vpid_cap(void)
{
	return EPT_CAP_EXECUTE_ONLY | EPT_CAP_WALK_4 | EPT_CAP_WALK_5 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G |
	       EPT_CAP_INVEPT | EPT_CAP_AD | EPT_CAP_VIOLATION_INFO | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL |
	       VPID_CAP_INVVPID | VPID_CAP_INVVPID_ADDRESS | VPID_CAP_INVVPID_SINGLE | VPID_CAP_INVVPID_ALL |
	       VPID_CAP_INVVPID_SINGLE_NONGLOBAL;
}

u64 vmx_vmfunc_cap(void)
{
	return vmx_control_may(VMX_KIND_VMFUNC);
}

static u64 basic(void)
{
	return VMX_REVISION | (u64)VMX_REGION_SIZE << VMX_BASIC_SIZE_SHIFT | (u64)MEMTYPE_WB << VMX_BASIC_MEMORY_TYPE_SHIFT |
	       VMX_BASIC_INS_OUTS | VMX_BASIC_TRUE_MSRS;
}

static u64 misc(void)
{
	return VMX_TIMER_SHIFT | VMX_MISC_SAVES_LMA | VMX_MISC_ACTIVITY_HLT | VMX_MISC_ACTIVITY_SHUTDOWN | VMX_MISC_ACTIVITY_SIPI |
	       VMX_MISC_VMWRITE_RO | VMX_MISC_INJECT_LENGTH_0 | (u64)VMX_CR3_TARGETS << VMX_MISC_CR3_TARGETS_SHIFT;
}

/*
 * must: what the low word reports as "must be 1"; the older MSRs report the default1 bits, the TRUE ones the real
 * ones.
 */
static u64 controls(unsigned kind, u32 must)
{
	return (u64)vmx_control_may(kind) << 32 | must;
}

bool vmx_msr_read(struct cpu *c, u32 index, u64 *value)
{
	switch (index) {
	case IA32_VMX_BASIC: *value = basic(); return true;
	case IA32_VMX_PINBASED_CTLS: *value = controls(VMX_KIND_PIN, PIN_DEFAULT1); return true;
	case IA32_VMX_PROCBASED_CTLS: *value = controls(VMX_KIND_PROC, PROC_DEFAULT1); return true;
	case IA32_VMX_EXIT_CTLS: *value = controls(VMX_KIND_VMEXIT, VMEXIT_DEFAULT1); return true;
	case IA32_VMX_ENTRY_CTLS: *value = controls(VMX_KIND_VMENTRY, VMENTRY_DEFAULT1); return true;
	case IA32_VMX_TRUE_PINBASED_CTLS:
	case IA32_VMX_TRUE_PROCBASED_CTLS:
	case IA32_VMX_TRUE_EXIT_CTLS:
	case IA32_VMX_TRUE_ENTRY_CTLS: {
		static const u8 kind[] = { VMX_KIND_PIN, VMX_KIND_PROC, VMX_KIND_VMEXIT, VMX_KIND_VMENTRY };
		unsigned k = kind[index - IA32_VMX_TRUE_PINBASED_CTLS];

		*value = controls(k, vmx_control_must(k));
		return true;
	}
	case IA32_VMX_PROCBASED_CTLS2: *value = controls(VMX_KIND_PROC2, 0); return true;
	case IA32_VMX_MISC: *value = misc(); return true;
	case IA32_VMX_CR0_FIXED0: *value = VMX_CR0_FIXED0; return true;
	case IA32_VMX_CR0_FIXED1: *value = 0xffffffff; return true;
	case IA32_VMX_CR4_FIXED0: *value = VMX_CR4_FIXED0; return true;
	case IA32_VMX_CR4_FIXED1: *value = CR4_IMPLEMENTED; return true;
	case IA32_VMX_VMCS_ENUM: *value = (u64)vmcs_highest_index() << 1; return true;
	case IA32_VMX_VMFUNC: *value = vmx_vmfunc_cap(); return true;
	case IA32_VMX_EPT_VPID_CAP: *value = vmx_ept_vpid_cap(); return true;
	}
	return false;
}

/* SDM 3C "Restrictions on VMX Operation" (24.8): bits fixed in CR0 and CR4; not PE and PG of an unrestricted guest. */
bool vmx_cr_allowed(const struct cpu *c, unsigned cr, u64 value)
{
	u64 must;

	if (!c->vmx.on)
		return true;
	if (cr == 4)
		return (value & VMX_CR4_FIXED0) == VMX_CR4_FIXED0;
	must = VMX_CR0_FIXED0;
	if (vmx_unrestricted(c))
		must &= ~(CR0_PE | CR0_PG);
	return (value & must) == must;
}
