/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source: Intel 8259A data sheet (231468-003). */
#include "machine/dev/pic.h"

#include <string.h>

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/dev/apic_wires.h"

#define CASCADE 2 /* the slave's place on the master */
#define NO_INPUT 8u

#define ICW1_INIT   0x10
#define ICW1_IC4    0x01
#define ICW1_SINGLE 0x02
#define ICW4_AEOI   0x02
#define ICW4_SFNM   0x10
#define OCW3        0x08

/* The highest-priority input in a set, by the rotation; NO_INPUT if the set is empty. */
static unsigned highest(const struct pic *c, u8 set)
{
	for (unsigned i = 1; i <= 8; i++) {
		unsigned n = (c->lowest + i) & 7;

		if (set >> n & 1)
			return n;
	}
	return NO_INPUT;
}

static unsigned rank(const struct pic *c, unsigned n)
{
	return n == NO_INPUT ? 8 : (n - c->lowest - 1) & 7;
}

/* The input whose request goes to the output now. */
static unsigned pending(const struct pic *c, bool master)
{
	u8 in_service = c->isr;
	unsigned want = highest(c, c->irr & ~c->imr);

	if (c->special_mask)
		in_service &= ~c->imr;
	/* In special fully nested mode the slave may interrupt its own service. */
	if (master && (c->icw4 & ICW4_SFNM) && want == CASCADE)
		in_service &= (u8)~(1u << CASCADE);
	if (want == NO_INPUT || rank(c, want) >= rank(c, highest(c, in_service)))
		return NO_INPUT;
	return want;
}

static void set_input(struct pic *c, unsigned n, bool level)
{
	u8 bit = (u8)(1u << n);

	if (level && ((c->elcr & bit) || !(c->line & bit)))
		c->irr |= bit;
	if (!level) /* an edge that goes away before it is acknowledged is lost (it ends as a spurious interrupt) */
		c->irr &= ~bit;
	c->line = level ? c->line | bit : c->line & ~bit;
}

static void update(struct pic_pair *p)
{
	struct pic *master = &p->chip[0];

	/* Real slaves drop their output during INTA, which gives the master a new edge; the level says the same. */
	if (pending(&p->chip[1], false) != NO_INPUT)
		master->irr |= 1u << CASCADE;
	else
		master->irr &= ~(1u << CASCADE);
	apic_pic_output(p->m, pic_output(p));
}

void pic_set(struct pic_pair *p, unsigned irq, bool level)
{
	set_input(&p->chip[irq >> 3 & 1], irq & 7, level);
	update(p);
}

bool pic_output(const struct pic_pair *p)
{
	return pending(&p->chip[0], true) != NO_INPUT;
}

unsigned pic_peek(const struct pic_pair *p)
{
	unsigned n = pending(&p->chip[0], true);

	if (n == CASCADE) {
		unsigned k = pending(&p->chip[1], false);

		return p->chip[1].base + (k == NO_INPUT ? 7 : k);
	}
	return p->chip[0].base + (n == NO_INPUT ? 7 : n);
}

static void non_specific_eoi(struct pic *c, bool rotate)
{
	unsigned n = highest(c, c->special_mask ? c->isr & ~c->imr : c->isr);

	if (n == NO_INPUT)
		return;
	c->isr &= ~(1u << n);
	if (rotate)
		c->lowest = n;
}

static unsigned acknowledge(struct pic *c, bool master)
{
	unsigned n = pending(c, master);

	if (n == NO_INPUT)
		return 7; /* spurious: no in-service bit */
	c->isr |= 1u << n;
	if (!(c->elcr >> n & 1))
		c->irr &= ~(1u << n);
	if (c->icw4 & ICW4_AEOI)
		non_specific_eoi(c, c->rotate_on_aeoi);
	return n;
}

unsigned pic_inta(struct pic_pair *p)
{
	struct pic *master = &p->chip[0], *slave = &p->chip[1];
	bool spurious = pending(master, true) == NO_INPUT;
	unsigned n = acknowledge(master, true), vector;

	if (n == CASCADE && !spurious)
		vector = slave->base + acknowledge(slave, false);
	else
		vector = master->base + n;
	update(p);
	return vector;
}

static void write_icw1(struct pic *c, u8 v)
{
	u8 elcr = c->elcr, line = c->line;

	memset(c, 0, sizeof(*c));
	c->elcr = elcr;
	c->line = line;
	c->irr = line & elcr; /* edge inputs need a new edge */
	c->lowest = 7;
	c->need_icw4 = v & ICW1_IC4;
	c->single = v & ICW1_SINGLE;
	c->init_step = 2;
}

static void write_ocw2(struct pic *c, u8 v)
{
	unsigned n = v & 7;

	switch (v >> 5) {
	case 0: c->rotate_on_aeoi = false; break;
	case 1: non_specific_eoi(c, false); break;
	case 3: c->isr &= ~(1u << n); break;
	case 4: c->rotate_on_aeoi = true; break;
	case 5: non_specific_eoi(c, true); break;
	case 6: c->lowest = n; break;
	case 7: c->isr &= ~(1u << n); c->lowest = n; break;
	}
}

static void write_ocw3(struct pic *c, u8 v)
{
	if (v & 0x40)
		c->special_mask = v & 0x20;
	c->poll = v & 4;
	if (v & 2)
		c->read_isr = v & 1;
}

static void write_data(struct pic *c, u8 v)
{
	switch (c->init_step) {
	case 2:
		c->base = v & 0xf8;
		c->init_step = c->single ? (c->need_icw4 ? 4 : 0) : 3;
		break;
	case 3: /* the cascade is wired, whatever ICW3 says */
		c->init_step = c->need_icw4 ? 4 : 0;
		break;
	case 4:
		c->icw4 = v;
		c->init_step = 0;
		break;
	default:
		c->imr = v;
	}
}

static void pic_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct pic_pair *p = dev;
	struct pic *c = &p->chip[port >> 7 & 1];
	u8 v = (u8)value;

	if (port & 1)
		write_data(c, v);
	else if (v & ICW1_INIT)
		write_icw1(c, v);
	else if (v & OCW3)
		write_ocw3(c, v);
	else
		write_ocw2(c, v);
	update(p);
}

/* The poll command: the next read acknowledges. */
static u8 poll(struct pic_pair *p, unsigned i)
{
	struct pic *c = &p->chip[i];
	bool any = pending(c, i == 0) != NO_INPUT;
	u8 v = (u8)(acknowledge(c, i == 0) | (any ? 0x80 : 0));

	c->poll = false;
	update(p);
	return any ? v : 0;
}

static u32 pic_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	struct pic_pair *p = dev;
	unsigned i = port >> 7 & 1;
	const struct pic *c = &p->chip[i];

	if (c->poll)
		return poll(p, i);
	if (port & 1)
		return c->imr;
	return c->read_isr ? c->isr : c->irr;
}

static void elcr_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct pic_pair *p = dev;

	/* Inputs 0, 1, 2, 8 and 13 are always edge-triggered. */
	p->chip[port & 1].elcr = (u8)value & (port & 1 ? 0xde : 0xf8);
	update(p);
}

static u32 elcr_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	const struct pic_pair *p = dev;

	return p->chip[port & 1].elcr;
}

void pic_init(struct pic_pair *p, struct machine *m)
{
	p->m = m;
	for (unsigned i = 0; i < 2; i++)
		p->chip[i] = (struct pic){ .imr = 0xff, .lowest = 7 };
	bus_add_pio(m, 0x20, 2, pic_read, pic_write, p, "8259 master");
	bus_add_pio(m, 0xa0, 2, pic_read, pic_write, p, "8259 slave");
	bus_add_pio(m, 0x4d0, 2, elcr_read, elcr_write, p, "8259 edge/level");
}

void pic_program(struct pic_pair *p, const u8 base[2], const u8 mask[2])
{
	for (unsigned i = 0; i < 2; i++) {
		write_icw1(&p->chip[i], ICW1_INIT);
		p->chip[i].init_step = 0;
		p->chip[i].base = base[i];
		p->chip[i].imr = mask[i];
	}
	update(p);
}

u8 pic_mask(const struct pic_pair *p)
{
	return p->chip[0].imr;
}

void pic_snap(struct pic_pair *p, struct snap *s)
{
	snap_var(s, "pic", p->chip);
}
