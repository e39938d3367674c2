// SPDX-License-Identifier: GPL-2.0-only
/*
 * VM exits: one row a reason, and what happens after the handler. Everything without a handler of its own stops.
 */
#include "core/root.h"

#include "arch/vmx.h"
#include "arch/x86.h"
#include "arch/msrs.h"

typedef enum hv_action (*hv_handler)(struct hv_cpu *cpu, struct hv_regs *regs);

uint64_t hv_read(enum vmcs_field field)
{
	uint64_t value;

	if (!vmx_read(field, &value))
		hv_stop("VMREAD failed", vmcs_field_name(field), NULL);
	return value;
}

void hv_write(enum vmcs_field field, uint64_t value)
{
	if (!vmx_write(field, value))
		hv_stop("VMWRITE failed", vmcs_field_name(field), NULL);
}

static enum hv_action do_unexpected(struct hv_cpu *cpu, struct hv_regs *regs)
{
	return HV_STOP;
}

/*
 * The guest sees a CPU whose VMX is in use by its own loader module: CR4.VMXE reads 1 and cannot be cleared, VMX
 * instructions do not exist for it.
 */
static enum hv_action do_undefined(struct hv_cpu *cpu, struct hv_regs *regs)
{
	return HV_UD;
}

/*
 * Only a write that would clear CR4.VMXE exits: natively #GP in VMX operation, SDM 3C "Restrictions on VMX
 * Operation".
 */
static enum hv_action do_cr_access(struct hv_cpu *cpu, struct hv_regs *regs)
{
	return HV_GP;
}

static const hv_handler handlers[EXIT_REASON_COUNT] = {
	[0 ... EXIT_REASON_COUNT - 1] = do_unexpected,
	[EXIT_EXCEPTION_NMI] = hv_do_nmi,
	[EXIT_NMI_WINDOW] = hv_do_nmi_window,
	[EXIT_CPUID] = hv_do_cpuid,
	[EXIT_INVD] = hv_do_invd,
	[EXIT_XSETBV] = hv_do_xsetbv,
	[EXIT_RDMSR] = hv_do_rdmsr,
	[EXIT_WRMSR] = hv_do_wrmsr,
	[EXIT_CR_ACCESS] = do_cr_access,
	[EXIT_GETSEC] = do_undefined,
	[EXIT_VMCALL] = hv_do_vmcall,
	[EXIT_VMCLEAR] = do_undefined,
	[EXIT_VMLAUNCH] = do_undefined,
	[EXIT_VMPTRLD] = do_undefined,
	[EXIT_VMPTRST] = do_undefined,
	[EXIT_VMREAD] = do_undefined,
	[EXIT_VMRESUME] = do_undefined,
	[EXIT_VMWRITE] = do_undefined,
	[EXIT_VMXOFF] = do_undefined,
	[EXIT_VMXON] = do_undefined,
	[EXIT_INVEPT] = do_undefined,
	[EXIT_INVVPID] = do_undefined,
	[EXIT_VMFUNC] = do_undefined,
	[EXIT_EPT_VIOLATION] = hv_do_ept_violation,
	[EXIT_PML_FULL] = hv_do_pml_full,
};

/* ---- after the handler ---- */

static bool in_64bit_mode(void)
{
	return hv_read(VMCS_GUEST_CS_AR) & VMX_AR_L;
}

/*
 * The one place where RIP advances. Interruption shadows last one instruction; with TF a #DB follows the emulated
 * instruction, unless BTF asks for branches only. SDM 3C "Guest Non-Register State".
 */
static void advance(void)
{
	uint64_t rip = hv_read(VMCS_GUEST_RIP) + hv_read(VMCS_EXIT_INSTRUCTION_LENGTH);
	uint64_t state = hv_read(VMCS_GUEST_INTERRUPTIBILITY);
	uint64_t shadow = state & (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS);

	hv_write(VMCS_GUEST_RIP, in_64bit_mode() ? rip : (uint32_t)rip);
	if (shadow)
		hv_write(VMCS_GUEST_INTERRUPTIBILITY, state & ~shadow);
	if ((hv_read(VMCS_GUEST_RFLAGS) & EFLAGS_TF) && !(hv_read(VMCS_GUEST_IA32_DEBUGCTL) & DEBUGCTL_BTF))
		hv_write(VMCS_GUEST_PENDING_DEBUG, hv_read(VMCS_GUEST_PENDING_DEBUG) | PENDING_DEBUG_BS);
}

static void inject(uint32_t info)
{
	hv_write(VMCS_ENTRY_INTR_INFO, info | INTR_INFO_VALID);
}

/* A fault at the instruction: RF is set in the saved flags, as the CPU does for faults. SDM 3B "Resume Flag". */
static void inject_fault(uint32_t vector)
{
	uint32_t info = vector | INTR_TYPE_HW_EXCEPTION << INTR_INFO_TYPE_SHIFT;

	if (VEC_ERROR_CODE_MASK & BIT32(vector)) {
		info |= INTR_INFO_ERROR_VALID;
		hv_write(VMCS_ENTRY_INTR_ERROR, 0);
	}
	hv_write(VMCS_GUEST_RFLAGS, hv_read(VMCS_GUEST_RFLAGS) | EFLAGS_RF);
	inject(info);
}

/* Delivers again the event that this exit interrupted. SDM 3C "Information for VM Exits During Event Delivery". */
static void redeliver(void)
{
	uint32_t info = hv_read(VMCS_IDT_VECTORING_INFO), type;

	if (!(info & INTR_INFO_VALID))
		return;
	type = (info & INTR_INFO_TYPE) >> INTR_INFO_TYPE_SHIFT;
	if (info & INTR_INFO_ERROR_VALID)
		hv_write(VMCS_ENTRY_INTR_ERROR, hv_read(VMCS_IDT_VECTORING_ERROR));
	if (type == INTR_TYPE_SW_INTERRUPT || type == INTR_TYPE_PRIV_SW || type == INTR_TYPE_SW_EXCEPTION)
		hv_write(VMCS_ENTRY_INSTRUCTION_LENGTH, hv_read(VMCS_EXIT_INSTRUCTION_LENGTH));
	if (type == INTR_TYPE_NMI) /* its delivery blocks NMIs itself; entry refuses it while they are blocked */
		hv_write(VMCS_GUEST_INTERRUPTIBILITY,
			 hv_read(VMCS_GUEST_INTERRUPTIBILITY) & ~(uint64_t)INTERRUPTIBILITY_NMI);
	inject(info & ~INTR_INFO_NMI_UNBLOCK);
}

void hv_exit(struct hv_regs *regs)
{
	struct hv_cpu *cpu = hv_this_cpu();
	uint64_t reason = hv_read(VMCS_EXIT_REASON), basic = reason & EXIT_REASON_BASIC;
	enum hv_action action = HV_STOP;

	if (basic < EXIT_REASON_COUNT && !(reason & EXIT_REASON_ENTRY_FAILURE)) {
		cpu->exits[basic]++;
		action = handlers[basic](cpu, regs);
	}
	switch (action) {
	case HV_RESUME:
		redeliver();
		break;
	case HV_ADVANCE:
		advance();
		break;
	case HV_UD:
		inject_fault(VEC_UD);
		break;
	case HV_GP:
		inject_fault(VEC_GP);
		break;
	case HV_DF:
		inject_fault(VEC_DF);
		break;
	case HV_STOP:
		hv_stop("unexpected VM exit", exit_reason_name(basic), regs);
	}
}

void hv_resume_failed(struct hv_regs *regs)
{
	hv_stop("VMRESUME failed", vmx_error_text(hv_read(VMCS_INSTRUCTION_ERROR)), regs);
}
