/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of devices, and the interrupt lines between them. */
#include "machine/dev/dev.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "arch/x86.h"
#include "machine/core/config.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/cpu.h"
#include "machine/debug/debug.h"
#include "machine/dev/apic.h"
#include "machine/dev/devices.h"

#define ISA_LINES 16
#define PIT_PIN 2 /* the MADT overrides IRQ 0 to pin 2: pin 0 is the 8259's output */
#define MAX_WAIT_MS 1000
#define CYCLES_PER_MS (TSC_HZ / 1000)

static volatile sig_atomic_t terminated;

static void on_signal(int sig)
{
	terminated = sig;
}

/* The terminal must be given back, and --stats written, when the machine is told to end. */
static void catch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static bool init_serials(struct machine *m, const struct machine_config *cfg)
{
	static const struct { u16 base; u8 irq; } ports[SERIALS] = { { 0x3f8, 4 }, { 0x2f8, 3 } };
	struct devices *d = m->dev;

	for (unsigned i = 0; i < SERIALS; i++)
		d->chardev[i].in = d->chardev[i].out = -1;
	for (unsigned i = 0; i < SERIALS; i++) {
		if (!chardev_open(&d->chardev[i], cfg->serial[i]))
			return false;
		uart_init(&d->uart[i], m, &d->chardev[i], ports[i].base, ports[i].irq);
	}
	return true;
}

static bool init_apics(struct machine *m)
{
	for (unsigned i = 0; i < m->ncpus; i++)
		if (!m->cpu[i]->apic && !(m->cpu[i]->apic = apic_new(m->cpu[i])))
			return false;
	return true;
}

static bool init_virtio(struct devices *d, const struct machine_config *cfg)
{
	d->net.link.fd = -1;
	for (; d->disks < DISKS && cfg->disk[d->disks]; d->disks++)
		if (!vblk_init(&d->disk[d->disks], &d->pci, SLOT_DISK + d->disks, d->disks, cfg->disk[d->disks]))
			return false;
	if (cfg->net && !vnet_init(&d->net, &d->pci, SLOT_NET, cfg->net))
		return false;
	d->has_net = cfg->net;
	if (cfg->rng)
		vrng_init(&d->rng, &d->pci, SLOT_RNG);
	d->has_rng = cfg->rng;
	return true;
}

int dev_init(struct machine *m, const struct machine_config *cfg)
{
	struct devices *d = calloc(1, sizeof(*d));

	if (!d || !init_apics(m)) {
		fprintf(stderr, "ooh-machine: devices: out of memory\n");
		free(d);
		return -ENOMEM;
	}
	d->m = m;
	m->dev = d;
	pic_init(&d->pic, m);
	ioapic_init(&d->ioapic, m);
	pit_init(&d->pit, m);
	rtc_init(&d->rtc, m, cfg->epoch);
	fwcfg_init(&d->fwcfg, m);
	pm_init(&d->pm, m);
	pci_init(&d->pci, m);
	board_init(&d->board, m);
	ctl_init(&d->ctl, m);
	if (cfg->test_device)
		testdev_init(&d->testdev, m);
	d->has_testdev = cfg->test_device;
	if (!init_serials(m, cfg) || !init_virtio(d, cfg))
		return -EIO;
	catch_signals();
	d->ready = true;
	return 0;
}

void irq_set(struct machine *m, unsigned irq, bool level)
{
	struct devices *d = m->dev;

	if (irq < ISA_LINES)
		pic_set(&d->pic, irq, level);
	ioapic_set(&d->ioapic, irq == 0 ? PIT_PIN : irq, level);
}

/* Waits until one of the host's ends has something, at most so many milliseconds (-1: for ever). */
static void wait_input(const struct devices *d, int ms)
{
	struct pollfd fd[SERIALS + 1];
	unsigned n = 0;

	for (unsigned i = 0; i < SERIALS; i++)
		if (chardev_may_wake(&d->chardev[i]))
			fd[n++] = (struct pollfd){ .fd = d->chardev[i].in, .events = POLLIN };
	if (d->net.link.fd >= 0)
		fd[n++] = (struct pollfd){ .fd = d->net.link.fd, .events = POLLIN };
	poll(fd, n, ms);
}

static void host_input(struct machine *m, int ms)
{
	struct devices *d = m->dev;

	if (ms)
		wait_input(d, ms);
	if (d->has_net)
		vnet_poll(&d->net);
	for (unsigned i = 0; i < SERIALS; i++) {
		chardev_poll(&d->chardev[i]);
		if (d->chardev[i].quit)
			machine_stop(m, STATUS_INTERRUPTED, "ended by Ctrl-A x");
		if (d->chardev[i].polled)
			uart_input(&d->uart[i]);
	}
	if (terminated)
		machine_stop(m, STATUS_INTERRUPTED, "ended by a signal");
}

void dev_poll(struct machine *m)
{
	struct devices *d = m->dev;

	for (unsigned i = 0; i < SERIALS; i++)
		chardev_flush(&d->chardev[i]);
	host_input(m, 0);
	debug_poll(m);
}

/* What may end a wait from outside: input that comes in the host's time, from somebody who lives in it (real). */
static bool may_wake(const struct devices *d, bool *real)
{
	bool any = d->net.link.fd >= 0;

	*real = any;
	for (unsigned i = 0; i < SERIALS; i++) {
		any |= chardev_may_wake(&d->chardev[i]);
		*real |= chardev_may_wake(&d->chardev[i]) && d->chardev[i].tty;
	}
	return any;
}

/*
 * With a person at the terminal, or a network, an idle guest sleeps in real time, as long as *until says; else virtual
 * time jumps to the next timer. Returns milliseconds to wait; *until is how far time goes after that.
 */
static int wait_ms(const struct machine *m, bool real, u64 *until)
{
	u64 now = machine_now(m), ms;

	if (!real)
		return *until == CYCLES_NONE ? MAX_WAIT_MS : 0;
	if (*until != CYCLES_NONE && *until <= now)
		return 0;
	ms = (*until - now) / CYCLES_PER_MS;
	if (ms > MAX_WAIT_MS) {
		ms = MAX_WAIT_MS;
		*until = now + ms * CYCLES_PER_MS;
	}
	return (int)ms;
}

/*
 * All CPUs wait, and nothing is to come but ticks of the 8254 that no CPU will hear: its interrupt is masked, or goes through
 * the 8259 to a CPU that takes none. Without that, a Multiboot image that has halted for good would halt for ever.
 */
static bool only_unheard_ticks(const struct machine *m)
{
	const struct devices *d = m->dev;
	const struct cpu *c = m->cpu[0];
	const struct timer *t = m->clock.first;
	bool deaf = !(c->eflags & EFLAGS_IF) && !c->vmx.on && ioapic_masked(&d->ioapic, 0);

	return t == &d->pit.timer && !t->next && ioapic_masked(&d->ioapic, PIT_PIN) && (deaf || (pic_mask(&d->pic) & 1));
}

bool dev_idle_wait(struct machine *m, u64 *until)
{
	bool real, any = may_wake(m->dev, &real);

	dev_poll(m);
	if (m->stop)
		return true;
	if (!any && (*until == CYCLES_NONE || only_unheard_ticks(m)))
		return false;
	if (any)
		host_input(m, wait_ms(m, real, until));
	return true;
}

void dev_close(struct machine *m)
{
	for (unsigned i = 0; m->dev && i < SERIALS; i++)
		chardev_close(&m->dev->chardev[i]);
	for (unsigned i = 0; m->dev && i < DISKS; i++)
		disk_close(&m->dev->disk[i].disk);
	if (m->dev && m->dev->has_net)
		vnet_close(&m->dev->net);
}

void dev_snap(struct machine *m, struct snap *s)
{
	struct devices *d = m->dev;

	pic_snap(&d->pic, s);
	ioapic_snap(&d->ioapic, s);
	pit_snap(&d->pit, s);
	rtc_snap(&d->rtc, s);
	fwcfg_snap(&d->fwcfg, s);
	pm_snap(&d->pm, s);
	pci_snap(&d->pci, s);
	for (unsigned i = 0; i < d->disks; i++)
		vblk_snap(&d->disk[i], s);
	if (d->has_net)
		vnet_snap(&d->net, s);
	if (d->has_rng)
		vrng_snap(&d->rng, s);
	if (d->has_testdev)
		testdev_snap(&d->testdev, s);
	board_snap(&d->board, s);
	ctl_snap(&d->ctl, s);
	for (unsigned i = 0; i < SERIALS; i++) {
		uart_snap(&d->uart[i], s);
		if (snap_restoring(s))
			uart_input(&d->uart[i]);
	}
}
