/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UMIP, RDPID, CLFLUSHOPT, CLWB; and none of them where --cpu has taken them away, which the word "few" on the command line says. SDM 3A
 * "User-Mode Instruction Prevention", SDM 2A "CLFLUSHOPT", "CLWB", SDM 2B "RDPID".
 */
#include "arch/msrs.h"
#include "arch/paging.h"
#include "tests/guest/sys/expect.h"

static u8 user_stack[4096] __attribute__((aligned(16)));
static u64 line[512] __attribute__((aligned(4096)));

/* What goes on after the instruction ends in #UD. */
__asm__(".pushsection .text\n"
	"u_sgdt: sgdt -16(%rsp); ud2\n"
	"u_sidt: sidt -16(%rsp); ud2\n"
	"u_sldt: sldt %ax; ud2\n"
	"u_str: str -8(%rsp); ud2\n"
	"u_smsw: smsw %ecx; ud2\n"
	"u_sgdt_nowhere: sgdt 0; ud2\n"
	"u_lar: mov %cs, %ecx; lar %cx, %eax; ud2\n"
	"u_rdpid: .byte 0xf3, 0x0f, 0xc7, 0xf8; ud2\n"
	".popsection");
extern u8 u_sgdt[], u_sidt[], u_sldt[], u_str[], u_smsw[], u_sgdt_nowhere[], u_lar[], u_rdpid[];

extern u32 boot_info;

/* The Multiboot information's fifth word. */
static bool on_command_line(const char *word)
{
	const char *s = (const char *)(u64)((const u32 *)(u64)boot_info)[4];

	for (; *s; s++)
		for (unsigned i = 0; s[i] == word[i];)
			if (!word[++i])
				return true;
	return false;
}

static bool has(unsigned reg, unsigned bit)
{
	u32 r[4];

	cpuid(7, 0, r);
	return r[reg] >> bit & 1;
}

static bool has_umip(void) { return has(2, 2); }
static bool has_rdpid(void) { return has(2, 22); }
static bool has_clflushopt(void) { return has(1, 23); }
static bool has_clwb(void) { return has(1, 24); }

static void test_enumerated(void)
{
	bool all = !on_command_line("few");

	if (on_tcg)
		return;
	check_eq(has_umip(), all, "UMIP is enumerated as asked for");
	check_eq(has_rdpid(), all, "RDPID is enumerated as asked for");
	check_eq(has_clflushopt(), all, "CLFLUSHOPT is enumerated as asked for");
	check_eq(has_clwb(), all, "CLWB is enumerated as asked for");
}

static u64 user(const u8 *code)
{
	try_rax = USER(code);
	try_rcx = USER(user_stack) + sizeof(user_stack);
	return TRY("pushq $0x33; push %%rcx; pushq $2; pushq $0x3b; push %%rax; iretq"); /* SEL_UDATA, SEL_UCODE64 */
}

/* --- UMIP --- */

static const struct {
	const u8 *code;
	const char *name;
} prevented[] = {
	{ u_sgdt, "SGDT" }, { u_sidt, "SIDT" }, { u_sldt, "SLDT" }, { u_str, "STR" }, { u_smsw, "SMSW" },
};

static void test_umip(void)
{
	u64 cr4 = read_cr4();

	if (!has_umip()) {
		try_rax = cr4 | CR4_UMIP;
		expect(TRY("mov %%rax, %%cr4"), VEC_GP, 0, "CR4.UMIP is reserved without UMIP");
		return;
	}
	for (unsigned i = 0; i < sizeof(prevented) / sizeof(prevented[0]); i++) {
		expect(user(prevented[i].code), VEC_UD, 0, prevented[i].name);
		write_cr4(cr4 | CR4_UMIP);
		expect(user(prevented[i].code), VEC_GP, 0, prevented[i].name);
		check_eq(trap.f.rip, USER(prevented[i].code), prevented[i].name);
		write_cr4(cr4);
	}
	write_cr4(cr4 | CR4_UMIP);
	expect(user(u_sgdt_nowhere), VEC_GP, 0, "it comes before the operand's page fault");
	expect(user(u_lar), VEC_UD, 0, "LAR is not prevented");
	expect(TRY("sgdt -16(%%rsp); sidt -16(%%rsp); sldt %%ax; str %%ax; smsw %%ax"), NO_TRAP, 0, "nothing is at CPL 0");
	write_cr4(cr4);
}

/* --- RDPID --- */

static void test_rdpid(void)
{
	u64 cr4 = read_cr4();

	wrmsr(IA32_TSC_AUX, 0x89abcdef);
	try_rax = ~0ull;
	expect(TRY(".byte 0xf3, 0x0f, 0xc7, 0xf8"), has_rdpid() ? NO_TRAP : VEC_UD, 0, "RDPID");
	if (!has_rdpid())
		return;
	check_eq(try_rax, 0x89abcdef, "RDPID reads IA32_TSC_AUX");
	expect(TRY(".byte 0xf3, 0x41, 0x0f, 0xc7, 0xff; mov %%r15, %%rax; inc %%rax"), NO_TRAP, 0, "RDPID to R15");
	check_eq(try_rax, 0x89abcdf0, "RDPID to R15");
	write_cr4(cr4 | CR4_TSD);
	expect(user(u_rdpid), VEC_UD, 0, "RDPID at CPL 3");
	write_cr4(cr4);
	check_eq(trap.f.rax, 0x89abcdef, "RDPID at CPL 3, whatever CR4.TSD");
	expect(TRY(".byte 0xf0, 0xf3, 0x0f, 0xc7, 0xf8"), VEC_UD, 0, "LOCK RDPID");
}

/* --- CLFLUSHOPT, CLWB --- */

#define FAR 0x3f800000ull
#define NOWHERE 0x0800000000000000ull

#define LINE_TESTS(name, by_rax, by_rbp, by_reg, there) \
	static void test_##name(void) \
	{ \
		u64 *pde = &boot_pd[FAR >> 21], old = *pde; \
		\
		try_rax = (u64)line; \
		expect(TRY(".byte " by_rax), there ? NO_TRAP : VEC_UD, 0, #name " of a line"); \
		if (!there || on_tcg) /* which takes them for NOPs */ \
			return; \
		*pde = (old & ~(u64)(PTE_A | PTE_D)) & ~(u64)PTE_RW; \
		invlpg(FAR); \
		try_rax = FAR; \
		expect(TRY(".byte " by_rax), NO_TRAP, 0, #name " of a page that may only be read"); \
		check_eq(*pde & (PTE_A | PTE_D), PTE_A, #name " is a load to paging"); \
		*pde = old & ~(u64)PTE_P; \
		invlpg(FAR); \
		expect(TRY(".byte " by_rax), VEC_PF, 0, #name " of a page that is not there"); \
		check_eq(trap.cr2, FAR, #name " of a page that is not there"); \
		*pde = old; \
		invlpg(FAR); \
		try_rax = NOWHERE; \
		expect(TRY(".byte " by_rax), VEC_GP, 0, #name " of an address that is not canonical"); \
		expect(TRY("mov %%rax, %%rbp; .byte " by_rbp), VEC_SS, 0, #name " of such an address in SS"); \
		expect(TRY(".byte " by_reg), VEC_UD, 0, #name " of a register"); \
		try_rax = (u64)line; \
		expect(TRY(".byte 0xf0, " by_rax), VEC_UD, 0, "LOCK " #name); \
	}
LINE_TESTS(CLFLUSHOPT, "0x66, 0x0f, 0xae, 0x38", "0x66, 0x0f, 0xae, 0x7d, 0x00", "0x66, 0x0f, 0xae, 0xf8", has_clflushopt())
LINE_TESTS(CLWB, "0x66, 0x0f, 0xae, 0x30", "0x66, 0x0f, 0xae, 0x75, 0x00", "0x66, 0x0f, 0xae, 0xf0", has_clwb())

void guest_main(void)
{
	test_enumerated();
	test_umip();
	test_rdpid();
	test_CLFLUSHOPT();
	test_CLWB();
}
