// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hypervisor below: its loader's functions (found with symbol_get(), so that neither module needs the other to
 * load), hypercalls, and the ring through which logged frame numbers arrive.
 */
#include <linux/io.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/vmalloc.h>

#include "../abi/hv_loader.h"
#include "ooh_mod.h"

#define ENTRIES_PER_PAGE (PAGE_SIZE / sizeof(u64))

static unsigned int ring_entries;
module_param(ring_entries, uint, 0444);
MODULE_PARM_DESC(ring_entries, "capacity of the log ring in entries (0: one for each page of RAM, at most 2 Mi)");

/* The loader's functions, while hv_refs > 0. Guarded by hv_ref_mutex. */
static DEFINE_MUTEX(hv_ref_mutex);
static unsigned int hv_refs;
static struct {
	typeof(&ooh_hv_enable) enable;
	typeof(&ooh_hv_disable) disable;
	typeof(&ooh_hv_active) active;
	typeof(&ooh_hv_epoch) epoch;
	typeof(&ooh_hypercall) call;
} hv;

DEFINE_MUTEX(ooh_hv_mutex);

static struct {
	struct ooh_hv_ring *head; /* H: one page, shared with the hypervisor */
	u64 *list;                /* H: guest-physical addresses of the pages */
	u64 **page;               /* H: the same pages, ours */
	unsigned long nr;         /* H: pages */
	u64 tail;                 /* H */
	u64 epoch;                /* H: of the hypervisor that was given the ring */
	u64 consumed, untagged, overflows; /* H */
} ring;

static u64 *arm_list;          /* H: one page */
static atomic64_t hypercalls = ATOMIC64_INIT(0);

static void put_symbols(void)
{
	if (hv.enable)
		symbol_put(ooh_hv_enable);
	if (hv.disable)
		symbol_put(ooh_hv_disable);
	if (hv.active)
		symbol_put(ooh_hv_active);
	if (hv.epoch)
		symbol_put(ooh_hv_epoch);
	if (hv.call)
		symbol_put(ooh_hypercall);
	memset(&hv, 0, sizeof(hv));
}

static int get_symbols(void)
{
	hv.enable = symbol_get(ooh_hv_enable);
	hv.disable = symbol_get(ooh_hv_disable);
	hv.active = symbol_get(ooh_hv_active);
	hv.epoch = symbol_get(ooh_hv_epoch);
	hv.call = symbol_get(ooh_hypercall);
	if (hv.enable && hv.disable && hv.active && hv.epoch && hv.call)
		return 0;
	put_symbols();
	return -ENOENT;
}

/* Takes a reference on the loader module, so that the functions below may be used. -ENOENT: it is not loaded. */
int ooh_hv_get(void)
{
	int err = 0;

	mutex_lock(&hv_ref_mutex);
	if (!hv_refs)
		err = get_symbols();
	if (!err)
		hv_refs++;
	mutex_unlock(&hv_ref_mutex);
	return err;
}

void ooh_hv_put(void)
{
	mutex_lock(&hv_ref_mutex);
	if (!--hv_refs)
		put_symbols();
	mutex_unlock(&hv_ref_mutex);
}

int ooh_hv_switch(bool on)
{
	return on ? hv.enable() : hv.disable();
}

bool ooh_hv_is_active(void)
{
	return hv.active();
}

u64 ooh_hypercalls(void)
{
	return atomic64_read(&hypercalls);
}

static long hypercall(unsigned int nr, u64 a, u64 b)
{
	atomic64_inc(&hypercalls);
	return hv.call(nr, a, b, 0);
}

/* ---- the ring ---- */

static unsigned long ring_capacity(void)
{
	unsigned long n = ring_entries ? ring_entries : totalram_pages();

	n = clamp(n, ENTRIES_PER_PAGE, OOH_RING_MAX_PAGES * ENTRIES_PER_PAGE);
	return roundup_pow_of_two(n);
}

static void ring_free(void)
{
	unsigned long i;

	for (i = 0; ring.page && i < ring.nr; i++)
		free_page((unsigned long)ring.page[i]);
	kvfree(ring.page);
	if (ring.list)
		free_pages_exact(ring.list, ring.nr * sizeof(u64));
	free_page((unsigned long)ring.head);
	ring.head = NULL;
	ring.list = NULL;
	ring.page = NULL;
	ring.nr = 0;
}

static int ring_alloc(void)
{
	unsigned long i;

	ring.nr = ring_capacity() / ENTRIES_PER_PAGE;
	ring.head = (void *)get_zeroed_page(GFP_KERNEL);
	ring.list = alloc_pages_exact(ring.nr * sizeof(u64), GFP_KERNEL | __GFP_ZERO);
	ring.page = kvcalloc(ring.nr, sizeof(*ring.page), GFP_KERNEL);
	if (!ring.head || !ring.list || !ring.page)
		goto no_memory;
	for (i = 0; i < ring.nr; i++) {
		ring.page[i] = (void *)get_zeroed_page(GFP_KERNEL);
		if (!ring.page[i])
			goto no_memory;
		ring.list[i] = virt_to_phys(ring.page[i]);
	}
	ring.head->version = OOH_HC_VERSION;
	ring.head->capacity = ring.nr * ENTRIES_PER_PAGE;
	ring.head->pages = virt_to_phys(ring.list);
	return 0;

no_memory:
	ring_free();
	return -ENOMEM;
}

/* Gives the ring, empty, to the hypervisor that runs now. */
static int ring_give(void)
{
	long rc;

	ring.epoch = hv.epoch();
	ring.tail = 0;
	ring.head->head = 0;
	ring.head->tail = 0;
	ring.head->flags = 0;
	rc = hypercall(OOH_HC_SET_RING, virt_to_phys(ring.head), 0);
	if (rc < 0)
		pr_err_ratelimited("ooh: the hypervisor refused the ring: %ld\n", rc);
	return rc < 0 ? -EIO : 0;
}

/*
 * The hypervisor was stopped and started behind our back (a CPU came or went, the machine slept): nothing is armed,
 * and nobody knows what was written meanwhile. -ENODEV: it does not run now.
 */
static int renew(void)
{
	int err;

	if (likely(hv.epoch() == ring.epoch))
		return 0;
	ooh_trackers_overflow();
	if (!hv.active())
		return -ENODEV;
	err = ring_give();
	return err ? -ENODEV : 0;
}

/* Of the first tracker that starts: gives the hypervisor a ring. */
int ooh_ring_open(void)
{
	int err = 0;

	mutex_lock(&ooh_hv_mutex);
	if (atomic_read(&ooh_started)) {
		err = renew();
		if (err)
			goto out;
		goto started;
	}
	arm_list = (void *)get_zeroed_page(GFP_KERNEL);
	err = arm_list ? ring_alloc() : -ENOMEM;
	if (err)
		goto no_ring;
	err = ring_give();
	if (err)
		goto refused;
started:
	atomic_inc(&ooh_started);
	mutex_unlock(&ooh_hv_mutex);
	return 0;

refused:
	ring_free();
no_ring:
	free_page((unsigned long)arm_list);
	arm_list = NULL;
out:
	mutex_unlock(&ooh_hv_mutex);
	return err;
}

static void flush_cpu(void *unused)
{
	hypercall(OOH_HC_DRAIN, OOH_DRAIN_FLUSH, 0);
}

/* Of the last tracker that stops: every frame is disarmed, large EPT pages return, the ring is freed. */
void ooh_ring_close(void)
{
	mutex_lock(&ooh_hv_mutex);
	if (!atomic_dec_and_test(&ooh_started))
		goto out;
	if (hv.active()) {
		hypercall(OOH_HC_RESET, 0, 0);
		on_each_cpu(flush_cpu, NULL, 1);
		hypercall(OOH_HC_SET_RING, 0, 0);
	}
	ring_free();
	free_page((unsigned long)arm_list);
	arm_list = NULL;
	ooh_frames_free();
out:
	mutex_unlock(&ooh_hv_mutex);
}

/* The flag is taken before the entries are read: what is dropped later sets it again. */
static void take_overflow(void)
{
	u32 old = READ_ONCE(ring.head->flags);

	while (old & OOH_RING_OVERFLOW) {
		u32 seen = cmpxchg(&ring.head->flags, old, old & ~OOH_RING_OVERFLOW);

		if (seen == old) {
			ring.overflows++;
			ooh_trackers_overflow();
			return;
		}
		old = seen;
	}
}

#define CONSUME_MAX 64u /* entries handled under one hold of the locks */

/* Entries from ring.tail on, up to head, that lie together. Returns their number. */
static unsigned int consume_some(u64 head)
{
	const u64 slot = ring.tail & (ring.nr * ENTRIES_PER_PAGE - 1), in_page = slot % ENTRIES_PER_PAGE;
	const unsigned int nr = min3((u64)CONSUME_MAX, head - ring.tail, ENTRIES_PER_PAGE - in_page);
	struct ooh_logger logger = { .t = NULL };
	unsigned int tagged;

	tagged = ooh_frames_for_each(ring.page[slot / ENTRIES_PER_PAGE] + in_page, nr, ooh_page_logged, &logger);
	ooh_logger_end(&logger);
	ring.untagged += nr - tagged;
	return nr;
}

static void consume(void)
{
	u64 head, first = ring.tail;

	take_overflow();
	head = smp_load_acquire(&ring.head->head);
	while (ring.tail != head)
		ring.tail += consume_some(head);
	ring.consumed += head - first;
	smp_store_release(&ring.head->tail, ring.tail);
}

struct drain {
	u64 flags;
	atomic_t failed;
};

static void drain_cpu(void *arg)
{
	struct drain *d = arg;

	if (hypercall(OOH_HC_DRAIN, d->flags, 0) < 0)
		atomic_inc(&d->failed);
}

/*
 * Moves every CPU's log into the ring and, but for a flush that ends a round, hands the entries to the trackers. With
 * flush, stores after it to frames armed before it are logged. A CPU that does not answer is a log that was lost.
 * -ENODEV: no hypervisor.
 */
int ooh_drain(bool flush)
{
	struct drain d = { .flags = flush ? OOH_DRAIN_FLUSH : 0 };
	int err;

	mutex_lock(&ooh_hv_mutex);
	err = atomic_read(&ooh_started) ? renew() : -ENODEV;
	if (err)
		goto out;
	on_each_cpu(drain_cpu, &d, 1);
	if (atomic_read(&d.failed)) {
		pr_err_ratelimited("ooh: the hypervisor did not drain %d CPUs\n", atomic_read(&d.failed));
		ooh_trackers_overflow();
	}
	if (!flush)
		consume();
out:
	mutex_unlock(&ooh_hv_mutex);
	return err;
}

/*
 * Arms nr <= OOH_LIST_MAX frames, with effect from the next ooh_drain(true) on. Of an error (a frame that is not RAM,
 * no page to split a large one) some of them are armed. H is held. Returns 0 or OOH_HC_E*.
 */
int ooh_arm(const u64 *pfn, unsigned int nr)
{
	long rc;

	lockdep_assert_held(&ooh_hv_mutex);
	memcpy(arm_list, pfn, nr * sizeof(u64));
	rc = hypercall(OOH_HC_ARM, virt_to_phys(arm_list), nr);
	return rc < 0 ? rc : 0;
}

/* A frame that stays armed costs one log entry that nobody waits for, so an error is of no consequence. H is held. */
void ooh_disarm(const u64 *pfn, unsigned int nr)
{
	lockdep_assert_held(&ooh_hv_mutex);
	if (!nr)
		return;
	memcpy(arm_list, pfn, nr * sizeof(u64));
	hypercall(OOH_HC_DISARM, virt_to_phys(arm_list), nr);
}

/* ---- status ---- */

static void status_of_hv(struct ooh_status *st)
{
	struct ooh_hv_info *info = (void *)get_zeroed_page(GFP_KERNEL);

	if (!info || hypercall(OOH_HC_INFO, virt_to_phys(info), sizeof(*info)) < 0)
		goto out;
	st->hv_version = info->version;
	st->hv_cpus = info->cpus;
	st->hv_features = info->features;
	st->hv_memory = info->memory;
	st->hv_armed = info->armed;
	st->hv_split = info->split;
	st->hv_exits = info->exits;
	st->hv_hypercalls = info->hypercalls;
	st->hv_logged = info->logged;
	st->hv_dropped = info->dropped;
	BUILD_BUG_ON(sizeof(st->hv_exits_by_reason) != sizeof(info->exits_by_reason));
	memcpy(st->hv_exits_by_reason, info->exits_by_reason, sizeof(st->hv_exits_by_reason));
out:
	free_page((unsigned long)info);
}

void ooh_hv_status(struct ooh_status *st)
{
	st->state = OOH_HV_ABSENT;
	if (!ooh_hv_get()) {
		st->state = hv.active() ? OOH_HV_ACTIVE : OOH_HV_INACTIVE;
		if (st->state == OOH_HV_ACTIVE)
			status_of_hv(st);
		ooh_hv_put();
	}
	mutex_lock(&ooh_hv_mutex);
	st->ring_entries = ring.nr * ENTRIES_PER_PAGE;
	st->ring_consumed = ring.consumed;
	st->ring_untagged = ring.untagged;
	st->overflows = ring.overflows;
	mutex_unlock(&ooh_hv_mutex);
	st->hypercalls = ooh_hypercalls();
}
