/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mappings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

void mappings_free(struct mappings *m)
{
	free(m->v);
	*m = (struct mappings){ 0 };
}

static struct mapping *find(struct mappings *m, uint64_t start, uint64_t end, const char *name)
{
	for (size_t i = 0; i < m->n; i++) {
		struct mapping *p = &m->v[i];

		if (p->start < end && start < p->end && !strcmp(p->name, name))
			return p;
	}
	return NULL;
}

/* A mapping that grew (heap, stack): the picture is redrawn on the new scale. */
static void stretch(struct mapping *p, uint64_t start, uint64_t end)
{
	uint32_t old[MAP_CELLS];
	uint64_t from = p->start, len = p->end - p->start;

	p->start = start < p->start ? start : p->start;
	p->end = end > p->end ? end : p->end;
	if (p->start == from && p->end - p->start == len)
		return;
	memcpy(old, p->cell, sizeof(old));
	memset(p->cell, 0, sizeof(p->cell));
	for (unsigned i = 0; i < MAP_CELLS; i++) {
		uint64_t at = from + len / MAP_CELLS * i;

		p->cell[(at - p->start) * MAP_CELLS / (p->end - p->start)] += old[i];
	}
}

static void add(struct mappings *m, uint64_t start, uint64_t end, const char *name)
{
	struct mapping *p = find(m, start, end, name);

	if (!p) {
		if (m->n == m->cap) {
			size_t cap = m->cap ? m->cap * 2 : 64;
			struct mapping *v = reallocarray(m->v, cap, sizeof(*v));

			if (!v)
				return;
			m->v = v;
			m->cap = cap;
		}
		p = &m->v[m->n++];
		*p = (struct mapping){ .start = start, .end = end };
		snprintf(p->name, sizeof(p->name), "%s", name);
	}
	stretch(p, start, end);
	p->live = true;
}

void mappings_refresh(struct mappings *m, pid_t pid)
{
	char path[32], *line = NULL;
	size_t cap = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "re");
	if (!f)
		return;
	for (size_t i = 0; i < m->n; i++)
		m->v[i].live = false;
	while (getline(&line, &cap, f) > 0) {
		unsigned long start, end;
		int at = 0;
		char *name;

		if (sscanf(line, "%lx-%lx %*s %*s %*s %*s %n", &start, &end, &at) < 2 || !at)
			continue;
		name = line + at;
		name[strcspn(name, "\n")] = '\0';
		if (strrchr(name, '/'))
			name = strrchr(name, '/') + 1;
		add(m, start, end, *name ? name : "[anon]");
	}
	free(line);
	fclose(f);
}

static struct mapping *at_address(struct mappings *m, uint64_t va)
{
	struct mapping *old = NULL;

	for (size_t i = 0; i < m->n; i++) {
		if (va < m->v[i].start || va >= m->v[i].end)
			continue;
		if (m->v[i].live)
			return &m->v[i];
		old = &m->v[i];
	}
	return old;
}

static void account(struct mapping *p, uint64_t start, uint64_t end)
{
	p->round += (end - start) / PAGE;
	p->total += (end - start) / PAGE;
	for (; start < end; start += PAGE)
		p->cell[(start - p->start) * MAP_CELLS / (p->end - p->start)]++;
}

void mappings_round(struct mappings *m, const struct ooh_region *vec, size_t n, uint64_t *elsewhere)
{
	for (size_t i = 0; i < m->n; i++)
		m->v[i].round = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t at = vec[i].start;

		while (at < vec[i].end) {
			struct mapping *p = at_address(m, at);
			uint64_t end = p && p->end < vec[i].end ? p->end : vec[i].end;

			if (p)
				account(p, at, end);
			else
				*elsewhere += (end - at) / PAGE;
			at = end;
		}
	}
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].round > m->v[i].peak)
			m->v[i].peak = m->v[i].round;
}

void mapping_picture(const struct mapping *m, char out[MAP_CELLS + 1])
{
	static const char shade[] = ".:-=+*#%@";
	uint32_t max = 0;

	for (unsigned i = 0; i < MAP_CELLS; i++)
		if (m->cell[i] > max)
			max = m->cell[i];
	for (unsigned i = 0; i < MAP_CELLS; i++)
		out[i] = m->cell[i] ? shade[(uint64_t)m->cell[i] * 8 / max] : ' ';
	out[MAP_CELLS] = '\0';
}
