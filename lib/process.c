/* SPDX-License-Identifier: LGPL-2.1-only */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <elf.h>
#include <unistd.h>

int process_open(struct process *p, pid_t pid, bool self)
{
	char path[32];
	int err;

	*p = (struct process){ .pid = pid, .self = self, .pagemap = -1, .proc = -1 };
	snprintf(path, sizeof(path), "/proc/%d", pid);
	p->proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (p->proc >= 0)
		p->pagemap = openat(p->proc, "pagemap", O_RDONLY | O_CLOEXEC);
	if (p->pagemap >= 0)
		return 0;
	err = errno == ENOENT ? -ESRCH : errno == EACCES ? -EPERM : -errno;
	process_close(p);
	return err;
}

void process_close(struct process *p)
{
	process_thaw(p);
	free(p->frozen);
	if (p->pagemap >= 0)
		close(p->pagemap);
	if (p->proc >= 0)
		close(p->proc);
	p->proc = p->pagemap = -1;
}

static bool is_frozen(const struct process *p, pid_t tid)
{
	for (size_t i = 0; i < p->nfrozen; i++)
		if (p->frozen[i] == tid)
			return true;
	return false;
}

/* A signal that arrives instead of the interrupt is put back, and the wait goes on. */
static int wait_stop(pid_t tid)
{
	int status;

	for (;;) {
		if (waitpid(tid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!WIFSTOPPED(status))
			return -ESRCH;
		if (status >> 16 == PTRACE_EVENT_STOP)
			return 0;
		if (ptrace(PTRACE_CONT, tid, NULL, (void *)(long)WSTOPSIG(status)))
			return -errno;
		ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
	}
}

static int freeze_thread(struct process *p, pid_t tid)
{
	if (p->nfrozen == p->cap_frozen) {
		size_t cap = p->cap_frozen ? p->cap_frozen * 2 : 16;
		pid_t *v = reallocarray(p->frozen, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		p->frozen = v;
		p->cap_frozen = cap;
	}
	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL)) {
		uint64_t entry;

		if (errno != EPERM)
			return -errno;
		/* Either somebody else traces it, or it is a zombie: then its address space is gone. */
		return process_pagemap(p, 0, &entry, 1) == -ESRCH ? -ESRCH : -EBUSY;
	}
	p->frozen[p->nfrozen++] = tid;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL))
		return -errno;
	return wait_stop(tid);
}

/* One pass over the threads; *fresh: some were not frozen before (they may have made others meanwhile). */
static int freeze_pass(struct process *p, bool *fresh)
{
	int fd = openat(p->proc, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	*fresh = false;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -ESRCH;
	}
	while (!err && (e = readdir(dir))) {
		pid_t tid = atoi(e->d_name);

		if (tid <= 0 || is_frozen(p, tid))
			continue;
		err = freeze_thread(p, tid);
		if (err == -ESRCH && tid != p->pid) /* a thread that just ended */
			err = 0;
		*fresh = true;
	}
	closedir(dir);
	return err;
}

/* proc(5): the links of /proc/PID/task are two and one for each thread. */
static int alone(struct process *p)
{
	struct stat st;

	if (fstatat(p->proc, "task", &st, 0))
		return -errno;
	return st.st_nlink > 3 ? -EBUSY : 0;
}

int process_freeze(struct process *p)
{
	bool fresh = true;
	int err = 0;

	if (p->self)
		return alone(p);
	while (!err && fresh)
		err = freeze_pass(p, &fresh);
	if (err)
		process_thaw(p);
	return err;
}

void process_thaw(struct process *p)
{
	for (size_t i = 0; i < p->nfrozen; i++)
		ptrace(PTRACE_DETACH, p->frozen[i], NULL, NULL);
	p->nfrozen = 0;
}

static bool parse_vma(const char *line, struct vma *out)
{
	unsigned long start, end, inode;
	char prot[5];
	int name = 0;

	if (sscanf(line, "%lx-%lx %4s %*x %*x:%*x %lu %n", &start, &end, prot, &inode, &name) < 4)
		return false;
	*out = (struct vma){
		.start = start,
		.end = end,
		.write = prot[1] == 'w',
		.shared = prot[3] == 's',
		.file = inode != 0,
		.kernel = name && (!strncmp(line + name, "[vvar", 5) || !strncmp(line + name, "[vsyscall]", 10)),
	};
	return true;
}

static bool push_vma(struct vmas *out, const struct vma *vma)
{
	if (out->n == out->cap) {
		size_t cap = out->cap ? out->cap * 2 : 64;
		struct vma *v = reallocarray(out->v, cap, sizeof(*v));

		if (!v)
			return false;
		out->v = v;
		out->cap = cap;
	}
	out->v[out->n++] = *vma;
	return true;
}

int process_vmas(struct process *p, struct vmas *out)
{
	int fd = openat(p->proc, "maps", O_RDONLY | O_CLOEXEC), err = 0;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
	char *line = NULL;
	size_t cap = 0;
	struct vma vma;

	*out = (struct vmas){ 0 };
	if (!f) {
		if (fd >= 0)
			close(fd);
		return -ESRCH;
	}
	while (!err && getline(&line, &cap, f) > 0)
		if (parse_vma(line, &vma) && !push_vma(out, &vma))
			err = -ENOMEM;
	free(line);
	fclose(f);
	if (!err && !out->n)
		err = -ESRCH;
	if (err) {
		free(out->v);
		out->v = NULL;
	}
	return err;
}

/* A number from a file; 0 if there is none. */
static long number(int dir, const char *path)
{
	char text[24] = "";
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? atol(text) : 0;
}

int process_mergeable(struct process *p, struct vmas *vmas)
{
	char *line = NULL;
	size_t cap = 0, i = 0;
	unsigned long start = 0, from, to;
	int fd;
	FILE *f;

	if (number(AT_FDCWD, "/sys/kernel/mm/ksm/run") == 0 && number(p->proc, "ksm_merging_pages") == 0)
		return 0;
	fd = openat(p->proc, "smaps", O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "re");
	if (!f) {
		if (fd >= 0)
			close(fd);
		return -ESRCH;
	}
	while (getline(&line, &cap, f) > 0) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			start = from;
			while (i < vmas->n && vmas->v[i].start < start)
				i++;
		} else if (!strncmp(line, "VmFlags:", 8) && i < vmas->n && vmas->v[i].start == start) {
			vmas->v[i].mergeable = strstr(line, " mg") != NULL;
		}
	}
	free(line);
	fclose(f);
	return 0;
}

int process_pagemap(struct process *p, uint64_t va, uint64_t *out, size_t n)
{
	char *at = (char *)out;
	size_t left = n * sizeof(*out);
	off_t off = (off_t)(va / 4096 * sizeof(*out));

	while (left) {
		ssize_t r = pread(p->pagemap, at, left, off);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0) /* the address space that the file was opened on has no users any more */
			return -ESRCH;
		at += r;
		off += r;
		left -= (size_t)r;
	}
	return 0;
}

int process_write(struct process *p, const char *name, const char *text)
{
	int fd = openat(p->proc, name, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* Single-steps the thread over the two bytes of SYSCALL that were put at its RIP. */
static int step_syscall(pid_t tid, const struct user_regs_struct *saved, long nr, const uint64_t args[6], long *result)
{
	struct user_regs_struct regs = *saved;
	struct iovec iov = { &regs, sizeof(regs) };
	int status;

	regs.rax = (unsigned long)nr;
	regs.orig_rax = ~0ul; /* not inside a system call: nothing is restarted */
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	if (ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov))
		return -errno;
	for (;;) {
		if (ptrace(PTRACE_SINGLESTEP, tid, NULL, NULL) || waitpid(tid, &status, __WALL) < 0)
			return -errno;
		if (!WIFSTOPPED(status))
			return -ESRCH;
		if (WSTOPSIG(status) == SIGTRAP && status >> 16 != PTRACE_EVENT_STOP)
			break;
	}
	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov))
		return -errno;
	*result = (long)regs.rax;
	return 0;
}

int process_syscall(struct process *p, long nr, const uint64_t args[6], long *result)
{
	struct user_regs_struct saved;
	struct iovec iov = { &saved, sizeof(saved) };
	pid_t tid;
	long text;
	int err;

	if (!p->nfrozen)
		return -EINVAL;
	tid = p->frozen[0];
	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov))
		return -errno;
	errno = 0;
	text = ptrace(PTRACE_PEEKTEXT, tid, saved.rip, NULL);
	if (errno)
		return -errno;
	if (ptrace(PTRACE_POKETEXT, tid, saved.rip, (text & ~0xffffl) | 0x050f))
		return -errno;
	err = step_syscall(tid, &saved, nr, args, result);
	ptrace(PTRACE_POKETEXT, tid, saved.rip, text);
	ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov);
	return err;
}

pid_t process_fork_quiet(void)
{
	pid_t child = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);

	return child < 0 ? -errno : child;
}

void process_keep_file(int keep)
{
	if (keep > 0)
		syscall(SYS_close_range, 0, keep - 1, 0);
	syscall(SYS_close_range, keep + 1, ~0u, 0);
}

int process_wait_quiet(pid_t child)
{
	int status;

	while (waitpid(child, &status, __WCLONE) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}
