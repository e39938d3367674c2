/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The oracle: the exact set of pages written in a watched address space, round by round, seen by the machine itself and
 * independent of accessed and dirty flags, EPT and PML. A page P of a watch is written in a round when
 *  (a) a store retires with a linear address in P under the watched CR3, whoever executes it (user code, or the kernel
 *      on its behalf: read(2), signal frames …), or
 *  (b) a store through any other linear address, or a device, writes the frame while P is mapped to it (shared memory,
 *      direct map). "Mapped": the paging structures in memory say so, whether or not the translation was ever used.
 * The accessed and dirty updates of the page walker are no stores. The watched page tables are 4-level ones, and guest-
 * physical addresses in them are taken as physical ones, as they are without EPT and under a hypervisor that maps one
 * to one. Nothing here costs virtual time.
 */
#ifndef OOH_MACHINE_ORACLE_ORACLE_H
#define OOH_MACHINE_ORACLE_ORACLE_H

#include "machine/core/types.h"

struct cpu;
struct machine;
struct snap;

#define ORACLE_MAX_WATCHES 16

int oracle_init(struct machine *m);
/*
 * cr3: page-table root (low 12 bits ignored). [start, end): linear range. Returns a watch id, or -1 (also under 5-level
 * paging). The first round begins.
 */
int oracle_watch(struct machine *m, u64 cr3, u64 start, u64 end);
/* Returns false if there is no such watch; so do the functions below, by 0. */
bool oracle_unwatch(struct machine *m, int id);
bool oracle_exists(const struct machine *m, int id);
/* While held, stores are not recorded in this watch (MACHINE_ORACLE_HOLD: the tracker's own work). */
bool oracle_hold(struct machine *m, int id, bool hold);
/*
 * Closes the round: freezes its set for reading (sorted) and starts the next one. Returns the number of pages written.
 */
u64 oracle_round(struct machine *m, int id);
/* Up to n page addresses of the frozen set from index at. Returns how many. */
u64 oracle_read(struct machine *m, int id, u64 at, u64 *out, u64 n);

/*
 * Hooks of the mmu room, after the bytes are stored. A store of n bytes at offset off of a RAM frame, within one page.
 */
void oracle_store(struct cpu *c, u64 lin, u64 frame, unsigned off, unsigned n);
void oracle_dma(struct machine *m, u64 frame);

/* Part of the machine's state: the watches, their rounds under way and their frozen sets. RAM is restored first. */
void oracle_snap(struct machine *m, struct snap *s);

#endif
