/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The VMCS: the decoded copy of the current one, and its form in memory. The region in memory is written at VMCLEAR
 * and when another VMCS becomes current, and read at VMPTRLD; its format is ours alone (a real CPU's is
 * undocumented too).
 */
#ifndef OOH_MACHINE_VMX_VMCS_H
#define OOH_MACHINE_VMX_VMCS_H

#include "arch/vmcs.h"
#include "machine/cpu/cpu.h"

/* A row number in arch/vmcs_fields.def. */
enum vmcs_row {
#define VMCS_FIELD(name, encoding, width, class, cap, text) VF_##name,
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
	VMCS_ROWS
};

struct vmcs_cache {
	u32 revision; /* bit 31: shadow VMCS */
	u32 abort;
	u32 launched; /* launch state */
	u32 reserved;
	u64 f[VMCS_ROWS];
};

/* The field NAME of the current VMCS, an lvalue. */
#define VMCS(c, NAME) ((c)->vmx.vmcs->f[VF_##NAME])

/* Row of an encoding (bit 0 ignored), or -1 if this CPU has no such field. */
int vmcs_row_of(u64 encoding);
/* The highest index of any field that exists: SDM 3D A.9 "VMCS Enumeration". */
unsigned vmcs_highest_index(void);
/* Class and width of a row, from its encoding. */
enum vmcs_class vmcs_class_of(int row);
/* Value with the bits cut off that a field of this row does not have. */
u64 vmcs_cut(int row, u64 value);
/* Reads or writes through an encoding that vmcs_row_of knows: bit 0 selects the upper half of a 64-bit field. */
u64 vmcs_read_encoding(const struct cpu *c, int row, u64 encoding);
void vmcs_write_encoding(struct cpu *c, int row, u64 encoding, u64 value);
/* The same for the VMCS in the region at addr, which is not the current one: a shadow VMCS. */
u64 vmcs_region_read(struct cpu *c, u64 addr, int row, u64 encoding);
void vmcs_region_write(struct cpu *c, u64 addr, int row, u64 encoding, u64 value);

/* The controls in force: the secondary ones count as 0 unless "activate secondary controls" is 1. */
static inline bool vmx_pin(const struct cpu *c, u32 control)
{
	return VMCS(c, PIN_CONTROLS) & control;
}

static inline bool vmx_proc(const struct cpu *c, u32 control)
{
	return VMCS(c, PROC_CONTROLS) & control;
}

static inline bool vmx_proc2(const struct cpu *c, u32 control)
{
	return vmx_proc(c, PROC_SECONDARY_CONTROLS) && (VMCS(c, PROC2_CONTROLS) & control);
}

static inline bool vmx_exit_ctl(const struct cpu *c, u32 control)
{
	return VMCS(c, EXIT_CONTROLS) & control;
}

static inline bool vmx_entry_ctl(const struct cpu *c, u32 control)
{
	return VMCS(c, ENTRY_CONTROLS) & control;
}

/*
 * Physical memory as VT-x itself uses it (regions, bitmaps, MSR areas, the PML log): not translated by EPT. What is
 * not RAM reads as all ones and swallows writes. Aligned accesses only. Stores are seen by the oracle and by
 * decoded code.
 */
u64 vmx_phys_read(const struct cpu *c, u64 addr, unsigned size);
void vmx_phys_write(struct cpu *c, u64 addr, unsigned size, u64 value);

/* Moves the whole VMCS between its region in memory and the CPU. addr: page aligned. */
void vmcs_load(struct cpu *c, u64 addr);
void vmcs_store(struct cpu *c, u64 addr);

#endif
