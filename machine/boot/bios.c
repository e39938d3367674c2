/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a PC's BIOS leaves to software that starts from it: interrupt vectors, the 8259s programmed, the timer ticking. The
 * Multiboot Specification (3.2 "Machine state") wants all that in normal working order, "the PIC programmed with the normal
 * BIOS/DOS values". There are no BIOS calls: software interrupts return at once.
 */
#include "machine/boot/bios.h"

#include "machine/boot/image.h"
#include "machine/core/machine.h"
#include "machine/cpu/cpu.h"
#include "machine/dev/apic.h"
#include "machine/dev/devices.h"

#define SEGMENT 0xf000u
#define BASE (SEGMENT << 4)
/* Where PCs have always had them: software has been seen to rely on these two. */
#define TICK_AT  0xfea5u
#define DUMMY_AT 0xff53u
/* Ours. */
#define MASTER_AT 0xff60u
#define SLAVE_AT  0xff70u

#define FACS_WAKING_VECTOR 12
#define IVT_VECTORS 256u
#define MASTER_VECTOR 0x08u
#define SLAVE_VECTOR  0x70u
#define INPUTS 8u
#define BDA_EBDA   0x40eu /* segment */
#define BDA_MEMORY 0x413u /* KiB */
#define OPEN_MASTER 0xf8u /* timer, keyboard and cascade are open */
#define OPEN_SLAVE  0xffu

static const u8 dummy[] = { 0xcf }; /* iret */

/* The count of ticks at 0040:006C, INT 1CH for whoever wants the tick, end of interrupt. */
static const u8 tick[] = {
	0x50, 0x1e,                         /* push ax; push ds */
	0xb8, 0x40, 0x00, 0x8e, 0xd8,       /* mov ax, 40h; mov ds, ax */
	0x66, 0xff, 0x06, 0x6c, 0x00,       /* inc dword [6ch] */
	0xcd, 0x1c,                         /* int 1ch */
	0xb0, 0x20, 0xe6, 0x20,             /* mov al, 20h; out 20h, al */
	0x1f, 0x58, 0xcf,                   /* pop ds; pop ax; iret */
};

static const u8 master[] = { 0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf };            /* push ax; mov al, 20h; out 20h, al; pop ax; iret */
static const u8 slave[] = { 0x50, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf }; /* … out a0h, al; … */

static u32 handler_of(unsigned vector)
{
	if (vector == MASTER_VECTOR)
		return TICK_AT;
	if (vector - MASTER_VECTOR < INPUTS)
		return MASTER_AT;
	return vector - SLAVE_VECTOR < INPUTS ? SLAVE_AT : DUMMY_AT;
}

static void put_vectors(struct machine *m)
{
	u32 ivt[IVT_VECTORS];

	guest_put(m, BASE + TICK_AT, tick, sizeof(tick));
	guest_put(m, BASE + DUMMY_AT, dummy, sizeof(dummy));
	guest_put(m, BASE + MASTER_AT, master, sizeof(master));
	guest_put(m, BASE + SLAVE_AT, slave, sizeof(slave));
	for (unsigned i = 0; i < IVT_VECTORS; i++)
		ivt[i] = SEGMENT << 16 | handler_of(i);
	guest_put(m, 0, ivt, sizeof(ivt));
	guest_put(m, BDA_EBDA, &(u16){ EBDA_BASE >> 4 }, 2);
	guest_put(m, BDA_MEMORY, &(u16){ EBDA_BASE >> 10 }, 2);
}

static void program_chips(struct machine *m)
{
	pic_program(&m->dev->pic, (const u8[]){ MASTER_VECTOR, SLAVE_VECTOR }, (const u8[]){ OPEN_MASTER, OPEN_SLAVE });
	pit_tick(&m->dev->pit);
}

void bios_leave(struct machine *m)
{
	put_vectors(m);
	program_chips(m);
	pm_offer_sleep(&m->dev->pm);
}

/* ACPI 6.5, 5.2.10 "Firmware ACPI Control Structure (FACS)": real mode, CS = vector >> 4, IP = vector & FH. */
void bios_resume(struct machine *m)
{
	struct cpu *c = m->cpu[0];
	u32 vector = 0;

	bus_dma_read(m, (hpa_t){ FACS_AT + FACS_WAKING_VECTOR }, &vector, sizeof(vector));
	if (!vector) {
		machine_stop(m, STATUS_RESET, "woken up without a waking vector");
		return;
	}
	cpu_kick(c, PEND_WAKE);
	for (unsigned i = 0; i < m->ncpus; i++)
		cpu_reset(m->cpu[i]);
	apic_virtual_wire(c->apic);
	program_chips(m);
	c->seg[CS].sel = (u16)(vector >> 4);
	c->seg[CS].base = vector & ~15u;
	c->rip = vector & 15;
	cpu_update_code_mode(c);
}
