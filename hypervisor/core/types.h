/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Integer types for files that are compiled twice: into the freestanding image and into the loader module.
 */
#ifndef OOH_HV_TYPES_H
#define OOH_HV_TYPES_H

#ifdef __KERNEL__
#include <linux/stddef.h>
#include <linux/types.h>
#else
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#pragma GCC visibility push(hidden) /* one static image: no indirection through a table of addresses */
#endif

#define HV_PAGE_SIZE  4096ull
#define HV_BLOCK_SIZE (2ull << 20) /* the unit in which memory is taken from Linux and hidden from it */

/* An address the guest gave us: to be checked before it is used. RAM is mapped one to one, so it is also the host's. */
typedef struct {
	uint64_t value;
} hv_gpa;

#endif
