// SPDX-License-Identifier: GPL-2.0-only
/* A process that tracks itself: whatever changes its memory must be reported, and an idle round must report nothing. */
#define _GNU_SOURCE
#include "ooh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE (2ul << 20)

static struct area a;

static void t_stores(void)
{
	char *p = area_anon(&a, 64);

	area_round(&a, "start");
	CHECK(!a.dirty, "present at START and not written, but %u reported", a.dirty);
	touch(p + 5 * PG, 1);
	area_round(&a, "one store");
	area_written(&a, 5, 1);
	touch(p, 64);
	area_round(&a, "a store to each");
	area_written(&a, 0, 64);
	touch(p + 7 * PG, 20);
	p[63 * PG + PG - 1]++;
	area_round(&a, "some");
	CHECK(a.dirty == 21);
	area_idle(&a, "stores");
}

/* More than a PML log, many times over. */
static void t_many(void)
{
	const size_t n = 6000;
	char *p = area_anon(&a, n);
	int i;

	for (i = 0; i < 3; i++) {
		touch(p, n);
		area_round(&a, "6000 pages");
		area_written(&a, 0, n);
	}
	area_idle(&a, "6000 pages");
}

static void t_new_pages(void)
{
	char *p = map_anon(64);

	area_over(&a, p, 64);
	touch(p + 3 * PG, 4);
	area_round(&a, "first touch");
	CHECK(a.seen[3] & OOH_PAGE_MAPPED);
	*(volatile char *)(p + 20 * PG);
	area_round(&a, "read of a page that is not there");
	p[20 * PG] = 1;
	area_round(&a, "store after that");
	CHECK(a.seen[20]);
	area_idle(&a, "new pages");
}

static void t_system_calls(void)
{
	char *p = area_anon(&a, 64);
	int fd[2], file = memfd_create("t", 0);
	char buf[100] = "written by somebody else";

	CHECK(!pipe(fd) && write(fd[1], buf, 100) == 100);
	CHECK(read(fd[0], p + 3 * PG + 50, 100) == 100);
	area_round(&a, "read of a pipe");
	area_written(&a, 3, 1);
	CHECK(write(file, buf, 100) == 100 && pread(file, p + 9 * PG - 50, 100, 0) == 100);
	area_round(&a, "pread of a file, over a page boundary");
	area_written(&a, 8, 2);
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, fd) && send(fd[0], buf, 100, 0) == 100);
	CHECK(recv(fd[1], p + 40 * PG, 100, 0) == 100);
	area_round(&a, "recv");
	area_written(&a, 40, 1);
	CHECK(getrandom(p + 50 * PG, 3 * PG, 0) == (ssize_t)(3 * PG));
	area_round(&a, "getrandom");
	area_written(&a, 50, 3);
	file = open("/proc/self/mem", O_RDWR);
	if (file >= 0 && pwrite(file, buf, 10, (uintptr_t)p + 60 * PG) == 10) {
		area_round(&a, "write to /proc/self/mem");
		CHECK(a.seen[60]);
	}
	area_idle(&a, "system calls");
}

static void in_child(void (*fn)(char *p), char *p, bool parent_too)
{
	pid_t pid = fork();

	if (!pid) {
		fn(p);
		_exit(0);
	}
	if (parent_too)
		fn(p + 30 * PG);
	CHECK(pid > 0 && waitpid(pid, NULL, 0) == pid);
}

static void touch_10(char *p)
{
	touch(p, 10);
}

static void t_fork(void)
{
	char *p = area_anon(&a, 64);

	in_child(touch_10, p, false);
	area_round(&a, "fork, the child writes");
	touch(p, 20);
	area_round(&a, "the parent writes after the child");
	in_child(touch_10, p, true);
	area_round(&a, "fork, both write");
	touch(p, 64);
	area_round(&a, "the parent writes all");
	in_child(touch_10, p + 10 * PG, true);
	touch(p + 30 * PG, 20);
	area_round(&a, "copy-on-write, then reuse");
	area_idle(&a, "forks");
}

static void t_unmap(void)
{
	char *p = area_anon(&a, 64);
	int file = memfd_create("t", 0);
	char buf[PG];

	memset(buf, 7, PG);
	munmap(p + 10 * PG, 5 * PG);
	area_round(&a, "munmap");
	CHECK(a.seen[10] & OOH_PAGE_ABSENT);
	map_at(p + 10 * PG, 5, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	touch(p + 11 * PG, 2);
	area_round(&a, "reuse of the addresses");
	map_at(p + 20 * PG, 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	area_round(&a, "MAP_FIXED over it");
	CHECK(write(file, buf, PG) == PG);
	map_at(p + 30 * PG, 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
	area_round(&a, "MAP_FIXED of a file over it");
	munmap(p + 40 * PG, PG);
	map_at(p + 40 * PG, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	touch(p + 40 * PG, 1);
	munmap(p + 40 * PG, PG);
	map_at(p + 40 * PG, 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	area_round(&a, "gone, back, written, gone");
	touch(p, 64);
	area_round(&a, "a store to each");
	area_idle(&a, "unmapping");
}

static void move(char *from, char *to, size_t pages)
{
	CHECK(mremap(from, pages * PG, pages * PG, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "%s", strerror(errno));
}

static void t_mremap(void)
{
	char *p = area_anon(&a, 64), *away = map_anon(64);
	char *more;

	touch(away, 64);
	move(p + 10 * PG, p + 40 * PG, 5);
	area_round(&a, "mremap within");
	move(away, p + 10 * PG, 5);
	area_round(&a, "mremap from elsewhere");
	move(p, away, 4);
	area_round(&a, "mremap to elsewhere");
	/* Two regions change places: each frame is one that is armed, for another page. */
	move(p + 20 * PG, away, 4);
	move(p + 30 * PG, p + 20 * PG, 4);
	move(away, p + 30 * PG, 4);
	area_round(&a, "two regions change places");
	touch(p + 20 * PG, 1);
	touch(p + 31 * PG, 1);
	area_round(&a, "stores after that");
	CHECK(a.seen[20] & OOH_PAGE_WRITTEN && a.seen[31] & OOH_PAGE_WRITTEN);
	munmap(p + 60 * PG, 4 * PG);
	area_round(&a, "munmap of the end");
	more = mremap(p + 50 * PG, 10 * PG, 14 * PG, 0);
	CHECK(more == p + 50 * PG);
	touch(p + 60 * PG, 4);
	area_round(&a, "grown in place");
	more = mremap(p + 50 * PG, 2 * PG, 2 * PG, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, away + 20 * PG);
	CHECK(more == away + 20 * PG, "%s", strerror(errno));
	area_round(&a, "MREMAP_DONTUNMAP");
	touch(p + 50 * PG, 2);
	area_round(&a, "stores to what was left");
	area_idle(&a, "mremap");
}

static void t_madvise(void)
{
	char *p = area_anon(&a, 64);

	CHECK(!madvise(p + 5 * PG, 10 * PG, MADV_DONTNEED));
	area_round(&a, "MADV_DONTNEED");
	touch(p + 5 * PG, 1);
	CHECK(!madvise(p + 5 * PG, PG, MADV_DONTNEED));
	area_round(&a, "store and MADV_DONTNEED");
	CHECK(a.seen[5]);
	touch(p + 5 * PG, 3);
	area_round(&a, "stores");
	CHECK(!madvise(p + 20 * PG, 10 * PG, MADV_FREE));
	area_round(&a, "MADV_FREE");
	madvise(p + 20 * PG, 10 * PG, MADV_PAGEOUT);
	area_round(&a, "MADV_PAGEOUT after MADV_FREE");
	touch(p + 20 * PG, 10);
	area_round(&a, "stores");
	area_idle(&a, "madvise");
}

/* More than a block at once. */
static void t_large(void)
{
	const size_t n = 4000;
	char *p = area_anon(&a, n), *away = map_anon(n);

	CHECK(!madvise(p + 100 * PG, 1500 * PG, MADV_DONTNEED));
	area_round(&a, "MADV_DONTNEED of 1500 pages");
	CHECK(a.dirty >= 1500);
	touch(p, 2000);
	area_round(&a, "stores");
	munmap(p + 3000 * PG, 1000 * PG);
	area_round(&a, "munmap of 1000 pages");
	CHECK(a.dirty >= 1000);
	touch(away, 1000);
	move(away, p + 3000 * PG, 1000);
	move(p + 1000 * PG, away, 1500);
	area_round(&a, "mremap of 1000 pages in and 1500 out");
	CHECK(a.dirty >= 2500);
	move(away, p + 1001 * PG, 1500);
	area_round(&a, "mremap of 1500 pages, one further");
	touch(p + 1001 * PG, 600);
	area_round(&a, "stores");
	area_written(&a, 1001, 600);
	area_idle(&a, "large changes");
}

static void t_mprotect(void)
{
	char *p = area_anon(&a, 64);

	CHECK(!mprotect(p, 32 * PG, PROT_READ));
	area_round(&a, "mprotect read-only");
	CHECK(!a.dirty, "%u pages reported", a.dirty);
	CHECK(!mprotect(p, 32 * PG, PROT_NONE) && !mprotect(p, 32 * PG, PROT_READ | PROT_WRITE));
	area_round(&a, "mprotect none and back");
	touch(p + 3 * PG, 2);
	area_round(&a, "stores after mprotect");
	area_written(&a, 3, 2);
	area_idle(&a, "mprotect");
}

/* kB of huge pages in the mapping at p. */
static long huge_kb(char *p)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long lo, hi;
	long kb = 0, n;
	char line[256];
	bool in = false;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
			in = lo <= (uintptr_t)p && (uintptr_t)p < hi;
		if (in && (sscanf(line, "AnonHugePages: %ld", &n) == 1 || sscanf(line, "ShmemPmdMapped: %ld", &n) == 1))
			kb += n;
	}
	if (f)
		fclose(f);
	return kb;
}

static char *map_huge(size_t bytes)
{
	char *p = map_at(NULL, (bytes + HUGE) / PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

static void t_huge(void)
{
	const size_t n = 2 * HUGE / PG;
	char *p = map_huge(2 * HUGE);

	touch(p, n);
	if (huge_kb(p) < 4096)
		skip("no huge pages: %ld kB", huge_kb(p));
	area_over(&a, p, n);
	area_round(&a, "start");
	CHECK(!a.dirty);
	touch(p + 100 * PG, 3);
	area_round(&a, "three pages of a huge page");
	area_written(&a, 100, 3);
	CHECK(huge_kb(p) == 4096, "huge pages did not survive: %ld kB", huge_kb(p));
	touch(p, n);
	area_round(&a, "all");
	CHECK(huge_kb(p) == 4096);
	CHECK(!madvise(p + 50 * PG, 10 * PG, MADV_DONTNEED));
	area_round(&a, "split by MADV_DONTNEED");
	touch(p + 200 * PG, 3);
	area_round(&a, "stores after the split");
	CHECK(a.seen[200] & OOH_PAGE_WRITTEN);
	touch(p + 50 * PG, 10);
	area_round(&a, "refilled");
	if (!madvise(p, HUGE, MADV_COLLAPSE)) {
		touch(p + 10 * PG, 1);
		area_round(&a, "MADV_COLLAPSE");
		touch(p + 300 * PG, 5);
		area_round(&a, "stores after the collapse");
		area_written(&a, 300, 5);
	}
	in_child(touch_10, p, true);
	area_round(&a, "fork, both write");
	area_idle(&a, "huge pages");
}

/* Huge pages that come, and go again partly, between rounds: the fault was one, the pages are 512. */
static void t_huge_new(void)
{
	const size_t n = 4 * HUGE / PG;
	char *p = map_huge(4 * HUGE);

	area_over(&a, p, n);
	p[5 * PG] = 1;
	area_round(&a, "first touch of a huge page");
	p[300 * PG] = 1;
	area_round(&a, "another page of it");
	p[HUGE + 5 * PG] = 1;
	p[HUGE + 77 * PG] = 1;
	CHECK(!madvise(p + HUGE + 100 * PG, PG, MADV_DONTNEED));
	area_round(&a, "huge, and split in the same round");
	p[2 * HUGE] = 1;
	p[2 * HUGE + 9 * PG] = 1;
	CHECK(!munmap(p + 2 * HUGE + 8 * PG, 100 * PG));
	area_round(&a, "huge, and partly unmapped in the same round");
	p[3 * HUGE + 8 * PG] = 1;
	CHECK(!mprotect(p + 3 * HUGE, PG, PROT_READ));
	p[3 * HUGE + 9 * PG] = 1;
	area_round(&a, "huge, and split by mprotect");
	p[3 * HUGE + 500 * PG] = 1;
	area_round(&a, "a store after that");
	CHECK(a.seen[3 * HUGE / PG + 500] & OOH_PAGE_WRITTEN);
	area_idle(&a, "new huge pages");
}

static void touch_all_huge(char *p)
{
	touch(p, HUGE / PG);
}

/* A collapse fills holes: pages appear, ready to be written, that nobody touched. */
static void t_huge_holes(void)
{
	const size_t n = HUGE / PG;
	char *p = map_at(NULL, 2 * n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	touch(p, 100);
	area_over(&a, p, n);
	area_round(&a, "start");
	CHECK(!huge_kb(p));
	if (madvise(p, HUGE, MADV_COLLAPSE) || huge_kb(p) < 2048)
		skip("no collapse: %s, %ld kB", strerror(errno), huge_kb(p));
	touch(p + 200 * PG, 5);
	area_round(&a, "MADV_COLLAPSE over holes, and stores to them");
	touch(p + 300 * PG, 5);
	area_round(&a, "stores to others");
	area_written(&a, 300, 5);
	area_idle(&a, "a collapse over holes");
}

/* The collapsing thread of the kernel, in a hurry. */
static void t_khugepaged(void)
{
	const size_t n = 2 * HUGE / PG;
	char *p = map_huge(2 * HUGE);
	int i;

	madvise(p, 2 * HUGE, MADV_NOHUGEPAGE);
	touch(p, n);
	area_over(&a, p, n);
	area_round(&a, "start");
	madvise(p, 2 * HUGE, MADV_HUGEPAGE);
	khugepaged(true);
	for (i = 0; i < 100 && huge_kb(p) < 4096; i++) {
		usleep(50000);
		touch(p + i * 7 * PG, 3);
		area_round(&a, "khugepaged");
	}
	khugepaged(false);
	if (huge_kb(p) < 4096)
		skip("khugepaged did not come: %ld kB", huge_kb(p));
	area_round(&a, "the last of it");
	touch(p + 300 * PG, 5);
	area_round(&a, "stores after that");
	area_written(&a, 300, 5);
	area_idle(&a, "khugepaged");
}

/* Collapsed by MADV_COLLAPSE, pages appear that this process never touched, without a fault. */
static void t_huge_shared(void)
{
	const size_t n = HUGE / PG;
	char *p = map_at(NULL, 2 * n, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = memfd_create("t", 0);

	put_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled", "advise");
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	CHECK(!ftruncate(file, HUGE));
	map_at(p, n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
	madvise(p, HUGE, MADV_NOHUGEPAGE);
	in_child(touch_all_huge, p, false);
	touch(p, 5);
	madvise(p, HUGE, MADV_HUGEPAGE);
	area_over(&a, p, n);
	area_round(&a, "start");
	if (madvise(p, HUGE, MADV_COLLAPSE) || huge_kb(p) < 2048)
		skip("no collapse of shared memory: %s, %ld kB", strerror(errno), huge_kb(p));
	area_round(&a, "MADV_COLLAPSE of shared memory");
	touch(p + 300 * PG, 5);
	area_round(&a, "stores to what was never touched");
	area_written(&a, 300, 5);
	area_idle(&a, "huge pages of shared memory");
}

static void t_stack(void)
{
	const size_t n = 64;
	char *p = map_at(NULL, n + 300, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 300 * PG;

	/* One page at the top that grows down over the area; what is below it cannot be accessed, and needs no gap. */
	CHECK(!munmap(p, n * PG));
	map_at(p + (n - 1) * PG, 1, PROT_READ | PROT_WRITE,
	       MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	area_over(&a, p, n);
	p[(n - 1) * PG] = 1;
	area_round(&a, "top of a stack");
	p[(n - 2) * PG] = 1;
	p[(n - 3) * PG] = 1;
	p[(n - 20) * PG] = 1;
	area_round(&a, "growth");
	CHECK(a.seen[n - 2] && a.seen[n - 3] && a.seen[n - 20]);
	p[(n - 2) * PG] = 2;
	area_round(&a, "a store");
	area_written(&a, n - 2, 1);
	area_idle(&a, "stack growth");
}

static void *thread_touch(void *p)
{
	touch(p, 8);
	return NULL;
}

static void t_threads(void)
{
	char *p = area_anon(&a, 64);
	pthread_t th[8];
	int i;

	for (i = 0; i < 8; i++)
		CHECK(!pthread_create(&th[i], NULL, thread_touch, p + i * 8 * PG));
	for (i = 0; i < 8; i++)
		pthread_join(th[i], NULL);
	area_round(&a, "eight threads");
	area_written(&a, 0, 64);
	area_idle(&a, "threads");
}

static void t_shared(void)
{
	char *p = map_at(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	touch(p, 64);
	area_over(&a, p, 64);
	area_round(&a, "start");
	in_child(touch_10, p, true);
	area_round(&a, "a child writes to shared memory");
	in_child(touch_10, p + 5 * PG, false);
	area_round(&a, "a child alone");
	CHECK(a.seen[5] && a.seen[14]);
	CHECK(!madvise(p + 20 * PG, 4 * PG, MADV_REMOVE));
	area_round(&a, "MADV_REMOVE");
	CHECK(!madvise(p + 40 * PG, 4 * PG, MADV_DONTNEED));
	in_child(touch_10, p + 40 * PG, false);
	area_round(&a, "a child writes what is not mapped here");
	area_idle(&a, "shared memory");
}

/* One frame, two virtual pages; and stores through the file. */
static void t_aliases(void)
{
	int file = memfd_create("t", 0);
	char *p = map_at(NULL, 64, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char buf[100] = "through the file";

	CHECK(!ftruncate(file, 16 * PG));
	map_at(p, 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
	map_at(p + 32 * PG, 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
	touch(p, 16);
	touch(p + 32 * PG, 16);
	area_over(&a, p, 64);
	area_round(&a, "start");
	touch(p + 3 * PG, 1);
	area_round(&a, "a store through one of two mappings");
	CHECK(a.seen[3] & a.seen[35] & OOH_PAGE_WRITTEN);
	CHECK(pwrite(file, buf, 100, 7 * PG) == 100);
	area_round(&a, "write(2) to the file");
	CHECK(a.seen[7] & a.seen[39] & OOH_PAGE_WRITTEN);
	munmap(p + 32 * PG, 8 * PG);
	area_round(&a, "one of them unmapped");
	touch(p + 3 * PG, 1);
	touch(p + 44 * PG, 1);
	area_round(&a, "stores after that");
	CHECK(a.seen[3] & a.seen[12] & a.seen[44] & OOH_PAGE_WRITTEN);
	CHECK(!ftruncate(file, 4 * PG));
	area_round(&a, "truncated");
	CHECK(!ftruncate(file, 16 * PG));
	touch(p + 8 * PG, 2);
	area_round(&a, "grown again");
}

static void t_file(void)
{
	char name[] = "/tmp/ooh-test-XXXXXX", buf[PG];
	int i, file = mkstemp(name);
	char *p;

	CHECK(file >= 0, "%s", strerror(errno));
	unlink(name);
	for (i = 0; i < 64; i++) {
		memset(buf, i + 1, PG);
		CHECK(write(file, buf, PG) == PG);
	}
	p = map_at(NULL, 64, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	area_over(&a, p, 64);
	area_round(&a, "start");
	p[3 * PG]++;
	area_round(&a, "a store to a private page of a file");
	CHECK(pwrite(file, "xyz", 3, 9 * PG) == 3);
	area_round(&a, "write(2) under a private page");
	CHECK(pwrite(file, "xyz", 3, 3 * PG) == 3);
	area_round(&a, "write(2) under a page that was copied");
	CHECK(!madvise(p, 16 * PG, MADV_DONTNEED));
	area_round(&a, "the copy dropped");
	CHECK(a.seen[3]);
	*(volatile char *)(p + 3 * PG);
	area_round(&a, "read again");
	/* Written and back, within a round, and the frame is the one that was armed. */
	p[3 * PG]++;
	CHECK(!madvise(p + 3 * PG, PG, MADV_DONTNEED));
	*(volatile char *)(p + 3 * PG);
	area_round(&a, "copied, dropped and read again");
	CHECK(a.seen[3]);
	area_idle(&a, "a private file");
}

/* ---- userfaultfd ---- */

static int uffd_over(char *p, size_t pages, uint64_t mode, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .range = { (uintptr_t)p, pages * PG }, .mode = mode };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		skip("no userfaultfd: %s", strerror(errno));
	return fd;
}

static void t_uffd(void)
{
	char *p = map_anon(64), *from = map_anon(4);
	int fd;

	touch(p, 8);
	touch(from, 4);
	fd = uffd_over(p, 64, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	area_over(&a, p, 64);
	area_round(&a, "start");
	{
		struct uffdio_copy copy = { .dst = (uintptr_t)p + 20 * PG, .src = (uintptr_t)from, .len = 4 * PG };
		struct uffdio_zeropage zero = { .range = { (uintptr_t)p + 30 * PG, 4 * PG } };
		struct uffdio_range all = { (uintptr_t)p, 64 * PG };
		struct ooh_region vec[64];
		struct ooh_collect c;
		int t = a.t;

		CHECK(!ioctl(fd, UFFDIO_COPY, &copy), "%s", strerror(errno));
		CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && c.regions == 1, "%llu regions", c.regions);
		CHECK(vec[0].start == copy.dst && vec[0].end == copy.dst + 4 * PG);
		CHECK(vec[0].categories & OOH_PAGE_MAPPED);
		CHECK(!ioctl(fd, UFFDIO_ZEROPAGE, &zero), "%s", strerror(errno));
		CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && !c.pages, "zero pages: %llu reported", c.pages);
		touch(p + 31 * PG, 1);
		touch(p + 22 * PG, 1);
		CHECK(!ioctl(fd, UFFDIO_UNREGISTER, &all));
		CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && c.pages == 2, "%llu pages", c.pages);
		touch(p + 40 * PG, 1);
		CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && c.pages == 1, "%llu pages", c.pages);
	}
}

static void t_uffd_wp(void)
{
	char *p = area_anon(&a, 64);
	int fd = uffd_over(p, 64, UFFDIO_REGISTER_MODE_WP, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	struct uffdio_writeprotect wp = { .range = { (uintptr_t)p, 64 * PG }, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	CHECK(!ioctl(fd, UFFDIO_WRITEPROTECT, &wp), "%s", strerror(errno));
	area_round(&a, "write-protected by userfaultfd");
	wp.mode = 0;
	CHECK(!ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
	touch(p + 5 * PG, 3);
	area_round(&a, "unprotected and written");
	CHECK(a.seen[5] & a.seen[6] & a.seen[7]);
}

const struct test sound_tests[] = {
	{ "stores", t_stores },
	{ "log filled many times", t_many },
	{ "new pages", t_new_pages },
	{ "system calls that write", t_system_calls },
	{ "fork and copy-on-write", t_fork },
	{ "munmap and reuse", t_unmap },
	{ "mremap", t_mremap },
	{ "madvise", t_madvise },
	{ "large changes", t_large },
	{ "mprotect", t_mprotect },
	{ "huge pages", t_huge },
	{ "huge pages that come and go", t_huge_new },
	{ "huge pages that fill holes", t_huge_holes },
	{ "khugepaged", t_khugepaged },
	{ "huge pages of shared memory", t_huge_shared },
	{ "stack growth", t_stack },
	{ "threads", t_threads },
	{ "shared memory", t_shared },
	{ "two mappings of one frame", t_aliases },
	{ "private file", t_file },
	{ "userfaultfd missing", t_uffd },
	{ "userfaultfd write-protect", t_uffd_wp },
	{ NULL, NULL },
};
