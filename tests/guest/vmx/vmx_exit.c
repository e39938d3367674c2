/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that exit: each with its control off (it runs on) and on (it exits, with this qualification, length and
 * information, RIP at the instruction). SDM 3C "Instructions That Cause VM Exits" (26.1), "Exit Qualification"
 * (28.2.1), "Information for VM Exits Due to Instruction Execution" (28.2.5).
 */
#include "lib.h"

#define RUNS_ON 1000 /* no exit before the VMCALL */
#define ALWAYS  0

#define GUEST(name, insns) \
	static __attribute__((naked)) void name(void) { asm(insns "\n1: vmcall; jmp 1b"); }

static uint8_t bitmap_a[4096] __attribute__((aligned(4096)));
static uint8_t bitmap_b[4096] __attribute__((aligned(4096)));
static uint8_t scratch[64] __attribute__((aligned(64)));

/* Enters the guest at fn and checks the exit. len 0: not looked at. */
static bool expect(const char *name, void (*fn)(void), unsigned reason, uint64_t qual, unsigned len)
{
	int r;

	guest_at(fn);
	r = enter_guest();
	if (reason == RUNS_ON)
		return check(r == 0 && vmread(VMCS_EXIT_REASON) == EXIT_VMCALL && vmread(VMCS_GUEST_RIP) > (uint64_t)fn, name,
			     "should run on: result %d, error %lu, reason %lu, qual %lx, intr %lx", r, vmread(VMCS_INSTRUCTION_ERROR),
			     vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION), vmread(VMCS_EXIT_INTR_INFO));
	return check(r == 0 && vmread(VMCS_EXIT_REASON) == reason && vmread(VMCS_EXIT_QUALIFICATION) == qual &&
			     (!len || vmread(VMCS_EXIT_INSTRUCTION_LENGTH) == len) && vmread(VMCS_GUEST_RIP) == (uint64_t)fn,
		     name, "result %d, error %lu, reason %lu, qual %lx, length %lu, rip +%lx; expected %u, %lx, %u", r,
		     vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION),
		     vmread(VMCS_EXIT_INSTRUCTION_LENGTH), vmread(VMCS_GUEST_RIP) - (uint64_t)fn, reason, qual, len);
}

static void expect_info(const char *name, uint32_t mask, uint32_t info)
{
	check((vmread(VMCS_EXIT_INSTRUCTION_INFO) & mask) == (info & mask), name, "instruction information %lx, expected %x of %x",
	      vmread(VMCS_EXIT_INSTRUCTION_INFO), info, mask);
}

static void expect_exception(const char *name, void (*fn)(void), unsigned vector)
{
	guest_at(fn);
	vmwrite(VMCS_EXCEPTION_BITMAP, ~0ull);
	enter_guest();
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	check(vmread(VMCS_EXIT_REASON) == EXIT_EXCEPTION_NMI && (vmread(VMCS_EXIT_INTR_INFO) & 0xff) == vector, name,
	      "reason %lu, interruption %lx, expected exception %u", vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_INTR_INFO), vector);
}

GUEST(g_cpuid, "cpuid")
GUEST(g_hlt, "hlt")
GUEST(g_invd, "invd")
GUEST(g_wbinvd, "wbinvd")
GUEST(g_invlpg, "invlpg 0x345678")
GUEST(g_rdtsc, "rdtsc")
GUEST(g_rdtscp, "rdtscp")
GUEST(g_rdpid, ".byte 0xf3, 0x0f, 0xc7, 0xf8")
GUEST(g_rdpmc, "rdpmc")
GUEST(g_pause, "pause")
GUEST(g_rdrand, "rdrand %r9")
GUEST(g_rdseed, "rdseed %ecx")
GUEST(g_invpcid, "invpcid scratch, %rax")
GUEST(g_xsetbv, "xsetbv")
GUEST(g_vmclear, "vmclear 8(%rbx)")
GUEST(g_vmptrld, "vmptrld 16(%rbx,%rsi,4)")
GUEST(g_vmptrst, "vmptrst (%rbx)")
GUEST(g_vmxon, "vmxon (%r12)")
GUEST(g_vmxoff, "vmxoff")
GUEST(g_vmlaunch, "vmlaunch")
GUEST(g_vmresume, "vmresume")
GUEST(g_vmread, "vmread %rcx, %r10")
GUEST(g_vmread_mem, "vmread %r11, 32(%rdi)")
GUEST(g_vmwrite, "vmwrite %rdx, %rbp")
GUEST(g_invept, "invept (%rsi), %rdi")
GUEST(g_invvpid, "invvpid -8(%rsi), %r13")
GUEST(g_sgdt, "sgdt (%rbx)")
GUEST(g_sidt, "sidt 4(%rbx)")
GUEST(g_lgdt, "lgdt (%rbx)")
GUEST(g_lidt, "lidt (%rbx)")
GUEST(g_sldt, "sldt %eax")
GUEST(g_str, "str (%rbx)")
GUEST(g_lldt, "lldt %dx")
GUEST(g_ltr, "ltr %cx")
GUEST(g_segment, "vmptrld %fs:64(%ebx,%r9d,8)")
GUEST(g_rip, "vmptrld scratch(%rip)")
GUEST(g_vmfunc, "vmfunc")

/* One instruction that a control makes exit. word: VMCS field of the control; bits 0: always exits. */
struct simple {
	const char *name;
	void (*fn)(void);
	uint32_t word, bits;
	unsigned reason;
	uint64_t qual;
	unsigned len;
};

static const struct simple simple[] = {
	{ "CPUID", g_cpuid, 0, ALWAYS, EXIT_CPUID, 0, 2 },
	{ "INVD", g_invd, 0, ALWAYS, EXIT_INVD, 0, 2 },
	{ "HLT", g_hlt, VMCS_PROC_CONTROLS, PROC_HLT_EXITING, EXIT_HLT, 0, 1 },
	{ "INVLPG", g_invlpg, VMCS_PROC_CONTROLS, PROC_INVLPG_EXITING, EXIT_INVLPG, 0x345678, 8 },
	{ "RDTSC", g_rdtsc, VMCS_PROC_CONTROLS, PROC_RDTSC_EXITING, EXIT_RDTSC, 0, 2 },
	{ "PAUSE", g_pause, VMCS_PROC_CONTROLS, PROC_PAUSE_EXITING, EXIT_PAUSE, 0, 2 },
	{ "WBINVD", g_wbinvd, VMCS_PROC2_CONTROLS, PROC2_WBINVD_EXITING, EXIT_WBINVD, 0, 2 },
	{ "RDRAND", g_rdrand, VMCS_PROC2_CONTROLS, PROC2_RDRAND_EXITING, EXIT_RDRAND, 0, 4 },
	{ "RDSEED", g_rdseed, VMCS_PROC2_CONTROLS, PROC2_RDSEED_EXITING, EXIT_RDSEED, 0, 3 },
};

static void plain(void)
{
	heading("instructions with one control");
	for (unsigned i = 0; i < sizeof(simple) / sizeof(simple[0]); i++) {
		const struct simple *s = &simple[i];

		if (!s->bits) {
			expect(s->name, s->fn, s->reason, s->qual, s->len);
			continue;
		}
		if (s->fn != g_hlt)
			expect(s->name, s->fn, RUNS_ON, 0, 0);
		if (!control_set(s->word, s->bits)) {
			say("skip %s: the control cannot be 1\n", s->name);
			continue;
		}
		expect(s->name, s->fn, s->reason, s->qual, s->len);
		control_clear(s->word, s->bits);
	}
	expect_exception("RDPMC without counters", g_rdpmc, VEC_GP);
	control_set(VMCS_PROC_CONTROLS, PROC_RDPMC_EXITING);
	expect("RDPMC", g_rdpmc, EXIT_RDPMC, 0, 2);
	control_clear(VMCS_PROC_CONTROLS, PROC_RDPMC_EXITING);
	expect_exception("VMFUNC not enabled", g_vmfunc, VEC_UD);
	expect_exception("XSETBV with CR4.OSXSAVE = 0", g_xsetbv, VEC_UD);
}

GUEST(g_pause_loop, "2: pause; dec %rcx; jnz 2b")
GUEST(g_pause_slowly, "2: pause; mov $100, %edx; 3: dec %edx; jnz 3b; dec %rcx; jnz 2b")

/* The loop of RCX rounds exits, or runs to its end; CPL 0 or 3. */
static void pause_loop(const char *name, void (*fn)(void), uint64_t rounds, bool exits)
{
	regs[REG_RCX] = rounds;
	guest_at(fn);
	enter_guest();
	check(vmread(VMCS_EXIT_REASON) == (exits ? EXIT_PAUSE : EXIT_VMCALL), name, "reason %lx, %lu rounds left",
	      vmread(VMCS_EXIT_REASON), regs[REG_RCX]);
}

static void pause_loops(void)
{
	heading("PAUSE-loop exiting");
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_PAUSE_LOOP_EXITING))
		return;
	vmwrite(VMCS_PLE_GAP, 50);
	vmwrite(VMCS_PLE_WINDOW, 4000);
	pause_loop("a loop longer than the window", g_pause_loop, 10000, true);
	check(vmread(VMCS_GUEST_RIP) == (uint64_t)g_pause_loop && vmread(VMCS_EXIT_INSTRUCTION_LENGTH) == 2, "at the PAUSE",
	      "rip +%lx", vmread(VMCS_GUEST_RIP) - (uint64_t)g_pause_loop);
	check(10000 - regs[REG_RCX] > 500, "not before the window is over", "%lu rounds left", regs[REG_RCX]);
	enter_guest();
	check(vmread(VMCS_EXIT_REASON) == EXIT_PAUSE && regs[REG_RCX] < 9000, "after an entry it counts anew", "%lu rounds left",
	      regs[REG_RCX]);
	pause_loop("a short loop", g_pause_loop, 20, false);
	pause_loop("PAUSEs further apart than the gap", g_pause_slowly, 1000, false);
	vmwrite(VMCS_PLE_GAP, 100000);
	pause_loop("the same with a wider gap", g_pause_slowly, 1000, true);
	vmwrite(VMCS_GUEST_CS_AR, 0xa0fb);
	vmwrite(VMCS_GUEST_CS_SELECTOR, SEL_UCODE | 3);
	vmwrite(VMCS_GUEST_SS_AR, 0xc0f3);
	vmwrite(VMCS_GUEST_SS_SELECTOR, SEL_UDATA | 3);
	pause_loop("CPL 3", g_pause_loop, 10000, false);
	control_set(VMCS_PROC_CONTROLS, PROC_PAUSE_EXITING);
	pause_loop("CPL 3 with PAUSE exiting", g_pause_loop, 2, true);
	control_clear(VMCS_PROC_CONTROLS, PROC_PAUSE_EXITING);
	vmwrite(VMCS_GUEST_CS_AR, 0xa09b);
	vmwrite(VMCS_GUEST_CS_SELECTOR, SEL_CODE);
	vmwrite(VMCS_GUEST_SS_AR, 0xc093);
	vmwrite(VMCS_GUEST_SS_SELECTOR, SEL_DATA);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_PAUSE_LOOP_EXITING);
}

/* A bit of CPUID.(7,0):ECX. */
static bool has(unsigned bit)
{
	uint32_t a = 7, b, c = 0, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return c >> bit & 1;
}

static void to_user_mode(bool on)
{
	vmwrite(VMCS_GUEST_CS_AR, on ? 0xa0fb : 0xa09b);
	vmwrite(VMCS_GUEST_CS_SELECTOR, on ? SEL_UCODE | 3 : SEL_CODE);
	vmwrite(VMCS_GUEST_SS_AR, on ? 0xc0f3 : 0xc093);
	vmwrite(VMCS_GUEST_SS_SELECTOR, on ? SEL_UDATA | 3 : SEL_DATA);
}

static void enabled_by_control(void)
{
	bool rdpid = has(22);

	heading("RDTSCP, RDPID, INVPCID");
	expect_exception("RDTSCP not enabled", g_rdtscp, VEC_UD);
	expect_exception("RDPID without RDTSCP", g_rdpid, VEC_UD);
	if (control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_RDTSCP)) {
		expect("RDTSCP enabled", g_rdtscp, RUNS_ON, 0, 0);
		if (rdpid)
			expect("RDPID with RDTSCP", g_rdpid, RUNS_ON, 0, 0);
		control_set(VMCS_PROC_CONTROLS, PROC_RDTSC_EXITING);
		expect("RDTSCP exits", g_rdtscp, EXIT_RDTSCP, 0, 3);
		control_clear(VMCS_PROC_CONTROLS, PROC_RDTSC_EXITING);
	}
	expect_exception("INVPCID not enabled", g_invpcid, VEC_UD);
	if (control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_INVPCID)) {
		regs[REG_RAX] = 2;
		expect("INVPCID enabled", g_invpcid, RUNS_ON, 0, 0);
		control_set(VMCS_PROC_CONTROLS, PROC_INVLPG_EXITING);
		expect("INVPCID exits", g_invpcid, EXIT_INVPCID, (uint64_t)scratch, 10);
		expect_info("INVPCID", BITS(31, 28) | INSN_INFO_NO_BASE | INSN_INFO_NO_INDEX | 0x380,
			    INSN_INFO_NO_BASE | INSN_INFO_NO_INDEX | 2 << INSN_INFO_ASIZE_SHIFT);
		control_clear(VMCS_PROC_CONTROLS, PROC_INVLPG_EXITING);
	}
}

/* Base, index, scale, displacement, registers. */
static void vmx_instructions(void)
{
	const uint32_t mem = INSN_INFO_NO_INDEX | 2 << INSN_INFO_ASIZE_SHIFT | 3 << INSN_INFO_SEG_SHIFT;

	heading("VMX instructions");
	expect("VMXOFF", g_vmxoff, EXIT_VMXOFF, 0, 3);
	expect("VMLAUNCH", g_vmlaunch, EXIT_VMLAUNCH, 0, 3);
	expect("VMRESUME", g_vmresume, EXIT_VMRESUME, 0, 3);
	expect("VMCLEAR", g_vmclear, EXIT_VMCLEAR, 8, 5);
	expect_info("VMCLEAR", BITS(27, 15) | 0x380, mem | REG_RBX << INSN_INFO_BASE_SHIFT);
	expect("VMPTRLD", g_vmptrld, EXIT_VMPTRLD, 16, 5);
	expect_info("VMPTRLD", BITS(27, 15) | 0x383, 2 | 2 << INSN_INFO_ASIZE_SHIFT | 3 << INSN_INFO_SEG_SHIFT |
		    REG_RSI << INSN_INFO_INDEX_SHIFT | REG_RBX << INSN_INFO_BASE_SHIFT);
	expect("VMPTRST", g_vmptrst, EXIT_VMPTRST, 0, 3);
	expect_info("VMPTRST", BITS(27, 15) | 0x380, mem | REG_RBX << INSN_INFO_BASE_SHIFT);
	expect("VMXON", g_vmxon, EXIT_VMXON, 0, 6);
	/* A base of R12 or RSP has SS only for RSP. */
	expect_info("VMXON", BITS(27, 15) | 0x380, mem | 12u << INSN_INFO_BASE_SHIFT);
	expect("VMREAD", g_vmread, EXIT_VMREAD, 0, 4);
	expect_info("VMREAD", 0xf0000478, INSN_INFO_REGISTER | 10 << INSN_INFO_REG1_SHIFT | (uint32_t)REG_RCX << INSN_INFO_REG2_SHIFT);
	expect("VMREAD to memory", g_vmread_mem, EXIT_VMREAD, 32, 5);
	expect_info("VMREAD to memory", BITS(31, 15) | 0x780, mem | REG_RDI << INSN_INFO_BASE_SHIFT |
		    11u << INSN_INFO_REG2_SHIFT);
	expect("VMWRITE", g_vmwrite, EXIT_VMWRITE, 0, 3);
	expect_info("VMWRITE", 0xf0000478, INSN_INFO_REGISTER | REG_RDX << INSN_INFO_REG1_SHIFT |
		    (uint32_t)REG_RBP << INSN_INFO_REG2_SHIFT);
	expect("INVEPT", g_invept, EXIT_INVEPT, 0, 5);
	expect_info("INVEPT", 0xf0000000 | BITS(27, 15), mem | REG_RSI << INSN_INFO_BASE_SHIFT | (uint32_t)REG_RDI << INSN_INFO_REG2_SHIFT);
	expect("INVVPID", g_invvpid, EXIT_INVVPID, (uint64_t)-8, 7);
	expect_info("INVVPID", 0xf0000000 | BITS(27, 15), mem | REG_RSI << INSN_INFO_BASE_SHIFT | 13u << INSN_INFO_REG2_SHIFT);
}

/* What the manual gives an instruction information for, in its other forms: segment, 32-bit addresses, RIP. */
static void operands(void)
{
	expect("segment and address size", g_segment, EXIT_VMPTRLD, 64, 8);
	expect_info("segment and address size", BITS(27, 15) | 0x383, 3 | 1 << INSN_INFO_ASIZE_SHIFT | 4 << INSN_INFO_SEG_SHIFT |
		    9u << INSN_INFO_INDEX_SHIFT | REG_RBX << INSN_INFO_BASE_SHIFT);
	expect("relative to RIP", g_rip, EXIT_VMPTRLD, (uint64_t)scratch, 7);
	expect_info("relative to RIP", INSN_INFO_NO_BASE | INSN_INFO_NO_INDEX | 0x380,
		    INSN_INFO_NO_BASE | INSN_INFO_NO_INDEX | 2 << INSN_INFO_ASIZE_SHIFT);
}

static void descriptor_tables(void)
{
	const uint32_t mem = INSN_INFO_NO_INDEX | 2 << INSN_INFO_ASIZE_SHIFT | 3 << INSN_INFO_SEG_SHIFT |
			     REG_RBX << INSN_INFO_BASE_SHIFT;
	const uint32_t mask = BITS(29, 28) | BITS(27, 15) | 0x780;

	heading("descriptor tables");
	regs[REG_RBX] = (uint64_t)scratch;
	expect("SGDT", g_sgdt, RUNS_ON, 0, 0);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_DESC_TABLE_EXITING))
		return;
	expect("SGDT", g_sgdt, EXIT_GDTR_IDTR, 0, 3);
	expect_info("SGDT", mask, mem);
	expect("SIDT", g_sidt, EXIT_GDTR_IDTR, 4, 4);
	expect_info("SIDT", mask, mem | 1 << INSN_INFO_ID_SHIFT);
	expect("LGDT", g_lgdt, EXIT_GDTR_IDTR, 0, 3);
	expect_info("LGDT", mask, mem | 2 << INSN_INFO_ID_SHIFT);
	expect("LIDT", g_lidt, EXIT_GDTR_IDTR, 0, 3);
	expect_info("LIDT", mask, mem | 3 << INSN_INFO_ID_SHIFT);
	if (has(2)) { /* UMIP: its #GP comes before the exit */
		to_user_mode(true);
		expect("SGDT at CPL 3", g_sgdt, EXIT_GDTR_IDTR, 0, 3);
		vmwrite(VMCS_GUEST_CR4, read_cr4() | CR4_UMIP);
		expect_exception("SGDT under UMIP", g_sgdt, VEC_GP);
		expect_exception("STR under UMIP", g_str, VEC_GP);
		vmwrite(VMCS_GUEST_CR4, read_cr4());
		to_user_mode(false);
	}
	expect("SLDT", g_sldt, EXIT_LDTR_TR, 0, 3);
	expect_info("SLDT", BITS(29, 28) | 0x478, INSN_INFO_REGISTER | REG_RAX << INSN_INFO_REG1_SHIFT);
	expect("STR", g_str, EXIT_LDTR_TR, 0, 3);
	expect_info("STR", mask, mem | 1 << INSN_INFO_ID_SHIFT);
	expect("LLDT", g_lldt, EXIT_LDTR_TR, 0, 3);
	expect_info("LLDT", BITS(29, 28) | 0x478, 2 << INSN_INFO_ID_SHIFT | INSN_INFO_REGISTER | REG_RDX << INSN_INFO_REG1_SHIFT);
	expect("LTR", g_ltr, EXIT_LDTR_TR, 0, 3);
	expect_info("LTR", BITS(29, 28) | 0x478, 3 << INSN_INFO_ID_SHIFT | INSN_INFO_REGISTER | REG_RCX << INSN_INFO_REG1_SHIFT);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_DESC_TABLE_EXITING);
}

GUEST(g_to_cr0, "mov %rsi, %cr0")
GUEST(g_to_cr3, "mov %rdx, %cr3")
GUEST(g_to_cr4, "mov %r11, %cr4")
GUEST(g_to_cr8, "mov %r9, %cr8")
GUEST(g_from_cr0, "mov %cr0, %rcx")
GUEST(g_from_cr3, "mov %cr3, %rbp")
GUEST(g_from_cr4, "mov %cr4, %rcx")
GUEST(g_from_cr8, "mov %cr8, %rbx")
GUEST(g_clts, "clts")
GUEST(g_lmsw, "lmsw %ax")
GUEST(g_lmsw_mem, "lmsw (%rbx)")
GUEST(g_smsw, "smsw %rcx")
GUEST(g_to_dr6, "mov %r8, %dr6")
GUEST(g_from_dr7, "mov %dr7, %rdi")

#define CR(n, access, gpr) ((n) | (access) << QUAL_CR_ACCESS_SHIFT | (uint64_t)(gpr) << QUAL_CR_GPR_SHIFT)

static void cr0(void)
{
	uint64_t real = read_cr0();

	heading("CR0");
	regs[REG_RSI] = real | CR0_TS;
	expect("MOV to CR0 unmasked", g_to_cr0, RUNS_ON, 0, 0);
	check(vmread(VMCS_GUEST_CR0) == (real | CR0_TS), "CR0 changed", "%lx", vmread(VMCS_GUEST_CR0));
	vmwrite(VMCS_GUEST_CR0, real);
	vmwrite(VMCS_CR0_MASK, CR0_TS | CR0_NE);
	vmwrite(VMCS_CR0_READ_SHADOW, CR0_TS);
	expect("MOV from CR0", g_from_cr0, RUNS_ON, 0, 0);
	check(regs[REG_RCX] == ((real & ~CR0_NE) | CR0_TS), "CR0 reads its shadow", "%lx", regs[REG_RCX]);
	expect("SMSW", g_smsw, RUNS_ON, 0, 0);
	check(regs[REG_RCX] == ((real & ~CR0_NE) | CR0_TS), "SMSW reads the shadow", "%lx", regs[REG_RCX]);
	regs[REG_RSI] = (real & ~CR0_NE) | CR0_TS;
	expect("MOV to CR0 as the shadow", g_to_cr0, RUNS_ON, 0, 0);
	check(vmread(VMCS_GUEST_CR0) == real, "masked bits of CR0 stay", "%lx", vmread(VMCS_GUEST_CR0));
	regs[REG_RSI] = real & ~CR0_NE;
	expect("MOV to CR0 other than the shadow", g_to_cr0, EXIT_CR_ACCESS, CR(0, QUAL_CR_MOV_TO, REG_RSI), 3);
	expect("CLTS, shadow 1", g_clts, EXIT_CR_ACCESS, CR(0, QUAL_CR_CLTS, 0), 2);
	vmwrite(VMCS_CR0_READ_SHADOW, 0);
	vmwrite(VMCS_GUEST_CR0, real | CR0_TS);
	expect("CLTS, shadow 0", g_clts, RUNS_ON, 0, 0);
	check(vmread(VMCS_GUEST_CR0) & CR0_TS, "CLTS does nothing to a masked bit", "%lx", vmread(VMCS_GUEST_CR0));
	vmwrite(VMCS_GUEST_CR0, real);
	regs[REG_RAX] = 0xfff9;
	expect("LMSW", g_lmsw, EXIT_CR_ACCESS, CR(0, QUAL_CR_LMSW, 0) | 0xfff9ull << QUAL_CR_LMSW_SHIFT, 3);
	*(uint16_t *)scratch = CR0_TS;
	regs[REG_RBX] = (uint64_t)scratch;
	expect("LMSW from memory", g_lmsw_mem, EXIT_CR_ACCESS,
	       CR(0, QUAL_CR_LMSW, 0) | QUAL_CR_LMSW_MEMORY | (uint64_t)CR0_TS << QUAL_CR_LMSW_SHIFT, 3);
	check(vmread(VMCS_GUEST_LINEAR_ADDRESS) == (uint64_t)scratch, "LMSW's linear address", "%lx", vmread(VMCS_GUEST_LINEAR_ADDRESS));
	regs[REG_RAX] = 1;
	expect("LMSW as the shadow", g_lmsw, RUNS_ON, 0, 0);
	vmwrite(VMCS_CR0_MASK, CR0_PE);
	vmwrite(VMCS_CR0_READ_SHADOW, CR0_PE);
	regs[REG_RAX] = 0;
	expect("LMSW cannot clear PE", g_lmsw, RUNS_ON, 0, 0);
	vmwrite(VMCS_CR0_MASK, 0);
	regs[REG_RSI] = real & ~CR0_NE;
	expect_exception("CR0.NE is fixed", g_to_cr0, VEC_GP);
	regs[REG_RSI] = real & ~CR0_PG;
	expect_exception("CR0.PG is fixed", g_to_cr0, VEC_GP);
	vmwrite(VMCS_GUEST_CR0, real);
}

static void cr3(void)
{
	uint64_t real = read_cr3();

	heading("CR3");
	regs[REG_RDX] = real;
	expect("MOV to CR3", g_to_cr3, RUNS_ON, 0, 0);
	expect("MOV from CR3", g_from_cr3, RUNS_ON, 0, 0);
	check(regs[REG_RBP] == real, "CR3", "%lx", regs[REG_RBP]);
	control_set(VMCS_PROC_CONTROLS, PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING);
	expect("MOV to CR3 exits", g_to_cr3, EXIT_CR_ACCESS, CR(3, QUAL_CR_MOV_TO, REG_RDX), 3);
	expect("MOV from CR3 exits", g_from_cr3, EXIT_CR_ACCESS, CR(3, QUAL_CR_MOV_FROM, REG_RBP), 3);
	vmwrite(VMCS_CR3_TARGET_VALUE_2, real);
	vmwrite(VMCS_CR3_TARGET_COUNT, 2);
	expect("not among the targets in use", g_to_cr3, EXIT_CR_ACCESS, CR(3, QUAL_CR_MOV_TO, REG_RDX), 3);
	vmwrite(VMCS_CR3_TARGET_COUNT, 3);
	expect("CR3 target", g_to_cr3, RUNS_ON, 0, 0);
	vmwrite(VMCS_CR3_TARGET_COUNT, 0);
	control_clear(VMCS_PROC_CONTROLS, PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING);
}

static void cr4_cr8(void)
{
	uint64_t real = read_cr4();

	heading("CR4, CR8, debug registers");
	vmwrite(VMCS_CR4_MASK, CR4_VMXE | CR4_PGE);
	vmwrite(VMCS_CR4_READ_SHADOW, CR4_PGE);
	expect("MOV from CR4", g_from_cr4, RUNS_ON, 0, 0);
	check(regs[REG_RCX] == ((real & ~CR4_VMXE) | CR4_PGE), "CR4 reads its shadow", "%lx", regs[REG_RCX]);
	regs[11] = (real & ~CR4_VMXE) | CR4_PGE | CR4_DE;
	expect("MOV to CR4 as the shadow", g_to_cr4, RUNS_ON, 0, 0);
	check(vmread(VMCS_GUEST_CR4) == (real | CR4_DE), "CR4 merged", "%lx", vmread(VMCS_GUEST_CR4));
	vmwrite(VMCS_GUEST_CR4, real);
	regs[11] = real | CR4_PGE;
	expect("MOV to CR4 other than the shadow", g_to_cr4, EXIT_CR_ACCESS, CR(4, QUAL_CR_MOV_TO, 11), 4);
	vmwrite(VMCS_CR4_MASK, 0);
	regs[11] = real & ~CR4_VMXE;
	expect_exception("CR4.VMXE is fixed", g_to_cr4, VEC_GP);
	regs[9] = 0;
	expect("MOV to CR8", g_to_cr8, RUNS_ON, 0, 0);
	control_set(VMCS_PROC_CONTROLS, PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING);
	expect("MOV to CR8 exits", g_to_cr8, EXIT_CR_ACCESS, CR(8, QUAL_CR_MOV_TO, 9), 4);
	expect("MOV from CR8 exits", g_from_cr8, EXIT_CR_ACCESS, CR(8, QUAL_CR_MOV_FROM, REG_RBX), 4);
	control_clear(VMCS_PROC_CONTROLS, PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING);
	regs[8] = DR6_INIT;
	expect("MOV to DR6", g_to_dr6, RUNS_ON, 0, 0);
	control_set(VMCS_PROC_CONTROLS, PROC_MOV_DR_EXITING);
	expect("MOV to DR6 exits", g_to_dr6, EXIT_DR_ACCESS, 6 | 8 << QUAL_DR_GPR_SHIFT, 4);
	expect("MOV from DR7 exits", g_from_dr7, EXIT_DR_ACCESS, 7 | QUAL_DR_FROM | REG_RDI << QUAL_DR_GPR_SHIFT, 3);
	control_clear(VMCS_PROC_CONTROLS, PROC_MOV_DR_EXITING);
}

GUEST(g_out_imm, "outb %al, $0x80")
GUEST(g_out_dx, "outw %ax, %dx")
GUEST(g_in_dx, "inl %dx, %eax")
GUEST(g_outs, "rep outsb")
GUEST(g_ins, "insl")

#define IO(port, size, more) (((size) - 1) | (uint64_t)(port) << QUAL_IO_PORT_SHIFT | (more))

static void bitmap_bit(uint8_t *map, unsigned bit, bool set)
{
	map[bit / 8] = (uint8_t)((map[bit / 8] & ~(1 << bit % 8)) | set << bit % 8);
}

static void io(void)
{
	heading("port I/O");
	regs[REG_RDX] = 0x80;
	expect("OUT", g_out_imm, RUNS_ON, 0, 0);
	control_set(VMCS_PROC_CONTROLS, PROC_UNCOND_IO_EXITING);
	expect("OUT imm8", g_out_imm, EXIT_IO, IO(0x80, 1, QUAL_IO_IMMEDIATE), 2);
	expect("OUT DX", g_out_dx, EXIT_IO, IO(0x80, 2, 0), 2);
	expect("IN DX", g_in_dx, EXIT_IO, IO(0x80, 4, QUAL_IO_IN), 1);
	regs[REG_RSI] = (uint64_t)scratch;
	regs[REG_RCX] = 3;
	expect("REP OUTSB", g_outs, EXIT_IO, IO(0x80, 1, QUAL_IO_STRING | QUAL_IO_REP), 2);
	check(vmread(VMCS_GUEST_LINEAR_ADDRESS) == (uint64_t)scratch, "OUTS's linear address", "%lx", vmread(VMCS_GUEST_LINEAR_ADDRESS));
	expect_info("OUTS", 0x38380, 2 << INSN_INFO_ASIZE_SHIFT | 3 << INSN_INFO_SEG_SHIFT);
	regs[REG_RDI] = (uint64_t)scratch + 8;
	expect("INSL", g_ins, EXIT_IO, IO(0x80, 4, QUAL_IO_STRING | QUAL_IO_IN), 1);
	check(vmread(VMCS_GUEST_LINEAR_ADDRESS) == (uint64_t)scratch + 8, "INS's linear address", "%lx", vmread(VMCS_GUEST_LINEAR_ADDRESS));
	vmwrite(VMCS_IO_BITMAP_A, (uint64_t)bitmap_a);
	vmwrite(VMCS_IO_BITMAP_B, (uint64_t)bitmap_b);
	control_set(VMCS_PROC_CONTROLS, PROC_IO_BITMAPS);
	expect("bitmaps override unconditional exiting", g_out_imm, RUNS_ON, 0, 0);
	bitmap_bit(bitmap_a, 0x80, true);
	expect("bitmap A", g_out_imm, EXIT_IO, IO(0x80, 1, QUAL_IO_IMMEDIATE), 2);
	regs[REG_RDX] = 0x7f;
	expect("second byte of an access", g_out_dx, EXIT_IO, IO(0x7f, 2, 0), 2);
	bitmap_bit(bitmap_a, 0x80, false);
	regs[REG_RDX] = 0x8000;
	expect("bitmap B clear", g_out_dx, RUNS_ON, 0, 0);
	bitmap_bit(bitmap_b, 1, true);
	expect("bitmap B", g_out_dx, EXIT_IO, IO(0x8000, 2, 0), 2);
	bitmap_bit(bitmap_b, 1, false);
	regs[REG_RDX] = 0xffff;
	expect("wrap-around", g_out_dx, EXIT_IO, IO(0xffff, 2, 0), 2);
	control_clear(VMCS_PROC_CONTROLS, PROC_IO_BITMAPS | PROC_UNCOND_IO_EXITING);
}

GUEST(g_rdmsr, "rdmsr")
GUEST(g_wrmsr, "wrmsr")

static void msr_case(uint32_t msr, unsigned bit, bool known)
{
	regs[REG_RCX] = msr;
	regs[REG_RAX] = regs[REG_RDX] = 0;
	if (known)
		expect("RDMSR, bit clear", g_rdmsr, RUNS_ON, 0, 0);
	regs[REG_RCX] = msr;
	bitmap_bit(bitmap_a, bit, true);
	expect("RDMSR, bit set", g_rdmsr, EXIT_RDMSR, 0, 2);
	bitmap_bit(bitmap_a, bit, false);
	regs[REG_RAX] = regs[REG_RDX] = 0;
	if (known)
		expect("WRMSR, bit clear", g_wrmsr, RUNS_ON, 0, 0);
	regs[REG_RCX] = msr;
	bitmap_bit(bitmap_a, bit + 8 * MSR_BITMAP_WRITE_LOW, true);
	expect("WRMSR, bit set", g_wrmsr, EXIT_WRMSR, 0, 2);
	bitmap_bit(bitmap_a, bit + 8 * MSR_BITMAP_WRITE_LOW, false);
}

static void msrs(void)
{
	heading("MSRs");
	regs[REG_RCX] = IA32_SYSENTER_CS;
	expect("RDMSR without bitmaps", g_rdmsr, EXIT_RDMSR, 0, 2);
	expect("WRMSR without bitmaps", g_wrmsr, EXIT_WRMSR, 0, 2);
	if (!control_set(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS))
		return;
	vmwrite(VMCS_MSR_BITMAP, (uint64_t)bitmap_a);
	msr_case(IA32_SYSENTER_CS, IA32_SYSENTER_CS, true);
	msr_case(IA32_KERNEL_GS_BASE, 8 * MSR_BITMAP_READ_HIGH + 0x102, true);
	msr_case(0x1fff, 0x1fff, false);
	msr_case(0xc0001fff, 8 * MSR_BITMAP_READ_HIGH + 0x1fff, false);
	regs[REG_RCX] = 0x2000;
	expect("RDMSR between the ranges", g_rdmsr, EXIT_RDMSR, 0, 2);
	regs[REG_RCX] = 0xbfffffff;
	expect("WRMSR between the ranges", g_wrmsr, EXIT_WRMSR, 0, 2);
	control_clear(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS);
}

static uint64_t tsc(void)
{
	uint32_t lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return lo | (uint64_t)hi << 32;
}

static void tsc_offset(void)
{
	const uint64_t offset = 1ull << 45;
	uint64_t before, got, after;

	heading("TSC offset");
	vmwrite(VMCS_TSC_OFFSET, offset);
	control_set(VMCS_PROC_CONTROLS, PROC_TSC_OFFSETTING);
	before = tsc();
	expect("RDTSC", g_rdtsc, RUNS_ON, 0, 0);
	after = tsc();
	got = (uint32_t)regs[REG_RAX] | regs[REG_RDX] << 32;
	check(got >= before + offset && got <= after + offset, "RDTSC with an offset", "%lx, between %lx and %lx", got, before, after);
	if (control_set(VMCS_PROC2_CONTROLS, PROC2_TSC_SCALING)) {
		vmwrite(VMCS_TSC_MULTIPLIER, 3ull << 46); /* three quarters */
		before = tsc();
		expect("RDTSC", g_rdtsc, RUNS_ON, 0, 0);
		after = tsc();
		got = (uint32_t)regs[REG_RAX] | regs[REG_RDX] << 32;
		check(got >= before / 4 * 3 + offset && got <= after / 4 * 3 + 3 + offset, "RDTSC scaled", "%lx, between %lx and %lx",
		      got, before / 4 * 3 + offset, after / 4 * 3 + offset);
		control_clear(VMCS_PROC2_CONTROLS, PROC2_TSC_SCALING);
	}
	control_clear(VMCS_PROC_CONTROLS, PROC_TSC_OFFSETTING);
	expect("RDTSC", g_rdtsc, RUNS_ON, 0, 0);
	got = (uint32_t)regs[REG_RAX] | regs[REG_RDX] << 32;
	check(got < offset, "RDTSC without it", "%lx", got);
}

GUEST(g_getsec, ".byte 0x0f, 0x37")
GUEST(g_rsm, "rsm")
GUEST(g_encls, ".byte 0x0f, 0x01, 0xcf")
GUEST(g_enclv, ".byte 0x0f, 0x01, 0xc0")
GUEST(g_pconfig, ".byte 0x0f, 0x01, 0xc5")
GUEST(g_umwait, ".byte 0xf2, 0x0f, 0xae, 0xf1")
GUEST(g_tpause, ".byte 0x66, 0x0f, 0xae, 0xf1")

/* #UD comes before any exit: instructions that this CPU does not enumerate, GETSEC without CR4.SMXE, RSM outside SMM. */
static void not_there(void)
{
	static const struct {
		void (*fn)(void);
		const char *name;
		uint32_t leaf7; /* bits of CPUID.07H:ECX or EDX that enumerate it; 0: always */
		bool edx;
	} insns[] = {
		{ g_getsec, "GETSEC", 0, false }, { g_rsm, "RSM", 0, false }, { g_encls, "ENCLS", 1u << 30, false },
		{ g_enclv, "ENCLV", 1u << 30, false }, { g_pconfig, "PCONFIG", 1u << 18, true }, { g_umwait, "UMWAIT", 1u << 5, false },
		{ g_tpause, "TPAUSE", 1u << 5, false },
	};
	uint32_t a = 7, b, c = 0, d;

	heading("instructions that are not there");
	asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	for (unsigned i = 0; i < sizeof(insns) / sizeof(insns[0]); i++)
		if (!((insns[i].edx ? d : c) & insns[i].leaf7))
			expect_exception(insns[i].name, insns[i].fn, VEC_UD);
}

static void xsetbv(void)
{
	uint32_t a = 1, b, c, d;

	asm volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
	if (!(c & 1u << 26))
		return;
	heading("XSETBV");
	vmwrite(VMCS_GUEST_CR4, read_cr4() | CR4_OSXSAVE);
	regs[REG_RCX] = 0;
	regs[REG_RAX] = 1;
	regs[REG_RDX] = 0;
	expect("XSETBV", g_xsetbv, EXIT_XSETBV, 0, 3);
	regs[REG_RAX] = 0; /* would be #GP */
	expect("XSETBV of a value that it may not have", g_xsetbv, EXIT_XSETBV, 0, 3);
	vmwrite(VMCS_GUEST_CR4, read_cr4());
}

GUEST(g_new_state, "mov %rbx, %dr7; wrmsr")

/* What exits save only if a control says so. SDM 3C "Saving Control Registers, Debug Registers, and MSRs" (28.3.1). */
/* False: this model has not the MSR, or not the value. */
static bool saved(const char *name, uint32_t control, uint32_t field, uint64_t want, uint32_t msr, uint64_t value)
{
	const uint64_t before = vmread(field);

	for (unsigned on = 0; on < 2; on++) {
		control_clear(VMCS_EXIT_CONTROLS, control);
		if (on ? !control_set(VMCS_EXIT_CONTROLS, control) : vmread(VMCS_EXIT_CONTROLS) & rdmsr(IA32_VMX_TRUE_EXIT_CTLS) & control)
			continue;
		regs[REG_RCX] = msr;
		regs[REG_RAX] = (uint32_t)value;
		regs[REG_RDX] = value >> 32;
		regs[REG_RBX] = DR7_INIT | 1;
		guest_at(g_new_state);
		vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_GP);
		enter_guest();
		vmwrite(VMCS_EXCEPTION_BITMAP, 0);
		if (vmread(VMCS_EXIT_REASON) == EXIT_EXCEPTION_NMI) {
			say("skip %s: not in this model\n", name);
			control_clear(VMCS_EXIT_CONTROLS, control);
			return false;
		}
		check(vmread(VMCS_EXIT_REASON) == EXIT_VMCALL && vmread(field) == (on ? want : before), name, "reason %lu, %lx, expected %lx",
		      vmread(VMCS_EXIT_REASON), vmread(field), on ? want : before);
	}
	control_clear(VMCS_EXIT_CONTROLS, control);
	vmwrite(field, before);
	return true;
}

static void saves(void)
{
	static uint8_t no_exits[4096] __attribute__((aligned(4096)));
	const uint64_t pat = (PAT_RESET & ~0xffull) | MEMTYPE_WC;
	bool debugctl;

	heading("what exits save");
	if (!control_set(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS))
		return;
	vmwrite(VMCS_MSR_BITMAP, (uint64_t)no_exits);
	control_set(VMCS_ENTRY_CONTROLS, VMENTRY_LOAD_DEBUG_CONTROLS | VMENTRY_LOAD_PAT);
	control_set(VMCS_EXIT_CONTROLS, VMEXIT_LOAD_PAT);
	saved("IA32_PAT", VMEXIT_SAVE_PAT, VMCS_GUEST_IA32_PAT, pat, IA32_PAT, pat);
	debugctl = saved("IA32_DEBUGCTL", VMEXIT_SAVE_DEBUG_CONTROLS, VMCS_GUEST_IA32_DEBUGCTL, DEBUGCTL_BTF, IA32_DEBUGCTL, DEBUGCTL_BTF);
	saved("DR7", VMEXIT_SAVE_DEBUG_CONTROLS, VMCS_GUEST_DR7, DR7_INIT | 1, IA32_PAT, PAT_RESET);
	check(rdmsr(IA32_PAT) == PAT_RESET, "the host's IA32_PAT", "%lx", rdmsr(IA32_PAT));
	if (debugctl)
		check(rdmsr(IA32_DEBUGCTL) == 0, "the host's IA32_DEBUGCTL", "%lx", rdmsr(IA32_DEBUGCTL));
	control_clear(VMCS_EXIT_CONTROLS, VMEXIT_LOAD_PAT);
	control_clear(VMCS_ENTRY_CONTROLS, VMENTRY_LOAD_DEBUG_CONTROLS | VMENTRY_LOAD_PAT);
	control_clear(VMCS_PROC_CONTROLS, PROC_MSR_BITMAPS);
}

/* The VM exit finds and leaves what it must. */
static void state(void)
{
	heading("state across entry and exit");
	guest_at(g_cpuid);
	vmwrite(VMCS_GUEST_RFLAGS, 0xcd7);
	for (unsigned i = 0; i < 16; i++)
		regs[i] = 0x1111111111111111ull * i;
	enter_guest();
	check(vmread(VMCS_GUEST_RFLAGS) == 0xcd7, "RFLAGS", "%lx", vmread(VMCS_GUEST_RFLAGS));
	for (unsigned i = 0; i < 16; i++)
		check(i == REG_RSP || regs[i] == 0x1111111111111111ull * i, "register", "%u: %lx", i, regs[i]);
	check(vmread(VMCS_GUEST_CS_SELECTOR) == SEL_CODE && vmread(VMCS_GUEST_CS_AR) == 0xa09b, "CS", "%lx %lx",
	      vmread(VMCS_GUEST_CS_SELECTOR), vmread(VMCS_GUEST_CS_AR));
	check(vmread(VMCS_GUEST_TR_AR) == 0x8b && vmread(VMCS_GUEST_TR_LIMIT) == 0x67, "TR", "%lx", vmread(VMCS_GUEST_TR_AR));
	check(vmread(VMCS_GUEST_LDTR_AR) & VMX_AR_UNUSABLE, "LDTR", "%lx", vmread(VMCS_GUEST_LDTR_AR));
	check(vmread(VMCS_GUEST_GDTR_LIMIT) == 0xff, "GDTR limit", "%lx", vmread(VMCS_GUEST_GDTR_LIMIT));
	check(vmread(VMCS_IDT_VECTORING_INFO) == 0, "no event was under way", "%lx", vmread(VMCS_IDT_VECTORING_INFO));
	struct __attribute__((packed)) { uint16_t limit; uint64_t base; } gdtr;
	asm volatile("sgdt %0" : "=m"(gdtr));
	check(gdtr.limit == 0xffff && gdtr.base == (uint64_t)gdt, "host GDTR after the exit", "%x %lx", gdtr.limit, gdtr.base);
}

int main(void)
{
	if (!check(vmx_start(), "VMXON", "failed"))
		return 1;
	vmcs_fresh(guest_vmcall);
	plain();
	pause_loops();
	enabled_by_control();
	vmx_instructions();
	operands();
	descriptor_tables();
	cr0();
	cr3();
	cr4_cr8();
	io();
	msrs();
	tsc_offset();
	not_there();
	xsetbv();
	saves();
	state();
	return failures() != 0;
}
