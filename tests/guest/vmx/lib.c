/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>

#include "lib.h"

#define COM1            0x3f8
#define EXIT_PORT       0xf4
#define PIC_MASTER_MASK 0x21
#define PIC_SLAVE_MASK  0xa1

static unsigned tests, failed;

static void put(char ch)
{
	while (!(inb(COM1 + 5) & 0x20))
		;
	outb(COM1, (uint8_t)ch);
}

static void put_number(uint64_t v, unsigned base)
{
	char buf[24];
	unsigned n = 0;

	do
		buf[n++] = "0123456789abcdef"[v % base];
	while (v /= base);
	while (n)
		put(buf[--n]);
}

/* %s %d %u %x %lx %llx %c */
static void vsay(const char *fmt, va_list ap)
{
	for (; *fmt; fmt++) {
		unsigned longs = 0;

		if (*fmt != '%') {
			put(*fmt);
			continue;
		}
		while (*++fmt == 'l')
			longs++;
		if (*fmt == 's') {
			for (const char *s = va_arg(ap, const char *); *s; s++)
				put(*s);
		} else if (*fmt == 'c') {
			put((char)va_arg(ap, int));
		} else {
			uint64_t v = longs ? va_arg(ap, uint64_t) : va_arg(ap, unsigned);

			put_number(v, *fmt == 'x' ? 16 : 10);
		}
	}
}

void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
}

bool check(bool ok, const char *name, const char *fmt, ...)
{
	va_list ap;

	tests++;
	if (ok)
		return true;
	failed++;
	say("FAIL %s: ", name);
	va_start(ap, fmt);
	vsay(fmt, ap);
	va_end(ap);
	put('\n');
	return false;
}

unsigned failures(void)
{
	return failed;
}

void heading(const char *what)
{
	say("-- %s\n", what);
}

_Noreturn void finish(unsigned bad)
{
	say("%s: %u tests, %u failed\n", bad ? "FAILED" : "PASSED", tests, failed);
	outb(EXIT_PORT, bad ? 1 : 0);
	for (;;)
		asm volatile("cli; hlt");
}

_Noreturn void unexpected(uint64_t vector, uint64_t error, uint64_t rip);
void setup_tables(void);

_Noreturn void unexpected(uint64_t vector, uint64_t error, uint64_t rip)
{
	say("FAIL unexpected exception %u, error %lx, rip %lx, cr2 %lx\n", (unsigned)vector, error, rip, read_cr2());
	finish(1);
}

void *memset(void *p, int v, unsigned long n)
{
	for (unsigned char *q = p; n--;)
		*q++ = (unsigned char)v;
	return p;
}

void *memcpy(void *to, const void *from, unsigned long n)
{
	const unsigned char *f = from;

	for (unsigned char *t = to; n--;)
		*t++ = *f++;
	return to;
}

/* --- tables --- */

static uint8_t tss[TSS64_SIZE] __attribute__((aligned(16)));
static uint8_t trap_stack[4096] __attribute__((aligned(16)));
static uint64_t idt[2 * 64];

struct __attribute__((packed)) pointer {
	uint16_t limit;
	uint64_t base;
};

static void set_gate(unsigned n)
{
	uint64_t target = (uint64_t)handlers + 16 * n;

	/* Vectors 3 and 4 and from 32 on may be raised by CPL 3. */
	idt[2 * n] = (target & 0xffff) | (uint64_t)SEL_CODE << 16 | (n == 3 || n == 4 || n >= 32 ? 0xee00ull : 0x8e00ull) << 32 |
		     (target >> 16 & 0xffff) << 48;
	idt[2 * n + 1] = target >> 32;
}

void setup_tables(void)
{
	uint64_t base = (uint64_t)tss;
	struct pointer idtr = { sizeof(idt) - 1, (uint64_t)idt };
	uint64_t rsp0 = (uint64_t)trap_stack + sizeof(trap_stack);

	outb(COM1 + 3, 0x03); /* 8 bits, no parity, 1 stop bit */
	outb(PIC_MASTER_MASK, 0xff); /* firmware may have left the timer's interrupt on */
	outb(PIC_SLAVE_MASK, 0xff);
	for (unsigned n = 0; n < 64; n++)
		set_gate(n);
	asm volatile("lidt %0" : : "m"(idtr));
	memcpy(tss + TSS64_RSP0, &rsp0, 8);
	gdt[SEL_TSS / 8] |= (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	gdt[SEL_TSS / 8 + 1] = base >> 32;
	load_gdt();
	asm volatile("ltr %w0" : : "r"(SEL_TSS));
}

/* --- VMX --- */

uint8_t vmxon_region[4096] __attribute__((aligned(4096)));
uint8_t vmcs_region[4096] __attribute__((aligned(4096)));
uint8_t other_region[4096] __attribute__((aligned(4096)));
static uint8_t guest_stack[8192] __attribute__((aligned(16)));
static bool launched;

static void set_revision(uint8_t *region)
{
	uint32_t revision = (uint32_t)(rdmsr(IA32_VMX_BASIC) & VMX_BASIC_REVISION);

	memcpy(region, &revision, 4);
}

bool vmx_start(void)
{
	if (!(rdmsr(IA32_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK))
		wrmsr(IA32_FEATURE_CONTROL, FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
	write_cr0(read_cr0() | CR0_NE);
	write_cr4(read_cr4() | CR4_VMXE);
	set_revision(vmxon_region);
	set_revision(vmcs_region);
	set_revision(other_region);
	return vmxon((uint64_t)vmxon_region) == 0;
}

static uint32_t capability(enum vmcs_field field)
{
	switch (field) {
	case VMCS_PIN_CONTROLS: return IA32_VMX_TRUE_PINBASED_CTLS;
	case VMCS_PROC_CONTROLS: return IA32_VMX_TRUE_PROCBASED_CTLS;
	case VMCS_PROC2_CONTROLS: return IA32_VMX_PROCBASED_CTLS2;
	case VMCS_EXIT_CONTROLS: return IA32_VMX_TRUE_EXIT_CTLS;
	default: return IA32_VMX_TRUE_ENTRY_CTLS;
	}
}

bool control_allowed(enum vmcs_field field, uint32_t bits)
{
	return (rdmsr(capability(field)) >> 32 & bits) == bits;
}

bool control_set(enum vmcs_field field, uint32_t bits)
{
	if (!control_allowed(field, bits))
		return false;
	vmwrite(field, vmread(field) | bits);
	return true;
}

void control_clear(enum vmcs_field field, uint32_t bits)
{
	vmwrite(field, vmread(field) & ~(uint64_t)bits);
}

static void control_init(enum vmcs_field field, uint32_t bits)
{
	uint64_t cap = rdmsr(capability(field));

	vmwrite(field, (bits | (uint32_t)cap) & (uint32_t)(cap >> 32));
}

static void fill_controls(void)
{
	control_init(VMCS_PIN_CONTROLS, 0);
	control_init(VMCS_PROC_CONTROLS, PROC_SECONDARY_CONTROLS);
	control_init(VMCS_PROC2_CONTROLS, 0);
	control_init(VMCS_EXIT_CONTROLS, VMEXIT_HOST_64 | VMEXIT_ACK_INTERRUPT | VMEXIT_SAVE_EFER | VMEXIT_LOAD_EFER);
	control_init(VMCS_ENTRY_CONTROLS, VMENTRY_IA32E_GUEST | VMENTRY_LOAD_EFER);
	static const uint16_t zero[] = {
		VMCS_EXCEPTION_BITMAP, VMCS_PF_ERROR_MASK, VMCS_PF_ERROR_MATCH, VMCS_CR3_TARGET_COUNT, VMCS_EXIT_MSR_STORE_COUNT,
		VMCS_EXIT_MSR_LOAD_COUNT, VMCS_ENTRY_MSR_LOAD_COUNT, VMCS_ENTRY_INTR_INFO, VMCS_TSC_OFFSET, VMCS_CR0_MASK,
		VMCS_CR4_MASK, VMCS_CR0_READ_SHADOW, VMCS_CR4_READ_SHADOW,
	};
	for (unsigned i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
		vmwrite(zero[i], 0);
}

static void fill_host(void)
{
	static const uint16_t data[] = { VMCS_HOST_ES_SELECTOR, VMCS_HOST_SS_SELECTOR, VMCS_HOST_DS_SELECTOR };

	vmwrite(VMCS_HOST_CR0, read_cr0());
	vmwrite(VMCS_HOST_CR3, read_cr3());
	vmwrite(VMCS_HOST_CR4, read_cr4());
	for (unsigned i = 0; i < 3; i++)
		vmwrite(data[i], SEL_DATA);
	vmwrite(VMCS_HOST_CS_SELECTOR, SEL_CODE);
	vmwrite(VMCS_HOST_FS_SELECTOR, 0);
	vmwrite(VMCS_HOST_GS_SELECTOR, 0);
	vmwrite(VMCS_HOST_TR_SELECTOR, SEL_TSS);
	vmwrite(VMCS_HOST_FS_BASE, 0);
	vmwrite(VMCS_HOST_GS_BASE, 0);
	vmwrite(VMCS_HOST_TR_BASE, (uint64_t)tss);
	vmwrite(VMCS_HOST_GDTR_BASE, (uint64_t)gdt);
	vmwrite(VMCS_HOST_IDTR_BASE, (uint64_t)idt);
	vmwrite(VMCS_HOST_IA32_SYSENTER_CS, 0);
	vmwrite(VMCS_HOST_IA32_SYSENTER_ESP, 0);
	vmwrite(VMCS_HOST_IA32_SYSENTER_EIP, 0);
	vmwrite(VMCS_HOST_IA32_EFER, rdmsr(IA32_EFER));
	vmwrite(VMCS_HOST_IA32_PAT, PAT_RESET);
	vmwrite(VMCS_HOST_RIP, (uint64_t)guest_run);
}

/* Segment n of ES, CS, SS, DS, FS, GS, LDTR, TR */
static void guest_segment(unsigned n, uint64_t sel, uint64_t base, uint64_t limit, uint64_t ar)
{
	vmwrite(VMCS_GUEST_ES_SELECTOR + 2 * n, sel);
	vmwrite(VMCS_GUEST_ES_BASE + 2 * n, base);
	vmwrite(VMCS_GUEST_ES_LIMIT + 2 * n, limit);
	vmwrite(VMCS_GUEST_ES_AR + 2 * n, ar);
}

static void fill_guest(void)
{
	static const unsigned data[] = { 0, 2, 3 };

	for (unsigned i = 0; i < 3; i++)
		guest_segment(data[i], SEL_DATA, 0, 0xffffffff, 0xc093);
	guest_segment(1, SEL_CODE, 0, 0xffffffff, 0xa09b);
	guest_segment(4, 0, 0, 0, VMX_AR_UNUSABLE);
	guest_segment(5, 0, 0, 0, VMX_AR_UNUSABLE);
	guest_segment(6, 0, 0, 0, VMX_AR_UNUSABLE);
	guest_segment(7, SEL_TSS, (uint64_t)tss, 0x67, 0x8b);
	vmwrite(VMCS_GUEST_GDTR_BASE, (uint64_t)gdt);
	vmwrite(VMCS_GUEST_GDTR_LIMIT, 0xff);
	vmwrite(VMCS_GUEST_IDTR_BASE, (uint64_t)idt);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, sizeof(idt) - 1);
	vmwrite(VMCS_GUEST_CR0, read_cr0());
	vmwrite(VMCS_GUEST_CR3, read_cr3());
	vmwrite(VMCS_GUEST_CR4, read_cr4());
	vmwrite(VMCS_GUEST_DR7, DR7_INIT);
	vmwrite(VMCS_GUEST_IA32_DEBUGCTL, 0);
	vmwrite(VMCS_GUEST_IA32_EFER, rdmsr(IA32_EFER));
	vmwrite(VMCS_GUEST_IA32_PAT, PAT_RESET);
	vmwrite(VMCS_GUEST_IA32_SYSENTER_CS, 0);
	vmwrite(VMCS_GUEST_IA32_SYSENTER_ESP, 0);
	vmwrite(VMCS_GUEST_IA32_SYSENTER_EIP, 0);
	vmwrite(VMCS_LINK_POINTER, VMX_NO_POINTER);
}

void guest_at(void (*fn)(void))
{
	vmwrite(VMCS_GUEST_RIP, (uint64_t)fn);
	vmwrite(VMCS_GUEST_RSP, (uint64_t)guest_stack + sizeof(guest_stack) - 64);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE);
	vmwrite(VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, 0);
	vmwrite(VMCS_GUEST_PENDING_DEBUG, 0);
	vmwrite(VMCS_ENTRY_INTR_INFO, 0);
}

void vmcs_fresh(void (*fn)(void))
{
	vmclear((uint64_t)vmcs_region);
	vmptrld((uint64_t)vmcs_region);
	launched = false;
	fill_controls();
	fill_host();
	fill_guest();
	guest_at(fn);
}

int enter_guest(void)
{
	int r = guest_run(!launched);

	if (r == 0 && !(vmread(VMCS_EXIT_REASON) & EXIT_REASON_ENTRY_FAILURE))
		launched = true;
	return r;
}

void guest_skip(void)
{
	vmwrite(VMCS_GUEST_RIP, vmread(VMCS_GUEST_RIP) + vmread(VMCS_EXIT_INSTRUCTION_LENGTH));
}

__attribute__((naked)) void guest_vmcall(void)
{
	asm("1: vmcall; jmp 1b");
}

/* --- EPT --- */

static uint64_t ept_pml4[512] __attribute__((aligned(4096)));
static uint64_t ept_pdpt[512] __attribute__((aligned(4096)));
static uint64_t ept_pd[4 * 512] __attribute__((aligned(4096)));
static uint64_t ept_pt[512] __attribute__((aligned(4096)));

uint64_t ept_identity(void)
{
	const uint64_t leaf = EPT_RWX | (uint64_t)MEMTYPE_WB << EPT_MT_SHIFT;

	ept_pml4[0] = (uint64_t)ept_pdpt | EPT_RWX;
	for (unsigned i = 0; i < 4; i++)
		ept_pdpt[i] = (uint64_t)(ept_pd + 512 * i) | EPT_RWX;
	for (uint64_t i = 0; i < 4 * 512; i++)
		ept_pd[i] = i << PAGE_SHIFT_2M | leaf | EPT_PS;
	for (uint64_t i = 0; i < 512; i++)
		ept_pt[i] = i << PAGE_SHIFT_4K | leaf;
	ept_pd[0] = (uint64_t)ept_pt | EPT_RWX;
	return (uint64_t)ept_pml4 | EPTP_WALK_4 | MEMTYPE_WB;
}

uint64_t *ept_entry(uint64_t gpa)
{
	return gpa < 0x200000 ? &ept_pt[gpa >> PAGE_SHIFT_4K] : &ept_pd[gpa >> PAGE_SHIFT_2M];
}
