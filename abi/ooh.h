/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note OR LGPL-2.1-only OR GPL-2.0-or-later */
/*
 * The ioctl ABI of ooh.ko: which pages of a process were written.
 *
 * Two kinds of file. /dev/ooh tells about the hypervisor, switches it, and creates trackers. A tracker is a file of
 * its own (close-on-exec) that belongs to one address space: ranges are added to it, START arms the pages that are
 * present, and each COLLECT hands over the pages dirtied since the last one and resets them in the same step.
 *
 * What COLLECT promises: every page of a tracked range whose content may have changed, or whose mapping did, between
 * the return of START (or of the COLLECT that last reset it) and the entry of this COLLECT is reported. Stores during
 * COLLECT are reported by it or by the next. Pages not written may be reported (their category says why). A page
 * present at START is clean until written; a page that appears later is reported in the round in which it appears.
 * Tracking is by 4 KiB, whatever the size of the mapping.
 *
 * Every argument is a structure that begins with `size` (bytes the caller knows) and `flags`. An unknown flag gives
 * EINVAL; a size below the first published one gives EINVAL; a larger size with a non-zero tail gives E2BIG; a larger
 * size with a zero tail is good. The kernel writes back at most `size` bytes and sets `size` to what it knows of
 * them. Calls are numbered with _IO(), so they do not change as structures grow. Addresses and lengths are bytes,
 * virtual, and multiples of 4096; ranges are half-open.
 *
 * Errors common to all calls: EFAULT (the argument), EINVAL, E2BIG, ENOTTY (no such call), EINTR (a fatal signal
 * while waiting). Of every tracker call: ESRCH (the address space is gone: exit or exec), ENODEV (the hypervisor was
 * taken away by force: what this tracker knew is not complete; close it).
 */
#ifndef OOH_ABI_OOH_H
#define OOH_ABI_OOH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define OOH_ABI_VERSION 1u
#define OOH_DEVICE      "/dev/ooh"
#define OOH_IOC_MAGIC   0xDE
#define OOH_PAGE_SIZE   4096u

/* ---- /dev/ooh ---- */

/* struct ooh_status. Always succeeds, hypervisor or not. Unprivileged. */
#define OOH_IOC_STATUS         _IO(OOH_IOC_MAGIC, 0x00)
/*
 * struct ooh_switch, no flags. Starts the hypervisor on every CPU; loads its module (ooh_hv) when needed. Needs
 * CAP_SYS_ADMIN (EPERM).
 * EALREADY: it runs. ENOENT: no ooh_hv module. EOPNOTSUPP: this CPU or kernel lacks something, the kernel log says
 * what. Others: as the loader says.
 */
#define OOH_IOC_ENABLE         _IO(OOH_IOC_MAGIC, 0x01)
/*
 * struct ooh_switch, flags 0 or OOH_DISABLE_FORCE. Stops the hypervisor. Needs CAP_SYS_ADMIN. EALREADY: it does not
 * run.
 * EBUSY: trackers are open. With FORCE they are revoked instead: they answer ENODEV from then on.
 */
#define OOH_IOC_DISABLE        _IO(OOH_IOC_MAGIC, 0x02)
/*
 * struct ooh_tracker_create. Returns a file descriptor. A process may track itself; another needs what ptrace needs
 * (PTRACE_MODE_ATTACH).
 * ENODEV: the hypervisor is not active. ESRCH: no such process, or it has no address space. EPERM. EBADF: not a
 * pidfd. EMFILE: more than OOH_MAX_TRACKERS, or than the user may have. EOPNOTSUPP: the kernel lacks a hook that
 * soundness needs.
 */
#define OOH_IOC_TRACKER_CREATE _IO(OOH_IOC_MAGIC, 0x03)

enum ooh_hv_state {
	OOH_HV_ABSENT = 0,   /* the module ooh_hv is not loaded (ENABLE will try) */
	OOH_HV_INACTIVE = 1, /* loaded, not running */
	OOH_HV_ACTIVE = 2,   /* every CPU is in non-root mode */
};

/*
 * Figures with "hv_" are the hypervisor's own (0 while it is not active), the others the module's. All counters count
 * since their part was loaded.
 */
struct ooh_status {
	__u32 size;
	__u32 flags;           /* in: 0. out: OOH_STATUS_* */
	__u32 abi_version;     /* OOH_ABI_VERSION */
	__u32 state;           /* enum ooh_hv_state */
	__u32 trackers;        /* open now */
	__u32 hv_version;      /* OOH_HC_VERSION it speaks */
	__u32 hv_cpus;
	__u32 hv_features;     /* OOH_HV_* of hypercall.h */
	__u64 hv_memory;       /* bytes of RAM it keeps */
	__u64 hv_armed;        /* frames */
	__u64 hv_split;        /* EPT page tables for 4 KiB leaves */
	__u64 hv_exits;
	__u64 hv_hypercalls;
	__u64 hv_logged;       /* entries taken from PML logs */
	__u64 hv_dropped;      /* entries lost to a full ring */
	__u64 tagged;          /* frames with a tag now */
	__u64 ring_entries;    /* capacity of the ring, 0: no ring now */
	__u64 ring_consumed;   /* entries read */
	__u64 ring_untagged;   /* of these, of frames nobody tracked any more */
	__u64 overflows;       /* times that the ring had overflowed */
	__u64 hypercalls;      /* issued by this module */
	__u64 hv_exits_by_reason[72]; /* index: basic exit reason */
};

#define OOH_STATUS_HOOKS 1u /* the kernel hooks needed for tracking could be resolved on this kernel */

struct ooh_switch {
	__u32 size;
	__u32 flags;
};

#define OOH_DISABLE_FORCE 1u

struct ooh_tracker_create {
	__u32 size;
	__u32 flags;      /* 0 */
	__s32 pidfd;      /* of pidfd_open(2), any process; OOH_PIDFD_SELF: the caller's address space */
	__u32 threshold;  /* poll(2) says POLLIN when at least so many dirty pages are known; 0: never */
};

#define OOH_PIDFD_SELF   (-1)
#define OOH_MAX_TRACKERS 4095u

/* ---- a tracker ---- */

/*
 * struct ooh_range. Start, end: page aligned, start < end, within user space; EINVAL else. With OOH_RANGE_ALL both
 * must be 0: the whole address space, what is mapped now and later. Adding what is there already is good. While
 * started: what is present becomes clean and armed. Deleting what is not there is good. ENOSPC: more than
 * OOH_MAX_RANGES pieces. ENOMEM. Mappings that cannot be tracked (huge pages of hugetlbfs, device memory: VM_PFNMAP,
 * VM_MIXEDMAP, VM_IO) are accepted and reported in full, as OOH_PAGE_UNTRACKED, every round.
 */
#define OOH_IOC_ADD_RANGE     _IO(OOH_IOC_MAGIC, 0x10)
#define OOH_IOC_DEL_RANGE     _IO(OOH_IOC_MAGIC, 0x11)
/*
 * struct ooh_switch, no flags. Arms every present page of the ranges; everything is clean from its return on.
 * EALREADY: is started.
 */
#define OOH_IOC_START         _IO(OOH_IOC_MAGIC, 0x12)
/* struct ooh_switch, no flags. Disarms and forgets all pages; ranges stay. EALREADY: is not started. */
#define OOH_IOC_STOP          _IO(OOH_IOC_MAGIC, 0x13)
/* struct ooh_collect. */
#define OOH_IOC_COLLECT       _IO(OOH_IOC_MAGIC, 0x14)
/* struct ooh_tracker_stats. Works on a revoked tracker and on one whose process is gone. */
#define OOH_IOC_TRACKER_STATS _IO(OOH_IOC_MAGIC, 0x15)

struct ooh_range {
	__u32 size;
	__u32 flags;      /* OOH_RANGE_ALL */
	__u64 start;
	__u64 end;
};

#define OOH_RANGE_ALL  1u
#define OOH_MAX_RANGES 4096u

/* Neighbouring pages of the same categories form one region. Regions ascend and do not overlap. */
struct ooh_region {
	__u64 start;
	__u64 end;
	__u32 categories; /* OOH_PAGE_*: at least one bit */
	__u32 reserved;   /* 0 */
};

#define OOH_PAGE_WRITTEN   0x01u /* the CPU logged a store to its frame */
/* its mapping is new or changed since the last round (first touch, copy-on-write, migration, mremap) */
#define OOH_PAGE_MAPPED    0x02u
/* a device may be writing: pinned or referenced for I/O. Every round while that lasts */
#define OOH_PAGE_PINNED    0x04u
/* was (or became and ceased to be) mapped; now no page is there: dropped, unmapped, or never filled again */
#define OOH_PAGE_ABSENT    0x08u
#define OOH_PAGE_SWAPPED   0x10u /* the page is in swap, or on its way to another frame; its content is not lost */
#define OOH_PAGE_OVERFLOW  0x20u /* log entries were lost: nothing is known of it */
#define OOH_PAGE_UNTRACKED 0x40u /* a mapping that cannot be tracked; every round, whole mapping */

/*
 * One round, over [start, end) cut with the tracker's ranges; start = end = 0: all. The pages handed over are reset
 * and the others are not touched, so windows can be collected one after another. When `vec` is full the walk stops at
 * walk_end, a region boundary, and what lies at or beyond walk_end stays as it was. vec may lie in tracked memory
 * (its pages are then dirty in the next round).
 * EFAULT: `vec` cannot be written; nothing is lost, the pages are reported again. ENOMEM: nothing was reset.
 * ENOTCONN: not started.
 */
struct ooh_collect {
	__u32 size;
	__u32 flags;      /* in: OOH_COLLECT_PEEK. out: OOH_COLLECTED_* are in result */
	__u64 start;
	__u64 end;
	/* user address of struct ooh_region[vec_len]; 0 with vec_len 0: only pages are counted, implies PEEK */
	__u64 vec;
	__u64 vec_len;    /* regions */
	/* out */
	__u64 regions;    /* written to vec */
	__u64 walk_end;   /* where the walk stopped; end of the window when everything was handed over */
	__u64 pages;      /* 4 KiB pages in these regions */
	__u64 extra;      /* of these, pages known not to be proven written: categories without OOH_PAGE_WRITTEN */
	__u64 armed;      /* frames armed again by this call */
	__u64 examined;   /* page-table entries looked at */
	__u64 hypercalls; /* issued by this call, all CPUs */
	__u64 cycles;     /* TSC cycles from entry to exit */
	__u32 result;     /* OOH_COLLECTED_* */
	__u32 reserved;   /* 0 */
};

#define OOH_COLLECT_PEEK 1u /* hand over, reset nothing */

#define OOH_COLLECTED_OVERFLOW 1u /* log entries were lost: every page that was armed is reported, and armed again */
/* mapping events were lost (memory pressure): the page tables of all ranges were walked */
#define OOH_COLLECTED_RESCAN   2u
#define OOH_COLLECTED_PARTIAL  4u /* vec was too small: go on at walk_end */

struct ooh_tracker_stats {
	__u32 size;
	__u32 flags;       /* in: 0. out: OOH_TRACKER_* */
	__u64 rounds;      /* COLLECTs without PEEK */
	__u64 reported;    /* pages */
	__u64 extra;       /* as in ooh_collect, summed */
	__u64 armed_now;   /* frames armed or logged for this tracker: resident tracked pages it knows */
	__u64 armed_total; /* times that a frame was armed */
	__u64 examined;    /* page-table entries looked at, START included */
	__u64 faults;      /* page faults of the process seen by the hook, in ranges */
	__u64 invalidations; /* mapping changes seen through the notifier, in ranges */
	__u64 pins;        /* page references taken for I/O writes seen by the hook */
	__u64 overflows;
	__u64 rescans;
	__u64 hypercalls;
	__u64 cycles_start;   /* TSC cycles in START and ADD_RANGE */
	__u64 cycles_collect; /* TSC cycles in COLLECT */
	__u64 dirty_known; /* pages known to be dirty now, without draining the CPUs */
	__u64 memory;      /* bytes this tracker takes in the kernel, about */
};

#define OOH_TRACKER_STARTED 1u
#define OOH_TRACKER_GONE    2u /* the process exited or executed another program */
#define OOH_TRACKER_REVOKED 4u /* the hypervisor was taken away by force */

/*
 * poll(2) on a tracker: POLLIN | POLLRDNORM when the threshold is reached (as far as the logs were drained: by any
 * COLLECT, or about every 100 ms), POLLHUP when the process is gone, POLLERR when revoked.
 */

#endif
