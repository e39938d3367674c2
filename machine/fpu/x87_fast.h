/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The common x87 instructions when nothing unusual can happen: all exceptions masked, no stack fault. The operands
 * alone go through the host's unit, which keeps no register of the guest's in between; everything else takes the
 * way of x87_arith.c.
 *
 * The host's sticky flags are cleared only when it has one that the guest has not: others would change nothing.
 */
#ifndef OOH_MACHINE_FPU_X87_FAST_H
#define OOH_MACHINE_FPU_X87_FAST_H

#include "machine/fpu/x87.h"

static inline bool x87_masked(const struct cpu *c)
{
	return (c->fpu.fcw & FSW_FLAGS) == FSW_FLAGS;
}

/* All masked, and ST(i) and ST(k) hold something. */
static inline bool x87_quick(const struct cpu *c, unsigned i, unsigned k)
{
	return likely(x87_masked(c) && !x87_empty(c, i) && !x87_empty(c, k));
}

/* All masked, and there is room for a push. */
static inline bool x87_quick_push(const struct cpu *c)
{
	return likely(x87_masked(c) && x87_empty(c, 7));
}

static inline void x87_pop(struct cpu *c)
{
	unsigned top = x87_top(c);

	c->fpu.ftw &= ~(1u << top);
	c->fpu.fsw = (c->fpu.fsw & ~FSW_TOP) | ((top + 1) & 7) << FSW_TOP_SHIFT;
}

/* The caller then fills ST(0). */
static inline void x87_push(struct cpu *c)
{
	unsigned top = (x87_top(c) + 7) & 7;

	c->fpu.ftw |= 1u << top;
	c->fpu.fsw = (c->fpu.fsw & ~FSW_TOP) | top << FSW_TOP_SHIFT;
}

static inline void x87_host_begin(const struct cpu *c)
{
	u16 sw;

	asm volatile("fnstsw %0" : "=a"(sw));
	if (unlikely(sw & ~c->fpu.fsw & FSW_FLAGS))
		asm volatile("fnclex");
	if (unlikely(c->fpu.fcw != FCW_INIT))
		asm volatile("fldcw %0" : : "m"(c->fpu.fcw));
}

/* The host's control word is never left changed: not even by a fault. */
static inline void x87_host_calm(const struct cpu *c)
{
	const u16 calm = FCW_INIT;

	if (unlikely(c->fpu.fcw != FCW_INIT))
		asm volatile("fldcw %0" : : "m"(calm));
}

/* sw: the host's status after the instruction; take: the condition codes that it defines. */
static inline void x87_take_status(struct cpu *c, u16 sw, u16 take)
{
	c->fpu.fsw = (c->fpu.fsw & ~take) | (sw & (take | FSW_FLAGS));
}

static inline void x87_host_end(struct cpu *c, u16 sw, u16 take)
{
	x87_take_status(c, sw, take);
	x87_host_calm(c);
}

#define FSW_COMPARED (FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3)

/* a = op a. */
#define X87_FAST_UNARY(name, b0, b1, take)                                                                             \
	static inline void name(struct cpu *c, struct x87_reg *a)                                                      \
	{                                                                                                              \
		u16 sw;                                                                                                \
                                                                                                                       \
		x87_host_begin(c);                                                                                     \
		asm volatile("fldt %2\n\t.byte " #b0 ", " #b1 "\n\tfnstsw %1\n\tfstpt %0" : "=m"(*a), "=a"(sw) : "m"(*a)); \
		x87_host_end(c, sw, take);                                                                             \
	}

/* b = a op b, by an instruction ST(0), ST(1) that pops. */
#define X87_FAST_INTO(name, b0, b1)                                                                                    \
	static inline void name(struct cpu *c, const struct x87_reg *a, struct x87_reg *b)                             \
	{                                                                                                              \
		u16 sw;                                                                                                \
                                                                                                                       \
		x87_host_begin(c);                                                                                     \
		asm volatile("fldt %3\n\tfldt %2\n\t.byte " #b0 ", " #b1 "\n\tfnstsw %1\n\tfstpt %0"                  \
			     : "=m"(*b), "=a"(sw) : "m"(*a), "m"(*b));                                                  \
		x87_host_end(c, sw, FSW_C1);                                                                           \
	}

/* a = a op b. b0, b1: the instruction ST(0), ST(1). */
#define X87_FAST_ALU(name, b0, b1, take)                                                                               \
	static inline void name(struct cpu *c, struct x87_reg *a, const struct x87_reg *b)                             \
	{                                                                                                              \
		u16 sw;                                                                                                \
                                                                                                                       \
		x87_host_begin(c);                                                                                     \
		asm volatile("fldt %3\n\tfldt %2\n\t.byte " #b0 ", " #b1 "\n\tfnstsw %1\n\tfstpt %0\n\tfstp %%st(0)"     \
			     : "=m"(*a), "=a"(sw) : "m"(*a), "m"(*b));                                                  \
		x87_host_end(c, sw, take);                                                                             \
	}

/* a = a op memory. reg: of the ModRM byte; the operand is in (%rdx). */
#define X87_FAST_ALU_MEM(name, b0, reg)                                                                                \
	static inline void name(struct cpu *c, struct x87_reg *a, const void *mem)                                     \
	{                                                                                                              \
		u16 sw;                                                                                                \
                                                                                                                       \
		x87_host_begin(c);                                                                                     \
		asm volatile("fldt %2\n\t.byte " #b0 ", " #reg " << 3 | 2\n\tfnstsw %1\n\tfstpt %0"                     \
			     : "=m"(*a), "=a"(sw) : "m"(*a), "d"(mem) : "memory");                                      \
		x87_host_end(c, sw, FSW_C1);                                                                           \
	}

/* a = memory. */
#define X87_FAST_LOAD(name, b0, reg)                                                                                   \
	static inline void name(struct cpu *c, struct x87_reg *a, const void *mem)                                     \
	{                                                                                                              \
		u16 sw;                                                                                                \
                                                                                                                       \
		x87_host_begin(c);                                                                                     \
		asm volatile(".byte " #b0 ", " #reg " << 3 | 2\n\tfnstsw %1\n\tfstpt %0"                                \
			     : "=m"(*a), "=a"(sw) : "d"(mem) : "memory");                                               \
		x87_host_end(c, sw, FSW_C1);                                                                           \
	}

/* memory = a, by an instruction that pops; returns the host's status, to be taken once the store has been made. */
#define X87_FAST_STORE(name, b0, reg)                                                                                  \
	static inline u16 name(struct cpu *c, const struct x87_reg *a, void *mem)                                      \
	{                                                                                                              \
		u16 sw;                                                                                                \
                                                                                                                       \
		x87_host_begin(c);                                                                                     \
		asm volatile("fldt %1\n\t.byte " #b0 ", " #reg " << 3 | 2\n\tfnstsw %0"                                \
			     : "=a"(sw) : "m"(*a), "d"(mem) : "memory");                                                \
		x87_host_calm(c);                                                                                      \
		return sw;                                                                                             \
	}

/* Compares a with b into C3, C2, C0. b0, b1: the instruction with ST(1). */
#define X87_FAST_COMPARE(name, b0, b1)                                                                                 \
	static inline void name(struct cpu *c, const struct x87_reg *a, const struct x87_reg *b)                       \
	{                                                                                                              \
		u16 sw;                                                                                                \
                                                                                                                       \
		x87_host_begin(c);                                                                                     \
		asm volatile("fldt %2\n\tfldt %1\n\t.byte " #b0 ", " #b1 "\n\tfnstsw %0\n\tfstp %%st(0)\n\tfstp %%st(0)" \
			     : "=a"(sw) : "m"(*a), "m"(*b));                                                            \
		x87_host_end(c, sw, FSW_COMPARED);                                                                     \
	}

/* Compares a with b; returns the status flags; C1 stays. */
#define X87_FAST_COMPARE_FLAGS(name, b0, b1)                                                                           \
	static inline u32 name(struct cpu *c, const struct x87_reg *a, const struct x87_reg *b)                        \
	{                                                                                                              \
		u32 ax;                                                                                                \
		u16 sw;                                                                                                \
                                                                                                                       \
		x87_host_begin(c);                                                                                     \
		asm volatile("fldt %2\n\tfldt %1\n\t.byte " #b0 ", " #b1 "\n\tlahf\n\tfstp %%st(0)\n\tfstp %%st(0)"      \
			     : "=a"(ax) : "m"(*a), "m"(*b) : "cc");                                                     \
		asm volatile("fnstsw %0" : "=a"(sw));                                                                  \
		x87_host_end(c, sw, 0);                                                                                \
		return ax >> 8 & (EFLAGS_ZF | EFLAGS_PF | EFLAGS_CF);                                                   \
	}

#endif
