/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The backend "soft-dirty": /proc/PID/clear_refs and bit 55 of /proc/PID/pagemap.
 *
 * What it cannot know, it reports: stores of others into shared mappings do not show in this process's page table, and a page
 * of a shared mapping that is reclaimed takes its bit with it, so shared mappings are handed over whole, as UNTRACKED.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scan.h"

static uint32_t classify(const struct scan *s, const struct vma *vma, uint64_t entry)
{
	(void)s;
	if (vma->shared)
		return entry & (PM_PRESENT | PM_SWAP) || vma->write ? OOH_PAGE_UNTRACKED : 0;
	if (!(entry & PM_SOFT_DIRTY))
		return 0;
	if (entry & PM_PRESENT)
		return OOH_PAGE_WRITTEN;
	return entry & PM_SWAP ? OOH_PAGE_WRITTEN | OOH_PAGE_SWAPPED : 0; /* the bit of an empty page is the mapping's */
}

static int reset(struct scan *s, const struct vmas *vmas)
{
	(void)vmas;
	return process_write(&s->proc, "clear_refs", "4");
}

static const struct scan_kind soft_dirty = { classify, reset };

/* clear_refs "succeeds" on kernels without soft-dirty, so the bit itself is tried: set, cleared, set again by a store. */
static int try_bit(struct process *p, volatile char *page)
{
	uint64_t before, cleared, after;
	int err;

	page[0] = 1;
	err = process_pagemap(p, (uintptr_t)page, &before, 1);
	if (!err)
		err = process_write(p, "clear_refs", "4");
	if (!err)
		err = process_pagemap(p, (uintptr_t)page, &cleared, 1);
	page[0] = 2;
	if (!err)
		err = process_pagemap(p, (uintptr_t)page, &after, 1);
	if (err)
		return err;
	return before & PM_SOFT_DIRTY && !(cleared & PM_SOFT_DIRTY) && after & PM_SOFT_DIRTY ? 0 : -EOPNOTSUPP;
}

static int try_in_child(void)
{
	volatile char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct process p;
	int err;

	if (page == MAP_FAILED)
		return errno;
	err = process_open(&p, getpid(), true);
	return -(err ? err : try_bit(&p, page));
}

/* In a child, because clearing the caller's bits could take them from somebody who tracks it. */
static int sd_probe(char *why, size_t n)
{
	pid_t child = process_fork_quiet();
	int err;

	if (child == 0)
		_exit(try_in_child());
	err = child < 0 ? child : -process_wait_quiet(child);
	if (err == -EOPNOTSUPP)
		return probe_says(why, n, err, "this kernel has no soft-dirty (CONFIG_MEM_SOFT_DIRTY)");
	return err ? probe_says(why, n, err, "/proc/self/pagemap: %s", strerror(-err)) : 0;
}

static int sd_open(struct ooh_tracker *t)
{
	return scan_open(t, &soft_dirty);
}

const struct backend_ops backend_soft_dirty = {
	.info = {
		.name = "soft-dirty",
		.summary = "the kernel's soft-dirty bits (/proc/PID/clear_refs, pagemap)",
		.caps = OOH_CAP_OTHER,
	},
	.probe = sd_probe,
	.open = sd_open,
	.close = scan_close,
	.add = scan_add,
	.del = scan_del,
	.start = scan_start,
	.stop = scan_stop,
	.collect = scan_collect,
	.stats = scan_stats,
};
