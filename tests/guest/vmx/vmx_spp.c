/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sub-page write permissions: each sub-page by itself, stores across their boundaries, strings, read-modify-write, stacks,
 * large operands, event delivery, the walker's own writes; misses and misconfigurations of the table; PML beside it.
 * SDM 3C "Sub-Page Write Permissions" (29.3.4), "SPP-Related Events".
 */
#include "lib.h"

#define GUEST(name, insns) \
	static __attribute__((naked)) void name(void) { asm(insns "\n1: vmcall; jmp 1b"); }

GUEST(g_read, "mov (%rbx), %rax")
GUEST(g_write1, "movb %al, (%rbx)")
GUEST(g_write8, "mov %rax, (%rbx)")
GUEST(g_inc, "incq (%rbx)")
GUEST(g_lock_add, "lock addl %eax, (%rbx)")
GUEST(g_xchg, "xchg %eax, (%rbx)")
GUEST(g_cmpxchg_fails, "xor %eax, %eax; mov $-1, %ecx; lock cmpxchg %ecx, (%rbx)")
GUEST(g_stosb, "rep stosb")
GUEST(g_movsq_down, "std; rep movsq")
GUEST(g_push, "mov %rsp, %rdx; mov %rbx, %rsp; push %rax; mov %rdx, %rsp")
GUEST(g_fxsave, "fxsave (%rbx)")
GUEST(g_sgdt, "sgdt (%rbx)")
GUEST(g_far_call, "mov %rsp, %rdx; mov %rbx, %rsp; rex.w lcall *(%rsi)\n2: mov %rdx, %rsp")

static uint8_t page[4096] __attribute__((aligned(4096)));
static uint8_t pair[2][4096] __attribute__((aligned(4096)));
static uint64_t table[4][512] __attribute__((aligned(4096))); /* [0] holds the vectors */
static uint64_t log[512] __attribute__((aligned(4096)));
static uint64_t *leaf, leaf_before;

#define AT ((uint64_t)page)
#define ALL 0x5555555555555555ull

static void flush(void)
{
	invept(INVEPT_ALL, 0, 0);
}

static uint64_t *entry_of(unsigned level, uint64_t gpa)
{
	return &table[level][gpa >> (12 + 9 * level) & 511];
}

/* writable: bit n for sub-page n. */
static void permit(uint64_t gpa, uint32_t writable)
{
	uint64_t v = 0;

	for (unsigned n = 0; n < 32; n++)
		if (writable >> n & 1)
			v |= SPP_WRITE(n);
	*entry_of(0, gpa) = v;
	flush();
}

static bool run(const char *name, void (*fn)(void), unsigned want)
{
	int r;

	guest_at(fn);
	r = enter_guest();
	return check(r == 0 && vmread(VMCS_EXIT_REASON) == want, name,
		     "result %d, error %lu, reason %lu, qual %lx, gpa %lx; expected %u", r, vmread(VMCS_INSTRUCTION_ERROR),
		     vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION), vmread(VMCS_GUEST_PHYSICAL_ADDRESS), want);
}

static void denied(const char *name, void (*fn)(void), uint64_t at)
{
	const uint64_t defined = QUAL_EPT_READ | QUAL_EPT_WRITE | QUAL_EPT_FETCH | QUAL_EPT_PERM_R | QUAL_EPT_PERM_W |
				 QUAL_EPT_PERM_X | QUAL_EPT_GLA_VALID | QUAL_EPT_TRANSLATION;
	const uint64_t want = QUAL_EPT_WRITE | QUAL_EPT_PERM_R | QUAL_EPT_PERM_X | QUAL_EPT_GLA_VALID | QUAL_EPT_TRANSLATION;

	if (!run(name, fn, EXIT_EPT_VIOLATION))
		return;
	check((vmread(VMCS_EXIT_QUALIFICATION) & defined) == want, name, "qualification %lx", vmread(VMCS_EXIT_QUALIFICATION));
	check(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == at && vmread(VMCS_GUEST_LINEAR_ADDRESS) == at, name,
	      "gpa %lx, gla %lx, expected %lx", vmread(VMCS_GUEST_PHYSICAL_ADDRESS), vmread(VMCS_GUEST_LINEAR_ADDRESS), at);
}

static void fill_page(uint8_t v)
{
	for (unsigned i = 0; i < sizeof(page); i++)
		page[i] = v;
}

/* Bytes of page that differ from v. */
static unsigned changed(uint8_t v)
{
	unsigned n = 0;

	for (unsigned i = 0; i < sizeof(page); i++)
		n += page[i] != v;
	return n;
}

static void each_subpage(void)
{
	heading("each sub-page");
	for (unsigned n = 0; n < 32; n++) {
		permit(AT, 1u << n);
		fill_page(7);
		regs[REG_RAX] = 9;
		for (unsigned m = 0; m < 32; m++) {
			regs[REG_RBX] = AT + m * 128 + (m & 1 ? 127 : 0);
			if (m == n)
				run("the writable one", g_write1, EXIT_VMCALL);
			else
				denied("another one", g_write1, regs[REG_RBX]);
		}
		check(changed(7) == 1, "one byte was written", "%u", changed(7));
		regs[REG_RBX] = AT + 5 * 128;
		run("reads are free", g_read, EXIT_VMCALL);
	}
}

/* A store is allowed if all it touches is; the violation names the first byte that may not be written. */
static void crossing(void)
{
	heading("stores across a boundary");
	for (unsigned n = 0; n < 31; n++)
		for (unsigned part = 1; part < 8; part++) {
			uint64_t edge = AT + (n + 1) * 128;

			regs[REG_RBX] = edge - part;
			fill_page(7);
			permit(AT, 1u << n);
			denied("upper part", g_write8, edge);
			permit(AT, 2u << n);
			denied("lower part", g_write8, edge - part);
			permit(AT, ~(3u << n));
			denied("neither", g_write8, edge - part);
			check(changed(7) == 0, "nothing is stored", "%u bytes", changed(7));
			permit(AT, 3u << n);
			run("both", g_write8, EXIT_VMCALL);
		}
}

static void kinds_of_store(void)
{
	static const struct {
		void (*fn)(void);
		const char *name;
		unsigned size;
	} kinds[] = {
		{ g_inc, "INC", 8 }, { g_lock_add, "LOCK ADD", 4 }, { g_xchg, "XCHG", 4 },
		{ g_cmpxchg_fails, "CMPXCHG that writes back", 4 }, { g_fxsave, "FXSAVE", 512 }, { g_sgdt, "SGDT", 10 },
	};

	heading("kinds of store");
	for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		unsigned last = 4 + (kinds[i].size + 127) / 128 - 1;

		fill_page(7);
		regs[REG_RBX] = AT + 4 * 128;
		for (unsigned n = 4; n <= last; n++) {
			permit(AT, ~(1u << n));
			denied(kinds[i].name, kinds[i].fn, AT + n * 128);
		}
		check(changed(7) == 0, kinds[i].name, "%u bytes written", changed(7));
		permit(AT, ((2u << last) - 1) & ~15u);
		run(kinds[i].name, kinds[i].fn, EXIT_VMCALL);
	}
}

static void strings(void)
{
	static uint64_t source[64];

	heading("strings");
	fill_page(7);
	permit(AT, 0xc); /* sub-pages 2 and 3 */
	regs[REG_RAX] = 9;
	regs[REG_RCX] = 1000;
	regs[REG_RDI] = AT + 2 * 128 + 5;
	denied("REP STOSB", g_stosb, AT + 4 * 128);
	check(regs[REG_RDI] == AT + 4 * 128 && regs[REG_RCX] == 1000 - 251 && changed(7) == 251, "REP STOSB",
	      "rdi %lx, rcx %lu, %u bytes", regs[REG_RDI], regs[REG_RCX], changed(7));
	fill_page(7);
	regs[REG_RCX] = 64;
	regs[REG_RSI] = (uint64_t)&source[63];
	regs[REG_RDI] = AT + 4 * 128 - 8;
	denied("REP MOVSQ downwards", g_movsq_down, AT + 2 * 128 - 8);
	check(regs[REG_RCX] == 64 - 32 && changed(7) == 256, "REP MOVSQ downwards", "rcx %lu, %u bytes", regs[REG_RCX],
	      changed(7));
}

/* Each page of a store has its own vector. */
static void two_pages(void)
{
	uint64_t low = (uint64_t)pair[0], high = (uint64_t)pair[1];
	uint64_t *last = (uint64_t *)(pair[1] - 4);

	heading("stores across two pages");
	*ept_entry(low) = (*ept_entry(low) & ~EPT_W) | EPT_SPP;
	*ept_entry(high) = (*ept_entry(high) & ~EPT_W) | EPT_SPP;
	regs[REG_RBX] = high - 4;
	regs[REG_RAX] = ~0ull;
	permit(low, 1u << 31);
	permit(high, ~1u);
	denied("the upper page", g_write8, high);
	permit(low, ~(1u << 31));
	denied("both pages", g_write8, high - 4);
	permit(high, 1);
	denied("the lower page", g_write8, high - 4);
	permit(low, 1u << 31);
	*entry_of(0, high) |= 2;
	flush();
	run("a misconfigured vector of the upper page", g_write8, EXIT_SPP_EVENT);
	check(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == high && vmread(VMCS_GUEST_LINEAR_ADDRESS) == high, "the upper page", "gpa %lx",
	      vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	check(*last == 0, "nothing is stored", "%lx", *last);
	permit(high, 1);
	run("both allow it", g_write8, EXIT_VMCALL);
	check(*last == ~0ull, "it is stored", "%lx", *last);
}

static struct {
	uint64_t offset;
	uint16_t sel;
} far;

static void stacks(void)
{
	heading("stacks");
	fill_page(7);
	permit(AT, ~(1u << 3));
	regs[REG_RBX] = AT + 4 * 128;
	denied("PUSH", g_push, AT + 4 * 128 - 8);
	regs[REG_RBX] = AT + 4 * 128 + 4;
	denied("PUSH across", g_push, AT + 4 * 128 - 4);
	regs[REG_RBX] = AT + 5 * 128;
	run("PUSH", g_push, EXIT_VMCALL);
	far.offset = (uint64_t)guest_vmcall;
	far.sel = SEL_CODE;
	regs[REG_RSI] = (uint64_t)&far;
	regs[REG_RBX] = AT + 4 * 128 + 8;
	run("far CALL", g_far_call, EXIT_EPT_VIOLATION);
	check(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == AT + 4 * 128 - 8, "far CALL", "gpa %lx",
	      vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	/* An injected interrupt pushes SS, RSP, RFLAGS, CS, RIP. */
	guest_at(guest_vmcall);
	vmwrite(VMCS_GUEST_RFLAGS, EFLAGS_ONE | EFLAGS_IF);
	vmwrite(VMCS_GUEST_RSP, AT + 4 * 128 + 32);
	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_INFO_VALID | 0x30);
	enter_guest();
	check(vmread(VMCS_EXIT_REASON) == EXIT_EPT_VIOLATION && vmread(VMCS_IDT_VECTORING_INFO) == (INTR_INFO_VALID | 0x30),
	      "event delivery", "reason %lu, vectoring %lx", vmread(VMCS_EXIT_REASON), vmread(VMCS_IDT_VECTORING_INFO));
	check(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == AT + 4 * 128 - 8, "event delivery", "gpa %lx",
	      vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	*entry_of(0, AT) = 2;
	flush();
	vmwrite(VMCS_ENTRY_INTR_INFO, INTR_INFO_VALID | 0x30);
	enter_guest();
	check(vmread(VMCS_EXIT_REASON) == EXIT_SPP_EVENT && vmread(VMCS_IDT_VECTORING_INFO) == (INTR_INFO_VALID | 0x30) &&
		      vmread(VMCS_EXIT_QUALIFICATION) == 0,
	      "SPP event in event delivery", "reason %lu, vectoring %lx, qualification %lx", vmread(VMCS_EXIT_REASON),
	      vmread(VMCS_IDT_VECTORING_INFO), vmread(VMCS_EXIT_QUALIFICATION));
}

/* The walker's update of an accessed flag is a write that sub-page permissions do not allow. */
static void table_update(void)
{
	uint64_t root = (uint64_t)boot_pml4, *e = ept_entry(root), old = *e;

	heading("guest paging structures");
	*e = (old & ~EPT_W) | EPT_SPP;
	permit(root, ~0u);
	regs[REG_RBX] = AT;
	permit(AT, ~0u);
	run("no flag to set", g_write8, EXIT_VMCALL);
	boot_pml4[0] &= ~PTE_A;
	invvpid(INVVPID_ALL, 0, 0);
	run("an accessed flag", g_write8, EXIT_EPT_VIOLATION);
	check(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == root, "an accessed flag", "gpa %lx", vmread(VMCS_GUEST_PHYSICAL_ADDRESS));
	check(!(vmread(VMCS_EXIT_QUALIFICATION) & QUAL_EPT_TRANSLATION), "an accessed flag", "qualification %lx",
	      vmread(VMCS_EXIT_QUALIFICATION));
	*e = old;
	flush();
}

static void spp_event(const char *name, uint64_t qual)
{
	flush();
	if (!run(name, g_write8, EXIT_SPP_EVENT))
		return;
	check(vmread(VMCS_EXIT_QUALIFICATION) == qual, name, "qualification %lx", vmread(VMCS_EXIT_QUALIFICATION));
	check(vmread(VMCS_GUEST_PHYSICAL_ADDRESS) == AT + 24 && vmread(VMCS_GUEST_LINEAR_ADDRESS) == AT + 24, name,
	      "gpa %lx, gla %lx", vmread(VMCS_GUEST_PHYSICAL_ADDRESS), vmread(VMCS_GUEST_LINEAR_ADDRESS));
	check(vmread(VMCS_GUEST_RIP) == (uint64_t)g_write8, name, "rip %lx", vmread(VMCS_GUEST_RIP));
}

static void events_of_table(void)
{
	heading("misses and misconfigurations");
	regs[REG_RBX] = AT + 24;
	permit(AT, ~0u);
	for (unsigned level = 1; level < 4; level++) {
		uint64_t *e = entry_of(level, AT), old = *e;

		*e = old & ~SPP_VALID;
		spp_event("not valid", QUAL_SPP_MISS);
		for (unsigned bit = 1; bit < 64; bit++) {
			if (bit >= 12 && bit < 52)
				continue;
			*e = old | 1ull << bit;
			spp_event("reserved bit", 0);
		}
		*e = old | 1ull << 51;
		spp_event("address beyond the width", 0);
		*e = old;
	}
	for (unsigned bit = 1; bit < 64; bit += 2) {
		*entry_of(0, AT) = ALL | 1ull << bit;
		spp_event("reserved bit of the vector", 0);
	}
	permit(AT, ~0u);
	run("in order again", g_write8, EXIT_VMCALL);
}

static void when_it_counts(void)
{
	uint64_t *large = ept_entry(0x5600000), old = *large;

	heading("when it counts");
	regs[REG_RBX] = AT + 24;
	permit(AT, 0);
	*leaf = leaf_before | EPT_SPP;
	flush();
	run("a page that is writable anyhow", g_write8, EXIT_VMCALL);
	*leaf = leaf_before & ~EPT_W;
	permit(AT, ~0u);
	denied("without bit 61", g_write8, AT + 24);
	*leaf = (leaf_before & ~EPT_W) | EPT_SPP;
	control_clear(VMCS_PROC2_CONTROLS, PROC2_SPP);
	flush();
	denied("without the control", g_write8, AT + 24);
	control_set(VMCS_PROC2_CONTROLS, PROC2_SPP);
	flush();
	run("with it", g_write8, EXIT_VMCALL);
	vmwrite(VMCS_APIC_ACCESS_ADDR, AT);
	if (control_set(VMCS_PROC2_CONTROLS, PROC2_VIRT_APIC_ACCESSES)) {
		/* The manual lets a CPU take the first as if the control were 0. */
		run("on the APIC-access page, allowed", g_write8, EXIT_APIC_ACCESS);
		permit(AT, 0);
		denied("on the APIC-access page", g_write8, AT + 24);
		control_clear(VMCS_PROC2_CONTROLS, PROC2_VIRT_APIC_ACCESSES);
	}
	*large = (old & ~EPT_W) | EPT_SPP;
	regs[REG_RBX] = 0x5600010;
	flush();
	denied("in a large page", g_write8, 0x5600010);
	*large = old;
	if (rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_EXECUTE_ONLY) {
		regs[REG_RBX] = AT + 24;
		*leaf = (leaf_before & ~EPT_RWX) | EPT_X | EPT_SPP;
		flush();
		run("in a page that cannot be read", g_write8, EXIT_EPT_VIOLATION);
		*leaf = (leaf_before & ~EPT_W) | EPT_SPP;
		flush();
	}
}

static uint64_t *next_table(uint64_t entry)
{
	return (uint64_t *)(entry & EPT_ADDRESS);
}

/* It does not matter which entry of the walk forbids the write. */
static void by_upper_entry(uint64_t eptp)
{
	uint64_t *directory = next_table(next_table(next_table(eptp)[0])[0]);

	heading("a write that an upper entry forbids");
	directory[0] &= ~(uint64_t)EPT_W;
	*leaf |= EPT_W;
	regs[REG_RBX] = AT + 24;
	permit(AT, 1);
	run("allowed", g_write1, EXIT_VMCALL);
	permit(AT, 2);
	denied("not allowed", g_write1, AT + 24);
	directory[0] |= EPT_W;
	*leaf &= ~(uint64_t)EPT_W;
	flush();
}

/* Without paging linear addresses are guest-physical ones. 32-bit code: these instructions have the same bytes there. */
static void without_paging(void)
{
	if (!control_allowed(VMCS_PROC2_CONTROLS, PROC2_UNRESTRICTED_GUEST))
		return;
	heading("without paging");
	control_set(VMCS_PROC2_CONTROLS, PROC2_UNRESTRICTED_GUEST);
	control_clear(VMCS_ENTRY_CONTROLS, VMENTRY_IA32E_GUEST);
	vmwrite(VMCS_GUEST_IA32_EFER, 0);
	vmwrite(VMCS_GUEST_CS_AR, 0xc09b);
	vmwrite(VMCS_GUEST_CR0, read_cr0() & ~(uint64_t)CR0_PG);
	regs[REG_RBX] = AT + 24;
	permit(AT, 1);
	run("allowed", g_write1, EXIT_VMCALL);
	permit(AT, 2);
	denied("not allowed", g_write1, AT + 24);
	vmwrite(VMCS_GUEST_CR0, read_cr0());
	vmwrite(VMCS_GUEST_CS_AR, 0xa09b);
	vmwrite(VMCS_GUEST_IA32_EFER, rdmsr(IA32_EFER));
	control_set(VMCS_ENTRY_CONTROLS, VMENTRY_IA32E_GUEST);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_UNRESTRICTED_GUEST);
}

GUEST(g_iret, "mov %rsp, %rax; push $0x10; push %rax; push $2; push $8; lea 2f(%rip), %rax; push %rax; iretq; 2: nop")

/*
 * The IRET that unblocks NMIs and then meets an exit, here by the accessed flag of its code segment's descriptor: bit
 * 12 of the qualification, whichever reason. SDM 3C "Exit Qualification for EPT Violations", "for SPP-Related Events".
 */
static void iret_exits(const char *name, unsigned reason, bool blocked)
{
	guest_at(g_iret);
	vmwrite(VMCS_GUEST_INTERRUPTIBILITY, blocked ? INTERRUPTIBILITY_NMI : 0);
	enter_guest();
	check(vmread(VMCS_EXIT_REASON) == reason && !!(vmread(VMCS_EXIT_QUALIFICATION) & BIT64(12)) == blocked, name,
	      "reason %lu, qualification %lx", vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION));
	check(!(vmread(VMCS_GUEST_INTERRUPTIBILITY) & INTERRUPTIBILITY_NMI), name, "NMIs are blocked again");
}

static void iret_unblocks(uint64_t eptp)
{
	const uint64_t accessed = BIT64(40);

	if (!control_set(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS))
		return;
	heading("an IRET that has unblocked NMIs");
	memcpy(page, gdt, 256);
	((uint64_t *)page)[SEL_CODE / 8] &= ~accessed;
	vmwrite(VMCS_GUEST_GDTR_BASE, AT);
	for (int blocked = 0; blocked < 2; blocked++) {
		permit(AT, 2);
		iret_exits("EPT violation", EXIT_EPT_VIOLATION, blocked);
		*entry_of(0, AT) = 2;
		flush();
		iret_exits("SPP event", EXIT_SPP_EVENT, blocked);
		permit(AT, 1);
		if (!(rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_AD) || !control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_PML))
			continue;
		vmwrite(VMCS_EPT_POINTER, eptp | EPTP_AD);
		vmwrite(VMCS_PML_ADDRESS, (uint64_t)log);
		vmwrite(VMCS_PML_INDEX, 0xffff);
		for (uint64_t gpa = 0; gpa < 0x200000; gpa += 4096)
			*ept_entry(gpa) |= EPT_A | EPT_D;
		*leaf &= ~(uint64_t)EPT_D;
		iret_exits("log full", EXIT_PML_FULL, blocked);
		control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_PML);
		vmwrite(VMCS_EPT_POINTER, eptp);
	}
	run("then it returns", g_iret, EXIT_VMCALL);
	check(((uint64_t *)page)[SEL_CODE / 8] & accessed, "then it returns", "no accessed flag");
	vmwrite(VMCS_GUEST_GDTR_BASE, (uint64_t)gdt);
	control_clear(VMCS_PIN_CONTROLS, PIN_NMI_EXITING | PIN_VIRTUAL_NMIS);
}

/* A permission taken away is gone after INVEPT at the latest. */
static void invalidation(void)
{
	heading("invalidation");
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_VPID);
	vmwrite(VMCS_VPID, 5);
	regs[REG_RBX] = AT + 200;
	permit(AT, 2);
	run("allowed", g_write8, EXIT_VMCALL);
	run("and still", g_write8, EXIT_VMCALL);
	regs[REG_RBX] = AT + 300;
	denied("another sub-page of a cached page", g_write8, AT + 300);
	regs[REG_RBX] = AT + 200;
	permit(AT, 4);
	denied("taken away", g_write8, AT + 200);
	regs[REG_RBX] = AT + 300;
	run("given", g_write8, EXIT_VMCALL);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_VPID);
}

static void logging(uint64_t eptp)
{
	if (!(rdmsr(IA32_VMX_EPT_VPID_CAP) & EPT_CAP_AD) || !control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_PML))
		return;
	heading("with dirty flags and PML");
	vmwrite(VMCS_EPT_POINTER, eptp | EPTP_AD);
	vmwrite(VMCS_PML_ADDRESS, (uint64_t)log);
	for (uint64_t gpa = 0; gpa < 0x200000; gpa += 4096)
		*ept_entry(gpa) |= EPT_A | EPT_D;
	for (uint64_t gpa = 0x200000; gpa < 1ull << 32; gpa += 0x200000)
		*ept_entry(gpa) |= EPT_A | EPT_D;
	*leaf &= ~(EPT_A | EPT_D);
	vmwrite(VMCS_PML_INDEX, PML_INDEX_START);
	permit(AT, 1);
	regs[REG_RBX] = AT + 128;
	denied("no flag by a denied write", g_write8, AT + 128);
	check(!(*leaf & EPT_D) && vmread(VMCS_PML_INDEX) == PML_INDEX_START, "no flag by a denied write", "%lx, index %lu",
	      *leaf, vmread(VMCS_PML_INDEX));
	regs[REG_RBX] = AT;
	run("an allowed write", g_write8, EXIT_VMCALL);
	check((*leaf & EPT_D) && vmread(VMCS_PML_INDEX) == PML_INDEX_START - 1 && log[511] == AT, "an allowed write",
	      "%lx, index %lu, entry %lx", *leaf, vmread(VMCS_PML_INDEX), log[511]);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_PML);
	vmwrite(VMCS_EPT_POINTER, eptp);
}

static void entry_fails(const char *name)
{
	guest_at(guest_vmcall);
	int r = enter_guest();

	check(r == 1 && vmread(VMCS_INSTRUCTION_ERROR) == VMXERR_ENTRY_BAD_CONTROLS, name, "result %d, error %lu", r,
	      vmread(VMCS_INSTRUCTION_ERROR));
}

static void entry_rules(void)
{
	uint64_t pointer = (uint64_t)table[3];

	heading("VM entry");
	vmwrite(VMCS_SPPTP, pointer | 8);
	entry_fails("pointer not aligned");
	vmwrite(VMCS_SPPTP, pointer | 1ull << 51);
	entry_fails("pointer beyond the width");
	vmwrite(VMCS_SPPTP, pointer);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
	entry_fails("without EPT");
	control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT);
	run("in order", guest_vmcall, EXIT_VMCALL);
}

int main(void)
{
	uint64_t eptp;

	if (!check(vmx_start(), "VMXON", "failed"))
		return 1;
	vmcs_fresh(guest_vmcall);
	eptp = ept_identity();
	vmwrite(VMCS_EPT_POINTER, eptp);
	for (unsigned level = 1; level < 4; level++)
		*entry_of(level, AT) = (uint64_t)table[level - 1] | SPP_VALID;
	vmwrite(VMCS_SPPTP, (uint64_t)table[3]);
	if (!control_set(VMCS_PROC2_CONTROLS, PROC2_ENABLE_EPT | PROC2_SPP)) {
		say("skip: no sub-page write permissions\n");
		return 0;
	}
	leaf = ept_entry(AT);
	leaf_before = *leaf;
	*leaf = (leaf_before & ~EPT_W) | EPT_SPP;
	each_subpage();
	crossing();
	kinds_of_store();
	strings();
	two_pages();
	stacks();
	table_update();
	events_of_table();
	when_it_counts();
	by_upper_entry(eptp);
	without_paging();
	iret_unblocks(eptp);
	invalidation();
	logging(eptp);
	entry_rules();
	return failures() != 0;
}
