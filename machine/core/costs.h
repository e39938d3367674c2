/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an event costs, in cycles, by microarchitecture. costs.def: one row an event, one column a microarchitecture,
 * each number with its source or the word "assumed".
 */
#ifndef OOH_MACHINE_CORE_COSTS_H
#define OOH_MACHINE_CORE_COSTS_H

#include "machine/core/types.h"

enum cost {
#define COST(name, prescott, merom, penryn, westmere, sandybridge, ivybridge, haswell, broadwell, source) COST_##name,
#include "machine/core/costs.def"
#undef COST
	COST_COUNT
};

struct cost_table {
	const char *name; /* "broadwell" */
	u32 cycles[COST_COUNT];
};

/* The table of that name, NULL if there is none. */
const struct cost_table *cost_table_find(const char *name);
/* The name of table i, NULL past the last one. */
const char *cost_table_names(unsigned i);
/* Row data for printing: name and source of a cost. */
const char *cost_name(enum cost k);
const char *cost_source(enum cost k);

#endif
