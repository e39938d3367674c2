/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/boot/entry.h"

#include "arch/x86.h"
#include "machine/boot/image.h"
#include "machine/cpu/cpu.h"

#define CODE64 0x00af9b000000ffffull
#define CODE32 0x00cf9b000000ffffull
#define DATA   0x00cf93000000ffffull
#define GDT_BYTES (5 * 8)

/* Access rights as in struct segment: bits 15:0 of the descriptor's upper word >> 8, without the limit. */
#define AR_CODE64 0xa09bu
#define AR_CODE32 0xc09bu
#define AR_DATA   0xc093u

void entry_gdt(struct machine *m, u64 at)
{
	const u64 gdt[GDT_BYTES / 8] = { [BOOT_CS / 8] = CODE64, [BOOT_DS / 8] = DATA, [BOOT_CS32 / 8] = CODE32 };

	guest_put(m, at, gdt, sizeof(gdt));
	m->cpu[0]->gdtr = (struct table_reg){ .base = at, .limit = GDT_BYTES - 1 };
}

static void flat_segments(struct cpu *c, u16 cs, u32 cs_ar)
{
	for (unsigned i = 0; i < SREG_COUNT; i++)
		c->seg[i] = (struct segment){ .limit = ~0u, .ar = AR_DATA, .sel = BOOT_DS };
	c->seg[CS] = (struct segment){ .limit = ~0u, .ar = cs_ar, .sel = cs };
}

static void finish(struct cpu *c)
{
	cpu_set_rflags(c, EFLAGS_ONE);
	cpu_update_code_mode(c);
	mmu_update_mode(c);
}

void entry_long_mode(struct cpu *c, u64 cr3, u64 rip, u64 rsp)
{
	flat_segments(c, BOOT_CS, AR_CODE64);
	c->cr3 = cr3;
	c->cr4 = CR4_PAE;
	c->efer = EFER_LME | EFER_LMA;
	c->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	c->rip = rip;
	c->gpr[RSP] = rsp;
	finish(c);
}

void entry_protected_mode(struct cpu *c, u32 eip)
{
	flat_segments(c, BOOT_CS32, AR_CODE32);
	c->cr0 = CR0_PE | CR0_ET;
	c->rip = eip;
	finish(c);
}
