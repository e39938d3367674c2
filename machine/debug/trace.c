/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two formats of one record. Text: a line when something happens, the cost of an exit on the line of the entry that
 * ends it. JSON: the array form of the trace-event format; a complete event ("X") from exit to entry, an instant one
 * for all else, times in microseconds of virtual time.
 */
#include "machine/debug/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/exit_reasons.h"
#include "arch/x86.h"
#include "machine/core/config.h"
#include "machine/vmx/vmcs.h"

#define CYCLES_PER_US ((double)TSC_HZ / 1e6)

/* An exit that no entry has followed yet. */
struct open_exit {
	bool open;
	u32 reason;
	u8 vector; /* with EXIT_EXCEPTION_NMI */
	u64 at, qual, rip;
};

/* Exits by exceptions and NMIs have a row for each vector, behind the reasons. */
#define ROWS (EXIT_REASON_SLOTS + VECTOR_SLOTS)

/* Of the exits of one row. n: those that an entry has followed; the cycles are theirs. */
struct span {
	u64 count, n, total, min, max;
};

struct tracer {
	FILE *file; /* NULL: only figures */
	const char *path;
	bool json, summary;
	const char *separator; /* between JSON events */
	unsigned events;
	struct open_exit open[MACHINE_MAX_CPUS];
	struct span span[ROWS];
};

static const struct { const char *name; unsigned bit; } event_names[] = {
	{ "exits", TRACE_EXITS }, { "injections", TRACE_INJECTIONS }, { "irq", TRACE_IRQ }, { "pf", TRACE_PF },
};

static unsigned event_bit(const char *s, size_t n)
{
	for (unsigned i = 0; i < sizeof(event_names) / sizeof(event_names[0]); i++)
		if (strlen(event_names[i].name) == n && strncmp(event_names[i].name, s, n) == 0)
			return event_names[i].bit;
	return 0;
}

bool trace_parse_events(const char *list, unsigned *mask)
{
	*mask = 0;
	for (;;) {
		size_t n = strcspn(list, ",");
		unsigned bit = event_bit(list, n);

		if (!bit)
			return false;
		*mask |= bit;
		if (!list[n])
			return true;
		list += n + 1;
	}
}

/* --- the file --- */

static bool ends_in(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && strcmp(s + n - k, suffix) == 0;
}

static void json_begin(struct tracer *t, const struct machine *m)
{
	fputs("[\n{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":{\"name\":\"ooh-machine\"}}", t->file);
	for (unsigned i = 0; i < m->ncpus; i++)
		fprintf(t->file, ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%u,\"name\":\"thread_name\","
			"\"args\":{\"name\":\"CPU %u\"}}", i, i);
	t->separator = ",\n";
}

static int open_file(struct tracer *t, const struct machine *m)
{
	t->json = ends_in(t->path, ".json");
	t->file = strcmp(t->path, "-") == 0 ? stdout : fopen(t->path, "w");
	if (!t->file) {
		fprintf(stderr, "ooh-machine: %s: %s\n", t->path, strerror(errno));
		return STATUS_ENVIRONMENT;
	}
	if (t->json)
		json_begin(t, m);
	else
		fputs("# cycle cpu event\n", t->file);
	return STATUS_OK;
}

int trace_open(struct machine *m, const struct machine_config *cfg)
{
	struct tracer *t;

	if (!cfg->trace_file && !cfg->exit_stats)
		return STATUS_OK;
	t = calloc(1, sizeof(*t));
	if (!t) {
		fprintf(stderr, "ooh-machine: --trace: out of memory\n");
		return STATUS_ENVIRONMENT;
	}
	t->path = cfg->trace_file;
	t->events = cfg->trace_events ? cfg->trace_events : TRACE_ALL;
	t->summary = cfg->exit_stats;
	m->tracer = t;
	return t->path ? open_file(t, m) : STATUS_OK;
}

static bool wanted(const struct tracer *t, unsigned event)
{
	return t->file && (t->events & event);
}

static void text_begin(const struct cpu *c, u64 at, const char *what)
{
	fprintf(c->m->tracer->file, "%" PRIu64 " %u %s", at, c->id, what);
}

/* Everything of an event up to its arguments. */
static void json_event(const struct cpu *c, const char *phase, const char *category, const char *name, u64 at)
{
	struct tracer *t = c->m->tracer;

	fprintf(t->file, "%s{\"ph\":\"%s\",\"pid\":1,\"tid\":%u,\"cat\":\"%s\",\"name\":\"%s\",\"ts\":%.4f", t->separator,
		phase, c->id, category, name, (double)at / CYCLES_PER_US);
	t->separator = ",\n";
}

static const char *failed_entry(u32 reason)
{
	return reason & EXIT_REASON_ENTRY_FAILURE ? " failed-entry" : "";
}

static const char *reason_name(u32 reason)
{
	return exit_reason_name(reason & (u32)EXIT_REASON_BASIC);
}

/* --- exits and entries --- */

static void text_exit(const struct cpu *c, const struct open_exit *x)
{
	text_begin(c, x->at, "exit");
	fprintf(c->m->tracer->file, " %s qual=%" PRIx64 " rip=%" PRIx64 "%s", reason_name(x->reason), x->qual, x->rip,
		failed_entry(x->reason));
	if (x->reason == EXIT_EXCEPTION_NMI)
		fprintf(c->m->tracer->file, " vector=%u", x->vector);
	fputc('\n', c->m->tracer->file);
}

/* until: cycle of the end, CYCLES_NONE: there is none. entered: the end is an entry, and the time counts as cost. */
static void json_exit(const struct cpu *c, const struct open_exit *x, u64 until, bool entered)
{
	FILE *f = c->m->tracer->file;

	json_event(c, until == CYCLES_NONE ? "B" : "X", "exit", reason_name(x->reason), x->at);
	if (until != CYCLES_NONE)
		fprintf(f, ",\"dur\":%.4f", (double)(until - x->at) / CYCLES_PER_US);
	fprintf(f, ",\"args\":{\"cycle\":%" PRIu64 ",\"qualification\":\"%" PRIx64 "\",\"rip\":\"%" PRIx64 "\"", x->at,
		x->qual, x->rip);
	if (x->reason == EXIT_EXCEPTION_NMI)
		fprintf(f, ",\"vector\":%u", x->vector);
	if (entered)
		fprintf(f, ",\"cost\":%" PRIu64, until - x->at);
	if (x->reason & EXIT_REASON_ENTRY_FAILURE)
		fputs(",\"failed_entry\":true", f);
	fputs("}}", f);
}

static unsigned row_of(u32 reason, u8 vector)
{
	return reason == EXIT_EXCEPTION_NMI ? EXIT_REASON_SLOTS + vector % VECTOR_SLOTS : reason & EXIT_REASON_BASIC;
}

void tracer_exit(struct cpu *c, u32 reason, u64 qual)
{
	struct tracer *t = c->m->tracer;
	struct open_exit *x = &t->open[c->id];
	u64 rip = reason & EXIT_REASON_ENTRY_FAILURE ? VMCS(c, GUEST_RIP) : c->rip;

	/* After an exit whose entry failed: the failure is an exit of its own. */
	if (x->open && t->json && wanted(t, TRACE_EXITS))
		json_exit(c, x, c->vmx.exit_at, false);
	*x = (struct open_exit){ true, reason, c->vmx.exit_vector, c->vmx.exit_at, qual, rip };
	t->span[row_of(reason, x->vector)].count++;
	if (!t->json && wanted(t, TRACE_EXITS))
		text_exit(c, x);
}

static void add_span(struct span *s, u64 cycles)
{
	s->min = s->n && s->min < cycles ? s->min : cycles;
	s->max = s->max > cycles ? s->max : cycles;
	s->total += cycles;
	s->n++;
}

/* Of the first entry, or the first one after a resume, there is no exit. */
static void text_entry(const struct cpu *c, const struct open_exit *x, u64 now)
{
	text_begin(c, now, "entry");
	if (x->open)
		fprintf(c->m->tracer->file, " %s cost=%" PRIu64, reason_name(x->reason), now - x->at);
	fprintf(c->m->tracer->file, " rip=%" PRIx64 "\n", c->rip);
}

void tracer_entry(struct cpu *c)
{
	struct tracer *t = c->m->tracer;
	struct open_exit *x = &t->open[c->id];
	u64 now = cpu_now(c);

	if (x->open)
		add_span(&t->span[row_of(x->reason, x->vector)], now - x->at);
	if (wanted(t, TRACE_EXITS) && !t->json)
		text_entry(c, x, now);
	else if (wanted(t, TRACE_EXITS) && x->open)
		json_exit(c, x, now, true);
	x->open = false;
}

/* --- events through the IDT --- */

static unsigned event_class(const struct event *e, bool injected)
{
	if (injected)
		return TRACE_INJECTIONS;
	if (e->type == EV_EXTINT || e->type == EV_NMI)
		return TRACE_IRQ;
	return e->type == EV_HW_EXCEPTION && e->vector == VEC_PF ? TRACE_PF : 0;
}

static const char *class_name(unsigned class)
{
	return class == TRACE_INJECTIONS ? "injection" : class == TRACE_IRQ ? "irq" : "pf";
}

static void event_text(const struct cpu *c, const struct event *e, unsigned class)
{
	FILE *f = c->m->tracer->file;

	text_begin(c, cpu_now(c), class_name(class));
	fprintf(f, " vector=%u", e->vector);
	if (class == TRACE_INJECTIONS)
		fprintf(f, " type=%u", e->type);
	if (e->has_error)
		fprintf(f, " error=%x", e->error);
	if (class == TRACE_PF)
		fprintf(f, " address=%" PRIx64, e->cr2_or_dr6);
	fprintf(f, " rip=%" PRIx64 " %s\n", c->rip, c->vmx.nonroot ? "non-root" : "root");
}

static void event_json(const struct cpu *c, const struct event *e, unsigned class)
{
	FILE *f = c->m->tracer->file;
	char name[32];

	snprintf(name, sizeof(name), "%s %u", class_name(class), e->vector);
	json_event(c, "i", class_name(class), name, cpu_now(c));
	fprintf(f, ",\"s\":\"t\",\"args\":{\"cycle\":%" PRIu64 ",\"vector\":%u,\"rip\":\"%" PRIx64 "\",\"nonroot\":%s",
		cpu_now(c), e->vector, c->rip, c->vmx.nonroot ? "true" : "false");
	if (e->has_error)
		fprintf(f, ",\"error\":%u", e->error);
	if (class == TRACE_PF)
		fprintf(f, ",\"address\":\"%" PRIx64 "\"", e->cr2_or_dr6);
	fputs("}}", f);
}

void tracer_event(struct cpu *c, const struct event *e, bool injected)
{
	unsigned class = event_class(e, injected);

	if (!class || !wanted(c->m->tracer, class))
		return;
	if (c->m->tracer->json)
		event_json(c, e, class);
	else
		event_text(c, e, class);
}

/* --- the end --- */

static u64 all_cycles(const struct tracer *t)
{
	u64 sum = 0;

	for (unsigned i = 0; i < ROWS; i++)
		sum += t->span[i].total;
	return sum;
}

static double percent(u64 part, u64 whole)
{
	return whole ? 100.0 * (double)part / (double)whole : 0.0;
}

/* The row with the most cycles of those not printed, by count among equals; ROWS: none left. */
static unsigned next_row(const struct tracer *t, const bool *printed)
{
	unsigned best = ROWS;

	for (unsigned i = 0; i < ROWS; i++) {
		const struct span *s = &t->span[i], *b = &t->span[best < ROWS ? best : i];

		if (!s->count || printed[i])
			continue;
		if (best == ROWS || s->total > b->total || (s->total == b->total && s->count > b->count))
			best = i;
	}
	return best;
}

static void print_row(const char *name, const struct span *s, u64 exits, u64 cycles)
{
	fprintf(stderr, "%-24s %10" PRIu64 " %8.2f%% %15" PRIu64 " %8.2f%%", name, s->count, percent(s->count, exits),
		s->total, percent(s->total, cycles));
	if (s->n)
		fprintf(stderr, " %12.1f %10" PRIu64 " %12" PRIu64 "\n", (double)s->total / (double)s->n, s->min, s->max);
	else
		fprintf(stderr, " %12s %10s %12s\n", "-", "-", "-");
}

static void print_summary(const struct tracer *t)
{
	bool printed[ROWS] = { false };
	char name[32];
	struct span all = { 0 };
	u64 cycles = all_cycles(t);
	unsigned i;

	for (i = 0; i < ROWS; i++) {
		const struct span *s = &t->span[i];

		all.count += s->count;
		all.max = s->max > all.max ? s->max : all.max;
		all.min = s->n && (!all.n || s->min < all.min) ? s->min : all.min;
		all.n += s->n;
	}
	all.total = cycles;
	fprintf(stderr, "%-24s %10s %9s %15s %9s %12s %10s %12s\n", "VM exits", "count", "share", "cycles in root",
		"share", "avg", "min", "max");
	while ((i = next_row(t, printed)) < ROWS) {
		if (i < EXIT_REASON_SLOTS)
			snprintf(name, sizeof(name), "%s", exit_reason_name(i));
		else
			snprintf(name, sizeof(name), "EXCEPTION_NMI %s", exception_name(i - EXIT_REASON_SLOTS));
		print_row(name, &t->span[i], all.count, cycles);
		printed[i] = true;
	}
	print_row("all", &all, all.count, cycles);
}

static bool close_file(struct machine *m)
{
	struct tracer *t = m->tracer;
	bool ok;

	for (unsigned i = 0; t->json && wanted(t, TRACE_EXITS) && i < m->ncpus; i++)
		if (t->open[i].open)
			json_exit(m->cpu[i], &t->open[i], CYCLES_NONE, false);
	if (t->json)
		fputs("\n]\n", t->file);
	ok = fflush(t->file) == 0 && !ferror(t->file);
	if (t->file != stdout && fclose(t->file) != 0)
		ok = false;
	if (!ok)
		fprintf(stderr, "ooh-machine: %s: %s\n", t->path, strerror(errno));
	return ok;
}

bool trace_close(struct machine *m)
{
	struct tracer *t = m->tracer;
	bool ok = true;

	if (!t)
		return true;
	if (t->file)
		ok = close_file(m);
	if (t->summary)
		print_summary(t);
	m->tracer = NULL;
	free(t);
	return ok;
}
