/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's end of a serial port. A regular file as input is there from the first cycle, so that the run is
 * deterministic; a terminal or a pipe is polled.
 */
#ifndef OOH_MACHINE_DEV_CHARDEV_H
#define OOH_MACHINE_DEV_CHARDEV_H

#include "machine/core/types.h"

#define CHARDEV_BUFFER 4096

struct chardev {
	int in, out;       /* file descriptors, -1: none */
	bool polled;       /* input arrives in the host's time */
	bool tty;          /* input is a terminal: raw mode, Ctrl-A commands */
	bool escape;       /* Ctrl-A was typed */
	bool quit;         /* Ctrl-A x was typed */
	u8 rx[CHARDEV_BUFFER];
	unsigned rx_at, rx_n;
	u8 tx[CHARDEV_BUFFER];
	unsigned tx_n;
};

/* Opens what a --serial option says. False with one line on stderr. */
bool chardev_open(struct chardev *ch, const char *spec);
void chardev_close(struct chardev *ch);
/* How many bytes can be had now, 0 for none (not all, but some of them); reads ahead from a regular file. */
unsigned chardev_ready(struct chardev *ch);
u8 chardev_get(struct chardev *ch);
void chardev_put(struct chardev *ch, u8 byte);
void chardev_flush(struct chardev *ch);
/* Polled input: takes what the host has now. */
void chardev_poll(struct chardev *ch);
/* Input may still come in the host's time. */
bool chardev_may_wake(const struct chardev *ch);

#endif
