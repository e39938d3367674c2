/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests of a few instructions, and what is expected of the exit that ends them. */
#ifndef OOH_TESTS_GUEST_VMX_EXPECT_H
#define OOH_TESTS_GUEST_VMX_EXPECT_H

#include "lib.h"

/* A guest: these instructions, then VMCALL. */
#define GUEST(name, insns) \
	static __attribute__((naked)) void name(void) { asm(insns "\n1: vmcall; jmp 1b"); }
#define IF_ON (EFLAGS_ONE | EFLAGS_IF)

unsigned exit_reason(void);
/* Enters the guest. */
bool expect_reason(const char *name, unsigned want);
void expect_field(const char *name, uint32_t field, uint64_t want);

/* --- the local APIC, in xAPIC mode --- */
uint32_t apic_read(unsigned reg);
void apic_write(unsigned reg, uint32_t v);
/* To the own processor; waits until it is sent. */
void apic_send(uint32_t icr);

#endif
