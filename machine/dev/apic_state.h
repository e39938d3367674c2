/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC's inside: shared by apic.c, apic_timer.c and apic_ipi.c. */
#ifndef OOH_MACHINE_DEV_APIC_STATE_H
#define OOH_MACHINE_DEV_APIC_STATE_H

#include "arch/apic.h"
#include "arch/msrs.h"
#include "machine/core/clock.h"
#include "machine/core/types.h"

/* In the order of their registers. */
enum apic_lvt { LVT_TIMER, LVT_THERMAL, LVT_PMI, LVT_LINT0, LVT_LINT1, LVT_ERROR, APIC_LVTS };

struct apic_regs {
	u64 base;             /* IA32_APIC_BASE */
	u64 icr;              /* as the x2APIC MSR; xAPIC: destination in 63:56 */
	u32 irr[8], isr[8], tmr[8];
	u32 lvt[APIC_LVTS];
	u32 svr, ldr, dfr;
	u32 esr, esr_pending; /* as read, and gathered since */
	u32 timer_initial, timer_divide;
	u64 timer_start;      /* cycle at which the count was timer_initial */
	u64 deadline;         /* IA32_TSC_DEADLINE */
	u8 tpr, id, sipi_vector;
	bool extint;          /* an ExtINT message has come */
	bool second_nmi;      /* an NMI has come while one was about to be taken */
};

struct apic {
	struct cpu *c;
	struct apic_regs r;
	struct timer timer;
	/* The interprocessor interrupt on its way, where there are several CPUs: the ICR, and when it arrives. */
	u64 sent;
	struct timer message;
};

static inline bool apic_hw_enabled(const struct apic *a)
{
	return a->r.base & APIC_BASE_ENABLE;
}

static inline bool apic_is_x2(const struct apic *a)
{
	return a->r.base & APIC_BASE_X2APIC;
}

bool apic_sw_enabled(const struct apic *a);
void apic_reset_registers(struct apic *a);
/* Tells the CPU if something can be delivered now. */
void apic_update(struct apic *a);
void apic_error(struct apic *a, u32 bit);
void apic_lvt_fire(struct apic *a, enum apic_lvt i);
/* Physical-address bits that IA32_APIC_BASE can hold. */
u64 apic_phys_mask(void);

/* apic_timer.c */
void apic_timer_init(struct apic *a);
u32 apic_timer_current(struct apic *a);
void apic_timer_write_initial(struct apic *a, u32 v);
void apic_timer_write_divide(struct apic *a, u32 v);
void apic_timer_mode_changed(struct apic *a, u32 before);
u64 apic_timer_read_deadline(struct apic *a);
void apic_timer_write_deadline(struct apic *a, u64 v);

/* apic_ipi.c */
void apic_ipi_init(struct apic *a);
u32 apic_ldr(const struct apic *a);
void apic_write_icr(struct apic *a, u64 icr);
void apic_write_icr_self(struct apic *a, unsigned vector);

#endif
