/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the room's handlers share: whether the instruction may run at all, and operands in registers and memory.
 *
 * Handlers go on by tail calls, which the compiler makes only while no address of a local variable escapes: loads
 * that take the slow path therefore return by value from functions of their own.
 */
#ifndef OOH_MACHINE_FPU_ACCESS_H
#define OOH_MACHINE_FPU_ACCESS_H

#include "arch/x86.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/dispatch.h"
#include "machine/cpu/mem.h"
#include "machine/fpu/fpu.h"

typedef u64 vec128_mem __attribute__((vector_size(16), may_alias, aligned(1)));

#define MXCSR_FLAGS   0x003fu
#define MXCSR_DAZ     0x0040u
#define MXCSR_MASKS   0x1f80u
#define MXCSR_MASKS_SHIFT 7
#define MXCSR_FTZ     0x8000u
#define MXCSR_DEFAULT 0x1f80u
#define MXCSR_VALID   0xffffu /* MXCSR_MASK: the CPU has DAZ */

#define FPU_IE 0x01u
#define FPU_DE 0x02u
#define FPU_ZE 0x04u
#define FPU_OE 0x08u
#define FPU_UE 0x10u
#define FPU_PE 0x20u

#define FSW_FLAGS 0x003fu
#define FSW_SF    0x0040u
#define FSW_ES    0x0080u
#define FSW_C0    0x0100u
#define FSW_C1    0x0200u
#define FSW_C2    0x0400u
#define FSW_C3    0x4000u
#define FSW_TOP   0x3800u
#define FSW_TOP_SHIFT 11
#define FSW_B     0x8000u
#define FCW_INIT  0x037fu

_Noreturn void sse_refuse(struct cpu *c, const struct op *o);
_Noreturn void x87_refuse(struct cpu *c, const struct op *o);
_Noreturn void mmx_refuse(struct cpu *c, const struct op *o);
_Noreturn void sse_misaligned(struct cpu *c, const struct op *o);
vec128 sse_ld128_slow(struct cpu *c, const struct op *o, u64 lin);

/* SDM 3A "System Programming for Instruction Set Extensions": CR0.EM or no CR4.OSFXSR is #UD, CR0.TS is #NM. */
static inline void sse_check(struct cpu *c, const struct op *o)
{
	if (unlikely(((c->cr0 & (CR0_EM | CR0_TS)) | (~c->cr4 & CR4_OSFXSR)) != 0))
		sse_refuse(c, o);
}

/* Is an unmasked x87 exception waiting for the next waiting instruction? */
static inline bool x87_pending(const struct cpu *c)
{
	return c->fpu.fsw & FSW_ES;
}

/* MMX instructions wait: CR0.EM is #UD, CR0.TS #NM, then #MF. */
static inline void mmx_check(struct cpu *c, const struct op *o)
{
	if (unlikely((c->cr0 & (CR0_EM | CR0_TS)) || x87_pending(c)))
		mmx_refuse(c, o);
}

/* x87 instructions that wait: CR0.EM or CR0.TS is #NM, then #MF. */
static inline void x87_check(struct cpu *c, const struct op *o)
{
	if (unlikely((c->cr0 & (CR0_EM | CR0_TS)) || x87_pending(c)))
		x87_refuse(c, o);
}

/* x87 instructions that do not wait. */
static inline void x87_check_nowait(struct cpu *c, const struct op *o)
{
	if (unlikely(c->cr0 & (CR0_EM | CR0_TS)))
		cpu_raise(c, o, VEC_NM);
}

/* XMM registers. */
static inline union xmm *xmm_dst(struct cpu *c, const struct op *o)
{
	return &c->fpu.ymm[o->dst].lo;
}

static inline union xmm *xmm_src(struct cpu *c, const struct op *o)
{
	return &c->fpu.ymm[o->src].lo;
}

/* 16 bytes of memory, any alignment. */
static inline __attribute__((always_inline)) vec128 sse_ld128_at(struct cpu *c, const struct op *o, u64 lin)
{
	const struct tlb_fast *t = &c->tlb[tlb_index(lin)];

	if (unlikely(!tlb_hit(t->tag_r, lin, c->ctx, 16)))
		return sse_ld128_slow(c, o, lin);
	return *(const vec128_mem *)(t->addend + lin);
}

static inline vec128 sse_ldu128(struct cpu *c, const struct op *o)
{
	return sse_ld128_at(c, o, op_lin(c, o, 16, ACCESS_READ));
}

/* The 128-bit memory operand of a legacy SSE instruction: #GP unless aligned. */
static inline __attribute__((always_inline)) vec128 sse_ld128(struct cpu *c, const struct op *o)
{
	u64 lin = op_lin(c, o, 16, ACCESS_READ);

	if (unlikely(lin & 15))
		sse_misaligned(c, o);
	return sse_ld128_at(c, o, lin);
}

static inline vec128 sse_ld64(struct cpu *c, const struct op *o)
{
	return (vec128){ ld64(c, o, op_lin(c, o, 8, ACCESS_READ)), 0 };
}

static inline vec128 sse_ld32(struct cpu *c, const struct op *o)
{
	return (vec128){ ld32(c, o, op_lin(c, o, 4, ACCESS_READ)), 0 };
}

static inline vec128 sse_ld16(struct cpu *c, const struct op *o)
{
	return (vec128){ ld16(c, o, op_lin(c, o, 2, ACCESS_READ)), 0 };
}

/* n bytes (2, 4, 8, 16) in the low part; 128-bit operands must be aligned. */
static inline vec128 sse_ld(struct cpu *c, const struct op *o, unsigned n)
{
	switch (n) {
	case 2: return sse_ld16(c, o);
	case 4: return sse_ld32(c, o);
	case 8: return sse_ld64(c, o);
	default: return sse_ld128(c, o);
	}
}

/* v must be a register of the guest, not a local variable: see the top. */
static inline void sse_stu128(struct cpu *c, const struct op *o, const union xmm *v)
{
	st_buf(c, o, op_lin(c, o, 16, ACCESS_WRITE), v, 16);
}

static inline void sse_st128(struct cpu *c, const struct op *o, const union xmm *v)
{
	u64 lin = op_lin(c, o, 16, ACCESS_WRITE);

	if (unlikely(lin & 15))
		sse_misaligned(c, o);
	st_buf(c, o, lin, v, 16);
}

/* MMX registers are the significands of the physical x87 registers. */
static inline u64 mmx_get(const struct cpu *c, unsigned i)
{
	return c->fpu.st[i & 7].mant;
}

/* SDM 1 "Transitions Between x87 FPU and MMX Code": TOP becomes 0 and every tag valid. */
static inline void mmx_enter(struct cpu *c)
{
	c->fpu.fsw &= ~FSW_TOP;
	c->fpu.ftw = 0xff;
}

static inline void mmx_set(struct cpu *c, unsigned i, u64 v)
{
	c->fpu.st[i & 7].mant = v;
	c->fpu.st[i & 7].se = 0xffff;
}

static inline u64 mmx_ld(struct cpu *c, const struct op *o)
{
	return ld64(c, o, op_lin(c, o, 8, ACCESS_READ));
}

/* LDMXCSR, of either encoding. */
static inline void mxcsr_load(struct cpu *c, const struct op *o)
{
	u32 v = ld32(c, o, op_lin(c, o, 4, ACCESS_READ));

	if (unlikely(v & ~MXCSR_VALID))
		cpu_raise_err(c, o, VEC_GP, 0);
	c->fpu.mxcsr = v;
}

/* General registers: 32-bit results clear the upper half. */
static inline void gpr_set32(struct cpu *c, unsigned i, u32 v)
{
	c->gpr[i] = v;
}

#endif
