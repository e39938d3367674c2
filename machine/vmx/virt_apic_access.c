/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Accesses to the APIC-access page. SDM 3C "Virtualizing Memory-Mapped APIC Accesses" (30.4). The mmu has translated
 * the address and found that it lies on the page; faults and EPT violations come before, flags are set.
 */
#include <string.h>

#include "arch/apic.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/virt_apic.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

/* Registers below 400H as bits of a word. */
#define REG(offset) BIT64((offset) >> 4)
#define REGS(last, first) BITS((last) >> 4, (first) >> 4)

/* 30.4.2, 30.4.3.1: with "APIC-register virtualization". */
#define WRITABLE (REG(LAPIC_ID) | REG(LAPIC_TPR) | REG(LAPIC_EOI) | REG(LAPIC_LDR) | REG(LAPIC_DFR) | REG(LAPIC_SVR) | \
		  REG(LAPIC_ESR) | REG(LAPIC_ICR_LOW) | REG(LAPIC_ICR_HIGH) | REGS(LAPIC_LVT_ERROR, LAPIC_LVT_TIMER) | \
		  REG(LAPIC_TIMER_INITIAL) | REG(LAPIC_TIMER_DIVIDE))
#define READABLE (WRITABLE | REG(LAPIC_VERSION) | REGS(LAPIC_IRR + 0x70, LAPIC_ISR))

static bool in_set(u64 set, unsigned offset)
{
	return offset < 0x400 && (set >> (offset >> 4) & 1);
}

/* An access while a write is still due belongs to the same instruction, iteration or event delivery. */
static bool second_access(const struct cpu *c, unsigned offset, unsigned n, bool write)
{
	return c->vmx.apic_due && (!write || c->vmx.apic_due != offset || c->vmx.apic_due_size != n);
}

static bool virtualized(const struct cpu *c, unsigned offset, unsigned n, bool write)
{
	if (!vmx_proc(c, PROC_TPR_SHADOW) || (offset & 15) + n > 4 || second_access(c, offset, n, write))
		return false;
	if (vmx_proc2(c, PROC2_APIC_REGISTER_VIRT))
		return in_set(write ? WRITABLE : READABLE, offset);
	/* "Virtualizing Reads …" (30.4.2) and "Determining Whether a Write Access is Virtualized" (30.4.3.1) agree on these. */
	if (vmx_proc2(c, PROC2_VIRT_INTR_DELIVERY) && (offset == LAPIC_EOI || offset == LAPIC_ICR_LOW))
		return true;
	return offset == LAPIC_TPR;
}

/* Exit qualification: table 28-6. Fault-like; the length of the instruction is not promised, but real CPUs give it. */
static _Noreturn void access_exit(struct cpu *c, const struct op *o, unsigned type, unsigned offset)
{
	struct vmexit x = { .reason = EXIT_APIC_ACCESS, .qual = offset | (u64)type << QUAL_APIC_TYPE_SHIFT };

	cpu_sync(c, o);
	x.insn_len = o ? o->len : 0;
	x.rf = vmx_fault_rf(c);
	vmx_exit(c, &x);
}

void vmx_apic_check(struct cpu *c, const struct op *o, u64 hpa, unsigned n, bool write)
{
	unsigned offset = (unsigned)(hpa & PAGE_OFFSET_MASK);

	if (virtualized(c, offset, n, write))
		return;
	access_exit(c, o, c->is_delivering ? QUAL_APIC_EVENT : write ? QUAL_APIC_WRITE : QUAL_APIC_READ, offset);
}

void vmx_apic_fetch(struct cpu *c, u64 hpa)
{
	access_exit(c, NULL, QUAL_APIC_FETCH, (unsigned)(hpa & PAGE_OFFSET_MASK));
}

void vmx_apic_guest_physical(struct cpu *c, const struct op *o)
{
	access_exit(c, o, c->is_delivering ? QUAL_APIC_GUEST_PHYSICAL_EVENT : QUAL_APIC_GUEST_PHYSICAL, 0);
}

void vmx_apic_read(struct cpu *c, u64 hpa, void *to, unsigned n)
{
	u64 v = vmx_phys_read(c, VMCS(c, VIRTUAL_APIC_ADDR) + (hpa & PAGE_OFFSET_MASK), n);

	cpu_charge(c, COST_VAPIC);
	memcpy(to, &v, n);
}

void vmx_apic_write(struct cpu *c, u64 hpa, const void *from, unsigned n)
{
	u64 v = 0;

	memcpy(&v, from, n);
	vmx_phys_write(c, VMCS(c, VIRTUAL_APIC_ADDR) + (hpa & PAGE_OFFSET_MASK), n, v);
	c->vmx.apic_due = hpa & PAGE_OFFSET_MASK;
	c->vmx.apic_due_size = (u8)n;
	cpu_kick(c, PEND_VMX);
}
