/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * The hypercall ABI: what the module may ask of the hypervisor.
 *
 * The hypervisor knows frames, not processes. It can *arm* a 4 KiB frame (clear the dirty flag of its EPT leaf, so that the
 * next store to it is logged once by PML) and hand over the guest-physical frame numbers that were logged. Which process and
 * which virtual page a frame stands for is the module's knowledge alone.
 *
 * Call:    VMCALL at CPL 0, 64-bit mode. RAX = OOH_HC_MAGIC | call number, arguments in RDI, RSI, RDX.
 * Return:  RAX = 0 or a positive count; or a negative number, one of OOH_HC_E*. No other register changes.
 * A VMCALL from CPL > 0, or with another magic, raises #UD as on a CPU without a hypervisor.
 * Addresses in arguments are guest-physical, aligned to 8 bytes; a structure or list never crosses a 4 KiB page: else, or with a
 * size of 0, an unknown flag or a count out of range, OOH_HC_EINVAL. A structure or list that is not in guest RAM, or that
 * touches memory of the hypervisor, gives OOH_HC_EFAULT. In both cases nothing is done. An unknown number: OOH_HC_ENOSYS.
 * Detection: CPUID leaf OOH_CPUID_LEAF returns OOH_CPUID_SIG_* in EBX, ECX, EDX and the ABI version in EAX.
 */
#ifndef OOH_ABI_HYPERCALL_H
#define OOH_ABI_HYPERCALL_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdint.h>
#endif

#define OOH_HC_VERSION    1u
#define OOH_HC_MAGIC      0x004f6f4800000000ull /* "OoH" in bits 55:32 */
#define OOH_CPUID_LEAF    0x4f6f4800u
#define OOH_CPUID_SIG_EBX 0x20486f4fu /* "OoH " */
#define OOH_CPUID_SIG_ECX 0x65707968u /* "hype" */
#define OOH_CPUID_SIG_EDX 0x73697672u /* "rvis" */

enum ooh_hypercall {
	/* RDI = gpa of struct ooh_hv_info, RSI = its size. Fills at most RSI bytes. Returns 0. */
	OOH_HC_INFO = 0,
	/*
	 * RDI = gpa of struct ooh_hv_ring, or 0 to remove the ring. Returns 0. While no ring is set, ARM gives
	 * OOH_HC_ENORING. The ring's pages stay the guest's memory; the hypervisor validates and remembers their
	 * addresses, so a guest that later changes the page list or the counters can only spoil its own ring. A version or
	 * capacity that is not as below: OOH_HC_EINVAL, and nothing changes. After OOH_HC_EFAULT there is no ring. The hypervisor
	 * goes on counting from the header's head. Entries drained while there is no ring count as dropped.
	 */
	OOH_HC_SET_RING = 1,
	/*
	 * RDI = gpa of a list of u64 frame numbers (gpa >> 12), RSI = their number, 1 to 512. Clears the dirty flag of each
	 * frame's 4 KiB EPT leaf, splitting larger leaves. Frames outside RAM or of the hypervisor: OOH_HC_EFAULT, frames
	 * before it in the list stay armed. Does *not* flush: a round starts when every CPU has done OOH_HC_DRAIN with
	 * OOH_DRAIN_FLUSH after the ARM. Returns the number armed. The CPU's own walks count as stores to the page tables walked
	 * (SDM 3C "Accessed and Dirty Flags for EPT"): an armed page-table page is logged when it is next walked.
	 */
	OOH_HC_ARM = 2,
	/* As ARM, but sets the dirty flag: the frames are not logged any more. Returns the number of frames. */
	OOH_HC_DISARM = 3,
	/*
	 * RDI = flags OOH_DRAIN_*. Copies this CPU's PML log into the ring, and with OOH_DRAIN_FLUSH drops this CPU's cached
	 * translations (INVEPT), so that stores after it are logged. Must run on each CPU. Returns the number copied.
	 */
	OOH_HC_DRAIN = 4,
	/*
	 * Disarms every frame and gives 2 MiB and 1 GiB leaves back. The caller flushes every CPU as for ARM; until then the
	 * page tables are not reused, and ARM may give OOH_HC_ENOMEM. Returns 0.
	 */
	OOH_HC_RESET = 5,
	/*
	 * Of the loader only (from any RIP but its own: OOH_HC_EPERM): leaves VMX operation on this CPU; execution continues
	 * after the VMCALL, still in root mode but with Linux' state, for VMXOFF (see docs/hypervisor.md).
	 */
	OOH_HC_LEAVE = 6,
	OOH_HC_COUNT
};

#define OOH_DRAIN_FLUSH 1ull

#define OOH_HC_EPERM   (-1)
#define OOH_HC_EFAULT  (-14)
#define OOH_HC_EINVAL  (-22)
#define OOH_HC_ENOSYS  (-38)
#define OOH_HC_ENORING (-61)
#define OOH_HC_ENOMEM  (-12) /* no page left to split a large EPT leaf */

/* Filled by OOH_HC_INFO. Grows at the end; size says how much this hypervisor knows. */
struct ooh_hv_info {
	uint32_t   size;     /* bytes that this hypervisor could fill */
	uint32_t   version;  /* OOH_HC_VERSION */
	uint32_t   cpus;     /* CPUs in non-root mode now */
	uint32_t   features; /* OOH_HV_* */
	uint64_t memory;   /* bytes of RAM the hypervisor keeps for itself */
	uint64_t armed;    /* frames armed now (an upper bound: logged frames leave it when drained) */
	uint64_t split;    /* EPT page tables in use for 4 KiB leaves */
	uint64_t exits;    /* VM exits since enabled, all CPUs */
	uint64_t exits_by_reason[72]; /* index: basic exit reason */
	uint64_t hypercalls;
	uint64_t logged;   /* entries taken from PML logs */
	uint64_t dropped;  /* entries that did not fit into the ring (each sets OOH_RING_OVERFLOW) */
};

#define OOH_HV_PML 1u
#define OOH_HV_SPP 2u

/*
 * The ring, in memory of the guest. One page, followed (elsewhere) by pages of u64 entries: a frame number.
 * An armed frame is logged once, so a ring with as many entries as there are armed frames cannot overflow; if it does, the entry
 * is dropped, counted, and OOH_RING_OVERFLOW set: the module must then take every armed frame for dirty.
 */
#define OOH_RING_MAX_PAGES 4096u /* 2 Mi entries: 8 GiB of armed frames */
#define OOH_RING_OVERFLOW  1u
struct ooh_hv_ring {
	uint32_t   version;   /* OOH_HC_VERSION */
	uint32_t   flags;     /* written by the hypervisor (set bits), cleared by the module after a full rescan */
	uint64_t capacity;  /* entries; a power of two, a multiple of 512 */
	uint64_t pages;     /* gpa of the page list: capacity/512 gpas of 4 KiB pages; the list itself is contiguous */
	uint64_t head;      /* next entry the hypervisor writes; counts up for ever; the slot is head % capacity */
	uint64_t tail;      /* next entry the module reads */
};

#endif
