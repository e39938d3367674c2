/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoded form: what both engines run. Zydis decodes the bytes; a room's `*_lower` function turns the result into
 * a struct op, with the handler that the interpreter calls. A block is an array of ops from one physical page, ended
 * by one with OP_END or by the core's own end op.
 */
#ifndef OOH_MACHINE_CPU_OP_H
#define OOH_MACHINE_CPU_OP_H

#include <Zydis/Zydis.h>

#include "machine/core/types.h"

struct cpu;
struct op;

/* Runs one op; returns the next op to run, or NULL when the block has ended (c->rip is then set). */
typedef const struct op *op_fn(struct cpu *c, const struct op *o);

/* Register numbers 0..15 as the manual's; and two that make addressing branch-free. */
enum {
	REG_ZERO = 16,  /* always 0: no base, no index */
	/* RIP at the start of the running block: RIP-relative operands (op.disp includes op.off + op.len) */
	REG_BLOCK = 17,
	REG_COUNT
};

/* op.flags */
#define OP_MEM   0x01 /* has an explicit memory operand */
#define OP_LOCK  0x02
#define OP_REP   0x04 /* F3 that repeats or REPE */
#define OP_REPNE 0x08 /* F2 that repeats */
#define OP_END   0x10 /* last op of its block: the handler sets c->rip and returns op_leave() */
#define OP_FLAT  0x20 /* 64-bit mode and segment neither FS nor GS: linear = effective address */
#define OP_HIGH8_DST 0x40 /* dst names AH, CH, DH, BH (as 0..3) */
#define OP_HIGH8_SRC 0x80

struct op {
	op_fn *fn;
	u64 imm;    /* immediate, sign-extended; a direct branch's target minus the block's RIP; moffs */
	s32 disp;
	u8 base, index, scale; /* scale: shift count */
	u8 seg;     /* enum sreg of the memory operand */
	u8 dst, src; /* register operands: GPR, XMM, MMX/ST, segment, CR, DR number as the mnemonic says */
	u8 size;    /* operand size in bytes */
	u8 asize;   /* address size in bytes: 2, 4, 8 */
	u8 len;     /* instruction length */
	u8 flags;   /* OP_* */
	u8 aux;     /* of the handler: condition code, immediate, rounding … */
	u8 aux2;
	u16 off;    /* bytes from the block's start */
	u16 cyc;    /* cycles of the block before this op */
	u16 mnem;   /* ZydisMnemonic, for traces */
	u16 cost;   /* cycles of this op */
};
_Static_assert(sizeof(struct op) <= 48, "ops are read on every instruction");

/* What a lowering function gets. */
struct lower {
	const ZydisDecodedInstruction *insn;
	const ZydisDecodedOperand *ops; /* all of them, explicit ones first */
	/*
	 * prefilled: mem operand, len, size, asize, flags, mnem, cost; dst/src from the first two register operands,
	 * imm
	 */
	struct op *op;
	u8 code_size;  /* 16, 32, 64 */
	struct cpu *cpu;
};

#endif
