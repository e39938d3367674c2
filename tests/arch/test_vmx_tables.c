/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second list: what arch/ says of VT-x, typed again in another form (runs of consecutive numbers, as the
 * manual's tables have them), so that a wrong number in a shared row is seen. Both directions are compared: every
 * row is here, and nothing more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/exit_reasons.h"
#include "arch/vmcs.h"
#include "arch/vmx.h"

/* names: separated by spaces; "-" leaves a number out. The first has number `first`, the others follow in steps. */
struct run {
	unsigned first, step;
	const char *names;
};

/* SDM 3D appendix B */
static const struct run vmcs_runs[] = {
	{ 0x0000, 2, "VPID POSTED_INTR_VECTOR EPTP_INDEX" },
	{ 0x0800, 2, "GUEST_ES_SELECTOR GUEST_CS_SELECTOR GUEST_SS_SELECTOR GUEST_DS_SELECTOR GUEST_FS_SELECTOR GUEST_GS_SELECTOR "
		     "GUEST_LDTR_SELECTOR GUEST_TR_SELECTOR GUEST_INTR_STATUS PML_INDEX" },
	{ 0x0c00, 2, "HOST_ES_SELECTOR HOST_CS_SELECTOR HOST_SS_SELECTOR HOST_DS_SELECTOR HOST_FS_SELECTOR HOST_GS_SELECTOR "
		     "HOST_TR_SELECTOR" },
	{ 0x2000, 2, "IO_BITMAP_A IO_BITMAP_B MSR_BITMAP EXIT_MSR_STORE_ADDR EXIT_MSR_LOAD_ADDR ENTRY_MSR_LOAD_ADDR "
		     "EXECUTIVE_VMCS_POINTER PML_ADDRESS TSC_OFFSET VIRTUAL_APIC_ADDR APIC_ACCESS_ADDR POSTED_INTR_DESC_ADDR "
		     "VMFUNC_CONTROLS EPT_POINTER EOI_EXIT_BITMAP_0 EOI_EXIT_BITMAP_1 EOI_EXIT_BITMAP_2 EOI_EXIT_BITMAP_3 "
		     "EPTP_LIST_ADDR VMREAD_BITMAP VMWRITE_BITMAP VE_INFO_ADDR XSS_EXIT_BITMAP ENCLS_EXIT_BITMAP SPPTP "
		     "TSC_MULTIPLIER - ENCLV_EXIT_BITMAP" },
	{ 0x2400, 2, "GUEST_PHYSICAL_ADDRESS" },
	{ 0x2800, 2, "LINK_POINTER GUEST_IA32_DEBUGCTL GUEST_IA32_PAT GUEST_IA32_EFER GUEST_IA32_PERF_GLOBAL_CTRL GUEST_PDPTE0 "
		     "GUEST_PDPTE1 GUEST_PDPTE2 GUEST_PDPTE3 GUEST_IA32_BNDCFGS GUEST_IA32_RTIT_CTL" },
	{ 0x2c00, 2, "HOST_IA32_PAT HOST_IA32_EFER HOST_IA32_PERF_GLOBAL_CTRL" },
	{ 0x4000, 2, "PIN_CONTROLS PROC_CONTROLS EXCEPTION_BITMAP PF_ERROR_MASK PF_ERROR_MATCH CR3_TARGET_COUNT EXIT_CONTROLS "
		     "EXIT_MSR_STORE_COUNT EXIT_MSR_LOAD_COUNT ENTRY_CONTROLS ENTRY_MSR_LOAD_COUNT ENTRY_INTR_INFO "
		     "ENTRY_INTR_ERROR ENTRY_INSTRUCTION_LENGTH TPR_THRESHOLD PROC2_CONTROLS PLE_GAP PLE_WINDOW" },
	{ 0x4400, 2, "INSTRUCTION_ERROR EXIT_REASON EXIT_INTR_INFO EXIT_INTR_ERROR IDT_VECTORING_INFO IDT_VECTORING_ERROR "
		     "EXIT_INSTRUCTION_LENGTH EXIT_INSTRUCTION_INFO" },
	{ 0x4800, 2, "GUEST_ES_LIMIT GUEST_CS_LIMIT GUEST_SS_LIMIT GUEST_DS_LIMIT GUEST_FS_LIMIT GUEST_GS_LIMIT GUEST_LDTR_LIMIT "
		     "GUEST_TR_LIMIT GUEST_GDTR_LIMIT GUEST_IDTR_LIMIT GUEST_ES_AR GUEST_CS_AR GUEST_SS_AR GUEST_DS_AR "
		     "GUEST_FS_AR GUEST_GS_AR GUEST_LDTR_AR GUEST_TR_AR GUEST_INTERRUPTIBILITY GUEST_ACTIVITY GUEST_SMBASE "
		     "GUEST_IA32_SYSENTER_CS - PREEMPTION_TIMER_VALUE" },
	{ 0x4c00, 2, "HOST_IA32_SYSENTER_CS" },
	{ 0x6000, 2, "CR0_MASK CR4_MASK CR0_READ_SHADOW CR4_READ_SHADOW CR3_TARGET_VALUE_0 CR3_TARGET_VALUE_1 CR3_TARGET_VALUE_2 "
		     "CR3_TARGET_VALUE_3" },
	{ 0x6400, 2, "EXIT_QUALIFICATION IO_RCX IO_RSI IO_RDI IO_RIP GUEST_LINEAR_ADDRESS" },
	{ 0x6800, 2, "GUEST_CR0 GUEST_CR3 GUEST_CR4 GUEST_ES_BASE GUEST_CS_BASE GUEST_SS_BASE GUEST_DS_BASE GUEST_FS_BASE "
		     "GUEST_GS_BASE GUEST_LDTR_BASE GUEST_TR_BASE GUEST_GDTR_BASE GUEST_IDTR_BASE GUEST_DR7 GUEST_RSP GUEST_RIP "
		     "GUEST_RFLAGS GUEST_PENDING_DEBUG GUEST_IA32_SYSENTER_ESP GUEST_IA32_SYSENTER_EIP" },
	{ 0x6c00, 2, "HOST_CR0 HOST_CR3 HOST_CR4 HOST_FS_BASE HOST_GS_BASE HOST_TR_BASE HOST_GDTR_BASE HOST_IDTR_BASE "
		     "HOST_IA32_SYSENTER_ESP HOST_IA32_SYSENTER_EIP HOST_RSP HOST_RIP" },
};

/* SDM 3D appendix C */
static const struct run exit_runs[] = {
	{ 0, 1, "EXCEPTION_NMI EXTERNAL_INTERRUPT TRIPLE_FAULT INIT SIPI IO_SMI OTHER_SMI INTERRUPT_WINDOW NMI_WINDOW TASK_SWITCH" },
	{ 10, 1, "CPUID GETSEC HLT INVD INVLPG RDPMC RDTSC RSM VMCALL VMCLEAR" },
	{ 20, 1, "VMLAUNCH VMPTRLD VMPTRST VMREAD VMRESUME VMWRITE VMXOFF VMXON CR_ACCESS DR_ACCESS" },
	{ 30, 1, "IO RDMSR WRMSR ENTRY_GUEST_STATE ENTRY_MSR_LOADING - MWAIT MONITOR_TRAP_FLAG - MONITOR" },
	{ 40, 1, "PAUSE ENTRY_MACHINE_CHECK - TPR_BELOW_THRESHOLD APIC_ACCESS VIRTUALIZED_EOI GDTR_IDTR LDTR_TR EPT_VIOLATION "
		 "EPT_MISCONFIG" },
	{ 50, 1, "INVEPT RDTSCP PREEMPTION_TIMER INVVPID WBINVD XSETBV APIC_WRITE RDRAND INVPCID VMFUNC" },
	{ 60, 1, "ENCLS RDSEED PML_FULL XSAVES XRSTORS PCONFIG SPP_EVENT UMWAIT TPAUSE LOADIWKEY ENCLV" },
};

/* SDM 3C 25.6 to 25.8; number: kind * 32 + bit */
static const struct run control_runs[] = {
	{ 0, 1, "EXTINT_EXITING - - NMI_EXITING - VIRTUAL_NMIS PREEMPTION_TIMER POSTED_INTERRUPTS" },
	{ 32, 1, "- - INTR_WINDOW_EXITING TSC_OFFSETTING - - - HLT_EXITING - INVLPG_EXITING MWAIT_EXITING RDPMC_EXITING "
		 "RDTSC_EXITING - - CR3_LOAD_EXITING CR3_STORE_EXITING - - CR8_LOAD_EXITING CR8_STORE_EXITING TPR_SHADOW "
		 "NMI_WINDOW_EXITING MOV_DR_EXITING UNCOND_IO_EXITING IO_BITMAPS - MONITOR_TRAP_FLAG MSR_BITMAPS "
		 "MONITOR_EXITING PAUSE_EXITING SECONDARY_CONTROLS" },
	{ 64, 1, "VIRT_APIC_ACCESSES ENABLE_EPT DESC_TABLE_EXITING ENABLE_RDTSCP VIRT_X2APIC_MODE ENABLE_VPID WBINVD_EXITING "
		 "UNRESTRICTED_GUEST APIC_REGISTER_VIRT VIRT_INTR_DELIVERY PAUSE_LOOP_EXITING RDRAND_EXITING ENABLE_INVPCID "
		 "ENABLE_VMFUNC VMCS_SHADOWING ENCLS_EXITING RDSEED_EXITING ENABLE_PML EPT_VIOLATION_VE CONCEAL_FROM_PT "
		 "ENABLE_XSAVES - MODE_BASED_EPT_EXEC SPP PT_USES_GPA TSC_SCALING ENABLE_USER_WAIT ENABLE_PCONFIG "
		 "ENCLV_EXITING" },
	{ 96, 1, "- - SAVE_DEBUG_CONTROLS - - - - - - HOST_64 - - LOAD_PERF_GLOBAL_CTRL - - ACK_INTERRUPT - - SAVE_PAT LOAD_PAT "
		 "SAVE_EFER LOAD_EFER SAVE_PREEMPTION_TIMER CLEAR_BNDCFGS CONCEAL_FROM_PT CLEAR_RTIT_CTL" },
	{ 128, 1, "- - LOAD_DEBUG_CONTROLS - - - - - - IA32E_GUEST TO_SMM DEACTIVATE_DUAL_MONITOR - LOAD_PERF_GLOBAL_CTRL LOAD_PAT "
		  "LOAD_EFER LOAD_BNDCFGS CONCEAL_FROM_PT LOAD_RTIT_CTL" },
	{ 160, 1, "EPTP_SWITCHING" },
};

/* SDM 3C table 31-1 */
static const struct run error_runs[] = {
	{ 1, 1, "VMCALL_IN_ROOT VMCLEAR_BAD_ADDRESS VMCLEAR_VMXON_POINTER VMLAUNCH_NOT_CLEAR VMRESUME_NOT_LAUNCHED "
		"VMRESUME_AFTER_VMXOFF ENTRY_BAD_CONTROLS ENTRY_BAD_HOST_STATE VMPTRLD_BAD_ADDRESS VMPTRLD_VMXON_POINTER "
		"VMPTRLD_BAD_REVISION UNSUPPORTED_COMPONENT VMWRITE_READ_ONLY - VMXON_IN_ROOT ENTRY_BAD_EXECUTIVE "
		"ENTRY_EXECUTIVE_NOT_LAUNCHED ENTRY_EXECUTIVE_NOT_VMXON VMCALL_NOT_CLEAR VMCALL_BAD_EXIT_CONTROLS - "
		"VMCALL_BAD_MSEG_REVISION VMXOFF_DUAL_MONITOR VMCALL_BAD_SMM_FEATURES ENTRY_BAD_EXECUTIVE_CONTROLS ENTRY_MOV_SS - "
		"INVALIDATE_BAD_OPERAND" },
};

struct row {
	const char *name;
	unsigned number;
};

static const struct row vmcs_rows[] = {
#define VMCS_FIELD(name, encoding, width, class, cap, text) { #name, VMCS_##name },
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
};

static const struct row exit_rows[] = {
#define EXIT_REASON(name, number, text) { #name, EXIT_##name },
#include "arch/exit_reasons.def"
#undef EXIT_REASON
};

static const struct row control_rows[] = {
#define VMX_CONTROL(kind, name, bit, text) { #name, VMX_CAP_##kind##_##name },
#include "arch/vmx_controls.def"
#undef VMX_CONTROL
};

static const struct row error_rows[] = {
#define VMX_ERROR(name, number, text) { #name, VMXERR_##name },
#include "arch/vmx_errors.def"
#undef VMX_ERROR
};

static const char *row_name(const struct row *rows, size_t n, unsigned number)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].number == number)
			return rows[i].name;
	return "(no row)";
}

/* Compares one run; returns how many names it has. */
static size_t compare_run(const struct run *r, const struct row *rows, size_t n)
{
	char names[1024], *save = NULL;
	unsigned number = r->first;
	size_t count = 0;

	assert_true(strlen(r->names) < sizeof(names));
	strcpy(names, r->names);
	for (char *s = strtok_r(names, " ", &save); s; s = strtok_r(NULL, " ", &save), number += r->step) {
		if (!strcmp(s, "-")) {
			assert_string_equal(row_name(rows, n, number), "(no row)");
			continue;
		}
		assert_string_equal(row_name(rows, n, number), s);
		count++;
	}
	return count;
}

static void compare(const struct run *runs, size_t nruns, const struct row *rows, size_t n)
{
	size_t count = 0;

	for (size_t i = 0; i < nruns; i++)
		count += compare_run(&runs[i], rows, n);
	assert_int_equal(count, n);
}

#define COMPARE(runs, rows) compare(runs, sizeof(runs) / sizeof(runs[0]), rows, sizeof(rows) / sizeof(rows[0]))

static void test_vmcs_fields(void **state)
{
	COMPARE(vmcs_runs, vmcs_rows);
}

static void test_exit_reasons(void **state)
{
	COMPARE(exit_runs, exit_rows);
}

static void test_controls(void **state)
{
	COMPARE(control_runs, control_rows);
}

static void test_errors(void **state)
{
	COMPARE(error_runs, error_rows);
}

/* The masks, and the bits that were reserved to 1 (SDM 3D A.3 to A.5: bit numbers as the manual lists them). */
static uint32_t mask(const char *list)
{
	uint32_t m = 0;
	unsigned bit = 0;

	for (; *list; list++) {
		if (*list == ' ') {
			m |= 1u << bit;
			bit = 0;
		} else {
			bit = bit * 10 + (unsigned)(*list - '0');
		}
	}
	return m | 1u << bit;
}

static void test_default1(void **state)
{
	assert_int_equal(PIN_DEFAULT1, mask("1 2 4"));
	assert_int_equal(PROC_DEFAULT1, mask("1 4 5 6 8 13 14 15 16 26"));
	assert_int_equal(VMEXIT_DEFAULT1, mask("0 1 2 3 4 5 6 7 8 10 11 13 14 16 17"));
	assert_int_equal(VMENTRY_DEFAULT1, mask("0 1 2 3 4 5 6 7 8 12"));
	assert_int_equal(PROC_SECONDARY_CONTROLS, 0x80000000u);
	assert_int_equal(PROC2_ENABLE_PML, 0x20000);
	assert_int_equal(VMEXIT_HOST_64, 0x200);
	assert_int_equal(VMENTRY_IA32E_GUEST, 0x200);
}

static void test_names(void **state)
{
	assert_string_equal(vmcs_field_name(0x681e), "GUEST_RIP");
	assert_string_equal(vmcs_field_name(0x681f), "?");
	assert_string_equal(exit_reason_name(62), "PML_FULL");
	assert_string_equal(exit_reason_name(35), "?");
	assert_string_equal(vmx_control_name(VMX_KIND_PROC2, 17), "ENABLE_PML");
	assert_string_equal(vmx_error_text(12), "VMREAD/VMWRITE from/to unsupported VMCS component");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vmcs_fields), cmocka_unit_test(test_exit_reasons), cmocka_unit_test(test_controls),
		cmocka_unit_test(test_errors),	    cmocka_unit_test(test_default1),	 cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("arch: VT-x tables", tests, NULL, NULL);
}
