// SPDX-License-Identifier: GPL-2.0-only
/*
 * A test double of the hypervisor, for testing ooh.ko in any virtual machine. It is no backend: it needs a copy of
 * every armed frame, compares all of them at every drain, and cannot see a store that writes what was there before.
 *
 * It exports what ooh_hv.ko exports and keeps the contract of abi/hypercall.h, where that leaves freedom, at its worst:
 *  - a frame is "armed" only when every CPU has flushed after the ARM: stores before are never logged;
 *  - a logged frame lies in the log of one CPU (by its number) until that CPU drains;
 *  - entries come in an order of the double's choosing.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <linux/timex.h>
#include <linux/xarray.h>

#include "../../abi/hv_loader.h"
#include "../../abi/hypercall.h"

static unsigned int arm_fails;
module_param(arm_fails, uint, 0644);
MODULE_PARM_DESC(arm_fails, "every so many-th ARM answers ENOMEM, after half of its list (0: never)");

static bool no_log;
module_param(no_log, bool, 0644);
MODULE_PARM_DESC(no_log, "log nothing: a broken hypervisor, to see that tests notice");

static bool log_all;
module_param(log_all, bool, 0644);
MODULE_PARM_DESC(log_all, "take every armed frame for written, without looking: to measure what rounds cost above");

static unsigned long cycles;
module_param(cycles, ulong, 0644);
MODULE_PARM_DESC(cycles, "TSC cycles spent in the double");

enum state { IDLE, WAITING, ARMED };

struct frame {
	enum state state;
	u8 copy[PAGE_SIZE];
};

static DEFINE_SPINLOCK(lock); /* everything below; interrupts off */
static DEFINE_XARRAY_FLAGS(frames, XA_FLAGS_LOCK_IRQ);
static struct cpumask flushed; /* since the last ARM */
static struct ooh_hv_ring *ring;
static u64 nr_ring;
static struct ooh_hv_info info;
static unsigned int arms;
static bool active;
static u64 epoch;

static bool is_ram(u64 pfn)
{
	return pfn < (1ull << 40) && pfn_valid(pfn);
}

static void *frame_memory(u64 pfn)
{
	return phys_to_virt(pfn << PAGE_SHIFT);
}

static void forget_all(void)
{
	unsigned long pfn;
	struct frame *f;

	xa_for_each(&frames, pfn, f) {
		xa_erase_irq(&frames, pfn);
		kfree(f);
	}
	info.armed = 0;
}

static void log_frame(u64 pfn)
{
	const u64 *list = phys_to_virt(ring->pages);
	u64 slot, *page;

	info.logged++;
	if (ring->head - READ_ONCE(ring->tail) >= nr_ring) {
		info.dropped++;
		__atomic_or_fetch(&ring->flags, OOH_RING_OVERFLOW, __ATOMIC_SEQ_CST);
		return;
	}
	slot = ring->head % nr_ring;
	page = phys_to_virt(list[slot / 512]);
	page[slot % 512] = pfn;
	smp_store_release(&ring->head, ring->head + 1);
}

static long drain(u64 flags)
{
	const unsigned int cpu = smp_processor_id();
	unsigned long pfn;
	struct frame *f;
	long n = 0;

	if (!ring)
		return OOH_HC_ENORING;
	xa_for_each(&frames, pfn, f) {
		if (f->state != ARMED || pfn % num_online_cpus() != cpu % num_online_cpus())
			continue;
		if (no_log || (!log_all && !memcmp(f->copy, frame_memory(pfn), PAGE_SIZE)))
			continue;
		f->state = IDLE;
		info.armed--;
		log_frame(pfn);
		n++;
	}
	if (!(flags & OOH_DRAIN_FLUSH))
		return n;
	cpumask_set_cpu(cpu, &flushed);
	if (!cpumask_subset(cpu_online_mask, &flushed))
		return n;
	cpumask_clear(&flushed);
	xa_for_each(&frames, pfn, f) {
		if (f->state != WAITING)
			continue;
		memcpy(f->copy, frame_memory(pfn), PAGE_SIZE);
		f->state = ARMED;
	}
	return n;
}

static long arm_one(u64 pfn)
{
	struct frame *f;

	if (!is_ram(pfn))
		return OOH_HC_EFAULT;
	f = xa_load(&frames, pfn);
	if (!f)
		return OOH_HC_ENOMEM;
	/* Logged already, or its store not yet seen: what is pending stays so, as an entry in a CPU's log would. */
	if (f->state == ARMED && memcmp(f->copy, frame_memory(pfn), PAGE_SIZE))
		log_frame(pfn);
	if (f->state == IDLE)
		info.armed++;
	f->state = WAITING;
	cpumask_clear(&flushed);
	return 0;
}

static long arm(const u64 *list, u64 nr)
{
	u64 i, limit = nr;
	long rc = 0;

	if (!ring)
		return OOH_HC_ENORING;
	if (arm_fails && !(++arms % arm_fails))
		limit = nr / 2;
	for (i = 0; i < limit && !rc; i++)
		rc = arm_one(list[i]);
	if (!rc && limit < nr)
		rc = OOH_HC_ENOMEM;
	return rc ? rc : (long)nr;
}

static long disarm(const u64 *list, u64 nr)
{
	struct frame *f;
	u64 i;

	for (i = 0; i < nr; i++) {
		f = xa_load(&frames, list[i]);
		if (!f || f->state == IDLE)
			continue;
		f->state = IDLE;
		info.armed--;
	}
	return nr;
}

static long set_ring(u64 gpa)
{
	if (!gpa) {
		ring = NULL;
		return 0;
	}
	ring = phys_to_virt(gpa);
	nr_ring = ring->capacity;
	if (ring->version != OOH_HC_VERSION || !nr_ring || nr_ring % 512 || (nr_ring & (nr_ring - 1))) {
		ring = NULL;
		return OOH_HC_EINVAL;
	}
	return 0;
}

static long get_info(u64 gpa, u64 size)
{
	info.size = sizeof(info);
	info.version = OOH_HC_VERSION;
	info.cpus = num_online_cpus();
	info.features = OOH_HV_PML;
	memcpy(phys_to_virt(gpa), &info, min_t(u64, size, sizeof(info)));
	return 0;
}

static long call_locked(unsigned int nr, u64 a, u64 b)
{
	info.hypercalls++;
	switch (nr) {
	case OOH_HC_INFO:
		return get_info(a, b);
	case OOH_HC_SET_RING:
		return set_ring(a);
	case OOH_HC_ARM:
		return arm(phys_to_virt(a), b);
	case OOH_HC_DISARM:
		return disarm(phys_to_virt(a), b);
	case OOH_HC_DRAIN:
		return drain(a);
	case OOH_HC_RESET:
		forget_all();
		return 0;
	}
	return OOH_HC_ENOSYS;
}

/* Copies cannot be allocated under the lock. */
static void make_room(const u64 *list, u64 nr)
{
	struct frame *f;
	u64 i;

	for (i = 0; i < nr; i++) {
		if (!is_ram(list[i]) || xa_load(&frames, list[i]))
			continue;
		f = kzalloc(sizeof(*f), GFP_KERNEL);
		if (f && xa_insert_irq(&frames, list[i], f, GFP_KERNEL))
			kfree(f);
	}
}

long ooh_hypercall(unsigned int nr, u64 a, u64 b, u64 c)
{
	const u64 began = get_cycles();
	unsigned long flags;
	long rc;

	if (!active)
		return OOH_HC_ENOSYS;
	if ((nr == OOH_HC_ARM || nr == OOH_HC_DISARM) && (!b || b > 512 || !PAGE_ALIGNED(a)))
		return OOH_HC_EINVAL;
	if (nr == OOH_HC_ARM)
		make_room(phys_to_virt(a), b);
	spin_lock_irqsave(&lock, flags);
	rc = call_locked(nr, a, b);
	cycles += get_cycles() - began;
	spin_unlock_irqrestore(&lock, flags);
	return rc;
}
EXPORT_SYMBOL_GPL(ooh_hypercall);

int ooh_hv_enable(void)
{
	if (active)
		return -EALREADY;
	active = true;
	epoch++;
	return 0;
}
EXPORT_SYMBOL_GPL(ooh_hv_enable);

int ooh_hv_disable(void)
{
	unsigned long flags;

	if (!active)
		return -EALREADY;
	spin_lock_irqsave(&lock, flags);
	active = false;
	epoch++;
	ring = NULL;
	spin_unlock_irqrestore(&lock, flags);
	forget_all();
	return 0;
}
EXPORT_SYMBOL_GPL(ooh_hv_disable);

bool ooh_hv_active(void)
{
	return active;
}
EXPORT_SYMBOL_GPL(ooh_hv_active);

u64 ooh_hv_epoch(void)
{
	return epoch;
}
EXPORT_SYMBOL_GPL(ooh_hv_epoch);

static int __init double_init(void)
{
	pr_warn("ooh: this is a test double, not a hypervisor\n");
	return 0;
}

static void __exit double_exit(void)
{
	forget_all();
}

module_init(double_init);
module_exit(double_exit);

MODULE_DESCRIPTION("Test double of the hypervisor: for tests of ooh.ko only");
MODULE_LICENSE("GPL");
