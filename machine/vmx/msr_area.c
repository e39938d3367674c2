/* SPDX-License-Identifier: GPL-2.0-or-later */
/* MSR areas. SDM 3C "Loading MSRs" (27.4, 28.6), "Saving MSRs" (28.4). */
#include "arch/msrs.h"
#include "machine/cpu/cpu.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/vmcs.h"

/*
 * MSRs that the areas may not name. x2APIC registers (8xxH) are refused in x2APIC mode by rule, outside it because
 * they #GP.
 */
static bool forbidden(u32 index, bool load)
{
	if (load && (index == IA32_FS_BASE || index == IA32_GS_BASE))
		return true;
	return index == IA32_SMM_MONITOR_CTL || index >> 8 == 8;
}

/* Reads entry i; false if its reserved half is not 0. */
static bool entry_index(struct cpu *c, u64 addr, u32 *index)
{
	u64 head = vmx_phys_read(c, addr + VMX_MSR_ENTRY_INDEX, 8);

	*index = (u32)head;
	return !(head >> 32);
}

unsigned vmx_msr_load(struct cpu *c, u64 addr, u32 count)
{
	for (u32 i = 0; i < count; i++, addr += VMX_MSR_ENTRY_SIZE) {
		u32 index;

		if (!entry_index(c, addr, &index) || forbidden(index, true))
			return i + 1;
		if (!msr_write(c, index, vmx_phys_read(c, addr + VMX_MSR_ENTRY_VALUE, 8)))
			return i + 1;
		cpu_charge(c, COST_WRMSR);
	}
	return 0;
}

unsigned vmx_msr_store(struct cpu *c, u64 addr, u32 count)
{
	for (u32 i = 0; i < count; i++, addr += VMX_MSR_ENTRY_SIZE) {
		u32 index;
		u64 value;

		if (!entry_index(c, addr, &index) || forbidden(index, false) || !msr_read(c, index, &value))
			return i + 1;
		vmx_phys_write(c, addr + VMX_MSR_ENTRY_VALUE, 8, value);
		cpu_charge(c, COST_RDMSR);
	}
	return 0;
}
