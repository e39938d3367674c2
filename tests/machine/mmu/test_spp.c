/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sub-page permissions: random stores against a map of writable bytes, and what the fast path may know of such pages. */
#include <string.h>

#include "harness.h"

#define SPPT(level) (0x18000ull + 0x1000 * (level)) /* [0] holds the vectors */
#define PAGES 2

static bool writable[PAGES * PAGE_SIZE];
static u64 seed;

static unsigned draw(unsigned n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(seed >> 33) % n;
}

static void permit(unsigned page, u32 subpages)
{
	u64 v = 0;

	for (unsigned n = 0; n < 32; n++) {
		bool on = subpages >> n & 1;

		v |= (u64)on << 2 * n;
		memset(writable + page * PAGE_SIZE + n * 128, on, 128);
	}
	phys_set(SPPT(0) + ((DATA >> 12) + page) % 512 * 8, v);
}

/* Two pages at LIN, read-only in EPT, with sub-page permissions. */
static void setup(bool ad)
{
	memset(writable, 0, sizeof(writable));
	env_reset();
	map_guest(12, PTE_P | PTE_RW, PTE_P | PTE_RW);
	phys_set(PT + 8, (DATA + PAGE_SIZE) | PTE_P | PTE_RW);
	map_ept(12, EPT_R | EPT_SPP, ad);
	phys_set(EPT_DATA + 8, phys_get(EPT_DATA) + PAGE_SIZE);
	for (unsigned level = 1; level < 4; level++)
		phys_set(SPPT(level) + (DATA >> (12 + 9 * level)) % 512 * 8, SPPT(level - 1) | 1);
	env.c.vmx.spp = true;
	env.c.vmx.spptp = SPPT(3);
	mmu_invept(&env.c, INVEPT_ALL, 0);
}

/* The first byte that the store may not write, or -1. */
static int first_denied(unsigned at, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (!writable[at + i])
			return (int)(at + i);
	return -1;
}

static void one_store(void)
{
	static const unsigned sizes[] = { 1, 2, 4, 8, 8, 8, 10, 16, 32, 64, 108, 128 };
	unsigned n = sizes[draw(sizeof(sizes) / sizeof(sizes[0]))], at = draw(PAGES * PAGE_SIZE - n);
	int denied;
	enum outcome got;

	if (draw(2))
		at = at / 128 * 128 + 128 - draw(n + 1); /* near a boundary */
	if (at + n > PAGES * PAGE_SIZE)
		return;
	denied = first_denied(at, n);
	got = try_access(ACCESS_WRITE, LIN + at, n);
	if (got != (denied < 0 ? DONE : VIOLATION))
		fail_msg("%u bytes at %x: %d, first denied %x", n, at, got, denied);
	if (denied >= 0) {
		assert_int_equal(env.ept.gpa.v, DATA + denied);
		assert_int_equal(env.ept.lin, LIN + denied);
		assert_int_equal(env.ept.access, EPT_W);
		assert_int_equal(env.ept.perms, EPT_R);
	}
}

static void random_stores(void **state)
{
	(void)state;
	for (unsigned ad = 0; ad < 2; ad++) {
		seed = 1 + ad;
		setup(ad);
		for (unsigned i = 0; i < 200000; i++) {
			if (draw(64) == 0) {
				permit(draw(PAGES), draw(2) ? (u32)draw(1u << 31) * 3 : ~(1u << draw(32)));
				mmu_invept(&env.c, INVEPT_ALL, 0);
			}
			if (draw(8) == 0)
				assert_int_equal(try_access(ACCESS_READ, LIN + draw(PAGES * PAGE_SIZE - 8), 8), DONE);
			else
				one_store();
		}
	}
}

/* What is cached is not looked up again, and is dropped with the translation that it belongs to. */
static void vectors_are_cached(void **state)
{
	u64 walks;

	(void)state;
	setup(false);
	permit(0, 3);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	walks = env.m.stat[STAT_TLB_MISSES];
	for (unsigned at = 0; at < 256; at += 8)
		assert_int_equal(try_access(ACCESS_WRITE, LIN + at, 8), DONE);
	assert_int_equal(env.m.stat[STAT_TLB_MISSES], walks);
	permit(0, 1);
	mmu_invlpg(&env.c, LIN);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE); /* the translation comes back without a vector */
	assert_int_equal(try_access(ACCESS_WRITE, LIN + 128, 8), VIOLATION);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
}

/* No fast write tag, no host pointer to write through: each store is looked at. */
static void nothing_fast(void **state)
{
	unsigned avail;
	const struct tlb_fast *t = &env.c.tlb_of[MMU_SUPER_AC][tlb_index(LIN)];

	(void)state;
	setup(false);
	permit(0, ~0u);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(t->tag_w, ~0ull);
	assert_int_not_equal(t->tag_r, ~0ull);
	assert_null(mmu_host(&env.c, NULL, LIN, ACCESS_WRITE, &avail));
	assert_non_null(mmu_host(&env.c, NULL, LIN, ACCESS_READ, &avail));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_stores),
		cmocka_unit_test(vectors_are_cached),
		cmocka_unit_test(nothing_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
