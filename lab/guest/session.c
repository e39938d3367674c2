/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define PAGE 4096u
#define USER_END 0x00007ffffffff000ull

static void add_counters(struct counters *to, const struct counters *d)
{
	uint64_t *a = (uint64_t *)to;
	const uint64_t *b = (const uint64_t *)d;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*a); i++)
		a[i] += b[i];
}

/* The kernel's data page that every process maps is no memory of the process (libooh leaves it out, too). */
static uint64_t vvar_start, vvar_end;

static void find_vvar(pid_t pid)
{
	char path[32], *line = NULL;
	size_t cap = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	vvar_start = vvar_end = 0;
	while (f && getline(&line, &cap, f) > 0)
		if (strstr(line, "[vvar"))
			sscanf(line, "%" SCNx64 "-%" SCNx64, &vvar_start, &vvar_end);
	free(line);
	if (f)
		fclose(f);
}

static void check(int err, const struct session *s, const char *what)
{
	if (err)
		die("%s: %s: %s", s->r->technique, what, strerror(-err));
}

void session_start(struct session *s, pid_t pid, const char *technique, uint64_t start, uint64_t end, struct result *r)
{
	uint64_t before;

	*s = (struct session){ .r = r, .cap = 1u << 18 };
	s->vec = malloc(s->cap * sizeof(*s->vec));
	if (!s->vec)
		die("no memory");
	find_vvar(pid);
	before = cycles();
	if (strcmp(technique, "none")) {
		check(ooh_tracker_open(&s->tracker, pid, technique, 0), s, "open");
		check(end ? ooh_tracker_add(s->tracker, start, end) : ooh_tracker_add_all(s->tracker), s, "add");
		check(ooh_tracker_start(s->tracker), s, "start");
	}
	r->start_cycles = cycles() - before;
	s->watch = oracle_watch(pid, start, end ? end : USER_END);
	counters_read(&s->mark);
}

void session_work(struct session *s)
{
	counters_read(&s->mark);
}

static bool in_round(const struct session *s, const struct ooh_round *round, uint64_t page, size_t *at)
{
	while (*at < round->regions && s->vec[*at].end <= page)
		++*at;
	return *at < round->regions && s->vec[*at].start <= page;
}

static void compare(struct session *s, const struct ooh_round *round)
{
	uint64_t hit = 0;
	size_t at = 0;

	for (size_t i = 0; i < s->truth.n; i++) {
		uint64_t page = s->truth.v[i];

		if (page >= vvar_start && page < vvar_end)
			continue;
		s->r->truth++;
		if (!s->tracker)
			continue;
		if (in_round(s, round, page, &at))
			hit++;
		else {
			s->r->missed++;
			fprintf(stderr, "trackbench: %s: missed page %" PRIx64 "\n", s->r->technique, page);
		}
	}
	s->r->reported += round->pages;
	s->r->extra += s->tracker ? round->pages - hit : 0;
}

void session_round(struct session *s)
{
	struct counters d = counters_since(&s->mark);
	struct ooh_round round = { 0 };
	uint64_t before;

	add_counters(&s->r->app, &d);
	counters_read(&s->mark);
	before = cycles();
	if (s->tracker)
		check(ooh_tracker_collect(s->tracker, 0, 0, s->vec, s->cap, &round), s, "collect");
	s->r->round_cycles += cycles() - before;
	d = counters_since(&s->mark);
	add_counters(&s->r->tracker, &d);
	if (round.partial)
		die("%s: more than %zu regions", s->r->technique, s->cap);
	oracle_round(s->watch, &s->truth);
	compare(s, &round);
	s->r->rounds++;
	counters_read(&s->mark);
}

void session_skip(struct session *s)
{
	struct ooh_round round;

	if (s->tracker)
		check(ooh_tracker_collect(s->tracker, 0, 0, s->vec, s->cap, &round), s, "collect");
	oracle_round(s->watch, &s->truth);
}

void session_end(struct session *s)
{
	oracle_unwatch(s->watch);
	ooh_tracker_close(s->tracker);
	free(s->truth.v);
	free(s->vec);
}

static void print_counters(const char *name, const struct counters *c)
{
	const char *comma = "";

	printf("\"%s\":{\"cycles\":%" PRIu64 ",\"instructions\":%" PRIu64 ",\"faults\":%" PRIu64 ",\"exits\":%" PRIu64
	       ",\"hypercalls\":%" PRIu64 ",\"interrupts\":%" PRIu64 ",\"tlb_misses\":%" PRIu64 ",\"refs_1d\":%" PRIu64
	       ",\"refs_guest\":%" PRIu64 ",\"refs_ept\":%" PRIu64 ",\"pml_entries\":%" PRIu64 ",\"ept_dirty_sets\":%" PRIu64
	       ",\"halted\":%" PRIu64 ",\"exits_by_reason\":{",
	       name, c->now, c->instructions, c->faults, c->exits, c->hypercalls, c->interrupts, c->tlb_misses, c->refs_1d,
	       c->refs_guest, c->refs_ept, c->pml, c->ept_dirty, c->halted);
	for (unsigned i = 0; i < 80; i++)
		if (c->exit[i]) {
			printf("%s\"%u\":%" PRIu64, comma, i, c->exit[i]);
			comma = ",";
		}
	printf("}}");
}

void result_print(const struct result *r)
{
	printf("{\"workload\":\"%s\",\"technique\":\"%s\",\"rounds\":%u,\"truth\":%" PRIu64 ",\"reported\":%" PRIu64
	       ",\"missed\":%" PRIu64 ",\"extra\":%" PRIu64 ",\"app_cycles\":%" PRIu64 ",\"round_cycles\":%" PRIu64
	       ",\"start_cycles\":%" PRIu64 ",",
	       r->workload, r->technique, r->rounds, r->truth, r->reported, r->missed, r->extra, r->app_cycles, r->round_cycles,
	       r->start_cycles);
	print_counters("app", &r->app);
	putchar(',');
	print_counters("tracker", &r->tracker);
	puts("}");
	fflush(stdout);
}
