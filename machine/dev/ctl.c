/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/dev/ctl.h"

#include <errno.h>
#include <string.h>

#include "abi/machine.h"
#include "machine/core/config.h"
#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/cpu.h"
#include "machine/oracle/oracle.h"

#define PAGE_ENTRIES 512
_Static_assert(STAT_COUNT <= MACHINE_EXITS_AT && EXIT_REASON_SLOTS == MACHINE_EXIT_REASONS && VECTOR_SLOTS == MACHINE_VECTORS,
	"exit counts have a fixed place in the guest's page");

static int put_page(struct machine *m, u64 gpa, const u64 *entries, u64 n)
{
	return bus_dma_write(m, (hpa_t){ gpa }, entries, n * sizeof(u64)) ? 0 : -EFAULT;
}

static int counters(struct machine *m, struct machine_command_block *b)
{
	u64 page[MACHINE_VECTOR_CYCLES_AT + MACHINE_VECTORS] = { 0 };
	u64 n = b->arg[1], most = sizeof(page) / sizeof(page[0]);

	memcpy(page, m->stat, sizeof(m->stat));
	memcpy(page + MACHINE_EXITS_AT, m->exits, sizeof(m->exits));
	memcpy(page + MACHINE_EXIT_CYCLES_AT, m->exit_cycles, sizeof(m->exit_cycles));
	memcpy(page + MACHINE_VECTORS_AT, m->vector_exits, sizeof(m->vector_exits));
	memcpy(page + MACHINE_VECTOR_CYCLES_AT, m->vector_cycles, sizeof(m->vector_cycles));
	if (n > most)
		n = most;
	b->out[0] = n;
	return put_page(m, b->arg[0], page, n);
}

static int watch(struct machine *m, struct machine_command_block *b)
{
	int id = oracle_watch(m, b->arg[0], b->arg[1], b->arg[2]);

	b->out[0] = (u64)id;
	return id < 0 ? -ENOSPC : 0;
}

static int read_round(struct machine *m, struct machine_command_block *b)
{
	u64 page[PAGE_ENTRIES];

	if (b->arg[3] > PAGE_ENTRIES)
		return -EINVAL;
	b->out[0] = oracle_read(m, (int)b->arg[0], b->arg[1], page, b->arg[3]);
	return put_page(m, b->arg[2], page, b->out[0]);
}

/* Saved at the next boundary by the run loop: the state must not be that of a half-done OUT. */
static int snapshot(struct machine *m, u64 block)
{
	if (!m->cfg->snapshot_to)
		return -ENODEV;
	m->snapshot_wanted = m->cfg->snapshot_to;
	m->snapshot_block = block;
	for (unsigned i = 0; i < m->ncpus; i++)
		cpu_kick(m->cpu[i], PEND_STOP);
	return 0;
}

static bool is_watch(u64 id)
{
	return id < ORACLE_MAX_WATCHES;
}

static int execute(struct machine *m, u64 block, struct machine_command_block *b)
{
	switch ((enum machine_command)b->command) {
	case MACHINE_VERSION:
		b->out[0] = 1;
		return 0;
	case MACHINE_COUNTERS:
		return counters(m, b);
	case MACHINE_NOW:
		b->out[0] = machine_now(m);
		return 0;
	case MACHINE_ORACLE_WATCH:
		return watch(m, b);
	case MACHINE_ORACLE_UNWATCH:
		if (!is_watch(b->arg[0]))
			return -EINVAL;
		oracle_unwatch(m, (int)b->arg[0]);
		return 0;
	case MACHINE_ORACLE_ROUND:
		if (!is_watch(b->arg[0]))
			return -EINVAL;
		b->out[0] = oracle_round(m, (int)b->arg[0]);
		return 0;
	case MACHINE_ORACLE_READ:
		return is_watch(b->arg[0]) ? read_round(m, b) : -EINVAL;
	case MACHINE_SNAPSHOT:
		b->out[0] = 0;
		return snapshot(m, block);
	case MACHINE_ORACLE_HOLD:
		if (!is_watch(b->arg[0]) || b->arg[1] > 1)
			return -EINVAL;
		oracle_hold(m, (int)b->arg[0], b->arg[1]);
		return 0;
	}
	return -ENOSYS;
}

static void go(struct ctl *d)
{
	struct machine_command_block b;

	if (!bus_dma_read(d->m, (hpa_t){ d->block }, &b, sizeof(b)))
		return;
	b.status = execute(d->m, d->block, &b);
	bus_dma_write(d->m, (hpa_t){ d->block }, &b, sizeof(b));
}

void ctl_resumed(struct machine *m, u64 block)
{
	u64 pages = m->stat[STAT_DMA_PAGES]; /* the saving machine did not write: counters go on alike */
	struct machine_command_block b;

	if (!bus_dma_read(m, (hpa_t){ block }, &b, sizeof(b)))
		return;
	b.out[0] = 1;
	bus_dma_write(m, (hpa_t){ block }, &b, sizeof(b));
	m->stat[STAT_DMA_PAGES] = pages;
}

static u32 ctl_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	return port == MACHINE_CTL_PORT + 8 ? MACHINE_CTL_MAGIC : 0;
}

static void ctl_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct ctl *d = dev;

	if (size != 4)
		return;
	switch (port) {
	case MACHINE_CTL_PORT: d->block = (d->block & ~0xffffffffull) | value; break;
	case MACHINE_CTL_PORT + 4: d->block = (u32)d->block | (u64)value << 32; break;
	case MACHINE_CTL_PORT + 8:
		if (value == MACHINE_CTL_GO)
			go(d);
	}
}

void ctl_init(struct ctl *d, struct machine *m)
{
	d->m = m;
	bus_add_pio(m, MACHINE_CTL_PORT, 12, ctl_read, ctl_write, d, "control");
}

void ctl_snap(struct ctl *d, struct snap *s)
{
	snap_var(s, "ctl.block", d->block);
}
