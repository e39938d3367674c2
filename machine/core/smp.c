/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/core/smp.h"

#include "machine/core/config.h"
#include "machine/core/digest.h"
#include "machine/core/profile.h"
#include "machine/core/run.h"
#include "machine/core/snapshot.h"
#include "machine/debug/debug.h"
#include "machine/dev/dev.h"

/* So often an instruction gives way at one place; then it goes on: its own fetch may cost what puts it ahead again. */
#define MAX_TURNS 8

/*
 * The CPU that is furthest behind of those that do not sleep; the lowest number of equals. It may run now: the next one's
 * time goes to clock.others, and stays true while it does, because a CPU's time passes only when it runs or wakes.
 */
static struct cpu *slowest(struct machine *m)
{
	u64 least = CYCLES_NONE, next = CYCLES_NONE;
	struct cpu *best = NULL;

	for (unsigned i = 0; i < m->ncpus; i++) {
		struct cpu *c = m->cpu[i];
		u64 now;

		if (c->asleep)
			continue;
		now = cpu_now(c);
		if (now < least) {
			next = least;
			least = now;
			best = c;
		} else if (now < next) {
			next = now;
		}
	}
	m->clock.others = next;
	return best;
}

static void count_sleep(struct cpu *c, u64 cycles)
{
	if (c->activity != HALTED)
		return;
	c->halted_cycles += cycles;
	stat_add(c->m, STAT_HALTED_CYCLES, cycles);
}

/* A sleeper's time does not pass by itself. */
static void catch_up(struct cpu *c, u64 now)
{
	u64 own = cpu_now(c);

	if (now <= own)
		return;
	count_sleep(c, now - own);
	c->deadline += now - own;
}

void smp_wake(struct cpu *c)
{
	struct cpu *running = c->m->running;

	if (!c->asleep)
		return;
	c->asleep = false;
	catch_up(c, machine_now(c->m));
	if (cpu_now(c) < c->m->clock.others)
		c->m->clock.others = cpu_now(c);
	if (running)
		clock_pull(running, cpu_now(c) + SMP_QUANTUM);
}

static _Noreturn void give_way(struct cpu *c)
{
	c->pending |= PEND_STOP;
	cpu_unwind(c, UNWIND_RESUME);
}

void smp_take_turn(struct cpu *c, const struct op *o)
{
	if (!o)
		return;
	cpu_sync(c, o);
	if (c->m->clock.others < cpu_now(c) && c->turns < MAX_TURNS) {
		c->turns++;
		give_way(c);
	}
	c->turns = 0;
}

void smp_pause(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	if (c->m->clock.others < cpu_now(c))
		clock_pull(c, cpu_now(c));
	c->unspent = 0;
	c->unretired = 0;
}

void smp_tsc_order(struct cpu *c)
{
	u64 *seen = &c->m->clock.tsc_seen, now = cpu_now(c);

	if (c->m->ncpus == 1)
		return;
	if (now < *seen)
		c->budget -= (s64)(*seen - now);
	else
		*seen = now;
}

/* All sleep: time goes to the next timer, or as far as whoever sits at the terminal lets it. */
static void all_asleep(struct machine *m)
{
	u64 until = clock_next(m), end = m->cfg->max_cycles ? m->cfg->max_cycles : CYCLES_NONE;

	if (!dev_idle_wait(m, &until)) {
		machine_stop(m, STATUS_DEADLOCK, "halted, and nothing can wake the CPUs");
		return;
	}
	if (m->stop || slowest(m) || until == CYCLES_NONE)
		return;
	m->clock.now = until < end ? until : end;
	clock_run_due(m, m->clock.now);
	if (m->clock.now >= end)
		machine_stop(m, STATUS_LIMIT, "--max-cycles reached");
}

/* One timer's cycle is looked at in one go; whoever it wakes may then be the one to run. */
static bool timers_fired(struct machine *m, u64 now)
{
	u64 next = clock_next(m);

	if (next > now)
		return false;
	if (next > m->clock.now)
		m->clock.now = next;
	clock_run_due(m, m->clock.now);
	return true;
}

static void sample(struct machine *m)
{
	if (!m->cfg->profile || m->clock.now < m->clock.next_sample)
		return;
	m->clock.next_sample = m->clock.now + PROFILE_CYCLES;
	for (unsigned i = 0; i < m->ncpus; i++)
		if (!m->cpu[i]->asleep)
			profile_sample(m->cpu[i]);
}

static void poll(struct machine *m)
{
	if (m->clock.now < m->clock.next_poll)
		return;
	m->clock.next_poll = m->clock.now + POLL_CYCLES;
	dev_poll(m);
}

static u64 horizon(const struct machine *m, const struct cpu *c)
{
	u64 limit = m->clock.next_poll, others = m->clock.others;

	if (others < limit && others + SMP_QUANTUM < limit)
		limit = others + SMP_QUANTUM;
	if (m->cfg->profile && m->clock.next_sample < limit)
		limit = m->clock.next_sample;
	if (m->cfg->max_cycles && m->cfg->max_cycles < limit)
		limit = m->cfg->max_cycles;
	if (m->cfg->trace_from > cpu_now(c) && m->cfg->trace_from < limit)
		limit = m->cfg->trace_from;
	return limit;
}

static void quantum(struct machine *m, struct cpu *c)
{
	u64 insns = m->stat[STAT_INSNS];

	clock_plan(c, horizon(m, c));
	c->trace = cpu_now(c) >= m->cfg->trace_from;
	m->running = c;
	debug_run(c);
	m->running = NULL;
	c->retired += m->stat[STAT_INSNS] - insns;
	if (m->stop && cpu_now(c) > m->clock.now)
		m->clock.now = cpu_now(c);
}

/* What happens between two instructions of the whole machine. True: the CPU `c` may run. */
static bool boundary(struct machine *m, const struct cpu *c)
{
	u64 now = cpu_now(c);

	if (timers_fired(m, now))
		return false;
	m->clock.now = now;
	if (m->cfg->max_cycles && now >= m->cfg->max_cycles) {
		machine_stop(m, STATUS_LIMIT, "--max-cycles reached");
		return false;
	}
	sample(m);
	poll(m);
	digest_boundary(m, now);
	return !m->stop;
}

void smp_run(struct machine *m)
{
	m->running = NULL;
	while (!m->stop) {
		struct cpu *c;

		debug_boundary(m);
		if (m->snapshot_wanted)
			machine_take_snapshot(m);
		c = slowest(m);
		if (!c)
			all_asleep(m);
		else if (boundary(m, c))
			quantum(m, c);
	}
	for (unsigned i = 0; i < m->ncpus; i++)
		if (m->cpu[i]->asleep)
			catch_up(m->cpu[i], m->clock.now);
}

void smp_snap(struct machine *m, struct snap *s)
{
	if (m->ncpus == 1)
		return;
	snap_var(s, "smp.now", m->clock.now);
	snap_var(s, "smp.tsc_seen", m->clock.tsc_seen);
	snap_var(s, "smp.next_poll", m->clock.next_poll);
	snap_var(s, "smp.next_sample", m->clock.next_sample);
	for (unsigned i = 0; i < m->ncpus; i++) {
		struct cpu *c = m->cpu[i];

		snap_var(s, "smp.asleep", c->asleep);
		snap_var(s, "smp.turns", c->turns);
		snap_var(s, "smp.retired", c->retired);
		snap_var(s, "smp.halted", c->halted_cycles);
	}
}
