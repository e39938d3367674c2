/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An assembler for what the translator emits: x86-64, one function an encoding form. */
#ifndef OOH_MACHINE_JIT_ASM_H
#define OOH_MACHINE_JIT_ASM_H

#include "machine/core/types.h"

enum hreg { HAX, HCX, HDX, HBX, HSP, HBP, HSI, HDI, H8, H9, H10, H11, H12, H13, H14, H15 };

struct asm_buf {
	u8 *p; /* where the next byte goes: the writable alias */
};

/* A register, or memory at [base + disp]. */
struct rm {
	s8 reg; /* -1: memory */
	u8 base;
	s32 disp;
};

static inline struct rm rm_reg(unsigned r) { return (struct rm){ .reg = (s8)r }; }
static inline struct rm rm_mem(unsigned base, s32 disp) { return (struct rm){ .reg = -1, .base = (u8)base, .disp = disp }; }

/*
 * Opcodes: the byte, with its map and mandatory prefix above. Of byte-sized registers only one may be a byte (MOVZX,
 * SETcc): RM_BYTE.
 */
#define MAP_0F   0x0100u
#define MAP_0F38 0x0200u
#define MAP_0F3A 0x0300u
#define PFX_66   0x660000u
#define PFX_F2   0xf20000u
#define PFX_F3   0xf30000u
#define RM_BYTE  0x1000000u

/* opcode reg, rm with an operand size of 1, 2, 4 or 8 bytes; reg may be an opcode extension. */
void x_op(struct asm_buf *a, u32 opcode, unsigned size, unsigned reg, struct rm rm);
/* The same in VEX encoding, with its second source; wide: 256 bits. */
void x_vex(struct asm_buf *a, u32 opcode, bool w, bool wide, unsigned vvvv, unsigned reg, struct rm rm);
void x_vzeroupper(struct asm_buf *a);
void x_u8(struct asm_buf *a, u8 v);
void x_u32(struct asm_buf *a, u32 v);
void x_u64(struct asm_buf *a, u64 v);

enum x_alu { X_ADD, X_OR, X_ADC, X_SBB, X_AND, X_SUB, X_XOR, X_CMP };
void x_alu(struct asm_buf *a, enum x_alu k, unsigned size, unsigned reg, struct rm rm); /* reg = reg k rm */
void x_alu_to(struct asm_buf *a, enum x_alu k, unsigned size, struct rm rm, unsigned reg); /* rm = rm k reg */
void x_alu_imm(struct asm_buf *a, enum x_alu k, unsigned size, struct rm rm, s32 imm);
void x_test(struct asm_buf *a, unsigned size, struct rm rm, unsigned reg);
void x_test_imm(struct asm_buf *a, unsigned size, struct rm rm, s32 imm);
void x_load(struct asm_buf *a, unsigned size, unsigned reg, struct rm rm);  /* MOV reg, rm */
void x_store(struct asm_buf *a, unsigned size, struct rm rm, unsigned reg); /* MOV rm, reg */
void x_store_imm(struct asm_buf *a, unsigned size, struct rm rm, s32 imm);
void x_mov_imm(struct asm_buf *a, unsigned reg, u64 imm); /* the shortest form for 64 bits; flags stay */
void x_shift_imm(struct asm_buf *a, unsigned ext, unsigned size, struct rm rm, unsigned n);
/* index: -1 for none; scale: shift count; base -1 for none. */
void x_lea(struct asm_buf *a, unsigned size, unsigned reg, int base, int index, unsigned scale, s32 disp);
void x_push(struct asm_buf *a, unsigned reg);
void x_pop(struct asm_buf *a, unsigned reg);

/* Branches: return where the 32-bit displacement is, for x_patch. */
u8 *x_jcc(struct asm_buf *a, unsigned cond);
u8 *x_jmp(struct asm_buf *a);
u8 *x_call(struct asm_buf *a);
void x_patch(u8 *at, const u8 *target);
void x_jmp_to(struct asm_buf *a, const u8 *target);
void x_call_to(struct asm_buf *a, const u8 *target);
void x_jmp_rm(struct asm_buf *a, struct rm rm);
void x_call_rm(struct asm_buf *a, struct rm rm);

enum { CC_X_O, CC_X_NO, CC_X_B, CC_X_AE, CC_X_E, CC_X_NE, CC_X_BE, CC_X_A, CC_X_S, CC_X_NS, CC_X_P, CC_X_NP, CC_X_L,
       CC_X_GE, CC_X_LE, CC_X_G };

#endif
