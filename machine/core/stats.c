/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/core/stats.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "arch/exit_reasons.h"
#include "machine/core/config.h"
#include "machine/core/machine.h"
#include "machine/cpu/cpu.h"

static const struct { const char *name, *text; } counters[STAT_COUNT] = {
#define COUNTER(name, text) { #name, text },
#include "abi/machine_counters.def"
#undef COUNTER
};

static double seconds_since(u64 start_ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)((u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec - start_ns) / 1e9;
}

static void json_string(FILE *f, const char *s)
{
	if (!s) {
		fputs("null", f);
		return;
	}
	fputc('"', f);
	for (; *s; s++) {
		unsigned char ch = (unsigned char)*s;

		if (ch == '"' || ch == '\\')
			fprintf(f, "\\%c", ch);
		else if (ch < 0x20)
			fprintf(f, "\\u%04x", ch);
		else
			fputc(ch, f);
	}
	fputc('"', f);
}

static void write_config(FILE *f, const struct machine_config *cfg)
{
	fprintf(f, "  \"config\": {\"kernel\": ");
	json_string(f, cfg->kernel);
	fprintf(f, ", \"initrd\": ");
	json_string(f, cfg->initrd);
	fprintf(f, ", \"append\": ");
	json_string(f, cfg->append);
	fprintf(f, ", \"resume\": ");
	json_string(f, cfg->resume);
	fprintf(f, ", \"ram\": %" PRIu64 ", \"cpus\": %u, ", cfg->ram, cfg->cpus);
	fprintf(f, "\"seed\": %" PRIu64 ", \"epoch\": %" PRIu64 "},\n", cfg->seed, cfg->epoch);
}

static void write_times(FILE *f, struct machine *m)
{
	u64 cycles = machine_now(m);
	double host = seconds_since(m->host_start_ns);
	u64 here = m->stat[STAT_INSNS] - m->insns_at_start;

	fprintf(f, "  \"cycles\": %" PRIu64 ",\n  \"tsc_hz\": %llu,\n", cycles, TSC_HZ);
	fprintf(f, "  \"virtual_seconds\": %.9f,\n", (double)cycles / (double)TSC_HZ);
	fprintf(f, "  \"host_seconds\": %.6f,\n", host);
	fprintf(f, "  \"host_mips\": %.3f,\n", host > 0 ? (double)here / host / 1e6 : 0.0);
}

/* Of the exits by exceptions and NMIs. */
static void write_vectors(FILE *f, const struct machine *m)
{
	const char *sep = "";

	fputs(", \"vectors\": [", f);
	for (unsigned v = 0; v < VECTOR_SLOTS; v++) {
		if (!m->vector_exits[v])
			continue;
		fprintf(f, "%s{\"vector\": %u, \"name\": \"%s\", ", sep, v, exception_name(v));
		fprintf(f, "\"count\": %" PRIu64 ", \"cycles\": %" PRIu64 "}", m->vector_exits[v], m->vector_cycles[v]);
		sep = ", ";
	}
	fputc(']', f);
}

static void write_exits(FILE *f, const struct machine *m)
{
	const char *sep = "";

	fprintf(f, "  \"exits\": [");
	for (unsigned i = 0; i < EXIT_REASON_SLOTS; i++) {
		if (!m->exits[i])
			continue;
		fprintf(f, "%s\n    {\"reason\": \"%s\", \"number\": %u, ", sep, exit_reason_name(i), i);
		fprintf(f, "\"count\": %" PRIu64 ", \"cycles\": %" PRIu64, m->exits[i], m->exit_cycles[i]);
		if (i == EXIT_EXCEPTION_NMI)
			write_vectors(f, m);
		fputc('}', f);
		sep = ",";
	}
	fprintf(f, "%s],\n", *sep ? "\n  " : "");
}

/* Each CPU's part, where there are several. */
static void write_cpus(FILE *f, const struct machine *m)
{
	if (m->ncpus == 1)
		return;
	fprintf(f, "  \"cpus\": [");
	for (unsigned i = 0; i < m->ncpus; i++) {
		const struct cpu *c = m->cpu[i];

		fprintf(f, "%s\n    {\"cpu\": %u, \"INSNS\": %" PRIu64 ", ", i ? "," : "", i, c->retired);
		fprintf(f, "\"HALTED_CYCLES\": %" PRIu64 "}", c->halted_cycles);
	}
	fprintf(f, "\n  ],\n");
}

static void write_costs(FILE *f, const struct cost_table *t)
{
	fprintf(f, "  \"costs\": {\"table\": \"%s\", \"rows\": [", t->name);
	for (unsigned k = 0; k < COST_COUNT; k++) {
		fprintf(f, "%s\n    {\"name\": \"%s\", ", k ? "," : "", cost_name(k));
		fprintf(f, "\"cycles\": %u, \"source\": ", t->cycles[k]);
		json_string(f, cost_source(k));
		fputc('}', f);
	}
	fprintf(f, "\n  ]}\n");
}

static void write_all(FILE *f, struct machine *m)
{
	fprintf(f, "{\n  \"format\": 1,\n  \"status\": %d,\n  \"stop\": ", m->exit_status);
	json_string(f, m->stop_reason);
	fprintf(f, ",\n");
	write_config(f, m->cfg);
	write_times(f, m);
	fprintf(f, "  \"counters\": {");
	for (unsigned i = 0; i < STAT_COUNT; i++)
		fprintf(f, "%s\n    \"%s\": %" PRIu64, i ? "," : "", counters[i].name, m->stat[i]);
	fprintf(f, "\n  },\n  \"counters_text\": {");
	for (unsigned i = 0; i < STAT_COUNT; i++)
		fprintf(f, "%s\n    \"%s\": \"%s\"", i ? "," : "", counters[i].name, counters[i].text);
	fprintf(f, "\n  },\n");
	write_exits(f, m);
	write_cpus(f, m);
	write_costs(f, m->costs);
	fprintf(f, "}\n");
}

bool stats_write(struct machine *m, const char *path)
{
	FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "w");
	bool ok;

	if (!f) {
		fprintf(stderr, "ooh-machine: %s: %s\n", path, strerror(errno));
		return false;
	}
	write_all(f, m);
	ok = fflush(f) == 0 && !ferror(f);
	if (f != stdout && fclose(f) != 0)
		ok = false;
	if (!ok)
		fprintf(stderr, "ooh-machine: %s: %s\n", path, strerror(errno));
	return ok;
}
