/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source: ACPI 6.5, chapter 20 "ACPI Machine Language (AML) Specification" and 6.4 "Resource Data Types for ACPI". */
#include "machine/boot/aml.h"

#include <assert.h>
#include <string.h>

#define NAME_OP    0x08
#define BYTE_OP    0x0a
#define WORD_OP    0x0b
#define DWORD_OP   0x0c
#define SCOPE_OP   0x10
#define BUFFER_OP  0x11
#define PACKAGE_OP 0x12
#define EXT_OP     0x5b
#define EXT_DEVICE 0x82
/* Lengths are always written in their three-byte form, so that they can be filled in later. */
#define LENGTH_BYTES 3

static void put(struct aml *a, u64 v, unsigned n)
{
	assert(a->n + n <= AML_MAX);
	memcpy(a->bytes + a->n, &v, n);
	a->n += n;
}

static void put_path(struct aml *a, const char *path)
{
	assert(a->n + strlen(path) <= AML_MAX);
	memcpy(a->bytes + a->n, path, strlen(path));
	a->n += (unsigned)strlen(path);
}

static unsigned open_length(struct aml *a)
{
	unsigned mark = a->n;

	put(a, 0, LENGTH_BYTES);
	return mark;
}

void aml_close(struct aml *a, unsigned mark)
{
	unsigned n = a->n - mark;

	a->bytes[mark] = (u8)(2 << 6 | (n & 15));
	a->bytes[mark + 1] = (u8)(n >> 4);
	a->bytes[mark + 2] = (u8)(n >> 12);
}

unsigned aml_scope(struct aml *a, const char *path)
{
	unsigned mark;

	put(a, SCOPE_OP, 1);
	mark = open_length(a);
	put_path(a, path);
	return mark;
}

unsigned aml_device(struct aml *a, const char *name)
{
	unsigned mark;

	put(a, EXT_OP | EXT_DEVICE << 8, 2);
	mark = open_length(a);
	put_path(a, name);
	return mark;
}

unsigned aml_package(struct aml *a, unsigned elements)
{
	unsigned mark;

	put(a, PACKAGE_OP, 1);
	mark = open_length(a);
	put(a, elements, 1);
	return mark;
}

void aml_name(struct aml *a, const char *path)
{
	put(a, NAME_OP, 1);
	put_path(a, path);
}

void aml_integer(struct aml *a, u32 v)
{
	if (v <= 1) {
		put(a, v, 1); /* ZeroOp, OneOp */
		return;
	}
	put(a, v <= 0xff ? BYTE_OP : v <= 0xffff ? WORD_OP : DWORD_OP, 1);
	put(a, v, v <= 0xff ? 1 : v <= 0xffff ? 2 : 4);
}

static unsigned hex(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

void aml_eisa_id(struct aml *a, const char *id)
{
	unsigned vendor = (id[0] - 0x40u) << 10 | (id[1] - 0x40u) << 5 | (id[2] - 0x40u);

	put(a, DWORD_OP, 1);
	put(a, vendor >> 8, 1);
	put(a, vendor & 0xff, 1);
	put(a, hex(id[3]) << 4 | hex(id[4]), 1);
	put(a, hex(id[5]) << 4 | hex(id[6]), 1);
}

/* The buffer's size is a word constant right behind the package length. */
unsigned aml_resources(struct aml *a)
{
	unsigned mark;

	aml_name(a, "_CRS");
	put(a, BUFFER_OP, 1);
	mark = open_length(a);
	put(a, WORD_OP, 1);
	put(a, 0, 2);
	return mark;
}

void aml_resources_close(struct aml *a, unsigned mark)
{
	unsigned data = mark + LENGTH_BYTES + 3, n;

	put(a, 0x0079, 2); /* end tag, checksum not used */
	n = a->n - data;
	memcpy(a->bytes + data - 2, &(u16){ (u16)n }, 2);
	aml_close(a, mark);
}

void aml_io(struct aml *a, u16 base, u8 length)
{
	put(a, 0x47, 1);
	put(a, 1, 1); /* 16-bit decoding */
	put(a, base, 2);
	put(a, base, 2);
	put(a, 1, 1);
	put(a, length, 1);
}

void aml_memory(struct aml *a, u32 base, u32 length)
{
	put(a, 0x86, 1);
	put(a, 9, 2);
	put(a, 1, 1); /* read-write */
	put(a, base, 4);
	put(a, length, 4);
}

void aml_irq(struct aml *a, unsigned irq)
{
	put(a, 0x22, 1);
	put(a, 1u << irq, 2);
}

/* Word and double-word address space descriptors. Flags 0CH: both ends are fixed. */
static void address_space(struct aml *a, unsigned width, u8 type, u8 specific, u32 first, u32 last)
{
	put(a, width == 2 ? 0x88 : 0x87, 1);
	put(a, 3 + 5 * width, 2);
	put(a, type, 1);
	put(a, 0x0c, 1);
	put(a, specific, 1);
	put(a, 0, width); /* granularity */
	put(a, first, width);
	put(a, last, width);
	put(a, 0, width); /* translation */
	put(a, (u64)last - first + 1, width);
}

void aml_bus_range(struct aml *a, u16 first, u16 last)
{
	address_space(a, 2, 2, 0, first, last);
}

void aml_io_window(struct aml *a, u16 first, u16 last)
{
	address_space(a, 2, 1, 3, first, last); /* entire range */
}

void aml_memory_window(struct aml *a, u32 first, u32 last)
{
	address_space(a, 4, 0, 1, first, last); /* read-write, not cacheable */
}
