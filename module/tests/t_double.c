// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests that need the test double of the hypervisor (ooh_hv_double.ko): faults injected below the module, and proof
 * that the other tests notice when nothing is logged. Run by name only.
 */
#define _GNU_SOURCE
#include "ooh_test.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PARAM "/sys/module/ooh_hv_double/parameters/"

static void param(const char *name, const char *value)
{
	char path[128] = PARAM;

	strcat(path, name);
	if (!put_file(path, value))
		skip("no test double");
}

/* Every third ARM fails half-way: those pages must be reported, and be tracked again later. */
static void t_arm_fails(void)
{
	char *p = map_anon(64);
	struct area a;
	int i;

	touch(p, 64);
	param("arm_fails", "3");
	area_init(&a, self_tracker(p, 64 * PG), getpid(), p, 64);
	for (i = 0; i < 10; i++) {
		touch(p + i * 5 * PG, 4);
		area_round(&a, "ARM fails at times");
	}
	param("arm_fails", "0");
	area_round(&a, "settling");
	area_round(&a, "settled");
	CHECK(!a.dirty, "%u pages are still reported", a.dirty);
}

/* A hypervisor that logs nothing: a comparison of content must miss pages, or it compares nothing. */
static void t_blind(void)
{
	char *p = map_anon(64);
	struct ooh_region vec[8];
	struct ooh_collect c;
	int t;

	touch(p, 64);
	t = self_tracker(p, 64 * PG);
	param("no_log", "1");
	touch(p, 64);
	CHECK(!collect(t, &c, NULL, 0, vec, 8, 0));
	param("no_log", "0");
	CHECK(!c.pages, "%llu pages reported, though nothing was logged", c.pages);
}

static unsigned long double_cycles(void)
{
	unsigned long n = 0;
	FILE *f = fopen(PARAM "cycles", "r");

	if (!f || fscanf(f, "%lu", &n) != 1)
		skip("no test double");
	fclose(f);
	return n;
}

/*
 * A figure, not a test: TSC cycles of the module for a round in which every page is dirty, the double's own taken
 * out.
 */
static void t_cost(void)
{
	const size_t sizes[] = { 100, 1000, 10000 };
	static struct ooh_region vec[16];
	struct ooh_tracker_stats s;
	struct ooh_collect c;
	int i, k, t;

	for (i = 0; i < 3; i++) {
		char *p = map_anon(sizes[i]);
		unsigned long in_double = 0, before;

		touch(p, sizes[i]);
		t = self_tracker(p, sizes[i] * PG);
		stats(t, &s);
		note("%zu pages: START %llu cycles a page", sizes[i], s.cycles_start / sizes[i]);
		param("log_all", "1");
		for (k = 0; k < 4; k++) {
			before = double_cycles();
			CHECK(!collect(t, &c, NULL, 0, vec, 16, 0) && c.pages == sizes[i]);
			in_double = double_cycles() - before;
		}
		param("log_all", "0");
		note("%zu pages: a round of %llu cycles, %lu of them the double's: %llu a page", sizes[i], c.cycles,
		     in_double, (c.cycles - in_double) / c.pages);
		close(t);
		munmap(p, sizes[i] * PG);
	}
}

const struct test double_tests[] = {
	{ "ARM fails", t_arm_fails },
	{ "cost of a round", t_cost },
	{ "tests notice a log that is not kept", t_blind },
	{ NULL, NULL },
};
