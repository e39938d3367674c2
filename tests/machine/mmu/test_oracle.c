/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The oracle's sets, against what a test did and against a plain model. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#define RW (PTE_P | PTE_RW)
#define ALIAS (2ull << 39) /* a second view: all RAM, one to one, in 2 MiB pages (a kernel's direct map) */
#define ALIAS_PDPT 0x5000ull
#define ALIAS_PD   0x6000ull
#define OTHER_CR3  0x7000ull /* another address space with the same tables below its root */
#define END (1ull << 40)

static int id;

static void make_alias(u64 root)
{
	phys_set(root + 16, ALIAS_PDPT | RW);
	phys_set(ALIAS_PDPT, ALIAS_PD | RW);
	for (u64 i = 0; i < RAM_BYTES >> 21; i++)
		phys_set(ALIAS_PD + i * 8, i << 21 | RW | PTE_PS);
}

/* Eight pages from LIN on, of frames from DATA on. */
static void start(void)
{
	env_reset();
	map_guest(12, RW, RW);
	for (u64 i = 0; i < 8; i++)
		phys_set(PT + i * 8, (DATA + i * PAGE_SIZE) | RW);
	make_alias(PML4);
	phys_set(OTHER_CR3 + 8, PDPT | RW);
	make_alias(OTHER_CR3);
	id = oracle_watch(&env.m, PML4, LIN, END);
	assert_true(id >= 0);
}

static u64 page(unsigned i)
{
	return LIN + i * PAGE_SIZE;
}

static void write_at(u64 lin)
{
	assert_int_equal(try_access(ACCESS_WRITE, lin, 8), DONE);
}

static void switch_to(u64 cr3)
{
	env.c.cr3 = cr3;
	mmu_cr3_written(&env.c, false);
}

/* Closes the round and compares: a bit for each of the 64 pages from LIN on. */
static void expect(u64 want)
{
	u64 out[64], got = 0, n = oracle_round(&env.m, id);

	assert_true(n <= 64);
	assert_int_equal(oracle_read(&env.m, id, 0, out, 64), n);
	for (u64 i = 0; i < n; i++) {
		if (i)
			assert_true(out[i] > out[i - 1]);
		got |= 1ull << ((out[i] - LIN) >> PAGE_SHIFT);
	}
	assert_int_equal(got, want);
}

static void rounds(void **state)
{
	(void)state;
	start();
	expect(0);
	write_at(page(2));
	write_at(page(2) + 8);
	write_at(page(0));
	assert_int_equal(try_access(ACCESS_READ, page(1), 8), DONE);
	expect(0x5);
	expect(0);
	write_at(page(2));
	expect(0x4);
	write_at(page(3) - 4); /* crosses */
	expect(0xc);
	assert_int_equal(try_system(ACCESS_WRITE, page(1)), DONE);
	(void)mmu_ld_rmw(&env.c, NULL, page(4), 8);
	expect(0x2);
}

/* REP STOS and MOVS write through a host pointer and tell so afterwards. */
static void string_stores(void **state)
{
	unsigned avail;
	u8 *p;

	(void)state;
	start();
	p = mmu_host(&env.c, NULL, page(3), ACCESS_WRITE, &avail);
	expect(0);
	mmu_host_wrote(&env.c, NULL, page(3), p, avail);
	p = mmu_host(&env.c, NULL, ALIAS + PT, ACCESS_WRITE, &avail);
	memset(p, 0, avail);
	mmu_host_wrote(&env.c, NULL, ALIAS + PT, p, avail);
	write_at(ALIAS + DATA); /* no longer mapped */
	expect(0x8);
}

static void partial_reads(void **state)
{
	u64 out[2];

	(void)state;
	start();
	for (unsigned i = 0; i < 5; i++)
		write_at(page(i));
	assert_int_equal(oracle_round(&env.m, id), 5);
	write_at(page(7)); /* of the next round: the frozen set stays */
	assert_int_equal(oracle_read(&env.m, id, 3, out, 2), 2);
	assert_int_equal(out[0], page(3));
	assert_int_equal(oracle_read(&env.m, id, 4, out, 2), 1);
	assert_int_equal(oracle_read(&env.m, id, 5, out, 2), 0);
	expect(0x80);
}

/* Rule (b): through another address, from another address space, by a device. */
static void aliases(void **state)
{
	u8 bytes[16] = { 1 };

	(void)state;
	start();
	write_at(ALIAS + DATA + 3 * PAGE_SIZE + 16);
	expect(0x8);
	switch_to(OTHER_CR3);
	write_at(ALIAS + DATA + 5 * PAGE_SIZE);
	write_at(page(1));
	write_at(page(1));
	expect(0x22);
	assert_true(bus_dma_write(&env.m, (hpa_t){ DATA + 2 * PAGE_SIZE - 8 }, bytes, 16));
	expect(0x6);
	write_at(ALIAS + 0x900000);
	expect(0);
}

/* A frame mapped to two pages: both are written. */
static void shared_frame(void **state)
{
	(void)state;
	start();
	phys_set(PT + 8 * 8, DATA | RW);
	oracle_unwatch(&env.m, id);
	id = oracle_watch(&env.m, PML4, LIN, END);
	write_at(page(0));
	expect(0x101);
	write_at(page(8));
	expect(0x101);
}

/* The guest changes its tables through its direct map; the oracle follows at once. */
static void set_pte(unsigned i, u64 v)
{
	st64(&env.c, NULL, ALIAS + PT + i * 8, v);
}

static void mapped_later(void **state)
{
	(void)state;
	start();
	set_pte(10, 0x900000 | RW);
	expect(0);
	write_at(ALIAS + 0x900000); /* page 10 was never touched through its own address */
	expect(0x400);
	write_at(ALIAS + 0x900000);
	set_pte(10, 0);
	expect(0x400);
	write_at(ALIAS + 0x900000); /* no longer mapped */
	expect(0);
	set_pte(10, 0xa00000 | RW);
	write_at(ALIAS + 0x900000);
	expect(0);
	write_at(ALIAS + 0xa00000);
	expect(0x400);
}

/* Two frames in one round: a store to either counts, one to the first after it was taken away does not. */
static void remapped_in_a_round(void **state)
{
	(void)state;
	start();
	set_pte(0, 0x900000 | RW);
	write_at(ALIAS + DATA);
	expect(0);
	write_at(ALIAS + 0x900000);
	set_pte(0, DATA | RW);
	expect(0x1);
	write_at(ALIAS + DATA + 8);
	expect(0x1);
}

/* A stale translation: the store goes to the old frame, and the page is written all the same (rule (a)). */
static void stale_translation(void **state)
{
	(void)state;
	start();
	assert_int_equal(try_access(ACCESS_WRITE, page(0), 8), DONE);
	expect(0x1);
	set_pte(0, 0x900000 | RW);
	write_at(page(0));
	expect(0x1);
	assert_int_equal(try_access(ACCESS_READ, page(0), 8), DONE); /* must not make the fast path writable */
	write_at(page(0));
	expect(0x1);
	set_pte(0, 0);
	write_at(page(0));
	expect(0x1);
}

/* A frame that the guest was already writing fast when it became mapped: zeroed pages, for one. */
static void mapped_while_hot(void **state)
{
	(void)state;
	start();
	write_at(ALIAS + 0x900000);
	write_at(ALIAS + 0x900000);
	set_pte(10, 0x900000 | RW);
	write_at(ALIAS + 0x900000);
	expect(0x400);
}

/* Upper tables come and go. */
static void tables_change(void **state)
{
	(void)state;
	start();
	memset(env.m.bus.ram + 0x8000, 0, PAGE_SIZE);
	phys_set(0x8000 + 3 * 8, 0x900000 | RW);
	st64(&env.c, NULL, ALIAS + PD + 16, 0x8000 | RW); /* another page table */
	mmu_flush_all(&env.c);
	write_at(ALIAS + DATA);
	expect(0);
	write_at(page(3));
	expect(0x8);
	st64(&env.c, NULL, ALIAS + 0x8000 + 4 * 8, 0xa00000 | RW);
	write_at(ALIAS + 0xa00000);
	expect(0x10);
	st64(&env.c, NULL, ALIAS + PD + 16, 0xc00000 | RW | PTE_PS); /* a large page in its stead */
	write_at(ALIAS + 0xc05000);
	expect(0x20);
	st64(&env.c, NULL, ALIAS + PD + 16, 0);
	write_at(ALIAS + 0xc05000);
	expect(0);
	st64(&env.c, NULL, ALIAS + PML4 + 8, 0);
	st64(&env.c, NULL, ALIAS + PD + 16, PT | RW);
	write_at(ALIAS + DATA);
	expect(0);
	st64(&env.c, NULL, ALIAS + PML4 + 8, PDPT | RW);
	write_at(ALIAS + DATA);
	expect(0x1);
}

static void holding(void **state)
{
	(void)state;
	start();
	write_at(page(1));
	assert_true(oracle_hold(&env.m, id, true));
	write_at(page(0));
	write_at(page(1));
	write_at(ALIAS + DATA + 2 * PAGE_SIZE);
	set_pte(9, 0x900000 | RW); /* mappings are followed meanwhile */
	assert_true(oracle_hold(&env.m, id, false));
	write_at(page(2) + 8);
	write_at(ALIAS + 0x900000);
	expect(0x206);
}

static void ranges_and_watches(void **state)
{
	int two;
	u64 out[4];

	(void)state;
	start();
	two = oracle_watch(&env.m, PML4 | 0x5, page(1), page(3));
	assert_true(two >= 0 && two != id);
	for (unsigned i = 0; i < 5; i++)
		write_at(page(i));
	assert_int_equal(oracle_round(&env.m, two), 2);
	assert_int_equal(oracle_read(&env.m, two, 0, out, 4), 2);
	assert_int_equal(out[0], page(1));
	assert_int_equal(out[1], page(2));
	write_at(page(1)); /* gated again for the one, already seen by the other */
	assert_int_equal(oracle_round(&env.m, two), 1);
	expect(0x1f);
	assert_true(oracle_unwatch(&env.m, two));
	assert_false(oracle_unwatch(&env.m, two));
	write_at(page(6));
	expect(0x40);
	assert_true(oracle_unwatch(&env.m, id));
	for (u64 f = 0; f < RAM_BYTES >> PAGE_SHIFT; f++)
		assert_int_equal(env.m.bus.frame_flags[f], 0);
	assert_int_equal(oracle_round(&env.m, id), 0);
	assert_int_equal(oracle_watch(&env.m, PML4, END, END), -1);
}

/* The upper half of the address space, to its last page. */
static void upper_half(void **state)
{
	u64 out[4], last = ~0ull << PAGE_SHIFT;
	int high;

	(void)state;
	start();
	memset(env.m.bus.ram + 0x8000, 0, 3 * PAGE_SIZE);
	phys_set(PML4 + 511 * 8, 0x8000 | RW);
	phys_set(0x8000 + 511 * 8, 0x9000 | RW);
	phys_set(0x9000 + 511 * 8, 0xa000 | RW);
	phys_set(0xa000 + 511 * 8, 0x900000 | RW);
	high = oracle_watch(&env.m, PML4, 1ull << 47, ~0ull);
	write_at(ALIAS + 0x900000);
	assert_int_equal(oracle_round(&env.m, high), 1);
	assert_int_equal(oracle_read(&env.m, high, 0, out, 4), 1);
	assert_int_equal(out[0], last);
	write_at(last);
	assert_int_equal(oracle_round(&env.m, high), 1);
	st64(&env.c, NULL, ALIAS + PML4 + 511 * 8, 0);
	write_at(ALIAS + 0x900000);
	assert_int_equal(oracle_round(&env.m, high), 0);
}

static void snapshots(void **state)
{
	static struct snap sn;
	u64 out[4];

	(void)state;
	start();
	write_at(page(4));
	assert_int_equal(oracle_round(&env.m, id), 1);
	write_at(page(1));
	sn.used = 0;
	sn.restoring = false;
	oracle_snap(&env.m, &sn);
	write_at(page(2));
	expect(0x6);
	sn.restoring = true;
	sn.at = 0;
	oracle_snap(&env.m, &sn);
	mmu_snap(&env.c, &sn);
	assert_int_equal(sn.at, sn.used);
	assert_int_equal(oracle_read(&env.m, id, 0, out, 4), 1);
	assert_int_equal(out[0], page(4));
	write_at(ALIAS + DATA + 3 * PAGE_SIZE);
	expect(0xa);
}

/* The walker's flag updates are no stores. */
static void walker_is_no_store(void **state)
{
	(void)state;
	start();
	oracle_unwatch(&env.m, id);
	phys_set(PT + 8 * 8, PT | RW); /* the page table is mapped to page 8 */
	id = oracle_watch(&env.m, PML4, LIN, END);
	write_at(page(3));
	assert_true(phys_get(PT + 24) & PTE_D);
	expect(0x8);
	write_at(page(8) + 0x800);
	expect(0x100);
}

/* Random work: stores by all routes, table changes, rounds; a model that looks everything up at each store. */
struct act {
	u8 kind, page, frame;
};

static u64 rnd_state;

static u32 rnd(u32 n)
{
	rnd_state ^= rnd_state << 13;
	rnd_state ^= rnd_state >> 7;
	rnd_state ^= rnd_state << 17;
	return (u32)(rnd_state >> 20) % n;
}

static u64 frame_address(unsigned f)
{
	return 0x800000 + f * PAGE_SIZE;
}

static u64 model_written;

static void model_frame(u64 phys)
{
	for (unsigned i = 0; i < 64; i++)
		if ((phys_get(PT + i * 8) & PTE_P) && (phys_get(PT + i * 8) & PTE_ADDRESS) == phys)
			model_written |= 1ull << i;
}

static void act(const struct act *a)
{
	u64 phys = frame_address(a->frame), now = phys_get(PT + a->page * 8);
	u8 byte = 1;

	switch (a->kind) {
	case 0: case 1: case 2: /* through the page's own address, in this or the other address space */
		if (!(now & PTE_P))
			return;
		model_frame(now & PTE_ADDRESS);
		write_at(page(a->page));
		return;
	case 3:
		model_frame(phys);
		write_at(ALIAS + phys + 8);
		return;
	case 4:
		model_frame(phys);
		assert_true(bus_dma_write(&env.m, (hpa_t){ phys }, &byte, 1));
		return;
	case 5:
		set_pte(a->page, phys | RW);
		mmu_invlpg(&env.c, page(a->page));
		return;
	case 6:
		set_pte(a->page, 0);
		mmu_invlpg(&env.c, page(a->page));
		return;
	default:
		switch_to(env.c.cr3 == PML4 ? OTHER_CR3 : PML4);
	}
}

static void random_work(void **state)
{
	(void)state;
	start();
	rnd_state = 20240607;
	model_written = 0;
	for (unsigned n = 0; n < 300000; n++) {
		const struct act a = { (u8)rnd(8), (u8)rnd(64), (u8)rnd(48) };

		act(&a);
		if (rnd(40) == 0) {
			expect(model_written);
			model_written = 0;
		}
	}
}

/* Not a cycle, not an event more or less with watches than without. */
static void costs_nothing(void **state)
{
	s64 spent[2];
	u64 stat[2][STAT_COUNT];

	(void)state;
	for (unsigned watched = 0; watched < 2; watched++) {
		start();
		if (!watched)
			oracle_unwatch(&env.m, id);
		memset(env.m.stat, 0, sizeof(env.m.stat));
		env.c.budget = 0;
		rnd_state = 4711;
		for (unsigned n = 0; n < 50000; n++) {
			const struct act a = { (u8)rnd(8), (u8)rnd(64), (u8)rnd(48) };

			act(&a);
			if (watched && n % 50 == 0)
				oracle_round(&env.m, id);
		}
		spent[watched] = env.c.budget;
		memcpy(stat[watched], env.m.stat, sizeof(env.m.stat));
	}
	assert_int_equal(spent[0], spent[1]);
	assert_memory_equal(stat[0], stat[1], sizeof(stat[0]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rounds),
		cmocka_unit_test(string_stores),
		cmocka_unit_test(partial_reads),
		cmocka_unit_test(aliases),
		cmocka_unit_test(shared_frame),
		cmocka_unit_test(mapped_later),
		cmocka_unit_test(mapped_while_hot),
		cmocka_unit_test(remapped_in_a_round),
		cmocka_unit_test(stale_translation),
		cmocka_unit_test(tables_change),
		cmocka_unit_test(holding),
		cmocka_unit_test(ranges_and_watches),
		cmocka_unit_test(snapshots),
		cmocka_unit_test(upper_half),
		cmocka_unit_test(walker_is_no_store),
		cmocka_unit_test(random_work),
		cmocka_unit_test(costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
