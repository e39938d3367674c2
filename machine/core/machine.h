/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole machine: one struct, passed explicitly; nothing of the guest's state is global. */
#ifndef OOH_MACHINE_CORE_MACHINE_H
#define OOH_MACHINE_CORE_MACHINE_H

#include "machine/core/bus.h"
#include "machine/core/clock.h"
#include "machine/core/costs.h"
#include "machine/core/types.h"

#define MACHINE_MAX_CPUS 8
#define EXIT_REASON_SLOTS 80

enum counter {
#define COUNTER(name, text) STAT_##name,
#include "machine/core/counters.def"
#undef COUNTER
	STAT_COUNT
};

struct cpu;
struct devices; /* machine/dev/dev.h */
struct oracle;  /* machine/oracle/oracle.h */

struct machine {
	struct bus bus;
	struct clock clock;
	const struct cost_table *costs;
	struct cpu *cpu[MACHINE_MAX_CPUS];
	unsigned ncpus;
	struct devices *dev;
	struct oracle *oracle;
	u64 stat[STAT_COUNT];
	u64 exits[EXIT_REASON_SLOTS]; /* VM exits by basic reason */
	u64 exit_cycles[EXIT_REASON_SLOTS]; /* virtual cycles from exit to the next entry, by reason */
	u64 seed; /* of RDRAND, RDSEED and everything else that looks random */
	bool stop; /* set by power-off, reset, exit port, triple fault: the run loop ends */
	int exit_status;
	const char *stop_reason;
};

static inline void stat_add(struct machine *m, enum counter k, u64 n)
{
	m->stat[k] += n;
}

/* Ends the run. reason: a static string for the last line on stderr; status: the program's exit status. */
void machine_stop(struct machine *m, int status, const char *reason);

/*
 * Something that the machine does not implement: prints RIP, bytes, mode and what was asked, and stops with status 70.
 * Never returns into the instruction (unwinds to the run loop).
 */
struct op;
_Noreturn void machine_unimplemented(struct cpu *c, const struct op *o, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
