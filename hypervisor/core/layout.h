/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The address space of root mode. All of it lies in the 8 TiB that Linux leaves to hypervisors (its "guard hole" below
 * 0xffff880000000000): no translation cached while Linux ran natively under VPID 0 can be mistaken for one of ours.
 */
#ifndef OOH_HV_LAYOUT_H
#define OOH_HV_LAYOUT_H

#define HV_DIRECT_BASE 0xffff800000000000 /* + physical address: all RAM, writable */
#define HV_DIRECT_SIZE 0x0000040000000000 /* 4 TiB */
#define HV_IMAGE_BASE  0xffff860000000000 /* the image, as linked */
#define HV_CPUS_BASE   0xffff868000000000 /* + index * HV_CPU_AREA */

/* One CPU's area; the gaps are not mapped, so a stack that overflows faults. */
#define HV_CPU_AREA       0x10000
#define HV_CPU_STATE_PAGES 1
#define HV_CPU_STACK      0x2000 /* of VM exits */
#define HV_CPU_STACK_PAGES 4
#define HV_CPU_STACK_TOP  0x6000
#define HV_CPU_NMI_STACK  0x7000 /* IST 1 */
#define HV_CPU_NMI_TOP    0x8000
#define HV_CPU_FAULT_STACK 0x9000 /* IST 2: every other exception */
#define HV_CPU_FAULT_STACK_PAGES 2
#define HV_CPU_FAULT_TOP  0xb000

/* Host selectors. */
#define HV_SEL_CODE 0x08
#define HV_SEL_DATA 0x10
#define HV_SEL_TSS  0x18

#define HV_IDT_VECTORS 32 /* interrupts stay masked in root mode: only exceptions arrive */
#define HV_STUB_STRIDE 16

#endif
