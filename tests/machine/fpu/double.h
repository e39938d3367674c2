/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A processor just large enough for the FPU room's handlers: flat memory, faults that come back as a vector. */
#ifndef OOH_TESTS_MACHINE_FPU_DOUBLE_H
#define OOH_TESTS_MACHINE_FPU_DOUBLE_H

#include "machine/cpu/cpu.h"

#define NO_VECTOR 0xff
#define NOT_A_TAIL_CALL 0x100

/* A 64-bit mode processor with every feature switched on. */
struct cpu *double_new(void);
/* Runs one lowered instruction; returns the vector that it raised, or NO_VECTOR. ops[1] is overwritten by an end op. */
unsigned double_run(struct cpu *c, struct op ops[2]);
/* Decodes the bytes and lowers them as the core would. False if the room refuses. */
bool double_lower(struct cpu *c, const u8 *bytes, unsigned n, struct op *out, ZydisDecodedInstruction *insn);
/* From now on the page at lin is in the fast path's TLB, or (hit false) nothing is. */
void double_tlb(struct cpu *c, const void *page, bool hit);
/* Addresses from here on fault (#PF); NULL: none do. */
void double_guard(const void *from);

#endif
