/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source: National Semiconductor PC16550D data sheet. Sending takes no time. Input arrives a FIFO-full at a time, 100
 * us after the guest has emptied the FIFO, and only while RTS is asserted: so a guest that uses RTS/CTS loses
 * nothing, and one that has not opened the port yet finds all input when it does. Clearing the FIFO keeps the bytes
 * on the wire.
 */
#include "machine/dev/uart.h"

#include <string.h>

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/dev/chardev.h"
#include "machine/dev/dev.h"

#define ARRIVAL_CYCLES (TSC_HZ / 10000)

#define IER_RX   0x01
#define IER_THRE 0x02
#define IER_LINE 0x04
#define IER_MSR  0x08
#define IIR_NONE 0x01
#define IIR_MSR  0x00
#define IIR_THRE 0x02
#define IIR_RX   0x04
#define IIR_LINE 0x06
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define LCR_DLAB 0x80
#define MCR_DTR  0x01
#define MCR_RTS  0x02
#define MCR_OUT1 0x04
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define LSR_DR   0x01
#define LSR_OE   0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define MSR_CTS  0x10
#define MSR_DSR  0x20
#define MSR_RI   0x40
#define MSR_DCD  0x80

static bool rx_ready(const struct uart *u)
{
	return u->r.mcr & MCR_LOOP ? u->r.loop_n > 0 : u->r.window > 0;
}

static u8 msr_lines(const struct uart *u)
{
	u8 mcr = u->r.mcr, v = 0;

	if (!(mcr & MCR_LOOP))
		return MSR_CTS | MSR_DSR | MSR_DCD; /* somebody is always at the other end */
	v |= mcr & MCR_RTS ? MSR_CTS : 0;
	v |= mcr & MCR_DTR ? MSR_DSR : 0;
	v |= mcr & MCR_OUT1 ? MSR_RI : 0;
	v |= mcr & MCR_OUT2 ? MSR_DCD : 0;
	return v;
}

/* The highest-priority interrupt cause, as IIR shows it. */
static u8 cause(const struct uart *u)
{
	const struct uart_regs *r = &u->r;

	if ((r->ier & IER_LINE) && r->lsr_errors)
		return IIR_LINE;
	if ((r->ier & IER_RX) && rx_ready(u))
		return IIR_RX;
	if ((r->ier & IER_THRE) && r->thre_pending)
		return IIR_THRE;
	if ((r->ier & IER_MSR) && r->msr_delta)
		return IIR_MSR;
	return IIR_NONE;
}

static void update_irq(struct uart *u)
{
	/* On a PC, OUT2 connects the interrupt to the bus. */
	irq_set(u->m, u->irq, cause(u) != IIR_NONE && (u->r.mcr & MCR_OUT2) && !(u->r.mcr & MCR_LOOP));
}

static bool may_receive(const struct uart *u)
{
	return (u->r.mcr & (MCR_RTS | MCR_LOOP)) == MCR_RTS;
}

static void plan_arrival(struct uart *u)
{
	if (u->r.window || u->arrival.armed || !may_receive(u) || !chardev_ready(u->ch))
		return;
	timer_set(u->m, &u->arrival, machine_now(u->m) + ARRIVAL_CYCLES);
}

static void arrive(void *arg, u64 now)
{
	struct uart *u = arg;
	unsigned n = may_receive(u) ? chardev_ready(u->ch) : 0;

	u->r.window = (u8)(n < UART_FIFO ? n : UART_FIFO);
	update_irq(u);
}

void uart_input(struct uart *u)
{
	unsigned n = chardev_ready(u->ch);

	if (u->r.window > n)
		u->r.window = (u8)n;
	plan_arrival(u);
	update_irq(u);
}

static u8 read_rbr(struct uart *u)
{
	struct uart_regs *r = &u->r;
	u8 v = 0;

	if (r->mcr & MCR_LOOP) {
		if (r->loop_n) {
			v = r->loop[0];
			memmove(r->loop, r->loop + 1, --r->loop_n);
		}
	} else if (r->window) {
		v = chardev_get(u->ch);
		r->window--;
		plan_arrival(u);
	}
	return v;
}

static void write_thr(struct uart *u, u8 v)
{
	struct uart_regs *r = &u->r;
	unsigned room = r->fcr & FCR_ENABLE ? UART_FIFO : 1;

	r->thre_pending = true; /* sent at once */
	if (!(r->mcr & MCR_LOOP))
		chardev_put(u->ch, v);
	else if (r->loop_n < room)
		r->loop[r->loop_n++] = v;
	else
		r->lsr_errors |= LSR_OE;
}

static u8 read_iir(struct uart *u)
{
	u8 v = cause(u);

	if (v == IIR_THRE)
		u->r.thre_pending = false;
	return v | (u->r.fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 read_lsr(struct uart *u)
{
	u8 v = LSR_THRE | LSR_TEMT | u->r.lsr_errors | (rx_ready(u) ? LSR_DR : 0);

	u->r.lsr_errors = 0;
	return v;
}

static u8 read_msr(struct uart *u)
{
	u8 v = msr_lines(u) | u->r.msr_delta;

	u->r.msr_delta = 0;
	return v;
}

static u32 uart_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	struct uart *u = dev;
	bool dlab = u->r.lcr & LCR_DLAB;
	u8 v = 0xff;

	switch (port - u->base) {
	case 0: v = dlab ? u->r.dll : read_rbr(u); break;
	case 1: v = dlab ? u->r.dlm : u->r.ier; break;
	case 2: v = read_iir(u); break;
	case 3: v = u->r.lcr; break;
	case 4: v = u->r.mcr; break;
	case 5: v = read_lsr(u); break;
	case 6: v = read_msr(u); break;
	case 7: v = u->r.scr; break;
	}
	update_irq(u);
	return v;
}

static void write_ier(struct uart *u, u8 v)
{
	/* Enabling the interrupt of an empty transmitter raises it. */
	if ((v & IER_THRE) && !(u->r.ier & IER_THRE))
		u->r.thre_pending = true;
	u->r.ier = v & 0x0f;
}

static void write_fcr(struct uart *u, u8 v)
{
	bool switched = (v ^ u->r.fcr) & FCR_ENABLE;

	u->r.fcr = v & FCR_ENABLE ? v & 0xc9 : 0;
	if (switched || (v & FCR_CLEAR_RX)) {
		u->r.loop_n = 0;
		u->r.window = 0;
		plan_arrival(u);
	}
}

static void write_mcr(struct uart *u, u8 v)
{
	u8 before = msr_lines(u), changed;

	u->r.mcr = v & 0x1f;
	changed = before ^ msr_lines(u);
	u->r.msr_delta |= changed >> 4 & 0x0b;
	if ((changed & MSR_RI) && (before & MSR_RI)) /* trailing edge of RI */
		u->r.msr_delta |= 0x04;
	plan_arrival(u);
}

static void uart_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct uart *u = dev;
	bool dlab = u->r.lcr & LCR_DLAB;
	u8 v = (u8)value;

	switch (port - u->base) {
	case 0:
		if (dlab)
			u->r.dll = v;
		else
			write_thr(u, v);
		break;
	case 1:
		if (dlab)
			u->r.dlm = v;
		else
			write_ier(u, v);
		break;
	case 2: write_fcr(u, v); break;
	case 3: u->r.lcr = v; break;
	case 4: write_mcr(u, v); break;
	case 7: u->r.scr = v; break;
	}
	update_irq(u);
}

void uart_init(struct uart *u, struct machine *m, struct chardev *ch, u16 base, unsigned irq)
{
	u->m = m;
	u->ch = ch;
	u->base = base;
	u->irq = irq;
	u->r = (struct uart_regs){ .dll = 12 };
	u->arrival = (struct timer){ .fire = arrive, .arg = u, .name = "uart" };
	bus_add_pio(m, base, 8, uart_read, uart_write, u, "16550A");
}

void uart_snap(struct uart *u, struct snap *s)
{
	snap_var(s, "uart", u->r);
	timer_snap(u->m, s, "uart.arrival", &u->arrival);
}
