/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The checks of VM entry, one by one: from a VMCS that works change one field, expect exactly the failure that the
 * manual names, put the field back, expect success. SDM 3C chapter 27 "VM Entries".
 */
#include "rules.h"

static uint8_t page[4096] __attribute__((aligned(4096)));

static const struct rule control_rules[] = {
	{ VMCS_CR3_TARGET_COUNT, 0, 5, BAD_CONTROL, "CR3-target count 5" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_ENABLE_VPID, BAD_CONTROL, "VPID 0" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_UNRESTRICTED_GUEST, BAD_CONTROL, "unrestricted guest without EPT" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_ENABLE_PML, BAD_CONTROL, "PML without EPT" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_MODE_BASED_EPT_EXEC, BAD_CONTROL, "mode-based execute control without EPT" },
	{ VMCS_PIN_CONTROLS, 0, PIN_VIRTUAL_NMIS, BAD_CONTROL, "virtual NMIs without NMI exiting" },
	{ VMCS_PROC_CONTROLS, 0, PROC_NMI_WINDOW_EXITING, BAD_CONTROL, "NMI window without virtual NMIs" },
	{ VMCS_EXIT_CONTROLS, 0, VMEXIT_SAVE_PREEMPTION_TIMER, BAD_CONTROL, "saving a preemption timer that is off" },
	{ VMCS_ENTRY_CONTROLS, 0, VMENTRY_TO_SMM, BAD_CONTROL, "entry to SMM" },
	{ VMCS_ENTRY_CONTROLS, 0, VMENTRY_DEACTIVATE_DUAL_MONITOR, BAD_CONTROL, "deactivating dual-monitor treatment" },
	{ VMCS_EXIT_MSR_STORE_COUNT, 0, 1, BAD_CONTROL, "MSR-store area not aligned" },
	{ VMCS_EXIT_MSR_LOAD_COUNT, 0, 1, BAD_CONTROL, "MSR-load area of exits not aligned" },
	{ VMCS_ENTRY_MSR_LOAD_COUNT, 0, 1, BAD_CONTROL, "MSR-load area of entries not aligned" },
};

static const struct rule injection_rules[] = {
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(1, 32, 0), BAD_CONTROL, "inject type 1" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_NMI, 3, 0), BAD_CONTROL, "inject NMI with vector 3" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_HW_EXCEPTION, 32, 0), BAD_CONTROL, "inject exception 32" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_HW_EXCEPTION, VEC_GP, 0), BAD_CONTROL, "inject #GP without error code" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_HW_EXCEPTION, VEC_DE, INTR_INFO_ERROR_VALID), BAD_CONTROL,
	  "inject #DE with error code" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_SW_EXCEPTION, VEC_BP, INTR_INFO_ERROR_VALID), BAD_CONTROL,
	  "inject #BP with error code" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_OTHER, 1, 0), BAD_CONTROL, "inject type 7 with vector 1" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_EXTERNAL, 40, BIT(12)), BAD_CONTROL, "inject with bit 12" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_EXTERNAL, 40, BIT(30)), BAD_CONTROL, "inject with bit 30" },
};

static void controls(void)
{
	uint64_t eptp = ept_identity();
	uint64_t good = (uint64_t)page;
	uint32_t ept = PROC2_ENABLE_EPT, gp = INFO(INTR_TYPE_HW_EXCEPTION, VEC_GP, INTR_INFO_ERROR_VALID);
	static const uint32_t areas[][2] = { { VMCS_EXIT_MSR_STORE_COUNT, VMCS_EXIT_MSR_STORE_ADDR },
					     { VMCS_EXIT_MSR_LOAD_COUNT, VMCS_EXIT_MSR_LOAD_ADDR },
					     { VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_ADDR } };

	heading("controls");
	reserved_bits(VMCS_PIN_CONTROLS, IA32_VMX_TRUE_PINBASED_CTLS, "pin-based reserved bit");
	reserved_bits(VMCS_PROC_CONTROLS, IA32_VMX_TRUE_PROCBASED_CTLS, "primary processor-based reserved bit");
	reserved_bits(VMCS_PROC2_CONTROLS, IA32_VMX_PROCBASED_CTLS2, "secondary processor-based reserved bit");
	reserved_bits(VMCS_EXIT_CONTROLS, IA32_VMX_TRUE_EXIT_CTLS, "VM-exit reserved bit");
	reserved_bits(VMCS_ENTRY_CONTROLS, IA32_VMX_TRUE_ENTRY_CTLS, "VM-entry reserved bit");
	vmwrite(VMCS_EXIT_MSR_STORE_ADDR, good + 8);
	vmwrite(VMCS_EXIT_MSR_LOAD_ADDR, good + 8);
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, good + 8);
	vmwrite(VMCS_VPID, 0);
	TRY(control_rules);
	for (unsigned i = 0; i < 3; i++) {
		vmwrite(areas[i][1], BEYOND);
		two_fields(areas[i][1], BEYOND, areas[i][0], 1, BAD_CONTROL, "MSR area beyond the address width");
		vmwrite(areas[i][1], good);
	}
	vmwrite(VMCS_IO_BITMAP_A, good);
	vmwrite(VMCS_IO_BITMAP_B, good);
	vmwrite(VMCS_MSR_BITMAP, good);
	with_control(VMCS_PROC_CONTROLS, PROC_IO_BITMAPS, VMCS_IO_BITMAP_A, good + 1, BAD_CONTROL, "I/O bitmap A not aligned");
	with_control(VMCS_PROC_CONTROLS, PROC_IO_BITMAPS, VMCS_IO_BITMAP_B, BEYOND, BAD_CONTROL, "I/O bitmap B out of range");
	with_control(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS, VMCS_MSR_BITMAP, good + 8, BAD_CONTROL, "MSR bitmap not aligned");
	with_control(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS, VMCS_MSR_BITMAP, BEYOND, BAD_CONTROL, "MSR bitmap out of range");
	vmwrite(VMCS_EPT_POINTER, eptp);
	with_control(VMCS_PROC2_CONTROLS, ept, VMCS_EPT_POINTER, eptp ^ 1, BAD_CONTROL, "EPTP memory type 7");
	with_control(VMCS_PROC2_CONTROLS, ept, VMCS_EPT_POINTER, eptp ^ 8, BAD_CONTROL, "EPTP walk length 3");
	with_control(VMCS_PROC2_CONTROLS, ept, VMCS_EPT_POINTER, eptp | 0x800, BAD_CONTROL, "EPTP bit 11");
	with_control(VMCS_PROC2_CONTROLS, ept, VMCS_EPT_POINTER, eptp | BEYOND, BAD_CONTROL, "EPTP beyond the address width");
	vmwrite(VMCS_PML_ADDRESS, good);
	with_control(VMCS_PROC2_CONTROLS, ept | PROC2_ENABLE_PML, VMCS_PML_ADDRESS, good + 8, BAD_CONTROL, "PML address not aligned");
	with_control(VMCS_PROC2_CONTROLS, ept | PROC2_ENABLE_PML, VMCS_PML_ADDRESS, BEYOND, BAD_CONTROL, "PML address out of range");
	vmwrite(VMCS_TSC_MULTIPLIER, 1);
	with_control(VMCS_PROC2_CONTROLS, PROC2_TSC_SCALING, VMCS_TSC_MULTIPLIER, 0, BAD_CONTROL, "TSC multiplier 0");
	heading("event injection fields");
	TRY(injection_rules);
	vmwrite(VMCS_ENTRY_INTR_ERROR, 0x10000);
	try(&(struct rule){ VMCS_ENTRY_INTR_INFO, ~0ull, gp, BAD_CONTROL, "inject error code bit 16" });
	vmwrite(VMCS_ENTRY_INTR_ERROR, 0);
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, 16);
	try(&(struct rule){ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_SW_INTERRUPT, 40, 0), BAD_CONTROL, "inject length 16" });
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, 0);
}

static const struct rule host_rules[] = {
	{ VMCS_HOST_CR0, 0, CR0_PE, BAD_HOST, "host CR0.PE" },
	{ VMCS_HOST_CR0, 0, CR0_NE, BAD_HOST, "host CR0.NE" },
	{ VMCS_HOST_CR0, 0, CR0_PG, BAD_HOST, "host CR0.PG" },
	{ VMCS_HOST_CR0, 0, BIT(32), BAD_HOST, "host CR0 bit 32" },
	{ VMCS_HOST_CR4, 0, CR4_VMXE, BAD_HOST, "host CR4.VMXE" },
	{ VMCS_HOST_CR4, 0, CR4_PAE, BAD_HOST, "host CR4.PAE" },
	{ VMCS_HOST_CR4, 0, BIT(15), BAD_HOST, "host CR4 bit 15" },
	{ VMCS_HOST_CR3, 0, BEYOND, BAD_HOST, "host CR3" },
	{ VMCS_HOST_IA32_SYSENTER_ESP, 0, NONCANONICAL, BAD_HOST, "host SYSENTER_ESP" },
	{ VMCS_HOST_IA32_SYSENTER_EIP, 0, NONCANONICAL, BAD_HOST, "host SYSENTER_EIP" },
	{ VMCS_HOST_IA32_EFER, 0, BIT(1), BAD_HOST, "host EFER bit 1" },
	{ VMCS_HOST_IA32_EFER, 0, EFER_LMA, BAD_HOST, "host EFER.LMA" },
	{ VMCS_HOST_IA32_EFER, 0, EFER_LME, BAD_HOST, "host EFER.LME" },
	{ VMCS_HOST_ES_SELECTOR, 0, 1, BAD_HOST, "host ES.RPL" },
	{ VMCS_HOST_CS_SELECTOR, 0, 2, BAD_HOST, "host CS.RPL" },
	{ VMCS_HOST_SS_SELECTOR, 0, 4, BAD_HOST, "host SS.TI" },
	{ VMCS_HOST_DS_SELECTOR, 0, 3, BAD_HOST, "host DS.RPL" },
	{ VMCS_HOST_FS_SELECTOR, 0, 4, BAD_HOST, "host FS.TI" },
	{ VMCS_HOST_GS_SELECTOR, 0, 1, BAD_HOST, "host GS.RPL" },
	{ VMCS_HOST_TR_SELECTOR, 0, 4, BAD_HOST, "host TR.TI" },
	{ VMCS_HOST_CS_SELECTOR, ~0ull, 0, BAD_HOST, "host CS null" },
	{ VMCS_HOST_TR_SELECTOR, ~0ull, 0, BAD_HOST, "host TR null" },
	{ VMCS_HOST_FS_BASE, 0, NONCANONICAL, BAD_HOST, "host FS base" },
	{ VMCS_HOST_GS_BASE, 0, NONCANONICAL, BAD_HOST, "host GS base" },
	{ VMCS_HOST_GDTR_BASE, 0, NONCANONICAL, BAD_HOST, "host GDTR base" },
	{ VMCS_HOST_IDTR_BASE, 0, NONCANONICAL, BAD_HOST, "host IDTR base" },
	{ VMCS_HOST_TR_BASE, 0, NONCANONICAL, BAD_HOST, "host TR base" },
	{ VMCS_EXIT_CONTROLS, 0, VMEXIT_HOST_64, BAD_HOST, "host address-space size" },
};

static void host(void)
{
	uint64_t bad_pat = (PAT_RESET & ~0xffull) | 2;

	heading("host state");
	TRY(host_rules);
	host_rip_flip = NONCANONICAL; /* guest_run() writes the field itself */
	expect_failure(BAD_HOST, "host RIP");
	host_rip_flip = 0;
	expect_success("host RIP");
	with_control(VMCS_EXIT_CONTROLS, VMEXIT_LOAD_PAT, VMCS_HOST_IA32_PAT, bad_pat, BAD_HOST, "host PAT");
}

static const struct rule guest_rules[] = {
	{ VMCS_GUEST_CR0, 0, CR0_PE, BAD_GUEST, "guest CR0.PE" },
	{ VMCS_GUEST_CR0, 0, CR0_NE, BAD_GUEST, "guest CR0.NE" },
	{ VMCS_GUEST_CR0, 0, CR0_PG, BAD_GUEST, "guest CR0.PG" },
	{ VMCS_GUEST_CR0, 0, BIT(33), BAD_GUEST, "guest CR0 bit 33" },
	{ VMCS_GUEST_CR4, 0, CR4_VMXE, BAD_GUEST, "guest CR4.VMXE" },
	{ VMCS_GUEST_CR4, 0, CR4_PAE, BAD_GUEST, "guest CR4.PAE" },
	{ VMCS_GUEST_CR4, 0, BIT(31), BAD_GUEST, "guest CR4 bit 31" },
	{ VMCS_GUEST_CR3, 0, BEYOND, BAD_GUEST, "guest CR3" },
	{ VMCS_GUEST_IA32_SYSENTER_ESP, 0, NONCANONICAL, BAD_GUEST, "guest SYSENTER_ESP" },
	{ VMCS_GUEST_IA32_SYSENTER_EIP, 0, NONCANONICAL, BAD_GUEST, "guest SYSENTER_EIP" },
	{ VMCS_GUEST_IA32_EFER, 0, BIT(1), BAD_GUEST, "guest EFER bit 1" },
	{ VMCS_GUEST_IA32_EFER, 0, EFER_LMA, BAD_GUEST, "guest EFER.LMA" },
	{ VMCS_GUEST_IA32_EFER, 0, EFER_LME, BAD_GUEST, "guest EFER.LME" },
	{ VMCS_GUEST_GDTR_BASE, 0, NONCANONICAL, BAD_GUEST, "guest GDTR base" },
	{ VMCS_GUEST_IDTR_BASE, 0, NONCANONICAL, BAD_GUEST, "guest IDTR base" },
	{ VMCS_GUEST_GDTR_LIMIT, 0, 0x10000, BAD_GUEST, "guest GDTR limit" },
	{ VMCS_GUEST_IDTR_LIMIT, 0, 0x80000000, BAD_GUEST, "guest IDTR limit" },
	{ VMCS_GUEST_RIP, 0, BIT(62), BAD_GUEST, "guest RIP" },
	{ VMCS_GUEST_RFLAGS, 0, BIT(1), BAD_GUEST, "guest RFLAGS bit 1" },
	{ VMCS_GUEST_RFLAGS, 0, BIT(3), BAD_GUEST, "guest RFLAGS bit 3" },
	{ VMCS_GUEST_RFLAGS, 0, BIT(5), BAD_GUEST, "guest RFLAGS bit 5" },
	{ VMCS_GUEST_RFLAGS, 0, BIT(15), BAD_GUEST, "guest RFLAGS bit 15" },
	{ VMCS_GUEST_RFLAGS, 0, BIT(22), BAD_GUEST, "guest RFLAGS bit 22" },
	{ VMCS_GUEST_RFLAGS, 0, EFLAGS_VM, BAD_GUEST, "guest RFLAGS.VM in IA-32e mode" },
	{ VMCS_ENTRY_INTR_INFO, ~0ull, INFO(INTR_TYPE_EXTERNAL, 40, 0), BAD_GUEST, "external interrupt with IF = 0" },
	{ VMCS_ENTRY_CONTROLS, 0, VMENTRY_IA32E_GUEST, BAD_GUEST, "IA-32e mode guest off, LMA on" },
};

static const struct rule segment_rules[] = {
	{ VMCS_GUEST_TR_SELECTOR, 0, SELECTOR_TI, BAD_GUEST, "TR.TI" },
	{ VMCS_GUEST_SS_SELECTOR, 0, 3, BAD_GUEST, "SS.RPL" },
	{ VMCS_GUEST_CS_SELECTOR, 0, 3, BAD_GUEST, "CS.RPL" },
	{ VMCS_GUEST_TR_BASE, 0, NONCANONICAL, BAD_GUEST, "TR base" },
	{ VMCS_GUEST_FS_BASE, 0, NONCANONICAL, BAD_GUEST, "FS base" },
	{ VMCS_GUEST_GS_BASE, 0, NONCANONICAL, BAD_GUEST, "GS base" },
	{ VMCS_GUEST_CS_BASE, 0, BIT(32), BAD_GUEST, "CS base" },
	{ VMCS_GUEST_SS_BASE, 0, BIT(32), BAD_GUEST, "SS base" },
	{ VMCS_GUEST_DS_BASE, 0, BIT(40), BAD_GUEST, "DS base" },
	{ VMCS_GUEST_ES_BASE, 0, BIT(46), BAD_GUEST, "ES base" },
	{ VMCS_GUEST_CS_AR, VMX_AR_TYPE, 8, BAD_GUEST, "CS type 8: not accessed" },
	{ VMCS_GUEST_CS_AR, VMX_AR_TYPE, 1, BAD_GUEST, "CS type 1: data" },
	{ VMCS_GUEST_CS_AR, VMX_AR_TYPE, 3, BAD_GUEST, "CS type 3 without unrestricted guest" },
	{ VMCS_GUEST_SS_AR, VMX_AR_TYPE, 1, BAD_GUEST, "SS type 1: read-only" },
	{ VMCS_GUEST_SS_AR, VMX_AR_TYPE, 11, BAD_GUEST, "SS type 11: code" },
	{ VMCS_GUEST_DS_AR, VMX_AR_TYPE, 2, BAD_GUEST, "DS type 2: not accessed" },
	{ VMCS_GUEST_ES_AR, VMX_AR_TYPE, 9, BAD_GUEST, "ES type 9: execute-only" },
	{ VMCS_GUEST_CS_AR, 0, VMX_AR_S, BAD_GUEST, "CS.S" },
	{ VMCS_GUEST_SS_AR, 0, VMX_AR_S, BAD_GUEST, "SS.S" },
	{ VMCS_GUEST_DS_AR, 0, VMX_AR_S, BAD_GUEST, "DS.S" },
	{ VMCS_GUEST_ES_AR, 0, VMX_AR_S, BAD_GUEST, "ES.S" },
	{ VMCS_GUEST_CS_AR, 0, 1 << VMX_AR_DPL_SHIFT, BAD_GUEST, "CS.DPL" },
	{ VMCS_GUEST_SS_AR, 0, 3 << VMX_AR_DPL_SHIFT, BAD_GUEST, "SS.DPL" },
	{ VMCS_GUEST_DS_SELECTOR, 0, 3, BAD_GUEST, "DS.RPL above DPL" },
	{ VMCS_GUEST_ES_SELECTOR, 0, 1, BAD_GUEST, "ES.RPL above DPL" },
	{ VMCS_GUEST_CS_AR, 0, VMX_AR_P, BAD_GUEST, "CS.P" },
	{ VMCS_GUEST_SS_AR, 0, VMX_AR_P, BAD_GUEST, "SS.P" },
	{ VMCS_GUEST_DS_AR, 0, VMX_AR_P, BAD_GUEST, "DS.P" },
	{ VMCS_GUEST_ES_AR, 0, VMX_AR_P, BAD_GUEST, "ES.P" },
	{ VMCS_GUEST_CS_AR, 0, BIT(8), BAD_GUEST, "CS access rights bit 8" },
	{ VMCS_GUEST_SS_AR, 0, BIT(11), BAD_GUEST, "SS access rights bit 11" },
	{ VMCS_GUEST_DS_AR, 0, BIT(17), BAD_GUEST, "DS access rights bit 17" },
	{ VMCS_GUEST_ES_AR, 0, BIT(31), BAD_GUEST, "ES access rights bit 31" },
	{ VMCS_GUEST_CS_AR, 0, VMX_AR_DB, BAD_GUEST, "CS.D with L" },
	{ VMCS_GUEST_CS_LIMIT, 0, 0x800, BAD_GUEST, "CS.G with limit bits 11:0" },
	{ VMCS_GUEST_SS_AR, 0, VMX_AR_G, BAD_GUEST, "SS.G with limit bits 31:20" },
	{ VMCS_GUEST_DS_LIMIT, 0, 1, BAD_GUEST, "DS.G with limit bits 11:0" },
	{ VMCS_GUEST_ES_AR, 0, VMX_AR_G, BAD_GUEST, "ES.G with limit bits 31:20" },
	{ VMCS_GUEST_TR_AR, VMX_AR_TYPE, 9, BAD_GUEST, "TR type 9: available" },
	{ VMCS_GUEST_TR_AR, VMX_AR_TYPE, 3, BAD_GUEST, "TR type 3 in IA-32e mode" },
	{ VMCS_GUEST_TR_AR, 0, VMX_AR_S, BAD_GUEST, "TR.S" },
	{ VMCS_GUEST_TR_AR, 0, VMX_AR_P, BAD_GUEST, "TR.P" },
	{ VMCS_GUEST_TR_AR, 0, BIT(9), BAD_GUEST, "TR access rights bit 9" },
	{ VMCS_GUEST_TR_AR, 0, VMX_AR_G, BAD_GUEST, "TR.G with limit bits 11:0" },
	{ VMCS_GUEST_TR_LIMIT, 0, BIT(20), BAD_GUEST, "TR limit bit 20 without G" },
	{ VMCS_GUEST_TR_AR, 0, VMX_AR_UNUSABLE, BAD_GUEST, "TR unusable" },
};

/* With a usable LDTR: type 2, present, limit FFH. */
static const struct rule ldtr_rules[] = {
	{ VMCS_GUEST_LDTR_SELECTOR, 0, SELECTOR_TI, BAD_GUEST, "LDTR.TI" },
	{ VMCS_GUEST_LDTR_BASE, 0, NONCANONICAL, BAD_GUEST, "LDTR base" },
	{ VMCS_GUEST_LDTR_AR, VMX_AR_TYPE, 3, BAD_GUEST, "LDTR type" },
	{ VMCS_GUEST_LDTR_AR, 0, VMX_AR_S, BAD_GUEST, "LDTR.S" },
	{ VMCS_GUEST_LDTR_AR, 0, VMX_AR_P, BAD_GUEST, "LDTR.P" },
	{ VMCS_GUEST_LDTR_AR, 0, BIT(10), BAD_GUEST, "LDTR access rights bit 10" },
	{ VMCS_GUEST_LDTR_AR, 0, VMX_AR_G, BAD_GUEST, "LDTR.G" },
};

/* With FS (or GS) usable; n: its place among the segments. */
static void data_segment(unsigned n)
{
	const uint32_t ar = VMCS_GUEST_ES_AR + 2 * n, limit = VMCS_GUEST_ES_LIMIT + 2 * n, sel = VMCS_GUEST_ES_SELECTOR + 2 * n;
	const struct rule rules[] = {
		{ ar, VMX_AR_TYPE, 2, BAD_GUEST, "FS, GS: type 2" },
		{ ar, VMX_AR_TYPE, 9, BAD_GUEST, "FS, GS: type 9" },
		{ ar, 0, VMX_AR_S, BAD_GUEST, "FS, GS: S" },
		{ sel, 0, 3, BAD_GUEST, "FS, GS: RPL above DPL" },
		{ ar, 0, VMX_AR_P, BAD_GUEST, "FS, GS: P" },
		{ ar, 0, BIT(8), BAD_GUEST, "FS, GS: access rights bit 8" },
		{ ar, 0, VMX_AR_G, BAD_GUEST, "FS, GS: G with limit bits 31:20" },
		{ limit, 0, 2, BAD_GUEST, "FS, GS: limit bits 11:0 with G" },
	};

	vmwrite(ar, 0xc093);
	vmwrite(limit, 0xffffffff);
	TRY(rules);
	vmwrite(ar, VMX_AR_UNUSABLE);
}

/* Guests that break one rule alone only if others are bent first. */
static void privileges(void)
{
	vmwrite(VMCS_GUEST_CS_AR, 0xa09f); /* conforming: its DPL may be below SS's */
	try(&(struct rule){ VMCS_GUEST_SS_AR, 0, 3 << VMX_AR_DPL_SHIFT, BAD_GUEST, "SS.DPL is not its RPL" });
	vmwrite(VMCS_GUEST_CS_AR, 0xa0fb);
	vmwrite(VMCS_GUEST_CS_SELECTOR, SEL_UCODE | 3);
	vmwrite(VMCS_GUEST_SS_AR, 0xc0f3);
	vmwrite(VMCS_GUEST_SS_SELECTOR, SEL_UDATA | 3);
	try(&(struct rule){ VMCS_GUEST_ACTIVITY, 0, ACTIVITY_HLT, BAD_GUEST, "HLT at CPL 3" });
	vmcs_fresh(guest_vmcall);
	vmwrite(VMCS_EPT_POINTER, ept_identity());
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST))
		return;
	control_clear(VMCS_ENTRY_CONTROLS, VMENTRY_IA32E_GUEST);
	vmwrite(VMCS_GUEST_IA32_EFER, 0);
	vmwrite(VMCS_GUEST_CS_AR, 0xc093);
	vmwrite(VMCS_GUEST_CR0, read_cr0() & ~CR0_PG);
	expect_success("unrestricted, CS type 3");
	try(&(struct rule){ VMCS_GUEST_SS_AR, 0, 1 << VMX_AR_DPL_SHIFT, BAD_GUEST, "SS.DPL with CS type 3" });
	try(&(struct rule){ VMCS_GUEST_CS_AR, 0, 1 << VMX_AR_DPL_SHIFT, BAD_GUEST, "CS.DPL with CS type 3" });
	try(&(struct rule){ VMCS_GUEST_CR0, 0, CR0_PE | CR0_PG, BAD_GUEST, "CR0.PG without PE" });
	vmcs_fresh(guest_vmcall);
}

static void segments(void)
{
	heading("guest segments");
	TRY(segment_rules);
	vmwrite(VMCS_GUEST_LDTR_AR, 0x82);
	vmwrite(VMCS_GUEST_LDTR_LIMIT, 0xfe);
	TRY(ldtr_rules);
	vmwrite(VMCS_GUEST_LDTR_AR, VMX_AR_UNUSABLE);
	expect_success("LDTR unusable");
	/* What is unusable is not looked at. */
	vmwrite(VMCS_GUEST_ES_AR, VMX_AR_UNUSABLE);
	vmwrite(VMCS_GUEST_ES_BASE, BIT(40));
	expect_success("ES unusable with a bad base");
	vmwrite(VMCS_GUEST_ES_BASE, 0);
	vmwrite(VMCS_GUEST_ES_AR, 0xc093);
	data_segment(4);
	data_segment(5);
	privileges();
}

static void guest(void)
{
	uint64_t bad_pat = (PAT_RESET & ~0xff00ull) | 0x300;

	heading("guest state");
	TRY(guest_rules);
	with_control(VMCS_ENTRY_CONTROLS, VMENTRY_LOAD_PAT, VMCS_GUEST_IA32_PAT, bad_pat, BAD_GUEST, "guest PAT");
	with_control(VMCS_ENTRY_CONTROLS, VMENTRY_LOAD_DEBUG_CONTROLS, VMCS_GUEST_IA32_DEBUGCTL, BIT(5), BAD_GUEST, "guest DEBUGCTL");
	with_control(VMCS_ENTRY_CONTROLS, VMENTRY_LOAD_DEBUG_CONTROLS, VMCS_GUEST_DR7, BIT(32), BAD_GUEST, "guest DR7");
}

#define INTERRUPT INFO(INTR_TYPE_EXTERNAL, 40, 0)
#define NMI       INFO(INTR_TYPE_NMI, 2, 0)

static const struct rule event_rules[] = {
	{ VMCS_GUEST_ACTIVITY, 0, 4, BAD_GUEST, "activity state 4" },
	{ VMCS_GUEST_INTERRUPTIBILITY, 0, BIT(5), BAD_GUEST, "interruptibility bit 5" },
	{ VMCS_GUEST_INTERRUPTIBILITY, 0, BIT(31), BAD_GUEST, "interruptibility bit 31" },
	{ VMCS_GUEST_INTERRUPTIBILITY, 0, INTERRUPTIBILITY_SMI, BAD_GUEST, "blocking by SMI outside SMM" },
	{ VMCS_GUEST_INTERRUPTIBILITY, 0, INTERRUPTIBILITY_STI, BAD_GUEST, "blocking by STI with IF = 0" },
	{ VMCS_GUEST_PENDING_DEBUG, 0, BIT(4), BAD_GUEST, "pending debug exceptions bit 4" },
	{ VMCS_GUEST_PENDING_DEBUG, 0, BIT(13), BAD_GUEST, "pending debug exceptions bit 13" },
	{ VMCS_GUEST_PENDING_DEBUG, 0, BIT(63), BAD_GUEST, "pending debug exceptions bit 63" },
};

static void events_with_if(void)
{
	uint64_t with_if = EFLAGS_ONE | EFLAGS_IF;

	two_fields(VMCS_GUEST_RFLAGS, with_if, VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOV_SS,
		   BAD_GUEST, "blocking by STI and MOV SS");
	vmwrite(VMCS_GUEST_RFLAGS, with_if);
	two_fields(VMCS_ENTRY_INTR_INFO, INTERRUPT, VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI, BAD_GUEST,
		   "interrupt and blocking by STI");
	vmwrite(VMCS_GUEST_RFLAGS, with_if);
	two_fields(VMCS_ENTRY_INTR_INFO, INTERRUPT, VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS, BAD_GUEST,
		   "interrupt and blocking by MOV SS");
	two_fields(VMCS_ENTRY_INTR_INFO, NMI, VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS, BAD_GUEST,
		   "NMI and blocking by MOV SS");
	two_fields(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD, 0), VMCS_GUEST_ACTIVITY, ACTIVITY_HLT, BAD_GUEST,
		   "#UD does not wake from HLT");
	two_fields(VMCS_ENTRY_INTR_INFO, NMI, VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_SIPI, BAD_GUEST, "an NMI while waiting for a SIPI");
	vmwrite(VMCS_GUEST_RFLAGS, with_if);
	two_fields(VMCS_ENTRY_INTR_INFO, INTERRUPT, VMCS_GUEST_ACTIVITY, ACTIVITY_SHUTDOWN, BAD_GUEST, "an interrupt in shutdown");
	two_fields(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_HW_EXCEPTION, VEC_DB, 0), VMCS_GUEST_ACTIVITY, ACTIVITY_SHUTDOWN, BAD_GUEST,
		   "#DB in shutdown");
	two_fields(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_OTHER, 0, 0), VMCS_GUEST_ACTIVITY, ACTIVITY_SHUTDOWN, BAD_GUEST,
		   "a pending MTF exit in shutdown");
	two_fields(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS, VMCS_GUEST_ACTIVITY, ACTIVITY_SHUTDOWN, BAD_GUEST,
		   "shutdown in the shadow of MOV SS");
	two_fields(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS, VMCS_GUEST_ACTIVITY, ACTIVITY_HLT, BAD_GUEST,
		   "HLT in the shadow of MOV SS");
	two_fields(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS, VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS, BAD_GUEST,
		   "BS pending in a shadow with TF = 0");
	two_fields(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS, VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_TF, BAD_GUEST,
		   "BS not pending in a shadow with TF = 1");
}

static void virtual_nmi(void)
{
	if (!control_set(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS))
		return;
	two_fields(VMCS_ENTRY_INTR_INFO, NMI, VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI, BAD_GUEST,
		   "NMI and virtual-NMI blocking");
	control_clear(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
}

static void link_pointer(void)
{
	static const struct rule rules[] = {
		{ VMCS_LINK_POINTER, ~0ull, 0x123456, BAD_LINK, "link pointer not aligned" },
		{ VMCS_LINK_POINTER, ~0ull, BEYOND, BAD_LINK, "link pointer beyond the address width" },
	};

	TRY(rules);
	page[0] = (uint8_t)~vmcs_region[0];
	try(&(struct rule){ VMCS_LINK_POINTER, ~0ull, (uint64_t)page, BAD_LINK, "link pointer to a wrong revision" });
}

/* A compatibility guest in PAE mode: PDPTEs from memory, and from the VMCS with EPT. */
static uint64_t pae_pdpt[4] __attribute__((aligned(32)));

static void to_pae(void)
{
	control_clear(VMCS_ENTRY_CONTROLS, VMENTRY_IA32E_GUEST);
	vmwrite(VMCS_GUEST_IA32_EFER, 0);
	vmwrite(VMCS_GUEST_CS_AR, 0xc09b);
	vmwrite(VMCS_GUEST_CR3, (uint64_t)pae_pdpt);
	for (unsigned i = 0; i < 4; i++)
		pae_pdpt[i] = (((uint64_t *)(boot_pml4[0] & PTE_ADDRESS))[i] & PTE_ADDRESS) | PTE_P;
}

static void pdptes(void)
{
	static const uint64_t bad[] = { BIT(1), BIT(2), BIT(5), BIT(8), BIT(63), BEYOND };

	heading("PDPTEs");
	vmcs_fresh(guest_vmcall);
	to_pae();
	expect_success("PAE guest");
	vmwrite(VMCS_GUEST_TR_AR, 0x83);
	expect_success("a busy 16-bit TSS outside IA-32e mode");
	vmwrite(VMCS_GUEST_TR_AR, 0x8b);
	try(&(struct rule){ VMCS_GUEST_CR4, 0, CR4_PCIDE, BAD_GUEST, "CR4.PCIDE outside IA-32e mode" });
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		pae_pdpt[i % 4] ^= bad[i];
		expect_failure(BAD_PDPTE, "PDPTE in memory, reserved bit");
		pae_pdpt[i % 4] ^= bad[i];
		expect_success("PDPTE in memory");
	}
	vmwrite(VMCS_EPT_POINTER, ept_identity());
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT))
		return;
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_GUEST_PDPTE0 + 2 * i, pae_pdpt[i]);
	expect_success("PAE guest with EPT");
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		try(&(struct rule){ VMCS_GUEST_PDPTE0 + 2 * (i % 4), 0, bad[i], BAD_PDPTE, "PDPTE in the VMCS, reserved bit" });
}

/* --- virtual-8086 mode --- */

#define V86_CODE 0x9000

static void start_v86(void)
{
	vmwrite(VMCS_GUEST_RIP, 0);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_VM);
}

static void v86_segments(void)
{
	for (unsigned n = 0; n < 6; n++) {
		vmwrite(VMCS_GUEST_ES_SELECTOR + 2 * n, V86_CODE >> 4);
		vmwrite(VMCS_GUEST_ES_BASE + 2 * n, V86_CODE);
		vmwrite(VMCS_GUEST_ES_LIMIT + 2 * n, 0xffff);
		vmwrite(VMCS_GUEST_ES_AR + 2 * n, 0xf3);
	}
}

static void v86(void)
{
	static const uint8_t code[] = { 0x0f, 0x01, 0xc1 }; /* VMCALL */

	heading("virtual-8086 mode");
	for (unsigned i = 0; i < sizeof(code); i++)
		((volatile uint8_t *)V86_CODE)[i] = code[i];
	vmcs_fresh(guest_vmcall);
	to_pae();
	v86_segments();
	start_guest = start_v86;
	expect_success("virtual-8086 guest");
	for (unsigned n = 0; n < 6; n++) {
		try(&(struct rule){ VMCS_GUEST_ES_BASE + 2 * n, 0, 0x10, BAD_GUEST, "virtual-8086 base" });
		try(&(struct rule){ VMCS_GUEST_ES_LIMIT + 2 * n, 0, 0x10000, BAD_GUEST, "virtual-8086 limit" });
		try(&(struct rule){ VMCS_GUEST_ES_AR + 2 * n, 0, 1, BAD_GUEST, "virtual-8086 access rights" });
	}
	start_guest = 0;
	vmcs_fresh(guest_vmcall);
	v86_segments();
	start_v86();
	expect_failure(BAD_GUEST, "virtual-8086 mode in IA-32e mode");
}

struct msr_entry {
	uint32_t index, reserved;
	uint64_t value;
};
static struct msr_entry msr_area[2] __attribute__((aligned(16)));

static void msr_case(uint32_t index, uint32_t reserved, uint64_t value, const char *name)
{
	msr_area[0] = (struct msr_entry){ index, reserved, value };
	expect_failure(BAD_MSR, name);
}

static void msr_loading(void)
{
	heading("MSR loading");
	vmcs_fresh(guest_vmcall);
	vmwrite(VMCS_ENTRY_MSR_LOAD_ADDR, (uint64_t)msr_area);
	vmwrite(VMCS_ENTRY_MSR_LOAD_COUNT, 1);
	msr_case(IA32_FS_BASE, 0, 0, "MSR area: FS base");
	msr_case(IA32_GS_BASE, 0, 0, "MSR area: GS base");
	msr_case(IA32_KERNEL_GS_BASE, 1, 0, "MSR area: reserved bits");
	msr_case(IA32_SYSENTER_EIP, 0, NONCANONICAL, "MSR area: a value that WRMSR refuses");
	msr_case(0x7fffffff, 0, 0, "MSR area: no such MSR");
	msr_area[0] = (struct msr_entry){ IA32_KERNEL_GS_BASE, 0, 0x1234000 };
	expect_success("MSR area: good");
	check(rdmsr(IA32_KERNEL_GS_BASE) == 0x1234000, "MSR area: loaded", "%lx", rdmsr(IA32_KERNEL_GS_BASE));
	vmwrite(VMCS_EXIT_MSR_STORE_ADDR, (uint64_t)&msr_area[1]);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
	msr_area[1] = (struct msr_entry){ IA32_KERNEL_GS_BASE, 0, 0 };
	msr_area[0].value = 0x5678000;
	expect_success("MSR store area");
	check(msr_area[1].value == 0x5678000, "MSR area: stored", "%lx", msr_area[1].value);
	wrmsr(IA32_KERNEL_GS_BASE, 0);
}

/* What a failed entry leaves alone: the event to inject, the guest's state, the launch state. */
static void failed_entry_leaves(void)
{
	heading("after a failed entry");
	vmcs_fresh(guest_vmcall);
	vmwrite(VMCS_ENTRY_INTR_INFO, NMI);
	vmwrite(VMCS_GUEST_RFLAGS, 0);
	expect_failure(BAD_GUEST, "RFLAGS 0");
	check(vmread(VMCS_ENTRY_INTR_INFO) == NMI, "injected event stays", "%lx", vmread(VMCS_ENTRY_INTR_INFO));
	check(vmread(VMCS_GUEST_RFLAGS) == 0, "guest RFLAGS stays", "%lx", vmread(VMCS_GUEST_RFLAGS));
	guest_at(guest_vmcall);
	check(guest_run(false) == 1 && vmread(VMCS_INSTRUCTION_ERROR) == VMXERR_VMRESUME_NOT_LAUNCHED, "launch state stays clear",
	      "error %lu", vmread(VMCS_INSTRUCTION_ERROR));
	expect_success("the VMCS");
}

int main(void)
{
	if (!check(vmx_start(), "VMXON", "failed"))
		return 1;
	vmcs_fresh(guest_vmcall);
	expect_success("the VMCS to start from");
	controls();
	host();
	guest();
	segments();
	heading("guest events");
	TRY(event_rules);
	events_with_if();
	virtual_nmi();
	link_pointer();
	pdptes();
	v86();
	msr_loading();
	failed_entry_leaves();
	return failures() != 0;
}
