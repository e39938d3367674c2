/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `ooh track` prints: lines, a live screen, or JSON. */
#ifndef OOH_TOOLS_REPORT_H
#define OOH_TOOLS_REPORT_H

#include "mappings.h"

enum report_style { REPORT_LINES, REPORT_SCREEN, REPORT_JSON };

struct report {
	enum report_style style;
	const char *backend;
	pid_t pid;
	struct mappings maps;
	uint64_t rounds, pages, extra, peak, elsewhere;
	double seconds;      /* since start, by the monotonic clock */
	unsigned drawn;      /* lines on the screen to draw over */
};

void report_begin(struct report *r);
/* One round: seconds since start, seconds the collect took. */
void report_round(struct report *r, const struct ooh_region *vec, const struct ooh_round *round, double at, double cost);
void report_end(struct report *r, const struct ooh_stats *stats);

#endif
