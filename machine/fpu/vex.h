/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VEX-encoded vector instructions: their rows, the thunks that do the work, and what their handlers share. */
#ifndef OOH_MACHINE_FPU_VEX_H
#define OOH_MACHINE_FPU_VEX_H

#include "machine/fpu/access.h"
#include "machine/fpu/vex_list.h"

/* The work of one instruction: operands and result behind pointers. In vex_thunks.S. */
typedef void vex_thunk(void *d, const void *a, const void *b, const void *c);

#define VEX_D(form, NAME, l)   extern vex_thunk vex_##form##_##NAME##_##l;
#define VEX_D_BOTH(form, NAME) VEX_D(form, NAME, 128) VEX_D(form, NAME, 256)
#define X(NAME) VEX_D_BOTH(ab, NAME)
VEX_AB_BOTH(X, X)
VEX_SHIFT_BOTH(X)
#undef X
#define X(NAME) VEX_D(ab, NAME, 256)
VEX_AB_256(X)
#undef X
#define X(NAME) VEX_D(ab, NAME, 128)
VEX_AB_LIG(X, X)
#undef X
#define X(NAME) VEX_D_BOTH(dab, NAME)
VEX_DAB_BOTH(X)
#undef X
#define X(NAME) VEX_D(dab, NAME, 128)
VEX_DAB_LIG(X)
#undef X
#define X(NAME) VEX_D_BOTH(abc, NAME)
VEX_ABC_BOTH(X)
#undef X
#define X(NAME) VEX_D_BOTH(b, NAME)
VEX_B_BOTH(X, X)
VEX_G_BOTH(X)
#undef X
#define X(NAME) VEX_D(b, NAME, 128)
VEX_B_128(X)
#undef X
#define X(NAME) VEX_D(b, NAME, 256)
VEX_B_256(X)
#undef X
#define X(NAME, x, y) VEX_D_BOTH(b, NAME)
VEX_HALF(X)
#undef X
#define X(NAME, n) VEX_D_BOTH(abi, NAME)
VEX_ABI_BOTH(X, X)
#undef X
#define X(NAME, n) VEX_D(abi, NAME, 128)
VEX_ABI_128(X, X)
VEX_ABI_LIG(X)
#undef X
#define X(NAME, n) VEX_D(abi, NAME, 256)
VEX_ABI_256(X)
#undef X
#define X(NAME, n) VEX_D_BOTH(bi, NAME)
VEX_BI_BOTH(X, X)
VEX_RI_BOTH(X)
VEX_XI_BOTH(X)
#undef X
#define X(NAME, n) VEX_D(bi, NAME, 128)
VEX_BI_128(X)
#undef X
#define X(NAME, n) VEX_D(bi, NAME, 256)
VEX_BI_256(X)
VEX_XI_256(X)
#undef X
#define X(NAME, n, reg) VEX_D(bi, NAME, 128)
VEX_GI_128(X)
#undef X
#define X(NAME, n, reg) VEX_D(b, NAME, n)
VEX_CG(X)
#undef X
#define X(NAME, n, name) VEX_D(ab, NAME, n)
VEX_GC(X)
#undef X
#define X(NAME) VEX_D_BOTH(t, NAME)
VEX_T_BOTH(X)
#undef X
#define X(NAME) VEX_D(t, NAME, 128)
VEX_T_LIG(X)
#undef X
#undef VEX_D
#undef VEX_D_BOTH

u32 vex_guarded(void *d, const void *a, const void *b, const void *c, vex_thunk *thunk, u32 *mxcsr);
extern u64 vex_guard_rsp; /* not 0 once the first thunk has run guarded */

/*
 * Runs a thunk that looks at MXCSR, whatever MXCSR says. Raises #XM (or #UD without CR4.OSXMMEXCPT) for an unmasked
 * exception; then nothing but MXCSR's flags has changed.
 */
void vex_run_fp(struct cpu *c, const struct op *o, void *d, const void *a, const void *b, vex_thunk *thunk);

/* How the operands of an instruction are handed to its thunk. */
enum vex_form {
	VEX_FORM_AB,  /* d, a, b */
	VEX_FORM_ABC, /* d, a, b, c */
	VEX_FORM_B,   /* d, b */
	VEX_FORM_T,   /* a, b; the result goes into the status flags */
};

struct vex_row {
	u16 mnem;
	u8 form;  /* enum vex_form */
	bool fp;  /* looks at MXCSR */
	bool imm; /* the last operand is an immediate: */
	u8 last;  /* of the array of thunks for its values; imm and not last: the count of a shift */
	u8 gpr;   /* bytes of the general register among the operands, 0: any */
	vex_thunk *thunk[2]; /* by VEX.L; [1] NULL: ignored */
};

/* Handlers of their own. */
struct vex_move {
	u16 mnem;
	u8 shape; /* SHAPE() of the first two operands */
	u8 count; /* of operands, 0: any */
	op_fn *fn[2]; /* by VEX.L */
};
extern const struct vex_move vex_moves[], vex_memory[];

bool vex_lower(struct lower *l);

_Noreturn void avx_refuse(struct cpu *c, const struct op *o);
const void *vex_ld_slow(struct cpu *c, const struct op *o, u64 lin, unsigned n);

/* SDM 2A "Exception Classifications of VEX-Encoded Instructions": #UD unless the OS has enabled the state, then #NM. */
static inline void avx_check(struct cpu *c, const struct op *o)
{
	if (unlikely(((c->cr0 & CR0_TS) | (~c->cr4 & CR4_OSXSAVE) | (~c->xcr0 & (XCR0_SSE | XCR0_AVX))) != 0))
		avx_refuse(c, o);
}

/* n bytes of memory, readable behind the pointer until the next access: any alignment. */
static inline const void *vex_ld(struct cpu *c, const struct op *o, unsigned n)
{
	u64 lin = op_lin(c, o, n, ACCESS_READ);
	const struct tlb_fast *t = &c->tlb[tlb_index(lin)];

	if (unlikely(!tlb_hit(t->tag_r, lin, c->ctx, n)))
		return vex_ld_slow(c, o, lin, n);
	return (const void *)(t->addend + lin);
}

static inline struct ymm *ymm_dst(struct cpu *c, const struct op *o)
{
	return &c->fpu.ymm[o->dst];
}

static inline struct ymm *ymm_src(struct cpu *c, const struct op *o)
{
	return &c->fpu.ymm[o->src];
}

/* VEX-encoded instructions of 128 bits clear the upper half. */
static inline void ymm_set128(struct ymm *r, vec128 v)
{
	r->lo.v = v;
	r->hi.v = (vec128){ 0, 0 };
}

#endif
