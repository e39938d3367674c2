/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EPT violations and misconfigurations, accessed and dirty flags, page-modification logging, INVEPT, VPID,
 * unrestricted guests. SDM 3C "The Extended Page Table Mechanism (EPT)" (29.3), "Page-Modification Logging"
 * (29.3.6), "Exit Qualification for EPT Violations" (table 28-7).
 */
#include "lib.h"

#define GUEST(name, insns) \
	static __attribute__((naked)) void name(void) { asm(insns "\n1: vmcall; jmp 1b"); }

GUEST(g_read, "mov (%rbx), %rax")
GUEST(g_write, "mov %rax, (%rbx)")
GUEST(g_rmw, "incq (%rbx)")
GUEST(g_jump, "jmp *%rbx")
GUEST(g_movs, "mov $2, %ecx; rep movsq")

/* A page of its own in the first 2 MiB, where EPT has 4 KiB entries; and one in a large page. */
static uint8_t page[3 * 4096] __attribute__((aligned(4096)));
static uint64_t log[512] __attribute__((aligned(4096)));
#define LARGE 0x5600123ull /* an address in the 2 MiB page at 5600000H */

static uint64_t eptp;

static bool run(const char *name, void (*fn)(void), unsigned want)
{
	int r;

	guest_at(fn);
	r = enter_guest();
	return check(r == 0 && vmread(VMCS_EXIT_REASON) == want, name, "result %d, error %lu, reason %lu, qual %lx, gpa %lx, intr %lx; expected %u",
		     r, vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION),
		     vmread(VMCS_GUEST_PHYSICAL_ADDRESS), vmread(VMCS_EXIT_INTR_INFO), want);
}

static void flush(void)
{
	invept(INVEPT_ALL, 0, 0);
}

/* Bits of an EPT violation's qualification that every CPU defines. */
#define QUAL_DEFINED (QUAL_EPT_READ | QUAL_EPT_WRITE | QUAL_EPT_FETCH | QUAL_EPT_PERM_R | QUAL_EPT_PERM_W | QUAL_EPT_PERM_X | \
		      QUAL_EPT_GLA_VALID | QUAL_EPT_TRANSLATION)

static void violation(const char *name, void (*fn)(void), uint64_t gpa, uint64_t qual)
{
	flush();
	if (!run(name, fn, EXIT_EPT_VIOLATION))
		return;
	check((vmread(VMCS_EXIT_QUALIFICATION) & QUAL_DEFINED) == (qual | QUAL_EPT_GLA_VALID | QUAL_EPT_TRANSLATION), name,
	      "qualification %lx, expected %lx", vmread(VMCS_EXIT_QUALIFICATION), qual);
	check(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == gpa && vmread(VMCS_GUEST_LINEAR_ADDRESS) == gpa, name, "gpa %lx, gla %lx, expected %lx",
	      vmread(VMCS_GUEST_PHYSICAL_ADDRESS), vmread(VMCS_GUEST_LINEAR_ADDRESS), gpa);
}

static void violations(uint64_t gpa)
{
	uint64_t *e = ept_entry(gpa), old = *e;
	const uint64_t r = QUAL_EPT_PERM_R, w = QUAL_EPT_PERM_W, x = QUAL_EPT_PERM_X;

	regs[REG_RBX] = gpa;
	run("present", g_read, EXIT_VMCALL);
	*e = old & ~EPT_RWX;
	violation("read, not present", g_read, gpa, QUAL_EPT_READ);
	violation("write, not present", g_write, gpa, QUAL_EPT_WRITE);
	violation("fetch, not present", g_jump, gpa, QUAL_EPT_FETCH);
	*e = old & ~EPT_W;
	violation("write to a read-only page", g_write, gpa, QUAL_EPT_WRITE | r | x);
	flush();
	run("read of a read-only page", g_read, EXIT_VMCALL);
	*e = old & ~EPT_X;
	flush();
	violation("fetch from a page without X", g_jump, gpa, QUAL_EPT_FETCH | r | w);
	if (rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_EXECUTE_ONLY) {
		*e = (old & ~EPT_RWX) | EPT_X;
		violation("read of an execute-only page", g_read, gpa, QUAL_EPT_READ | x);
	}
	*e = old;
	flush();
	run("back again", g_write, EXIT_VMCALL);
}

static void read_modify_write(void)
{
	uint64_t gpa = (uint64_t)page, *e = ept_entry(gpa), old = *e, qual;

	regs[REG_RBX] = gpa;
	*e = old & ~EPT_W;
	flush();
	run("read-modify-write of a read-only page", g_rmw, EXIT_EPT_VIOLATION);
	qual = vmread(VMCS_EXIT_QUALIFICATION);
	check(qual & QUAL_EPT_WRITE, "read-modify-write", "qualification %lx", qual);
	*e = old;
}

/* The walk of the guest's own tables: bit 8 is 0, and the address is that of the entry. */
static void table_walk(void)
{
	uint64_t pml4 = read_cr3() & CR3_ADDRESS, *e = ept_entry(pml4), old = *e;

	*e = old & ~EPT_RWX;
	flush();
	regs[REG_RBX] = LARGE;
	run("guest page table not present in EPT", g_read, EXIT_EPT_VIOLATION);
	check((vmread(VMCS_EXIT_QUALIFICATION) & (QUAL_EPT_GLA_VALID | QUAL_EPT_TRANSLATION)) == QUAL_EPT_GLA_VALID, "table walk",
	      "qualification %lx", vmread(VMCS_EXIT_QUALIFICATION));
	check((vmread(VMCS_GUEST_PHYSICAL_ADDRESS) & ~0xfffull) == pml4, "table walk", "gpa %lx", vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	*e = old;
	flush();
}

static void misconfigurations(void)
{
	static const struct {
		uint64_t clear, set;
		const char *name;
	} bad[] = {
		{ EPT_RWX, EPT_W, "write-only" },
		{ EPT_RWX, EPT_W | EPT_X, "write and execute" },
		{ EPT_MT, 2 << EPT_MT_SHIFT, "memory type 2" },
		{ EPT_MT, 3 << EPT_MT_SHIFT, "memory type 3" },
		{ EPT_MT, 7 << EPT_MT_SHIFT, "memory type 7" },
		{ 0, 1ull << 51, "address beyond the width" },
	};
	uint64_t gpa = (uint64_t)page, *e = ept_entry(gpa), old = *e, *large = ept_entry(LARGE), old_large = *large;

	heading("EPT misconfigurations");
	regs[REG_RBX] = gpa;
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		*e = (old & ~bad[i].clear) | bad[i].set;
		flush();
		run(bad[i].name, g_read, EXIT_EPT_MISCONFIG);
		check(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == gpa, bad[i].name, "gpa %lx", vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	}
	*e = old;
	*large = old_large | 1 << 12;
	regs[REG_RBX] = LARGE;
	flush();
	run("large page, address bit 12", g_read, EXIT_EPT_MISCONFIG);
	*large = (old_large & ~EPT_PS) | 1 << 3;
	flush();
	run("table entry, bit 3", g_read, EXIT_EPT_MISCONFIG);
	*large = old_large;
	flush();
	run("all in order again", g_read, EXIT_VMCALL);
}

static void accessed_dirty(uint64_t gpa, const char *name)
{
	uint64_t *e = ept_entry(gpa);

	regs[REG_RBX] = gpa;
	*e &= ~(EPT_A | EPT_D);
	flush();
	run(name, g_read, EXIT_VMCALL);
	check((*e & (EPT_A | EPT_D)) == EPT_A, name, "after a read %lx", *e);
	run(name, g_write, EXIT_VMCALL);
	check((*e & (EPT_A | EPT_D)) == (EPT_A | EPT_D), name, "after a write %lx", *e);
	*e &= ~(EPT_A | EPT_D);
	flush();
	run(name, g_rmw, EXIT_VMCALL);
	check((*e & (EPT_A | EPT_D)) == (EPT_A | EPT_D), name, "after a read-modify-write %lx", *e);
}

static void flags_off(void)
{
	uint64_t *e = ept_entry((uint64_t)page);

	heading("accessed and dirty flags");
	*e &= ~(EPT_A | EPT_D);
	regs[REG_RBX] = (uint64_t)page;
	run("EPTP bit 6 is 0", g_write, EXIT_VMCALL);
	check(!(*e & (EPT_A | EPT_D)), "EPTP bit 6 is 0", "%lx", *e);
}

/* With the flags on, reading a guest paging structure counts as writing it. */
static void table_dirty(void)
{
	uint64_t pml4 = read_cr3() & CR3_ADDRESS, *e = ept_entry(pml4);

	*e &= ~(EPT_A | EPT_D);
	flush();
	invvpid(INVVPID_ALL, 0, 0);
	regs[REG_RBX] = LARGE;
	run("page-table page", g_read, EXIT_VMCALL);
	check((*e & (EPT_A | EPT_D)) == (EPT_A | EPT_D), "guest page table is dirty once walked", "%lx", *e);
}

static void clean(uint64_t gpa)
{
	*ept_entry(gpa) &= ~(EPT_A | EPT_D);
}

/* Everything that the guest touches anyhow is dirty before, so that only what the test writes is logged. */
static void pml_reset(void)
{
	for (uint64_t gpa = 0; gpa < 0x200000; gpa += 4096)
		*ept_entry(gpa) |= EPT_A | EPT_D;
	for (uint64_t gpa = 0x200000; gpa < 1ull << 32; gpa += 0x200000)
		*ept_entry(gpa) |= EPT_A | EPT_D;
	for (unsigned i = 0; i < 512; i++)
		log[i] = ~0ull;
	vmwrite(VMCS_PML_INDEX, PML_INDEX_START);
	flush();
}

static void pml_one(uint64_t gpa, const char *name)
{
	pml_reset();
	clean(gpa);
	flush();
	regs[REG_RBX] = gpa;
	run(name, g_read, EXIT_VMCALL);
	check(vmread(VMCS_PML_INDEX) == PML_INDEX_START, name, "a read logs: index %lu", vmread(VMCS_PML_INDEX));
	run(name, g_write, EXIT_VMCALL);
	check(vmread(VMCS_PML_INDEX) == PML_INDEX_START - 1 && log[511] == (gpa & ~0xfffull), name, "index %lu, entry %lx",
	      vmread(VMCS_PML_INDEX), log[511]);
	run(name, g_write, EXIT_VMCALL);
	check(vmread(VMCS_PML_INDEX) == PML_INDEX_START - 1, name, "logged twice: index %lu", vmread(VMCS_PML_INDEX));
}

static void pml_full(void)
{
	uint64_t gpa = (uint64_t)page;

	pml_reset();
	clean(gpa);
	flush();
	vmwrite(VMCS_PML_INDEX, 0);
	regs[REG_RBX] = gpa;
	*(uint64_t *)page = 1;
	regs[REG_RAX] = 2;
	run("the last entry", g_write, EXIT_VMCALL);
	check(vmread(VMCS_PML_INDEX) == 0xffff && log[0] == gpa, "the last entry", "index %lx, entry %lx", vmread(VMCS_PML_INDEX), log[0]);
	clean(gpa);
	flush();
	regs[REG_RAX] = 3;
	run("log full", g_write, EXIT_PML_FULL);
	check(vmread(VMCS_GUEST_RIP) == (uint64_t)g_write, "log full", "rip %lx", vmread(VMCS_GUEST_RIP));
	check(*(uint64_t *)page == 2, "nothing is stored", "%lx", *(uint64_t *)page);
	check(!(*ept_entry(gpa) & EPT_D), "no dirty flag", "%lx", *ept_entry(gpa));
	vmwrite(VMCS_PML_INDEX, PML_INDEX_START);
	run("again", g_write, EXIT_VMCALL);
	check(*(uint64_t *)page == 3 && log[511] == gpa, "logged after the index was reset", "%lx, entry %lx", *(uint64_t *)page, log[511]);
	vmwrite(VMCS_PML_INDEX, 512);
	clean(gpa);
	flush();
	run("index 512 counts as full", g_write, EXIT_PML_FULL);
}

static void pml_two_pages(void)
{
	uint64_t a = (uint64_t)page + 4096 - 8, b = (uint64_t)page + 4096;

	pml_reset();
	clean(a);
	clean(b);
	flush();
	regs[REG_RSI] = LARGE;
	regs[REG_RDI] = a;
	run("a string over two pages", g_movs, EXIT_VMCALL);
	check(vmread(VMCS_PML_INDEX) == PML_INDEX_START - 2 && log[511] == (a & ~0xfffull) && log[510] == b, "a string over two pages",
	      "index %lu, %lx, %lx", vmread(VMCS_PML_INDEX), log[511], log[510]);
	pml_reset();
	clean(a);
	clean(b);
	flush();
	regs[REG_RBX] = a + 4;
	run("a store across a page boundary", g_write, EXIT_VMCALL);
	check(vmread(VMCS_PML_INDEX) == PML_INDEX_START - 2, "a store across a page boundary", "index %lu", vmread(VMCS_PML_INDEX));
	/* One entry left: the store is not done by half. */
	pml_reset();
	clean(a);
	clean(b);
	flush();
	vmwrite(VMCS_PML_INDEX, 0);
	*(uint32_t *)(a + 4) = 0x11;
	regs[REG_RAX] = 0x2222222222222222;
	run("one entry for two pages", g_write, EXIT_PML_FULL);
	check(*(uint32_t *)(a + 4) == 0x11, "not done by half", "%x", *(uint32_t *)(a + 4));
}

static void pml(void)
{
	heading("page-modification logging");
	vmwrite(VMCS_PML_ADDRESS, (uint64_t)log);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_PML)) {
		say("skip: no PML\n");
		return;
	}
	pml_one((uint64_t)page, "4 KiB page");
	pml_one(LARGE, "large page");
	pml_full();
	pml_two_pages();
	control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_PML);
}

/* VPID and EPT: what INVEPT and INVVPID must drop, seen through a changed translation. */
static void translations(void)
{
	uint64_t *e = ept_entry((uint64_t)page), old = *e;

	heading("invalidation");
	*(uint64_t *)page = 0xaaaa;
	*(uint64_t *)(page + 4096) = 0xbbbb;
	regs[REG_RBX] = (uint64_t)page;
	run("first frame", g_read, EXIT_VMCALL);
	check(regs[REG_RAX] == 0xaaaa, "first frame", "%lx", regs[REG_RAX]);
	*e = (old & ~EPT_ADDRESS) | (uint64_t)(page + 4096);
	invept(INVEPT_SINGLE, eptp, 0);
	run("second frame", g_read, EXIT_VMCALL);
	check(regs[REG_RAX] == 0xbbbb, "INVEPT single", "%lx", regs[REG_RAX]);
	*e = old;
	invept(INVEPT_ALL, 0, 0);
	run("first frame again", g_read, EXIT_VMCALL);
	check(regs[REG_RAX] == 0xaaaa, "INVEPT all", "%lx", regs[REG_RAX]);
}

static void vpid(void)
{
	uint64_t *pd = (uint64_t *)(((uint64_t *)(boot_pml4[0] & PTE_ADDRESS))[0] & PTE_ADDRESS);
	uint64_t old = pd[LARGE >> 21];
	uint64_t other = 0x5800000;

	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_VPID))
		return;
	vmwrite(VMCS_VPID, 7);
	*(uint64_t *)LARGE = 0x1111;
	*(uint64_t *)(other + (LARGE & 0x1fffff)) = 0x2222;
	regs[REG_RBX] = LARGE;
	for (unsigned type = 0; type < 4; type++) {
		pd[LARGE >> 21] = old;
		invvpid(INVVPID_SINGLE, 7, 0);
		run("old translation", g_read, EXIT_VMCALL);
		check(regs[REG_RAX] == 0x1111, "old translation", "%lx", regs[REG_RAX]);
		pd[LARGE >> 21] = (old & ~PTE_ADDRESS_2M) | other;
		check(invvpid(type, type == INVVPID_ALL ? 0 : 7, type == INVVPID_ADDRESS ? LARGE : 0) == 0, "INVVPID", "type %u", type);
		run("new translation", g_read, EXIT_VMCALL);
		check(regs[REG_RAX] == 0x2222, "INVVPID", "type %u: %lx", type, regs[REG_RAX]);
	}
	pd[LARGE >> 21] = old;
	invvpid(INVVPID_ALL, 0, 0);
	write_cr3(read_cr3());
	check(*(uint64_t *)LARGE == 0x1111, "the host's translation", "%lx", *(uint64_t *)LARGE);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_VPID);
}

/* --- unrestricted guest: real mode, unpaged protected mode --- */

/* mov ax,1234h; mov cr0,ecx exits not; cpuid exits */
static const uint8_t real_code[] = { 0xb8, 0x34, 0x12, 0x0f, 0xa2 };
#define REAL 0x9000

static void real_segment(unsigned n, uint64_t ar)
{
	vmwrite(VMCS_GUEST_ES_SELECTOR + 2 * n, REAL >> 4);
	vmwrite(VMCS_GUEST_ES_BASE + 2 * n, REAL);
	vmwrite(VMCS_GUEST_ES_LIMIT + 2 * n, 0xffff);
	vmwrite(VMCS_GUEST_ES_AR + 2 * n, ar);
}

static void unrestricted(void)
{
	heading("unrestricted guest");
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_UNRESTRICTED_GUEST)) {
		say("skip: none\n");
		return;
	}
	for (unsigned i = 0; i < sizeof(real_code); i++)
		((volatile uint8_t *)REAL)[i] = real_code[i];
	guest_at(g_read);
	for (unsigned n = 0; n < 6; n++)
		real_segment(n, n == 1 ? 0x9b : 0x93);
	control_clear(VMCS_ENTRY_CONTROLS, VMENTRY_IA32E_GUEST);
	vmwrite(VMCS_GUEST_IA32_EFER, 0);
	vmwrite(VMCS_GUEST_CR0, (read_cr0() & ~(CR0_PE | CR0_PG)));
	vmwrite(VMCS_GUEST_RIP, 0);
	int r = enter_guest();
	check(r == 0 && vmread(VMCS_EXIT_REASON) == EXIT_CPUID, "real mode", "result %d, error %lu, reason %lx, qual %lx", r,
	      vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION));
	check(vmread(VMCS_GUEST_RIP) == 3 && (regs[REG_RAX] & 0xffff) == 0x1234, "real mode", "ip %lx, ax %lx", vmread(VMCS_GUEST_RIP),
	      regs[REG_RAX]);
	check(!(vmread(VMCS_GUEST_CR0) & CR0_PE), "real mode", "CR0 %lx", vmread(VMCS_GUEST_CR0));
	check(!(vmread(VMCS_ENTRY_CONTROLS) & VMENTRY_IA32E_GUEST), "IA-32e mode guest after the exit", "%lx", vmread(VMCS_ENTRY_CONTROLS));
	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_INFO_VALID | INTR_TYPE_HW_EXCEPTION << INTR_INFO_TYPE_SHIFT | VEC_GP | INTR_INFO_ERROR_VALID);
	check(enter_guest() == 1 && vmread(VMCS_INSTRUCTION_ERROR) == VMXERR_ENTRY_BAD_CONTROLS, "error code in real mode", "error %lu",
	      vmread(VMCS_INSTRUCTION_ERROR));
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
	heading("EPT violations");
	*(uint8_t *)LARGE = 0x0f; /* VMCALL, where the guest jumps to */
	((uint8_t *)LARGE)[1] = 0x01;
	((uint8_t *)LARGE)[2] = 0xc1;
	violations((uint64_t)page + 0x10);
	violations(LARGE);
	read_modify_write();
	table_walk();
	misconfigurations();
	flags_off();
	if (rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_AD) {
		eptp |= EPTP_AD;
		vmwrite(VMCS_EPT_POINTER, eptp);
		accessed_dirty((uint64_t)page, "4 KiB page");
		accessed_dirty(LARGE, "large page");
		table_dirty();
		pml();
	}
	translations();
	vpid();
	unrestricted();
	return failures() != 0;
}
