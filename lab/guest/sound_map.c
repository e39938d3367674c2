/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The address space changes: mmap, munmap, mremap, madvise, mprotect, the stack, the heap. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sound.h"

#define FIXED (MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED)

/* Pages of a file that came with their neighbour, were stored to, and went, all in one round. */
static void fault_around(void)
{
	int file = memfd_create("t", 0);
	char *p = reserve(1024), page[PG];

	for (int i = 0; i < 1024; i++) {
		memset(page, i + 1, PG);
		NEED(write(file, page, PG) == (ssize_t)PG);
	}
	map(p, 1024, MAP_SHARED | MAP_FIXED, file);
	track(p, 1024);
	for (int i = 0; i < 3; i++) {
		char *q = p + (100 + i * 300) * PG;

		*(volatile char *)q;
		touch(q + 2 * PG, 3);
		NEED(pwrite(file, page, 100, q + 7 * PG - p) == 100);
		NEED(!madvise(q, (i ? 16 : 6) * PG, MADV_DONTNEED));
		round_of("come by fault-around, stored to, dropped");
		*(volatile char *)q;
		touch(q + 3 * PG, 2);
		NEED(!munmap(q - (i == 2 ? 600 : 0) * PG, (i == 2 ? 700 : 4) * PG));
		round_of("the same, unmapped");
		round_of("nothing");
	}
}

static void unmapping(void)
{
	char *p = resident(64);

	track(p, 64);
	NEED(!munmap(p + 10 * PG, 5 * PG));
	round_of("munmap");
	map(p + 10 * PG, 5, FIXED, -1);
	round_of("mapped again, not touched");
	touch(p + 11 * PG, 2);
	round_of("touched");
	NEED(!munmap(p + 20 * PG, 5 * PG));
	map(p + 20 * PG, 5, FIXED, -1);
	touch(p + 20 * PG, 5);
	round_of("unmapped, mapped and touched");
	map(p + 30 * PG, 10, FIXED, -1);
	round_of("MAP_FIXED over it");
	map(p + 40 * PG, 10, FIXED, -1);
	touch(p + 45 * PG, 5);
	round_of("MAP_FIXED over it, half touched");
	touch(p + 50 * PG, 2);
	NEED(!munmap(p + 50 * PG, 2 * PG));
	round_of("written and unmapped");
	map(p + 50 * PG, 2, FIXED, -1);
	touch(p + 50 * PG, 1);
	NEED(!munmap(p + 50 * PG, 2 * PG));
	map(p + 50 * PG, 2, FIXED, -1);
	round_of("came, written, gone, mapped");
	touch(p, 64);
	round_of("all");
}

static void file_over(void)
{
	char *p = resident(32), buf[2 * PG];
	int file = memfd_create("t", 0);

	memset(buf, 0x33, sizeof(buf));
	NEED(write(file, buf, sizeof(buf)) == sizeof(buf));
	track(p, 32);
	map(p + 8 * PG, 2, MAP_SHARED | MAP_FIXED, file);
	*(volatile char *)(p + 8 * PG);
	round_of("a shared file over it");
	touch(p + 8 * PG, 2);
	round_of("stores to it");
	map(p + 8 * PG, 2, FIXED, -1);
	touch(p + 9 * PG, 1);
	round_of("anonymous memory over the file");
	map(p + 16 * PG, 2, MAP_PRIVATE | MAP_FIXED, file);
	*(volatile char *)(p + 16 * PG);
	round_of("a private file over it");
	touch(p + 17 * PG, 1);
	round_of("a store to it");
}

static void move(char *from, char *to, size_t pages, int flags)
{
	NEED(mremap(from, pages * PG, pages * PG, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to) == to);
}

static void moves(void)
{
	char *p = resident(64), *away = resident(64);

	track(p, 64);
	move(p + 10 * PG, p + 40 * PG, 5, 0);
	round_of("moved within");
	touch(p + 40 * PG, 3);
	round_of("stores after that");
	move(away, p + 10 * PG, 5, 0);
	round_of("moved in from elsewhere");
	touch(p + 11 * PG, 1);
	round_of("a store after that");
	move(p, away, 4, 0);
	round_of("moved away");
	touch(away, 4);
	move(away, p, 4, 0);
	round_of("written there and moved back");
	touch(p + 2 * PG, 1);
	round_of("a store after that");
}

static void exchange(void)
{
	char *p = resident(64), *away = reserve(8);

	track(p, 64);
	move(p + 20 * PG, away, 4, 0);
	move(p + 30 * PG, p + 20 * PG, 4, 0);
	move(away, p + 30 * PG, 4, 0);
	round_of("two pieces changed places");
	touch(p + 21 * PG, 1);
	touch(p + 32 * PG, 1);
	round_of("stores after that");
	move(p + 40 * PG, away, 4, 0);
	move(away, p + 40 * PG, 4, 0);
	round_of("away and back");
	touch(p + 41 * PG, 2);
	round_of("stores after that");
}

static void grows(void)
{
	char *room = reserve(64), *p = room, *q;

	map(p, 16, FIXED, -1);
	madvise(p, 16 * PG, MADV_NOHUGEPAGE);
	touch(p, 16);
	NEED(!munmap(p + 16 * PG, 16 * PG));
	track(p, 64);
	NEED(mremap(p, 16 * PG, 24 * PG, 0) == p);
	touch(p + 15 * PG, 3);
	round_of("grown in place");
	NEED(mremap(p, 24 * PG, 12 * PG, 0) == p);
	round_of("shrunk");
	q = mremap(p, 12 * PG, 20 * PG, MREMAP_MAYMOVE | MREMAP_FIXED, p + 40 * PG);
	NEED(q == p + 40 * PG);
	round_of("moved and grown");
	touch(q + 10 * PG, 5);
	round_of("stores after that");
}

static void dont_unmap(void)
{
	char *p = resident(64), *away = reserve(16);

	track(p, 64);
	move(p + 8 * PG, away, 8, MREMAP_DONTUNMAP);
	round_of("MREMAP_DONTUNMAP out of it");
	touch(p + 10 * PG, 2);
	round_of("stores to what is left");
	touch(away, 8);
	move(away, p + 30 * PG, 8, MREMAP_DONTUNMAP);
	round_of("MREMAP_DONTUNMAP into it");
	touch(p + 31 * PG, 2);
	round_of("stores to what came");
}

static void dont_need(void)
{
	char *p = resident(64);

	track(p, 64);
	NEED(!madvise(p + 5 * PG, 10 * PG, MADV_DONTNEED));
	round_of("MADV_DONTNEED");
	touch(p + 5 * PG, 2);
	NEED(!madvise(p + 5 * PG, PG, MADV_DONTNEED));
	round_of("store, and MADV_DONTNEED");
	touch(p + 30 * PG, 4);
	NEED(!madvise(p + 30 * PG, 4 * PG, MADV_DONTNEED));
	touch(p + 31 * PG, 2);
	round_of("store, MADV_DONTNEED, store");
	NEED(!madvise(p + 40 * PG, 4 * PG, MADV_DONTNEED));
	*(volatile char *)(p + 41 * PG);
	round_of("MADV_DONTNEED and a read");
	touch(p, 64);
	round_of("all");
}

/* The zero page that a read gives says nothing of what was there before it in the same round. */
static void dropped_and_read(void)
{
	char *p = anon(64);

	track(p, 64);
	for (size_t i = 0; i < 3; i++) {
		touch(p + 10 * PG, 4);
		NEED(!madvise(p + 10 * PG, 4 * PG, MADV_DONTNEED));
		*(volatile char *)(p + (10 + i) * PG);
		round_of("first touched, dropped, and one page read");
	}
	*(volatile char *)(p + 20 * PG);
	touch(p + 20 * PG, 1);
	map(p + 20 * PG, 1, FIXED, -1);
	*(volatile char *)(p + 20 * PG);
	round_of("read, stored to, mapped anew, and read");
	*(volatile char *)(p + 30 * PG);
	round_of("only read");
}

static void advice(void)
{
	char *p = resident(64);

	track(p, 64);
	NEED(!madvise(p + 5 * PG, 10 * PG, MADV_FREE));
	round_of("MADV_FREE");
	touch(p + 7 * PG, 2);
	round_of("stores after it");
	madvise(p + 5 * PG, 10 * PG, MADV_PAGEOUT);
	round_of("MADV_PAGEOUT after it");
	NEED(!madvise(p + 20 * PG, 10 * PG, MADV_COLD));
	touch(p + 22 * PG, 2);
	round_of("MADV_COLD");
	touch(p + 40 * PG, 2);
	NEED(!madvise(p + 40 * PG, 10 * PG, MADV_FREE));
	round_of("store, MADV_FREE");
	madvise(p, 64 * PG, MADV_PAGEOUT);
	touch(p, 64);
	round_of("all");
}

static void protection(void)
{
	char *p = resident(64);

	track(p, 64);
	NEED(!mprotect(p, 32 * PG, PROT_READ));
	round_of("mprotect read-only");
	NEED(!mprotect(p, 32 * PG, PROT_READ | PROT_WRITE));
	touch(p + 3 * PG, 2);
	round_of("writable again, stores");
	touch(p + 10 * PG, 2);
	NEED(!mprotect(p, 32 * PG, PROT_READ));
	round_of("stores, then read-only");
	for (int i = 0; i < 5; i++) {
		NEED(!mprotect(p + 8 * PG, 32 * PG, PROT_NONE) && !mprotect(p + 8 * PG, 32 * PG, PROT_READ | PROT_WRITE));
		touch(p + (8 + 4 * i) * PG, 2);
		NEED(!mprotect(p, 64 * PG, i % 2 ? PROT_READ : PROT_NONE));
		round_of("flips");
		NEED(!mprotect(p, 64 * PG, PROT_READ | PROT_WRITE));
	}
	touch(p, 64);
	round_of("all");
}

/* One page at the top of a mapping that grows down; below it nothing. */
static void stack(void)
{
	const size_t n = 64;
	char *p = reserve(n + 512) + 300 * PG;

	NEED(!munmap(p - 280 * PG, (n + 280) * PG));
	map(p + (n - 1) * PG, 1, FIXED | MAP_GROWSDOWN, -1);
	touch(p + (n - 1) * PG, 1);
	track(p, n);
	touch(p + (n - 2) * PG, 1);
	touch(p + (n - 3) * PG, 1);
	touch(p + (n - 20) * PG, 1);
	round_of("growth");
	touch(p + (n - 2) * PG, 1);
	round_of("a store");
	touch(p + (n - 40) * PG, 1);
	touch(p + (n - 39) * PG, 1);
	round_of("more growth");
}

static int deep(unsigned n)
{
	volatile char frame[3000];

	frame[n % sizeof(frame)] = (char)n;
	frame[0] = 1;
	return n ? deep(n - 1) + frame[0] : frame[1];
}

static void main_stack(void)
{
	char *p = resident(4);

	track_whole(p, 4);
	NEED(deep(20) >= 0);
	round_of("20 frames");
	NEED(deep(200) > 0);
	round_of("200 frames: the stack grows");
	NEED(deep(100) > 0);
	round_of("100 frames");
}

static void heap(void)
{
	char *base = (char *)(((uintptr_t)sbrk(0) + PG - 1) & ~(PG - 1));

	NEED(!brk(base + 16 * PG));
	touch(base, 16);
	track(base, 64);
	NEED(!brk(base + 48 * PG));
	touch(base + 14 * PG, 20);
	round_of("grown");
	NEED(!brk(base + 8 * PG));
	round_of("shrunk");
	NEED(!brk(base + 40 * PG));
	round_of("grown again, not touched");
	touch(base + 5 * PG, 10);
	round_of("touched");
}

const struct scenario sound_map[] = {
	{ .name = "fault-around, stores, gone in one round", .run = fault_around },
	{ .name = "mmap, munmap, MAP_FIXED reuse", .run = unmapping },
	{ .name = "a file mapped over it and back", .run = file_over },
	{ .name = "mremap moves", .run = moves },
	{ .name = "mremap exchanges", .run = exchange },
	{ .name = "mremap grows and shrinks", .run = grows },
	{ .name = "MREMAP_DONTUNMAP", .run = dont_unmap },
	{ .name = "MADV_DONTNEED", .run = dont_need },
	{ .name = "written, dropped and read in one round", .run = dropped_and_read, .blind = "it is the zero page before and after" },
	{ .name = "MADV_FREE, COLD, PAGEOUT", .run = advice },
	{ .name = "mprotect flips", .run = protection },
	{ .name = "a mapping that grows down", .run = stack },
	{ .name = "the main stack, whole process", .run = main_stack },
	{ .name = "the heap by brk", .run = heap },
	{ 0 },
};
