// SPDX-License-Identifier: GPL-2.0-only
/* Figures, not tests: TSC cycles of START and of rounds, by pages resident and pages dirty. Run by name only. */
#define _GNU_SOURCE
#include "ooh_test.h"

#include <sys/mman.h>
#include <unistd.h>

#define MB (1ul << 20)

static struct ooh_region vec[1024];

/* The last of four rounds with these pages dirty, evenly spread. */
static void round_with(int t, char *p, size_t pages, size_t dirty)
{
	struct ooh_collect c;
	size_t i;
	int k;

	for (k = 0; k < 4; k++) {
		for (i = 0; i < dirty; i++)
			*(volatile uint64_t *)(p + i * (pages / dirty) * PG) += k + 1;
		CHECK(!collect(t, &c, NULL, 0, vec, 1024, 0) && c.pages == dirty, "%llu pages", c.pages);
	}
	note("%5zu MB resident, %5zu pages dirty: %9llu cycles a round, %6llu a page; %llu hypercalls, %llu examined",
	     pages * PG / MB, dirty, c.cycles, dirty ? c.cycles / dirty : 0, c.hypercalls, c.examined);
}

static void cost_of(size_t mb)
{
	const size_t pages = mb * MB / PG;
	struct ooh_tracker_stats s;
	char *p = map_anon(pages);
	int t;

	touch(p, pages);
	t = self_tracker(p, pages * PG);
	stats(t, &s);
	note("%5zu MB resident: START %llu cycles, %llu a page", mb, s.cycles_start, s.cycles_start / pages);
	round_with(t, p, pages, 0);
	round_with(t, p, pages, 100);
	round_with(t, p, pages, 1000);
	round_with(t, p, pages, pages);
	close(t);
	munmap(p, pages * PG);
}

static void t_rounds(void)
{
	cost_of(10);
	cost_of(50);
	cost_of(250);
}

const struct test cost_tests[] = {
	{ "rounds", t_rounds },
	{ NULL, NULL },
};
