// SPDX-License-Identifier: GPL-2.0-or-later
/* Paging as the kernel uses it: accessed and dirty flags, protection, SMEP, SMAP, PCID, INVPCID. SDM 3A chapter 4. */
#include "arch/msrs.h"
#include "arch/paging.h"
#include "tests/guest/sys/expect.h"

#define WINDOW 0x10000000000ull /* 1 TiB: PML4 entry 2 */

static u64 pdpt[512] __attribute__((aligned(4096))), pd[512] __attribute__((aligned(4096))),
	pt[512] __attribute__((aligned(4096)));
static u8 page[3][4096] __attribute__((aligned(4096)));

static u64 at(unsigned i)
{
	return WINDOW + i * 4096ull;
}

/* Maps page i of the window to one of the test's pages. */
static void map(unsigned i, unsigned target, u64 flags)
{
	pt[i] = (u64)page[target] | flags;
	invlpg(at(i));
}

static void build(void)
{
	memset(pt, 0, sizeof(pt));
	pd[0] = (u64)pt | 7;
	pdpt[0] = (u64)pd | 7;
	boot_pml4[2] = (u64)pdpt | 7;
	write_cr3(read_cr3());
}

static u64 load(u64 a)
{
	try_rax = a;
	return TRY("mov (%%rax), %%rcx");
}

static u64 store(u64 a)
{
	try_rax = a;
	return TRY("movb $0x5a, (%%rax)");
}

static u64 call(u64 a)
{
	try_rax = a;
	return TRY("call *%%rax");
}

static void test_flags(void)
{
	build();
	map(0, 0, 7);
	expect(load(at(0)), NO_TRAP, 0, "read");
	check_eq(pt[0] & 0xfff, 7 | PTE_A, "a read sets A");
	check_eq(pd[0] & PTE_A, PTE_A, "… in the PDE too");
	check_eq(pdpt[0] & PTE_A, PTE_A, "… in the PDPTE");
	check_eq(boot_pml4[2] & PTE_A, PTE_A, "… in the PML4E");
	check_eq(pd[0] & PTE_D, 0, "no D in the PDE");
	expect(store(at(0)), NO_TRAP, 0, "write");
	check_eq(pt[0] & 0xfff, 7 | PTE_A | PTE_D, "a write sets D");
	pt[0] &= ~(PTE_A | PTE_D);
	invlpg(at(0));
	expect(store(at(0)), NO_TRAP, 0, "write after both were cleared");
	check_eq(pt[0] & 0xfff, 7 | PTE_A | PTE_D, "A and D at once");
	map(1, 1, 5);
	expect(store(at(1)), VEC_PF, 3, "write to a read-only page");
	check_eq(pt[1] & PTE_D, 0, "no D by a write that faults");
	check_eq(page[0][0], 0x5a, "the byte is there");
}

static void test_large(void)
{
	build();
	pd[1] = 0x87; /* 2 MiB at 0 */
	expect(store(WINDOW + 0x200000 + 0x1ff000), NO_TRAP, 0, "write to a 2 MiB page");
	check_eq(pd[1] & 0xfff, 0x87 | PTE_A | PTE_D, "A and D of a 2 MiB page");
	pd[2] = 0x87 | 1 << 13;
	tcg_differs();
	expect(load(WINDOW + 0x400000), VEC_PF, PFEC_P | PFEC_RSVD, "a reserved bit of a 2 MiB page");
	if (need_feature(0x80000001, 0, 3, 26, "1 GiB pages")) {
		pdpt[1] = 0x87;
		expect(store(WINDOW + 0x40000000 + 0x1000), NO_TRAP, 0, "write to a 1 GiB page");
		check_eq(pdpt[1] & 0xfff, 0x87 | PTE_A | PTE_D, "A and D of a 1 GiB page");
		pdpt[1] = 0;
	}
	pt[3] = (u64)page[0] | 7 | 1ull << 51;
	tcg_differs();
	expect(load(at(3)), VEC_PF, PFEC_P | PFEC_RSVD, "an address above MAXPHYADDR");
	boot_pml4[3] = 0x87;
	tcg_differs();
	expect(load(0x18000000000ull), VEC_PF, PFEC_P | PFEC_RSVD, "PS in a PML4E");
	boot_pml4[3] = 0;
}

static void test_stale(void)
{
	build();
	map(0, 0, 7);
	map(1, 1, 7);
	store(at(0));
	pt[0] &= ~PTE_RW;
	write_cr3(read_cr3());
	expect(store(at(0)), VEC_PF, 3, "MOV CR3 drops the translation");
	pt[0] |= PTE_RW;
	expect(store(at(0)), NO_TRAP, 0, "a fault drops it too");
	pt[1] = 0;
	invlpg(at(1));
	expect(load(at(1)), VEC_PF, 0, "INVLPG of an unmapped page");
}

static void test_wp(void)
{
	build();
	map(0, 0, 5);
	write_cr0(read_cr0() & ~CR0_WP);
	expect(store(at(0)), NO_TRAP, 0, "WP = 0 lets the supervisor write");
	write_cr0(read_cr0() | CR0_WP);
	expect(store(at(0)), VEC_PF, 3, "WP = 1 does not");
}

static void test_nx(void)
{
	build();
	page[0][0] = 0xc3;
	map(0, 0, 3);
	expect(call(at(0)), NO_TRAP, 0, "execute");
	map(0, 0, 3 | PTE_NX);
	expect(call(at(0)), VEC_PF, PFEC_P | PFEC_I, "execute with NX");
	expect(load(at(0)), NO_TRAP, 0, "read with NX");
	wrmsr(IA32_EFER, rdmsr(IA32_EFER) & ~EFER_NXE);
	map(0, 0, 3 | PTE_NX); /* and flush: WRMSR need not */
	tcg_differs();
	expect(load(at(0)), VEC_PF, PFEC_P | PFEC_RSVD, "NX is reserved with NXE = 0");
	wrmsr(IA32_EFER, rdmsr(IA32_EFER) | EFER_NXE);
}

static void test_smep(void)
{
	if (!need_feature(7, 0, 1, 7, "SMEP"))
		return;
	build();
	page[0][0] = 0xc3;
	map(0, 0, 7);
	expect(call(at(0)), NO_TRAP, 0, "the supervisor executes a user page");
	write_cr4(read_cr4() | CR4_SMEP);
	expect(call(at(0)), VEC_PF, PFEC_P | PFEC_I, "not with SMEP");
	expect(load(at(0)), NO_TRAP, 0, "SMEP lets it read");
	write_cr4(read_cr4() & ~CR4_SMEP);
	expect(call(at(0)), NO_TRAP, 0, "SMEP off again");
}

static void test_smap(void)
{
	if (!need_feature(7, 0, 1, 20, "SMAP"))
		return;
	build();
	map(0, 0, 7);
	map(1, 1, 3);
	write_cr4(read_cr4() | CR4_SMAP);
	expect(load(at(0)), VEC_PF, PFEC_P, "SMAP: read");
	expect(store(at(0)), VEC_PF, PFEC_P | PFEC_W, "SMAP: write");
	expect(store(at(1)), NO_TRAP, 0, "SMAP: a supervisor page");
	try_rax = at(0);
	expect(TRY("stac; movb $1, (%%rax)"), NO_TRAP, 0, "STAC allows");
	try_rax = at(0);
	expect(TRY("stac; movb $1, (%%rax); clac; movb $1, (%%rax)"), VEC_PF, PFEC_P | PFEC_W, "CLAC forbids");
	TRY("stac; clac; pushfq; pop %%rax");
	check_eq(try_rax & EFLAGS_AC, 0, "CLAC clears AC");
	TRY("stac; pushfq; pop %%rax; clac");
	check_eq(try_rax & EFLAGS_AC, EFLAGS_AC, "STAC sets AC");
	write_cr4(read_cr4() & ~CR4_SMAP);
}

static void invpcid(u64 type, u64 pcid, u64 lin)
{
	struct { u64 pcid, lin; } d = { pcid, lin };

	__asm__ volatile("invpcid %0, %1" : : "m"(d), "r"(type) : "memory");
}

static u64 try_invpcid(u64 type, u64 pcid, u64 lin)
{
	static u64 d[2];

	d[0] = pcid, d[1] = lin;
	try_rax = type, try_rcx = (u64)d;
	return TRY("invpcid (%%rcx), %%rax");
}

/*
 * Whether a translation survives can differ between CPUs: only what must be gone, and what must be right, is checked.
 */
static void test_pcid(void)
{
	u64 cr3 = read_cr3();

	if (!need_feature(1, 0, 2, 17, "PCID"))
		return;
	build();
	map(0, 0, 7);
	try_rax = cr3 | 5;
	expect(TRY("mov %%rax, %%cr3; mov %%cr4, %%rcx; bts $17, %%rcx; mov %%rcx, %%cr4"), VEC_GP, 0,
	       "PCIDE with a PCID in CR3");
	write_cr3(cr3);
	write_cr4(read_cr4() | CR4_PCIDE);
	write_cr3(cr3 | 1);
	check_eq(read_cr3(), cr3 | 1, "CR3 keeps the PCID");
	load(at(0));
	write_cr3(cr3 | 2 | CR3_KEEP_TLB);
	check_eq(read_cr3(), cr3 | 2, "bit 63 reads as 0");
	expect(load(at(0)), NO_TRAP, 0, "read with PCID 2");
	pt[0] = 0;
	if (need_feature(7, 0, 1, 10, "INVPCID")) {
		invpcid(0, 1, at(0));
		invpcid(0, 2, at(0));
		expect(load(at(0)), VEC_PF, 0, "INVPCID of the address");
		write_cr3(cr3 | 1 | CR3_KEEP_TLB);
		expect(load(at(0)), VEC_PF, 0, "… in the other PCID");
		expect(try_invpcid(4, 0, 0), VEC_GP, 0, "INVPCID of type 4");
		expect(try_invpcid(0, 0x1000, 0), VEC_GP, 0, "INVPCID with a PCID above 4095");
		expect(try_invpcid(0, 0, 0x8000000000000000ull), VEC_GP, 0, "INVPCID with a non-canonical address");
		expect(try_invpcid(1, 2, 0), NO_TRAP, 0, "INVPCID of a context");
		expect(try_invpcid(2, 0, 0), NO_TRAP, 0, "INVPCID of all");
		expect(try_invpcid(3, 0, 0), NO_TRAP, 0, "INVPCID of all but global");
	}
	expect(TRY("mov %%cr0, %%rax; btr $31, %%rax; mov %%rax, %%cr0"), VEC_GP, 0, "PG = 0 in 64-bit mode");
	write_cr3(cr3);
	write_cr4(read_cr4() & ~CR4_PCIDE);
}

static void test_global(void)
{
	build();
	write_cr4(read_cr4() | CR4_PGE);
	map(0, 0, 7 | PTE_G);
	load(at(0));
	pt[0] = 0;
	invlpg(at(0));
	expect(load(at(0)), VEC_PF, 0, "INVLPG drops a global page");
	map(0, 0, 7 | PTE_G);
	load(at(0));
	pt[0] = 0;
	write_cr4(read_cr4() & ~CR4_PGE);
	expect(load(at(0)), VEC_PF, 0, "clearing PGE drops global pages");
}

static void test_crossing(void)
{
	build();
	map(0, 0, 7);
	expect(load(at(1) - 4), VEC_PF, 0, "a read over the end of what is mapped");
	check_eq(trap.cr2, at(1), "CR2 is the second page");
	map(1, 1, 7);
	page[0][4095] = 0x11, page[1][0] = 0x22;
	try_rax = at(1) - 1;
	TRY("movzwl (%%rax), %%ecx");
	check_eq(try_rcx, 0x2211, "two pages");
	map(1, 1, 5);
	try_rax = at(1) - 1;
	expect(TRY("movw $0x3333, (%%rax)"), VEC_PF, 3, "a write into a second page that is read-only");
	check_eq(page[0][4095], 0x11, "… writes nothing");
}

void guest_main(void)
{
	test_flags();
	test_large();
	test_stale();
	test_wp();
	test_nx();
	test_smep();
	test_smap();
	test_pcid();
	test_global();
	test_crossing();
}
