/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The lowering functions of the integer instructions, by topic, and what they share. */
#ifndef OOH_MACHINE_CPU_LOWER_H
#define OOH_MACHINE_CPU_LOWER_H

#include "machine/cpu/cpu.h"

/* Each fills l->op for the mnemonics of its topic, or returns false. */
bool alu_lower(struct lower *l);
bool incdec_lower(struct lower *l);
bool shift_lower(struct lower *l);
bool mul_lower(struct lower *l);
bool bit_lower(struct lower *l);
bool bmi_lower(struct lower *l);
bool move_lower(struct lower *l);
bool xchg_lower(struct lower *l);
bool stack_lower(struct lower *l);
bool branch_lower(struct lower *l);
bool string_lower(struct lower *l);
bool misc_lower(struct lower *l);
bool int_lower(struct lower *l); /* all of these */

/*
 * Replaces the handler of first by one that does the conditional branch after it, too, if there is such a one. 64-bit
 * mode only.
 */
void fuse_branch(struct op *first);

/* Handlers that end a block or stand for what cannot be run. */
op_fn op_block_end, op_undefined, op_gp0, op_nop, op_unimplemented;

/* What the two explicit operands of an instruction are. */
enum kind { KIND_RR, KIND_RI, KIND_RM, KIND_MR, KIND_MI, KIND_R, KIND_M, KIND_I, KIND_NONE, KIND_OTHER };

/*
 * Classifies the explicit operands and fills op.dst and op.src with the first and second one if it is a general
 * register, as REG_* for 16 to 64 bits, as a byte offset into cpu.gpr for 8 bits. KIND_OTHER if other registers occur
 * or there are more operands than `max`.
 */
enum kind lower_kind(struct lower *l, unsigned max);
/* Number of a general register (byte offset into cpu.gpr for 8-bit ones), or -1. */
int lower_gpr(ZydisRegister r);
/* enum sreg of a segment register; DS for none. */
u8 lower_segment(ZydisRegister r);
/* op.imm as a signed number of op.size bytes. */
void lower_imm(struct op *o);
/* 0..3 for operand sizes 1, 2, 4, 8. */
static inline unsigned size_index(unsigned size)
{
	return (unsigned)__builtin_ctz(size);
}
/* Condition code of Jcc, SETcc, CMOVcc from the opcode. */
static inline unsigned lower_cond(const struct lower *l)
{
	return l->insn->opcode & 15;
}
/* True if the address of the memory operand needs no segment and no truncation. */
static inline bool lower_flat(const struct lower *l)
{
	return (l->op->flags & OP_FLAT) && l->op->asize == 8;
}

#endif
