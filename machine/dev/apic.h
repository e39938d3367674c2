/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC, as the CPU sees it. */
#ifndef OOH_MACHINE_DEV_APIC_H
#define OOH_MACHINE_DEV_APIC_H

#include "machine/core/types.h"

struct apic;
struct cpu;
struct machine;
struct snap;

struct apic *apic_new(struct cpu *c);
void apic_reset(struct apic *a);
/* INIT: as a reset, but IA32_APIC_BASE and the ID stay. */
void apic_init_signal(struct apic *a);
/* The vector of the start-up message that has come. */
u8 apic_sipi_vector(const struct apic *a);

/* The highest-priority vector that may be delivered now (above PPR, or ExtINT from the 8259), -1 if none. */
int apic_pending(struct apic *a);
void apic_nmi_taken(struct apic *a); /* the CPU has accepted the NMI that was pending */
void apic_eoi(struct apic *a); /* a write to the EOI register */
/* Acknowledges it: IRR to ISR, or the 8259's INTA. Returns the vector. */
unsigned apic_ack(struct apic *a);

u64 apic_get_tpr(struct apic *a); /* CR8 = TPR 7:4 */
void apic_set_tpr(struct apic *a, u64 cr8);

/* x2APIC registers (800H..8FFH), IA32_APIC_BASE (1BH), IA32_TSC_DEADLINE (6E0H). False: #GP. */
bool apic_msr_read(struct apic *a, u32 index, u64 *value);
bool apic_msr_write(struct apic *a, u32 index, u64 value);
u64 apic_base(const struct apic *a);

/* What firmware leaves on the first processor: enabled, LINT0 from the 8259, LINT1 from NMI ("virtual wire mode"). */
void apic_virtual_wire(struct apic *a);
/* cpu.tsc_offset changed: an armed TSC deadline moves. */
void apic_tsc_changed(struct apic *a);

/* An interrupt arrives (I/O APIC, MSI, IPI). mode: delivery mode of ICR/LVT; level: trigger mode. */
void apic_deliver(struct apic *a, unsigned vector, unsigned mode, bool level);
/* Routes a message by destination as the system bus does. */
void apic_bus_message(struct machine *m, u32 dest, bool logical, unsigned vector, unsigned mode, bool level);

void apic_snap(struct apic *a, struct snap *s);

#endif
