// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the hypervisor from inside its guest: loaded above ooh_hv.ko, it enables, tries everything the ABI defines
 * and the outcomes docs/hypervisor.md promises, disables, and prints one TAP line a claim. Loading fails if a claim
 * does. Parameters: cycles: how often to enable and disable (default 100); crash: see below.
 */
#define pr_fmt(fmt) fmt

#include "hypervisor/tests/hvtest.h"

#include <asm/desc.h>

unsigned int cycles = 100;
module_param(cycles, uint, 0444);

static bool crash;
module_param(crash, bool, 0444);
MODULE_PARM_DESC(crash, "end with a triple fault, to see the hypervisor's report");

static unsigned int count, failed;

void claim(bool ok, const char *what)
{
	count++;
	failed += !ok;
	pr_info("%s %u - %s\n", ok ? "ok" : "not ok", count, what);
}

void claim_equal(long got, long want, const char *what)
{
	if (got != want)
		pr_info("# got %ld, want %ld\n", got, want);
	claim(got == want, what);
}

static void test_active(void)
{
	test_info();
	test_arguments();
	test_ring_arguments();
	test_instructions();
	test_single_step();
	test_nmi();
	test_hidden_memory();
	test_one_page();
	test_many_pages();
	test_race();
	test_overflow();
	test_reset();
	test_storm();
	show_costs();
	show_exits();
}

/* An exception without an IDT: the hypervisor reports and stops this CPU. */
static void triple_fault(void)
{
	struct desc_ptr none = { 0 };

	local_irq_disable();
	load_idt(&none);
	asm volatile("int3");
}

static int __init ooh_hvtest_init(void)
{
	int ret = alloc_all();
	u64 no_value;

	if (ret)
		goto free;
	native_no_msr = rdmsrl_safe(NO_MSR, &no_value);
	test_no_trace();
	claim_equal(ooh_hv_enable(), 0, "enable");
	if (ooh_hv_active()) {
		test_active();
		if (crash)
			triple_fault();
		claim_equal(ooh_hv_disable(), 0, "disable");
		test_cycles();
	}
	pr_info("1..%u\n", count);
	pr_info("# %u of %u failed\n", failed, count);
	ret = failed ? -EIO : 0;
free:
	free_all();
	return ret;
}

static void __exit ooh_hvtest_exit(void)
{
}

module_init(ooh_hvtest_init);
module_exit(ooh_hvtest_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Tests of the ooh hypervisor from inside");
