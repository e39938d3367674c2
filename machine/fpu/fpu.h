/* SPDX-License-Identifier: GPL-2.0-or-later */
/* x87, MMX and SSE state, and how the decoder gets their operations. */
#ifndef OOH_MACHINE_FPU_FPU_H
#define OOH_MACHINE_FPU_FPU_H

#include "machine/core/types.h"

struct cpu;
struct op;
struct lower;
struct machine;
struct snap;

/* 16 bytes as the compiler's vector type. */
typedef u64 vec128 __attribute__((vector_size(16), may_alias));

union xmm {
	vec128 v;
	u8 b[16];
	u16 w[8];
	u32 d[4];
	u64 q[2];
	float f[4];
	double g[2];
} __attribute__((aligned(16)));

/* An x87 register as in memory: 64-bit significand, sign and exponent. MMX registers are the significands. */
struct x87_reg {
	u64 mant;
	u16 se;
};

/* A vector register: SSE instructions see its low half and leave the high one alone. */
struct ymm {
	union xmm lo, hi;
};

struct fpu_state {
	struct ymm ymm[16];
	struct x87_reg st[8]; /* physical registers: ST(i) is st[(top + i) & 7] */
	u16 fcw, fsw, fop;    /* fsw holds TOP in bits 13:11 */
	u8 ftw;               /* abridged tags: bit set = not empty */
	u64 fip, fdp;
	u16 fcs, fds;
	u32 mxcsr;
	struct ymm scratch;   /* within one instruction */
};

/* State after reset (FNINIT and MXCSR = 1F80H). */
void fpu_reset(struct cpu *c);

/*
 * Fills l->op for one decoded x87, MMX, SSE … SSE4.2, AES, PCLMULQDQ, AVX, AVX2, FMA, F16C, FXSAVE/LDMXCSR/… instruction;
 * returns false if the instruction is not this room's. Whether CPUID enumerates it is checked by the caller.
 */
bool fpu_lower(struct lower *l);

/* Saves or restores the room's part of one CPU. */
void fpu_snap(struct cpu *c, struct snap *s);

/*
 * NULL if the host's CPU can do all that the enumerated instructions ask of it, else what it lacks. To be asked once at
 * start-up: what the guest sees never depends on the host by itself.
 */
const char *fpu_host_lacks(void);

/* The mnemonics of this room (ZydisMnemonic), for tests: the i-th, or 0 past the end. */
unsigned fpu_mnemonic(unsigned i);

#endif
