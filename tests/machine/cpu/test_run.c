// SPDX-License-Identifier: GPL-2.0-or-later
/* The run loop and the store of blocks. */
#include <string.h>

#include "harness.h"

#define INSNS machine.stat[STAT_INSNS]

static void nops(uint64_t at, unsigned n)
{
	static const uint8_t nop[4096] = { [0 ... 4095] = 0x90 };

	for (unsigned done = 0; done < n; done += 4096)
		harness_code(at + done, nop, n - done < 4096 ? n - done : 4096);
}

/* The budget ends where it ends, whatever the blocks are. */
static void deadline_is_exact(void **state)
{
	(void)state;
	nops(CODE, 1000);
	harness_run(CODE, 100); /* the page walk costs cycles */
	for (int64_t n = 1; n <= 300; n++) {
		INSNS = 0;
		assert_false(harness_run(CODE, n));
		assert_int_equal(cpu->rip, CODE + n);
		assert_int_equal(INSNS, n);
		assert_int_equal(cpu_now(cpu), n);
	}
}

static void fault_gives_time_back(void **state)
{
	(void)state;
	nops(CODE, 10);
	CODE_AT(CODE + 10, 0x0f, 0x0b); /* ud2 */
	harness_run(CODE, 1000);
	INSNS = 0;
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(delivered.vector, VEC_UD);
	assert_int_equal(cpu->rip, CODE + 10);
	assert_int_equal(INSNS, 10);
	assert_int_equal(cpu_now(cpu), 10);
}

/* mov byte [rip+1], 7 changes the immediate of the next instruction, mov al, 5. */
static void store_into_own_block(void **state)
{
	(void)state;
	CODE_AT(CODE, 0x90, 0xc6, 0x05, 0x01, 0, 0, 0, 0x07, 0xb0, 0x05, 0x0f, 0x0b);
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(cpu->gpr[RAX], 7);
	assert_int_equal(INSNS, 3);
}

/* A loop whose body is changed from outside the block, after it has been linked. */
static void store_into_linked_block(void **state)
{
	/*
	 * mov ecx, 3; L: jmp B; C: mov [CODE + 0x21], dl; dec ecx; jnz L; ud2
	 * B at 0x20: mov al, 1; add bl, al; jmp C
	 */
	(void)state;
	CODE_AT(CODE, 0xb9, 3, 0, 0, 0, 0xeb, 0x19, 0x88, 0x15, 0x14, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf4, 0x0f, 0x0b);
	CODE_AT(CODE + 0x20, 0xb0, 0x01, 0x00, 0xc3, 0xeb, 0xe1);
	cpu->gpr[RDX] = 5;
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(cpu->gpr[RBX], 1 + 5 + 5);
}

static void data_beside_code_is_cheap(void **state)
{
	/* L: inc dword [CODE + 0x800]; dec ecx; jnz L; ud2 */
	(void)state;
	CODE_AT(CODE, 0xff, 0x05, 0xfa, 0x07, 0, 0, 0xff, 0xc9, 0x75, 0xf6, 0x0f, 0x0b);
	cpu->gpr[RCX] = 100;
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(machine.bus.ram[CODE + 0x800], 100);
	assert_int_equal(machine.stat[STAT_CODE_INVALIDATIONS], 0);
}

/* mov eax, imm32 over a page end, then again after its second half has changed. */
static void instruction_across_pages(void **state)
{
	(void)state;
	nops(CODE + 0xff0, 16);
	CODE_AT(CODE + 0xffe, 0xb8, 0x11, 0x22, 0x33, 0x44, 0x0f, 0x0b);
	assert_true(harness_run(CODE + 0xff0, 1000));
	assert_int_equal(cpu->gpr[RAX], 0x44332211);
	assert_int_equal(INSNS, 15);
	CODE_AT(CODE + 0x1000, 0x55);
	assert_true(harness_run(CODE + 0xff0, 1000));
	assert_int_equal(cpu->gpr[RAX], 0x44335511);
}

static void fetch_fault_on_second_page(void **state)
{
	uint64_t end = RAM_SIZE - 2; /* of what is mapped */

	(void)state;
	CODE_AT(end, 0xb8, 0x11);
	assert_true(harness_run(end, 1000));
	assert_int_equal(delivered.vector, VEC_PF);
	assert_int_equal(delivered.cr2_or_dr6, RAM_SIZE);
	assert_int_equal(cpu->rip, end);
	assert_int_equal(INSNS, 0);
}

static void what_is_no_instruction(void **state)
{
	(void)state;
	CODE_AT(CODE, 0xf0, 0x01, 0xc0); /* lock add eax, eax */
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(delivered.vector, VEC_UD);
	CODE_AT(CODE, 0x06); /* push es */
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(delivered.vector, VEC_UD);
	CODE_AT(CODE, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90);
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(delivered.vector, VEC_GP);
	CODE_AT(CODE, 0xc5, 0xf9, 0x6f, 0xc0); /* vmovdqa: AVX is not enumerated */
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(delivered.vector, VEC_UD);
}

static void hinted_nops_are_nops(void **state)
{
	(void)state;
	/* endbr64; nop; "bndmov"; ud2 */
	CODE_AT(CODE, 0xf3, 0x0f, 0x1e, 0xfa, 0x66, 0x0f, 0x1f, 0x44, 0, 0, 0x0f, 0x1a, 0xc0, 0x0f, 0x0b);
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(cpu->rip, CODE + 13);
}

static void single_step_traps_after_each(void **state)
{
	(void)state;
	CODE_AT(CODE, 0x90, 0xb0, 0x01, 0x90);
	cpu_set_rflags(cpu, EFLAGS_ONE | EFLAGS_TF);
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(delivered.vector, VEC_DB);
	assert_int_equal(delivered.cr2_or_dr6, DR6_BS);
	assert_int_equal(cpu->rip, CODE + 1);
	assert_true(harness_run(cpu->rip, 1000));
	assert_int_equal(cpu->rip, CODE + 3);
}

static void nmi_comes_at_a_boundary(void **state)
{
	(void)state;
	nops(CODE, 300);
	cpu_kick(cpu, PEND_NMI);
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(delivered.type, EV_NMI);
	assert_int_equal(cpu->rip, CODE);
	cpu->nmi_blocked = true;
	cpu_kick(cpu, PEND_NMI);
	assert_false(harness_run(CODE, 100));
}

/* MOV SS keeps everything away from the next instruction. */
static void shadow_of_mov_ss(void **state)
{
	(void)state;
	nops(CODE, 300);
	cpu->inhibit = INHIBIT_MOVSS;
	cpu_kick(cpu, PEND_NMI);
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(cpu->rip, CODE + 1);
	assert_int_equal(cpu->inhibit, 0);
}

static void rep_stops_at_the_deadline_and_goes_on(void **state)
{
	const uint64_t count = 100000;
	int64_t slices = 0;

	(void)state;
	CODE_AT(CODE, 0x90, 0xf3, 0xaa, 0x0f, 0x0b); /* nop; rep stosb; ud2 */
	cpu->gpr[RAX] = 0xa5;
	cpu->gpr[RDI] = DATA + 5;
	cpu->gpr[RCX] = count;
	cpu->rip = CODE;
	while (!harness_run(cpu->rip, 200))
		slices++;
	assert_true(slices > 5);
	assert_int_equal(cpu->gpr[RCX], 0);
	assert_int_equal(cpu->gpr[RDI], DATA + 5 + count);
	assert_int_equal(INSNS, 2);
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(machine.bus.ram[DATA + 5 + i], 0xa5);
	assert_int_equal(machine.bus.ram[DATA + 4], 0);
	assert_int_equal(machine.bus.ram[DATA + 5 + count], 0);
}

/* REP MOVS onto its own source repeats the first elements. */
static void rep_movs_overlapping(void **state)
{
	(void)state;
	CODE_AT(CODE, 0xf3, 0xa4, 0x0f, 0x0b);
	memcpy(machine.bus.ram + DATA, "abc", 3);
	cpu->gpr[RSI] = DATA;
	cpu->gpr[RDI] = DATA + 3;
	cpu->gpr[RCX] = 9;
	assert_true(harness_run(CODE, 1000));
	assert_memory_equal(machine.bus.ram + DATA, "abcabcabcabc", 12);
}

static void rep_movs_backwards(void **state)
{
	(void)state;
	CODE_AT(CODE, 0xfd, 0xf3, 0x48, 0xa5, 0x0f, 0x0b); /* std; rep movsq */
	for (unsigned i = 0; i < 0x3000; i++)
		machine.bus.ram[DATA + i] = (u8)(i * 7);
	cpu->gpr[RSI] = DATA + 0x3000 - 8;
	cpu->gpr[RDI] = DATA + 0x3004 - 8;
	cpu->gpr[RCX] = 0x3000 / 8;
	assert_true(harness_run(CODE, 100000));
	for (unsigned i = 0; i < 0x3000; i++)
		assert_int_equal(machine.bus.ram[DATA + 4 + i], (u8)(i * 7));
	assert_int_equal(cpu->gpr[RSI], DATA - 8);
}

static void code_segment_limit(void **state)
{
	(void)state;
	harness_mode(16, 0);
	nops(0x1000, 64);
	cpu->seg[CS].limit = 0x1010;
	assert_true(harness_run(0x1000, 1000));
	assert_int_equal(delivered.vector, VEC_GP);
	assert_int_equal(cpu->rip, 0x1011);
	CODE_AT(0x100f, 0xb8, 0x34, 0x12); /* mov ax, 1234h: its last byte is outside */
	assert_true(harness_run(0x1000, 1000));
	assert_int_equal(cpu->rip, 0x100f);
}

static void real_mode_basics(void **state)
{
	/* mov ax, 8000h; mov ss, ax … is the system room's: here stack, BCD and 16-bit addressing. */
	(void)state;
	harness_mode(16, 0);
	CODE_AT(0x1000, 0xb8, 0x79, 0x00, 0x04, 0x35, 0x27, 0x50, 0x5b, 0xbe, 0x00, 0x20, 0x89, 0x5c, 0x10, 0x0f, 0x0b);
	assert_true(harness_run(0x1000, 1000)); /* 79 + 35 = 114 decimal */
	assert_int_equal((u8)cpu->gpr[RBX], 0x14);
	assert_true(cpu_rflags(cpu) & EFLAGS_CF);
	assert_int_equal(machine.bus.ram[0x2010], 0x14);
	CODE_AT(0x1000, 0x60, 0x31, 0xc0, 0x31, 0xff, 0x61, 0x0f, 0x0b); /* pusha; xor ax, ax; xor di, di; popa */
	cpu->gpr[RAX] = 0x1234;
	cpu->gpr[RDI] = 0x5678;
	assert_true(harness_run(0x1000, 1000));
	assert_int_equal(cpu->gpr[RAX], 0x1234);
	assert_int_equal(cpu->gpr[RDI], 0x5678);
	assert_int_equal(cpu->gpr[RSP], 0x8000);
}

static void ip_wraps_in_direct_branches(void **state)
{
	(void)state;
	harness_mode(16, 0);
	CODE_AT(0x10, 0xe9, 0xed, 0xff); /* jmp 0x0000 - a target below 0 wraps */
	CODE_AT(0x0, 0xe9, 0xf0, 0xff);  /* jmp 0xfff3 */
	CODE_AT(0xfff3, 0x0f, 0x0b);
	assert_true(harness_run(0x10, 1000));
	assert_int_equal(cpu->rip, 0xfff3);
}

/* More code than the arena holds. */
static void arena_runs_full(void **state)
{
	(void)state;
	nops(0x400000, 0x800000);
	CODE_AT(0xc00000, 0x0f, 0x0b);
	for (unsigned i = 0; i < 2; i++) {
		INSNS = 0;
		assert_true(harness_run(0x400000, 1 << 24));
		assert_int_equal(INSNS, 0x800000);
		assert_int_equal(cpu->rip, 0xc00000);
	}
}

static void non_canonical_branch(void **state)
{
	(void)state;
	CODE_AT(CODE, 0x90, 0xff, 0xe0); /* jmp rax */
	cpu->gpr[RAX] = 0x800000000000;
	assert_true(harness_run(CODE, 1000));
	assert_int_equal(delivered.vector, VEC_GP);
	assert_int_equal(cpu->rip, CODE + 1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, harness_setup)
	const struct CMUnitTest tests[] = {
		TEST(deadline_is_exact), TEST(fault_gives_time_back), TEST(store_into_own_block),
		TEST(store_into_linked_block), TEST(data_beside_code_is_cheap), TEST(instruction_across_pages),
		TEST(fetch_fault_on_second_page), TEST(what_is_no_instruction), TEST(hinted_nops_are_nops),
		TEST(single_step_traps_after_each), TEST(nmi_comes_at_a_boundary), TEST(shadow_of_mov_ss),
		TEST(rep_stops_at_the_deadline_and_goes_on), TEST(rep_movs_overlapping), TEST(rep_movs_backwards),
		TEST(code_segment_limit), TEST(real_mode_basics), TEST(ip_wraps_in_direct_branches),
		TEST(arena_runs_full), TEST(non_canonical_branch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
