/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the run loops for one and for several CPUs have in common. */
#ifndef OOH_MACHINE_CORE_RUN_H
#define OOH_MACHINE_CORE_RUN_H

#include "machine/core/clock.h"

/* Host input is looked at this often (1 ms of virtual time); it bounds a deadline, which the guest cannot see. */
#define POLL_CYCLES (TSC_HZ / 1000)

struct machine;

/* Saves the snapshot that was asked for. To be called while every CPU is between two instructions. */
void machine_take_snapshot(struct machine *m);

#endif
