// SPDX-License-Identifier: GPL-2.0-only
/*
 * Exits of the second dimension of paging: EPT violations and full logs.
 */
#include "core/root.h"

#include "arch/paging.h"
#include "arch/vmx.h"
#include "core/ept.h"

/*
 * IRET unblocked NMIs and then faulted: it will be executed again, so block them again. Valid only if no event was
 * being delivered. SDM 3C "Exit Qualification for EPT Violations", "Page-Modification Log-Full Events".
 */
static void restore_nmi_blocking(uint64_t qualification)
{
	if ((qualification & QUAL_EPT_NMI_UNBLOCK) && !(hv_read(VMCS_IDT_VECTORING_INFO) & INTR_INFO_VALID))
		hv_write(VMCS_GUEST_INTERRUPTIBILITY, hv_read(VMCS_GUEST_INTERRUPTIBILITY) | INTERRUPTIBILITY_NMI);
}

static bool map_late(uint64_t gpa)
{
	uint64_t size;

	hv_lock(&hv.lock);
	size = hv_ept_map(&hv, gpa);
	hv_unlock(&hv.lock);
	return size;
}

/*
 * Either memory-mapped I/O above RAM that nobody has used yet, or our own memory: which the guest may read (as 0xff)
 * but not write, execute or use as a page table: #GP(0), or #DF if that interrupted the delivery of an event.
 */
enum hv_action hv_do_ept_violation(struct hv_cpu *cpu, struct hv_regs *regs)
{
	uint64_t gpa = hv_read(VMCS_GUEST_PHYSICAL_ADDRESS);

	if (hv_is_ours(&hv, gpa))
		return hv_read(VMCS_IDT_VECTORING_INFO) & INTR_INFO_VALID ? HV_DF : HV_GP;
	if (!map_late(gpa))
		return HV_STOP;
	restore_nmi_blocking(hv_read(VMCS_EXIT_QUALIFICATION));
	return HV_RESUME;
}

/* The write that found the log full has not happened; it is executed again. */
enum hv_action hv_do_pml_full(struct hv_cpu *cpu, struct hv_regs *regs)
{
	hv_pml_drain(cpu);
	restore_nmi_blocking(hv_read(VMCS_EXIT_QUALIFICATION));
	return HV_RESUME;
}
