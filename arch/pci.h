/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * PCI configuration space. Source: PCI Local Bus Specification 3.0, chapter 6 "Configuration Space" and 6.8 "Message
 * Signaled Interrupts" (MSI-X).
 */
#ifndef OOH_ARCH_PCI_H
#define OOH_ARCH_PCI_H

/* Registers of a type 0 header, by byte offset. */
#define PCI_VENDOR     0x00
#define PCI_DEVICE     0x02
#define PCI_COMMAND    0x04
#define PCI_STATUS     0x06
#define PCI_REVISION   0x08
#define PCI_CLASS      0x09 /* interface, subclass, class */
#define PCI_CACHE_LINE 0x0c
#define PCI_LATENCY    0x0d
#define PCI_BAR0       0x10
#define PCI_SUBSYSTEM_VENDOR 0x2c
#define PCI_SUBSYSTEM  0x2e
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN  0x3d
#define PCI_HEADER_END 0x40

#define PCI_COMMAND_IO         0x0001
#define PCI_COMMAND_MEMORY     0x0002
#define PCI_COMMAND_MASTER     0x0004
#define PCI_COMMAND_PARITY     0x0040
#define PCI_COMMAND_SERR       0x0100
#define PCI_COMMAND_NO_INTX    0x0400
#define PCI_STATUS_INTERRUPT   0x0008
#define PCI_STATUS_CAPABILITIES 0x0010

/* The MSI-X capability: message control at 2, table at 4, pending bits at 8. */
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_MSIX   0x11
#define PCI_MSIX_CONTROL 2
#define PCI_MSIX_TABLE   4
#define PCI_MSIX_PENDING 8
#define PCI_MSIX_BYTES   12
#define PCI_MSIX_ENABLE  0x8000
#define PCI_MSIX_MASK    0x4000 /* of the whole function */
#define PCI_MSIX_ENTRY   16     /* bytes of a table entry: address, upper address, data, control */
#define PCI_MSIX_ENTRY_MASKED 1 /* in its control word */

#endif
