/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kernel moves pages: swap, compaction and migration, KSM. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sound.h"

#define SWAP_DEV   "/dev/zram0"
#define SWAP_BYTES (64u << 20)

static void swap_on(void)
{
	char header[PG] = { 0 };
	int fd;

	swapoff(SWAP_DEV);
	if (!put_file("/sys/block/zram0/reset", "1") || !put_file("/sys/block/zram0/disksize", "67108864"))
		skip("no zram");
	*(uint32_t *)(header + 1024) = 1; /* version; then the last page */
	*(uint32_t *)(header + 1028) = SWAP_BYTES / PG - 1;
	memcpy(header + PG - 10, "SWAPSPACE2", 10);
	fd = open(SWAP_DEV, O_RDWR | O_CLOEXEC);
	NEED(fd >= 0 && write(fd, header, PG) == (ssize_t)PG && !fsync(fd));
	close(fd);
	NEED(!swapon(SWAP_DEV, 0));
}

static void out(char *p, size_t pages)
{
	NEED(!madvise(p, pages * PG, MADV_PAGEOUT));
}

static void swap(void)
{
	char *p = resident(256);

	swap_on();
	track(p, 256);
	touch(p, 64);
	out(p, 128);
	round_of("written, then swapped out");
	round_of("nothing");
	for (int i = 100; i < 110; i++)
		*(volatile char *)(p + i * PG);
	round_of("clean pages swapped in by reads");
	touch(p + 40 * PG, 30);
	round_of("swapped in by stores");
	out(p, 256);
	touch(p + 3 * PG, 3);
	out(p, 10);
	touch(p + 4 * PG, 1);
	round_of("out, written, out, written");
	out(p, 256);
	NEED(!madvise(p + 20 * PG, 5 * PG, MADV_DONTNEED));
	round_of("out and dropped");
	NEED(!swapoff(SWAP_DEV));
	touch(p + 100 * PG, 5);
	round_of("swapoff");
	touch(p, 256);
	round_of("all");
}

/* Swapped out clean in one round, gone in a later one. */
static void swap_later(void)
{
	char *p = resident(64);

	swap_on();
	track(p, 64);
	out(p, 64);
	round_of("swapped out");
	round_of("nothing");
	NEED(!madvise(p + 5 * PG, 3 * PG, MADV_DONTNEED));
	round_of("dropped from swap");
	map(p + 20 * PG, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	NEED(!munmap(p + 30 * PG, 3 * PG));
	round_of("unmapped in swap");
	swapoff(SWAP_DEV);
}

static void swap_fork_touch(char *p)
{
	touch(p, 20);
}

static void swap_fork(void)
{
	char *p = resident(64);

	swap_on();
	track(p, 64);
	touch(p, 10);
	out(p, 64);
	wait_child(child(swap_fork_touch, p));
	touch(p + 5 * PG, 10);
	round_of("swapped out, fork, both write");
	out(p, 64);
	NEED(!mprotect(p, 32 * PG, PROT_READ) && !mprotect(p, 32 * PG, PROT_READ | PROT_WRITE));
	touch(p + 30 * PG, 4);
	round_of("swapped out, mprotect, stores");
	out(p, 64);
	NEED(mremap(p, 8 * PG, 8 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p + 40 * PG) == p + 40 * PG);
	round_of("swap entries moved");
	touch(p + 41 * PG, 2);
	round_of("stores after that");
	swapoff(SWAP_DEV);
}

static void swap_many(void)
{
	char *p = resident(2048);

	swap_on();
	track(p, 2048);
	touch(p + 100 * PG, 200);
	for (int i = 0; i < 4; i++) {
		touch(p + (size_t)i * 300 * PG, 100);
		out(p + (size_t)i * 256 * PG, 1024);
		touch(p + (size_t)i * 311 * PG, 50);
		round_of("pages go and come, %d", i);
	}
	round_of("nothing");
	swapoff(SWAP_DEV);
}

static void compaction(void)
{
	const size_t n = 512;
	char *p = resident(n);

	track(p, n);
	for (int i = 0; i < 4; i++) {
		char *hole = resident(2 * n);

		for (size_t k = 0; k < 2 * n; k += 2)
			madvise(hole + k * PG, PG, MADV_DONTNEED);
		touch(p + 50 * PG, 3);
		if (!put_file("/proc/sys/vm/compact_memory", "1"))
			skip("no compaction");
		touch(p + 5 * PG, 3);
		round_of("stores around a compaction");
		munmap(hole, 2 * n * PG);
	}
	touch(p, n);
	round_of("all");
}

static void move_them(void)
{
	char *p = resident(64);
	void *pages[64];
	int nodes[64] = { 0 }, status[64];

	for (int i = 0; i < 64; i++)
		pages[i] = p + i * PG;
	track(p, 64);
	touch(p + 5 * PG, 3);
	if (syscall(SYS_move_pages, 0, 64, pages, nodes, status, 4) && errno == ENOSYS)
		skip("no move_pages(2)");
	touch(p + 7 * PG, 3);
	round_of("move_pages(2)");
	NEED(!syscall(SYS_mbind, p, 64 * PG, 2 /* MPOL_BIND */, &(unsigned long){ 1 }, 64, 2 | 1) || errno);
	touch(p + 30 * PG, 3);
	round_of("mbind(2)");
}

static long merged(void)
{
	return get_number("/proc/self/ksm_merging_pages");
}

static void ksm(void)
{
	char *p = resident(64);

	if (!put_file("/sys/kernel/mm/ksm/run", "1"))
		skip("no KSM");
	put_file("/sys/kernel/mm/ksm/sleep_millisecs", "1");
	put_file("/sys/kernel/mm/ksm/pages_to_scan", "10000");
	NEED(!madvise(p, 64 * PG, MADV_MERGEABLE));
	track(p, 64);
	memset(p, 0x5a, 64 * PG);
	for (int i = 0; i < 20 && merged() < 60; i++)
		usleep(50000);
	round_of("equal pages written, then merged: %ld", merged());
	round_of("nothing");
	touch(p + 9 * PG, 3);
	round_of("stores to merged pages");
	memset(p + 9 * PG, 0x5a, 3 * PG);
	usleep(200000);
	put_file("/sys/kernel/mm/ksm/run", "2");
	round_of("merged again, all taken apart");
	touch(p, 64);
	round_of("all");
	put_file("/sys/kernel/mm/ksm/run", "0");
}

const struct scenario sound_swap[] = {
	{ .name = "swap", .run = swap },
	{ .name = "swap, dropped in a later round", .run = swap_later },
	{ .name = "swap, with fork, mprotect, mremap", .run = swap_fork },
	{ .name = "swap, many pages", .run = swap_many },
	{ .name = "compaction", .run = compaction },
	{ .name = "move_pages, mbind", .run = move_them },
	{ .name = "KSM", .run = ksm },
	{ 0 },
};
