/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * Registers and tables of the architecture outside VT-x and paging: control registers, EFER, flags, debug
 * registers, vectors, descriptors, segments. Source: SDM 3A "Control Registers" (2.5), "Extended Feature Enable
 * Register" (2.2.1), "System Flags and Fields in the EFLAGS Register" (2.3), "Segment Descriptors" (3.4.5),
 * "Exception and Interrupt Reference" (6.15); SDM 3B "Debug Registers" (18.2); SDM 1 "EFLAGS Register" (3.4.3).
 */
#ifndef OOH_ARCH_X86_H
#define OOH_ARCH_X86_H

#include "arch/bits.h"

#define CR0_PE BIT64(0)
#define CR0_MP BIT64(1)
#define CR0_EM BIT64(2)
#define CR0_TS BIT64(3)
#define CR0_ET BIT64(4)
#define CR0_NE BIT64(5)
#define CR0_WP BIT64(16)
#define CR0_AM BIT64(18)
#define CR0_NW BIT64(29)
#define CR0_CD BIT64(30)
#ifdef __ASSEMBLER__
#define CR0_PG 0x80000000
#else
#define CR0_PG BIT64(31)
#endif

#define CR4_VME        BIT64(0)
#define CR4_PVI        BIT64(1)
#define CR4_TSD        BIT64(2)
#define CR4_DE         BIT64(3)
#define CR4_PSE        BIT64(4)
#define CR4_PAE        BIT64(5)
#define CR4_MCE        BIT64(6)
#define CR4_PGE        BIT64(7)
#define CR4_PCE        BIT64(8)
#define CR4_OSFXSR     BIT64(9)
#define CR4_OSXMMEXCPT BIT64(10)
#define CR4_UMIP       BIT64(11)
#define CR4_LA57       BIT64(12)
#define CR4_VMXE       BIT64(13)
#define CR4_SMXE       BIT64(14)
#define CR4_FSGSBASE   BIT64(16)
#define CR4_PCIDE      BIT64(17)
#define CR4_OSXSAVE    BIT64(18)
#define CR4_KL         BIT64(19)
#define CR4_SMEP       BIT64(20)
#define CR4_SMAP       BIT64(21)
#define CR4_PKE        BIT64(22)
#define CR4_CET        BIT64(23)
#define CR4_PKS        BIT64(24)

/* The kernel has these three under the same names and values. */
#ifdef __KERNEL__
#include <asm/msr-index.h>
#else
#define EFER_SCE BIT64(0)
#define EFER_LME BIT64(8)
#define EFER_LMA BIT64(10)
#endif
#define EFER_NXE BIT64(11)

#define EFLAGS_CF   BIT64(0)
#define EFLAGS_ONE  BIT64(1) /* reads as 1 */
#define EFLAGS_PF   BIT64(2)
#define EFLAGS_AF   BIT64(4)
#define EFLAGS_ZF   BIT64(6)
#define EFLAGS_SF   BIT64(7)
#define EFLAGS_TF   BIT64(8)
#define EFLAGS_IF   BIT64(9)
#define EFLAGS_DF   BIT64(10)
#define EFLAGS_OF   BIT64(11)
#define EFLAGS_IOPL BITS(13, 12)
#define EFLAGS_IOPL_SHIFT 12
#define EFLAGS_NT   BIT64(14)
#define EFLAGS_RF   BIT64(16)
#define EFLAGS_VM   BIT64(17)
#define EFLAGS_AC   BIT64(18)
#define EFLAGS_VIF  BIT64(19)
#define EFLAGS_VIP  BIT64(20)
#define EFLAGS_ID   BIT64(21)
#define EFLAGS_RESERVED_0 (BIT64(3) | BIT64(5) | BIT64(15) | BITS(63, 22))
#define EFLAGS_ARITHMETIC (EFLAGS_CF | EFLAGS_PF | EFLAGS_AF | EFLAGS_ZF | EFLAGS_SF | EFLAGS_OF)

/* Debug status and control. DR6_INIT and DR7_INIT are the values after reset. */
#define DR6_B       BITS(3, 0)
#define DR6_BD      BIT64(13)
#define DR6_BS      BIT64(14)
#define DR6_BT      BIT64(15)
#define DR6_RTM     BIT64(16) /* 0 inside a transaction */
#define DR6_INIT    0xffff0ff0
#define DR6_WRITABLE (DR6_B | DR6_BD | DR6_BS | DR6_BT)
#define DR7_L(n)    BIT64(2 * (n))
#define DR7_G(n)    BIT64(2 * (n) + 1)
#define DR7_ENABLES BITS(7, 0)
#define DR7_LE      BIT64(8)
#define DR7_GE      BIT64(9)
#define DR7_FIXED1  BIT64(10)
#define DR7_RTM     BIT64(11)
#define DR7_GD      BIT64(13)
#define DR7_FIXED0  (BIT64(12) | BITS(15, 14))
#define DR7_RW(dr7, n)  (((dr7) >> (16 + 4 * (n))) & 3) /* 0 execute, 1 write, 2 I/O, 3 read or write */
#define DR7_LEN(dr7, n) (((dr7) >> (18 + 4 * (n))) & 3) /* 0: 1 byte, 1: 2, 2: 8, 3: 4 */
#define DR7_INIT    0x400

/* Exception vectors. */
#define VEC_DE  0
#define VEC_DB  1
#define VEC_NMI 2
#define VEC_BP  3
#define VEC_OF  4
#define VEC_BR  5
#define VEC_UD  6
#define VEC_NM  7
#define VEC_DF  8
#define VEC_TS  10
#define VEC_NP  11
#define VEC_SS  12
#define VEC_GP  13
#define VEC_PF  14
#define VEC_MF  16
#define VEC_AC  17
#define VEC_MC  18
#define VEC_XM  19
#define VEC_VE  20
#define VEC_CP  21
/* Bit n set: exception n pushes an error code. */
#define VEC_ERROR_CODE_MASK (BIT32(VEC_DF) | BIT32(VEC_TS) | BIT32(VEC_NP) | BIT32(VEC_SS) | BIT32(VEC_GP) | \
			     BIT32(VEC_PF) | BIT32(VEC_AC) | BIT32(VEC_CP))
/* Error codes that name a selector. */
#define ERROR_EXT BIT32(0)
#define ERROR_IDT BIT32(1)
#define ERROR_TI  BIT32(2)

/* Selectors. */
#define SELECTOR_RPL   BITS(1, 0)
#define SELECTOR_TI    BIT32(2)
#define SELECTOR_INDEX BITS(15, 3)

/* Access rights of a descriptor, as bits of its upper 32-bit word shifted right by 8 (LAR without the shift). */
#define DESC_TYPE      BITS(3, 0)
#define DESC_S         BIT32(4)
#define DESC_DPL       BITS(6, 5)
#define DESC_DPL_SHIFT 5
#define DESC_P         BIT32(7)
#define DESC_AVL       BIT32(12)
#define DESC_L         BIT32(13)
#define DESC_DB        BIT32(14)
#define DESC_G         BIT32(15)

/* Type bits of code and data descriptors (S = 1). */
#define SEG_TYPE_A     BIT32(0) /* accessed */
#define SEG_TYPE_W     BIT32(1) /* data: writable */
#define SEG_TYPE_E     BIT32(2) /* data: expand down */
#define SEG_TYPE_R     BIT32(1) /* code: readable */
#define SEG_TYPE_C     BIT32(2) /* code: conforming */
#define SEG_TYPE_CODE  BIT32(3)
/* System types (S = 0); 16-bit ones are invalid in IA-32e mode. */
#define SYS_TYPE_TSS16_AVAIL 1
#define SYS_TYPE_LDT         2
#define SYS_TYPE_TSS16_BUSY  3
#define SYS_TYPE_CALL16      4
#define SYS_TYPE_TASK_GATE   5
#define SYS_TYPE_INTR16      6
#define SYS_TYPE_TRAP16      7
#define SYS_TYPE_TSS_AVAIL   9
#define SYS_TYPE_TSS_BUSY    11
#define SYS_TYPE_CALL        12
#define SYS_TYPE_INTR        14
#define SYS_TYPE_TRAP        15

/* 64-bit task-state segment. SDM 3A figure 8-11. */
#define TSS64_RSP0      4
#define TSS64_IST1      36
#define TSS64_IOPB      102
#define TSS64_SIZE      104

/* XCR0. */
#define XCR0_X87     BIT64(0)
#define XCR0_SSE     BIT64(1)
#define XCR0_AVX     BIT64(2)
#define XCR0_BNDREGS BIT64(3)
#define XCR0_BNDCSR  BIT64(4)
#define XCR0_OPMASK  BIT64(5)
#define XCR0_ZMM_HI  BIT64(6)
#define XCR0_HI16    BIT64(7)
#define XCR0_PKRU    BIT64(9)

/* Numbers of the general registers in instructions and exit qualifications. */
#define REG_RAX 0
#define REG_RCX 1
#define REG_RDX 2
#define REG_RBX 3
#define REG_RSP 4
#define REG_RBP 5
#define REG_RSI 6
#define REG_RDI 7

#endif
