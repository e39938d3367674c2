// SPDX-License-Identifier: GPL-2.0-or-later
/* Integer instructions. What is not here, or refused by `can`, runs by its handler. */
#include "machine/cpu/alu.h"
#include "machine/jit/operand.h"

/* Two operands, no high bytes. */
static bool can_two(const struct tr *t)
{
	const struct op *o = t->o;

	if (!is_mem(t, 0) && high_byte(o->dst, o->size))
		return false;
	if (!is_mem(t, 1) && !is_imm(t, 1) && high_byte(o->src, o->size))
		return false;
	return can_memory(t);
}

static bool can_one(const struct tr *t)
{
	return (is_mem(t, 0) || !high_byte(t->o->dst, t->o->size)) && can_memory(t);
}

/* ADD OR ADC SBB AND SUB XOR CMP TEST */

static void alu_imm(struct asm_buf *a, enum alu k, unsigned size, struct rm rm, s32 imm)
{
	if (k == TEST)
		x_test_imm(a, size, rm, imm);
	else
		x_alu_imm(a, (enum x_alu)k, size, rm, imm);
}

static void alu_reg(struct asm_buf *a, enum alu k, unsigned size, struct rm rm, unsigned reg)
{
	if (k == TEST)
		x_test(a, size, rm, reg);
	else
		x_alu_to(a, (enum x_alu)k, size, rm, reg);
}

static bool is_logic(enum alu k)
{
	return k == AND || k == OR || k == XOR;
}

/* What describes the flags of register dst k operand b afterwards. b < 0: immediate. */
static struct lazy alu_lazy(const struct tr *t, enum alu k, int b)
{
	const struct op *o = t->o;
	struct lazy l = { .size = o->size, .a = (u8)number(o->dst, o->size), .b = (s8)b, .imm = (s32)o->imm };

	if (k == CMP)
		l.kind = LAZY_CMP;
	else if (k == TEST)
		l.kind = LAZY_TEST;
	else if (b == (int)l.a || (k != ADD && k != SUB))
		l.kind = LAZY_NONE;
	else
		l.kind = k == ADD ? LAZY_ADD : LAZY_SUB;
	return l;
}

static struct lazy result_lazy(const struct tr *t)
{
	u8 g = (u8)number(t->o->dst, t->o->size);

	return (struct lazy){ .kind = LAZY_TEST, .size = t->o->size, .a = g, .b = (s8)g };
}

static void alu_register(struct tr *t, enum alu k)
{
	const struct op *o = t->o;
	struct asm_buf *a = &t->a;
	unsigned size = o->size, dst = number(o->dst, size), src = 0;
	bool imm = is_imm(t, 1), writes = ALU_WRITES(k);
	struct rm to = writes ? target(dst, size) : guest(dst);

	if (k == ADC || k == SBB)
		flags_to_host(t);
	target_load(t, dst, to);
	if (!imm)
		src = number(o->src, size);
	if (imm) {
		alu_imm(a, k, size, to, (s32)o->imm);
	} else if (to.reg >= 0 && k != TEST) {
		x_alu(a, (enum x_alu)k, size, (unsigned)to.reg, guest(src));
	} else if (jit_home[src] >= 0 || to.reg < 0) {
		alu_reg(a, k, size, to, in_register(t, src, T2));
	} else {
		x_test(a, size, guest(src), (unsigned)to.reg);
	}
	if (writes)
		target_keep(t, dst, to);
	if ((k == XOR || k == SUB) && !imm && src == dst)
		flags_produced(t, result_lazy(t));
	else
		flags_produced(t, is_logic(k) ? result_lazy(t) : alu_lazy(t, k, imm ? -1 : (int)src));
}

static void alu_load(struct tr *t, enum alu k)
{
	const struct op *o = t->o;
	unsigned size = o->size, dst = number(o->dst, size);
	bool home = jit_home[dst] >= 0;
	unsigned reg = home ? (unsigned)jit_home[dst] : T0;

	mem_operand(t, size, false);
	if (k == ADC || k == SBB)
		flags_to_host(t);
	if (!home)
		x_load(&t->a, 8, T0, guest_mem(dst));
	x_alu(&t->a, (enum x_alu)k, size, reg, rm_mem(T1, 0));
	if (!home && k != CMP)
		x_store(&t->a, 8, guest_mem(dst), T0);
	flags_produced(t, is_logic(k) ? result_lazy(t) : no_lazy);
}

static void alu_memory(struct tr *t, enum alu k)
{
	const struct op *o = t->o;
	unsigned size = o->size;

	mem_operand(t, size, ALU_WRITES(k));
	if (k == ADC || k == SBB)
		flags_to_host(t);
	if (k == TEST) { /* as AND in a register: the result is wanted, too */
		x_load(&t->a, size, T0, rm_mem(T1, 0));
		if (is_imm(t, 1))
			x_alu_imm(&t->a, X_AND, size, rm_reg(T0), (s32)o->imm);
		else
			x_alu(&t->a, X_AND, size, T0, guest(number(o->src, size)));
		flags_logic(t, size, rm_reg(T0));
		return;
	}
	if (is_imm(t, 1))
		alu_imm(&t->a, k, size, rm_mem(T1, 0), (s32)o->imm);
	else
		alu_reg(&t->a, k, size, rm_mem(T1, 0), in_register(t, number(o->src, size), T0));
	if (is_logic(k))
		flags_logic(t, size, rm_mem(T1, 0));
	else
		flags_produced(t, no_lazy);
}

static bool has_high(const struct tr *t)
{
	return bytes_high(t, 0) || bytes_high(t, 1);
}

static bool can_alu(const struct tr *t)
{
	return has_high(t) ? bytes_can(t) : can_two(t);
}

static void emit_alu(struct tr *t)
{
	enum alu k = (enum alu)alu_number(t->insn->mnemonic);

	if (has_high(t))
		bytes_alu(t, k);
	else if (is_mem(t, 0))
		alu_memory(t, k);
	else if (is_mem(t, 1))
		alu_load(t, k);
	else
		alu_register(t, k);
}

/* MOV and its kind */

static bool can_mov(const struct tr *t)
{
	const struct op *o = t->o;

	/* to and from segment, control and debug registers: other rooms */
	for (unsigned i = 0; i < 2; i++)
		if (t->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && lower_gpr(t->ops[i].reg.value) < 0)
			return false;
	if ((o->flags & OP_MEM) && o->base == REG_ZERO && o->index == REG_ZERO && is_mem(t, !is_mem(t, 0)) &&
	    t->ops[!is_mem(t, 0)].mem.disp.value != o->disp)
		return false; /* a 64-bit offset */
	return can_alu(t);
}

static void mov_to_register(struct tr *t)
{
	const struct op *o = t->o;
	unsigned size = o->size, dst = number(o->dst, size);
	struct asm_buf *a = &t->a;

	if (is_imm(t, 1)) {
		u64 v = size == 4 ? (u32)o->imm : o->imm;

		if (size < 4)
			x_store_imm(a, size, guest(dst), (s32)v);
		else if (jit_home[dst] >= 0)
			x_mov_imm(a, (unsigned)jit_home[dst], v);
		else if ((s64)v == (s32)v)
			x_store_imm(a, 8, guest_mem(dst), (s32)v);
		else {
			x_mov_imm(a, T0, v);
			x_store(a, 8, guest_mem(dst), T0);
		}
		return;
	}
	if (jit_home[dst] >= 0) {
		x_load(a, size, (unsigned)jit_home[dst], guest(number(o->src, size)));
	} else if (size == 4) {
		x_load(a, 4, T0, guest(number(o->src, size)));
		x_store(a, 8, guest_mem(dst), T0);
	} else {
		x_store(a, size, guest_mem(dst), in_register(t, number(o->src, size), T0));
	}
}

static void emit_mov(struct tr *t)
{
	const struct op *o = t->o;
	unsigned size = o->size, dst = number(o->dst, size);
	struct asm_buf *a = &t->a;

	if (has_high(t)) {
		bytes_mov(t);
	} else if (is_mem(t, 0)) {
		mem_operand(t, size, true);
		if (is_imm(t, 1))
			x_store_imm(a, size, rm_mem(T1, 0), (s32)o->imm);
		else
			x_store(a, size, rm_mem(T1, 0), in_register(t, number(o->src, size), T0));
	} else if (is_mem(t, 1)) {
		mem_operand(t, size, false);
		if (jit_home[dst] >= 0) {
			x_load(a, size, (unsigned)jit_home[dst], rm_mem(T1, 0));
		} else {
			x_load(a, size, T0, rm_mem(T1, 0));
			x_store(a, size == 4 ? 8 : size, guest_mem(dst), T0);
		}
	} else {
		mov_to_register(t);
	}
}

static unsigned source_size(const struct tr *t)
{
	return t->ops[1].size / 8;
}

static bool can_extend(const struct tr *t)
{
	return source_size(t) <= t->o->size && can_memory(t);
}

static void emit_extend(struct tr *t)
{
	const struct op *o = t->o;
	unsigned from = source_size(t), dst = o->dst;
	bool zero = t->insn->mnemonic == ZYDIS_MNEMONIC_MOVZX;
	u32 opcode = from == 4 ? 0x63 : (MAP_0F | (zero ? 0xb6u : 0xbeu) | (from == 2)) | (from == 1 ? RM_BYTE : 0);
	unsigned reg = jit_home[dst] >= 0 ? (unsigned)jit_home[dst] : T0;
	struct rm src;

	if (is_mem(t, 1)) {
		mem_operand(t, from, false);
		src = rm_mem(T1, 0);
	} else if (bytes_high(t, 1)) {
		src = rm_reg(bytes_extended(t));
	} else {
		src = guest(number(o->src, from));
	}
	x_op(&t->a, opcode, o->size, reg, src);
	if (reg == T0)
		x_store(&t->a, o->size == 4 ? 8 : o->size, guest_mem(dst), T0);
}

static bool can_lea(const struct tr *t)
{
	return t->o->size >= 4 && mem_supported(t);
}

static void emit_lea(struct tr *t)
{
	const struct op *o = t->o;
	int home = jit_home[o->dst];
	unsigned to = home >= 0 ? (unsigned)home : T0;

	mem_address(t, to);
	if (o->size == 4 && o->asize == 8)
		x_load(&t->a, 4, to, rm_reg(to));
	if (home < 0)
		x_store(&t->a, 8, guest_mem(o->dst), to);
}

static unsigned condition(const struct tr *t)
{
	return t->insn->opcode & 15;
}

static bool can_cmov(const struct tr *t)
{
	return t->o->size >= 4 && can_memory(t);
}

static void emit_cmov(struct tr *t)
{
	const struct op *o = t->o;
	unsigned reg = jit_home[o->dst] >= 0 ? (unsigned)jit_home[o->dst] : T0;
	struct rm src = rm_mem(T1, 0);

	if (is_mem(t, 1))
		mem_operand(t, o->size, false);
	else
		src = guest(o->src);
	flags_to_host(t);
	if (reg == T0)
		x_load(&t->a, 8, T0, guest_mem(o->dst));
	x_op(&t->a, MAP_0F | 0x40 | condition(t), o->size, reg, src);
	if (reg == T0)
		x_store(&t->a, 8, guest_mem(o->dst), T0);
}

static bool can_setcc(const struct tr *t)
{
	return can_one(t);
}

static void emit_setcc(struct tr *t)
{
	struct rm to = rm_mem(T1, 0);

	if (is_mem(t, 0))
		mem_operand(t, 1, true);
	else
		to = guest(number(t->o->dst, 1));
	flags_to_host(t);
	x_op(&t->a, MAP_0F | 0x90 | condition(t) | RM_BYTE, 1, 0, to);
}

/* INC DEC NEG NOT */

static void unary(struct tr *t, u32 opcode, unsigned ext, bool keeps)
{
	const struct op *o = t->o;
	unsigned size = o->size, dst = number(o->dst, size);
	struct rm to = rm_mem(T1, 0);

	if (is_mem(t, 0))
		mem_operand(t, size, true);
	if (keeps && flags_wanted(t))
		flags_to_host(t);
	if (!is_mem(t, 0)) {
		to = target(dst, size);
		target_load(t, dst, to);
	}
	x_op(&t->a, opcode | (size > 1), size, ext, to);
	if (!is_mem(t, 0))
		target_keep(t, dst, to);
}

static void emit_inc(struct tr *t)
{
	unary(t, 0xfe, 0, true);
	flags_produced(t, no_lazy);
}

static void emit_dec(struct tr *t)
{
	unary(t, 0xfe, 1, true);
	flags_produced(t, no_lazy);
}

static void emit_neg(struct tr *t)
{
	unary(t, 0xf6, 3, false);
	flags_produced(t, no_lazy);
}

static void emit_not(struct tr *t)
{
	unary(t, 0xf6, 2, false);
}

/*
 * The flags after a multiplication: CF and OF are the host's. SF and PF follow the lower half, in rm, but those of 0
 * are clear like ZF and AF (undefined in the manual).
 */
static void product_flags(struct tr *t, struct rm low)
{
	struct asm_buf *a = &t->a;
	u8 *zero;

	x_op(a, MAP_0F | 0x90 | RM_BYTE, 1, 0, rm_reg(T2)); /* SETO */
	x_load(a, 8, T1, low);
	x_alu(a, X_XOR, 4, HAX, rm_reg(HAX));
	x_test(a, t->o->size, rm_reg(T1), T1);
	zero = x_jcc(a, CC_X_E);
	x_u8(a, 0x9f); /* LAHF */
	x_alu_imm(a, X_AND, 4, rm_reg(HAX), 0x8400);
	x_patch(zero, a->p);
	x_alu_imm(a, X_AND, 4, rm_reg(T2), 1);
	x_alu(a, X_OR, 4, HAX, rm_reg(T2));
	x_shift_imm(a, 4, 4, rm_reg(T2), 8);
	x_alu(a, X_OR, 4, HAX, rm_reg(T2));
	flags_from_ax(t);
}

static void multiplied(struct tr *t, unsigned g)
{
	if (flags_wanted(t))
		product_flags(t, guest(g));
	else
		flags_produced(t, no_lazy);
}

/* IMUL with two and three operands; MUL and IMUL with one. */
static bool can_imul(const struct tr *t)
{
	return t->o->size >= 4 && t->insn->operand_count_visible >= 2 && can_memory(t);
}

static void emit_imul(struct tr *t)
{
	const struct op *o = t->o;
	bool three = t->insn->operand_count_visible == 3;
	unsigned reg = jit_home[o->dst] >= 0 ? (unsigned)jit_home[o->dst] : T0;
	struct rm src = rm_mem(T1, 0);

	if (is_mem(t, 1))
		mem_operand(t, o->size, false);
	else
		src = guest(o->src);
	if (three) {
		x_op(&t->a, 0x69, o->size, reg, src);
		x_u32(&t->a, (u32)t->ops[2].imm.value.s);
	} else {
		if (reg == T0)
			x_load(&t->a, 8, T0, guest_mem(o->dst));
		x_op(&t->a, MAP_0F | 0xaf, o->size, reg, src);
	}
	if (reg == T0)
		x_store(&t->a, 8, guest_mem(o->dst), T0);
	multiplied(t, o->dst);
}

static bool can_mul(const struct tr *t)
{
	return t->o->size >= 4 && t->insn->operand_count_visible == 1 && can_memory(t);
}

/* The host's RAX is scratch; RDX is the guest's own. */
static void emit_mul(struct tr *t)
{
	const struct op *o = t->o;
	struct rm src = rm_mem(T1, 0);

	if (is_mem(t, 0))
		mem_operand(t, o->size, false);
	else
		src = guest(o->dst);
	x_load(&t->a, 8, HAX, guest(RAX));
	x_op(&t->a, 0xf7, o->size, t->insn->mnemonic == ZYDIS_MNEMONIC_MUL ? 4 : 5, src);
	x_store(&t->a, 8, guest(RAX), HAX);
	multiplied(t, RAX);
}

/* T1 = the divisor. Flags are undefined in the manual; the reference leaves them. */
static void divisor(struct tr *t)
{
	const struct op *o = t->o;

	flags_to_mem(t); /* #DE comes after the access */
	if (is_mem(t, 0))
		mem_operand(t, o->size, false);
	flags_clobber(t);
	x_load(&t->a, o->size, T1, is_mem(t, 0) ? rm_mem(T1, 0) : guest(o->dst));
	x_load(&t->a, 8, HAX, guest(RAX));
}

static void divide(struct tr *t, unsigned ext)
{
	x_op(&t->a, 0xf7, t->o->size, ext, rm_reg(T1));
	x_store(&t->a, 8, guest(RAX), HAX);
}

/* #DE is the handler's. */
static void emit_div(struct tr *t)
{
	divisor(t);
	x_alu(&t->a, X_CMP, t->o->size, HDX, rm_reg(T1));
	cold_add(t, COLD_CALL, x_jcc(&t->a, CC_X_AE), NULL, 0);
	divide(t, 6);
}

/* So are dividends longer than the divisor, and the divisors -1 and 0. */
static void emit_idiv(struct tr *t)
{
	struct asm_buf *a = &t->a;
	unsigned size = t->o->size;

	divisor(t);
	x_load(a, 8, T2, rm_reg(HAX));
	x_shift_imm(a, 7, size, rm_reg(T2), 8 * size - 1);
	x_alu(a, X_CMP, size, T2, rm_reg(HDX));
	cold_add(t, COLD_CALL, x_jcc(a, CC_X_NE), NULL, 0);
	x_lea(a, size, T2, T1, -1, 0, 1);
	x_alu_imm(a, X_CMP, size, rm_reg(T2), 1);
	cold_add(t, COLD_CALL, x_jcc(a, CC_X_BE), NULL, 0);
	divide(t, 7);
}

static bool can_imul_any(const struct tr *t)
{
	return can_mul(t) || can_imul(t);
}

static void emit_imul_any(struct tr *t)
{
	if (t->insn->operand_count_visible == 1)
		emit_mul(t);
	else
		emit_imul(t);
}

/* BT BTS BTR BTC: a bit of a register, or of memory at a constant place. CF is new, all other flags stay. */
static bool can_bit(const struct tr *t)
{
	return t->o->size >= 4 && (!is_mem(t, 0) || is_imm(t, 1)) && can_memory(t);
}

static u32 bit_opcode(const struct tr *t)
{
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_BTS: return 5;
	case ZYDIS_MNEMONIC_BTR: return 6;
	case ZYDIS_MNEMONIC_BTC: return 7;
	default:                 return 4;
	}
}

static void emit_bit(struct tr *t)
{
	const struct op *o = t->o;
	struct asm_buf *a = &t->a;
	bool wanted = flags_wanted(t), writes = t->insn->mnemonic != ZYDIS_MNEMONIC_BT;
	unsigned size = o->size, count = 8 * size - 1;
	struct rm to = rm_mem(T1, 0);

	if (is_mem(t, 0))
		mem_operand(t, size, writes);
	if (wanted) {
		flags_to_mem(t);
		t->fl.host = false;
		t->fl.lazy.kind = LAZY_NONE;
		flags_to_host(t); /* which makes them CC_HOST in memory */
		t->fl.host = false;
	}
	if (!is_mem(t, 0)) {
		to = jit_home[o->dst] >= 0 ? guest(o->dst) : rm_reg(T1);
		x_load(a, 8, T1, guest(o->dst));
	}
	if (is_imm(t, 1)) {
		x_op(a, MAP_0F | 0xba, size, bit_opcode(t), to);
		x_u8(a, (u8)(o->imm & count));
	} else {
		x_op(a, MAP_0F | 0x83 | bit_opcode(t) << 3, size, in_register(t, o->src, T2), to);
	}
	if (!is_mem(t, 0) && writes && jit_home[o->dst] < 0)
		x_store(a, 8, guest_mem(o->dst), T1);
	if (!wanted) {
		flags_produced(t, no_lazy);
		return;
	}
	x_op(a, MAP_0F | 0x92 | RM_BYTE, 1, 0, rm_reg(T2)); /* SETC */
	x_op(a, MAP_0F | 0xb7, 4, T0, CPU(cc_src));
	x_op(a, MAP_0F | 0xb6 | RM_BYTE, 4, T2, rm_reg(T2));
	x_shift_imm(a, 4, 4, rm_reg(T2), 8);
	x_alu_imm(a, X_AND, 4, rm_reg(T0), 0xfe01);
	x_alu(a, X_OR, 4, T0, rm_reg(T2));
	flags_from_ax(t);
}

/* XCHG XADD CMPXCHG. One host thread runs all CPUs: no LOCK is needed. */

static bool can_xchg(const struct tr *t)
{
	const struct op *o = t->o;

	if (t->insn->mnemonic != ZYDIS_MNEMONIC_XCHG && !is_mem(t, 0))
		return false;
	return o->size >= 4 && can_two(t);
}

static void emit_xchg(struct tr *t)
{
	const struct op *o = t->o;
	bool mem = o->flags & OP_MEM; /* either operand: o->src is the register */
	struct rm other = rm_mem(T1, 0);

	if (mem)
		mem_operand(t, o->size, true);
	else
		other = guest(o->dst);
	x_load(&t->a, o->size, T0, other);
	if (mem) {
		x_store(&t->a, o->size, other, in_register(t, o->src, T2));
	} else {
		x_load(&t->a, o->size, T2, guest(o->src));
		x_store(&t->a, 8, other, T2);
	}
	x_store(&t->a, 8, guest(o->src), T0);
}

static void emit_xadd(struct tr *t)
{
	const struct op *o = t->o;
	unsigned reg;

	mem_operand(t, o->size, true);
	reg = in_register(t, o->src, T0);
	x_op(&t->a, MAP_0F | 0xc1, o->size, reg, rm_mem(T1, 0));
	if (reg == T0)
		x_store(&t->a, 8, guest_mem(o->src), T0);
	flags_produced(t, no_lazy);
}

static void emit_cmpxchg(struct tr *t)
{
	const struct op *o = t->o;
	unsigned reg;

	mem_operand(t, o->size, true);
	reg = in_register(t, o->src, T2);
	x_load(&t->a, 8, HAX, guest(RAX));
	x_op(&t->a, MAP_0F | 0xb1, o->size, reg, rm_mem(T1, 0));
	x_store(&t->a, 8, guest(RAX), HAX);
	flags_produced(t, no_lazy);
}

/* Sign extensions of the accumulator, BSWAP, NOP */

static bool can_wide(const struct tr *t)
{
	return t->o->size >= 4;
}

static void emit_extend_acc(struct tr *t)
{
	unsigned acc = (unsigned)jit_home[RAX];

	if (t->o->size == 8)
		x_op(&t->a, 0x63, 8, acc, rm_reg(acc));
	else
		x_op(&t->a, MAP_0F | 0xbf, 4, acc, rm_reg(acc));
}

static void emit_extend_to_dx(struct tr *t)
{
	x_load(&t->a, 8, HAX, guest(RAX));
	if (t->o->size == 8)
		x_u8(&t->a, 0x48);
	x_u8(&t->a, 0x99); /* CDQ, CQO */
}

static void emit_bswap(struct tr *t)
{
	const struct op *o = t->o;
	unsigned reg = in_register(t, o->dst, T0);

	x_u8(&t->a, (u8)(0x40 | (o->size == 8) << 3 | reg >> 3));
	x_u8(&t->a, 0x0f);
	x_u8(&t->a, (u8)(0xc8 | (reg & 7)));
	if (reg == T0)
		x_store(&t->a, 8, guest_mem(o->dst), T0);
}

static bool can_always(const struct tr *t)
{
	(void)t;
	return true;
}

static void emit_nop(struct tr *t)
{
	(void)t;
}

/* PUSH POP LEAVE of 64 bits */

static bool can_pop(const struct tr *t)
{
	return t->o->size == 8 && !is_mem(t, 0) && lower_gpr(t->ops[0].reg.value) >= 0;
}

static bool can_push(const struct tr *t)
{
	return t->o->size == 8 && (is_imm(t, 0) || (is_mem(t, 0) ? mem_supported(t) : can_pop(t)));
}

static void emit_push(struct tr *t)
{
	const struct op *o = t->o;
	unsigned sp = (unsigned)jit_home[RSP];

	if (is_mem(t, 0)) {
		mem_operand(t, 8, false);
		x_load(&t->a, 8, T0, rm_mem(T1, 0));
		x_store(&t->a, 8, CPU(jit_value), T0);
	}
	x_lea(&t->a, 8, T1, (int)sp, -1, 0, -8);
	mem_lookup(t, 8, true);
	if (is_mem(t, 0)) {
		x_load(&t->a, 8, T0, CPU(jit_value));
		x_store(&t->a, 8, rm_mem(T1, 0), T0);
	} else if (is_imm(t, 0))
		x_store_imm(&t->a, 8, rm_mem(T1, 0), (s32)o->imm);
	else
		x_store(&t->a, 8, rm_mem(T1, 0), in_register(t, o->dst, T0));
	x_lea(&t->a, 8, sp, (int)sp, -1, 0, -8);
}

static void emit_pop(struct tr *t)
{
	unsigned sp = (unsigned)jit_home[RSP];

	x_load(&t->a, 8, T1, rm_reg(sp));
	mem_lookup(t, 8, false);
	x_load(&t->a, 8, T0, rm_mem(T1, 0));
	x_lea(&t->a, 8, sp, (int)sp, -1, 0, 8);
	x_store(&t->a, 8, guest(t->o->dst), T0);
}

static void emit_leave(struct tr *t)
{
	unsigned sp = (unsigned)jit_home[RSP], bp = (unsigned)jit_home[RBP];

	x_load(&t->a, 8, T1, rm_reg(bp));
	mem_lookup(t, 8, false);
	x_lea(&t->a, 8, sp, (int)bp, -1, 0, 8);
	x_load(&t->a, 8, bp, rm_mem(T1, 0));
}

static bool can_leave(const struct tr *t)
{
	return t->o->size == 8;
}

#define ALU_ROW(name, more) { ZYDIS_MNEMONIC_##name, EFFECT_KILLS | (more), can_alu, emit_alu }
#define NOP_ROW(name) { ZYDIS_MNEMONIC_##name, EFFECT_NO_ACCESS, can_always, emit_nop }

static const struct emitter table[] = {
	ALU_ROW(ADD, 0), ALU_ROW(OR, 0), ALU_ROW(ADC, EFFECT_READS), ALU_ROW(SBB, EFFECT_READS), ALU_ROW(AND, 0),
	ALU_ROW(SUB, 0), ALU_ROW(XOR, 0), ALU_ROW(CMP, 0), ALU_ROW(TEST, 0),
	{ ZYDIS_MNEMONIC_MOV, 0, can_mov, emit_mov },
	{ ZYDIS_MNEMONIC_MOVNTI, 0, can_mov, emit_mov },
	{ ZYDIS_MNEMONIC_MOVZX, 0, can_extend, emit_extend },
	{ ZYDIS_MNEMONIC_MOVSX, 0, can_extend, emit_extend },
	{ ZYDIS_MNEMONIC_MOVSXD, 0, can_extend, emit_extend },
	{ ZYDIS_MNEMONIC_LEA, EFFECT_NO_ACCESS, can_lea, emit_lea },
	{ ZYDIS_MNEMONIC_INC, EFFECT_PART, can_one, emit_inc },
	{ ZYDIS_MNEMONIC_DEC, EFFECT_PART, can_one, emit_dec },
	{ ZYDIS_MNEMONIC_NEG, EFFECT_KILLS, can_one, emit_neg },
	{ ZYDIS_MNEMONIC_NOT, 0, can_one, emit_not },
	{ ZYDIS_MNEMONIC_IMUL, EFFECT_KILLS, can_imul_any, emit_imul_any },
	{ ZYDIS_MNEMONIC_MUL, EFFECT_KILLS, can_mul, emit_mul },
	{ ZYDIS_MNEMONIC_DIV, EFFECT_SEEN, can_mul, emit_div },
	{ ZYDIS_MNEMONIC_IDIV, EFFECT_SEEN, can_mul, emit_idiv },
	{ ZYDIS_MNEMONIC_BT, EFFECT_PART, can_bit, emit_bit },
	{ ZYDIS_MNEMONIC_BTS, EFFECT_PART, can_bit, emit_bit },
	{ ZYDIS_MNEMONIC_BTR, EFFECT_PART, can_bit, emit_bit },
	{ ZYDIS_MNEMONIC_BTC, EFFECT_PART, can_bit, emit_bit },
	{ ZYDIS_MNEMONIC_XCHG, 0, can_xchg, emit_xchg },
	{ ZYDIS_MNEMONIC_XADD, EFFECT_KILLS, can_xchg, emit_xadd },
	{ ZYDIS_MNEMONIC_CMPXCHG, EFFECT_KILLS, can_xchg, emit_cmpxchg },
	{ ZYDIS_MNEMONIC_CWDE, 0, can_wide, emit_extend_acc },
	{ ZYDIS_MNEMONIC_CDQE, 0, can_wide, emit_extend_acc },
	{ ZYDIS_MNEMONIC_CDQ, 0, can_wide, emit_extend_to_dx },
	{ ZYDIS_MNEMONIC_CQO, 0, can_wide, emit_extend_to_dx },
	{ ZYDIS_MNEMONIC_BSWAP, 0, can_wide, emit_bswap },
	{ ZYDIS_MNEMONIC_PUSH, EFFECT_SEEN, can_push, emit_push },
	{ ZYDIS_MNEMONIC_POP, EFFECT_SEEN, can_pop, emit_pop },
	{ ZYDIS_MNEMONIC_LEAVE, EFFECT_SEEN, can_leave, emit_leave },
	NOP_ROW(NOP), NOP_ROW(ENDBR32), NOP_ROW(ENDBR64), NOP_ROW(PREFETCH), NOP_ROW(PREFETCHNTA),
	NOP_ROW(PREFETCHT0), NOP_ROW(PREFETCHT1), NOP_ROW(PREFETCHT2), NOP_ROW(PREFETCHW), NOP_ROW(LFENCE),
	NOP_ROW(MFENCE), NOP_ROW(SFENCE),
};

static const struct emitter cmov = { 0, EFFECT_READS, can_cmov, emit_cmov };
static const struct emitter setcc = { 0, EFFECT_READS, can_setcc, emit_setcc };

const struct emitter *integer_find(const struct tr *t)
{
	ZydisMnemonic m = t->insn->mnemonic;

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].mnem == m)
			return &table[i];
	if (m >= ZYDIS_MNEMONIC_CMOVB && m <= ZYDIS_MNEMONIC_CMOVZ)
		return &cmov;
	if (m >= ZYDIS_MNEMONIC_SETB && m <= ZYDIS_MNEMONIC_SETZ && m != ZYDIS_MNEMONIC_SETSSBSY)
		return &setcc;
	return NULL;
}
