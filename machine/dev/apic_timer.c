/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC's timer on virtual time. Source: SDM 3A "APIC Timer"; the clock is the crystal that CPUID 15H names.
 */
#include "machine/cpu/cpu.h"
#include "machine/dev/apic.h"
#include "machine/dev/apic_state.h"

#define CYCLES_PER_TICK (TSC_HZ / CRYSTAL_HZ)
_Static_assert(TSC_HZ % CRYSTAL_HZ == 0, "ticks are whole cycles");

static u64 period_of_tick(const struct apic *a)
{
	unsigned code = (a->r.timer_divide & 3) | (a->r.timer_divide >> 1 & 4);

	return CYCLES_PER_TICK << ((code + 1) & 7); /* 0: by 2 … 6: by 128, 7: by 1 */
}

static u32 mode(const struct apic *a)
{
	return a->r.lvt[LVT_TIMER] & LVT_TIMER_MODE;
}

static void start(struct apic *a, u64 now)
{
	a->r.timer_start = now;
	if (a->r.timer_initial)
		timer_set(a->c->m, &a->timer, now + a->r.timer_initial * period_of_tick(a));
	else
		timer_cancel(a->c->m, &a->timer);
}

static void fire(void *arg, u64 now)
{
	struct apic *a = arg;

	if (mode(a) == LVT_TIMER_PERIODIC)
		start(a, a->timer.when); /* from the exact cycle: no drift */
	else if (mode(a) == LVT_TIMER_DEADLINE)
		a->r.deadline = 0;
	apic_lvt_fire(a, LVT_TIMER);
}

u32 apic_timer_current(struct apic *a)
{
	u64 left;

	if (!a->timer.armed || mode(a) == LVT_TIMER_DEADLINE)
		return 0;
	left = a->timer.when - cpu_now(a->c);
	return (s64)left <= 0 ? 0 : (u32)((left + period_of_tick(a) - 1) / period_of_tick(a));
}

void apic_timer_write_initial(struct apic *a, u32 v)
{
	if (mode(a) == LVT_TIMER_DEADLINE)
		return; /* "writes to the initial-count register are ignored" */
	a->r.timer_initial = v;
	start(a, cpu_now(a->c));
}

void apic_timer_write_divide(struct apic *a, u32 v)
{
	u32 left = apic_timer_current(a);
	u64 now = cpu_now(a->c);

	a->r.timer_divide = v & 0xb;
	if (left && mode(a) != LVT_TIMER_DEADLINE)
		timer_set(a->c->m, &a->timer, now + left * period_of_tick(a));
}

/* Between the deadline mode and the counting ones the timer is disarmed. */
void apic_timer_mode_changed(struct apic *a, u32 before)
{
	if ((before & LVT_TIMER_MODE) != LVT_TIMER_DEADLINE && mode(a) != LVT_TIMER_DEADLINE)
		return;
	a->r.deadline = 0;
	a->r.timer_initial = 0;
	timer_cancel(a->c->m, &a->timer);
}

u64 apic_timer_read_deadline(struct apic *a)
{
	return mode(a) == LVT_TIMER_DEADLINE ? a->r.deadline : 0;
}

static void arm_deadline(struct apic *a)
{
	u64 now = cpu_now(a->c), tsc = now + a->c->tsc_offset;

	if (!a->r.deadline)
		timer_cancel(a->c->m, &a->timer);
	else
		timer_set(a->c->m, &a->timer, a->r.deadline <= tsc ? now : a->r.deadline - a->c->tsc_offset);
}

void apic_timer_write_deadline(struct apic *a, u64 v)
{
	if (mode(a) != LVT_TIMER_DEADLINE)
		return; /* "writes to the IA32_TSC_DEADLINE MSR are ignored" */
	a->r.deadline = v;
	arm_deadline(a);
}

void apic_tsc_changed(struct apic *a)
{
	if (mode(a) == LVT_TIMER_DEADLINE)
		arm_deadline(a);
}

void apic_timer_init(struct apic *a)
{
	a->timer = (struct timer){ .fire = fire, .arg = a, .name = "apic" };
}
