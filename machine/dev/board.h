/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's glue: A20 and fast reset (92H), keyboard controller without devices (60H, 64H), POST code (80H), exit
 * port (F4H); with --irq-ports or --test-device, ports that set interrupt lines (2000H to 2017H).
 */
#ifndef OOH_MACHINE_DEV_BOARD_H
#define OOH_MACHINE_DEV_BOARD_H

#include "machine/core/types.h"

struct machine;
struct snap;

struct board {
	struct machine *m;
	struct {
		u8 port92, post;
		u8 kbd_command, kbd_output, kbd_mode, kbd_pending; /* kbd_command: waits for its data byte; 0: none */
	} r;
};

void board_init(struct board *b, struct machine *m);
void board_snap(struct board *b, struct snap *s);

#endif
