/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State components of the XSAVE feature set. SDM 1 "Managing State Using the XSAVE Feature Set" (13). */
#ifndef OOH_MACHINE_FPU_XSAVE_H
#define OOH_MACHINE_FPU_XSAVE_H

#include "machine/core/types.h"

struct cpu;

#define XSAVE_LEGACY 512u /* x87, SSE */
#define XSAVE_HEADER 64u
#define XSAVE_FIRST  (XSAVE_LEGACY + XSAVE_HEADER)

/* A component of the extended region: where the standard form has it. */
struct xsave_component {
	u16 offset, size;
};
/* By number: AVX (2) and PKRU (9); size 0: not of this CPU. */
const struct xsave_component *xsave_component(unsigned i);

/* Bytes of an area for these components, in the standard and the compacted form. */
unsigned xsave_size(u64 components);
unsigned xsave_size_compacted(u64 components);

/* The components that are not in their initial state, as XGETBV with ECX = 1 reads them before XCR0 masks them. */
u64 xsave_shown(const struct cpu *c);

#endif
