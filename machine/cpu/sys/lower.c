/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From Zydis' mnemonics to this room's handlers. */
#include "machine/cpu/sys/priv.h"

enum { NEXT, END };

/* A row a mnemonic: handler, whether it ends its block, and what goes into op.aux or op.size. */
struct row {
	op_fn *fn;
	u8 end, aux, size;
};

static const struct row rows[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
	[ZYDIS_MNEMONIC_LDS] = { op_load_far_pointer, END, DS, 0 },
	[ZYDIS_MNEMONIC_LES] = { op_load_far_pointer, END, ES, 0 },
	[ZYDIS_MNEMONIC_LSS] = { op_load_far_pointer, END, SS, 0 },
	[ZYDIS_MNEMONIC_LFS] = { op_load_far_pointer, END, FS, 0 },
	[ZYDIS_MNEMONIC_LGS] = { op_load_far_pointer, END, GS, 0 },
	[ZYDIS_MNEMONIC_SWAPGS] = { op_swapgs, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_RDFSBASE] = { op_rdbase, NEXT, FS, 0 },
	[ZYDIS_MNEMONIC_RDGSBASE] = { op_rdbase, NEXT, GS, 0 },
	[ZYDIS_MNEMONIC_WRFSBASE] = { op_wrbase, NEXT, FS, 0 },
	[ZYDIS_MNEMONIC_WRGSBASE] = { op_wrbase, NEXT, GS, 0 },
	[ZYDIS_MNEMONIC_LGDT] = { op_lgdt, END, 0, 0 },
	[ZYDIS_MNEMONIC_LIDT] = { op_lidt, END, 0, 0 },
	[ZYDIS_MNEMONIC_SGDT] = { op_sgdt, END, 0, 0 },
	[ZYDIS_MNEMONIC_SIDT] = { op_sidt, END, 0, 0 },
	[ZYDIS_MNEMONIC_LLDT] = { op_lldt, END, 0, 0 },
	[ZYDIS_MNEMONIC_LTR] = { op_ltr, END, 0, 0 },
	[ZYDIS_MNEMONIC_SLDT] = { op_sldt, END, 0, 0 },
	[ZYDIS_MNEMONIC_STR] = { op_str, END, 0, 0 },
	[ZYDIS_MNEMONIC_LAR] = { op_lar, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_LSL] = { op_lsl, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_VERR] = { op_verr, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_VERW] = { op_verw, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_ARPL] = { op_arpl, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_STI] = { op_sti, END, 0, 0 },
	[ZYDIS_MNEMONIC_CLI] = { op_cli, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_PUSHF] = { op_pushf, NEXT, 0, 2 },
	[ZYDIS_MNEMONIC_PUSHFD] = { op_pushf, NEXT, 0, 4 },
	[ZYDIS_MNEMONIC_PUSHFQ] = { op_pushf, NEXT, 0, 8 },
	[ZYDIS_MNEMONIC_POPF] = { op_popf, END, 0, 2 },
	[ZYDIS_MNEMONIC_POPFD] = { op_popf, END, 0, 4 },
	[ZYDIS_MNEMONIC_POPFQ] = { op_popf, END, 0, 8 },
	[ZYDIS_MNEMONIC_STAC] = { op_stac, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_CLAC] = { op_clac, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_LMSW] = { op_lmsw, END, 0, 0 },
	[ZYDIS_MNEMONIC_SMSW] = { op_smsw, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_CLTS] = { op_clts, END, 0, 0 },
	[ZYDIS_MNEMONIC_INVLPG] = { op_invlpg, END, 0, 0 },
	[ZYDIS_MNEMONIC_INVPCID] = { op_invpcid, END, 0, 0 },
	[ZYDIS_MNEMONIC_WBINVD] = { op_wbinvd, END, 0, 0 },
	[ZYDIS_MNEMONIC_INVD] = { op_invd, END, 0, 0 },
	[ZYDIS_MNEMONIC_HLT] = { op_hlt, END, 0, 0 },
	[ZYDIS_MNEMONIC_MONITOR] = { op_monitor, END, 0, 0 },
	[ZYDIS_MNEMONIC_MWAIT] = { op_mwait, END, 0, 0 },
	[ZYDIS_MNEMONIC_PAUSE] = { op_pause, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_CPUID] = { op_cpuid, END, 0, 0 },
	[ZYDIS_MNEMONIC_RDTSC] = { op_rdtsc, END, 0, 0 },
	[ZYDIS_MNEMONIC_RDTSCP] = { op_rdtscp, END, 0, 0 },
	[ZYDIS_MNEMONIC_RDPMC] = { op_rdpmc, END, 0, 0 },
	[ZYDIS_MNEMONIC_RDPID] = { op_rdpid, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_XGETBV] = { op_xgetbv, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_XSETBV] = { op_xsetbv, END, 0, 0 },
	[ZYDIS_MNEMONIC_RDPKRU] = { op_rdpkru, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_WRPKRU] = { op_wrpkru, END, 0, 0 },
	[ZYDIS_MNEMONIC_RDMSR] = { op_rdmsr, END, 0, 0 },
	[ZYDIS_MNEMONIC_WRMSR] = { op_wrmsr, END, 0, 0 },
	[ZYDIS_MNEMONIC_RDRAND] = { op_rdrand, END, 0, 0 },
	[ZYDIS_MNEMONIC_RDSEED] = { op_rdseed, END, 0, 0 },
	[ZYDIS_MNEMONIC_IRET] = { op_iret, END, 0, 2 },
	[ZYDIS_MNEMONIC_IRETD] = { op_iret, END, 0, 4 },
	[ZYDIS_MNEMONIC_IRETQ] = { op_iret, END, 0, 8 },
	[ZYDIS_MNEMONIC_INT] = { op_int_n, END, 0, 0 },
	[ZYDIS_MNEMONIC_INT1] = { op_int1, END, 0, 0 },
	[ZYDIS_MNEMONIC_INT3] = { op_int3, END, 0, 0 },
	[ZYDIS_MNEMONIC_INTO] = { op_into, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_BOUND] = { op_bound, NEXT, 0, 0 },
	[ZYDIS_MNEMONIC_SYSCALL] = { op_syscall, END, 0, 0 },
	[ZYDIS_MNEMONIC_SYSRET] = { op_sysret, END, 0, 0 },
	[ZYDIS_MNEMONIC_SYSENTER] = { op_sysenter, END, 0, 0 },
	[ZYDIS_MNEMONIC_SYSEXIT] = { op_sysexit, END, 0, 0 },
	[ZYDIS_MNEMONIC_RSM] = { op_ud, END, 0, 0 }, /* not in SMM, ever */
	[ZYDIS_MNEMONIC_IN] = { op_in, END, 0, 0 },
	[ZYDIS_MNEMONIC_OUT] = { op_out, END, 0, 0 },
	[ZYDIS_MNEMONIC_INSB] = { op_ins, END, 0, 1 },
	[ZYDIS_MNEMONIC_INSW] = { op_ins, END, 0, 2 },
	[ZYDIS_MNEMONIC_INSD] = { op_ins, END, 0, 4 },
	[ZYDIS_MNEMONIC_OUTSB] = { op_outs, END, 0, 1 },
	[ZYDIS_MNEMONIC_OUTSW] = { op_outs, END, 0, 2 },
	[ZYDIS_MNEMONIC_OUTSD] = { op_outs, END, 0, 4 },
};

static bool use(struct lower *l, op_fn *fn, bool end)
{
	l->op->fn = fn;
	if (end)
		l->op->flags |= OP_END;
	return true;
}

static ZydisRegisterClass reg_class(const ZydisDecodedOperand *d)
{
	return d->type == ZYDIS_OPERAND_TYPE_REGISTER ? ZydisRegisterGetClass(d->reg.value) : ZYDIS_REGCLASS_INVALID;
}

static u8 reg_number(const ZydisDecodedOperand *d)
{
	return d->type == ZYDIS_OPERAND_TYPE_REGISTER ? (u8)ZydisRegisterGetId(d->reg.value) : REG_ZERO;
}

static bool cr_exists(u8 n)
{
	return n == 0 || n == 2 || n == 3 || n == 4 || n == 8;
}

static bool lower_mov(struct lower *l)
{
	ZydisRegisterClass to = reg_class(&l->ops[0]), from = reg_class(&l->ops[1]);
	struct op *o = l->op;

	o->dst = reg_number(&l->ops[0]);
	o->src = reg_number(&l->ops[1]);
	if (to == ZYDIS_REGCLASS_SEGMENT)
		return o->dst == CS ? use(l, op_ud, END) : use(l, op_mov_to_sreg, o->dst == SS || l->code_size != 64);
	if (from == ZYDIS_REGCLASS_SEGMENT)
		return use(l, op_mov_from_sreg, NEXT);
	if (to == ZYDIS_REGCLASS_CONTROL)
		return cr_exists(o->dst) ? use(l, op_mov_to_cr, END) : use(l, op_ud, END);
	if (from == ZYDIS_REGCLASS_CONTROL)
		return cr_exists(o->src) ? use(l, op_mov_from_cr, NEXT) : use(l, op_ud, END);
	if (to == ZYDIS_REGCLASS_DEBUG)
		return o->dst < 8 ? use(l, op_mov_to_dr, END) : use(l, op_ud, END);
	if (from == ZYDIS_REGCLASS_DEBUG)
		return o->src < 8 ? use(l, op_mov_from_dr, NEXT) : use(l, op_ud, END);
	return false;
}

/* Pushes and pops of 64-bit code are of 8 bytes, or 2 with an operand-size prefix. */
static void stack_size(struct lower *l)
{
	if (l->code_size == 64)
		l->op->size = l->insn->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE ? 2 : 8;
}

static bool lower_push_pop(struct lower *l, bool push)
{
	struct op *o = l->op;

	if (reg_class(&l->ops[0]) != ZYDIS_REGCLASS_SEGMENT)
		return false;
	stack_size(l);
	o->dst = o->src = reg_number(&l->ops[0]);
	return push ? use(l, op_push_sreg, NEXT) : use(l, op_pop_sreg, o->dst == SS || l->code_size != 64);
}

static bool lower_far(struct lower *l, op_fn *fn)
{
	const ZydisDecodedOperand *d = &l->ops[0];

	if (l->insn->meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
		return false;
	if (d->type == ZYDIS_OPERAND_TYPE_POINTER) {
		u32 off = l->op->size == 2 ? (u16)d->ptr.offset : d->ptr.offset;

		l->op->imm = off | (u64)d->ptr.segment << 32;
	}
	return use(l, fn, END);
}

static void lower_io(struct lower *l)
{
	const ZydisDecodedOperand *data = &l->ops[l->insn->mnemonic == ZYDIS_MNEMONIC_IN ? 0 : 1];

	l->op->size = (u8)(data->size / 8);
	l->op->aux = l->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE || l->ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

/* The segment of the memory operand of INS and OUTS, which is implicit. */
static void lower_string(struct lower *l)
{
	for (unsigned i = 0; i < l->insn->operand_count; i++)
		if (l->ops[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			l->op->seg = (u8)ZydisRegisterGetId(l->ops[i].mem.segment);
}

/* Its address is in RAX, DS unless a prefix says another segment; to the decoder that is no operand, nor the prefix one. */
static void lower_monitor(struct lower *l)
{
	for (unsigned i = 0; i < l->insn->raw.prefix_count; i++)
		switch (l->insn->raw.prefixes[i].value) {
		case 0x26: l->op->seg = ES; break;
		case 0x2e: l->op->seg = CS; break;
		case 0x36: l->op->seg = SS; break;
		case 0x3e: l->op->seg = DS; break;
		case 0x64: l->op->seg = FS; break;
		case 0x65: l->op->seg = GS; break;
		}
	if (l->code_size == 64 && l->op->seg != FS && l->op->seg != GS)
		l->op->seg = DS;
}

/* What the core's general rules for operands do not give. */
static void lower_operands(struct lower *l)
{
	struct op *o = l->op;

	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_ARPL:
		o->dst = reg_number(&l->ops[0]);
		o->src = reg_number(&l->ops[1]);
		break;
	case ZYDIS_MNEMONIC_LLDT:
	case ZYDIS_MNEMONIC_LTR:
		o->src = reg_number(&l->ops[0]);
		break;
	case ZYDIS_MNEMONIC_IN:
	case ZYDIS_MNEMONIC_OUT:
		lower_io(l);
		break;
	case ZYDIS_MNEMONIC_SYSRET:
	case ZYDIS_MNEMONIC_SYSEXIT:
		o->size = l->insn->attributes & ZYDIS_ATTRIB_HAS_REX && l->insn->raw.rex.W ? 8 : 4;
		break;
	case ZYDIS_MNEMONIC_MONITOR:
		lower_monitor(l);
		break;
	case ZYDIS_MNEMONIC_INSB:
	case ZYDIS_MNEMONIC_INSW:
	case ZYDIS_MNEMONIC_INSD:
	case ZYDIS_MNEMONIC_OUTSB:
	case ZYDIS_MNEMONIC_OUTSW:
	case ZYDIS_MNEMONIC_OUTSD:
		lower_string(l);
		break;
	default:
		break;
	}
}

bool sys_lower(struct lower *l)
{
	const struct row *r = &rows[l->insn->mnemonic];

	switch (l->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return lower_mov(l);
	case ZYDIS_MNEMONIC_PUSH:
		return lower_push_pop(l, true);
	case ZYDIS_MNEMONIC_POP:
		return lower_push_pop(l, false);
	case ZYDIS_MNEMONIC_JMP:
		return lower_far(l, op_jmp_far);
	case ZYDIS_MNEMONIC_CALL:
		return lower_far(l, op_call_far);
	case ZYDIS_MNEMONIC_RET:
		return lower_far(l, op_ret_far);
	default:
		break;
	}
	if (!r->fn)
		return false;
	if (r->size)
		l->op->size = r->size;
	l->op->aux = r->aux;
	lower_operands(l);
	return use(l, r->fn, r->end);
}
