/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When the machine stops for the debugger, and how it goes on. */
#include "machine/debug/debug.h"

#include <stdlib.h>
#include <string.h>

#include "machine/core/config.h"
#include "machine/debug/state.h"
#include "machine/dev/dev.h"

static void want_stop(struct debug *d, enum stop_kind kind, struct cpu *c)
{
	if (d->stop != STOP_NONE)
		return;
	d->stop = kind;
	d->stop_cpu = c;
}

static bool wait_for_debugger(struct debug *d, const char *spec)
{
	fprintf(stderr, "ooh-machine: waiting for a debugger on %s\n", spec);
	while (!d->m->stop && !gdb_accept(&d->link, 1000))
		dev_poll(d->m);
	return !d->m->stop;
}

int debug_open(struct machine *m, const struct machine_config *cfg)
{
	struct debug *d;

	if (!cfg->gdb && !cfg->dump_on_exit)
		return STATUS_OK;
	d = calloc(1, sizeof(*d));
	if (!d) {
		fprintf(stderr, "ooh-machine: --gdb: out of memory\n");
		return STATUS_ENVIRONMENT;
	}
	d->m = m;
	d->modes = IN_ALL;
	d->dump_on_exit = cfg->dump_on_exit;
	d->link.listener = d->link.fd = -1;
	d->last = d->selected = m->cpu[0];
	if (cfg->gdb && !gdb_listen(&d->link, cfg->gdb)) {
		free(d);
		return STATUS_ENVIRONMENT;
	}
	if (cfg->gdb_wait && wait_for_debugger(d, cfg->gdb))
		want_stop(d, STOP_ATTACH, m->cpu[0]);
	m->debug = d;
	return STATUS_OK;
}

void debug_stop_point(struct machine *m)
{
	if (m->debug->stop != STOP_NONE)
		gdb_serve(m->debug);
}

void debug_input(struct machine *m)
{
	struct debug *d = m->debug;

	if (d->serving)
		return;
	if (d->link.fd < 0 && d->link.listener >= 0 && gdb_accept(&d->link, 0))
		want_stop(d, STOP_ATTACH, d->last);
	else if (d->link.fd >= 0 && gdb_interrupted(&d->link))
		want_stop(d, STOP_INTERRUPT, d->last);
	if (d->link.fd < 0 && d->stop != STOP_NONE) {
		d->stop = STOP_NONE;
		debug_clear(d);
	}
}

/* The access has happened if its instruction has retired, or is a repeated one that goes on. */
static void settle_hit(struct debug *d, struct cpu *c)
{
	struct debug_cpu *dc = &d->cpu[c->id];

	if (!dc->hit)
		return;
	if (!dc->hit_by_op || debug_insns(c) > dc->hit_insns || c->rip == dc->hit_rip)
		want_stop(d, STOP_WATCH, c);
	else
		dc->hit = false;
}

static void one_step(struct debug *d, struct cpu *c)
{
	u64 rip = c->rip, insns = debug_insns(c);
	bool nonroot = c->vmx.nonroot;

	cpu_step(c);
	if (c->rip != rip || debug_insns(c) != insns || c->vmx.nonroot != nonroot)
		want_stop(d, STOP_STEP, c);
}

void debug_run_cpu(struct cpu *c)
{
	struct debug *d = c->m->debug;

	d->last = c;
	if (d->cpu[c->id].step)
		one_step(d, c);
	else
		cpu_run(c);
	settle_hit(d, c);
}

void debug_close(struct machine *m)
{
	struct debug *d = m->debug;

	if (!d)
		return;
	for (unsigned i = 0; d->dump_on_exit && i < m->ncpus; i++) {
		machine_print_cpu(m->cpu[i]);
		print_vmcs(m->cpu[i], stderr);
	}
	if (d->link.fd >= 0)
		gdb_ended(d);
	gdb_unlisten(&d->link);
	m->debug = NULL;
	m->watch = NULL;
	free(d->saved);
	free(d);
}
