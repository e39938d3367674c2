/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source: ACPI 6.5, chapter 4.8 "ACPI Register Model" (PM1 event grouping, PM1 control, power management timer). */
#include "machine/dev/pm.h"

#include "machine/boot/bios.h"
#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/cpu.h"
#include "machine/dev/dev.h"
#include "machine/dev/devices.h"

#define STS_TMR 0x0001
#define STS_RTC 0x0400
#define STS_WAK 0x8000
#define STS_ALL (STS_TMR | 0x0010 | 0x0020 | 0x0100 | 0x0200 | 0x0400 | STS_WAK)
#define EN_ALL  (STS_TMR | 0x0020 | 0x0100 | 0x0200 | 0x0400)
#define CNT_SCI_EN 0x0001
#define CNT_BM_RLD 0x0002
#define CNT_SLP_TYP(v) ((v) >> 10 & 7)
#define CNT_SLP_EN 0x2000
#define CNT_KEPT (CNT_SCI_EN | CNT_BM_RLD | 0x1c00)
#define HALF_RANGE (1ull << 31)

static u64 ticks(u64 now)
{
	return (u64)((unsigned __int128)now * PM_TIMER_HZ / TSC_HZ);
}

static u64 cycle_of_tick(u64 n)
{
	return (u64)(((unsigned __int128)n * TSC_HZ + PM_TIMER_HZ - 1) / PM_TIMER_HZ);
}

static void update(struct pm *p)
{
	irq_set(p->m, SCI_IRQ, (p->r.control & CNT_SCI_EN) && (p->r.status & p->r.enable));
	if (!(p->r.enable & STS_TMR))
		timer_cancel(p->m, &p->timer);
	else if (!p->timer.armed)
		timer_set(p->m, &p->timer, cycle_of_tick((ticks(machine_now(p->m)) / HALF_RANGE + 1) * HALF_RANGE));
}

static void fire(void *arg, u64 now)
{
	struct pm *p = arg;

	p->r.status |= STS_TMR;
	update(p);
}

/*
 * S3: RAM is kept, and what is in the devices (which is more than a real machine does). The processors do nothing but wait, as
 * after INIT; the BIOS resets them when it wakes up.
 */
static void go_to_sleep(struct pm *p)
{
	p->r.asleep = 1;
	pit_stop(&p->m->dev->pit);
	for (unsigned i = 0; i < p->m->ncpus; i++)
		cpu_stop(p->m->cpu[i]);
}

void pm_rtc_alarm(struct pm *p)
{
	if (!p->r.bios)
		return;
	p->r.status |= STS_RTC;
	if (p->r.asleep && (p->r.enable & STS_RTC)) {
		p->r.asleep = 0;
		p->r.status |= STS_WAK;
		bios_resume(p->m);
	}
	update(p);
}

void pm_offer_sleep(struct pm *p)
{
	p->r.bios = 1;
}

static void write_control(struct pm *p, u16 v)
{
	p->r.control = (v & CNT_KEPT) | CNT_SCI_EN; /* there is no legacy mode to go back to */
	if (!(v & CNT_SLP_EN))
		return;
	if (CNT_SLP_TYP(v) == SLEEP_TYPE_S5)
		machine_stop(p->m, STATUS_OK, "power-off");
	if (CNT_SLP_TYP(v) == SLEEP_TYPE_S3 && p->r.bios)
		go_to_sleep(p);
}

static u32 register_at(const struct pm *p, unsigned port)
{
	switch (port & ~1u) {
	case PM1A_EVENT: return p->r.status;
	case PM1A_EVENT + 2: return p->r.enable;
	case PM1A_CONTROL: return p->r.control;
	}
	return 0;
}

static u32 pm_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	const struct pm *p = dev;
	u32 v;

	if (port >= PM_TIMER)
		return (u32)ticks(machine_now(p->m)) >> (port - PM_TIMER) * 8;
	v = register_at(p, port) | register_at(p, port + 2u) << 16;
	return v >> (port & 1) * 8;
}

static void write16(struct pm *p, unsigned port, u16 v)
{
	switch (port) {
	case PM1A_EVENT: p->r.status &= (u16)~(v & STS_ALL); break; /* write one to clear */
	case PM1A_EVENT + 2: p->r.enable = v & EN_ALL; break;
	case PM1A_CONTROL: write_control(p, v); break;
	}
}

/* Byte writes go to half a register: the other half keeps its value (status: writes no ones). */
static void write8(struct pm *p, unsigned port, u8 v)
{
	unsigned shift = (port & 1) * 8;
	u32 keep = (port & ~1u) == PM1A_EVENT ? 0 : register_at(p, port) & ~(0xffu << shift);

	write16(p, port & ~1u, (u16)(keep | (u32)v << shift));
}

static void pm_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct pm *p = dev;

	if (port >= PM_TIMER)
		return;
	if (size == 1)
		write8(p, port, (u8)value);
	else
		write16(p, port, (u16)value);
	if (size == 4)
		write16(p, port + 2u, (u16)(value >> 16));
	update(p);
}

void pm_init(struct pm *p, struct machine *m)
{
	p->m = m;
	p->r.control = CNT_SCI_EN;
	p->timer = (struct timer){ .fire = fire, .arg = p, .name = "pm" };
	bus_add_pio(m, PM1A_EVENT, 12, pm_read, pm_write, p, "ACPI PM");
}

void pm_snap(struct pm *p, struct snap *s)
{
	snap_var(s, "pm", p->r);
	timer_snap(p->m, s, "pm.timer", &p->timer);
}
