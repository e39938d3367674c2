/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Operands that find mistakes: boundary values of every format beside plain random bits. */
#ifndef OOH_TESTS_MACHINE_FPU_RANDOM_H
#define OOH_TESTS_MACHINE_FPU_RANDOM_H

#include "machine/core/types.h"

void rnd_seed(u64 seed);
u64 rnd(void);
/* 0..n-1 */
static inline unsigned rnd_below(unsigned n)
{
	return (unsigned)(rnd() % n);
}
/* n bytes of lanes of one kind. */
void rnd_vector(void *p, unsigned n);
void rnd_x87(u64 *mant, u16 *se);
u64 rnd_gpr(void);

#endif
