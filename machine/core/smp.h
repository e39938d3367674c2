/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several CPUs on one host thread. The CPU that is furthest behind in virtual time runs, for a bounded quantum: at most
 * until it is that much ahead of the next one, and never past a timer. So the interleaving follows from virtual time
 * alone, and an event at cycle T finds every running CPU at T or, where one instruction is longer, past it.
 *
 * Memory is seen in the order in which the host runs the CPUs: one order for all, as if stores were atomic and at once
 * visible. What has a time of its own (the TSC, devices, other CPUs' APICs) is reached in the order of virtual time:
 * smp_in_order.
 */
#ifndef OOH_MACHINE_CORE_SMP_H
#define OOH_MACHINE_CORE_SMP_H

#include "machine/cpu/cpu.h"

/* Lead of one CPU over another, in cycles: no more than an interrupt between processors takes (COST_IPI). */
#define SMP_QUANTUM 600

/* The run loop of a machine with more than one CPU. */
void smp_run(struct machine *m);

/* Something became pending on a CPU that sleeps: it goes on at this cycle. */
void smp_wake(struct cpu *c);

/* smp_in_order where there are several CPUs. */
void smp_take_turn(struct cpu *c, const struct op *o);
/* The same for a CPU that waits for others in a loop: it does so without the quantum's lead. */
void smp_pause(struct cpu *c, const struct op *o);
/* The TSC is about to be read: never below what any CPU has read. */
void smp_tsc_order(struct cpu *c);

/*
 * Instruction o is about to do what other CPUs can notice or depend on besides memory. Unless c is the one furthest
 * behind, it leaves the instruction, which runs again when its time has come: nothing of it may have been committed.
 */
static inline void smp_in_order(struct cpu *c, const struct op *o)
{
	if (unlikely(c->m->ncpus > 1))
		smp_take_turn(c, o);
}

struct snap;
void smp_snap(struct machine *m, struct snap *s);

#endif
