/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * APIC virtualization: the TPR shadow and its threshold, the APIC-access page, APIC registers, x2APIC mode, and the rules
 * of VM entry about them. SDM 3C chapter 30 "APIC Virtualization and Virtual Interrupts"; virtual interrupts are in
 * vmx_vintr.c.
 */
#include "arch/apic.h"

#include "expect.h"
#include "rules.h"

static uint32_t vapic[1024] __attribute__((aligned(4096))), access_page[1024] __attribute__((aligned(4096)));
static uint8_t msr_bitmap[4096] __attribute__((aligned(4096))), posted[64] __attribute__((aligned(64)));

#define REG(offset) vapic[(offset) / 4]
#define ALL_PROC2 (PROC2_VIRT_APIC_ACCESSES | PROC2_VIRT_X2APIC_MODE | PROC2_APIC_REGISTER_VIRT | PROC2_VIRT_INTR_DELIVERY)

static uint64_t field_of(const void *p)
{
	return (uint64_t)p;
}

static void set_controls(bool shadow, uint32_t proc2)
{
	control_clear(VMCS_PROC_CONTROLS, PROC_TPR_SHADOW);
	control_clear(VMCS_PROC2_CONTROLS, ALL_PROC2);
	control_clear(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING | PIN_POSTED_INTERRUPTS);
	if (shadow)
		control_set(VMCS_PROC_CONTROLS, PROC_TPR_SHADOW);
	if (proc2 & PROC2_VIRT_INTR_DELIVERY)
		control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	control_set(VMCS_PROC2_CONTROLS, proc2);
}

static void fresh(void)
{
	vmcs_fresh(guest_vmcall);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, field_of(vapic));
	vmwrite(VMCS_APIC_ACCESS_ADDR, field_of(access_page));
	vmwrite(VMCS_POSTED_INTR_DESC_ADDR, field_of(posted));
	vmwrite(VMCS_POSTED_INTR_VECTOR, 0x30);
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	vmwrite(VMCS_GUEST_INTR_STATUS, 0);
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * i, 0);
	vmwrite(VMCS_EPT_POINTER, ept_identity());
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
	memset(vapic, 0, sizeof(vapic));
}

/* --- rules --- */

static const struct rule address_rules[] = {
	{ VMCS_VIRTUAL_APIC_ADDR, 0, 8, BAD_CONTROL, "virtual-APIC address, bit 3" },
	{ VMCS_VIRTUAL_APIC_ADDR, 0, BIT(11), BAD_CONTROL, "virtual-APIC address, bit 11" },
	{ VMCS_VIRTUAL_APIC_ADDR, 0, BEYOND, BAD_CONTROL, "virtual-APIC address beyond the width" },
	{ VMCS_APIC_ACCESS_ADDR, 0, 8, BAD_CONTROL, "APIC-access address, bit 3" },
	{ VMCS_APIC_ACCESS_ADDR, 0, BIT(11), BAD_CONTROL, "APIC-access address, bit 11" },
	{ VMCS_APIC_ACCESS_ADDR, 0, BEYOND, BAD_CONTROL, "APIC-access address beyond the width" },
	{ VMCS_TPR_THRESHOLD, 0, BIT(4), BAD_CONTROL, "TPR threshold, bit 4" },
	{ VMCS_TPR_THRESHOLD, 0, BIT(31), BAD_CONTROL, "TPR threshold, bit 31" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_VIRT_X2APIC_MODE, BAD_CONTROL, "x2APIC mode and APIC accesses" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_VIRT_INTR_DELIVERY, BAD_CONTROL, "virtual-interrupt delivery without exiting" },
	{ VMCS_PIN_CONTROLS, 0, PIN_POSTED_INTERRUPTS, BAD_CONTROL, "posted interrupts without virtual-interrupt delivery" },
};

static const struct rule shadow_rules[] = {
	{ VMCS_PROC2_CONTROLS, 0, PROC2_VIRT_X2APIC_MODE, BAD_CONTROL, "x2APIC mode without TPR shadow" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_APIC_REGISTER_VIRT, BAD_CONTROL, "APIC registers without TPR shadow" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_VIRT_INTR_DELIVERY, BAD_CONTROL, "virtual-interrupt delivery without TPR shadow" },
};

static const struct rule posted_rules[] = {
	{ VMCS_EXIT_CONTROLS, 0, VMEXIT_ACK_INTERRUPT, BAD_CONTROL, "posted interrupts without acknowledge" },
	{ VMCS_PROC2_CONTROLS, 0, PROC2_VIRT_INTR_DELIVERY, BAD_CONTROL, "posted interrupts, then no delivery" },
	{ VMCS_POSTED_INTR_VECTOR, 0, BIT(8), BAD_CONTROL, "notification vector above 255" },
	{ VMCS_POSTED_INTR_VECTOR, 0, BIT(15), BAD_CONTROL, "notification vector, bit 15" },
	{ VMCS_POSTED_INTR_DESC_ADDR, 0, 1, BAD_CONTROL, "descriptor address, bit 0" },
	{ VMCS_POSTED_INTR_DESC_ADDR, 0, BIT(5), BAD_CONTROL, "descriptor address, bit 5" },
	{ VMCS_POSTED_INTR_DESC_ADDR, 0, BEYOND, BAD_CONTROL, "descriptor address beyond the width" },
};

static void rules(void)
{
	static const struct rule above = { VMCS_TPR_THRESHOLD, 0, 5, BAD_CONTROL, "TPR threshold above the virtual TPR" };

	heading("rules of VM entry");
	fresh();
	control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	set_controls(false, 0);
	control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING);
	TRY(shadow_rules);
	set_controls(true, PROC2_VIRT_APIC_ACCESSES);
	TRY(address_rules);
	set_controls(true, 0);
	REG(LAPIC_TPR) = 0x4f;
	try(&above);
	vmwrite(VMCS_TPR_THRESHOLD, 4);
	expect_success("TPR threshold equal to the virtual TPR");
	set_controls(true, PROC2_VIRT_INTR_DELIVERY);
	vmwrite(VMCS_TPR_THRESHOLD, ~0u);
	expect_success("no threshold under virtual-interrupt delivery");
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	if (control_set(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS)) {
		TRY(posted_rules);
		vmwrite(VMCS_POSTED_INTR_VECTOR, 0xff);
		expect_success("notification vector 255");
	}
	set_controls(false, 0);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, 8);
	vmwrite(VMCS_APIC_ACCESS_ADDR, 8);
	expect_success("addresses of controls that are 0 do not matter");
}

/* --- every access to the page --- */

GUEST(g_read1, "mov (%rbx), %al")
GUEST(g_read2, "mov (%rbx), %ax")
GUEST(g_read4, "mov (%rbx), %eax")
GUEST(g_read8, "mov (%rbx), %rax")
GUEST(g_write1, "mov %al, (%rbx)")
GUEST(g_write2, "mov %ax, (%rbx)")
GUEST(g_write4, "mov %eax, (%rbx)")
GUEST(g_write8, "mov %rax, (%rbx)")
static void (*const readers[])(void) = { g_read1, g_read2, g_read4, g_read8 };
static void (*const writers[])(void) = { g_write1, g_write2, g_write4, g_write8 };

#define PATTERN 0x8765f321u

/* 30.4.2 and 30.4.3.1, as the manual's lists have them: first and last register, what with APIC-register virtualization. */
static const struct {
	uint16_t first, last;
	char access; /* r, w: both */
} registers[] = {
	{ 0x020, 0x020, 'w' }, { 0x030, 0x030, 'r' }, { 0x080, 0x080, 'w' }, { 0x0b0, 0x0b0, 'w' }, { 0x0d0, 0x0d0, 'w' },
	{ 0x0e0, 0x0e0, 'w' }, { 0x0f0, 0x0f0, 'w' }, { 0x100, 0x170, 'r' }, { 0x180, 0x1f0, 'r' }, { 0x200, 0x270, 'r' },
	{ 0x280, 0x280, 'w' }, { 0x300, 0x310, 'w' }, { 0x320, 0x370, 'w' }, { 0x380, 0x380, 'w' }, { 0x3e0, 0x3e0, 'w' },
};

static bool listed(unsigned offset, bool write)
{
	for (unsigned i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		if ((offset & ~15u) >= registers[i].first && (offset & ~15u) <= registers[i].last)
			return !write || registers[i].access == 'w';
	return false;
}

struct config {
	const char *name;
	bool shadow;
	uint32_t proc2;
};

static bool is_virtual(const struct config *k, unsigned offset, unsigned size, bool write)
{
	if (!k->shadow || size > 4 || (offset & 15) + size > 4)
		return false;
	if (k->proc2 & PROC2_APIC_REGISTER_VIRT)
		return listed(offset, write);
	return offset == 0x80 || ((k->proc2 & PROC2_VIRT_INTR_DELIVERY) && (offset == 0xb0 || offset == 0x300));
}

/* The exit that ends the write: an APIC write, or the guest's own VMCALL. */
static unsigned after_write(const struct config *k, unsigned offset)
{
	bool delivery = k->proc2 & PROC2_VIRT_INTR_DELIVERY;

	if (offset == 0x80 || (offset >= 0x310 && offset <= 0x313) || (offset == 0xb0 && delivery))
		return EXIT_VMCALL;
	return EXIT_APIC_WRITE; /* the ICR gets no self-IPI here */
}

static void refused(const struct config *k, void (*fn)(void), unsigned offset, unsigned type)
{
	uint64_t qual = offset | type << QUAL_APIC_TYPE_SHIFT;

	expect_reason(k->name, EXIT_APIC_ACCESS);
	if (vmread(VMCS_EXIT_QUALIFICATION) != qual || vmread(VMCS_GUEST_RIP) != (uint64_t)fn ||
	    !(vmread(VMCS_GUEST_RFLAGS) & EFLAGS_RF) || vmread(VMCS_IDT_VECTORING_INFO))
		check(false, k->name, "qualification %lx, expected %lx; RIP +%lx, RFLAGS %lx", vmread(VMCS_EXIT_QUALIFICATION), qual,
		      vmread(VMCS_GUEST_RIP) - (uint64_t)fn, vmread(VMCS_GUEST_RFLAGS));
}

static void read_one(const struct config *k, unsigned offset, unsigned log_size)
{
	unsigned size = 1u << log_size;
	uint64_t mask = size == 8 ? ~0ull : (1ull << 8 * size) - 1;
	uint64_t want;

	memset(access_page, 0xaa, sizeof(access_page));
	REG(offset & ~3u) = PATTERN;
	want = (uint64_t)PATTERN >> 8 * (offset & 3) & mask;
	guest_at(readers[log_size]);
	regs[REG_RAX] = ~0ull;
	regs[REG_RBX] = (uint64_t)access_page + offset;
	if (!is_virtual(k, offset, size, false)) {
		refused(k, readers[log_size], offset, QUAL_APIC_READ);
		return;
	}
	expect_reason(k->name, EXIT_VMCALL);
	check((regs[REG_RAX] & mask) == want, k->name, "%u bytes at %x read as %lx, expected %lx", size, offset, regs[REG_RAX] & mask, want);
}

static void write_one(const struct config *k, unsigned offset, unsigned log_size)
{
	unsigned size = 1u << log_size;
	uint32_t *reg = &REG(offset & ~3u), value = 0x12345608;

	memset(access_page, 0xaa, sizeof(access_page));
	*reg = 0;
	guest_at(writers[log_size]);
	regs[REG_RAX] = value;
	regs[REG_RBX] = (uint64_t)access_page + offset;
	if (!is_virtual(k, offset, size, true)) {
		refused(k, writers[log_size], offset, QUAL_APIC_WRITE);
		check(*reg == 0 && access_page[(offset & ~3u) / 4] == 0xaaaaaaaa, k->name, "a write to %x was done", offset);
		return;
	}
	expect_reason(k->name, after_write(k, offset));
	if (exit_reason() == EXIT_APIC_WRITE)
		check(vmread(VMCS_EXIT_QUALIFICATION) == offset && vmread(VMCS_GUEST_RIP) > (uint64_t)writers[log_size], k->name,
		      "write to %x: qualification %lx", offset, vmread(VMCS_EXIT_QUALIFICATION));
	value = (uint32_t)(value & (size == 4 ? ~0u : (1u << 8 * size) - 1)) << 8 * (offset & 3);
	if (offset == 0x80)
		value &= 0xff;
	if (offset >= 0x310 && offset <= 0x313)
		value &= 0xff000000;
	if (offset == 0xb0 && (k->proc2 & PROC2_VIRT_INTR_DELIVERY))
		value = 0;
	check(*reg == value, k->name, "%u bytes written to %x leave %x, expected %x", size, offset, *reg, value);
	check(access_page[(offset & ~3u) / 4] == 0xaaaaaaaa, k->name, "the APIC-access page itself changed at %x", offset);
}

static void accesses(void)
{
	static const struct config configs[] = {
		{ "APIC accesses alone", false, PROC2_VIRT_APIC_ACCESSES },
		{ "with TPR shadow", true, PROC2_VIRT_APIC_ACCESSES },
		{ "with delivery", true, PROC2_VIRT_APIC_ACCESSES | PROC2_VIRT_INTR_DELIVERY },
		{ "with registers", true, PROC2_VIRT_APIC_ACCESSES | PROC2_APIC_REGISTER_VIRT },
		{ "with both", true, PROC2_VIRT_APIC_ACCESSES | PROC2_APIC_REGISTER_VIRT | PROC2_VIRT_INTR_DELIVERY },
	};
	static const unsigned within[] = { 0, 1, 2, 3, 4, 8, 15 };

	heading("accesses to the APIC-access page");
	for (unsigned i = 0; i < 5; i++) {
		fresh();
		set_controls(configs[i].shadow, configs[i].proc2);
		for (unsigned offset = 0; offset < 0x1000; offset += offset < 0x420 ? 16 : 0x1f0)
			for (unsigned w = 0; w < 7; w++)
				for (unsigned log_size = 0; log_size < 4; log_size++) {
					if ((offset & ~15u) + within[w] + (1u << log_size) > 0x1000)
						continue;
					read_one(&configs[i], (offset & ~15u) + within[w], log_size);
					write_one(&configs[i], (offset & ~15u) + within[w], log_size);
				}
	}
}

/* --- other ways to reach the page --- */

GUEST(g_rmw, "orl $0x10, (%rbx)")
GUEST(g_xadd, "xadd %eax, (%rbx)")
GUEST(g_xchg, "xchg %eax, (%rbx)")
GUEST(g_stos, "rep stosl")
GUEST(g_enter, "mov %rbx, %rsp; data16 enter $0, $1")
GUEST(g_jump, "jmp *%rbx")
GUEST(g_ud, "mov %rbx, %rsp; ud2")
GUEST(g_int, "mov %rbx, %rsp; int $50")
GUEST(g_nop_int, "nop; int $51")
GUEST(g_cross, "mov (%rbx), %eax")
GUEST(g_load, "mov (%rbx), %eax; mov (%rsi), %eax")

static void expect_access(const char *name, unsigned type, unsigned offset)
{
	expect_reason(name, EXIT_APIC_ACCESS);
	expect_field(name, VMCS_EXIT_QUALIFICATION, offset | type << QUAL_APIC_TYPE_SHIFT);
}

static void other_ways(void)
{
	uint64_t page = (uint64_t)access_page;

	heading("other ways to the APIC-access page");
	fresh();
	set_controls(true, PROC2_VIRT_APIC_ACCESSES | PROC2_APIC_REGISTER_VIRT);
	guest_at(g_rmw);
	REG(LAPIC_TPR) = 5;
	regs[REG_RBX] = page + LAPIC_TPR;
	expect_reason("read-modify-write of the TPR", EXIT_VMCALL);
	check(REG(LAPIC_TPR) == 0x15, "read-modify-write", "%x", REG(LAPIC_TPR));
	guest_at(g_rmw);
	regs[REG_RBX] = page + LAPIC_VERSION;
	expect_access("read-modify-write of what can only be read", QUAL_APIC_WRITE, LAPIC_VERSION);
	guest_at(g_xadd);
	regs[REG_RAX] = 0x66;
	regs[REG_RBX] = page + LAPIC_VERSION;
	expect_access("XADD", QUAL_APIC_WRITE, LAPIC_VERSION);
	check(regs[REG_RAX] == 0x66, "XADD", "RAX %lx", regs[REG_RAX]);
	guest_at(g_write4); /* without virtual-interrupt delivery */
	regs[REG_RAX] = 0x35 | ICR_TO_SELF;
	regs[REG_RBX] = page + LAPIC_ICR_LOW;
	expect_reason("a self-IPI is for software", EXIT_APIC_WRITE);
	guest_at(g_xchg);
	regs[REG_RAX] = 0x77;
	regs[REG_RBX] = page + LAPIC_TIMER_CURRENT;
	expect_access("XCHG", QUAL_APIC_READ, LAPIC_TIMER_CURRENT);
	check(regs[REG_RAX] == 0x77, "XCHG", "RAX %lx", regs[REG_RAX]);
	guest_at(g_stos);
	regs[REG_RAX] = 0x20;
	regs[REG_RCX] = 3;
	regs[REG_RDI] = page + LAPIC_SVR;
	expect_reason("each iteration is an operation", EXIT_APIC_WRITE);
	check(regs[REG_RCX] == 2 && regs[REG_RDI] == page + LAPIC_SVR + 4, "REP STOS", "RCX %lx, RDI %lx", regs[REG_RCX], regs[REG_RDI]);
	expect_field("REP STOS", VMCS_GUEST_RIP, (uint64_t)g_stos);
	expect_access("the next iteration", QUAL_APIC_WRITE, LAPIC_SVR + 4);
	guest_at(g_enter); /* two pushes of 2 bytes */
	regs[REG_RBX] = page + LAPIC_SVR + 4;
	expect_access("the second write of an instruction", QUAL_APIC_WRITE, LAPIC_SVR);
	guest_at(g_jump);
	regs[REG_RBX] = page + 0x123;
	expect_access("fetch", QUAL_APIC_FETCH, 0x123);
	expect_field("fetch", VMCS_GUEST_RIP, page + 0x123);
	guest_at(g_cross);
	regs[REG_RBX] = page - 2;
	expect_access("read across the page's beginning", QUAL_APIC_READ, 0);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
	guest_at(g_cross);
	regs[REG_RBX] = page + 0x400;
	expect_access("without EPT", QUAL_APIC_READ, 0x400);
}

static void during_events(void)
{
	uint64_t page = (uint64_t)access_page;

	heading("events delivered into the APIC-access page");
	fresh();
	set_controls(false, PROC2_VIRT_APIC_ACCESSES);
	guest_at(g_ud);
	regs[REG_RBX] = page + 0x800;
	expect_access("#UD pushes there", QUAL_APIC_EVENT, 0x7f8);
	expect_field("#UD", VMCS_IDT_VECTORING_INFO, INFO(INTR_TYPE_HW_EXCEPTION, VEC_UD, 0));
	guest_at(g_int);
	expect_access("INT n pushes there", QUAL_APIC_EVENT, 0x7f8);
	expect_field("INT n", VMCS_IDT_VECTORING_INFO, INFO(INTR_TYPE_SW_INTERRUPT, 50, 0));
	expect_field("INT n", VMCS_EXIT_INSTRUCTION_LENGTH, 2);
	check(!(vmread(VMCS_GUEST_RFLAGS) & EFLAGS_RF), "INT n", "RF is set");
	vmwrite(VMCS_APIC_ACCESS_ADDR, vmread(VMCS_GUEST_IDTR_BASE) & ~0xfffull);
	guest_at(g_nop_int);
	expect_access("the IDT lies there", QUAL_APIC_EVENT, (vmread(VMCS_GUEST_IDTR_BASE) & 0xfff) + 16 * 51);
}

/* Guest paging structures on the page, under EPT. */
static void guest_physical(void)
{
	uint64_t *pdpt = (uint64_t *)(boot_pml4[0] & PTE_ADDRESS), old = pdpt[3];

	heading("guest-physical accesses");
	fresh();
	set_controls(true, PROC2_VIRT_APIC_ACCESSES | PROC2_APIC_REGISTER_VIRT);
	memset(access_page, 0, sizeof(access_page));
	access_page[0] = PTE_P | PTE_RW | PTE_US | PTE_PS;
	pdpt[3] = (uint64_t)access_page | PTE_P | PTE_RW | PTE_US;
	guest_at(g_load);
	regs[REG_RBX] = (uint64_t)vapic;
	regs[REG_RSI] = 3ull << 30;
	expect_reason("a paging-structure entry", EXIT_APIC_ACCESS);
	check(vmread(VMCS_EXIT_QUALIFICATION) >> QUAL_APIC_TYPE_SHIFT == QUAL_APIC_GUEST_PHYSICAL, "guest-physical", "%lx",
	      vmread(VMCS_EXIT_QUALIFICATION));
	expect_field("guest-physical", VMCS_GUEST_RIP, (uint64_t)g_load + 2);
	guest_at(g_ud);
	regs[REG_RBX] = (3ull << 30) + 0x1000;
	expect_reason("the same while an event is delivered", EXIT_APIC_ACCESS);
	check(vmread(VMCS_EXIT_QUALIFICATION) >> QUAL_APIC_TYPE_SHIFT == QUAL_APIC_GUEST_PHYSICAL_EVENT, "during delivery", "%lx",
	      vmread(VMCS_EXIT_QUALIFICATION));
	pdpt[3] = old;
}

/* The page's translation must not outlive the control. */
static void switched_on_and_off(void)
{
	heading("one VPID with and without the control");
	fresh();
	set_controls(false, 0);
	vmwrite(VMCS_VPID, 5);
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_VPID);
	access_page[0x100] = 0x1234;
	regs[REG_RBX] = (uint64_t)&access_page[0x100];
	for (unsigned i = 0; i < 3; i++) {
		guest_at(g_read4);
		expect_reason("memory", EXIT_VMCALL);
		check((uint32_t)regs[REG_RAX] == 0x1234, "memory", "%lx", regs[REG_RAX]);
		control_set(VMCS_PROC2_CONTROLS, PROC2_VIRT_APIC_ACCESSES);
		invvpid(INVVPID_ALL, 0, 0);
		guest_at(g_read4);
		expect_access("APIC-access page", QUAL_APIC_READ, 0x400);
		control_clear(VMCS_PROC2_CONTROLS, PROC2_VIRT_APIC_ACCESSES); /* SDM 3C 30.4.5: this way no INVVPID is needed */
	}
}

/* --- the TPR --- */

GUEST(g_set_cr8, "mov %rax, %cr8; nop")
GUEST(g_get_cr8, "mov %cr8, %rax")

static void cr8(void)
{
	heading("CR8");
	fresh();
	set_controls(true, 0);
	REG(LAPIC_TPR) = 0x5a;
	guest_at(g_get_cr8);
	expect_reason("MOV from CR8", EXIT_VMCALL);
	check(regs[REG_RAX] == 5, "MOV from CR8", "%lx", regs[REG_RAX]);
	apic_write(LAPIC_TPR, 0x10);
	REG(LAPIC_TPR) = 0xffffffff;
	guest_at(g_set_cr8);
	regs[REG_RAX] = 7;
	expect_reason("MOV to CR8", EXIT_VMCALL);
	check(REG(LAPIC_TPR) == 0x70 && apic_read(LAPIC_TPR) == 0x10, "MOV to CR8", "virtual %x, real %x", REG(LAPIC_TPR), apic_read(LAPIC_TPR));
	apic_write(LAPIC_TPR, 0);
	vmwrite(VMCS_TPR_THRESHOLD, 7);
	guest_at(g_set_cr8);
	expect_reason("not below the threshold", EXIT_VMCALL);
	guest_at(g_set_cr8);
	regs[REG_RAX] = 6;
	expect_reason("below the threshold", EXIT_TPR_BELOW_THRESHOLD);
	expect_field("trap-like", VMCS_GUEST_RIP, (uint64_t)g_set_cr8 + 4);
	check(REG(LAPIC_TPR) == 0x60, "trap-like", "virtual TPR %x", REG(LAPIC_TPR));
	REG(LAPIC_TPR) = 0x70;
	guest_at(g_set_cr8);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_TF);
	expect_reason("before the single-step trap", EXIT_TPR_BELOW_THRESHOLD);
	expect_field("the trap is pending", VMCS_GUEST_PENDING_DEBUG, PENDING_DEBUG_BS);
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	guest_at(g_set_cr8);
	regs[REG_RAX] = 16;
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_GP);
	expect_reason("MOV to CR8 of 16", EXIT_EXCEPTION_NMI);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	control_set(VMCS_PROC_CONTROLS, PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING);
	guest_at(g_set_cr8);
	regs[REG_RAX] = 3;
	expect_reason("CR8-load exiting goes first", EXIT_CR_ACCESS);
	guest_at(g_get_cr8);
	expect_reason("CR8-store exiting goes first", EXIT_CR_ACCESS);
}

/* 27.7.7 "VM Exits Induced by the TPR Threshold" */
static void threshold_at_entry(void)
{
	heading("TPR threshold at VM entry");
	fresh();
	set_controls(true, PROC2_VIRT_APIC_ACCESSES);
	vmwrite(VMCS_TPR_THRESHOLD, 3);
	REG(LAPIC_TPR) = 0x2f;
	guest_at(g_get_cr8);
	expect_reason("at once", EXIT_TPR_BELOW_THRESHOLD);
	expect_field("at once", VMCS_GUEST_RIP, (uint64_t)g_get_cr8);
	guest_at(g_get_cr8);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS);
	expect_reason("in a shadow", EXIT_TPR_BELOW_THRESHOLD);
	expect_field("the shadow stays", VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_MOV_SS);
	guest_at(g_get_cr8);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	expect_reason("in HLT", EXIT_TPR_BELOW_THRESHOLD);
	expect_field("what it was before the exit", VMCS_GUEST_ACTIVITY, ACTIVITY_HLT);
	guest_at(g_get_cr8);
	vmwrite(VMCS_ENTRY_INTR_INFO, INFO(INTR_TYPE_NMI, 2, 0));
	expect_reason("after the injected event", EXIT_TPR_BELOW_THRESHOLD);
	expect_field("at its handler", VMCS_GUEST_RIP, (uint64_t)handlers + 2 * 16);
	expect_field("delivered", VMCS_IDT_VECTORING_INFO, 0);
	control_set(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	vmwrite(VMCS_PREEMPTION_TIMER_VALUE, 0);
	guest_at(g_get_cr8);
	expect_reason("before the preemption timer", EXIT_TPR_BELOW_THRESHOLD);
	control_clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER);
	REG(LAPIC_TPR) = 0x30;
	guest_at(g_get_cr8);
	expect_reason("not below", EXIT_VMCALL);
	guest_at(g_write4);
	regs[REG_RAX] = 0xffffff20;
	regs[REG_RBX] = (uint64_t)access_page + LAPIC_TPR;
	expect_reason("a store to the page", EXIT_TPR_BELOW_THRESHOLD);
	check(REG(LAPIC_TPR) == 0x20, "bytes 3:1 are cleared", "%x", REG(LAPIC_TPR));
}

/* --- x2APIC mode --- */

GUEST(g_rdmsr, "rdmsr")
GUEST(g_wrmsr, "wrmsr; nop")
#define X2(offset) (IA32_X2APIC_BASE + (offset) / 16)

static void intercept(uint32_t msr, bool on)
{
	for (unsigned map = MSR_BITMAP_READ_LOW; map <= MSR_BITMAP_WRITE_LOW; map += MSR_BITMAP_WRITE_LOW) {
		uint8_t *byte = &msr_bitmap[map + msr / 8];

		*byte = (uint8_t)(on ? *byte | 1u << msr % 8 : *byte & ~(1u << msr % 8));
	}
}

static void msr(const char *name, void (*fn)(void), uint32_t index, uint64_t value, unsigned reason)
{
	guest_at(fn);
	regs[REG_RAX] = (uint32_t)value;
	regs[REG_RDX] = value >> 32;
	regs[REG_RCX] = index;
	expect_reason(name, reason);
}

static void reads_msr(const char *name, unsigned offset)
{
	REG(offset) = PATTERN;
	vapic[offset / 4 + 1] = 0x1111;
	msr(name, g_rdmsr, X2(offset), 0, EXIT_VMCALL);
	check(regs[REG_RAX] == PATTERN && regs[REG_RDX] == 0x1111, name, "%lx:%lx", regs[REG_RDX], regs[REG_RAX]);
	REG(offset) = vapic[offset / 4 + 1] = 0;
}

static void x2apic(void)
{
	heading("x2APIC mode");
	fresh();
	set_controls(true, PROC2_VIRT_X2APIC_MODE);
	vmwrite(VMCS_MSR_BITMAP, field_of(msr_bitmap));
	control_set(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_GP);
	reads_msr("RDMSR of the TPR", LAPIC_TPR); /* the local APIC is not in x2APIC mode */
	msr("RDMSR of another is real", g_rdmsr, X2(LAPIC_SVR), 0, EXIT_EXCEPTION_NMI);
	msr("WRMSR of the TPR", g_wrmsr, X2(LAPIC_TPR), 0xff, EXIT_VMCALL);
	check(REG(LAPIC_TPR) == 0xff, "WRMSR of the TPR", "%x", REG(LAPIC_TPR));
	msr("WRMSR of the TPR, bit 8", g_wrmsr, X2(LAPIC_TPR), 0x100, EXIT_EXCEPTION_NMI);
	msr("WRMSR of the TPR, bit 63", g_wrmsr, X2(LAPIC_TPR), 1ull << 63, EXIT_EXCEPTION_NMI);
	check(REG(LAPIC_TPR) == 0xff, "#GP writes nothing", "%x", REG(LAPIC_TPR));
	msr("WRMSR of the EOI is real", g_wrmsr, X2(LAPIC_EOI), 0, EXIT_EXCEPTION_NMI);
	msr("WRMSR of the self-IPI is real", g_wrmsr, X2(LAPIC_SELF_IPI), 0x40, EXIT_EXCEPTION_NMI);
	vmwrite(VMCS_TPR_THRESHOLD, 5);
	msr("WRMSR below the threshold", g_wrmsr, X2(LAPIC_TPR), 0x40, EXIT_TPR_BELOW_THRESHOLD);
	expect_field("trap-like", VMCS_GUEST_RIP, (uint64_t)g_wrmsr + 2);
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	intercept(X2(LAPIC_TPR), true);
	msr("the bitmap goes first: RDMSR", g_rdmsr, X2(LAPIC_TPR), 0, EXIT_RDMSR);
	msr("the bitmap goes first: WRMSR", g_wrmsr, X2(LAPIC_TPR), 0x100, EXIT_WRMSR);
	intercept(X2(LAPIC_TPR), false);
	set_controls(true, PROC2_VIRT_X2APIC_MODE | PROC2_APIC_REGISTER_VIRT);
	for (unsigned offset = 0; offset < 0x1000; offset += 16)
		reads_msr("RDMSR with registers", offset);
	set_controls(true, PROC2_VIRT_X2APIC_MODE | PROC2_VIRT_INTR_DELIVERY);
	REG(LAPIC_EOI) = 1;
	msr("WRMSR of the EOI", g_wrmsr, X2(LAPIC_EOI), 0, EXIT_VMCALL);
	check(REG(LAPIC_EOI) == 0, "WRMSR of the EOI", "%x", REG(LAPIC_EOI));
	msr("WRMSR of the EOI, not 0", g_wrmsr, X2(LAPIC_EOI), 1, EXIT_EXCEPTION_NMI);
	msr("WRMSR of the self-IPI, bit 8", g_wrmsr, X2(LAPIC_SELF_IPI), 0x140, EXIT_EXCEPTION_NMI);
	msr("WRMSR of the self-IPI, vector 15", g_wrmsr, X2(LAPIC_SELF_IPI), 15, EXIT_APIC_WRITE);
	expect_field("vector 15", VMCS_EXIT_QUALIFICATION, LAPIC_SELF_IPI);
	expect_field("vector 15", VMCS_GUEST_RIP, (uint64_t)g_wrmsr + 2);
	check(REG(LAPIC_SELF_IPI) == 15, "vector 15", "%x", REG(LAPIC_SELF_IPI));
	msr("WRMSR of the ICR is real", g_wrmsr, X2(LAPIC_ICR_LOW), 0, EXIT_EXCEPTION_NMI);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
}

int main(void)
{
	if (!check(vmx_start(), "VMXON", "failed"))
		return (int)failures();
	rules();
	accesses();
	other_ways();
	during_events();
	guest_physical();
	switched_on_and_off();
	cr8();
	threshold_at_entry();
	x2apic();
	return (int)failures();
}
