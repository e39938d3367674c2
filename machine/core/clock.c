/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Virtual time: the sorted list of timers, and each CPU's deadline. */
#include "machine/core/clock.h"

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/cpu.h"

static void unlink_timer(struct machine *m, struct timer *t)
{
	struct timer **p = &m->clock.first;

	while (*p && *p != t)
		p = &(*p)->next;
	if (*p)
		*p = t->next;
	t->next = NULL;
	t->armed = false;
}

static bool fires_before(const struct timer *a, const struct timer *b)
{
	return a->when != b->when ? a->when < b->when : a->seq < b->seq;
}

static void link_timer(struct machine *m, struct timer *t)
{
	struct timer **p = &m->clock.first;

	while (*p && fires_before(*p, t))
		p = &(*p)->next;
	t->next = *p;
	*p = t;
	t->armed = true;
}

/* Moves a deadline without moving the present: now = deadline - budget - unspent. */
static void move_deadline(struct cpu *c, u64 when)
{
	c->budget += (s64)(when - c->deadline);
	c->deadline = when;
}

void clock_pull(struct cpu *c, u64 when)
{
	if (when < c->deadline)
		move_deadline(c, when);
}

static void pull_deadlines(struct machine *m, u64 when)
{
	for (unsigned i = 0; i < m->ncpus; i++)
		if (m->cpu[i])
			clock_pull(m->cpu[i], when);
}

void timer_set(struct machine *m, struct timer *t, u64 when)
{
	if (t->armed)
		unlink_timer(m, t);
	t->when = when;
	t->seq = m->clock.seq++;
	link_timer(m, t);
	pull_deadlines(m, when);
}

void timer_cancel(struct machine *m, struct timer *t)
{
	if (t->armed)
		unlink_timer(m, t);
}

void clock_run_due(struct machine *m, u64 now)
{
	struct timer *t;

	while ((t = m->clock.first) != NULL && t->when <= now) {
		unlink_timer(m, t);
		t->fire(t->arg, now);
	}
}

u64 clock_next(const struct machine *m)
{
	return m->clock.first ? m->clock.first->when : CYCLES_NONE;
}

void clock_plan(struct cpu *c, u64 limit)
{
	u64 next = clock_next(c->m);

	move_deadline(c, next < limit ? next : limit);
}

void timer_snap(struct machine *m, struct snap *s, const char *name, struct timer *t)
{
	struct { u64 when, seq, armed; } state = { t->when, t->seq, t->armed };

	snap_bytes(s, name, &state, sizeof(state));
	if (!snap_restoring(s))
		return;
	timer_cancel(m, t);
	t->when = state.when;
	t->seq = state.seq;
	if (state.armed)
		link_timer(m, t);
}

void clock_snap(struct machine *m, struct snap *s)
{
	snap_var(s, "clock.seq", m->clock.seq);
}
