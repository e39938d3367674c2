// SPDX-License-Identifier: GPL-2.0-or-later
/* Hot code and its pages: code on two pages, one frame at many addresses, one address with many frames, data beside code. */
#include "tests/guest/code/hot.h"

static void two_pages(void)
{
	u8 *p = code[0] + 4094;
	unsigned bad = 0;

	map(0, code[0], 7);
	map(1, code[1], 7);
	put_return(p, 0x11223344); /* b8 44 | 33 22 11 c3: code[0] and code[1] are neighbours in memory, too */
	bad += heat(at(0) + 4094, 0, 0x11223344);
	code[1][0] = 0x55;
	bad += call(at(0) + 4094, 0) != 0x11225544;
	check_eq(bad, 0, "an instruction on two pages, its second part written");
	bad = heat(at(0) + 4094, 0, 0x11225544);
	memcpy(code[2], code[1], 16);
	code[2][0] = 0x66;
	map(1, code[2], 7);
	bad += heat(at(0) + 4094, 0, 0x11226644);
	check_eq(bad, 0, "… its second page mapped to another frame");
	map(1, code[1], 7);
	bad = heat(at(0) + 4094, 0, 0x11225544);
	check_eq(bad, 0, "… and back");
	pt[1] = 0;
	invlpg(at(1));
	try_rax = at(0) + 4094;
	expect(TRY("call *%%rax"), VEC_PF, 0x10, "… its second page not there: a fetch fault");
	check_eq(trap.cr2, at(1), "at the second page");
	map(1, code[1], 7);
}

/* lea (%rip), %rax; ret: where it runs */
static const u8 where[] = { 0x48, 0x8d, 0x05, 0xf9, 0xff, 0xff, 0xff, 0xc3 };

static void aliases(void)
{
	unsigned bad = 0;

	memcpy(code[0] + 512, where, sizeof(where));
	for (unsigned i = 2; i < 10; i++)
		map(i, code[0], 7);
	for (unsigned k = 0; k < HOT; k++)
		for (unsigned i = 2; i < 10; i++)
			bad += call(at(i) + 512, 0) != at(i) + 512;
	check_eq(bad, 0, "one frame at eight addresses: each runs at its own");
	put_return(code[0] + 600, 1);
	bad = 0;
	for (unsigned i = 2; i < 10; i++)
		bad += heat(at(i) + 600, 0, 1);
	*(u8 *)(at(5) + 601) = 2;
	for (unsigned i = 2; i < 10; i++)
		bad += heat(at(i) + 600, 0, 2);
	check_eq(bad, 0, "… a store through one alias changes all");
}

static void other_frame(void)
{
	unsigned bad = 0;

	put_return(code[1] + 700, 100);
	put_return(code[2] + 700, 200);
	for (unsigned k = 0; k < HOT; k++) {
		map(11, code[1], 7);
		bad += call(at(11) + 700, 0) != 100;
		map(11, code[2], 7);
		bad += call(at(11) + 700, 0) != 200;
	}
	check_eq(bad, 0, "one address, two frames in turn");
	map(11, code[1], 7 | PTE_NX);
	try_rax = at(11) + 700;
	expect(TRY("call *%%rax"), VEC_PF, 0x11, "… no longer executable");
	map(11, code[1], 7);
	bad = heat(at(11) + 700, 0, 100);
	map(11, code[1], 5);
	bad += heat(at(11) + 700, 0, 100);
	check_eq(bad, 0, "… read-only");
}

/* A loop that counts in its own page: mov $10000, %ecx; 1: incl d(%rip); dec %ecx; jnz 1b; mov d(%rip), %eax; ret */
static const u8 counter[] = { 0xb9, 0x10, 0x27, 0, 0, 0xff, 0x05, 0xf5, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf6, 0x8b, 0x05, 0xeb, 0, 0, 0,
	0xc3 };

static void mixed_page(void)
{
	u32 *d = (u32 *)(code[3] + 256);
	unsigned bad = 0;

	memcpy(code[3], counter, sizeof(counter));
	map(12, code[3], 7);
	*d = 0;
	for (unsigned i = 1; i <= 20; i++)
		bad += call(at(12), 0) != 10000 * i;
	check_eq(bad, 0, "data in the page of the code that writes it");
	put_return(code[3] + 1024, 0);
	for (unsigned i = 0; i < 3000; i++) { /* new code all the time, in a page with old code */
		put_return(code[3] + 1024 + i % 64 * 8, i);
		bad += call(at(12) + 1024 + i % 64 * 8, 0) != i;
	}
	check_eq(bad, 0, "new code all the time beside old code");
}

/* Straight on, and by a jump, from the last bytes of a page into the next one, whose mapping changes under the hot code. */
static void over_the_edge(bool jump)
{
	u8 *p = code[0] + 4096 - 7;
	u64 run = at(4) + 4096 - 7;
	unsigned bad = 0, traps = 0;

	map(4, code[0], 7);
	put_return(p, 1); /* mov $1, %eax: five bytes */
	p[5] = jump ? 0xeb : 0x90;
	p[6] = jump ? 0x08 : 0x90;
	for (unsigned i = 1; i < 4; i++) { /* add $i, %eax; ret */
		static const u8 add[] = { 0x83, 0xc0, 0, 0xc3 };

		memcpy(code[i] + (jump ? 8 : 0), add, sizeof(add));
		code[i][(jump ? 8 : 0) + 2] = (u8)i;
	}
	for (unsigned k = 0; k < HOT; k++) {
		unsigned i = 1 + k % 3;

		map(5, code[i], 7);
		bad += call(run, 0) != 1 + i;
		bad += call(run, 0) != 1 + i;
		if (k % 8)
			continue;
		map(5, code[i], k % 16 ? 0 : 7 | PTE_NX);
		try_rax = run;
		traps += TRY("call *%%rax") == VEC_PF && trap.f.error == (k % 16 ? 0x10 : 0x11) && trap.cr2 == at(5) + (jump ? 8 : 0) &&
			 trap.f.rip == trap.cr2;
	}
	check_eq(bad, 0, jump ? "a jump into the next page: three frames in turn" : "straight on into the next page: three frames in turn");
	check_eq(traps, (HOT + 7) / 8, "… not there, or not executable: a fault at its first byte");
	map(5, code[1], 7);
	bad = heat(run, 0, 2);
	code[1][(jump ? 8 : 0) + 2] = 9;
	bad += call(run, 0) != 10;
	check_eq(bad, 0, "… written");
}

/* An instruction on two pages, of which the second one is not executable. */
static void crossing_rights(void)
{
	unsigned bad = 0, traps = 0;

	map(0, code[0], 7);
	map(1, code[1], 7);
	put_return(code[0] + 4094, 0x44332211);
	for (unsigned k = 0; k < 20; k++) {
		map(1, code[1], 7);
		bad += heat(at(0) + 4094, 0, 0x44332211);
		map(1, code[1], k % 2 ? 7 | PTE_NX : 0);
		try_rax = at(0) + 4094;
		traps += TRY("call *%%rax") == VEC_PF && trap.f.error == (k % 2 ? 0x11 : 0x10) && trap.cr2 == at(1) && trap.f.rip == at(0) + 4094;
	}
	check_eq(bad, 0, "an instruction on two pages");
	check_eq(traps, 20, "… its second page without rights: a fault there, with the RIP of its first byte");
}

/* Two tables of the highest level, the same address: hot code and CR3 in turn, without and with global pages. */
static void two_spaces(void)
{
	static u64 pml4[512] __attribute__((aligned(4096))), other_pdpt[512] __attribute__((aligned(4096))),
		other_pd[512] __attribute__((aligned(4096))), other_pt[512] __attribute__((aligned(4096)));
	u64 first = read_cr3();
	unsigned bad = 0;

	memcpy(pml4, boot_pml4, sizeof(pml4));
	pml4[2] = (u64)other_pdpt | 7;
	other_pdpt[0] = (u64)other_pd | 7;
	other_pd[0] = (u64)other_pt | 7;
	other_pt[20] = (u64)code[2] | 7;
	map(20, code[1], 7);
	put_return(code[1] + 128, 100);
	put_return(code[2] + 128, 200);
	for (unsigned k = 0; k < HOT; k++) {
		write_cr3(first);
		bad += call(at(20) + 128, 0) != 100;
		write_cr3((u64)pml4);
		bad += call(at(20) + 128, 0) != 200;
	}
	write_cr3(first);
	check_eq(bad, 0, "one address in two address spaces in turn");
}

void guest_main(void)
{
	build_window();
	two_pages();
	aliases();
	other_frame();
	mixed_page();
	over_the_edge(false);
	over_the_edge(true);
	crossing_rights();
	two_spaces();
}
