/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `monitor COMMAND` in GDB does. Numbers are hexadecimal. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "arch/exit_reasons.h"
#include "machine/debug/state.h"
#include "machine/mmu/state.h"

#define DUMP_DEFAULT 64
#define DUMP_MAX 4096

static const struct { const char *name, *text; } counters[STAT_COUNT] = {
#define COUNTER(name, text) { #name, text },
#include "abi/machine_counters.def"
#undef COUNTER
};

/* The next word of a line, or "". */
static const char *word(char **line)
{
	char *w = strtok_r(*line, " \t\n", line);

	return w ? w : "";
}

static bool number(char **line, u64 *v)
{
	const char *w = word(line);
	char *end;

	*v = strtoull(w, &end, 16);
	return *w && !*end;
}

static void do_vmcs(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	print_vmcs(c, f);
}

static void print_tlb_entry(const struct tlb_entry *e, const struct mmu_state *s, FILE *f)
{
	static const struct { u8 bit; const char *name; } flag[] = {
		{ TP_U, "U" }, { TP_W, "W" }, { TP_X, "X" }, { TP_D, "D" }, { TP_ER, "ER" }, { TP_EW, "EW" },
		{ TP_EX, "EX" }, { TP_ED, "ED" },
	};

	fprintf(f, "%016" PRIx64 " -> %012" PRIx64 " 2^%-2u%s%s", e->page, e->hpa, e->gshift,
		e->host ? "" : " device", e->key == s->gkey ? " global" : "");
	for (unsigned i = 0; i < sizeof(flag) / sizeof(flag[0]); i++)
		if (e->perm & flag[i].bit)
			fprintf(f, " %s", flag[i].name);
	fputc('\n', f);
}

/* The architectural TLB, as far as the current context can use it. */
static void do_tlb(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	const struct mmu_state *s = c->mmu;
	unsigned n = 0;

	for (unsigned i = 0; i < TLB_SIZE; i++) {
		const struct tlb_entry *e = &s->tlb[i];

		if (!e->key || (e->key != s->key && e->key != s->gkey))
			continue;
		print_tlb_entry(e, s, f);
		n++;
	}
	fprintf(f, "%u translations (VPID %u, cr3 %" PRIx64 ", EPTP %" PRIx64 ")\n", n, c->vmx.vpid, c->cr3, view_now(c).eptp);
}

static void do_walk(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	struct view v = view_now(c);
	hpa_t hpa;
	gpa_t gpa;
	u64 lin;

	if (!number(&args, &lin)) {
		fputs("walk ADDRESS [guest]\n", f);
		return;
	}
	if (strcmp(word(&args), "guest") == 0)
		v = view_guest(c);
	if (!v.fmt)
		fputs("paging is off\n", f);
	if (!debug_walk_linear(c, &v, lin, &gpa, f)) {
		fprintf(f, "%" PRIx64 " is not mapped\n", lin);
		return;
	}
	if (!debug_walk_ept(c, &v, gpa, &hpa, f))
		fprintf(f, "%" PRIx64 " -> guest-physical %" PRIx64 ", not mapped by EPT\n", lin, gpa.v);
	else if (v.eptp)
		fprintf(f, "%" PRIx64 " -> guest-physical %" PRIx64 " -> physical %" PRIx64 "\n", lin, gpa.v, hpa.v);
	else
		fprintf(f, "%" PRIx64 " -> physical %" PRIx64 "\n", lin, hpa.v);
}

static void do_stats(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	const struct machine *m = d->m;

	fprintf(f, "cycle %" PRIu64 "\n", cpu_now(c));
	for (unsigned i = 0; i < STAT_COUNT; i++)
		fprintf(f, "%-20s %15" PRIu64 "  %s\n", counters[i].name, m->stat[i] - (i == STAT_INSNS ? c->unretired : 0),
			counters[i].text);
	for (unsigned i = 0; i < EXIT_REASON_SLOTS; i++)
		if (m->exits[i])
			fprintf(f, "exit %-24s %10" PRIu64 " %15" PRIu64 " cycles\n", exit_reason_name(i), m->exits[i],
				m->exit_cycles[i]);
	for (unsigned v = 0; v < VECTOR_SLOTS; v++)
		if (m->vector_exits[v])
			fprintf(f, "     %-24s %10" PRIu64 " %15" PRIu64 " cycles\n", exception_name(v), m->vector_exits[v],
				m->vector_cycles[v]);
}

static void dump(struct cpu *c, enum address_space s, char *args, FILE *f)
{
	u8 buf[DUMP_MAX];
	u64 addr, n = DUMP_DEFAULT;
	size_t got;

	if (!number(&args, &addr) || (*args && !number(&args, &n)) || n > DUMP_MAX) {
		fprintf(f, "%s ADDRESS [BYTES, at most %x]\n", s == SPACE_GUEST_PHYSICAL ? "gpa" : "hpa", DUMP_MAX);
		return;
	}
	got = debug_read(c, s, addr, buf, n);
	for (size_t i = 0; i < got; i++)
		fprintf(f, "%s%02x%s", i % 16 ? " " : "", buf[i], i % 16 == 15 || i + 1 == got ? "\n" : "");
	if (got < n)
		fprintf(f, "%" PRIx64 ": %s\n", addr + got, s == SPACE_GUEST_PHYSICAL && view_guest(c).eptp ? "not mapped by EPT, or no RAM" : "no RAM");
}

static void do_gpa(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	dump(c, SPACE_GUEST_PHYSICAL, args, f);
}

static void do_hpa(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	dump(c, SPACE_HOST_PHYSICAL, args, f);
}

/* One of names by its number, or a line that says which there are. */
static void choose(const char *const *names, unsigned n, unsigned *value, char *args, FILE *f)
{
	const char *w = word(&args);

	for (unsigned i = 0; i < n; i++)
		if (names[i] && strcmp(names[i], w) == 0)
			*value = i;
	for (unsigned i = 0; i < n; i++)
		if (names[i])
			fprintf(f, "%s%s", names[i], i == *value ? " (now)\n" : "\n");
}

static void do_space(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	static const char *const names[] = { "virtual", "guest-virtual", "guest-physical", "host-physical" };
	unsigned v = d->space;

	choose(names, 4, &v, args, f);
	d->space = (enum address_space)v;
}

static void do_stops(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	static const char *const names[] = { NULL, "root", "non-root", "all" };
	unsigned v = d->modes;

	choose(names, 4, &v, args, f);
	d->modes = (enum in_mode)v;
}

static void do_cpus(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	static const char *const activity[] = { "active", "halted", "shut down", "waiting for SIPI" };

	for (unsigned i = 0; i < d->m->ncpus; i++) {
		const struct cpu *x = d->m->cpu[i];

		fprintf(f, "cpu %u: %s, %s, cycle %" PRIu64 ", rip %" PRIx64 ", cpl %u, cr3 %" PRIx64 "\n", i,
			activity[x->activity], x->vmx.nonroot ? "non-root" : x->vmx.on ? "VMX root" : "no VMX", cpu_now(x),
			x->rip, x->cpl, x->cr3);
	}
}

static void do_help(struct debug *d, struct cpu *c, char *args, FILE *f);

static const struct {
	const char *name, *text;
	void (*fn)(struct debug *d, struct cpu *c, char *args, FILE *f);
} commands[] = {
	{ "cpus", "where each CPU is", do_cpus },
	{ "gpa", "ADDRESS [BYTES]: guest-physical memory", do_gpa },
	{ "help", "this list", do_help },
	{ "hpa", "ADDRESS [BYTES]: the machine's own physical memory", do_hpa },
	{ "space", "virtual | guest-virtual | guest-physical | host-physical: what x and print read", do_space },
	{ "stats", "event counters, VM exits by reason", do_stats },
	{ "stops", "root | non-root | all: where breakpoints and watchpoints hold", do_stops },
	{ "tlb", "the translations that are cached for the current context", do_tlb },
	{ "vmcs", "the current VMCS by name", do_vmcs },
	{ "walk", "ADDRESS [guest]: each level of the page walk, and of EPT's below it", do_walk },
};

static void do_help(struct debug *d, struct cpu *c, char *args, FILE *f)
{
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(f, "%-6s %s\n", commands[i].name, commands[i].text);
}

void monitor_command(struct debug *d, struct cpu *c, const char *line, FILE *f)
{
	char copy[256], *rest = copy;
	const char *name;

	snprintf(copy, sizeof(copy), "%s", line);
	name = word(&rest);
	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i].name, name) == 0) {
			commands[i].fn(d, c, rest ? rest : (char[]){ "" }, f);
			return;
		}
	fprintf(f, "%s: no such command; help lists them\n", name);
}
