/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that a device writes: the virtio disks of the lab. /dev/vda holds numbers, /dev/vdb is for swap. */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sound.h"

#define LATE "a device writes to what was pinned in an earlier round, and no page table says so"

int open_disk(void)
{
	int fd = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		skip("no /dev/vda");
	return fd;
}

/* Each read is of another place, so that the content differs. */
off_t next_place(size_t pages)
{
	static off_t at;

	at = (at + (off_t)(pages * PG)) % (8 << 20);
	return at;
}

static void read_disk(int fd, char *p, size_t pages)
{
	NEED(pread(fd, p, pages * PG, next_place(pages)) == (ssize_t)(pages * PG));
}

static void direct(void)
{
	char *p = resident(256);
	struct iovec v[2] = { { p + 100 * PG, PG }, { p + 104 * PG, 512 } };
	int fd = open_disk();

	track(p, 256);
	for (int i = 0; i < 3; i++) {
		read_disk(fd, p + (8 + i) * PG, 4);
		round_of("O_DIRECT read");
		touch(p + 9 * PG, 1);
		round_of("a store after that");
	}
	NEED(preadv(fd, v, 2, next_place(2)) == (ssize_t)PG + 512);
	round_of("preadv(2), a page and a sector");
	NEED(pread(fd, p + 120 * PG + 512, 2 * PG, next_place(2)) == 2 * (ssize_t)PG);
	round_of("across page boundaries");
	NEED(!madvise(p + 30 * PG, 64 * PG, MADV_DONTNEED));
	read_disk(fd, p + 30 * PG, 64);
	round_of("into what is not there");
	NEED(pwrite(fd, p, 16 * PG, 16 << 20) == 16 * (ssize_t)PG);
	round_of("written to the disk: only read");
	round_of("nothing");
}

/* ---- asynchronous ---- */

static aio_context_t aio_start(void)
{
	aio_context_t ctx = 0;

	NEED(!syscall(SYS_io_setup, 64, &ctx));
	return ctx;
}

static void aio_read(aio_context_t ctx, struct iocb *b, int fd, char *p, size_t pages)
{
	*b = (struct iocb){ .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = (unsigned)fd, .aio_buf = (uintptr_t)p,
			    .aio_nbytes = pages * PG, .aio_offset = next_place(pages) };
	NEED(syscall(SYS_io_submit, ctx, 1, &b) == 1);
}

static void aio_wait(aio_context_t ctx, long n)
{
	struct io_event e[64];

	while (n) {
		long got = syscall(SYS_io_getevents, ctx, 1, n, e, NULL);

		NEED(got > 0);
		n -= got;
	}
}

/*
 * The disk takes its requests one by one: behind some megabytes for memory that nobody tracks, a read into the window is
 * under way when the round ends, and reaches memory in the next one.
 */
static void over_the_end(void)
{
	enum { BUSY = 24 };
	char *p = resident(64), *other = resident(256);
	struct iocb busy[BUSY], late;
	aio_context_t ctx = aio_start();
	int fd = open_disk();

	track(p, 64);
	for (int k = 0; k < 3; k++) {
		for (int i = 0; i < BUSY; i++)
			aio_read(ctx, &busy[i], fd, other, 256);
		aio_read(ctx, &late, fd, p + 20 * PG, 4);
		round_of("a read has begun");
		aio_wait(ctx, BUSY + 1);
		round_of("it has ended");
		round_of("nothing");
		touch(p + 19 * PG, 6);
		round_of("stores around it");
	}
}

/* Begun before there is a tracker. */
static void before_the_start(void)
{
	enum { BUSY = 24 };
	char *p = resident(64), *other = resident(256);
	struct iocb busy[BUSY], late;
	aio_context_t ctx = aio_start();
	int fd = open_disk();

	for (int i = 0; i < BUSY; i++)
		aio_read(ctx, &busy[i], fd, other, 256);
	aio_read(ctx, &late, fd, p + 20 * PG, 4);
	track(p, 64);
	aio_wait(ctx, BUSY + 1);
	round_of("a read that began before the tracker has ended");
	round_of("nothing");
	touch(p + 19 * PG, 6);
	round_of("stores around it");
}

/* Reads go on while rounds are collected: some are under way at the end of each. */
static void beside(void)
{
	enum { READS = 8, PAGES = 16 };
	char *p = resident(READS * PAGES);
	struct iocb b[READS];
	aio_context_t ctx = aio_start();
	int fd = open_disk();

	track(p, READS * PAGES);
	race_begin();
	for (int k = 0; k < 40; k++) {
		for (int i = 0; i < READS; i++)
			aio_read(ctx, &b[i], fd, p + i * PAGES * PG, 1 + rnd() % PAGES);
		touch(p + rnd() % (READS * PAGES) * PG, 1);
		aio_wait(ctx, READS / 2);
		usleep(rnd() % 2000);
		aio_wait(ctx, READS / 2);
	}
	race_end();
	round_of("reads during the rounds");
	round_of("nothing");
}

/* ---- others' page tables ---- */

static int disk_of_child;

static void child_reads(char *p)
{
	read_disk(disk_of_child, p, 8);
}

static void shared(void)
{
	char *p = map(NULL, 64, MAP_SHARED | MAP_ANONYMOUS, -1);

	disk_of_child = open_disk();
	touch(p, 64);
	track(p, 64);
	wait_child(child(child_reads, p + 5 * PG));
	round_of("another process reads into shared memory");
	round_of("nothing");
	NEED(!madvise(p + 20 * PG, 10 * PG, MADV_DONTNEED));
	next_place(8);
	wait_child(child(child_reads, p + 20 * PG));
	round_of("into what is not mapped here");
	read_disk(disk_of_child, p + 24 * PG, 8);
	round_of("and this one does");
}

static int sibling_reads(void *arg)
{
	struct iovec v = { arg, 4 * PG };

	touch((char *)arg + 10 * PG, 3);
	return preadv(disk_of_child, &v, 1, next_place(4)) == 4 * (ssize_t)PG ? 0 : 1;
}

/* A process of its own, with this one's memory: CLONE_VM without CLONE_THREAD. */
static void sibling(void)
{
	char *p = resident(64), *stack = resident(16);

	disk_of_child = open_disk();
	track(p, 64);
	for (int i = 0; i < 3; i++) {
		pid_t pid = clone(sibling_reads, stack + 16 * PG, CLONE_VM | SIGCHLD, p + (size_t)i * 5 * PG);

		NEED(pid > 0);
		wait_child(pid);
		round_of("a process that shares memory stores and reads the disk");
		touch(p + 50 * PG, 2);
		round_of("this one stores");
	}
}

static void forked(void)
{
	char *p = resident(64);

	disk_of_child = open_disk();
	track(p, 64);
	wait_child(child(child_reads, p + 5 * PG));
	round_of("the child reads into its copy");
	read_disk(disk_of_child, p + 5 * PG, 8);
	round_of("copy-on-write by a device");
	wait_child(child(child_reads, p + 8 * PG));
	read_disk(disk_of_child, p + 20 * PG, 4);
	round_of("both");
}

static void huge(void)
{
	char *p = reserve(1024);
	int fd = open_disk();

	map(p, 1024, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	madvise(p, 1024 * PG, MADV_HUGEPAGE);
	touch(p, 1024);
	track(p, 1024);
	for (int i = 0; i < 3; i++) {
		read_disk(fd, p + (100 + 200 * i) * PG, 4);
		round_of("O_DIRECT read into a huge page");
		touch(p + 900 * PG, 1);
		round_of("a store");
	}
}

/* ---- memory is short ---- */

static void swap_on(void)
{
	char header[PG] = { 0 };
	struct stat st;
	off_t bytes;
	int fd;

	if (stat("/dev/vdb", &st))
		skip("no /dev/vdb");
	swapoff("/dev/vdb");
	fd = open("/dev/vdb", O_RDWR | O_CLOEXEC);
	NEED(fd >= 0);
	bytes = lseek(fd, 0, SEEK_END);
	*(uint32_t *)(header + 1024) = 1; /* version; then the last page */
	*(uint32_t *)(header + 1028) = (uint32_t)(bytes / (off_t)PG - 1);
	memcpy(header + PG - 10, "SWAPSPACE2", 10);
	NEED(pwrite(fd, header, PG, 0) == (ssize_t)PG && !fsync(fd));
	close(fd);
	NEED(!swapon("/dev/vdb", 0));
}

#define GROUP "/tmp/cgroup/sound"

/* This process in a group that may have so much memory. */
static void confine(const char *bytes)
{
	char pid[20] = "0";

	mkdir("/tmp/cgroup", 0700);
	if (system("grep -q cgroup2 /proc/mounts || mount -t cgroup2 none /tmp/cgroup"))
		skip("no cgroup2");
	put_file("/tmp/cgroup/cgroup.subtree_control", "+memory");
	mkdir(GROUP, 0700);
	if (!put_file(GROUP "/memory.high", bytes) || !put_file(GROUP "/cgroup.procs", pid))
		skip("no memory control group");
}

static void set_free(void)
{
	put_file(GROUP "/memory.high", "max");
	put_file("/tmp/cgroup/cgroup.procs", "0");
	swapoff("/dev/vdb");
}

/* More memory than the group may have is written round by round: the kernel reclaims, swaps out and in, by the disk. */
static void pressure(void)
{
	const size_t n = 4096;
	char *p = anon(n);

	swap_on();
	confine("6291456");
	touch(p, n);
	track(p, n);
	for (int i = 0; i < 6; i++) {
		touch(p + (size_t)i * 500 * PG, 800);
		for (int k = 0; k < 200; k++)
			*(volatile char *)(p + rnd() % n * PG);
		touch(p + rnd() % n * PG, 1);
		if (i == 3)
			NEED(!madvise(p + 1000 * PG, 100 * PG, MADV_DONTNEED));
		round_of("stores and reads while memory is short, %d", i);
	}
	round_of("nothing");
	touch(p, n);
	round_of("all");
	set_free();
}

/* The same for the whole machine: other memory, which cannot be swapped out, takes nearly all. */
static void pressure_machine(void)
{
	const size_t n = 6144, left = 24 << 20;
	char *p = anon(n), *locked;
	struct sysinfo i;

	swap_on();
	track(p, n);
	NEED(!sysinfo(&i));
	locked = mmap(NULL, i.freeram * i.mem_unit - left, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
	NEED(locked != MAP_FAILED);
	for (int k = 0; k < 6; k++) {
		touch(p + (size_t)k * 1000 * PG, 1000);
		for (int r = 0; r < 200; r++)
			*(volatile char *)(p + rnd() % n * PG);
		round_of("hardly any memory is free, %d", k);
	}
	touch(p, n);
	round_of("all");
	NEED(!munmap(locked, i.freeram * i.mem_unit - left));
	swapoff("/dev/vdb");
}

const struct scenario sound_dma[] = {
	{ .name = "DMA: O_DIRECT read", .run = direct },
	{ .name = "DMA: a read that lasts over the end of the round", .run = over_the_end, .blind = LATE },
	{ .name = "DMA: a read from before the start", .run = before_the_start, .blind = LATE },
	{ .name = "DMA: reads during the rounds", .run = beside, .flags = ONLY_PML },
	{ .name = "DMA: memory shared with the process that reads", .run = shared },
	{ .name = "DMA: a process that shares all memory (CLONE_VM)", .run = sibling },
	{ .name = "DMA: fork, copy-on-write", .run = forked },
	{ .name = "DMA: huge pages", .run = huge },
	{ .name = "swap on a disk, memory is short in a group", .run = pressure },
	{ .name = "swap on a disk, memory is short", .run = pressure_machine, .flags = ON_DEMAND },
	{ 0 },
};
