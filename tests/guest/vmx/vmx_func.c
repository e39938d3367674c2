/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VM functions: VMFUNC with EPTP switching, when it is #UD, when it exits, and the rules of VM entry. Virtualization
 * exceptions: which EPT violations become #VE, what the information area says. Mode-based execute control; walks of five
 * levels; the advanced information of EPT violations. SDM 3C "VM Functions" (26.5.6), "Virtualization Exceptions"
 * (26.5.7), "EPT Violations" (29.3.3.2).
 */
#include "lib.h"

#define GUEST(name, insns) \
	static __attribute__((naked)) void name(void) { asm(insns "\n1: vmcall; jmp 1b"); }

GUEST(g_func, "vmfunc")
GUEST(g_func_twice, "vmfunc; mov (%rbx), %rsi; inc %ecx; vmfunc; mov (%rbx), %rdi")
GUEST(g_read, "mov (%rbx), %rax")
GUEST(g_write, "mov %rax, (%rbx)")
GUEST(g_jump, "jmp *%rbx")

static uint8_t page[2 * 4096] __attribute__((aligned(4096)));
static uint64_t eptp_list[1024] __attribute__((aligned(4096))); /* and what lies behind the list */
static uint64_t second[3][512] __attribute__((aligned(4096))); /* PML4, PDPT, PD of another EPT: shares the rest */
static uint64_t second_pt[512] __attribute__((aligned(4096)));
static uint64_t pml5[512] __attribute__((aligned(4096)));
static uint8_t info[4096] __attribute__((aligned(4096)));
static uint64_t eptp;

#define AT ((uint64_t)page)

static void flush(void)
{
	invept(INVEPT_ALL, 0, 0);
}

static bool run(const char *name, void (*fn)(void), unsigned want)
{
	int r;

	guest_at(fn);
	r = enter_guest();
	return check(r == 0 && vmread(VMCS_EXIT_REASON) == want, name,
		     "result %d, error %lu, reason %lu, qual %lx, gpa %lx, intr %lx; expected %u", r,
		     vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION),
		     vmread(VMCS_GUEST_PHYSICAL_ADDRESS), vmread(VMCS_EXIT_INTR_INFO), want);
}

static void exception(const char *name, void (*fn)(void), unsigned vector)
{
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << vector);
	if (run(name, fn, EXIT_EXCEPTION_NMI))
		check((vmread(VMCS_EXIT_INTR_INFO) & (INTR_INFO_VECTOR | INTR_INFO_ERROR_VALID)) == vector, name, "information %lx",
		      vmread(VMCS_EXIT_INTR_INFO));
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
}

static void entry_fails(const char *name)
{
	guest_at(guest_vmcall);
	int r = enter_guest();

	check(r == 1 && vmread(VMCS_INSTRUCTION_ERROR) == VMXERR_ENTRY_BAD_CONTROLS, name, "result %d, error %lu", r,
	      vmread(VMCS_INSTRUCTION_ERROR));
}

/* As ept_identity(), but page's first frame is the second one. */
static uint64_t second_ept(void)
{
	const uint64_t *first = (const uint64_t *)(eptp & EPTP_ADDRESS), *pdpt = (const uint64_t *)(first[0] & EPT_ADDRESS);
	const uint64_t *pd = (const uint64_t *)(pdpt[0] & EPT_ADDRESS), *pt = (const uint64_t *)(pd[0] & EPT_ADDRESS);

	for (unsigned i = 0; i < 512; i++) {
		second[1][i] = pdpt[i];
		second[2][i] = pd[i];
		second_pt[i] = pt[i];
	}
	second[0][0] = (uint64_t)second[1] | EPT_RWX;
	second[1][0] = (uint64_t)second[2] | EPT_RWX;
	second[2][0] = (uint64_t)second_pt | EPT_RWX;
	second_pt[AT >> 12] = (second_pt[AT >> 12] & ~EPT_ADDRESS) | (AT + 4096);
	return (uint64_t)second[0] | EPTP_WALK_4 | MEMTYPE_WB;
}

static void func_exits(const char *name, uint64_t rax, uint64_t rcx)
{
	regs[REG_RAX] = rax;
	regs[REG_RCX] = rcx;
	if (!run(name, g_func, EXIT_VMFUNC))
		return;
	check(vmread(VMCS_EXIT_INSTRUCTION_LENGTH) == 3 && vmread(VMCS_GUEST_RIP) == (uint64_t)g_func, name, "length %lu, rip %lx",
	      vmread(VMCS_EXIT_INSTRUCTION_LENGTH), vmread(VMCS_GUEST_RIP));
	check(vmread(VMCS_EPT_POINTER) == eptp, name, "EPTP %lx", vmread(VMCS_EPT_POINTER));
}

static void undefined(const char *name, uint64_t rax)
{
	regs[REG_RAX] = rax;
	regs[REG_RCX] = 0;
	exception(name, g_func, VEC_UD);
}

static void vmfunc_rules(void)
{
	heading("VMFUNC");
	undefined("not enabled", 0);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_VMFUNC) || !(rdmsr(IA32_VMX_VMFUNC) & VMFUNC_EPTP_SWITCHING)) {
		say("skip: no EPTP switching\n");
		return;
	}
	vmwrite(VMCS_VMFUNC_CONTROLS, 0);
	func_exits("function 0 not enabled", 0, 0);
	func_exits("function 63", 63, 0);
	undefined("function 64", 64);
	undefined("function FFFFFFFFH", 0xffffffff);
	vmwrite(VMCS_VMFUNC_CONTROLS, 2);
	entry_fails("a function that there is not");
	vmwrite(VMCS_VMFUNC_CONTROLS, VMFUNC_EPTP_SWITCHING);
	vmwrite(VMCS_EPTP_LIST_ADDR, (uint64_t)eptp_list | 8);
	entry_fails("list not aligned");
	vmwrite(VMCS_EPTP_LIST_ADDR, (uint64_t)eptp_list | 1ull << 51);
	entry_fails("list beyond the width");
	vmwrite(VMCS_EPTP_LIST_ADDR, (uint64_t)eptp_list);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
	entry_fails("EPTP switching without EPT");
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
}

static void switching(void)
{
	static const struct {
		uint64_t xor;
		const char *name;
	} bad[] = {
		{ 1 << EPTP_WALK_SHIFT, "walk length" }, { 1 << 8, "reserved bit" }, { 1ull << 51, "address beyond the width" },
		{ MEMTYPE_WB ^ 1, "memory type" },
	};

	if (!(vmread(VMCS_PROC2_CONTROLS) & PROC2_ENABLE_VMFUNC))
		return;
	heading("EPTP switching");
	*(uint64_t *)page = 0xaaaa;
	*(uint64_t *)(page + 4096) = 0xbbbb;
	eptp_list[0] = eptp_list[8] = second_ept();
	eptp_list[1] = eptp_list[511] = eptp_list[512] = eptp;
	regs[REG_RBX] = AT;
	regs[REG_RCX] = 0;
	regs[REG_RAX] = VMFUNC_NUMBER_EPTP_SWITCHING;
	for (unsigned i = 0; i < 2; i++) { /* the second time everything is cached */
		regs[REG_RCX] = 0;
		run("there and back", g_func_twice, EXIT_VMCALL);
		check(regs[REG_RSI] == 0xbbbb && regs[REG_RDI] == 0xaaaa, "there and back", "%lx, %lx", regs[REG_RSI],
		      regs[REG_RDI]);
		check(vmread(VMCS_EPT_POINTER) == eptp, "there and back", "EPTP %lx", vmread(VMCS_EPT_POINTER));
	}
	regs[REG_RCX] = 8;
	run("there", g_func, EXIT_VMCALL);
	check(vmread(VMCS_EPT_POINTER) == eptp_list[8], "there", "EPTP %lx", vmread(VMCS_EPT_POINTER));
	regs[REG_RCX] = 0xff000000000001ff; /* ECX counts */
	run("the last of the list", g_func, EXIT_VMCALL);
	check(vmread(VMCS_EPT_POINTER) == eptp, "the last of the list", "EPTP %lx", vmread(VMCS_EPT_POINTER));
	func_exits("index 512", 0, 512);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		eptp_list[8] = eptp_list[0] ^ bad[i].xor;
		func_exits(bad[i].name, 0, 8);
	}
	eptp_list[8] = 0;
	func_exits("an empty entry", 0, 8);
}

/* --- #VE --- */

static uint32_t word(unsigned offset)
{
	return *(volatile uint32_t *)(info + offset);
}

static uint64_t quad(unsigned offset)
{
	return *(volatile uint64_t *)(info + offset);
}

static void becomes_ve(const char *name, void (*fn)(void), uint64_t at, uint64_t qual)
{
	*(volatile uint32_t *)(info + VE_INFO_BUSY) = 0;
	vmwrite(VMCS_EPTP_INDEX, 0x1234);
	flush();
	exception(name, fn, VEC_VE);
	check(word(VE_INFO_REASON) == EXIT_EPT_VIOLATION && word(VE_INFO_BUSY) == 0xffffffff, name, "reason %x, busy %x",
	      word(VE_INFO_REASON), word(VE_INFO_BUSY));
	check((quad(VE_INFO_QUALIFICATION) & 0x1bf) == qual, name, "qualification %lx", quad(VE_INFO_QUALIFICATION));
	check(quad(VE_INFO_PHYSICAL) == at && quad(VE_INFO_LINEAR) == at, name, "gpa %lx, gla %lx", quad(VE_INFO_PHYSICAL),
	      quad(VE_INFO_LINEAR));
	check(*(volatile uint16_t *)(info + VE_INFO_EPTP_INDEX) == 0x1234, name, "index %x",
	      *(volatile uint16_t *)(info + VE_INFO_EPTP_INDEX));
}

static void stays_exit(const char *name, void (*fn)(void))
{
	flush();
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_VE);
	run(name, fn, EXIT_EPT_VIOLATION);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
}

static void virtualization_exceptions(void)
{
	uint64_t *e = ept_entry(AT), old = *e, seen = QUAL_EPT_GLA_VALID | QUAL_EPT_TRANSLATION;

	heading("virtualization exceptions");
	vmwrite(VMCS_VE_INFO_ADDR, (uint64_t)info);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_EPT_VIOLATION_VE)) {
		say("skip: none\n");
		return;
	}
	regs[REG_RBX] = AT + 8;
	*e = old & ~EPT_RWX;
	becomes_ve("not present", g_read, AT + 8, seen | QUAL_EPT_READ);
	stays_exit("the area is busy", g_read);
	*(volatile uint32_t *)(info + VE_INFO_BUSY) = 0;
	*e |= EPT_SVE;
	stays_exit("suppressed, not present", g_read);
	*e = (old & ~EPT_W) | EPT_SVE;
	stays_exit("suppressed, read-only", g_write);
	check(word(VE_INFO_BUSY) == 0, "suppressed", "busy %x", word(VE_INFO_BUSY));
	*e = old & ~EPT_W;
	becomes_ve("read-only", g_write, AT + 8, seen | QUAL_EPT_WRITE | QUAL_EPT_PERM_R | QUAL_EPT_PERM_X);
	/* Delivered to the guest: its handler would run, so that the frame is on the guest's stack. */
	*(volatile uint32_t *)(info + VE_INFO_BUSY) = 0;
	flush();
	events = 0;
	guest_at(g_write);
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 16 * VEC_VE - 1); /* #GP in its place shows the delivery, and is a contributory fault: #DF */
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_DF);
	check(enter_guest() == 0 && vmread(VMCS_EXIT_REASON) == EXIT_EXCEPTION_NMI &&
	      (vmread(VMCS_EXIT_INTR_INFO) & INTR_INFO_VECTOR) == VEC_DF, "#GP in the delivery of #VE is #DF", "reason %lu, intr %lx",
	      vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_INTR_INFO));
	vmwrite(VMCS_GUEST_IDTR_LIMIT, 64 * 16 - 1);
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	/* During the delivery of an event an EPT violation is not convertible. */
	*(volatile uint32_t *)(info + VE_INFO_BUSY) = 0;
	guest_at(guest_vmcall);
	vmwrite(VMCS_GUEST_RSP, AT + 0x800);
	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_INFO_VALID | INTR_TYPE_NMI << INTR_INFO_TYPE_SHIFT | VEC_NMI);
	check(enter_guest() == 0 && vmread(VMCS_EXIT_REASON) == EXIT_EPT_VIOLATION, "while an event is delivered", "reason %lu",
	      vmread(VMCS_EXIT_REASON));
	check(word(VE_INFO_BUSY) == 0, "while an event is delivered", "busy %x", word(VE_INFO_BUSY));
	*e = (old & ~EPT_MT) | 2 << EPT_MT_SHIFT;
	flush();
	run("a misconfiguration is none", g_read, EXIT_EPT_MISCONFIG);
	*e = old;
	flush();
	vmwrite(VMCS_VE_INFO_ADDR, (uint64_t)info | 8);
	entry_fails("area not aligned");
	vmwrite(VMCS_VE_INFO_ADDR, (uint64_t)info | 1ull << 51);
	entry_fails("area beyond the width");
	vmwrite(VMCS_VE_INFO_ADDR, (uint64_t)info);
	if (vmread(VMCS_PROC2_CONTROLS) & PROC2_ENABLE_VMFUNC) {
		regs[REG_RAX] = 0;
		regs[REG_RCX] = 511;
		run("VMFUNC sets the EPTP index", g_func, EXIT_VMCALL);
		check(vmread(VMCS_EPTP_INDEX) == 511, "VMFUNC sets the EPTP index", "%lu", vmread(VMCS_EPTP_INDEX));
	}
	control_clear(VMCS_PROC2_CONTROLS, PROC2_EPT_VIOLATION_VE);
}

/* --- mode-based execute control --- */

/* A fetch from page, as a supervisor-mode or user-mode linear address; the guest runs with CPL 0 without SMEP. */
static void fetch(const char *name, bool user, bool allowed, uint64_t perms)
{
	uint64_t *pd = (uint64_t *)(((uint64_t *)(boot_pml4[0] & PTE_ADDRESS))[0] & PTE_ADDRESS);
	uint64_t *pde = &pd[0x5600000 >> 21], old = *pde;

	if (!user)
		*pde &= ~PTE_US;
	flush();
	regs[REG_RBX] = 0x5600000;
	if (run(name, g_jump, allowed ? EXIT_VMCALL : EXIT_EPT_VIOLATION) && !allowed)
		check((vmread(VMCS_EXIT_QUALIFICATION) & 0x7f) == (QUAL_EPT_FETCH | perms), name, "qualification %lx",
		      vmread(VMCS_EXIT_QUALIFICATION));
	if (!allowed && (rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_VIOLATION_INFO))
		check((vmread(VMCS_EXIT_QUALIFICATION) & (QUAL_EPT_LINEAR_US | QUAL_EPT_LINEAR_RW | QUAL_EPT_LINEAR_XD)) ==
		      (QUAL_EPT_LINEAR_RW | (user ? QUAL_EPT_LINEAR_US : 0)), name, "advanced information %lx",
		      vmread(VMCS_EXIT_QUALIFICATION));
	*pde = old;
}

static void mode_based(void)
{
	uint64_t *e = ept_entry(0x5600000), old = *e;

	heading("mode-based execute control");
	for (unsigned i = 0; i < 3; i++)
		((volatile uint8_t *)0x5600000)[i] = "\x0f\x01\xc1"[i]; /* VMCALL */
	*e = (old & ~EPT_X) | EPT_UX;
	fetch("bit 10 without the control", true, false, QUAL_EPT_PERM_R | QUAL_EPT_PERM_W);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_MODE_BASED_EPT_EXEC)) {
		say("skip: none\n");
		*e = old;
		return;
	}
	/* The image itself is at user-mode addresses. */
	for (uint64_t gpa = 0; gpa < 0x200000; gpa += 4096)
		*ept_entry(gpa) |= EPT_UX;
	((uint64_t *)((uint64_t)eptp & EPTP_ADDRESS))[0] |= EPT_UX;
	for (unsigned i = 0; i < 4; i++)
		((uint64_t *)(((uint64_t *)(eptp & EPTP_ADDRESS))[0] & EPT_ADDRESS))[i] |= EPT_UX;
	((uint64_t *)(((uint64_t *)(((uint64_t *)(eptp & EPTP_ADDRESS))[0] & EPT_ADDRESS))[0] & EPT_ADDRESS))[0] |= EPT_UX;
	for (unsigned bits = 0; bits < 16; bits++) {
		uint64_t rwx = bits & 7, perms = rwx << QUAL_EPT_PERM_SHIFT | (bits & 8 ? QUAL_EPT_PERM_UX : 0);

		*e = (old & ~EPT_RWX) | rwx | (bits & 8 ? EPT_UX : 0);
		if ((rwx & 3) == EPT_W || (!(rwx & EPT_R) && bits && !(rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_EXECUTE_ONLY))) {
			flush();
			regs[REG_RBX] = 0x5600000;
			run("misconfigured", g_jump, EXIT_EPT_MISCONFIG);
			continue;
		}
		fetch("supervisor", false, bits & EPT_X, perms);
		fetch("user", true, bits & 8, perms);
	}
	*e = old;
	control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
	entry_fails("without EPT");
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_MODE_BASED_EPT_EXEC);
	flush();
}

static void five_levels(void)
{
	uint64_t deep = (uint64_t)pml5 | EPTP_WALK_5 | MEMTYPE_WB;

	heading("walks of five levels");
	pml5[0] = (eptp & EPTP_ADDRESS) | EPT_RWX;
	vmwrite(VMCS_EPT_POINTER, deep);
	if (!(rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_WALK_5)) {
		entry_fails("not enumerated");
	} else {
		flush();
		regs[REG_RBX] = AT;
		run("mapped", g_write, EXIT_VMCALL);
		check(invept(INVEPT_SINGLE, deep, 0) == 0, "INVEPT", "failed");
		pml5[0] |= EPT_PS;
		run("bit 7 of a PML5E", g_write, EXIT_EPT_MISCONFIG);
		pml5[0] = 0;
		invept(INVEPT_SINGLE, deep, 0);
		run("PML5E not present", g_write, EXIT_EPT_VIOLATION);
	}
	vmwrite(VMCS_EPT_POINTER, eptp);
	flush();
}

int main(void)
{
	if (!check(vmx_start(), "VMXON", "failed"))
		return 1;
	vmcs_fresh(guest_vmcall);
	eptp = ept_identity();
	vmwrite(VMCS_EPT_POINTER, eptp);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT)) {
		say("skip: no EPT\n");
		return 0;
	}
	vmfunc_rules();
	switching();
	virtualization_exceptions();
	mode_based();
	five_levels();
	return failures() != 0;
}
