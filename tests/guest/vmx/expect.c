/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "expect.h"

#include "arch/apic.h"

unsigned exit_reason(void)
{
	return (unsigned)vmread(VMCS_EXIT_REASON);
}

bool expect_reason(const char *name, unsigned want)
{
	int r = enter_guest();

	return check(r == 0 && exit_reason() == want, name, "result %d, error %lu, reason %u, qual %lx, intr %lx, rip %lx; expected %u", r,
		     vmread(VMCS_INSTRUCTION_ERROR), exit_reason(), vmread(VMCS_EXIT_QUALIFICATION), vmread(VMCS_EXIT_INTR_INFO),
		     vmread(VMCS_GUEST_RIP), want);
}

void expect_field(const char *name, uint32_t field, uint64_t want)
{
	check(vmread(field) == want, name, "%s is %lx, expected %lx", vmcs_field_name(field), vmread(field), want);
}

static volatile uint32_t *const apic = (volatile uint32_t *)APIC_BASE_DEFAULT;

uint32_t apic_read(unsigned reg)
{
	return apic[reg / 4];
}

void apic_write(unsigned reg, uint32_t v)
{
	apic[reg / 4] = v;
}

void apic_send(uint32_t icr)
{
	apic_write(LAPIC_ICR_HIGH, apic_read(LAPIC_ID));
	apic_write(LAPIC_ICR_LOW, icr);
	while (apic_read(LAPIC_ICR_LOW) & ICR_PENDING)
		;
}
