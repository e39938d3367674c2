/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hypervisor's state. The loader fills it before the point of no return; afterwards only root mode sees it.
 *
 * Lock letters: [c] constant after launch, [L] under hv.lock, [p] only its own CPU, [a] atomic.
 */
#ifndef OOH_HV_HV_H
#define OOH_HV_HV_H

#include "abi/hypercall.h"
#include "arch/exit_reasons.h"
#include "core/layout.h"
#include "core/types.h"

#define HV_IMAGE_MAGIC 0x31766868756f6f48ull
#define HV_MAX_RAM     128
#define HV_MAX_MTRRS   64
#define HV_MAX_BLOCKS  2048 /* 4 GiB of memory for ourselves: enough to split 2 TiB */
#define HV_MAX_CPUS    512

/* At the start of the image: what the loader must know about it. Addresses are of root mode. */
struct hv_image {
	uint64_t magic;
	uint64_t start, end; /* whole pages, the zeroed tail included */
	uint64_t data;       /* from start to here it is read-only and executable */
	uint64_t exit_entry; /* HOST_RIP */
	uint64_t stubs;      /* exception stub 0; HV_STUB_STRIDE apart */
	uint64_t state;      /* struct hv */
	uint64_t state_size; /* its size, to catch a loader built from other headers */
};

struct hv_range {
	uint64_t start, end; /* half-open, multiples of 4 KiB */
};

struct hv_mtrr {
	uint64_t base, mask;
	uint32_t type;
};

/* Free 4 KiB pages, linked through their first word. */
struct hv_pool {
	uint64_t free;  /* [L] physical address of the first, 0 if none */
	uint64_t limbo; /* [L] given back, but perhaps still in a CPU's paging-structure cache */
	uint64_t limbo_epoch; /* [L] reusable when every CPU has flushed since */
	uint64_t count; /* [L] free ones */
	uint64_t reserve; /* [c] kept back from splitting, for MMIO mapped late */
};

struct hv_ring {
	uint64_t header;   /* [L] gpa of struct ooh_hv_ring, 0: none */
	uint64_t capacity; /* [L] */
	uint64_t head;     /* [L] our own count; the header's copy is for the reader */
	uint64_t pages[OOH_RING_MAX_PAGES]; /* [L] */
};

struct hv_gate {
	uint64_t low, high;
};

/* 64-bit TSS: SDM 3A "Task Management in 64-bit Mode". */
struct hv_tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7];
	uint64_t reserved2;
	uint16_t reserved3, iopb;
} __attribute__((packed));

struct hv_cpu {
	uint64_t gdt[6];      /* [c] null, code, data, TSS (two words); last word unused */
	struct hv_tss tss;    /* [c] */
	uint32_t index;       /* [c] */
	uint32_t proc_controls; /* [c] primary controls without the NMI window */
	uint64_t *pml;        /* [c] the log page */
	uint64_t flushed;     /* [a] hv.epoch at this CPU's last INVEPT */
	uint64_t in_guest;    /* [a] 1 between launch and LEAVE */
	uint64_t hypercalls;  /* [p] */
	uint64_t logged;      /* [p] entries taken from the log */
	uint64_t exits[EXIT_REASON_COUNT]; /* [p] */
};

struct hv {
	uint32_t lock;
	uint32_t dump_lock;
	uint64_t direct_base;  /* [c] what to add to a physical address: Linux' direct map while building, then ours */
	uint64_t cr3;          /* [c] */
	uint64_t eptp;         /* [c] */
	uint64_t leave_rip;    /* [c] guest-virtual address of the loader's VMCALL */
	uint64_t phys_limit;   /* [c] first address beyond MAXPHYADDR or EPT's reach */
	uint64_t hole_page;    /* [c] 4 KiB of 0xff, which the guest sees in place of our memory */
	uint64_t hole_table;   /* [c] an EPT page table full of it */
	uint64_t memory;       /* [c] bytes kept */
	uint64_t dump;         /* [c] physical address of the report's pages (guest memory) */
	uint64_t dump_size;    /* [c] */
	uint64_t dump_used;    /* [L: dump_lock] */
	uint32_t has_1g;       /* [c] EPT leaves of 1 GiB */
	uint32_t nr_cpus;      /* [c] */
	uint32_t nr_ram;       /* [c] */
	uint32_t nr_blocks;    /* [c] */
	uint32_t mtrr_enabled; /* [c] else: WB for RAM, UC for the rest */
	uint32_t mtrr_default; /* [c] */
	uint32_t nr_mtrrs;     /* [c] */
	uint32_t mtrr_fixed;   /* [c] the first MiB is in mtrr_fixed_type */
	uint64_t epoch;        /* [L] counts pages' returns to limbo */
	uint64_t armed;        /* [L] */
	uint64_t split;        /* [L] */
	uint64_t dropped;      /* [L] */
	struct hv_pool pool;
	struct hv_gate idt[HV_IDT_VECTORS];        /* [c] */
	struct hv_range ram[HV_MAX_RAM];           /* [c] sorted */
	uint64_t blocks[HV_MAX_BLOCKS];            /* [c] sorted: our memory */
	struct hv_mtrr mtrrs[HV_MAX_MTRRS];        /* [c] */
	uint8_t mtrr_fixed_type[256];              /* [c] one a 4 KiB page */
	struct hv_ring ring;
};

_Static_assert(sizeof(struct hv_cpu) <= HV_PAGE_SIZE * HV_CPU_STATE_PAGES, "struct hv_cpu outgrows its pages");
_Static_assert(sizeof(struct hv_tss) == 104, "TSS layout");

static inline void *hv_virt(const struct hv *hv, uint64_t pa)
{
	return (void *)(uintptr_t)(hv->direct_base + pa);
}

static inline struct hv_cpu *hv_cpu_at(uint32_t index)
{
	return (struct hv_cpu *)(uintptr_t)(HV_CPUS_BASE + (uint64_t)index * HV_CPU_AREA);
}

#endif
