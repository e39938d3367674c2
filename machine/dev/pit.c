/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source: Intel 8254 data sheet (231164-005). Counts are computed from virtual time when somebody looks. */
#include "machine/dev/pit.h"

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/dev/dev.h"

#define ACCESS(c) ((c)->control >> 4 & 3) /* 1 low, 2 high, 3 low then high */
#define BCD(c) ((c)->control & 1)

static u64 ticks_of(u64 cycles)
{
	return (u64)((unsigned __int128)cycles * PIT_HZ / TSC_HZ);
}

/* The first cycle at which ticks_of() says n. */
static u64 cycles_of(u64 n)
{
	return (u64)(((unsigned __int128)n * TSC_HZ + PIT_HZ - 1) / PIT_HZ);
}

static unsigned mode_of(const struct pit_channel *c)
{
	unsigned mode = c->control >> 1 & 7;

	return mode > 5 ? mode - 4 : mode; /* modes 2 and 3 have two encodings */
}

static u64 elapsed(const struct pit_channel *c, u64 now)
{
	return c->counting ? ticks_of(now - c->start) : c->held;
}

/* The counting element. In modes 0, 1, 4 and 5 it wraps and goes on. */
static u16 count_now(const struct pit_channel *c, u64 now)
{
	u64 n = elapsed(c, now);
	u32 span = BCD(c) ? 10000 : 65536;

	if (!c->reload)
		return 0;
	switch (mode_of(c)) {
	case 2:
		return (u16)(c->reload - n % c->reload);
	case 3:
		return (u16)((c->reload & ~1u) - 2 * n % (c->reload & ~1u ? c->reload & ~1u : 2));
	default:
		return (u16)((c->reload + span - n % span) % span);
	}
}

static bool output_now(const struct pit_channel *c, u64 now)
{
	u64 n = elapsed(c, now);

	switch (mode_of(c)) {
	case 0:
	case 1:
		return c->reload && n >= c->reload;
	case 2:
		return !c->reload || n % c->reload != c->reload - 1;
	case 3:
		return !c->reload || n % c->reload < (c->reload + 1) / 2;
	default:
		return n != c->reload;
	}
}

static u16 to_bcd(u16 v)
{
	return (u16)(v % 10 | v / 10 % 10 << 4 | v / 100 % 10 << 8 | v / 1000 % 10 << 12);
}

static u32 from_bcd(u16 v)
{
	return (v & 15u) + (v >> 4 & 15u) * 10 + (v >> 8 & 15u) * 100 + (v >> 12) * 1000u;
}

/* Arms the timer for channel 0's next rising edge, if one will come. */
static void plan_irq(struct pit *p, u64 now)
{
	struct pit_channel *c = &p->channel[0];
	u64 n = elapsed(c, now), next;

	timer_cancel(p->m, &p->timer);
	if (!c->counting || !c->reload)
		return;
	switch (mode_of(c)) {
	case 2:
	case 3:
		next = (n / c->reload + 1) * c->reload;
		break;
	case 4:
		next = c->reload + 1;
		break;
	default:
		next = c->reload;
	}
	if (next > n)
		timer_set(p->m, &p->timer, c->start + cycles_of(next));
}

static void pit_fire(void *arg, u64 now)
{
	struct pit *p = arg;

	irq_set(p->m, 0, false);
	irq_set(p->m, 0, true);
	plan_irq(p, now);
}

static void channel_changed(struct pit *p, struct pit_channel *c, u64 now)
{
	if (c != &p->channel[0])
		return;
	irq_set(p->m, 0, output_now(c, now));
	plan_irq(p, now);
}

static void load_count(struct pit *p, struct pit_channel *c, u16 v, u64 now)
{
	unsigned mode = mode_of(c);

	c->reload = BCD(c) ? from_bcd(v) : v;
	if (!c->reload)
		c->reload = BCD(c) ? 10000 : 65536;
	c->start = now;
	c->held = 0;
	/* Modes 1 and 5 wait for a rising gate. */
	c->counting = c->gate && mode != 1 && mode != 5;
	channel_changed(p, c, now);
}

static void write_count(struct pit *p, struct pit_channel *c, u8 v, u64 now)
{
	switch (ACCESS(c)) {
	case 1:
		load_count(p, c, v, now);
		break;
	case 2:
		load_count(p, c, (u16)(v << 8), now);
		break;
	case 3:
		if (c->write_high_next)
			load_count(p, c, (u16)(v << 8 | c->write_low), now);
		else
			c->write_low = v;
		c->write_high_next = !c->write_high_next;
	}
}

static void latch_count(struct pit_channel *c, u64 now)
{
	u16 v;

	if (c->count_latched)
		return; /* the first latch counts until it is read */
	v = count_now(c, now);
	c->latched = BCD(c) ? to_bcd(v) : v;
	c->count_latched = true;
	c->read_high_next = ACCESS(c) == 2;
}

static void read_back(struct pit *p, u8 v, u64 now)
{
	for (unsigned i = 0; i < 3; i++) {
		struct pit_channel *c = &p->channel[i];

		if (!(v >> (i + 1) & 1))
			continue;
		if (!(v & 0x20))
			latch_count(c, now);
		if (!(v & 0x10) && !c->status_latched) {
			c->status = (u8)(output_now(c, now) << 7 | (!c->reload) << 6 | (c->control & 0x3f));
			c->status_latched = true;
		}
	}
}

static void write_control(struct pit *p, u8 v, u64 now)
{
	struct pit_channel *c;

	if (v >> 6 == 3) {
		read_back(p, v, now);
		return;
	}
	c = &p->channel[v >> 6];
	if (!(v & 0x30)) {
		latch_count(c, now);
		return;
	}
	c->control = v & 0x3f;
	c->reload = 0;
	c->held = 0;
	c->counting = c->count_latched = c->status_latched = c->write_high_next = c->read_high_next = false;
	channel_changed(p, c, now);
}

static u8 read_count(struct pit_channel *c, u64 now)
{
	u16 v;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	v = count_now(c, now);
	if (BCD(c))
		v = to_bcd(v);
	if (c->count_latched)
		v = c->latched;
	if (ACCESS(c) != 3) {
		c->count_latched = false;
		return (u8)(ACCESS(c) == 2 ? v >> 8 : v);
	}
	c->read_high_next = !c->read_high_next;
	if (c->read_high_next)
		return (u8)v;
	c->count_latched = false;
	return (u8)(v >> 8);
}

static void pit_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct pit *p = dev;
	u64 now = machine_now(p->m);

	if (port == 0x43)
		write_control(p, (u8)value, now);
	else
		write_count(p, &p->channel[port & 3], (u8)value, now);
}

static u32 pit_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	struct pit *p = dev;

	return port == 0x43 ? 0xff : read_count(&p->channel[port & 3], machine_now(p->m));
}

static void set_gate(struct pit *p, struct pit_channel *c, bool gate, u64 now)
{
	unsigned mode = mode_of(c);
	bool rises = gate && !c->gate;

	c->gate = gate;
	if (!c->reload)
		return;
	if (rises && mode != 0 && mode != 4) { /* triggers anew */
		c->start = now;
		c->counting = true;
	} else if (rises) { /* goes on where it stood */
		c->start = now - cycles_of(c->held);
		c->counting = true;
	} else if (!gate && mode != 1 && mode != 5) {
		c->held = elapsed(c, now);
		c->counting = false;
	}
	channel_changed(p, c, now);
}

/* Port 61H: gate of channel 2, speaker, its output, and the refresh toggle (15.085 us). */
static u32 port61_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	struct pit *p = dev;
	u64 now = machine_now(p->m);
	u32 refresh = ticks_of(now) / 18 & 1;

	return p->channel[2].gate | (u32)p->speaker << 1 | refresh << 4 | (u32)output_now(&p->channel[2], now) << 5;
}

static void port61_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct pit *p = dev;

	p->speaker = value & 2;
	set_gate(p, &p->channel[2], value & 1, machine_now(p->m));
}

void pit_init(struct pit *p, struct machine *m)
{
	p->m = m;
	for (unsigned i = 0; i < 3; i++)
		p->channel[i] = (struct pit_channel){ .control = 0x30, .gate = i != 2 };
	p->timer = (struct timer){ .fire = pit_fire, .arg = p, .name = "pit" };
	bus_add_pio(m, 0x40, 4, pit_read, pit_write, p, "8254");
	bus_add_pio(m, 0x61, 1, port61_read, port61_write, p, "port 61h");
}

void pit_stop(struct pit *p)
{
	write_control(p, 0x36, machine_now(p->m));
}

void pit_tick(struct pit *p)
{
	u64 now = machine_now(p->m);

	write_control(p, 0x36, now);
	load_count(p, &p->channel[0], 0, now);
}

void pit_snap(struct pit *p, struct snap *s)
{
	snap_var(s, "pit", p->channel);
	snap_var(s, "pit.speaker", p->speaker);
	timer_snap(p->m, s, "pit.timer", &p->timer);
}
