/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The dispatch table's rows: one row a mnemonic and shape of operands. Each source file of the room has a table of
 * its own.
 */
#ifndef OOH_MACHINE_FPU_ROWS_H
#define OOH_MACHINE_FPU_ROWS_H

#include "machine/cpu/op.h"

/* Kinds of operands; a shape is the kinds of the first two explicit ones. */
enum operand_kind {
	K_NONE,
	K_X, /* XMM register */
	K_Y, /* MMX register */
	K_S, /* x87 register */
	K_G, /* general register */
	K_M, /* memory */
	K_I, /* immediate */
};
#define SHAPE(a, b) (K_##a << 4 | K_##b)
#define SHAPE1(a)   (K_##a << 4)
#define SHAPE0      0

struct fpu_row {
	u16 mnem;
	u8 shape;
	u8 msize; /* of the memory operand in bytes, 0: any */
	op_fn *fn;
};

/* Ends with mnem 0. */
extern const struct fpu_row fpu_rows_int[], fpu_rows_imm[], fpu_rows_move[], fpu_rows_float[], fpu_rows_convert[];
extern const struct fpu_row fpu_rows_string[], fpu_rows_state[], fpu_rows_control[], fpu_rows_x87[];
extern const struct fpu_row fpu_rows_xsave[];

#define ROW(name, shape, fn)         { ZYDIS_MNEMONIC_##name, shape, 0, fn }
#define ROW_SIZED(name, shape, n, fn) { ZYDIS_MNEMONIC_##name, shape, n, fn }
#define ROW_END                      { 0, 0, 0, NULL }

#endif
