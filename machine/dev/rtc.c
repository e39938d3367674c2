/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source: Motorola MC146818A data sheet; the CMOS layout is the PC/AT's. */
#include "machine/dev/rtc.h"

#include <string.h>
#include <time.h>

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"
#include "machine/dev/dev.h"
#include "machine/dev/devices.h"

#define RTC_IRQ 8
#define REG_SECONDS 0
#define REG_SECONDS_ALARM 1
#define REG_MINUTES 2
#define REG_MINUTES_ALARM 3
#define REG_HOURS 4
#define REG_HOURS_ALARM 5
#define REG_WEEKDAY 6
#define REG_DAY 7
#define REG_MONTH 8
#define REG_YEAR 9
#define REG_A 10
#define REG_B 11
#define REG_C 12
#define REG_D 13
#define REG_CENTURY 0x32

#define A_UIP 0x80
#define B_SET 0x80
#define B_PIE 0x40
#define B_AIE 0x20
#define B_UIE 0x10
#define B_BINARY 0x04
#define B_24H 0x02
#define C_IRQF 0x80
#define C_PF 0x40
#define C_AF 0x20
#define C_UF 0x10
#define D_VALID 0x80

#define UIP_CYCLES (TSC_HZ * 244 / 1000000) /* "update in progress" begins 244 us before the second */

static u64 second_of(u64 now)
{
	return now / TSC_HZ;
}

/* Cycles between periodic events, 0: off. With a 32.768 kHz time base rates 1 and 2 are those of 8 and 9. */
static u64 period_cycles(const struct rtc *t)
{
	unsigned rate = t->r.ram[REG_A] & 15;

	if (!rate)
		return 0;
	if (rate < 3)
		rate += 7;
	return TSC_HZ / (32768u >> (rate - 1));
}

static u8 encode(const struct rtc *t, unsigned v)
{
	return (u8)(t->r.ram[REG_B] & B_BINARY ? v : v / 10 << 4 | v % 10);
}

static unsigned decode(const struct rtc *t, u8 v)
{
	return t->r.ram[REG_B] & B_BINARY ? v : (v >> 4) * 10u + (v & 15u);
}

static u8 encode_hours(const struct rtc *t, unsigned h)
{
	if (t->r.ram[REG_B] & B_24H)
		return encode(t, h);
	return encode(t, h % 12 ? h % 12 : 12) | (h >= 12 ? 0x80 : 0);
}

static unsigned decode_hours(const struct rtc *t, u8 v)
{
	if (t->r.ram[REG_B] & B_24H)
		return decode(t, v);
	return decode(t, v & 0x7f) % 12 + (v & 0x80 ? 12 : 0);
}

static void time_registers(const struct rtc *t, u64 now, u8 out[10])
{
	time_t secs = (time_t)((s64)second_of(now) + t->r.offset);
	struct tm tm;

	gmtime_r(&secs, &tm);
	out[REG_SECONDS] = encode(t, (unsigned)tm.tm_sec);
	out[REG_MINUTES] = encode(t, (unsigned)tm.tm_min);
	out[REG_HOURS] = encode_hours(t, (unsigned)tm.tm_hour);
	out[REG_WEEKDAY] = encode(t, (unsigned)tm.tm_wday + 1);
	out[REG_DAY] = encode(t, (unsigned)tm.tm_mday);
	out[REG_MONTH] = encode(t, (unsigned)tm.tm_mon + 1);
	out[REG_YEAR] = encode(t, (unsigned)tm.tm_year % 100);
}

static u8 century(const struct rtc *t, u64 now)
{
	time_t secs = (time_t)((s64)second_of(now) + t->r.offset);
	struct tm tm;

	gmtime_r(&secs, &tm);
	return encode(t, (unsigned)tm.tm_year / 100 + 19);
}

static void set_time(struct rtc *t, const u8 in[10], u64 now)
{
	unsigned year = decode(t, in[REG_YEAR]) + decode(t, century(t, now)) * 100;
	struct tm tm = { .tm_sec = (int)decode(t, in[REG_SECONDS]), .tm_min = (int)decode(t, in[REG_MINUTES]),
		.tm_hour = (int)decode_hours(t, in[REG_HOURS]), .tm_mday = (int)decode(t, in[REG_DAY]),
		.tm_mon = (int)decode(t, in[REG_MONTH]) - 1, .tm_year = (int)year - 1900 };

	t->r.offset = (s64)timegm(&tm) - (s64)second_of(now);
}

static bool alarm_field(u8 alarm, u8 now)
{
	return alarm >= 0xc0 || alarm == now;
}

static bool alarm_matches(const struct rtc *t, u64 second)
{
	u8 v[10];

	time_registers(t, second * TSC_HZ, v);
	return alarm_field(t->r.ram[REG_SECONDS_ALARM], v[REG_SECONDS]) &&
	       alarm_field(t->r.ram[REG_MINUTES_ALARM], v[REG_MINUTES]) &&
	       alarm_field(t->r.ram[REG_HOURS_ALARM], v[REG_HOURS]);
}

/* Brings the flags of register C up to now. Alarms are looked for in the last day at most: they repeat after it. */
static void account(struct rtc *t, u64 now)
{
	u64 second = second_of(now), period = period_cycles(t);

	if (!(t->r.ram[REG_B] & B_SET) && second > t->r.seen_second) {
		u64 from = second - t->r.seen_second > 86400 ? second - 86400 : t->r.seen_second;

		t->r.ram[REG_C] |= C_UF;
		while (!(t->r.ram[REG_C] & C_AF) && from < second)
			if (alarm_matches(t, ++from))
				t->r.ram[REG_C] |= C_AF;
	}
	t->r.seen_second = second;
	if (period && now / period > t->r.seen_period)
		t->r.ram[REG_C] |= C_PF;
	t->r.seen_period = period ? now / period : 0;
}

static void update_irq(struct rtc *t)
{
	u8 *c = &t->r.ram[REG_C];

	*c &= C_PF | C_AF | C_UF;
	if (*c & t->r.ram[REG_B])
		*c |= C_IRQF;
	if (*c & t->r.ram[REG_B] & C_AF)
		pm_rtc_alarm(&t->m->dev->pm);
	irq_set(t->m, RTC_IRQ, *c & C_IRQF);
}

static void plan(struct rtc *t, u64 now)
{
	u64 next = CYCLES_NONE, period = period_cycles(t);
	u8 b = t->r.ram[REG_B];

	if ((b & (B_UIE | B_AIE)) && !(b & B_SET))
		next = (second_of(now) + 1) * TSC_HZ;
	if ((b & B_PIE) && period && (now / period + 1) * period < next)
		next = (now / period + 1) * period;
	if (next == CYCLES_NONE || (t->r.ram[REG_C] & C_IRQF)) /* nothing new until the guest has read register C */
		timer_cancel(t->m, &t->timer);
	else
		timer_set(t->m, &t->timer, next);
}

static void fire(void *arg, u64 now)
{
	struct rtc *t = arg;

	account(t, now);
	update_irq(t);
	plan(t, now);
}

static u8 read_c(struct rtc *t, u64 now)
{
	u8 v;

	account(t, now);
	update_irq(t);
	v = t->r.ram[REG_C];
	t->r.ram[REG_C] = 0;
	update_irq(t);
	plan(t, now);
	return v;
}

static u8 read_time(const struct rtc *t, unsigned i, u64 now)
{
	u8 v[10];

	if (t->r.ram[REG_B] & B_SET)
		return t->r.frozen[i];
	time_registers(t, now, v);
	return v[i];
}

static u8 read_register(struct rtc *t, u64 now)
{
	unsigned i = t->r.index;

	switch (i) {
	case REG_SECONDS: case REG_MINUTES: case REG_HOURS:
	case REG_WEEKDAY: case REG_DAY: case REG_MONTH: case REG_YEAR:
		return read_time(t, i, now);
	case REG_A:
		if (!(t->r.ram[REG_B] & B_SET) && TSC_HZ - now % TSC_HZ <= UIP_CYCLES)
			return t->r.ram[REG_A] | A_UIP;
		return t->r.ram[REG_A];
	case REG_C:
		return read_c(t, now);
	case REG_CENTURY:
		return century(t, now);
	default:
		return t->r.ram[i];
	}
}

static void write_time(struct rtc *t, unsigned i, u8 v, u64 now)
{
	u8 regs[10];

	if (t->r.ram[REG_B] & B_SET) {
		t->r.frozen[i] = v;
		return;
	}
	time_registers(t, now, regs);
	regs[i] = v;
	set_time(t, regs, now);
}

static void write_b(struct rtc *t, u8 v, u64 now)
{
	u8 before = t->r.ram[REG_B];

	if ((v & B_SET) && !(before & B_SET))
		time_registers(t, now, t->r.frozen);
	t->r.ram[REG_B] = v & B_SET ? v & ~B_UIE : v;
	if (!(v & B_SET) && (before & B_SET))
		set_time(t, t->r.frozen, now);
}

static void write_register(struct rtc *t, u8 v, u64 now)
{
	unsigned i = t->r.index;

	account(t, now);
	switch (i) {
	case REG_SECONDS: case REG_MINUTES: case REG_HOURS:
	case REG_WEEKDAY: case REG_DAY: case REG_MONTH: case REG_YEAR:
		write_time(t, i, v, now);
		break;
	case REG_A:
		t->r.ram[REG_A] = v & 0x7f;
		t->r.seen_period = period_cycles(t) ? now / period_cycles(t) : 0;
		break;
	case REG_B:
		write_b(t, v, now);
		break;
	case REG_C: case REG_D: case REG_CENTURY:
		break;
	default:
		t->r.ram[i] = v;
	}
	update_irq(t);
	plan(t, now);
}

static u32 rtc_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	struct rtc *t = dev;

	return port & 1 ? read_register(t, machine_now(t->m)) : 0xff;
}

static void rtc_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct rtc *t = dev;

	if (port & 1)
		write_register(t, (u8)value, machine_now(t->m));
	else
		t->r.index = value & 0x7f;
}

static void put16(struct rtc *t, unsigned i, u64 v)
{
	if (v > 0xffff)
		v = 0xffff;
	t->r.ram[i] = (u8)v;
	t->r.ram[i + 1] = (u8)(v >> 8);
}

/* Memory sizes where a BIOS leaves them. */
static void fill_cmos(struct rtc *t)
{
	u64 low = t->m->bus.ram_low, high = t->m->bus.ram_size - low;

	put16(t, 0x15, 640);
	put16(t, 0x17, (low - (1 << 20)) >> 10);
	put16(t, 0x30, (low - (1 << 20)) >> 10);
	put16(t, 0x34, low > (16 << 20) ? (low - (16 << 20)) >> 16 : 0);
	put16(t, 0x5b, high >> 16);
}

void rtc_init(struct rtc *t, struct machine *m, u64 epoch)
{
	t->m = m;
	t->r = (struct rtc_regs){ .offset = (s64)epoch };
	t->r.ram[REG_A] = 0x26;
	t->r.ram[REG_B] = B_24H;
	t->r.ram[REG_D] = D_VALID;
	t->timer = (struct timer){ .fire = fire, .arg = t, .name = "rtc" };
	fill_cmos(t);
	bus_add_pio(m, 0x70, 2, rtc_read, rtc_write, t, "rtc");
}

void rtc_snap(struct rtc *t, struct snap *s)
{
	snap_var(s, "rtc", t->r);
	timer_snap(t->m, s, "rtc.timer", &t->timer);
}
