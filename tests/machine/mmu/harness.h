/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine of memory and one CPU's MMU: what raises, exits or logs is recorded instead. */
#ifndef OOH_TESTS_MACHINE_MMU_HARNESS_H
#define OOH_TESTS_MACHINE_MMU_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "arch/paging.h"
#include "arch/vmx.h"
#include "arch/x86.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/mem.h"
#include "machine/mmu/state.h"
#include "machine/oracle/oracle.h"
#include "machine/vmx/vmx.h"

#define RAM_BYTES (64ull << 20)

/* Where the harness builds its tables. */
#define PML4 0x1000ull
#define PDPT 0x2000ull
#define PD   0x3000ull
#define PT   0x4000ull
#define PML5 0x5000ull
#define EPML4 0x10000ull
#define EPDPT 0x11000ull
#define EPD   0x12000ull
#define EPT_LOW 0x13000ull  /* page table of 0..2 MiB: the guest's tables */
#define EPT_DATA 0x14000ull /* page table of the data */
#define DATA 0x400000ull    /* physical address of the page under test; also in the page of 2 MiB and 1 GiB */
#define LIN  (1ull << 39 | DATA) /* its linear address */

enum outcome { DONE, FAULT, VIOLATION, MISCONFIG, SPP_MISSED, SPP_MISCONFIG, LOG_FULL, SINGLE };

struct env {
	struct machine m;
	struct cpu c;
	jmp_buf back;
	struct event event;   /* of FAULT */
	struct ept_fault ept; /* of VIOLATION */
	u64 misconfig;
	u64 spp_gpa, spp_lin; /* of SPP_* */
	u64 log[64];          /* PML */
	unsigned logged, log_room;
	bool dirty_at_log, accessed_at_log; /* EPT flags of `log_entry` when the log was called */
	u64 log_entry;        /* physical address of an EPT leaf to look at */
	u64 cap;              /* IA32_VMX_EPT_VPID_CAP */
	unsigned code_stores, code_changes;
	bool hits_running;
	u64 monitored; /* the last store to a frame with FRAME_MONITOR: offset in RAM */
	unsigned monitored_bytes, monitored_stores;
	struct { u64 offset, value; unsigned size; } device[8]; /* stores to the test device */
	unsigned device_stores;
};

extern struct env env;

/* A snapshot in memory. */
struct snap {
	u8 bytes[1 << 20];
	size_t used, at;
	bool restoring;
};

void env_reset(void);
u64 phys_get(u64 at);
void phys_set(u64 at, u64 v);
/*
 * 4-level tables for LIN down to a page of 1 << shift, with these flags besides the address; CR3 and modes for 64-bit
 * paging.
 */
void map_guest(unsigned shift, u64 upper, u64 leaf);
/*
 * Identity EPT: tables in 4 KiB pages, the data's page of 1 << shift; flags of the data's leaf. Enters non-root
 * operation.
 */
void map_ept(unsigned shift, u64 leaf, bool ad);
u64 ept_leaf_at(unsigned shift);
u64 guest_leaf_at(unsigned shift);
void set_cpl(unsigned cpl);
/* A load, store or fetch of size bytes at lin; the fast path first, as instructions do. */
enum outcome try_access(enum mmu_access a, u64 lin, unsigned size);
enum outcome try_system(enum mmu_access a, u64 lin);
enum outcome try_op(enum mmu_access a, const struct op *o, u64 lin, unsigned size);

#endif
