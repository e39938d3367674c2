// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hot code and VT-x. What the processor itself writes (MSR areas, VMCS regions, the virtual-APIC page, posted-interrupt
 * descriptors, the log of modified pages, the #VE area, accessed and dirty flags of EPT) lies in code here, and the code runs
 * before and after; and EPT, EPTP switching, entries and exits change what an address holds under hot code.
 */
#include "arch/apic.h"

#include "expect.h"

#define HOT 200

GUEST(g_calls, "xor %esi, %esi\n2: call *%rbx; add %rax, %rsi; dec %ecx; jnz 2b")
GUEST(g_switches, "xor %esi, %esi; mov $200, %ebp\n2: mov %ebp, %ecx; and $1, %ecx; xor %eax, %eax; vmfunc; call *%rbx;"
      "add %rax, %rsi; dec %ebp; jnz 2b; xor %ecx, %ecx; xor %eax, %eax; vmfunc")
GUEST(g_set_cr8, "mov %rax, %cr8; nop")
GUEST(g_store, "mov %eax, (%rbx)")
GUEST(g_store8, "mov %al, (%rbx)")
GUEST(g_load, "mov (%rbx), %rax")

static uint8_t page[4][4096] __attribute__((aligned(4096)));
static uint64_t eptp;

static uint64_t call(const void *code)
{
	return ((uint64_t (*)(void))code)();
}

/* Calls often; returns how many calls did not give `want`. */
static unsigned heat(const void *code, uint64_t want)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < HOT; i++)
		bad += call(code) != want;
	return bad;
}

static unsigned heat_low(const void *code, uint8_t want)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < HOT; i++)
		bad += (uint8_t)call(code) != want;
	return bad;
}

/* mov $v, %eax; ret */
static void put_return(uint8_t *p, uint32_t v)
{
	p[0] = 0xb8;
	memcpy(p + 1, &v, 4);
	p[5] = 0xc3;
}

/* As a number in memory: mov $v, %al; ret. */
static uint64_t as_number(unsigned v)
{
	return 0xc300b0 | v << 8;
}

static bool enter(const char *name, void (*fn)(void), unsigned want)
{
	guest_at(fn);
	return expect_reason(name, want);
}

static void set_up(void)
{
	vmcs_fresh(guest_vmcall);
	eptp = ept_identity();
	vmwrite(VMCS_EPT_POINTER, eptp);
}

static void flush(void)
{
	invept(INVEPT_ALL, 0, 0);
}

/* --- what the processor writes --- */

static void msr_store(void)
{
	struct { uint32_t index, zero; uint64_t value; } *area = (void *)page[0];
	unsigned bad = 0;

	set_up();
	area->index = IA32_KERNEL_GS_BASE;
	area->zero = 0;
	vmwrite(VMCS_EXIT_MSR_STORE_ADDR, (uint64_t)area);
	vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
	area->value = as_number(0);
	bad += heat_low(&area->value, 0);
	for (unsigned i = 1; i < 20; i++) {
		wrmsr(IA32_KERNEL_GS_BASE, as_number(i));
		enter("MSR-store area", guest_vmcall, EXIT_VMCALL);
		bad += heat_low(&area->value, (uint8_t)i);
	}
	check(!bad, "the VM-exit MSR-store area", "%u calls ran old code", bad);
	wrmsr(IA32_KERNEL_GS_BASE, 0);
}

static uint64_t *find(uint8_t *region, uint64_t value)
{
	for (unsigned i = 8; i + 8 <= 4096; i++)
		if (*(uint64_t *)(region + i) == value)
			return (uint64_t *)(region + i);
	return 0;
}

/* A VMCS's format is the processor's own; if a field can be found in it, it can be run. */
static void vmcs_region_written(void)
{
	uint64_t *field;
	unsigned bad = 0;

	set_up();
	vmwrite(VMCS_TSC_OFFSET, as_number(0));
	vmclear((uint64_t)vmcs_region);
	field = find(vmcs_region, as_number(0));
	if (!field) {
		say("skip: the VMCS has its fields in another form\n");
		return;
	}
	bad += heat_low(field, 0);
	for (unsigned i = 1; i < 20; i++) {
		vmptrld((uint64_t)vmcs_region);
		vmwrite(VMCS_TSC_OFFSET, as_number(i));
		if (i % 2)
			vmclear((uint64_t)vmcs_region);
		else /* the current VMCS may stay in the processor until another one is made current */
			vmclear((uint64_t)other_region), vmptrld((uint64_t)other_region), vmclear((uint64_t)vmcs_region);
		bad += heat_low(field, (uint8_t)i);
	}
	check(!bad, "a VMCS region", "%u calls ran old code", bad);
}

/* b8 | VTPR | c3 */
static void virtual_apic(void)
{
	uint8_t *vapic = page[0];
	unsigned bad = 0;

	set_up();
	memset(vapic, 0, 4096);
	put_return(vapic + 0x7f, 0);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, (uint64_t)vapic);
	vmwrite(VMCS_TPR_THRESHOLD, 0);
	if (!control_set(VMCS_PROC_CONTROLS, PROC_TPR_SHADOW)) {
		say("skip: no TPR shadow\n");
		return;
	}
	bad += heat(vapic + 0x7f, 0);
	for (unsigned i = 1; i < 16; i++) {
		regs[REG_RAX] = i;
		enter("MOV to CR8", g_set_cr8, EXIT_VMCALL);
		bad += heat(vapic + 0x7f, i << 4);
	}
	check(!bad, "VTPR by MOV to CR8", "%u calls ran old code", bad);
	bad = 0;
	vmwrite(VMCS_APIC_ACCESS_ADDR, (uint64_t)page[1]);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_VIRT_APIC_ACCESSES))
		return;
	for (unsigned i = 1; i < 16; i++) {
		regs[REG_RAX] = i << 4;
		regs[REG_RBX] = (uint64_t)page[1] + 0x80;
		enter("a store to the APIC-access page", g_store, EXIT_VMCALL);
		bad += heat(vapic + 0x7f, i << 4);
	}
	check(!bad, "VTPR by the APIC-access page", "%u calls ran old code", bad);
}

/*
 * movabs $PIR's first quadword, %rax; zeroes, which are ADDs of AL = 0 to what RAX points to; ADD to DH or ESI, by the
 * outstanding notification; ret.
 */
static void posted(void)
{
	uint8_t *desc = page[0] + 64;
	unsigned bad = 0;

	set_up();
	memset(page[0], 0, 4096);
	memset(page[1], 0, 4096);
	vmwrite(VMCS_VIRTUAL_APIC_ADDR, (uint64_t)page[1]);
	vmwrite(VMCS_POSTED_INTR_DESC_ADDR, (uint64_t)desc);
	vmwrite(VMCS_POSTED_INTR_VECTOR, 0x3e);
	vmwrite(VMCS_GUEST_INTR_STATUS, 0);
	for (unsigned i = 0; i < 4; i++)
		vmwrite(VMCS_EOI_EXIT_BITMAP_0 + 2 * i, 0);
	if (!control_set(VMCS_PIN_CONTROLS, PIN_EXTINT_EXITING) || !control_set(VMCS_PROC_CONTROLS, PROC_TPR_SHADOW) ||
	    !control_set(VMCS_PROC2_CONTROLS, PROC2_VIRT_INTR_DELIVERY) || !control_set(VMCS_PIN_CONTROLS, PIN_POSTED_INTERRUPTS)) {
		say("skip: no posted interrupts\n");
		return;
	}
	apic_write(LAPIC_SVR, SVR_ENABLE | 0xff);
	memcpy(desc - 2, "\x48\xb8", 2);
	memcpy(desc + 33, "\xf6\xc3", 2);
	for (unsigned i = 0; i < 10; i++) {
		*(volatile uint64_t *)desc = 1 << 22; /* vector 22; and a place in RAM behind the image */
		desc[POSTED_DESC_ON] = 1;
		bad += heat(desc - 2, 1 << 22);
		apic_send(DELIVERY_FIXED | ICR_TO_SELF | 0x3e);
		enter("posted interrupts", guest_vmcall, EXIT_VMCALL);
		bad += heat(desc - 2, 0);
	}
	check(!bad, "a posted-interrupt descriptor", "%u calls ran old code", bad);
}

/* 48 b8 | an entry | c3 */
static void page_log(void)
{
	uint64_t *log = (uint64_t *)page[0], target = (uint64_t)page[1];
	unsigned bad = 0;

	set_up();
	memset(log, 0, 4096);
	log[300] = 0xb848ull << 48;
	log[302] = 0xc3;
	vmwrite(VMCS_EPT_POINTER, eptp | EPTP_AD);
	vmwrite(VMCS_PML_ADDRESS, (uint64_t)log);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT) || !control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_PML)) {
		say("skip: no page-modification logging\n");
		return;
	}
	regs[REG_RBX] = target; /* what else the guest writes, its tables, is logged now */
	vmwrite(VMCS_PML_INDEX, 200);
	enter("page-modification log", g_store8, EXIT_VMCALL);
	bad += heat((uint8_t *)&log[301] - 2, 0);
	for (unsigned i = 0; i < 20; i++) {
		regs[REG_RBX] = target + i % 2 * 4096;
		*ept_entry(regs[REG_RBX]) &= ~(uint64_t)(EPT_A | EPT_D);
		flush();
		vmwrite(VMCS_PML_INDEX, 301);
		enter("page-modification log", g_store8, EXIT_VMCALL);
		bad += heat((uint8_t *)&log[301] - 2, regs[REG_RBX]);
	}
	check(!bad, "the log of modified pages", "%u calls ran old code", bad);
}

/* An EPT entry as an immediate: the walker's flags change it. */
static void ept_flags(void)
{
	uint64_t target = (uint64_t)page[2], *e = ept_entry(target), saved[3] = { e[-1], e[0], e[1] };
	uint8_t *code = (uint8_t *)e - 2;
	unsigned bad = 0;

	set_up();
	vmwrite(VMCS_EPT_POINTER, eptp | EPTP_AD);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT) || !(rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_AD)) {
		say("skip: no accessed and dirty flags\n");
		return;
	}
	regs[REG_RBX] = target;
	for (unsigned i = 0; i < 10; i++) {
		e[-1] = 0xb848ull << 48;
		e[1] = 0xc390;
		e[0] = saved[1] & ~(uint64_t)(EPT_A | EPT_D);
		flush();
		bad += heat(code, saved[1] & ~(uint64_t)(EPT_A | EPT_D));
		enter("EPT flags", g_load, EXIT_VMCALL);
		bad += heat(code, (saved[1] & ~(uint64_t)EPT_D) | EPT_A);
		enter("EPT flags", g_store8, EXIT_VMCALL);
		bad += heat(code, saved[1] | EPT_A | EPT_D);
	}
	e[-1] = saved[0], e[0] = saved[1], e[1] = saved[2];
	flush();
	check(!bad, "accessed and dirty flags of EPT", "%u calls ran old code", bad);
}

/* The linear address that the #VE area holds is code. */
static void exception_area(void)
{
	uint8_t *info = page[0];
	unsigned bad = 0;

	set_up();
	memset(info, 0, 4096);
	vmwrite(VMCS_VE_INFO_ADDR, (uint64_t)info);
	vmwrite(VMCS_EPTP_INDEX, 0);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT) || !control_set(VMCS_PROC2_CONTROLS, PROC2_EPT_VIOLATION_VE)) {
		say("skip: no virtualization exceptions\n");
		return;
	}
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_VE);
	*ept_entry(as_number(0)) &= ~(uint64_t)EPT_RWX;
	flush();
	memcpy(info + 16, "\xb0\x00\xc3", 3);
	bad += heat_low(info + 16, 0);
	for (unsigned i = 1; i < 20; i++) {
		memset(info + 4, 0, 4);
		regs[REG_RBX] = as_number(i);
		enter("#VE", g_load, EXIT_EXCEPTION_NMI);
		bad += heat_low(info + 16, (uint8_t)i);
	}
	check(!bad, "the virtualization-exception information area", "%u calls ran old code", bad);
	*ept_entry(as_number(0)) |= EPT_RWX;
	flush();
}

/* --- what changes under hot code --- */

static void frames(void)
{
	for (unsigned i = 0; i < 4; i++)
		put_return(page[i] + 256, i + 1);
}

static unsigned guest_calls(const char *name, uint64_t want)
{
	regs[REG_RBX] = (uint64_t)page[0] + 256;
	regs[REG_RCX] = HOT;
	return !enter(name, g_calls, EXIT_VMCALL) || regs[REG_RSI] != HOT * want;
}

static void ept_changes(void)
{
	uint64_t *e = ept_entry((uint64_t)page[0]), old = *e, code = (uint64_t)page[0] + 256;
	unsigned bad = 0, exits = 0;

	set_up();
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT))
		return;
	frames();
	for (unsigned k = 0; k < 40; k++) {
		*e = (old & ~EPT_ADDRESS) | (uint64_t)page[k % 4];
		flush();
		bad += guest_calls("another frame", k % 4 + 1);
		bad += heat((void *)code, 1); /* root mode: without EPT */
		if (k % 4)
			continue;
		*e &= ~(uint64_t)EPT_X;
		flush();
		regs[REG_RBX] = code;
		exits += enter("not executable", g_calls, EXIT_EPT_VIOLATION) && vmread(VMCS_EXIT_QUALIFICATION) & QUAL_EPT_FETCH &&
			 vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == code && vmread(VMCS_GUEST_RIP) == code;
	}
	check(!bad, "EPT gives an address another frame under hot code", "%u", bad);
	check(exits == 10, "… not executable", "%u of 10 exits", exits);
	*e = (old & ~EPT_ADDRESS) | (uint64_t)page[2];
	flush();
	bad = guest_calls("before", 3);
	page[2][257] = 77; /* by root mode, through another address */
	bad += guest_calls("after", 77);
	regs[REG_RBX] = (uint64_t)page[2] + 257; /* by the guest, through another address of its own */
	regs[REG_RAX] = 78;
	bad += !enter("an alias", g_store8, EXIT_VMCALL);
	bad += guest_calls("after", 78);
	check(!bad, "a store to hot code of a guest through another address", "%u", bad);
	*e = old;
	flush();
}

static uint64_t eptp_list[512] __attribute__((aligned(4096)));
static uint64_t second[4][512] __attribute__((aligned(4096)));

/* As the first EPT, with another frame for the code. */
static uint64_t second_ept(void)
{
	const uint64_t *from = (const uint64_t *)(eptp & EPTP_ADDRESS);

	for (unsigned level = 0; level < 4; level++) {
		for (unsigned i = 0; i < 512; i++)
			second[level][i] = from[i];
		if (level)
			second[level - 1][0] = (uint64_t)second[level] | EPT_RWX;
		from = (const uint64_t *)(from[0] & EPT_ADDRESS);
	}
	second[3][(uint64_t)page[0] >> 12] = (second[3][(uint64_t)page[0] >> 12] & ~EPT_ADDRESS) | (uint64_t)page[1];
	return (uint64_t)second[0] | EPTP_WALK_4 | MEMTYPE_WB;
}

static void switching(void)
{
	set_up();
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT) || !control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_VMFUNC) ||
	    !(rdmsr(IA32_VMX_VMFUNC) & VMFUNC_EPTP_SWITCHING)) {
		say("skip: no EPTP switching\n");
		return;
	}
	frames();
	vmwrite(VMCS_VMFUNC_CONTROLS, VMFUNC_EPTP_SWITCHING);
	eptp_list[0] = eptp;
	eptp_list[1] = second_ept();
	vmwrite(VMCS_EPTP_LIST_ADDR, (uint64_t)eptp_list);
	regs[REG_RBX] = (uint64_t)page[0] + 256;
	if (enter("EPTP switching", g_switches, EXIT_VMCALL))
		check(regs[REG_RSI] == 100 * 1 + 100 * 2, "one address under two EPTs in turn", "sum %lu", regs[REG_RSI]);
}

int main(void)
{
	if (!check(vmx_start(), "VMXON", "failed"))
		return 1;
	heading("what the processor writes");
	msr_store();
	vmcs_region_written();
	virtual_apic();
	posted();
	page_log();
	ept_flags();
	exception_area();
	heading("what changes under hot code");
	ept_changes();
	switching();
	return failures() != 0;
}
