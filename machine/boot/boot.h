/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Boot without firmware: the machine's loader does what a BIOS and a boot loader leave behind (tables in memory, device
 * and CPU state) and enters the kernel.
 */
#ifndef OOH_MACHINE_BOOT_BOOT_H
#define OOH_MACHINE_BOOT_BOOT_H

#include "machine/core/types.h"

struct machine;
struct machine_config;

/* Loads cfg->kernel and initrd, sets up memory and the first CPU. 0, or an exit status with one line on stderr. */
int boot_load(struct machine *m, const struct machine_config *cfg);

#endif
