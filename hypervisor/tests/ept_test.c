// SPDX-License-Identifier: GPL-2.0-only
/*
 * core/ept.c against a model that looks at one page at a time: random MTRRs, RAM and hidden blocks; then random
 * arming. Physical memory is a buffer in which only the pool's pages are touched. The seed is an argument: a failure
 * can be repeated.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "arch/msrs.h"
#include "arch/paging.h"
#include "core/ept.h"

#define SPAN        (8ull << 30)
#define POOL_AT     (64ull << 20)
#define POOL_PAGES  6000
#define BLOCK_COUNT (POOL_PAGES / 512 + 1)

static uint64_t seed = 1;
static struct hv hv;

static uint64_t draw(uint64_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % below;
}

/* ---- the model ---- */

static int model_variable(uint64_t page)
{
	int found[8] = { 0 }, count = 0, type = 0;

	for (uint32_t i = 0; i < hv.nr_mtrrs; i++)
		if ((page & hv.mtrrs[i].mask) == (hv.mtrrs[i].base & hv.mtrrs[i].mask))
			found[hv.mtrrs[i].type] = 1;
	for (int t = 0; t < 8; t++)
		if (found[t]) {
			count++;
			type = t;
		}
	if (count == 0)
		return hv.mtrr_default;
	if (count == 1)
		return type;
	if (count == 2 && found[MEMTYPE_WT] && found[MEMTYPE_WB])
		return MEMTYPE_WT;
	return MEMTYPE_UC;
}

static int model_type(uint64_t page)
{
	if (!hv.mtrr_enabled) {
		for (uint32_t i = 0; i < hv.nr_ram; i++)
			if (page >= hv.ram[i].start && page < hv.ram[i].end)
				return MEMTYPE_WB;
		return MEMTYPE_UC;
	}
	if (hv.mtrr_fixed && page < 1 << 20)
		return hv.mtrr_fixed_type[page >> 12];
	return model_variable(page);
}

static int model_hidden(uint64_t page)
{
	for (uint32_t i = 0; i < hv.nr_blocks; i++)
		if (page - hv.blocks[i] < HV_BLOCK_SIZE)
			return 1;
	return 0;
}

/* ---- a machine ---- */

static const uint8_t types[] = { MEMTYPE_UC, MEMTYPE_WC, MEMTYPE_WT, MEMTYPE_WP, MEMTYPE_WB };

static void random_mtrrs(void)
{
	hv.mtrr_enabled = draw(4) != 0;
	hv.mtrr_default = types[draw(5)];
	hv.mtrr_fixed = draw(2);
	for (int i = 0; i < 256; i++)
		hv.mtrr_fixed_type[i] = types[draw(5)];
	hv.nr_mtrrs = draw(6);
	for (uint32_t i = 0; i < hv.nr_mtrrs; i++) {
		uint64_t size = 1ull << (12 + draw(21)), mask = (hv.phys_limit - 1) & ~(size - 1);

		if (draw(4) == 0)
			mask &= ~(1ull << (12 + draw(22))); /* a mask with a hole: the range comes twice */
		hv.mtrrs[i] = (struct hv_mtrr){ draw(SPAN >> 12) << 12 & mask, mask, types[draw(5)] };
	}
}

static void make_hole(void)
{
	uint64_t *table;

	hv.hole_page = hv_page_alloc(&hv, true);
	hv.hole_table = hv_page_alloc(&hv, true);
	table = hv_virt(&hv, hv.hole_table);
	for (int i = 0; i < 512; i++)
		table[i] = hv.hole_page | EPT_R | EPT_A;
}

static void make_machine(void)
{
	static void *memory;

	if (!memory)
		memory = mmap(NULL, SPAN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	memset(&hv, 0, sizeof(hv));
	hv.direct_base = (uintptr_t)memory;
	hv.phys_limit = 1ull << 39;
	hv.has_1g = draw(2);
	hv.ram[hv.nr_ram++] = (struct hv_range){ 0x1000, 0x9f000 };
	hv.ram[hv.nr_ram++] = (struct hv_range){ 1 << 20, (2ull << 30) + (draw(512) << 12) };
	hv.ram[hv.nr_ram++] = (struct hv_range){ 4ull << 30, SPAN };
	while (hv.nr_blocks < BLOCK_COUNT) {
		hv.blocks[hv.nr_blocks] = POOL_AT + hv.nr_blocks * HV_BLOCK_SIZE;
		hv.nr_blocks++;
	}
	for (uint64_t i = 0; i < POOL_PAGES; i++)
		hv_page_free(&hv, POOL_AT + i * HV_PAGE_SIZE);
	random_mtrrs();
	make_hole();
	hv.eptp = hv_page_alloc(&hv, true) | MEMTYPE_WB | EPTP_WALK_4 | EPTP_AD;
}

static void map_all(void)
{
	uint64_t gpa = 0, size;

	for (; gpa < SPAN; gpa += size) {
		size = hv_ept_map(&hv, gpa);
		assert_true(size && gpa % size == 0);
	}
}

/* The page size of a leaf at gpa, found by walking here. */
static uint64_t leaf_size(uint64_t gpa)
{
	uint64_t *table = hv_virt(&hv, hv.eptp & EPT_ADDRESS);

	for (int level = 4; level > 1; level--) {
		uint64_t entry = table[gpa >> (12 + 9 * (level - 1)) & 511];

		if (entry & EPT_PS)
			return 1ull << (12 + 9 * (level - 1));
		table = hv_virt(&hv, entry & EPT_ADDRESS);
	}
	return 4096;
}

static void check_page(uint64_t page, int dirty)
{
	uint64_t entry = *hv_ept_leaf(&hv, page), size = leaf_size(page);

	if (model_hidden(page)) {
		assert_int_equal(entry & EPT_RWX, EPT_R);
		assert_int_equal(entry & EPT_ADDRESS, hv.hole_page);
		return;
	}
	assert_int_equal(entry & EPT_RWX, EPT_RWX);
	assert_true(entry & EPT_A);
	assert_int_equal(!!(entry & EPT_D), dirty);
	assert_int_equal((entry & EPT_ADDRESS & ~(size - 1)) + (page & (size - 1)), page);
	assert_int_equal((entry & EPT_MT) >> EPT_MT_SHIFT, model_type(page));
	assert_false(entry & EPT_IPAT);
	assert_int_equal(!!(entry & EPT_PS), size > HV_PAGE_SIZE);
}

/* Pages worth looking at: around every boundary there is, and at random. */
static uint64_t interesting_page(void)
{
	uint64_t near = draw(SPAN >> 12) << 12;

	switch (draw(5)) {
	case 0:
		near = hv.nr_mtrrs ? hv.mtrrs[draw(hv.nr_mtrrs)].base : near;
		break;
	case 1:
		near = hv.blocks[draw(hv.nr_blocks)];
		break;
	case 2:
		near = draw(512) << 12;
		break;
	case 3:
		near = hv.ram[draw(hv.nr_ram)].end;
		break;
	}
	near += (draw(5) << 12) - (2 << 12);
	return near < SPAN ? near : 0;
}

static void test_types_and_hiding(void **state)
{
	(void)state;
	for (int round = 0; round < 300; round++) {
		make_machine();
		map_all();
		for (int i = 0; i < 2000; i++)
			check_page(interesting_page(), 1);
	}
}

static void test_large_leaves(void **state)
{
	(void)state;
	make_machine();
	hv.has_1g = 1;
	hv.mtrr_enabled = 1;
	hv.mtrr_fixed = 0;
	hv.nr_mtrrs = 0;
	map_all();
	assert_int_equal(leaf_size(5ull << 30), 1 << 30);
	assert_int_equal(leaf_size(1 << 20), 2 << 20); /* the first GiB holds our blocks */
	assert_int_equal(hv_ept_map(&hv, 100ull << 30), 1 << 30);
	assert_int_equal(hv_ept_map(&hv, hv.phys_limit), 0);
}

static void test_arm_and_reset(void **state)
{
	static uint64_t armed[64];
	struct hv_ept_cursor cursor = { 0 };

	(void)state;
	for (int round = 0; round < 100; round++) {
		uint64_t free_before, page;

		make_machine();
		cursor.table = NULL;
		map_all();
		free_before = hv.pool.count;
		for (int i = 0; i < 64; i++) {
			page = interesting_page();
			hv_gpa gpa = { page };

			armed[i] = hv_guest_owns(&hv, gpa, HV_PAGE_SIZE) ? page : SPAN;
			assert_int_equal(hv_ept_arm(&hv, &cursor, page >> 12), armed[i] == SPAN ? OOH_HC_EFAULT : 0);
		}
		for (int i = 0; i < 64; i++)
			if (armed[i] != SPAN) {
				check_page(armed[i], 0);
				assert_int_equal(leaf_size(armed[i]), 4096);
				assert_int_equal(hv_ept_disarm(&hv, &cursor, armed[i] >> 12), 0);
				check_page(armed[i], 1);
				hv_ept_arm(&hv, &cursor, armed[i] >> 12);
			}
		assert_int_equal(hv_ept_arm(&hv, &cursor, POOL_AT >> 12), OOH_HC_EFAULT);
		assert_int_equal(hv_ept_arm(&hv, &cursor, ~0ull), OOH_HC_EFAULT);
		assert_int_equal(hv_ept_arm(&hv, &cursor, ~0ull >> 12), OOH_HC_EFAULT);
		for (int i = 0; i < 200; i++) {
			int is_armed = 0;

			page = interesting_page();
			for (int j = 0; j < 64; j++)
				is_armed |= armed[j] == page;
			check_page(page, !is_armed);
		}
		hv_ept_reset(&hv);
		assert_int_equal(hv.split, 0);
		assert_int_equal(hv.armed, 0);
		for (int i = 0; i < 64; i++)
			check_page(armed[i] == SPAN ? 0x1000 : armed[i], 1);
		hv.pool.reserve = hv.pool.count; /* makes the next allocation look into limbo */
		assert_int_not_equal(hv_page_alloc(&hv, true), 0);
		assert_int_equal(hv.pool.count + 1, free_before);
	}
}

static void test_pool_runs_out(void **state)
{
	uint64_t frame = (5ull << 30) >> 12, count = 0;
	struct hv_ept_cursor cursor = { 0 };
	int ret = 0;

	(void)state;
	make_machine();
	hv.mtrr_enabled = 0;
	map_all();
	hv.pool.reserve = hv.pool.count - 10;
	for (; !ret && count < 100; count++)
		ret = hv_ept_arm(&hv, &cursor, frame + count * 512);
	assert_int_equal(ret, OOH_HC_ENOMEM);
	assert_true(count >= 9 && count <= 11);
	assert_int_equal(hv_ept_map(&hv, 200ull << 30) != 0, 1); /* the reserve is for this */
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types_and_hiding),
		cmocka_unit_test(test_large_leaves),
		cmocka_unit_test(test_arm_and_reset),
		cmocka_unit_test(test_pool_runs_out),
	};

	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	printf("# seed %llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
