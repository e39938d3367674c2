/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Source: QEMU docs/specs/fw_cfg: selector at 510H, data at 511H, numbers little-endian, the file directory big-
 * endian.
 */
#include "machine/dev/fwcfg.h"

#include <string.h>

#include "machine/core/machine.h"
#include "machine/core/snapshot.h"

#define FW_CFG_SELECT 0x510
#define KEY_SIGNATURE 0x00
#define KEY_ID        0x01
#define KEY_RAM_SIZE  0x03
#define KEY_NB_CPUS   0x05
#define KEY_MAX_CPUS  0x0f
#define KEY_FILE_DIR  0x19
#define ID_TRADITIONAL 1 /* no DMA interface */

static unsigned put(u8 *out, u64 v, unsigned n)
{
	memcpy(out, &v, n);
	return n;
}

/* The bytes of a key; 0 for one that is not there (it reads as zeros). */
static unsigned item(const struct machine *m, u16 key, u8 out[8])
{
	switch (key) {
	case KEY_SIGNATURE:
		memcpy(out, "QEMU", 4);
		return 4;
	case KEY_ID:
		return put(out, ID_TRADITIONAL, 4);
	case KEY_RAM_SIZE:
		return put(out, m->bus.ram_size, 8);
	case KEY_NB_CPUS:
	case KEY_MAX_CPUS:
		return put(out, m->ncpus, 2);
	case KEY_FILE_DIR: /* number of files */
		return put(out, 0, 4);
	}
	return 0;
}

static u32 fwcfg_read(void *dev, struct cpu *cpu, u16 port, unsigned size)
{
	struct fwcfg *f = dev;
	u8 bytes[8];
	unsigned n;

	if (port == FW_CFG_SELECT)
		return f->r.selected;
	n = item(f->m, f->r.selected, bytes);
	return f->r.at < n ? bytes[f->r.at++] : 0;
}

static void fwcfg_write(void *dev, struct cpu *cpu, u16 port, unsigned size, u32 value)
{
	struct fwcfg *f = dev;

	if (port != FW_CFG_SELECT)
		return; /* items are read-only */
	f->r.selected = (u16)value;
	f->r.at = 0;
}

void fwcfg_init(struct fwcfg *f, struct machine *m)
{
	f->m = m;
	bus_add_pio(m, FW_CFG_SELECT, 2, fwcfg_read, fwcfg_write, f, "fw_cfg");
}

void fwcfg_snap(struct fwcfg *f, struct snap *s)
{
	snap_var(s, "fwcfg.selected", f->r.selected);
	snap_var(s, "fwcfg.at", f->r.at);
}
