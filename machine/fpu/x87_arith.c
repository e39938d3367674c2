/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 non-control instructions on the host's x87 unit: the guest's environment and stack are loaded into it with
 * FRSTOR, the instruction runs with the guest's own control word, and all of it is read back with FNSAVE. Results,
 * flags, C0-C3, tags, stack faults and the responses to unmasked exceptions are therefore the silicon's. The host
 * never takes an exception for it: guests with one pending do not get this far, and FNSAVE does not wait.
 *
 * The encodings are given as bytes because assemblers disagree about FSUB and FSUBR.
 */
#include "machine/fpu/rows.h"
#include "machine/fpu/x87.h"
#include "machine/fpu/x87_fast.h"

#define HANDLER(name) static const struct op *name(struct cpu *c, const struct op *o)

/* FSAVE's 32-bit protected-mode format. */
struct x87_image {
	u32 fcw, fsw, ftw, fip, fcs_fop, fdp, fds;
	u8 st[8][10];
};
_Static_assert(sizeof(struct x87_image) == 108, "the manual's layout");

/*
 * Runs one instruction. mem: its memory operand. ax: AH goes to the flags before it and holds them after it (SAHF,
 * LAHF).
 */
typedef void x87_host(struct x87_image *g, void *mem, u32 *ax);

static void swap_registers(struct cpu *c, unsigned i)
{
	struct fpu_state *f = &c->fpu;
	unsigned a = (x87_top(c) + 1) & 7, b = (x87_top(c) + i) & 7;
	unsigned differ = (f->ftw >> a ^ f->ftw >> b) & 1;
	struct x87_reg t = f->st[a];

	f->st[a] = f->st[b];
	f->st[b] = t;
	f->ftw ^= differ << a | differ << b;
}

static void image_build(const struct cpu *c, struct x87_image *g)
{
	const struct fpu_state *f = &c->fpu;

	g->fcw = f->fcw;
	g->fsw = f->fsw;
	g->ftw = x87_full_tags(c);
	g->fip = g->fcs_fop = g->fdp = g->fds = 0;
	for (unsigned i = 0; i < 8; i++)
		x87_put(g->st[i], &f->st[(x87_top(c) + i) & 7]);
}

static void image_take(struct cpu *c, const struct x87_image *g)
{
	c->fpu.fsw = (u16)g->fsw;
	c->fpu.ftw = x87_abridge((u16)g->ftw);
	for (unsigned i = 0; i < 8; i++)
		x87_get(g->st[i], x87_st(c, i));
}

/*
 * SDM 1 "x87 FPU Instruction and Data (Operand) Pointers" and "Last Instruction Opcode": the instruction pointer
 * follows every non-control instruction; the data pointer and the opcode only those that raise an unmasked
 * exception (CPUID.(EAX=7,ECX=0):EBX bit 6; fopcode compatibility mode is off).
 */
static void pointers(struct cpu *c, const struct op *o)
{
	struct fpu_state *f = &c->fpu;

	x87_note_ip(c, o);
	if (!(f->fsw & FSW_ES))
		return;
	f->fop = (u16)o->imm;
	if (o->flags & OP_MEM)
		f->fdp = op_ea(c, o);
}

static void run(struct cpu *c, const struct op *o, x87_host *fn, void *mem, u32 *ax)
{
	struct x87_image g;

	image_build(c, &g);
	fn(&g, mem, ax);
	image_take(c, &g);
	pointers(c, o);
}

/* With an operand ST(i): it is moved to ST(1) and back. */
static void run_sti(struct cpu *c, const struct op *o, unsigned i, x87_host *st0, x87_host *st1, u32 *ax)
{
	u16 top = c->fpu.fsw & FSW_TOP, after;

	if (i == 0) {
		run(c, o, st0, NULL, ax);
		return;
	}
	swap_registers(c, i);
	run(c, o, st1, NULL, ax);
	after = c->fpu.fsw & FSW_TOP;
	c->fpu.fsw = (c->fpu.fsw & ~FSW_TOP) | top;
	swap_registers(c, i);
	c->fpu.fsw = (c->fpu.fsw & ~FSW_TOP) | after;
}

/* "frstor; instruction; fnsave". b0, b1: its bytes; rm: ModRM with the memory operand in (%rdx). */
#define HOST(name, b0, b1)                                                                                             \
	static void name(struct x87_image *g, void *mem, u32 *ax)                                                      \
	{                                                                                                              \
		asm volatile("frstor %0\n\t.byte " #b0 ", " #b1 "\n\tfnsave %0" : "+m"(*g));                            \
	}
#define HOST_FLAGS(name, b0, b1)                                                                                       \
	static void name(struct x87_image *g, void *mem, u32 *ax)                                                      \
	{                                                                                                              \
		asm volatile("frstor %0\n\tsahf\n\t.byte " #b0 ", " #b1 "\n\tlahf\n\tfnsave %0"                          \
			     : "+m"(*g), "+a"(*ax) : : "cc");                                                           \
	}
#define HOST_MEM(name, b0, reg)                                                                                        \
	static void name(struct x87_image *g, void *mem, u32 *ax)                                                      \
	{                                                                                                              \
		asm volatile("frstor %0\n\t.byte " #b0 ", " #reg " << 3 | 2\n\tfnsave %0" : "+m"(*g) : "d"(mem) : "memory"); \
	}

/*
 * Instructions without explicit operands: those that change more than one register, or that nobody is in a hurry
 * for.
 */
#define PLAIN_OPS(_)                                                                                                   \
	_(FLDL2T, 0xd9, 0xe9) _(FLDL2E, 0xd9, 0xea) _(FLDPI, 0xd9, 0xeb) _(FLDLG2, 0xd9, 0xec) _(FLDLN2, 0xd9, 0xed)    \
	_(FPTAN, 0xd9, 0xf2) _(FXTRACT, 0xd9, 0xf4) _(FSINCOS, 0xd9, 0xfb) _(FUCOMPP, 0xda, 0xe9) _(FCOMPP, 0xde, 0xd9)
#define DEFINE_PLAIN(name, b0, b1)                                                                                     \
	HOST(name##_host, b0, b1)                                                                                      \
	HANDLER(name##_plain)                                                                                          \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		run(c, o, name##_host, NULL, NULL);                                                                    \
		OP_NEXT(c, o);                                                                                         \
	}
PLAIN_OPS(DEFINE_PLAIN)

/* On ST(0) alone, with the condition codes that they define. FXAM looks at an empty register too. */
#define UNARY_OPS(_)                                                                                                   \
	_(FTST, 0xd9, 0xe4, FSW_COMPARED) _(FXAM, 0xd9, 0xe5, FSW_COMPARED) _(F2XM1, 0xd9, 0xf0, FSW_C1)                \
	_(FSQRT, 0xd9, 0xfa, FSW_C1) _(FRNDINT, 0xd9, 0xfc, FSW_C1) _(FSIN, 0xd9, 0xfe, FSW_C1 | FSW_C2)                \
	_(FCOS, 0xd9, 0xff, FSW_C1 | FSW_C2)
#define DEFINE_UNARY(name, b0, b1, take)                                                                               \
	HOST(name##_host, b0, b1)                                                                                      \
	X87_FAST_UNARY(name##_fast, b0, b1, take)                                                                      \
	HANDLER(name##_plain)                                                                                          \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		if (x87_quick(c, 0, 0)) {                                                                              \
			name##_fast(c, x87_st(c, 0));                                                                  \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run(c, o, name##_host, NULL, NULL);                                                            \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
UNARY_OPS(DEFINE_UNARY)

static inline bool is_nan(const struct x87_reg *r)
{
	return (r->se & 0x7fff) == 0x7fff && r->mant << 1;
}

/* ST(0) = ST(0) op ST(1). Without a remainder the quotient's bits stay what they were. */
#define BINARY_OPS(_)                                                                                                  \
	_(FPREM1, 0xd9, 0xf5, FSW_QUOTIENT) _(FPREM, 0xd9, 0xf8, FSW_QUOTIENT) _(FSCALE, 0xd9, 0xfd, FSW_C1)
#define FSW_QUOTIENT (is_nan(a) ? FSW_C1 | FSW_C2 : FSW_COMPARED)
#define DEFINE_BINARY(name, b0, b1, take)                                                                              \
	HOST(name##_host, b0, b1)                                                                                      \
	X87_FAST_ALU(name##_fast, b0, b1, take)                                                                        \
	HANDLER(name##_plain)                                                                                          \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		if (x87_quick(c, 0, 1)) {                                                                              \
			name##_fast(c, x87_st(c, 0), x87_st(c, 1));                                                     \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run(c, o, name##_host, NULL, NULL);                                                            \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
BINARY_OPS(DEFINE_BINARY)

/* ST(1) = ST(0) op ST(1), and pop. */
#define INTO_OPS(_) _(FYL2X, 0xd9, 0xf1) _(FPATAN, 0xd9, 0xf3) _(FYL2XP1, 0xd9, 0xf9)
#define DEFINE_INTO(name, b0, b1)                                                                                      \
	HOST(name##_host, b0, b1)                                                                                      \
	X87_FAST_INTO(name##_fast, b0, b1)                                                                             \
	HANDLER(name##_plain)                                                                                          \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		if (x87_quick(c, 0, 1)) {                                                                              \
			name##_fast(c, x87_st(c, 0), x87_st(c, 1));                                                     \
			x87_pop(c);                                                                                    \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run(c, o, name##_host, NULL, NULL);                                                            \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
INTO_OPS(DEFINE_INTO)

/* Sign changes and constants that need no rounding. */
#define SIGN_OPS(_) _(FCHS, 0xd9, 0xe0, ^= 0x8000) _(FABS, 0xd9, 0xe1, &= 0x7fff)
#define DEFINE_SIGN(name, b0, b1, action)                                                                              \
	HOST(name##_host, b0, b1)                                                                                      \
	HANDLER(name##_plain)                                                                                          \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		if (x87_quick(c, 0, 0)) {                                                                              \
			x87_st(c, 0)->se action;                                                                       \
			c->fpu.fsw &= ~FSW_C1;                                                                         \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run(c, o, name##_host, NULL, NULL);                                                            \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
SIGN_OPS(DEFINE_SIGN)

static inline void push(struct cpu *c, const struct op *o, struct x87_reg v)
{
	x87_push(c);
	*x87_st(c, 0) = v;
	c->fpu.fsw &= ~FSW_C1;
	x87_note_ip(c, o);
}

#define CONST_OPS(_) _(FLD1, 0xd9, 0xe8, 1ull << 63, 0x3fff) _(FLDZ, 0xd9, 0xee, 0, 0)
#define DEFINE_CONST(name, b0, b1, mant, se)                                                                           \
	HOST(name##_host, b0, b1)                                                                                      \
	HANDLER(name##_plain)                                                                                          \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		if (x87_quick_push(c))                                                                                 \
			push(c, o, (struct x87_reg){ mant, se });                                                       \
		else                                                                                                   \
			run(c, o, name##_host, NULL, NULL);                                                            \
		OP_NEXT(c, o);                                                                                         \
	}
CONST_OPS(DEFINE_CONST)

/*
 * One explicit operand ST(i): the byte for i = 0, how many pops follow, and what to do when nothing unusual can
 * happen.
 */
static inline void quick_exchange(struct cpu *c, unsigned i)
{
	struct x87_reg t = *x87_st(c, 0);

	*x87_st(c, 0) = *x87_st(c, i);
	*x87_st(c, i) = t;
	c->fpu.fsw &= ~FSW_C1;
}

/* The destination may be empty. */
static inline void quick_copy(struct cpu *c, unsigned i)
{
	*x87_st(c, i) = *x87_st(c, 0);
	c->fpu.ftw |= 1u << ((x87_top(c) + i) & 7);
	c->fpu.fsw &= ~FSW_C1;
}

X87_FAST_COMPARE(fast_fcom, 0xd8, 0xd1)
X87_FAST_COMPARE(fast_fucom, 0xdd, 0xe1)

static inline void quick_fcom(struct cpu *c, unsigned i)
{
	fast_fcom(c, x87_st(c, 0), x87_st(c, i));
}

static inline void quick_fucom(struct cpu *c, unsigned i)
{
	fast_fucom(c, x87_st(c, 0), x87_st(c, i));
}

#define STI_OPS(_)                                                                                                     \
	_(FXCH, 0xd9, 0xc8, dst, dst, 0, quick_exchange) _(FST, 0xdd, 0xd0, dst, 0, 0, quick_copy)                      \
	_(FSTP, 0xdd, 0xd8, dst, 0, 1, quick_copy) _(FCOM, 0xd8, 0xd0, dst, dst, 0, quick_fcom)                         \
	_(FCOMP, 0xd8, 0xd8, dst, dst, 1, quick_fcom) _(FUCOM, 0xdd, 0xe0, dst, dst, 0, quick_fucom)                    \
	_(FUCOMP, 0xdd, 0xe8, src, src, 1, quick_fucom)
#define OPERAND_dst o->dst
#define OPERAND_src o->src
#define OPERAND_0   0
#define DEFINE_STI(name, b0, b1, operand, needed, pops, quick)                                                         \
	HOST(name##_st0_host, b0, b1)                                                                                  \
	HOST(name##_st1_host, b0, b1 + 1)                                                                              \
	HANDLER(name##_sti)                                                                                            \
	{                                                                                                              \
		unsigned i = OPERAND_##operand;                                                                        \
                                                                                                                       \
		x87_check(c, o);                                                                                       \
		if (x87_quick(c, 0, OPERAND_##needed)) {                                                               \
			quick(c, i);                                                                                   \
			if (pops)                                                                                      \
				x87_pop(c);                                                                            \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run_sti(c, o, i, name##_st0_host, name##_st1_host, NULL);                                       \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
STI_OPS(DEFINE_STI)

/* The same without a short way: nobody uses them. */
#define RARE_STI_OPS(_) _(FSTPNCE, 0xd9, 0xd8) _(FFREEP, 0xdf, 0xc0)
#define DEFINE_RARE_STI(name, b0, b1)                                                                                  \
	HOST(name##_st0_host, b0, b1)                                                                                  \
	HOST(name##_st1_host, b0, b1 + 1)                                                                              \
	HANDLER(name##_sti)                                                                                            \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		run_sti(c, o, o->dst, name##_st0_host, name##_st1_host, NULL);                                          \
		OP_NEXT(c, o);                                                                                         \
	}
RARE_STI_OPS(DEFINE_RARE_STI)

/* FLD ST(7) pushes onto its own source: that one cannot be moved to ST(1). */
HOST(FLD_st0_host, 0xd9, 0xc0)
HOST(FLD_st1_host, 0xd9, 0xc1)
HOST(FLD_st7_host, 0xd9, 0xc7)
HANDLER(fld_sti)
{
	x87_check(c, o);
	if (x87_quick_push(c) && !x87_empty(c, o->dst))
		push(c, o, *x87_st(c, o->dst));
	else if (o->dst == 7)
		run(c, o, FLD_st7_host, NULL, NULL);
	else
		run_sti(c, o, o->dst, FLD_st0_host, FLD_st1_host, NULL);
	OP_NEXT(c, o);
}

/*
 * Two operands, one of them ST(0): bytes for ST(0), ST(0) in the forms ST(0), ST(i) and ST(i), ST(0); 0 where
 * there is none.
 */
#define ALU_OPS(_)                                                                                                     \
	_(FADD, 0xc0, 0xc0) _(FMUL, 0xc8, 0xc8) _(FSUB, 0xe0, 0xe8) _(FSUBR, 0xe8, 0xe0)                                \
	_(FDIV, 0xf0, 0xf8) _(FDIVR, 0xf8, 0xf0)
#define DEFINE_ALU(name, forward, reverse)                                                                             \
	HOST(name##_00_host, 0xd8, forward)                                                                            \
	HOST(name##_01_host, 0xd8, forward + 1)                                                                        \
	HOST(name##_10_host, 0xdc, reverse + 1)                                                                        \
	HOST(name##P_00_host, 0xde, reverse)                                                                           \
	HOST(name##P_10_host, 0xde, reverse + 1)                                                                       \
	X87_FAST_ALU(name##_fast, 0xd8, forward + 1, FSW_C1)                                                           \
	HANDLER(name##_ss)                                                                                             \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		if (x87_quick(c, o->dst, o->src)) {                                                                    \
			name##_fast(c, x87_st(c, o->dst), x87_st(c, o->src));                                           \
			x87_note_ip(c, o);                                                                             \
		} else if (o->dst == 0) {                                                                              \
			run_sti(c, o, o->src, name##_00_host, name##_01_host, NULL);                                    \
		} else {                                                                                               \
			run_sti(c, o, o->dst, name##_00_host, name##_10_host, NULL);                                    \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}                                                                                                              \
	HANDLER(name##P_ss)                                                                                            \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		if (x87_quick(c, o->dst, 0)) {                                                                         \
			name##_fast(c, x87_st(c, o->dst), x87_st(c, 0));                                                \
			x87_pop(c);                                                                                    \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run_sti(c, o, o->dst, name##P_00_host, name##P_10_host, NULL);                                  \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
ALU_OPS(DEFINE_ALU)

/* Those that read (FCMOVcc) or write (FCOMI) the status flags: ST(0), ST(i). */
#define CMOV_OPS(_)                                                                                                    \
	_(FCMOVB, 0xda, 0xc0, EFLAGS_CF, true) _(FCMOVE, 0xda, 0xc8, EFLAGS_ZF, true)                                   \
	_(FCMOVBE, 0xda, 0xd0, EFLAGS_CF | EFLAGS_ZF, true) _(FCMOVU, 0xda, 0xd8, EFLAGS_PF, true)                      \
	_(FCMOVNB, 0xdb, 0xc0, EFLAGS_CF, false) _(FCMOVNE, 0xdb, 0xc8, EFLAGS_ZF, false)                               \
	_(FCMOVNBE, 0xdb, 0xd0, EFLAGS_CF | EFLAGS_ZF, false) _(FCMOVNU, 0xdb, 0xd8, EFLAGS_PF, false)
#define COMI_OPS(_) _(FCOMI, 0xdb, 0xf0, 0) _(FUCOMI, 0xdb, 0xe8, 0) _(FCOMIP, 0xdf, 0xf0, 1) _(FUCOMIP, 0xdf, 0xe8, 1)
#define SAHF_FLAGS (EFLAGS_CF | EFLAGS_PF | EFLAGS_AF | EFLAGS_ZF | EFLAGS_SF)

static u32 run_flags(struct cpu *c, const struct op *o, u32 flags, x87_host *st0, x87_host *st1)
{
	u32 ax = (flags & SAHF_FLAGS) << 8;

	run_sti(c, o, o->src, st0, st1, &ax);
	return ax >> 8 & SAHF_FLAGS;
}

/* wanted: one of the flags set; else none of them. */
#define DEFINE_CMOV(name, b0, b1, mask, wanted)                                                                        \
	HOST_FLAGS(name##_st0_host, b0, b1)                                                                            \
	HOST_FLAGS(name##_st1_host, b0, b1 + 1)                                                                        \
	HANDLER(name##_ss)                                                                                             \
	{                                                                                                              \
		u32 flags;                                                                                             \
                                                                                                                       \
		x87_check(c, o);                                                                                       \
		flags = (u32)cpu_rflags(c);                                                                            \
		if (x87_quick(c, 0, o->src)) {                                                                         \
			if (!!(flags & (mask)) == wanted)                                                               \
				*x87_st(c, 0) = *x87_st(c, o->src);                                                     \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run_flags(c, o, flags, name##_st0_host, name##_st1_host);                                       \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
CMOV_OPS(DEFINE_CMOV)

/* OF is cleared, with SF and AF. */
#define DEFINE_COMI(name, b0, b1, pops)                                                                                \
	HOST_FLAGS(name##_st0_host, b0, b1)                                                                            \
	HOST_FLAGS(name##_st1_host, b0, b1 + 1)                                                                        \
	X87_FAST_COMPARE_FLAGS(name##_fast, 0xdb, b1 + 1)                                                              \
	HANDLER(name##_ss)                                                                                             \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		if (x87_quick(c, 0, o->src)) {                                                                         \
			cpu_set_status(c, name##_fast(c, x87_st(c, 0), x87_st(c, o->src)));                             \
			if (pops)                                                                                      \
				x87_pop(c);                                                                            \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			cpu_set_status(c, run_flags(c, o, 0, name##_st0_host, name##_st1_host));                        \
		}                                                                                                      \
		OP_NEXT(c, o);                                                                                         \
	}
COMI_OPS(DEFINE_COMI)

/* Arithmetic with a memory source: bytes of the operand, opcode, ModRM.reg. */
#define ALU_MEM_OPS(_)                                                                                                 \
	_(FADD, 4, 0xd8, 0) _(FMUL, 4, 0xd8, 1) _(FSUB, 4, 0xd8, 4) _(FSUBR, 4, 0xd8, 5)                                \
	_(FDIV, 4, 0xd8, 6) _(FDIVR, 4, 0xd8, 7)                                                                        \
	_(FADD, 8, 0xdc, 0) _(FMUL, 8, 0xdc, 1) _(FSUB, 8, 0xdc, 4) _(FSUBR, 8, 0xdc, 5)                                \
	_(FDIV, 8, 0xdc, 6) _(FDIVR, 8, 0xdc, 7)                                                                        \
	_(FIADD, 4, 0xda, 0) _(FIMUL, 4, 0xda, 1) _(FISUB, 4, 0xda, 4) _(FISUBR, 4, 0xda, 5)                            \
	_(FIDIV, 4, 0xda, 6) _(FIDIVR, 4, 0xda, 7)                                                                      \
	_(FIADD, 2, 0xde, 0) _(FIMUL, 2, 0xde, 1) _(FISUB, 2, 0xde, 4) _(FISUBR, 2, 0xde, 5)                            \
	_(FIDIV, 2, 0xde, 6) _(FIDIVR, 2, 0xde, 7)
#define COMPARE_MEM_OPS(_)                                                                                             \
	_(FCOM, 4, 0xd8, 2) _(FCOMP, 4, 0xd8, 3) _(FCOM, 8, 0xdc, 2) _(FCOMP, 8, 0xdc, 3)                               \
	_(FICOM, 4, 0xda, 2) _(FICOMP, 4, 0xda, 3) _(FICOM, 2, 0xde, 2) _(FICOMP, 2, 0xde, 3)                           \
	_(FBLD, 10, 0xdf, 4)
#define LOAD_OPS(_)                                                                                                    \
	_(FLD, 4, 0xd9, 0) _(FLD, 8, 0xdd, 0) _(FILD, 2, 0xdf, 0) _(FILD, 4, 0xdb, 0) _(FILD, 8, 0xdf, 5)

/* The operand in memory order. Handlers keep no local variable whose address is known elsewhere: it comes by value. */
static inline u64 load_operand(struct cpu *c, const struct op *o, unsigned n)
{
	u64 lin = op_lin(c, o, n, ACCESS_READ);

	return n == 2 ? ld16(c, o, lin) : n == 4 ? ld32(c, o, lin) : ld64(c, o, lin);
}

#define DEFINE_ALU_MEM(name, n, b0, reg)                                                                               \
	HOST_MEM(name##n##_host, b0, reg)                                                                              \
	X87_FAST_ALU_MEM(name##n##_fast, b0, reg)                                                                      \
	static void name##n##_with(struct cpu *c, const struct op *o, u64 mem)                                         \
	{                                                                                                              \
		if (x87_quick(c, 0, 0)) {                                                                              \
			name##n##_fast(c, x87_st(c, 0), &mem);                                                          \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run(c, o, name##n##_host, &mem, NULL);                                                          \
		}                                                                                                      \
	}                                                                                                              \
	HANDLER(name##_m##n)                                                                                           \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		name##n##_with(c, o, load_operand(c, o, n));                                                           \
		OP_NEXT(c, o);                                                                                         \
	}
ALU_MEM_OPS(DEFINE_ALU_MEM)

#define DEFINE_LOAD(name, n, b0, reg)                                                                                  \
	HOST_MEM(name##n##_host, b0, reg)                                                                              \
	X87_FAST_LOAD(name##n##_fast, b0, reg)                                                                         \
	static void name##n##_with(struct cpu *c, const struct op *o, u64 mem)                                         \
	{                                                                                                              \
		if (x87_quick_push(c)) {                                                                               \
			x87_push(c);                                                                                   \
			name##n##_fast(c, x87_st(c, 0), &mem);                                                          \
			x87_note_ip(c, o);                                                                             \
		} else {                                                                                               \
			run(c, o, name##n##_host, &mem, NULL);                                                          \
		}                                                                                                      \
	}                                                                                                              \
	HANDLER(name##_m##n)                                                                                           \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		name##n##_with(c, o, load_operand(c, o, n));                                                           \
		OP_NEXT(c, o);                                                                                         \
	}
LOAD_OPS(DEFINE_LOAD)

static void run_load(struct cpu *c, const struct op *o, x87_host *fn, unsigned n)
{
	u8 mem[10];

	ld_buf(c, o, op_lin(c, o, n, ACCESS_READ), mem, n);
	run(c, o, fn, mem, NULL);
}

#define DEFINE_COMPARE_MEM(name, n, b0, reg)                                                                           \
	HOST_MEM(name##n##_host, b0, reg)                                                                              \
	HANDLER(name##_m##n)                                                                                           \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		run_load(c, o, name##n##_host, n);                                                                     \
		OP_NEXT(c, o);                                                                                         \
	}
COMPARE_MEM_OPS(DEFINE_COMPARE_MEM)

/* Ten bytes are moved as they are. */
HOST_MEM(FLD10_host, 0xdb, 5)
HOST_MEM(FSTP10_host, 0xdb, 7)

static void fld_m80_from(struct cpu *c, const struct op *o)
{
	struct x87_reg v = { 0 };
	u8 mem[10];

	ld_buf(c, o, op_lin(c, o, 10, ACCESS_READ), mem, 10);
	if (!x87_quick_push(c)) {
		run(c, o, FLD10_host, mem, NULL);
		return;
	}
	x87_get(mem, &v);
	push(c, o, v);
}

HANDLER(fld_m80)
{
	x87_check(c, o);
	fld_m80_from(c, o);
	OP_NEXT(c, o);
}

/* Memory destinations: bytes, opcode and ModRM.reg, the same of the form that pops, and whether this one does. */
#define STORE_OPS(_)                                                                                                   \
	_(FST, 4, 0xd9, 2, 0xd9, 3, 0) _(FSTP, 4, 0xd9, 3, 0xd9, 3, 1)                                                  \
	_(FST, 8, 0xdd, 2, 0xdd, 3, 0) _(FSTP, 8, 0xdd, 3, 0xdd, 3, 1)                                                  \
	_(FIST, 2, 0xdf, 2, 0xdf, 3, 0) _(FISTP, 2, 0xdf, 3, 0xdf, 3, 1) _(FIST, 4, 0xdb, 2, 0xdb, 3, 0)                \
	_(FISTP, 4, 0xdb, 3, 0xdb, 3, 1) _(FISTP, 8, 0xdf, 7, 0xdf, 7, 1)                                               \
	_(FISTTP, 2, 0xdf, 1, 0xdf, 1, 1) _(FISTTP, 4, 0xdb, 1, 0xdb, 1, 1) _(FISTTP, 8, 0xdd, 1, 0xdd, 1, 1)           \
	_(FBSTP, 10, 0xdf, 6, 0xdf, 6, 1)

/*
 * Ten bytes go as the significand, then sign and exponent: where only the second part faults, the first has been
 * stored.
 */
static void store_result(struct cpu *c, const struct op *o, u64 lin, const void *mem, unsigned n)
{
	if (n == 10) {
		st_buf(c, o, lin, mem, 8);
		st_buf(c, o, lin + 8, (const u8 *)mem + 8, 2);
	} else {
		st_buf(c, o, lin, mem, n);
	}
}

/*
 * An unmasked exception other than an inexact result leaves memory alone. The store may fault: it comes before the
 * new state.
 */
static void run_store(struct cpu *c, const struct op *o, x87_host *fn, unsigned n)
{
	u64 lin = op_lin(c, o, n, ACCESS_WRITE);
	struct x87_image g;
	u8 mem[10];

	image_build(c, &g);
	fn(&g, mem, NULL);
	if (!(g.fsw & ~g.fcw & FSW_FLAGS & ~FPU_PE))
		store_result(c, o, lin, mem, n);
	image_take(c, &g);
	pointers(c, o);
}

typedef u16 fast_store(struct cpu *c, const struct x87_reg *a, void *mem);

static inline void quick_store(struct cpu *c, const struct op *o, fast_store *fn, unsigned n, bool pops)
{
	u64 lin = op_lin(c, o, n, ACCESS_WRITE);
	u8 mem[10];
	u16 sw = fn(c, x87_st(c, 0), mem);

	store_result(c, o, lin, mem, n);
	x87_take_status(c, sw, FSW_C1);
	if (pops)
		x87_pop(c);
	x87_note_ip(c, o);
}

#define DEFINE_STORE(name, n, b0, reg, pb0, preg, pops)                                                                \
	HOST_MEM(name##n##_host, b0, reg)                                                                              \
	X87_FAST_STORE(name##n##_fast, pb0, preg)                                                                      \
	static void name##n##_to(struct cpu *c, const struct op *o)                                                    \
	{                                                                                                              \
		if (x87_quick(c, 0, 0))                                                                                \
			quick_store(c, o, name##n##_fast, n, pops);                                                     \
		else                                                                                                   \
			run_store(c, o, name##n##_host, n);                                                            \
	}                                                                                                              \
	HANDLER(name##_m##n)                                                                                           \
	{                                                                                                              \
		x87_check(c, o);                                                                                       \
		name##n##_to(c, o);                                                                                    \
		OP_NEXT(c, o);                                                                                         \
	}
STORE_OPS(DEFINE_STORE)

static void fstp_m80_to(struct cpu *c, const struct op *o)
{
	if (!x87_quick(c, 0, 0)) {
		run_store(c, o, FSTP10_host, 10);
		return;
	}
	/* The register's first ten bytes are the format of memory. */
	store_result(c, o, op_lin(c, o, 10, ACCESS_WRITE), x87_st(c, 0), 10);
	c->fpu.fsw &= ~FSW_C1;
	x87_pop(c);
	x87_note_ip(c, o);
}

HANDLER(fstp_m80)
{
	x87_check(c, o);
	fstp_m80_to(c, o);
	OP_NEXT(c, o);
}

#define ROWS_PLAIN(name, ...)  ROW(name, SHAPE0, name##_plain),
#define ROWS_STI(name, b0, b1, operand, needed, pops, quick) ROW(name, SHAPE_##operand, name##_sti),
#define SHAPE_dst SHAPE1(S)
#define SHAPE_src SHAPE(S, S) /* the decoder names ST(0) first */
#define ROWS_RARE(name, ...)   ROW(name, SHAPE1(S), name##_sti),
#define ROWS_ALU(name, ...)    ROW(name, SHAPE(S, S), name##_ss), ROW(name##P, SHAPE(S, S), name##P_ss),
#define ROWS_FLAG(name, ...)   ROW(name, SHAPE(S, S), name##_ss),
#define ROWS_MEM(name, n, ...) ROW_SIZED(name, SHAPE1(M), n, name##_m##n),

const struct fpu_row fpu_rows_x87[] = {
	PLAIN_OPS(ROWS_PLAIN)
	UNARY_OPS(ROWS_PLAIN)
	BINARY_OPS(ROWS_PLAIN)
	INTO_OPS(ROWS_PLAIN)
	SIGN_OPS(ROWS_PLAIN)
	CONST_OPS(ROWS_PLAIN)
	STI_OPS(ROWS_STI)
	RARE_STI_OPS(ROWS_RARE)
	ROW(FLD, SHAPE1(S), fld_sti),
	ALU_OPS(ROWS_ALU)
	CMOV_OPS(ROWS_FLAG)
	COMI_OPS(ROWS_FLAG)
	ALU_MEM_OPS(ROWS_MEM)
	LOAD_OPS(ROWS_MEM)
	ROW_SIZED(FLD, SHAPE1(M), 10, fld_m80),
	ROW_SIZED(FSTP, SHAPE1(M), 10, fstp_m80),
	COMPARE_MEM_OPS(ROWS_MEM)
	STORE_OPS(ROWS_MEM)
	ROW_END
};
