/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A 32-bit host: the rules of VM entry that only it can break, task switches of a 32-bit guest, and the VMX aborts, two
 * of which only it can have. The word on the command line says which abort (SDM 3C "VMX Aborts" 28.7); without one all
 * the rest is tried.
 */
#include <stdbool.h>
#include <stdint.h>

#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/vmcs.h"
#include "arch/vmx.h"
#include "arch/x86.h"

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS  0x18
#define SEL_TASK 0x20 /* another TSS */
#define SEL_GATE 0x28 /* a task gate to it */
#define PAGE __attribute__((aligned(4096)))

struct __attribute__((packed)) table_pointer {
	uint16_t limit;
	uint32_t base;
};

extern char guest_vmcall[], guest_to_long_mode[], guest_jmp[], guest_call[], guest_iret[], guest_int3[], guest_gate[];
void setup(uint32_t multiboot);
int main(void);
extern struct table_pointer gdtr;

static uint64_t gdt[6] = { 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x0000890000000067, 0x0000890000000067,
			   0x0000850000000000 | (uint64_t)SEL_TASK << 16 };
static uint64_t idt[32];
struct table_pointer gdtr = { sizeof(gdt) - 1, 0 };
static uint8_t tss[104];
static uint64_t pdpt[4] PAGE, bad_pdpt[4] PAGE, pd[4 * 512] PAGE, pml4[512] PAGE, pdpt64[512] PAGE, ept_pml4[512] PAGE, ept_pdpt[512] PAGE;
static uint8_t vmxon_region[4096] PAGE, vmcs_region[4096] PAGE;
static struct { uint32_t index, reserved; uint64_t value; } msr_area[1] __attribute__((aligned(16)));
static char which;
static unsigned tests, failed;

static void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static void say(const char *s)
{
	while (*s)
		outb(0x3f8, (uint8_t)*s++);
}

static void check(bool ok, const char *name)
{
	tests++;
	failed += !ok;
	if (!ok) {
		say("FAIL ");
		say(name);
		say("\n");
	}
}

static uint64_t rdmsr(uint32_t index)
{
	uint64_t v;

	asm volatile("rdmsr" : "=A"(v) : "c"(index));
	return v;
}

static void wrmsr(uint32_t index, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(index), "A"(v));
}

static uint32_t vmread(uint32_t field)
{
	uint32_t v;

	asm volatile("vmread %1, %0" : "=r"(v) : "r"(field) : "cc");
	return v;
}

static void vmwrite32(uint32_t field, uint32_t v)
{
	asm volatile("vmwrite %1, %0" : : "r"(field), "r"(v) : "cc");
}

/* 64-bit fields have two encodings; of natural-width ones 32-bit code writes the lower half and clears the upper. */
static void vmwrite(uint32_t field, uint64_t v)
{
	vmwrite32(field, (uint32_t)v);
	if (VMCS_ENC_WIDTH(field) == VMCS_WIDTH_64)
		vmwrite32(field + 1, (uint32_t)(v >> 32));
}

static bool pointer_insn(bool cf, bool zf)
{
	return !cf && !zf;
}
#define POINTER_INSN(name)                                                                            \
	static bool name(uint32_t at)                                                                 \
	{                                                                                             \
		uint64_t ptr = at;                                                                    \
		bool cf, zf;                                                                          \
		asm volatile(#name " %2" : "=@ccc"(cf), "=@ccz"(zf) : "m"(ptr) : "memory");           \
		return pointer_insn(cf, zf);                                                          \
	}
POINTER_INSN(vmxon)
POINTER_INSN(vmclear)
POINTER_INSN(vmptrld)

/* The VM-instruction error of a VMLAUNCH that failed, 0 after an exit. */
static uint32_t launch(void)
{
	uint32_t failed_launch;

	vmclear((uint32_t)vmcs_region);
	vmptrld((uint32_t)vmcs_region);
	asm volatile("pushl %%ebp\n\t"
		     "movl %1, %%eax; vmwrite %%esp, %%eax\n\t"
		     "movl %2, %%eax; movl $1f, %%edx; vmwrite %%edx, %%eax\n\t"
		     "vmlaunch\n\t"
		     "movl $1, %%eax; jmp 2f\n"
		     "1: xorl %%eax, %%eax\n"
		     "2: popl %%ebp"
		     : "=&a"(failed_launch) : "i"(VMCS_HOST_RSP), "i"(VMCS_HOST_RIP)
		     : "ecx", "edx", "ebx", "esi", "edi", "memory", "cc");
	return failed_launch ? vmread(VMCS_INSTRUCTION_ERROR) : 0;
}

/* --- tables --- */

static void set_up_paging(void)
{
	const uint64_t table = PTE_P | PTE_RW;

	for (uint64_t i = 0; i < 4 * 512; i++)
		pd[i] = i << PAGE_SHIFT_2M | table | PTE_PS;
	for (unsigned i = 0; i < 4; i++) {
		pdpt[i] = (uint32_t)(pd + 512 * i) | PTE_P;
		bad_pdpt[i] = pdpt[i] | BIT32(1); /* reserved in PAE paging */
		pdpt64[i] = (uint32_t)(pd + 512 * i) | table;
		ept_pdpt[i] = (uint64_t)i << PAGE_SHIFT_1G | EPT_RWX | (uint64_t)MEMTYPE_WB << EPT_MT_SHIFT | EPT_PS;
	}
	pml4[0] = (uint32_t)pdpt64 | table;
	ept_pml4[0] = (uint32_t)ept_pdpt | EPT_RWX;
	asm volatile("mov %0, %%cr3; mov %1, %%cr4; mov %2, %%cr0"
		     : : "r"(pdpt), "r"((uint32_t)(CR4_PAE | CR4_VMXE)), "r"((uint32_t)(CR0_PE | CR0_NE | CR0_PG)) : "memory");
}

void setup(uint32_t multiboot)
{
	const char *line = *(const char *const *)(multiboot + 16);
	uint32_t base = (uint32_t)tss;

	while (*line && *line != ' ')
		line++; /* the image's name comes first */
	which = *line ? line[1] : 0;
	gdtr.base = (uint32_t)gdt;
	gdt[3] |= (uint64_t)(base & 0xffffff) << 16 | (uint64_t)(base >> 24) << 56;
	set_up_paging();
}

/* --- the VMCS --- */

static void control(uint32_t field, uint32_t msr, uint32_t bits)
{
	uint64_t cap = rdmsr(msr);

	vmwrite(field, (bits | (uint32_t)cap) & (uint32_t)(cap >> 32));
}

static void fill_host(void)
{
	static const uint16_t data[] = { VMCS_HOST_ES_SELECTOR, VMCS_HOST_SS_SELECTOR, VMCS_HOST_DS_SELECTOR };

	for (unsigned i = 0; i < 3; i++)
		vmwrite(data[i], SEL_DATA);
	vmwrite(VMCS_HOST_CS_SELECTOR, SEL_CODE);
	vmwrite(VMCS_HOST_TR_SELECTOR, SEL_TSS);
	vmwrite(VMCS_HOST_TR_BASE, (uint32_t)tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (uint32_t)gdt);
	vmwrite(VMCS_HOST_CR0, CR0_PE | CR0_NE | CR0_PG);
	vmwrite(VMCS_HOST_CR3, (uint32_t)pdpt);
	vmwrite(VMCS_HOST_CR4, CR4_PAE | CR4_VMXE);
}

/* Segment n of ES, CS, SS, DS, FS, GS, LDTR, TR */
static void guest_segment(unsigned n, uint32_t sel, uint32_t limit, uint32_t ar)
{
	vmwrite(VMCS_GUEST_ES_SELECTOR + 2 * n, sel);
	vmwrite(VMCS_GUEST_ES_LIMIT + 2 * n, limit);
	vmwrite(VMCS_GUEST_ES_AR + 2 * n, ar);
}

static void fill_guest(void)
{
	for (unsigned n = 0; n < 6; n++)
		guest_segment(n, n == 1 ? SEL_CODE : SEL_DATA, 0xffffffff, n == 1 ? 0xc09b : 0xc093);
	guest_segment(6, 0, 0, VMX_AR_UNUSABLE);
	guest_segment(7, SEL_TSS, 0x67, 0x8b);
	vmwrite(VMCS_GUEST_TR_BASE, (uint32_t)tss);
	vmwrite(VMCS_GUEST_GDTR_BASE, (uint32_t)gdt);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, sizeof(gdt) - 1);
	vmwrite(VMCS_GUEST_IDTR_BASE, (uint32_t)idt);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, sizeof(idt) - 1);
	vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_NE | CR0_PG);
	vmwrite(VMCS_GUEST_CR3, (uint32_t)pdpt);
	vmwrite(VMCS_GUEST_CR4, CR4_PAE | CR4_VMXE);
	vmwrite(VMCS_GUEST_DR7, DR7_INIT);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE);
	vmwrite(VMCS_GUEST_RIP, (uint32_t)guest_vmcall);
	vmwrite(VMCS_LINK_POINTER, VMX_NO_POINTER);
}

static void fill_vmcs(void)
{
	vmclear((uint32_t)vmcs_region);
	vmptrld((uint32_t)vmcs_region);
	control(VMCS_PIN_CONTROLS, IA32_VMX_TRUE_PINBASED_CTLS, 0);
	control(VMCS_PROC_CONTROLS, IA32_VMX_TRUE_PROCBASED_CTLS, PROC_SECONDARY_CONTROLS);
	control(VMCS_PROC2_CONTROLS, IA32_VMX_PROCBASED_CTLS2, 0);
	control(VMCS_EXIT_CONTROLS, IA32_VMX_TRUE_EXIT_CTLS, 0);
	control(VMCS_ENTRY_CONTROLS, IA32_VMX_TRUE_ENTRY_CTLS, 0);
	fill_host();
	fill_guest();
}

static bool start(void)
{
	uint32_t revision = (uint32_t)(rdmsr(IA32_VMX_BASIC) & VMX_BASIC_REVISION);

	if (!(rdmsr(IA32_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK))
		wrmsr(IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
	*(uint32_t *)vmxon_region = *(uint32_t *)vmcs_region = revision;
	return vmxon((uint32_t)vmxon_region);
}

/* --- rules --- */

static void rule(uint32_t field, uint32_t flip, const char *name)
{
	uint32_t old = vmread(field);

	vmwrite32(field, old ^ flip);
	check(launch() == VMXERR_ENTRY_BAD_HOST_STATE, name);
	vmwrite32(field, old);
	check(launch() == 0 && vmread(VMCS_EXIT_REASON) == EXIT_VMCALL, name);
}

static void rules(void)
{
	check(launch() == 0 && vmread(VMCS_EXIT_REASON) == EXIT_VMCALL, "a 32-bit guest of a 32-bit host");
	rule(VMCS_EXIT_CONTROLS, VMEXIT_HOST_64, "host address-space size 1 outside IA-32e mode");
	rule(VMCS_ENTRY_CONTROLS, VMENTRY_IA32E_GUEST, "IA-32e mode guest of a 32-bit host");
	rule(VMCS_HOST_CR4, CR4_PCIDE, "host CR4.PCIDE outside IA-32e mode");
	rule(VMCS_HOST_SS_SELECTOR, SEL_DATA, "host SS null outside IA-32e mode");
}

/* --- task switches: SDM 3C 26.2, "Exit Qualification for Task Switches" (table 28-2) --- */

static void task_switch(const char *guest, uint32_t source, uint32_t length, const char *name)
{
	vmwrite(VMCS_GUEST_RIP, (uint32_t)guest);
	check(launch() == 0 && vmread(VMCS_EXIT_REASON) == EXIT_TASK_SWITCH, name);
	check(vmread(VMCS_EXIT_QUALIFICATION) == (SEL_TASK | source << QUAL_TASK_SOURCE_SHIFT), name);
	check(vmread(VMCS_EXIT_INSTRUCTION_LENGTH) == length && vmread(VMCS_GUEST_RIP) == (uint32_t)guest, name);
}

static void task_switches(void)
{
	const uint32_t bp = INTR_INFO_VALID | INTR_TYPE_SW_EXCEPTION << INTR_INFO_TYPE_SHIFT | VEC_BP;

	*(uint16_t *)tss = SEL_TASK; /* previous task link */
	idt[VEC_BP] = gdt[SEL_GATE / 8];
	task_switch(guest_jmp, QUAL_TASK_JMP, 7, "JMP to a TSS");
	task_switch(guest_call, QUAL_TASK_CALL, 7, "CALL to a TSS");
	task_switch(guest_gate, QUAL_TASK_CALL, 7, "CALL to a task gate");
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_NT);
	gdt[SEL_TASK / 8] |= 0x0000020000000000; /* busy */
	task_switch(guest_iret, QUAL_TASK_IRET, 1, "IRET with NT");
	gdt[SEL_TASK / 8] &= ~0x0000020000000000ull;
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE);
	check(!(vmread(VMCS_IDT_VECTORING_INFO) & INTR_INFO_VALID), "no event is being delivered");
	task_switch(guest_int3, QUAL_TASK_GATE, 1, "INT3 through a task gate");
	check(vmread(VMCS_IDT_VECTORING_INFO) == bp, "INT3 is being delivered");
	vmwrite(VMCS_GUEST_RIP, (uint32_t)guest_vmcall);
}

/* --- aborts: the exit that follows does not come back --- */

static void paging_off_and_ept(void)
{
	vmwrite(VMCS_EPT_POINTER, (uint32_t)ept_pml4 | EPTP_WALK_4 | MEMTYPE_WB);
	control(VMCS_PROC2_CONTROLS, IA32_VMX_PROCBASED_CTLS2, PROC2_ENABLE_EPT | PROC2_UNRESTRICTED_GUEST);
	control(VMCS_ENTRY_CONTROLS, IA32_VMX_TRUE_ENTRY_CTLS, VMENTRY_LOAD_EFER);
	control(VMCS_EXIT_CONTROLS, IA32_VMX_TRUE_EXIT_CTLS, VMEXIT_LOAD_EFER);
	vmwrite(VMCS_GUEST_IA32_EFER, EFER_LME);
	vmwrite(VMCS_GUEST_CR0, CR0_PE | CR0_NE);
	vmwrite(VMCS_GUEST_CR3, (uint32_t)pml4);
	vmwrite(VMCS_GUEST_RIP, (uint32_t)guest_to_long_mode);
}

static void abort_by(char indicator)
{
	msr_area[0].index = 0x7fffffff; /* no such MSR */
	switch (indicator) {
	case '0' + VMX_ABORT_SAVE_MSR:
		vmwrite(VMCS_EXIT_MSR_STORE_ADDR, (uint32_t)msr_area);
		vmwrite(VMCS_EXIT_MSR_STORE_COUNT, 1);
		break;
	case '0' + VMX_ABORT_HOST_PDPTE: vmwrite(VMCS_HOST_CR3, (uint32_t)bad_pdpt); break;
	case '0' + VMX_ABORT_LOAD_MSR:
		vmwrite(VMCS_EXIT_MSR_LOAD_ADDR, (uint32_t)msr_area);
		vmwrite(VMCS_EXIT_MSR_LOAD_COUNT, 1);
		break;
	case '0' + VMX_ABORT_HOST_NOT_64: paging_off_and_ept(); break;
	}
	launch();
	check(false, "an exit that should abort came back, or the entry failed");
}

int main(void)
{
	check(start(), "VMXON");
	fill_vmcs();
	if (which) {
		abort_by(which);
	} else {
		rules();
		task_switches();
	}
	say(failed ? "FAILED\n" : "PASSED\n");
	return failed != 0;
}
