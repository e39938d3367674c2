/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loads and stores that are not plain: crossings, devices, code frames, addresses that are not allowed, old paging
 * modes.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "machine/cpu/block.h"

#define RW (PTE_P | PTE_RW)
#define NEXT (LIN + PAGE_SIZE)
#define SECOND 0x700000ull   /* frame of the next page: not adjacent */
#define DEVICE 0xfed00000ull

static struct block *two_ops; /* a block of two instructions */

static void start(void)
{
	env_reset();
	map_guest(12, RW, RW);
	phys_set(PT + 8, SECOND | RW);
	if (!two_ops)
		two_ops = calloc(1, sizeof(*two_ops) + 3 * sizeof(struct op));
	two_ops->insns = 2;
	env.c.block = two_ops;
}

static void crossing(void **state)
{
	u64 lin = NEXT - 3;
	u8 a[3] = { 0xef, 0xcd, 0xab }, b[5] = { 0x89, 0x67, 0x45, 0x23, 0x01 };

	(void)state;
	start();
	assert_int_equal(try_access(ACCESS_WRITE, lin, 8), DONE);
	assert_memory_equal(env.m.bus.ram + DATA + 0xffd, a, 3);
	assert_memory_equal(env.m.bus.ram + SECOND, b, 5);
	assert_int_equal(ld64(&env.c, NULL, lin), 0x0123456789abcdefull);
	assert_int_equal(ld64_rmw(&env.c, NULL, lin), 0x0123456789abcdefull);
	assert_true((phys_get(PT) & PTE_D) && (phys_get(PT + 8) & PTE_D));
	mmu_st(&env.c, NULL, lin, 4, 0);
	assert_int_equal(ld64(&env.c, NULL, lin), 0x0123456700000000ull);
}

/* Nothing is stored unless all of it can be; the address reported is the one in the second page. */
static void crossing_faults(void **state)
{
	u8 before[3];

	(void)state;
	start();
	memcpy(before, env.m.bus.ram + DATA + 0xffd, 3);
	phys_set(PT + 8, 0);
	assert_int_equal(try_access(ACCESS_WRITE, NEXT - 3, 8), FAULT);
	assert_int_equal(env.event.cr2_or_dr6, NEXT);
	assert_int_equal(env.event.error, PFEC_W);
	assert_memory_equal(env.m.bus.ram + DATA + 0xffd, before, 3);
	phys_set(PT + 8, SECOND | RW);
	phys_set(PT, 0);
	mmu_flush_all(&env.c);
	assert_int_equal(try_access(ACCESS_READ, NEXT - 3, 8), FAULT);
	assert_int_equal(env.event.cr2_or_dr6, NEXT - 3);
}

static void buffers(void **state)
{
	u8 out[4096], in[4096];

	(void)state;
	start();
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (u8)(i * 7);
	mmu_st_buf(&env.c, NULL, LIN + 100, out, sizeof(out));
	mmu_ld_buf(&env.c, NULL, LIN + 100, in, sizeof(in));
	assert_memory_equal(in, out, sizeof(in));
	assert_memory_equal(env.m.bus.ram + SECOND, out + 4096 - 100, 100);
}

static void probes(void **state)
{
	(void)state;
	start();
	mmu_probe(&env.c, NULL, NEXT - 4, 8, ACCESS_WRITE);
	assert_true((phys_get(PT) & PTE_D) && (phys_get(PT + 8) & PTE_D));
}

static void host_pointers(void **state)
{
	unsigned avail = 0;

	(void)state;
	start();
	assert_ptr_equal(mmu_host(&env.c, NULL, LIN + 0x10, ACCESS_WRITE, &avail), env.m.bus.ram + DATA + 0x10);
	assert_int_equal(avail, PAGE_SIZE - 0x10);
	env.m.bus.frame_flags[DATA >> PAGE_SHIFT] = FRAME_CODE;
	assert_non_null(mmu_host(&env.c, NULL, LIN, ACCESS_WRITE, &avail));
	assert_int_equal(env.code_stores, 0);
	mmu_host_wrote(&env.c, NULL, LIN, env.m.bus.ram + DATA, 64);
	assert_int_equal(env.code_stores, 1);
	phys_set(PT + 8, DEVICE | RW);
	assert_null(mmu_host(&env.c, NULL, NEXT, ACCESS_READ, &avail));
}

static void devices(void **state)
{
	s64 before;

	(void)state;
	start();
	phys_set(PT + 8, DEVICE | RW);
	before = env.c.budget;
	assert_int_equal(mmu_ld(&env.c, NULL, NEXT + 0x20, 4), (u32)(0x1122334455667788ull + 0x20 + 4));
	assert_true(before - env.c.budget >= (s64)env.m.costs->cycles[COST_MMIO]);
	mmu_st(&env.c, NULL, NEXT + 0x30, 4, 0xdeadbeef);
	assert_int_equal(env.device_stores, 1);
	assert_int_equal(env.device[0].offset, 0x30);
	assert_int_equal(env.device[0].size, 4);
	assert_int_equal(env.device[0].value, 0xdeadbeef);
	assert_int_equal(env.m.stat[STAT_MMIO_READS], 1);
	assert_int_equal(env.m.stat[STAT_MMIO_WRITES], 1);
	phys_set(PT + 16, 0xfe000000 | RW); /* a hole */
	assert_int_equal(mmu_ld(&env.c, NULL, NEXT + PAGE_SIZE, 2), 0xffff);
	mmu_st(&env.c, NULL, NEXT + PAGE_SIZE, 2, 1);
}

/* A device is touched only by an instruction that ends its block. */
static void devices_alone(void **state)
{
	(void)state;
	start();
	phys_set(PT + 8, DEVICE | RW);
	assert_int_equal(try_op(ACCESS_WRITE, &two_ops->ops[0], NEXT, 8), SINGLE);
	assert_int_equal(try_op(ACCESS_READ, &two_ops->ops[0], NEXT, 8), SINGLE);
	assert_int_equal(env.device_stores, 0);
	assert_int_equal(try_op(ACCESS_WRITE, &two_ops->ops[1], NEXT, 8), DONE);
	assert_int_equal(env.device_stores, 1);
	/* half in RAM, half in the device: RAM is not written before the instruction runs alone */
	phys_set(DATA + 0xff8, 0);
	assert_int_equal(try_op(ACCESS_WRITE, &two_ops->ops[0], NEXT - 4, 8), SINGLE);
	assert_int_equal(phys_get(DATA + 0xff8), 0);
}

static void code_frames(void **state)
{
	(void)state;
	start();
	env.m.bus.frame_flags[DATA >> PAGE_SHIFT] = FRAME_CODE;
	phys_set(DATA, 0);
	env.hits_running = true;
	assert_int_equal(try_op(ACCESS_WRITE, &two_ops->ops[0], LIN, 8), SINGLE);
	assert_int_equal(phys_get(DATA), 0);
	assert_int_equal(env.code_stores, 0);
	env.hits_running = false;
	assert_int_equal(try_op(ACCESS_WRITE, &two_ops->ops[0], LIN, 8), DONE);
	assert_int_equal(env.code_stores, 1);
	assert_int_equal(try_access(ACCESS_WRITE, NEXT - 4, 8), DONE);
	assert_int_equal(env.code_stores, 2);
}

static void not_canonical(void **state)
{
	struct op o = { .mnem = ZYDIS_MNEMONIC_MOV, .flags = OP_MEM, .seg = DS };

	(void)state;
	start();
	assert_int_equal(try_op(ACCESS_READ, &o, 1ull << 47, 8), FAULT);
	assert_int_equal(env.event.vector, VEC_GP);
	assert_int_equal(try_op(ACCESS_WRITE, &o, 0xffff7fffffffffffull, 1), FAULT);
	assert_int_equal(env.event.vector, VEC_GP);
	o.seg = SS;
	assert_int_equal(try_op(ACCESS_READ, &o, 1ull << 47, 8), FAULT);
	assert_int_equal(env.event.vector, VEC_SS);
	o = (struct op){ .mnem = ZYDIS_MNEMONIC_PUSH };
	assert_int_equal(try_op(ACCESS_WRITE, &o, 1ull << 62, 8), FAULT);
	assert_int_equal(env.event.vector, VEC_SS);
	/* The first page is not mapped, but the range is looked at before any page is. */
	o = (struct op){ .mnem = ZYDIS_MNEMONIC_MOV, .flags = OP_MEM, .seg = DS };
	assert_int_equal(try_op(ACCESS_READ, &o, (1ull << 47) - 1, 2), FAULT);
	assert_int_equal(env.event.vector, VEC_GP);
}

static void alignment(void **state)
{
	struct op o = { .flags = OP_MEM, .seg = DS };

	(void)state;
	start();
	map_guest(12, RW | PTE_US, RW | PTE_US);
	set_cpl(3);
	assert_int_equal(try_access(ACCESS_READ, LIN + 1, 8), DONE);
	env.c.cr0 |= CR0_AM;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN + 1, 8), DONE);
	env.c.eflags |= EFLAGS_AC;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN + 1, 8), FAULT);
	assert_int_equal(env.event.vector, VEC_AC);
	assert_int_equal(try_access(ACCESS_WRITE, LIN + 4, 8), FAULT);
	assert_int_equal(try_access(ACCESS_READ, LIN + 8, 8), DONE);
	assert_int_equal(try_access(ACCESS_READ, LIN + 8, 8), DONE);
	assert_int_equal(try_access(ACCESS_READ, LIN + 9, 8), FAULT);
	o.mnem = ZYDIS_MNEMONIC_FLD;
	assert_int_equal(try_op(ACCESS_READ, &o, LIN + 4, 10), FAULT);
	assert_int_equal(try_op(ACCESS_READ, &o, LIN + 8, 10), DONE);
	assert_int_equal(try_op(ACCESS_WRITE, &o, LIN + 2, 28), FAULT);
	assert_int_equal(try_op(ACCESS_WRITE, &o, LIN + 2, 14), DONE);
	assert_int_equal(try_op(ACCESS_READ, &o, LIN + 4, 16), DONE);
	set_cpl(0);
	assert_int_equal(try_access(ACCESS_READ, LIN + 1, 8), DONE);
}

static void set32(u64 at, u32 v)
{
	memcpy(env.m.bus.ram + at, &v, 4);
}

/* 32-bit paging: 4 KiB and (with PSE) 4 MiB pages. */
static void legacy_32(void **state)
{
	u32 lin = 0x00c00000;

	(void)state;
	env_reset();
	phys_set(DATA, 0x1234);
	set32(PML4 + 3 * 4, PT | RW);
	set32(PT, DATA | RW);
	env.c.cr0 |= CR0_PG;
	env.c.cr3 = PML4;
	mmu_update_mode(&env.c);
	assert_int_equal(ld64(&env.c, NULL, lin), 0x1234);
	assert_true(phys_get(PT) & PTE_A);
	assert_int_equal(env.m.stat[STAT_WALK_REFS_1D], 2);
	set32(PML4 + 3 * 4, 0x00800000 | RW | PTE_PS);
	env.c.cr4 = CR4_PSE;
	mmu_flush_all(&env.c);
	phys_set(0x800008, 0x5678);
	assert_int_equal(ld64(&env.c, NULL, lin + 8), 0x5678);
	assert_int_equal(ld64(&env.c, NULL, lin + 0x300008), phys_get(0xb00008));
	set32(PML4 + 3 * 4, 0x00800000 | RW | PTE_PS | BIT32(21));
	mmu_flush_all(&env.c);
	assert_int_equal(try_access(ACCESS_READ, lin, 8), FAULT);
	assert_int_equal(env.event.error, PFEC_P | PFEC_RSVD);
	set32(PML4 + 3 * 4, 0x00800000 | RW | PTE_PS | 1u << 13); /* PSE-36: address bit 32, where there is no RAM */
	mmu_flush_all(&env.c);
	assert_int_equal(ld64(&env.c, NULL, lin), ~0ull);
}

static void legacy_pae(void **state)
{
	u32 lin = 0x40600000;

	(void)state;
	env_reset();
	phys_set(PD + 3 * 8, PT | RW);
	phys_set(PT, DATA | RW | PTE_NX);
	phys_set(DATA, 0x4321);
	env.c.cr0 |= CR0_PG;
	env.c.cr4 = CR4_PAE;
	env.c.efer = EFER_NXE;
	env.c.pdpte[1] = PD | PTE_P;
	env.c.pdpte[0] = 0;
	mmu_update_mode(&env.c);
	assert_int_equal(ld64(&env.c, NULL, lin), 0x4321);
	assert_int_equal(try_access(ACCESS_EXEC, lin, 1), FAULT);
	assert_int_equal(env.event.error, PFEC_P | PFEC_I);
	assert_int_equal(try_access(ACCESS_READ, 0x600000, 8), FAULT);
	assert_int_equal(env.event.error, 0);
	phys_set(PD + 3 * 8, 0x600000 | RW | PTE_PS);
	mmu_flush_all(&env.c);
	assert_int_equal(ld64(&env.c, NULL, lin + 0x100000), phys_get(0x700000));
	phys_set(PT, DATA | RW | BIT64(53)); /* reserved in PAE, ignored in 4-level paging */
	phys_set(PD + 3 * 8, PT | RW);
	mmu_flush_all(&env.c);
	assert_int_equal(try_access(ACCESS_READ, lin, 8), FAULT);
	assert_int_equal(env.event.error, PFEC_P | PFEC_RSVD);
}

/*
 * Without paging linear addresses are physical; under EPT guest-physical. The last byte of 4 GiB is followed by the
 * first.
 */
static void no_paging(void **state)
{
	u64 low;

	(void)state;
	env_reset();
	low = phys_get(0x5000);
	assert_int_equal(try_access(ACCESS_WRITE, 0x5000, 8), DONE);
	assert_int_not_equal(phys_get(0x5000), low);
	assert_int_equal(env.m.stat[STAT_TLB_MISSES], 0);
	phys_set(0, 0x99);
	assert_int_equal(mmu_ld(&env.c, NULL, 0xffffffff, 2) >> 8, 0x99);
	env_reset();
	map_ept(12, EPT_RWX, true);
	phys_set(EPT_LOW + 5 * 8, 0x6000 | 6 << EPT_MT_SHIFT | EPT_RWX);
	phys_set(0x6000, 0x77);
	assert_int_equal(ld64(&env.c, NULL, 0x5000), 0x77);
	assert_int_equal(try_access(ACCESS_WRITE, 0x5000, 8), DONE);
	assert_true(phys_get(EPT_LOW + 5 * 8) & EPT_D);
	assert_int_equal(mmu_ld_gpa(&env.c, NULL, (gpa_t){ 0x5000 }), 0x0123456789abcdefull);
}

static void peeks(void **state)
{
	hpa_t a;
	u64 pte;

	(void)state;
	start();
	assert_true(mmu_peek(&env.m, PML4, 4, 0, LIN + 5, &a, &pte));
	assert_int_equal(a.v, DATA + 5);
	assert_int_equal(pte, DATA | RW);
	assert_false(mmu_peek(&env.m, PML4, 4, 0, LIN + 2 * PAGE_SIZE, &a, &pte));
	map_ept(21, EPT_RWX, true);
	assert_true(mmu_peek(&env.m, PML4, 4, env.c.vmx.eptp, LIN + 5, &a, NULL));
	assert_int_equal(a.v, DATA + 5);
	phys_set(EPD + 16, 0);
	assert_false(mmu_peek(&env.m, PML4, 4, env.c.vmx.eptp, LIN + 5, &a, NULL));
	assert_int_equal(phys_get(PT), DATA | RW);
}

static void dma(void **state)
{
	u8 out[9000], in[9000];

	(void)state;
	start();
	for (unsigned i = 0; i < sizeof(out); i++)
		out[i] = (u8)(i * 3);
	env.m.bus.frame_flags[(DATA >> PAGE_SHIFT) + 1] = FRAME_CODE;
	assert_true(bus_dma_write(&env.m, (hpa_t){ DATA + 100 }, out, sizeof(out)));
	assert_int_equal(env.code_stores, 1);
	assert_int_equal(env.m.stat[STAT_DMA_PAGES], 3);
	assert_true(bus_dma_read(&env.m, (hpa_t){ DATA + 100 }, in, sizeof(in)));
	assert_memory_equal(in, out, sizeof(in));
	assert_false(bus_dma_write(&env.m, (hpa_t){ RAM_BYTES - 10 }, out, 20));
	assert_false(phys_get(PT) & PTE_D);
}

static void expect_monitored(unsigned stores, u64 at, unsigned n)
{
	assert_int_equal(env.monitored_stores, stores);
	assert_int_equal(env.monitored, at);
	assert_int_equal(env.monitored_bytes, n);
}

/* Every way to store to a frame in which MONITOR has armed a line is told, also where fast write tags were before. */
static void monitored_frames(void **state)
{
	u8 buf[32] = { 0 };

	(void)state;
	start();
	st64(&env.c, NULL, LIN, 1);
	env.m.bus.frame_flags[DATA >> PAGE_SHIFT] = FRAME_MONITOR;
	mmu_frame_slow(&env.m, DATA >> PAGE_SHIFT);
	st64(&env.c, NULL, LIN + 8, 2);
	expect_monitored(1, DATA + 8, 8);
	st8(&env.c, NULL, LIN + 1, 3);
	expect_monitored(2, DATA + 1, 1);
	st32(&env.c, NULL, LIN + 4, ld32_rmw(&env.c, NULL, LIN + 4) + 1);
	expect_monitored(3, DATA + 4, 4);
	st_buf(&env.c, NULL, LIN + 64, buf, sizeof(buf));
	expect_monitored(4, DATA + 64, 32);
	mmu_st_sys(&env.c, NULL, LIN + 0x80, 8, 1);
	expect_monitored(5, DATA + 0x80, 8);
	mmu_host_wrote(&env.c, NULL, LIN + 0x100, env.m.bus.ram + DATA + 0x100, 0x200);
	expect_monitored(6, DATA + 0x100, 0x200);
	bus_dma_write(&env.m, (hpa_t){ DATA - 4 }, buf, 8);
	expect_monitored(7, DATA, 4);
	st64(&env.c, NULL, NEXT - 4, 0);
	expect_monitored(8, DATA + 0xffc, 4);
	env.m.bus.frame_flags[PT >> PAGE_SHIFT] = FRAME_MONITOR; /* the walk's flags are stores, too */
	phys_set(PT + 16, SECOND | RW);
	ld8(&env.c, NULL, NEXT + PAGE_SIZE);
	expect_monitored(9, PT + 16, 8);
	ld64(&env.c, NULL, LIN);
	assert_int_equal(env.monitored_stores, 9);
}

static void touches(void **state)
{
	(void)state;
	start();
	assert_ptr_equal(mmu_touch(&env.c, NULL, LIN + 0x123), env.m.bus.ram + DATA + 0x123);
	assert_true(phys_get(PT) & PTE_A);
	assert_false(phys_get(PT) & PTE_D);
	phys_set(PT + 8, DEVICE | RW);
	assert_null(mmu_touch(&env.c, NULL, NEXT));
	assert_int_equal(env.m.stat[STAT_MMIO_READS], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crossing),
		cmocka_unit_test(crossing_faults),
		cmocka_unit_test(buffers),
		cmocka_unit_test(probes),
		cmocka_unit_test(host_pointers),
		cmocka_unit_test(devices),
		cmocka_unit_test(devices_alone),
		cmocka_unit_test(code_frames),
		cmocka_unit_test(not_canonical),
		cmocka_unit_test(alignment),
		cmocka_unit_test(legacy_32),
		cmocka_unit_test(legacy_pae),
		cmocka_unit_test(no_paging),
		cmocka_unit_test(peeks),
		cmocka_unit_test(dma),
		cmocka_unit_test(monitored_frames),
		cmocka_unit_test(touches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
