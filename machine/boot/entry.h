/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of the first CPU when a kernel is entered. */
#ifndef OOH_MACHINE_BOOT_ENTRY_H
#define OOH_MACHINE_BOOT_ENTRY_H

#include "machine/core/types.h"

struct cpu;
struct machine;

/* Selectors of the boot GDT; __BOOT_CS and __BOOT_DS of the Linux boot protocol. */
#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_CS32 0x20

/* Writes the GDT and points the first CPU's GDTR to it. */
void entry_gdt(struct machine *m, u64 at);
/* 64-bit mode with the page tables at cr3, interrupts off. */
void entry_long_mode(struct cpu *c, u64 cr3, u64 rip, u64 rsp);
/* 32-bit protected mode without paging, flat segments, interrupts off. */
void entry_protected_mode(struct cpu *c, u32 eip);

#endif
