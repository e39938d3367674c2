/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef OOH_TESTS_ENGINES_SPOILED_H
#define OOH_TESTS_ENGINES_SPOILED_H

#include "machine/cpu/cpu.h"

void __wrap_cpu_deliver(struct cpu *c, const struct event *e);
void __real_cpu_deliver(struct cpu *c, const struct event *e);
void __wrap_code_written(struct machine *m, u64 frame, unsigned off, unsigned n);
void __real_code_written(struct machine *m, u64 frame, unsigned off, unsigned n);

#endif
