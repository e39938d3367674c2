/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SSE floating point on the host's SSE unit, so that NaNs, denormals, rounding, FTZ and DAZ are the silicon's. The
 * guest's MXCSR is loaded with every exception masked and read back after the operation; what the guest has
 * unmasked is worked out from the flags.
 */
#ifndef OOH_MACHINE_FPU_SSE_FP_H
#define OOH_MACHINE_FPU_SSE_FP_H

#include "machine/fpu/access.h"

/* One operation on the host, under the MXCSR that is loaded. Results other than vectors are in the low lanes. */
typedef vec128 fp_core(vec128 d, vec128 s, unsigned imm);

/*
 * What an operation does, as far as it can overflow or underflow (everything else is plain), and the lanes that it
 * does it in: those of its sources. Looked at only when the guest has unmasked one of the two.
 */
enum fp_kind {
	FP_PLAIN, FP_ADD, FP_SUB, FP_MUL, FP_DIV,
	FP_NARROW, /* double to single */
	FP_ADDSUB, FP_HADD, FP_HSUB, FP_DOT,
	FP_WHAT = 0x0f,
	FP_SS = 0x00, FP_PS = 0x10, FP_SD = 0x20, FP_PD = 0x30,
	FP_PACKED = 0x10, FP_DOUBLE = 0x20,
};

/*
 * The way for any MXCSR: may raise #XM (or #UD without CR4.OSXMMEXCPT) and then has changed nothing but MXCSR's
 * flags.
 */
vec128 fp_slow(struct cpu *c, const struct op *o, vec128 d, vec128 s, unsigned imm, fp_core *core, enum fp_kind kind);

/*
 * The host's MXCSR is left with the default controls and whatever flags: nothing else in this program looks at
 * them. A store to c->fpu.mxcsr only when a flag is new keeps it out of the dependency chain from one operation to
 * the next.
 */
static inline __attribute__((always_inline)) vec128 fp_op(struct cpu *c, const struct op *o, vec128 d, vec128 s,
							  unsigned imm, fp_core *core, enum fp_kind kind)
{
	u32 in = c->fpu.mxcsr, out;
	vec128 r;

	if (unlikely((in & ~MXCSR_FLAGS) != MXCSR_DEFAULT))
		return fp_slow(c, o, d, s, imm, core, kind);
	asm volatile("ldmxcsr %0" : : "m"(c->fpu.mxcsr));
	r = core(d, s, imm);
	asm volatile("stmxcsr %0" : "=m"(out));
	if (unlikely(out != in))
		c->fpu.mxcsr = out;
	return r;
}

#endif
