/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A whole machine without a kernel: its devices are driven over the bus, and time is moved by hand. */
#ifndef OOH_TESTS_MACHINE_DEV_PC_H
#define OOH_TESTS_MACHINE_DEV_PC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "machine/core/config.h"
#include "machine/core/machine.h"
#include "machine/cpu/cpu.h"
#include "machine/dev/apic.h"
#include "machine/dev/dev.h"

struct pc {
	struct machine m;
	struct machine_config cfg;
	struct cpu *c;
};

/* Fresh machines, one a test. */
struct pc *pc_new(const char *serial);
/* The same with devices or several CPUs; the helpers below act for the first. cfg->ram, seed and so on are set by it. */
struct pc *pc_new_with(const struct machine_config *cfg);
void pc_free(struct pc *pc);

void out8(struct pc *pc, u16 port, u8 v);
u8 in8(struct pc *pc, u16 port);
void out32(struct pc *pc, u16 port, u32 v);
u32 in32(struct pc *pc, u16 port);
void write32(struct pc *pc, u64 at, u32 v);
u32 read32(struct pc *pc, u64 at);

/* Lets time pass; timers fire at their cycles. */
void pass(struct pc *pc, u64 cycles);
/* Runs to the next timer and fires it; returns its cycle. */
u64 to_next_timer(struct pc *pc);

/* The usual set-up of the 8259 pair: vectors 20H and 28H, all inputs open. */
void pic_setup(struct pc *pc);
/* Takes the pending interrupt as a CPU does; -1 if there is none. */
int take(struct pc *pc);

#endif
