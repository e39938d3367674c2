// SPDX-License-Identifier: GPL-2.0-or-later
/* Segment registers, descriptor tables and what looks at them. SDM 3A chapters 3 and 5. */
#include "arch/msrs.h"
#include "tests/guest/sys/expect.h"

#define SEL_A (SEL_FREE + 0x10)
#define SEL_B (SEL_FREE + 0x18)
#define SEL_LDT (SEL_FREE + 0x20)

static u64 ldt[4] __attribute__((aligned(16)));

static void test_accessed(void)
{
	gdt_set(SEL_A, 0x1000, 0xfffff, 0x92, 0xc);
	try_rax = SEL_A;
	expect(TRY("mov %%eax, %%fs"), NO_TRAP, 0, "MOV FS");
	check_eq(gdt[SEL_A / 8] >> 40 & 0xff, 0x93, "sets the accessed bit");
	check_eq(rdmsr(IA32_FS_BASE), 0x1000, "the base is the descriptor's");
	try_rax = 0;
	expect(TRY("mov %%eax, %%fs"), NO_TRAP, 0, "MOV FS, 0");
	wrmsr(IA32_FS_BASE, 0x123456789ab);
	check_eq(rdmsr(IA32_FS_BASE), 0x123456789ab, "IA32_FS_BASE");
	try_rax = 0x800000000000ull;
	tcg_differs();
	expect(TRY("mov $0xc0000100, %%ecx; mov %%rax, %%rdx; shr $32, %%rdx; wrmsr"), VEC_GP, 0,
	       "a non-canonical FS base");
}

static void test_bases(void)
{
	static u64 word = 0x1122334455667788;

	wrmsr(IA32_GS_BASE, (u64)&word - 8);
	TRY("mov %%gs:8, %%rax");
	check_eq(try_rax, word, "GS override");
	wrmsr(IA32_KERNEL_GS_BASE, (u64)&word - 16);
	TRY("swapgs; mov %%gs:16, %%rax");
	check_eq(try_rax, word, "SWAPGS");
	check_eq(rdmsr(IA32_KERNEL_GS_BASE), (u64)&word - 8, "… exchanges");
	if (!need_feature(7, 0, 1, 0, "FSGSBASE"))
		return;
	write_cr4(read_cr4() & ~CR4_FSGSBASE);
	expect(TRY("rdfsbase %%rax"), VEC_UD, 0, "RDFSBASE with CR4.FSGSBASE = 0");
	write_cr4(read_cr4() | CR4_FSGSBASE);
	try_rax = 0x1234567890;
	expect(TRY("wrfsbase %%rax; rdfsbase %%rcx"), NO_TRAP, 0, "WRFSBASE");
	check_eq(try_rcx, 0x1234567890, "RDFSBASE");
	try_rax = 0xffffffff12345678;
	TRY("wrgsbase %%eax; rdgsbase %%rcx");
	check_eq(try_rcx, 0x12345678, "32-bit WRGSBASE zero-extends");
	try_rax = 0x8000000000000000ull;
	tcg_differs();
	expect(TRY("wrfsbase %%rax"), VEC_GP, 0, "WRFSBASE of a non-canonical address");
}

/* LAR and LSL: result and ZF, for a descriptor. */
static void lar_lsl(u16 sel, bool ok_lar, u32 lar, bool ok_lsl, u32 lsl, const char *name)
{
	try_rcx = sel;
	TRY("mov $0x77, %%edx; lar %%ecx, %%edx; setz %%al; movzbl %%al, %%eax");
	tcg_differs();
	check(try_rax == ok_lar && (!ok_lar || try_rdx == lar), "LAR %s: %lx %lx", name, try_rax, try_rdx);
	try_rcx = sel;
	TRY("mov $0x77, %%edx; lsl %%ecx, %%edx; setz %%al; movzbl %%al, %%eax");
	tcg_differs();
	check(try_rax == ok_lsl && (!ok_lsl || try_rdx == lsl), "LSL %s: %lx %lx", name, try_rax, try_rdx);
}

static void test_lar_lsl(void)
{
	lar_lsl(SEL_CODE64, true, 0xaf9b00, true, 0xffffffff, "of 64-bit code");
	lar_lsl(SEL_DATA, true, 0xcf9300, true, 0xffffffff, "of data");
	lar_lsl(0, false, 0, false, 0, "of null");
	lar_lsl(3, false, 0, false, 0, "of null with RPL 3");
	lar_lsl(SEL_DATA | 3, false, 0, false, 0, "with RPL above DPL");
	lar_lsl(0xfff8, false, 0, false, 0, "outside the GDT");
	lar_lsl(SEL_TSS, true, 0x008b00, true, sizeof(tss) - 1, "of a busy TSS");
	gdt_set(SEL_A, 0, 0x123, 0x12, 4);
	lar_lsl(SEL_A, true, 0x401200, true, 0x123, "of absent data");
	gdt_set(SEL_A, 0, 0x123, 0x8e, 0);
	lar_lsl(SEL_A, false, 0, false, 0, "of an interrupt gate");
	gdt_set(SEL_A, 0, 0x123, 0x8c, 0);
	lar_lsl(SEL_A, true, 0x008c00, false, 0, "of a call gate");
	gdt_set(SEL_A, 0, 0x123, 0x81, 0);
	lar_lsl(SEL_A, false, 0, false, 0, "of a 16-bit TSS in long mode");
}

static void verr(u16 sel, bool r, bool w, const char *name)
{
	try_rcx = sel;
	TRY("verr %%cx; setz %%al; movzbl %%al, %%eax; verw %%cx; setz %%dl; movzbl %%dl, %%edx");
	check(try_rax == r && try_rdx == w, "VERR, VERW %s: %lx %lx", name, try_rax, try_rdx);
}

static void test_verr(void)
{
	verr(SEL_DATA, true, true, "of data");
	verr(SEL_CODE64, true, false, "of readable code");
	verr(0, false, false, "of null");
	gdt_set(SEL_A, 0, 0xfffff, 0x90, 0xc);
	verr(SEL_A, true, false, "of read-only data");
	gdt_set(SEL_A, 0, 0xfffff, 0x98, 0xa);
	verr(SEL_A, false, false, "of execute-only code");
	verr(SEL_TSS, false, false, "of a TSS");
	try_rcx = SEL_A;
	expect(TRY("mov %%ecx, %%ds"), VEC_GP, SEL_A, "DS with execute-only code");
	gdt_set(SEL_A, 0, 0xfffff, 0x90, 0xc);
	expect(TRY("mov %%ecx, %%ss"), VEC_GP, SEL_A, "SS with read-only data");
}

static void test_tables(void)
{
	static struct { u16 limit; u64 base; } __attribute__((packed)) t, old;

	try_rax = (u64)&t;
	expect(TRY("sgdt (%%rax)"), NO_TRAP, 0, "SGDT");
	check_eq(t.base, (u64)gdt, "base by SGDT");
	check_eq(t.limit, sizeof(gdt) - 1, "limit by SGDT");
	old = t;
	t.base = 0x8000000000000000ull;
	try_rax = (u64)&t;
	tcg_differs();
	expect(TRY("lgdt (%%rax)"), VEC_GP, 0, "LGDT of a non-canonical base");
	try_rax = (u64)&old;
	expect(TRY("lgdt (%%rax)"), NO_TRAP, 0, "LGDT");
	TRY("str %%eax; sldt %%ecx");
	check_eq(try_rax, SEL_TSS, "STR");
	check_eq(try_rcx, 0, "SLDT");
	try_rax = SEL_TSS;
	expect(TRY("ltr %%ax"), VEC_GP, SEL_TSS, "LTR of a busy TSS");
	try_rax = 0;
	tcg_differs();
	expect(TRY("ltr %%ax"), VEC_GP, 0, "LTR of null");
	try_rax = SEL_DATA;
	expect(TRY("ltr %%ax"), VEC_GP, SEL_DATA, "LTR of data");
}

static void test_ldt(void)
{
	gdt_set(SEL_LDT, (u32)(u64)ldt, sizeof(ldt) - 1, 0x82, 0);
	gdt[SEL_LDT / 8 + 1] = 0;
	ldt[1] = 0x00cf92000000ffff | 0x5000ull << 16;
	try_rax = SEL_LDT;
	expect(TRY("lldt %%ax; sldt %%ecx"), NO_TRAP, 0, "LLDT");
	check_eq(try_rcx, SEL_LDT, "SLDT");
	try_rax = 0xc;
	expect(TRY("mov %%eax, %%gs"), NO_TRAP, 0, "a segment of the LDT");
	check_eq(rdmsr(IA32_GS_BASE), 0x5000, "its base");
	try_rax = 0x24;
	expect(TRY("mov %%eax, %%gs"), VEC_GP, 0x24, "outside the LDT");
	try_rax = SEL_LDT | 4;
	expect(TRY("lldt %%ax"), VEC_GP, SEL_LDT | 4, "LLDT of the LDT");
	try_rax = SEL_DATA;
	expect(TRY("lldt %%ax"), VEC_GP, SEL_DATA, "LLDT of data");
	gdt_set(SEL_LDT, (u32)(u64)ldt, sizeof(ldt) - 1, 0x02, 0);
	try_rax = SEL_LDT;
	expect(TRY("lldt %%ax"), VEC_NP, SEL_LDT, "LLDT of an absent LDT");
	expect(TRY("xor %%eax, %%eax; lldt %%ax"), NO_TRAP, 0, "LLDT of null");
	__asm__ volatile("mov %0, %%gs" : : "r"(0));
}

/* Limits and types hold in compatibility mode. */
static void test_compat_limits(void)
{
	gdt_set(SEL_A, 0x200000, 0xff, 0x93, 4);
	gdt_set(SEL_B, 0x200000, 0xff, 0x97, 4);
#define IN_COMPAT(insns) \
	"lea 1f(%%rip), %%r8; push $0x18; push %%r8; lretq; .code32; 1: " insns "; ljmp $8, $2f; .code64; 2:"
	try_rcx = SEL_A;
	expect(TRY(IN_COMPAT("mov %%ecx, %%fs; movb $1, %%fs:0xff")), NO_TRAP, 0, "the last byte of a segment");
	try_rcx = SEL_A;
	tcg_differs();
	expect(TRY(IN_COMPAT("mov %%ecx, %%fs; movb $1, %%fs:0x100")), VEC_GP, 0, "one byte above the limit");
	try_rcx = SEL_A;
	tcg_differs();
	expect(TRY(IN_COMPAT("mov %%ecx, %%fs; movl $1, %%fs:0xfd")), VEC_GP, 0, "partly above the limit");
	try_rcx = SEL_B;
	tcg_differs();
	expect(TRY(IN_COMPAT("mov %%ecx, %%fs; movb $1, %%fs:0xff")), VEC_GP, 0, "expand-down: below");
	try_rcx = SEL_B;
	expect(TRY(IN_COMPAT("mov %%ecx, %%fs; movb $1, %%fs:0x100")), NO_TRAP, 0, "expand-down: above");
	tcg_differs();
	expect(TRY(IN_COMPAT("xor %%ecx, %%ecx; mov %%ecx, %%fs; movb $1, %%fs:0x100000")), VEC_GP, 0,
	       "a null segment");
	tcg_differs();
	expect(TRY(IN_COMPAT("movb $1, %%cs:0x200000")), VEC_GP, 0, "a write to code");
	expect(TRY(IN_COMPAT("mov %%ds, %%ecx")), NO_TRAP, 0, "nothing");
	__asm__ volatile("mov %0, %%fs" : : "r"(0));
}

void guest_main(void)
{
	test_accessed();
	test_bases();
	test_lar_lsl();
	test_verr();
	test_tables();
	test_ldt();
	test_compat_limits();
}
