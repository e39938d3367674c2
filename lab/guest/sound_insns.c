/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Instructions that store in other ways than one plain operand: with a mask, a state, a frame, or to two pages at once. */
#include <stdint.h>
#include <string.h>

#include "sound.h"

#define P(n)   (p + (n) * PG)
#define LAPS   3

struct line {
	uint8_t byte[32];
};

static struct line ones(void)
{
	struct line v = { 0 };

	for (size_t i = 0; i < sizeof(v); i++)
		v.byte[i] = (uint8_t)(rnd() | 1);
	return v;
}

/* Bit n of lanes: the n-th of eight. */
static struct line mask_of(unsigned lanes)
{
	struct line v = { 0 };

	for (size_t i = 0; i < sizeof(v); i++)
		v.byte[i] = lanes >> i / 4 & 1 ? 0xff : 0;
	return v;
}

static void vmaskmovps(char *to, unsigned lanes)
{
	struct line v = ones(), m = mask_of(lanes);

	__asm__ volatile("vmovups %1, %%ymm1; vmovups %2, %%ymm2; vmaskmovps %%ymm1, %%ymm2, (%0); vzeroupper"
			 : : "r"(to), "m"(v), "m"(m) : "memory", "xmm1", "xmm2");
}

static void vpmaskmovq(char *to, unsigned lanes)
{
	struct line v = ones(), m = mask_of(lanes);

	__asm__ volatile("vmovups %1, %%ymm1; vmovups %2, %%ymm2; vpmaskmovq %%ymm1, %%ymm2, (%0); vzeroupper"
			 : : "r"(to), "m"(v), "m"(m) : "memory", "xmm1", "xmm2");
}

static void maskmovdqu(char *to, unsigned lanes)
{
	struct line v = ones(), m = mask_of(lanes);

	__asm__ volatile("movups %1, %%xmm1; movups %2, %%xmm2; maskmovdqu %%xmm2, %%xmm1"
			 : : "D"(to), "m"(v), "m"(m) : "memory", "xmm1", "xmm2");
}

/* The last lane of a page and the first of the next; of these only one is stored; none at all. */
static void masked(void)
{
	char *p = resident(64);
	const bool avx = __builtin_cpu_supports("avx2");

	track(p, 64);
	for (int i = 0; i < LAPS; i++) {
		maskmovdqu(P(1) - 8, 0x1);
		maskmovdqu(P(4) - 8, 0x8);
		round_of("MASKMOVDQU to the first, and to the second of two pages");
		maskmovdqu(P(6) - 8, 0xf);
		round_of("MASKMOVDQU to both");
		maskmovdqu(P(8) - 8, 0);
		round_of("MASKMOVDQU to none");
		if (!avx)
			continue;
		vmaskmovps(P(11) - 16, 0x08);
		vmaskmovps(P(14) - 16, 0x10);
		vpmaskmovq(P(17) - 16, 0x0c);
		vpmaskmovq(P(20) - 16, 0xc0);
		round_of("VMASKMOV to one of two pages");
		vmaskmovps(P(23) - 16, 0xff);
		vpmaskmovq(P(26) - 16, 0xff);
		round_of("VMASKMOV to both");
		vmaskmovps(P(29) - 16, 0);
		round_of("VMASKMOV to none");
	}
}

/* Areas that lie in two pages; only the parts asked for are stored. */
static void states(void)
{
	char *p = resident(64);
	const bool xsave = __builtin_cpu_supports("avx"); /* so XSAVE is there, and the kernel has enabled it */

	track(p, 64);
	for (int i = 0; i < LAPS; i++) {
		__asm__ volatile("fxsave64 %0" : "=m"(*(char(*)[512])P(1)));
		round_of("FXSAVE");
		__asm__ volatile("fxsave64 %0" : "=m"(*(char(*)[512])(P(4) - 256)));
		round_of("FXSAVE to two pages");
		__asm__ volatile("fnstenv %0; fldenv %0" : "+m"(*(char(*)[28])(P(6) - 12)));
		__asm__ volatile("fnsave %0; frstor %0" : "+m"(*(char(*)[108])(P(8) - 50)));
		__asm__ volatile("fldpi; fstpt %0" : "=m"(*(char(*)[10])(P(10) - 5)));
		round_of("FNSTENV, FNSAVE, FSTP of ten bytes to two pages");
		if (!xsave)
			continue;
		memset(P(20), 0, PG);
		__asm__ volatile("xsave64 %0" : "+m"(*(char(*)[1024])P(20)) : "a"(7), "d"(0));
		round_of("XSAVE");
		memset(P(24) - 576, 0, 576);
		round_of("room for another");
		__asm__ volatile("vpcmpeqd %%ymm5, %%ymm5, %%ymm5; xsave64 %0; vzeroupper"
				 : "+m"(*(char(*)[1024])(P(24) - 576)) : "a"(4), "d"(0) : "xmm5");
		round_of("XSAVE, its upper halves in the second page");
		__asm__ volatile("xsaveopt64 %0" : "+m"(*(char(*)[1024])(P(28) - 512)) : "a"(3), "d"(0));
		round_of("XSAVEOPT, its header in the second page");
	}
}

/* What is pushed with the stack pointer near the end of a page. */
static void frames(void)
{
	char *p = resident(32);

	track(p, 32);
	for (int i = 0; i < LAPS; i++) {
		uint64_t sp, n = rnd() | 1;

		__asm__ volatile("mov %%rsp, %0; mov %1, %%rsp; push %2; mov %0, %%rsp"
				 : "=&r"(sp) : "r"(P(2) + 4), "r"(n) : "memory");
		round_of("PUSH to two pages");
		__asm__ volatile("mov %%rsp, %0; mov %1, %%rsp; call 1f; 1: mov %0, %%rsp" : "=&r"(sp) : "r"(P(5)) : "memory");
		round_of("CALL, the last word of a page");
		__asm__ volatile("mov %%rsp, %0; mov %1, %%rsp; pushfq; pushw $3; mov %0, %%rsp" : "=&r"(sp) : "r"(P(8) + 8) : "memory");
		round_of("PUSHF and a PUSH of two bytes in the next");
		__asm__ volatile("mov %%rsp, %0; mov %%rbp, %%r8; mov %1, %%rsp; mov %1, %%rbp; enter $16, $0; mov %0, %%rsp; mov %%r8, %%rbp"
				 : "=&r"(sp) : "r"(P(12)) : "memory", "r8");
		round_of("ENTER");
	}
}

static void across(void)
{
	char *p = resident(64);
	const bool avx = __builtin_cpu_supports("avx2");

	track(p, 64);
	for (int i = 0; i < LAPS; i++) {
		uint64_t n = rnd() | 0x0101010101010101u, count = 2 * PG / 8, zero = 0;
		char *to = P(20) - 4;

		*(volatile uint16_t *)(P(1) - 1) = (uint16_t)n;
		*(volatile uint32_t *)(P(4) - 1) = (uint32_t)n;
		*(volatile uint64_t *)(P(7) - 7) = n;
		round_of("two, four and eight bytes to two pages");
		__asm__ volatile("movups %%xmm0, %0; movntdq %%xmm0, %1" : "=m"(*(char(*)[16])(P(10) - 15)), "=m"(*(char(*)[16])(P(12) - 16)));
		if (avx)
			__asm__ volatile("vpcmpeqd %%ymm3, %%ymm3, %%ymm3; vmovdqu %%ymm3, %0; vzeroupper"
					 : "=m"(*(char(*)[32])(P(14) - 3)) : : "xmm3");
		round_of("vectors");
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(n) : "memory");
		round_of("REP STOS from the middle of a word");
		__asm__ volatile("lock addq %1, %0" : "+m"(*(uint64_t *)(P(30) - 4)) : "r"(n));
		__asm__ volatile("xchg %1, %0" : "+m"(*(uint64_t *)(P(33) - 2)), "+r"(n));
		__asm__ volatile("lock cmpxchg %2, %0" : "+m"(*(uint64_t *)(P(36) - 6)), "+a"(zero) : "r"(n | 1) : "cc");
		round_of("locked operations");
		__asm__ volatile("lock cmpxchg16b %0" : "+m"(*(char(*)[16])(P(40) - 16)) : "a"(0l), "d"(0l), "b"(1l), "c"(2l) : "cc");
		__asm__ volatile("bts %1, %0" : "+m"(*(char *)P(42)) : "r"((PG + 5) * 8 + (uint64_t)i) : "memory");
		round_of("CMPXCHG16B; BTS of a bit in the page after");
	}
}

const struct scenario sound_insns[] = {
	{ .name = "masked vectors", .run = masked },
	{ .name = "FXSAVE, XSAVE, FNSAVE", .run = states },
	{ .name = "PUSH, CALL, ENTER across pages", .run = frames },
	{ .name = "operands in two pages", .run = across },
	{ 0 },
};
