/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The VMX instructions in root operation: #UD, #GP, and each VMfail by its number. SDM 3C chapter 31. */
#include "lib.h"

static void do_vmxon(void)
{
	vmxon((uint64_t)vmxon_region);
}

static void do_vmptrst(void)
{
	vmptrst();
}

static void do_vmcall(void)
{
	asm volatile("vmcall" : : : "cc", "memory");
}

static void do_vmfunc(void)
{
	asm volatile("vmfunc" : : "a"(0), "c"(0) : "cc");
}

static void expect_fault(void (*fn)(void), unsigned vector, const char *name)
{
	unsigned v = survive(fn);

	check(v == vector, name, "vector %u, expected %u", v, vector);
}

static void expect_error(int result, uint32_t error, const char *name)
{
	uint64_t got = vmread(VMCS_INSTRUCTION_ERROR);

	check(result == 1 && got == error, name, "result %d, error %lu, expected %u", result, got, error);
}

/* --- capabilities --- */

/* The control word's older MSR and its TRUE one, and the bits of the class default1 (SDM 3D appendix A.2). */
static const struct {
	uint32_t old, real, default1;
} words[] = {
	{ IA32_VMX_PINBASED_CTLS, IA32_VMX_TRUE_PINBASED_CTLS, 0x16 },
	{ IA32_VMX_PROCBASED_CTLS, IA32_VMX_TRUE_PROCBASED_CTLS, 0x0401e172 },
	{ IA32_VMX_EXIT_CTLS, IA32_VMX_TRUE_EXIT_CTLS, 0x00036dff },
	{ IA32_VMX_ENTRY_CTLS, IA32_VMX_TRUE_ENTRY_CTLS, 0x000011ff },
};

static uint64_t new_cr4;

static void load_cr4(void)
{
	write_cr4(new_cr4);
}

static void capabilities(void)
{
	uint64_t cr0_0 = rdmsr(IA32_VMX_CR0_FIXED0), cr0_1 = rdmsr(IA32_VMX_CR0_FIXED1);
	uint64_t cr4_0 = rdmsr(IA32_VMX_CR4_FIXED0), cr4_1 = rdmsr(IA32_VMX_CR4_FIXED1);

	heading("capability MSRs");
	for (unsigned i = 0; i < 4; i++) {
		uint64_t old = rdmsr(words[i].old), real = rdmsr(words[i].real);

		check((old & words[i].default1) == words[i].default1, "default1", "MSR %x is %lx", words[i].old, old);
		check(old >> 32 == real >> 32, "allowed 1-settings", "%lx against %lx", old, real);
		check((uint32_t)old == ((uint32_t)real | words[i].default1), "allowed 0-settings", "%lx against %lx", old, real);
	}
	check(cr0_0 == (CR0_PE | CR0_NE | CR0_PG), "IA32_VMX_CR0_FIXED0", "%lx", cr0_0);
	check(!(cr0_0 & ~cr0_1) && !(cr4_0 & ~cr4_1) && cr4_0 == CR4_VMXE, "fixed bits", "%lx, %lx", cr4_0, cr4_1);
	for (unsigned bit = 0; bit < 32; bit++) {
		new_cr4 = read_cr4() | 1ull << bit;
		if (!(cr4_1 >> bit & 1))
			expect_fault(load_cr4, VEC_GP, "a bit of CR4 that is fixed to 0");
	}
}

/* --- at CPL 3 --- */

static void (*in_user_mode)(void);

/* The handler of the fault returns to survive(), so that this need not. */
static void enter_user_mode(void)
{
	asm volatile("push %0; push %%rsp; pushf; push %1; push %2; iretq"
		     : : "i"(SEL_UDATA | 3), "i"(SEL_UCODE | 3), "m"(in_user_mode) : "memory");
}

#define USER(name, insn) \
	static __attribute__((naked)) void name(void) { asm(insn "; ud2"); }

USER(u_vmxon, "vmxon vmxon_region")
USER(u_vmxoff, "vmxoff")
USER(u_vmcall, "vmcall")
USER(u_vmptrst, "vmptrst regs")
USER(u_vmptrld, "vmptrld regs")
USER(u_vmclear, "vmclear regs")
USER(u_vmread, "vmread %rax, %rcx")
USER(u_vmwrite, "vmwrite %rax, %rcx")
USER(u_vmlaunch, "vmlaunch")
USER(u_vmresume, "vmresume")
USER(u_invept, "invept regs, %rax")
USER(u_invvpid, "invvpid regs, %rax")

static void expect_user_gp(void (*fn)(void), const char *name)
{
	in_user_mode = fn;
	expect_fault(enter_user_mode, VEC_GP, name);
	check(last_error == 0 && last_rip == (uint64_t)fn, name, "error code %x, rip %lx", last_error, last_rip);
	asm volatile("mov %0, %%ds; mov %0, %%es" : : "r"(SEL_DATA)); /* the way to CPL 3 has cleared them */
}

static void user_mode(void)
{
	static const struct {
		void (*fn)(void);
		const char *name;
	} insns[] = {
		{ u_vmxon, "VMXON" }, { u_vmxoff, "VMXOFF" }, { u_vmcall, "VMCALL" }, { u_vmptrst, "VMPTRST" }, { u_vmptrld, "VMPTRLD" },
		{ u_vmclear, "VMCLEAR" }, { u_vmread, "VMREAD" }, { u_vmwrite, "VMWRITE" }, { u_vmlaunch, "VMLAUNCH" },
		{ u_vmresume, "VMRESUME" }, { u_invept, "INVEPT" }, { u_invvpid, "INVVPID" },
	};

	heading("root operation at CPL 3");
	for (unsigned i = 0; i < sizeof(insns) / sizeof(insns[0]); i++)
		expect_user_gp(insns[i].fn, insns[i].name);
}

static void outside_vmx(void)
{
	heading("outside VMX operation");
	expect_fault(do_vmptrst, VEC_UD, "VMPTRST");
	expect_fault(do_vmcall, VEC_UD, "VMCALL");
	expect_fault(do_vmxon, VEC_UD, "VMXON without CR4.VMXE");
	write_cr4(read_cr4() | CR4_VMXE);
	if (!(rdmsr(IA32_FEATURE_CONTROL) & FEATURE_CONTROL_LOCK))
		expect_fault(do_vmxon, VEC_GP, "VMXON without IA32_FEATURE_CONTROL");
}

static void clear_vmxe(void)
{
	write_cr4(read_cr4() & ~CR4_VMXE);
}

static void clear_ne(void)
{
	write_cr0(read_cr0() & ~CR0_NE);
}

static void write_feature_control(void)
{
	wrmsr(IA32_FEATURE_CONTROL, 0);
}

static void entering(void)
{
	uint64_t big = rdmsr(IA32_VMX_BASIC) & VMX_BASIC_32BIT_ADDRESS ? 1ull << 32 : 1ull << 51;

	heading("VMXON");
	check(vmx_start(), "VMXON", "failed");
	check(vmptrst() == VMX_NO_POINTER, "no current VMCS", "%lx", vmptrst());
	expect_fault(write_feature_control, VEC_GP, "IA32_FEATURE_CONTROL is locked");
	expect_fault(clear_vmxe, VEC_GP, "CR4.VMXE is fixed");
	expect_fault(clear_ne, VEC_GP, "CR0.NE is fixed");
	check(vmxon((uint64_t)vmxon_region) == 2, "VMXON again, no current VMCS", "expected VMfailInvalid");
	check(vmxoff() == 0, "VMXOFF", "failed");
	expect_user_gp(u_vmxon, "VMXON at CPL 3");
	check(vmxon((uint64_t)vmxon_region + 8) == 2, "VMXON, not aligned", "expected VMfailInvalid");
	check(vmxon(big) == 2, "VMXON beyond the address width", "expected VMfailInvalid");
	vmxon_region[0] ^= 1;
	check(vmxon((uint64_t)vmxon_region) == 2, "VMXON, wrong revision", "expected VMfailInvalid");
	vmxon_region[0] ^= 1;
	vmxon_region[3] ^= 0x80;
	check(vmxon((uint64_t)vmxon_region) == 2, "VMXON, bit 31 of the revision", "expected VMfailInvalid");
	vmxon_region[3] ^= 0x80;
	check(vmxon((uint64_t)vmxon_region) == 0, "VMXON with all in order", "failed");
	expect_fault(do_vmfunc, VEC_UD, "VMFUNC");
}

static void without_vmcs(void)
{
	uint64_t v = 0;

	heading("no current VMCS");
	check(vmread_status(VMCS_GUEST_RIP, &v) == 2, "VMREAD", "expected VMfailInvalid");
	check(vmwrite(VMCS_GUEST_RIP, 0) == 2, "VMWRITE", "expected VMfailInvalid");
	check(vmclear((uint64_t)vmcs_region + 1) == 2, "VMCLEAR, not aligned", "expected VMfailInvalid");
	check(guest_run(true) == 2, "VMLAUNCH", "expected VMfailInvalid");
	check(guest_run(false) == 2, "VMRESUME", "expected VMfailInvalid");
}

static void pointers(void)
{
	uint64_t mine = (uint64_t)vmcs_region;

	heading("VMCLEAR, VMPTRLD, VMPTRST");
	check(vmclear(mine) == 0, "VMCLEAR", "failed");
	check(vmptrld(mine) == 0, "VMPTRLD", "failed");
	check(vmptrst() == mine, "VMPTRST", "%lx", vmptrst());
	expect_error(vmclear(mine + 0x10), VMXERR_VMCLEAR_BAD_ADDRESS, "VMCLEAR, not aligned");
	expect_error(vmclear(1ull << 51), VMXERR_VMCLEAR_BAD_ADDRESS, "VMCLEAR beyond the address width");
	expect_error(vmclear((uint64_t)vmxon_region), VMXERR_VMCLEAR_VMXON_POINTER, "VMCLEAR of the VMXON region");
	expect_error(vmptrld(mine + 0x10), VMXERR_VMPTRLD_BAD_ADDRESS, "VMPTRLD, not aligned");
	expect_error(vmptrld(1ull << 51), VMXERR_VMPTRLD_BAD_ADDRESS, "VMPTRLD beyond the address width");
	expect_error(vmptrld((uint64_t)vmxon_region), VMXERR_VMPTRLD_VMXON_POINTER, "VMPTRLD of the VMXON region");
	other_region[1] ^= 1;
	expect_error(vmptrld((uint64_t)other_region), VMXERR_VMPTRLD_BAD_REVISION, "VMPTRLD, wrong revision");
	other_region[1] ^= 1;
	check(vmptrst() == mine, "failing VMPTRLDs change nothing", "%lx", vmptrst());
	expect_error(vmxon((uint64_t)vmxon_region), VMXERR_VMXON_IN_ROOT, "VMXON in root operation");
}

static void keeps_fields(void)
{
	heading("VMCSs keep their fields");
	vmwrite(VMCS_GUEST_RIP, 0x1111);
	vmclear((uint64_t)other_region);
	vmptrld((uint64_t)other_region);
	vmwrite(VMCS_GUEST_RIP, 0x2222);
	vmptrld((uint64_t)vmcs_region);
	check(vmread(VMCS_GUEST_RIP) == 0x1111, "first VMCS", "%lx", vmread(VMCS_GUEST_RIP));
	vmptrld((uint64_t)other_region);
	check(vmread(VMCS_GUEST_RIP) == 0x2222, "second VMCS", "%lx", vmread(VMCS_GUEST_RIP));
	vmclear((uint64_t)other_region);
	check(vmptrst() == VMX_NO_POINTER, "VMCLEAR of the current VMCS", "%lx", vmptrst());
	vmptrld((uint64_t)other_region);
	check(vmread(VMCS_GUEST_RIP) == 0x2222, "after VMCLEAR", "%lx", vmread(VMCS_GUEST_RIP));
	vmptrld((uint64_t)vmcs_region);
}

static const struct field {
	uint32_t encoding;
	const char *name;
} fields[] = {
#define VMCS_FIELD(name, encoding, width, class, cap, text) { encoding, #name },
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
};

/* What a write of all ones reads back as. Exit-information fields may be read-only. */
static uint64_t width_mask(uint32_t encoding)
{
	static const uint64_t masks[] = { 0xffff, ~0ull, 0xffffffff, ~0ull };

	return masks[VMCS_ENC_WIDTH(encoding)];
}

static void one_field(const struct field *f)
{
	uint64_t v = 0, pattern = 0x123456789abcdef0;
	int r = vmwrite(f->encoding, pattern);

	if (r == 1 && vmread(VMCS_INSTRUCTION_ERROR) == VMXERR_UNSUPPORTED_COMPONENT) {
		r = vmread_status(f->encoding, &v);
		check(r == 1, f->name, "VMWRITE says unsupported, VMREAD %d", r);
		return;
	}
	if (VMCS_ENC_CLASS(f->encoding) == VMCS_CLASS_RO)
		return;
	check(r == 0, f->name, "VMWRITE failed with %lu", vmread(VMCS_INSTRUCTION_ERROR));
	check(vmread(f->encoding) == (pattern & width_mask(f->encoding)), f->name, "reads %lx", vmread(f->encoding));
	if (VMCS_ENC_WIDTH(f->encoding) == VMCS_WIDTH_64) {
		check(vmread(f->encoding | 1) == pattern >> 32, f->name, "high half reads %lx", vmread(f->encoding | 1));
		vmwrite(f->encoding | 1, 0x55aa55aa);
		check(vmread(f->encoding) == 0x55aa55aa9abcdef0, f->name, "after a high write %lx", vmread(f->encoding));
	} else {
		r = vmread_status(f->encoding | 1, &v);
		check(r == 1, f->name, "high access to a field that is not 64 bits: %d", r);
	}
}

static void all_fields(void)
{
	uint64_t v = 0, highest = 0;

	heading("VMREAD, VMWRITE");
	for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		one_field(&fields[i]);
		if (vmread_status(fields[i].encoding, &v) == 0 && VMCS_ENC_INDEX(fields[i].encoding) > highest)
			highest = VMCS_ENC_INDEX(fields[i].encoding);
	}
	check((rdmsr(IA32_VMX_VMCS_ENUM) >> 1 & 0x1ff) >= highest, "IA32_VMX_VMCS_ENUM", "%lx, highest index %lx",
	      rdmsr(IA32_VMX_VMCS_ENUM), highest);
	expect_error(vmwrite(0x0006, 0), VMXERR_UNSUPPORTED_COMPONENT, "VMWRITE of no field");
	expect_error(vmwrite(0x7ffe, 0), VMXERR_UNSUPPORTED_COMPONENT, "VMWRITE of no field, high index");
	expect_error(vmread_status(0x100000000 | VMCS_GUEST_RIP, &v), VMXERR_UNSUPPORTED_COMPONENT, "VMREAD, encoding bit 32");
}

static void memory_operands(void)
{
	uint64_t v = 0, w = 0x7777, field = VMCS_GUEST_RSP;
	uint64_t in = 0xfedcba9876543210;

	asm volatile("vmwrite %0, %1" : : "m"(in), "r"(field) : "cc");
	asm volatile("vmread %1, %0" : "=m"(v) : "r"(field) : "cc", "memory");
	check(v == in, "VMWRITE from and VMREAD to memory", "%lx", v);
	check(w == 0x7777, "VMREAD to memory", "wrote too much");
}

static void invalidation(void)
{
	uint64_t eptp = ept_identity();
	uint64_t cap = rdmsr(IA32_VMX_EPT_VPID_CAP);

	heading("INVEPT, INVVPID");
	check(invept(INVEPT_ALL, 0, 0) == 0, "INVEPT all", "failed");
	check(invept(INVEPT_SINGLE, eptp, 0) == 0, "INVEPT single", "failed");
	expect_error(invept(0, eptp, 0), VMXERR_INVALIDATE_BAD_OPERAND, "INVEPT type 0");
	expect_error(invept(3, eptp, 0), VMXERR_INVALIDATE_BAD_OPERAND, "INVEPT type 3");
	expect_error(invept(INVEPT_SINGLE, eptp & ~EPTP_WALK, 0), VMXERR_INVALIDATE_BAD_OPERAND, "INVEPT, bad walk length");
	expect_error(invept(INVEPT_SINGLE, eptp | 1ull << 51, 0), VMXERR_INVALIDATE_BAD_OPERAND, "INVEPT, bad address");
	if (!(cap & VPID_CAP_INVVPID))
		return;
	check(invvpid(INVVPID_ALL, 0, 0) == 0, "INVVPID all", "failed");
	check(invvpid(INVVPID_SINGLE, 1, 0) == 0, "INVVPID single", "failed");
	check(invvpid(INVVPID_ADDRESS, 1, 0x1000) == 0, "INVVPID address", "failed");
	check(invvpid(INVVPID_SINGLE_NONGLOBAL, 1, 0) == 0, "INVVPID non-global", "failed");
	expect_error(invvpid(4, 1, 0), VMXERR_INVALIDATE_BAD_OPERAND, "INVVPID type 4");
	expect_error(invvpid(INVVPID_SINGLE, 0, 0), VMXERR_INVALIDATE_BAD_OPERAND, "INVVPID single, VPID 0");
	expect_error(invvpid(INVVPID_ADDRESS, 1, 1ull << 63), VMXERR_INVALIDATE_BAD_OPERAND, "INVVPID, not canonical");
	expect_error(invvpid(INVVPID_ALL, 1ull << 16, 0), VMXERR_INVALIDATE_BAD_OPERAND, "INVVPID, reserved bits");
}

static void launch_state(void)
{
	int r;

	heading("launch state");
	do_vmcall();
	check(vmread(VMCS_INSTRUCTION_ERROR) == VMXERR_VMCALL_IN_ROOT, "VMCALL in root", "%lu", vmread(VMCS_INSTRUCTION_ERROR));
	vmcs_fresh(guest_vmcall);
	expect_error(guest_run(false), VMXERR_VMRESUME_NOT_LAUNCHED, "VMRESUME of a clear VMCS");
	r = launch_in_shadow();
	expect_error(r, VMXERR_ENTRY_MOV_SS, "VMLAUNCH in the shadow of MOV SS");
	r = enter_guest();
	check(r == 0 && vmread(VMCS_EXIT_REASON) == EXIT_VMCALL, "VMLAUNCH", "result %d, reason %lx, error %lu", r,
	      vmread(VMCS_EXIT_REASON), vmread(VMCS_INSTRUCTION_ERROR));
	expect_error(guest_run(true), VMXERR_VMLAUNCH_NOT_CLEAR, "VMLAUNCH of a launched VMCS");
	vmclear((uint64_t)other_region);
	vmptrld((uint64_t)other_region);
	vmptrld((uint64_t)vmcs_region);
	check(enter_guest() == 0, "VMRESUME after another VMCS was current", "error %lu", vmread(VMCS_INSTRUCTION_ERROR));
	vmclear((uint64_t)vmcs_region);
	vmptrld((uint64_t)vmcs_region);
	expect_error(guest_run(false), VMXERR_VMRESUME_NOT_LAUNCHED, "VMRESUME after VMCLEAR");
}

int main(void)
{
	outside_vmx();
	entering();
	without_vmcs();
	pointers();
	keeps_fields();
	all_fields();
	memory_operands();
	invalidation();
	launch_state();
	capabilities();
	user_mode();
	check(vmxoff() == 0, "VMXOFF", "failed");
	expect_fault(do_vmptrst, VEC_UD, "VMPTRST after VMXOFF");
	clear_vmxe();
	return failures() != 0;
}
