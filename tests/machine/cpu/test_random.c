// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Random bytes as code, in every mode. What they do is not judged here (tests/semantics does that for programs), but
 * each run ends with an event or with its budget, a program never meets anything that is not implemented, and nothing
 * happens to the host: best run under the sanitizers.
 */
#include <stdio.h>
#include <string.h>

#include "harness.h"
#include "machine/core/config.h"

#define RUNS 10000

static uint64_t seed;

static uint64_t next_random(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void give_devices(void)
{
	static struct machine_config cfg;

	machine.cfg = &cfg;
}

/* A new machine now and then; what a run may have changed of the CPU, always. */
static void begin_run(unsigned i, unsigned bits, unsigned cpl)
{
	if (i % 64 == 0) {
		harness_setup(NULL);
		give_devices();
	}
	machine.stop = false;
	cpu->is_delivering = false;
	harness_mode(bits, cpl);
	cpu_set_rflags(cpu, EFLAGS_ONE | (next_random() & EFLAGS_ARITHMETIC));
	for (unsigned k = 0; k < 16; k++) {
		uint64_t v = next_random();

		cpu->gpr[k] = v % 4 == 0 ? v : bits == 16 ? v >> 48 : DATA + (v >> 40) % 0x10000;
	}
}

static void random_code(uint64_t at)
{
	uint64_t code[8];

	for (unsigned k = 0; k < 8; k++)
		code[k] = next_random();
	if (code[0] & 0x100)
		memset(code, 0x0f, 1); /* the two-byte opcodes */
	harness_code(at, code, sizeof(code));
}

static void run_random(unsigned bits, unsigned cpl)
{
	const uint64_t at = bits == 16 ? 0x1000 : CODE;
	unsigned events = 0;
	bool event;

	seed = bits + cpl;
	for (unsigned i = 0; i < RUNS; i++) {
		begin_run(i, bits, cpl);
		random_code(at);
		event = harness_run(at, 200);
		assert_true(event || cpu->budget <= 0 || machine.stop);
		events += event;
		if (cpl == 3 && machine.stop)
			fail_msg("seed %u, run %u: %s", bits + cpl, i, machine.stop_reason);
	}
	assert_true(events > RUNS / 4);
}

static void programs_64(void **state)
{
	(void)state;
	run_random(64, 3);
}

static void programs_32(void **state)
{
	(void)state;
	run_random(32, 3);
}

static void kernel_64(void **state)
{
	(void)state;
	run_random(64, 0);
}

static void kernel_32(void **state)
{
	(void)state;
	run_random(32, 0);
}

static void real_mode(void **state)
{
	(void)state;
	run_random(16, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_64), cmocka_unit_test(programs_32), cmocka_unit_test(kernel_64),
		cmocka_unit_test(kernel_32), cmocka_unit_test(real_mode),
	};

	if (!freopen("/dev/null", "w", stderr)) /* reports of what a kernel may ask for and is not there */
		return 3;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
