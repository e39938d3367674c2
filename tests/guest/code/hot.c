// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/guest/code/hot.h"

typedef u64 fn(u64 a);

u8 code[4][4096] __attribute__((aligned(4096)));
u64 pt[512] __attribute__((aligned(4096)));
static u64 pdpt[512] __attribute__((aligned(4096))), pd[512] __attribute__((aligned(4096)));

u64 at(unsigned page)
{
	return WINDOW + page * 4096ull;
}

void map(unsigned page, const void *frame, u64 flags)
{
	pt[page] = (u64)frame | flags;
	invlpg(at(page));
}

void build_window(void)
{
	pd[0] = (u64)pt | 7;
	pdpt[0] = (u64)pd | 7;
	boot_pml4[2] = (u64)pdpt | 7;
	write_cr3(read_cr3());
}

u64 call(u64 a, u64 arg)
{
	return ((fn *)a)(arg);
}

unsigned heat(u64 a, u64 arg, u64 want)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < HOT; i++)
		bad += call(a, arg) != want;
	return bad;
}

void put_return(u8 *p, u32 v)
{
	p[0] = 0xb8;
	memcpy(p + 1, &v, 4);
	p[5] = 0xc3;
}
