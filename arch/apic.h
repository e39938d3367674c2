/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * Local APIC and I/O APIC registers. Offsets are those of the memory-mapped local APIC; the x2APIC MSR is
 * 0x800 + offset / 16.
 * Source: SDM 3A chapter 11 "Advanced Programmable Interrupt Controller (APIC)", table 11-1, figures 11-8, 11-12,
 * 11-28; I/O APIC: Intel 82093AA data sheet (290566-001), section 3.
 */
#ifndef OOH_ARCH_APIC_H
#define OOH_ARCH_APIC_H

#include "arch/bits.h"

#define LAPIC_ID            0x020
#define LAPIC_VERSION       0x030
#define LAPIC_TPR           0x080
#define LAPIC_APR           0x090
#define LAPIC_PPR           0x0a0
#define LAPIC_EOI           0x0b0
#define LAPIC_RRD           0x0c0
#define LAPIC_LDR           0x0d0
#define LAPIC_DFR           0x0e0
#define LAPIC_SVR           0x0f0
#define LAPIC_ISR           0x100 /* 8 registers, 0x10 apart */
#define LAPIC_TMR           0x180
#define LAPIC_IRR           0x200
#define LAPIC_ESR           0x280
#define LAPIC_LVT_CMCI      0x2f0
#define LAPIC_ICR_LOW       0x300
#define LAPIC_ICR_HIGH      0x310
#define LAPIC_LVT_TIMER     0x320
#define LAPIC_LVT_THERMAL   0x330
#define LAPIC_LVT_PMI       0x340
#define LAPIC_LVT_LINT0     0x350
#define LAPIC_LVT_LINT1     0x360
#define LAPIC_LVT_ERROR     0x370
#define LAPIC_TIMER_INITIAL 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE  0x3e0
#define LAPIC_SELF_IPI      0x3f0 /* x2APIC only */
#define LAPIC_SIZE          0x1000

#define SVR_VECTOR          BITS(7, 0)
#define SVR_ENABLE          BIT32(8)
#define SVR_EOI_SUPPRESS    BIT32(12)
#define LAPIC_VERSION_EOI_SUPPRESS BIT32(24)
#define LAPIC_VERSION_MAX_LVT_SHIFT 16

/* Delivery modes, in place (bits 10:8) in ICR and LVT. */
#define DELIVERY_MODE       BITS(10, 8)
#define DELIVERY_FIXED      (0 << 8)
#define DELIVERY_LOWEST     (1 << 8)
#define DELIVERY_SMI        (2 << 8)
#define DELIVERY_NMI        (4 << 8)
#define DELIVERY_INIT       (5 << 8)
#define DELIVERY_SIPI       (6 << 8)
#define DELIVERY_EXTINT     (7 << 8)

#define ICR_VECTOR          BITS(7, 0)
#define ICR_LOGICAL         BIT32(11)
#define ICR_PENDING         BIT32(12)
#define ICR_ASSERT          BIT32(14)
#define ICR_LEVEL           BIT32(15)
#define ICR_SHORTHAND       BITS(19, 18)
#define ICR_TO_SELF         (1 << 18)
#define ICR_TO_ALL          (2 << 18)
#define ICR_TO_OTHERS       (3 << 18)
#define ICR_DEST_SHIFT        24 /* in ICR_HIGH */
#define ICR_X2APIC_DEST_SHIFT 32 /* in the 64-bit MSR */

#define LVT_VECTOR          BITS(7, 0)
#define LVT_PENDING         BIT32(12)
#define LVT_ACTIVE_LOW      BIT32(13)
#define LVT_REMOTE_IRR      BIT32(14)
#define LVT_LEVEL           BIT32(15)
#define LVT_MASKED          BIT32(16)
#define LVT_TIMER_MODE      BITS(18, 17)
#define LVT_TIMER_ONESHOT   (0 << 17)
#define LVT_TIMER_PERIODIC  (1 << 17)
#define LVT_TIMER_DEADLINE  (2 << 17)

#define ESR_SEND_ILLEGAL    BIT32(5)
#define ESR_RECEIVE_ILLEGAL BIT32(6)
#define ESR_REGISTER        BIT32(7)

/* I/O APIC: two memory-mapped registers, then indexed ones. */
#define IOAPIC_BASE_DEFAULT 0xfec00000
#define IOAPIC_REGSEL       0x00
#define IOAPIC_WINDOW       0x10
#define IOAPIC_EOI          0x40 /* version 0x20 */
#define IOAPIC_ID           0x00
#define IOAPIC_VERSION      0x01
#define IOAPIC_ARB          0x02
#define IOAPIC_REDIR        0x10 /* two registers a pin */
/* Redirection entry, low word: vector, delivery mode as above */
#define REDIR_LOGICAL       BIT32(11)
#define REDIR_PENDING       BIT32(12)
#define REDIR_ACTIVE_LOW    BIT32(13)
#define REDIR_REMOTE_IRR    BIT32(14)
#define REDIR_LEVEL         BIT32(15)
#define REDIR_MASKED        BIT32(16)
#define REDIR_DEST_SHIFT    56

/* Fields of an MSI address and data, which an I/O APIC message has too. SDM 3A 11.11. */
#define MSI_ADDRESS_BASE    0xfee00000
#define MSI_DEST_SHIFT      12
#define MSI_REDIRECT_HINT   BIT32(3)
#define MSI_LOGICAL         BIT32(2)

#endif
