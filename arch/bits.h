/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * Bit and range masks in the manual's order: BITS(hi, lo). Usable from C and from assembler.
 */
#ifndef OOH_ARCH_BITS_H
#define OOH_ARCH_BITS_H

#ifdef __ASSEMBLER__
#define BIT32(n) (1 << (n))
#define BIT64(n) (1 << (n))
#define BITS(hi, lo) (((1 << ((hi) - (lo))) * 2 - 1) << (lo))
#else
#define BIT32(n) (1u << (n))
#define BIT64(n) (1ull << (n))
#define BITS(hi, lo) ((~0ull >> (63 - (hi) + (lo))) << (lo))
#endif

#endif
