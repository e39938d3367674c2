/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What VT-x does, as a record: exits and entries, injected events, interrupts and page faults (--trace), and figures of
 * exits by reason (--exit-stats). It costs no virtual time. While both options are off, a hook is one branch on
 * machine.tracer.
 */
#ifndef OOH_MACHINE_DEBUG_TRACE_H
#define OOH_MACHINE_DEBUG_TRACE_H

#include "machine/cpu/cpu.h"

/* What --trace-events names. */
#define TRACE_EXITS      0x1u /* VM exits and the entries that follow them */
#define TRACE_INJECTIONS 0x2u /* events injected by VM entries */
#define TRACE_IRQ        0x4u /* interrupts and NMIs delivered through the IDT */
#define TRACE_PF         0x8u /* page faults delivered through the IDT */
#define TRACE_ALL        0xfu

struct machine_config;
struct tracer;

/* A comma-separated list of names into TRACE_* bits; false if one is unknown or the list is empty. */
bool trace_parse_events(const char *list, unsigned *mask);

/* Opens the file and sets m->tracer if the configuration asks for either; 0, or a status with a line on stderr. */
int trace_open(struct machine *m, const struct machine_config *cfg);
/* Ends the file, prints the table on stderr; false with a line on stderr if the file could not be written. */
bool trace_close(struct machine *m);

/* Use the trace_* functions below. */
void tracer_exit(struct cpu *c, u32 reason, u64 qual);
void tracer_entry(struct cpu *c);
void tracer_event(struct cpu *c, const struct event *e, bool injected);

/*
 * A VM exit, when the exit-information fields are not written yet but c->vmx.exit_at is. reason: as in the field, with
 * EXIT_REASON_ENTRY_FAILURE if it is a failed entry.
 */
static inline void trace_exit(struct cpu *c, u32 reason, u64 qual)
{
	if (unlikely(c->m->tracer))
		tracer_exit(c, reason, qual);
}

/* A VM entry that succeeds: guest state is loaded, nothing is injected yet. */
static inline void trace_entry(struct cpu *c)
{
	if (unlikely(c->m->tracer))
		tracer_entry(c);
}

/* An event is about to go through the IDT. */
static inline void trace_event(struct cpu *c, const struct event *e, bool injected)
{
	if (unlikely(c->m->tracer))
		tracer_event(c, e, injected);
}

#endif
