/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM 3C "VM-Execution Control Fields" (27.2.1.1), as far as it is about APIC virtualization: VMfail 7. */
#include "arch/apic.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/virt_apic.h"
#include "machine/vmx/vmcs.h"

#define RULES(a) (sizeof(a) / sizeof((a)[0]))

static bool virtual_apic_address(const struct cpu *c, unsigned arg)
{
	return !vmx_proc(c, PROC_TPR_SHADOW) || vmx_address_valid(VMCS(c, VIRTUAL_APIC_ADDR), PAGE_OFFSET_MASK);
}

static bool threshold_reserved(const struct cpu *c, unsigned arg)
{
	if (!vmx_proc(c, PROC_TPR_SHADOW) || vmx_proc2(c, PROC2_VIRT_INTR_DELIVERY))
		return true;
	return !(VMCS(c, TPR_THRESHOLD) & TPR_THRESHOLD_RESERVED);
}

/* Where APIC accesses are virtualized too, the same is a VM exit right after the entry. */
static bool threshold_not_above(const struct cpu *c, unsigned arg)
{
	u64 vtpr;

	if (!vmx_proc(c, PROC_TPR_SHADOW) || vmx_proc2(c, PROC2_VIRT_APIC_ACCESSES | PROC2_VIRT_INTR_DELIVERY))
		return true;
	vtpr = vmx_phys_read((struct cpu *)c, VMCS(c, VIRTUAL_APIC_ADDR) + LAPIC_TPR, 1);
	return (VMCS(c, TPR_THRESHOLD) & TPR_THRESHOLD_CLASS) <= vtpr >> 4;
}

static bool apic_access_address(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_VIRT_APIC_ACCESSES) || vmx_address_valid(VMCS(c, APIC_ACCESS_ADDR), PAGE_OFFSET_MASK);
}

static bool needs_tpr_shadow(const struct cpu *c, unsigned arg)
{
	u32 controls = PROC2_VIRT_X2APIC_MODE | PROC2_APIC_REGISTER_VIRT | PROC2_VIRT_INTR_DELIVERY;

	return vmx_proc(c, PROC_TPR_SHADOW) || !vmx_proc2(c, controls);
}

static bool one_interface(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_VIRT_X2APIC_MODE) || !vmx_proc2(c, PROC2_VIRT_APIC_ACCESSES);
}

static bool delivery_needs_exiting(const struct cpu *c, unsigned arg)
{
	return !vmx_proc2(c, PROC2_VIRT_INTR_DELIVERY) || vmx_pin(c, PIN_EXTINT_EXITING);
}

static bool posting(const struct cpu *c)
{
	return vmx_pin(c, PIN_POSTED_INTERRUPTS);
}

static bool posting_needs_delivery(const struct cpu *c, unsigned arg)
{
	return !posting(c) || vmx_proc2(c, PROC2_VIRT_INTR_DELIVERY);
}

static bool posting_needs_acknowledge(const struct cpu *c, unsigned arg)
{
	return !posting(c) || vmx_exit_ctl(c, VMEXIT_ACK_INTERRUPT);
}

static bool posting_vector(const struct cpu *c, unsigned arg)
{
	return !posting(c) || VMCS(c, POSTED_INTR_VECTOR) <= 255;
}

static bool posting_descriptor(const struct cpu *c, unsigned arg)
{
	return !posting(c) || vmx_address_valid(VMCS(c, POSTED_INTR_DESC_ADDR), POSTED_DESC_SIZE - 1);
}

static const struct vmx_rule rules[] = {
	{ virtual_apic_address, 0, "virtual-APIC address" },
	{ threshold_reserved, 0, "TPR threshold: bits 31:4" },
	{ threshold_not_above, 0, "TPR threshold is not above the virtual TPR" },
	{ apic_access_address, 0, "APIC-access address" },
	{ needs_tpr_shadow, 0, "x2APIC mode, APIC-register virtualization and virtual-interrupt delivery need the TPR shadow" },
	{ one_interface, 0, "virtualize x2APIC mode excludes virtualize APIC accesses" },
	{ delivery_needs_exiting, 0, "virtual-interrupt delivery needs external-interrupt exiting" },
	{ posting_needs_delivery, 0, "posted interrupts need virtual-interrupt delivery" },
	{ posting_needs_acknowledge, 0, "posted interrupts need acknowledge interrupt on exit" },
	{ posting_vector, 0, "posted-interrupt notification vector" },
	{ posting_descriptor, 0, "posted-interrupt descriptor address" },
};

const char *vmx_check_virt_apic(const struct cpu *c)
{
	return vmx_broken_rule(c, rules, RULES(rules));
}
