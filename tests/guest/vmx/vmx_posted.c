/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Posted interrupts between processors: the others post, each a vector of its own, and notify; the first is in a
 * guest that counts. None may be lost, and none may exit. SDM 3C "Posted-Interrupt Processing" (30.6).
 */
#include "arch/apic.h"

#include "expect.h"

#define AP_PAGE 0x8000u
#define CPUS 8
#define NOTIFICATION 0x3e
#define VECTOR(cpu) (0x20u + 3 * (cpu))
#define TIMES 1000u

extern const uint8_t ap_code[], ap_code_end[];
void ap_main(uint32_t id);

static uint32_t vapic[1024] __attribute__((aligned(4096))), access_page[1024] __attribute__((aligned(4096)));
static uint32_t posted[16] __attribute__((aligned(64)));
static uint32_t online, go, counted[CPUS], exits;

static uint32_t load(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void pause_until(const uint32_t *p, uint32_t value)
{
	while (load(p) != value)
		asm volatile("pause");
}

/* As the manual asks of senders: the request first; a notification only if none is outstanding. */
static void post(unsigned vector)
{
	__atomic_fetch_or(&posted[vector / 32], 1u << vector % 32, __ATOMIC_SEQ_CST);
	if (__atomic_fetch_or(&posted[POSTED_DESC_ON / 4], 1, __ATOMIC_SEQ_CST) & 1)
		return;
	apic_write(LAPIC_ICR_HIGH, 0);
	apic_write(LAPIC_ICR_LOW, NOTIFICATION);
}

void ap_main(uint32_t id)
{
	__atomic_fetch_add(&online, 1, __ATOMIC_SEQ_CST);
	for (uint32_t round = 1;; round++) {
		pause_until(&go, round);
		for (unsigned n = 1; n <= TIMES; n++) {
			post(VECTOR(id));
			pause_until(&counted[id], n);
		}
	}
}

/* --- the guest --- */

static void count(unsigned cpu)
{
	counted[cpu]++;
	*(volatile uint32_t *)&access_page[LAPIC_EOI / 4] = 0;
}

#define HANDLER(cpu)                                                           \
	__attribute__((interrupt)) static void handler##cpu(void *frame)      \
	{                                                                      \
		count(cpu);                                                    \
	}
HANDLER(1) HANDLER(2) HANDLER(3) HANDLER(4) HANDLER(5) HANDLER(6) HANDLER(7)
static void (*const guest_handlers[CPUS])(void *) = { 0, handler1, handler2, handler3, handler4, handler5, handler6, handler7 };

static bool all_counted(void)
{
	for (unsigned i = 1; i <= online; i++)
		if (load(&counted[i]) != TIMES)
			return false;
	return true;
}

static void guest_halts(void)
{
	for (;;) {
		asm volatile("cli");
		if (all_counted())
			asm volatile("vmcall");
		asm volatile("sti; hlt");
	}
}

static void guest_spins(void)
{
	asm volatile("sti");
	for (;;)
		if (all_counted())
			asm volatile("vmcall");
}

/* --- the host --- */

static void start_others(void)
{
	memcpy((void *)(uint64_t)AP_PAGE, ap_code, (unsigned long)(ap_code_end - ap_code));
	apic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
	apic_write(LAPIC_ICR_LOW, DELIVERY_INIT | ICR_ASSERT | ICR_TO_OTHERS);
	apic_write(LAPIC_ICR_LOW, DELIVERY_SIPI | ICR_ASSERT | ICR_TO_OTHERS | AP_PAGE >> 12);
	for (unsigned i = 0; i < 100000; i++)
		asm volatile("pause");
}

static void install_handlers(void)
{
	uint64_t *idt = (uint64_t *)vmread(VMCS_GUEST_IDTR_BASE);

	for (unsigned i = 1; i < CPUS; i++) {
		uint64_t target = (uint64_t)guest_handlers[i];

		idt[2 * VECTOR(i)] = (target & 0xffff) | (uint64_t)SEL_CODE << 16 | 0x8e00ull << 32 | (target >> 16 & 0xffff) << 48;
		idt[2 * VECTOR(i) + 1] = target >> 32;
	}
}

static void setup(void (*fn)(void))
{
	vmcs_fresh(fn);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, (uint64_t)vapic);
	vmwrite(VMCS_APIC_ACCESS_ADDR, (uint64_t)access_page);
	vmwrite(VMCS_POSTED_INTR_DESC_ADDR, (uint64_t)posted);
	vmwrite(VMCS_POSTED_INTR_VECTOR, NOTIFICATION);
	vmwrite(VMCS_GUEST_INTR_STATUS, 0);
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * i, 0);
	vmwrite(VMCS_EPT_POINTER, ept_identity());
	control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	control_set(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS);
	control_set(VMCS_PROC_CONTROLS, PROC_TPR_SHADOW);
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT | PROC2_VIRT_APIC_ACCESSES | PROC2_VIRT_INTR_DELIVERY);
	install_handlers();
	memset(vapic, 0, sizeof(vapic));
	memset(counted, 0, sizeof(counted));
	exits = 0;
}

/* timer: 0, or how often the guest is left for a moment, in units of the preemption timer. */
static void run(const char *name, void (*fn)(void), uint64_t timer)
{
	heading(name);
	setup(fn);
	if (timer)
		control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	go++;
	do {
		vmwrite(VMCS_PREEMPTION_TIMER_VALUE, timer);
		check(enter_guest() == 0, name, "no VM entry: error %lu", vmread(VMCS_INSTRUCTION_ERROR));
	} while (exit_reason() == EXIT_PREEMPTION_TIMER && ++exits);
	check(exit_reason() == EXIT_VMCALL, name, "reason %u, interruption %lx", exit_reason(), vmread(VMCS_EXIT_INTR_INFO));
	check(all_counted(), name, "%u %u %u of %u", counted[1], counted[2], counted[3], TIMES);
	check(!timer || exits > 10, name, "left %u times", exits);
	check(!posted[0] && !posted[1] && !(posted[POSTED_DESC_ON / 4] & 1), name, "something is still posted");
}

int main(void)
{
	if (!check(vmx_start(), "VMXON", "failed") || !control_allowed(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS))
		return (int)failures();
	start_others();
	if (!check(load(&online) > 0, "other processors", "none"))
		return (int)failures();
	run("a guest that halts", guest_halts, 0);
	run("a guest that runs", guest_spins, 0);
	run("a guest that halts and is left now and then", guest_halts, 100);
	run("a guest that runs and is left now and then", guest_spins, 100);
	return (int)failures();
}
