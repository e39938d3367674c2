/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The arithmetic of ADD OR ADC SBB AND SUB XOR CMP TEST, by operand size. */
#ifndef OOH_MACHINE_CPU_ALU_H
#define OOH_MACHINE_CPU_ALU_H

#include "machine/cpu/lower.h"
#include "machine/cpu/operand.h"

enum alu { ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST, ALU_COUNT };

#define ALU_WRITES(k) ((k) != CMP && (k) != TEST)

/* Result and flags in two steps: a store between them may still restart the instruction. */
#define ALU_ARITHMETIC(bits)                                                                                           \
	INLINE u##bits alu_result##bits(enum alu k, u##bits a, u##bits b, bool carry)                                  \
	{                                                                                                              \
		switch (k) {                                                                                           \
		case ADD:  return (u##bits)(a + b);                                                                    \
		case OR:   return a | b;                                                                               \
		case ADC:  return (u##bits)(a + b + carry);                                                            \
		case SBB:  return (u##bits)(a - b - carry);                                                            \
		case XOR:  return a ^ b;                                                                               \
		case SUB:                                                                                              \
		case CMP:  return (u##bits)(a - b);                                                                    \
		default:   return a & b;                                                                               \
		}                                                                                                      \
	}                                                                                                              \
	INLINE void alu_flags##bits(struct cpu *c, enum alu k, u##bits a, u##bits b, u##bits r)                        \
	{                                                                                                              \
		switch (k) {                                                                                           \
		case ADD:  cc_set(c, CC_ADD, SX##bits(r), SX##bits(a), SX##bits(b)); break;                            \
		case ADC:  cc_set(c, CC_ADC, SX##bits(r), SX##bits(a), SX##bits(b)); break;                            \
		case SBB:  cc_set(c, CC_SBB, SX##bits(r), SX##bits(a), SX##bits(b)); break;                            \
		case SUB:                                                                                              \
		case CMP:  cc_set(c, CC_SUB, SX##bits(r), SX##bits(a), SX##bits(b)); break;                            \
		default:   cc_set_logic(c, SX##bits(r)); break;                                                        \
		}                                                                                                      \
	}                                                                                                              \
	INLINE u##bits alu##bits(struct cpu *c, enum alu k, u##bits a, u##bits b)                                      \
	{                                                                                                              \
		u##bits r = alu_result##bits(k, a, b, (k == ADC || k == SBB) && cc_cf(c));                             \
                                                                                                                       \
		alu_flags##bits(c, k, a, b, r);                                                                        \
		return r;                                                                                              \
	}
ALU_ARITHMETIC(8)
ALU_ARITHMETIC(16)
ALU_ARITHMETIC(32)
ALU_ARITHMETIC(64)

/* enum alu of a mnemonic, or -1. */
int alu_number(ZydisMnemonic m);
/*
 * Handlers by operation, size in bytes and kind (RR, RI, RM, MR, MI); of the last three those for flat addresses, and
 * the general ones.
 */
op_fn *alu_find(enum alu k, unsigned size, enum kind kind);
op_fn *alu_find_general(enum alu k, unsigned size, enum kind kind);

#endif
