/* SPDX-License-Identifier: GPL-2.0-only OR LGPL-2.1-only */
/*
 * /dev/ooh-machine: the machine's control device (abi/machine.h) for experiments in user space. Root only.
 *
 * One call, PROBE_COMMAND, with the command block itself. The driver puts physical addresses where user space has others:
 *   MACHINE_COUNTERS       arg[0] = user address of arg[1] u64 (<= 512)
 *   MACHINE_ORACLE_WATCH   arg[0] = process id (0: the caller) in place of CR3
 *   MACHINE_ORACLE_READ    arg[2] = user address of arg[3] u64 (<= 512)
 * The ioctl fails with ENODEV outside the machine and ESRCH without such a process; else block.status tells.
 */
#ifndef OOH_LAB_PROBE_H
#define OOH_LAB_PROBE_H

#include <linux/ioctl.h>

#include "abi/machine.h"

#define PROBE_DEVICE  "/dev/ooh-machine"
#define PROBE_COMMAND _IOWR('M', 1, struct machine_command_block)

#endif
