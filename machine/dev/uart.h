/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A 16550A serial port. */
#ifndef OOH_MACHINE_DEV_UART_H
#define OOH_MACHINE_DEV_UART_H

#include "machine/core/clock.h"
#include "machine/core/types.h"

#define UART_FIFO 16

struct chardev;
struct machine;
struct snap;

struct uart_regs {
	u8 ier, lcr, mcr, scr, fcr;
	u8 dll, dlm;
	u8 msr_delta;      /* MSR bits 3:0, cleared by reading */
	u8 lsr_errors;     /* overrun of the loopback */
	bool thre_pending; /* the transmitter-empty interrupt was not acknowledged yet */
	u8 window;         /* bytes of the host's input that have arrived in the FIFO */
	u8 loop[UART_FIFO], loop_n;
};

struct uart {
	struct machine *m;
	struct chardev *ch;
	struct uart_regs r;
	struct timer arrival; /* the next FIFO-full of input */
	u16 base;
	unsigned irq;
};

void uart_init(struct uart *u, struct machine *m, struct chardev *ch, u16 base, unsigned irq);
/* The host may have input. */
void uart_input(struct uart *u);
void uart_snap(struct uart *u, struct snap *s);

#endif
