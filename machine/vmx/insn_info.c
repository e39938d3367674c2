/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM 3C "Information for VM Exits Due to Instruction Execution" (28.2.5): tables 28-9 to 28-15. */
#include "machine/vmx/exit.h"

static u32 address_size(const struct op *o)
{
	return (o->asize == 8 ? 2u : o->asize == 4 ? 1u : 0u) << INSN_INFO_ASIZE_SHIFT;
}

/* Scale, address size, segment, index, base of the memory operand; a RIP-relative one has neither base nor index. */
static u32 memory_operand(const struct op *o)
{
	u32 v = address_size(o) | (u32)o->seg << INSN_INFO_SEG_SHIFT;

	if (o->index < 16)
		v |= o->scale | (u32)o->index << INSN_INFO_INDEX_SHIFT;
	else
		v |= INSN_INFO_NO_INDEX;
	return o->base < 16 ? v | (u32)o->base << INSN_INFO_BASE_SHIFT : v | INSN_INFO_NO_BASE;
}

/* The operand that can be memory or a register: op->dst or op->src, as the instruction has it. */
static u32 rm_operand(const struct op *o, u8 reg)
{
	return o->flags & OP_MEM ? memory_operand(o) : INSN_INFO_REGISTER | (u32)reg << INSN_INFO_REG1_SHIFT;
}

/* LGDT and friends: bits 29:28 say which; bit 11 is the operand size. */
static u32 table_register(const struct op *o, u32 identity)
{
	return memory_operand(o) | (o->size == 2 ? 0 : 1u << INSN_INFO_OSIZE_SHIFT) | identity << INSN_INFO_ID_SHIFT;
}

static u32 random_number(const struct op *o)
{
	u32 size = o->size == 8 ? 2 : o->size == 4 ? 1 : 0;

	return (u32)o->dst << INSN_INFO_REG1_SHIFT | size << INSN_INFO_OSIZE_SHIFT;
}

u32 vmx_insn_info(const struct op *o)
{
	switch (o->mnem) {
	case ZYDIS_MNEMONIC_SGDT: return table_register(o, 0);
	case ZYDIS_MNEMONIC_SIDT: return table_register(o, 1);
	case ZYDIS_MNEMONIC_LGDT: return table_register(o, 2);
	case ZYDIS_MNEMONIC_LIDT: return table_register(o, 3);
	case ZYDIS_MNEMONIC_SLDT: return rm_operand(o, o->dst);
	case ZYDIS_MNEMONIC_STR: return rm_operand(o, o->dst) | 1u << INSN_INFO_ID_SHIFT;
	case ZYDIS_MNEMONIC_LLDT: return rm_operand(o, o->dst) | 2u << INSN_INFO_ID_SHIFT;
	case ZYDIS_MNEMONIC_LTR: return rm_operand(o, o->dst) | 3u << INSN_INFO_ID_SHIFT;
	case ZYDIS_MNEMONIC_RDRAND:
	case ZYDIS_MNEMONIC_RDSEED: return random_number(o);
	case ZYDIS_MNEMONIC_VMREAD: return rm_operand(o, o->dst) | (u32)o->src << INSN_INFO_REG2_SHIFT;
	case ZYDIS_MNEMONIC_VMWRITE: return rm_operand(o, o->src) | (u32)o->dst << INSN_INFO_REG2_SHIFT;
	case ZYDIS_MNEMONIC_INVEPT:
	case ZYDIS_MNEMONIC_INVVPID:
	case ZYDIS_MNEMONIC_INVPCID: return memory_operand(o) | (u32)o->dst << INSN_INFO_REG2_SHIFT;
	case ZYDIS_MNEMONIC_XSAVES:
	case ZYDIS_MNEMONIC_XSAVES64:
	case ZYDIS_MNEMONIC_XRSTORS:
	case ZYDIS_MNEMONIC_XRSTORS64:
	case ZYDIS_MNEMONIC_VMCLEAR:
	case ZYDIS_MNEMONIC_VMPTRLD:
	case ZYDIS_MNEMONIC_VMPTRST:
	case ZYDIS_MNEMONIC_VMXON: return memory_operand(o);
	}
	return 0;
}

u64 vmx_insn_displacement(const struct cpu *c, const struct op *o)
{
	if (!(o->flags & OP_MEM))
		return 0;
	/*
	 * RIP-relative: the displacement is added to the address of the next instruction. SDM 3C table 28-1,
	 * "displacement".
	 */
	if (o->base == REG_BLOCK)
		return c->gpr[REG_BLOCK] + (s64)o->disp;
	return o->asize == 8 ? (u64)(s64)o->disp : (u32)o->disp;
}
