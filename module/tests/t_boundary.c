// SPDX-License-Identifier: GPL-2.0-only
/*
 * Malformed calls, each with its defined outcome; and the contract of well-formed ones: windows, vectors, peeking,
 * ranges.
 */
#define _GNU_SOURCE
#include "ooh_test.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* A structure of `size` bytes at the end of a page, so that reading beyond it faults. */
static void *at_end(size_t size)
{
	char *p = map_anon(2);

	CHECK(!mprotect(p + PG, PG, PROT_NONE));
	memset(p, 0, PG);
	*(uint32_t *)(p + PG - size) = size;
	return p + PG - size;
}

/* Sizes: too small, exact, larger with zeros, larger with rubbish, absurd, unreadable. */
static void sizes(int fd, unsigned long cmd, size_t size, int ok_errno)
{
	char *big = map_anon(4);
	uint32_t *p;
	long rc;

	CHECK_ERR(ioctl(fd, cmd, NULL), EFAULT);
	CHECK_ERR(ioctl(fd, cmd, (void *)-8l), EFAULT);
	CHECK_ERR(ioctl(fd, cmd, (void *)0x8000000000000000ul), EFAULT);
	p = at_end(4);
	*p = 0;
	CHECK_ERR(ioctl(fd, cmd, p), EINVAL);
	*p = 4;
	CHECK_ERR(ioctl(fd, cmd, p), EINVAL);
	p = at_end(size);
	rc = ioctl(fd, cmd, p);
	CHECK(rc >= 0 ? !ok_errno : errno == ok_errno, "rc %ld, %s", rc, strerror(errno));
	if (rc > 0)
		close(rc);
	p = at_end(size);
	*p = size + 8; /* runs into the unreadable page */
	CHECK_ERR(ioctl(fd, cmd, p), EFAULT);
	p = (uint32_t *)big;
	*p = size + 64;
	rc = ioctl(fd, cmd, p);
	CHECK(rc >= 0 ? !ok_errno : errno == ok_errno, "rc %ld, %s", rc, strerror(errno));
	if (rc > 0)
		close(rc);
	memset(big, 0, PG);
	*p = size + 64;
	big[size + 63] = 1;
	CHECK_ERR(ioctl(fd, cmd, p), E2BIG);
	*p = 2 * PG;
	CHECK_ERR(ioctl(fd, cmd, p), E2BIG);
	*p = 0xffffffff;
	CHECK_ERR(ioctl(fd, cmd, p), E2BIG);
	memset(big, 0, PG);
	p[0] = size;
	p[1] = 0x80000000; /* a flag nobody knows */
	CHECK_ERR(ioctl(fd, cmd, p), EINVAL);
}

static void t_sizes_device(void)
{
	sizes(dev, OOH_IOC_STATUS, sizeof(struct ooh_status), 0);
	sizes(dev, OOH_IOC_ENABLE, sizeof(struct ooh_switch), EALREADY);
	sizes(dev, OOH_IOC_TRACKER_CREATE, sizeof(struct ooh_tracker_create), EBADF); /* pidfd 0 */
}

static void t_sizes_tracker(void)
{
	int t = tracker(-1);

	CHECK(t >= 0, "%s", strerror(errno));
	sizes(t, OOH_IOC_ADD_RANGE, sizeof(struct ooh_range), EINVAL);
	sizes(t, OOH_IOC_DEL_RANGE, sizeof(struct ooh_range), EINVAL);
	sizes(t, OOH_IOC_STOP, sizeof(struct ooh_switch), EALREADY);
	sizes(t, OOH_IOC_COLLECT, sizeof(struct ooh_collect), ENOTCONN);
	sizes(t, OOH_IOC_TRACKER_STATS, sizeof(struct ooh_tracker_stats), 0);
	CHECK(!simple_op(t, OOH_IOC_START));
	sizes(t, OOH_IOC_START, sizeof(struct ooh_switch), EALREADY);
	sizes(t, OOH_IOC_COLLECT, sizeof(struct ooh_collect), 0);
}

static void t_unknown_calls(void)
{
	int t = tracker(-1);
	unsigned int i;

	for (i = 0; i < 256; i++) {
		if (i > 3)
			CHECK_ERR(ioctl(dev, _IO(OOH_IOC_MAGIC, i), NULL), ENOTTY);
		if (i < 0x10 || i > 0x15)
			CHECK_ERR(ioctl(t, _IO(OOH_IOC_MAGIC, i), NULL), ENOTTY);
	}
	CHECK_ERR(ioctl(dev, OOH_IOC_COLLECT, NULL), ENOTTY);
	CHECK_ERR(ioctl(t, OOH_IOC_STATUS, NULL), ENOTTY);
	CHECK_ERR(ioctl(t, 0x5401, NULL), ENOTTY);
	CHECK_ERR(ioctl(dev, _IOR(OOH_IOC_MAGIC, 0, int), NULL), ENOTTY);
	CHECK(read(t, &i, 4) < 0 && write(t, &i, 4) < 0);
	CHECK(mmap(NULL, PG, PROT_READ, MAP_SHARED, t, 0) == MAP_FAILED);
}

static void t_ranges(void)
{
	int t = tracker(-1);
	struct ooh_range r = { .size = sizeof(r), .flags = OOH_RANGE_ALL, .start = 0, .end = PG };
	uintptr_t k;

	CHECK_ERR(range_op(t, OOH_IOC_ADD_RANGE, (void *)1, PG), EINVAL);
	CHECK_ERR(range_op(t, OOH_IOC_ADD_RANGE, (void *)PG, 1), EINVAL);
	CHECK_ERR(range_op(t, OOH_IOC_ADD_RANGE, (void *)PG, 0), EINVAL);
	CHECK_ERR(range_op(t, OOH_IOC_ADD_RANGE, (void *)(2 * PG), -PG), EINVAL);
	CHECK_ERR(range_op(t, OOH_IOC_ADD_RANGE, (void *)0xfffffffffff000, PG), EINVAL);
	CHECK_ERR(range_op(t, OOH_IOC_ADD_RANGE, (void *)0xffff800000000000, PG), EINVAL);
	CHECK_ERR(range_op(t, OOH_IOC_ADD_RANGE, (void *)-PG, PG), EINVAL);
	CHECK_ERR(ioctl(t, OOH_IOC_ADD_RANGE, &r), EINVAL);
	CHECK(!range_op(t, OOH_IOC_ADD_RANGE, (void *)0x7fffffffe000, PG));
	CHECK(!range_op(t, OOH_IOC_DEL_RANGE, (void *)(77 * PG), PG));
	for (k = 0; k < OOH_MAX_RANGES - 1; k++)
		CHECK(!range_op(t, OOH_IOC_ADD_RANGE, (void *)(k * 2 * PG), PG), "range %lu", k);
	CHECK_ERR(range_op(t, OOH_IOC_ADD_RANGE, (void *)(k * 2 * PG), PG), ENOSPC);
	CHECK(!range_op(t, OOH_IOC_ADD_RANGE, (void *)(PG), PG)); /* joins two */
	CHECK(!range_op(t, OOH_IOC_ADD_RANGE, (void *)(k * 2 * PG), PG));
	CHECK_ERR(range_op(t, OOH_IOC_DEL_RANGE, (void *)(PG), PG), ENOSPC); /* parts them */
	CHECK(!range_all(t));
	CHECK(!range_op(t, OOH_IOC_DEL_RANGE, (void *)PG, PG));
	CHECK(!simple_op(t, OOH_IOC_START) && !simple_op(t, OOH_IOC_STOP));
}

static void t_create(void)
{
	struct ooh_tracker_create c = { .size = sizeof(c), .pidfd = -2 };
	struct ooh_status before, after;
	int fds[70], i, n = 0;

	CHECK_ERR(ioctl(dev, OOH_IOC_TRACKER_CREATE, &c), EINVAL);
	CHECK_ERR(tracker(1), EBADF);
	CHECK_ERR(tracker(dev), EBADF);
	CHECK_ERR(tracker(9999), EBADF);
	status(&before);
	for (i = 0; i < 70; i++) {
		fds[i] = tracker(-1);
		n += fds[i] >= 0;
	}
	status(&after);
	CHECK(after.trackers == before.trackers + n);
	CHECK(n == 70 || (geteuid() && n == 64), "%d", n);
	for (i = 0; i < n; i++)
		close(fds[i]);
	status(&after);
	CHECK(after.trackers == before.trackers);
}

static void t_collect_args(void)
{
	char *p = map_anon(16);
	struct ooh_region vec[4];
	struct ooh_collect c;
	int t = tracker(-1);

	CHECK(!range_op(t, OOH_IOC_ADD_RANGE, p, 16 * PG));
	CHECK_ERR(collect(t, &c, p, 16 * PG, vec, 4, 0), ENOTCONN);
	CHECK(!simple_op(t, OOH_IOC_START));
	CHECK_ERR(collect(t, &c, p + 1, 16 * PG, vec, 4, 0), EINVAL);
	CHECK_ERR(collect(t, &c, p, 16 * PG + 1, vec, 4, 0), EINVAL);
	CHECK_ERR(collect(t, &c, p, 0, vec, 4, 0), EINVAL);
	CHECK_ERR(collect(t, &c, p, -PG, vec, 4, 0), EINVAL);
	CHECK_ERR(collect(t, &c, p, 16 * PG, vec, 4, 2), EINVAL);
	CHECK_ERR(collect(t, &c, p, 16 * PG, vec, 0, 0), EINVAL);
	CHECK_ERR(collect(t, &c, p, 16 * PG, vec, 1ul << 62, 0), EINVAL);
	CHECK_ERR(collect(t, &c, p, 16 * PG, (void *)0x8000000000000000, 4, 0), EFAULT);
	CHECK_ERR(collect(t, &c, (void *)0xfffffffffff000, PG, vec, 4, 0), EINVAL);
	CHECK(!collect(t, &c, NULL, 0, vec, 4, 0));
	CHECK(!collect(t, &c, (void *)PG, PG, vec, 4, 0) && !c.pages);
}

/* A vector that cannot be written: the pages must be reported again. */
static void t_collect_fault(void)
{
	char *p = map_anon(64), *bad = map_anon(1);
	struct ooh_region vec[64];
	struct ooh_collect c, *unwritable;
	int i, t;

	touch(p, 64);
	t = self_tracker(p, 64 * PG);
	touch(p + 8 * PG, 4);
	CHECK(!madvise(p + 20 * PG, 2 * PG, MADV_DONTNEED));
	CHECK(!mprotect(bad, PG, PROT_READ));
	for (i = 0; i < 3; i++)
		CHECK_ERR(collect(t, &c, p, 64 * PG, (void *)bad, 64, 0), EFAULT);
	/* And the structure itself. */
	unwritable = (void *)map_anon(1);
	memset(unwritable, 0, sizeof(*unwritable));
	unwritable->size = sizeof(*unwritable);
	unwritable->vec = (uintptr_t)vec;
	unwritable->vec_len = 64;
	CHECK(!mprotect(unwritable, PG, PROT_READ));
	CHECK_ERR(ioctl(t, OOH_IOC_COLLECT, unwritable), EFAULT);
	CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0));
	CHECK(c.regions == 2 && c.pages == 6, "%llu regions, %llu pages", c.regions, c.pages);
	CHECK(vec[0].start == (uintptr_t)p + 8 * PG && vec[0].categories & OOH_PAGE_WRITTEN);
	CHECK(vec[1].start == (uintptr_t)p + 20 * PG && vec[1].categories & OOH_PAGE_ABSENT);
	CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && !c.pages);
}

static void t_peek(void)
{
	char *p = map_anon(64);
	struct ooh_region vec[64];
	struct ooh_collect c;
	int i, t;

	touch(p, 64);
	t = self_tracker(p, 64 * PG);
	touch(p + 8 * PG, 4);
	touch(p + 30 * PG, 1);
	for (i = 0; i < 3; i++) {
		CHECK(!collect(t, &c, p, 64 * PG, vec, 64, OOH_COLLECT_PEEK));
		CHECK(c.regions == 2 && c.pages == 5 && c.armed == 0, "%llu pages", c.pages);
		CHECK(!collect(t, &c, p, 64 * PG, NULL, 0, 0));
		CHECK(c.regions == 0 && c.pages == 5 && c.armed == 0);
	}
	CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && c.pages == 5);
	CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && c.pages == 0);
}

/* A vector of one region: each call hands over one, and loses none. */
static void t_small_vector(void)
{
	char *p = map_anon(64);
	struct ooh_region one;
	struct ooh_collect c;
	char *at = p;
	int i, n = 0, t;

	touch(p, 64);
	t = self_tracker(p, 64 * PG);
	for (i = 0; i < 64; i += 4)
		touch(p + i * PG, 2);
	while (at < p + 64 * PG) {
		CHECK(!collect(t, &c, at, p + 64 * PG - at, &one, 1, 0));
		CHECK(c.regions <= 1);
		if (c.regions) {
			CHECK(one.start == (uintptr_t)p + n * 4 * PG && one.end == one.start + 2 * PG);
			n++;
		}
		CHECK((c.walk_end == (uintptr_t)p + 64 * PG) == !(c.result & OOH_COLLECTED_PARTIAL));
		at = (char *)c.walk_end;
	}
	CHECK(n == 16, "%d regions", n);
	CHECK(!collect(t, &c, p, 64 * PG, &one, 1, 0) && !c.pages);
}

/* Windows: what is outside stays dirty. */
static void t_windows(void)
{
	char *p = map_anon(64);
	struct ooh_region vec[64];
	struct ooh_collect c;
	int i, t;

	touch(p, 64);
	t = self_tracker(p, 64 * PG);
	touch(p, 64);
	for (i = 0; i < 4; i++) {
		CHECK(!collect(t, &c, p + i * 16 * PG, 16 * PG, vec, 64, 0));
		CHECK(c.regions == 1 && c.pages == 16, "window %d: %llu pages", i, c.pages);
		touch(p, 1);
	}
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 1 && vec[0].start == (uintptr_t)p);
}

static void t_ranges_live(void)
{
	char *p = map_anon(64);
	struct ooh_region vec[64];
	struct ooh_collect c;
	int t;

	touch(p, 64);
	t = self_tracker(p, 16 * PG);
	touch(p, 64);
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 16, "%llu pages", c.pages);
	CHECK(!range_op(t, OOH_IOC_ADD_RANGE, p + 32 * PG, 16 * PG));
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 0);
	touch(p, 64);
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 32 && c.regions == 2, "%llu pages", c.pages);
	CHECK(!range_op(t, OOH_IOC_DEL_RANGE, p + 4 * PG, 40 * PG));
	touch(p, 64);
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 8 && c.regions == 2, "%llu pages", c.pages);
	touch(p, 64);
	CHECK(!range_all(t));
	CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && c.pages == 8, "what was dirty stays so: %llu", c.pages);
	CHECK(!simple_op(t, OOH_IOC_STOP));
	CHECK_ERR(collect(t, &c, p, 64 * PG, vec, 64, 0), ENOTCONN);
	CHECK(!simple_op(t, OOH_IOC_START));
	CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && c.pages == 0);
	touch(p + 60 * PG, 1);
	CHECK(!collect(t, &c, p, 64 * PG, vec, 64, 0) && c.pages == 1);
}

/* The vector lies in tracked memory: its page is dirty in the next round, and nothing hangs. */
static void t_vector_inside(void)
{
	char *p = map_anon(64);
	struct ooh_region *vec = (void *)(p + 40 * PG);
	struct ooh_collect *c = (void *)(p + 50 * PG);
	int i, t;

	touch(p, 64);
	t = self_tracker(p, 64 * PG);
	for (i = 0; i < 3; i++) {
		touch(p, 2);
		CHECK(!collect(t, c, p, 64 * PG, vec, 64, 0));
		CHECK(c->regions >= 2 && vec[0].start == (uintptr_t)p, "%llu regions", c->regions);
	}
	CHECK(c->pages >= 3, "%llu pages", c->pages); /* the vector itself may get what was there */
}

/* The whole of itself, code and stack and all, while it runs. */
static void t_whole_process(void)
{
	static struct ooh_region vec[512];
	struct ooh_collect c;
	char *p = map_anon(64);
	int i, t = tracker(-1);
	unsigned int n, found;

	CHECK(!range_all(t) && !simple_op(t, OOH_IOC_START));
	for (i = 0; i < 10; i++) {
		touch(p, 64);
		CHECK(!collect(t, &c, NULL, 0, vec, 512, 0), "%s", strerror(errno));
		CHECK(!(c.result & OOH_COLLECTED_PARTIAL));
		for (n = found = 0; n < c.regions; n++)
			found |= vec[n].start <= (uintptr_t)p && vec[n].end >= (uintptr_t)p + 64 * PG;
		CHECK(found, "round %d", i);
	}
	note("a round of the whole process: %llu pages, %llu extra", c.pages, c.extra);
	CHECK(c.pages < 80, "%llu pages", c.pages);
}

static void t_two_trackers(void)
{
	char *p = map_anon(64);
	struct ooh_region vec[64];
	struct ooh_collect c;
	int t, u;

	touch(p, 64);
	t = self_tracker(p, 40 * PG);
	u = self_tracker(p + 20 * PG, 44 * PG);
	touch(p, 64);
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 40, "%llu", c.pages);
	touch(p + 30 * PG, 1);
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 1, "%llu", c.pages);
	CHECK(!collect(u, &c, NULL, 0, vec, 64, 0) && c.pages == 44, "%llu", c.pages);
	touch(p + 30 * PG, 1);
	CHECK(!collect(u, &c, NULL, 0, vec, 64, 0) && c.pages == 1, "%llu", c.pages);
	close(u);
	touch(p + 31 * PG, 1);
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0) && c.pages == 2, "%llu", c.pages);
}

static void t_stats(void)
{
	char *p = map_anon(64);
	struct ooh_tracker_stats s;
	struct ooh_region vec[64];
	struct ooh_collect c;
	struct ooh_status st;
	int t;

	touch(p, 64);
	t = tracker(-1);
	stats(t, &s);
	CHECK(!s.flags && !s.rounds && !s.armed_now && s.size == sizeof(s));
	CHECK(!range_op(t, OOH_IOC_ADD_RANGE, p, 64 * PG) && !simple_op(t, OOH_IOC_START));
	touch(p, 5);
	CHECK(!collect(t, &c, NULL, 0, vec, 64, 0));
	stats(t, &s);
	CHECK(s.flags == OOH_TRACKER_STARTED && s.rounds == 1 && s.reported == 5);
	CHECK(s.armed_now == 64, "%llu", s.armed_now);
	CHECK(s.armed_total == 69 && s.cycles_collect && s.memory);
	status(&st);
	CHECK(st.abi_version == OOH_ABI_VERSION && st.state == OOH_HV_ACTIVE && st.flags & OOH_STATUS_HOOKS);
	CHECK(st.tagged == 64 && st.ring_entries && st.ring_consumed, "%llu", st.tagged);
	close(t);
	status(&st);
	CHECK(!st.tagged && !st.ring_entries);
}

/* poll: POLLIN when enough pages are known to be dirty, without a COLLECT. */
static void t_poll(void)
{
	struct ooh_tracker_create cr = { .size = sizeof(cr), .pidfd = -1, .threshold = 10 };
	char *p = map_anon(64);
	struct ooh_region vec[64];
	struct ooh_collect c;
	struct pollfd pf = { .events = POLLIN };

	touch(p, 64);
	pf.fd = ioctl(dev, OOH_IOC_TRACKER_CREATE, &cr);
	CHECK(pf.fd >= 0 && !range_op(pf.fd, OOH_IOC_ADD_RANGE, p, 64 * PG) && !simple_op(pf.fd, OOH_IOC_START));
	touch(p, 9);
	CHECK(poll(&pf, 1, 400) == 0);
	touch(p, 12);
	CHECK(poll(&pf, 1, 3000) == 1 && pf.revents == POLLIN);
	CHECK(!collect(pf.fd, &c, NULL, 0, vec, 64, 0) && c.pages == 12);
	CHECK(poll(&pf, 1, 0) == 0);
}

const struct test boundary_tests[] = {
	{ "sizes and flags of calls on the device", t_sizes_device },
	{ "sizes and flags of calls on a tracker", t_sizes_tracker },
	{ "unknown calls", t_unknown_calls },
	{ "ranges", t_ranges },
	{ "creating trackers", t_create },
	{ "arguments of COLLECT", t_collect_args },
	{ "COLLECT that cannot deliver", t_collect_fault },
	{ "PEEK", t_peek },
	{ "vector of one region", t_small_vector },
	{ "windows", t_windows },
	{ "ranges while started", t_ranges_live },
	{ "vector in tracked memory", t_vector_inside },
	{ "whole process", t_whole_process },
	{ "two trackers of one process", t_two_trackers },
	{ "figures", t_stats },
	{ "poll", t_poll },
	{ NULL, NULL },
};
