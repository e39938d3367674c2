/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random changes of page tables and EPT, with and without the flushes that the manual asks for. Where everything that
 * changed has been flushed, a translation must be what the tables in memory say; where not, anything cached may still
 * be used.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define RW (PTE_P | PTE_RW | PTE_A | PTE_D)
#define PCIDS 3
#define PAGES 48            /* in each space: at SMALL, in the span of the large page, and global ones at SHARED */
#define GPAS 32             /* guest-physical pages from GPA on, mapped to frames from POOL on */
#define FRAMES 40
#define SMALL  (1ull << 39)
#define LARGE  (SMALL + (1ull << 21))
#define SHARED (SMALL + (1ull << 30))
#define GPA  0x800000ull
#define POOL 0xc00000ull
#define BIG  0x1000000ull   /* guest-physical address of the 2 MiB pages: two of them, one to one */
#define TABLES 0x40000ull   /* of address space n: at TABLES + n * 0x10000 */
#define SHARED_PD 0x20000ull
#define SHARED_PT 0x21000ull

static u64 seed;
static bool stale[PCIDS][PAGES], stale_ept[GPAS];
static unsigned here; /* address space */

static u32 rnd(u32 n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (u32)(seed >> 24) % n;
}

static u64 table(unsigned space, unsigned level)
{
	return TABLES + space * 0x10000 + level * PAGE_SIZE;
}

/* Pages 0..15 are small, 16..31 in the large page's span, 32..47 shared and global. */
static u64 lin_of(unsigned page)
{
	u64 off = (page % 16) * PAGE_SIZE;

	return page < 16 ? SMALL + off : page < 32 ? LARGE + off : SHARED + off;
}

static u64 random_pte(void)
{
	return rnd(6) ? (GPA + rnd(GPAS) * PAGE_SIZE) | RW : 0;
}

static void change_page(unsigned space, unsigned page)
{
	unsigned i = page % 16;

	if (page < 16) {
		phys_set(table(space, 1) + i * 8, random_pte());
		stale[space][page] = true;
	} else if (page < 32) { /* the PDE: a large page, another one, or a page table with a new entry */
		u64 pde = rnd(2) ? (BIG + (u64)rnd(2) * (1ull << 21)) | RW | PTE_PS : table(space, 5) | RW;

		phys_set(table(space, 5) + i * 8, random_pte());
		phys_set(table(space, 2) + 8, pde);
		for (unsigned p = 16; p < 32; p++)
			stale[space][p] = true;
	} else {
		phys_set(SHARED_PT + i * 8, random_pte() | PTE_G);
		for (unsigned s = 0; s < PCIDS; s++)
			stale[s][page] = true;
	}
}

static void change_ept(unsigned g)
{
	u64 leaf = rnd(8) ? (POOL + rnd(FRAMES) * PAGE_SIZE) | 6 << EPT_MT_SHIFT | EPT_RWX : 0;

	phys_set(0x22000 + g * 8, leaf);
	stale_ept[g] = true;
}

static void clear_space(unsigned space, bool globals)
{
	memset(stale[space], 0, 32);
	if (globals)
		for (unsigned s = 0; s < PCIDS; s++)
			memset(stale[s] + 32, 0, 16);
}

static void clear_all(bool globals)
{
	for (unsigned s = 0; s < PCIDS; s++)
		clear_space(s, globals);
}

static void enter_space(unsigned space, bool keep)
{
	here = space;
	env.c.cr3 = table(space, 4) | (space + 1);
	mmu_cr3_written(&env.c, keep);
	if (!keep)
		clear_space(space, false);
}

static void invlpg(unsigned page)
{
	mmu_invlpg(&env.c, lin_of(page));
	for (unsigned s = 0; s < PCIDS; s++)
		if (s == here || page >= 32)
			stale[s][page] = false;
}

static void flush_some(void)
{
	unsigned page = rnd(PAGES), space = rnd(PCIDS), kind = rnd(12);

	if (kind < 4)
		invlpg(page);
	else if (kind < 6)
		enter_space(space, kind == 4);
	else if (kind == 6 && page < 32) {
		mmu_invpcid(&env.c, 0, (u16)(space + 1), lin_of(page));
		stale[space][page] = false;
	} else if (kind == 7) {
		mmu_invpcid(&env.c, 1, (u16)(space + 1), 0);
		clear_space(space, false);
	} else if (kind == 8) {
		mmu_invpcid(&env.c, rnd(2) ? 2 : 3, 0, 0);
		clear_all(false);
	} else if (kind == 9) {
		mmu_flush_all(&env.c);
		clear_all(true);
	} else if (kind == 10) {
		mmu_invvpid(&env.c, INVVPID_ADDRESS, 1, lin_of(page));
		for (unsigned s = 0; s < PCIDS; s++)
			stale[s][page] = false;
	} else if (kind == 11) {
		mmu_invept(&env.c, rnd(2) ? INVEPT_ALL : INVEPT_SINGLE, env.c.vmx.eptp);
		clear_all(true);
		memset(stale_ept, 0, sizeof(stale_ept));
	}
}

static bool may_be_stale(unsigned page, bool mapped, u64 gpa)
{
	if (stale[here][page])
		return true;
	return mapped && gpa >= GPA && gpa < GPA + GPAS * PAGE_SIZE && stale_ept[(gpa - GPA) >> PAGE_SHIFT];
}

static unsigned checked;

static void check_page(unsigned page)
{
	u64 lin = lin_of(page), value = 0;
	hpa_t gpa = { 0 }, hpa = { 0 };
	bool mapped = mmu_peek(&env.m, env.c.cr3, 4, 0, lin, &gpa, NULL);
	bool backed = mapped && mmu_peek(&env.m, env.c.cr3, 4, env.c.vmx.eptp, lin, &hpa, NULL);
	enum outcome want = backed ? DONE : mapped ? VIOLATION : FAULT, got;

	got = rnd(3) ? try_access(ACCESS_READ, lin, 8) : try_system(ACCESS_READ, lin);
	if (got == DONE)
		value = mmu_ld(&env.c, NULL, lin, 8);
	if (may_be_stale(page, mapped, gpa.v))
		return;
	checked++;
	if (got != want || (got == DONE && value != hpa.v >> PAGE_SHIFT))
		fail_msg("page %u of space %u: got %d value %llx, want %d %llx", page, here, got,
			 (unsigned long long)value, want, (unsigned long long)hpa.v >> PAGE_SHIFT);
}

static void number_frames(u64 from, u64 n)
{
	for (u64 f = from >> PAGE_SHIFT; f < (from >> PAGE_SHIFT) + n; f++)
		phys_set(f << PAGE_SHIFT, f);
}

static void build(void)
{
	env_reset();
	memset(env.m.bus.ram + 0x20000, 0, 0x60000);
	map_guest(12, RW, RW);
	map_ept(12, EPT_RWX, true);
	env.c.cr4 |= CR4_PCIDE | CR4_PGE;
	number_frames(POOL, FRAMES);
	number_frames(BIG, 1024);
	phys_set(EPD + 4 * 8, 0x22000 | EPT_RWX);             /* GPA: 4 KiB leaves */
	for (u64 i = 0; i < 2; i++)                           /* BIG: large leaves */
		phys_set(EPD + (8 + i) * 8, (BIG + (i << 21)) | 6 << EPT_MT_SHIFT | EPT_RWX | EPT_PS);
	for (unsigned i = 0; i < 16; i++)
		phys_set(SHARED_PT + i * 8, random_pte() | PTE_G);
	phys_set(SHARED_PD, SHARED_PT | RW);
	for (unsigned s = 0; s < PCIDS; s++) {
		phys_set(table(s, 4) + 8, table(s, 3) | RW);
		phys_set(table(s, 3), table(s, 2) | RW);
		phys_set(table(s, 3) + 8, SHARED_PD | RW);
		phys_set(table(s, 2), table(s, 1) | RW);
		for (unsigned p = 0; p < 32; p++)
			change_page(s, p);
	}
	/* the guest's tables lie below 2 MiB: one to one */
	for (unsigned g = 0; g < GPAS; g++)
		change_ept(g);
	memset(stale, 0, sizeof(stale));
	memset(stale_ept, 0, sizeof(stale_ept));
	enter_space(0, false);
}

static void translations(void **state)
{
	(void)state;
	seed = 88172645463325252ull;
	build();
	checked = 0;
	for (unsigned n = 0; n < 400000; n++) {
		u32 kind = rnd(16);

		if (kind == 0)
			change_page(rnd(PCIDS), rnd(PAGES));
		else if (kind == 1)
			change_ept(rnd(GPAS));
		else if (kind < 5)
			flush_some();
		else
			check_page(rnd(PAGES));
	}
	assert_true(checked > 50000); /* most of the time little is stale */
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(translations) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
