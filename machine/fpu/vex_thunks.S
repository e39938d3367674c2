/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One function for each row of vex_list.h and vector length: thunk(d, a, b, c) takes its operands from where rsi, rdx
 * and rcx point and puts the result where rdi points. Vector results are 32 bytes, zero-extended as VEX instructions
 * do; general registers and status flags (as LAHF has them) 8 bytes. Thunks with an immediate are arrays, 32 bytes for
 * each value.
 *
 * The host's upper halves are left clean, for the SSE instructions of the compiler.
 */
#include "machine/fpu/vex_list.h"

	.text

#define BEGIN(sym) .balign 32; .globl sym; .hidden sym; .type sym, @function; sym:
#define DONE_128 vmovdqu %ymm0, (%rdi); ret;
#define DONE_256 vmovdqu %ymm0, (%rdi); vzeroupper; ret;
#define DONE_FLAGS lahf; movzbl %ah, %eax; mov %rax, (%rdi); vzeroupper; ret;
#define DONE_GPR mov %rax, (%rdi); vzeroupper; ret;

/* T(NAME, i) for n values from i on. */
#define TIMES_4(T, N, i)   T(N, i) T(N, i + 1) T(N, i + 2) T(N, i + 3)
#define TIMES_8(T, N, i)   TIMES_4(T, N, i) TIMES_4(T, N, i + 4)
#define TIMES_16(T, N, i)  TIMES_8(T, N, i) TIMES_8(T, N, i + 8)
#define TIMES_32(T, N, i)  TIMES_16(T, N, i) TIMES_16(T, N, i + 16)
#define TIMES_64(T, N, i)  TIMES_32(T, N, i) TIMES_32(T, N, i + 32)
#define TIMES_256(T, N, i) TIMES_64(T, N, i) TIMES_64(T, N, i + 64) TIMES_64(T, N, i + 128) TIMES_64(T, N, i + 192)

BEGIN(vex_thunks_begin)
#define AB_128(N) BEGIN(vex_ab_##N##_128) vmovdqu (%rsi), %xmm1; N (%rdx), %xmm1, %xmm0; DONE_128
#define AB_256(N) BEGIN(vex_ab_##N##_256) vmovdqu (%rsi), %ymm1; N (%rdx), %ymm1, %ymm0; DONE_256
#define AB_BOTH(N) AB_128(N) AB_256(N)
VEX_AB_BOTH(AB_BOTH, AB_BOTH)
VEX_SHIFT_BOTH(AB_BOTH)
VEX_AB_256(AB_256)
VEX_AB_LIG(AB_128, AB_128)

#define DAB_128(N) \
	BEGIN(vex_dab_##N##_128) vmovdqu (%rsi), %xmm1; vmovdqu (%rdi), %xmm0; N (%rdx), %xmm1, %xmm0; DONE_128
#define DAB_256(N) \
	BEGIN(vex_dab_##N##_256) vmovdqu (%rsi), %ymm1; vmovdqu (%rdi), %ymm0; N (%rdx), %ymm1, %ymm0; DONE_256
#define DAB_BOTH(N) DAB_128(N) DAB_256(N)
VEX_DAB_BOTH(DAB_BOTH)
VEX_DAB_LIG(DAB_128)

#define ABC_BOTH(N) \
	BEGIN(vex_abc_##N##_128) vmovdqu (%rsi), %xmm1; vmovdqu (%rcx), %xmm2; N %xmm2, (%rdx), %xmm1, %xmm0; DONE_128 \
	BEGIN(vex_abc_##N##_256) vmovdqu (%rsi), %ymm1; vmovdqu (%rcx), %ymm2; N %ymm2, (%rdx), %ymm1, %ymm0; DONE_256
VEX_ABC_BOTH(ABC_BOTH)

#define B_128(N) BEGIN(vex_b_##N##_128) N (%rdx), %xmm0; DONE_128
#define B_256(N) BEGIN(vex_b_##N##_256) N (%rdx), %ymm0; DONE_256
#define B_BOTH(N) B_128(N) B_256(N)
VEX_B_BOTH(B_BOTH, B_BOTH)
VEX_B_128(B_128)
VEX_B_256(B_256)

#define HALF(N, X, Y) BEGIN(vex_b_##N##_128) X (%rdx), %xmm0; DONE_128 BEGIN(vex_b_##N##_256) Y (%rdx), %xmm0; DONE_256
VEX_HALF(HALF)

#define ABI_128_ONE(N, i) .balign 32; vmovdqu (%rsi), %xmm1; N $(i), (%rdx), %xmm1, %xmm0; DONE_128
#define ABI_256_ONE(N, i) .balign 32; vmovdqu (%rsi), %ymm1; N $(i), (%rdx), %ymm1, %ymm0; DONE_256
#define ABI_128(N, n) BEGIN(vex_abi_##N##_128) TIMES_##n(ABI_128_ONE, N, 0)
#define ABI_256(N, n) BEGIN(vex_abi_##N##_256) TIMES_##n(ABI_256_ONE, N, 0)
#define ABI_BOTH(N, n) ABI_128(N, n) ABI_256(N, n)
VEX_ABI_BOTH(ABI_BOTH, ABI_BOTH)
VEX_ABI_128(ABI_128, ABI_128)
VEX_ABI_256(ABI_256)
VEX_ABI_LIG(ABI_128)

#define BI_128_ONE(N, i) .balign 32; N $(i), (%rdx), %xmm0; DONE_128
#define BI_256_ONE(N, i) .balign 32; N $(i), (%rdx), %ymm0; DONE_256
#define BI_128(N, n) BEGIN(vex_bi_##N##_128) TIMES_##n(BI_128_ONE, N, 0)
#define BI_256(N, n) BEGIN(vex_bi_##N##_256) TIMES_##n(BI_256_ONE, N, 0)
#define BI_BOTH(N, n) BI_128(N, n) BI_256(N, n)
VEX_BI_BOTH(BI_BOTH, BI_BOTH)
VEX_BI_128(BI_128)
VEX_BI_256(BI_256)

#define RI_128_ONE(N, i) .balign 32; vmovdqu (%rdx), %xmm1; N $(i), %xmm1, %xmm0; DONE_128
#define RI_256_ONE(N, i) .balign 32; vmovdqu (%rdx), %ymm1; N $(i), %ymm1, %ymm0; DONE_256
#define RI_BOTH(N, n) \
	BEGIN(vex_bi_##N##_128) TIMES_##n(RI_128_ONE, N, 0) BEGIN(vex_bi_##N##_256) TIMES_##n(RI_256_ONE, N, 0)
VEX_RI_BOTH(RI_BOTH)

#define XI_256_ONE(N, i) .balign 32; vmovdqu (%rdx), %ymm1; N $(i), %ymm1, %xmm0; DONE_256
#define XI_256(N, n) BEGIN(vex_bi_##N##_256) TIMES_##n(XI_256_ONE, N, 0)
#define XI_BOTH(N, n) BEGIN(vex_bi_##N##_128) TIMES_##n(RI_128_ONE, N, 0) XI_256(N, n)
VEX_XI_BOTH(XI_BOTH)
VEX_XI_256(XI_256)

#define GI_eax_ONE(N, i) .balign 32; vmovdqu (%rdx), %xmm1; N $(i), %xmm1, %eax; DONE_GPR
#define GI_rax_ONE(N, i) .balign 32; vmovdqu (%rdx), %xmm1; N $(i), %xmm1, %rax; DONE_GPR
#define GI_128(N, n, reg) BEGIN(vex_bi_##N##_128) TIMES_##n(GI_##reg##_ONE, N, 0)
VEX_GI_128(GI_128)

#define G_BOTH(N) \
	BEGIN(vex_b_##N##_128) vmovdqu (%rdx), %xmm1; N %xmm1, %eax; DONE_GPR \
	BEGIN(vex_b_##N##_256) vmovdqu (%rdx), %ymm1; N %ymm1, %eax; DONE_GPR
VEX_G_BOTH(G_BOTH)

#define CG(N, n, reg) BEGIN(vex_b_##N##_##n) N (%rdx), %reg; DONE_GPR
VEX_CG(CG)

#define GC(N, n, name) BEGIN(vex_ab_##N##_##n) vmovdqu (%rsi), %xmm1; name (%rdx), %xmm1, %xmm0; DONE_128
VEX_GC(GC)

#define T_LIG(N) BEGIN(vex_t_##N##_128) vmovdqu (%rsi), %xmm1; N (%rdx), %xmm1; DONE_FLAGS
#define T_BOTH(N) T_LIG(N) BEGIN(vex_t_##N##_256) vmovdqu (%rsi), %ymm1; N (%rdx), %ymm1; DONE_FLAGS
VEX_T_BOTH(T_BOTH)
VEX_T_LIG(T_LIG)

/*
 * u32 vex_guarded(d, a, b, c, thunk, mxcsr): runs the thunk under *mxcsr, which may have unmasked exceptions, and puts
 * what becomes of the register there. 0: done. 1: the host's CPU has raised an exception, nothing else has changed.
 * The signal's handler goes on at vex_guard_fault.
 */
BEGIN(vex_guarded)
	mov %rsp, vex_guard_rsp(%rip)
	push %r9
	ldmxcsr (%r9)
	call *%r8
	pop %r9
	stmxcsr (%r9)
	ldmxcsr calm(%rip)
	xor %eax, %eax
	ret
BEGIN(vex_guard_fault)
	mov vex_guard_rsp(%rip), %rsp
	stmxcsr (%r9)
	ldmxcsr calm(%rip)
	vzeroupper
	mov $1, %eax
	ret

	.section .rodata
	.balign 4
calm:	.long 0x1f80
	.bss
	.balign 8
	.globl vex_guard_rsp
	.hidden vex_guard_rsp
vex_guard_rsp: .skip 8

	.section .note.GNU-stack, "", @progbits
