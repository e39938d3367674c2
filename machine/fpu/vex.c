/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VEX-encoded instructions that are one host instruction: from their rows to operands, handlers and thunks. */
#include "machine/fpu/vex.h"

#include "machine/fpu/host_fpe.h"
#include "machine/fpu/rows.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

void avx_refuse(struct cpu *c, const struct op *o)
{
	bool ud = !(c->cr4 & CR4_OSXSAVE) || (~c->xcr0 & (XCR0_SSE | XCR0_AVX));

	cpu_raise(c, o, ud ? VEC_UD : VEC_NM);
}

const void *vex_ld_slow(struct cpu *c, const struct op *o, u64 lin, unsigned n)
{
	mmu_ld_buf(c, o, lin, &c->fpu.scratch, n);
	return &c->fpu.scratch;
}

/* --- MXCSR --- */

static void run_guarded(struct cpu *c, const struct op *o, void *d, const void *a, const void *b, vex_thunk *thunk)
{
	if (unlikely(!vex_guard_rsp))
		host_fpe_catch();
	if (vex_guarded(d, a, b, d, thunk, &c->fpu.mxcsr))
		cpu_raise(c, o, c->cr4 & CR4_OSXMMEXCPT ? VEC_XM : VEC_UD);
}

void vex_run_fp(struct cpu *c, const struct op *o, void *d, const void *a, const void *b, vex_thunk *thunk)
{
	u32 in = c->fpu.mxcsr, out;

	if (unlikely((in & ~MXCSR_FLAGS) != MXCSR_DEFAULT)) {
		run_guarded(c, o, d, a, b, thunk);
		return;
	}
	asm volatile("ldmxcsr %0" : : "m"(c->fpu.mxcsr));
	thunk(d, a, b, d);
	asm volatile("stmxcsr %0" : "=m"(out) : : "memory");
	if (unlikely(out != in))
		c->fpu.mxcsr = out;
}

/* --- handlers: where the result goes and where b comes from; op.imm is the thunk --- */

#define THUNK(o) ((vex_thunk *)(o)->imm)
#define A(c, o)  (&(c)->fpu.ymm[(o)->aux])
#define C(c, o)  (&(c)->fpu.ymm[(o)->aux2])

static inline void run_int(struct cpu *c, const struct op *o, void *d, const void *b)
{
	THUNK(o)(d, A(c, o), b, C(c, o));
}

static inline void run_fp(struct cpu *c, const struct op *o, void *d, const void *b)
{
	vex_run_fp(c, o, d, A(c, o), b, THUNK(o));
}

/* Counts of shifts by an immediate. */
static u64 shift_count[256][2];

#define FROM_VECTOR &c->fpu.ymm[o->src]
#define FROM_GPR    &c->gpr[o->src]
#define FROM_MEMORY vex_ld(c, o, o->size)
#define FROM_COUNT  shift_count[o->src]

/* Into a vector or a general register. */
#define INTO(run, to, b)                                                                                               \
	do {                                                                                                           \
		avx_check(c, o);                                                                                       \
		run(c, o, to, b);                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	} while (0)
#define HANDLER_INTO(name, to, b)                                                                                      \
	HANDLER(name##_int)                                                                                            \
	{                                                                                                              \
		INTO(run_int, to, b);                                                                                  \
	}                                                                                                              \
	HANDLER(name##_fp)                                                                                             \
	{                                                                                                              \
		INTO(run_fp, to, b);                                                                                   \
	}
HANDLER_INTO(vector_vector, &c->fpu.ymm[o->dst], FROM_VECTOR)
HANDLER_INTO(vector_memory, &c->fpu.ymm[o->dst], FROM_MEMORY)
HANDLER_INTO(vector_gpr, &c->fpu.ymm[o->dst], FROM_GPR)
HANDLER_INTO(vector_count, &c->fpu.ymm[o->dst], FROM_COUNT)
HANDLER_INTO(gpr_vector, &c->gpr[o->dst], FROM_VECTOR)
HANDLER_INTO(gpr_memory, &c->gpr[o->dst], FROM_MEMORY)

/* A result in c->fpu.scratch goes on to memory or to the flags: in functions of their own, for the tail calls. */
static void store_scratch(struct cpu *c, const struct op *o)
{
	st_buf(c, o, op_lin(c, o, o->size, ACCESS_WRITE), &c->fpu.scratch, o->size);
}

static void scratch_to_flags(struct cpu *c)
{
	cpu_set_status(c, (u32)c->fpu.scratch.lo.q[0] & (EFLAGS_SF | EFLAGS_ZF | EFLAGS_AF | EFLAGS_PF | EFLAGS_CF));
}

#define HANDLER_SCRATCH(name, run, b, then)                                                                            \
	HANDLER(name)                                                                                                  \
	{                                                                                                              \
		avx_check(c, o);                                                                                       \
		run(c, o, &c->fpu.scratch, b);                                                                         \
		then;                                                                                                  \
		OP_NEXT(c, o);                                                                                         \
	}
HANDLER_SCRATCH(memory_vector_int, run_int, FROM_VECTOR, store_scratch(c, o))
HANDLER_SCRATCH(memory_vector_fp, run_fp, FROM_VECTOR, store_scratch(c, o))
HANDLER_SCRATCH(flags_vector_int, run_int, FROM_VECTOR, scratch_to_flags(c))
HANDLER_SCRATCH(flags_vector_fp, run_fp, FROM_VECTOR, scratch_to_flags(c))
HANDLER_SCRATCH(flags_memory_int, run_int, FROM_MEMORY, scratch_to_flags(c))
HANDLER_SCRATCH(flags_memory_fp, run_fp, FROM_MEMORY, scratch_to_flags(c))

enum place { PLACE_VECTOR, PLACE_GPR, PLACE_MEMORY, PLACE_COUNT, PLACE_FLAGS, PLACES };

/* [to][from b][looks at MXCSR] */
static op_fn *const handlers[PLACES][PLACES][2] = {
	[PLACE_VECTOR][PLACE_VECTOR] = { vector_vector_int, vector_vector_fp },
	[PLACE_VECTOR][PLACE_MEMORY] = { vector_memory_int, vector_memory_fp },
	[PLACE_VECTOR][PLACE_GPR] = { vector_gpr_int, vector_gpr_fp },
	[PLACE_VECTOR][PLACE_COUNT] = { vector_count_int, vector_count_fp },
	[PLACE_GPR][PLACE_VECTOR] = { gpr_vector_int, gpr_vector_fp },
	[PLACE_GPR][PLACE_MEMORY] = { gpr_memory_int, gpr_memory_fp },
	[PLACE_MEMORY][PLACE_VECTOR] = { memory_vector_int, memory_vector_fp },
	[PLACE_FLAGS][PLACE_VECTOR] = { flags_vector_int, flags_vector_fp },
	[PLACE_FLAGS][PLACE_MEMORY] = { flags_memory_int, flags_memory_fp },
};

/* --- rows --- */

#define R(NAME, form, tag, fp, imm, last, gpr, t128, t256)                                                             \
	{ ZYDIS_MNEMONIC_##NAME, VEX_FORM_##form, fp, imm, last, gpr, { t128, t256 } },
#define R_BOTH(NAME, form, tag, fp, imm, last)                                                                         \
	R(NAME, form, tag, fp, imm, last, 0, vex_##tag##_##NAME##_128, vex_##tag##_##NAME##_256)
#define R_128(NAME, form, tag, fp, imm, last) R(NAME, form, tag, fp, imm, last, 0, vex_##tag##_##NAME##_128, NULL)
#define R_256(NAME, form, tag, fp, imm, last) R(NAME, form, tag, fp, imm, last, 0, NULL, vex_##tag##_##NAME##_256)

#define AB_INT(N)  R_BOTH(N, AB, ab, false, false, 0)
#define AB_FP(N)   R_BOTH(N, AB, ab, true, false, 0)
#define SHIFT_I(N) R_BOTH(N, AB, ab, false, true, 0)
#define AB_256(N)  R_256(N, AB, ab, false, false, 0)
#define AB_LIG(N)  R_128(N, AB, ab, false, false, 0)
#define AB_LIGF(N) R_128(N, AB, ab, true, false, 0)
#define DAB(N)     R_BOTH(N, AB, dab, true, false, 0)
#define DAB_LIG(N) R_128(N, AB, dab, true, false, 0)
#define ABC(N)     R_BOTH(N, ABC, abc, false, false, 0)
#define B_INT(N)   R_BOTH(N, B, b, false, false, 0)
#define B_FP(N)    R_BOTH(N, B, b, true, false, 0)
#define B_128(N)   R_128(N, B, b, false, false, 0)
#define B_256(N)   R_256(N, B, b, false, false, 0)
#define HALF(N, x, y) B_FP(N)
#define ABI_INT(N, n) R_BOTH(N, AB, abi, false, true, (n) - 1)
#define ABI_FP(N, n)  R_BOTH(N, AB, abi, true, true, (n) - 1)
#define ABI_128(N, n) R_128(N, AB, abi, false, true, (n) - 1)
#define ABI_128F(N, n) R_128(N, AB, abi, true, true, (n) - 1)
#define ABI_256(N, n) R_256(N, AB, abi, false, true, (n) - 1)
#define BI_INT(N, n)  R_BOTH(N, B, bi, false, true, (n) - 1)
#define BI_FP(N, n)   R_BOTH(N, B, bi, true, true, (n) - 1)
#define BI_128(N, n)  R_128(N, B, bi, false, true, (n) - 1)
#define BI_256(N, n)  R_256(N, B, bi, false, true, (n) - 1)
#define GI(N, n, reg) R_128(N, B, bi, false, true, (n) - 1)
#define CG(N, n, reg) R(N, B, b, true, false, 0, n, vex_b_##N##_##n, NULL)
#define GC(N, n, name) R(N, AB, ab, true, false, 0, n, vex_ab_##N##_##n, NULL)
#define T_INT(N)   R_BOTH(N, T, t, false, false, 0)
#define T_LIG(N)   R_128(N, T, t, true, false, 0)

static const struct vex_row rows[] = {
	VEX_AB_BOTH(AB_INT, AB_FP) VEX_SHIFT_BOTH(AB_INT) VEX_SHIFT_BOTH(SHIFT_I) VEX_AB_256(AB_256)
	VEX_AB_LIG(AB_LIG, AB_LIGF) VEX_DAB_BOTH(DAB) VEX_DAB_LIG(DAB_LIG) VEX_ABC_BOTH(ABC) VEX_B_BOTH(B_INT, B_FP)
	VEX_B_128(B_128) VEX_B_256(B_256) VEX_HALF(HALF) VEX_ABI_BOTH(ABI_INT, ABI_FP) VEX_ABI_128(ABI_128, ABI_128F)
	VEX_ABI_256(ABI_256) VEX_ABI_LIG(ABI_128F) VEX_BI_BOTH(BI_INT, BI_FP) VEX_BI_128(BI_128) VEX_BI_256(BI_256)
	VEX_RI_BOTH(BI_INT) VEX_XI_BOTH(BI_FP) VEX_XI_256(BI_256) VEX_GI_128(GI) VEX_G_BOTH(B_INT) VEX_CG(CG)
	VEX_GC(GC) VEX_T_BOTH(T_INT) VEX_T_LIG(T_LIG)
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* --- from decoded operands --- */

static enum place place_of(const ZydisDecodedOperand *z)
{
	if (z->type == ZYDIS_OPERAND_TYPE_MEMORY)
		return PLACE_MEMORY;
	if (z->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return PLACE_COUNT;
	switch (ZydisRegisterGetClass(z->reg.value)) {
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_YMM:
		return PLACE_VECTOR;
	default:
		return PLACE_GPR;
	}
}

static u8 number(const ZydisDecodedOperand *z)
{
	return z->type == ZYDIS_OPERAND_TYPE_REGISTER ? (u8)ZydisRegisterGetId(z->reg.value) : 0;
}

static bool row_fits(const struct vex_row *r, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *z)
{
	unsigned n = in->operand_count_visible, bytes = z[0].size / 8;

	if (r->mnem != in->mnemonic || r->imm != (z[n - 1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE))
		return false;
	if (r->gpr && r->form == VEX_FORM_AB)
		bytes = z[2].size / 8;
	return !r->gpr || r->gpr == bytes;
}

static const struct vex_row *find_row(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *z)
{
	static u16 first[ZYDIS_MNEMONIC_MAX_VALUE + 1]; /* 1 + index */

	if (!first[rows[0].mnem])
		for (unsigned i = ROWS; i-- > 0;)
			first[rows[i].mnem] = (u16)(i + 1);
	for (unsigned i = first[in->mnemonic]; i && i <= ROWS; i++)
		if (row_fits(&rows[i - 1], in, z))
			return &rows[i - 1];
	return NULL;
}

/* The thunk for the immediate. Byte shifts by more than the array has shift everything out, as its last one does. */
static vex_thunk *thunk_of(const struct vex_row *r, const ZydisDecodedInstruction *in, const ZydisDecodedOperand *z)
{
	const char *t = (const char *)(r->thunk[1] && in->raw.vex.L ? r->thunk[1] : r->thunk[0]);
	unsigned imm = r->last ? (u8)z[in->operand_count_visible - 1].imm.value.u : 0;
	bool saturates = r->mnem == ZYDIS_MNEMONIC_VPSLLDQ || r->mnem == ZYDIS_MNEMONIC_VPSRLDQ;

	if (saturates && imm > r->last)
		imm = r->last;
	return (vex_thunk *)(t + 32 * (imm & r->last));
}

static bool lower_row(struct lower *l, const struct vex_row *r)
{
	/* Of the operands, which are d, a, b and c. */
	static const u8 order[][4] = { [VEX_FORM_AB] = { 0, 1, 2, 0 }, [VEX_FORM_ABC] = { 0, 1, 2, 3 },
				       [VEX_FORM_B] = { 0, 0, 1, 0 }, [VEX_FORM_T] = { 0, 0, 1, 0 } };
	const u8 *k = order[r->form];
	const ZydisDecodedOperand *z = l->ops;
	enum place to = r->form == VEX_FORM_T ? PLACE_FLAGS : place_of(&z[k[0]]), from = place_of(&z[k[2]]);
	struct op *o = l->op;

	o->fn = handlers[to][from][r->fp];
	o->dst = number(&z[k[0]]);
	o->aux = number(&z[k[1]]);
	o->src = from == PLACE_COUNT ? (u8)z[k[2]].imm.value.u : number(&z[k[2]]);
	o->aux2 = number(&z[k[3]]);
	o->imm = (u64)thunk_of(r, l->insn, z);
	if (to == PLACE_MEMORY || from == PLACE_MEMORY)
		o->size = (u8)(z[to == PLACE_MEMORY ? k[0] : k[2]].size / 8);
	return true;
}

static unsigned kind_of(const ZydisDecodedOperand *z)
{
	switch (place_of(z)) {
	case PLACE_MEMORY: return K_M;
	case PLACE_VECTOR: return K_X;
	case PLACE_COUNT:  return K_I;
	default:           return K_G;
	}
}

static const struct vex_move *find_move(const struct vex_move *m, const struct lower *l)
{
	unsigned n = l->insn->operand_count_visible, shape = 0;

	for (unsigned i = 0; i < 2 && i < n; i++)
		shape |= kind_of(&l->ops[i]) << (i ? 0 : 4);
	for (; m->mnem; m++)
		if (m->mnem == l->insn->mnemonic && m->shape == shape && (!m->count || m->count == n))
			return m;
	return NULL;
}

/*
 * op.dst, op.src and op.aux: the first three registers; op.aux2: the immediate or the vector of indices; op.size: bytes
 * in memory.
 */
static bool lower_move(struct lower *l, const struct vex_move *m)
{
	u8 *const reg[3] = { &l->op->dst, &l->op->src, &l->op->aux };
	unsigned regs = 0;

	l->op->fn = m->fn[l->insn->raw.vex.L];
	for (unsigned i = 0; i < l->insn->operand_count_visible; i++) {
		const ZydisDecodedOperand *z = &l->ops[i];

		if (z->type == ZYDIS_OPERAND_TYPE_REGISTER && regs < 3)
			*reg[regs++] = number(z);
		else if (z->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			l->op->aux2 = (u8)z->imm.value.u;
		if (z->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		l->op->size = (u8)(z->size / 8);
		if (z->mem.type == ZYDIS_MEMOP_TYPE_VSIB) {
			l->op->aux2 = (u8)ZydisRegisterGetId(z->mem.index);
			l->op->scale = (u8)__builtin_ctz(z->mem.scale);
		}
	}
	return l->op->fn != NULL;
}

bool vex_lower(struct lower *l)
{
	const struct vex_move *m = find_move(vex_moves, l);
	const struct vex_row *r;

	if (!shift_count[1][0])
		for (unsigned i = 0; i < 256; i++)
			shift_count[i][0] = i;
	if (!m)
		m = find_move(vex_memory, l);
	if (m)
		return lower_move(l, m);
	r = find_row(l->insn, l->ops);
	return r && lower_row(l, r);
}
