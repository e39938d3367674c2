/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port I/O. SDM 1 "Input/Output" (chapter 19), SDM 2A "IN", "INS", SDM 2B "OUT", "OUTS". */
#include "machine/core/smp.h"
#include "machine/cpu/sys/priv.h"
#include "machine/vmx/vmx.h"

/*
 * SDM 1 "I/O Permission Bit Map" (19.5.2): two bytes are always read; a bitmap outside the TSS's limit permits nothing.
 */
static bool bitmap_permits(struct cpu *c, const struct op *o, u16 port, unsigned size)
{
	unsigned type = c->tr.ar & DESC_TYPE, base, word;

	if ((c->tr.ar & SEG_UNUSABLE) || (type != SYS_TYPE_TSS_AVAIL && type != SYS_TYPE_TSS_BUSY) ||
	    c->tr.limit < TSS64_IOPB + 1)
		return false;
	base = (unsigned)mmu_ld_sys(c, o, c->tr.base + TSS64_IOPB, 2);
	if (base + port / 8 + 1 > c->tr.limit)
		return false;
	word = (unsigned)mmu_ld_sys(c, o, c->tr.base + base + port / 8, 2);
	return !(word >> (port & 7) & ((1u << size) - 1));
}

static void check_port(struct cpu *c, const struct op *o, u16 port, unsigned size)
{
	bool free = !(c->cr0 & CR0_PE) || (!in_v86(c) && c->cpl <= iopl(c));

	if (!free && !bitmap_permits(c, o, port, size))
		raise_gp0(c, o);
	if (sys_breakpoints(c))
		sys_break_io(c, port, size);
}

/* aux: the port is op.imm, not DX. */
static u16 port_operand(const struct cpu *c, const struct op *o)
{
	return o->aux ? (u8)o->imm : (u16)c->gpr[RDX];
}

static const struct op *io_done(struct cpu *c, const struct op *o)
{
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

const struct op *op_in(struct cpu *c, const struct op *o)
{
	u16 port = port_operand(c, o);
	u32 v;

	cpu_sync(c, o);
	check_port(c, o, port, o->size);
	vmx_intercept_io(c, o, port, o->size, true, false, false, o->aux, 0);
	smp_in_order(c, o);
	v = bus_pio_read(c->m, c, port, o->size);
	if (o->size == 4)
		c->gpr[RAX] = v;
	else if (o->size == 2)
		c->gpr[RAX] = (c->gpr[RAX] & ~0xffffull) | (u16)v;
	else
		c->gpr[RAX] = (c->gpr[RAX] & ~0xffull) | (u8)v;
	return io_done(c, o);
}

const struct op *op_out(struct cpu *c, const struct op *o)
{
	u16 port = port_operand(c, o);
	u32 mask = o->size == 4 ? 0xffffffff : (1u << 8 * o->size) - 1;

	cpu_sync(c, o);
	check_port(c, o, port, o->size);
	vmx_intercept_io(c, o, port, o->size, false, false, false, o->aux, 0);
	smp_in_order(c, o);
	c->rip = cpu_next_rip(c, o); /* before the device acts: a snapshot asked for by a port resumes after the OUT */
	bus_pio_write(c->m, c, port, o->size, (u32)c->gpr[RAX] & mask);
	return op_leave(c);
}

/* --- INS and OUTS: one element a time; the instruction runs again until the count is used up --- */

static u64 index_mask(const struct op *o)
{
	return o->asize == 8 ? ~0ull : o->asize == 4 ? 0xffffffffull : 0xffffull;
}

/* Writes the part of a register that the address size covers; 32-bit results are zero-extended. */
static void put_index(struct cpu *c, const struct op *o, unsigned r, u64 v)
{
	c->gpr[r] = o->asize == 2 ? (c->gpr[r] & ~0xffffull) | (v & 0xffff) : v & index_mask(o);
}

static void step_index(struct cpu *c, const struct op *o, unsigned r)
{
	put_index(c, o, r, c->eflags & EFLAGS_DF ? c->gpr[r] - o->size : c->gpr[r] + o->size);
}

static bool repeats(const struct op *o)
{
	return o->flags & (OP_REP | OP_REPNE);
}

/* True if a REP prefix finds nothing to do. */
static bool rep_finished(const struct cpu *c, const struct op *o)
{
	return repeats(o) && !(c->gpr[RCX] & index_mask(o));
}

static const struct op *string_done(struct cpu *c, const struct op *o)
{
	if (repeats(o)) {
		put_index(c, o, RCX, c->gpr[RCX] - 1);
		if (!rep_finished(c, o))
			return op_leave(c); /* c->rip is still the instruction's */
	}
	return io_done(c, o);
}

const struct op *op_ins(struct cpu *c, const struct op *o)
{
	u16 port = (u16)c->gpr[RDX];
	u64 ea = c->gpr[RDI] & index_mask(o), lin;

	cpu_sync(c, o);
	if (rep_finished(c, o))
		return io_done(c, o);
	check_port(c, o, port, o->size);
	vmx_intercept_io(c, o, port, o->size, true, true, repeats(o), false, seg_linear_unchecked(c, ES, ea));
	lin = seg_linear(c, o, ES, ea, o->size, ACCESS_WRITE);
	mmu_probe(c, o, lin, o->size, ACCESS_WRITE);
	smp_in_order(c, o);
	mmu_st(c, o, lin, o->size, bus_pio_read(c->m, c, port, o->size));
	step_index(c, o, RDI);
	return string_done(c, o);
}

const struct op *op_outs(struct cpu *c, const struct op *o)
{
	u16 port = (u16)c->gpr[RDX];
	u64 ea = c->gpr[RSI] & index_mask(o), v;

	cpu_sync(c, o);
	if (rep_finished(c, o))
		return io_done(c, o);
	check_port(c, o, port, o->size);
	vmx_intercept_io(c, o, port, o->size, false, true, repeats(o), false,
			 seg_linear_unchecked(c, (enum sreg)o->seg, ea));
	v = mmu_ld(c, o, seg_linear(c, o, (enum sreg)o->seg, ea, o->size, ACCESS_READ), o->size);
	smp_in_order(c, o);
	bus_pio_write(c->m, c, port, o->size, (u32)v);
	step_index(c, o, RSI);
	return string_done(c, o);
}
