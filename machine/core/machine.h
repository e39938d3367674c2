/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The whole machine: one struct, passed explicitly; nothing of the guest's state is global. */
#ifndef OOH_MACHINE_CORE_MACHINE_H
#define OOH_MACHINE_CORE_MACHINE_H

#include "machine/core/bus.h"
#include "machine/core/clock.h"
#include "machine/core/costs.h"
#include "machine/core/types.h"

#define MACHINE_MAX_CPUS 8

/* Exit statuses of the program. The guest's own, by the exit port, are odd (code*2+1); power-off is 0. */
enum machine_status {
	STATUS_OK = 0,
	STATUS_USAGE = 2,
	STATUS_ENVIRONMENT = 3,     /* a file, the host's memory … */
	STATUS_UNIMPLEMENTED = 70,  /* the guest asked for what the machine does not have */
	STATUS_TRIPLE_FAULT = 72,
	STATUS_RESET = 74,          /* the guest asked for a reset (a kernel that panics does) */
	STATUS_DEADLOCK = 76,       /* halted, and nothing can ever wake it */
	STATUS_INTERRUPTED = 78,    /* Ctrl-A x */
	STATUS_LIMIT = 124,         /* --max-cycles */
};

#define EXIT_REASON_SLOTS 80u
#define VECTOR_SLOTS 32u

enum counter {
#define COUNTER(name, text) STAT_##name,
#include "abi/machine_counters.def"
#undef COUNTER
	STAT_COUNT
};

struct cpu;
struct devices; /* machine/dev/dev.h */
struct oracle;  /* machine/oracle/oracle.h */
struct tracer;  /* machine/debug/trace.h */
struct debug;   /* machine/debug/debug.h */
struct watch_hooks; /* machine/debug/hooks.h */
struct digest;  /* machine/core/digest.h */

struct machine {
	struct bus bus;
	struct clock clock;
	const struct cost_table *costs;
	struct cpu *cpu[MACHINE_MAX_CPUS];
	unsigned ncpus;
	struct cpu *running; /* the one whose time machine_now() is; NULL between the quanta of several CPUs */
	struct devices *dev;
	struct oracle *oracle;
	struct tracer *tracer; /* --trace, --exit-stats; NULL: off */
	struct debug *debug;   /* --gdb, --dump-on-exit; NULL: off */
	struct digest *digest; /* --digest; NULL: off */
	const struct watch_hooks *watch; /* NULL: nothing is watched */
	u64 stat[STAT_COUNT];
	u64 exits[EXIT_REASON_SLOTS]; /* VM exits by basic reason */
	u64 exit_cycles[EXIT_REASON_SLOTS]; /* virtual cycles from exit to the next entry, by reason */
	u64 vector_exits[VECTOR_SLOTS], vector_cycles[VECTOR_SLOTS]; /* the same of exits by exceptions and NMIs, by vector */
	u64 seed; /* of RDRAND, RDSEED and everything else that looks random */
	bool stop; /* set by power-off, reset, exit port, triple fault: the run loop ends */
	int exit_status;
	const char *stop_reason;
	struct cpu *stopped_by; /* the CPU that ran then, or NULL */
	const struct machine_config *cfg;
	const char *snapshot_wanted; /* directory: the run loop saves there at the next boundary */
	u64 snapshot_block;          /* physical address of the control block that asked (0: none) */
	u64 insns_at_start;          /* instructions before this process ran (resumed machines) */
	u64 host_start_ns;           /* host clock: only for --stats */
};

static inline void stat_add(struct machine *m, enum counter k, u64 n)
{
	m->stat[k] += n;
}

/* SplitMix64 (Steele, Lea, Flood 2014): all of the machine's randomness comes from its seed. */
static inline u64 machine_random(struct machine *m)
{
	u64 z = m->seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/*
 * The machine's life: allocates and connects everything by the configuration (0, or a status with a line on stderr),
 * and loads the kernel or the snapshot. cfg must live as long as the machine; a resume overwrites in it what the
 * snapshot decides.
 */
struct machine_config;
int machine_init(struct machine *m, struct machine_config *cfg);
/* Runs until something stops it; returns the exit status. */
int machine_run(struct machine *m);
/* The cycle now, seen by a device. */
u64 machine_now(const struct machine *m);

/* Ends the run. reason: a static string for the last line on stderr; status: the program's exit status. */
void machine_stop(struct machine *m, int status, const char *reason);

/* Prints where a CPU is, on stderr: RIP, mode, control registers, the bytes there. */
void machine_print_cpu(struct cpu *c);

/*
 * Something that the machine does not implement: prints RIP, bytes, mode and what was asked, and stops with status 70.
 * Never returns into the instruction (unwinds to the run loop).
 */
struct op;
_Noreturn void machine_unimplemented(struct cpu *c, const struct op *o, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
