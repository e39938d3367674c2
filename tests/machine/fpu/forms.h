/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every way to write the instructions of the FPU room's tables, through Zydis' encoder. */
#ifndef OOH_TESTS_MACHINE_FPU_FORMS_H
#define OOH_TESTS_MACHINE_FPU_FORMS_H

#include "machine/cpu/op.h"
#include "machine/fpu/rows.h"

#define FORMS_MAX 64

/* One way to write a row's instruction. */
struct form {
	const struct fpu_row *row;
	u16 msize, gsize; /* of memory and general register operands, bytes; 0 if there is none */
	bool imm;
};

/* One instruction with registers chosen at random, lowered. RSP is never among them. */
struct made {
	u8 code[16];
	unsigned len;
	struct op ops[2];
	ZydisDecodedInstruction insn;
};

/* The i-th row of all tables, NULL past the end. */
const struct fpu_row *form_row(unsigned i);
/* All forms of a row that the encoder accepts and that lower to it; how many (at most FORMS_MAX). */
unsigned forms_of(struct cpu *c, const struct fpu_row *row, struct form *out);
/* False if the registers chosen do not fit the instruction: to be tried again. */
bool form_make(struct cpu *c, const struct form *f, struct made *m);

#endif
