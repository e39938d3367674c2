/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's life: made, run, stopped. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "machine/boot/boot.h"
#include "machine/core/config.h"
#include "machine/core/digest.h"
#include "machine/core/machine.h"
#include "machine/core/profile.h"
#include "machine/core/run.h"
#include "machine/core/smp.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/sys/sys.h"
#include "machine/debug/debug.h"
#include "machine/debug/trace.h"
#include "machine/dev/dev.h"
#include "machine/oracle/oracle.h"

static u64 host_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

u64 machine_now(const struct machine *m)
{
	return m->running ? cpu_now(m->running) : m->clock.now;
}

static int make_cpus(struct machine *m, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		m->cpu[i] = cpu_new(m, i);
		if (!m->cpu[i]) {
			fprintf(stderr, "ooh-machine: cpu %u: out of memory\n", i);
			return STATUS_ENVIRONMENT;
		}
		m->ncpus = i + 1;
	}
	m->running = n == 1 ? m->cpu[0] : NULL;
	return STATUS_OK;
}

static int start_guest(struct machine *m, const struct machine_config *cfg)
{
	int status;

	if (cfg->resume) {
		status = snapshot_load(m, cfg->resume) ? STATUS_ENVIRONMENT : STATUS_OK;
		m->insns_at_start = m->stat[STAT_INSNS];
		return status;
	}
	status = boot_load(m, cfg);
	memset(m->stat, 0, sizeof(m->stat)); /* the loader's own stores are nobody's */
	return status;
}

int machine_init(struct machine *m, struct machine_config *cfg)
{
	const char *wrong;
	int status;

	memset(m, 0, sizeof(*m));
	if (cfg->resume && snapshot_read_config(cfg->resume, cfg) != 0)
		return STATUS_ENVIRONMENT;
	wrong = cpuid_choose(cfg->cpu);
	if (wrong) {
		fprintf(stderr, "ooh-machine: --cpu %s: no such feature here\n", wrong);
		return STATUS_USAGE;
	}
	if (fpu_host_lacks()) {
		fprintf(stderr, "ooh-machine: the host's CPU lacks %s\n", fpu_host_lacks());
		return STATUS_ENVIRONMENT;
	}
	m->cfg = cfg;
	m->seed = cfg->seed;
	m->host_start_ns = host_ns();
	m->costs = cost_table_find(cfg->costs);
	if (!bus_init(m, cfg->ram)) {
		fprintf(stderr, "ooh-machine: --ram %" PRIu64 "M: %s\n", cfg->ram >> 20, strerror(errno));
		return STATUS_ENVIRONMENT;
	}
	if (oracle_init(m) != 0) {
		fprintf(stderr, "ooh-machine: oracle: out of memory\n");
		return STATUS_ENVIRONMENT;
	}
	status = make_cpus(m, cfg->cpus);
	if (status)
		return status;
	if (dev_init(m, cfg) != 0)
		return STATUS_ENVIRONMENT;
	for (unsigned i = 0; i < m->ncpus; i++)
		cpu_reset(m->cpu[i]);
	status = start_guest(m, cfg);
	if (!status)
		status = trace_open(m, cfg);
	if (!status)
		status = digest_open(m, cfg);
	return status ? status : debug_open(m, cfg);
}

static u64 next_limit(const struct machine *m, u64 now)
{
	u64 limit = now + (m->cfg->profile ? PROFILE_CYCLES : POLL_CYCLES);

	if (m->cfg->max_cycles && m->cfg->max_cycles < limit)
		limit = m->cfg->max_cycles;
	if (m->cfg->trace_from > now && m->cfg->trace_from < limit)
		limit = m->cfg->trace_from;
	return digest_limit(m, limit);
}

void machine_take_snapshot(struct machine *m)
{
	const char *dir = m->snapshot_wanted;
	int err;

	m->snapshot_wanted = NULL;
	err = snapshot_save(m, dir);
	if (err)
		machine_stop(m, STATUS_ENVIRONMENT, "the snapshot could not be saved");
	else if (m->cfg->snapshot_exit)
		machine_stop(m, STATUS_OK, "snapshot saved");
}

static void run_one(struct machine *m, struct cpu *c)
{
	while (!m->stop) {
		u64 now = cpu_now(c);

		debug_boundary(m);
		if (m->cfg->profile)
			profile_sample(c);
		clock_run_due(m, now);
		digest_boundary(m, now);
		if (m->cfg->max_cycles && now >= m->cfg->max_cycles) {
			machine_stop(m, STATUS_LIMIT, "--max-cycles reached");
			break;
		}
		clock_plan(c, next_limit(m, now));
		c->trace = now >= m->cfg->trace_from;
		debug_run(c);
		dev_poll(m);
		if (m->snapshot_wanted)
			machine_take_snapshot(m);
	}
}

int machine_run(struct machine *m)
{
	if (m->ncpus == 1)
		run_one(m, m->cpu[0]);
	else
		smp_run(m);
	if (m->exit_status == STATUS_TRIPLE_FAULT && m->stopped_by)
		machine_print_cpu(m->stopped_by);
	digest_close(m);
	debug_close(m);
	return m->exit_status;
}
