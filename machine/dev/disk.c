/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "machine/dev/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/core/snapshot.h"

#define BLOCK PAGE_SIZE
#define BLOCK_SECTORS (BLOCK / DISK_SECTOR)

static bool refuse(const struct disk *d, const char *reason)
{
	fprintf(stderr, "ooh-machine: %s: %s\n", d->path, reason);
	return false;
}

/* Takes the word off the end of the path. */
static bool take_word(char *path, const char *word)
{
	size_t n = strlen(path), k = strlen(word);

	if (n <= k || strcmp(path + n - k, word) != 0)
		return false;
	path[n - k] = '\0';
	return true;
}

static void parse(struct disk *d)
{
	for (bool more = true; more;) {
		more = false;
		if (take_word(d->path, ",ro"))
			more = d->read_only = true;
		if (take_word(d->path, ",snapshot"))
			more = d->overlay = true;
	}
}

static bool look_at_file(struct disk *d)
{
	struct stat st;

	if (fstat(d->fd, &st) != 0)
		return refuse(d, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(d, "not a regular file");
	if (st.st_size == 0 || st.st_size % DISK_SECTOR)
		return refuse(d, "not a disk image: its size is not a multiple of 512 bytes");
	d->sectors = (u64)st.st_size / DISK_SECTOR;
	d->changed = (s64)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	d->blocks = (d->sectors + BLOCK_SECTORS - 1) / BLOCK_SECTORS;
	return true;
}

static bool writes_file(const struct disk *d)
{
	return !d->read_only && !d->overlay;
}

static bool lock(struct disk *d)
{
	struct flock l = { .l_type = writes_file(d) ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET };

	if (fcntl(d->fd, F_OFD_SETLK, &l) == 0 || (errno != EAGAIN && errno != EACCES))
		return true; /* a file system without locks */
	return refuse(d, "in use by another machine");
}

bool disk_open(struct disk *d, const char *spec)
{
	*d = (struct disk){ .fd = -1, .path = strdup(spec) };
	if (!d->path)
		return false;
	parse(d);
	d->fd = open(d->path, (writes_file(d) ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (d->fd < 0)
		return refuse(d, strerror(errno));
	if (!look_at_file(d) || !lock(d))
		return false;
	if (d->overlay && !(d->block = calloc(d->blocks, sizeof(*d->block))))
		return refuse(d, "out of memory");
	return true;
}

void disk_close(struct disk *d)
{
	for (u64 i = 0; d->block && i < d->blocks; i++)
		free(d->block[i]);
	free(d->block);
	free(d->path);
	if (d->path && d->fd >= 0)
		close(d->fd);
	*d = (struct disk){ .fd = -1 };
}

static bool file_read(const struct disk *d, void *buf, u64 n, u64 at)
{
	for (u8 *to = buf; n;) {
		ssize_t got = pread(d->fd, to, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false; /* an error, or the file has become shorter */
		to += got;
		at += (u64)got;
		n -= (u64)got;
	}
	return true;
}

static bool file_write(const struct disk *d, const void *buf, u64 n, u64 at)
{
	for (const u8 *from = buf; n;) {
		ssize_t put = pwrite(d->fd, from, n, (off_t)at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return false;
		from += put;
		at += (u64)put;
		n -= (u64)put;
	}
	return true;
}

/* Bytes of the block at image offset `at` from there on, at most n. */
static u64 block_part(u64 at, u64 n)
{
	u64 left = BLOCK - at % BLOCK;

	return n < left ? n : left;
}

bool disk_read(struct disk *d, u64 sector, void *buf, u64 n)
{
	u64 at = sector * DISK_SECTOR;

	if (!d->overlay)
		return file_read(d, buf, n, at);
	for (u8 *to = buf; n;) {
		const u8 *block = d->block[at / BLOCK];
		u64 some = block_part(at, n);

		if (block)
			memcpy(to, block + at % BLOCK, some);
		else if (!file_read(d, to, some, at))
			return false;
		to += some;
		at += some;
		n -= some;
	}
	return true;
}

/* The overlay's block, with what the file has; NULL: the host refused. */
static u8 *own_block(struct disk *d, u64 i)
{
	u64 at = i * BLOCK, end = d->sectors * DISK_SECTOR;

	if (d->block[i])
		return d->block[i];
	d->block[i] = calloc(1, BLOCK);
	if (d->block[i] && !file_read(d, d->block[i], end - at < BLOCK ? end - at : BLOCK, at)) {
		free(d->block[i]);
		d->block[i] = NULL;
	}
	d->written += d->block[i] != NULL;
	return d->block[i];
}

bool disk_write(struct disk *d, u64 sector, const void *buf, u64 n)
{
	u64 at = sector * DISK_SECTOR;

	if (!d->overlay)
		return file_write(d, buf, n, at);
	for (const u8 *from = buf; n;) {
		u8 *block = own_block(d, at / BLOCK);
		u64 some = block_part(at, n);

		if (!block)
			return false;
		memcpy(block + at % BLOCK, from, some);
		from += some;
		at += some;
		n -= some;
	}
	return true;
}

bool disk_flush(struct disk *d)
{
	return !writes_file(d) || fdatasync(d->fd) == 0;
}

static void save_overlay(struct disk *d, struct snap *s)
{
	for (u64 i = 0; i < d->blocks; i++) {
		if (!d->block[i])
			continue;
		snap_var(s, "disk.at", i);
		snap_bytes(s, "disk.block", d->block[i], BLOCK);
	}
}

static void restore_overlay(struct disk *d, struct snap *s, u64 n)
{
	while (n--) {
		u64 i = ~0ull;

		snap_var(s, "disk.at", i);
		if (i >= d->blocks) {
			snap_refuse(s, d->path, "its part of the snapshot is broken");
			return;
		}
		if (!d->block[i])
			d->block[i] = calloc(1, BLOCK);
		if (!d->block[i]) {
			snap_refuse(s, d->path, "out of memory");
			return;
		}
		snap_bytes(s, "disk.block", d->block[i], BLOCK);
	}
}

void disk_snap(struct disk *d, struct snap *s)
{
	struct { u64 sectors; s64 changed; } file = { d->sectors, d->changed };
	u64 written = d->written;

	if (snap_looking(s)) { /* of the contents, how many blocks were written has to do */
		snap_var(s, "disk.written", written);
		return;
	}
	if (writes_file(d)) {
		snap_refuse(s, d->path, "a disk whose file is written cannot be in a snapshot (say ,snapshot or ,ro)");
		return;
	}
	snap_var(s, "disk.file", file);
	if (file.sectors != d->sectors || file.changed != d->changed) {
		snap_refuse(s, d->path, "has changed since the snapshot was made");
		return;
	}
	snap_var(s, "disk.written", written);
	if (!d->overlay)
		return;
	if (snap_restoring(s))
		restore_overlay(d, s, written);
	else
		save_overlay(d, s);
	d->written = written;
}
