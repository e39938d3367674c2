/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the images about code share: pages of code in a window whose mappings change, and calls often enough to be hot. */
#ifndef OOH_TESTS_GUEST_CODE_HOT_H
#define OOH_TESTS_GUEST_CODE_HOT_H

#include "arch/paging.h"
#include "tests/guest/sys/expect.h"

#define HOT 300                /* calls after which an engine has done all it does to hot code */
#define WINDOW 0x10000000000ull /* 1 TiB: PML4 entry 2 */

extern u8 code[4][4096];
extern u64 pt[512]; /* of the window's first 2 MiB */

u64 at(unsigned page);
void map(unsigned page, const void *frame, u64 flags);
void build_window(void);
u64 call(u64 a, u64 arg);
/* Calls often; returns how many calls did not give `want`. */
unsigned heat(u64 a, u64 arg, u64 want);
/* mov $v, %eax; ret: six bytes */
void put_return(u8 *p, u32 v);

#endif
