/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's firmware configuration device at 510H, as far as a bare guest asks it: memory size, CPU count, an empty
 * directory.
 */
#ifndef OOH_MACHINE_DEV_FWCFG_H
#define OOH_MACHINE_DEV_FWCFG_H

#include "machine/core/types.h"

struct machine;
struct snap;

struct fwcfg {
	struct machine *m;
	struct {
		u16 selected;
		u32 at;
	} r;
};

void fwcfg_init(struct fwcfg *f, struct machine *m);
void fwcfg_snap(struct fwcfg *f, struct snap *s);

#endif
