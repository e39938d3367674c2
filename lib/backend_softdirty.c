/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The backend "soft-dirty": /proc/PID/clear_refs and bit 55 of /proc/PID/pagemap.
 *
 * What it cannot know, it reports: stores of others into shared mappings do not show in this process's page table, and a page
 * of a shared mapping that is reclaimed takes its bit with it, so shared mappings are handed over whole, as UNTRACKED; so are the
 * pages of a file in a private mapping, those of hugetlbfs, and where KSM is at work the mappings that it may merge. The bits are
 * one set for each process: a second tracker would clear what the first has not seen, and is refused. (Others who write to
 * clear_refs, like CRIU, do not know of the lock.)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scan.h"

struct soft_dirty {
	int lock;          /* clear_refs, locked */
	int kpageflags;    /* -1: not for this user */
	uint64_t zero_pfn; /* 0: not for this user */
};

/* May be of hugetlbfs, whose page map has no bit of a page's own. What else begins and ends so is rare among mappings of files. */
static bool may_be_hugetlb(const struct vma *vma)
{
	return vma->file && !((vma->start | vma->end) % (512 * PAGE));
}

/* Who may not see frame numbers cannot tell a page shared with a child from the zero page. */
static uint32_t classify(const struct scan *s, const struct vma *vma, uint64_t entry)
{
	const struct soft_dirty *d = s->priv;

	if (vma->shared)
		return entry & (PM_PRESENT | PM_SWAP) || vma->write ? OOH_PAGE_UNTRACKED : 0;
	if (vma->file && entry & PM_PRESENT && entry & PM_FILE) /* the file's own page: written through the file, it changes */
		return OOH_PAGE_UNTRACKED;
	if ((vma->mergeable || may_be_hugetlb(vma)) && entry & PM_PRESENT)
		return OOH_PAGE_UNTRACKED;
	if (!(entry & PM_SOFT_DIRTY))
		return entry & PM_PRESENT && !(entry & PM_EXCLUSIVE) && !d->zero_pfn ? OOH_PAGE_UNTRACKED : 0;
	if (entry & PM_PRESENT)
		return OOH_PAGE_WRITTEN;
	return entry & PM_SWAP ? OOH_PAGE_WRITTEN | OOH_PAGE_SWAPPED : 0; /* the bit of an empty page is the mapping's */
}

static int reset(struct scan *s, const struct vmas *vmas)
{
	(void)vmas;
	return process_write(&s->proc, "clear_refs", "4");
}

#define KPF_ZERO_PAGE (1ull << 24)

/*
 * The read of a page that was dropped maps the zero page, without the bit: the content has changed all the same. The huge zero
 * page lies where frame and virtual page agree, as all huge pages.
 */
static bool zero(struct scan *s, const struct vma *vma, uint64_t va, uint64_t entry)
{
	const struct soft_dirty *d = s->priv;
	uint64_t pfn = entry & PM_PFN, flags;

	if (!(entry & PM_PRESENT) || entry & PM_EXCLUSIVE || vma->shared || vma->file || !d->zero_pfn)
		return false;
	if (pfn == d->zero_pfn)
		return true;
	if ((pfn ^ va / PAGE) % 512 || pread(d->kpageflags, &flags, 8, (off_t)pfn * 8) != 8)
		return false;
	return flags & KPF_ZERO_PAGE;
}

static int prepare(struct scan *s, struct vmas *vmas)
{
	return process_mergeable(&s->proc, vmas);
}

static const struct scan_kind soft_dirty = { .classify = classify, .zero = zero, .prepare = prepare, .reset = reset };

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

/* The lock of a process's bits is a lock on its clear_refs. */
static int lock(struct process *p)
{
	int fd = openat(p->proc, "clear_refs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : errno == EACCES ? -EPERM : -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int err = errno == EWOULDBLOCK ? -EBUSY : -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* Reads a page of its own that was never written. Both files are root's. */
static void learn_zero(struct soft_dirty *d)
{
	volatile char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct process self;
	uint64_t entry;

	d->kpageflags = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	if (page == MAP_FAILED)
		return;
	(void)page[0];
	if (d->kpageflags >= 0 && !process_open(&self, getpid(), true)) {
		if (!process_pagemap(&self, (uintptr_t)page, &entry, 1))
			d->zero_pfn = entry & PM_PFN;
		process_close(&self);
	}
	munmap((void *)page, PAGE);
}

static int sd_open(struct ooh_tracker *t)
{
	struct soft_dirty *d = calloc(1, sizeof(*d));
	int err = d ? scan_open(t, &soft_dirty) : -ENOMEM;

	if (err) {
		free(d);
		return err;
	}
	d->lock = lock(&scan_of(t)->proc);
	if (d->lock < 0) {
		err = d->lock;
		scan_close(t);
		free(d);
		return err;
	}
	learn_zero(d);
	scan_of(t)->priv = d;
	return 0;
}

static void sd_close(struct ooh_tracker *t)
{
	struct soft_dirty *d = scan_of(t)->priv;

	flock(d->lock, LOCK_UN); /* a child of the caller may have the descriptor, too */
	close(d->lock);
	if (d->kpageflags >= 0)
		close(d->kpageflags);
	free(d);
	scan_close(t);
}

const struct backend_ops backend_soft_dirty = {
	.info = {
		.name = "soft-dirty",
		.summary = "the kernel's soft-dirty bits (/proc/PID/clear_refs, pagemap)",
		.caps = OOH_CAP_OTHER,
	},
	.probe = sd_probe,
	.open = sd_open,
	.close = sd_close,
	.add = scan_add,
	.del = scan_del,
	.start = scan_start,
	.stop = scan_stop,
	.collect = scan_collect,
	.stats = scan_stats,
};
