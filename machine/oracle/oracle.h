/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The oracle: the exact set of pages written in a watched address space, round by round, seen by the machine itself and
 * independent of accessed and dirty flags, EPT and PML. A page P of a watch is written in a round when
 *  (a) a store retires with a linear address in P under the watched CR3, whoever executes it (user code, or the kernel on its
 *      behalf: read(2), signal frames …), or
 *  (b) a store through any other linear address, or a device, writes the frame while P is mapped to it (shared memory, direct map).
 * The accessed and dirty updates of the page walker are no stores.
 */
#ifndef OOH_MACHINE_ORACLE_ORACLE_H
#define OOH_MACHINE_ORACLE_ORACLE_H

#include "machine/core/types.h"

struct cpu;
struct machine;
struct snap;

#define ORACLE_MAX_WATCHES 16

int oracle_init(struct machine *m);
/* cr3: page-table root (low 12 bits ignored). [start, end): linear range. Returns a watch id, or -1. */
int oracle_watch(struct machine *m, u64 cr3, u64 start, u64 end);
void oracle_unwatch(struct machine *m, int id);
/* Closes the round: freezes its set for reading (sorted) and starts the next one. Returns the number of pages written. */
u64 oracle_round(struct machine *m, int id);
/* Up to n page addresses of the frozen set from index at. Returns how many. */
u64 oracle_read(struct machine *m, int id, u64 at, u64 *out, u64 n);

/* Hooks of the mmu room: called on the slow path for a store of n bytes (frame = RAM frame index). */
void oracle_store(struct cpu *c, u64 lin, u64 frame, unsigned off, unsigned n);
/* A translation of a user page was made by a walk in the current address space. */
void oracle_mapped(struct cpu *c, u64 lin, u64 frame);
void oracle_dma(struct machine *m, u64 frame);
/* True if stores to linear addresses in the current address space must be seen first (then no fast write tag before). */
bool oracle_active(const struct machine *m);

#endif
