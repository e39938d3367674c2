/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Transparent huge pages: they come, are split, collapse, are shared and copied. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sound.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define IN_HUGE (HUGE / PG)

/* kB of huge pages in the mapping at p. */
static long huge_kb(const char *p)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long lo, hi;
	char line[256];
	bool in = false;
	long kb = 0, n;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
			in = lo <= (uintptr_t)p && (uintptr_t)p < hi;
		if (in && sscanf(line, "AnonHugePages: %ld", &n) == 1)
			kb += n;
	}
	if (f)
		fclose(f);
	return kb;
}

static char *map_huge(size_t n)
{
	char *p = reserve(n * IN_HUGE);

	map(p, n * IN_HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	NEED(!madvise(p, n * HUGE, MADV_HUGEPAGE));
	return p;
}

static void resident_huge(void)
{
	char *p = map_huge(2);

	touch(p, 2 * IN_HUGE);
	if (huge_kb(p) < 4096)
		skip("no huge pages: %ld kB", huge_kb(p));
	track(p, 2 * IN_HUGE);
	touch(p + 100 * PG, 3);
	round_of("three pages of a huge page");
	round_of("nothing");
	touch(p + 400 * PG, 200);
	round_of("in both");
	touch(p, 2 * IN_HUGE);
	round_of("all");
}

static void fresh_huge(void)
{
	char *p = map_huge(4);

	track(p, 4 * IN_HUGE);
	touch(p + 5 * PG, 1);
	round_of("first touch of a huge page");
	touch(p + 300 * PG, 1);
	round_of("another page of it");
	touch(p + HUGE + 5 * PG, 1);
	NEED(!madvise(p + HUGE + 100 * PG, PG, MADV_DONTNEED));
	touch(p + HUGE + 77 * PG, 1);
	round_of("huge, and split in the same round");
	*(volatile char *)(p + 2 * HUGE);
	round_of("a read: the huge zero page");
	touch(p + 2 * HUGE + 9 * PG, 1);
	round_of("a store to it");
	NEED(!madvise(p, HUGE, MADV_DONTNEED));
	*(volatile char *)p;
	round_of("dropped and read");
	touch(p + 3 * PG, 2);
	round_of("stores");
}

static void dropped_and_read(void)
{
	char *p = map_huge(2);

	track(p, 2 * IN_HUGE);
	touch(p + 9 * PG, 2);
	NEED(!madvise(p, HUGE, MADV_DONTNEED));
	*(volatile char *)p;
	round_of("came huge, written, dropped whole, read");
	*(volatile char *)(p + HUGE);
	round_of("only read");
}

static void split(void)
{
	char *p = map_huge(3);

	touch(p, 3 * IN_HUGE);
	track(p, 3 * IN_HUGE);
	NEED(!madvise(p + 50 * PG, 10 * PG, MADV_DONTNEED));
	touch(p + 200 * PG, 2);
	round_of("split by MADV_DONTNEED");
	touch(p + 50 * PG, 5);
	round_of("filled again");
	NEED(!mprotect(p + HUGE, 7 * PG, PROT_READ));
	touch(p + HUGE + 9 * PG, 2);
	round_of("split by mprotect");
	NEED(!munmap(p + 2 * HUGE + 8 * PG, 100 * PG));
	touch(p + 2 * HUGE + 300 * PG, 2);
	round_of("split by munmap");
	touch(p + 2 * HUGE + 400 * PG, 1);
	round_of("a store after that");
}

static void moved(void)
{
	char *p = map_huge(3), *away = reserve(IN_HUGE);

	touch(p, 3 * IN_HUGE);
	track(p, 3 * IN_HUGE);
	NEED(mremap(p, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, away) == away);
	NEED(mremap(p + HUGE, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, p) == p);
	NEED(mremap(away, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + HUGE) == p + HUGE);
	round_of("two huge pages changed places");
	touch(p + 10 * PG, 1);
	touch(p + HUGE + 20 * PG, 1);
	round_of("stores after that");
}

static void touch_twenty(char *p)
{
	touch(p, 20);
}

static void forked(void)
{
	char *p = map_huge(2);

	touch(p, 2 * IN_HUGE);
	track(p, 2 * IN_HUGE);
	wait_child(child(touch_twenty, p));
	round_of("the child writes");
	touch(p + 30 * PG, 3);
	round_of("the parent writes after");
	wait_child(child(touch_twenty, p + HUGE));
	touch(p + HUGE + 10 * PG, 20);
	round_of("both write");
	touch(p, 2 * IN_HUGE);
	round_of("all");
}

static void collapse(void)
{
	char *p = map_huge(1);

	NEED(!madvise(p, HUGE, MADV_NOHUGEPAGE));
	touch(p, IN_HUGE);
	NEED(!madvise(p, HUGE, MADV_HUGEPAGE));
	track(p, IN_HUGE);
	touch(p + 7 * PG, 2);
	if (madvise(p, HUGE, MADV_COLLAPSE))
		skip("MADV_COLLAPSE: %s", strerror(errno));
	touch(p + 100 * PG, 2);
	round_of("stores, MADV_COLLAPSE, stores");
	touch(p + 300 * PG, 2);
	round_of("stores to the huge page");
	round_of("nothing");
}

static void khugepaged(void)
{
	static const char base[] = "/sys/kernel/mm/transparent_hugepage/khugepaged/";
	char *p = map_huge(2), path[120];
	bool all = true;

	static const char *const knob[][2] = { { "scan_sleep_millisecs", "1" }, { "alloc_sleep_millisecs", "1" },
					       { "pages_to_scan", "100000" } };
	for (unsigned i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", base, knob[i][0]);
		all &= put_file(path, knob[i][1]);
	}
	if (!all)
		skip("khugepaged has no such knobs");
	NEED(!madvise(p, 2 * HUGE, MADV_NOHUGEPAGE));
	touch(p, 2 * IN_HUGE);
	NEED(!madvise(p, 2 * HUGE, MADV_HUGEPAGE));
	track(p, 2 * IN_HUGE);
	for (int i = 0; i < 12 && (i < 3 || huge_kb(p) < 4096); i++) {
		touch(p + (size_t)i * 37 * PG, 2);
		usleep(30000);
		touch(p + (500 + (size_t)i * 11) * PG, 3);
		round_of("khugepaged at work, %d", i);
	}
	touch(p + 77 * PG, 2);
	round_of("stores, %s", huge_kb(p) ? "collapsed" : "not collapsed");
}

const struct scenario sound_huge[] = {
	{ .name = "huge pages: stores", .run = resident_huge },
	{ .name = "huge pages: new ones, the zero page", .run = fresh_huge },
	{ .name = "huge pages: written, dropped and read in one round", .run = dropped_and_read,
	  .blind = "it is the zero page before and after" },
	{ .name = "huge pages: split", .run = split },
	{ .name = "huge pages: moved", .run = moved },
	{ .name = "huge pages: fork", .run = forked },
	{ .name = "huge pages: MADV_COLLAPSE", .run = collapse },
	{ .name = "huge pages: khugepaged", .run = khugepaged },
	{ 0 },
};
