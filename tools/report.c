/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"

#define PAGE 4096u
#define SCREEN_ROWS 16u

static const struct {
	uint32_t bit;
	const char *name;
} category[] = {
	{ OOH_PAGE_WRITTEN, "written" }, { OOH_PAGE_MAPPED, "mapped" },     { OOH_PAGE_PINNED, "pinned" },
	{ OOH_PAGE_ABSENT, "absent" },   { OOH_PAGE_SWAPPED, "swapped" },   { OOH_PAGE_OVERFLOW, "overflow" },
	{ OOH_PAGE_UNTRACKED, "untracked" },
};

static void json_line(struct json_object *o)
{
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	json_object_put(o);
}

static struct json_object *json_hex(uint64_t v)
{
	char text[20];

	snprintf(text, sizeof(text), "0x%" PRIx64, v);
	return json_object_new_string(text);
}

static struct json_object *json_region(const struct ooh_region *r)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(o, "start", json_hex(r->start));
	json_object_object_add(o, "end", json_hex(r->end));
	for (size_t i = 0; i < sizeof(category) / sizeof(category[0]); i++)
		if (r->categories & category[i].bit)
			json_object_array_add(list, json_object_new_string(category[i].name));
	json_object_object_add(o, "categories", list);
	return o;
}

static void json_round(const struct report *r, const struct ooh_region *vec, const struct ooh_round *round, double at,
		       double cost)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(o, "type", json_object_new_string("round"));
	json_object_object_add(o, "round", json_object_new_uint64(r->rounds));
	json_object_object_add(o, "seconds", json_object_new_double(at));
	json_object_object_add(o, "collect_seconds", json_object_new_double(cost));
	json_object_object_add(o, "pages", json_object_new_uint64(round->pages));
	json_object_object_add(o, "extra", json_object_new_uint64(round->extra));
	json_object_object_add(o, "overflow", json_object_new_boolean(round->overflow));
	for (size_t i = 0; i < round->regions; i++)
		json_object_array_add(list, json_region(&vec[i]));
	json_object_object_add(o, "regions", list);
	json_line(o);
}

static void json_end(const struct report *r, const struct ooh_stats *stats)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(o, "type", json_object_new_string("summary"));
	json_object_object_add(o, "backend", json_object_new_string(r->backend));
	json_object_object_add(o, "rounds", json_object_new_uint64(r->rounds));
	json_object_object_add(o, "seconds", json_object_new_double(r->seconds));
	json_object_object_add(o, "pages", json_object_new_uint64(r->pages));
	json_object_object_add(o, "extra", json_object_new_uint64(r->extra));
	json_object_object_add(o, "peak", json_object_new_uint64(r->peak));
	json_object_object_add(o, "faults", json_object_new_uint64(stats->faults));
	json_object_object_add(o, "hypercalls", json_object_new_uint64(stats->hypercalls));
	for (size_t i = 0; i < r->maps.n; i++) {
		const struct mapping *m = &r->maps.v[i];
		struct json_object *e;

		if (!m->total)
			continue;
		e = json_object_new_object();
		json_object_object_add(e, "name", json_object_new_string(m->name));
		json_object_object_add(e, "start", json_hex(m->start));
		json_object_object_add(e, "end", json_hex(m->end));
		json_object_object_add(e, "pages", json_object_new_uint64(m->total));
		json_object_object_add(e, "peak", json_object_new_uint64(m->peak));
		json_object_array_add(list, e);
	}
	json_object_object_add(o, "mappings", list);
	json_line(o);
}

static int by_total(const void *a, const void *b)
{
	uint64_t x = (*(const struct mapping *const *)a)->total, y = (*(const struct mapping *const *)b)->total;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* The mappings with the most pages first; returns the number of lines printed. */
static unsigned print_mappings(const struct report *r, unsigned rows)
{
	const struct mapping **v = calloc(r->maps.n + 1, sizeof(*v));
	size_t n = 0;
	unsigned lines = 1;

	if (!v)
		return 0;
	for (size_t i = 0; i < r->maps.n; i++)
		if (r->maps.v[i].total)
			v[n++] = &r->maps.v[i];
	qsort(v, n, sizeof(*v), by_total);
	printf("  %-22s %10s %9s %9s %9s  |%-*s|\n", "mapping", "size", "now", "peak", "all", MAP_CELLS, "where");
	for (size_t i = 0; i < n && i < rows; i++, lines++) {
		char picture[MAP_CELLS + 1];

		mapping_picture(v[i], picture);
		printf("  %-22.22s %10s %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "  |%s|\n", v[i]->name,
		       human_bytes(v[i]->end - v[i]->start), v[i]->round, v[i]->peak, v[i]->total, picture);
	}
	if (n > rows) {
		printf("  … and %zu more\n", n - rows);
		lines++;
	}
	free(v);
	return lines;
}

static void print_round(const struct report *r, const struct ooh_round *round, double at, double cost, double since)
{
	printf("round %4" PRIu64 "  %8.3f s  %8" PRIu64 " pages  %10s/s  extra %-6" PRIu64 " collect %.2f ms%s", r->rounds, at,
	       round->pages, human_bytes(since > 0 ? (uint64_t)((double)(round->pages * PAGE) / since) : 0), round->extra,
	       cost * 1e3, round->overflow ? "  overflow: rescanned" : "");
}

void report_begin(struct report *r)
{
	if (r->style == REPORT_LINES || r->style == REPORT_SCREEN)
		printf("tracking process %d by %s\n", r->pid, r->backend);
	fflush(stdout);
}

static void screen(struct report *r)
{
	if (r->drawn)
		printf("\033[%uA\r\033[J", r->drawn); /* up, and clear to the end */
	r->drawn = 0;
}

void report_round(struct report *r, const struct ooh_region *vec, const struct ooh_round *round, double at, double cost)
{
	double since = at - r->seconds;

	r->rounds++;
	r->pages += round->pages;
	r->extra += round->extra;
	r->seconds = at;
	if (round->pages > r->peak)
		r->peak = round->pages;
	mappings_refresh(&r->maps, r->pid);
	mappings_round(&r->maps, vec, round->regions, &r->elsewhere);
	if (r->style == REPORT_JSON) {
		json_round(r, vec, round, at, cost);
		return;
	}
	if (r->style == REPORT_SCREEN)
		screen(r);
	print_round(r, round, at, cost, since);
	if (r->style == REPORT_SCREEN) {
		putchar('\n');
		r->drawn = 1 + print_mappings(r, SCREEN_ROWS);
	} else {
		putchar('\n');
	}
	fflush(stdout);
}

void report_end(struct report *r, const struct ooh_stats *stats)
{
	if (r->style == REPORT_JSON) {
		json_end(r, stats);
	} else {
		screen(r);
		printf("\n%" PRIu64 " rounds in %.3f s: %" PRIu64 " pages (%s), peak %" PRIu64 ", extra %" PRIu64
		       ", faults %" PRIu64 ", hypercalls %" PRIu64 "\n", r->rounds, r->seconds, r->pages,
		       human_bytes(r->pages * PAGE), r->peak, r->extra, stats->faults, stats->hypercalls);
		print_mappings(r, ~0u);
		if (r->elsewhere)
			printf("  %" PRIu64 " pages in mappings that were gone at the end of their round\n", r->elsewhere);
	}
	mappings_free(&r->maps);
	fflush(stdout);
}
