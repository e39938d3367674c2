/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtual APIC: what happens to its registers, and which interrupts it delivers. SDM 3C "Virtual APIC State"
 * (30.1), "Evaluation and Delivery of Virtual Interrupts" (30.2), "Virtualizing CR8-Based TPR Accesses" (30.3),
 * "APIC-Write Emulation" (30.4.3.2), "Virtualizing MSR-Based APIC Accesses" (30.5), "Posted-Interrupt Processing"
 * (30.6).
 *
 * A write is always done in two steps, whichever way it came: the register's bytes on the virtual-APIC page change
 * within the instruction; what follows from it is due at the boundary after it (vmx_state.apic_due), where a VM exit
 * is trap-like of itself.
 */
#include "machine/vmx/virt_apic.h"

#include "arch/apic.h"
#include "arch/msrs.h"
#include "machine/dev/apic.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

#define ICR_RESERVED (BITS(31, 20) | BITS(17, 16) | BIT32(13))

static bool intr_delivery(const struct cpu *c)
{
	return vmx_proc2(c, PROC2_VIRT_INTR_DELIVERY);
}

static bool tpr_shadow(const struct cpu *c)
{
	return vmx_nonroot(c) && vmx_proc(c, PROC_TPR_SHADOW);
}

u32 vmx_vapic(struct cpu *c, unsigned offset)
{
	return (u32)vmx_phys_read(c, VMCS(c, VIRTUAL_APIC_ADDR) + offset, 4);
}

static void vapic_set(struct cpu *c, unsigned offset, u32 v)
{
	vmx_phys_write(c, VMCS(c, VIRTUAL_APIC_ADDR) + offset, 4, v);
}

/* The register of 32 bits that vector's bit is in; set: LAPIC_ISR or LAPIC_IRR. */
static unsigned register_of(unsigned set, unsigned vector)
{
	return set | (vector & 0xe0) >> 1;
}

static void set_vector(struct cpu *c, unsigned set, unsigned vector, bool on)
{
	unsigned offset = register_of(set, vector);
	u32 v = vmx_vapic(c, offset), bit = 1u << (vector & 31);

	vapic_set(c, offset, on ? v | bit : v & ~bit);
}

/* 0 if no bit is set: as RVI and SVI have it. */
static unsigned highest_vector(struct cpu *c, unsigned set)
{
	for (unsigned vector = 256; vector; vector -= 32) {
		u32 v = vmx_vapic(c, register_of(set, vector - 32));

		if (v)
			return vector - 1 - (unsigned)__builtin_clz(v);
	}
	return 0;
}

static unsigned rvi(const struct cpu *c)
{
	return VMCS(c, GUEST_INTR_STATUS) & INTR_STATUS_RVI;
}

static unsigned svi(const struct cpu *c)
{
	return (unsigned)(VMCS(c, GUEST_INTR_STATUS) >> INTR_STATUS_SVI_SHIFT) & 0xff;
}

static void set_status(struct cpu *c, unsigned requested, unsigned in_service)
{
	VMCS(c, GUEST_INTR_STATUS) = requested | in_service << INTR_STATUS_SVI_SHIFT;
}

/* 30.2.1 "Evaluation of Pending Virtual Interrupts" */
static void evaluate(struct cpu *c)
{
	c->vmx.vintr = !vmx_proc(c, PROC_INTR_WINDOW_EXITING) && rvi(c) >> 4 > (vmx_vapic(c, LAPIC_PPR) & 0xff) >> 4;
	if (c->vmx.vintr)
		cpu_kick(c, PEND_VMX);
}

/* 30.1.3 "PPR Virtualization" */
static void virtualize_ppr(struct cpu *c)
{
	unsigned tpr = vmx_vapic(c, LAPIC_TPR) & 0xff;

	vapic_set(c, LAPIC_PPR, tpr >> 4 >= svi(c) >> 4 ? tpr : svi(c) & 0xf0);
}

static bool below_threshold(struct cpu *c)
{
	return (vmx_vapic(c, LAPIC_TPR) >> 4 & 15) < (VMCS(c, TPR_THRESHOLD) & TPR_THRESHOLD_CLASS);
}

static bool exit_now(struct cpu *c, u32 reason, u64 qual)
{
	vmx_exit_commit(c, &(struct vmexit){ .reason = reason, .qual = qual });
	return true;
}

/* 30.1.2 "TPR Virtualization". These functions return true if there was a VM exit. */
static bool virtualize_tpr(struct cpu *c)
{
	if (intr_delivery(c)) {
		virtualize_ppr(c);
		evaluate(c);
		return false;
	}
	return below_threshold(c) && exit_now(c, EXIT_TPR_BELOW_THRESHOLD, 0);
}

/* 30.1.4 "EOI Virtualization" */
static bool virtualize_eoi(struct cpu *c)
{
	unsigned vector = svi(c);

	set_vector(c, LAPIC_ISR, vector, false);
	set_status(c, rvi(c), highest_vector(c, LAPIC_ISR));
	virtualize_ppr(c);
	if (c->vmx.vmcs->f[VF_EOI_EXIT_BITMAP_0 + vector / 64] >> vector % 64 & 1)
		return exit_now(c, EXIT_VIRTUALIZED_EOI, vector);
	evaluate(c);
	return false;
}

/* 30.1.5 "Self-IPI Virtualization" */
static bool virtualize_self_ipi(struct cpu *c, unsigned vector)
{
	set_vector(c, LAPIC_IRR, vector, true);
	set_status(c, vector > rvi(c) ? vector : rvi(c), svi(c));
	evaluate(c);
	return false;
}

/* Fixed, edge-triggered, to self, idle, no reserved bit, a legal vector. */
static bool is_self_ipi(u32 icr)
{
	return !(icr & (ICR_RESERVED | ICR_PENDING | ICR_LEVEL | DELIVERY_MODE)) && (icr & ICR_SHORTHAND) == ICR_TO_SELF &&
	       (icr & ICR_VECTOR) >> 4;
}

static void make_due(struct cpu *c, unsigned offset, unsigned size)
{
	c->vmx.apic_due = (u16)offset;
	c->vmx.apic_due_size = (u8)size;
	cpu_kick(c, PEND_VMX);
}

bool vmx_apic_emulate(struct cpu *c)
{
	unsigned offset = c->vmx.apic_due;
	u32 icr;

	c->vmx.apic_due = 0;
	cpu_charge(c, COST_VAPIC);
	switch (offset) {
	case LAPIC_TPR:
		vapic_set(c, LAPIC_TPR, vmx_vapic(c, LAPIC_TPR) & 0xff);
		return virtualize_tpr(c);
	case LAPIC_EOI:
		if (!intr_delivery(c))
			break;
		vapic_set(c, LAPIC_EOI, 0);
		return virtualize_eoi(c);
	case LAPIC_ICR_LOW:
		icr = vmx_vapic(c, LAPIC_ICR_LOW);
		if (!intr_delivery(c) || !is_self_ipi(icr))
			break;
		return virtualize_self_ipi(c, icr & ICR_VECTOR);
	case LAPIC_SELF_IPI: /* by WRMSR, under virtual-interrupt delivery only */
		icr = vmx_vapic(c, LAPIC_SELF_IPI);
		if (!((icr & ICR_VECTOR) >> 4))
			break;
		return virtualize_self_ipi(c, icr & ICR_VECTOR);
	case LAPIC_ICR_HIGH:
	case LAPIC_ICR_HIGH + 1:
	case LAPIC_ICR_HIGH + 2:
	case LAPIC_ICR_HIGH + 3:
		vapic_set(c, LAPIC_ICR_HIGH, vmx_vapic(c, LAPIC_ICR_HIGH) & 0xff000000);
		return false;
	}
	return exit_now(c, EXIT_APIC_WRITE, offset);
}

/*
 * 27.3.2.5 "Updating Non-Register State"; 27.7.7 "VM Exits Induced by the TPR Threshold": they end HLT, in shutdown they
 * wait for an event that ends it.
 */
void vmx_apic_enter(struct cpu *c)
{
	if (!tpr_shadow(c))
		return;
	if (intr_delivery(c)) {
		virtualize_ppr(c);
		evaluate(c);
	} else if (vmx_proc2(c, PROC2_VIRT_APIC_ACCESSES) && c->activity != WAIT_SIPI && below_threshold(c)) {
		make_due(c, LAPIC_TPR, 4);
	}
}

void vmx_apic_leave(struct cpu *c)
{
	c->vmx.vintr = false;
	c->vmx.apic_due = 0;
	c->vmx.apic_page = VMX_NO_POINTER;
}

/* 30.2.2 "Virtual-Interrupt Delivery": up to the event that goes through the IDT. */
u8 vmx_take_virtual_interrupt(struct cpu *c)
{
	unsigned vector = rvi(c);

	set_vector(c, LAPIC_ISR, vector, true);
	vapic_set(c, LAPIC_PPR, vector & 0xf0);
	set_vector(c, LAPIC_IRR, vector, false);
	set_status(c, highest_vector(c, LAPIC_IRR), vector);
	c->vmx.vintr = false;
	stat_add(c->m, STAT_VIRTUAL_INTERRUPTS, 1);
	return (u8)vector;
}

bool vmx_posted_interrupt(struct cpu *c, unsigned vector)
{
	u64 desc = VMCS(c, POSTED_INTR_DESC_ADDR);
	unsigned highest = rvi(c);

	if (!vmx_pin(c, PIN_POSTED_INTERRUPTS) || vector != VMCS(c, POSTED_INTR_VECTOR))
		return false;
	vmx_phys_write(c, desc + POSTED_DESC_ON, 1, vmx_phys_read(c, desc + POSTED_DESC_ON, 1) & ~1ull);
	apic_eoi(c->apic);
	for (unsigned v = 0; v < 256; v += 32) {
		u32 pir = (u32)vmx_phys_read(c, desc + POSTED_DESC_PIR + v / 8, 4);

		if (!pir)
			continue;
		vmx_phys_write(c, desc + POSTED_DESC_PIR + v / 8, 4, 0);
		vapic_set(c, register_of(LAPIC_IRR, v), vmx_vapic(c, register_of(LAPIC_IRR, v)) | pir);
		if (v + 31 - (unsigned)__builtin_clz(pir) > highest)
			highest = v + 31 - (unsigned)__builtin_clz(pir);
	}
	set_status(c, highest, svi(c));
	evaluate(c);
	stat_add(c->m, STAT_POSTED_INTERRUPTS, 1);
	cpu_charge(c, COST_POSTED_INTR);
	return true;
}

u64 vmx_virtual_cr8(struct cpu *c)
{
	return vmx_vapic(c, LAPIC_TPR) >> 4 & 15;
}

bool vmx_write_cr8(struct cpu *c, u64 value)
{
	if (!tpr_shadow(c))
		return false;
	vapic_set(c, LAPIC_TPR, (u32)value << 4);
	make_due(c, LAPIC_TPR, 4);
	return true;
}

static bool is_x2apic_msr(const struct cpu *c, u32 index)
{
	return vmx_nonroot(c) && vmx_proc2(c, PROC2_VIRT_X2APIC_MODE) && index >> 8 == IA32_X2APIC_BASE >> 8;
}

/* The local APIC's own mode does not matter. */
bool vmx_x2apic_read(struct cpu *c, u32 index, u64 *value)
{
	unsigned offset = (index & 0xff) << 4;

	if (!is_x2apic_msr(c, index) || (offset != LAPIC_TPR && !vmx_proc2(c, PROC2_APIC_REGISTER_VIRT)))
		return false;
	cpu_charge(c, COST_VAPIC);
	*value = vmx_phys_read(c, VMCS(c, VIRTUAL_APIC_ADDR) + offset, 8);
	return true;
}

enum vmx_x2apic vmx_x2apic_write(struct cpu *c, u32 index, u64 value)
{
	unsigned offset = (index & 0xff) << 4;

	if (!is_x2apic_msr(c, index) || (offset != LAPIC_TPR && offset != LAPIC_EOI && offset != LAPIC_SELF_IPI))
		return X2APIC_NOT_VIRTUAL;
	if (offset != LAPIC_TPR && !intr_delivery(c))
		return X2APIC_NOT_VIRTUAL;
	if (value >> (offset == LAPIC_EOI ? 0 : 8))
		return X2APIC_FAULT;
	vmx_phys_write(c, VMCS(c, VIRTUAL_APIC_ADDR) + offset, 8, value);
	make_due(c, offset, 8);
	return X2APIC_DONE;
}
