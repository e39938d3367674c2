/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The named mappings of a process, and how many pages of each were written, round after round. */
#ifndef OOH_TOOLS_MAPPINGS_H
#define OOH_TOOLS_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ooh.h>

#define MAP_CELLS 48 /* columns of a mapping's picture */

struct mapping {
	uint64_t start, end;
	char name[64];
	bool live;           /* still there at the last refresh */
	uint64_t round;      /* pages in the last round */
	uint64_t total;      /* pages over all rounds */
	uint64_t peak;       /* most in one round */
	uint32_t cell[MAP_CELLS]; /* pages by place, over all rounds */
};

struct mappings {
	struct mapping *v;
	size_t n, cap;
};

/* Reads /proc/PID/maps: new mappings are added, grown ones stretched, those that are gone stay with their figures. */
void mappings_refresh(struct mappings *m, pid_t pid);
/* Accounts one round. Pages in no mapping (unmapped since) are counted in *elsewhere. */
void mappings_round(struct mappings *m, const struct ooh_region *vec, size_t n, uint64_t *elsewhere);
void mappings_free(struct mappings *m);

/* A line of MAP_CELLS characters: where in the mapping, the darker the more. */
void mapping_picture(const struct mapping *m, char out[MAP_CELLS + 1]);

#endif
