/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Operands of the integer handlers. Register fields of ops lowered by this room are REG_* for 16 to 64 bits and byte
 * offsets into cpu.gpr for 8 bits (AH is 1).
 */
#ifndef OOH_MACHINE_CPU_OPERAND_H
#define OOH_MACHINE_CPU_OPERAND_H

#include "machine/cpu/dispatch.h"
#include "machine/cpu/flags.h"
#include "machine/cpu/mem.h"

#define INLINE static inline __attribute__((always_inline))

/* The value of n bits as the flags keep it. */
#define SX8(v)  ((u64)(s64)(s8)(v))
#define SX16(v) ((u64)(s64)(s16)(v))
#define SX32(v) ((u64)(s64)(s32)(v))
#define SX64(v) ((u64)(v))

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "8-bit registers are reached by byte offset");

INLINE u8 reg8(const struct cpu *c, unsigned r) { return ((const u8 *)c->gpr)[r]; }
INLINE u16 reg16(const struct cpu *c, unsigned r) { return (u16)c->gpr[r]; }
INLINE u32 reg32(const struct cpu *c, unsigned r) { return (u32)c->gpr[r]; }
INLINE u64 reg64(const struct cpu *c, unsigned r) { return c->gpr[r]; }
INLINE void set_reg8(struct cpu *c, unsigned r, u8 v) { ((u8 *)c->gpr)[r] = v; }
INLINE void set_reg16(struct cpu *c, unsigned r, u16 v) { memcpy(&c->gpr[r], &v, sizeof(v)); }
INLINE void set_reg32(struct cpu *c, unsigned r, u32 v) { c->gpr[r] = v; }
INLINE void set_reg64(struct cpu *c, unsigned r, u64 v) { c->gpr[r] = v; }

/* The same with the size in bytes at run time, for the less frequent instructions. */
static inline u64 reg_get(const struct cpu *c, unsigned r, unsigned size)
{
	switch (size) {
	case 1:  return reg8(c, r);
	case 2:  return reg16(c, r);
	case 4:  return reg32(c, r);
	default: return reg64(c, r);
	}
}

static inline void reg_set(struct cpu *c, unsigned r, unsigned size, u64 v)
{
	switch (size) {
	case 1:  set_reg8(c, r, (u8)v); break;
	case 2:  set_reg16(c, r, (u16)v); break;
	case 4:  set_reg32(c, r, (u32)v); break;
	default: set_reg64(c, r, v); break;
	}
}

static inline u64 size_mask(unsigned size)
{
	return ~0ull >> (64 - 8 * size);
}

static inline u64 sign_extend(u64 v, unsigned size)
{
	unsigned shift = 64 - 8 * size;

	return (u64)((s64)(v << shift) >> shift);
}

/* Memory of 1 to 8 bytes, on the slow but general path. */
static inline u64 mem_get(struct cpu *c, const struct op *o, u64 lin, unsigned size)
{
	switch (size) {
	case 1:  return ld8(c, o, lin);
	case 2:  return ld16(c, o, lin);
	case 4:  return ld32(c, o, lin);
	default: return ld64(c, o, lin);
	}
}

static inline u64 mem_get_rmw(struct cpu *c, const struct op *o, u64 lin, unsigned size)
{
	switch (size) {
	case 1:  return ld8_rmw(c, o, lin);
	case 2:  return ld16_rmw(c, o, lin);
	case 4:  return ld32_rmw(c, o, lin);
	default: return ld64_rmw(c, o, lin);
	}
}

static inline void mem_set(struct cpu *c, const struct op *o, u64 lin, unsigned size, u64 v)
{
	switch (size) {
	case 1:  st8(c, o, lin, (u8)v); break;
	case 2:  st16(c, o, lin, (u16)v); break;
	case 4:  st32(c, o, lin, (u32)v); break;
	default: st64(c, o, lin, v); break;
	}
}

/* A register-or-memory operand that is read and then written: where it is, once the address is computed and checked. */
struct place {
	u64 lin;
	u8 reg, size;
	bool mem;
};

static inline u64 place_read(struct cpu *c, const struct op *o, struct place *p, unsigned reg)
{
	p->reg = (u8)reg;
	p->size = o->size;
	p->mem = o->flags & OP_MEM;
	p->lin = 0;
	if (!p->mem)
		return reg_get(c, reg, o->size);
	p->lin = op_lin(c, o, o->size, ACCESS_WRITE);
	return mem_get_rmw(c, o, p->lin, o->size);
}

/* Cannot fault: place_read has made sure. */
static inline void place_write(struct cpu *c, const struct op *o, const struct place *p, u64 v)
{
	if (p->mem)
		mem_set(c, o, p->lin, p->size, v);
	else
		reg_set(c, p->reg, p->size, v);
}

/* A register-or-memory operand that is only read. */
static inline u64 source_read(struct cpu *c, const struct op *o, unsigned reg, unsigned size)
{
	if (o->flags & OP_MEM)
		return mem_get(c, o, op_lin(c, o, size, ACCESS_READ), size);
	return reg_get(c, reg, size);
}

/* Linear address of a flat 64-bit operand (lower_flat). */
INLINE u64 ea_flat(const struct cpu *c, const struct op *o)
{
	return c->gpr[o->base] + (c->gpr[o->index] << o->scale) + (s64)o->disp;
}

#endif
