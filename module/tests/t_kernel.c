// SPDX-License-Identifier: GPL-2.0-only
/* A process that tracks itself while the kernel moves its pages (migration, KSM, swap) or lets devices write to them. */
#define _GNU_SOURCE
#include "ooh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HUGE (2ul << 20)

static struct area a;

/* ---- the kernel moves pages ---- */

static void t_soft_dirty(void)
{
	char *p = area_anon(&a, 64);

	if (!put_file("/proc/self/clear_refs", "4"))
		skip("no clear_refs");
	area_round(&a, "soft-dirty bits cleared");
	touch(p + 5 * PG, 3);
	area_round(&a, "stores");
	CHECK(a.seen[5] & a.seen[6] & a.seen[7] & OOH_PAGE_WRITTEN);
	area_idle(&a, "soft-dirty");
}

static void t_migrate(void)
{
	const size_t n = 512;
	char *p = area_anon(&a, n);
	int i;

	for (i = 0; i < 4; i++) {
		char *hole = map_anon(2 * n);
		size_t k;

		touch(hole, 2 * n);
		for (k = 0; k < 2 * n; k += 2)
			madvise(hole + k * PG, PG, MADV_DONTNEED);
		if (!put_file("/proc/sys/vm/compact_memory", "1"))
			skip("no compaction");
		touch(p + 5 * PG, 3);
		area_round(&a, "compaction");
		CHECK(a.seen[5] && a.seen[6] && a.seen[7]);
		munmap(hole, 2 * n * PG);
	}
	touch(p, n);
	area_round(&a, "stores");
	area_idle(&a, "compaction");
}

static void t_ksm(void)
{
	char *p = area_anon(&a, 64);
	int i;

	if (!put_file("/sys/kernel/mm/ksm/run", "1"))
		skip("no KSM");
	put_file("/sys/kernel/mm/ksm/sleep_millisecs", "1");
	put_file("/sys/kernel/mm/ksm/pages_to_scan", "10000");
	CHECK(!madvise(p, 64 * PG, MADV_MERGEABLE));
	memset(p, 0x5a, 64 * PG);
	area_round(&a, "equal pages");
	for (i = 0; i < 5; i++) {
		usleep(200000);
		area_round(&a, "merging");
	}
	touch(p + 9 * PG, 3);
	area_round(&a, "stores to merged pages");
	CHECK(a.seen[9] && a.seen[10] && a.seen[11]);
	put_file("/sys/kernel/mm/ksm/run", "2");
	area_round(&a, "all taken apart");
	touch(p, 64);
	area_round(&a, "stores");
}

#define SWAP_DEV "/dev/zram0"

static bool swap_on(void)
{
	char header[PG] = { 0 };
	int fd;

	put_file("/sys/block/zram0/reset", "1");
	if (!put_file("/sys/block/zram0/disksize", "33554432"))
		return false;
	fd = open(SWAP_DEV, O_RDWR);
	*(uint32_t *)(header + 1024) = 1;                         /* version */
	*(uint32_t *)(header + 1028) = (32u << 20) / PG - 1;      /* last page */
	memcpy(header + PG - 10, "SWAPSPACE2", 10);
	if (fd < 0 || write(fd, header, PG) != PG || fsync(fd))
		return false;
	close(fd);
	return !swapon(SWAP_DEV, 0);
}

static void t_swap(void)
{
	char *p = area_anon(&a, 256);

	if (!swap_on())
		skip("no zram swap: %s", strerror(errno));
	touch(p, 64);
	CHECK(!madvise(p, 128 * PG, MADV_PAGEOUT));
	area_collect(&a);
	CHECK(a.seen[0] & a.seen[63] & OOH_PAGE_WRITTEN, "%#x %#x", a.seen[0], a.seen[63]);
	area_copy_dirty(&a);
	area_round(&a, "swapped out and in again by looking");
	CHECK(!madvise(p, 128 * PG, MADV_PAGEOUT));
	touch(p + 3 * PG, 3);
	area_round(&a, "swapped out, some written");
	CHECK(a.seen[3] && a.seen[5]);
	CHECK(!madvise(p, 256 * PG, MADV_PAGEOUT));
	area_collect(&a);
	CHECK(!swapoff(SWAP_DEV), "%s", strerror(errno));
	/* swapoff put them back without a fault; mprotect may make them writable without one. */
	CHECK(!mprotect(p, 256 * PG, PROT_READ) && !mprotect(p, 256 * PG, PROT_READ | PROT_WRITE));
	touch(p + 100 * PG, 5);
	area_round(&a, "swapoff");
	CHECK(a.seen[100] && a.seen[104]);
	touch(p + 200 * PG, 5);
	area_round(&a, "stores");
	CHECK(a.seen[200] & a.seen[204] & OOH_PAGE_WRITTEN);
	area_idle(&a, "swap");
}

/* ---- devices ---- */

static void t_direct_io(void)
{
	char *p = area_anon(&a, 64);
	int fd = open("/dev/ram0", O_RDWR | O_DIRECT);
	int i;

	if (fd < 0)
		fd = open("/dev/vda", O_RDONLY | O_DIRECT);
	if (fd < 0)
		skip("no block device");
	for (i = 0; i < 3; i++) {
		scribble(p, PG);
		pwrite(fd, p, PG, 0);
		area_round(&a, "nothing yet");
		CHECK(pread(fd, p + 8 * PG, 4 * PG, 0) == 4 * (ssize_t)PG, "%s", strerror(errno));
		area_round(&a, "direct read");
		CHECK(a.seen[8] & a.seen[11] & OOH_PAGE_PINNED, "%#x", a.seen[8]);
	}
	area_idle(&a, "direct reads");
}

struct uring_params {
	uint32_t sq, cq, flags, cpu, idle, features, wq, resv[3];
	uint32_t off[20];
};

/* Buffers registered with io_uring are pinned: a device may write at any time. */
static void t_pinned(void)
{
	char *p = area_anon(&a, 64);
	struct uring_params par = { 0 };
	struct {
		void *base;
		size_t len;
	} iov = { p + 10 * PG, 4 * PG };
	int i, fd = syscall(SYS_io_uring_setup, 4, &par);

	if (fd < 0 || syscall(SYS_io_uring_register, fd, 0, &iov, 1))
		skip("no io_uring: %s", strerror(errno));
	for (i = 0; i < 3; i++) {
		area_round(&a, "pinned");
		CHECK(a.seen[10] & a.seen[13] & OOH_PAGE_PINNED, "%#x", a.seen[10]);
	}
	touch(p + 30 * PG, 1);
	CHECK(!syscall(SYS_io_uring_register, fd, 1, NULL, 0), "%s", strerror(errno));
	close(fd);
	usleep(300000);
	area_round(&a, "unpinned");
	area_idle(&a, "unpinning");
}

/* Pinned before START. */
static void t_pinned_before(void)
{
	char *p = map_anon(64);
	struct uring_params par = { 0 };
	struct {
		void *base;
		size_t len;
	} iov = { p + 10 * PG, 4 * PG };
	int fd = syscall(SYS_io_uring_setup, 4, &par);

	touch(p, 64);
	if (fd < 0 || syscall(SYS_io_uring_register, fd, 0, &iov, 1))
		skip("no io_uring: %s", strerror(errno));
	area_over(&a, p, 64);
	area_round(&a, "pinned before START");
	CHECK(a.seen[10] & a.seen[13] & OOH_PAGE_PINNED, "%#x", a.seen[10]);
	area_round(&a, "still pinned");
	CHECK(a.seen[10] & a.seen[13] & OOH_PAGE_PINNED, "%#x", a.seen[10]);
}

static void t_hugetlb(void)
{
	char *p;
	int i;

	put_file("/proc/sys/vm/nr_hugepages", "4");
	p = mmap(NULL, HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (p == MAP_FAILED)
		skip("no hugetlb pages");
	p[0] = 1;
	area_over(&a, p, HUGE / PG);
	for (i = 0; i < 2; i++) {
		p[100 * PG]++;
		area_round(&a, "hugetlbfs");
		CHECK(a.seen[0] == OOH_PAGE_UNTRACKED && a.dirty == HUGE / PG);
	}
	put_file("/proc/sys/vm/nr_hugepages", "0");
}

static void t_mlock(void)
{
	char *p = map_anon(64);

	area_over(&a, p, 64);
	CHECK(!mlock(p, 32 * PG), "%s", strerror(errno));
	area_round(&a, "mlock");
	touch(p, 40);
	area_round(&a, "stores");
	CHECK(!madvise(p + 40 * PG, 10 * PG, 23 /* MADV_POPULATE_WRITE */));
	touch(p + 41 * PG, 1);
	area_round(&a, "populated");
	touch(p + 42 * PG, 1);
	area_round(&a, "a store");
	area_written(&a, 42, 1);
}

const struct test kernel_tests[] = {
	{ "soft-dirty beside it", t_soft_dirty },
	{ "compaction", t_migrate },
	{ "KSM", t_ksm },
	{ "swap", t_swap },
	{ "direct I/O", t_direct_io },
	{ "pinned pages", t_pinned },
	{ "pinned before START", t_pinned_before },
	{ "hugetlbfs", t_hugetlb },
	{ "mlock and populate", t_mlock },
	{ NULL, NULL },
};
