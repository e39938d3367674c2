/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot taken in VMX non-root operation, with EPT, PML, VPID and a running preemption timer: the resumed
 * machine goes on in the guest, exits when the timer ends, and has kept the current VMCS and the other one. Run by
 * vmx_snap.sh, saving, then resuming; on a machine without the control device there is nothing to test.
 */
#include "abi/machine.h"

#include "lib.h"

static struct machine_command_block block __attribute__((aligned(64)));
static uint64_t log[512] __attribute__((aligned(4096)));
static volatile uint8_t page[4096] __attribute__((aligned(4096)));

static inline void outl(uint16_t port, uint32_t v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static volatile uint64_t turns;

/* The guest: asks for the snapshot, then stores to a page over and over until the timer ends it. */
static void guest(void)
{
	outl(MACHINE_CTL_PORT, (uint32_t)(uint64_t)&block);
	outl(MACHINE_CTL_PORT + 4, 0);
	outl(MACHINE_CTL_PORT + 8, MACHINE_CTL_GO);
	for (;;) {
		turns = turns + 1;
		page[0]++;
	}
}

static void prepare(void)
{
	vmcs_fresh(guest);
	vmclear((uint64_t)other_region);
	vmptrld((uint64_t)other_region);
	vmwrite(VMCS_GUEST_RIP, 0x2222);
	vmptrld((uint64_t)vmcs_region);
	vmwrite(VMCS_TSC_OFFSET, 0x123456789);
	vmwrite(VMCS_EPT_POINTER, ept_identity() | EPTP_AD);
	vmwrite(VMCS_PML_ADDRESS, (uint64_t)log);
	vmwrite(VMCS_PML_INDEX, PML_INDEX_START);
	vmwrite(VMCS_VPID, 3);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 100000);
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT | PROC2_ENABLE_PML | PROC2_ENABLE_VPID);
	control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
}

static bool logged(uint64_t gpa)
{
	for (unsigned i = (unsigned)(vmread(VMCS_PML_INDEX) + 1) & 0x1ff; i < 512; i++)
		if (log[i] == gpa)
			return true;
	return false;
}

int main(void)
{
	int r;

	if (inl(MACHINE_CTL_PORT + 8) != MACHINE_CTL_MAGIC) {
		say("skip: no control device\n");
		return 0;
	}
	if (!check(vmx_start(), "VMXON", "failed"))
		return 1;
	prepare();
	block.command = MACHINE_SNAPSHOT;
	r = enter_guest();
	check(block.status == 0 && block.out[0] == 1, "resumed", "status %x, out %lu", (unsigned)block.status, block.out[0]);
	check(r == 0 && vmread(VMCS_EXIT_REASON) == EXIT_PREEMPTION_TIMER, "timer", "result %d, error %lu, reason %lu", r,
	      vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON));
	check(turns > 10, "the guest went on", "%lu turns", turns);
	check(logged((uint64_t)page), "logged after resuming", "index %lu", vmread(VMCS_PML_INDEX));
	check(vmread(VMCS_TSC_OFFSET) == 0x123456789, "current VMCS", "%lx", vmread(VMCS_TSC_OFFSET));
	check(vmptrst() == (uint64_t)vmcs_region, "current pointer", "%lx", vmptrst());
	vmptrld((uint64_t)other_region);
	check(vmread(VMCS_GUEST_RIP) == 0x2222, "other VMCS", "%lx", vmread(VMCS_GUEST_RIP));
	vmptrld((uint64_t)vmcs_region);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 100);
	check(guest_run(false) == 0 && vmread(VMCS_EXIT_REASON) == EXIT_PREEMPTION_TIMER, "VMRESUME", "reason %lu", vmread(VMCS_EXIT_REASON));
	return failures() != 0;
}
