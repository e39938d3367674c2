// SPDX-License-Identifier: GPL-2.0-only
/* Arming and logging: what is stored is in the ring, once; also with all of RAM armed, and against a writer. And what it costs. */
#include "hypervisor/tests/hvtest.h"

#include <linux/delay.h>
#include <linux/kthread.h>

void test_one_page(void)
{
	u64 got = 0, more;

	set_ring(8192);
	claim_equal(arm(frames, 1), 1, "ARM of one frame");
	drain(OOH_DRAIN_FLUSH);
	WRITE_ONCE(pages[PAGE_SIZE], 1); /* its neighbour */
	drain(0);
	claim(!take(&got), "a store to a frame that is not armed is not logged");
	claim(READ_ONCE(pages[0]) == 0, "the page reads");
	drain(0);
	claim(!take(&got), "a load is not logged");
	WRITE_ONCE(pages[123], 1);
	WRITE_ONCE(pages[124], 1);
	drain(0);
	claim(take(&got) && got == frames[0] && !take(&more), "stores are logged: exactly that frame, once");
	WRITE_ONCE(pages[125], 1);
	drain(0);
	claim(!take(&got), "once logged, it is not logged again");
	arm(frames, 1);
	drain(OOH_DRAIN_FLUSH);
	WRITE_ONCE(pages[126], 1);
	drain(0);
	claim(take(&got) && got == frames[0], "armed again, it is logged again");
	arm(frames, 1);
	memcpy(list, frames, 8);
	claim_equal(ooh_hypercall(OOH_HC_DISARM, virt_to_phys(list), 1, 0), 1, "DISARM");
	drain(OOH_DRAIN_FLUSH);
	WRITE_ONCE(pages[127], 1);
	drain(0);
	claim(!take(&got), "disarmed, it is not logged");
}

void test_many_pages(void)
{
	u64 full = info()->exits_by_reason[EXIT_PML_FULL];
	unsigned int unknown, twice;

	claim(arm_many(MANY), "ARM of 4096 frames");
	claim(info()->split > 0, "large pages were split");
	store_many(MANY);
	claim_equal(collect(&unknown, &twice), MANY, "every one is logged");
	claim_equal(unknown + twice, 0, "no other, none twice");
	full = info()->exits_by_reason[EXIT_PML_FULL] - full;
	claim(full >= MANY / 512 - num_online_cpus(), "the log filled up on the way");
	claim(!(ring->flags & OOH_RING_OVERFLOW), "the ring did not overflow");
}

/* All that the guest has, in blocks of 2 MiB; one that is not all RAM is armed in part or not at all. */
static void arm_everything(void)
{
	u64 frame, end = last_frame();
	unsigned int i;

	for (frame = 0; frame <= end; frame += 512) {
		for (i = 0; i < 512; i++)
			list[i] = frame + i;
		ooh_hypercall(OOH_HC_ARM, virt_to_phys(list), 512, 0);
	}
	drain(OOH_DRAIN_FLUSH);
}

/*
 * Stacks, descriptor and page tables are armed too: interrupts and exceptions are being delivered when the log fills,
 * IRET runs with its stack armed. What the test stores itself must all be found.
 */
void test_storm(void)
{
	unsigned int i, unknown, twice, missed = 0, others = 0;
	u64 full = info()->exits_by_reason[EXIT_PML_FULL];

	set_ring(RING_PAGES * 512);
	for (i = 0; i < 20; i++) {
		arm_everything();
		store_many(MANY);
		msleep(2);
		missed += MANY - collect(&unknown, &twice);
		others += unknown;
	}
	ooh_hypercall(OOH_HC_RESET, 0, 0, 0);
	drain(OOH_DRAIN_FLUSH);
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
	pr_info("# %u other frames, %llu full logs\n", others, info()->exits_by_reason[EXIT_PML_FULL] - full);
	claim_equal(missed, 0, "with all of RAM armed, 20 rounds: no store is missed");
}

/* ---- rounds against a writer on another CPU ---- */

#define RACE_PAGES 256

static struct {
	bool stop, pause, paused;
	u64 stores;
} writer;

static int write_all_the_time(void *unused)
{
	u64 x = 1;

	while (!READ_ONCE(writer.stop)) {
		WRITE_ONCE(writer.paused, READ_ONCE(writer.pause));
		if (writer.paused) {
			cpu_relax();
			continue;
		}
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		(*(volatile u64 *)(pages + (x >> 40) % RACE_PAGES * PAGE_SIZE))++;
		writer.stores++;
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static u64 value_of(unsigned int page)
{
	return READ_ONCE(*(u64 *)(pages + page * PAGE_SIZE));
}

static void pause_writer(bool pause)
{
	WRITE_ONCE(writer.pause, pause);
	while (READ_ONCE(writer.paused) != pause)
		cond_resched();
}

/*
 * One round as the module runs it: collect, arm again what was logged while the writer goes on, flush, and only then
 * look at the pages. A page that was not logged must still hold what was seen after the last flush. Returns how many do
 * not.
 */
static unsigned int race_round(u64 *known)
{
	unsigned int i, unknown, twice, missed = 0, logged = 0;

	msleep(1);
	pause_writer(true);
	collect(&unknown, &twice);
	for (i = 0; i < RACE_PAGES; i++)
		missed += !test_bit(frames[i], seen) && value_of(i) != known[i];
	pause_writer(false);
	for (i = 0; i < RACE_PAGES; i++)
		if (test_bit(frames[i], seen))
			list[logged++] = frames[i];
	if (logged)
		ooh_hypercall(OOH_HC_ARM, virt_to_phys(list), logged, 0);
	drain(OOH_DRAIN_FLUSH);
	for (i = 0; i < RACE_PAGES; i++)
		if (test_bit(frames[i], seen))
			known[i] = value_of(i);
	return missed;
}

void test_race(void)
{
	unsigned int other = cpumask_any_but(cpu_online_mask, raw_smp_processor_id()), i, missed = 0;
	u64 *known = kcalloc(RACE_PAGES, sizeof(*known), GFP_KERNEL);
	struct task_struct *task;

	if (!known || other >= nr_cpu_ids) {
		kfree(known);
		return;
	}
	set_ring(8192);
	memset(&writer, 0, sizeof(writer));
	for (i = 0; i < RACE_PAGES; i++)
		known[i] = value_of(i);
	arm_many(512);
	task = kthread_create(write_all_the_time, NULL, "ooh_hvtest_writer");
	kthread_bind(task, other);
	wake_up_process(task);
	for (i = 0; i < 200; i++)
		missed += race_round(known);
	writer.stop = true;
	kthread_stop(task);
	pr_info("# %llu stores in 200 rounds\n", writer.stores);
	claim_equal(missed, 0, "a writer on another CPU is never missed while frames are armed and flushed");
	ooh_hypercall(OOH_HC_RESET, 0, 0, 0);
	drain(OOH_DRAIN_FLUSH);
	kfree(known);
}

void test_overflow(void)
{
	u64 frame, dropped = info()->dropped;
	unsigned int got = 0;

	set_ring(512);
	arm_many(2048);
	store_many(2048);
	drain(0);
	while (take(&frame))
		got++;
	claim_equal(got, 512, "a full ring keeps what fits");
	claim(ring->flags & OOH_RING_OVERFLOW, "and says that it overflowed");
	claim_equal(info()->dropped - dropped, 2048 - 512, "and how much was dropped");
}

void test_reset(void)
{
	unsigned int i;
	bool ok = true;
	u64 frame;

	set_ring(8192);
	arm_many(MANY);
	claim_equal(ooh_hypercall(OOH_HC_RESET, 0, 0, 0), 0, "RESET");
	drain(OOH_DRAIN_FLUSH);
	claim_equal(info()->split, 0, "gives every large page back");
	claim_equal(info()->armed, 0, "disarms every frame");
	store_many(MANY);
	drain(0);
	claim(!take(&frame), "stores are not logged after it");
	for (i = 0; i < 100 && ok; i++) {
		ok = arm_many(MANY);
		store_many(i * 7 % MANY);
		ooh_hypercall(OOH_HC_RESET, 0, 0, 0);
		drain(OOH_DRAIN_FLUSH);
		skip_ring();
	}
	claim(ok, "100 rounds of ARM and RESET do not use its pages up");
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
}

/* ---- figures, not claims ---- */

static u64 cycles_of_cpuid(void)
{
	u64 start = rdtsc_ordered();

	cpuid_eax(0);
	return rdtsc_ordered() - start;
}

static u64 cycles_of_call(unsigned int nr, u64 a, u64 b)
{
	u64 start = rdtsc_ordered();

	ooh_hypercall(nr, a, b, 0);
	return rdtsc_ordered() - start;
}

/* 512 stores, one a page: with none armed, then armed, where the last ones may be flushed out by a full log. */
static u64 cycles_of_stores(void)
{
	u64 start = rdtsc_ordered();

	store_many(512);
	return rdtsc_ordered() - start;
}

void show_costs(void)
{
	u64 plain, armed;

	set_ring(8192);
	memcpy(list, frames, PAGE_SIZE);
	store_many(512);
	plain = cycles_of_stores();
	pr_info("# cycles: CPUID %llu, empty DRAIN %llu\n", cycles_of_cpuid(), cycles_of_call(OOH_HC_DRAIN, 0, 0));
	pr_info("# cycles: ARM of 512, splitting %llu\n", cycles_of_call(OOH_HC_ARM, virt_to_phys(list), 512));
	drain(OOH_DRAIN_FLUSH);
	armed = cycles_of_stores();
	pr_info("# cycles: 512 stores %llu, armed %llu; DRAIN %llu\n", plain, armed,
		cycles_of_call(OOH_HC_DRAIN, 0, 0));
	pr_info("# cycles: ARM of 512 again %llu, DRAIN with FLUSH %llu\n",
		cycles_of_call(OOH_HC_ARM, virt_to_phys(list), 512),
		cycles_of_call(OOH_HC_DRAIN, OOH_DRAIN_FLUSH, 0));
	pr_info("# cycles: RESET %llu\n", cycles_of_call(OOH_HC_RESET, 0, 0));
	drain(OOH_DRAIN_FLUSH);
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
}

void show_exits(void)
{
	const struct ooh_hv_info *i = info();
	unsigned int r;

	for (r = 0; r < EXIT_REASON_COUNT; r++)
		if (i->exits_by_reason[r])
			pr_info("# exits: %s %llu\n", exit_reason_name(r), i->exits_by_reason[r]);
}
