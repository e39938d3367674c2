/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory side of VT-x: exits by EPT, virtualization exceptions instead of them, sub-page permissions, PML, VM
 * functions. SDM 3C "Exit Qualification for EPT Violations" (table 28-7), "Virtualization Exceptions" (26.5.7),
 * "Page-Modification Logging" (29.3.6), "VM Functions" (26.5.6).
 */
#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

void vmx_use_eptp(struct cpu *c, u64 eptp)
{
	c->vmx.eptp = eptp;
	c->vmx.ept_ad = eptp & EPTP_AD;
}

void vmx_load_ept(struct cpu *c)
{
	c->vmx.ept = vmx_proc2(c, PROC2_ENABLE_EPT);
	vmx_use_eptp(c, c->vmx.ept ? VMCS(c, EPT_POINTER) : 0);
	c->vmx.pml = vmx_proc2(c, PROC2_ENABLE_PML);
	c->vmx.mbec = vmx_proc2(c, PROC2_MODE_BASED_EPT_EXEC);
	c->vmx.spp = vmx_proc2(c, PROC2_SPP);
	c->vmx.spptp = c->vmx.spp ? VMCS(c, SPPTP) : 0;
}

void vmx_leave_ept(struct cpu *c)
{
	c->vmx.ept = c->vmx.pml = c->vmx.mbec = c->vmx.spp = false;
	c->vmx.spptp = 0;
	vmx_use_eptp(c, 0);
}

/* Advanced information (IA32_VMX_EPT_VPID_CAP bit 22) goes with the linear address's own translation. */
static u64 violation_qualification(const struct cpu *c, const struct ept_fault *f)
{
	u64 q = f->access | (u64)f->perms << QUAL_EPT_PERM_SHIFT;

	if (!c->vmx.mbec)
		q &= ~QUAL_EPT_PERM_UX;
	if (f->lin_valid)
		q |= QUAL_EPT_GLA_VALID;
	if (f->lin_valid && f->translated)
		q |= QUAL_EPT_TRANSLATION | (f->user ? QUAL_EPT_LINEAR_US : 0) |
		     (f->writable ? QUAL_EPT_LINEAR_RW : 0) | (f->no_execute ? QUAL_EPT_LINEAR_XD : 0);
	if (vmx_nmi_unblocked(c))
		q |= QUAL_EPT_NMI_UNBLOCK;
	return q;
}

/* 26.5.7.1 "Convertible EPT Violations": the area's second word says that the last #VE has been looked at. */
static bool convertible(struct cpu *c, const struct ept_fault *f)
{
	return vmx_proc2(c, PROC2_EPT_VIOLATION_VE) && !f->suppress_ve && (c->cr0 & CR0_PE) && !c->is_delivering &&
	       vmx_phys_read(c, VMCS(c, VE_INFO_ADDR) + VE_INFO_BUSY, 4) == 0;
}

/* 26.5.7.2 "Virtualization-Exception Information" */
static _Noreturn void virtualization_exception(struct cpu *c, const struct ept_fault *f, u64 qual)
{
	u64 area = VMCS(c, VE_INFO_ADDR);

	vmx_phys_write(c, area + VE_INFO_REASON, 4, EXIT_EPT_VIOLATION);
	vmx_phys_write(c, area + VE_INFO_BUSY, 4, 0xffffffff);
	vmx_phys_write(c, area + VE_INFO_QUALIFICATION, 8, qual);
	vmx_phys_write(c, area + VE_INFO_LINEAR, 8, f->lin_valid ? f->lin : 0);
	vmx_phys_write(c, area + VE_INFO_PHYSICAL, 8, f->gpa.v);
	vmx_phys_write(c, area + VE_INFO_EPTP_INDEX, 2, VMCS(c, EPTP_INDEX));
	cpu_charge(c, COST_VE_INFO);
	cpu_raise(c, NULL, VEC_VE);
}

void vmx_exit_ept_violation(struct cpu *c, const struct op *o, const struct ept_fault *f)
{
	struct vmexit x = { .reason = EXIT_EPT_VIOLATION, .gpa = f->gpa.v, .rf = vmx_fault_rf(c) };

	cpu_sync(c, o);
	x.qual = violation_qualification(c, f);
	if (convertible(c, f))
		virtualization_exception(c, f, x.qual);
	x.gla = f->lin_valid ? f->lin : 0;
	vmx_exit(c, &x);
}

void vmx_exit_ept_misconfig(struct cpu *c, const struct op *o, gpa_t gpa)
{
	cpu_sync(c, o);
	vmx_exit(c, &(struct vmexit){ .reason = EXIT_EPT_MISCONFIG, .gpa = gpa.v, .rf = vmx_fault_rf(c) });
}

void vmx_exit_spp(struct cpu *c, const struct op *o, gpa_t gpa, u64 lin, bool missed)
{
	struct vmexit x = { .reason = EXIT_SPP_EVENT, .gpa = gpa.v, .gla = lin, .rf = vmx_fault_rf(c) };

	cpu_sync(c, o);
	x.qual = (missed ? QUAL_SPP_MISS : 0) | (vmx_nmi_unblocked(c) ? QUAL_PML_NMI_UNBLOCK : 0);
	vmx_exit(c, &x);
}

void vmx_pml_log(struct cpu *c, const struct op *o, gpa_t gpa)
{
	u64 index = VMCS(c, PML_INDEX);

	if (index >= PML_ENTRIES) {
		struct vmexit x = { .reason = EXIT_PML_FULL, .rf = vmx_fault_rf(c) };

		cpu_sync(c, o);
		x.qual = vmx_nmi_unblocked(c) ? QUAL_PML_NMI_UNBLOCK : 0;
		vmx_exit(c, &x);
	}
	vmx_phys_write(c, VMCS(c, PML_ADDRESS) + index * 8, 8, gpa.v & ~PAGE_OFFSET_MASK);
	VMCS(c, PML_INDEX) = (u16)(index - 1);
}

/* --- VM functions --- */

/* 26.5.6.3 "EPTP Switching": no translation is dropped, they belong to their EPTP; false: the instruction exits. */
static bool switch_eptp(struct cpu *c)
{
	u32 index = (u32)c->gpr[RCX];
	u64 eptp;

	if (index >= EPTP_LIST_ENTRIES)
		return false;
	eptp = vmx_phys_read(c, VMCS(c, EPTP_LIST_ADDR) + index * 8, 8);
	if (!vmx_eptp_valid(eptp))
		return false;
	VMCS(c, EPT_POINTER) = eptp;
	if (vmx_proc2(c, PROC2_EPT_VIOLATION_VE))
		VMCS(c, EPTP_INDEX) = (u16)index;
	vmx_use_eptp(c, eptp);
	mmu_update_mode(c);
	return true;
}

/* SDM 3C "VMFUNC": whatever the CPL. EAX is the number of the function; EPTP switching is the only one, 0. */
const struct op *op_vmfunc(struct cpu *c, const struct op *o)
{
	u32 number = (u32)c->gpr[RAX];

	cpu_sync(c, o);
	if (!c->vmx.nonroot || !vmx_proc2(c, PROC2_ENABLE_VMFUNC) || number >= 64)
		cpu_raise(c, NULL, VEC_UD);
	if (!(VMCS(c, VMFUNC_CONTROLS) >> number & 1) || !switch_eptp(c))
		vmx_exit_instruction(c, o, EXIT_VMFUNC, 0, 0);
	cpu_charge(c, COST_VMFUNC);
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}
