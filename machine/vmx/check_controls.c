/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM 3C "Checks on VMX Controls" (27.2.1). Each rule that is broken makes the entry fail with VMfail 7. */
#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/vmx/caps.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/virt_apic.h"
#include "machine/vmx/vmcs.h"

#define WITH_ERROR_CODE (VEC_ERROR_CODE_MASK & ~BIT32(VEC_CP)) /* no CET here */
#define RULES(a) (sizeof(a) / sizeof((a)[0]))

static bool page_valid(u64 addr)
{
	return vmx_address_valid(addr, PAGE_OFFSET_MASK);
}

/* Every bit that must be 1 is, and no bit is 1 that may not be. arg: VMX_KIND_* */
static bool reserved_bits(const struct cpu *c, unsigned kind)
{
	u64 v;

	switch (kind) {
	case VMX_KIND_PIN: v = VMCS(c, PIN_CONTROLS); break;
	case VMX_KIND_PROC: v = VMCS(c, PROC_CONTROLS); break;
	case VMX_KIND_VMEXIT: v = VMCS(c, EXIT_CONTROLS); break;
	case VMX_KIND_VMENTRY: v = VMCS(c, ENTRY_CONTROLS); break;
	default: v = vmx_proc(c, PROC_SECONDARY_CONTROLS) ? VMCS(c, PROC2_CONTROLS) : 0; break;
	}
	return (v & vmx_control_must(kind)) == vmx_control_must(kind) && !(v & ~(u64)vmx_control_may(kind));
}

static bool cr3_targets(const struct cpu *c, unsigned arg)
{
	return VMCS(c, CR3_TARGET_COUNT) <= VMX_CR3_TARGETS;
}

static bool io_bitmaps(const struct cpu *c, unsigned arg)
{
	return !vmx_proc(c, PROC_IO_BITMAPS) || (page_valid(VMCS(c, IO_BITMAP_A)) && page_valid(VMCS(c, IO_BITMAP_B)));
}

static bool msr_bitmaps(const struct cpu *c, unsigned arg)
{
	return !vmx_proc(c, PROC_MSR_BITMAPS) || page_valid(VMCS(c, MSR_BITMAP));
}

static bool virtual_nmis(const struct cpu *c, unsigned arg)
{
	return vmx_pin(c, PIN_NMI_EXITING) || !vmx_pin(c, PIN_VIRTUAL_NMIS);
}

static bool nmi_window(const struct cpu *c, unsigned arg)
{
	return vmx_pin(c, PIN_VIRTUAL_NMIS) || !vmx_proc(c, PROC_NMI_WINDOW_EXITING);
}

static bool vpid(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_ENABLE_VPID) || VMCS(c, VPID) != 0;
}

bool vmx_eptp_valid(u64 eptp)
{
	u64 type = eptp & EPTP_MT;

	if (type != MEMTYPE_UC && type != MEMTYPE_WB)
		return false;
	if ((eptp & EPTP_WALK) != EPTP_WALK_4 && (eptp & EPTP_WALK) != EPTP_WALK_5)
		return false;
	return !(eptp & ~(CPU_PHYS_MASK & EPTP_ADDRESS) & ~(EPTP_MT | EPTP_WALK | EPTP_AD));
}

static bool ept_pointer(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_ENABLE_EPT) || vmx_eptp_valid(VMCS(c, EPT_POINTER));
}

/* arg: a secondary control that is of no use without EPT. */
static bool needs_ept(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, arg) || vmx_proc2(c, PROC2_ENABLE_EPT);
}

static bool pml_address(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_ENABLE_PML) || page_valid(VMCS(c, PML_ADDRESS));
}

static bool spp_table(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_SPP) || page_valid(VMCS(c, SPPTP));
}

static bool ve_information(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_EPT_VIOLATION_VE) || page_valid(VMCS(c, VE_INFO_ADDR));
}

static bool switches_eptp(const struct cpu *c)
{
	return vmx_proc2(c, PROC2_ENABLE_VMFUNC) && (VMCS(c, VMFUNC_CONTROLS) & VMFUNC_EPTP_SWITCHING);
}

static bool vm_functions(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_ENABLE_VMFUNC) || !(VMCS(c, VMFUNC_CONTROLS) & ~vmx_vmfunc_cap());
}

static bool switching_needs_ept(const struct cpu *c, unsigned arg)
{
	return !switches_eptp(c) || vmx_proc2(c, PROC2_ENABLE_EPT);
}

static bool eptp_list(const struct cpu *c, unsigned arg)
{
	return !switches_eptp(c) || page_valid(VMCS(c, EPTP_LIST_ADDR));
}

static bool shadow_bitmaps(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_VMCS_SHADOWING) ||
	       (page_valid(VMCS(c, VMREAD_BITMAP)) && page_valid(VMCS(c, VMWRITE_BITMAP)));
}

static bool tsc_multiplier(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_TSC_SCALING) || VMCS(c, TSC_MULTIPLIER) != 0;
}

static bool timer_saved_only_if_active(const struct cpu *c, unsigned arg)
{
	return vmx_pin(c, PIN_PREEMPTION_TIMER) || !vmx_exit_ctl(c, VMEXIT_SAVE_PREEMPTION_TIMER);
}

/* The whole area, not just its first byte, lies below the physical-address width. */
static bool msr_area(u64 addr, u64 count)
{
	return count == 0 || (vmx_address_valid(addr, VMX_MSR_ENTRY_SIZE - 1) &&
			      !((addr + count * VMX_MSR_ENTRY_SIZE - 1) & ~CPU_PHYS_MASK));
}

static bool exit_msr_store(const struct cpu *c, unsigned arg)
{
	return msr_area(VMCS(c, EXIT_MSR_STORE_ADDR), VMCS(c, EXIT_MSR_STORE_COUNT));
}

static bool exit_msr_load(const struct cpu *c, unsigned arg)
{
	return msr_area(VMCS(c, EXIT_MSR_LOAD_ADDR), VMCS(c, EXIT_MSR_LOAD_COUNT));
}

static bool entry_msr_load(const struct cpu *c, unsigned arg)
{
	return msr_area(VMCS(c, ENTRY_MSR_LOAD_ADDR), VMCS(c, ENTRY_MSR_LOAD_COUNT));
}

/* The VM-entry interruption-information field, taken apart; the rules below hold of themselves if it is not valid. */
static bool injects(const struct cpu *c)
{
	return VMCS(c, ENTRY_INTR_INFO) & INTR_INFO_VALID;
}

static unsigned inject_type(const struct cpu *c)
{
	return (unsigned)bits(VMCS(c, ENTRY_INTR_INFO), 10, 8);
}

static unsigned inject_vector(const struct cpu *c)
{
	return (unsigned)bits(VMCS(c, ENTRY_INTR_INFO), 7, 0);
}

static bool injects_error(const struct cpu *c)
{
	return VMCS(c, ENTRY_INTR_INFO) & INTR_INFO_ERROR_VALID;
}

/* Type 1 is reserved; type 7 goes with "monitor trap flag", which this CPU has. */
static bool inject_known_type(const struct cpu *c, unsigned arg)
{
	return !injects(c) || inject_type(c) != 1;
}

static bool inject_vector_fits(const struct cpu *c, unsigned arg)
{
	if (!injects(c))
		return true;
	if (inject_type(c) == INTR_TYPE_NMI)
		return inject_vector(c) == VEC_NMI;
	if (inject_type(c) == INTR_TYPE_HW_EXCEPTION)
		return inject_vector(c) < 32;
	if (inject_type(c) == INTR_TYPE_OTHER)
		return inject_vector(c) == 0;
	return true;
}

/*
 * IA32_VMX_BASIC bit 56 is 0: an error code is delivered exactly by those exceptions that have one, in protected
 * mode.
 */
static bool inject_error_fits(const struct cpu *c, unsigned arg)
{
	bool real = vmx_proc2(c, PROC2_UNRESTRICTED_GUEST) && !(VMCS(c, GUEST_CR0) & CR0_PE);
	bool has = inject_type(c) == INTR_TYPE_HW_EXCEPTION && inject_vector(c) < 32 &&
		   (WITH_ERROR_CODE >> inject_vector(c) & 1);

	return !injects(c) || injects_error(c) == (has && !real);
}

static bool inject_reserved(const struct cpu *c, unsigned arg)
{
	return !injects(c) || !(VMCS(c, ENTRY_INTR_INFO) & INTR_INFO_ENTRY_RESERVED);
}

static bool inject_error_code(const struct cpu *c, unsigned arg)
{
	return !injects(c) || !injects_error(c) || !(VMCS(c, ENTRY_INTR_ERROR) >> 16);
}

/* IA32_VMX_MISC bit 30 is 1: the length may be 0. */
static bool inject_length(const struct cpu *c, unsigned arg)
{
	if (!injects(c) || inject_type(c) < INTR_TYPE_SW_INTERRUPT)
		return true;
	return VMCS(c, ENTRY_INSTRUCTION_LENGTH) <= 15;
}

static const struct vmx_rule control_rules[] = {
	/* 27.2.1.1 VM-Execution Control Fields */
	{ reserved_bits, VMX_KIND_PIN, "pin-based controls: reserved bits" },
	{ reserved_bits, VMX_KIND_PROC, "primary processor-based controls: reserved bits" },
	{ reserved_bits, VMX_KIND_PROC2, "secondary processor-based controls: reserved bits" },
	{ cr3_targets, 0, "CR3-target count is not above 4" },
	{ io_bitmaps, 0, "I/O-bitmap addresses" },
	{ msr_bitmaps, 0, "MSR-bitmap address" },
	{ virtual_nmis, 0, "virtual NMIs need NMI exiting" },
	{ nmi_window, 0, "NMI-window exiting needs virtual NMIs" },
	{ vpid, 0, "VPID is not 0" },
	{ ept_pointer, 0, "EPT pointer" },
	{ needs_ept, PROC2_ENABLE_PML, "PML needs EPT" },
	{ pml_address, 0, "PML address" },
	{ needs_ept, PROC2_UNRESTRICTED_GUEST, "unrestricted guest needs EPT" },
	{ needs_ept, PROC2_MODE_BASED_EPT_EXEC, "mode-based execute control needs EPT" },
	{ needs_ept, PROC2_SPP, "sub-page write permissions need EPT" },
	{ spp_table, 0, "sub-page-permission-table pointer" },
	{ vm_functions, 0, "VM-function controls: reserved bits" },
	{ switching_needs_ept, 0, "EPTP switching needs EPT" },
	{ eptp_list, 0, "EPTP-list address" },
	{ ve_information, 0, "virtualization-exception information address" },
	{ shadow_bitmaps, 0, "VMREAD- and VMWRITE-bitmap addresses" },
	{ tsc_multiplier, 0, "TSC multiplier is not 0" },
	/* 27.2.1.2 VM-Exit Control Fields */
	{ reserved_bits, VMX_KIND_VMEXIT, "VM-exit controls: reserved bits" },
	{ timer_saved_only_if_active, 0, "saving the preemption timer needs the timer" },
	{ exit_msr_store, 0, "VM-exit MSR-store area" },
	{ exit_msr_load, 0, "VM-exit MSR-load area" },
	/* 27.2.1.3 VM-Entry Control Fields; "entry to SMM" and its companion are reserved here */
	{ reserved_bits, VMX_KIND_VMENTRY, "VM-entry controls: reserved bits" },
	{ inject_known_type, 0, "event injection: type" },
	{ inject_vector_fits, 0, "event injection: vector of this type" },
	{ inject_error_fits, 0, "event injection: error code of this vector" },
	{ inject_reserved, 0, "event injection: reserved bits" },
	{ inject_error_code, 0, "event injection: error code's upper half" },
	{ inject_length, 0, "event injection: instruction length" },
	{ entry_msr_load, 0, "VM-entry MSR-load area" },
};

const char *vmx_check_controls(const struct cpu *c)
{
	const char *broken = vmx_broken_rule(c, control_rules, RULES(control_rules));

	return broken ? broken : vmx_check_virt_apic(c);
}
