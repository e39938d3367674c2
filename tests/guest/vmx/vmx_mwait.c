/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MONITOR and MWAIT in VMX non-root operation: exits, what clears the monitored range, what ends the wait and how it is saved.
 * SDM 3C "Instructions That Cause VM Exits Conditionally" (26.1.3), 26.3 "MWAIT", "Clearing Address-Range Monitoring" (27.3.3,
 * 28.5.6), "Guest Non-Register State" (25.4.2).
 */
#include "arch/apic.h"

#include "expect.h"

#define VECTOR 0x28
#define TICKS 3000

static uint8_t line[64] __attribute__((aligned(64)));

#define ARM "lea line(%rip), %rax; xor %ecx, %ecx; xor %edx, %edx; monitor; "
GUEST(g_monitor, "monitor")
GUEST(g_mwait, "mwait")
GUEST(g_armed, ARM "xor %eax, %eax; mwait; .globl behind_mwait; behind_mwait: nop")
GUEST(g_armed_masked, ARM "xor %eax, %eax; inc %ecx; mwait")
GUEST(g_stored, ARM "movb $1, line(%rip); xor %eax, %eax; mwait")
GUEST(g_arm_only, ARM)
extern char behind_mwait[];

static void timer(uint32_t ticks)
{
	apic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
	apic_write(LAPIC_TIMER_DIVIDE, 0xb);
	apic_write(LAPIC_LVT_TIMER, VECTOR);
	apic_write(LAPIC_TIMER_INITIAL, ticks);
}

static void eoi(void)
{
	apic_write(LAPIC_EOI, 0);
}

static void guest(void (*fn)(void), uint64_t rcx, uint64_t rflags)
{
	guest_at(fn);
	regs[0] = (uint64_t)line;
	regs[1] = rcx;
	vmwrite(VMCS_GUEST_RFLAGS, rflags);
}

static void instruction_exits(void)
{
	heading("exits");
	guest(g_monitor, 0, EFLAGS_ONE);
	expect_reason("MONITOR without its control", EXIT_VMCALL);
	control_set(VMCS_PROC_CONTROLS, PROC_MONITOR_EXITING);
	guest(g_monitor, 1, EFLAGS_ONE);
	expect_reason("MONITOR, before its operands are looked at", EXIT_MONITOR);
	expect_field("… its length", VMCS_EXIT_INSTRUCTION_LENGTH, 3);
	expect_field("… RIP", VMCS_GUEST_RIP, (uint64_t)g_monitor);
	expect_field("… no qualification", VMCS_EXIT_QUALIFICATION, 0);
	control_clear(VMCS_PROC_CONTROLS, PROC_MONITOR_EXITING);
	guest(g_mwait, 0, EFLAGS_ONE);
	expect_reason("MWAIT without MONITOR does not wait", EXIT_VMCALL);
	guest(g_stored, 0, EFLAGS_ONE);
	expect_reason("MWAIT after a store does not wait", EXIT_VMCALL);
	control_set(VMCS_PROC_CONTROLS, PROC_MWAIT_EXITING);
	guest(g_mwait, 2, EFLAGS_ONE);
	expect_reason("MWAIT, before its operands are looked at", EXIT_MWAIT);
	expect_field("… not armed", VMCS_EXIT_QUALIFICATION, 0);
	guest(g_armed, 0, EFLAGS_ONE);
	expect_reason("MWAIT behind MONITOR", EXIT_MWAIT);
	expect_field("… armed", VMCS_EXIT_QUALIFICATION, 1);
	guest(g_stored, 0, EFLAGS_ONE);
	expect_reason("MWAIT behind a store", EXIT_MWAIT);
	expect_field("… armed no more", VMCS_EXIT_QUALIFICATION, 0);
}

static void transitions(void)
{
	heading("entries and exits clear the range");
	control_set(VMCS_PROC_CONTROLS, PROC_MWAIT_EXITING);
	guest(g_mwait, 0, EFLAGS_ONE);
	asm volatile("monitor" : : "a"(line), "c"(0), "d"(0));
	expect_reason("MWAIT in the guest, MONITOR in the host", EXIT_MWAIT);
	expect_field("not armed", VMCS_EXIT_QUALIFICATION, 0);
	control_clear(VMCS_PROC_CONTROLS, PROC_MWAIT_EXITING);
	guest(g_arm_only, 0, EFLAGS_ONE);
	expect_reason("MONITOR in the guest", EXIT_VMCALL);
	events = 0;
	handler_returns = 1;
	timer(TICKS);
	asm volatile("sti; mwait; cli" : : "a"(0), "c"(0) : "memory");
	apic_write(LAPIC_TIMER_INITIAL, 0);
	handler_returns = 0;
	check(events == 0, "MWAIT in the host does not wait", "%u events", events);
	if (events)
		eoi();
}

static void expect_woken(const char *name, unsigned reason)
{
	expect_reason(name, reason);
	expect_field("… RIP is behind MWAIT", VMCS_GUEST_RIP, (uint64_t)behind_mwait);
	expect_field("… active, not halted", VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
}

static void drain(void)
{
	handler_returns = 1;
	asm volatile("sti; nop; nop; cli" : : : "memory");
	handler_returns = 0;
	eoi();
}

static void waits(void)
{
	heading("ends of the wait");
	control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	guest(g_armed, 0, EFLAGS_ONE);
	timer(TICKS);
	expect_woken("an interrupt that exits, though masked", EXIT_EXTERNAL_INTERRUPT);
	drain();
	control_clear(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	if (control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER)) {
		vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 1000);
		guest(g_armed, 0, EFLAGS_ONE);
		expect_woken("the preemption timer", EXIT_PREEMPTION_TIMER);
		control_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	}
	guest(g_armed_masked, 0, EFLAGS_ONE);
	timer(TICKS);
	expect_reason("a masked interrupt that does not exit, with ECX[0]", EXIT_VMCALL);
	drain();
	control_set(VMCS_PROC_CONTROLS, PROC_INTR_WINDOW_EXITING);
	guest(g_armed_masked, 0, EFLAGS_ONE);
	expect_reason("with ECX[0] and an interrupt window to come there is no wait", EXIT_VMCALL);
	guest(g_armed, 0, IF_ON);
	expect_reason("an interrupt window", EXIT_INTERRUPT_WINDOW);
	control_clear(VMCS_PROC_CONTROLS, PROC_INTR_WINDOW_EXITING);
}

int main(void)
{
	uint32_t a = 1, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	if (!vmx_start())
		finish(1);
	vmcs_fresh(g_mwait);
	if (!(c & 8)) {
		say("no MONITOR: not tested but for #UD\n");
		vmwrite(VMCS_EXCEPTION_BITMAP, ~0ull);
		control_set(VMCS_PROC_CONTROLS, PROC_MWAIT_EXITING);
		guest(g_mwait, 0, EFLAGS_ONE);
		expect_reason("MWAIT where it is not enumerated is #UD, not an exit", EXIT_EXCEPTION_NMI);
		finish(failures());
	}
	instruction_exits();
	transitions();
	waits();
	finish(failures());
}
