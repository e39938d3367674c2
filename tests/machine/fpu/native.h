/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One instruction on the host's CPU, with all of its registers given and taken back. Linked at low addresses (no
 * PIE).
 */
#ifndef OOH_TESTS_MACHINE_FPU_NATIVE_H
#define OOH_TESTS_MACHINE_FPU_NATIVE_H

#include "machine/core/types.h"

/* FXSAVE64's image. */
struct fx_image {
	u16 fcw, fsw;
	u8 ftw, reserved;
	u16 fop;
	u64 fip, fdp;
	u32 mxcsr, mxcsr_mask;
	struct { u64 mant; u16 se; u16 pad[3]; } st[8];
	u64 xmm[16][2];
	u64 rest[12];
} __attribute__((aligned(64)));

struct native_state {
	struct fx_image fx;
	u64 gpr[16];
	u64 flags;
} __attribute__((aligned(64)));

#define NATIVE_NO_FAULT 0xff

/* Where the instruction runs. */
const u8 *native_page(void);
/* Runs n bytes from *in; *out is what they left. Returns the vector that they raised, or NATIVE_NO_FAULT. */
unsigned native_run(const u8 *bytes, unsigned n, const struct native_state *in, struct native_state *out);
/* What FXRSTOR makes of the image. */
void native_canonical(struct fx_image *fx);

#endif
