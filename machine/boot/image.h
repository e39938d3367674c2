/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loaders of the different kernel formats share. */
#ifndef OOH_MACHINE_BOOT_IMAGE_H
#define OOH_MACHINE_BOOT_IMAGE_H

#include "machine/core/types.h"

struct machine;
struct machine_config;

/* A file in host memory (mapped read-only). */
struct image {
	const char *path;
	const u8 *data;
	u64 size;
};

bool image_open(struct image *img, const char *path);
void image_close(struct image *img);
/* n bytes at off, or NULL where the file is too short. */
const void *image_at(const struct image *img, u64 off, u64 n);
/* One line on stderr about a file; returns the exit status. */
int image_error(const struct image *img, const char *reason);

/* Writes to the guest's memory; false past the end of RAM. */
bool guest_put(struct machine *m, u64 at, const void *p, u64 n);

/* The two kinds of ELF file: loads its segments at their physical addresses. */
struct elf_result {
	u64 entry, lowest, end; /* end: past the last loaded byte, zeroed parts included */
};
bool elf_is32(const struct image *img);
bool elf_is64(const struct image *img);
int elf_load(struct machine *m, const struct image *img, struct elf_result *out);

/* linux.c, multiboot.c. found: is it this format? */
bool linux_is_bzimage(const struct image *img);
int linux_boot_bzimage(struct machine *m, const struct machine_config *cfg, const struct image *img);
int linux_boot_vmlinux(struct machine *m, const struct machine_config *cfg, const struct image *img);
bool multiboot_found(const struct image *img);
int multiboot_boot(struct machine *m, const struct machine_config *cfg, const struct image *img);

/* firmware.c: MTRRs, virtual wire mode, ACPI tables; the memory map. */
#define EBDA_BASE 0x9fc00ull
#define BIOS_BASE 0xe0000ull
#define HIGH_BASE 0x100000ull
#define E820_RAM 1
#define E820_RESERVED 2
struct memory_range {
	u64 base, size;
	u32 type;
};
#define MEMORY_RANGES 5
unsigned firmware_memory_map(const struct machine *m, struct memory_range out[MEMORY_RANGES]);
/* bios: there is one to wake up by. Returns the address of the RSDP. */
u64 firmware_setup(struct machine *m, bool bios);

/* acpi.c: writes all tables at BIOS_BASE; returns the address of the RSDP. */
u64 acpi_build(struct machine *m, bool bios);
#define FACS_AT (BIOS_BASE + 64)

#endif
