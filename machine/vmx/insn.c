/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMX instructions. SDM 3C chapter 31 "VMX Instruction Reference". Each begins with the checks that its Operation
 * section lists first (#UD, VM exit, #GP) and ends with one of VMsucceed, VMfailInvalid, VMfailValid.
 */
#include "arch/vmcs.h"
#include "arch/vmx.h"
#include "arch/x86.h"
#include "machine/cpu/dispatch.h"
#include "machine/cpu/mem.h"
#include "machine/cpu/sys/sys.h"
#include "machine/vmx/caps.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

/* SDM 3C 31.2 "Conventions" */
static void vm_succeed(struct cpu *c)
{
	cpu_set_status(c, 0);
}

static void vm_fail_invalid(struct cpu *c)
{
	cpu_set_status(c, EFLAGS_CF);
}

static void vm_fail(struct cpu *c, enum vmx_error error)
{
	if (c->vmx.vmcs_ptr == VMX_NO_POINTER) {
		vm_fail_invalid(c);
		return;
	}
	cpu_set_status(c, EFLAGS_ZF);
	VMCS(c, INSTRUCTION_ERROR) = error;
}

static const struct op *done(struct cpu *c, const struct op *o, enum cost cost)
{
	cpu_charge(c, cost);
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

static bool mode_has_vmx(const struct cpu *c)
{
	if (!(c->cr0 & CR0_PE) || (c->eflags & EFLAGS_VM))
		return false;
	return !(c->efer & EFER_LMA) || c->code_size == 64;
}

/* The common beginning of all instructions but VMXON and VMCALL. */
static void begin(struct cpu *c, const struct op *o, unsigned exit_reason)
{
	cpu_sync(c, o);
	if (!c->vmx.on || !mode_has_vmx(c))
		cpu_raise(c, NULL, VEC_UD);
	if (c->vmx.nonroot)
		vmx_intercept_info(c, o, exit_reason);
	if (c->cpl > 0)
		cpu_raise_err(c, NULL, VEC_GP, 0);
}

static unsigned operand_size(const struct cpu *c)
{
	return c->code_size == 64 ? 8 : 4;
}

static u64 register_value(const struct cpu *c, unsigned reg)
{
	return c->code_size == 64 ? c->gpr[reg] : (u32)c->gpr[reg];
}

/* The 64-bit pointer in memory that VMXON, VMPTRLD and VMCLEAR take. */
static u64 pointer_operand(struct cpu *c, const struct op *o)
{
	return ld64(c, o, op_lin(c, o, 8, ACCESS_READ));
}

static bool region_address_valid(u64 addr)
{
	return !(addr & PAGE_OFFSET_MASK) && !(addr & ~CPU_PHYS_MASK);
}

static void vmxon_prerequisites(struct cpu *c)
{
	u64 need = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX;

	if (c->cpl > 0 || (c->feature_control & need) != need)
		cpu_raise_err(c, NULL, VEC_GP, 0);
	if ((c->cr0 & VMX_CR0_FIXED0) != VMX_CR0_FIXED0 || (c->cr4 & VMX_CR4_FIXED0) != VMX_CR4_FIXED0)
		cpu_raise_err(c, NULL, VEC_GP, 0);
}

static void vmxon_enter(struct cpu *c, u64 ptr)
{
	if (!region_address_valid(ptr) || vmx_phys_read(c, ptr, 4) != VMX_REVISION) {
		vm_fail_invalid(c);
		return;
	}
	c->vmx.on = true;
	c->vmx.vmxon_ptr = ptr;
	c->vmx.vmcs_ptr = VMX_NO_POINTER;
	vm_succeed(c);
}

static const struct op *op_vmxon(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	if (!mode_has_vmx(c) || !(c->cr4 & CR4_VMXE))
		cpu_raise(c, NULL, VEC_UD);
	if (!c->vmx.on) {
		vmxon_prerequisites(c);
		vmxon_enter(c, pointer_operand(c, o));
		return done(c, o, COST_VMXON);
	}
	if (c->vmx.nonroot)
		vmx_intercept_info(c, o, EXIT_VMXON);
	if (c->cpl > 0)
		cpu_raise_err(c, NULL, VEC_GP, 0);
	vm_fail(c, VMXERR_VMXON_IN_ROOT);
	return done(c, o, COST_VMXON);
}

static const struct op *op_vmxoff(struct cpu *c, const struct op *o)
{
	begin(c, o, EXIT_VMXOFF);
	if (c->vmx.vmcs_ptr != VMX_NO_POINTER)
		vmcs_store(c, c->vmx.vmcs_ptr);
	c->vmx.on = false;
	c->vmx.vmxon_ptr = c->vmx.vmcs_ptr = VMX_NO_POINTER;
	vm_succeed(c);
	return done(c, o, COST_VMXOFF);
}

static void vmclear(struct cpu *c, u64 ptr)
{
	if (!region_address_valid(ptr)) {
		vm_fail(c, VMXERR_VMCLEAR_BAD_ADDRESS);
		return;
	}
	if (ptr == c->vmx.vmxon_ptr) {
		vm_fail(c, VMXERR_VMCLEAR_VMXON_POINTER);
		return;
	}
	if (ptr == c->vmx.vmcs_ptr) {
		c->vmx.vmcs->launched = 0;
		vmcs_store(c, ptr);
		c->vmx.vmcs_ptr = VMX_NO_POINTER;
	} else {
		vmx_phys_write(c, ptr + offsetof(struct vmcs_cache, launched), 4, 0);
	}
	vm_succeed(c);
}

static const struct op *op_vmclear(struct cpu *c, const struct op *o)
{
	begin(c, o, EXIT_VMCLEAR);
	vmclear(c, pointer_operand(c, o));
	return done(c, o, COST_VMCLEAR);
}

static void vmptrld(struct cpu *c, u64 ptr)
{
	if (!region_address_valid(ptr)) {
		vm_fail(c, VMXERR_VMPTRLD_BAD_ADDRESS);
		return;
	}
	if (ptr == c->vmx.vmxon_ptr) {
		vm_fail(c, VMXERR_VMPTRLD_VMXON_POINTER);
		return;
	}
	/* Bit 31, a shadow VMCS, may be set: this CPU has "VMCS shadowing". */
	if ((vmx_phys_read(c, ptr, 4) & VMCS_REVISION_MASK) != VMX_REVISION) {
		vm_fail(c, VMXERR_VMPTRLD_BAD_REVISION);
		return;
	}
	if (ptr != c->vmx.vmcs_ptr) {
		if (c->vmx.vmcs_ptr != VMX_NO_POINTER)
			vmcs_store(c, c->vmx.vmcs_ptr);
		vmcs_load(c, ptr);
		c->vmx.vmcs_ptr = ptr;
	}
	vm_succeed(c);
}

static const struct op *op_vmptrld(struct cpu *c, const struct op *o)
{
	begin(c, o, EXIT_VMPTRLD);
	vmptrld(c, pointer_operand(c, o));
	return done(c, o, COST_VMPTRLD);
}

static const struct op *op_vmptrst(struct cpu *c, const struct op *o)
{
	begin(c, o, EXIT_VMPTRST);
	st64(c, o, op_lin(c, o, 8, ACCESS_WRITE), c->vmx.vmcs_ptr);
	vm_succeed(c);
	return done(c, o, COST_VMPTRST);
}

/*
 * SDM 3C "VMCS Shadowing" (25.10), "VMREAD": with bits 63:15 clear and the encoding's bit in the bitmap clear, the
 * instruction does not exit from non-root operation but reaches the VMCS that the link pointer names.
 */
static bool shadowed(struct cpu *c, u64 encoding, u64 bitmap)
{
	if (!vmx_proc2(c, PROC2_VMCS_SHADOWING) || encoding >> VMX_SHADOW_BITMAP_BITS)
		return false;
	return !(vmx_phys_read(c, bitmap + encoding / 8, 1) >> (encoding & 7) & 1);
}

/* The beginning of VMREAD and VMWRITE. */
static void begin_field(struct cpu *c, const struct op *o, unsigned exit_reason, u64 encoding, u64 bitmap)
{
	cpu_sync(c, o);
	if (!c->vmx.on || !mode_has_vmx(c))
		cpu_raise(c, NULL, VEC_UD);
	if (c->vmx.nonroot && !shadowed(c, encoding, bitmap))
		vmx_intercept_info(c, o, exit_reason);
	if (c->cpl > 0)
		cpu_raise_err(c, NULL, VEC_GP, 0);
}

/* The field that VMREAD or VMWRITE names, or -1 after VMfail; a VMfailValid is the current VMCS's in any case. */
static int named_field(struct cpu *c, u64 encoding)
{
	u64 pointer = c->vmx.nonroot ? VMCS(c, LINK_POINTER) : c->vmx.vmcs_ptr;
	int row;

	if (pointer == VMX_NO_POINTER) {
		vm_fail_invalid(c);
		return -1;
	}
	row = vmcs_row_of(encoding);
	if (row < 0)
		vm_fail(c, VMXERR_UNSUPPORTED_COMPONENT);
	return row;
}

static const struct op *op_vmread(struct cpu *c, const struct op *o)
{
	u64 encoding = register_value(c, o->src), value;
	int row;

	begin_field(c, o, EXIT_VMREAD, encoding, VMCS(c, VMREAD_BITMAP));
	cpu_charge(c, COST_VMREAD);
	row = named_field(c, encoding);
	if (row < 0)
		OP_NEXT(c, o);
	value = c->vmx.nonroot ? vmcs_region_read(c, VMCS(c, LINK_POINTER), row, encoding)
			       : vmcs_read_encoding(c, row, encoding);
	if (!(o->flags & OP_MEM))
		c->gpr[o->dst] = operand_size(c) == 8 ? value : (u32)value;
	else if (operand_size(c) == 8)
		st64(c, o, op_lin(c, o, 8, ACCESS_WRITE), value);
	else
		st32(c, o, op_lin(c, o, 4, ACCESS_WRITE), (u32)value);
	vm_succeed(c);
	OP_NEXT(c, o);
}

static u64 vmwrite_source(struct cpu *c, const struct op *o)
{
	if (!(o->flags & OP_MEM))
		return register_value(c, o->src);
	if (operand_size(c) == 8)
		return ld64(c, o, op_lin(c, o, 8, ACCESS_READ));
	return ld32(c, o, op_lin(c, o, 4, ACCESS_READ));
}

static const struct op *op_vmwrite(struct cpu *c, const struct op *o)
{
	u64 encoding = register_value(c, o->dst), value;
	int row;

	begin_field(c, o, EXIT_VMWRITE, encoding, VMCS(c, VMWRITE_BITMAP));
	cpu_charge(c, COST_VMWRITE);
	value = vmwrite_source(c, o);
	row = named_field(c, encoding);
	if (row < 0)
		OP_NEXT(c, o);
	/* Exit-information fields are writable: IA32_VMX_MISC bit 29 says so. */
	if (c->vmx.nonroot)
		vmcs_region_write(c, VMCS(c, LINK_POINTER), row, encoding, value);
	else
		vmcs_write_encoding(c, row, encoding, value);
	vm_succeed(c);
	OP_NEXT(c, o);
}

/* SDM 3C "VMLAUNCH/VMRESUME": the checks before those of the VMCS's contents. */
static bool entry_permitted(struct cpu *c, bool launch)
{
	if (c->vmx.vmcs_ptr == VMX_NO_POINTER || (c->vmx.vmcs->revision & VMCS_REVISION_SHADOW)) {
		vm_fail_invalid(c);
		return false;
	}
	if (c->inhibit == INHIBIT_MOVSS) {
		vm_fail(c, VMXERR_ENTRY_MOV_SS);
		return false;
	}
	if (launch && c->vmx.vmcs->launched) {
		vm_fail(c, VMXERR_VMLAUNCH_NOT_CLEAR);
		return false;
	}
	if (!launch && !c->vmx.vmcs->launched) {
		vm_fail(c, VMXERR_VMRESUME_NOT_LAUNCHED);
		return false;
	}
	return true;
}

static const struct op *enter(struct cpu *c, const struct op *o, bool launch)
{
	enum cost cost = launch ? COST_VMLAUNCH : COST_VMRESUME;
	enum vmx_error error;

	begin(c, o, launch ? EXIT_VMLAUNCH : EXIT_VMRESUME);
	if (!entry_permitted(c, launch))
		return done(c, o, cost);
	error = vmx_check_controls_and_host(c);
	if (error) {
		vm_fail(c, error);
		return done(c, o, cost);
	}
	cpu_charge(c, cost);
	vmx_enter(c, launch);
}

static const struct op *op_vmlaunch(struct cpu *c, const struct op *o)
{
	return enter(c, o, true);
}

static const struct op *op_vmresume(struct cpu *c, const struct op *o)
{
	return enter(c, o, false);
}

/* In non-root operation VMCALL exits whatever the mode and the CPL. */
static const struct op *op_vmcall(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	if (!c->vmx.on)
		cpu_raise(c, NULL, VEC_UD);
	if (c->vmx.nonroot) {
		stat_add(c->m, STAT_HYPERCALLS, 1);
		vmx_exit_instruction(c, o, EXIT_VMCALL, 0, 0);
	}
	if (!mode_has_vmx(c))
		cpu_raise(c, NULL, VEC_UD);
	if (c->cpl > 0)
		cpu_raise_err(c, NULL, VEC_GP, 0);
	vm_fail(c, VMXERR_VMCALL_IN_ROOT);
	return done(c, o, COST_EXIT_VMCALL);
}

static void load_descriptor(struct cpu *c, const struct op *o, u64 desc[2])
{
	ld_buf(c, o, op_lin(c, o, 16, ACCESS_READ), desc, 16);
}

static bool invept(struct cpu *c, u64 type, const u64 desc[2])
{
	if (type != INVEPT_SINGLE && type != INVEPT_ALL)
		return false;
	if (type == INVEPT_SINGLE && !vmx_eptp_valid(desc[0]))
		return false;
	mmu_invept(c, (unsigned)type, desc[0]);
	return true;
}

static const struct op *op_invept(struct cpu *c, const struct op *o)
{
	u64 desc[2];

	begin(c, o, EXIT_INVEPT);
	load_descriptor(c, o, desc);
	if (invept(c, register_value(c, o->dst), desc))
		vm_succeed(c);
	else
		vm_fail(c, VMXERR_INVALIDATE_BAD_OPERAND);
	return done(c, o, COST_INVEPT);
}

static bool invvpid(struct cpu *c, u64 type, const u64 desc[2])
{
	u16 vpid = (u16)desc[0];

	if (type > INVVPID_SINGLE_NONGLOBAL || desc[0] >> 16)
		return false;
	if (type != INVVPID_ALL && vpid == 0)
		return false;
	if (type == INVVPID_ADDRESS && !sys_base_valid(desc[1]))
		return false;
	mmu_invvpid(c, (unsigned)type, vpid, desc[1]);
	return true;
}

static const struct op *op_invvpid(struct cpu *c, const struct op *o)
{
	u64 desc[2];

	begin(c, o, EXIT_INVVPID);
	load_descriptor(c, o, desc);
	if (invvpid(c, register_value(c, o->dst), desc))
		vm_succeed(c);
	else
		vm_fail(c, VMXERR_INVALIDATE_BAD_OPERAND);
	return done(c, o, COST_INVVPID);
}

static u8 gpr_of(ZydisRegister reg)
{
	return (u8)ZydisRegisterGetId(reg);
}

/* Operand 0 is dst, operand 1 is src, whichever of them are registers. */
static bool lower_as(struct lower *l, op_fn *fn, bool ends)
{
	if (l->insn->operand_count_visible > 0 && l->ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER)
		l->op->dst = gpr_of(l->ops[0].reg.value);
	if (l->insn->operand_count_visible > 1 && l->ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
		l->op->src = gpr_of(l->ops[1].reg.value);
	l->op->fn = fn;
	if (ends)
		l->op->flags |= OP_END;
	return true;
}

bool vmx_lower(struct lower *l)
{
	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_VMXON: return lower_as(l, op_vmxon, true);
	case ZYDIS_MNEMONIC_VMXOFF: return lower_as(l, op_vmxoff, true);
	case ZYDIS_MNEMONIC_VMCLEAR: return lower_as(l, op_vmclear, true);
	case ZYDIS_MNEMONIC_VMPTRLD: return lower_as(l, op_vmptrld, true);
	case ZYDIS_MNEMONIC_VMPTRST: return lower_as(l, op_vmptrst, true);
	case ZYDIS_MNEMONIC_VMREAD: return lower_as(l, op_vmread, false);
	case ZYDIS_MNEMONIC_VMWRITE: return lower_as(l, op_vmwrite, false);
	case ZYDIS_MNEMONIC_VMLAUNCH: return lower_as(l, op_vmlaunch, true);
	case ZYDIS_MNEMONIC_VMRESUME: return lower_as(l, op_vmresume, true);
	case ZYDIS_MNEMONIC_VMCALL: return lower_as(l, op_vmcall, true);
	case ZYDIS_MNEMONIC_VMFUNC: return lower_as(l, op_vmfunc, true);
	case ZYDIS_MNEMONIC_INVEPT: return lower_as(l, op_invept, true);
	case ZYDIS_MNEMONIC_INVVPID: return lower_as(l, op_invvpid, true);
	default: return false;
	}
}
