// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/jit/asm.h"

#include <string.h>

void x_u8(struct asm_buf *a, u8 v)
{
	*a->p++ = v;
}

void x_u32(struct asm_buf *a, u32 v)
{
	memcpy(a->p, &v, sizeof(v));
	a->p += sizeof(v);
}

void x_u64(struct asm_buf *a, u64 v)
{
	memcpy(a->p, &v, sizeof(v));
	a->p += sizeof(v);
}

static void prefixes(struct asm_buf *a, u32 opcode, unsigned size, unsigned rex, bool byte_regs)
{
	if (opcode >> 16 & 0xff)
		x_u8(a, (u8)(opcode >> 16));
	else if (size == 2)
		x_u8(a, 0x66);
	if (rex || byte_regs)
		x_u8(a, (u8)(0x40 | rex));
	if (opcode & 0x300)
		x_u8(a, 0x0f);
	if ((opcode & 0x300) == MAP_0F38)
		x_u8(a, 0x38);
	if ((opcode & 0x300) == MAP_0F3A)
		x_u8(a, 0x3a);
	x_u8(a, (u8)opcode);
}

static void modrm_mem(struct asm_buf *a, unsigned reg, unsigned base, s32 disp)
{
	unsigned mod = disp == 0 && (base & 7) != 5 ? 0 : disp == (s8)disp ? 1 : 2;

	x_u8(a, (u8)(mod << 6 | (reg & 7) << 3 | (base & 7)));
	if ((base & 7) == 4)
		x_u8(a, 0x24);
	if (mod == 1)
		x_u8(a, (u8)disp);
	else if (mod == 2)
		x_u32(a, (u32)disp);
}

static bool needs_rex(unsigned r)
{
	return r >= 4 && r < 8;
}

void x_op(struct asm_buf *a, u32 opcode, unsigned size, unsigned reg, struct rm rm)
{
	bool mem = rm.reg < 0;
	unsigned base = mem ? rm.base : (unsigned)rm.reg;
	unsigned rex = (size == 8 ? 8u : 0) | (reg >> 3) << 2 | base >> 3;
	bool bytes = (size == 1 && needs_rex(reg)) || ((size == 1 || (opcode & RM_BYTE)) && !mem && needs_rex(base));

	prefixes(a, opcode, size, rex, bytes);
	if (mem)
		modrm_mem(a, reg, base, rm.disp);
	else
		x_u8(a, (u8)(0xc0 | (reg & 7) << 3 | (base & 7)));
}

void x_vex(struct asm_buf *a, u32 opcode, bool w, bool wide, unsigned vvvv, unsigned reg, struct rm rm)
{
	unsigned base = rm.reg < 0 ? rm.base : (unsigned)rm.reg, prefix = opcode >> 16 & 0xff;
	unsigned pp = prefix == 0x66 ? 1 : prefix == 0xf3 ? 2 : prefix == 0xf2 ? 3 : 0;

	x_u8(a, 0xc4);
	x_u8(a, (u8)((~reg >> 3 & 1) << 7 | 0x40 | (~base >> 3 & 1) << 5 | (opcode >> 8 & 3)));
	x_u8(a, (u8)(w << 7 | (~vvvv & 15) << 3 | wide << 2 | pp));
	x_u8(a, (u8)opcode);
	if (rm.reg < 0)
		modrm_mem(a, reg, base, rm.disp);
	else
		x_u8(a, (u8)(0xc0 | (reg & 7) << 3 | (base & 7)));
}

void x_vzeroupper(struct asm_buf *a)
{
	x_u8(a, 0xc5);
	x_u8(a, 0xf8);
	x_u8(a, 0x77);
}

void x_alu(struct asm_buf *a, enum x_alu k, unsigned size, unsigned reg, struct rm rm)
{
	x_op(a, (u32)k << 3 | (size == 1 ? 2 : 3), size, reg, rm);
}

void x_alu_to(struct asm_buf *a, enum x_alu k, unsigned size, struct rm rm, unsigned reg)
{
	x_op(a, (u32)k << 3 | (size == 1 ? 0 : 1), size, reg, rm);
}

static void immediate(struct asm_buf *a, unsigned size, s32 imm)
{
	if (size == 1) {
		x_u8(a, (u8)imm);
	} else if (size == 2) {
		x_u8(a, (u8)imm);
		x_u8(a, (u8)((u32)imm >> 8));
	} else {
		x_u32(a, (u32)imm);
	}
}

void x_alu_imm(struct asm_buf *a, enum x_alu k, unsigned size, struct rm rm, s32 imm)
{
	if (size > 1 && imm == (s8)imm) {
		x_op(a, 0x83, size, k, rm);
		x_u8(a, (u8)imm);
		return;
	}
	x_op(a, size == 1 ? 0x80 : 0x81, size, k, rm);
	immediate(a, size, imm);
}

void x_test(struct asm_buf *a, unsigned size, struct rm rm, unsigned reg)
{
	x_op(a, size == 1 ? 0x84 : 0x85, size, reg, rm);
}

void x_test_imm(struct asm_buf *a, unsigned size, struct rm rm, s32 imm)
{
	x_op(a, size == 1 ? 0xf6 : 0xf7, size, 0, rm);
	immediate(a, size, imm);
}

void x_load(struct asm_buf *a, unsigned size, unsigned reg, struct rm rm)
{
	if (rm.reg == (s8)reg && size == 8)
		return;
	x_op(a, size == 1 ? 0x8a : 0x8b, size, reg, rm);
}

void x_store(struct asm_buf *a, unsigned size, struct rm rm, unsigned reg)
{
	if (rm.reg == (s8)reg && size == 8)
		return;
	x_op(a, size == 1 ? 0x88 : 0x89, size, reg, rm);
}

void x_store_imm(struct asm_buf *a, unsigned size, struct rm rm, s32 imm)
{
	x_op(a, size == 1 ? 0xc6 : 0xc7, size, 0, rm);
	immediate(a, size, imm);
}

void x_mov_imm(struct asm_buf *a, unsigned reg, u64 imm)
{
	if (imm == (u32)imm) {
		if (reg >= 8)
			x_u8(a, 0x41);
		x_u8(a, (u8)(0xb8 | (reg & 7)));
		x_u32(a, (u32)imm);
	} else if ((s64)imm == (s32)imm) {
		x_store_imm(a, 8, rm_reg(reg), (s32)imm);
	} else {
		x_u8(a, (u8)(0x48 | reg >> 3));
		x_u8(a, (u8)(0xb8 | (reg & 7)));
		x_u64(a, imm);
	}
}

void x_shift_imm(struct asm_buf *a, unsigned ext, unsigned size, struct rm rm, unsigned n)
{
	if (n == 1) {
		x_op(a, size == 1 ? 0xd0 : 0xd1, size, ext, rm);
		return;
	}
	x_op(a, size == 1 ? 0xc0 : 0xc1, size, ext, rm);
	x_u8(a, (u8)n);
}

static void lea_sib(struct asm_buf *a, unsigned reg, int base, int index, unsigned scale, s32 disp)
{
	unsigned mod = base < 0 ? 0 : disp == 0 && (base & 7) != 5 ? 0 : disp == (s8)disp ? 1 : 2;
	unsigned b = base < 0 ? 5 : (unsigned)base & 7, x = index < 0 ? 4 : (unsigned)index & 7;

	x_u8(a, (u8)(mod << 6 | (reg & 7) << 3 | 4));
	x_u8(a, (u8)(scale << 6 | x << 3 | b));
	if (mod == 1)
		x_u8(a, (u8)disp);
	else if (mod == 2 || base < 0)
		x_u32(a, (u32)disp);
}

void x_lea(struct asm_buf *a, unsigned size, unsigned reg, int base, int index, unsigned scale, s32 disp)
{
	unsigned rex = (size == 8 ? 8u : 0) | (reg >> 3) << 2;

	if (base >= 0 && index < 0) {
		x_op(a, 0x8d, size, reg, rm_mem((unsigned)base, disp));
		return;
	}
	if (index >= 0)
		rex |= ((unsigned)index >> 3) << 1;
	if (base >= 0)
		rex |= (unsigned)base >> 3;
	prefixes(a, 0x8d, size, rex, false);
	lea_sib(a, reg, base, index, scale, disp);
}

void x_push(struct asm_buf *a, unsigned reg)
{
	if (reg >= 8)
		x_u8(a, 0x41);
	x_u8(a, (u8)(0x50 | (reg & 7)));
}

void x_pop(struct asm_buf *a, unsigned reg)
{
	if (reg >= 8)
		x_u8(a, 0x41);
	x_u8(a, (u8)(0x58 | (reg & 7)));
}

u8 *x_jcc(struct asm_buf *a, unsigned cond)
{
	x_u8(a, 0x0f);
	x_u8(a, (u8)(0x80 | cond));
	x_u32(a, 0);
	return a->p - 4;
}

u8 *x_jmp(struct asm_buf *a)
{
	x_u8(a, 0xe9);
	x_u32(a, 0);
	return a->p - 4;
}

u8 *x_call(struct asm_buf *a)
{
	x_u8(a, 0xe8);
	x_u32(a, 0);
	return a->p - 4;
}

void x_patch(u8 *at, const u8 *target)
{
	s32 rel = (s32)(target - (at + 4));

	memcpy(at, &rel, sizeof(rel));
}

void x_jmp_to(struct asm_buf *a, const u8 *target)
{
	x_patch(x_jmp(a), target);
}

void x_call_to(struct asm_buf *a, const u8 *target)
{
	x_patch(x_call(a), target);
}

void x_jmp_rm(struct asm_buf *a, struct rm rm)
{
	x_op(a, 0xff, 4, 4, rm);
}

void x_call_rm(struct asm_buf *a, struct rm rm)
{
	x_op(a, 0xff, 4, 2, rm);
}
