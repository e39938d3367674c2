/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The debugger inside the machine: GDB's remote protocol (--gdb), breakpoints, watchpoints, steps, and --dump-on-exit.
 * An attached debugger that has nothing set and does not stop the machine changes no cycle of the run.
 */
#ifndef OOH_MACHINE_DEBUG_DEBUG_H
#define OOH_MACHINE_DEBUG_DEBUG_H

#include "machine/cpu/cpu.h"

struct block;
struct machine_config;

/* Opens the socket and waits for the debugger if the configuration says so. 0, or a status with a line on stderr. */
int debug_open(struct machine *m, const struct machine_config *cfg);
/* The machine has stopped: tells the debugger, prints what --dump-on-exit asks for. */
void debug_close(struct machine *m);

/* Between two instructions of the whole machine: serves the debugger if it is to stop here. */
void debug_stop_point(struct machine *m);
/* Looks whether the debugger wants something; what it wants happens at the next stop point. */
void debug_input(struct machine *m);
/* cpu_run(), or one step if that is what the debugger wants of this CPU. */
void debug_run_cpu(struct cpu *c);

/* decode.c: a block has been decoded; is there a breakpoint at this offset of a page? */
void debug_decoded(struct cpu *c, struct block *b);
bool debug_breaks_at(const struct machine *m, u64 offset);

static inline void debug_boundary(struct machine *m)
{
	if (unlikely(m->debug))
		debug_stop_point(m);
}

static inline void debug_poll(struct machine *m)
{
	if (unlikely(m->debug))
		debug_input(m);
}

static inline void debug_run(struct cpu *c)
{
	if (unlikely(c->m->debug))
		debug_run_cpu(c);
	else
		cpu_run(c);
}

#endif
