/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: injected by entry, causing exits, interrupting each other's delivery; windows, the preemption timer,
 * activity states. SDM 3C "Event Injection" (27.6), "Other Causes of VM Exits" (26.2), "Information for VM Exits
 * That Occur During Event Delivery" (28.2.4).
 */
#include "arch/apic.h"

#include "expect.h"

#define INFO(type, vector) (INTR_INFO_VALID | (uint32_t)(type) << INTR_INFO_TYPE_SHIFT | (vector))
#define WITH_ERROR INTR_INFO_ERROR_VALID

/* --- injection --- */

GUEST(g_nops, "nop; nop; nop")

static void inject(const char *name, uint32_t info, uint32_t error, unsigned length, uint64_t rip, uint64_t rflags)
{
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, rflags);
	vmwrite(VMCS_ENTRY_INTR_INFO, info);
	vmwrite(VMCS_ENTRY_INTR_ERROR, error);
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, length);
	events = last_error = last_vector = 0;
	expect_reason(name, EXIT_VMCALL);
	check(events == 1 && last_vector == (info & 0xff), name, "%u events, vector %u", events, last_vector);
	check(last_rip == rip, name, "return address +%lx", last_rip - (uint64_t)g_nops);
	check(last_rflags == rflags, name, "saved RFLAGS %lx", last_rflags);
	if (info & WITH_ERROR)
		check(last_error == error, name, "error code %x", last_error);
	check(!(vmread(VMCS_ENTRY_INTR_INFO) & INTR_INFO_VALID), name, "the valid bit stays");
}

static void injection(void)
{
	uint64_t at = (uint64_t)g_nops;

	heading("injection");
	handler_returns = 1;
	inject("external interrupt", INFO(INTR_TYPE_EXTERNAL, 40), 0, 0, at, IF_ON);
	inject("NMI", INFO(INTR_TYPE_NMI, 2), 0, 0, at, EFLAGS_ONE);
	inject("#UD", INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD), 0, 0, at, EFLAGS_ONE);
	vmwrite(VMCS_EXCEPTION_BITMAP, ~0ull);
	inject("#GP, intercepted", INFO(INTR_TYPE_HW_EXCEPTION, VEC_GP) | WITH_ERROR, 0x1234, 0, at, EFLAGS_ONE);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	asm volatile("mov %0, %%cr2" : : "r"(0x4455ull));
	inject("#PF", INFO(INTR_TYPE_HW_EXCEPTION, VEC_PF) | WITH_ERROR, 2, 0, at, EFLAGS_ONE);
	check(read_cr2() == 0x4455, "#PF", "CR2 changed to %lx", read_cr2());
	inject("INT n", INFO(INTR_TYPE_SW_INTERRUPT, 50), 0, 2, at + 2, EFLAGS_ONE);
	inject("INT3", INFO(INTR_TYPE_SW_EXCEPTION, VEC_BP), 0, 1, at + 1, EFLAGS_ONE);
	inject("INT1", INFO(INTR_TYPE_PRIV_SW, VEC_DB), 0, 1, at + 1, EFLAGS_ONE);
	inject("INT n, length 0", INFO(INTR_TYPE_SW_INTERRUPT, 51), 0, 0, at, EFLAGS_ONE);
	handler_returns = 0;
}

/* Injected into a guest in HLT: the event's handler runs, and the guest goes on. */
static void wakes_by(const char *name, uint32_t info)
{
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	vmwrite(VMCS_ENTRY_INTR_INFO, info);
	events = 0;
	expect_reason(name, EXIT_VMCALL);
	check(events == 1 && last_vector == (info & INTR_INFO_VECTOR), name, "%u events, vector %u", events, last_vector);
}

static void wakes(void)
{
	handler_returns = 1;
	wakes_by("an injected NMI wakes from HLT", INFO(INTR_TYPE_NMI, VEC_NMI));
	wakes_by("an injected #DB wakes from HLT", INFO(INTR_TYPE_HW_EXCEPTION, VEC_DB));
	wakes_by("an injected #MC wakes from HLT", INFO(INTR_TYPE_HW_EXCEPTION, VEC_MC));
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	vmwrite(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_EXTERNAL, 41));
	events = 0;
	expect_reason("an injected interrupt wakes from HLT", EXIT_VMCALL);
	check(events == 1, "woken", "%u events", events);
	expect_field("active again", VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	handler_returns = 0;
}

/* --- exceptions that exit --- */

GUEST(g_ud2, "ud2")
GUEST(g_bad_selector, "mov $0x1230, %eax; mov %eax, %ds")
GUEST(g_load, "mov (%rbx), %rax")
GUEST(g_store, "mov %rax, (%rbx)")
GUEST(g_int3, "int3")
GUEST(g_int1, ".byte 0xf1")
GUEST(g_int48, "int $48")
GUEST(g_div, "xor %ecx, %ecx; div %ecx")

static void exception(const char *name, void (*fn)(void), uint32_t bitmap, uint32_t info, uint64_t qual, uint64_t rip)
{
	guest_at(fn);
	vmwrite(VMCS_EXCEPTION_BITMAP, bitmap);
	expect_reason(name, EXIT_EXCEPTION_NMI);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	expect_field(name, VMCS_EXIT_INTR_INFO, info);
	expect_field(name, VMCS_EXIT_QUALIFICATION, qual);
	expect_field(name, VMCS_GUEST_RIP, rip);
	expect_field(name, VMCS_IDT_VECTORING_INFO, 0);
}

static void single_step(void)
{
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_TF);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_DB);
	expect_reason("single step", EXIT_EXCEPTION_NMI);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	expect_field("single step", VMCS_EXIT_INTR_INFO, INFO(INTR_TYPE_HW_EXCEPTION, VEC_DB));
	expect_field("single step", VMCS_EXIT_QUALIFICATION, QUAL_DB_BS);
	expect_field("single step", VMCS_GUEST_RIP, (uint64_t)g_nops + 1);
}

static void exceptions(void)
{
	heading("exceptions");
	exception("#UD", g_ud2, 1u << VEC_UD, INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD), 0, (uint64_t)g_ud2);
	check(vmread(VMCS_GUEST_RFLAGS) & EFLAGS_RF, "RF of a fault", "%lx", vmread(VMCS_GUEST_RFLAGS));
	exception("#GP", g_bad_selector, 1u << VEC_GP, INFO(INTR_TYPE_HW_EXCEPTION, VEC_GP) | WITH_ERROR, 0,
		  (uint64_t)g_bad_selector + 5);
	expect_field("#GP", VMCS_EXIT_INTR_ERROR, 0x1230);
	exception("#DE", g_div, 1u << VEC_DE, INFO(INTR_TYPE_HW_EXCEPTION, VEC_DE), 0, (uint64_t)g_div + 2);
	exception("INT3", g_int3, 1u << VEC_BP, INFO(INTR_TYPE_SW_EXCEPTION, VEC_BP), 0, (uint64_t)g_int3);
	expect_field("INT3", VMCS_EXIT_INSTRUCTION_LENGTH, 1);
	exception("INT1", g_int1, 1u << VEC_DB, INFO(INTR_TYPE_PRIV_SW, VEC_DB), 0, (uint64_t)g_int1);
	expect_field("INT1", VMCS_EXIT_INSTRUCTION_LENGTH, 1);
	guest_at(g_int48);
	vmwrite(VMCS_EXCEPTION_BITMAP, ~0ull);
	expect_reason("INT n does not exit", EXIT_VMCALL);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	single_step();
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RIP, 1ull << 47);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_GP);
	expect_reason("RIP that is not canonical", EXIT_EXCEPTION_NMI);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	expect_field("RIP that is not canonical", VMCS_EXIT_INTR_INFO, INFO(INTR_TYPE_HW_EXCEPTION, VEC_GP) | WITH_ERROR);
	expect_field("RIP that is not canonical", VMCS_GUEST_RIP, 1ull << 47);
}

/* Whether a page fault with this error code exits: bitmap bit, mask, match. */
static void page_fault(uint64_t *pte, bool bit, uint32_t mask, uint32_t match, bool write, bool exits)
{
	const char *name = exits ? "#PF exits" : "#PF does not exit";

	guest_at(write ? g_store : g_load);
	vmwrite(VMCS_EXCEPTION_BITMAP, bit ? 1u << VEC_PF : 0);
	vmwrite(VMCS_PF_ERROR_MASK, mask);
	vmwrite(VMCS_PF_ERROR_MATCH, match);
	asm volatile("mov %0, %%cr2" : : "r"(0x99ull));
	if (exits) {
		expect_reason(name, EXIT_EXCEPTION_NMI);
		expect_field(name, VMCS_EXIT_INTR_INFO, INFO(INTR_TYPE_HW_EXCEPTION, VEC_PF) | WITH_ERROR);
		expect_field(name, VMCS_EXIT_INTR_ERROR, write ? PFEC_W : 0);
		expect_field(name, VMCS_EXIT_QUALIFICATION, regs[REG_RBX]);
		check(read_cr2() == 0x99, name, "CR2 changed to %lx", read_cr2());
		return;
	}
	/* Without an IDT it ends in a triple fault, and CR2 shows that it was delivered. */
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0);
	expect_reason(name, EXIT_TRIPLE_FAULT);
	check(read_cr2() == regs[REG_RBX], name, "CR2 is %lx", read_cr2());
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 16 * 64 - 1);
}

static void page_faults(void)
{
	uint64_t *pd = (uint64_t *)(((uint64_t *)(boot_pml4[0] & PTE_ADDRESS))[3] & PTE_ADDRESS);
	uint64_t old = pd[500];

	heading("page faults");
	regs[REG_RBX] = (3ull << 30) + (500ull << 21) + 0x123;
	pd[500] = 0;
	page_fault(&pd[500], true, 0, 0, false, true);
	page_fault(&pd[500], false, 0, 0, false, false);
	page_fault(&pd[500], true, PFEC_W, PFEC_W, true, true);
	page_fault(&pd[500], true, PFEC_W, PFEC_W, false, false);
	page_fault(&pd[500], false, PFEC_W, PFEC_W, false, true);
	page_fault(&pd[500], false, PFEC_W, PFEC_W, true, false);
	page_fault(&pd[500], false, 0, ~0u, false, true);
	pd[500] = old;
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	vmwrite(VMCS_PF_ERROR_MASK, 0);
	vmwrite(VMCS_PF_ERROR_MATCH, 0);
}

/* --- exits during delivery --- */

static void vectoring(const char *name, void (*fn)(void), uint32_t injected, uint32_t bitmap, unsigned want, uint32_t info,
		      uint32_t vectoring_info)
{
	guest_at(fn);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON);
	vmwrite(VMCS_ENTRY_INTR_INFO, injected);
	vmwrite(VMCS_ENTRY_INTR_ERROR, 0);
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, 2);
	vmwrite(VMCS_EXCEPTION_BITMAP, bitmap);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 0);
	expect_reason(name, want);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 16 * 64 - 1);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	if (want == EXIT_EXCEPTION_NMI)
		expect_field(name, VMCS_EXIT_INTR_INFO, info);
	if (vectoring_info)
		expect_field(name, VMCS_IDT_VECTORING_INFO, vectoring_info);
	else
		check(!(vmread(VMCS_IDT_VECTORING_INFO) & INTR_INFO_VALID), name, "IDT-vectoring information %lx",
		      vmread(VMCS_IDT_VECTORING_INFO));
	expect_field(name, VMCS_GUEST_RIP, (uint64_t)fn);
}

static void deliveries(void)
{
	const uint32_t gp = INFO(INTR_TYPE_HW_EXCEPTION, VEC_GP) | WITH_ERROR;
	const uint32_t df = INFO(INTR_TYPE_HW_EXCEPTION, VEC_DF) | WITH_ERROR;
	const uint32_t ext = INFO(INTR_TYPE_EXTERNAL, 40);

	heading("exits during delivery");
	vectoring("#GP while INT n is delivered", g_int48, 0, 1u << VEC_GP, EXIT_EXCEPTION_NMI, gp, INFO(INTR_TYPE_SW_INTERRUPT, 48));
	expect_field("INT n", VMCS_EXIT_INSTRUCTION_LENGTH, 2);
	expect_field("INT n", VMCS_EXIT_INTR_ERROR, 48 * 8 + ERROR_IDT);
	vectoring("#GP while an interrupt is delivered", g_nops, ext, 1u << VEC_GP, EXIT_EXCEPTION_NMI, gp, ext);
	expect_field("interrupt", VMCS_EXIT_INTR_ERROR, 40 * 8 + ERROR_IDT + ERROR_EXT);
	vectoring("#GP while #UD is delivered", g_ud2, 0, 1u << VEC_GP, EXIT_EXCEPTION_NMI, gp, INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD));
	vectoring("#GP while an NMI is delivered", g_nops, INFO(INTR_TYPE_NMI, 2), 1u << VEC_GP, EXIT_EXCEPTION_NMI, gp,
		  INFO(INTR_TYPE_NMI, 2));
	vectoring("#GP while an injected #UD is delivered", g_nops, INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD), 1u << VEC_GP,
		  EXIT_EXCEPTION_NMI, gp, INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD));
	vectoring("#DF", g_ud2, 0, 1u << VEC_DF, EXIT_EXCEPTION_NMI, df, 0);
	vectoring("#GP while #DF is delivered", g_nops, df, 1u << VEC_GP, EXIT_EXCEPTION_NMI, gp, df);
	vectoring("triple fault", g_ud2, 0, 0, EXIT_TRIPLE_FAULT, 0, 0);
}

/* --- interrupts --- */

static void eoi(void)
{
	apic_write(LAPIC_EOI, 0);
}

/* Lets an interrupt that is pending in the host come in. */
static void drain(const char *name, unsigned want)
{
	events = last_vector = 0;
	asm volatile("sti; nop; nop; cli");
	check(events == (want != 0) && last_vector == want, name, "%u events in the host, vector %u", events, last_vector);
	if (want)
		eoi();
}

GUEST(g_sti, "cli; nop; sti; nop; nop")
GUEST(g_hlt_if, "sti; hlt")
GUEST(g_spin, "2: pause; jmp 2b")

static void external(void)
{
	heading("external interrupts");
	apic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
	apic_write(LAPIC_TPR, 0);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | 45);
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON);
	events = 0;
	expect_reason("without exiting it is delivered in the guest", EXIT_VMCALL);
	check(events == 1 && last_vector == 45 && last_rip == (uint64_t)g_nops, "delivered", "%u events, vector %u", events, last_vector);
	eoi();
	control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | 46);
	guest_at(g_nops);
	expect_reason("acknowledged on exit, IF = 0", EXIT_EXTERNAL_INTERRUPT);
	expect_field("acknowledged", VMCS_EXIT_INTR_INFO, INFO(INTR_TYPE_EXTERNAL, 46));
	expect_field("no instruction ran", VMCS_GUEST_RIP, (uint64_t)g_nops);
	eoi();
	drain("nothing is left", 0);
	control_clear(VMCS_EXIT_CONTROLS, VMEXIT_ACK_INTERRUPT);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | 47);
	guest_at(g_nops);
	expect_reason("not acknowledged", EXIT_EXTERNAL_INTERRUPT);
	check(!(vmread(VMCS_EXIT_INTR_INFO) & INTR_INFO_VALID), "not acknowledged", "%lx", vmread(VMCS_EXIT_INTR_INFO));
	drain("the host takes it", 47);
	control_set(VMCS_EXIT_CONTROLS, VMEXIT_ACK_INTERRUPT);
}

static void halted(void)
{
	apic_write(LAPIC_TIMER_DIVIDE, 0xb);
	apic_write(LAPIC_LVT_TIMER, 48);
	apic_write(LAPIC_TIMER_INITIAL, 20000);
	guest_at(g_hlt_if);
	expect_reason("an interrupt ends HLT with an exit", EXIT_EXTERNAL_INTERRUPT);
	expect_field("interrupt in HLT", VMCS_EXIT_INTR_INFO, INFO(INTR_TYPE_EXTERNAL, 48));
	expect_field("interrupt in HLT", VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	expect_field("interrupt in HLT", VMCS_GUEST_RIP, (uint64_t)g_hlt_if + 2);
	eoi();
	apic_write(LAPIC_TIMER_INITIAL, 20000);
	expect_reason("HLT goes on after entry", EXIT_EXTERNAL_INTERRUPT);
	eoi();
	guest_at(g_spin);
	apic_write(LAPIC_TIMER_INITIAL, 20000);
	expect_reason("an interrupt ends a loop with IF = 0", EXIT_EXTERNAL_INTERRUPT);
	eoi();
	control_clear(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
}

static void interrupt_window(void)
{
	heading("interrupt window");
	control_set(VMCS_PROC_CONTROLS, PROC_INTR_WINDOW_EXITING);
	guest_at(g_nops);
	expect_reason("IF = 0: no window", EXIT_VMCALL);
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON);
	expect_reason("IF = 1: at once", EXIT_INTERRUPT_WINDOW);
	expect_field("at once", VMCS_GUEST_RIP, (uint64_t)g_nops);
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS);
	expect_reason("in a shadow: after one instruction", EXIT_INTERRUPT_WINDOW);
	expect_field("after the shadow", VMCS_GUEST_RIP, (uint64_t)g_nops + 1);
	guest_at(g_sti);
	expect_reason("STI opens it", EXIT_INTERRUPT_WINDOW);
	expect_field("one instruction after STI", VMCS_GUEST_RIP, (uint64_t)g_sti + 4);
	control_clear(VMCS_PROC_CONTROLS, PROC_INTR_WINDOW_EXITING);
}

/* --- NMIs --- */

/* IRET to the next instruction; the stack is the guest's. */
GUEST(g_iret, "mov %rsp, %rax; push $0x10; push %rax; push $2; push $8; lea 2f(%rip), %rax; push %rax; iretq; 2: nop; nop")

GUEST(g_send_nmi, "movl $0x400, (%rbx); 2: pause; jmp 2b")

static void iret_in_host(void)
{
	asm volatile("mov %%rsp, %%rax; push $0x10; push %%rax; pushf; push $8; lea 1f(%%rip), %%rax; push %%rax; iretq; 1:"
		     : : : "rax", "memory", "cc");
}

static void nmis(void)
{
	heading("NMIs");
	control_set(VMCS_PIN_CONTROLS, PIN_NMI_EXITING);
	guest_at(g_iret); /* NMIs are blocked until an IRET: after it the pending one exits */
	events = 0;
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
	expect_reason("blocking by NMI without virtual NMIs", EXIT_VMCALL);
	check(vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI, "IRET does not unblock with NMI exiting", "%lx",
	      vmread(VMCS_GUEST_INTERRUPTIBILITY));
	check(events == 0, "no NMI", "%u", events);
	iret_in_host();
	guest_at(g_spin);
	control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 0);
	expect_reason("preemption timer 0", EXIT_PREEMPTION_TIMER);
	control_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	guest_at(g_send_nmi);
	regs[REG_RBX] = APIC_BASE_DEFAULT + LAPIC_ICR_LOW;
	expect_reason("an NMI exits", EXIT_EXCEPTION_NMI);
	expect_field("NMI", VMCS_EXIT_INTR_INFO, INFO(INTR_TYPE_NMI, 2));
	events = 0;
	apic_send(DELIVERY_NMI);
	check(events == 0, "NMIs are blocked after an NMI exit", "%u events", events);
	iret_in_host();
	check(events == 1 && last_vector == 2, "IRET unblocks them", "%u events", events);
	control_clear(VMCS_PIN_CONTROLS, PIN_NMI_EXITING);
}

static void virtual_nmis(void)
{
	heading("virtual NMIs");
	if (!control_set(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS))
		return;
	guest_at(g_nops);
	vmwrite(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_NMI, 2));
	events = 0;
	expect_reason("injected, handled, IRET", EXIT_VMCALL);
	check(events == 1, "handler ran", "%u", events);
	expect_field("unblocked by its IRET", VMCS_GUEST_INTERRUPTIBILITY, 0);
	control_set(VMCS_PROC_CONTROLS, PROC_NMI_WINDOW_EXITING);
	guest_at(g_nops);
	expect_reason("window, not blocked", EXIT_NMI_WINDOW);
	expect_field("window at once", VMCS_GUEST_RIP, (uint64_t)g_nops);
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
	expect_reason("window, blocked", EXIT_VMCALL);
	guest_at(g_iret);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
	expect_reason("window after IRET", EXIT_NMI_WINDOW);
	expect_field("window after IRET", VMCS_GUEST_INTERRUPTIBILITY, 0);
	control_clear(VMCS_PROC_CONTROLS, PROC_NMI_WINDOW_EXITING);
	/* The IRET faults on its stack: it had unblocked, and the exit says so. */
	guest_at(g_iret);
	vmwrite(VMCS_GUEST_RIP, (uint64_t)g_iret + 18);
	vmwrite(VMCS_GUEST_RSP, 1ull << 46);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_PF);
	expect_reason("IRET faults", EXIT_EXCEPTION_NMI);
	check(vmread(VMCS_EXIT_INTR_INFO) & INTR_INFO_NMI_UNBLOCK, "NMI unblocking due to IRET", "%lx, rip +%lx",
	      vmread(VMCS_EXIT_INTR_INFO), vmread(VMCS_GUEST_RIP) - (uint64_t)g_iret);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	control_clear(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
}

/* --- the preemption timer --- */

static void timer(void)
{
	unsigned shift = (unsigned)(rdmsr(IA32_VMX_MISC) & VMX_MISC_TIMER_SHIFT);
	uint64_t before, after, lo, hi;

	heading("preemption timer");
	if (!control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER))
		return;
	control_set(VMCS_EXIT_CONTROLS, VMEXIT_SAVE_PREEMPTION_TIMER);
	guest_at(g_spin);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 5000);
	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	before = lo | hi << 32;
	expect_reason("it ends a loop", EXIT_PREEMPTION_TIMER);
	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	after = lo | hi << 32;
	check(after - before >= 4999ull << shift, "not early", "%lu cycles", after - before);
	expect_field("it is 0 then", VMCS_PREEMPTION_TIMER_VALUE, 0);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 100000000);
	guest_at(g_nops);
	expect_reason("an earlier exit", EXIT_VMCALL);
	check(vmread(VMCS_PREEMPTION_TIMER_VALUE) <= 100000000 && vmread(VMCS_PREEMPTION_TIMER_VALUE) > 50000000, "saved", "%lu",
	      vmread(VMCS_PREEMPTION_TIMER_VALUE));
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 1000);
	expect_reason("it ends HLT", EXIT_PREEMPTION_TIMER);
	expect_field("it ends HLT", VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	control_clear(VMCS_EXIT_CONTROLS, VMEXIT_SAVE_PREEMPTION_TIMER);
	control_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
}

/* --- activity states --- */

/* Enters in this state with a timer of 500 ticks, whatever the controls set before. */
static void enter_inactive(uint32_t state, uint32_t info)
{
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON);
	vmwrite(VMCS_GUEST_ACTIVITY, state);
	vmwrite(VMCS_ENTRY_INTR_INFO, info);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 500);
	events = 0;
}

/* In shutdown interrupts, their window and MTF exits wait; NMIs and the timer do not. SDM 3C 25.4.2, 27.7.2. */
static void shut_down(void)
{
	heading("shutdown");
	if (!(rdmsr(IA32_VMX_MISC) & VMX_MISC_ACTIVITY_SHUTDOWN) || !control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER))
		return;
	enter_inactive(ACTIVITY_SHUTDOWN, 0);
	expect_reason("the timer ends it", EXIT_PREEMPTION_TIMER);
	expect_field("the timer ends it", VMCS_GUEST_ACTIVITY, ACTIVITY_SHUTDOWN);
	control_set(VMCS_PROC_CONTROLS, PROC_INTR_WINDOW_EXITING);
	enter_inactive(ACTIVITY_SHUTDOWN, 0);
	expect_reason("no interrupt window", EXIT_PREEMPTION_TIMER);
	control_clear(VMCS_PROC_CONTROLS, PROC_INTR_WINDOW_EXITING);
	control_set(VMCS_PROC_CONTROLS, PROC_MONITOR_TRAP_FLAG);
	enter_inactive(ACTIVITY_SHUTDOWN, 0);
	expect_reason("no MTF exit", EXIT_PREEMPTION_TIMER);
	control_clear(VMCS_PROC_CONTROLS, PROC_MONITOR_TRAP_FLAG);
	apic_send(DELIVERY_FIXED | ICR_TO_SELF | 45);
	enter_inactive(ACTIVITY_SHUTDOWN, 0);
	expect_reason("an interrupt does not wake", EXIT_PREEMPTION_TIMER);
	check(events == 0, "nor is it delivered", "%u events", events);
	control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	enter_inactive(ACTIVITY_SHUTDOWN, 0);
	expect_reason("nor does it exit", EXIT_PREEMPTION_TIMER);
	control_clear(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	drain("it is still there", 45);
	enter_inactive(ACTIVITY_SHUTDOWN, INFO(INTR_TYPE_NMI, 2));
	expect_reason("an injected NMI wakes", EXIT_VMCALL);
	check(events == 1 && last_vector == 2, "woken", "%u events", events);
	expect_field("woken", VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	if (control_set(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS)) {
		control_set(VMCS_PROC_CONTROLS, PROC_NMI_WINDOW_EXITING);
		enter_inactive(ACTIVITY_SHUTDOWN, 0);
		expect_reason("an NMI window", EXIT_NMI_WINDOW);
		control_clear(VMCS_PROC_CONTROLS, PROC_NMI_WINDOW_EXITING);
		control_clear(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
	}
	control_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
}

/* --- RFLAGS.RF --- */

GUEST(g_rf, "nop; cpuid")

/* SDM 3C "Saving RIP, RSP, RFLAGS, and SSP" (28.3.3). */
static void resume_flag(void)
{
	heading("RFLAGS.RF");
	control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 0);
	guest_at(g_rf);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_RF);
	expect_reason("an exit before the first instruction", EXIT_PREEMPTION_TIMER);
	expect_field("keeps RF", VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_RF);
	control_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	guest_at(g_rf);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_RF);
	expect_reason("an instruction clears it", EXIT_CPUID);
	expect_field("an instruction clears it", VMCS_GUEST_RFLAGS, EFLAGS_ONE);
	guest_at(g_rf);
	vmwrite(VMCS_GUEST_RIP, (uint64_t)g_rf + 1);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_RF);
	expect_reason("an instruction that exits", EXIT_CPUID);
	expect_field("an instruction that exits", VMCS_GUEST_RFLAGS, EFLAGS_ONE);
	handler_returns = 1;
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON | EFLAGS_RF);
	vmwrite(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_EXTERNAL, 40));
	expect_reason("an injected interrupt", EXIT_VMCALL);
	check(last_rflags == (IF_ON | EFLAGS_RF), "pushes it as it was", "%lx", last_rflags);
	handler_returns = 0;
}

/* --- the monitor trap flag --- */

GUEST(g_steps, "nop; incl %ecx; xor %eax, %eax; hlt")

static void trap_flag(void)
{
	const uint64_t at[] = { 1, 3, 5, 6 };

	heading("monitor trap flag");
	if (!control_set(VMCS_PROC_CONTROLS, PROC_MONITOR_TRAP_FLAG)) {
		say("skip: none\n");
		return;
	}
	guest_at(g_steps);
	regs[REG_RCX] = 0;
	for (unsigned i = 0; i < 4; i++) {
		expect_reason("one instruction", EXIT_MONITOR_TRAP_FLAG);
		expect_field("one instruction", VMCS_GUEST_RIP, (uint64_t)g_steps + at[i]);
	}
	expect_field("after HLT", VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	check(regs[REG_RCX] == 1, "each once", "%lx", regs[REG_RCX]);
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON);
	vmwrite(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_EXTERNAL, 42));
	expect_reason("after an injected interrupt", EXIT_MONITOR_TRAP_FLAG);
	expect_field("at its handler", VMCS_GUEST_RIP, (uint64_t)handlers + 16 * 42);
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_TF);
	expect_reason("before a single-step trap", EXIT_MONITOR_TRAP_FLAG);
	expect_field("the trap stays pending", VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
	control_clear(VMCS_PROC_CONTROLS, PROC_MONITOR_TRAP_FLAG);
	guest_at(g_nops);
	vmwrite(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_OTHER, 0));
	expect_reason("injected", EXIT_MONITOR_TRAP_FLAG);
	expect_field("injected", VMCS_GUEST_RIP, (uint64_t)g_nops);
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	vmwrite(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_OTHER, 0));
	expect_reason("injected in HLT", EXIT_MONITOR_TRAP_FLAG);
	expect_field("injected in HLT", VMCS_GUEST_RIP, (uint64_t)g_nops);
}

/* --- pending debug exceptions --- */

/* An event injected on top of a pending single-step trap, with TF set: the trap is lost, or comes at the handler. */
static void pending_and_injected(const char *name, uint32_t info, uint32_t shadow, bool kept)
{
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, IF_ON | EFLAGS_TF);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, shadow);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS | PENDING_DEBUG_ENABLED | 1);
	vmwrite(VMCS_ENTRY_INTR_INFO, info);
	vmwrite(VMCS_ENTRY_INSTRUCTION_LENGTH, 1);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_DB);
	expect_reason(name, EXIT_EXCEPTION_NMI);
	/* Without it the handler runs, and the step after its IRET traps. */
	check((vmread(VMCS_GUEST_RIP) == (uint64_t)handlers + 16 * (info & 0xff)) == kept, name, "rip %lx, qualification %lx",
	      vmread(VMCS_GUEST_RIP), vmread(VMCS_EXIT_QUALIFICATION));
	expect_field(name, VMCS_EXIT_QUALIFICATION, kept ? 1 : QUAL_DB_BS);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
}

static void pending_debug(void)
{
	heading("pending debug exceptions");
	guest_at(g_nops);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_TF);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_DB);
	expect_reason("BS pending at entry", EXIT_EXCEPTION_NMI);
	expect_field("before any instruction", VMCS_GUEST_RIP, (uint64_t)g_nops);
	expect_field("BS", VMCS_EXIT_QUALIFICATION, QUAL_DB_BS);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	handler_returns = 1;
	pending_and_injected("an injected interrupt takes their place", INFO(INTR_TYPE_EXTERNAL, 40), 0, false);
	pending_and_injected("an injected NMI", INFO(INTR_TYPE_NMI, 2), 0, false);
	pending_and_injected("an injected #UD", INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD), 0, false);
	pending_and_injected("an injected INT n", INFO(INTR_TYPE_SW_INTERRUPT, 40), 0, false);
	pending_and_injected("INT n in the shadow of MOV SS keeps breakpoints", INFO(INTR_TYPE_SW_INTERRUPT, 40),
			     INTERRUPTIBILITY_MOV_SS, true);
	handler_returns = 0;
}

int main(void)
{
	if (!check(vmx_start(), "VMXON", "failed"))
		return 1;
	vmcs_fresh(guest_vmcall);
	injection();
	wakes();
	exceptions();
	page_faults();
	deliveries();
	external();
	halted();
	interrupt_window();
	nmis();
	virtual_nmis();
	timer();
	shut_down();
	resume_flag();
	trap_flag();
	pending_debug();
	return failures() != 0;
}
