/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * VT-x formats other than encodings and controls: interruption information, exit qualifications, activity and
 * interruptibility, capability MSRs, INVEPT/INVVPID, errors. Source: SDM 3C chapters 25 to 31, SDM 3D appendix A.
 */
#ifndef OOH_ARCH_VMX_H
#define OOH_ARCH_VMX_H

#include "arch/bits.h"
#include "arch/exit_reasons.h"
#include "arch/vmx_controls.h"

#ifdef __ASSEMBLER__
#define VMX_ERROR(name, number, text) .set VMXERR_##name, number;
#include "arch/vmx_errors.def"
#undef VMX_ERROR
#else
enum vmx_error {
#define VMX_ERROR(name, number, text) VMXERR_##name = number,
#include "arch/vmx_errors.def"
#undef VMX_ERROR
	VMXERR_NONE = 0
};

/* The manual's sentence for a VM-instruction error number; "?" if reserved. */
static inline const char *vmx_error_text(unsigned int number)
{
	switch (number) {
#define VMX_ERROR(name, number, text) case number: return text;
#include "arch/vmx_errors.def"
#undef VMX_ERROR
	}
	return "?";
}
#endif

/*
 * Interruption information: VM-entry, VM-exit and IDT-vectoring fields share this layout.
 * SDM 3C tables 25-14, 25-18, 25-20.
 */
#define INTR_INFO_VECTOR       BITS(7, 0)
#define INTR_INFO_TYPE         BITS(10, 8)
#define INTR_INFO_TYPE_SHIFT   8
#define INTR_INFO_ERROR_VALID  BIT32(11)
#define INTR_INFO_NMI_UNBLOCK  BIT32(12) /* VM-exit interruption information only: NMI unblocking due to IRET */
#define INTR_INFO_VALID        BIT32(31)
#define INTR_INFO_ENTRY_RESERVED  BITS(30, 12)

#define INTR_TYPE_EXTERNAL     0
#define INTR_TYPE_NMI          2
#define INTR_TYPE_HW_EXCEPTION 3
#define INTR_TYPE_SW_INTERRUPT 4 /* INT n; entry and IDT-vectoring only */
#define INTR_TYPE_PRIV_SW      5 /* privileged software exception: INT1 */
#define INTR_TYPE_SW_EXCEPTION 6 /* INT3, INTO */
#define INTR_TYPE_OTHER        7 /* VM entry only: vector 0 is a pending MTF exit */

/* Guest activity state. SDM 3C "Guest Non-Register State" (25.4.2). */
#define ACTIVITY_ACTIVE    0
#define ACTIVITY_HLT       1
#define ACTIVITY_SHUTDOWN  2
#define ACTIVITY_WAIT_SIPI 3

/* Guest interruptibility state, table 25-3. */
#define INTERRUPTIBILITY_STI      BIT32(0)
#define INTERRUPTIBILITY_MOV_SS   BIT32(1)
#define INTERRUPTIBILITY_SMI      BIT32(2)
#define INTERRUPTIBILITY_NMI      BIT32(3)
#define INTERRUPTIBILITY_ENCLAVE  BIT32(4)
#define INTERRUPTIBILITY_RESERVED BITS(31, 5)

/* Pending debug exceptions, table 25-4. */
#define PENDING_DEBUG_B        BITS(3, 0)
#define PENDING_DEBUG_ENABLED  BIT64(12)
#define PENDING_DEBUG_BS       BIT64(14)
#define PENDING_DEBUG_RTM      BIT64(16)
#define PENDING_DEBUG_RESERVED (BITS(11, 4) | BIT64(13) | BIT64(15) | BITS(63, 17))

/* Access rights of a segment in the VMCS, table 25-2: the descriptor's bits 15:8 and 23:20, and "unusable". */
#define VMX_AR_TYPE     BITS(3, 0)
#define VMX_AR_S        BIT32(4)
#define VMX_AR_DPL      BITS(6, 5)
#define VMX_AR_DPL_SHIFT 5
#define VMX_AR_P        BIT32(7)
#define VMX_AR_AVL      BIT32(12)
#define VMX_AR_L        BIT32(13)
#define VMX_AR_DB       BIT32(14)
#define VMX_AR_G        BIT32(15)
#define VMX_AR_UNUSABLE BIT32(16)
#define VMX_AR_RESERVED (BITS(11, 8) | BITS(31, 17))

/* Exit qualifications. SDM 3C "Basic VM-Exit Information and Exit Qualifications" (28.2.1). */
/* Debug exceptions, table 28-1 */
#define QUAL_DB_B   BITS(3, 0)
#define QUAL_DB_BD  BIT64(13)
#define QUAL_DB_BS  BIT64(14)
#define QUAL_DB_RTM BIT64(16)
/* Task switch, table 28-2 */
#define QUAL_TASK_SELECTOR     BITS(15, 0)
#define QUAL_TASK_SOURCE_SHIFT 30
#define QUAL_TASK_SOURCE       BITS(31, 30)
#define QUAL_TASK_CALL 0
#define QUAL_TASK_IRET 1
#define QUAL_TASK_JMP  2
#define QUAL_TASK_GATE 3
/* Control-register access, table 28-3 */
#define QUAL_CR_NUMBER       BITS(3, 0)
#define QUAL_CR_ACCESS       BITS(5, 4)
#define QUAL_CR_ACCESS_SHIFT 4
#define QUAL_CR_MOV_TO   0
#define QUAL_CR_MOV_FROM 1
#define QUAL_CR_CLTS     2
#define QUAL_CR_LMSW     3
#define QUAL_CR_LMSW_MEMORY  BIT64(6)
#define QUAL_CR_GPR          BITS(11, 8)
#define QUAL_CR_GPR_SHIFT    8
#define QUAL_CR_LMSW_SOURCE  BITS(31, 16)
#define QUAL_CR_LMSW_SHIFT   16
/* MOV DR, table 28-4 */
#define QUAL_DR_NUMBER    BITS(2, 0)
#define QUAL_DR_FROM      BIT64(4)
#define QUAL_DR_GPR       BITS(11, 8)
#define QUAL_DR_GPR_SHIFT 8
/* I/O, table 28-5 */
#define QUAL_IO_SIZE       BITS(2, 0) /* 0, 1, 3: bytes minus one */
#define QUAL_IO_IN         BIT64(3)
#define QUAL_IO_STRING     BIT64(4)
#define QUAL_IO_REP        BIT64(5)
#define QUAL_IO_IMMEDIATE  BIT64(6)
#define QUAL_IO_PORT       BITS(31, 16)
#define QUAL_IO_PORT_SHIFT 16
/* APIC access, table 28-6: the offset is undefined for guest-physical accesses */
#define QUAL_APIC_OFFSET      BITS(11, 0)
#define QUAL_APIC_TYPE        BITS(15, 12)
#define QUAL_APIC_TYPE_SHIFT  12
#define QUAL_APIC_READ  0
#define QUAL_APIC_WRITE 1
#define QUAL_APIC_FETCH 2
#define QUAL_APIC_EVENT 3 /* linear access, read or write, during event delivery */
#define QUAL_APIC_GUEST_PHYSICAL_EVENT 10
#define QUAL_APIC_GUEST_PHYSICAL       15
/* Virtualized EOI; APIC write: the offset, as above */
#define QUAL_EOI_VECTOR       BITS(7, 0)
/* EPT violation, table 28-7 */
#define QUAL_EPT_READ         BIT64(0)
#define QUAL_EPT_WRITE        BIT64(1)
#define QUAL_EPT_FETCH        BIT64(2)
#define QUAL_EPT_PERM_SHIFT   3
#define QUAL_EPT_PERM_R       BIT64(3) /* AND of the permissions on the walk; all 0: not present */
#define QUAL_EPT_PERM_W       BIT64(4)
#define QUAL_EPT_PERM_X       BIT64(5)
#define QUAL_EPT_PERM_UX      BIT64(6)
#define QUAL_EPT_GLA_VALID    BIT64(7)
#define QUAL_EPT_TRANSLATION  BIT64(8) /* with bit 7: of the linear address itself; 0: of a guest paging structure */
#define QUAL_EPT_LINEAR_US    BIT64(9)
#define QUAL_EPT_LINEAR_RW    BIT64(10)
#define QUAL_EPT_LINEAR_XD    BIT64(11)
#define QUAL_EPT_NMI_UNBLOCK  BIT64(12)
/* SPP-related event, and NMI unblocking of PML-full events: the same bits 11 and 12 */
#define QUAL_SPP_MISS         BIT64(11) /* 1: SPP miss; 0: SPP misconfiguration */
#define QUAL_PML_NMI_UNBLOCK  BIT64(12)
/* VM-entry failures: exit qualification of reasons 33 (34: number of the MSR-load entry) */
#define QUAL_ENTRY_OTHER        0
#define QUAL_ENTRY_PDPTE        2
#define QUAL_ENTRY_NMI          3
#define QUAL_ENTRY_LINK_POINTER 4

/* VM-exit instruction information. SDM 3C "Information for VM Exits Due to Instruction Execution" (28.2.5). */
#define INSN_INFO_SCALE       BITS(1, 0)
#define INSN_INFO_REG1_SHIFT  3
#define INSN_INFO_ASIZE_SHIFT 7 /* 0: 16 bits, 1: 32, 2: 64 */
#define INSN_INFO_REGISTER    BIT32(10)
#define INSN_INFO_OSIZE_SHIFT 11
#define INSN_INFO_SEG_SHIFT   15 /* 0 ES, 1 CS, 2 SS, 3 DS, 4 FS, 5 GS */
#define INSN_INFO_INDEX_SHIFT 18
#define INSN_INFO_NO_INDEX    BIT32(22)
#define INSN_INFO_BASE_SHIFT  23
#define INSN_INFO_NO_BASE     BIT32(27)
#define INSN_INFO_REG2_SHIFT  28
#define INSN_INFO_ID_SHIFT    28 /* GDTR/IDTR, LDTR/TR: instruction identity, bits 29:28 */

/* VM-exit and VM-entry MSR areas: 16-byte entries. SDM 3C table 25-12 "Format of an MSR Entry". */
#define VMX_MSR_ENTRY_SIZE  16
#define VMX_MSR_ENTRY_INDEX 0
#define VMX_MSR_ENTRY_VALUE 8

/* The VMCS region. SDM 3C "Format of the VMCS Region" (25.2). */
#define VMCS_REVISION_MASK     BITS(30, 0)
#define VMCS_REVISION_SHADOW   BIT32(31)
#define VMCS_REGION_ABORT      4 /* byte offset of the VMX-abort indicator */
#define VMX_NO_POINTER         (~0ull) /* "no current VMCS", and a VMCS link pointer that is not used */

/* VMX-abort indicators. SDM 3C "VMX Aborts" (28.7). */
#define VMX_ABORT_SAVE_MSR      1
#define VMX_ABORT_HOST_PDPTE    2
#define VMX_ABORT_CORRUPT_VMCS  3
#define VMX_ABORT_LOAD_MSR      4
#define VMX_ABORT_MACHINE_CHECK 5
#define VMX_ABORT_HOST_NOT_64   6

/* IA32_FEATURE_CONTROL. SDM 3C "Enabling and Entering VMX Operation" (24.7). */
#define FEATURE_CONTROL_LOCK       BIT64(0)
#define FEATURE_CONTROL_VMX_SMX    BIT64(1)
#define FEATURE_CONTROL_VMX        BIT64(2)

/* IA32_VMX_BASIC, SDM 3D A.1 */
#define VMX_BASIC_REVISION      BITS(30, 0)
#define VMX_BASIC_SIZE          BITS(44, 32)
#define VMX_BASIC_SIZE_SHIFT    32
#define VMX_BASIC_32BIT_ADDRESS BIT64(48)
#define VMX_BASIC_DUAL_MONITOR  BIT64(49)
#define VMX_BASIC_MEMORY_TYPE   BITS(53, 50)
#define VMX_BASIC_MEMORY_TYPE_SHIFT 50
#define VMX_BASIC_INS_OUTS      BIT64(54) /* INS/OUTS exits report instruction information */
#define VMX_BASIC_TRUE_MSRS     BIT64(55)
#define VMX_BASIC_ANY_ERROR_CODE BIT64(56) /* hardware exceptions may be injected with or without an error code */

/* IA32_VMX_MISC, SDM 3D A.6 */
#define VMX_MISC_TIMER_SHIFT     BITS(4, 0) /* the preemption timer counts every 2^this TSC cycles */
#define VMX_MISC_SAVES_LMA       BIT64(5) /* exits store EFER.LMA into "IA-32e mode guest" */
#define VMX_MISC_ACTIVITY_HLT    BIT64(6)
#define VMX_MISC_ACTIVITY_SHUTDOWN BIT64(7)
#define VMX_MISC_ACTIVITY_SIPI   BIT64(8)
#define VMX_MISC_PT_IN_VMX       BIT64(14)
#define VMX_MISC_RDMSR_SMBASE    BIT64(15)
#define VMX_MISC_CR3_TARGETS     BITS(24, 16)
#define VMX_MISC_CR3_TARGETS_SHIFT 16
#define VMX_MISC_MSR_LIST        BITS(27, 25) /* recommended longest MSR list: 512 * (this + 1) */
#define VMX_MISC_MSR_LIST_SHIFT  25
#define VMX_MISC_BLOCK_SMI       BIT64(28)
#define VMX_MISC_VMWRITE_RO      BIT64(29) /* VMWRITE can write exit-information fields */
#define VMX_MISC_INJECT_LENGTH_0 BIT64(30)

/* IA32_VMX_EPT_VPID_CAP, SDM 3D A.10 */
#define EPT_CAP_EXECUTE_ONLY      BIT64(0)
#define EPT_CAP_WALK_4            BIT64(6)
#define EPT_CAP_WALK_5            BIT64(7)
#define EPT_CAP_UC                BIT64(8)
#define EPT_CAP_WB                BIT64(14)
#define EPT_CAP_2M                BIT64(16)
#define EPT_CAP_1G                BIT64(17)
#define EPT_CAP_INVEPT            BIT64(20)
#define EPT_CAP_AD                BIT64(21)
#define EPT_CAP_VIOLATION_INFO    BIT64(22) /* advanced exit information for EPT violations */
#define EPT_CAP_SHADOW_STACK      BIT64(23)
#define EPT_CAP_INVEPT_SINGLE     BIT64(25)
#define EPT_CAP_INVEPT_ALL        BIT64(26)
#define VPID_CAP_INVVPID          BIT64(32)
#define VPID_CAP_INVVPID_ADDRESS  BIT64(40)
#define VPID_CAP_INVVPID_SINGLE   BIT64(41)
#define VPID_CAP_INVVPID_ALL      BIT64(42)
#define VPID_CAP_INVVPID_SINGLE_NONGLOBAL BIT64(43)

/* INVEPT and INVVPID types. SDM 3C "INVEPT", "INVVPID" in chapter 31. */
#define INVEPT_SINGLE 1
#define INVEPT_ALL    2
#define INVVPID_ADDRESS          0
#define INVVPID_SINGLE           1
#define INVVPID_ALL              2
#define INVVPID_SINGLE_NONGLOBAL 3

/* Sizes and offsets of the bitmaps. SDM 3C 25.6.4 and 25.6.9. */
#define MSR_BITMAP_READ_LOW   0x000
#define MSR_BITMAP_READ_HIGH  0x400
#define MSR_BITMAP_WRITE_LOW  0x800
#define MSR_BITMAP_WRITE_HIGH 0xc00
#define MSR_BITMAP_LOW_LAST   0x00001fffu
#define MSR_BITMAP_HIGH_FIRST 0xc0000000u
#define MSR_BITMAP_HIGH_LAST  0xc0001fffu
#define VMX_SHADOW_BITMAP_BITS 15 /* VMREAD and VMWRITE bitmaps: a bit for each encoding of 15 bits. SDM 3C 25.6.15 */

/* Guest interrupt status: requesting and servicing virtual interrupt. SDM 3C "Guest Non-Register State" (25.4.2). */
#define INTR_STATUS_RVI       BITS(7, 0)
#define INTR_STATUS_SVI       BITS(15, 8)
#define INTR_STATUS_SVI_SHIFT 8

/* TPR threshold. SDM 3C "Controls for APIC Virtualization" (25.6.8). */
#define TPR_THRESHOLD_CLASS    BITS(3, 0)
#define TPR_THRESHOLD_RESERVED BITS(31, 4)

/* Posted-interrupt descriptor, byte offsets. SDM 3C table 30-1 "Format of Posted-Interrupt Descriptor". */
#define POSTED_DESC_SIZE 64
#define POSTED_DESC_PIR  0  /* 256 bits, one a vector */
#define POSTED_DESC_ON   32 /* bit 0 of this byte: outstanding notification */

/* Byte offsets in the virtualization-exception information area. SDM 3C table 26-1 (26.5.7.2). */
#define VE_INFO_REASON        0
#define VE_INFO_BUSY          4 /* FFFFFFFFH until software clears it: no #VE in between */
#define VE_INFO_QUALIFICATION 8
#define VE_INFO_LINEAR        16
#define VE_INFO_PHYSICAL      24
#define VE_INFO_EPTP_INDEX    32

/* EPTP switching, VM function 0. SDM 3C "EPTP Switching" (26.5.6.3). */
#define VMFUNC_NUMBER_EPTP_SWITCHING 0
#define EPTP_LIST_ENTRIES     512

/* PML. SDM 3C "Page-Modification Logging" (29.3.6). */
#define PML_ENTRIES     512
#define PML_INDEX_START 511

#endif
