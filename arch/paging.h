/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * Bits of paging-structure entries, EPT entries and the EPT pointer, page-fault error codes, and CR3.
 * Source: SDM 3A "4-Level Paging and 5-Level Paging" (4.5, tables 4-14 to 4-20), "Page-Fault Exceptions" (4.7);
 * SDM 3C "The Extended Page Table Mechanism (EPT)" (29.3, tables 29-1 to 29-7), table 25-9 "Format of EPTP".
 */
#ifndef OOH_ARCH_PAGING_H
#define OOH_ARCH_PAGING_H

#include "arch/bits.h"

/* Guest (ordinary) paging-structure entries: PML5E, PML4E, PDPTE, PDE, PTE. */
#define PTE_P        BIT64(0)
#define PTE_RW       BIT64(1)
#define PTE_US       BIT64(2)
#define PTE_PWT      BIT64(3)
#define PTE_PCD      BIT64(4)
#define PTE_A        BIT64(5)
#define PTE_D        BIT64(6) /* leaf only */
#define PTE_PS       BIT64(7) /* PDPTE and PDE: maps a page */
#define PTE_PAT_4K   BIT64(7) /* PTE */
#define PTE_G        BIT64(8)
#define PTE_PAT_LARGE BIT64(12) /* leaf PDPTE and PDE */
#define PTE_ADDRESS  BITS(51, 12)
#define PTE_ADDRESS_2M BITS(51, 21)
#define PTE_ADDRESS_1G BITS(51, 30)
#define PTE_PKEY     BITS(62, 59)
#define PTE_PKEY_SHIFT 59
/* PKRU: two bits a key. SDM 3A "Protection Keys" (4.6.2). */
#define PKRU_AD(key) BIT32(2 * (key))     /* no data accesses */
#define PKRU_WD(key) BIT32(2 * (key) + 1) /* no writes */
#define PTE_NX       BIT64(63) /* the manual's XD */
/* PAE paging's PDPTEs (table 4-8): reserved bits besides those above the physical-address width */
#define PAE_PDPTE_RESERVED (BITS(2, 1) | BITS(8, 5) | BITS(63, 52))

/* CR3. */
#define CR3_PWT      BIT64(3)
#define CR3_PCD      BIT64(4)
#define CR3_PCID     BITS(11, 0) /* with CR4.PCIDE */
#define CR3_ADDRESS  BITS(51, 12)
#define CR3_PAE_ADDRESS BITS(31, 5)
#define CR3_KEEP_TLB BIT64(63) /* in the source of MOV to CR3, with CR4.PCIDE: do not flush */

/* Page-fault error code, pushed with #PF. */
#define PFEC_P    BIT32(0) /* 0: not present; 1: protection */
#define PFEC_W    BIT32(1)
#define PFEC_U    BIT32(2)
#define PFEC_RSVD BIT32(3)
#define PFEC_I    BIT32(4)
#define PFEC_PK   BIT32(5)
#define PFEC_SS   BIT32(6)
#define PFEC_HLAT BIT32(7)
#define PFEC_SGX  BIT32(15)

/* EPT entries. */
#define EPT_R        BIT64(0)
#define EPT_W        BIT64(1)
#define EPT_X        BIT64(2) /* with mode-based execute control: supervisor-mode linear addresses only */
#define EPT_RWX      BITS(2, 0)
#define EPT_MT       BITS(5, 3) /* leaf: memory type, MEMTYPE_* */
#define EPT_MT_SHIFT 3
#define EPT_IPAT     BIT64(6) /* leaf: ignore PAT */
#define EPT_PS       BIT64(7) /* PDPTE and PDE: maps a page */
#define EPT_A        BIT64(8)
#define EPT_D        BIT64(9) /* leaf only */
#define EPT_UX       BIT64(10) /* with mode-based execute control: user-mode linear addresses */
#define EPT_ADDRESS  BITS(51, 12)
#define EPT_ADDRESS_2M BITS(51, 21)
#define EPT_ADDRESS_1G BITS(51, 30)
#define EPT_VGP      BIT64(57) /* leaf: verify guest paging */
#define EPT_PW       BIT64(58) /* leaf: paging-write access */
#define EPT_SSS      BIT64(60) /* leaf: supervisor shadow stack */
#define EPT_SPP      BIT64(61) /* 4-KiB leaf: sub-page write permissions */
#define EPT_SVE      BIT64(63) /* suppress #VE */
/* Bits that are reserved in an entry that points to another table (below the physical-address width). */
#define EPT_TABLE_RESERVED BITS(7, 3)

/* EPT pointer. */
#define EPTP_MT         BITS(2, 0)
#define EPTP_WALK       BITS(5, 3) /* page-walk length minus 1 */
#define EPTP_WALK_SHIFT 3
#define EPTP_WALK_4     BITS(4, 3) /* the value 3 in place */
#define EPTP_WALK_5     BIT64(5)   /* 4 */
#define EPTP_AD         BIT64(6)
#define EPTP_SSS        BIT64(7)
#define EPTP_ADDRESS    BITS(51, 12)

/*
 * Sub-page permissions: SPPT entries. SDM 3C "Sub-Page Write Permissions" (29.3.4). Sub-page n: write bit 2n of the
 * leaf.
 */
#define SPP_VALID          BIT64(0) /* tables above the leaf */
#define SPP_ADDRESS        BITS(51, 12)
#define SPP_WRITE(n)       BIT64(2 * (n))
#define SPP_LEAF_RESERVED  0xaaaaaaaaaaaaaaaaull
#define SPP_SUBPAGE_SHIFT  7

/* Sizes. Level 1 is the 4-KiB leaf, level 4 the PML4. */
#define PAGE_SHIFT_4K  12
#define PAGE_SHIFT_2M  21
#define PAGE_SHIFT_1G  30
#define PAGE_TABLE_ENTRIES 512
#define PAGE_LEVEL_SHIFT(level)      (12 + 9 * ((level) - 1))
#define PAGE_LEVEL_INDEX(addr, level) (((addr) >> PAGE_LEVEL_SHIFT(level)) & 0x1ff)

#endif
