/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Loads ELF executables, of both classes, by physical address. */
#include <elf.h>
#include <string.h>

#include "machine/boot/image.h"
#include "machine/core/machine.h"

struct segment_load {
	u64 offset, filesz, memsz, paddr;
};

static bool is_elf(const struct image *img, unsigned char class, u64 header)
{
	const unsigned char *id = image_at(img, 0, header);

	return id && memcmp(id, ELFMAG, SELFMAG) == 0 && id[EI_CLASS] == class && id[EI_DATA] == ELFDATA2LSB;
}

bool elf_is32(const struct image *img)
{
	return is_elf(img, ELFCLASS32, sizeof(Elf32_Ehdr));
}

bool elf_is64(const struct image *img)
{
	return is_elf(img, ELFCLASS64, sizeof(Elf64_Ehdr)) &&
	       ((const Elf64_Ehdr *)image_at(img, 0, sizeof(Elf64_Ehdr)))->e_machine == EM_X86_64;
}

static bool zero_fill(struct machine *m, u64 at, u64 n)
{
	static const u8 zeros[PAGE_SIZE];

	while (n) {
		u64 chunk = n < sizeof(zeros) ? n : sizeof(zeros);

		if (!guest_put(m, at, zeros, chunk))
			return false;
		at += chunk;
		n -= chunk;
	}
	return true;
}

static int load_segment(struct machine *m, const struct image *img, const struct segment_load *s,
			struct elf_result *out)
{
	const void *data = image_at(img, s->offset, s->filesz);

	if (!data || s->filesz > s->memsz || s->paddr + s->memsz < s->paddr)
		return image_error(img, "broken ELF program header");
	if (!guest_put(m, s->paddr, data, s->filesz) || !zero_fill(m, s->paddr + s->filesz, s->memsz - s->filesz))
		return image_error(img, "a segment lies outside RAM; try more --ram");
	if (s->paddr < out->lowest)
		out->lowest = s->paddr;
	if (s->paddr + s->memsz > out->end)
		out->end = s->paddr + s->memsz;
	return 0;
}

static int load32(struct machine *m, const struct image *img, struct elf_result *out)
{
	const Elf32_Ehdr *eh = image_at(img, 0, sizeof(*eh));

	out->entry = eh->e_entry;
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		const Elf32_Phdr *ph = image_at(img, eh->e_phoff + (u64)i * eh->e_phentsize, sizeof(*ph));
		struct segment_load s;
		int status;

		if (!ph)
			return image_error(img, "broken ELF program headers");
		if (ph->p_type != PT_LOAD || !ph->p_memsz)
			continue;
		s = (struct segment_load){ ph->p_offset, ph->p_filesz, ph->p_memsz, ph->p_paddr };
		status = load_segment(m, img, &s, out);
		if (status)
			return status;
	}
	return 0;
}

static int load64(struct machine *m, const struct image *img, struct elf_result *out)
{
	const Elf64_Ehdr *eh = image_at(img, 0, sizeof(*eh));

	out->entry = eh->e_entry;
	for (unsigned i = 0; i < eh->e_phnum; i++) {
		const Elf64_Phdr *ph = image_at(img, eh->e_phoff + (u64)i * eh->e_phentsize, sizeof(*ph));
		struct segment_load s;
		int status;

		if (!ph)
			return image_error(img, "broken ELF program headers");
		if (ph->p_type != PT_LOAD || !ph->p_memsz)
			continue;
		s = (struct segment_load){ ph->p_offset, ph->p_filesz, ph->p_memsz, ph->p_paddr };
		status = load_segment(m, img, &s, out);
		if (status)
			return status;
	}
	return 0;
}

int elf_load(struct machine *m, const struct image *img, struct elf_result *out)
{
	int status;

	*out = (struct elf_result){ .lowest = ~0ull };
	status = elf_is32(img) ? load32(m, img, out) : load64(m, img, out);
	if (!status && !out->end)
		return image_error(img, "nothing to load in it");
	return status;
}
