// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What an instruction computes does not depend on whether its operands are RAM or a device's registers. Every form runs
 * on RAM and then on the test device's memory (--test-device; QEMU's pc-testdev), at the same offsets of two windows: the
 * registers, flags and bytes must come out the same, also where an operand crosses from one to the other.
 */
#include "tests/guest/sys/expect.h"

#include "abi/machine.h"
#include "arch/paging.h"

#define DEVICE 0xff000000ull
#define RAM_WINDOW    0x40000000ull /* five pages of RAM */
#define DEVICE_WINDOW 0x40010000ull /* RAM, device, device, RAM */
#define PAGES 4
#define SPAN 2048 /* bytes around an operand that are filled and compared */
#define BEFORE 1024
#define PORT 0xe0

struct regs {
	u64 rax, rcx, rdx, rbx, rsi, rdi, flags;
	u8 ymm0[32], ymm1[32];
	u8 x87[512] __attribute__((aligned(16)));
} __attribute__((aligned(64)));

typedef void stub(void);

/* unaligned: at any address, also across pages; else at multiples of `align`. */
struct form {
	const char *text;
	stub *run;
	unsigned align;
};

/*
 * A form's code: RDI is the operand's address, RAX, RCX, RDX, RBX, XMM0, XMM1 and ST0 have values. It may change these,
 * RSI, R8 to R11, and the stack only as far as it puts it back.
 */
#define FORM(n, a, insns) \
	__attribute__((naked)) static void form_##n(void) { __asm__(insns "\n ret"); }
#include "tests/guest/sys/mmio_forms.h"
#undef FORM
static const struct form forms[] = {
#define FORM(n, a, insns) { insns, form_##n, a },
#include "tests/guest/sys/mmio_forms.h"
#undef FORM
};

static u8 frames[2 * PAGES][4096] __attribute__((aligned(4096)));
static u64 window_pd[512] __attribute__((aligned(4096))), window_pt[512] __attribute__((aligned(4096)));
static struct regs in, out[2];

static void map(u64 window, unsigned page, u64 physical)
{
	window_pt[(window >> 12 & 511) + page] = physical | PTE_P | PTE_RW;
}

static void make_windows(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		map(RAM_WINDOW, i, (u64)frames[i]);
	map(DEVICE_WINDOW, 0, (u64)frames[PAGES]);
	map(DEVICE_WINDOW, 1, DEVICE);
	map(DEVICE_WINDOW, 2, DEVICE + 0x1000);
	map(DEVICE_WINDOW, 3, (u64)frames[PAGES + 1]);
	window_pd[0] = (u64)window_pt | PTE_P | PTE_RW;
	boot_pdpt[1] = (u64)window_pd | PTE_P | PTE_RW;
	write_cr3(read_cr3());
}

/* Bytes that differ from each other, and are valid as numbers of most kinds. */
static void fill(u64 at)
{
	volatile u8 *p = (volatile u8 *)at;

	for (unsigned i = 0; i < SPAN; i++)
		p[i] = (u8)(0x31 + i * 7 + (i >> 8));
}

static bool same_memory(u64 a, u64 b)
{
	const volatile u64 *p = (const volatile u64 *)a, *q = (const volatile u64 *)b;

	for (unsigned i = 0; i < SPAN / 8; i++)
		if (p[i] != q[i])
			return false;
	return true;
}

/* Runs a form on memory at `at`. Whatever it is about, RDI is reported as a distance. */
static void run(const struct form *f, u64 at, struct regs *r)
{
	const struct { stub *code; struct regs *to; u64 at; const u8 *from; } todo = { f->run, r, at, in.ymm0 };

	memset(r, 0, sizeof(*r));
	__asm__ volatile(
		"push %%rbp\n"
		"mov (%[todo]), %%r12; mov 8(%[todo]), %%r13; mov 16(%[todo]), %%rdi; mov 24(%[todo]), %%rsi\n"
		"fninit; fldl 64(%%rsi)\n"
		"vmovdqu (%%rsi), %%ymm0; vmovdqu 32(%%rsi), %%ymm1\n"
		"mov %%rdi, %%rsi\n"
		"mov $0x1122334455667788, %%rax; mov $5, %%ecx; mov $0x99aabbccddee, %%rdx; mov $0x0102030405060708, %%rbx\n"
		"mov %%rsp, %%r14; pushq $0x8d7; popfq\n"
		"call *%%r12\n"
		"pushfq; popq 48(%%r13); mov %%r14, %%rsp; cld\n"
		"mov %%rax, (%%r13); mov %%rcx, 8(%%r13); mov %%rdx, 16(%%r13); mov %%rbx, 24(%%r13)\n"
		"mov %%rsi, 32(%%r13); mov %%rdi, 40(%%r13)\n"
		"vmovdqu %%ymm0, 56(%%r13); vmovdqu %%ymm1, 88(%%r13)\n"
		"fxsave64 128(%%r13)\n"
		"pop %%rbp\n"
		: : [todo] "a"(&todo)
		: "rcx", "rdx", "rbx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	if (r->rsi - at < 4096 || at - r->rsi < 4096)
		r->rsi -= at;
	if (r->rdi - at < 4096 || at - r->rdi < 4096)
		r->rdi -= at;
	memset(r->x87 + 8, 0, 16); /* pointers to the last x87 instruction and its operand */
}

static bool same_registers(void)
{
	return __builtin_memcmp(&out[0], &out[1], sizeof(out[0])) == 0;
}

int memcmp(const void *a, const void *b, size_t n);
int memcmp(const void *a, const void *b, size_t n)
{
	const u8 *p = a, *q = b;

	for (; n; n--, p++, q++)
		if (*p != *q)
			return *p - *q;
	return 0;
}

static bool same_at(const struct form *f, unsigned offset)
{
	for (unsigned i = 0; i < 2; i++) {
		u64 window = i ? DEVICE_WINDOW : RAM_WINDOW;

		outl(PORT, 0x89abcdef);
		fill(window + offset - BEFORE);
		run(f, window + offset, &out[i]);
	}
	return same_registers() && same_memory(RAM_WINDOW + offset - BEFORE, DEVICE_WINDOW + offset - BEFORE);
}

static void test_forms(void)
{
	static const u16 anywhere[] = {
		0x1800, 0x1801, 0x1802, 0x1805, 0xfff, 0xffe, 0xffd, 0xffc, 0xff9, 0xff1, 0xfe1, 0x1fff, 0x1ffe, 0x1ffb, 0x1ff8, 0x1ff3,
		0x1fe5, 0x2fff, 0x2ffe, 0x2ffd, 0x2ff9, 0x2ff3, 0x2fe9,
	};
	static const u16 aligned[] = { 0x1800, 0xfc0, 0xf80, 0x1fc0, 0x2fc0, 0x1080, 0x2000 };

	for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const struct form *f = &forms[i];
		const u16 *at = f->align > 1 ? aligned : anywhere;
		unsigned n = f->align > 1 ? sizeof(aligned) / 2 : sizeof(anywhere) / 2, bad = 0;

		for (unsigned k = 0; k < n && !bad; k++)
			if (!same_at(f, at[k]))
				bad = at[k];
		check(!bad, "%s (offset %x)", f->text, bad);
	}
}

/* Are the comparisons able to fail? */
static void test_comparison(void)
{
	fill(RAM_WINDOW + 0x1400);
	fill(DEVICE_WINDOW + 0x1400);
	check(same_memory(RAM_WINDOW + 0x1400, DEVICE_WINDOW + 0x1400), "both windows have the pattern");
	*(volatile u8 *)(DEVICE + 0x7f0) ^= 1;
	check(!same_memory(RAM_WINDOW + 0x1400, DEVICE_WINDOW + 0x1400), "a changed bit of the device is seen");
	run(&forms[0], RAM_WINDOW + 0x1400, &out[0]);
	run(&forms[0], RAM_WINDOW + 0x1400, &out[1]);
	out[1].ymm1[31] ^= 0x80;
	check(!same_registers(), "a changed bit of a register is seen");
}

/* --- how often a device is accessed: only this machine can tell --- */

static struct machine_command_block block __attribute__((aligned(64)));
static u64 counters[32] __attribute__((aligned(4096)));

enum {
#define COUNTER(name, text) AT_##name,
#include "abi/machine_counters.def"
#undef COUNTER
};

static void read_counters(void)
{
	block.command = MACHINE_COUNTERS;
	block.arg[0] = (u64)counters;
	block.arg[1] = 32;
	outl(MACHINE_CTL_PORT, (u32)(u64)&block);
	outl(MACHINE_CTL_PORT + 4, 0);
	outl(MACHINE_CTL_PORT + 8, MACHINE_CTL_GO);
}

#define COUNTED(want_reads, want_writes, insns) \
	do { \
		u64 reads, writes; \
		read_counters(); \
		reads = counters[AT_MMIO_READS], writes = counters[AT_MMIO_WRITES]; \
		__asm__ volatile("mov %0, %%rdi; mov %%rdi, %%rsi; mov $4, %%ecx; xor %%eax, %%eax;" insns : : "r"(DEVICE) \
				 : "rax", "rcx", "rdx", "rbx", "rdi", "rsi", "memory", "cc"); \
		read_counters(); \
		check_eq(counters[AT_MMIO_READS] - reads, want_reads, insns ": reads"); \
		check_eq(counters[AT_MMIO_WRITES] - writes, want_writes, insns ": writes"); \
	} while (0)

static void test_counts(void)
{
	if (inl(MACHINE_CTL_PORT + 8) != MACHINE_CTL_MAGIC) {
		put("skip counts: no control device\n");
		return;
	}
	COUNTED(1, 0, "mov (%%rdi), %%rax");
	COUNTED(0, 1, "mov %%eax, (%%rdi)");
	COUNTED(1, 1, "nop; lock addl $1, (%%rdi); nop");
	COUNTED(1, 1, "xchg %%al, 3(%%rdi)");
	COUNTED(1, 1, "mov $1, %%eax; lock cmpxchg %%ecx, (%%rdi)");
	COUNTED(1, 0, "testb $1, (%%rdi)");
	COUNTED(1, 0, "push (%%rdi); pop %%rax");
	COUNTED(0, 4, "rep stosw");
	COUNTED(4, 0, "rep lodsl");
	COUNTED(4, 4, "rep movsb");
	COUNTED(2, 0, "cmpsl");
	COUNTED(2, 0, "movdqu (%%rdi), %%xmm0");
	COUNTED(0, 4, "vmovdqu %%ymm0, (%%rdi)");
	COUNTED(2, 2, "mov 2(%%rdi), %%eax; mov %%eax, 2(%%rdi)");
}

/* --- tables in the device --- */

static void test_tables(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) old, new = { sizeof(gdt) - 1, DEVICE + 0x4000 };
	volatile u64 *moved = (volatile u64 *)(DEVICE + 0x4000);

	for (unsigned i = 0; i < sizeof(gdt) / 8; i++)
		moved[i] = gdt[i];
	moved[SEL_FREE / 8] = gdt[SEL_DATA / 8] & ~(1ull << 40);
	__asm__ volatile("sgdt %0; lgdt %1" : "=m"(old) : "m"(new));
	__asm__ volatile("mov %w0, %%fs" : : "r"(SEL_FREE));
	__asm__ volatile("lgdt %0" : : "m"(old));
	check_eq(moved[SEL_FREE / 8], gdt[SEL_DATA / 8] | 1ull << 40, "a descriptor in the device is marked as accessed");
	__asm__ volatile("mov %w0, %%fs" : : "r"(0));

	new.base = DEVICE + 0x6000, new.limit = sizeof(idt) - 1;
	memcpy((void *)new.base, idt, sizeof(idt));
	tss.ist[0] = DEVICE + 0x8000;
	((volatile struct gate *)new.base)[0x30].ist = 1;
	__asm__ volatile("sidt %0; lidt %1" : "=m"(old) : "m"(new));
	expect(TRY("int $0x30"), 0x30, 0, "a gate and a stack in the device");
	__asm__ volatile("lidt %0" : : "m"(old));
	check_eq(trap.handler_rsp, DEVICE + 0x8000 - sizeof(struct frame), "the frame is in the device");
}

/* Nothing tells the processor that a device's bytes have changed: it has to fetch them again. */
static void test_code(void)
{
	volatile u64 *code = (volatile u64 *)(DEVICE + 0xffa);
	u64 got;

	for (unsigned i = 1; i < 4; i++) {
		*code = 0xc300000000b8ull | (u64)(i + 5) << 8; /* mov $i + 5, %eax across pages; ret */
		__asm__ volatile("call *%1; call *%1" : "=&a"(got) : "r"(code) : "memory");
		check_eq(got, i + 5, "code in the device");
	}
}

void guest_main(void)
{
	static const double one_third = 1.0 / 3;

	if (!need_feature(1, 0, 2, 28, "AVX") || !need_feature(7, 0, 1, 5, "AVX2"))
		return;
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
	write_cr0((read_cr0() & ~(u64)CR0_EM) | CR0_MP);
	__asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
	for (unsigned i = 0; i < 32; i++)
		in.ymm0[i] = (u8)(i * 3 + 1), in.ymm1[i] = (u8)(i & 1 ? 0x80 : 0x7f);
	memcpy(in.ymm1 + 32, &one_third, 8);
	make_windows();
	*(volatile u32 *)DEVICE = 0x12345678;
	check_eq(*(volatile u32 *)DEVICE, 0x12345678, "the device is there");
	test_comparison();
	test_forms();
	test_counts();
	test_tables();
	test_code();
}
