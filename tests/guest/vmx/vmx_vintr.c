/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual interrupts: their evaluation and delivery, EOI and self-IPI virtualization, posted interrupts.
 * SDM 3C chapter 30 "APIC Virtualization and Virtual Interrupts".
 */
#include "arch/apic.h"

#include "expect.h"
#include "rules.h"

#define NOTIFICATION 0x3d

static uint32_t vapic[1024] __attribute__((aligned(4096))), access_page[1024] __attribute__((aligned(4096)));
static uint32_t posted[16] __attribute__((aligned(64)));

#define REG(offset) vapic[(offset) / 4]

static uint32_t *bit_register(unsigned set, unsigned vector)
{
	return &REG(set + vector / 32 * 16);
}

static bool is_set(unsigned set, unsigned vector)
{
	return *bit_register(set, vector) >> vector % 32 & 1;
}

static void request(unsigned vector)
{
	*bit_register(LAPIC_IRR, vector) |= 1u << vector % 32;
}

static void serve(unsigned vector)
{
	*bit_register(LAPIC_ISR, vector) |= 1u << vector % 32;
}

static void status(unsigned rvi, unsigned svi)
{
	vmwrite(VMCS_GUEST_INTR_STATUS, rvi | svi << INTR_STATUS_SVI_SHIFT);
}

static void expect_status(const char *name, unsigned rvi, unsigned svi)
{
	expect_field(name, VMCS_GUEST_INTR_STATUS, rvi | svi << INTR_STATUS_SVI_SHIFT);
}

/* A guest at fn with interrupts as flags say, and a virtual APIC in which nothing is requested or in service. */
static void begin(void (*fn)(void), uint64_t flags)
{
	memset(vapic, 0, sizeof(vapic));
	memset(posted, 0, sizeof(posted));
	guest_at(fn);
	status(0, 0);
	vmwrite(VMCS_GUEST_RFLAGS, flags);
	regs[REG_RBX] = (uint64_t)access_page;
	events = last_vector = 0;
	last_rip = 0;
}

static void fresh(void)
{
	vmcs_fresh(guest_vmcall);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, (uint64_t)vapic);
	vmwrite(VMCS_APIC_ACCESS_ADDR, (uint64_t)access_page);
	vmwrite(VMCS_POSTED_INTR_DESC_ADDR, (uint64_t)posted);
	vmwrite(VMCS_POSTED_INTR_VECTOR, NOTIFICATION);
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * i, 0);
	vmwrite(VMCS_EPT_POINTER, ept_identity());
	control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	control_set(VMCS_PROC_CONTROLS, PROC_TPR_SHADOW);
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT | PROC2_VIRT_APIC_ACCESSES | PROC2_VIRT_INTR_DELIVERY);
	handler_returns = 1;
}

static void expect_delivered(const char *name, unsigned n, unsigned vector, uint64_t rip)
{
	check(events == n && (!n || (last_vector == vector && last_rip == rip)), name, "%u events, vector %x, return address %lx (+%lx)",
	      events, last_vector, last_rip, last_rip - rip);
}

GUEST(g_nops, "nop; nop; nop")
GUEST(g_sti, "sti; nop; nop; nop")
GUEST(g_popf, "push $0x202; popf; nop; nop")
GUEST(g_hlt, "hlt; nop")
GUEST(g_sti_hlt, "sti; hlt; nop")

/* --- evaluation and delivery --- */

static void at_entry(void)
{
	heading("at VM entry");
	fresh();
	begin(g_nops, IF_ON);
	request(0x35);
	request(0x23);
	status(0x35, 0);
	expect_reason("delivered", EXIT_VMCALL);
	expect_delivered("delivered before the first instruction", 1, 0x35, (uint64_t)g_nops);
	check(!is_set(LAPIC_IRR, 0x35) && is_set(LAPIC_ISR, 0x35) && is_set(LAPIC_IRR, 0x23), "IRR to ISR", "IRR %x, ISR %x",
	      *bit_register(LAPIC_IRR, 0x35), *bit_register(LAPIC_ISR, 0x35));
	expect_status("the next is requested", 0x23, 0x35);
	check(REG(LAPIC_PPR) == 0x30, "VPPR", "%x", REG(LAPIC_PPR));
	begin(g_nops, IF_ON);
	status(0x35, 0x32);
	expect_reason("its class is in service", EXIT_VMCALL);
	expect_delivered("its class is in service", 0, 0, 0);
	check(REG(LAPIC_PPR) == 0x30, "VPPR from SVI", "%x", REG(LAPIC_PPR));
	begin(g_nops, IF_ON);
	status(0x35, 0x31);
	REG(LAPIC_TPR) = 0x3f;
	expect_reason("held back by the TPR", EXIT_VMCALL);
	expect_delivered("held back by the TPR", 0, 0, 0);
	check(REG(LAPIC_PPR) == 0x3f, "VPPR from VTPR of the same class", "%x", REG(LAPIC_PPR));
	expect_status("still requested", 0x35, 0x31);
	begin(g_nops, IF_ON);
	status(0x35, 0);
	REG(LAPIC_TPR) = 0x2f;
	expect_reason("TPR of the class below", EXIT_VMCALL);
	expect_delivered("TPR of the class below", 1, 0x35, (uint64_t)g_nops);
	begin(g_nops, IF_ON);
	status(0x35, 0);
	vmwrite(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD, 0));
	expect_reason("with an injected event", EXIT_VMCALL);
	check(events == 2 && last_vector == 0x35, "with an injected event", "%u events, %x", events, last_vector);
}

static void when_open(void)
{
	heading("when interrupts are open");
	begin(g_nops, EFLAGS_ONE);
	status(0x35, 0);
	expect_reason("IF = 0", EXIT_VMCALL);
	expect_delivered("IF = 0", 0, 0, 0);
	begin(g_sti, EFLAGS_ONE);
	status(0x35, 0);
	expect_reason("after the shadow of STI", EXIT_VMCALL);
	expect_delivered("after the shadow of STI", 1, 0x35, (uint64_t)g_sti + 2);
	begin(g_popf, EFLAGS_ONE);
	status(0x35, 0);
	expect_reason("after POPF", EXIT_VMCALL);
	check(events == 1, "after POPF", "%u events", events);
	begin(g_nops, IF_ON);
	status(0x35, 0);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS);
	expect_reason("after the shadow of MOV SS", EXIT_VMCALL);
	expect_delivered("after the shadow of MOV SS", 1, 0x35, (uint64_t)g_nops + 1);
	control_set(VMCS_PROC_CONTROLS, PROC_INTR_WINDOW_EXITING);
	begin(g_nops, IF_ON);
	status(0x35, 0);
	expect_reason("interrupt-window exiting instead", EXIT_INTERRUPT_WINDOW);
	expect_status("interrupt-window exiting instead", 0x35, 0);
	control_clear(VMCS_PROC_CONTROLS, PROC_INTR_WINDOW_EXITING);
}

static void in_hlt(void)
{
	heading("in HLT");
	begin(g_nops, IF_ON);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	status(0x35, 0);
	expect_reason("it wakes", EXIT_VMCALL);
	expect_delivered("it wakes", 1, 0x35, (uint64_t)g_nops);
	begin(g_sti_hlt, EFLAGS_ONE);
	status(0x35, 0);
	expect_reason("HLT in the shadow of STI", EXIT_VMCALL);
	expect_delivered("HLT in the shadow of STI", 1, 0x35, (uint64_t)g_sti_hlt + 2);
	control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 1000);
	begin(g_hlt, EFLAGS_ONE);
	status(0x35, 0);
	expect_reason("not with IF = 0", EXIT_PREEMPTION_TIMER);
	expect_delivered("not with IF = 0", 0, 0, 0);
	expect_field("not with IF = 0", VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	control_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
}

/* Real events that are pending together with a virtual interrupt. */
static void against_others(void)
{
	heading("priorities");
	begin(g_nops, IF_ON);
	status(0x35, 0);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | 0x39);
	expect_reason("external interrupts come after it", EXIT_EXTERNAL_INTERRUPT);
	expect_delivered("external interrupts come after it", 0, 0, 0);
	expect_field("at its handler", VMCS_GUEST_RIP, (uint64_t)handlers + 0x35 * 16);
	expect_status("taken", 0, 0x35);
	apic_write(LAPIC_EOI, 0);
	control_set(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
	control_set(VMCS_PROC_CONTROLS, PROC_NMI_WINDOW_EXITING);
	begin(g_nops, IF_ON);
	status(0x35, 0);
	expect_reason("the NMI window comes before it", EXIT_NMI_WINDOW);
	expect_status("not taken", 0x35, 0);
	control_clear(VMCS_PROC_CONTROLS, PROC_NMI_WINDOW_EXITING);
	control_clear(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
}

/* --- what the guest does --- */

GUEST(g_set_cr8, "mov %rax, %cr8; nop; nop")
GUEST(g_eoi, "movl $0, 0xb0(%rbx); nop; nop")
GUEST(g_icr, "mov %eax, 0x300(%rbx); nop; nop")
GUEST(g_two_eois, "movl $0, 0xb0(%rbx); nop; movl $0, 0xb0(%rbx); nop")

static void tpr(void)
{
	heading("lowering the TPR");
	begin(g_set_cr8, IF_ON);
	status(0x35, 0);
	REG(LAPIC_TPR) = 0x40;
	regs[REG_RAX] = 2;
	expect_reason("low enough", EXIT_VMCALL);
	expect_delivered("low enough", 1, 0x35, (uint64_t)g_set_cr8 + 4);
	begin(g_set_cr8, IF_ON);
	status(0x35, 0);
	REG(LAPIC_TPR) = 0x40;
	regs[REG_RAX] = 3;
	expect_reason("not low enough", EXIT_VMCALL);
	expect_delivered("not low enough", 0, 0, 0);
	begin(g_set_cr8, EFLAGS_ONE);
	status(0x35, 0);
	regs[REG_RAX] = 4;
	expect_reason("raising it", EXIT_VMCALL);
	check(REG(LAPIC_PPR) == 0x40, "raising it", "VPPR %x", REG(LAPIC_PPR));
}

static void eoi(void)
{
	heading("EOI");
	begin(g_eoi, IF_ON);
	serve(0x35);
	serve(0x22);
	status(0x31, 0x35);
	request(0x31);
	REG(LAPIC_EOI) = 7;
	expect_reason("it makes room", EXIT_VMCALL);
	expect_delivered("it makes room", 1, 0x31, (uint64_t)g_eoi + 10);
	check(!is_set(LAPIC_ISR, 0x35) && is_set(LAPIC_ISR, 0x22) && REG(LAPIC_EOI) == 0, "ISR", "%x, EOI %x", *bit_register(LAPIC_ISR, 0x35),
	      REG(LAPIC_EOI));
	expect_status("nested", 0, 0x31);
	begin(g_two_eois, EFLAGS_ONE);
	serve(0x35);
	serve(0x22);
	status(0, 0x35);
	expect_reason("one after the other", EXIT_VMCALL);
	expect_status("one after the other", 0, 0);
	check(REG(LAPIC_PPR) == 0 && !*bit_register(LAPIC_ISR, 0x22), "one after the other", "VPPR %x", REG(LAPIC_PPR));
	for (unsigned vector = 0x10; vector < 0x100; vector += 37) {
		begin(g_eoi, EFLAGS_ONE);
		serve(vector);
		serve(0x05);
		status(0, vector);
		vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * (vector / 64), 1ull << vector % 64);
		expect_reason("EOI-exit bitmap", EXIT_VIRTUALIZED_EOI);
		expect_field("EOI-exit bitmap", VMCS_EXIT_QUALIFICATION, vector);
		expect_field("trap-like", VMCS_GUEST_RIP, (uint64_t)g_eoi + 10);
		expect_status("the EOI is done", 0, 5);
		vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * (vector / 64), ~(1ull << vector % 64));
		begin(g_eoi, EFLAGS_ONE);
		serve(vector);
		status(0, vector);
		expect_reason("another vector's bit", EXIT_VMCALL);
		vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * (vector / 64), 0);
	}
}

static void self_ipi(void)
{
	static const uint32_t others[] = {
		0x0f | ICR_TO_SELF, 0x35, 0x35 | ICR_TO_ALL, 0x35 | ICR_TO_OTHERS, 0x35 | ICR_TO_SELF | ICR_PENDING,
		0x35 | ICR_TO_SELF | ICR_LEVEL, 0x35 | ICR_TO_SELF | DELIVERY_LOWEST, 0x35 | ICR_TO_SELF | DELIVERY_NMI,
		0x35 | ICR_TO_SELF | 1 << 13, 0x35 | ICR_TO_SELF | 1 << 16, 0x35 | ICR_TO_SELF | 1 << 17, 0x35 | ICR_TO_SELF | 1u << 20,
		0x35 | ICR_TO_SELF | 1u << 31,
	};

	heading("self-IPIs");
	begin(g_icr, IF_ON);
	regs[REG_RAX] = 0x35 | ICR_TO_SELF;
	expect_reason("self-IPI", EXIT_VMCALL);
	expect_delivered("self-IPI", 1, 0x35, (uint64_t)g_icr + 6);
	begin(g_icr, EFLAGS_ONE);
	regs[REG_RAX] = 0x25 | ICR_TO_SELF | ICR_ASSERT | ICR_LOGICAL;
	status(0x35, 0);
	expect_reason("the higher one stays", EXIT_VMCALL);
	expect_status("the higher one stays", 0x35, 0);
	check(is_set(LAPIC_IRR, 0x25), "the lower one", "is not requested");
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		begin(g_icr, IF_ON);
		regs[REG_RAX] = others[i];
		expect_reason("no self-IPI", EXIT_APIC_WRITE);
		check(vmread(VMCS_EXIT_QUALIFICATION) == LAPIC_ICR_LOW && REG(LAPIC_ICR_LOW) == others[i] && !events, "no self-IPI", "%x",
		      others[i]);
	}
}

GUEST(g_wrmsr, "wrmsr; nop; nop")

static uint8_t msr_bitmap[4096] __attribute__((aligned(4096)));

static void self_ipi_by_msr(void)
{
	heading("self-IPIs and EOI by WRMSR");
	control_clear(VMCS_PROC2_CONTROLS, PROC2_VIRT_APIC_ACCESSES);
	control_set(VMCS_PROC2_CONTROLS, PROC2_VIRT_X2APIC_MODE);
	vmwrite(VMCS_MSR_BITMAP, (uint64_t)msr_bitmap);
	control_set(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS);
	begin(g_wrmsr, IF_ON);
	regs[REG_RAX] = 0x35;
	regs[REG_RDX] = 0;
	regs[REG_RCX] = IA32_X2APIC_BASE + LAPIC_SELF_IPI / 16;
	expect_reason("self-IPI", EXIT_VMCALL);
	expect_delivered("self-IPI", 1, 0x35, (uint64_t)g_wrmsr + 2);
	begin(g_wrmsr, EFLAGS_ONE);
	regs[REG_RAX] = 0;
	regs[REG_RCX] = IA32_X2APIC_BASE + LAPIC_EOI / 16;
	serve(0x45);
	status(0, 0x45);
	vmwrite(VMCS_EOI_EXIT_BITMAP_1, 1ull << (0x45 - 64));
	expect_reason("EOI", EXIT_VIRTUALIZED_EOI);
	expect_field("EOI", VMCS_EXIT_QUALIFICATION, 0x45);
	expect_field("EOI", VMCS_GUEST_RIP, (uint64_t)g_wrmsr + 2);
	vmwrite(VMCS_EOI_EXIT_BITMAP_1, 0);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_VIRT_X2APIC_MODE);
	control_set(VMCS_PROC2_CONTROLS, PROC2_VIRT_APIC_ACCESSES);
}

/* --- posted interrupts --- */

static void post(unsigned vector)
{
	posted[vector / 32] |= 1u << vector % 32;
	posted[8] = 0xff; /* ON and bits that belong to software */
}

static void notified(const char *name)
{
	check(!posted[0] && !posted[1] && !posted[7] && posted[8] == 0xfe, name, "PIR %x %x %x, word 8 %x", posted[0], posted[1], posted[7],
	      posted[8]);
	check(!apic_read(LAPIC_ISR + NOTIFICATION / 32 * 16) && !apic_read(LAPIC_IRR + NOTIFICATION / 32 * 16), name, "no EOI");
}

static void posted_interrupts(void)
{
	heading("posted interrupts");
	control_set(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS);
	begin(g_nops, IF_ON);
	post(0x35);
	post(0x21);
	request(0x24);
	status(0x24, 0);
	REG(LAPIC_TPR) = 0x20;
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | NOTIFICATION);
	expect_reason("delivered without an exit", EXIT_VMCALL);
	expect_delivered("delivered without an exit", 1, 0x35, (uint64_t)g_nops);
	notified("delivered without an exit");
	expect_status("the highest of all", 0x24, 0x35);
	check(is_set(LAPIC_IRR, 0x21) && is_set(LAPIC_IRR, 0x24), "all requested", "%x", *bit_register(LAPIC_IRR, 0x21));
	begin(g_nops, EFLAGS_ONE);
	post(0xff);
	status(0x35, 0);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | NOTIFICATION);
	expect_reason("IF = 0", EXIT_VMCALL);
	notified("IF = 0");
	expect_status("IF = 0", 0xff, 0);
	begin(g_nops, EFLAGS_ONE);
	post(0x21);
	status(0x35, 0);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | NOTIFICATION);
	expect_reason("nothing above RVI", EXIT_VMCALL);
	expect_status("nothing above RVI", 0x35, 0);
	begin(g_nops, EFLAGS_ONE);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | NOTIFICATION);
	expect_reason("nothing posted", EXIT_VMCALL);
	expect_status("nothing posted", 0, 0);
	begin(g_nops, IF_ON);
	post(0x35);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | 0x3e);
	expect_reason("another vector exits", EXIT_EXTERNAL_INTERRUPT);
	expect_field("another vector exits", VMCS_EXIT_INTR_INFO, INFO(INTR_TYPE_EXTERNAL, 0x3e, 0));
	check(posted[1] && posted[8] == 0xff, "another vector exits", "the descriptor changed");
	apic_write(LAPIC_EOI, 0);
}

/* With the control 0 the notification is an interrupt as any other. */
static void not_posted(void)
{
	heading("posted interrupts switched off");
	control_clear(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS);
	begin(g_nops, IF_ON);
	post(0x35);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | NOTIFICATION);
	expect_reason("it exits", EXIT_EXTERNAL_INTERRUPT);
	check(posted[1] && posted[8] == 0xff, "it exits", "the descriptor changed");
	apic_write(LAPIC_EOI, 0);
}

static void timer(unsigned cycles)
{
	apic_write(LAPIC_TIMER_DIVIDE, 0xb);
	apic_write(LAPIC_LVT_TIMER, NOTIFICATION);
	apic_write(LAPIC_TIMER_INITIAL, cycles);
}

static void posted_in_hlt(void)
{
	heading("posted interrupts in HLT");
	begin(g_hlt, IF_ON);
	post(0x35);
	timer(2000);
	expect_reason("it wakes", EXIT_VMCALL);
	expect_delivered("it wakes", 1, 0x35, (uint64_t)g_hlt + 1);
	notified("it wakes");
	control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 50000);
	begin(g_hlt, IF_ON);
	post(0x35);
	REG(LAPIC_TPR) = 0x30;
	timer(2000);
	expect_reason("HLT goes on after a notification alone", EXIT_PREEMPTION_TIMER);
	expect_field("HLT goes on", VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	notified("HLT goes on");
	expect_status("HLT goes on", 0x35, 0);
	control_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER | PIN_POSTED_INTERRUPTS);
}

int main(void)
{
	if (!check(vmx_start(), "VMXON", "failed"))
		return (int)failures();
	if (!control_allowed(VMCS_PROC2_CONTROLS, PROC2_VIRT_INTR_DELIVERY))
		return (int)failures();
	apic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
	apic_write(LAPIC_TPR, 0);
	outb(0x21, 0xff); /* firmware may have left the 8259's timer on */
	outb(0xa1, 0xff);
	at_entry();
	when_open();
	in_hlt();
	against_others();
	tpr();
	eoi();
	self_ipi();
	self_ipi_by_msr();
	if (!control_allowed(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS))
		return (int)failures();
	posted_interrupts();
	posted_in_hlt();
	not_posted();
	return (int)failures();
}
