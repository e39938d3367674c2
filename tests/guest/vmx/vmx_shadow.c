/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMCS shadowing: which VMREAD and VMWRITE of a guest exit, what the others do to the shadow VMCS, what an entry checks.
 * SDM 3C "VMCS Shadowing Bitmap Addresses" (25.6.15), "VMREAD", "VMWRITE" in chapter 31, "Checks on Guest Non-Register
 * State" (27.3.1.5).
 */
#include "rules.h"

static uint8_t shadow[4096] __attribute__((aligned(4096)));
static uint8_t read_bitmap[4096] __attribute__((aligned(4096)));
static uint8_t write_bitmap[4096] __attribute__((aligned(4096)));

#define VALUE 0x1122334455667788ull

/* RAX: encoding. RBX: what is read, or written. RCX: RFLAGS afterwards. */
static __attribute__((naked)) void g_read(void)
{
	asm("stc; vmread %rax, %rbx; pushf; pop %rcx; 1: vmcall; jmp 1b");
}

static __attribute__((naked)) void g_write(void)
{
	asm("stc; vmwrite %rbx, %rax; pushf; pop %rcx; 1: vmcall; jmp 1b");
}

/* The same with the value in memory at RDX. */
static __attribute__((naked)) void g_read_memory(void)
{
	asm("stc; vmread %rax, (%rdx); pushf; pop %rcx; 1: vmcall; jmp 1b");
}

static __attribute__((naked)) void g_write_memory(void)
{
	asm("stc; vmwrite (%rdx), %rax; pushf; pop %rcx; 1: vmcall; jmp 1b");
}

static void set_bit(uint8_t *bitmap, uint64_t encoding, bool value)
{
	bitmap[encoding / 8] = (uint8_t)((bitmap[encoding / 8] & ~(1u << (encoding & 7))) | (unsigned)value << (encoding & 7));
}

static void run(void (*fn)(void), uint64_t encoding, uint64_t value)
{
	guest_at(fn);
	regs[REG_RAX] = encoding;
	regs[REG_RBX] = value;
	vmwrite(VMCS_INSTRUCTION_ERROR, 0);
	enter_guest();
}

static void exits(void (*fn)(void), uint64_t encoding, unsigned reason, const char *name)
{
	run(fn, encoding, 0);
	check(vmread(VMCS_EXIT_REASON) == reason && vmread(VMCS_GUEST_RIP) == (uint64_t)fn + 1, name,
	      "encoding %lx: reason %lx, rip +%lx", encoding, vmread(VMCS_EXIT_REASON), vmread(VMCS_GUEST_RIP) - (uint64_t)fn);
}

/* The instruction does not exit and ends with these status flags. */
static void stays(void (*fn)(void), uint64_t encoding, uint64_t value, uint64_t flags, const char *name)
{
	run(fn, encoding, value);
	check(vmread(VMCS_EXIT_REASON) == EXIT_VMCALL && (regs[REG_RCX] & EFLAGS_ARITHMETIC) == flags, name,
	      "encoding %lx: reason %lx, flags %lx, expected %lx", encoding, vmread(VMCS_EXIT_REASON), regs[REG_RCX], flags);
}

/* A field of the shadow VMCS, by making it current for a moment. */
static uint64_t shadow_read(uint64_t encoding)
{
	uint64_t v;

	vmptrld((uint64_t)shadow);
	v = vmread(encoding);
	vmclear((uint64_t)shadow);
	vmptrld((uint64_t)vmcs_region);
	return v;
}

static void shadow_write(uint64_t encoding, uint64_t value)
{
	vmptrld((uint64_t)shadow);
	vmwrite(encoding, value);
	vmclear((uint64_t)shadow);
	vmptrld((uint64_t)vmcs_region);
}

/* One encoding with all four settings of its two bits. */
static void field(uint64_t encoding, uint64_t written, uint64_t expected)
{
	set_bit(read_bitmap, encoding, true);
	set_bit(write_bitmap, encoding, true);
	exits(g_read, encoding, EXIT_VMREAD, "VMREAD, both bits 1");
	exits(g_write, encoding, EXIT_VMWRITE, "VMWRITE, both bits 1");
	set_bit(write_bitmap, encoding, false);
	exits(g_read, encoding, EXIT_VMREAD, "VMREAD, its bit 1");
	stays(g_write, encoding, written, 0, "VMWRITE, its bit 0");
	check(shadow_read(encoding) == expected, "VMWRITE to the shadow VMCS", "%lx: %lx, expected %lx", encoding,
	      shadow_read(encoding), expected);
	set_bit(write_bitmap, encoding, true);
	set_bit(read_bitmap, encoding, false);
	stays(g_read, encoding, 0, 0, "VMREAD, its bit 0");
	check(regs[REG_RBX] == expected, "VMREAD from the shadow VMCS", "%lx: %lx, expected %lx", encoding, regs[REG_RBX], expected);
	exits(g_write, encoding, EXIT_VMWRITE, "VMWRITE, its bit 1");
	set_bit(read_bitmap, encoding, true);
}

static void fields(void)
{
	uint64_t mine = vmread(VMCS_GUEST_CR3);

	heading("fields of each width");
	field(VMCS_GUEST_CR3, VALUE, VALUE);
	field(VMCS_GUEST_ES_SELECTOR, VALUE, VALUE & 0xffff);
	field(VMCS_EXCEPTION_BITMAP, VALUE, VALUE & 0xffffffff);
	field(VMCS_TSC_OFFSET, VALUE, VALUE);
	field(VMCS_TSC_OFFSET + 1, 0x99, 0x99);
	check(shadow_read(VMCS_TSC_OFFSET) == (0x99ull << 32 | (VALUE & 0xffffffff)), "upper half", "%lx", shadow_read(VMCS_TSC_OFFSET));
	field(VMCS_EXIT_REASON, 0x30, 0x30); /* IA32_VMX_MISC bit 29: also exit information */
	check(vmread(VMCS_GUEST_CR3) == mine, "the current VMCS keeps its field", "%lx", vmread(VMCS_GUEST_CR3));
}

static void in_memory(void)
{
	static uint64_t value;

	heading("memory operands");
	regs[REG_RDX] = (uint64_t)&value;
	set_bit(read_bitmap, VMCS_GUEST_RIP, false);
	set_bit(write_bitmap, VMCS_GUEST_RIP, false);
	value = VALUE;
	stays(g_write_memory, VMCS_GUEST_RIP, 0, 0, "VMWRITE from memory");
	check(shadow_read(VMCS_GUEST_RIP) == VALUE, "written", "%lx", shadow_read(VMCS_GUEST_RIP));
	shadow_write(VMCS_GUEST_RIP, ~VALUE);
	stays(g_read_memory, VMCS_GUEST_RIP, 0, 0, "VMREAD to memory");
	check(value == ~VALUE, "read", "%lx", value);
}

/* Encodings that name no field: VMfailValid of the current VMCS; above bit 14: an exit whatever the bitmaps say. */
static void no_field(void)
{
	static const uint64_t none[] = { 0x7ffe, VMCS_GUEST_RIP + 1, BIT(12) };

	heading("no such field");
	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		set_bit(read_bitmap, none[i], false);
		set_bit(write_bitmap, none[i], false);
		stays(g_read, none[i], 0, EFLAGS_ZF, "VMREAD");
		check(vmread(VMCS_INSTRUCTION_ERROR) == VMXERR_UNSUPPORTED_COMPONENT, "VMREAD", "error %lu", vmread(VMCS_INSTRUCTION_ERROR));
		stays(g_write, none[i], 0, EFLAGS_ZF, "VMWRITE");
		check(vmread(VMCS_INSTRUCTION_ERROR) == VMXERR_UNSUPPORTED_COMPONENT, "VMWRITE", "error %lu", vmread(VMCS_INSTRUCTION_ERROR));
	}
	for (unsigned bit = 15; bit < 64; bit++) {
		exits(g_read, BIT(bit) | VMCS_GUEST_RIP, EXIT_VMREAD, "VMREAD with a bit above 14");
		exits(g_write, BIT(bit) | VMCS_GUEST_RIP, EXIT_VMWRITE, "VMWRITE with a bit above 14");
	}
}

static void no_shadow(void)
{
	heading("no link pointer");
	vmwrite(VMCS_LINK_POINTER, VMX_NO_POINTER);
	stays(g_read, VMCS_GUEST_RIP, 0, EFLAGS_CF, "VMREAD fails with CF");
	stays(g_write, VMCS_GUEST_RIP, 0, EFLAGS_CF, "VMWRITE fails with CF");
	set_bit(read_bitmap, VMCS_GUEST_RIP, true);
	exits(g_read, VMCS_GUEST_RIP, EXIT_VMREAD, "VMREAD exits by its bit");
	vmwrite(VMCS_LINK_POINTER, (uint64_t)shadow);
}

/* CPL is looked at only by an instruction that does not exit. */
static void unprivileged(void)
{
	heading("CPL 3");
	guest_at(g_write);
	vmwrite(VMCS_GUEST_CS_AR, 0xa0fb);
	vmwrite(VMCS_GUEST_CS_SELECTOR, SEL_UCODE | 3);
	vmwrite(VMCS_GUEST_SS_AR, 0xc0f3);
	vmwrite(VMCS_GUEST_SS_SELECTOR, SEL_UDATA | 3);
	vmwrite(VMCS_EXCEPTION_BITMAP, 1u << VEC_GP);
	exits(g_read, VMCS_GUEST_RIP, EXIT_VMREAD, "VMREAD exits by its bit");
	run(g_write, VMCS_GUEST_RIP, 0);
	check(vmread(VMCS_EXIT_REASON) == EXIT_EXCEPTION_NMI && (vmread(VMCS_EXIT_INTR_INFO) & 0xff) == VEC_GP, "VMWRITE is #GP",
	      "reason %lx, interruption %lx", vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_INTR_INFO));
	vmwrite(VMCS_EXCEPTION_BITMAP, 0);
	vmwrite(VMCS_GUEST_CS_AR, 0xa09b);
	vmwrite(VMCS_GUEST_CS_SELECTOR, SEL_CODE);
	vmwrite(VMCS_GUEST_SS_AR, 0xc093);
	vmwrite(VMCS_GUEST_SS_SELECTOR, SEL_DATA);
}

static void entry_rules(void)
{
	uint64_t map = (uint64_t)read_bitmap, mine = (uint64_t)vmcs_region;
	const struct rule rules[] = {
		{ VMCS_VMREAD_BITMAP, ~0ull, map + 8, BAD_CONTROL, "VMREAD bitmap not aligned" },
		{ VMCS_VMREAD_BITMAP, ~0ull, BEYOND, BAD_CONTROL, "VMREAD bitmap out of range" },
		{ VMCS_VMWRITE_BITMAP, ~0ull, map + 8, BAD_CONTROL, "VMWRITE bitmap not aligned" },
		{ VMCS_VMWRITE_BITMAP, ~0ull, BEYOND, BAD_CONTROL, "VMWRITE bitmap out of range" },
		{ VMCS_LINK_POINTER, ~0ull, (uint64_t)other_region, BAD_LINK, "link pointer to a VMCS that is no shadow" },
		{ VMCS_LINK_POINTER, ~0ull, (uint64_t)shadow + 8, BAD_LINK, "link pointer not aligned" },
		{ VMCS_LINK_POINTER, ~0ull, BEYOND, BAD_LINK, "link pointer out of range" },
		{ VMCS_LINK_POINTER, ~0ull, mine, BAD_LINK, "link pointer to the current VMCS" },
		{ VMCS_PROC2_CONTROLS, 0, PROC2_VMCS_SHADOWING, BAD_LINK, "link pointer to a shadow VMCS without shadowing" },
	};

	heading("entry");
	TRY(rules);
	control_clear(VMCS_PROC2_CONTROLS, PROC2_VMCS_SHADOWING);
	vmwrite(VMCS_LINK_POINTER, (uint64_t)other_region);
	expect_success("link pointer to an ordinary VMCS, no shadowing");
	try(&(struct rule){ VMCS_LINK_POINTER, ~0ull, mine, BAD_LINK, "link pointer to the current VMCS, no shadowing" });
}

/* A shadow VMCS can be current, but not be entered. */
static void not_for_entry(void)
{
	heading("a shadow VMCS");
	check(vmptrld((uint64_t)shadow) == 0, "VMPTRLD", "error %lu", vmread(VMCS_INSTRUCTION_ERROR));
	check(guest_run(true) == 2, "VMLAUNCH", "expected VMfailInvalid");
	check(guest_run(false) == 2, "VMRESUME", "expected VMfailInvalid");
	vmclear((uint64_t)shadow);
	check(shadow[3] & 0x80, "it keeps its mark", "%x", shadow[3]);
	check(vmxoff() == 0 && vmxon((uint64_t)shadow) == 2, "VMXON", "expected VMfailInvalid");
	vmxon((uint64_t)vmxon_region);
}

int main(void)
{
	uint32_t revision;

	if (!check(vmx_start(), "VMXON", "failed"))
		return 1;
	vmcs_fresh(guest_vmcall);
	if (!control_allowed(VMCS_PROC2_CONTROLS, PROC2_VMCS_SHADOWING)) {
		say("skip: no VMCS shadowing\n");
		return 0;
	}
	revision = (uint32_t)rdmsr(IA32_VMX_BASIC) | VMCS_REVISION_SHADOW;
	memcpy(shadow, &revision, 4);
	vmclear((uint64_t)shadow);
	vmwrite(VMCS_VMREAD_BITMAP, (uint64_t)read_bitmap);
	vmwrite(VMCS_VMWRITE_BITMAP, (uint64_t)write_bitmap);
	exits(g_read, VMCS_GUEST_RIP, EXIT_VMREAD, "VMREAD without shadowing");
	exits(g_write, VMCS_GUEST_RIP, EXIT_VMWRITE, "VMWRITE without shadowing");
	control_set(VMCS_PROC2_CONTROLS, PROC2_VMCS_SHADOWING);
	vmwrite(VMCS_LINK_POINTER, (uint64_t)shadow);
	fields();
	in_memory();
	no_field();
	no_shadow();
	unprivileged();
	entry_rules();
	not_for_entry();
	return failures() != 0;
}
