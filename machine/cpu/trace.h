/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line per instruction, for those who debug the machine or its guest. */
#ifndef OOH_MACHINE_CPU_TRACE_H
#define OOH_MACHINE_CPU_TRACE_H

struct cpu;

/* Prints cycle, RIP, bytes, disassembly and registers of the instruction at c->rip on stderr; changes nothing. */
void trace_insn(struct cpu *c);

#endif
