/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux, by its 64-bit boot protocol (Documentation/x86/boot.rst, "64-bit Boot Protocol"; zero-page.rst): long mode
 * with the first 4 GiB mapped one to one, RSI = boot_params, entry at the protected-mode kernel + 200H, or at the
 * entry of an ELF vmlinux.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/boot/entry.h"
#include "machine/boot/image.h"
#include "machine/core/config.h"
#include "machine/cpu/cpu.h"

/* Low memory, below the kernel. */
#define GDT_AT      0x1000ull
#define PARAMS_AT   0x7000ull
#define PAGING_AT   0x9000ull /* PML4, PDPT, 4 page directories */
#define CMDLINE_AT  0x20000ull
#define CMDLINE_ROOM 0x10000ull
#define STACK_AT    0x90000ull

/* Offsets in struct boot_params (zero-page.rst). */
#define BP_RSDP          0x070
#define BP_E820_ENTRIES  0x1e8
#define BP_HEADER        0x1f1
#define BP_E820_TABLE    0x2d0
#define BP_SIZE          0x1000
/* Offsets of the setup header, in the file as in boot_params. */
#define HDR_SETUP_SECTS  0x1f1
#define HDR_BOOT_FLAG    0x1fe
#define HDR_JUMP         0x200
#define HDR_MAGIC        0x202
#define HDR_VERSION      0x206
#define HDR_LOADER       0x210
#define HDR_LOADFLAGS    0x211
#define HDR_CODE32       0x214
#define HDR_RAMDISK      0x218
#define HDR_RAMDISK_SIZE 0x21c
#define HDR_CMDLINE      0x228
#define HDR_INITRD_MAX   0x22c
#define HDR_ALIGNMENT    0x230
#define HDR_XLOADFLAGS   0x236
#define HDR_CMDLINE_SIZE 0x238
#define HDR_PREF_ADDRESS 0x258
#define HDR_INIT_SIZE    0x260

#define MAGIC_HDRS 0x53726448u
#define VERSION_64BIT 0x020c
#define XLF_KERNEL_64 1
#define LOADED_HIGH 1
#define LOADER_UNDEFINED 0xff
#define ENTRY_64 0x200
#define VMLINUX_INITRD_MAX 0x7fffffffull
#define VMLINUX_CMDLINE 2047

struct params {
	u8 bytes[BP_SIZE];
};

static void put(struct params *p, unsigned off, u64 v, unsigned n)
{
	memcpy(p->bytes + off, &v, n);
}

static u64 get(const void *header, unsigned off, unsigned n)
{
	u64 v = 0;

	memcpy(&v, (const u8 *)header + off, n);
	return v;
}

bool linux_is_bzimage(const struct image *img)
{
	const void *h = image_at(img, 0, HDR_INIT_SIZE + 4);

	return h && get(h, HDR_BOOT_FLAG, 2) == 0xaa55 && get(h, HDR_MAGIC, 4) == MAGIC_HDRS;
}

static void put_memory_map(struct machine *m, struct params *p)
{
	struct memory_range map[MEMORY_RANGES];
	unsigned n = firmware_memory_map(m, map);

	put(p, BP_E820_ENTRIES, n, 1);
	for (unsigned i = 0; i < n; i++) {
		put(p, BP_E820_TABLE + 20 * i, map[i].base, 8);
		put(p, BP_E820_TABLE + 20 * i + 8, map[i].size, 8);
		put(p, BP_E820_TABLE + 20 * i + 16, map[i].type, 4);
	}
}

static int put_cmdline(struct machine *m, const struct machine_config *cfg, struct params *p, u64 max)
{
	const char *s = cfg->append ? cfg->append : "";
	u64 n = strlen(s);

	if (max >= CMDLINE_ROOM)
		max = CMDLINE_ROOM - 1;
	if (n > max) {
		fprintf(stderr, "ooh-machine: --append: longer than the kernel's %" PRIu64 " characters\n", max);
		return STATUS_USAGE;
	}
	guest_put(m, CMDLINE_AT, s, n + 1);
	put(p, HDR_CMDLINE, CMDLINE_AT, 4);
	return 0;
}

/* As high as the kernel allows; floor: the end of what the kernel itself needs. */
static int put_initrd(struct machine *m, const struct machine_config *cfg, struct params *p, u64 max, u64 floor)
{
	u64 top = m->bus.ram_low, at;
	struct image img;

	if (!cfg->initrd)
		return 0;
	if (!image_open(&img, cfg->initrd))
		return STATUS_ENVIRONMENT;
	if (max + 1 < top)
		top = max + 1;
	at = (top - img.size) & ~PAGE_OFFSET_MASK;
	if (img.size > top || at < floor || !guest_put(m, at, img.data, img.size)) {
		image_close(&img);
		return image_error(&img, "does not fit beside the kernel; try more --ram");
	}
	put(p, HDR_RAMDISK, at, 4);
	put(p, HDR_RAMDISK_SIZE, img.size, 4);
	image_close(&img);
	return 0;
}

/* 2 MiB pages; the CPU's accessed flags in them are nobody's business. */
static void put_page_tables(struct machine *m)
{
	u64 table[512] = { (PAGING_AT + 0x1000) | PTE_P | PTE_RW };

	guest_put(m, PAGING_AT, table, sizeof(table));
	for (unsigned i = 0; i < 512; i++)
		table[i] = i < 4 ? (PAGING_AT + 0x2000 + i * 0x1000) | PTE_P | PTE_RW : 0;
	guest_put(m, PAGING_AT + 0x1000, table, sizeof(table));
	for (unsigned pd = 0; pd < 4; pd++) {
		for (unsigned i = 0; i < 512; i++)
			table[i] = ((u64)pd << 30 | (u64)i << 21) | PTE_P | PTE_RW | PTE_PS;
		guest_put(m, PAGING_AT + 0x2000 + pd * 0x1000, table, sizeof(table));
	}
}

static int enter(struct machine *m, const struct machine_config *cfg, struct params *p, u64 entry)
{
	put_memory_map(m, p);
	put(p, BP_RSDP, firmware_setup(m, false), 8);
	put(p, HDR_LOADER, LOADER_UNDEFINED, 1);
	guest_put(m, PARAMS_AT, p, sizeof(*p));
	put_page_tables(m);
	entry_gdt(m, GDT_AT);
	entry_long_mode(m->cpu[0], PAGING_AT, entry, STACK_AT);
	m->cpu[0]->gpr[RSI] = PARAMS_AT;
	return 0;
}

int linux_boot_bzimage(struct machine *m, const struct machine_config *cfg, const struct image *img)
{
	const u8 *h = image_at(img, 0, HDR_INIT_SIZE + 4);
	u64 setup = (get(h, HDR_SETUP_SECTS, 1) ? get(h, HDR_SETUP_SECTS, 1) : 4) * 512 + 512;
	u64 at = get(h, HDR_PREF_ADDRESS, 8), need = get(h, HDR_INIT_SIZE, 4);
	u64 header_end = HDR_MAGIC + get(h, HDR_JUMP + 1, 1);
	struct params p = { { 0 } };
	int status;

	if (get(h, HDR_VERSION, 2) < VERSION_64BIT || !(get(h, HDR_XLOADFLAGS, 2) & XLF_KERNEL_64))
		return image_error(img, "no 64-bit entry point (Linux 3.8 or later, x86-64)");
	if (setup >= img->size || header_end > BP_E820_TABLE || !image_at(img, 0, header_end))
		return image_error(img, "shorter than its header says");
	if (at + need > m->bus.ram_low || !guest_put(m, at, img->data + setup, img->size - setup))
		return image_error(img, "does not fit in RAM; try more --ram");
	memcpy(p.bytes + BP_HEADER, h + BP_HEADER, header_end - BP_HEADER);
	put(&p, HDR_LOADFLAGS, get(h, HDR_LOADFLAGS, 1) | LOADED_HIGH, 1);
	put(&p, HDR_CODE32, at, 4);
	status = put_cmdline(m, cfg, &p, get(h, HDR_CMDLINE_SIZE, 4));
	if (!status)
		status = put_initrd(m, cfg, &p, get(h, HDR_INITRD_MAX, 4), at + need);
	return status ? status : enter(m, cfg, &p, at + ENTRY_64);
}

int linux_boot_vmlinux(struct machine *m, const struct machine_config *cfg, const struct image *img)
{
	struct params p = { { 0 } };
	struct elf_result elf;
	int status = elf_load(m, img, &elf);

	if (status)
		return status;
	put(&p, HDR_BOOT_FLAG, 0xaa55, 2);
	put(&p, HDR_MAGIC, MAGIC_HDRS, 4);
	put(&p, HDR_VERSION, VERSION_64BIT, 2);
	put(&p, HDR_LOADFLAGS, LOADED_HIGH, 1);
	put(&p, HDR_ALIGNMENT, 0x1000000, 4);
	status = put_cmdline(m, cfg, &p, VMLINUX_CMDLINE);
	if (!status)
		status = put_initrd(m, cfg, &p, VMLINUX_INITRD_MAX, elf.end);
	return status ? status : enter(m, cfg, &p, elf.entry);
}
