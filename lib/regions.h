/* SPDX-License-Identifier: LGPL-2.1-only */
/* Sorted vectors of regions: ranges to track, pages found. */
#ifndef OOH_LIB_REGIONS_H
#define OOH_LIB_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ooh-abi.h>

struct regions {
	struct ooh_region *v; /* ascending, disjoint, neighbours of equal categories joined */
	size_t n, cap;
};

void regions_free(struct regions *r);
/* Appends at the end: start must not lie before the last region's end. false: no memory. */
bool regions_append(struct regions *r, uint64_t start, uint64_t end, uint32_t categories);
/* into := into ∪ add; categories of overlapping pieces are joined. On false (no memory) into is unchanged. */
bool regions_merge(struct regions *into, const struct regions *add);
/* Removes [start, end). On false (no memory) unchanged. */
bool regions_cut(struct regions *r, uint64_t start, uint64_t end);
/* Pages (4 KiB) in all. */
uint64_t regions_pages(const struct regions *r);
/* The index of the first region that ends after addr (n if none). */
size_t regions_find(const struct regions *r, uint64_t addr);

#endif
