/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unmasked exceptions of the guest are unmasked on the host's CPU, too, while a thunk runs: it raises what it raises, at
 * the price of a signal.
 */
#ifndef OOH_MACHINE_FPU_HOST_FPE_H
#define OOH_MACHINE_FPU_HOST_FPE_H

/* Sends SIGFPE from within the thunks to vex_guard_fault. Whoever had the signal before still gets what is not ours. */
void host_fpe_catch(void);

/* In vex_thunks.S: where the thunks begin, and what comes after them. */
void vex_thunks_begin(void);
void vex_guard_fault(void);

#endif
