// SPDX-License-Identifier: GPL-2.0-or-later
/* From bytes to ops: Zydis takes an instruction apart, the rooms choose the handler. */
#include <stdio.h>
#include <string.h>

#include "machine/cpu/block.h"
#include "machine/cpu/lower.h"
#include "machine/cpu/sys/sys.h"
#include "machine/debug/debug.h"
#include "machine/vmx/vmx.h"

static ZydisDecoder decoder[3]; /* by KEY_SIZE*: constant after the first use */

static void init_decoder(ZydisDecoder *d, ZydisMachineMode mode, ZydisStackWidth width)
{
	/* Encodings that these extensions took from the hinted NOPs are NOPs on a CPU that does not enumerate them. */
	static const ZydisDecoderMode off[] = {
		ZYDIS_DECODER_MODE_MPX, ZYDIS_DECODER_MODE_CET, ZYDIS_DECODER_MODE_CLDEMOTE,
		ZYDIS_DECODER_MODE_WBNOINVD, ZYDIS_DECODER_MODE_KNC,
	};

	ZydisDecoderInit(d, mode, width);
	for (unsigned i = 0; i < sizeof(off) / sizeof(off[0]); i++)
		ZydisDecoderEnableMode(d, off[i], ZYAN_FALSE);
}

static const ZydisDecoder *get_decoder(u8 key)
{
	static bool ready;

	if (!ready) {
		init_decoder(&decoder[KEY_SIZE16], ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
		init_decoder(&decoder[KEY_SIZE32], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
		init_decoder(&decoder[KEY_SIZE64], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		ready = true;
	}
	return &decoder[key & 3];
}

int lower_gpr(ZydisRegister r)
{
	if (r >= ZYDIS_REGISTER_AL && r <= ZYDIS_REGISTER_BL)
		return (r - ZYDIS_REGISTER_AL) * 8;
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH)
		return (r - ZYDIS_REGISTER_AH) * 8 + 1;
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (r - ZYDIS_REGISTER_SPL + RSP) * 8;
	if (r >= ZYDIS_REGISTER_AX && r <= ZYDIS_REGISTER_R15W)
		return r - ZYDIS_REGISTER_AX;
	if (r >= ZYDIS_REGISTER_EAX && r <= ZYDIS_REGISTER_R15D)
		return r - ZYDIS_REGISTER_EAX;
	if (r >= ZYDIS_REGISTER_RAX && r <= ZYDIS_REGISTER_R15)
		return r - ZYDIS_REGISTER_RAX;
	return -1;
}

enum kind lower_kind(struct lower *l, unsigned max)
{
	static const enum kind two[3][3] = { { KIND_RR, KIND_RM, KIND_RI }, { KIND_MR, KIND_OTHER, KIND_MI },
					     { KIND_OTHER, KIND_OTHER, KIND_OTHER } };
	static const enum kind one[3] = { KIND_R, KIND_M, KIND_I };
	unsigned n = l->insn->operand_count_visible, what[2] = { 0, 0 };

	if (n == 0)
		return KIND_NONE;
	if (n > max)
		return KIND_OTHER;
	for (unsigned i = 0; i < n && i < 2; i++) {
		const ZydisDecodedOperand *op = &l->ops[i];
		int reg;

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY) {
			what[i] = 1;
		} else if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			what[i] = 2;
		} else {
			reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? lower_gpr(op->reg.value) : -1;
			if (reg < 0)
				return KIND_OTHER;
			*(i ? &l->op->src : &l->op->dst) = (u8)reg;
		}
	}
	return n == 1 ? one[what[0]] : two[what[0]][what[1]];
}

void lower_imm(struct op *o)
{
	if (o->size == 1)
		o->imm = (u64)(s64)(s8)o->imm;
	else if (o->size == 2)
		o->imm = (u64)(s64)(s16)o->imm;
	else if (o->size == 4)
		o->imm = (u64)(s64)(s32)o->imm;
}

u8 lower_segment(ZydisRegister r)
{
	switch (r) {
	case ZYDIS_REGISTER_ES: return ES;
	case ZYDIS_REGISTER_CS: return CS;
	case ZYDIS_REGISTER_SS: return SS;
	case ZYDIS_REGISTER_FS: return FS;
	case ZYDIS_REGISTER_GS: return GS;
	default:                return DS;
	}
}

static u8 address_register(ZydisRegister r)
{
	int n = lower_gpr(r);

	if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP)
		return REG_BLOCK;
	return n < 0 ? REG_ZERO : (u8)n;
}

/*
 * SIB with no base: mod 0 and base 101B, whatever REX.B says (SDM 2A table 2-5). Zydis 4.0 takes it for R13 without
 * displacement if REX.B is set.
 */
static bool sib_without_base(const ZydisDecodedInstruction *in)
{
	return (in->attributes & ZYDIS_ATTRIB_HAS_SIB) && in->raw.modrm.mod == 0 && (in->raw.sib.base & 7) == 5;
}

/* False if the displacement does not fit: only where a RIP-relative one lies at the end of its range. */
static bool fill_memory(struct op *o, const ZydisDecodedInstruction *in, const ZydisDecodedOperandMem *mem,
			u8 code_size)
{
	s64 disp = mem->disp.has_displacement ? mem->disp.value : 0;
	bool no_base = sib_without_base(in);

	o->flags |= OP_MEM;
	o->seg = lower_segment(mem->segment);
	o->base = no_base ? REG_ZERO : address_register(mem->base);
	if (no_base)
		disp = in->raw.disp.value;
	o->index = address_register(mem->index);
	o->scale = o->index == REG_ZERO || mem->scale == 0 ? 0 : (u8)__builtin_ctz(mem->scale);
	if (o->base == REG_BLOCK)
		disp += o->off + o->len;
	if (code_size == 64 && o->seg != FS && o->seg != GS)
		o->flags |= OP_FLAT;
	o->disp = (s32)disp;
	if (o->disp == disp || code_size != 64)
		return true;
	o->imm = (u64)disp;
	return o->base == REG_ZERO && o->index == REG_ZERO;
}

static u8 register_number(ZydisRegister r, u8 *flags, u8 high)
{
	if (r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH) {
		*flags |= high;
		return (u8)(r - ZYDIS_REGISTER_AH);
	}
	if (r >= ZYDIS_REGISTER_SPL && r <= ZYDIS_REGISTER_R15B)
		return (u8)(r - ZYDIS_REGISTER_SPL + RSP);
	return (u8)ZydisRegisterGetId(r);
}

static void fill_immediate(struct op *o, const ZydisDecodedOperandImm *imm)
{
	o->imm = imm->is_signed ? (u64)imm->value.s : imm->value.u;
	if (imm->is_relative)
		o->imm += o->off + o->len;
}

/* What is the same for all instructions. */
static bool fill_op(struct lower *l)
{
	const ZydisDecodedInstruction *in = l->insn;
	struct op *o = l->op;
	unsigned nregs = 0;
	bool ok = true;

	o->base = o->index = REG_ZERO;
	o->seg = DS;
	o->size = in->operand_width / 8;
	o->asize = in->address_width / 8;
	o->len = in->length;
	o->mnem = (u16)in->mnemonic;
	o->cost = (u16)l->cpu->m->costs->cycles[COST_INSN];
	if (in->attributes & ZYDIS_ATTRIB_HAS_LOCK)
		o->flags |= OP_LOCK;
	if (in->attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
		o->flags |= OP_REP;
	if (in->attributes & ZYDIS_ATTRIB_HAS_REPNE)
		o->flags |= OP_REPNE;
	for (unsigned i = 0; i < in->operand_count_visible; i++) {
		const ZydisDecodedOperand *d = &l->ops[i];

		if (d->type == ZYDIS_OPERAND_TYPE_MEMORY)
			ok = fill_memory(o, in, &d->mem, l->code_size) && ok;
		else if (d->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			fill_immediate(o, &d->imm);
		else if (d->type == ZYDIS_OPERAND_TYPE_REGISTER && nregs++ == 0)
			o->dst = register_number(d->reg.value, &o->flags, OP_HIGH8_DST);
		else if (d->type == ZYDIS_OPERAND_TYPE_REGISTER && nregs == 2)
			o->src = register_number(d->reg.value, &o->flags, OP_HIGH8_SRC);
	}
	return ok;
}

bool int_lower(struct lower *l)
{
	static bool (*const topic[])(struct lower *) = {
		move_lower, alu_lower, branch_lower, stack_lower, incdec_lower, shift_lower,
		bit_lower, bmi_lower, mul_lower, xchg_lower, string_lower, misc_lower,
	};

	for (unsigned i = 0; i < sizeof(topic) / sizeof(topic[0]); i++)
		if (topic[i](l))
			return true;
	return false;
}

static void stop_at(struct op *o, op_fn *fn)
{
	o->fn = fn;
	o->flags |= OP_END;
}

/* SDM 2A "Exceptions Type 13" and 2.3: VEX encodings are not recognised in real and virtual-8086 mode. */
static bool vex_in_real_mode(const struct lower *l)
{
	return (l->cpu->code_key & KEY_REAL) && l->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
}

static void lower_one(struct lower *l)
{
	bool ok = fill_op(l);
	struct op saved = *l->op;

	if (!sys_enumerated(l->insn) || vex_in_real_mode(l)) {
		stop_at(l->op, op_undefined);
		return;
	}
	if (ok && int_lower(l))
		return;
	*l->op = saved;
	if (ok && (sys_lower(l) || fpu_lower(l) || vmx_lower(l)))
		return;
	*l->op = saved;
	stop_at(l->op, op_unimplemented);
}

/* What the CPU does with bytes that are no instruction. SDM 2A 2.3.11: more than 15 bytes are #GP, whatever follows. */
static void lower_bad(struct op *o, ZyanStatus status)
{
	o->len = 1;
	o->base = o->index = REG_ZERO;
	if (status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || status == ZYDIS_STATUS_NO_MORE_DATA)
		stop_at(o, op_gp0);
	else
		stop_at(o, op_undefined);
}

static void end_block(struct block *b, unsigned n)
{
	struct op *last = &b->ops[n - 1], *o = &b->ops[n];

	b->insns = (u16)n;
	b->len = last->off + last->len;
	b->cycles = last->cyc + last->cost;
	if (last->flags & OP_END)
		return;
	memset(o, 0, sizeof(*o));
	o->fn = op_block_end;
	o->off = b->len;
	o->cyc = (u16)b->cycles;
	o->base = o->index = REG_ZERO;
}

bool decode_plain(struct cpu *c, struct block *b, const u8 *bytes, unsigned avail)
{
	const ZydisDecoder *d = get_decoder(b->key);
	unsigned max = b->key & KEY_SINGLE ? 1 : BLOCK_MAX_OPS, n = 0, off = 0, cyc = 0;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct lower l = { .insn = &insn, .ops = ops, .code_size = c->code_size, .cpu = c };

	while (n < max && off < avail) {
		struct op *o = &b->ops[n];
		ZyanStatus s = ZydisDecoderDecodeFull(d, bytes + off, avail - off, &insn, ops);

		if (s == ZYDIS_STATUS_NO_MORE_DATA && avail - off < ZYDIS_MAX_INSTRUCTION_LENGTH)
			break;
		memset(o, 0, sizeof(*o));
		o->off = (u16)off;
		o->cyc = (u16)cyc;
		l.op = o;
		if (ZYAN_SUCCESS(s))
			lower_one(&l);
		else
			lower_bad(o, s);
		off += o->len;
		cyc += o->cost;
		n++;
		if (o->flags & OP_END)
			break;
	}
	if (n)
		end_block(b, n);
	return n > 0;
}

bool decode_block(struct cpu *c, struct block *b, const u8 *bytes, unsigned avail)
{
	struct op *last;

	if (!decode_plain(c, b, bytes, avail))
		return false;
	last = &b->ops[b->insns - 1];
	if ((last->flags & OP_END) && b->insns > 1 && (b->key & 3) == KEY_SIZE64 &&
	    !debug_breaks_at(c->m, b->hpa + last->off))
		fuse_branch(last - 1);
	if (unlikely(c->m->debug))
		debug_decoded(c, b);
	return true;
}

void decode_format(const struct cpu *c, const u8 *bytes, unsigned n, u64 rip, char *out, size_t size)
{
	static ZydisFormatter formatter;
	static bool ready;
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];

	if (!ready) {
		ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
		ready = true;
	}
	snprintf(out, size, "(bad)");
	if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(get_decoder(c->code_key), bytes, n, &insn, ops)))
		ZydisFormatterFormatInstruction(&formatter, &insn, ops, insn.operand_count_visible, out, size, rip,
						NULL);
}
