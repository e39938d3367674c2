/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * The control device of ooh-machine: how software inside asks the machine for what no real machine has: its counters, the
 * oracle, a snapshot. Three I/O ports; the command block is read and written by the device in guest-physical memory (of the
 * outermost level: under ooh's one-to-one hypervisor that is what Linux calls physical).
 *
 *   outl(low half of the block's address,  MACHINE_CTL_PORT)
 *   outl(high half,                        MACHINE_CTL_PORT + 4)
 *   outl(MACHINE_CTL_GO,                   MACHINE_CTL_PORT + 8)   executes; done when the OUT is
 *   inl(MACHINE_CTL_PORT + 8)              returns MACHINE_CTL_MAGIC: detection
 *
 * The commands cost no virtual time beyond the port accesses.
 */
#ifndef OOH_ABI_MACHINE_H
#define OOH_ABI_MACHINE_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define MACHINE_CTL_PORT  0x0ee0
#define MACHINE_CTL_GO    1u
#define MACHINE_CTL_MAGIC 0x6d686f6fu /* "oohm" */
#define MACHINE_EXIT_PORT 0x00f4      /* outl(code): the machine ends with exit status code*2+1 */

/* MACHINE_COUNTERS: indices in the page. */
#define MACHINE_EXITS_AT       64
#define MACHINE_EXIT_REASONS   80
#define MACHINE_EXIT_CYCLES_AT (MACHINE_EXITS_AT + MACHINE_EXIT_REASONS)
#define MACHINE_VECTORS        32
#define MACHINE_VECTORS_AT     (MACHINE_EXIT_CYCLES_AT + MACHINE_EXIT_REASONS)
#define MACHINE_VECTOR_CYCLES_AT (MACHINE_VECTORS_AT + MACHINE_VECTORS)

enum machine_command {
	MACHINE_VERSION = 0,      /* out[0] = 1 */
	MACHINE_COUNTERS = 1,     /* arg[0] = gpa of a page of u64, arg[1] = its entries; out[0] = entries filled; order: abi/machine_counters.def,
	                             then by basic reason, at the indices above, VM exits and the cycles from them to the next VM entry;
	                             then by vector those of the exits by exceptions and NMIs */
	MACHINE_NOW = 2,          /* out[0] = virtual cycles since reset */
	MACHINE_ORACLE_WATCH = 3, /* arg[0] = CR3, arg[1] = start, arg[2] = end; out[0] = watch id */
	MACHINE_ORACLE_UNWATCH = 4, /* arg[0] = id */
	MACHINE_ORACLE_ROUND = 5, /* arg[0] = id; closes the round; out[0] = pages written in it */
	MACHINE_ORACLE_READ = 6,  /* arg[0] = id, arg[1] = first index, arg[2] = gpa of a page, arg[3] = entries (<= 512); out[0] = entries filled */
	MACHINE_SNAPSHOT = 7,     /* saves to the directory of --snapshot-to; the resumed machine sees out[0] = 1, the saving one 0 and goes on,
	                             or stops with status 0 under --snapshot-exit */
	MACHINE_ORACLE_HOLD = 8,  /* arg[0] = id, arg[1] = 1: stores are not recorded until arg[1] = 0 (the tracker's own work) */
};

struct machine_command_block {
	uint32_t command;
	int32_t  status;  /* 0, or a negative errno */
	uint64_t arg[6];
	uint64_t out[6];
};

#endif
