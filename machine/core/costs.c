/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cost tables, generated from the rows of costs.def: one table a column. */
#include "machine/core/costs.h"

#include <string.h>

#define COLUMNS(X) X(prescott) X(merom) X(penryn) X(westmere) X(sandybridge) X(ivybridge) X(haswell) X(broadwell)

enum column {
#define X(column) COLUMN_##column,
	COLUMNS(X)
#undef X
	COLUMN_COUNT
};

static const u32 rows[COST_COUNT][COLUMN_COUNT] = {
#define COST(name, prescott, merom, penryn, westmere, sandybridge, ivybridge, haswell, broadwell, source) \
	[COST_##name] = { prescott, merom, penryn, westmere, sandybridge, ivybridge, haswell, broadwell },
#include "machine/core/costs.def"
#undef COST
};

static const struct { const char *name, *source; } texts[COST_COUNT] = {
#define COST(name, prescott, merom, penryn, westmere, sandybridge, ivybridge, haswell, broadwell, source) \
	[COST_##name] = { #name, source },
#include "machine/core/costs.def"
#undef COST
};

static const char *const column_names[COLUMN_COUNT] = {
#define X(column) #column,
	COLUMNS(X)
#undef X
};

const struct cost_table *cost_table_find(const char *name)
{
	static struct cost_table tables[COLUMN_COUNT];

	for (unsigned i = 0; i < COLUMN_COUNT; i++) {
		if (strcmp(name, column_names[i]) != 0)
			continue;
		tables[i].name = column_names[i];
		for (unsigned k = 0; k < COST_COUNT; k++)
			tables[i].cycles[k] = rows[k][i];
		return &tables[i];
	}
	return NULL;
}

const char *cost_table_names(unsigned i)
{
	return i < COLUMN_COUNT ? column_names[i] : NULL;
}

const char *cost_name(enum cost k)
{
	return texts[k].name;
}

const char *cost_source(enum cost k)
{
	return texts[k].source;
}
