/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's end of a disk: a raw image. Writes go to the file, or (`snapshot`) to memory, which is part of the
 * machine's snapshots and forgotten at the end. The file is locked: one machine may write it, or many only read it.
 */
#ifndef OOH_MACHINE_DEV_DISK_H
#define OOH_MACHINE_DEV_DISK_H

#include "machine/core/types.h"

#define DISK_SECTOR 512u

struct snap;

struct disk {
	int fd;
	bool read_only, overlay;
	char *path;
	u64 sectors;
	s64 changed;  /* when the file was last changed, in nanoseconds since 1970 */
	u8 **block;   /* overlay: by 4 KiB of the image, what the guest has written; NULL: as in the file */
	u64 blocks, written;
};

/* FILE[,ro][,snapshot]. False with one line on stderr. */
bool disk_open(struct disk *d, const char *spec);
void disk_close(struct disk *d);
/* n bytes, whole sectors within the disk. False: the host refused. */
bool disk_read(struct disk *d, u64 sector, void *buf, u64 n);
bool disk_write(struct disk *d, u64 sector, const void *buf, u64 n);
bool disk_flush(struct disk *d);
/* Only a disk whose file the guest cannot change can be saved. */
void disk_snap(struct disk *d, struct snap *s);

#endif
