/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual time. Everything is counted in cycles of the TSC. A CPU runs on a budget: the cycles left until its next
 * event. Each block of instructions takes its cost from the budget when it is entered; faults give the rest back.
 */
#ifndef OOH_MACHINE_CORE_CLOCK_H
#define OOH_MACHINE_CORE_CLOCK_H

#include "machine/core/types.h"

#define TSC_HZ 2000000000ull /* the virtual CPU: 2 GHz */
#define CRYSTAL_HZ 25000000ull /* the APIC timer's clock (CPUID 15H) */

struct machine;
struct cpu;

struct timer {
	u64 when; /* cycle at which to fire */
	void (*fire)(void *arg, u64 now); /* now: the exact cycle, >= when */
	void *arg;
	bool armed;
	const char *name;
	u64 seq;  /* order of arming, among timers of the same cycle */
	struct timer *next; /* armed timers, sorted by when, then by seq */
};

struct clock {
	struct timer *first;
	u64 seq;
	/* Of machines with several CPUs: machine/core/smp.c. */
	u64 now;         /* cycle of what happens while no CPU runs; all that do not sleep have reached it */
	u64 others;      /* the time of the CPU that is furthest behind of those that neither run nor sleep; CYCLES_NONE: all sleep */
	u64 tsc_seen;    /* the highest cycle at which any CPU has read its TSC */
	u64 next_poll;   /* host input is looked at */
	u64 next_sample; /* --profile */
};

#define CYCLES_NONE (~0ull)

/* Arms (or moves) a timer; one that lies in the past fires at the next boundary. */
void timer_set(struct machine *m, struct timer *t, u64 when);
void timer_cancel(struct machine *m, struct timer *t);
/* Fires all timers due at now, in order. */
void clock_run_due(struct machine *m, u64 now);
/* The cycle of the next timer, CYCLES_NONE without one. */
u64 clock_next(const struct machine *m);

/* Sets c->deadline to the next timer, but no later than `limit`; what cpu_now() says does not change. */
void clock_plan(struct cpu *c, u64 limit);
/* c's deadline is `when` at the latest; what cpu_now() says does not change. */
void clock_pull(struct cpu *c, u64 when);

/* A device's timer in its room's state. */
struct snap;
void timer_snap(struct machine *m, struct snap *s, const char *name, struct timer *t);
void clock_snap(struct machine *m, struct snap *s);

#endif
