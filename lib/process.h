/* SPDX-License-Identifier: LGPL-2.1-only */
/* Another process (or this one) through /proc and ptrace: its mappings, its page map, and holding it still. */
#ifndef OOH_LIB_PROCESS_H
#define OOH_LIB_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

struct process {
	pid_t pid;
	bool self;
	int pagemap;    /* opened once: bound to the address space, so that an exec is noticed */
	int proc;       /* /proc/PID, O_PATH */
	pid_t *frozen;  /* threads stopped by process_freeze */
	size_t nfrozen, cap_frozen;
};

struct vma {
	uint64_t start, end;
	bool write, shared, file;
	bool kernel; /* [vvar], [vsyscall]: the kernel's own data, not the process's */
	bool mergeable; /* set by process_mergeable() only */
};

struct vmas {
	struct vma *v;
	size_t n, cap;
};

/* -ESRCH, -EPERM/-EACCES, -EMFILE. */
int process_open(struct process *p, pid_t pid, bool self);
void process_close(struct process *p);

/*
 * Stops every thread (PTRACE_SEIZE and PTRACE_INTERRUPT, so no signal is seen by anyone). Of the own process only the caller
 * runs, or it is refused.
 * -EBUSY: somebody else traces it; the own process has other threads. -ESRCH. -ENOMEM. Thaw lets it go on; both leave no trace behind.
 */
int process_freeze(struct process *p);
void process_thaw(struct process *p);

/* The mappings, ascending. The caller frees v->v. -ESRCH: the address space is gone. */
int process_vmas(struct process *p, struct vmas *out);

/*
 * Marks the mappings in which KSM may have merged pages (MADV_MERGEABLE): a merged page loses its soft-dirty bit. Costs little
 * where KSM is not at work. -ESRCH, -ENOMEM.
 */
int process_mergeable(struct process *p, struct vmas *vmas);

/* Reads n page-map entries from page address va on. -ESRCH: the address space is gone. Kernel: Documentation/admin-guide/mm/pagemap.rst */
int process_pagemap(struct process *p, uint64_t va, uint64_t *out, size_t n);
#define PM_PRESENT    (1ull << 63)
#define PM_SWAP       (1ull << 62)
#define PM_FILE       (1ull << 61) /* file-backed or shared anonymous */
#define PM_UFFD_WP    (1ull << 57)
#define PM_EXCLUSIVE  (1ull << 56) /* mapped once: never the zero page */
#define PM_SOFT_DIRTY (1ull << 55)
#define PM_PFN        ((1ull << 55) - 1) /* 0: the reader may not know */

/* Writes text to /proc/PID/name. */
int process_write(struct process *p, const char *name, const char *text);

/* Runs one system call in the (frozen) process. *result: its return value, or a negative errno. */
int process_syscall(struct process *p, long nr, const uint64_t args[6], long *result);

/* Forks a child whose end signals nobody (SIGCHLD is the program's). As fork(2), but -errno. */
pid_t process_fork_quiet(void);
/* Closes all files but one. */
void process_keep_file(int keep);
/* Waits for such a child; its exit status, or a negative errno. */
int process_wait_quiet(pid_t child);

#endif
