/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INIT signals and start-up IPIs: another processor has a guest, the first sends. SDM 3C "Other Causes of VM Exits"
 * (26.2): an INIT exits, in root operation it waits for the next entry; a SIPI exits a guest that waits for one, any
 * other loses it.
 */
#include "arch/apic.h"

#include "expect.h"

#define AP_PAGE 0x8000u
#define LONG 20000000u

extern const uint8_t ap_code[], ap_code_end[];
void ap_main(uint32_t id);

/* What the first processor is to send to the other: at once, or when its guest runs. */
static volatile uint32_t command, when_inside, inside, online, done;

static void wait(unsigned rounds)
{
	for (volatile unsigned i = 0; i < rounds; i++)
		asm volatile("pause");
}

static void ask(uint32_t icr, bool guest_first)
{
	inside = 0;
	when_inside = guest_first;
	command = icr;
}

/* --- the other processor --- */

static void guest_spins(void)
{
	inside = 1;
	for (;;)
		asm volatile("pause");
}

static void enter(const char *name, unsigned reason, uint64_t qual)
{
	int r;

	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, LONG >> 5);
	r = enter_guest();
	check(r == 0 && exit_reason() == reason && vmread(VMCS_EXIT_QUALIFICATION) == qual, name,
	      "result %d, error %lu, reason %u, qualification %lx; expected %u, %lx", r, vmread(VMCS_INSTRUCTION_ERROR), exit_reason(),
	      vmread(VMCS_EXIT_QUALIFICATION), reason, qual);
	check(!(vmread(VMCS_EXIT_INTR_INFO) & INTR_INFO_VALID), name, "interruption information %lx", vmread(VMCS_EXIT_INTR_INFO));
}

static void signals(void)
{
	heading("INIT");
	guest_at(guest_spins);
	ask(DELIVERY_INIT | ICR_ASSERT, true);
	enter("INIT in a guest", EXIT_INIT, 0);
	check(inside == 1, "INIT in a guest", "it had not begun");
	guest_at(guest_spins);
	ask(DELIVERY_INIT | ICR_ASSERT, false);
	while (command)
		wait(1);
	wait(1000);
	enter("INIT in root operation", EXIT_INIT, 0);
	check(vmread(VMCS_GUEST_RIP) == (uint64_t)guest_spins && !inside, "before any instruction", "rip %lx", vmread(VMCS_GUEST_RIP));
	heading("SIPI");
	ask(DELIVERY_SIPI | ICR_ASSERT | 0x11, true);
	enter("SIPI for a guest that runs", EXIT_PREEMPTION_TIMER, 0);
	check(!command && inside, "it was sent", "it was not");
	guest_at(guest_spins);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_WAIT_SIPI);
	ask(DELIVERY_SIPI | ICR_ASSERT | 0x55, false);
	enter("SIPI for a guest that waits", EXIT_SIPI, 0x55);
	check(!inside && vmread(VMCS_GUEST_RIP) == (uint64_t)guest_spins, "it ran nothing", "rip %lx", vmread(VMCS_GUEST_RIP));
	check(vmread(VMCS_GUEST_ACTIVITY) == ACTIVITY_WAIT_SIPI, "activity state", "%lu", vmread(VMCS_GUEST_ACTIVITY));
}

void ap_main(uint32_t id)
{
	online = 1;
	if (id == 1 && check(vmx_start(), "VMXON", "failed")) {
		vmcs_fresh(guest_spins);
		if (check(control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER), "preemption timer", "none"))
			signals();
	}
	done = 1;
	for (;;)
		asm volatile("hlt");
}

/* --- the first processor --- */

static void send(uint32_t icr)
{
	apic_write(LAPIC_ICR_HIGH, 1u << 24);
	apic_write(LAPIC_ICR_LOW, icr);
}

static void start_other(void)
{
	memcpy((void *)(uint64_t)AP_PAGE, ap_code, (unsigned long)(ap_code_end - ap_code));
	apic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
	send(DELIVERY_INIT | ICR_ASSERT);
	send(DELIVERY_SIPI | ICR_ASSERT | AP_PAGE >> 12);
	for (unsigned i = 0; i < 100000 && !online; i++)
		wait(1);
}

/* The waiting guest must have been entered: a start-up IPI that comes before is lost. */
static void serve(void)
{
	if (!command || (when_inside && !inside))
		return;
	wait(10000);
	send(command);
	command = 0;
}

int main(void)
{
	start_other();
	if (!check(online, "another processor", "none"))
		return 1;
	for (unsigned i = 0; i < LONG && !done; i++)
		serve();
	check(done, "the other processor", "it never came to the end");
	return (int)failures();
}
