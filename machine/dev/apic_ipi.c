/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interprocessor interrupts and destinations. Source: SDM 3A "Issuing Interprocessor Interrupts". */
#include "machine/cpu/cpu.h"
#include "machine/cpu/sys/sys.h"
#include "machine/dev/apic.h"
#include "machine/dev/apic_state.h"

#define BROADCAST8 0xffu
#define BROADCAST32 0xffffffffu
#define DFR_FLAT 0xf0000000u

u64 apic_phys_mask(void)
{
	return CPU_PHYS_MASK;
}

/* SDM 3A "Deriving Logical x2APIC ID from the Local x2APIC ID". */
u32 apic_ldr(const struct apic *a)
{
	if (!apic_is_x2(a))
		return a->r.ldr;
	return (a->c->id >> 4) << 16 | 1u << (a->c->id & 15);
}

static bool logical_match(const struct apic *a, u32 dest)
{
	u32 ldr = apic_ldr(a);

	if (apic_is_x2(a))
		return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
	ldr >>= 24;
	if ((a->r.dfr & DFR_FLAT) == DFR_FLAT)
		return dest & ldr & 0xff;
	return (dest >> 4 & 15) == ldr >> 4 && (dest & ldr & 15);
}

/* all: the destination of as many ones as the message has bits for one. */
static bool matches(const struct apic *a, u32 dest, u32 all, bool logical)
{
	if (dest == all)
		return true;
	if (logical)
		return logical_match(a, dest);
	return dest == (apic_is_x2(a) ? a->c->id : a->r.id);
}

/* A message as it goes over the bus. */
struct message {
	u32 dest, all;
	bool logical, level;
	unsigned vector, mode;
};

/* SDM 3A "Lowest Priority Delivery Mode": arbitration by task priority; of equals the lowest number. */
static void to_lowest(struct machine *m, const struct message *x)
{
	struct apic *best = NULL;

	for (unsigned i = 0; i < m->ncpus; i++) {
		struct apic *a = m->cpu[i]->apic;

		if (matches(a, x->dest, x->all, x->logical) && apic_sw_enabled(a) && (!best || a->r.tpr >> 4 < best->r.tpr >> 4))
			best = a;
	}
	if (best)
		apic_deliver(best, x->vector, x->mode, x->level);
}

static void route(struct machine *m, const struct message *x)
{
	if (x->mode << 8 == DELIVERY_LOWEST) {
		to_lowest(m, x);
		return;
	}
	for (unsigned i = 0; i < m->ncpus; i++)
		if (matches(m->cpu[i]->apic, x->dest, x->all, x->logical))
			apic_deliver(m->cpu[i]->apic, x->vector, x->mode, x->level);
}

void apic_bus_message(struct machine *m, u32 dest, bool logical, unsigned vector, unsigned mode, bool level)
{
	route(m, &(struct message){ dest, BROADCAST8, logical, level, vector, mode });
}

/* Shorthands "all" and "all but self"; "self" is the caller's. */
static void to_many(struct apic *a, u32 icr, bool self)
{
	for (unsigned i = 0; i < a->c->m->ncpus; i++)
		if (self || a->c->m->cpu[i] != a->c)
			apic_deliver(a->c->m->cpu[i]->apic, icr & ICR_VECTOR, (icr & DELIVERY_MODE) >> 8, false);
}

static bool is_fixed(u32 icr)
{
	return (icr & DELIVERY_MODE) == DELIVERY_FIXED || (icr & DELIVERY_MODE) == DELIVERY_LOWEST;
}

/* The message reaches its destinations. */
static void send(struct apic *a, u64 icr)
{
	u32 low = (u32)icr, dest = (u32)(icr >> 32);
	struct message x = { dest, BROADCAST32, low & ICR_LOGICAL, false, low & ICR_VECTOR, (low & DELIVERY_MODE) >> 8 };

	switch (low & ICR_SHORTHAND) {
	case ICR_TO_SELF:
		apic_deliver(a, low & ICR_VECTOR, (low & DELIVERY_MODE) >> 8, false);
		break;
	case ICR_TO_ALL:
		to_many(a, low, true);
		break;
	case ICR_TO_OTHERS:
		to_many(a, low, false);
		break;
	default:
		if (!apic_is_x2(a)) {
			x.dest = dest >> 24;
			x.all = BROADCAST8;
		}
		route(a->c->m, &x);
	}
}

static void arrive(void *arg, u64 now)
{
	struct apic *a = arg;

	(void)now;
	send(a, a->sent);
}

void apic_ipi_init(struct apic *a)
{
	a->message = (struct timer){ .fire = arrive, .arg = a, .name = "ipi" };
}

void apic_write_icr(struct apic *a, u64 icr)
{
	/* The sender waits until the message has arrived: the status bit is never seen set. */
	u32 low = (u32)icr & ~(u32)ICR_PENDING;

	a->r.icr = (icr & ~0xffffffffull) | low;
	cpu_charge(a->c, COST_IPI);
	if (is_fixed(low) && (low & ICR_VECTOR) < 16) {
		apic_error(a, ESR_SEND_ILLEGAL);
		return;
	}
	/*
	 * INIT level de-assert is not used by this generation. SDM 3A "Interrupt Command Register (ICR)", note on
	 * trigger mode.
	 */
	if ((low & DELIVERY_MODE) == DELIVERY_INIT && (low & ICR_LEVEL) && !(low & ICR_ASSERT))
		return;
	if (a->c->m->ncpus == 1) {
		send(a, a->r.icr);
		return;
	}
	a->sent = a->r.icr; /* every CPU gets to that cycle before the timer fires, and the sender not past it */
	timer_set(a->c->m, &a->message, cpu_now(a->c));
}

void apic_write_icr_self(struct apic *a, unsigned vector)
{
	if (vector < 16)
		apic_error(a, ESR_SEND_ILLEGAL);
	else
		apic_deliver(a, vector, DELIVERY_FIXED >> 8, false);
}
