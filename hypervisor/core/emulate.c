// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that exit whether we like it or not, and NMIs: the guest sees what the CPU would have done.
 */
#include "core/root.h"

#include "arch/cpuid.h"
#include "arch/msrs.h"
#include "arch/vmx.h"
#include "arch/x86.h"

static void cpuid(uint32_t *eax, uint32_t *ebx, uint32_t *ecx, uint32_t *edx)
{
	asm volatile("cpuid" : "+a"(*eax), "=b"(*ebx), "+c"(*ecx), "=d"(*edx));
}

/* CPUID shows two bits of CR4, which is ours now: show the guest's. */
static uint32_t with_cr4(uint32_t ecx, uint32_t feature, uint64_t cr4_bit)
{
	return hv_read(VMCS_GUEST_CR4) & cr4_bit ? ecx | feature : ecx & ~feature;
}

enum hv_action hv_do_cpuid(struct hv_cpu *cpu, struct hv_regs *regs)
{
	uint32_t leaf = regs->r[REG_RAX], eax = leaf, ebx, ecx = regs->r[REG_RCX], edx;

	if (leaf == OOH_CPUID_LEAF) {
		eax = OOH_HC_VERSION;
		ebx = OOH_CPUID_SIG_EBX;
		ecx = OOH_CPUID_SIG_ECX;
		edx = OOH_CPUID_SIG_EDX;
	} else {
		bool first = regs->r[REG_RCX] << 32 == 0;

		cpuid(&eax, &ebx, &ecx, &edx);
		if (leaf == 1)
			ecx = with_cr4(ecx, CPUID_OSXSAVE, CR4_OSXSAVE) & ~(uint32_t)CPUID_VMX;
		else if (leaf == 7 && first)
			ecx = with_cr4(ecx, CPUID_OSPKE, CR4_PKE);
	}
	regs->r[REG_RAX] = eax;
	regs->r[REG_RBX] = ebx;
	regs->r[REG_RCX] = ecx;
	regs->r[REG_RDX] = edx;
	return HV_ADVANCE;
}

/* The bitmap lets all through but what VMX is about; MSRs beyond the bitmap's two ranges always come here. */
static bool msr_is_vmx(uint32_t msr)
{
	return msr >= IA32_VMX_BASIC && msr <= IA32_VMX_VMFUNC;
}

enum hv_action hv_do_rdmsr(struct hv_cpu *cpu, struct hv_regs *regs)
{
	uint32_t msr = regs->r[REG_RCX];
	uint64_t value;

	if (msr_is_vmx(msr) || !hv_rdmsr(msr, &value))
		return HV_GP;
	regs->r[REG_RAX] = (uint32_t)value;
	regs->r[REG_RDX] = value >> 32;
	return HV_ADVANCE;
}

enum hv_action hv_do_wrmsr(struct hv_cpu *cpu, struct hv_regs *regs)
{
	uint32_t msr = regs->r[REG_RCX];
	uint64_t value = regs->r[REG_RDX] << 32 | (uint32_t)regs->r[REG_RAX];

	if (msr_is_vmx(msr) || msr == IA32_FEATURE_CONTROL || !hv_wrmsr(msr, value))
		return HV_GP;
	return HV_ADVANCE;
}

/* Exits after the checks of CPL and CR4.OSXSAVE; the rest are the CPU's own. */
enum hv_action hv_do_xsetbv(struct hv_cpu *cpu, struct hv_regs *regs)
{
	uint64_t value = regs->r[REG_RDX] << 32 | (uint32_t)regs->r[REG_RAX];

	return hv_xsetbv(regs->r[REG_RCX], value) ? HV_ADVANCE : HV_GP;
}

/* INVD would throw away our own modified cache lines; WBINVD invalidates too and loses nothing. */
enum hv_action hv_do_invd(struct hv_cpu *cpu, struct hv_regs *regs)
{
	asm volatile("wbinvd" : : : "memory");
	return HV_ADVANCE;
}

/* ---- NMIs ---- */

void hv_request_nmi(void)
{
	hv_write(VMCS_PROC_CONTROLS, hv_this_cpu()->proc_controls | PROC_NMI_WINDOW_EXITING);
}

/* The exit left NMIs blocked in root mode; only IRET unblocks them. SDM 3C "Updating Non-Register State". */
static void unblock_nmis(void)
{
	uint64_t scratch;

	asm volatile("mov %%ss, %k0\n\tpush %0\n\tlea 8(%%rsp), %0\n\tpush %0\n\tpushfq\n\tmov %%cs, %k0\n\tpush %0\n\t"
		     "lea 1f(%%rip), %0\n\tpush %0\n\tiretq\n1:" : "=&r"(scratch) : : "memory", "cc");
}

/* The exception bitmap is empty, so it can only be an NMI. */
enum hv_action hv_do_nmi(struct hv_cpu *cpu, struct hv_regs *regs)
{
	uint64_t info = hv_read(VMCS_EXIT_INTR_INFO);

	if ((info & INTR_INFO_TYPE) >> INTR_INFO_TYPE_SHIFT != INTR_TYPE_NMI)
		return HV_STOP;
	hv_request_nmi();
	unblock_nmis();
	return HV_RESUME;
}

/* In this order: an NMI that arrives between the two opens the window again, and is delivered after this one. */
enum hv_action hv_do_nmi_window(struct hv_cpu *cpu, struct hv_regs *regs)
{
	hv_write(VMCS_PROC_CONTROLS, cpu->proc_controls);
	hv_write(VMCS_ENTRY_INTR_INFO, VEC_NMI | INTR_TYPE_NMI << INTR_INFO_TYPE_SHIFT | INTR_INFO_VALID);
	return HV_RESUME;
}
