// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * AH, CH, DH and BH. The host can name CH, DH and BH where an instruction needs no REX prefix, so the other operand goes
 * by way of AL; the guest's AH is in AH while it is needed.
 */
#include "machine/cpu/alu.h"
#include "machine/jit/operand.h"

/* ModRM number of the high byte of guest register g, which is in the host's A, C, D or B. */
static unsigned high_number(unsigned g)
{
	return g + 4;
}

_Static_assert(HCX == 1 && HDX == 2 && HBX == 3, "guest and host agree on these");

static void op_byte(struct tr *t, u8 opcode, unsigned reg, unsigned rm)
{
	x_u8(&t->a, opcode);
	x_u8(&t->a, (u8)(0xc0 | reg << 3 | rm));
}

/* EAX = a byte register, zero-extended; flags stay. */
static void byte_to_eax(struct tr *t, unsigned r)
{
	if (!high_byte(r, 1)) {
		x_op(&t->a, MAP_0F | 0xb6 | RM_BYTE, 4, T0, guest(r >> 3));
		return;
	}
	if (r >> 3 == RAX)
		x_load(&t->a, 8, HAX, guest(RAX));
	x_u8(&t->a, 0x0f);
	op_byte(t, 0xb6, HAX, high_number(r >> 3));
}

bool bytes_high(const struct tr *t, unsigned i)
{
	ZydisRegister r = t->ops[i].reg.value;

	return t->ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER && r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

/* AH and something in AL cannot both be there. */
bool bytes_can(const struct tr *t)
{
	return t->insn->operand_count_visible == 2 && can_memory(t) &&
	       !(bytes_high(t, 0) && t->o->dst >> 3 == RAX && !is_imm(t, 1));
}

/* The source into AL, unless it is an immediate. */
static void source_to_al(struct tr *t, bool carry)
{
	if (is_mem(t, 1))
		mem_operand(t, 1, false);
	else if (is_mem(t, 0))
		mem_operand(t, 1, t->ops[0].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE);
	if (carry)
		flags_to_host(t);
	if (is_mem(t, 1))
		x_op(&t->a, MAP_0F | 0xb6 | RM_BYTE, 4, T0, rm_mem(T1, 0));
	else if (!is_imm(t, 1))
		byte_to_eax(t, t->o->src);
}

void bytes_alu(struct tr *t, unsigned k)
{
	const struct op *o = t->o;
	struct asm_buf *a = &t->a;
	unsigned g = o->dst >> 3;

	source_to_al(t, k == ADC || k == SBB);
	if (!bytes_high(t, 0)) {
		struct rm to = is_mem(t, 0) ? rm_mem(T1, 0) : guest(g);

		if (k == TEST)
			x_test(a, 1, to, T0);
		else
			x_alu_to(a, (enum x_alu)k, 1, to, T0);
	} else {
		if (g == RAX)
			x_load(a, 8, HAX, guest(RAX));
		if (is_imm(t, 1)) {
			op_byte(t, k == TEST ? 0xf6 : 0x80, k == TEST ? 0 : k, high_number(g));
			x_u8(a, (u8)o->imm);
		} else {
			op_byte(t, k == TEST ? 0x84 : (u8)(k << 3), HAX, high_number(g));
		}
		if (g == RAX && ALU_WRITES(k))
			x_store(a, 8, guest(RAX), HAX);
	}
	flags_produced(t, no_lazy);
}

void bytes_mov(struct tr *t)
{
	const struct op *o = t->o;
	struct asm_buf *a = &t->a;
	unsigned g = o->dst >> 3;

	source_to_al(t, false);
	if (is_mem(t, 0)) {
		x_store(a, 1, rm_mem(T1, 0), T0);
	} else if (!bytes_high(t, 0)) {
		x_store(a, 1, guest(g), T0);
	} else if (is_imm(t, 1)) {
		if (g == RAX)
			x_load(a, 8, HAX, guest(RAX));
		x_u8(a, (u8)(0xb0 | high_number(g)));
		x_u8(a, (u8)o->imm);
		if (g == RAX)
			x_store(a, 8, guest(RAX), HAX);
	} else {
		op_byte(t, 0x88, HAX, high_number(g));
	}
}

/* Host register with the source of MOVZX or MOVSX. */
unsigned bytes_extended(struct tr *t)
{
	byte_to_eax(t, t->o->src);
	return T0;
}
