/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The extended page tables: one set for all CPUs, one to one, every leaf accessed and dirty until it is armed.
 * Compiled into the loader (which builds them) and into the image (which changes them).
 */
#ifndef OOH_HV_EPT_H
#define OOH_HV_EPT_H

#include "core/hv.h"

/* Software bits of our entries: ignored by the CPU in an entry that points to a table (SDM 3C tables 29-2, 29-4). */
#define EPT_SW_SPLIT BIT64(52) /* of a table: it was made from a leaf of this size, and can be one again */
#define EPT_SW_RAM   BIT64(53) /* of a leaf: all of it is RAM of the guest, no need to look further */

/* Returns the physical address of a zeroed page, or 0. With spare false, leaves the reserve for late MMIO alone. */
uint64_t hv_page_alloc(struct hv *hv, bool spare);
void hv_page_free(struct hv *hv, uint64_t pa);

/* True if [gpa, gpa + size) lies within one range of RAM; our own memory counts as RAM here. */
bool hv_is_ram(const struct hv *hv, uint64_t gpa, uint64_t size);
bool hv_is_ours(const struct hv *hv, uint64_t gpa);
/* RAM that the guest owns: what arguments of hypercalls may name. The size must not cross a 4 KiB page. */
bool hv_guest_owns(const struct hv *hv, hv_gpa gpa, uint64_t size);

/*
 * Maps the largest page around gpa that has one memory type and holds none of our memory. Returns its size, also if it
 * was mapped before; 0 if no page is left for a table, or gpa is beyond the CPU's addresses. The caller holds hv.lock.
 */
uint64_t hv_ept_map(struct hv *hv, uint64_t gpa);
/* The leaf entry for gpa, or NULL if nothing is mapped there. */
uint64_t *hv_ept_leaf(const struct hv *hv, uint64_t gpa);

/* The page table used last; frames in a list are often neighbours. Good as long as hv.lock is held. */
struct hv_ept_cursor {
	uint64_t *table; /* NULL: none yet */
	uint64_t region; /* its frames, divided by 512 */
};

/* Each returns 0 or OOH_HC_E*; the caller holds hv.lock. */
int hv_ept_arm(struct hv *hv, struct hv_ept_cursor *cursor, uint64_t frame);
int hv_ept_disarm(struct hv *hv, struct hv_ept_cursor *cursor, uint64_t frame);
void hv_ept_reset(struct hv *hv);

#endif
