/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The 16550A with files at its other end. */
#include <unistd.h>

#include "tests/machine/dev/pc.h"

#define BASE 0x3f8
#define IER (BASE + 1)
#define IIR (BASE + 2)
#define FCR (BASE + 2)
#define LCR (BASE + 3)
#define MCR (BASE + 4)
#define LSR (BASE + 5)
#define MSR (BASE + 6)
#define MCR_OPEN 0x0b /* DTR, RTS, OUT2 */

static char in_path[64], out_path[64], spec[160];

static struct pc *pc_with_input(const char *text)
{
	FILE *f;

	snprintf(in_path, sizeof(in_path), "/tmp/ooh-uart-in-%d", (int)getpid());
	snprintf(out_path, sizeof(out_path), "/tmp/ooh-uart-out-%d", (int)getpid());
	snprintf(spec, sizeof(spec), "in:%s,out:%s", in_path, out_path);
	f = fopen(in_path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	return pc_new(spec);
}

static void end(struct pc *pc)
{
	pc_free(pc);
	unlink(in_path);
	unlink(out_path);
}

static void output_goes_to_the_file(void **state)
{
	struct pc *pc = pc_with_input("");
	char got[16] = "";
	FILE *f;

	for (const char *s = "hello\r\n"; *s; s++)
		out8(pc, BASE, (u8)*s);
	assert_int_equal(in8(pc, LSR), 0x60);
	dev_close(&pc->m);
	f = fopen(out_path, "r");
	assert_non_null(f);
	assert_int_equal(fread(got, 1, sizeof(got), f), 7);
	fclose(f);
	assert_string_equal(got, "hello\r\n");
	end(pc);
}

static void input_waits_for_rts(void **state)
{
	struct pc *pc = pc_with_input("abc");

	pass(pc, TSC_HZ);
	assert_int_equal(in8(pc, LSR) & 1, 0);
	assert_int_equal(in8(pc, BASE), 0); /* and reading takes nothing */
	out8(pc, MCR, MCR_OPEN);
	pass(pc, TSC_HZ / 1000);
	assert_int_equal(in8(pc, LSR) & 1, 1);
	assert_int_equal(in8(pc, BASE), 'a');
	assert_int_equal(in8(pc, BASE), 'b');
	assert_int_equal(in8(pc, BASE), 'c');
	assert_int_equal(in8(pc, LSR) & 1, 0);
	end(pc);
}

static void input_arrives_a_fifo_at_a_time(void **state)
{
	struct pc *pc = pc_with_input("0123456789abcdefGHIJ");
	unsigned n = 0;

	out8(pc, FCR, 1);
	out8(pc, MCR, MCR_OPEN);
	pass(pc, TSC_HZ / 1000);
	while (in8(pc, LSR) & 1) {
		in8(pc, BASE);
		n++;
	}
	assert_int_equal(n, 16);
	pass(pc, TSC_HZ / 1000);
	assert_int_equal(in8(pc, BASE), 'G');
	end(pc);
}

static void clearing_the_fifo_loses_nothing(void **state)
{
	struct pc *pc = pc_with_input("xyz");

	out8(pc, FCR, 1);
	out8(pc, MCR, MCR_OPEN);
	pass(pc, TSC_HZ / 1000);
	out8(pc, FCR, 7);
	assert_int_equal(in8(pc, LSR) & 1, 0);
	pass(pc, TSC_HZ / 1000);
	assert_int_equal(in8(pc, BASE), 'x');
	end(pc);
}

static void interrupts_come_by_priority(void **state)
{
	struct pc *pc = pc_with_input("q");

	pic_setup(pc);
	out8(pc, FCR, 1);
	out8(pc, IER, 3);
	assert_int_equal(take(pc), -1); /* not without OUT2 */
	out8(pc, MCR, MCR_OPEN);
	assert_int_equal(take(pc), 0x24);
	assert_int_equal(in8(pc, IIR), 0xc2); /* transmitter empty; reading acknowledges */
	assert_int_equal(in8(pc, IIR), 0xc1);
	out8(pc, 0x20, 0x20);
	pass(pc, TSC_HZ / 1000);
	assert_int_equal(take(pc), 0x24);
	out8(pc, BASE, 'x');
	assert_int_equal(in8(pc, IIR), 0xc4); /* received data comes first, and stays until read */
	assert_int_equal(in8(pc, IIR), 0xc4);
	in8(pc, BASE);
	assert_int_equal(in8(pc, IIR), 0xc2);
	end(pc);
}

static void loopback_returns_bytes_and_lines(void **state)
{
	struct pc *pc = pc_with_input("not this");

	out8(pc, MCR, 0x1a); /* loop, OUT2, RTS: what Linux tests */
	assert_int_equal(in8(pc, MSR) & 0xf0, 0x90);
	out8(pc, BASE, 0x5a);
	assert_int_equal(in8(pc, LSR) & 1, 1);
	assert_int_equal(in8(pc, BASE), 0x5a);
	out8(pc, BASE, 1);
	out8(pc, BASE, 2); /* no FIFO: overrun */
	assert_int_equal(in8(pc, LSR) & 2, 2);
	end(pc);
}

static void divisor_is_behind_dlab(void **state)
{
	struct pc *pc = pc_with_input("");

	out8(pc, LCR, 0x83);
	out8(pc, BASE, 1);
	out8(pc, IER, 0);
	assert_int_equal(in8(pc, BASE), 1);
	out8(pc, LCR, 0x03);
	assert_int_equal(in8(pc, IER), 0);
	end(pc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(output_goes_to_the_file),
		cmocka_unit_test(input_waits_for_rts),
		cmocka_unit_test(input_arrives_a_fifo_at_a_time),
		cmocka_unit_test(clearing_the_fifo_loses_nothing),
		cmocka_unit_test(interrupts_come_by_priority),
		cmocka_unit_test(loopback_returns_bytes_and_lines),
		cmocka_unit_test(divisor_is_behind_dlab),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
