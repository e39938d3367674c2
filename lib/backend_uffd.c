/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * The backend "userfaultfd": write protection by userfaultfd (UFFDIO_WRITEPROTECT). The first store to a protected page is a
 * message on a file descriptor; a small process of its own lifts the protection and the store goes on. A collect asks the page
 * map which pages are protected no more (bit 57 clear), so a lost message could cost time but never a page.
 *
 * The server is a process and not a thread because the tracker may track itself: a thread's own stack would be protected.
 * What write protection does not cover is reported as UNTRACKED: shared mappings whole, and of private file mappings the pages
 * that are there. Who may not wait for the server cannot store: ptrace and /proc/PID/mem get EIO on a protected page.
 */
#include <errno.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>

#include "scan.h"

struct uffd {
	int fd;
	pid_t server;
	volatile uint64_t *faults; /* a shared page: counted by the server */
};

static uint32_t classify(const struct scan *s, const struct vma *vma, uint64_t entry)
{
	(void)s;
	if (vma->shared)
		return entry & (PM_PRESENT | PM_SWAP) || vma->write ? OOH_PAGE_UNTRACKED : 0;
	if (!(entry & (PM_PRESENT | PM_SWAP)))
		return 0;
	if (vma->file)
		return OOH_PAGE_UNTRACKED;
	if (entry & PM_UFFD_WP)
		return 0;
	return entry & PM_SWAP ? OOH_PAGE_WRITTEN | OOH_PAGE_SWAPPED : OOH_PAGE_WRITTEN;
}

static int protect(int fd, uint64_t start, uint64_t end, uint64_t mode)
{
	struct uffdio_writeprotect wp = { .range = { start, end - start }, .mode = mode };

	while (ioctl(fd, UFFDIO_WRITEPROTECT, &wp))
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	return 0;
}

static int arm(struct scan *s, const struct vma *vma, uint64_t start, uint64_t end, void *arg)
{
	struct uffdio_register reg = { .range = { start, end - start }, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffd *u = s->priv;
	int err;

	(void)arg;
	if (vma->shared || vma->file)
		return 0;
	/* EINVAL: a mapping that takes no write protection; its pages never get bit 57, so they are reported. */
	if (ioctl(u->fd, UFFDIO_REGISTER, &reg))
		return errno == EINVAL || errno == EPERM ? 0 : errno == ESRCH ? -ESRCH : -errno;
	err = protect(u->fd, start, end, UFFDIO_WRITEPROTECT_MODE_WP);
	return err == -ENOENT ? 0 : err;
}

static int reset(struct scan *s, const struct vmas *vmas)
{
	return scan_each(s, vmas, arm, NULL);
}

static const struct scan_kind uffd_wp = { .classify = classify, .reset = reset };

/* The server: one message, one page released. Ends when its parent does, or when the descriptor has no more to say. */
static _Noreturn void serve(int fd, volatile uint64_t *faults)
{
	struct uffd_msg msg[64];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		ssize_t n;

		if (poll(&p, 1, -1) < 0 && errno != EINTR)
			_exit(1);
		if (p.revents & (POLLERR | POLLNVAL))
			_exit(0);
		n = read(fd, msg, sizeof(msg));
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			_exit(1);
		for (ssize_t i = 0; i < n / (ssize_t)sizeof(msg[0]); i++) {
			uint64_t page = msg[i].arg.pagefault.address & ~(PAGE - 1);

			if (msg[i].event != UFFD_EVENT_PAGEFAULT)
				continue;
			++*faults;
			protect(fd, page, page + PAGE, 0);
		}
	}
}

static int handshake(int fd)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };

	return ioctl(fd, UFFDIO_API, &api) ? -errno : 0;
}

/* A userfaultfd of a (frozen) other process, brought here. */
static int fetch_fd(struct process *p)
{
	const uint64_t none[6] = { O_CLOEXEC | O_NONBLOCK };
	uint64_t close_args[6] = { 0 };
	long theirs, ignored;
	int pidfd, fd, err = process_syscall(p, SYS_userfaultfd, none, &theirs);

	if (err)
		return err;
	if (theirs < 0)
		return (int)theirs;
	pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, (int)theirs, 0);
	err = -errno;
	if (pidfd >= 0)
		close(pidfd);
	close_args[0] = (uint64_t)theirs;
	process_syscall(p, SYS_close, close_args, &ignored);
	return fd < 0 ? err : fd;
}

static int make_fd(struct process *p)
{
	int fd, err;

	if (p->self) {
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		return fd < 0 ? -errno : fd;
	}
	err = process_freeze(p);
	if (err)
		return err;
	fd = fetch_fd(p);
	process_thaw(p);
	return fd;
}

static int start_server(struct uffd *u)
{
	void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return -errno;
	u->faults = page;
	u->server = process_fork_quiet();
	if (u->server == 0) {
		process_keep_file(u->fd);
		serve(u->fd, u->faults);
	}
	if (u->server > 0)
		return 0;
	munmap(page, PAGE);
	return u->server;
}

static int uffd_start_on(struct scan *s)
{
	struct uffd *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->fd = make_fd(&s->proc);
	err = u->fd < 0 ? u->fd : handshake(u->fd);
	if (!err)
		err = start_server(u);
	if (err) {
		if (u->fd >= 0)
			close(u->fd);
		free(u);
		return err;
	}
	s->priv = u;
	return 0;
}

static int uffd_open(struct ooh_tracker *t)
{
	int err = scan_open(t, &uffd_wp);

	if (err)
		return err;
	err = uffd_start_on(scan_of(t));
	if (err)
		scan_close(t);
	return err;
}

/* Closing the last descriptor lifts all protection and wakes whoever waits. */
static void uffd_close(struct ooh_tracker *t)
{
	struct uffd *u = scan_of(t)->priv;

	kill(u->server, SIGKILL);
	process_wait_quiet(u->server);
	close(u->fd);
	munmap((void *)u->faults, PAGE);
	free(u);
	scan_close(t);
}

static int disarm(struct scan *s, const struct vma *vma, uint64_t start, uint64_t end, void *arg)
{
	struct uffdio_range r = { start, end - start };
	struct uffd *u = s->priv;

	(void)arg;
	if (!vma->shared && !vma->file)
		ioctl(u->fd, UFFDIO_UNREGISTER, &r); /* also lifts the protection; a mapping that never had it does not mind */
	return 0;
}

static int uffd_stop(struct ooh_tracker *t)
{
	struct scan *s = scan_of(t);
	struct vmas vmas;
	int err = process_vmas(&s->proc, &vmas);

	if (!err) {
		scan_each(s, &vmas, disarm, NULL);
		free(vmas.v);
	}
	return scan_stop(t);
}

static int uffd_stats(struct ooh_tracker *t, struct ooh_stats *out)
{
	struct uffd *u = scan_of(t)->priv;

	scan_stats(t, out);
	out->faults = *u->faults;
	return 0;
}

/*
 * A page that was moved by mremap must have lost its mark: it is another page's content now, and in its new mapping stores are
 * not seen. Kernels before 6.13 (and its stable relatives) keep the mark. 1: kept. from, to: a page each.
 */
static int keeps_mark(int fd, struct process *p, char *from, char *to)
{
	struct uffdio_register reg = { .range = { (uintptr_t)from, PAGE }, .mode = UFFDIO_REGISTER_MODE_WP };
	uint64_t entry;
	int err;

	*(volatile char *)from = 1;
	if (ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	err = protect(fd, reg.range.start, reg.range.start + PAGE, UFFDIO_WRITEPROTECT_MODE_WP);
	if (!err && mremap(from, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		err = -errno;
	if (!err)
		err = process_pagemap(p, (uintptr_t)to, &entry, 1);
	return err ? err : !!(entry & PM_UFFD_WP);
}

static int try_mremap(int fd)
{
	char *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct process p;
	int err;

	if (area == MAP_FAILED)
		return -errno;
	err = process_open(&p, getpid(), true);
	if (!err) {
		err = keeps_mark(fd, &p, area, area + PAGE);
		process_close(&p);
	}
	munmap(area, 2 * PAGE);
	return err;
}

static int uffd_probe(char *why, size_t n)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0)
		return probe_says(why, n, -errno, "userfaultfd: %s%s", strerror(errno),
				  errno == EPERM ? " (root, or vm.unprivileged_userfaultfd=1)" : "");
	if (ioctl(fd, UFFDIO_API, &api)) {
		err = probe_says(why, n, -EOPNOTSUPP, "this kernel's userfaultfd has no write protection");
	} else {
		err = try_mremap(fd);
		if (err > 0)
			err = probe_says(why, n, -EOPNOTSUPP, "this kernel keeps marks of write protection over mremap");
		else if (err)
			probe_says(why, n, err, "userfaultfd: %s", strerror(-err));
	}
	close(fd);
	return err;
}

const struct backend_ops backend_userfaultfd = {
	.info = {
		.name = "userfaultfd",
		.summary = "write protection by userfaultfd, a fault to user space per page",
		.caps = OOH_CAP_OTHER,
	},
	.probe = uffd_probe,
	.open = uffd_open,
	.close = uffd_close,
	.add = scan_add,
	.del = scan_del,
	.start = scan_start,
	.stop = uffd_stop,
	.collect = scan_collect,
	.stats = uffd_stats,
};
