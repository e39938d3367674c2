/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/core/profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/cpu/cpu.h"

enum place { USER, KERNEL, ROOT };
static const char *const place_name[] = { "user", "kernel", "root" };

struct sample {
	u64 rip;
	u64 count; /* 0: free */
	enum place place;
};

/* A hash with open addressing, twice as large whenever it is half full. */
static struct sample *table;
static size_t size, used;

static struct sample *slot(struct sample *t, size_t n, u64 rip, enum place place)
{
	size_t i = (size_t)(rip * 0x9e3779b97f4a7c15ull >> 20) & (n - 1);

	while (t[i].count && (t[i].rip != rip || t[i].place != place))
		i = (i + 1) & (n - 1);
	return &t[i];
}

static bool grow(void)
{
	size_t n = size ? size * 2 : 4096;
	struct sample *t = calloc(n, sizeof(*t));

	if (!t)
		return false;
	for (size_t i = 0; i < size; i++)
		if (table[i].count)
			*slot(t, n, table[i].rip, table[i].place) = table[i];
	free(table);
	table = t;
	size = n;
	return true;
}

void profile_sample(const struct cpu *c)
{
	enum place place = c->vmx.on && !c->vmx.nonroot ? ROOT : c->cpl == 3 ? USER : KERNEL;
	struct sample *s;

	if (used * 2 >= size && !grow())
		return;
	s = slot(table, size, c->rip, place);
	if (!s->count)
		used++;
	*s = (struct sample){ .rip = c->rip, .place = place, .count = s->count + 1 };
}

static int by_count(const void *a, const void *b)
{
	const struct sample *x = a, *y = b;

	return x->count < y->count ? 1 : x->count > y->count ? -1 : x->rip < y->rip ? -1 : x->rip > y->rip;
}

bool profile_write(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f) {
		fprintf(stderr, "ooh-machine: %s: %s\n", path, strerror(errno));
		return false;
	}
	if (size)
		qsort(table, size, sizeof(*table), by_count);
	for (size_t i = 0; i < used; i++)
		fprintf(f, "%" PRIu64 " %s %" PRIx64 "\n", table[i].count, place_name[table[i].place], table[i].rip);
	return fclose(f) == 0;
}
