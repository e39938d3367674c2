// SPDX-License-Identifier: GPL-2.0-or-later
/* The XSAVE feature set and the AVX state it enables. SDM 1 "Managing State Using the XSAVE Feature Set" (13). */
#include "tests/guest/sys/expect.h"

#define X87 1u
#define SSE 2u
#define AVX 4u
#define ALL (X87 | SSE | AVX)
#define COMPACTED (1ull << 63)
#define MXCSR_DEFAULT 0x1f80u
#define PATTERN 0xa5

static u8 area[4096] __attribute__((aligned(64)));
static u8 ones[32] __attribute__((aligned(32)));

static u64 *header(unsigned i)
{
	return (u64 *)(void *)(area + 512 + 8 * i);
}

static u32 *mxcsr_image(void)
{
	return (u32 *)(void *)(area + 24);
}

/* RAX and RCX for the next TRY: a mask of components and the area. */
static void aim(u64 mask)
{
	try_rax = (u32)mask;
	try_rdx = mask >> 32;
	try_rcx = (u64)(uintptr_t)area;
}

static u64 set_xcr0(u64 v)
{
	try_rax = (u32)v;
	try_rdx = v >> 32;
	try_rcx = 0;
	return TRY("xsetbv");
}

static u64 get_xcr(u32 index)
{
	try_rcx = index;
	if (TRY("xgetbv") != NO_TRAP)
		return ~0ull;
	return try_rax | try_rdx << 32;
}

static void init_all(void)
{
	memset(area, 0, sizeof(area));
	*mxcsr_image() = MXCSR_DEFAULT;
	aim(ALL);
	check_eq(TRY("xrstor64 (%%rcx)"), NO_TRAP, "XRSTOR of initial states");
}

/* x87: one register with 1.0; SSE and AVX: both halves of register 3. */
static void use(unsigned components)
{
	init_all();
	memset(ones, 0x11, 16);
	memset(ones + 16, 0x22, 16);
	if (components & X87)
		__asm__ volatile("fld1");
	if (components & AVX)
		__asm__ volatile("vmovdqu %0, %%ymm3" : : "m"(ones));
	if ((components & (AVX | SSE)) == AVX)
		__asm__ volatile("pxor %%xmm3, %%xmm3" : :);
	if ((components & (AVX | SSE)) == SSE)
		__asm__ volatile("movdqu %0, %%xmm3" : : "m"(ones));
}

static bool filled(unsigned from, unsigned n, u8 with)
{
	for (unsigned i = from; i < from + n; i++)
		if (area[i] != with)
			return false;
	return true;
}

/* --- enabling --- */

static void test_enabling(void)
{
	u32 r[4];

	write_cr4(read_cr4() & ~CR4_OSXSAVE);
	cpuid(1, 0, r);
	check_eq(r[2] >> 27 & 1, 0, "CPUID.OSXSAVE follows CR4: 0");
	try_rcx = 0;
	expect(TRY("xgetbv"), VEC_UD, 0, "XGETBV without CR4.OSXSAVE");
	try_rax = 1, try_rdx = 0, try_rcx = 0;
	expect(TRY("xsetbv"), VEC_UD, 0, "XSETBV without CR4.OSXSAVE");
	aim(ALL);
	expect(TRY("xsave64 (%%rcx)"), VEC_UD, 0, "XSAVE without CR4.OSXSAVE");
	expect(TRY("vpxor %%xmm0, %%xmm0, %%xmm0"), VEC_UD, 0, "AVX without CR4.OSXSAVE");
	write_cr4(read_cr4() | CR4_OSXSAVE);
	cpuid(1, 0, r);
	check_eq(r[2] >> 27 & 1, 1, "CPUID.OSXSAVE follows CR4: 1");
}

static void test_xcr0(void)
{
	expect(set_xcr0(0), VEC_GP, 0, "XCR0 without x87");
	expect(set_xcr0(SSE), VEC_GP, 0, "XCR0 without x87, with SSE");
	expect(set_xcr0(X87 | AVX), VEC_GP, 0, "XCR0 with AVX, without SSE");
	expect(set_xcr0(1ull << 63 | X87), VEC_GP, 0, "XCR0 with bit 63");
	expect(set_xcr0(1ull << 62 | X87), VEC_GP, 0, "XCR0 with a component that does not exist");
	try_rax = X87, try_rdx = 0, try_rcx = 1;
	expect(TRY("xsetbv"), VEC_GP, 0, "XSETBV of XCR1");
	check_eq(set_xcr0(X87), NO_TRAP, "XCR0 = x87");
	check_eq(get_xcr(0), X87, "XCR0 reads what was written");
	expect(TRY("vpxor %%xmm0, %%xmm0, %%xmm0"), VEC_UD, 0, "AVX without its state");
	check_eq(set_xcr0(X87 | SSE), NO_TRAP, "XCR0 = x87, SSE");
	expect(TRY("vpxor %%xmm0, %%xmm0, %%xmm0"), VEC_UD, 0, "AVX with SSE's state only");
	check_eq(set_xcr0(ALL), NO_TRAP, "XCR0 = x87, SSE, AVX");
	check_eq(TRY("vpxor %%xmm0, %%xmm0, %%xmm0"), NO_TRAP, "AVX with its state");
	try_rcx = 2;
	expect(TRY("xgetbv"), VEC_GP, 0, "XGETBV of XCR2");
}

static void test_sizes(void)
{
	u32 r[4];

	set_xcr0(X87 | SSE);
	cpuid(0xd, 0, r);
	check_eq(r[1], 576, "CPUID: the size without AVX");
	check_eq(r[0] & ALL, ALL, "CPUID: x87, SSE and AVX can be enabled");
	set_xcr0(ALL);
	cpuid(0xd, 0, r);
	check_eq(r[1], 832, "CPUID: the size with AVX");
	cpuid(0xd, 2, r);
	check_eq(r[0], 256, "CPUID: the size of the AVX state");
	check_eq(r[1], 576, "CPUID: where it is");
	check_eq(r[2] & 1, 0, "CPUID: it is a user state");
}

static void test_not_available(void)
{
	write_cr0(read_cr0() | CR0_TS);
	aim(ALL);
	tcg_differs();
	expect(TRY("xsave64 (%%rcx)"), VEC_NM, 0, "XSAVE with CR0.TS");
	tcg_differs();
	expect(TRY("xrstor64 (%%rcx)"), VEC_NM, 0, "XRSTOR with CR0.TS");
	expect(TRY("vpxor %%xmm0, %%xmm0, %%xmm0"), VEC_NM, 0, "AVX with CR0.TS");
	check_eq(get_xcr(0), ALL, "XGETBV with CR0.TS");
	write_cr0(read_cr0() & ~CR0_TS);
	for (unsigned i = 1; i < 64; i = i * 2 + 1) {
		aim(ALL);
		try_rcx += i;
		expect(TRY("xsave64 (%%rcx)"), VEC_GP, 0, "XSAVE misaligned");
		expect(TRY("xrstor64 (%%rcx)"), VEC_GP, 0, "XRSTOR misaligned");
	}
}

/* --- saving in the standard form --- */

static void test_xsave(void)
{
	use(ALL);
	memset(area, PATTERN, sizeof(area));
	*header(0) = 0;
	aim(ALL);
	check_eq(TRY("xsave64 (%%rcx)"), NO_TRAP, "XSAVE");
	check_eq(*header(0), ALL, "XSTATE_BV: all in use");
	check(filled(520, 56, PATTERN), "XSAVE leaves the rest of the header alone");
	check(filled(464, 48, PATTERN), "XSAVE leaves bytes 511:464 alone");
	check(filled(832, 64, PATTERN), "nothing beyond the AVX state");
	check(filled(160 + 16 * 3, 16, 0x11), "the low half of YMM3");
	check(filled(576 + 16 * 3, 16, 0x22), "the high half of YMM3");
	check_eq(*(u64 *)(void *)(area + 32), 1ull << 63, "ST(0)");
	check_eq(*mxcsr_image(), MXCSR_DEFAULT, "MXCSR");
	check_eq(area[4], 0x80, "abridged tags");

	use(X87);
	memset(area, PATTERN, sizeof(area));
	*header(0) = AVX | SSE;
	aim(X87 | SSE);
	TRY("xsave64 (%%rcx)");
	check_eq(*header(0) & AVX, AVX, "XSTATE_BV keeps bits that are not asked for");
	check_eq(*header(0) & X87, X87, "XSTATE_BV: x87 in use");
	tcg_differs();
	check_eq(*header(0) & SSE, 0, "XSTATE_BV: SSE in its initial state");
	check(filled(576, 256, PATTERN), "the AVX state was not asked for");
	check(filled(160, 256, 0), "XSAVE writes initial states");
	memset(area, PATTERN, sizeof(area));
	*header(0) = 0;
	aim(AVX);
	TRY("xsave64 (%%rcx)");
	check(filled(0, 24, PATTERN) && filled(32, 256, PATTERN), "x87 and SSE were not asked for");
	tcg_differs();
	check_eq(*mxcsr_image(), MXCSR_DEFAULT, "MXCSR goes with AVX, too");
}

static void test_xsaveopt(void)
{
	if (!need_feature(0xd, 1, 0, 0, "XSAVEOPT"))
		return;
	use(X87);
	memset(area, PATTERN, sizeof(area));
	*header(0) = 0;
	aim(ALL);
	TRY("xsaveopt64 (%%rcx)");
	tcg_differs();
	check_eq(*header(0), X87, "XSAVEOPT: XSTATE_BV");
	tcg_differs();
	check(filled(160, 256, PATTERN), "XSAVEOPT does not write initial XMM registers");
	tcg_differs();
	check(filled(576, 256, PATTERN), "nor the initial AVX state");
	check_eq(*mxcsr_image(), MXCSR_DEFAULT, "but MXCSR");
}

/* --- the compacted form --- */

static void test_xsavec(void)
{
	const u32 other = 0x1f00;

	if (!need_feature(0xd, 1, 0, 1, "XSAVEC"))
		return;
	use(ALL);
	memset(area, PATTERN, sizeof(area));
	aim(ALL);
	TRY("xsavec64 (%%rcx)");
	check_eq(*header(0), ALL, "XSAVEC: XSTATE_BV");
	check_eq(*header(1), COMPACTED | ALL, "XSAVEC: XCOMP_BV");
	check(filled(528, 48, PATTERN), "XSAVEC leaves the rest of the header alone");
	check(filled(576 + 48, 16, 0x22), "the AVX state follows the header");

	use(0);
	memset(area, PATTERN, sizeof(area));
	aim(ALL);
	TRY("xsavec64 (%%rcx)");
	check_eq(*header(0), 0, "XSAVEC: nothing in use");
	check_eq(*header(1), COMPACTED | ALL, "XCOMP_BV says what was asked for");
	check(filled(0, 512, PATTERN), "initial states are not written");

	__asm__ volatile("ldmxcsr %0" : : "m"(other));
	aim(ALL);
	TRY("xsavec64 (%%rcx)");
	check_eq(*header(0), SSE, "XSAVEC: MXCSR alone makes SSE count as used");
	check_eq(*mxcsr_image(), other, "and is saved");
	check(filled(160, 256, 0), "with the registers");
	aim(X87 | AVX);
	TRY("xsavec64 (%%rcx)");
	check_eq(*header(0), 0, "but not if SSE is not asked for");
	init_all();
}

static void test_xgetbv1(void)
{
	const u32 other = 0x1f00;

	if (!need_feature(0xd, 1, 0, 2, "XGETBV with ECX = 1"))
		return;
	use(0);
	tcg_differs();
	check_eq(get_xcr(1), 0, "nothing in use");
	use(AVX);
	tcg_differs();
	check_eq(get_xcr(1), AVX, "AVX in use");
	use(SSE | X87);
	tcg_differs();
	check_eq(get_xcr(1), SSE | X87, "x87 and SSE in use");
	use(0);
	__asm__ volatile("ldmxcsr %0" : : "m"(other));
	tcg_differs();
	check_eq(get_xcr(1), SSE, "MXCSR alone makes SSE count as used");
	init_all();
}

/* --- restoring --- */

static u8 high_byte(void)
{
	u8 v[32];

	__asm__ volatile("vmovdqu %%ymm3, %0" : "=m"(v));
	return v[16];
}

static u8 low_byte(void)
{
	u8 v[32];

	__asm__ volatile("movdqu %%xmm3, %0" : "=m"(v));
	return v[0];
}

static u32 get_mxcsr(void)
{
	u32 v;

	__asm__ volatile("stmxcsr %0" : "=m"(v));
	return v;
}

static void test_xrstor(void)
{
	use(ALL);
	memset(area, 0x33, 832);
	memset(area + 512, 0, 64);
	*mxcsr_image() = 0x1fa0;
	*header(0) = AVX;
	aim(AVX);
	check_eq(TRY("xrstor64 (%%rcx)"), NO_TRAP, "XRSTOR of AVX");
	check_eq(high_byte(), 0x33, "loads the high halves");
	check_eq(low_byte(), 0x11, "and leaves the low ones");
	tcg_differs();
	check_eq(get_mxcsr(), 0x1fa0, "MXCSR goes with AVX in the standard form");
	*header(0) = 0;
	*mxcsr_image() = 0x1fc0;
	aim(SSE | AVX);
	TRY("xrstor64 (%%rcx)");
	check_eq(high_byte() | low_byte(), 0, "components without their bit get their initial state");
	check_eq(get_mxcsr(), 0x1fc0, "MXCSR is loaded all the same");
	*header(0) = SSE;
	*mxcsr_image() = 0x10000;
	aim(X87);
	check_eq(TRY("xrstor64 (%%rcx)"), NO_TRAP, "a bad MXCSR that is not loaded does not matter");
	aim(SSE);
	tcg_differs();
	expect(TRY("xrstor64 (%%rcx)"), VEC_GP, 0, "reserved bits of MXCSR");
	init_all();
}

/* A header that #GPs; the rest of the area is good. */
static void bad_header(u64 bv, u64 comp, unsigned word, u64 v, const char *name)
{
	memset(area, 0, sizeof(area));
	*mxcsr_image() = MXCSR_DEFAULT;
	*header(0) = bv;
	*header(1) = comp;
	if (word)
		*header(word) = v;
	aim(X87);
	expect(TRY("xrstor64 (%%rcx)"), VEC_GP, 0, name);
}

static void test_headers(void)
{
	bad_header(1ull << 62, 0, 0, 0, "XSTATE_BV with a component that XCR0 lacks");
	bad_header(0, 1, 0, 0, "XCOMP_BV without bit 63");
	bad_header(0, 0, 2, 1, "bytes 23:16 of the header");
	if (!need_feature(0xd, 1, 0, 1, "XSAVEC"))
		return;
	bad_header(AVX, COMPACTED | X87, 0, 0, "XSTATE_BV beyond XCOMP_BV");
	bad_header(0, COMPACTED | 1ull << 62, 0, 0, "XCOMP_BV with a component that XCR0 lacks");
	bad_header(0, COMPACTED | X87, 7, 1, "bytes 63:24 of the header in the compacted form");
}

static void test_compacted_restore(void)
{
	if (!need_feature(0xd, 1, 0, 1, "XSAVEC"))
		return;
	use(0);
	memset(area, 0x44, 832);
	memset(area + 512, 0, 64);
	*mxcsr_image() = 0x1fa0;
	*header(0) = AVX;
	*header(1) = COMPACTED | AVX | SSE;
	aim(SSE | AVX);
	check_eq(TRY("xrstor64 (%%rcx)"), NO_TRAP, "XRSTOR from the compacted form");
	check_eq(high_byte(), 0x44, "the AVX state");
	check_eq(low_byte(), 0, "SSE without its bit: initial");
	check_eq(get_mxcsr(), MXCSR_DEFAULT, "and MXCSR with it");
	init_all();
}

static void test_xsaves(void)
{
	if (!need_feature(0xd, 1, 0, 3, "XSAVES"))
		return;
	use(ALL);
	memset(area, PATTERN, sizeof(area));
	aim(ALL);
	check_eq(TRY("xsaves64 (%%rcx)"), NO_TRAP, "XSAVES");
	check_eq(*header(1), COMPACTED | ALL, "XSAVES: XCOMP_BV");
	__asm__ volatile("vzeroall");
	memset(area + 528, 0, 48);
	check_eq(TRY("xrstors64 (%%rcx)"), NO_TRAP, "XRSTORS");
	check_eq(high_byte() << 8 | low_byte(), 0x2211, "brings the registers back");
	*header(1) = 0;
	expect(TRY("xrstors64 (%%rcx)"), VEC_GP, 0, "XRSTORS of the standard form");
	try_rcx = 0xda0, try_rax = 1, try_rdx = 0;
	expect(TRY("wrmsr"), VEC_GP, 0, "IA32_XSS with a component that does not exist");
	try_rcx = 0xda0;
	check_eq(TRY("rdmsr"), NO_TRAP, "IA32_XSS");
	init_all();
}

/* SDM 1 "Clearing Upper YMM Bits": legacy SSE leaves the upper half, VEX clears it. */
static void test_upper_halves(void)
{
	use(AVX | SSE);
	__asm__ volatile("pxor %%xmm3, %%xmm3" : :);
	check_eq(high_byte(), 0x22, "legacy SSE keeps the upper half");
	__asm__ volatile("vpxor %%xmm3, %%xmm3, %%xmm3" : :);
	check_eq(high_byte(), 0, "VEX.128 clears it");
	use(AVX | SSE);
	__asm__ volatile("vzeroupper");
	check_eq(high_byte() << 8 | low_byte(), 0x11, "VZEROUPPER");
}

void guest_main(void)
{
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	if (!need_feature(1, 0, 2, 26, "XSAVE") || !need_feature(1, 0, 2, 28, "AVX"))
		return;
	test_enabling();
	test_xcr0();
	test_sizes();
	test_not_available();
	test_xsave();
	test_xsaveopt();
	test_xsavec();
	test_xgetbv1();
	test_xrstor();
	test_headers();
	test_compacted_restore();
	test_xsaves();
	test_upper_halves();
}
