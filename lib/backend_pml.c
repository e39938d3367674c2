/* SPDX-License-Identifier: LGPL-2.1-only */
/* The backend "pml": ooh.ko does the work, this only speaks its ioctls (abi/ooh.h). */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tracker.h"

static int fd_of(const struct ooh_tracker *t)
{
	return *(int *)t->priv;
}

static int call(int fd, unsigned long request, void *arg)
{
	int r = ioctl(fd, request, arg);

	return r < 0 ? -errno : r;
}

static int pml_probe(char *why, size_t n)
{
	struct ooh_status st = { .size = sizeof(st) };
	int fd = open(OOH_DEVICE, O_RDWR | O_CLOEXEC), err;

	if (fd < 0)
		return probe_says(why, n, -errno, OOH_DEVICE ": %s%s", strerror(errno),
				  errno == ENOENT ? " (is the module loaded? `ooh enable`)" : "");
	err = call(fd, OOH_IOC_STATUS, &st);
	close(fd);
	if (err)
		return probe_says(why, n, err, OOH_DEVICE ": %s", strerror(-err));
	if (st.state != OOH_HV_ACTIVE)
		return probe_says(why, n, -ENODEV, "the hypervisor is not active (`ooh enable`)");
	if (!(st.flags & OOH_STATUS_HOOKS))
		return probe_says(why, n, -EOPNOTSUPP, "this kernel lacks a hook that soundness needs");
	return 0;
}

static int create(int dev, struct ooh_tracker *t)
{
	struct ooh_tracker_create c = { .size = sizeof(c), .pidfd = OOH_PIDFD_SELF };
	int pidfd = -1, fd;

	if (!t->self) {
		pidfd = (int)syscall(SYS_pidfd_open, t->pid, 0);
		if (pidfd < 0)
			return -errno;
		c.pidfd = pidfd;
	}
	fd = call(dev, OOH_IOC_TRACKER_CREATE, &c);
	if (pidfd >= 0)
		close(pidfd);
	return fd;
}

static int pml_open(struct ooh_tracker *t)
{
	int dev = open(OOH_DEVICE, O_RDWR | O_CLOEXEC), fd;

	if (dev < 0)
		return -errno;
	fd = create(dev, t);
	close(dev);
	if (fd < 0)
		return fd;
	t->priv = malloc(sizeof(int));
	if (!t->priv) {
		close(fd);
		return -ENOMEM;
	}
	*(int *)t->priv = fd;
	return 0;
}

static void pml_close(struct ooh_tracker *t)
{
	close(fd_of(t));
	free(t->priv);
}

static int range(struct ooh_tracker *t, unsigned long request, uint64_t start, uint64_t end)
{
	struct ooh_range r = { .size = sizeof(r), .start = start, .end = end };

	if (start == 0 && end == USER_END) {
		r.flags = OOH_RANGE_ALL;
		r.end = 0;
	}
	return call(fd_of(t), request, &r);
}

static int pml_add(struct ooh_tracker *t, uint64_t start, uint64_t end)
{
	return range(t, OOH_IOC_ADD_RANGE, start, end);
}

static int pml_del(struct ooh_tracker *t, uint64_t start, uint64_t end)
{
	return range(t, OOH_IOC_DEL_RANGE, start, end);
}

static int pml_start(struct ooh_tracker *t)
{
	struct ooh_switch s = { .size = sizeof(s) };

	return call(fd_of(t), OOH_IOC_START, &s);
}

static int pml_stop(struct ooh_tracker *t)
{
	struct ooh_switch s = { .size = sizeof(s) };

	return call(fd_of(t), OOH_IOC_STOP, &s);
}

static int pml_collect(struct ooh_tracker *t, uint64_t start, uint64_t end, struct ooh_region *vec, size_t n,
		       struct ooh_round *round)
{
	struct ooh_collect c = { .size = sizeof(c), .start = start, .end = end, .vec = (uintptr_t)vec, .vec_len = n };
	int err;

	if (start == 0 && end == USER_END)
		c.end = 0;
	err = call(fd_of(t), OOH_IOC_COLLECT, &c);
	if (err)
		return err;
	round->regions = c.regions;
	round->pages = c.pages;
	round->extra = c.extra;
	round->partial = !!(c.result & OOH_COLLECTED_PARTIAL);
	round->overflow = !!(c.result & OOH_COLLECTED_OVERFLOW);
	round->walk_end = round->partial ? c.walk_end : end;
	return 0;
}

static int pml_stats(struct ooh_tracker *t, struct ooh_stats *out)
{
	struct ooh_tracker_stats s = { .size = sizeof(s) };
	int err = call(fd_of(t), OOH_IOC_TRACKER_STATS, &s);

	if (err)
		return err;
	out->rounds = s.rounds;
	out->pages = s.reported;
	out->extra = s.extra;
	out->faults = s.faults;
	out->hypercalls = s.hypercalls;
	out->entries = s.examined;
	return 0;
}

const struct backend_ops backend_pml = {
	.info = {
		.name = "pml",
		.summary = "Page Modification Logging, through the ooh hypervisor and module",
		.caps = OOH_CAP_OTHER | OOH_CAP_RANGE | OOH_CAP_RUNNING | OOH_CAP_SHARED | OOH_CAP_NO_FAULT | OOH_CAP_EXACT,
	},
	.probe = pml_probe,
	.open = pml_open,
	.close = pml_close,
	.add = pml_add,
	.del = pml_del,
	.start = pml_start,
	.stop = pml_stop,
	.collect = pml_collect,
	.stats = pml_stats,
};
