/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source: Multiboot Specification version 0.6.96: sections 3.1 "OS image format", 3.2 "Machine state", 3.3 "Boot
 * information format".
 */
#include <stdlib.h>
#include <string.h>

#include "machine/boot/bios.h"
#include "machine/boot/entry.h"
#include "machine/boot/image.h"
#include "machine/core/config.h"
#include "machine/cpu/cpu.h"

#define SEARCH 8192
#define HEADER_MAGIC 0x1badb002u
#define ENTRY_MAGIC  0x2badb002u
#define FLAG_ADDRESSES 0x10000u /* the header says where to load (for files that are no ELF, or an ELF64) */
#define FLAG_VIDEO 0x4u
#define KNOWN_REQUIRED 0x3u     /* of bits 15:0: page-aligned modules, memory information */

#define INFO_MEMORY  0x001u
#define INFO_CMDLINE 0x004u
#define INFO_MODULES 0x008u
#define INFO_MMAP    0x040u
#define INFO_LOADER  0x200u

/* The top of low memory: images for real mode load at its bottom. */
#define GDT_AT     0x1000u
#define INFO_AT    0x98000u
#define MMAP_AT    0x98100u
#define MODULE_AT  0x98200u
#define LOADER_AT  0x98300u
#define MODULE_NAME_AT 0x98400u
#define CMDLINE_AT 0x99000u
#define CMDLINE_ROOM 0x4000u

struct mb_header {
	u32 magic, flags, checksum;
	u32 header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct mb_info {
	u32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4], mmap_length, mmap_addr;
	u32 drives_length, drives_addr, config_table, boot_loader_name, apm_table;
};

struct mb_module {
	u32 start, end, string, reserved;
};

struct mb_mmap {
	u32 size;
	u64 base, length;
	u32 type;
} __attribute__((packed));

/* Offset of the header in the file, or -1. */
static s64 find_header(const struct image *img, struct mb_header *out)
{
	for (u64 off = 0; off + 12 <= SEARCH; off += 4) {
		const u8 *p = image_at(img, off, 12);

		if (!p)
			return -1;
		memset(out, 0, sizeof(*out));
		memcpy(out, p, 12);
		if (out->magic != HEADER_MAGIC || out->magic + out->flags + out->checksum != 0)
			continue;
		if ((out->flags & FLAG_ADDRESSES) && (p = image_at(img, off, sizeof(*out))))
			memcpy(out, p, sizeof(*out));
		return (s64)off;
	}
	return -1;
}

bool multiboot_found(const struct image *img)
{
	struct mb_header h;

	return find_header(img, &h) >= 0;
}

static int load_by_addresses(struct machine *m, const struct image *img, const struct mb_header *h, u64 header_off,
			     struct elf_result *out)
{
	u64 file_off = header_off - (h->header_addr - h->load_addr);
	u64 n = h->load_end_addr ? (u64)h->load_end_addr - h->load_addr : img->size - file_off;
	const void *data = h->header_addr - h->load_addr <= header_off ? image_at(img, file_off, n) : NULL;

	if (!data)
		return image_error(img, "broken addresses in the Multiboot header");
	if (!guest_put(m, h->load_addr, data, n))
		return image_error(img, "lies outside RAM; try more --ram");
	/* RAM is zero already: bss needs no clearing. */
	*out = (struct elf_result){ .entry = h->entry_addr, .lowest = h->load_addr, .end = h->load_addr + n };
	if (h->bss_end_addr > out->end)
		out->end = h->bss_end_addr;
	return 0;
}

static int load_image(struct machine *m, const struct image *img, struct elf_result *out)
{
	struct mb_header h = { 0 };
	s64 off = find_header(img, &h);

	if (h.flags & 0xffff & ~(KNOWN_REQUIRED | FLAG_VIDEO))
		return image_error(img, "its Multiboot header requires features that are not known");
	if (h.flags & FLAG_ADDRESSES)
		return load_by_addresses(m, img, &h, (u64)off, out);
	if (!elf_is32(img))
		return image_error(img, "a Multiboot image without addresses must be an ELF32 file");
	return elf_load(m, img, out);
}

static int put_module(struct machine *m, const struct machine_config *cfg, u64 after, struct mb_info *info)
{
	struct mb_module mod = { .string = MODULE_NAME_AT };
	struct image img;
	bool ok;

	if (!cfg->initrd)
		return 0;
	if (!image_open(&img, cfg->initrd))
		return STATUS_ENVIRONMENT;
	mod.start = (u32)((after + PAGE_OFFSET_MASK) & ~PAGE_OFFSET_MASK);
	ok = guest_put(m, mod.start, img.data, img.size);
	mod.end = (u32)(mod.start + img.size);
	image_close(&img);
	if (!ok)
		return image_error(&img, "does not fit behind the kernel; try more --ram");
	guest_put(m, MODULE_NAME_AT, "initrd", 7);
	guest_put(m, MODULE_AT, &mod, sizeof(mod));
	info->flags |= INFO_MODULES;
	info->mods_count = 1;
	info->mods_addr = MODULE_AT;
	return 0;
}

static void put_memory(struct machine *m, struct mb_info *info)
{
	struct memory_range map[MEMORY_RANGES];
	unsigned n = firmware_memory_map(m, map);

	for (unsigned i = 0; i < n; i++) {
		struct mb_mmap e = { sizeof(e) - 4, map[i].base, map[i].size, map[i].type };

		guest_put(m, MMAP_AT + i * sizeof(e), &e, sizeof(e));
	}
	info->flags |= INFO_MEMORY | INFO_MMAP;
	info->mem_lower = EBDA_BASE >> 10;
	info->mem_upper = (u32)((m->bus.ram_low - HIGH_BASE) >> 10);
	info->mmap_addr = MMAP_AT;
	info->mmap_length = n * sizeof(struct mb_mmap);
}

/* By convention the command line begins with the file's name. */
static int put_cmdline(struct machine *m, const struct machine_config *cfg, struct mb_info *info)
{
	const char *append = cfg->append ? cfg->append : "";
	u64 name = strlen(cfg->kernel), n = name + (*append ? 1 : 0) + strlen(append);

	if (n >= CMDLINE_ROOM)
		return image_error(&(struct image){ .path = "--append" }, "too long");
	guest_put(m, CMDLINE_AT, cfg->kernel, name);
	if (*append)
		guest_put(m, CMDLINE_AT + name, " ", 1);
	guest_put(m, CMDLINE_AT + n - strlen(append), append, strlen(append) + 1);
	info->flags |= INFO_CMDLINE | INFO_LOADER;
	info->cmdline = CMDLINE_AT;
	info->boot_loader_name = LOADER_AT;
	guest_put(m, LOADER_AT, "ooh-machine", 12);
	return 0;
}

int multiboot_boot(struct machine *m, const struct machine_config *cfg, const struct image *img)
{
	struct mb_info info = { 0 };
	struct elf_result elf = { 0 };
	int status = load_image(m, img, &elf);

	if (!status)
		status = put_module(m, cfg, elf.end, &info);
	if (!status)
		status = put_cmdline(m, cfg, &info);
	if (status)
		return status;
	put_memory(m, &info);
	guest_put(m, INFO_AT, &info, sizeof(info));
	firmware_setup(m, true);
	bios_leave(m);
	entry_gdt(m, GDT_AT);
	entry_protected_mode(m->cpu[0], (u32)elf.entry);
	m->cpu[0]->gpr[RAX] = ENTRY_MAGIC;
	m->cpu[0]->gpr[RBX] = INFO_AT;
	return 0;
}
