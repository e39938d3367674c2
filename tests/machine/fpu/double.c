/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/mem.h"
#include "machine/cpu/sys/sys.h"
#include "machine/vmx/vmx.h"
#include "tests/machine/fpu/double.h"

static struct tlb_fast tlb[TLB_SIZE];
static unsigned raised;

struct cpu *double_new(void)
{
	static const struct cost_table costs;
	static struct machine m = { .costs = &costs };
	struct cpu *c = aligned_alloc(64, (sizeof(*c) + 63) & ~63ul);

	memset(c, 0, sizeof(*c));
	c->m = &m;
	c->cr0 = CR0_PE | CR0_MP | CR0_NE | CR0_PG;
	c->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE;
	c->xcr0 = XCR0_X87 | XCR0_SSE | XCR0_AVX;
	c->code_size = 64;
	c->tlb = tlb;
	double_tlb(c, NULL, false);
	return c;
}

void double_tlb(struct cpu *c, const void *page, bool hit)
{
	u64 lin = (u64)page & ~PAGE_OFFSET_MASK;

	for (unsigned i = 0; i < TLB_SIZE; i++)
		tlb[i] = (struct tlb_fast){ ~0ull, ~0ull, ~0ull, 0 };
	for (unsigned i = 0; hit && i < 2; i++, lin += PAGE_SIZE)
		tlb[tlb_index(lin)] = (struct tlb_fast){ lin | c->ctx, lin | c->ctx, ~0ull, 0 };
}

/* Handlers must reach the next op by a tail call: where the stack stands at the end op tells. */
static const char *end_frame;

static const struct op *end_op(struct cpu *c, const struct op *o)
{
	end_frame = __builtin_frame_address(0);
	return NULL;
}

static __attribute__((noinline)) void run_ops(struct cpu *c, const struct op *o)
{
	while (o)
		o = o->fn(c, o);
}

unsigned double_run(struct cpu *c, struct op ops[2])
{
	static const char *direct;

	ops[1] = (struct op){ .fn = end_op };
	if (!direct) {
		run_ops(c, ops + 1);
		direct = end_frame;
	}
	raised = NO_VECTOR;
	if (setjmp(c->unwind) == 0) {
		run_ops(c, ops);
		if (end_frame != direct)
			return NOT_A_TAIL_CALL;
	}
	return raised;
}

/* Zydis' register to the number in struct op. */
static u8 reg_number(ZydisRegister r)
{
	if (r == ZYDIS_REGISTER_NONE)
		return REG_ZERO;
	return r == ZYDIS_REGISTER_RIP ? REG_BLOCK : (u8)ZydisRegisterGetId(r);
}

/* Byte registers are numbered AL.., AH.., SPL.., R8B... */
static u8 register_number(ZydisRegister r, unsigned operand, u8 *flags)
{
	u8 id = (u8)ZydisRegisterGetId(r);

	if (ZydisRegisterGetClass(r) != ZYDIS_REGCLASS_GPR8 || id < 4)
		return id;
	if (r >= ZYDIS_REGISTER_SPL)
		return id - 4;
	*flags |= operand ? OP_HIGH8_SRC : OP_HIGH8_DST;
	return id - 4;
}

static void prefill_memory(struct op *op, const ZydisDecodedOperand *z)
{
	static const u8 shift[9] = { [2] = 1, [4] = 2, [8] = 3 };

	op->base = reg_number(z->mem.base);
	op->index = reg_number(z->mem.index);
	op->scale = shift[z->mem.scale];
	op->disp = (s32)z->mem.disp.value;
	op->seg = (u8)ZydisRegisterGetId(z->mem.segment);
	op->flags |= OP_MEM | OP_FLAT;
}

bool double_lower(struct cpu *c, const u8 *bytes, unsigned n, struct op *op, ZydisDecodedInstruction *insn)
{
	static ZydisDecoder decoder;
	ZydisDecodedOperand z[ZYDIS_MAX_OPERAND_COUNT];
	struct lower l = { .insn = insn, .ops = z, .op = op, .code_size = 64, .cpu = c };
	u8 *reg[2] = { &op->dst, &op->src };
	unsigned regs = 0;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, insn, z)))
		return false;
	*op = (struct op){ .len = insn->length, .size = insn->operand_width / 8, .asize = insn->address_width / 8,
			   .mnem = insn->mnemonic, .base = REG_ZERO, .index = REG_ZERO };
	for (unsigned i = 0; i < insn->operand_count_visible; i++) {
		if (z[i].type == ZYDIS_OPERAND_TYPE_MEMORY)
			prefill_memory(op, &z[i]);
		else if (z[i].type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			op->imm = z[i].imm.value.u;
		else if (z[i].type == ZYDIS_OPERAND_TYPE_REGISTER && regs < 2)
			*reg[regs] = register_number(z[i].reg.value, regs, &op->flags), regs++;
	}
	return fpu_lower(&l);
}

/* The contracts of the other rooms. */
void cpu_sync(struct cpu *c, const struct op *o)
{
}

void cpu_raise(struct cpu *c, const struct op *o, unsigned vector)
{
	raised = vector;
	longjmp(c->unwind, UNWIND_FAULT);
}

void cpu_raise_err(struct cpu *c, const struct op *o, unsigned vector, u32 error)
{
	cpu_raise(c, o, vector);
}

u64 cpu_rflags(const struct cpu *c)
{
	return c->eflags;
}

void cpu_set_status(struct cpu *c, u32 oszapc)
{
	c->eflags = (c->eflags & ~(u64)EFLAGS_ARITHMETIC) | oszapc;
}

u64 seg_linear(struct cpu *c, const struct op *o, enum sreg seg, u64 ea, unsigned size, enum mmu_access a)
{
	return ea;
}

static u64 guard = ~0ull;

void double_guard(const void *from)
{
	guard = from ? (u64)from : ~0ull;
}

static void check_guard(struct cpu *c, const struct op *o, u64 lin, unsigned n)
{
	if (lin + n > guard)
		cpu_raise(c, o, VEC_PF);
}

u64 mmu_ld(struct cpu *c, const struct op *o, u64 lin, unsigned size)
{
	u64 v = 0;

	check_guard(c, o, lin, size);
	memcpy(&v, (const void *)lin, size);
	return v;
}

u64 mmu_ld_rmw(struct cpu *c, const struct op *o, u64 lin, unsigned size)
{
	return mmu_ld(c, o, lin, size);
}

void mmu_st(struct cpu *c, const struct op *o, u64 lin, unsigned size, u64 val)
{
	check_guard(c, o, lin, size);
	memcpy((void *)lin, &val, size);
}

void mmu_ld_buf(struct cpu *c, const struct op *o, u64 lin, void *buf, unsigned n)
{
	check_guard(c, o, lin, n);
	memcpy(buf, (const void *)lin, n);
}

void mmu_st_buf(struct cpu *c, const struct op *o, u64 lin, const void *buf, unsigned n)
{
	check_guard(c, o, lin, n);
	memcpy((void *)lin, buf, n);
}

void mmu_probe(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a)
{
	check_guard(c, o, lin, n);
}

void snap_bytes(struct snap *s, const char *name, void *p, size_t n)
{
}

bool cpuid_has(const struct cpu *c, enum cpu_feature f)
{
	return true;
}

void sys_load_pkru(struct cpu *c, u32 v)
{
	c->pkru = v;
}

void vmx_intercept_xsaves(struct cpu *c, const struct op *o, unsigned reason, u64 components)
{
}

void machine_unimplemented(struct cpu *c, const struct op *o, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(70);
}
