/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorted region vectors against a bitmap that does the same naively. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "regions.h"

#define PAGES 64u

static void to_map(const struct regions *r, uint32_t map[PAGES])
{
	memset(map, 0, PAGES * sizeof(*map));
	for (size_t i = 0; i < r->n; i++) {
		assert_true(r->v[i].start < r->v[i].end);
		assert_true(i == 0 || r->v[i - 1].end <= r->v[i].start);
		for (uint64_t p = r->v[i].start / 4096; p < r->v[i].end / 4096; p++)
			map[p] = 0x100 | r->v[i].categories;
	}
}

static void random_regions(struct regions *r, unsigned *seed)
{
	uint64_t at = 0;

	while ((at += rand_r(seed) % 5) < PAGES) {
		uint64_t end = at + 1 + rand_r(seed) % 6;

		if (end > PAGES)
			end = PAGES;
		assert_true(regions_append(r, at * 4096, end * 4096, 1u << rand_r(seed) % 3));
		at = end;
	}
}

static void test_merge_and_cut(void **state)
{
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct regions a = { 0 }, b = { 0 };
		uint32_t ma[PAGES], mb[PAGES], got[PAGES];
		uint64_t s = rand_r(&seed) % PAGES, e = s + 1 + rand_r(&seed) % (PAGES - s);

		random_regions(&a, &seed);
		random_regions(&b, &seed);
		to_map(&a, ma);
		to_map(&b, mb);
		assert_true(regions_merge(&a, &b));
		for (unsigned i = 0; i < PAGES; i++)
			ma[i] |= mb[i];
		to_map(&a, got);
		assert_memory_equal(got, ma, sizeof(ma));
		assert_true(regions_cut(&a, s * 4096, e * 4096));
		memset(&ma[s], 0, (e - s) * sizeof(*ma));
		to_map(&a, got);
		assert_memory_equal(got, ma, sizeof(ma));
		regions_free(&a);
		regions_free(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_merge_and_cut) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
