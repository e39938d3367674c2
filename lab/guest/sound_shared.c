/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that others write: shared with another process, of a file, by a device. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sound.h"

static void touch_ten(char *p)
{
	touch(p, 10);
}

static void by_other(char *p)
{
	touch(p, 64);
	track(p, 64);
	wait_child(child(touch_ten, p + 5 * PG));
	round_of("the other process writes");
	round_of("nothing");
	touch(p + 2 * PG, 5);
	wait_child(child(touch_ten, p + 40 * PG));
	round_of("both write");
	NEED(!madvise(p + 20 * PG, 10 * PG, MADV_DONTNEED));
	wait_child(child(touch_ten, p + 20 * PG));
	round_of("the other writes what is not mapped here");
	*(volatile char *)(p + 22 * PG);
	round_of("read after that");
	wait_child(child(touch_ten, p + 20 * PG));
	round_of("the other writes again");
}

static void anonymous(void)
{
	by_other(map(NULL, 64, MAP_SHARED | MAP_ANONYMOUS, -1));
}

static void memfd(void)
{
	int file = memfd_create("t", 0);

	NEED(!ftruncate(file, 64 * PG));
	by_other(map(NULL, 64, MAP_SHARED, file));
}

static void sysv(void)
{
	int id = shmget(IPC_PRIVATE, 64 * PG, IPC_CREAT | 0600);
	char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	NEED(p != (void *)-1);
	shmctl(id, IPC_RMID, NULL);
	by_other(p);
}

static void two_mappings(void)
{
	int file = memfd_create("t", 0);
	char *p = reserve(64), buf[100] = "through the file";

	NEED(!ftruncate(file, 32 * PG));
	map(p, 32, MAP_SHARED | MAP_FIXED, file);
	map(p + 32 * PG, 32, MAP_SHARED | MAP_FIXED, file);
	touch(p, 64);
	track(p, 64);
	touch(p + 3 * PG, 2);
	round_of("a store through one of two mappings");
	NEED(pwrite(file, buf, 100, 7 * PG) == 100);
	round_of("write(2)");
	NEED(!munmap(p + 32 * PG, 8 * PG));
	touch(p + 3 * PG, 1);
	touch(p + 44 * PG, 1);
	round_of("one of them unmapped");
	NEED(!ftruncate(file, 4 * PG));
	round_of("truncated");
	NEED(!ftruncate(file, 32 * PG));
	touch(p + 8 * PG, 2);
	round_of("grown again");
}

static int fill_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char buf[PG];

	for (int i = 0; fd >= 0 && i < 32; i++) {
		memset(buf, i + 1, PG);
		NEED(write(fd, buf, PG) == (ssize_t)PG);
	}
	return fd;
}

static void file_rounds(int fd)
{
	char *p = map(NULL, 32, MAP_SHARED, fd), buf[200];

	memset(buf, 0x77, sizeof(buf));
	track(p, 32);
	*(volatile char *)(p + 20 * PG);
	round_of("read");
	touch(p + 3 * PG, 2);
	round_of("stores");
	NEED(pwrite(fd, buf, 200, 9 * PG - 100) == 200);
	round_of("write(2)");
	NEED(!msync(p, 32 * PG, MS_SYNC) && !fsync(fd));
	touch(p + 3 * PG, 1);
	round_of("written back, then a store");
	NEED(pwrite(fd, buf, 200, 20 * PG) == 200);
	touch(p + 9 * PG, 1);
	round_of("write(2) and stores");
	round_of("nothing");
}

static void private_rounds(int fd)
{
	char *p = map(NULL, 32, MAP_PRIVATE, fd), buf[200];

	memset(buf, 0x66, sizeof(buf));
	track(p, 32);
	for (int i = 0; i < 32; i++)
		*(volatile char *)(p + i * PG);
	round_of("read");
	touch(p + 3 * PG, 2);
	round_of("stores");
	NEED(pwrite(fd, buf, 200, 9 * PG) == 200);
	round_of("write(2) below");
	NEED(pwrite(fd, buf, 200, 3 * PG) == 200);
	round_of("write(2) below what was copied");
	NEED(!madvise(p, 8 * PG, MADV_DONTNEED));
	round_of("the copies dropped");
	*(volatile char *)(p + 3 * PG);
	round_of("and read");
	touch(p + 4 * PG, 1);
	NEED(!madvise(p + 4 * PG, PG, MADV_DONTNEED));
	*(volatile char *)(p + 4 * PG);
	round_of("copied, dropped and read");
}

static void tmpfs_shared(void)
{
	int fd = fill_file("/tmp/sound-shared");

	NEED(fd >= 0);
	unlink("/tmp/sound-shared");
	file_rounds(fd);
}

static void tmpfs_private(void)
{
	int fd = fill_file("/tmp/sound-private");

	NEED(fd >= 0);
	unlink("/tmp/sound-private");
	private_rounds(fd);
}

/* ---- a block device ---- */

static void need_disk(void)
{
	struct stat st;

	if (stat("/dev/ram0", &st))
		skip("no /dev/ram0 (module brd)");
}

static int on_disk(void)
{
	int fd;

	need_disk();
	mkdir("/tmp/disk", 0700);
	umount("/tmp/disk");
	if (system("mke2fs /dev/ram0 8192 >/dev/null 2>&1") || mount("/dev/ram0", "/tmp/disk", "ext2", 0, NULL))
		skip("no ext2 on /dev/ram0");
	fd = fill_file("/tmp/disk/file");
	NEED(fd >= 0 && !fsync(fd));
	return fd;
}

static void disk_shared(void)
{
	file_rounds(on_disk());
}

static void disk_private(void)
{
	private_rounds(on_disk());
}

static void direct(void)
{
	char *p = resident(64), *from = anon(4);
	int fd;

	need_disk();
	umount("/tmp/disk");
	fd = open("/dev/ram0", O_RDWR | O_DIRECT | O_CLOEXEC);
	NEED(fd >= 0);
	track(p, 64);
	for (int i = 0; i < 3; i++) {
		touch(from, 4);
		NEED(pwrite(fd, from, 4 * PG, 0) == 4 * (ssize_t)PG);
		round_of("written to the device");
		NEED(pread(fd, p + (8 + i) * PG, 4 * PG, 0) == 4 * (ssize_t)PG);
		round_of("read with O_DIRECT");
		touch(p + 9 * PG, 1);
		round_of("a store after that");
	}
	NEED(!madvise(p + 30 * PG, 4 * PG, MADV_DONTNEED) && pread(fd, p + 30 * PG, 4 * PG, 0) == 4 * (ssize_t)PG);
	round_of("read with O_DIRECT into what is not there");
}

const struct scenario sound_shared[] = {
	{ .name = "shared anonymous memory", .run = anonymous },
	{ .name = "a memfd shared by two", .run = memfd },
	{ .name = "System V shared memory", .run = sysv },
	{ .name = "one file mapped twice, truncated", .run = two_mappings },
	{ .name = "tmpfs, shared mapping", .run = tmpfs_shared },
	{ .name = "tmpfs, private mapping", .run = tmpfs_private },
	{ .name = "ext2 on a block device, shared mapping", .run = disk_shared },
	{ .name = "ext2 on a block device, private mapping", .run = disk_private },
	{ .name = "O_DIRECT read from a block device", .run = direct },
	{ 0 },
};
