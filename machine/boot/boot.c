/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Chooses the loader by the kernel's format. */
#include "machine/boot/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/boot/image.h"
#include "machine/core/config.h"
#include "machine/core/machine.h"

int image_error(const struct image *img, const char *reason)
{
	fprintf(stderr, "ooh-machine: %s: %s\n", img->path, reason);
	return STATUS_ENVIRONMENT;
}

static bool map_file(struct image *img, int fd)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode)) {
		errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
		return false;
	}
	img->size = (u64)st.st_size;
	if (!img->size)
		return true;
	p = mmap(NULL, img->size, PROT_READ, MAP_PRIVATE, fd, 0);
	img->data = p == MAP_FAILED ? NULL : p;
	return p != MAP_FAILED;
}

bool image_open(struct image *img, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok;

	*img = (struct image){ .path = path };
	ok = fd >= 0 && map_file(img, fd);
	if (!ok)
		image_error(img, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

void image_close(struct image *img)
{
	if (img->data)
		munmap((void *)img->data, img->size);
	img->data = NULL;
}

const void *image_at(const struct image *img, u64 off, u64 n)
{
	return off <= img->size && n <= img->size - off ? img->data + off : NULL;
}

bool guest_put(struct machine *m, u64 at, const void *p, u64 n)
{
	return bus_dma_write(m, (hpa_t){ at }, p, n);
}

static int load(struct machine *m, const struct machine_config *cfg, const struct image *img)
{
	if (linux_is_bzimage(img))
		return linux_boot_bzimage(m, cfg, img);
	if (multiboot_found(img))
		return multiboot_boot(m, cfg, img);
	if (elf_is64(img))
		return linux_boot_vmlinux(m, cfg, img);
	return image_error(img, "not a bzImage, an ELF64 vmlinux or a Multiboot image");
}

int boot_load(struct machine *m, const struct machine_config *cfg)
{
	struct image img;
	int status;

	if (!image_open(&img, cfg->kernel))
		return STATUS_ENVIRONMENT;
	status = load(m, cfg, &img);
	image_close(&img);
	return status;
}
