/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The figures of a run, as JSON. */
#ifndef OOH_MACHINE_CORE_STATS_H
#define OOH_MACHINE_CORE_STATS_H

#include "machine/core/types.h"

struct machine;

/* Writes counters, exits by reason, times and the cost table to a file ("-": stdout). False with a line on stderr. */
bool stats_write(struct machine *m, const char *path);

#endif
