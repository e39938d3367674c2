/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APIC: priorities, delivery, registers in both modes. Source: SDM 3A chapter 11 "Advanced Programmable
 * Interrupt Controller (APIC)". Section titles are cited where a rule is enforced. The timer is in apic_timer.c, IPIs
 * in apic_ipi.c.
 */
#include "machine/dev/apic.h"

#include <stdlib.h>

#include "machine/core/snapshot.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/sys/sys.h"
#include "machine/dev/apic_state.h"
#include "machine/dev/apic_wires.h"
#include "machine/dev/devices.h"

#define MAX_LVT (APIC_LVTS - 1)
#define VERSION (0x14 | MAX_LVT << LAPIC_VERSION_MAX_LVT_SHIFT | LAPIC_VERSION_EOI_SUPPRESS)

static bool test_bit(const u32 *set, unsigned n)
{
	return set[n >> 5] >> (n & 31) & 1;
}

static void set_bit(u32 *set, unsigned n, bool on)
{
	set[n >> 5] = on ? set[n >> 5] | 1u << (n & 31) : set[n >> 5] & ~(1u << (n & 31));
}

/* The highest bit set, -1 if none. */
static int highest(const u32 *set)
{
	for (int i = 7; i >= 0; i--)
		if (set[i])
			return i * 32 + 31 - __builtin_clz(set[i]);
	return -1;
}

/* SDM 3A "Task and Processor Priorities": PPR is the higher class of TPR and the highest vector in service. */
static unsigned ppr(const struct apic *a)
{
	int isr = highest(a->r.isr);

	if (isr < 0 || (a->r.tpr >> 4) >= (unsigned)isr >> 4)
		return a->r.tpr;
	return (unsigned)isr & 0xf0;
}

bool apic_sw_enabled(const struct apic *a)
{
	return apic_hw_enabled(a) && (a->r.svr & SVR_ENABLE);
}

/* The 8259 is heard when the APIC is off (LINT0 is then INTR) or LINT0 is programmed as ExtINT ("virtual wire"). */
static bool extint_pending(const struct apic *a)
{
	u32 lint0 = a->r.lvt[LVT_LINT0];

	if (a->c->id != 0 || !a->c->m->dev)
		return false;
	if (a->r.extint)
		return true;
	if (!pic_output(&a->c->m->dev->pic))
		return false;
	return !apic_hw_enabled(a) || (!(lint0 & LVT_MASKED) && (lint0 & DELIVERY_MODE) == DELIVERY_EXTINT);
}

static int fixed_pending(const struct apic *a)
{
	int irr = apic_hw_enabled(a) ? highest(a->r.irr) : -1;

	return irr >= 0 && (unsigned)irr >> 4 > ppr(a) >> 4 ? irr : -1;
}

int apic_pending(struct apic *a)
{
	return extint_pending(a) ? (int)pic_peek(&a->c->m->dev->pic) : fixed_pending(a);
}

void apic_update(struct apic *a)
{
	if (apic_pending(a) >= 0)
		cpu_kick(a->c, PEND_INTR);
}

unsigned apic_ack(struct apic *a)
{
	int v;

	if (extint_pending(a)) {
		a->r.extint = false;
		v = (int)pic_inta(&a->c->m->dev->pic);
		apic_update(a);
		return (unsigned)v;
	}
	v = fixed_pending(a);
	if (v < 0)
		return a->r.svr & SVR_VECTOR; /* SDM 3A "Spurious Interrupt": it went away before the acknowledge */
	set_bit(a->r.irr, (unsigned)v, false);
	set_bit(a->r.isr, (unsigned)v, true);
	return (unsigned)v;
}

void apic_pic_output(struct machine *m, bool level)
{
	if (m->dev && m->dev->ready)
		ioapic_set(&m->dev->ioapic, 0, level);
	if (level && m->cpu[0] && m->cpu[0]->apic)
		apic_update(m->cpu[0]->apic);
}

void apic_error(struct apic *a, u32 bit)
{
	a->r.esr_pending |= bit;
	apic_lvt_fire(a, LVT_ERROR);
}

/* Vectors 0-15 are illegal for fixed delivery. */
static void accept_fixed(struct apic *a, unsigned vector, bool level)
{
	if (vector < 16) {
		apic_error(a, ESR_RECEIVE_ILLEGAL);
		return;
	}
	set_bit(a->r.irr, vector, true);
	set_bit(a->r.tmr, vector, level);
	apic_update(a);
}

/* Under VMX it is an exit, or waits. Else the boot processor would go to its firmware, which is not there: a reset. */
static void accept_init(struct apic *a)
{
	if (a->c->vmx.on || a->c->id != 0)
		cpu_kick(a->c, PEND_INIT);
	else
		machine_stop(a->c->m, STATUS_RESET, "INIT of the boot processor");
}

/* SDM 3A "MP Initialization Protocol": only a processor that waits for a start-up message listens to it. */
static void accept_sipi(struct apic *a, unsigned vector)
{
	bool about_to = (a->c->pending & PEND_INIT) && !a->c->vmx.on;

	if (a->c->activity != WAIT_SIPI && !about_to)
		return;
	a->r.sipi_vector = (u8)vector;
	cpu_kick(a->c, PEND_SIPI);
}

/*
 * Of two NMIs that reach a CPU within one instruction the first is taken and the second is latched, as if they had come
 * one after the other. While NMIs are blocked, one is latched. SDM 3A "Handling Multiple NMIs".
 */
static void accept_nmi(struct apic *a)
{
	if ((a->c->pending & PEND_NMI) && !a->c->nmi_blocked)
		a->r.second_nmi = true;
	cpu_kick(a->c, PEND_NMI);
}

void apic_nmi_taken(struct apic *a)
{
	if (a->r.second_nmi)
		cpu_kick(a->c, PEND_NMI);
	a->r.second_nmi = false;
}

void apic_deliver(struct apic *a, unsigned vector, unsigned mode, bool level)
{
	switch (mode << 8) {
	case DELIVERY_FIXED:
	case DELIVERY_LOWEST:
		/*
		 * SDM 3A "Local APIC State After It Has Been Software Disabled": only INIT, NMI, SMI and SIPI are
		 * answered.
		 */
		if (apic_sw_enabled(a))
			accept_fixed(a, vector & 0xff, level);
		break;
	case DELIVERY_NMI:
		accept_nmi(a);
		break;
	case DELIVERY_INIT:
		accept_init(a);
		break;
	case DELIVERY_SIPI:
		accept_sipi(a, vector);
		break;
	case DELIVERY_EXTINT:
		a->r.extint = true;
		apic_update(a);
		break;
	}
}

void apic_lvt_fire(struct apic *a, enum apic_lvt i)
{
	u32 lvt = a->r.lvt[i];
	bool fixed = i == LVT_TIMER || i == LVT_ERROR;

	if (apic_sw_enabled(a) && !(lvt & LVT_MASKED))
		apic_deliver(a, lvt & LVT_VECTOR, fixed ? 0 : (lvt & DELIVERY_MODE) >> 8, false);
}

/* SDM 3A "Signaling Interrupt Servicing Completion": EOI of a level-triggered interrupt goes to the I/O APICs too. */
void apic_eoi(struct apic *a)
{
	int v = highest(a->r.isr);

	if (v < 0)
		return;
	set_bit(a->r.isr, (unsigned)v, false);
	if (test_bit(a->r.tmr, (unsigned)v) && !(a->r.svr & SVR_EOI_SUPPRESS))
		ioapic_eoi(&a->c->m->dev->ioapic, (unsigned)v);
	apic_update(a);
}

u64 apic_get_tpr(struct apic *a)
{
	return a->r.tpr >> 4;
}

static void write_tpr(struct apic *a, u32 v)
{
	a->r.tpr = (u8)v;
	apic_update(a);
}

void apic_set_tpr(struct apic *a, u64 cr8)
{
	write_tpr(a, (u32)(cr8 & 15) << 4);
}

/* LVT entry of a register offset, -1 for other registers. */
static int lvt_of(unsigned offset)
{
	if (offset < LAPIC_LVT_TIMER || offset > LAPIC_LVT_ERROR)
		return -1;
	return (int)(offset - LAPIC_LVT_TIMER) / 16;
}

static const u32 lvt_writable[APIC_LVTS] = {
	[LVT_TIMER] = LVT_VECTOR | LVT_MASKED | LVT_TIMER_MODE,
	[LVT_THERMAL] = LVT_VECTOR | DELIVERY_MODE | LVT_MASKED,
	[LVT_PMI] = LVT_VECTOR | DELIVERY_MODE | LVT_MASKED,
	[LVT_LINT0] = LVT_VECTOR | DELIVERY_MODE | LVT_ACTIVE_LOW | LVT_LEVEL | LVT_MASKED,
	[LVT_LINT1] = LVT_VECTOR | DELIVERY_MODE | LVT_ACTIVE_LOW | LVT_LEVEL | LVT_MASKED,
	[LVT_ERROR] = LVT_VECTOR | LVT_MASKED,
};

static void write_lvt(struct apic *a, enum apic_lvt i, u32 v)
{
	u32 before = a->r.lvt[i];

	v &= lvt_writable[i];
	if (!apic_sw_enabled(a))
		v |= LVT_MASKED;
	a->r.lvt[i] = v;
	if (i == LVT_TIMER && ((before ^ v) & LVT_TIMER_MODE))
		apic_timer_mode_changed(a, before);
	apic_update(a);
}

/* SDM 3A "Local APIC State After It Has Been Software Disabled": all LVT entries are masked and stay so. */
static void write_svr(struct apic *a, u32 v)
{
	a->r.svr = v & (SVR_VECTOR | SVR_ENABLE | SVR_EOI_SUPPRESS);
	if (!(v & SVR_ENABLE))
		for (unsigned i = 0; i < APIC_LVTS; i++)
			a->r.lvt[i] |= LVT_MASKED;
}

static u32 read_id(const struct apic *a)
{
	return apic_is_x2(a) ? a->c->id : (u32)a->r.id << 24;
}

/* Registers that both modes have; offset as memory-mapped. False: no such register. */
static bool read_register(struct apic *a, unsigned offset, u32 *v)
{
	int lvt = lvt_of(offset);

	*v = 0;
	if (lvt >= 0) {
		*v = a->r.lvt[lvt];
		return true;
	}
	if (offset >= LAPIC_ISR && offset < LAPIC_IRR + 0x80) {
		const u32 *set = offset < LAPIC_TMR ? a->r.isr : offset < LAPIC_IRR ? a->r.tmr : a->r.irr;

		*v = set[offset >> 4 & 7];
		return true;
	}
	switch (offset) {
	case LAPIC_ID: *v = read_id(a); return true;
	case LAPIC_VERSION: *v = VERSION; return true;
	case LAPIC_TPR: *v = a->r.tpr; return true;
	case LAPIC_PPR: *v = ppr(a); return true;
	case LAPIC_LDR: *v = apic_ldr(a); return true;
	case LAPIC_SVR: *v = a->r.svr; return true;
	case LAPIC_ESR: *v = a->r.esr; return true;
	case LAPIC_ICR_LOW: *v = (u32)a->r.icr; return true;
	case LAPIC_TIMER_INITIAL: *v = a->r.timer_initial; return true;
	case LAPIC_TIMER_CURRENT: *v = apic_timer_current(a); return true;
	case LAPIC_TIMER_DIVIDE: *v = a->r.timer_divide; return true;
	}
	return false;
}

/* SDM 3A "Error Handling": a write latches the errors since the last write. */
static void write_esr(struct apic *a)
{
	a->r.esr = a->r.esr_pending;
	a->r.esr_pending = 0;
}

static bool write_register(struct apic *a, unsigned offset, u32 v)
{
	int lvt = lvt_of(offset);

	if (lvt >= 0) {
		write_lvt(a, (enum apic_lvt)lvt, v);
		return true;
	}
	switch (offset) {
	case LAPIC_TPR: write_tpr(a, v & 0xff); return true;
	case LAPIC_EOI: apic_eoi(a); return true;
	case LAPIC_SVR: write_svr(a, v); return true;
	case LAPIC_ESR: write_esr(a); return true;
	case LAPIC_TIMER_INITIAL: apic_timer_write_initial(a, v); return true;
	case LAPIC_TIMER_DIVIDE: apic_timer_write_divide(a, v); return true;
	}
	return false;
}

static u64 mmio_read(void *dev, struct cpu *c, u64 offset, unsigned size)
{
	struct apic *a = c->apic;
	unsigned reg = offset & 0xff0;
	u32 v;

	if ((offset & 15) + size > 4)
		return ~0ull;
	if (reg == LAPIC_DFR)
		v = a->r.dfr;
	else if (reg == LAPIC_ICR_HIGH)
		v = (u32)(a->r.icr >> 32);
	else if (!read_register(a, reg, &v))
		apic_error(a, ESR_REGISTER);
	return v >> (offset & 3) * 8;
}

/* Registers must be written as aligned 32-bit words (SDM 3A "Local APIC Registers"); other writes are dropped. */
static void mmio_write(void *dev, struct cpu *c, u64 offset, unsigned size, u64 value)
{
	struct apic *a = c->apic;
	u32 v = (u32)value;

	if (size != 4 || (offset & 15))
		return;
	switch (offset) {
	case LAPIC_ID: a->r.id = v >> 24; break;
	case LAPIC_LDR: a->r.ldr = v & 0xff000000; break;
	case LAPIC_DFR: a->r.dfr = v | 0x0fffffff; break;
	case LAPIC_ICR_LOW: apic_write_icr(a, (a->r.icr & ~0xffffffffull) | v); break;
	case LAPIC_ICR_HIGH: a->r.icr = (u32)a->r.icr | (u64)(v & 0xff000000) << 32; break;
	default:
		if (!write_register(a, (unsigned)offset, v))
			apic_error(a, ESR_REGISTER);
	}
}

/* SDM 3A "x2APIC Register Address Space": which bits of an MSR must be zero when written. */
static bool x2_reserved(unsigned offset, u64 v)
{
	if (offset == LAPIC_ICR_LOW)
		return v & 0xfff32000ull;
	if (v >> 32)
		return true;
	switch (offset) {
	case LAPIC_EOI:
	case LAPIC_ESR:
		return v != 0;
	case LAPIC_TPR:
	case LAPIC_SELF_IPI:
		return v > 0xff;
	case LAPIC_TIMER_DIVIDE:
		return v & ~0xbull;
	case LAPIC_SVR:
		return v & ~(u64)(SVR_VECTOR | SVR_ENABLE | SVR_EOI_SUPPRESS);
	}
	return lvt_of(offset) >= 0 && (v & ~(u64)(lvt_writable[lvt_of(offset)] | LVT_PENDING));
}

static bool x2_read(struct apic *a, unsigned offset, u64 *value)
{
	u32 v;

	if (!apic_is_x2(a))
		return false;
	if (offset == LAPIC_ICR_LOW) {
		*value = a->r.icr;
		return true;
	}
	if (offset == LAPIC_EOI || offset == LAPIC_SELF_IPI || !read_register(a, offset, &v))
		return false;
	*value = v;
	return true;
}

static bool x2_write(struct apic *a, unsigned offset, u64 value)
{
	if (!apic_is_x2(a) || x2_reserved(offset, value))
		return false;
	if (offset == LAPIC_ICR_LOW)
		apic_write_icr(a, value);
	else if (offset == LAPIC_SELF_IPI)
		apic_write_icr_self(a, (unsigned)value);
	else
		return write_register(a, offset, (u32)value);
	return true;
}

/*
 * SDM 3A "Relocating the Local APIC Registers": each CPU finds its own APIC where its IA32_APIC_BASE says, also above
 * RAM; in x2APIC mode and where it is disabled there is nothing.
 */
static void place_registers(struct apic *a)
{
	struct bus *b = &a->c->m->bus;
	u64 old = a->c->apic_mmio, page = ~0ull;

	if (apic_hw_enabled(a) && !apic_is_x2(a))
		page = a->r.base & APIC_BASE_ADDRESS;
	a->c->apic_mmio = page;
	if (old != page && (bus_ram(b, (hpa_t){ old }) || bus_ram(b, (hpa_t){ page })))
		mmu_clear(a->c);
}

/* SDM 3A "x2APIC State Transitions": x2APIC is reached from xAPIC only, and left only through "disabled". */
static bool write_base(struct apic *a, u64 v)
{
	u64 modes = APIC_BASE_ENABLE | APIC_BASE_X2APIC, from = a->r.base & modes, to = v & modes;

	if ((v & APIC_BASE_X2APIC) && !cpuid_has(NULL, FEAT_X2APIC))
		return false;
	if (v & ~(modes | APIC_BASE_BSP | (APIC_BASE_ADDRESS & apic_phys_mask())))
		return false;
	if (to == APIC_BASE_X2APIC || (from == modes && to == APIC_BASE_ENABLE) || (from == 0 && to == modes))
		return false;
	a->r.base = (v & ~(u64)APIC_BASE_BSP) | (a->c->id == 0 ? APIC_BASE_BSP : 0);
	if (to == 0 && from != 0)
		apic_reset_registers(a);
	place_registers(a);
	apic_update(a);
	return true;
}

bool apic_msr_read(struct apic *a, u32 index, u64 *value)
{
	switch (index) {
	case IA32_APIC_BASE:
		*value = a->r.base;
		return true;
	case IA32_TSC_DEADLINE:
		*value = apic_timer_read_deadline(a);
		return true;
	}
	if (index < IA32_X2APIC_BASE || index >= IA32_X2APIC_BASE + 0x100)
		return false;
	return x2_read(a, (index - IA32_X2APIC_BASE) << 4, value);
}

bool apic_msr_write(struct apic *a, u32 index, u64 value)
{
	switch (index) {
	case IA32_APIC_BASE:
		return write_base(a, value);
	case IA32_TSC_DEADLINE:
		apic_timer_write_deadline(a, value);
		return true;
	}
	if (index < IA32_X2APIC_BASE || index >= IA32_X2APIC_BASE + 0x100)
		return false;
	return x2_write(a, (index - IA32_X2APIC_BASE) << 4, value);
}

u64 apic_base(const struct apic *a)
{
	return a->r.base;
}

void apic_reset_registers(struct apic *a)
{
	u64 base = a->r.base;

	a->r = (struct apic_regs){ .base = base, .id = (u8)a->c->id, .svr = 0xff, .dfr = ~0u };
	for (unsigned i = 0; i < APIC_LVTS; i++)
		a->r.lvt[i] = LVT_MASKED;
	timer_cancel(a->c->m, &a->timer);
}

void apic_reset(struct apic *a)
{
	a->r.base = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (a->c->id == 0 ? APIC_BASE_BSP : 0);
	apic_reset_registers(a);
	place_registers(a);
}

/* SDM 3A "Local APIC State After It Receives an INIT-Deassert Message", "x2APIC States" */
void apic_init_signal(struct apic *a)
{
	u8 id = a->r.id;

	apic_reset_registers(a);
	a->r.id = id;
}

u8 apic_sipi_vector(const struct apic *a)
{
	return a->r.sipi_vector;
}

void apic_virtual_wire(struct apic *a)
{
	a->r.svr = SVR_ENABLE | 0xff;
	a->r.lvt[LVT_LINT0] = DELIVERY_EXTINT;
	a->r.lvt[LVT_LINT1] = DELIVERY_NMI;
}

struct apic *apic_new(struct cpu *c)
{
	struct apic *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->c = c;
	apic_timer_init(a);
	apic_ipi_init(a);
	c->m->bus.local = (struct mmio_region){ .read = mmio_read, .write = mmio_write, .name = "local APIC" };
	apic_reset(a);
	return a;
}

void apic_snap(struct apic *a, struct snap *s)
{
	snap_var(s, "apic", a->r);
	if (snap_restoring(s))
		place_registers(a);
	timer_snap(a->c->m, s, "apic.timer", &a->timer);
	snap_var(s, "apic.sent", a->sent);
	timer_snap(a->c->m, s, "apic.message", &a->message);
}
