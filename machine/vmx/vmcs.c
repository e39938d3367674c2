/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/cpu/sys/monitor.h"
#include "machine/oracle/oracle.h"
#include "machine/vmx/caps.h"
#include "machine/vmx/vmcs.h"

struct field {
	u16 encoding;
	u16 cap;
};

static const struct field fields[VMCS_ROWS] = {
#define VMCS_FIELD(name, encoding, width, class, cap, text) { encoding, VMX_CAP_##cap },
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
};

/* A dense number for width, class and index. */
#define SLOT(e) (VMCS_ENC_WIDTH(e) << 7 | VMCS_ENC_CLASS(e) << 5 | (VMCS_ENC_INDEX(e) & 31))
_Static_assert(VMCS_MAX_INDEX < 32, "SLOT has five bits for the index");

static const u8 row_plus_1[512] = {
#define VMCS_FIELD(name, encoding, width, class, cap, text) [SLOT(encoding)] = VF_##name + 1,
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
};
_Static_assert(VMCS_ROWS < 256, "row_plus_1 is an array of bytes");
_Static_assert(sizeof(struct vmcs_cache) <= VMX_REGION_SIZE, "the VMCS must fit into its region");

int vmcs_row_of(u64 encoding)
{
	int row;

	if ((encoding & ~(u64)VMCS_ENC_HIGH) & (VMCS_ENC_RESERVED | ~0xffffffffull))
		return -1;
	if (VMCS_ENC_INDEX(encoding) > VMCS_MAX_INDEX)
		return -1;
	row = row_plus_1[SLOT(encoding)] - 1;
	if (row < 0 || !vmx_supported(fields[row].cap))
		return -1;
	/* SDM 3C "Encodings of VMCS Fields": only 64-bit fields have a high access type. */
	if ((encoding & VMCS_ENC_HIGH) && VMCS_ENC_WIDTH(encoding) != VMCS_WIDTH_64)
		return -1;
	return row;
}

unsigned vmcs_highest_index(void)
{
	unsigned highest = 0;

	for (unsigned i = 0; i < VMCS_ROWS; i++)
		if (vmx_supported(fields[i].cap) && VMCS_ENC_INDEX(fields[i].encoding) > highest)
			highest = VMCS_ENC_INDEX(fields[i].encoding);
	return highest;
}

enum vmcs_class vmcs_class_of(int row)
{
	return (enum vmcs_class)VMCS_ENC_CLASS(fields[row].encoding);
}

u64 vmcs_cut(int row, u64 value)
{
	switch (VMCS_ENC_WIDTH(fields[row].encoding)) {
	case VMCS_WIDTH_16:
		return (u16)value;
	case VMCS_WIDTH_32:
		return (u32)value;
	}
	return value;
}

/* What a read through this encoding gives of a field; what a write through it makes of it. */
static u64 read_part(u64 field, u64 encoding)
{
	return encoding & VMCS_ENC_HIGH ? field >> 32 : field;
}

static u64 write_part(int row, u64 field, u64 encoding, u64 value)
{
	return encoding & VMCS_ENC_HIGH ? value << 32 | (u32)field : vmcs_cut(row, value);
}

u64 vmcs_read_encoding(const struct cpu *c, int row, u64 encoding)
{
	return read_part(c->vmx.vmcs->f[row], encoding);
}

void vmcs_write_encoding(struct cpu *c, int row, u64 encoding, u64 value)
{
	u64 *f = &c->vmx.vmcs->f[row];

	*f = write_part(row, *f, encoding, value);
}

static u64 address_in_region(u64 addr, int row)
{
	return addr + offsetof(struct vmcs_cache, f) + (u64)row * sizeof(u64);
}

u64 vmcs_region_read(struct cpu *c, u64 addr, int row, u64 encoding)
{
	return read_part(vmx_phys_read(c, address_in_region(addr, row), 8), encoding);
}

void vmcs_region_write(struct cpu *c, u64 addr, int row, u64 encoding, u64 value)
{
	u64 at = address_in_region(addr, row);

	vmx_phys_write(c, at, 8, write_part(row, vmx_phys_read(c, at, 8), encoding, value));
}

u64 vmx_phys_read(const struct cpu *c, u64 addr, unsigned size)
{
	const u8 *p = bus_ram(&c->m->bus, (hpa_t){ addr });
	u64 v = ~0ull;

	if (p)
		v = 0, memcpy(&v, p, size);
	else if (size < 8)
		v = (1ull << size * 8) - 1;
	return v;
}

/* Tells whoever watches a frame that n bytes at p are about to change. */
static void before_store(struct cpu *c, const u8 *p, unsigned n)
{
	u64 frame = bus_frame(&c->m->bus, p);
	u8 flags = c->m->bus.frame_flags[frame];

	if (flags & FRAME_CODE)
		code_written(c->m, frame, (unsigned)((u64)(p - c->m->bus.ram) & PAGE_OFFSET_MASK), n);
	if (flags & FRAME_ORACLE)
		oracle_dma(c->m, frame);
	if (flags & FRAME_MONITOR)
		monitor_stored(c->m, frame, (unsigned)((u64)(p - c->m->bus.ram) & PAGE_OFFSET_MASK), n);
}

void vmx_phys_write(struct cpu *c, u64 addr, unsigned size, u64 value)
{
	u8 *p = bus_ram(&c->m->bus, (hpa_t){ addr });

	if (!p)
		return;
	before_store(c, p, size);
	memcpy(p, &value, size);
}

void vmcs_load(struct cpu *c, u64 addr)
{
	const u8 *p = bus_ram(&c->m->bus, (hpa_t){ addr });

	if (p)
		memcpy(c->vmx.vmcs, p, sizeof(*c->vmx.vmcs));
	else
		memset(c->vmx.vmcs, 0, sizeof(*c->vmx.vmcs));
}

void vmcs_store(struct cpu *c, u64 addr)
{
	u8 *p = bus_ram(&c->m->bus, (hpa_t){ addr });

	if (!p)
		return;
	before_store(c, p, sizeof(*c->vmx.vmcs));
	memcpy(p, c->vmx.vmcs, sizeof(*c->vmx.vmcs));
}
