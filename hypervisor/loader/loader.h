/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the loader's files share. Everything here runs in Linux, before the launch or after LEAVE.
 */
#ifndef OOH_HV_LOADER_H
#define OOH_HV_LOADER_H

#include <linux/types.h>

#include "core/hv.h"

/* Control words as the VMCS takes them. */
struct ooh_controls {
	u32 pin, proc, proc2, exit, entry;
};

/* One CPU's pages, and how its launch went. */
struct ooh_cpu {
	struct hv_cpu *state; /* through Linux' direct map: not to be touched after the launch */
	u64 vmxon, vmcs, pml; /* physical */
	u32 index;
	int error;
	u32 field;     /* with error -EIO: the VMCS field whose write failed, or 0 */
	u32 vmx_error; /* with error -EIO: VM-instruction error, or 0 */
};

/* All that enabling allocates. */
struct ooh_setup {
	struct page **blocks;    /* of HV_BLOCK_SIZE */
	unsigned int nr_blocks;
	unsigned int block;      /* the one pages are taken from, and the next page in it */
	unsigned int next;
	struct hv_image image;   /* copy of the image's header */
	struct hv *hv;           /* through Linux' direct map: not to be touched after the launch */
	u64 msr_bitmap;          /* physical */
	struct ooh_cpu *cpu;     /* by Linux' CPU number; state NULL: none */
	unsigned int nr_cpus;
};

/* probe.c: what is missing on this CPU goes to the log in one line. Returns 0, -EOPNOTSUPP, -EPERM or -EBUSY. */
int ooh_probe(void);
/*
 * Computes the control words from this CPU's capability MSRs. Returns 0, or -EOPNOTSUPP if a needed control is not
 * there.
 */
int ooh_controls(struct ooh_controls *c);
u64 ooh_rdmsr(u32 msr);

/* memory.c: returns 0 or a negative errno; ooh_memory_free() also after a failure. */
int ooh_memory_build(struct ooh_setup *s, void *dump, size_t dump_size);
void ooh_memory_free(struct ooh_setup *s);

/* tables.c: the contents of what memory.c allocated. */
u64 ooh_take_pages(struct ooh_setup *s, unsigned int count);
void ooh_read_ram(struct hv *hv);
void ooh_read_mtrrs(struct hv *hv);
u64 ooh_mapped_top(const struct hv *hv);
void ooh_map_host(struct ooh_setup *s);
int ooh_map_guest(struct hv *hv);

/* launch.c: interrupts are off. Each returns 0 or a negative errno. */
int ooh_launch_this_cpu(const struct ooh_setup *s, struct ooh_cpu *cpu);
int ooh_leave_this_cpu(const struct ooh_cpu *cpu);
/* Address of the VMCALL that may leave. */
extern const u8 ooh_hv_leave_vmcall[];

/* image.S */
extern const u8 ooh_hv_image_start[], ooh_hv_image_end[];

#endif
