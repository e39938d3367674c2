/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the guest spends its virtual time: RIP, looked at every PROFILE_CYCLES. */
#ifndef OOH_MACHINE_CORE_PROFILE_H
#define OOH_MACHINE_CORE_PROFILE_H

#include <stdbool.h>

#include "machine/core/types.h"

#define PROFILE_CYCLES 10007u /* a prime: no beat with the guest's own periods */

struct cpu;

/* Takes one sample. Memory running out ends the sampling, not the machine. */
void profile_sample(const struct cpu *c);
/* Writes "count mode address" lines, most first; mode: user, kernel or root. False with a line on stderr. */
bool profile_write(const char *path);

#endif
